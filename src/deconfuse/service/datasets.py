"""Datasets: the lines that a project is trained and tested with.

What takes long is done by a worker (`loading`): a dataset is CREATE_IN_PROGRESS until its manifest is loaded or
another dataset is copied, UPDATE_IN_PROGRESS while it is distributed, DELETE_IN_PROGRESS until its lines are gone. An
update is one transaction, which nobody sees half done. What is wrong with its lines is told by the status, as AWS
does it: the request succeeds, the dataset is UPDATE_FAILED and says why, and its lines are what they were.

A dataset whose images are in two buckets, or that has too many lines or labels, is refused as a whole; `lines` judges
each line by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deconfuse.errors import (
    BadManifest,
    DeconfuseError,
    InUse,
    Invalid,
    LimitExceeded,
    NotFound,
    NotReady,
    Unavailable,
)
from deconfuse.names import DatasetArn, DatasetKind, ObjectAddress, parse_dataset_arn
from deconfuse.service.house import House
from deconfuse.service.lines import Judge, bucket_of, check_bucket, check_labels, check_size, longest_line
from deconfuse.service.objects import check_version, client_objects
from deconfuse.service.projects import check_here, check_tags, find_project
from deconfuse.service.results import sentence
from deconfuse.service.tokens import read_token, write_token
from deconfuse.store import registry
from deconfuse.store.objects import CHUNK_BYTES, lines_of
from deconfuse.store.registry import READABLE, Dataset, EntryFilter, EntryRow, LabelCount, Rows

__all__ = [
    "Dataset",
    "LabelCount",
    "create_dataset",
    "dataset_arn",
    "delete_dataset",
    "describe_dataset",
    "distribute",
    "find_dataset",
    "list_entries",
    "list_labels",
    "update_entries",
]

CREATING = "The dataset is being created."
CREATED = "The dataset was successfully created."
UPDATING = "The dataset is being updated."
UPDATED = "The dataset was successfully updated."
DISTRIBUTING = "The images are being distributed to the training and test datasets."
DELETING = "The dataset is being deleted."

MAX_CHANGES_BYTES = 5 << 20

MAX_LABELS_ASKED = 10


def dataset_arn(house: House, dataset: Dataset) -> DatasetArn:
    """The ARN of a dataset."""
    return DatasetArn(dataset.project, dataset.kind, dataset.created_ms, house.region, house.account)


def find_dataset(house: House, rows: Rows, field: str, text: str) -> Dataset:
    """The dataset whose ARN is `text`; `field` is its name in the request.

    Raises:
        Invalid: `text` is not the ARN of a dataset.
        NotFound: there is no such dataset.
    """
    arn = parse_dataset_arn(field, text)
    check_here(house, arn)
    return registry.find_dataset(rows, arn)


def create_dataset(
    house: House,
    project_arn: str,
    *,
    kind: DatasetKind,
    manifest: ObjectAddress | None = None,
    copy_of: str | None = None,
    tags: Mapping[str, str] = {},
) -> Dataset:
    """A new dataset of a project: of the lines of a manifest, of those of another dataset, or empty.

    Args:
        house: where it will be.
        project_arn: its project.
        kind: "train" or "test".
        manifest: the object that holds its lines.
        copy_of: the ARN of the dataset whose lines are copied.
        tags: the tags that it has from the beginning.

    Raises:
        Invalid: an ARN or tag that is not possible, both sources at once, or a source that is no finished dataset.
        NotFound: there is no such project or dataset; or the manifest cannot be reached (kind "object").
        AlreadyExists: the project has a dataset of this kind.
        InUse: the project is being deleted.
        Unavailable: the store is away.
    """
    check_tags(tags)
    if manifest is not None and copy_of is not None:
        raise Invalid("datasetSource", "give a manifest or a dataset, not both")
    with house.database.read() as rows:
        find_project(house, rows, "projectArn", project_arn)
    if manifest is not None:
        _check_reachable(house, manifest)
    is_empty = manifest is None and copy_of is None
    now_ms = house.now_ms
    with house.database.write() as rows:
        project = find_project(house, rows, "projectArn", project_arn)
        payload = _source(house, rows, manifest, copy_of)
        dataset = registry.add_dataset(
            rows,
            project.id,
            kind,
            now_ms=now_ms,
            status="CREATE_COMPLETE" if is_empty else "CREATE_IN_PROGRESS",
            message=CREATED if is_empty else CREATING,
        )
        registry.put_tags(rows, "dataset", dataset.id, tags)
        if not is_empty:
            registry.add_job(
                rows, "create-dataset", noun="dataset", subject_id=dataset.id, now_ms=now_ms, payload=payload
            )
    house.wake()
    return dataset


def _check_reachable(house: House, manifest: ObjectAddress) -> None:
    """Do nothing, or raise NotFound where the object is not there or cannot be read."""
    check_version(manifest)
    try:
        client_objects(house).head(manifest.bucket, manifest.key)
    except Unavailable:
        raise
    except DeconfuseError as error:
        raise NotFound("object", str(manifest), sentence(str(error)).rstrip(".")) from error


def _source(house: House, rows: Rows, manifest: ObjectAddress | None, copy_of: str | None) -> dict[str, object]:
    """What the worker has to know."""
    if manifest is not None:
        return {"manifest": [manifest.bucket, manifest.key]}
    if copy_of is None:
        return {}
    source = find_dataset(house, rows, "datasetSource.datasetArn", copy_of)
    if source.status not in READABLE:
        raise Invalid("datasetSource.datasetArn", registry.dataset_in_the_way(source))
    return {"copy_of": source.id, "name": f"{source.project}/{source.kind}"}


def describe_dataset(house: House, arn: str) -> Dataset:
    """A dataset as it is now; its counts are those of its last complete status.

    Raises:
        Invalid: `arn` is not the ARN of a dataset.
        NotFound: there is no such dataset.
    """
    with house.database.read() as rows:
        return find_dataset(house, rows, "datasetArn", arn)


def delete_dataset(house: House, arn: str) -> None:
    """Begin to delete a dataset with its lines and tags.

    Raises:
        Invalid: `arn` is not the ARN of a dataset.
        NotFound: there is no such dataset.
        InUse: it is being created, updated or deleted.
    """
    now_ms = house.now_ms
    with house.database.write() as rows:
        dataset = find_dataset(house, rows, "datasetArn", arn)
        was = registry.hold_dataset(rows, dataset.id, within=(*READABLE, "CREATE_FAILED")).status
        registry.move_dataset(rows, dataset.id, was=was, becomes="DELETE_IN_PROGRESS", now_ms=now_ms, message=DELETING)
        registry.add_job(rows, "delete-dataset", noun="dataset", subject_id=dataset.id, now_ms=now_ms)
    house.wake()


# Updates


def update_entries(house: House, arn: str, changes: bytes) -> None:
    """Put lines into a dataset, each in the place of the line for the same image, or behind all others.

    Args:
        house: where the dataset is.
        arn: the dataset.
        changes: JSON Lines, less than 5 MiB.

    Raises:
        Invalid: `arn` is not the ARN of a dataset.
        NotFound: there is no such dataset.
        InUse: it is being created, updated or deleted, or could not be created.
        LimitExceeded: there are more than 5 MiB of changes.
    """
    if len(changes) > MAX_CHANGES_BYTES:
        raise LimitExceeded(f"there are {len(changes):,} bytes of changes; {MAX_CHANGES_BYTES:,} are possible at once")
    with house.database.read() as rows:
        number = _changeable(find_dataset(house, rows, "datasetArn", arn)).id
    try:
        judge = Judge(house.limits.manifest)
        entries = _judged(judge, changes)
        with house.database.write() as rows:
            _put(house, rows, number, entries, judge)
    except BadManifest as error:
        with house.database.write() as rows:
            _begin_update(house, rows, number, UPDATING)
            registry.move_dataset(
                rows,
                number,
                was="UPDATE_IN_PROGRESS",
                becomes="UPDATE_FAILED",
                now_ms=house.now_ms,
                message=sentence(str(error)),
                code="CLIENT_ERROR",
            )


def _changeable(dataset: Dataset) -> Dataset:
    if dataset.status not in READABLE:
        raise InUse(registry.dataset_in_the_way(dataset))
    return dataset


def _judged(judge: Judge, changes: bytes) -> Sequence[EntryRow]:
    """The lines that can be kept; of two for one image, the first."""
    kept: dict[str, EntryRow] = {}
    pieces = (changes[start : start + CHUNK_BYTES] for start in range(0, len(changes), CHUNK_BYTES))
    for entry in judge.judged(lines_of(pieces, longest_bytes=longest_line(judge.limits))):
        if kept.setdefault(entry.source_ref, entry) is not entry:
            judge.drop_repeat()
    judge.check_whole()
    return tuple(kept.values())


def _put(house: House, rows: Rows, number: int, entries: Sequence[EntryRow], judge: Judge) -> None:
    """Do an update, whole; BadManifest where the dataset would not be one any more."""
    _begin_update(house, rows, number, UPDATING)
    first = registry.list_lines(rows, number, limit=1).items
    if first and entries:
        check_bucket(bucket_of(first[0]), judge.bucket or "")
    registry.put_entries(rows, number, entries)
    stats = registry.count_entries(rows, number)
    check_size(stats.n_entries, house.limits.manifest)
    check_labels(stats.n_labels, house.limits.manifest)
    registry.move_dataset(
        rows,
        number,
        was="UPDATE_IN_PROGRESS",
        becomes="UPDATE_COMPLETE",
        now_ms=house.now_ms,
        message=judge.told(UPDATED),
        stats=stats,
    )


def _begin_update(house: House, rows: Rows, number: int, message: str) -> None:
    was = registry.hold_dataset(rows, number, within=READABLE).status
    registry.move_dataset(rows, number, was=was, becomes="UPDATE_IN_PROGRESS", now_ms=house.now_ms, message=message)


def distribute(house: House, arns: Sequence[str]) -> None:
    """Begin to move a fifth of the lines of a training dataset into the empty test dataset of its project.

    Args:
        house: where the datasets are.
        arns: the two of them, in any order.

    Raises:
        Invalid: they are not the training and the test dataset of one project, or the test dataset is not empty.
        NotFound: one of them does not exist.
        NotReady: one of them is being created, updated or deleted, or could not be created.
    """
    if len(arns) != 2:
        raise Invalid("datasets", f"there are {len(arns)}; give the ARNs of a training dataset and a test dataset")
    with house.database.write() as rows:
        named = {dataset.kind: dataset for dataset in (find_dataset(house, rows, "datasets", arn) for arn in arns)}
        if len(named) != 2:
            raise Invalid("datasets", "give one training dataset and one test dataset")
        train, test = named["train"], named["test"]
        if train.project_id != test.project_id:
            raise Invalid("datasets", "the two datasets belong to different projects")
        try:
            held = {
                number: registry.hold_dataset(rows, number, within=READABLE) for number in sorted((train.id, test.id))
            }
        except InUse as error:
            raise NotReady(str(error)) from error
        if held[test.id].stats.n_entries:
            why = f"the test dataset has {held[test.id].stats.n_entries:,} entries; it must be empty"
            raise Invalid("datasets", why)
        for number in held:
            _begin_update(house, rows, number, DISTRIBUTING)
        payload = {"test": test.id}
        registry.add_job(rows, "distribute", noun="dataset", subject_id=train.id, now_ms=house.now_ms, payload=payload)
    house.wake()


# Lists


def list_entries(
    house: House,
    arn: str,
    *,
    labels: Sequence[str] = (),
    labeled: bool | None = None,
    contains: str = "",
    has_errors: bool | None = None,
    limit: int = 100,
    token: str | None = None,
) -> tuple[tuple[str, ...], str | None]:
    """Lines of a dataset in their order, at most `limit`, and the token of the next page, if there is one.

    Args:
        house: where the dataset is.
        arn: the dataset.
        labels: only lines that have at least one of these labels.
        labeled: only lines with a label, or only those without.
        contains: only lines in whose source-ref this text stands.
        has_errors: only lines with errors; False asks for nothing, as in AWS's samples.
        limit: lines of a page.
        token: as the page before gave it.

    Raises:
        Invalid: `arn` is not the ARN of a dataset, or a text that no line can have.
        NotFound: there is no such dataset.
        NotReady: it is being created, or could not be created.
        InUse: it is being updated or deleted.
        BadToken: the token was not given for this question.
    """
    if len(labels) > MAX_LABELS_ASKED:
        raise Invalid("containsLabels", f"there are {len(labels)}; {MAX_LABELS_ASKED} are possible")
    which = EntryFilter(tuple(labels), labeled, bool(has_errors), contains)
    question = ("entries", arn, tuple(sorted(labels)), labeled, bool(has_errors), contains)
    with house.database.read() as rows:
        dataset = _readable(find_dataset(house, rows, "datasetArn", arn))
        after = read_token(question, token, int)
        page = registry.list_lines(rows, dataset.id, which=which, after=after, limit=limit)
    lines = tuple(line.decode() for line in page.items)
    return lines, None if page.after is None else write_token(question, page.after)


def list_labels(
    house: House, arn: str, *, limit: int = 100, token: str | None = None
) -> tuple[tuple[LabelCount, ...], str | None]:
    """The labels of a dataset with their counts, at most `limit`, and the token of the next page, if there is one.

    Raises:
        Invalid, NotFound, NotReady, InUse, BadToken: as `list_entries`.
    """
    question = ("labels", arn)
    with house.database.read() as rows:
        dataset = _readable(find_dataset(house, rows, "datasetArn", arn))
        page = registry.list_labels(rows, dataset.id, after=read_token(question, token, str), limit=limit)
    return page.items, None if page.after is None else write_token(question, page.after)


def _readable(dataset: Dataset) -> Dataset:
    if dataset.status in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
        raise NotReady(registry.dataset_in_the_way(dataset))
    if dataset.status not in READABLE:
        raise InUse(registry.dataset_in_the_way(dataset))
    return dataset

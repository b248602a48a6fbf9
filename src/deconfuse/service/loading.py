"""The long part of datasets: what a worker does to create, distribute and delete them.

Each of these is done over from the start when its worker dies, and then leaves the same: a creation clears what an
earlier attempt has loaded, a distribution chooses the same lines again and moves those that are not there yet, a
deletion goes on deleting. Every change is made in a transaction in which the worker speaks as the job's own
(`Heart.guard`), a thousand lines at a time, so that others can write meanwhile; the last one moves the status and ends
the job together.

What is wrong with the data is an outcome, not a failure of the job: the dataset becomes CREATE_FAILED or UPDATE_FAILED
with a sentence and CLIENT_ERROR. A job fails only by a fault of the service, and then says SERVICE_ERROR.
"""

from __future__ import annotations

from collections.abc import Iterator

from deconfuse.engine.jobs import Heart
from deconfuse.errors import BadManifest, DeconfuseError, Denied, InUse, NotFound, Stale, Unavailable
from deconfuse.names import ObjectAddress
from deconfuse.service.distribution import choose
from deconfuse.service.house import House
from deconfuse.service.lines import Judge, check_labels, longest_line
from deconfuse.service.objects import client_objects
from deconfuse.service.results import sentence
from deconfuse.store import registry
from deconfuse.store.objects import Content, lines_of
from deconfuse.store.registry import READABLE, Code, Dataset, DatasetStatus, Job, Rows

COPIED = "The dataset was successfully created from another dataset."
LOADED = "The dataset was successfully created from the manifest file."
DISTRIBUTED = "The images were successfully distributed to the training and test datasets."

BATCH = 1000
"""Lines that are moved in one transaction."""

_CREATING: tuple[DatasetStatus, ...] = ("CREATE_IN_PROGRESS",)


def perform_create_dataset(house: House, job: Job, heart: Heart) -> None:
    """Fill a dataset that is CREATE_IN_PROGRESS from its manifest or from another dataset.

    Raises:
        Stale: the job is no longer this worker's.
        Unavailable: the store or the database is away; the job can be done over.
    """
    number = job.subject_id
    registry.clear_entries(house.database, number, guard=heart.guard)
    try:
        message = _copy(house, job, heart) if "copy_of" in job.payload else _load(house, job, heart)
    except (Stale, Unavailable):
        raise
    except DeconfuseError as error:
        message = sentence(str(error))
        registry.clear_entries(house.database, number, guard=heart.guard)
        with house.database.write() as rows:
            _move(house, rows, number, "CREATE_IN_PROGRESS", "CREATE_FAILED", message, code="CLIENT_ERROR")
            heart.end(rows, message)
        return
    with house.database.write() as rows:
        _complete(house, rows, number, "CREATE_IN_PROGRESS", "CREATE_COMPLETE", message)
        heart.end(rows, message)


def fail_create_dataset(house: House, rows: Rows, job: Job, message: str) -> None:
    """CREATE_FAILED by a fault of the service."""
    message = sentence(message)
    _move(house, rows, job.subject_id, "CREATE_IN_PROGRESS", "CREATE_FAILED", message, code="SERVICE_ERROR")


def perform_distribute(house: House, job: Job, heart: Heart) -> None:
    """Move a fifth of the lines of a training dataset into its project's test dataset; both are UPDATE_IN_PROGRESS.

    Raises:
        Stale: the job is no longer this worker's.
        Unavailable: the database is away; the job can be done over.
    """
    train, test = job.subject_id, int(job.payload["test"])
    heart.progress("choosing images", 0, 1)
    try:
        # An earlier attempt may have moved some already: the choice is made among all, and is the same.
        chosen = choose(line for number in (train, test) for line in _each_labels(house, number, heart))
    except BadManifest as error:
        message = sentence(str(error))
        with house.database.write() as rows:
            for number in sorted((train, test)):
                _move(house, rows, number, "UPDATE_IN_PROGRESS", "UPDATE_FAILED", message, code="CLIENT_ERROR")
            heart.end(rows, message)
        return
    for start in range(0, len(chosen), BATCH):
        heart.progress("moving images", start, len(chosen))
        with house.database.write() as rows:
            registry.move_entries(rows, chosen[start : start + BATCH].tolist(), source=train, target=test)
            heart.guard(rows)
    with house.database.write() as rows:
        for number in sorted((train, test)):
            _complete(house, rows, number, "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", DISTRIBUTED)
        heart.end(rows, DISTRIBUTED)


def fail_distribute(house: House, rows: Rows, job: Job, message: str) -> None:
    """Both datasets UPDATE_FAILED by a fault of the service, with every line where it was before."""
    train, test = job.subject_id, int(job.payload["test"])
    for number in sorted((train, test)):
        _move(house, rows, number, "UPDATE_IN_PROGRESS", "UPDATE_FAILED", sentence(message), code="SERVICE_ERROR")
    numbers: list[int] = []
    after: int | None = None
    while True:
        page = registry.list_labels_of_entries(rows, test, after=after)
        numbers += (number for number, _, _ in page.items)
        after = page.after
        if after is None:
            break
    registry.move_entries(rows, numbers, source=test, target=train)


def perform_delete_dataset(house: House, job: Job, heart: Heart) -> None:
    """Remove a dataset that is DELETE_IN_PROGRESS.

    Raises:
        Stale: the job is no longer this worker's.
        Unavailable: the database is away; the job can be done over.
    """
    registry.clear_entries(house.database, job.subject_id, guard=heart.guard)
    with house.database.write() as rows:
        registry.remove_dataset(rows, job.subject_id)
        heart.end(rows, "The dataset was deleted.")


def fail_delete_dataset(house: House, rows: Rows, job: Job, message: str) -> None:
    """Ask for the deletion again: a dataset that is being deleted has nowhere else to go.

    Raises:
        NotFound: it is gone already.
    """
    registry.get_dataset(rows, job.subject_id)
    registry.add_job(rows, job.kind, noun=job.noun, subject_id=job.subject_id, now_ms=house.now_ms)


def _load(house: House, job: Job, heart: Heart) -> str:
    """Load the manifest that the job names: what is said of a dataset that was made so.

    Raises:
        BadManifest: it cannot be read, or the dataset cannot be made of it.
    """
    address = ObjectAddress(*job.payload["manifest"])
    limits = house.limits.manifest
    check_extension(address)
    judge = Judge(limits)
    with _opened(house, address) as content:
        if 0 < limits.max_bytes < content.length:
            why = f"the manifest has {content.length:,} bytes; {limits.max_bytes:,} are possible"
            raise BadManifest(None, why, code="ERROR_MANIFEST_SIZE_TOO_LARGE")
        lines = lines_of(_followed(content, heart), longest_bytes=longest_line(limits))
        entries = judge.judged(lines)
        n_added = registry.load_entries(
            house.database, job.subject_id, entries, guard=heart.guard, put=registry.add_entries
        )
    judge.drop_repeats(judge.n_lines - judge.n_dropped - n_added)
    judge.check_whole()
    with house.database.read() as rows:
        check_labels(registry.count_entries(rows, job.subject_id).n_labels, limits)
    return judge.told(LOADED)


def check_extension(address: ObjectAddress) -> None:
    """Do nothing, or raise BadManifest where the name of a manifest has no extension, which AWS refuses."""
    name = address.key.rpartition("/")[2]
    if not name.rpartition(".")[2] or "." not in name:
        why = f"the name of the manifest {address} has no extension; call it {name or 'train'}.manifest"
        raise BadManifest(None, why, code="ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT")


def _opened(house: House, address: ObjectAddress) -> Content:
    try:
        return client_objects(house).get(address.bucket, address.key)
    except Unavailable:
        raise
    except Denied as error:
        why = f"there is no permission to read the manifest {address}: {error}"
        raise BadManifest(None, why, code="ERROR_INVALID_PERMISSIONS_MANIFEST_S3_BUCKET") from error
    except DeconfuseError as error:
        why = f"the manifest {address} cannot be read: {error}"
        raise BadManifest(None, why, code="ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT") from error


def _followed(content: Content, heart: Heart) -> Iterator[bytes]:
    """The bytes of the manifest, while the heart tells how far they are read."""
    n_bytes = 0
    for chunk in content:
        heart.progress("loading lines", n_bytes, content.length)
        n_bytes += len(chunk)
        yield chunk


def _copy(house: House, job: Job, heart: Heart) -> str:
    """Copy the dataset that the job names: what is said of a dataset that was made so.

    Raises:
        BadManifest: the other dataset is gone, or is changed while it is copied.
    """
    source, target = int(job.payload["copy_of"]), job.subject_id
    seen: int | None = None
    after: int | None = None
    n_copied = 0
    is_begun = False
    while not is_begun or after is not None:
        with house.database.write() as rows:
            original = _standing(rows, source, job)
            if seen is not None and original.updated_ms != seen:
                raise BadManifest(None, f"the dataset {job.payload['name']} was changed while it was copied; try again")
            seen, is_begun = original.updated_ms, True
            registry.hold_dataset(rows, target, within=_CREATING)
            after = registry.copy_entries(rows, source=source, target=target, after=after, limit=BATCH)
            heart.guard(rows)
        n_copied = min(n_copied + BATCH, original.stats.n_entries)
        heart.progress("copying lines", n_copied, original.stats.n_entries)
    return COPIED


def _standing(rows: Rows, source: int, job: Job) -> Dataset:
    """The dataset that is copied, held as it is until this transaction ends."""
    try:
        return registry.hold_dataset(rows, source, within=READABLE)
    except (InUse, NotFound) as error:
        why = f"the dataset {job.payload['name']} cannot be copied: {error}"
        raise BadManifest(None, why) from error


def _each_labels(house: House, number: int, heart: Heart) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """What a split has to know of each line of a dataset that stands still."""
    after: int | None = None
    while True:
        with house.database.read() as rows:
            page = registry.list_labels_of_entries(rows, number, after=after)
        yield from page.items
        after = page.after
        if after is None:
            return
        heart.check()


def _complete(house: House, rows: Rows, number: int, was: DatasetStatus, becomes: DatasetStatus, message: str) -> None:
    stats = registry.count_entries(rows, number)
    registry.move_dataset(rows, number, was=was, becomes=becomes, now_ms=house.now_ms, message=message, stats=stats)


def _move(
    house: House, rows: Rows, number: int, was: DatasetStatus, becomes: DatasetStatus, message: str, *, code: Code
) -> None:
    registry.move_dataset(rows, number, was=was, becomes=becomes, now_ms=house.now_ms, message=message, code=code)

"""A training, performed: from the lines of datasets or manifests to a version that is ready to be started.

    keep the lines ─ read them ─ pipeline.train ─ one transaction: the version and its job have ended

What is trained on is copied first, into two manifests of the service's own: so a training that is taken up again
after a kill reads the same lines, whatever became of datasets and manifests meanwhile. Every artefact is put whole,
under a key that depends on the version alone; a second attempt replaces what a first one left. Nobody is told of them
before the version is TRAINING_COMPLETED.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import IO, Any, Literal

from deconfuse.engine import pipeline
from deconfuse.engine.artefacts import Identity
from deconfuse.engine.cache import EmbeddingCache
from deconfuse.engine.imports import Intake
from deconfuse.engine.jobs import Heart, time_left
from deconfuse.engine.sinks import ObjectSink
from deconfuse.errors import (
    BadData,
    BadImage,
    DeconfuseError,
    Denied,
    Invalid,
    NotBuilt,
    NotFound,
    NotReady,
    Problem,
    Untrainable,
)
from deconfuse.formats.evaluation import EvaluationSummary, read_summary
from deconfuse.formats.manifest import Entry, read_manifest
from deconfuse.formats.validation import count_unused, unused_images
from deconfuse.names import ObjectAddress, parse_s3
from deconfuse.service.house import House
from deconfuse.service.lines import longest_line, plain
from deconfuse.service.results import (
    FILES,
    READY,
    TEST_NAME,
    TRAIN_NAME,
    Outcome,
    cannot_write,
    check_writable,
    given_of,
    open_object,
    output_files,
    own_key,
    placements,
    read_image,
    sentence,
    version_arn,
    written,
)
from deconfuse.store import registry
from deconfuse.store.database import from_ms, to_ms
from deconfuse.store.objects import CHUNK_BYTES, OWN_BUCKET, lines_of
from deconfuse.store.registry import READABLE, Job, Rows, Version
from deconfuse.tables import Split

WAIT_SECONDS = 120.0
"""How long a training waits for a dataset that is being changed."""

SHARES = {"reading images": (0.0, 80.0), "fitting": (80.0, 92.0), "evaluating": (92.0, 100.0)}
"""From where to where, in percent of its time, each step of `pipeline.train` takes a training."""

NO_BUCKET = "ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET"

Ended = Literal["TRAINING_COMPLETED", "TRAINING_FAILED"]


def perform_train(house: House, job: Job, heart: Heart) -> None:
    """Train the version that the job is about.

    Raises:
        BadData: it cannot be trained, and why; nothing was looked at yet, or only the lines were.
        Stale: the job is no longer this worker's.
        Unavailable: the disk is full, or a store or database is away.
    """
    began = house.clock()
    heart.say(0, "Training: reading the manifests.")
    with house.database.read() as rows:
        version = registry.get_version(rows, job.subject_id)
    check_writable(house, version)
    keep_lines(house, version, job, heart)
    intake = read_lines(house, version, is_divided=_is_divided(version, job))
    sink = _Sink(house, version, heart)
    becomes: Ended = "TRAINING_COMPLETED"
    try:
        train(house, version, intake, sink, heart)
        message = f"{READY}{sink.unused_text()}"
    except Untrainable as error:
        becomes, message = "TRAINING_FAILED", sentence(error.why)
    except NotBuilt as error:
        raise BadData(sentence(error.why)) from error
    end(house, version, heart, becomes=becomes, message=message, sink=sink, began=began)
    _forget_lines(house, version)


def fail_train(house: House, rows: Rows, job: Job, message: str) -> None:
    """Write that the version cannot be trained, and why."""
    now_ms = house.now_ms
    registry.end_version(rows, job.subject_id, becomes="TRAINING_FAILED", now_ms=now_ms, message=sentence(message))


def train(house: House, version: Version, intake: Intake, sink: _Sink, heart: Heart) -> None:
    """Run the one pipeline on `intake`; raises what `pipeline.train` raises."""
    arn = version_arn(house, version)
    created = from_ms(version.created_ms)
    identity = Identity(version.project, version.name, created, house.region, house.account, place=str(arn))
    backbone = house.load_backbone()
    pipeline.train(
        intake,
        sink,
        identity=identity,
        backbone=backbone,
        cache=EmbeddingCache(house.cache, backbone.card),
        threads=house.threads,
        clock=house.clock,
        limits=house.limits.manifest,
        progress=Progress(heart, house.clock),
    )


def end(
    house: House, version: Version, heart: Heart, *, becomes: Ended, message: str, sink: _Sink, began: datetime
) -> None:
    """End the version and the job in one transaction."""
    ended = house.clock()
    f1 = sink.summary.f1 if sink.summary is not None else None
    with house.database.write() as rows:
        registry.end_version(
            rows,
            version.id,
            becomes=becomes,
            now_ms=to_ms(ended),
            message=message,
            billable_seconds=math.ceil((ended - began).total_seconds()) if becomes == "TRAINING_COMPLETED" else None,
            f1=f1 if f1 is not None and math.isfinite(f1) else None,
            outcome=written(sink.outcome(is_complete=becomes == "TRAINING_COMPLETED")),
        )
        heart.end(rows, message)


class Progress:
    """Turns the steps of the pipeline into one percentage and the time that is left, for the job's message."""

    def __init__(self, heart: Heart, clock: Callable[[], datetime]) -> None:
        self._heart = heart
        self._clock = clock
        self._began = clock()
        self._percent = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        """As `pipeline.Progress`; raises Stale where the work is to stop."""
        low, high = SHARES.get(step, (self._percent, self._percent))
        reached = low + (high - low) * (done / total if total > 0 else 1.0)
        # A step that begins never takes back what was told.
        self._percent = max(self._percent, reached)
        self._heart.say(self._percent, progress_text(step, self._percent, self._seconds()))

    def _seconds(self) -> float:
        return (self._clock() - self._began).total_seconds()


def progress_text(step: str, percent: float, seconds: float) -> str:
    """How far a training is after so many seconds, for its user.

    Example:
        >>> progress_text("reading images", 42.4, 9.0)
        'Training: reading images, 42 % done, about 12 seconds left.'
        >>> progress_text("reading images", 0.0, 0.0)
        'Training: reading images, 0 % done.'
    """
    shown = min(int(percent), 99)
    left = f", {time_left(seconds * (100 - percent) / percent)}" if percent >= 1 and seconds >= 0.5 else ""
    return f"Training: {step}, {shown} % done{left}."


# What is trained on


def keep_lines(house: House, version: Version, job: Job, heart: Heart) -> None:
    """Copy the lines of both sides into manifests of our own, unless an earlier attempt has.

    What a dataset has noted on its lines stays behind: with it, a line could be longer than a line may be.

    The test manifest is put last: where it is, both are whole. It names its version: with a database that was restored
    from a backup, an S3 still has what belonged to later versions, and their numbers are given again.

    Raises:
        BadData: a manifest or dataset cannot be read, and why.
        NotReady: a dataset is being changed for a long time.
    """
    mark = {"version": str(version_arn(house, version))}
    with contextlib.suppress(NotFound):
        if house.objects.head(OWN_BUCKET, own_key(version.id, TEST_NAME)).metadata == mark:
            return
    given = given_of(version)
    if given.training is not None:
        for name, address in ((TRAIN_NAME, given.training), (TEST_NAME, given.testing)):
            _copy_manifest(house, own_key(version.id, name), address, mark)
        return
    numbers = [job.payload.get(kind) for kind in ("train", "test")]
    _wait_for(house, [number for number in numbers if number is not None], heart)
    with tempfile.TemporaryFile() as train, tempfile.TemporaryFile() as test:
        with house.database.read() as rows:  # one view of both: no line moves from one to the other meanwhile
            for number, file in zip(numbers, (train, test), strict=True):
                if number is not None:
                    file.writelines(plain(line) + b"\n" for line in registry.each_line(rows, number))
        for name, file in ((TRAIN_NAME, train), (TEST_NAME, test)):
            file.seek(0)
            house.objects.put(OWN_BUCKET, own_key(version.id, name), _chunks(file), metadata=mark)


def read_lines(house: House, version: Version, *, is_divided: bool) -> Intake:
    """The lines that were kept, as the pipeline takes them.

    Raises:
        BadData: a side has no line, or a manifest has too many.
    """
    entries = _entries(house, version, "train", is_divided=is_divided)
    if is_divided:
        entries += _entries(house, version, "test", is_divided=True)
    limits = house.limits.images
    lost: dict[str, Problem] = {}

    def fetch(uri: str) -> bytes:
        try:
            return read_image(house, parse_s3(uri))
        except (NotFound, Denied, Invalid) as error:
            lost[uri] = _loss(uri, error)
            raise BadImage(f"the image cannot be read: {error}") from error

    return Intake(
        kind="manifest",
        entries=tuple(entries),
        notes=(),
        problems=(),
        fetch=fetch,
        limits=lambda uri: limits,
        root=None,
        buckets={},
        errors=lambda: tuple(_problems_of_sides(entries, lost)),
        needs_test=True,
    )


def _is_divided(version: Version, job: Job) -> bool:
    """Whether the test images are given, and not to be chosen among the training images."""
    given = given_of(version)
    return given.testing is not None if given.training is not None else job.payload.get("test") is not None


def _copy_manifest(house: House, own: str, address: ObjectAddress | None, mark: Mapping[str, str]) -> None:
    """Copy a manifest of the user's to this key; an empty one where none is given."""
    if address is None:
        house.objects.put(OWN_BUCKET, own, b"", metadata=mark)
        return
    most = house.limits.manifest.max_bytes
    try:
        with open_object(house, address) as content:
            if most and content.length > most:
                raise BadData(f"The manifest {address} has {content.length:,} bytes; {most:,} are possible.")
            house.objects.put(OWN_BUCKET, own, content, metadata=mark)
    except (NotFound, Denied) as error:
        raise BadData(f"The manifest {address} cannot be read: {error}.") from error


def _wait_for(house: House, numbers: list[int], heart: Heart) -> None:
    """Return when each of these datasets stands still."""
    waited = 0.0
    while True:
        statuses = {_status(house, number) for number in numbers}
        if lost := statuses - {*READABLE, "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
            raise BadData(
                f"A dataset of the project was removed before the training began ({', '.join(sorted(lost))})."
            )
        if statuses <= {*READABLE}:
            return
        if waited >= WAIT_SECONDS:
            raise NotReady("A dataset of the project is being changed for a long time; train again when it is ready.")
        heart.say(0, "Training: waiting for a dataset that is being changed.")
        heart.pause(0.5)
        waited += 0.5


def _status(house: House, number: int) -> str:
    try:
        with house.database.read() as rows:
            return registry.get_dataset(rows, number).status
    except NotFound:
        return "gone"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _entries(house: House, version: Version, side: Split, *, is_divided: bool) -> list[Entry]:
    name = TRAIN_NAME if side == "train" else TEST_NAME
    limits = house.limits.manifest
    with house.objects.get(OWN_BUCKET, own_key(version.id, name)) as content:
        lines = lines_of(content, longest_bytes=longest_line(limits))
        entries = list(read_manifest(lines, limits=limits, split=side if is_divided else None))
    if not entries:
        what = "training" if side == "train" else "test"
        remedy = "" if side == "train" else "; distribute the training dataset, or delete the test dataset"
        is_ours = given_of(version).training is None
        raise BadData(f"The {what} dataset is empty{remedy}." if is_ours else f"The {what} manifest is empty.")
    return entries


def _problems_of_sides(entries: Iterable[Entry], lost: Mapping[str, Problem]) -> Iterator[Problem]:
    """What is wrong where the images of one side lie in several buckets, or where each of them is `lost`."""
    sides: tuple[tuple[Split, str], ...] = (("train", "training"), ("test", "test"))
    for side, called in sides:
        mine = [entry for entry in entries if entry.uri and (entry.split or "train") == side]
        buckets = sorted({parse_s3(entry.uri).bucket for entry in mine if entry.uri})
        if len(buckets) > 1:
            why = f"the {called} images are in {len(buckets)} buckets ({', '.join(buckets[:5])}); they must be in one"
            yield Problem("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS", why, split=side)
        wanted = [entry.uri for entry in mine if entry.uri and entry.is_usable]
        if wanted and all(uri in lost for uri in wanted):
            # An image that is lost for another reason than its bucket shows that the bucket can be read.
            loss = max((lost[uri] for uri in wanted), key=lambda loss: loss.code != NO_BUCKET)
            yield replace(loss, message=f"no {called} image can be read, such as {loss.message}", split=side)


def _loss(uri: str, error: DeconfuseError) -> Problem:
    """Why an image cannot be read, under the code for a side of which no image can be."""
    why = error.__cause__ or error  # the store's own error knows whether the bucket is to blame
    if isinstance(why, Denied) or (isinstance(why, NotFound) and why.kind == "bucket"):
        remedy = "the bucket must be there, and the service's key at the store needs s3:GetObject for it"
        return Problem(NO_BUCKET, f"{uri} ({why}); {remedy}")
    return Problem("ERROR_FAILED_IMAGES_S3_COPY", f"{uri} ({why}); put the images where the lines name them")


def _forget_lines(house: House, version: Version) -> None:
    """Remove what was kept to be trained on; where that fails, it goes with the version."""
    for name in (TEST_NAME, TRAIN_NAME):
        with contextlib.suppress(DeconfuseError):
            house.objects.delete(OWN_BUCKET, own_key(version.id, name))


class _Sink:
    """Puts artefacts where they belong while the job is ours, and remembers which there are.

    Attributes:
        summary: the evaluation summary, once it was put.
        unused: of each side (lines that are not used, all lines), once they were counted.
    """

    def __init__(self, house: House, version: Version, heart: Heart) -> None:
        self._house = house
        self._version = version
        self._heart = heart
        self._sink = ObjectSink(house.objects, placements(version))
        self._put: set[str] = set()
        self.summary: EvaluationSummary | None = None
        self.unused: Mapping[Split, tuple[int, int]] = {}

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Put an artefact.

        Raises:
            Stale: the job is no longer this worker's; nothing is put over what another one may have put.
            BadData: the output bucket cannot be written.
        """
        with self._house.database.write() as rows:
            self._heart.guard(rows)
        files = output_files(self._version)
        if name == files["summary"][0] and isinstance(data, bytes):
            self.summary = read_summary(data)
        elif name == files["manifest_summary"][0] and isinstance(data, bytes):
            self.unused = count_unused(data)
        try:
            self._sink.put(name, data)
        except (NotFound, Denied, Invalid) as error:
            raise cannot_write(self._version.output_bucket, error) from error
        self._put.add(name)

    def unused_text(self) -> str:
        """A sentence about the images that are not used, for the version's user; empty where all are."""
        files = output_files(self._version)
        sides: dict[Split, ObjectAddress | None] = {
            "train": files["training_validation"][1],
            "test": files["testing_validation"][1],
        }
        n_unused, n_images, places = unused_images(self.unused, sides)
        if not n_unused:
            return ""
        return f" {n_unused:,} of {n_images:,} images are not used; {' and '.join(map(str, places.values()))} says why."

    def finish(self) -> None:
        """The artefacts become visible with the version's row."""
        self._sink.finish()

    def outcome(self, *, is_complete: bool) -> Outcome:
        """What was put; of a training that failed, only what says why."""
        files = output_files(self._version)
        told = FILES if is_complete else ("manifest_summary", "training_validation", "testing_validation")
        places: dict[str, Any] = {field: files[field][1] for field in told if files[field][0] in self._put}
        if self.summary is None:
            return Outcome(**places)
        counts = (len(self.summary.labels), self.summary.n_training, self.summary.n_testing)
        return Outcome(**places, n_labels=counts[0], n_training=counts[1], n_testing=counts[2])

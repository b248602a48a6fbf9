"""What is known of a version beside its row: its ARN, where its files lie, what was given and what it left.

A version's row keeps two records in a form of ours, `given` and `outcome`; here they are written and read. Whatever
names a version by its ARN finds it here.

    OWN_BUCKET  versions/<id>/card.json  head.safetensors  predictions.parquet      the model; ours, whatever happens
                versions/<id>/train.manifest  test.manifest                         what a training reads; gone after it
    output      <prefix>/EvaluationResultSummary-P-V.json …                         AWS's six files; the user's
                <prefix>/report-P-V.html  predictions-P-V.parquet                   and ours beside them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from deconfuse.errors import BadData, DeconfuseError, Denied, ImageTooLarge, Invalid, NotFound
from deconfuse.learn.bundle import CARD_NAME, HEAD_NAME
from deconfuse.names import ObjectAddress, VersionArn, artefact_names, parse_version_arn
from deconfuse.service.house import House
from deconfuse.service.objects import Content, check_client_bucket, check_version, client_objects
from deconfuse.service.projects import check_here
from deconfuse.store import registry
from deconfuse.store.objects import MAX_KEY_BYTES, OWN_BUCKET
from deconfuse.store.registry import Project, Rows, Version

READY = "The model is ready to run."
RUNNING = "The model is running."

PREDICTIONS_NAME = "predictions.parquet"
REPORT_NAME = "report.html"
TRAIN_NAME = "train.manifest"
TEST_NAME = "test.manifest"

MODEL_NAMES = (HEAD_NAME, PREDICTIONS_NAME, CARD_NAME)
"""The service's own files of a trained version, the card last: without it there is no model."""

Placements = Mapping[str, tuple[tuple[str, str], ...]]
"""(bucket, key) of each place of each artefact, by the artefact's name."""


@dataclass(frozen=True, slots=True)
class Given:
    """What its user gave for a version, beside what the row says.

    Attributes:
        prefix: of the output, as it was written.
        training: the manifest of the training images; None where the project's dataset is meant.
        testing: the manifest of the test images; None where there is none, or the project's dataset is meant.
        auto_create: whether the test images are chosen among the training images.
        told: what means nothing here and is told again (KmsKeyId, VersionDescription, FeatureConfig).
    """

    prefix: str
    training: ObjectAddress | None = None
    testing: ObjectAddress | None = None
    auto_create: bool = False
    told: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training left: where each file lies, None for one that there is not; and how much it was.

    Attributes:
        summary: the evaluation summary.
        training_snapshot: every training image with what the model says of it,
        testing_snapshot: and every test image.
        manifest_summary: how many lines could be used.
        training_validation: the training manifest with what was wrong with each line,
        testing_validation: and the test manifest.
        report: the page.
        predictions: the predictions of all images.
        n_labels: labels of the model.
        n_training: images trained with.
        n_testing: images tested with.
    """

    summary: ObjectAddress | None = None
    training_snapshot: ObjectAddress | None = None
    testing_snapshot: ObjectAddress | None = None
    manifest_summary: ObjectAddress | None = None
    training_validation: ObjectAddress | None = None
    testing_validation: ObjectAddress | None = None
    report: ObjectAddress | None = None
    predictions: ObjectAddress | None = None
    n_labels: int | None = None
    n_training: int | None = None
    n_testing: int | None = None


FILES = tuple(name for name in Outcome.__slots__ if not name.startswith("n_"))
"""The fields of `Outcome` that are files."""


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version as it is told.

    Attributes:
        version: its row.
        arn: its ARN.
        feature: that of its project.
        message: a sentence about its status; while it is being trained or copied, how far that is.
        given: what its user gave.
        outcome: what its training left.
    """

    version: Version
    arn: str
    feature: str
    message: str
    given: Given
    outcome: Outcome


def version_arn(house: House, version: Version) -> VersionArn:
    """The ARN of a version."""
    return VersionArn(version.project, version.name, version.created_ms, house.region, house.account)


def find_version(house: House, rows: Rows, field: str, text: str) -> Version:
    """The version whose ARN is `text`; `field` is its name in the request.

    Raises:
        Invalid: `text` is not the ARN of a version.
        NotFound: there is no such version.
    """
    arn = parse_version_arn(field, text)
    check_here(house, arn)
    return registry.find_version(rows, arn)


def view(house: House, project: Project, version: Version, message: str) -> VersionView:
    """A version of `project` as it is told, with this message."""
    arn = str(version_arn(house, version))
    return VersionView(version, arn, project.feature, message, given_of(version), outcome_of(version))


def given_of(version: Version) -> Given:
    """What was given for `version`."""
    kept = dict(version.given)
    addresses = {name: _address(kept.pop(name, None)) for name in ("training", "testing")}
    return Given(**{"prefix": version.output_prefix, **kept, **addresses})


def outcome_of(version: Version) -> Outcome:
    """What the training of `version` left; nothing where it has not ended."""
    kept = dict(version.outcome or {})
    files: dict[str, Any] = {name: _address(kept.pop(name, None)) for name in FILES}
    return Outcome(**files, **kept)


def written(record: Given | Outcome) -> dict[str, Any]:
    """A record as a row keeps it."""
    return asdict(record)


def _address(value: Mapping[str, Any] | None) -> ObjectAddress | None:
    return None if value is None else ObjectAddress(**value)


def own_key(version_id: int, name: str = "") -> str:
    """The key of one of the service's own files of a version, in `OWN_BUCKET`; without a name, what all begin with."""
    return f"versions/{version_id}/{name}"


def output_files(version: Version) -> dict[str, tuple[str, ObjectAddress]]:
    """(name of the artefact, where it belongs in the output of `version`) of each field of `Outcome`."""
    aws = artefact_names(version.project, version.name)
    artefacts: dict[str, str] = {name: getattr(aws, name) for name in aws.__slots__}
    tail = f"{version.project}-{version.name}"
    ours = {
        "report": (REPORT_NAME, f"report-{tail}.html"),
        "predictions": (PREDICTIONS_NAME, f"predictions-{tail}.parquet"),
    }
    files = {field: (name, name) for field, name in artefacts.items()} | ours
    return {
        field: (name, ObjectAddress(version.output_bucket, output_key(version.output_prefix, file)))
        for field, (name, file) in files.items()
    }


def output_key(prefix: str, file: str) -> str:
    """The key of a file below a prefix, which may be empty."""
    return f"{prefix}/{file}" if prefix else file


def placements(version: Version) -> Placements:
    """Where each artefact of the training of `version` belongs."""
    places: dict[str, tuple[tuple[str, str], ...]] = {
        name: ((address.bucket, address.key),) for name, address in output_files(version).values()
    }
    for name in MODEL_NAMES:
        places[name] = (*places.get(name, ()), (OWN_BUCKET, own_key(version.id, name)))
    return places


def check_output(output: tuple[str, str], project: str, version: str) -> tuple[str, str]:
    """(bucket, prefix) of an output, the prefix without slashes at its end.

    Raises:
        Invalid: no object can be called as the files there would be.
    """
    bucket, prefix = output[0], output[1].rstrip("/")
    longest = output_key(prefix, f"TrainingManifestWithValidation-{project}-{version}.json")
    if len(longest.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        why = f"with this prefix the names of the results would be longer than {MAX_KEY_BYTES:,} bytes"
        raise Invalid("outputConfig", why)
    return bucket, prefix


def open_object(house: House, address: ObjectAddress) -> Content:
    """The bytes of an object that a request names; the caller closes it.

    Raises:
        NotFound: there is no such bucket or key (kind "object"), or a version of it is asked for, which are not kept.
        Denied: it may not be read.
    """
    check_version(address)
    try:
        return client_objects(house).get(address.bucket, address.key)
    except (NotFound, Invalid) as error:
        raise NotFound("object", str(address), str(error)) from error


def read_image(house: House, address: ObjectAddress) -> bytes:
    """The bytes of an image.

    Raises:
        ImageTooLarge: more than an image may have; nothing was read.
        NotFound, Denied: as `open_object`.
    """
    most = house.limits.images.max_bytes
    with open_object(house, address) as content:
        if 0 < most < content.length:
            raise ImageTooLarge(f"{address} has {content.length:,} bytes; an image may have {most:,}")
        return b"".join(content)


def check_writable(house: House, version: Version) -> None:
    """Return if the results of `version` may be put into its output, as far as that can be told beforehand.

    Raises:
        BadData: there is no such bucket, it shows a linked folder, which nothing is written to, or the store takes no
            such key.
        Unavailable: the store is away.
    """
    place = output_files(version)["summary"][1]
    try:
        if house.local is not None and house.local.bucket(check_client_bucket(place.bucket)).folder is not None:
            raise Denied("it shows a linked folder and is read-only")
        client_objects(house).head(place.bucket, place.key)
    except NotFound as error:
        if error.kind == "bucket":
            raise cannot_write(place.bucket, error) from error
    except Invalid as error:
        raise cannot_write(place.bucket, error) from error
    except Denied as error:
        if house.local is not None:  # elsewhere, who may write need not be allowed to look
            raise cannot_write(place.bucket, error) from error


def cannot_write(bucket: str, error: DeconfuseError) -> BadData:
    """The error for results that cannot be put into their bucket."""
    return BadData(f"The results cannot be written to the output bucket {bucket}: {error}.")


def sentence(text: str) -> str:
    """`text` as a status message: a capital at its beginning and a full stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."

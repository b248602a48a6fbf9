"""Spelling: names, labels, tags, s3:// addresses and ARNs, parsed and formatted.

One place decides what a project may be called, when two labels are too alike, and which file name AWS gives each
artefact of a training. Nothing here touches the world.

    arn:aws:rekognition:<region>:<account>:project/<project>/<created>                      a project
    arn:aws:rekognition:<region>:<account>:project/<project>/dataset/train|test/<created>   a dataset
    arn:aws:rekognition:<region>:<account>:project/<project>/version/<version>/<created>    a version

`created` is the creation of the thing itself, in milliseconds since 1970: a dataset and a version do not say when
their project was made. A project that is made again under its old name has another ARN.

Sources: Amazon Rekognition API reference (patterns of ProjectName, VersionName, TagKey, TagValue and ARNs, lengths of
DatasetLabel); the file names are those of real trainings (`EvaluationResultSummary-…`), not those of AWS's reference
page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from deconfuse.errors import Invalid, NotFound

VERSION = "0.1.0"
"""Of deconfuse, as files that it writes name it."""

LOCAL_BUCKET = "local"
"""The bucket under which images of a local folder appear in files of AWS's form."""

MAX_LABEL_LENGTH = 255

DatasetKind = Literal["train", "test"]
"""Which of a project's two datasets: the word in its ARN. The API writes it in capitals."""

MAX_ARN_LENGTH = 2048

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,255}")
_BUCKET = re.compile(r"[0-9A-Za-z.\-_]{3,255}")
_ARN = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):rekognition:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12})"
    r":project/(?P<project>[A-Za-z0-9_.\-]{1,255})"
    r"(?:/dataset/(?P<dataset>train|test)|/version/(?P<version>[A-Za-z0-9_.\-]{1,255}))?/(?P<created>[0-9]+)"
)
_CREATED = re.compile(r"0|[1-9][0-9]{0,17}")


def check_name(field: str, name: str) -> str:
    """`name`, if it can name a project or a version.

    Raises:
        Invalid: it is empty, longer than 255 characters, or holds anything outside A-Z a-z 0-9 _ . -; or it is
            "." or "..", which name folders.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise Invalid(field, f"{name!r} cannot be a name; use 1 to 255 of A-Z a-z 0-9 _ . -")
    return name


def reduce_name(text: str) -> str:
    """`text` with each run of characters that no name may hold turned into one hyphen; "project" if nothing is left.

    Example:
        >>> reduce_name("Café photos (2024)")
        'Caf-photos-2024'
        >>> reduce_name("..")
        'project'
    """
    reduced = re.sub(r"[^A-Za-z0-9_.\-]+", "-", text).strip("-.")[:255]
    return reduced or "project"


def next_version(taken: Iterable[str]) -> str:
    """The smallest whole number, as text, above every whole number among `taken`; "1" where there is none.

    Example:
        >>> next_version(["1", "2", "best"])
        '3'
    """
    return str(max((int(name) for name in taken if name.isdecimal()), default=0) + 1)


def check_label(label: str) -> str:
    """`label`, if it can name a label.

    Raises:
        Invalid: it is empty or blank, longer than 255 characters, or holds a control character.
    """
    if not label.strip():
        raise Invalid("label", "a label cannot be empty")
    if len(label) > MAX_LABEL_LENGTH:
        raise Invalid("label", f"{label[:40]!r}… has {len(label)} characters; {MAX_LABEL_LENGTH} are possible")
    if any(unicodedata.category(character) == "Cc" for character in label):
        raise Invalid("label", f"{label!r} holds a control character")
    return label


def label_key(label: str) -> str:
    r"""What two labels share when a person would take them for one: case, Unicode form and outer blanks do not count.

    Example:
        >>> label_key("Caf\u00e9 ") == label_key("CAFE\u0301")
        True
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold()).strip()


def alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of two and more different labels that share a `label_key`, each group and the list sorted."""
    groups: dict[str, set[str]] = {}
    for label in labels:
        groups.setdefault(label_key(label), set()).add(label)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which "2" comes before "10" and text sorts as text.

    Example:
        >>> sorted(["10", "2", "b", "a10", "a9"], key=natural_key)
        ['2', '10', 'a9', 'a10', 'b']
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object in S3; `str` spells it s3://bucket/key.

    Attributes:
        bucket: the bucket's name.
        key: the object's key.
        version: of the object, as S3 counts them; None for the present one.
    """

    bucket: str
    key: str
    version: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse_s3(uri: str) -> ObjectAddress:
    """The object whose address is `uri`.

    Raises:
        Invalid: it is not of the form s3://bucket/key with a key of 1 to 1,024 characters.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or not 1 <= len(key) <= 1024:
        raise Invalid("s3 address", f"{uri!r} is not of the form s3://bucket/key")
    return ObjectAddress(bucket, key)


@dataclass(frozen=True, slots=True)
class ProjectArn:
    """The ARN of a project; `str` spells it.

    Attributes:
        project: the project's name.
        created_ms: its creation, in milliseconds since 1970.
        region: where it lives, e.g. "us-east-1".
        account: whose it is, twelve digits.
        partition: "aws" wherever we make one.
    """

    project: str
    created_ms: int
    region: str
    account: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"{_arn_head(self)}/{self.created_ms}"


@dataclass(frozen=True, slots=True)
class DatasetArn:
    """The ARN of a dataset; attributes as for a project, `created_ms` being the dataset's own creation."""

    project: str
    kind: DatasetKind
    created_ms: int
    region: str
    account: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"{_arn_head(self)}/dataset/{self.kind}/{self.created_ms}"


@dataclass(frozen=True, slots=True)
class VersionArn:
    """The ARN of a version; attributes as for a project, `created_ms` being the version's own creation."""

    project: str
    version: str
    created_ms: int
    region: str
    account: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"{_arn_head(self)}/version/{self.version}/{self.created_ms}"


Arn = ProjectArn | DatasetArn | VersionArn


def _arn_head(arn: Arn) -> str:
    return f"arn:{arn.partition}:rekognition:{arn.region}:{arn.account}:project/{arn.project}"


def parse_arn(field: str, text: str) -> Arn:
    """The project, dataset or version that `text` names.

    Raises:
        Invalid: it is not spelled as one of the three ARNs; the message names `field`.
        NotFound: it is, but its number is none that a creation can have: longer than 18 digits, or led by a zero.
            AWS's pattern takes such an ARN, so it is an unknown one, and every ARN keeps one spelling.

    Example:
        >>> parse_arn("arn", "arn:aws:rekognition:us-east-1:012345678901:project/rooms/version/1/1690556751958").version
        '1'
    """
    match = _ARN.fullmatch(text) if len(text) <= MAX_ARN_LENGTH else None
    if match is None:
        raise Invalid(field, f"{text[:200]!r} is not the ARN of a project, a dataset or a version")
    what = "dataset" if match["dataset"] else "version" if match["version"] else "project"
    if not _CREATED.fullmatch(match["created"]):
        raise NotFound(what, text)
    created_ms, region, account, partition = (
        int(match["created"]),
        match["region"],
        match["account"],
        match["partition"],
    )
    if what == "dataset":
        kind: DatasetKind = "train" if match["dataset"] == "train" else "test"
        return DatasetArn(match["project"], kind, created_ms, region, account, partition)
    if what == "version":
        return VersionArn(match["project"], match["version"], created_ms, region, account, partition)
    return ProjectArn(match["project"], created_ms, region, account, partition)


def parse_project_arn(field: str, text: str) -> ProjectArn:
    """The project that `text` names; raises as `parse_arn`, also where it names something else."""
    arn = parse_arn(field, text)
    if not isinstance(arn, ProjectArn):
        raise Invalid(field, f"{text[:200]!r} is not the ARN of a project")
    return arn


def parse_dataset_arn(field: str, text: str) -> DatasetArn:
    """The dataset that `text` names; raises as `parse_arn`, also where it names something else."""
    arn = parse_arn(field, text)
    if not isinstance(arn, DatasetArn):
        raise Invalid(field, f"{text[:200]!r} is not the ARN of a dataset")
    return arn


def parse_version_arn(field: str, text: str) -> VersionArn:
    """The version that `text` names; raises as `parse_arn`, also where it names something else."""
    arn = parse_arn(field, text)
    if not isinstance(arn, VersionArn):
        raise Invalid(field, f"{text[:200]!r} is not the ARN of a version")
    return arn


def dataset_kind(field: str, text: str) -> DatasetKind:
    """Which dataset `text` means, as the API writes it: "TRAIN" or "TEST".

    Raises:
        Invalid: it is neither; small letters, which only ARNs have, are not taken.

    Example:
        >>> dataset_kind("datasetType", "TEST")
        'test'
    """
    if text == "TRAIN":
        return "train"
    if text == "TEST":
        return "test"
    raise Invalid(field, f"{text!r} is no dataset; possible are TRAIN and TEST")


def check_tag_key(field: str, key: str) -> str:
    """`key`, if it can be the key of a tag.

    Raises:
        Invalid: it is empty or longer than 128 characters, begins with "aws:", or holds anything but letters, blanks,
            digits and _ . : / = + - @.
    """
    if key.startswith("aws:"):
        raise Invalid(field, f"{key[:40]!r} begins with aws:, which is kept for AWS")
    if not 1 <= len(key) <= 128 or not _is_tag_text(key):
        raise Invalid(
            field, f"{key[:40]!r} cannot be a tag key; use 1 to 128 letters, digits, blanks and _ . : / = + - @"
        )
    return key


def check_tag_value(field: str, value: str) -> str:
    """`value`, if it can be the value of a tag.

    Raises:
        Invalid: it is longer than 256 characters, or holds anything but letters, blanks, digits and _ . : / = + - @.
    """
    if len(value) > 256 or not _is_tag_text(value):
        raise Invalid(
            field, f"{value[:40]!r} cannot be a tag value; use up to 256 letters, digits, blanks and _ . : / = + - @"
        )
    return value


def _is_tag_text(text: str) -> bool:
    return all(character in "_.:/=+-@" or unicodedata.category(character)[0] in "LZN" for character in text)


@dataclass(frozen=True, slots=True)
class ArtefactNames:
    """File names of what one training leaves, as AWS spells them."""

    summary: str
    training_snapshot: str
    testing_snapshot: str
    manifest_summary: str
    training_validation: str
    testing_validation: str


def artefact_names(project: str, version: str) -> ArtefactNames:
    """The six file names of the training of `version` in `project`."""
    tail = f"{project}-{version}.json"
    return ArtefactNames(
        summary=f"EvaluationResultSummary-{tail}",
        training_snapshot=f"TrainingGroundTruth-{tail}",
        testing_snapshot=f"TestingGroundTruth-{tail}",
        manifest_summary=f"ManifestSummary-{tail}",
        training_validation=f"TrainingManifestWithValidation-{tail}",
        testing_validation=f"TestingManifestWithValidation-{tail}",
    )

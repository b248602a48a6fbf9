"""Spelling: names, labels, s3:// addresses and ARNs, parsed and formatted.

One place decides what a project may be called, when two labels are too alike, and which file name AWS gives each
artefact of a training. Nothing here touches the world.

Sources: Amazon Rekognition API reference (patterns of ProjectName, VersionName and ARNs, lengths of DatasetLabel);
the file names are those of real trainings (`EvaluationResultSummary-…`), not those of AWS's reference page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from deconfuse.errors import Invalid

VERSION = "0.1.0"
"""Of deconfuse, as files that it writes name it."""

LOCAL_BUCKET = "local"
"""The bucket under which images of a local folder appear in files of AWS's form."""

MAX_LABEL_LENGTH = 255

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,255}")
_BUCKET = re.compile(r"[0-9A-Za-z.\-_]{3,255}")


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
class S3Uri:
    """The address of an object: s3://bucket/key."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse_s3(uri: str) -> S3Uri:
    """The bucket and key of `uri`.

    Raises:
        Invalid: it is not of the form s3://bucket/key with a key of 1 to 1,024 characters.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or not 1 <= len(key) <= 1024:
        raise Invalid("s3 address", f"{uri!r} is not of the form s3://bucket/key")
    return S3Uri(bucket, key)


def version_arn(project: str, version: str, created_ms: int, *, region: str, account: str) -> str:
    """The ARN of a trained version; `created_ms` is its creation in milliseconds since 1970."""
    return f"arn:aws:rekognition:{region}:{account}:project/{project}/version/{version}/{created_ms}"


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

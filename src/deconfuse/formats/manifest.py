"""SageMaker Ground Truth manifests: one JSON object a line, one line an image.

    {"source-ref": "s3://bucket/key", "<attribute>": 1, "<attribute>-metadata": {"class-name": "Sunrise", …}}

A line carries one pair (attribute, metadata) for each label, or one pair for all boxes; the metadata's `type` says
which. Three types are read: image-classification, image-classification-multilabel (the output of a multi-label
labelling job, and the same word copied onto single labels by AWS's published script), and object-detection, whose
boxes are checked and counted.

Every line, good or bad, becomes one `Entry`, in the order of the file; what is wrong with it stands there under AWS's
code, so that four hundred bad lines give four hundred answers. Lines are read one at a time. What AWS's pages leave
open is decided in favour of the file: a date that nobody uses may have any form, the number beside a label may be 0,
foreign keys without metadata are passed over, blank lines at the end do not count. Predictions that a snapshot
carries beside its truth are no labels.

Sources: Amazon Rekognition Custom Labels developer guide, "Creating a manifest file", "Debugging a failed model
training" (codes and their order), "Guidelines and quotas" (limits).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from deconfuse.errors import BadData, BadManifest, Invalid, Problem
from deconfuse.formats.strict_json import Json, NotJson, is_integer, is_number, parse_object, write
from deconfuse.names import MAX_LABEL_LENGTH, check_label, parse_s3

if TYPE_CHECKING:
    from deconfuse.tables import Split

METADATA = "-metadata"
DETAILS = "rekognition-custom-labels-evaluation-details"
CLASSIFICATION = "groundtruth/image-classification"
SERVICE_KEYS = frozenset(
    {
        "source-ref",
        "cl-metadata",
        "cl-errors",
        "errors",
        "warnings",
        "rekognition-custom-labels-object-id",
        "line-idx",
    }
)
"""Keys of a line that are never label attributes."""

_TRAINING_SIDE = 1280
"""The longer side, in pixels, to which images with boxes are reduced before a box is judged too small."""
_PREDICTION = re.compile(r"rekognition-custom-labels-evaluation(-\d+)?")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ManifestLimits:
    """What a manifest may hold; 0 means no limit.

    Attributes:
        max_lines: lines in a file, blank ones at its end aside.
        max_line_length: characters in a line.
        max_labels: different labels in a dataset; judged over both files, by `validation.content_problems`.
        max_labels_per_image: different labels on one line.
        max_bytes: bytes in a file.
        max_boxes_per_image: boxes on one line.
        min_side: smallest side, in pixels, that a line with boxes may declare for its image.
        max_side: largest such side.
    """

    max_lines: int = 250_000
    max_line_length: int = 100_000
    max_labels: int = 250
    max_labels_per_image: int = 50
    max_bytes: int = 1 << 30
    max_boxes_per_image: int = 50
    min_side: int = 64
    max_side: int = 4096


AWS_LIMITS = ManifestLimits()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest or CSV, or one file of a folder, good or bad.

    Attributes:
        uri: s3://bucket/key, or a path as the folder or CSV gives it; None where the line names no image.
        labels: the image's true labels without repetition, in the order given; empty if the line cannot be used.
        line: 1-based number of the line; None for a file of a folder.
        split: the side it is for, or None where that is still to be decided.
        n_boxes: usable boxes on the line.
        boxed: their labels without repetition, in the order of the boxes.
        problems: what is wrong with it. An error at one attribute leaves the other labels of the line in use.
        raw: the line of the manifest as read, without its end; None for folders, CSV and overlong lines.
    """

    uri: str | None
    labels: tuple[str, ...] = ()
    line: int | None = None
    split: Split | None = None
    n_boxes: int = 0
    problems: tuple[Problem, ...] = ()
    raw: bytes | None = None
    boxed: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether the image can be trained or tested with: a line that is refused as a whole has no labels."""
        return bool(self.labels)

    @property
    def is_ignored(self) -> bool:
        """Whether nothing is wrong except that there is no label: unlabelled, or boxes only. Not counted as bad."""
        return not self.labels and (self.n_boxes > 0 or all(problem.level == "warning" for problem in self.problems))

    @property
    def is_invalid(self) -> bool:
        """Whether it counts as bad under the 20 % rule."""
        return not self.is_usable and not self.is_ignored


class _Refused(Exception):
    """The line cannot be used at all; no further check is made, as AWS does."""

    def __init__(self, code: str, message: str, at: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.at = at


def read_manifest(
    lines: Iterable[bytes], *, limits: ManifestLimits = AWS_LIMITS, split: Split | None = None
) -> Iterator[Entry]:
    """One `Entry` for each line, in order; a file without lines gives none.

    Memory does not grow with the file except by one address a line, by which a second line for the same image is
    recognised (ERROR_DUPLICATE_SOURCE_REF on the later one).

    Args:
        lines: the lines of the file with or without their ends; a byte order mark and CRLF are fine.
        limits: AWS's, unless told otherwise.
        split: the side that every entry is for.

    Raises:
        BadManifest: the file as a whole is refused: it has too many lines or bytes. What was yielded before stands.
    """
    line_of: dict[str, int] = {}
    n_bytes = n_blank = 0
    for number, given in enumerate(lines, start=1):
        n_bytes += len(given)
        if limits.max_bytes and n_bytes > limits.max_bytes:
            why = f"the manifest is larger than {limits.max_bytes:,} bytes"
            raise BadManifest(None, why, code="ERROR_MANIFEST_SIZE_TOO_LARGE")
        raw = (given.removeprefix(b"\xef\xbb\xbf") if number == 1 else given).rstrip(b"\r\n")
        if not raw.strip():
            n_blank += 1
            continue
        for blank in range(number - n_blank, number):
            yield _refused(_Refused("ERROR_INVALID_JSON_LINE", "the line is blank"), None, blank, split, raw=b"")
        n_blank = 0
        if limits.max_lines and number > limits.max_lines:
            why = f"the manifest has more than {limits.max_lines:,} lines"
            raise BadManifest(None, why, code="ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")
        yield _read_line(raw, number, line_of, limits=limits, split=split)


def read_line(raw: bytes, number: int, *, limits: ManifestLimits = AWS_LIMITS) -> Entry:
    """One line, without its end, by itself: as `read_manifest` judges it, but never as a second one for its image."""
    return _read_line(raw, number, {}, limits=limits, split=None)


def _read_line(
    raw: bytes, number: int, line_of: dict[str, int], *, limits: ManifestLimits, split: Split | None
) -> Entry:
    uri: str | None = None
    if 0 < limits.max_line_length < len(raw) and len(raw.decode("utf-8", "replace")) > limits.max_line_length:
        why = f"the line has more than {limits.max_line_length:,} characters"
        return _refused(_Refused("ERROR_LINE_TOO_LONG", why), None, number, split, raw=None)
    try:
        try:
            line = parse_object(raw)
        except NotJson as error:
            raise _Refused("ERROR_INVALID_JSON_LINE", f"the line cannot be read: {error}") from None
        uri = _source_ref(line)
        first = line_of.setdefault(uri, number)
        if first != number:
            why = f"the image is on line {first} already; one line holds all labels of an image"
            raise _Refused("ERROR_DUPLICATE_SOURCE_REF", why)
        found = _Found(limits)
        found.read(line)
    except _Refused as refused:
        return _refused(refused, uri, number, split, raw=raw)
    problems = tuple(
        Problem(code, message, level=level, uri=uri, line=number, at=at, split=split)
        for code, message, level, at in found.problems
    )
    boxed = tuple(found.boxed)
    return Entry(uri, tuple(found.labels), number, split, found.n_boxes, problems, raw, boxed)


def _refused(refused: _Refused, uri: str | None, number: int, split: Split | None, *, raw: bytes | None) -> Entry:
    problem = Problem(refused.code, refused.message, uri=uri, line=number, at=refused.at, split=split)
    return Entry(uri, line=number, split=split, problems=(problem,), raw=raw)


def _source_ref(line: dict[str, Json]) -> str:
    if "source-ref" not in line:
        raise _Refused("ERROR_MISSING_SOURCE_REF", 'the line has no "source-ref"')
    uri = line["source-ref"]
    if isinstance(uri, str) and "\0" not in uri:
        try:
            return str(parse_s3(uri))
        except Invalid:
            pass
    raise _Refused("ERROR_INVALID_SOURCE_REF_FORMAT", f'"source-ref" is {_short(uri)}, not of the form s3://bucket/key')


class _Found:
    """What the pairs of one line hold, gathered attribute by attribute."""

    def __init__(self, limits: ManifestLimits) -> None:
        self.limits = limits
        self.labels: dict[str, None] = {}
        self.boxed: dict[str, None] = {}
        self.n_boxes = 0
        self.problems: list[tuple[str, str, Literal["error", "warning"], str]] = []

    def read(self, line: dict[str, Json]) -> None:
        pairs = _pairs(line)
        if not pairs and any(key not in SERVICE_KEYS and not is_prediction(key, line) for key in line):
            raise _Refused(
                "ERROR_NO_LABEL_ATTRIBUTES",
                f"no attribute stands together with its metadata (<name>, <name>{METADATA})",
            )
        for attribute, value, metadata in pairs:
            self._read_pair(attribute, value, metadata)
        if self.limits.max_labels_per_image and len(self.labels) > self.limits.max_labels_per_image:
            why = f"the image has {len(self.labels)} labels; {self.limits.max_labels_per_image} are possible"
            raise _Refused("ERROR_TOO_MANY_LABELS_PER_IMAGE", why)
        self._judge_emptiness()

    def _judge_emptiness(self) -> None:
        if self.labels or self.n_boxes:
            return
        codes = {code for code, _, level, _ in self.problems if level == "error"}
        warned = any(level == "warning" for _, _, level, _ in self.problems)
        if codes & {"ERROR_UNSUPPORTED_USE_CASE_TYPE", "ERROR_INVALID_LABEL_NAME_LENGTH"}:
            self._error("ERROR_NO_VALID_LABEL_ATTRIBUTES", "no label of the line can be used", "")
        elif not codes and warned:
            self._warning("WARNING_NO_ANNOTATIONS", "nothing is annotated on this image", "")
        elif not codes:
            self._warning("WARNING_UNANNOTATED_RECORD", "the image has no label", "")

    def _error(self, code: str, message: str, at: str) -> None:
        self.problems.append((code, message, "error", at))

    def _warning(self, code: str, message: str, at: str) -> None:
        self.problems.append((code, message, "warning", at))

    def _read_pair(self, attribute: str, value: Json, metadata: Json) -> None:
        at = attribute + METADATA
        if not isinstance(metadata, dict):
            raise _bad_metadata(at, "it is not an object in braces")
        kind = metadata.get("type")
        if not isinstance(kind, str):
            raise _bad_metadata(at, '"type" is missing or no text')
        match kind.rpartition("/")[2]:
            case "image-classification":
                self._read_label(attribute, value, metadata)
            case "image-classification-multilabel" if "class-name" in metadata:
                self._read_label(attribute, value, metadata)
            case "image-classification-multilabel":
                self._read_label_list(attribute, value, metadata)
            case "object-detection":
                self._read_boxes(attribute, value, metadata)
            case _:
                why = f"the type {_short(kind)} is neither image classification nor object detection"
                self._error("ERROR_UNSUPPORTED_USE_CASE_TYPE", why, at)

    def _read_label(self, attribute: str, value: Json, metadata: dict[str, Json]) -> None:
        if not is_integer(value):
            raise _bad_attribute(attribute, f"{_short(value)} is no whole number")
        at = attribute + METADATA
        if not is_number(metadata.get("confidence")):
            raise _bad_metadata(at, '"confidence" is missing or no number')
        _check_common(metadata, at)
        self._add_label(metadata.get("class-name"), '"class-name"', at)

    def _read_label_list(self, attribute: str, value: Json, metadata: dict[str, Json]) -> None:
        if not isinstance(value, list) or not all(is_integer(number) for number in value):
            raise _bad_attribute(attribute, f"{_short(value)} is no list of whole numbers")
        at = attribute + METADATA
        _check_common(metadata, at)
        names = _class_map(metadata, at)
        for number in dict.fromkeys(value):
            self._add_label(_class_name(names, number, at), f'"class-map" {number}', at)
        if not value:
            self._warning("WARNING_NO_ATTRIBUTE_ANNOTATIONS", "the list of labels is empty", attribute)

    def _add_label(self, label: Json, what: str, at: str) -> None:
        if not isinstance(label, str):
            raise _bad_metadata(at, f"{what} is missing or no text")
        if self._is_short(label, at):
            self.labels[_label(label, what, at)] = None

    def _is_short(self, label: str, at: str) -> bool:
        if len(label) <= MAX_LABEL_LENGTH:
            return True
        why = f"the label {label[:40]!r}… has {len(label)} characters; {MAX_LABEL_LENGTH} are possible"
        self._error("ERROR_INVALID_LABEL_NAME_LENGTH", why, at)
        return False

    def _read_boxes(self, attribute: str, value: Json, metadata: dict[str, Json]) -> None:
        boxes, width, height = _box_attribute(attribute, value)
        at = attribute + METADATA
        _check_common(metadata, at)
        names = _class_map(metadata, at)
        objects = metadata.get("objects")
        if not isinstance(objects, list):
            raise _bad_metadata(at, '"objects" is missing or no list')
        confident = [isinstance(each, dict) and is_number(each.get("confidence")) for each in objects]
        if len(objects) < len(boxes) or not all(confident):
            raise _Refused("ERROR_MISSING_BOUNDING_BOX_CONFIDENCE", 'a box has no confidence in "objects"', at)
        class_ids = dict.fromkeys(box["class_id"] for box in boxes)
        name_of = {number: _class_name(names, number, at) for number in class_ids}
        named = {
            number: _label(name, f'"class-map" {number}', at)
            for number, name in name_of.items()
            if self._is_short(name, at)
        }
        if boxes:
            self._count_boxes(attribute, boxes, width, height, named=named)
        else:
            self._warning("WARNING_NO_ATTRIBUTE_ANNOTATIONS", "the list of boxes is empty", attribute)

    def _count_boxes(
        self, attribute: str, boxes: list[dict[str, Json]], width: float, height: float, *, named: dict[int, str]
    ) -> None:
        limits = self.limits
        if min(width, height) < limits.min_side or 0 < limits.max_side < max(width, height):
            why = f"the image is {width} × {height} px; each side must have {limits.min_side} to {limits.max_side} px"
            self._error("ERROR_INVALID_IMAGE_DIMENSION", why, attribute)
            return
        if 0 < limits.max_boxes_per_image < len(boxes):
            why = f"the line has {len(boxes)} boxes; {limits.max_boxes_per_image} are possible"
            self._error("ERROR_TOO_MANY_BOUNDING_BOXES", why, attribute)
            return
        n_valid = 0
        for index, box in enumerate(boxes):
            wrong = _box_problem(box, width, height)
            if wrong:
                self._error(*wrong, f"{attribute}/annotations/{index}")
            elif box["class_id"] in named:
                n_valid += 1
                self.boxed[named[box["class_id"]]] = None
        self.n_boxes += n_valid
        if not n_valid:
            self._error("ERROR_NO_VALID_ANNOTATIONS", "no box of the line can be used", attribute)


def _pairs(line: dict[str, Json]) -> list[tuple[str, Json, Json]]:
    pairs = []
    for key, metadata in line.items():
        attribute = key.removesuffix(METADATA)
        if attribute == key or key in SERVICE_KEYS or is_prediction(attribute, line):
            continue
        if attribute in line and attribute not in SERVICE_KEYS:
            pairs.append((attribute, line[attribute], metadata))
        elif isinstance(metadata, dict) and ("class-name" in metadata or "class-map" in metadata):
            raise _Refused("ERROR_NO_LABEL_ATTRIBUTES", f"{_short(key)} stands there without {_short(attribute)}")
    return pairs


def is_prediction(key: str, line: dict[str, Json]) -> bool:
    """Whether `key` or its metadata is what a model said: a snapshot fed back must not teach a model its own errors."""
    attribute = key.removesuffix(METADATA)
    metadata = line.get(attribute + METADATA)
    return bool(_PREDICTION.fullmatch(attribute)) or (isinstance(metadata, dict) and DETAILS in metadata)


def _check_common(metadata: dict[str, Json], at: str) -> None:
    if metadata.get("human-annotated") not in ("yes", "no"):
        raise _bad_metadata(at, '"human-annotated" is neither "yes" nor "no"')
    if not isinstance(metadata.get("creation-date"), str):
        raise _bad_metadata(at, '"creation-date" is missing or no text')


def _class_map(metadata: dict[str, Json], at: str) -> dict[str, Json]:
    names = metadata.get("class-map")
    if not isinstance(names, dict):
        raise _bad_metadata(at, '"class-map" is missing or no object in braces')
    return names


def _class_name(names: dict[str, Json], number: int, at: str) -> str:
    name = names.get(str(number)) if -1e15 < number < 1e15 else None
    if not isinstance(name, str):
        raise _Refused("ERROR_MISSING_CLASS_MAP_ID", f'"class-map" has no name for {_short(number)}', at)
    return name


def _label(name: str, what: str, at: str) -> str:
    try:
        return check_label(name)
    except Invalid as error:
        raise _bad_metadata(at, f"{what} cannot be a label: {error.why}") from None


def _box_attribute(attribute: str, value: Json) -> tuple[list[dict[str, Json]], float, float]:
    """The boxes and the image's width and height; one documented example gives the size without its list."""
    size = value.get("image_size") if isinstance(value, dict) else None
    if isinstance(size, list) and len(size) == 1:
        size = size[0]
    if not isinstance(size, dict) or not is_number(size.get("width")) or not is_number(size.get("height")):
        raise _bad_attribute(attribute, '"image_size" does not give width and height')
    boxes = value.get("annotations")
    if not isinstance(boxes, list):
        raise _bad_attribute(attribute, '"annotations" is missing or no list')
    for index, box in enumerate(boxes):
        sides = ("left", "top", "width", "height")
        is_box = isinstance(box, dict) and is_integer(box.get("class_id")) and all(is_number(box.get(s)) for s in sides)
        if not is_box:
            raise _bad_attribute(attribute, f"box {index + 1} lacks class_id, left, top, width or height as numbers")
    return boxes, size["width"], size["height"]


def _box_problem(box: dict[str, Json], width: float, height: float) -> tuple[str, str] | None:
    left, top, right, bottom = box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"]
    if min(left, top, box["width"], box["height"]) < 0 or right > width or bottom > height:
        return "ERROR_INVALID_BOUNDING_BOX", f"the box leaves the image of {width} × {height} px"
    scale = min(1.0, _TRAINING_SIDE / max(width, height))
    if min(box["width"], box["height"]) * scale <= 1:
        return "ERROR_BOUNDING_BOX_TOO_SMALL", "the box is not larger than 1 × 1 px at the size used for training"
    return None


def _bad_attribute(attribute: str, why: str) -> _Refused:
    return _Refused("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", f"attribute {_short(attribute)}: {why}", attribute)


def _bad_metadata(at: str, why: str) -> _Refused:
    return _Refused("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", f"{_short(at)}: {why}", at)


def _short(value: Json) -> str:
    text = repr(value) if isinstance(value, str | float | bool | None) else type(value).__name__
    if is_number(value):
        text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def write_manifest(entries: Iterable[tuple[str, Sequence[str]]], *, created: datetime) -> Iterator[bytes]:
    """One line, with its end, for each image: (s3://bucket/key, its labels), as AWS's console writes them.

    Each label becomes an attribute named by the label itself; a label that would collide with another key of the line
    ("source-ref", "…-metadata") gets the name label-1, label-2, … instead. An image without labels becomes a line
    without attributes, which counts as unlabelled.

    Args:
        entries: images in the order wanted.
        created: written as the creation date of every label, in UTC; a time without zone is taken as UTC.
    """
    date = created_text(created)
    for uri, labels in entries:
        line: dict[str, Json] = {"source-ref": uri}
        for label in dict.fromkeys(labels):
            attribute = _attribute(label, line, labels)
            line[attribute] = 1
            line[attribute + METADATA] = label_metadata(label, job=f"labeling-job/{label}", date=date)
        yield write(line) + b"\n"


def created_text(created: datetime) -> str:
    """`created` as AWS's console writes it: UTC, milliseconds, Z."""
    moment = created.replace(tzinfo=created.tzinfo or UTC).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def label_metadata(
    label: str, *, job: str, date: str, confidence: float = 1, annotated: Literal["yes", "no"] = "yes"
) -> dict[str, Json]:
    """The metadata of one image-level label, fields in AWS's order; `confidence` is 0 to 1."""
    return {
        "confidence": confidence,
        "job-name": job,
        "class-name": label,
        "human-annotated": annotated,
        "creation-date": date,
        "type": CLASSIFICATION,
    }


def _attribute(label: str, line: dict[str, Json], labels: Sequence[str]) -> str:
    reserved = label in SERVICE_KEYS or label == "cl" or label.endswith(METADATA) or _PREDICTION.fullmatch(label)
    if not reserved and label not in line:
        return label
    number = 1
    while f"label-{number}" in line or f"label-{number}" in labels:
        number += 1
    return f"label-{number}"


def refuse_duplicates(
    entries: Iterable[tuple[str, Sequence[str]]], *, where: Callable[[int], str] = "entry {}".format
) -> Iterator[tuple[str, Sequence[str]]]:
    """`entries` unchanged; after the last one, an error if an image came twice, since a manifest holds it once.

    Args:
        entries: (address, labels) in the order of their source.
        where: words for the 1-based number of an entry.

    Raises:
        BadData: an image came more than once; every such entry is named. What was yielded must then be thrown away.
    """
    first_of: dict[str, int] = {}
    repeated: list[str] = []
    for number, (uri, labels) in enumerate(entries, start=1):
        first = first_of.setdefault(uri, number)
        if first != number:
            repeated.append(f"{uri} ({where(number)}, first {where(first)})")
        yield uri, labels
    if repeated:
        raise BadData(listed("an image may occur once in a manifest; these occur again", repeated))


def multilabel_job_to_manifest(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The output of a SageMaker multi-label labelling job as lines that Custom Labels takes.

    For the i-th number in the list of an attribute `job`, the attribute `job<i>` is written, with that number as its
    value, the label's name from `class-map` and its confidence from `confidence-map`. The type becomes
    image-classification, also where AWS's published script was at work, which leaves it unchanged at a value that
    AWS's validator refuses. Other attributes pass through.

    Raises:
        BadData: after the last line, if a line cannot be read or an image came twice; all of them are listed, and
            what was yielded must then be thrown away.
    """
    bad: list[str] = []
    for entry in read_manifest(lines):
        problems = [problem for problem in entry.problems if problem.level == "error"]
        if problems:
            bad.append(f"line {entry.line}: {problems[0].message}" + (f" ({entry.uri})" if entry.uri else ""))
        elif entry.raw is not None:
            yield write(_job_line(parse_object(entry.raw))) + b"\n"
    if bad:
        raise BadData(listed("these lines cannot be converted", bad))


def _job_line(line: dict[str, Json]) -> dict[str, Json]:
    converted: dict[str, Json] = {}
    for key, value in line.items():
        metadata = line.get(key + METADATA)
        if not (isinstance(value, list) and isinstance(metadata, dict) and "class-map" in metadata):
            owner = line.get(key.removesuffix(METADATA))
            if isinstance(value, dict) and "class-name" in value and str(value.get("type")).endswith("-multilabel"):
                value = {**value, "type": CLASSIFICATION}
            if not (key.endswith(METADATA) and isinstance(owner, list)):
                converted[key] = value
            continue
        confidence = metadata.get("confidence-map")
        for index, number in enumerate(dict.fromkeys(value)):
            attribute = f"{key}{index}"
            while attribute in line or attribute in converted:
                attribute += "_"
            converted[attribute] = number
            converted[attribute + METADATA] = {
                "confidence": confidence.get(str(number), 1) if isinstance(confidence, dict) else 1,
                "job-name": metadata.get("job-name", f"labeling-job/{key}"),
                "class-name": metadata["class-map"][str(number)],
                "human-annotated": metadata["human-annotated"],
                "creation-date": metadata["creation-date"],
                "type": CLASSIFICATION,
            }
    return converted


def listed(what: str, items: Sequence[str]) -> str:
    """A sentence that names what is wrong, followed by `items`, one a line; beyond twenty only their number."""
    rest = [f"… and {len(items) - _SHOWN:,} more"] if len(items) > _SHOWN else []
    return f"{what}:\n" + "\n".join(f"  {item}" for item in [*items[:_SHOWN], *rest])

"""What was wrong with a data set, in the files in which Rekognition Custom Labels says it.

    ManifestSummary-….json                  counts of both sides, and the errors of the data as a whole
    TrainingManifestWithValidation-….json   the training lines again, each with what is wrong with it
    TestingManifestWithValidation-….json    the same for the test lines

Five levels of trouble, after AWS:

    1  the service failed                   nothing is written
    2  the manifest file is refused         nothing is written: raised by the reader
    3  the data as a whole cannot be used   `content_problems`: both kinds of file are written, training stops
    4  a line, label or box is refused      in the lines; training goes on while at most 20 % of the lines are bad
    5  a line is ignored                    a warning in the line; not counted as bad

Errors go into `errors`, warnings into `warnings`, at the narrowest place they belong to: a box, an attribute that is
an object, an attribute's metadata, or the line. The files can be read as manifests again.

Sources: developer guide, "Understanding the manifest summary", "Understanding training and testing validation result
manifests", "Terminal manifest content errors", "Non-terminal JSON line validation errors". The key is
error_json_line_indices, as in the guide's example, not error_line_indices, as in its prose; lines count from 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deconfuse.errors import BadData, Problem
from deconfuse.formats.manifest import AWS_LIMITS, METADATA, Entry, ManifestLimits
from deconfuse.formats.strict_json import Json, NotJson, is_integer, parse_object, write
from deconfuse.names import LOCAL_BUCKET, ObjectAddress, parse_s3
from deconfuse.tables import Split

UseCase = Literal["IMAGE_LEVEL_LABELS", "OBJECT_LOCALIZATION", "NOT_DETERMINED"]

MIN_LABELS = 2
"""Labels that image classification needs. One of AWS's pages says 1; its limits page and its other pages say 2."""
MIN_OVERLAP = 0.5
"""Share of the training labels that the test set must have, below which AWS refuses to train.

AWS refuses to split where labels have too few images, and leaves open how many: the same share decides here.
"""


@dataclass(frozen=True, slots=True)
class SideCounts:
    """The lines of one side, counted: total = valid + invalid + ignored.

    Attributes:
        use_case: what the usable lines are for.
        total: lines, blank ones included.
        valid: lines that are used.
        invalid: lines that cannot be used.
        ignored: lines in which nothing is wrong and nothing is annotated, or boxes only.
        error_lines: 1-based numbers of the invalid lines, ascending.
        errors: what is wrong with the side as a whole.
    """

    use_case: UseCase
    total: int
    valid: int
    invalid: int
    ignored: int
    error_lines: tuple[int, ...]
    errors: tuple[Problem, ...] = ()


def count_side(
    entries: Iterable[Entry], *, bad_lines: Collection[int] = (), errors: tuple[Problem, ...] = ()
) -> SideCounts:
    """The counts of one side.

    Args:
        entries: all lines of the side, in order. Files of a folder have no line; their place in `entries`, counted
            from 1, stands for it, which is their line in the validation manifest.
        bad_lines: lines that were well-formed, but whose image cannot be used.
        errors: what is wrong with the side as a whole.
    """
    n_valid = n_ignored = total = n_boxes = 0
    error_lines: list[int] = []
    bad = frozenset(bad_lines)
    for total, entry in enumerate(entries, start=1):
        line = entry.line or total
        n_boxes += entry.n_boxes
        if entry.is_invalid or line in bad:
            error_lines.append(line)
        elif entry.is_usable:
            n_valid += 1
        else:
            n_ignored += 1
    use_case: UseCase = "IMAGE_LEVEL_LABELS" if n_valid else "OBJECT_LOCALIZATION" if n_boxes else "NOT_DETERMINED"
    return SideCounts(use_case, total, n_valid, len(error_lines), n_ignored, tuple(sorted(error_lines)), errors)


def too_many_invalid(invalid: int, total: int) -> bool:
    """Whether more than 20 % of `total` lines are bad; exactly 20 %, which AWS leaves open, are not too many.

    Example:
        >>> too_many_invalid(2, 10), too_many_invalid(21, 100), too_many_invalid(0, 0)
        (False, True, False)
    """
    return invalid * 5 > total


def content_problems(
    training_labels: Collection[str],
    testing_labels: Collection[str] | None,
    *,
    is_chosen: bool = False,
    training: SideCounts | None = None,
    testing: SideCounts | None = None,
    uris: Iterable[str] = (),
    limits: ManifestLimits = AWS_LIMITS,
) -> tuple[Problem, ...]:
    """What is wrong with the data as a whole (level 3), under AWS's codes; nothing where it can be trained.

    Args:
        training_labels: labels of the usable training images.
        testing_labels: those of the usable test images; None where there need not be any.
        is_chosen: whether the test images were chosen among the training images, and not given.
        training: counts of the training lines, for the 20 % rule.
        testing: counts of the test lines.
        uris: addresses of all images; those that are s3:// must be in one bucket.
        limits: `max_labels` counts over both sides.
    """
    problems: list[Problem] = []
    for counts, split, side in ((training, "train", "training"), (testing, "test", "test")):
        if counts is not None and too_many_invalid(counts.invalid, counts.total - counts.ignored):
            judged = counts.total - counts.ignored
            why = f"{counts.invalid:,} of {judged:,} {side} lines cannot be used; up to 20 % may be bad"
            code = "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"
            problems.append(Problem(code, why, split="train" if split == "train" else "test"))
    n_labels = len(set(training_labels))
    if n_labels < MIN_LABELS:
        had = "1 label" if n_labels == 1 else "no label"
        why = f"the training images have {had}; at least {MIN_LABELS} are needed"
        problems.append(Problem("ERROR_MANIFEST_TOO_FEW_LABELS", why, split="train"))
    n_all = len(set(training_labels) | set(testing_labels or ()))
    if 0 < limits.max_labels < n_all:
        why = f"the images have {n_all:,} labels; {limits.max_labels:,} are possible"
        problems.append(Problem("ERROR_MANIFEST_TOO_MANY_LABELS", why))
    if testing_labels is not None and n_labels:
        shared = len(set(training_labels) & set(testing_labels))
        if shared / n_labels < MIN_OVERLAP:
            why = f"the test images have {shared:,} of the {n_labels:,} training labels; at least half are needed"
            code = "ERROR_INSUFFICIENT_LABEL_OVERLAP"
            if is_chosen:
                why += ", and a label needs two images, for one of them trains; add images, or give test images"
                code = "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"
            problems.append(Problem(code, why))
    buckets = sorted({parse_s3(uri).bucket for uri in uris if uri.startswith("s3://")})
    if len(buckets) > 1:
        why = f"the images are in {len(buckets)} buckets ({', '.join(buckets[:5])}); they must be in one"
        problems.append(Problem("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS", why))
    return tuple(problems)


def write_manifest_summary(training: SideCounts, testing: SideCounts | None, errors: Iterable[Problem] = ()) -> bytes:
    """The manifest summary: counts of both sides, and `errors` that concern both.

    A side that is None counts nothing.
    """
    nothing = SideCounts("NOT_DETERMINED", 0, 0, 0, 0, ())
    statistics = {"training": _statistics(training), "testing": _statistics(testing or nothing)}
    return write({"statistics": statistics, "errors": [_spelled(problem) for problem in errors]}, indent=2)


def _statistics(side: SideCounts) -> dict[str, Json]:
    return {
        "use_case": side.use_case,
        "total_json_lines": side.total,
        "valid_json_lines": side.valid,
        "invalid_json_lines": side.invalid,
        "ignored_json_lines": side.ignored,
        "error_json_line_indices": list(side.error_lines),
        "errors": [_spelled(problem) for problem in side.errors],
    }


def _spelled(problem: Problem) -> dict[str, Json]:
    return {"code": problem.code, "message": problem.message}


def write_validation_manifest(lines: Iterable[bytes], problems: Iterable[Problem]) -> Iterator[bytes]:
    """`lines` again, each with its problems; a line that is no JSON object is replaced by its problems alone.

    Lines without problems are copied byte for byte, their ends made "\\n".

    Args:
        lines: the manifest as it came, blank lines included.
        problems: in any order; each is put on the line it names, or, where it names none, on every line whose
            source-ref is its `uri`, or s3://local/ and its `uri` for a file of a folder. What names neither belongs
            into the manifest summary and is left out here.
    """
    of_line: dict[int, list[Problem]] = {}
    of_uri: dict[str, list[Problem]] = {}
    for problem in problems:
        if problem.line is not None:
            of_line.setdefault(problem.line, []).append(problem)
        elif problem.uri is not None:
            uri = problem.uri if "://" in problem.uri else str(ObjectAddress(LOCAL_BUCKET, problem.uri))
            of_uri.setdefault(uri, []).append(problem)
    for number, given in enumerate(lines, start=1):
        raw = (given.removeprefix(b"\xef\xbb\xbf") if number == 1 else given).rstrip(b"\r\n")
        found = of_line.get(number, [])
        if not found and not of_uri:
            yield raw + b"\n"
            continue
        try:
            line = parse_object(raw)
        except NotJson:
            yield (write(_with_problems({}, found)) if found else raw) + b"\n"
            continue
        found = found + of_uri.get(str(line.get("source-ref")), [])
        yield (write(_with_problems(line, found)) if found else raw) + b"\n"


def count_unused(data: bytes) -> dict[Split, tuple[int, int]]:
    """(lines that are not used, all lines) of each side, from a manifest summary, anybody's or ours.

    Raises:
        BadData: it is none.
    """
    try:
        statistics = parse_object(data)["statistics"]
        sides: dict[Split, Any] = {"train": statistics["training"], "test": statistics["testing"]}
        counts = {side: (said["total_json_lines"], said["valid_json_lines"]) for side, said in sides.items()}
    except (NotJson, KeyError, TypeError) as error:
        raise BadData(f"it is no manifest summary ({error})") from None
    if not all(is_integer(total) and is_integer(valid) and 0 <= valid <= total for total, valid in counts.values()):
        raise BadData("it is no manifest summary (its lines are not counted)")
    return {side: (total - valid, total) for side, (total, valid) in counts.items()}


def unused_images(
    counts: Mapping[Split, tuple[int, int]], files: Mapping[Split, ObjectAddress | None]
) -> tuple[int, int, dict[Split, ObjectAddress]]:
    """(images that are not used, all images, the file of each side that says why), from what `count_unused` gives.

    Args:
        counts: of each side.
        files: the manifest with validation of each side; None where there is none.
    """
    n_unused = sum(unused for unused, _ in counts.values())
    n_images = sum(total for _, total in counts.values())
    telling = {side: file for side, file in files.items() if file is not None and counts.get(side, (0, 0))[0]}
    return n_unused, n_images, telling


def read_validation_manifest(lines: Iterable[bytes], split: Split) -> Iterator[Problem]:
    """What a manifest with validation of this side says is wrong with its lines, in order.

    A line counts from 1 in this file. What has another form than `write_validation_manifest` and AWS give it is passed
    over.
    """
    for number, raw in enumerate(lines, start=1):
        if b'"errors"' not in raw and b'"warnings"' not in raw:
            continue
        try:
            line = parse_object(raw)
        except NotJson:
            continue
        uri = line.get("source-ref")
        for at, place in _places(line):
            for code, message, level in _noted(place):
                yield Problem(code, message, level, uri if isinstance(uri, str) else None, number, at, split)


def _places(line: dict[str, Json]) -> Iterator[tuple[str, dict[str, Json]]]:
    """Every object of a line that problems can stand in, with its name as `Problem.at`."""
    yield "", line
    for key, value in line.items():
        if isinstance(value, dict):
            yield key, value
            boxes = value.get("annotations")
            for index, box in enumerate(boxes if isinstance(boxes, list) else ()):
                if isinstance(box, dict):
                    yield f"{key}/annotations/{index}", box


def _noted(place: dict[str, Json]) -> Iterator[tuple[str, str, Literal["error", "warning"]]]:
    """(code, message, level) of what stands in one object."""
    levels: tuple[tuple[str, Literal["error", "warning"]], ...] = (("errors", "error"), ("warnings", "warning"))
    for key, level in levels:
        noted = place.get(key)
        for problem in noted if isinstance(noted, list) else ():
            if isinstance(problem, dict) and isinstance(problem.get("code"), str):
                yield problem["code"], str(problem.get("message") or ""), level


def _with_problems(line: dict[str, Json], problems: Iterable[Problem]) -> dict[str, Json]:
    for problem in problems:
        place = _place(line, problem.at)
        key = "errors" if problem.level == "error" else "warnings"
        noted = place.get(key)
        if not isinstance(noted, list):
            noted = place[key] = []
        if _spelled(problem) not in noted:
            noted.append(_spelled(problem))
    return line


def _place(line: dict[str, Json], at: str) -> dict[str, Json]:
    """The narrowest object that `at` names: a number cannot hold errors, so its metadata does, and else the line."""
    attribute, is_box, index = at.rpartition("/annotations/")
    if is_box and at not in line:
        boxes = line[attribute].get("annotations") if isinstance(line.get(attribute), dict) else None
        if isinstance(boxes, list) and index.isdecimal() and int(index) < len(boxes):
            box = boxes[int(index)]
            return box if isinstance(box, dict) else line
        at = attribute
    for key in (at, at + METADATA):
        place = line.get(key) if at else line
        if isinstance(place, dict):
            return place
    return line

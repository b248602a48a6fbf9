"""Manifest summary and validation manifests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import BadData, Problem
from deconfuse.formats.manifest import Entry, ManifestLimits, read_manifest
from deconfuse.formats.validation import (
    SideCounts,
    content_problems,
    count_side,
    count_unused,
    read_validation_manifest,
    too_many_invalid,
    write_manifest_summary,
    write_validation_manifest,
)

ROOT = Path(__file__).resolve().parents[2]
BAD = Problem("ERROR_INVALID_IMAGE", "it is no image", uri="s3://images/a.png", line=1)


def lines(*items: dict[str, Any] | bytes) -> list[bytes]:
    """The items as lines of a manifest."""
    return [item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in items]


@pytest.mark.parametrize(
    ("invalid", "total", "expected"),
    [(0, 0, False), (0, 10, False), (2, 10, False), (20, 100, False), (21, 100, True), (1, 4, True), (3, 3, True)],
)
def test_twenty_percent_rule(invalid: int, total: int, expected: bool) -> None:
    """More than a fifth is too many; exactly a fifth is not."""
    assert too_many_invalid(invalid, total) is expected


def test_sides_are_counted() -> None:
    """Usable, bad and ignored lines add up to all lines; bad images count by their lines."""
    entries = [
        Entry("s3://images/a", ("cat",), 1),
        Entry("s3://images/b", ("cat",), 2),
        Entry(None, (), 3, problems=(Problem("ERROR_INVALID_JSON_LINE", "", line=3),)),
        Entry("s3://images/d", (), 4, problems=(Problem("WARNING_UNANNOTATED_RECORD", "", level="warning"),)),
    ]

    counts = count_side(entries, bad_lines=[2])

    assert counts == SideCounts("IMAGE_LEVEL_LABELS", 4, 1, 2, 1, (2, 3))


def test_use_case() -> None:
    """Labels make it image-level, boxes alone object localisation, nothing leaves it open."""
    boxes = count_side([Entry("s3://images/a", (), 1, n_boxes=2)])

    assert (boxes.use_case, boxes.ignored) == ("OBJECT_LOCALIZATION", 1)
    assert count_side([]).use_case == "NOT_DETERMINED"


def test_files_of_a_folder_count_by_their_place() -> None:
    """A file has no line of its own; its place in the list stands for it."""
    entries = [Entry("a.jpg", ("x",)), Entry("b.jpg", ("x",)), Entry("c.jpg", ("x",))]

    assert count_side(entries, bad_lines=[3]).error_lines == (3,)


def test_summary_has_the_form_of_aws() -> None:
    """Statistics of both sides with AWS's keys, errors as code and message; a missing test side counts nothing."""
    too_few = Problem("ERROR_MANIFEST_TOO_FEW_LABELS", "one label")
    training = SideCounts("IMAGE_LEVEL_LABELS", 301, 146, 155, 0, (1, 2, 300), (too_few,))

    content = json.loads(write_manifest_summary(training, None, [BAD]))

    assert content["statistics"]["training"] == {
        "use_case": "IMAGE_LEVEL_LABELS",
        "total_json_lines": 301,
        "valid_json_lines": 146,
        "invalid_json_lines": 155,
        "ignored_json_lines": 0,
        "error_json_line_indices": [1, 2, 300],
        "errors": [{"code": "ERROR_MANIFEST_TOO_FEW_LABELS", "message": "one label"}],
    }
    assert content["statistics"]["testing"]["use_case"] == "NOT_DETERMINED"
    assert content["errors"] == [{"code": "ERROR_INVALID_IMAGE", "message": "it is no image"}]


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("", []),
        ("animal", ["animal-metadata"]),
        ("animal-metadata", ["animal-metadata"]),
        ("box", ["box"]),
        ("box/annotations/1", ["box", "annotations", 1]),
        ("box/annotations/7", ["box"]),
        ("gone", []),
    ],
)
def test_problems_stand_at_the_narrowest_place(at: str, path: list[str | int]) -> None:
    """A number cannot hold errors, so its metadata does; what is not there leaves the line."""
    line = {"source-ref": "s3://images/a.png", "animal": 1, "animal-metadata": {"type": "x"},
            "box": {"annotations": [{"left": 1}, {"left": 2}]}}  # fmt: skip

    (written,) = write_validation_manifest(lines(line), [Problem("ERROR_X", "why", line=1, at=at)])

    place = json.loads(written)
    for step in path:
        place = place[step]
    assert place["errors"] == [{"code": "ERROR_X", "message": "why"}]
    assert written.count(b'"errors"') == 1


def test_levels_have_their_own_lists() -> None:
    """Errors and warnings stand apart, in the order given, none of them twice."""
    warning = Problem("WARNING_X", "hm", level="warning", line=1)

    (written,) = write_validation_manifest(lines({"source-ref": "s3://images/a.png"}), [BAD, warning, BAD])

    assert json.loads(written) == {
        "source-ref": "s3://images/a.png",
        "errors": [{"code": "ERROR_INVALID_IMAGE", "message": "it is no image"}],
        "warnings": [{"code": "WARNING_X", "message": "hm"}],
    }


def test_unreadable_lines_become_their_error() -> None:
    """A line that is no JSON object is replaced by what is wrong with it; the numbers of the others stay."""
    given = lines(b"nonsense\n", b"[1]\n", {"source-ref": "s3://images/a.png"})

    found = list(write_validation_manifest(given, [p for entry in read_manifest(given) for p in entry.problems]))

    assert [list(json.loads(line)) for line in found] == [["errors"], ["errors"], ["source-ref", "warnings"]]


def test_other_lines_are_copied() -> None:
    """Lines without problems stay byte for byte, apart from their ends and the mark at the beginning."""
    given = [b'\xef\xbb\xbf{"a" : 1}\r\n', b"{}", b"\n"]

    assert list(write_validation_manifest(given, [])) == [b'{"a" : 1}\n', b"{}\n", b"\n"]


@pytest.mark.parametrize("uri", ["s3://local/cats/a.jpg", "cats/a.jpg"])
def test_problems_of_an_image_find_their_line(uri: str) -> None:
    """A problem without a line goes to the image's line, under its address or the path that the address stands for."""
    given = lines({"source-ref": "s3://local/cats/a.jpg"}, {"source-ref": "s3://local/cats/b.jpg"}, b"[]")

    first, *others = write_validation_manifest(given, [Problem("ERROR_INVALID_IMAGE", "why", uri=uri)])

    assert json.loads(first)["errors"] == [{"code": "ERROR_INVALID_IMAGE", "message": "why"}]
    assert others == [given[1], b"[]\n"]


def test_validation_manifest_can_be_read_again() -> None:
    """A validation manifest is a manifest: its notes are no labels, and cost none."""
    metadata = {"confidence": 1, "class-name": "cat", "human-annotated": "yes", "creation-date": "2020",
                "type": "groundtruth/image-classification"}  # fmt: skip
    given = lines({"source-ref": "s3://images/a.png", "x": 1, "x-metadata": metadata})

    noted = write_validation_manifest(given, [BAD, Problem("WARNING_X", "", level="warning", line=1, at="x")])
    (entry,) = read_manifest(noted)

    assert (entry.labels, entry.problems) == (("cat",), ())


def test_problems_are_read_back() -> None:
    """Wherever they stand on a line, with its number, its address and the side."""
    line = {"source-ref": "s3://images/a.png", "animal": 1, "animal-metadata": {"type": "x"},
            "box": {"annotations": [{"left": 1}, {"left": 2}]}}  # fmt: skip
    uri = "s3://images/a.png"
    given = [
        Problem("ERROR_A", "of the line", uri=uri, line=2, split="test"),
        Problem("WARNING_B", "of the label", "warning", uri, 2, "animal-metadata", "test"),
        Problem("ERROR_C", "of a box", uri=uri, line=2, at="box/annotations/1", split="test"),
        Problem("ERROR_D", "no JSON", line=3, split="test"),
    ]
    written = write_validation_manifest(lines({"source-ref": "s3://images/b.png"}, line, b"nonsense"), given)

    assert list(read_validation_manifest(written, "test")) == given


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'"errors"',
        b'{"errors": 7, "warnings": {"code": "X"}}',
        b'{"errors": ["no", {}, {"code": 7}, {"message": "no code"}], "x": {"annotations": 7}}',
        b'{"errors": [{"code": "X"}',
        b'{"errors": [{"code": "X"}], "errors": []}',
        b"\xff\xfe errors",
    ],
)
def test_what_is_no_problem_is_passed_over(line: bytes) -> None:
    """Lines of any form are there, in files of anybody; the numbers of the others stay."""
    good = b'{"source-ref": 7, "errors": [{"code": "ERROR_X", "message": null}]}'

    assert list(read_validation_manifest([line, good], "train")) == [Problem("ERROR_X", "", line=2, split="train")]


def test_lines_that_are_not_used_are_counted_from_a_summary() -> None:
    """Bad and ignored ones, of each side."""
    sides = SideCounts("IMAGE_LEVEL_LABELS", 301, 296, 3, 2, (4, 17, 300)), SideCounts("NOT_DETERMINED", 5, 5, 0, 0, ())

    assert count_unused(write_manifest_summary(*sides)) == {"train": (5, 301), "test": (0, 5)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"statistics": []}',
        b'{"statistics": {"training": {}, "testing": {}}}',
        b'{"statistics": {"training": {"total_json_lines": 1, "valid_json_lines": 1}}}',
        b'{"statistics": {"training": 1, "testing": 2}}',
    ]
    + [
        b'{"statistics": {"training": {"total_json_lines": %s, "valid_json_lines": %s}, '
        b'"testing": {"total_json_lines": 0, "valid_json_lines": 0}}}' % pair
        for pair in [
            (b'"1"', b"1"),
            (b"1", b"2"),
            (b"1", b"-1"),
            (b"1.5", b"1"),
            (b"null", b"null"),
            (b"true", b"true"),
        ]
    ],
)
def test_what_is_no_manifest_summary_is_said(data: bytes) -> None:
    """Another file, other keys, numbers that count nothing."""
    with pytest.raises(BadData, match="it is no manifest summary"):
        count_unused(data)


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        ((["a", "b"], ["a", "b"]), []),
        ((["a", "b"], None), []),
        ((["a", "b"], ["a"]), []),
        ((["a"], None), ["ERROR_MANIFEST_TOO_FEW_LABELS"]),
        (([], []), ["ERROR_MANIFEST_TOO_FEW_LABELS"]),
        ((["a", "b", "c"], ["a"]), ["ERROR_INSUFFICIENT_LABEL_OVERLAP"]),
        ((["a", "b"], ["c"]), ["ERROR_INSUFFICIENT_LABEL_OVERLAP"]),
        (([f"l{i}" for i in range(251)], None), ["ERROR_MANIFEST_TOO_MANY_LABELS"]),
    ],
)
def test_labels_of_both_sides(arguments: tuple[list[str], list[str] | None], codes: list[str]) -> None:
    """Two to 250 labels, half of them tested: what AWS asks for, under its codes."""
    assert [problem.code for problem in content_problems(*arguments)] == codes


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        ((["a", "b"], ["a"]), []),
        ((["a", "b"], []), ["ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"]),
        ((["a", "b", "c"], ["a"]), ["ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"]),
        (([], []), ["ERROR_MANIFEST_TOO_FEW_LABELS"]),
    ],
)
def test_labels_of_a_side_that_was_chosen(arguments: tuple[list[str], list[str]], codes: list[str]) -> None:
    """The same half as of a test set that is given, under the code of a split."""
    assert [problem.code for problem in content_problems(*arguments, is_chosen=True)] == codes


def test_content_as_a_whole() -> None:
    """Too many bad lines and more than one bucket stop a training; ignored lines do not count."""
    training = SideCounts("IMAGE_LEVEL_LABELS", 20, 7, 3, 10, (1, 2, 3))
    uris = ["s3://one/a", "s3://two/b", "cats/c.jpg"]

    found = content_problems(["a", "b"], None, training=training, testing=training, uris=uris)

    assert [(problem.code, problem.split) for problem in found] == [
        ("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST", "train"),
        ("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST", "test"),
        ("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS", None),
    ]
    assert content_problems(["a", "b"], None, limits=ManifestLimits(max_labels=0)) == ()


def test_every_code_is_documented() -> None:
    """A code that a user can meet stands in docs, and none stands there that nobody can meet."""
    sources = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    code = r"\b(?:ERROR|WARNING)_[A-Z][A-Z0-9_]+\b"

    tables = "\n".join((ROOT / f"docs/{name}.md").read_text() for name in ("formats", "service-datasets"))
    assert set(re.findall(f'"({code})"', sources)) == set(re.findall(code, tables))

"""Manifests: every code of AWS at its place, and everything liberal that the format allows."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from deconfuse.errors import BadData, BadManifest
from deconfuse.formats.manifest import (
    Entry,
    ManifestLimits,
    multilabel_job_to_manifest,
    read_line,
    read_manifest,
    refuse_duplicates,
    write_manifest,
)

Line = dict[str, Any]

META = {
    "confidence": 1,
    "class-name": "cat",
    "human-annotated": "yes",
    "creation-date": "2020-03-06T17:46:39.176",
    "type": "groundtruth/image-classification",
}
GOOD: Line = {"source-ref": "s3://images/a.png", "animal": 1, "animal-metadata": META}
JOB_META = {
    "job-name": "labeling-job/sport",
    "class-map": {"0": "ball", "1": "bicycle", "8": "court"},
    "confidence-map": {"0": 0.8, "1": 0.95, "8": 0.4},
    "human-annotated": "yes",
    "creation-date": "2020-03-06 17:46:39",
    "type": "groundtruth/image-classification-multilabel",
}
JOB: Line = {"source-ref": "s3://images/a.png", "sport": [1, 0, 8], "sport-metadata": JOB_META}
BOX = {"class_id": 0, "left": 10, "top": 10, "width": 50, "height": 40}
BOX_META = {
    "objects": [{"confidence": 1}],
    "class-map": {"0": "cap"},
    "human-annotated": "yes",
    "creation-date": "2020-03-06T17:46:39Z",
    "type": "groundtruth/object-detection",
}


def labelled(**changes: Any) -> Line:
    """The good line with fields of its metadata changed, or left out where the value is ...."""
    metadata = {key.replace("_", "-"): value for key, value in {**META, **_dashed(changes)}.items() if value is not ...}
    return {**GOOD, "animal-metadata": metadata}


def _dashed(changes: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in changes.items()}


def boxed(*boxes: Any, width: int = 640, height: int = 480, **changes: Any) -> Line:
    """A line with boxes, each with its confidence."""
    metadata = {**BOX_META, "objects": [{"confidence": 1} for _ in boxes], **_dashed(changes)}
    value = {"image_size": [{"width": width, "height": height, "depth": 3}], "annotations": list(boxes)}
    return {"source-ref": "s3://images/a.png", "box": value, "box-metadata": metadata}


def read(*lines: Line | bytes, **options: Any) -> list[Entry]:
    """The entries of a manifest with these lines."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines]
    return list(read_manifest(raw, **options))


def without(line: Line, *keys: str) -> Line:
    """`line` without some of its keys."""
    return {key: value for key, value in line.items() if key not in keys}


REFUSED: dict[str, list[Line | bytes]] = {
    "ERROR_MISSING_SOURCE_REF": [without(GOOD, "source-ref"), {"source_ref": "s3://images/a.png"}, {}],
    "ERROR_INVALID_SOURCE_REF_FORMAT": [
        {**GOOD, "source-ref": value}
        for value in ("https://images/a.png", "s3://images", "s3://images/", "a.png", "", 5, None, ["s3://i/a"])
    ],
    "ERROR_NO_LABEL_ATTRIBUTES": [
        without(GOOD, "animal"),
        without(GOOD, "animal-metadata"),
        {**GOOD, "second-metadata": META},
        {"source-ref": "s3://images/a.png", "animl": 1, "animal-metadata": META},
    ],
    "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT": [{**GOOD, "animal": value} for value in ("1", None, [1], {}, True, 1.5)]
    + [
        {**JOB, "sport": 1},
        {**JOB, "sport": ["1"]},
        boxed("no box"),
        boxed({**BOX, "left": "10"}),
        boxed(without(BOX, "class_id")),
        {**boxed(BOX), "box": {"annotations": [BOX]}},
        {**boxed(BOX), "box": {"image_size": [{"width": 640, "height": 480}]}},
        {**boxed(BOX), "box": 1},
    ],
    "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT": [
        labelled(confidence=...),
        labelled(confidence="high"),
        labelled(class_name=...),
        labelled(class_name=7),
        labelled(class_name="  "),
        labelled(class_name="a\nb"),
        labelled(human_annotated=...),
        labelled(human_annotated="maybe"),
        labelled(creation_date=...),
        labelled(type=...),
        labelled(type=3),
        {**GOOD, "animal-metadata": []},
        {**JOB, "sport-metadata": without(JOB_META, "class-map")},
        boxed(BOX, class_map=[]),
        boxed(BOX, class_map={"0": " "}),
        boxed(BOX, class_map={"0": "a\0b"}),
        boxed(BOX, objects={}),
    ],
    "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE": [
        boxed(BOX, objects=[]),
        boxed(BOX, objects=[{}]),
        boxed(BOX, objects=[1]),
    ],
    "ERROR_MISSING_CLASS_MAP_ID": [
        boxed({**BOX, "class_id": 3}),
        {**JOB, "sport": [1, 2]},
        {**JOB, "sport": [10**400]},
    ],
    "ERROR_INVALID_JSON_LINE": [
        b"nonsense",
        b"{'source-ref': 1}",
        b"[1]",
        b"7",
        b"null",
        b"\n",
        b"{" + b"\n",
        b'{"source-ref":"s3://images/a.png","a":NaN}',
        b'{"source-ref":"s3://images/a.png","a":1e999}',
        b'{"source-ref":"s3://images/a.png","a":1,"a":2}',
        b'{"source-ref":"s3://images/a.png","a":' + b"[" * 40_000 + b"}",
        b'{"source-ref":"s3://images/\\ud800.png"}',
        b'{"source-ref":"s3://images/\xff.png"}',
        "{}".encode("utf-16"),
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
    "ERROR_LINE_TOO_LONG": [b'{"source-ref":"' + b"x" * 100_000 + b'"}'],
    "ERROR_TOO_MANY_LABELS_PER_IMAGE": [
        {"source-ref": "s3://images/a.png"}
        | {f"l{i}": 1 for i in range(51)}
        | {f"l{i}-metadata": {**META, "class-name": f"l{i}"} for i in range(51)}
    ],
}
"""Lines that cannot be used at all, by the one code they must give."""

NOTHING_LEFT: dict[str, tuple[Line, set[str]]] = {
    "ERROR_UNSUPPORTED_USE_CASE_TYPE": (
        labelled(type="groundtruth/semantic-segmentation"),
        {"ERROR_NO_VALID_LABEL_ATTRIBUTES"},
    ),
    "ERROR_INVALID_LABEL_NAME_LENGTH": (labelled(class_name="x" * 256), {"ERROR_NO_VALID_LABEL_ATTRIBUTES"}),
    "ERROR_INVALID_IMAGE_DIMENSION": (boxed(BOX, width=63), set()),
    "ERROR_TOO_MANY_BOUNDING_BOXES": (boxed(*[BOX] * 51), set()),
    "ERROR_INVALID_BOUNDING_BOX": (boxed({**BOX, "left": 600}), {"ERROR_NO_VALID_ANNOTATIONS"}),
    "ERROR_BOUNDING_BOX_TOO_SMALL": (
        boxed({**BOX, "width": 2}, width=2561, height=600),
        {"ERROR_NO_VALID_ANNOTATIONS"},
    ),
}
"""Lines of which one part is refused, and what follows because nothing else is on them."""


@pytest.mark.parametrize(
    ("code", "line"),
    [(code, line) for code, lines in REFUSED.items() for line in lines],
    ids=lambda value: str(value)[:40],
)
def test_refused_lines_give_their_code(code: str, line: Line | bytes) -> None:
    """A line that cannot be used is an entry without labels, with AWS's code, a sentence and its line number."""
    bad, good = read(line, {**GOOD, "source-ref": "s3://images/after.png"})

    assert [problem.code for problem in bad.problems] == [code]
    assert (bad.problems[0].line, bad.problems[0].level, bad.line) == (1, "error", 1)
    assert bad.is_invalid
    assert not bad.is_usable
    assert good.labels == ("cat",)


@pytest.mark.parametrize("code", NOTHING_LEFT)
def test_refused_parts_give_their_code(code: str) -> None:
    """A part that is refused is named; with nothing else on the line, the line is refused too."""
    line, following = NOTHING_LEFT[code]

    (entry,) = read(line)

    assert {problem.code for problem in entry.problems} == {code} | following
    assert entry.is_invalid


def test_all_codes_of_a_line_are_tried() -> None:
    """The two tables above hold every code that AWS documents for a line and that can be seen without the image."""
    tried = {*REFUSED, *NOTHING_LEFT} | {code for _, following in NOTHING_LEFT.values() for code in following}

    assert tried >= {
        "ERROR_MISSING_SOURCE_REF", "ERROR_INVALID_SOURCE_REF_FORMAT", "ERROR_NO_LABEL_ATTRIBUTES",
        "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
        "ERROR_NO_VALID_LABEL_ATTRIBUTES", "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE", "ERROR_MISSING_CLASS_MAP_ID",
        "ERROR_INVALID_JSON_LINE", "ERROR_INVALID_IMAGE_DIMENSION", "ERROR_INVALID_BOUNDING_BOX",
        "ERROR_NO_VALID_ANNOTATIONS", "ERROR_BOUNDING_BOX_TOO_SMALL", "ERROR_TOO_MANY_BOUNDING_BOXES",
        "ERROR_UNSUPPORTED_USE_CASE_TYPE", "ERROR_INVALID_LABEL_NAME_LENGTH",
    }  # fmt: skip


def test_one_bad_label_leaves_the_others() -> None:
    """A label that is too long is dropped with its code, and the image keeps its other labels."""
    line = {**GOOD, "other": 1, "other-metadata": {**META, "class-name": "x" * 300}}

    (entry,) = read(line)

    assert entry.labels == ("cat",)
    assert [(problem.code, problem.at) for problem in entry.problems] == [
        ("ERROR_INVALID_LABEL_NAME_LENGTH", "other-metadata")
    ]
    assert entry.is_usable


def test_one_bad_box_leaves_the_others() -> None:
    """A box outside the image is named by its place; the other box counts."""
    (entry,) = read(boxed(BOX, {**BOX, "top": -1}))

    assert entry.n_boxes == 1
    assert [problem.at for problem in entry.problems] == ["box/annotations/1"]
    assert entry.is_ignored


def test_labels_of_boxes_that_can_be_used_are_known() -> None:
    """Without repetition, in the order of the boxes; they are no labels of the image."""
    names = {"0": "cap", "1": "hat", "2": "cat"}
    boxes = [{**BOX, "class_id": number} for number in (2, 0, 2)] + [{**BOX, "class_id": 1, "top": -1}]
    (entry,) = read(boxed(*boxes, class_map=names))

    assert (entry.boxed, entry.labels) == (("cat", "cap"), ())


def test_a_line_by_itself_is_judged_alike() -> None:
    """As in a manifest, except that nothing can come twice."""
    for line in (GOOD, JOB, boxed(BOX), without(GOOD, "animal"), {}):
        raw = json.dumps(line).encode()
        assert read_line(raw, 1) == read_line(raw, 1) == read(raw)[0]


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ({"source-ref": "s3://images/a.png"}, {"WARNING_UNANNOTATED_RECORD"}),
        ({"source-ref": "s3://images/a.png", "cl-metadata": {"is_labeled": False}}, {"WARNING_UNANNOTATED_RECORD"}),
        (boxed(), {"WARNING_NO_ATTRIBUTE_ANNOTATIONS", "WARNING_NO_ANNOTATIONS"}),
        ({**JOB, "sport": []}, {"WARNING_NO_ATTRIBUTE_ANNOTATIONS", "WARNING_NO_ANNOTATIONS"}),
    ],
)
def test_lines_without_labels_are_ignored(line: Line, codes: set[str]) -> None:
    """Nothing annotated is a warning: the line is not used, and does not count as bad."""
    (entry,) = read(line)

    assert {problem.code for problem in entry.problems} == codes
    assert entry.is_ignored
    assert not entry.is_invalid


@pytest.mark.parametrize(
    "line",
    [
        labelled(creation_date="last Tuesday"),
        labelled(creation_date="2020-03-06 17:46:39"),
        labelled(type="groundtruth/image-classification-multilabel"),
        labelled(confidence=0),
        {**GOOD, "animal": 0},
        {**GOOD, "animal": 10**30},
        {**GOOD, "note": "from the old camera", "metadata": {"size": 3}},
        {**GOOD, "line-idx": 4, "rekognition-custom-labels-object-id": 9, "errors": [{"code": "X", "message": ""}]},
        {**GOOD, "twin": 1, "twin-metadata": META},
    ],
    ids=str,
)
def test_what_nobody_uses_costs_no_sample(line: Line) -> None:
    """Odd dates, unused values, foreign keys and the service's own keys leave a line usable, its label counted once."""
    (entry,) = read(line)

    assert (entry.labels, entry.problems) == (("cat",), ())


def test_job_form_is_read() -> None:
    """The list of a multi-label job gives its labels in order, one that stands there twice only once."""
    (entry,) = read({**JOB, "sport": [1, 0, 1]})

    assert (entry.labels, entry.problems) == (("bicycle", "ball"), ())


def test_predictions_of_a_snapshot_are_no_labels() -> None:
    """A snapshot fed back as a manifest must not teach the model what it said before."""
    said = {**META, "class-name": "dog", "rekognition-custom-labels-evaluation-details": {"version": 1}}

    (entry,) = read({**GOOD, "said": 1, "said-metadata": said, "rekognition-custom-labels-evaluation-0": 1,
                     "rekognition-custom-labels-evaluation-0-metadata": {**META, "class-name": "cow"}})  # fmt: skip

    assert entry.labels == ("cat",)


def test_second_line_of_an_image_is_refused() -> None:
    """A source-ref may occur once; the later line names the first, and an unusable first line counts too."""
    first, other, second = read(GOOD, {**GOOD, "source-ref": "s3://images/b.png"}, labelled(class_name="dog"))

    assert (first.is_usable, other.is_usable) == (True, True)
    assert second.problems[0].code == "ERROR_DUPLICATE_SOURCE_REF"
    assert "line 1" in second.problems[0].message
    assert second.uri == "s3://images/a.png"


def test_byte_order_mark_and_line_ends() -> None:
    """A byte order mark, CRLF and blank lines at the end are no fault; the raw line comes without them."""
    line = json.dumps(GOOD).encode()

    (entry,) = read(b"\xef\xbb\xbf" + line + b"\r\n", b"\r\n", b"  \n")

    assert (entry.labels, entry.raw) == (("cat",), line)


def test_blank_lines_between_lines_count() -> None:
    """A blank line inside the file is a bad line with its number, as AWS counts it."""
    entries = read(GOOD, b"\n", b" \n", {**GOOD, "source-ref": "s3://images/b.png"})

    assert [(entry.line, entry.is_invalid) for entry in entries] == [(1, False), (2, True), (3, True), (4, False)]


def test_empty_manifest_has_no_entries() -> None:
    """No line, no entry; what that means is for the caller to say."""
    assert read() == read(b"\n") == []


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ManifestLimits(max_lines=2), "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM"),
        (ManifestLimits(max_bytes=600), "ERROR_MANIFEST_SIZE_TOO_LARGE"),
    ],
)
def test_too_large_a_file_is_refused(limits: ManifestLimits, code: str) -> None:
    """A file over the limits is refused as a whole, under AWS's code."""
    with pytest.raises(BadManifest) as caught:
        read(*[{**GOOD, "source-ref": f"s3://images/{i}.png"} for i in range(3)], limits=limits)

    assert caught.value.code == code


def test_no_limit_is_zero() -> None:
    """A limit of 0 is none: a line of 200,000 characters is read."""
    (entry,) = read({**GOOD, "note": "x" * 200_000}, limits=ManifestLimits(max_line_length=0, max_bytes=0, max_lines=0))

    assert entry.is_usable


def test_memory_does_not_grow_with_the_lines() -> None:
    """Reading streams: 20,000 lines hold no more than their addresses."""
    line = json.dumps(GOOD)
    lines = (line.replace("a.png", f"{i}.png").encode() for i in range(20_000))

    tracemalloc.start()
    n_usable = sum(entry.is_usable for entry in read_manifest(lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n_usable == 20_000
    assert peak < 6_000_000


def test_written_lines_have_the_form_of_the_console() -> None:
    """Each label is an attribute of its own name, with confidence 1 and milliseconds in UTC."""
    created = datetime(2021, 7, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))

    (line,) = write_manifest([("s3://images/a.png", ["camellia"])], created=created)

    assert line == (
        b'{"source-ref":"s3://images/a.png","camellia":1,"camellia-metadata":{"confidence":1,'
        b'"job-name":"labeling-job/camellia","class-name":"camellia","human-annotated":"yes",'
        b'"creation-date":"2021-07-01T12:00:00.123Z","type":"groundtruth/image-classification"}}\n'
    )


def test_labels_that_are_keys_survive() -> None:
    """Labels called source-ref, errors, cl, a and a-metadata are written so that they are read again."""
    labels = ("source-ref", "errors", "cl", "a", "a-metadata", "label-1", "rekognition-custom-labels-evaluation-0")

    (entry,) = read_manifest(write_manifest([("s3://images/a.png", labels)], created=datetime(2020, 1, 1)))

    assert (entry.labels, entry.problems) == (labels, ())


def test_job_becomes_single_labels() -> None:
    """The documented transformation: <job><i> with number, name and confidence, and a type that AWS accepts."""
    (line,) = multilabel_job_to_manifest([json.dumps({**JOB, "note": "kept"}).encode()])

    converted = json.loads(line)
    assert list(converted) == [
        "source-ref", "sport0", "sport0-metadata", "sport1", "sport1-metadata", "sport2", "sport2-metadata", "note",
    ]  # fmt: skip
    assert (converted["sport0"], converted["sport2"]) == (1, 8)
    assert converted["sport0-metadata"] == {
        "confidence": 0.95,
        "job-name": "labeling-job/sport",
        "class-name": "bicycle",
        "human-annotated": "yes",
        "creation-date": "2020-03-06 17:46:39",
        "type": "groundtruth/image-classification",
    }


def test_type_that_the_published_script_leaves_is_mended() -> None:
    """A single label of the type …-multilabel becomes image-classification, and new names collide with none."""
    line = {**JOB, "sport0": 1, "sport0-metadata": {**META, "type": JOB_META["type"]}}

    converted = list(multilabel_job_to_manifest([json.dumps(line).encode()]))

    assert b"multilabel" not in converted[0]
    assert read(*converted)[0].labels == ("bicycle", "ball", "court", "cat")


def test_job_with_bad_lines_is_refused_with_a_list() -> None:
    """Duplicates and unreadable lines are all named, with their lines."""
    line = json.dumps(JOB).encode()

    with pytest.raises(BadData, match=r"line 2: .*line 1.*\n.*line 3: "):
        list(multilabel_job_to_manifest([line, line, b"nonsense"]))


def test_duplicates_are_refused_with_a_list() -> None:
    """Every entry passes through, then each repeated one is named; more than twenty are counted."""
    entries = [("s3://images/a.png", ("x",))] * 30

    passed: list[object] = []
    with pytest.raises(BadData, match="and 9 more") as caught:
        passed.extend(refuse_duplicates(entries, where="row {}".format))

    assert "s3://images/a.png (row 2, first row 1)" in str(caught.value)


def test_entries_arrive_before_the_file_ends() -> None:
    """The first entry is there before the second line is read."""

    def lines() -> Iterator[bytes]:
        yield json.dumps(GOOD).encode()
        raise AssertionError("read ahead")

    assert next(read_manifest(lines())).is_usable


def test_split_is_handed_through() -> None:
    """Entries and their problems carry the side they were read for."""
    good, bad = read(GOOD, b"nonsense", split="test")

    assert (good.split, bad.split, bad.problems[0].split) == ("test", "test", "test")


def test_date_is_utc_without_zone_too() -> None:
    """A time without zone counts as UTC."""
    plain = list(write_manifest([("s3://images/a", ["x"])], created=datetime(2020, 1, 1)))

    assert plain == list(write_manifest([("s3://images/a", ["x"])], created=datetime(2020, 1, 1, tzinfo=UTC)))

"""Folders, label tables and COCO files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import BadData
from deconfuse.formats.evaluation import SnapshotRow, read_snapshot, read_summary
from deconfuse.formats.manifest import Entry, read_manifest
from deconfuse.formats.samples import coco_to_manifest, folder_entries, read_label_csv

NOW = datetime(2024, 5, 6, 7, 8, 9)


def sides(*paths: str) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """Path → (split, labels) of a folder with these files."""
    return {entry.uri or "": (entry.split, entry.labels) for entry in folder_entries(paths).entries}


def test_first_folder_is_the_label() -> None:
    """The label is the first folder, however deep the file lies; the order of the files does not matter."""
    listing = folder_entries(["dogs/big/rex.png", "cats/tom.jpg"])

    assert [(entry.uri, entry.labels, entry.split) for entry in listing.entries] == [
        ("cats/tom.jpg", ("cats",), None),
        ("dogs/big/rex.png", ("dogs",), None),
    ]
    assert (listing.is_split, listing.notes) == (False, ())


@pytest.mark.parametrize(
    ("tops", "expected"),
    [
        (("train", "test"), {"train": "train", "test": "test"}),
        (("Training", "TESTING"), {"Training": "train", "TESTING": "test"}),
        (("train", "val"), {"train": "train", "val": "test"}),
        (("training", "valid", "validation"), {"training": "train", "valid": "test", "validation": "test"}),
        (("train", "val", "test"), {"train": "train", "val": "train", "test": "test"}),
        (("train", "training", "test"), {"train": "train", "training": "train", "test": "test"}),
        (("test",), {"test": "test"}),
        (("train",), {"train": None}),
    ],
)
def test_split_folders(tops: tuple[str, ...], expected: dict[str, str | None]) -> None:
    """Names of sides are known in any case; val tests only where nothing else does; train alone decides nothing."""
    found = sides(*[f"{top}/cats/deep/tom.jpg" for top in tops])

    assert found == {f"{top}/cats/deep/tom.jpg": (side, ("cats",)) for top, side in expected.items()}


def test_notes_say_where_validation_images_go() -> None:
    """Whoever has a val folder is told what became of it."""
    (joins,) = folder_entries(["train/a/1.jpg", "val/a/2.jpg", "test/a/3.jpg"]).notes
    (tests,) = folder_entries(["train/a/1.jpg", "val/a/2.jpg"]).notes

    assert joins == "val/ joins the training images, because there is a test folder"
    assert tests == "val/ is the test set, because there is no test folder"


@pytest.mark.parametrize("paths", [["train/a/1.jpg", "cats/2.jpg"], ["train/1.jpg", "test/a/2.jpg"], ["cats/1.jpg"]])
def test_what_is_no_split_folder(paths: list[str]) -> None:
    """One other folder, or one image directly in a side, and the top folders are labels."""
    listing = folder_entries(paths)

    assert not listing.is_split
    assert [entry.labels for entry in listing.entries] == [(path.split("/")[0],) for path in sorted(paths)]


def test_sides_taken_as_labels_are_explained() -> None:
    """A stray file that turns train/ and test/ into labels is named."""
    (note,) = folder_entries(["train/stray.jpg", "train/a/1.jpg", "test/a/2.jpg"]).notes

    assert "train/stray.jpg" in note


@pytest.mark.parametrize(
    "name", ["README.txt", "tom.XMP", "tom.jpg.json", "tom.xml", "labels.csv", "tom.jpg~", "x.safetensors", "a.mp4"]
)
def test_files_named_otherwise_are_no_samples(name: str) -> None:
    """Notes and sidecars beside photographs are neither good nor bad images; one warning says so."""
    listing = folder_entries(["cats/tom.jpg", f"cats/{name}"])
    (problem,) = listing.problems

    assert [entry.uri for entry in listing.entries] == ["cats/tom.jpg"]
    assert listing.others == (f"cats/{name}",)
    assert (problem.code, problem.level) == ("WARNING_NOT_AN_IMAGE_FILE", "warning")
    assert f"1 file that has no name of an image left out: cats/{name}" in problem.message


@pytest.mark.parametrize(
    "name",
    ["tom", "tom.JPG", "tom.png", "IMG 12.5.2024", "tom.1", "Mr. Tom", "tom.", "tom.heic", "tom.svg", "1. a cat"],
)
def test_files_that_may_be_images_are_samples(name: str) -> None:
    """No ending, or an image's in any case, or one of images that cannot be read: what it is, its content says."""
    listing = folder_entries([f"cats/{name}"])

    assert [entry.uri for entry in listing.entries] == [f"cats/{name}"]
    assert (listing.others, listing.problems) == ((), ())


def test_four_hundred_sidecars_are_one_warning() -> None:
    """The first are named, the others counted; names that are no text are shown readably."""
    paths = [f"cats/{number:03}.json" for number in range(399)] + ["cats/\udcff.txt"]
    (problem,) = folder_entries(paths).problems

    assert "400 files that have no name of an image left out: cats/000.json, " in problem.message
    assert problem.message.endswith("cats/004.json and 395 more")
    assert "\\udcff.txt" in folder_entries(paths[-1:]).problems[0].message


def test_other_files_do_not_decide_what_a_folder_is() -> None:
    """A note beside train/ and test/, or in one of them, makes no labels of them."""
    listing = folder_entries(["train/README.txt", "docs/a.md", "train/a/1.jpg", "test/a/2.jpg"])

    assert listing.is_split
    assert [entry.uri for entry in listing.entries] == ["test/a/2.jpg", "train/a/1.jpg"]


def test_hidden_and_system_files_are_passed_over() -> None:
    """What people did not put there is not reported, and does not decide what the folder is."""
    hidden = [".DS_Store", "train/.DS_Store", "train/Thumbs.db", "train/a/desktop.ini", "__MACOSX/train/a/1.jpg",
              "train/a/._1.jpg", ".git/objects/1", "test/a/.cache/x.jpg", "test/Icon\r"]  # fmt: skip

    listing = folder_entries([*hidden, "train/a/1.jpg", "test/a/2.jpg"])

    assert [entry.uri for entry in listing.entries] == ["test/a/2.jpg", "train/a/1.jpg"]
    assert listing.is_split


def test_files_outside_label_folders_are_unlabelled() -> None:
    """A file directly in the folder has no label: a warning, no bad sample."""
    entry, _ = folder_entries(["a.jpg", "cats/b.jpg"]).entries

    assert (entry.labels, entry.is_ignored) == ((), True)
    assert [problem.code for problem in entry.problems] == ["WARNING_UNANNOTATED_RECORD"]


def test_empty_folders() -> None:
    """No file, no entry; an empty label folder is named."""
    assert folder_entries([]).entries == ()
    assert folder_entries(["cats/", "dogs/a.jpg"]).notes == ("cats/ holds no image",)
    assert folder_entries(["train/cats/", "train/dogs/a.jpg", "test/dogs/b.jpg"]).notes == (
        "train/cats/ holds no image",
    )


@pytest.mark.parametrize("path", ["cats/\udcff.jpg", "c\udce9/a.jpg", "\udcff.jpg"])
def test_names_that_are_no_text_are_refused(path: str) -> None:
    """A name that is not UTF-8 cannot stand in any of our files; it is shown readably."""
    (entry,) = folder_entries([path]).entries

    assert [problem.code for problem in entry.problems] == ["ERROR_INVALID_FILE_NAME"]
    assert (entry.uri or "").encode().decode() == entry.uri


def test_folder_that_can_be_no_label() -> None:
    """A folder with a control character in its name is refused, with the reason."""
    (entry,) = folder_entries(["ca\nts/a.jpg"]).entries

    assert (entry.labels, entry.problems[0].code) == ((), "ERROR_INVALID_LABEL_NAME")


def table(text: str, *, files: Callable[[str], bool] = lambda cell: cell.endswith(".jpg")) -> list[Entry]:
    """The entries of a CSV with this text."""
    return list(read_label_csv(text.splitlines(keepends=True), is_file=files))


def pairs(text: str) -> list[tuple[str | None, tuple[str, ...]]]:
    """(image, labels) of each row."""
    return [(entry.uri, entry.labels) for entry in table(text)]


CAT_AND_DOG = [("a.jpg", ("cat",)), ("b.jpg", ("dog", "wet"))]


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,cat\nb.jpg,dog,wet\n",
        "a.jpg;cat\nb.jpg;dog;wet",
        "a.jpg\tcat\nb.jpg\tdog\twet\n",
        "\ufeffa.jpg,cat\r\nb.jpg,dog,wet\r\n",
        "image,label\na.jpg,cat\nb.jpg,dog,wet\n".replace("label", "label,label2"),
        "File-Name,Label 1,Label 2\na.jpg,cat\nb.jpg,dog,wet\n",
        "label,width,path,label2\ncat,3,a.jpg\ndog,4,b.jpg,wet\n",
        "photo,animal,state\na.jpg,cat\nb.jpg,dog,wet\n",
        "\n\na.jpg, cat ,\n,,\n\nb.jpg,dog,,wet,dog\n",
        '"a.jpg","cat"\n"b.jpg","dog","wet"\n',
        ",path,label,tag\n0,a.jpg,cat\n1,b.jpg,dog,wet\n",
        "image;label;tag\na.jpg;cat\nb.jpg;dog;wet\n",
    ],
)
def test_tables_people_write(text: str) -> None:
    """Comma, semicolon, tab, quotes, marks, blank rows and cells, headers known and unknown: the same two rows."""
    assert pairs(text) == CAT_AND_DOG


def test_quoted_separators_and_lines_belong_to_the_cell() -> None:
    """A comma or a line end in quotes is part of a path; the line of a row is where it begins."""
    entries = table('"a, b.jpg",cat\n"c\nd.jpg",dog\ne.jpg,cow\n')

    assert [(entry.uri, entry.line) for entry in entries] == [("a, b.jpg", 1), ("c\nd.jpg", 2), ("e.jpg", 4)]


def test_first_row_of_a_missing_image_is_no_header() -> None:
    """A first cell that looks like an image is reported as missing later, not taken for a column name."""
    entries = table("gone.png,cat\na.jpg,dog\n")

    assert [entry.uri for entry in entries] == ["gone.png", "a.jpg"]


def test_file_called_image_is_no_header() -> None:
    """A first cell that is a file is a row, even where it reads like a column name."""
    entries = table("image,cat\n", files=lambda cell: cell == "image")

    assert [(entry.uri, entry.labels) for entry in entries] == [("image", ("cat",))]


def test_backslashes_of_another_system() -> None:
    r"""cats\a.jpg is found as cats/a.jpg where that is the file."""
    (entry,) = table("cats\\a.jpg,cat\n", files=lambda cell: cell == "cats/a.jpg")

    assert entry.uri == "cats/a.jpg"


@pytest.mark.parametrize(
    ("row", "code", "is_ignored"),
    [
        ("b.jpg", "WARNING_UNANNOTATED_RECORD", True),
        ("b.jpg,,", "WARNING_UNANNOTATED_RECORD", True),
        (",cat", "ERROR_MISSING_SOURCE_REF", False),
        ("b.jpg," + "x" * 256, "ERROR_INVALID_LABEL_NAME_LENGTH", False),
        ("b.jpg,a\x07b", "ERROR_INVALID_LABEL_NAME", False),
        ('"b.jpg,cat\n' + "x" * 140_000, "ERROR_INVALID_ROW", False),
    ],
    ids=["no label", "empty labels", "no image", "long label", "bell", "open quote"],
)
def test_bad_rows(row: str, code: str, is_ignored: bool) -> None:
    """A row that cannot be used says why, with its line; the rows before it stand."""
    good, bad = table(f"a.jpg,cat\n{row}\n")

    assert good.labels == ("cat",)
    assert ([problem.code for problem in bad.problems], bad.line, bad.is_ignored) == ([code], 2, is_ignored)


def test_first_row_that_cannot_be_read() -> None:
    """A first row with an endless cell is a bad row like any other."""
    bad, good = table("x" * 140_000 + ",cat\na.jpg,dog\n")

    assert (bad.problems[0].code, bad.line, good.labels) == ("ERROR_INVALID_ROW", 1, ("dog",))


@pytest.mark.parametrize("text", ["", "\n\n", "image,label\n", "\ufeff"])
def test_empty_tables_have_no_entries(text: str) -> None:
    """Nothing, blank lines, or a header alone: no entry."""
    assert table(text) == []


COCO: dict[str, Any] = {
    "info": {"year": 2017},
    "licenses": [],
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 3, "bbox": [1.5, 2.5, 98.9, 20.2], "iscrowd": 0}],
    "categories": [{"id": 3, "name": "cap"}, {"id": 4, "name": "hat"}],
}


def converted(prefix: str = "s3://images/x/", **changes: Any) -> list[dict[str, Any]]:
    """The lines that come of the COCO file with parts changed."""
    data = json.dumps({**COCO, **changes}).encode()
    return [json.loads(line) for line in coco_to_manifest(data, prefix=prefix, created=NOW)]


def test_coco_boxes() -> None:
    """Boxes are rounded to pixels inside the image; only names in use are mapped; a missing date is the given one."""
    (line,) = converted()

    assert line["source-ref"] == "s3://images/x/a.jpg"
    assert line["bounding-box"] == {
        "image_size": [{"width": 100, "height": 80, "depth": 3}],
        "annotations": [{"class_id": 3, "top": 2, "left": 2, "width": 98, "height": 21}],
    }
    assert line["bounding-box-metadata"]["class-map"] == {"3": "cap"}
    assert line["bounding-box-metadata"]["creation-date"] == "2024-05-06T07:08:09.000Z"


def test_coco_lines_are_read_as_manifest() -> None:
    """What is converted has no problem for our own reader; an image without boxes is ignored."""
    images = [*COCO["images"], {"id": 2, "file_name": "b.jpg", "width": 100, "height": 80}]

    lines = coco_to_manifest(json.dumps({**COCO, "images": images}).encode(), prefix="s3://images", created=NOW)
    boxed, empty = read_manifest(lines)

    assert (boxed.n_boxes, boxed.problems) == (1, ())
    assert (empty.uri, empty.is_ignored) == ("s3://images/b.jpg", True)


def test_coco_url_in_s3_wins() -> None:
    """An image that already has an s3 address keeps it; a web address does not count."""
    image = COCO["images"][0]

    assert converted(images=[{**image, "coco_url": "s3://other/z.jpg"}])[0]["source-ref"] == "s3://other/z.jpg"
    assert converted(images=[{**image, "coco_url": "http://x/z.jpg"}])[0]["source-ref"] == "s3://images/x/a.jpg"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"images": None}, "it needs the lists"),
        ({"annotations": [3]}, "it needs the lists"),
        ({"images": [{"id": 1}]}, "image 1 lacks"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}]}, "no width and height for a.jpg"),
        ({"annotations": [{"image_id": 9, "category_id": 3, "bbox": [1, 1, 1, 1]}]}, "annotation 1 is for image 9"),
        ({"annotations": [{"image_id": 1, "category_id": 9, "bbox": [1, 1, 1, 1]}]}, "annotation 1 has category 9"),
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": []}]}, "annotation 1 has no bbox"),
        ({"categories": [{"id": 3}]}, "category 1 lacks"),
        ({"images": COCO["images"] * 2}, "has the id 1 of another image"),
        ({"images": [*COCO["images"], {**COCO["images"][0], "id": 2}]}, "s3://images/x/a.jpg occurs twice"),
    ],
)
def test_bad_coco_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    """What does not fit together is named rather than left out."""
    with pytest.raises(BadData, match=sentence):
        converted(**changes)


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{}", b"nonsense", b'{"images":NaN}'])
def test_what_is_no_coco_file(data: bytes) -> None:
    """Other files are refused before the first line."""
    with pytest.raises(BadData, match="not a COCO file"):
        list(coco_to_manifest(data, prefix="s3://images", created=NOW))


@pytest.mark.parametrize(("kind", "n_blocks"), [("manifest", 3), ("snapshot", 1), ("summary", 1)])
def test_documented_examples_are_read(kind: str, n_blocks: int) -> None:
    """Every example of docs/formats.md is read without a problem by the reader that it is about."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text()
    blocks = re.findall(rf"```json {kind}\n(.*?)```", text, flags=re.DOTALL)

    assert len(blocks) == n_blocks
    for block in blocks:
        lines = block.encode().splitlines()
        match kind:
            case "manifest":
                assert all(entry.problems == () for entry in read_manifest(lines))
            case "snapshot":
                assert all(isinstance(row, SnapshotRow) and row.true and row.predicted for row in read_snapshot(lines))
            case _:
                assert read_summary(block.encode()).cells

"""`deconfuse convert`: every source to a manifest, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deconfuse.cli.convert import convert
from deconfuse.errors import AlreadyExists, BadData, Invalid, NotFound
from deconfuse.formats.manifest import read_manifest

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff\xe0"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
    "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 30, 40]}],
    "categories": [{"id": 3, "name": "cap"}],
}
JOB = {
    "source-ref": "s3://images/a.png",
    "sport": [1, 0],
    "sport-metadata": {
        "class-map": {"0": "ball", "1": "bicycle"},
        "human-annotated": "yes",
        "creation-date": "2020-03-06T17:46:39",
        "type": "groundtruth/image-classification-multilabel",
    },
}


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    """The result of the command; an error that it raises is raised here."""
    return CliRunner().invoke(convert, [*map(str, arguments)], input=stdin, catch_exceptions=False)


def write(path: Path, content: bytes | str) -> Path:
    """`path`, now with this content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(manifest: bytes) -> dict[str, tuple[str, ...]]:
    """Address → labels of a manifest without problems."""
    entries = list(read_manifest(manifest.splitlines(keepends=True)))
    assert all(problem.level == "warning" for entry in entries for problem in entry.problems)
    return {entry.uri or "": entry.labels for entry in entries}


def test_folder(tmp_path: Path) -> None:
    """Label folders become lines under the prefix; hidden files count for nothing, other files are named."""
    for name, content in {"cats/deep/a.png": PNG, "dogs/b": JPEG, "c.jpg": JPEG, "dogs/.DS_Store": b"", "dogs/notes.txt": b"x"}.items():  # fmt: skip  # noqa: E501
        write(tmp_path / "images" / name, content)

    result = run(tmp_path / "images", "--s3", "s3://bucket/x/", "-o", tmp_path / "out.manifest")

    assert pairs((tmp_path / "out.manifest").read_bytes()) == {
        "s3://bucket/x/c.jpg": (),
        "s3://bucket/x/cats/deep/a.png": ("cats",),
        "s3://bucket/x/dogs/b": ("dogs",),
    }
    assert "1 files (dogs/notes.txt)" in result.stderr
    assert "3 lines" in result.stderr
    assert result.stdout == ""


def test_table(tmp_path: Path) -> None:
    """Rows become lines: s3 addresses stay, paths get the prefix, a header is none of them."""
    table = write(tmp_path / "t.csv", "image,label,label2\na.jpg,cat\n./x\\b.jpg,dog,wet\ns3://other/c,cow\nd,\n")

    result = run(table, "--s3", "s3://bucket")

    assert pairs(result.stdout_bytes) == {
        "s3://bucket/a.jpg": ("cat",),
        "s3://bucket/x/b.jpg": ("dog", "wet"),
        "s3://other/c": ("cow",),
        "s3://bucket/d": (),
    }


def test_first_row_without_header_is_kept(tmp_path: Path) -> None:
    """A key without an ending is no header: the images need not be on this machine."""
    assert pairs(run(write(tmp_path / "t.csv", "img001,cat\n"), "--s3", "s3://bucket").stdout_bytes) == {
        "s3://bucket/img001": ("cat",)
    }


def test_table_of_addresses_needs_no_prefix() -> None:
    """A table from stdin that names all images in full is enough."""
    assert pairs(run("-", stdin=b"\xef\xbb\xbfs3://bucket/a;cat\n").stdout_bytes) == {"s3://bucket/a": ("cat",)}


@pytest.mark.parametrize("indent", [None, 2])
def test_coco(tmp_path: Path, indent: int | None) -> None:
    """A COCO file, on one line or on many, becomes lines with boxes."""
    result = run(write(tmp_path / "c.json", json.dumps(COCO, indent=indent)), "--s3", "s3://bucket/x")

    (entry,) = read_manifest(result.stdout_bytes.splitlines())
    assert (entry.uri, entry.n_boxes, entry.problems) == ("s3://bucket/x/a.jpg", 1, ())


def test_job(tmp_path: Path) -> None:
    """The output of a labelling job needs no prefix, and becomes single labels."""
    result = run(write(tmp_path / "output.manifest", json.dumps(JOB) + "\n"))

    assert pairs(result.stdout_bytes) == {"s3://images/a.png": ("bicycle", "ball")}
    assert "multilabel" not in result.stdout


BAD: list[tuple[Any, str]] = [
    ("a.jpg,cat\na.jpg,dog\n", r"s3://bucket/a\.jpg \(row 2, first row 1\)"),
    ("a.jpg,cat\n,dog\n", "row 2: the row names no image"),
    ("a.jpg,cat\n" + "b.jpg," + "x" * 300 + "\n", "row 2: .*300 characters"),
    ("", "no rows"),
    ("image,label\n", "no rows"),
    ("a.jpg,caf\xe9\n".encode("latin-1"), "not UTF-8"),
    (f"{json.dumps(JOB)}\n{json.dumps(JOB)}\n", "line 2: the image is on line 1"),
    ("s3://bucket/" + "k" * 1_100 + ",cat\n", "row 1: .* not of the form"),
    (json.dumps({**COCO, "categories": []}), "category 3"),
    (json.dumps({**COCO, "images": 3}), "not a COCO file"),
    ("{ nonsense", "not a COCO file"),
    ("[]", "not a COCO file"),
    ('[{"image": "a.png"}]', "not a COCO file"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD)
def test_bad_sources_write_nothing(tmp_path: Path, content: bytes | str, sentence: str) -> None:
    """What cannot be converted is listed, and no file is left, not even a partial one."""
    source = write(tmp_path / "in" / "source", content)
    (tmp_path / "out").mkdir()

    with pytest.raises(BadData, match=sentence):
        run(source, "--s3", "s3://bucket", "-o", tmp_path / "out" / "m.manifest")
    assert list((tmp_path / "out").iterdir()) == []


def test_bad_source_prints_nothing(tmp_path: Path) -> None:
    """Half a manifest never reaches a pipe."""
    source = write(tmp_path / "t.csv", "a.jpg,cat\nb.jpg,dog\na.jpg,cat\n")

    result = CliRunner().invoke(convert, [str(source), "--s3", "s3://bucket"])

    assert isinstance(result.exception, BadData)
    assert result.stdout == ""


@pytest.mark.parametrize("prefix", [None, "bucket/x", "https://bucket/x", "s3://", "s3://a/x"])
def test_prefix_must_be_an_address(tmp_path: Path, prefix: str | None) -> None:
    """Without a good --s3 the option is named, for every kind that needs it."""
    option = [] if prefix is None else ["--s3", prefix]
    write(tmp_path / "images" / "cats" / "a.png", PNG)
    for source in ("images", write(tmp_path / "t.csv", "a.jpg,cat"), write(tmp_path / "c.json", json.dumps(COCO))):
        with pytest.raises(Invalid, match="--s3"):
            run(tmp_path / source, *option)


@pytest.mark.parametrize("path", ["../a.jpg", "/data/a.jpg", "x/../../a.jpg"])
def test_paths_stay_below_the_prefix(tmp_path: Path, path: str) -> None:
    """A row that leads out of the folder has no address under the prefix."""
    with pytest.raises(Invalid, match=r"row 1: .* outside"):
        run(write(tmp_path / "t.csv", f"{path},cat\n"), "--s3", "s3://bucket/x")


def test_existing_output_is_not_touched(tmp_path: Path) -> None:
    """A file that exists stays as it was, unless --force is given."""
    source, output = write(tmp_path / "t.csv", "a.jpg,cat\n"), write(tmp_path / "m.manifest", "mine")

    with pytest.raises(AlreadyExists, match="--force"):
        run(source, "--s3", "s3://bucket", "-o", output)
    assert output.read_text() == "mine"

    run(source, "--s3", "s3://bucket", "-o", output, "--force")
    assert pairs(output.read_bytes()) == {"s3://bucket/a.jpg": ("cat",)}


def test_forced_output_survives_a_bad_source(tmp_path: Path) -> None:
    """--force replaces a file by a whole manifest or leaves it."""
    source, output = write(tmp_path / "t.csv", "a.jpg,cat\na.jpg,cat\n"), write(tmp_path / "m.manifest", "mine")

    with pytest.raises(BadData):
        run(source, "--s3", "s3://bucket", "-o", output, "--force")
    assert output.read_text() == "mine"


def test_split_folder_is_refused(tmp_path: Path) -> None:
    """A manifest holds one side; the sentence says what to convert instead."""
    for top in ("train", "test"):
        write(tmp_path / top / "cats" / "a.png", PNG)

    with pytest.raises(Invalid, match=r"convert .*test and .*train"):
        run(tmp_path, "--s3", "s3://bucket")


def test_what_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    """A link that leads nowhere and a pipe, for which nobody waits, are noted like any other file that is no image."""
    write(tmp_path / "images" / "cats" / "a.png", PNG)
    (tmp_path / "images" / "cats" / "dead.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "images" / "cats" / "pipe.png")
    result = run(tmp_path / "images", "--s3", "s3://bucket/x")

    assert list(pairs(result.stdout_bytes)) == ["s3://bucket/x/cats/a.png"]
    assert "2 files (cats/dead.png, cats/pipe.png)" in result.stderr


def test_a_bad_row_is_the_only_complaint(tmp_path: Path) -> None:
    """Nothing else is printed while the half-read table is put away."""
    table = write(tmp_path / "t.csv", "../a.png,cat\nb.png,cat\n")
    command = [sys.executable, "-m", "deconfuse", "convert", str(table), "--s3", "s3://bucket"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def test_folder_without_images(tmp_path: Path) -> None:
    """An empty folder, or one of other files, gives no manifest."""
    for _ in range(2):
        with pytest.raises(BadData, match="no PNG or JPEG"):
            run(tmp_path, "--s3", "s3://bucket")
        write(tmp_path / "cats" / "notes.txt", "x")


def test_missing_places(tmp_path: Path) -> None:
    """A source that is not there, and an output folder that is not there, are named."""
    with pytest.raises(NotFound, match=r"gone\.csv"):
        run(tmp_path / "gone.csv")
    with pytest.raises(NotFound, match="gone"):
        run(write(tmp_path / "t.csv", "s3://bucket/a,cat"), "-o", tmp_path / "gone" / "m.manifest")

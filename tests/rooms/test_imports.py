"""IMAGES in all its forms: what becomes an entry, where its image is found, and what is refused with which words."""

from __future__ import annotations

import codecs
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deconfuse.engine.imports import (
    Intake,
    find_image,
    list_files,
    open_images,
    read_image,
    s3_uri,
    validation_lines,
)
from deconfuse.errors import (
    BadImage,
    BadManifest,
    DeconfuseError,
    Denied,
    ImageTooLarge,
    Invalid,
    NotFound,
    Untrainable,
)
from deconfuse.formats.manifest import ManifestLimits
from deconfuse.vision.images import FOLDER_LIMITS, MANIFEST_LIMITS
from worlds import (
    bucket_world,
    drawing,
    encode,
    label_folder,
    manifest,
    manifest_line,
    picture,
    split_folder,
    table,
    write,
)


def seen(intake: Intake) -> list[tuple[str | None, tuple[str, ...], str | None]]:
    """(address, labels, side) of every entry."""
    return [(entry.uri, entry.labels, entry.split) for entry in intake.entries]


# --- folders


def test_a_folder_gives_its_first_folder_as_label(tmp_path: Path) -> None:
    """However deep an image lies, the folder directly below IMAGES is its label; sides are left to the hashes."""
    write(tmp_path / "leaf" / "a.png", picture("leaf"))
    write(tmp_path / "sea" / "deep" / "er" / "b.png", picture("sea"))
    intake = open_images(tmp_path)

    assert seen(intake) == [("leaf/a.png", ("leaf",), None), ("sea/deep/er/b.png", ("sea",), None)]
    assert (intake.kind, intake.fetch("leaf/a.png")) == ("folder", picture("leaf"))


def test_a_split_folder_gives_its_sides(tmp_path: Path) -> None:
    """train/ and test/ are sides, not labels."""
    intake = open_images(split_folder(tmp_path, train={"leaf": 1, "sun": 1}, test={"sun": 1}))

    assert seen(intake) == [
        ("test/sun/sun-10000.png", ("sun",), "test"),
        ("train/leaf/leaf-0.png", ("leaf",), "train"),
        ("train/sun/sun-0.png", ("sun",), "train"),
    ]


def test_hidden_and_system_files_are_passed_over_in_silence(tmp_path: Path) -> None:
    """What systems leave behind is nobody's image and nobody's problem."""
    label_folder(tmp_path, {"leaf": 1})
    for name in (
        ".DS_Store",
        "leaf/.DS_Store",
        "leaf/Thumbs.db",
        "leaf/._leaf-0.png",
        ".git/x/y",
        "__MACOSX/leaf/z.png",
    ):
        write(tmp_path / name, b"?")
    intake = open_images(tmp_path)

    assert [entry.uri for entry in intake.entries] == ["leaf/leaf-0.png"]
    assert (intake.notes, intake.problems) == ((), ())


def test_listing_does_not_depend_on_the_order_of_the_disk(tmp_path: Path) -> None:
    """Files come sorted, whenever they were made."""
    names = [f"{label}/{number}.png" for label in "cab" for number in (2, 10, 1)]
    for name in names:
        write(tmp_path / name, b"x")

    assert list_files(tmp_path)[0] == sorted(names)


def test_a_link_to_a_file_is_an_image(tmp_path: Path) -> None:
    """People build datasets out of links; the bytes are those of the file."""
    write(tmp_path / "store" / "a.png", picture("leaf"))
    (tmp_path / "images" / "leaf").mkdir(parents=True)
    (tmp_path / "images" / "leaf" / "link.png").symlink_to(tmp_path / "store" / "a.png")

    assert open_images(tmp_path / "images").fetch("leaf/link.png") == picture("leaf")


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path: Path) -> None:
    """A link to its own parent does not make the listing endless."""
    label_folder(tmp_path, {"leaf": 1})
    (tmp_path / "leaf" / "again").symlink_to(tmp_path, target_is_directory=True)
    intake = open_images(tmp_path)

    assert [entry.uri for entry in intake.entries] == ["leaf/leaf-0.png"]
    assert [(problem.code, problem.uri, problem.level) for problem in intake.problems] == [
        ("WARNING_FOLDER_LEFT_OUT", "leaf/again", "warning")
    ]


def test_what_a_training_left_is_no_label(tmp_path: Path) -> None:
    """Whoever trains inside the folder of images finds runs/… beside the labels: neither runs nor leftovers count."""
    label_folder(tmp_path, {"leaf": 1})
    for name in ("runs/photos/1/card.json", "runs/photos/1/predictions.parquet", "runs/photos/2.partial-0a1b2c3d/x"):
        write(tmp_path / name, b"{}")
    intake = open_images(tmp_path)

    assert [entry.uri for entry in intake.entries if entry.labels] == ["leaf/leaf-0.png"]
    assert {problem.uri for problem in intake.problems} == {"runs/photos/1/", "runs/photos/2.partial-0a1b2c3d/"}


def test_links_that_lead_nowhere_or_in_circles_are_bad_images(tmp_path: Path) -> None:
    """They are listed like any file, and fail when read, with words of their own."""
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "leaf" / "ring.png").symlink_to("ring.png")
    intake = open_images(tmp_path)

    assert [entry.uri for entry in intake.entries] == ["leaf/gone.png", "leaf/ring.png"]
    with pytest.raises(BadImage, match="leads nowhere"):
        intake.fetch("leaf/gone.png")
    with pytest.raises(BadImage, match="cannot be read"):
        intake.fetch("leaf/ring.png")


def test_a_pipe_is_no_image_and_nobody_waits_for_it(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer for ever."""
    (tmp_path / "leaf").mkdir()
    os.mkfifo(tmp_path / "leaf" / "pipe.jpg")

    with pytest.raises(BadImage, match="no regular file"):
        open_images(tmp_path).fetch("leaf/pipe.jpg")


def test_a_name_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    """The file cannot be written into any manifest; it is named with escapes, the others are used."""
    label_folder(tmp_path, {"leaf": 1})
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/leaf/caf\xe9.png")), picture("leaf", 1))
    bad, good = open_images(tmp_path).entries

    assert (bad.is_usable, good.is_usable) == (False, True)
    assert bad.uri == "leaf/caf\\udce9.png"
    assert [problem.code for problem in bad.problems] == ["ERROR_INVALID_FILE_NAME"]


def test_a_very_deep_tree_is_listed_as_far_as_it_can_be_reached(tmp_path: Path) -> None:
    """Beyond the system's longest path a folder is left out with a warning; nothing recurses."""
    label_folder(tmp_path, {"leaf": 1})
    here = os.open(tmp_path / "leaf", os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    intake = open_images(tmp_path)

    assert [entry.uri for entry in intake.entries if entry.is_usable] == ["leaf/leaf-0.png"]
    assert [problem.code for problem in intake.problems] == ["WARNING_FOLDER_LEFT_OUT"]


def test_a_folder_that_may_not_be_read_is_denied_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a dataset is no dataset: the folder is named, and nothing is trained."""
    label_folder(tmp_path, {"leaf": 1, "sun": 1})
    scandir = os.scandir

    def closed(path: Path) -> os._ScandirIterator[str]:
        if Path(path).name == "sun":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(Denied, match="sun"):
        open_images(tmp_path)


def test_an_empty_label_folder_is_noted(tmp_path: Path) -> None:
    """Its user thinks there is a label; there is none."""
    label_folder(tmp_path, {"leaf": 1})
    (tmp_path / "sun").mkdir()

    assert any("sun/" in note for note in open_images(tmp_path).notes)


def test_images_outside_any_label_folder_are_warnings(tmp_path: Path) -> None:
    """They have no label; the others are used."""
    label_folder(tmp_path, {"leaf": 1})
    write(tmp_path / "stray.png", picture("sun"))
    stray = open_images(tmp_path).entries[-1]

    assert (stray.uri, stray.is_usable, stray.problems[0].code) == ("stray.png", False, "WARNING_UNANNOTATED_RECORD")


# --- tables


def test_a_table_s_paths_are_relative_to_it(tmp_path: Path) -> None:
    """Wherever the command runs; a header is no image; two spellings of a path are one address."""
    label_folder(tmp_path / "pictures", {"leaf": 2})
    rows = [("pictures/leaf/leaf-0.png", "leaf", "green"), ("./pictures//leaf/leaf-1.png", "leaf")]
    intake = open_images(table(tmp_path / "labels.csv", rows, header=("image", "label", "label2")))

    assert seen(intake) == [
        ("pictures/leaf/leaf-0.png", ("leaf", "green"), None),
        ("pictures/leaf/leaf-1.png", ("leaf",), None),
    ]
    assert [entry.line for entry in intake.entries] == [2, 3]
    assert intake.fetch("pictures/leaf/leaf-1.png") == picture("leaf", 1)


@pytest.mark.parametrize(
    ("prefix", "encoding"), [(codecs.BOM_UTF8, "utf-8"), (b"", "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")]
)
def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path, prefix: bytes, encoding: str) -> None:
    """With a byte order mark, as UTF-16, with semicolons."""
    write(tmp_path / "é.png", picture("leaf"))
    path = write(tmp_path / "labels.csv", prefix + "image;label\r\né.png;thé\r\n".encode(encoding))

    assert seen(open_images(path)) == [("é.png", ("thé",), None)]


def test_a_table_outside_its_folder_may_name_any_path(tmp_path: Path) -> None:
    """It is the user's own table: absolute paths and .. are fine."""
    image = write(tmp_path / "elsewhere" / "a.png", picture("leaf"))
    path = table(tmp_path / "lists" / "a.csv", [("../elsewhere/a.png", "leaf"), (str(image), "leaf")])
    intake = open_images(path)

    assert [intake.fetch(entry.uri or "") for entry in intake.entries] == [picture("leaf")] * 2


def test_a_table_that_is_not_utf_8_says_where(tmp_path: Path) -> None:
    """The line, and what to do."""
    path = write(tmp_path / "a.csv", b"image,label\na.png,caf\xe9\n")

    with pytest.raises(BadManifest, match=r"line 2: .*CSV UTF-8"):
        open_images(path)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("gone.png", "there is no file"),
        ("folder", "it is a folder"),
        ("https://example.org/a.png", "not fetched"),
        ("x" * 5000 + ".png", "cannot be read"),
        ("/dev/zero", "no regular file"),
    ],
)
def test_a_table_s_bad_path_is_a_bad_image(tmp_path: Path, cell: str, words: str) -> None:
    """The entry stands; reading it gives the reason."""
    (tmp_path / "folder").mkdir()
    write(tmp_path / "a.png", picture("leaf"))
    intake = open_images(table(tmp_path / "a.csv", [("a.png", "leaf"), (cell, "leaf")]))

    with pytest.raises(BadImage, match=words):
        intake.fetch(intake.entries[1].uri or "")


# --- manifests


def test_a_manifest_s_images_are_found_below_the_bucket_s_folder(tmp_path: Path) -> None:
    """s3://photos/leaf/leaf-0.png is DIR/leaf/leaf-0.png, under AWS's limits for images."""
    path, store = bucket_world(tmp_path, {"leaf": 2})
    intake = open_images(path, buckets={"photos": store})
    uri = "s3://photos/leaf/leaf-1.png"

    assert seen(intake)[1] == (uri, ("leaf",), None)
    assert (intake.fetch(uri), intake.limits(uri)) == (picture("leaf", 1), MANIFEST_LIMITS)
    assert [entry.line for entry in intake.entries] == [1, 2]


def test_a_manifest_is_known_by_its_first_byte(tmp_path: Path) -> None:
    """Without any ending that is known, and with a byte order mark."""
    write(tmp_path / "a.png", picture("leaf"))
    path = write(tmp_path / "labels.txt", codecs.BOM_UTF8 + manifest_line("a.png", ["leaf"]))

    assert open_images(path, buckets={"photos": tmp_path}).kind == "manifest"


def test_unknown_buckets_are_named_with_the_flag_that_helps(tmp_path: Path) -> None:
    """One error for all of them, before anything is read."""
    lines = [manifest_line("a.png", ["x"], bucket=name) for name in ("first-bucket", "other-bucket", "photos")]
    path = write(tmp_path / "a.manifest", b"\n".join(lines))

    with pytest.raises(Invalid, match=r"--bucket first-bucket=DIR --bucket other-bucket=DIR"):
        open_images(path, buckets={"photos": tmp_path})


def test_a_bucket_s_folder_must_be_there(tmp_path: Path) -> None:
    """A typing error in DIR is said as such, not as a thousand missing images."""
    path, _ = bucket_world(tmp_path, {"leaf": 1})

    with pytest.raises(NotFound, match="--bucket photos=DIR"):
        open_images(path, buckets={"photos": tmp_path / "nowhere"})


@pytest.mark.parametrize("key", ["../secret.png", "a/../../secret.png", "/etc/passwd", "link/secret.png", "a\0b"])
def test_no_key_leads_out_of_the_bucket_s_folder(tmp_path: Path, key: str) -> None:
    """Neither by dots, nor by a slash, nor through a link: a manifest may come from anybody."""
    write(tmp_path / "secret.png", picture("sun"))
    write(tmp_path / "bucket" / "a" / "b.png", picture("sun"))
    (tmp_path / "bucket" / "link").symlink_to(tmp_path)

    with pytest.raises(BadImage, match="leads out"):
        find_image(f"s3://photos/{key}", root=None, buckets={"photos": tmp_path / "bucket"})


def test_a_link_within_the_bucket_s_folder_is_followed(tmp_path: Path) -> None:
    """It stays inside."""
    write(tmp_path / "a.png", picture("sun"))
    (tmp_path / "b.png").symlink_to("a.png")

    assert read_image(find_image("s3://photos/b.png", root=None, buckets={"photos": tmp_path})) == picture("sun")


def test_bad_lines_stand_beside_good_ones(tmp_path: Path) -> None:
    """Each under its number; nothing is raised for them."""
    lines = [
        manifest_line("a.png", ["leaf"]),
        b"{not json",
        b'{"source-ref": "http://x"}',
        manifest_line("b.png", ["sun"]),
    ]
    intake = open_images(write(tmp_path / "a.manifest", b"\n".join(lines)), buckets={"photos": tmp_path})

    codes = [(entry.line, [problem.code for problem in entry.problems]) for entry in intake.entries]
    assert codes == [(1, []), (2, ["ERROR_INVALID_JSON_LINE"]), (3, ["ERROR_INVALID_SOURCE_REF_FORMAT"]), (4, [])]


def test_a_missing_object_is_a_bad_image_of_its_line(tmp_path: Path) -> None:
    """The manifest names it, the folder does not have it."""
    intake = open_images(manifest(tmp_path / "a.manifest", [("gone.png", ("x",))]), buckets={"photos": tmp_path})

    with pytest.raises(BadImage, match=r"there is no file .*gone\.png"):
        intake.fetch("s3://photos/gone.png")


def test_images_in_several_buckets_are_a_warning(tmp_path: Path) -> None:
    """AWS refuses such a manifest; here it trains, and its user knows."""
    lines = [manifest_line("a.png", ["x"], bucket=name) for name in ("one-bucket", "two-bucket")]
    buckets = {"one-bucket": tmp_path, "two-bucket": tmp_path}
    intake = open_images(write(tmp_path / "a.manifest", b"\n".join(lines)), buckets=buckets)

    assert [problem.code for problem in intake.problems] == ["WARNING_IMAGES_IN_MULTIPLE_S3_BUCKETS"]


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ManifestLimits(max_lines=2), "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM"),
        (ManifestLimits(max_labels=2), "ERROR_MANIFEST_TOO_MANY_LABELS"),
        (ManifestLimits(max_bytes=100), "ERROR_MANIFEST_SIZE_TOO_LARGE"),
    ],
)
def test_a_manifest_beyond_a_limit_is_refused_with_aws_s_code(
    tmp_path: Path, limits: ManifestLimits, code: str
) -> None:
    """Limits are settings; each has its code."""
    path = manifest(tmp_path / "a.manifest", [(f"{n}.png", (f"label{n}",)) for n in range(3)])

    with pytest.raises((BadManifest, Untrainable)) as caught:
        open_images(path, buckets={"photos": tmp_path}, manifest=limits)
    assert caught.value.code == code


@pytest.mark.parametrize("indent", [None, 2])
def test_a_coco_file_is_told_from_a_manifest(tmp_path: Path, indent: int | None) -> None:
    """The way to a manifest is said, instead of a thousand bad lines."""
    coco = {"images": [], "annotations": [], "categories": []}
    path = write(tmp_path / "coco.json", json.dumps(coco, indent=indent).encode())

    with pytest.raises(BadManifest, match="deconfuse convert"):
        open_images(path)


# --- what is none of these


def test_nothing_there_is_said_with_what_could_be(tmp_path: Path) -> None:
    """The path, and the three forms."""
    with pytest.raises(NotFound, match=r"nowhere.*manifest.*table"):
        open_images(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.png", picture("sun"), "single image"),
        ("a.jpg", encode(drawing("sun"), "JPEG"), "single image"),
        ("a.zip", b"PK\x03\x04....", "unpack"),
        ("a.txt", b"a.png leaf\n", "not recognised"),
        ("a", b"", "not recognised"),
    ],
)
def test_other_files_are_refused_with_a_way_on(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    """The message says what it is, and what IMAGES may be."""
    with pytest.raises(Invalid, match=words):
        open_images(write(tmp_path / name, data))


@pytest.mark.parametrize("name", ["a.csv", "a.manifest", "folder/.hidden"])
def test_what_holds_no_image_cannot_be_trained(tmp_path: Path, name: str) -> None:
    """Empty tables, manifests and folders."""
    path = write(tmp_path / name, b"")

    with pytest.raises(Untrainable, match="holds no image"):
        open_images(path.parent if "/" in name else path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_denied(tmp_path: Path) -> None:
    """By the system, in its words."""
    path = table(tmp_path / "a.csv", [("a.png", "leaf")])
    path.chmod(0)

    with pytest.raises(Denied, match=r"a\.csv"):
        open_images(path)


# --- --test


def test_the_test_images_get_addresses_of_their_own(tmp_path: Path) -> None:
    """cat/1.png of IMAGES and cat/1.png of --test are two images."""
    train, test = tmp_path / "train", tmp_path / "test"
    label_folder(train, {"leaf": 1})
    write(test / "leaf" / "leaf-0.png", picture("leaf", 77))
    intake = open_images(train, test=test)

    assert seen(intake) == [
        ("leaf/leaf-0.png", ("leaf",), "train"),
        ("s3://local-test/leaf/leaf-0.png", ("leaf",), "test"),
    ]
    assert intake.fetch("leaf/leaf-0.png") == picture("leaf", 0)
    assert intake.fetch("s3://local-test/leaf/leaf-0.png") == picture("leaf", 77)
    assert intake.limits("s3://local-test/leaf/leaf-0.png") == FOLDER_LIMITS
    assert intake.buckets["local-test"] == test.resolve()


def test_test_images_below_images_keep_their_path(tmp_path: Path) -> None:
    """--test IMAGES/test names the same files as a split folder does."""
    root = split_folder(tmp_path, train={"leaf": 1}, test={"leaf": 1})

    assert sorted(seen(open_images(root, test=root / "test"))) == sorted(seen(open_images(root)))


def test_test_wins_over_a_test_folder_inside(tmp_path: Path) -> None:
    """The inner test/ is left out, val/ joins the training images, and both are said."""
    root = split_folder(tmp_path / "a", train={"leaf": 2}, test={"leaf": 3})
    label_folder(root / "val", {"leaf": 1}, start=500)
    intake = open_images(root, test=label_folder(tmp_path / "b", {"leaf": 4}, start=900))

    assert [split for _, _, split in seen(intake)] == ["train"] * 3 + ["test"] * 4
    assert any("3 images of the test folder" in note for note in intake.notes)
    assert any("val/ joins" in note for note in intake.notes)


def test_test_may_be_of_another_kind(tmp_path: Path) -> None:
    """A folder to train on, a manifest to test on: each under its own limits for images."""
    path, store = bucket_world(tmp_path / "s3", {"leaf": 1})
    intake = open_images(label_folder(tmp_path / "train", {"leaf": 1}), test=path, buckets={"photos": store})

    assert [entry.split for entry in intake.entries] == ["train", "test"]
    assert intake.limits("leaf/leaf-0.png") == FOLDER_LIMITS
    assert intake.limits("s3://photos/leaf/leaf-0.png") == MANIFEST_LIMITS


def test_two_tables_side_by_side_share_their_folder(tmp_path: Path) -> None:
    """train.csv and test.csv name files the same way, so a file in both has one address."""
    label_folder(tmp_path, {"leaf": 2})
    train = table(tmp_path / "train.csv", [("leaf/leaf-0.png", "leaf"), ("leaf/leaf-1.png", "leaf")])
    test = table(tmp_path / "test.csv", [("leaf/leaf-1.png", "leaf")])

    assert [uri for uri, _, _ in seen(open_images(train, test=test))] == [
        "leaf/leaf-0.png",
        "leaf/leaf-1.png",
        "leaf/leaf-1.png",
    ]


def test_problems_of_test_lines_tell_their_side(tmp_path: Path) -> None:
    """Line 1 of which file is clear."""
    test = write(tmp_path / "test.manifest", b"{broken\n" + manifest_line("a.png", ["leaf"]))
    intake = open_images(label_folder(tmp_path / "train", {"leaf": 1}), test=test, buckets={"photos": tmp_path})

    assert [(problem.line, problem.split) for entry in intake.entries for problem in entry.problems] == [(1, "test")]


def test_test_images_that_would_be_trained_on_are_refused(tmp_path: Path) -> None:
    """A test folder among the label folders would be a label; IMAGES as its own test set would be no test."""
    root = label_folder(tmp_path / "images", {"leaf": 1, "holdout": 1})

    with pytest.raises(Invalid, match=r"--test.*inside IMAGES"):
        open_images(root, test=root / "holdout")
    with pytest.raises(Invalid, match=r"--test.*IMAGES itself"):
        open_images(root, test=root)


@pytest.mark.parametrize("bad", ["nowhere", "empty", "image.png"])
def test_bad_test_images_are_refused_like_bad_images(tmp_path: Path, bad: str) -> None:
    """Missing, empty, or no dataset at all; the message says that it is about --test or the path."""
    (tmp_path / "empty").mkdir()
    write(tmp_path / "image.png", picture("sun"))

    with pytest.raises(DeconfuseError, match=bad):
        open_images(label_folder(tmp_path / "train", {"leaf": 1}), test=tmp_path / bad)


def test_the_test_bucket_s_name_is_taken(tmp_path: Path) -> None:
    """Somebody's own bucket of that name would hide the test images."""
    train = label_folder(tmp_path / "a", {"leaf": 1})

    with pytest.raises(Invalid, match="local-test"):
        open_images(train, test=label_folder(tmp_path / "b", {"leaf": 1}), buckets={"local-test": tmp_path})


# --- bytes


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    """A sparse file of ten gigabytes is refused by its size."""
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(10 << 30)

    with pytest.raises(ImageTooLarge, match="10,737,418,240 bytes"):
        read_image(path)
    with pytest.raises(ImageTooLarge, match="at most 15,728,640"):
        read_image(path, max_bytes=15 << 20)


# --- lines for the validation manifests


def test_validation_lines_of_a_manifest_are_its_own(tmp_path: Path) -> None:
    """As read; the problems carry the numbers that the lines of this side have."""
    lines = [manifest_line("a.png", ["leaf"]), b"{broken", manifest_line("b.png", ["sun"])]
    intake = open_images(write(tmp_path / "a.manifest", b"\n".join(lines)), buckets={"photos": tmp_path})
    problems = [problem for entry in intake.entries for problem in entry.problems]
    written, numbered = validation_lines(intake.entries[1:], problems, created=datetime(2024, 1, 2, tzinfo=UTC))

    assert written == lines[1:]
    assert [problem.line for problem in numbered] == [1]


def test_a_problem_of_the_other_file_is_not_put_on_a_line(tmp_path: Path) -> None:
    """Line 1 of the training manifest and line 1 of the test manifest are two lines, and neither names an image."""
    paths = [write(tmp_path / f"{name}.manifest", b"{broken " + name.encode() + b"\n{") for name in ("a", "b")]
    intake = open_images(paths[0], test=paths[1])
    problems = [problem for entry in intake.entries for problem in entry.problems]
    test_entries = [entry for entry in intake.entries if entry.split == "test"]
    _, numbered = validation_lines(test_entries, problems, created=datetime(2024, 1, 2, tzinfo=UTC))

    assert [(problem.line, problem.split) for problem in numbered] == [(1, "test"), (2, "test")]


def test_validation_lines_of_a_folder_are_written_for_it(tmp_path: Path) -> None:
    """One line a file, readable as a manifest with --bucket local=IMAGES; a problem finds its line by its address."""
    label_folder(tmp_path / "images", {"leaf": 2})
    write(tmp_path / "images" / "stray.png", b"")
    intake = open_images(tmp_path / "images")
    problems = [problem for entry in intake.entries for problem in entry.problems]
    written, numbered = validation_lines(intake.entries, problems, created=datetime(2024, 1, 2, tzinfo=UTC))
    again = open_images(write(tmp_path / "again.manifest", b"\n".join(written)), buckets={"local": tmp_path / "images"})

    assert [problem.line for problem in numbered] == [3]
    assert [(entry.uri, entry.labels) for entry in again.entries] == [
        (s3_uri(entry.uri or ""), entry.labels) for entry in intake.entries
    ]
    assert again.fetch("s3://local/leaf/leaf-1.png") == picture("leaf", 1)

"""Labelled images as people keep them: folders of labels, tables of labels, COCO files; manifests are next door.

    cats/tom.jpg                      the first folder is the label
    train/cats/tom.jpg                a split folder: the first folder is the side, the second the label
    image,label[,label…]              a CSV; its paths are relative to it

Each reader gives one `Entry` for each file or row, good or bad, as `manifest.read_manifest` does for lines. Nothing
is opened here: a folder comes in as the paths below it, a table as lines of text.

Sources: rekognition developer guide, "Amazon S3 folder" (the first folder below the one given is the label, however
deep the file lies), "Creating a manifest file from a CSV file", "Transforming a COCO dataset".
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeGuard

from deconfuse.errors import BadData, Invalid, Problem
from deconfuse.formats.manifest import (
    METADATA,
    Entry,
    created_text,
    listed,
)
from deconfuse.formats.strict_json import Json, NotJson, is_integer, is_number, parse, write
from deconfuse.names import MAX_LABEL_LENGTH, check_label

if TYPE_CHECKING:
    from deconfuse.tables import Split

_SIDES: dict[str, Literal["train", "test", "val"]] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
_SYSTEM = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_PICTURE_ENDINGS = frozenset(
    {
        *_IMAGE_ENDINGS,
        *(".pjpeg", ".pjp", ".jps", ".apng", ".dib", ".ico", ".icns", ".svg", ".eps", ".psd", ".tga", ".pcx", ".xcf"),
        *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".jxr", ".exr", ".hdr", ".dds"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    }
)
"""Endings of images, read here or not: whoever has a folder of HEIC learns that they cannot be used."""
_ENDING = re.compile(r"(?<=[^/])(\.(?!\d+$)[0-9a-z][\w~-]{0,11})\Z", re.IGNORECASE)
_OTHERS_SHOWN = 5
_IMAGE_COLUMNS = frozenset(
    {
        "image",
        "img",
        "imagepath",
        "imagefile",
        "imagename",
        "imageuri",
        "imageid",
        "uri",
        "s3uri",
        "path",
        "file",
        "filepath",
        "filename",
        "sourceref",
        "source",
        "url",
    }
)
_LABEL_COLUMN = re.compile(r"(true|image)?(label|class|category|tag|target)(s|name)?\d*|groundtruth|actual|ytrue")


@dataclass(frozen=True, slots=True)
class FolderListing:
    """What the files of a folder are.

    Attributes:
        entries: one for each file that is neither hidden nor a system's own, sorted by path. `split` is None for
            all of them unless the folder holds both sides.
        is_split: whether the top folders name sides rather than labels.
        notes: sentences about how the folder was read, for its user.
        others: files whose names end as no image's does, sorted; they have no entry.
    """

    entries: tuple[Entry, ...]
    is_split: bool
    notes: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """One warning that counts `others` and names the first of them; nothing where there are none."""
        if not self.others:
            return ()
        shown = ", ".join(other.encode("utf-8", "backslashreplace").decode() for other in self.others[:_OTHERS_SHOWN])
        more = f" and {len(self.others) - _OTHERS_SHOWN:,} more" if len(self.others) > _OTHERS_SHOWN else ""
        files = "1 file that has" if len(self.others) == 1 else f"{len(self.others):,} files that have"
        why = f"{files} no name of an image left out: {shown}{more}"
        return (Problem("WARNING_NOT_AN_IMAGE_FILE", why, level="warning"),)


def folder_entries(paths: Iterable[str]) -> FolderListing:
    """The labelled images of a folder, from the paths below it.

    The folder is split when every top folder is one of train, training, test, testing, val, valid, validation (in
    any case) and holds no image itself. `test/` is then the test set; `val/` is it only where there is no `test/`, and
    otherwise joins the training images. Hidden files and folders, and those that systems leave behind (Thumbs.db,
    desktop.ini, __MACOSX, …), are passed over without a word. Files named like something else than an image, such as
    README.txt or a.jpg.json, are no samples, good or bad: they are in `others`. A name without an ending may be an
    image's.

    Args:
        paths: files, relative to the folder, with forward slashes, in any order; a path that ends with a slash is
            an empty folder.
    """
    visible = sorted(path for path in paths if not any(_is_hidden(part) for part in path.rstrip("/").split("/")))
    others = [path for path in visible if _is_named_otherwise(path)]
    shown = [path for path in visible if not _is_named_otherwise(path)]
    tops = dict.fromkeys(path.split("/", 1)[0] for path in shown if "/" in path)
    files_in_side = [path for path in shown if path.count("/") == 1 and not path.endswith("/")]
    are_sides = bool(tops) and all(top.casefold() in _SIDES for top in tops)
    is_split = are_sides and not files_in_side
    notes: list[str] = []
    if are_sides and not is_split:
        notes.append(f"{_folders(tops)} are taken as labels, because {files_in_side[0]} lies directly in one of them")
    sides = _sides(tops, notes) if is_split else {}
    n_leading = 1 if is_split else 0
    entries = []
    for path in shown:
        folders = path.split("/")[:-1]
        if path.endswith("/"):
            if len(folders) == n_leading + 1:
                notes.append(f"{path} holds no image")
            continue
        label = folders[n_leading] if len(folders) > n_leading else None
        split = sides.get(folders[0]) if folders and is_split else None
        entries.append(_file_entry(path, label, split))
    return FolderListing(tuple(entries), is_split, tuple(notes), tuple(others))


def _is_named_otherwise(path: str) -> bool:
    ending = _ENDING.search(path)
    return ending is not None and ending[1].casefold() not in _PICTURE_ENDINGS


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM


def _folders(names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in names)


def _sides(tops: Iterable[str], notes: list[str]) -> dict[str, Split | None]:
    """The side of each top folder; all None where only one side is there, so that the images' hashes decide."""
    meant = {top: _SIDES[top.casefold()] for top in tops}
    has_test = "test" in meant.values()
    sides: dict[str, Split | None] = {}
    for top, side in meant.items():
        sides[top] = side if side != "val" else ("train" if has_test else "test")
        if side == "val" and has_test:
            notes.append(f"{top}/ joins the training images, because there is a test folder")
        elif side == "val":
            notes.append(f"{top}/ is the test set, because there is no test folder")
    if set(sides.values()) == {"train"}:
        notes.append(f"there is only {_folders(tops)}: test images are chosen from it by their content")
        return dict.fromkeys(sides)
    return sides


def _file_entry(path: str, label: str | None, split: Split | None) -> Entry:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "backslashreplace").decode()
        return _bad_sample(shown, None, split, "ERROR_INVALID_FILE_NAME", "the file's name is not UTF-8; rename it")
    if label is None:
        why = "the file lies in no label folder, so it has no label"
        problem = Problem("WARNING_UNANNOTATED_RECORD", why, level="warning", uri=path, split=split)
        return Entry(path, split=split, problems=(problem,))
    return _labelled(path, (label,), None, split)


def _labelled(uri: str, labels: Sequence[str], line: int | None, split: Split | None) -> Entry:
    for label in labels:
        try:
            check_label(label)
        except Invalid as error:
            code = "ERROR_INVALID_LABEL_NAME_LENGTH" if len(label) > MAX_LABEL_LENGTH else "ERROR_INVALID_LABEL_NAME"
            return _bad_sample(uri, line, split, code, error.why)
    return Entry(uri, tuple(dict.fromkeys(labels)), line, split)


def _bad_sample(uri: str | None, line: int | None, split: Split | None, code: str, why: str) -> Entry:
    return Entry(uri, line=line, split=split, problems=(Problem(code, why, uri=uri, line=line, split=split),))


def read_label_csv(lines: Iterable[str], *, is_file: Callable[[str], bool]) -> Iterator[Entry]:
    """One `Entry` for each row of a table image,label[,label…], in order; blank rows are passed over.

    Comma, semicolon or tab, whichever fits the first row; quotes as usual. The first row is a header if its first
    cell is no file and either a known column name or nothing that could be an image; a header that names its columns
    (image, path, file, …; label, class, …) also says which of them count. A row without a label is a warning, a row
    without an image an error.

    Args:
        lines: the text of the file, line by line; a byte order mark is fine.
        is_file: whether a cell, as written, is the path of a file (or the address of an object).
    """
    rows = _rows(lines, is_file)
    image_column, label_columns = 0, None
    for index, (number, cells) in enumerate(rows):
        if isinstance(cells, str):
            yield _bad_sample(None, number, None, "ERROR_INVALID_ROW", cells)
            continue
        if index == 0 and _is_header(cells[0], is_file):
            image_column, label_columns = _columns(cells)
            continue
        image = cells[image_column] if image_column < len(cells) else ""
        others = range(len(cells)) if label_columns is None else label_columns
        labels = [cells[c] for c in others if c != image_column and c < len(cells) and cells[c]]
        if not image:
            yield _bad_sample(None, number, None, "ERROR_MISSING_SOURCE_REF", "the row names no image")
            continue
        if "\\" in image and not is_file(image) and is_file(image.replace("\\", "/")):
            image = image.replace("\\", "/")
        if not labels:
            why = "the row has no label"
            problem = Problem("WARNING_UNANNOTATED_RECORD", why, level="warning", uri=image, line=number)
            yield Entry(image, line=number, problems=(problem,))
            continue
        yield _labelled(image, labels, number, None)


def _rows(lines: Iterable[str], is_file: Callable[[str], bool]) -> Iterator[tuple[int, list[str] | str]]:
    """(line on which the row begins, its cells without outer blanks, or why it cannot be read) for each row."""
    stream = iter(lines)
    ahead: list[str] = []
    for line in stream:
        ahead.append(line.removeprefix("\ufeff") if not ahead else line)
        if ahead[-1].strip():
            break
    if not ahead:
        return
    # Not a generator of our own: one that ends early would close the stream, which is its owner's.
    reader = csv.reader(itertools.chain(ahead, stream), delimiter=_delimiter(ahead[-1], is_file))
    while True:
        begins = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            yield begins, "the row cannot be read; is a quote opened that is never closed?"
            continue
        if any(cells):
            yield begins, cells


def _delimiter(line: str, is_file: Callable[[str], bool]) -> str:
    def fit(delimiter: str) -> tuple[bool, int]:
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:
            return False, 0
        first = cells[0] if cells else ""
        return len(cells) > 1 and (names_image_column(first) or is_file(first)), len(cells)

    return max((",", ";", "\t"), key=fit)


def names_image_column(cell: str) -> bool:
    """Whether `cell` is a name under which tables have a column of images; case, -, _ and blanks do not count."""
    return _name(cell) in _IMAGE_COLUMNS


def _is_header(cell: str, is_file: Callable[[str], bool]) -> bool:
    could_be_image = cell.casefold().endswith(_IMAGE_ENDINGS) or "/" in cell or "\\" in cell
    return not is_file(cell) and (names_image_column(cell) or not could_be_image)


def _columns(header: Sequence[str]) -> tuple[int, list[int] | None]:
    names = [_name(cell) for cell in header]
    image = next((index for index, name in enumerate(names) if name in _IMAGE_COLUMNS), 0)
    labels = [index for index, name in enumerate(names) if _LABEL_COLUMN.fullmatch(name) and index != image]
    return image, labels or None


def _name(cell: str) -> str:
    return re.sub(r"[-_\s]", "", cell.casefold())


def coco_to_manifest(data: bytes, *, prefix: str, created: datetime) -> Iterator[bytes]:
    """One line with boxes, with its end, for each image of a COCO object detection file, in the order of `images`.

    The image's address is its `coco_url` where that is s3://…, else `prefix` and its `file_name`. Boxes are rounded
    to whole pixels. Segmentation, iscrowd, area, info and licenses are left out; an image without annotations becomes
    a line with an empty list of boxes, which counts as unlabelled.

    Args:
        data: the COCO file.
        prefix: put before each file name; a slash between the two is supplied.
        created: the creation date of images that have no `date_captured`.

    Raises:
        BadData: the file is not COCO; or, after the last line, annotations that fit no image or category, and images
            that occur twice, all listed: what was yielded must then be thrown away.
    """
    images, categories, boxes_of, bad = _coco(data)
    date = created_text(created)
    seen: set[str] = set()
    for image in images:
        uri = _coco_uri(image, prefix)
        if uri in seen:
            bad.append(f"{uri} occurs twice in images")
        seen.add(uri)
        yield write(_coco_line(uri, image, boxes_of.get(image["id"], []), categories, date)) + b"\n"
    if bad:
        raise BadData(listed("the COCO file cannot be converted", bad))


def _coco(data: bytes) -> tuple[list[Json], dict[int, str], dict[Json, list[Json]], list[str]]:
    try:
        content = parse(data)
    except NotJson as error:
        raise BadData(f"this is not a COCO file: {error}") from None
    if not isinstance(content, dict):
        content = {}
    images, annotations, categories = (content.get(part) for part in ("images", "annotations", "categories"))
    if not (_are_objects(images) and _are_objects(annotations) and _are_objects(categories)):
        raise BadData("this is not a COCO file: it needs the lists images, annotations and categories")
    names: dict[int, str] = {}
    bad: list[str] = []
    for index, category in enumerate(categories, start=1):
        if is_integer(category.get("id")) and isinstance(category.get("name"), str):
            names[category["id"]] = category["name"]
        else:
            bad.append(f"category {index} lacks a number as id or a name")
    boxes_of: dict[Json, list[Json]] = {}
    for index, image in enumerate(images, start=1):
        if not is_integer(image.get("id")) or not isinstance(image.get("file_name"), str):
            raise BadData(f"this is not a COCO file: image {index} lacks a number as id or a file_name")
        if not (is_number(image.get("width")) and is_number(image.get("height"))):
            raise BadData(f"the COCO file gives no width and height for {image['file_name']}")
        if image["id"] in boxes_of:
            bad.append(f"image {index} has the id {image['id']} of another image")
        boxes_of[image["id"]] = []
    for index, annotation in enumerate(annotations, start=1):
        box = annotation.get("bbox")
        is_box = isinstance(box, list) and len(box) == 4 and all(is_number(side) for side in box)
        if not is_box:
            bad.append(f"annotation {index} has no bbox of four numbers")
        elif not is_integer(annotation.get("image_id")) or annotation["image_id"] not in boxes_of:
            bad.append(f"annotation {index} is for image {annotation.get('image_id')!r}, which is not in images")
        elif not is_integer(annotation.get("category_id")) or annotation["category_id"] not in names:
            bad.append(f"annotation {index} has category {annotation.get('category_id')!r}, which is not in categories")
        else:
            boxes_of[annotation["image_id"]].append(annotation)
    return images, names, boxes_of, bad


def _are_objects(value: Json) -> TypeGuard[list[dict[str, Json]]]:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _coco_uri(image: dict[str, Json], prefix: str) -> str:
    url = image.get("coco_url")
    if isinstance(url, str) and url.startswith("s3://"):
        return url
    return f"{prefix.rstrip('/')}/{image['file_name'].lstrip('/')}"


def _coco_line(
    uri: str, image: dict[str, Json], annotations: list[Json], categories: dict[int, str], date: str
) -> dict[str, Json]:
    width, height = round(image["width"]), round(image["height"])
    captured = re.match(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", str(image.get("date_captured", "")))
    boxes = []
    for annotation in annotations:
        left, top, box_width, box_height = annotation["bbox"]
        right, bottom = min(round(left + box_width), width), min(round(top + box_height), height)
        left, top = max(round(left), 0), max(round(top), 0)
        class_id = annotation["category_id"]
        boxes.append({"class_id": class_id, "top": top, "left": left, "width": right - left, "height": bottom - top})
    used = dict.fromkeys(annotation["category_id"] for annotation in annotations)
    return {
        "source-ref": uri,
        "bounding-box": {"image_size": [{"width": width, "height": height, "depth": 3}], "annotations": boxes},
        "bounding-box" + METADATA: {
            "objects": [{"confidence": 1} for _ in boxes],
            "class-map": {str(number): categories[number] for number in used},
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": f"{captured[1]}T{captured[2]}" if captured else date,
            "job-name": "labeling-job/bounding-box",
        },
    }

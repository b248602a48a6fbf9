"""Labelled images as a manifest that Rekognition Custom Labels takes.

    a folder of label folders         one line a PNG or JPEG file
    a table image,label[,label…]      one line a row
    a COCO file                       one line an image, with its boxes
    a multi-label labelling job       one line a line

A row that cannot be used, or an image that comes twice, stops the conversion with a list of all of them; whoever
writes the lines keeps none of them then.
"""

from __future__ import annotations

import io
import posixpath
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO

from deconfuse.engine.imports import list_files
from deconfuse.engine.sinks import world_error
from deconfuse.errors import BadData, Invalid, NotFound
from deconfuse.formats.manifest import Entry, listed, multilabel_job_to_manifest, refuse_duplicates, write_manifest
from deconfuse.formats.samples import coco_to_manifest, folder_entries, names_image_column, read_label_csv
from deconfuse.formats.strict_json import NotJson, parse_object
from deconfuse.names import parse_s3

Labelled = tuple[str, Sequence[str]]

MANIFEST_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How the files begin that a manifest may name: PNG, JPEG."""

SPOOLED_BYTES = 64 << 20
"""Standard input above this is kept in a temporary file."""


def manifest_lines(source: Path, prefix: str | None, *, created: datetime, notes: list[str]) -> Iterator[bytes]:
    """The lines of the manifest that `source` makes; sentences for the user are added to `notes`.

    Raises:
        NotFound: there is no such file or folder.
        Invalid: `prefix` is missing or is no s3:// address.
        BadData: something in `source` cannot be used; with a list. What was yielded must then be thrown away.
    """
    if source.is_dir():
        yield from written(
            folder_images(source, checked_prefix(prefix, source), notes), created=created, what="file {}"
        )
        return
    with opened(source) as file:
        match kind_of(file):
            case "table":
                yield from written(table_images(file, prefix), created=created, what="row {}")
            case "job":
                yield from multilabel_job_to_manifest(file)
            case _:
                yield from coco_to_manifest(file.read(), prefix=checked_prefix(prefix, source), created=created)


def written(images: Iterable[Labelled], *, created: datetime, what: str) -> Iterator[bytes]:
    """The images as lines; an error at the end if one came twice."""
    yield from write_manifest(refuse_duplicates(images, where=what.format), created=created)


def checked_prefix(prefix: str | None, source: Path) -> str:
    """`prefix` without a slash at its end.

    Raises:
        Invalid: it is missing, or not of the form s3://bucket/prefix.
    """
    if prefix is None:
        raise Invalid("--s3", f"{source} names its images by path; say where they are in S3: --s3 s3://bucket/prefix")
    prefix = prefix.rstrip("/")
    try:
        parse_s3(prefix + "/image")
    except Invalid:
        form = "s3://bucket/prefix, its bucket of 3 to 255 letters, digits and . - _"
        raise Invalid("--s3", f"{prefix!r} is not of the form {form}") from None
    return prefix


def folder_images(folder: Path, prefix: str, notes: list[str]) -> Iterator[Labelled]:
    """(address, labels) of each PNG and JPEG file below `folder`; other files are left out and noted."""
    paths, problems = list_files(folder)
    listing = folder_entries(paths)
    if listing.is_split:
        tops = sorted({(entry.uri or "").split("/")[0] for entry in listing.entries if "/" in (entry.uri or "")})
        each = " and ".join(f"{folder / top}" for top in tops)
        raise Invalid("SOURCE", f"{folder} holds a training and a test set; a manifest holds one: convert {each}")
    notes += [*listing.notes, *(f"{problem.uri}: {problem.message}" for problem in problems)]
    left_out = list(listing.others)
    n_written = 0
    for entry in usable(listing.entries):
        path = entry.uri or ""
        if begins_like_image(folder / path):
            n_written += 1
            yield f"{prefix}/{path}", entry.labels
        else:
            left_out.append(path)
    if not n_written:
        raise BadData(f"there is no PNG or JPEG file in {folder}")
    if left_out:
        shown = ", ".join(left_out[:5]) + (", …" if len(left_out) > 5 else "")
        notes.append(f"left out, being neither PNG nor JPEG: {len(left_out):,} files ({shown})")


def usable(entries: Iterable[Entry]) -> Iterator[Entry]:
    """`entries` that are good or merely unlabelled.

    Raises:
        BadData: after the last one, if there were others; each is named.
    """
    bad: list[str] = []
    for entry in entries:
        if entry.is_invalid:
            place = f"row {entry.line}" if entry.line is not None else entry.uri
            bad.append(f"{place}: {entry.problems[0].message}")
        else:
            yield entry
    if bad:
        raise BadData(listed("nothing was converted, because of these", bad))


def begins_like_image(path: Path) -> bool:
    """Whether the file begins as PNG or JPEG files do; a pipe does not, nor a link that leads nowhere.

    Raises:
        Denied: it may not be read.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(8).startswith(MANIFEST_IMAGES)
    except OSError as error:
        raise world_error(error, path) from error


def table_images(file: IO[bytes], prefix: str | None) -> Iterator[Labelled]:
    """(address, labels) of each row of a table.

    Raises:
        BadData: the table is not UTF-8 text, or holds rows that cannot be used.
        Invalid: it names images by path, and there is no prefix.
    """
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    # The images need not be on this machine, so only a name of a column makes the first row a header.
    rows = read_label_csv(lines, is_file=lambda cell: not names_image_column(cell))
    n_rows = 0
    try:
        for n_rows, entry in enumerate(usable(rows), start=1):  # noqa: B007
            image = entry.uri or ""
            if not image.startswith("s3://"):
                path = posixpath.normpath(image.replace("\\", "/"))
                if path.startswith(("/", "../")):
                    raise Invalid("SOURCE", f"row {entry.line}: {image} lies outside the folder that --s3 stands for")
                image = f"{checked_prefix(prefix, Path('the table'))}/{path}"
            try:
                parse_s3(image)
            except Invalid as error:
                raise BadData(f"row {entry.line}: {error.why}") from None
            yield image, entry.labels
    except UnicodeDecodeError as error:
        raise BadData(f"the table is not UTF-8 text (byte {error.start + 1}); save it as CSV in UTF-8") from None
    finally:
        lines.detach()
    if not n_rows:
        raise BadData("the table has no rows")


def kind_of(file: IO[bytes]) -> str:
    """What `file` holds, by its first line that is not blank: "table", "job" (JSON lines) or "coco"."""
    first = next((line for line in file if line.strip(b"\xef\xbb\xbf \t\r\n")), b"")
    file.seek(0)
    start = first.removeprefix(b"\xef\xbb\xbf").strip()
    if start.startswith(b"[{") or start in (b"[", b"[]"):
        return "coco"
    if not start.startswith(b"{"):
        return "table"
    try:
        line = parse_object(first.rstrip(b"\r\n"))
    except NotJson:
        return "job" if b'"source-ref"' in first else "coco"
    return "coco" if "source-ref" not in line and line.keys() & {"images", "annotations", "categories"} else "job"


def opened(source: Path) -> IO[bytes]:
    """`source` opened for reading; stdin is read to its end first, so that its beginning can be read twice.

    Raises:
        NotFound: there is no such file.
        Denied: it may not be read.
    """
    if str(source) == "-":
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        return spool
    try:
        return source.open("rb")
    except FileNotFoundError:
        raise NotFound("file or folder", str(source)) from None
    except OSError as error:
        raise world_error(error, source) from error

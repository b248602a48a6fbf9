r"""What a file is, by its content: the one place that tells a summary from a snapshot from a table of predictions.

    starts with PAR1                           parquet
    {"AggregatedEvaluationResults": …}         summary          Rekognition's evaluation summary
    {"format": "deconfuse.matrix/1", …}        matrix           what `matrix --format json` writes
    {…"rekognition-custom-labels-evaluation…   snapshot         Rekognition's manifest snapshot, JSON Lines
    {…} or [{…}, …]                            jsonl            JSON lines, or one array of objects
    true\predicted,…                           wide             a matrix as a table
    anything else that is text                 csv

The name of the file is not asked, except to say what is wrong: a `.parquet` that is none is damaged, not a CSV.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from deconfuse.errors import BadData, Damaged, Denied, Invalid, NotFound
from deconfuse.formats.evaluation import EVALUATION, is_snapshot_line, is_summary

Shape = Literal["parquet", "csv", "wide", "jsonl", "summary", "snapshot", "matrix"]

HEAD_BYTES = 1 << 20
"""So much of a file is looked at to tell what it is."""

MAX_DOCUMENT_BYTES = 1 << 30
"""A JSON document (not JSON lines) is read whole, up to this."""

UNDERSTOOD = (
    "understood are: a run directory; predictions or counted cells as CSV, JSON lines or Parquet; "
    "a matrix that `deconfuse matrix` wrote; a Rekognition evaluation summary; a Rekognition manifest snapshot"
)

_TO_LOOK_AT = (
    ", made to be looked at, and cannot be read back; "
    "give the run's directory, or the matrix written with --format csv or --format json"
)
_MARKDOWN_RULE = re.compile(rb"^\|(?: *:?-{3,}:? *\|)+ *\r?$", re.MULTILINE)

_DELIMITERS = (",", "\t", ";", "|")
_PICTURES = ("a PNG image", "a JPEG image", "a PDF")
_BINARY = {
    b"PK\x03\x04": "a ZIP archive or spreadsheet",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "a NumPy array",
    b"ARROW1": "an Arrow file",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"SQLite": "an SQLite database",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be read again and again.

    Attributes:
        path: where it lies; for a stream, a temporary copy.
        name: how its user calls it, for messages.
        is_gzip: whether its bytes are compressed.
    """

    path: Path
    name: str
    is_gzip: bool = False

    def open(self) -> BinaryIO:
        """The file's bytes, decompressed."""
        return cast(BinaryIO, gzip.open(self.path)) if self.is_gzip else self.path.open("rb")

    def head(self) -> bytes:
        """The first bytes, without a byte order mark.

        Raises:
            BadData: the file is empty, compressed badly, UTF-16, or something binary that is no Parquet.
        """
        with self._readable() as file:
            head = file.read(HEAD_BYTES)
        if not head.strip():
            raise BadData(f"{self.name} is empty")
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise BadData(f"{self.name} is text in UTF-16; save it as UTF-8")
        for magic, what in _BINARY.items():
            if head.startswith(magic):
                raise BadData(f"{self.name} is {what}{_TO_LOOK_AT if what in _PICTURES else ''}; {UNDERSTOOD}")
        return head.removeprefix(b"\xef\xbb\xbf")

    def lines(self) -> Iterator[bytes]:
        """The lines, one by one."""
        with self._readable() as file:
            yield from file

    @contextmanager
    def _readable(self) -> Iterator[BinaryIO]:
        try:
            with self.open() as file:
                yield file
        except (OSError, EOFError, zlib.error) as error:
            raise Damaged(self.name, f"it cannot be decompressed or read ({error})") from None

    def document(self) -> bytes:
        """All bytes.

        Raises:
            BadData: there are more than MAX_DOCUMENT_BYTES.
        """
        with self._readable() as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise BadData(f"{self.name} has more than {MAX_DOCUMENT_BYTES:,} bytes of JSON in one document")
        return data.removeprefix(b"\xef\xbb\xbf")


@contextmanager
def opened(source: Path | BinaryIO | Literal["-"], *, name: str | None = None) -> Iterator[Source]:
    """`source` as a file that can be read repeatedly; a stream is copied to a temporary file first.

    Args:
        source: a path, an open binary stream, or "-" for standard input.
        name: how its user calls it; by default the path, or "standard input".

    Raises:
        NotFound: there is nothing at the path.
        Invalid: it is a directory.
        Denied: the file may not be read.
    """
    if isinstance(source, Path):
        title = name or str(source)
        try:
            mode = source.stat().st_mode
            if stat.S_ISREG(mode):
                with source.open("rb") as file:
                    is_gzip = file.read(2) == b"\x1f\x8b"
                yield Source(source, title, is_gzip)
                return
            if stat.S_ISDIR(mode):
                raise Invalid("SOURCE", f"{title} is a directory, not a file")
            stream: BinaryIO = source.open("rb")
        except FileNotFoundError:
            raise NotFound("file", title) from None
        except NotADirectoryError:
            raise NotFound("file", title) from None
        except PermissionError:
            raise Denied(f"{title} may not be read") from None
        with stream, _spooled(stream, title) as copy:
            yield copy
        return
    stream = sys.stdin.buffer if source == "-" else source
    with _spooled(stream, name or "standard input") as copy:
        yield copy


@contextmanager
def _spooled(stream: BinaryIO, name: str) -> Iterator[Source]:
    with tempfile.TemporaryDirectory(prefix="deconfuse-") as folder:
        path = Path(folder) / "source"
        with path.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        yield Source(path, name, is_gzip)


def shape_of(source: Source) -> Shape:
    """What the file is.

    Raises:
        BadData: it is empty or nothing that is understood; the message says what it seems to be.
    """
    head = source.head()
    if head.startswith(b"PAR1"):
        return "parquet"
    if source.path.suffix.lower() in (".parquet", ".pq"):
        raise Damaged(source.name, "it does not begin as a Parquet file does (PAR1)")
    text = head.lstrip()
    what = _made_to_look_at(text)
    if what:
        raise BadData(f"{source.name} is {what}{_TO_LOOK_AT}; {UNDERSTOOD}")
    if text[:1] == b"[":
        return "jsonl"
    if text[:1] == b"{":
        return _shape_of_json(source, text)
    if b"\0" in head:
        raise BadData(f"{source.name} is neither text nor Parquet; {UNDERSTOOD}")
    header = first_row(source)[0]
    corner = header[0].strip().lower() if header else ""
    return "wide" if corner.startswith(("true\\predicted", "predicted\\true")) else "csv"


def _made_to_look_at(text: bytes) -> str | None:
    """What a text for people is ("an HTML page"), by its beginning; None for anything else."""
    begin = text[:2000].lower()
    if begin.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if begin.startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return "an SVG drawing" if b"<svg" in begin else "XML"
    if begin.startswith((b"\\begin{", b"\\documentclass")) or (begin.startswith(b"%") and b"\\begin{" in begin):
        return "LaTeX"
    return "a Markdown table" if _MARKDOWN_RULE.search(begin) else None


def _shape_of_json(source: Source, text: bytes) -> Shape:
    line, newline, _ = text.partition(b"\n")
    if is_snapshot_line(line):
        return "snapshot"
    try:
        first = json.loads(line)
    except ValueError:
        first = None
    if newline and isinstance(first, dict) and not is_summary(line):
        return _shape_of_line(source, first)
    document = source.document()
    if is_summary(document):
        return "summary"
    try:
        content = json.loads(document)
    except ValueError as error:
        raise BadData(f"{source.name} begins as JSON, but is none: {error}") from None
    return _shape_of_line(source, content)


def _shape_of_line(source: Source, content: dict[str, Any]) -> Shape:
    if str(content.get("format", "")).startswith("deconfuse.matrix/"):
        return "matrix"
    if "statistics" in content:
        raise BadData(f"{source.name} is a manifest summary: it holds no predictions; {UNDERSTOOD}")
    if {"weights", "backbone", "thresholds"} & content.keys() and "temperature" in content:
        raise BadData(f"{source.name} is the card of a run; give the directory it lies in")
    if any(key.startswith(EVALUATION) for key in content):
        raise BadData(f"{source.name} is a manifest snapshot, but not JSON Lines: each image must stand on one line")
    if "source-ref" in content:
        raise BadData(
            f"{source.name} is a manifest without predictions; train on it (`deconfuse train`), "
            "or give the snapshot that Rekognition wrote when it evaluated (TestingGroundTruth-….json)"
        )
    if "images" in content and "annotations" in content:
        raise BadData(f"{source.name} is a COCO file: it holds no predictions; {UNDERSTOOD}")
    return "jsonl"


def first_row(source: Source) -> tuple[list[str], str, int]:
    """The cells of the first row of a CSV that is not blank, its delimiter, and how many blank lines precede it.

    The delimiter is the most frequent of comma, tab, semicolon and bar outside quotes.

    Raises:
        BadData: it is not UTF-8, or no row is there.
    """
    head = source.head()
    try:
        # The last character may be cut in the middle.
        text = head.decode("utf-8") if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise BadData(f"{source.name}, line {line}: it is not text in UTF-8; save the file as UTF-8") from None
    lines = text.splitlines(keepends=True)
    n_blank = next((index for index, line in enumerate(lines) if line.strip()), None)
    if n_blank is None:
        raise BadData(f"{source.name} is empty")
    lines = lines[n_blank : n_blank + 100]
    delimiter = max(_DELIMITERS, key=lambda mark: _outside_quotes(lines[0]).count(mark))
    try:
        return next(csv.reader(lines, delimiter=delimiter)), delimiter, n_blank
    except (csv.Error, StopIteration) as error:
        raise BadData(f"{source.name}: its first row cannot be read ({error})") from None


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])

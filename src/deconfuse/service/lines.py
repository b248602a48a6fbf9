"""The lines of datasets: judged, and written down with what was found.

    {"source-ref": …, "<attribute>": 1, "<attribute>-metadata": {…}, "cl-metadata": {"is_labeled": true}}

A line that is kept says in `cl-metadata` whether it has a label that can be used, and in `cl-errors` what is wrong
with it: in the metadata that is wrong, or else on the line. Warnings are for trainings, and not noted here. What an
earlier judging noted on a line, here or in a training's validation manifest, is taken off first, so that a line can be
listed, mended and given back. Where nothing has to be noted inside a line, the rest of it stays byte for byte.

Some lines cannot be kept at all (`DROPPED`): nobody could ask for them. They are left out; how many, and why the first
of them, is told with the status. More than a fifth of them fail the dataset.

Sources: developer guide, "Debugging datasets": terminal content errors are removed, and AWS tells of them nowhere, too
many of them fail the dataset; "Non-terminal dataset errors". How many are too many is not said; 20 % are in a training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from deconfuse.errors import BadManifest, Problem
from deconfuse.formats.manifest import METADATA, ManifestLimits, read_line
from deconfuse.formats.strict_json import Json, NotJson, parse_object, write
from deconfuse.formats.validation import too_many_invalid
from deconfuse.names import parse_s3
from deconfuse.store.registry import EntryRow

DROPPED = frozenset(
    {
        "ERROR_LINE_TOO_LONG",
        "ERROR_MISSING_SOURCE_REF",
        "ERROR_INVALID_SOURCE_REF_FORMAT",
        "ERROR_INVALID_JSON_LINE",
        "ERROR_DUPLICATE_SOURCE_REF",
    }
)
"""A line with one of these is left out."""

MOST_TOLD = 5
"""So many lines that were left out are told with their reason,"""

LONGEST_REASON = 200
"""each in so many characters."""

_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
_LABELED = b',"cl-metadata":{"is_labeled":true}}'
_UNLABELED = b',"cl-metadata":{"is_labeled":false}}'


def longest_line(limits: ManifestLimits) -> int:
    """How many bytes of a line must be read: of a line that is too long, enough to see that it is."""
    return 4 * limits.max_line_length + 4 if limits.max_line_length else limits.max_bytes or 1 << 30


class Judge:
    """Lines judged one after the other, and what they are together.

    Attributes:
        n_lines: lines so far, blank ones included except at the end.
        n_dropped: those of them that were left out.
        bucket: where their images are; None before the first line that is kept.
        limits: those of the dataset.
    """

    def __init__(self, limits: ManifestLimits) -> None:
        """Nothing was judged yet."""
        self.n_lines = 0
        self.n_dropped = 0
        self.bucket: str | None = None
        self.limits = limits
        self._is_json = False
        self._reasons: list[str] = []
        self._n_repeats = 0

    def judged(self, lines: Iterable[bytes]) -> Iterator[EntryRow]:
        """The lines that are kept, as they are to be stored.

        Raises:
            BadManifest: they are too many, or name images in more than one bucket.
        """
        n_blank = 0
        for given in lines:
            raw = (given if self.n_lines or n_blank else given.removeprefix(_MARK)).strip(_BLANKS)
            if not raw:
                n_blank += 1
                continue
            self.n_lines += n_blank + 1
            check_size(self.n_lines, self.limits)
            for number in range(self.n_lines - n_blank, self.n_lines):
                self._drop(number, "the line is blank")
            n_blank = 0
            entry = self._judge(raw)
            if entry is not None:
                yield entry

    def drop_repeat(self) -> None:
        """Leave out the line that was judged last: an earlier one is for the same image."""
        self._drop(self.n_lines, "the image is on an earlier line")

    def drop_repeats(self, n_lines: int) -> None:
        """Leave out so many more lines, whose numbers are not known: earlier ones are for the same images."""
        self.n_dropped += n_lines
        self._n_repeats += n_lines

    def _drop(self, number: int, why: str) -> None:
        self.n_dropped += 1
        if len(self._reasons) < MOST_TOLD:
            shown = why if len(why) <= LONGEST_REASON else why[:LONGEST_REASON] + "…"
            self._reasons.append(f"line {number:,}: {shown}")

    def told(self, message: str) -> str:
        """`message`, with a second sentence about the lines that were left out, if there are any."""
        if not self.n_dropped:
            return message
        lines = "1 line was" if self.n_dropped == 1 else f"{self.n_dropped:,} lines were"
        return f"{message} {lines} left out: {self._why()}."

    def _why(self) -> str:
        """Why lines were left out: those that repeat an image by their number, of the others the first ones."""
        n_more = self.n_dropped - self._n_repeats - len(self._reasons)
        repeats = [f"{self._n_repeats:,} for an image that is on an earlier line"] if self._n_repeats else []
        return "; ".join([*repeats, *self._reasons, *([f"and {n_more:,} more"] if n_more else [])])

    def check_whole(self) -> None:
        """Look at the file as a whole, after its last line.

        Raises:
            BadManifest: there was no line, nothing was JSON, or too many lines were left out.
        """
        if not self.n_lines:
            raise BadManifest(None, "no JSON Lines were given", code="ERROR_EMPTY_MANIFEST")
        if not self._is_json:
            longest = self.limits.max_line_length
            length = f", of at most {longest:,} characters," if longest else ""
            why = f"these are no JSON Lines: one JSON object in UTF-8 a line{length} is needed"
            raise BadManifest(None, why, code="ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT")
        if too_many_invalid(self.n_dropped, self.n_lines):
            share = f"{self.n_dropped:,} of {self.n_lines:,} lines"
            why = f"{share} cannot be kept, and up to 20 % may be so: {self._why()}"
            raise BadManifest(None, why, code="ERROR_TOO_MANY_RECORDS_IN_ERROR")

    def _judge(self, raw: bytes) -> EntryRow | None:
        try:
            line = plain(raw)
            found = read_line(line, self.n_lines, limits=self.limits)
            errors = [problem for problem in found.problems if problem.level == "error"]
            codes = {problem.code for problem in errors}
            self._is_json = self._is_json or not codes & {"ERROR_INVALID_JSON_LINE", "ERROR_LINE_TOO_LONG"}
            if found.uri is None or codes & DROPPED:
                self._drop(self.n_lines, errors[0].message)
                return None
            labels = tuple(dict.fromkeys(found.labels + found.boxed))
            told = _told(line, is_labeled=bool(labels), errors=errors)
        except RecursionError:  # a writer gives up at less depth than a reader
            self._drop(self.n_lines, "the line is nested too deeply")
            return None
        self._check_bucket(found.uri)
        return EntryRow(found.uri, told, labels, frozenset(found.boxed), has_errors=bool(errors))

    def _check_bucket(self, uri: str) -> None:
        bucket = uri.split("/", 3)[2]
        check_bucket(self.bucket or bucket, bucket)
        self.bucket = bucket


def check_size(n_lines: int, limits: ManifestLimits) -> None:
    """Do nothing, or raise BadManifest where there are more lines than a dataset may have."""
    if 0 < limits.max_lines < n_lines:
        why = f"there are more than {limits.max_lines:,} lines, and a dataset may not have more"
        raise BadManifest(None, why, code="ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")


def check_labels(n_labels: int, limits: ManifestLimits) -> None:
    """Do nothing, or raise BadManifest where there are more labels than a dataset may have."""
    if 0 < limits.max_labels < n_labels:
        why = f"there are more than {limits.max_labels:,} labels, and a dataset may not have more"
        raise BadManifest(None, why, code="ERROR_MANIFEST_TOO_MANY_LABELS")


def check_bucket(bucket: str, other: str) -> None:
    """Do nothing, or raise BadManifest where images are in these two buckets and the buckets differ."""
    if bucket != other:
        why = f"the images are in several buckets ({bucket}, {other}); all images of a dataset must be in one"
        raise BadManifest(None, why, code="ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS")


def bucket_of(line: bytes) -> str:
    """The bucket of the image on a line that was kept."""
    return parse_s3(parse_object(line)["source-ref"]).bucket


def plain(line: bytes) -> bytes:
    """A line without what the service noted on it; one that cannot be read stays as it is."""
    ending = next((each for each in (_LABELED, _UNLABELED) if line.endswith(each)), b"")
    if ending and not _is_marked(line[: -len(ending)]):
        return line[: -len(ending)] + b"}"
    if not _is_marked(line):
        return line
    try:
        value = parse_object(line)
    except NotJson:
        return line
    return write(value) if _clean(value) else line


def _is_marked(line: bytes) -> bool:
    """Whether something may have been noted on a line: it holds a key that notes have, or one that is spelled oddly."""
    return b'"cl-' in line or b'"errors"' in line or b'"warnings"' in line or b"\\u" in line


def _clean(line: dict[str, Json]) -> bool:
    """Take off what was noted anywhere on the line: whether there was anything."""
    own = line.keys() & {"cl-metadata", "cl-errors"}
    for key in own:
        del line[key]
    is_changed = bool(own)
    for place in _places(line):
        for key in ("cl-errors", "errors", "warnings"):
            if _is_note(place.get(key)):
                del place[key]
                is_changed = True
    return is_changed


def _places(line: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Where something can have been noted: the line, attributes, their metadata, boxes."""
    yield line
    for value in [*line.values()]:
        if isinstance(value, dict):
            yield value
            boxes = value.get("annotations")
            yield from (box for box in boxes if isinstance(box, dict)) if isinstance(boxes, list) else ()


def _is_note(value: Json) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and each.keys() == {"code", "message"} for each in value
    )


def _told(line: bytes, *, is_labeled: bool, errors: Sequence[Problem]) -> bytes:
    """A plain line with what was found out about it."""
    if errors:
        value = parse_object(line)
        for problem in errors:
            _note(value, problem)
        line = write(value)
    return line[:-1] + (_LABELED if is_labeled else _UNLABELED)


def _note(line: dict[str, Json], problem: Problem) -> None:
    attribute = problem.at.partition("/annotations/")[0].removesuffix(METADATA)
    metadata = line.get(attribute + METADATA) if problem.at else None
    place = metadata if isinstance(metadata, dict) else line
    notes = place.get("cl-errors")
    if not isinstance(notes, list):
        notes = place["cl-errors"] = []
    note = {"code": problem.code, "message": problem.message}
    if note not in notes:
        notes.append(note)

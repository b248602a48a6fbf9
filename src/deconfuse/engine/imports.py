"""From what a user calls "my images" to entries that can be trained on: a folder, a manifest, or a table.

    IMAGES                      entries                          an image is found
    folder of label folders     one a file                       below the folder
    .manifest .jsonl .json      one a line                       s3://bucket/key below the folder given for the bucket
    .csv .tsv                   one a row                        beside the table, or as in a manifest

`open_images` decides which it is, and reads it without opening a single image; what is wrong with a line or file is
part of its entry. Images of `--test` that lie outside IMAGES get addresses of their own (s3://local-test/…), so that
every address stands for one file. `Intake.fetch` gives the bytes of an image. `review`, next door,
looks for what no single line shows, once the images were hashed.

Nothing is decoded here and nothing is decided about training. The pipeline and `deconfuse convert` call this.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from deconfuse.engine.sinks import PARTIAL
from deconfuse.errors import BadImage, BadManifest, Denied, ImageTooLarge, Invalid, NotFound, Problem, Untrainable
from deconfuse.formats.manifest import Entry, ManifestLimits, read_manifest, write_manifest
from deconfuse.formats.samples import folder_entries, read_label_csv
from deconfuse.names import LOCAL_BUCKET, parse_s3
from deconfuse.tables import Split
from deconfuse.vision.images import FOLDER_LIMITS, MANIFEST_LIMITS, Limits

TEST_BUCKET = "local-test"
"""The bucket under which images of `--test` appear when they lie outside the folder of IMAGES."""

TABLE_ENDINGS = (".csv", ".tsv")
MANIFEST_ENDINGS = (".manifest", ".json", ".jsonl", ".ndjson", ".lst")

MAX_FILE_BYTES = 1 << 30
"""No file above this is read, whatever the limits in force: it would be held in memory whole."""

_INNER_TEST = ("test", "testing")
_INNER_VALIDATION = ("val", "valid", "validation")
_FORM = "IMAGES is a folder of label folders, a manifest (.manifest, .jsonl) or a table (.csv, .tsv)"

Kind = Literal["folder", "manifest", "csv"]


@dataclass(frozen=True, slots=True)
class Intake:
    """What IMAGES and the test images hold, read but not yet looked at.

    Attributes:
        kind: what IMAGES is.
        entries: one a line, row or file, good or bad: those of IMAGES, then those of `--test`. `split` is the side,
            or None for all of them where the hashes of the images decide.
        notes: sentences about how it was read, for its user.
        problems: what is wrong with a file as a whole, and does not keep it from being used.
        fetch: the bytes of the image at an address; raises BadImage. Safe to call from several threads.
        limits: the rules for the image at an address: AWS's for images of a manifest, wider ones for all others.
        root: the folder to which addresses other than s3://… are relative; None for a manifest.
        buckets: the directory of each bucket, those given and the one of `--test`.
        errors: why the data as a whole is refused, as far as only its reader can tell; asked when every image was
            fetched.
        needs_test: whether it is refused too where hashes leave no test image to more than half of the labels.
    """

    kind: Kind
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    fetch: Callable[[str], bytes]
    limits: Callable[[str], Limits]
    root: Path | None
    buckets: Mapping[str, Path]
    errors: Callable[[], tuple[Problem, ...]] = tuple
    needs_test: bool = False


@dataclass(frozen=True, slots=True)
class _Read:
    kind: Kind
    entries: list[Entry]
    root: Path | None
    is_split: bool = False
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def open_images(
    images: Path,
    *,
    test: Path | None = None,
    buckets: Mapping[str, Path] | None = None,
    manifest: ManifestLimits | None = None,
    manifest_images: Limits = MANIFEST_LIMITS,
    folder_images: Limits = FOLDER_LIMITS,
) -> Intake:
    """Read IMAGES, and the test images if they are somewhere else.

    Args:
        images: a folder, a Ground Truth manifest, or a CSV.
        test: the test images, in any of these forms; a test folder inside `images` is then left out.
        buckets: the directory that holds the objects of each bucket named in s3:// addresses.
        manifest: limits for manifests as files.
        manifest_images: limits for images of manifests.
        folder_images: limits for images of folders and CSVs.

    Raises:
        NotFound: nothing is there.
        Invalid: it is none of the three forms, or a bucket is named whose directory was not given.
        Denied: a file or folder may not be read.
        Untrainable: it holds no image at all, or images and no folder of a label; or a manifest has more labels than
            allowed.
        BadManifest: a manifest or table cannot be read as a whole.
    """
    limits = manifest or ManifestLimits()
    train = _read(images, "IMAGES", limits)
    _refuse_one_label(train, "IMAGES")
    parts = [train]
    given = dict(buckets or {})
    if test is not None:
        if test.resolve() == images.resolve():
            raise Invalid("--test", f"{test} is IMAGES itself; leave --test out, and test images are chosen from it")
        held = _read(test, "--test", limits)
        train = _only_training(train, test)
        _refuse_one_label(held, "--test")
        parts = [_on_side(train, "train"), _on_side(_placed(held, train, given), "test")]
    entries = tuple(entry for part in parts for entry in part.entries)
    _refuse_unknown_buckets(entries, given)
    strict = {entry.uri for part in parts if part.kind == "manifest" for entry in part.entries}

    def limits_of(uri: str) -> Limits:
        return manifest_images if uri in strict else folder_images

    def fetch(uri: str) -> bytes:
        return read_image(find_image(uri, root=train.root, buckets=given), max_bytes=limits_of(uri).max_bytes)

    return Intake(
        kind=train.kind,
        entries=entries,
        notes=tuple(note for part in parts for note in part.notes),
        problems=tuple(problem for part in parts for problem in part.problems),
        fetch=fetch,
        limits=limits_of,
        root=train.root,
        buckets=given,
    )


def find_image(uri: str, *, root: Path | None, buckets: Mapping[str, Path]) -> Path:
    """The file of an image: below the directory of its bucket for s3://bucket/key, else relative to `root`.

    The key of an object never leads out of the directory of its bucket, neither by "..", nor by a leading slash, nor
    through a link: a manifest may come from anybody.

    Raises:
        BadImage: the address has no file: its bucket is unknown, or it leads out of its directory.
    """
    if uri.startswith("s3://"):
        try:
            address = parse_s3(uri)
        except Invalid as error:
            raise BadImage(error.why, code="ERROR_INVALID_SOURCE_REF_FORMAT") from error
        if address.bucket not in buckets:
            raise BadImage(f"the folder of bucket {address.bucket} is not known; give --bucket {address.bucket}=DIR")
        return _inside(buckets[address.bucket], address.key, uri)
    if "://" in uri:
        raise BadImage(f"{uri} is an address on a network, which is not fetched; download the image first")
    if root is None:
        raise BadImage(f"{uri} is no s3:// address, and nothing says which folder it is relative to")
    if "\0" in uri:
        raise BadImage("the path holds a null character")
    return root / uri


def read_image(path: Path, *, max_bytes: int = 0) -> bytes:
    """The bytes of the file at `path`.

    Args:
        path: of a file.
        max_bytes: a larger file is refused without being read; 0 means 1 GB, which is never exceeded.

    Raises:
        BadImage: there is no such file, it is no regular file, or it cannot be read.
        ImageTooLarge: it has more bytes than allowed.
    """
    most = min(max_bytes or MAX_FILE_BYTES, MAX_FILE_BYTES)
    try:
        status = path.stat()
        # A pipe or a device would be read for ever, or wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise BadImage("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
        if status.st_size > most:
            raise ImageTooLarge(f"the file has {status.st_size:,} bytes; at most {most:,} are allowed")
        return path.read_bytes()
    except FileNotFoundError:
        why = f"the link {path} leads nowhere" if path.is_symlink() else f"there is no file {path}"
        raise BadImage(why) from None
    except OSError as error:
        raise BadImage(f"{path} cannot be read: {error.strerror or error}") from error


def validation_lines(
    entries: Sequence[Entry], problems: Iterable[Problem], *, created: datetime
) -> tuple[list[bytes], list[Problem]]:
    """(one manifest line for each entry, the problems that concern one of them with its number among these lines).

    The line of a manifest is given as it was read; that of a folder or CSV is written in AWS's form, with the image
    under s3://local/.

    Args:
        entries: of one side, in order.
        problems: of any side.
        created: the creation date in lines that are written.
    """
    number_of: dict[tuple[int | None, str | None], int] = {}
    for number, entry in enumerate(entries, start=1):
        number_of.setdefault((entry.line, entry.uri), number)
    numbered = []
    for problem in problems:
        place = number_of.get((problem.line, problem.uri))
        # Line 1 of the training manifest is not line 1 of the test manifest.
        if place is not None and problem.split in (None, entries[place - 1].split or problem.split):
            numbered.append(replace(problem, line=place))
    return [_line(entry, created) for entry in entries], numbered


def s3_uri(uri: str) -> str:
    """The address of an image in files of AWS's form: `uri` itself, or s3://local/<path> for an image of a folder.

    Example:
        >>> s3_uri("leaf/1.png")
        's3://local/leaf/1.png'
    """
    return uri if uri.startswith("s3://") else f"s3://{LOCAL_BUCKET}/{uri}"


def _line(entry: Entry, created: datetime) -> bytes:
    if entry.raw is not None or entry.uri is None:
        return entry.raw or b""
    return next(write_manifest([(s3_uri(entry.uri), entry.labels)], created=created)).rstrip(b"\n")


def _read(path: Path, field: str, limits: ManifestLimits) -> _Read:
    """What lies at `path`, which the user gave as `field`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise NotFound("file or folder", str(path), f"{_FORM}") from None
    except OSError as error:
        raise Denied(f"{path}: {error.strerror or error}") from error
    kind = _kind(path, field, status)
    if kind == "folder":
        read = _read_folder(path)
    elif kind == "csv":
        read = _read_csv(path)
    else:
        read = _read_manifest_file(path, limits, n_bytes=status.st_size)
    if not read.entries:
        raise Untrainable("ERROR_MANIFEST_TOO_FEW_LABELS", f"{field}: {path} holds no image", read.problems)
    return read


def _kind(path: Path, field: str, status: os.stat_result) -> Kind:
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    if not stat.S_ISREG(status.st_mode):
        raise Invalid(field, f"{path} is neither a file nor a folder; {_FORM}")
    ending = path.suffix.casefold()
    if ending in TABLE_ENDINGS:
        return "csv"
    if ending in MANIFEST_ENDINGS:
        return "manifest"
    with _opened(path) as file:
        start = file.read(4096)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return "manifest"
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")):
        raise Invalid(field, f"{path} is a single image; {_FORM}")
    if start.startswith((b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")):
        raise Invalid(field, f"{path} is a packed file; unpack it first, and give the folder")
    raise Invalid(field, f"{path} is not recognised; {_FORM}. Give the file one of these endings if it is one")


def _read_folder(root: Path) -> _Read:
    paths, problems = list_files(root)
    listing = folder_entries(paths)
    return _Read("folder", list(listing.entries), root, listing.is_split, listing.notes, (*problems, *listing.problems))


def list_files(root: Path) -> tuple[list[str], list[Problem]]:
    """(paths of all files below `root`, relative to it, sorted; a warning for each folder that was left out).

    Links to files are taken as files. Links to folders are not followed, so that no folder is met twice and none
    leads out of `root`. Hidden folders are not entered, nor what earlier trainings left below `root`. An empty folder
    is listed with a slash at its end. A name that is not UTF-8 keeps its bytes as lone surrogates.

    Raises:
        Denied: a folder may not be read.
    """
    paths: list[str] = []
    problems: list[Problem] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        n_before = len(paths) + len(waiting)
        try:
            with os.scandir(root / folder) as found:
                entries = list(found)
        except PermissionError as error:
            raise Denied(f"the folder {_shown(str(root / folder))} may not be read") from error
        except FileNotFoundError:
            continue  # removed since its parent was listed
        except OSError as error:
            problems.append(_left_out(folder, f"the folder cannot be read: {error.strerror or error}"))
            continue
        if folder and _is_run(folder, {entry.name for entry in entries}):
            problems.append(_left_out(folder, "a run of deconfuse is no folder of images; it is left out"))
            continue
        for entry in entries:
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    waiting.append(path + "/")
            elif entry.is_symlink() and _is_directory(entry):
                problems.append(_left_out(path, "a link to a folder is not followed; what is behind it is left out"))
            else:
                paths.append(path)
        if folder and len(paths) + len(waiting) == n_before:
            paths.append(folder)
    return sorted(paths), sorted(problems, key=lambda problem: problem.uri or "")


def _is_run(folder: str, names: set[str]) -> bool:
    """Whether a training wrote this folder, or was killed while it did."""
    return {"card.json", "predictions.parquet"} <= names or PARTIAL.search(folder.rstrip("/")) is not None


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle is met again when it is read as an image
        return False


def _left_out(path: str, why: str) -> Problem:
    shown = _shown(path)
    return Problem("WARNING_FOLDER_LEFT_OUT", why, level="warning", uri=shown)


def _shown(path: str) -> str:
    """`path` with bytes that are not UTF-8 written as escapes, so that it can be printed and stored."""
    return path.encode("utf-8", "backslashreplace").decode()


def _read_csv(path: Path) -> _Read:
    root = path.parent

    def is_file(cell: str) -> bool:
        if cell.startswith("s3://"):
            return True
        try:
            return (root / cell).is_file()
        except (OSError, ValueError):  # too long, or a null character
            return False

    with _opened(path) as file:
        text = _text(file.read(), path)
    entries = [_normal(entry) for entry in read_label_csv(io.StringIO(text, newline=""), is_file=is_file)]
    return _Read("csv", entries, root)


def _text(data: bytes, path: Path) -> str:
    """The text of a table: UTF-8 with or without its mark, or UTF-16 with one, as spreadsheets write it."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadManifest(line, f"{path} is not UTF-8; save it as CSV UTF-8", code="ERROR_INVALID_ROW") from error


def _normal(entry: Entry) -> Entry:
    """`entry` with one spelling for its path, so that two rows for one file are recognised."""
    if entry.uri is None or "://" in entry.uri:
        return entry
    return _renamed(entry, posixpath.normpath(entry.uri))


def _renamed(entry: Entry, uri: str) -> Entry:
    if uri == entry.uri:
        return entry
    return replace(entry, uri=uri, problems=tuple(replace(problem, uri=uri) for problem in entry.problems))


def _read_manifest_file(path: Path, limits: ManifestLimits, *, n_bytes: int) -> _Read:
    if limits.max_bytes and n_bytes > limits.max_bytes:
        why = f"{path} is larger than {limits.max_bytes:,} bytes"
        raise BadManifest(None, why, code="ERROR_MANIFEST_SIZE_TOO_LARGE")
    with _opened(path) as file:
        entries = list(read_manifest(file, limits=limits))
    if entries and not any(entry.labels or entry.uri for entry in entries):
        _refuse_one_document(path)
    labels = {label for entry in entries for label in entry.labels}
    if limits.max_labels and len(labels) > limits.max_labels:
        why = f"{path} has {len(labels):,} labels; at most {limits.max_labels:,} are possible"
        raise Untrainable("ERROR_MANIFEST_TOO_MANY_LABELS", why)
    used = sorted({entry.uri.split("/")[2] for entry in entries if entry.uri})
    problems: tuple[Problem, ...] = ()
    if len(used) > 1:
        why = f"{path} names images in several buckets ({', '.join(used)}); Amazon Rekognition would refuse it"
        problems = (Problem("WARNING_IMAGES_IN_MULTIPLE_S3_BUCKETS", why, level="warning"),)
    return _Read("manifest", entries, None, problems=problems)


def _refuse_one_document(path: Path) -> None:
    """Return unless the file is one JSON document, such as a COCO file, which no line of a manifest is."""
    with _opened(path) as file:
        start = file.read(1 << 16).strip()
    is_coco = b'"annotations"' in start or b'"categories"' in start
    if is_coco or start.startswith(b"[") or start.split(b"\n")[0].strip() == b"{":
        why = (
            f"{path} is one JSON document, and a manifest has one JSON object a line; "
            "a COCO file becomes a manifest by `deconfuse convert`"
        )
        raise BadManifest(None, why, code="ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT")


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise Denied(f"{path}: {error.strerror or error}") from error


def _refuse_one_label(read: _Read, field: str) -> None:
    """Return unless `read` is a folder of images without a folder of a label.

    Raises:
        Untrainable: it is one.
    """
    if read.root is None or read.kind != "folder" or any("/" in (entry.uri or "") for entry in read.entries):
        return
    why = (
        f"{field}: {read.root} holds images and no folder with images: it looks like the folder of one label; "
        f"give its parent, {os.path.normpath(read.root / '..')}"
    )
    raise Untrainable("ERROR_MANIFEST_TOO_FEW_LABELS", why)


def _only_training(train: _Read, test: Path) -> _Read:
    """`train` without the test images inside it, which `--test` replaces.

    Raises:
        Invalid: the test images lie inside IMAGES as if they were a label.
    """
    root = train.root.resolve() if train.root is not None and train.kind == "folder" else None
    if root is not None and not train.is_split and root in test.resolve().parents and test.is_dir():
        why = (
            f"{test} lies inside IMAGES, where it would be trained on; move it out, or name the folders train and test"
        )
        raise Invalid("--test", why)
    if not train.is_split:
        return train
    tops = [(entry.uri or "").split("/")[0] for entry in train.entries]
    kept = [entry for entry, top in zip(train.entries, tops, strict=True) if top.casefold() not in _INNER_TEST]
    joined = sorted({top for top in tops if top.casefold() in _INNER_VALIDATION})
    notes = [f"{top}/ joins the training images, because --test is given" for top in joined]
    if len(kept) < len(tops):
        notes.append(f"--test is given: {len(tops) - len(kept):,} images of the test folder inside IMAGES are left out")
    return replace(train, entries=kept, notes=tuple(notes))


def _placed(held: _Read, train: _Read, buckets: dict[str, Path]) -> _Read:
    """`held` with addresses that are those of no training image, unless it is the same file."""
    if held.is_split and any(entry.split == "test" for entry in held.entries):
        tested = [entry for entry in held.entries if entry.split == "test"]
        note = f"--test: {len(held.entries) - len(tested):,} training images beside its test folder are left out"
        held = replace(held, entries=tested, notes=(note,))
    if held.root is None:
        return held
    root = held.root.resolve()
    below = _below(root, train.root)
    if below is None:
        if TEST_BUCKET in buckets:
            raise Invalid("--bucket", f"{TEST_BUCKET} is the bucket of the images of --test; give yours another name")
        buckets[TEST_BUCKET] = root

    def address(uri: str) -> str:
        if "://" in uri or uri.startswith("/"):
            return uri
        if below is not None:
            return posixpath.normpath(posixpath.join(below, uri))
        return (
            posixpath.normpath(posixpath.join(root.as_posix(), uri))
            if uri.startswith("../")
            else (f"s3://{TEST_BUCKET}/{uri}")
        )

    return replace(held, entries=[_renamed(e, address(e.uri)) if e.uri is not None else e for e in held.entries])


def _below(root: Path, above: Path | None) -> str | None:
    """The path of `root` relative to `above`, or None where it does not lie there."""
    if above is None or not root.is_relative_to(above.resolve()):
        return None
    return root.relative_to(above.resolve()).as_posix()


def _on_side(read: _Read, split: Split) -> _Read:
    entries = [
        replace(entry, split=split, problems=tuple(replace(problem, split=split) for problem in entry.problems))
        for entry in read.entries
    ]
    return replace(read, entries=entries)


def _refuse_unknown_buckets(entries: Iterable[Entry], buckets: Mapping[str, Path]) -> None:
    """Return if the directory of every bucket that is named is known and there.

    Raises:
        Invalid: one is not known; all of them are named.
        NotFound: the directory of one is not there.
    """
    used = {entry.uri.split("/")[2] for entry in entries if entry.uri and entry.uri.startswith("s3://")}
    unknown = sorted(used - buckets.keys())
    if unknown:
        flags = " ".join(f"--bucket {name}=DIR" for name in unknown)
        raise Invalid("--bucket", f"images lie in {', '.join(f's3://{name}/' for name in unknown)}; give {flags}")
    for name in sorted(used):
        if not buckets[name].is_dir():
            raise NotFound("folder", str(buckets[name]), f"It was given by --bucket {name}=DIR")


def _inside(directory: Path, key: str, uri: str) -> Path:
    parts = key.split("/")
    if key.startswith("/") or ".." in parts or "\0" in key:
        raise BadImage(f"{uri} leads out of {directory}")
    path = directory / key
    try:
        is_inside = path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError):  # a link that leads in a circle
        raise BadImage(f"{path} is a link that leads in a circle") from None
    if not is_inside:
        raise BadImage(f"{uri} leads out of {directory} through a link")
    return path

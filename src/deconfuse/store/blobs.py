"""Blobs: files that hold the bytes of objects, each written once under a name that says nothing.

    root/blobs/ab/ab3f…    32 hexadecimal digits, drawn anew for every blob; the first two are the folder

A `Draft` is a blob being written. No row names it yet; when its bytes and its name are on the disk (`secure`), a
transaction may name it. What no row names after a crash is a leftover, and `sweep` removes it. A blob is removed only
after the transaction that took its name away; whoever is reading it then reads it to its end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from deconfuse.errors import Damaged, Unavailable
from deconfuse.signing.checksums import new_digest, to_base64
from deconfuse.store.objects import CHUNK_BYTES, Content, Stored

SPARE_BYTES = 8 << 20
"""What blobs leave of the disk: SQLite's log takes 4 MB before it is folded into a database that may grow by as much.

On a disk that is full to the last byte no deletion could be written, so nobody could make room.
"""


class Draft:
    """A blob being written: `write`, then `secure`, then let a row name it; otherwise `discard`.

    As a context manager it is discarded when the block ends, unless `keep` was called.

    Attributes:
        name: what a row will call it.
        size_bytes: what was written so far.
    """

    def __init__(self, path: Path, algorithms: Collection[str]) -> None:
        """Creates the file at `path`, which must not exist, to be digested by MD5 and `algorithms`."""
        self.name = path.name
        self.size_bytes = 0
        self._digests = {algorithm: new_digest(algorithm) for algorithm in {"MD5", *algorithms}}
        self._path = path
        self._is_kept = False
        with _on_disk(path):
            self._file = _create(path)

    def write(self, data: bytes) -> None:
        """Take in the next bytes.

        Raises:
            Unavailable: the disk is full or gone.
        """
        for digest in self._digests.values():
            digest.update(data)
        self.size_bytes += len(data)
        left = memoryview(data)
        with _on_disk(self._path):
            while left:
                left = left[self._file.write(left) :]

    def write_all(self, chunks: Iterable[bytes]) -> None:
        """Take in everything that `chunks` gives."""
        for chunk in chunks:
            self.write(chunk)

    def append_undigested(self, source: BinaryIO, size_bytes: int) -> None:
        """Append `size_bytes` of another blob inside the kernel; the digests of this draft do not see them.

        Raises:
            Damaged: `source` has fewer.
            Unavailable: the disk is full or gone.
        """
        left = size_bytes
        with _on_disk(self._path):
            while left:
                n = _copy_range(source.fileno(), self._file.fileno(), min(left, 1 << 30))
                if n == 0:
                    raise Damaged("a blob", f"{left} bytes are missing")
                left -= n
        self.size_bytes += size_bytes

    def checksum(self, algorithm: str) -> str:
        """The checksum of what was written, in base64; `algorithm` is MD5 or one of those asked for."""
        return to_base64(self._digests[algorithm].digest())

    @property
    def algorithms(self) -> Collection[str]:
        """Those whose checksums it computes."""
        return self._digests.keys()

    @property
    def md5_hex(self) -> str:
        """The MD5 of what was written, in hexadecimal."""
        return self._digests["MD5"].digest().hex()

    def check(self, expected: dict[str, str]) -> None:
        """Compare what was written with checksums by algorithm, in base64.

        Raises:
            Damaged: one differs.
        """
        for algorithm, wanted in expected.items():
            if self.checksum(algorithm) != wanted:
                raise Damaged("the body", f"its {algorithm} is {self.checksum(algorithm)}, not {wanted}")

    def secure(self) -> None:
        """Return when the bytes and the name are on the disk.

        Raises:
            Unavailable: the disk is gone, or full but for `SPARE_BYTES`.
        """
        with _on_disk(self._path):
            os.fsync(self._file.fileno())
            usage = shutil.disk_usage(self._path.parent)
            if usage.total > 0 and usage.free < SPARE_BYTES:  # a file system that cannot tell says 0 of 0
                raise OSError(errno.ENOSPC, f"the last {SPARE_BYTES >> 20} MB of the disk are the database's")
            self._file.close()
            sync_folder(self._path.parent)

    def keep(self) -> None:
        """A row names it now: it stays."""
        self._is_kept = True

    def discard(self) -> None:
        """Remove it, unless it was kept."""
        with contextlib.suppress(OSError):
            self._file.close()
        if not self._is_kept:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class Blobs:
    """The folder of blobs."""

    def __init__(self, root: Path) -> None:
        """Makes the folder of blobs below `root` where it is missing.

        Raises:
            Unavailable: it cannot be made.
        """
        self.folder = root / "blobs"
        with _on_disk(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # All at once: made by the first blobs that need them, each would keep its put waiting for the disk.
            for number in range(256):
                (self.folder / f"{number:02x}").mkdir(exist_ok=True)
            sync_folder(self.folder)
            sync_folder(root)

    def draft(self, algorithms: Collection[str] = ()) -> Draft:
        """A new blob to write to, digested by MD5 and `algorithms`.

        Raises:
            Invalid: an algorithm that is not known.
            Unavailable: the disk is full or gone.
        """
        return Draft(self._new_path(), algorithms)

    def open(self, name: str) -> BinaryIO:
        """A blob, for reading.

        Raises:
            FileNotFoundError: there is none; it may have been replaced since its row was read.
            Unavailable: it cannot be read.
        """
        try:
            return self._path(name).open("rb", buffering=0)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _away(self.folder, error) from error

    def link(self, name: str) -> str:
        """A second name for the bytes of a blob, on the disk when this returns.

        Raises:
            FileNotFoundError: there is no such blob.
            Unavailable: the disk is full or gone.
        """
        path = self._new_path()
        try:
            os.link(self._path(name), path)
            sync_folder(path.parent)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links, or too many of them
            with _on_disk(path):
                with self._path(name).open("rb") as source, _create(path) as file:
                    shutil.copyfileobj(source, file, CHUNK_BYTES)
                    os.fsync(file.fileno())
                sync_folder(path.parent)
        return path.name

    def remove(self, names: Iterable[str]) -> None:
        """Remove blobs that no row names any more; what cannot be removed is left for `sweep`."""
        for name in names:
            with contextlib.suppress(OSError):
                self._path(name).unlink(missing_ok=True)

    def sweep(self, named: Callable[[str], set[str]], *, older_seconds: float) -> int:
        """Remove every blob that no row names and that was last written `older_seconds` ago: how many.

        Args:
            named: gives the names in rows that begin with these two digits. It is asked after the folder is read, so
                that a blob named meanwhile is found.
            older_seconds: younger ones may belong to a writer at work; 0 where there can be none.
        """
        removed = 0
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            latest = time.time() - older_seconds
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                # ctime, for a link to an old blob is as young as its name.
                found = {entry.name for entry in entries if entry.stat().st_ctime <= latest}
                left = found - named(folder.name) if found else found
                self.remove(left)
                removed += len(left)
        return removed

    def names(self) -> Iterator[str]:
        """The name of every blob, drafts included, in order."""
        return (path.name for path in sorted(self.folder.glob("??/*")))

    def _new_path(self) -> Path:
        return self._path(uuid.uuid4().hex)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name


def content_of(stored: Stored, file: BinaryIO, start: int, length: int) -> Content:
    """`length` bytes of an open file from `start` on, as the content of `stored`; closing it closes the file."""
    file.seek(start)
    return Content(stored, start, length, read=lambda n: file.read(n) or b"", close=file.close)


def _create(path: Path) -> FileIO:
    """A new file at `path` that only its owner may read, for writing, without a buffer."""
    return FileIO(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600))


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_range(source: int, target: int, size: int) -> int:
    """Move up to `size` bytes from one open file to another, at their positions: how many."""
    try:
        return os.copy_file_range(source, target, size)
    except (OSError, AttributeError):  # another system, or a file system that cannot
        data = os.read(source, min(size, CHUNK_BYTES))
        left = memoryview(data)
        while left:
            left = left[os.write(target, left) :]
        return len(data)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _away(path, error) from error


def _away(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path.parent} cannot be used: {error.strerror or error}")

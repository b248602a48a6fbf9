"""Linked folders: the files of an existing folder, seen as keys; nothing is copied, nothing is written there.

A key is the path below the folder, "/" between its steps. Listed are regular files whose names are UTF-8, links
included as long as they lead to a place inside the folder; what leads out of it, as a link or as "..", is not there.
A link to a folder that is above itself is not followed. The ETag of a file is its md5, computed once and kept in the
database by size and time of modification.
"""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from deconfuse.errors import NotFound, Unavailable
from deconfuse.store.database import Database, from_ms
from deconfuse.store.listing import Wanted, page_of_keys, to_page
from deconfuse.store.objects import CHUNK_BYTES, Bucket, Clock, Page, Stored
from deconfuse.store.schema import LINKED_FILES

SETTLED_NS = 2_000_000_000
"""The ETag of a file is kept once the file is this old: within a step of its clock it could change unseen."""

_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """What tells one state of a file from another.

    Attributes:
        size_bytes: its size.
        modified_ns: its time of modification, nanoseconds since 1970.
    """

    size_bytes: int
    modified_ns: int


class LinkedFolder:
    """The files below a folder as keys. What it has read of the folder it keeps, so make one for each request."""

    def __init__(self, folder: Path, prefix: bytes = b"") -> None:
        """Looks at the folder; only keys that begin with `prefix` will be sought.

        Raises:
            Unavailable: it is not there, as when a disk is not mounted.
        """
        try:
            self._root = folder.resolve(strict=True)
            os.scandir(self._root).close()
        except (OSError, RuntimeError) as error:
            raise Unavailable(f"the linked folder {folder} cannot be read") from error
        self._prefix = prefix
        self._children: dict[Path, list[tuple[bytes, bool]]] = {}

    def seek(self, after: bytes, n: int) -> list[tuple[bytes, Facts]]:
        """The next `n` files (key, facts) with key > after that begin with the prefix, in byte order."""
        return list(islice(self._walk(self._root, b"", after, (self._root,)), n))

    def open(self, key: str) -> tuple[BinaryIO, Facts] | None:
        """The file with this key, open for reading, and its facts; None where there is none."""
        steps = key.split("/")
        if any(step in ("", ".", "..") or "\0" in step for step in steps):
            return None
        try:
            path = self._root.joinpath(*steps).resolve(strict=True)
            if not path.is_relative_to(self._root):
                return None
            # The resolved path holds no link any more; one put there since is refused by O_NOFOLLOW.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, RuntimeError, ValueError):
            return None
        facts = _facts(os.fstat(descriptor))
        if facts is None or not _is_still(path, descriptor):
            os.close(descriptor)
            return None
        return os.fdopen(descriptor, "rb", buffering=0), facts

    def _walk(self, folder: Path, below: bytes, after: bytes, above: tuple[Path, ...]) -> Iterator[tuple[bytes, Facts]]:
        """The files of `folder`, whose keys begin with `below`; `above` are the folders on the way to here."""
        children = self._sorted_children(folder)
        # A child whose whole subtree sorts before `after` is passed over; one that `after` begins with is not.
        start = bisect_right(children, (after[len(below) :], True)) if after.startswith(below) else 0
        step = after[len(below) :].split(b"/", 1)[0] + b"/" if after.startswith(below) else b""
        first = next((i for i in range(start) if children[i][0] == step), start) if step else start
        for name, is_folder in children[first:]:
            key = below + name
            if not (key.startswith(self._prefix) or (is_folder and self._prefix.startswith(key))):
                if key > self._prefix:
                    return
                continue
            path = folder / os.fsdecode(name.rstrip(b"/"))
            if is_folder:
                real = Path(os.path.realpath(path))
                if real.is_relative_to(self._root) and real not in above and len(above) < _MAX_DEPTH:
                    yield from self._walk(path, key, after, (*above, real))
            elif key > after and (facts := self._facts_inside(path)) is not None:
                yield key, facts

    def _sorted_children(self, folder: Path) -> list[tuple[bytes, bool]]:
        """(name, is it a folder) of everything in `folder`; a folder's name ends in "/", as its keys go on."""
        if folder not in self._children:
            try:
                with os.scandir(folder) as entries:
                    found = [(os.fsencode(entry.name), _is_folder(entry)) for entry in entries]
            except OSError:  # not ours to read, or gone
                found = []
            self._children[folder] = sorted((n + b"/" if is_dir else n, is_dir) for n, is_dir in found if _is_utf8(n))
        return self._children[folder]

    def _facts_inside(self, path: Path) -> Facts | None:
        """Size and time of a regular file; None for anything else, and for a link that leads out."""
        try:
            if path.is_symlink() and not Path(os.path.realpath(path, strict=True)).is_relative_to(self._root):
                return None
            return _facts(path.stat())
        except OSError:
            return None


class LinkedFiles:
    """The files of linked buckets as objects."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Keeps ETags in `database`."""
        self._database = database
        self._clock = clock

    def open(self, bucket: Bucket, key: str) -> tuple[Stored, BinaryIO]:
        """A file as an object, and its bytes, open for reading.

        Raises:
            NotFound: there is no such file.
            Unavailable: the folder is not there.
        """
        opened = LinkedFolder(Path(bucket.folder or "")).open(key)
        if opened is None:
            raise NotFound("key", key)
        file, facts = opened
        try:
            name = key.encode()
            etag = self._kept(bucket.name, [name]).get((name, facts))
            if etag is None:
                etag = _md5_hex(file)
                self._keep(bucket.name, {(name, facts): etag} if _facts(os.fstat(file.fileno())) == facts else {})
        except BaseException:
            file.close()
            raise
        return _stored(bucket.name, name, facts, etag), file

    def list_objects(self, bucket: Bucket, wanted: Wanted) -> Page:
        """A page of the files; one that goes away meanwhile is left out.

        Raises:
            Unavailable: the folder is not there.
        """
        folder = LinkedFolder(Path(bucket.folder or ""), wanted.prefix)
        keys = page_of_keys(folder.seek, wanted)
        etags = self._kept(bucket.name, [key for key, _ in keys.entries])
        fresh: dict[tuple[bytes, Facts], str] = {}
        objects = []
        for key, facts in keys.entries:
            if (key, facts) not in etags:
                opened = folder.open(key.decode())
                if opened is None:
                    continue
                with opened[0] as file:
                    etags[key, facts] = _md5_hex(file)
                    if _facts(os.fstat(file.fileno())) == facts:
                        fresh[key, facts] = etags[key, facts]
            objects.append(_stored(bucket.name, key, facts, etags[key, facts]))
        self._keep(bucket.name, fresh)
        return to_page(keys, tuple(objects))

    def _kept(self, bucket: str, keys: Sequence[bytes]) -> dict[tuple[bytes, Facts], str]:
        here = (LINKED_FILES.c.bucket == bucket) & LINKED_FILES.c.key.in_(keys)
        with self._database.read() as connection:
            rows = connection.execute(select(LINKED_FILES).where(here)).all()
        return {(row.key, Facts(row.size_bytes, row.modified_ns)): row.etag for row in rows}

    def _keep(self, bucket: str, etags: Mapping[tuple[bytes, Facts], str]) -> None:
        settled = int(self._clock().timestamp()) * 1_000_000_000 - SETTLED_NS
        rows = [
            {"bucket": bucket, "key": k, "size_bytes": f.size_bytes, "modified_ns": f.modified_ns, "etag": etag}
            for (k, f), etag in etags.items()
            if f.modified_ns < settled
        ]
        if rows:
            here = (LINKED_FILES.c.bucket == bucket) & LINKED_FILES.c.key.in_([row["key"] for row in rows])
            with suppress(IntegrityError), self._database.write() as connection:  # another may keep them first
                connection.execute(delete(LINKED_FILES).where(here))
                connection.execute(insert(LINKED_FILES), rows)


def _stored(bucket: str, key: bytes, facts: Facts, etag: str) -> Stored:
    return Stored(bucket, key.decode(), facts.size_bytes, etag, from_ms(facts.modified_ns // 1_000_000))


def _md5_hex(file: BinaryIO) -> str:
    """The md5 of an open file, in hexadecimal; it stands at its beginning afterwards."""
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _facts(status: os.stat_result) -> Facts | None:
    return Facts(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether `path` leads, through no link, to the open file: nobody moved a folder under our feet."""
    try:
        return path.resolve(strict=True) == path and os.path.samestat(path.stat(), os.fstat(descriptor))
    except (OSError, RuntimeError):
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True

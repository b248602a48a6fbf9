"""Where the artefacts of a training go: a directory that appears whole or not at all, or objects in buckets.

A sink takes artefacts one by one and is told at the end that they are complete. The directory sink writes into
`DIR.partial-<random>` beside its target and renames it once; whatever happens before that leaves the target as it
was, and what a killed process leaves behind carries `.partial-` in its name and no card.

The object sink puts each artefact where it belongs, whole; that all of them are there is said by the row of the
version, which names them only then.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol

from deconfuse.errors import AlreadyExists, DeconfuseError, Denied, Invalid, NotFound, Unavailable
from deconfuse.store.objects import Objects, chunks_of

PARTIAL = re.compile(r"\.partial-[0-9a-f]{8}$")
"""What the name of a directory or file ends with while it is written."""

_MAY_PASS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE))


class Sink(Protocol):
    """What a training needs of the place it writes to."""

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Keep `data` under `name`; parts are joined as they come."""

    def finish(self) -> None:
        """Make everything that was put visible at once."""


class DirectorySink:
    """A sink that becomes the directory `target`.

    Used as a context manager: leaving it without `finish` removes what was written, and the folders made for it.

    Raises:
        AlreadyExists: `target` exists and is not an empty directory.
        Denied: its parent cannot be written.
        Unavailable: the disk is full.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        refuse_taken(target)
        self._partial = target.with_name(f"{target.name}.partial-{secrets.token_hex(4)}")
        self._made: list[Path] = []
        try:
            self._made = [parent for parent in target.parents if not parent.exists()]
            self._partial.mkdir(parents=True)
        except OSError as error:
            self._remove_made()
            raise world_error(error, target) from error

    def __enter__(self) -> DirectorySink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._partial.exists():
            shutil.rmtree(self._partial, ignore_errors=True)
            self._remove_made()

    def _remove_made(self) -> None:
        """Remove the folders that were made for the target, innermost first, while nobody else uses them."""
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write `data` to the file `name` of the directory to be."""
        path = self._partial / name
        try:
            with path.open("wb") as file:
                for part in [data] if isinstance(data, bytes) else data:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise world_error(error, self.target / name) from error

    def finish(self) -> None:
        """Rename the directory into its place.

        Raises:
            AlreadyExists: something took the place meanwhile; nothing of it is touched.
        """
        try:
            self._partial.rename(self.target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise AlreadyExists(
                    "output", str(self.target), "It appeared during the training; choose another --output"
                ) from error
            raise world_error(error, self.target) from error


CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".manifest": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
"""What a browser is told of an artefact, by the end of its key; anything else is bytes."""


class ObjectSink:
    """A sink that puts each artefact into a store, under every key that is its place.

    Putting an artefact again replaces it, so a training that was killed is simply begun again.
    """

    def __init__(self, objects: Objects, placements: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Takes the store, and (bucket, key) of each place of each artefact by the artefact's name."""
        self.objects = objects
        self.placements = placements

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Put `data` at every place of the artefact `name`.

        Raises:
            KeyError: nothing says where the artefact belongs; a mistake of the program.
            NotFound: there is no such bucket.
            Denied: a bucket may not be written.
            Unavailable: the disk is full, or the store is away.
        """
        places = self.placements[name]
        again = data if len(places) < 2 else b"".join(chunks_of(data))
        for bucket, key in places:
            self.objects.put(bucket, key, again, headers={"Content-Type": content_type(key)})

    def finish(self) -> None:
        """Nothing is left to do: objects are visible at once, and durable."""


def content_type(key: str) -> str:
    """What a browser is told of the object under `key`."""
    return CONTENT_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")


def refuse_taken(target: Path) -> None:
    """Return if `target` is free or an empty directory.

    Raises:
        AlreadyExists: anything else is there.
        Denied: nobody may look, or its name cannot be one.
    """
    try:
        if target.is_dir() and not any(target.iterdir()):
            return
        is_taken = target.exists() or target.is_symlink()
    except OSError as error:
        raise world_error(error, target) from error
    if is_taken:
        raise AlreadyExists("output", str(target), "Choose another --output, or remove it first")


def refuse_file(path: Path, *, replace: bool, option: str = "--output") -> None:
    """Return if a file may be written at `path`, which the user gave by `option`.

    Raises:
        AlreadyExists: something is there and `replace` is False.
        Invalid: a directory is there, or a device or pipe, which renaming a file onto it would destroy.
        NotFound: the folder of the file is not there.
        Denied: nobody may look.
    """
    try:
        if str(path) == "-":
            raise Invalid(option, "- cannot be stdout here; name a file")
        is_there = path.exists()
        if path.is_dir():
            raise Invalid(option, f"{path} is a folder; name a file in it")
        if is_there and not path.is_file():
            raise Invalid(option, f"{path} is a device or a pipe, not a file; name a file")
        if not is_there and not path.parent.exists():
            raise NotFound("folder", str(path.parent), f"Make it first, or give {option} another one")
        if not replace and (is_there or path.is_symlink()):
            raise AlreadyExists("file", str(path), "Choose another name, or replace it with --force")
    except OSError as error:
        raise world_error(error, path) from error


def write_whole(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write `data` to `path` so that the file appears whole or not at all.

    Raises:
        AlreadyExists: the file exists and `replace` is False.
        Invalid: `path` is a directory, a device or a pipe.
        NotFound: its directory is not there.
        Denied: the directory may not be written.
        Unavailable: the disk is full.
    """
    refuse_file(path, replace=replace)
    partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(4)}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise world_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def world_error(error: OSError, path: Path | str, remedy: str = "") -> DeconfuseError:
    """The error of ours that says what the operating system said about `path`, and what helps."""
    if isinstance(error, FileNotFoundError):
        return NotFound("file or folder", str(path), remedy)
    kind = Unavailable if error.errno in _MAY_PASS else Denied
    return kind(f"{path}: {error.strerror or error}" + (f". {remedy}" if remedy else ""))

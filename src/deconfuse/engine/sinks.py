"""Where the artefacts of a training go: a directory that appears whole or not at all.

A sink takes artefacts one by one and is told at the end that they are complete. The directory sink writes into
`DIR.partial-<random>` beside its target and renames it once; whatever happens before that leaves the target as it
was, and what a killed process leaves behind carries `.partial-` in its name and no card.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from deconfuse.errors import AlreadyExists, DeconfuseError, Denied, Invalid, Unavailable


class Sink(Protocol):
    """What a training needs of the place it writes to."""

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Keep `data` under `name`; parts are joined as they come."""

    def finish(self) -> None:
        """Make everything that was put visible at once."""


class DirectorySink:
    """A sink that becomes the directory `target`.

    Used as a context manager: leaving it without `finish` removes what was written.

    Raises:
        AlreadyExists: `target` exists and is not an empty directory.
        Denied: its parent cannot be written.
        Unavailable: the disk is full.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        refuse_taken(target)
        self._partial = target.with_name(f"{target.name}.partial-{secrets.token_hex(4)}")
        try:
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise world_error(error, self._partial) from error

    def __enter__(self) -> DirectorySink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._partial.exists():
            shutil.rmtree(self._partial, ignore_errors=True)

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
            raise world_error(error, path) from error

    def finish(self) -> None:
        """Rename the directory into its place.

        Raises:
            AlreadyExists: something took the place meanwhile; nothing of it is touched.
        """
        try:
            self._partial.rename(self.target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise AlreadyExists("output", str(self.target), "it appeared during the training") from error
            raise world_error(error, self.target) from error


def refuse_taken(target: Path) -> None:
    """Return if `target` is free or an empty directory.

    Raises:
        AlreadyExists: anything else is there.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise AlreadyExists("output", str(target), "choose another --output, or remove it first")


def refuse_file(path: Path, *, replace: bool) -> None:
    """Return if a file may be written at `path`.

    Raises:
        AlreadyExists: something is there and `replace` is False.
        Invalid: a directory, device or pipe is there, which renaming a file onto it would destroy.
    """
    if path.exists() and not path.is_file():
        raise Invalid("--output", f"{path} is no ordinary file; leave --output out and redirect stdout instead")
    if not replace and (path.exists() or path.is_symlink()):
        raise AlreadyExists("file", str(path), "choose another name, or replace it with --force")


def write_whole(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write `data` to `path` so that the file appears whole or not at all.

    Raises:
        AlreadyExists: the file exists and `replace` is False.
        Invalid: `path` is a directory, a device or a pipe.
        Denied: the directory is missing or may not be written.
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


def world_error(error: OSError, path: Path | str) -> DeconfuseError:
    """The error of ours that says what the operating system said about `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE):
        return Unavailable(f"{path}: {os.strerror(error.errno)}")
    return Denied(f"{path}: {error.strerror or error}")

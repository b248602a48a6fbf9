"""The home of a service: one directory, and what lies where in it.

    HOME/deconfuse.db    the database, where that is SQLite (with -wal and -shm beside it while it is open)
    HOME/blobs/          the bytes of objects, where they are kept here
    HOME/identity        which database those bytes belong to
    HOME/credentials     the first key, in the form of ~/.aws/credentials; only its owner may read it
    HOME/address         where the last server from this home was reached, as JSON
    HOME/lock            held by the server that is at work, where the database is SQLite

Nothing else is written there, and nothing outside of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deconfuse.engine.sinks import world_error
from deconfuse.errors import Damaged, InUse, LimitExceeded, NotFound, Unavailable, Unmet
from deconfuse.names import ObjectAddress
from deconfuse.service.house import House
from deconfuse.store.objects import ALWAYS, OWN_BUCKET, Conditions, Objects, read_all

IDENTITY = "identity"
"""The file, and the key of the object, that say which objects and which database belong together."""

CLAIM_SECONDS = 1
"""How long a server that has put its identity waits for another one to write over it; once in the life of a store."""

_REMEDY = "--home, or DECONFUSE_HOME, names another directory"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is reached, and what clients must know to sign.

    Attributes:
        endpoint_url: of the API.
        s3_endpoint_url: of the objects; the same, unless they are kept in another S3.
        region: for which clients sign.
    """

    endpoint_url: str
    s3_endpoint_url: str
    region: str


class Home:
    """The directory of a service."""

    def __init__(self, path: Path) -> None:
        """Names the directory; nothing is looked at yet."""
        self.path = path.absolute()

    @property
    def database_file(self) -> Path:
        """The SQLite database."""
        return self.path / "deconfuse.db"

    @property
    def credentials_file(self) -> Path:
        """The file with the first key."""
        return self.path / "credentials"

    def make(self) -> None:
        """Make the directory where it is missing; only its owner may look into it then.

        Raises:
            Denied: it cannot be made, or not be written.
            Unavailable: the disk is full.
        """
        try:
            with contextlib.suppress(FileExistsError):  # what is no directory can hold no lock, and is told so
                self.path.mkdir(mode=0o700, parents=True)
            # Other users may not read the database even where they may look into the directory: it holds secrets.
            os.close(os.open(self.path / "lock", os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise world_error(error, self.path, _REMEDY) from error

    @property
    def is_private(self) -> bool:
        """Whether other users of this machine are kept out; True where the system has no such bits."""
        return os.name != "posix" or not self.path.stat().st_mode & 0o077

    def make_database_file(self) -> None:
        """Make an empty database file that only its owner may read, unless there is one; raises as `make`."""
        try:
            os.close(os.open(self.database_file, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise world_error(error, self.database_file, _REMEDY) from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only server of this home until the block ends, or the process does.

        Raises:
            InUse: another server is at work here.
            Denied, Unavailable: the lock cannot be had.
        """
        try:
            import fcntl
        except ImportError:  # a system without such locks
            yield
            return
        path = self.path / "lock"
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(path.open("r+"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate()
                file.write(f"{os.getpid()}\n")
                file.flush()
            except BlockingIOError:
                who = path.read_text().strip()
                raise InUse(
                    f"another server{f' (process {who})' if who else ''} is at work in {self.path}; stop it, or give "
                    "this one a --home of its own. Several servers can share a PostgreSQL database"
                ) from None
            except OSError as error:
                raise world_error(error, path, _REMEDY) from error
            yield

    def check_objects(self, house: House) -> None:
        """Return, if the house's objects can be used.

        They must belong to the database in use; new ones do from now on. A server could not go on otherwise: blobs that
        its database does not name would look like leftovers, and in an S3 two databases count the same numbers for
        their versions.

        Raises:
            Damaged: they belong to another database.
            NotFound: the bucket of an S3 store is not there.
            Denied, Unavailable: the home, the database or the store cannot be used.
        """
        if house.own_place is not None:
            _check_claim(house.objects, house.own_place, house.database.identity().encode())
            return
        file = self.path / IDENTITY
        objects = house.objects
        try:
            kept = file.read_text().strip() if file.exists() else ""
        except OSError as error:
            raise world_error(error, file) from error
        try:
            named = read_all(objects, OWN_BUCKET, IDENTITY, limit_bytes=1024).decode()
        except NotFound:
            if kept:
                why = f"its objects belong to another database than the one in use; see {file}"
                raise Damaged(str(self.path), why) from None
            with contextlib.suppress(Unmet):  # another server of a shared home was first
                objects.put(
                    OWN_BUCKET, IDENTITY, secrets.token_hex(16).encode(), conditions=Conditions(if_none_match=("*",))
                )
            named = read_all(objects, OWN_BUCKET, IDENTITY, limit_bytes=1024).decode()
        except Damaged as error:
            why = "the database in use names objects that are not here; restore blobs and database together"
            raise Damaged(str(self.path), why) from error
        if kept and kept != named:
            raise Damaged(str(self.path), f"its objects belong to another database than the one in use; see {file}")
        if not kept:
            self._write(file, named + "\n")

    def write_credentials(self, text: str) -> None:
        """Keep the first key; raises as `make`."""
        self._write(self.credentials_file, text)

    def read_credentials(self) -> str:
        """What was kept of the first key; "" where nothing was."""
        try:
            return self.credentials_file.read_text()
        except (OSError, UnicodeDecodeError):
            return ""

    def remove_credentials(self) -> None:
        """Keep the first key no longer; raises as `make`."""
        try:
            self.credentials_file.unlink(missing_ok=True)
        except OSError as error:
            raise world_error(error, self.credentials_file) from error

    def write_address(self, address: Address) -> None:
        """Remember where the server is reached; raises as `make`."""
        self._write(self.path / "address", json.dumps(asdict(address)) + "\n")

    def read_address(self) -> Address | None:
        """Where the last server from this home was reached; None where there was none."""
        try:
            return Address(**json.loads((self.path / "address").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, path: Path, text: str) -> None:
        """Write a file that appears whole, and that only its owner may read."""
        partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(4)}")
        try:
            descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise world_error(error, path, _REMEDY) from error


def _check_claim(objects: Objects, place: ObjectAddress, identity: bytes) -> None:
    """Return, if an S3 store belongs to the database of this identity, or did to none; raises as `check_objects`."""
    objects.list_objects(OWN_BUCKET, limit=1)  # whoever may not list could not delete versions either
    try:
        is_ours = _claimed(objects, identity) == identity
    except LimitExceeded:
        is_ours = False
    if not is_ours:
        why = (
            f"its objects belong to another database than the one in use; see {IDENTITY} there. "
            "--store, or DECONFUSE_STORE, names another prefix"
        )
        raise Damaged(str(place), why)


def _claimed(objects: Objects, identity: bytes) -> bytes:
    """The identity that a store keeps; this one, where there was none.

    An S3 that does not know the condition refuses it or overlooks it. Then whoever wrote last is the one that all find
    who wait a moment before they look.
    """
    ways = ((Conditions(if_none_match=("*",)), (Unmet, Unavailable)), (ALWAYS, ()))
    for conditions, passed_over in ways:
        try:
            return read_all(objects, OWN_BUCKET, IDENTITY, limit_bytes=1024)
        except NotFound:
            with contextlib.suppress(*passed_over):
                objects.put(OWN_BUCKET, IDENTITY, identity, conditions=conditions)
                time.sleep(CLAIM_SECONDS)
    return read_all(objects, OWN_BUCKET, IDENTITY, limit_bytes=1024)

"""The database: transactions on SQLite or PostgreSQL, brought to the shape of `schema` when it is opened.

    with database.read() as rows:   one unchanging view of everything; nothing may be written
    with database.write() as rows:  all of it happens or nothing does; durable when the block ends without an error

On SQLite (write-ahead log, synchronous=FULL) a writer takes the whole database with BEGIN IMMEDIATE, and the threads
of one process queue for it in order instead of polling. On PostgreSQL writers run side by side; who must not meet
another names what it is about with `alone_with`, or locks rows with FOR UPDATE, which SQLite does not need.

A database that is away, full or too busy is `Unavailable`. A constraint that does not hold is SQLAlchemy's
`IntegrityError`, for the caller to translate; only a caller knows what the constraint means.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection

from deconfuse.errors import Damaged, Invalid, Unavailable
from deconfuse.store.migrations import migrate
from deconfuse.store.schema import IDENTITY

BUSY_SECONDS = 30
"""How long a writer waits for another process to finish."""

CONNECTIONS = 64
"""At most so many transactions of one process at once."""

POSTGRESQL_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that has vanished without a word is noticed within some ten seconds, before others miss a worker's beat."""

_DISCREET: dict[str, Any] = {"hide_parameters": True}
"""The values of rows, secrets of keys among them, stay out of errors and logs."""

_POOLED = _DISCREET | {"pool_size": 8, "max_overflow": CONNECTIONS - 8}


class Database:
    """Transactions on one database; safe to use from any number of threads.

    Attributes:
        dialect: "sqlite" or "postgresql".
        is_in_memory: whether everything is forgotten when the object goes.
    """

    def __init__(self, engine: Engine, dialect: Literal["sqlite", "postgresql"], *, is_in_memory: bool) -> None:
        """Takes an engine as `open_database` makes it."""
        self.dialect = dialect
        self.is_in_memory = is_in_memory
        self._reader = engine
        self._writer = engine.execution_options(is_writer=True)
        self._turn = threading.RLock()
        if dialect == "postgresql":
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One view of everything that stays the same until the block ends.

        Raises:
            Unavailable: the database is away.
        """
        if self.is_in_memory:  # its one connection is shared
            with self._turn, _translated(), self._reader.begin() as connection:
                yield connection
            return
        with _translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: durable when the block ends, undone when it raises.

        Raises:
            Unavailable: the database is away, full, or another process did not let go of it in time.
            IntegrityError: SQLAlchemy's; a constraint does not hold.
        """
        if self.dialect == "sqlite":
            with self._turn, _translated(), self._writer.begin() as connection:
                yield connection
            return
        with _translated(), self._writer.begin() as connection:
            yield connection

    def identity(self) -> str:
        """32 hexadecimal digits that no other database has but a copy of this one; raises as `read`."""
        with self.read() as connection:
            token: str = connection.scalars(select(IDENTITY.c.token)).one()
            return token

    def close(self) -> None:
        """Let go of every connection; SQLite then folds its log into the database file."""
        self._reader.dispose()


def open_database(place: str | Path) -> Database:
    """The database at `place`, migrated.

    Args:
        place: a file, which is SQLite's; or an address: "sqlite:///relative/file", "sqlite:////absolute/file",
            "sqlite://" (in memory, for tests), "postgresql://user:password@host:port/name".

    Raises:
        Invalid: the address is of no such form, or PostgreSQL's driver is not installed.
        NotReady: a newer deconfuse has written this database.
        Damaged: the file is no database.
        Unavailable: it cannot be reached or written.
    """
    address = _address(place)
    database = _open_sqlite(address) if address.get_backend_name() == "sqlite" else _open_postgresql(address)
    try:
        with database.write() as connection:
            alone_with(connection, "migrations")
            migrate(connection)
    except BaseException as error:
        database.close()
        if isinstance(error, Unavailable) and _is_unreadable(error):
            why = f"{error}; a copy of it can be put back while no server is at work"
            raise Damaged(str(address.database), why) from error
        raise
    return database


def alone_with(connection: Connection, *names: str) -> None:
    """Wait until no other transaction has named one of `names`, and keep them until this one ends.

    On SQLite a writer is alone anyway. Names are taken in sorted order, so that two callers never wait for each other.
    """
    if connection.dialect.name == "postgresql":
        for name in sorted(set(names)):
            number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def to_ms(moment: datetime) -> int:
    """`moment`, which knows its time zone, as whole milliseconds since 1970 UTC, rounded down.

    Example:
        >>> to_ms(datetime(1970, 1, 1, 0, 0, 1, 999, tzinfo=UTC))
        1000
    """
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000


def from_ms(milliseconds: int) -> datetime:
    """The moment in UTC that `to_ms` gave.

    Example:
        >>> from_ms(1500)
        datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    """
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def _address(place: str | Path) -> URL:
    if isinstance(place, Path):
        return URL.create("sqlite", database=str(place))
    try:
        address = make_url(place)
        backend = address.get_backend_name()
    except (ArgumentError, ValueError):
        backend = ""
    if backend not in {"sqlite", "postgresql"}:
        # The address itself is not repeated: it may hold a password.
        raise Invalid("database", "the address must begin with sqlite:// or postgresql://")
    return address.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _open_sqlite(address: URL) -> Database:
    is_in_memory = address.database in (None, "", ":memory:")
    connect = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    if is_in_memory:
        engine = create_engine(address, poolclass=StaticPool, connect_args=connect, **_DISCREET)
    else:
        engine = create_engine(address, connect_args=connect, **_POOLED)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver would otherwise begin transactions by itself, too late
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    file = None if is_in_memory else _File(Path(str(address.database)))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if file is not None:
            file.check()
        is_writer = connection.get_execution_options().get("is_writer", False)
        driver: Any = connection.connection.driver_connection  # SQLAlchemy's own way costs more than the statement
        driver.execute("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return Database(engine, "sqlite", is_in_memory=is_in_memory)


class _File:
    """A database file that is still the one that was opened: what is written to one that was removed is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def check(self) -> None:
        """Return, if nobody has removed or replaced it since the first time; raises Unavailable."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise Unavailable(f"the database file {self._path} is gone: {error.strerror or error}") from error
        identity = (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        if self._identity != identity:
            raise Unavailable(f"the database file {self._path} was replaced under the server; start it again")


def _open_postgresql(address: URL) -> Database:
    try:
        engine = create_engine(
            address,
            pool_pre_ping=True,  # the server may have been started again since
            connect_args=POSTGRESQL_PATIENCE,
            **_POOLED,
        )
    except (ImportError, NoSuchModuleError) as error:
        raise Invalid("database", "PostgreSQL needs its driver: pip install 'deconfuse[postgres]'") from error
    return Database(engine, "postgresql", is_in_memory=False)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise  # the caller's to translate, or a bug
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be used: {_first_line(error.orig)}") from error
    except sqlite3.Error as error:  # raised while a connection is prepared, where SQLAlchemy does not wrap it
        raise Unavailable(f"the database cannot be used: {_first_line(error)}") from error
    except NoConnection as error:
        raise Unavailable(f"the database is busy: {CONNECTIONS} transactions are under way") from error


def _is_unreadable(error: Unavailable) -> bool:
    """Whether SQLite says that a file is no database, or a broken one."""
    cause = error.__cause__
    told = cause.orig if isinstance(cause, DBAPIError) else cause
    primary = getattr(told, "sqlite_errorcode", 0) & 0xFF
    return primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

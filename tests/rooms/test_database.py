"""Transactions: all or nothing, one view, errors with names; the same on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, insert, select, text
from sqlalchemy.exc import IntegrityError

from clusters import Cluster
from deconfuse.errors import Damaged, Invalid, NotReady, Unavailable
from deconfuse.store.database import Database, alone_with, from_ms, open_database, to_ms
from deconfuse.store.schema import BUCKETS, METADATA


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "postgresql":
        address: str = request.getfixturevalue("postgres_url")
        return address
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'rows.sqlite'}"


@pytest.fixture
def opened() -> Iterator[Callable[[str], Database]]:
    """Opens databases that are closed when the test ends."""
    databases: list[Database] = []

    def open_one(url: str) -> Database:
        databases.append(open_database(url))
        return databases[-1]

    yield open_one
    for database in databases:
        database.close()


@pytest.fixture
def database(url: str, opened: Callable[[str], Database]) -> Database:
    """A database of each kind."""
    return opened(url)


def add(database: Database, name: str) -> None:
    """One row, in a transaction of its own."""
    with database.write() as connection:
        connection.execute(insert(BUCKETS).values(name=name, created_ms=0, location=""))


def names(database: Database) -> list[str]:
    """The rows, in order."""
    with database.read() as connection:
        return list(connection.scalars(select(BUCKETS.c.name).order_by(BUCKETS.c.name)))


def test_what_is_written_is_read(database: Database) -> None:
    """A transaction that ends well is seen by all that follow."""
    add(database, "photos")

    assert names(database) == ["photos"]


def test_an_error_undoes_everything(database: Database) -> None:
    """Nothing of a transaction that raises is seen."""

    def begin_and_fail() -> None:
        with database.write() as connection:
            connection.execute(insert(BUCKETS).values(name="photos", created_ms=0, location=""))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_fail()

    assert names(database) == []


def test_a_constraint_is_the_callers_to_translate(database: Database) -> None:
    """Two rows of one key: the second is an IntegrityError and leaves the first."""
    add(database, "photos")

    with pytest.raises(IntegrityError):
        add(database, "photos")
    assert names(database) == ["photos"]


def test_words_sort_by_code_point(database: Database) -> None:
    """No locale has a say in the order of names."""
    for name in ("b", "a.b", "B", "a-b", "é", "ab", "a_b"):
        add(database, name)

    assert names(database) == sorted(names(database))


@pytest.mark.parametrize("odd", ["\0", "\ud800"])
def test_any_text_may_be_sought(database: Database, odd: str) -> None:
    """One that cannot be kept equals nothing and begins nothing; a NUL sorts before every character of a name."""
    for name in ("a", "a-b", "b"):
        add(database, name)

    def found(condition: ColumnElement[bool]) -> list[str]:
        with database.read() as connection:
            return list(connection.scalars(select(BUCKETS.c.name).where(condition).order_by(BUCKETS.c.name)))

    name = BUCKETS.c.name
    assert found(name == f"a{odd}") == found(name.in_([odd, f"b{odd}"])) == []
    assert found(name.startswith(f"a{odd}", autoescape=True)) == []
    if odd == "\0":
        assert found(name > "a\0") == ["a-b", "b"]
        assert found(name > "\0") == ["a", "a-b", "b"]


def test_a_reader_keeps_its_view(database: Database) -> None:
    """What is written meanwhile is not seen until the next transaction; memory lets one in at a time."""
    if database.is_in_memory:
        return
    add(database, "first")
    with database.read() as connection:
        before = connection.scalars(select(BUCKETS.c.name)).all()
        add(database, "second")

        assert connection.scalars(select(BUCKETS.c.name)).all() == before == ["first"]
    assert names(database) == ["first", "second"]


def test_many_writers_lose_nothing(database: Database) -> None:
    """Eight threads count together to 80."""
    with database.write() as connection:
        connection.execute(insert(BUCKETS).values(name="count", created_ms=0, location=""))

    def count(_: int) -> None:
        with database.write() as connection:
            alone_with(connection, "count")
            seen = connection.scalar(select(BUCKETS.c.created_ms)) or 0
            connection.execute(BUCKETS.update().values(created_ms=seen + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))
    with database.read() as connection:
        assert connection.scalar(select(BUCKETS.c.created_ms)) == 80


def test_opening_again_keeps_what_is_there(tmp_path: Path, opened: Callable[[str], Database]) -> None:
    """Migrations that were run are not run again."""
    url = f"sqlite:///{tmp_path / 'rows.sqlite'}"
    first = opened(url)
    add(first, "photos")
    first.close()

    assert names(opened(url)) == ["photos"]


def test_two_may_open_a_fresh_database_at_once(url: str, opened: Callable[[str], Database]) -> None:
    """Servers that start together do not both make the tables."""
    if url == "sqlite://":
        return
    with ThreadPoolExecutor(4) as pool:
        databases = list(pool.map(opened, [url] * 4))

    assert [names(database) for database in databases] == [[]] * 4


def test_the_steps_lead_to_the_tables(database: Database) -> None:
    """What the migrations make is what `schema` says, column by column."""
    with database.write() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, METADATA) == []


def test_each_database_has_an_identity_of_its_own(url: str, opened: Callable[[str], Database]) -> None:
    """Opened again it has the same."""
    first, other = opened(url), opened("sqlite://")

    assert first.identity() == (first if url == "sqlite://" else opened(url)).identity()
    assert len({first.identity(), other.identity()}) == 2


def test_a_database_from_before_there_were_identities_gets_one(
    tmp_path: Path, opened: Callable[[str], Database]
) -> None:
    """The step that makes the table fills it."""
    url = f"sqlite:///{tmp_path / 'rows.sqlite'}"
    database = opened(url)
    with database.write() as connection:
        connection.execute(text("DROP TABLE identity"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    database.close()

    assert len(opened(url).identity()) == 32


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path, opened: Callable[[str], Database]) -> None:
    """An older program does not guess what a newer one meant."""
    url = f"sqlite:///{tmp_path / 'rows.sqlite'}"
    database = opened(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()

    with pytest.raises(NotReady, match="newer deconfuse"):
        opened(url)


def test_sqlite_is_durable_at_every_commit(tmp_path: Path, opened: Callable[[str], Database]) -> None:
    """Write-ahead log, synced at every commit, foreign keys checked."""
    database = opened(f"sqlite:///{tmp_path / 'rows.sqlite'}")

    with database.read() as connection:
        settings = [connection.scalar(text(f"PRAGMA {p}")) for p in ("journal_mode", "synchronous", "foreign_keys")]
    assert settings == ["wal", 2, 1]


@pytest.mark.parametrize("url", ["", "mysql://host/name", "rows.sqlite", "postgres", "sqlite+aiosqlite://", "://"])
def test_an_address_of_no_known_kind_is_refused(url: str, opened: Callable[[str], Database]) -> None:
    """The message says what an address looks like."""
    if url.startswith("sqlite+"):  # the kind counts, the driver is ours
        assert opened(url).dialect == "sqlite"
        return
    with pytest.raises(Invalid, match="sqlite:// or postgresql://"):
        opened(url)


def test_a_password_is_not_repeated(opened: Callable[[str], Database]) -> None:
    """An address that is refused is not shown: it may hold a secret."""
    with pytest.raises(Invalid) as caught:
        opened("mysql://user:secret-word@host/name")

    assert "secret-word" not in str(caught.value)


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path, opened: Callable[[str], Database]) -> None:
    """The database cannot be opened: an error of the world, not of the program."""
    with pytest.raises(Unavailable, match="unable to open"):
        opened(f"sqlite:///{tmp_path / 'nowhere' / 'rows.sqlite'}")


@pytest.mark.parametrize("name", ["what?", "x%41y", "50%", "a#b", "ü b"])
def test_a_file_may_have_any_name(tmp_path: Path, opened: Callable[..., Database], name: str) -> None:
    """It is a name, and no part of an address."""
    add(opened(tmp_path / name), "photos")

    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm"))] == [name]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_was_removed_takes_no_more_rows(
    tmp_path: Path, opened: Callable[..., Database], *, is_replaced: bool
) -> None:
    """They would be lost with the last process that has it open."""
    file = tmp_path / "rows.sqlite"
    database = opened(file)
    file.rename(tmp_path / "moved")
    if is_replaced:
        file.write_bytes(b"")

    with pytest.raises(Unavailable, match=r"rows\.sqlite (was replaced|is gone)"):
        add(database, "photos")
    with pytest.raises(Unavailable, match=r"rows\.sqlite"):
        names(database)
    file.unlink(missing_ok=True)
    (tmp_path / "moved").rename(file)
    assert names(database) == []


def test_an_error_holds_no_values(database: Database) -> None:
    """Values of rows, secrets among them, would stand in the log."""
    add(database, "photos")
    with pytest.raises(IntegrityError) as caught:
        add(database, "photos")

    assert "hidden" in str(caught.value)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path, opened: Callable[[str], Database]) -> None:
    """Nothing is written over it."""
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at as if it were one" * 50)
    before = path.read_bytes()

    with pytest.raises(Damaged, match="not a database"):
        opened(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path, opened: Callable[[str], Database]) -> None:
    """When the database may not grow, writing fails with a name; when it may again, it works."""
    database = opened(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    with database.write() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count={pages}"))

    def fill() -> None:
        for i in range(200):
            add(database, f"{i}" * 500)

    with pytest.raises(Unavailable, match="full"):
        fill()
    with database.write() as connection:
        connection.execute(text("PRAGMA max_page_count=100000"))
    add(database, "after")
    assert "after" in names(database)


def test_another_process_that_holds_the_database_is_waited_for(
    tmp_path: Path, opened: Callable[[str], Database]
) -> None:
    """A writer elsewhere delays ours and does not fail it."""
    path = tmp_path / "rows.sqlite"
    database = opened(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()

    add(database, "photos")
    timer.join()
    other.close()
    assert names(database) == ["photos"]


@pytest.mark.postgres
def test_a_server_that_goes_away_comes_back(
    postgres_cluster: Cluster, postgres_url: str, opened: Callable[[str], Database]
) -> None:
    """While it is away everything is Unavailable; afterwards the same object works, and nothing was lost."""
    database = opened(postgres_url)
    add(database, "before")
    postgres_cluster.stop()
    try:
        for attempt in (names, lambda d: add(d, "during")):
            with pytest.raises(Unavailable):
                attempt(database)
    finally:
        postgres_cluster.start()

    add(database, "after")
    assert names(database) == ["after", "before"]


@pytest.mark.postgres
def test_a_server_lost_in_a_transaction_undoes_it(
    postgres_cluster: Cluster, postgres_url: str, opened: Callable[[str], Database]
) -> None:
    """The transaction fails with a name and leaves nothing."""
    database = opened(postgres_url)

    def lose_it_halfway() -> None:
        with database.write() as connection:
            connection.execute(insert(BUCKETS).values(name="half", created_ms=0, location=""))
            postgres_cluster.stop()
            connection.execute(select(BUCKETS))

    try:
        with pytest.raises(Unavailable):
            lose_it_halfway()
    finally:
        postgres_cluster.start()

    assert names(database) == []


@given(st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_a_moment_survives_to_the_millisecond(moment: datetime) -> None:
    """What is kept is the moment, rounded down; never later, less than a millisecond earlier."""
    kept = from_ms(to_ms(moment))

    assert timedelta(0) <= moment - kept < timedelta(milliseconds=1)
    assert to_ms(kept) == to_ms(moment)


def test_a_moment_elsewhere_is_the_same_moment() -> None:
    """The time zone it is told in does not count."""
    moment = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))

    assert from_ms(to_ms(moment)) == moment

"""The lines of datasets: order, replacement, filters, counts, splitting, copying, and memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from deconfuse.errors import InUse, NotFound
from deconfuse.store import entries, registry
from deconfuse.store.database import Database, open_database
from deconfuse.store.registry import EntryFilter, EntryRow, LabelCount, Stats
from registries import NOW, a_dataset, a_project, lines


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database of each kind."""
    is_sqlite = request.param == "sqlite"
    url = "sqlite://" if is_sqlite else request.getfixturevalue("postgres_url")
    database = open_database(url)
    yield database
    database.close()


@pytest.fixture
def dataset(database: Database) -> int:
    """The number of a dataset without lines."""
    return a_dataset(database, a_project(database)).id


ROWS = (
    EntryRow("s3://bucket/Cats/1.png", b"1", ("cat", "sofa")),
    EntryRow("s3://bucket/cats/2.png", b"2", ("cat",), has_errors=True),
    EntryRow("s3://bucket/dogs/3.png", b"3", ("dog", "ball"), boxed=frozenset({"ball"})),
    EntryRow("s3://bucket/dogs/4%_.png", b"4"),
    EntryRow("s3://bucket/\u00c9tat/5.png", b"5", has_errors=True),
)


def put(database: Database, dataset_id: int, *rows_: EntryRow) -> int:
    """Put lines in one transaction."""
    with database.write() as rows:
        return registry.put_entries(rows, dataset_id, rows_)


def all_lines(database: Database, dataset_id: int, which: EntryFilter = registry.EVERYTHING) -> list[bytes]:
    """Every line that fits, gathered page by page."""
    found: list[bytes] = []
    after: int | None = None
    with database.read() as rows:
        while True:
            page = registry.list_lines(rows, dataset_id, which=which, after=after, limit=2)
            assert len(page.items) <= 2
            found += page.items
            after = page.after
            if after is None:
                return found


def test_lines_are_listed_as_they_came(database: Database, dataset: int) -> None:
    """Byte for byte, in order, each once, by pages of any size; another dataset's lines are not among them."""
    other = a_dataset(database, a_project(database, "other")).id
    put(database, other, EntryRow("s3://bucket/a", b"other"))
    n_lines = put(database, dataset, *ROWS)

    assert (n_lines, all_lines(database, dataset)) == (5, [b"1", b"2", b"3", b"4", b"5"])
    with database.read() as rows:
        assert list(registry.each_line(rows, dataset)) == [b"1", b"2", b"3", b"4", b"5"]


def test_a_line_for_the_same_image_takes_the_place_of_the_first(database: Database, dataset: int) -> None:
    """Its labels and errors go with it; of two in one update, the later one stays."""
    put(database, dataset, *ROWS)
    put(
        database,
        dataset,
        EntryRow("s3://bucket/new", b"6", ("new",)),
        EntryRow(ROWS[1].source_ref, b"lost", ("lost",)),
        EntryRow(ROWS[1].source_ref, b"22", ("bird",)),
    )

    assert all_lines(database, dataset) == [b"1", b"22", b"3", b"4", b"5", b"6"]
    with database.read() as rows:
        labels = [count.label for count in registry.list_labels(rows, dataset).items]
        assert labels == ["ball", "bird", "cat", "dog", "new", "sofa"]
        assert registry.count_entries(rows, dataset) == Stats(n_entries=6, n_labeled=4, n_labels=6, n_errors=1)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (EntryFilter(labels=("cat",)), [b"1", b"2"]),
        (EntryFilter(labels=("sofa", "ball", "cat")), [b"1", b"2", b"3"]),
        (EntryFilter(labels=("Cat",)), []),
        (EntryFilter(is_labeled=True), [b"1", b"2", b"3"]),
        (EntryFilter(is_labeled=False), [b"4", b"5"]),
        (EntryFilter(has_errors=True), [b"2", b"5"]),
        (EntryFilter(contains="cats/"), [b"2"]),
        (EntryFilter(contains="%_"), [b"4"]),
        (EntryFilter(contains="\u00c9"), [b"5"]),
        (EntryFilter(contains="\u00e9"), []),
        (EntryFilter(contains="nothing"), []),
        (EntryFilter(labels=("cat",), has_errors=True, is_labeled=True, contains="2"), [b"2"]),
        (EntryFilter(labels=("dog",), is_labeled=False), []),
    ],
)
def test_filters_hold_together(database: Database, dataset: int, which: EntryFilter, expected: list[bytes]) -> None:
    """Labels are alternatives, everything else is demanded; text is found letter by letter, without wildcards."""
    put(database, dataset, *ROWS)

    assert all_lines(database, dataset, which) == expected


def test_labels_are_counted_by_code_point(database: Database, dataset: int) -> None:
    """Lines that have a label, and those that have it on a box; pages join; capitals come first on every machine."""
    put(database, dataset, *ROWS, EntryRow("s3://bucket/6", b"6", ("Zebra", "\u00e9t\u00e9", "ball")))
    with database.read() as rows:
        first = registry.list_labels(rows, dataset, limit=4)
        second = registry.list_labels(rows, dataset, after=first.after, limit=4)

    assert [*first.items, *second.items] == [
        LabelCount("Zebra", 1, 0),
        LabelCount("ball", 2, 1),
        LabelCount("cat", 2, 0),
        LabelCount("dog", 1, 0),
        LabelCount("sofa", 1, 0),
        LabelCount("\u00e9t\u00e9", 1, 0),
    ]
    assert second.after is None


def test_an_empty_dataset_has_nothing(database: Database, dataset: int) -> None:
    """Empty pages that end, counts of zero; putting and clearing nothing is fine."""
    put(database, dataset)
    registry.clear_entries(database, dataset)

    with database.read() as rows:
        assert registry.list_lines(rows, dataset) == registry.Page((), None)
        assert registry.list_labels(rows, dataset) == registry.Page((), None)
        assert registry.list_labels_of_entries(rows, dataset) == registry.Page((), None)
        assert registry.count_entries(rows, dataset) == Stats()
        assert list(registry.each_line(rows, dataset)) == []
    with database.write() as rows:
        assert registry.copy_entries(rows, source=dataset, target=dataset) is None


def test_an_update_that_fails_changes_nothing(database: Database, dataset: int) -> None:
    """An error behind the thousandth line undoes the first thousand, too."""
    put(database, dataset, *ROWS)

    def broken() -> Iterator[EntryRow]:
        yield from lines(1500)
        raise BlockingIOError

    with pytest.raises(BlockingIOError), database.write() as rows:
        registry.put_entries(rows, dataset, broken())

    assert all_lines(database, dataset) == [b"1", b"2", b"3", b"4", b"5"]


def test_loading_lets_others_write_meanwhile(database: Database, dataset: int) -> None:
    """While lines are read from their source no transaction is open; what was loaded is there."""
    seen: list[int] = []

    def source() -> Iterator[EntryRow]:
        for number, row in enumerate(lines(2500)):
            if number == 1700:
                with database.write() as rows:
                    seen.append(registry.count_entries(rows, dataset).n_entries)
            yield row

    n_lines = registry.load_entries(database, dataset, source())

    assert (n_lines, seen) == (2500, [1000])


def test_long_lines_make_small_batches(database: Database, dataset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory is bounded by bytes, too."""
    monkeypatch.setattr(entries, "BATCH_BYTES", 4000)
    counts: list[int] = []

    def note(rows: Connection) -> None:
        counts.append(registry.count_entries(rows, dataset).n_entries)

    registry.load_entries(database, dataset, lines(25, size_bytes=400), guard=note)

    assert counts == [0, 10, 20]


def test_loading_ends_when_it_may_not_go_on(database: Database, dataset: int) -> None:
    """The dataset has moved, is gone, or the guard says no: what was loaded before stays to be cleared."""

    def moved() -> Iterator[EntryRow]:
        yield from lines(1000)
        with database.write() as rows:
            registry.move_dataset(rows, dataset, was="CREATE_IN_PROGRESS", becomes="CREATE_FAILED", now_ms=NOW)
        yield from lines(1000, first=1000)

    with pytest.raises(InUse, match="CREATE_FAILED"):
        registry.load_entries(database, dataset, moved())
    with pytest.raises(NotFound, match="dataset"):
        registry.load_entries(database, 99, lines(1))
    with pytest.raises(ZeroDivisionError):
        registry.load_entries(database, dataset, lines(1), within="CREATE_FAILED", guard=lambda rows: 1 // 0)
    with database.read() as rows:
        assert registry.count_entries(rows, dataset).n_entries == 1000


def test_lines_that_are_added_replace_nothing(database: Database, dataset: int) -> None:
    """Of lines for one image the first stays, with its labels, near and far; only what is added is counted."""
    put(database, dataset, *ROWS)
    again = [EntryRow(ROWS[0].source_ref, b"x", ("fish",)), EntryRow("s3://bucket/new", b"n"), *lines(1500)]

    n_lines = registry.load_entries(
        database, dataset, [*again, EntryRow("s3://bucket/new", b"m"), *lines(9)], put=registry.add_entries
    )

    assert n_lines == 1501
    assert all_lines(database, dataset)[:6] == [b"1", b"2", b"3", b"4", b"5", b"n"]
    with database.read() as rows:
        assert registry.count_entries(rows, dataset) == Stats(1506, 1503, 54, 4)


def test_clearing_ends_when_it_may_not_go_on(database: Database, dataset: int) -> None:
    """A worker that has lost its job takes nothing away."""
    put(database, dataset, *ROWS)

    with pytest.raises(ZeroDivisionError):
        registry.clear_entries(database, dataset, guard=lambda rows: 1 // 0)
    with database.read() as rows:
        assert registry.count_entries(rows, dataset).n_entries == 5


def test_clearing_takes_every_line(database: Database, dataset: int) -> None:
    """More than a batch, with labels; other datasets keep theirs."""
    other = a_dataset(database, a_project(database, "other")).id
    put(database, other, *ROWS)
    registry.load_entries(database, dataset, lines(2001))

    registry.clear_entries(database, dataset)

    with database.read() as rows:
        assert registry.count_entries(rows, dataset) == Stats()
        assert registry.count_entries(rows, other).n_labels == 4


def test_a_split_moves_lines_with_their_labels(database: Database) -> None:
    """What one dataset loses the other gains, in order; lines of a third are not touched."""
    project = a_project(database)
    train, test = a_dataset(database, project, "train").id, a_dataset(database, project, "test").id
    registry.load_entries(database, train, lines(2500, n_labels=5))
    with database.write() as rows:
        first = registry.list_labels_of_entries(rows, train, limit=2)
        rest = registry.list_labels_of_entries(rows, train, after=first.after, limit=5000)
        chosen = [number for number, _, labels in (*first.items, *rest.items) if labels == ("label-3",)]

        assert registry.move_entries(rows, chosen, source=train, target=test) == 500
        assert registry.move_entries(rows, chosen, source=train, target=test) == 0
        assert registry.count_entries(rows, test) == Stats(500, 500, 1, 0)
        assert registry.count_entries(rows, train) == Stats(2000, 2000, 4, 3)
        expected = [row.line for row in lines(2500, n_labels=5) if row.labels == ("label-3",)]
        assert list(registry.each_line(rows, test)) == expected


def test_a_move_onto_the_same_image_is_refused(database: Database) -> None:
    """A dataset has one line an image, whoever forgets it."""
    project = a_project(database)
    train, test = a_dataset(database, project, "train").id, a_dataset(database, project, "test").id
    for dataset_id in (train, test):
        put(database, dataset_id, ROWS[0])

    with database.read() as rows:
        ((number, _, _),) = registry.list_labels_of_entries(rows, train).items
    with pytest.raises(IntegrityError), database.write() as rows:
        registry.move_entries(rows, [number], source=train, target=test)


def test_a_copy_is_the_same(database: Database, dataset: int) -> None:
    """Lines, order, labels, boxes and errors; the original is left alone."""
    target = a_dataset(database, a_project(database, "other")).id
    registry.load_entries(database, dataset, lines(25))
    put(database, dataset, *ROWS)
    after: int | None = None
    n_calls = 0
    while after is not None or not n_calls:
        with database.write() as rows:
            after = registry.copy_entries(rows, source=dataset, target=target, after=after, limit=10)
        n_calls += 1

    with database.read() as rows:
        views = [
            (list(registry.each_line(rows, each)), registry.list_labels(rows, each), registry.count_entries(rows, each))
            for each in (dataset, target)
        ]
        labels = [
            [item[1:] for item in registry.list_labels_of_entries(rows, each).items] for each in (dataset, target)
        ]
    assert (n_calls, views[0], labels[0]) == (3, views[1], labels[1])


def test_a_very_long_address_is_kept(database: Database, dataset: int) -> None:
    """1,024 characters of four bytes each, which no index of PostgreSQL would take, and differ in the last one."""
    head = "s3://bucket/" + "\U0001f600" * 1023
    put(database, dataset, EntryRow(head + "a", b"a"), EntryRow(head + "b", b"b"), EntryRow(head + "a", b"c"))

    assert all_lines(database, dataset) == [b"c", b"b"]
    assert all_lines(database, dataset, EntryFilter(contains="\U0001f600b")) == [b"b"]


def test_addresses_around_the_length_of_a_key_are_told_apart(database: Database, dataset: int) -> None:
    """Each is its own line, whether it is its own key or stands behind a digest; put again, each finds itself."""
    lengths = range(entries.KEY_BYTES - 3, entries.KEY_BYTES + 4)
    rows = [EntryRow("s3://bucket/".ljust(length, "x"), str(length).encode()) for length in lengths]
    for _ in range(2):
        put(database, dataset, *rows)

    assert all_lines(database, dataset) == [row.line for row in rows]


BIG = """
    import resource, sys
    from registries import NOW, a_dataset, a_project, lines
    from deconfuse.store import registry
    from deconfuse.store.database import open_database

    def most_kib():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def walk(n_lines):
        assert registry.load_entries(database, dataset.id, lines(n_lines)) == n_lines
        after, n_seen = None, 0
        while True:
            with database.read() as rows:
                page = registry.list_lines(rows, dataset.id, after=after)
            n_seen, after = n_seen + len(page.items), page.after
            if after is None:
                break
        assert n_seen == n_lines, n_seen
        with database.write() as rows:
            registry.put_entries(rows, dataset.id, lines(n_lines, n_labels=20))
            assert registry.count_entries(rows, dataset.id).n_labels == 20
            assert sum(len(line) for line in registry.each_line(rows, dataset.id)) == 400 * n_lines
        registry.clear_entries(database, dataset.id)

    database = open_database(sys.argv[1])
    dataset = a_dataset(database, a_project(database))
    walk(5_000)
    before = most_kib()
    walk(250_000)
    print(most_kib() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_a_dataset(tmp_path: Path) -> None:
    """250,000 lines (100 MB) are loaded, listed by pages, updated as a whole and cleared in 16 MB more than 5,000."""
    url = f"sqlite:///{tmp_path}/registry.db"
    tests = str(Path(__file__).resolve().parents[1])
    source = f"import sys; sys.path.insert(0, {tests!r})\n" + textwrap.dedent(BIG)
    done = subprocess.run([sys.executable, "-c", source, url], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024

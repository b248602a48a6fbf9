"""The lines of datasets: up to 250,000 a dataset, one an image, in the order in which they came.

A line is kept byte for byte beside what is asked of it: its source-ref, its labels, whether something is wrong with
it. A second line for the same source-ref takes the place of the first. Lines are put a thousand at a time and read a
hundred at a time, so memory does not grow with a dataset.

Who fills, replaces or clears the lines of a dataset holds it in a status in which nobody reads them; what a reader
sees is whole because an update is one transaction, and because nothing reads a dataset that is being created.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, insert, literal, select, update

from deconfuse.store.database import Database
from deconfuse.store.datasets import DatasetStatus, Stats, hold_dataset
from deconfuse.store.rows import Page, check_storable, insert_into
from deconfuse.store.schema import ENTRIES, ENTRY_LABELS

BATCH = 1000
"""Lines that are in memory, or under one lock, at once."""

BATCH_BYTES = 8 << 20
"""So many bytes of lines end a batch before its thousandth line."""

KEY_BYTES = 200
"""Up to so many bytes, an address is its own key in the index of a dataset; PostgreSQL takes 2,700 at most."""


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One line of a dataset.

    Attributes:
        source_ref: the address of its image; a dataset has one line for it.
        line: the line in UTF-8 without its end, as it is told again.
        labels: every label on it, of the image or of boxes, without repetition.
        boxed: those of `labels` that stand on a box.
        has_errors: whether something on the line cannot be used.
    """

    source_ref: str
    line: bytes
    labels: tuple[str, ...] = ()
    boxed: frozenset[str] = frozenset()
    has_errors: bool = False


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which lines are wanted: those for which everything that is given holds.

    Attributes:
        labels: they have at least one of these; empty means any labels or none.
        is_labeled: they have labels, or have none; None means either.
        has_errors: only lines with errors; False means all lines, as AWS's own samples use it.
        contains: text that stands somewhere in their source-ref, capitals and small letters apart.
    """

    labels: tuple[str, ...] = ()
    is_labeled: bool | None = None
    has_errors: bool = False
    contains: str = ""


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label with the number of lines that have it, and of those that have it on a box."""

    label: str
    n_entries: int
    n_boxed: int


EVERYTHING = EntryFilter()


def put_entries(rows: Connection, dataset_id: int, entries: Iterable[EntryRow]) -> int:
    """Add lines behind the others, or each in the place of the one with its source-ref: the number of lines read.

    All of it belongs to the transaction: an update happens as a whole. Of two lines for one source-ref, the later one
    stays.

    Raises:
        Invalid: an address or a label holds a NUL or half a character.
    """
    n_lines = 0
    for batch in _batches(entries):
        n_lines += len(batch)
        _put(rows, dataset_id, {_key(entry.source_ref): entry for entry in batch})
    return n_lines


def add_entries(rows: Connection, dataset_id: int, entries: Iterable[EntryRow]) -> int:
    """Add lines behind the others for images that the dataset does not have yet: how many of them.

    Of two lines for one source-ref, the earlier one stays.

    Raises:
        Invalid: an address or a label holds a NUL or half a character.
    """
    n_added = 0
    for batch in _batches(entries):
        fresh: dict[bytes, EntryRow] = {}
        for entry in batch:
            fresh.setdefault(_key(entry.source_ref), entry)
        c = ENTRIES.c
        for key in rows.scalars(select(c.source_key).where(c.dataset_id == dataset_id, c.source_key.in_(list(fresh)))):
            del fresh[key]
        if fresh:
            _put(rows, dataset_id, fresh)
        n_added += len(fresh)
    return n_added


def load_entries(
    database: Database,
    dataset_id: int,
    entries: Iterable[EntryRow],
    *,
    within: DatasetStatus = "CREATE_IN_PROGRESS",
    guard: Callable[[Connection], object] | None = None,
    put: Callable[[Connection, int, Iterable[EntryRow]], int] = put_entries,
) -> int:
    """`put_entries` in one transaction a thousand lines, so that others can write meanwhile: the number of lines.

    Args:
        database: on which each transaction is opened.
        dataset_id: the dataset to be filled.
        entries: its lines, in order; read as they are needed, never while a transaction is open.
        within: the status in which the dataset must be every time.
        guard: called in each transaction; what it raises ends the loading. A worker asks here whether its job is
            still its own.
        put: `add_entries` where of two lines for one image the earlier one is to stay; lines are counted by it.

    Raises:
        NotFound: the dataset is gone.
        InUse: the dataset has another status.
        Invalid: an address or a label holds a NUL or half a character.
    """
    n_lines = 0
    for batch in _batches(entries):
        with database.write() as rows:
            hold_dataset(rows, dataset_id, within=(within,))
            if guard is not None:
                guard(rows)
            n_lines += put(rows, dataset_id, batch)
    return n_lines


def clear_entries(database: Database, dataset_id: int, *, guard: Callable[[Connection], object] | None = None) -> None:
    """Remove every line of a dataset, a thousand a transaction; what was removed stays removed, whatever happens.

    `guard` is called in each transaction, as by `load_entries`.
    """
    first = select(ENTRIES.c.id).where(ENTRIES.c.dataset_id == dataset_id).order_by(ENTRIES.c.id)
    is_left = True
    while is_left:
        with database.write() as rows:
            if guard is not None:
                guard(rows)
            numbers = rows.scalars(first.limit(BATCH)).all()
            # The labels first: SQLite would otherwise look for them line by line.
            rows.execute(delete(ENTRY_LABELS).where(ENTRY_LABELS.c.entry_id.in_(numbers)))
            rows.execute(delete(ENTRIES).where(ENTRIES.c.id.in_(numbers)))
            is_left = len(numbers) == BATCH


def list_lines(
    rows: Connection,
    dataset_id: int,
    *,
    which: EntryFilter = EVERYTHING,
    after: int | None = None,
    limit: int = 100,
) -> Page[bytes, int]:
    """The lines of a dataset in their order, at most `limit`, behind what the page before gave.

    Raises:
        Invalid: the filter holds a NUL or half a character.
    """
    statement = _matching(rows, dataset_id, which).order_by(ENTRIES.c.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(ENTRIES.c.id > after)
    found = rows.execute(statement).all()
    return Page(tuple(row.line for row in found[:limit]), found[limit - 1].id if len(found) > limit else None)


def each_line(rows: Connection, dataset_id: int) -> Iterator[bytes]:
    """Every line of a dataset in order, a hundred in memory at a time; inside `read()`, all of one moment."""
    after: int | None = None
    while True:
        page = list_lines(rows, dataset_id, after=after)
        yield from page.items
        after = page.after
        if after is None:
            return


def list_labels(
    rows: Connection, dataset_id: int, *, after: str | None = None, limit: int = 100
) -> Page[LabelCount, str]:
    """The labels of a dataset by code point, each with its counts; at most `limit`, behind the label `after`."""
    c = ENTRY_LABELS.c
    n_boxed = func.count().filter(c.is_on_box)
    statement = select(c.label, func.count(), n_boxed).where(c.dataset_id == dataset_id)
    if after is not None:
        statement = statement.where(c.label > check_storable("nextToken", after))
    found = rows.execute(statement.group_by(c.label).order_by(c.label).limit(limit + 1)).all()
    items = tuple(LabelCount(*row) for row in found[:limit])
    return Page(items, items[-1].label if len(found) > limit else None)


def count_entries(rows: Connection, dataset_id: int) -> Stats:
    """What the dataset holds now, counted line by line."""
    c = ENTRIES.c
    counts = select(func.count(), func.count().filter(c.is_labeled), func.count().filter(c.has_errors))
    n_entries, n_labeled, n_errors = rows.execute(counts.where(c.dataset_id == dataset_id)).one()
    labels = select(ENTRY_LABELS.c.label).where(ENTRY_LABELS.c.dataset_id == dataset_id).distinct()
    n_labels = rows.scalar(select(func.count()).select_from(labels.subquery())) or 0
    return Stats(n_entries, n_labeled, n_labels, n_errors)


def list_labels_of_entries(
    rows: Connection, dataset_id: int, *, after: int | None = None, limit: int = BATCH
) -> Page[tuple[int, str, tuple[str, ...]], int]:
    """(number of the line, source-ref, labels by code point) for each line in order: what a split has to know."""
    c = ENTRIES.c
    page = select(c.id, c.source_ref).where(c.dataset_id == dataset_id).order_by(c.id).limit(limit + 1)
    if after is not None:
        page = page.where(c.id > after)
    found = rows.execute(page).all()
    labels: dict[int, list[str]] = {row.id: [] for row in found[:limit]}
    c = ENTRY_LABELS.c
    for row in rows.execute(select(c.entry_id, c.label).where(c.entry_id.in_(list(labels))).order_by(c.label)):
        labels[row.entry_id].append(row.label)
    items = tuple((row.id, row.source_ref, tuple(labels[row.id])) for row in found[:limit])
    return Page(items, items[-1][0] if len(found) > limit else None)


def move_entries(rows: Connection, numbers: Iterable[int], *, source: int, target: int) -> int:
    """Take lines by their numbers out of the dataset `source` into `target`: how many there were.

    Raises:
        IntegrityError: SQLAlchemy's; `target` has a line for one of these images. An empty one has none.
    """
    n_moved = 0
    remaining = iter(numbers)
    while batch := list(islice(remaining, BATCH)):
        c = ENTRIES.c
        chosen = (c.id.in_(batch)) & (c.dataset_id == source)
        n_moved += rows.execute(update(ENTRIES).where(chosen).values(dataset_id=target)).rowcount
        labels = (ENTRY_LABELS.c.entry_id.in_(batch)) & (ENTRY_LABELS.c.dataset_id == source)
        rows.execute(update(ENTRY_LABELS).where(labels).values(dataset_id=target))
    return n_moved


def copy_entries(
    rows: Connection, *, source: int, target: int, after: int | None = None, limit: int = BATCH
) -> int | None:
    """Copy `limit` lines of the dataset `source` behind `after` into `target`, which has none of these images yet.

    Gives what the next call takes as `after`, or None when the last line has been copied.
    """
    c = ENTRIES.c
    page = select(c.id).where(c.dataset_id == source).order_by(c.id).limit(limit + 1)
    numbers = rows.scalars(page if after is None else page.where(c.id > after)).all()
    if not numbers:
        return None
    last = numbers[:limit][-1]
    columns = (c.source_key, c.is_labeled, c.has_errors, c.source_ref, c.line)
    window = (c.dataset_id == source) & (c.id >= numbers[0]) & (c.id <= last)
    copied = select(literal(target), *columns).where(window).order_by(c.id)
    rows.execute(insert(ENTRIES).from_select(["dataset_id", *(column.name for column in columns)], copied))
    new, old = ENTRIES.alias("new"), ENTRIES.alias("old")
    here = (old.c.dataset_id == source) & (old.c.id >= numbers[0]) & (old.c.id <= last)
    labels = (
        select(new.c.id, ENTRY_LABELS.c.label, literal(target), ENTRY_LABELS.c.is_on_box)
        .join_from(old, ENTRY_LABELS, ENTRY_LABELS.c.entry_id == old.c.id)
        .join(new, (new.c.dataset_id == target) & (new.c.source_key == old.c.source_key))
        .where(here)
    )
    rows.execute(insert(ENTRY_LABELS).from_select(["entry_id", "label", "dataset_id", "is_on_box"], labels))
    return last if len(numbers) > limit else None


def _batches(entries: Iterable[EntryRow]) -> Iterator[list[EntryRow]]:
    batch: list[EntryRow] = []
    n_bytes = 0
    for entry in entries:
        batch.append(entry)
        n_bytes += len(entry.line)
        if len(batch) == BATCH or n_bytes >= BATCH_BYTES:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def _put(rows: Connection, dataset_id: int, entries: dict[bytes, EntryRow]) -> None:
    statement = insert_into(rows, ENTRIES)
    replaced = {name: statement.excluded[name] for name in ("is_labeled", "has_errors", "line")}
    values = [
        {
            "dataset_id": dataset_id,
            "source_key": key,
            "is_labeled": bool(entry.labels),
            "has_errors": entry.has_errors,
            "source_ref": check_storable("source-ref", entry.source_ref),
            "line": entry.line,
        }
        for key, entry in entries.items()
    ]
    rows.execute(statement.on_conflict_do_update(index_elements=["dataset_id", "source_key"], set_=replaced), values)
    c = ENTRIES.c
    placed = select(c.id, c.source_key).where(c.dataset_id == dataset_id, c.source_key.in_(list(entries)))
    numbers = {row.source_key: row.id for row in rows.execute(placed)}
    rows.execute(delete(ENTRY_LABELS).where(ENTRY_LABELS.c.entry_id.in_(numbers.values())))
    labels = [
        {
            "entry_id": numbers[key],
            "label": check_storable("label", label),
            "dataset_id": dataset_id,
            "is_on_box": label in entry.boxed,
        }
        for key, entry in entries.items()
        for label in entry.labels
    ]
    if labels:
        rows.execute(insert(ENTRY_LABELS), labels)


def _matching(rows: Connection, dataset_id: int, which: EntryFilter) -> Select[Any]:
    c, label = ENTRIES.c, ENTRY_LABELS.c
    statement = select(c.id, c.line).where(c.dataset_id == dataset_id)
    if which.labels:
        wanted = [check_storable("containsLabels", text) for text in which.labels]
        statement = statement.where(exists().where(label.entry_id == c.id, label.label.in_(wanted)))
    if which.is_labeled is not None:
        statement = statement.where(c.is_labeled == which.is_labeled)
    if which.has_errors:
        statement = statement.where(c.has_errors)
    if which.contains:
        find = func.strpos if rows.dialect.name == "postgresql" else func.instr
        statement = statement.where(find(c.source_ref, check_storable("sourceRefContains", which.contains)) > 0)
    return statement


def _key(source_ref: str) -> bytes:
    """What stands for an address in the index: near addresses stay near, so that a load writes few pages of it."""
    text = source_ref.encode("utf-8", "surrogatepass")
    # Longer than any address that is its own key, so that no address can be mistaken for a digest.
    return text if len(text) <= KEY_BYTES else text[: KEY_BYTES - 31] + hashlib.sha256(text).digest()

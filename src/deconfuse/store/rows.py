"""What every noun of the registry does with its rows: add one, move its status, cut a page.

A status moves by one statement, `UPDATE … WHERE id = … AND status = was`. Whoever comes second changes no row and is
told so by `Stale`, on SQLite and on PostgreSQL, in one process or in ten. Which moves are legal stands in one table a
noun; a move that is not in it is an error of the program, not of its user, and raises ValueError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from deconfuse.errors import Invalid, NotFound, Stale

Rows: TypeAlias = Connection
"""A transaction, as every function of the registry takes it; whoever is not in the store calls it so."""

Moves = Mapping[str, frozenset[str]]
"""Every status of a noun, and those that may follow it; a status that nothing follows ends with its row."""

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Cursor]):
    """Some of a list.

    Attributes:
        items: in the order of the list.
        after: what asks for the next page; None where there is nothing more.
    """

    items: tuple[Item, ...]
    after: Cursor | None


def insert_into(rows: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT in the words of the database at hand, which both can follow by ON CONFLICT."""
    return postgresql.insert(table) if rows.dialect.name == "postgresql" else sqlite.insert(table)


def add_row(rows: Connection, table: Table, **values: Any) -> int | None:
    """The id of a new row with these values, or None where a unique value of it is taken."""
    statement = insert_into(rows, table).values(**values).on_conflict_do_nothing().returning(table.c.id)
    number: int | None = rows.scalar(statement)
    return number


def move_row(
    rows: Connection,
    table: Table,
    moves: Moves,
    subject_id: int,
    *,
    was: str | Collection[str],
    becomes: str,
    **values: Any,
) -> None:
    """Change the status of a row from `was`, or any of several, to `becomes`, and set `values` with it.

    Raises:
        Stale: it has another status by now, or is gone; the message says which.
        ValueError: the table of moves has no such move.
    """
    before = check_move(table.name, moves, was=was, becomes=becomes)
    matching = (table.c.id == subject_id) & table.c.status.in_(before)
    if rows.execute(update(table).where(matching).values(status=becomes, **values)).rowcount == 0:
        raise stale(rows, table, subject_id, before)


def check_move(noun: str, moves: Moves, *, was: str | Collection[str], becomes: str) -> tuple[str, ...]:
    """The statuses in `was`, if each may be followed by `becomes`; ValueError where one may not."""
    before = (was,) if isinstance(was, str) else tuple(sorted(was))
    illegal = [status for status in before if becomes not in moves[status]]
    if illegal or not before:
        raise ValueError(f"{noun} cannot become {becomes} after being {', '.join(illegal) or 'nothing'}")
    return before


def stale(rows: Connection, table: Table, subject_id: int, expected: Collection[str]) -> Stale:
    """The error for a row that no longer has one of the `expected` statuses."""
    status = rows.scalar(select(table.c.status).where(table.c.id == subject_id))
    noun = table.name.removesuffix("s")
    return Stale(f"the {noun} is {status or 'gone'} by now; this needs {' or '.join(expected)}")


def check_all_known(table: Table, moves: Moves, statuses: Collection[str]) -> None:
    """Raise ValueError where one of `statuses` is none of this noun."""
    unknown = sorted(set(statuses) - moves.keys())
    if unknown:
        raise ValueError(f"{table.name} know no status {', '.join(unknown)}")


def one_row(rows: Connection, statement: Any, kind: str, name: str) -> Any:
    """The one row that `statement` finds.

    Raises:
        NotFound: it finds none; the message names `kind` and `name`.
    """
    row = rows.execute(statement).one_or_none()
    if row is None:
        raise NotFound(kind, name)
    return row


def storable(text: str) -> str:
    """`text` as both databases can hold it: a NUL and half a surrogate pair become question marks."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def check_storable(field: str, text: str) -> str:
    """`text`, if both databases can hold it as it is.

    Raises:
        Invalid: it holds a NUL, which PostgreSQL has no place for, or half a surrogate pair, which is no character.
    """
    if storable(text) != text:
        raise Invalid(field, f"{text[:80]!r} holds a character that cannot be kept")
    return text

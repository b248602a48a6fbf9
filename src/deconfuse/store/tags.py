"""Tags: words that a user hangs on a project, a dataset or a version. They go when the thing goes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from sqlalchemy import ColumnElement, Connection, delete, func, select

from deconfuse.errors import QuotaExceeded
from deconfuse.store.database import alone_with
from deconfuse.store.rows import insert_into
from deconfuse.store.schema import TAGS

Noun = Literal["project", "dataset", "version"]
"""What can be tagged, and what a job is about."""

MAX_TAGS = 200
"""On one thing; the largest map of tags that the service model knows."""


def tags_of(rows: Connection, noun: Noun, subject_id: int) -> dict[str, str]:
    """The tags of a thing, by key; empty where it has none."""
    statement = select(TAGS.c.key, TAGS.c.value).where(_of(noun, subject_id)).order_by(TAGS.c.key)
    return {row.key: row.value for row in rows.execute(statement)}


def put_tags(rows: Connection, noun: Noun, subject_id: int, tags: Mapping[str, str], *, limit: int = MAX_TAGS) -> None:
    """Give a thing these tags; the value of a key that it has is replaced.

    Keys and values are such that `names.check_tag_key` and `names.check_tag_value` take them.

    Raises:
        QuotaExceeded: it would have more than `limit`; the transaction must then be given up.
    """
    if not tags:
        return
    alone_with(rows, f"tags of {noun} {subject_id}")
    statement = insert_into(rows, TAGS)
    replacing = statement.on_conflict_do_update(
        index_elements=["noun", "subject_id", "key"], set_={"value": statement.excluded.value}
    )
    rows.execute(replacing, [{"noun": noun, "subject_id": subject_id, "key": k, "value": v} for k, v in tags.items()])
    count = rows.scalar(select(func.count()).select_from(TAGS).where(_of(noun, subject_id))) or 0
    if count > limit:
        raise QuotaExceeded(f"the {noun} would have {count} tags; {limit} are possible")


def remove_tags(rows: Connection, noun: Noun, subject_id: int, keys: Collection[str]) -> None:
    """Take these tags off a thing; a key that it does not have is passed over."""
    rows.execute(delete(TAGS).where(_of(noun, subject_id), TAGS.c.key.in_(keys)))


def clear_tags(rows: Connection, noun: Noun, subject_id: int) -> None:
    """Take every tag off a thing."""
    rows.execute(delete(TAGS).where(_of(noun, subject_id)))


def _of(noun: Noun, subject_id: int) -> ColumnElement[bool]:
    return (TAGS.c.noun == noun) & (TAGS.c.subject_id == subject_id)

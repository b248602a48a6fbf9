"""Keys: who may ask. Each is an identifier that travels in clear and a secret that signs.

The secret is kept in clear, for a signature is checked by making it again; the database file is its safe. A key that
was revoked stays in the list and is found no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, select, update

from deconfuse.errors import InUse, NotFound
from deconfuse.store.rows import insert_into, storable
from deconfuse.store.schema import KEYS

Access = Literal["full", "read"]
"""Everything, or only what changes nothing."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key.

    Attributes:
        id: the access key id.
        secret: the secret access key; left out when the record is shown.
        note: what its maker says it is for.
        created_ms: in milliseconds since 1970.
        revoked_ms: since when it is worth nothing; None for one in use.
    """

    id: str
    secret: str = field(repr=False)
    access: Access
    note: str
    created_ms: int
    revoked_ms: int | None = None


def add_key(rows: Connection, key_id: str, *, secret: str, access: Access, now_ms: int, note: str = "") -> Key:
    """A new key; InUse where there is, or was, one with this identifier."""
    values = {"secret": secret, "access": access, "note": storable(note), "created_ms": now_ms}
    statement = insert_into(rows, KEYS).values(id=key_id, **values).on_conflict_do_nothing().returning(KEYS.c.id)
    if rows.scalar(statement) is None:
        raise InUse(f"there is a key {key_id}")
    return Key(key_id, secret, access, storable(note), now_ms)


def find_key(rows: Connection, key_id: str) -> Key | None:
    """The key with this identifier; None where there is none, or it was revoked. Any text may be asked for."""
    if storable(key_id) != key_id:
        return None
    row = rows.execute(_FIND, {"wanted": key_id}).one_or_none()
    return None if row is None else Key(*row)


def list_keys(rows: Connection, *, with_revoked: bool = False) -> tuple[Key, ...]:
    """Every key in use, the oldest first; those that were revoked only where they are asked for."""
    statement = _keys().order_by(KEYS.c.created_ms, KEYS.c.id)
    if not with_revoked:
        statement = statement.where(KEYS.c.revoked_ms.is_(None))
    return tuple(Key(*row) for row in rows.execute(statement))


def revoke_key(rows: Connection, key_id: str, *, now_ms: int) -> None:
    """Make a key worthless for ever.

    Raises:
        NotFound: there is no such key, or it was revoked before.
    """
    matching = (KEYS.c.id == key_id) & KEYS.c.revoked_ms.is_(None)
    is_there = storable(key_id) == key_id
    if not is_there or rows.execute(update(KEYS).where(matching).values(revoked_ms=now_ms)).rowcount == 0:
        raise NotFound("key", storable(key_id))


def _keys() -> Select[Any]:
    c = KEYS.c
    return select(c.id, c.secret, c.access, c.note, c.created_ms, c.revoked_ms)


_FIND = _keys().where(KEYS.c.id == bindparam("wanted"), KEYS.c.revoked_ms.is_(None))
"""Asked with every request, so built once."""

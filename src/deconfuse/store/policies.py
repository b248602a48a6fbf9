"""Policies: documents that let other accounts copy versions out of a project.

A policy has a revision, which every change replaces. Who wants to change or delete the policy that was read, and no
later one, names its revision. What a document may say is not judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, update

from deconfuse.errors import AlreadyExists, BadRevision, QuotaExceeded
from deconfuse.store.projects import hold_project
from deconfuse.store.rows import Page, check_storable, one_row
from deconfuse.store.schema import POLICIES


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of a project.

    Attributes:
        name: unique in the project.
        revision: hexadecimal digits that no earlier revision had.
        document: as it was given.
        created_ms: when the policy was first put, in milliseconds since 1970.
        updated_ms: when this revision was.
    """

    project_id: int
    name: str
    revision: str
    document: str
    created_ms: int
    updated_ms: int


def put_policy(
    rows: Connection,
    project_id: int,
    name: str,
    *,
    document: str,
    revision: str,
    replaces: str | None,
    now_ms: int,
    limit: int = 0,
) -> Policy:
    """A policy with this revision: a new one, or in place of the one whose present revision is `replaces`.

    A project has at most `limit` policies, 0 meaning any number.

    Raises:
        NotFound: there is no such project.
        InUse: the project is being deleted.
        AlreadyExists: there is a policy of this name, and `replaces` does not say which revision of it.
        BadRevision: `replaces` is not the present revision.
        QuotaExceeded: the project has `limit` policies.
    """
    hold_project(rows, project_id)
    check_storable("policyDocument", document)
    present = rows.execute(_policies(project_id).where(POLICIES.c.name == name)).one_or_none()
    if replaces is not None:
        if present is None or present.revision != replaces:
            raise BadRevision("policyRevisionId", f"{replaces} is not the present revision of the policy {name}")
        changed = {"revision": revision, "document": document, "updated_ms": now_ms}
        rows.execute(update(POLICIES).where(_is(project_id, name)).values(**changed))
        return Policy(project_id, name, revision, document, present.created_ms, now_ms)
    if present is not None:
        raise AlreadyExists("policy", name, "Its present revision must be named to change it")
    count = rows.scalar(select(func.count()).select_from(POLICIES).where(POLICIES.c.project_id == project_id)) or 0
    if 0 < limit <= count:
        why = f"the project has {count} policies, and no more are allowed; delete one, or start the server with"
        raise QuotaExceeded(f"{why} another --max-policies")
    policy = Policy(project_id, name, revision, document, now_ms, now_ms)
    rows.execute(POLICIES.insert().values(_values(policy)))
    return policy


def list_policies(
    rows: Connection, project_id: int, *, after: str | None = None, limit: int = 100
) -> Page[Policy, str]:
    """The policies of a project by name, at most `limit`, behind the name that the page before gave."""
    statement = _policies(project_id).order_by(POLICIES.c.name).limit(limit + 1)
    if after is not None:
        statement = statement.where(POLICIES.c.name > after)
    found = tuple(Policy(*row) for row in rows.execute(statement))
    return Page(found[:limit], found[limit - 1].name if len(found) > limit else None)


def remove_policy(rows: Connection, project_id: int, name: str, *, revision: str | None = None) -> None:
    """Remove a policy; where `revision` is given, only if that is the present one.

    Raises:
        NotFound: there is no policy of this name.
        BadRevision: `revision` is not the present one.
    """
    statement = _policies(project_id).where(POLICIES.c.name == name).with_for_update()
    present = one_row(rows, statement, "policy", name)
    if revision is not None and revision != present.revision:
        raise BadRevision("policyRevisionId", f"{revision} is not the present revision of the policy {name}")
    rows.execute(delete(POLICIES).where(_is(project_id, name)))


def _policies(project_id: int) -> Select[Any]:
    c = POLICIES.c
    columns = (c.project_id, c.name, c.revision, c.document, c.created_ms, c.updated_ms)
    return select(*columns).where(c.project_id == project_id)


def _is(project_id: int, name: str) -> ColumnElement[bool]:
    return (POLICIES.c.project_id == project_id) & (POLICIES.c.name == name)


def _values(policy: Policy) -> dict[str, str | int]:
    return {field: getattr(policy, field) for field in policy.__slots__}

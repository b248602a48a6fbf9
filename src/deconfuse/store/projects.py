"""Projects: a name, at most one dataset of each kind, any number of versions.

    CREATED ──▶ DELETING ──▶ gone

AWS's CREATING is never seen: a project is there with the transaction that makes it. One with datasets or versions
cannot be deleted; while it is being deleted, none can be added and its name stays taken.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, delete, func, select, union

from deconfuse.errors import InUse, LimitExceeded
from deconfuse.names import ProjectArn
from deconfuse.store.database import alone_with
from deconfuse.store.rows import Moves, Page, add_row, move_row, one_row, stale
from deconfuse.store.schema import DATASETS, PROJECTS, VERSIONS
from deconfuse.store.tags import clear_tags

ProjectStatus = Literal["CREATED", "DELETING"]
Feature = Literal["CUSTOM_LABELS", "CONTENT_MODERATION"]

PROJECT_MOVES: Moves = {"CREATED": frozenset({"DELETING"}), "DELETING": frozenset()}


@dataclass(frozen=True, slots=True)
class Project:
    """A project.

    Attributes:
        id: its number here; numbers are never given twice.
        name: unique among all projects.
        created_ms: its creation in milliseconds since 1970, part of its ARN.
        feature: what it was made for; kept and told again.
        auto_update: "ENABLED" or "DISABLED" as given, or None; kept and told again.
    """

    id: int
    name: str
    created_ms: int
    status: ProjectStatus
    feature: Feature = "CUSTOM_LABELS"
    auto_update: str | None = None


def add_project(
    rows: Connection,
    name: str,
    *,
    now_ms: int,
    feature: Feature = "CUSTOM_LABELS",
    auto_update: str | None = None,
    limit: int = 0,
) -> Project:
    """A new project, CREATED, with a name that `names.check_name` takes; at most `limit` in all, 0 meaning any number.

    Raises:
        InUse: the name is taken.
        LimitExceeded: there are `limit` projects.
    """
    if limit:
        alone_with(rows, "projects")
        if (rows.scalar(select(func.count()).select_from(PROJECTS)) or 0) >= limit and not _is_taken(rows, name):
            why = f"there are {limit} projects, and no more are allowed; delete one, or start the server with another"
            raise LimitExceeded(f"{why} --max-projects")
    values = {"created_ms": now_ms, "status": "CREATED", "feature": feature, "auto_update": auto_update}
    number = add_row(rows, PROJECTS, name=name, **values)
    if number is None:
        raise InUse(f"the project name {name} is taken; choose another one")
    return Project(number, name, now_ms, "CREATED", feature, auto_update)


def _is_taken(rows: Connection, name: str) -> bool:
    return rows.scalar(select(PROJECTS.c.id).where(PROJECTS.c.name == name)) is not None


def find_project(rows: Connection, arn: ProjectArn) -> Project:
    """The project of this name that was created then.

    Raises:
        NotFound: there is none. Region and account are not looked at: they are not kept here.
    """
    matching = (PROJECTS.c.name == arn.project) & (PROJECTS.c.created_ms == arn.created_ms)
    return Project(*one_row(rows, _projects().where(matching), "project", str(arn)))


def get_project(rows: Connection, project_id: int) -> Project:
    """The project with this number; NotFound where there is none."""
    return Project(*one_row(rows, _projects().where(PROJECTS.c.id == project_id), "project", str(project_id)))


def list_projects(
    rows: Connection,
    *,
    names: Collection[str] = (),
    features: Collection[str] = (),
    after: int | None = None,
    limit: int = 100,
) -> Page[Project, int]:
    """Projects in the order of their creation, at most `limit`, behind what the page before gave.

    Where `names` or `features` are given, only projects with one of these names, made for one of these features; a
    name that no project has is passed over.
    """
    statement = _projects().order_by(PROJECTS.c.id).limit(limit + 1)
    if names:
        statement = statement.where(PROJECTS.c.name.in_(names))
    if features:
        statement = statement.where(PROJECTS.c.feature.in_(features))
    if after is not None:
        statement = statement.where(PROJECTS.c.id > after)
    found = tuple(Project(*row) for row in rows.execute(statement))
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def hold_project(rows: Connection, project_id: int) -> Project:
    """The project, if it is CREATED; until this transaction ends, it cannot begin to be deleted.

    Raises:
        NotFound: there is none.
        InUse: it is being deleted.
    """
    statement = _projects().where(PROJECTS.c.id == project_id).with_for_update()
    project = Project(*one_row(rows, statement, "project", str(project_id)))
    if project.status != "CREATED":
        raise InUse(f"the project {project.name} is being deleted")
    return project


def close_project(rows: Connection, project_id: int) -> None:
    """CREATED to DELETING.

    Raises:
        NotFound: there is no such project.
        InUse: it has datasets or versions, or is being deleted.
    """
    project = hold_project(rows, project_id)
    members = (select(table.c.status).where(table.c.project_id == project_id) for table in (DATASETS, VERSIONS))
    statuses = set(rows.scalars(union(*members)))
    if statuses - {"DELETE_IN_PROGRESS", "DELETING"}:
        raise InUse(f"the project {project.name} has datasets or versions; delete them first")
    if statuses:
        raise InUse(f"datasets or versions of the project {project.name} are still being deleted; ask again shortly")
    move_row(rows, PROJECTS, PROJECT_MOVES, project_id, was="CREATED", becomes="DELETING")


def remove_project(rows: Connection, project_id: int) -> None:
    """Remove a project that is DELETING, with its policies and tags.

    Raises:
        Stale: it is not DELETING, or gone.
    """
    matching = (PROJECTS.c.id == project_id) & (PROJECTS.c.status == "DELETING")
    if rows.execute(delete(PROJECTS).where(matching)).rowcount == 0:
        raise stale(rows, PROJECTS, project_id, ("DELETING",))
    clear_tags(rows, "project", project_id)


def _projects() -> Select[Any]:
    c = PROJECTS.c
    return select(c.id, c.name, c.created_ms, c.status, c.feature, c.auto_update)

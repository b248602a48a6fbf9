"""Versions: trained models of a project, or copies of one.

    TRAINING_IN_PROGRESS ──▶ TRAINING_COMPLETED ──▶ STARTING ──▶ RUNNING ──▶ STOPPING ──▶ STOPPED
            │                COPYING_COMPLETED ──▶   ▲  │  ▲        │                        │
            ▼                        ▲               │  ▼  └────────┼────────────────────────┘
      TRAINING_FAILED   COPYING_IN_PROGRESS          FAILED ◀───────┘
                           └──▶ COPYING_FAILED

Whatever is neither training, starting, running nor stopping may be DELETING, and then gone. DEPRECATED and EXPIRED,
which AWS knows, are never reached: they belong to adapters whose base model was replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, delete, func, select

from deconfuse.errors import InUse, LimitExceeded, NotFound
from deconfuse.names import VersionArn
from deconfuse.store.database import alone_with
from deconfuse.store.projects import hold_project
from deconfuse.store.rows import (
    Moves,
    Page,
    add_row,
    check_all_known,
    check_storable,
    move_row,
    one_row,
    stale,
    storable,
)
from deconfuse.store.schema import PROJECTS, VERSIONS
from deconfuse.store.tags import clear_tags

VersionStatus = Literal[
    "TRAINING_IN_PROGRESS",
    "TRAINING_COMPLETED",
    "TRAINING_FAILED",
    "STARTING",
    "RUNNING",
    "FAILED",
    "STOPPING",
    "STOPPED",
    "DELETING",
    "COPYING_IN_PROGRESS",
    "COPYING_COMPLETED",
    "COPYING_FAILED",
]

_STATUS = (  # built once: building it anew would take longer than asking
    select(VERSIONS.c.id, VERSIONS.c.status)
    .join_from(VERSIONS, PROJECTS)
    .where(PROJECTS.c.name == bindparam("project"), VERSIONS.c.name == bindparam("version"))
    .where(VERSIONS.c.created_ms == bindparam("created_ms"))
)

_AT_REST = frozenset({"STARTING", "DELETING"})
VERSION_MOVES: Moves = {
    "TRAINING_IN_PROGRESS": frozenset({"TRAINING_COMPLETED", "TRAINING_FAILED"}),
    "TRAINING_COMPLETED": _AT_REST,
    "TRAINING_FAILED": frozenset({"DELETING"}),
    "STARTING": frozenset({"RUNNING", "FAILED"}),
    "RUNNING": frozenset({"STOPPING", "FAILED"}),
    "FAILED": _AT_REST,
    "STOPPING": frozenset({"STOPPED"}),
    "STOPPED": _AT_REST,
    "DELETING": frozenset(),
    "COPYING_IN_PROGRESS": frozenset({"COPYING_COMPLETED", "COPYING_FAILED", "DELETING"}),
    "COPYING_COMPLETED": _AT_REST,
    "COPYING_FAILED": frozenset({"DELETING"}),
}
STARTABLE: tuple[VersionStatus, ...] = ("TRAINING_COMPLETED", "STOPPED", "COPYING_COMPLETED", "FAILED")
"""From these a version can be started."""

HOSTED: tuple[VersionStatus, ...] = ("STARTING", "RUNNING", "STOPPING")
"""In these a version counts against the number of models that may run."""

DELETABLE: tuple[VersionStatus, ...] = (
    *STARTABLE,
    "TRAINING_FAILED",
    "COPYING_IN_PROGRESS",
    "COPYING_FAILED",
)
"""From these a version can be deleted."""

_NEXT: Mapping[str, str] = {
    "TRAINING_IN_PROGRESS": "wait until it is TRAINING_COMPLETED",
    "TRAINING_FAILED": "its StatusMessage says why; train another one",
    "STARTING": "wait until it is RUNNING",
    "RUNNING": "it need not be started",
    "STOPPING": "wait until it is STOPPED",
    "DELETING": "it is being deleted",
    "COPYING_IN_PROGRESS": "wait until it is COPYING_COMPLETED",
    "COPYING_FAILED": "its StatusMessage says why; copy it again under another name",
}
"""What helps where a version's status is in the way of its being started."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version.

    Attributes:
        id: its number here; numbers are never given twice.
        project: the name of its project.
        name: unique in its project.
        created_ms: when its training or copying began, in milliseconds since 1970; part of its ARN.
        message: a sentence about the status, for its user.
        output_bucket: where the training puts what it leaves,
        output_prefix: and below which key, without a slash at its end.
        given: what the caller gave beside that, to be told again; its form is the service's affair.
        source: the ARN of the version that it is a copy of; None for one that was trained.
        ended_ms: when training or copying ended; None before.
        billable_seconds: how long the training took; None before it ended.
        f1: the mean F1 score, 0 to 1; None where there is none.
        outcome: what the training left; None before. Its form is the service's affair.
        min_units: inference units it was last started with; None where it never was.
        max_units: the most of them; None where none was given.
    """

    id: int
    project_id: int
    project: str
    name: str
    created_ms: int
    status: VersionStatus
    message: str
    output_bucket: str
    output_prefix: str
    given: Mapping[str, Any] = field(hash=False)
    source: str | None = None
    ended_ms: int | None = None
    billable_seconds: int | None = None
    f1: float | None = None
    outcome: Mapping[str, Any] | None = field(default=None, hash=False)
    min_units: int | None = None
    max_units: int | None = None


@dataclass(frozen=True, slots=True)
class VersionLimits:
    """How many versions there may be; 0 means any number.

    Attributes:
        in_project: versions of one project.
        in_progress: versions that are being trained at once, or copied at once, in all projects.
    """

    in_project: int = 0
    in_progress: int = 0


def add_version(
    rows: Connection,
    project_id: int,
    name: str,
    *,
    now_ms: int,
    output: tuple[str, str],
    status: Literal["TRAINING_IN_PROGRESS", "COPYING_IN_PROGRESS"] = "TRAINING_IN_PROGRESS",
    message: str = "",
    given: Mapping[str, Any] | None = None,
    source: str | None = None,
    limits: VersionLimits = VersionLimits(),
) -> Version:
    """A new version, which a job in the same transaction is to train or copy; `output` is a bucket and a prefix in it.

    Raises:
        NotFound: there is no such project.
        InUse: the name is taken in it, or the project is being deleted.
        LimitExceeded: one of `limits` is reached.
        Invalid: bucket or prefix hold a NUL or half a character.
    """
    project = hold_project(rows, project_id)
    bucket, prefix = (check_storable("outputConfig", text) for text in output)
    is_taken = select(VERSIONS.c.id).where(VERSIONS.c.project_id == project_id, VERSIONS.c.name == name)
    if rows.scalar(is_taken) is None:
        _check_room(rows, project_id, status=status, limits=limits)
    values = {"status": status, "message": storable(message), "given": dict(given or {}), "source": source}
    place = {"output_bucket": bucket, "output_prefix": prefix}
    number = add_row(rows, VERSIONS, project_id=project_id, name=name, created_ms=now_ms, **values, **place)
    if number is None:
        raise InUse(f"the version name {name} is taken in the project {project.name}; choose another one")
    return get_version(rows, number)


def _check_room(rows: Connection, project_id: int, *, status: VersionStatus, limits: VersionLimits) -> None:
    if limits.in_progress:
        alone_with(rows, "versions in progress")
        if count_versions(rows, (status,)) >= limits.in_progress:
            what, flag = ("trained", "trainings") if status == "TRAINING_IN_PROGRESS" else ("copied", "copies")
            why = f"{limits.in_progress} versions are being {what}, and no more are allowed at once; wait until one is"
            raise LimitExceeded(f"{why}, or start the server with another --max-{flag}")
    if limits.in_project:
        count = rows.scalar(select(func.count()).select_from(VERSIONS).where(VERSIONS.c.project_id == project_id)) or 0
        if count >= limits.in_project:
            why = f"the project has {count} versions, and no more are allowed; delete one, or start the server with"
            raise LimitExceeded(f"{why} another --max-versions")


def find_version(rows: Connection, arn: VersionArn) -> Version:
    """The version of this name, created then in the project of this name; NotFound where there is none."""
    c = VERSIONS.c
    matching = (PROJECTS.c.name == arn.project) & (c.name == arn.version) & (c.created_ms == arn.created_ms)
    return Version(*one_row(rows, _versions().where(matching), "version", str(arn)))


def find_status(rows: Connection, arn: VersionArn) -> tuple[int, VersionStatus]:
    """(number, status) of the version of this ARN, and no more: what every image asks that it judges.

    Raises:
        NotFound: there is none.
    """
    asked = {"project": arn.project, "version": arn.version, "created_ms": arn.created_ms}
    row = rows.execute(_STATUS, asked).one_or_none()
    if row is None:
        raise NotFound("version", str(arn))
    return row.id, row.status


def get_version(rows: Connection, version_id: int) -> Version:
    """The version with this number; NotFound where there is none."""
    return Version(*one_row(rows, _versions().where(VERSIONS.c.id == version_id), "version", str(version_id)))


def list_versions(
    rows: Connection,
    project_id: int,
    *,
    names: Collection[str] = (),
    after: int | None = None,
    limit: int = 100,
) -> Page[Version, int]:
    """The versions of a project, the newest first, at most `limit`, behind what the page before gave.

    Where `names` are given, only versions with one of them; a name that no version has is passed over.
    """
    c = VERSIONS.c
    statement = _versions().where(c.project_id == project_id).order_by(c.id.desc()).limit(limit + 1)
    if names:
        statement = statement.where(c.name.in_(names))
    if after is not None:
        statement = statement.where(c.id < after)
    found = tuple(Version(*row) for row in rows.execute(statement))
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def count_versions(rows: Connection, statuses: Collection[VersionStatus]) -> int:
    """How many versions of all projects have one of these statuses."""
    check_all_known(VERSIONS, VERSION_MOVES, statuses)
    return rows.scalar(select(func.count()).select_from(VERSIONS).where(VERSIONS.c.status.in_(statuses))) or 0


def start_version(
    rows: Connection, version_id: int, *, min_units: int, max_units: int | None, message: str = "", limit: int = 0
) -> None:
    """From one of `STARTABLE` to STARTING, with at most `limit` versions in `HOSTED`, 0 meaning any number.

    Raises:
        NotFound: there is no such version.
        InUse: it is in another state.
        LimitExceeded: `limit` versions are hosted.
    """
    if limit:
        alone_with(rows, "hosted versions")
    version = get_version(rows, version_id)
    if version.status not in STARTABLE:
        raise InUse(version_in_the_way(version.name, version.status))
    if limit and count_versions(rows, HOSTED) >= limit:
        why = f"{limit} versions are running, and no more are allowed at once; stop one, or start the server with"
        raise LimitExceeded(f"{why} another --max-running")
    units = {"min_units": min_units, "max_units": max_units}
    values = {"message": storable(message), **units}
    move_row(rows, VERSIONS, VERSION_MOVES, version_id, was=version.status, becomes="STARTING", **values)


def version_in_the_way(name: str, status: VersionStatus, steps: Mapping[Any, str] = {}) -> str:
    """That the status of a version does not allow what was asked, and what to do first.

    Args:
        name: of the version.
        status: its status.
        steps: what helps, by status, where that is another thing than for one who wants to start it.

    Example:
        >>> version_in_the_way("1", "STOPPING")
        'the version 1 is STOPPING; wait until it is STOPPED'
    """
    return f"the version {name} is {status}; {steps.get(status) or _NEXT[status]}"


def move_version(
    rows: Connection,
    version_id: int,
    *,
    was: VersionStatus | Collection[VersionStatus],
    becomes: VersionStatus,
    message: str = "",
) -> None:
    """Change the status from `was`, or any of several, to `becomes`.

    Raises:
        Stale: it has another status by now, or is gone.
        ValueError: `VERSION_MOVES` has no such move.
    """
    move_row(rows, VERSIONS, VERSION_MOVES, version_id, was=was, becomes=becomes, message=storable(message))


def end_version(
    rows: Connection,
    version_id: int,
    *,
    becomes: Literal["TRAINING_COMPLETED", "TRAINING_FAILED", "COPYING_COMPLETED", "COPYING_FAILED"],
    now_ms: int,
    message: str,
    billable_seconds: int | None = None,
    f1: float | None = None,
    outcome: Mapping[str, Any] | None = None,
) -> None:
    """End a training or a copying, with what it left.

    Raises:
        Stale: the version is not being trained or copied any more.
    """
    was = "TRAINING_IN_PROGRESS" if becomes.startswith("TRAINING") else "COPYING_IN_PROGRESS"
    kept = None if outcome is None else dict(outcome)
    values = {"ended_ms": now_ms, "billable_seconds": billable_seconds, "f1": f1, "outcome": kept}
    said = storable(message)
    move_row(rows, VERSIONS, VERSION_MOVES, version_id, was=was, becomes=becomes, message=said, **values)


def remove_version(rows: Connection, version_id: int) -> None:
    """Remove a version that is DELETING, with its tags; Stale where it is not, or is gone."""
    matching = (VERSIONS.c.id == version_id) & (VERSIONS.c.status == "DELETING")
    if rows.execute(delete(VERSIONS).where(matching)).rowcount == 0:
        raise stale(rows, VERSIONS, version_id, ("DELETING",))
    clear_tags(rows, "version", version_id)


def _versions() -> Select[Any]:
    c = VERSIONS.c
    head = (c.id, c.project_id, PROJECTS.c.name.label("project"), c.name, c.created_ms, c.status, c.message)
    given = (c.output_bucket, c.output_prefix, c.given, c.source)
    left = (c.ended_ms, c.billable_seconds, c.f1, c.outcome, c.min_units, c.max_units)
    return select(*head, *given, *left).join_from(VERSIONS, PROJECTS)

"""Datasets: what a project is trained and tested with. Their lines are the affair of `entries`.

    CREATE_IN_PROGRESS ──▶ CREATE_COMPLETE ──▶ UPDATE_IN_PROGRESS ──▶ UPDATE_COMPLETE
            │                     │                ▲    │   ▲               │
            ▼                     │                │    ▼   └───────────────┤
      CREATE_FAILED               │              UPDATE_FAILED              │
            └─────────────────────┴────▶ DELETE_IN_PROGRESS ◀───────────────┘ ──▶ gone

A failed update leaves entries and counts as they were. A dataset that could not be created can only be deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, delete, select

from deconfuse.errors import AlreadyExists, InUse
from deconfuse.names import DatasetArn, DatasetKind
from deconfuse.store.projects import hold_project
from deconfuse.store.rows import Moves, add_row, move_row, one_row, stale, storable
from deconfuse.store.schema import DATASETS, ENTRIES, PROJECTS
from deconfuse.store.tags import clear_tags

DatasetStatus = Literal[
    "CREATE_IN_PROGRESS",
    "CREATE_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "DELETE_IN_PROGRESS",
]
Code = Literal["SUCCESS", "CLIENT_ERROR", "SERVICE_ERROR"]

_SETTLED = frozenset({"UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"})
DATASET_MOVES: Moves = {
    "CREATE_IN_PROGRESS": frozenset({"CREATE_COMPLETE", "CREATE_FAILED"}),
    "CREATE_COMPLETE": _SETTLED,
    "CREATE_FAILED": frozenset({"DELETE_IN_PROGRESS"}),
    "UPDATE_IN_PROGRESS": frozenset({"UPDATE_COMPLETE", "UPDATE_FAILED"}),
    "UPDATE_COMPLETE": _SETTLED,
    "UPDATE_FAILED": _SETTLED,
    "DELETE_IN_PROGRESS": frozenset(),
}
READABLE: tuple[DatasetStatus, ...] = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED")
"""In these its entries are whole and stand still; in each of them it may be updated and deleted."""

_NEXT: Mapping[str, str] = {
    "CREATE_IN_PROGRESS": "wait until it is CREATE_COMPLETE",
    "CREATE_FAILED": "delete it, and create it again",
    "UPDATE_IN_PROGRESS": "wait until it is UPDATE_COMPLETE",
    "DELETE_IN_PROGRESS": "wait until it is gone",
}
"""What helps where a dataset's status is in the way."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts over the entries of a dataset.

    Attributes:
        n_entries: lines.
        n_labeled: lines with a label, of the image or of a box on it.
        n_labels: different labels.
        n_errors: lines with an error.
    """

    n_entries: int = 0
    n_labeled: int = 0
    n_labels: int = 0
    n_errors: int = 0


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset.

    Attributes:
        id: its number here; numbers are never given twice.
        project: the name of its project.
        kind: "train" or "test"; a project has one of each at most.
        created_ms: its creation in milliseconds since 1970, part of its ARN.
        updated_ms: when its status moved last.
        message: a sentence about the status, for its user.
        code: whose fault it is, where something failed.
        stats: as they were when the status last became a complete one.
    """

    id: int
    project_id: int
    project: str
    kind: DatasetKind
    created_ms: int
    updated_ms: int
    status: DatasetStatus
    message: str
    code: Code
    stats: Stats


def add_dataset(
    rows: Connection,
    project_id: int,
    kind: DatasetKind,
    *,
    now_ms: int,
    status: Literal["CREATE_IN_PROGRESS", "CREATE_COMPLETE"] = "CREATE_IN_PROGRESS",
    message: str = "",
) -> Dataset:
    """A new dataset without entries; one that is to stay empty is CREATE_COMPLETE at once.

    Raises:
        NotFound: there is no such project.
        InUse: the project is being deleted.
        AlreadyExists: it has a dataset of this kind.
    """
    project = hold_project(rows, project_id)
    values = {"status": status, "message": storable(message), "code": "SUCCESS", **_counts(Stats())}
    number = add_row(rows, DATASETS, project_id=project_id, kind=kind, created_ms=now_ms, updated_ms=now_ms, **values)
    if number is None:
        remedy = "Update its entries; or delete it, and wait until it is gone"
        raise AlreadyExists("dataset", f"{project.name}/{kind}", remedy)
    return get_dataset(rows, number)


def find_dataset(rows: Connection, arn: DatasetArn) -> Dataset:
    """The dataset of this kind that was created then in the project of this name; NotFound where there is none."""
    c = DATASETS.c
    matching = (PROJECTS.c.name == arn.project) & (c.kind == arn.kind) & (c.created_ms == arn.created_ms)
    return _dataset(one_row(rows, _datasets().where(matching), "dataset", str(arn)))


def get_dataset(rows: Connection, dataset_id: int) -> Dataset:
    """The dataset with this number; NotFound where there is none."""
    return _dataset(one_row(rows, _datasets().where(DATASETS.c.id == dataset_id), "dataset", str(dataset_id)))


def list_datasets(rows: Connection, project_ids: Collection[int]) -> dict[int, tuple[Dataset, ...]]:
    """The datasets of each of these projects in the order of their creation; () for a project without."""
    found: dict[int, tuple[Dataset, ...]] = dict.fromkeys(project_ids, ())
    statement = _datasets().where(DATASETS.c.project_id.in_(project_ids)).order_by(DATASETS.c.id)
    for row in rows.execute(statement):
        found[row.project_id] += (_dataset(row),)
    return found


def hold_dataset(rows: Connection, dataset_id: int, *, within: Collection[DatasetStatus]) -> Dataset:
    """The dataset, if its status is one of `within`; until this transaction ends, it does not move.

    Raises:
        NotFound: there is no such dataset.
        InUse: it has another status.
    """
    statement = _datasets().where(DATASETS.c.id == dataset_id).with_for_update(of=DATASETS)
    dataset = _dataset(one_row(rows, statement, "dataset", str(dataset_id)))
    if dataset.status not in within:
        raise InUse(dataset_in_the_way(dataset))
    return dataset


def dataset_in_the_way(dataset: Dataset) -> str:
    """That the status of a dataset does not allow what was asked, and what to do first."""
    what = f"the dataset {dataset.project}/{dataset.kind} is {dataset.status}"
    return f"{what}; {_NEXT[dataset.status]}" if dataset.status in _NEXT else what


def move_dataset(
    rows: Connection,
    dataset_id: int,
    *,
    was: DatasetStatus | Collection[DatasetStatus],
    becomes: DatasetStatus,
    now_ms: int,
    message: str = "",
    code: Code = "SUCCESS",
    stats: Stats | None = None,
) -> None:
    """Change the status from `was`, or any of several, to `becomes`; the counts stay unless `stats` are given.

    Raises:
        Stale: it has another status by now, or is gone.
        ValueError: `DATASET_MOVES` has no such move.
    """
    values = {"updated_ms": now_ms, "message": storable(message), "code": code, **(_counts(stats) if stats else {})}
    move_row(rows, DATASETS, DATASET_MOVES, dataset_id, was=was, becomes=becomes, **values)


def remove_dataset(rows: Connection, dataset_id: int) -> None:
    """Remove a dataset that is DELETE_IN_PROGRESS, with its tags; its entries have been cleared before.

    Raises:
        Stale: it is not DELETE_IN_PROGRESS, or gone.
        InUse: it still has entries.
    """
    if rows.scalar(select(ENTRIES.c.id).where(ENTRIES.c.dataset_id == dataset_id).limit(1)) is not None:
        raise InUse("the dataset still has entries")
    matching = (DATASETS.c.id == dataset_id) & (DATASETS.c.status == "DELETE_IN_PROGRESS")
    if rows.execute(delete(DATASETS).where(matching)).rowcount == 0:
        raise stale(rows, DATASETS, dataset_id, ("DELETE_IN_PROGRESS",))
    clear_tags(rows, "dataset", dataset_id)


def _datasets() -> Select[Any]:
    c = DATASETS.c
    head = (c.id, c.project_id, PROJECTS.c.name.label("project"), c.kind, c.created_ms, c.updated_ms)
    tail = (c.status, c.message, c.code, c.n_entries, c.n_labeled, c.n_labels, c.n_errors)
    return select(*head, *tail).join_from(DATASETS, PROJECTS)


def _dataset(row: Row[Any]) -> Dataset:
    fields = row._asdict()
    counts = {name: fields.pop(name) for name in Stats.__slots__}
    return Dataset(**fields, stats=Stats(**counts))


def _counts(stats: Stats) -> dict[str, int]:
    return {name: getattr(stats, name) for name in stats.__slots__}

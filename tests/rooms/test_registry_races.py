"""Many at once: eight threads on two servers that share a database. One wins, and the others are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deconfuse.errors import InUse, LimitExceeded, Stale
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from registries import NOW, a_dataset, a_project, at_once

OUTPUT = ("bucket", "prefix")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """One empty database of each kind, opened twice."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/registry.db" if is_sqlite else request.getfixturevalue("postgres_url")
    first, second = open_database(url), open_database(url)
    yield first, second
    first.close()
    second.close()


def test_of_many_who_move_a_status_one_does(databases: tuple[Database, Database]) -> None:
    """All others are told that they came too late."""
    dataset = a_dataset(databases[0], a_project(databases[0]))

    def finish(number: int) -> int:
        with databases[number % 2].write() as rows:
            move = {"was": "CREATE_IN_PROGRESS", "becomes": "CREATE_COMPLETE", "message": str(number)}
            registry.move_dataset(rows, dataset.id, now_ms=NOW, **move)
        return number

    results = at_once(8, finish)

    winners = [result for result in results if isinstance(result, int)]
    with databases[0].read() as rows:
        assert [registry.get_dataset(rows, dataset.id).message] == [str(winner) for winner in winners]
    assert sum(isinstance(result, Stale) for result in results) == 7


def test_limits_hold_for_many_at_once(databases: tuple[Database, Database]) -> None:
    """Of eight that want one of two places, two get it: projects, trainings, running models."""
    project = a_project(databases[0])

    def add_project(number: int) -> None:
        with databases[number % 2].write() as rows:
            registry.add_project(rows, f"p{number}", now_ms=NOW, limit=3)

    def add_version(number: int) -> None:
        with databases[number % 2].write() as rows:
            limits = registry.VersionLimits(in_progress=2)
            registry.add_version(rows, project.id, f"v{number}", now_ms=NOW, output=OUTPUT, limits=limits)

    for act in (add_project, add_version):
        results = at_once(8, act)

        assert results.count(None) == 2
        assert sum(isinstance(result, LimitExceeded) for result in results) == 6


def test_a_name_is_given_to_one_of_many(databases: tuple[Database, Database]) -> None:
    """Eight ask for the same project; one gets it."""
    results = at_once(8, lambda number: a_project(databases[number % 2]))

    assert sum(isinstance(result, InUse) for result in results) == 7


def test_a_project_is_deleted_or_gets_a_dataset_but_not_both(databases: tuple[Database, Database]) -> None:
    """Whoever comes first wins, at any interleaving."""
    for number in range(10):
        project = a_project(databases[0], f"p{number}")

        def act(side: int, project: registry.Project = project) -> str:
            with databases[side].write() as rows:
                if side:
                    registry.close_project(rows, project.id)
                else:
                    registry.add_dataset(rows, project.id, "train", now_ms=NOW)
            return "done"

        results = at_once(2, act)

        assert sorted(type(result).__name__ for result in results) == ["InUse", "str"]


def test_a_job_is_claimed_by_one_of_many(databases: tuple[Database, Database]) -> None:
    """Eight workers on two servers take forty jobs: each job once, and none is left."""
    with databases[0].write() as rows:
        jobs = [registry.add_job(rows, "train", noun="version", subject_id=i, now_ms=NOW).id for i in range(40)]

    def work(number: int) -> list[int]:
        taken = []
        while True:
            with databases[number % 2].write() as rows:
                job = registry.claim_job(rows, kinds=["train"], worker=f"w{number}-{len(taken)}", now_ms=NOW)
            if job is None:
                return taken
            taken.append(job.id)

    results = at_once(8, work)

    assert sorted(number for taken in results if isinstance(taken, list) for number in taken) == jobs


def test_a_silent_job_is_given_back_once(databases: tuple[Database, Database]) -> None:
    """Servers that notice it together do not count two attempts, and its old worker can no longer speak."""
    with databases[0].write() as rows:
        registry.add_job(rows, "train", noun="version", subject_id=1, now_ms=NOW)
        silent = registry.claim_job(rows, kinds=["train"], worker="old", now_ms=NOW)
    assert silent is not None

    def give_back(number: int) -> None:
        with databases[number % 2].write() as rows:
            registry.give_back_job(rows, silent, becomes="WAITING", now_ms=NOW)

    results = at_once(8, give_back)

    assert results.count(None) == 1
    assert sum(isinstance(result, Stale) for result in results) == 7
    with pytest.raises(Stale, match="old"), databases[1].write() as rows:
        registry.beat(rows, silent.id, worker="old", now_ms=NOW)

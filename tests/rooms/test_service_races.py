"""Many at once ask for anything, on one database, while others do the jobs: errors are declared, nothing is stuck."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deconfuse.engine.jobs import perform_job
from deconfuse.errors import DeconfuseError
from deconfuse.names import ObjectAddress
from deconfuse.service import datasets, projects, versions
from deconfuse.service.house import House
from deconfuse.service.objects import buckets
from deconfuse.service.work import tasks
from deconfuse.store import registry
from deconfuse.wire.faults import code_of
from houses import make_house
from models import train
from registries import at_once
from walks import AT_REST, declared
from worlds import manifest_line

N_THREADS, N_STEPS = 6, 40
LINES = b"".join(manifest_line(f"{number}.png", (("leaf", "sun")[number % 2],)) + b"\n" for number in range(8))
LIMITS = {"projects": 2, "versions": 3, "trainings": 2, "copies": 1, "running": 1, "policies": 2}
POLICY = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*",'
    '"Action":"rekognition:CopyProjectVersion","Resource":"*"}}'
)


class Client:
    """One of those who ask: chooses by chance what to ask for, about what is there by now."""

    def __init__(self, house: House, seed: int) -> None:
        """The same seed asks for the same, as far as the others allow."""
        self.house = house
        self.chance = random.Random(seed)
        self.n_good = 0

    def walk(self) -> None:
        """Ask and work."""
        acts = [self.on_projects, self.on_datasets, self.on_datasets, self.on_versions, self.on_versions]
        for _ in range(N_STEPS):
            self.chance.choice(acts)()
            self.work(self.chance.choice(["train", None]))

    def ask(self, operation: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Ask for something; an error must be one that the operation declares."""
        try:
            act(self.house, *arguments, **named)
        except DeconfuseError as raised:
            error = raised
        else:
            self.n_good += 1
            return
        assert code_of(error) in declared(operation), f"{operation}: {error!r}"

    def on_projects(self) -> None:
        """Make, tag, put a policy, delete."""
        self.ask("CreateProject", projects.create_project, self.chance.choice("ab"), tags={"a": "b"})
        arn = self.some(self.projects())
        choice = self.chance.randrange(4)
        if choice == 0:
            self.ask("DeleteProject", projects.delete_project, arn)
        elif choice == 1:
            self.ask("PutProjectPolicy", projects.put_policy, arn, self.chance.choice("xyz"), document=POLICY)
        elif choice == 2:
            self.ask("TagResource", projects.tag, arn, {"c": "d"})
        else:
            self.ask("ListProjectPolicies", projects.list_policies, arn)

    def on_datasets(self) -> None:
        """Make, update, distribute, list, delete."""
        manifest = self.chance.choice([None, ObjectAddress("photos", "few.manifest")])
        kind = self.chance.choice(["train", "test"])
        self.ask("CreateDataset", datasets.create_dataset, self.some(self.projects()), kind=kind, manifest=manifest)
        found = [str(datasets.dataset_arn(self.house, dataset)) for dataset in self.datasets()]
        arn = self.some(found)
        choice = self.chance.randrange(5)
        if choice == 0:
            self.ask("DeleteDataset", datasets.delete_dataset, arn)
        elif choice == 1:
            self.ask("UpdateDatasetEntries", datasets.update_entries, arn, LINES)
        elif choice == 2:
            self.ask("ListDatasetEntries", datasets.list_entries, arn)
        elif choice == 3:
            self.ask("CreateDataset", datasets.create_dataset, self.some(self.projects()), kind=kind, copy_of=arn)
        else:
            self.ask("DistributeDatasetEntries", datasets.distribute, [arn, self.some(found)])

    def on_versions(self) -> None:
        """Train, start, ask, stop, copy, delete."""
        name, output = self.chance.choice("1234"), ("photos", "results")
        self.ask("CreateProjectVersion", versions.create_version, self.some(self.projects()), name, output=output)
        arn = self.some([str(versions.version_arn(self.house, version)) for version in self.versions()])
        choice = self.chance.randrange(5)
        if choice == 0:
            self.ask("DeleteProjectVersion", versions.delete_version, arn)
        elif choice == 1:
            self.ask("StopProjectVersion", versions.stop_version, arn)
        elif choice == 2:
            self.ask("DetectCustomLabels", versions.detect, arn, image=b"no image")
        elif choice == 3:
            home, target = self.some(self.projects()), self.some(self.projects())
            places = {"source_project": home, "source_version": arn, "destination_project": target}
            self.ask("CopyProjectVersion", versions.copy_version, **places, name=name, output=output)
        else:
            self.ask("StartProjectVersion", versions.start_version, arn, min_units=1)

    def work(self, kind: str | None = None) -> bool:
        """Do the oldest waiting job, of one kind or any: whether there was one."""
        with self.house.database.write() as rows:
            worker = f"worker-{self.house.token_hex(8)}"
            todo = dict(tasks(self.house))
            todo["train"] = replace(todo["train"], perform=partial(train, self.house))
            kinds = (kind,) if kind else tuple(todo)
            job = registry.claim_job(rows, kinds=kinds, worker=worker, now_ms=self.house.now_ms)
        if job is not None:
            perform_job(self.house.database, job, todo[job.kind], worker=worker, clock=self.house.clock, pauses=(0.0,))
        return job is not None

    def some(self, arns: list[str]) -> str:
        """One of these, or one that names nothing."""
        return self.chance.choice(arns or ["arn:aws:rekognition:us-east-1:123456789012:project/a/1"])

    def projects(self) -> list[str]:
        """The ARNs of all projects."""
        return [str(projects.project_arn(self.house, project)) for project, _ in projects.list_projects(self.house)[0]]

    def datasets(self) -> list[registry.Dataset]:
        """All datasets."""
        with self.house.database.read() as rows:
            ids = [project.id for project in registry.list_projects(rows, limit=1000).items]
            return [dataset for found in registry.list_datasets(rows, ids).values() for dataset in found]

    def versions(self) -> list[registry.Version]:
        """All versions."""
        with self.house.database.read() as rows:
            ids = [project.id for project in registry.list_projects(rows, limit=1000).items]
            return [version for number in ids for version in registry.list_versions(rows, number, limit=1000).items]


def race(tmp_path: Path, url: str) -> None:
    """Two servers, three clients each."""
    houses = [make_house(tmp_path, database=url, **LIMITS) for _ in range(2)]
    buckets(houses[0]).create_bucket("photos")
    houses[0].objects.put("photos", "few.manifest", LINES)
    clients = [Client(houses[number % 2], number) for number in range(N_THREADS)]

    assert at_once(N_THREADS, lambda number: clients[number].walk()) == [None] * N_THREADS

    last = clients[0]
    while last.work():
        pass
    with last.house.database.read() as rows:
        assert registry.list_jobs(rows) == ()
    left = {thing.status for thing in (*last.datasets(), *last.versions())}
    assert left <= AT_REST
    assert sum(client.n_good for client in clients) > N_STEPS


@pytest.mark.slow
def test_many_at_once_on_sqlite(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two servers on one SQLite file."""
    caplog.set_level(logging.WARNING, logger="deconfuse")

    race(tmp_path, f"sqlite:///{tmp_path / 'rows'}")

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.postgres
def test_many_at_once_on_postgresql(tmp_path: Path, postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Two servers on one PostgreSQL, whose writers run side by side."""
    caplog.set_level(logging.WARNING, logger="deconfuse")

    race(tmp_path, postgres_url)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []

"""Datasets and versions in any order, with the jobs that they ask for: a plain dictionary says what must be told.

Jobs are done when the walk comes to them, in an order of its own: done to their end, given back by a worker that
died, or broken by an error of ours. Trainings are ended by hand. Whatever happened, when every job is done nothing is
under way any more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from deconfuse.engine.jobs import Heart, perform_job
from deconfuse.errors import (
    AlreadyExists,
    BadImage,
    InUse,
    Invalid,
    LimitExceeded,
    NotFound,
    NotReady,
)
from deconfuse.names import ObjectAddress
from deconfuse.service import datasets, projects, versions
from deconfuse.service.objects import buckets
from deconfuse.service.work import tasks
from deconfuse.store import registry
from deconfuse.store.registry import DELETABLE, HOSTED, READABLE, STARTABLE, Job
from houses import make_house
from models import LABELS, train
from walks import AT_REST, Home, Images, Lot, Model, Walk
from worlds import manifest_line, picture

MAX_VERSIONS = 3
NOT_JSON = b"no line of JSON\n" * 3


def lines(images: Images) -> bytes:
    """A manifest of these images."""
    return b"".join(manifest_line(key, (label,)) + b"\n" for key, label in images.items())


MANIFESTS: dict[str, Images | None] = {
    "few.manifest": {"1.png": "leaf", "2.png": "sun"},
    "many.manifest": {f"{number}.png": LABELS[number % 2] for number in range(8)},
    "bad.manifest": None,
    "noextension": None,
}
"""Objects in the bucket photos, with the images that a dataset has of them; None where it cannot be made."""


def stumble(job: Job, heart: Heart) -> None:
    """Break by an error of ours."""
    raise ValueError("a bug")


class WorkWalk(Walk):
    """Two projects with their datasets and versions."""

    LIMITS: ClassVar[dict[str, int]] = {"versions": MAX_VERSIONS, "trainings": 1, "copies": 1, "running": 1, "units": 2}

    def __init__(self) -> None:
        """Begins with buckets and manifests."""
        super().__init__()
        self.lots: dict[int, Lot] = {}
        self.models: dict[int, Model] = {}
        self.n_lines = 0
        for bucket in ("photos", "results"):
            buckets(self.house).create_bucket(bucket)
        for key, images in MANIFESTS.items():
            self.house.objects.put("photos", key, NOT_JSON if images is None else lines(images))

    @initialize(
        manifest=st.sampled_from(["many.manifest", "few.manifest"]),
        n_trained=st.integers(0, 2),
        is_running=st.booleans(),
    )
    def begin(self, manifest: str, n_trained: int, *, is_running: bool) -> None:
        """Two projects, one of them with a dataset and versions, so that short walks have something to do."""
        for name in "ab":
            project = projects.create_project(self.house, name)
            arn = str(projects.project_arn(self.house, project))
            self.homes[name] = Home(name, arn)
            self.tags[arn] = {}
        self.make_dataset(self.homes["a"].arn, "train", manifest, None)
        self.perform("create-dataset", "done")
        for number in range(n_trained):
            self.make_version(self.homes["a"].arn, str(number + 1), has_manifest=False)
            self.perform("train", "done")
        if self.models and is_running:
            self.start(next(iter(self.models.values())).arn, (1, None))
            self.perform("start-version", "done")

    def teardown(self) -> None:
        """Nothing is stuck: when every job is done, nothing is under way."""
        try:
            self.work_on_all()
            self.everything_is_told()
            assert {arn: projects.tags_of(self.house, arn) for arn in self.tags} == self.tags
            assert {thing.status for thing in (*self.lots.values(), *self.models.values())} <= AT_REST
        finally:
            super().teardown()

    # Datasets

    def some_lot(self, data: st.DataObject) -> str:
        """The ARN of a dataset, seldom of one that is not there."""
        arns = [lot.arn for lot in self.lots.values()]
        return data.draw(st.sampled_from([*arns, *arns, *arns, self.gone["dataset"][-1]]))

    def lot(self, arn: str) -> Lot | None:
        """What is remembered of the dataset with this ARN."""
        return next((lot for lot in self.lots.values() if lot.arn == arn), None)

    @rule(
        data=st.data(),
        kind=st.sampled_from(["train", "test"]),
        manifest=st.sampled_from([None, *MANIFESTS, "many.manifest", "missing.manifest"]),
        is_copy=st.booleans(),
    )
    def create_dataset(self, data: st.DataObject, kind: str, manifest: str | None, *, is_copy: bool) -> None:
        """One of each kind; from a manifest that is there, a dataset that stands still, or nothing."""
        copy_of = self.some_lot(data) if is_copy and manifest is None else None
        self.make_dataset(self.some_arn(data), kind, manifest, copy_of)

    def make_dataset(self, arn: str, kind: str, manifest: str | None, copy_of: str | None) -> None:
        """Ask for a dataset."""
        address = None if manifest is None else ObjectAddress("photos", manifest)
        tags = {"kind": kind}
        result = self.ask(
            "CreateDataset", datasets.create_dataset, arn, kind=kind, manifest=address, copy_of=copy_of, tags=tags
        )
        home, source = self.home(arn), None if copy_of is None else self.lot(copy_of)
        if home is None or manifest == "missing.manifest" or (copy_of and source is None):
            assert result is NotFound
        elif source is not None and source.status not in READABLE:
            assert result is Invalid
        elif kind in home.lots:
            assert result is AlreadyExists
        else:
            arn = str(datasets.dataset_arn(self.house, result))
            status = "CREATE_COMPLETE" if manifest is None and copy_of is None else "CREATE_IN_PROGRESS"
            lot = Lot(result.id, arn, home, kind, status, source=manifest or source)
            self.lots[lot.id] = home.lots[kind] = lot
            self.tags[arn] = tags

    @precondition(lambda self: self.lots)
    @rule(data=st.data(), is_good=st.sampled_from([True, True, False]))
    def update_entries(self, data: st.DataObject, *, is_good: bool) -> None:
        """Lines of known images take the place of theirs, others come behind; bad ones leave everything as it was."""
        arn = self.some_lot(data)
        self.n_lines += 1
        changes = {"1.png": data.draw(st.sampled_from(LABELS)), f"new-{self.n_lines}.png": "sun"}
        given = lines(changes) if is_good else NOT_JSON
        result = self.ask("UpdateDatasetEntries", datasets.update_entries, arn, given)
        lot = self.lot(arn)
        if lot is None:
            assert result is NotFound
        elif lot.status not in READABLE:
            assert result is InUse
        else:
            assert result is None
            lot.status = "UPDATE_COMPLETE" if is_good else "UPDATE_FAILED"
            lot.images |= changes if is_good else {}

    @precondition(lambda self: len(self.lots) > 1)
    @rule(data=st.data())
    def distribute(self, data: st.DataObject) -> None:
        """A training dataset and the empty test dataset of its project, both standing still."""
        arns = [self.some_lot(data), self.some_lot(data)]
        for home in self.homes.values():
            if len(home.lots) == 2 and data.draw(st.sampled_from([True, True, False])):
                arns = [lot.arn for lot in home.lots.values()]
        result = self.ask("DistributeDatasetEntries", datasets.distribute, arns)
        lots = [lot for arn in arns if (lot := self.lot(arn))]
        named = {lot.kind: lot for lot in lots}
        if len(lots) < 2:
            assert result is NotFound
        elif len(named) < 2 or lots[0].home is not lots[1].home:
            assert result is Invalid
        elif not all(lot.status in READABLE for lot in lots):
            assert result is NotReady
        elif named["test"].images:
            assert result is Invalid
        else:
            assert result is None
            for lot in lots:
                lot.status = "UPDATE_IN_PROGRESS"

    @precondition(lambda self: self.lots)
    @rule(data=st.data())
    def delete_dataset(self, data: st.DataObject) -> None:
        """One that stands still, or could not be made."""
        arn = self.some_lot(data)
        result = self.ask("DeleteDataset", datasets.delete_dataset, arn)
        lot = self.lot(arn)
        if lot is None:
            assert result is NotFound
        elif lot.status not in (*READABLE, "CREATE_FAILED"):
            assert result is InUse
        else:
            assert result is None
            lot.status = "DELETE_IN_PROGRESS"

    @precondition(lambda self: self.lots)
    @rule(data=st.data(), label=st.sampled_from([None, *LABELS, "sea"]))
    def list_entries(self, data: st.DataObject, label: str | None) -> None:
        """The lines of a dataset that stands still, and its labels with their counts."""
        arn = self.some_lot(data)
        labels = (label,) if label else ()
        entries = self.pages(data, "ListDatasetEntries", datasets.list_entries, arn, labels=labels)
        counts = self.pages(data, "ListDatasetLabels", datasets.list_labels, arn)
        lot = self.lot(arn)
        if lot is None:
            assert entries is counts is NotFound
        elif lot.status in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
            assert entries is counts is NotReady
        elif lot.status not in READABLE:
            assert entries is counts is InUse
        else:
            assert keys_of(entries) == [key for key, has in lot.images.items() if label in (None, has)]
            held = list(lot.images.values())
            assert {count.label: count.n_entries for count in counts} == {name: held.count(name) for name in set(held)}

    # Versions

    def some_model(self, data: st.DataObject) -> str:
        """The ARN of a version, seldom of one that is not there."""
        arns = [model.arn for model in self.models.values()]
        return data.draw(st.sampled_from([*arns, *arns, *arns, self.gone["version"][-1]]))

    def model(self, arn: str) -> Model | None:
        """What is remembered of the version with this ARN."""
        return next((model for model in self.models.values() if model.arn == arn), None)

    def n_in(self, *statuses: str) -> int:
        """How many versions have one of these statuses."""
        return sum(model.status in statuses for model in self.models.values())

    @rule(
        data=st.data(),
        name=st.sampled_from([*"123412341234", "bad name"]),
        is_fitting=st.sampled_from([True, True, False]),
    )
    def create_version(self, data: st.DataObject, name: str, *, is_fitting: bool) -> None:
        """On datasets that stand still or, where there are none, on a manifest."""
        arn = self.some_arn(data)
        home = self.home(arn)
        has_datasets = home is not None and bool(home.lots)
        self.make_version(arn, name, has_manifest=is_fitting != has_datasets)

    def make_version(self, arn: str, name: str, *, has_manifest: bool) -> None:
        """Ask for a version."""
        given: dict[str, Any] = {"training": ObjectAddress("photos", "many.manifest"), "auto_create": True}
        result = self.ask(
            "CreateProjectVersion",
            versions.create_version,
            arn,
            name,
            output=("results", name),
            tags={"name": name.replace(" ", "")},
            **(given if has_manifest else {}),
        )
        home = self.home(arn)
        if name == "bad name":
            assert result is Invalid
        elif home is None:
            assert result is NotFound
        elif has_manifest == bool(home.lots) or (home.lots and "train" not in home.lots):
            assert result is Invalid
        elif any(lot.status not in READABLE for lot in home.lots.values()) or name in home.models:
            assert result is InUse
        elif self.n_in("TRAINING_IN_PROGRESS") or len(home.models) >= MAX_VERSIONS:
            assert result is LimitExceeded
        else:
            self.keep(result, home, "TRAINING_IN_PROGRESS", "results")

    def keep(
        self, version: registry.Version, home: Home, status: str, output: str, source: Model | None = None
    ) -> None:
        """Remember a new version."""
        arn = str(versions.version_arn(self.house, version))
        model = Model(version.id, arn, home, version.name, status, output, source)
        self.models[model.id] = home.models[model.name] = model
        self.tags[arn] = {"name": version.name}

    @precondition(lambda self: self.models)
    @rule(data=st.data(), units=st.sampled_from([(1, None), (1, None), (2, 2), (2, 1), (0, None), (9, None)]))
    def start_version(self, data: st.DataObject, units: tuple[int, int | None]) -> None:
        """One with a model that is at rest, as long as there is room."""
        self.start(self.some_model(data), units)

    def start(self, arn: str, units: tuple[int, int | None]) -> None:
        """Ask for a start."""
        result = self.ask("StartProjectVersion", versions.start_version, arn, min_units=units[0], max_units=units[1])
        model = self.model(arn)
        if units in ((2, 1), (0, None)):
            assert result is Invalid
        elif units[0] == 9:
            assert result is LimitExceeded
        elif model is None:
            assert result is NotFound
        elif model.status not in STARTABLE:
            assert result is InUse
        elif self.n_in(*HOSTED):
            assert result is LimitExceeded
        else:
            assert result == "STARTING"
            model.status = "STARTING"

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def stop_version(self, data: st.DataObject) -> None:
        """A running one is stopped at once."""
        arn = self.some_model(data)
        result = self.ask("StopProjectVersion", versions.stop_version, arn)
        model = self.model(arn)
        if model is None:
            assert result is NotFound
        elif model.status != "RUNNING":
            assert result is InUse
        else:
            assert result == "STOPPING"
            model.status = "STOPPED"

    @precondition(lambda self: self.models)
    @rule(data=st.data(), output=st.sampled_from(["results", "results", "nowhere"]), name=st.sampled_from("1234"))
    def copy_version(self, data: st.DataObject, output: str, name: str) -> None:
        """One with a model, into any project."""
        arn, target_arn = self.some_model(data), self.some_arn(data)
        source, target = self.model(arn), self.home(target_arn)
        home_arn = (
            source.home.arn if source and data.draw(st.sampled_from([True, True, False])) else self.some_arn(data)
        )
        result = self.ask(
            "CopyProjectVersion",
            versions.copy_version,
            source_project=home_arn,
            source_version=arn,
            destination_project=target_arn,
            name=name,
            output=(output, "copies"),
            tags={"name": name},
        )
        if source is None or target is None or self.home(home_arn) is None:
            assert result is NotFound
        elif source.home.arn != home_arn:
            assert result is Invalid
        elif source.status not in (*STARTABLE, *HOSTED) or name in target.models:
            assert result is InUse
        elif self.n_in("COPYING_IN_PROGRESS") or len(target.models) >= MAX_VERSIONS:
            assert result is LimitExceeded
        else:
            self.keep(result, target, "COPYING_IN_PROGRESS", output, source)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        """One that is neither at work nor being made."""
        arn = self.some_model(data)
        result = self.ask("DeleteProjectVersion", versions.delete_version, arn)
        model = self.model(arn)
        if model is None:
            assert result is NotFound
        elif model.status not in DELETABLE:
            assert result is InUse
        else:
            assert result == "DELETING"
            model.status = "DELETING"

    @precondition(lambda self: self.models)
    @rule(data=st.data(), image=st.sampled_from([picture("leaf", 1), b"no image"]))
    def detect(self, data: st.DataObject, image: bytes) -> None:
        """A running version answers."""
        arn = self.some_model(data)
        result = self.ask("DetectCustomLabels", versions.detect, arn, image=image)
        model = self.model(arn)
        if model is None:
            assert result is NotFound
        elif model.status != "RUNNING":
            assert result is NotReady
        elif image == b"no image":
            assert result is BadImage
        else:
            assert result == (("leaf", 50.0),)

    @rule(data=st.data())
    def delete_project(self, data: st.DataObject) -> None:
        """Not before its last dataset and version are gone; then it is made again."""
        arn = self.some_arn(data)
        result = self.ask("DeleteProject", projects.delete_project, arn)
        home = self.home(arn)
        if home is None:
            assert result is NotFound
        elif home.lots or home.models:
            assert result is InUse
        else:
            assert result == "DELETING"
            del self.homes[home.name], self.tags[arn]
            self.gone["project"].append(arn)
            made = self.ask("CreateProject", projects.create_project, home.name)
            self.homes[home.name] = Home(home.name, str(projects.project_arn(self.house, made)))
            self.tags[self.homes[home.name].arn] = {}

    # Work

    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait for a worker."""
        with self.house.database.read() as rows:
            return registry.list_jobs(rows, statuses=("WAITING",))

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), how=st.sampled_from(["done", "done", "done", "broken", "dead"]))
    def work(self, data: st.DataObject, how: str) -> None:
        """The oldest job of some kind is done, breaks, or loses its worker."""
        self.perform(data.draw(st.sampled_from(sorted({job.kind for job in self.waiting()}))), how)

    @precondition(lambda self: self.waiting())
    @rule()
    def work_on_all(self) -> None:
        """Every job is done, in the order in which they were asked for."""
        while waiting := self.waiting():
            self.perform(waiting[0].kind, "done")

    def perform(self, kind: str, how: str) -> None:
        """Take the oldest job of a kind and do it."""
        database, worker = self.house.database, f"worker-{self.house.token_hex(4)}"
        with database.write() as rows:
            job = registry.claim_job(rows, kinds=(kind,), worker=worker, now_ms=self.house.now_ms)
            assert job is not None
            if how == "dead":
                registry.give_back_job(rows, job, becomes="WAITING", now_ms=self.house.now_ms)
                return
        task = tasks(self.house)[kind]
        if kind == "train":
            task = replace(task, perform=partial(train, self.house))
        if how == "broken":
            task = replace(task, perform=stumble, attempts=min(task.attempts, 1))
        perform_job(database, job, task, worker=worker, clock=self.house.clock, pauses=(0.0,))
        self.EFFECTS[kind](self, job, is_done=how == "done")

    def created_dataset(self, job: Job, *, is_done: bool) -> None:
        """Of its manifest, or of what the other dataset holds by now."""
        lot = self.lots[job.subject_id]
        found = MANIFESTS[lot.source] if isinstance(lot.source, str) else self.copied(lot.source)
        lot.status = "CREATE_COMPLETE" if is_done and found is not None else "CREATE_FAILED"
        lot.images = dict(found) if is_done and found is not None else {}

    def copied(self, source: Lot) -> Images | None:
        """What a copy gets; None where the source is gone or does not stand still."""
        return source.images if source.id in self.lots and source.status in READABLE else None

    def distributed(self, job: Job, *, is_done: bool) -> None:
        """Every line is in one of the two, in its order; some in the test dataset, if a label has two lines."""
        train = self.lots[job.subject_id]
        test, held = train.home.lots["test"], list(train.images.values())
        is_done = is_done and any(held.count(label) > 1 for label in LABELS)
        train.status = test.status = "UPDATE_COMPLETE" if is_done else "UPDATE_FAILED"
        moved = set(keys_of(datasets.list_entries(self.house, test.arn)[0]))
        assert bool(moved) is is_done
        test.images = {key: label for key, label in train.images.items() if key in moved}
        train.images = {key: label for key, label in train.images.items() if key not in moved}

    def deleted_dataset(self, job: Job, *, is_done: bool) -> None:
        """Gone, or tried again."""
        if is_done:
            lot = self.lots.pop(job.subject_id)
            del lot.home.lots[lot.kind], self.tags[lot.arn]
            self.gone["dataset"].append(lot.arn)

    def trained(self, job: Job, *, is_done: bool) -> None:
        """There is a model, or a message."""
        self.models[job.subject_id].status = "TRAINING_COMPLETED" if is_done else "TRAINING_FAILED"

    def started(self, job: Job, *, is_done: bool) -> None:
        """It runs, or can be started again."""
        self.models[job.subject_id].status = "RUNNING" if is_done else "FAILED"

    def copied_version(self, job: Job, *, is_done: bool) -> None:
        """There is a model, if that of the source was there still and the output could be written."""
        model = self.models[job.subject_id]
        is_good = is_done and not model.source.is_gone and model.output == "results"
        model.status = "COPYING_COMPLETED" if is_good else "COPYING_FAILED"

    def deleted_version(self, job: Job, *, is_done: bool) -> None:
        """Gone, or tried again."""
        if is_done:
            model = self.models.pop(job.subject_id)
            model.is_gone = True
            del model.home.models[model.name], self.tags[model.arn]
            self.gone["version"].append(model.arn)

    EFFECTS: ClassVar[dict[str, Callable[..., None]]] = {
        "create-dataset": created_dataset,
        "distribute": distributed,
        "delete-dataset": deleted_dataset,
        "train": trained,
        "start-version": started,
        "copy-version": copied_version,
        "delete-version": deleted_version,
    }

    @invariant()
    def everything_is_told(self) -> None:
        """Projects with their datasets, versions the newest first, all with their statuses and counts."""
        told = {project.name: found for project, found in projects.list_projects(self.house)[0]}
        assert list(told) == list(self.homes)
        for name, home in self.homes.items():
            assert [(lot.kind, lot.status) for lot in told[name]] == [(k, lot.status) for k, lot in home.lots.items()]
            views, _ = versions.list_versions(self.house, home.arn)
            seen = [(view.version.name, view.version.status, view.arn) for view in views]
            assert seen == [(model.name, model.status, model.arn) for model in reversed(home.models.values())]
            assert all(view.message or view.version.status == "DELETING" for view in views)
        for lot in self.lots.values():
            found = datasets.describe_dataset(self.house, lot.arn)
            assert found.message
            if lot.status in READABLE:
                n, n_labels = len(lot.images), len(set(lot.images.values()))
                assert found.stats == registry.Stats(n, n, n_labels, 0)


def keys_of(entries: Iterable[str]) -> list[str]:
    """The keys of the images of these lines."""
    return [json.loads(line)["source-ref"].removeprefix("s3://photos/") for line in entries]


def test_every_kind_of_job_is_walked(tmp_path: Path) -> None:
    """The walk knows what comes of each kind of job that there is."""
    assert tasks(make_house(tmp_path)).keys() == WorkWalk.EFFECTS.keys()


@pytest.mark.slow
def test_datasets_and_versions_in_any_order(caplog: pytest.LogCaptureFixture) -> None:
    """Datasets, versions and their jobs, whatever is asked and whatever breaks when."""
    caplog.set_level(logging.CRITICAL, logger="deconfuse")
    # A step here is a dozen transactions: half as many walks as elsewhere.
    how = settings(stateful_step_count=30, max_examples=settings.default.max_examples // 2)
    run_state_machine_as_test(WorkWalk, settings=how)

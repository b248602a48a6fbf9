"""Versions copied into another project."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import InUse, Invalid, LimitExceeded, NotFound
from deconfuse.names import ObjectAddress
from deconfuse.service import copying, projects, versions
from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET
from deconfuse.store.registry import Project, Version
from houses import make_house
from trainings import RESULTS, a_stall, a_trained_version, content, keys_in, make_bucket, perform_all, view_of
from worlds import picture

COPIES = "copies"
SUN = picture("sun", 77, format="JPEG")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house."""
    return make_house(tmp_path)


class World:
    """A project with a trained version, and another project to copy it into."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.source = a_stall(house)
        self.arn = a_trained_version(house, project=self.source)
        self.target = projects.create_project(house, "stall")
        make_bucket(house, COPIES)

    def copy(self, name: str = "copy", **options: Any) -> Version:
        """A copy that has been asked for."""
        asked = {
            "source_project": self.arn_of(self.source),
            "source_version": self.arn,
            "destination_project": self.arn_of(self.target),
            "output": (COPIES, "there"),
            **options,
        }
        return versions.copy_version(self.house, name=name, **asked)

    def arn_of(self, project: Project) -> str:
        """The ARN of a project."""
        return str(projects.project_arn(self.house, project))


@pytest.fixture
def world(house: House) -> World:
    """A version to copy, and where to."""
    return World(house)


def test_a_copy_runs_as_its_source_does(world: World) -> None:
    """It is a version of its own, ready to be started, with the same answers."""
    version = world.copy(tags={"a": "b"}, given={"KmsKeyId": "key-2"})
    assert version.status == "COPYING_IN_PROGRESS"
    perform_all(world.house)
    view = view_of(world.house, version)
    assert (view.version.status, view.message) == ("COPYING_COMPLETED", "The model is ready to run.")
    assert view.version.source == world.arn
    assert view.version.f1 == 1.0
    assert view.given.told == {"KmsKeyId": "key-2"}

    for arn in (world.arn, view.arn):
        versions.start_version(world.house, arn, min_units=1)
    perform_all(world.house)
    assert versions.detect(world.house, world.arn, image=SUN) == versions.detect(world.house, view.arn, image=SUN)


def test_results_are_copied_as_they_are(world: World) -> None:
    """Under the names that the copy gives them, and told there; contents and counts are the source's."""
    version = world.copy()
    perform_all(world.house)
    outcome = view_of(world.house, version).outcome
    copied = {key.replace("there/", "out/").replace("stall-copy", "shop-1") for key in keys_in(world.house, COPIES)}

    assert copied == set(keys_in(world.house, RESULTS))
    assert outcome.summary == ObjectAddress(COPIES, "there/EvaluationResultSummary-stall-copy.json")
    assert (outcome.n_labels, outcome.n_training, outcome.n_testing) == (2, 16, 6)
    for key in keys_in(world.house, COPIES):
        old = key.replace("there/", "out/").replace("stall-copy", "shop-1")
        assert content(world.house, COPIES, key) == content(world.house, RESULTS, old)


def test_a_copy_outlives_its_source(world: World) -> None:
    """Model and results are its own."""
    version = world.copy()
    perform_all(world.house)
    versions.delete_version(world.house, world.arn)
    perform_all(world.house)
    arn = view_of(world.house, version).arn
    versions.start_version(world.house, arn, min_units=1)
    perform_all(world.house)
    assert versions.detect(world.house, arn, image=SUN)


def test_a_copy_of_a_copy(world: World) -> None:
    """Names the copy as its source."""
    first = world.copy()
    perform_all(world.house)
    arn = view_of(world.house, first).arn
    again = world.copy("again", source_project=world.arn_of(world.target), source_version=arn)
    perform_all(world.house)

    assert view_of(world.house, again).version.source == arn
    assert view_of(world.house, again).outcome.summary is not None


def test_a_running_version_is_copied(world: World) -> None:
    """It need not be stopped."""
    versions.start_version(world.house, world.arn, min_units=1)
    perform_all(world.house)
    version = world.copy()
    perform_all(world.house)
    assert view_of(world.house, version).version.status == "COPYING_COMPLETED"


def test_results_that_their_user_removed_are_left_out(world: World) -> None:
    """The model is copied all the same; only what is there is told."""
    world.house.objects.delete(RESULTS, "out/EvaluationResultSummary-shop-1.json")
    version = world.copy()
    perform_all(world.house)
    view = view_of(world.house, version)

    assert view.version.status == "COPYING_COMPLETED"
    assert view.outcome.summary is None
    assert view.outcome.manifest_summary is not None


def refusals(world: World) -> dict[str, tuple[dict[str, Any], type[Exception]]]:
    """What cannot be copied, and how that is told."""
    foreign = world.arn.replace("123456789012", "999999999999")
    return {
        "a version of another account": ({"source_version": foreign}, NotFound),
        "a project of another account": (
            {"source_project": world.arn_of(world.source).replace("123456789012", "999999999999")},
            NotFound,
        ),
        "a version of another region": ({"source_version": world.arn.replace("us-east-1", "eu-west-1")}, NotFound),
        "a version that is not there": ({"source_version": world.arn + "0"}, NotFound),
        "a version of another project": ({"source_project": world.arn_of(world.target)}, Invalid),
        "a project as a version": ({"source_version": world.arn_of(world.source)}, Invalid),
        "no such target": ({"destination_project": world.arn_of(world.target) + "0"}, NotFound),
        "a bad name": ({"name": "a/b"}, Invalid),
        "a bad tag": ({"tags": {"aws:a": ""}}, Invalid),
        "a name that is taken": (
            {"name": "1", "destination_project": world.arn_of(world.source)},
            InUse,
        ),
        "an endless prefix": ({"output": (COPIES, "x" * 1000)}, Invalid),
    }


def test_what_cannot_be_copied(world: World) -> None:
    """Each refusal by its own error, and nothing is made."""
    for case, (options, error) in refusals(world).items():
        with pytest.raises(error):
            world.copy(**{"name": "copy", **options})
        assert versions.list_versions(world.house, world.arn_of(world.target))[0] == (), case


def test_a_project_of_another_feature_is_no_target(world: World) -> None:
    """An adapter is no model, and no model is an adapter."""
    project = projects.create_project(world.house, "mild", feature="CONTENT_MODERATION", auto_update="ENABLED")
    with pytest.raises(Invalid, match="CONTENT_MODERATION"):
        world.copy(destination_project=world.arn_of(project))


def test_a_version_without_a_model_is_not_copied(house: House) -> None:
    """One that is still being trained."""
    world = World(house)
    with house.database.write() as rows:
        version = registry.add_version(rows, world.source.id, "2", now_ms=house.now_ms, output=(RESULTS, ""))
    with pytest.raises(InUse, match="TRAINING_IN_PROGRESS"):
        world.copy(source_version=str(versions.version_arn(house, version)))


def test_so_many_copies_at_once(tmp_path: Path) -> None:
    """Counted apart from trainings."""
    world = World(make_house(tmp_path, copies=1))
    world.copy()
    with pytest.raises(LimitExceeded, match="1 versions are being copied"):
        world.copy("second")
    perform_all(world.house)
    world.copy("second")


def test_a_copy_that_cannot_be_written_fails_with_a_sentence(world: World) -> None:
    """And can only be deleted."""
    version = world.copy(output=("no-such-bucket", ""))
    perform_all(world.house)
    view = view_of(world.house, version)

    assert view.version.status == "COPYING_FAILED"
    assert "no-such-bucket" in view.message
    versions.delete_version(world.house, view.arn)
    perform_all(world.house)
    assert versions.list_versions(world.house, world.arn_of(world.target))[0] == ()


def test_a_source_that_is_deleted_meanwhile(world: World) -> None:
    """The copy fails with a sentence; no half of it can be started."""
    version = world.copy()
    versions.delete_version(world.house, world.arn)
    with world.house.database.write() as rows:
        rows.exec_driver_sql("UPDATE jobs SET id = 99 WHERE kind = 'copy-version'")  # the deletion is faster
    perform_all(world.house)

    view = view_of(world.house, version)
    assert view.version.status == "COPYING_FAILED"
    assert "was deleted" in view.message


def test_a_copy_that_is_deleted_is_not_finished(world: World) -> None:
    """Its job is cancelled with it."""
    version = world.copy()
    versions.delete_version(world.house, str(versions.version_arn(world.house, version)))
    jobs = perform_all(world.house)

    assert [job.kind for job in jobs] == ["delete-version"]
    assert keys_in(world.house, OWN_BUCKET, f"versions/{version.id}/") == []


class _Killed(BaseException):
    """The process is no more."""


class Mortal:
    """A store whose process is killed at its n-th put."""

    def __init__(self, objects: Any, *, at: int) -> None:
        self.objects = objects
        self.left = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objects, name)

    def put(self, *args: Any, **options: Any) -> Any:
        """Put, unless this is the end."""
        self.left -= 1
        if not self.left:
            raise _Killed
        return self.objects.put(*args, **options)


def test_a_copy_killed_anywhere_is_taken_up_again(world: World) -> None:
    """At every put: nothing is told of it before it is whole."""
    from deconfuse.engine.jobs import Heart

    house = world.house
    version = world.copy()
    n_killed = 0
    for at in range(1, 50):
        with house.database.write() as rows:
            job = registry.claim_job(rows, kinds=["copy-version"], worker=f"w{at}", now_ms=house.now_ms)
        assert job is not None
        heart = Heart(house.database, job, worker=f"w{at}", clock=house.clock)
        with contextlib.suppress(_Killed):
            copying.perform_copy_version(replace(house, objects=Mortal(house.objects, at=at)), job, heart)
            break
        n_killed += 1
        assert view_of(house, version).version.status == "COPYING_IN_PROGRESS"
        with house.database.write() as rows:
            present = registry.get_job(rows, job.id)
            registry.give_back_job(rows, present, becomes="WAITING", now_ms=house.now_ms)

    assert n_killed == 11
    assert view_of(house, version).version.status == "COPYING_COMPLETED"
    assert len(keys_in(house, COPIES)) == 8

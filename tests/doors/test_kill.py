"""Kill -9 at every commit point by its name, and at random moments: nothing is lost, nothing is half, nothing is stuck.

With DECONFUSE_SOAK=1 at every time that a point is passed, and at 50 random moments instead of 10.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deconfuse.app import open_house
from deconfuse.engine.runner import Runner
from deconfuse.formats.evaluation import read_summary
from deconfuse.learn.bundle import HEAD_NAME
from deconfuse.service import results, serving
from deconfuse.service.house import House
from deconfuse.service.work import tasks
from deconfuse.settings import read_settings
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET, read_all
from deconfuse.store.registry import Project, Version
from mortal import Deaths, is_timed, name_of
from trainings import a_shop, create, view_of
from wholeness import IS_SOAK, MOMENTS, MOST_BYTES, check_whole
from workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Workshop:
    """A house whose trainings run in mortal processes.

    Attributes:
        house: the house.
        deaths: where its children die.
        project: has images of leaves and suns.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a house in `folder`, and a runner for it."""
        home = {"DECONFUSE_HOME": str(folder / "home"), "DECONFUSE_MAX_VERSIONS": "0"}
        self.deaths = Deaths(folder / "deaths")
        self.house = open_house(read_settings(given=home))
        self.project: Project = a_shop(self.house)
        self.runner = Runner(
            self.house.database,
            tasks(self.house),
            command=lambda job, worker: [sys.executable, "-m", "deconfuse", "worker", str(job.id), worker],
            environment=self.deaths.environment() | home,
            clock=self.house.clock,
            n_children=1,
            n_threads=1,
            silence=4.0,
            pauses=(4.0,),
        )

    def train(self, name: str) -> Version:
        """A version of this name whose training has been asked for."""
        version = create(self.house, self.project, name)
        self.runner.wake()
        return version

    def ended(self, version: Version) -> Version:
        """The version when its training has ended, and its process too."""
        until(lambda: self.now(version).status != "TRAINING_IN_PROGRESS", seconds=120, what=version.name)
        until(lambda: not self.deaths.processes(), seconds=20, what="the end of the process")
        return self.now(version)

    def now(self, version: Version) -> Version:
        """The version as it is now."""
        return view_of(self.house, version).version


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """A workshop that works, and has trained one version in peace: "peace"."""
    workshop = Workshop(tmp_path)
    workshop.runner.start()
    try:
        assert workshop.ended(workshop.train("peace")).status == "TRAINING_COMPLETED"
        yield workshop
    finally:
        workshop.runner.stop()
        workshop.house.database.close()
        workshop.deaths.kill_all()


def check_trained(house: House, version: Version) -> bytes:
    """The weights of a trained version; fails where anything that it should have left is missing or cannot be read."""
    outcome = results.outcome_of(version)
    files = {field: getattr(outcome, field) for field in results.FILES}
    read = {
        field: read_all(house.objects, place.bucket, place.key, limit_bytes=MOST_BYTES)
        for field, place in files.items()
    }
    summary = read_summary(read["summary"])
    assert (summary.n_training, summary.n_testing, len(summary.labels)) == (16, 6, 2)
    assert pq.read_table(io.BytesIO(read["predictions"])).num_rows == 22
    assert read["report"].rstrip().endswith(b"</html>")
    assert serving.load(house, version.id).head.labels == ("leaf", "sun")
    return read_all(house.objects, OWN_BUCKET, results.own_key(version.id, HEAD_NAME), limit_bytes=MOST_BYTES)


def chosen_points(points: list[str]) -> list[str]:
    """One point of each name, in the middle of those that have it; in a soak, all."""
    if IS_SOAK:
        return points
    by_name: dict[str, list[str]] = {}
    for point in points:
        by_name.setdefault(name_of(point), []).append(point)
    return [same[len(same) // 2] for same in by_name.values()]


def test_a_training_survives_the_death_of_its_process_at_any_commit_point(workshop: Workshop) -> None:
    """It is taken up again and completes, with the same weights; no artefact is half written."""
    house = workshop.house
    peace = next(v for v in _versions(workshop) if v.name == "peace")
    weights = check_trained(house, peace)
    points = chosen_points([point for point in workshop.deaths.passed() if not is_timed(point)])
    assert len({name_of(point) for point in points}) > 15

    for number, point in enumerate(points):
        workshop.deaths.order(point)
        version = workshop.ended(workshop.train(f"v{number}"))

        assert workshop.deaths.is_done(), point
        assert (version.status, point) == ("TRAINING_COMPLETED", point)
        assert check_trained(house, version) == weights
    check_whole(house)


def test_a_training_survives_the_death_of_its_process_at_any_moment(workshop: Workshop) -> None:
    """Killed from outside, at random: it completes, or fails with a message."""
    chance = random.Random(os.environ.get("DECONFUSE_SEED", "7"))
    began = time.monotonic()
    workshop.ended(workshop.train("measured"))
    seconds = time.monotonic() - began
    for number in range(MOMENTS):
        version = workshop.train(f"v{number}")
        until(workshop.deaths.processes, what="the process")
        time.sleep(chance.uniform(0, seconds))
        workshop.deaths.kill_all()
        version = workshop.ended(version)

        assert version.status == "TRAINING_COMPLETED", version.message
        check_trained(workshop.house, version)
    check_whole(workshop.house)


def test_a_training_waits_for_room_on_the_disk(workshop: Workshop) -> None:
    """A disk that is full for a while: the training says so, begins again, and completes."""
    with workshop.deaths.full_disk():
        version = workshop.train("full")
        until(lambda: "Waiting to begin" in view_of(workshop.house, version).message, what="the message")
        assert workshop.now(version).status == "TRAINING_IN_PROGRESS"
    version = workshop.ended(version)

    assert version.status == "TRAINING_COMPLETED"
    check_trained(workshop.house, version)
    check_whole(workshop.house)


def _versions(workshop: Workshop) -> tuple[Version, ...]:
    with workshop.house.database.read() as rows:
        return registry.list_versions(rows, workshop.project.id, limit=1000).items

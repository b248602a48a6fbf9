"""The registry under any order of operations: a plain dictionary beside it says what it must remember.

Three walks: projects with their datasets and versions, the lines of two datasets, and jobs with their workers. Each
tries legal and illegal things alike; whatever is refused must change nothing, whatever is done must be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from deconfuse.errors import AlreadyExists, DeconfuseError, InUse, Invalid, LimitExceeded, NotFound, Stale
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from deconfuse.store.registry import DATASET_MOVES, JOB_MOVES, PROJECT_MOVES, VERSION_MOVES, EntryRow, Stats
from deconfuse.store.schema import METADATA

NAMES = ("a", "b", "c")
OUTPUT = ("bucket", "prefix")
MAX_PROJECTS, MAX_VERSIONS, MAX_RUNNING = 2, 2, 1


@dataclass
class Thing:
    """What the dictionary remembers of a dataset or a version."""

    name: str
    status: str


@dataclass
class Home:
    """What it remembers of a project."""

    name: str
    status: str = "CREATED"
    datasets: dict[int, Thing] = field(default_factory=dict)
    versions: dict[int, Thing] = field(default_factory=dict)


class Walk(RuleBasedStateMachine):
    """What the three walks share: an empty database, and how an act is tried."""

    database: Database

    def __init__(self) -> None:
        """Takes the class's database and empties it."""
        super().__init__()
        with self.database.write() as rows:
            for table in reversed(METADATA.sorted_tables):
                rows.execute(text(f"DELETE FROM {table.name}"))
        self.now = 1000

    def attempt(self, act: Any, *arguments: Any, **named: Any) -> Any:
        """What `act` gives, or the class of what it raises; a transaction a call."""
        self.now += 1
        try:
            with self.database.write() as rows:
                return act(rows, *arguments, **named)
        except (DeconfuseError, ValueError) as error:
            return type(error)


def expected_move(moves: Any, thing: Thing | None, was: str, becomes: str) -> type[Exception] | None:
    """What moving must raise, or None where it must happen."""
    if becomes not in moves[was]:
        return ValueError
    return None if thing is not None and thing.status == was else Stale


class ThingsWalk(Walk):
    """Projects, datasets and versions."""

    def __init__(self) -> None:
        """Begins with nothing."""
        super().__init__()
        self.homes: dict[int, Home] = {}

    @initialize()
    def begin(self) -> None:
        """One project is there, so that short walks have something to do."""
        self.add_project("a")

    def some_home(self, data: st.DataObject) -> int:
        """The number of a project, seldom of none."""
        return data.draw(st.sampled_from([*self.homes, *self.homes, 0]))

    def some_thing(self, data: st.DataObject, nouns: str) -> tuple[int, Thing | None]:
        """A dataset or version with its number, seldom none."""
        things = [pair for home in self.homes.values() for pair in getattr(home, nouns).items()]
        return data.draw(st.sampled_from([*things, *things, (0, None)]))

    @rule(name=st.sampled_from(NAMES))
    def add_project(self, name: str) -> None:
        """A name is taken once; the limit holds."""
        result = self.attempt(registry.add_project, name, now_ms=self.now, limit=MAX_PROJECTS)
        if any(home.name == name for home in self.homes.values()):
            assert result is InUse
        elif len(self.homes) >= MAX_PROJECTS:
            assert result is LimitExceeded
        else:
            assert result.id not in self.homes
            self.homes[result.id] = Home(name)

    @rule(data=st.data())
    def close_project(self, data: st.DataObject) -> None:
        """Only an empty project that is CREATED."""
        number = self.some_home(data)
        home = self.homes.get(number)
        result = self.attempt(registry.close_project, number)
        if home is None:
            assert result is NotFound
        elif home.status == "DELETING" or home.datasets or home.versions:
            assert result is InUse
        else:
            assert result is None
            home.status = "DELETING"

    @rule(data=st.data())
    def remove_project(self, data: st.DataObject) -> None:
        """Only one that is DELETING."""
        number = self.some_home(data)
        is_ready = number in self.homes and self.homes[number].status == "DELETING"
        assert self.attempt(registry.remove_project, number) is (None if is_ready else Stale)
        if is_ready:
            del self.homes[number]

    @rule(data=st.data(), kind=st.sampled_from(["train", "test"]), status=st.sampled_from(["IN_PROGRESS", "COMPLETE"]))
    def add_dataset(self, data: st.DataObject, kind: Any, status: str) -> None:
        """One of each kind in a project that is CREATED."""
        number = self.some_home(data)
        home = self.homes.get(number)
        start = f"CREATE_{status}"
        result = self.attempt(registry.add_dataset, number, kind, now_ms=self.now, status=start)
        if home is None:
            assert result is NotFound
        elif home.status == "DELETING":
            assert result is InUse
        elif any(thing.name == kind for thing in home.datasets.values()):
            assert result is AlreadyExists
        else:
            home.datasets[result.id] = Thing(kind, start)

    @rule(data=st.data(), name=st.sampled_from(NAMES), is_copy=st.booleans())
    def add_version(self, data: st.DataObject, name: str, is_copy: bool) -> None:
        """A name once in a project that is CREATED; the limit holds."""
        number = self.some_home(data)
        home = self.homes.get(number)
        start: Any = "COPYING_IN_PROGRESS" if is_copy else "TRAINING_IN_PROGRESS"
        limits = registry.VersionLimits(in_project=MAX_VERSIONS)
        given = {"now_ms": self.now, "output": OUTPUT, "status": start, "limits": limits}
        result = self.attempt(registry.add_version, number, name, **given)
        if home is None:
            assert result is NotFound
        elif home.status == "DELETING" or any(thing.name == name for thing in home.versions.values()):
            assert result is InUse
        elif len(home.versions) >= MAX_VERSIONS:
            assert result is LimitExceeded
        else:
            home.versions[result.id] = Thing(name, start)

    @rule(data=st.data(), is_aimed=st.booleans())
    def move_dataset(self, data: st.DataObject, is_aimed: bool) -> None:
        """From the status it has to a legal one, or from anything to anything."""
        number, thing = self.some_thing(data, "datasets")
        was, becomes = draw_move(data, DATASET_MOVES, thing if is_aimed else None)
        result = self.attempt(registry.move_dataset, number, was=was, becomes=becomes, now_ms=self.now)
        assert result is expected_move(DATASET_MOVES, thing, was, becomes)
        if result is None and thing:
            thing.status = becomes

    @rule(data=st.data(), is_aimed=st.booleans())
    def move_version(self, data: st.DataObject, is_aimed: bool) -> None:
        """From the status it has to a legal one, or from anything to anything."""
        number, thing = self.some_thing(data, "versions")
        was, becomes = draw_move(data, VERSION_MOVES, thing if is_aimed else None)
        result = self.attempt(registry.move_version, number, was=was, becomes=becomes)
        assert result is expected_move(VERSION_MOVES, thing, was, becomes)
        if result is None and thing:
            thing.status = becomes

    @rule(data=st.data())
    def start_version(self, data: st.DataObject) -> None:
        """From a status at rest, while another one may run."""
        number, thing = self.some_thing(data, "versions")
        hosted = sum(each.status in registry.HOSTED for home in self.homes.values() for each in home.versions.values())
        result = self.attempt(registry.start_version, number, min_units=1, max_units=None, limit=MAX_RUNNING)
        if thing is None:
            assert result is NotFound
        elif thing.status not in registry.STARTABLE:
            assert result is InUse
        elif hosted >= MAX_RUNNING:
            assert result is LimitExceeded
        else:
            assert result is None
            thing.status = "STARTING"

    @rule(data=st.data(), side=st.sampled_from(["TRAINING", "COPYING"]), how=st.sampled_from(["COMPLETED", "FAILED"]))
    def end_version(self, data: st.DataObject, side: str, how: str) -> None:
        """Only what is in progress ends, in its own word."""
        number, thing = self.some_thing(data, "versions")
        becomes: Any = f"{side}_{how}"
        result = self.attempt(registry.end_version, number, becomes=becomes, now_ms=self.now, message="over")
        is_ready = thing is not None and thing.status == f"{side}_IN_PROGRESS"
        assert result is (None if is_ready else Stale)
        if is_ready and thing:
            thing.status = becomes

    @rule(data=st.data(), noun=st.sampled_from(["dataset", "version"]))
    def remove_thing(self, data: st.DataObject, noun: str) -> None:
        """Only what is being deleted."""
        number, thing = self.some_thing(data, f"{noun}s")
        is_ready = thing is not None and thing.status in ("DELETING", "DELETE_IN_PROGRESS")
        remove = registry.remove_dataset if noun == "dataset" else registry.remove_version
        assert self.attempt(remove, number) is (None if is_ready else Stale)
        for home in self.homes.values() if is_ready else ():
            getattr(home, f"{noun}s").pop(number, None)

    @invariant()
    def remembers_everything(self) -> None:
        """Lists of any page size show what the dictionary holds, in order; every status is one of its table."""
        with self.database.read() as rows:
            projects = gather(lambda **page: registry.list_projects(rows, **page, limit=1))
            assert [(p.id, p.name, p.status) for p in projects] == [
                (i, h.name, h.status) for i, h in self.homes.items()
            ]
            datasets = registry.list_datasets(rows, list(self.homes))
            for number, home in self.homes.items():
                seen = {d.id: Thing(d.kind, d.status) for d in datasets[number]}
                assert (seen, list(seen)) == (home.datasets, list(home.datasets))
                versions = gather(lambda n=number, **page: registry.list_versions(rows, n, **page, limit=1))
                assert {v.id: Thing(v.name, v.status) for v in reversed(versions)} == home.versions
                assert home.status in PROJECT_MOVES
                assert {thing.status for thing in home.datasets.values()} <= DATASET_MOVES.keys()
                assert {thing.status for thing in home.versions.values()} <= VERSION_MOVES.keys()


def draw_move(data: st.DataObject, moves: Any, thing: Thing | None) -> tuple[Any, Any]:
    """A legal move of `thing` if it has one, otherwise two statuses at random."""
    if thing is not None and moves[thing.status]:
        return thing.status, data.draw(st.sampled_from(sorted(moves[thing.status])))
    return data.draw(st.sampled_from(sorted(moves))), data.draw(st.sampled_from(sorted(moves)))


def gather(ask: Any) -> list[Any]:
    """Every item of a list, page by page."""
    page = ask()
    items = list(page.items)
    while page.after is not None:
        page = ask(after=page.after)
        items += page.items
    return items


LABELS = ("cat", "Cat", "dog", "\u00e9")
REFS = tuple(f"s3://bucket/{folder}/{number}.jpg" for folder in ("x", "X") for number in range(3))
entry_rows = st.builds(
    EntryRow,
    source_ref=st.sampled_from(REFS),
    line=st.binary(max_size=3),
    labels=st.lists(st.sampled_from(LABELS), unique=True, max_size=3).map(tuple),
    boxed=st.sets(st.sampled_from(LABELS)).map(frozenset),
    has_errors=st.booleans(),
)


class LinesWalk(Walk):
    """The lines of two datasets, TRAIN and TEST of one project."""

    def __init__(self) -> None:
        """Begins with two empty datasets."""
        super().__init__()
        with self.database.write() as rows:
            project = registry.add_project(rows, "a", now_ms=1)
            kinds: tuple[Any, Any] = ("train", "test")
            self.ids = [registry.add_dataset(rows, project.id, kind, now_ms=1).id for kind in kinds]
        # By source-ref, each dataset in its order.
        self.held: list[dict[str, EntryRow]] = [{}, {}]

    @rule(side=st.integers(0, 1), entries=st.lists(entry_rows, max_size=5))
    def put(self, side: int, entries: list[EntryRow]) -> None:
        """A second line for an image takes the place of the first."""
        assert self.attempt(registry.put_entries, self.ids[side], entries) == len(entries)
        self.held[side] |= {entry.source_ref: entry for entry in entries}

    @rule(side=st.integers(0, 1), entries=st.lists(entry_rows, max_size=3))
    def fail(self, side: int, entries: list[EntryRow]) -> None:
        """An update that breaks changes nothing."""
        bad = EntryRow("s3://bucket/\0", b"")
        assert self.attempt(registry.put_entries, self.ids[side], [*entries, bad]) is Invalid

    @rule(side=st.integers(0, 1))
    def clear(self, side: int) -> None:
        """Nothing is left."""
        registry.clear_entries(self.database, self.ids[side])
        self.held[side] = {}

    @precondition(lambda self: not self.held[1])
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        """Some lines go to the empty side and keep their order."""
        with self.database.read() as rows:
            numbers = [number for number, _, _ in registry.list_labels_of_entries(rows, self.ids[0]).items]
        chosen = set(data.draw(st.lists(st.sampled_from(numbers), unique=True))) if numbers else set()
        moved = self.attempt(registry.move_entries, sorted(chosen), source=self.ids[0], target=self.ids[1])
        assert moved == len(chosen)
        sides = list(zip(numbers, self.held[0].items(), strict=True))
        self.held[1] = dict(item for number, item in sides if number in chosen)
        self.held[0] = dict(item for number, item in sides if number not in chosen)

    @precondition(lambda self: not self.held[1])
    @rule(limit=st.integers(1, 4))
    def copy(self, limit: int) -> None:
        """The empty side becomes the same, in whatever steps."""
        after = None
        for _ in range(10):
            given = {"source": self.ids[0], "target": self.ids[1], "after": after, "limit": limit}
            after = self.attempt(registry.copy_entries, **given)
            if after is None:
                break
        self.held[1] = dict(self.held[0])

    @rule(
        side=st.integers(0, 1),
        which=st.builds(
            registry.EntryFilter,
            labels=st.lists(st.sampled_from(LABELS), max_size=2, unique=True).map(tuple),
            is_labeled=st.none() | st.booleans(),
            has_errors=st.booleans(),
            contains=st.sampled_from(["", "x/", "X", "1.jpg", "_", "%"]),
        ),
        limit=st.integers(1, 3),
    )
    def find(self, side: int, which: registry.EntryFilter, limit: int) -> None:
        """Filters find exactly what holds, page by page."""
        with self.database.read() as rows:
            number = self.ids[side]
            found = gather(lambda **page: registry.list_lines(rows, number, which=which, **page, limit=limit))
        assert found == [entry.line for entry in self.held[side].values() if fits(entry, which)]

    @invariant()
    def counts_are_right(self) -> None:
        """Lines, labels and counts are those of the dictionary."""
        for number, held in zip(self.ids, self.held, strict=True):
            entries = list(held.values())
            labels = sorted({label for entry in entries for label in entry.labels})
            with self.database.read() as rows:
                assert list(registry.each_line(rows, number)) == [entry.line for entry in entries]
                counts = gather(lambda n=number, **page: registry.list_labels(rows, n, **page, limit=2))
                stats = registry.count_entries(rows, number)
                shown = [found for _, _, found in registry.list_labels_of_entries(rows, number).items]
            assert [(c.label, c.n_entries, c.n_boxed) for c in counts] == [
                (label, n_with(entries, label), n_with([e for e in entries if label in e.boxed], label))
                for label in labels
            ]
            n_errors = sum(entry.has_errors for entry in entries)
            assert stats == Stats(len(entries), sum(bool(entry.labels) for entry in entries), len(labels), n_errors)
            assert shown == [tuple(sorted(entry.labels)) for entry in entries]


def n_with(entries: list[EntryRow], label: str) -> int:
    """How many of these lines have the label."""
    return sum(label in entry.labels for entry in entries)


def fits(entry: EntryRow, which: registry.EntryFilter) -> bool:
    """Whether everything that the filter demands holds."""
    return (
        (not which.labels or bool(set(which.labels) & set(entry.labels)))
        and which.is_labeled in (None, bool(entry.labels))
        and (entry.has_errors or not which.has_errors)
        and which.contains in entry.source_ref
    )


class JobsWalk(Walk):
    """Jobs and their workers."""

    def __init__(self) -> None:
        """Begins without jobs."""
        super().__init__()
        # Number: kind, status, worker, attempts, time of its last word.
        self.jobs: dict[int, registry.Job] = {}
        self.n_workers = 0

    def some_job(self, data: st.DataObject) -> int:
        """The number of a job, seldom of none."""
        return data.draw(st.sampled_from([*self.jobs, *self.jobs, 0]))

    def read(self, number: int) -> registry.Job:
        """The job as it is now."""
        with self.database.read() as rows:
            return registry.get_job(rows, number)

    @rule(kind=st.sampled_from(["train", "copy"]), subject_id=st.integers(1, 2))
    def add(self, kind: str, subject_id: int) -> None:
        """It waits."""
        job = self.attempt(registry.add_job, kind, noun="version", subject_id=subject_id, now_ms=self.now)
        assert (job.status, job.n_attempts) == ("WAITING", 0)
        self.jobs[job.id] = job

    @rule(kinds=st.sets(st.sampled_from(["train", "copy"]), min_size=1))
    def claim(self, kinds: set[str]) -> None:
        """The oldest that waits, and only that one."""
        self.n_workers += 1
        worker = f"w{self.n_workers}"
        job = self.attempt(registry.claim_job, kinds=kinds, worker=worker, now_ms=self.now)
        waiting = [number for number, each in self.jobs.items() if each.status == "WAITING" and each.kind in kinds]
        assert (job.id if job else None) == (waiting[0] if waiting else None)
        if job:
            assert (job.status, job.worker, job.n_attempts) == ("RUNNING", worker, self.jobs[job.id].n_attempts + 1)
            self.jobs[job.id] = job

    @rule(data=st.data(), is_own=st.booleans(), becomes=st.sampled_from([None, "DONE", "FAILED"]))
    def speak(self, data: st.DataObject, is_own: bool, becomes: Any) -> None:
        """Only its own worker, while it runs."""
        number = self.some_job(data)
        known = self.jobs.get(number)
        worker = known.worker if known and known.worker and is_own else "w0"
        given = {"worker": worker, "now_ms": self.now}
        if becomes:
            result = self.attempt(registry.end_job, number, becomes=becomes, **given)
        else:
            result = self.attempt(registry.beat, number, **given)
        is_heard = known is not None and known.status == "RUNNING" and known.worker == worker
        assert result is (None if is_heard else Stale)
        if is_heard:
            self.jobs[number] = self.read(number)
            assert self.jobs[number].status == (becomes or "RUNNING")

    @rule(data=st.data(), becomes=st.sampled_from(["WAITING", "FAILED"]))
    def give_back(self, data: st.DataObject, becomes: Any) -> None:
        """Only one that runs, and is as it was read."""
        number = self.some_job(data)
        known = self.jobs.get(number)
        if known is None:
            return
        result = self.attempt(registry.give_back_job, known, becomes=becomes, now_ms=self.now)
        assert result is (None if known.status == "RUNNING" else Stale)
        if known.status == "RUNNING":
            self.jobs[number] = self.read(number)
            assert (self.jobs[number].status, self.jobs[number].worker) == (becomes, None)

    @rule(subject_id=st.integers(1, 3))
    def cancel(self, subject_id: int) -> None:
        """Every open job about one thing."""
        open_jobs = [
            number
            for number, job in self.jobs.items()
            if job.subject_id == subject_id and job.status in ("WAITING", "RUNNING")
        ]
        assert self.attempt(registry.cancel_jobs, "version", subject_id, now_ms=self.now) == len(open_jobs)
        for number in open_jobs:
            self.jobs[number] = self.read(number)
            assert self.jobs[number].status == "CANCELLED"

    @rule()
    def forget(self) -> None:
        """Ended ones only."""
        ended = [number for number, job in self.jobs.items() if job.ended_ms is not None]
        assert self.attempt(registry.remove_ended_jobs, before_ms=self.now + 2) == len(ended)
        for number in ended:
            del self.jobs[number]

    @invariant()
    def remembers_everything(self) -> None:
        """Every job is as it was last seen; who runs has a worker, who does not has none."""
        with self.database.read() as rows:
            assert list(registry.list_jobs(rows, statuses=list(JOB_MOVES))) == list(self.jobs.values())
        for job in self.jobs.values():
            assert (job.worker is not None) == (job.status == "RUNNING")
            assert (job.ended_ms is not None) == (not JOB_MOVES[job.status])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("walk", [ThingsWalk, LinesWalk, JobsWalk])
def test_the_registry_remembers_what_was_done(walk: type[Walk], url: str, request: pytest.FixtureRequest) -> None:
    """Any walk on either database ends where the dictionary does."""
    database = open_database("sqlite://" if url == "sqlite" else request.getfixturevalue("postgres_url"))
    here = type(walk.__name__, (walk,), {"database": database})

    n_walks = min(settings().max_examples // 2, 100)
    run_state_machine_as_test(here, settings=settings(settings(), max_examples=n_walks, stateful_step_count=30))
    database.close()


def test_every_legal_move_leads_to_a_known_status() -> None:
    """The tables are closed, every status can be reached from where things begin, and only ends have no way out."""
    starts = {
        "project": ("CREATED",),
        "dataset": ("CREATE_IN_PROGRESS", "CREATE_COMPLETE"),
        "version": ("TRAINING_IN_PROGRESS", "COPYING_IN_PROGRESS"),
        "job": ("WAITING",),
    }
    tables = {"project": PROJECT_MOVES, "dataset": DATASET_MOVES, "version": VERSION_MOVES, "job": JOB_MOVES}
    ends = {"DELETING", "DELETE_IN_PROGRESS", "DONE", "FAILED", "CANCELLED"}
    for noun, moves in tables.items():
        reached, waiting = set(starts[noun]), list(starts[noun])
        while waiting:
            new = moves[waiting.pop()] - reached
            reached |= new
            waiting += new

        assert reached == moves.keys()
        assert {status for status, after in moves.items() if not after} <= ends

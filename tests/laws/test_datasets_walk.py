"""Datasets under any order of manifests, updates, copies and distributions: a dictionary by source-ref is beside them.

The dictionary is plain Python that was told how AWS's pages describe a dataset; whatever can be listed must be in it,
in its order, with its labels and counts, and whatever is refused must leave it as it was.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deconfuse.formats.manifest import ManifestLimits
from deconfuse.service import datasets
from deconfuse.store.registry import LabelCount, Stats
from houses import make_house
from manifests import a_project, box_line, image_line, keys, perform_jobs, put_manifest, told

MAX_LINES, MAX_LABELS = 12, 4
LABELS = ("cat", "dog", "\u00e9t\u00e9", "a b", "C")
BUCKETS = ("photos", "elsewhere")
JUNK = (b"", b"{", b"[]", b"{}", b'{"source-ref":"x"}', b'{"source-ref":7}', b"\xff", b'{"a":NaN}', b"null")


@dataclass(frozen=True)
class Shot:
    """A line for an image: with labels, with boxes, or with an attribute of which nobody knows what it is."""

    key: str
    labels: tuple[str, ...] = ()
    boxed: tuple[str, ...] = ()
    is_odd: bool = False
    bucket: str = BUCKETS[0]

    def line(self) -> bytes:
        """As it stands in a manifest."""
        line = json.loads(image_line(self.key, *self.labels, bucket=self.bucket))
        if self.boxed:
            line |= json.loads(box_line(self.key, *self.boxed, bucket=self.bucket))
        if self.is_odd:
            line |= {"odd": 1, "odd-metadata": {"type": "groundtruth/text"}}
        return json.dumps(line, ensure_ascii=len(self.key) % 2 == 0).encode()

    @property
    def all_labels(self) -> set[str]:
        """Of the image and of its boxes."""
        return {*self.labels, *self.boxed}


shots = st.builds(
    Shot,
    key=st.sampled_from([f"{number}.jpg" for number in range(9)] + ["\u00e9/10.jpg", "a b/10.jpg"]),
    labels=st.lists(st.sampled_from(LABELS[:4]), max_size=2, unique=True).map(tuple),
    boxed=st.lists(st.sampled_from([*LABELS[:4] * 8, LABELS[4]]), max_size=2, unique=True).map(tuple),
    is_odd=st.booleans(),
    bucket=st.integers(0, 60).map(lambda number: BUCKETS[number == 60]),
)


@st.composite
def some_files(draw: st.DrawFn) -> list[Shot | bytes]:
    """The lines of a manifest: mostly an image each, sometimes an image again, or junk."""
    lines: list[Shot | bytes] = list(
        draw(st.lists(shots, min_size=draw(st.sampled_from([0, 6])), max_size=10, unique_by=lambda shot: shot.key))
    )
    for odd in draw(st.lists(st.one_of(shots, st.sampled_from(JUNK)), max_size=draw(st.sampled_from([0, 0, 1, 2])))):
        lines.insert(draw(st.integers(0, len(lines))), odd)
    return lines


files = some_files()

Model = dict[str, Shot]
"""A dataset: the line of each image, in the order in which images came."""


def read(lines: Iterable[Shot | bytes]) -> Model | None:
    """The lines of a manifest that are kept; None where the manifest is refused."""
    given = list(lines)
    while given and given[-1] == b"":
        given.pop()
    kept: Model = {}
    for line in given:
        if isinstance(line, Shot):
            kept.setdefault(f"s3://{line.bucket}/{line.key}", line)
    if (len(given) - len(kept)) * 5 > len(given) or not given:
        return None
    return kept if is_possible(kept) else None


def is_possible(model: Model) -> bool:
    """Whether a dataset can be so."""
    n_labels = len({label for shot in model.values() for label in shot.all_labels})
    return len(model) <= MAX_LINES and n_labels <= MAX_LABELS and len({shot.bucket for shot in model.values()}) <= 1


class Datasets(RuleBasedStateMachine):
    """Two datasets of one project, and the dictionaries beside them."""

    def __init__(self) -> None:
        """Begins with two empty datasets."""
        super().__init__()
        self.leaving = ExitStack()
        folder = Path(self.leaving.enter_context(tempfile.TemporaryDirectory()))
        house = make_house(folder)
        self.leaving.callback(house.database.close)
        limits = ManifestLimits(max_lines=MAX_LINES, max_labels=MAX_LABELS)
        self.house = replace(house, limits=replace(house.limits, manifest=limits))
        self.arns: dict[str, str] = {}
        self.models: dict[str, Model] = {}
        self.statuses: dict[str, str] = {}

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.leaving.close()

    @initialize()
    def begin(self) -> None:
        """A project with two empty datasets."""
        self.project = a_project(self.house)
        for kind in ("train", "test"):
            self.create(kind, None, None)

    def create(self, kind: str, lines: list[Shot | bytes] | None, copy_of: str | None) -> None:
        """Create a dataset, and let it be done."""
        manifest = None if lines is None else put_manifest(self.house, map(bytes_of, lines))
        dataset = datasets.create_dataset(
            self.house,
            self.project,
            kind="train" if kind == "train" else "test",
            manifest=manifest,
            copy_of=None if copy_of is None else self.arns[copy_of],
        )
        perform_jobs(self.house)
        self.arns[kind] = str(datasets.dataset_arn(self.house, dataset))
        made = {} if lines is None else read(lines)
        if copy_of is not None:
            made = dict(self.models[copy_of])
        self.models[kind] = made or {}
        self.statuses[kind] = "CREATE_FAILED" if made is None else "CREATE_COMPLETE"

    def remove(self, kind: str) -> None:
        """Delete a dataset, and let it be done."""
        datasets.delete_dataset(self.house, self.arns[kind])
        perform_jobs(self.house)

    @rule(kind=st.sampled_from(["train", "test"]), lines=files)
    def make_anew(self, kind: str, lines: list[Shot | bytes]) -> None:
        """A dataset of a manifest in the place of another one."""
        self.remove(kind)
        self.create(kind, lines, None)

    @rule(kind=st.sampled_from(["train", "test"]))
    def empty(self, kind: str) -> None:
        """An empty dataset in the place of another one."""
        self.remove(kind)
        self.create(kind, None, None)

    @rule(kind=st.sampled_from(["train", "test"]))
    def copy(self, kind: str) -> None:
        """A copy of the other dataset in the place of this one."""
        other = "test" if kind == "train" else "train"
        if self.statuses[other] != "CREATE_FAILED":
            self.remove(kind)
            self.create(kind, None, other)

    @rule(kind=st.sampled_from(["train", "test"]), lines=files)
    def update(self, kind: str, lines: list[Shot | bytes]) -> None:
        """Lines put into a dataset: all that are good, or none."""
        if self.statuses[kind] == "CREATE_FAILED":
            return
        datasets.update_entries(self.house, self.arns[kind], b"\n".join(map(bytes_of, lines)))
        changes = read(lines)
        after = None if changes is None else self.models[kind] | changes
        is_done = after is not None and is_possible(after)
        self.statuses[kind] = "UPDATE_COMPLETE" if is_done else "UPDATE_FAILED"
        if is_done and after is not None:
            self.models[kind] = after

    @rule(kind=st.sampled_from(["train", "test"]))
    def give_back(self, kind: str) -> None:
        """Every line listed and given back as it is changes nothing."""
        if self.statuses[kind] != "CREATE_FAILED" and self.models[kind]:
            lines, _ = datasets.list_entries(self.house, self.arns[kind])
            datasets.update_entries(self.house, self.arns[kind], "\n".join(lines).encode())
            self.statuses[kind] = "UPDATE_COMPLETE"

    @rule()
    def distribute(self) -> None:
        """Some lines go to the empty test dataset; which, is shown elsewhere."""
        if "CREATE_FAILED" in self.statuses.values() or self.models["test"]:
            return
        datasets.distribute(self.house, (self.arns["test"], self.arns["train"]))
        perform_jobs(self.house)
        moved = {line["source-ref"] for line in told(self.house, self.arns["test"])}
        train = self.models["train"]
        assert moved <= train.keys()
        self.models["test"] = {uri: shot for uri, shot in train.items() if uri in moved}
        self.models["train"] = {uri: shot for uri, shot in train.items() if uri not in moved}
        repeated = Counter(label for shot in train.values() for label in shot.all_labels)
        assert moved or not [
            shot for shot in train.values() if shot.labels and min(map(repeated.get, shot.all_labels)) > 1
        ]
        self.statuses = dict.fromkeys(self.statuses, "UPDATE_COMPLETE" if moved else "UPDATE_FAILED")

    @invariant()
    def is_as_remembered(self) -> None:
        """Status, counts, lines, notes, labels and filters are those of the dictionary."""
        for kind, model in self.models.items():
            arn = self.arns[kind]
            dataset = datasets.describe_dataset(self.house, arn)
            shown = list(model.values())
            assert (dataset.status, dataset.code) == (
                self.statuses[kind],
                "CLIENT_ERROR" if self.statuses[kind].endswith("FAILED") else "SUCCESS",
            ), dataset
            labels = sorted({label for shot in shown for label in shot.all_labels})
            n_labeled, n_odd = sum(bool(shot.all_labels) for shot in shown), sum(shot.is_odd for shot in shown)
            assert dataset.stats == Stats(len(shown), n_labeled, len(labels), n_odd)
            if self.statuses[kind] == "CREATE_FAILED":
                continue
            self.check_lists(arn, shown, labels)

    def check_lists(self, arn: str, shown: list[Shot], labels: list[str]) -> None:
        """Lines and labels, all of them and through each filter."""
        found = told(self.house, arn, limit=5)
        assert keys(found) == [shot.key for shot in shown]
        for line, shot in zip(found, shown, strict=True):
            assert line["cl-metadata"] == {"is_labeled": bool(shot.all_labels)}
            assert ("cl-errors" in json.dumps(line)) == shot.is_odd
            kept = {
                key: value for key, value in line.items() if key not in ("cl-metadata", "cl-errors", "odd-metadata")
            }
            given = json.loads(shot.line())
            given.pop("odd-metadata", None)
            assert kept == given
        counts = tuple(
            LabelCount(
                label, sum(label in shot.all_labels for shot in shown), sum(label in shot.boxed for shot in shown)
            )
            for label in labels
        )
        assert datasets.list_labels(self.house, arn) == (counts, None)
        for wanted in ({"cat"}, {"dog", "C"}):
            asked = told(self.house, arn, labels=sorted(wanted))
            assert keys(asked) == [shot.key for shot in shown if wanted & shot.all_labels]
        for flag in (True, False):
            assert keys(told(self.house, arn, labeled=flag)) == [s.key for s in shown if bool(s.all_labels) is flag]
        assert keys(told(self.house, arn, has_errors=True)) == [shot.key for shot in shown if shot.is_odd]
        assert keys(told(self.house, arn, contains="/10")) == [shot.key for shot in shown if "/10" in shot.key]


def bytes_of(line: Shot | bytes) -> bytes:
    """The line of a manifest."""
    return line.line() if isinstance(line, Shot) else line


TestDatasets = pytest.mark.slow(Datasets.TestCase)
TestDatasets.settings = settings(max_examples=max(10, settings().max_examples // 3), stateful_step_count=10)

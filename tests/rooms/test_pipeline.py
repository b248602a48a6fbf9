"""The training story as its parts see it: what goes into the sink, in which order, and what stops it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deconfuse.engine.artefacts import Identity
from deconfuse.engine.cache import EmbeddingCache
from deconfuse.engine.imports import Intake, open_images
from deconfuse.engine.pipeline import refuse_many_labels, train
from deconfuse.engine.sinks import DirectorySink
from deconfuse.errors import LimitExceeded, Unavailable, Untrainable
from deconfuse.formats.manifest import Entry
from worlds import label_folder, table, tiny_backbone, write

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
FRUIT = {"apple": 6, "leaf": 6}
VALIDATION = ["ManifestSummary", "TestingManifestWithValidation", "TrainingManifestWithValidation"]


class MemorySink:
    """A sink that remembers what it was given, and has no room from the artefact `full` on."""

    def __init__(self, full: str = "") -> None:
        self.files: dict[str, bytes] = {}
        self.is_finished = False
        self._full = full

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Remember `data`."""
        if name == self._full:
            raise Unavailable(f"{name}: No space left on device")
        self.files[name] = data if isinstance(data, bytes) else b"".join(data)

    def finish(self) -> None:
        """Remember that everything was there."""
        self.is_finished = True


class FullDirectory(DirectorySink):
    """A directory on a disk that is full when the page is written."""

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write all but the page."""
        if name == "report.html":
            raise Unavailable(f"{name}: No space left on device")
        super().put(name, data)


def trained(intake: Intake, sink: Any, cache: Path, **options: Any) -> Any:
    """`sink`, after a training with the small backbone."""
    backbone = tiny_backbone()
    identity = Identity("fruit", "1", NOW, "us-east-1", "0" * 12)
    kept = EmbeddingCache(cache, backbone.card)
    train(intake, sink, identity=identity, backbone=backbone, cache=kept, threads=1, clock=lambda: NOW, **options)
    return sink


def test_the_card_comes_last(tmp_path: Path) -> None:
    """Without a card there is no run, so nothing may be missing once it is there."""
    sink = trained(open_images(label_folder(tmp_path / "fruit", FRUIT)), MemorySink(), tmp_path / "cache")

    assert list(sink.files)[-1] == "card.json"
    assert {name.partition("-")[0] for name in list(sink.files)[:3]} == set(VALIDATION)
    assert len(sink.files) == 10
    assert sink.is_finished


def test_every_step_is_reported_to_its_end(tmp_path: Path) -> None:
    """Each step ends with as much done as there is; images come before fitting, and that before evaluating."""
    told: list[tuple[str, int, int]] = []
    intake = open_images(label_folder(tmp_path / "fruit", FRUIT))
    trained(intake, MemorySink(), tmp_path / "cache", progress=lambda *step: told.append(step))
    last = {step: (done, total) for step, done, total in told}

    assert list(dict.fromkeys(step for step, _, _ in told)) == ["reading images", "fitting", "evaluating"]
    assert last["reading images"] == (12, 12)
    assert all(done == total for done, total in last.values())


def test_a_sink_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    """A disk that is full when the page is written: no run, no remains, and the folder made for it is gone."""
    intake = open_images(label_folder(tmp_path / "fruit", FRUIT))
    with pytest.raises(Unavailable, match="No space"), FullDirectory(tmp_path / "runs" / "fruit" / "1") as sink:
        trained(intake, sink, tmp_path / "cache")

    assert not (tmp_path / "runs").exists()


def test_untrainable_data_leaves_its_validation_files(tmp_path: Path) -> None:
    """Whoever gave the sink can still read what was wrong, line by line; nothing else was made."""
    write(tmp_path / "fruit" / "apple" / "bad.png", b"no image")
    intake = open_images(label_folder(tmp_path / "fruit", {"apple": 2}))
    sink = MemorySink()
    with pytest.raises(Untrainable) as stopped:
        trained(intake, sink, tmp_path / "cache")

    assert sorted(sink.files) == [f"{name}-fruit-1.json" for name in VALIDATION]
    assert not sink.is_finished
    assert b"ERROR_INVALID_IMAGE" in b"".join(sink.files.values())
    assert "ERROR_INVALID_IMAGE" in [problem.code for problem in stopped.value.problems]


def test_an_image_of_each_label_trains_where_nobody_needs_tests(tmp_path: Path) -> None:
    """None of them can be spared for the test; whoever hands in the images says whether there must be one."""
    intake = open_images(label_folder(tmp_path / "fruit", {"apple": 1, "leaf": 1}))
    assert trained(intake, MemorySink(), tmp_path / "cache").is_finished

    sink = MemorySink()
    with pytest.raises(Untrainable, match="0 of the 2 training labels") as stopped:
        trained(replace(intake, needs_test=True), sink, tmp_path / "cache")
    assert stopped.value.code == "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"
    assert sorted(sink.files) == [f"{name}-fruit-1.json" for name in VALIDATION]


def test_too_many_labels_stop_before_an_image_is_read(tmp_path: Path) -> None:
    """What no matrix could hold in the end is refused at once, with both numbers."""
    path = table(tmp_path / "many.csv", [(f"{k}.png", f"label {k}") for k in range(2001)], header=["image", "label"])
    sink = MemorySink()
    told: list[Any] = []
    with pytest.raises(LimitExceeded, match=r"2,001 labels.*2,000"):
        trained(open_images(path), sink, tmp_path / "cache", progress=lambda *step: told.append(step))

    assert (sink.files, told) == ({}, [])


def test_as_many_labels_as_the_matrix_holds_are_fine() -> None:
    """The limit itself is allowed, however many images there are; an image with several labels counts each."""
    refuse_many_labels([Entry("a.png", tuple(map(str, range(2000)))), Entry("b.png", ("0", "1"))])
    with pytest.raises(LimitExceeded):
        refuse_many_labels([Entry("a.png", tuple(map(str, range(2000)))), Entry("b.png", ("0", "x"))])

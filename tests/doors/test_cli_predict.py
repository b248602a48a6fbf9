"""`deconfuse predict`, `export` and `cache`, and the same run opened from Python."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import deconfuse as library
from deconfuse.errors import AlreadyExists, BadData, Damaged, Invalid, NotFound
from deconfuse.vision.images import FOLDER_LIMITS, decode
from worlds import label_folder, picture

Deconfuse = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> library.Run:
    """A small run."""
    monkeypatch.chdir(tmp_path)
    return library.train(label_folder(tmp_path / "fruit", {"apple": 8, "leaf": 8, "sun": 8}))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images, one of them damaged, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(picture("apple", 900))
    (folder / "deep" / "b.png").write_bytes(picture("sun", 901))
    (folder / "bad.jpg").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_table_names_image_and_labels(run: library.Run, photos: Path, deconfuse: Deconfuse) -> None:
    """Most probable first; the damaged image is named on stderr, the others are answered."""
    answer = deconfuse("predict", run.path, photos)

    assert answer.code == 0
    assert "a.png" in answer.out
    assert "b.png" in answer.out
    assert "bad.jpg" in answer.err
    assert "ERROR_INVALID_IMAGE" in answer.err
    assert "notes.txt" not in answer.out + answer.err


def test_csv_and_json_say_the_same(run: library.Run, photos: Path, deconfuse: Deconfuse) -> None:
    """Image, label and probability, ranked."""
    rows = list(csv.DictReader(io.StringIO(deconfuse("predict", run.path, photos, "--format", "csv").out)))
    said = json.loads(deconfuse("predict", run.path, photos, "--format", "json").out)

    assert [row["predicted_label"] for row in rows if row["rank"] == "1"] == [
        image["labels"][0]["label"] for image in said
    ]
    assert len(said) == 2
    assert all(len(image["labels"]) == 3 for image in said)


def test_a_threshold_may_leave_nothing(run: library.Run, photos: Path, deconfuse: Deconfuse) -> None:
    """No label is said as such, in the table and in JSON."""
    arguments = ("predict", run.path, photos / "a.png", "--threshold", "1")

    assert "no label" in deconfuse(*arguments).out
    assert json.loads(deconfuse(*arguments, "--format", "json").out)[0]["labels"] == []


def test_an_image_from_stdin(run: library.Run, deconfuse: Deconfuse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hyphen reads one image."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(picture("leaf", 77))))
    answer = deconfuse("predict", run.path, "-", "--format", "json")

    assert json.loads(answer.out)[0]["labels"][0]["label"] == "leaf"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere", "photos"], 3, "nowhere"),
        (["runs/fruit/1", "nowhere.png"], 3, "nowhere.png"),
        (["runs/fruit/1", "photos/bad.jpg"], 5, "bad.jpg"),
        (["runs/fruit/1", "photos", "--threshold", "80"], 2, "--threshold"),
        (["runs/fruit/1"], 2, "IMAGE"),
        (["fruit", "photos"], 3, "card.json"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    run: library.Run, photos: Path, deconfuse: Deconfuse, arguments: list[str], code: int, words: str
) -> None:
    """Each with its exit code and the name of the thing."""
    answer = deconfuse("predict", *arguments)

    assert answer.code == code
    assert words in answer.err


def test_the_exported_graph_predicts_the_same(run: library.Run, photos: Path, deconfuse: Deconfuse) -> None:
    """Pixels by the resize rule named in the file, through the one graph: equal within 1e-4."""
    answer = deconfuse("export", run.path, "--onnx", "model.onnx")
    session = ort.InferenceSession("model.onnx")
    image, _ = decode((photos / "a.png").read_bytes(), FOLDER_LIMITS)
    (probabilities,) = session.run(["probabilities"], {"pixels": run.backbone.pixels(image)[np.newaxis]})

    assert answer.code == 0
    assert session.get_modelmeta().custom_metadata_map["resize"] == run.card["backbone"]["resize"]
    np.testing.assert_allclose(probabilities[0], run.predict(photos / "a.png").column("scores")[0].as_py(), atol=1e-4)


def test_an_export_replaces_nothing(run: library.Run, deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Unless it is told to."""
    (tmp_path / "model.onnx").write_text("mine")

    assert deconfuse("export", run.path, "--onnx", "model.onnx").code == 4
    assert (tmp_path / "model.onnx").read_text() == "mine"
    assert deconfuse("export", run.path, "--onnx", "model.onnx", "--force").code == 0


def test_the_cache_tells_its_size_and_is_emptied(
    deconfuse: Deconfuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training kept is counted, and gone after clear."""
    monkeypatch.setenv("DECONFUSE_CACHE", str(tmp_path / "cache"))
    deconfuse("train", label_folder(tmp_path / "fruit", {"apple": 3, "leaf": 3}), "-q")

    assert "6 images" in deconfuse("cache").out
    assert "removed" in deconfuse("cache", "clear").out
    assert "images" not in deconfuse("cache").out
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_a_run_is_opened_again(run: library.Run) -> None:
    """The opened run says what the trained one said."""
    opened = library.open_run(run.path)

    assert opened.labels == ("apple", "leaf", "sun")
    assert opened.matrix() == run.matrix()
    assert opened.matrix().total == run.card["n_test"]
    assert opened.matrix(split="train").total == run.card["n_train"]
    assert opened.matrix(split="all", rule="thresholds").total == 24
    assert len(opened.thresholds) == 3
    assert opened.findings


def test_a_run_shows_itself_in_a_notebook(run: library.Run) -> None:
    """The interactive page in a frame, without a file; a bare matrix likewise."""
    for page in (run.show(), library.show(run.matrix())):
        assert "<iframe" in page._repr_html_()  # type: ignore[attr-defined]


def test_images_are_answered_as_a_table(run: library.Run, photos: Path) -> None:
    """One row an image; the damaged one has its reason and no scores."""
    rows = run.predict([photos / "a.png", photos / "bad.jpg"]).to_pylist()

    assert rows[0]["error"] is None
    assert rows[0]["probability"] == pytest.approx(max(rows[0]["scores"]))
    assert rows[1]["predicted"] is None
    assert rows[1]["error"]


def test_a_report_is_written_once(run: library.Run, tmp_path: Path) -> None:
    """A page that exists is not replaced silently."""
    run.report(tmp_path / "page.html")

    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(AlreadyExists):
        run.report(tmp_path / "page.html")


def test_what_is_no_run_is_not_opened(run: library.Run, tmp_path: Path) -> None:
    """A folder without a card, and a card that was changed by hand."""
    with pytest.raises(NotFound, match="card"):
        library.open_run(tmp_path)
    (run.path / "head.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(Damaged, match="safetensors"):
        library.open_run(run.path)


def test_what_cannot_be_meant_is_said(run: library.Run) -> None:
    """A split, a rule or an image that is none: the argument is named, and what is possible."""
    for call, word in (
        (lambda: run.matrix(split="validation"), "split: 'validation'"),
        (lambda: run.matrix(rule="best"), "rule: 'best'"),
        (lambda: run.predict(np.zeros((9, 9, 3), np.uint8)), "images: a path, or several, are needed, and not ndarray"),
        (lambda: run.predict(3), "images: .* not int"),
    ):
        with pytest.raises(Invalid, match=word):
            call()


def test_a_model_of_another_backbone_is_not_used(run: library.Run, photos: Path) -> None:
    """Embeddings of another network would give numbers without meaning."""
    card = json.loads((run.path / "card.json").read_text())
    card["backbone"]["key"] = "another"
    (run.path / "card.json").write_text(json.dumps(card))

    with pytest.raises(BadData, match=r"backbone another, .*; train again"):
        library.open_run(run.path).predict(photos / "a.png")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_said(run: library.Run, photos: Path, deconfuse: Deconfuse) -> None:
    """An image is a problem of its own, a folder or a run ends the command; each with the path."""
    (photos / "a.png").chmod(0)
    assert "a.png: the file cannot be read: Permission denied" in deconfuse("predict", run.path, photos).err
    photos.chmod(0)
    assert deconfuse("predict", run.path, photos).code == 6
    run.path.chmod(0)
    assert deconfuse("predict", run.path, photos).code == 6

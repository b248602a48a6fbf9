"""`deconfuse train` as a user meets it: what it leaves, what it says, how it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from deconfuse.tables import check, labels_of, predictions_schema
from worlds import bucket_world, label_folder, picture, split_folder, table

Deconfuse = Callable[..., Any]

FRUIT = {"apple": 8, "leaf": 8, "sea": 8}


def left_in(folder: Path) -> list[str]:
    """Names of everything below `folder`."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def only(run: Path, pattern: str) -> Path:
    """The one file of `run` that matches."""
    (path,) = run.glob(pattern)
    return path


def test_a_training_leaves_the_whole_run(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Bundle, predictions, AWS's six files and the page; nothing else, and nothing temporary."""
    answer = deconfuse("train", label_folder(tmp_path / "fruit", FRUIT))
    tail = "fruit-1.json"

    assert answer.code == 0, answer.err
    assert left_in(tmp_path / "runs") == sorted(
        [
            "fruit",
            "fruit/1",
            *(
                f"fruit/1/{name}"
                for name in (
                    "card.json",
                    "head.safetensors",
                    "predictions.parquet",
                    "report.html",
                    f"EvaluationResultSummary-{tail}",
                    f"ManifestSummary-{tail}",
                    f"TestingGroundTruth-{tail}",
                    f"TestingManifestWithValidation-{tail}",
                    f"TrainingGroundTruth-{tail}",
                    f"TrainingManifestWithValidation-{tail}",
                )
            ),
        ]
    )


def test_the_output_says_what_happened(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Actual shares, the kind of model, the matrix, where things are."""
    answer = deconfuse("train", label_folder(tmp_path / "fruit", FRUIT), "--output", tmp_path / "run")

    assert "single-label" in answer.out
    assert "training and" in answer.out
    assert "apple" in answer.out
    assert f"{tmp_path / 'run' / 'report.html'}" in answer.out
    assert answer.err == ""


def test_quiet_prints_the_run_only(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """A script reads one line."""
    answer = deconfuse("train", label_folder(tmp_path / "fruit", FRUIT), "--quiet")

    assert (answer.out, answer.err) == ("runs/fruit/1\n", "")


def test_versions_count_up(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """A second training takes the next free number, and project and version can be given."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    deconfuse("train", folder, "--quiet")

    assert deconfuse("train", folder, "--quiet").out == "runs/fruit/2\n"
    assert deconfuse("train", folder, "--quiet", "--project", "p", "--version", "v1").out == "runs/p/v1\n"


def test_predictions_have_their_form(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Every image is there once, test images without a fold, training images with one."""
    deconfuse("train", label_folder(tmp_path / "fruit", FRUIT), "-o", "run")
    predictions = pq.read_table(tmp_path / "run" / "predictions.parquet")
    rows = predictions.to_pylist()

    check(predictions, predictions_schema(("apple", "leaf", "sea"), multi_label=False), "predictions")
    assert labels_of(predictions) == ("apple", "leaf", "sea")
    assert len(rows) == 24
    assert all((row["fold"] is None) == (row["split"] == "test") for row in rows)
    assert all(abs(sum(row["scores"]) - 1) < 1e-5 for row in rows)


def test_colours_and_shapes_are_learnt(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Pictures that differ clearly are told apart, by images that were never trained on."""
    folder = split_folder(tmp_path / "fruit", train={"apple": 15, "leaf": 15, "sun": 15}, test={"apple": 8, "sun": 8})
    deconfuse("train", folder, "-o", "run")
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    tested = [row for row in rows if row["split"] == "test"]

    assert len(tested) == 16
    assert sum(row["true"] == row["predicted"] for row in tested) >= 14


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_images_give_the_same_bytes(
    deconfuse: Deconfuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Whatever the order of the rows, the number of threads, and what was cached."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    rows = [(path.relative_to(tmp_path).as_posix(), path.parent.name) for path in sorted(folder.rglob("*.png"))]
    table(tmp_path / "a.csv", rows)
    table(tmp_path / "b.csv", reversed(rows))
    deconfuse("train", tmp_path / "a.csv", "-o", "first")
    monkeypatch.setenv("DECONFUSE_THREADS", str(threads))
    monkeypatch.setenv("DECONFUSE_CACHE", str(tmp_path / "cache"))
    deconfuse("train", tmp_path / "b.csv", "-o", "second")

    for name in ("predictions.parquet", "head.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_published_viewer_reads_the_summary(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """The pivot table of the cells has one column a true label, each summing to 1."""
    deconfuse("train", label_folder(tmp_path / "fruit", FRUIT), "-o", "run")
    summary = json.loads(only(tmp_path / "run", "EvaluationResultSummary-*").read_text())
    cells = pd.DataFrame(summary["AggregatedEvaluationResults"]["ConfusionMatrix"])
    pivot = pd.pivot_table(cells, values="Value", index="PredictedLabel", columns="GroundTruthLabel", fill_value=0)

    assert list(summary)[-1] == "Deconfuse"
    assert set(cells) == {"GroundTruthLabel", "PredictedLabel", "Value"}
    assert pivot.sum(axis=0).to_numpy() == pytest.approx(1)


def test_several_labels_make_a_multi_label_model(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """One row with two labels is enough, and it is said."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    rows = [(p.relative_to(tmp_path).as_posix(), p.parent.name) for p in sorted(folder.rglob("*.png"))]
    table(tmp_path / "a.csv", [*rows[:-1], (*rows[-1], "leaf")])
    answer = deconfuse("train", tmp_path / "a.csv", "-o", "run")
    predictions = pq.read_table(tmp_path / "run" / "predictions.parquet")

    assert answer.code == 0, answer.err
    assert "multi-label" in answer.out
    check(predictions, predictions_schema(("apple", "leaf", "sea"), multi_label=True), "predictions")


def test_a_manifest_is_trained_and_bad_lines_are_named(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Images are found in the bucket's directory; the bad line is reported with its number and AWS's code."""
    manifest, store = bucket_world(tmp_path, FRUIT)
    manifest.write_bytes(manifest.read_bytes() + b"no json\n")
    answer = deconfuse("train", manifest, "--bucket", f"photos={store}", "-o", "run")
    checked = only(tmp_path / "run", "TrainingManifestWithValidation-*").read_text().splitlines()
    summary = json.loads(only(tmp_path / "run", "ManifestSummary-*").read_text())["statistics"]

    assert answer.code == 0, answer.err
    assert "line 25" in answer.err
    assert "ERROR_INVALID_JSON_LINE" in answer.err
    assert json.loads(checked[-1])["errors"][0]["code"] == "ERROR_INVALID_JSON_LINE"
    assert summary["training"]["error_json_line_indices"] == [len(checked)]
    assert summary["training"]["valid_json_lines"] + summary["testing"]["valid_json_lines"] == 24


def test_a_bucket_without_a_directory_is_asked_for(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """The message is the flag to give."""
    manifest, _ = bucket_world(tmp_path, FRUIT)
    answer = deconfuse("train", manifest)

    assert answer.code == 2
    assert "--bucket photos=DIR" in answer.err


def test_names_of_files_cannot_steer_the_terminal(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Escape sequences and line ends in the name of a bad image arrive as text; one line stays one line."""
    images = label_folder(tmp_path / "fruit", FRUIT)
    (images / "leaf" / "\x1b[31mred\n.png").write_bytes(b"nothing")
    answer = deconfuse("train", images, "--quiet")
    assert answer.code == 0

    bad = deconfuse("train", images)
    assert bad.err.count("\n") == 1
    assert "leaf/\\x1b[31mred\\n.png: " in bad.err
    assert "\x1b" not in deconfuse("predict", bad.out.split("run     ")[1].split("\n")[0], images / "leaf").err


@pytest.mark.parametrize(
    "command", [("train",), ("matrix",), ("report", "-o", "a.html"), ("convert", "--s3", "s3://photos")]
)
@pytest.mark.parametrize("kind", ["circle of links", "long name"])
def test_a_path_that_the_system_refuses_is_no_bug(
    deconfuse: Deconfuse, tmp_path: Path, command: tuple[str, ...], kind: str
) -> None:
    """Exit code 6 with the system's own words, wherever it is that the path is looked at first."""
    place = tmp_path / ("x" * 300 if kind == "long name" else "ring")
    if kind == "circle of links":
        place.symlink_to(place)
    answer = deconfuse(command[0], place, *command[1:])

    assert answer.code == 6, answer.err
    assert answer.err.startswith(f"deconfuse: {place}: ")
    assert "Traceback" not in answer.err


def test_a_training_that_fails_leaves_no_folder(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Not even the empty folder of its project."""
    answer = deconfuse("train", label_folder(tmp_path / "fruit", {"apple": 3}))

    assert answer.code == 5
    assert "1 label; at least 2" in answer.err
    assert not (tmp_path / "runs").exists()


def test_up_to_a_fifth_may_be_bad(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Exactly 20 % bad files: training goes on, and each is named with AWS's code."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    for number in range(6):
        (folder / "sea" / f"bad-{number}.jpg").write_bytes(b"no image")
    answer = deconfuse("train", folder, "-o", "run")

    assert answer.code == 0, answer.err
    assert answer.err.count("ERROR_INVALID_IMAGE") == 6
    assert "sea/bad-3.jpg" in answer.err


def test_sidecars_are_not_bad_images(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """More notes than photographs: training goes on, one warning counts them, and they are on no line."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    for number in range(40):
        (folder / "sea" / f"sea-{number}.png.json").write_text("{}")
    answer = deconfuse("train", folder, "-o", "run")
    summary = json.loads(only(tmp_path / "run", "ManifestSummary-*").read_text())["statistics"]

    assert answer.code == 0, answer.err
    assert answer.err.count("WARNING_NOT_AN_IMAGE_FILE") == 1
    assert "40 files" in answer.err
    assert "ERROR" not in answer.err
    assert sum(summary[side]["total_json_lines"] for side in ("training", "testing")) == 24


def test_more_than_a_fifth_bad_stops(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Every bad file is still named, the exit code is 5, and nothing is left."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    for number in range(7):
        (folder / "sea" / f"bad-{number}.jpg").write_bytes(picture("sea")[:100])
    answer = deconfuse("train", folder)

    assert answer.code == 5
    assert answer.err.count("ERROR_INVALID_IMAGE") == 7
    assert "20 %" in answer.err
    assert not any((tmp_path / "runs").rglob("*.json"))


@pytest.mark.parametrize(
    ("counts", "words"),
    [({"apple": 5}, "1 label; at least 2"), ({}, "holds no image"), ({"apple": 0, "leaf": 0}, "holds no image")],
)
def test_fewer_than_two_labels_stop(deconfuse: Deconfuse, tmp_path: Path, counts: dict[str, int], words: str) -> None:
    """One label, no folder, or empty ones: exit 5 with AWS's code, and nothing is left."""
    (tmp_path / "fruit").mkdir()
    answer = deconfuse("train", label_folder(tmp_path / "fruit", counts))

    assert answer.code == 5
    assert words in answer.err
    assert "ERROR_MANIFEST_TOO_FEW_LABELS" in answer.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("given", "parent"), [("rooms/apple", "rooms"), ("rooms/apple/", "rooms"), (".", "..")])
def test_the_folder_of_one_label_is_recognised(
    deconfuse: Deconfuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, parent: str
) -> None:
    """One level too deep: one sentence, which names the folder to give, however many images lie there."""
    label_folder(tmp_path / "rooms", {"apple": 30, "leaf": 3})
    if given == ".":
        monkeypatch.chdir(tmp_path / "rooms" / "apple")
    answer = deconfuse("train", given)

    assert (answer.code, answer.err.count("\n")) == (5, 1)
    assert f"looks like the folder of one label; give its parent, {parent} (" in answer.err


def test_the_folder_of_one_label_is_no_test_set(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """The flag is named."""
    for folder in ("rooms", "held"):
        label_folder(tmp_path / folder, {"apple": 3, "leaf": 3})
    answer = deconfuse("train", "rooms", "--test", "held/leaf")

    assert answer.code == 5
    assert "--test: held/leaf holds images and no folder with images" in answer.err


def test_a_warning_that_repeats_is_said_once(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Thirty images beside the label folders: one line with three of them and a count."""
    rooms = label_folder(tmp_path / "rooms", FRUIT)
    for number in range(30):
        (rooms / f"loose-{number:02}.png").write_bytes(picture("sun", number))
    answer = deconfuse("train", rooms)

    assert answer.code == 0, answer.err
    assert answer.err.count("WARNING_UNANNOTATED_RECORD") == 1
    assert "loose-00.png, loose-01.png, loose-02.png and 27 more: the file lies in no label folder" in answer.err


def test_labels_with_one_image_train(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Two images are the smallest training there is; it says that nothing could be tested."""
    answer = deconfuse("train", label_folder(tmp_path / "fruit", {"apple": 1, "leaf": 1}), "-o", "run")

    assert answer.code == 0, answer.err
    assert "2 training and 0 test images" in answer.out


def test_a_test_set_of_other_labels_stops(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """AWS refuses below half of the labels, and so does this."""
    folder = split_folder(tmp_path / "fruit", train={"apple": 4, "leaf": 4, "sea": 4}, test={"apple": 2, "sun": 2})
    answer = deconfuse("train", folder)

    assert answer.code == 5
    assert "ERROR_INSUFFICIENT_LABEL_OVERLAP" in answer.err


def test_a_label_that_only_the_test_knows_is_counted(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Its images are in the matrix as wrong, and a warning says why."""
    folder = split_folder(tmp_path / "fruit", train={"apple": 6, "leaf": 6}, test={"apple": 3, "leaf": 3, "sun": 3})
    answer = deconfuse("train", folder, "-o", "run")
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()

    assert answer.code == 0, answer.err
    assert "WARNING_LABEL_WITHOUT_TRAINING_IMAGES" in answer.err
    assert [row["predicted"] for row in rows if row["true"] == "sun"] != ["sun"] * 3
    assert sum(row["true"] == "sun" for row in rows) == 3


def test_the_same_image_under_two_labels_stays_single_label(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """It counts for both, is listed as conflicting, and is on one side only."""
    folder = label_folder(tmp_path / "fruit", FRUIT)
    (folder / "leaf" / "twice.png").write_bytes((folder / "apple" / "apple-0.png").read_bytes())
    answer = deconfuse("train", folder, "-o", "run")
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    twins = [row for row in rows if row["uri"] in ("apple/apple-0.png", "leaf/twice.png")]

    assert "WARNING_CONFLICTING_LABELS" in answer.err
    assert "single-label" in answer.out
    assert [row["true"] for row in twins] == ["apple", "leaf"]
    assert twins[0]["split"] == twins[1]["split"]


def test_boxes_are_not_trained(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """The message counts them and says that object detection is not available."""
    line = {
        "source-ref": "s3://photos/a.png",
        "box": {
            "image_size": [{"width": 640, "height": 480, "depth": 3}],
            "annotations": [{"class_id": 1, "top": 25, "left": 39, "width": 155, "height": 101}],
        },
        "box-metadata": {
            "objects": [{"confidence": 1}],
            "class-map": {"1": "Echo"},
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": "2013-11-18T02:53:27",
        },
    }
    (tmp_path / "boxes.manifest").write_text(json.dumps(line) + "\n")
    answer = deconfuse("train", tmp_path / "boxes.manifest", "--bucket", f"photos={tmp_path}")

    assert answer.code == 2
    assert "1 bounding box" in answer.err
    assert "object detection is not available" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 3, "nowhere"),
        (["fruit", "--test", "nowhere"], 3, "nowhere"),
        (["fruit", "--project", "a/b"], 2, "project"),
        (["fruit", "--version", ""], 2, "version"),
        (["fruit", "--bucket", "x"], 2, "BUCKET=DIR"),
        (["fruit", "--output", "taken"], 4, "taken"),
        (["fruit/apple/apple-0.png"], 2, "single image"),
        (["fruit", "--colour"], 2, "--colour"),
        ([], 2, "IMAGES"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    deconfuse: Deconfuse, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """Each with its own exit code, naming the thing, and leaving everything as it was."""
    label_folder(tmp_path / "fruit", {"apple": 2, "leaf": 2})
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    before = left_in(tmp_path)
    answer = deconfuse("train", *arguments)

    assert answer.code == code
    assert words in answer.err
    assert answer.out == ""
    assert left_in(tmp_path) == before


@pytest.fixture
def slow_images(tmp_path: Path) -> Path:
    """A folder whose embedding takes several seconds."""
    return label_folder(tmp_path / "fruit", {"apple": 250, "leaf": 250}, side=64)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing_within_a_second(
    slow_images: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C in the middle of the images: exit code 130 (143 when told to terminate), no run and no partial one."""
    seconds = []
    for turn in range(6):  # other work on the machine can only make it slower
        code, needed = interrupted(slow_images, tmp_path / f"runs{turn}", number)
        seconds.append(needed)

        assert code == 128 + number
        assert left_in(tmp_path / f"runs{turn}") == []
        if needed < 1:
            break
    assert min(seconds) < 1


SWALLOWING = """
import os, signal, sys, types, click
from deconfuse import cli

def work():
    try:
        os.kill(os.getpid(), signal.{name})
        signal.pause()
    except BaseException:
        raise RuntimeError("Query interrupted") from None

sys.modules["work"] = types.SimpleNamespace(work=click.command()(work))
cli.COMMANDS["work"] = "work"
sys.argv = ["deconfuse", "work"]
cli.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_library_that_swallows_the_interruption_changes_nothing(name: str) -> None:
    """DuckDB, and imports that are interrupted, raise errors of their own; the exit code stays that of the signal."""
    command = [sys.executable, "-c", SWALLOWING.format(name=name)]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)

    assert ended.returncode == 128 + getattr(signal, name)
    assert b"Traceback" not in ended.stderr


def test_a_training_survives_the_terminal_it_was_started_in(tmp_path: Path) -> None:
    """`nohup deconfuse train …` goes on when the terminal is closed."""
    images = label_folder(tmp_path / "fruit", FRUIT)
    command = ["nohup", sys.executable, "-m", "deconfuse", "train", str(images), "-q", "-o", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: any(tmp_path.glob("run.partial-*")))
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)

    assert process.returncode == 0
    assert (tmp_path / "run" / "card.json").exists()


def interrupted(images: Path, runs: Path, number: signal.Signals) -> tuple[int, float]:
    """(exit code, seconds from the signal to the end) of a training that is interrupted in the middle of its images."""
    environment = os.environ | {"DECONFUSE_CACHE": str(runs.parent / "cache"), "DECONFUSE_THREADS": "1"}
    command = [sys.executable, "-m", "deconfuse", "train", str(images), "-o", str(runs / "run")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: any(runs.glob("run.partial-*")))
        time.sleep(0.7)
        start = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=20)
        return process.returncode, time.monotonic() - start


def wait_for(happened: Callable[[], bool]) -> None:
    """Return when something has happened; twenty seconds at most."""
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_every_problem_is_in_the_report(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """Those of training images too, beyond what the terminal shows: 25 bad ones give 25 rows."""
    folder = split_folder(tmp_path / "fruit", train={"apple": 60, "leaf": 60}, test={"apple": 4, "leaf": 4})
    for number in range(25):
        (folder / "train" / "leaf" / f"bad-{number}.jpg").write_bytes(b"no image")
    answer = deconfuse("train", folder, "-o", "run")
    page = (tmp_path / "run" / "report.html").read_text()

    assert "5 more, all in report.html" in answer.err
    assert all(f"train/leaf/bad-{number}.jpg" in page for number in range(25))


def test_the_evaluation_ends_after_it_began(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """EvaluationEndTimestamp is not the time at which the training was started."""
    deconfuse("train", label_folder(tmp_path / "fruit", FRUIT), "-o", "run")
    summary = json.loads(only(tmp_path / "run", "EvaluationResultSummary-*").read_text())
    card = json.loads((tmp_path / "run" / "card.json").read_text())

    assert summary["EvaluationDetails"]["EvaluationEndTimestamp"] > card["created"][:23]


def test_boxes_beside_labels_are_counted(deconfuse: Deconfuse, tmp_path: Path) -> None:
    """A line with boxes only is left out, and the output says how many there are."""
    manifest, store = bucket_world(tmp_path, FRUIT)
    box = {
        "source-ref": "s3://photos/apple/none.png",
        "box": {
            "image_size": [{"width": 640, "height": 480, "depth": 3}],
            "annotations": [{"class_id": 0, "top": 25, "left": 39, "width": 155, "height": 101}] * 2,
        },
        "box-metadata": {
            "objects": [{"confidence": 1}] * 2,
            "class-map": {"0": "Echo"},
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": "2013-11-18T02:53:27",
        },
    }
    manifest.write_bytes(manifest.read_bytes() + json.dumps(box).encode() + b"\n")
    answer = deconfuse("train", manifest, "--bucket", f"photos={store}", "-o", "run")

    assert answer.code == 0, answer.err
    assert "2 bounding boxes not used" in answer.out
    assert "1 line that holds nothing else" in " ".join(answer.out.split())

"""A program that shows the matrix of a Custom Labels model runs unchanged on ours: only AWS_CONFIG_FILE is set."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet
import pytest

from servers import Server, environment, running
from worlds import manifest_line, picture

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).resolve().parents[1] / "viewer.py"
LABELS = {"leaf": 12, "sea": 12, "sun": 12}
FAST = {"Delay": 1, "MaxAttempts": 240}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Server]:
    """A server as a user starts it."""
    with running(
        tmp_path_factory.mktemp("viewer") / "home", variables={"DECONFUSE_CACHE": str(shared_cache)}
    ) as started:
        yield started


@pytest.fixture(scope="module")
def config(server: Server) -> Path:
    """What `deconfuse credentials --format aws-config` prints, as a file."""
    path = server.home.with_name("config")
    asked = [sys.executable, "-m", "deconfuse", "credentials", "--home", str(server.home), "--format", "aws-config"]
    path.write_bytes(subprocess.run(asked, capture_output=True, env=environment(), timeout=60, check=True).stdout)
    return path


@pytest.fixture(scope="module")
def trained(config: Path) -> dict[str, Any]:
    """What is said of version 1 of the project rooms, after its training."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        session = boto3.Session(profile_name="custom-labels-access")
        s3, api = session.client("s3"), session.client("rekognition")
    for bucket in ("photos", "results"):
        s3.create_bucket(Bucket=bucket)
    lines = []
    for label, count in LABELS.items():
        for number in range(count):
            # Every third image carries the label of the next one, so that there is something to confuse.
            s3.put_object(Bucket="photos", Key=f"{label}/{number}.png", Body=picture(label, number))
            said = label if number % 3 else [*LABELS][([*LABELS].index(label) + 1) % 3]
            lines.append(manifest_line(f"{label}/{number}.png", (said,)))
    s3.put_object(Bucket="photos", Key="all.manifest", Body=b"\n".join(lines))
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    asset = {"GroundTruthManifest": {"S3Object": {"Bucket": "photos", "Name": "all.manifest"}}}
    api.create_project_version(
        ProjectArn=project,
        VersionName="1",
        OutputConfig={"S3Bucket": "results", "S3KeyPrefix": "out"},
        TrainingData={"Assets": [asset]},
        TestingData={"AutoCreate": True},
    )
    waiter = api.get_waiter("project_version_training_completed")
    waiter.wait(ProjectArn=project, VersionNames=["1"], WaiterConfig=FAST)
    described = api.describe_project_versions(ProjectArn=project)["ProjectVersionDescriptions"][0]
    predictions = s3.get_object(Bucket="results", Key="out/predictions-rooms-1.parquet")["Body"].read()
    return {**described, "predictions": pyarrow.parquet.read_table(io.BytesIO(predictions)).to_pylist()}


def shown(config: Path, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """The program, run by somebody who has nothing but the file of the profile."""
    variables = {"AWS_CONFIG_FILE": str(config), "HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    command = [sys.executable, str(PROGRAM), *names]
    return subprocess.run(command, capture_output=True, env=variables, timeout=120, text=True, check=False)


def percentages(predictions: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """(true, predicted) → percent of the true label, of the test images."""
    tested = [row for row in predictions if row["split"] == "test"]
    pairs: dict[tuple[str, str], int] = {}
    for true in {row["true"] for row in tested}:
        said = [row["predicted"] for row in tested if row["true"] == true]
        for label in LABELS:
            pairs[true, label] = int(round(said.count(label) / len(said), 2) * 100)
    return pairs


def test_the_program_prints_the_matrix(config: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    """Predicted labels in rows, true ones in columns, and the percentages are those of the predictions."""
    done = shown(config, tmp_path, "rooms", "1")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    read = {(true, row["PredictedLabel"]): int(row[true]) for row in rows for true in row if true != "PredictedLabel"}

    assert read == percentages(trained["predictions"])
    assert set(read.values()) - {0, 100}
    assert [row["PredictedLabel"] for row in rows] == sorted(LABELS)


def test_the_program_says_what_is_not_there(config: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    """It asks the lengths of lists, and gets lists."""
    assert "no project nothing" in shown(config, tmp_path, "nothing", "1").stderr
    assert "no model 2" in shown(config, tmp_path, "rooms", "2").stderr


def test_our_own_command_agrees(config: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    """`deconfuse matrix` by name and profile shows the counts behind these percentages, with nothing else set."""
    flags = ["--project", "rooms", "--version", "1", "--profile", "custom-labels-access", "--format", "json"]
    variables = environment({"AWS_CONFIG_FILE": str(config), "HOME": str(tmp_path)})
    command = [sys.executable, "-m", "deconfuse", "matrix", *flags]
    done = subprocess.run(command, capture_output=True, env=variables, timeout=120, check=True)
    found = json.loads(done.stdout)
    counts = {(cell["true_label"], cell["predicted_label"]): cell["count"] for cell in found["cells"]}
    support = {true: sum(n for (label, _), n in counts.items() if label == true) for true, _ in counts}
    read = {(true, said): int(round(n / support[true], 2) * 100) for (true, said), n in counts.items()}

    assert {pair: share for pair, share in percentages(trained["predictions"]).items() if share} == read
    assert found["stamp"]["model"] == trained["ProjectVersionArn"]
    assert not [note for note in found["notes"] if "snapshot" in note]

"""`matrix`, `images` and `report` by name against a service of ours: trained by its API, read by its gateway."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import serving
from deconfuse.service import keys
from remotes import aws_variables
from worlds import manifest_line, picture

Command = Callable[..., Any]
FAST = {"Delay": 0, "MaxAttempts": 5000}
COUNTS = {"leaf": 15, "sea": 15, "sun": 15}


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, service: serving.Service) -> None:
    """Somebody with the first key of the service and its address, as `deconfuse credentials` exports them."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    sign_in(monkeypatch, tmp_path_factory.mktemp("user"), service.key)
    for name in ("REKOGNITION", "S3"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", service.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", service.house.region)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def sign_in(monkeypatch: pytest.MonkeyPatch, folder: Path, key: keys.Key) -> None:
    """From now on requests are signed with this key."""
    for name, value in aws_variables(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret)


def train(s3: Any, api: Any, counts: dict[str, int], *, n_bad: int = 0) -> str:
    """Begin the training of version 1 of rooms, with its buckets; the ARN of the project."""
    for bucket in ("photos", "results"):
        s3.create_bucket(Bucket=bucket)
    arn = api.create_project(ProjectName="rooms")["ProjectArn"]
    asked = put_images(s3, counts, n_bad=n_bad)
    output = {"S3Bucket": "results", "S3KeyPrefix": "out"}
    api.create_project_version(ProjectArn=arn, VersionName="1", OutputConfig=output, **asked)
    return str(arn)


def put_images(s3: Any, counts: dict[str, int], *, n_bad: int) -> dict[str, Any]:
    """Images in the bucket photos, a third of them under the label of the next one, as training data.

    `n_bad` objects that are no images follow.
    """
    lines = []
    for label, count in counts.items():
        for number in range(count):
            s3.put_object(Bucket="photos", Key=f"{label}/{number}.png", Body=picture(label, number))
            said = label if number % 3 else [*counts][([*counts].index(label) + 1) % len(counts)]
            lines.append(manifest_line(f"{label}/{number}.png", (said,)))
    for number in range(n_bad):
        s3.put_object(Bucket="photos", Key=f"bad/{number}.png", Body=b"no image")
        lines.append(manifest_line(f"bad/{number}.png", (next(iter(counts)),)))
    s3.put_object(Bucket="photos", Key="all.manifest", Body=b"\n".join(lines))
    asset = {"GroundTruthManifest": {"S3Object": {"Bucket": "photos", "Name": "all.manifest"}}}
    return {"TrainingData": {"Assets": [asset]}, "TestingData": {"AutoCreate": True}}


@pytest.fixture
def predictions(service: serving.Service, user: None) -> list[dict[str, Any]]:
    """The test images of version 1 of rooms, with what the model said, once it is trained."""
    s3, api = service.client("s3"), service.client("rekognition")
    arn = train(s3, api, COUNTS)
    waiter = api.get_waiter("project_version_training_completed")
    waiter.wait(ProjectArn=arn, VersionNames=["1"], WaiterConfig=FAST)
    table = s3.get_object(Bucket="results", Key="out/predictions-rooms-1.parquet")["Body"].read()
    rows = pyarrow.parquet.read_table(io.BytesIO(table)).to_pylist()
    return [row for row in rows if row["split"] == "test"]


@pytest.mark.slow
def test_a_trained_model_is_looked_at_by_its_name(
    deconfuse: Command,
    service: serving.Service,
    predictions: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Matrix, images and page agree with the predictions that the training left; a read-only key is enough."""
    found = json.loads(deconfuse("matrix", "--project", "rooms", "--version", "1", "--format", "json").out)
    counts = {(cell["true_label"], cell["predicted_label"]): cell["count"] for cell in found["cells"]}
    said = [(row["true"], row["predicted"]) for row in predictions]

    assert counts == {pair: said.count(pair) for pair in said}
    assert set(found["thresholds"]) == set(COUNTS)
    assert [note for note in found["notes"] if "snapshot" in note] == []
    check_images(deconfuse, predictions)
    check_report(deconfuse, predictions, tmp_path)
    check_sources(deconfuse, found)

    sign_in(monkeypatch, tmp_path, keys.create_key(service.house, access="read"))
    assert json.loads(deconfuse("matrix", "--project", "rooms", "--format", "json").out) == found
    check_refusals(deconfuse, service, monkeypatch, tmp_path)


def check_images(deconfuse: Command, predictions: list[dict[str, Any]]) -> None:
    """Every cell lists its images, by their addresses."""
    for label in COUNTS:
        answer = deconfuse("images", "--project", "rooms", "--true", label, "--format", "csv")
        listed = {(row["image"], row["predicted_label"]) for row in csv.DictReader(io.StringIO(answer.out))}

        assert listed == {(row["uri"], row["predicted"]) for row in predictions if row["true"] == label}


def check_report(deconfuse: Command, predictions: list[dict[str, Any]], folder: Path) -> None:
    """The page has a picture of each test image, out of the gateway."""
    answer = deconfuse("report", "--project", "rooms", "--version", "1", "--output", "rooms.html")

    assert (answer.code, answer.err) == (0, "")
    assert len(re.findall("UklGR", (folder / "rooms.html").read_text())) == len(predictions)


def check_sources(deconfuse: Command, found: dict[str, Any]) -> None:
    """The files of the training at their addresses tell the same."""
    for name in (
        "EvaluationResultSummary-rooms-1.json",
        "TestingGroundTruth-rooms-1.json",
        "predictions-rooms-1.parquet",
    ):
        answer = json.loads(deconfuse("matrix", f"s3://results/out/{name}", "--format", "json").out)

        assert answer["cells"] == found["cells"]


def check_refusals(deconfuse: Command, service: serving.Service, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A summary that is gone, a version that is not there, a revoked key, a wrong secret, another region."""
    model = ("matrix", "--project", "rooms", "--version", "1")
    assert "--region" in deconfuse(*model, "--region", "eu west").err
    assert deconfuse(*model, "--region", "eu-west-1").code == 6
    s3 = service.client("s3")
    s3.delete_object(Bucket="results", Key="out/TestingGroundTruth-rooms-1.json")
    assert "images are not known" in " ".join(deconfuse(*model).out.split())
    s3.delete_object(Bucket="results", Key="out/EvaluationResultSummary-rooms-1.json")
    gone = deconfuse(*model)
    assert (gone.code, "summary of rooms 1 not found" in gone.err) == (3, True)
    assert "Project rooms has 1 (TRAINING_COMPLETED" in deconfuse(*model[:-1], "2").err
    assert "Did you mean rooms?" in deconfuse("matrix", "--project", "rooms2", "--version", "1").err

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 40)
    assert deconfuse(*model).code == 6
    sign_in(monkeypatch, folder, key := keys.create_key(service.house))
    keys.revoke_key(service.house, key.id)
    refused = deconfuse(*model)
    assert (refused.code, key.id in refused.err) == (6, True)


@pytest.mark.parametrize(
    ("counts", "n_bad", "said"),
    [
        ({"leaf": 4}, 0, "at least 2 are needed."),
        (
            {"leaf": 4, "sea": 4},
            3,
            "the reasons stand in s3://results/out/TrainingManifestWithValidation-rooms-1.json.",
        ),
    ],
)
def test_a_training_that_failed_says_why(
    deconfuse: Command, service: serving.Service, user: None, counts: dict[str, int], n_bad: int, said: str
) -> None:
    """The sentence of the service, and the file that says what is wrong with which image, where one is at fault."""
    s3, api = service.client("s3"), service.client("rekognition")
    train(s3, api, counts, n_bad=n_bad)
    first = deconfuse("matrix", "--project", "rooms", "--version", "1")
    assert first.code == 4
    while "still training" in (answer := deconfuse("matrix", "--project", "rooms", "--version", "1")).err:
        pass

    assert answer.code == 4
    assert "could not be trained: " in answer.err
    assert answer.err.endswith(f"{said}\n")


@pytest.mark.slow
def test_images_that_were_not_used_are_told(deconfuse: Command, service: serving.Service, user: None) -> None:
    """Three objects that are no images, each by its address and with its reason."""
    s3, api = service.client("s3"), service.client("rekognition")
    arn = train(s3, api, COUNTS, n_bad=3)
    waiter = api.get_waiter("project_version_training_completed")
    waiter.wait(ProjectArn=arn, VersionNames=["1"], WaiterConfig=FAST)
    found = json.loads(deconfuse("matrix", "--project", "rooms", "--version", "1", "--format", "json").out)

    assert [problem["uri"] for problem in found["problems"]] == [f"s3://photos/bad/{k}.png" for k in range(3)]
    assert {problem["code"] for problem in found["problems"]} == {"ERROR_INVALID_IMAGE"}
    assert found["notes"][-1].startswith("3 of 48 images could not be used")


@pytest.mark.parametrize("words", [("--project", "rooms", "--version", "1"), ("s3://photos/all.manifest",)])
def test_a_session_token_that_is_left_over_is_named(
    deconfuse: Command, user: None, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """What the service says of it, and what to do, at both doors."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "stale")
    answer = deconfuse("matrix", *words)

    assert answer.code == 6
    assert "temporary credentials" in answer.err
    assert "`unset AWS_SESSION_TOKEN`" in answer.err
    assert "stale" not in answer.err

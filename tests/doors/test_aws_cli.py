"""AWS's getting-started flow with the AWS CLI of the package index, step by step, against a real `deconfuse serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients import program
from servers import Server, environment, running
from worlds import manifest_line, picture

pytestmark = [pytest.mark.clients, pytest.mark.slow]

SECONDS = 120
LABELS = {"leaf": 10, "sun": 10}

Aws = Callable[..., Any]


@pytest.fixture
def server(tmp_path: Path, shared_cache: Path) -> Iterator[Server]:
    """A server as a user starts it."""
    with running(tmp_path / "home", variables={"DECONFUSE_CACHE": str(shared_cache)}) as started:
        yield started


@pytest.fixture
def aws(server: Server, tmp_path: Path) -> Aws:
    """A function that runs `aws` with the profile that `deconfuse credentials` prints: the JSON it answers, or text."""
    config = tmp_path / "config"
    asked = [sys.executable, "-m", "deconfuse", "credentials", "--home", str(server.home), "--format", "aws-config"]
    config.write_bytes(subprocess.run(asked, capture_output=True, env=environment(), timeout=60, check=True).stdout)
    variables = {
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "custom-labels-access",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
    }
    command = program("awscli", "aws")

    def run(*words: object, code: int = 0) -> Any:
        done = subprocess.run(
            [command, *map(str, words)], cwd=tmp_path, env=variables, capture_output=True, timeout=SECONDS, check=False
        )
        assert done.returncode == code, f"{words}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        if code:
            return done.stderr.decode()
        said = done.stdout.decode()
        return json.loads(said) if said.startswith("{") else said

    return run


def put_images(aws: Aws, folder: Path) -> None:
    """Buckets, images and a manifest over them, by `aws s3`."""
    lines = []
    for label, count in LABELS.items():
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(count):
            (folder / "photos" / label / f"{number}.png").write_bytes(picture(label, number))
            lines.append(manifest_line(f"{label}/{number}.png", (label,)))
    (folder / "photos" / "all.manifest").write_bytes(b"\n".join(lines) + b"\n")
    aws("s3", "mb", "s3://photos")
    aws("s3", "mb", "s3://results")
    aws("s3", "sync", folder / "photos", "s3://photos")


def until(describe: Callable[[], Any], wanted: str) -> Any:
    """What is described once its status is the wanted one."""
    deadline = time.monotonic() + SECONDS
    while (found := describe())["Status"] != wanted:
        assert time.monotonic() < deadline, found
        assert "FAILED" not in found["Status"], found
        time.sleep(0.3)
    return found


def test_getting_started(aws: Aws, tmp_path: Path) -> None:
    """Project, datasets, training, evaluation, detection, and everything deleted again."""
    put_images(aws, tmp_path)
    project = aws("rekognition", "create-project", "--project-name", "rooms")["ProjectArn"]
    said = aws("rekognition", "describe-projects", "--project-names", "rooms")["ProjectDescriptions"]
    assert [(one["ProjectArn"], one["Status"], one["Datasets"]) for one in said] == [(project, "CREATED", [])]

    train, test = check_datasets(aws, project)
    version = check_training(aws, project)
    check_summary(aws, project)
    check_detection(aws, project, version, tmp_path)

    assert "ResourceInUseException" in aws("rekognition", "delete-project", "--project-arn", project, code=255)
    assert aws("rekognition", "delete-project-version", "--project-version-arn", version)["Status"] == "DELETING"
    for dataset in (train, test):
        aws("rekognition", "delete-dataset", "--dataset-arn", dataset)
    emptied(aws, project)
    assert aws("rekognition", "delete-project", "--project-arn", project)["Status"] == "DELETING"
    assert aws("rekognition", "describe-projects") == {"ProjectDescriptions": []}


def emptied(aws: Aws, project: str) -> None:
    """Return when the project has neither versions nor datasets."""
    deadline = time.monotonic() + SECONDS
    while (
        aws("rekognition", "describe-project-versions", "--project-arn", project)["ProjectVersionDescriptions"]
        or aws("rekognition", "describe-projects")["ProjectDescriptions"][0]["Datasets"]
    ):
        assert time.monotonic() < deadline


def check_datasets(aws: Aws, project: str) -> tuple[str, str]:
    """A dataset from a manifest, listed, changed, and a fifth of it given to an empty one: their ARNs."""
    dataset = ("rekognition", "create-dataset", "--project-arn", project, "--dataset-type")
    source = {"GroundTruthManifest": {"S3Object": {"Bucket": "photos", "Name": "all.manifest"}}}
    train = aws(*dataset, "TRAIN", "--dataset-source", json.dumps(source))["DatasetArn"]
    test = aws(*dataset, "TEST")["DatasetArn"]

    def described(arn: str) -> Any:
        return aws("rekognition", "describe-dataset", "--dataset-arn", arn)["DatasetDescription"]

    assert until(lambda: described(train), "CREATE_COMPLETE")["DatasetStats"]["TotalEntries"] == 20
    until(lambda: described(test), "CREATE_COMPLETE")
    entries = ("rekognition", "list-dataset-entries", "--dataset-arn", train)
    assert len(aws(*entries)["DatasetEntries"]) == 20
    assert len(aws(*entries, "--contains-labels", "leaf", "--page-size", "3")["DatasetEntries"]) == 10
    first = aws(*entries, "--source-ref-contains", "sun/3.png")["DatasetEntries"]
    assert [json.loads(line)["source-ref"] for line in first] == ["s3://photos/sun/3.png"]
    labels = aws("rekognition", "list-dataset-labels", "--dataset-arn", train)["DatasetLabelDescriptions"]
    assert {one["LabelName"]: one["LabelStats"]["EntryCount"] for one in labels} == LABELS

    changes = {"GroundTruth": manifest_line("sun/3.png", ("sun",), note=1).decode()}
    aws("rekognition", "update-dataset-entries", "--dataset-arn", train, "--changes", json.dumps(changes))
    until(lambda: described(train), "UPDATE_COMPLETE")
    pair = json.dumps([{"Arn": train}, {"Arn": test}])
    aws("rekognition", "distribute-dataset-entries", "--datasets", pair)
    for arn, count in ((train, 16), (test, 4)):
        found = until(lambda arn=arn: described(arn), "UPDATE_COMPLETE")
        assert found["DatasetStats"]["TotalEntries"] == count
    return train, test


def check_training(aws: Aws, project: str) -> str:
    """A version is trained, waited for and described: its ARN."""
    output = '{"S3Bucket": "results", "S3KeyPrefix": "out"}'
    made = ("rekognition", "create-project-version", "--project-arn", project, "--version-name", "1")
    version = aws(*made, "--output-config", output, "--tags", "stage=first")["ProjectVersionArn"]
    described = ("rekognition", "describe-project-versions", "--project-arn", project, "--version-names", "1")
    found = until(lambda: aws(*described)["ProjectVersionDescriptions"][0], "TRAINING_COMPLETED")
    # AWS's waiter sleeps two minutes between its questions, so it is asked when there is nothing to wait for.
    aws("rekognition", "wait", "project-version-training-completed", *described[2:])

    assert (found["ProjectVersionArn"], found["StatusMessage"]) == (version, "The model is ready to run.")
    assert 0 <= found["EvaluationResult"]["F1Score"] <= 1
    assert "ResourceInUseException" in aws(*made, "--output-config", output, code=255)
    tags = ("rekognition", "list-tags-for-resource", "--resource-arn", version)
    assert aws(*tags) == {"Tags": {"stage": "first"}}
    return str(version)


def check_summary(aws: Aws, project: str) -> None:
    """The evaluation summary lies where the description says."""
    described = aws("rekognition", "describe-project-versions", "--project-arn", project)
    place = described["ProjectVersionDescriptions"][0]["EvaluationResult"]["Summary"]["S3Object"]
    summary = aws("s3", "cp", f"s3://{place['Bucket']}/{place['Name']}", "-")

    assert summary["EvaluationDetails"]["Labels"] == [*LABELS]
    assert {cell["GroundTruthLabel"] for cell in summary["AggregatedEvaluationResults"]["ConfusionMatrix"]} == {*LABELS}


def check_detection(aws: Aws, project: str, version: str, folder: Path) -> None:
    """A version is started, asked with an image in S3 and one here, and stopped."""
    arn = ("--project-version-arn", version)
    surest = ("--max-results", "1", "--min-confidence", "0")
    in_s3 = ("--image", '{"S3Object": {"Bucket": "photos", "Name": "leaf/1.png"}}')
    detect = ("rekognition", "detect-custom-labels", *arn)
    described = ("rekognition", "describe-project-versions", "--project-arn", project, "--version-names", "1")
    assert "ResourceNotReadyException" in aws(*detect, *in_s3, code=255)
    assert aws("rekognition", "start-project-version", *arn, "--min-inference-units", "1")["Status"] == "STARTING"
    until(lambda: aws(*described)["ProjectVersionDescriptions"][0], "RUNNING")
    aws("rekognition", "wait", "project-version-running", *described[2:])

    (found,) = aws(*detect, *in_s3, *surest)["CustomLabels"]
    assert found["Name"] == "leaf"
    (folder / "new.jpg").write_bytes(picture("sun", 500, format="JPEG"))
    (found,) = aws(*detect, "--image-bytes", "fileb://new.jpg", *surest)["CustomLabels"]
    assert found["Name"] == "sun"
    (folder / "text.txt").write_text("no image")
    assert "InvalidImageFormatException" in aws(*detect, "--image-bytes", "fileb://text.txt", code=255)

    assert aws("rekognition", "stop-project-version", *arn)["Status"] == "STOPPING"
    until(lambda: aws(*described)["ProjectVersionDescriptions"][0], "STOPPED")


def test_mistakes(aws: Aws) -> None:
    """What the service refuses, the command line says, under AWS's names, and leaves with its own code."""
    assert "ValidationException" in aws("rekognition", "create-project", "--project-name", "a b", code=255)
    aws("rekognition", "create-project", "--project-name", "rooms")
    assert "ResourceInUseException" in aws("rekognition", "create-project", "--project-name", "rooms", code=255)
    unknown = "arn:aws:rekognition:us-east-1:000000000000:project/none/1690474772815"
    said = aws("rekognition", "describe-project-versions", "--project-arn", unknown, code=255)
    assert "ResourceNotFoundException" in said
    assert aws("rekognition", "describe-projects", "--project-names", "none") == {"ProjectDescriptions": []}
    for number in range(5):
        aws("rekognition", "create-project", "--project-name", f"p{number}")
    pages = aws("rekognition", "describe-projects", "--page-size", "2")["ProjectDescriptions"]
    assert len(pages) == 6
    assert "InvalidPaginationTokenException" in aws("rekognition", "describe-projects", "--next-token", "x", code=255)

"""Whole stories with boto3 over a real socket: images by S3, datasets, training, detection, and everything deleted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

import serving
from deconfuse.server import credentials
from deconfuse.server.home import Address
from servers import environment
from worlds import manifest_line, picture

PHOTOS = "photos"
RESULTS = "results"
OUTPUT = {"S3Bucket": RESULTS, "S3KeyPrefix": "models/rooms"}
FAST = {"Delay": 0, "MaxAttempts": 5000}
PATIENCE = timedelta(seconds=60)


@pytest.fixture
def api(service: serving.Service) -> Any:
    """A Rekognition client."""
    return service.client("rekognition")


@pytest.fixture
def s3(service: serving.Service) -> Any:
    """An S3 client, with a bucket for pictures and one for results."""
    client = service.client("s3")
    for name in (PHOTOS, RESULTS):
        client.create_bucket(Bucket=name)
    return client


def put_manifest(
    s3: Any, key: str, counts: Mapping[str, int], *, start: int = 0, extra: tuple[bytes, ...] = ()
) -> dict[str, Any]:
    """Pictures of these labels and a manifest over them in the bucket, as a source of a dataset."""
    lines = list(extra)
    for label, count in counts.items():
        for number in range(start, start + count):
            name = f"{label}/{number}.png"
            s3.put_object(Bucket=PHOTOS, Key=name, Body=picture(label, number))
            lines.append(manifest_line(name, (label,)))
    s3.put_object(Bucket=PHOTOS, Key=key, Body=b"\n".join(lines) + b"\n")
    return {"GroundTruthManifest": {"S3Object": {"Bucket": PHOTOS, "Name": key}}}


def settled(describe: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What is described as soon as its status is not one of something in progress."""
    deadline = datetime.now(UTC) + PATIENCE
    while (found := describe())["Status"].endswith("ING") or found["Status"].endswith("IN_PROGRESS"):
        assert datetime.now(UTC) < deadline, found
        time.sleep(0.01)
    return found


def dataset_of(api: Any, project: str, kind: str, source: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]]:
    """The ARN and the description of a new dataset."""
    asked = {"DatasetSource": source} if source else {}
    arn = api.create_dataset(ProjectArn=project, DatasetType=kind, **asked)["DatasetArn"]
    return arn, settled(lambda: api.describe_dataset(DatasetArn=arn)["DatasetDescription"])


def version_of(api: Any, project: str, name: str) -> dict[str, Any]:
    """The description of a version."""
    found = api.describe_project_versions(ProjectArn=project, VersionNames=[name])["ProjectVersionDescriptions"]
    assert len(found) == 1
    return dict(found[0])


def trained(api: Any, project: str, name: str = "1", **asked: Any) -> dict[str, Any]:
    """The description of a version that was trained meanwhile."""
    api.create_project_version(ProjectArn=project, VersionName=name, OutputConfig=OUTPUT, **asked)
    waiter = api.get_waiter("project_version_training_completed")
    waiter.wait(ProjectArn=project, VersionNames=[name], WaiterConfig=FAST)
    return version_of(api, project, name)


def asset(name: str) -> dict[str, Any]:
    """A file of the output, as a description names it."""
    key = f"{OUTPUT['S3KeyPrefix']}/{name}-rooms-1.json"
    return {"GroundTruthManifest": {"S3Object": {"Bucket": RESULTS, "Name": key}}}


def test_a_project_lives(api: Any, s3: Any) -> None:
    """From the first picture to the deleted project, as AWS's guide walks."""
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    source = put_manifest(s3, "all.manifest", {"leaf": 10, "sun": 10})
    train, described = dataset_of(api, project, "TRAIN", source)
    assert (described["Status"], described["StatusMessageCode"]) == ("CREATE_COMPLETE", "SUCCESS")
    assert described["DatasetStats"] == {"LabeledEntries": 20, "TotalEntries": 20, "TotalLabels": 2, "ErrorEntries": 0}
    test, _ = dataset_of(api, project, "TEST", None)
    api.distribute_dataset_entries(Datasets=[{"Arn": train}, {"Arn": test}])
    for arn, count in ((train, 16), (test, 4)):
        described = settled(lambda arn=arn: api.describe_dataset(DatasetArn=arn)["DatasetDescription"])
        assert (described["Status"], described["DatasetStats"]["TotalEntries"]) == ("UPDATE_COMPLETE", count)
    listed = api.describe_projects()["ProjectDescriptions"][0]["Datasets"]
    assert [(each["DatasetType"], each["DatasetArn"]) for each in listed] == [("TRAIN", train), ("TEST", test)]

    check_trained(api, s3, trained(api, project, KmsKeyId="alias/mine", VersionDescription="the first"), project)
    check_runs(api, project)

    version = version_of(api, project, "1")["ProjectVersionArn"]
    with pytest.raises(api.exceptions.ResourceInUseException):
        api.delete_project(ProjectArn=project)
    assert api.delete_project_version(ProjectVersionArn=version)["Status"] == "DELETING"
    until(lambda: api.describe_project_versions(ProjectArn=project)["ProjectVersionDescriptions"] == [])
    for arn in (train, test):
        api.delete_dataset(DatasetArn=arn)
    until(lambda: api.describe_projects()["ProjectDescriptions"][0]["Datasets"] == [])
    api.delete_project(ProjectArn=project)
    assert api.describe_projects()["ProjectDescriptions"] == []


def until(is_so: Callable[[], bool]) -> None:
    """Return when it is so."""
    deadline = datetime.now(UTC) + PATIENCE
    while not is_so():
        assert datetime.now(UTC) < deadline
        time.sleep(0.01)


def check_trained(api: Any, s3: Any, version: dict[str, Any], project: str) -> None:
    """Every member that AWS sends of a trained version, and the files that they name."""
    created, ended = version.pop("CreationTimestamp"), version.pop("TrainingEndTimestamp")
    f1 = version["EvaluationResult"].pop("F1Score")
    created_ms = round(created.timestamp() * 1000)

    assert version == {
        "ProjectVersionArn": f"{project.rpartition('/')[0]}/version/1/{created_ms}",
        "Status": "TRAINING_COMPLETED",
        "StatusMessage": "The model is ready to run.",
        "BillableTrainingTimeInSeconds": version["BillableTrainingTimeInSeconds"],
        "OutputConfig": OUTPUT,
        "TrainingDataResult": {
            "Input": {},
            "Output": {"Assets": [asset("TrainingGroundTruth")]},
            "Validation": {"Assets": [asset("TrainingManifestWithValidation")]},
        },
        "TestingDataResult": {
            "Input": {"AutoCreate": False},
            "Output": {"Assets": [asset("TestingGroundTruth")], "AutoCreate": False},
            "Validation": {"Assets": [asset("TestingManifestWithValidation")]},
        },
        "EvaluationResult": {"Summary": asset("EvaluationResultSummary")["GroundTruthManifest"]},
        "ManifestSummary": asset("ManifestSummary")["GroundTruthManifest"],
        "KmsKeyId": "alias/mine",
        "VersionDescription": "the first",
        "Feature": "CUSTOM_LABELS",
    }
    assert created < ended
    assert 0 <= version["BillableTrainingTimeInSeconds"] <= 60
    place = version["EvaluationResult"]["Summary"]["S3Object"]
    summary = json.load(s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"])
    assert summary["AggregatedEvaluationResults"]["F1Score"] == pytest.approx(f1)
    assert summary["EvaluationDetails"]["ProjectVersionArn"] == version["ProjectVersionArn"]


def check_runs(api: Any, project: str) -> None:
    """A version is started, asked and stopped."""
    arn = version_of(api, project, "1")["ProjectVersionArn"]
    leaf = picture("leaf", 777)
    asked = {"ProjectVersionArn": arn, "Image": {"Bytes": leaf}}
    with pytest.raises(api.exceptions.ResourceNotReadyException):
        api.detect_custom_labels(**asked)
    answer = api.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1, MaxInferenceUnits=3)
    assert answer["Status"] == "STARTING"
    api.get_waiter("project_version_running").wait(ProjectArn=project, VersionNames=["1"], WaiterConfig=FAST)
    running = version_of(api, project, "1")
    assert (running["MinInferenceUnits"], running["MaxInferenceUnits"]) == (1, 3)
    assert running["StatusMessage"] == "The model is running."

    everything = api.detect_custom_labels(**asked, MinConfidence=0)["CustomLabels"]
    assert [label["Name"] for label in everything] == ["leaf", "sun"]
    assert [sorted(label) for label in everything] == [["Confidence", "Name"]] * 2
    assert 100 >= everything[0]["Confidence"] > everything[1]["Confidence"] >= 0
    assert api.detect_custom_labels(**asked, MinConfidence=0, MaxResults=1)["CustomLabels"] == everything[:1]
    assert api.detect_custom_labels(**asked, MinConfidence=100)["CustomLabels"] == []
    lying = {"S3Object": {"Bucket": PHOTOS, "Name": "sun/3.png"}}
    (found,) = api.detect_custom_labels(ProjectVersionArn=arn, Image=lying)["CustomLabels"]
    assert found["Name"] == "sun"

    assert api.stop_project_version(ProjectVersionArn=arn)["Status"] == "STOPPING"
    assert settled(lambda: version_of(api, project, "1"))["Status"] == "STOPPED"
    with pytest.raises(api.exceptions.ResourceNotReadyException):
        api.detect_custom_labels(**asked)


def test_manifests_are_trained_on_where_there_are_no_datasets(api: Any, s3: Any) -> None:
    """What was given stands under Input; where the test images are chosen, both sides say so."""
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    source = put_manifest(s3, "all.manifest", {"leaf": 10, "sun": 10})
    data = {"TrainingData": {"Assets": [source]}, "TestingData": {"AutoCreate": True}}
    version = trained(api, project, **data)

    assert version["TrainingDataResult"]["Input"] == {"Assets": [source]}
    assert version["TestingDataResult"]["Input"] == {"AutoCreate": True}
    assert version["TestingDataResult"]["Output"] == {"Assets": [asset("TestingGroundTruth")], "AutoCreate": True}


def test_a_training_that_cannot_be_says_why(api: Any, s3: Any) -> None:
    """The waiter ends at once; the message names the cause; what was found out about the lines is there."""
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    source = put_manifest(s3, "all.manifest", {"leaf": 10})
    with pytest.raises(WaiterError, match="TRAINING_FAILED"):
        trained(api, project, TrainingData={"Assets": [source]}, TestingData={"AutoCreate": True})

    version = version_of(api, project, "1")
    assert (version["Status"], "label" in version["StatusMessage"]) == ("TRAINING_FAILED", True)
    assert version["ManifestSummary"] == asset("ManifestSummary")["GroundTruthManifest"]
    assert version["TrainingDataResult"]["Validation"] == {"Assets": [asset("TrainingManifestWithValidation")]}
    assert "Output" not in version["TrainingDataResult"]
    assert "EvaluationResult" not in version


def test_a_version_is_copied_into_another_project(api: Any, s3: Any) -> None:
    """The copy names its source, has files of its own, and runs."""
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    other = api.create_project(ProjectName="halls")["ProjectArn"]
    source = put_manifest(s3, "all.manifest", {"leaf": 10, "sun": 10})
    version = trained(api, project, TrainingData={"Assets": [source]}, TestingData={"AutoCreate": True})
    arn = api.copy_project_version(
        SourceProjectArn=project,
        SourceProjectVersionArn=version["ProjectVersionArn"],
        DestinationProjectArn=other,
        VersionName="copied",
        OutputConfig={"S3Bucket": RESULTS, "S3KeyPrefix": "copies"},
        Tags={"team": "sight"},
    )["ProjectVersionArn"]
    copied = settled(lambda: version_of(api, other, "copied"))

    assert (copied["Status"], copied["SourceProjectVersionArn"]) == ("COPYING_COMPLETED", version["ProjectVersionArn"])
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "sight"}
    place = copied["EvaluationResult"]["Summary"]["S3Object"]
    assert place["Name"].startswith("copies/")
    assert s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"].read()
    api.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    api.get_waiter("project_version_running").wait(ProjectArn=other, VersionNames=["copied"], WaiterConfig=FAST)
    found = api.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": picture("leaf", 500)})["CustomLabels"]
    assert [label["Name"] for label in found] == ["leaf"]


def test_entries_are_listed_and_changed(api: Any, s3: Any) -> None:
    """Every filter; a line is replaced by its source-ref or added; labels come and go with the lines."""
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    unlabeled = json.dumps({"source-ref": f"s3://{PHOTOS}/bare.png"}).encode()
    source = put_manifest(s3, "all.manifest", {"leaf": 3, "sun": 2}, extra=(unlabeled,))
    arn, _ = dataset_of(api, project, "TRAIN", source)

    def names(**asked: Any) -> list[str]:
        found = api.list_dataset_entries(DatasetArn=arn, **asked)["DatasetEntries"]
        return [json.loads(entry)["source-ref"].partition(PHOTOS + "/")[2] for entry in found]

    suns = ["sun/0.png", "sun/1.png"]
    assert names() == ["bare.png", "leaf/0.png", "leaf/1.png", "leaf/2.png", *suns]
    assert names(ContainsLabels=["sun"], HasErrors=False) == suns
    assert len(names(ContainsLabels=["sun", "leaf"])) == 5
    assert names(Labeled=False) == ["bare.png"]
    assert names(SourceRefContains="un/1") == ["sun/1.png"]
    pages = api.get_paginator("list_dataset_entries").paginate(DatasetArn=arn, PaginationConfig={"PageSize": 4})
    assert [len(page["DatasetEntries"]) for page in pages] == [4, 2]
    labels = api.list_dataset_labels(DatasetArn=arn)["DatasetLabelDescriptions"]
    assert labels == [
        {"LabelName": "leaf", "LabelStats": {"EntryCount": 3}},
        {"LabelName": "sun", "LabelStats": {"EntryCount": 2}},
    ]

    changes = manifest_line("sun/0.png", ("moon",)) + b"\n" + manifest_line("new.png", ("moon", "leaf"))
    api.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": changes})
    described = settled(lambda: api.describe_dataset(DatasetArn=arn)["DatasetDescription"])
    assert described["Status"] == "UPDATE_COMPLETE"
    assert described["DatasetStats"] == {"LabeledEntries": 6, "TotalEntries": 7, "TotalLabels": 3, "ErrorEntries": 0}
    assert sorted(names(ContainsLabels=["moon"])) == ["new.png", "sun/0.png"]


def test_a_dataset_is_copied(api: Any, s3: Any) -> None:
    """Entry for entry, into another project."""
    first, second = (api.create_project(ProjectName=name)["ProjectArn"] for name in ("rooms", "halls"))
    train, _ = dataset_of(api, first, "TRAIN", put_manifest(s3, "all.manifest", {"leaf": 3, "sun": 2}))
    copy, described = dataset_of(api, second, "TEST", {"DatasetArn": train})

    entries = [api.list_dataset_entries(DatasetArn=arn)["DatasetEntries"] for arn in (train, copy)]
    assert described["DatasetStats"]["TotalEntries"] == 5
    assert entries[0] == entries[1]


VIEWER = """
import json, sys
import boto3, pandas

session = boto3.Session(profile_name="custom-labels-access")
client, bucket_of = session.client("rekognition"), session.resource("s3").Bucket
(project,) = client.describe_projects(ProjectNames=[sys.argv[1]])["ProjectDescriptions"]
versions = client.describe_project_versions(ProjectArn=project["ProjectArn"], VersionNames=[sys.argv[2]])
place = versions["ProjectVersionDescriptions"][0]["EvaluationResult"]["Summary"]["S3Object"]
summary = json.loads(bucket_of(place["Bucket"]).Object(place["Name"]).get()["Body"].read())
cells = pandas.DataFrame(summary["AggregatedEvaluationResults"]["ConfusionMatrix"])
pandas.options.display.float_format = "{:.0%}".format
print(cells.pivot_table(index="PredictedLabel", columns="GroundTruthLabel", fill_value=0.0).astype(float))
"""
"""The way of AWS's published program from two names to the matrix, with nothing but a profile."""


def test_the_published_way_to_the_matrix(service: serving.Service, api: Any, s3: Any, tmp_path: Path) -> None:
    """A program that knows a profile, a project and a version prints the matrix; it needs no address of ours."""
    project = api.create_project(ProjectName="rooms")["ProjectArn"]
    source = put_manifest(s3, "all.manifest", {"leaf": 10, "sun": 10})
    trained(api, project, TrainingData={"Assets": [source]}, TestingData={"AutoCreate": True})
    config = tmp_path / "config"
    config.write_text(credentials.written("aws-config", service.key, Address(service.url, service.url, "us-east-1")))
    variables = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    command = [sys.executable, "-c", VIEWER, "rooms", "1"]
    run = subprocess.run(command, env=environment(variables), capture_output=True, text=True, check=False, timeout=120)

    assert run.stderr == ""
    assert [line.split() for line in run.stdout.splitlines()] == [
        ["Value"],
        ["GroundTruthLabel", "leaf", "sun"],
        ["PredictedLabel"],
        ["leaf", "100%", "0%"],
        ["sun", "0%", "100%"],
    ]

"""What docs/operating.md promises, with running servers: a copy of a home, a database that is away, another S3."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from clusters import Cluster, free_port
from servers import Server, command, environment, finished, running
from worlds import manifest_line, picture

LABELS = ("leaf", "sun")
WAIT = {"Delay": 1, "MaxAttempts": 200}

pytestmark = pytest.mark.slow


class Clients:
    """boto3 with the key that the first start of a server printed.

    Attributes:
        api: Custom Labels, at a server.
        s3: where that key's variables say that objects are.
    """

    def __init__(self, values: dict[str, str], url: str) -> None:
        """Clients of the server at `url`; objects are there too, unless the variables name another place."""
        session = boto3.Session(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        once = Config(retries={"total_max_attempts": 1})
        is_one = values["AWS_ENDPOINT_URL_S3"] == values["AWS_ENDPOINT_URL_REKOGNITION"]
        self.api = session.client("rekognition", endpoint_url=url, config=once)
        self.s3 = session.client("s3", endpoint_url=url if is_one else values["AWS_ENDPOINT_URL_S3"], config=once)

    def settled(self, arn: str) -> dict[str, Any]:
        """A dataset when nothing is under way with it."""
        for _ in range(600):
            found: dict[str, Any] = self.api.describe_dataset(DatasetArn=arn)["DatasetDescription"]
            if not found["Status"].endswith("_IN_PROGRESS"):
                return found
            time.sleep(0.05)
        raise AssertionError(found)

    def version(self, project: str, name: str) -> dict[str, Any]:
        """A version as it is told."""
        (found,) = self.api.describe_project_versions(ProjectArn=project, VersionNames=[name])[
            "ProjectVersionDescriptions"
        ]
        return dict(found)

    def put_pictures(self, bucket: str) -> None:
        """Twelve pictures of each label, and a manifest of them, in a bucket that is made."""
        self.s3.create_bucket(Bucket=bucket)
        keys = [(f"{label}/{number} +ü.png", label, number) for label in LABELS for number in range(12)]
        for key, label, number in keys:
            self.s3.put_object(Bucket=bucket, Key=key, Body=picture(label, number))
        lines = [manifest_line(key, [label], bucket=bucket) for key, label, _ in keys]
        self.s3.put_object(Bucket=bucket, Key="all.manifest", Body=b"\n".join(lines))

    def make_project(self, bucket: str) -> str:
        """A project "garden" whose training dataset is the manifest of that bucket; a fifth of it is for tests."""
        project = str(self.api.create_project(ProjectName="garden")["ProjectArn"])
        source = {"GroundTruthManifest": {"S3Object": {"Bucket": bucket, "Name": "all.manifest"}}}
        train = self.api.create_dataset(ProjectArn=project, DatasetType="TRAIN", DatasetSource=source)["DatasetArn"]
        test = self.api.create_dataset(ProjectArn=project, DatasetType="TEST")["DatasetArn"]
        assert self.settled(train)["Status"] == "CREATE_COMPLETE"
        self.api.distribute_dataset_entries(Datasets=[{"Arn": train}, {"Arn": test}])
        assert self.settled(test)["DatasetStats"]["TotalEntries"] == 5
        return project

    def train(self, project: str, name: str, bucket: str) -> str:
        """Ask for a training whose results go to the prefix "out" of a bucket."""
        output = {"S3Bucket": bucket, "S3KeyPrefix": "out"}
        made = self.api.create_project_version(ProjectArn=project, VersionName=name, OutputConfig=output)
        return str(made["ProjectVersionArn"])

    def wait(self, waiter: str, project: str, name: str) -> None:
        """Wait as AWS's samples do, with less patience."""
        self.api.get_waiter(waiter).wait(ProjectArn=project, VersionNames=[name], WaiterConfig=WAIT)

    def seen(self, version: str, **image: Any) -> list[tuple[str, float]]:
        """The labels of an image by a running version, every one of them."""
        answer = self.api.detect_custom_labels(ProjectVersionArn=version, Image=image, MinConfidence=0)
        return [(label["Name"], label["Confidence"]) for label in answer["CustomLabels"]]

    def keys(self, bucket: str) -> list[str]:
        """The keys in a bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Every object of a bucket."""
        return {key: self.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in self.keys(bucket)}


# A copy that is made while the server works


def copy_home(home: Path, copy: Path, *, meanwhile: Callable[[], None]) -> None:
    """Copy a home in the order of docs/operating.md; what `meanwhile` does falls between the first steps."""
    shutil.copytree(home / "blobs", copy / "blobs")
    shutil.copy(home / "identity", copy / "identity")
    meanwhile()
    opened = [contextlib.closing(sqlite3.connect(path / "deconfuse.db")) for path in (home, copy)]
    with opened[0] as source, opened[1] as target:
        source.backup(target)
    shutil.copytree(home / "blobs", copy / "blobs", dirs_exist_ok=True)


def test_a_copy_brings_models_results_keys_and_trainings_back(tmp_path: Path) -> None:
    """A running version detects as before, results are byte for byte the same, a training under way begins again."""
    copy = tmp_path / "elsewhere" / "copy"
    with running(tmp_path / "home") as server:
        values, before = server.exports(), Clients(server.exports(), server.url)
        before.put_pictures("photos")
        before.s3.create_bucket(Bucket="results")
        project = before.make_project("photos")
        first = before.train(project, "1", "results")
        before.wait("project_version_training_completed", project, "1")
        before.api.start_project_version(ProjectVersionArn=first, MinInferenceUnits=1)
        before.wait("project_version_running", project, "1")
        before.api.tag_resource(ResourceArn=first, Tags={"kept": "yes"})
        results, labels = before.contents("results"), before.seen(first, Bytes=picture("sun", 99))
        copy_home(server.home, copy, meanwhile=lambda: before.train(project, "2", "results") and None)
        photos = before.contents("photos")
    shutil.rmtree(tmp_path / "home")
    with running(copy) as restored:
        after = Clients(values, restored.url)

        assert restored.exports() == {}, "no new key is made"
        assert after.contents("photos") == photos
        assert after.contents("results").items() >= results.items()
        assert after.version(project, "1")["Status"] == "RUNNING"
        assert after.seen(first, Bytes=picture("sun", 99)) == labels
        assert after.seen(first, S3Object={"Bucket": "photos", "Name": "leaf/3 +ü.png"})[0][0] == "leaf"
        assert after.api.list_tags_for_resource(ResourceArn=first)["Tags"] == {"kept": "yes"}
        after.wait("project_version_training_completed", project, "2")
        assert after.contents("results").keys() == results.keys() | {key.replace("-1.", "-2.") for key in results}
        assert not [line for line in restored.lines() if line["level"] == "error"]


# A database that goes away


@pytest.mark.postgres
def test_a_database_that_goes_away_comes_back(tmp_path: Path, postgres_cluster: Cluster, postgres_url: str) -> None:
    """For a minute: errors that clients repeat, and no word about where it is; then all goes on, trainings too."""
    with running(tmp_path / "home", "--shared-home", "--database", postgres_url) as server:
        clients = Clients(server.exports(), server.url)
        clients.put_pictures("photos")
        project = clients.make_project("photos")
        clients.train(project, "1", "photos")
        postgres_cluster.stop()
        try:
            over = time.monotonic() + 60
            while time.monotonic() < over:
                for ask in (clients.api.describe_projects, lambda: clients.keys("photos")):
                    with pytest.raises(ClientError) as caught:
                        ask()
                    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503)
                    assert str(postgres_cluster.port) not in str(caught.value)
                with pytest.raises(urllib.error.HTTPError, match="503"):
                    urllib.request.urlopen(f"{server.url}/healthz", timeout=20)
                time.sleep(1)
        finally:
            postgres_cluster.start()
        clients.wait("project_version_training_completed", project, "1")

        away = [line["event"] for line in server.lines() if line["level"] == "warning"]
        assert [event for event in away if "DescribeProjects" in event and "the database cannot be used" in event]
        assert not [line for line in server.lines() if line["level"] == "error"]
        assert len(clients.keys("photos")) == 25 + 8
        assert urllib.request.urlopen(f"{server.url}/healthz", timeout=20).status == 200
        assert server.stop() == 0


# Objects in an S3 by somebody else


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Moto's server."""
    port = free_port()
    words = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def store(moto: str) -> Iterator[dict[str, str]]:
    """The settings of a store below s3://company/ours in that S3, which is empty."""
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST"), timeout=20).close()
    there = boto3.client("s3", "us-east-1", endpoint_url=moto, aws_access_key_id="me", aws_secret_access_key="hush")
    there.create_bucket(Bucket="company")
    yield {
        "DECONFUSE_STORE": "s3://company/ours",
        "DECONFUSE_STORE_KEY_ID": "me",
        "DECONFUSE_STORE_SECRET": "hush",
        "DECONFUSE_STORE_ENDPOINT": moto,
    }
    there.close()


@pytest.fixture
def elsewhere(tmp_path: Path, store: dict[str, str]) -> Iterator[tuple[Server, Clients]]:
    """A server that keeps its objects there, and clients that have put pictures there."""
    with running(tmp_path / "home", variables=store) as server:
        clients = Clients(server.exports(), server.url)
        clients.put_pictures("photos")
        clients.s3.create_bucket(Bucket="results")
        yield server, clients
        assert not [line for line in server.lines() if line["level"] == "error"]


def test_the_whole_story_with_objects_in_another_s3(
    elsewhere: tuple[Server, Clients], deconfuse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, evaluated, asked, copied and deleted; results lie there by AWS's names, no byte in the home."""
    server, clients = elsewhere
    project = clients.make_project("photos")
    first = clients.train(project, "1", "results")
    clients.wait("project_version_training_completed", project, "1")
    summary = clients.version(project, "1")["EvaluationResult"]["Summary"]["S3Object"]
    read = json.loads(clients.s3.get_object(Bucket=summary["Bucket"], Key=summary["Name"])["Body"].read())
    clients.api.start_project_version(ProjectVersionArn=first, MinInferenceUnits=1)
    clients.wait("project_version_running", project, "1")
    labels = clients.seen(first, Bytes=picture("leaf", 99))

    assert summary == {"Bucket": "results", "Name": "out/EvaluationResultSummary-garden-1.json"}
    assert len(read["AggregatedEvaluationResults"]["ConfusionMatrix"]) == 4
    assert {key.partition("-")[0] for key in clients.keys("results")} == {
        "out/EvaluationResultSummary", "out/ManifestSummary", "out/TestingGroundTruth", "out/TrainingGroundTruth",
        "out/TestingManifestWithValidation", "out/TrainingManifestWithValidation", "out/report", "out/predictions",
    }  # fmt: skip
    assert labels[0][0] == "leaf"
    assert clients.seen(first, S3Object={"Bucket": "photos", "Name": "sun/3 +ü.png"})[0][0] == "sun"
    with pytest.raises(ClientError, match="InvalidS3ObjectException"):
        clients.seen(first, S3Object={"Bucket": "photos", "Name": "never"})
    assert [key for key in clients.keys("company") if not key.startswith("ours/")] == []
    for name, value in server.exports().items():
        monkeypatch.setenv(name, value)
    printed = deconfuse("matrix", "--project", "garden", "--version", "1", "--format", "csv")
    assert (printed.code, printed.out.splitlines()[0]) == (0, "true_label,predicted_label,count")
    check_copy_and_end(clients, project, first, labels)
    assert not (server.home / "blobs").exists()


def check_copy_and_end(clients: Clients, project: str, first: str, labels: list[tuple[str, float]]) -> None:
    """A copy answers as its source does; deleted versions leave nothing of ours there, and their results stay."""
    other = clients.api.create_project(ProjectName="park")["ProjectArn"]
    second = clients.api.copy_project_version(
        SourceProjectArn=project,
        SourceProjectVersionArn=first,
        DestinationProjectArn=other,
        VersionName="c",
        OutputConfig={"S3Bucket": "results", "S3KeyPrefix": "copy"},
    )["ProjectVersionArn"]
    for _ in range(200):
        if clients.version(other, "c")["Status"] != "COPYING_IN_PROGRESS":
            break
        time.sleep(0.1)
    clients.api.start_project_version(ProjectVersionArn=second, MinInferenceUnits=1)
    clients.wait("project_version_running", other, "c")
    assert clients.seen(second, Bytes=picture("leaf", 99)) == labels
    kept = clients.contents("results")
    for version in (first, second):
        clients.api.stop_project_version(ProjectVersionArn=version)
        clients.api.delete_project_version(ProjectVersionArn=version)
    for _ in range(200):
        if len(clients.keys("company")) == 1:
            break
        time.sleep(0.1)

    assert clients.keys("company") == ["ours/identity"]
    assert clients.contents("results") == kept
    assert [key for key in kept if key.startswith("copy/EvaluationResultSummary-")]


def test_an_output_bucket_that_is_not_there_is_said(elsewhere: tuple[Server, Clients]) -> None:
    """By the version, in words; nothing waits for ever."""
    _, clients = elsewhere
    project = clients.make_project("photos")
    clients.train(project, "1", "nowhere-at-all")
    with pytest.raises(WaiterError):
        clients.wait("project_version_training_completed", project, "1")

    assert "nowhere-at-all" in clients.version(project, "1")["StatusMessage"]


def test_the_services_own_place_there_is_closed_to_requests(elsewhere: tuple[Server, Clients]) -> None:
    """As a manifest, an image and an output; what lies there is as it was."""
    _, clients = elsewhere
    project = clients.make_project("photos")
    first = clients.train(project, "1", "results")
    clients.wait("project_version_training_completed", project, "1")
    clients.api.start_project_version(ProjectVersionArn=first, MinInferenceUnits=1)
    clients.wait("project_version_running", project, "1")
    clients.s3.put_object(Bucket="company", Key="ours/a.png", Body=picture("sun", 1))
    clients.s3.put_object(Bucket="company", Key="ours/a.manifest", Body=manifest_line("leaf/1.png", ["leaf"]))
    clients.s3.put_object(Bucket="company", Key="theirs/a.png", Body=picture("sun", 1))
    before = clients.contents("company")

    other = clients.api.create_project(ProjectName="park")["ProjectArn"]
    source = {"GroundTruthManifest": {"S3Object": {"Bucket": "company", "Name": "ours/a.manifest"}}}
    with pytest.raises(ClientError, match="InvalidS3ObjectException"):
        clients.api.create_dataset(ProjectArn=other, DatasetType="TRAIN", DatasetSource=source)
    with pytest.raises(ClientError, match="InvalidS3ObjectException"):
        clients.seen(first, S3Object={"Bucket": "company", "Name": "ours/a.png"})
    assert clients.seen(first, S3Object={"Bucket": "company", "Name": "theirs/a.png"})[0][0] == "sun"
    output = {"S3Bucket": "company", "S3KeyPrefix": "ours/versions/1"}
    clients.api.create_project_version(ProjectArn=project, VersionName="2", OutputConfig=output)
    with pytest.raises(WaiterError):
        clients.wait("project_version_training_completed", project, "2")
    assert "That place is the service's own" in clients.version(project, "2")["StatusMessage"]
    assert clients.contents("company") == before


def test_a_store_there_goes_with_its_database(tmp_path: Path, store: dict[str, str]) -> None:
    """A second home is refused before it touches anything; the first one, and a copy of it, are not."""
    with running(tmp_path / "home", variables=store) as server:
        clients = Clients(server.exports(), server.url)
        before = clients.contents("company")
        code, said = finished(tmp_path / "other", "--port", "0", variables=store)

        assert (code, "s3://company/ours" in said, "another database" in said, "--store" in said) == (
            5,
            True,
            True,
            True,
        )
        assert clients.contents("company") == before
        assert list(before) == ["ours/identity"]
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    for home in ("home", "copy"):
        with running(tmp_path / home, variables=store) as server:
            assert server.stop() == 0
    with running(tmp_path / "other", variables=store | {"DECONFUSE_STORE": "s3://company/other"}):
        assert sorted(clients.keys("company")) == ["other/identity", "ours/identity"]


def test_of_two_homes_that_start_together_one_has_the_store(tmp_path: Path, store: dict[str, str]) -> None:
    """The other one is told so."""
    both = [
        subprocess.Popen(
            command(tmp_path / name, "--port", "0"), env=environment(store), stderr=subprocess.PIPE, text=True
        )
        for name in ("first", "second")
    ]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and all(process.poll() is None for process in both):
        time.sleep(0.05)
    refused, other = sorted(both, key=lambda process: process.poll() is None)
    assert other.stderr
    is_served = any("listens on" in line for line in other.stderr)  # reads until it says so
    other.terminate()

    assert (refused.wait(60), is_served) == (5, True)
    assert "another database" in refused.communicate()[1]
    other.communicate(timeout=60)


@pytest.mark.postgres
def test_servers_of_one_database_share_a_store_there(
    tmp_path: Path, store: dict[str, str], postgres_cluster: Cluster
) -> None:
    """Each from a home of its own; a server of another database is refused."""
    shared = store | {"DECONFUSE_DATABASE": postgres_cluster.new_database()}
    other = store | {"DECONFUSE_DATABASE": postgres_cluster.new_database()}
    with (
        running(tmp_path / "first", variables=shared) as first,
        running(tmp_path / "second", variables=shared) as second,
    ):
        project = Clients(first.exports(), first.url).api.create_project(ProjectName="garden")["ProjectArn"]
        listed = Clients(first.exports(), second.url).api.describe_projects()["ProjectDescriptions"]
        code, said = finished(tmp_path / "third", "--port", "0", variables=other)

    assert [each["ProjectArn"] for each in listed] == [project]
    assert (code, "another database" in said) == (5, True)

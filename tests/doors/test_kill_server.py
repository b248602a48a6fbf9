"""Kill -9 of the server at every commit point by its name, and of everything at random, while clients are at work.

Whatever was answered with 200 is there afterwards, whatever was begun comes to its end, and nothing is left running.
With DECONFUSE_SOAK=1 at 50 random moments instead of 10.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from clusters import free_port
from deconfuse.app import open_house
from deconfuse.settings import read_settings
from mortal import Deaths, is_timed, name_of
from wholeness import MOMENTS, check_whole
from workers import until
from worlds import manifest_line, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

OPEN = {"STARTING", "STOPPING", "DELETING"}
PART = 5 << 20
GONE = (HTTPClientError, NotConnected)


class Served:
    """A home that is served by a mortal process on one port, started again when it has died.

    Attributes:
        deaths: where it and its children die.
        home: the directory.
        n_deaths: how often it was started again.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self.deaths = Deaths(folder / "deaths")
        self.home = folder / "home"
        self.n_deaths = 0
        self._log = folder / "log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as often as it dies of it, and return when it answers."""
        command = [sys.executable, "-m", "deconfuse", "serve", "--home", str(self.home), "--port", str(self._port)]
        while True:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(command, env=self.deaths.environment(), stdout=log, stderr=log)
            until(lambda: self._is_over() or b"listens on" in self._log.read_bytes(), what="the start")
            if not self._is_over():
                return
            assert self._process.returncode == -signal.SIGKILL, self._log.read_text()
            self.n_deaths += 1

    def revive(self) -> None:
        """Start it again when it has died; that it does not answer must have this reason."""
        assert self._process is not None
        self._process.wait(20)
        assert self._process.returncode == -signal.SIGKILL, self._log.read_text()
        self.n_deaths += 1
        self.start()

    def kill(self) -> None:
        """Kill it from outside."""
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        """Ask it to end; it ends well and leaves no process."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(40) == 0, self._log.read_text()
        until(lambda: not self.deaths.processes(), seconds=5, what=str(self.deaths.processes()))

    def end(self) -> None:
        """Kill everything of it that is left."""
        self.deaths.kill_all()
        if self._process is not None:
            self._process.wait(20)

    def client(self, service: str) -> Any:
        """A client that tries once."""
        house = open_house(read_settings(given={"DECONFUSE_HOME": str(self.home)}))
        try:
            from deconfuse.service.keys import list_keys

            key = list_keys(house)[0]
        finally:
            house.database.close()
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
        session = boto3.Session(key.id, key.secret, region_name="us-east-1")
        return session.client(service, endpoint_url=f"http://127.0.0.1:{self._port}", config=config)

    def _is_over(self) -> bool:
        return self._process is not None and self._process.poll() is not None


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A home that is served, new."""
    served = Served(tmp_path)
    try:
        served.start()
        yield served
    finally:
        served.end()


class Story:
    """A user who does everything there is, insists on each step, and remembers what was answered."""

    def __init__(self, served: Served, name: str) -> None:
        """A user with a bucket and a project of this name."""
        self._served = served
        self._name = name
        self._s3 = served.client("s3")
        self._api = served.client("rekognition")
        self._kept: dict[str, str | None] = {}

    def tell(self) -> None:
        """From the first upload to the last deletion."""
        self.upload()
        self.upload_parts()
        self.copy_and_delete()
        project = self.make_project()
        version = self.train(project)
        self.use(version)
        self.clear_away(project, version)

    def insist(self, call: Callable[..., Any], *done: str, **parameters: Any) -> Any:
        """The answer to a call that is repeated while the server dies; None where an earlier one was carried out.

        Args:
            call: an operation of a client.
            done: the codes by which the service says so.
            parameters: of the operation.
        """
        is_doubtful = False
        while True:
            try:
                answer = call(**parameters)
            except GONE:
                self._served.revive()
                is_doubtful = True
                self.check_kept()
            except ClientError as error:
                if is_doubtful and error.response["Error"]["Code"] in done:
                    return None
                raise
            else:
                assert answer["ResponseMetadata"]["HTTPStatusCode"] in (200, 204)
                return answer

    def check_kept(self) -> None:
        """Everything that was answered is so; while a server dies of that, it is asked again."""
        for key, md5 in [*self._kept.items()]:
            try:
                answer = self._s3.get_object(Bucket=self._name, Key=key)
                found = hashlib.md5(answer["Body"].read()).hexdigest()
            except self._s3.exceptions.NoSuchKey:
                found = None
            except GONE:
                self._served.revive()
                self.check_kept()
                return
            assert (key, found) == (key, md5)

    def put(self, key: str, data: bytes) -> None:
        """Put an object; until that is answered, nobody knows which one is there."""
        self._kept.pop(key, None)
        self.insist(self._s3.put_object, Bucket=self._name, Key=key, Body=data)
        self._kept[key] = hashlib.md5(data).hexdigest()

    def upload(self) -> None:
        """Images and manifests."""
        self.insist(self._s3.create_bucket, "BucketAlreadyOwnedByYou", Bucket=self._name)
        for side, counts in (("train", 6), ("test", 2)):
            lines = []
            for label in ("leaf", "sun"):
                for number in range(counts):
                    key = f"{side}/{label}-{number}.png"
                    self.put(key, picture(label, number + (1000 if side == "test" else 0)))
                    lines.append(manifest_line(key, (label,), bucket=self._name))
            self.put(f"{side}.manifest", b"\n".join(lines))

    def upload_parts(self) -> None:
        """One object in two parts."""
        place = {"Bucket": self._name, "Key": "large"}
        parts = [b"a" * PART, b"b" * 100]
        upload = self.insist(self._s3.create_multipart_upload, **place)["UploadId"]
        etags = [
            self.insist(self._s3.upload_part, UploadId=upload, PartNumber=n, Body=part, **place)["ETag"]
            for n, part in enumerate(parts, start=1)
        ]
        listed = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, start=1)]
        whole = {"Parts": listed}
        self.insist(self._s3.complete_multipart_upload, "NoSuchUpload", UploadId=upload, MultipartUpload=whole, **place)
        self._kept["large"] = hashlib.md5(b"".join(parts)).hexdigest()
        other = self.insist(self._s3.create_multipart_upload, Bucket=self._name, Key="none")["UploadId"]
        self.insist(self._s3.upload_part, UploadId=other, PartNumber=1, Body=b"x", Bucket=self._name, Key="none")
        self.insist(self._s3.abort_multipart_upload, "NoSuchUpload", UploadId=other, Bucket=self._name, Key="none")

    def copy_and_delete(self) -> None:
        """Copies, replacements and deletions."""
        for key in ("one", "two", "three"):
            source = {"Bucket": self._name, "Key": "train.manifest"}
            self.insist(self._s3.copy_object, Bucket=self._name, Key=key, CopySource=source)
            self._kept[key] = self._kept["train.manifest"]
        self.put("one", b"another one")
        for key in ("one", "two", "three"):
            del self._kept[key]
        self.insist(self._s3.delete_object, Bucket=self._name, Key="one")
        both = {"Objects": [{"Key": "two"}, {"Key": "three"}]}
        self.insist(self._s3.delete_objects, Bucket=self._name, Delete=both)
        self._kept |= {"one": None, "two": None, "three": None}

    def make_project(self) -> str:
        """A project with both datasets: its ARN."""
        self.insist(self._api.create_project, "ResourceInUseException", ProjectName=self._name)
        (project,) = self.insist(self._api.describe_projects, ProjectNames=[self._name])["ProjectDescriptions"]
        arn: str = project["ProjectArn"]
        for kind in ("train", "test"):
            source = {"GroundTruthManifest": {"S3Object": {"Bucket": self._name, "Name": f"{kind}.manifest"}}}
            taken = ("ResourceAlreadyExistsException", "ResourceInUseException")
            more = {"DatasetType": kind.upper(), "DatasetSource": source}
            self.insist(self._api.create_dataset, *taken, ProjectArn=arn, **more)
        for dataset in self.datasets(arn):
            self.settled(lambda dataset=dataset: self.dataset_status(dataset), "CREATE_COMPLETE")
        changes = manifest_line("train/leaf-0.png", ("leaf",), bucket=self._name)
        train = self.datasets(arn)[0]
        self.insist(self._api.update_dataset_entries, DatasetArn=train, Changes={"GroundTruth": changes})
        self.settled(lambda: self.dataset_status(train), "UPDATE_COMPLETE")
        self.insist(self._api.tag_resource, ResourceArn=arn, Tags={"a": "b"})
        policy = {"ProjectArn": arn, "PolicyName": "p", "PolicyDocument": json.dumps(POLICY)}
        self.insist(self._api.put_project_policy, "ResourceAlreadyExistsException", **policy)
        return arn

    def train(self, project: str) -> str:
        """A trained version: its ARN. Where one was killed too often it says so, and there is another."""
        number = 0
        while True:
            number += 1
            output = {"S3Bucket": self._name, "S3KeyPrefix": "out"}
            named = {"ProjectArn": project, "VersionName": f"v{number}"}
            self.insist(self._api.create_project_version, "ResourceInUseException", OutputConfig=output, **named)

            def described(named: dict[str, str] = named) -> Any:
                asked = {"ProjectArn": named["ProjectArn"], "VersionNames": [named["VersionName"]]}
                return self.insist(self._api.describe_project_versions, **asked)["ProjectVersionDescriptions"][0]

            self.settled(lambda described=described: described()["Status"], "TRAINING_COMPLETED", "TRAINING_FAILED")
            version = described()
            arn: str = version["ProjectVersionArn"]
            if version["Status"] == "TRAINING_COMPLETED":
                place = version["EvaluationResult"]["Summary"]["S3Object"]
                answer = self.insist(self._s3.get_object, Bucket=place["Bucket"], Key=place["Name"])
                json.loads(answer["Body"].read())
                return arn
            assert version["StatusMessage"].startswith("Internal error, after 3 attempts"), version["StatusMessage"]

    def use(self, version: str) -> None:
        """Start it, ask it, stop it."""
        self.insist(
            self._api.start_project_version, "ResourceInUseException", ProjectVersionArn=version, MinInferenceUnits=1
        )
        self.settled(lambda: self.version_status(version), "RUNNING")
        image = {"Bytes": picture("leaf", 5)}
        labels = self.insist(self._api.detect_custom_labels, ProjectVersionArn=version, Image=image)["CustomLabels"]
        assert labels[0]["Name"] == "leaf"
        self.insist(self._api.stop_project_version, "ResourceInUseException", ProjectVersionArn=version)
        self.settled(lambda: self.version_status(version), "STOPPED")

    def clear_away(self, project: str, version: str) -> None:
        """Delete everything."""
        gone = ("ResourceNotFoundException", "ResourceInUseException")
        for found in self.insist(self._api.describe_project_versions, ProjectArn=project)["ProjectVersionDescriptions"]:
            arn = found["ProjectVersionArn"]
            self.insist(self._api.delete_project_version, *gone, ProjectVersionArn=arn)
            self.settled(lambda arn=arn: self.version_status(arn), "")
        for dataset in self.datasets(project):
            self.insist(self._api.delete_dataset, *gone, DatasetArn=dataset)
            self.settled(lambda dataset=dataset: self.dataset_status(dataset), "")
        self.insist(self._api.untag_resource, ResourceArn=project, TagKeys=["a"])
        self.insist(self._api.delete_project_policy, *gone, ProjectArn=project, PolicyName="p")
        self.insist(self._api.delete_project, *gone, ProjectArn=project)
        self.check_kept()
        self._kept.clear()
        for stored in self.insist(self._s3.list_objects_v2, Bucket=self._name)["Contents"]:
            self.insist(self._s3.delete_object, Bucket=self._name, Key=stored["Key"])
        self.insist(self._s3.delete_bucket, "NoSuchBucket", Bucket=self._name)

    def datasets(self, project: str) -> list[str]:
        """The ARNs of the project's datasets, training first."""
        name = project.split("/")[1]
        (found,) = self.insist(self._api.describe_projects, ProjectNames=[name])["ProjectDescriptions"]
        return [
            dataset["DatasetArn"] for dataset in sorted(found["Datasets"], key=lambda d: d["DatasetType"] == "TEST")
        ]

    def dataset_status(self, arn: str) -> str:
        """The status of a dataset; "" of one that is gone."""
        try:
            return str(self.insist(self._api.describe_dataset, DatasetArn=arn)["DatasetDescription"]["Status"])
        except self._api.exceptions.ResourceNotFoundException:
            return ""

    def version_status(self, arn: str) -> str:
        """The status of a version; "" of one that is gone."""
        project = arn.partition("/version/")[0]
        found = [
            version
            for listed in self.insist(self._api.describe_projects)["ProjectDescriptions"]
            if listed["ProjectArn"].startswith(project + "/")
            for version in self.insist(self._api.describe_project_versions, ProjectArn=listed["ProjectArn"])[
                "ProjectVersionDescriptions"
            ]
            if version["ProjectVersionArn"] == arn
        ]
        return str(found[0]["Status"]) if found else ""

    def settled(self, status: Callable[[], str], *wanted: str) -> None:
        """Return when a status is at rest, and one of those that are wanted."""
        found: list[str] = []

        def is_at_rest() -> bool:
            found.append(status())
            return found[-1] not in OPEN and not found[-1].endswith("_IN_PROGRESS")

        until(is_at_rest, seconds=120, what=" or ".join(wanted) or "the end")
        assert found[-1] in wanted


POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "rekognition:CopyProjectVersion",
            "Resource": "*",
        }
    ],
}


def finish(served: Served) -> None:
    """Stop the server, and look at everything that it leaves."""
    served.stop()
    house = open_house(read_settings(given={"DECONFUSE_HOME": str(served.home)}))
    check_whole(house)
    house.database.close()


def names_of_server(points: list[str]) -> list[str]:
    """The names of the points that a server passes, in order."""
    return list(dict.fromkeys(name_of(point) for point in points if point.startswith("serve:")))


def test_a_server_survives_its_death_at_any_commit_point(served: Served) -> None:
    """A user who insists gets everything done, and finds what was answered; each name is died at once."""
    at_start = set(names_of_server(served.deaths.passed()))
    Story(served, "peace").tell()
    names = [name for name in names_of_server(served.deaths.passed()) if name not in at_start or is_timed(name)]
    assert len(names) > 40
    # Three deaths in one job would make it fail, as they should.
    waiting = [name for first in range(4) for name in names[first::4]]
    died: list[str] = []
    is_over = threading.Event()

    def order_all() -> None:
        """Order the next death as soon as the last one has happened."""
        for name in waiting:
            served.deaths.order(name)
            while not served.deaths.is_done():
                if is_over.wait(0.01):
                    return
            died.append(name)

    thread = threading.Thread(target=order_all)
    thread.start()
    try:
        for number in range(20):
            Story(served, f"story-{number}").tell()
            if len(died) == len(names):
                break
    finally:
        is_over.set()
        thread.join()
        served.deaths.cancel()

    assert died == waiting
    finish(served)


def test_a_server_survives_its_death_at_any_point_of_its_first_start(tmp_path: Path) -> None:
    """The next start completes what the first one began: database, key, address."""
    recorded = Served(tmp_path)
    recorded.start()
    recorded.stop()
    names = [name for name in names_of_server(recorded.deaths.passed()) if not is_timed(name)]
    assert len(names) > 5

    for number, name in enumerate(names):
        (tmp_path / str(number)).mkdir()
        served = Served(tmp_path / str(number))
        served.deaths.order(name)
        try:
            served.start()
            if not served.deaths.is_done():
                served.revive()
            s3 = served.client("s3")
            s3.create_bucket(Bucket="photos")
            s3.put_object(Bucket="photos", Key="k", Body=b"bytes")
            assert served.n_deaths == 1, name
            finish(served)
        finally:
            served.end()


def test_everything_survives_deaths_at_random(served: Served) -> None:
    """The server, a child, or both, at any moment: uploads and a training go on."""
    chance = random.Random(os.environ.get("DECONFUSE_SEED", "11"))
    is_over = threading.Event()

    def kill() -> None:
        for _ in range(MOMENTS):
            if is_over.wait(chance.uniform(0.5, 5)):
                return
            processes = served.deaths.processes()
            servers = [pid for pid, line in processes.items() if " serve " in line]
            children = [pid for pid, line in processes.items() if " worker " in line]
            for pid in chance.choice([servers, children, servers + children]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        is_over.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        for number in range(200):
            Story(served, f"story-{number}").tell()
            if is_over.is_set():
                break
    finally:
        is_over.set()
        thread.join()

    finish(served)

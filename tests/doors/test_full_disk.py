"""A disk that is really full: a server whose home is a small file system of its own, in a mount namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from deconfuse.app import open_house
from deconfuse.settings import read_settings
from deconfuse.store.blobs import SPARE_BYTES
from servers import Server, running
from wholeness import check_whole
from worlds import manifest_line

WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))
"""To a namespace in which file systems may be mounted: for root, and for everybody else."""

MOUNT = 'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"'

LINES = [manifest_line(f"{number}.png", ["leaf"]) for number in range(300)]

pytestmark = pytest.mark.slow


class Small:
    """A server with a small disk, and clients that try once.

    Attributes:
        server: whose home is that disk.
        home: as it is seen from outside of the namespace.
        s3: a client,
        api: and one of Custom Labels.
        kept: what was put and answered with 200.
    """

    def __init__(self, server: Server) -> None:
        """Nothing has been put."""
        values = server.exports()
        session = boto3.Session(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        once = Config(retries={"total_max_attempts": 1})
        self.server = server
        self.home = Path(f"/proc/{server.process.pid}/root{server.home}")
        self.s3 = session.client("s3", endpoint_url=server.url, config=once)
        self.api = session.client("rekognition", endpoint_url=server.url, config=once)
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        """Put an object."""
        self.s3.put_object(Bucket="photos", Key=key, Body=data)
        self.kept[key] = data

    def put_until_full(self) -> None:
        """Objects of ever smaller sizes, until five of each were refused."""
        refused = []
        for size in (1 << 20, 1 << 16, 1 << 10):
            n_before = len(refused)
            for number in range(1000):
                try:
                    self.put(f"{size}/{number}", os.urandom(size))
                except ClientError as error:
                    refused.append(told(error))
                if len(refused) == n_before + 5:
                    break

        assert refused == [(503, "ServiceUnavailable")] * 15

    def check_kept(self) -> None:
        """Everything that was answered is there, and nothing else; that can be read at any time."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket="photos")
        keys = [entry["Key"] for page in pages for entry in page["Contents"]]

        assert {key: self.s3.get_object(Bucket="photos", Key=key)["Body"].read() for key in keys} == self.kept
        assert urllib.request.urlopen(f"{self.server.url}/healthz", timeout=20).status == 200

    def delete(self, prefix: str) -> None:
        """Delete objects one by one."""
        for key in [key for key in self.kept if key.startswith(prefix)]:
            self.s3.delete_object(Bucket="photos", Key=key)
            del self.kept[key]

    def create_dataset(self, project: str) -> str:
        """A dataset of a new project, complete, with the lines of the manifest."""
        arn = self.api.create_project(ProjectName=project)["ProjectArn"]
        source = {"GroundTruthManifest": {"S3Object": {"Bucket": "photos", "Name": "all.manifest"}}}
        made = self.api.create_dataset(ProjectArn=arn, DatasetType="TRAIN", DatasetSource=source)["DatasetArn"]
        assert self.settled(made) == ("CREATE_COMPLETE", len(LINES))
        return str(made)

    def settled(self, dataset: str) -> tuple[str, int]:
        """Status and number of lines of a dataset when nothing is under way with it."""
        for _ in range(600):
            found = self.api.describe_dataset(DatasetArn=dataset)["DatasetDescription"]
            if not found["Status"].endswith("_IN_PROGRESS"):
                return found["Status"], found["DatasetStats"]["TotalEntries"]
            time.sleep(0.05)
        raise AssertionError(found)


def told(error: ClientError) -> tuple[int, str]:
    """Status and code of an error."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[int, str]:
    """How a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return told(caught.value)


def fill(path: Path) -> None:
    """A file that takes what is left of a disk, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A server with a disk of 24 MB, a manifest there, and nothing else."""
    home = tmp_path / "home"
    home.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare (util-linux)")
    for way in WAYS:
        within = [*way, "sh", "-c", MOUNT, str(home)]
        tried = subprocess.run([*within, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            break
    else:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")
    with running(home, within=within) as server:
        small = Small(server)
        small.s3.create_bucket(Bucket="photos")
        small.put("all.manifest", b"\n".join(LINES))
        yield small
        assert not [line for line in server.lines() if line["level"] == "error"]
        assert server.stop() == 0


def check_home(small: Small, copy: Path) -> None:
    """A copy of the home, at which nobody is at work, is whole, and no file in it is without a row."""
    shutil.copytree(small.home, copy)
    house = open_house(read_settings(given={"DECONFUSE_HOME": str(copy)}))
    with closing(house.database):
        check_whole(house)
        assert house.local is not None
        assert house.local.sweep(older=timedelta(seconds=-1)) == 0


def test_objects_fill_the_disk_and_deleting_them_makes_room(small: Small, tmp_path: Path) -> None:
    """They leave the database its part, so that everything but putting objects goes on."""
    small.put_until_full()
    small.check_kept()
    assert abs(shutil.disk_usage(small.home).free - SPARE_BYTES) < 1 << 20
    small.create_dataset("meanwhile")
    check_home(small, tmp_path / "full")

    small.delete(f"{1 << 20}/")
    small.put("again", os.urandom(4 << 20))
    small.check_kept()
    check_home(small, tmp_path / "afterwards")


def test_a_disk_full_to_the_last_byte_is_told_and_passes(small: Small, tmp_path: Path) -> None:
    """By somebody else's file: whatever writes gets errors that clients repeat, and the same calls work afterwards."""
    dataset = small.create_dataset("before")
    small.put("photo", os.urandom(1 << 20))
    ballast = small.home / "ballast"
    fill(ballast)
    projects: list[str] = []

    def create_projects() -> None:  # the log of the database may have some room left inside
        for number in range(1000):
            small.api.create_project(ProjectName=f"project-{number}")
            projects.append(f"project-{number}")

    changes = {"GroundTruth": b"\n".join(line.replace(b"leaf", b"sun") for line in LINES)}

    fault = (500, "InternalServerError")
    assert refusal(create_projects) == fault
    assert refusal(small.api.update_dataset_entries, DatasetArn=dataset, Changes=changes) == fault
    assert refusal(small.s3.put_object, Bucket="photos", Key="x", Body=b"x" * 9999) == (503, "ServiceUnavailable")
    assert refusal(small.s3.create_bucket, Bucket="more-photos") == (503, "ServiceUnavailable")
    small.check_kept()
    assert small.settled(dataset) == ("CREATE_COMPLETE", len(LINES))

    ballast.unlink()
    found = [each["ProjectArn"].split("/")[1] for each in small.api.describe_projects()["ProjectDescriptions"]]
    assert sorted(found) == sorted(["before", *projects])
    small.api.update_dataset_entries(DatasetArn=dataset, Changes=changes)
    assert small.settled(dataset) == ("UPDATE_COMPLETE", len(LINES))
    small.create_dataset("afterwards")
    small.delete("photo")
    small.put("photo", os.urandom(1 << 20))
    small.check_kept()
    check_home(small, tmp_path / "copy")

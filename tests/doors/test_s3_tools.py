"""The gateway as programs of other people meet it: the AWS CLI, s3fs with pandas, rclone, AWS's SDK for JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clients import environment, program
from houses import make_house, now_utc
from secure import authority, served_securely
from serving import Service

SECONDS = 120

Run = Callable[..., str]


@pytest.fixture(params=["http", "https"])
def doors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Service, dict[str, str]]]:
    """Doors over plain HTTP and over TLS, and the environment of programs that come to them."""
    if request.param == "http":
        service = request.getfixturevalue("service")
        yield service, environment(service)
        return
    with served_securely(make_house(tmp_path / "house", now=now_utc), tmp_path) as opened:
        trusted = str(authority(tmp_path))
        yield opened, environment(opened, AWS_CA_BUNDLE=trusted, SSL_CERT_FILE=trusted, NODE_EXTRA_CA_CERTS=trusted)
        assert opened.doors.faults == []


def runner(*command: str, cwd: Path, env: dict[str, str]) -> Run:
    """A function that runs the command with more words and gives what it printed; it must exit with 0."""

    def run(*words: object, code: int = 0) -> str:
        done = subprocess.run(
            [*command, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if code else "")

    return run


@pytest.mark.clients
def test_the_aws_command_line(doors: tuple[Service, dict[str, str]], tmp_path: Path) -> None:
    """What people type: mb, cp, sync, ls, mv, rm, presign, rb, and calls of s3api."""
    service, variables = doors
    aws = runner(program("awscli", "aws"), cwd=tmp_path, env=variables)
    folder = tmp_path / "folder"
    (folder / "train" / "é ü").mkdir(parents=True)
    big = os.urandom(1 << 20) * 20
    (folder / "big.bin").write_bytes(big)
    for number in range(5):
        (folder / "train" / "é ü" / f"{number}.jpg").write_bytes(b"%d" % number)

    aws("s3", "mb", "s3://photos")
    aws("s3", "cp", folder / "big.bin", "s3://photos/big.bin")
    aws("s3", "cp", "s3://photos/big.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == big
    aws("s3", "sync", folder, "s3://photos/x")
    assert aws("s3", "sync", folder, "s3://photos/x") == ""
    if service.url.startswith("https:"):  # what follows sends no content
        return
    assert len(aws("s3", "ls", "--recursive", "s3://photos/x/train").splitlines()) == 5
    assert aws("s3", "ls", "s3://photos/x/").split()[:2] == ["PRE", "train/"]
    aws("s3", "sync", "s3://photos/x", "synced")
    assert (tmp_path / "synced" / "train" / "é ü" / "3.jpg").read_bytes() == b"3"
    aws("s3", "cp", "s3://photos/x/big.bin", "s3://photos/copy.bin")
    aws("s3", "mv", "s3://photos/copy.bin", "s3://photos/moved.bin")
    assert "photos" in aws("s3", "ls")
    with urllib.request.urlopen(aws("s3", "presign", "s3://photos/x/train/é ü/3.jpg").strip()) as answer:
        assert answer.read() == b"3"
    assert json.loads(aws("s3api", "get-bucket-location", "--bucket", "photos")) == {"LocationConstraint": None}
    assert aws("s3api", "get-bucket-versioning", "--bucket", "photos") == ""
    assert "FULL_CONTROL" in aws("s3api", "get-bucket-acl", "--bucket", "photos")
    assert "NoSuchBucket" in aws("s3", "ls", "s3://nobody", code=255)
    aws("s3", "rm", "--recursive", "s3://photos/x")
    assert [line.split()[-1] for line in aws("s3", "ls", "s3://photos").splitlines()] == ["big.bin", "moved.bin"]
    aws("s3", "rb", "--force", "s3://photos")
    assert aws("s3", "ls") == ""


S3FS = """
import pandas as pd, s3fs
s3 = s3fs.S3FileSystem(anon=False)
s3.mkdir("photos")
big = b"x" * (12 << 20)
s3.pipe("photos/a/big", big)
with s3.open("photos/a/file", "wb", block_size=5 << 20) as file:
    for _ in range(12):
        file.write(big[: 1 << 20])
assert s3.cat("photos/a/file") == big
assert s3.cat_file("photos/a/big", start=5, end=9) == b"xxxx"
s3.copy("photos/a/big", "photos/b/copy")
s3.mv("photos/b/copy", "photos/b/moved")
assert sorted(s3.find("photos")) == ["photos/a/big", "photos/a/file", "photos/b/moved"]
assert sorted(s3.ls("photos")) == ["photos/a", "photos/b"]
assert s3.exists("photos/a/big") and not s3.exists("photos/a/none") and not s3.exists("nobody/a")
assert s3.info("photos/a/file")["size"] == len(big)
with pd.option_context("mode.chained_assignment", None):
    frame = pd.DataFrame({"true": ["cat", "dog"], "predicted": ["dog", "dog"]})
    frame.to_csv("s3://photos/t/frame.csv", index=False)
    assert pd.read_csv("s3://photos/t/frame.csv").equals(frame)
    frame.to_json("s3://photos/t/frame.jsonl", orient="records", lines=True)
    assert pd.read_json("s3://photos/t/frame.jsonl", lines=True).equals(frame)
    frame.to_parquet("s3://photos/t/frame.parquet")
    assert pd.read_parquet("s3://photos/t/frame.parquet").equals(frame)
s3.rm("photos", recursive=True)
print("done")
"""


@pytest.mark.clients
def test_s3fs_and_pandas(doors: tuple[Service, dict[str, str]], tmp_path: Path) -> None:
    """Addresses of the form s3://, written and read by pandas; files, ranges and folders by s3fs."""
    _, variables = doors
    # Its own botocore comes first, pandas and pyarrow are those of the project.
    behind = f"import sys; sys.path.append({sysconfig.get_paths()['purelib']!r})\n"
    python = runner(program("s3fs", "python"), cwd=tmp_path, env=variables)

    assert python("-c", behind + S3FS).strip() == "done"


@pytest.mark.clients
def test_rclone(service: Service, tmp_path: Path) -> None:
    """Copy, check, sync, list, cat, move, stream, delete: by path style, with unsigned parts, as it does."""
    settings = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENV_AUTH": "true",
        "REGION": "us-east-1",
        "ENDPOINT": service.url,
        "CHUNK_SIZE": "5Mi",
        "UPLOAD_CUTOFF": "6Mi",
    }
    variables = environment(service) | {f"RCLONE_CONFIG_DOORS_{name}": value for name, value in settings.items()}
    rclone = runner(program("rclone", "rclone"), "--config", "", "--retries", "1", cwd=tmp_path, env=variables)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(1 << 20) * 13)
    for name in ("a", "é ü", "deep/plus+and%20"):
        (folder / name).write_text(name)

    rclone("mkdir", "doors:photos")
    rclone("copy", folder, "doors:photos/x")
    rclone("check", "--download", folder, "doors:photos/x")
    assert len(rclone("lsf", "-R", "--files-only", "doors:photos/x").splitlines()) == 4
    assert rclone("cat", "doors:photos/x/é ü") == "é ü"
    rclone("moveto", "doors:photos/x/a", "doors:photos/x/b")
    rclone("sync", folder, "doors:photos/x")
    rclone("check", folder, "doors:photos/x")
    rclone("copyto", "doors:photos/x/big", "doors:photos/copy")
    assert json.loads(rclone("lsjson", "doors:photos/copy"))[0]["Size"] == 13 << 20
    rclone("purge", "doors:photos")
    assert rclone("lsf", "doors:") == ""


@pytest.mark.node
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_the_sdk_for_javascript(doors: tuple[Service, dict[str, str]], modules: Path, style: str) -> None:
    """Objects, streams in parts, ranges, pages, copies, presigned addresses, deletions; by path and by host name."""
    service, variables = doors
    url = service.url.replace("127.0.0.1", "localhost")
    assert urlsplit(url).hostname == "localhost"
    node = runner("node", "s3.mjs", cwd=modules, env=variables | {"AWS_ENDPOINT_URL_S3": url, "STYLE": style})

    assert node().strip() == "done"

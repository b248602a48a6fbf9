"""`deconfuse serve`: a real process, on a free port, as its users meet it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import program
from clusters import free_port
from secure import make_certificate
from servers import Server, environment, finished, running, start
from worlds import label_folder, manifest_line, picture

ONCE = Config(retries={"total_max_attempts": 1})
DEFAULTS = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of this module share."""
    with running(tmp_path_factory.mktemp("serve") / "home") as started:
        yield started


def client(server: Server, service: str, **options: Any) -> Any:
    """A boto3 client with the first key of a server."""
    values = server.exports()
    session = boto3.Session(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    return session.client(service, endpoint_url=server.url, config=ONCE, **options)


def get(server: Server, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of an answer to GET."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


# The first start


def test_the_first_start_prints_what_to_paste(server: Server) -> None:
    """Export lines and comments alone, so that all of it may be pasted; six variables, and no other."""
    values = server.exports()
    lines = server.out.read_text().splitlines()

    assert values.keys() == {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION",
        "AWS_ENDPOINT_URL_REKOGNITION", "AWS_ENDPOINT_URL_S3",
    }  # fmt: skip
    assert values | DEFAULTS == values
    assert values["AWS_ENDPOINT_URL_REKOGNITION"] == values["AWS_ENDPOINT_URL_S3"] == server.url
    assert not [line for line in lines if not line.startswith(("# ", "export "))]


def test_the_home_is_its_owners(server: Server) -> None:
    """Keys are in it: no other user may look, and the file with the first key says only that."""
    kept = (server.home / "credentials").read_text()
    values = server.exports()

    for folder in (server.home, server.home / "blobs"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "chmod" not in server.err.read_text()
    for name in ("credentials", "deconfuse.db", "address", "lock"):
        assert stat.S_IMODE((server.home / name).stat().st_mode) == 0o600, name
    assert f"aws_access_key_id = {values['AWS_ACCESS_KEY_ID']}\n" in kept
    assert f"aws_secret_access_key = {values['AWS_SECRET_ACCESS_KEY']}\n" in kept


def test_a_home_that_others_see_is_told(tmp_path: Path) -> None:
    """Its files are closed to them nevertheless."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    with running(home) as server:
        s3 = client(server, "s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a", Body=b"secret")

        assert f"chmod 700 {home}" in server.err.read_text()
        files = [path for path in home.rglob("*") if path.is_file()]
        assert len(files) >= 6
        assert [path for path in files if path.stat().st_mode & 0o077] == []


def test_nothing_else_is_in_the_home(server: Server) -> None:
    """The layout is that of docs/operating.md."""
    names = {path.name for path in server.home.iterdir()}

    assert names - {"deconfuse.db-wal", "deconfuse.db-shm"} == {
        "deconfuse.db", "blobs", "identity", "credentials", "address", "lock",
    }  # fmt: skip


def test_the_exports_are_all_that_boto3_needs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that names no endpoint finds both services by the variables."""
    for name, value in server.exports().items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="exported")

    assert boto3.client("rekognition").describe_projects()["ProjectDescriptions"] == []
    assert "exported" in [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]


# What `credentials` prints of it


def printed(deconfuse: Callable[..., Any], server: Server, form: str, *more: str) -> str:
    """What `deconfuse credentials` prints."""
    return str(deconfuse("credentials", "--home", server.home, "--format", form, *more).out)


def test_credentials_prints_the_same_again(deconfuse: Callable[..., Any], server: Server) -> None:
    """Export lines only, those of the first start."""
    lines = [line for line in server.out.read_text().splitlines() if line.startswith("export ")]

    assert printed(deconfuse, server, "env") == "".join(f"{line}\n" for line in lines)


def test_the_profile_works_alone(
    deconfuse: Callable[..., Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted into an empty file it is all that boto3 needs; other services stay at AWS."""
    config = tmp_path / "config"
    config.write_text(printed(deconfuse, server, "aws-config"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    session = boto3.Session(profile_name="custom-labels-access")

    assert session.client("rekognition").describe_projects()["ProjectDescriptions"] == []
    assert session.client("s3").list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert session.client("s3").meta.endpoint_url == server.url
    assert session.client("sts").meta.endpoint_url.endswith("amazonaws.com")


@pytest.mark.clients
def test_the_profile_works_for_the_aws_cli(deconfuse: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    """The same block, by AWS's own command line."""
    config = tmp_path / "config"
    config.write_text(printed(deconfuse, server, "aws-config"))
    variables = environment({"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")})
    variables.pop("PYTHONPATH")

    def aws(*words: str) -> str:
        words = (program("awscli", "aws"), "--profile", "custom-labels-access", *words)
        return subprocess.run(words, env=variables, capture_output=True, check=True, timeout=60).stdout.decode()

    aws("s3", "mb", "s3://by-the-cli")
    assert json.loads(aws("rekognition", "describe-projects", "--output", "json")) == {"ProjectDescriptions": []}
    assert "by-the-cli" in aws("s3", "ls")


def test_json_is_read_by_credential_process(
    deconfuse: Callable[..., Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own profile may call the command instead of holding a secret."""
    script = tmp_path / "ask"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    script.chmod(0o755)
    (tmp_path / "answer").write_text(printed(deconfuse, server, "json"))
    config = tmp_path / "config"
    config.write_text(f"[profile mine]\nregion = us-east-1\ncredential_process = {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    found = boto3.Session(profile_name="mine").get_credentials()

    assert found is not None
    assert found.access_key == server.exports()["AWS_ACCESS_KEY_ID"]


# HTTP


def test_answers_over_http(server: Server) -> None:
    """Health, page and refusal; no answer says which software gives it."""
    assert get(server, "/healthz")[::2] == (200, "ok\n")
    assert "deconfuse credentials" in get(server, "/")[2]
    assert get(server, "/photos/a.jpg")[0] == 403
    assert "server" not in get(server, "/")[1]


def test_buckets_are_host_names_too(server: Server) -> None:
    """Below localhost, unless --domain says otherwise."""
    client(server, "s3").create_bucket(Bucket="hosted")
    status, _, body = get(server, "/", Host=f"hosted.localhost:{server.port}")

    assert (status, "AccessDenied" in body) == (403, True)


def test_no_websocket_is_opened(server: Server) -> None:
    """A request to switch protocols is answered as a plain one."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}

    assert get(server, "/", **headers)[0] == 200


@pytest.mark.slow
def test_connections_are_kept(server: Server) -> None:
    """Six seconds of silence are nothing to a pooled client."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for pause in (0.0, 6.0):
        time.sleep(pause)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
    connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 400_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: aaaaaaaaaa\r\n" * 7_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=["no HTTP", "version", "long path", "long header", "many headers", "two lengths", "TLS"],
)
def test_what_is_no_request_ends_its_connection(server: Server, sent: bytes) -> None:
    """With 400, or without a word; the next client is answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            connection.sendall(sent)
            received = connection.recv(65536)
        except ConnectionError:
            received = b""

    assert received == b"" or received.startswith(b"HTTP/1.1 400")
    assert get(server, "/healthz")[0] == 200


def test_every_request_leaves_a_line_and_no_secret(server: Server) -> None:
    """One line of JSON each, with operation and key; what would open the service is in none."""
    client(server, "rekognition").describe_projects()
    url = client(server, "s3").generate_presigned_url("list_buckets")
    urllib.request.urlopen(url).close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and server.lines()[-1]["operation"] != "ListBuckets":
        time.sleep(0.02)
    last = server.lines()[-2:]
    text = server.err.read_text()

    assert [line["operation"] for line in last] == ["DescribeProjects", "ListBuckets"]
    assert {line["key"] for line in last} == {server.exports()["AWS_ACCESS_KEY_ID"]}
    assert server.exports()["AWS_SECRET_ACCESS_KEY"] not in text
    assert "Signature" not in text


# Two of them


def test_a_second_server_on_the_home_is_refused(server: Server) -> None:
    """It says which process is there, and what helps."""
    code, said = finished(server.home, "--port", "0")

    assert code == 4
    assert f"process {server.process.pid}" in said
    assert "PostgreSQL" in said


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path) -> None:
    """The home is left free for another try."""
    code, said = finished(tmp_path / "home", "--port", server.port)

    assert code == 4
    assert f"port {server.port} of 127.0.0.1 is taken" in said
    assert not (tmp_path / "home" / "deconfuse.db").exists()


# The end of it


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGHUP))],
)
def test_a_signal_ends_it_well(tmp_path: Path, number: int) -> None:
    """Exit code 0, the log folded into the database, and the port free for the next."""
    with running(tmp_path / "home") as server:
        assert get(server, "/healthz")[0] == 200
        assert server.stop(number) == 0
    names = {path.name for path in server.home.iterdir()}

    assert server.err.read_text().endswith("stopped\n")
    assert not {"deconfuse.db-wal", "deconfuse.db-shm"} & names
    with socket.create_server(("127.0.0.1", server.port), reuse_port=False):
        pass


@pytest.mark.slow
def test_a_request_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    """A body that is still coming when the signal comes is stored, and its client told so."""
    with running(tmp_path / "home") as server:
        s3 = client(server, "s3")
        s3.create_bucket(Bucket="photos")
        url = s3.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "a"})
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("PUT", url.partition(str(server.port))[2])
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"hello")
        time.sleep(0.5)
        ended: list[int] = []
        stopping = threading.Thread(target=lambda: ended.append(server.stop()))
        stopping.start()
        time.sleep(0.5)
        connection.send(b"world")

        assert connection.getresponse().status == 200
        stopping.join()
        assert ended == [0]


@pytest.mark.slow
def test_after_a_kill_it_starts_again_as_it_was(tmp_path: Path) -> None:
    """The lock is gone with its process; the key is the same, and is not printed again."""
    first = start(tmp_path / "home")
    values = first.exports()
    client(first, "s3").create_bucket(Bucket="photos")
    first.process.kill()
    first.process.wait()
    with running(tmp_path / "home") as second:
        session = boto3.Session(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        names = [bucket["Name"] for bucket in session.client("s3", endpoint_url=second.url).list_buckets()["Buckets"]]

        assert names == ["photos"]
        assert second.out.read_text() == ""


@pytest.mark.slow
def test_a_home_whose_database_is_gone_is_refused(tmp_path: Path) -> None:
    """Its blobs would look like leftovers to a new one, and be removed."""
    with running(tmp_path / "home") as server:
        client(server, "s3").create_bucket(Bucket="photos")
        client(server, "s3").put_object(Bucket="photos", Key="a", Body=b"kept")
    blobs = sorted((tmp_path / "home" / "blobs").glob("??/*"))
    (tmp_path / "home" / "deconfuse.db").unlink()
    code, said = finished(tmp_path / "home", "--port", "0")

    assert code == 5
    assert "belong to another database" in said
    assert sorted((tmp_path / "home" / "blobs").glob("??/*")) >= blobs


@pytest.mark.slow
def test_a_copy_made_while_it_works_brings_everything_back(tmp_path: Path) -> None:
    """In the order of docs/operating.md: blobs, one moment of the database, blobs again."""
    copy = tmp_path / "copy"
    with running(tmp_path / "home") as server:
        s3 = client(server, "s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="early", Body=b"early")
        shutil.copytree(server.home / "blobs", copy / "blobs")
        shutil.copy(server.home / "identity", copy / "identity")
        s3.put_object(Bucket="photos", Key="later", Body=b"later")
        client(server, "rekognition").create_project(ProjectName="rooms")
        databases = [contextlib.closing(sqlite3.connect(path / "deconfuse.db")) for path in (server.home, copy)]
        with databases[0] as source, databases[1] as target:
            source.backup(target)
        s3.put_object(Bucket="photos", Key="too late", Body=b"x")
        shutil.copytree(server.home / "blobs", copy / "blobs", dirs_exist_ok=True)
        values = server.exports()
    shutil.rmtree(tmp_path / "home")
    with running(copy) as restored:
        session = boto3.Session(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        s3 = session.client("s3", endpoint_url=restored.url)
        found = {
            entry["Key"]: s3.get_object(Bucket="photos", Key=entry["Key"])["Body"].read()
            for entry in s3.list_objects_v2(Bucket="photos")["Contents"]
        }
        rekognition = session.client("rekognition", endpoint_url=restored.url)

        assert found == {"early": b"early", "later": b"later"}
        assert len(rekognition.describe_projects()["ProjectDescriptions"]) == 1
        assert restored.exports() == {}


# TLS and other hosts


def test_tls_opens_it_to_other_hosts(tmp_path: Path) -> None:
    """With a certificate no --insecure is needed; boto3 verifies it, sends trailers, and reads what it put."""
    certificate, key = make_certificate(tmp_path)
    flags = ("--host", "0.0.0.0", "--certificate", certificate, "--key", key)
    with running(tmp_path / "home", *flags) as server:
        s3 = client(server, "s3", verify=str(certificate))
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a", Body=b"over TLS")

        assert server.url.startswith("https://127.0.0.1:")
        assert s3.get_object(Bucket="photos", Key="a")["Body"].read() == b"over TLS"


def test_insecure_opens_it_with_a_warning(tmp_path: Path) -> None:
    """For a proxy that encrypts; the start says what it means."""
    with running(tmp_path / "home", "--host", "0.0.0.0", "--insecure") as server:
        assert get(server, "/healthz")[0] == 200
        server.stop()
        assert "note: without TLS" in server.err.read_text()


# Settings


def test_variables_and_flags_say_the_same(tmp_path: Path) -> None:
    """A flag wins over its variable; the region and the account are in every ARN."""
    variables = {"DECONFUSE_REGION": "eu-west-1", "DECONFUSE_ACCOUNT": "123456789012", "DECONFUSE_MAX_PROJECTS": "1"}
    with running(tmp_path / "home", "--region", "eu-central-1", variables=variables) as server:
        values = server.exports()
        session = boto3.Session(
            values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name=values["AWS_REGION"]
        )
        rekognition = session.client("rekognition", endpoint_url=server.url, config=ONCE)

        assert rekognition.create_project(ProjectName="rooms")["ProjectArn"].startswith(
            "arn:aws:rekognition:eu-central-1:123456789012:project/rooms/"
        )
        with pytest.raises(rekognition.exceptions.LimitExceededException):
            rekognition.create_project(ProjectName="more")


REFUSED: list[tuple[list[str], int, str]] = [
    (["--host", "0.0.0.0"], 2, "--insecure"),
    (["--host", "::"], 2, "--insecure"),
    (["--host", "192.0.2.1", "--insecure"], 2, "no address of this machine"),
    (["--host", "no.such.host.invalid", "--insecure"], 2, "not known here"),
    (["--port", "70000"], 2, "70000"),
    (["--port", "x"], 2, "'x'"),
    (["--key", "key.pem"], 2, "--certificate"),
    (["--certificate", "none.pem"], 3, "none.pem"),
    (["--certificate", "broken.pem"], 2, "broken.pem"),
    (["--certificate", "folder"], 3, "folder"),
    (["--domain", "a..b"], 2, "--domain"),
    (["--domain", "localhost:8750"], 2, "--domain"),
    (["--cors-origins", "example.org"], 2, "--cors-origins"),
    (["--cors-origins", "https://example.org/path"], 2, "--cors-origins"),
    (["--region", "US East"], 2, "--region"),
    (["--account", "12"], 2, "--account"),
    (["--database", "mysql://me:hush@host/name"], 2, "postgresql://"),
    (["--database", "sqlite:///other.db"], 2, "postgresql://"),
    (["--database", "postgresql://me:hush@127.0.0.1:1/name"], 2, "--shared-home"),
    (["--database", "postgresql://me:hush@127.0.0.1:1/name", "--shared-home"], 8, "database"),
    (["--store", "bucket/prefix"], 2, "s3://"),
    (["--store", "s3://bucket/prefix"], 2, "DECONFUSE_STORE_KEY_ID"),
    (["--store", "s3://bucket/prefix", "--store-key-id", "me"], 2, "DECONFUSE_STORE_SECRET"),
    (["--store", "s3://bucket/prefix", "--store-endpoint", "host:9000"], 2, "--store-endpoint"),
    (["--trainings", "0"], 2, "--trainings"),
    (["--max-projects", "-1"], 2, "--max-projects"),
    (["--home", "file"], 6, "file"),
    (["--home", "file/below"], 6, "file/below"),
    (["--home", ""], 2, "it is empty"),
    (["--home", "garbage"], 5, "garbage/deconfuse.db"),
    (["--store", "s3://x/y"], 2, "3 letters"),
]


@pytest.mark.parametrize(("flags", "code", "said"), REFUSED, ids=[" ".join(flags) for flags, _, _ in REFUSED])
def test_what_cannot_be_served_is_said(
    deconfuse: Callable[..., Any], tmp_path: Path, flags: list[str], code: int, said: str
) -> None:
    """The message names the flag or the thing, and what helps; no password is repeated."""
    (tmp_path / "broken.pem").write_text("not PEM")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "deconfuse.db").write_text("no database " * 1000)
    answer = deconfuse("serve", "--port", "0", "--home", "home", *flags)

    assert answer.code == code, answer.err
    assert said in answer.err
    assert "hush" not in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "-1"), ("INSECURE", "maybe"), ("HOME", "~nobody-of-this-name/x"), ("STORE_ENDPOINT", "ftp://x"),
        ("MODELS", "0"), ("HOST", "a b"), ("MAX_UNITS", "9" * 30),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_be_meant_is_named(
    deconfuse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """By its own name, for no flag was given."""
    monkeypatch.setenv(f"DECONFUSE_{name}", value)
    answer = deconfuse("serve")

    assert (answer.code, f"DECONFUSE_{name}" in answer.err) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="everything may be written by root")
def test_a_home_that_may_not_be_written_is_said(deconfuse: Callable[..., Any], tmp_path: Path) -> None:
    """With the flag that names another one."""
    tmp_path.chmod(0o500)
    answer = deconfuse("serve", "--home", tmp_path / "home")
    tmp_path.chmod(0o700)

    assert (answer.code, "--home" in answer.err) == (6, True)


# Work


@pytest.mark.slow
def test_a_training_is_done_by_a_process_of_its_own(tmp_path: Path) -> None:
    """From pictures in a linked folder to labels of a new one, with nothing but boto3 and a running server."""
    folder = label_folder(tmp_path / "photos", {"leaf": 12, "sun": 12})
    with running(tmp_path / "home") as server:
        linked = [
            sys.executable,
            "-m",
            "deconfuse",
            "bucket",
            "link",
            "photos",
            str(folder),
            "--home",
            str(server.home),
        ]
        subprocess.run(linked, env=environment(), check=True)
        s3, rekognition = client(server, "s3"), client(server, "rekognition")
        s3.create_bucket(Bucket="results")
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="photos")["Contents"]]
        lines = [manifest_line(key, [key.partition("/")[0]], bucket="photos") for key in keys]
        s3.put_object(Bucket="results", Key="train.manifest", Body=b"\n".join(lines))
        project = rekognition.create_project(ProjectName="plants")["ProjectArn"]
        manifest = {"GroundTruthManifest": {"S3Object": {"Bucket": "results", "Name": "train.manifest"}}}
        train = rekognition.create_dataset(ProjectArn=project, DatasetType="TRAIN", DatasetSource=manifest)[
            "DatasetArn"
        ]
        test = rekognition.create_dataset(ProjectArn=project, DatasetType="TEST")["DatasetArn"]
        assert settled(rekognition, train)["Status"] == "CREATE_COMPLETE"
        rekognition.distribute_dataset_entries(Datasets=[{"Arn": train}, {"Arn": test}])
        settled(rekognition, train)
        made = rekognition.create_project_version(
            ProjectArn=project, VersionName="1", OutputConfig={"S3Bucket": "results", "S3KeyPrefix": "out"}
        )["ProjectVersionArn"]
        wait = {"Delay": 1, "MaxAttempts": 200}
        waiter = rekognition.get_waiter("project_version_training_completed")
        waiter.wait(ProjectArn=project, VersionNames=["1"], WaiterConfig=wait)
        rekognition.start_project_version(ProjectVersionArn=made, MinInferenceUnits=1)
        waiter = rekognition.get_waiter("project_version_running")
        waiter.wait(ProjectArn=project, VersionNames=["1"], WaiterConfig=wait)
        seen = rekognition.detect_custom_labels(ProjectVersionArn=made, Image={"Bytes": picture("leaf", 99)})

        assert seen["CustomLabels"][0]["Name"] == "leaf"
        assert server.stop() == 0
    assert not [line for line in server.lines() if line["level"] in ("error", "warning")]
    told = [line for line in server.lines() if line["event"] == "job" and line["kind"] == "train"]
    assert [(line["state"], line["project"], line["version"]) for line in told] == [
        ("started", "plants", "1"),
        ("completed", "plants", "1"),
    ]


# Elsewhere


@pytest.fixture
def other_s3() -> Iterator[str]:
    """Moto's server: an S3 by another author."""
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


@pytest.mark.slow
def test_with_a_real_s3_the_gateway_is_off(tmp_path: Path, other_s3: str, deconfuse: Callable[..., Any]) -> None:
    """Clients are sent there, and told so where they come here; the API works the same."""
    there = boto3.client("s3", "us-east-1", endpoint_url=other_s3, aws_access_key_id="me", aws_secret_access_key="x")
    there.create_bucket(Bucket="company")
    there.put_object(Bucket="company", Key="train.manifest", Body=b'{"source-ref": "s3://company/a.png"}\n')
    variables = {"DECONFUSE_STORE_KEY_ID": "me", "DECONFUSE_STORE_SECRET": "hush", "DECONFUSE_STORE_ENDPOINT": other_s3}
    with running(tmp_path / "home", "--store", "s3://company/ours", variables=variables) as server:
        rekognition = client(server, "rekognition")
        project = rekognition.create_project(ProjectName="rooms")["ProjectArn"]
        manifest = {"GroundTruthManifest": {"S3Object": {"Bucket": "company", "Name": "train.manifest"}}}
        made = rekognition.create_dataset(ProjectArn=project, DatasetType="TRAIN", DatasetSource=manifest)
        with pytest.raises(ClientError, match="another S3") as refused:
            client(server, "s3").list_buckets()
        again = deconfuse("credentials", "--home", server.home)

        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
        assert settled(rekognition, made["DatasetArn"])["Status"] == "CREATE_COMPLETE"
        assert server.exports()["AWS_ENDPOINT_URL_S3"] == other_s3
        assert server.exports()["AWS_ENDPOINT_URL_REKOGNITION"] == server.url
        assert f"AWS_ENDPOINT_URL_S3={other_s3}\n" in again.out
    assert not (tmp_path / "home" / "blobs").exists()


@pytest.mark.slow
def test_an_s3_that_is_away_is_said_at_the_start(tmp_path: Path) -> None:
    """Not with the first training."""
    variables = {"DECONFUSE_STORE_KEY_ID": "me", "DECONFUSE_STORE_SECRET": "hush"}
    flags = ("--port", "0", "--store", "s3://company/ours", "--store-endpoint", f"http://127.0.0.1:{free_port()}")
    code, said = finished(tmp_path / "home", *flags, variables=variables)

    assert (code, "did not answer" in said, "hush" in said) == (8, True, False)


@pytest.mark.postgres
def test_servers_share_a_postgresql_database(tmp_path: Path, postgres_url: str) -> None:
    """One key opens all of them; what one stores the other gives, and only the first start makes a key."""
    flags = ("--shared-home", "--database", postgres_url)
    with running(tmp_path / "home", *flags) as first:
        values = first.exports()
        client(first, "s3").create_bucket(Bucket="photos")
        client(first, "s3").put_object(Bucket="photos", Key="a", Body=b"shared")
        second = start(tmp_path / "home", *flags)
        try:
            session = boto3.Session(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])
            s3 = session.client("s3", "us-east-1", endpoint_url=second.url)

            assert second.exports() == {}
            assert s3.get_object(Bucket="photos", Key="a")["Body"].read() == b"shared"
        finally:
            second.stop()


@pytest.mark.postgres
def test_a_home_goes_with_its_database(tmp_path: Path, postgres_cluster: Any) -> None:
    """Another database would take the blobs of the first for leftovers."""
    with running(tmp_path / "home", "--shared-home", "--database", postgres_cluster.new_database()) as server:
        client(server, "s3").create_bucket(Bucket="photos")
    code, said = finished(tmp_path / "home", "--shared-home", "--database", postgres_cluster.new_database())

    assert (code, "belong to another database" in said) == (5, True)


def settled(rekognition: Any, arn: str) -> dict[str, Any]:
    """A dataset when its making has ended."""
    for _ in range(600):
        found: dict[str, Any] = rekognition.describe_dataset(DatasetArn=arn)["DatasetDescription"]
        if not found["Status"].endswith("_IN_PROGRESS"):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_large_bodies_follow_one_another_on_a_connection(server: Server) -> None:
    """The end of a body is not the beginning of a head, however many bytes it comes in."""
    s3 = client(server, "s3")
    s3.create_bucket(Bucket="large-bodies")
    sizes = [100_000, 600_000, 10, 2_000_000, 100_000]

    for size in sizes:
        s3.put_object(Bucket="large-bodies", Key="body", Body=bytes(size))

    assert s3.head_object(Bucket="large-bodies", Key="body")["ContentLength"] == sizes[-1]

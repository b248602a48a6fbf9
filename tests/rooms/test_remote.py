"""A service somewhere else, asked with a real client over a socket: what it says, and everything that can go wrong."""

from __future__ import annotations

import csv
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deconfuse.engine.evaluation import Evaluation, read_evaluation
from deconfuse.engine.remote import Remote, open_remote
from deconfuse.engine.trained import find_trained, read_trained
from deconfuse.errors import (
    BadData,
    BadSignature,
    DeconfuseError,
    Denied,
    Invalid,
    LimitExceeded,
    NotFound,
    NotReady,
    TooFast,
    Unavailable,
)
from deconfuse.names import ObjectAddress
from remotes import OUTPUT, REGION, Cloud, aws_variables, project_arn, stub_cloud, version_arn
from verdicts import judged_model

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "aws"
CAP_WATCH = (GOLDEN / "summary_cap_watch.json").read_bytes()
SUMMARY_KEY = "out/EvaluationResultSummary-rooms-1.json"
SNAPSHOT_KEY = "out/TestingGroundTruth-rooms-1.json"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Remote]]:
    """A stub of AWS and one client of it, since making a client takes longer than most tests."""
    with pytest.MonkeyPatch.context() as monkeypatch, stub_cloud() as known:
        set_user(monkeypatch, tmp_path_factory.mktemp("user"))
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        remote = open_remote(endpoint_url=known.url)
        known.objects["b", "k"] = b""
        list(remote.projects())
        remote.read(ObjectAddress("b", "k"), limit=1)
        yield known, remote


@pytest.fixture
def cloud(service: tuple[Cloud, Remote], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    """The stub, empty, and a user with keys and without a configuration."""
    set_user(monkeypatch, tmp_path)
    service[0].empty()
    service[0].client = service[1]
    return service[0]


@pytest.fixture
def rooms(cloud: Cloud) -> Cloud:
    """The stub with version 1 of the project rooms, trained, with summary and snapshot."""
    model = judged_model()
    cloud.trained("rooms", "1", summary=model.summary(), snapshot=model.snapshot())
    return cloud


def set_user(monkeypatch: pytest.MonkeyPatch, folder: Path, **options: Any) -> None:
    """The AWS configuration of a user, and nothing else of AWS in the environment."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws_variables(folder, **options).items():
        monkeypatch.setenv(name, value)


def asked(cloud: Cloud, **options: Any) -> Remote:
    """The stub as a service."""
    return open_remote(**({"endpoint_url": cloud.url} | options))


def looked(
    cloud: Cloud, project: str = "rooms", version: str | None = "1", *, remote: Remote | None = None, **options: Any
) -> Evaluation:
    """The evaluation of a version of the stub."""
    if remote is None:
        remote = cloud.client
        remote.region = REGION
    return read_trained(remote, find_trained(remote, project, version), **options)


def test_a_model_is_found_and_read(rooms: Cloud) -> None:
    """Project, version, summary and snapshot: four calls, signed, under our name."""
    found = looked(rooms)

    assert found.matrix.counts[:-1, :-1].tolist() == judged_model().counts().tolist()
    assert (found.title, found.n_images) == ("rooms 1", 60)
    assert found.predictions is not None
    assert [name for name, _ in rooms.asked] == [
        "DescribeProjects",
        "DescribeProjectVersions",
        "GetObject",
        "GetObject",
    ]
    assert all("deconfuse/" in agent for agent in rooms.agents)


def test_the_published_summary_shows_what_the_file_shows(cloud: Cloud) -> None:
    """AWS's own example through the service is what `matrix` says of the file."""
    cloud.trained("caps", "1", summary=CAP_WATCH)
    found, file = looked(cloud, "caps"), read_evaluation(GOLDEN / "summary_cap_watch.json")

    assert (found.matrix, found.thresholds, found.findings) == (file.matrix, file.thresholds, file.findings)
    assert (found.model, found.made, found.data_hash) == (file.model, file.made, file.data_hash)
    assert found.notes[: len(file.notes)] == file.notes


def test_the_published_rooms_have_their_counts(cloud: Cloud) -> None:
    """AWS's table of ten rooms, in whole percent, with the numbers of test images that give it: 39 of 50 are right."""
    with (GOLDEN / "rooms_table.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    cells = [
        {"GroundTruthLabel": true, "PredictedLabel": row[0], "Value": int(percent) / 100}
        for row in rows
        for true, percent in zip(header[1:], row[1:], strict=True)
    ]
    tested = dict(zip(header[1:], (4, 3, 11, 2, 3, 2, 3, 8, 11, 3), strict=True))
    summary = {
        "AggregatedEvaluationResults": {"ConfusionMatrix": cells, "F1Score": 0.8, "Precision": 0.8, "Recall": 0.8},
        "EvaluationDetails": {"Labels": header[1:], "NumberOfTestingImages": 50},
        "LabelEvaluationResults": [{"Label": name, "NumberOfTestingImages": n} for name, n in tested.items()],
    }
    cloud.trained("rooms", "1", summary=json.dumps(summary).encode())
    found = looked(cloud)

    assert (found.is_exact, found.n_images) == (True, 50)
    assert found.matrix.counts.trace() == 39
    assert n_counted(found, "kitchen", "living_space") == 1
    assert n_counted(found, "entry_way", "living_space") == 2


def n_counted(found: Evaluation, true: str, predicted: str) -> int:
    """What a cell counts."""
    return int(found.matrix.counts[found.labels.index(true), found.labels.index(predicted)])


@pytest.mark.parametrize(
    ("project", "version"),
    [
        ("rooms", "1"),
        (project_arn("rooms"), "1"),
        (version_arn("rooms", "1"), None),
        (version_arn("rooms", "1"), "1"),
        ("rooms", version_arn("rooms", "1")),
        (project_arn("rooms"), version_arn("rooms", "1")),
        ("rooms", None),
    ],
)
def test_names_and_arns_mean_the_same(rooms: Cloud, project: str, version: str | None) -> None:
    """However project and version are named, and without a version where there is only one."""
    assert looked(rooms, project, version).title == "rooms 1"


def test_the_region_is_that_of_an_arn(rooms: Cloud) -> None:
    """An ARN says its region; one that was asked for must be the same."""
    remote = asked(rooms)
    find_trained(remote, project_arn("rooms", region="eu-west-1"), "1")

    assert remote.region == "eu-west-1"
    with pytest.raises(Invalid, match="--region"):
        find_trained(asked(rooms, region="us-west-2"), project_arn("rooms"), "1")


@pytest.mark.parametrize(
    ("project", "version", "named"),
    [
        ("a b", "1", "--project"),
        ("", "1", "--project"),
        ("rooms", "a/b", "--version"),
        ("rooms", "", "--version"),
        ("arn:aws:s3:::bucket", "1", "--project"),
        (project_arn("rooms").replace("project", "dataset"), "1", "--project"),
        (f"{project_arn('rooms').rsplit('/', 1)[0]}/dataset/train/1690474772815", "1", "--project"),
        ("rooms", project_arn("rooms"), "--version"),
        ("halls", version_arn("rooms", "1"), "--project"),
        (version_arn("rooms", "1"), "2", "--version"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    rooms: Cloud, project: str, version: str, named: str
) -> None:
    """Names that nothing can have, ARNs of other things, two names that contradict each other."""
    with pytest.raises(Invalid) as error:
        looked(rooms, project, version)

    assert error.value.field == named
    assert rooms.asked == []


def test_an_unknown_project_names_those_that_come_near(cloud: Cloud) -> None:
    """A slip of the keyboard, none like it, and no project at all; more than one page of projects is looked through."""
    with pytest.raises(NotFound, match="no project at all"):
        looked(cloud)
    for name in ["alpha", "beta", "gamma", "delta", "Rooms2"]:
        cloud.project(name)
    with pytest.raises(NotFound, match=r"Did you mean Rooms2\?"):
        looked(cloud)
    with pytest.raises(NotFound, match="There are in region us-east-1: alpha, beta, gamma, delta, Rooms2"):
        looked(cloud, "zzz")


def test_an_unknown_version_names_those_there_are(rooms: Cloud) -> None:
    """With the state of each, the newest first."""
    rooms.version("rooms", "2", "TRAINING_FAILED")
    rooms.version("rooms", "3", "TRAINING_IN_PROGRESS")

    with pytest.raises(NotFound) as error:
        looked(rooms, "rooms", "first")
    assert "3 (TRAINING_IN_PROGRESS), 2 (TRAINING_FAILED), 1 (TRAINING_COMPLETED)" in str(error.value)
    rooms.project("empty")
    with pytest.raises(NotFound, match="no version at all"):
        looked(rooms, "empty")


def test_without_a_version_the_only_evaluated_one_is_taken(rooms: Cloud) -> None:
    """Others that failed or still train do not count; of several, all are named; of none, that is said."""
    rooms.version("rooms", "2", "TRAINING_FAILED")
    assert looked(rooms, version=None).title == "rooms 1"

    rooms.trained("rooms", "3", summary=CAP_WATCH)
    with pytest.raises(Invalid, match=r"3 \(TRAINING_COMPLETED\), 2 .*, 1"):
        looked(rooms, version=None)
    rooms.project("empty")
    with pytest.raises(NotFound, match="version not found: project empty has none"):
        looked(rooms, "empty", None)
    rooms.version("young", "1", "TRAINING_IN_PROGRESS", StatusMessage="42 %")
    with pytest.raises(NotReady, match="42 %"):
        looked(rooms, "young", None)


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        ("TRAINING_IN_PROGRESS", {"StatusMessage": "42 % done."}, "version 2 of rooms is still training: 42 % done."),
        ("TRAINING_IN_PROGRESS", {}, "version 2 of rooms is still training"),
        ("TRAINING_FAILED", {"StatusMessage": "Too few labels."}, "could not be trained: Too few labels."),
        (
            "TRAINING_FAILED",
            {"StatusMessage": "Bad", "ManifestSummary": {"S3Object": {"Bucket": "b", "Name": "m.json"}}},
            "Bad. It is not known whether every image could be used: object in S3 not found: s3://b/m.json",
        ),
        ("COPYING_IN_PROGRESS", {}, "still being copied"),
        ("COPYING_FAILED", {"StatusMessage": "no permission"}, "could not be copied: no permission"),
        ("DELETING", {}, "is being deleted"),
        (
            "DELETING",
            {"EvaluationResult": {"Summary": {"S3Object": {"Bucket": "b", "Name": "s.json"}}}},
            "deconfuse matrix s3://b/s.json",
        ),
        ("TRAINING_COMPLETED", {"StatusMessage": "Done."}, "has no evaluation. It says: Done."),
        ("RUNNING", {"EvaluationResult": {"F1Score": 1.0}}, "has no evaluation"),
        ("RUNNING", {"EvaluationResult": {"Summary": {"S3Object": {"Bucket": "b"}}}}, "has no evaluation"),
    ],
)
def test_a_version_without_results_says_why(rooms: Cloud, status: str, said: dict[str, Any], expected: str) -> None:
    """Training, failed, copied, deleted: the reason that the service gives is passed on."""
    rooms.version("rooms", "2", status, **said)

    with pytest.raises(NotReady) as error:
        looked(rooms, version="2")
    assert expected in str(error.value)


@pytest.mark.parametrize("status", ["STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED", "COPYING_COMPLETED"])
def test_a_hosted_version_is_looked_at_as_well(cloud: Cloud, status: str) -> None:
    """What happens to a trained version does not touch its evaluation."""
    cloud.trained("rooms", "1", summary=CAP_WATCH)["Status"] = status

    assert looked(cloud).n_images == 624


def test_what_is_no_classifier_says_so(cloud: Cloud) -> None:
    """A detection model has an average precision and no matrix; a moderation adapter has no labels."""
    boxes = b'{"Version": 1, "AggregatedEvaluationResults": {"AveragePrecision": 0.7, "F1Score": 0.6}}'
    cloud.trained("boxes", "1", summary=boxes)
    cloud.trained("adapter", "1", summary=boxes, Feature="CONTENT_MODERATION")

    with pytest.raises(BadData, match=r"the summary of boxes 1 .*not a classification model"):
        looked(cloud, "boxes")
    with pytest.raises(BadData, match="moderation adapter"):
        looked(cloud, "adapter")


def test_a_summary_that_is_gone_says_where_it_was(rooms: Cloud) -> None:
    """Object or bucket: the training says that it wrote it there."""
    del rooms.objects[OUTPUT, SUMMARY_KEY]
    with pytest.raises(NotFound, match=f"summary of rooms 1 not found: s3://{OUTPUT}/{SUMMARY_KEY}. It is no longer"):
        looked(rooms)

    rooms.objects.clear()
    with pytest.raises(NotFound, match="Its bucket is gone"):
        looked(rooms)


@pytest.mark.parametrize("data", [b"", b"<html>not here</html>", b"{}", b'{"AggregatedEvaluationResults": {}}'])
def test_a_summary_that_is_none_is_named(cloud: Cloud, data: bytes) -> None:
    """What lies there may be anything."""
    cloud.trained("rooms", "1", summary=data)

    with pytest.raises(BadData, match="the summary of rooms 1"):
        looked(cloud)


@pytest.mark.parametrize("snapshot", [None, b"", b"{broken\n", b"<html>"])
def test_without_a_snapshot_the_summary_stands_alone(cloud: Cloud, snapshot: bytes | None) -> None:
    """It is no error; a note says what is missing. Thresholds cannot do without it."""
    model = judged_model()
    cloud.trained("rooms", "1", summary=model.summary(), snapshot=snapshot)
    found = looked(cloud)

    assert found.matrix.total == 60
    assert found.predictions is None
    assert "images are not known" in found.notes[-1]
    with pytest.raises(DeconfuseError):
        looked(cloud, threshold="assumed")


def test_a_service_that_names_no_snapshot(cloud: Cloud) -> None:
    """TestingDataResult may be missing or empty."""
    for k, result in enumerate([{}, {"Output": {}}, {"Output": {"Assets": []}}, {"Output": {"Assets": [{}]}}]):
        cloud.trained("rooms", str(k), summary=CAP_WATCH, TestingDataResult=result)

        assert "does not say where it is" in looked(cloud, version=str(k)).notes[-1]


def test_only_one_version_of_an_object_is_read(rooms: Cloud) -> None:
    """A version of the object that the service names is asked for."""
    described = rooms.projects["rooms"][0]
    described["EvaluationResult"]["Summary"]["S3Object"]["Version"] = "abc"
    trained = find_trained(rooms.client, "rooms", "1")

    assert trained.summary == ObjectAddress(OUTPUT, SUMMARY_KEY, "abc")
    assert looked(rooms).n_images == 60


def test_labels_and_thresholds_are_passed_on(rooms: Cloud) -> None:
    """The options of the command mean the same as for a file."""
    assert looked(rooms, labels=["attic"]).labels == ("attic", "(other)")
    assert looked(rooms, threshold="assumed").rule == "thresholds"
    assert looked(rooms, threshold=0.9).thresholds == (0.9, 0.9, 0.9)
    with pytest.raises(Invalid, match="cellar"):
        looked(rooms, labels=["cellar"])


REFUSALS: list[tuple[str, int, str, type[DeconfuseError], str]] = [
    ("DescribeProjects", 400, "AccessDeniedException", Denied, "rekognition:DescribeProjects for"),
    ("DescribeProjectVersions", 400, "AccessDeniedException", Denied, "rekognition:DescribeProjectVersions for arn:"),
    ("GetObject", 403, "AccessDenied", Denied, f"s3:GetObject for arn:aws:s3:::{OUTPUT}/{SUMMARY_KEY}"),
    ("GetObject", 403, "AccessDenied", Denied, "s3:ListBucket"),
    ("DescribeProjects", 400, "ExpiredTokenException", Denied, "have expired"),
    ("GetObject", 400, "ExpiredToken", Denied, "have expired"),
    ("DescribeProjects", 400, "UnrecognizedClientException", Denied, "AKIDEXAMPLE"),
    ("DescribeProjects", 400, "UnrecognizedClientException", Denied, "It says: said by AWS. Run `aws configure`"),
    ("GetObject", 403, "InvalidAccessKeyId", Denied, "AKIDEXAMPLE"),
    ("DescribeProjects", 400, "InvalidSignatureException", BadSignature, "said by AWS"),
    ("GetObject", 403, "SignatureDoesNotMatch", BadSignature, "said by AWS"),
    ("GetObject", 403, "RequestTimeTooSkewed", BadSignature, "said by AWS"),
    ("DescribeProjects", 400, "OptInRequired", Denied, "may not use"),
    ("DescribeProjects", 400, "ThrottlingException", TooFast, "wait a little"),
    ("DescribeProjectVersions", 400, "ProvisionedThroughputExceededException", TooFast, "wait a little"),
    ("GetObject", 503, "SlowDown", TooFast, "wait a little"),
    ("DescribeProjects", 500, "InternalServerError", Unavailable, "try again later"),
    ("GetObject", 500, "InternalError", Unavailable, "try again later"),
    ("GetObject", 403, "InvalidObjectState", NotReady, "archived"),
    ("GetObject", 400, "KeyTooLongError", BadData, "KeyTooLongError"),
    ("DescribeProjects", 400, "UnknownOperationException", Invalid, "not as Amazon Rekognition does"),
    ("DescribeProjects", 404, "404", Invalid, "not as Amazon Rekognition does"),
    ("DescribeProjects", 400, "ValidationException", Invalid, "said by AWS"),
    ("DescribeProjectVersions", 400, "ResourceNotFoundException", NotFound, "project not found"),
]


@pytest.mark.parametrize(("operation", "status", "code", "kind", "expected"), REFUSALS)
def test_every_refusal_has_its_error_and_its_sentence(
    rooms: Cloud,
    operation: str,
    status: int,
    code: str,
    kind: type[DeconfuseError],
    expected: str,
) -> None:
    """The call, what it needs, and what the service said."""
    rooms.fault(operation, status, code)

    with pytest.raises(kind) as error:
        looked(rooms)
    assert expected in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])
@pytest.mark.parametrize(
    ("operation", "code"), [("DescribeProjects", "UnrecognizedClientException"), ("GetObject", "InvalidToken")]
)
def test_a_session_token_that_is_left_over_is_named(
    rooms: Cloud, monkeypatch: pytest.MonkeyPatch, name: str, operation: str, code: str
) -> None:
    """The variable to unset stands in the message, and nothing of what it holds; an empty one is none."""
    rooms.fault(operation, 403, code, "no temporary credentials here")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for value in ("stale", ""):
        monkeypatch.setenv(name, value)
        with pytest.raises(Denied, match=r"It says: no temporary credentials here\.") as error:
            looked(rooms, remote=asked(rooms, region=REGION))

        assert (f"`unset {name}`" in str(error.value)) is bool(value)
        assert "stale" not in str(error.value)


def test_a_session_token_is_not_named_where_another_key_is_used(
    rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A profile that was asked for wins over the environment, token included."""
    rooms.fault("DescribeProjects", 400, "UnrecognizedClientException")
    set_user(monkeypatch, tmp_path, credentials="[viewer]\naws_access_key_id = AKID\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "stale")

    with pytest.raises(Denied, match=r"'AKID'.*`deconfuse credentials` prints"):
        looked(rooms, remote=asked(rooms, region=REGION, profile="viewer"))


@pytest.mark.slow
def test_a_busy_service_is_asked_again(rooms: Cloud) -> None:
    """Three times in all, then it is said."""
    rooms.fault("DescribeProjects", 400, "ThrottlingException")

    with pytest.raises(TooFast):
        looked(rooms, remote=asked(rooms))
    assert rooms.count("DescribeProjects") == 3


def test_a_locked_key_names_its_permission(rooms: Cloud) -> None:
    """An object may be encrypted with a key that needs a permission of its own."""
    rooms.fault("GetObject", 403, "AccessDenied", "not authorized to perform: kms:Decrypt on the resource")

    with pytest.raises(Denied, match="and kms:Decrypt"):
        looked(rooms)


def test_projects_that_may_not_be_listed_are_no_second_error(cloud: Cloud) -> None:
    """Whoever may ask for one project only is told that it is not there, and in which region."""
    cloud.only_by_name = True

    with pytest.raises(NotFound, match=r"rooms\. Looked in region us-east-1"):
        looked(cloud)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>",
        b"[]",
        b"{}",
        b'{"ProjectDescriptions": "none"}',
        b"\xff\xfe",
        b'{"ProjectDescriptions": [{}]}',
        b'{"ProjectDescriptions": [{"ProjectArn": ""}]}',
    ],
)
def test_something_that_is_no_rekognition_is_recognised(cloud: Cloud, body: bytes) -> None:
    """Another web server may answer at the address."""
    cloud.raw = body

    with pytest.raises((Invalid, Unavailable), match=cloud.url):
        looked(cloud)


def test_nobody_at_the_address(rooms: Cloud) -> None:
    """The address, and what may be wrong, stand in the message."""
    with pytest.raises(Unavailable, match=r"http://127.0.0.1:9/? cannot be reached.*deconfuse serve"):
        looked(rooms, remote=open_remote(endpoint_url="http://127.0.0.1:9"))


def test_an_endpoint_without_tls(rooms: Cloud) -> None:
    """Https where http is spoken."""
    with pytest.raises(Unavailable, match="AWS_CA_BUNDLE"):
        looked(rooms, remote=open_remote(endpoint_url=rooms.url.replace("http", "https")))


@pytest.mark.parametrize("address", ["foo", "127.0.0.1:8750", "http://", "http://a b/", "ftp//x"])
def test_what_is_no_address_is_refused(rooms: Cloud, address: str) -> None:
    """With an example of one that is."""
    with pytest.raises((Invalid, Unavailable)):
        looked(rooms, remote=open_remote(endpoint_url=address))


def test_a_body_that_breaks_off(rooms: Cloud) -> None:
    """A connection that dies in the middle of the summary is an error; nothing is shown from half a file."""
    rooms.cut_short = True

    with pytest.raises(Unavailable):
        looked(rooms)


def test_large_objects_are_not_read(rooms: Cloud) -> None:
    """A limit holds for what is kept in memory."""
    remote = rooms.client
    address = ObjectAddress(OUTPUT, SUMMARY_KEY)
    size = len(rooms.objects[OUTPUT, SUMMARY_KEY])

    assert len(remote.read(address, limit=size)) == size
    with pytest.raises(LimitExceeded, match=f"{size - 1:,} bytes"):
        remote.read(address, limit=size - 1)


@pytest.mark.parametrize("uri", ["https://x/y", "local.png", "s3://", "s3://b", ""])
def test_an_image_elsewhere_is_not_fetched(rooms: Cloud, uri: str) -> None:
    """Only addresses in S3 are asked for."""
    with pytest.raises(Invalid):
        rooms.client.read_image(uri, limit=100)
    assert rooms.asked == []


def test_a_stream_is_read_in_lines(rooms: Cloud) -> None:
    """A snapshot of any size is never held whole."""
    with rooms.client.open(ObjectAddress(OUTPUT, SNAPSHOT_KEY)) as stream:
        assert len(list(stream)) == 60


def test_keys_of_any_spelling_arrive(cloud: Cloud) -> None:
    """Blanks, percent signs, plus, umlauts and slashes in a key."""
    key = "a b/50%/c+d/é?#x.json"
    cloud.objects["bucket", key] = b"x"

    assert cloud.client.read(ObjectAddress("bucket", key), limit=10) == b"x"


def test_no_credentials_are_said_at_once(rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A laptop is no machine of Amazon's: its silent metadata address costs less than a second, not four."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        set_user(monkeypatch, tmp_path, credentials="")
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()

        with pytest.raises(Denied, match=r"no credentials.*deconfuse credentials"):
            looked(rooms, remote=asked(rooms))
        assert time.monotonic() - start < 2


def test_a_machine_of_amazon_has_credentials(rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the metadata service answers, its role is used."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Metadata(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._say(b"token")

        def do_GET(self) -> None:
            role = (
                b'{"Code": "Success", "AccessKeyId": "AKIDROLE", "SecretAccessKey": "s", "Token": "t",'
                b' "Expiration": "2099-01-01T00:00:00Z"}'
            )
            self._say(role if self.path.endswith("/role") else b"role")

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        set_user(monkeypatch, tmp_path, credentials="")
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")

        assert looked(rooms, remote=asked(rooms)).n_images == 60
        server.shutdown()


def test_half_a_key_is_no_credential(rooms: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """An identifier without its secret."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(Denied, match="no credentials"):
        looked(rooms, remote=asked(rooms))


PROFILE = """
[profile viewer]
region = us-east-1
aws_access_key_id = AKIDPROFILE
aws_secret_access_key = secret
services = ours

[services ours]
rekognition =
  endpoint_url = {url}
s3 =
  endpoint_url = {url}
"""


def test_a_profile_says_everything(rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, region and both addresses from one profile, as `deconfuse credentials --format aws-config` writes it."""
    set_user(monkeypatch, tmp_path, config=PROFILE.format(url=rooms.url), credentials="")

    assert looked(rooms, remote=open_remote(profile="viewer")).n_images == 60
    monkeypatch.setenv("AWS_PROFILE", "viewer")
    assert looked(rooms, remote=open_remote()).n_images == 60


def test_an_unknown_profile_names_those_there_are(
    rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the flag and by the environment."""
    set_user(monkeypatch, tmp_path, config=PROFILE.format(url=rooms.url))
    for wanted, said in [("viewr", "Did you mean viewer"), ("other", "There are: viewer")]:
        with pytest.raises(NotFound, match=f"profile not found: {wanted}. {said}"):
            open_remote(profile=wanted)

    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(NotFound, match="profile not found: gone"):
        open_remote()


def test_a_broken_configuration_is_named(rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that is no configuration is not passed over."""
    set_user(monkeypatch, tmp_path, config="[profile x\nregion")

    with pytest.raises(Invalid, match=r"AWS configuration.*config"):
        looked(rooms, remote=open_remote(endpoint_url=rooms.url))


@pytest.mark.parametrize(
    ("region", "message"),
    [("us-est-1", "did you mean"), ("nowhere", "there are: ap-"), ("a b", "not the name of a region"), (None, "give")],
)
def test_a_wrong_region_is_said(rooms: Cloud, region: str | None, message: str) -> None:
    """Rekognition does not exist there, or nobody said where."""
    with pytest.raises(Invalid, match=f"--region.*{message}"):
        looked(rooms, remote=open_remote(region=region))


@pytest.mark.parametrize(
    ("profile", "kind", "said"),
    [
        ("credential_process = false", Denied, "credentials could not be had"),
        ("credential_process = echo no json", Invalid, "AWS configuration"),
        (
            "sso_start_url = https://x\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r",
            Denied,
            "sso login",
        ),
        ("role_arn = arn:aws:iam::1:role/r\nsource_profile = gone", Invalid, "AWS configuration"),
        ("role_arn = arn:aws:iam::1:role/r\ncredential_source = Nowhere", Invalid, "AWS configuration"),
        ("aws_access_key_id = AKID", Denied, "no credentials"),
        ("max_attempts = many", Invalid, "AWS configuration"),
    ],
)
def test_a_profile_that_does_not_work_says_what_is_wrong(
    rooms: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    profile: str,
    kind: type[DeconfuseError],
    said: str,
) -> None:
    """A helper that fails, a login that is over, a role without a source, half a key, nonsense."""
    set_user(monkeypatch, tmp_path, config=f"[profile x]\nregion = us-east-1\n{profile}\n", credentials="")

    with pytest.raises(kind, match=said):
        looked(rooms, remote=open_remote(profile="x", endpoint_url=rooms.url))


def test_an_s3_of_other_people(rooms: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rekognition here, S3 there, each at its own address; the version of an object that is named is read."""
    import boto3
    from moto.server import ThreadedMotoServer

    model = judged_model()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
        s3.create_bucket(Bucket=OUTPUT)
        s3.put_bucket_versioning(Bucket=OUTPUT, VersioningConfiguration={"Status": "Enabled"})
        wanted = s3.put_object(Bucket=OUTPUT, Key=SUMMARY_KEY, Body=model.summary())["VersionId"]
        s3.put_object(Bucket=OUTPUT, Key=SUMMARY_KEY, Body=CAP_WATCH)
        s3.put_object(Bucket=OUTPUT, Key=SNAPSHOT_KEY, Body=model.snapshot())
        rooms.projects["rooms"][0]["EvaluationResult"]["Summary"]["S3Object"]["Version"] = wanted
        monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", rooms.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        found = looked(rooms, remote=open_remote())

        assert found.matrix.counts[:-1, :-1].tolist() == model.counts().tolist()
        assert found.predictions is not None
        rooms.projects["rooms"][0]["EvaluationResult"]["Summary"]["S3Object"]["Version"] = "no-such-version"
        with pytest.raises(DeconfuseError):
            looked(rooms, remote=open_remote())
        s3.close()
    finally:
        server.stop()

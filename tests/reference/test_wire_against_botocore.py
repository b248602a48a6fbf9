"""botocore as second author: its serializer asks, its validator and parsers judge, boto3's client meets every error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from deconfuse import errors
from deconfuse.wire import identity
from deconfuse.wire.faults import Refused
from deconfuse.wire.protocol import Protocol
from deconfuse.wire.shapes import OPERATIONS
from wire_values import values

PROTOCOL = Protocol("rekognition")
MODEL = ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")
ARN = "arn:aws:rekognition:us-east-1:123456789012:project/rooms/version/1/1690556751958"
FEW = settings(max_examples=settings().max_examples // 4)
"""For each of 23 operations."""

WHEN = datetime(2023, 7, 28, 15, 5, 51, 958_000, tzinfo=UTC)


def asked(operation: str, parameters: dict[str, Any]) -> tuple[str, bytes]:
    """Target and body of a request, as botocore's serializer writes it."""
    request = create_serializer("json", False).serialize_to_request(parameters, MODEL.operation_model(operation))
    return request["headers"]["X-Amz-Target"], request["body"]


def parsed(operation: str, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """An answer, as botocore's parser reads it."""
    lower = {name.lower(): value for name, value in headers.items()}
    response = {"status_code": status, "headers": lower, "body": body}
    result: dict[str, Any] = create_parser("json").parse(response, MODEL.operation_model(operation).output_shape)
    return result


@pytest.mark.parametrize("operation", OPERATIONS)
@FEW
@given(st.data())
def test_what_botocore_serializes_is_read(operation: str, data: st.DataObject) -> None:
    """Every legal request of every operation."""
    sent = data.draw(values(PROTOCOL.service.operations[operation].input))

    assert PROTOCOL.read(*asked(operation, sent)) == (operation, sent)


@pytest.mark.parametrize("operation", OPERATIONS)
@FEW
@given(st.data())
def test_what_is_written_is_what_botocore_parses(operation: str, data: st.DataObject) -> None:
    """Dates, numbers, texts and lists of every legal answer."""
    result = data.draw(values(PROTOCOL.service.operations[operation].output))
    answer = parsed(operation, 200, PROTOCOL.headers("id-1"), PROTOCOL.write(operation, result))

    assert answer.pop("ResponseMetadata")["RequestId"] == "id-1"
    assert answer == result


@pytest.mark.parametrize("operation", OPERATIONS)
def test_constraints_that_botocore_checks_are_checked_here(operation: str) -> None:
    """For each required member: without it, both refuse."""
    shape = PROTOCOL.service.operations[operation].input
    for name in shape.required:
        with pytest.raises(Refused, match=f"at '{name[:1].lower()}{name[1:]}'.*must not be null"):
            PROTOCOL.read(f"RekognitionService.{operation}", b"{}")


class Sent:
    """The body of an answer, as the client's HTTP library would hand it over."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self) -> Iterator[bytes]:
        """All of it, in one piece."""
        yield self.body


def client(answer: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> Any:
    """A client of boto3, without a socket: we read its requests, `answer` answers them, we write the answers."""
    made = boto3.client(
        "rekognition",
        region_name="us-east-1",
        endpoint_url="http://localhost:1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def send(request: Any, **_: Any) -> AWSResponse:
        operation = None
        try:
            operation, parameters = PROTOCOL.read(request.headers["X-Amz-Target"].decode(), request.body)
            status, headers = 200, PROTOCOL.headers("id-1")
            body = PROTOCOL.write(operation, answer(operation, parameters))
        except Exception as error:  # noqa: BLE001  # what the endpoint does: everything becomes an answer
            status, headers, body = PROTOCOL.fault(error, request_id="id-1", operation=operation)
        return AWSResponse(request.url, status, headers, Sent(body))

    made.meta.events.register("before-send.rekognition.*", send)
    return made


LEGAL: dict[str, Any] = {
    "ProjectArn": "arn:aws:rekognition:us-east-1:123456789012:project/rooms/1690474772815",
    "ProjectVersionArn": ARN,
    "DatasetArn": "arn:aws:rekognition:us-east-1:123456789012:project/rooms/dataset/train/1690476084535",
    "SourceProjectArn": "arn:aws:rekognition:us-east-1:123456789012:project/rooms/1690474772815",
    "SourceProjectVersionArn": ARN,
    "DestinationProjectArn": "arn:aws:rekognition:us-east-1:123456789012:project/rooms2/1690474772816",
    "ResourceArn": ARN,
    "ProjectName": "rooms",
    "VersionName": "1",
    "DatasetType": "TRAIN",
    "Changes": {"GroundTruth": b"{}"},
    "Datasets": [{"Arn": f"arn:aws:rekognition:us-east-1:123456789012:project/rooms/dataset/{kind}/1"}
                 for kind in ("train", "test")],
    "OutputConfig": {"S3Bucket": "bucket", "S3KeyPrefix": "out"},
    "MinInferenceUnits": 1,
    "Image": {"Bytes": b"x"},
    "PolicyName": "p",
    "PolicyDocument": "{}",
    "Tags": {"a": "b"},
    "TagKeys": ["a"],
}  # fmt: skip
"""A legal value of each member that some operation requires."""

RAISED: list[errors.DeconfuseError] = [
    errors.Invalid("x", "y"), errors.BadToken("x", "y"), errors.BadPolicy("x", "y"), errors.BadRevision("x", "y"),
    errors.NotFound("project", "p"), errors.NotFound("object", "k"), errors.AlreadyExists("dataset", "train"),
    errors.InUse("x"), errors.NotReady("x"), errors.BadImage("x"), errors.ImageTooLarge("x"), errors.Denied("x"),
    errors.LimitExceeded("x"), errors.QuotaExceeded("x"), errors.TooFast("x"), errors.Unavailable("x"),
]  # fmt: skip


def call(made: Any, operation: str) -> Any:
    """One legal call of `operation`."""
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
    return getattr(made, method)(**{n: LEGAL[n] for n in PROTOCOL.service.operations[operation].input.required})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_boto3_has_a_class_for_every_error_that_an_operation_gives(operation: str) -> None:
    """Programs catch `client.exceptions.…`: every error arrives as such a class, with its message and status."""
    waiting: list[errors.DeconfuseError] = []

    def fail(_: str, __: dict[str, Any]) -> None:
        raise waiting[0]

    made = client(fail)
    for error in RAISED:
        waiting[:] = [error]
        with pytest.raises(ClientError) as caught:
            call(made, operation)

        code = caught.value.response["Error"]["Code"]
        assert type(caught.value) is made.exceptions.from_code(code) is not ClientError
        assert caught.value.response["Error"]["Message"]
        assert caught.value.response["ResponseMetadata"]["RequestId"] == "id-1"
        status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status == (500 if code in ("InternalServerError", "ThrottlingException") else 400)


def test_what_botocore_lets_through_is_refused_here() -> None:
    """Maxima, patterns and enumerations, which no client checks."""
    made = client(lambda _, __: {})
    for arguments in ({"ProjectName": "a b"}, {"ProjectName": "a" * 300}, {"ProjectName": "a", "Feature": "BEES"}):
        with pytest.raises(ClientError, match=r"\(ValidationException\).*1 validation error detected"):
            made.create_project(**arguments)


def test_a_bug_of_ours_is_an_internal_error_without_its_text() -> None:
    """Also where the result does not fit the model."""
    made = client(lambda _, __: {"ProjectArn": 5})
    with pytest.raises(made.exceptions.InternalServerError, match="an error of its own") as caught:
        made.create_project(ProjectName="rooms")

    assert "no text" not in str(caught.value)


def test_an_operation_that_is_not_of_custom_labels_is_named() -> None:
    """DetectFaces is known to the client, and not to us."""
    with pytest.raises(ClientError, match=r"UnknownOperationException.*DetectFaces") as caught:
        client(lambda _, __: {}).detect_faces(Image={"Bytes": b"x"})

    assert type(caught.value) is ClientError


def version(status: str, *, name: str = "1") -> dict[str, Any]:
    """A version as DescribeProjectVersions gives it."""
    arn = ARN.replace("version/1/", f"version/{name}/")
    return {"ProjectVersionArn": arn, "CreationTimestamp": WHEN, "Status": status}


def test_paginators_walk_to_the_end() -> None:
    """The last page has no token, and the pages before it have one."""

    def pages(_: str, parameters: dict[str, Any]) -> dict[str, Any]:
        page = int(parameters.get("NextToken", "0"))
        token = str(page + 1) if page < 3 else None
        return {"ProjectVersionDescriptions": [version("RUNNING", name=f"v{page}")], "NextToken": token}

    paginator = client(pages).get_paginator("describe_project_versions")
    names = [row["ProjectVersionArn"].split("/")[3] for row in
             paginator.paginate(ProjectArn=LEGAL["ProjectArn"]).search("ProjectVersionDescriptions[]")]  # fmt: skip

    assert names == ["v0", "v1", "v2", "v3"]


def test_waiters_see_the_status() -> None:
    """Both waiters of the service end where the status says so."""
    statuses = iter(["TRAINING_IN_PROGRESS", "TRAINING_COMPLETED", "STARTING", "RUNNING"])
    made = client(lambda _, __: {"ProjectVersionDescriptions": [version(next(statuses))]})
    for waiter in ("project_version_training_completed", "project_version_running"):
        made.get_waiter(waiter).wait(ProjectArn=LEGAL["ProjectArn"], WaiterConfig={"Delay": 0, "MaxAttempts": 3})

    assert list(statuses) == []


def test_dates_arrive_as_dates() -> None:
    """To the millisecond, in UTC."""
    made = client(lambda _, __: {"ProjectVersionDescriptions": [version("RUNNING")]})
    row = made.describe_project_versions(ProjectArn=LEGAL["ProjectArn"])["ProjectVersionDescriptions"][0]

    assert row["CreationTimestamp"] == WHEN
    assert row["StatusMessage"] == ""


def test_sts_asks_and_reads_as_botocore_does() -> None:
    """The form of a real client is taken, and it reads account, id and name from the answer."""
    model = ServiceModel(Loader().load_service_model("sts", "service-2"), "sts")
    operation = model.operation_model("GetCallerIdentity")
    form = create_serializer("query", False).serialize_to_request({}, operation)["body"]
    identity.check_request("&".join(f"{key}={value}" for key, value in form.items()).encode())
    body = identity.write_identity(
        account="123456789012", user_id="AKID", arn="arn:aws:iam::1:user/<a&b>", request_id="i"
    )
    response = {"status_code": 200, "headers": identity.headers("i"), "body": body}
    answer = create_parser("query").parse(response, operation.output_shape)

    assert answer.pop("ResponseMetadata")["RequestId"] == "i"
    assert answer == {"Account": "123456789012", "UserId": "AKID", "Arn": "arn:aws:iam::1:user/<a&b>"}


def test_errors_of_sts_are_read_by_botocore() -> None:
    """Code, message and request id."""
    status, headers, body = identity.fault(errors.UnknownKey("AKID<"), request_id="i")
    answer = create_parser("query").parse({"status_code": status, "headers": headers, "body": body}, None)

    assert answer["Error"]["Code"] == "InvalidClientTokenId"
    assert "AKID<" in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"] == "i"

"""AWS JSON 1.1: what a request may say, and how an answer is written."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from deconfuse.errors import NotBuilt, NotFound
from deconfuse.wire.faults import Refused
from deconfuse.wire.protocol import ALWAYS, LARGEST_BODY, MOST_COMPLAINTS, MOST_VALUES, Protocol, _Reading
from deconfuse.wire.shapes import Demand, Shape

PROTOCOL = Protocol("rekognition")
PROJECT = "arn:aws:rekognition:us-east-1:123456789012:project/rooms/1690474772815"
VERSION = "arn:aws:rekognition:us-east-1:123456789012:project/rooms/version/1/1690556751958"
DATASET = "arn:aws:rekognition:us-east-1:123456789012:project/rooms/dataset/train/1690476084535"


def read(operation: str, request: Any) -> dict[str, Any]:
    """The parameters of a request given as JSON values or as bytes."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return PROTOCOL.read(f"RekognitionService.{operation}", body)[1]


def refused(operation: str, request: Any) -> Refused:
    """The refusal of such a request."""
    with pytest.raises(Refused) as caught:
        read(operation, request)
    return caught.value


def written(operation: str, result: dict[str, Any]) -> Any:
    """An answer, parsed again."""
    return json.loads(PROTOCOL.write(operation, result))


def test_a_request_gives_its_operation_and_parameters() -> None:
    """Members keep the model's names, base64 becomes bytes, integers may stand for floats."""
    image = base64.b64encode(b"\xff\xd8").decode()
    body = {"ProjectVersionArn": VERSION, "Image": {"Bytes": image}, "MinConfidence": 50, "MaxResults": 3}

    assert PROTOCOL.read("RekognitionService.DetectCustomLabels", json.dumps(body).encode()) == (
        "DetectCustomLabels",
        {"ProjectVersionArn": VERSION, "Image": {"Bytes": b"\xff\xd8"}, "MinConfidence": 50, "MaxResults": 3},
    )


@pytest.mark.parametrize(
    "body", [b"", b"{}", b" {}\n", b'{"Unknown": {"a": [1]}, "NextToken": null}', b"\xef\xbb\xbf{}"]
)
def test_what_is_unknown_or_null_counts_as_absent(body: bytes) -> None:
    """A later client may send members that this model lacks; AWS ignores them too."""
    assert read("DescribeProjects", body) == {}


def test_an_empty_page_token_arrives_as_it_is() -> None:
    """AWS's own samples send NextToken="" on the first call."""
    assert read("DescribeProjects", {"NextToken": ""}) == {"NextToken": ""}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (None, "X-Amz-Target is missing"),
        ("", "X-Amz-Target is missing"),
        ("RekognitionService", "there is no operation"),
        ("RekognitionService.", "there is no operation"),
        ("RekognitionService.NoSuchThing", "there is no operation NoSuchThing"),
        ("RekognitionService.createproject", "there is no operation"),
        ("RekognitionService.DetectFaces", "not of Custom Labels"),
        ("DynamoDB_20120810.ListTables", "DynamoDB_20120810 was asked.*AWS_ENDPOINT_URL_REKOGNITION"),
        ("CreateProject", "AWS_ENDPOINT_URL_REKOGNITION"),
        ("x" * 100_000, "AWS_ENDPOINT_URL_REKOGNITION"),
    ],
)
def test_a_target_that_is_not_ours_is_an_unknown_operation(target: str | None, says: str) -> None:
    """The message names the cause; where all services were sent here, also the remedy."""
    with pytest.raises(Refused, match=says) as caught:
        PROTOCOL.read(target, b"{}")

    assert caught.value.code == "UnknownOperationException"
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"true",
        b'"text"',
        b"1",
        b"\xff\xfe{}",
        b'{"ProjectName": "a", "ProjectName": "b"}',
        b'{"ProjectName": "\\ud800"}',
        b'{"x": NaN}',
        b'{"x": Infinity}',
        b'{"x": 1e999}',
        b'{"x": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"ProjectName=a",
        b"\x00",
    ],
)
def test_a_body_that_is_no_object_cannot_be_read(body: bytes) -> None:
    """Whatever is no JSON object, and whatever loses data when it is parsed."""
    assert refused("CreateProject", body).code == "SerializationException"


@pytest.mark.parametrize(
    ("operation", "request_", "says"),
    [
        ("CreateProject", {"ProjectName": 1}, "NUMBER_VALUE can not be converted to a String at 'projectName'"),
        ("CreateProject", {"ProjectName": ["a"]}, "START_ARRAY can not be converted to a String"),
        ("CreateProject", {"ProjectName": {"a": "b"}}, "START_OBJECT can not be converted to a String"),
        ("CreateProject", {"ProjectName": True}, "TRUE_VALUE can not"),
        ("CreateProject", {"ProjectName": "a", "Tags": []}, "a Map at 'tags'"),
        ("CreateProject", {"ProjectName": "a", "Tags": {"k": 1}}, "a String at 'tags.k.member'"),
        ("DescribeProjects", {"ProjectNames": "rooms"}, "STRING_VALUE can not be converted to a List"),
        ("DescribeProjects", {"ProjectNames": {"rooms": 1}}, "START_OBJECT can not be converted to a List"),
        ("DescribeProjects", {"MaxResults": "5"}, "STRING_VALUE can not be converted to an Integer"),
        ("DescribeProjects", {"MaxResults": 5.0}, "DECIMAL_VALUE can not be converted to an Integer"),
        ("DescribeProjects", {"MaxResults": True}, "TRUE_VALUE can not be converted to an Integer"),
        ("DescribeProjects", {"MaxResults": 2**31}, "out of the range of an Integer"),
        ("DescribeProjects", {"MaxResults": -(2**31) - 1}, "out of the range of an Integer"),
        ("StartProjectVersion", {"MinInferenceUnits": 10**300}, "out of the range of an Integer"),
        ("DetectCustomLabels", {"MinConfidence": False}, "FALSE_VALUE can not be converted to a Float"),
        ("DetectCustomLabels", {"MinConfidence": 10**309}, "can not be converted to a Float"),
        ("DetectCustomLabels", {"Image": "abc"}, "a Structure at 'image'"),
        ("DetectCustomLabels", {"Image": {"Bytes": "***"}}, "'image.bytes' is not base64"),
        ("DetectCustomLabels", {"Image": {"Bytes": "YQ"}}, "is not base64"),
        ("DetectCustomLabels", {"Image": {"Bytes": "YQ\n=="}}, "is not base64"),
        ("DetectCustomLabels", {"Image": {"Bytes": "\u00e9\u00e9\u00e9\u00e9"}}, "is not base64"),
        ("DetectCustomLabels", {"Image": {"Bytes": 5}}, "NUMBER_VALUE can not be converted to a Blob"),
        ("ListDatasetEntries", {"Labeled": "true"}, "STRING_VALUE can not be converted to a Boolean"),
        ("ListDatasetEntries", {"Labeled": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
    ],
)
def test_a_value_of_another_type_is_named(operation: str, request_: Any, says: str) -> None:
    """Nothing is guessed: a text is no list, a truth value no number, a fraction no integer."""
    error = refused(operation, request_)

    assert error.code == "SerializationException"
    assert says in error.message


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        (
            "CreateProject",
            {"ProjectName": "a b"},
            (
                r"Value 'a b' at 'projectName' failed to satisfy constraint: "
                r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+"
            ),
        ),
        (
            "CreateProject",
            {"ProjectName": "a" * 256},
            (
                f"Value '{'a' * 256}' at 'projectName' failed to satisfy constraint: "
                "Member must have length less than or equal to 255"
            ),
        ),
        (
            "CreateProject",
            {},
            "Value null at 'projectName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "CreateProject",
            {"ProjectName": "a", "Feature": "BEES"},
            (
                "Value 'BEES' at 'feature' failed to satisfy constraint: "
                "Member must satisfy enum value set: [CONTENT_MODERATION, CUSTOM_LABELS]"
            ),
        ),
        (
            "DescribeProjects",
            {"MaxResults": 101},
            (
                "Value '101' at 'maxResults' failed to satisfy constraint: "
                "Member must have value less than or equal to 100"
            ),
        ),
        (
            "DescribeProjects",
            {"MaxResults": 0},
            "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "DescribeProjects",
            {"ProjectNames": []},
            (
                "Value '[]' at 'projectNames' failed to satisfy constraint: "
                "Member must have length greater than or equal to 1"
            ),
        ),
        (
            "DescribeProjects",
            {"ProjectNames": ["ok", "a b", "c d"]},
            (
                "Value '[ok, a b, c d]' at 'projectNames' failed to satisfy constraint: "
                "Member must satisfy constraint: "
                "[Member must have length less than or equal to 255, "
                "Member must have length greater than or equal to 1, "
                r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+]"
            ),
        ),
        (
            "DescribeProjects",
            {"ProjectNames": ["ok", None]},
            "Value null at 'projectNames.2.member' failed to satisfy constraint: Member must not be null",
        ),
        (
            "DistributeDatasetEntries",
            {"Datasets": [{"Arn": DATASET}, {}]},
            "Value null at 'datasets.2.member.arn' failed to satisfy constraint: Member must not be null",
        ),
        (
            "DistributeDatasetEntries",
            {"Datasets": [{"Arn": DATASET}]},
            "Value at 'datasets' failed to satisfy constraint: Member must have length greater than or equal to 2",
        ),
        (
            "TagResource",
            {"ResourceArn": PROJECT, "Tags": {"k": "\x00"}},
            (
                "Value at 'tags' failed to satisfy constraint: Map value must satisfy constraint: "
                "[Member must have length less than or equal to 256, "
                "Member must have length greater than or equal to 0, "
                r"Member must satisfy regular expression pattern: ^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$]"
            ),
        ),
        (
            "TagResource",
            {"ResourceArn": PROJECT, "Tags": {"aws:k": ""}},
            (
                "Value at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: "
                "[Member must have length less than or equal to 128, "
                "Member must have length greater than or equal to 1, "
                r"Member must satisfy regular expression pattern: ^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$]"
            ),
        ),
        (
            "DetectCustomLabels",
            {"ProjectVersionArn": VERSION, "Image": {"Bytes": ""}},
            "Value at 'image.bytes' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "DetectCustomLabels",
            {"ProjectVersionArn": VERSION, "Image": {"Bytes": base64.b64encode(bytes(5_242_881)).decode()}},
            (
                "Value at 'image.bytes' failed to satisfy constraint: "
                "Member must have length less than or equal to 5242880"
            ),
        ),
        (
            "DetectCustomLabels",
            {"ProjectVersionArn": VERSION, "Image": {}, "MinConfidence": 100.5},
            (
                "Value '100.5' at 'minConfidence' failed to satisfy constraint: "
                "Member must have value less than or equal to 100"
            ),
        ),
        (
            "CreateDataset",
            {"ProjectArn": PROJECT, "DatasetType": "train"},
            (
                "Value 'train' at 'datasetType' failed to satisfy constraint: "
                "Member must satisfy enum value set: [TRAIN, TEST]"
            ),
        ),
    ],
)
def test_a_violated_constraint_is_said_in_aws_words(operation: str, request_: Any, message: str) -> None:
    """Requirement, length, range, pattern and enumeration, of values, of what lists and maps hold, and of keys."""
    error = refused(operation, request_)

    assert (error.code, error.message) == ("ValidationException", f"1 validation error detected: {message}")


def test_all_violations_are_told_at_once() -> None:
    """A request with three mistakes gets three answers."""
    error = refused("CreateProjectVersion", {"ProjectArn": "x" * 30, "OutputConfig": {"S3Bucket": "a"}})

    assert error.message.startswith("3 validation errors detected: Value 'xxx")
    assert error.message.count("failed to satisfy constraint") == 3
    assert "'outputConfig.s3Bucket'" in error.message


def test_what_is_told_stays_short() -> None:
    """Neither a long value nor many mistakes make a long message."""
    assert len(refused("CreateProject", {"ProjectName": "\u2615" * 1_000_000}).message) < 1000

    assets = [{"GroundTruthManifest": {"S3Object": {"Bucket": "!" * 300}}}] * 1000
    error = refused("CreateProjectVersion", {"TrainingData": {"Assets": assets}})
    assert error.message.startswith("1003 validation errors detected")
    assert error.message.count("failed to satisfy") == MOST_COMPLAINTS
    assert error.message.endswith(f"; and {1003 - MOST_COMPLAINTS} more")
    assert len(error.message) < 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateProjectVersion", {"TrainingData": {"Assets": [{}] * 1_000_000}}),
        ("DescribeProjects", {"ProjectNames": ["a b"] * 1_000_000}),
        ("TagResource", {"Tags": {str(number): "" for number in range(500_000)}}),
        ("ListDatasetEntries", {"SourceRefContains": "x" * 7_000_000 + "\n"}),
        ("ListDatasetEntries", {"SourceRefContains": "x" * 2047 + "\n"}),
        ("CreateProject", {"ProjectName": "a" * 7_000_000 + "!"}),
    ],
)
def test_a_request_made_to_be_slow_is_not(operation: str, request_: Any) -> None:
    """Values beyond a list's limit are not looked at, patterns are not tried on texts that are too long."""
    body = json.dumps(request_).encode()
    start = time.process_time()

    assert refused(operation, body).code in {"ValidationException", "SerializationException"}
    assert time.process_time() - start < 5


def test_what_stands_beyond_the_limit_of_a_list_is_not_looked_at() -> None:
    """Eleven bad names where ten are possible: one complaint, about the number."""
    error = refused("DescribeProjects", {"ProjectNames": ["a b"] * 11})

    assert error.message.startswith("1 validation error detected")
    assert error.message.endswith(
        "'projectNames' failed to satisfy constraint: Member must have length less than or equal to 10"
    )


def test_a_list_without_a_limit_ends_somewhere() -> None:
    """The model lets `Assets` be of any length; we do not."""
    request = {"ProjectArn": PROJECT, "VersionName": "1", "OutputConfig": {}}
    few, many = ({**request, "TrainingData": {"Assets": [{}] * number}} for number in (1000, MOST_VALUES))

    assert len(read("CreateProjectVersion", few)["TrainingData"]["Assets"]) == 1000
    assert "more than 10000 values" in refused("CreateProjectVersion", many).message


@pytest.mark.parametrize("kind", ["string", "list"])
def test_a_secret_is_not_repeated(kind: str) -> None:
    """Values of shapes that the model calls sensitive stay out of messages."""
    demand = Demand(lambda _: False, "be better")
    secret = Shape("Password", "string", (demand,), is_secret=True)
    shape = secret if kind == "string" else Shape("Passwords", "list", (demand,), inner=secret)
    walk = _Reading()
    walk.read(shape, "hunter2" if kind == "string" else ["hunter2"], "password")

    assert walk.complaints[0].startswith("Value at 'password' failed")


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("CreateProject", "a request may have 8,388,608 bytes"),
        ("DetectCustomLabels", "bytes; put a large image into a bucket and name it as S3Object"),
        ("UpdateDatasetEntries", "bytes; give the lines in several requests"),
    ],
)
def test_a_body_above_the_limit_is_not_parsed(operation: str, words: str) -> None:
    """The endpoint cuts it off already; whoever comes past that gets 413, and what is possible instead."""
    error = refused(operation, b" " * (LARGEST_BODY + 1))

    assert (error.code, error.status) == ("RequestEntityTooLargeException", 413)
    assert error.message.endswith(words)


def test_the_largest_image_fits_into_the_largest_body() -> None:
    """5 MiB of image are taken, and one byte more is refused by the model's rule, not by the size of the body."""
    image = base64.b64encode(bytes(5 * 2**20)).decode()

    assert len(read("DetectCustomLabels", {"ProjectVersionArn": VERSION, "Image": {"Bytes": image}})["Image"]["Bytes"])


def test_dates_are_seconds_cut_to_milliseconds() -> None:
    """Never rounded up, whatever the zone, also before 1970."""
    version = {"ProjectVersionArn": VERSION, "Status": "RUNNING", "StatusMessage": ""}
    moments = [
        datetime(2023, 7, 28, 15, 5, 51, 958_999, tzinfo=UTC),
        datetime(2023, 7, 28, 17, 5, 51, 958_000, tzinfo=timezone(timedelta(hours=2))),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    rows = [{**version, "CreationTimestamp": moment} for moment in moments]
    answer = written("DescribeProjectVersions", {"ProjectVersionDescriptions": rows})

    dates = [row["CreationTimestamp"] for row in answer["ProjectVersionDescriptions"]]
    assert dates == [1690556751.958, 1690556751.958, -0.001]


def test_floats_have_single_precision() -> None:
    """As AWS writes them: what a client keeps as a float is what was sent."""
    answer = written("DetectCustomLabels", {"CustomLabels": [{"Name": "kitchen", "Confidence": 99.1}]})

    assert answer == {"CustomLabels": [{"Name": "kitchen", "Confidence": 99.0999984741211}]}


def test_what_is_none_or_undefined_is_left_out() -> None:
    """NaN is no JSON; an undefined F1 score is absent, as in a version that was not evaluated."""
    version = {
        "ProjectVersionArn": VERSION,
        "Status": "TRAINING_COMPLETED",
        "CreationTimestamp": datetime(2024, 1, 1, tzinfo=UTC),
        "KmsKeyId": None,
        "EvaluationResult": {"F1Score": float("nan")},
    }

    assert written("DescribeProjectVersions", {"ProjectVersionDescriptions": [version], "NextToken": None}) == {
        "ProjectVersionDescriptions": [
            {
                "ProjectVersionArn": VERSION,
                "CreationTimestamp": 1704067200.0,
                "Status": "TRAINING_COMPLETED",
                "StatusMessage": "",
                "EvaluationResult": {},
            }
        ]
    }


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("DescribeProjects", b'{"ProjectDescriptions":[]}'),
        ("DescribeProjectVersions", b'{"ProjectVersionDescriptions":[]}'),
        ("ListDatasetEntries", b'{"DatasetEntries":[]}'),
        ("ListDatasetLabels", b'{"DatasetLabelDescriptions":[]}'),
        ("ListProjectPolicies", b'{"ProjectPolicies":[]}'),
        ("ListTagsForResource", b'{"Tags":{}}'),
        ("DetectCustomLabels", b'{"CustomLabels":[]}'),
        ("DeleteDataset", b"{}"),
        ("TagResource", b"{}"),
    ],
)
def test_empty_results_keep_their_lists(operation: str, answer: bytes) -> None:
    """Programs index these lists without asking."""
    assert PROTOCOL.write(operation, {}) == PROTOCOL.write(operation) == answer


def test_a_project_always_has_its_list_of_datasets() -> None:
    """The published samples fail with KeyError otherwise."""
    project = {"ProjectArn": PROJECT, "CreationTimestamp": datetime(2024, 1, 1, tzinfo=UTC), "Status": "CREATED"}

    assert written("DescribeProjects", {"ProjectDescriptions": [project]})["ProjectDescriptions"][0]["Datasets"] == []


def test_what_is_always_sent_is_in_the_model() -> None:
    """The table names shapes and members as they are, and only those of answers."""
    shapes: dict[str, Shape] = {}

    def gather(shape: Shape) -> None:
        shapes[shape.name] = shape
        for part in [*shape.members.values(), *([shape.inner] if shape.inner else [])]:
            gather(part)

    for operation in PROTOCOL.service.operations.values():
        gather(operation.output)

    assert not [f"{name}.{m}" for name, members in ALWAYS.items() for m in members if m not in shapes[name].members]
    filled = {o.output.name for o in PROTOCOL.service.operations.values() if o.output.members}
    assert filled == {name for name in ALWAYS if name.endswith("Response")}


WHEN = datetime(2024, 1, 1, tzinfo=UTC)
STATS = {"LabeledEntries": 1, "TotalEntries": 1, "TotalLabels": 1, "ErrorEntries": 0}


@pytest.mark.parametrize(
    ("operation", "result", "says"),
    [
        ("CreateProject", {}, "ProjectArn is missing"),
        ("CreateProject", {"ProjectARN": PROJECT}, "has no ProjectARN"),
        ("CreateProject", {"ProjectArn": 5}, "is no text"),
        ("DeleteProject", {"Status": "GONE"}, "DeleteProject.Status: 'GONE' is none of CREATED, CREATING, DELETING"),
        ("DeleteProject", {"Status": "deleting"}, "is none of"),
        (
            "DetectCustomLabels",
            {"CustomLabels": [{"Name": "a", "Confidence": float("inf")}]},
            "CustomLabels.0.Confidence: inf",
        ),
        ("DetectCustomLabels", {"CustomLabels": [{"Name": "a", "Confidence": float("nan")}]}, "Confidence is missing"),
        ("DetectCustomLabels", {"CustomLabels": [{"Name": "a", "Confidence": "99"}]}, "is no float"),
        ("DetectCustomLabels", {"CustomLabels": [{"Name": "a", "Confidence": 1e300}]}, "is no float: float too large"),
        ("DetectCustomLabels", {"CustomLabels": [{"Name": "a", "Confidence": True}]}, "is no float"),
        ("ListTagsForResource", {"Tags": {1: "a"}}, "Tags: a key is no text"),
        ("ListTagsForResource", {"Tags": {"a": 1}}, "Tags.a: 1 is no text"),
        (
            "DescribeDataset",
            {"DatasetDescription": {"DatasetStats": {**STATS, "TotalLabels": 1.5}}},
            "CreationTimestamp is missing",
        ),
        (
            "DescribeProjectVersions",
            {"ProjectVersionDescriptions": [{"ProjectVersionArn": VERSION, "CreationTimestamp": datetime(2024, 1, 1)}]},
            "time zone",
        ),
        (
            "DescribeProjectVersions",
            {"ProjectVersionDescriptions": [{"ProjectVersionArn": VERSION, "CreationTimestamp": 1704067200}]},
            "time zone",
        ),
        (
            "ListDatasetLabels",
            {"DatasetLabelDescriptions": [{"LabelName": "a", "LabelStats": {"EntryCount": 1.5}}]},
            "is no integer",
        ),
        (
            "ListDatasetLabels",
            {"DatasetLabelDescriptions": [{"LabelName": "a", "LabelStats": {"EntryCount": True}}]},
            "is no integer",
        ),
    ],
)
def test_an_answer_that_the_model_forbids_is_not_written(operation: str, result: dict[str, Any], says: str) -> None:
    """A mistake of ours is found here, with its place, and not by a client."""
    with pytest.raises(ValueError, match=says):
        PROTOCOL.write(operation, result)


def test_a_modelled_error_is_answered_in_the_models_form() -> None:
    """With type, code, reference and message, as AWS's Rekognition does."""
    status, headers, body = PROTOCOL.fault(NotFound("project", PROJECT), request_id="id-1", operation="DeleteProject")

    assert status == 400
    assert headers == {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "id-1"}
    assert json.loads(body) == {
        "__type": "ResourceNotFoundException",
        "Code": "ResourceNotFoundException",
        "Logref": "id-1",
        "Message": f"project not found: {PROJECT}",
    }


def test_an_error_of_the_framework_has_a_small_message() -> None:
    """The other form, of errors that no model names."""
    status, _, body = PROTOCOL.fault(refused("CreateProject", b"{"), request_id="id-1", operation="CreateProject")

    assert status == 400
    assert set(json.loads(body)) == {"__type", "message"}


@pytest.mark.parametrize("message", ["\ud800", "\x00\x1b", "caf\u00e9 \u2615", "", "x" * 100_000])
def test_no_message_fails_to_be_sent(message: str) -> None:
    """Half of a surrogate pair, as file names may hold it, comes out as JSON writes it."""
    _, _, body = PROTOCOL.fault(NotBuilt("field", message), request_id="id-1", operation="CreateProject")

    assert json.loads(body)["Message"] == f"field: {message}"

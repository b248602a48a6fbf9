"""Which error is which code of AWS's, for every operation."""

from __future__ import annotations

import json

import pytest

from deconfuse import errors
from deconfuse.wire.faults import BY_KIND, BY_REASON, CODES, FRAMEWORK, INTERNAL, INVALID, NEAREST, Refused, code_of
from deconfuse.wire.protocol import Protocol
from deconfuse.wire.shapes import OPERATIONS

PROTOCOL = Protocol("rekognition")
COMMON = {
    "AccessDeniedException", "InternalServerError", "InvalidParameterException",
    "ProvisionedThroughputExceededException", "ThrottlingException",
}  # fmt: skip
FURTHER = {
    "CreateProject": "ResourceInUse LimitExceeded",
    "DescribeProjects": "InvalidPaginationToken",
    "DeleteProject": "ResourceInUse ResourceNotFound",
    "CreateDataset": "LimitExceeded InvalidS3Object ResourceAlreadyExists ResourceNotFound",
    "DescribeDataset": "ResourceNotFound",
    "DeleteDataset": "LimitExceeded ResourceInUse ResourceNotFound",
    "UpdateDatasetEntries": "LimitExceeded ResourceInUse ResourceNotFound",
    "DistributeDatasetEntries": "ResourceNotFound ResourceNotReady",
    "ListDatasetEntries": "ResourceInUse ResourceNotFound ResourceNotReady InvalidPaginationToken",
    "ListDatasetLabels": "ResourceInUse ResourceNotFound ResourceNotReady InvalidPaginationToken",
    "CreateProjectVersion": "ResourceInUse ResourceNotFound LimitExceeded ServiceQuotaExceeded",
    "DescribeProjectVersions": "ResourceNotFound InvalidPaginationToken",
    "DeleteProjectVersion": "ResourceNotFound ResourceInUse",
    "StartProjectVersion": "ResourceNotFound ResourceInUse LimitExceeded",
    "StopProjectVersion": "ResourceNotFound ResourceInUse",
    "CopyProjectVersion": "LimitExceeded ResourceNotFound ServiceQuotaExceeded ResourceInUse",
    "DetectCustomLabels": "ResourceNotFound ResourceNotReady InvalidS3Object ImageTooLarge LimitExceeded "
    "InvalidImageFormat",
    "PutProjectPolicy": "InvalidPolicyRevisionId MalformedPolicyDocument ResourceNotFound ResourceAlreadyExists "
    "ServiceQuotaExceeded LimitExceeded",
    "ListProjectPolicies": "InvalidPaginationToken ResourceNotFound",
    "DeleteProjectPolicy": "InvalidPolicyRevisionId ResourceNotFound",
    "TagResource": "ServiceQuotaExceeded ResourceNotFound",
    "UntagResource": "ResourceNotFound",
    "ListTagsForResource": "ResourceNotFound",
}
"""What AWS's reference says that an operation raises beside COMMON."""

SAMPLES: list[errors.DeconfuseError] = [
    errors.Invalid("MaxResults", "too many"),
    errors.NotBuilt("KmsKeyId", "not built"),
    errors.BadToken("NextToken", "not one of ours"),
    errors.BadPolicy("PolicyDocument", "no JSON"),
    errors.BadRevision("PolicyRevisionId", "not the present one"),
    errors.NotFound("project", "p"),
    errors.NotFound("bucket", "b"),
    errors.NotFound("key", "k"),
    errors.AlreadyExists("dataset", "train"),
    errors.InUse("it runs"),
    errors.Stale("it moved"),
    errors.Unmet("If-Match"),
    errors.NotReady("it trains"),
    errors.BadData("no"),
    errors.BadImage("no JPEG"),
    errors.ImageTooLarge("20 MB"),
    errors.BadManifest(3, "no JSON"),
    errors.Untrainable("ERROR_X", "one label"),
    errors.Damaged("/secret/head.safetensors", "cut"),
    errors.Denied("read-only key"),
    errors.NotSigned("no signature"),
    *(errors.BadSignature(reason, "no") for reason in ("malformed", "scope", "skewed", "expired", "unsigned", "token",
                                                       "body", "mismatch")),
    errors.UnknownKey("AKIA"),
    errors.LimitExceeded("100 projects"),
    errors.TooFast("slow down"),
    errors.QuotaExceeded("50 tags"),
    errors.Unavailable("postgresql://user:secret@host is away"),
]  # fmt: skip


def test_every_error_has_a_code() -> None:
    """The table and the tree name the same errors, and there is a sample of each."""
    tree: set[type[errors.DeconfuseError]] = set()
    waiting = errors.DeconfuseError.__subclasses__()
    while waiting:
        kind = waiting.pop()
        tree.add(kind)
        waiting.extend(kind.__subclasses__())

    assert set(CODES) == tree
    assert {type(sample) for sample in SAMPLES} == tree


def test_every_code_is_known() -> None:
    """Each is an error of the model or of the framework; nothing is misspelt."""
    nearest = set(NEAREST) | {near for codes in NEAREST.values() for near in codes}
    known = set(PROTOCOL.service.statuses) | FRAMEWORK

    assert {*CODES.values(), *BY_KIND.values(), *BY_REASON.values(), *nearest} <= known


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_declare_what_the_reference_says(operation: str) -> None:
    """The model, and with it every client, agrees with AWS's pages."""
    further = {f"{name}Exception" for name in FURTHER[operation].split()}

    assert PROTOCOL.service.operations[operation].errors == COMMON | further


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_answers_only_what_it_declares(operation: str) -> None:
    """Whatever is raised inside, the client knows the code: the operation declares it, or it is of the framework."""
    allowed = PROTOCOL.service.operations[operation].errors | FRAMEWORK
    answers = [PROTOCOL.fault(error, request_id="1", operation=operation) for error in [*SAMPLES, RuntimeError("bug")]]

    assert {json.loads(body)["__type"] for _, _, body in answers} <= allowed
    assert {status for status, _, _ in answers} == {400, 500}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_declared_code_can_be_answered(operation: str) -> None:
    """No error that an operation declares lacks an error of ours; the throughput of one is that of inference only."""
    given = {json.loads(PROTOCOL.fault(error, request_id="1", operation=operation)[2])["__type"] for error in SAMPLES}
    missing = PROTOCOL.service.operations[operation].errors - given

    spare = "ThrottlingException" if operation == "DetectCustomLabels" else "ProvisionedThroughputExceededException"
    assert missing == {spare}


@pytest.mark.parametrize(
    ("operation", "error", "code"),
    [
        ("StartProjectVersion", errors.NotReady("it trains"), "ResourceInUseException"),
        ("DistributeDatasetEntries", errors.InUse("it updates"), "ResourceNotReadyException"),
        ("CreateProject", errors.AlreadyExists("project", "p"), "ResourceInUseException"),
        ("TagResource", errors.LimitExceeded("50 tags"), "ServiceQuotaExceededException"),
        ("DeleteDataset", errors.QuotaExceeded("q"), "LimitExceededException"),
        ("CreateProjectVersion", errors.NotFound("bucket", "b"), INVALID),
        ("CreateDataset", errors.NotFound("object", "k"), "InvalidS3ObjectException"),
        ("UpdateDatasetEntries", errors.BadImage("no"), INVALID),
        ("DetectCustomLabels", errors.ImageTooLarge("20 MB"), "ImageTooLargeException"),
        ("DetectCustomLabels", errors.TooFast("slow"), "ProvisionedThroughputExceededException"),
        ("DescribeProjects", errors.TooFast("slow"), "ThrottlingException"),
        ("DescribeProjects", errors.UnknownKey("AKIA"), "UnrecognizedClientException"),
        ("DescribeProjects", errors.BadSignature("malformed", "no"), "IncompleteSignatureException"),
        ("DescribeProjects", errors.BadSignature("token", "no"), "UnrecognizedClientException"),
        ("DescribeProjects", errors.BadSignature("skewed", "no"), "InvalidSignatureException"),
        ("DescribeProjects", Refused("ValidationException", "no"), "ValidationException"),
        ("DescribeProjects", KeyError("bug"), INTERNAL),
    ],
)
def test_the_nearest_declared_code_is_answered(operation: str, error: Exception, code: str) -> None:
    """What an operation does not declare becomes what comes closest in meaning."""
    body = json.loads(PROTOCOL.fault(error, request_id="1", operation=operation)[2])

    assert body["__type"] == code


def test_before_an_operation_is_reached_the_table_stands_as_it_is() -> None:
    """Signatures fail before the body is read; an unknown operation declares nothing."""
    assert code_of(errors.NotReady("x")) == "ResourceNotReadyException"
    for operation in (None, "NoSuchThing"):
        body = PROTOCOL.fault(errors.TooFast("x"), request_id="1", operation=operation)[2]
        assert json.loads(body)["__type"] == "ThrottlingException"


@pytest.mark.parametrize(
    "error",
    [
        errors.Damaged("/secret/file", "cut"),
        errors.Unavailable("postgresql://user:secret@host is away"),
        RuntimeError("secret"),
        KeyError("secret"),
        OSError(28, "No space left", "/secret"),
    ],
)
def test_the_inside_is_not_told(error: Exception) -> None:
    """Paths, addresses and passwords of the service stay in its log."""
    status, headers, body = PROTOCOL.fault(error, request_id="id-7", operation="DescribeProjects")

    assert (status, headers["x-amzn-RequestId"]) == (500, "id-7")
    assert b"secret" not in body
    assert json.loads(body)["Code"] == "InternalServerError"


def test_an_outage_says_that_trying_again_helps() -> None:
    """A disk that is full and a database that is away are told from a bug."""
    body = PROTOCOL.fault(errors.Unavailable("disk full"), request_id="1")[2]

    assert "try again" in json.loads(body)["Message"]


def test_a_refusal_may_bring_its_status() -> None:
    """A body that is too large is 413, as HTTP says."""
    assert PROTOCOL.fault(Refused("RequestEntityTooLargeException", "no", status=413), request_id="1")[0] == 413

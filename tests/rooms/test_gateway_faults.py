"""Errors in S3's form: codes, what goes with them, and what is never told."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from deconfuse import errors
from deconfuse.asgi import TooSlow
from deconfuse.gateway.faults import code, fault
from deconfuse.gateway.restxml import Answer


def answered(error: BaseException, method: str = "GET", resource: str = "/b/k") -> Answer:
    """The answer to a request that ends with `error`."""
    return fault(error, method=method, resource=resource, request_id="ABC")


def fields(answer: Answer) -> dict[str, str | None]:
    """The elements of an error document, in order."""
    return {child.tag: child.text for child in ET.fromstring(answer.body)}


def test_an_error_is_a_document() -> None:
    """Code, message, what it is about, resource and request id, without a namespace."""
    answer = answered(errors.NotFound("key", "a<b"), resource="/b/a%3Cb")

    assert answer.status == 404
    assert answer.headers == ((b"x-amz-request-id", b"ABC"), (b"Content-Type", b"application/xml"))
    assert fields(answer) == {
        "Code": "NoSuchKey",
        "Message": "key not found: a<b",
        "Key": "a<b",
        "Resource": "/b/a%3Cb",
        "RequestId": "ABC",
    }


@pytest.mark.parametrize(
    ("field", "status", "word"),
    [
        ("bucket", 400, "InvalidBucketName"),
        ("key", 400, "KeyTooLongError"),
        ("metadata", 400, "MetadataTooLarge"),
        ("range", 416, "InvalidRange"),
        ("part", 400, "InvalidPart"),
        ("part order", 400, "InvalidPartOrder"),
        ("part size", 400, "EntityTooSmall"),
        ("part number", 416, "InvalidPartNumber"),
        ("parts", 400, "MalformedXML"),
        ("checksum", 400, "InvalidRequest"),
        ("copy", 400, "InvalidRequest"),
        ("content-md5", 400, "InvalidDigest"),
        ("content-length", 411, "MissingContentLength"),
        ("anything", 400, "InvalidArgument"),
    ],
)
def test_the_field_that_is_wrong_decides_the_code(field: str, status: int, word: str) -> None:
    """What store and routing call a field is what S3 has a code for."""
    assert code(errors.Invalid(field, "why")) == (status, word)


@pytest.mark.parametrize(
    ("reason", "status", "word"),
    [
        ("malformed", 400, "AuthorizationHeaderMalformed"),
        ("scope", 400, "AuthorizationHeaderMalformed"),
        ("skewed", 403, "RequestTimeTooSkewed"),
        ("expired", 403, "AccessDenied"),
        ("unsigned", 403, "AccessDenied"),
        ("token", 400, "InvalidToken"),
        ("body", 400, "XAmzContentSHA256Mismatch"),
        ("mismatch", 403, "SignatureDoesNotMatch"),
    ],
)
def test_what_is_wrong_with_a_signature_decides_the_code(reason: errors.SignatureFault, status: int, word: str) -> None:
    """S3 has a code for each."""
    assert code(errors.BadSignature(reason, "why")) == (status, word)


@pytest.mark.parametrize(
    ("condition", "method", "status"),
    [
        ("If-None-Match", "GET", 304),
        ("If-Modified-Since", "HEAD", 304),
        ("If-None-Match", "PUT", 412),
        ("If-Modified-Since", "PUT", 412),
        ("If-Match", "GET", 412),
        ("If-Unmodified-Since", "HEAD", 412),
    ],
)
def test_a_condition_depends_on_the_method(condition: str, method: str, status: int) -> None:
    """Who reads and has it already gets 304; who writes gets 412."""
    assert answered(errors.Unmet(condition, etag="e"), method).status == status


def test_not_modified_has_no_body_but_the_etag() -> None:
    """RFC 9110, section 15.4.5."""
    answer = answered(errors.Unmet("If-None-Match", etag="e"))

    assert answer.body == b""
    assert (b"ETag", b'"e"') in answer.headers


@pytest.mark.parametrize("error", [errors.NotFound("key", "k"), errors.NotSigned("x"), RuntimeError("x")])
def test_head_has_no_body(error: Exception) -> None:
    """Status and request id are all that HEAD can tell."""
    answer = answered(error, "HEAD")

    assert answer.body == b""
    assert answer.headers == ((b"x-amz-request-id", b"ABC"),)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=1"),
        KeyError("password=1"),
        RecursionError("password=1"),
        errors.Damaged("s3://b/k", "password=1"),
        errors.Damaged("a blob", "password=1"),
    ],
)
def test_what_went_wrong_inside_is_not_told(error: Exception) -> None:
    """500 InternalError with the request id: neither our own slips nor the damage of what is kept go out."""
    answer = answered(error)

    assert (answer.status, fields(answer)["Code"]) == (500, "InternalError")
    assert b"password" not in answer.body
    assert b"ABC" in answer.body


def test_a_body_that_came_too_slowly() -> None:
    """Has a code of its own, which clients repeat."""
    answer = answered(TooSlow("no byte came for 20 seconds"), method="PUT")

    assert (answer.status, fields(answer)["Code"]) == (400, "RequestTimeout")
    assert fields(answer)["Message"] == "no byte came for 20 seconds"


@pytest.mark.parametrize(("reason", "told"), [("scope", "eu-west-1"), ("mismatch", None)])
def test_the_region_to_sign_for_is_told(reason: errors.SignatureFault, told: str | None) -> None:
    """To who signed for another, and to nobody else."""
    error = errors.BadSignature(reason, "why")
    answer = fault(error, method="GET", resource="/b", request_id="ABC", region="eu-west-1")

    assert fields(answer).get("Region") == told


@pytest.mark.parametrize("error", [errors.TooFast("x"), errors.Unavailable("the disk is full")])
def test_who_may_come_again_is_told_when(error: Exception) -> None:
    """503 carries Retry-After."""
    assert (b"Retry-After", b"1") in answered(error).headers


def test_where_the_database_is_remains_untold() -> None:
    """A key is looked up there before anything is proved: the words of its driver are for the log."""
    error = errors.Unavailable('the database cannot be used: connection to server at "db.internal", user "bob" failed')
    answer = answered(error)

    assert (answer.status, fields(answer)["Code"]) == (503, "ServiceUnavailable")
    assert b"db.internal" not in answer.body


def test_any_text_gives_a_document() -> None:
    """Control characters, surrogates and great length in names do not break the answer."""
    answer = answered(errors.NotFound("bucket", "\x00\ud800\ufffe]]>" + "x" * 10_000), resource="/\x1b\r")

    assert fields(answer)["Code"] == "NoSuchBucket"
    assert len(answer.body) < 10_000


def test_unknown_keys_and_arguments_are_named() -> None:
    """Clients and people read which key, which argument, which condition."""
    assert fields(answered(errors.UnknownKey("AKID")))["AWSAccessKeyId"] == "AKID"
    assert fields(answered(errors.Invalid("max-keys", "x")))["ArgumentName"] == "max-keys"
    assert fields(answered(errors.Unmet("If-Match")))["Condition"] == "If-Match"
    assert fields(answered(errors.AlreadyExists("bucket", "b")))["BucketName"] == "b"

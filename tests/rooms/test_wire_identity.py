"""STS: GetCallerIdentity, and nothing else."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from deconfuse import errors
from deconfuse.wire.faults import Refused
from deconfuse.wire.identity import LARGEST_FORM, check_request, fault, write_identity

SPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


@pytest.mark.parametrize(
    "body", [b"Action=GetCallerIdentity&Version=2011-06-15", b"Version=2011-06-15&Action=GetCallerIdentity&X="]
)
def test_the_one_action_is_taken(body: bytes) -> None:
    """In any order, with whatever else a client sends."""
    check_request(body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingAction"),
        (b"Version=2011-06-15", "MissingAction"),
        (b"Action=", "MissingAction"),
        (b"Action=AssumeRole&Version=2011-06-15", "InvalidAction"),
        (b"Action=getcalleridentity", "InvalidAction"),
        (b"Action=" + b"x" * 10_000, "InvalidAction"),
        (b"\xff\xfe", "MalformedInput"),
        (b"Action=%ff", "MalformedInput"),
        (b"&".join(b"a%d=1" % number for number in range(500)), "MalformedInput"),
        (b"a" * (LARGEST_FORM + 1), "RequestEntityTooLarge"),
        (b'{"Action": "GetCallerIdentity"}', "MissingAction"),
    ],
)
def test_anything_else_is_refused(body: bytes, code: str) -> None:
    """With STS's codes and a short message."""
    with pytest.raises(Refused) as caught:
        check_request(body)

    assert caught.value.code == code
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("error", "code", "status", "side"),
    [
        (errors.NotSigned("no"), "MissingAuthenticationToken", 403, "Sender"),
        (errors.BadSignature("mismatch", "no"), "SignatureDoesNotMatch", 403, "Sender"),
        (errors.BadSignature("malformed", "no"), "IncompleteSignature", 400, "Sender"),
        (errors.BadSignature("token", "no"), "InvalidClientTokenId", 403, "Sender"),
        (errors.UnknownKey("AKIA"), "InvalidClientTokenId", 403, "Sender"),
        (errors.Denied("no"), "AccessDenied", 403, "Sender"),
        (errors.TooFast("no"), "Throttling", 400, "Sender"),
        (errors.NotFound("x", "y"), "ValidationError", 400, "Sender"),
        (errors.Unavailable("secret"), "ServiceUnavailable", 503, "Receiver"),
        (errors.Damaged("secret", "x"), "InternalFailure", 500, "Receiver"),
        (RuntimeError("secret"), "InternalFailure", 500, "Receiver"),
        (Refused("InvalidAction", "no"), "InvalidAction", 400, "Sender"),
        (Refused("RequestEntityTooLarge", "no", status=413), "RequestEntityTooLarge", 413, "Sender"),
    ],
)
def test_errors_have_the_codes_of_sts(error: Exception, code: str, status: int, side: str) -> None:
    """And the inside is not told."""
    got, headers, body = fault(error, request_id="id-1")
    root = ET.fromstring(body)

    assert (got, headers["Content-Type"], headers["x-amzn-RequestId"]) == (status, "text/xml", "id-1")
    assert [root.findtext(f"{SPACE}Error/{SPACE}{name}") for name in ("Type", "Code")] == [side, code]
    assert root.findtext(f"{SPACE}RequestId") == "id-1"
    assert b"secret" not in body


@pytest.mark.parametrize("text", ["<&>\"'", "\x00\x1b\ufffe", "\ud800", "]]>", "caf\u00e9 \U0001f600", ""])
def test_every_text_makes_good_xml(text: str) -> None:
    """What XML cannot hold is replaced, what it can hold comes back."""
    body = write_identity(account="123456789012", user_id=text, arn="arn", request_id="id-1")
    got = ET.fromstring(body).findtext(f"{SPACE}GetCallerIdentityResult/{SPACE}UserId")

    assert got == "".join("\ufffd" if c in "\x00\x1b\ufffe\ud800" else c for c in text)

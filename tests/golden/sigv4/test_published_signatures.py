"""Every signature that AWS publishes as an example holds, and holds for nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deconfuse.errors import BadSignature, UnknownKey
from deconfuse.signing.chunked import open_body
from deconfuse.signing.sigv4 import Request, Verified, claim, verify
from signed import arrived

SUITE = json.loads((Path(__file__).parent / "suite.json").read_text())
WITH_TOKEN = {"post-sts-token/post-sts-header-before", "get-vanilla-with-session-token"}
S3 = json.loads((Path(__file__).parent / "s3_examples.json").read_text())
SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE_DAY = datetime(2013, 5, 24, tzinfo=UTC)


def suite_request(name: str) -> tuple[Request, bytes]:
    """A case of the suite with its Authorization header; folded header lines are joined, as an HTTP server does."""
    head, _, body = SUITE[name]["request"].partition("\n\n")
    line, *lines = head.rstrip("\n").replace("\n ", " ").split("\n")
    method, target = line.removesuffix(" HTTP/1.1").split(" ", 1)
    headers = [tuple(text.split(":", 1)) for text in lines]
    headers.append(("Authorization", SUITE[name]["authorization"]))
    path, _, query = target.encode().partition(b"?")
    return Request(method, path, query, tuple((n.encode(), v.encode()) for n, v in headers)), body.encode()


def check_suite(request: Request, body: bytes, secret: str | None = SUITE_SECRET) -> Verified:
    """Verify as of the day of the suite."""
    found = claim(request)
    assert found is not None
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    return verify(found, request, secret=secret, body=body, now=now, services={"service"}, region="us-east-1")


def check_s3(request: Request, body: bytes | None = None) -> Verified:
    """Verify as of the day of the S3 examples."""
    found = claim(request)
    assert found is not None
    return verify(found, request, secret=S3_SECRET, body=body, now=EXAMPLE_DAY, services={"s3"}, region="us-east-1")


@pytest.mark.parametrize("name", sorted(set(SUITE) - WITH_TOKEN))
def test_the_suite_holds(name: str) -> None:
    """All cases of AWS's Signature Version 4 test suite that carry no token verify."""
    request, body = suite_request(name)

    assert check_suite(request, body).key_id == "AKIDEXAMPLE"


@pytest.mark.parametrize("name", sorted(set(SUITE) - WITH_TOKEN))
def test_the_suite_holds_for_nothing_else(name: str) -> None:
    """Another body, method or path, and a key that does not exist, are refused."""
    request, body = suite_request(name)

    for changed, other in [
        (request, body + b"!"),
        (replace(request, method="PUT"), body),
        (replace(request, raw_path=request.raw_path + b"x"), body),
        (replace(request, raw_query=request.raw_query + b"&x=1"), body),
    ]:
        with pytest.raises(BadSignature) as caught:
            check_suite(changed, other)
        assert caught.value.reason == "mismatch"
    with pytest.raises(UnknownKey, match="AKIDEXAMPLE"):
        check_suite(request, body, secret=None)


@pytest.mark.parametrize("name", sorted(WITH_TOKEN))
def test_tokens_of_the_suite_are_refused(name: str) -> None:
    """Temporary credentials are not given out here, whatever their signature."""
    token = (("X-Amz-Security-Token", "AQoDYXdzEPT"),) if name.startswith("get") else ()
    request, body = suite_request(name)
    request = replace(request, headers=(*request.headers, *((n.encode(), v.encode()) for n, v in token)))

    with pytest.raises(BadSignature, match="temporary") as caught:
        check_suite(request, body)

    assert caught.value.reason == "token"


@pytest.mark.parametrize("name", sorted(S3["headers"]))
def test_the_examples_of_s3_hold(name: str) -> None:
    """The four requests of the page on the Authorization header verify, with their bodies."""
    case = S3["headers"][name]
    request = arrived(case["method"], case["url"], case["headers"].items())

    verified = check_s3(request, case["body"].encode())

    assert verified.signature == case["signature"]
    with pytest.raises(BadSignature) as caught:
        check_s3(request, case["body"].encode() + b"!")
    assert caught.value.reason == "body"


def test_the_presigned_example_of_s3_holds() -> None:
    """The address of the page on query parameters verifies, without a body to look at, until its day is over."""
    request = arrived("GET", S3["presigned"]["url"], [])

    assert check_s3(request).payload == "UNSIGNED-PAYLOAD"
    found = claim(request)
    assert found is not None
    assert found.expires == datetime(2013, 5, 25, tzinfo=UTC)


def test_the_presigned_example_of_version_2_holds() -> None:
    """The address of the page on Signature Version 2 verifies: the bucket in the host is part of its path."""
    request = arrived("GET", S3["presigned_v2"]["url"], [])
    found = claim(request)
    assert found is not None

    def check(host_bucket: str | None) -> Verified:
        now = datetime(2007, 3, 29, tzinfo=UTC)
        return verify(
            found, request, secret=S3_SECRET, body=None, now=now, services={"s3"}, region="x", host_bucket=host_bucket
        )

    assert check("johnsmith").scheme == "presigned-v2"
    with pytest.raises(BadSignature):
        check(None)


@pytest.mark.parametrize("name", sorted(S3["chunked"]))
@pytest.mark.parametrize("step", [1, 7, 1000, 65536, 1 << 20])
def test_the_chunked_examples_of_s3_hold(name: str, step: int) -> None:
    """The 66,560 bytes of the pages on chunked uploads come out, however they are cut on the way."""
    case = S3["chunked"][name]
    request = arrived("PUT", case["url"], case["headers"].items())
    first, second, last = case["chunk_signatures"]
    framed = (
        f"10000;chunk-signature={first}\r\n{'a' * 65536}\r\n"
        f"400;chunk-signature={second}\r\n{'a' * 1024}\r\n0;chunk-signature={last}\r\n{case['tail']}"
    ).encode()

    body = open_body(check_s3(request), request)
    whole = b"".join(piece for at in range(0, len(framed), step) for piece in body.feed(framed[at : at + step]))

    assert body.finish() == case["trailers"]
    assert whole == b"a" * 66560

"""Requests to the gateway that no well-behaved client sends: cut, slow, altered, too long, unsigned, nonsense."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from deconfuse import asgi
from deconfuse.gateway.endpoint import Gateway
from deconfuse.service.objects import buckets
from deconfuse.signing.checksums import checksum_of
from houses import make_house, now_utc
from serving import Service, ask, in_process, served
from signed import signed_chunks, streaming

UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """S3's code, or ""."""
        found = re.search(rb"<Code>(.*?)</Code>", self.body)
        return found[1].decode() if found else ""


class Raw:
    """Sends what it is told to, signed, over connections of its own."""

    def __init__(self, service: Service) -> None:
        """To the doors of `service`, with a bucket "photos"."""
        self.service = service
        self.host = urlsplit(service.url).netloc
        self.objects = buckets(service.house)
        if not self.objects.buckets():
            self.objects.create_bucket("photos")
        self.objects.delete_many("photos", [stored.key for stored in self.objects.list_objects("photos").objects])

    def headers(self, method: str, target: str, payload: str, headers: dict[str, str]) -> dict[str, str]:
        """All headers of a request, signed, with `payload` as what is said about the body."""
        request = AWSRequest(method, self.service.url + target, headers={"X-Amz-Content-SHA256": payload, **headers})
        request.context["payload_signing_enabled"] = True
        signer = _Signer(Credentials(self.service.key.id, self.service.key.secret), "s3", "us-east-1")
        signer.payload_hash = payload
        signer.add_auth(request)
        return dict(request.headers.items())

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        payload: str | None = None,
        headers: dict[str, str] | None = None,
        length: int | None = -1,
        then: str = "read",
    ) -> Told:
        """The answer to a request.

        Args:
            method: of HTTP.
            target: path and query, encoded.
            body: what is sent.
            payload: what x-amz-content-sha256 says; the hash of the body unless told otherwise.
            headers: more of them, signed too.
            length: what Content-Length says; None for no such header, -1 for the truth.
            then: "read" the answer, or "leave" without.
        """
        payload = payload or hashlib.sha256(body).hexdigest()
        signed = self.headers(method, target, payload, headers or {})
        told_length = len(body) if length == -1 else length
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        lines += [
            f"{name}: {value}" for name, value in signed.items() if name.lower() not in ("host", "content-length")
        ]
        lines += [] if told_length is None else [f"Content-Length: {told_length}"]
        host, port = self.host.split(":")
        with socket.create_connection((host, int(port)), timeout=20) as line:
            line.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            if then == "leave":
                return Told(0, {}, b"")
            answer = http.client.HTTPResponse(line, method=method)
            answer.begin()
            return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def is_empty(self) -> bool:
        """Whether neither an object nor a file is there."""
        return not self.objects.list_objects("photos").objects and not list(self.objects.blobs.names())


class _Signer(SigV4Auth):
    """Signs whatever it is told about a body."""

    payload_hash = ""

    def payload(self, request: Any) -> str:
        return self.payload_hash

    def _normalize_url_path(self, path: str) -> str:
        return "/".join(quote(unquote_to_bytes(part), safe="") for part in path.split("/"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Doors for all tests of this module; nothing that is asked here may harm them."""
    with served(make_house(tmp_path_factory.mktemp("home"), now=now_utc)) as opened:
        yield opened
        assert opened.doors.faults == []


@pytest.fixture
def raw(shared: Service) -> Raw:
    """A client that may do anything, and an empty bucket."""
    return Raw(shared)


def framed(data: bytes, trailer: str = "") -> bytes:
    """A body in one chunk and a trailer."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n" + (trailer + "\r\n\r\n").encode()


def test_an_error_says_what_where_and_by_which_request(raw: Raw) -> None:
    """S3's document, with the path as it was asked and the id that is in the header too."""
    told = raw.send("GET", "/photos/no%20such")

    assert (told.status, told.code) == (404, "NoSuchKey")
    assert b"<Resource>/photos/no%20such</Resource>" in told.body
    assert f"<RequestId>{told.headers['x-amz-request-id']}</RequestId>".encode() in told.body
    assert told.headers["content-type"] == "application/xml"


@pytest.mark.parametrize(
    "target", ["/photos/missing", "/nobody", "/nobody/a", "/photos/a?versionId=x", "/photos?policy"]
)
def test_errors_of_head_have_no_body(raw: Raw, target: str) -> None:
    """Only a status, and a length of nothing."""
    told = raw.send("HEAD", target)

    assert told.status in (404, 405)
    assert (told.body, told.headers["content-length"]) == (b"", "0")


def test_a_plain_body_needs_a_length(raw: Raw) -> None:
    """411, before anything of it is read; the connection ends."""
    told = raw.send("PUT", "/photos/a", b"", payload="UNSIGNED-PAYLOAD", length=None)
    assert (told.status, told.code) == (411, "MissingContentLength")
    chunked = raw.send(
        "PUT", "/photos/a", b"5\r\nhello\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"}, length=None
    )
    assert (chunked.status, chunked.code) == (411, "MissingContentLength")
    assert chunked.headers["connection"] == "close"
    assert raw.is_empty()


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_body_that_is_cut_leaves_nothing(raw: Raw, size: int) -> None:
    """Neither the object nor a file, nor what was there before."""
    raw.send("PUT", "/photos/a", b"x" * size, length=size + 1, then="leave")
    for _ in range(100):
        if not list(raw.objects.blobs.names()):
            break
        time.sleep(0.05)
    time.sleep(0.1)
    assert raw.is_empty()


def test_a_body_that_stays_away(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends nothing for too long is told RequestTimeout; nothing is left."""
    monkeypatch.setattr(asgi, "SILENT_SECONDS", 0.3)
    told = raw.send("PUT", "/photos/a", b"x" * (2 << 20), length=(2 << 20) + 1)

    assert (told.status, told.code, told.headers["connection"]) == (400, "RequestTimeout", "close")
    assert raw.is_empty()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-MD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, "BadDigest"),
        ({"Content-MD5": "AAAA"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": checksum_of("CRC32", b"other")}, "BadDigest"),
        ({"x-amz-checksum-crc32": "x"}, "InvalidRequest"),
        ({"x-amz-checksum-sha256": checksum_of("SHA256", b"other")}, "BadDigest"),
        ({"x-amz-checksum-sha1": "AAAA", "x-amz-checksum-crc32": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "SHA1"}, "InvalidRequest"),
    ],
)
def test_promises_that_are_not_kept(raw: Raw, headers: dict[str, str], code: str) -> None:
    """Nothing is kept of a body that is not what was announced."""
    told = raw.send("PUT", "/photos/a", b"hello", headers=headers)

    assert (told.status, told.code) == (400, code)
    assert raw.is_empty()


def test_a_body_that_is_not_the_one_signed(raw: Raw) -> None:
    """The hash that was signed is held against what came, for content and for XML."""
    other = hashlib.sha256(b"other").hexdigest()
    for method, target in (("PUT", "/photos/a"), ("POST", "/photos?delete")):
        told = raw.send(method, target, b"hello", payload=other)
        assert (told.status, told.code) == (400, "XAmzContentSHA256Mismatch")
    assert raw.is_empty()


CRC = f"x-amz-checksum-crc32:{checksum_of('CRC32', b'hello')}"


@pytest.mark.parametrize(
    ("body", "length", "status", "code"),
    [
        (framed(b"hello", CRC), "5", 200, ""),
        (framed(b"hello", CRC), None, 200, ""),
        (framed(b"hello", CRC), "6", 400, "IncompleteBody"),
        (framed(b"hello", CRC), "4", 400, "IncompleteBody"),
        (framed(b"hello", CRC)[:-12], "5", 400, "IncompleteBody"),
        (framed(b"hello"), "5", 400, "IncompleteBody"),
        (framed(b"hallo", CRC), "5", 400, "BadDigest"),
        (b"hello", "5", 400, "IncompleteBody"),
        (b"zz\r\nhello\r\n0\r\n\r\n", "5", 400, "IncompleteBody"),
        (b"", "5", 400, "IncompleteBody"),
        (framed(b"hello", CRC) + b"more", "5", 400, "IncompleteBody"),
    ],
)
def test_chunks_and_a_trailer(raw: Raw, body: bytes, length: str | None, status: int, code: str) -> None:
    """A framed body is whole, as long as it says, and followed by its checksum, or it is not kept."""
    announced = {"x-amz-trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked"}
    if length is not None:
        announced["x-amz-decoded-content-length"] = length
    told = raw.send("PUT", "/photos/a", body, payload=UNSIGNED_CHUNKS, headers=announced)

    assert (told.status, told.code) == (status, code)
    if status == 200:
        assert told.headers["x-amz-checksum-crc32"] == checksum_of("CRC32", b"hello")
        found = raw.send("GET", "/photos/a")
        assert (found.body, found.headers.get("content-encoding")) == (b"hello", None)
    else:
        assert raw.is_empty()


def test_signed_chunks(raw: Raw) -> None:
    """Each chunk is held to its signature, the chain of which begins with that of the request."""
    announced = {"x-amz-decoded-content-length": "10"}
    signed = raw.headers("PUT", "/photos/a", SIGNED_CHUNKS, announced)
    seed = signed["Authorization"].rpartition("=")[2]
    stamp = signed["X-Amz-Date"]
    chain = streaming(SIGNED_CHUNKS, stamp=stamp, seed=seed)
    body = signed_chunks([b"hello", b"world"], chain)
    assert raw.service.key.secret.encode() not in body
    told = raw.send("PUT", "/photos/a", body, payload=SIGNED_CHUNKS, headers=announced)
    assert (told.status, told.code) == (403, "SignatureDoesNotMatch")  # signed by another secret
    assert raw.is_empty()


@pytest.mark.parametrize(
    "body", [b"", b"<", b"<Delete>", b"<!DOCTYPE a><Delete/>", b"<Other/>", b"<Delete></Delete>", b"\xff"]
)
def test_xml_that_is_none(raw: Raw, body: bytes) -> None:
    """MalformedXML, whatever it is."""
    told = raw.send("POST", "/photos?delete", body)

    assert (told.status, told.code) == (400, "MalformedXML")


def test_checksums_of_xml(raw: Raw) -> None:
    """Are verified as those of content; those of a completion are about the object."""
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"
    for headers, status, code in (
        ({"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}, 200, ""),
        ({"x-amz-checksum-crc32": checksum_of("CRC32", body)}, 200, ""),
        ({"x-amz-checksum-crc32": checksum_of("CRC32", b"other")}, 400, "BadDigest"),
        ({"Content-MD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, 400, "BadDigest"),
    ):
        told = raw.send("POST", "/photos?delete", body, headers=headers)
        assert (told.status, told.code) == (status, code)


def test_bodies_that_are_too_long(raw: Raw) -> None:
    """XML has its limit; content is refused by its announced length, before it comes."""
    told = raw.send("POST", "/photos?delete", b" " * ((2 << 20) + 1))
    assert (told.status, told.code) == (400, "MaxMessageLengthExceeded")
    told = raw.send("PUT", "/photos/a", b"x", payload=EMPTY, length=(5 << 30) + 1)
    assert (told.status, told.code, told.headers["connection"]) == (400, "EntityTooLarge", "close")
    huge = {"x-amz-decoded-content-length": str((5 << 30) + 1)}
    told = raw.send("PUT", "/photos/a", b"x", payload=UNSIGNED_CHUNKS, headers=huge)
    assert told.code == "EntityTooLarge"
    assert raw.is_empty()


def test_no_body_is_asked_for_that_is_refused(raw: Raw) -> None:
    """To Expect: 100-continue before a large body, a refusal comes at once, and no "go on" before it."""
    headers = {"Expect": "100-continue"}
    told = raw.send("PUT", "/nobody/a", b"", payload=EMPTY, headers=headers, length=1_000_000)

    assert (told.status, told.code, told.headers["connection"]) == (404, "NoSuchBucket", "close")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/photos/../../etc/passwd", 404, "NoSuchKey"),
        ("/photos/%2e%2e/%2e%2e/etc/passwd", 404, "NoSuchKey"),
        ("/..%2f..%2fetc/passwd", 404, "NoSuchBucket"),
        ("/photos/%00", 404, "NoSuchKey"),
        ("/photos/%ff", 400, "InvalidURI"),
        ("/photos/%zz", 400, "InvalidURI"),
        ("/_deconfuse/a", 404, "NoSuchBucket"),
        ("/_deconfuse?list-type=2", 404, "NoSuchBucket"),
        ("//photos/a", 400, "InvalidBucketName"),
        ("/photos/" + "x" * 1025, 400, "KeyTooLongError"),
        ("/photos?list-type=2&max-keys=x", 400, "InvalidArgument"),
        ("/photos?list-type=2&continuation-token=x", 400, "InvalidArgument"),
        ("/photos?acl&policy", 400, "InvalidArgument"),
        ("/photos?policy", 501, "NotImplemented"),
    ],
)
def test_addresses(raw: Raw, target: str, status: int, code: str) -> None:
    """Each means one thing or is refused; none leaves the store."""
    told = raw.send("GET", target)

    assert (told.status, told.code) == (status, code)


def test_content_that_is_damaged_is_not_given_as_whole(raw: Raw) -> None:
    """A file that was cut behind our back: an error, or a connection that ends before the length it told."""
    for key, size in (("small", 1000), ("big", 3 << 20)):
        raw.objects.put("photos", key, b"x" * size)
    for path in raw.objects.blobs.folder.glob("??/*"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(http.client.IncompleteRead):
        raw.send("GET", "/photos/big")
    with pytest.raises(http.client.IncompleteRead):
        raw.send("GET", "/photos/small")


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Raw]:
    """Doors without a socket, whose house has a bucket and a key."""
    with in_process(make_house(tmp_path, now=now_utc)) as near:
        yield Raw(near)


@pytest.mark.parametrize(
    ("client", "scheme", "takes", "status"),
    [
        ("127.0.0.1", "http", False, 200),
        ("::1", "http", False, 200),
        ("203.0.113.7", "http", False, 403),
        ("203.0.113.7", "https", False, 200),
        ("203.0.113.7", "http", True, 200),
        ("", "http", False, 403),
        ("localhost", "http", False, 403),
    ],
)
def test_bodies_that_are_not_signed(far: Raw, client: str, scheme: str, takes: bool, status: int) -> None:
    """Are taken over TLS and from this machine; from elsewhere only where that was allowed. Signed ones always are."""
    gateway = Gateway(far.service.house, domain="localhost", takes_unsigned=takes)

    async def doors(scope: Any, receive: Any, send: Any) -> None:
        scope |= {"client": (client, 1), "scheme": scheme}
        await gateway.answer(asgi.Exchange(scope, receive, send, request_id="r"))

    def put(payload: str, body: bytes, **headers: str) -> int:
        signed = far.headers("PUT", "/photos/a", payload, headers)
        sent = {"Host": far.host, "Content-Length": str(len(body)), **signed}
        return ask(doors, body, method="PUT", path="/photos/a", headers=sent)[0]

    assert put("UNSIGNED-PAYLOAD", b"hello") == status
    assert put(UNSIGNED_CHUNKS, framed(b"hello", CRC), **{"x-amz-trailer": "x-amz-checksum-crc32"}) == status
    assert put(hashlib.sha256(b"hello").hexdigest(), b"hello") == 200


@pytest.mark.parametrize(("minutes", "status"), [(-16, 403), (-14, 404), (14, 404), (16, 403)])
def test_a_request_from_another_time(raw: Raw, minutes: int, status: int) -> None:
    """The clock counts: a replay after a quarter of an hour is refused, and so is one from the future."""
    then = now_utc().replace(tzinfo=None) + timedelta(minutes=minutes)
    with patch("botocore.auth.get_current_datetime", lambda: then):
        told = raw.send("GET", "/photos/a")

    assert told.status == status
    assert told.code == ("RequestTimeTooSkewed" if status == 403 else "NoSuchKey")


def test_every_signer_of_these_tests_signs_as_a_client_does(raw: Raw) -> None:
    """The header is the one that botocore's own S3 signer makes of the same request."""
    mine = raw.headers("GET", "/photos/a", EMPTY, {})
    request = AWSRequest("GET", raw.service.url + "/photos/a")
    S3SigV4Auth(Credentials(raw.service.key.id, raw.service.key.secret), "s3", "us-east-1").add_auth(request)

    assert (
        mine["Authorization"].partition("SignedHeaders")[0]
        == (request.headers["Authorization"].partition("SignedHeaders")[0])
    )

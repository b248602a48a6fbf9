"""What AWS's own clients sign, our side verifies: botocore's Python signer, awscrt's C signer, boto3 whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.httpchecksum import (
    AwsChunkedWrapper,
    Crc32Checksum,
    CrtCrc32cChecksum,
    CrtCrc64NvmeChecksum,
    Sha1Checksum,
    Sha256Checksum,
)
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import BadSignature, UnknownKey
from deconfuse.signing.checksums import checksum_of
from deconfuse.signing.chunked import open_body
from deconfuse.signing.sigv4 import Request, Verified, claim, verify
from signed import KEY_ID, NOW, SECRET, SIGNERS, arrived, check, sign, streaming

keys = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
parameters = st.dictionaries(st.sampled_from(["prefix", "marker", "x", "é", "list-type", "a b"]), keys, max_size=4)
metadata = st.dictionaries(st.sampled_from(["x-amz-meta-a", "x-amz-acl", "Content-Type", "Range"]), values, max_size=4)


def address(key: str, query: dict[str, str]) -> str:
    """A path-style address with a key and parameters, encoded as botocore's serializer does."""
    text = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items())
    return f"http://localhost:8750/bucket/{quote(key, safe='/~')}" + (f"?{text}" if text else "")


@pytest.mark.parametrize("by", ["botocore", "awscrt"])
@given(st.sampled_from(["GET", "PUT", "DELETE", "HEAD"]), keys, parameters, metadata, st.binary(max_size=40))
def test_headers_for_s3(
    by: str, method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    """Any method, key, query, headers and body that a client signs verify, with the body and while it streams."""
    request = sign(method, address(key, query), headers=headers, body=body, by=by)

    assert check(request, body=body).payload == hashlib.sha256(body).hexdigest()
    assert check(request).key_id == KEY_ID
    with pytest.raises(BadSignature):
        check(request, secret=SECRET + "x")
    with pytest.raises(UnknownKey):
        check(request, secret=None)


@pytest.mark.parametrize("by", ["botocore presigned", "awscrt presigned"])
@given(keys, parameters)
def test_presigned_addresses(by: str, key: str, query: dict[str, str]) -> None:
    """Any key and query in a presigned address verify until it expires, and not a second longer."""
    request = sign("GET", address(key, query), by=by, expires=60)

    assert check(request, now=NOW + timedelta(seconds=60)).payload == "UNSIGNED-PAYLOAD"
    with pytest.raises(BadSignature) as caught:
        check(request, now=NOW + timedelta(seconds=61))
    assert caught.value.reason == "expired"


@given(
    keys, st.dictionaries(st.sampled_from(["prefix", "versionId", "uploadId", "response-expires"]), keys, max_size=3)
)
def test_presigned_addresses_of_version_2(key: str, query: dict[str, str]) -> None:
    """Any key and sub-resource in an address signed by version 2 verify until it expires."""
    request = sign("GET", address(key, query), by="version 2 presigned", expires=60)

    assert check(request, region="anywhere").scheme == "presigned-v2"
    with pytest.raises(BadSignature) as caught:
        check(request, now=NOW + timedelta(seconds=61))
    assert caught.value.reason == "expired"


@pytest.mark.parametrize("by", ["botocore json", "awscrt json"])
@given(st.binary(max_size=60), values)
def test_headers_for_json(by: str, body: bytes, target: str) -> None:
    """A JSON call verifies with its body and with no other, whichever service of the door it is for."""
    request = sign(
        "POST", "http://localhost:8750/", headers={"X-Amz-Target": target}, body=body, by=by, service="rekognition"
    )

    assert check(request, body=body, services=("rekognition", "sts"), region="us-east-1").key_id == KEY_ID
    with pytest.raises(BadSignature) as caught:
        check(request, body=body + b" ", services=("rekognition", "sts"))
    assert caught.value.reason == "mismatch"


def test_a_header_that_is_not_utf_8_verifies_as_python_sends_it() -> None:
    """The é that botocore signs as UTF-8 leaves Python's HTTP client as one byte: both spellings verify."""
    request = sign("GET", "http://h/b/k", headers={"Content-Disposition": "é"})
    headers = tuple((name, value.replace("é".encode(), b"\xe9")) for name, value in request.headers)

    assert check(request).key_id == KEY_ID
    assert check(Request("GET", request.raw_path, request.raw_query, headers)).key_id == KEY_ID


def test_every_signer_is_used_here() -> None:
    """No author of signed requests is left out of this file."""
    assert set(SIGNERS) == {
        *("botocore", "awscrt", "botocore presigned", "awscrt presigned"),
        *("botocore json", "awscrt json", "version 2 presigned"),
    }


CHECKSUMS = {
    "crc32": Crc32Checksum,
    "crc32c": CrtCrc32cChecksum,
    "crc64nvme": CrtCrc64NvmeChecksum,
    "sha1": Sha1Checksum,
    "sha256": Sha256Checksum,
}


@pytest.mark.parametrize("name", CHECKSUMS)
@given(st.binary(max_size=300), st.integers(1, 90), st.integers(1, 50))
def test_bodies_as_botocore_frames_them(name: str, content: bytes, chunk: int, step: int) -> None:
    """The aws-chunked stream of botocore, with a trailer, comes out whole, whatever the checksum and the cuts."""
    wrapper = AwsChunkedWrapper(
        io.BytesIO(content), checksum_cls=CHECKSUMS[name], checksum_name=f"x-amz-checksum-{name}", chunk_size=chunk
    )
    framed = wrapper.read()
    headers = (
        (b"X-Amz-Trailer", f"x-amz-checksum-{name}".encode()),
        (b"X-Amz-Decoded-Content-Length", str(len(content)).encode()),
    )
    body = open_body(streaming("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), Request("PUT", b"/b/k", b"", headers))

    ready = [piece for at in range(0, len(framed), step) for piece in body.feed(framed[at : at + step])]
    trailers = body.finish()

    assert b"".join(ready) == content
    assert trailers == {f"x-amz-checksum-{name}": checksum_of(name.upper(), content)}


class Caught(list[tuple[Request, bytes]]):
    """What clients sent: every request as it would arrive, with its body; each is answered with an empty 200."""

    def client(self, service: str, **options: Any) -> Any:
        """A client whose requests end up here, without a socket."""
        session = botocore.session.Session()
        session.set_credentials(KEY_ID, SECRET)
        made = session.create_client(
            service,
            region_name=options.pop("region", "us-east-1"),
            endpoint_url=options.pop("endpoint", "http://127.0.0.1:8750"),
            config=Config(retries={"total_max_attempts": 1}, **options),
        )
        made.meta.events.register("before-send", self.take)
        return made

    def take(self, request: Any, **_: object) -> AWSResponse:
        """Keep the request; nobody is asked."""
        text = [
            (str(name), value if isinstance(value, str) else value.decode()) for name, value in request.headers.items()
        ]
        body = request.body.read() if hasattr(request.body, "read") else request.body or b""
        self.append((arrived(request.method, request.url, text), body))
        return AWSResponse(request.url, 200, {}, _Empty())


class _Empty:
    """A body without bytes, as urllib3 gives it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Nothing."""
        yield b""


def check_now(request: Request, body: bytes | None, service: str) -> Verified:
    """Verify at the time at which the client has just signed."""
    found = claim(request)
    assert found is not None
    return verify(found, request, secret=SECRET, body=body, now=datetime.now(UTC), services={service}, region=None)


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("endpoint", ["http://s3.localhost:8750", "https://s3.localhost:8750"])
def test_a_client_of_s3_whole(style: str, endpoint: str) -> None:
    """What boto3's client sends verifies: over HTTP with a hash, over TLS in chunks, odd keys, both address styles."""
    caught = Caught()
    s3 = caught.client("s3", endpoint=endpoint, s3={"addressing_style": style})
    s3.put_object(Bucket="photos", Key="a/é +%&=~'().jpg", Body=b"content", Metadata={"who": "me"})
    s3.get_object(Bucket="photos", Key="../x//y", Range="bytes=0-9", IfMatch='"abc"')
    s3.copy_object(Bucket="photos", Key="b", CopySource={"Bucket": "photos", "Key": "ü/a b"})
    s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "a"}]})
    s3.upload_part(Bucket="photos", Key="b", UploadId="u/+=", PartNumber=2, Body=io.BytesIO(b"x" * 100_000))

    for request, body in caught:
        reader = open_body(check_now(request, None, "s3"), request)
        assert (
            b"".join(reader.feed(body)) in {b"", b"content", b"x" * 100_000}
            or body.startswith(b"<?xml")
            or b"<Delete" in body
        )
        reader.finish()
    assert len(caught) == 5
    assert (b"x-amz-trailer" in {name.lower() for name, _ in caught[0][0].headers}) == endpoint.startswith("https")


def test_a_client_of_rekognition_whole() -> None:
    """What boto3's client sends for a JSON service verifies with its body."""
    caught = Caught()
    rekognition = caught.client("rekognition", region="eu-central-1")
    rekognition.create_project(ProjectName="rooms")
    rekognition.detect_custom_labels(ProjectVersionArn="arn:" + "a" * 30, Image={"Bytes": b"\xff" * 1000})

    assert [check_now(request, body, "rekognition").key_id for request, body in caught] == [KEY_ID] * 2


@pytest.mark.parametrize(("version", "scheme"), [("s3v4", "presigned"), ("s3", "presigned-v2")])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_addresses_that_boto3_presigns(version: str, scheme: str, style: str) -> None:
    """`generate_presigned_url` of both versions and address styles gives what verifies, also with signed headers."""
    s3 = Caught().client("s3", signature_version=version, s3={"addressing_style": style}, endpoint="http://s3.local")
    wanted = {"Bucket": "photos", "Key": "a é+=.jpg"}
    host_bucket = "photos" if style == "virtual" else None
    for operation, method, extra, headers in [
        ("get_object", "GET", {"ResponseContentType": "image/jpeg", "VersionId": "null"}, []),
        ("put_object", "PUT", {"ContentType": "image/png"}, [("Content-Type", "image/png")]),
        ("upload_part", "PUT", {"UploadId": "u+/=", "PartNumber": 3}, []),
    ]:
        url = s3.generate_presigned_url(operation, Params=wanted | extra)
        request = arrived(method, url, headers)
        found = claim(request)
        assert found is not None
        assert found.scheme == scheme
        verify(
            found, request, secret=SECRET, body=None, now=datetime.now(UTC), services={"s3"}, region="us-east-1",
            host_bucket=host_bucket,
        )  # fmt: skip

"""Signed requests for tests, by two authors who are not ours: botocore's Python signer and awscrt's C signer.

sign("GET", "http://s3.local/bucket/key")              a Request as it would arrive
arrived("GET", url, headers)                            the same without a signature
chunks(pieces, sign=…, …)                               a body in aws-chunked framing
hmac_signer(stamp, scope)                               the signing key by the standard library alone
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import botocore.auth
import botocore.crt.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from deconfuse.signing.sigv4 import Claim, Request, Verified, claim, verify

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
EMPTY_HASH = hashlib.sha256(b"").hexdigest()

SIGNERS: dict[str, Any] = {
    "botocore": botocore.auth.S3SigV4Auth,
    "awscrt": botocore.crt.auth.CrtS3SigV4Auth,
    "botocore presigned": botocore.auth.S3SigV4QueryAuth,
    "awscrt presigned": botocore.crt.auth.CrtS3SigV4QueryAuth,
    "botocore json": botocore.auth.SigV4Auth,
    "awscrt json": botocore.crt.auth.CrtSigV4Auth,
    "version 2 presigned": botocore.auth.HmacV1QueryAuth,
}


def sign(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    by: str = "botocore",
    service: str = "s3",
    region: str = "us-east-1",
    at: datetime = NOW,
    expires: int = 3600,
    key_id: str = KEY_ID,
    secret: str = SECRET,
    token: str | None = None,
    context: Mapping[str, object] | None = None,
) -> Request:
    """A request signed at `at`, as it arrives."""
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    request.context.update(context or {})
    credentials = Credentials(key_id, secret, token)
    with (
        patch("botocore.auth.get_current_datetime", lambda: at),
        patch("botocore.crt.auth.get_current_datetime", lambda **_: at.replace(tzinfo=None)),
        patch("time.time", at.timestamp),
    ):
        if by == "version 2 presigned":
            SIGNERS[by](credentials, expires=expires).add_auth(request)
        elif by.endswith("presigned"):
            SIGNERS[by](credentials, service, region, expires=expires).add_auth(request)
        else:
            SIGNERS[by](credentials, service, region).add_auth(request)
    return arrived(method, request.url, list(request.headers.items()))


def arrived(method: str, url: str, headers: Iterable[tuple[str, str]]) -> Request:
    """What a server receives when a client sends this; the host header is added where it lacks."""
    host, slash, target = url.partition("://")[2].partition("/")
    path, _, query = (slash + target or "/").partition("?")
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    if not any(name.lower() == b"host" for name, _ in pairs):
        pairs.insert(0, (b"Host", host.encode()))
    return Request(method, path.encode(), query.encode(), tuple(pairs))


def claim_of(request: Request) -> Claim:
    """The claim of a request that surely has one."""
    found = claim(request)
    assert found is not None
    return found


def check(request: Request, **changed: Any) -> Verified:
    """Claim and verify, at `NOW`, for S3, unless told otherwise."""
    options = {"secret": SECRET, "body": None, "now": NOW, "services": ("s3",), "region": None} | changed
    return verify(claim_of(request), request, **options)


def hmac_signer(stamp: str, scope: str, secret: str = SECRET) -> Callable[[str], str]:
    """Text to its signature, by nothing but the standard library."""
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return lambda text: hmac.new(key, text.encode(), "sha256").hexdigest()


def streaming(payload: str, *, stamp: str = "20260501T123000Z", seed: str = "0" * 64) -> Verified:
    """A verified request whose body is in chunks."""
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    return Verified(KEY_ID, "header", payload, seed, stamp, scope, hmac_signer(stamp, scope))


def signed_chunks(pieces: Iterable[bytes], verified: Verified, trailer: tuple[str, str] | None = None) -> bytes:
    """A body of signed chunks, the last one empty, and a signed trailer where one is given."""
    sign = hmac_signer(verified.stamp, verified.scope)
    previous, body = verified.signature, b""
    for piece in [*pieces, b""]:
        text = [verified.stamp, verified.scope, previous, EMPTY_HASH, hashlib.sha256(piece).hexdigest()]
        previous = sign("\n".join(["AWS4-HMAC-SHA256-PAYLOAD", *text]))
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + (b"\r\n" if piece else b"")
    if trailer is None:
        return body + b"\r\n"
    hashed = hashlib.sha256(f"{trailer[0]}:{trailer[1]}\n".encode()).hexdigest()
    last = sign("\n".join(["AWS4-HMAC-SHA256-TRAILER", verified.stamp, verified.scope, previous, hashed]))
    return body + f"{trailer[0]}:{trailer[1]}\r\nx-amz-trailer-signature:{last}\r\n\r\n".encode()

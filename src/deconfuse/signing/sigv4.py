"""Signatures of AWS's clients, checked: version 4 in headers and in addresses, version 2 in addresses.

A door asks twice, and looks up the key in between:

    claim(request)   -> Claim: what the request says about itself; nothing is proved yet
    verify(claim, …) -> Verified: the holder of the key's secret sent this request, for this place, now

What a signature covers is rebuilt from what arrived, byte for byte, and compared in constant time. A key that does not
exist costs the same work as one that does. The HMACs and the string they sign are botocore's; the canonical form of a
request is built here, from raw bytes, because botocore's begins with a parsed address, in which a fragment or a second
slash would be lost.

What is verified must be what is read. Whoever interprets a verified request therefore reads its query as
`query_pairs` does ("+" is a space, as in `urllib.parse.parse_qsl`), joins repeated headers by commas, and splits its
path at "/" before decoding the parts, where "+" is a plus. An address is the same whether or not characters that need
no encoding are encoded in it, as in S3 itself; `%2F` and `/` are never the same.

There is no replay protection other than time: within fifteen minutes, or until a presigned address expires, the same
request proves the same again, as with AWS. Outside loopback that calls for TLS.

Sources: AWS General Reference, "Signature Version 4 signing process"; Amazon S3 API Reference, "Authenticating
requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from types import SimpleNamespace
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.credentials import ReadOnlyCredentials
from botocore.utils import normalize_url_path

from deconfuse.errors import BadSignature, Invalid, UnknownKey
from deconfuse.signing import sigv2

Scheme = Literal["header", "presigned", "presigned-v2"]

MAX_SKEW = timedelta(minutes=15)
"""How far the clocks of a client and of this service may differ."""
MAX_EXPIRES = timedelta(days=7)
"""How long an address presigned by version 4 may be good."""

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_AND_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_AND_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset({SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER, UNSIGNED_CHUNKS_AND_TRAILER})
"""What `x-amz-content-sha256` says of a body in aws-chunked framing."""

_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_V2 = re.compile(r"[A-Za-z0-9+/]{27}=")
_CREDENTIAL = re.compile(
    r"([!-.0-~]{1,128})/([0-9]{8})/([A-Za-z0-9_*-]{1,64})/([A-Za-z0-9_.:-]{1,64})/aws4_request", re.ASCII
)
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_BLANKS = re.compile(r"[ \t]+")
_MAX_SIGNED_HEADERS = 256
_NOBODY = "the secret of no key: the same work takes the same time"
_V4_PARAMETERS = frozenset({b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Signature"})
_V2_PARAMETERS = frozenset({b"AWSAccessKeyId", b"Signature"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived, nothing decoded.

    Attributes:
        method: as sent, e.g. "GET".
        raw_path: the path as sent, percent-encoding untouched, without the query.
        raw_query: what stands after the first "?", without it; b"" where there is none.
        headers: (name, value) in the order of arrival; names in any case.
    """

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about itself: well-formed, and not yet proved.

    Attributes:
        key_id: whose signature it is said to be; 1 to 128 printable characters.
        scheme: where the signature stands and of which version it is.
        service: e.g. "s3", "rekognition"; "s3" for version 2.
        region: "" for version 2, which has none.
        date: when it was signed, UTC; None for version 2.
        signed_headers: lower-case, sorted, without repetition; () for version 2.
        payload: what was signed in place of the body: 64 hex digits of its SHA-256, UNSIGNED-PAYLOAD or a member of
            `STREAMING`; "" where the service is not S3: there it is always the hash of the body that arrived.
        expires: the last instant at which a presigned address is good, UTC; None for the scheme "header".
        signature: 64 hex digits, or base64 for version 2.
        has_token: whether a security token came along.
    """

    key_id: str
    scheme: Scheme
    service: str
    region: str
    date: datetime | None
    signed_headers: tuple[str, ...]
    payload: str
    expires: datetime | None
    signature: str
    has_token: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A claim that holds.

    Attributes:
        key_id: whose request it is.
        scheme: as claimed.
        payload: what the signature says about the body: 64 hex digits that the SHA-256 of the body must have,
            UNSIGNED-PAYLOAD, or a member of `STREAMING`. `chunked.open_body` holds a body to it.
        signature: the signature of the request, with which the chain of chunk signatures begins.
        stamp: when it was signed, as `20150830T123600Z`; "" for version 2.
        scope: day/region/service/aws4_request; "" for version 2.
        sign: text to the 64 hex digits of its HMAC under the request's signing key; None for version 2.
    """

    key_id: str
    scheme: Scheme
    payload: str
    signature: str
    stamp: str
    scope: str
    sign: Callable[[str], str] | None = field(repr=False, compare=False, default=None)

    @property
    def is_body_signed(self) -> bool:
        """Whether the bytes of the body are proved to be the sender's; over plain HTTP they should be."""
        return self.payload not in (UNSIGNED_PAYLOAD, UNSIGNED_CHUNKS_AND_TRAILER)


def query_pairs(raw_query: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The parameters of a query, decoded, in the order given; "+" is a space, empty pieces are left out.

    Example:
        >>> query_pairs(b"prefix=a%2Fb&acl&&x=1+1")
        ((b'prefix', b'a/b'), (b'acl', b''), (b'x', b'1 1'))
    """
    pieces = (piece.partition(b"=") for piece in raw_query.replace(b"+", b" ").split(b"&") if piece)
    return tuple((unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pieces)


def claim(request: Request) -> Claim | None:
    """What the signature of `request` says; None where it carries none at all.

    An `Authorization` header of another kind (Basic, Bearer) is no signature.

    Raises:
        BadSignature: there is a signature, or part of one, that cannot be read ("malformed"), or it was made for
            another day than its own date ("scope").
    """
    pairs = query_pairs(request.raw_query)
    names = {name for name, _ in pairs}
    headers = _headers(request)
    given = headers.get("authorization", [])
    in_header = any(value.lstrip()[:3].upper() == "AWS" for value in given)
    in_query, in_query_v2 = bool(names & _V4_PARAMETERS), bool(names & _V2_PARAMETERS)
    if not (in_header or in_query or in_query_v2):
        return None
    if len(given) + in_query + in_query_v2 > 1:
        raise BadSignature(
            "malformed", "a request proves its sender once: by one Authorization header, or in its query"
        )
    if in_header:
        return _claim_in_header(headers, given[0])
    return _claim_presigned(headers, pairs) if in_query else _claim_presigned_v2(headers, pairs)


def verify(
    claim: Claim,
    request: Request,
    *,
    secret: str | None,
    body: bytes | None,
    now: datetime,
    services: Collection[str],
    region: str | None,
    host_bucket: str | None = None,
) -> Verified:
    """`claim`, proved.

    Args:
        claim: what `claim(request)` gave.
        request: the same request.
        secret: the secret of `claim.key_id`; None where there is no such key, which costs the same work.
        body: the whole body, to be compared with what was signed; None where it streams: `chunked.open_body` then
            compares it. A service other than S3 always needs it.
        now: the time, aware.
        services: the services that this door answers for.
        region: the region that the signature must be for; None takes any.
        host_bucket: the bucket that the host name stands for, where it does: version 2 signs it as part of the path.

    Raises:
        UnknownKey: there is no such key.
        BadSignature: it does not hold; its `reason` says why.
        Invalid: no body, for a service whose requests are signed with it.
    """
    _check_place(claim, services=services, region=region)
    _check_time(claim, now)
    if claim.has_token:
        why = "temporary credentials (a session token) are not given out here; use a key and its secret alone"
        raise BadSignature("token", why)
    headers = _headers(request)
    body_hash = None if body is None else sha256(body).hexdigest()
    if claim.scheme == "presigned-v2":
        verified, expected = _sign_v2(claim, request, headers, secret=secret or _NOBODY, host_bucket=host_bucket)
    else:
        _check_coverage(claim, headers)
        payload = claim.payload or body_hash
        if payload is None:
            raise Invalid("body", "a request to a service other than S3 is verified together with its body")
        verified, expected = _sign_v4(claim, request, headers, payload=payload, secret=secret or _NOBODY)
    is_match = any(hmac.compare_digest(signature, claim.signature) for signature in expected)
    is_body = body_hash is None or not _SIGNATURE.fullmatch(verified.payload) or verified.payload == body_hash
    if not secret:
        raise UnknownKey(claim.key_id)
    if not is_match:
        raise BadSignature(
            "mismatch", "the signature does not fit the request: it was altered, or the secret is another"
        )
    if not is_body:
        raise BadSignature("body", "the body does not have the SHA-256 that x-amz-content-sha256 promised")
    return verified


def _claim_in_header(headers: dict[str, list[str]], authorization: str) -> Claim:
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise BadSignature("malformed", f"signatures of the kind {algorithm[:40]!r} are not read here; use {ALGORITHM}")
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        name, _, value = piece.strip(" \t").partition("=")
        if name in parts or name not in ("Credential", "SignedHeaders", "Signature"):
            raise BadSignature("malformed", f"the Authorization header holds {name[:40]!r} twice, or for no reason")
        parts[name] = value
    if len(parts) < 3:
        raise BadSignature("malformed", "an Authorization header needs Credential, SignedHeaders and Signature")
    stamp = _stamp(headers)
    date = _read_stamp(stamp)
    key_id, region, service = _read_credential(parts["Credential"], stamp)
    return Claim(
        key_id=key_id,
        scheme="header",
        service=service,
        region=region,
        date=date,
        signed_headers=_read_signed_headers(parts["SignedHeaders"]),
        payload=_read_payload(_only(headers, "x-amz-content-sha256")) if service == "s3" else "",
        expires=None,
        signature=_read_signature(parts["Signature"], _SIGNATURE),
        has_token=any(headers.get("x-amz-security-token", [])),
    )


def _claim_presigned(headers: dict[str, list[str]], pairs: tuple[tuple[bytes, bytes], ...]) -> Claim:
    if _parameter(pairs, "X-Amz-Algorithm") != ALGORITHM:
        raise BadSignature("malformed", f"X-Amz-Algorithm must be {ALGORITHM}")
    stamp = _parameter(pairs, "X-Amz-Date")
    date = _read_stamp(stamp)
    key_id, region, service = _read_credential(_parameter(pairs, "X-Amz-Credential"), stamp)
    seconds = _parameter(pairs, "X-Amz-Expires")
    if not re.fullmatch(r"[0-9]{1,6}", seconds) or not 1 <= int(seconds) <= MAX_EXPIRES.total_seconds():
        raise BadSignature("malformed", f"X-Amz-Expires is {seconds[:20]!r}; 1 to 604800 seconds, a week, are possible")
    try:
        expires = date + timedelta(seconds=int(seconds))
    except OverflowError:
        raise BadSignature("malformed", f"X-Amz-Date is {stamp!r}, which is no date to sign at") from None
    payload = _only(headers, "x-amz-content-sha256") or _parameter(pairs, "X-Amz-Content-Sha256", UNSIGNED_PAYLOAD)
    return Claim(
        key_id=key_id,
        scheme="presigned",
        service=service,
        region=region,
        date=date,
        signed_headers=_read_signed_headers(_parameter(pairs, "X-Amz-SignedHeaders")),
        payload=_read_payload(payload) if service == "s3" else "",
        expires=expires,
        signature=_read_signature(_parameter(pairs, "X-Amz-Signature"), _SIGNATURE),
        has_token=any(headers.get("x-amz-security-token", [])) or bool(_parameter(pairs, "X-Amz-Security-Token", "")),
    )


def _claim_presigned_v2(headers: dict[str, list[str]], pairs: tuple[tuple[bytes, bytes], ...]) -> Claim:
    key_id = _parameter(pairs, "AWSAccessKeyId")
    if not re.fullmatch(r"[!-~]{1,128}", key_id):
        raise BadSignature("malformed", f"{key_id[:40]!r} cannot be the identifier of a key")
    seconds = _parameter(pairs, "Expires")
    if not re.fullmatch(r"[0-9]{1,11}", seconds):
        raise BadSignature("malformed", f"Expires is {seconds[:20]!r}; it counts seconds since 1970")
    payload = _read_payload(_only(headers, "x-amz-content-sha256") or UNSIGNED_PAYLOAD)
    if payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER):
        raise BadSignature("malformed", "an address signed by version 2 has no key to sign chunks with")
    return Claim(
        key_id=key_id,
        scheme="presigned-v2",
        service="s3",
        region="",
        date=None,
        signed_headers=(),
        payload=payload,
        expires=datetime.fromtimestamp(int(seconds), UTC),
        signature=_read_signature(_parameter(pairs, "Signature"), _SIGNATURE_V2),
        has_token=any(headers.get("x-amz-security-token", []))
        or any(name.lower() == b"x-amz-security-token" and value for name, value in pairs),
    )


def _headers(request: Request) -> dict[str, list[str]]:
    """Values by lower-case name, in the order of arrival.

    Values are UTF-8, which most clients send and sign. Those that are not are taken for Latin-1: Python's HTTP client
    sends that, while botocore signs the same text as UTF-8.
    """
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        headers.setdefault(name.decode("latin-1").lower(), []).append(text)
    return headers


def _only(headers: dict[str, list[str]], name: str) -> str:
    """The value of a header that may come once; "" where it did not."""
    values = headers.get(name, [""])
    if len(values) > 1:
        raise BadSignature("malformed", f"the header {name} came {len(values)} times")
    return values[0].strip()


def _parameter(pairs: tuple[tuple[bytes, bytes], ...], name: str, default: str | None = None) -> str:
    values = [value for given, value in pairs if given == name.encode()]
    if len(values) > 1:
        raise BadSignature("malformed", f"the query parameter {name} came {len(values)} times")
    if not values and default is None:
        raise BadSignature("malformed", f"the query parameter {name} is missing; a signed address needs it")
    return values[0].decode("latin-1") if values else default or ""


def _stamp(headers: dict[str, list[str]]) -> str:
    """The date of signing in AWS's form, from `X-Amz-Date` or else `Date`, which may have either form."""
    given = _only(headers, "x-amz-date") or _only(headers, "date")
    if _STAMP.fullmatch(given) or "x-amz-date" in headers:
        return given
    try:
        return parsedate_to_datetime(given).astimezone(UTC).strftime(SIGV4_TIMESTAMP)
    except (ValueError, OverflowError):
        raise BadSignature("malformed", "a signed request needs X-Amz-Date, as 20150830T123600Z") from None


def _read_stamp(stamp: str) -> datetime:
    try:
        if _STAMP.fullmatch(stamp):
            return datetime.fromisoformat(stamp)
    except ValueError:
        pass
    raise BadSignature("malformed", f"X-Amz-Date is {stamp[:40]!r}; it has the form 20150830T123600Z")


def _read_credential(credential: str, stamp: str) -> tuple[str, str, str]:
    """Key, region and service of a credential that is for the day of `stamp`."""
    found = _CREDENTIAL.fullmatch(credential)
    if not found:
        why = f"the credential {credential[:40]!r} is not of the form KEY/DAY/REGION/SERVICE/aws4_request"
        raise BadSignature("malformed", why)
    key_id, day, region, service = found.groups()
    if day != stamp[:8]:
        raise BadSignature("scope", f"the credential is for the day {day}, the request is dated {stamp[:40]}")
    return key_id, region, service


def _read_signed_headers(text: str) -> tuple[str, ...]:
    names = text.split(";")
    if len(names) > _MAX_SIGNED_HEADERS or len(set(names)) < len(names) or not all(map(_HEADER_NAME.fullmatch, names)):
        raise BadSignature("malformed", f"SignedHeaders is {text[:80]!r}; it lists lower-case names, each once")
    return tuple(sorted(names))


def _read_signature(text: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(text):
        raise BadSignature("malformed", f"{text[:80]!r} is not of the form of a signature")
    return text


def _read_payload(text: str) -> str:
    if not text:
        raise BadSignature("malformed", "the header x-amz-content-sha256 is missing; S3 needs it")
    if text != UNSIGNED_PAYLOAD and text not in STREAMING and not _SIGNATURE.fullmatch(text):
        why = f"x-amz-content-sha256 is {text[:80]!r}; it must be 64 hex digits, UNSIGNED-PAYLOAD or STREAMING-…"
        raise BadSignature("malformed", why)
    return text


def _check_place(claim: Claim, *, services: Collection[str], region: str | None) -> None:
    if claim.service not in services:
        here = " or ".join(sorted(services))
        raise BadSignature("scope", f"the request is signed for the service {claim.service!r}; here is {here}")
    if region is not None and claim.scheme != "presigned-v2" and claim.region != region:
        raise BadSignature("scope", f"the request is signed for the region {claim.region!r}; here is {region!r}")
    if claim.scheme == "presigned" and claim.service != "s3":
        raise BadSignature("unsigned", "a presigned address does not sign the body, which only S3 does without")


def _check_time(claim: Claim, now: datetime) -> None:
    if claim.expires is not None and now > claim.expires:
        raise BadSignature("expired", f"the address was good until {_written(claim.expires)}; it is {_written(now)}")
    if claim.date is None:
        return
    if claim.date - now > MAX_SKEW or (claim.expires is None and now - claim.date > MAX_SKEW):
        why = f"the request was signed at {_written(claim.date)}, it is {_written(now)}: more than 15 minutes apart"
        raise BadSignature("skewed", f"{why}; check the clocks")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime(SIGV4_TIMESTAMP)


def _check_coverage(claim: Claim, headers: dict[str, list[str]]) -> None:
    """Every header that changes what a request means must be signed; every header that is signed must be there."""
    required = {"host"} | {name for name in headers if name.startswith("x-amz-") or name == "content-md5"}
    if claim.scheme == "header" and "x-amz-date" not in headers:
        required.add("date")
    if unsigned := sorted(required - set(claim.signed_headers)):
        raise BadSignature("unsigned", f"these headers must be signed and are not: {', '.join(unsigned)[:200]}")
    if missing := sorted(set(claim.signed_headers) - set(headers)):
        raise BadSignature("mismatch", f"these headers were signed and did not arrive: {', '.join(missing)[:200]}")
    if len(headers["host"]) > 1:
        raise BadSignature("malformed", "the header host came more than once")
    if any(set(value) & set("\r\n\0") for name in claim.signed_headers for value in headers[name]):
        raise BadSignature("malformed", "a signed header holds a line break")


def _sign_v4(
    claim: Claim, request: Request, headers: dict[str, list[str]], *, payload: str, secret: str
) -> tuple[Verified, list[str]]:
    """What holds if the claim does, and the one signature that it must then carry."""
    signer = SigV4Auth(ReadOnlyCredentials(claim.key_id, secret, None), claim.service, claim.region)
    assert claim.date is not None
    stamp = claim.date.strftime(SIGV4_TIMESTAMP)
    dated = SimpleNamespace(context={"timestamp": stamp})

    def sign(text: str) -> str:
        return str(signer.signature(text, dated))

    expected = sign(signer.string_to_sign(dated, _canonical(claim, request, headers, payload=payload)))
    scope = signer.credential_scope(dated)
    return Verified(claim.key_id, claim.scheme, payload, claim.signature, stamp, scope, sign), [expected]


def _canonical(claim: Claim, request: Request, headers: dict[str, list[str]], *, payload: str) -> str:
    """The canonical request of version 4.

    Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header", task 1.
    """
    pairs = sorted(
        (quote(name, safe=""), quote(value, safe=""))
        for name, value in query_pairs(request.raw_query)
        if claim.scheme == "header" or name != b"X-Amz-Signature"
    )
    lines = [
        name + ":" + ",".join(_BLANKS.sub(" ", value.strip(" \t")) for value in headers[name])
        for name in claim.signed_headers
    ]
    return "\n".join(
        [
            request.method,
            _s3_path(request.raw_path) if claim.service == "s3" else _normal_path(request.raw_path),
            "&".join(f"{name}={value}" for name, value in pairs),
            *lines,
            "",
            ";".join(claim.signed_headers),
            payload,
        ]
    )


def _s3_path(raw_path: bytes) -> str:
    """Every part of the path encoded in the one canonical way; parts stay apart, "." and ".." are names like others."""
    return "/".join(quote(unquote_to_bytes(part), safe="") for part in raw_path.split(b"/"))


def _normal_path(raw_path: bytes) -> str:
    """The path as services other than S3 sign it: dots resolved, slashes joined, encoded once more than sent."""
    return quote(normalize_url_path(raw_path.decode("latin-1")).encode("latin-1"), safe="/~")


def _sign_v2(
    claim: Claim, request: Request, headers: dict[str, list[str]], *, secret: str, host_bucket: str | None
) -> tuple[Verified, list[str]]:
    """What holds if the claim of an address signed by version 2 does, and the signatures of which it carries one."""
    assert claim.expires is not None
    path = (f"/{host_bucket}" if host_bucket else "") + _s3_path(request.raw_path)
    is_bucket = path != "/" and path.count("/") == 1
    texts = [
        sigv2.string_to_sign(
            request.method,
            signed,
            raw_query=request.raw_query,
            headers=headers,
            expires=int(claim.expires.timestamp()),
        )
        for signed in ([path, path + "/"] if is_bucket else [path])  # botocore ends a bucket alone with a slash
    ]
    verified = Verified(claim.key_id, claim.scheme, claim.payload, claim.signature, stamp="", scope="")
    return verified, [sigv2.signature(text, secret=secret) for text in texts]

"""Which operation of S3 a request asks for, and with which parameters.

The answer is taken from the service model: method, how deep the path goes, the words in the query (`?uploads`), the
parameters and headers without which an operation cannot be meant; of all that fit, the most specific one. All of S3's
operations take part, so a request for one that is not built here is recognised as that and refused with 501; it never
falls through to another. `GET /bucket?policy` is no listing and `DELETE /bucket?acl` deletes no bucket: a word of the
query that names a part of S3, but not of the operation found, is an error.

The path is taken as the bytes that arrived, because the signature was made over them; the first step is the bucket,
or the host name's first part is ("virtual host"). In a presigned address the query may hold what else would be
headers. The body is not looked at here: `restxml.parse` adds what stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_to_bytes

from deconfuse.errors import Invalid, NotBuilt
from deconfuse.gateway.refusals import check_headers
from deconfuse.gateway.shapes import Operation, Parameter, operations
from deconfuse.gateway.values import read_value
from deconfuse.service.objects import MAX_KEY_BYTES, MAX_PARTS
from deconfuse.signing.chunked import without_framing

MAX_BUCKETS_LISTED = 10_000
MAX_QUERY_FIELDS = 200

BUILT = frozenset(
    {
        "ListBuckets",
        "CreateBucket",
        "HeadBucket",
        "DeleteBucket",
        "GetBucketLocation",
        "GetBucketVersioning",
        "GetBucketAcl",
        "DeletePublicAccessBlock",
        "ListObjects",
        "ListObjectsV2",
        "ListObjectVersions",
        "PutObject",
        "GetObject",
        "HeadObject",
        "DeleteObject",
        "DeleteObjects",
        "CopyObject",
        "GetObjectAcl",
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPartCopy",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "ListParts",
        "ListMultipartUploads",
    }
)
"""The operations of S3 that are answered; every other one gives 501."""

_RANGES = {"partNumber": (1, MAX_PARTS), "max-buckets": (1, MAX_BUCKETS_LISTED)}
_SIGNING = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
    }
)
"""Parameters of a presigned address that are about its signature, in lower case."""

_CONDITIONAL_DATE = re.compile(r"(x-amz-copy-source-)?if-(un)?modified-since")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood as far as its body.

    Attributes:
        operation: the name of an operation that is built here ("PutObject").
        bucket: the bucket it is about, or None.
        key: the object's key, or None; 1 to 1024 bytes of UTF-8.
        parameters: what path, query and headers say, by the names of the model ("MaxKeys"). The text of a header is
            its bytes as latin-1, so that it goes back as it came.
        body: "xml" is to be read whole and handed to `restxml.parse`, "bytes" is content to be streamed, "nothing" is
            to be empty or ignored.
    """

    operation: str
    bucket: str | None
    key: str | None
    parameters: Mapping[str, Any]
    body: Literal["nothing", "xml", "bytes"]


def route(
    method: str, raw_path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], *, host: str, domain: str
) -> Call:
    """The operation that a request asks for, with the parameters outside its body.

    Args:
        method: the HTTP method, in capitals.
        raw_path: the path as it arrived, percent-encoded, without query.
        query: what stood behind the question mark, percent-encoded, or b"".
        headers: names and values as they arrived.
        host: the Host header: a name or address, with or without port.
        domain: the name below which buckets are host names ("localhost": bucket.localhost); "" for none.

    Raises:
        NotBuilt: an operation or feature of S3 that is not built here.
        Invalid: no operation of S3 at all ("method"), a path that is none ("path"), a key that is too long ("key"),
            or a parameter that cannot be meant (its name in query or headers).
    """
    bucket, key = address(raw_path, host=host, domain=domain)
    fields = _query_fields(query)
    named = _header_texts(headers)
    if _is_presigned(fields):
        named = _hoisted(fields) | named
    operation = _operation(method, bucket, key, fields, named)
    if operation.name not in BUILT:
        raise NotBuilt("operation", f"{operation.name} is not implemented")
    parameters = _parameters(operation, {"Bucket": bucket, "Key": key}, fields, named)
    check_headers(named)
    body: Literal["nothing", "xml", "bytes"] = "bytes" if operation.body == "text" else operation.body
    return Call(operation.name, bucket, key, parameters, body)


def address(raw_path: bytes, *, host: str, domain: str) -> tuple[str | None, str | None]:
    """The bucket and the key that a path and host name address; None for what they do not name.

    Raises:
        Invalid: the path is not one ("path"), names no bucket before a key ("bucket"), or its key is too long ("key").
    """
    if not raw_path.startswith(b"/"):
        raise Invalid("path", "the path does not begin with a slash")
    bucket = virtual_bucket(host, domain)
    rest = raw_path[1:]
    if bucket is None:
        first, slash, rest = rest.partition(b"/")
        if not first:
            if slash:
                raise Invalid("bucket", "the path names a key, but no bucket")
            return None, None
        bucket = _decoded(first)
    key = _decoded(rest)
    if len(key.encode()) > MAX_KEY_BYTES:
        raise Invalid("key", f"a key has at most {MAX_KEY_BYTES} bytes")
    return bucket, key or None


def virtual_bucket(host: str, domain: str) -> str | None:
    """The bucket that a Host header names below `domain`, or None; signatures of version 2 are made over it."""
    name = host.strip().lower()
    if name.startswith("["):
        return None
    name = name.partition(":")[0].rstrip(".")
    suffix = "." + domain.lower().rstrip(".")
    return name.removesuffix(suffix) or None if domain and name.endswith(suffix) else None


def copy_source(text: str) -> tuple[str, str, str | None]:
    """Bucket, key and version that the header x-amz-copy-source names; the version is None where none is given.

    The text is a path, percent-encoded, with or without a slash before it; a "+" is itself.

    Raises:
        Invalid: it is no such path.
    """
    path, _, query = text.encode("latin-1", "replace").partition(b"?")
    bucket, _, key = path.removeprefix(b"/").partition(b"/")
    version = dict(_query_fields(query)).get("versionId")
    if not bucket or not key or bucket.startswith(b"arn:"):
        raise Invalid("x-amz-copy-source", "the copy source is to be bucket/key, percent-encoded")
    return _decoded(bucket), _decoded(key), version


def _decoded(step: bytes) -> str:
    if _BAD_ESCAPE.search(step):
        raise Invalid("path", "a percent sign is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(step).decode()
    except UnicodeDecodeError:
        raise Invalid("path", "the path is not UTF-8") from None


def _query_fields(query: bytes) -> dict[str, str]:
    """Name to value, empty values kept; a name that stands twice is refused, for nobody knows which is meant."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        raise Invalid("path", "the query is not percent-encoded UTF-8 of a reasonable length") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        name = next(name for i, (name, _) in enumerate(pairs) if any(name == other for other, _ in pairs[:i]))
        raise Invalid("query", f"it holds the parameter {name[:80]!r} twice")
    return fields


def _header_texts(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case name to the bytes of the value as latin-1; repeated headers are joined by commas."""
    texts: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        texts[name] = f"{texts[name]},{value}" if name in texts else value
    return texts


def _is_presigned(fields: Mapping[str, str]) -> bool:
    return any(name.lower() == "x-amz-signature" for name in fields) or {"AWSAccessKeyId", "Signature"} <= fields.keys()


def _hoisted(fields: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a presigned address that stand for headers.

    Source: botocore's HmacV1QueryAuth moves x-amz-*, Content-MD5 and Content-Type into the query, and
    @aws-sdk/s3-request-presigner x-amz-*; S3 takes them for the headers.
    """
    found = {}
    for name, value in fields.items():
        lower = name.lower()
        if lower in {"content-md5", "content-type"} or (lower.startswith("x-amz-") and lower not in _SIGNING):
            if not _HEADER_NAME.fullmatch(lower) or _CONTROL.search(value):
                raise Invalid(name, "the parameter cannot stand for a header")
            found[lower] = value.encode().decode("latin-1")
    return found


def _operation(
    method: str, bucket: str | None, key: str | None, fields: Mapping[str, str], named: Mapping[str, str]
) -> Operation:
    """The most specific operation that fits.

    Raises:
        NotBuilt: a form for browsers, which the model does not know.
        Invalid: none fits, or the query names two parts of S3 at once.
    """
    level = (bucket is not None) + (key is not None)
    fitting = [op for op in _candidates(method, level) if _fits(op, bucket, fields, named)]
    if not fitting:
        if method == "POST" and level == 1 and not _words(fields):
            raise NotBuilt("operation", "uploads from a browser's form (POST on a bucket) are not implemented")
        raise Invalid("method", "the specified method is not allowed against this resource")
    found = max(
        fitting,
        key=lambda op: (
            len(op.subresources),
            _has(op.required, fields, named),
            len(op.required),
            fields.get("x-id") == op.name,
            sum(p.wire in fields for p in op.inputs if p.place == "query"),
            op.name in BUILT,
        ),
    )
    _check_words(found, fields)
    return found


@cache
def _candidates(method: str, level: int) -> tuple[Operation, ...]:
    return tuple(op for op in operations().values() if (op.method, op.level) == (method, level))


@cache
def _all_words() -> frozenset[str]:
    """Every word of a query that names a part of S3: acl, policy, uploads and the like."""
    return frozenset(word for op in operations().values() for word in op.subresources)


@cache
def _all_deciding() -> frozenset[str]:
    """Every query parameter whose presence alone makes another operation: uploadId, partNumber."""
    plain = [op for op in operations().values() if not op.subresources]
    return frozenset(p.wire for op in plain for p in op.required if p.place == "query")


def _words(fields: Collection[str]) -> frozenset[str]:
    return _all_words() & set(fields)


def _fits(op: Operation, bucket: str | None, fields: Mapping[str, str], named: Mapping[str, str]) -> bool:
    """Whether a request can mean `op`: its words are there, or, where it has none, all that it requires."""
    if op.path is not None and op.path != bucket:
        return False
    if not all(word in fields and value in {"", fields[word]} for word, value in op.subresources.items()):
        return False
    return bool(op.subresources) or _has(op.required, fields, named)


def _has(required: tuple[Parameter, ...], fields: Mapping[str, str], named: Mapping[str, str]) -> bool:
    return all(p.wire in (fields if p.place == "query" else named) for p in required)


def _check_words(op: Operation, fields: Mapping[str, str]) -> None:
    left = sorted(_words(fields) - op.subresources.keys())
    if left and op.subresources:
        names = ", ".join([*op.subresources, *left])
        raise Invalid(left[0], f"conflicting query string parameters: {names}")
    if "list-type" in left:
        raise Invalid("list-type", "the list type is to be 2, for listing a bucket")
    if left:
        raise Invalid("method", f"the specified method is not allowed against this resource: ?{left[0]}")
    known = {p.wire for p in op.inputs if p.place == "query"}
    for name in sorted(_all_deciding() & fields.keys() - known):
        raise Invalid(name, f"this parameter does not belong to {op.name}")


def _parameters(
    op: Operation, path: Mapping[str, str | None], fields: Mapping[str, str], named: Mapping[str, str]
) -> dict[str, Any]:
    """What path, query and headers say, by the names of the model."""
    found: dict[str, Any] = {}
    for p in op.inputs:
        if p.place == "path":
            found[p.name] = path[p.wire]
        elif p.place == "headers":
            family = (name for name in named if name.startswith(p.wire) and name != p.wire)
            found[p.name] = {name[len(p.wire) :]: named[name] for name in family}
        else:
            text = (fields if p.place == "query" else named).get(p.wire)
            if text is not None and not (p.kind != "text" and not text.strip()):
                _put(found, p, text)
            if p.is_required and p.name not in found:
                raise Invalid(p.wire, "this parameter is required")
    if "ContentEncoding" in found:
        found["ContentEncoding"] = without_framing(found["ContentEncoding"])
    kept = _MAY_BE_EMPTY | {p.name for p in op.inputs if p.is_required}
    return {name: value for name, value in found.items() if value not in ("", {}) or name in kept}


_MAY_BE_EMPTY = frozenset({"Prefix", "Marker", "KeyMarker", "StartAfter", "Delimiter", "ContinuationToken", "IfMatch"})
"""Texts whose being empty says something: a listing echoes them, an empty condition cannot hold."""


def _put(found: dict[str, Any], p: Parameter, text: str) -> None:
    """Read one parameter into `found`.

    Raises:
        Invalid: it does not say what it should.
    """
    if p.place == "query" and p.wire.startswith("response-") and _CONTROL.search(text):
        raise Invalid(p.wire, "a header cannot hold control characters")
    try:
        if p.kind == "list":
            found[p.name] = [_chosen(p, item.strip()) for item in text.split(",")]
        else:
            found[p.name] = _chosen(p, text) if p.kind == "text" else read_value(p.kind, text)
    except ValueError:
        if not _CONDITIONAL_DATE.fullmatch(p.wire):  # a date that cannot be read is no condition: RFC 9110, 13.1.3
            raise Invalid(p.wire, f"{text[:200]!r} cannot be meant") from None
    if p.kind == "integer":
        low, high = _RANGES.get(p.wire, (0, 2**31 - 1 if p.place == "query" else 2**63 - 1))
        if not low <= found[p.name] <= high:
            raise Invalid(p.wire, f"the value is to be an integer between {low} and {high}")


def _chosen(p: Parameter, text: str) -> str:
    """The text, or the choice of the model that it spells in other capitals; ValueError where it is none of them."""
    if not p.choices or text in p.choices:
        return text
    if text.upper() not in p.choices:
        raise ValueError(text)
    return text.upper()

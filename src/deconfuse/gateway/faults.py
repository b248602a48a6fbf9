"""Errors as S3 says them: every error of the tree to a status, a code and a document of XML.

    <Error><Code>NoSuchKey</Code><Message>…</Message><Key>cat.jpg</Key><Resource>/b/cat.jpg</Resource>…</Error>

`CODES` has a row for each kind of error; where one kind has several codes at S3, the error itself says which: the kind
of thing that was not found, the field that was wrong, what was wrong with a signature. Clients act on these codes (they
retry SlowDown, create the bucket after NoSuchBucket, take 304 for what they have), so they are S3's to the letter. The
message is the error's own sentence; of an error that nobody foresaw, and of damage to what is kept here, nothing is
told but the request's id.

Source: Amazon S3 API reference, "Error responses", list of error codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deconfuse import errors
from deconfuse.asgi import TooSlow
from deconfuse.gateway.restxml import DECLARATION, Answer, escape, header_value
from deconfuse.signing.chunked import BODY, CHECKSUM

_Code = tuple[int, str]

CODES: Final[dict[type[errors.DeconfuseError], _Code]] = {
    errors.Invalid: (400, "InvalidArgument"),
    errors.NotBuilt: (501, "NotImplemented"),
    errors.BadToken: (400, "InvalidArgument"),
    errors.BadPolicy: (400, "MalformedPolicy"),
    errors.BadRevision: (409, "OperationAborted"),
    errors.NotFound: (404, "NoSuchKey"),
    errors.AlreadyExists: (409, "BucketAlreadyExists"),
    errors.InUse: (409, "BucketNotEmpty"),
    errors.Stale: (409, "OperationAborted"),
    errors.Unmet: (412, "PreconditionFailed"),
    errors.NotReady: (409, "OperationAborted"),
    errors.BadData: (400, "InvalidRequest"),
    errors.BadImage: (400, "InvalidRequest"),
    errors.ImageTooLarge: (400, "EntityTooLarge"),
    errors.BadManifest: (400, "InvalidRequest"),
    errors.Untrainable: (400, "InvalidRequest"),
    errors.Damaged: (500, "InternalError"),
    errors.Denied: (403, "AccessDenied"),
    errors.NotSigned: (403, "AccessDenied"),
    errors.BadSignature: (403, "SignatureDoesNotMatch"),
    errors.UnknownKey: (403, "InvalidAccessKeyId"),
    errors.LimitExceeded: (400, "EntityTooLarge"),
    errors.QuotaExceeded: (400, "TooManyBuckets"),
    errors.TooFast: (503, "SlowDown"),
    errors.Unavailable: (503, "ServiceUnavailable"),
}
"""Status and code of every kind of error, unless one of the tables below has a narrower one."""

_FOUND: Final[dict[str, _Code]] = {
    "bucket": (404, "NoSuchBucket"),
    "linked bucket": (404, "NoSuchBucket"),
    "key": (404, "NoSuchKey"),
    "upload": (404, "NoSuchUpload"),
    "version": (404, "NoSuchVersion"),
}
"""By the kind of thing that is not there."""

_EXISTING: Final[dict[str, _Code]] = {"bucket": (409, "BucketAlreadyOwnedByYou")}

_FIELDS: Final[dict[str, _Code]] = {
    "method": (405, "MethodNotAllowed"),
    "path": (400, "InvalidURI"),
    "bucket": (400, "InvalidBucketName"),
    "key": (400, "KeyTooLongError"),
    "metadata": (400, "MetadataTooLarge"),
    "range": (416, "InvalidRange"),
    "part": (400, "InvalidPart"),
    "part order": (400, "InvalidPartOrder"),
    "part size": (400, "EntityTooSmall"),
    "parts": (400, "MalformedXML"),
    "object size": (400, "InvalidRequest"),
    "part number": (416, "InvalidPartNumber"),
    "checksum": (400, "InvalidRequest"),
    "copy": (400, "InvalidRequest"),
    "request": (400, "InvalidRequest"),
    "header": (400, "InvalidRequest"),
    "body": (400, "MalformedXML"),
    "body length": (400, "MaxMessageLengthExceeded"),
    "content-length": (411, "MissingContentLength"),
    "content-md5": (400, "InvalidDigest"),
    "x-amz-storage-class": (400, "InvalidStorageClass"),
    "location constraint": (400, "InvalidLocationConstraint"),
}
"""By the field that cannot be meant."""

_DAMAGES: Final[dict[str, _Code]] = {
    BODY: (400, "IncompleteBody"),
    CHECKSUM: (400, "BadDigest"),
    "the body": (400, "BadDigest"),
    "the object": (400, "BadDigest"),
}
"""By what is damaged, where a request brought it: the names are those of signing.chunked and of the store. Anything
else is kept here, and its damage is our own."""

_SIGNATURES: Final[dict[errors.SignatureFault, _Code]] = {
    "malformed": (400, "AuthorizationHeaderMalformed"),
    "scope": (400, "AuthorizationHeaderMalformed"),
    "skewed": (403, "RequestTimeTooSkewed"),
    "expired": (403, "AccessDenied"),
    "unsigned": (403, "AccessDenied"),
    "token": (400, "InvalidToken"),
    "body": (400, "XAmzContentSHA256Mismatch"),
    "mismatch": (403, "SignatureDoesNotMatch"),
}
"""By what is wrong with a signature."""

_NOT_MODIFIED = frozenset({"If-None-Match", "If-Modified-Since"})
_UNTOLD = "We encountered an internal error. Please try again."
_AWAY = "The disk or the database cannot be reached for the moment. Please try again."
"""Instead of the error's words, which name hosts, users and folders; who asks may not even have a key."""

_RETRY_SECONDS = 1
_SHOWN = 1024


def code(error: BaseException, *, method: str = "") -> _Code:
    """Status and S3's code of an error.

    Args:
        error: any error; one that is not of the tree is an internal one.
        method: the request's method: a condition that does not hold is 304 to GET and HEAD, 412 to the others.
    """
    match error:
        case errors.NotBuilt():
            return CODES[errors.NotBuilt]
        case errors.Unmet(condition=condition) if method in {"GET", "HEAD"} and condition in _NOT_MODIFIED:
            return 304, "NotModified"
        case errors.NotFound(kind=kind) if kind in _FOUND:
            return _FOUND[kind]
        case errors.AlreadyExists(kind=kind) if kind in _EXISTING:
            return _EXISTING[kind]
        case errors.Invalid(field=name) if type(error) is errors.Invalid and name in _FIELDS:
            return _FIELDS[name]
        case errors.Damaged(what=what) if what in _DAMAGES:
            return _DAMAGES[what]
        case errors.BadSignature(reason=reason):
            return _SIGNATURES[reason]
        case TooSlow():
            return 400, "RequestTimeout"
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), (500, "InternalError"))


def fault(error: BaseException, *, method: str, resource: str, request_id: str, region: str = "") -> Answer:
    """The answer to a request that went wrong.

    Args:
        error: what went wrong; any exception.
        method: the request's method; HEAD and 304 have no body.
        resource: the request's path, as it arrived.
        request_id: also told where nothing else is.
        region: the one to sign for; clients that signed for another read it and sign again.
    """
    status, word = code(error, method=method)
    headers = [(b"x-amz-request-id", header_value(request_id))]
    if status == 503:
        headers.append((b"Retry-After", str(_RETRY_SECONDS).encode()))
    if isinstance(error, errors.Unmet) and status == 304 and error.etag is not None:
        headers.append((b"ETag", header_value(f'"{error.etag}"')))
    if method == "HEAD" or status == 304:
        return Answer(status, tuple(headers), b"")
    told = error.why if isinstance(error, errors.Invalid) else str(error)
    untold = _AWAY if isinstance(error, errors.Unavailable) else _UNTOLD if status == 500 else None
    message = untold or told or word
    details = _details(error, word)
    if isinstance(error, errors.BadSignature) and error.reason == "scope" and region:
        details["Region"] = region
    body = document(word, message, details | {"Resource": resource, "RequestId": request_id})
    headers.append((b"Content-Type", b"application/xml"))
    return Answer(status, tuple(headers), body)


def document(word: str, message: str, details: Mapping[str, str]) -> bytes:
    """An error document: code, message, then `details` in their order.

    Characters that XML cannot hold become U+FFFD: an error that cannot be read says less than one that is inexact.
    """
    fields = {"Code": word, "Message": message, **details}
    inner = "".join(f"<{name}>{escape(_printable(text))}</{name}>" for name, text in fields.items())
    return f"{DECLARATION}<Error>{inner}</Error>".encode()


def _details(error: BaseException, word: str) -> dict[str, str]:
    """What S3 tells besides code and message, which some clients read."""
    match error:
        case errors.NotFound(kind="bucket", name=name) | errors.AlreadyExists(kind="bucket", name=name):
            return {"BucketName": name}
        case errors.NotFound(kind="key", name=name):
            return {"Key": name}
        case errors.NotFound(kind="upload", name=name):
            return {"UploadId": name}
        case errors.Unmet(condition=condition):
            return {"Condition": condition}
        case errors.UnknownKey(key_id=key_id):
            return {"AWSAccessKeyId": key_id}
        case errors.Invalid(field=name) if word == "InvalidArgument":
            return {"ArgumentName": name}
    return {}


def _printable(text: str) -> str:
    return "".join(c if c in "\t\n" or " " <= c < "\ufffe" else "\ufffd" for c in text[:_SHOWN])

"""What signature version 2 signs of a presigned address of S3.

boto3 still presigns by version 2 in every region that ever knew it, us-east-1 among them, so programs that call
`generate_presigned_url` depend on it. It signs the method, the path, the expiry, Content-MD5, Content-Type, every
x-amz-* header, and those parameters of the query that choose an operation or change an answer, from a fixed list; that
list and the HMAC are botocore's. Other parameters are open to whoever holds the address. Here only those that page
through a list may therefore be added; any other is refused, because it could turn a signed operation into another one.

`sigv4` reads such an address and calls this module; nobody else does.

Source: Amazon S3 User Guide, "Signing and authenticating REST requests (AWS Signature Version 2)".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from botocore.auth import HmacV1Auth
from botocore.credentials import ReadOnlyCredentials

from deconfuse.errors import BadSignature

_SIGNED = frozenset(HmacV1Auth.QSAOfInterest)
_PROOF = frozenset({"AWSAccessKeyId", "Signature", "Expires"})
_OPEN = frozenset(
    {"prefix", "delimiter", "marker", "max-keys", "encoding-type", "list-type", "continuation-token", "start-after"}
    | {"fetch-owner", "key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-parts"}
    | {"part-number-marker", "x-id"}
)
"""Parameters that are not signed and only page through a list, or say nothing."""


def string_to_sign(
    method: str, path: str, *, raw_query: bytes, headers: Mapping[str, Sequence[str]], expires: int
) -> str:
    """The text whose HMAC the address must carry.

    Args:
        method: as sent.
        path: encoded, and beginning with the bucket even where that stands in the host name.
        raw_query: as sent.
        headers: values by lower-case name, in the order of arrival.
        expires: seconds since 1970 after which the address is no longer good.

    Raises:
        BadSignature: a parameter is neither signed nor harmless ("unsigned"), the address says one thing and a header
            another ("mismatch"), or a text cannot be signed ("malformed").
    """
    lines = _lines(raw_query, headers)
    parameters = _parameters(raw_query)
    named = [lines.get("content-md5", ""), lines.get("content-type", ""), str(expires)]
    amz = [f"{name}:{value}" for name, value in sorted(lines.items()) if name.startswith("x-amz-")]
    return "\n".join([method, *named, *amz, path + ("?" + "&".join(parameters) if parameters else "")])


def signature(text: str, *, secret: str) -> str:
    """Base64 of the HMAC-SHA1 of `text`, 28 characters."""
    return str(HmacV1Auth(ReadOnlyCredentials("", secret, None)).sign_string(text))


def _lines(raw_query: bytes, headers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The headers that are signed, whether they came as headers or as parameters of the address."""
    lines = {name: ",".join(value.strip() for value in values) for name, values in headers.items() if _is_line(name)}
    for piece in filter(None, raw_query.split(b"&")):
        raw_name, _, raw_value = piece.partition(b"=")
        name = _text(raw_name).lower()
        if _is_line(name):
            value = _text(raw_value).strip()
            if lines.setdefault(name, value) != value:
                raise BadSignature("mismatch", f"{name} is one thing in the signed address and another in the headers")
    if any(set(value) & set("\r\n\0") for value in lines.values()):
        raise BadSignature("malformed", "a signed header holds a line break")
    return lines


def _parameters(raw_query: bytes) -> list[str]:
    """The parameters that are signed, decoded, in the order of their names."""
    signed: list[tuple[str, str]] = []
    for piece in filter(None, raw_query.split(b"&")):
        raw_name, equals, raw_value = piece.partition(b"=")
        name = _text(raw_name)
        if name in _SIGNED:
            signed.append((name, name + equals.decode() + _text(raw_value)))
        elif name not in _OPEN | _PROOF and not _is_line(name.lower()):
            raise BadSignature("unsigned", f"the parameter {name[:40]!r} is not signed by version 2; sign by version 4")
    return [text for _, text in sorted(signed, key=lambda pair: pair[0])]


def _is_line(name: str) -> bool:
    return name in ("content-md5", "content-type") or name.startswith("x-amz-")


def _text(encoded: bytes) -> str:
    try:
        return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadSignature("malformed", "the query is not UTF-8") from None

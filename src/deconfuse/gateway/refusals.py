"""Features of S3 that headers or bodies ask for and that are not built: refused with 501, never passed over.

A client that asks for encryption under its own key, for a public object, a lock or tags must not be told that all
went well. What is asked for and has no effect here is let through: encryption by the server with its own key, which
is for whoever runs the disk to decide, ACLs that give nobody else anything, switches that are off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deconfuse.errors import NotBuilt
from deconfuse.signing.checksums import S3_ALGORITHMS

_OTHER_CHECKSUMS = frozenset({"SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"})

_OFF = frozenset({"", "false", "off", "copy"})

_PREFIXES = (
    "x-amz-server-side-encryption-",
    "x-amz-copy-source-server-side-encryption-",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-bucket-object-lock-",
    "x-amz-tagging",
    "x-amz-object-annotation-",
    "x-amz-website-redirect-location",
    "x-amz-mfa",
    "x-amz-write-offset-bytes",
    "x-amz-if-match-",
)
"""Headers that ask for something that is not built, unless their value switches it off."""

_HARMLESS = {
    "x-amz-server-side-encryption": frozenset({"AES256"}),
    "x-amz-acl": frozenset({"private", "bucket-owner-full-control"}),
    "x-amz-object-ownership": frozenset({"BucketOwnerEnforced"}),
    "x-amz-bucket-namespace": frozenset({"global"}),
}
"""Headers of which these values alone ask for nothing that is not built."""

_ASLEEP = frozenset({"GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"})
"""Storage classes whose objects cannot be read at once, or are kept in other places than a bucket."""

_ALGORITHMS = ("x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm")
_CHECKSUM = "x-amz-checksum-"
_NO_ALGORITHM = frozenset({"mode", "type", "algorithm"})

_IN_BODIES: dict[str, tuple[str | None, frozenset[str]]] = {
    "CreateBucket": (None, frozenset({"Location", "Bucket", "Tags"})),
    "DeleteObjects": ("Objects", frozenset({"LastModifiedTime", "Size"})),
    "CompleteMultipartUpload": ("Parts", frozenset(f"Checksum{name}" for name in _OTHER_CHECKSUMS)),
}
"""What a body may not ask for: the list whose entries are meant (None: the body itself), and members of them."""


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what these headers (lower-case name to value) ask for and is not built.

    Raises:
        NotBuilt: one of them does.
    """
    for name, text in headers.items():
        value = text.strip()
        if name in _HARMLESS and value and value not in _HARMLESS[name]:
            raise _refusal(f"{name}: {value[:80]}")
        if name.startswith(_PREFIXES) and value.lower() not in _OFF:
            raise _refusal(name)
        if name == "x-amz-storage-class" and value in _ASLEEP:
            raise _refusal(f"{name}: {value}")
        if name in _ALGORITHMS and value.upper() in _OTHER_CHECKSUMS:
            raise _refusal(f"{name}: {value[:80]}")
        if name.startswith(_CHECKSUM) and name not in _ALGORITHMS:
            algorithm = name.removeprefix(_CHECKSUM)
            if algorithm not in _NO_ALGORITHM and algorithm.upper() not in S3_ALGORITHMS:
                raise _refusal(name)


def check_body(operation: str, body: Mapping[str, Any]) -> None:
    """Refuse what the body of an operation, as `restxml.parse` read it, asks for and is not built.

    Raises:
        NotBuilt: it asks for such a thing.
    """
    member, refused = _IN_BODIES.get(operation, (None, frozenset()))
    for entry in [body] if member is None else body.get(member, []):
        for name in sorted(refused & entry.keys()):
            raise _refusal(name)


def _refusal(what: str) -> NotBuilt:
    return NotBuilt("request", f"the request asks for functionality that is not implemented: {what}")

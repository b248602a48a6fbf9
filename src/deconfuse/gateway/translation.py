"""S3's parameters to the words of the store, and what the store says back to members of results.

What several operations have in common: conditions, headers that an object keeps, checksums that were promised, the
source of a copy, owners, ETags in their quotes. Names with capitals are those of S3's service model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from deconfuse.errors import Invalid, NotFound
from deconfuse.gateway.conditions import etags
from deconfuse.gateway.routing import copy_source
from deconfuse.service.house import House
from deconfuse.service.objects import HEADERS, STORAGE_CLASS, Conditions, check_client_bucket
from deconfuse.signing.checksums import HEADER, S3_ALGORITHMS, new_digest

Parameters = Mapping[str, Any]
"""Parameters of an operation by the names of the model."""

Result = dict[str, Any]
"""Members of an operation's output by the names of the model; None is left out."""

USUAL_CLASS = "STANDARD"
"""The storage class of objects for which none is kept."""

FIRST_REGION = "us-east-1"
"""The region that is told as no location constraint, and where making a bucket again is no error."""

MAX_LISTED = 1000
"""Entries of any listing."""

_KEPT = {name.replace("-", ""): name for name in HEADERS}


def bucket_of(p: Parameters) -> str:
    """The bucket that a request is about.

    Raises:
        NotFound: it is the service's own.
    """
    return check_client_bucket(p["Bucket"])


def check_version(version: str | None) -> None:
    """Do nothing: a version is asked that every object has.

    Raises:
        NotFound: another version than "null", of which there are none.
    """
    if version not in (None, "null"):
        raise NotFound("version", str(version))


def conditions_of(p: Parameters, prefix: str = "") -> Conditions:
    """The conditions of a request, or with the prefix "CopySource" those for the source of its copy."""
    matching, missing = p.get(f"{prefix}IfMatch"), p.get(f"{prefix}IfNoneMatch")
    return Conditions(
        if_match=None if matching is None else etags(matching),
        if_none_match=None if missing is None else etags(missing),
        if_modified_since=p.get(f"{prefix}IfModifiedSince"),
        if_unmodified_since=p.get(f"{prefix}IfUnmodifiedSince"),
    )


def source_of(p: Parameters) -> tuple[str, str]:
    """Bucket and key that a copy is made from.

    Raises:
        Invalid: the header x-amz-copy-source names none.
        NotFound: a version that there is not, or the service's own bucket.
    """
    bucket, key, version = copy_source(p["CopySource"])
    check_version(version)
    return check_client_bucket(bucket), key


def kept_headers(p: Parameters) -> dict[str, str]:
    """The headers that an object is to keep, by their names in HTTP; of storage classes, another than the usual."""
    kept = {name: p[member] for member, name in _KEPT.items() if p.get(member)}
    return {name: value for name, value in kept.items() if (name, value) != (STORAGE_CLASS, USUAL_CLASS)}


def class_of(headers: Mapping[str, str]) -> str:
    """The storage class that listings tell."""
    return headers.get(STORAGE_CLASS, USUAL_CLASS)


def header_members(headers: Mapping[str, str]) -> Result:
    """The same the other way round."""
    return {name.replace("-", ""): value for name, value in headers.items()}


def promised(p: Parameters, trailers: Mapping[str, str] | None = None) -> dict[str, str]:
    """The checksums that a client promised for content: by algorithm, in base64; MD5 for Content-MD5.

    Args:
        p: parameters; of a request without checksums too.
        trailers: what followed the body, by lower-case header name.

    Raises:
        Invalid: one that cannot be ("content-md5", "checksum"), several at once, or another than was announced.
    """
    found = {name: p[f"Checksum{name}"] for name in S3_ALGORITHMS if p.get(f"Checksum{name}")}
    found |= {name.removeprefix(HEADER).upper(): value for name, value in (trailers or {}).items()}
    if len(found) > 1:
        raise Invalid("checksum", "a single x-amz-checksum- header is expected")
    announced = p.get("ChecksumAlgorithm")
    if announced and found and announced not in found:
        raise Invalid("checksum", f"x-amz-sdk-checksum-algorithm is {announced}; the checksum is another")
    for algorithm, value in found.items():
        check_sum(algorithm, value)
    if "ContentMD5" in p:
        try:
            check_sum("MD5", p["ContentMD5"])
        except Invalid:
            raise Invalid("content-md5", "the Content-MD5 you specified is not valid") from None
        found["MD5"] = p["ContentMD5"]
    return found


def check_sum(algorithm: str, value: str) -> None:
    """Look at a checksum in base64.

    Raises:
        Invalid: it is none of this algorithm.
    """
    try:
        size = len(base64.b64decode(value.encode(), validate=True))
    except (binascii.Error, ValueError):
        size = -1
    if size != len(new_digest(algorithm).digest()):
        raise Invalid("checksum", f"the value of {HEADER}{algorithm.lower()} is not valid")


def checksum_members(checksums: Mapping[str, str]) -> Result:
    """Checksums by algorithm as members of a result; MD5 is not among them."""
    told: Result = {f"Checksum{name}": value for name, value in checksums.items() if name in S3_ALGORITHMS}
    if told:
        told["ChecksumType"] = "COMPOSITE" if any("-" in value for value in told.values()) else "FULL_OBJECT"
    return told


def quoted(etag: str) -> str:
    """An ETag as it travels."""
    return f'"{etag}"'


def owner(house: House) -> Result:
    """The one owner of everything: whoever runs this service."""
    return {"ID": hashlib.sha256(f"deconfuse/{house.account}".encode()).hexdigest(), "DisplayName": "deconfuse"}


def names(entries: Iterable[str]) -> list[Result]:
    """Common prefixes as members of a result."""
    return [{"Prefix": entry} for entry in entries]

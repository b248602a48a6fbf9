"""The operations of S3 that are built: each one function from parameters to one call of the service and back.

    OPERATIONS["HeadObject"](house, parameters) -> members of the result
    OPERATIONS["GetObject"](house, parameters)  -> `Reading`: the same, with content to be streamed
    TAKINGS["PutObject"]                        -> `Taking`: what to ask before content comes, and what to do with it

Names with capitals are those of S3's model, here and in `buckets` and `uploads`; nowhere else beyond this room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from deconfuse.errors import DeconfuseError, Invalid, NotFound, Unmet
from deconfuse.gateway import buckets as on_buckets
from deconfuse.gateway import uploads as on_uploads
from deconfuse.gateway.conditions import byte_range, etags
from deconfuse.gateway.faults import code
from deconfuse.gateway.routing import BUILT
from deconfuse.gateway.translation import (
    Parameters,
    Result,
    bucket_of,
    check_version,
    checksum_members,
    conditions_of,
    header_members,
    kept_headers,
    quoted,
    source_of,
)
from deconfuse.gateway.values import write_rfc_time
from deconfuse.service.house import House
from deconfuse.service.objects import (
    MAX_KEY_BYTES,
    STORAGE_CLASS,
    Conditions,
    Content,
    Draft,
    Span,
    Stored,
    buckets,
    check_may_be_kept,
    part_span,
)
from deconfuse.signing.checksums import S3_ALGORITHMS

DEFAULT_TYPE = "binary/octet-stream"
"""The Content-Type of an object that was given none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A result with content, which whoever takes it closes.

    Attributes:
        result: the members of the output, without the content.
        content: the bytes that follow.
    """

    result: Result
    content: Content


@dataclass(frozen=True, slots=True)
class Taking:
    """How an operation takes content in.

    Attributes:
        prepare: looks, before the content comes, whether it may: the algorithm by which it is to be summed besides
            those that the client promised, or None.
        keep: does with the draft, which holds the content, and the checksums that it must have what is asked.
    """

    prepare: Callable[[House, Parameters], str | None]
    keep: Callable[[House, Parameters, Draft, Mapping[str, str]], Result]


def _head_object(house: House, p: Parameters) -> Result:
    """What is known of an object, or of the part of it that is asked for."""
    check_version(p.get("VersionId"))
    stored = buckets(house).head(bucket_of(p), p["Key"], conditions=conditions_of(p))
    span = _span(stored, p)
    start, length = (0, stored.size_bytes) if span is None else span.within(stored.size_bytes)
    return _read_result(stored, p, start, length, is_whole=span is None)


def _get_object(house: House, p: Parameters) -> Reading:
    """An object, or the part of it that is asked for."""
    check_version(p.get("VersionId"))
    found, bucket, key, conditions = buckets(house), bucket_of(p), p["Key"], conditions_of(p)
    if not {"Range", "PartNumber"} & p.keys():
        content = found.get(bucket, key, conditions=conditions)
        return Reading(_read_result(content.stored, p, 0, content.length, is_whole=True), content)
    while True:
        stored = found.head(bucket, key, conditions=conditions)
        span = _span(stored, p)
        try:
            content = found.get(bucket, key, span=span, conditions=Conditions(if_match=(stored.etag,)))
        except Unmet:  # replaced since it was looked at
            continue
        result = _read_result(content.stored, p, content.start, content.length, is_whole=span is None)
        return Reading(result, content)


def _span(stored: Stored, p: Parameters) -> Span | None:
    """The bytes of `stored` that are asked for; None for all.

    Raises:
        Invalid: a part that there is not, or a part and a range at once.
    """
    if "PartNumber" in p:
        if "Range" in p:
            raise Invalid("request", "a range and a part number cannot be asked for at once")
        whole = Span(0, stored.size_bytes - 1) if stored.size_bytes else None
        return part_span(stored, p["PartNumber"]) or whole
    if "Range" not in p or ("IfRange" in p and stored.etag not in etags(p["IfRange"])):
        return None
    wanted = byte_range(p["Range"])
    return None if wanted is None else Span(*wanted)


def _read_result(stored: Stored, p: Parameters, start: int, length: int, *, is_whole: bool) -> Result:
    """Everything that is said of content; "ContentLength" is that of what is given."""
    end = start + length - 1
    result: Result = {
        "AcceptRanges": "bytes",
        "ContentLength": length,
        "ContentRange": None if is_whole else f"bytes {start}-{end}/{stored.size_bytes}",
        "ContentType": DEFAULT_TYPE,
        "ETag": quoted(stored.etag),
        "LastModified": stored.modified,
        "Metadata": stored.metadata,
        "PartsCount": len(stored.part_sizes) or None if "PartNumber" in p else None,
        **header_members(stored.headers),
    }
    for name, value in p.items():
        if name.startswith("Response"):
            result[name.removeprefix("Response")] = write_rfc_time(value) if isinstance(value, datetime) else value
    if is_whole and p.get("ChecksumMode") == "ENABLED":
        result |= checksum_members(stored.checksums)
    return result


def _prepare_object(house: House, p: Parameters) -> str | None:
    check_may_be_kept(house, bucket_of(p), p["Key"], headers=kept_headers(p), metadata=p.get("Metadata", {}))
    algorithm: str | None = p.get("ChecksumAlgorithm")
    return algorithm


def _put_object(house: House, p: Parameters, draft: Draft, expected: Mapping[str, str]) -> Result:
    """Make what arrived the object, if it is what the client promised."""
    wanted = {*expected, p.get("ChecksumAlgorithm")}
    stored = buckets(house).put_draft(
        draft,
        bucket_of(p),
        p["Key"],
        headers=kept_headers(p),
        metadata=p.get("Metadata", {}),
        conditions=conditions_of(p),
        expected=expected,
        kept=[algorithm for algorithm in S3_ALGORITHMS if algorithm in wanted],
    )
    return {"ETag": quoted(stored.etag), **checksum_members(stored.checksums)}


def _copy_object(house: House, p: Parameters) -> Result:
    """A copy of an object."""
    found, source, bucket = buckets(house), source_of(p), bucket_of(p)
    headers: Mapping[str, str] | None = None
    metadata: Mapping[str, str] | None = None
    if p.get("MetadataDirective") == "REPLACE":
        headers, metadata = kept_headers(p), p.get("Metadata", {})
    elif "StorageClass" in p or (source == (bucket, p["Key"]) and "ServerSideEncryption" in p):
        # Onto itself this is a change that S3 allows, though nothing else changes.
        headers = {name: value for name, value in found.head(*source).headers.items() if name != STORAGE_CLASS}
        headers |= kept_headers({"StorageClass": p.get("StorageClass")})
    stored = found.copy(
        source,
        bucket,
        p["Key"],
        headers=headers,
        metadata=metadata,
        conditions=conditions_of(p),
        source_conditions=conditions_of(p, "CopySource"),
        algorithm=p.get("ChecksumAlgorithm"),
    )
    sums = checksum_members(stored.checksums)
    return {"CopyObjectResult": {"ETag": quoted(stored.etag), "LastModified": stored.modified, **sums}}


def _delete_object(house: House, p: Parameters) -> Result:
    """Remove an object; one that is not there is no error."""
    check_version(p.get("VersionId"))
    buckets(house).delete(bucket_of(p), p["Key"], conditions=conditions_of(p))
    return {"VersionId": p.get("VersionId")}


def _delete_objects(house: House, p: Parameters) -> Result:
    """Remove up to 1,000 objects; what cannot be removed is told one by one."""
    found, bucket = buckets(house), bucket_of(p)
    deleted: list[Result] = []
    errors: list[Result] = []
    plain: list[str] = []
    for entry in p["Delete"]["Objects"]:
        key, version = entry["Key"], entry.get("VersionId")
        named = {"Key": key} if version is None else {"Key": key, "VersionId": version}
        try:
            check_version(version)
            if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
                raise Invalid("key", f"a key has 1 to {MAX_KEY_BYTES:,} bytes")
            if "ETag" in entry:
                found.delete(bucket, key, conditions=Conditions(if_match=etags(entry["ETag"])))
            else:
                plain.append(key)
        except (Invalid, NotFound, Unmet) as error:
            if isinstance(error, NotFound) and error.kind == "bucket":
                raise
            errors.append(named | _told(error))
        else:
            deleted.append(named)
    found.delete_many(bucket, plain)
    return {"Deleted": [] if p["Delete"].get("Quiet") else deleted, "Errors": errors}


def _told(error: DeconfuseError) -> Result:
    return {"Code": code(error)[1], "Message": error.why if isinstance(error, Invalid) else str(error)}


def _get_object_acl(house: House, p: Parameters) -> Result:
    """The owner alone, with every right."""
    check_version(p.get("VersionId"))
    buckets(house).head(bucket_of(p), p["Key"])
    return on_buckets.owner_alone(house)


OPERATIONS: Mapping[str, Callable[[House, Parameters], Result | Reading]] = MappingProxyType(
    {
        "ListBuckets": on_buckets.list_buckets,
        "CreateBucket": on_buckets.create_bucket,
        "HeadBucket": on_buckets.head_bucket,
        "DeleteBucket": on_buckets.delete_bucket,
        "GetBucketLocation": on_buckets.get_bucket_location,
        "GetBucketVersioning": on_buckets.get_bucket_versioning,
        "GetBucketAcl": on_buckets.get_bucket_acl,
        "DeletePublicAccessBlock": on_buckets.delete_public_access_block,
        "ListObjects": on_buckets.list_objects,
        "ListObjectsV2": on_buckets.list_objects_v2,
        "ListObjectVersions": on_buckets.list_object_versions,
        "GetObject": _get_object,
        "HeadObject": _head_object,
        "DeleteObject": _delete_object,
        "DeleteObjects": _delete_objects,
        "CopyObject": _copy_object,
        "GetObjectAcl": _get_object_acl,
        "CreateMultipartUpload": on_uploads.create_multipart_upload,
        "UploadPartCopy": on_uploads.upload_part_copy,
        "CompleteMultipartUpload": on_uploads.complete_multipart_upload,
        "AbortMultipartUpload": on_uploads.abort_multipart_upload,
        "ListParts": on_uploads.list_parts,
        "ListMultipartUploads": on_uploads.list_multipart_uploads,
    }
)
"""What does each operation that has its parameters whole."""

TAKINGS: Mapping[str, Taking] = MappingProxyType(
    {
        "PutObject": Taking(_prepare_object, _put_object),
        "UploadPart": Taking(on_uploads.prepare_part, on_uploads.put_part),
    }
)
"""What does each operation whose content streams in."""

READS = frozenset(name for name in BUILT if name.startswith(("Get", "Head", "List")))
"""What a read-only key may do."""

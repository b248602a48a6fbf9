"""Operations of S3 on objects that arrive in parts.

Each takes the house and the parameters by the names of S3's model, and gives the members of the result. The content of
a part is taken in by `arrival`; `put_part` is what happens to it then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from deconfuse.errors import Invalid
from deconfuse.gateway.conditions import copied_range
from deconfuse.gateway.translation import (
    MAX_LISTED,
    Parameters,
    Result,
    bucket_of,
    check_sum,
    checksum_members,
    class_of,
    conditions_of,
    kept_headers,
    names,
    owner,
    quoted,
    source_of,
)
from deconfuse.service.house import House
from deconfuse.service.objects import Draft, Named, Part, Span, Upload, Uploads, uploads
from deconfuse.signing.checksums import S3_ALGORITHMS

_ALWAYS_WHOLE = "CRC64NVME"
"""The algorithm of which S3 knows no checksum of checksums."""


def create_multipart_upload(house: House, p: Parameters) -> Result:
    """Begin an upload."""
    algorithm = p.get("ChecksumAlgorithm")
    kind = p.get("ChecksumType")
    if kind and not algorithm:
        raise Invalid("checksum", "x-amz-checksum-type needs x-amz-checksum-algorithm")
    if algorithm == _ALWAYS_WHOLE and kind == "COMPOSITE":
        raise Invalid("checksum", f"the checksum type COMPOSITE cannot be used with {algorithm}")
    upload = uploads(house).create(
        bucket_of(p),
        p["Key"],
        headers=kept_headers(p),
        metadata=p.get("Metadata", {}),
        algorithm=algorithm,
        is_composite=(kind or ("FULL_OBJECT" if algorithm == _ALWAYS_WHOLE else "COMPOSITE")) == "COMPOSITE",
    )
    return {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.id, **_checksum_terms(upload)}


def prepare_part(house: House, p: Parameters) -> str | None:
    """Whether a part may come now, before its content does: the algorithm by which it is to be summed, or None."""
    return uploads(house).find(bucket_of(p), p["Key"], p["UploadId"]).algorithm


def put_part(house: House, p: Parameters, draft: Draft, expected: Mapping[str, str]) -> Result:
    """Make what arrived a part, if it is what the client promised."""
    part = uploads(house).put_part(draft, bucket_of(p), p["Key"], p["UploadId"], p["PartNumber"], expected=expected)
    told = {name: value for name, value in expected.items() if name in S3_ALGORITHMS} | dict(part.checksums)
    return {"ETag": quoted(part.etag), **_sums(told)}


def upload_part_copy(house: House, p: Parameters) -> Result:
    """Make bytes of an object a part."""
    span = Span(*copied_range(p["CopySourceRange"])) if "CopySourceRange" in p else None
    part = uploads(house).copy_part(
        source_of(p),
        bucket_of(p),
        p["Key"],
        p["UploadId"],
        p["PartNumber"],
        span=span,
        source_conditions=conditions_of(p, "CopySource"),
    )
    return {
        "CopyPartResult": {"ETag": quoted(part.etag), "LastModified": part.modified, **_sums(part.checksums)},
    }


def complete_multipart_upload(house: House, p: Parameters) -> Result:
    """Make the parts that are named the object."""
    found, bucket = uploads(house), bucket_of(p)
    expected = {name: p[f"Checksum{name}"] for name in S3_ALGORITHMS if p.get(f"Checksum{name}")}
    for algorithm, value in expected.items():
        check_sum(algorithm, value.partition("-")[0])
    stored = found.complete(
        bucket,
        p["Key"],
        p["UploadId"],
        [_named(part) for part in p.get("MultipartUpload", {}).get("Parts", ())],
        conditions=conditions_of(p),
        expected=expected,
        size_bytes=p.get("MpuObjectSize"),
    )
    return {
        "Bucket": bucket,
        "Key": stored.key,
        "Location": f"/{bucket}/{quote(stored.key)}",
        "ETag": quoted(stored.etag),
        **checksum_members(stored.checksums),
    }


def abort_multipart_upload(house: House, p: Parameters) -> Result:
    """Give an upload up."""
    uploads(house).abort(bucket_of(p), p["Key"], p["UploadId"])
    return {}


def list_parts(house: House, p: Parameters) -> Result:
    """A page of the parts that came."""
    found, bucket = uploads(house), bucket_of(p)
    limit = min(p.get("MaxParts", MAX_LISTED), MAX_LISTED)
    after = p.get("PartNumberMarker", 0)
    upload = found.find(bucket, p["Key"], p["UploadId"])
    parts, has_more = found.list_parts(bucket, p["Key"], upload.id, after=after, limit=limit)
    return {
        "Bucket": bucket,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": after,
        "NextPartNumberMarker": parts[-1].number if parts else after,
        "MaxParts": limit,
        "IsTruncated": has_more and limit > 0,
        "Parts": [_part(part) for part in parts],
        "Initiator": owner(house),
        "Owner": owner(house),
        "StorageClass": class_of(upload.headers),
        **_checksum_terms(upload),
    }


def list_multipart_uploads(house: House, p: Parameters) -> Result:
    """A page of the uploads under way in a bucket."""
    bucket, prefix, delimiter = bucket_of(p), p.get("Prefix", ""), p.get("Delimiter", "")
    marker = p.get("KeyMarker", "")
    version = p.get("UploadIdMarker", "") if marker else ""
    limit = min(p.get("MaxUploads", MAX_LISTED), MAX_LISTED)
    shown: list[Upload] = []
    prefixes: list[str] = []
    last, has_more = (marker, version), False
    for upload in _under_way(uploads(house), bucket, prefix, after=last):
        cut = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        common = upload.key[: cut + len(delimiter)] if cut >= 0 else None
        if common is not None and (common in prefixes or common.encode() <= marker.encode()):
            continue
        if len(shown) + len(prefixes) == limit:
            has_more = limit > 0
            break
        if common is None:
            shown.append(upload)
            last = (upload.key, upload.id)
        else:
            prefixes.append(common)
            last = (common, "")
    return {
        "Bucket": bucket,
        "KeyMarker": marker,
        "UploadIdMarker": version,
        "NextKeyMarker": last[0] if has_more else None,
        "NextUploadIdMarker": last[1] if has_more else None,
        "Prefix": prefix,
        "Delimiter": delimiter or None,
        "EncodingType": p.get("EncodingType"),
        "MaxUploads": limit,
        "IsTruncated": has_more,
        "Uploads": [_upload(house, upload) for upload in shown],
        "CommonPrefixes": names(prefixes),
    }


def _under_way(found: Uploads, bucket: str, prefix: str, *, after: tuple[str, str]) -> Iterator[Upload]:
    """Every upload after a place, by key and id."""
    while True:
        page, has_more = found.list_uploads(bucket, prefix=prefix, after=after)
        yield from page
        if not has_more:
            return
        after = (page[-1].key, page[-1].id)


def _upload(house: House, upload: Upload) -> Result:
    return {
        "Key": upload.key,
        "UploadId": upload.id,
        "Initiated": upload.created,
        "StorageClass": class_of(upload.headers),
        "Owner": owner(house),
        "Initiator": owner(house),
        **_checksum_terms(upload),
    }


def _checksum_terms(upload: Upload) -> Result:
    if upload.algorithm is None:
        return {}
    kind = "COMPOSITE" if upload.is_composite else "FULL_OBJECT"
    return {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": kind}


def _part(part: Part) -> Result:
    return {
        "PartNumber": part.number,
        "LastModified": part.modified,
        "ETag": quoted(part.etag),
        "Size": part.size_bytes,
        **_sums(part.checksums),
    }


def _sums(checksums: Mapping[str, str]) -> Result:
    return {f"Checksum{name}": value for name, value in checksums.items()}


def _named(part: Parameters) -> Named:
    if "PartNumber" not in part:
        raise Invalid("body", "the XML you provided was not well-formed or did not validate: a part has no number")
    sums = {name: part[f"Checksum{name}"] for name in S3_ALGORITHMS if part.get(f"Checksum{name}")}
    return Named(part["PartNumber"], part.get("ETag", "").strip('"'), sums)

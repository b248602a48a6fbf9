"""Operations of S3 on buckets: what there is, what is in them.

Each takes the house and the parameters by the names of S3's model, and gives the members of the result.
"""

from __future__ import annotations

import base64
import binascii
import re

from deconfuse.errors import AlreadyExists, BadToken, Invalid
from deconfuse.gateway.routing import MAX_BUCKETS_LISTED
from deconfuse.gateway.translation import (
    FIRST_REGION,
    MAX_LISTED,
    Parameters,
    Result,
    bucket_of,
    class_of,
    names,
    owner,
    quoted,
)
from deconfuse.service.house import House
from deconfuse.service.objects import Page, Stored, buckets

_LOCATION = re.compile(r"[A-Za-z0-9-]{1,64}")


def list_buckets(house: House, p: Parameters) -> Result:
    """Every bucket, by name; of another region than the one asked for, none."""
    limit = p.get("MaxBuckets", MAX_BUCKETS_LISTED)
    after = _from_token(p.get("ContinuationToken"))
    found = buckets(house).buckets(prefix=p.get("Prefix", ""), after=after, limit=limit + 1)
    shown = [
        {"Name": bucket.name, "CreationDate": bucket.created, "BucketRegion": house.region}
        for bucket in found[:limit]
        if p.get("BucketRegion", house.region) == house.region
    ]
    token = _to_token(found[limit - 1].name) if len(found) > limit else None
    return {"Buckets": shown, "Owner": owner(house), "ContinuationToken": token, "Prefix": p.get("Prefix")}


def create_bucket(house: House, p: Parameters) -> Result:
    """A new bucket; in the first region one that is there already is no error, as at AWS."""
    location = p.get("CreateBucketConfiguration", {}).get("LocationConstraint", "")
    if location and not _LOCATION.fullmatch(location):
        raise Invalid("location constraint", f"{location[:80]!r} cannot be the name of a region")
    try:
        buckets(house).create_bucket(p["Bucket"], location=location)
    except AlreadyExists:
        if location or house.region != FIRST_REGION:
            raise
    return {"Location": f"/{p['Bucket']}"}


def head_bucket(house: House, p: Parameters) -> Result:
    """Whether it is there, and the region to sign for."""
    buckets(house).bucket(bucket_of(p))
    return {"BucketRegion": house.region}


def delete_bucket(house: House, p: Parameters) -> Result:
    """Remove an empty bucket."""
    buckets(house).delete_bucket(bucket_of(p))
    return {}


def get_bucket_location(house: House, p: Parameters) -> Result:
    """The region to sign for, whatever constraint the bucket was made with; the first one is spelled as nothing."""
    buckets(house).bucket(bucket_of(p))
    return {"LocationConstraint": "" if house.region == FIRST_REGION else house.region}


def get_bucket_versioning(house: House, p: Parameters) -> Result:
    """Never was on: the answer is empty."""
    buckets(house).bucket(bucket_of(p))
    return {}


def get_bucket_acl(house: House, p: Parameters) -> Result:
    """The owner alone, with every right."""
    buckets(house).bucket(bucket_of(p))
    return owner_alone(house)


def delete_public_access_block(house: House, p: Parameters) -> Result:
    """There is none, and nothing is public: nothing happens."""
    buckets(house).bucket(bucket_of(p))
    return {}


def owner_alone(house: House) -> Result:
    """An access control list that gives the owner everything and nobody else anything."""
    grantee = owner(house) | {"Type": "CanonicalUser"}
    return {"Owner": owner(house), "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]}


def list_objects(house: House, p: Parameters) -> Result:
    """A page of keys, the first form: it goes on after a key."""
    marker = p.get("Marker", "")
    page, result = _page(house, p, after=marker)
    result["Contents"] = [_entry(stored) | {"Owner": owner(house)} for stored in page.objects]
    result["Marker"] = marker
    if p.get("Delimiter"):
        result["NextMarker"] = page.next_after
    return result


def list_objects_v2(house: House, p: Parameters) -> Result:
    """A page of keys, the second form: it goes on by a token."""
    token = p.get("ContinuationToken")
    page, result = _page(house, p, after=p.get("StartAfter", "") if token is None else _from_token(token))
    more = {"Owner": owner(house)} if p.get("FetchOwner") else {}
    result["Contents"] = [_entry(stored) | more for stored in page.objects]
    result["KeyCount"] = len(page.objects) + len(page.prefixes)
    result["ContinuationToken"] = token
    result["NextContinuationToken"] = None if page.next_after is None else _to_token(page.next_after)
    result["StartAfter"] = p.get("StartAfter") or None
    return result


def list_object_versions(house: House, p: Parameters) -> Result:
    """A page of keys, each with its one version, which is called null as where versioning never was on."""
    marker, version = p.get("KeyMarker", ""), p.get("VersionIdMarker")
    if version and not marker:
        raise Invalid("version-id-marker", "a version-id marker cannot be specified without a key marker")
    page, result = _page(house, p, after=marker)
    facts = {"VersionId": "null", "IsLatest": True, "Owner": owner(house)}
    result["Versions"] = [_entry(stored) | facts for stored in page.objects]
    result["KeyMarker"] = marker
    result["VersionIdMarker"] = version or ""
    result["NextKeyMarker"] = page.next_after
    result["NextVersionIdMarker"] = "null" if page.next_after is not None else None
    return result


def _page(house: House, p: Parameters, *, after: str) -> tuple[Page, Result]:
    """A page of keys, and what every form of listing says of it."""
    limit = min(p.get("MaxKeys", MAX_LISTED), MAX_LISTED)
    prefix, delimiter = p.get("Prefix", ""), p.get("Delimiter", "")
    page = buckets(house).list_objects(bucket_of(p), prefix=prefix, delimiter=delimiter, after=after, limit=limit)
    return page, {
        "Name": p["Bucket"],
        "Prefix": prefix,
        "Delimiter": delimiter or None,
        "MaxKeys": limit,
        "EncodingType": p.get("EncodingType"),
        "IsTruncated": page.next_after is not None,
        "CommonPrefixes": names(page.prefixes),
    }


def _entry(stored: Stored) -> Result:
    return {
        "Key": stored.key,
        "LastModified": stored.modified,
        "ETag": quoted(stored.etag),
        "Size": stored.size_bytes,
        "StorageClass": class_of(stored.headers),
    }


def _to_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def _from_token(token: str | None) -> str:
    """What a listing goes on after.

    Raises:
        BadToken: no listing gave this token.
    """
    if token is None:
        return ""
    try:
        after = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        after = ""
    if not after:
        raise BadToken("continuation-token", "the continuation token provided is incorrect")
    return after

"""Buckets and objects, and who may touch them.

Use cases read and write what a request names through `client_objects`, in which the service's own bucket does not
exist: a manifest, an image or an output folder there would let a request read or overwrite the models of others. In
somebody else's S3 that bucket is a real place, s3://bucket/prefix, which does not exist under that name either.

A door that serves buckets itself gets the store from `buckets` and `uploads`. It asks `check_client_bucket` for every
bucket that a request names, the source of a copy among them, and `Caller.check_may_write` before anything that
changes something; a linked bucket refuses to be written by itself. The words that such a door speaks with the store
are all here, for a door knows no room below this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deconfuse.errors import NotBuilt, NotFound
from deconfuse.names import ObjectAddress
from deconfuse.service.house import House
from deconfuse.store.blobs import Draft
from deconfuse.store.local import LocalObjects, writable
from deconfuse.store.multipart import MAX_PARTS, Named, Part, Upload, Uploads
from deconfuse.store.objects import (
    ALWAYS,
    CHUNK_BYTES,
    HEADERS,
    MAX_KEY_BYTES,
    MAX_PAGE,
    OWN_BUCKET,
    STORAGE_CLASS,
    Bucket,
    Conditions,
    Content,
    Objects,
    Page,
    Span,
    Stored,
    check_kept,
    encode_key,
    part_span,
)

__all__ = [
    "ALWAYS",
    "CHUNK_BYTES",
    "HEADERS",
    "MAX_KEY_BYTES",
    "MAX_PAGE",
    "MAX_PARTS",
    "STORAGE_CLASS",
    "Bucket",
    "ClientObjects",
    "Conditions",
    "Content",
    "Draft",
    "LocalObjects",
    "Named",
    "Objects",
    "Page",
    "Part",
    "Span",
    "Stored",
    "Upload",
    "Uploads",
    "buckets",
    "check_client_bucket",
    "check_may_be_kept",
    "check_version",
    "client_objects",
    "part_span",
    "uploads",
]


def check_client_bucket(name: str) -> str:
    """`name`, if it is not the service's own bucket.

    Raises:
        NotFound: it is; for a client there is no such bucket.
    """
    if name == OWN_BUCKET:
        raise NotFound("bucket", name)
    return name


def check_version(address: ObjectAddress) -> None:
    """Do nothing: the present version of an object is meant.

    Raises:
        NotFound: another one is asked for (kind "object").
    """
    if address.version not in (None, "", "null"):  # "null" is what S3 calls the only version of an object
        raise NotFound("object", f"{address}, version {address.version}", "Only the present version is kept")


def buckets(house: House) -> LocalObjects:
    """The buckets that are ours to serve.

    Raises:
        NotBuilt: the store is somebody else's S3, which clients talk to directly.
    """
    if house.local is None:
        raise NotBuilt("store", "objects are kept in another S3 here; talk to that directly")
    return house.local


def check_may_be_kept(
    house: House, bucket: str, key: str, *, headers: Mapping[str, str] = {}, metadata: Mapping[str, str] = {}
) -> None:
    """Look, before the bytes of an object come, whether it could be kept; putting it looks again.

    Raises:
        NotFound: there is no such bucket.
        Denied: it shows a folder and is read-only.
        Invalid: a key or metadata that cannot be.
    """
    writable(buckets(house).bucket(check_client_bucket(bucket)))
    encode_key(key)
    check_kept(headers, metadata)


def uploads(house: House) -> Uploads:
    """Uploads in parts into the buckets that are ours to serve; NotBuilt as `buckets`."""
    return Uploads(buckets(house))


def client_objects(house: House) -> Objects:
    """Every object that a request may name."""
    return ClientObjects(house.objects, house.own_place)


@dataclass(frozen=True, slots=True)
class ClientObjects:
    """A store without the service's own bucket; everything else is as `Objects` says.

    Attributes:
        objects: the store.
        own_place: as `House` says: where the service's own bucket lies in it under another name.
    """

    objects: Objects
    own_place: ObjectAddress | None = None

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes | Iterable[bytes],
        *,
        headers: Mapping[str, str] = {},
        metadata: Mapping[str, str] = {},
        conditions: Conditions = ALWAYS,
    ) -> Stored:
        """See `Objects.put`."""
        self._check(bucket, key)
        return self.objects.put(bucket, key, data, headers=headers, metadata=metadata, conditions=conditions)

    def head(self, bucket: str, key: str, *, conditions: Conditions = ALWAYS) -> Stored:
        """See `Objects.head`."""
        self._check(bucket, key)
        return self.objects.head(bucket, key, conditions=conditions)

    def get(self, bucket: str, key: str, *, span: Span | None = None, conditions: Conditions = ALWAYS) -> Content:
        """See `Objects.get`."""
        self._check(bucket, key)
        return self.objects.get(bucket, key, span=span, conditions=conditions)

    def delete(self, bucket: str, key: str) -> None:
        """See `Objects.delete`."""
        self._check(bucket, key)
        self.objects.delete(bucket, key)

    def list_objects(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int = MAX_PAGE
    ) -> Page:
        """See `Objects.list_objects`; a page may be shorter than `limit` though more follow."""
        self._check(bucket, "")
        page = self.objects.list_objects(bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        objects = tuple(stored for stored in page.objects if not self._is_own(bucket, stored.key))
        prefixes = tuple(prefix for prefix in page.prefixes if not self._is_own(bucket, prefix))
        return replace(page, objects=objects, prefixes=prefixes)

    def _check(self, bucket: str, key: str) -> None:
        check_client_bucket(bucket)
        if self._is_own(bucket, key):
            raise NotFound("bucket", str(self.own_place), "That place is the service's own")

    def _is_own(self, bucket: str, key: str) -> bool:
        place = self.own_place
        if place is None or bucket.lower() != place.bucket.lower():  # as part of a host name they are the same
            return False
        return not place.key or f"{key}/".startswith(f"{place.key}/")

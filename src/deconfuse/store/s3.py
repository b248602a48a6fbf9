"""Any S3 as a store: what the service puts and gets goes straight to it, and so does what clients put and get.

Each bucket is a bucket there; `OWN_BUCKET` is the place that the setting names, s3://bucket/prefix. Nothing is read
from the environment: the client's AWS_… variables are not ours.

Limits of the library: keys are paths, so one with an empty step, "." or ".." or a control character is refused, and a
bucket that holds such keys cannot be listed around them; a put under a condition is held in memory whole, and its
condition is `if_none_match` "*" or `if_match` one ETag; the header Expires cannot be kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, takewhile
from typing import Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, S3Store

from deconfuse.errors import DeconfuseError, Denied, Invalid, NotBuilt, NotFound, Unavailable, Unmet
from deconfuse.store.listing import Wanted, page_of_objects
from deconfuse.store.objects import (
    ALWAYS,
    CHUNK_BYTES,
    HEADERS,
    MAX_PAGE,
    OWN_BUCKET,
    Conditions,
    Content,
    Page,
    Span,
    Stored,
    check_kept,
    chunks_of,
    encode_key,
)

Connect = Callable[[str], ObjectStore]
"""Gives the store behind a bucket, and again when it was let go of; NotFound where there is none, if it can tell."""

PART_BYTES = 8 << 20
"""A put of more is sent in parts of this size."""

MOST_STORES = 100
"""Stores behind buckets that are kept; each holds connections."""

_LAST_CHARACTER = "\U0010ffff"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where an S3 is and who we are there.

    Attributes:
        bucket: the bucket in which the service keeps its own objects.
        prefix: what their keys begin with there, without a slash at its end; may be empty.
        region: the region to sign for.
        key_id: the access key id.
        secret: its secret.
        endpoint: the address of the service, as "https://s3.example.org:9000"; None is AWS in the region.
        is_virtual_host: whether the bucket is part of the host name; otherwise it is part of the path.
    """

    bucket: str
    prefix: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    endpoint: str | None = None
    is_virtual_host: bool = False


class S3Objects:
    """The objects of an S3."""

    def __init__(self, connect: Connect) -> None:
        """`connect` gives the store behind a bucket, as `connect_s3` does."""
        self._connect = connect
        self._stores: dict[str, ObjectStore] = {}

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
        _check_path(key)
        check_kept(headers, metadata)
        if "Expires" in headers:
            raise NotBuilt("header", "Expires cannot be kept in an S3")
        attributes: dict[str, str] = {**headers, **metadata}
        store = self._store(bucket)
        with _translated(bucket, key):
            if conditions == ALWAYS:
                _send(store, key, chunks_of(data), attributes)
            else:
                self._put_if(store, key, b"".join(chunks_of(data)), attributes, conditions)
            return self.head(bucket, key)

    def head(self, bucket: str, key: str, *, conditions: Conditions = ALWAYS) -> Stored:
        """See `Objects.head`."""
        _check_path(key)
        with _translated(bucket, key):
            stored = _stored(bucket, key, obstore.get(self._store(bucket), key, options={"head": True}))
        conditions.check_read(stored)
        return stored

    def get(self, bucket: str, key: str, *, span: Span | None = None, conditions: Conditions = ALWAYS) -> Content:
        """See `Objects.get`."""
        _check_path(key)
        if span is not None and span.first is None and not span.last:  # stores differ on the last no bytes
            span.within(self.head(bucket, key).size_bytes)
        try:
            with _translated(bucket, key):
                result = obstore.get(self._store(bucket), key, options=_range(span))
        except Unavailable:
            if span is not None:  # stores tell of a range that is not there in words of their own
                span.within(self.head(bucket, key).size_bytes)
            raise
        stored = _stored(bucket, key, result)
        conditions.check_read(stored)
        start, end = result.range
        with _translated(bucket, key):
            return _content(stored, start, end - start, iter(result.stream(min_chunk_size=CHUNK_BYTES)))

    def delete(self, bucket: str, key: str) -> None:
        """See `Objects.delete`."""
        _check_path(key)
        try:
            with _translated(bucket, key):
                obstore.delete(self._store(bucket), key)
        except NotFound as error:
            if error.kind != "key":
                raise

    def list_objects(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int = MAX_PAGE
    ) -> Page:
        """See `Objects.list_objects`."""
        wanted = Wanted.of(prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        store = self._store(bucket)

        def seek(low: bytes, n: int) -> list[tuple[bytes, Stored]]:
            with _translated(bucket, prefix):
                return _after(store, bucket, prefix, low, n)

        return page_of_objects(seek, wanted)

    def _store(self, bucket: str) -> ObjectStore:
        store = self._stores.get(bucket)
        if store is None:
            store = self._connect(bucket)
            if len(self._stores) >= MOST_STORES:
                self._stores.clear()  # requests name buckets, and there may be any number of names
            self._stores[bucket] = store
        return store

    def _put_if(
        self, store: ObjectStore, key: str, data: bytes, attributes: dict[str, str], conditions: Conditions
    ) -> None:
        if conditions == Conditions(if_none_match=("*",)):
            mode: Any = "create"
        elif conditions.if_match and conditions == Conditions(if_match=conditions.if_match[:1]):
            mode = {"e_tag": f'"{conditions.if_match[0]}"'}
        else:
            raise NotBuilt("condition", 'a put to an S3 knows If-None-Match "*" and If-Match with one ETag')
        try:
            obstore.put(store, key, data, attributes=attributes, mode=mode, use_multipart=False)
        except AlreadyExistsError:
            raise Unmet("If-None-Match") from None
        except PreconditionError:
            if mode == "create":
                raise Unmet("If-None-Match") from None
            obstore.head(store, key)  # tells "not there" from "another one"
            raise Unmet("If-Match") from None


def connect_s3(address: S3Address, *, retry_seconds: float = 30) -> Connect:
    """How to reach the buckets of an S3; a request that fails is repeated for up to `retry_seconds`."""
    endpoint = address.endpoint or f"https://s3.{address.region}.amazonaws.com"
    credentials: Any = {
        "access_key_id": address.key_id,
        "secret_access_key": address.secret,
        "token": None,
        "expires_at": None,
    }

    def connect(bucket: str) -> ObjectStore:
        own = bucket == OWN_BUCKET
        return S3Store(
            address.bucket if own else bucket,
            prefix=address.prefix if own and address.prefix else None,
            region=address.region,
            endpoint=endpoint,
            virtual_hosted_style_request=address.is_virtual_host,
            # Given this way, for a session token in the environment would be signed with otherwise.
            credential_provider=lambda: credentials,
            retry_config={"retry_timeout": timedelta(seconds=retry_seconds), "max_retries": 5},
            client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": "5s", "timeout": "300s"},
        )

    return connect


def _check_path(key: str) -> None:
    encode_key(key)
    if _as_path(key) != key:
        raise Invalid(
            "key", f"{key[:80]!r} has an empty step, '.', '..' or a control character; an S3 store takes none"
        )


def _send(store: ObjectStore, key: str, chunks: Iterable[bytes], attributes: dict[str, str]) -> None:
    """Put in one request what fits into one, otherwise in parts."""
    chunks = iter(chunks)
    begun = bytearray()
    for chunk in chunks:
        begun += chunk
        if len(begun) > PART_BYTES:
            source = chain((bytes(begun),), chunks)
            obstore.put(store, key, source, attributes=attributes, chunk_size=PART_BYTES, use_multipart=True)
            return
    obstore.put(store, key, bytes(begun), attributes=attributes, use_multipart=False)


def _range(span: Span | None) -> Any:
    if span is None:
        return {}
    if span.first is None:
        return {"range": {"suffix": span.last or 0}}
    if span.last is None:
        return {"range": {"offset": span.first}}
    return {"range": (span.first, span.last + 1)}


def _after(store: ObjectStore, bucket: str, prefix: str, low: bytes, n: int) -> list[tuple[bytes, Stored]]:
    """The next `n` objects after the key `low`, in byte order."""
    folder = prefix.rpartition("/")[0]
    if folder and _as_path(folder) != folder:
        return []  # the library knows no such keys
    least = prefix.encode()
    offset = low[:-1].decode() + _LAST_CHARACTER if low.endswith(b"\xff") else max(low.decode(), _before(prefix))
    found: list[tuple[bytes, Stored]] = []
    for batch in obstore.list(store, folder or None, offset=_as_path(offset) or None, chunk_size=max(n, 50)):
        for meta in batch:
            key = meta["path"].encode()
            if key.startswith(least) and key > low:
                found.append((key, _listed(bucket, meta)))
                if len(found) == n:
                    return found
            elif key > least and not key.startswith(least):
                return found
    return found


def _as_path(text: str) -> str:
    """As much of `text` from its beginning as the library takes for a path."""
    steps = takewhile(lambda step: step not in ("", ".", "..") and not _CONTROL.search(step), text.split("/"))
    return "/".join(steps)


def _before(prefix: str) -> str:
    """A text after which `prefix` comes in byte order, and little else before it."""
    if not prefix or prefix[-1] <= "!":
        return ""
    previous = chr(ord(prefix[-1]) - 1)
    return prefix[:-1] + ("\ud7ff" if "\ud800" <= previous <= "\udfff" else previous)


def _stored(bucket: str, key: str, result: Any) -> Stored:
    attributes: Mapping[str, str] = result.attributes
    listed = _listed(bucket, result.meta)
    return Stored(
        bucket=bucket,
        key=key,
        size_bytes=listed.size_bytes,
        etag=listed.etag,
        modified=listed.modified,
        headers={name: value for name, value in attributes.items() if name in HEADERS},
        metadata={name: value for name, value in attributes.items() if name not in HEADERS},
    )


def _listed(bucket: str, meta: Any) -> Stored:
    modified = meta["last_modified"]
    modified = modified.replace(microsecond=modified.microsecond // 1000 * 1000)
    return Stored(bucket, meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), modified)


def _content(stored: Stored, start: int, length: int, chunks: Iterator[bytes]) -> Content:
    held = memoryview(b"")

    def read(n: int) -> bytes:
        nonlocal held
        if not held:
            with _translated(stored.bucket, stored.key):
                held = memoryview(next(chunks, b""))
        data, held = bytes(held[:n]), held[n:]
        return data

    def close() -> None:
        with suppress(AttributeError):
            chunks.close()  # type: ignore[attr-defined]

    return Content(stored, start, length, read=read, close=close)


@contextmanager
def _translated(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except DeconfuseError:
        raise
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Denied(f"the store refuses s3://{bucket}/{key}") from error
    except (BaseError, OSError) as error:
        if "NoSuchBucket" in str(error):
            raise NotFound("bucket", bucket) from error
        if isinstance(error, FileNotFoundError):
            raise NotFound("key", key) from error
        raise Unavailable(f"the store did not answer for s3://{bucket}/{key}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

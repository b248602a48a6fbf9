"""The local store: the bytes of objects in blobs, everything else in the database.

A put writes a blob, waits until it is on the disk, and then makes it visible in one transaction, inside which the
conditions of the request are checked; so an object appears whole or not at all, survives a kill at any moment once it
was acknowledged, and of two that race under a condition one wins. A key is never a path.

A linked bucket shows an existing folder (`linked`) and is read-only. Uploads in parts are in `multipart`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from deconfuse.errors import AlreadyExists, Damaged, Denied, InUse, Invalid, NotFound
from deconfuse.signing.checksums import new_digest, to_base64
from deconfuse.store.blobs import Blobs, Draft, content_of
from deconfuse.store.database import Database, alone_with, from_ms, to_ms
from deconfuse.store.linked import LinkedFiles
from deconfuse.store.listing import Wanted, page_of_objects
from deconfuse.store.objects import (
    ALWAYS,
    CHUNK_BYTES,
    MAX_PAGE,
    OWN_BUCKET,
    STORAGE_CLASS,
    Bucket,
    Clock,
    Conditions,
    Content,
    Page,
    Span,
    Stored,
    check_bucket,
    check_kept,
    chunks_of,
    encode_key,
)
from deconfuse.store.schema import BUCKETS, OBJECTS, PARTS, UPLOADS

ABANDONED = timedelta(hours=1)
"""A blob without a row and without a change for so long belongs to a writer that is no more."""

# What every get and put asks is built once: building a statement costs more than running it.
_BUCKET_AND_OBJECT = (
    select(BUCKETS, OBJECTS)
    .outerjoin_from(BUCKETS, OBJECTS, (OBJECTS.c.bucket == BUCKETS.c.name) & (OBJECTS.c.key == bindparam("wanted_key")))
    .where(BUCKETS.c.name == bindparam("wanted_bucket"))
)
_BUCKET = select(BUCKETS).where(BUCKETS.c.name == bindparam("wanted_bucket"))
_LOCKED_BUCKETS = {
    "": _BUCKET,
    "shared": _BUCKET.with_for_update(read=True, key_share=True),
    "alone": _BUCKET.with_for_update(),
}
_HERE = (OBJECTS.c.bucket == bindparam("wanted_bucket")) & (OBJECTS.c.key == bindparam("wanted_key"))
_OLD = select(OBJECTS.c.blob, OBJECTS.c.etag).where(_HERE).with_for_update()
_INSERT = insert(OBJECTS)
_REPLACE = update(OBJECTS).where(_HERE)


@dataclass(frozen=True, slots=True)
class Placement:
    """An object about to become visible: `Stored` before it has its time, with the blob that holds its bytes."""

    blob: str
    size_bytes: int
    etag: str
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    checksums: Mapping[str, str]
    part_sizes: tuple[int, ...] = ()
    upload: str | None = None


class LocalObjects:
    """Buckets and objects below a directory and in a database.

    Attributes:
        database: holds the rows.
        blobs: holds the bytes.
        clock: gives the times of objects.
    """

    def __init__(self, root: Path, database: Database, clock: Clock) -> None:
        """Opens the store in `root`, which is made where it is missing.

        Raises:
            Unavailable: the directory or the database cannot be used.
        """
        self.database = database
        self.clock = clock
        self.blobs = Blobs(root)
        self._linked = LinkedFiles(database, clock)
        self._root = root.resolve()
        with contextlib.suppress(AlreadyExists):
            self._insert_bucket(OWN_BUCKET, "", None)

    # Buckets

    def create_bucket(self, name: str, *, location: str = "") -> Bucket:
        """A new bucket; `location` is the location constraint to remember.

        Raises:
            Invalid: a name that no bucket can have.
            AlreadyExists: there is one; nothing was changed.
        """
        return self._insert_bucket(check_bucket(name), location, None)

    def link(self, name: str, folder: Path) -> Bucket:
        """A read-only bucket over an existing folder.

        Raises:
            Invalid: a name that no bucket can have; or the folder lies in the store, or the store in it.
            NotFound: there is no such folder.
            AlreadyExists: there is a bucket of this name that shows something else.
        """
        check_bucket(name)
        if not folder.is_dir():
            raise NotFound("folder", str(folder))
        real = folder.resolve()
        if real.is_relative_to(self._root) or self._root.is_relative_to(real):
            raise Invalid("folder", f"{real} and the store in {self._root} lie in one another")
        try:
            return self._insert_bucket(name, "", str(real))
        except AlreadyExists:
            if (there := self.bucket(name)).folder != str(real):
                raise
            return there

    def bucket(self, name: str) -> Bucket:
        """A bucket by its name.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as connection:
            return bucket_of(connection, name)

    def buckets(self, *, prefix: str = "", after: str = "", limit: int = 10_000) -> tuple[Bucket, ...]:
        """Up to `limit` buckets after the name `after`, by name; `OWN_BUCKET` is not among them."""
        wanted = select(BUCKETS).where(BUCKETS.c.name > after, BUCKETS.c.name.startswith(prefix, autoescape=True))
        wanted = wanted.where(BUCKETS.c.name != OWN_BUCKET).order_by(BUCKETS.c.name).limit(limit)
        with self.database.read() as connection:
            return tuple(_bucket(row) for row in connection.execute(wanted))

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket, with the uploads that were begun in it.

        Raises:
            NotFound: there is none.
            Denied: it is a linked one; `unlink` removes it.
            InUse: it is not empty.
        """
        check_bucket(name)
        with self.database.write() as connection:
            writable(bucket_of(connection, name, lock="alone"))
            if connection.execute(select(OBJECTS.c.key).where(OBJECTS.c.bucket == name).limit(1)).first():
                raise InUse(f"the bucket {name} is not empty")
            begun = select(UPLOADS.c.id).where(UPLOADS.c.bucket == name)
            blobs = connection.scalars(select(PARTS.c.blob).where(PARTS.c.upload.in_(begun))).all()
            connection.execute(delete(UPLOADS).where(UPLOADS.c.bucket == name))
            connection.execute(delete(BUCKETS).where(BUCKETS.c.name == name))
        self.blobs.remove(blobs)

    def unlink(self, name: str) -> None:
        """Take the link to a folder away; the folder stays as it is.

        Raises:
            NotFound: there is no linked bucket of this name.
        """
        linked = delete(BUCKETS).where(BUCKETS.c.name == name, BUCKETS.c.folder.is_not(None))
        with self.database.write() as connection:
            if not connection.execute(linked).rowcount:
                raise NotFound("linked bucket", name)

    # Writing

    def draft(self, algorithms: Collection[str] = ()) -> Draft:
        """A place to write the bytes of an object or a part to, before `put_draft`; digested by `algorithms`.

        Raises:
            Invalid: an algorithm that is not known (field "checksum").
            Unavailable: the disk is full or gone.
        """
        return self.blobs.draft(algorithms)

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
        """See `Objects.put`. An error that `data` raises while it is read leaves nothing behind."""
        writable(self.bucket(bucket))
        encode_key(key)
        with self.draft() as draft:
            draft.write_all(chunks_of(data))
            return self.put_draft(draft, bucket, key, headers=headers, metadata=metadata, conditions=conditions)

    def put_draft(
        self,
        draft: Draft,
        bucket: str,
        key: str,
        *,
        headers: Mapping[str, str] = {},
        metadata: Mapping[str, str] = {},
        conditions: Conditions = ALWAYS,
        expected: Mapping[str, str] = {},
        kept: Collection[str] = (),
    ) -> Stored:
        """Make what was written to `draft` the object under `key`.

        Args:
            draft: from `draft`; the caller discards it in every case.
            bucket: the bucket's name.
            key: the object's key.
            headers: some of `HEADERS`.
            metadata: the user's.
            conditions: checked in the transaction that makes it visible.
            expected: checksums by algorithm, in base64, that the bytes must have.
            kept: the algorithms whose checksums are kept with the object, each of which the draft was made with.

        Raises:
            Damaged: a checksum differs from the one expected.
            Invalid, NotFound, Unmet, Denied, Unavailable: as `Objects.put`.
        """
        encoded = encode_key(key)
        check_kept(headers, metadata)
        draft.check(dict(expected))
        draft.secure()
        checksums = {algorithm: draft.checksum(algorithm) for algorithm in sorted(kept)}
        placement = Placement(draft.name, draft.size_bytes, draft.md5_hex, dict(headers), dict(metadata), checksums)
        with self.database.write() as connection:
            stored, old = self.place(connection, bucket, encoded, placement, conditions)
        draft.keep()
        self.blobs.remove(old)
        return stored

    def place(
        self, connection: Connection, bucket: str, key: bytes, placement: Placement, conditions: Conditions
    ) -> tuple[Stored, list[str]]:
        """Name a blob in the caller's transaction: the object, and the blobs to remove once that is durable."""
        writable(bucket_of(connection, bucket, lock="shared"))
        alone_with(connection, f"object {bucket} {key.hex()}")
        here = {"wanted_bucket": bucket, "wanted_key": key}
        old = connection.execute(_OLD, here).first()
        text = key.decode()
        conditions.check_write(old.etag if old else None, text)
        now = to_ms(self.clock())
        values = {
            "blob": placement.blob,
            "size_bytes": placement.size_bytes,
            "etag": placement.etag,
            "modified_ms": now,
            "headers": dict(placement.headers),
            "user_metadata": dict(placement.metadata),
            "checksums": dict(placement.checksums),
            "part_sizes": list(placement.part_sizes),
            "upload": placement.upload,
        }
        if old:
            connection.execute(_REPLACE, here | values)
        else:
            connection.execute(_INSERT, {"bucket": bucket, "key": key, **values})
        stored = Stored(
            bucket=bucket,
            key=text,
            size_bytes=placement.size_bytes,
            etag=placement.etag,
            modified=from_ms(now),
            headers=placement.headers,
            metadata=placement.metadata,
            checksums=placement.checksums,
            part_sizes=placement.part_sizes,
        )
        return stored, [old.blob] if old else []

    def copy(
        self,
        source: tuple[str, str],
        bucket: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        conditions: Conditions = ALWAYS,
        source_conditions: Conditions = ALWAYS,
        algorithm: str | None = None,
    ) -> Stored:
        """A copy of the object `source` (bucket, key), under `key`; its bytes are shared where the disk can.

        Args:
            source: where from; a linked bucket too.
            bucket: where to.
            key: where to.
            headers: instead of the source's; None keeps those but its storage class.
            metadata: instead of the source's; None keeps those.
            conditions: for what is under `key`.
            source_conditions: for the source; unmet ones are `Unmet` in every case.
            algorithm: the checksum that the copy shall have; None keeps the source's.

        Raises:
            Invalid: onto itself with nothing changed (field "copy"); otherwise as `Objects.put`.
            NotFound, Unmet, Denied, Unavailable: as `Objects.put`.
        """
        if source == (bucket, key) and headers is None and metadata is None and algorithm is None:
            raise Invalid("copy", "an object cannot be copied onto itself with nothing changed")
        encoded = encode_key(key)
        writable(self.bucket(bucket))
        stored, file, blob = self._open(*source)
        with contextlib.closing(file):
            source_conditions.check_read(stored)
            if headers is None:
                headers = {name: value for name, value in stored.headers.items() if name != STORAGE_CLASS}
            metadata = stored.metadata if metadata is None else metadata
            check_kept(headers, metadata)
            algorithms = (algorithm,) if algorithm else tuple(a for a, v in stored.checksums.items() if "-" not in v)
            name, etag, checksums = self._copy_bytes(stored, file, blob, algorithms)
            placement = Placement(name, stored.size_bytes, etag, headers, metadata, checksums)
            try:
                with self.database.write() as connection:
                    copied, old = self.place(connection, bucket, encoded, placement, conditions)
            except BaseException:
                self.blobs.remove([name])
                raise
        self.blobs.remove(old)
        return copied

    def delete(self, bucket: str, key: str, *, conditions: Conditions = ALWAYS) -> None:
        """See `Objects.delete`; with `if_match`, one that is not there or differs is `NotFound` or `Unmet`."""
        encoded = encode_key(key)
        here = (OBJECTS.c.bucket == bucket) & (OBJECTS.c.key == encoded)
        with self.database.write() as connection:
            writable(bucket_of(connection, bucket))
            old = connection.execute(select(OBJECTS.c.blob, OBJECTS.c.etag).where(here).with_for_update()).first()
            if conditions != ALWAYS:
                conditions.check_write(old.etag if old else None, key)
            connection.execute(delete(OBJECTS).where(here))
        self.blobs.remove([old.blob] if old else [])

    def delete_many(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove up to 1,000 objects in one transaction; those that are not there are no error.

        Raises:
            Invalid: a key that no object can have; nothing was removed.
            NotFound: there is no such bucket.
            Denied: the bucket is read-only.
        """
        encoded = sorted({encode_key(key) for key in keys})
        here = (OBJECTS.c.bucket == bucket) & OBJECTS.c.key.in_(encoded)
        with self.database.write() as connection:
            writable(bucket_of(connection, bucket))
            locked = select(OBJECTS.c.blob).where(here).order_by(OBJECTS.c.key).with_for_update()
            blobs = connection.scalars(locked).all()
            connection.execute(delete(OBJECTS).where(here))
        self.blobs.remove(blobs)

    # Reading

    def head(self, bucket: str, key: str, *, conditions: Conditions = ALWAYS) -> Stored:
        """See `Objects.head`."""
        found, row = self._row(bucket, key)
        if found.folder is not None:
            stored, file = self._linked.open(found, key)
            file.close()
        elif row is not None:
            stored = stored_of(bucket, key, row)
        else:
            raise NotFound("key", key)
        conditions.check_read(stored)
        return stored

    def get(self, bucket: str, key: str, *, span: Span | None = None, conditions: Conditions = ALWAYS) -> Content:
        """See `Objects.get`."""
        stored, file, _ = self._open(bucket, key)
        try:
            conditions.check_read(stored)
            start, length = (0, stored.size_bytes) if span is None else span.within(stored.size_bytes)
            return content_of(stored, file, start, length)
        except BaseException:
            file.close()
            raise

    def list_objects(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int = MAX_PAGE
    ) -> Page:
        """See `Objects.list_objects`; the objects come without metadata and checksums."""
        wanted = Wanted.of(prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        with self.database.read() as connection:
            found = bucket_of(connection, bucket)
            if found.folder is None:
                return page_of_objects(lambda low, n: _rows_after(connection, bucket, wanted.prefix, low, n), wanted)
        return self._linked.list_objects(found, wanted)

    # Order

    def sweep(self, *, older: timedelta = ABANDONED) -> int:
        """Remove the blobs that no row names, which a crash left behind: how many.

        Args:
            older: those changed since may belong to another server at work; zero where there is none.
        """
        return self.blobs.sweep(self._named, older_seconds=older.total_seconds())

    def _named(self, digits: str) -> set[str]:
        with self.database.read() as connection:
            return {
                name
                for column in (OBJECTS.c.blob, PARTS.c.blob)
                for name in connection.scalars(select(column).where(column >= digits, column < digits + "g"))
            }

    def _insert_bucket(self, name: str, location: str, folder: str | None) -> Bucket:
        now = to_ms(self.clock())
        values = {"name": name, "created_ms": now, "location": location, "folder": folder}
        try:
            with self.database.write() as connection:
                connection.execute(insert(BUCKETS).values(values))
        except IntegrityError as error:
            raise AlreadyExists("bucket", name) from error
        return Bucket(name, from_ms(now), location, folder)

    def _row(self, bucket: str, key: str) -> tuple[Bucket, Row[Any] | None]:
        """The bucket, and the row of the object where there is one."""
        wanted = {"wanted_bucket": bucket, "wanted_key": encode_key(key)}
        with self.database.read() as connection:
            row = connection.execute(_BUCKET_AND_OBJECT, wanted).first()
        if row is None:
            raise NotFound("bucket", bucket)
        return _bucket(row), row if row.blob is not None else None

    def _open(self, bucket: str, key: str) -> tuple[Stored, BinaryIO, str | None]:
        """An object, its bytes open for reading, and the name of its blob; None for a linked file."""
        blob = None
        while True:
            found, row = self._row(bucket, key)
            if found.folder is not None:
                return *self._linked.open(found, key), None
            if row is None:
                raise NotFound("key", key)
            if row.blob == blob:
                raise Damaged(f"s3://{bucket}/{key}", f"its blob {blob} is gone")
            blob = row.blob
            with contextlib.suppress(FileNotFoundError):  # replaced since its row was read: the new one is meant
                return stored_of(bucket, key, row), self.blobs.open(row.blob), row.blob

    def _copy_bytes(
        self, stored: Stored, file: BinaryIO, blob: str | None, algorithms: Sequence[str]
    ) -> tuple[str, str, dict[str, str]]:
        """A blob of its own for a copy, on the disk: its name, its md5 and the checksums asked for."""
        if blob is None:
            with self.draft(algorithms) as draft:
                draft.write_all(content_of(stored, file, 0, stored.size_bytes))
                draft.secure()
                draft.keep()
            return draft.name, draft.md5_hex, {a: draft.checksum(a) for a in algorithms}
        known = {a: v for a, v in stored.checksums.items() if "-" not in v}
        etag = stored.etag
        missing = [a for a in algorithms if a not in known]
        if missing or stored.part_sizes:
            digests = {a: new_digest(a) for a in {"MD5", *missing}}
            while chunk := file.read(CHUNK_BYTES):
                for digest in digests.values():
                    digest.update(chunk)
            known |= {a: to_base64(digests[a].digest()) for a in missing}
            etag = digests["MD5"].digest().hex()
        try:
            return self.blobs.link(blob), etag, {a: known[a] for a in algorithms}
        except FileNotFoundError:  # replaced meanwhile; the open file still has the bytes
            file.seek(0)
            return self._copy_bytes(stored, file, None, algorithms)


def bucket_of(connection: Connection, name: str, *, lock: str = "") -> Bucket:
    """A bucket, in the caller's transaction; `lock` "shared" keeps it from being removed, "alone" from being used.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(_LOCKED_BUCKETS[lock], {"wanted_bucket": name}).first()
    if row is None:
        raise NotFound("bucket", name)
    return _bucket(row)


def writable(bucket: Bucket) -> None:
    """Do nothing.

    Raises:
        Denied: the bucket shows a folder.
    """
    if bucket.folder is not None:
        raise Denied(f"the bucket {bucket.name} shows a folder and is read-only")


def _rows_after(connection: Connection, bucket: str, prefix: bytes, after: bytes, n: int) -> list[tuple[bytes, Stored]]:
    key = OBJECTS.c.key
    wanted = select(key, OBJECTS.c.size_bytes, OBJECTS.c.etag, OBJECTS.c.modified_ms, OBJECTS.c.headers)
    wanted = wanted.where(OBJECTS.c.bucket == bucket, key > after).order_by(key).limit(n)
    if prefix:
        wanted = wanted.where(key >= prefix, key < prefix + b"\xff")
    return [
        (row.key, Stored(bucket, row.key.decode(), row.size_bytes, row.etag, from_ms(row.modified_ms), row.headers))
        for row in connection.execute(wanted)
    ]


def _bucket(row: Row[Any]) -> Bucket:
    return Bucket(row.name, from_ms(row.created_ms), row.location, row.folder)


def stored_of(bucket: str, key: str, row: Row[Any]) -> Stored:
    """The object that a row of `OBJECTS` describes."""
    return Stored(
        bucket=bucket,
        key=key,
        size_bytes=row.size_bytes,
        etag=row.etag,
        modified=from_ms(row.modified_ms),
        headers=row.headers,
        metadata=row.user_metadata,
        checksums=row.checksums,
        part_sizes=tuple(row.part_sizes),
    )

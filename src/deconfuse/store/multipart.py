"""Objects that arrive in parts: begin an upload, put parts in any order and as often as needed, complete or abort it.

    create ──> parts 1 to 10,000, each a blob with a row ──> complete: one blob, the object appears; the upload is gone
                                                        └──> abort, or expire after a week without a part

Completing is idempotent, because clients repeat it when the answer is lost: the object remembers the upload that made
it, and completing or aborting that upload again answers as if it were the first time.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, literal, or_, select, update

from deconfuse.errors import Damaged, Invalid, NotFound, Stale
from deconfuse.signing.checksums import ALGORITHMS, combined, composite
from deconfuse.store.blobs import Draft
from deconfuse.store.database import from_ms, to_ms
from deconfuse.store.local import LocalObjects, Placement, bucket_of, stored_of, writable
from deconfuse.store.objects import ALWAYS, MAX_PAGE, Conditions, Span, Stored, check_kept, encode_key
from deconfuse.store.schema import OBJECTS, PARTS, UPLOADS, WORDS

MIN_PART_BYTES = 5 << 20
"""Of every part but the last."""

MAX_PARTS = 10_000

EXPIRY = timedelta(days=7)
"""An upload without a new part for so long is given up."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that is under way.

    Attributes:
        id: what the client calls it by.
        bucket: where the object will be.
        key: what it will be called.
        created: when it was begun, UTC.
        headers: what the object will have.
        metadata: what the object will have.
        algorithm: of the checksums that its parts carry, or None.
        is_composite: whether the checksum of the object is one of the checksums of its parts; otherwise it is one of
            all its bytes, which only a CRC can be.
    """

    id: str
    bucket: str
    key: str
    created: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    algorithm: str | None = None
    is_composite: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload, as it is kept.

    Attributes:
        number: 1 to 10,000.
        size_bytes: how many bytes it has.
        etag: its md5, without quotes.
        modified: when it came, UTC.
        checksums: by algorithm, in base64.
    """

    number: int
    size_bytes: int
    etag: str
    modified: datetime
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Named:
    """A part as a client names it when it completes an upload.

    Attributes:
        number: 1 to 10,000.
        etag: as the part was answered, without quotes.
        checksums: by algorithm, in base64; those given must be those of the part.
    """

    number: int
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)


class Uploads:
    """The uploads of a local store."""

    def __init__(self, objects: LocalObjects, *, min_part_bytes: int = MIN_PART_BYTES) -> None:
        """Objects appear in `objects`; every part but the last has at least `min_part_bytes`."""
        self._objects = objects
        self._min_part_bytes = min_part_bytes

    def create(
        self,
        bucket: str,
        key: str,
        *,
        headers: Mapping[str, str] = {},
        metadata: Mapping[str, str] = {},
        algorithm: str | None = None,
        is_composite: bool = True,
    ) -> Upload:
        """Begin an upload.

        Raises:
            Invalid: a key or metadata that cannot be; an algorithm that is not known, or whose checksum of the whole
                cannot be made of those of the parts (field "checksum").
            NotFound: there is no such bucket.
            Denied: it is read-only.
        """
        encoded = encode_key(key)
        check_kept(headers, metadata)
        if algorithm is not None and algorithm not in ALGORITHMS:
            raise Invalid("checksum", f"{algorithm[:40]!r} is none of {', '.join(ALGORITHMS)}")
        if algorithm is not None and not is_composite:
            combined(algorithm, ())
        now = to_ms(self._objects.clock())
        upload = Upload(
            uuid.uuid4().hex, bucket, key, from_ms(now), dict(headers), dict(metadata), algorithm, is_composite
        )
        row = {
            "id": upload.id,
            "bucket": bucket,
            "key": encoded,
            "created_ms": now,
            "touched_ms": now,
            "headers": dict(headers),
            "user_metadata": dict(metadata),
            "algorithm": algorithm,
            "is_composite": int(is_composite),
        }
        with self._objects.database.write() as connection:
            writable(bucket_of(connection, bucket, lock="shared"))
            connection.execute(insert(UPLOADS).values(row))
        return upload

    def find(self, bucket: str, key: str, upload: str) -> Upload:
        """An upload that is under way.

        Raises:
            NotFound: there is no such bucket, or no such upload for this key.
        """
        with self._objects.database.read() as connection:
            return _upload(_row_of(connection, bucket, key, upload))

    def put_part(
        self, draft: Draft, bucket: str, key: str, upload: str, number: int, *, expected: Mapping[str, str] = {}
    ) -> Part:
        """Make what was written to `draft` a part; one of the same number is replaced.

        The part keeps the checksum of the upload's algorithm if the draft was made with it.

        Args:
            draft: from `LocalObjects.draft`; the caller discards it in every case.
            bucket: as the upload was begun.
            key: as the upload was begun.
            upload: its id.
            number: 1 to 10,000.
            expected: checksums by algorithm, in base64, that the bytes must have.

        Raises:
            Invalid: a number outside 1 to 10,000 (field "part number").
            NotFound: there is no such bucket, or no such upload for this key.
            Damaged: a checksum differs from the one expected.
            Unavailable: the disk is full, or the store is away.
        """
        if not 1 <= number <= MAX_PARTS:
            raise Invalid("part number", f"{number} is not within 1 to {MAX_PARTS:,}")
        draft.check(dict(expected))
        draft.secure()
        database = self._objects.database
        with database.write() as connection:
            row = _row_of(connection, bucket, key, upload, is_locked=True)
            here = (PARTS.c.upload == upload) & (PARTS.c.number == number)
            old = connection.scalars(select(PARTS.c.blob).where(here)).all()
            now = to_ms(self._objects.clock())
            algorithms = [row.algorithm] if row.algorithm in draft.algorithms else []
            part = Part(
                number, draft.size_bytes, draft.md5_hex, from_ms(now), {a: draft.checksum(a) for a in algorithms}
            )
            connection.execute(delete(PARTS).where(here))
            connection.execute(
                insert(PARTS).values(
                    upload=upload,
                    number=number,
                    blob=draft.name,
                    size_bytes=part.size_bytes,
                    etag=part.etag,
                    modified_ms=now,
                    checksums=dict(part.checksums),
                )
            )
            connection.execute(update(UPLOADS).where(UPLOADS.c.id == upload).values(touched_ms=now))
        draft.keep()
        self._objects.blobs.remove(old)
        return part

    def copy_part(
        self,
        source: tuple[str, str],
        bucket: str,
        key: str,
        upload: str,
        number: int,
        *,
        span: Span | None = None,
        source_conditions: Conditions = ALWAYS,
    ) -> Part:
        """Make bytes of the object `source` (bucket, key) a part.

        Raises:
            Invalid: the source does not have all of `span` (field "range"); or as `put_part`.
            Unmet: a condition for the source does not hold.
            NotFound, Unavailable: as `put_part`; also where the source is not there.
        """
        algorithm = self.find(bucket, key, upload).algorithm
        with self._objects.get(*source, span=span, conditions=source_conditions) as content:
            size_bytes = content.stored.size_bytes
            if span is not None and span.last is not None and span.last >= size_bytes:
                raise Invalid("range", f"the source has {size_bytes} bytes; byte {span.last} is not among them")
            with self._objects.draft([algorithm] if algorithm else []) as draft:
                draft.write_all(content)
                return self.put_part(draft, bucket, key, upload, number)

    def complete(
        self,
        bucket: str,
        key: str,
        upload: str,
        parts: Sequence[Named],
        *,
        conditions: Conditions = ALWAYS,
        expected: Mapping[str, str] = {},
        size_bytes: int | None = None,
    ) -> Stored:
        """Make the named parts, in this order, the object; parts that are not named are dropped with the upload.

        Of a number that is named twice the last mention counts. Completing an upload that was completed answers the
        object again.

        Args:
            bucket: as the upload was begun.
            key: as the upload was begun.
            upload: its id.
            parts: what to make it of, numbers ascending.
            conditions: checked in the transaction that makes the object visible.
            expected: checksums by algorithm, in base64, that the object must have.
            size_bytes: how many bytes the object must have; None for any number.

        Raises:
            Invalid: fields "parts", "part", "part order", "part size" and "object size"; see `store.objects`.
            NotFound: there is no such bucket, or no such upload for this key.
            Unmet: a condition does not hold; the upload stays.
            Damaged: a checksum differs from the one expected; the upload stays.
            Stale: a part was replaced meanwhile; the upload stays.
            Unavailable: the disk is full, or the store is away.
        """
        with self._objects.database.read() as connection:
            row = self._open_row(connection, bucket, key, upload)
            if isinstance(row, Stored):
                return row
            have = _parts(connection, upload)
        chosen = self._chosen(parts, have)
        sizes = tuple(part.size_bytes for part in chosen)
        if size_bytes not in (None, sum(sizes)):
            raise Invalid("object size", f"the parts have {sum(sizes):,} bytes, not {size_bytes:,}")
        checksums = _whole_checksums(row, chosen)
        for algorithm, wanted in expected.items():
            if checksums.get(algorithm, wanted) != wanted:
                raise Damaged("the object", f"its {algorithm} is {checksums[algorithm]}, not {wanted}")
        try:
            draft = self._joined(chosen)
        except FileNotFoundError as error:  # another completion was first and removed the parts, or one was replaced
            with self._objects.database.read() as connection:
                made = self._open_row(connection, bucket, key, upload)
            if isinstance(made, Stored):
                return made
            raise _replaced(upload) from error
        with draft:
            placement = Placement(
                draft.name, sum(sizes), _etag(chosen), row.headers, row.user_metadata, checksums, sizes, upload
            )
            with self._objects.database.write() as connection:
                made = self._open_row(connection, bucket, key, upload, is_locked=True)
                if isinstance(made, Stored):
                    return made
                kept = _parts(connection, upload)
                if any(kept.get(part.number) is None or kept[part.number].blob != part.blob for part in chosen):
                    raise _replaced(upload)
                stored, old = self._objects.place(connection, bucket, encode_key(key), placement, conditions)
                connection.execute(delete(UPLOADS).where(UPLOADS.c.id == upload))
            draft.keep()
        self._objects.blobs.remove([*old, *(part.blob for part in kept.values())])
        return stored

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Give an upload up; one that was completed stays completed.

        Raises:
            NotFound: there is no such bucket, or no such upload for this key.
        """
        with self._objects.database.write() as connection:
            if isinstance(self._open_row(connection, bucket, key, upload, is_locked=True), Stored):
                return
            blobs = _drop(connection, upload)
        self._objects.blobs.remove(blobs)

    def list_parts(
        self, bucket: str, key: str, upload: str, *, after: int = 0, limit: int = MAX_PAGE
    ) -> tuple[tuple[Part, ...], bool]:
        """Up to `limit` parts with numbers above `after`, ascending, and whether there are more.

        Raises:
            NotFound: there is no such bucket, or no such upload for this key.
        """
        wanted = select(PARTS).where(PARTS.c.upload == upload, PARTS.c.number > after)
        wanted = wanted.order_by(PARTS.c.number).limit(limit + 1)
        with self._objects.database.read() as connection:
            _row_of(connection, bucket, key, upload)
            rows = connection.execute(wanted).all()
        parts = (Part(r.number, r.size_bytes, r.etag, from_ms(r.modified_ms), r.checksums) for r in rows[:limit])
        return tuple(parts), len(rows) > limit

    def list_uploads(
        self, bucket: str, *, prefix: str = "", after: tuple[str, str] = ("", ""), limit: int = MAX_PAGE
    ) -> tuple[tuple[Upload, ...], bool]:
        """Up to `limit` uploads under way, by key and id, and whether there are more.

        Args:
            bucket: the bucket's name.
            prefix: what every key begins with.
            after: (key, upload id): what sorts after it; with an empty id, only later keys.
            limit: how many at most.

        Raises:
            NotFound: there is no such bucket.
        """
        key, begin, low = UPLOADS.c.key, prefix.encode(), after[0].encode()
        later = or_(key > low, and_(key == low, UPLOADS.c.id > after[1])) if after[1] else key > low
        wanted = select(UPLOADS).where(UPLOADS.c.bucket == bucket, later).order_by(key, UPLOADS.c.id).limit(limit + 1)
        if begin:
            wanted = wanted.where(key >= begin, key < begin + b"\xff")
        with self._objects.database.read() as connection:
            bucket_of(connection, bucket)
            rows = connection.execute(wanted).all()
        return tuple(_upload(row) for row in rows[:limit]), len(rows) > limit

    def expire(self, *, older: timedelta = EXPIRY) -> int:
        """Give up every upload that got no part for so long: how many."""
        limit = to_ms(self._objects.clock() - older)
        expired = 0
        with self._objects.database.read() as connection:
            ids = connection.scalars(select(UPLOADS.c.id).where(UPLOADS.c.touched_ms < limit)).all()
        for upload in ids:
            with self._objects.database.write() as connection:
                still = select(UPLOADS.c.id).where(UPLOADS.c.id == upload, UPLOADS.c.touched_ms < limit)
                blobs = _drop(connection, upload) if connection.execute(still.with_for_update()).first() else None
            if blobs is not None:
                self._objects.blobs.remove(blobs)
                expired += 1
        return expired

    def _chosen(self, parts: Sequence[Named], have: Mapping[int, Row[Any]]) -> list[Row[Any]]:
        """The rows of the parts to complete with, in order."""
        if not parts:
            raise Invalid("parts", "name at least one part")
        last = list({part.number: part for part in parts}.values())
        if any(a.number >= b.number for a, b in pairwise(last)):
            raise Invalid("part order", "the numbers of the parts do not ascend")
        for part in last:
            row = have.get(part.number)
            if row is None or row.etag != part.etag:
                raise Invalid("part", f"part {part.number} was not sent, or has another ETag")
            if any(row.checksums.get(a, value) != value for a, value in part.checksums.items()):
                raise Invalid("part", f"part {part.number} has another checksum")
        chosen = [have[part.number] for part in last]
        for row in chosen[:-1]:
            if row.size_bytes < self._min_part_bytes:
                why = f"part {row.number} has {row.size_bytes:,} bytes; {self._min_part_bytes:,} are the least"
                raise Invalid("part size", why)
        return chosen

    def _joined(self, chosen: Sequence[Row[Any]]) -> Draft:
        """A secured draft of the parts one after the other; FileNotFoundError where the bytes of one are gone."""
        draft = self._objects.draft()
        try:
            for part in chosen:
                with self._objects.blobs.open(part.blob) as file:
                    draft.append_undigested(file, part.size_bytes)
            draft.secure()
        except BaseException:
            draft.discard()
            raise
        return draft

    def _open_row(
        self, connection: Connection, bucket: str, key: str, upload: str, *, is_locked: bool = False
    ) -> Row[Any] | Stored:
        """The row of an upload under way, or the object under `key` where this upload has made it.

        Raises:
            NotFound: neither is there.
        """
        try:
            return _row_of(connection, bucket, key, upload, is_locked=is_locked)
        except NotFound:
            here = (OBJECTS.c.bucket == bucket) & (OBJECTS.c.key == encode_key(key))
            made = OBJECTS.c.upload == literal(upload, WORDS)
            row = connection.execute(select(OBJECTS).where(here & made)).first()
            if row is None:
                raise
            return stored_of(bucket, key, row)


def _replaced(upload: str) -> Stale:
    return Stale(f"a part of the upload {upload} was replaced while it was completed")


def _row_of(connection: Connection, bucket: str, key: str, upload: str, *, is_locked: bool = False) -> Row[Any]:
    bucket_of(connection, bucket)
    wanted = select(UPLOADS).where(UPLOADS.c.id == upload, UPLOADS.c.bucket == bucket, UPLOADS.c.key == encode_key(key))
    row = connection.execute(wanted.with_for_update() if is_locked else wanted).first()
    if row is None:
        raise NotFound("upload", upload)
    return row


def _parts(connection: Connection, upload: str) -> dict[int, Row[Any]]:
    rows = connection.execute(select(PARTS).where(PARTS.c.upload == upload).order_by(PARTS.c.number))
    return {row.number: row for row in rows}


def _drop(connection: Connection, upload: str) -> Sequence[str]:
    """Remove the rows of an upload: the blobs to remove once that is durable."""
    blobs = connection.scalars(select(PARTS.c.blob).where(PARTS.c.upload == upload)).all()
    connection.execute(delete(UPLOADS).where(UPLOADS.c.id == upload))
    return blobs


def _etag(parts: Sequence[Row[Any]]) -> str:
    """The md5 of the md5s of the parts, with their number."""
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _whole_checksums(upload: Row[Any], parts: Sequence[Row[Any]]) -> dict[str, str]:
    """The checksum of the object, where every part has one."""
    algorithm = upload.algorithm
    if algorithm is None or any(algorithm not in part.checksums for part in parts):
        return {}
    if upload.is_composite:
        return {algorithm: composite(algorithm, [part.checksums[algorithm] for part in parts])}
    return {algorithm: combined(algorithm, [(part.checksums[algorithm], part.size_bytes) for part in parts])}


def _upload(row: Row[Any]) -> Upload:
    return Upload(
        id=row.id,
        bucket=row.bucket,
        key=row.key.decode(),
        created=from_ms(row.created_ms),
        headers=row.headers,
        metadata=row.user_metadata,
        algorithm=row.algorithm,
        is_composite=bool(row.is_composite),
    )

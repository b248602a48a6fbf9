"""Buckets and objects: the words that both stores speak, and the rules that do not depend on where the bytes lie.

`Objects` is what the service needs of a store: put, get, head, delete, list. `local.LocalObjects` keeps them in files
beside the database and does everything else that S3 does too; `s3.S3Objects` keeps them in any S3. Objects are
written once: a new object under a key takes the place of the old one in one step, and a reader of the old one reads
it to its end.

What a caller asked wrongly is `Invalid`, and its field says which of S3's errors that is:

    field         what is wrong                                          S3's code
    bucket        a name that no bucket can have                         InvalidBucketName
    key           empty, over 1,024 bytes, or not UTF-8                  KeyTooLongError, InvalidURI
    metadata      more than 2,048 bytes of user metadata                 MetadataTooLarge
    range         no byte of the object is in the range asked            InvalidRange (416)
    part number   not within 1 to 10,000, or more than the object has    InvalidArgument, InvalidPartNumber (416)
    part          a part to be completed was never sent, or differs      InvalidPart
    part order    the parts to be completed do not ascend                InvalidPartOrder
    part size     a part that is not the last is under 5 MiB             EntityTooSmall
    parts         none at all                                            MalformedXML
    object size   the parts do not have the bytes that were announced    InvalidRequest
    checksum      an algorithm that is not known                         InvalidRequest
    copy          an object onto itself with nothing changed             InvalidRequest
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from deconfuse.errors import Damaged, Invalid, LimitExceeded, NotFound, Unmet

Clock = Callable[[], datetime]
"""Gives the present moment, with a time zone."""

OWN_BUCKET = "_deconfuse"
"""Where the service keeps what belongs to no user's bucket. No client can name it: no bucket of S3 is called so."""

STORAGE_CLASS = "Storage-Class"
"""What a client asked for beside the usual. It decides nothing here; it belongs to one object and not to its copies."""

HEADERS = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Type",
    "Expires",
    STORAGE_CLASS,
)
"""The headers that an object keeps and gives back."""

CHUNK_BYTES = 1 << 20
"""How much is held in memory of an object that is read or written."""

MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 2048
MAX_PAGE = 1000

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]", re.ASCII)
_RESERVED = frozenset({"healthz", "metrics"})


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of an object without its bytes.

    Attributes:
        bucket: the bucket's name.
        key: 1 to 1,024 bytes as UTF-8.
        size_bytes: how many bytes it has.
        etag: without quotes; the md5 in hexadecimal, or "<md5 of md5s>-<number of parts>".
        modified: when it became visible, UTC, in whole milliseconds.
        headers: some of `HEADERS`, as they were given.
        metadata: the user's, by lower-case name without "x-amz-meta-".
        checksums: by algorithm ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"), in base64; a checksum of
            checksums ends in "-<number of parts>".
        part_sizes: bytes of each part, in order; empty unless the object was made of parts.
    """

    bucket: str
    key: str
    size_bytes: int
    etag: str
    modified: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    part_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket.

    Attributes:
        name: its name.
        created: when it was made or linked, UTC.
        location: the location constraint it was made with, or "".
        folder: the folder it shows, if it is a linked one, which is read-only; otherwise None.
    """

    name: str
    created: datetime
    location: str = ""
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold for a request to be carried out; all None asks for nothing. ETags are without quotes.

    Attributes:
        if_match: the object is there and has one of these ETags; "*" is any.
        if_none_match: the object is not there, or has none of these ETags; "*" is any.
        if_modified_since: it changed after this moment; looked at only without `if_none_match`.
        if_unmodified_since: it did not change after this moment; looked at only without `if_match`.

    Source: RFC 9110 (2022) section 13.2.2, order of preconditions.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def check_read(self, stored: Stored) -> None:
        """Whether `stored` may be answered.

        Raises:
            Unmet: naming "If-Match", "If-Unmodified-Since", "If-None-Match" or "If-Modified-Since"; a door answers
                412 to the first two, 304 to the others.
        """
        modified = stored.modified.replace(microsecond=0)
        if self.if_match is not None:
            if not _matches(stored.etag, self.if_match):
                raise Unmet("If-Match", etag=stored.etag)
        elif self.if_unmodified_since is not None and modified > self.if_unmodified_since:
            raise Unmet("If-Unmodified-Since", etag=stored.etag)
        if self.if_none_match is not None:
            if _matches(stored.etag, self.if_none_match):
                raise Unmet("If-None-Match", etag=stored.etag)
        elif self.if_modified_since is not None and modified <= self.if_modified_since:
            raise Unmet("If-Modified-Since", etag=stored.etag)

    def check_write(self, etag: str | None, key: str) -> None:
        """Whether what lies under `key`, of this ETag or None for nothing, may be replaced.

        Raises:
            NotFound: `if_match` is asked, and nothing is there.
            Unmet: naming "If-Match" or "If-None-Match".
        """
        if self.if_match is not None:
            if etag is None:
                raise NotFound("key", key)
            if not _matches(etag, self.if_match):
                raise Unmet("If-Match", etag=etag)
        if self.if_none_match is not None and etag is not None and _matches(etag, self.if_none_match):
            raise Unmet("If-None-Match", etag=etag)


ALWAYS = Conditions()
"""No condition."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes as HTTP writes it: from `first` to `last`, both counted.

    Attributes:
        first: the first byte wanted, from 0; None wants the last `last` bytes.
        last: the last byte wanted; None wants all to the end.
    """

    first: int | None = None
    last: int | None = None

    def within(self, size_bytes: int) -> tuple[int, int]:
        """(start, length) of what an object of `size_bytes` has of this range.

        Raises:
            Invalid: it has nothing of it (field "range").

        Example:
            >>> Span(None, 3).within(10), Span(8, 99).within(10), Span(2, None).within(10)
            ((7, 3), (8, 2), (2, 8))
        """
        if self.first is None:
            length = min(self.last or 0, size_bytes)
            start = size_bytes - length
        else:
            start = self.first
            end = size_bytes - 1 if self.last is None else min(self.last, size_bytes - 1)
            length = end - start + 1
        if length <= 0:
            raise Invalid("range", f"no byte of the {size_bytes} is in the range asked")
        return start, length


class Content:
    """The bytes of an object, being read: iterate, or `read`, then `close`. Also a context manager.

    Attributes:
        stored: the object.
        start: the first byte that is given, from 0.
        length: how many bytes are given in all.
    """

    def __init__(
        self, stored: Stored, start: int, length: int, *, read: Callable[[int], bytes], close: Callable[[], None]
    ) -> None:
        """`read(n)` gives the next 1 to n bytes, or none at the end; `close` lets go of the source."""
        self.stored = stored
        self.start = start
        self.length = length
        self._left = length
        self._read = read
        self._close = close

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """The next bytes, at least one and at most `size`; none when `length` bytes were given.

        Raises:
            Damaged: the source ends before.
        """
        if self._left <= 0:
            return b""
        data = self._read(min(size, self._left))
        if not data:
            raise Damaged(f"s3://{self.stored.bucket}/{self.stored.key}", f"{self._left} bytes are missing")
        self._left -= len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def close(self) -> None:
        """Let go of the source; reading ends here."""
        self._left = 0
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, in the byte order of the keys.

    Attributes:
        objects: what is listed, without headers, metadata and checksums where the store does not have them at hand.
        prefixes: common prefixes, each ending in the delimiter.
        next_after: hand this in as `after` to go on; None where nothing is left.
    """

    objects: tuple[Stored, ...]
    prefixes: tuple[str, ...]
    next_after: str | None


class Objects(Protocol):
    """What the service asks of a store. Implemented by `LocalObjects` and `S3Objects`."""

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
        """Keep `data` under `key`; it is visible, whole and durable, when this returns.

        Raises:
            Invalid: a key or metadata that cannot be.
            NotFound: there is no such bucket; or `if_match` is asked and nothing is there.
            Unmet: a condition does not hold.
            Denied: the bucket is read-only.
            Unavailable: the disk is full, or the store is away.
        """

    def head(self, bucket: str, key: str, *, conditions: Conditions = ALWAYS) -> Stored:
        """What is known of an object.

        Raises:
            NotFound: there is no such bucket or key.
            Unmet: a condition does not hold.
        """

    def get(self, bucket: str, key: str, *, span: Span | None = None, conditions: Conditions = ALWAYS) -> Content:
        """The bytes of an object, or the part of them in `span`; the caller closes it.

        Raises:
            NotFound: there is no such bucket or key.
            Invalid: nothing of the object is in the range.
            Unmet: a condition does not hold.
        """

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            NotFound: there is no such bucket.
            Denied: the bucket is read-only.
        """

    def list_objects(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int = MAX_PAGE
    ) -> Page:
        """Up to `limit` objects and common prefixes after `after`, in byte order.

        Raises:
            NotFound: there is no such bucket.
        """


def read_all(objects: Objects, bucket: str, key: str, *, limit_bytes: int) -> bytes:
    """The whole object.

    Raises:
        LimitExceeded: it has more than `limit_bytes`; nothing was read.
        NotFound: there is no such bucket or key.
    """
    with objects.get(bucket, key) as content:
        if content.length > limit_bytes:
            address = f"s3://{bucket}/{key}"
            raise LimitExceeded(f"{address} has {content.length:,} bytes; {limit_bytes:,} are possible")
        return b"".join(content)


def lines_of(chunks: Iterable[bytes], *, longest_bytes: int) -> Iterator[bytes]:
    r"""The lines of a text that comes in pieces, without their ends, in memory one at a time.

    Args:
        chunks: the bytes of the text, cut anywhere.
        longest_bytes: what a line has beyond them is dropped, so that no line can fill the memory.

    Example:
        >>> list(lines_of([b"a\nb", b"c\n\nd"], longest_bytes=9)), list(lines_of([b"abcd\n"], longest_bytes=3))
        ([b'a', b'bc', b'', b'd'], [b'abc'])
    """
    begun = bytearray()
    is_begun = False
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            begun += piece[: longest_bytes - len(begun)]
            yield bytes(begun)
            begun.clear()
            is_begun = False
        begun += rest[: longest_bytes - len(begun)]
        is_begun = is_begun or bool(rest)
    if is_begun:
        yield bytes(begun)


def list_all(objects: Objects, bucket: str, *, prefix: str = "") -> Iterator[Stored]:
    """Every object below `prefix`, page by page, in byte order."""
    after = ""
    while True:
        page = objects.list_objects(bucket, prefix=prefix, after=after)
        yield from page.objects
        if page.next_after is None:
            return
        after = page.next_after


def check_bucket(name: str) -> str:
    """`name`, if a bucket can be called so.

    Raises:
        Invalid: it does not keep S3's rules, or a door has the name for itself (healthz, metrics).
    """
    if not _BUCKET.fullmatch(name) or name in _RESERVED:
        why = f"{name[:80]!r} cannot be the name of a bucket; use 3 to 63 of a-z 0-9 . -"
        raise Invalid("bucket", why + (" (healthz and metrics are taken)" if name in _RESERVED else ""))
    return name


def encode_key(key: str) -> bytes:
    """`key` as UTF-8.

    Raises:
        Invalid: it is empty, has more than 1,024 bytes, or holds a lone surrogate.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise Invalid("key", f"{key[:80]!r} cannot be written as UTF-8") from None
    if not 1 <= len(encoded) <= MAX_KEY_BYTES:
        raise Invalid("key", f"a key has 1 to {MAX_KEY_BYTES:,} bytes; this one has {len(encoded):,}")
    return encoded


def check_kept(headers: Mapping[str, str], metadata: Mapping[str, str]) -> None:
    """Look at what is to be kept beside the bytes.

    Raises:
        Invalid: user metadata of more than 2,048 bytes (field "metadata"), or a header outside `HEADERS`.
    """
    if unknown := sorted(set(headers) - set(HEADERS)):
        raise Invalid("header", f"an object keeps no header {unknown[0]}")
    size = sum(len(name.encode()) + len(value.encode("utf-8", "replace")) for name, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise Invalid("metadata", f"{size:,} bytes of user metadata; {MAX_METADATA_BYTES:,} are possible")


def chunks_of(data: bytes | Iterable[bytes]) -> Iterable[bytes]:
    """`data` as something to iterate over."""
    return (data,) if isinstance(data, bytes) else data


def part_span(stored: Stored, number: int) -> Span | None:
    """The range of part `number`, from 1; an object that was not made of parts is its own part 1. None is all of it.

    Raises:
        Invalid: there is no such part (field "part number").
    """
    sizes = stored.part_sizes or (stored.size_bytes,)
    if not 1 <= number <= len(sizes):
        raise Invalid("part number", f"{number} is not within 1 to {len(sizes)}")
    if len(sizes) == 1:
        return None
    start = sum(sizes[: number - 1])
    return Span(start, start + sizes[number - 1] - 1)


def _matches(etag: str, wanted: tuple[str, ...]) -> bool:
    return "*" in wanted or etag in wanted

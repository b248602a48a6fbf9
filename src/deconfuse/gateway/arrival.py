"""Content on its way in: bytes of a request to a draft of the store, which nobody sees before all of it is right.

The bytes go through `signing.chunked`, which takes framing off and holds them to what was signed, and then to a file.
Length, checksums and trailers are known at the end; only then is the draft made an object or a part. Whatever goes
wrong before leaves nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from deconfuse.errors import Damaged, Invalid, LimitExceeded
from deconfuse.gateway.operations import TAKINGS
from deconfuse.gateway.routing import Call
from deconfuse.gateway.translation import Result, promised
from deconfuse.service.house import House
from deconfuse.service.objects import Draft, buckets
from deconfuse.signing.checksums import HEADER, S3_ALGORITHMS, checksum_of
from deconfuse.signing.chunked import BODY, open_body
from deconfuse.signing.sigv4 import STREAMING, Request, Verified

MAX_BYTES = 5 << 30
"""Of an object that is put at once, and of a part. Source: Amazon S3 user guide, "Multipart upload limits"."""

_LENGTH = re.compile(r"[0-9]{1,15}")


class Arrival:
    """The content of one request; by one thread at a time: `take` what comes, then `finish`; `discard` in any case.

    Attributes:
        operation: what is asked for.
    """

    def __init__(self, house: House, call: Call, verified: Verified, request: Request) -> None:
        """Looks whether the content may come at all.

        Args:
            house: where it goes.
            call: an operation of `TAKINGS`.
            verified: the signature, which says how the body is framed.
            request: the request, for its headers.

        Raises:
            Invalid, NotBuilt: a header that cannot be meant; a length that is missing ("content-length").
            LimitExceeded: more bytes are announced than an object may have at once.
            DeconfuseError: what the operation's `prepare` raises.
        """
        self._house = house
        self._call = call
        self.operation = call.operation
        self._taking = TAKINGS[call.operation]
        is_framed = verified.payload in STREAMING
        self._length = None if is_framed else _announced_length(request)
        _check_size(self._length or _number(request, "x-amz-decoded-content-length") or 0)
        self._body = open_body(verified, request)
        promises = promised(call.parameters)
        wanted = self._taking.prepare(house, call.parameters)
        self._algorithms = {*promises, *_announced_trailer(request), *([wanted] if wanted else [])}
        self._draft: Draft | None = None
        self._size = 0

    def take(self, data: bytes) -> None:
        """The next bytes of the body.

        Raises:
            Damaged, BadSignature: they are not what was announced or signed.
            LimitExceeded: there are too many.
            Unavailable: the disk is full or gone.
        """
        self._write(b"".join(self._body.feed(data)))

    def finish(self) -> Result:
        """The body is at its end: the members of the operation's result; what arrived is kept now.

        Raises:
            Damaged, BadSignature: it is not what was announced, promised or signed.
            DeconfuseError: what the operation's `keep` raises.
        """
        expected = promised(self._call.parameters, self._body.finish())
        if self._length not in (None, self._size):
            raise Damaged(BODY, f"it has {self._size:,} bytes; {self._length:,} were announced")
        return self._taking.keep(self._house, self._call.parameters, self._open(), expected)

    def discard(self) -> None:
        """Remove what was written, unless it was kept."""
        if self._draft is not None:
            self._draft.discard()

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        _check_size(self._size)
        if data:
            self._open().write(data)

    def _open(self) -> Draft:
        if self._draft is None:
            self._draft = buckets(self._house).draft(sorted(self._algorithms))
        return self._draft


def check_body(parameters: Mapping[str, object], request: Request, body: bytes, *, of_body: bool) -> None:
    """Compare a body that is held whole with the checksums that came along.

    Args:
        parameters: of the call.
        request: for its headers.
        body: as it arrived, framing taken off.
        of_body: whether the headers x-amz-checksum-… are about the body; those of a completion are about the object.

    Raises:
        Invalid: a checksum that cannot be.
        Damaged: one differs.
    """
    given = {name: parameters[name] for name in ("ContentMD5", "ChecksumAlgorithm") if name in parameters}
    for name, value in _texts(request):  # not each operation's model knows each of these headers
        algorithm = name.removeprefix(HEADER).upper()
        if name == "content-md5":
            given["ContentMD5"] = value
        elif of_body and name.startswith(HEADER) and algorithm in S3_ALGORITHMS:
            given[f"Checksum{algorithm}"] = value
    for algorithm, value in promised(given).items():
        computed = checksum_of(algorithm, body)
        if computed != value:
            raise Damaged("the body", f"its {algorithm} is {computed}, not {value}")


def _announced_length(request: Request) -> int:
    length = _number(request, "content-length")
    if length is None:
        raise Invalid("content-length", "you must provide the Content-Length HTTP header")
    return length


def _announced_trailer(request: Request) -> list[str]:
    """The algorithm of the checksum that is to follow the body."""
    named = (value.lower().removeprefix(HEADER).upper() for name, value in _texts(request) if name == "x-amz-trailer")
    return [name for name in named if name in S3_ALGORITHMS]


def _number(request: Request, wanted: str) -> int | None:
    text = next((value for name, value in _texts(request) if name == wanted), "")
    return int(text) if _LENGTH.fullmatch(text) else None


def _texts(request: Request) -> Iterator[tuple[str, str]]:
    """The headers, their names in lower case."""
    for name, value in request.headers:
        yield name.decode("latin-1").lower(), value.decode("latin-1").strip()


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_BYTES:
        raise LimitExceeded(f"an object that is put at once, or a part, has at most {MAX_BYTES:,} bytes")

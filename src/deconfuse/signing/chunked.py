r"""Bodies of verified S3 requests: framing taken off, and held to what was signed and announced.

`open_body(verified, request)` gives a push parser: `feed(data)` returns the bytes that are ready, `finish()` says that
no more will come and returns the checksums that followed the body. What was returned may be written down at once and
must not be shown to anybody before `finish()` has returned: only then are length, checksum and hash known to be right.
Of signed chunks nothing is returned before the signature of its chunk held.

aws-chunked, the framing that AWS's SDKs put around a stream:

    chunk    = hex-size [";chunk-signature=" 64-hex] CRLF bytes CRLF      the last one has size 0 and no bytes
    trailers = "x-amz-checksum-<name>:" base64 (CRLF | LF) ["x-amz-trailer-signature:" 64-hex CRLF] CRLF

    STREAMING-UNSIGNED-PAYLOAD-TRAILER            sizes only, then trailers
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD            each chunk signed, each signature chained to the one before
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER    the same, then signed trailers

SDKs disagree about line ends and blank lines among trailers; all of the spellings seen are read. Everything is bounded:
lines, chunks that must be held until their signature is known, trailers, and the length that was declared.

Sources: Amazon S3 API Reference, "Transferring Payload in Multiple Chunks (Chunked Upload)" and "Including trailing
headers", with the example that the tests reproduce.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

from deconfuse.errors import BadSignature, Damaged, Invalid, NotBuilt
from deconfuse.signing.checksums import HEADER, S3_ALGORITHMS, Digest, new_digest, to_base64
from deconfuse.signing.sigv4 import (
    SIGNED_CHUNKS_AND_TRAILER,
    STREAMING,
    UNSIGNED_CHUNKS_AND_TRAILER,
    Request,
    Verified,
)

MAX_SIGNED_CHUNK = 16 << 20
"""Bytes of a signed chunk, which is held until its signature is known."""
MAX_LINE = 1024
"""Bytes of a chunk's head or of a trailer."""
MAX_TRAILER_LINES = 8
"""Lines after the last chunk, blank ones included."""

BODY = "body"
"""`Damaged.what` where the body has the wrong length or framing: S3's IncompleteBody."""
CHECKSUM = "checksum"
"""`Damaged.what` where the checksum is not that of the body: S3's BadDigest."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER = re.compile(rb"[ \t]*([A-Za-z0-9-]{1,64})[ \t]*:[ \t]*([!-~]{1,128})[ \t]*")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"
_EMPTY_HASH = sha256(b"").hexdigest()


class Body(Protocol):
    """A body on its way in."""

    def feed(self, data: bytes) -> list[bytes]:
        """The bytes that `data` makes ready, in order, possibly none."""

    def finish(self) -> dict[str, str]:
        """The body is whole and right; checksums that followed it, by header name."""


def open_body(verified: Verified, request: Request) -> Body:
    """The parser for the body of `request`, chosen by what its signature says about it.

    Raises:
        Invalid: a header about the framing cannot be meant, or a checksum stands in a header and is announced as a
            trailer too.
        NotBuilt: a trailer is announced that is no checksum, or one that is not computed here.
    """
    if verified.payload not in STREAMING:
        return PlainBody(verified)
    length = _header(request, "x-amz-decoded-content-length")
    if length and not re.fullmatch(r"[0-9]{1,15}", length):
        raise Invalid("x-amz-decoded-content-length", f"{length[:40]!r} is not a number of bytes")
    announced = _header(request, "x-amz-trailer").lower()
    if announced and any(name.lower().startswith(HEADER.encode()) for name, _ in request.headers):
        raise Invalid("x-amz-trailer", "a checksum stands in a header or follows the body, not both")
    return ChunkedBody(verified, length=int(length) if length else None, trailer=announced or None)


def without_framing(content_encoding: str) -> str:
    """A Content-Encoding without `aws-chunked`, which describes the way and not the object; "" if nothing is left.

    Example:
        >>> without_framing("aws-chunked, gzip")
        'gzip'
    """
    kept = (part.strip() for part in content_encoding.split(","))
    return ", ".join(part for part in kept if part and part.lower() != "aws-chunked")


class PlainBody:
    """A body without framing, compared with the hash that was signed, where one was."""

    def __init__(self, verified: Verified) -> None:
        self._hash = sha256() if verified.is_body_signed else None
        self._promised = verified.payload

    def feed(self, data: bytes) -> list[bytes]:
        """`data`, taken into account."""
        if self._hash is not None:
            self._hash.update(data)
        return [data] if data else []

    def finish(self) -> dict[str, str]:
        """Nothing follows such a body.

        Raises:
            BadSignature: the body is not the one that was signed ("body").
        """
        if self._hash is not None and not hmac.compare_digest(self._hash.hexdigest(), self._promised):
            raise BadSignature("body", "the body does not have the SHA-256 that x-amz-content-sha256 promised")
        return {}


class ChunkedBody:
    """A body in aws-chunked framing; after an error it takes nothing more."""

    def __init__(self, verified: Verified, *, length: int | None, trailer: str | None) -> None:
        """Begin before the first chunk.

        Args:
            verified: with a payload that is a member of `STREAMING`.
            length: bytes that the body must have without its framing; None if that was not declared.
            trailer: the header that is announced to follow, e.g. "x-amz-checksum-crc32"; None where none is.

        Raises:
            Invalid: a trailer is announced for a body that has none, or the payload is not framed.
            NotBuilt: the trailer is no checksum that is computed here.
        """
        if verified.payload not in STREAMING:
            raise Invalid("x-amz-content-sha256", f"{verified.payload[:40]!r} is not sent in chunks")
        self._sign = None if verified.payload == UNSIGNED_CHUNKS_AND_TRAILER else verified.sign
        if self._sign is None and verified.payload != UNSIGNED_CHUNKS_AND_TRAILER:
            raise Invalid("x-amz-content-sha256", "chunks can be signed by version 4 only")
        self._is_trailer_signed = verified.payload == SIGNED_CHUNKS_AND_TRAILER
        self._announced = _announced(trailer, verified.payload)
        self._checksum: Digest | None = new_digest(self._announced) if self._announced else None
        self._verified = verified
        self._length = length
        self._seen = 0
        self._previous = verified.signature
        self._line = bytearray()
        self._left = 0
        self._promised = ""
        self._held = bytearray()
        self._trailers: dict[str, str] = {}
        self._n_trailer_lines = 0
        self._step: Callable[[memoryview, list[bytes]], memoryview] | None = self._read_size

    def feed(self, data: bytes) -> list[bytes]:
        """The decoded bytes that `data` makes ready, in order, possibly none.

        Raises:
            Damaged: the framing is broken (`BODY`).
            BadSignature: a chunk is not the one that was signed ("mismatch").
        """
        ready: list[bytes] = []
        view = memoryview(data)
        step, self._step = self._step, None
        while view and step is not None:
            view = step(view, ready)
            step, self._step = self._step or step, None
        if step is None:
            raise Damaged(BODY, "it was refused already")
        self._step = step
        return ready

    def finish(self) -> dict[str, str]:
        """The body is whole: the checksums that followed it, by lower-case header name.

        Raises:
            Damaged: it ends too early or is not as long as declared (`BODY`), or has another checksum (`CHECKSUM`).
            BadSignature: the trailers are not the ones that were signed ("mismatch").
        """
        step, self._step = self._step, None
        is_over = step == self._read_end or (step == self._read_trailer and not self._line)
        if not is_over:
            raise Damaged(BODY, "it ends before its last chunk, or was refused already")
        if self._length not in (None, self._seen):
            raise Damaged(BODY, f"it has {self._seen:,} bytes; {self._length:,} were declared")
        if self._is_trailer_signed:
            self._check_trailer_signature()
        self._check_checksum()
        return self._trailers

    # Each step takes what it can use of the view and gives back the rest. It names the step that follows it; where it
    # does not, it goes on itself. While a step works there is none to follow, so that an error leaves the body closed.

    def _read_size(self, view: memoryview, ready: list[bytes]) -> memoryview:
        line, view = self._take_line(view)
        if line is None:
            return view
        found = _SIZE.fullmatch(line.removesuffix(b"\r"))
        if not found or not line.endswith(b"\r"):
            raise Damaged(BODY, f"{line[:40]!r} is not the head of a chunk")
        size, signature = int(found[1], 16), (found[2] or b"").decode()
        if bool(signature) != (self._sign is not None):
            raise Damaged(BODY, "a chunk is signed where none may be, or not where each must be")
        if self._sign is not None and size > MAX_SIGNED_CHUNK:
            raise Damaged(BODY, f"a signed chunk of {size:,} bytes; {MAX_SIGNED_CHUNK:,} are possible")
        if self._length is not None and self._seen + size > self._length:
            raise Damaged(BODY, f"it is longer than the {self._length:,} bytes that were declared")
        self._left, self._promised = size, signature
        if size:
            self._step = self._read_data
        else:
            self._check_chunk(_EMPTY_HASH)
            self._step = self._read_trailer
        return view

    def _read_data(self, view: memoryview, ready: list[bytes]) -> memoryview:
        piece, view = bytes(view[: self._left]), view[self._left :]
        self._left -= len(piece)
        self._seen += len(piece)
        if self._checksum is not None:
            self._checksum.update(piece)
        if self._sign is None:
            ready.append(piece)
        else:
            self._held += piece
        if not self._left:
            if self._sign is not None:
                self._check_chunk(sha256(self._held).hexdigest())
                ready.append(bytes(self._held))
                self._held.clear()
            self._step = self._read_chunk_end
        return view

    def _read_chunk_end(self, view: memoryview, ready: list[bytes]) -> memoryview:
        take = 2 - len(self._line)
        self._line += view[:take]
        if not b"\r\n".startswith(self._line):
            raise Damaged(BODY, "a chunk is longer than its head says")
        if len(self._line) == 2:
            self._line.clear()
            self._step = self._read_size
        return view[take:]

    def _read_trailer(self, view: memoryview, ready: list[bytes]) -> memoryview:
        line, view = self._take_line(view)
        if line is None:
            return view
        self._n_trailer_lines += 1
        if self._n_trailer_lines > MAX_TRAILER_LINES:
            raise Damaged(BODY, f"more than {MAX_TRAILER_LINES} lines follow the last chunk")
        line = line.removesuffix(b"\r")
        if line:
            self._keep_trailer(line)
        elif self._awaited() <= set(self._trailers):
            self._step = self._read_end
        return view

    def _keep_trailer(self, line: bytes) -> None:
        found = _TRAILER.fullmatch(line)
        if not found:
            raise Damaged(BODY, f"{line[:40]!r} is not a trailer")
        name, value = found[1].decode().lower(), found[2].decode()
        if name in self._trailers or name not in self._awaited():
            raise Damaged(BODY, f"the trailer {name!r} came twice or was not announced")
        self._trailers[name] = value

    def _awaited(self) -> set[str]:
        """The trailers that must follow the last chunk, and no others may; blank lines before them do not count."""
        checksum = {HEADER + self._announced.lower()} if self._announced else set()
        return checksum | ({_TRAILER_SIGNATURE} if self._is_trailer_signed else set())

    def _read_end(self, view: memoryview, ready: list[bytes]) -> memoryview:
        raise Damaged(BODY, "bytes follow its end")

    def _take_line(self, view: memoryview) -> tuple[bytes | None, memoryview]:
        """A line without its line feed, None while it is not whole, and what is left of `view`."""
        head = bytes(view[: MAX_LINE + 1 - len(self._line)])
        end = head.find(b"\n")
        if end < 0:
            self._line += head
            if len(self._line) > MAX_LINE:
                raise Damaged(BODY, f"a line of its framing has more than {MAX_LINE} bytes")
            return None, view[len(head) :]
        line = bytes(self._line + head[:end])
        self._line.clear()
        return line, view[end + 1 :]

    def _check_chunk(self, content_hash: str) -> None:
        if self._sign is not None:
            self._check_signature("PAYLOAD", [_EMPTY_HASH, content_hash], self._promised)

    def _check_trailer_signature(self) -> None:
        given = self._trailers.pop(_TRAILER_SIGNATURE, None)
        if given is None:
            raise Damaged(BODY, f"it ends before {_TRAILER_SIGNATURE}")
        text = "".join(f"{name}:{value}\n" for name, value in sorted(self._trailers.items()))
        self._check_signature("TRAILER", [sha256(text.encode()).hexdigest()], given)

    def _check_signature(self, kind: str, hashes: list[str], given: str) -> None:
        assert self._sign is not None
        head = [f"AWS4-HMAC-SHA256-{kind}", self._verified.stamp, self._verified.scope, self._previous]
        self._previous = self._sign("\n".join([*head, *hashes]))
        if not hmac.compare_digest(self._previous.encode(), given.encode()):
            raise BadSignature("mismatch", "a part of the body is not the one that was signed")

    def _check_checksum(self) -> None:
        if self._checksum is None:
            return
        name, arrived = HEADER + self._announced.lower(), to_base64(self._checksum.digest())
        if name not in self._trailers:
            raise Damaged(BODY, f"it ends before {name}, which was announced")
        if self._trailers[name] != arrived:
            raise Damaged(CHECKSUM, f"{name} is {self._trailers[name]}; what arrived has {arrived}")


def _announced(trailer: str | None, payload: str) -> str:
    """The algorithm of the checksum that is announced to follow; "" where none is."""
    if trailer is None:
        return ""
    if not payload.endswith("-TRAILER"):
        raise Invalid("x-amz-trailer", f"nothing follows a body sent as {payload}")
    name = trailer.strip().lower().removeprefix(HEADER).upper()
    if name not in S3_ALGORITHMS:
        raise NotBuilt(
            "x-amz-trailer", f"{trailer[:80]!r}: only one checksum of {', '.join(S3_ALGORITHMS)} can follow a body"
        )
    return name


def _header(request: Request, name: str) -> str:
    """The value of a header that may come once, "" where it did not."""
    values = [value.decode("latin-1").strip() for given, value in request.headers if given.lower() == name.encode()]
    if len(values) > 1:
        raise Invalid(name, f"came {len(values)} times")
    return values[0] if values else ""

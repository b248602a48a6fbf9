"""One request over HTTP and its answer, as an ASGI server hands them over; both doors and the pages speak through it.

A body is read within limits that are stated here: so many bytes, never silent for long, and not slower than a modem.
An answer that is given before the body was read to its end closes the connection: the client may never send the rest,
and the server would take its next request for that rest.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from deconfuse.errors import Unavailable
from deconfuse.signing.sigv4 import Request

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

SILENT_SECONDS = 20.0
"""No byte for so long, and a body is given up."""

GRACE_SECONDS = 30.0
SLOWEST_BYTES_PER_SECOND = 1024
"""After the grace, a body that has come more slowly than this on the average is given up."""

SMALL_BODY = 256 << 10
"""Bytes of a body that is held without asking whose it is."""

EXTENSION = "deconfuse"
"""Of the scope; its "is_gone" is a function that tells whether the connection has ended. Without it nobody is ever gone
while an answer is sent."""


class Gone(Exception):
    """The client has left; nobody waits for an answer."""


class TooSlow(Exception):
    """The body came more slowly than is waited for."""


class Exchange:
    """One request and its answer.

    Attributes:
        request: method, path, query and headers, byte for byte as they arrived.
        request_id: identifies the request in its answer and in the log.
        host: the header Host, or "".
        client: the address of who asks, or "" where the server does not know it.
        is_secure: whether the connection is encrypted.
        status: of the answer; 0 before it began.
        n_sent: bytes of the answer's body so far.
        n_received: bytes of the request's body so far.
        operation: what is asked, by its name in the API or in S3; "" until a door has found out.
        key_id: the key that signed; "" until a door has checked that.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        request_id: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes what an ASGI server calls an application with; the scope is one of HTTP."""
        headers = tuple((bytes(name).lower(), bytes(value)) for name, value in scope["headers"])
        raw_path = bytes(scope.get("raw_path") or scope["path"].encode())
        self.request = Request(scope["method"], raw_path.partition(b"?")[0], bytes(scope["query_string"]), headers)
        self.request_id = request_id
        self.host = self.header("host") or ""
        self.client = (scope.get("client") or ("", 0))[0]
        self.is_secure = scope.get("scheme") == "https"
        self.status = 0
        self.n_sent = 0
        self.n_received = 0
        self.operation = ""
        self.key_id = ""
        self._receive = receive
        self._send = send
        self._monotonic = monotonic
        self._is_read = False
        extension = (scope.get("extensions") or {}).get(EXTENSION, {})
        self._is_gone: Callable[[], bool] = extension.get("is_gone", lambda: False)

    def header(self, name: str) -> str | None:
        """The first header of this name in lower case, as latin-1; None where there is none."""
        wanted = name.encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.request.headers if key == wanted), None)

    @property
    def has_small_body(self) -> bool:
        """Whether the request says that its body has at most `SMALL_BODY` bytes; one that says nothing has none."""
        length = self.header("content-length") or "0"
        is_number = length.isascii() and length.isdigit() and len(length) < 10
        return self.header("transfer-encoding") is None and is_number and int(length) <= SMALL_BODY

    @property
    def is_from_here(self) -> bool:
        """Whether the connection comes from this machine, as those through a proxy on it do too."""
        try:
            return ipaddress.ip_address(self.client).is_loopback
        except ValueError:
            return False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, piece by piece.

        Raises:
            Gone: the client left before its end.
            TooSlow: see above.
        """
        began = self._monotonic()
        n_bytes = 0
        while not self._is_read:
            try:
                async with asyncio.timeout(SILENT_SECONDS):  # `wait_for` would make a task for every piece
                    message = await self._receive()
            except TimeoutError:
                raise TooSlow(f"no byte came for {SILENT_SECONDS:g} seconds") from None
            if message["type"] == "http.disconnect":
                self._is_read = True
                raise Gone
            self._is_read = not message.get("more_body", False)
            data = message.get("body", b"")
            n_bytes += len(data)
            self.n_received += len(data)
            late = self._monotonic() - began - GRACE_SECONDS
            if late > 0 and n_bytes < late * SLOWEST_BYTES_PER_SECOND and not self._is_read:
                raise TooSlow(f"the body came at less than {SLOWEST_BYTES_PER_SECOND} bytes a second")
            if data:
                yield data

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body; of one that has more than `limit_bytes`, the beginning, which is longer than the limit.

        Raises:
            Gone, TooSlow: as `chunks`.
        """
        held = bytearray()
        async for data in self.chunks():
            held += data
            if len(held) > limit_bytes:
                break
        return bytes(held)

    async def begin(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Send the head of an answer; `length` is that of its body, None where it is not known."""
        sent = [(name, value) for name, value in headers]
        if length is not None:
            sent.append((b"content-length", b"%d" % length))
        if not self._is_read and self._has_body():
            sent.append((b"connection", b"close"))
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": sent})

    async def send(self, data: bytes, *, is_last: bool) -> None:
        """Send a piece of the answer's body.

        Raises:
            Gone: more was to come, and the client has left.
        """
        self.n_sent += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})
        if not is_last and self._is_gone():
            raise Gone

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a whole answer; to a HEAD request the body is not sent, but its length is."""
        length = None if status in (204, 304) else len(body)
        await self.begin(status, headers, length=length)
        await self.send(b"" if self.request.method == "HEAD" or length is None else body, is_last=True)

    def _has_body(self) -> bool:
        length = self.header("content-length")
        return self.header("transfer-encoding") is not None or (length is not None and length != "0")


Report = Callable[[Exchange, Exception], None]
"""Takes an error of our own, with the request that met it."""

_LOG = logging.getLogger("deconfuse.doors")


def write_to_log(exchange: Exchange, error: Exception) -> None:
    """An error with its traceback; that the disk, the database or the store is away, in a sentence."""
    what = exchange.operation or exchange.request.method
    if isinstance(error, Unavailable):
        _LOG.warning("request %s (%s) failed: %s", exchange.request_id, what, error)
    else:
        _LOG.error("request %s (%s) failed", exchange.request_id, what, exc_info=error)

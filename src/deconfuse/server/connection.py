"""One connection: uvicorn's, with limits for the head of a request, which uvicorn takes at any length and speed."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deconfuse.asgi import EXTENSION

LARGEST_HEAD = 64 << 10
"""Bytes of a request's first line and headers. S3 takes 8 KB of headers, and addresses with keys of 1,024 bytes."""

HEAD_SECONDS = 20.0
"""How long a connection may be open, or a request begun, without the end of its head."""


class Connection(HttpToolsProtocol):
    """A connection whose client must come to the point."""

    _is_in_head = True
    _n_head = 0
    _has_turned = False  # whether a request began or ended in the bytes at hand
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._have_head()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has said all: whoever has asked a whole question gets the answer; then the connection ends."""
        cycle = self.cycle
        if self.scheme == "https" or cycle is None or cycle.more_body or cycle.response_complete:
            return False  # under TLS a connection has no half
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Take in bytes; a head that has become too long ends the connection."""
        if self._is_in_head and self._deadline is None:
            self._expect_head()
        self._has_turned = False
        super().data_received(data)
        # Bytes in which a request began or ended are not all of a head; its headers were counted one by one.
        if self._is_in_head and not self._has_turned and not self.transport.is_closing():
            self._n_head += len(data)
            if self._n_head > LARGEST_HEAD:
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """The parser has seen the first byte of a request."""
        self._is_in_head, self._n_head, self._has_turned = True, 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """The parser has seen a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has seen a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The parser has seen the end of a head."""
        self._have_head()
        self.scope["extensions"] = {EXTENSION: {"is_gone": self.transport.is_closing}}
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The parser has seen the end of a request."""
        super().on_message_complete()
        self._is_in_head, self._n_head, self._has_turned = True, 0, True

    def shutdown(self) -> None:
        """The server ends: an idle connection does at once."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.scheme == "https":
            self.transport.abort()  # a pooled client does not listen, and would not answer the farewell of TLS
        else:
            super().shutdown()

    def _count(self, n_bytes: int) -> None:
        self._n_head += n_bytes
        if self._n_head > LARGEST_HEAD:
            raise ValueError("the head of the request is too long")  # the parser's error; answered with 400

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _have_head(self) -> None:
        self._is_in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

"""One connection: who does not come to the point is cut off, who is slow for a good reason is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from deconfuse.asgi import Exchange
from deconfuse.server import connection, process
from deconfuse.server.connection import LARGEST_HEAD, Connection

SECONDS = 0.4
SLOW = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
"""A question whose answer takes its time."""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Tells how long the body was, at /slow after a while."""
    n_bytes, more = 0, True
    while more:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.2)
    body = str(n_bytes).encode()
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    await send(head)
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that waits for heads no longer than SECONDS."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", SECONDS)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=Connection, lifespan="off", ws="none", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def answer(client: socket.socket) -> bytes:
    """What comes next; b"" when the connection has ended."""
    try:
        return client.recv(65536)
    except ConnectionError:
        return b""


def post(n_bytes: int) -> bytes:
    """A request with a body."""
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % n_bytes + b"x" * n_bytes


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_is_not_waited_for(port: int, sent: bytes) -> None:
    """Thousands of such connections cost nothing but a client's patience."""
    began = time.monotonic()
    with connected(port) as client:
        client.sendall(sent)

        assert answer(client) == b""
        assert time.monotonic() - began < SECONDS + 5


def test_drops_do_not_prolong_the_wait(port: int) -> None:
    """The time is that of the whole head, not that since the last byte."""
    with connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                client.sendall(b"X: y\r\n")
                time.sleep(SECONDS / 10)
                client.setblocking(False)
                try:
                    if client.recv(1) == b"":
                        break
                except BlockingIOError:
                    client.setblocking(True)
            else:
                pytest.fail("the connection is still open")


def test_the_second_head_is_waited_for_as_the_first(port: int) -> None:
    """An idle connection is kept; one that has begun a request is not kept for ever."""
    with connected(port) as client:
        client.sendall(post(3))
        first = answer(client)
        time.sleep(2 * SECONDS)
        client.sendall(post(4))
        second = answer(client)
        client.sendall(b"GET /")

        assert (first[-1:], second[-1:]) == (b"3", b"4")
        assert answer(client) == b""


def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    """How slow a body may be is for who reads it to say."""
    with connected(port) as client:
        client.sendall(post(4)[:-2])
        time.sleep(2 * SECONDS)
        client.sendall(b"xx")

        assert answer(client).endswith(b"4")


@pytest.mark.parametrize("n_bytes", [0, 1, LARGEST_HEAD - 1, LARGEST_HEAD + 1, 3_000_000])
def test_large_bodies_are_no_heads(port: int, n_bytes: int) -> None:
    """One after the other on one connection, in one piece or with the next."""
    with connected(port) as client:
        for _ in range(3):
            client.sendall(post(n_bytes))

            assert answer(client).endswith(b"\r\n\r\n%d" % n_bytes)


def test_requests_that_come_together_are_answered_in_turn(port: int) -> None:
    """Pipelined, with bodies larger than a head may be."""
    with connected(port) as client:
        client.sendall(post(100_000) + post(7))
        received = b""
        while not received.endswith(b"\r\n\r\n7"):
            received += answer(client) or pytest.fail(f"cut off after {received!r}")

    assert b"\r\n\r\n100000" in received


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * (LARGEST_HEAD + 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (LARGEST_HEAD + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: aaaaaaaa\r\n" * (LARGEST_HEAD // 9 + 1) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2_000_000,
    ],
    ids=["path", "header", "headers", "endless"],
)
def test_a_head_that_is_too_long_is_refused(port: int, head: bytes) -> None:
    """With 400; or by the end of the connection, where bytes are still coming."""
    with connected(port) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(head)
        received = answer(client)

    assert received == b"" or received.startswith(b"HTTP/1.1 400")


def test_a_head_of_a_usual_length_is_taken(port: int) -> None:
    """S3's clients send two kilobytes of metadata and a key of one, each three times as long when encoded."""
    head = b"GET /" + b"%E2" * 1024 + b" HTTP/1.1\r\nHost: x\r\nX-Amz-Meta-A: " + b"a" * 8192 + b"\r\n\r\n"
    with connected(port) as client:
        client.sendall(head)

        assert answer(client).startswith(b"HTTP/1.1 200")


def test_who_has_said_all_gets_the_answer(port: int) -> None:
    """A client may close its half of the connection behind its question; then the server closes the other."""
    for n_questions in (1, 3):
        with connected(port) as client:
            client.sendall(SLOW + post(4) * (n_questions - 1))
            client.shutdown(socket.SHUT_WR)
            told = b""
            while piece := answer(client):
                told += piece

        assert told.count(b"200 OK") == n_questions


@pytest.mark.parametrize("sent", [b"", b"GET /", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"])
def test_who_closes_too_early_gets_none(port: int, sent: bytes) -> None:
    """The rest of the question cannot come any more, so nobody waits for it."""
    began = time.monotonic()
    with connected(port) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)

        assert answer(client) == b""
        assert time.monotonic() - began < 5


def test_an_idle_client_closes_its_half(port: int) -> None:
    """The server closes the other."""
    with connected(port) as client:
        client.sendall(post(4))
        assert answer(client)
        client.shutdown(socket.SHUT_WR)

        assert answer(client) == b""


async def pour(scope: Any, receive: Any, send: Any) -> None:
    """Sends a gigabyte, and keeps count."""
    exchange = Exchange(scope, receive, send, request_id="r")
    POURED.append(exchange)
    await exchange.begin(200, [], length=1 << 30)
    for number in range(1 << 10):
        await exchange.send(bytes(1 << 20), is_last=number == 1023)


POURED: list[Exchange] = []


@contextlib.contextmanager
def pouring(listener: socket.socket) -> Iterator[int]:
    """The port of a server that pours."""
    POURED.clear()
    config = uvicorn.Config(pour, http=Connection, lifespan="off", ws="none", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def test_nothing_is_made_for_who_has_left() -> None:
    """The rest of an answer is not read from the disk for nobody."""
    with pouring(socket.create_server(("127.0.0.1", 0))) as port:
        with connected(port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100)
        time.sleep(0.5)
        sent = POURED[0].n_sent
        time.sleep(0.2)

        assert POURED[0].n_sent == sent < 200 << 20


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system does not count how long nobody listens"
)
def test_who_does_not_listen_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while what is held for a client that reads nothing is given up."""
    monkeypatch.setattr(process, "UNHEARD_SECONDS", 1)
    with pouring(process.listen("127.0.0.1", 0)) as port, connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(4)
        n_heard = 0
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(1 << 20):
                n_heard += len(piece)

        assert n_heard < 1 << 29

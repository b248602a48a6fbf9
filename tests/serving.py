"""The doors as clients meet them: over a real socket, or in process, with boto3.

with served(house) as service:            uvicorn in a thread, on 127.0.0.1 and a free port
    service.client("rekognition")         a boto3 client with the first key, no retries
    service.client("s3", key=other)       with another key
with in_process(house) as service:        the same without a socket: the client's requests are handed to the doors

`Doors(house)` is the ASGI application; jobs are done by threads, or by child processes where a command is given.
"""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import boto3
import uvicorn
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from deconfuse.asgi import Exchange, Receive, Scope, Send
from deconfuse.engine.runner import Runner
from deconfuse.gateway.endpoint import Gateway
from deconfuse.server.application import Application
from deconfuse.service import keys
from deconfuse.service.house import House
from deconfuse.service.work import tasks
from deconfuse.store.registry import Job
from deconfuse.wire.endpoint import Api
from houses import now_utc
from signed import sign


class Doors:
    """The application of the service, with the errors of our own that its doors met.

    Attributes:
        house: what stands behind the doors.
        faults: those errors, in order; a test that expects none asserts that it is empty.
    """

    def __init__(self, house: House) -> None:
        """Doors to `house`."""
        self.house = house
        self.faults: list[Exception] = []
        api, gateway = Api(house, report=self._keep), Gateway(house, domain="localhost", report=self._keep)
        self._application = Application(house, api=api, gateway=gateway)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._application(scope, receive, send)

    def _keep(self, _: Exchange, error: Exception) -> None:
        self.faults.append(error)


class Service:
    """A house with open doors.

    Attributes:
        house: what stands behind the doors.
        doors: the application.
        url: where it is reached.
        key: its first key.
    """

    def __init__(self, doors: Doors, url: str, *, hand_over: Callable[..., AWSResponse] | None = None) -> None:
        """Doors at `url`; `hand_over` takes a client's requests where there is no socket."""
        self.house, self.doors, self.url = doors.house, doors, url
        self.key = keys.first_key(doors.house) or keys.list_keys(doors.house)[0]
        self._hand_over = hand_over
        self._clients: list[Any] = []

    def client(self, name: str, *, key: keys.Key | None = None, region: str | None = None, **config: Any) -> Any:
        """A boto3 client of the service `name`, which tries once; `config` goes to botocore's Config."""
        key = key or self.key
        session = boto3.Session(key.id, key.secret, region_name=region or self.house.region)
        settings = Config(**{"retries": {"total_max_attempts": 1}, **config})
        client = session.client(name, endpoint_url=self.url, config=settings)
        if self._hand_over is not None:
            client.meta.events.register(f"before-send.{name}", self._hand_over)
        self._clients.append(client)
        return client

    def call(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer of the API to a request that is signed well, whatever its body."""
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"RekognitionService.{operation}"}
        request = sign(
            "POST", f"{self.url}/", headers=headers, body=body, by="botocore json", service="rekognition",
            at=now_utc(), key_id=self.key.id, secret=self.key.secret,
        )  # fmt: skip
        sent = {name.decode(): value.decode() for name, value in request.headers}
        status, _, data = ask(self.doors, body, headers=sent)
        return status, data

    def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            client.close()


@contextmanager
def served(house: House, **runner: Any) -> Iterator[Service]:
    """The doors of `house` on a free port of 127.0.0.1, with work done as by `working`."""
    with working(house, **runner) as house:
        doors = Doors(house)
        listener = socket.create_server(("127.0.0.1", 0))
        service = Service(doors, f"http://127.0.0.1:{listener.getsockname()[1]}")
        config = uvicorn.Config(doors, lifespan="off", ws="none", log_level="error", timeout_keep_alive=60)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.close()
            server.should_exit = True
            thread.join(10)
            listener.close()


@contextmanager
def in_process(house: House, *, is_idle: bool = False) -> Iterator[Service]:
    """The doors of `house` without a socket, with work done by threads; in an idle house every job waits for ever."""
    with nullcontext(house) if is_idle else working(house) as house:
        doors = Doors(house)
        service = Service(doors, "http://deconfuse.local", hand_over=lambda request, **_: _handed_over(doors, request))
        try:
            yield service
        finally:
            service.close()


@contextmanager
def working(
    house: House,
    *,
    command: Callable[[Job, str], list[str]] | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[House]:
    """The house with its jobs done meanwhile: by threads, or those that want a child process by `command`."""
    started: list[Runner] = []
    house = replace(house, wake=lambda: [runner.wake() for runner in started] and None)
    kinds = {
        kind: task if command is not None else replace(task, is_child=False) for kind, task in tasks(house).items()
    }
    runner = Runner(
        house.database,
        kinds,
        command=command or (lambda job, worker: []),
        environment=environment,
        clock=house.clock,
        n_children=2,
        n_threads=4,
    )
    runner.start()
    started.append(runner)
    try:
        yield house
    finally:
        runner.stop(10)


def ask(
    doors: Doors,
    body: bytes | list[bytes] = b"",
    *,
    method: str = "POST",
    path: str = "/",
    query: bytes = b"",
    headers: Mapping[str, str] | None = None,
    is_cut: bool = False,
    is_slow: bool = False,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request that no client would send; (0, {}, b"") where none comes.

    Args:
        doors: the application.
        body: as one piece, or piece by piece.
        method: of HTTP.
        path: without the query.
        query: without the "?".
        headers: of the request.
        is_cut: whether the client leaves before the body's end.
        is_slow: whether the end of the body never comes.
    """
    pieces = [body] if isinstance(body, bytes) else body
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append(
        {"type": "http.disconnect"} if is_cut else {"type": "http.request", "body": b"", "more_body": False}
    )
    answer: list[Any] = []

    async def receive() -> Any:
        if is_slow and len(messages) == 1:
            await asyncio.sleep(60)
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "scheme": "http",
        "headers": list({name.lower().encode(): value.encode() for name, value in (headers or {}).items()}.items()),
    }
    asyncio.run(_answered(doors, scope, receive, send))
    if not answer:
        return 0, {}, b""
    head, *rest = answer
    received = {name.decode(): value.decode("latin-1") for name, value in head["headers"]}
    return head["status"], received, b"".join(part.get("body", b"") for part in rest)


async def _answered(doors: Doors, scope: Any, receive: Any, send: Any) -> None:
    await doors(scope, receive, send)


def _handed_over(doors: Doors, request: AWSPreparedRequest) -> AWSResponse:
    body = request.body or b""
    body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else body.read()
    address = request.url.partition("://")[2]
    host, _, target = address.partition("/")
    path, _, query = target.partition("?")
    sent = {
        name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    headers = {"Host": host, "Content-Length": str(len(body)), **sent}
    status, received, data = ask(
        doors, body, method=request.method, path="/" + path, query=query.encode(), headers=headers
    )
    return AWSResponse(request.url, status, received, _Raw(data))


class _Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while data := self.read(65536):
            yield data

"""Requests that nobody should send, and whether the answer is one: tests of a server against a hostile world.

    aim = Aim(server, …)                     a server, a key, and what is there to be asked for
    data = aim.request("GET", "/photos/a")   the bytes of a request, signed as a client signs, by botocore
    reply = fire(aim.port, data)             what came back
    complaint(data, reply)                   why that is no answer, or None
    vitals(process_id)                       what the server holds

`attacks` makes the requests, `bombs` the images.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree as ET

import h11
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import create_parser

from servers import Server

PATIENCE = 20.0
"""Seconds for an answer that is due."""


class _Signer(SigV4Auth):
    """Signs whatever it is told about a body, and a path step by step."""

    payload_hash = ""

    def payload(self, request: Any) -> str:
        return self.payload_hash

    def _normalize_url_path(self, path: str) -> str:
        return "/".join(quote(unquote_to_bytes(part), safe="") for part in path.split("/"))


@dataclass
class Aim:
    """A server to be shot at.

    Attributes:
        server: its process.
        version: the ARN of a version that runs.
        project: the ARN of its project.
        dataset: the ARN of a dataset that may be changed.
        key_id: signs.
        secret: likewise.
        n_datasets: how many datasets were asked for.
    """

    server: Server
    version: str
    project: str
    dataset: str
    key_id: str
    secret: str
    n_datasets: int = field(default=0)

    @property
    def port(self) -> int:
        """Of the server."""
        return self.server.port

    @property
    def host(self) -> str:
        """As the header Host has it."""
        return f"127.0.0.1:{self.port}"

    def signed(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, service: str, payload: str | None
    ) -> dict[str, str]:
        """All headers of a request; those of its body are not among them."""
        request = AWSRequest(method, f"http://{self.host}{target}", headers=dict(headers))
        request.context["payload_signing_enabled"] = True
        signer = _Signer(Credentials(self.key_id, self.secret), service, "us-east-1")
        signer.payload_hash = payload or hashlib.sha256(body).hexdigest()
        if service == "s3":
            request.headers["X-Amz-Content-SHA256"] = signer.payload_hash
        signer.add_auth(request)
        return {name: value for name, value in request.headers.items() if name.lower() != "host"}

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        service: str = "s3",
        payload: str | None = None,
    ) -> bytes:
        """The bytes of a request that is signed well."""
        signed = self.signed(method, target, headers or {}, body, service=service, payload=payload)
        return wire(method, target, {"Host": self.host, **signed, "Content-Length": str(len(body))}, body)

    def call(self, operation: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes of a request to the API that is signed well."""
        given = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"RekognitionService.{operation}"}
        return self.request("POST", "/", body, given | dict(headers or {}), service="rekognition")

    def ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The result of an operation, which must go well."""
        reply = fire(self.port, self.call(operation, json.dumps(parameters).encode()))
        assert reply.status == 200, (operation, reply)
        return dict(json.loads(reply.body or b"{}"))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: 0 where no answer came.
        headers: names in lower case.
        body: as it came.
        is_open: whether the connection was still open when patience ended.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    is_open: bool = False


def wire(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as bytes."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def state_of(data: bytes) -> str:
    """What a strict reader of HTTP, h11, thinks of these bytes: "whole", "cut", or "bad"."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 26)
    if not data:
        return "cut"  # to h11, no bytes are the end of the connection
    try:
        reader.receive_data(data)
        while isinstance(event := reader.next_event(), h11.Request | h11.Data | h11.EndOfMessage):
            if isinstance(event, h11.EndOfMessage):
                return "whole"
    except h11.RemoteProtocolError:
        return "bad"
    return "cut"


def fire(port: int, data: bytes) -> Reply:
    """Send bytes over a connection of their own: the first answer to them.

    Where a request is not whole, the connection's sending half is closed, so that nobody waits for the rest.
    """
    state = state_of(data)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        _send(line, data)
        if state != "whole":
            line.settimeout(0.5 if state == "bad" else PATIENCE)
            if state == "bad" and _has_come(line):
                return _answer(line, data)
            line.settimeout(PATIENCE)
            _close_half(line)
        return _answer(line, data)


def _send(line: socket.socket, data: bytes) -> None:
    try:
        line.sendall(data)
    except (ConnectionError, TimeoutError):
        return  # it has heard enough; what it says is read


def _has_come(line: socket.socket) -> bool:
    try:
        line.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def _close_half(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _answer(line: socket.socket, data: bytes) -> Reply:
    method = data.lstrip().partition(b" ")[0].decode("latin-1")
    answer = http.client.HTTPResponse(line, method=method)
    try:
        answer.begin()
        body = answer.read()
    except TimeoutError:
        return Reply(0, {}, b"", is_open=True)
    except (ConnectionError, http.client.BadStatusLine):
        return Reply(0, {}, b"")
    finally:
        answer.close()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


# What may be wrong with an answer ------------------------------------------------------------------------------------

_PLAIN = (
    b"Invalid HTTP request",
    b"The head of the request",
    b"there is no",
    b"GET or HEAD",
    b"a read-only key",
    b"ok",
)


def complaint(data: bytes, reply: Reply) -> str | None:
    """Why this is no answer to these bytes; None where it is one."""
    state = state_of(data)
    if reply.is_open:
        return "it hangs"
    if not reply.status:
        return "no answer, though the request is whole" if state == "whole" else None
    if reply.status >= 500 and reply.status != 501:
        return f"the answer is {reply.status}: {reply.body[:300]!r}"
    if reply.status < 400 or data.startswith(b"HEAD ") or not reply.body:
        return None
    return _fault_complaint(reply)


def _fault_complaint(reply: Reply) -> str | None:
    """Why a client cannot read this refusal."""
    kind = reply.headers.get("content-type", "").partition(";")[0]
    if kind == "text/plain":
        return None if reply.body.startswith(_PLAIN) else f"a refusal of no protocol: {reply.body[:200]!r}"
    if kind == "text/html":
        return None if reply.status == 404 else f"a page says {reply.status}"
    protocol = {"application/x-amz-json-1.1": "json", "text/xml": "query", "application/xml": "rest-xml"}.get(kind)
    if protocol is None:
        return f"a refusal of the type {kind!r}"
    try:
        if protocol != "json":
            ET.fromstring(reply.body)
        parts = {"status_code": reply.status, "headers": reply.headers, "body": reply.body}
        error = create_parser(protocol).parse(parts, None)["Error"]
    except Exception as problem:  # noqa: BLE001 - whatever a client's parser raises is the finding
        return f"a refusal that botocore cannot read ({problem!r}): {reply.body[:300]!r}"
    if not error.get("Code") or error["Code"].isdigit() or not error.get("Message"):
        return f"a refusal without a code or a message: {reply.body[:300]!r}"
    return None


# The server's own state ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process holds.

    Attributes:
        own_mb: of memory, without the pages of files, which come and go as the system likes.
        n_descriptors: open files and connections.
        n_threads: threads.
    """

    own_mb: float
    n_descriptors: int
    n_threads: int


def vitals(process_id: int) -> Vitals:
    """What a process holds now."""
    folder = Path(f"/proc/{process_id}")
    found = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    own = int(found["RssAnon"].split()[0]) / 1024
    return Vitals(own, len(list((folder / "fd").iterdir())), int(found["Threads"]))


def settled(process_id: int, *, n_descriptors: int, seconds: float = 30) -> Vitals:
    """What a process holds when it has closed what it need not keep, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while (found := vitals(process_id)).n_descriptors > n_descriptors and time.monotonic() < deadline:
        time.sleep(0.1)
    return found

"""The application: which door a request is for, and what is remembered of it.

    in this order                                        door
    a target (X-Amz-Target), or a signature for          api        AWS JSON; says what is wrong with a request for
    a service other than S3                                         another service
    a signature in the header or in the query            s3
    /healthz                                             healthz    200 while the database answers, else 503
    OPTIONS                                              cors       for the origins of a setting; none by default
    GET / and /-/…                                       pages      no data
    /metrics                                             metrics    a read-only key as HTTP basic, or this machine
    anything else                                        nobody     403, in S3's form

A host name that stands for a bucket has no pages: every path there is a key. A browser that asks beforehand (OPTIONS)
about a presigned address is answered as about any other. Every request gets an id, which stands in its answer and in
the log, one line of JSON and one count in the metrics.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

import anyio
from anyio.to_thread import run_sync

from deconfuse import errors
from deconfuse.asgi import Exchange, Gone, Message, Receive, Scope, Send
from deconfuse.gateway.faults import fault
from deconfuse.gateway.routing import virtual_bucket
from deconfuse.server import metrics, pages
from deconfuse.server.log import REQUESTS
from deconfuse.service import health, keys
from deconfuse.service.house import House
from deconfuse.signing.sigv4 import claim
from deconfuse.wire.endpoint import is_for_api

PREFLIGHT_SECONDS = 3600
"""How long a browser may keep the answer to OPTIONS."""

HEALTH_SECONDS = 1.0
"""How long an answer of /healthz holds, so that asking it costs the database little."""

PATIENCE_SECONDS = 5.0
"""How long /healthz waits for the database."""

_METHODS = b"GET, HEAD, PUT, POST, DELETE"
_EXPOSED = (
    b"ETag, Content-Range, Last-Modified, x-amz-request-id, x-amzn-RequestId, x-amz-version-id, "
    b"x-amz-checksum-crc32, x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256"
)
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_SOON = (b"retry-after", b"1")
_AWAY = b"the database does not answer\n"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_HEADER_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ")
_LOG = logging.getLogger("deconfuse.server")

Answerer = Callable[[Exchange], Awaitable[None]]


class Door(Protocol):
    """Answers one request."""

    async def answer(self, exchange: Exchange) -> None:
        """Answer it, whatever happens."""


class Application:
    """The ASGI application; one event loop uses it.

    Attributes:
        metrics: what was counted.
    """

    def __init__(
        self,
        house: House,
        *,
        api: Door,
        gateway: Door,
        domain: str = "localhost",
        cors_origins: Collection[str] = (),
        is_metrics_open: bool = False,
        ended_jobs: Callable[[], Mapping[tuple[str, str], int]] = dict,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Joins the doors.

        Args:
            house: what stands behind them.
            api: the API's door.
            gateway: the door of S3.
            domain: the name below which a bucket may be a host name.
            cors_origins: whose pages may use the service; "*" is anybody's.
            is_metrics_open: whether this machine sees /metrics without a key.
            ended_jobs: how many jobs ended here, by (kind, outcome).
            monotonic: gives seconds.
        """
        self.metrics = metrics.Metrics()
        self._house = house
        self._api = api
        self._gateway = gateway
        self._domain = domain
        self._origins = frozenset(cors_origins)
        self._is_metrics_open = is_metrics_open
        self._ended_jobs = ended_jobs
        self._monotonic = monotonic
        self._health: tuple[float, bool] | None = None
        self._health_lock = asyncio.Lock()
        self._threads = anyio.CapacityLimiter(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request over HTTP; nothing else is spoken."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not spoken here")
        began = self._monotonic()
        request_id = str(uuid.uuid4())
        exchange = Exchange(scope, receive, self._with_origin(scope, send), request_id=request_id)
        has_host = exchange.host or scope.get("http_version") != "1.1"  # RFC 9112, section 3.2
        name, door = self._door(exchange) if has_host else ("nobody", _answer_hostless)
        self.metrics.n_open += 1
        try:
            await door(exchange)
        except Gone:
            pass
        except Exception:
            _LOG.exception("request %s failed at the door %s", request_id, name)
            if exchange.status:
                raise  # the answer was cut short: the server closes the connection
            await _refuse(exchange, RuntimeError())
        finally:
            self.metrics.n_open -= 1
            self._remember(exchange, name, self._monotonic() - began)

    def _door(self, exchange: Exchange) -> tuple[str, Answerer]:
        """The name of the door that a request is for, and who answers there."""
        request, path = exchange.request, exchange.request.raw_path
        if is_for_api(request):
            return "api", self._api.answer
        is_preflight = request.method == "OPTIONS" and exchange.header("authorization") is None
        if not is_preflight and _is_signed(exchange):
            return "s3", self._gateway.answer
        is_bucket = virtual_bucket(exchange.host, self._domain) is not None
        if path == b"/healthz" and not is_bucket:
            return "healthz", self._answer_health
        if request.method == "OPTIONS":
            return "cors", self._answer_preflight
        if request.method in ("GET", "HEAD") and not is_bucket:
            if path == b"/" or path.startswith(b"/-/"):
                return "pages", _answer_page
            if path == b"/metrics":
                return "metrics", self._answer_metrics
        return "nobody", _answer_unsigned

    async def _answer_health(self, exchange: Exchange) -> None:
        if exchange.request.method not in ("GET", "HEAD"):
            await exchange.answer(405, [_TEXT, (b"allow", b"GET, HEAD")], b"GET or HEAD\n")
            return
        if await self._is_well():
            await exchange.answer(200, [_TEXT], b"ok\n")
        else:
            await exchange.answer(503, [_TEXT, _SOON], _AWAY)

    async def _is_well(self) -> bool:
        async with self._health_lock:
            if self._health is None or self._monotonic() - self._health[0] >= HEALTH_SECONDS:
                is_well = False
                try:
                    with anyio.move_on_after(PATIENCE_SECONDS):
                        check = health.check_database
                        await run_sync(check, self._house, limiter=self._threads, abandon_on_cancel=True)
                        is_well = True
                except errors.Unavailable as error:
                    _LOG.warning("the database does not answer: %s", error)
                self._health = (self._monotonic(), is_well)
            return self._health[1]

    def _with_origin(self, scope: Scope, send: Send) -> Send:
        """`send`, so that an answer tells a browser whether a page of the request's origin may see it."""
        if not self._origins:
            return send
        origin = next((bytes(value) for name, value in scope["headers"] if bytes(name).lower() == b"origin"), b"")
        added = [(b"vary", b"Origin")]
        if origin and self._is_allowed(origin):
            added += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        return tell

    def _is_allowed(self, origin: bytes) -> bool:
        return "*" in self._origins or origin.decode("latin-1") in self._origins

    async def _answer_preflight(self, exchange: Exchange) -> None:
        origin = (exchange.header("origin") or "").encode("latin-1")
        wanted = exchange.header("access-control-request-headers") or ""
        is_meant = exchange.header("access-control-request-method") is not None and _HEADER_CHARACTERS.issuperset(
            wanted
        )
        if not (origin and self._is_allowed(origin) and is_meant):
            await _refuse(exchange, errors.Denied("this server does not allow requests from pages of that origin"))
            return
        headers = [(b"access-control-allow-methods", _METHODS), (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS)]
        if wanted:
            headers.append((b"access-control-allow-headers", wanted.encode("ascii")))
        await exchange.answer(200, headers)

    async def _answer_metrics(self, exchange: Exchange) -> None:
        try:
            await self._answer_scrape(exchange)
        except errors.Unavailable as error:
            _LOG.warning("whose key asks for the metrics cannot be known: %s", error)
            await exchange.answer(503, [_TEXT, _SOON], _AWAY)

    async def _answer_scrape(self, exchange: Exchange) -> None:
        if not (self._is_metrics_open and _is_this_machine(exchange)):
            given = exchange.header("authorization")
            caller = await run_sync(_basic_caller, self._house, given, limiter=self._threads) if given else None
            if caller is None:
                challenge = (b"www-authenticate", b'Basic realm="deconfuse", charset="UTF-8"')
                await exchange.answer(401, [_TEXT, challenge], b"a read-only key and its secret are needed\n")
                return
            exchange.key_id = caller.key_id
            if caller.access != "read":
                why = b"only a read-only key is taken here, for its secret travels as it is\n"
                await exchange.answer(403, [_TEXT], why)
                return
        try:
            jobs = await run_sync(health.count_jobs, self._house, limiter=self._threads)
        except errors.Unavailable:
            jobs = {}
        n_models = health.count_models(self._house)
        text = self.metrics.text(jobs=jobs, ended_jobs=self._ended_jobs(), n_models=n_models)
        await exchange.answer(200, [(b"content-type", metrics.MEDIA_TYPE)], text)

    def _remember(self, exchange: Exchange, door: str, seconds: float) -> None:
        status, operation = exchange.status, exchange.operation
        self.metrics.count(
            door,
            operation=operation,
            status=status,
            seconds=seconds,
            n_received=exchange.n_received,
            n_sent=exchange.n_sent,
        )
        fields = {
            "request": exchange.request_id,
            "door": door,
            "operation": operation,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "received": exchange.n_received,
            "sent": exchange.n_sent,
            "key": exchange.key_id,
        }
        REQUESTS.info("request", extra={"fields": fields})


def _is_signed(exchange: Exchange) -> bool:
    """Whether a request carries a signature, or a part of one."""
    try:
        return claim(exchange.request) is not None
    except errors.BadSignature:
        return True


def _is_this_machine(exchange: Exchange) -> bool:
    """Whether a request comes from here, and nobody says that it was passed on."""
    return exchange.is_from_here and not any(exchange.header(name) is not None for name in _FORWARDED)


def _basic_caller(house: House, authorization: str) -> keys.Caller | None:
    """Who gives a key and its secret by HTTP's basic authentication; None where they do not hold."""
    scheme, _, given = authorization.strip().partition(" ")
    try:
        key_id, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    if scheme.lower() != "basic" or not colon:
        return None
    return keys.holder(house, key_id, secret=secret)


async def _answer_page(exchange: Exchange) -> None:
    status, body = pages.page(exchange.request.raw_path.decode("latin-1"))
    await exchange.answer(status, pages.HEADERS, body)


async def _answer_hostless(exchange: Exchange) -> None:
    await exchange.answer(400, [_TEXT], b"HTTP/1.1 asks for the header Host\n")


async def _answer_unsigned(exchange: Exchange) -> None:
    await _refuse(exchange, errors.NotSigned("the request is not signed"))


async def _refuse(exchange: Exchange, error: Exception) -> None:
    """Answer with an error in S3's form."""
    request = exchange.request
    resource = request.raw_path.decode("latin-1")
    answer = fault(error, method=request.method, resource=resource, request_id=exchange.request_id)
    await exchange.answer(answer.status, answer.headers, answer.body)

"""The API's door over HTTP: read a request, see who sent it, do what it asks, answer.

    POST / with X-Amz-Target: RekognitionService.…   one of the 23 operations, in AWS JSON
    a signature for any other service but S3         STS's GetCallerIdentity, in the Query protocol; else refused

Async stops here: once its body is there, a request spends its life in one thread, where its signature is checked, its
parameters are read and its use case is called. DetectCustomLabels, whose threads wait for processors, has threads of
its own, so that the other operations are answered while many images are in work. A large body is held only for a key
that exists; that of anybody else is thrown away as it comes, and refused like a small one.

Whatever goes wrong is an answer in the client's protocol under the request's id. An error of our own is told to
`report` in full, and to the client not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import anyio
from anyio.to_thread import run_sync

from deconfuse.asgi import Exchange, Gone, Report, TooSlow, write_to_log
from deconfuse.errors import DeconfuseError
from deconfuse.service import keys
from deconfuse.service.house import House
from deconfuse.signing.sigv4 import Request
from deconfuse.wire import identity
from deconfuse.wire.faults import INTERNAL, Refused, code_of
from deconfuse.wire.operations import OPERATIONS
from deconfuse.wire.protocol import LARGEST_BODY, Answer, Protocol, too_large

THREADS = 24
"""Requests in work at once, DetectCustomLabels left out; one more waits its turn."""

DETECT_THREADS = 64
"""The same for DetectCustomLabels; how many of them compute at once is decided by the loaded models."""

LARGE_BODIES = 64
"""Requests with larger bodies at once: what they may hold in memory together; one more waits its turn."""

MOST_DISCARDED = 64 << 20
"""Bytes of a body that is too long, which are still read and thrown away: most clients listen only after they sent."""

READS = re.compile("Describe|List|DetectCustomLabels")
"""How the operations begin that a read-only key may call."""


def is_for_api(request: Request) -> bool:
    """Whether a request is this door's: it has a target, or is signed for another service than S3."""
    if any(name.lower() == b"x-amz-target" for name, _ in request.headers):
        return True
    return _service(request) not in (None, "s3")


class Api:
    """Custom Labels over HTTP, and the one operation of STS."""

    def __init__(self, house: House, *, report: Report = write_to_log) -> None:
        """A door to `house`; errors of our own go to `report`."""
        self.house = house
        self.protocol = Protocol("rekognition")
        self._report = report
        self._threads = anyio.CapacityLimiter(THREADS)
        self._detect_threads = anyio.CapacityLimiter(DETECT_THREADS)
        self._large_bodies = anyio.CapacityLimiter(LARGE_BODIES)

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request; one whose client has left is not answered."""
        if exchange.has_small_body:
            await self._answer(exchange)
        elif await run_sync(self._is_known, exchange, limiter=self._threads):
            async with self._large_bodies:
                await self._answer(exchange)
        else:
            await self._answer(exchange, is_known=False)

    def _is_known(self, exchange: Exchange) -> bool:
        try:
            return keys.is_known(self.house, exchange.request)
        except DeconfuseError:  # met again, and answered, where the signature is checked
            return False

    async def _answer(self, exchange: Exchange, *, is_known: bool = True) -> None:
        is_json = exchange.header("x-amz-target") is not None
        try:
            body = await _body(exchange, LARGEST_BODY if is_json else identity.LARGEST_FORM, is_held=is_known)
        except Gone:
            return
        except (Refused, TooSlow) as error:
            fault = self._json_fault if is_json else self._form_fault
            status, headers, data = fault(exchange, _as_refused(error))
        else:
            is_detection = (exchange.header("x-amz-target") or "").endswith(".DetectCustomLabels")
            limiter = self._detect_threads if is_detection else self._threads
            perform = self._perform if is_json else self._identify
            status, headers, data = await run_sync(perform, exchange, body, limiter=limiter)
        await exchange.answer(status, _encoded(headers), data)

    def _perform(self, exchange: Exchange, body: bytes) -> Answer:
        target = exchange.header("x-amz-target")
        operation = None
        try:
            operation = exchange.operation = self._operation(exchange, body)
            caller = self._caller(exchange, body, "rekognition")
            _, parameters = self.protocol.read(target, body)
            if not READS.match(operation):
                caller.check_may_write()
            result = OPERATIONS[operation](self.house, parameters)
            return 200, self.protocol.headers(exchange.request_id), self.protocol.write(operation, result)
        except Exception as error:  # noqa: BLE001 - a door answers whatever happens behind it
            return self._json_fault(exchange, error, operation)

    def _operation(self, exchange: Exchange, body: bytes) -> str:
        """The operation that is asked for; only who has a key learns which ones there are."""
        target = exchange.header("x-amz-target")
        try:
            operation = self.protocol.operation(target)
            _check_address(exchange.request)
        except Refused:
            if self.protocol.is_asked(target):
                self._caller(exchange, body, "rekognition")
            raise
        return operation

    def _identify(self, exchange: Exchange, body: bytes) -> Answer:
        try:
            _check_is_sts(_service(exchange.request))
            exchange.operation = identity.OPERATION
            caller = self._caller(exchange, body, "sts")
            identity.check_request(body or exchange.request.raw_query)
            account, key_id = self.house.account, caller.key_id
            arn = f"arn:aws:iam::{account}:user/{key_id}"
            data = identity.write_identity(account=account, user_id=key_id, arn=arn, request_id=exchange.request_id)
            return 200, identity.headers(exchange.request_id), data
        except Exception as error:  # noqa: BLE001 - a door answers whatever happens behind it
            return self._form_fault(exchange, error)

    def _caller(self, exchange: Exchange, body: bytes, service: str) -> keys.Caller:
        caller, _ = keys.authenticate(self.house, exchange.request, services=(service,), body=body)
        exchange.key_id = caller.key_id
        return caller

    def _json_fault(self, exchange: Exchange, error: Exception, operation: str | None = None) -> Answer:
        self._tell(exchange, error)
        return self.protocol.fault(error, request_id=exchange.request_id, operation=operation)

    def _form_fault(self, exchange: Exchange, error: Exception) -> Answer:
        self._tell(exchange, error)
        return identity.fault(error, request_id=exchange.request_id)

    def _tell(self, exchange: Exchange, error: Exception) -> None:
        if code_of(error) == INTERNAL:
            self._report(exchange, error)


async def _body(exchange: Exchange, limit: int, *, is_held: bool) -> bytes:
    """The whole body; one above `limit` bytes is thrown away and Refused, one that is not to be held gives nothing."""
    body = await exchange.body(limit) if is_held else b""
    if is_held and len(body) <= limit:
        return body
    n_discarded = len(body)
    async for data in exchange.chunks():
        n_discarded += len(data)
        if n_discarded > MOST_DISCARDED:
            break
    if not is_held:
        return b""
    raise too_large(limit, exchange.header("x-amz-target"))


def _as_refused(error: Refused | TooSlow) -> Refused:
    return error if isinstance(error, Refused) else Refused("RequestTimeoutException", str(error), status=408)


def _service(request: Request) -> str | None:
    """The service that the signature in the header is made for; None where there is no such signature."""
    given = next((value for name, value in request.headers if name.lower() == b"authorization"), b"")
    algorithm, _, rest = given.partition(b" ")
    # KEY/DAY/REGION/SERVICE/aws4_request. Anybody may send this header: no pattern that could search it twice is tried.
    scope = rest.partition(b"Credential=")[2].partition(b",")[0].split(b"/", 4)
    return scope[3].decode("latin-1") if algorithm == b"AWS4-HMAC-SHA256" and len(scope) == 5 else None


def _check_address(request: Request) -> None:
    """Return, if a request comes the one way in which operations are asked."""
    if (request.method, request.raw_path) != ("POST", b"/"):
        raise Refused("UnknownOperationException", "operations are asked by POST, with the path /", status=404)


def _check_is_sts(service: str | None) -> None:
    """Return, unless the request is signed for a service of which nothing is answered here."""
    if service not in (None, "sts"):
        why = (
            f"{str(service)[:64]!r} was asked, but deconfuse answers Amazon Rekognition Custom Labels and S3 only; "
            "give the client an endpoint for these two services (AWS_ENDPOINT_URL_REKOGNITION, AWS_ENDPOINT_URL_S3) "
            "instead of one for all"
        )
        raise Refused("InvalidAction", why, status=400)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

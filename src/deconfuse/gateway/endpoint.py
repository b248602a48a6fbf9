"""S3's door over HTTP: see who asks and what, stream content in and out, answer.

A request whose body is small, or that has none, spends its life in one thread once that body is there. Any other is
looked at in a thread before its body is read: its signature, its operation, whether the key may, whether the bucket is
there. What is refused then was never read, and `asgi` closes its connection. What streams goes to a thread
`CHUNK_BYTES` at a time, so that slow clients hold memory of that size and no thread.

Bodies whose bytes are not signed are taken over TLS and from this machine; from elsewhere only where whoever runs the
server says that the way is safe. A read-only key may do what begins with Get, Head and List.

Whatever goes wrong is an answer in S3's form under the request's id. An error of our own is told to `report` in full,
and to the client not at all. Content that cannot be read to its end ends the connection, for its length was told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple, Unpack

import anyio
from anyio.to_thread import run_sync

from deconfuse.asgi import SMALL_BODY, Exchange, Gone, Report, write_to_log
from deconfuse.errors import BadSignature, Unavailable
from deconfuse.gateway.arrival import Arrival, check_body
from deconfuse.gateway.faults import code, fault
from deconfuse.gateway.operations import OPERATIONS, READS, Reading
from deconfuse.gateway.restxml import MAX_XML_BYTES, Answer, parse, render
from deconfuse.gateway.routing import Call, route, virtual_bucket
from deconfuse.service import keys
from deconfuse.service.house import House
from deconfuse.service.objects import CHUNK_BYTES, Content, buckets
from deconfuse.signing.chunked import open_body
from deconfuse.signing.sigv4 import Verified

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")

THREADS = 24
"""Requests that work with the store at once; one more waits its turn."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An answer that is ready, or whose content is.

    Attributes:
        answer: status and headers; the body, where it is no content.
        length: bytes of the content, also where it is only told (HEAD); None where the answer has a body instead.
        first: the beginning of the content.
        rest: gives what follows it; None where nothing does.
    """

    answer: Answer
    length: int | None = None
    first: bytes = b""
    rest: Content | None = None


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A request that may be carried out once its body, which is XML, is there."""

    call: Call
    verified: Verified


class Gateway:
    """The buckets of a house over HTTP."""

    def __init__(
        self, house: House, *, domain: str, takes_unsigned: bool = False, report: Report = write_to_log
    ) -> None:
        """A door to `house`.

        Args:
            house: whose buckets are served; where they are in somebody else's S3, every request is NotImplemented.
            domain: the name below which buckets are host names ("localhost": bucket.localhost); "" for none.
            takes_unsigned: whether bodies whose bytes are not signed are taken from everywhere: nobody can alter them
                on the way, or whoever runs the server accepts that.
            report: takes errors of our own, and what says that the disk or the database is away.
        """
        self.house = house
        self._domain = domain
        self._takes_unsigned = takes_unsigned
        self._report = report
        self._threads = anyio.CapacityLimiter(THREADS)

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request; one whose client has left is not answered.

        Raises:
            Exception: content could not be read to its end; the server is to cut the connection.
        """
        try:
            if exchange.has_small_body:
                outcome = await self._in_thread(self._perform_whole, exchange, await exchange.body(SMALL_BODY))
            else:
                outcome = await self._perform_in_steps(exchange)
            await self._send(exchange, outcome)
        except Gone:
            return
        except Exception as error:
            if exchange.status:  # content was cut short, which only the server can tell, by closing the connection
                raise
            await self._refuse(exchange, error)

    def _perform_whole(self, exchange: Exchange, body: bytes) -> _Outcome:
        """Carry out a request whose body is there."""
        step = self._begin(exchange)
        if isinstance(step, _Admitted):
            return self._perform_with(exchange, step, body)
        if isinstance(step, _Outcome):
            return step
        try:
            return self._finish(step, body)
        finally:
            step.discard()

    async def _perform_in_steps(self, exchange: Exchange) -> _Outcome:
        """Carry out a request whose body is read only once it is known to be welcome."""
        step = await self._in_thread(self._begin, exchange)
        if isinstance(step, Arrival):
            return await self._take(exchange, step)
        if isinstance(step, _Admitted):
            body = await exchange.body(MAX_XML_BYTES)
            return await self._in_thread(self._perform_with, exchange, step, body)
        return step

    def _begin(self, exchange: Exchange) -> _Outcome | _Admitted | Arrival:
        """As much as can be done before the body is read: all of it, where there is none."""
        request = exchange.request
        bucket = virtual_bucket(exchange.host, self._domain)
        caller, verified = keys.authenticate(self.house, request, services=("s3",), body=None, host_bucket=bucket)
        exchange.key_id = caller.key_id
        buckets(self.house)
        call = route(
            request.method,
            request.raw_path,
            request.raw_query,
            request.headers,
            host=exchange.host,
            domain=self._domain,
        )
        exchange.operation = call.operation
        if call.operation not in READS:
            caller.check_may_write()
        if call.body == "nothing":
            return self._perform(call, _with_if_range(exchange, call))
        if not verified.is_body_signed:
            self._check_way(exchange)
        if call.body == "xml":
            return _Admitted(call, verified)
        return Arrival(self.house, call, verified, request)

    def _check_way(self, exchange: Exchange) -> None:
        """Do nothing: a body that is not signed may come this way.

        Raises:
            BadSignature: it may not.
        """
        if not (self._takes_unsigned or exchange.is_secure or exchange.is_from_here):
            why = "a body that is not signed is taken over https only; sign it, or ask over https"
            raise BadSignature("unsigned", why)

    async def _take(self, exchange: Exchange, arrival: Arrival) -> _Outcome:
        held = bytearray()
        try:
            async for data in exchange.chunks():
                held += data
                if len(held) >= CHUNK_BYTES:
                    piece, held = bytes(held), bytearray()
                    await self._in_thread(arrival.take, piece)
            return await self._in_thread(self._finish, arrival, bytes(held))
        finally:
            arrival.discard()

    def _finish(self, arrival: Arrival, last: bytes) -> _Outcome:
        arrival.take(last)
        return _Outcome(render(arrival.operation, arrival.finish()))

    def _perform_with(self, exchange: Exchange, admitted: _Admitted, body: bytes) -> _Outcome:
        call = admitted.call
        if len(body) > MAX_XML_BYTES:
            parse(call, body)
        framing = open_body(admitted.verified, exchange.request)
        plain = b"".join(framing.feed(body))
        framing.finish()
        is_completion = call.operation == "CompleteMultipartUpload"
        check_body(call.parameters, exchange.request, plain, of_body=not is_completion)
        return self._perform(call, parse(call, plain))

    def _perform(self, call: Call, parameters: Any) -> _Outcome:
        result = OPERATIONS[call.operation](self.house, parameters)
        if not isinstance(result, Reading):
            length = result.pop("ContentLength", None)
            return _Outcome(render(call.operation, result), length)
        try:
            length = result.result.pop("ContentLength")
            answer = render(call.operation, result.result)
            first = result.content.read()
        except BaseException:
            result.content.close()
            raise
        if len(first) < length:
            return _Outcome(answer, length, first, result.content)
        result.content.close()
        return _Outcome(answer, length, first)

    async def _send(self, exchange: Exchange, outcome: _Outcome) -> None:
        answer, content = outcome.answer, outcome.rest
        headers = [*answer.headers, (b"x-amz-request-id", exchange.request_id.encode("latin-1"))]
        if outcome.length is None:
            await exchange.answer(answer.status, headers, answer.body)
            return
        try:
            await exchange.begin(answer.status, headers, length=outcome.length)
            await exchange.send(outcome.first, is_last=content is None)
            left = outcome.length - len(outcome.first)
            while content is not None and left:
                data = await self._in_thread(content.read)
                left -= len(data)
                await exchange.send(data, is_last=not left)
        finally:
            if content is not None:
                content.close()

    async def _refuse(self, exchange: Exchange, error: Exception) -> None:
        request = exchange.request
        if code(error)[0] == 500 or isinstance(error, Unavailable):
            self._report(exchange, error)
        resource = request.raw_path.decode("latin-1")
        answer = fault(
            error,
            method=request.method,
            resource=resource,
            request_id=exchange.request_id,
            region=self.house.region,
        )
        await exchange.answer(answer.status, answer.headers, answer.body)

    async def _in_thread(self, work: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> T:
        return await run_sync(work, *arguments, limiter=self._threads)


def _with_if_range(exchange: Exchange, call: Call) -> dict[str, Any]:
    """The parameters of a call, with a header that S3 heeds and its model does not know."""
    condition = exchange.header("if-range")
    return dict(call.parameters) if condition is None else {**call.parameters, "IfRange": condition}

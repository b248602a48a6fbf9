"""The server's process: its socket, TLS and signals, and what starts and stops with it.

    listen      a socket, or a sentence that says why there is none
    check_tls   the certificate and its key fit
    serve       answer requests, do jobs and keep order until a signal asks for the end

At the first SIGINT, SIGTERM or SIGHUP nothing new is accepted, requests under way are answered, jobs are given back
for another server; a second SIGINT does not wait for requests. The end that was asked for is a good one: `serve`
returns.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib.util
import ipaddress
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol

import uvicorn

from deconfuse.asgi import Receive, Scope, Send
from deconfuse.errors import DeconfuseError, Denied, InUse, Invalid, NotFound, Unavailable
from deconfuse.server.connection import Connection

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than clients keep theirs, so that they do not meet closed ones."""

UNHEARD_SECONDS = 300
"""How long a client may take none of what is sent to it, before its connection is cut."""

GRACE_SECONDS = 25
"""How long requests under way may take after the server was asked to end."""

JOBS_SECONDS = 10.0
"""How long jobs may take to stop."""

MOST_CONNECTIONS = 2000
"""Of one server; requests above it are answered with 503."""

MALLOC = {-3: 12 << 20, -1: 32 << 20, -8: 4}
"""glibc's M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX (malloc.h).

Left alone, glibc keeps what the largest images needed in an arena for each thread: a GB, soon, that nobody uses. So
the arenas are few, give back what they have free above 32 MB, and leave blocks of 12 MB and more, of which large
images are made, to the system. The images of every day are smaller; to map their pages anew each time would cost
milliseconds.
"""

ORDER_SECONDS = 3600.0
"""How often order is kept."""

_LOG = logging.getLogger("deconfuse.server")

App = Callable[[Scope, Receive, Send], object]


class Jobs(Protocol):
    """What does jobs beside the requests; implemented by `engine.runner.Runner`."""

    def start(self) -> None:
        """Begin."""

    def stop(self, seconds: float = 10.0) -> None:
        """End, within so many seconds."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`, a name or an address, and `port`; 0 is any free one.

    Raises:
        Invalid: there is no such host on this machine.
        InUse: the port is taken.
        Denied: this user may not have the port.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise Invalid("host", f"{host} is not known here: {error}") from error
    # A name with both kinds of addresses, as localhost: clients try the other one where this one is refused.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # what is accepted inherits it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_SECONDS * 1000)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} of {host} is taken by another program; --port chooses another one, 0 any that is free"
            raise InUse(why) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Denied(f"this user may not listen on port {port}; --port chooses another one") from error
        raise Invalid("host", f"{host} is no address of this machine: {error.strerror or error}") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`.

    Example:
        >>> is_loopback("127.0.0.2"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("::1")
        (True, True, False, True)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def address_of(listener: socket.socket, host: str, *, is_secure: bool) -> str:
    """The address at which clients on this machine find the server that listens on `host`."""
    port = listener.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # the wildcards are no place to go
    return f"http{'s' if is_secure else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def check_tls(certificate: Path, key: Path | None) -> None:
    """Return, if a server can show this certificate.

    Raises:
        NotFound: a file is not there.
        Denied: a file may not be read.
        Invalid: a file is no PEM, the key is encrypted, or belongs to another certificate.
    """
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise NotFound("certificate" if path == certificate else "key of the certificate", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except PermissionError as error:
        raise Denied(f"{error.filename or key or certificate} may not be read") from error
    except (ssl.SSLError, OSError, ValueError) as error:
        why = f"{certificate}{f' and {key}' if key else ''} cannot be used: {error}"
        where = "" if key else ", in this file or in that of --key"
        raise Invalid("certificate", f"{why}; what is needed are PEM files, the key not encrypted{where}") from error


def serve(
    application: App,
    listener: socket.socket,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    jobs: Jobs,
    keep_order: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    """Answer requests until a signal asks for the end; everything that was started is stopped when this returns.

    Args:
        application: answers them.
        listener: where they come in.
        certificate: what TLS shows; None is plain HTTP.
        key: its private key; None where the certificate's file holds it.
        jobs: does jobs meanwhile.
        keep_order: called in a thread at the start, and every hour.
        ready: called when the first request can be answered.
    """
    config = uvicorn.Config(
        application,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    _allow_many_files()
    _hold_little_memory()
    with _ordered(keep_order):
        jobs.start()
        try:
            _Server(config, ready).run(sockets=[listener])
        finally:
            jobs.stop(JOBS_SECONDS)


class _Server(uvicorn.Server):
    """uvicorn, for which a signal is a wish and not an error."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def ask(number: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit and number == signal.SIGINT
            self.should_exit = True

        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, ask) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _ordered(keep_order: Callable[[], None]) -> Iterator[None]:
    """Order is kept in a thread until the block ends."""
    is_over = threading.Event()

    def run() -> None:
        while True:
            try:
                keep_order()
            except Unavailable as error:
                _LOG.warning("order cannot be kept: %s", error)
            except DeconfuseError as error:
                _LOG.error("order cannot be kept", exc_info=error)
            if is_over.wait(ORDER_SECONDS):
                return

    thread = threading.Thread(target=run, name="order", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(JOBS_SECONDS)


def _allow_many_files() -> None:
    """Let this process open as many files as the system allows: each connection is one."""
    try:
        import resource
    except ImportError:  # a system that does not count them so
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if most == resource.RLIM_INFINITY else min(most, 65536)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _hold_little_memory() -> None:
    """Tell glibc how to hold memory; other C libraries are left to themselves."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in MALLOC.items():
            mallopt(parameter, value)

"""The caretaker of a service: opens its house, answers at its doors, hands out its keys, shows folders as buckets.

Everything that `deconfuse serve`, `credentials` and `bucket` do, below their words. Settings that flags say come as
`given`, by the names of their variables; the others are read from the environment.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from deconfuse.app import open_house
from deconfuse.errors import Invalid, NotBuilt, NotFound
from deconfuse.settings import Settings, child_environment, is_origin, read_settings, spelled

if TYPE_CHECKING:
    from deconfuse.engine.runner import Runner
    from deconfuse.server.application import Application
    from deconfuse.server.home import Address, Home
    from deconfuse.service.house import House
    from deconfuse.service.keys import Key
    from deconfuse.service.objects import Bucket, LocalObjects, Objects

JOB_THREADS = 4
"""Jobs that a server does in its own threads at once; trainings have processes."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a server tells when the first request can be answered.

    Attributes:
        address: where it is reached.
        home: its directory.
        first_key: the export lines of the first key, where this start has made it.
        is_private: whether other users of this machine are kept out of the home.
        is_open_to_others: whether other machines can reach it, or listen on the way, without TLS.
    """

    address: str
    home: Path
    first_key: str | None
    is_private: bool
    is_open_to_others: bool


def serve(given: Mapping[str, str], *, ready: Callable[[Started], None]) -> None:
    """Answer requests until a signal asks for the end.

    Args:
        given: settings that flags say, by the names of their variables.
        ready: called when the first request can be answered.

    Raises:
        Invalid: a setting that cannot be meant, or that does not go with another.
        InUse: the port is taken, or another server is at work in this home.
        Damaged: the database and the objects do not belong together.
        NotFound, Denied, Unavailable: something that a setting names cannot be used.
    """
    from deconfuse.server import log, process
    from deconfuse.server.home import Home
    from deconfuse.service import health

    settings = read_settings(given=given)
    check_served(settings, given)
    is_secure = settings.certificate is not None
    if settings.certificate is not None:
        process.check_tls(settings.certificate, settings.certificate_key)
    home = Home(settings.home)
    home.make()
    with contextlib.ExitStack() as stack:
        if not settings.database:
            stack.enter_context(home.alone())
        listener = stack.enter_context(process.listen(settings.host, settings.port))
        bell = _Bell()
        house = stack.enter_context(_opened(settings, wake=bell.ring))
        home.check_objects(house)
        address = _address(settings, process.address_of(listener, settings.host, is_secure=is_secure))
        home.write_address(address)
        started = Started(
            address=address.endpoint_url,
            home=home.path,
            first_key=_first_key(house, home, address),
            is_private=home.is_private,
            is_open_to_others=not is_secure and not process.is_loopback(settings.host),
        )
        runner = _runner(settings, house, child_environment(settings, given))
        bell.answer = runner.wake
        application = _application(settings, house, runner)
        log.log_to_stderr()
        process.serve(
            application,
            listener,
            certificate=settings.certificate,
            key=settings.certificate_key,
            jobs=runner,
            keep_order=lambda: health.keep_order(house),
            ready=lambda: ready(started),
        )


def work(job_id: int, *, worker: str) -> None:
    """Do a job as the child of a server, which hands its settings down in the environment.

    Raises:
        Invalid, Denied, Unavailable: the house cannot be opened.
    """
    from deconfuse.engine import runner
    from deconfuse.server import log
    from deconfuse.service.work import tasks

    runner.end_with_stdin()  # at once: a database that is held may keep the house from being opened for a while
    log.log_to_stderr()
    with _opened(read_settings()) as house:
        runner.work(house.database, tasks(house), job_id, worker=worker, clock=house.clock)


def credentials(
    given: Mapping[str, str], form: str, *, endpoint_url: str | None = None, key_id: str | None = None
) -> str:
    """A key of a home and where to go with it, ready to be pasted.

    Args:
        given: settings that flags say, by the names of their variables.
        form: one of `server.credentials.FORMATS`.
        endpoint_url: the address to tell; None tells that of the last server from this home.
        key_id: the key; None is the first one, or the oldest full one where that was revoked.

    Raises:
        NotFound: there is no home, no key, or no server was ever started from it.
        Invalid: `endpoint_url` is no address.
    """
    from deconfuse.server.credentials import id_in_file, written
    from deconfuse.server.home import Home
    from deconfuse.service.keys import list_keys

    settings = read_settings(given=given)
    with _with_keys(settings) as house:
        usable = {key.id: key for key in list_keys(house)}
    home = Home(settings.home)
    wanted = [key_id] if key_id is not None else [id_in_file(home.read_credentials())]
    wanted += [] if key_id is not None else [key.id for key in usable.values() if key.access == "full"]
    key = next((usable[name] for name in wanted if name in usable), None)
    if key is None:
        raise NotFound("key", key_id or "none in use", "`deconfuse credentials create` makes one")
    return written(form, key, _told_address(settings, home, endpoint_url))


def create_key(
    given: Mapping[str, str], *, access: str, note: str, form: str | None = None, endpoint_url: str | None = None
) -> str:
    """A new key of a home, which is made where it is missing: its identifier and its secret, or as `credentials`.

    Raises:
        Invalid: an access or a note that no key can have, or `endpoint_url` is no address.
        NotFound: no address is known, for a form that tells one; no key was made then.
    """
    from deconfuse.server.credentials import written
    from deconfuse.server.home import Home
    from deconfuse.service import keys

    settings = read_settings(given=given)
    address = None if form is None else _told_address(settings, Home(settings.home), endpoint_url)
    with _with_keys(settings, is_there=False) as house:
        key = keys.create_key(house, access=access, note=note)
    return f"{key.id} {key.secret}\n" if form is None or address is None else written(form, key, address)


def list_keys(given: Mapping[str, str], *, with_revoked: bool = False) -> tuple[Key, ...]:
    """The keys of a home, the oldest first; NotFound where there is no home."""
    from deconfuse.service import keys

    with _with_keys(read_settings(given=given)) as house:
        return keys.list_keys(house, with_revoked=with_revoked)


def revoke_key(given: Mapping[str, str], key_id: str) -> None:
    """Make a key of a home worthless for ever, at once and for every server; NotFound where there is none in use."""
    from deconfuse.server.credentials import id_in_file
    from deconfuse.server.home import Home
    from deconfuse.service import keys

    settings = read_settings(given=given)
    with _with_keys(settings) as house:
        keys.revoke_key(house, key_id)
    home = Home(settings.home)
    if id_in_file(home.read_credentials()) == key_id:
        home.remove_credentials()


def link_bucket(given: Mapping[str, str], name: str, folder: Path) -> None:
    """Show an existing folder as a read-only bucket of a home, which is made where it is missing.

    Raises:
        Invalid: a name that no bucket can have; or the folder and the home lie in one another.
        NotFound: there is no such folder.
        AlreadyExists: there is a bucket of this name.
        NotBuilt: objects are kept in an S3.
    """
    with _with_buckets(read_settings(given=given), is_there=False) as buckets:
        buckets.link(name, folder.absolute())


def unlink_bucket(given: Mapping[str, str], name: str) -> None:
    """Show a folder no longer; nothing in it is touched. NotFound where no folder is shown under this name."""
    with _with_buckets(read_settings(given=given)) as buckets:
        buckets.unlink(name)


def list_buckets(given: Mapping[str, str]) -> tuple[Bucket, ...]:
    """The buckets of a home by name; NotFound where there is no home."""
    with _with_buckets(read_settings(given=given)) as buckets:
        return buckets.buckets()


def check_served(settings: Settings, given: Mapping[str, str] = {}) -> None:
    """Return, if a server may run under these settings; `given` are those that flags say.

    Raises:
        Invalid: two of them do not go together.
    """
    from deconfuse.server.process import is_loopback

    if settings.certificate_key is not None and settings.certificate is None:
        raise Invalid(spelled("DECONFUSE_CERTIFICATE_KEY", given), "a key needs its certificate: --certificate")
    if settings.certificate is None and not settings.insecure and not is_loopback(settings.host):
        why = (
            f"others could reach {settings.host}, and read and repeat what passes; give --certificate and --key, or "
            "--insecure where something in front of the server encrypts"
        )
        raise Invalid(spelled("DECONFUSE_HOST", given), why)
    if settings.database and not settings.store and not settings.shared_home:
        why = (
            "a PostgreSQL database can have several servers, and each would look for objects in its own home; keep "
            "them in an S3 (--store), or say by --shared-home that all of them see this directory"
        )
        raise Invalid(spelled("DECONFUSE_DATABASE", given), why)


@contextlib.contextmanager
def _opened(
    settings: Settings, *, wake: Callable[[], None] = lambda: None, objects: Objects | None = None
) -> Iterator[House]:
    """The house for the duration of a block; as `open_house`."""
    house = open_house(settings, wake=wake, objects=objects)
    try:
        yield house
    finally:
        house.database.close()


@contextlib.contextmanager
def _with_keys(settings: Settings, *, is_there: bool = True) -> Iterator[House]:
    """The house without its objects, which keys have nothing to do with; NotFound where one `is_there` is not."""
    from deconfuse.store.s3 import S3Objects

    if is_there:
        _check_found(settings)
    with _opened(settings, objects=S3Objects(_nowhere)) as house:
        yield house


@contextlib.contextmanager
def _with_buckets(settings: Settings, *, is_there: bool = True) -> Iterator[LocalObjects]:
    """The buckets of the house; NotFound where one `is_there` is not, NotBuilt where they are in an S3."""
    from deconfuse.server.home import Home
    from deconfuse.service.objects import buckets

    if is_there:
        _check_found(settings)
    last = Home(settings.home).read_address()
    if settings.store or (last is not None and last.s3_endpoint_url != last.endpoint_url):
        _nowhere("")
    with _opened(settings) as house:
        yield buckets(house)


def _check_found(settings: Settings) -> None:
    from deconfuse.server.home import Home

    home = Home(settings.home)
    if not settings.database and not home.database_file.is_file():
        raise NotFound("home", str(home.path), "`deconfuse serve` makes it; --home or DECONFUSE_HOME names another one")


def _nowhere(bucket: str) -> NoReturn:
    raise NotBuilt("store", "objects are kept in an S3 here; its own clients see to its buckets")


class _Bell:
    """Calls whoever came to answer it; nobody at first."""

    def __init__(self) -> None:
        self.answer: Callable[[], None] = lambda: None

    def ring(self) -> None:
        self.answer()


def _address(settings: Settings, endpoint_url: str) -> Address:
    """Where clients go when the API is at `endpoint_url`: for objects to the same place, or to the S3 that has them."""
    from deconfuse.server.home import Address

    if not settings.store:
        return Address(endpoint_url, endpoint_url, settings.region)
    aws = f"https://s3.{settings.store_region}.amazonaws.com"
    return Address(endpoint_url, settings.store_endpoint or aws, settings.region)


def _told_address(settings: Settings, home: Home, endpoint_url: str | None) -> Address:
    """The address of the last server from this home, or the one that is given; NotFound where neither is known."""
    from deconfuse.server.home import Address

    if endpoint_url is not None and not is_origin(endpoint_url := endpoint_url.rstrip("/")):
        raise Invalid("--endpoint-url", f"{endpoint_url!r} is not an address, as https://labels.example.org")
    last = home.read_address()
    if endpoint_url is None:
        if last is None:
            why = "No server was started from it yet: `deconfuse serve` does that, or give --endpoint-url"
            raise NotFound("address of", str(home.path), why)
        return last
    told = _address(settings, endpoint_url)
    if last is None:
        return told
    is_elsewhere = last.s3_endpoint_url != last.endpoint_url  # the last server kept its objects in an S3
    return Address(endpoint_url, last.s3_endpoint_url if is_elsewhere else told.s3_endpoint_url, last.region)


def _first_key(house: House, home: Home, address: Address) -> str | None:
    """The export lines of the first key, which is kept in the home; None where there was one before."""
    from deconfuse.server.credentials import to_file, written
    from deconfuse.service import keys

    key = keys.first_key(house)
    if key is None:
        return None
    home.write_credentials(to_file(key))
    return written("env", key, address)


def _runner(settings: Settings, house: House, environment: Mapping[str, str]) -> Runner:
    from deconfuse.engine.runner import Runner
    from deconfuse.service.work import tasks

    return Runner(
        house.database,
        tasks(house),
        # What a child must know beside these two it finds in its environment: arguments can be read by everybody.
        command=lambda job, worker: [sys.executable, "-m", "deconfuse", "worker", str(job.id), worker],
        environment=environment,
        clock=house.clock,
        n_children=settings.trainings,
        n_threads=JOB_THREADS,
    )


def _application(settings: Settings, house: House, runner: Runner) -> Application:
    from deconfuse.gateway.endpoint import Gateway
    from deconfuse.server.application import Application
    from deconfuse.wire.endpoint import Api

    return Application(
        house,
        api=Api(house),
        # Who runs a server --insecure says that the way to it is safe, as behind a proxy that encrypts.
        gateway=Gateway(house, domain=settings.domain, takes_unsigned=settings.insecure),
        domain=settings.domain,
        cors_origins=settings.cors_origins,
        is_metrics_open=settings.metrics_open,
        ended_jobs=lambda: runner.journal.ended,
    )

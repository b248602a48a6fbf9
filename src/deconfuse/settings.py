"""The only reader of the environment.

Every setting has a default that needs nothing, a name in the environment that begins with DECONFUSE_, and a line in
docs/settings.md. Those of the service may also be given as flags, which win: `read_settings(given=…)` takes them under
the names of their variables, and a message about one names what the user wrote. What is read here is handed down as
plain values; a child process gets it as variables again (`child_environment`), never as arguments, which everybody on
the machine can read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deconfuse.errors import Invalid


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment decides; docs/settings.md says what each default is for.

    Attributes:
        cache: the directory of converted backbones and embeddings (DECONFUSE_CACHE; default: the user's cache
            directory, e.g. ~/.cache/deconfuse).
        threads: how many images are decoded and run at once (DECONFUSE_THREADS; default: the processors that this
            process may use).
        region: the AWS region written into ARNs, and for which clients of the service sign.
        account: the 12-digit account written into ARNs.
        manifest_max_lines: more lines than this in a manifest are refused.
        manifest_max_labels: more labels than this in a manifest are refused.
        manifest_min_side: images of a manifest with a shorter side, in pixels, are refused.
        manifest_max_side: images of a manifest with a longer side, in pixels, are refused.
        manifest_max_image_bytes: larger image files of a manifest are refused.
        home: the directory of the service: database, objects, credentials.
        host: the address that the service listens on.
        port: the port that it listens on; 0 is any free one.
        certificate: a PEM file with the certificate and its chain; None is plain HTTP.
        certificate_key: a PEM file with the certificate's private key; None where the certificate's file holds it.
        insecure: whether plain HTTP may be heard by other machines.
        domain: the name below which a bucket may be a host name.
        metrics_open: whether /metrics is answered without a key to this machine.
        cors_origins: the origins whose pages may use the service; "*" is any.
        database: the address of a PostgreSQL database; "" is a SQLite file in the home.
        shared_home: whether several servers see this home.
        store: s3://bucket/prefix where objects are kept in an S3; "" is the home.
        store_endpoint: the address of that S3; "" is AWS.
        store_region: the region to sign for there.
        store_key_id: the access key id there.
        store_secret: its secret.
        store_virtual_host: whether the bucket is part of the host name there.
        trainings: versions that are trained at once; others wait.
        models: started versions that are kept in memory at once.
        max_projects: projects in all; this and the following: 0 is any number.
        max_versions: versions of one project.
        max_trainings: versions that are being trained or wait for it; one more is refused.
        max_copies: versions that are being copied.
        max_running: versions that are started.
        max_units: inference units of one version.
        max_policies: policies of one project.
        max_detect_bytes: bytes of an image that comes in a request.
    """

    cache: Path
    threads: int
    region: str = "us-east-1"
    account: str = "000000000000"
    manifest_max_lines: int = 250_000
    manifest_max_labels: int = 250
    manifest_min_side: int = 64
    manifest_max_side: int = 4096
    manifest_max_image_bytes: int = 15 * 1024 * 1024
    home: Path = Path()
    host: str = "127.0.0.1"
    port: int = 8750
    certificate: Path | None = None
    certificate_key: Path | None = None
    insecure: bool = False
    domain: str = "localhost"
    metrics_open: bool = False
    cors_origins: tuple[str, ...] = ()
    database: str = field(default="", repr=False)
    shared_home: bool = False
    store: str = ""
    store_endpoint: str = ""
    store_region: str = ""
    store_key_id: str = ""
    store_secret: str = field(default="", repr=False)
    store_virtual_host: bool = False
    trainings: int = 2
    models: int = 10
    max_projects: int = 100
    max_versions: int = 100
    max_trainings: int = 2
    max_copies: int = 10
    max_running: int = 10
    max_units: int = 5
    max_policies: int = 50
    max_detect_bytes: int = 4 << 20


_DEFAULT = Settings(cache=Path(), threads=0)
_FLAGS = {"DECONFUSE_CERTIFICATE_KEY": "--key"}
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_STORE = re.compile(r"s3://[0-9A-Za-z.\-_]{3,255}(/(?!\.{1,2}(/|$))[^\s?#/]+)*/?")
_ORIGIN = re.compile(r"https?://[^\s/?#@,]+")
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


def read_settings(environment: Mapping[str, str] | None = None, *, given: Mapping[str, str] = {}) -> Settings:
    """The settings in force.

    Args:
        environment: variables by name; None reads the process's own.
        given: what flags say, by the names of the variables that they stand for; they win.

    Raises:
        Invalid: a value cannot be meant; the message names the variable, or the flag where that was given.
    """
    read = _Reader(os.environ if environment is None else environment, given)
    region = read.text("DECONFUSE_REGION", _DEFAULT.region, _REGION, "a region, as us-east-1")
    return Settings(
        cache=read.path("DECONFUSE_CACHE") or _user_directory(read.variables, "cache"),
        threads=read.number("DECONFUSE_THREADS", _usable_processors()),
        region=region,
        account=read.text(
            "DECONFUSE_ACCOUNT", _DEFAULT.account, re.compile(r"[0-9]{12}"), "an account number of 12 digits"
        ),
        manifest_max_lines=read.number("DECONFUSE_MANIFEST_MAX_LINES", _DEFAULT.manifest_max_lines),
        manifest_max_labels=read.number("DECONFUSE_MANIFEST_MAX_LABELS", _DEFAULT.manifest_max_labels),
        manifest_min_side=read.number("DECONFUSE_MANIFEST_MIN_SIDE", _DEFAULT.manifest_min_side),
        manifest_max_side=read.number("DECONFUSE_MANIFEST_MAX_SIDE", _DEFAULT.manifest_max_side),
        manifest_max_image_bytes=read.number("DECONFUSE_MANIFEST_MAX_IMAGE_BYTES", _DEFAULT.manifest_max_image_bytes),
        home=read.path("DECONFUSE_HOME") or _user_directory(read.variables, "data"),
        host=read.text("DECONFUSE_HOST", _DEFAULT.host, re.compile(r"[^\s/]{1,253}"), "a host name or an address"),
        port=read.number("DECONFUSE_PORT", _DEFAULT.port, least=0, most=65535),
        certificate=read.path("DECONFUSE_CERTIFICATE"),
        certificate_key=read.path("DECONFUSE_CERTIFICATE_KEY"),
        insecure=read.switch("DECONFUSE_INSECURE"),
        domain=read.text("DECONFUSE_DOMAIN", _DEFAULT.domain, _HOST_NAME, "a domain name, as s3.example.org"),
        metrics_open=read.switch("DECONFUSE_METRICS_OPEN"),
        cors_origins=read.origins("DECONFUSE_CORS_ORIGINS"),
        database=read.address("DECONFUSE_DATABASE"),
        shared_home=read.switch("DECONFUSE_SHARED_HOME"),
        store=read.text(
            "DECONFUSE_STORE", "", _STORE, "of the form s3://bucket/prefix (a bucket has 3 letters or more)"
        ),
        store_endpoint=read.text("DECONFUSE_STORE_ENDPOINT", "", _ORIGIN, "an address, as https://s3.example.org:9000"),
        store_region=read.text("DECONFUSE_STORE_REGION", region, _REGION, "a region, as us-east-1"),
        store_key_id=read.text("DECONFUSE_STORE_KEY_ID"),
        store_secret=read.text("DECONFUSE_STORE_SECRET"),
        store_virtual_host=read.switch("DECONFUSE_STORE_VIRTUAL_HOST"),
        trainings=read.number("DECONFUSE_TRAININGS", _DEFAULT.trainings),
        models=read.number("DECONFUSE_MODELS", _DEFAULT.models),
        max_projects=read.number("DECONFUSE_MAX_PROJECTS", _DEFAULT.max_projects, least=0),
        max_versions=read.number("DECONFUSE_MAX_VERSIONS", _DEFAULT.max_versions, least=0),
        max_trainings=read.number("DECONFUSE_MAX_TRAININGS", _DEFAULT.max_trainings, least=0),
        max_copies=read.number("DECONFUSE_MAX_COPIES", _DEFAULT.max_copies, least=0),
        max_running=read.number("DECONFUSE_MAX_RUNNING", _DEFAULT.max_running, least=0),
        max_units=read.number("DECONFUSE_MAX_UNITS", _DEFAULT.max_units, least=0),
        max_policies=read.number("DECONFUSE_MAX_POLICIES", _DEFAULT.max_policies, least=0),
        max_detect_bytes=read.number("DECONFUSE_MAX_DETECT_BYTES", _DEFAULT.max_detect_bytes),
    )


def child_environment(
    settings: Settings, given: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables under which a child process reads the same settings.

    Args:
        settings: what was read.
        given: the flags that it was read with.
        environment: the variables that it was read from; None is the process's own.
    """
    variables = dict(os.environ if environment is None else environment)
    places = {"DECONFUSE_HOME": str(settings.home.absolute()), "DECONFUSE_CACHE": str(settings.cache.absolute())}
    return variables | dict(given) | places


def spelled(variable: str, given: Mapping[str, str] = {}) -> str:
    """What a user calls a setting: the flag where it was given, otherwise the variable.

    Example:
        >>> spelled("DECONFUSE_METRICS_OPEN", {"DECONFUSE_METRICS_OPEN": "1"})
        '--metrics-open'
    """
    if variable not in given:
        return variable
    return _FLAGS.get(variable, "--" + variable.removeprefix("DECONFUSE_").lower().replace("_", "-"))


def is_origin(text: str) -> bool:
    """Whether `text` is the address of a server, without a path.

    Example:
        >>> is_origin("https://labels.example.org"), is_origin("labels.example.org")
        (True, False)
    """
    return _ORIGIN.fullmatch(text) is not None


class _Reader:
    """Variables, and the flags that win over them, turned into values; blank is not set."""

    def __init__(self, variables: Mapping[str, str], given: Mapping[str, str]) -> None:
        self.variables = variables
        self._given = given

    def text(self, name: str, default: str = "", form: re.Pattern[str] | None = None, what: str = "") -> str:
        text = self._raw(name)
        if text and form is not None and not form.fullmatch(text):
            # What may hold a password is not repeated.
            raise self._invalid(name, f"{'what it holds' if '@' in text else repr(text)} is not {what}")
        return text or default

    def number(self, name: str, default: int, *, least: int = 1, most: int | None = None) -> int:
        text = self._raw(name)
        if not text:
            return default
        is_number = text.isascii() and text.isdecimal() and len(text) < 19
        if most is not None and not (is_number and least <= int(text) <= most):
            raise self._invalid(name, f"{text!r} is not a whole number from {least} to {most}")
        if not is_number or int(text) < least:
            raise self._invalid(name, f"{text!r} is not a whole number{f' above {least - 1}' if least else ''}")
        return int(text)

    def switch(self, name: str) -> bool:
        text = self._raw(name).lower()
        if text and text not in _YES | _NO:
            raise self._invalid(name, f"{text!r} is neither 1 nor 0")
        return text in _YES

    def path(self, name: str) -> Path | None:
        text = self._raw(name)
        try:
            return Path(text).expanduser() if text else None
        except RuntimeError:
            raise self._invalid(name, f"{text!r} begins with the home of nobody") from None

    def origins(self, name: str) -> tuple[str, ...]:
        origins = tuple(part.strip() for part in self._raw(name).split(",") if part.strip())
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise self._invalid(name, f"{origin!r} is not an origin, as https://example.org, nor *")
        return origins

    def address(self, name: str) -> str:
        text = self._raw(name)
        if text and not text.startswith(("postgresql://", "postgresql+psycopg://")):
            # The address itself is not repeated: it may hold a password.
            raise self._invalid(
                name, "it must begin with postgresql://; without it, a SQLite file in the home is the database"
            )
        return text

    def _raw(self, name: str) -> str:
        return self._given.get(name, self.variables.get(name, "")).strip()

    def _invalid(self, name: str, why: str) -> Invalid:
        return Invalid(spelled(name, self._given), why)


def _user_directory(variables: Mapping[str, str], kind: str) -> Path:
    """The user's directory for deconfuse's `kind` of files, "cache" or "data", as the XDG rules have it."""
    import platformdirs

    chosen = Path(variables.get(f"XDG_{kind.upper()}_HOME", "").strip())
    if chosen.is_absolute():
        return chosen / "deconfuse"
    find = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_data_dir
    return Path(find("deconfuse", appauthor=False))


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

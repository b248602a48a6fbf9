"""The only reader of the environment.

Every setting has a default that needs nothing, a name in the environment that begins with DECONFUSE_, and a line in
docs/settings.md. What is read here is handed down as plain values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deconfuse.errors import Invalid


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment decides.

    Attributes:
        cache: the directory of converted backbones and embeddings (DECONFUSE_CACHE; default: the user's cache
            directory, e.g. ~/.cache/deconfuse).
        threads: how many images are decoded and run at once (DECONFUSE_THREADS; default: the processors that this
            process may use).
        region: the AWS region written into ARNs (DECONFUSE_REGION; default us-east-1).
        account: the 12-digit account written into ARNs (DECONFUSE_ACCOUNT; default 000000000000).
        manifest_max_lines: more lines than this in a manifest are refused (DECONFUSE_MANIFEST_MAX_LINES).
        manifest_max_labels: more labels than this in a manifest are refused (DECONFUSE_MANIFEST_MAX_LABELS).
        manifest_min_side: images of a manifest with a shorter side, in pixels, are refused
            (DECONFUSE_MANIFEST_MIN_SIDE).
        manifest_max_side: images of a manifest with a longer side, in pixels, are refused
            (DECONFUSE_MANIFEST_MAX_SIDE).
        manifest_max_image_bytes: larger image files of a manifest are refused (DECONFUSE_MANIFEST_MAX_IMAGE_BYTES).
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


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force.

    Args:
        environment: variables by name; None reads the process's own.

    Raises:
        Invalid: a variable holds something that cannot be meant; the message names it.
    """
    variables = os.environ if environment is None else environment
    fallback = Settings(cache=Path(), threads=0)

    def number(name: str, default: int) -> int:
        text = variables.get(name, "").strip()
        if not text:
            return default
        if not text.isdecimal() or int(text) < 1:
            raise Invalid(name, f"{text!r} is not a whole number above 0")
        return int(text)

    account = variables.get("DECONFUSE_ACCOUNT", "").strip() or fallback.account
    if not (account.isdecimal() and len(account) == 12):
        raise Invalid("DECONFUSE_ACCOUNT", f"{account!r} is not an account number of 12 digits")
    return Settings(
        cache=_cache_directory(variables),
        threads=number("DECONFUSE_THREADS", _usable_processors()),
        region=variables.get("DECONFUSE_REGION", "").strip() or fallback.region,
        account=account,
        manifest_max_lines=number("DECONFUSE_MANIFEST_MAX_LINES", fallback.manifest_max_lines),
        manifest_max_labels=number("DECONFUSE_MANIFEST_MAX_LABELS", fallback.manifest_max_labels),
        manifest_min_side=number("DECONFUSE_MANIFEST_MIN_SIDE", fallback.manifest_min_side),
        manifest_max_side=number("DECONFUSE_MANIFEST_MAX_SIDE", fallback.manifest_max_side),
        manifest_max_image_bytes=number("DECONFUSE_MANIFEST_MAX_IMAGE_BYTES", fallback.manifest_max_image_bytes),
    )


def _cache_directory(variables: Mapping[str, str]) -> Path:
    chosen = variables.get("DECONFUSE_CACHE", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("deconfuse", appauthor=False))


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Builders of houses for tests of the service: everything that a use case needs, small and real.

make_house(tmp_path)                     rows in memory, objects in tmp_path, a clock that never gives a moment twice
make_house(tmp_path, projects=2)         with other limits
make_house(tmp_path, database=url)       with its rows elsewhere
make_house(tmp_path, now=now_utc)        with the real clock, for requests that a client signs
clock_of(house).advance(hours=2)         winds the clock
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deconfuse.engine.predictor import Models
from deconfuse.service.house import House, ServiceLimits
from deconfuse.store.database import open_database
from deconfuse.store.local import LocalObjects
from stores import MORNING, Clock
from worlds import tiny_backbone

REGION = "us-east-1"
ACCOUNT = "123456789012"

_HOUSES = itertools.count()


class RunningClock(Clock):
    """Goes on by a millisecond whenever it is looked at, by however many threads."""

    def __init__(self, now: datetime = MORNING) -> None:
        """Begins at `now`."""
        super().__init__(now)
        self._turn = threading.Lock()

    def __call__(self) -> datetime:
        """A moment that was never given before."""
        with self._turn:
            self.now += timedelta(milliseconds=1)
            return self.now


def now_utc() -> datetime:
    """The real time."""
    return datetime.now(UTC)


def counted_hex() -> Callable[[int], str]:
    """A giver of hexadecimal digits that look like chance, are the same in every run, and never come twice."""
    house, numbers = next(_HOUSES), itertools.count()

    def token_hex(n_bytes: int) -> str:
        seed = f"{house}/{next(numbers)}".encode()
        return hashlib.shake_128(seed).hexdigest(n_bytes)

    return token_hex


def make_house(
    tmp_path: Path,
    *,
    now: datetime | Callable[[], datetime] | None = None,
    database: str | None = None,
    region: str = REGION,
    account: str = ACCOUNT,
    **limits: Any,
) -> House:
    """A house over a fresh in-memory database, or the one at the address `database`, with objects in `tmp_path`.

    Args:
        tmp_path: holds the objects and the embeddings.
        now: where the running clock begins, or another clock.
        database: the address of the database.
        region: written into ARNs.
        account: written into ARNs.
        limits: other `ServiceLimits` than AWS's.
    """
    clock = now if callable(now) else RunningClock(now or MORNING)
    rows = open_database(database or "sqlite://")
    objects = LocalObjects(tmp_path / "objects", rows, clock)
    weakref.finalize(objects, rows.close)
    return House(
        database=rows,
        objects=objects,
        local=objects,
        models=Models(tiny_backbone, most_models=2, most_at_once=2, most_waiting=8),
        load_backbone=tiny_backbone,
        cache=tmp_path / "cache",
        threads=1,
        region=region,
        account=account,
        clock=clock,
        token_hex=counted_hex(),
        limits=replace(ServiceLimits(), **limits),
    )


def clock_of(house: House) -> Clock:
    """The clock of a house, to be wound."""
    assert isinstance(house.clock, Clock)
    return house.clock

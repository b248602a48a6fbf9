"""Builders of stores for tests: a clock that a test winds, objects in files, objects in a memory that speaks as S3.

Clock()                           stands still; advance(hours=2) moves it
local_objects(tmp_path)           a LocalObjects in a folder, its rows in memory
memory_objects("photos")          an S3Objects over obstore's memory, with these buckets
"""

from __future__ import annotations

import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path

from obstore.store import MemoryStore, ObjectStore

from deconfuse.errors import NotFound
from deconfuse.store.database import open_database
from deconfuse.store.local import LocalObjects
from deconfuse.store.objects import OWN_BUCKET
from deconfuse.store.s3 import S3Objects

MORNING = datetime(2030, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


class Clock:
    """Gives one moment until it is moved on."""

    def __init__(self, now: datetime = MORNING) -> None:
        """Stands at `now`."""
        self.now = now

    def __call__(self) -> datetime:
        """The present moment."""
        return self.now

    def advance(self, **step: float) -> None:
        """Move on by what `timedelta` takes."""
        self.now += timedelta(**step)


def local_objects(root: Path, *buckets: str, url: str = "sqlite://", clock: Clock | None = None) -> LocalObjects:
    """A local store in `root` with these buckets; its rows are in memory unless a database is named."""
    database = open_database(url)
    objects = LocalObjects(root, database, clock or Clock())
    weakref.finalize(objects, database.close)
    for bucket in buckets:
        objects.create_bucket(bucket)
    return objects


def memory_objects(*buckets: str) -> S3Objects:
    """A store over memory with these buckets."""
    stores = {bucket: MemoryStore() for bucket in (OWN_BUCKET, *buckets)}

    def connect(bucket: str) -> ObjectStore:
        if bucket not in stores:
            raise NotFound("bucket", bucket)
        return stores[bucket]

    return S3Objects(connect)

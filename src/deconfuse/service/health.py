"""Whether the house is in order, and what is at work in it: for whoever runs the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.store.multipart import Uploads


def check_database(house: House) -> None:
    """Return, if the database answers.

    Raises:
        Unavailable: it is away.
    """
    with house.database.read():
        pass


def count_jobs(house: House) -> Mapping[str, int]:
    """How many jobs wait and run, by status."""
    with house.database.read() as rows:
        counted = Counter(job.status for job in registry.list_jobs(rows))
    return {status: counted[status] for status in ("WAITING", "RUNNING")}


def count_models(house: House) -> int:
    """How many models are in memory."""
    return len(house.models)


def keep_order(house: House) -> None:
    """Clear away what clients and crashes left behind: uploads that were given up, blobs that no row names.

    A house whose store is somebody else's S3 has nothing to clear away.

    Raises:
        Unavailable: the database or the disk is away.
    """
    if house.local is not None:
        Uploads(house.local).expire()
        house.local.sweep()

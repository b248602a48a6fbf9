"""Whether a house is whole after everything that may have happened to it, and how long tests of that go on."""

from __future__ import annotations

import hashlib
import os

from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET, list_all, read_all

IS_SOAK = os.environ.get("DECONFUSE_SOAK") == "1"
"""The long version: DECONFUSE_SOAK=1."""

MOMENTS = 50 if IS_SOAK else 10
"""At how many random moments something is killed."""

MOST_BYTES = 64 << 20


def check_whole(house: House) -> None:
    """Every status is one at rest, no job is open, and every object is what its row says; blobs without rows can go."""
    with house.database.read() as rows:
        assert registry.list_jobs(rows) == ()
        for project in registry.list_projects(rows, limit=1000).items:
            for dataset in registry.list_datasets(rows, [project.id])[project.id]:
                assert "_IN_PROGRESS" not in dataset.status
            for version in registry.list_versions(rows, project.id, limit=1000).items:
                assert version.status in {"TRAINING_COMPLETED", "TRAINING_FAILED", "STOPPED", "RUNNING"}
                assert version.message
    assert house.local is not None
    house.local.sweep()
    for bucket in [OWN_BUCKET, *(bucket.name for bucket in house.local.buckets())]:
        for stored in list_all(house.objects, bucket):
            data = read_all(house.objects, bucket, stored.key, limit_bytes=MOST_BYTES)
            assert len(data) == stored.size_bytes
            assert "-" in stored.etag or hashlib.md5(data).hexdigest() == stored.etag

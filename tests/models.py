"""A model for tests that need one and no training: it knows two labels and gives each a probability of a half.

bundle()                    its files
train(house, job, heart)    does a job of the kind "train" in no time
"""

from __future__ import annotations

from functools import cache

import numpy as np

from deconfuse.engine.jobs import Heart
from deconfuse.learn.bundle import write_bundle
from deconfuse.learn.head import Head
from deconfuse.service import results
from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET
from deconfuse.store.registry import Job
from worlds import tiny_backbone

LABELS = ("leaf", "sun")


@cache
def bundle() -> dict[str, bytes]:
    """Card and head; the thresholds are 0.4 and 0.6."""
    backbone = tiny_backbone()
    zeros = np.zeros((2, backbone.card.dimensions), np.float32)
    head = Head(LABELS, zeros, np.zeros(2, np.float32), 1.0, multi_label=False)
    return write_bundle(head, {"backbone": {"key": backbone.card.key}, "thresholds": [0.4, 0.6]})


def train(house: House, job: Job, heart: Heart) -> None:
    """End a training as a good one ends."""
    for name, content in {**bundle(), results.PREDICTIONS_NAME: b""}.items():
        house.objects.put(OWN_BUCKET, results.own_key(job.subject_id, name), content)
    with house.database.write() as rows:
        registry.end_version(
            rows,
            job.subject_id,
            becomes="TRAINING_COMPLETED",
            now_ms=house.now_ms,
            message=results.READY,
            f1=0.5,
            outcome=results.written(results.Outcome()),
        )
        heart.end(rows)

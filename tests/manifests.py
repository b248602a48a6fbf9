"""Builders of datasets for tests: lines of manifests, good and bad, and the work that a server's runner would do.

image_line("cat/1.jpg", "cat")             a line for an image with these labels
box_line("street/1.jpg", "car", "bus")     a line for an image with a box for each of these labels
put_manifest(house, lines)                 the address of a manifest that holds them
a_dataset_of(house, project, lines)        the ARN of a dataset made of them
perform_jobs(house)                        does every job about datasets that waits
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from deconfuse.engine.jobs import perform_job
from deconfuse.names import DatasetKind, ObjectAddress
from deconfuse.service import datasets, projects
from deconfuse.service.house import House
from deconfuse.service.work import tasks
from deconfuse.store import registry
from deconfuse.store.registry import Job
from worlds import manifest_line

KINDS = ("create-dataset", "distribute", "delete-dataset")
BUCKET = "photos"

_WORKERS = itertools.count()


def image_line(key: str, *labels: str, bucket: str = BUCKET, **more: Any) -> bytes:
    """A line for an image with these labels; `more` stands on it, too."""
    return manifest_line(key, labels, bucket=bucket, **more)


def box_line(key: str, *labels: str, size: int = 640, left: int = 10, bucket: str = BUCKET) -> bytes:
    """A line for an image of `size` by `size` pixels with a box of 20 by 20 for each label."""
    boxes = [{"class_id": number, "left": left, "top": 10, "width": 20, "height": 20} for number in range(len(labels))]
    line = {
        "source-ref": f"s3://{bucket}/{key}",
        "boxes": {"image_size": [{"width": size, "height": size, "depth": 3}], "annotations": boxes},
        "boxes-metadata": {
            "objects": [{"confidence": 1} for _ in labels],
            "class-map": {str(number): label for number, label in enumerate(labels)},
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": "2030-01-02T03:04:05",
        },
    }
    return json.dumps(line).encode()


def a_project(house: House, name: str = "rooms") -> str:
    """The ARN of a new project."""
    return str(projects.project_arn(house, projects.create_project(house, name)))


def put_manifest(
    house: House, lines: Iterable[bytes], *, key: str = "train.manifest", bucket: str = BUCKET
) -> ObjectAddress:
    """A manifest of these lines in a bucket, which is made where it is missing."""
    assert house.local is not None
    if bucket not in {found.name for found in house.local.buckets()}:
        house.local.create_bucket(bucket)
    house.objects.put(bucket, key, (line + b"\n" for line in lines))
    return ObjectAddress(bucket, key)


def a_dataset_of(house: House, project: str, lines: Iterable[bytes] | None, *, kind: DatasetKind = "train") -> str:
    """The ARN of a dataset made of these lines, whatever became of it; None makes an empty one."""
    manifest = None if lines is None else put_manifest(house, lines, key=f"{kind}.manifest")
    dataset = datasets.create_dataset(house, project, kind=kind, manifest=manifest)
    perform_jobs(house)
    return str(datasets.dataset_arn(house, dataset))


def claim(house: House) -> Job | None:
    """The oldest job about a dataset that waits, claimed."""
    with house.database.write() as rows:
        return registry.claim_job(rows, kinds=KINDS, worker=f"test-{next(_WORKERS)}", now_ms=house.now_ms)


def perform_jobs(house: House) -> int:
    """Do every job about datasets that waits: how many."""
    known = tasks(house)
    n_done = 0
    while (job := claim(house)) is not None:
        perform_job(house.database, job, known[job.kind], worker=job.worker or "", clock=house.clock, pauses=(0.0,))
        n_done += 1
    return n_done


def told(house: House, arn: str, **which: Any) -> list[dict[str, Any]]:
    """Every line of a dataset, or those that are asked for, read page by page."""
    lines: list[dict[str, Any]] = []
    token: str | None = None
    while True:
        page, token = datasets.list_entries(house, arn, token=token, **which)
        lines += (json.loads(line) for line in page)
        if token is None:
            return lines


def keys(lines: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of their images."""
    return [line["source-ref"].split("/", 3)[3] for line in lines]

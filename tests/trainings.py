"""Builders of trained versions for tests: images in a bucket, datasets over them, jobs performed on the spot.

a_shop(house)                              a project with images, two datasets, and a bucket for results
put_images(house, {"leaf": 4})             JPEG images in the bucket "photos"; the lines of a manifest over them
a_filled_dataset(house, project, "train", lines)
perform_all(house)                         does every waiting job, as a worker would
a_stall(house)                             a project with one image of each label, and a bucket for results
a_trained_version(house)                   a version that is ready to be started, with the files of a real training
a_running_version(house)                   one that runs
"""

from __future__ import annotations

import functools
import io
import itertools
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deconfuse.engine.jobs import perform_job
from deconfuse.engine.sinks import ObjectSink
from deconfuse.formats.manifest import read_manifest
from deconfuse.service import projects, versions
from deconfuse.service.house import House
from deconfuse.service.results import output_files, placements, written
from deconfuse.service.work import tasks
from deconfuse.store import registry
from deconfuse.store.registry import Dataset, Project, Version
from houses import make_house
from worlds import manifest_line, picture

RESULTS = "results"
PHOTOS = "photos"
_WORKERS = itertools.count()


def perform_all(house: House) -> list[registry.Job]:
    """Do every waiting job: the jobs as they were claimed."""
    known = tasks(house)
    done = []
    while True:
        worker = f"test-{next(_WORKERS)}"
        with house.database.write() as rows:
            job = registry.claim_job(rows, kinds=tuple(known), worker=worker, now_ms=house.now_ms)
        if job is None:
            return done
        perform_job(house.database, job, known[job.kind], worker=worker, clock=house.clock, pauses=(0.0,))
        done.append(job)


def put_images(
    house: House, counts: Mapping[str, int], *, start: int = 0, bucket: str = PHOTOS, side: int = 96
) -> list[bytes]:
    """JPEG images of these labels in a bucket, which is made; one line of a manifest for each."""
    make_bucket(house, bucket)
    lines = []
    for label, count in counts.items():
        for number in range(start, start + count):
            key = f"{label}/{number}.jpg"
            house.objects.put(bucket, key, picture(label, number, format="JPEG", side=side))
            lines.append(manifest_line(key, (label,), bucket=bucket))
    return lines


def make_bucket(house: House, name: str) -> str:
    """The bucket `name`, made where it is missing."""
    assert house.local is not None
    if name not in {bucket.name for bucket in house.local.buckets()}:
        house.local.create_bucket(name)
    return name


def a_filled_dataset(house: House, project: Project, kind: registry.DatasetKind, lines: Iterable[bytes]) -> Dataset:
    """A dataset of these lines, ready to be read."""
    entries = [
        registry.EntryRow(entry.uri or f"line-{entry.line}", entry.raw or b"", entry.labels)
        for entry in read_manifest(list(lines))
    ]
    with house.database.write() as rows:
        dataset = registry.add_dataset(rows, project.id, kind, now_ms=house.now_ms, status="CREATE_COMPLETE")
        registry.put_entries(rows, dataset.id, entries)
    return dataset


def a_shop(
    house: House, name: str = "shop", *, train: Mapping[str, int] | None = None, test: Mapping[str, int] | None = None
) -> Project:
    """A project with a training dataset of leaves and suns, a test dataset, and a bucket for results."""
    project = projects.create_project(house, name)
    make_bucket(house, RESULTS)
    a_filled_dataset(house, project, "train", put_images(house, train or {"leaf": 8, "sun": 8}))
    if test != {}:
        held = put_images(house, test or {"leaf": 3, "sun": 3}, start=1000)
        a_filled_dataset(house, project, "test", held)
    return project


def create(house: House, project: Project, name: str = "1", **options: Any) -> Version:
    """A version whose training has been asked for."""
    arn = str(projects.project_arn(house, project))
    return versions.create_version(house, arn, name, **{"output": (RESULTS, "out"), **options})


def view_of(house: House, version: Version) -> versions.VersionView:
    """The version as it is told now."""
    with house.database.read() as rows:
        project = registry.get_project(rows, version.project_id)
    arn = str(projects.project_arn(house, project))
    (view,), token = versions.list_versions(house, arn, names=[version.name])
    assert token is None
    return view


def a_stall(house: House, name: str = "shop") -> Project:
    """A project without datasets, a bucket for results, and an image of each label."""
    make_bucket(house, RESULTS)
    put_images(house, {"leaf": 1, "sun": 1})
    return projects.create_project(house, name)


@functools.cache
def a_training() -> tuple[versions.VersionView, dict[str, bytes]]:
    """What one real training of leaves and suns leaves: the version as it is told, and each artefact by its name."""
    with tempfile.TemporaryDirectory() as folder:
        house = make_house(Path(folder))
        version = create(house, a_shop(house))
        perform_all(house)
        places = placements(version).items()
        return view_of(house, version), {name: content(house, *place[-1]) for name, place in places}


def a_trained_version(house: House, name: str = "1", *, project: Project | None = None) -> str:
    """The ARN of a version that is ready to be started; the files are those of `a_training`, under its names."""
    seen, files = a_training()
    project = project or a_stall(house)
    with house.database.write() as rows:
        given = written(seen.given)
        output = (RESULTS, "out")
        version = registry.add_version(rows, project.id, name, now_ms=house.now_ms, output=output, given=given)
    sink = ObjectSink(house.objects, placements(version))
    for artefact, data in files.items():
        sink.put(artefact.replace("-shop-1.", f"-{project.name}-{name}."), data)
    places: dict[str, Any] = {field: place for field, (_, place) in output_files(version).items()}
    with house.database.write() as rows:
        registry.end_version(
            rows,
            version.id,
            becomes="TRAINING_COMPLETED",
            now_ms=house.now_ms,
            message=seen.message,
            billable_seconds=seen.version.billable_seconds,
            f1=seen.version.f1,
            outcome=written(replace(seen.outcome, **places)),
        )
    return str(versions.version_arn(house, version))


def a_running_version(house: House, name: str = "1") -> str:
    """The ARN of a version that runs."""
    arn = a_trained_version(house, name)
    versions.start_version(house, arn, min_units=1)
    perform_all(house)
    return arn


def keys_in(house: House, bucket: str, prefix: str = "") -> list[str]:
    """The keys of a bucket."""
    return [stored.key for stored in house.objects.list_objects(bucket, prefix=prefix).objects]


def content(house: House, bucket: str, key: str) -> bytes:
    """The bytes of an object."""
    with house.objects.get(bucket, key) as found:
        return b"".join(found)


def jpeg(image: Any, **options: Any) -> bytes:
    """The bytes of a JPEG."""
    target = io.BytesIO()
    image.save(target, "JPEG", **options)
    return target.getvalue()

"""Versions: trained models of a project. Begin a training, list, delete; start, stop, copy and ask are next door.

    training    what a worker does to train one
    copying     a version into another project
    serving     started versions, and what they say of an image
    results     the ARN, the files, what was given and what was left

Whoever uses versions names this module. A version and the job that makes it are written in one transaction, so there
is never one without the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Literal

from deconfuse.engine.jobs import Heart
from deconfuse.errors import Denied, InUse, Invalid, NotFound
from deconfuse.names import ObjectAddress, check_name
from deconfuse.service.copying import copy_version
from deconfuse.service.house import House
from deconfuse.service.projects import check_tags, find_project
from deconfuse.service.results import (
    Given,
    Outcome,
    VersionView,
    check_output,
    find_version,
    own_key,
    version_arn,
    view,
    written,
)
from deconfuse.service.serving import detect, start_version, stop_version
from deconfuse.service.tokens import read_token, write_token
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET, list_all
from deconfuse.store.registry import DELETABLE, READABLE, Dataset, Job, Project, Rows, Version, VersionLimits

__all__ = [
    "Given",
    "Outcome",
    "Version",
    "VersionView",
    "copy_version",
    "create_version",
    "delete_version",
    "detect",
    "find_version",
    "list_versions",
    "start_version",
    "stop_version",
    "version_arn",
]

WAITS = "The training waits for its turn."
INTERRUPTED = "The training was interrupted and waits to be taken up again."

_TO_DELETE = {
    "TRAINING_IN_PROGRESS": "wait until its training has ended",
    "STARTING": "wait until it is RUNNING, then stop it",
    "RUNNING": "stop it first",
}
"""What is to be done before a version can be deleted, by its status."""


def create_version(
    house: House,
    project_arn: str,
    name: str,
    *,
    output: tuple[str, str],
    training: ObjectAddress | None = None,
    testing: ObjectAddress | None = None,
    auto_create: bool | None = None,
    given: Mapping[str, Any] = {},
    tags: Mapping[str, str] = {},
) -> Version:
    """Begin to train a version on the datasets of a project or, where it has none, on manifests.

    Args:
        house: where the project is.
        project_arn: of the project.
        name: of the version, unique in its project.
        output: (bucket, prefix) for the results.
        training: the manifest of the training images,
        testing: and that of the test images; both only where the project has no datasets.
        auto_create: True chooses the test images among the training images instead.
        given: what means nothing here and is told again.
        tags: of the version.

    Raises:
        Invalid: an ARN, a name, an output or a tag that is not possible; or data that are missing, or given although
            the project has datasets.
        NotFound: there is no such project.
        InUse: the name is taken, or a dataset of the project cannot be read now.
        LimitExceeded: as many versions are being trained as may, or the project is full.
    """
    check_name("versionName", name)
    check_tags(tags)
    with house.database.write() as rows:
        project = find_project(house, rows, "projectArn", project_arn)
        _check_feature(project, given)
        found = registry.list_datasets(rows, [project.id])[project.id]
        datasets: dict[str, Dataset] = {dataset.kind: dataset for dataset in found}
        has_assets = training is not None or testing is not None or auto_create is True
        _check_data(rows, datasets, training, testing, auto_create=auto_create, has_assets=has_assets)
        splits = auto_create is True or (not has_assets and "test" not in datasets)
        kept = Given(output[1], training, testing, splits, dict(given))
        version = registry.add_version(
            rows,
            project.id,
            name,
            now_ms=house.now_ms,
            output=check_output(output, project.name, name),
            given=written(kept),
            limits=VersionLimits(in_project=house.limits.versions, in_progress=house.limits.trainings),
        )
        registry.put_tags(rows, "version", version.id, tags)
        payload = {kind: dataset.id for kind, dataset in datasets.items()}
        registry.add_job(rows, "train", noun="version", subject_id=version.id, now_ms=house.now_ms, payload=payload)
    house.wake()
    return version


def _check_feature(project: Project, given: Mapping[str, Any]) -> None:
    if given.get("FeatureConfig") and project.feature != "CONTENT_MODERATION":
        raise Invalid("featureConfig", f"the project {project.name} is for {project.feature}, which has no such choice")


def _check_data(
    rows: Rows,
    datasets: Mapping[str, Dataset],
    training: ObjectAddress | None,
    testing: ObjectAddress | None,
    *,
    auto_create: bool | None,
    has_assets: bool,
) -> None:
    """Return if it is clear what is to be trained on, and it stands still."""
    if datasets and has_assets:
        field = "trainingData" if training is not None else "testingData"
        raise Invalid(field, "the project has datasets, which are used; manifests are for a project without any")
    if datasets:
        if "train" not in datasets:
            raise Invalid("projectArn", "the project has a test dataset and no training dataset; create one first")
        for dataset in datasets.values():
            registry.hold_dataset(rows, dataset.id, within=READABLE)
        return
    if training is None:
        why = "the project has no training dataset, and no manifest is given; create a dataset first"
        raise Invalid("trainingData", why)
    if testing is None and not auto_create:
        raise Invalid("testingData", "give a manifest of the test images, or AutoCreate to choose them")
    if testing is not None and auto_create:
        raise Invalid("testingData", "give either a manifest of the test images or AutoCreate, and not both")


def list_versions(
    house: House, project_arn: str, *, names: Collection[str] = (), limit: int = 100, token: str | None = None
) -> tuple[tuple[VersionView, ...], str | None]:
    """The versions of a project, the newest first, at most `limit`, and the token of the next page, if there is one.

    Where `names` are given, only the versions that have one of them.

    Raises:
        Invalid: `project_arn` is not the ARN of a project.
        NotFound: there is no such project.
        BadToken: the token was not given for this question.
    """
    question = ("versions", project_arn, tuple(sorted(names)))
    after = read_token(question, token, int)
    with house.database.read() as rows:
        project = find_project(house, rows, "projectArn", project_arn)
        page = registry.list_versions(rows, project.id, names=names, after=after, limit=limit)
        views = tuple(view(house, project, version, _message(rows, version)) for version in page.items)
    return views, None if page.after is None else write_token(question, page.after)


def _message(rows: Rows, version: Version) -> str:
    """What is said of the status; of a training, what its worker said last."""
    if version.status != "TRAINING_IN_PROGRESS":
        return version.message
    for job in registry.list_jobs(rows, about=("version", version.id)):
        if job.status == "RUNNING":
            return job.message or "Training."
        return INTERRUPTED if job.n_attempts else WAITS
    return WAITS


def delete_version(house: House, arn: str) -> Literal["DELETING"]:
    """Begin to delete a version, and answer its status; the results in its output stay, for they are its user's.

    Raises:
        Invalid: `arn` is not the ARN of a version.
        NotFound: there is no such version.
        InUse: it is being trained, started or stopped, or runs; or is being deleted already.
    """
    with house.database.write() as rows:
        version = find_version(house, rows, "projectVersionArn", arn)
        if version.status not in DELETABLE:
            raise InUse(registry.version_in_the_way(version.name, version.status, _TO_DELETE))
        registry.move_version(rows, version.id, was=version.status, becomes="DELETING")
        now_ms = house.now_ms
        registry.cancel_jobs(rows, "version", version.id, now_ms=now_ms)
        registry.add_job(rows, "delete-version", noun="version", subject_id=version.id, now_ms=now_ms)
    house.wake()
    return "DELETING"


def perform_delete_version(house: House, job: Job, heart: Heart) -> None:
    """Remove the model of the version that the job is about, then the version.

    Raises:
        Stale: the job is no longer this worker's.
        Unavailable: a store or database is away.
    """
    house.models.forget(job.subject_id)
    # What may not be removed is left behind: a version that nobody can delete would be worse.
    with contextlib.suppress(NotFound, Denied):
        for stored in list_all(house.objects, OWN_BUCKET, prefix=own_key(job.subject_id)):
            house.objects.delete(OWN_BUCKET, stored.key)
            heart.check()
    with house.database.write() as rows:
        registry.remove_version(rows, job.subject_id)
        heart.end(rows)


def fail_delete_version(house: House, rows: Rows, job: Job, message: str) -> None:
    """Nothing is written: the version stays DELETING, and its job is tried as often as it takes."""

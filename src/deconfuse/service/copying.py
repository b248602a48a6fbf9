"""A version copied into another project of the same account.

The model is copied, and the results of its training into the output of the copy, under the names that the copy gives
them; what the files say stays as it is. Results that their user has removed meanwhile are left out. A version of
another account or region is none that is known here, so no policy is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deconfuse.engine.jobs import Heart
from deconfuse.engine.sinks import content_type
from deconfuse.errors import BadData, Denied, InUse, Invalid, NotFound
from deconfuse.names import check_name
from deconfuse.service.house import House
from deconfuse.service.projects import check_tags, find_project
from deconfuse.service.results import (
    FILES,
    MODEL_NAMES,
    READY,
    Outcome,
    cannot_write,
    check_output,
    check_writable,
    find_version,
    given_of,
    open_object,
    outcome_of,
    output_files,
    own_key,
    sentence,
    version_arn,
    written,
)
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET
from deconfuse.store.registry import HOSTED, STARTABLE, Job, Rows, Version, VersionLimits

COPYING = "The model is being copied."

COPYABLE = (*STARTABLE, *HOSTED)
"""In these a version has a model."""


def copy_version(
    house: House,
    *,
    source_project: str,
    source_version: str,
    destination_project: str,
    name: str,
    output: tuple[str, str],
    given: Mapping[str, Any] = {},
    tags: Mapping[str, str] = {},
) -> Version:
    """Begin to copy a version.

    Args:
        house: where both are.
        source_project: ARN of the project of the version that is copied.
        source_version: its own ARN.
        destination_project: ARN of the project that gets the copy.
        name: of the copy.
        output: (bucket, prefix) for the results.
        given: what means nothing here and is told again.
        tags: of the copy.

    Raises:
        Invalid: an ARN, a name or a tag that is not possible; the version is not one of its project; or the projects
            have different features.
        NotFound: there is no such project or version here.
        InUse: the name is taken, or the version has no model.
        LimitExceeded: as many versions are being copied as may, or the project is full.
    """
    check_name("versionName", name)
    check_tags(tags)
    with house.database.write() as rows:
        home = find_project(house, rows, "sourceProjectArn", source_project)
        source = find_version(house, rows, "sourceProjectVersionArn", source_version)
        target = find_project(house, rows, "destinationProjectArn", destination_project)
        if source.project_id != home.id:
            raise Invalid("sourceProjectVersionArn", f"the version {source.name} is not one of the project {home.name}")
        if home.feature != target.feature:
            raise Invalid("destinationProjectArn", f"the project {target.name} is for {target.feature}")
        if source.status not in COPYABLE:
            raise InUse(registry.version_in_the_way(source.name, source.status))
        kept = replace(given_of(source), prefix=output[1], told=dict(given))
        version = registry.add_version(
            rows,
            target.id,
            name,
            now_ms=house.now_ms,
            output=check_output(output, target.name, name),
            status="COPYING_IN_PROGRESS",
            message=COPYING,
            given=written(kept),
            source=str(version_arn(house, source)),
            limits=VersionLimits(in_project=house.limits.versions, in_progress=house.limits.copies),
        )
        registry.put_tags(rows, "version", version.id, tags)
        payload = {"source": source.id}
        registry.add_job(
            rows, "copy-version", noun="version", subject_id=version.id, now_ms=house.now_ms, payload=payload
        )
    house.wake()
    return version


def perform_copy_version(house: House, job: Job, heart: Heart) -> None:
    """Copy the version that the job is about.

    Raises:
        BadData: it cannot be copied, and why.
        Stale: the job is no longer this worker's.
        Unavailable: the disk is full, or a store or database is away.
    """
    with house.database.read() as rows:
        version = registry.get_version(rows, job.subject_id)
        try:
            source = registry.get_version(rows, int(job.payload["source"]))
        except NotFound as error:
            raise _gone() from error
    check_writable(house, version)
    _copy_model(house, source, version, heart)
    outcome = _copy_results(house, source, version, heart)
    with house.database.write() as rows:
        registry.end_version(
            rows,
            version.id,
            becomes="COPYING_COMPLETED",
            now_ms=house.now_ms,
            message=READY,
            f1=source.f1,
            outcome=written(outcome),
        )
        heart.end(rows)


def fail_copy_version(house: House, rows: Rows, job: Job, message: str) -> None:
    """Write that the version cannot be copied, and why."""
    now_ms = house.now_ms
    registry.end_version(rows, job.subject_id, becomes="COPYING_FAILED", now_ms=now_ms, message=sentence(message))


def _copy_model(house: House, source: Version, version: Version, heart: Heart) -> None:
    for name in MODEL_NAMES:
        _speak(house, heart)
        try:
            with house.objects.get(OWN_BUCKET, own_key(source.id, name)) as content:
                house.objects.put(OWN_BUCKET, own_key(version.id, name), content)
        except NotFound as error:
            raise _gone() from error


def _copy_results(house: House, source: Version, version: Version, heart: Heart) -> Outcome:
    """The outcome of the copy: that of the source, with every file that could be copied in its new place."""
    old = outcome_of(source)
    places: dict[str, Any] = dict.fromkeys(FILES)
    for field, (_, place) in output_files(version).items():
        address = getattr(old, field)
        if address is None:
            continue
        _speak(house, heart)
        try:
            content = open_object(house, address)
        except (NotFound, Denied):
            continue  # they are the user's, who may have removed them
        with content:
            try:
                headers = {"Content-Type": content_type(place.key)}
                house.objects.put(place.bucket, place.key, content, headers=headers)
            except (NotFound, Denied, Invalid) as error:
                raise cannot_write(place.bucket, error) from error
        places[field] = place
    return replace(old, **places)


def _speak(house: House, heart: Heart) -> None:
    """Go on only while the job is this worker's."""
    with house.database.write() as rows:
        heart.guard(rows)


def _gone() -> BadData:
    return BadData("The version that was to be copied was deleted before that was done.")

"""A version that was trained elsewhere: from the names of project and version to its summary, its snapshot, its matrix.

    project, version ─ DescribeProjects ─ DescribeProjectVersions ─► Trained ─ S3 ─► joining ─► Evaluation

Whatever keeps a version from being looked at is an error that says so: not there (and what is), still training, failed
and why, being deleted, no classifier. A snapshot that cannot be read is no error: the summary stands alone, and a note
says what is missing. Images that the training could not use are told as a run tells them.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deconfuse.engine.evaluation import Evaluation, Threshold
from deconfuse.engine.joining import Part, join, summary_alone
from deconfuse.engine.remote import Remote
from deconfuse.engine.unused import Validation, read_unused, unused_text
from deconfuse.errors import BadData, DeconfuseError, Denied, Invalid, NotFound, NotReady
from deconfuse.names import Arn, ObjectAddress, ProjectArn, VersionArn, check_name, parse_arn

MAX_SUMMARY_BYTES = 256 << 20
"""A summary of the 250 labels that Rekognition allows has 62,500 cells and some 6 MB."""

LISTED = 10
"""So many names are told of what is there instead."""

MOST_LOOKED_AT = 1_000
"""So many projects or versions are looked through for names that come near."""

_WAITING = {
    "TRAINING_IN_PROGRESS": "is still training",
    "COPYING_IN_PROGRESS": "is still being copied",
    "TRAINING_FAILED": "could not be trained",
    "COPYING_FAILED": "could not be copied",
    "DELETING": "is being deleted",
}
"""States in which a version has nothing to show."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A version that was trained and evaluated.

    Attributes:
        project: the project's name.
        version: the version's name.
        arn: of the version.
        summary: where its evaluation summary lies.
        snapshot: where the snapshot of its test images lies; None where the service does not say.
        validation: where it is said which images could not be used.
    """

    project: str
    version: str
    arn: str
    summary: ObjectAddress
    snapshot: ObjectAddress | None
    validation: Validation

    @property
    def title(self) -> str:
        """Project and version."""
        return f"{self.project} {self.version}"


def find_trained(remote: Remote, project: str, version: str | None) -> Trained:
    """The version that its user calls `version`, in the project that he calls `project`.

    Args:
        remote: where to look; its region becomes that of an ARN.
        project: the name or the ARN of a project, or the ARN of a version, which then needs no `version`.
        version: a name or an ARN; None takes the only version that was evaluated.

    Raises:
        Invalid: what cannot be a name or an ARN; two that contradict each other; or several versions and no name.
        NotFound: project or version; the message says what is there.
        NotReady: it is training, failed, or is being deleted; the message says why.
        BadData: it is no classification model.
    """
    project, version = _names(remote, project, version)
    arn = project if project.startswith("arn:") else _project_arn(remote, project)
    if version is None:
        described = _only_version(remote, arn, _short(project))
    else:
        found = next(iter(remote.versions(arn, [version])), None)
        if found is None:
            raise _no_version(remote, arn, _short(project), version)
        described = found
    return _trained(remote, _short(project), described)


def read_trained(
    remote: Remote, found: Trained, *, threshold: Threshold = None, labels: Sequence[str] | None = None
) -> Evaluation:
    """The evaluation of a version that was trained elsewhere, with the images that its training could not use.

    Args:
        remote: where it was found.
        found: the version.
        threshold: None for the highest score; "assumed" for each label's own threshold, or one number; both need the
            snapshot.
        labels: only these; the others are summed as *(other)*.

    Raises:
        NotFound, Denied, Unavailable: the summary, or, where a threshold needs it, the snapshot.
        BadData: it is no classification model.
        Invalid: an unknown label.
    """
    evaluation = _evaluation(remote, found, threshold=threshold, labels=labels)
    notes, problems = read_unused(remote, found.validation)
    return replace(evaluation, notes=(*evaluation.notes, *notes), problems=(*problems, *evaluation.problems))


def _evaluation(remote: Remote, found: Trained, *, threshold: Threshold, labels: Sequence[str] | None) -> Evaluation:
    """What summary and snapshot give; raises as `read_trained`."""
    name = f"the summary of {found.title} ({found.summary})"
    try:
        summary = remote.read(found.summary, limit=MAX_SUMMARY_BYTES)
    except NotFound as error:
        remedy = "Rekognition says that it wrote it there; bring it back, or train again"
        raise NotFound(f"summary of {found.title}", str(found.summary), f"{error.remedy}. {remedy}") from error
    # Whatever is wrong with the summary itself must not look like a snapshot that cannot be read.
    alone = summary_alone(summary, name, title=found.title, labels=labels)
    try:
        if found.snapshot is None:
            raise NotFound("snapshot", found.title, "The service does not say where it is")
        with remote.open(found.snapshot) as body:
            part = Part(str(found.snapshot), body)
            return join(summary, name, part, title=found.title, threshold=threshold, labels=labels)
    except DeconfuseError as error:
        if threshold is not None or isinstance(error, Invalid):
            raise
        note = (
            f"The snapshot of the test images cannot be used, so images are not known: {error}"
            if alone.is_exact
            else f"The snapshot of the test images cannot be used, so neither counts nor images are known: {error}"
        )
        return summary_alone(summary, name, title=found.title, labels=labels, note=note)


def _names(remote: Remote, project: str, version: str | None) -> tuple[str, str | None]:
    """(name or ARN of the project, name of the version or None) of what the user gave.

    Raises:
        Invalid: what cannot be a name or an ARN, or two that contradict each other.
    """
    if version is not None and version.startswith("arn:"):
        arn = _of_version("--version", version)
        _settle(remote, arn)
        if not project.startswith("arn:"):
            _agree("--project", check_name("--project", project), arn.project)
        version = arn.version
    elif version is not None:
        check_name("--version", version)
    if not project.startswith("arn:"):
        return check_name("--project", project), version
    found = parse_arn("--project", project)
    _settle(remote, found)
    if isinstance(found, ProjectArn):
        return project, version
    if not isinstance(found, VersionArn):
        raise Invalid("--project", f"{project} is the ARN of a dataset")
    # The ARN of a version does not say when its project was made, so the project's own ARN must be asked for.
    if version is not None:
        _agree("--version", version, found.version)
    return found.project, found.version


def _of_version(field: str, text: str) -> VersionArn:
    arn = parse_arn(field, text)
    if not isinstance(arn, VersionArn):
        raise Invalid(field, f"{text} is not the ARN of a version")
    return arn


def _agree(field: str, given: str, other: str) -> None:
    if given != other:
        raise Invalid(field, f"{given!r} is given, and the ARN says {other!r}")


def _settle(remote: Remote, arn: Arn) -> None:
    """Take the region of an ARN, unless another was asked for.

    Raises:
        Invalid: another was asked for.
    """
    if remote.region not in (None, arn.region):
        raise Invalid("--region", f"{remote.region!r} is given, and the ARN says {arn.region!r}")
    remote.region = arn.region


def _project_arn(remote: Remote, name: str) -> str:
    """The ARN of the project called `name`.

    Raises:
        NotFound: there is none, with the names that come near.
    """
    for found in remote.projects([name]):
        if _short(str(found["ProjectArn"])) == name:
            return str(found["ProjectArn"])
    where = f" in region {remote.region}" if remote.region else ""
    try:
        there = [_short(str(found["ProjectArn"])) for found in itertools.islice(remote.projects(), MOST_LOOKED_AT)]
    except Denied:
        raise NotFound("project", name, f"Looked{where}") from None
    raise NotFound("project", name, _instead(name, there, f"There is no project at all{where}", f"There are{where}"))


def _no_version(remote: Remote, arn: str, project: str, version: str) -> NotFound:
    """The error that says which versions a project has instead."""
    states = dict(_state(found) for found in itertools.islice(remote.versions(arn), MOST_LOOKED_AT))
    if not states:
        return NotFound("version", version, f"Project {project} has no version at all")
    near = difflib.get_close_matches(version, states, n=1)
    guess = f"Did you mean {near[0]}? " if near else ""
    return NotFound("version", version, f"{guess}Project {project} has {_listed(states)}")


def _only_version(remote: Remote, arn: str, project: str) -> Mapping[str, Any]:
    """What is said of the only version of a project that was evaluated, or the only one at all.

    Raises:
        Invalid: there are several; all are named.
        NotFound: there is none.
    """
    every = list(itertools.islice(remote.versions(arn), MOST_LOOKED_AT))
    evaluated = [found for found in every if _summary(found) is not None]
    if len(evaluated) == 1:
        return evaluated[0]
    if not every:
        raise NotFound("version", f"project {project} has none", "Train one, or name another project")
    if len(every) == 1:
        return every[0]
    raise Invalid("--version", f"say which; project {project} has {_listed(dict(map(_state, every)))}")


def _listed(states: Mapping[str, str]) -> str:
    """Versions with their states, the newest first, at most `LISTED`."""
    more = f", and {len(states) - LISTED:,} more" if len(states) > LISTED else ""
    return ", ".join(f"{name} ({state})" for name, state in itertools.islice(states.items(), LISTED)) + more


def _state(described: Mapping[str, Any]) -> tuple[str, str]:
    """(name, status) of a version.

    Not its F1: what a service tells is by thresholds, and that of the matrix by highest score.
    """
    return _short(str(described["ProjectVersionArn"])), str(described.get("Status", "unknown"))


def _instead(name: str, there: Sequence[str], none: str, some: str) -> str:
    """What is there instead of `name`, in a sentence."""
    if not there:
        return none
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5) or [
        other for other in there if other.casefold() == name.casefold()
    ]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    more = f", and {len(there) - LISTED:,} more" if len(there) > LISTED else ""
    return f"{some}: {', '.join(there[:LISTED])}{more}"


def _trained(remote: Remote, project: str, described: Mapping[str, Any]) -> Trained:
    """The version of which `described` is said.

    Raises:
        NotReady: it has nothing to show yet, or any more.
        BadData: it is no classifier.
    """
    arn, status = str(described["ProjectVersionArn"]), str(described.get("Status", ""))
    version = _short(arn)
    summary = _summary(described)
    if status in _WAITING:
        raise NotReady(_why_not(remote, project, version, described))
    if described.get("Feature") == "CONTENT_MODERATION":
        raise BadData(f"version {version} of {project} is a moderation adapter: it has no labels to confuse")
    if summary is None:
        said = described.get("StatusMessage")
        raise NotReady(
            f"version {version} of {project} ({status}) has no evaluation" + (f". It says: {said}" if said else "")
        )
    return Trained(project, version, arn, summary, _snapshot(described), _validation(described))


def _why_not(remote: Remote, project: str, version: str, described: Mapping[str, Any]) -> str:
    status = str(described["Status"])
    summary = _summary(described)
    said = str(described.get("StatusMessage") or "").strip()
    text = f"version {version} of {project} {_WAITING[status]}" + (f": {said}" if said else "")
    more = ""
    if status == "TRAINING_FAILED":
        more = unused_text(remote, _validation(described))
    elif status == "DELETING" and summary is not None:
        more = f"Its summary may still be there: deconfuse matrix {summary}"
    return f"{text.rstrip('.')}. {more}" if more else text


def _summary(described: Mapping[str, Any]) -> ObjectAddress | None:
    result = described.get("EvaluationResult") or {}
    return _address((result.get("Summary") or {}).get("S3Object"))


def _snapshot(described: Mapping[str, Any]) -> ObjectAddress | None:
    return _manifest((described.get("TestingDataResult") or {}).get("Output") or {})


def _validation(described: Mapping[str, Any]) -> Validation:
    sides = (described.get(f"{side}DataResult") or {} for side in ("Training", "Testing"))
    train, test = (_manifest(result.get("Validation") or {}) for result in sides)
    return Validation(_address((described.get("ManifestSummary") or {}).get("S3Object")), train, test)


def _manifest(data: Mapping[str, Any]) -> ObjectAddress | None:
    """The first manifest of `data`, if it has one."""
    assets = data.get("Assets") or [{}]
    return _address((assets[0].get("GroundTruthManifest") or {}).get("S3Object"))


def _address(place: Mapping[str, Any] | None) -> ObjectAddress | None:
    """The object that an answer names, if it names one."""
    if not place or not place.get("Bucket") or not place.get("Name"):
        return None
    return ObjectAddress(str(place["Bucket"]), str(place["Name"]), place.get("Version"))


def _short(arn: str) -> str:
    """The name that an ARN of a project or version ends in, before its number; a name is its own."""
    return arn.split("/")[-2] if "/" in arn else arn

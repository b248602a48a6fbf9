"""Versions: asked for, listed, deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import BadToken, DeconfuseError, InUse, Invalid, LimitExceeded, NotFound
from deconfuse.names import ObjectAddress, VersionArn, parse_version_arn
from deconfuse.service import projects, versions
from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET
from deconfuse.store.registry import Project
from houses import ACCOUNT, make_house
from trainings import (
    RESULTS,
    a_filled_dataset,
    a_running_version,
    a_shop,
    a_stall,
    a_trained_version,
    create,
    keys_in,
    perform_all,
    view_of,
)
from worlds import manifest_line

MANIFEST = ObjectAddress("photos", "train.manifest")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house."""
    return make_house(tmp_path)


def a_project(house: House, name: str = "shop", *, kinds: tuple[str, ...] = ("train",)) -> Project:
    """A project with datasets of one line each."""
    project = projects.create_project(house, name)
    for kind in kinds:
        a_filled_dataset(house, project, kind, [manifest_line("1.jpg", ("leaf",))])  # type: ignore[arg-type]
    return project


def arn_of(house: House, project: Project) -> str:
    """The ARN of a project."""
    return str(projects.project_arn(house, project))


def names(house: House, project: Project, **options: Any) -> list[str]:
    """The names of the versions that one page lists."""
    found, _ = versions.list_versions(house, arn_of(house, project), **options)
    return [view.version.name for view in found]


def waiting(house: House) -> list[str]:
    """The kinds of the jobs that wait."""
    with house.database.read() as rows:
        return [job.kind for job in registry.list_jobs(rows)]


def set_status(house: House, version_id: int, status: str) -> None:
    """Write a status, whatever it was."""
    from sqlalchemy import update

    from deconfuse.store.schema import VERSIONS

    with house.database.write() as rows:
        rows.execute(update(VERSIONS).where(VERSIONS.c.id == version_id).values(status=status))


# Asked for


def test_a_version_and_its_job_are_there_together(house: House) -> None:
    """The version is being trained; whoever takes jobs is woken after both can be seen."""
    seen: list[list[str]] = []
    awake = replace(house, wake=lambda: seen.append(waiting(house)))
    version = create(awake, a_project(house), tags={"season": "spring"})

    assert seen == [["train"]]
    assert version.status == "TRAINING_IN_PROGRESS"
    assert projects.tags_of(house, view_of(house, version).arn) == {"season": "spring"}


def test_the_arn_of_a_version_names_its_creation(house: House) -> None:
    """As AWS spells it, with the milliseconds of the version's own creation."""
    version = create(house, a_project(house), "1.0_a-b")
    arn = versions.version_arn(house, version)

    assert arn == VersionArn("shop", "1.0_a-b", version.created_ms, "us-east-1", ACCOUNT)
    assert parse_version_arn("arn", str(arn)) == arn


def test_what_means_nothing_here_is_told_again(house: House) -> None:
    """Keys of AWS, descriptions, and the confidence of a moderation adapter in a project for such."""
    project = projects.create_project(house, "mild", feature="CONTENT_MODERATION", auto_update="DISABLED")
    a_filled_dataset(house, project, "train", [manifest_line("1.jpg", ("leaf",))])
    told = {"KmsKeyId": "key-1", "FeatureConfig": {"ContentModeration": {"ConfidenceThreshold": 50.5}}}
    view = view_of(house, create(house, project, given=told))

    assert view.given.told == told
    assert view.feature == "CONTENT_MODERATION"
    assert view.given.prefix == "out"


def test_datasets_decide_whether_test_images_are_chosen(house: House) -> None:
    """With a test dataset they are given, without one they are chosen; a False that AWS itself tells is no request."""
    alone = view_of(house, create(house, a_project(house)))
    both = view_of(house, create(house, a_project(house, "both", kinds=("train", "test")), auto_create=False))

    assert alone.given.auto_create
    assert not both.given.auto_create


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "manifests beside datasets": (("train",), {"training": MANIFEST, "testing": MANIFEST}, "trainingData"),
    "a test manifest beside datasets": (("train",), {"testing": MANIFEST}, "testingData"),
    "a split beside datasets": (("train",), {"auto_create": True}, "testingData"),
    "nothing to train on": ((), {}, "trainingData"),
    "a test dataset alone": (("test",), {}, "projectArn"),
    "a training manifest alone": ((), {"training": MANIFEST}, "testingData"),
    "a training manifest and no split": ((), {"training": MANIFEST, "auto_create": False}, "testingData"),
    "a test manifest alone": ((), {"testing": MANIFEST}, "trainingData"),
    "a split alone": ((), {"auto_create": True}, "trainingData"),
    "a test manifest and a split": (
        (),
        {"training": MANIFEST, "testing": MANIFEST, "auto_create": True},
        "testingData",
    ),
    "a choice of another feature": (
        ("train",),
        {"given": {"FeatureConfig": {"ContentModeration": {}}}},
        "featureConfig",
    ),
    "a tag that cannot be": (("train",), {"tags": {"aws:x": "1"}}, "tags"),
    "an endless prefix": (("train",), {"output": (RESULTS, "p" * 1000)}, "outputConfig"),
    "a prefix that cannot be kept": (("train",), {"output": (RESULTS, "a\0b")}, "outputConfig"),
    "half a character": (("train",), {"output": (RESULTS, "a\ud800")}, "outputConfig"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(house: House, case: str) -> None:
    """The field is named, and there is neither a version nor a job."""
    kinds, options, field = REFUSED[case]
    project = a_project(house, kinds=kinds)
    with pytest.raises(Invalid) as refused:
        create(house, project, **options)

    assert refused.value.field == field
    assert names(house, project) == []
    assert waiting(house) == []


@pytest.mark.parametrize("name", ["", "a/b", "x" * 256, "..", "a b", "é"])
def test_a_name_that_cannot_be(house: House, name: str) -> None:
    """Names are parts of ARNs and file names."""
    with pytest.raises(Invalid, match="versionName"):
        create(house, a_project(house), name)


def test_a_name_is_taken_in_its_project_only(house: House) -> None:
    """The same name in another project is another version."""
    project = a_project(house)
    create(house, project)
    with pytest.raises(InUse, match="taken"):
        create(house, project)
    create(house, a_project(house, "other"))


@pytest.mark.parametrize(
    ("arn", "error"),
    [
        ("arn:aws:rekognition:us-east-1:123456789012:project/none/1", NotFound),
        ("arn:aws:rekognition:eu-west-1:123456789012:project/shop/1", NotFound),
        ("arn:aws:rekognition:us-east-1:999999999999:project/shop/1", NotFound),
        ("arn:aws:rekognition:us-east-1:123456789012:project/shop/version/1/1", Invalid),
        ("shop", Invalid),
    ],
)
def test_a_project_that_is_not_here(house: House, arn: str, error: type[DeconfuseError]) -> None:
    """Of another region or account, of no project, or no ARN at all; to train in, and to list."""
    with pytest.raises(error):
        versions.create_version(house, arn, "1", output=(RESULTS, ""))
    with pytest.raises(error):
        versions.list_versions(house, arn)


@pytest.mark.parametrize("kind", ["train", "test"])
@pytest.mark.parametrize(
    ("status", "step"),
    [
        ("CREATE_IN_PROGRESS", "wait until it is CREATE_COMPLETE"),
        ("CREATE_FAILED", "delete it, and create it again"),
        ("UPDATE_IN_PROGRESS", "wait until it is UPDATE_COMPLETE"),
        ("DELETE_IN_PROGRESS", "wait until it is gone"),
    ],
)
def test_a_dataset_that_cannot_be_read_now(house: House, kind: str, status: str, step: str) -> None:
    """Of either kind; it is named, with what helps."""
    from sqlalchemy import update

    from deconfuse.store.schema import DATASETS

    project = a_project(house, kinds=("train", "test"))
    with house.database.write() as rows:
        rows.execute(update(DATASETS).where(DATASETS.c.kind == kind).values(status=status))
    with pytest.raises(InUse, match=f"the dataset {project.name}/{kind} is {status}; {step}"):
        create(house, project)


def test_a_dataset_whose_update_failed_is_trained_on(house: House) -> None:
    """Its lines are those of before."""
    project = a_project(house)
    with house.database.write() as rows:
        dataset = registry.list_datasets(rows, [project.id])[project.id][0]
        for was, becomes in (("CREATE_COMPLETE", "UPDATE_IN_PROGRESS"), ("UPDATE_IN_PROGRESS", "UPDATE_FAILED")):
            registry.move_dataset(rows, dataset.id, was=was, becomes=becomes, now_ms=house.now_ms)  # type: ignore[arg-type]
    assert create(house, project).status == "TRAINING_IN_PROGRESS"


def test_so_many_trainings_at_once(tmp_path: Path) -> None:
    """In all projects together; one that has ended makes room."""
    house = make_house(tmp_path, trainings=2)
    project = a_shop(house)
    create(house, project, "1")
    create(house, a_project(house, "other"), "1")
    with pytest.raises(LimitExceeded, match="2 versions are being trained"):
        create(house, project, "2")
    perform_all(house)
    create(house, project, "2")


def test_so_many_versions_of_a_project(tmp_path: Path) -> None:
    """Whatever their status; another project has room of its own."""
    house = make_house(tmp_path, versions=1, trainings=0)
    project = a_project(house)
    create(house, project, "1")
    with pytest.raises(LimitExceeded, match="no more are allowed"):
        create(house, project, "2")
    create(house, a_project(house, "other"), "1")


def test_too_many_tags(house: House) -> None:
    """More than one thing can have: nothing is made."""
    project = a_project(house)
    with pytest.raises(Invalid, match="200"):
        create(house, project, tags={f"k{n}": "" for n in range(201)})
    assert names(house, project) == []


# Listed


def test_versions_are_listed_the_newest_first(house: House) -> None:
    """By pages, each with the token of the next, and the last without one."""
    house = replace(house, limits=replace(house.limits, trainings=0))
    project = a_project(house)
    for number in range(5):
        create(house, project, str(number))
    arn = arn_of(house, project)
    pages, token = [], None
    while True:
        views, token = versions.list_versions(house, arn, limit=2, token=token)
        pages.append([view.version.name for view in views])
        if token is None:
            break

    assert pages == [["4", "3"], ["2", "1"], ["0"]]


def test_names_choose_versions(house: House) -> None:
    """Unknown ones are passed over; no name at all chooses all."""
    house = replace(house, limits=replace(house.limits, trainings=0))
    project = a_project(house)
    for name in ("a", "b", "c"):
        create(house, project, name)

    assert names(house, project, names=["c", "none", "a"]) == ["c", "a"]
    assert names(house, project, names=["none"]) == []
    assert names(house, project, names=[]) == ["c", "b", "a"]


def test_a_token_belongs_to_its_question(house: House) -> None:
    """Of another project, for other names, or none of ours."""
    house = replace(house, limits=replace(house.limits, trainings=0))
    project, other = a_project(house), a_project(house, "other")
    for name in ("a", "b"):
        create(house, project, name)
    _, token = versions.list_versions(house, arn_of(house, project), limit=1)
    assert token

    with pytest.raises(BadToken):
        versions.list_versions(house, arn_of(house, other), token=token)
    with pytest.raises(BadToken):
        versions.list_versions(house, arn_of(house, project), names=["a"], token=token)
    with pytest.raises(BadToken):
        versions.list_versions(house, arn_of(house, project), token="garbage")
    assert names(house, project, token="") == ["b", "a"]


# Deleted


def test_a_deleted_version_is_gone_and_its_results_stay(house: House) -> None:
    """It is DELETING until its model is removed; what lies in the output is its user's."""
    arn = a_trained_version(house)
    before = keys_in(house, RESULTS)
    assert versions.delete_version(house, arn) == "DELETING"
    (view,), _ = versions.list_versions(house, arn.partition("/version/")[0] + "/" + _created(house))
    assert view.version.status == "DELETING"
    perform_all(house)

    assert keys_in(house, OWN_BUCKET) == []
    assert keys_in(house, RESULTS) == before
    with pytest.raises(NotFound):
        versions.delete_version(house, arn)


def _created(house: House) -> str:
    """The number in the ARN of the only project."""
    with house.database.read() as rows:
        return str(registry.list_projects(rows).items[0].created_ms)


def test_a_version_made_again_has_another_arn(house: House) -> None:
    """The old one finds nothing."""
    project = a_stall(house)
    arn = a_trained_version(house, project=project)
    versions.delete_version(house, arn)
    perform_all(house)

    assert a_trained_version(house, project=project) != arn


@pytest.mark.parametrize("status", sorted(registry.VERSION_MOVES))
def test_which_versions_can_be_deleted(house: House, status: str) -> None:
    """None that is trained, started, running, stopping or deleted already, with what helps; every other one."""
    version = create(house, a_project(house))
    set_status(house, version.id, status)
    arn = str(versions.version_arn(house, version))
    steps = {
        "TRAINING_IN_PROGRESS": "wait until its training has ended",
        "STARTING": "wait until it is RUNNING, then stop it",
        "RUNNING": "stop it first",
        "STOPPING": "wait until it is STOPPED",
        "DELETING": "it is being deleted",
    }
    if status in steps:
        with pytest.raises(InUse, match=f"is {status}; {steps[status]}$"):
            versions.delete_version(house, arn)
    else:
        assert versions.delete_version(house, arn) == "DELETING"


def test_a_deletion_that_was_killed_is_done_again(house: House) -> None:
    """Whatever of the model was left."""
    arn = a_trained_version(house)
    versions.delete_version(house, arn)
    house.objects.delete(OWN_BUCKET, "versions/1/card.json")
    perform_all(house)

    assert keys_in(house, OWN_BUCKET) == []
    assert waiting(house) == []


def test_deleting_a_version_leaves_its_neighbours(house: House) -> None:
    """Version 1 is not the beginning of version 11."""
    arn = a_trained_version(house)
    house.objects.put(OWN_BUCKET, "versions/11/card.json", b"{}")
    versions.delete_version(house, arn)
    perform_all(house)

    assert keys_in(house, OWN_BUCKET) == ["versions/11/card.json"]


def test_a_deleted_version_is_no_longer_loaded(house: House) -> None:
    """Its memory is given back."""
    arn = a_running_version(house)
    assert len(house.models) == 1
    versions.stop_version(house, arn)
    assert len(house.models) == 0


@pytest.mark.parametrize(
    ("arn", "error"),
    [
        ("arn:aws:rekognition:us-east-1:123456789012:project/shop/version/none/1", NotFound),
        ("arn:aws:rekognition:eu-west-1:123456789012:project/shop/version/1/1", NotFound),
        ("arn:aws:rekognition:us-east-1:999999999999:project/shop/version/1/1", NotFound),
        ("arn:aws:rekognition:us-east-1:123456789012:project/shop/1", Invalid),
        ("1", Invalid),
    ],
)
def test_a_version_that_is_not_here(house: House, arn: str, error: type[DeconfuseError]) -> None:
    """To delete, to start, to stop, or to ask."""
    with pytest.raises(error):
        versions.delete_version(house, arn)
    with pytest.raises(error):
        versions.start_version(house, arn, min_units=1)
    with pytest.raises(error):
        versions.stop_version(house, arn)
    with pytest.raises(error):
        versions.detect(house, arn, image=b"")

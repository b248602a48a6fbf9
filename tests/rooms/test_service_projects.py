"""Projects, their policies, and tags on everything: made, listed, changed and deleted as the API says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import (
    AlreadyExists,
    BadPolicy,
    BadRevision,
    BadToken,
    InUse,
    Invalid,
    LimitExceeded,
    NotFound,
    QuotaExceeded,
)
from deconfuse.names import DatasetArn, VersionArn
from deconfuse.service import projects
from deconfuse.service.house import House
from deconfuse.service.projects import (
    create_project,
    delete_policy,
    delete_project,
    list_policies,
    list_projects,
    project_arn,
    put_policy,
    tag,
    tags_of,
    untag,
)
from deconfuse.store import registry
from houses import ACCOUNT, REGION, make_house
from registries import a_dataset, a_version, at_once

POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},'
    '"Action":"rekognition:CopyProjectVersion","Resource":"*"}]}'
)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty house."""
    return make_house(tmp_path)


def arn_of(house: House, name: str = "rooms", **how: Any) -> str:
    """The ARN of a new project."""
    return str(project_arn(house, create_project(house, name, **how)))


def names_in(house: House, **how: Any) -> list[str]:
    """The names of the projects on one page."""
    return [project.name for project, _ in list_projects(house, **how)[0]]


def test_a_project_is_there_at_once(house: House) -> None:
    """A new project is listed, without datasets, with an ARN that tells its name and creation."""
    project = create_project(house, "rooms")

    assert list_projects(house) == (((project, ()),), None)
    assert project.status == "CREATED"
    assert (
        str(project_arn(house, project)) == f"arn:aws:rekognition:{REGION}:{ACCOUNT}:project/rooms/{project.created_ms}"
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 256, "a\n"])
def test_names_that_cannot_be(house: House, name: str) -> None:
    """A project has a name that fits into its ARN."""
    with pytest.raises(Invalid, match="projectName"):
        create_project(house, name)


def test_a_name_is_taken_once(house: House) -> None:
    """A second project of one name is refused, until the first is deleted; then it has another ARN."""
    first = arn_of(house)
    with pytest.raises(InUse, match="taken"):
        create_project(house, "rooms")
    delete_project(house, first)

    assert arn_of(house) != first


def test_features_are_told_again(house: House) -> None:
    """What a project was made for is kept; lists show projects for CUSTOM_LABELS unless asked for others."""
    create_project(house, "plain")
    create_project(house, "labels", feature="CUSTOM_LABELS", auto_update="DISABLED")
    moderation = create_project(house, "moderation", feature="CONTENT_MODERATION", auto_update="ENABLED")

    assert (moderation.feature, moderation.auto_update) == ("CONTENT_MODERATION", "ENABLED")
    assert names_in(house) == ["plain", "labels"]
    assert names_in(house, features=("CONTENT_MODERATION",)) == ["moderation"]
    assert names_in(house, features=("CUSTOM_LABELS", "CONTENT_MODERATION")) == ["plain", "labels", "moderation"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"feature": "FACES"}, "feature"),
        ({"auto_update": "YES"}, "autoUpdate"),
        ({"feature": "CONTENT_MODERATION"}, "autoUpdate"),
        ({"tags": {"aws:mine": "x"}}, "tags"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"a": "<>"}}, "tags"),
        ({"tags": {f"key{number}": "" for number in range(201)}}, "tags"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_impossible_projects_are_refused(house: House, given: dict[str, Any], field: str) -> None:
    """What cannot be makes no project."""
    with pytest.raises(Invalid) as caught:
        create_project(house, "rooms", **given)

    assert caught.value.field == field
    assert names_in(house) == []


def test_projects_have_a_limit(tmp_path: Path) -> None:
    """One more than may be is refused, and counts again when one is gone."""
    house = make_house(tmp_path, projects=2)
    first, _ = arn_of(house, "a"), arn_of(house, "b")
    with pytest.raises(LimitExceeded, match="2 projects"):
        create_project(house, "c")
    delete_project(house, first)

    assert create_project(house, "c").name == "c"


def test_many_at_once_get_one_name_and_no_more_than_may_be(tmp_path: Path) -> None:
    """Of eight requests for one name one is granted."""
    house = make_house(tmp_path, database=f"sqlite:///{tmp_path / 'rows'}", projects=3)

    made = at_once(8, lambda number: create_project(house, "rooms"))
    assert sorted(type(result).__name__ for result in made) == ["InUse"] * 7 + ["Project"]
    made = at_once(8, lambda number: create_project(house, f"room-{number}"))
    assert sorted(type(result).__name__ for result in made) == ["LimitExceeded"] * 6 + ["Project"] * 2


def test_lists_come_in_pages(house: House) -> None:
    """Projects come in the order of their creation, each once, whatever is made and deleted between two pages."""
    arns = [arn_of(house, f"p{number}") for number in range(5)]
    page, token = list_projects(house, limit=2)
    delete_project(house, arns[1])
    delete_project(house, arns[3])
    create_project(house, "p5")
    rest, end = list_projects(house, limit=100, token=token)

    assert [project.name for project, _ in page] == ["p0", "p1"]
    assert [project.name for project, _ in rest] == ["p2", "p4", "p5"]
    assert end is None


def test_names_choose(house: House) -> None:
    """Only projects with these names are listed; one that is not there is passed over."""
    for name in ("a", "b", "c"):
        create_project(house, name)

    assert names_in(house, names=("c", "x", "a")) == ["a", "c"]
    assert list_projects(house, names=("x",)) == ((), None)


def test_tokens_belong_to_their_question(house: House) -> None:
    """A token asks for the rest of one list: not with other filters, not of policies, and not garbled."""
    arn = arn_of(house, "a")
    create_project(house, "b")
    token = list_projects(house, limit=1)[1]
    assert token is not None

    assert names_in(house, token="") == ["a", "b"]
    for asked in (
        lambda: list_projects(house, names=("b",), token=token),
        lambda: list_projects(house, features=("CUSTOM_LABELS",), token=token),
        lambda: list_projects(house, token=token[:-1]),
        lambda: list_policies(house, arn, token=token),
    ):
        with pytest.raises(BadToken):
            asked()


def test_a_project_shows_its_datasets(house: House) -> None:
    """The datasets of a project come with it, in the order of their creation."""
    project = create_project(house, "rooms")
    create_project(house, "empty")
    test = a_dataset(house.database, project, "test")
    train = a_dataset(house.database, project, "train")

    assert [datasets for _, datasets in list_projects(house)[0]] == [(test, train), ()]


def test_only_an_empty_project_is_deleted(house: House) -> None:
    """A project with a dataset or a version stays; one without is gone at once, with its policies and tags."""
    for fill in (a_dataset, a_version):
        project = create_project(house, fill.__name__)
        fill(house.database, project)
        with pytest.raises(InUse, match="delete them first"):
            delete_project(house, str(project_arn(house, project)))
    project = create_project(house, "leaving")
    dataset = a_dataset(house.database, project)
    with house.database.write() as rows:
        registry.move_dataset(rows, dataset.id, was="CREATE_IN_PROGRESS", becomes="CREATE_FAILED", now_ms=1)
        registry.move_dataset(rows, dataset.id, was="CREATE_FAILED", becomes="DELETE_IN_PROGRESS", now_ms=2)
    with pytest.raises(InUse, match="of the project leaving are still being deleted; ask again shortly"):
        delete_project(house, str(project_arn(house, project)))
    arn = arn_of(house, "empty", tags={"a": "b"})
    put_policy(house, arn, "copy", document=POLICY)

    assert delete_project(house, arn) == "DELETING"
    assert names_in(house) == ["a_dataset", "a_version", "leaving"]
    for ask in (delete_project, list_policies, tags_of):
        with pytest.raises(NotFound):
            ask(house, arn)


def elsewhere(house: House) -> list[str]:
    """ARNs that are well spelled and name nothing here, though a project of this name is here."""
    arn = project_arn(house, create_project(house, "rooms"))
    later = str(arn.created_ms + 1)
    return [
        str(arn).replace(REGION, "eu-west-1"),
        str(arn).replace(ACCOUNT, "999999999999"),
        str(arn).replace("arn:aws:", "arn:aws-cn:"),
        str(arn).replace("rooms", "other"),
        str(arn).replace("rooms", "ROOMS"),
        str(arn).replace(str(arn.created_ms), later),
        str(arn).replace(str(arn.created_ms), "0" + str(arn.created_ms)),
        str(arn).replace(str(arn.created_ms), "9" * 40),
    ]


ASKING: dict[str, Callable[[House, str], object]] = {
    "delete_project": delete_project,
    "put_policy": lambda house, arn: put_policy(house, arn, "copy", document=POLICY),
    "list_policies": list_policies,
    "delete_policy": lambda house, arn: delete_policy(house, arn, "copy"),
}
TAGGING: dict[str, Callable[[House, str], object]] = {
    "tag": lambda house, arn: tag(house, arn, {"a": "b"}),
    "untag": lambda house, arn: untag(house, arn, ["a"]),
    "tags_of": tags_of,
}


@pytest.mark.parametrize("act", [*ASKING.values(), *TAGGING.values()], ids=[*ASKING, *TAGGING])
def test_what_is_not_here_is_not_found(house: House, act: Callable[[House, str], object]) -> None:
    """Another region, account, partition, name or moment is another project, which is not here."""
    for arn in elsewhere(house):
        with pytest.raises(NotFound, match="project not found"):
            act(house, arn)


@pytest.mark.parametrize("act", ASKING.values(), ids=ASKING)
@pytest.mark.parametrize("arn", ["", "rooms", "arn:aws:s3:::bucket", "x" * 3000, "\0", "\ud800"])
def test_what_is_no_arn_is_refused(house: House, act: Callable[[House, str], object], arn: str) -> None:
    """The error names the parameter of the API."""
    with pytest.raises(Invalid, match="projectArn"):
        act(house, arn)


@pytest.mark.parametrize("act", ASKING.values(), ids=ASKING)
def test_the_arn_of_another_noun_is_refused(house: House, act: Callable[[House, str], object]) -> None:
    """Where a project is meant, a dataset or a version is none."""
    for arn in (DatasetArn("rooms", "train", 1, REGION, ACCOUNT), VersionArn("rooms", "1", 1, REGION, ACCOUNT)):
        with pytest.raises(Invalid, match="projectArn"):
            act(house, str(arn))


# Policies


def test_a_policy_is_told_again(house: House) -> None:
    """A policy keeps its document word for word, and when it was made and changed."""
    arn = arn_of(house)
    first = put_policy(house, arn, "copy", document=POLICY)
    second = put_policy(house, arn, "copy", document=POLICY + "\n", revision=first.revision)

    assert list_policies(house, arn) == ((second,), None)
    assert second.document == POLICY + "\n"
    assert first.created_ms == second.created_ms < second.updated_ms
    assert len(first.revision) == len(second.revision) == 32
    assert first.revision != second.revision


def test_revisions_guard_policies(house: House) -> None:
    """Who does not name the present revision changes nothing."""
    arn = arn_of(house)
    with pytest.raises(BadRevision):
        put_policy(house, arn, "copy", document=POLICY, revision="0" * 32)
    first = put_policy(house, arn, "copy", document=POLICY)
    second = put_policy(house, arn, "copy", document=POLICY, revision=first.revision)

    with pytest.raises(AlreadyExists, match="revision"):
        put_policy(house, arn, "copy", document=POLICY)
    for act in (
        lambda: put_policy(house, arn, "copy", document=POLICY, revision=first.revision),
        lambda: delete_policy(house, arn, "copy", revision=first.revision),
    ):
        with pytest.raises(BadRevision):
            act()
    assert list_policies(house, arn)[0] == (second,)


def test_policies_are_deleted(house: House) -> None:
    """By name, or by name and present revision; a policy that is not there is not found."""
    arn = arn_of(house)
    policy = put_policy(house, arn, "a", document=POLICY)
    put_policy(house, arn, "b", document=POLICY)
    delete_policy(house, arn, "a", revision=policy.revision)
    delete_policy(house, arn, "b")

    assert list_policies(house, arn) == ((), None)
    with pytest.raises(NotFound, match="policy not found"):
        delete_policy(house, arn, "a")


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "a/b", "\0"])
def test_policy_names_that_cannot_be(house: House, name: str) -> None:
    """A policy is called by a few letters, digits and points."""
    arn = arn_of(house)
    for act in (
        lambda: put_policy(house, arn, name, document=POLICY),
        lambda: delete_policy(house, arn, name),
    ):
        with pytest.raises(Invalid, match="policyName"):
            act()


def test_bad_documents_are_not_kept(house: House) -> None:
    """A document that says what no policy may say leaves the old one in place."""
    arn = arn_of(house)
    policy = put_policy(house, arn, "copy", document=POLICY)
    with pytest.raises(BadPolicy):
        put_policy(house, arn, "copy", document=POLICY.replace("Copy", "Delete"), revision=policy.revision)

    assert list_policies(house, arn)[0] == (policy,)


def test_policies_come_in_pages_up_to_a_limit(tmp_path: Path) -> None:
    """Policies are listed by name, five at a time unless asked otherwise; there are no more than may be."""
    house = make_house(tmp_path, policies=7)
    arn = arn_of(house)
    for name in "gfedcba":
        put_policy(house, arn, name, document=POLICY)
    with pytest.raises(QuotaExceeded, match="7 policies"):
        put_policy(house, arn, "h", document=POLICY)
    first, token = list_policies(house, arn)
    rest, end = list_policies(house, arn, token=token)

    assert [policy.name for policy in (*first, *rest)] == list("abcdefg")
    assert (len(first), end) == (5, None)


# Tags


def three_things(house: House) -> list[str]:
    """The ARNs of a project, a dataset and a version."""
    project = create_project(house, "rooms")
    dataset, version = a_dataset(house.database, project), a_version(house.database, project)
    return [
        str(project_arn(house, project)),
        str(DatasetArn("rooms", "train", dataset.created_ms, REGION, ACCOUNT)),
        str(VersionArn("rooms", "1", version.created_ms, REGION, ACCOUNT)),
    ]


def test_everything_can_be_tagged(house: House) -> None:
    """Each noun has tags of its own: put, replaced, taken off, and told."""
    arns = three_things(house)
    for number, arn in enumerate(arns):
        tag(house, arn, {"which": str(number), "colour": "red", "empty": ""})
        tag(house, arn, {"colour": "blue"})
        untag(house, arn, ["empty", "never there"])
        tag(house, arn, {})
        untag(house, arn, [])

    assert [tags_of(house, arn) for arn in arns] == [{"which": str(n), "colour": "blue"} for n in range(3)]


def test_tags_from_the_beginning(house: House) -> None:
    """A project can be made with tags; they are any letters."""
    assert tags_of(house, arn_of(house, tags={"Größe": "groß + 1", "a:b/c=d@e": ""})) == {
        "Größe": "groß + 1",
        "a:b/c=d@e": "",
    }


@pytest.mark.parametrize(
    "bad", [{"aws:a": ""}, {"": ""}, {"k" * 129: ""}, {"a": "v" * 257}, {"a\0": ""}, {"a": "\ud800"}]
)
def test_impossible_tags_change_nothing(house: House, bad: dict[str, str]) -> None:
    """One bad tag, and none of the request is put."""
    arn = arn_of(house, tags={"old": "1"})
    with pytest.raises(Invalid, match="tags"):
        tag(house, arn, {"new": "2"} | bad)

    assert tags_of(house, arn) == {"old": "1"}


@pytest.mark.parametrize("key", ["", "aws:a", "\0", "\ud800", "k" * 129])
def test_impossible_keys_are_refused(house: House, key: str) -> None:
    """What cannot be the key of a tag cannot be taken off."""
    with pytest.raises(Invalid, match="tagKeys"):
        untag(house, arn_of(house), [key])


def test_one_thing_has_two_hundred_tags_at_most(house: House) -> None:
    """One more is refused, and nothing of that request is kept; replacing a value is no more."""
    arn = arn_of(house, tags={f"key {number}": "" for number in range(200)})
    with pytest.raises(QuotaExceeded, match="201"):
        tag(house, arn, {"key 0": "changed", "one more": ""})
    tag(house, arn, {"key 1": "changed"})

    tags = tags_of(house, arn)
    assert (len(tags), tags["key 0"], tags["key 1"]) == (200, "", "changed")


@pytest.mark.parametrize("act", TAGGING.values(), ids=TAGGING)
def test_only_things_are_tagged(house: House, act: Callable[[House, str], object]) -> None:
    """What is no ARN is refused by its name; a dataset or a version that is not there is not found as such."""
    for arn in ("", "rooms", "arn:aws:s3:::bucket"):
        with pytest.raises(Invalid, match="resourceArn"):
            act(house, arn)
    for kind, arn in {
        "dataset": str(DatasetArn("rooms", "train", 1, REGION, ACCOUNT)),
        "version": str(VersionArn("rooms", "1", 1, "eu-west-1", ACCOUNT)),
    }.items():
        with pytest.raises(NotFound, match=f"{kind} not found"):
            act(house, arn)


def test_a_deleted_thing_leaves_no_tags(house: House) -> None:
    """What is made again under the name of a deleted thing begins without tags."""
    delete_project(house, arn_of(house, tags={"a": "b"}))

    assert tags_of(house, arn_of(house)) == {}
    with house.database.read() as rows:
        assert registry.tags_of(rows, "project", 1) == {}


def test_the_module_promises_what_it_has() -> None:
    """Every name of the module's list is there."""
    assert all(hasattr(projects, name) for name in projects.__all__)

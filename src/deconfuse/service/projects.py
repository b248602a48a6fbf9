"""Projects, the policies of a project, and tags on projects, datasets and versions.

A project is there as soon as it is made, and gone as soon as it is deleted: both are one transaction, so that nobody
sees it in between. It can be deleted when it has neither datasets nor versions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, cast, get_args

from deconfuse.errors import Invalid, NotFound
from deconfuse.names import (
    Arn,
    DatasetArn,
    ProjectArn,
    check_name,
    check_tag_key,
    check_tag_value,
    parse_arn,
    parse_project_arn,
)
from deconfuse.service.house import House
from deconfuse.service.policies import check_document
from deconfuse.service.tokens import read_token, write_token
from deconfuse.store import registry
from deconfuse.store.registry import MAX_TAGS, Dataset, Feature, Noun, Policy, Project, Rows

__all__ = [
    "AutoUpdate",
    "Policy",
    "Project",
    "check_here",
    "check_tags",
    "create_project",
    "delete_policy",
    "delete_project",
    "find_project",
    "list_policies",
    "list_projects",
    "project_arn",
    "put_policy",
    "tag",
    "tags_of",
    "untag",
]

AutoUpdate = Literal["ENABLED", "DISABLED"]

MAX_POLICY_NAME = 128

Listed = tuple[tuple[Project, tuple[Dataset, ...]], ...]
"""Projects, each with its datasets in the order of their creation."""


def project_arn(house: House, project: Project) -> ProjectArn:
    """The ARN of a project."""
    return ProjectArn(project.name, project.created_ms, house.region, house.account)


def check_here(house: House, arn: Arn) -> None:
    """Do nothing.

    Raises:
        NotFound: the ARN is one of another region, account or partition.
    """
    if (arn.partition, arn.region, arn.account) != ("aws", house.region, house.account):
        why = f"Here is the account {house.account} in the region {house.region}"
        raise NotFound(_noun(arn), str(arn), why)


def find_project(house: House, rows: Rows, field: str, text: str) -> Project:
    """The project whose ARN is `text`; `field` is its name in the request.

    Raises:
        Invalid: `text` is not the ARN of a project.
        NotFound: there is no such project.
    """
    arn = parse_project_arn(field, text)
    check_here(house, arn)
    return registry.find_project(rows, arn)


# Projects


def create_project(
    house: House,
    name: str,
    *,
    feature: str | None = None,
    auto_update: str | None = None,
    tags: Mapping[str, str] = {},
) -> Project:
    """A new project.

    Args:
        house: where it will be.
        name: unique here.
        feature: what it is for; CUSTOM_LABELS where none is given. The other one, CONTENT_MODERATION, is kept and told
            again, and changes nothing.
        auto_update: ENABLED or DISABLED; kept and told again. A project for CONTENT_MODERATION needs one.
        tags: the tags that it has from the beginning.

    Raises:
        Invalid: a name, feature, choice or tag that is not possible.
        InUse: the name is taken.
        LimitExceeded: there are as many projects as may be.
    """
    check_name("projectName", name)
    if feature is not None and feature not in get_args(Feature):
        raise Invalid("feature", f"{feature!r} is not possible; choose {' or '.join(get_args(Feature))}")
    if auto_update is not None and auto_update not in get_args(AutoUpdate):
        raise Invalid("autoUpdate", f"{auto_update!r} is not possible; choose {' or '.join(get_args(AutoUpdate))}")
    if feature == "CONTENT_MODERATION" and auto_update is None:
        raise Invalid("autoUpdate", "a project for CONTENT_MODERATION needs ENABLED or DISABLED")
    check_tags(tags)
    with house.database.write() as rows:
        project = registry.add_project(
            rows,
            name,
            now_ms=house.now_ms,
            feature=cast(Feature, feature or "CUSTOM_LABELS"),
            auto_update=auto_update,
            limit=house.limits.projects,
        )
        registry.put_tags(rows, "project", project.id, tags)
    return project


def list_projects(
    house: House,
    *,
    names: Collection[str] = (),
    features: Collection[str] = (),
    limit: int = 100,
    token: str | None = None,
) -> tuple[Listed, str | None]:
    """Projects in the order of their creation, at most `limit`, and the token of the next page, if there is one.

    Where `names` are given, only the projects that have one of them. Where no `features` are given, only those for
    CUSTOM_LABELS.

    Raises:
        BadToken: the token was not given for this question.
    """
    question = ("projects", tuple(sorted(names)), tuple(sorted(features)))
    after = read_token(question, token, int)
    with house.database.read() as rows:
        page = registry.list_projects(
            rows, names=names, features=features or ("CUSTOM_LABELS",), after=after, limit=limit
        )
        datasets = registry.list_datasets(rows, [project.id for project in page.items])
    listed = tuple((project, datasets[project.id]) for project in page.items)
    return listed, None if page.after is None else write_token(question, page.after)


def delete_project(house: House, arn: str) -> Literal["DELETING"]:
    """Delete a project with its policies and tags, and answer its last status.

    Raises:
        Invalid: `arn` is not the ARN of a project.
        NotFound: there is no such project.
        InUse: it has datasets or versions.
    """
    with house.database.write() as rows:
        project = find_project(house, rows, "projectArn", arn)
        registry.close_project(rows, project.id)
        registry.remove_project(rows, project.id)
    return "DELETING"


# Policies


def put_policy(house: House, arn: str, name: str, *, document: str, revision: str | None = None) -> Policy:
    """A policy of a project: a new one, or in place of the one whose present revision is `revision`.

    Raises:
        Invalid: an ARN or a name that is not possible.
        NotFound: there is no such project.
        BadPolicy: the document says what no policy of a project may say.
        AlreadyExists: there is a policy of this name, and no revision is given.
        BadRevision: `revision` is not its present one.
        QuotaExceeded: the project has as many policies as may be.
    """
    _check_policy_name(name)
    check_document(document)
    with house.database.write() as rows:
        project = find_project(house, rows, "projectArn", arn)
        return registry.put_policy(
            rows,
            project.id,
            name,
            document=document,
            revision=house.token_hex(16),
            replaces=revision,
            now_ms=house.now_ms,
            limit=house.limits.policies,
        )


def list_policies(
    house: House, arn: str, *, limit: int = 5, token: str | None = None
) -> tuple[tuple[Policy, ...], str | None]:
    """The policies of a project by name, at most `limit`, and the token of the next page, if there is one.

    Raises:
        Invalid: `arn` is not the ARN of a project.
        NotFound: there is no such project.
        BadToken: the token was not given for this question.
    """
    question = ("policies", arn)
    with house.database.read() as rows:
        project = find_project(house, rows, "projectArn", arn)
        page = registry.list_policies(rows, project.id, after=read_token(question, token, str), limit=limit)
    return page.items, None if page.after is None else write_token(question, page.after)


def delete_policy(house: House, arn: str, name: str, *, revision: str | None = None) -> None:
    """Delete a policy of a project; where `revision` is given, only if that is the present one.

    Raises:
        Invalid: an ARN or a name that is not possible.
        NotFound: there is no such project, or no such policy of it.
        BadRevision: `revision` is not its present one.
    """
    _check_policy_name(name)
    with house.database.write() as rows:
        project = find_project(house, rows, "projectArn", arn)
        registry.remove_policy(rows, project.id, name, revision=revision)


def _check_policy_name(name: str) -> None:
    if len(name) > MAX_POLICY_NAME:
        raise Invalid("policyName", f"it has {len(name)} characters; {MAX_POLICY_NAME} are possible")
    check_name("policyName", name)


# Tags


def check_tags(tags: Mapping[str, str]) -> None:
    """Do nothing.

    Raises:
        Invalid: there are more than one thing can have, or one of them cannot be a tag.
    """
    if len(tags) > MAX_TAGS:
        raise Invalid("tags", f"there are {len(tags)}; {MAX_TAGS} are possible")
    for key, value in tags.items():
        check_tag_key("tags", key)
        check_tag_value("tags", value)


def tag(house: House, arn: str, tags: Mapping[str, str]) -> None:
    """Give a project, a dataset or a version these tags; the value of a key that it has is replaced.

    Raises:
        Invalid: `arn` is no ARN, or one of `tags` cannot be a tag.
        NotFound: there is no such thing.
        QuotaExceeded: it would have more tags than one thing can have.
    """
    check_tags(tags)
    with house.database.write() as rows:
        registry.put_tags(rows, *_subject(house, rows, arn), tags)


def untag(house: House, arn: str, keys: Collection[str]) -> None:
    """Take the tags with these keys off a project, a dataset or a version; one that it does not have is passed over.

    Raises:
        Invalid: `arn` is no ARN, or one of `keys` cannot be the key of a tag.
        NotFound: there is no such thing.
    """
    for key in keys:
        check_tag_key("tagKeys", key)
    with house.database.write() as rows:
        registry.remove_tags(rows, *_subject(house, rows, arn), keys)


def tags_of(house: House, arn: str) -> dict[str, str]:
    """The tags of a project, a dataset or a version, by key.

    Raises:
        Invalid: `arn` is no ARN.
        NotFound: there is no such thing.
    """
    with house.database.read() as rows:
        return registry.tags_of(rows, *_subject(house, rows, arn))


def _subject(house: House, rows: Rows, text: str) -> tuple[Noun, int]:
    """What the ARN `text` names, and its number."""
    arn = parse_arn("resourceArn", text)
    check_here(house, arn)
    if isinstance(arn, ProjectArn):
        return "project", registry.find_project(rows, arn).id
    if isinstance(arn, DatasetArn):
        return "dataset", registry.find_dataset(rows, arn).id
    return "version", registry.find_version(rows, arn).id


def _noun(arn: Arn) -> Noun:
    if isinstance(arn, ProjectArn):
        return "project"
    return "dataset" if isinstance(arn, DatasetArn) else "version"

"""Projects, policies, tags and keys in any order: a plain dictionary beside the house says what must be told.

Whatever is asked, legal or not: an error is one of ours and one that AWS's model declares for the operation, and it
changes nothing; what is done is seen in the lists.
"""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

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
from deconfuse.service import keys, projects
from walks import Home, Walk

NAMES = ("a", "b", "c", "d")
MAX_PROJECTS, MAX_POLICIES = 3, 2
POLICY = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*",'
    '"Action":"rekognition:CopyProjectVersion","Resource":"*"}}'
)


class ProjectsWalk(Walk):
    """Projects, policies, tags and keys."""

    LIMITS: ClassVar[dict[str, int]] = {"projects": MAX_PROJECTS, "policies": MAX_POLICIES}

    def __init__(self) -> None:
        """Begins with one key and nothing else."""
        super().__init__()
        self.keys: dict[str, bool] = {}
        first = keys.first_key(self.house)
        assert first is not None
        self.keys[first.id] = True

    @rule(name=st.sampled_from([*NAMES, *NAMES, "a b", ""]), tag=st.sampled_from(["", "colour", "aws:x"]))
    def create_project(self, name: str, tag: str) -> None:
        """A name is taken once; what cannot be is refused before that."""
        tags = {tag: "red"} if tag else {}
        result = self.ask("CreateProject", projects.create_project, name, tags=tags)
        if name not in NAMES or tag == "aws:x":
            assert result is Invalid
        elif name in self.homes:
            assert result is InUse
        elif len(self.homes) >= MAX_PROJECTS:
            assert result is LimitExceeded
        else:
            arn = str(projects.project_arn(self.house, result))
            assert arn not in self.gone["project"]
            self.homes[name] = Home(name, arn)
            self.tags[arn] = tags

    @rule(data=st.data())
    def delete_project(self, data: st.DataObject) -> None:
        """An empty project is gone at once, with its tags."""
        arn = self.some_arn(data)
        result = self.ask("DeleteProject", projects.delete_project, arn)
        home = self.home(arn)
        if home is None:
            assert result is NotFound
        else:
            assert result == "DELETING"
            del self.homes[home.name], self.tags[arn]
            self.gone["project"].append(arn)

    @rule(data=st.data(), name=st.sampled_from([*"xyz", "x y"]), is_good=st.sampled_from([True, True, False]))
    def put_policy(self, data: st.DataObject, name: str, is_good: bool) -> None:
        """A new policy needs room, a changed one its present revision."""
        arn = self.some_arn(data)
        home = self.home(arn)
        present = home.policies.get(name, ("", ""))[0] if home else ""
        revision = data.draw(st.sampled_from([None, present or "0" * 32, "1" * 32]))
        document = POLICY if is_good else POLICY.replace("Deny", "Refuse")
        result = self.ask("PutProjectPolicy", projects.put_policy, arn, name, document=document, revision=revision)
        if name == "x y":
            assert result is Invalid
        elif not is_good:
            assert result is BadPolicy
        elif home is None:
            assert result is NotFound
        elif revision is not None and revision != present:
            assert result is BadRevision
        elif revision is None and present:
            assert result is AlreadyExists
        elif not present and len(home.policies) >= MAX_POLICIES:
            assert result is QuotaExceeded
        else:
            assert result.revision not in (present, revision)
            home.policies[name] = (result.revision, document)

    @rule(data=st.data(), name=st.sampled_from("xyz"), how=st.sampled_from(["any", "present", "other"]))
    def delete_policy(self, data: st.DataObject, name: str, how: str) -> None:
        """By name, or only in its present revision."""
        arn = self.some_arn(data)
        home = self.home(arn)
        policy = home.policies.get(name) if home else None
        revision = {"any": None, "present": policy[0] if policy else "0" * 32, "other": "1" * 32}[how]
        result = self.ask("DeleteProjectPolicy", projects.delete_policy, arn, name, revision=revision)
        if home is None or policy is None:
            assert result is NotFound
        elif how == "other":
            assert result is BadRevision
        else:
            assert result is None
            del home.policies[name]

    def some_thing(self, data: st.DataObject) -> str:
        """The ARN of anything that can have tags, seldom of nothing."""
        return data.draw(st.sampled_from([*self.tags, *self.tags, *self.gone["project"]]))

    @rule(data=st.data(), keys=st.lists(st.sampled_from(["a", "b", "aws:c"]), max_size=2, unique=True))
    def tag(self, data: st.DataObject, keys: list[str]) -> None:
        """Tags are put, all or none."""
        arn, tags = self.some_thing(data), dict.fromkeys(keys, data.draw(st.sampled_from(["1", "2"])))
        result = self.ask("TagResource", projects.tag, arn, tags)
        if "aws:c" in keys:
            assert result is Invalid
        elif arn not in self.tags:
            assert result is NotFound
        else:
            assert result is None
            self.tags[arn] |= tags

    @rule(data=st.data(), keys=st.lists(st.sampled_from(["a", "b", "colour", ""]), max_size=2, unique=True))
    def untag(self, data: st.DataObject, keys: list[str]) -> None:
        """Tags are taken off; those that are not there are passed over."""
        arn = self.some_thing(data)
        result = self.ask("UntagResource", projects.untag, arn, keys)
        if "" in keys:
            assert result is Invalid
        elif arn not in self.tags:
            assert result is NotFound
        else:
            assert result is None
            for key in keys:
                self.tags[arn].pop(key, None)

    @rule(data=st.data(), names=st.lists(st.sampled_from([*NAMES, "x"]), max_size=2, unique=True))
    def list_projects(self, data: st.DataObject, names: list[str]) -> None:
        """In the order of their creation, each once, whatever the size of the pages."""
        found = self.pages(data, "DescribeProjects", projects.list_projects, names=tuple(names))
        assert [project.name for project, _ in found] == [name for name in self.homes if not names or name in names]
        assert {project.status for project, _ in found} <= {"CREATED"}

    @rule(data=st.data())
    def list_policies(self, data: st.DataObject) -> None:
        """By name, as they were put."""
        arn = self.some_arn(data)
        found = self.pages(data, "ListProjectPolicies", projects.list_policies, arn)
        home = self.home(arn)
        if home is None:
            assert found is NotFound
        else:
            told = {policy.name: (policy.revision, policy.document) for policy in found}
            assert list(told.items()) == sorted(home.policies.items())

    @rule(token=st.sampled_from(["x", "AAAA", "é"]))
    def page_by_garbage(self, token: str) -> None:
        """A token that no answer gave asks for nothing."""
        assert self.ask("DescribeProjects", projects.list_projects, token=token) is BadToken

    @rule(access=st.sampled_from(["full", "read"]))
    def create_key(self, access: str) -> None:
        """A key is another one each time."""
        key = keys.create_key(self.house, access=access)
        assert key.id not in self.keys
        self.keys[key.id] = True

    @rule(data=st.data())
    def revoke_key(self, data: st.DataObject) -> None:
        """Once."""
        key_id = data.draw(st.sampled_from([*self.keys, "AKIANOBODY"]))
        try:
            keys.revoke_key(self.house, key_id)
        except NotFound:
            assert not self.keys.get(key_id, False)
        else:
            assert self.keys[key_id]
            self.keys[key_id] = False

    @invariant()
    def tags_are_told(self) -> None:
        """Every thing has the tags that were put on it."""
        assert {arn: projects.tags_of(self.house, arn) for arn in self.tags} == self.tags

    @invariant()
    def keys_are_told(self) -> None:
        """Keys in use are listed, the others only where they are asked for; there is no second first key."""
        assert {key.id for key in keys.list_keys(self.house)} == {key for key, is_good in self.keys.items() if is_good}
        assert {key.id for key in keys.list_keys(self.house, with_revoked=True)} == set(self.keys)
        assert keys.first_key(self.house) is None


@pytest.mark.slow
def test_projects_in_any_order() -> None:
    """Projects, policies, tags and keys, whatever is asked when."""
    run_state_machine_as_test(ProjectsWalk, settings=settings(stateful_step_count=30))

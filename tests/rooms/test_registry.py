"""Projects, datasets, versions, keys, policies and tags, as both databases remember them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deconfuse.errors import AlreadyExists, BadRevision, InUse, Invalid, LimitExceeded, NotFound, QuotaExceeded, Stale
from deconfuse.names import DatasetArn, ProjectArn, VersionArn
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from registries import NOW, a_dataset, a_project, a_version

HERE = {"region": "us-east-1", "account": "012345678901"}
OUTPUT = ("bucket", "prefix")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database of each kind."""
    is_sqlite = request.param == "sqlite"
    url = "sqlite://" if is_sqlite else request.getfixturevalue("postgres_url")
    database = open_database(url)
    yield database
    database.close()


def test_a_project_is_found_by_its_arn(database: Database) -> None:
    """Name and creation together name it; another creation names nothing."""
    project = a_project(database)

    with database.read() as rows:
        assert registry.find_project(rows, ProjectArn("rooms", NOW, **HERE)) == project
        with pytest.raises(NotFound, match="project not found: arn:aws"):
            registry.find_project(rows, ProjectArn("rooms", NOW + 1, **HERE))
        with pytest.raises(NotFound):
            registry.find_project(rows, ProjectArn("Rooms", NOW, **HERE))


def test_a_project_name_is_taken_once(database: Database) -> None:
    """The second one is refused and the first untouched; capitals make another name."""
    project = a_project(database, "rooms")
    a_project(database, "Rooms")

    with pytest.raises(InUse, match="rooms is taken"):
        a_project(database, "rooms")

    with database.read() as rows:
        assert registry.get_project(rows, project.id) == project


def test_projects_beyond_the_limit_are_refused(database: Database) -> None:
    """A taken name is said to be taken, limit or not."""
    a_project(database, "one")
    with database.write() as rows:
        registry.add_project(rows, "two", now_ms=NOW, limit=2)

    for name, error in (("three", LimitExceeded), ("two", InUse)):
        with pytest.raises(error), database.write() as rows:
            registry.add_project(rows, name, now_ms=NOW, limit=2)


def test_projects_are_listed_by_pages_in_the_order_of_creation(database: Database) -> None:
    """Every project once, whatever is made or deleted between two pages."""
    names = ["b", "a", "c", "e", "d"]
    projects = [a_project(database, name) for name in names]
    with database.write() as rows:
        first = registry.list_projects(rows, limit=2)
        registry.close_project(rows, projects[1].id)
        registry.remove_project(rows, projects[1].id)
        second = registry.list_projects(rows, after=first.after, limit=2)
        third = registry.list_projects(rows, after=second.after, limit=2)

    assert [project.name for page in (first, second, third) for project in page.items] == names
    assert third.after is None


def test_projects_are_filtered_by_name_and_feature(database: Database) -> None:
    """Unknown names are passed over; both filters must hold."""
    a_project(database, "one")
    with database.write() as rows:
        registry.add_project(rows, "two", now_ms=NOW, feature="CONTENT_MODERATION", auto_update="ENABLED")

    with database.read() as rows:
        assert [p.name for p in registry.list_projects(rows, names=["two", "none"]).items] == ["two"]
        assert [p.name for p in registry.list_projects(rows, features=["CUSTOM_LABELS"]).items] == ["one"]
        assert registry.list_projects(rows, names=["one"], features=["CONTENT_MODERATION"]).items == ()


def test_a_project_with_members_is_not_deleted(database: Database) -> None:
    """Datasets and versions go first; then nothing can be added any more, and the name is free when it is gone."""
    project = a_project(database)
    dataset = a_dataset(database, project)
    for _ in range(2):
        with pytest.raises(InUse, match="datasets or versions"), database.write() as rows:
            registry.close_project(rows, project.id)
    with database.write() as rows:
        registry.move_dataset(rows, dataset.id, was="CREATE_IN_PROGRESS", becomes="CREATE_FAILED", now_ms=NOW)
        registry.move_dataset(rows, dataset.id, was="CREATE_FAILED", becomes="DELETE_IN_PROGRESS", now_ms=NOW)
        registry.remove_dataset(rows, dataset.id)
        registry.close_project(rows, project.id)

    for add in (a_dataset, a_version):
        with pytest.raises(InUse, match="being deleted"):
            add(database, project)
    with pytest.raises(InUse):
        a_project(database)
    with database.write() as rows:
        registry.remove_project(rows, project.id)
    assert a_project(database).id > project.id


def test_a_project_in_use_is_not_removed(database: Database) -> None:
    """Removing is for what is being deleted; a project that is gone cannot be removed again."""
    project = a_project(database)

    for becomes_gone in (project.id, project.id + 1):
        with pytest.raises(Stale, match=r"CREATED|gone"), database.write() as rows:
            registry.remove_project(rows, becomes_gone)


def test_a_project_has_one_dataset_of_each_kind(database: Database) -> None:
    """A second one of a kind exists already; both are listed in the order of their creation."""
    project = a_project(database)
    test, train = a_dataset(database, project, "test"), a_dataset(database, project, "train")

    with pytest.raises(AlreadyExists, match="rooms/train"):
        a_dataset(database, project, "train")

    with database.read() as rows:
        assert registry.list_datasets(rows, [project.id, 99]) == {project.id: (test, train), 99: ()}
        assert registry.find_dataset(rows, DatasetArn("rooms", "test", NOW, **HERE)) == test
        with pytest.raises(NotFound, match="dataset"):
            registry.find_dataset(rows, DatasetArn("rooms", "test", NOW - 1, **HERE))


def test_nothing_is_added_to_a_project_that_is_not_there(database: Database) -> None:
    """It is not found, and no row is left."""
    nowhere = registry.Project(99, "nowhere", NOW, "CREATED")

    for add in (a_dataset, a_version):
        with pytest.raises(NotFound, match="project"):
            add(database, nowhere)


def test_a_failed_update_keeps_the_counts(database: Database) -> None:
    """Counts change only where they are given; message, code and time change with every move."""
    dataset = a_dataset(database, a_project(database))
    stats = registry.Stats(15, 15, 9, 0)
    with database.write() as rows:
        move = {"rows": rows, "dataset_id": dataset.id}
        registry.move_dataset(**move, was="CREATE_IN_PROGRESS", becomes="CREATE_COMPLETE", now_ms=NOW, stats=stats)
        registry.move_dataset(**move, was=registry.READABLE, becomes="UPDATE_IN_PROGRESS", now_ms=NOW + 1)
        failed = {"becomes": "UPDATE_FAILED", "message": "images in two buckets", "code": "CLIENT_ERROR"}
        registry.move_dataset(**move, was="UPDATE_IN_PROGRESS", now_ms=NOW + 2, **failed)
        after = registry.get_dataset(rows, dataset.id)

    assert (after.status, after.message, after.code) == ("UPDATE_FAILED", "images in two buckets", "CLIENT_ERROR")
    assert (after.stats, after.created_ms, after.updated_ms) == (stats, NOW, NOW + 2)


def test_a_status_moves_only_from_where_it_was(database: Database) -> None:
    """Somebody else was first, or it is gone: Stale, and nothing is changed. A move that is not legal is a bug."""
    dataset = a_dataset(database, a_project(database))

    with pytest.raises(Stale, match="CREATE_IN_PROGRESS by now"), database.write() as rows:
        registry.move_dataset(rows, dataset.id, was="UPDATE_COMPLETE", becomes="DELETE_IN_PROGRESS", now_ms=NOW)
    with pytest.raises(Stale, match="gone"), database.write() as rows:
        registry.move_dataset(rows, 99, was="UPDATE_COMPLETE", becomes="DELETE_IN_PROGRESS", now_ms=NOW)
    with pytest.raises(ValueError, match="cannot become"), database.write() as rows:
        registry.move_dataset(rows, dataset.id, was="CREATE_IN_PROGRESS", becomes="UPDATE_COMPLETE", now_ms=NOW)
    with pytest.raises(ValueError, match="nothing"), database.write() as rows:
        registry.move_dataset(rows, dataset.id, was=(), becomes="UPDATE_COMPLETE", now_ms=NOW)
    with database.read() as rows:
        assert registry.get_dataset(rows, dataset.id) == dataset


def test_a_dataset_goes_only_without_its_lines(database: Database) -> None:
    """Lines are cleared first; a dataset that is not being deleted stays."""
    dataset = a_dataset(database, a_project(database))
    with database.write() as rows:
        registry.put_entries(rows, dataset.id, [registry.EntryRow("s3://bucket/a", b"{}")])
        registry.move_dataset(rows, dataset.id, was="CREATE_IN_PROGRESS", becomes="CREATE_FAILED", now_ms=NOW)

    with pytest.raises(InUse, match="entries"), database.write() as rows:
        registry.remove_dataset(rows, dataset.id)
    registry.clear_entries(database, dataset.id)
    with pytest.raises(Stale, match="CREATE_FAILED"), database.write() as rows:
        registry.remove_dataset(rows, dataset.id)


def test_a_version_keeps_what_was_given(database: Database) -> None:
    """Every field is told again as it was, found by its ARN and by its name in its project."""
    project = a_project(database)
    given = {"description": "first", "tags": [1, 2.5, None, {"é": "\N{GRINNING FACE}"}], "kms": "a\0b"}
    with database.write() as rows:
        added = registry.add_version(
            rows,
            project.id,
            "v.1",
            now_ms=NOW,
            output=OUTPUT,
            given=given,
            status="COPYING_IN_PROGRESS",
            source="arn:x",
        )

    with database.read() as rows:
        found = registry.find_version(rows, VersionArn("rooms", "v.1", NOW, **HERE))
        assert registry.list_versions(rows, project.id, names=["v.1", "v.2"]).items == (found,)
    assert found == added
    assert (found.project, found.given, found.source, found.outcome) == ("rooms", given, "arn:x", None)
    assert (found.output_bucket, found.output_prefix, found.message) == ("bucket", "prefix", "")


def test_versions_are_listed_newest_first_by_pages(database: Database) -> None:
    """The order is that of AWS, and pages join without gap, while new ones are made."""
    project, other = a_project(database), a_project(database, "other")
    for name in "abcde":
        a_version(database, project, name)
        a_version(database, other, name)
    with database.read() as rows:
        first = registry.list_versions(rows, project.id, limit=2)
    a_version(database, project, "f")
    with database.read() as rows:
        rest = registry.list_versions(rows, project.id, after=first.after, limit=3)

    assert [version.name for version in (*first.items, *rest.items)] == ["e", "d", "c", "b", "a"]
    assert rest.after is None


def test_a_version_name_is_taken_once_in_its_project(database: Database) -> None:
    """Another project may use it; a limit does not hide that the name is taken."""
    project = a_project(database)
    a_version(database, project)
    a_version(database, a_project(database, "other"))

    limits = registry.VersionLimits(in_project=1, in_progress=1)
    with pytest.raises(InUse, match="taken in the project rooms"), database.write() as rows:
        registry.add_version(rows, project.id, "1", now_ms=NOW, output=OUTPUT, limits=limits)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (registry.VersionLimits(in_project=2), "the project has 2 versions"),
        (registry.VersionLimits(in_progress=3), "3 versions are being trained"),
    ],
)
def test_versions_beyond_a_limit_are_refused(database: Database, limits: registry.VersionLimits, why: str) -> None:
    """Both limits name themselves; copies do not count as trainings."""
    project = a_project(database)
    a_version(database, a_project(database, "other"))
    for name in "ab":
        a_version(database, project, name)

    with pytest.raises(LimitExceeded, match=why), database.write() as rows:
        registry.add_version(rows, project.id, "c", now_ms=NOW, output=OUTPUT, limits=limits)
    with database.write() as rows:
        copying = registry.VersionLimits(in_progress=1)
        registry.add_version(
            rows, project.id, "c", now_ms=NOW, output=OUTPUT, status="COPYING_IN_PROGRESS", limits=copying
        )


def test_a_training_ends_with_what_it_left(database: Database) -> None:
    """Result, time and message are written with the status; later moves keep them. It ends once."""
    version = a_version(database, a_project(database))
    left = {"billable_seconds": 12, "f1": 0.75, "outcome": {"summary": "EvaluationResultSummary-a-1.json"}}
    with database.write() as rows:
        ended = {"becomes": "TRAINING_COMPLETED", "now_ms": NOW + 5, "message": "The model is ready to run."}
        registry.end_version(rows, version.id, **ended, **left)
        registry.start_version(rows, version.id, min_units=1, max_units=None)
        registry.move_version(rows, version.id, was="STARTING", becomes="RUNNING", message="The model is running.")
        running = registry.get_version(rows, version.id)

    assert (running.status, running.f1, running.billable_seconds, running.min_units) == ("RUNNING", 0.75, 12, 1)
    assert (running.outcome, running.ended_ms, running.max_units) == (left["outcome"], NOW + 5, None)
    with pytest.raises(Stale, match="RUNNING by now"), database.write() as rows:
        registry.end_version(rows, version.id, **ended)


def test_only_so_many_versions_run(database: Database) -> None:
    """Starting, running and stopping ones count; one in another state is in use before the limit is looked at."""
    project = a_project(database)
    versions = [a_version(database, project, name) for name in "abc"]
    with database.write() as rows:
        for version in versions:
            registry.end_version(rows, version.id, becomes="TRAINING_COMPLETED", now_ms=NOW, message="")
        registry.start_version(rows, versions[0].id, min_units=1, max_units=2, limit=1)

    with pytest.raises(LimitExceeded, match="1 versions are running"), database.write() as rows:
        registry.start_version(rows, versions[1].id, min_units=1, max_units=None, limit=1)
    with pytest.raises(InUse, match="STARTING"), database.write() as rows:
        registry.start_version(rows, versions[0].id, min_units=1, max_units=None, limit=1)
    with database.read() as rows:
        assert registry.count_versions(rows, registry.HOSTED) == 1
        assert registry.get_version(rows, versions[0].id).status == "STARTING"


def test_a_status_that_nothing_has_is_a_bug(database: Database) -> None:
    """A misspelt status would otherwise count nothing, silently."""
    with database.read() as rows:
        with pytest.raises(ValueError, match="TRAINED"):
            registry.count_versions(rows, ["TRAINED"])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="STARTED"):
            registry.list_jobs(rows, statuses=["STARTED"])  # type: ignore[list-item]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_a_database_cannot_hold_is_refused_by_name(database: Database, text: str) -> None:
    """Where it must be told again as it was; messages only lose the character."""
    project = a_project(database)
    dataset = a_dataset(database, project)

    with pytest.raises(Invalid, match="outputConfig"), database.write() as rows:
        registry.add_version(rows, project.id, "1", now_ms=NOW, output=("bucket", text))
    for row in (registry.EntryRow(text, b"{}"), registry.EntryRow("s3://bucket/a", b"{}", (text,))):
        with pytest.raises(Invalid, match=r"source-ref|label"), database.write() as rows:
            registry.put_entries(rows, dataset.id, [row])
    for which in (registry.EntryFilter(contains=text), registry.EntryFilter(labels=(text,))):
        with pytest.raises(Invalid), database.read() as rows:
            registry.list_lines(rows, dataset.id, which=which)
    with database.write() as rows:
        registry.move_dataset(
            rows, dataset.id, was="CREATE_IN_PROGRESS", becomes="CREATE_FAILED", now_ms=NOW, message=text
        )
        assert registry.get_dataset(rows, dataset.id).message == text.replace("\0", "?").replace("\ud800", "?")


def test_tags_are_put_and_taken(database: Database) -> None:
    """A key has one value; unknown keys are passed over; things do not share tags; they go with the thing."""
    project = a_project(database)
    with database.write() as rows:
        registry.put_tags(rows, "project", project.id, {"b": "1", "a": "é"})
        registry.put_tags(rows, "project", project.id, {"b": "2"})
        registry.put_tags(rows, "version", project.id, {"b": "3"})
        registry.put_tags(rows, "project", project.id, {})
        assert registry.tags_of(rows, "project", project.id) == {"a": "é", "b": "2"}
        registry.remove_tags(rows, "project", project.id, ["a", "z"])
        assert registry.tags_of(rows, "project", project.id) == {"b": "2"}
        registry.close_project(rows, project.id)
        registry.remove_project(rows, project.id)

        assert registry.tags_of(rows, "project", project.id) == {}
        assert registry.tags_of(rows, "version", project.id) == {"b": "3"}


def test_too_many_tags_change_nothing(database: Database) -> None:
    """The quota counts what would be there afterwards, so replacing a value is always possible."""
    project = a_project(database)
    with database.write() as rows:
        registry.put_tags(rows, "project", project.id, {"a": "1", "b": "1"}, limit=2)

    with pytest.raises(QuotaExceeded, match="3 tags; 2"), database.write() as rows:
        registry.put_tags(rows, "project", project.id, {"a": "2", "c": "2"}, limit=2)
    with database.write() as rows:
        registry.put_tags(rows, "project", project.id, {"b": "3"}, limit=2)

        assert registry.tags_of(rows, "project", project.id) == {"a": "1", "b": "3"}


def test_a_policy_changes_by_naming_its_revision(database: Database) -> None:
    """Creation stays, revision and time change; whoever names an old revision is refused and changes nothing."""
    project = a_project(database)
    with database.write() as rows:
        put = {"rows": rows, "project_id": project.id, "name": "copy"}
        registry.put_policy(**put, document="{}", revision="aa", replaces=None, now_ms=NOW)
        changed = registry.put_policy(**put, document="{1}", revision="bb", replaces="aa", now_ms=NOW + 1)

    assert (changed.revision, changed.document, changed.created_ms, changed.updated_ms) == ("bb", "{1}", NOW, NOW + 1)
    for replaces, error in (("aa", BadRevision), (None, AlreadyExists)):
        with pytest.raises(error, match="copy"), database.write() as rows:
            registry.put_policy(
                rows, project.id, "copy", document="{2}", revision="cc", replaces=replaces, now_ms=NOW + 2
            )
    with pytest.raises(BadRevision), database.write() as rows:
        registry.put_policy(rows, project.id, "new", document="{2}", revision="cc", replaces="aa", now_ms=NOW)
    with database.read() as rows:
        assert registry.list_policies(rows, project.id).items == (changed,)


def test_policies_are_listed_and_removed(database: Database) -> None:
    """By name in pages; one that is not there, or has another revision, is said to be so; they go with the project."""
    project = a_project(database)
    with database.write() as rows:
        for name in "cab":
            registry.put_policy(rows, project.id, name, document="{}", revision="aa", replaces=None, now_ms=NOW)
        first = registry.list_policies(rows, project.id, limit=2)
        second = registry.list_policies(rows, project.id, after=first.after, limit=2)
        assert [policy.name for policy in (*first.items, *second.items)] == ["a", "b", "c"]
        assert second.after is None
        registry.remove_policy(rows, project.id, "a", revision="aa")
        registry.remove_policy(rows, project.id, "b")
        with pytest.raises(NotFound, match="policy"):
            registry.remove_policy(rows, project.id, "a")
        with pytest.raises(BadRevision):
            registry.remove_policy(rows, project.id, "c", revision="bb")
        registry.close_project(rows, project.id)
        registry.remove_project(rows, project.id)

        assert registry.list_policies(rows, project.id).items == ()


def test_policies_beyond_the_quota_are_refused(database: Database) -> None:
    """The quota is a project's own."""
    project = a_project(database)
    with database.write() as rows:
        put = {"document": "{}", "revision": "aa", "replaces": None, "now_ms": NOW, "limit": 1}
        registry.put_policy(rows, project.id, "a", **put)
        with pytest.raises(QuotaExceeded, match="1 policies"):
            registry.put_policy(rows, project.id, "b", **put)


def test_a_key_is_found_until_it_is_revoked(database: Database) -> None:
    """Its secret is never shown; its identifier is never given twice; any text may be asked for."""
    with database.write() as rows:
        key = registry.add_key(rows, "AKIA1", secret="s3cret", access="full", now_ms=NOW, note="mine")
        registry.add_key(rows, "AKIA2", secret="other", access="read", now_ms=NOW + 1)
        assert registry.find_key(rows, "AKIA1") == key
        registry.revoke_key(rows, "AKIA1", now_ms=NOW + 2)

    assert "s3cret" not in repr(key)
    with database.read() as rows:
        assert [registry.find_key(rows, text) for text in ("AKIA1", "akia2", "", "\0", "\ud800")] == [None] * 5
        assert [each.id for each in registry.list_keys(rows)] == ["AKIA2"]
        assert [each.revoked_ms for each in registry.list_keys(rows, with_revoked=True)] == [NOW + 2, None]
    with pytest.raises(InUse, match="AKIA1"), database.write() as rows:
        registry.add_key(rows, "AKIA1", secret="again", access="full", now_ms=NOW)
    for text in ("AKIA1", "AKIA3", "\0"):
        with pytest.raises(NotFound, match="key"), database.write() as rows:
            registry.revoke_key(rows, text, now_ms=NOW)

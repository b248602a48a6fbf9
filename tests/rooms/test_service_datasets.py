"""Datasets: made of manifests and of one another, listed, updated, distributed, deleted, and never half of it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deconfuse.engine.jobs import Heart
from deconfuse.errors import (
    AlreadyExists,
    BadToken,
    InUse,
    Invalid,
    LimitExceeded,
    NotFound,
    NotReady,
    Stale,
    Unavailable,
)
from deconfuse.formats.manifest import ManifestLimits
from deconfuse.names import ObjectAddress
from deconfuse.service import loading
from deconfuse.service.datasets import (
    create_dataset,
    dataset_arn,
    delete_dataset,
    describe_dataset,
    distribute,
    list_entries,
    list_labels,
    update_entries,
)
from deconfuse.service.house import House
from deconfuse.service.projects import tags_of
from deconfuse.service.work import tasks
from deconfuse.store import entries, registry
from deconfuse.store.registry import Dataset, Job, LabelCount, Rows, Stats
from houses import make_house
from manifests import a_dataset_of, a_project, box_line, claim, image_line, keys, perform_jobs, put_manifest, told

PETS = [image_line(f"{number}.jpg", "cat" if number % 2 else "dog") for number in range(10)]
NOT_THERE = "arn:aws:rekognition:us-east-1:123456789012:project/rooms/dataset/train/1"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house."""
    house = make_house(tmp_path)
    yield house
    house.database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """An empty house over a database of each kind."""
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    house = make_house(tmp_path, database=url)
    yield house
    house.database.close()


def limited(house: House, **limits: int) -> House:
    """The same house with other limits of manifests."""
    return replace(house, limits=replace(house.limits, manifest=ManifestLimits(**limits)))


def state(house: House, arn: str) -> tuple[str, str, Stats]:
    """Status, code and counts of a dataset."""
    dataset = describe_dataset(house, arn)
    return dataset.status, dataset.code, dataset.stats


def failed(house: House, arn: str) -> str:
    """What is said of a dataset that failed by its data."""
    dataset = describe_dataset(house, arn)
    assert (dataset.status[-7:], dataset.code) == ("_FAILED", "CLIENT_ERROR"), dataset
    assert not dataset.message[0].islower()
    assert dataset.message.endswith(".")
    return dataset.message


# Created


def test_a_manifest_becomes_a_dataset(any_house: House) -> None:
    """In progress until a worker has loaded it; then its lines, labels and counts are those of the manifest."""
    house = any_house
    project = a_project(house)
    manifest = put_manifest(house, [*PETS, box_line("street.jpg", "car", "cat"), image_line("blank.jpg")])
    dataset = create_dataset(house, project, kind="train", manifest=manifest, tags={"team": "a"})
    arn = str(dataset_arn(house, dataset))

    assert state(house, arn) == ("CREATE_IN_PROGRESS", "SUCCESS", Stats())
    assert perform_jobs(house) == 1
    made = describe_dataset(house, arn)
    assert made.status == "CREATE_COMPLETE"
    assert made.message == "The dataset was successfully created from the manifest file."
    assert made.stats == Stats(n_entries=12, n_labeled=11, n_labels=3, n_errors=0)
    assert keys(told(house, arn)) == [*(f"{number}.jpg" for number in range(10)), "street.jpg", "blank.jpg"]
    assert list_labels(house, arn)[0] == (LabelCount("car", 1, 1), LabelCount("cat", 6, 1), LabelCount("dog", 5, 0))
    assert tags_of(house, arn) == {"team": "a"}


def test_an_empty_dataset_is_there_at_once(house: House) -> None:
    """Without a source there is nothing to wait for."""
    project = a_project(house)
    dataset = create_dataset(house, project, kind="test")

    assert (dataset.status, dataset.kind) == ("CREATE_COMPLETE", "test")
    assert perform_jobs(house) == 0
    assert list_entries(house, str(dataset_arn(house, dataset))) == ((), None)


def test_a_copy_has_the_same_lines(any_house: House) -> None:
    """Into another project or the same one; notes, labels and boxes come along."""
    house = any_house
    source = a_dataset_of(house, a_project(house), [*PETS, box_line("b.jpg", "car", left=-5), box_line("c.jpg", "bus")])
    for project, kind in ((a_project(house, "other"), "train"), (a_project(house, "third"), "test")):
        copy = create_dataset(house, project, kind=kind, copy_of=source)  # type: ignore[arg-type]
        perform_jobs(house)
        arn = str(dataset_arn(house, copy))

        assert state(house, arn) == state(house, source)
        assert list_entries(house, arn)[0] == list_entries(house, source)[0]
        assert list_labels(house, arn)[0] == list_labels(house, source)[0]


@pytest.mark.parametrize(
    "address",
    [
        ObjectAddress("photos", "missing.manifest"),
        ObjectAddress("nowhere", "train.manifest"),
        ObjectAddress("_deconfuse", "train.manifest"),
        ObjectAddress("NOT.a_bucket", "train.manifest"),
        ObjectAddress("photos", "\u00e9" * 1024),
        ObjectAddress("photos", "train.manifest", "3HL4kqtJvjVBH40Nrjfkd"),
    ],
)
def test_a_manifest_that_is_not_there_is_refused_at_once(house: House, address: ObjectAddress) -> None:
    """As an object that was not found; nothing is made, so the next attempt is free to make it."""
    project = a_project(house)
    put_manifest(house, PETS)

    with pytest.raises(NotFound) as refused:
        create_dataset(house, project, kind="train", manifest=address)
    assert refused.value.kind == "object"
    create_dataset(house, project, kind="train", manifest=ObjectAddress("photos", "train.manifest", "null"))


def test_what_cannot_be_created(house: House) -> None:
    """A second dataset of a kind, one in a project that is not there, one of two sources, one with a bad tag."""
    project = a_project(house)
    arn = a_dataset_of(house, project, PETS)
    manifest = put_manifest(house, PETS)

    with pytest.raises(AlreadyExists):
        create_dataset(house, project, kind="train")
    with pytest.raises(NotFound, match="project not found"):
        create_dataset(house, project.replace("rooms", "halls"), kind="test")
    with pytest.raises(NotFound, match="region"):
        create_dataset(house, project.replace("us-east-1", "eu-west-1"), kind="test")
    with pytest.raises(Invalid, match="not both"):
        create_dataset(house, project, kind="test", manifest=manifest, copy_of=arn)
    with pytest.raises(Invalid, match="tags"):
        create_dataset(house, project, kind="test", tags={"aws:x": ""})
    with pytest.raises(Invalid, match="ARN of a dataset"):
        create_dataset(house, project, kind="test", copy_of=project)
    with pytest.raises(NotFound, match="dataset not found"):
        create_dataset(house, project, kind="test", copy_of=NOT_THERE)
    assert perform_jobs(house) == 0


def test_only_a_finished_dataset_can_be_copied(house: House) -> None:
    """One that is being created, or could not be, has nothing to give."""
    project, other = a_project(house), a_project(house, "other")
    source = create_dataset(house, project, kind="train", manifest=put_manifest(house, [b"no"]))
    arn = str(dataset_arn(house, source))
    for status in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
        with pytest.raises(Invalid, match=status):
            create_dataset(house, other, kind="train", copy_of=arn)
        perform_jobs(house)


NO_LINE = b'{"a":1}'


@pytest.mark.parametrize(
    ("lines", "limits", "words"),
    [
        ([], {}, "No JSON Lines were given"),
        ([b"", b"  ", b""], {}, "No JSON Lines were given"),
        ([b"\x1f\x8b\x08 not text \xff\xfe\x00"], {}, "These are no JSON Lines"),
        (['{"source-ref":"s3://photos/a"}'.encode("utf-16")], {}, "These are no JSON Lines"),
        ([b"image,label", b"a.jpg,cat"], {}, "These are no JSON Lines"),
        ([b'{"source-ref":"s3://photos/a","x":"' + b"x" * 100_000 + b'"}'], {}, "at most 100,000 characters"),
        ([*PETS[:3], NO_LINE], {}, "1 of 4 lines cannot be kept"),
        ([*PETS[:3], b"{"], {}, "1 of 4 lines cannot be kept"),
        ([*PETS[:3], b"", b"", PETS[4]], {}, "2 of 6 lines"),
        ([*PETS[:3], PETS[0]], {}, "1 of 4 lines cannot be kept"),
        ([*PETS[:3], b'{"source-ref":"photos/1.jpg"}'], {}, "1 of 4 lines cannot be kept"),
        (PETS, {"max_lines": 9}, "more than 9 lines"),
        (PETS, {"max_labels": 1}, "more than 1 labels"),
        (PETS, {"max_bytes": 300}, "300 are possible"),
        ([*PETS, image_line("x.jpg", bucket="elsewhere")], {}, "several buckets (photos, elsewhere)"),
    ],
)
def test_a_manifest_that_cannot_be_used(house: House, lines: list[bytes], limits: dict[str, int], words: str) -> None:
    """The dataset is CREATE_FAILED by its user's fault and says why; it can be deleted, and then made again."""
    house = limited(house, **limits)
    project = a_project(house)
    arn = a_dataset_of(house, project, lines)

    assert words in failed(house, arn)
    assert describe_dataset(house, arn).stats == Stats()
    with pytest.raises(NotReady):
        list_entries(house, arn)
    with pytest.raises(InUse):
        update_entries(house, arn, PETS[0])
    delete_dataset(house, arn)
    perform_jobs(house)
    again = a_dataset_of(house, project, [PETS[0]])
    assert describe_dataset(house, again).stats.n_entries == 1


BAD_LINES = [b"{nonsense", b"", NO_LINE, b'{"source-ref":"photos/1.jpg"}', PETS[0], PETS[1]]


def test_lines_that_are_left_out_are_told(house: House) -> None:
    """How many, and why the first of them; the sentence begins with AWS's, whose clients know it."""
    lines = [BAD_LINES[0], *(image_line(f"{n}.jpg", "cat", "dog") for n in range(30)), *BAD_LINES[1:5], b""]
    arn = a_dataset_of(house, a_project(house), lines)

    made = describe_dataset(house, arn)
    assert (made.status, made.code, made.stats.n_entries) == ("CREATE_COMPLETE", "SUCCESS", 30)
    start, _, told = made.message.partition(" 5 lines were left out: ")
    assert start == "The dataset was successfully created from the manifest file."
    repeats, first, *more = told.split("; ")
    assert repeats == "1 for an image that is on an earlier line"
    assert first.startswith("line 1: the line cannot be read: it is not JSON")
    assert more == [
        "line 32: the line is blank",
        'line 33: the line has no "source-ref"',
        "line 34: \"source-ref\" is 'photos/1.jpg', not of the form s3://bucket/key.",
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b"{"], "1 line was left out: line 21: the line cannot be read"),
        ([image_line("3.jpg")], "1 line was left out: 1 for an image that is on an earlier line."),
        ([b'{"a":' * 4000 + b"1" + b"}" * 4000], "nested too deeply."),
        ([b'{"' + b"k" * 40_000 + b'":1,"' + b"k" * 40_000 + b'":1}'], "kkk…."),
        ([NO_LINE] * 5, 'line 25: the line has no "source-ref".'),
    ],
)
def test_what_is_told_of_a_line_that_is_left_out(house: House, lines: list[bytes], words: str) -> None:
    """One is one; what somebody wrote into a line never makes the sentence long."""
    arn = a_dataset_of(house, a_project(house), [*(image_line(f"{n}.jpg", "cat") for n in range(20)), *lines])

    made = describe_dataset(house, arn)
    assert (made.status, made.stats.n_entries) == ("CREATE_COMPLETE", 20)
    assert words in made.message
    assert len(made.message) < 1500


def test_a_manifest_with_too_many_bad_lines_names_the_first(house: House) -> None:
    """With their reasons, and the others by their number."""
    said = failed(house, a_dataset_of(house, a_project(house), [*PETS, *[NO_LINE] * 100, *PETS]))

    assert said.startswith("110 of 120 lines cannot be kept, and up to 20 % may be so: 10 for an image that is on an ")
    assert said.count('the line has no "source-ref"') == 5
    assert said.endswith('; line 15: the line has no "source-ref"; and 95 more.')


def test_an_update_tells_which_lines_it_left_out(house: House) -> None:
    """As a manifest does; one that repeats an image has its number too."""
    arn = a_dataset_of(house, a_project(house), PETS)
    update_entries(house, arn, b"\n".join([*PETS, PETS[3], b"{}"]))

    told = '2 lines were left out: line 11: the image is on an earlier line; line 12: the line has no "source-ref".'
    assert describe_dataset(house, arn).message == f"The dataset was successfully updated. {told}"


def test_a_manifest_that_is_gone_when_it_is_read(house: House) -> None:
    """Between the request and the work it was removed: CREATE_FAILED, by name."""
    project = a_project(house)
    manifest = put_manifest(house, PETS)
    dataset = create_dataset(house, project, kind="train", manifest=manifest)
    house.objects.delete(manifest.bucket, manifest.key)
    perform_jobs(house)

    assert "s3://photos/train.manifest cannot be read" in failed(house, str(dataset_arn(house, dataset)))


@pytest.mark.parametrize("key", ["manifest", "folder.d/manifest", "manifest.", "dir/"])
def test_a_manifest_without_an_extension_is_refused(house: House, key: str) -> None:
    """As AWS does; the message says what to call it."""
    project = a_project(house)
    dataset = create_dataset(house, project, kind="train", manifest=put_manifest(house, PETS, key=key))
    perform_jobs(house)

    assert "has no extension" in failed(house, str(dataset_arn(house, dataset)))


def test_labels_of_lines_that_are_left_out_do_not_count(house: House) -> None:
    """Neither in a new dataset nor in an update: as many labels as are possible stay possible."""
    house = limited(house, max_labels=2)
    arn = a_dataset_of(house, a_project(house), [*PETS, image_line("0.jpg", "fish")])
    assert state(house, arn) == ("CREATE_COMPLETE", "SUCCESS", Stats(10, 10, 2, 0))
    update_entries(house, arn, b"\n".join([*PETS, image_line("0.jpg", "fish")]))
    assert state(house, arn) == ("UPDATE_COMPLETE", "SUCCESS", Stats(10, 10, 2, 0))


def test_bad_lines_are_left_out_without_a_word(any_house: House) -> None:
    """Up to a fifth: not JSON, no source-ref, twice; of two for one image the first stays, also far behind it."""
    house = any_house
    many = [image_line(f"{number}.jpg", "cat") for number in range(2400)]
    arn = a_dataset_of(
        house, a_project(house), [*many, b"{", NO_LINE, b"", image_line("7.jpg", "dog"), b"{}", b"", b""]
    )

    assert state(house, arn) == ("CREATE_COMPLETE", "SUCCESS", Stats(2400, 2400, 1, 0))
    assert keys(told(house, arn)) == [f"{number}.jpg" for number in range(2400)]


def test_a_line_of_the_greatest_length_is_kept(house: House) -> None:
    """100,000 characters, whatever they take as bytes; one more is one too many. What is noted does not count."""
    short = image_line("0.jpg", "cat", note="")
    room = 100_000 - len(short.decode())
    longest = image_line("0.jpg", "cat", note="\u00e9" * room)
    too_long = image_line("1.jpg", "cat", note="\u00e9" * (room + 1))
    huge = image_line("2.jpg", "cat", note="x" * 3_000_000)
    arn = a_dataset_of(house, a_project(house), [longest, *PETS[3:], too_long, huge])
    assert keys(told(house, arn))[:2] == ["0.jpg", "3.jpg"]
    assert describe_dataset(house, arn).stats.n_entries == 8

    (line,), _ = list_entries(house, arn, limit=1)
    assert len(line) > 100_000
    update_entries(house, arn, line.encode())
    assert describe_dataset(house, arn).status == "UPDATE_COMPLETE"
    assert list_entries(house, arn, limit=1)[0] == (line,)


# What is noted on lines


def test_a_line_says_whether_it_is_labeled(house: House) -> None:
    """In cl-metadata, behind everything that its user wrote, which stays byte for byte."""
    labeled, unlabeled = (
        b'{ "source-ref" : "s3://photos/a", "x": 1.50 , ' + PETS[0][1:],
        b'{"source-ref":"s3://photos/b"}',
    )
    labeled = labeled.replace(b'"source-ref": "s3://photos/0.jpg", ', b"")
    arn = a_dataset_of(house, a_project(house), [labeled, unlabeled])

    assert list_entries(house, arn)[0] == (
        labeled.decode()[:-1] + ',"cl-metadata":{"is_labeled":true}}',
        unlabeled.decode()[:-1] + ',"cl-metadata":{"is_labeled":false}}',
    )


def test_errors_are_noted_where_they_are(house: House) -> None:
    """In the metadata of an attribute, or on the line; the other labels of the line are used."""
    odd = json.loads(image_line("a.jpg", "cat", "dog"))
    odd["label1-metadata"]["type"] = "groundtruth/text"
    alone = json.loads(image_line("b.jpg", "dog"))
    alone["label0-metadata"]["type"] = "groundtruth/text"
    lines = [odd, alone, {"source-ref": "s3://photos/c.jpg", "note": 1}]
    outside = box_line("d.jpg", "car", "bus", left=-5)
    arn = a_dataset_of(house, a_project(house), [*(json.dumps(line).encode() for line in lines), outside])

    found = told(house, arn)
    assert [line["cl-metadata"]["is_labeled"] for line in found] == [True, False, False, False]
    assert codes(found[0]["label1-metadata"]) == ["ERROR_UNSUPPORTED_USE_CASE_TYPE"]
    assert "cl-errors" not in found[0]
    assert (codes(found[1]), codes(found[1]["label0-metadata"])) == (
        ["ERROR_NO_VALID_LABEL_ATTRIBUTES"],
        ["ERROR_UNSUPPORTED_USE_CASE_TYPE"],
    )
    assert codes(found[2]) == ["ERROR_NO_LABEL_ATTRIBUTES"]
    assert codes(found[3]["boxes-metadata"]) == ["ERROR_INVALID_BOUNDING_BOX", "ERROR_NO_VALID_ANNOTATIONS"]
    assert describe_dataset(house, arn).stats == Stats(4, 1, 1, 4)
    assert keys(told(house, arn, has_errors=True)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def codes(place: dict[str, Any]) -> list[str]:
    """The codes of the errors noted there."""
    return [error["code"] for error in place["cl-errors"]]


def test_warnings_are_not_noted(house: House) -> None:
    """An image without labels, and one on which nothing is annotated, are no errors of a dataset."""
    arn = a_dataset_of(house, a_project(house), [image_line("a.jpg"), box_line("b.jpg")])

    assert all(line.keys() <= {"source-ref", "boxes", "boxes-metadata", "cl-metadata"} for line in told(house, arn))
    assert describe_dataset(house, arn).stats == Stats(2, 0, 0, 0)


def test_what_was_noted_before_is_forgotten(house: House) -> None:
    """Listed, mended and given back, a line has no errors any more; notes of a training's validation go, too."""
    line = json.loads(image_line("a.jpg", "cat"))
    line["label0-metadata"]["type"] = "groundtruth/text"
    arn = a_dataset_of(house, a_project(house), [json.dumps(line).encode()])
    (noted,) = told(house, arn)
    noted["label0-metadata"]["type"] = "groundtruth/image-classification"
    note = {"code": "ERROR_INVALID_IMAGE", "message": "…"}
    noted |= {"errors": [note], "warnings": [note], "cl-other": 1}
    noted["label0-metadata"]["errors"] = [note]
    update_entries(house, arn, json.dumps(noted).encode())

    (mended,) = told(house, arn)
    assert mended == json.loads(image_line("a.jpg", "cat")) | {"cl-other": 1, "cl-metadata": {"is_labeled": True}}
    assert describe_dataset(house, arn).stats == Stats(1, 1, 1, 0)


def test_a_line_given_back_unchanged_stays_the_same(house: House) -> None:
    """Notes do not pile up, whatever they are."""
    lines = [PETS[0], box_line("b.jpg", "car", left=-5), image_line("c.jpg"), image_line("d.jpg", "\u00e9t\u00e9")]
    arn = a_dataset_of(house, a_project(house), lines)
    before = list_entries(house, arn)
    update_entries(house, arn, "\n".join(before[0]).encode())

    assert describe_dataset(house, arn).status == "UPDATE_COMPLETE"
    assert list_entries(house, arn) == before


# Listed


def test_filters(any_house: House) -> None:
    """Each by itself and together; no errors asked for means all lines, as AWS's samples use it."""
    house = any_house
    lines = [
        image_line("a/1.jpg", "cat", "sofa"),
        image_line("a/2.jpg", "cat"),
        box_line("b/3.jpg", "ball"),
        image_line("b/4%_.jpg"),
        json.dumps({"source-ref": "s3://photos/A/5.jpg", "note": 1}).encode(),
    ]
    arn = a_dataset_of(house, a_project(house), lines)
    numbers = {name: index for index, name in enumerate(["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4%_.jpg", "A/5.jpg"], 1)}

    def which(**asked: Any) -> list[int]:
        return [numbers[key] for key in keys(told(house, arn, **asked))]

    assert which() == which(has_errors=False) == which(contains="") == [1, 2, 3, 4, 5]
    assert which(labels=["cat"]) == [1, 2]
    assert which(labels=["ball", "sofa", "ghost"]) == [1, 3]
    assert which(labeled=True) == [1, 2, 3]
    assert which(labeled=False) == [4, 5]
    assert which(has_errors=True) == [5]
    assert which(contains="a/") == [1, 2]
    assert which(contains="s3://photos/b/4%_") == [4]
    assert which(contains="_") == [4]
    assert which(labels=["cat"], contains="2", labeled=True) == [2]
    assert which(labels=["cat"], labeled=False) == []


def test_pages(house: House) -> None:
    """Lines and labels come in pages that neither repeat nor leave out; a token is good for its question only."""
    lines = [image_line(f"{number:03}.jpg", f"label {number:03}") for number in range(205)]
    arn = a_dataset_of(house, a_project(house), lines)
    other = a_dataset_of(house, a_project(house, "other"), lines[:2])

    first, token = list_entries(house, arn, labeled=True)
    assert (len(first), keys(told(house, arn, limit=7))) == (100, [f"{number:03}.jpg" for number in range(205)])
    for asked in ({}, {"labeled": False}, {"labeled": True, "contains": "0"}, {"labeled": True, "labels": ["a"]}):
        with pytest.raises(BadToken):
            list_entries(house, arn, token=token, **asked)  # type: ignore[arg-type]
    with pytest.raises(BadToken):
        list_entries(house, other, labeled=True, token=token)
    with pytest.raises(BadToken):
        list_labels(house, arn, token=token)

    found: list[str] = []
    token = ""
    while token is not None:
        counts, token = list_labels(house, arn, limit=50, token=token)
        found += [count.label for count in counts]
    assert found == [f"label {number:03}" for number in range(205)]


def test_what_cannot_be_listed(house: House) -> None:
    """No dataset, none that stands still, more labels than can be asked for, text that is none."""
    project = a_project(house)
    dataset = create_dataset(house, project, kind="train", manifest=put_manifest(house, PETS))
    arn = str(dataset_arn(house, dataset))

    for ask in (list_entries, list_labels):
        with pytest.raises(NotReady, match="wait until it is CREATE_COMPLETE"):
            ask(house, arn)
        with pytest.raises(NotFound):
            ask(house, NOT_THERE)
        with pytest.raises(Invalid, match="datasetArn"):
            ask(house, project)
    perform_jobs(house)
    with pytest.raises(Invalid, match="containsLabels"):
        list_entries(house, arn, labels=[str(number) for number in range(11)])
    with pytest.raises(Invalid, match="containsLabels"):
        list_entries(house, arn, labels=["\0"])
    with pytest.raises(Invalid, match="sourceRefContains"):
        list_entries(house, arn, contains="\ud800")
    distribute(house, (arn, a_dataset_of_nothing(house, project)))
    for ask in (list_entries, list_labels):
        with pytest.raises(InUse, match="UPDATE_IN_PROGRESS"):
            ask(house, arn)
    perform_jobs(house)
    delete_dataset(house, arn)
    for ask in (list_entries, list_labels):
        with pytest.raises(InUse, match="DELETE_IN_PROGRESS"):
            ask(house, arn)


def a_dataset_of_nothing(house: House, project: str) -> str:
    """The ARN of an empty test dataset."""
    return str(dataset_arn(house, create_dataset(house, project, kind="test")))


# Updated


def test_an_update_replaces_and_appends(any_house: House) -> None:
    """By source-ref, the whole line; new labels appear, labels without a line go."""
    house = any_house
    arn = a_dataset_of(house, a_project(house), PETS)
    changes = [image_line("3.jpg", "fish"), image_line("new.jpg", "bird"), *(image_line(f"{n}.jpg") for n in (0, 2, 4))]
    update_entries(house, arn, b"\xef\xbb\xbf" + b"\r\n".join(changes) + b"\n\n")

    updated = describe_dataset(house, arn)
    assert (updated.status, updated.message) == ("UPDATE_COMPLETE", "The dataset was successfully updated.")
    assert updated.stats == Stats(11, 8, 4, 0)
    assert keys(told(house, arn)) == [*(f"{number}.jpg" for number in range(10)), "new.jpg"]
    assert [count.label for count in list_labels(house, arn)[0]] == ["bird", "cat", "dog", "fish"]
    assert keys(told(house, arn, labels=["fish", "bird"])) == ["3.jpg", "new.jpg"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "No JSON Lines"),
        ([b"{"], "no JSON Lines"),
        ([*PETS[:3], b"{"], "1 of 4 lines cannot be kept"),
        ([PETS[0], PETS[0]], "1 of 2 lines cannot be kept"),
        ([image_line("z.jpg", bucket="elsewhere")], "several buckets (photos, elsewhere)"),
        ([image_line("y.jpg"), image_line("z.jpg", bucket="elsewhere")], "several buckets"),
        ([image_line(f"more-{number}.jpg") for number in range(3)], "more than 12 lines"),
        ([image_line("a.jpg", "1", "2")], "more than 3 labels"),
        ([image_line("a.jpg", "1", "2", "3", "4")], "more than 3 labels"),
    ],
)
def test_an_update_that_fails_changes_nothing(house: House, changes: list[bytes], words: str) -> None:
    """UPDATE_FAILED by its user's fault, with a sentence; lines, labels and counts are what they were."""
    house = limited(house, max_lines=12, max_labels=3)
    arn = a_dataset_of(house, a_project(house), PETS)
    before = (list_entries(house, arn), list_labels(house, arn), describe_dataset(house, arn).stats)
    update_entries(house, arn, b"\n".join(changes))

    assert words in failed(house, arn)
    assert (list_entries(house, arn), list_labels(house, arn), describe_dataset(house, arn).stats) == before
    update_entries(house, arn, image_line("0.jpg", "fish"))
    assert state(house, arn) == ("UPDATE_COMPLETE", "SUCCESS", Stats(10, 10, 3, 0))


def test_what_cannot_be_updated(house: House) -> None:
    """No dataset; one that does not stand still; more than five megabytes."""
    project = a_project(house)
    dataset = create_dataset(house, project, kind="train", manifest=put_manifest(house, PETS))
    arn = str(dataset_arn(house, dataset))

    with pytest.raises(InUse, match="CREATE_IN_PROGRESS"):
        update_entries(house, arn, PETS[0])
    with pytest.raises(NotFound):
        update_entries(house, NOT_THERE, PETS[0])
    with pytest.raises(LimitExceeded):
        update_entries(house, arn, b" " * (5 * 1024 * 1024 + 1))
    perform_jobs(house)
    delete_dataset(house, arn)
    with pytest.raises(InUse, match="DELETE_IN_PROGRESS"):
        update_entries(house, arn, PETS[0])


def test_an_empty_dataset_is_filled_by_updates(house: House) -> None:
    """The way without a manifest in S3; a bucket is chosen by the first line."""
    arn = a_dataset_of(house, a_project(house), None)
    update_entries(house, arn, image_line("a.jpg", "cat", bucket="one"))
    update_entries(house, arn, image_line("b.jpg", "cat", bucket="two"))

    assert "several buckets (one, two)" in failed(house, arn)
    assert keys(told(house, arn)) == ["a.jpg"]


# Distributed


def test_a_fifth_is_distributed(any_house: House) -> None:
    """Of every label; the two can be named in any order, and both say how it ends."""
    house = any_house
    project = a_project(house)
    lines = [image_line(f"{number}.jpg", f"label {number % 4}") for number in range(100)]
    train, test = (
        a_dataset_of(house, project, [*lines, image_line("blank.jpg")]),
        a_dataset_of(house, project, None, kind="test"),
    )
    distribute(house, (test, train))
    assert {describe_dataset(house, arn).status for arn in (train, test)} == {"UPDATE_IN_PROGRESS"}
    perform_jobs(house)

    assert state(house, train) == ("UPDATE_COMPLETE", "SUCCESS", Stats(81, 80, 4, 0))
    assert state(house, test) == ("UPDATE_COMPLETE", "SUCCESS", Stats(20, 20, 4, 0))
    assert [count.n_entries for count in list_labels(house, test)[0]] == [5, 5, 5, 5]
    assert sorted(keys(told(house, train)) + keys(told(house, test))) == sorted(
        [*keys(map(json.loads, lines)), "blank.jpg"]
    )


def test_the_same_images_are_chosen_again(house: House) -> None:
    """The order of lines does not matter, nor the name of the project."""
    lines = [image_line(f"{number}.jpg", *"ab"[: number % 3]) for number in range(60)]
    chosen = []
    for name, given in (("one", lines), ("two", lines[::-1])):
        project = a_project(house, name)
        train, test = a_dataset_of(house, project, given), a_dataset_of(house, project, None, kind="test")
        distribute(house, (train, test))
        perform_jobs(house)
        chosen.append(sorted(keys(told(house, test))))

    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 12


@pytest.mark.parametrize(
    "lines", [[], [image_line(f"{n}.jpg") for n in range(9)], [image_line("a", "a"), image_line("b", "b")]]
)
def test_too_few_images_to_distribute(house: House, lines: list[bytes]) -> None:
    """Both are UPDATE_FAILED by their user's fault and keep what they had; more images help."""
    project = a_project(house)
    train, test = a_dataset_of(house, project, None), a_dataset_of(house, project, None, kind="test")
    if lines:
        update_entries(house, train, b"\n".join(lines))
    distribute(house, (train, test))
    perform_jobs(house)

    assert "not enough labeled images" in failed(house, train)
    assert "not enough labeled images" in failed(house, test)
    assert (len(told(house, train)), told(house, test)) == (len(lines), [])
    update_entries(house, train, b"\n".join(PETS))
    distribute(house, (train, test))
    perform_jobs(house)
    assert describe_dataset(house, test).stats.n_entries >= 2


def test_what_cannot_be_distributed(house: House) -> None:
    """Not two, not of both kinds, not of one project, not into a full one, not while something else happens."""
    project, other = a_project(house), a_project(house, "other")
    train, test = a_dataset_of(house, project, PETS), a_dataset_of(house, project, PETS, kind="test")
    elsewhere = a_dataset_of(house, other, None, kind="test")

    for arns in (
        (train,),
        (train, test, elsewhere),
        (train, train),
        (test, elsewhere),
        (train, elsewhere),
        (train, test),
    ):
        with pytest.raises(Invalid, match="datasets"):
            distribute(house, arns)
    with pytest.raises(NotFound):
        distribute(house, (train, NOT_THERE))
    delete_dataset(house, test)
    with pytest.raises(NotReady):
        distribute(house, (train, test))
    perform_jobs(house)
    empty = a_dataset_of(house, project, None, kind="test")
    distribute(house, (train, empty))
    with pytest.raises(NotReady, match="UPDATE_IN_PROGRESS"):
        distribute(house, (train, empty))
    with pytest.raises(InUse):
        update_entries(house, empty, PETS[0])
    with pytest.raises(InUse):
        delete_dataset(house, train)


# Deleted


def test_a_deleted_dataset_is_gone(any_house: House) -> None:
    """First its status says so, then nothing is left, and the project can have another one."""
    house = any_house
    project = a_project(house)
    arn = a_dataset_of(house, project, PETS)
    delete_dataset(house, arn)
    assert state(house, arn)[0] == "DELETE_IN_PROGRESS"
    with pytest.raises(InUse):
        delete_dataset(house, arn)
    with pytest.raises(AlreadyExists):
        create_dataset(house, project, kind="train")
    perform_jobs(house)

    with pytest.raises(NotFound):
        describe_dataset(house, arn)
    assert told(house, a_dataset_of(house, project, None)) == []


def test_what_is_under_way_cannot_be_deleted(house: House) -> None:
    """A dataset that is being created must be waited for."""
    dataset = create_dataset(house, a_project(house), kind="train", manifest=put_manifest(house, PETS))
    arn = str(dataset_arn(house, dataset))

    with pytest.raises(InUse, match="CREATE_IN_PROGRESS"):
        delete_dataset(house, arn)
    with pytest.raises(NotFound):
        delete_dataset(house, NOT_THERE)
    assert perform_jobs(house) == 1
    delete_dataset(house, arn)


# Killed


class Killed(BaseException):
    """What happens to a worker."""


class MortalHeart(Heart):
    """Dies in the transaction, or between two, of its n-th word; the transaction is undone as by a kill."""

    def __init__(self, house: House, job: Job, n_words: int) -> None:
        """Lives for so many words."""
        super().__init__(house.database, job, worker=job.worker or "", clock=house.clock)
        self.n_words = n_words

    def guard(self, rows: Rows) -> None:
        """Speak, or die."""
        self._live()
        super().guard(rows)

    def end(self, rows: Rows, message: str = "") -> None:
        """End, or die."""
        self._live()
        super().end(rows, message)

    def progress(self, step: str, done: int, total: int) -> None:
        """Tell, or die."""
        self._live()
        super().progress(step, done, total)

    def _live(self) -> None:
        self.n_words -= 1
        if self.n_words < 0:
            raise Killed


def perform_until_killed(house: House, n_words: int) -> bool:
    """Begin the job that waits with a worker who dies; give the job back as a runner does: whether he died."""
    job = claim(house)
    assert job is not None
    try:
        tasks(house)[job.kind].perform(job, MortalHeart(house, job, n_words))
    except Killed:
        with house.database.write() as rows:
            registry.give_back_job(rows, registry.get_job(rows, job.id), becomes="WAITING", now_ms=house.now_ms)
        return True
    return False


def seen(house: House, *arns: str) -> list[object]:
    """Everything that can be seen of these datasets, apart from when."""
    return [(state(house, arn), list_entries(house, arn), list_labels(house, arn)) for arn in arns]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten lines make several transactions."""
    monkeypatch.setattr(entries, "BATCH", 3)
    monkeypatch.setattr(loading, "BATCH", 2)


@pytest.mark.parametrize("source", ["manifest", "copy", "distribute", "delete"])
@pytest.mark.usefixtures("small_batches")
def test_work_that_is_killed_at_any_word_is_done_all_the_same(any_house: House, source: str) -> None:
    """Killed once at each of its words, begun again each time: the outcome is that of work that nobody disturbed."""
    house = any_house
    calm = begin(house, "calm", source)
    perform_jobs(house)
    stormy = begin(house, "stormy", source)
    n_words = 0
    while perform_until_killed(house, n_words):
        n_words += 1

    assert n_words >= 4
    assert perform_jobs(house) == 0
    assert seen(house, *stormy) == seen(house, *calm)
    assert absent(house, "stormy") == absent(house, "calm") == (source == "delete")


def begin(house: House, name: str, source: str) -> tuple[str, ...]:
    """Ask for work in a project of this name: the datasets to be looked at afterwards."""
    project = a_project(house, name)
    lines = [*PETS, box_line("box.jpg", "car"), *(image_line(f"more-{number}.jpg", "cow") for number in range(20))]
    if source == "manifest":
        dataset = create_dataset(house, project, kind="train", manifest=put_manifest(house, [*lines, PETS[0]]))
        return (str(dataset_arn(house, dataset)),)
    train = a_dataset_of(house, project, lines)
    if source == "copy":
        dataset = create_dataset(house, project, kind="test", copy_of=train)
        return train, str(dataset_arn(house, dataset))
    if source == "distribute":
        test = a_dataset_of(house, project, None, kind="test")
        distribute(house, (train, test))
        return train, test
    delete_dataset(house, train)
    return ()


def absent(house: House, name: str) -> bool:
    """Whether nothing is left of a deleted dataset."""
    with house.database.read() as rows:
        project = next(item for item in registry.list_projects(rows).items if item.name == name)
        return registry.list_datasets(rows, [project.id])[project.id] == ()


@pytest.mark.usefixtures("small_batches")
def test_a_worker_that_has_lost_its_job_changes_nothing_more(any_house: House) -> None:
    """Frozen and given up for dead, it wakes after another one has finished: not a line is touched."""
    house = any_house
    arns = begin(house, "rooms", "manifest")
    job = claim(house)
    assert job is not None
    with house.database.write() as rows:
        registry.give_back_job(rows, job, becomes="WAITING", now_ms=house.now_ms)
    perform_jobs(house)
    before = seen(house, *arns)

    with pytest.raises(Stale):
        tasks(house)[job.kind].perform(job, MortalHeart(house, job, 10_000))
    assert seen(house, *arns) == before


@pytest.mark.parametrize("source", ["manifest", "distribute"])
@pytest.mark.usefixtures("small_batches")
def test_a_fault_of_the_service_is_told_as_one(house: House, source: str) -> None:
    """When work was begun often enough: FAILED with SERVICE_ERROR, and every line is where it was before."""
    arns = begin(house, "rooms", source)
    assert perform_until_killed(house, 5)
    job = claim(house)
    assert job is not None
    with house.database.write() as rows:
        tasks(house)[job.kind].fail(rows, job, "internal error, after 3 attempts")

    for arn in arns:
        dataset = describe_dataset(house, arn)
        expected = "CREATE_FAILED" if source == "manifest" else "UPDATE_FAILED"
        assert (dataset.status, dataset.code) == (expected, "SERVICE_ERROR")
        assert dataset.message == "Internal error, after 3 attempts."
    if source == "distribute":
        assert (len(told(house, arns[0])), told(house, arns[1])) == (31, [])
    for arn in arns:
        delete_dataset(house, arn)


def test_a_deletion_that_fails_is_asked_for_again(house: House) -> None:
    """There is nowhere else to go; once the dataset is gone, it is not."""
    begin(house, "rooms", "delete")
    job = claim(house)
    assert job is not None
    fail = tasks(house)[job.kind].fail
    with house.database.write() as rows:
        fail(rows, job, "it did not work")
    assert perform_jobs(house) == 1
    with pytest.raises(NotFound), house.database.write() as rows:
        fail(rows, job, "it did not work")


@pytest.mark.usefixtures("small_batches")
def test_a_dataset_that_changes_while_it_is_copied(house: House) -> None:
    """The copy would be of no moment at all: CREATE_FAILED, and so where the source is gone."""
    _, copy = begin(house, "rooms", "copy")

    class Changing(MortalHeart):
        def progress(self, step: str, done: int, total: int) -> None:
            update_entries(house, source, PETS[0])

    source = str(dataset_arn(house, dataset_of(house, "rooms", "train")))
    job = claim(house)
    assert job is not None
    tasks(house)[job.kind].perform(job, Changing(house, job, 10_000))
    assert "rooms/train was changed while it was copied" in failed(house, copy)

    again = create_dataset(house, a_project(house, "again"), kind="train", copy_of=source)
    original = dataset_of(house, "rooms", "train").id
    with house.database.write() as rows:
        registry.move_dataset(rows, original, was="UPDATE_COMPLETE", becomes="DELETE_IN_PROGRESS", now_ms=1)
    perform_jobs(house)
    assert "rooms/train cannot be copied" in failed(house, str(dataset_arn(house, again)))


def dataset_of(house: House, name: str, kind: str) -> Dataset:
    """A dataset of the project of this name."""
    with house.database.read() as rows:
        project = next(item for item in registry.list_projects(rows).items if item.name == name)
        return next(item for item in registry.list_datasets(rows, [project.id])[project.id] if item.kind == kind)


class AwayObjects:
    """A store that is away."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Whatever is asked of it."""

        def away(*given: object, **more: object) -> Any:
            raise Unavailable("the store is away")

        return away


def test_a_store_that_is_away_is_nobodys_fault(house: House) -> None:
    """A request fails and can be made again; work waits for another attempt, and the dataset with it."""
    project = a_project(house)
    manifest = put_manifest(house, PETS)
    away = replace(house, objects=AwayObjects())  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        create_dataset(away, project, kind="train", manifest=manifest)
    dataset = create_dataset(house, project, kind="train", manifest=manifest)
    job = claim(house)
    assert job is not None

    with pytest.raises(Unavailable):
        tasks(away)[job.kind].perform(job, MortalHeart(house, job, 10_000))
    assert describe_dataset(house, str(dataset_arn(house, dataset))).status == "CREATE_IN_PROGRESS"


BIG = """
    import pathlib, resource, sys
    from manifests import a_project, image_line, perform_jobs, put_manifest
    from houses import make_house
    from deconfuse.service import datasets

    def most_kib():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def lines(n_lines):
        return (image_line(f"{number:06}.jpg", f"label {number % 50}", note="x" * 150) for number in range(n_lines))

    def walk(name, n_lines, n_changed):
        project = a_project(house, name)
        manifest = put_manifest(house, lines(n_lines))
        train = datasets.create_dataset(house, project, kind="train", manifest=manifest)
        test = datasets.create_dataset(house, project, kind="test")
        perform_jobs(house)
        arns = [str(datasets.dataset_arn(house, each)) for each in (train, test)]
        datasets.update_entries(house, arns[0], b"\\n".join(lines(n_changed)))
        made = datasets.describe_dataset(house, arns[0])
        assert (made.status, made.stats.n_entries) == ("UPDATE_COMPLETE", n_lines), made
        datasets.distribute(house, arns)
        perform_jobs(house)
        n_seen = 0
        for arn in arns:
            token = ""
            while token is not None:
                page, token = datasets.list_entries(house, arn, token=token)
                n_seen += len(page)
        assert n_seen == n_lines, n_seen
        datasets.delete_dataset(house, arns[0])
        perform_jobs(house)

    folder = pathlib.Path(sys.argv[1])
    house = make_house(folder, database=f"sqlite:///{folder}/registry.db")
    walk("small", 10_000, 8_000)
    before = most_kib()
    walk("big", 60_000, 8_000)
    print(most_kib() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_manifest(tmp_path: Path) -> None:
    """60,000 lines (25 MB) are loaded, updated, distributed, listed and deleted in 16 MB more than 10,000."""
    tests = str(Path(__file__).resolve().parents[1])
    source = f"import sys; sys.path.insert(0, {tests!r})\n" + textwrap.dedent(BIG)
    done = subprocess.run([sys.executable, "-c", source, str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024

"""Images that a training elsewhere could not use: what the files of a version say, and files that say nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deconfuse.engine import unused
from deconfuse.engine.evaluation import Evaluation
from deconfuse.engine.remote import Remote, open_remote
from deconfuse.engine.trained import find_trained, read_trained
from deconfuse.errors import NotReady, Problem
from remotes import OUTPUT, REGION, Cloud, aws_variables, stub_cloud
from verdicts import judged_model

SUMMARY = (OUTPUT, "out/ManifestSummary-rooms-1.json")
TRAINING = (OUTPUT, "out/TrainingManifestWithValidation-rooms-1.json")
MODEL = judged_model()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Remote]]:
    """A stub of AWS and one client of it."""
    with pytest.MonkeyPatch.context() as monkeypatch, stub_cloud() as known:
        for name, value in aws_variables(tmp_path_factory.mktemp("user")).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield known, open_remote(endpoint_url=known.url, region=REGION)


@pytest.fixture
def cloud(service: tuple[Cloud, Remote]) -> Cloud:
    """The stub with version 1 of rooms, evaluated; 200 training images are good and 15 are none, all tests are good."""
    known, known_remote = service
    known.empty()
    known.client = known_remote
    described = known.trained("rooms", "1", summary=MODEL.summary(), snapshot=MODEL.snapshot())
    known.checked(described, [line(k) for k in range(200)] + [line(k, errors=1) for k in range(200, 215)], [line(0)])
    return known


def line(number: int, **noted: int) -> bytes:
    """A line of a manifest with validation, with so many errors or warnings."""
    said = {
        key: [{"code": f"{key[:-1].upper()}_{k}", "message": f"why {k}"} for k in range(n)] for key, n in noted.items()
    }
    return json.dumps({"source-ref": f"s3://photos/{number}.png", "kind": 1, "kind-metadata": {}} | said).encode()


def looked(cloud: Cloud, **options: Any) -> Evaluation:
    """The evaluation of version 1 of rooms."""
    return read_trained(cloud.client, find_trained(cloud.client, "rooms", "1"), **options)


@pytest.mark.parametrize("threshold", [None, "assumed"])
def test_images_that_were_not_used_are_told(cloud: Cloud, threshold: Any) -> None:
    """How many of how many, where the reasons stand, and each reason with its image; the test side has none to say."""
    found = looked(cloud, threshold=threshold)

    assert found.notes[-1] == (f"15 of 216 images could not be used; the reasons stand in s3://{OUTPUT}/{TRAINING[1]}.")
    assert len(found.problems) == 15
    assert found.problems[0] == Problem("ERROR_0", "why 0", uri="s3://photos/200.png", line=201, split="train")
    assert [key for _, key in cloud.asked if "TestingManifest" in str(key)] == []


def test_where_every_image_was_used_nothing_is_said(cloud: Cloud) -> None:
    """One small file is read, and none of the large ones."""
    cloud.checked(cloud.projects["rooms"][0], [line(0), line(1)], [line(2)])
    found = looked(cloud)

    assert found.problems == ()
    assert [note for note in found.notes if "could not be used" in note] == []
    assert cloud.count("GetObject") == 3


def test_both_sides_are_told(cloud: Cloud) -> None:
    """A bad test image and an ignored training image."""
    cloud.checked(cloud.projects["rooms"][0], [line(0), line(1, warnings=1)], [line(2), line(3, errors=2)])
    found = looked(cloud)

    assert found.notes[-1].startswith("2 of 4 images could not be used; the reasons stand in s3://results/out/Training")
    assert " and s3://results/out/TestingManifestWithValidation-rooms-1.json." in found.notes[-1]
    assert [(problem.split, problem.level, problem.line) for problem in found.problems] == [
        ("train", "warning", 2),
        ("test", "error", 2),
        ("test", "error", 2),
    ]


@pytest.mark.parametrize("data", [None, b"", b"<html>", b'{"statistics": {}}'])
def test_a_manifest_summary_that_cannot_be_read_is_a_sentence(cloud: Cloud, data: bytes | None) -> None:
    """The matrix is there all the same, and the note names the file."""
    cloud.objects.pop(SUMMARY) if data is None else cloud.objects.update({SUMMARY: data})
    found = looked(cloud)

    assert (found.n_images, found.problems) == (60, ())
    assert found.notes[-1].startswith("It is not known whether every image could be used: ")
    assert f"s3://{OUTPUT}/{SUMMARY[1]}" in found.notes[-1]


def test_a_manifest_with_validation_that_is_gone(cloud: Cloud) -> None:
    """The number is there, and why there is no more."""
    del cloud.objects[TRAINING]
    found = looked(cloud)

    assert found.problems == ()
    assert found.notes[-2].startswith("15 of 216 images could not be used")
    assert found.notes[-1].startswith("Not all reasons are listed here: object in S3 not found: ")


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xfe", b'{"errors": 7}\n[]\n', b"\x89PNG\r\n\x1a\n" * 100])
def test_a_manifest_with_validation_that_is_none(cloud: Cloud, data: bytes) -> None:
    """What lies there may be anything."""
    cloud.objects[TRAINING] = data

    assert looked(cloud).problems == ()


N_BYTES = sum(len(line(k)) + 1 for k in range(200)) + 4 * (len(line(200, errors=1)) + 1)
"""Of the training lines up to the fourth bad one."""


@pytest.mark.parametrize(
    ("limit", "most", "n_read", "said"),
    [
        ("MAX_PROBLEMS", 4, 4, "there are more than 4"),
        ("MAX_MANIFEST_BYTES", N_BYTES, 4, f"has more than {N_BYTES:,} bytes"),
        ("MAX_LINE_BYTES", 100, 0, "has a line of more than 100 bytes"),
    ],
)
def test_large_files_are_read_up_to_a_limit(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, n_read: int, said: str
) -> None:
    """What was found until then is told, and that it is not all."""
    monkeypatch.setattr(unused, limit, most)
    found = looked(cloud)

    assert len(found.problems) == n_read
    assert said in found.notes[-1]


def test_a_service_that_names_only_some_of_the_files(cloud: Cloud) -> None:
    """Without the summary nothing is asked for; without the manifests the number stands alone."""
    described = cloud.projects["rooms"][0]
    described["TrainingDataResult"] = {"Validation": {"Assets": []}}
    assert looked(cloud).notes[-1] == "15 of 216 images could not be used."

    del described["ManifestSummary"]
    assert [note for note in looked(cloud).notes if "could not be used" in note] == []


def test_a_failed_training_names_the_files_that_say_why(cloud: Cloud) -> None:
    """Only where lines are at fault; nothing about images where none is."""
    described = cloud.projects["rooms"][0]
    described |= {"Status": "TRAINING_FAILED", "StatusMessage": "Too many lines cannot be used."}
    with pytest.raises(NotReady) as error:
        looked(cloud)
    assert str(error.value).endswith(
        f"Too many lines cannot be used. 15 of 216 images could not be used; "
        f"the reasons stand in s3://{OUTPUT}/{TRAINING[1]}."
    )

    described["StatusMessage"] = "The test images have 0 of the 4 training labels."
    cloud.checked(described, [line(0)], [line(1)])
    with pytest.raises(NotReady, match=r"training labels\.$"):
        looked(cloud)

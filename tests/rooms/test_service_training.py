"""A training, performed: what it reads, what it leaves, how it fails, and that it bears being killed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deconfuse.engine.jobs import Heart
from deconfuse.errors import Denied, Stale, Unavailable
from deconfuse.formats.evaluation import read_summary
from deconfuse.formats.predictions import read_predictions
from deconfuse.names import ObjectAddress
from deconfuse.service import projects, training, versions
from deconfuse.service.house import House
from deconfuse.service.work import tasks
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET
from deconfuse.store.registry import Job, Version
from houses import clock_of, make_house
from trainings import (
    PHOTOS,
    RESULTS,
    a_filled_dataset,
    a_shop,
    content,
    create,
    keys_in,
    make_bucket,
    perform_all,
    put_images,
    view_of,
)
from worlds import manifest_line, picture, truncated

FILES = {
    "EvaluationResultSummary-shop-1.json",
    "ManifestSummary-shop-1.json",
    "TestingGroundTruth-shop-1.json",
    "TestingManifestWithValidation-shop-1.json",
    "TrainingGroundTruth-shop-1.json",
    "TrainingManifestWithValidation-shop-1.json",
    "predictions-shop-1.parquet",
    "report-shop-1.html",
}
MODEL = {f"versions/1/{name}" for name in ("card.json", "head.safetensors", "predictions.parquet")}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house."""
    return make_house(tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, versions.VersionView]:
    """A house with one trained version, to be looked at."""
    house = make_house(tmp_path_factory.mktemp("shop"))
    return house, trained(house)


def trained(house: House, **options: Any) -> versions.VersionView:
    """A version after its training, on a project that has datasets."""
    version = create(house, a_shop(house), **options)
    perform_all(house)
    return view_of(house, version)


class _Wrapped:
    """A store that another one stands behind."""

    def __init__(self, objects: Any) -> None:
        self.objects = objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objects, name)


class Guarded(_Wrapped):
    """A store that refuses to give JPEG images."""

    def get(self, bucket: str, key: str, *args: Any, **options: Any) -> Any:
        """Get anything else."""
        if key.endswith(".jpg"):
            raise Denied(f"the store refuses s3://{bucket}/{key}")
        return self.objects.get(bucket, key, *args, **options)


def bare(house: House, name: str = "shop") -> registry.Project:
    """A project without datasets, and a bucket for results."""
    make_bucket(house, RESULTS)
    return projects.create_project(house, name)


def put_manifest(house: House, key: str, lines: list[bytes]) -> ObjectAddress:
    """A manifest beside the images."""
    house.objects.put(make_bucket(house, PHOTOS), key, b"".join(line + b"\n" for line in lines))
    return ObjectAddress(PHOTOS, key)


def on_manifests(house: House, train: list[bytes], test: list[bytes] | None = None, **options: Any) -> Version:
    """A version asked for on manifests."""
    chosen: dict[str, Any] = {"training": put_manifest(house, "train.manifest", train)}
    chosen |= {"auto_create": True} if test is None else {"testing": put_manifest(house, "test.manifest", test)}
    return create(house, bare(house), **chosen, **options)


def failed(house: House, version: Version) -> versions.VersionView:
    """The version after a training that has to fail."""
    perform_all(house)
    view = view_of(house, version)
    assert view.version.status == "TRAINING_FAILED"
    assert view.outcome.summary is None
    assert view.version.billable_seconds is None
    assert keys_in(house, OWN_BUCKET, "versions/1/card") == []
    return view


def claim(house: House) -> tuple[Job, Heart]:
    """The oldest waiting job and the heart of its worker."""
    worker = f"worker-{house.token_hex(4)}"
    with house.database.write() as rows:
        job = registry.claim_job(rows, kinds=tuple(tasks(house)), worker=worker, now_ms=house.now_ms)
    assert job is not None
    return job, Heart(house.database, job, worker=worker, clock=house.clock)


def lose(house: House, job: Job) -> None:
    """What a server does when the worker of a job has fallen silent."""
    with house.database.write() as rows:
        present = registry.get_job(rows, job.id)
        registry.give_back_job(rows, present, becomes="WAITING", now_ms=house.now_ms)


# What it leaves


def test_a_training_leaves_everything_in_its_place(shop: tuple[House, versions.VersionView]) -> None:
    """AWS's six files under their names and two of ours; the model among the service's own; nothing else stays."""
    house, view = shop

    assert view.version.status == "TRAINING_COMPLETED"
    assert view.message == "The model is ready to run."
    assert set(keys_in(house, RESULTS)) == {f"out/{name}" for name in FILES}
    assert set(keys_in(house, OWN_BUCKET)) == MODEL


def test_the_locations_told_are_those_of_the_files(shop: tuple[House, versions.VersionView]) -> None:
    """Each of them, by the name under which the API tells it."""
    outcome = shop[1].outcome

    told = {name: getattr(outcome, name).key for name in versions.Outcome.__slots__ if not name.startswith("n_")}
    assert told == {
        "summary": "out/EvaluationResultSummary-shop-1.json",
        "training_snapshot": "out/TrainingGroundTruth-shop-1.json",
        "testing_snapshot": "out/TestingGroundTruth-shop-1.json",
        "manifest_summary": "out/ManifestSummary-shop-1.json",
        "training_validation": "out/TrainingManifestWithValidation-shop-1.json",
        "testing_validation": "out/TestingManifestWithValidation-shop-1.json",
        "report": "out/report-shop-1.html",
        "predictions": "out/predictions-shop-1.parquet",
    }
    assert (outcome.n_labels, outcome.n_training, outcome.n_testing) == (2, 16, 6)


def test_the_summary_names_the_version_and_its_f1(shop: tuple[House, versions.VersionView]) -> None:
    """The ARN in the file is the version's own, to the millisecond; so is the number told."""
    house, view = shop
    summary = read_summary(content(house, RESULTS, "out/EvaluationResultSummary-shop-1.json"))

    assert summary.project_version_arn == view.arn
    assert json.loads(content(house, OWN_BUCKET, "versions/1/card.json"))["arn"] == view.arn
    assert view.version.f1 == summary.f1 == 1.0


def test_the_images_are_named_as_the_lines_name_them(shop: tuple[House, versions.VersionView]) -> None:
    """By their s3:// addresses, in snapshots and predictions."""
    house = shop[0]
    table = read_predictions(content(house, RESULTS, "out/predictions-shop-1.parquet"))
    first = json.loads(content(house, RESULTS, "out/TestingGroundTruth-shop-1.json").splitlines()[0])

    assert f"s3://{PHOTOS}/leaf/0.jpg" in table.column("uri").to_pylist()
    assert first["source-ref"].startswith(f"s3://{PHOTOS}/")
    assert content(house, OWN_BUCKET, "versions/1/predictions.parquet") == content(
        house, RESULTS, "out/predictions-shop-1.parquet"
    )


def test_the_time_billed_is_the_time_it_took(house: House) -> None:
    """Not the time it waited for its turn; begun seconds count."""
    version = create(house, a_shop(house))
    clock_of(house).advance(hours=3)
    perform_all(house)
    view = view_of(house, version)

    assert view.version.billable_seconds == 1
    assert view.version.ended_ms is not None
    assert view.version.ended_ms - version.created_ms > 3 * 3600 * 1000


@pytest.mark.parametrize("prefix", ["", "a/b", "out/", "/"])
def test_any_prefix_is_possible_and_told_as_given(house: House, prefix: str) -> None:
    """The keys have one slash between prefix and file, and none at their beginning."""
    view = trained(house, output=(RESULTS, prefix))
    head = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""

    assert view.given.prefix == prefix
    assert set(keys_in(house, RESULTS)) == {head + name for name in FILES}


def test_results_of_an_earlier_training_are_replaced(house: House) -> None:
    """A version that is made again under its name writes over the files of the first."""
    make_bucket(house, RESULTS)
    house.objects.put(RESULTS, "out/EvaluationResultSummary-shop-1.json", b"old")
    view = trained(house)
    assert read_summary(content(house, RESULTS, "out/EvaluationResultSummary-shop-1.json")).f1 == view.version.f1


# What it reads


def test_without_a_test_dataset_a_fifth_is_held_back(house: House) -> None:
    """By the pipeline's own split; the version says that the test images were chosen."""
    version = create(house, a_shop(house, train={"leaf": 20, "sun": 20}, test={}))
    perform_all(house)
    view = view_of(house, version)

    assert view.version.status == "TRAINING_COMPLETED"
    assert view.given.auto_create
    assert (view.outcome.n_training or 0) + (view.outcome.n_testing or 0) == 40
    assert 4 <= (view.outcome.n_testing or 0) <= 14


def test_a_training_on_two_manifests(house: House) -> None:
    """Each side keeps its lines; what was given is told again."""
    train, test = put_images(house, {"leaf": 6, "sun": 6}), put_images(house, {"leaf": 2, "sun": 2}, start=50)
    version = on_manifests(house, train, test)
    perform_all(house)
    view = view_of(house, version)

    assert view.version.status == "TRAINING_COMPLETED"
    assert view.given.training == ObjectAddress(PHOTOS, "train.manifest")
    assert view.given.testing == ObjectAddress(PHOTOS, "test.manifest")
    assert (view.outcome.n_training, view.outcome.n_testing) == (12, 4)


def test_a_training_on_one_manifest_chooses_its_test_images(house: House) -> None:
    """AutoCreate."""
    version = on_manifests(house, put_images(house, {"leaf": 10, "sun": 10}))
    perform_all(house)
    view = view_of(house, version)

    assert view.given.auto_create
    assert (view.outcome.n_training or 0) + (view.outcome.n_testing or 0) == 20
    assert 2 <= (view.outcome.n_testing or 0) <= 8


def test_the_lines_of_the_beginning_are_trained_on(house: House) -> None:
    """A dataset that changes between two attempts changes nothing: the lines were kept."""
    project = a_shop(house)
    version = create(house, project)
    job, heart = claim(house)
    training.keep_lines(house, version, job, heart)
    with house.database.write() as rows:
        more = [registry.EntryRow("s3://photos/new.jpg", manifest_line("new.jpg", ("leaf",)), ("leaf",))]
        registry.put_entries(rows, registry.list_datasets(rows, [project.id])[project.id][0].id, more)
    lose(house, job)
    perform_all(house)

    assert view_of(house, version).outcome.n_training == 16


def test_a_dataset_that_is_changed_is_waited_for(house: House) -> None:
    """A distribution that began between the request and the training ends first."""
    project = a_shop(house)
    version = create(house, project)
    with house.database.write() as rows:
        dataset = registry.list_datasets(rows, [project.id])[project.id][0]
        registry.move_dataset(
            rows, dataset.id, was="CREATE_COMPLETE", becomes="UPDATE_IN_PROGRESS", now_ms=house.now_ms
        )
    job, heart = claim(house)
    said: list[str] = []

    def say(percent: float, message: str) -> None:
        said.append(message)
        if "waiting" in message:
            with house.database.write() as rows:
                was, becomes = "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"
                registry.move_dataset(rows, dataset.id, was=was, becomes=becomes, now_ms=house.now_ms)  # type: ignore[arg-type]

    heart.say = say  # type: ignore[method-assign]
    training.perform_train(house, job, heart)

    assert "Training: waiting for a dataset that is being changed." in said
    assert view_of(house, version).version.status == "TRAINING_COMPLETED"


def test_a_dataset_that_was_removed_ends_the_training(house: House) -> None:
    """With a sentence."""
    project = a_shop(house)
    version = create(house, project)
    with house.database.write() as rows:
        dataset = registry.list_datasets(rows, [project.id])[project.id][0]
        registry.move_dataset(
            rows, dataset.id, was="CREATE_COMPLETE", becomes="DELETE_IN_PROGRESS", now_ms=house.now_ms
        )
    assert "removed before the training began" in failed(house, version).message


# What is wrong with lines and images


def test_bad_images_are_told_line_by_line(house: House) -> None:
    """Up to a fifth of the lines may be bad: missing, damaged, too small, no image; the rest is trained on."""
    lines = put_images(house, {"leaf": 12, "sun": 12})
    bad = {
        "cut.jpg": truncated(picture("leaf", 900, format="JPEG"), keep=0.3),
        "small.jpg": picture("leaf", 901, format="JPEG", side=32),
        "text.jpg": b"no image at all",
    }
    for key, data in bad.items():
        house.objects.put(PHOTOS, key, data)
    lines += [manifest_line(key, ("leaf",)) for key in (*bad, "missing.jpg")]
    version = on_manifests(house, lines, put_images(house, {"leaf": 2, "sun": 2}, start=50))
    perform_all(house)

    told = [json.loads(line) for line in content(house, RESULTS, f"out/{VALIDATION}").splitlines()]
    wrong = {line["source-ref"].rpartition("/")[2]: line["errors"][0]["code"] for line in told if "errors" in line}
    view = view_of(house, version)
    said = f"4 of 32 images are not used; s3://{RESULTS}/out/{VALIDATION} says why."
    assert (view.version.status, view.message) == ("TRAINING_COMPLETED", f"The model is ready to run. {said}")
    assert wrong == dict.fromkeys((*bad, "missing.jpg"), "ERROR_INVALID_IMAGE")
    summary = json.loads(content(house, RESULTS, "out/ManifestSummary-shop-1.json"))["statistics"]["training"]
    assert (summary["valid_json_lines"], summary["invalid_json_lines"]) == (24, 4)
    assert summary["error_json_line_indices"] == [25, 26, 27, 28]


VALIDATION = "TrainingManifestWithValidation-shop-1.json"


def test_an_image_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Its size decides, before a byte of it is fetched."""
    limits = replace(make_house(tmp_path / "a").limits.images, max_bytes=20_000)
    house = make_house(tmp_path / "b", images=limits)
    lines = put_images(house, {"leaf": 8, "sun": 8})
    house.objects.put(PHOTOS, "large.jpg", picture("leaf", 900, format="JPEG", side=600) + bytes(20_000))
    version = on_manifests(house, [*lines, manifest_line("large.jpg", ("leaf",))])
    perform_all(house)

    assert view_of(house, version).version.status == "TRAINING_COMPLETED"
    last = json.loads(content(house, RESULTS, f"out/{VALIDATION}").splitlines()[-1])
    assert "an image may have 20,000" in last["errors"][0]["message"]


def test_the_services_own_bucket_is_nobodys_images(house: House) -> None:
    """A line that names it finds nothing there."""
    lines = put_images(house, {"leaf": 8, "sun": 8})
    house.objects.put(OWN_BUCKET, "versions/99/secret.jpg", picture("leaf", 900, format="JPEG"))
    lines.append(manifest_line("versions/99/secret.jpg", ("leaf",), bucket=OWN_BUCKET))
    version = on_manifests(house, lines)
    view = failed(house, version)
    assert "buckets" in view.message  # images of two buckets

    told = content(house, RESULTS, f"out/{VALIDATION}").splitlines()[-1]
    assert b"bucket not found" in told


def test_a_failed_training_leaves_what_says_why(house: House) -> None:
    """The manifest summary and both manifests with what was wrong; no model, no evaluation."""
    version = on_manifests(house, put_images(house, {"leaf": 8}))
    view = failed(house, version)

    assert view.message == "The training images have 1 label; at least 2 are needed."
    assert {key.partition("/")[2].split("-")[0] for key in keys_in(house, RESULTS)} == {
        "ManifestSummary",
        "TestingManifestWithValidation",
        "TrainingManifestWithValidation",
    }
    assert view.outcome.manifest_summary == ObjectAddress(RESULTS, "out/ManifestSummary-shop-1.json")
    assert view.outcome.training_validation is not None
    assert view.outcome.training_snapshot is None
    assert keys_in(house, OWN_BUCKET) == []


UNTRAINABLE: dict[str, tuple[Callable[[House], list[bytes]], str]] = {
    "one bad line in four": (
        lambda house: [*put_images(house, {"leaf": 3, "sun": 3}), b"{", b"["],
        "up to 20 % may be bad",
    ),
    "no image is there": (
        lambda house: [manifest_line(f"{n}.jpg", ("leaf" if n % 2 else "sun",)) for n in range(9)],
        "No training image can be read, such as s3://photos/0.jpg (key not found: 0.jpg)",
    ),
    "nothing is labelled": (
        lambda house: [manifest_line(f"{n}.jpg", ()) for n in range(9)],
        "no label",
    ),
    "two buckets": (
        lambda house: put_images(house, {"leaf": 4}) + put_images(house, {"sun": 4}, bucket="other"),
        "in 2 buckets (other, photos)",
    ),
    "boxes only": (
        lambda house: [
            json.dumps(
                {
                    "source-ref": "s3://photos/1.jpg",
                    "b": {
                        "image_size": [{"width": 640, "height": 480, "depth": 3}],
                        "annotations": [{"class_id": 0, "top": 1, "left": 1, "width": 50, "height": 50}],
                    },
                    "b-metadata": {
                        "objects": [{"confidence": 1}],
                        "class-map": {"0": "Echo"},
                        "type": "groundtruth/object-detection",
                        "human-annotated": "yes",
                        "creation-date": "2013-11-18T02:53:27",
                    },
                }
            ).encode()
        ],
        "object detection is not available",
    ),
    "no line": (lambda house: [], "The training manifest is empty."),
}


@pytest.mark.parametrize("case", UNTRAINABLE)
def test_what_cannot_be_trained_says_why(house: House, case: str) -> None:
    """In the version's status message, as a sentence without codes."""
    make, words = UNTRAINABLE[case]
    view = failed(house, on_manifests(house, make(house)))

    assert words in view.message
    assert view.message.endswith(".")
    assert "ERROR_" not in view.message


def test_test_images_of_other_labels_are_refused(house: House) -> None:
    """Less than half of the training labels in the test images."""
    train = put_images(house, {"leaf": 4, "sun": 4, "sea": 4})
    version = on_manifests(house, train, put_images(house, {"apple": 4}, start=50))
    assert "at least half are needed" in failed(house, version).message


def codes_in_summary(house: House) -> dict[str, list[str]]:
    """The codes in the manifest summary: of the training lines, of the test lines, and of both."""
    told = json.loads(content(house, RESULTS, "out/ManifestSummary-shop-1.json"))
    errors = {side: told["statistics"][side]["errors"] for side in ("training", "testing")} | {"both": told["errors"]}
    return {side: [error["code"] for error in found] for side, found in errors.items() if found}


TOO_MANY_INVALID = "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"


@pytest.mark.parametrize("has_datasets", [False, True])
@pytest.mark.parametrize("counts", [{"leaf": 1, "sun": 1}, {"leaf": 2, "sea": 1, "sun": 1}])
def test_a_split_that_leaves_too_few_test_images(house: House, counts: dict[str, int], has_datasets: bool) -> None:
    """Less than half of the labels would be tested: AWS's code, and what helps; no summary without a matrix."""
    if has_datasets:
        version = create(house, a_shop(house, train=counts, test={}))
    else:
        version = on_manifests(house, put_images(house, counts))
    view = failed(house, version)

    assert f"of the {len(counts)} training labels; at least half are needed" in view.message
    assert "two images" in view.message
    assert codes_in_summary(house) == {"both": ["ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"]}
    assert view.outcome.manifest_summary is not None


@pytest.mark.parametrize("counts", [{"leaf": 2, "sun": 2}, {"leaf": 2, "sun": 1}])
def test_two_images_of_half_of_the_labels_are_enough(house: House, counts: dict[str, int]) -> None:
    """One of two trains and one tests, wherever their hashes would put them."""
    version = on_manifests(house, put_images(house, counts))
    perform_all(house)
    view = view_of(house, version)

    assert view.version.status == "TRAINING_COMPLETED"
    assert view.outcome.n_testing == sum(count == 2 for count in counts.values())


@pytest.mark.parametrize("bucket", ["nobodys", OWN_BUCKET])
@pytest.mark.parametrize("side", ["training", "testing"])
def test_images_in_a_bucket_that_is_not_there(house: House, side: str, bucket: str) -> None:
    """The bucket is named, and the side it belongs to; lines are told of as always."""
    good = put_images(house, {"leaf": 4, "sun": 4})
    gone = [manifest_line(f"{n}.jpg", ("leaf" if n % 2 else "sun",), bucket=bucket) for n in range(4)]
    view = failed(house, on_manifests(house, *((gone, good) if side == "training" else (good, gone))))

    assert f"bucket not found: {bucket}" in view.message
    assert codes_in_summary(house)[side][:2] == ["ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET", TOO_MANY_INVALID]
    manifest = f"out/{side.capitalize()}ManifestWithValidation-shop-1.json"
    assert content(house, RESULTS, manifest).count(b"ERROR_INVALID_IMAGE") == 4


def test_images_that_may_not_be_read(house: House) -> None:
    """A store that refuses every image of the bucket, whether it is there or not."""
    version = on_manifests(house, put_images(house, {"leaf": 4, "sun": 4}))
    view = failed(replace(house, objects=Guarded(house.objects)), version)

    assert "the store refuses s3://photos/leaf/0.jpg" in view.message
    assert codes_in_summary(house)["training"][:2] == ["ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET", TOO_MANY_INVALID]


def test_a_bucket_of_which_one_image_may_not_be_read(house: House) -> None:
    """The others are not there, which shows that the bucket can be read: the keys are wrong."""
    lines = [manifest_line(key, (key[:4],)) for key in ("leaf/0.jpg", "leaf/1.png", "suns/2.png")]
    make_bucket(house, PHOTOS)
    view = failed(replace(house, objects=Guarded(house.objects)), on_manifests(house, lines))

    assert "s3://photos/leaf/1.png (key not found: leaf/1.png)" in view.message
    assert codes_in_summary(house)["training"][0] == "ERROR_FAILED_IMAGES_S3_COPY"


def test_a_side_of_which_no_image_is_there(house: House) -> None:
    """The bucket can be read, and has none of them; one that is there makes it a matter of single lines."""
    missing = [manifest_line(f"{n}.jpg", ("leaf" if n % 2 else "sun",)) for n in range(4)]
    failed(house, on_manifests(house, put_images(house, {"leaf": 4, "sun": 4}), missing))
    assert codes_in_summary(house)["testing"] == ["ERROR_FAILED_IMAGES_S3_COPY", TOO_MANY_INVALID]

    other = projects.create_project(house, "other")
    a_filled_dataset(house, other, "train", [*missing, *put_images(house, {"leaf": 1})])
    version = create(house, other, output=(RESULTS, "more"))
    perform_all(house)
    assert view_of(house, version).message.startswith("4 of 5 training lines cannot be used")


def test_images_that_are_there_and_are_none(house: House) -> None:
    """What was read and cannot be decoded was not lost on its way."""
    for n in range(4):
        house.objects.put(make_bucket(house, PHOTOS), f"{n}.jpg", b"no image at all")
    lines = [manifest_line(f"{n}.jpg", ("leaf" if n % 2 else "sun",)) for n in range(4)]
    assert "4 of 4 training lines cannot be used" in failed(house, on_manifests(house, lines)).message


@pytest.mark.parametrize(
    "address",
    [
        ObjectAddress(PHOTOS, "missing.manifest"),
        ObjectAddress("nobodys", "train.manifest"),
        ObjectAddress(OWN_BUCKET, "versions/1/train.manifest"),
        ObjectAddress(PHOTOS, "there.manifest", "3sL4kqtJlcpXroDTDmJ"),
        ObjectAddress(PHOTOS, ""),
    ],
)
def test_a_manifest_that_cannot_be_read(house: House, address: ObjectAddress) -> None:
    """The training fails, naming it; nothing is put into the output, as AWS does after an error of a whole file."""
    put_manifest(house, "there.manifest", [])
    view = failed(house, create(house, bare(house), training=address, auto_create=True))

    assert str(address) in view.message
    assert keys_in(house, RESULTS) == []


def test_a_manifest_above_the_limits(tmp_path: Path) -> None:
    """In bytes, before it is read; in lines, while it is."""
    limits = make_house(tmp_path / "a").limits.manifest
    house = make_house(tmp_path / "b", manifest=replace(limits, max_bytes=500))
    assert "500 are possible" in failed(house, on_manifests(house, put_images(house, {"leaf": 3, "sun": 3}))).message

    house = make_house(tmp_path / "c", manifest=replace(limits, max_lines=5))
    assert "more than 5 lines" in failed(house, on_manifests(house, put_images(house, {"leaf": 3, "sun": 3}))).message


def test_a_line_of_megabytes_is_one_bad_line(house: House) -> None:
    """It is cut off while it is read."""
    lines = put_images(house, {"leaf": 8, "sun": 8})
    version = on_manifests(house, [*lines, b'{"source-ref": "' + b"x" * 5_000_000 + b'"}'], lines)
    perform_all(house)
    assert view_of(house, version).version.status == "TRAINING_COMPLETED"
    summary = json.loads(content(house, RESULTS, "out/ManifestSummary-shop-1.json"))["statistics"]["training"]
    assert summary["error_json_line_indices"] == [17]


def test_empty_datasets_say_what_helps(house: House) -> None:
    """An empty training dataset; an empty test dataset beside a good one."""
    project = bare(house)
    a_filled_dataset(house, project, "train", [])
    assert failed(house, create(house, project)).message == "The training dataset is empty."

    other = bare(house, "other")
    a_filled_dataset(house, other, "train", put_images(house, {"leaf": 8, "sun": 8}))
    a_filled_dataset(house, other, "test", [])
    version = create(house, other, "2")
    perform_all(house)
    assert view_of(house, version).message.startswith("The test dataset is empty; distribute")


# Where it cannot write


def test_an_output_bucket_that_is_not_there(house: House) -> None:
    """Known before an image is read."""
    view = failed(house, create(house, a_shop(house), output=("no-such-bucket", "out")))
    assert view.message.startswith("The results cannot be written to the output bucket no-such-bucket")


def test_the_services_own_bucket_is_nobodys_output(house: House) -> None:
    """Nobody writes over the models of others."""
    view = failed(house, create(house, a_shop(house), output=(OWN_BUCKET, "versions/1")))
    assert "output bucket" in view.message


@pytest.mark.parametrize("prefix", ["ours", "ours/versions/1", "ours/"])
def test_the_services_place_in_an_s3_is_nobodys_output(house: House, prefix: str) -> None:
    """Under its real name; beside it results are welcome."""
    away = replace(house, own_place=ObjectAddress(RESULTS, "ours"))
    view = failed(away, create(away, a_shop(away), output=(RESULTS, prefix)))

    assert "s3://results/ours. That place is the service's own" in view.message
    assert keys_in(house, RESULTS) == []


def test_a_linked_output_bucket(house: House, tmp_path: Path) -> None:
    """A folder that is shown is not written to."""
    (tmp_path / "folder").mkdir()
    assert house.local is not None
    house.local.link("shown", tmp_path / "folder")
    assert "read-only" in failed(house, create(house, a_shop(house), output=("shown", "out"))).message


def test_a_bucket_that_goes_during_the_training(house: House) -> None:
    """The training fails with a sentence, and not as an error of the service."""
    version = create(house, a_shop(house), output=("passing", "out"))
    assert house.local is not None
    house.local.create_bucket("passing")
    local = house.local

    class Leaving(_Wrapped):
        def put(self, bucket: str, key: str, *args: Any, **options: Any) -> Any:
            if bucket == "passing" and local.bucket("passing"):
                local.delete_bucket("passing")
            return local.put(bucket, key, *args, **options)

    view = failed(replace(house, objects=Leaving(house.objects)), version)
    assert "output bucket passing" in view.message


# Killed, and taken up again


class _Killed(BaseException):
    """The process is no more."""


class Mortal(_Wrapped):
    """A store whose process is killed at its n-th word, before or after that is carried out."""

    def __init__(self, objects: Any, *, at: int, is_after: bool) -> None:
        super().__init__(objects)
        self.at = at
        self.is_after = is_after
        self.n = 0

    def put(self, *args: Any, **options: Any) -> Any:
        """Put, unless this is the end."""
        return self._word(lambda: self.objects.put(*args, **options))

    def delete(self, *args: Any) -> Any:
        """Delete, unless this is the end."""
        return self._word(lambda: self.objects.delete(*args))

    def _word(self, act: Callable[[], Any]) -> Any:
        self.n += 1
        if self.n == self.at and not self.is_after:
            raise _Killed
        result = act()
        if self.n == self.at:
            raise _Killed
        return result


def left(house: House) -> dict[str, bytes]:
    """Every object of results and models but the evaluation summary, which tells the time of its making."""
    keys = [(bucket, key) for bucket in (RESULTS, OWN_BUCKET) for key in keys_in(house, bucket)]
    return {
        f"{bucket}/{key}": content(house, bucket, key) for bucket, key in keys if "EvaluationResultSummary-" not in key
    }


@pytest.mark.parametrize("is_after", [False, True])
def test_a_training_killed_anywhere_is_taken_up_again(tmp_path: Path, is_after: bool) -> None:
    """Before and after every word to the store: nobody is told of results before all are there; they are the same."""
    whole = make_house(tmp_path / "whole")
    version = create(whole, a_shop(whole))
    perform_all(whole)
    expected = left(whole)

    house = make_house(tmp_path / "killed")
    again = create(house, a_shop(house))
    n_killed = 0
    for at in range(1, 100):
        mortal = replace(house, objects=Mortal(house.objects, at=at, is_after=is_after))
        job, heart = claim(house)
        with contextlib.suppress(_Killed):
            training.perform_train(mortal, job, heart)
            break
        n_killed += 1
        if view_of(house, again).version.status == "TRAINING_COMPLETED":
            break  # all that was left was to tidy up
        assert view_of(house, again).version.outcome is None
        lose(house, job)
        assert view_of(house, again).message == "The training was interrupted and waits to be taken up again."

    assert n_killed >= 11
    assert (again.created_ms, view_of(house, again).version.f1) == (version.created_ms, 1.0)
    found = left(house)
    assert found.keys() - {f"{OWN_BUCKET}/versions/1/train.manifest", f"{OWN_BUCKET}/versions/1/test.manifest"} == (
        expected.keys()
    )
    assert [key for key, data in expected.items() if found[key] != data] == []


def test_lines_of_another_version_of_the_same_number_are_not_trained_with(house: House) -> None:
    """They are left over from a version that a restored database knows nothing of."""
    for name in ("train.manifest", "test.manifest"):
        house.objects.put(OWN_BUCKET, f"versions/1/{name}", b"{}\n", metadata={"version": "another"})

    assert trained(house).outcome.n_training == 16


def test_a_worker_that_lost_its_job_changes_nothing(house: House) -> None:
    """Another one has it: not one more artefact is put, and the version's status is not its affair."""
    version = create(house, a_shop(house))
    job, heart = claim(house)
    lose(house, job)
    second, _ = claim(house)
    with pytest.raises(Stale):
        training.perform_train(house, job, heart)

    assert keys_in(house, RESULTS) == []
    assert view_of(house, version).version.status == "TRAINING_IN_PROGRESS"
    with house.database.read() as rows:
        assert registry.get_job(rows, second.id).status == "RUNNING"


def test_of_two_workers_one_ends_the_training(house: House) -> None:
    """One that wakes up when the other has ended is told so, and what that wrote stays."""
    version = create(house, a_shop(house))
    job, heart = claim(house)
    lose(house, job)
    perform_all(house)
    before = left(house)
    with pytest.raises(Stale):
        training.perform_train(house, job, heart)

    assert view_of(house, version).version.status == "TRAINING_COMPLETED"
    assert left(house).items() >= before.items()


def test_a_store_that_is_away_sends_the_job_back(house: House) -> None:
    """Three times; the fourth nobody tries, and the version says so."""

    class Away(_Wrapped):
        def put(self, *args: Any, **options: Any) -> Any:
            raise Unavailable("the disk is full")

    version = create(house, a_shop(house))
    jobs = perform_all(replace(house, objects=Away(house.objects)))

    assert [job.n_attempts for job in jobs] == [1, 2, 3]
    view = view_of(house, version)
    assert view.version.status == "TRAINING_FAILED"
    assert "the disk is full" in view.message


# What is told meanwhile


def test_a_training_that_waits_says_so(house: House) -> None:
    """Before anybody has taken its job."""
    assert view_of(house, create(house, a_shop(house))).message == "The training waits for its turn."


def test_a_training_under_way_says_how_far_it_is(house: House) -> None:
    """Each step with the percentage of the whole, which never falls, and the time left; the job tells it."""
    version = create(house, a_shop(house))
    job, heart = claim(house)
    told: list[tuple[float, str]] = []

    def say(percent: float, message: str) -> None:
        told.append((percent, message))
        clock_of(house).advance(seconds=2)
        with house.database.write() as rows:
            now_ms = heart.now_ms()
            registry.beat(rows, job.id, worker=heart.worker, now_ms=now_ms, percent=percent, message=message)
        assert view_of(house, version).message == message

    heart.say = say  # type: ignore[method-assign]
    training.perform_train(house, job, heart)

    percents = [percent for percent, _ in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    words = " ".join(message for _, message in told)
    for step in ("reading the manifests", "reading images", "fitting", "evaluating", "seconds left."):
        assert step in words
    assert "100 %" not in words


@pytest.mark.parametrize(
    ("step", "percent", "seconds", "text"),
    [
        ("reading images", 0.0, 0.0, "Training: reading images, 0 % done."),
        ("reading images", 0.5, 9.0, "Training: reading images, 0 % done."),
        ("reading images", 10.0, 9.0, "Training: reading images, 10 % done, about 81 seconds left."),
        ("fitting", 80.0, 7200.0, "Training: fitting, 80 % done, about 30 minutes left."),
        ("evaluating", 100.0, 60.0, "Training: evaluating, 99 % done, about 1 second left."),
    ],
)
def test_the_words_of_progress(step: str, percent: float, seconds: float, text: str) -> None:
    """Nothing is said of the time before it can be known."""
    assert training.progress_text(step, percent, seconds) == text


def test_every_step_of_the_pipeline_has_its_share(house: House) -> None:
    """The steps follow each other without a gap, from 0 to 100."""
    seen: list[str] = []
    version = create(house, a_shop(house))
    job, heart = claim(house)
    training.keep_lines(house, version, job, heart)
    intake = training.read_lines(house, version, is_divided=True)
    sink = training._Sink(house, version, heart)
    with _watched(seen):
        training.train(house, version, intake, sink, heart)

    assert set(seen) == set(training.SHARES)
    edges = list(training.SHARES.values())
    assert [edges[0][0], *(high for _, high in edges)] == [low for low, _ in edges] + [100.0]


@contextlib.contextmanager
def _watched(seen: list[str]) -> Iterator[None]:
    """Writes down every step that is told."""
    told = training.Progress.__call__

    def call(self: training.Progress, step: str, done: int, total: int) -> None:
        seen.append(step)
        told(self, step, done, total)

    training.Progress.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        training.Progress.__call__ = told  # type: ignore[method-assign]


# Real images


def test_handwritten_digits_through_the_house(tmp_path: Path) -> None:
    """300 real digits: trained, started, and asked of images that it has not seen; nine of ten are right."""
    import io

    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    house = make_house(tmp_path)
    make_bucket(house, RESULTS)
    make_bucket(house, PHOTOS)
    digits = load_digits()
    images = []
    for pixels in digits.images[:400]:
        target = io.BytesIO()
        whole = Image.fromarray((pixels * 15.9375).astype(np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
        whole.save(target, "JPEG", quality=92)
        images.append(target.getvalue())
    lines = []
    for number, data in enumerate(images[:300]):
        key = f"{digits.target[number]}/{number:04}.jpg"
        house.objects.put(PHOTOS, key, data)
        lines.append(manifest_line(key, (str(digits.target[number]),)))
    project = projects.create_project(house, "digits")
    a_filled_dataset(house, project, "train", lines)
    version = create(house, project)
    perform_all(house)
    view = view_of(house, version)
    versions.start_version(house, view.arn, min_units=1)
    perform_all(house)

    answers = [versions.detect(house, view.arn, image=data, min_confidence=0, max_results=1) for data in images[300:]]
    hits = sum(answer[0][0] == str(truth) for answer, truth in zip(answers, digits.target[300:400], strict=True))
    assert hits >= 90
    assert view.version.f1 is not None
    assert view.version.f1 > 0.8


def test_what_a_dataset_notes_on_lines_is_not_trained_with(house: House) -> None:
    """A line of the greatest length is one still, and what was wrong with a line is found out anew."""
    (short,) = put_images(house, {"leaf": 1})
    room = 100_000 - len(manifest_line("leaf/0.jpg", ["leaf"], note=""))
    longest = manifest_line("leaf/0.jpg", ["leaf"], note="x" * room)
    project = projects.create_project(house, "shop")
    make_bucket(house, RESULTS)
    noted = [longest[:-1] + b',"cl-metadata":{"is_labeled":true}}']
    note = b'"cl-errors":[{"code":"ERROR_INVALID_IMAGE","message":"m"}],"cl-metadata":{"is_labeled":true}'
    noted += [short[:-1] + b"," + note + b"}"]
    with house.database.write() as rows:
        dataset = registry.add_dataset(rows, project.id, "train", now_ms=house.now_ms, status="CREATE_COMPLETE")
        entries = [registry.EntryRow(f"s3://{PHOTOS}/{number}", line) for number, line in enumerate(noted)]
        registry.put_entries(rows, dataset.id, entries)
    version = create(house, project)
    with house.database.write() as rows:
        job = registry.claim_job(rows, kinds=["train"], worker="w", now_ms=house.now_ms)
    assert job is not None
    training.keep_lines(house, version, job, Heart(house.database, job, worker="w", clock=house.clock))

    kept = content(house, OWN_BUCKET, f"versions/{version.id}/train.manifest").splitlines()
    assert (kept[0], json.loads(kept[1])) == (longest, json.loads(short))

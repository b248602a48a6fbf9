"""Started versions: start, stop, and what they say of an image."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deconfuse.engine.predictor import Models
from deconfuse.errors import (
    BadImage,
    Damaged,
    DeconfuseError,
    ImageTooLarge,
    InUse,
    Invalid,
    LimitExceeded,
    NotFound,
    NotReady,
    TooFast,
)
from deconfuse.names import ObjectAddress
from deconfuse.service import serving, versions
from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET
from houses import make_house
from registries import at_once
from trainings import PHOTOS, a_running_version, a_stall, a_trained_version, jpeg, perform_all, view_of
from worlds import bomb, drawing, encode, picture, tiny_backbone, truncated, turned

SUN = picture("sun", 77, format="JPEG")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house."""
    return make_house(tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, str]:
    """A house, and the ARN of a version that runs in it, to be asked."""
    house = make_house(tmp_path_factory.mktemp("running"))
    return house, a_running_version(house)


def only(house: House) -> versions.VersionView:
    """The only version."""
    with house.database.read() as rows:
        version = registry.get_version(rows, 1)
    return view_of(house, version)


def restarted(house: House, **options: int) -> House:
    """The same house after its server was started again: nothing is loaded."""
    bounds = {"most_models": 2, "most_at_once": 2, "most_waiting": 8, **options}
    return replace(house, models=Models(tiny_backbone, **bounds))


# Start and stop


def test_a_version_is_started_and_stopped_and_started(house: House) -> None:
    """Any time again; each status has its sentence."""
    arn = a_trained_version(house)
    for _ in range(2):
        assert versions.start_version(house, arn, min_units=2, max_units=3) == "STARTING"
        assert only(house).version.status == "STARTING"
        perform_all(house)
        view = only(house)
        assert (view.version.status, view.message) == ("RUNNING", "The model is running.")
        assert (view.version.min_units, view.version.max_units) == (2, 3)
        assert versions.stop_version(house, arn) == "STOPPING"
        assert (only(house).version.status, only(house).message) == ("STOPPED", "The model is stopped.")


def test_starting_takes_less_than_a_second(house: House) -> None:
    """From the request until it runs, with the backbone at hand."""
    arn = a_trained_version(house)
    began = time.perf_counter()
    versions.start_version(house, arn, min_units=1)
    perform_all(house)

    assert time.perf_counter() - began < 1
    assert only(house).version.status == "RUNNING"


@pytest.mark.parametrize("status", sorted(registry.VERSION_MOVES))
def test_which_versions_can_be_started_and_stopped(house: House, status: str) -> None:
    """Started: those that have a model and stand still. Stopped: the running ones."""
    from sqlalchemy import update

    from deconfuse.store.schema import VERSIONS

    arn = a_trained_version(house)
    with house.database.write() as rows:
        rows.execute(update(VERSIONS).values(status=status))
    if status == "RUNNING":
        assert versions.stop_version(house, arn) == "STOPPING"
        return
    step = "wait until it is RUNNING, then stop it" if status == "STARTING" else "it does not run"
    with pytest.raises(InUse, match=f"is {status}; {step}$"):
        versions.stop_version(house, arn)
    if status in {"TRAINING_COMPLETED", "STOPPED", "COPYING_COMPLETED", "FAILED"}:
        assert versions.start_version(house, arn, min_units=1) == "STARTING"
    else:
        with pytest.raises(InUse, match=rf"is {status}; (wait until it is [A-Z_]+|it|its StatusMessage)\b"):
            versions.start_version(house, arn, min_units=1)


@pytest.mark.parametrize("status", sorted(set(registry.VERSION_MOVES) - {"RUNNING"}))
def test_what_helps_where_a_version_cannot_be_asked(house: House, status: str) -> None:
    """To start it, if it can be started; to wait for that, if it will be; nothing else is promised."""
    from sqlalchemy import update

    from deconfuse.store.schema import VERSIONS

    steps = {
        **dict.fromkeys(registry.STARTABLE, "start it, and ask again when it is RUNNING"),
        "TRAINING_IN_PROGRESS": "wait until it is TRAINING_COMPLETED, then start it",
        "COPYING_IN_PROGRESS": "wait until it is COPYING_COMPLETED, then start it",
        "STARTING": "wait until it is RUNNING",
        "STOPPING": "wait until it is STOPPED, then start it",
        "TRAINING_FAILED": "its StatusMessage says why; train another one",
        "COPYING_FAILED": "its StatusMessage says why; copy it again under another name",
        "DELETING": "it is being deleted",
    }
    arn = a_trained_version(house)
    with house.database.write() as rows:
        rows.execute(update(VERSIONS).values(status=status))
    with pytest.raises(NotReady, match=f"the version 1 is {status}; {steps[status]}$"):
        versions.detect(house, arn, image=SUN)


@pytest.mark.parametrize(
    ("units", "error", "words"),
    [
        ({"min_units": 0}, Invalid, "minInferenceUnits"),
        ({"min_units": 2, "max_units": 1}, Invalid, "maxInferenceUnits"),
        ({"min_units": 6}, LimitExceeded, "5 are possible"),
        ({"min_units": 1, "max_units": 6}, LimitExceeded, "5 are possible"),
    ],
)
def test_units_that_are_not_possible(
    house: House, units: dict[str, int], error: type[DeconfuseError], words: str
) -> None:
    """They mean nothing here, and are checked as AWS checks them."""
    arn = a_trained_version(house)
    with pytest.raises(error, match=words):
        versions.start_version(house, arn, **units)
    assert only(house).version.status == "TRAINING_COMPLETED"


def test_so_many_versions_run_at_once(tmp_path: Path) -> None:
    """One that stops makes room."""
    house = make_house(tmp_path, running=1)
    project = a_stall(house)
    first, second = a_trained_version(house, "1", project=project), a_trained_version(house, "2", project=project)
    versions.start_version(house, first, min_units=1)
    with pytest.raises(LimitExceeded, match="1 versions are running"):
        versions.start_version(house, second, min_units=1)
    perform_all(house)
    versions.stop_version(house, first)
    versions.start_version(house, second, min_units=1)


DAMAGES: dict[str, tuple[str, bytes | None]] = {
    "no card": ("card.json", None),
    "no head": ("head.safetensors", None),
    "a card that is none": ("card.json", b"{}"),
    "another head": ("head.safetensors", b"\0" * 100),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_model_that_cannot_be_loaded(house: House, case: str) -> None:
    """The version is FAILED with a sentence, and can be started again once the files are back."""
    name, data = DAMAGES[case]
    arn = a_trained_version(house)
    key = f"versions/1/{name}"
    with house.objects.get(OWN_BUCKET, key) as found:
        whole = b"".join(found)
    house.objects.delete(OWN_BUCKET, key)
    if data is not None:
        house.objects.put(OWN_BUCKET, key, data)
    versions.start_version(house, arn, min_units=1)
    perform_all(house)
    assert only(house).version.status == "FAILED"
    assert only(house).message.endswith(".")

    house.objects.put(OWN_BUCKET, key, whole)
    versions.start_version(house, arn, min_units=1)
    perform_all(house)
    assert only(house).version.status == "RUNNING"


def test_a_model_of_another_backbone_is_not_started(house: House) -> None:
    """Its numbers would mean nothing; the version says to train again."""
    from dataclasses import replace as changed

    from deconfuse.vision.backbone import Backbone

    arn = a_trained_version(house)
    tiny = tiny_backbone()
    other = Backbone(changed(tiny.card, resize="crop"), tiny.model)
    elsewhere = replace(house, models=Models(lambda: other, most_models=2, most_at_once=1, most_waiting=1))
    versions.start_version(elsewhere, arn, min_units=1)
    perform_all(elsewhere)

    assert only(house).version.status == "FAILED"
    assert "train it again" in only(house).message


# Asked


def test_an_image_is_judged(running: tuple[House, str]) -> None:
    """Bytes and object alike; the surest first, from 0 to 100."""
    house, arn = running
    said = versions.detect(house, arn, image=SUN, min_confidence=0)
    house.objects.put(PHOTOS, "new/sun.jpg", SUN)

    assert [label for label, _ in said] == ["sun", "leaf"]
    assert sum(percent for _, percent in said) == pytest.approx(100, abs=1e-3)
    assert versions.detect(house, arn, address=ObjectAddress(PHOTOS, "new/sun.jpg"), min_confidence=0) == said


def test_the_answer_is_the_models(running: tuple[House, str]) -> None:
    """A hundred times its probabilities as single precision writes them."""
    house, arn = running
    model = serving.load(house, 1)
    scores = model.scores(SUN)
    said = dict(versions.detect(house, arn, image=SUN, min_confidence=0))

    assert said == {
        label: float(score * np.float32(100)) for label, score in zip(model.head.labels, scores, strict=True)
    }


SCORES = np.array([0.5, 0.25, 0.75, 0.0], np.float32)
LABELS = ("a", "b", "c", "d")
THRESHOLDS = (0.5, 0.5, 0.9, 0.0)


@pytest.mark.parametrize(
    ("min_confidence", "most", "labels"),
    [
        (None, None, "ad"),  # each label's own threshold; one that is reached exactly is reached
        (None, 1, "a"),
        (0, None, "cabd"),
        (0.0, 2, "ca"),
        (25, None, "cab"),
        (25.0001, None, "ca"),
        (75, None, "c"),
        (75.5, None, ""),
        (100, None, ""),
        (0, 0, ""),
        (0, 99, "cabd"),
    ],
)
def test_which_labels_are_told(min_confidence: float | None, most: int | None, labels: str) -> None:
    """No confidence: the assumed thresholds. One: that alone. 0: all labels. At most so many, the surest."""
    said = serving.surest(LABELS, SCORES, THRESHOLDS, min_confidence=min_confidence, most=most)
    assert "".join(label for label, _ in said) == labels


def test_equal_confidences_keep_the_order_of_the_labels() -> None:
    """Whoever asks again gets the same answer."""
    said = serving.surest("abc", np.full(3, 0.25, np.float32), (0, 0, 0), min_confidence=None, most=None)
    assert [label for label, _ in said] == ["a", "b", "c"]


def test_no_confidence_is_above_100() -> None:
    """Whatever rounding does."""
    said = serving.surest("ab", np.array([np.nextafter(1, 2), 1], np.float32), (0, 0), min_confidence=0, most=None)
    assert max(percent for _, percent in said) <= 100


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"image": SUN, "address": ObjectAddress(PHOTOS, "x.jpg")},
        {"image": SUN, "min_confidence": -1},
        {"image": SUN, "min_confidence": 100.1},
        {"image": SUN, "min_confidence": float("nan")},
        {"image": SUN, "max_results": -1},
    ],
)
def test_a_question_that_cannot_be_meant(running: tuple[House, str], question: dict[str, Any]) -> None:
    """Neither image nor object, or both; numbers outside their range."""
    house, arn = running
    with pytest.raises(Invalid):
        versions.detect(house, arn, **question)


def png(width: int, height: int) -> bytes:
    """A PNG of this size."""
    return encode(Image.new("RGB", (width, height), "red"))


BAD: dict[str, tuple[bytes, type[DeconfuseError]]] = {
    "nothing": (b"", BadImage),
    "text": (b"this is no image", BadImage),
    "a GIF": (encode(drawing("sun"), "GIF"), BadImage),
    "a WebP": (encode(drawing("sun"), "WEBP"), BadImage),
    "half a JPEG": (truncated(SUN), BadImage),
    "half a PNG": (truncated(picture("sun")), BadImage),
    "63 pixels high": (png(100, 63), BadImage),
    "63 pixels wide": (png(63, 100), BadImage),
    "4,097 pixels wide": (png(4097, 70), ImageTooLarge),
    "a bomb": (bomb(), ImageTooLarge),
    "more than 4 MB": (SUN + bytes(4 << 20), ImageTooLarge),
}


@pytest.mark.parametrize("case", BAD)
def test_an_image_that_is_refused(running: tuple[House, str], case: str) -> None:
    """By its content, whatever it is called; what is too large has an error of its own."""
    house, arn = running
    data, error = BAD[case]
    with pytest.raises(error) as refused:
        versions.detect(house, arn, image=data)
    assert isinstance(refused.value, ImageTooLarge) == (error is ImageTooLarge)


GOOD = {
    "4 MB": lambda: SUN + bytes((4 << 20) - len(SUN)),
    "64 pixels": lambda: picture("sun", side=64),
    "4,096 pixels and a ratio of 64": lambda: png(4096, 64),
    "turned": lambda: turned("sun"),
    "grey": lambda: jpeg(drawing("sun").convert("L")),
    "CMYK": lambda: jpeg(drawing("sun").convert("CMYK")),
    "progressive": lambda: jpeg(drawing("sun"), progressive=True),
    "with transparency": lambda: encode(drawing("sun").convert("RGBA")),
}


@pytest.mark.parametrize("case", GOOD)
def test_an_image_that_is_taken(running: tuple[House, str], case: str) -> None:
    """At the limits, and in every form that a PNG or JPEG can have."""
    house, arn = running
    assert len(versions.detect(house, arn, image=GOOD[case](), min_confidence=0)) == 2


def test_objects_may_be_larger_than_bytes(running: tuple[House, str]) -> None:
    """Up to 15 MB; one byte more is refused without being read. Who sends too many bytes is told of objects."""
    house, arn = running
    house.objects.put(PHOTOS, "large.jpg", SUN + bytes((15 << 20) - len(SUN)))
    house.objects.put(PHOTOS, "larger.jpg", SUN + bytes((15 << 20) - len(SUN) + 1))

    assert versions.detect(house, arn, address=ObjectAddress(PHOTOS, "large.jpg"))
    with pytest.raises(ImageTooLarge, match=r"larger\.jpg"):
        versions.detect(house, arn, address=ObjectAddress(PHOTOS, "larger.jpg"))
    with pytest.raises(ImageTooLarge, match=r"5,242,880 bytes, .* 4,194,304; put it into a bucket .* S3Object$"):
        versions.detect(house, arn, image=bytes(5 << 20))


@pytest.mark.parametrize(
    "address",
    [
        ObjectAddress(PHOTOS, "missing.jpg"),
        ObjectAddress("nobodys", "x.jpg"),
        ObjectAddress("BAD_NAME", "x.jpg"),
        ObjectAddress(OWN_BUCKET, "versions/1/card.json"),
        ObjectAddress(PHOTOS, "leaf/0.jpg", "an-old-version"),
        ObjectAddress(PHOTOS, "x" * 2000),
    ],
)
def test_an_object_that_is_not_there(running: tuple[House, str], address: ObjectAddress) -> None:
    """Or that nobody may ask for: the kind says that an object is meant."""
    house, arn = running
    with pytest.raises(NotFound) as missing:
        versions.detect(house, arn, address=address)
    assert missing.value.kind == "object"


def test_the_only_version_of_an_object_may_be_named(running: tuple[House, str]) -> None:
    """As S3 names it."""
    house, arn = running
    assert versions.detect(house, arn, address=ObjectAddress(PHOTOS, "sun/0.jpg", "null"))


def test_a_version_that_does_not_run_says_nothing(house: House) -> None:
    """Before it is started, while it is, and after it was stopped; each time with its status."""
    arn = a_trained_version(house)
    with pytest.raises(NotReady, match="TRAINING_COMPLETED"):
        versions.detect(house, arn, image=SUN)
    versions.start_version(house, arn, min_units=1)
    with pytest.raises(NotReady, match="STARTING"):
        versions.detect(house, arn, image=SUN)
    perform_all(house)
    versions.stop_version(house, arn)
    with pytest.raises(NotReady, match="STOPPED"):
        versions.detect(house, arn, image=SUN)


def test_a_server_that_was_started_again_goes_on(house: House) -> None:
    """A running version is loaded at the first question; so it is on another server."""
    arn = a_running_version(house)
    again = restarted(house)
    assert len(again.models) == 0

    assert versions.detect(again, arn, image=SUN) == versions.detect(house, arn, image=SUN)
    assert len(again.models) == 1


def test_a_version_stopped_by_one_server_is_silent_on_the_other(house: House) -> None:
    """Although that has it loaded."""
    arn = a_running_version(house)
    other = restarted(house)
    versions.detect(other, arn, image=SUN)
    versions.stop_version(house, arn)
    with pytest.raises(NotReady):
        versions.detect(other, arn, image=SUN)


def test_more_versions_run_than_are_kept(house: House) -> None:
    """Each answers; the one that was not asked for longest is loaded again."""
    project = a_stall(house)
    arns = [a_trained_version(house, str(number), project=project) for number in range(3)]
    for arn in arns:
        versions.start_version(house, arn, min_units=1)
    perform_all(house)
    small = restarted(house, most_models=1)

    assert len({versions.detect(small, arn, image=SUN) for arn in arns * 2}) == 1
    assert len(small.models) == 1


def test_a_running_version_whose_files_are_gone(house: House) -> None:
    """Our own fault, and not a missing object of the request."""
    arn = a_running_version(house)
    house.objects.delete(OWN_BUCKET, "versions/1/head.safetensors")
    with pytest.raises(Damaged):
        versions.detect(restarted(house), arn, image=SUN)


def test_more_questions_than_are_answered(house: House) -> None:
    """Those that find too many waiting are sent away; the others are answered."""
    arn = a_running_version(house)
    busy = restarted(house, most_at_once=1, most_waiting=1)
    expected = versions.detect(busy, arn, image=SUN)
    with busy.models.turn():
        waits = threading.Thread(target=lambda: versions.detect(busy, arn, image=SUN))
        waits.start()
        deadline = time.monotonic() + 5
        while not busy.models._waiting and time.monotonic() < deadline:
            time.sleep(0.001)
        with pytest.raises(TooFast):
            versions.detect(busy, arn, image=SUN)
    waits.join()
    assert versions.detect(busy, arn, image=SUN) == expected


def test_many_ask_at_once(house: House) -> None:
    """And all get the same answer, whoever loads the model."""
    arn = a_running_version(house)
    fresh = restarted(house)
    found = at_once(8, lambda _: versions.detect(fresh, arn, image=SUN, min_confidence=0))
    assert len({repr(answer) for answer in found}) == 1
    assert not isinstance(found[0], DeconfuseError)


def test_asking_costs_little_more_than_the_model(tmp_path: Path) -> None:
    """Less than a millisecond, with the database on a disk: the best of many, for the machine has other work."""
    house = make_house(tmp_path, database=f"sqlite:///{tmp_path}/rows.db")
    arn = a_running_version(house)
    model = serving.load(house, 1)

    def quickest(act: Any) -> float:
        times = []
        for _ in range(60):
            began = time.perf_counter()
            act()
            times.append(time.perf_counter() - began)
        return statistics.median(sorted(times)[:20])

    bare = quickest(lambda: model.scores(SUN, limits=house.limits.images))
    asked = quickest(lambda: versions.detect(house, arn, image=SUN))
    assert asked - bare < 0.001

"""Started versions: start one, stop one, and what it says of an image.

A version that is RUNNING is answered by every server on the same database: whichever is asked and has not loaded it
yet, because it was started on another one, or because the server itself was started again, loads it then. Whether it
runs is asked of the database each time, so that a stopped version is silent everywhere at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.engine.jobs import Heart
from deconfuse.engine.predictor import Predictor
from deconfuse.errors import Damaged, ImageTooLarge, InUse, Invalid, LimitExceeded, NotFound, NotReady
from deconfuse.learn.bundle import CARD_NAME, HEAD_NAME
from deconfuse.names import ObjectAddress, parse_version_arn
from deconfuse.service.house import House
from deconfuse.service.projects import check_here
from deconfuse.service.results import RUNNING, find_version, own_key, read_image, sentence
from deconfuse.store import registry
from deconfuse.store.objects import OWN_BUCKET, read_all
from deconfuse.store.registry import STARTABLE, Job, Rows

MODEL_BYTES = 1 << 30
"""No card and no head is larger."""

STARTING = "The model is being started."

_TO_ASK = {
    **dict.fromkeys(STARTABLE, "start it, and ask again when it is RUNNING"),
    "TRAINING_IN_PROGRESS": "wait until it is TRAINING_COMPLETED, then start it",
    "COPYING_IN_PROGRESS": "wait until it is COPYING_COMPLETED, then start it",
    "STOPPING": "wait until it is STOPPED, then start it",
}
"""What is to be done before a version can be asked, by its status."""

Found = tuple[tuple[str, float], ...]
"""Labels with their confidence, 0 to 100, the surest first."""


def start_version(house: House, arn: str, *, min_units: int, max_units: int | None = None) -> Literal["STARTING"]:
    """Start a version, and answer its status; it is RUNNING as soon as its model is loaded.

    Args:
        house: where it is.
        arn: of the version.
        min_units: inference units, which mean nothing here and are told again.
        max_units: the most of them.

    Raises:
        Invalid: `arn` is not the ARN of a version, or the units are not possible.
        NotFound: there is no such version.
        InUse: it is in no state in which it can be started.
        LimitExceeded: more units than a version may have, or as many versions run as may.
    """
    _check_units(house, min_units, max_units)
    with house.database.write() as rows:
        version = find_version(house, rows, "projectVersionArn", arn)
        most = house.limits.running
        registry.start_version(rows, version.id, min_units=min_units, max_units=max_units, message=STARTING, limit=most)
        registry.add_job(rows, "start-version", noun="version", subject_id=version.id, now_ms=house.now_ms)
    house.wake()
    return "STARTING"


def _check_units(house: House, min_units: int, max_units: int | None) -> None:
    if min_units < 1:
        raise Invalid("minInferenceUnits", f"{min_units} is not possible; a version runs on 1 or more")
    if max_units is not None and max_units < min_units:
        raise Invalid("maxInferenceUnits", f"{max_units} is less than the {min_units} of minInferenceUnits")
    most = house.limits.units
    if 0 < most < max(min_units, max_units or 0):
        asked = max(min_units, max_units or 0)
        raise LimitExceeded(f"{asked} inference units are asked for; {most} are possible (--max-units of the server)")


def perform_start_version(house: House, job: Job, heart: Heart) -> None:
    """Load the model of the version that the job is about.

    Raises:
        BadData: the model cannot be loaded, and why.
        Stale: the job is no longer this worker's.
    """
    load(house, job.subject_id)
    with house.database.write() as rows:
        registry.move_version(rows, job.subject_id, was="STARTING", becomes="RUNNING", message=RUNNING)
        heart.end(rows)


def fail_start_version(house: House, rows: Rows, job: Job, message: str) -> None:
    """Write that the version cannot be started, and why."""
    registry.move_version(rows, job.subject_id, was="STARTING", becomes="FAILED", message=sentence(message))


def stop_version(house: House, arn: str) -> Literal["STOPPING"]:
    """Stop a version, and answer STOPPING; images in work are finished, and no more are answered.

    Raises:
        Invalid: `arn` is not the ARN of a version.
        NotFound: there is no such version.
        InUse: it is not RUNNING.
    """
    with house.database.write() as rows:
        version = find_version(house, rows, "projectVersionArn", arn)
        if version.status != "RUNNING":
            step = "wait until it is RUNNING, then stop it" if version.status == "STARTING" else "it does not run"
            raise InUse(f"the version {version.name} is {version.status}; {step}")
        registry.move_version(rows, version.id, was="RUNNING", becomes="STOPPING")
        registry.move_version(rows, version.id, was="STOPPING", becomes="STOPPED", message="The model is stopped.")
    house.models.forget(version.id)
    return "STOPPING"


def load(house: House, version_id: int) -> Predictor:
    """The model of a version, loaded where it is not.

    Raises:
        Damaged: its files are gone, or are not what they should be.
        BadData: it was trained on another backbone than this server has.
    """

    def read(name: str) -> bytes:
        return read_all(house.objects, OWN_BUCKET, own_key(version_id, name), limit_bytes=MODEL_BYTES)

    def read_both() -> tuple[bytes, bytes]:
        try:
            return read(CARD_NAME), read(HEAD_NAME)
        except NotFound as error:
            raise Damaged(f"the model of the version {version_id}", f"it is not complete: {error}") from error

    return house.models.get(version_id, read_both)


def detect(
    house: House,
    arn: str,
    *,
    image: bytes | None = None,
    address: ObjectAddress | None = None,
    min_confidence: float | None = None,
    max_results: int | None = None,
) -> Found:
    """What a running version says of an image.

    Args:
        house: where it runs.
        arn: of the version.
        image: the bytes of a PNG or JPEG; or
        address: where they lie.
        min_confidence: labels from this confidence on, 0 to 100, whatever their thresholds; 0 gives all labels. None
            gives those that reach their own assumed threshold.
        max_results: at most so many, the surest.

    Raises:
        Invalid: no image, or two, or a number that is not possible.
        NotFound: there is no such version; or no such object or bucket, where its kind says so.
        NotReady: the version is not RUNNING.
        Denied: the object may not be read.
        ImageTooLarge: more bytes or pixels than allowed.
        BadImage: anything else that keeps the image from being read.
        TooFast: too many images are waiting.
    """
    _check_question(image, address, min_confidence, max_results)
    named = parse_version_arn("projectVersionArn", arn)
    check_here(house, named)
    with house.database.read() as rows:
        version_id, status = registry.find_status(rows, named)
    if status != "RUNNING":
        raise NotReady(registry.version_in_the_way(named.version, status, _TO_ASK))
    data, most = image, house.limits.detect_bytes
    if data is not None and 0 < most < len(data):
        why = f"the image has {len(data):,} bytes, and one in a request may have {most:,}; put it into a bucket and"
        raise ImageTooLarge(f"{why} name it as S3Object")
    if data is None:
        assert address is not None
        data, most = read_image(house, address), house.limits.images.max_bytes
    model = load(house, version_id)
    with house.models.turn():
        # The sides alone decide here: the ratio between them is a rule for datasets.
        scores = model.scores(data, limits=replace(house.limits.images, max_bytes=most, max_ratio=0))
    return surest(model.head.labels, scores, model.thresholds, min_confidence=min_confidence, most=max_results)


def surest(
    labels: Sequence[str],
    scores: NDArray[np.float32],
    thresholds: Sequence[float],
    *,
    min_confidence: float | None,
    most: int | None,
) -> Found:
    """(label, confidence 0 to 100) of each label that is sure enough, the surest first; equals in their order.

    Args:
        labels: K names.
        scores: float32[K], 0 to 1.
        thresholds: K assumed thresholds, which decide where `min_confidence` is None.
        min_confidence: 0 to 100; a confidence that equals it is enough.
        most: at most so many; None gives all of them.

    Example:
        >>> surest(["a", "b"], np.float32([0.25, 0.75]), [0.2, 0.9], min_confidence=None, most=None)
        (('a', 25.0),)
        >>> surest(["a", "b"], np.float32([0.25, 0.75]), [0.2, 0.9], min_confidence=0, most=None)
        (('b', 75.0), ('a', 25.0))
    """
    confidences = scores.astype(np.float32) * np.float32(100)
    if min_confidence is None:
        is_sure = scores.astype(np.float64) >= np.asarray(thresholds, dtype=np.float64)
    else:
        is_sure = confidences >= np.float32(min_confidence)
    order = [k for k in np.argsort(-confidences, kind="stable") if is_sure[k]]
    return tuple((labels[k], min(float(confidences[k]), 100.0)) for k in order[:most])


def _check_question(
    image: bytes | None, address: ObjectAddress | None, min_confidence: float | None, max_results: int | None
) -> None:
    if (image is None) == (address is None):
        raise Invalid("image", "give either the bytes of an image or the object that holds them")
    if min_confidence is not None and not 0 <= min_confidence <= 100:
        raise Invalid("minConfidence", f"{min_confidence} is not a number from 0 to 100")
    if max_results is not None and max_results < 0:
        raise Invalid("maxResults", f"{max_results} is less than 0")

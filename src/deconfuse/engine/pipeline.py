"""The training story, from start to end, in one file.

    intake ─ embed ─ admit ─ divide ─ learn ─ predictions ─ artefacts ─ card

One direction. Data comes in as an `Intake`, everything that is made leaves through a `Sink`, and `card.json` is put
last: without a card there is no run. Nothing is decided here that another room could decide; this file says in which
order, and what happens when the data does not allow to go on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse import names
from deconfuse.engine import artefacts
from deconfuse.engine.artefacts import Identity, Sample
from deconfuse.engine.cache import EmbeddingCache
from deconfuse.engine.embeddings import Embedded, embed
from deconfuse.engine.imports import Intake
from deconfuse.engine.review import Row, review
from deconfuse.engine.sinks import Sink
from deconfuse.errors import LimitExceeded, NotBuilt, Problem, Untrainable
from deconfuse.formats.manifest import AWS_LIMITS, Entry, ManifestLimits
from deconfuse.formats.predictions import write_predictions
from deconfuse.formats.validation import content_problems
from deconfuse.learn.bundle import write_bundle
from deconfuse.learn.head import Head
from deconfuse.learn.trial import Trial, holdout, run_trial
from deconfuse.measure.curves import assumed_thresholds
from deconfuse.measure.labels import indicator
from deconfuse.measure.matrix import DENSE_LIMIT
from deconfuse.tables import predictions_schema
from deconfuse.vision.backbone import Backbone

Progress = Callable[[str, int, int], None]
"""progress(step, done, total): the step in words, what is done of it, and how much there is."""


def silent(step: str, done: int, total: int) -> None:
    """The progress of nobody looking."""


def train(
    intake: Intake,
    sink: Sink,
    *,
    identity: Identity,
    backbone: Backbone,
    cache: EmbeddingCache,
    threads: int,
    clock: Callable[[], datetime],
    limits: ManifestLimits = AWS_LIMITS,
    progress: Progress = silent,
) -> None:
    """Train on `intake` and put every artefact of the run into `sink`, `card.json` last.

    Args:
        intake: labelled images, as they were read.
        sink: takes what is made.
        identity: what the run is called.
        backbone: makes embeddings of images.
        cache: keeps them.
        threads: images in work at once; results do not depend on it.
        clock: the time, with its zone.
        limits: of manifests.
        progress: told what is done.

    Raises:
        Untrainable: fewer than two labels, nothing usable, more than 20 % unusable, a test set whose labels are not
            those of the training images, or what `intake` refuses; with every problem found. The validation files are
            in the sink by then.
        NotBuilt: the images carry boxes only.
        LimitExceeded: more labels than a confusion matrix holds; no image was read.
    """
    refuse_boxes(intake.entries)
    usable = [entry for entry in intake.entries if entry.is_usable]
    refuse_many_labels(usable)
    embedded = embed(
        [entry.uri or "" for entry in usable],
        intake.fetch,
        backbone=backbone,
        cache=cache,
        limits=intake.limits,
        progress=lambda done, total: progress("reading images", done, total),
        threads=threads,
        lines=[entry.line for entry in usable],
        splits=[entry.split for entry in usable],
    )
    is_divided = any(entry.split is not None for entry in intake.entries)
    samples = admit(usable, embedded)
    samples = samples if is_divided else divide(samples)
    problems = collect_problems(intake, embedded, samples)
    errors = content_errors(intake, samples, is_divided=is_divided, limits=limits)
    for name, data in artefacts.validation_files(intake.entries, samples, problems, errors=errors, identity=identity):
        sink.put(name, data)
    if errors:
        raise Untrainable(errors[0].code, errors[0].message, (*problems, *errors[1:]))

    labels = tuple(sorted({label for sample in samples for label in sample.labels}, key=names.natural_key))
    multi_label = any(len(sample.labels) > 1 for sample in samples)
    trial, test_scores = learn(samples, embedded, labels, multi_label=multi_label, threads=threads, progress=progress)

    progress("evaluating", 0, 2)
    training = [sample.labels for sample in samples if sample.split == "train"]
    thresholds = assumed_thresholds(trial.probabilities, indicator(training, labels, "labels"))
    predictions = predictions_table(samples, trial, test_scores, thresholds, labels, multi_label=multi_label)
    card = make_card(
        intake, samples, problems, identity=identity, backbone=backbone, trial=trial, thresholds=thresholds
    )
    bundle = write_bundle(trial.head, card)
    for name, data in artefacts.evaluation_files(predictions, thresholds, identity=identity, ended=clock()):
        sink.put(name, data)
    sink.put("predictions.parquet", write_predictions(predictions))
    progress("evaluating", 1, 2)
    page = artefacts.report_page(predictions, bundle["card.json"], identity=identity, cache=cache, fetch=intake.fetch)
    sink.put("report.html", page)
    sink.put("head.safetensors", bundle["head.safetensors"])
    sink.put("card.json", bundle["card.json"])
    sink.finish()
    progress("evaluating", 2, 2)


def refuse_boxes(entries: Sequence[Entry]) -> None:
    """Return unless the only labels are on bounding boxes.

    Raises:
        NotBuilt: no entry has a label of its own, and some have boxes.
    """
    n_boxes = sum(entry.n_boxes for entry in entries)
    if n_boxes and not any(entry.labels for entry in entries):
        why = f"the manifest holds {n_boxes:,} bounding boxes and no image-level labels"
        raise NotBuilt("IMAGES", f"{why}; object detection is not available, only image classification")


def unused_boxes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A sentence that counts the bounding boxes a manifest holds beside its labels, if any."""
    n_boxes = sum(entry.n_boxes for entry in entries)
    n_only = sum(bool(entry.n_boxes) and not entry.labels for entry in entries)
    if not n_boxes:
        return ()
    left_out = f"; {n_only:,} {'line that holds' if n_only == 1 else 'lines that hold'} nothing else left out"
    boxes = f"{n_boxes:,} bounding {'box' if n_boxes == 1 else 'boxes'}"
    return (f"{boxes} not used, for object detection is not available{left_out if n_only else ''}",)


def refuse_many_labels(entries: Iterable[Entry]) -> None:
    """Return unless the labels are more than the matrix of an evaluation, and AWS's list of its cells, can hold.

    Raises:
        LimitExceeded: they are.
    """
    n_labels = len({label for entry in entries for label in entry.labels})
    if n_labels > DENSE_LIMIT:
        raise LimitExceeded(
            f"the images have {n_labels:,} labels, and a training takes up to {DENSE_LIMIT:,}; "
            "put labels together, or leave some out"
        )


def admit(entries: Sequence[Entry], embedded: Embedded) -> list[Sample]:
    """The entries whose image could be read, in an order that depends on their content only."""
    samples = [
        Sample(entry, sha256, row, entry.split or "train")
        for entry, sha256, row in zip(entries, embedded.sha256, embedded.row_of, strict=True)
        if sha256 is not None and row is not None
    ]
    return sorted(samples, key=lambda sample: (sample.sha256, sample.labels, sample.uri, sample.split))


def divide(samples: list[Sample]) -> list[Sample]:
    """The samples with the side that the hashes of their images decide."""
    sides = holdout([(sample.sha256, sample.labels) for sample in samples])
    return [replace(sample, split=side) for sample, side in zip(samples, sides, strict=True)]


def collect_problems(intake: Intake, embedded: Embedded, samples: Sequence[Sample]) -> tuple[Problem, ...]:
    """Everything found wrong: with files, lines and images, and what only all samples together show."""
    rows = [
        Row(sample.uri, sample.sha256, sample.labels, sample.split, sample.entry.line, embedded.facts[sample.row])
        for sample in samples
    ]
    of_lines = [problem for entry in intake.entries for problem in entry.problems]
    return (*intake.problems, *of_lines, *embedded.problems, *review(rows), *unlearnable(samples))


def unlearnable(samples: Sequence[Sample]) -> tuple[Problem, ...]:
    """A warning for each label that only test images have."""
    trained = {label for sample in samples if sample.split == "train" for label in sample.labels}
    tested = Counter(label for sample in samples if sample.split == "test" for label in sample.labels)
    return tuple(
        Problem(
            "WARNING_LABEL_WITHOUT_TRAINING_IMAGES",
            f"the label {label!r} has {tested[label]:,} test images and no training image; it is never predicted",
            level="warning",
        )
        for label in sorted(tested.keys() - trained, key=names.natural_key)
    )


def content_errors(
    intake: Intake, samples: Sequence[Sample], *, is_divided: bool, limits: ManifestLimits
) -> tuple[Problem, ...]:
    """Why no model can be trained, under AWS's codes; nothing where one can.

    Args:
        intake: what was read.
        samples: what can be used of it, with the sides.
        is_divided: whether the sides were given, and not decided by hashes.
        limits: how many labels a manifest may have.
    """
    entries = {side: [e for e in intake.entries if (e.split or "train") == side] for side in ("train", "test")}
    labels = {side: {label for s in samples if s.split == side for label in s.labels} for side in entries}
    found = content_problems(
        labels["train"],
        labels["test"] if (entries["test"] if is_divided else intake.needs_test) else None,
        is_chosen=not is_divided,
        training=artefacts.count_entries(entries["train"], samples),
        testing=artefacts.count_entries(entries["test"], samples),
        limits=limits if intake.kind == "manifest" else replace(limits, max_labels=0),
    )
    return (*intake.errors(), *found)


def learn(
    samples: Sequence[Sample],
    embedded: Embedded,
    labels: tuple[str, ...],
    *,
    multi_label: bool,
    threads: int,
    progress: Progress,
) -> tuple[Trial, NDArray[np.float32]]:
    """(the trial on the training samples, float32[n, K] probabilities of the test samples)."""
    training = [sample for sample in samples if sample.split == "train"]
    tested = [sample for sample in samples if sample.split == "test"]
    trial = run_trial(
        embedded.vectors[[sample.row for sample in training]],
        indicator([sample.labels for sample in training], labels, "labels"),
        [sample.sha256 for sample in training],
        labels=labels,
        multi_label=multi_label,
        progress=lambda done, total: progress("fitting", done, total),
        threads=threads,
    )
    return trial, head_scores(trial.head, embedded.vectors[[sample.row for sample in tested]])


def head_scores(head: Head, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[n, K]: the head's probabilities, the same bits whatever the number of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        return head.probabilities(vectors)


def predictions_table(
    samples: Sequence[Sample],
    trial: Trial,
    test_scores: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    labels: tuple[str, ...],
    *,
    multi_label: bool,
) -> pa.Table:
    """PREDICTIONS: training images out-of-fold, test images by the final head, in the order of their uris."""
    scores = np.empty((len(samples), len(labels)), np.float32)
    is_test = np.array([sample.split == "test" for sample in samples])
    scores[~is_test] = trial.probabilities
    scores[is_test] = test_scores
    fold = np.zeros(len(samples), np.int8)
    fold[~is_test] = trial.fold
    best = scores.argmax(axis=1) if len(samples) else np.empty(0, np.intp)
    if multi_label:
        reached = scores >= thresholds
        predicted: list[Any] = [[labels[k] for k in np.flatnonzero(row)] for row in reached]
        true: list[Any] = [list(sample.labels) for sample in samples]
    else:
        predicted = [labels[k] for k in best]
        true = [sample.labels[0] for sample in samples]
    schema = predictions_schema(labels, multi_label=multi_label)
    flat = pa.array(np.ascontiguousarray(scores).ravel())
    offsets = pa.array(np.arange(len(samples) + 1, dtype=np.int32) * np.int32(len(labels)))
    table = pa.table(
        [
            pa.array([sample.uri for sample in samples], pa.string()),
            pa.array([sample.sha256 for sample in samples], pa.string()),
            pa.array([sample.split for sample in samples], pa.string()),
            pa.array(fold, pa.int8(), mask=is_test),
            pa.array(true, schema.field("true").type),
            pa.array(predicted, schema.field("predicted").type),
            pa.array(scores[np.arange(len(samples)), best], pa.float32(), mask=np.full(len(samples), multi_label)),
            pa.ListArray.from_arrays(offsets, flat, type=schema.field("scores").type),
        ],
        schema=schema,
    )
    return table.sort_by([("uri", "ascending"), ("split", "ascending"), ("sha256", "ascending")])


def make_card(
    intake: Intake,
    samples: Sequence[Sample],
    problems: tuple[Problem, ...],
    *,
    identity: Identity,
    backbone: Backbone,
    trial: Trial,
    thresholds: NDArray[np.float64],
) -> dict[str, Any]:
    """What card.json says besides the head: see docs/formats.md."""
    n_train = sum(sample.split == "train" for sample in samples)
    n_test = len(samples) - n_train
    multi_label = trial.head.multi_label
    kind = "multi-label: an image may have several labels" if multi_label else "single-label: every image has one label"
    share = f" ({100 * n_test / len(samples):.0f} %)" if samples else ""
    divided = f"{n_train:,} training and {n_test:,} test images{share}, {len(trial.head.labels):,} labels, {kind}"
    return {
        "deconfuse": names.VERSION,
        "project": identity.project,
        "version": identity.version,
        "arn": identity.arn,
        "created": identity.created.isoformat(timespec="milliseconds"),
        "backbone": asdict(backbone.card) | {"key": backbone.card.key},
        "rule": "thresholds" if multi_label else "highest",
        "thresholds": [float(threshold) for threshold in thresholds],
        "penalty": trial.penalty,
        "penalties_tried": [[penalty, loss] for penalty, loss in trial.tried],
        "kind": intake.kind,
        "images": str(intake.root.resolve()) if intake.root is not None else None,
        "buckets": {name: str(folder.resolve()) for name, folder in sorted(intake.buckets.items())},
        "data_hash": data_hash(samples),
        "n_train": n_train,
        "n_test": n_test,
        "train_counts": label_counts(samples, "train"),
        "test_counts": label_counts(samples, "test"),
        "problems": [asdict(problem) for problem in problems],
        "notes": [divided, *intake.notes, *unused_boxes(intake.entries), *trial.notes],
    }


def label_counts(samples: Sequence[Sample], split: str) -> dict[str, int]:
    """Images of each label on one side, by label."""
    counts = Counter(label for sample in samples if sample.split == split for label in sample.labels)
    return {label: counts[label] for label in sorted(counts, key=names.natural_key)}


def data_hash(samples: Sequence[Sample]) -> str:
    """A hash of what was trained and tested on: "sha256:…" over image hash, side and labels of every sample."""
    lines = sorted("\t".join((sample.sha256, sample.split, *sorted(sample.labels))) for sample in samples)
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()

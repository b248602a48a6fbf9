"""An evaluation: a matrix with everything needed to judge it, and what follows from its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse.engine.verdicts import Rule, Verdicts, binary_table
from deconfuse.errors import Problem
from deconfuse.insights.findings import Finding, find
from deconfuse.measure.labels import OTHER
from deconfuse.measure.matrix import Matrix

Kind = Literal["run", "predictions", "cells", "summary", "snapshot"]


@dataclass(frozen=True)
class Evaluation:
    """A matrix with everything needed to judge it: where it came from, by which rule, from which images.

    Attributes:
        title: a few words naming the source.
        kind: what the source is.
        labels: the labels of `matrix`, in its order.
        rule: how a prediction was chosen in `matrix`: the highest score, thresholds, or as the source gave it.
        matrix: the counts.
        other: the same images under further rules, by rule.
        split: "test", "train", "all", or None where the source does not say.
        n_images: how many images were counted, under either rule.
        thresholds: float[K], the threshold of each label, where the source has them; NaN where a label has none.
        predictions: one row an image: uri, sha256, true, predicted, probability, scores (not always) and one column
            `predicted_<rule>` for each rule of `other`; None where the source holds no images.
        findings: most important first.
        problems: images and lines that could not be used, and warnings.
        notes: sentences that a reader of the numbers must know.
        model: which model predicted, in words; None where unknown.
        data_hash: a hash of the data, hexadecimal; None where unknown.
        images_root: the folder below which relative uris lie.
        made: when the evaluation was made.
        multi_label: whether an image may have several labels.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, of a multi-label evaluation.
        train_counts: training images a label, where known.
        buckets: directories below which images of s3://bucket/key lie, by bucket.
    """

    title: str
    kind: Kind
    labels: tuple[str, ...]
    rule: Rule
    matrix: Matrix
    other: Mapping[Rule, Matrix] = field(default_factory=dict)
    split: str | None = None
    n_images: int = 0
    thresholds: tuple[float, ...] | None = None
    predictions: pa.Table | None = None
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    model: str | None = None
    data_hash: str | None = None
    images_root: Path | None = None
    made: datetime | None = None
    multi_label: bool = False
    binary: NDArray[np.int64] | None = None
    train_counts: Mapping[str, int] | None = None
    buckets: Mapping[str, Path] = field(default_factory=dict)


def from_verdicts(
    verdicts: Verdicts,
    *,
    title: str,
    kind: Kind,
    split: str | None,
    problems: tuple[Problem, ...],
    notes: tuple[str, ...],
) -> Evaluation:
    """The images of `verdicts`, counted under every rule; without findings."""
    matrices = {rule: verdicts.matrix(rule) for rule in verdicts.predicted}
    rule = verdicts.rule
    return Evaluation(
        title=title,
        kind=kind,
        labels=verdicts.labels,
        rule=rule,
        matrix=matrices.pop(rule),
        other=matrices,
        split=split,
        n_images=verdicts.images.num_rows,
        thresholds=verdicts.thresholds,
        predictions=verdicts.table(),
        problems=problems,
        notes=notes,
        multi_label=verdicts.multi_label,
    )


def finished(found: Evaluation, labels: Sequence[str] | None, *, is_exact: bool = True) -> Evaluation:
    """`found`, cut down to `labels`, with what follows from its counts; from shares nothing follows."""
    if labels is not None:
        before = found.labels
        matrix = found.matrix.restrict(labels)
        others = {rule: other.restrict(labels) for rule, other in found.other.items()}
        limits = dict(zip(before, found.thresholds or (), strict=False))
        thresholds = tuple(limits.get(label, float("nan")) for label in matrix.labels) if limits else None
        trained = found.train_counts
        if trained is not None and OTHER in matrix.labels:
            trained = {**trained, OTHER: sum(n for label, n in trained.items() if label not in matrix.labels)}
        found = replace(
            found, labels=matrix.labels, matrix=matrix, other=others, thresholds=thresholds, train_counts=trained
        )
    if found.multi_label and found.predictions is not None:
        sides = [found.predictions.column(name).to_pylist() for name in ("true", "predicted")]
        found = replace(found, binary=binary_table(sides[0], sides[1], found.labels))
    findings = (*found.findings, *find_under(found, found.rule)) if is_exact else ()
    return replace(found, findings=tuple(sorted(findings, key=lambda finding: -finding.importance)))


def find_under(found: Evaluation, rule: Rule) -> tuple[Finding, ...]:
    """What the counts under `rule` say."""
    matrices = {found.rule: found.matrix, **found.other}
    tested = None
    if found.binary is not None:
        tested = dict(zip(found.labels, found.binary[:, 1].sum(axis=1).tolist(), strict=True))
    trained = found.train_counts
    if trained is not None:
        trained = {label: trained.get(label, 0) for label in found.labels}
    return find(
        matrices[rule],
        other_rule=next((matrix for other, matrix in matrices.items() if other != rule), None),
        train_counts=trained,
        test_counts=tested,
        rule=rule,
        is_test=found.split == "test",
    )

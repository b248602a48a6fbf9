"""Whatever can be looked at as a confusion matrix, as one `Evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse.insights.findings import Finding
from deconfuse.measure.matrix import Matrix
from deconfuse.tables import Problem

Kind = Literal["run", "predictions", "cells", "summary", "snapshot"]
Rule = Literal["highest", "thresholds", "as given"]


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
        thresholds: float[K], the threshold of each label, where the source has them.
        predictions: one row an image: uri, sha256, true, predicted, probability, scores and one column
            `predicted_<rule>` for each rule of `other`; None where the source holds no images.
        findings: most important first.
        problems: images and lines that could not be used, and warnings.
        notes: sentences that a reader of the numbers must know.
        model: which model predicted, in words; None where unknown.
        data_hash: a hash of the data, "sha256:…"; None where unknown.
        images_root: the folder below which relative uris lie.
        made: when the evaluation was made.
        multi_label: whether an image may have several labels.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, of a multi-label evaluation.
        train_counts: training images a label, where known.
    """

    title: str
    kind: Kind
    labels: tuple[str, ...]
    rule: Rule
    matrix: Matrix
    other: Mapping[str, Matrix] = field(default_factory=dict)
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

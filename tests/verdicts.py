"""A trained model's two evaluation files, made from scores: a summary, and the snapshot as AWS or as we write it.

model = judged_model(seed)              n images with truth and scores of K labels
model.summary()                         the summary: shares by highest score, thresholds, test images a label
model.snapshot(style="aws")             the labels above their thresholds, and the true ones
model.snapshot(style="ours")            and the one with the highest score
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.formats.evaluation import (
    EvaluationSummary,
    LabelResult,
    SnapshotRow,
    listed_predictions,
    write_snapshot,
    write_summary,
)

NAMES = ("attic", "bathroom", "closet", "den", "entry")
WHEN = datetime(2023, 7, 28, 15, 5, 51, tzinfo=UTC)


@dataclass(frozen=True)
class Judged:
    """A model's test images.

    Attributes:
        labels: K names.
        true: int[n].
        scores: float64[n, K], rows sum to 1.
        thresholds: float64[K].
        arn: of the version.
        bucket: of the images.
    """

    labels: tuple[str, ...]
    true: NDArray[np.intp]
    scores: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    arn: str = "arn:aws:rekognition:us-east-1:012345678901:project/rooms/version/1/1690556751958"
    bucket: str = "photos"

    def uri(self, image: int) -> str:
        """The address of an image."""
        return f"s3://{self.bucket}/test/{image}.png"

    def counts(self) -> NDArray[np.int64]:
        """int64[K, K], true × the label that scored highest."""
        table = np.zeros((len(self.labels),) * 2, np.int64)
        np.add.at(table, (self.true, self.scores.argmax(axis=1)), 1)
        return table

    def summary(self, *, support: bool = True, denominator: Literal["true", "nonsense"] = "true") -> bytes:
        """The summary as AWS writes it, without a key of our own."""
        n_true = np.bincount(self.true, minlength=len(self.labels))
        nonsense = np.full((1, 1), np.pi) if denominator == "nonsense" else None
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self.counts() / (n_true[:, None] if nonsense is None else nonsense)
        cells = {
            (self.labels[t], self.labels[p]): float(values[t, p])
            for t in range(len(self.labels))
            for p in range(len(self.labels))
            if n_true[t]
        }
        results = tuple(
            LabelResult(label, 0.9, 0.9, 0.9, float(threshold), int(n) if support else None)
            for label, threshold, n in zip(self.labels, self.thresholds, n_true, strict=True)
            if n
        )
        written = EvaluationSummary(self.arn, WHEN, self.labels, 99, len(self.true), cells, results, 0.9, 0.9, 0.9)
        content = json.loads(write_summary(written, deconfuse={}))
        del content["Deconfuse"]
        return json.dumps(content).encode()

    def snapshot(self, *, style: Literal["aws", "ours"] = "aws", images: Any = None) -> bytes:
        """The snapshot of all images, or of those given."""
        rows = []
        for image in range(len(self.true)) if images is None else images:
            true = self.labels[self.true[image]]
            listed = listed_predictions(
                self.scores[image].tolist(), labels=self.labels, thresholds=self.thresholds.tolist(), true=(true,)
            )
            if style == "aws":
                listed = tuple(said for said in listed if said.is_above_threshold or said.label == true)
            rows.append(SnapshotRow(self.uri(image), (true,), listed))
        return b"".join(write_snapshot(rows, created=WHEN))


def judged_model(seed: int = 0, *, n: int = 60, k: int = 3, bucket: str = "photos") -> Judged:
    """A model that is right most of the time, on `n` images of `k` labels."""
    rng = np.random.default_rng(seed)
    true = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    scores = rng.dirichlet([0.5] * k, n)
    scores[np.arange(n), true] += rng.uniform(0, 1.2, n)
    scores /= scores.sum(axis=1, keepdims=True)
    return Judged(NAMES[:k], true, scores, rng.uniform(0.02, 0.98, k), bucket=bucket)

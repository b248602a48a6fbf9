"""Numbers into sentences: what a reader should know about a confusion matrix, most important first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deconfuse.measure.matrix import Matrix

Kind = Literal[
    "confusion",
    "no_label",
    "no_truth",
    "scattered",
    "none_confused",
    "nothing_counted",
    "no_test",
    "too_few_test",
    "under_test",
    "under_train",
    "rules_disagree",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about an evaluation, with its evidence.

    Attributes:
        kind: which question it answers.
        sentence: one to three plain sentences, complete by themselves.
        evidence: numbers behind the sentence, JSON values only; where a rate is stated it has `numerator`,
            `denominator`, `share`, `low` and `high` (shares in 0..1; null where undefined).
        labels: the labels it is about, true before predicted.
        importance: 0..1, higher comes first; for confusions the lower bound of the rate.
        advice: what to do next, "" where there is nothing to do.
    """

    kind: Kind
    sentence: str
    evidence: Mapping[str, object]
    labels: tuple[str, ...]
    importance: float
    advice: str = ""

    def to_json(self) -> dict[str, object]:
        """The finding as a dictionary of JSON values."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "advice": self.advice,
            "labels": list(self.labels),
            "importance": self.importance,
            "evidence": dict(self.evidence),
        }


def find(
    matrix: Matrix,
    *,
    other_rule: Matrix | None = None,
    train_counts: Mapping[str, int] | None = None,
    test_counts: Mapping[str, int] | None = None,
) -> tuple[Finding, ...]:
    """Everything worth saying about `matrix`, most important first."""
    del matrix, other_rule, train_counts, test_counts
    return ()

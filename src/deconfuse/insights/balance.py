"""Which labels have too few images to be judged, and which have fewer than their sisters.

Counts come in by label, for one side at a time; what goes out are the labels that stand out, and by how much. What
the matrix says about them is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deconfuse.measure.matrix import OTHER
from deconfuse.names import natural_key

MIN_TEST = 10
"""A label with fewer test images cannot be judged: even 9 of 9 right may be a true rate of 70 %."""

MIN_TRAIN = 10
"""Images a label that a training needs at least. Source: Amazon Rekognition Custom Labels guide, 2024, "Limits":
minimum 10 images recommended."""

UNDER_SHARE = 0.5
"""A label is under-represented when it has less than this share of the median label's images."""


@dataclass(frozen=True, slots=True)
class Scarce:
    """A label with few images.

    Attributes:
        label: its name.
        count: its images.
        median: images of the label in the middle of all labels that have any.
    """

    label: str
    count: float
    median: float


def missing(counts: Mapping[str, float]) -> tuple[str, ...]:
    """The labels without any image, in the order of `counts`."""
    return tuple(label for label, count in counts.items() if count == 0 and label != OTHER)


def too_few(counts: Mapping[str, float], *, at_least: int = MIN_TEST) -> tuple[Scarce, ...]:
    """The labels with some images, but fewer than `at_least`; fewest first."""
    middle = median(counts)
    found = [Scarce(label, count, middle) for label, count in _with_images(counts) if count < at_least]
    return tuple(sorted(found, key=_fewest_first))


def under_represented(counts: Mapping[str, float], *, share: float = UNDER_SHARE) -> tuple[Scarce, ...]:
    """The labels with some images, but fewer than `share` of the median label's; fewest first."""
    middle = median(counts)
    found = [Scarce(label, count, middle) for label, count in _with_images(counts) if count < share * middle]
    return tuple(sorted(found, key=_fewest_first))


def median(counts: Mapping[str, float]) -> float:
    """The median number of images a label, of labels that have any; NaN where none has."""
    present = sorted(count for _, count in _with_images(counts))
    if not present:
        return float("nan")
    middle = len(present) // 2
    return float(present[middle] if len(present) % 2 else (present[middle - 1] + present[middle]) / 2)


def _with_images(counts: Mapping[str, float]) -> list[tuple[str, float]]:
    # (other) is a sum of labels: it has no images of its own to collect.
    return [(label, count) for label, count in counts.items() if count > 0 and label != OTHER]


def _fewest_first(scarce: Scarce) -> tuple[float, tuple[tuple[int, int, str], ...]]:
    return scarce.count, natural_key(scarce.label)

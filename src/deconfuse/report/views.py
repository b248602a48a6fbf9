"""What a page receives: one frozen value that holds everything a reader of an evaluation can see.

    MatrixView
    ├── stamp          what this is a view of: source, split, images, model, hash of the data, date
    ├── rules          one RuleView a decision rule: its matrix, its findings, its thresholds
    ├── images         the images that the page lists, in the order in which they deserve a thumbnail
    └── problems       images and lines that were not used, and warnings

A page never meets a file: whoever builds the view hands in bytes. Every number on a page is computed from the matrix
of the rule that is shown, so switching the rule switches all of them; that is why a view has no scores of its own.

`shortlist` decides which images a page lists, `with_thumbnails` puts pictures on them within a budget of bytes.
`engine.evaluation` builds views, `report.render` turns them into HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from deconfuse.errors import Problem
    from deconfuse.insights.findings import Finding
    from deconfuse.measure.matrix import Matrix

ALL_LISTED = 2_000
"""Up to so many images a page lists every one of them; above, at most `PER_CELL` a cell."""

PER_CELL = 12
"""Images listed a cell and rule where there are more than `ALL_LISTED` images."""

THUMBNAIL_BYTES = 4_400_000
"""Bytes that thumbnails may take in a page, as base64; what is left of 5 MB is for everything else."""

Unit = Literal["samples", "label decisions"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a page is a view of; it stands on every page and print.

    Attributes:
        source: the run, file or address the numbers come from, as its user wrote it.
        split: "test", "train (out-of-fold)", …; None where the source does not say.
        n_images: images (or, where the source knows only cells, counted samples).
        rule: the decision rule that is shown first, in words.
        model: name of the model or ARN of the version.
        data_hash: hexadecimal hash of the predictions the numbers come from.
        date: when the evaluation was made.
    """

    source: str
    split: str | None
    n_images: int
    rule: str
    model: str | None = None
    data_hash: str | None = None
    date: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuleView:
    """One decision rule and everything that follows from it.

    Attributes:
        name: "highest", "thresholds" or "as given".
        title: the rule in a few words, as it stands on its switch ("Highest score").
        matrix: counts under this rule.
        findings: most important first.
        thresholds: one a label, 0..1; None where the rule has none.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, of a multi-label model; its per-label numbers come from
            these counts. None where a sample has one label.
        explanation: a sentence that says what the rule does; "" where the title says it all.
    """

    name: str
    title: str
    matrix: Matrix
    findings: tuple[Finding, ...] = ()
    thresholds: tuple[float, ...] | None = None
    binary: NDArray[np.int64] | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class ImageView:
    """One image as a page lists it.

    Attributes:
        uri: its path or address.
        true: indices of its true labels.
        predicted: one entry a rule, in the order of `MatrixView.rules`: indices of the labels predicted, () for none.
        probability: of the predicted label, 0..1; None where there is not one.
        thumbnail: WebP bytes, or None where there is no picture.
        is_missing: the picture was wanted and could not be had.
    """

    uri: str
    true: tuple[int, ...]
    predicted: tuple[tuple[int, ...], ...]
    probability: float | None = None
    thumbnail: bytes | None = None
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class MatrixView:
    """An evaluation as a page shows it.

    Attributes:
        title: what the page is called.
        stamp: what it is a view of.
        labels: K names, in the order of the model or file; every matrix of `rules` has the same.
        rules: at least one; the first is shown first.
        order_by_similarity: a permutation of 0..K-1 that puts labels that are confused next to each other; () for
            none.
        images: the images listed, in the order in which they deserve a thumbnail; () where the source has none.
        problems: what was not used, and warnings.
        notes: sentences about the source that a reader must know.
        train_counts: training images a label, K numbers; None where unknown.
        unit: what one count is.
    """

    title: str
    stamp: Stamp
    labels: tuple[str, ...]
    rules: tuple[RuleView, ...]
    order_by_similarity: tuple[int, ...] = ()
    images: tuple[ImageView, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    train_counts: tuple[int, ...] | None = None
    unit: Unit = "samples"

    @property
    def n_missing_thumbnails(self) -> int:
        """Images whose picture was wanted and could not be had."""
        return sum(image.is_missing for image in self.images)


def decisions(true: Iterable[int], predicted: Iterable[int]) -> tuple[tuple[int | None, int | None], ...]:
    """The cells in which a sample with these true and predicted labels is counted, (true, predicted) each.

    With one true and at most one predicted label this is one cell. Otherwise a label in both sets counts on the
    diagonal; labels only missed count as (label, no label); labels only invented count against every true label, or
    as (no label, label) where there is none; where some are missed and some invented, each missed one counts against
    each invented one. This is how `ConfusionMatrix.from_label_sets` counts.

    Example:
        >>> decisions([0], [2])
        ((0, 2),)
        >>> decisions([0, 1], [1])
        ((1, 1), (0, None))

    Source: Heydarian, Doyle, Samavi, "MLCM: Multi-Label Confusion Matrix", IEEE Access 10 (2022) 19083-19095.
    """
    truth: list[int | None] = [*sorted(set(true))]
    guess: list[int | None] = [*sorted(set(predicted))]
    missed = [label for label in truth if label not in guess]
    invented = [label for label in guess if label not in truth]
    cells: list[tuple[int | None, int | None]] = [(label, label) for label in truth if label in guess]
    if invented:
        cells += [(was, became) for was in missed or truth or [None] for became in invented]
    else:
        cells += [(was, None) for was in missed]
    return tuple(cells) or ((None, None),)


def shortlist(images: Sequence[ImageView]) -> tuple[int, ...]:
    """Indices of the images that a page lists, in the order in which they deserve a thumbnail.

    Up to `ALL_LISTED` images all of them; above, at most `PER_CELL` in each cell of each rule. Images that are wrong
    under the first rule come first, then those wrong under another, then the right ones; among these each cell has
    its turn, and within a cell the least certain image comes first.
    """
    by_certainty = sorted(
        range(len(images)), key=lambda i: (_standing(images[i]), _certainty(images[i]), images[i].uri)
    )
    taken: dict[tuple[int, int | None, int | None], int] = {}
    chosen: list[tuple[int, int, int]] = []
    for position, i in enumerate(by_certainty):
        cells = [
            (rule, *cell)
            for rule, predicted in enumerate(images[i].predicted)
            for cell in decisions(images[i].true, predicted)
        ]
        turn = min((taken.get(cell, 0) for cell in cells), default=0)
        if len(images) > ALL_LISTED and turn >= PER_CELL:
            continue
        for cell in cells:
            taken[cell] = taken.get(cell, 0) + 1
        chosen.append((_standing(images[i]), turn, position))
    return tuple(by_certainty[position] for _, _, position in sorted(chosen))


def _standing(image: ImageView) -> int:
    """0 for an image that is wrong under the first rule, 1 for one wrong under another, 2 for one always right."""
    wrong = [set(image.true) != set(predicted) for predicted in image.predicted]
    return 0 if wrong[:1] == [True] else 1 if any(wrong) else 2


def _certainty(image: ImageView) -> float:
    # An image without a probability has no claim to be uncertain: it comes after those that have one.
    return 2.0 if image.probability is None else image.probability


def with_thumbnails(
    images: Sequence[ImageView],
    fetch: Callable[[int], bytes | None],
    *,
    budget: int = THUMBNAIL_BYTES,
) -> tuple[ImageView, ...]:
    """The shortlist of `images`, with pictures until `budget` bytes of base64 are used.

    Args:
        images: every image of the split, without thumbnails.
        fetch: given the index of an image in `images`, its thumbnail as WebP bytes, or None where it cannot be had;
            asked for no image that the page has no room for.
        budget: bytes of base64 in all.

    Returns:
        The listed images in the order of `shortlist`; beyond the budget they have a name and no picture.
    """
    shown: list[ImageView] = []
    used = 0
    for i in shortlist(images):
        if used >= budget:
            shown.append(images[i])
            continue
        picture = fetch(i)
        if picture is None:
            shown.append(replace(images[i], is_missing=True))
            continue
        used += (len(picture) + 2) // 3 * 4
        shown.append(replace(images[i], thumbnail=picture if used <= budget else None))
    return tuple(shown)

"""What a page receives: which images it lists, in which order, and in which cells they lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pages
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.report.views import ALL_LISTED, PER_CELL, ImageView, decisions, shortlist, with_thumbnails

LABEL_SETS = st.lists(st.tuples(st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3))), min_size=1, max_size=12)


def image(true: int, *predicted: int, p: float | None = 0.5, uri: str = "x") -> ImageView:
    """An image with one true label, and one label (or -1, none) a rule."""
    return ImageView(uri, (true,), tuple(() if label < 0 else (label,) for label in predicted), p)


@given(LABEL_SETS)
def test_decisions_are_the_cells_that_the_matrix_counts(samples: list[tuple[set[int], set[int]]]) -> None:
    """The images of a cell and the number in it never disagree, for any label sets."""
    matrix = ConfusionMatrix.from_label_sets([t for t, _ in samples], [p for _, p in samples], labels=[0, 1, 2, 3])
    counts = np.zeros((5, 5), int)
    for true, predicted in samples:
        for was, became in decisions(true, predicted):
            counts[4 if was is None else was, 4 if became is None else became] += 1

    assert counts.tolist() == matrix.counts.tolist()


def test_an_image_without_a_prediction_lies_in_the_column_no_label() -> None:
    """A threshold that no score reaches gives one decision, not none."""
    assert decisions([2], []) == ((2, None),)


def test_decisions_of_nothing_and_nothing() -> None:
    """An image that has no label and gets none is counted, in the last cell."""
    assert decisions([], []) == ((None, None),)


def test_no_images_give_an_empty_shortlist() -> None:
    """A source without images is not an error."""
    assert shortlist([]) == ()


def test_wrong_images_come_first_and_the_least_certain_of_them_lead() -> None:
    """The order in which thumbnails are given out: wrong, then wrong under another rule, then right."""
    images = [image(0, 0, 0, p=0.1), image(0, 0, -1, p=0.2), image(0, 1, 1, p=0.9), image(0, 1, 1, p=0.4)]

    assert shortlist(images) == (3, 2, 1, 0)


def test_every_cell_has_its_turn_before_any_has_a_second() -> None:
    """One cell with a thousand images cannot take the place of the others."""
    images = [*(image(0, 1, p=0.1) for _ in range(5)), image(1, 2, p=0.9)]

    assert shortlist(images)[:2] == (0, 5)


def test_up_to_two_thousand_images_are_all_listed() -> None:
    """Nobody who can have them all gets a selection."""
    images = [image(0, 0)] * ALL_LISTED

    assert len(shortlist(images)) == ALL_LISTED


def test_above_that_a_cell_lists_its_twelve_least_certain_images() -> None:
    """The limit holds a cell, and keeps what is doubtful."""
    images = [image(i % 2, 0, p=i / ALL_LISTED) for i in range(ALL_LISTED + 2)]
    chosen = shortlist(images)

    assert sorted(chosen) == list(range(2 * PER_CELL))


def test_the_limit_holds_in_the_cells_of_every_rule() -> None:
    """An image shown under one rule only still fills that rule's cell."""
    images = [image(0, 0, -1 if i % 2 else 0, p=0.5) for i in range(ALL_LISTED + 1)]
    chosen = [images[i].predicted for i in shortlist(images)]

    assert sum(predicted[1] == () for predicted in chosen) == PER_CELL
    assert sum(predicted[1] == (0,) for predicted in chosen) == PER_CELL


def test_images_without_probability_are_listed_after_those_with_one() -> None:
    """Unknown certainty is no claim to be uncertain, and sorting it raises nothing."""
    assert shortlist([image(0, 1, p=None), image(0, 1, p=0.99)]) == (1, 0)


def test_equally_certain_images_come_in_the_order_of_their_names() -> None:
    """The same images in another order give the same page."""
    assert shortlist([image(0, 1, uri="b"), image(0, 1, uri="a")]) == (1, 0)


@pytest.mark.parametrize(("budget", "n_shown"), [(0, 0), (7, 0), (8, 1), (23, 2), (24, 3), (10**6, 10)])
def test_thumbnails_stay_within_their_bytes(budget: int, n_shown: int) -> None:
    """Six bytes are eight in base64; what has no room keeps its name and is not called missing."""
    images = with_thumbnails([image(0, 1)] * 10, lambda _: b"sixsix", budget=budget)

    assert n_shown == sum(shown.thumbnail is not None for shown in images)
    assert not any(shown.is_missing for shown in images)


def test_no_picture_is_fetched_that_has_no_room() -> None:
    """A page of 100,000 images does not read 100,000 images."""
    asked: list[int] = []
    with_thumbnails([image(0, 1)] * 10, lambda i: asked.append(i) or b"sixsix", budget=16)

    assert len(asked) == 2


def test_missing_pictures_are_counted() -> None:
    """The page can say how many pictures it could not have."""
    assert pages.small(missing=(0, 5)).n_missing_thumbnails == 2
    assert pages.small().n_missing_thumbnails == 0

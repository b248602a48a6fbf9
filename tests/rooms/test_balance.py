"""Labels with few images."""

from __future__ import annotations

import math

from deconfuse.insights.balance import Scarce, median, missing, too_few, under_represented


def test_missing_labels_have_no_image() -> None:
    """A label with 0 images is missing; (other) is no label of its own."""
    assert missing({"a": 3, "b": 0, "(other)": 0}) == ("b",)


def test_too_few_leaves_out_the_missing_and_begins_with_the_fewest() -> None:
    """Labels below ten are listed, fewest first; equal ones in order of their names."""
    found = too_few({"l10": 4, "l2": 4, "a": 9, "b": 10, "c": 0})

    assert [scarce.label for scarce in found] == ["l2", "l10", "a"]


def test_ten_are_enough() -> None:
    """The limit itself is enough."""
    assert too_few({"a": 10}) == ()


def test_under_represented_is_below_half_of_the_median() -> None:
    """49 of a median of 100 stands out, 50 does not."""
    assert under_represented({"a": 100, "b": 100, "c": 49, "d": 50, "e": 200}) == (Scarce("c", 49, 100),)


def test_labels_without_images_do_not_move_the_median() -> None:
    """The median is over labels that have any."""
    assert median({"a": 4, "b": 6, "c": 0, "(other)": 900}) == 5


def test_the_median_of_nothing_is_undefined() -> None:
    """NaN, and nothing stands out."""
    assert math.isnan(median({"a": 0}))
    assert under_represented({}) == ()
    assert too_few({}) == ()

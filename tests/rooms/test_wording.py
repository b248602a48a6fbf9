"""Numbers and labels inside sentences."""

from __future__ import annotations

import pytest

from deconfuse.insights.wording import called, images, listing, name, percent, plural, rate, short
from deconfuse.measure.text import count_text as number


def test_percentages_are_whole_and_round_half_to_even() -> None:
    """12.5 is 12, 13.5 is 14, and a half that binary fractions miss is still a half."""
    assert [percent(x) for x in (0.125, 0.135, 0.145, 0.5)] == ["12 %", "14 %", "14 %", "50 %"]
    assert percent(float("nan")) == "–"


def test_a_rate_is_never_nothing_or_all_unless_it_is() -> None:
    """One of a thousand is under 1 %, 999 are over 99 %, 0 of 0 is undefined."""
    assert [rate(0, 9), rate(1, 1_000), rate(999, 1_000), rate(9, 9), rate(0, 0)] == [
        "0 %",
        "under 1 %",
        "over 99 %",
        "100 %",
        "–",
    ]


@pytest.mark.parametrize(
    ("label", "shown"), [("T-shirt", "T-shirt"), ("7", "“7”"), ("a b", "“a b”"), ("Übel", "Übel"), ("x", "“x”")]
)
def test_names_in_sentences(label: str, shown: str) -> None:
    """Words stand as they are, everything else in quotes."""
    assert name(label) == shown
    assert images(2, label) == f"{shown} images"


def test_other_labels_are_never_named() -> None:
    """(other) is a sum of labels, whatever the place in a sentence."""
    assert (images(1, "(other)"), called("(other)"), short("(other)")) == (
        "image of other labels",
        "one of the other labels",
        "other",
    )


def test_numbers_of_people() -> None:
    """Thousands are separated, weights have two decimals at most, one is singular."""
    assert [number(1), number(12_345.0), number(0.125)] == ["1", "12,345", "0.12"]
    assert [plural(1, "image"), plural(0, "image"), plural(1.5, "is", "are")] == ["image", "images", "are"]


def test_long_lists_are_cut_and_counted() -> None:
    """A list of twenty names six and counts the others; an empty one is empty."""
    assert listing([str(k) for k in range(20)]).endswith("5 and 14 more")
    assert listing([]) == ""

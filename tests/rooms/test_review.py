"""What all samples together show: alike labels, conflicts, images on both sides, repeats, small images."""

from __future__ import annotations

import pytest

from deconfuse.engine.review import Row, review
from deconfuse.errors import Problem
from deconfuse.tables import Split
from deconfuse.vision.images import Facts


def row(
    uri: str, sha256: str, *labels: str, split: Split = "train", line: int | None = None, side: int | None = None
) -> Row:
    """A sample; `side` is the width and height of its image, in pixels."""
    return Row(uri, sha256, labels, split, line, Facts("PNG", side, side, 99) if side else None)


def codes(problems: tuple[Problem, ...]) -> list[str]:
    """Their codes."""
    return [problem.code for problem in problems]


def test_clean_samples_give_no_warning() -> None:
    """Different images, clear labels, good sizes: silence."""
    assert review([row("a", "1", "x", side=64), row("b", "2", "y", split="test", side=900)]) == ()
    assert review([]) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("caf\u00e9", "cafe\u0301"), ("dog", "dog "), ("STRASSE", "straße"), ("\ufb01sh", "fish")],
)
def test_labels_that_look_alike_are_both_named(one: str, other: str) -> None:
    """Case, Unicode form and blanks; both stay labels, and the warning shows what differs."""
    (problem,) = review([row("a", "1", one), row("b", "2", other)])

    assert (problem.code, problem.level, problem.uri) == ("WARNING_LABELS_ALIKE", "warning", None)
    assert all((repr(label) if label.isascii() else ascii(label)) in problem.message for label in (one, other))


def test_the_same_image_under_two_labels_is_listed_with_both_places() -> None:
    """It counts for each of them; nobody is asked to guess where."""
    (problem,) = review([row("cat/1.png", "1", "cat"), row("dog/7.png", "1", "dog"), row("dog/8.png", "2", "dog")])

    assert (problem.code, problem.level) == ("WARNING_CONFLICTING_LABELS", "warning")
    assert "cat/1.png (cat), dog/7.png (dog)" in problem.message


def test_lines_are_named_where_there_are_lines() -> None:
    """One file on two rows of a table differs by its line only."""
    (problem,) = review([row("1.png", "1", "cat", line=2), row("1.png", "1", "dog", line=9)])

    assert "1.png (line 2) (cat), 1.png (line 9) (dog)" in problem.message
    assert problem.line == 2


def test_warnings_come_in_the_order_of_the_lines() -> None:
    """Whatever order the images were read in, a user goes through them from top to bottom."""
    rows = [row(f"{line}.png", sha, label, line=line) for line, sha, label in [(9, "1", "a"), (12, "1", "b"), (2, "2", "a"), (10, "2", "b")]]  # fmt: skip  # noqa: E501

    assert [problem.line for problem in review(rows)] == [2, 9]


def test_labels_in_another_order_are_no_conflict() -> None:
    """A set of labels has no order; part of a set is another set."""
    same = review([row("a", "1", "x", "y"), row("b", "1", "y", "x")])
    part = review([row("a", "1", "x", "y"), row("b", "1", "x")])

    assert (codes(same), codes(part)) == (["WARNING_DUPLICATE_IMAGE"], ["WARNING_CONFLICTING_LABELS"])


def test_test_images_that_were_trained_on_are_counted_and_named() -> None:
    """First how many of how many, then each with its twin."""
    rows = [
        row("train/a", "1", "x"),
        row("train/b", "2", "x"),
        row("test/a", "1", "x", split="test"),
        row("test/copy", "1", "x", split="test"),
        row("test/c", "3", "x", split="test"),
    ]
    problems = review(rows)

    assert codes(problems) == [
        "WARNING_TEST_IMAGES_IN_TRAINING",
        "WARNING_IMAGE_IN_BOTH_SETS",
        "WARNING_IMAGE_IN_BOTH_SETS",
        "WARNING_DUPLICATE_IMAGE",
    ]
    assert "2 of 3 test images" in problems[0].message
    assert [(problem.uri, problem.split) for problem in problems[1:3]] == [("test/a", "test"), ("test/copy", "test")]
    assert "train/a" in problems[1].message


def test_a_leak_with_another_label_is_a_conflict_too() -> None:
    """Two things are wrong with it, and both are said."""
    problems = review([row("a", "1", "x"), row("b", "1", "y", split="test")])

    assert codes(problems) == [
        "WARNING_CONFLICTING_LABELS",
        "WARNING_TEST_IMAGES_IN_TRAINING",
        "WARNING_IMAGE_IN_BOTH_SETS",
    ]


def test_repeats_on_one_side_are_counted() -> None:
    """One warning for a group, with all its places."""
    (problem,) = review([row(name, "1", "x") for name in "abc"])

    assert (problem.code, problem.split) == ("WARNING_DUPLICATE_IMAGE", "train")
    assert "3 times: a, b, c" in problem.message


def test_a_large_group_is_not_spelt_out() -> None:
    """A thousand copies of one placeholder image do not fill the screen."""
    (problem,) = review([row(f"{number}.png", "1", "x") for number in range(1000)])

    assert "1,000 times" in problem.message
    assert problem.message.endswith("and 980 more")


@pytest.mark.parametrize(("side", "n"), [(63, 1), (64, 0), (1, 1)])
def test_an_image_under_64_pixels_is_a_warning(side: int, n: int) -> None:
    """It is used, enlarged; its user knows."""
    problems = review([row("a", "1", "x", side=side)])

    assert codes(problems) == ["WARNING_SMALL_IMAGE"] * n


def test_many_small_images_are_summed_up() -> None:
    """A set of 28-pixel digits gives twenty warnings and a number, not sixty thousand."""
    problems = review([row(str(number), str(number), "x", side=28) for number in range(60)])

    assert len(problems) == 21
    assert "60 images" in problems[-1].message

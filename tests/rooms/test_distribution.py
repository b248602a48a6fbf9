"""Which fifth of a dataset is chosen: of every label, the same again, and never the only image of a label."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import BadManifest
from deconfuse.service.distribution import choose

Line = tuple[int, str, tuple[str, ...]]


def lines_of(*labels: tuple[str, ...], first: int = 0) -> list[Line]:
    """A line for each of these, numbered from `first`."""
    return [(number, f"s3://bucket/{number}.jpg", each) for number, each in enumerate(labels, first)]


some_lines = st.lists(
    st.sets(st.sampled_from("abcd"), max_size=3).map(lambda labels: tuple(sorted(labels))), max_size=60
).map(lambda labels: lines_of(*labels))


def counts(lines: list[Line]) -> Counter[str]:
    """How many of the lines have each label."""
    return Counter(label for _, _, labels in lines for label in labels)


def chosen_of(lines: list[Line]) -> list[int] | str:
    """The numbers that are chosen, or the code of what is wrong."""
    try:
        return [int(number) for number in choose(lines)]
    except BadManifest as error:
        return error.code


@given(some_lines, st.randoms(use_true_random=False))
def test_laws(lines: list[Line], random: Random) -> None:
    """Every label keeps a line, a label with two gives one where it can, and the order of lines does not matter."""
    shuffled = lines[:]
    random.shuffle(shuffled)
    chosen = chosen_of(lines)

    assert chosen == chosen_of(shuffled)
    if isinstance(chosen, str):
        assert chosen == "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE"
        chosen = []
    assert chosen == sorted(set(chosen))
    everything, test = counts(lines), counts([line for line in lines if line[0] in chosen])
    train = everything - test
    assert all(train[label] >= 1 for label in everything)
    missing = {label for label in everything if everything[label] >= 2 and not test[label]}
    for _, _, labels in lines:
        # It has none only where each of its lines is the last one of some label in training.
        assert not missing & set(labels) or any(train[label] == 1 for label in labels)


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(2, 60), min_size=1))
def test_a_fifth_of_every_label(sizes: dict[str, int]) -> None:
    """With one label an image: a fifth of each, rounded up or down, and at least one."""
    lines = lines_of(*((label,) for label, size in sizes.items() for _ in range(size)))
    chosen = set(choose(lines).tolist())
    found = counts([line for line in lines if line[0] in chosen])

    for label, size in sizes.items():
        assert max(1, size // 5) <= found[label] <= max(1, -(-size // 5))


def test_lines_without_labels_go_too() -> None:
    """A fifth of all images is moved, not of the labeled ones only."""
    assert len(choose(lines_of(*[()] * 50, *[("a",)] * 50))) == 20


@pytest.mark.parametrize(
    "labels", [[], [()] * 100, [("a",), ("b",)], [("a", "b")], [("a",), ("a", "b"), ("b", "c"), ("c",)]]
)
def test_too_few(labels: list[tuple[str, ...]]) -> None:
    """No label has an image to spare: that is said under AWS's code. With one to spare, it goes."""
    if len(labels) == 4:
        assert len(choose(lines_of(*labels))) >= 1
        return
    with pytest.raises(BadManifest, match="not enough labeled images"):
        choose(lines_of(*labels))


def test_the_choice_is_this_one() -> None:
    """It does not change from one release to the next: a split that was done is done again alike."""
    assert choose(lines_of(*[("a",), ("b",)] * 10)).tolist() == [4, 5, 13, 14]

"""Laws of the holdout: order, duplicates and other labels do not matter, and labels lend as they should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deconfuse.learn.trial import folds, holdout

Sample = tuple[str, tuple[str, ...]]

hashes = st.builds(
    lambda remainder, number: f"{remainder + 100 * number:016x}" + f"{number * 7919 + remainder:048x}",
    st.integers(0, 99),
    st.integers(0, 5),
)
one_label = st.sampled_from("abcd").map(lambda label: (label,))
several = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True).map(tuple)
single = st.lists(st.tuples(hashes, one_label), max_size=25, unique_by=lambda sample: sample[0])
multi = st.lists(st.tuples(hashes, several), max_size=25)


def by_hash(sha256: str) -> str:
    """The side without lending."""
    return "test" if int(sha256[:16], 16) % 100 < 20 else "train"


def sides_of(samples: list[Sample]) -> dict[str, set[str]]:
    """The sides on which each label has images."""
    found: dict[str, set[str]] = {}
    for side, (_, labels) in zip(holdout(samples), samples, strict=True):
        for label in labels:
            found.setdefault(label, set()).add(side)
    return found


@given(multi, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(samples: list[Sample], random) -> None:  # type: ignore[no-untyped-def]
    """Shuffled samples, and labels in another order, keep their sides."""
    sides = dict(zip([sha256 for sha256, _ in samples], holdout(samples), strict=True))
    shuffled = [(sha256, tuple(reversed(labels))) for sha256, labels in samples]
    random.shuffle(shuffled)

    assert holdout(shuffled) == [sides[sha256] for sha256, _ in shuffled]


@given(multi)
def test_equal_hashes_are_on_the_same_side_and_fold(samples: list[Sample]) -> None:
    """An image that is there twice never is in training and test, whatever its labels."""
    twice = [*samples, *((sha256, ("other",)) for sha256, _ in samples)]
    sides = holdout(twice)
    fold = folds([sha256 for sha256, _ in twice]).tolist()

    for first in range(len(twice)):
        for second in range(first):
            if twice[first][0] == twice[second][0]:
                assert sides[first] == sides[second]
                assert fold[first] == fold[second]


@given(single)
def test_every_label_with_two_images_is_on_both_sides(samples: list[Sample]) -> None:
    """And a label with one image trains."""
    counts = {label: sum(label in labels for _, labels in samples) for label in "abcd"}

    for label, sides in sides_of(samples).items():
        assert sides == ({"train", "test"} if counts[label] > 1 else {"train"})


@given(multi)
def test_every_label_has_a_training_image(samples: list[Sample]) -> None:
    """Also where images have several labels and lending one would take it from another."""
    assert all("train" in sides for sides in sides_of(samples).values())


@given(single)
def test_a_label_lends_at_most_one_image_and_only_in_need(samples: list[Sample]) -> None:
    """All others are where their hash says, and the lent one is at the end of the row that the rule names."""
    sides = holdout(samples)
    for label in "abcd":
        mine = sorted((sha256, side) for side, (sha256, labels) in zip(sides, samples, strict=True) if label in labels)
        lent = [sha256 for sha256, side in mine if side != by_hash(sha256)]
        homes = {by_hash(sha256) for sha256, _ in mine}
        expected: list[str] = []
        if homes == {"test"}:
            expected = [mine[-1][0]]
        elif homes == {"train"} and len(mine) > 1:
            expected = [mine[0][0]]

        assert lent == expected


@given(single, one_label, st.data())
def test_relabelling_one_image_moves_others_only_by_lending(
    samples: list[Sample], label: tuple[str, ...], data: st.DataObject
) -> None:
    """At most one image of the label it leaves, and one of the label it joins, change sides beside itself."""
    if not samples:
        return
    row = data.draw(st.integers(0, len(samples) - 1))
    after = [*samples[:row], (samples[row][0], label), *samples[row + 1 :]]
    moved = [
        labels[0]
        for other, (was, becomes, (_, labels)) in enumerate(zip(holdout(samples), holdout(after), samples, strict=True))
        if was != becomes and other != row
    ]

    assert len(moved) == len(set(moved))
    assert set(moved) <= {samples[row][1][0], label[0]}


@given(single)
def test_an_image_more_of_a_label_on_both_sides_moves_nobody(samples: list[Sample]) -> None:
    """Where nothing was lent, what is added later leaves all images where they were."""
    sides = holdout(samples)
    if all(side == by_hash(sha256) for side, (sha256, _) in zip(sides, samples, strict=True)):
        more = [*samples, (f"{77:016x}" + "f" * 48, samples[0][1] if samples else ("a",))]
        settled = [labels[0] for _, labels in samples if sides_of(samples)[labels[0]] == {"train", "test"}]
        for was, becomes, (_, labels) in zip(sides, holdout(more), samples, strict=False):
            assert was == becomes or labels[0] not in settled

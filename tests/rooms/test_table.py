"""A matrix as a table that fits a width."""

import re

import numpy as np
import pytest

from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.report.table import table_text
from deconfuse.report.terminal import columns

CLOTHES = ["dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt"]
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def noisy(labels: list[str], *, n: int = 40, seed: int = 0, none: bool = False) -> ConfusionMatrix:
    """A matrix in which most images are right; some have no predicted label where `none` is set."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(len(labels)), n)
    predicted = np.where(rng.random(len(true)) < 0.8, true, rng.integers(0, len(labels), len(true)))
    if none:
        predicted[::7] = -1
    return ConfusionMatrix.from_codes(true, predicted, labels=labels)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("n_labels", [1, 2, 5, 10, 20, 30, 60])
@pytest.mark.parametrize("color", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, n_labels: int, color: bool) -> None:
    """Whatever the number of labels, a table fits its width or is not drawn."""
    matrix = noisy([f"a rather long label {i}" for i in range(n_labels)], none=True)
    for normalize in ("none", "true"):
        text = table_text(matrix, width=width, color=color, normalize=normalize) or ""

        assert max(columns(COLOR.sub("", line)) for line in text.split("\n")) <= width


@pytest.mark.parametrize("width", [52, 60, 80, 100, 120, 200])
def test_every_count_is_in_the_table(width: int) -> None:
    """At every width each row holds its counts, in the order of the columns, then its sum."""
    matrix = noisy(CLOTHES, n=31)
    lines = (table_text(matrix, width=width, color=False) or "").split("\n")[2:]
    rows = [counts_of(line) for line in lines if counts_of(line)]

    assert rows[:10] == [[*row, 31] for row in matrix.counts[:-1, :-1].tolist()]
    assert rows[10] == [*matrix.counts[:, :-1].sum(axis=0).tolist(), 310]


def counts_of(line: str) -> list[int]:
    """The counts in a line of a table, without its label, its shares and its rates; [] for other lines."""
    words = line.replace("[", " ").replace("]", " ").replace("=", " ").split()
    words = words[2:] if words and words[0].isdigit() else words[1:]
    counts = [0 if word == "·" else int(word) for word in words if word == "·" or word.isdigit()]
    return counts if len(counts) == len(CLOTHES) + 1 else []


def test_ten_labels_have_counts_and_shares_in_eighty_columns() -> None:
    """The commonest case, ten labels in a terminal of the usual width, shows both."""
    text = table_text(noisy(CLOTHES), width=80, color=False)

    assert text is not None
    assert "below them their share of the true label" in " ".join(text.split())
    assert "%" in text


@pytest.mark.parametrize("normalize", ["true", "pred", "all"])
def test_ten_labels_have_shares_in_eighty_columns(normalize: str) -> None:
    """Normalised, ten labels fit the usual width too, in whole percent where there is no room for more."""
    assert "%" in (table_text(noisy(CLOTHES), width=80, color=False, normalize=normalize) or "")


def test_names_are_shortened_before_shares_are_given_up() -> None:
    """Long names do not cost the percentages where short ones leave room for them."""
    text = table_text(noisy(["living room, large", "kitchen, with a table"]), width=70, color=False)

    assert text is not None
    assert "living…" in text or "…" in text
    assert "%" in text


def test_a_zero_is_a_dot_and_a_little_is_not() -> None:
    """A pair that never occurs and one that occurs rarely cannot be taken for each other."""
    matrix = ConfusionMatrix.from_cells([("a", "a", 999), ("a", "b", 1), ("b", "b", 5)])
    first, second = (table_text(matrix, width=80, color=False) or "").split("\n")[2:4]

    assert "<1%" in first
    assert "·" in second
    assert "·" not in first


def test_a_label_without_images_has_dashes() -> None:
    """Recall of a label that no image has is undefined, not 0."""
    matrix = ConfusionMatrix.from_cells([("a", "a", 3)], labels=["a", "b"])
    row = (table_text(matrix, width=80, color=False) or "").split("\n")[3]

    assert row.split()[-3:] == ["–", "–", "–"]
    assert "–" in (table_text(matrix, width=80, color=False, normalize="true") or "").split("\n")[3]


def test_what_is_right_is_marked_without_color() -> None:
    """Without colour brackets mark the diagonal; with colour none are needed."""
    matrix = noisy(["a", "b"])

    assert (table_text(matrix, width=80, color=False) or "").count("[") == 2
    assert "[" not in COLOR.sub("", table_text(matrix, width=80, color=True) or "")


def test_no_label_has_a_column() -> None:
    """Images without a predicted label are counted in a column of their own."""
    text = table_text(noisy(["a", "b", "c"], none=True), width=100, color=False)

    assert text is not None
    assert "(no label)" in text.split("\n")[1]


def test_predictions_can_stand_on_rows() -> None:
    """In AWS's orientation the axes are named the other way round, and beside the rows stands the precision."""
    heading = (table_text(noisy(["a", "b"]), width=80, color=False, orientation="aws") or "").split("\n")

    assert heading[0].strip() == "true"
    assert heading[1].startswith("predicted")
    assert "precision" in heading[1]


def test_large_counts_are_shortened_where_they_must_be() -> None:
    """Millions of images in many labels are told in thousands, and the legend says so."""
    matrix = ConfusionMatrix.from_codes(np.arange(12), np.arange(12), labels=[f"l{i}" for i in range(12)])
    matrix = ConfusionMatrix(matrix.labels, matrix.counts * 1_234_567)
    text = table_text(matrix, width=80, color=False)

    assert text is not None
    assert "1.2M" in text
    assert "M million" in " ".join(text.split())


@pytest.mark.parametrize("label", ["\x1b[2J", "a\nb", "\u202ex", "x" * 300, "日本語のラベル", "e\u0301te\u0301"])
def test_hostile_and_foreign_labels_stay_in_their_cells(label: str) -> None:
    """No label can break the table: as many lines as without it, none too wide, nothing that steers a terminal."""
    text = table_text(noisy([label, "b"]), width=60, color=False) or ""

    assert len(text.split("\n")) in (8, 9, 10, 11)
    assert max(columns(line) for line in text.split("\n")) <= 60
    assert "\x1b" not in text


def test_no_labels_give_no_table() -> None:
    """A matrix without labels is not drawn."""
    assert table_text(ConfusionMatrix.empty([]), width=80, color=False) is None


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize(
    "pattern", ["label_{:03d}_long_common_prefix_a", "golden_retriever_{:04d}", "{:02d} of the set"]
)
def test_names_of_rows_can_always_be_told_apart(width: int, pattern: str) -> None:
    """Whatever labels have in common, their shown names differ, without their numbers too."""
    for n_labels in (*range(2, 21), 25, 30, 35, 40):
        text = table_text(noisy([pattern.format(i) for i in range(n_labels)]), width=width, color=False)
        if text is None:
            assert n_labels > width // 5
            continue
        lines = text.split("\nsum")[0].split("\n")[2:]
        names = [re.sub(r"^ *\d+ (?=\S)(?!of)", "", re.split(r"  +| *[=\[·]", line.strip())[0]) for line in lines]
        shown = [name for name in names if name and not name.endswith("%")]

        assert len(shown) == len(set(shown)) == n_labels


def test_long_names_are_shortened_before_scores_are_left_out() -> None:
    """Precision and F1 of labels with long names are there at eighty columns."""
    text = table_text(
        noisy(["golden_retriever_adult", "golden_retriever_puppy", "product_0012"]), width=80, color=False
    )

    assert "F1" in (text or "")
    assert "adult" in (text or "")
    assert "puppy" in (text or "")

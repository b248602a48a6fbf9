"""An evaluation in a terminal."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from deconfuse.insights.findings import Finding
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.measure.scores import binary_counts
from deconfuse.report.terminal import columns
from deconfuse.report.text import (
    evaluation_text,
    findings_text,
    headline_text,
    label_table_text,
    matrix_text,
    overview_text,
    stamp_text,
)
from deconfuse.report.views import Stamp

STAMP = Stamp(source="runs/clothes/1", split="test", n_images=341, rule="highest score")
FINDING = Finding(
    kind="confusion", sentence="2 of 4 closet images were called bedroom.", evidence={}, labels=("a",), importance=0.1
)


def shifted(n_labels: int, *, n: int = 20, wrong: int = 3) -> ConfusionMatrix:
    """Each label has n images, of which `wrong` are taken for the next one."""
    true = np.repeat(np.arange(n_labels), n)
    predicted = np.where(np.arange(len(true)) % n < wrong, (true + 1) % n_labels, true)
    return ConfusionMatrix.from_codes(true, predicted, labels=[f"label {i:03d}" for i in range(n_labels)])


def test_many_labels_give_an_overview() -> None:
    """A matrix that does not fit is replaced by its worst pairs and labels, and by the ways to see the rest."""
    text = matrix_text(shifted(100), width=80, color=False)

    assert "100 labels do not fit in 80 columns" in text
    assert "3 of 20" in text
    assert "Weakest labels" in text
    assert all(way in text for way in ("--labels", "--format csv", "report"))


@pytest.mark.parametrize("width", [10, 40, 80, 200])
@pytest.mark.parametrize("color", [False, True])
def test_the_overview_fits(width: int, color: bool) -> None:
    """No line of an overview is wider than its terminal, down to the least width that is honoured."""
    text = overview_text(shifted(300), width=width, color=color).replace("\x1b[1m", "").replace("\x1b[0m", "")

    assert max(columns(line) for line in text.split("\n")) <= max(width, 40)


def test_a_sparse_matrix_has_an_overview() -> None:
    """Thousands of labels are shown by their worst pairs; the picture, which cannot be drawn, is not offered."""
    codes = np.repeat(np.arange(3000), 5)
    wrong = np.where(np.arange(len(codes)) % 5 == 0, (codes + 1) % 3000, codes)
    cells = Cells.from_codes(codes, wrong, labels=[f"l{i}" for i in range(3000)])
    text = matrix_text(cells, width=80, color=False)

    assert "3,000 labels do not fit" in text
    assert "1 of 5" in text
    assert "png" not in text


def test_an_overview_without_errors_says_so() -> None:
    """Where nothing is confused, that is said."""
    text = matrix_text(shifted(100, wrong=0), width=80, color=False)

    assert "No label was taken for another." in text
    assert "Weakest" not in text


def test_the_headline_has_numbers_with_their_interval() -> None:
    """Accuracy comes with numerator, denominator and Wilson interval."""
    text = headline_text(shifted(4))

    assert "Accuracy 85.0 % (68 of 80 images; 95 % interval 75.6 % to 91.2 %)" in text
    assert "F1 0.85" in text


def test_an_empty_matrix_has_a_headline() -> None:
    """Nothing counted is said in words, without dividing by 0."""
    assert headline_text(ConfusionMatrix.empty(["a", "b"])) == "Nothing was counted."
    assert "–" in matrix_text(ConfusionMatrix.empty(["a", "b"]), width=80, color=False)


def test_multi_label_numbers_come_from_each_label() -> None:
    """The averages of a multi-label evaluation are those of the labels' own tables, its counts are decisions."""
    matrix = replace(shifted(2), unit="label decisions")
    binary = np.array([[[8, 0], [0, 2]], [[5, 0], [5, 0]]])
    text = headline_text(matrix, binary=binary)

    assert "label decisions" in text
    assert "recall 0.50" in text
    assert "kappa" not in text


def test_the_stamp_says_what_is_shown() -> None:
    """Source, split, number of images, rule, model, hash and date stand in one line, harmless to a terminal."""
    full = replace(
        STAMP, source="a\x1bb", model="m", data_hash="sha256:0123456789abcdef", date=datetime(2024, 5, 6, tzinfo=UTC)
    )

    assert stamp_text(STAMP) == "Source: runs/clothes/1; split: test; images: 341; rule: highest score."
    assert stamp_text(full).startswith("Source: a\\x1bb; split: test;")
    assert stamp_text(full).endswith("model: m; data: 0123456789ab; date: 2024-05-06 00:00.")


def test_everything_stands_above_the_matrix() -> None:
    """Stamp, headline and notes come first, each wrapped to the width."""
    text = evaluation_text(shifted(3), width=60, color=False, stamp=STAMP, notes=("The file holds shares only.",))

    assert text.index("Source:") < text.index("Accuracy") < text.index("Note: The file") < text.index("predicted")
    assert max(map(columns, text.split("\n"))) <= 60


def test_findings_are_a_numbered_list() -> None:
    """Findings are numbered and wrapped; those left out are counted, with the way to see them."""
    text = findings_text([FINDING] * 5, width=44, color=False, limit=2)

    assert "1. 2 of 4 closet images" in text
    assert "3 more findings: --findings 5." in text
    assert max(map(columns, text.split("\n"))) <= 44


def test_an_advice_is_given_once() -> None:
    """What was advised with one finding is not repeated with the next."""
    same = replace(FINDING, advice="Look at these images.")
    text = findings_text([same, replace(FINDING, advice="Add images."), same], width=80, color=False)

    assert text.count("Look at these images.") == 1
    assert text.index("Look at") < text.index("Add images.") < text.index("3. 2 of 4")


def test_no_findings_are_no_text() -> None:
    """Without findings there is no heading either."""
    assert findings_text([], width=80, color=False) == ""
    assert findings_text([FINDING], width=80, color=False, limit=0) == ""


@pytest.mark.parametrize("width", [40, 60, 100])
def test_labels_have_a_table_of_their_own(width: int) -> None:
    """One line a label with recall and F1 at any width, with intervals where they fit."""
    text = label_table_text(shifted(3), width=width, color=False)

    assert "85%" in text
    assert ("95% interval" in text) == (width >= 75)
    assert max(map(columns, text.split("\n"))) <= width


def several(labels: list[str]) -> tuple[ConfusionMatrix, np.ndarray]:
    """Images with the first label, found every time; on two of five the second was invented in addition."""
    true = [[labels[0]]] * 5 + [[labels[1]]] * 5
    predicted = [[labels[0]]] * 3 + [labels[:2]] * 2 + [[labels[1]]] * 5
    sides = [np.array([[label in row for label in labels] for row in side]) for side in (true, predicted)]
    return ConfusionMatrix.from_label_sets(true, predicted, labels=labels), binary_counts(*sides)


def test_scores_of_a_multi_label_table_do_not_contradict_its_headline() -> None:
    """Beside the rows stand the labels' own recall and precision, those that the headline averages."""
    matrix, binary = several(["green", "blue", "red"])
    text = evaluation_text(matrix, width=120, color=False, binary=binary)
    row = next(line for line in text.split("\n") if line.startswith("green"))

    assert "recall 1.00" in text
    assert row.split()[-5:] == ["7", "5", "100%", "100%", "1.00"]
    assert "An image counts once for each label decision" in " ".join(text.split())


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_label_of_a_multi_label_evaluation_shows_its_own_table(width: int) -> None:
    """True and false positives and negatives of each label stand below the matrix, at any width."""
    matrix, binary = several(["green", "blue", "red"])
    own = evaluation_text(matrix, width=width, color=False, binary=binary).split("by itself")[1].split("\n")
    head, first, second = next(own[i : i + 3] for i, line in enumerate(own) if line.startswith("label"))

    start = head.split().index("TP")
    assert head.split()[start : start + 4] == ["TP", "FP", "FN", "TN"]
    assert [row.split()[start : start + 4] for row in (first, second)] == [["5", "0", "0", "5"], ["5", "2", "0", "3"]]
    assert max(map(columns, own)) <= width


def test_decisions_without_tables_of_their_own_have_no_recall() -> None:
    """Where only decisions are known, none of their shares is called recall."""
    matrix, _ = several(["green", "blue"])

    assert "recall" not in evaluation_text(matrix, width=120, color=False)


def test_pairs_of_an_overview_can_be_told_apart() -> None:
    """Labels with a common beginning stay different in the list of pairs and of weak labels."""
    matrix = shifted(100)
    matrix = replace(matrix, labels=tuple(f"a_long_beginning_of_all_labels_{i:03d}_and_an_end" for i in range(100)))
    lines = overview_text(matrix, width=60, color=False).split("\n")

    assert all(len(set(line.split()[-3:])) == 3 for line in lines if " called " in line)
    assert any("003" in line for line in lines)


def test_shares_are_called_shares() -> None:
    """Where no counts are known, nothing is said to be so many of so many images, and nothing has an interval."""
    matrix = ConfusionMatrix(("a", "b"), np.array([[2.85, 1.15, 0], [0.02, 1.98, 0], [0, 0, 0]]))
    text = evaluation_text(matrix, width=80, color=False, is_exact=False)

    assert "Accuracy about 80 % (from shares, not counts)" in text
    assert "images" not in text.replace("times test images", "").replace("times test\nimages", "")
    assert "interval" not in text

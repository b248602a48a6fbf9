"""Findings: which come, in which order, and that each reads as English."""

from __future__ import annotations

import json
import re
from typing import get_args

import numpy as np
import pytest

from deconfuse.errors import Invalid
from deconfuse.insights.findings import LIMIT, Finding, Kind, find, find_at_thresholds
from deconfuse.measure.matrix import Cells, ConfusionMatrix, matrix_from_cells
from deconfuse.measure.scores import invented_in_addition

Triples = list[tuple[str | None, str | None, float]]

CLOSET: Triples = [("closet", "closet", 2), ("closet", "bedroom", 2), ("bedroom", "bedroom", 40)]


def of_kind(found: tuple[Finding, ...], kind: str) -> list[Finding]:
    """The findings of one kind, in their order."""
    return [finding for finding in found if finding.kind == kind]


def one(cells: Triples, kind: str, **options: object) -> Finding:
    """The only finding of a kind."""
    (found,) = of_kind(find(matrix_from_cells(cells), **options), kind)  # type: ignore[arg-type]
    return found


def test_a_confusion_of_few_images_says_how_little_is_known() -> None:
    """The sentence has numerator, denominator and the interval, and warns of so few images."""
    found = one(CLOSET, "confusion")

    assert found.sentence.startswith(
        "2 of 4 closet images were called bedroom; with so few images the true rate may be anywhere from 15 % to 85 %."
    )
    assert found.labels == ("closet", "bedroom")
    assert found.importance == found.evidence["low"] == pytest.approx(0.15, abs=0.01)


def test_evidence_carries_numerator_denominator_and_interval() -> None:
    """Every number of the sentence stands in the evidence, as JSON."""
    evidence = one(CLOSET, "confusion").evidence

    assert (evidence["numerator"], evidence["denominator"], evidence["share"]) == (2, 4, 0.5)
    assert evidence["reverse"] == {
        "numerator": 0,
        "denominator": 40,
        "share": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.0876, abs=1e-3),
    }


def test_certain_and_maybe_are_worded_differently() -> None:
    """Thirty of two hundred is more than chance, three of two hundred may be chance."""
    base: Triples = [("a1", "a1", 170), ("b1", "b1", 200), ("c1", "c1", 197), ("c1", "b1", 3)]
    certain, maybe = of_kind(find(matrix_from_cells([*base, ("a1", "b1", 30)])), "confusion")

    assert "This is more than chance." in certain.sentence
    assert "15 %, and the true rate is between 11 % and 21 %" in certain.sentence
    assert "This may be chance." in maybe.sentence
    assert (certain.evidence["certainty"], maybe.evidence["certainty"]) == ("certain", "maybe")


def test_a_dominant_direction_is_said() -> None:
    """Twenty against none goes one way; twenty against five goes mostly one way."""
    never = one([("cat", "cat", 80), ("cat", "dog", 20), ("dog", "dog", 100)], "confusion")
    mostly = one([("cat", "cat", 80), ("cat", "dog", 20), ("dog", "dog", 95), ("dog", "cat", 5)], "confusion")

    assert "It goes one way: never the other way round (0 of 100 dog images)." in never.sentence
    assert "It goes mostly one way: the other way round it is 5 of 100 dog images, 5 %." in mostly.sentence


def test_both_directions_are_said_to_be_more_than_chance() -> None:
    """Where each direction stands out by itself, the sentence says so."""
    both = one([("cat", "cat", 80), ("cat", "dog", 20), ("dog", "dog", 82), ("dog", "cat", 18)], "confusion")

    assert both.sentence.endswith(
        "The other way round it is 18 of 100 dog images, 18 %. Both directions are more than chance."
    )
    assert "make one label of the two" in both.advice


def test_singular_is_singular() -> None:
    """One image was called, of one image; no "1 images", no "1 were"."""
    found = one([("cat", "dog", 1), ("dog", "dog", 3)], "confusion")

    assert found.sentence.startswith("1 of 1 cat image was called dog;")


def test_labels_that_are_no_words_are_quoted() -> None:
    """A number as a label cannot be taken for a count."""
    found = one([("8", "3", 12), ("8", "8", 88), ("3", "3", 90)], "confusion")

    assert found.sentence.startswith("12 of 100 “8” images were called “3”: 12 %")


def test_other_labels_are_named_as_such() -> None:
    """(other) is a sum of labels, not a label, in sentences."""
    found = one([("cat", "(other)", 4), ("cat", "cat", 30), ("(other)", "(other)", 90)], "confusion")

    assert "4 of 34 cat images were called one of the other labels" in found.sentence
    assert "0 of 90 images of other labels" in found.sentence


def test_confusions_come_by_their_lower_bound() -> None:
    """Importance of confusions falls, and is the lower bound, whatever the raw rates are."""
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 9, (7, 7))
    found = of_kind(find(ConfusionMatrix(tuple("abcdefg"), np.pad(counts, (0, 1)))), "confusion")
    bounds = [finding.evidence["low"] for finding in found]

    assert len(found) > 5
    assert bounds == sorted(bounds, reverse=True)
    assert [finding.importance for finding in found] == bounds


def test_nothing_confused_is_said_with_what_may_still_be() -> None:
    """A perfect matrix says so, and how large the error may be all the same."""
    found = one([("cat", "cat", 20), ("dog", "dog", 30)], "none_confused")

    assert found.sentence == (
        "No label is confused with another: all 50 images are right; "
        "with 50 images the true share of confusions may still be up to 7 %."
    )


def test_an_empty_matrix_says_that_nothing_was_counted() -> None:
    """No images, no findings but that one."""
    (found,) = find(ConfusionMatrix.empty(["a", "b"]))

    assert found.kind == "nothing_counted"


def test_one_label_cannot_be_confused() -> None:
    """A matrix of one label says why there is nothing to see."""
    assert "only one label" in one([("cat", "cat", 20)], "none_confused").sentence


def test_single_errors_are_listed_up_to_five_and_then_counted() -> None:
    """Errors without a pattern do not fill the list."""
    cells: Triples = [(f"l{k}", f"l{k}", 30) for k in range(12)]
    cells += [(f"l{k}", f"l{k + 1}", 1) for k in range(11)]
    found = find(matrix_from_cells(cells))

    assert len(of_kind(found, "confusion")) == 5
    assert of_kind(found, "scattered")[0].sentence == (
        "6 more images lie spread over 6 further pairs of labels and form no pattern."
    )


def test_at_most_fifty_pairs_become_findings() -> None:
    """A matrix of many confusions stays readable; the rest is counted."""
    counts = np.full((30, 30), 5)
    found = find(ConfusionMatrix(tuple(f"l{k}" for k in range(30)), np.pad(counts, (0, 1))))

    assert len(of_kind(found, "confusion")) == LIMIT
    assert of_kind(found, "scattered")[0].evidence == {
        "numerator": 5 * 30 * 29 - 10 * LIMIT,
        "denominator": 5 * 30 * 29,
        "pairs": 30 * 29 // 2 - LIMIT,
        "certain": 0,
    }


def test_uncertain_pairs_claim_no_direction() -> None:
    """What may be chance is not said to go one way."""
    cells: Triples = [(f"l{k}", f"l{j}", 3) for k in range(6) for j in range(6) if j != k]
    cells += [("l0", "l1", 4), *((f"l{k}", f"l{k}", 90) for k in range(6))]
    for finding in of_kind(find(matrix_from_cells(cells)), "confusion"):
        assert finding.evidence["certainty"] == "maybe"
        assert "one way" not in finding.sentence


def test_images_without_a_label_are_their_own_finding() -> None:
    """No label is no confusion; the finding says whose images they are."""
    found = one([("cat", None, 6), ("cat", "cat", 34), ("dog", "dog", 39), ("dog", None, 1)], "no_label")

    assert found.sentence == "7 of 80 images got no label (9 %): 6 of 40 cat and 1 of 40 dog."
    assert found.labels == ("cat", "dog")


def test_predictions_without_truth_are_their_own_finding() -> None:
    """Images without a true label are counted and named."""
    found = one([(None, "cat", 1), ("cat", "cat", 34), ("dog", "dog", 39)], "no_truth")

    assert found.sentence == "1 of 74 images has no true label and was given one: 1 cat."


def test_multi_label_matrices_speak_of_decisions() -> None:
    """Where the unit is label decisions, no sentence speaks of images being called something."""
    confused = ConfusionMatrix.from_label_sets(
        [["a1", "b1"]] * 20 + [["a1"]] * 9, [["a1"]] * 12 + [["a1", "c1"]] * 8 + [[]] * 9, labels=["a1", "b1", "c1"]
    )
    found = find(confused, test_counts={"a1": 29, "b1": 20, "c1": 0})

    assert of_kind(found, "confusion")[0].sentence.startswith("8 of 20 label decisions on “b1” were “c1”")
    assert "label decisions were a label missed" in of_kind(found, "no_label")[0].sentence


def test_labels_with_too_few_test_images_are_listed() -> None:
    """Few images are named with their number and with what even a perfect score would leave open."""
    found = one([("cat", "cat", 3), ("dog", "dog", 7), ("eel", "eel", 30)], "too_few_test")

    assert found.sentence == (
        "2 of 3 labels have fewer than 10 test images, too few to judge them: cat (3) and dog (7); "
        "even with 3 of 3 right, the true recall may be as low as 44 %."
    )


def test_training_images_are_not_called_test_images() -> None:
    """A view of another split says images."""
    found = one([("cat", "cat", 3), ("dog", "dog", 30)], "too_few_test", is_test=False)

    assert found.sentence.startswith("cat has only 3 images, too few to judge it")


def test_labels_without_test_images_are_named() -> None:
    """Nothing is known about a label without test images, and the finding says so."""
    confused = matrix_from_cells([("cat", "cat", 30)], labels=["cat", "dog", "eel"])
    (found,) = of_kind(find(confused), "no_test")

    assert found.sentence == "2 labels have no test images, so nothing is known about them: dog and eel."


def test_under_represented_labels_are_compared_with_the_median() -> None:
    """Far fewer images than the label in the middle is a finding, in testing and in training."""
    cells: Triples = [("cat", "cat", 100), ("dog", "dog", 100), ("eel", "eel", 20)]
    train = {"cat": 500, "dog": 400, "eel": 12}
    found = find(matrix_from_cells(cells), train_counts=train)

    assert of_kind(found, "under_test")[0].sentence == (
        "eel has only 20 test images, while the label in the middle has 100."
    )
    assert of_kind(found, "under_train")[0].sentence == (
        "eel has only 12 training images, while the label in the middle has 400."
    )


def test_a_label_that_was_never_trained_is_named() -> None:
    """A label of the test set without training images can never be right."""
    found = one([("cat", "cat", 40), ("dog", "cat", 12)], "under_train", train_counts={"cat": 90})

    assert "dog has no training images, so it can never be predicted." in found.sentence


def test_rules_that_disagree_say_who_gains_and_who_loses() -> None:
    """The difference of two rules is told label by label, with the images right under each."""
    highest = matrix_from_cells(
        [("cap", "cap", 388), ("cap", "watch", 2), ("watch", "cap", 70), ("watch", "watch", 164)]
    )
    limits = matrix_from_cells(
        [("cap", "cap", 381), ("cap", None, 9), ("watch", "cap", 7), ("watch", "watch", 227)], labels=["cap", "watch"]
    )
    (found,) = of_kind(find(highest, other_rule=limits), "rules_disagree")

    assert found.sentence == (
        "Deciding by thresholds instead of the highest score changes at least 72 of 624 images: "
        "watch gains 63 right (164 → 227 of 234) and cap loses 7 right (388 → 381 of 390). "
        "In all, 608 instead of 552 are right. Without a label: 9 instead of 0 images."
    )
    assert found.evidence["correct"] == {"watch": [164, 227], "cap": [388, 381]}


def test_rules_that_agree_are_no_finding() -> None:
    """The same counts twice say nothing."""
    confused = matrix_from_cells(CLOSET)

    assert of_kind(find(confused, other_rule=confused), "rules_disagree") == []


def test_rules_over_other_labels_are_refused() -> None:
    """Two matrices of different labels cannot be compared."""
    with pytest.raises(Invalid, match="same labels"):
        find(matrix_from_cells(CLOSET), other_rule=matrix_from_cells([("x", "x", 1)]))


def test_thresholds_known_by_their_right_answers_only() -> None:
    """A summary's recall tells what thresholds would change; labels without a number are left out."""
    confused = matrix_from_cells([("cap", "cap", 8), ("cap", "watch", 2), ("watch", "watch", 9), ("watch", "cap", 1)])
    (found,) = find_at_thresholds(confused, {"watch": 10.0})

    assert "by thresholds watch gains 1 right (9 → 10 of 10)" in found.sentence
    assert find_at_thresholds(confused, {"cap": 8.0}) == ()


def test_sparse_matrices_have_the_same_findings() -> None:
    """Cells of the same counts give the same findings."""
    confused = matrix_from_cells([("a", "a", 40), ("a", "b", 9), ("b", "b", 3), ("b", None, 2), ("c", "c", 30)])

    assert find(Cells.from_cells(confused.to_cells())) == find(confused)


def worlds() -> list[tuple[Finding, ...]]:
    """Findings of many random matrices: tiny, weighted, with no label, with (other), of decisions."""
    rng = np.random.default_rng(11)
    found = []
    for trial in range(60):
        k = int(rng.integers(1, 6))
        counts = rng.integers(0, rng.choice([2, 4, 60]), (k + 1, k + 1)) * rng.integers(0, 2, (k + 1, k + 1))
        labels = ("2", "long dress", "T-shirt", "(other)", "cap", "émeu")[:k]
        unit = "label decisions" if trial % 3 == 0 else "samples"
        confused = ConfusionMatrix(labels, counts * (0.5 if trial % 5 == 0 else 1), unit)
        other = ConfusionMatrix(labels, np.roll(confused.counts, 1, axis=1), unit)
        train = {label: int(rng.integers(0, 40)) for label in labels}
        found.append(find(confused, other_rule=other, train_counts=train, is_test=trial % 2 == 0))
    return found


def test_every_kind_occurs_and_is_json() -> None:
    """Over many matrices every kind of finding is met, and each is JSON without NaN."""
    seen = set()
    for findings in worlds():
        for finding in findings:
            seen.add(finding.kind)
            json.dumps(finding.to_json(), allow_nan=False)
    singles = matrix_from_cells([(f"l{k}", f"l{k + 1}", 1) for k in range(20)])
    seen |= {finding.kind for finding in (*find(singles), *find(ConfusionMatrix.empty(["a"])))}
    seen |= {
        finding.kind
        for finding in find(matrix_from_cells([(c, c, n) for c, n in zip("abc", (90, 90, 20), strict=True)]))
    }

    assert seen == set(get_args(Kind))


def test_every_sentence_reads_well() -> None:
    """Sentences end with a full stop, have no doubled blanks, no NaN, and agree in number."""
    singular = re.compile(
        r"(?:^|[ (])1 (?:of [\d.,]+ )?(?:more )?(?:images|labels|label decisions|test images|training images)\b"
    )
    for findings in worlds():
        for finding in findings:
            text = f"{finding.sentence} {finding.advice}"

            assert finding.sentence.endswith("."), text
            assert "  " not in finding.sentence, text
            assert "nan" not in text.lower(), text
            assert "None" not in text, text
            assert "(other)" not in text, text
            found = singular.search(re.sub(r"1 of (?!1 )[\d.,]+ ", "", text))
            assert not found, text


QUESTIONS = (
    {"confusion", "no_label", "no_truth", "nothing_counted", "no_test", "too_few_test"},
    {"scattered", "none_confused"},
    {"under_test", "under_train"},
    {"rules_disagree"},
)


def test_findings_are_in_the_order_of_their_questions() -> None:
    """What is confused and what cannot be judged come before labels with few images, other rules come last."""
    for findings in worlds():
        known = [f for f in findings if f.kind != "under_train" or all(f.evidence["counts"].values())]  # type: ignore[attr-defined]
        places = [next(k for k, kinds in enumerate(QUESTIONS) if finding.kind in kinds) for finding in known]

        assert places == sorted(places)


def test_findings_of_a_kind_are_in_order_of_importance() -> None:
    """Most important first, within each kind; importance is a share."""
    for findings in worlds():
        for kind in get_args(Kind):
            importance = [finding.importance for finding in of_kind(findings, kind)]

            assert importance == sorted(importance, reverse=True)
            assert all(0 <= value <= 1 for value in importance)


def test_single_images_do_not_hide_that_labels_have_too_few() -> None:
    """Labels with too few test images come before errors of one image, and after errors that came twice."""
    cells: Triples = [(f"l{k}", f"l{k}", 3) for k in range(5)] + [(f"l{k}", f"l{k + 1}", 1) for k in range(4)]
    kinds = [finding.kind for finding in find(matrix_from_cells(cells))]
    twice = [finding.kind for finding in find(matrix_from_cells([*cells, ("l0", "l4", 2)]))]

    assert kinds[:2] == ["too_few_test", "confusion"]
    assert twice[:3] == ["confusion", "too_few_test", "confusion"]


def test_a_label_invented_in_addition_is_not_one_taken_for_another() -> None:
    """The sentence and its advice tell what was said in addition from what was said instead."""
    labels = ["green", "third"]
    sides = {"in addition": [["green", "third"]] * 9, "instead": [["third"]] * 9}
    for how, wrong in sides.items():
        true, predicted = [["green"]] * 20 + [["third"]] * 20, [*wrong, *[["green"]] * 11, *[["third"]] * 20]
        tables = [np.array([[label in row for label in labels] for row in side]) for side in (true, predicted)]
        matrix = ConfusionMatrix.from_label_sets(true, predicted, labels=labels)
        (found,) = of_kind(find(matrix, invented=invented_in_addition(*tables)), "confusion")

        assert how in found.sentence
        assert "make one label" not in found.advice
        assert ("missing among the labels" in found.advice) == (how == "in addition")
        assert found.evidence["invented_in_addition"] == (9 if how == "in addition" else 0)

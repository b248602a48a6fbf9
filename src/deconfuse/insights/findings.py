"""Numbers into sentences: what a reader should know about a confusion matrix, most important first.

    confusion        two labels are confused: how often, in which direction, how sure that is
    no_label         images that got no label
    no_truth         predictions without a true label
    scattered        single errors that show no pattern
    none_confused    no image was called by another label
    nothing_counted  the matrix is empty
    no_test          labels without test images
    too_few_test     labels with too few test images to be judged
    under_test       labels with far fewer test images than the others
    under_train      labels with far fewer training images than the others, or none
    rules_disagree   what changes when thresholds decide instead of the highest score

A finding about a rate is as important as the lower bound of that rate. A finding about labels as such is as important
as the share of labels it concerns, times a weight: without test images .5, too few of them .2, under-represented .1.
`in_order` puts the questions in the order in which a reader asks them, and the findings of each by importance: what is
confused leads, and a set too small to say anything says so before single images are spoken of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.insights import balance
from deconfuse.insights.confusions import Confusion, Confusions, confusions, entries
from deconfuse.insights.wording import called, images, listing, name, percent, plural, rate, short
from deconfuse.measure.matrix import OTHER, Matrix, Pair
from deconfuse.measure.rates import wilson
from deconfuse.measure.text import count_text as number

Kind = Literal[
    "confusion",
    "no_label",
    "no_truth",
    "scattered",
    "none_confused",
    "nothing_counted",
    "no_test",
    "too_few_test",
    "under_test",
    "under_train",
    "rules_disagree",
]
Rule = Literal["highest", "thresholds", "as given"]

LIMIT = 50
"""At most so many confused pairs become findings of their own."""

MIN_LISTED = 5
"""Single errors become findings of their own only until there are so many pairs."""

WIDE = 0.3
"""An interval wider than this is said to come from few images."""

NO_TEST_WEIGHT, TOO_FEW_WEIGHT, UNDER_WEIGHT = 0.5, 0.2, 0.1

_RULES = {"highest": "the highest score", "thresholds": "thresholds", "as given": "the rule given"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about an evaluation, with its evidence.

    Attributes:
        kind: which question it answers.
        sentence: one to three plain sentences, complete by themselves.
        evidence: numbers behind the sentence, JSON values only; where a rate is stated it has `numerator`,
            `denominator`, `share`, `low` and `high` (shares in 0..1; null where undefined).
        labels: the labels it is about, true before predicted.
        importance: 0..1, higher comes first; for confusions the lower bound of the rate.
        advice: what to do next, "" where there is nothing to do.
    """

    kind: Kind
    sentence: str
    evidence: Mapping[str, object]
    labels: tuple[str, ...]
    importance: float
    advice: str = ""

    def to_json(self) -> dict[str, object]:
        """The finding as a dictionary of JSON values."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "advice": self.advice,
            "labels": list(self.labels),
            "importance": self.importance,
            "evidence": dict(self.evidence),
        }


def find(
    matrix: Matrix,
    *,
    other_rule: Matrix | None = None,
    train_counts: Mapping[str, int] | None = None,
    test_counts: Mapping[str, int] | None = None,
    rule: Rule = "highest",
    is_test: bool = True,
    invented: NDArray[np.int64] | None = None,
) -> tuple[Finding, ...]:
    """Everything worth saying about `matrix`, in the order of `in_order`.

    Args:
        matrix: the counts to read.
        other_rule: the same images under the other rule (thresholds, where `rule` is the highest score), same labels.
        train_counts: training images by label; nothing is said about training without them.
        test_counts: evaluated images by label, where they differ from the support of `matrix` (multi-label).
        rule: the rule by which `matrix` was counted.
        is_test: whether the images are test images, which only decides how they are called.
        invented: int64[K, K] as `measure.scores.invented_in_addition` gives it, of label decisions; None where unknown.

    Raises:
        Invalid: `other_rule` has other labels than `matrix`.
    """
    if not matrix.total > 0:
        return (Finding("nothing_counted", "Nothing was counted: there are no images to judge.", {}, (), 1.0),)
    word = "test image" if is_test else "image"
    support = np.asarray(matrix.support, dtype=np.float64).tolist()
    counts: Mapping[str, float] = test_counts or dict(zip(matrix.labels, support, strict=True))
    found = [*_confused(matrix, invented), *_unlabelled(matrix), *_untrue(matrix), *_unjudged(counts, word)]
    if train_counts is not None:
        found += _under_trained(train_counts, counts)
    if other_rule is not None:
        found += _disagreement(matrix, other_rule, rule)
    return in_order(found)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """`findings` by the question they answer, then by falling importance.

    1. What is confused, or got no label, by the lower bound of its rate; from the first pair on that a single image
       stands for, after 2.
    2. Labels without test images, with too few of them, or never trained.
    3. Errors without a pattern; that nothing is confused.
    4. Labels with fewer images than the others.
    5. What another rule would change.
    """
    places: list[list[Finding]] = [[], [], [], [], []]
    for finding in sorted(findings, key=lambda finding: -finding.importance):
        places[_place(finding)].append(finding)
    rates = places[0]
    sure = next((i for i, finding in enumerate(rates) if _is_single(finding)), len(rates))
    return (*rates[:sure], *places[1], *rates[sure:], *places[2], *places[3], *places[4])


def _place(finding: Finding) -> int:
    if finding.kind in ("no_test", "too_few_test"):
        return 1
    if finding.kind in ("scattered", "none_confused"):
        return 2
    if finding.kind in ("under_test", "under_train"):
        counts = finding.evidence.get("counts")
        return 3 if isinstance(counts, Mapping) and any(counts.values()) else 1
    return 4 if finding.kind == "rules_disagree" else 0


def _is_single(finding: Finding) -> bool:
    """Whether it is a confusion of one image, which may be chance."""
    return (
        finding.kind == "confusion" and finding.evidence["certainty"] == "maybe" and finding.evidence["numerator"] == 1
    )


def _confused(matrix: Matrix, invented: NDArray[np.int64] | None) -> Iterator[Finding]:
    """One finding a confused pair, one for the errors without a pattern, or the one that says there are none."""
    found = confusions(matrix, limit=LIMIT, singles_up_to=MIN_LISTED)
    if not found.n_pairs:
        yield _none_confused(matrix)
        return
    place = {label: k for k, label in enumerate(matrix.labels)}
    for pair in found.pairs:
        added = None
        if invented is not None and matrix.unit == "label decisions":
            added = float(invented[place[pair.main.true], place[pair.main.predicted]])
        yield _confusion(pair, matrix.unit, added)
    rest = found.n_pairs - len(found.pairs)
    if rest:
        n_rest = found.n_confused - sum(pair.main.count + pair.reverse.count for pair in found.pairs)
        yield _scattered(n_rest, rest, found, matrix.unit)


def _confusion(pair: Confusion, unit: str, added: float | None) -> Finding:
    main, reverse = pair.main, pair.reverse
    things = "images" if unit == "samples" else "decisions"
    is_few = main.support < balance.MIN_TEST or main.high - main.low > WIDE
    low, high = percent(main.low), percent(main.high)
    if is_few:
        first = f"{_head(main, unit, added)}; with so few {things} the true rate may be anywhere from {low} to {high}."
    elif pair.is_certain:
        share = rate(main.count, main.support)
        first = f"{_head(main, unit, added)}: {share}, and the true rate is between {low} and {high}."
    else:
        share = rate(main.count, main.support)
        first = f"{_head(main, unit, added)}: {share}, and the true rate may be anywhere from {low} to {high}."
    if not pair.is_certain:
        second = "This may be chance."
    elif is_few:
        second = "Chance alone hardly explains it."
    else:
        second = "This is more than chance."
    evidence: dict[str, object] = {
        "true": main.true,
        "predicted": main.predicted,
        **_rate(main.count, main.support, low=main.low, high=main.high),
        "certainty": "certain" if pair.is_certain else "maybe",
        "q_value": pair.q_value,
        "direction": pair.direction,
        "direction_p_value": _json(pair.direction_p),
        "reverse": _rate(reverse.count, reverse.support, low=reverse.low, high=reverse.high),
        "unit": unit,
    }
    if added is not None:
        evidence["invented_in_addition"] = _whole(added)
    sentence = f"{first} {second} {_other_way(pair, unit)}"
    advice = _confusion_advice(pair) if unit == "samples" or not pair.is_certain else _decision_advice(main, added)
    return Finding("confusion", sentence, evidence, (main.true, main.predicted), main.low, advice)


def _head(pair: Pair, unit: str, added: float | None) -> str:
    """How often one label was taken for another, as the beginning of a sentence."""
    n_of_m = f"{number(pair.count)} of {number(pair.support)}"
    verb = plural(pair.count, "was", "were")
    if unit == "samples":
        return f"{n_of_m} {images(pair.support, pair.true)} {verb} called {called(pair.predicted)}"
    head = f"{n_of_m} label {plural(pair.support, 'decision')} on {_subject(pair.true)} {verb} {called(pair.predicted)}"
    if added is None:
        return head
    if not added:
        return f"{head}, said instead of it"
    how = "invented in addition, with no label missed"
    return f"{head}, {how}" if added == pair.count else f"{head} ({number(added)} of these {how})"


def _other_way(pair: Confusion, unit: str) -> str:
    reverse = pair.reverse
    noun = plural(reverse.support, "label decision") + f" on {_subject(reverse.true)}"
    if unit == "samples":
        noun = images(reverse.support, reverse.true)
    if not reverse.support:
        return f"Whether it also happens the other way round cannot be seen: there are no {noun}."
    n_of_m = f"{number(reverse.count)} of {number(reverse.support)} {noun}"
    if pair.direction == "one":
        if not reverse.count:
            return f"It goes one way: never the other way round ({n_of_m})."
        return f"It goes mostly one way: the other way round it is {n_of_m}, {rate(reverse.count, reverse.support)}."
    if not reverse.count:
        return f"The other way round it was not seen ({n_of_m})."
    both = " Both directions are more than chance." if pair.direction == "both" else ""
    return f"The other way round it is {n_of_m}, {rate(reverse.count, reverse.support)}.{both}"


def _confusion_advice(pair: Confusion) -> str:
    true, predicted = called(pair.main.true), called(pair.main.predicted)
    if not pair.is_certain:
        return (
            "Look at these images for wrong labels; more test images of both labels would show whether it is a pattern."
        )
    first = "Look at these images for wrong labels first"
    if pair.direction == "one":
        return (
            f"{first}. If the labels are right, add training images of {true} that look like these, "
            f"or split {true} if it covers several kinds of image."
        )
    return (
        f"{first}. If the labels are right, add training images of {true} and {predicted} that show the difference, "
        "or make one label of the two if nobody needs the difference."
    )


def _decision_advice(pair: Pair, added: float | None) -> str:
    """What to do about label decisions, by whether the label was said in addition or instead."""
    true, predicted = called(pair.true), called(pair.predicted)
    if added is None:
        return (
            "Look at these images for wrong or missing labels first. If the labels are right, add training images of "
            f"{true} without {predicted}, and of {predicted} without {true}."
        )
    if 2 * added > pair.count:
        return (
            f"Look first whether {predicted} is missing among the labels of these images. If it is rightly not there, "
            f"add training images of {true} without {predicted}; a higher threshold of {predicted} would invent it "
            "less often, and miss it more often."
        )
    return (
        "Look at these images for wrong labels first. If the labels are right, add training images of "
        f"{true} and of {predicted} that show the difference; a lower threshold of {true} would miss it less often."
    )


def _scattered(n: float, n_pairs: int, found: Confusions, unit: str) -> Finding:
    """The errors of the pairs that are not listed; where certain pairs are among them, it says how many."""
    noun = plural(n, "image" if unit == "samples" else "label decision")
    where = f"spread over {number(n_pairs)} further pairs of labels" if n_pairs > 1 else "in one further pair of labels"
    more = found.n_certain - sum(pair.is_certain for pair in found.pairs)
    end = f", {number(more)} of them more than chance" if more else " and form no pattern" if n_pairs > 1 else ""
    evidence = {"numerator": _whole(n), "denominator": _whole(found.n_confused), "pairs": n_pairs, "certain": more}
    return Finding("scattered", f"{number(n)} more {noun} {plural(n, 'lies', 'lie')} {where}{end}.", evidence, (), 0.0)


def _none_confused(matrix: Matrix) -> Finding:
    total = _judged(matrix)
    correct = float(np.asarray(matrix.correct).sum())
    if len(matrix.labels) == 1:
        sentence = "There is only one label, so nothing can be confused."
        return Finding("none_confused", sentence, {}, matrix.labels, 0.0)
    if not total:
        return Finding("none_confused", "No image has a true label, so nothing can be confused.", {}, (), 0.0)
    _, high = (float(bound) for bound in wilson(0, total))
    noun = plural(total, "image" if matrix.unit == "samples" else "label decision")
    n_right = f"all {number(total)} {noun} are right" if total > 1 else f"the only {noun} is right"
    if correct < total:
        n_right = f"every one of the {number(correct)} {noun} with a label is right"
    with_so_many = f"with {number(total)} {noun} the true share of confusions may still be up to {percent(high)}"
    sentence = f"No label is confused with another: {n_right}; {with_so_many}."
    return Finding("none_confused", sentence, _rate(0, total), (), 0.0)


def _unlabelled(matrix: Matrix) -> Iterator[Finding]:
    """The images that got no label, and whose they are."""
    cells = entries(matrix)
    missed = (cells.predicted < 0) & (cells.true >= 0)
    n, total = float(cells.count[missed].sum()), _judged(matrix)
    if not n:
        return
    codes, counts = cells.true[missed], cells.count[missed]
    supports = np.asarray(matrix.support, dtype=np.float64)[codes]
    low, _ = wilson(np.minimum(counts, supports), supports)
    ranking = np.lexsort((codes, -counts, -np.asarray(low))).tolist()
    labels = tuple(matrix.labels[int(codes[index])] for index in ranking)
    by_label = {
        label: _rate(float(counts[index]), float(supports[index])) for label, index in zip(labels, ranking, strict=True)
    }
    parts = [f"{number(counts[i])} of {number(supports[i])} {short(matrix.labels[int(codes[i])])}" for i in ranking]
    evidence = {**_rate(n, total), "by_label": by_label, "unit": matrix.unit}
    if matrix.unit == "samples":
        got = f"{number(n)} of {number(total)} {plural(total, 'image')} got no label ({rate(n, total)})"
        advice = "Look at these images; a lower threshold would give them a label, and more wrong ones to others."
    else:
        decisions = f"{number(n)} of {number(total)} label {plural(total, 'decision')}"
        missed_one = f"{plural(n, 'was', 'were')} a label missed while nothing else was said instead"
        got = f"{decisions} {missed_one} ({rate(n, total)})"
        advice = "Look at these images; a lower threshold would find more of the labels, and invent more of others."
    low_bound, _ = (float(bound) for bound in wilson(n, total))
    yield Finding("no_label", f"{got}: {listing(parts)}.", evidence, labels, low_bound, advice)


def _untrue(matrix: Matrix) -> Iterator[Finding]:
    """Predictions on images that have no true label."""
    cells = entries(matrix)
    invented = (cells.true < 0) & (cells.predicted >= 0)
    n, total = float(cells.count[invented].sum()), float(matrix.total)
    if not n:
        return
    codes, counts = cells.predicted[invented], cells.count[invented]
    ranking = np.lexsort((codes, -counts)).tolist()
    labels = tuple(matrix.labels[int(codes[index])] for index in ranking)
    parts = [f"{number(counts[index])} {short(matrix.labels[int(codes[index])])}" for index in ranking]
    if matrix.unit == "samples":
        head = f"{number(n)} of {number(total)} {plural(total, 'image')} {plural(n, 'has', 'have')} no true label and "
        sentence = f"{head}{plural(n, 'was', 'were')} given one: {listing(parts)}."
    else:
        head = f"{number(n)} of {number(total)} label {plural(total, 'decision')} {plural(n, 'was', 'were')} a label "
        sentence = f"{head}given to an image that has no true label: {listing(parts)}."
    low, _ = (float(bound) for bound in wilson(n, total))
    evidence = {**_rate(n, total), "by_label": dict(zip(labels, counts[ranking].tolist(), strict=True))}
    yield Finding("no_truth", sentence, evidence, labels, low)


def _unjudged(counts: Mapping[str, float], word: str) -> Iterator[Finding]:
    """Labels that this evaluation says nothing, or too little, about."""
    n_labels = sum(label != OTHER for label in counts)
    none = balance.missing(counts)
    if none:
        names = listing([name(label) for label in none])
        about = f"no {word}s, so nothing is known about"
        sentence = f"{names} has {about} it." if len(none) == 1 else f"{len(none):,} labels have {about} them: {names}."
        advice = f"Add {word}s of {'this label' if len(none) == 1 else 'these labels'}: 10 at least, better 30."
        evidence: dict[str, object] = {"counts": dict.fromkeys(none, 0), "n_labels": n_labels}
        yield Finding("no_test", sentence, evidence, none, NO_TEST_WEIGHT * len(none) / n_labels, advice)
    few = balance.too_few(counts)
    if few:
        yield _too_few(few, n_labels, word)
    small = {scarce.label for scarce in few}
    under = [scarce for scarce in balance.under_represented(counts) if scarce.label not in small]
    if under:
        evidence = {**_counts(under), "median": under[0].median, "n_labels": n_labels}
        labels = tuple(scarce.label for scarce in under)
        yield Finding("under_test", _under(under, word), evidence, labels, UNDER_WEIGHT * len(under) / n_labels)


def _too_few(few: Sequence[balance.Scarce], n_labels: int, word: str) -> Finding:
    fewest = few[0].count
    low, _ = (float(bound) for bound in wilson(fewest, fewest))
    right = f"even with {number(fewest)} of {number(fewest)} right, the true recall may be as low as {percent(low)}"
    if len(few) == 1:
        only = f"{name(few[0].label)} has only {number(fewest)} {plural(fewest, word)}"
        sentence = f"{only}, too few to judge it: {right}."
    else:
        parts = listing([f"{name(scarce.label)} ({number(scarce.count)})" for scarce in few])
        sentence = (
            f"{len(few):,} of {n_labels:,} labels have fewer than {balance.MIN_TEST} {word}s, too few to judge them: "
            f"{parts}; {right}."
        )
    advice = f"Add {word}s: of a label with 30, a recall near 90 % is known to about 11 points, with 100 to about 6."
    labels = tuple(scarce.label for scarce in few)
    evidence = {**_counts(few), "at_least": balance.MIN_TEST, "n_labels": n_labels}
    return Finding("too_few_test", sentence, evidence, labels, TOO_FEW_WEIGHT * len(few) / n_labels, advice)


def _under_trained(train: Mapping[str, float], evaluated: Mapping[str, float]) -> Iterator[Finding]:
    """Labels that training saw too little of."""
    everything = {**dict.fromkeys(evaluated, 0.0), **train}
    n_labels = max(1, sum(label != OTHER for label in everything))
    none = balance.missing(everything)
    if none:
        names = listing([name(label) for label in none])
        sentence = (
            f"{names} has no training images, so it can never be predicted."
            if len(none) == 1
            else f"{len(none):,} labels have no training images, so they can never be predicted: {names}."
        )
        evidence: dict[str, object] = {"counts": dict.fromkeys(none, 0), "n_labels": n_labels}
        advice = f"Add at least {balance.MIN_TRAIN} training images a label."
        yield Finding("under_train", sentence, evidence, none, NO_TEST_WEIGHT * len(none) / n_labels, advice)
    few = {scarce.label: scarce for scarce in balance.too_few(train, at_least=balance.MIN_TRAIN)}
    few |= {scarce.label: scarce for scarce in balance.under_represented(train)}
    if few:
        under = sorted(few.values(), key=lambda scarce: scarce.count)
        evidence = {**_counts(under), "median": under[0].median, "n_labels": n_labels}
        labels = tuple(scarce.label for scarce in under)
        advice = (
            "Add training images of these labels first." if len(under) > 1 else "Add training images of this label."
        )
        weight = UNDER_WEIGHT * len(under) / n_labels
        yield Finding("under_train", _under(under, "training image"), evidence, labels, weight, advice)


def _under(under: Sequence[balance.Scarce], word: str) -> str:
    middle = number(under[0].median)
    if len(under) == 1:
        count = under[0].count
        only = f"{name(under[0].label)} has only {number(count)} {plural(count, word)}"
        return f"{only}, while the label in the middle has {middle}."
    parts = listing([f"{name(scarce.label)} ({number(scarce.count)})" for scarce in under])
    return f"{len(under):,} labels have few {word}s, while the label in the middle has {middle}: {parts}."


def _disagreement(matrix: Matrix, other: Matrix, rule: Rule) -> Iterator[Finding]:
    """What the other rule would change, label by label."""
    if other.labels != matrix.labels:
        raise Invalid("other_rule", "both matrices must have the same labels in the same order")
    ours, theirs = entries(matrix), entries(other)
    k = len(matrix.labels) + 1
    keys = np.concatenate([ours.true * k + ours.predicted, theirs.true * k + theirs.predicted])
    _, which = np.unique(keys, return_inverse=True)
    moved = float(np.abs(np.bincount(which, weights=np.concatenate([ours.count, -theirs.count]))).sum()) / 2
    if not moved:
        return
    was, becomes = (np.asarray(m.correct, dtype=np.float64) for m in (matrix, other))
    ranking, parts = _gains(matrix, was, becomes)
    unlabelled = [float(cells.count[cells.predicted < 0].sum()) for cells in (ours, theirs)]
    this, that = _RULES[rule], _RULES["highest" if rule == "thresholds" else "thresholds"]
    total = float(matrix.total)
    changes = f"changes at least {number(moved)} of {number(total)} {plural(total, 'image')}"
    how = f": {listing(parts, limit=4)}." if parts else ", all of them wrong either way."
    in_all = f"In all, {number(becomes.sum())} instead of {number(was.sum())} are right."
    if unlabelled[0] != unlabelled[1]:
        n_without = f"{number(unlabelled[1])} instead of {number(unlabelled[0])}"
        in_all += f" Without a label: {n_without} {plural(unlabelled[0], 'image')}."
    sentence = f"Deciding by {that} instead of {this} {changes}{how} {in_all}"
    evidence: dict[str, object] = {
        **_rate(moved, total),
        "rule": rule,
        "correct": _changes(matrix, was, becomes, ranking),
        "no_label": unlabelled,
        "accuracy": [float(was.sum()) / total, float(becomes.sum()) / total],
    }
    low, _ = (float(bound) for bound in wilson(min(moved, total), total))
    labels = tuple(matrix.labels[i] for i in ranking)
    advice = (
        "Where every image must get a label, decide by the highest score; "
        "where no answer is better than a wrong one, by thresholds."
    )
    yield Finding("rules_disagree", sentence, evidence, labels, low, advice)


def find_at_thresholds(matrix: Matrix, correct: Mapping[str, float]) -> tuple[Finding, ...]:
    """What thresholds would change, where only the images that they get right are known; () where nothing changes.

    Args:
        matrix: counted by the highest score.
        correct: by label, how many of its images reach its threshold; labels without a number are left out.
    """
    was = np.asarray(matrix.correct, dtype=np.float64)
    becomes = np.array([correct.get(label, was[k]) for k, label in enumerate(matrix.labels)])
    ranking, parts = _gains(matrix, was, becomes)
    if not parts:
        return ()
    moved, total = float(np.abs(becomes - was).sum()), _judged(matrix)
    sentence = (
        f"The precision, recall and F1 in the file are taken at thresholds, the matrix at the highest score; the two "
        f"disagree on at least {number(moved)} of {number(total)} {plural(total, 'image')}: by thresholds "
        f"{listing(parts, limit=4)}."
    )
    evidence = {**_rate(moved, total), "rule": "highest", "correct": _changes(matrix, was, becomes, ranking)}
    low, _ = (float(bound) for bound in wilson(min(moved, total), total))
    labels = tuple(matrix.labels[i] for i in ranking)
    advice = "Compare versions by one rule only. The manifest snapshot of this evaluation shows both, with the images."
    return (Finding("rules_disagree", sentence, evidence, labels, low, advice),)


def _gains(matrix: Matrix, was: Any, becomes: Any) -> tuple[list[int], list[str]]:
    """The labels whose right answers change, most of all first, and how, in words."""
    change = becomes - was
    support = np.asarray(matrix.support, dtype=np.float64)
    ranking = [i for i in np.lexsort((np.arange(change.size), -np.abs(change))).tolist() if change[i]]
    parts = [
        f"{_whole_label(matrix.labels[i])} {'gains' if change[i] > 0 else 'loses'} {number(abs(change[i]))} right "
        f"({number(was[i])} → {number(becomes[i])} of {number(support[i])})"
        for i in ranking
    ]
    return ranking, parts


def _changes(matrix: Matrix, was: Any, becomes: Any, ranking: Sequence[int]) -> dict[str, list[int | float]]:
    return {matrix.labels[i]: [_whole(float(was[i])), _whole(float(becomes[i]))] for i in ranking}


def _judged(matrix: Matrix) -> float:
    """What has a true label, counted."""
    return float(np.asarray(matrix.support).sum())


def _rate(
    numerator: float, denominator: float, *, low: float | None = None, high: float | None = None
) -> dict[str, object]:
    if low is None or high is None:
        low, high = (float(bound) for bound in wilson(min(numerator, denominator), denominator))
    share = numerator / denominator if denominator else float("nan")
    return {
        "numerator": _whole(numerator),
        "denominator": _whole(denominator),
        "share": _json(share),
        "low": _json(low),
        "high": _json(high),
    }


def _subject(label: str) -> str:
    return "other labels" if label == OTHER else name(label)


def _whole_label(label: str) -> str:
    return "the rest" if label == OTHER else name(label)


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _counts(scarce: Sequence[balance.Scarce]) -> dict[str, object]:
    return {"counts": {one.label: _whole(one.count) for one in scarce}}

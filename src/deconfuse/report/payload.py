"""What the scripts of a page read: a `MatrixView` as JSON values, every number rounded once and every gap null.

    title, labels, unit, source, notes, similarity, train
    rules      [{name, title, explanation, stamp, cells, sums, headline, scores, thresholds, findings}]
    images     [{uri, p, cells: [[…] a rule], thumbnail | missing}]
    problems   [{level, code, message, where, split}]

A cell is a number: true * (K + 1) + predicted, where K is *no label*; `cells` of a rule is the flat list true,
predicted, count, true, … of the cells that hold something. Above `DENSE_LIMIT` labels only the most confused pairs
are in it, with the sums of all rows and columns beside them. Everything that a reader sees is derived from these
counts, in the browser (rates and their intervals) or here (averages, and intervals that need draws).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Problem
from deconfuse.insights.findings import Finding
from deconfuse.measure.intervals import Interval, binary_intervals, intervals
from deconfuse.measure.matrix import DENSE_LIMIT, Matrix
from deconfuse.measure.rates import Ends, wilson
from deconfuse.measure.scores import LabelScores, label_scores, macro, overall
from deconfuse.report.terminal import told_apart
from deconfuse.report.views import ImageView, MatrixView, RuleView, decisions

PAIRS = 300
"""Most confused pairs listed where a matrix cannot be drawn."""

PROBLEMS = 2_000
"""Problems listed in a page; the rest is counted."""

DRAWS = 2_000
SEED = 20_221

Json = Any


def payload(view: MatrixView) -> dict[str, Json]:
    """The view as JSON values; images come without their pictures, which `render` adds as far as there is room."""
    return {
        "title": view.title,
        "labels": list(view.labels),
        "names": list(told_apart(view.labels)),
        "unit": view.unit,
        "source": view.stamp.source,
        "notes": list(view.notes),
        "similarity": [int(label) for label in view.order_by_similarity],
        "train": None if view.train_counts is None else [int(count) for count in view.train_counts],
        "rules": [_rule(rule, view, is_first=rule is view.rules[0]) for rule in view.rules],
        "images": [_image(image, len(view.labels)) for image in view.images],
        "problems": [_problem(problem) for problem in view.problems[:PROBLEMS]],
        "n_problems": len(view.problems),
        "n_errors": sum(problem.level == "error" for problem in view.problems),
    }


def stamp_line(view: MatrixView, *, rule: str | None = None) -> str:
    """What the page is a view of, in one line; a hash by its first twelve digits, nothing twice.

    Args:
        view: the view.
        rule: the rule that is shown, in words; that of the stamp where it is None.

    Example:
        >>> from deconfuse.report.views import Stamp
        >>> stamp = Stamp("runs/a/1", "test", 1234, "highest score", data_hash="sha256:0123456789abcdef")
        >>> stamp_line(MatrixView("", stamp, (), ()))
        'runs/a/1 · test · 1,234 images · highest score · sha256:0123456789ab'
    """
    stamp = view.stamp
    date = ""
    if stamp.date is not None:
        date = f"{stamp.date:%Y-%m-%d %H:%M} {stamp.date.tzname() or ''}".strip()
    kind, colon, digits = (stamp.data_hash or "").rpartition(":")
    parts = [
        stamp.source if stamp.source != view.title else "",
        stamp.split,
        f"{stamp.n_images:,} images",
        rule or stamp.rule,
        stamp.model if stamp.model not in (view.title, stamp.source) else "",
        kind + colon + digits[:12],
        date,
    ]
    return " · ".join(part for part in parts if part)


def _rule(rule: RuleView, view: MatrixView, *, is_first: bool) -> dict[str, Json]:
    scores = label_scores(rule.matrix, binary=rule.binary)
    is_dense = len(view.labels) <= DENSE_LIMIT
    index = {label: i for i, label in enumerate(view.labels)}
    return {
        "name": rule.name,
        "title": rule.title,
        "explanation": rule.explanation,
        "stamp": stamp_line(view, rule=None if is_first else rule.title.lower()),
        "cells": _cells(rule.matrix, index) if is_dense else _pairs(rule.matrix, index),
        "sums": None if is_dense else _sums(rule.matrix),
        **_scores(rule, scores),
        "thresholds": None if rule.thresholds is None else [_round(value) for value in rule.thresholds],
        "findings": [_finding(finding, index) for finding in rule.findings],
    }


def _cells(matrix: Matrix, index: Mapping[str, int]) -> list[Json]:
    table = matrix.to_cells()
    none = len(index)
    flat: list[Json] = []
    for true, predicted, count in zip(*(table.column(i).to_pylist() for i in range(3)), strict=True):
        flat += [index.get(true, none), index.get(predicted, none), _round(count)]
    return flat


def _pairs(matrix: Matrix, index: Mapping[str, int]) -> list[Json]:
    flat: list[Json] = []
    for pair in matrix.most_confused(PAIRS):
        flat += [index[pair.true], index[pair.predicted], _round(pair.count)]
    for i in np.flatnonzero(matrix.correct).tolist():
        flat += [i, i, _round(matrix.correct[i])]
    return flat


def _sums(matrix: Matrix) -> list[list[Json]]:
    total = float(matrix.total)
    return [
        [*map(_round, sums.tolist()), _round(total - float(sums.sum()))]
        for sums in (np.asarray(matrix.support), np.asarray(matrix.predicted_counts))
    ]


def _scores(rule: RuleView, scores: LabelScores) -> dict[str, Json]:
    """Headline numbers, and columns of the table of labels: [value, low, high] a label."""
    rng = np.random.default_rng(SEED)
    if rule.binary is None:
        found = intervals(rule.matrix, rng=rng, draws=DRAWS if len(rule.matrix.labels) <= DENSE_LIMIT else DRAWS // 10)
        f1, means = found.f1, (found.macro_f1, found.macro_precision, found.macro_recall)
    else:
        f1, means = binary_intervals(rule.binary, rng=rng, draws=DRAWS)
        found = None
    whole = overall(rule.matrix)
    right, total = float(np.sum(rule.matrix.correct)), float(rule.matrix.total)
    n = f"mean over {macro(scores).n_labels:,} labels"
    headline = [
        _number("F1", means[0], n),
        _number("Precision", means[1], n),
        _number("Recall", means[2], n + ("; also called balanced accuracy" if found else "")),
    ]
    if found:
        about = "of chance-corrected agreement; 0 is chance"
        headline.insert(0, _number("Accuracy", found.accuracy, f"{_plain(right)} of {_plain(total)} right"))
        headline.append(_number("Kappa", found.kappa, about, is_share=False))
        headline.append(_number("MCC", found.mcc, "correlation of truth and prediction; 0 is chance", is_share=False))
    else:
        low, high = wilson(right, total)
        interval = Interval(right / total if total else math.nan, float(low), float(high))
        about = f"{_plain(right)} of {_plain(total)} label decisions right"
        headline.insert(0, _number("Decisions right", interval, about))
    return {
        "headline": headline,
        "weighted_f1": _round(whole.weighted_f1),
        "scores": {
            "support": [_round(value) for value in scores.support.tolist()],
            "predicted": [_round(value) for value in scores.predicted.tolist()],
            "precision": _column(scores.precision, wilson(scores.true_positives, scores.predicted)),
            "recall": _column(scores.recall, wilson(scores.true_positives, scores.support)),
            "f1": _column(scores.f1, f1),
        },
    }


def _number(name: str, interval: Interval, about: str, *, is_share: bool = True) -> dict[str, Json]:
    return {
        "name": name,
        "value": _round(interval.value),
        "low": _round(interval.low),
        "high": _round(interval.high),
        "about": about,
        "is_share": is_share,
    }


def _column(values: NDArray[np.float64], ends: Ends) -> list[list[Json]]:
    low, high = (np.asarray(end, np.float64).tolist() for end in ends)
    return [[_round(a), _round(b), _round(c)] for a, b, c in zip(values.tolist(), low, high, strict=True)]


def _finding(finding: Finding, index: Mapping[str, int]) -> dict[str, Json]:
    evidence = finding.evidence
    rate = {key: evidence[key] for key in ("share", "low", "high") if isinstance(evidence.get(key), float | int)}
    return {
        "kind": finding.kind,
        "sentence": finding.sentence,
        "advice": finding.advice,
        "cell": _cell_of(finding, index),
        "rate": rate if len(rate) == 3 else None,
    }


def _cell_of(finding: Finding, index: Mapping[str, int]) -> list[int] | None:
    """The cell that a finding is about, or the one to look at first where it is about several."""
    none = len(index)
    labels = [index[label] for label in finding.labels if label in index]
    if not labels or len(labels) < min(2, len(finding.labels)):
        return None
    if finding.kind == "confusion":
        return labels[:2] if len(labels) > 1 else None
    if finding.kind == "no_label":
        return [labels[0], none]
    if finding.kind == "no_truth":
        return [none, labels[0]]
    return [labels[0], labels[0]]


def _image(image: ImageView, none: int) -> dict[str, Json]:
    places = [_places(image.true, predicted, none) for predicted in image.predicted]
    shown: dict[str, Json] = {"uri": image.uri, "p": _round(image.probability), "cells": places}
    if image.is_missing:
        shown["missing"] = 1
    return shown


def _places(true: Iterable[int], predicted: Iterable[int], none: int) -> list[int]:
    return [
        (none if was is None else was) * (none + 1) + (none if became is None else became)
        for was, became in decisions(true, predicted)
    ]


def _problem(problem: Problem) -> dict[str, Json]:
    where = [] if problem.line is None else [f"line {problem.line:,}"]
    return {
        "level": problem.level,
        "code": problem.code,
        "message": problem.message,
        "where": ", ".join([*([problem.uri] if problem.uri else []), *where]),
        "split": problem.split,
    }


def _plain(count: float) -> str:
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.2f}"


def _round(value: float | None) -> float | int | None:
    """A number as short as its use allows; None for what is undefined, which JSON has no number for."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.7g}")

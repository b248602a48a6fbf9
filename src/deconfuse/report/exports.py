r"""A matrix as files that other programs read: CSV, JSON, Markdown, LaTeX, HTML.

Every format names the axes in words (`true_label`, `predicted_label`, `true\predicted`), so the orientation is never
lost. CSV with one pair a line, CSV as a table of counts, and JSON are read back by `deconfuse matrix`:
`docs/tour-matrix.md` has the schemas. Text for a terminal is in report.text, pictures are in report.drawing.
"""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deconfuse.measure.intervals import Interval, binary_intervals, intervals
from deconfuse.measure.matrix import Matrix
from deconfuse.measure.rates import wilson, wilson_f1
from deconfuse.measure.scores import label_scores, macro, overall
from deconfuse.measure.text import UNDEFINED_TEXT, count_text, percent_text
from deconfuse.report.colors import cell_rgb, hex_color, ink_rgb
from deconfuse.report.grid import DENOMINATORS, UNITS, Grid, Normalize, Orientation, grid, label_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deconfuse.errors import Problem
    from deconfuse.insights.findings import Finding
    from deconfuse.report.views import Stamp

JSON_FORMAT = "deconfuse.matrix/1"
"""Value of the key `format` in JSON; the number changes when a reader would have to."""

WIDE_CORNER = {"true": "true\\predicted", "predicted": "predicted\\true"}
"""First cell of a wide table, by what its rows are."""


def matrix_csv(
    matrix: Matrix, *, wide: bool = False, normalize: Normalize = "none", orientation: Orientation = "true"
) -> str:
    r"""The matrix as CSV (RFC 4180 quoting, line feeds).

    Long, one pair a line: `true_label,predicted_label,count`, and `share` when normalised; *no label* is an empty
    cell. Pairs that do not occur are left out, but a label that nothing was counted for has one line with count 0, so
    that reading the file back gives every label.
    Wide, the table: its corner says what the rows are (`true\predicted`), *no label* is an empty heading; normalised,
    the corner adds the denominator and the cells are shares, empty where undefined.

    Raises:
        LimitExceeded: wide, and the matrix is sparse.
    """
    if wide:
        return _wide_csv(grid(matrix, normalize=normalize, orientation=orientation))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["true_label", "predicted_label", "count"]
    is_shared = normalize != "none"
    writer.writerow([*header, "share"] if is_shared else header)
    writer.writerows(_long_rows(matrix, normalize) if is_shared else _pair_rows(matrix))
    return out.getvalue()


def _pair_rows(matrix: Matrix) -> Iterable[tuple[str | None, str | None, str]]:
    cells = matrix.to_cells()
    columns = (cells.column(name).to_pylist() for name in ("true_label", "predicted_label", "count"))
    for true, predicted, count in zip(*columns, strict=True):
        yield true, predicted, _number(count)
    for k in np.flatnonzero((matrix.support == 0) & (matrix.predicted_counts == 0)):
        yield matrix.labels[k], matrix.labels[k], "0"


def _long_rows(matrix: Matrix, normalize: Normalize) -> Iterable[tuple[str | None, str | None, str, str]]:
    totals: dict[str | None, float] = {}
    pairs = list(_pair_rows(matrix))
    for true, predicted, count in pairs:
        side = {"true": true, "pred": predicted, "all": None}[normalize]
        totals[side] = totals.get(side, 0.0) + float(count)
    for true, predicted, count in pairs:
        total = totals[{"true": true, "pred": predicted, "all": None}[normalize]]
        yield true, predicted, count, repr(float(count) / total) if total else ""


def _wide_csv(shown: Grid) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    corner = WIDE_CORNER[shown.row_axis]
    if shown.normalize != "none":
        corner += f" ({DENOMINATORS[shown.normalize]})"
    writer.writerow([corner, *shown.columns])
    values = shown.counts if shown.normalize == "none" else shown.shares
    for label, row in zip(shown.rows, values.tolist(), strict=True):
        writer.writerow([label, *("" if math.isnan(value) else _number(value) for value in row)])
    return out.getvalue()


def _number(value: float) -> str:
    """The shortest text that reads back as the same number; whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def matrix_json(
    matrix: Matrix,
    *,
    normalize: Normalize = "none",
    title: str = "",
    kind: str | None = None,
    stamp: Stamp | None = None,
    thresholds: Sequence[float] | None = None,
    findings: Sequence[Finding] = (),
    problems: Sequence[Problem] = (),
    notes: Sequence[str] = (),
    binary: NDArray[np.int64] | None = None,
    n_pairs: int = 50,
    is_exact: bool = True,
) -> str:
    """Everything that is known about the matrix, as one JSON object, ended by a line feed.

    Args:
        matrix: what was counted.
        normalize: adds `share`, with that denominator, to each cell.
        title: a few words.
        kind: what the source is ("run", "predictions", "cells", "summary", "snapshot"); None where unknown.
        stamp: what this is a view of; None for none.
        thresholds: one a label, where the rule has them.
        findings: most important first.
        problems: what was not used, and warnings.
        notes: sentences that a reader of the numbers must know.
        binary: int64[K, 2, 2] of a multi-label evaluation; the scores of labels then come from it.
        n_pairs: how many of the most confused pairs are named.
        is_exact: whether the counts are counts; otherwise they are shares, and have no intervals.
    """
    drawn = _drawn(matrix, binary)
    content: dict[str, Any] = {
        "format": JSON_FORMAT,
        "title": title,
        "kind": kind,
        "stamp": _stamp_json(stamp),
        "unit": matrix.unit,
        "normalize": normalize,
        "labels": list(matrix.labels),
        "thresholds": None
        if thresholds is None
        else {label: _plain(value) for label, value in zip(matrix.labels, thresholds, strict=True)},
        "is_exact": is_exact,
        "total": _plain(matrix.total),
        "overall": _overall_json(matrix, binary, drawn),
        "label_scores": _label_scores_json(matrix, binary),
        "most_confused": [
            {
                "true_label": pair.true,
                "predicted_label": pair.predicted,
                "count": _plain(pair.count),
                "support": _plain(pair.support),
                "share": _plain(pair.share),
                "low": _plain(pair.low),
                "high": _plain(pair.high),
            }
            for pair in matrix.most_confused(n_pairs)
        ],
        "findings": [_plain_tree(finding.to_json()) for finding in findings],
        "notes": list(notes),
        "problems": [_problem_json(problem) for problem in problems],
    }
    if not is_exact:
        content = _without_intervals(content)
    head = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    # One cell a line keeps the file readable, and half the size of an indented one.
    lines = (json.dumps(cell, ensure_ascii=False, allow_nan=False) for cell in _cells_json(matrix, normalize))
    return head[:-2] + ',\n "cells": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def _cells_json(matrix: Matrix, normalize: Normalize) -> Iterable[dict[str, Any]]:
    rows: Iterable[tuple[Any, ...]] = _pair_rows(matrix) if normalize == "none" else _long_rows(matrix, normalize)
    for true, predicted, count, *share in rows:
        if float(count):
            cell = {"true_label": true, "predicted_label": predicted, "count": _plain(float(count))}
            yield {**cell, "share": float(share[0])} if share else cell


def _stamp_json(stamp: Stamp | None) -> dict[str, Any] | None:
    if stamp is None:
        return None
    return {
        "source": stamp.source,
        "split": stamp.split,
        "n_images": stamp.n_images,
        "rule": stamp.rule,
        "model": stamp.model,
        "data_hash": stamp.data_hash,
        "date": None if stamp.date is None else stamp.date.isoformat(),
    }


_DRAWN = ("macro_precision", "macro_recall", "macro_f1", "balanced_accuracy", "kappa", "mcc")


def _overall_json(matrix: Matrix, binary: NDArray[np.int64] | None, drawn: Mapping[str, Interval]) -> dict[str, Any]:
    scores = overall(matrix)
    right, total = float(matrix.correct.sum()), float(matrix.total)
    found: dict[str, Any] = {"accuracy": _rate_json(right, total)}
    means = macro(label_scores(matrix, binary=binary))
    averages = {
        "macro_precision": means.precision,
        "macro_recall": means.recall,
        "macro_f1": means.f1,
        "weighted_f1": scores.weighted_f1,
        "micro_f1": scores.micro_f1,
        "balanced_accuracy": scores.balanced_accuracy,
        "kappa": scores.kappa,
        "mcc": scores.mcc,
    }
    for name, value in averages.items():
        found[name] = {"value": _plain(value)}
        if name in _DRAWN:
            interval = drawn.get(name)
            found[name]["low"] = None if interval is None else _plain(interval.low)
            found[name]["high"] = None if interval is None else _plain(interval.high)
    return found


_MOST_LABELS_DRAWN = 1000


def _drawn(matrix: Matrix, binary: NDArray[np.int64] | None) -> Mapping[str, Interval]:
    """Intervals, by name, of averages that have no formula; none where drawing would take seconds."""
    if len(matrix.labels) > _MOST_LABELS_DRAWN or not matrix.total:
        return {}
    rng = np.random.default_rng(0)
    if binary is not None:
        _, means = binary_intervals(binary, rng=rng)
        return dict(zip(("macro_f1", "macro_precision", "macro_recall"), means, strict=True))
    found = intervals(matrix, rng=rng)
    return {name: getattr(found, name) for name in _DRAWN}


def _label_scores_json(matrix: Matrix, binary: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    scores = label_scores(matrix, binary=binary)
    low, high = wilson_f1(scores.true_positives, scores.support, scores.predicted)
    return [
        {
            "label": label,
            "support": _plain(scores.support[k]),
            "predicted": _plain(scores.predicted[k]),
            "correct": _plain(scores.true_positives[k]),
            "recall": _rate_json(scores.true_positives[k], scores.support[k]),
            "precision": _rate_json(scores.true_positives[k], scores.predicted[k]),
            "f1": {"value": _plain(scores.f1[k]), "low": _plain(low[k]), "high": _plain(high[k])},
            **({} if binary is None else {"binary": binary[k].tolist()}),
        }
        for k, label in enumerate(matrix.labels)
    ]


def _rate_json(hits: float, trials: float) -> dict[str, Any]:
    low, high = wilson(hits, trials)
    return {
        "value": _plain(hits / trials if trials else math.nan),
        "low": _plain(float(low)),
        "high": _plain(float(high)),
        "numerator": _plain(hits),
        "denominator": _plain(trials),
    }


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "level": problem.level,
        "message": problem.message,
        "uri": problem.uri,
        "line": problem.line,
        "split": problem.split,
    }


def _plain(value: Any) -> int | float | None:
    """A number as JSON has it: whole numbers as integers, None for what is undefined."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _without_intervals(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key in ("low", "high") else _without_intervals(item) for key, item in value.items()}
    return [_without_intervals(item) for item in value] if isinstance(value, list) else value


def _plain_tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_tree(item) for item in value]
    if isinstance(value, (float, np.floating, np.integer)):
        return _plain(value)
    return value


def matrix_markdown(
    matrix: Matrix,
    *,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    caption: Sequence[str] = (),
) -> str:
    """The matrix as a Markdown table (GitHub's form), right answers bold, `caption` as paragraphs above.

    Raises:
        LimitExceeded: the matrix is sparse.
    """
    shown = grid(matrix, normalize=normalize, orientation=orientation)
    lines = [part for line in caption for part in (_markdown(line), "")]
    heads = [f"{shown.row_axis} ↓ / {shown.column_axis} →", *(_markdown(label_text(label)) for label in shown.columns)]
    lines.append("| " + " | ".join([*heads, "sum"]) + " |")
    lines.append("| --- |" + " ---: |" * (len(heads)))
    for row, label in enumerate(shown.rows):
        cells = [
            f"**{text}**" if shown.is_right[row, column] and shown.counts[row, column] else text
            for column, text in enumerate(_texts(shown, row))
        ]
        total = count_text(shown.counts[row].sum())
        lines.append("| " + " | ".join([_markdown(label_text(label)), *cells, total]) + " |")
    lines += ["", f"*{_cell_sentence(shown)}*"]
    return "\n".join(lines) + "\n"


def _texts(shown: Grid, row: int) -> list[str]:
    """The cells of a row: count and share, or share alone; "0" where nothing was counted."""
    texts = []
    for column in range(len(shown.columns)):
        count, denominator = shown.counts[row, column], shown.denominators[row, column]
        if shown.normalize != "none":
            texts.append(percent_text(count, denominator, decimals=1))
        else:
            texts.append(f"{count_text(count)} ({percent_text(count, denominator)})" if count else "0")
    return texts


def _cell_sentence(shown: Grid) -> str:
    what = UNITS[shown.unit]
    content = DENOMINATORS[shown.normalize]
    if shown.normalize == "none":
        content = f"{what} ({content})"
    return f"Rows: {shown.row_axis} label; columns: {shown.column_axis} label; cells: {content}; sum: {what}."


_MARKDOWN = {character: "\\" + character for character in "\\`*_{}[]()#+!|~$<>&"} | {"\n": " ", "\r": " "}


def _markdown(text: str) -> str:
    return "".join(_MARKDOWN.get(character, character) for character in _visible(text))


def _visible(text: str) -> str:
    """`text` with control characters spelled as codes: no program that reads the file meets one."""
    return "".join(
        f"\\x{ord(character):02x}" if ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 else character
        for character in text.encode("utf-8", "backslashreplace").decode()
    )


def matrix_latex(
    matrix: Matrix,
    *,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    caption: Sequence[str] = (),
) -> str:
    """The matrix as a LaTeX `tabular` that needs no package; `caption` stands above it as comments.

    Raises:
        LimitExceeded: the matrix is sparse.
    """
    shown = grid(matrix, normalize=normalize, orientation=orientation)
    n = len(shown.columns)
    lines = [f"% {_visible(line)}" for line in caption]
    lines += [f"% {_cell_sentence(shown)}", f"\\begin{{tabular}}{{l{'r' * (n + 1)}}}", "\\hline"]
    lines.append(f" & \\multicolumn{{{n}}}{{c}}{{{shown.column_axis}}} & \\\\")
    lines.append(" & ".join([shown.row_axis, *(_latex(label_text(label)) for label in shown.columns), "sum"]) + " \\\\")
    lines.append("\\hline")
    for row, label in enumerate(shown.rows):
        cells = [
            f"\\textbf{{{_latex(text)}}}" if shown.is_right[row, column] and shown.counts[row, column] else _latex(text)
            for column, text in enumerate(_texts(shown, row))
        ]
        total = count_text(shown.counts[row].sum())
        lines.append(" & ".join([_latex(label_text(label)), *cells, total]) + " \\\\")
    lines += ["\\hline", "\\end{tabular}"]
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    # A bracket that opens a row would be read as the argument of the line break before it.
    "[": "{[}",
    "]": "{]}",
    '"': r"\textquotedbl{}",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _visible(text))


def matrix_html(
    matrix: Matrix,
    *,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    title: str = "Confusion matrix",
    caption: Sequence[str] = (),
) -> str:
    """The matrix as a static HTML page: one table with headings for rows and columns, no script.

    Raises:
        LimitExceeded: the matrix is sparse.
    """
    shown = grid(matrix, normalize=normalize, orientation=orientation)
    out = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f"<title>{_html(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<table>\n<caption>",
        "".join(f"<p>{_html(line)}</p>" for line in (title, *caption, _cell_sentence(shown))),
        "</caption>\n<thead>\n<tr><td></td>",
        f'<th colspan="{len(shown.columns)}" scope="colgroup">{shown.column_axis}</th><td></td></tr>\n<tr>',
        f'<th scope="col">{shown.row_axis}</th>',
        *(f'<th scope="col" dir="auto">{_html(label_text(label))}</th>' for label in shown.columns),
        '<th scope="col">sum</th></tr>\n</thead>\n<tbody>\n',
    ]
    shares = shown.shares
    for row, label in enumerate(shown.rows):
        out.append(f'<tr><th scope="row" dir="auto">{_html(label_text(label))}</th>')
        for column, text in enumerate(_texts(shown, row)):
            count = shown.counts[row, column]
            if not count:
                out.append(f'<td class="zero">{UNDEFINED_TEXT if text == UNDEFINED_TEXT else "0"}</td>')
                continue
            ground = cell_rgb(float(shares[row, column]), is_right=bool(shown.is_right[row, column]))
            out.append(
                f'<td style="background:{hex_color(ground)};color:{hex_color(ink_rgb(ground))}">{_html(text)}</td>'
            )
        out.append(f"<td>{count_text(shown.counts[row].sum())}</td></tr>\n")
    out.append("</tbody>\n</table>\n</body>\n</html>\n")
    return "".join(out)


_STYLE = """body{font:14px system-ui,sans-serif;margin:1.5rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse}caption{text-align:left}caption p{margin:0 0 .4em}
td,th{padding:.25em .5em;text-align:right;border:1px solid #e4e4e4;font-variant-numeric:tabular-nums}
tbody th{text-align:left;font-weight:normal}td.zero{color:#767676}
"""


def _html(text: str) -> str:
    return html.escape(_visible(text), quote=True)

"""An evaluation in a terminal: headline, matrix, findings, at whatever width there is.

The matrix is never drawn unreadably: where report.table finds no layout that fits, the most confused pairs, the
blocks in which errors gather and the weakest labels come instead, with the ways to see the rest.

Width and colour are given; nothing here asks the terminal. Files are written by report.exports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deconfuse.insights.confusions import blocks
from deconfuse.measure.matrix import Cells, Matrix
from deconfuse.measure.rates import wilson
from deconfuse.measure.scores import label_scores, macro, overall
from deconfuse.measure.text import UNDEFINED_TEXT, count_text, percent_text
from deconfuse.report.grid import UNITS, Normalize, Orientation, decimal_text, share_text
from deconfuse.report.table import DECISIONS, table_text
from deconfuse.report.terminal import abbreviate, bold, clip, columns, join_lines, left, printable, right, wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deconfuse.insights.findings import Finding
    from deconfuse.report.views import Stamp

MIN_WIDTH = 40
"""Narrower terminals are treated as this wide: their lines wrap, and nothing is lost."""

_OWN_TABLES = 60
_N_BLOCKS = 12
_SHOWN_BLOCKS = 4
_NAMED_LABELS = 6
_TP_FP_FN_TN = ((1, 1), (0, 1), (1, 0), (0, 0))
_CALLED = " called "
_LEAST_NAMES = 20


def evaluation_text(
    matrix: Matrix,
    *,
    width: int,
    color: bool,
    title: str = "",
    stamp: Stamp | None = None,
    notes: Sequence[str] = (),
    binary: NDArray[np.int64] | None = None,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    order: Sequence[int] | None = None,
    is_exact: bool = True,
) -> str:
    """Title, stamp, headline numbers and the matrix, ended by a line feed.

    Args:
        matrix: what was counted.
        width: columns of the terminal.
        color: whether to colour.
        title: a few words; "" for none.
        stamp: what this is a view of; None for none.
        notes: sentences that a reader of the numbers must know.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, of a multi-label evaluation.
        normalize: see `matrix_text`.
        orientation: see `matrix_text`.
        order: see `matrix_text`.
        is_exact: whether the counts are counts; otherwise they are shares, and have no intervals.
    """
    width = max(width, MIN_WIDTH)
    lines: list[str] = []
    if title:
        lines += [bold(line) if color else line for line in wrap(printable(title), width)]
    if stamp is not None:
        lines += wrap(stamp_text(stamp), width)
    lines += wrap(headline_text(matrix, binary=binary, is_exact=is_exact), width)
    for note in notes:
        lines += wrap(printable(note), width, first="Note: ", rest="      ")
    text = join_lines(lines) + "\n"
    text += matrix_text(
        matrix,
        width=width,
        color=color,
        normalize=normalize,
        orientation=orientation,
        order=order,
        binary=binary,
        is_exact=is_exact,
    )
    if binary is not None and len(matrix.labels) <= _OWN_TABLES:
        title = "Each label by itself, in images (true and false positives, false and true negatives):"
        text += "\n" + label_table_text(matrix, width=width, color=color, binary=binary, title=title)
    return text


def stamp_text(stamp: Stamp) -> str:
    """What a view shows, in one line: source, split, number of images, rule, model, hash of the data, date."""
    parts = [f"Source: {stamp.source}"]
    if stamp.split:
        parts.append(f"split: {stamp.split}")
    parts += [f"images: {stamp.n_images:,}", f"rule: {stamp.rule}"]
    if stamp.model:
        parts.append(f"model: {stamp.model}")
    if stamp.data_hash:
        parts.append(f"data: {stamp.data_hash.removeprefix('sha256:')[:12]}")
    if stamp.date is not None:
        parts.append(f"date: {stamp.date:%Y-%m-%d %H:%M}")
    return printable("; ".join(parts) + ".")


def headline_text(matrix: Matrix, *, binary: NDArray[np.int64] | None = None, is_exact: bool = True) -> str:
    """Accuracy with its interval, and the averages over labels, as one sentence; of shares without an interval."""
    right_count, total = matrix.correct.sum(), matrix.total
    if not total:
        return "Nothing was counted."
    what = UNITS[matrix.unit]
    low, high = wilson(right_count, total)
    interval = f"95% interval {share_text(float(low), decimals=1)} to {share_text(float(high), decimals=1)}"
    of_total = f"{count_text(right_count)} of {count_text(total)} {what}"
    name = "Accuracy" if matrix.unit == "samples" else "Right"
    parts = [f"{name} {percent_text(right_count, total, decimals=1)} ({of_total}; {interval})"]
    if not is_exact:
        parts = [f"{name} about {percent_text(right_count, total)} (from shares, not counts)"]
    if binary is None and matrix.unit != "samples":
        return _as_prose(parts[0] + ".")
    means = macro(label_scores(matrix, binary=binary))
    named = {"F1": means.f1, "precision": means.precision, "recall": means.recall}
    where = "" if binary is None else ", each from its own 2×2 table"
    parts.append(
        f"means over labels{where}: " + ", ".join(f"{name} {decimal_text(value)}" for name, value in named.items())
    )
    if binary is None:
        parts.append(f"kappa {decimal_text(overall(matrix).kappa)}")
    return _as_prose("; ".join(parts) + ".")


def _as_prose(text: str) -> str:
    # In a sentence a blank stands before the sign, as in the findings; in a table there is no room for it.
    return text.replace("%", " %")


def matrix_text(
    matrix: Matrix,
    *,
    width: int,
    color: bool,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    order: Sequence[int] | None = None,
    binary: NDArray[np.int64] | None = None,
    is_exact: bool = True,
) -> str:
    """The matrix as lines of at most `width` columns, or an overview where it does not fit; ended by a line feed.

    Args:
        matrix: what was counted; above `DENSE_LIMIT` labels always an overview.
        width: columns of the terminal; below `MIN_WIDTH` counts as that.
        color: whether to colour with the 256-colour palette.
        normalize: "none" shows counts and shares of the true label, otherwise only shares of what is named.
        orientation: "true" puts truth on rows, "aws" puts predictions there.
        order: the labels' positions in the order wanted; None keeps the matrix's own.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, of a multi-label evaluation.
        is_exact: whether the counts are counts; otherwise they are shares, and called so.
    """
    width = max(width, MIN_WIDTH)
    if not isinstance(matrix, Cells):
        table = table_text(
            matrix,
            width=width,
            color=color,
            normalize=normalize,
            orientation=orientation,
            order=order,
            binary=binary,
            is_exact=is_exact,
        )
        if table is not None:
            return table
    return overview_text(matrix, width=width, color=color, binary=binary)


def overview_text(
    matrix: Matrix,
    *,
    width: int,
    color: bool,
    n_pairs: int = 10,
    n_weakest: int = 5,
    binary: NDArray[np.int64] | None = None,
) -> str:
    """What a matrix that does not fit says: its most confused pairs, its weakest labels, and how to see the rest.

    Args:
        matrix: what was counted, dense or sparse.
        width: columns of the terminal; below `MIN_WIDTH` counts as that.
        color: whether to colour.
        n_pairs: how many pairs are named.
        n_weakest: how many labels are named.
        binary: int64[K, 2, 2] of a multi-label evaluation.
    """
    width = max(width, MIN_WIDTH)
    n_labels = len(matrix.labels)
    lines = wrap(f"{n_labels:,} labels do not fit in {width} columns as a table. Instead:", width)
    lines += ["", *_pair_lines(matrix, width, color=color, n_pairs=n_pairs)]
    lines += _block_lines(matrix, width, color=color)
    if matrix.unit != "samples":
        lines += ["", *wrap(DECISIONS, width)]
    if matrix.unit == "samples" or binary is not None:
        lines += _weakest_lines(matrix, width, color=color, n_weakest=n_weakest, binary=binary)
    lines += ["", *wrap("Everything else:", width)]
    for way, what in (
        ("--labels A,B", "the matrix of some labels, the others summed"),
        ("--format csv", "every pair that occurs, with its count"),
        ("--format png -o FILE", "the whole matrix as a picture"),
        ("deconfuse report", "a page with every pair and its images"),
    ):
        if way != "--format png -o FILE" or not isinstance(matrix, Cells):
            lines += wrap(f"{way:22}{what}", width, first="  ", rest=" " * 24)
    return join_lines(lines)


def _pair_lines(matrix: Matrix, width: int, *, color: bool, n_pairs: int) -> list[str]:
    pairs = matrix.most_confused(n_pairs)
    if not pairs:
        return ["No label was taken for another."]
    what = UNITS[matrix.unit]
    title = f"Most confused, by the lower end of the 95% interval ({what}, share of the true label):"
    lines = [bold(line) if color else line for line in wrap(title, width)]
    facts = [
        (
            f"{count_text(pair.count)} of {count_text(pair.support)}",
            percent_text(pair.count, pair.support),
            f"{share_text(pair.low)} to {share_text(pair.high)}",
        )
        for pair in pairs
    ]
    sizes = [max(len(fact[part]) for fact in facts) for part in range(3)]
    room = width - 2 - sum(size + 2 for size in sizes) - len(_CALLED)
    if room < _LEAST_NAMES:
        sizes, room = sizes[:2], room + sizes[2] + 2
    names = _told_apart([label for pair in pairs for label in (pair.true, pair.predicted)], room)
    for pair, fact in zip(pairs, facts, strict=True):
        true, predicted = names[pair.true], names[pair.predicted]
        numbers = "  ".join(right(text, size) for text, size in zip(fact, sizes, strict=False))
        lines.append(f"  {numbers}  {true}{_CALLED}{predicted}")
    return lines


def _told_apart(labels: Sequence[str], room: int) -> dict[str, str]:
    """Labels as two of them fit into `room` columns, different ones never alike where there is room to differ."""
    full = [printable(label) for label in dict.fromkeys(labels)]
    longest = max(columns(first) + columns(second) for first, second in zip(*[map(printable, labels)] * 2, strict=True))
    half = max(room // 2, 1)
    shown = full if longest <= room else abbreviate(full, half) or [clip(name, half) for name in full]
    return dict(zip(dict.fromkeys(labels), shown, strict=True))


def _block_lines(matrix: Matrix, width: int, *, color: bool) -> list[str]:
    """Groups of labels that are taken for one another, those with the most errors first."""
    if isinstance(matrix, Cells):
        return []
    found = [block for block in blocks(matrix, _N_BLOCKS) if block.errors_inside > 0 and len(block.labels) > 1]
    found.sort(key=lambda block: (-block.errors_inside, block.members))
    if not found:
        return []
    title = "Where errors gather (labels that are taken for one another):"
    lines = ["", *(bold(line) if color else line for line in wrap(title, width))]
    for block in found[:_SHOWN_BLOCKS]:
        names = ", ".join(printable(label) for label in block.labels[:_NAMED_LABELS])
        names += f" and {len(block.labels) - _NAMED_LABELS:,} more" if len(block.labels) > _NAMED_LABELS else ""
        share = _as_prose(share_text(block.share_of_errors))
        text = f"{share} of all errors lie within {len(block.labels):,} labels: {names}."
        lines += wrap(text, width, first="  ", rest="    ")
    return lines


def _weakest_lines(
    matrix: Matrix, width: int, *, color: bool, n_weakest: int, binary: NDArray[np.int64] | None
) -> list[str]:
    scores = label_scores(matrix, binary=binary)
    support, correct = scores.support, scores.true_positives
    counted = np.flatnonzero(support > 0)
    if not len(counted) or not n_weakest:
        return []
    _, high = wilson(correct[counted], support[counted])
    # The upper end: labels that are surely weak come before those with three images.
    worst = counted[np.lexsort((counted, high))][:n_weakest]
    if not any(correct[k] < support[k] for k in worst):
        return []
    rows = [int(k) for k in worst]
    table = label_table_text(matrix, width=width, color=color, binary=binary, rows=rows, title="Weakest labels:")
    return ["", *table.rstrip("\n").split("\n")]


def label_table_text(
    matrix: Matrix,
    *,
    width: int,
    color: bool,
    binary: NDArray[np.int64] | None = None,
    rows: Sequence[int] | None = None,
    title: str = "",
) -> str:
    """One line a label: images, recall and precision with their 95 % intervals, F1; ended by a line feed.

    The labels of a multi-label evaluation show their own 2×2 tables too.

    Args:
        matrix: what was counted.
        width: columns of the terminal; below `MIN_WIDTH` counts as that. Intervals are left out where they do not fit.
        color: whether to colour.
        binary: int64[K, 2, 2] of a multi-label evaluation; the numbers then come from it.
        rows: positions of the labels shown, in order; None shows all.
        title: a line above; "" for none.
    """
    width = max(width, MIN_WIDTH)
    scores = label_scores(matrix, binary=binary)
    chosen = range(len(matrix.labels)) if rows is None else rows
    heads = ("images", "recall", "95% interval", "precision", "95% interval", "F1", "TP", "FP", "FN", "TN")
    table = []
    for k in chosen:
        hits, support, predicted = scores.true_positives[k], scores.support[k], scores.predicted[k]
        table.append(
            (
                count_text(support),
                percent_text(hits, support),
                _interval(hits, support),
                percent_text(hits, predicted),
                _interval(hits, predicted),
                decimal_text(float(scores.f1[k])),
                *(() if binary is None else (count_text(binary[k][place]) for place in _TP_FP_FN_TN)),
            )
        )
    full = [printable(matrix.labels[k]) for k in chosen]
    wanted = max([min(columns(name), _LEAST_NAMES) for name in full] + [len("label")])
    choices: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3, 4, 5), (0, 1, 3, 5), (0, 1, 5))
    if binary is not None:
        choices = ((0, 6, 7, 8, 9, 1, 2, 3, 4, 5), (0, 6, 7, 8, 9, 1, 3, 5), (6, 7, 8, 9, 5))
    for kept in choices:
        sizes = {part: max([len(heads[part])] + [len(row[part]) for row in table]) for part in kept}
        room = width - sum(size + 2 for size in sizes.values())
        if room >= wanted:
            break
    names = abbreviate(full, max(room, 2)) or [clip(name, max(room, 1)) for name in full]
    side = max([columns(name) for name in names] + [len("label")])
    head = left("label", side) + "".join("  " + right(heads[part], sizes[part]) for part in kept)
    lines = wrap(title, width) if title else []
    lines.append(bold(head) if color else head)
    for name, row in zip(names, table, strict=True):
        lines.append(left(name, side) + "".join("  " + right(row[part], sizes[part]) for part in kept))
    return join_lines(lines)


def _interval(hits: float, trials: float) -> str:
    low, high = wilson(hits, trials)
    return UNDEFINED_TEXT if not trials else f"{share_text(float(low))} to {share_text(float(high))}"


def findings_text(findings: Sequence[Finding], *, width: int, color: bool, limit: int | None = None) -> str:
    """Findings as a numbered list of sentences, most important first; ended by a line feed, "" where there is none.

    An advice stands with the first finding that it belongs to, and is not said again.

    Args:
        findings: most important first.
        width: columns of the terminal; below `MIN_WIDTH` counts as that.
        color: whether to colour.
        limit: how many to show; the number left out is said. None shows all.
    """
    width = max(width, MIN_WIDTH)
    shown = findings if limit is None else findings[:limit]
    if not shown:
        return ""
    head = "What stands out:"
    lines = [bold(head) if color else head]
    side = len(str(len(shown)))
    advised: set[str] = set()
    for number, finding in enumerate(shown, start=1):
        first = f" {number:>{side}}. "
        advice = "" if finding.advice in advised else finding.advice
        advised.add(advice)
        sentence = printable(" ".join(part for part in (finding.sentence, advice) if part))
        lines += wrap(sentence, width, first=first, rest=" " * len(first))
    if len(findings) > len(shown):
        more = len(findings) - len(shown)
        lines += wrap(f"{more:,} more {'finding' if more == 1 else 'findings'}: --findings {len(findings)}.", width)
    return join_lines(lines)

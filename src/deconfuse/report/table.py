"""The matrix as a table of characters that fits a width, or not at all.

`table_text` tries layouts from the most to the least said and takes the first that fits:

    1. counts and shares, columns headed by names, in full or shortened where they stay different
    2. the same with numbered columns; the rows, which carry the numbers, are the legend
    3. counts alone: with names, with numbers, with no blank between columns, with shortened counts

With up to 20 labels the share may stand below its count. Each is tried with all margins first, then with fewer, and
with names of a readable length before short ones. Two labels never have the same name: what they have in common is cut
first, and numbers alone tell rows apart only where there is no room for what differs.

A cell without images is a dot, never a blank or a small number. What is right is told from what is wrong by colour
where there is colour, by brackets where there is none, and by an equals sign where there is no room for brackets.

Who calls it: report.text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.measure.scores import label_scores
from deconfuse.measure.text import NO_LABEL_TEXT, UNDEFINED_TEXT, count_text, percent_text
from deconfuse.report.grid import (
    DENOMINATORS,
    UNITS,
    ZERO_TEXT,
    Grid,
    Normalize,
    Orientation,
    decimal_text,
    grid,
    label_text,
    short_count_text,
)
from deconfuse.report.terminal import (
    abbreviate,
    bold,
    clip,
    columns,
    distinct,
    faint,
    join_lines,
    left,
    paint,
    ramp_color,
    right,
    wrap,
)

Style = Literal["both", "stacked", "share", "percent", "count", "short"]

DECISIONS = (
    "An image counts once for each label decision: a label found, a label missed, or a label invented "
    "(against each label missed, otherwise against each label that the image has)."
)
"""What the matrix of a multi-label evaluation counts, in one sentence; see `ConfusionMatrix.from_label_sets`."""

_STACKED_LABELS = 20
_MARKS = {False: "In brackets: right.", True: "After an equals sign: right."}


class _Shortest(NamedTuple):
    """To how many columns names may be cut."""

    name: int
    head: int


_LEAST = _Shortest(name=8, head=6)
_SHORTEST = (_Shortest(name=12, head=8), _LEAST)
_BARELY = _Shortest(name=5, head=5)


@dataclass(frozen=True, slots=True)
class _Layout:
    style: Style
    heads: tuple[str, ...]
    row_heads: tuple[str, ...]
    widths: tuple[int, ...]
    n_margins: int
    is_numbered: bool
    is_tight: bool


@dataclass(frozen=True, slots=True)
class _Margin:
    head: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        return max(columns(text) for text in (self.head, *self.cells))


def table_text(
    matrix: ConfusionMatrix,
    *,
    width: int,
    color: bool,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    order: Sequence[int] | None = None,
    binary: NDArray[np.int64] | None = None,
    is_exact: bool = True,
) -> str | None:
    """The matrix as lines of at most `width` columns, ended by a line feed; None where no layout fits.

    The arguments are those of `report.text.matrix_text`.
    """
    # Each column takes three places at least: counting that first spares laying out what cannot fit.
    if not matrix.labels or len(matrix.labels) > width // 3:
        return None
    shown = grid(matrix, normalize=normalize, orientation=orientation, order=order)
    margins = _margins(shown, matrix, binary)
    if not is_exact:
        margins = [_Margin("shares", margins[0].cells), *margins[1:]]
    layout = _layout(_Sheet(shown, margins, width))
    if layout is None:
        return None
    lines = _heading(shown, layout, margins, color=color)
    for row in range(len(shown.rows)):
        lines += _row(shown, layout, margins, row, color=color)
    lines.append(_footer(shown, layout, margins, color=color))
    lines += ["", *_legend(shown, layout, width, has_own=binary is not None, is_exact=is_exact, color=color)]
    return join_lines(lines)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What is laid out, and on how many columns; how wide cells are is measured once a style."""

    shown: Grid
    margins: Sequence[_Margin]
    width: int
    measured: dict[Style, list[int]] = field(default_factory=dict)

    def content(self, style: Style) -> list[int]:
        if style not in self.measured:
            self.measured[style] = _content_widths(self.shown, style)
        return self.measured[style]


def _layout(sheet: _Sheet) -> _Layout | None:
    """The most telling layout that fits, or None."""
    shown = sheet.shown
    n_labels = len(shown.columns)
    telling: tuple[Style, ...] = ("both", "stacked") if n_labels <= _STACKED_LABELS else ("both",)
    counts: tuple[Style, ...] = ("count",)
    if shown.normalize != "none":
        telling, counts = ("share",), ("percent",)
    least: tuple[Style, ...] = counts if shown.normalize != "none" else (*counts, "short")
    for styles in (telling, counts):
        for shortest in _SHORTEST:
            for headings in (("full", "short"), ("number",)):
                found = _first_fit(sheet, styles, headings, shortest)
                if found is not None:
                    return found
    for least_name in (*_SHORTEST, _BARELY, None):
        found = _first_fit(sheet, least, ("tight",), least_name)
        if found is not None:
            return found
    return None


def _first_fit(
    sheet: _Sheet, styles: Sequence[Style], headings: Sequence[str], shortest: _Shortest | None
) -> _Layout | None:
    """The first layout that fits, those with more margins first, then those of the first style."""
    for n_margins in range(len(sheet.margins), 0, -1):
        for style in styles:
            for heading in headings:
                layout = _fit(sheet, n_margins, style, heading, shortest)
                if layout is not None:
                    return layout
    return None


def _fit(sheet: _Sheet, n_margins: int, style: Style, heading: str, shortest: _Shortest | None) -> _Layout | None:
    shown, content = sheet.shown, sheet.content(style)
    room = sheet.width - sum(margin.width + 2 for margin in sheet.margins[:n_margins]) - 1
    gap = 1 if heading == "tight" else 2
    for is_even in (True, False):
        inner = [max(content)] * len(content) if is_even else content
        names = _numbered if heading in ("number", "tight") else _named
        found = names(shown, inner, room, gap, shortest, is_short=heading == "short")
        if found is None:
            continue
        heads, row_heads = found
        widths = [max(wide, columns(head)) for wide, head in zip(inner, heads, strict=True)]
        if is_even and heading != "full":
            widths = [max(widths)] * len(widths)
        side = max(columns(head) for head in (*row_heads, shown.row_axis))
        if side + sum(wide + gap for wide in widths) <= room:
            is_numbered = heading in ("number", "tight")
            return _Layout(style, heads, row_heads, tuple(widths), n_margins, is_numbered, heading == "tight")
    return None


def _named(
    shown: Grid, inner: Sequence[int], room: int, gap: int, shortest: _Shortest | None, *, is_short: bool
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Headings of columns and rows by name; None where there is no room, or two of them would be the same."""
    rows = distinct([label_text(label) for label in shown.rows])
    heads = distinct([label_text(label) for label in shown.columns])
    if shortest is None or not heads:
        return None
    if is_short:
        longest = max(map(columns, rows))
        least = min(longest, shortest.name)
        for side in dict.fromkeys((min(longest, max(least, room // 3)), least)):
            wide = (room - max(side, len(shown.row_axis))) // len(heads) - gap
            if wide >= min(shortest.head, max(map(columns, heads))):
                short = abbreviate(heads, wide)
                if short is not None:
                    heads = short
                    break
        else:
            return None
        inner = [max([*inner, *map(columns, heads)])] * len(heads)
    left_over = room - sum(max(wide, columns(head)) + gap for wide, head in zip(inner, heads, strict=True))
    row_heads = _rows_within(rows, left_over, shortest)
    return None if row_heads is None else (heads, row_heads)


def _numbered(
    shown: Grid, inner: Sequence[int], room: int, gap: int, shortest: _Shortest | None, *, is_short: bool
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Numbers over the columns, numbers and names at the rows; None where two names would be the same.

    With `shortest` None the numbers alone may tell the names apart.
    """
    rows = distinct([label_text(label) for label in shown.rows])
    number = {label: str(i) for i, label in enumerate((label for label in shown.rows if label is not None), start=1)}
    heads = tuple(number.get(label or "", UNDEFINED_TEXT) for label in shown.columns)
    side = len(str(len(number)))
    left_over = room - side - 1 - sum(max(wide, columns(head)) + gap for wide, head in zip(inner, heads, strict=True))
    if shortest is None:
        short_rows: tuple[str, ...] | None = tuple(clip(text, max(left_over, _LEAST.head)) for text in rows)
    else:
        short_rows = _rows_within(rows, left_over, shortest)
    if short_rows is None:
        return None
    return heads, tuple(
        f"{right(number.get(label or '', UNDEFINED_TEXT), side)} {text}"
        for label, text in zip(shown.rows, short_rows, strict=True)
    )


def _rows_within(rows: tuple[str, ...], width: int, shortest: _Shortest) -> tuple[str, ...] | None:
    if width < min(shortest.name, max(map(columns, rows))):
        return None
    return abbreviate(rows, width)


def _content_widths(shown: Grid, style: Style) -> list[int]:
    return [
        max(
            len(_sum_text(shown, column, style)),
            *(len(text) for row in range(len(shown.rows)) for text in _cell(shown, row, column, style)),
        )
        for column in range(len(shown.columns))
    ]


def _sum_text(shown: Grid, column: int, style: Style) -> str:
    """What stands below a column: how many, under the counts."""
    total = shown.counts[:, column].sum()
    return (
        f"{count_text(total)}{'':5}"
        if style == "both"
        else (short_count_text if style == "short" else count_text)(total)
    )


def _cell(shown: Grid, row: int, column: int, style: Style) -> tuple[str, ...]:
    """The lines of text in one cell."""
    count, denominator = shown.counts[row, column], shown.denominators[row, column]
    if style in ("share", "percent"):
        decimals = 1 if style == "share" else 0
        return (ZERO_TEXT if denominator and not count else percent_text(count, denominator, decimals=decimals),)
    if not count:
        return (ZERO_TEXT, "") if style == "stacked" else (f"{ZERO_TEXT}{'':5}",) if style == "both" else (ZERO_TEXT,)
    if style == "short":
        return (short_count_text(count),)
    share = percent_text(count, denominator)
    if style == "both":
        return (f"{count_text(count)} {share:>4}",)
    return (count_text(count), share) if style == "stacked" else (count_text(count),)


def _margins(shown: Grid, matrix: ConfusionMatrix, binary: NDArray[np.int64] | None) -> list[_Margin]:
    """What stands beside the rows: how many, and how well; where labels have tables of their own, by these."""
    position = {label: index for index, label in enumerate(matrix.labels)}
    index = [None if label is None else position[label] for label in shown.rows]
    scores = label_scores(matrix, binary=binary)
    correct, support, predicted = scores.true_positives, scores.support, scores.predicted
    recall = tuple(UNDEFINED_TEXT if k is None else percent_text(correct[k], support[k]) for k in index)
    precision = tuple(UNDEFINED_TEXT if k is None else percent_text(correct[k], predicted[k]) for k in index)
    f1 = tuple(UNDEFINED_TEXT if k is None else decimal_text(float(scores.f1[k])) for k in index)
    totals = tuple(count_text(shown.counts[row].sum()) for row in range(len(shown.rows)))
    total = count_text(shown.counts.sum())
    if matrix.unit == "label decisions":
        own = () if binary is None else tuple(UNDEFINED_TEXT if k is None else count_text(support[k]) for k in index)
        beside = [_Margin("decisions", (*totals, total))]
        if not own:
            # A share of decisions is no recall: labels that are right are counted again for what was invented beside.
            return beside
        named = (("images", own), ("recall", recall), ("precision", precision), ("F1", f1))
        return [*beside, *(_Margin(name, (*cells, "")) for name, cells in named)]
    if shown.is_true_rows:
        what = "images"
        rates = (("recall", recall), ("precision", precision))
    else:
        what = "predicted"
        rates = (("precision", precision), ("recall", recall))
    return [
        _Margin(what, (*totals, total)),
        *(_Margin(name, (*cells, "")) for name, cells in rates),
        _Margin("F1", (*f1, "")),
    ]


def _heading(shown: Grid, layout: _Layout, margins: Sequence[_Margin], *, color: bool) -> list[str]:
    side = _side(shown, layout)
    line = left(shown.row_axis, side) + " "
    after = "" if layout.is_tight else " "
    line += "".join(f" {right(head, wide)}{after}" for head, wide in zip(layout.heads, layout.widths, strict=True))
    line += "".join("  " + right(margin.head, margin.width) for margin in margins[: layout.n_margins])
    return [" " * (side + 2) + shown.column_axis, bold(line) if color else line]


def _side(shown: Grid, layout: _Layout) -> int:
    return max(columns(head) for head in (*layout.row_heads, shown.row_axis))


def _row(shown: Grid, layout: _Layout, margins: Sequence[_Margin], row: int, *, color: bool) -> list[str]:
    side = _side(shown, layout)
    lines = []
    for part in range(2 if layout.style == "stacked" else 1):
        line = (left(layout.row_heads[row], side) if part == 0 else " " * side) + " "
        for column, wide in enumerate(layout.widths):
            text = right(_cell(shown, row, column, layout.style)[part], wide)
            line += _dressed(shown, layout, row, column, text, is_first=part == 0, color=color)
        if part == 0:
            line += "".join("  " + right(margin.cells[row], margin.width) for margin in margins[: layout.n_margins])
        lines.append(line)
    return lines


def _dressed(shown: Grid, layout: _Layout, row: int, column: int, text: str, *, is_first: bool, color: bool) -> str:
    """A cell with what tells right from wrong: its ground, or brackets, or an equals sign where there is no room."""
    is_right, count = bool(shown.is_right[row, column]), shown.counts[row, column]
    after = "" if layout.is_tight else " "
    if not color:
        before = ("=" if layout.is_tight else "[") if is_right and is_first else " "
        return f"{before}{text}]" if before == "[" else f"{before}{text}{after}"
    if not count:
        return faint(f" {text}{after}")
    share = float(count / shown.denominators[row, column])
    return paint(f" {text}{after}", ramp_color(share, is_right=is_right), is_bold=is_right)


def _footer(shown: Grid, layout: _Layout, margins: Sequence[_Margin], *, color: bool) -> str:
    line = left("sum", _side(shown, layout)) + " "
    after = "" if layout.is_tight else " "
    for column, wide in enumerate(layout.widths):
        line += f" {right(_sum_text(shown, column, layout.style), wide)}{after}"
    line += "  " + right(margins[0].cells[-1], margins[0].width)
    return faint(line) if color else line


def _legend(shown: Grid, layout: _Layout, width: int, *, has_own: bool, is_exact: bool, color: bool) -> list[str]:
    what = UNITS[shown.unit] if is_exact else "shares of the file times test images"
    content = {
        "both": f"{what} and their {DENOMINATORS[shown.normalize]}",
        "stacked": f"{what}, below them their {DENOMINATORS[shown.normalize]}",
        "share": f"the {DENOMINATORS[shown.normalize]}",
        "percent": f"the {DENOMINATORS[shown.normalize]}",
        "count": what,
        "short": f"{what} (k thousand, M million; --format csv has them in full)",
    }[layout.style]
    text = f"Rows are {shown.row_axis} labels, columns {shown.column_axis} ones. A cell holds {content}; "
    text += f"{ZERO_TEXT} is none. "
    text += "Blue is right, orange wrong, darker a larger share." if color else _MARKS[layout.is_tight]
    if layout.is_numbered:
        text += " Columns have the numbers of the rows."
        text += f" Column – is {NO_LABEL_TEXT}." if None in shown.columns else ""
    elif any(head.endswith("…") or "…" in head for head in layout.heads):
        text += " Names are shortened; --format csv has them in full."
    if shown.unit == "label decisions":
        text += f" {DECISIONS}"
        if has_own and layout.n_margins > 1:
            text += " Beside the rows stand each label's own images and scores, from its 2×2 table."
    lines = wrap(text, width)
    return [faint(line) for line in lines] if color else lines

"""Numbers as people read them, the same in every view, and a matrix as a plain HTML table for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

from deconfuse.measure.counting import Counts, Unit
from deconfuse.measure.rates import Pair

NO_LABEL_TEXT = "(no label)"
UNDEFINED_TEXT = "–"


def count_text(count: float) -> str:
    """A count for people: whole numbers in full with separators, weighted counts with up to two decimals.

    Example:
        >>> count_text(1234567), count_text(2.5), count_text(0.001)
        ('1,234,567', '2.5', '<0.01')
    """
    value = float(count)
    if value.is_integer():
        return f"{int(count):,}"
    if 0 < value < 0.005:
        return "<0.01"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def percent_units(count: float, denominator: float, *, decimals: int = 0) -> int:
    """`count` of `denominator` (above 0) in whole units of a percent's last decimal, rounded half to even.

    Example:
        >>> percent_units(575, 1000), percent_units(0.145, 1), percent_units(1, 3, decimals=1)
        (58, 14, 333)
    """
    scale: int = 100 * 10**decimals
    if float(count).is_integer() and float(denominator).is_integer():
        # In whole numbers: 57.5 % of 1,000 is 575, which as a float quotient times 100 would be below the half.
        whole, remainder = divmod(scale * int(count), int(denominator))
        twice = 2 * remainder
        return whole + (twice > int(denominator) or (twice == int(denominator) and whole % 2 == 1))
    # Ten decimals decide what is a half: 0.145 * 100 must not fall below 14.5 by its last bit.
    return round(round(scale * count / denominator, 10))


def percent_text(count: float, denominator: float, *, decimals: int = 0, sign: str = "%") -> str:
    """`count` of `denominator` as a percentage, rounded half to even; "–" where nothing was counted.

    A share that is not nothing is never shown as 0 %, and one that is not everything never as 100 %.

    Example:
        >>> percent_text(5, 200), percent_text(7, 200), percent_text(1, 1000), percent_text(999, 1000, sign=" %")
        ('2%', '4%', '<1%', '>99 %')
    """
    if not denominator:
        return UNDEFINED_TEXT
    units, scale = percent_units(count, denominator, decimals=decimals), 10**decimals
    if units == 0 and count > 0:
        return f"<{1 / scale:.{decimals}f}{sign}"
    if units == 100 * scale and count < denominator:
        return f">{100 - 1 / scale:.{decimals}f}{sign}"
    return f"{units / scale:.{decimals}f}{sign}"


def html_table(labels: tuple[str, ...], counts: Counts, unit: Unit) -> str:
    """A static table of a matrix: counts with their share of the true label, and the support of each row.

    Args:
        labels: the K labels.
        counts: [K+1, K+1]; *(no label)* is shown where it holds something.
        unit: of the counts.
    """
    k = len(labels)
    rows, columns = k + bool(counts[-1].any()), k + bool(counts[:, -1].any())
    names = [html.escape(text) for text in (*labels, NO_LABEL_TEXT)]
    heads = "".join(f"<th scope='col'>{name}</th>" for name in names[:columns])
    lines = []
    for i in range(rows):
        support = counts[i].sum().item()
        cells = "".join(f"<td>{_cell(counts[i, j].item(), support)}</td>" for j in range(columns))
        lines.append(f"<tr><th scope='row'>{names[i]}</th><td>{count_text(support)}</td>{cells}</tr>")
    return (
        f"<table><caption>{count_text(counts.sum().item())} {unit}; share of the true label below each count</caption>"
        "<thead><tr><th rowspan='2'>True</th><th rowspan='2'>Support</th>"
        f"<th colspan='{max(columns, 1)}'>Predicted</th></tr>"
        f"<tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def html_pairs(pairs: Sequence[Pair], n_labels: int, total: float, unit: Unit) -> str:
    """A static table of the most confused pairs, for a matrix with too many labels to show.

    Args:
        pairs: most confused first.
        n_labels: labels of the matrix.
        total: everything counted.
        unit: of the counts.
    """
    lines = "".join(
        f"<tr><th scope='row'>{html.escape(pair.true)}</th><td>{count_text(pair.support)}</td>"
        f"<td>{html.escape(pair.predicted)}</td><td>{_cell(pair.count, pair.support)}</td></tr>"
        for pair in pairs
    )
    return (
        f"<table><caption>{n_labels} labels, {count_text(total)} {unit}; the most confused pairs, "
        f"share of the true label below each count</caption>"
        f"<thead><tr><th>True</th><th>Support</th><th>Predicted</th><th>Count</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def _cell(count: float, support: float) -> str:
    if not count:
        return "0"
    return f"{count_text(count)}<br><small>{html.escape(percent_text(count, support, sign=' %'))}</small>"

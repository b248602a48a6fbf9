"""Numbers as people read them, and a matrix as a plain HTML table: what a notebook shows without a script."""

from __future__ import annotations

import html
from collections.abc import Sequence

from deconfuse.measure.counting import Counts, Unit
from deconfuse.measure.rates import Pair

NO_LABEL_TEXT = "(no label)"


def number_text(value: float) -> str:
    """A count for people: whole numbers with thousands separators, weights to three digits after the point.

    Example:
        >>> number_text(1234567), number_text(0.25)
        ('1,234,567', '0.25')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}".rstrip("0").rstrip(".")


def percent_text(share: float) -> str:
    """A share for people: whole percent, rounded half to even; never "0 %" or "100 %" for what is not quite that.

    Example:
        >>> percent_text(0.125), percent_text(0.001), percent_text(0.999), percent_text(float("nan"))
        ('12 %', '<1 %', '>99 %', '–')
    """
    if share != share:
        return "–"
    rounded = round(share * 100)
    if rounded == 0 and share > 0:
        return "<1 %"
    if rounded == 100 and share < 1:
        return ">99 %"
    return f"{rounded} %"


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
        lines.append(f"<tr><th scope='row'>{names[i]}</th><td>{number_text(support)}</td>{cells}</tr>")
    return (
        f"<table><caption>{number_text(counts.sum().item())} {unit}; share of the true label below each count</caption>"
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
        f"<tr><th scope='row'>{html.escape(pair.true)}</th><td>{number_text(pair.support)}</td>"
        f"<td>{html.escape(pair.predicted)}</td><td>{_cell(pair.count, pair.support)}</td></tr>"
        for pair in pairs
    )
    return (
        f"<table><caption>{n_labels} labels, {number_text(total)} {unit}; the most confused pairs, "
        f"share of the true label below each count</caption>"
        f"<thead><tr><th>True</th><th>Support</th><th>Predicted</th><th>Count</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def _cell(count: float, support: float) -> str:
    if not count:
        return "0"
    return f"{number_text(count)}<br><small>{html.escape(percent_text(count / support))}</small>"

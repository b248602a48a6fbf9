"""Where each label goes when the labels of a matrix are put in order, put together, or cut down.

Each function gives the labels afterwards and, for each label before, its place among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.coding import label_text, label_texts
from deconfuse.measure.encoding import OTHER, check_known

Places = tuple[tuple[str, ...], NDArray[np.intp]]


def align_places(labels: tuple[str, ...], is_used: NDArray[np.bool_], becomes: tuple[str, ...]) -> Places:
    """For other labels in another order.

    Args:
        labels: the K labels before.
        is_used: bool[K], whether a label holds counts.
        becomes: the labels afterwards.

    Raises:
        Invalid: a label that holds counts would be lost.
    """
    index_of = {text: place for place, text in enumerate(becomes)}
    lost = [text for text, used in zip(labels, is_used, strict=True) if used and text not in index_of]
    if lost:
        raise Invalid("labels", f"{lost[0]!r} holds counts and is not among the labels; restrict sums it as {OTHER}")
    return becomes, np.array([index_of.get(text, len(becomes)) for text in labels], np.intp)


def merge_places(labels: tuple[str, ...], groups: Mapping[str, Sequence[str]]) -> Places:
    """For {new label: the labels it replaces}; it stands where the first of them, in the order of labels, stood.

    Raises:
        Invalid: a label is unknown or stands in two groups, a group is empty, or a new label is one that remains.
    """
    becomes: dict[str, str] = {}
    for new, old in groups.items():
        texts = label_texts(old)
        check_known(texts, labels, f"the labels merged into {new!r}")
        if not texts:
            raise Invalid("groups", f"{new!r} replaces no label")
        for text in texts:
            if text in becomes:
                raise Invalid("groups", f"{text!r} stands in two groups")
            becomes[text] = label_text(new)
    remaining = {text for text in labels if text not in becomes}
    clash = remaining.intersection(becomes.values())
    if clash:
        raise Invalid("groups", f"{min(clash)!r} is a label already; name it among those it replaces")
    names = [becomes.get(text, text) for text in labels]
    index_of = {text: place for place, text in enumerate(dict.fromkeys(names))}
    return tuple(index_of), np.array([index_of[text] for text in names], np.intp)


def restrict_places(labels: tuple[str, ...], keep: tuple[str, ...]) -> Places:
    """For some of the labels, with *(other)* after them if there are others.

    Raises:
        Invalid: a label to keep is unknown.
    """
    check_known((text for text in keep if text != OTHER), labels, "the labels to keep")
    becomes = keep if OTHER in keep or set(labels) <= set(keep) else (*keep, OTHER)
    index_of = {text: place for place, text in enumerate(becomes)}
    return becomes, np.array([index_of.get(text, index_of.get(OTHER, -1)) for text in labels], np.intp)

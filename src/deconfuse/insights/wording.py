"""Numbers and labels as English: shares, plurals, lists, and how a label is written inside a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from deconfuse.measure.matrix import OTHER
from deconfuse.measure.text import UNDEFINED_TEXT, percent_text, percent_units

_PLAIN = re.compile(r"[^\W\d_][^\W\d]*(?:-[^\W\d]+)*")
_LISTED = 6


def percent(share: float) -> str:
    """A share in 0..1 as a whole percentage, halves to the even one; "–" where it is undefined.

    Example:
        >>> percent(0.125), percent(0.135), percent(float("nan"))
        ('12 %', '14 %', '–')
    """
    return UNDEFINED_TEXT if math.isnan(share) else f"{percent_units(share, 1)} %"


def rate(numerator: float, denominator: float) -> str:
    """The share as `percent`, but never "0 %" for something or "100 %" for less than all.

    Example:
        >>> rate(1, 1000), rate(999, 1000), rate(0, 9)
        ('under 1 %', 'over 99 %', '0 %')
    """
    return percent_text(numerator, denominator, sign=" %").replace("<", "under ").replace(">", "over ")


def plural(count: float, one: str, many: str = "") -> str:
    """`one` for a single thing, otherwise `many` (or `one` with an s)."""
    return one if count == 1 else many or f"{one}s"


def name(label: str) -> str:
    """A label as it stands in a sentence: plain where it is one word, in quotes otherwise.

    Example:
        >>> name("T-shirt"), name("8"), name("long dress")
        ('T-shirt', '“8”', '“long dress”')
    """
    return label if len(label) > 1 and _PLAIN.fullmatch(label) else f"“{label}”"


def short(label: str) -> str:
    """A label beside a number in a list ("3 of 20 dog")."""
    return "other" if label == OTHER else name(label)


def called(label: str) -> str:
    """What an image was called, after "were called"."""
    return "one of the other labels" if label == OTHER else name(label)


def images(count: float, label: str, *, word: str = "image") -> str:
    """The images of a label, without their number.

    Example:
        >>> images(1, "closet"), images(4, "8"), images(4, "(other)")
        ('closet image', '“8” images', 'images of other labels')
    """
    noun = plural(count, word)
    return f"{noun} of other labels" if label == OTHER else f"{name(label)} {noun}"


def listing(parts: Sequence[str], *, limit: int = _LISTED) -> str:
    """A list in a sentence; beyond `limit` the rest is counted.

    Example:
        >>> listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c", "d"], limit=2)
        ('a', 'a and b', 'a, b and 2 more')
    """
    shown = list(parts) if len(parts) <= limit else [*parts[:limit], f"{len(parts) - limit:,} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)

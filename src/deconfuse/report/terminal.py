r"""Text in columns: what a label looks like in a terminal, how wide it is, and how it is coloured.

Labels are other people's text. `printable` makes each of them harmless (no control character, no character that turns
the direction of what follows) before it is measured, cut or padded. Widths are columns of a terminal: a wide East
Asian character takes two, a combining mark none.

Colours are those of the 256-colour palette, always with an ink chosen for contrast, because nobody can know the
background of the user's terminal.

Who calls it: report.table, report.text and report.drawing, and the commands for what they say on stderr.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from deconfuse.report.colors import is_light

ELLIPSIS = "…"

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\x1b": "\\x1b"}
_TO_THE_LEFT = frozenset(("R", "AL", "AN"))
_LEFT_TO_RIGHT_MARK = "\u200e"
_BETWEEN_WORDS = " _-."
_DOTTED_CIRCLE = "\u25cc"


def printable(text: str) -> str:
    r"""`text` with everything that could move a cursor or turn the writing direction spelled as a code.

    Control characters, line and paragraph separators, lone surrogates and the marks that override direction become
    `\x1b` or `\u202e`; a combining mark at the start gets a circle to stand on; a label with right-to-left letters
    gets an invisible mark after it, so that the numbers beside it stay where they are.

    Example:
        >>> print(printable("a\x1b[31mb"))
        a\x1b[31mb
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(_spelled(character) for character in text)
    if shown and unicodedata.combining(shown[0]):
        shown = _DOTTED_CIRCLE + shown
    if any(unicodedata.bidirectional(character) in _TO_THE_LEFT for character in shown):
        shown += _LEFT_TO_RIGHT_MARK
    return shown


def _spelled(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character in _DIRECTION or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def distinct(texts: Sequence[str]) -> tuple[str, ...]:
    r"""`told_apart`, made printable.

    Example:
        >>> distinct(["dog", "dog ", "two\nlines"])
        ('dog', 'dog\\x20', 'two\\nlines')
    """
    return tuple(map(printable, told_apart(texts)))


def told_apart(texts: Sequence[str]) -> tuple[str, ...]:
    """`texts`, where different ones look different.

    Where two would print the same, as in two Unicode forms, all but the plainest show their marks, invisible
    characters and outer blanks as codes, or else all that is not ASCII.
    """
    groups: dict[str, set[str]] = {}
    for text in texts:
        groups.setdefault(_look(text), set()).add(text)
    return tuple(text if len(groups[look := _look(text)]) == 1 or text == look else _coded(text) for text in texts)


def _look(text: str) -> str:
    """What `text` looks like: composed, with plain single blanks, without what is invisible."""
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFC", visible).split())


def _coded(text: str) -> str:
    middle = text.strip(" ")
    before = text[: len(text) - len(text.lstrip(" "))]
    shown = "".join(_code(c) if _is_hard_to_see(c) else c for c in middle)
    if shown == text:
        shown = "".join(c if c.isascii() else _code(c) for c in middle)
    return before.replace(" ", "\\x20") + shown + "\\x20" * (len(text) - len(before) - len(middle))


def _is_hard_to_see(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Cf", "Zs") and character != " "


def _code(character: str) -> str:
    return ascii(character)[1:-1]


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes.

    Example:
        >>> columns("日本"), columns("e\u0301")
        (4, 1)

    Source: Unicode Standard Annex 11 (East Asian Width): W and F are wide; ambiguous characters count as narrow.
    """
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if character.isascii():
        return 1
    # Medial vowels and final consonants of Hangul join the syllable before them.
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clip(text: str, width: int) -> str:
    """`text` in at most `width` columns (1 or more), cut at its end and marked with an ellipsis where it was cut."""
    if columns(text) <= width:
        return text
    return _head(text, width - 1) + ELLIPSIS


def _head(text: str, width: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += _width(character)
        if used > width:
            return text[:index]
    return text


def _tail(text: str, width: int) -> str:
    used = 0
    for index in range(len(text) - 1, -1, -1):
        used += _width(text[index])
        if used > width:
            start = index + 1
            # A mark cut from its letter would sit on the ellipsis.
            while start < len(text) and _width(text[start]) == 0:
                start += 1
            return text[start:]
    return text


def abbreviate(texts: Sequence[str], width: int) -> tuple[str, ...] | None:
    """`texts`, each in at most `width` columns and still different from the others; None where that cannot be.

    Cut at the end where the beginnings differ, otherwise in the middle, otherwise where what differs begins.

    Example:
        >>> abbreviate(["kitchen", "living room"], 6)
        ('kitch…', 'livin…')
        >>> abbreviate(["retriever, adult", "retriever, puppy"], 10)
        ('retr…adult', 'retr…puppy')
        >>> abbreviate(["label_01_from_a", "label_02_from_a"], 6)
        ('la…01…', 'la…02…')
    """
    if all(columns(text) <= width for text in texts):
        return tuple(texts)
    n_different, half = len(set(texts)), width // 2
    for kept in sorted(range(width - 1), key=lambda kept: (kept > 0, abs(kept - half))):
        shown = tuple(_without_middle(text, width, kept) for text in texts)
        if len(set(shown)) == n_different:
            return shown
    for is_whole_number in (True, False):
        for n_first in range(min(3, width - 3), -1, -1):
            starts = _where_they_differ(texts, n_first, is_whole_number=is_whole_number)
            shown = tuple(_without_start(text, width, n_first, starts[text[:n_first]]) for text in texts)
            if len(set(shown)) == n_different:
                return shown
    return None


def _without_middle(text: str, width: int, kept: int) -> str:
    """`text` in `width` columns, `kept` of them its end."""
    if columns(text) <= width:
        return text
    end = _tail(text, kept).lstrip(_BETWEEN_WORDS) if kept else ""
    return _head(text, width - 1 - kept).rstrip(_BETWEEN_WORDS) + ELLIPSIS + end


def _where_they_differ(texts: Sequence[str], n_first: int, *, is_whole_number: bool) -> dict[str, int]:
    """By their first `n_first` letters, where those of `texts` that begin with them begin to differ.

    Args:
        texts: the texts.
        n_first: 0 or more.
        is_whole_number: go back to the first digit of a number.
    """
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text[:n_first], []).append(text)
    starts = {}
    for first, group in groups.items():
        low, high = min(group), max(group)
        start = next((i for i, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
        while is_whole_number and start > n_first and low[start - 1].isdigit():
            start -= 1
        starts[first] = start if low != high else n_first
    return starts


def _without_start(text: str, width: int, n_first: int, start: int) -> str:
    """`text` in `width` columns, what stands between its first letters and `start` left out."""
    if columns(text) <= width or start <= n_first + 1:
        return clip(text, width)
    while start < len(text) and _width(text[start]) == 0:
        start += 1
    first = _head(text, n_first)
    return first + ELLIPSIS + clip(text[start:], width - 1 - columns(first))


def left(text: str, width: int) -> str:
    """`text` padded with blanks on its right to `width` columns."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """`text` padded with blanks on its left to `width` columns."""
    return " " * (width - columns(text)) + text


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """`text` broken at blanks, but not before a percent sign, into lines of at most `width` columns.

    Args:
        text: one paragraph; a word wider than a line is cut, not lost.
        width: columns of a line, the indents included.
        first: what the first line begins with.
        rest: what every further line begins with.
    """
    lines: list[str] = []
    line, used, is_empty = first, columns(first), True
    for word in re.split(" (?!%)", text):
        while True:
            needed = columns(word) + (0 if is_empty else 1)
            if used + needed <= width:
                line, used, is_empty = line + ("" if is_empty else " ") + word, used + needed, False
                break
            if is_empty:
                cut = _head(word, max(1, width - used)) or word[:1]
                lines.append(line + cut)
                word = word[len(cut) :]
            else:
                lines.append(line)
            line, used, is_empty = rest, columns(rest), True
            if not word:
                break
    if not is_empty or not lines:
        lines.append(line)
    return lines


def join_lines(lines: Iterable[str]) -> str:
    """`lines` as one text without trailing blanks, ended by a line feed."""
    return "".join(line.rstrip() + "\n" for line in lines)


RIGHT_RAMP = (153, 117, 75, 33, 26)
WRONG_RAMP = (223, 216, 209, 202, 130)
"""Palette numbers from a small share to a large one: blue for right, orange for wrong, told apart by people who see
no difference between red and green. Both grow darker, so that the order can be seen without any hue."""

_STEPS = (0.05, 0.15, 0.35, 0.7)


def ramp_color(share: float, *, is_right: bool) -> int:
    """The palette number for a share in 0..1: five steps, finer where shares are small."""
    step = sum(share >= bound for bound in _STEPS)
    return (RIGHT_RAMP if is_right else WRONG_RAMP)[step]


def paint(text: str, color: int, *, is_bold: bool = False) -> str:
    """`text` on a ground of palette number `color` (16 to 231), in black or white, whichever reads better."""
    return f"\x1b[{'1;' if is_bold else ''}38;5;{_ink(color)};48;5;{color}m{text}\x1b[0m"


def faint(text: str) -> str:
    """`text`, dimmed."""
    return f"\x1b[2m{text}\x1b[0m"


def bold(text: str) -> str:
    """`text`, bold."""
    return f"\x1b[1m{text}\x1b[0m"


def palette_rgb(color: int) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of palette number 16 to 231.

    Source: the 6 × 6 × 6 cube of xterm's 256-colour palette (xterm, 256colres.pl).
    """
    steps = (0, 95, 135, 175, 215, 255)
    index = color - 16
    return steps[index // 36], steps[index // 6 % 6], steps[index % 6]


def _ink(color: int) -> int:
    return 16 if is_light(palette_rgb(color)) else 231

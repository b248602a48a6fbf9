"""Text in columns of a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.report.colors import is_light
from deconfuse.report.terminal import (
    RIGHT_RAMP,
    WRONG_RAMP,
    abbreviate,
    clip,
    columns,
    distinct,
    left,
    paint,
    palette_rgb,
    printable,
    ramp_color,
    right,
    wrap,
)


@given(st.text())
def test_no_text_can_steer_a_terminal(text: str) -> None:
    """Whatever a label holds, no control character and no mark that turns the direction of what follows is left."""
    shown = printable(text)

    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert not any(character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for character in shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\tb\nc\rd", "a\\tb\\nc\\rd"),
        ("abc\u202egnp", "abc\\u202egnp"),
        ("\ud800", "\\ud800"),
        ("\u0301a", "\u25cc\u0301a"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_dangerous_characters_are_spelled_as_codes(text: str, expected: str) -> None:
    """Escapes, line ends, direction marks, lone surrogates and leading marks can be read instead of taking effect."""
    assert printable(text) == expected


def test_right_to_left_labels_keep_the_numbers_beside_them_in_place() -> None:
    """A mark of left-to-right direction, which takes no column, follows a label with right-to-left letters."""
    assert printable("שלום") == "שלום\u200e"
    assert columns(printable("שלום")) == 4


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("한글", 4), ("ﾊﾝ", 2), ("", 0), ("a\u200db", 2)]
)
def test_columns_counts_what_a_terminal_shows(text: str, expected: int) -> None:
    """Wide letters take two columns; combining marks and joiners none."""
    assert columns(text) == expected


@given(st.text(), st.integers(1, 30))
def test_clip_fits(text: str, width: int) -> None:
    """A clipped text takes no more columns than asked for, and one that fits is left alone."""
    shown = clip(text, width)

    assert columns(shown) <= width
    assert shown == text or columns(text) > width


@given(st.lists(st.text(max_size=20), max_size=12, unique=True), st.integers(2, 20))
def test_abbreviations_fit_and_differ(texts: list[str], width: int) -> None:
    """Where labels can be shortened to a width, each fits, and different labels stay different."""
    shown = abbreviate(texts, width)

    if shown is not None:
        assert all(columns(text) <= width for text in shown)
        assert len(set(shown)) == len(texts)


def test_labels_that_cannot_be_told_apart_are_not_abbreviated() -> None:
    """Labels that differ in more places than there is room for give None instead of twice the same."""
    assert abbreviate([f"a{i}{'b' * 20}{j}{'c' * 20}{k}" for i in "12" for j in "12" for k in "12"], 6) is None


@pytest.mark.parametrize("width", [8, 10, 12, 20])
def test_what_differs_is_kept(width: int) -> None:
    """Labels with the same beginning, the same end, or both keep the part in which they differ."""
    for pattern in ("label_{:03d}_long_common_prefix_a", "product_number_{:04d}", "{:02d}_of_the_second_series"):
        labels = [pattern.format(i) for i in range(40)]
        shown = abbreviate(labels, width)

        assert shown is not None
        assert all(f"{i:02d}" in text for i, text in enumerate(shown))


def test_shortened_labels_show_as_much_of_their_end_as_of_their_beginning() -> None:
    """Where the end tells labels apart, it is readable."""
    assert abbreviate(["golden_retriever_adult", "golden_retriever_puppy"], 12) == ("golde…adult", "golde…puppy")


@given(st.text(alphabet="ab 日e\u0301", max_size=80), st.integers(8, 40))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    """Wrapped lines fit and hold every letter in order."""
    lines = wrap(text, width, first="- ", rest="  ")

    assert all(columns(line) <= width for line in lines)
    assert "".join(lines).removeprefix("- ").replace(" ", "") == text.replace(" ", "")


def test_a_percent_sign_stays_with_its_number() -> None:
    """A line never begins with the sign of the number that ends the line before."""
    assert wrap("it is 15 % here", 9) == ["it is", "15 % here"]


def test_padding_counts_columns() -> None:
    """A wide label is padded to the same column as a narrow one."""
    assert left("日", 4) == "日  "
    assert right("日", 4) == "  日"


@pytest.mark.parametrize("color", [*RIGHT_RAMP, *WRONG_RAMP])
def test_ink_is_readable_on_every_color(color: int) -> None:
    """Ink is black on light grounds and white on dark ones."""
    ink = "16" if is_light(palette_rgb(color)) else "231"

    assert f"38;5;{ink};48;5;{color}m" in paint("x", color)


@pytest.mark.parametrize("is_right", [True, False])
def test_ramps_use_every_step(is_right: bool) -> None:
    """From no share to all of it each ramp runs through all its colours, in order."""
    seen = dict.fromkeys(ramp_color(share / 100, is_right=is_right) for share in range(101))

    assert tuple(seen) == (RIGHT_RAMP if is_right else WRONG_RAMP)


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["caf\u00e9", "cafe\u0301"], ("caf\u00e9", "cafe\\u0301")),
        (["dog", "dog ", " dog"], ("dog", "dog\\x20", "\\x20dog")),
        (["a b", "a\u00a0b", "ab", "a\u200bb"], ("a b", "a\\xa0b", "ab", "a\\u200bb")),
        (["\u00c5", "\u212b"], ("\u00c5", "\\u212b")),
        (["y\u0301", "x", "x", "日本"], ("y\u0301", "x", "x", "日本")),
        (["a\nb", ""], ("a\\nb", "")),
    ],
)
def test_labels_that_would_print_the_same_are_told_apart(texts: list[str], shown: tuple[str, ...]) -> None:
    """Two Unicode forms, blanks and what is invisible are spelled where another label looks so, and only there."""
    assert distinct(texts) == shown
    assert distinct(tuple(reversed(texts))) == tuple(reversed(shown))

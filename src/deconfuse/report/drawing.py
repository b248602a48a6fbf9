"""A matrix as a picture: SVG as text, PNG by Pillow.

The same drawing in both: names on both axes, coloured cells, numbers where a cell has room for them. What is shown
thins out honestly as labels grow, and the line below the picture says so:

    up to 30 labels     counts and shares
    up to 120           counts
    up to 300           a name at every row and column, colours alone
    up to 2,000         colours, and a name at every n-th row and column

Every cell that holds something is coloured whatever the number of labels: cells are never sampled.
The fonts of an SVG are the reader's. A PNG is drawn with Pillow's own font, which has the letters of English and
little else, or with the font handed in; a name that the font cannot spell is written with code points, and a line
below the picture says how many there are.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import Matrix
from deconfuse.measure.text import UNDEFINED_TEXT, count_text, percent_text
from deconfuse.report.colors import BLACK, FAINT, NOTHING, Rgb, cell_rgb, hex_color, ink_rgb
from deconfuse.report.grid import (
    DENOMINATORS,
    UNITS,
    ZERO_TEXT,
    Grid,
    Normalize,
    Orientation,
    grid,
    label_text,
    short_count_text,
)
from deconfuse.report.terminal import columns as text_columns
from deconfuse.report.terminal import printable

if TYPE_CHECKING:
    Font = ImageFont.FreeTypeFont

MOST_NAME_COLUMNS = 32
"""Longer names are cut in the middle; the middle, because labels are often numbered at their end."""

_MARGIN = 16
_SVG_CELLS = 150


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where everything stands, in pixels.

    Attributes:
        cell: side of a cell.
        font: height of names and numbers.
        lines: lines of text in a cell: 2, 1 or 0.
        every: a name stands at each so many-th row and column.
        has_gaps: whether a thin line separates the cells.
    """

    cell: int
    font: int
    lines: int
    every: int
    has_gaps: bool


def _plan(n_labels: int, *, is_share: bool) -> _Plan:
    if n_labels <= 30:
        return _Plan(cell=52, font=13, lines=1 if is_share else 2, every=1, has_gaps=True)
    if n_labels <= 120:
        return _Plan(cell=28, font=10, lines=1, every=1, has_gaps=True)
    if n_labels <= 300:
        return _Plan(cell=12, font=10, lines=0, every=1, has_gaps=False)
    cell = 4 if n_labels <= 1000 else 2
    return _Plan(cell=cell, font=10, lines=0, every=-(-12 // cell), has_gaps=False)


def matrix_svg(
    matrix: Matrix,
    *,
    title: str = "Confusion matrix",
    caption: Sequence[str] = (),
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    order: Sequence[int] | None = None,
) -> str:
    """The matrix as an SVG document with a title and a description for screen readers.

    Args:
        matrix: what was counted.
        title: the heading.
        caption: lines below the heading.
        normalize: "none" writes counts (and shares where there is room), otherwise shares of what is named; colours
            always show shares.
        orientation: "true" puts truth on rows, "aws" puts predictions there.
        order: the labels' positions in the order wanted; None keeps the matrix's own.

    Raises:
        LimitExceeded: the matrix is sparse, with more labels than a picture can hold.
    """
    shown = grid(matrix, normalize=normalize, orientation=orientation, order=order)
    plan = _plan(max(shown.counts.shape), is_share=normalize != "none")
    names = [_middle_cut(_visible(label_text(label))) for label in shown.rows]
    heads = [_middle_cut(_visible(label_text(label))) for label in shown.columns]
    # SVG has no measure of text: 0.62 em is wider than the letters of common fonts.
    letter = 0.62 * plan.font
    left = int(_MARGIN + plan.font * 2 + letter * max(map(text_columns, names), default=0) + 6)
    above = int(letter * max(map(text_columns, heads), default=0) + 6)
    top = _MARGIN + 22 + 18 * len(caption) + plan.font * 2 + above
    wide, high = plan.cell * len(shown.columns), plan.cell * len(shown.rows)
    footer = _footer(shown, plan)
    width = max(left + wide + _MARGIN, 480, *(int(7.2 * text_columns(line)) + 32 for line in (title, *caption)))
    height = top + high + 12 + 18 * len(footer) + _MARGIN
    description = f"{_sentence(shown)} {' '.join(footer)}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"',
        'role="img" aria-labelledby="title description" font-family="system-ui, sans-serif"',
        f'font-size="{plan.font}" fill="{hex_color(BLACK)}">',
        f'<title id="title">{_svg(title)}</title>',
        f'<desc id="description">{_svg(description)}</desc>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _svg_line(_MARGIN, _MARGIN + 12, title, 'font-size="16" font-weight="600"'),
        *(_svg_line(_MARGIN, _MARGIN + 32 + 18 * i, line, 'font-size="13"') for i, line in enumerate(caption)),
        *_svg_axes(shown, plan, names, heads, left, top),
        _svg_cells(shown, plan, left, top),
        *_svg_numbers(shown, plan, left, top),
        *(
            _svg_line(_MARGIN, top + high + 22 + 18 * i, line, 'font-size="12" fill="#555555"')
            for i, line in enumerate(footer)
        ),
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def _svg(text: str) -> str:
    return html.escape(_visible(text), quote=True)


def _svg_line(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{_svg(text)}</text>'


def _svg_axes(shown: Grid, plan: _Plan, names: list[str], heads: list[str], left: int, top: int) -> list[str]:
    wide, high = plan.cell * len(shown.columns), plan.cell * len(shown.rows)
    bold = 'font-weight="600" text-anchor="middle"'
    x, y = _MARGIN + plan.font, top + high / 2
    out = [
        _svg_line(left + wide / 2, top - _head_room(heads, plan) - 4, f"{shown.column_axis} label", bold),
        f'<text transform="translate({x:g} {y:g}) rotate(-90)" {bold}>{shown.row_axis} label</text>',
        '<g text-anchor="end">',
    ]
    middle = plan.cell / 2 + plan.font * 0.35
    out += (
        f'<text x="{left - 5}" y="{top + i * plan.cell + middle:g}">{_svg(names[i])}</text>'
        for i in range(0, len(names), plan.every)
    )
    out.append("</g><g>")
    for i in range(0, len(heads), plan.every):
        place = f"translate({left + i * plan.cell + middle:g} {top - 5}) rotate(-90)"
        out.append(f'<text transform="{place}">{_svg(heads[i])}</text>')
    out.append("</g>")
    return out


def _head_room(heads: Sequence[str], plan: _Plan) -> int:
    return int(0.62 * plan.font * max(map(text_columns, heads), default=0) + 6)


def _svg_cells(shown: Grid, plan: _Plan, left: int, top: int) -> str:
    """One path a colour, or, where there are many cells, a picture with one pixel a cell."""
    wide, high = plan.cell * len(shown.columns), plan.cell * len(shown.rows)
    frame = f'<rect x="{left}" y="{top}" width="{wide}" height="{high}" fill="none" stroke="#999999"/>'
    colors = _colors(shown)
    if max(shown.counts.shape) > _SVG_CELLS:
        data = io.BytesIO()
        Image.fromarray(colors).save(data, "PNG")
        link = base64.b64encode(data.getvalue()).decode()
        return (
            f'<image x="{left}" y="{top}" width="{wide}" height="{high}" style="image-rendering:pixelated" '
            f'preserveAspectRatio="none" href="data:image/png;base64,{link}"/>{frame}'
        )
    paths: dict[Rgb, list[str]] = {}
    side = plan.cell - 1 if plan.has_gaps else plan.cell
    for row, column in zip(*np.nonzero(shown.counts), strict=True):
        x, y = left + int(column) * plan.cell, top + int(row) * plan.cell
        red, green, blue = (int(value) for value in colors[row, column])
        paths.setdefault((red, green, blue), []).append(f"M{x} {y}h{side}v{side}h-{side}z")
    return "".join(f'<path fill="{hex_color(rgb)}" d="{"".join(parts)}"/>' for rgb, parts in paths.items()) + frame


def _svg_numbers(shown: Grid, plan: _Plan, left: int, top: int) -> list[str]:
    if not plan.lines:
        return []
    out = ['<g text-anchor="middle">']
    colors = _colors(shown)
    for row in range(len(shown.rows)):
        for column in range(len(shown.columns)):
            x = left + (column + 0.5) * plan.cell
            texts = _cell_texts(shown, plan, row, column)
            first = top + (row + 0.5) * plan.cell + plan.font * (0.35 if len(texts) == 1 else -0.2)
            red, green, blue = (int(value) for value in colors[row, column])
            ink = ink_rgb((red, green, blue)) if shown.counts[row, column] else FAINT
            for i, text in enumerate(texts):
                style = f' fill="{hex_color(ink)}"' if ink != BLACK else ""
                out.append(f'<text x="{x:g}" y="{first + i * plan.font * 1.15:g}"{style}>{_svg(text)}</text>')
    out.append("</g>")
    return out


def _cell_texts(shown: Grid, plan: _Plan, row: int, column: int) -> tuple[str, ...]:
    count, denominator = shown.counts[row, column], shown.denominators[row, column]
    if not count:
        return (ZERO_TEXT if denominator or shown.normalize == "none" else UNDEFINED_TEXT,)
    if shown.normalize != "none":
        return (percent_text(count, denominator, decimals=1 if plan.cell > 40 else 0),)
    number = count_text(count)
    number = number if len(number) <= (7 if plan.cell > 40 else 4) else short_count_text(count)
    return (number, percent_text(count, denominator)) if plan.lines == 2 else (number,)


def _depths(shown: Grid) -> NDArray[np.float64]:
    """float64[R, C] in 0..1: how dark each cell is, the square root of its share."""
    shares = np.nan_to_num(shown.shares)
    if shown.normalize == "all" and shares.max(initial=0) > 0:
        shares /= shares.max()
    return np.sqrt(np.clip(shares, 0.0, 1.0))


def _colors(shown: Grid) -> NDArray[np.uint8]:
    """uint8[R, C, 3]: the ground of each cell; what holds nothing is white."""
    steps = np.rint(_depths(shown) * (_STEPS - 1)).astype(np.intp)
    ramps = [
        [cell_rgb((step / (_STEPS - 1)) ** 2, is_right=is_right) for step in range(_STEPS)]
        for is_right in (True, False)
    ]
    index = np.where(shown.counts != 0, np.where(shown.is_right, 0, _STEPS) + steps, 2 * _STEPS)
    return np.array([*ramps[0], *ramps[1], NOTHING], np.uint8)[index]


def _sentence(shown: Grid) -> str:
    n = sum(label is not None for label in shown.rows)
    right = shown.counts[shown.is_right].sum()
    what = UNITS[shown.unit]
    return (
        f"Confusion matrix of {n:,} labels: {count_text(right)} of {count_text(shown.counts.sum())} {what} are right."
    )


def _footer(shown: Grid, plan: _Plan) -> list[str]:
    what = UNITS[shown.unit]
    share = DENOMINATORS[shown.normalize]
    if not plan.lines:
        numbers = "Colours"
    elif shown.normalize != "none":
        numbers = "Numbers and colours"
    else:
        numbers = f"Numbers: {what}{', and share below' if plan.lines == 2 else ''}. Colours"
    lines = [f"{numbers}: {share}. Blue is right, orange wrong, darker a larger share, white none."]
    if plan.every > 1:
        lines.append(f"One row and column in {plan.every} is named; every cell is drawn.")
    return lines


def _visible(text: str) -> str:
    return printable(text.encode("utf-8", "backslashreplace").decode())


def _middle_cut(text: str) -> str:
    if text_columns(text) <= MOST_NAME_COLUMNS:
        return text
    keep = MOST_NAME_COLUMNS // 2 - 1 if text_columns(text) == len(text) else MOST_NAME_COLUMNS // 4
    return f"{text[:keep]}…{text[-keep:]}"


def matrix_png(
    matrix: Matrix,
    *,
    title: str = "Confusion matrix",
    caption: Sequence[str] = (),
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    order: Sequence[int] | None = None,
    font: bytes | None = None,
) -> bytes:
    """The matrix as a PNG file.

    Args:
        matrix: what was counted.
        title: the heading.
        caption: lines below the heading.
        normalize: see `matrix_svg`.
        orientation: see `matrix_svg`.
        order: see `matrix_svg`.
        font: a TrueType or OpenType file to draw all text with; None takes Pillow's own font.

    Raises:
        LimitExceeded: the matrix is sparse, with more labels than a picture can hold.
        Invalid: `font` is no font that can be read.
    """
    shown = grid(matrix, normalize=normalize, orientation=orientation, order=order)
    plan = _plan(max(shown.counts.shape), is_share=normalize != "none")
    pen = _Pen(font)
    names = [pen.spell(_middle_cut(_visible(label_text(label)))) for label in shown.rows]
    heads = [pen.spell(_middle_cut(_visible(label_text(label)))) for label in shown.columns]
    title, *caption = (pen.spell(_visible(line)) for line in (title, *caption))
    footer = [pen.spell(line) for line in _footer(shown, plan)]
    if pen.n_misspelled:
        footer.append("Names with codes (\\u…) hold letters that this picture's font lacks; SVG or --font has them.")
    left = _MARGIN + plan.font * 2 + max((pen.width(name, plan.font) for name in names), default=0) + 6
    above = max((pen.width(head, plan.font) for head in heads), default=0) + 6
    top = _MARGIN + 24 + 18 * len(caption) + plan.font * 2 + above
    wide, high = plan.cell * len(shown.columns), plan.cell * len(shown.rows)
    lines = [(title, 16, _MARGIN + 8)]
    lines += [(line, 13, _MARGIN + 32 + 18 * i) for i, line in enumerate(caption)]
    lines += [(line, 12, top + high + 18 + 18 * i) for i, line in enumerate(footer)]
    width = max(left + wide, *(pen.width(line, size) + _MARGIN for line, size, _ in lines)) + _MARGIN
    canvas = np.zeros((top + high + 10 + 18 * len(footer) + _MARGIN, width), np.uint8)
    canvas[top - 1 : top + high + 1, left - 1 : left + wide + 1] = _LINE
    _png_cells(canvas[top : top + high, left : left + wide], shown, plan, pen)
    for line, size, y in lines:
        pen.write(canvas, line, size, x=_MARGIN, y=y)
    _png_axes(canvas, shown, plan, pen, names=names, heads=heads, left=left, top=top)
    image = Image.fromarray(canvas)
    image.putpalette(_PALETTE)
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=3)
    return data.getvalue()


def _png_axes(
    canvas: NDArray[np.uint8],
    shown: Grid,
    plan: _Plan,
    pen: _Pen,
    *,
    names: Sequence[str],
    heads: Sequence[str],
    left: int,
    top: int,
) -> None:
    middle = plan.cell // 2
    for i in range(0, len(names), plan.every):
        x = left - 6 - pen.width(names[i], plan.font)
        pen.write(canvas, names[i], plan.font, x=x, y=top + i * plan.cell + middle)
    # Upwards is rightwards on the turned canvas, where the last column is the first row.
    turned = np.rot90(canvas, -1)
    high = turned.shape[1]
    for i in range(0, len(heads), plan.every):
        pen.write(turned, heads[i], plan.font, x=high - top + 6, y=left + i * plan.cell + middle)
    axis = plan.font + 1
    above = max((pen.width(head, plan.font) for head in heads), default=0)
    label = f"{shown.column_axis} label"
    x = left + (plan.cell * len(heads) - pen.width(label, axis)) // 2
    pen.write(canvas, label, axis, x=max(x, left), y=top - above - 6 - axis)
    label = f"{shown.row_axis} label"
    y = top + (plan.cell * len(names) + pen.width(label, axis)) // 2
    pen.write(turned, label, axis, x=max(0, high - y), y=_MARGIN)


_STEPS = 14
_SHADES = 8
_LINE = 2 * _SHADES
"""Palette: grounds times shades of ink on them. Ground 0 is the paper with black ink, 1 the paper with faint ink, 2 a
line; then the steps of blue, then those of orange. So a pixel is its ground plus how much ink it takes."""


def _palette() -> list[int]:
    grounds: list[tuple[Rgb, Rgb]] = [(NOTHING, BLACK), (NOTHING, FAINT), (_LINE_RGB, BLACK)]
    for is_right in (True, False):
        steps = [cell_rgb((step / (_STEPS - 1)) ** 2, is_right=is_right) for step in range(_STEPS)]
        grounds += [(ground, ink_rgb(ground)) for ground in steps]
    values: list[int] = []
    for ground, ink in grounds:
        for shade in range(_SHADES):
            part = shade / (_SHADES - 1)
            values += [round(a + (b - a) * part) for a, b in zip(ground, ink, strict=True)]
    return values


_LINE_RGB: Rgb = (225, 225, 225)
_PALETTE = _palette()


def _png_cells(area: NDArray[np.uint8], shown: Grid, plan: _Plan, pen: _Pen) -> None:
    """Colour the cells, then stamp the numbers: each different one is drawn once."""
    side = plan.cell - 1 if plan.has_gaps else plan.cell
    steps = np.rint(_depths(shown) * (_STEPS - 1)).astype(np.intp)
    ground = np.where(shown.is_right, 3, 3 + _STEPS) + steps
    ground = (np.where(shown.counts != 0, ground, 1) * _SHADES).astype(np.uint8)
    n_rows, n_columns = ground.shape
    # A view with one axis for the pixels of a cell: all cells are painted by one assignment.
    cells = area.reshape(n_rows, plan.cell, n_columns, plan.cell)[:, :side, :, :side]
    cells[:] = ground[:, None, :, None]
    if not plan.lines:
        return
    is_known = (shown.denominators != 0) | (shown.normalize == "none")
    for text, is_meant in ((ZERO_TEXT, (shown.counts == 0) & is_known), (UNDEFINED_TEXT, ~is_known)):
        mark = pen.stamp((text,), plan.font, side)
        # A dot is a few pixels: each is set in all cells at once.
        for y, x in np.argwhere(mark):
            cells[:, y, :, x] += is_meant * mark[y, x]
    for row, column in zip(*(index.tolist() for index in np.nonzero(shown.counts)), strict=True):
        cells[row, :, column, :] += pen.stamp(_cell_texts(shown, plan, row, column), plan.font, side)


class _Pen:
    """A font in all sizes, and what it can spell."""

    def __init__(self, font: bytes | None) -> None:
        self._font = font
        self._faces: dict[int, Font] = {}
        self._stamps: dict[tuple[tuple[str, ...], int, int], NDArray[np.uint8]] = {}
        self._widths: dict[tuple[str, int], int] = {}
        self._spelled: dict[str, bool] = {}
        self.n_misspelled = 0
        self._missing = self._shape("\U0010ffff")

    def face(self, size: int) -> Font:
        """The font at `size` pixels.

        Raises:
            Invalid: the bytes are no font.
        """
        if size not in self._faces:
            if self._font is None:
                self._faces[size] = _own_face(size)
            else:
                try:
                    self._faces[size] = ImageFont.truetype(io.BytesIO(self._font), size)
                except OSError as error:
                    raise Invalid("font", f"this is no TrueType or OpenType font ({error})") from None
        return self._faces[size]

    def width(self, text: str, size: int) -> int:
        """Pixels from the start of `text` to its end."""
        if (text, size) not in self._widths:
            self._widths[text, size] = int(self.face(size).getlength(text)) + 1
        return self._widths[text, size]

    def spell(self, text: str) -> str:
        """`text` with every letter that the font lacks written as its code point."""
        if text.isascii():
            return text
        plain = text.replace("\u200e", "")
        spelled = "".join(character if self._has(character) else _code(character) for character in plain)
        self.n_misspelled += spelled != plain
        return spelled

    def _has(self, character: str) -> bool:
        if character not in self._spelled:
            self._spelled[character] = character.isascii() or self._shape(character) != self._missing
        return self._spelled[character]

    def _shape(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self.face(12).getmask(character)
        return mask.size, bytes(mask)

    def write(self, canvas: NDArray[np.uint8], text: str, size: int, *, x: int, y: int) -> None:
        """Put `text` on white paper, its left end at `x`, its middle at `y`; what leaves the canvas is cut."""
        image = Image.new("L", (self.width(text, size) + 2, 2 * size), 0)
        ImageDraw.Draw(image).text((0, size), text, font=self.face(size), fill=255, anchor="lm")
        x, y = max(x, 0), max(y - size, 0)
        place = canvas[y : y + image.height, x : x + image.width]
        np.maximum(place, (np.asarray(image) >> 5)[: place.shape[0], : place.shape[1]], out=place)

    def stamp(self, texts: tuple[str, ...], size: int, side: int) -> NDArray[np.uint8]:
        """uint8[side, side] in 0..7: how much ink each pixel takes, for lines of text in the middle."""
        key = (texts, size, side)
        if key not in self._stamps:
            image = Image.new("L", (side, side), 0)
            draw = ImageDraw.Draw(image)
            step = size * 1.2
            first = side / 2 - step * (len(texts) - 1) / 2
            for i, text in enumerate(texts):
                draw.text((side / 2, first + i * step), self.spell(text), font=self.face(size), fill=255, anchor="mm")
            self._stamps[key] = np.asarray(image, np.uint8) >> np.uint8(5)
        return self._stamps[key]


@lru_cache(maxsize=8)
def _own_face(size: int) -> Font:
    face = ImageFont.load_default(size)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise Invalid("format", "this Pillow was built without FreeType and cannot write text; use svg")
    return face


def _code(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

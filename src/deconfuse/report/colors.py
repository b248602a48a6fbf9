"""The colours of static pictures: blue for right, orange for wrong, white for nothing.

Two ramps of one hue each, both growing darker, so that the order is seen without any hue and the two are told apart
by people who see no difference between red and green. The smallest share that is not nothing is visibly coloured.
Shares are shown by their square root: most confusions are a few percent, and would all look alike otherwise.
"""

from __future__ import annotations

import math

Rgb = tuple[int, int, int]

RIGHT_ENDS: tuple[Rgb, Rgb] = ((214, 230, 247), (10, 60, 125))
WRONG_ENDS: tuple[Rgb, Rgb] = ((253, 224, 197), (138, 56, 0))
NOTHING: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)
WHITE: Rgb = (255, 255, 255)
FAINT: Rgb = (190, 190, 190)


def cell_rgb(share: float, *, is_right: bool) -> Rgb:
    """The ground of a cell that holds something; `share` in 0..1, where NaN counts as the smallest."""
    low, high = RIGHT_ENDS if is_right else WRONG_ENDS
    depth = 0.0 if math.isnan(share) else math.sqrt(min(max(share, 0.0), 1.0))
    red, green, blue = (round(a + (b - a) * depth) for a, b in zip(low, high, strict=True))
    return red, green, blue


def ink_rgb(ground: Rgb) -> Rgb:
    """Black or white, whichever contrasts more with `ground`."""
    return BLACK if is_light(ground) else WHITE


def is_light(rgb: Rgb) -> bool:
    """Whether black contrasts more with the colour than white: luminance above 0.179, where (l + .05)² = 1.05 · .05."""
    return luminance(rgb) > 0.179


def luminance(rgb: Rgb) -> float:
    """Relative luminance of a colour, 0 (black) to 1 (white).

    Source: Web Content Accessibility Guidelines 2.2 (W3C, 2023), definition of relative luminance.
    """
    linear = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def hex_color(rgb: Rgb) -> str:
    """The colour as HTML and SVG write it.

    Example:
        >>> hex_color((255, 0, 10))
        '#ff000a'
    """
    return f"#{rgb[0]:02x}{rgb[1]:02x}{rgb[2]:02x}"

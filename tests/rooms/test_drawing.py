"""A matrix as a picture."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from deconfuse.errors import Invalid, LimitExceeded
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.report.colors import NOTHING, cell_rgb, ink_rgb, luminance
from deconfuse.report.drawing import matrix_png, matrix_svg

SVG = "{http://www.w3.org/2000/svg}"


def scattered(n_labels: int, *, n: int = 10) -> ConfusionMatrix:
    """Each label has n images, most of them right."""
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(n_labels), n)
    predicted = np.where(rng.random(len(true)) < 0.7, true, rng.integers(0, n_labels, len(true)))
    return ConfusionMatrix.from_codes(true, predicted, labels=[f"label {i}" for i in range(n_labels)])


def opened(data: bytes) -> Image.Image:
    """The picture in a PNG file, as RGB."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def texts(svg: str) -> list[str]:
    """All texts of an SVG document."""
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("n_labels", [1, 2, 10, 40, 130, 400])
@pytest.mark.parametrize("normalize", ["none", "pred"])
def test_every_size_is_drawn(n_labels: int, normalize: str) -> None:
    """From one label to hundreds there are a PNG that opens and an SVG that parses, large enough for every cell."""
    matrix = scattered(n_labels)
    image = opened(matrix_png(matrix, normalize=normalize))
    root = ET.fromstring(matrix_svg(matrix, normalize=normalize))

    assert min(image.size) >= 2 * n_labels
    assert float(root.attrib["height"]) >= 2 * n_labels


def test_an_svg_can_be_heard() -> None:
    """The title and a description with the numbers are there for screen readers."""
    root = ET.fromstring(matrix_svg(scattered(3), title="Rooms"))

    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "Rooms"
    assert "of 30 images are right" in (root.findtext(f"{SVG}desc") or "")


@pytest.mark.parametrize("label", ["<script>", 'a" onload="x', "a&b", "\x00\x1b", "\ud800", "日本", "\u202ex"])
def test_no_label_can_break_a_picture(label: str) -> None:
    """Markup, control characters and foreign letters are text in an SVG, and a PNG is drawn in spite of them."""
    matrix = ConfusionMatrix.from_cells([(label, "b", 3), ("b", "b", 1)])

    assert ET.fromstring(matrix_svg(matrix, title=label, caption=[label])) is not None
    assert "<script>" not in matrix_svg(matrix)
    assert opened(matrix_png(matrix, title=label, caption=[label]))


def test_svg_texts_are_counts_and_shares() -> None:
    """Each cell says its count and share; an empty one has a dot, as in the terminal."""
    found = texts(matrix_svg(ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1), ("b", "b", 5)])))

    assert {"3", "75%", "1", "25%", "5", "100%", "·"} <= set(found)
    assert {"true label", "predicted label"} <= set(found)


def test_orientation_turns_the_axes() -> None:
    """With predictions on rows the axes change their names and the cells their places."""
    matrix = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1), ("b", "b", 5)])
    upright, turned = texts(matrix_svg(matrix)), texts(matrix_svg(matrix, orientation="aws"))

    assert upright.index("predicted label") < upright.index("true label")
    assert turned.index("true label") < turned.index("predicted label")


@pytest.mark.parametrize("n_labels", [150, 151])
def test_no_cell_of_an_svg_is_left_out(n_labels: int) -> None:
    """Every cell that holds something is drawn, as a path or as a pixel of an embedded picture."""
    matrix = scattered(n_labels)
    svg = matrix_svg(matrix)
    embedded = re.search(r"base64,([^\"]+)", svg)
    if embedded:
        pixels = np.asarray(opened(base64.b64decode(embedded[1])))
        n_drawn = int(np.any(pixels != np.array(NOTHING), axis=2).sum())
    else:
        n_drawn = svg.count('z"') + svg.count("zM")

    assert n_drawn == np.count_nonzero(matrix.counts)


@pytest.mark.parametrize("n_labels", [5, 35, 130, 310])
def test_a_png_colors_exactly_the_cells_that_hold_something(n_labels: int) -> None:
    """At every size a cell is coloured if and only if something was counted in it, and right ones are blue."""
    matrix = ConfusionMatrix.from_codes(
        np.arange(n_labels), np.arange(n_labels), labels=[f"l{i}" for i in range(n_labels)]
    )
    pixels = np.asarray(opened(matrix_png(matrix))).astype(int)
    is_blue = (pixels[:, :, 2] - pixels[:, :, 0]) > 60
    rows, columns = np.nonzero(is_blue)

    assert len(rows) > n_labels * 4
    assert np.all(np.abs((rows - rows.min()) - (columns - columns.min())) < 60)


def test_names_that_are_left_out_are_announced() -> None:
    """Where only some rows can be named the picture says so, and that every cell is drawn."""
    assert any(
        "One row and column in 3 is named; every cell is drawn." in text
        for text in texts(matrix_svg(scattered(400, n=2)))
    )


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("is_right", [True, False])
def test_ink_contrasts_with_its_ground(share: float, is_right: bool) -> None:
    """Numbers can be read on every shade: a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    ground = cell_rgb(share, is_right=is_right)
    light, dark = sorted((luminance(ground), luminance(ink_rgb(ground))), reverse=True)

    assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert ground != NOTHING


def test_letters_that_the_font_lacks_are_spelled() -> None:
    """Labels beyond the font are told apart in a PNG, instead of being the same row of boxes."""
    one, other = (matrix_png(ConfusionMatrix.from_cells([(label, "b", 3)])) for label in ("日本", "中国"))

    assert one != other


def test_a_font_can_be_handed_in() -> None:
    """Bytes that are no font are refused with a sentence; the same picture with the same font has the same bytes."""
    with pytest.raises(Invalid, match="no TrueType"):
        matrix_png(scattered(2), font=b"no font")
    assert matrix_png(scattered(2)) == matrix_png(scattered(2))


def test_an_empty_matrix_is_drawn() -> None:
    """Labels without any image give a picture of empty cells; no labels at all give one without cells."""
    assert opened(matrix_png(ConfusionMatrix.empty(["a", "b"])))
    assert opened(matrix_png(ConfusionMatrix.empty([])))
    assert ET.fromstring(matrix_svg(ConfusionMatrix.empty([]))) is not None


@pytest.mark.parametrize("draw", [matrix_svg, matrix_png])
def test_a_sparse_matrix_is_not_drawn(draw: object) -> None:
    """Above 2,000 labels the message says what to do instead."""
    with pytest.raises(LimitExceeded, match="--labels"):
        draw(Cells.empty([f"l{i}" for i in range(2001)]))  # type: ignore[operator]

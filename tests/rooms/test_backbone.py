"""The resize rule, and embeddings that hang on nothing but the image."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from deconfuse.engine.backbones import load_backbone
from deconfuse.errors import Damaged, Invalid
from deconfuse.vision.backbone import RESIZE_RULES, Backbone, Card, resize
from worlds import drawing, tiny_backbone, tiny_model


def ramp(width: int, height: int) -> Image.Image:
    """Red runs from 0 to 255 along the width, green along the height."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(
        np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), x * 0], axis=-1).astype(np.uint8)
    )


def reach(image: Image.Image) -> list[int]:
    """The least and greatest red, the least and greatest green."""
    pixels = np.asarray(image).astype(int)
    return [int(end(pixels[..., colour])) for colour in (0, 1) for end in (np.min, np.max)]


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(RESIZE_RULES))
def test_every_image_becomes_a_square(width: int, height: int, rule: str) -> None:
    """Whatever the size, each rule gives S × S pixels of RGB."""
    image = resize(ramp(width, height), 32, rule)

    assert (image.size, image.mode) == ((32, 32), "RGB")


@pytest.mark.parametrize("rule", RESIZE_RULES)
def test_an_image_of_the_right_size_is_untouched(rule: str) -> None:
    """S × S pixels pass unchanged, so that exported graphs and predictions can agree."""
    assert np.array_equal(np.asarray(resize(ramp(64, 64), 64, rule)), np.asarray(ramp(64, 64)))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("trim", [55, 200, 0, 255]), ("crop", [64, 191, 0, 255]), ("squash", [0, 255, 0, 255])],
)
def test_what_each_rule_keeps(rule: str, expected: list[int]) -> None:
    """Of an image twice as wide as high: trim keeps the middle 8/14 of the width, crop a half, squash all."""
    assert np.allclose(reach(resize(ramp(400, 200), 100, rule)), expected, atol=3)


def test_an_upright_image_is_trimmed_above_and_below() -> None:
    """The rule does not care which side is the longer one."""
    assert np.allclose(reach(resize(ramp(200, 400), 100, "trim")), [0, 255, 55, 200], atol=3)


def test_padding_is_grey_and_keeps_everything() -> None:
    """Pad shows the whole image between grey bars."""
    pixels = np.asarray(resize(ramp(400, 200), 100, "pad")).astype(int)

    assert pixels[:24].tolist() == np.full((24, 100, 3), 127).tolist()
    assert np.allclose([pixels[50, 0, 0], pixels[50, -1, 0]], [0, 255], atol=3)


def test_nearly_square_images_lose_nothing() -> None:
    """Up to 8:7 trim cuts nothing."""
    assert np.allclose(reach(resize(ramp(228, 200), 100, "trim")), [0, 255, 0, 255], atol=3)


def test_fine_patterns_become_their_mean() -> None:
    """Shrinking averages: a board of black and white pixels becomes grey, not noise."""
    board = Image.fromarray(np.indices((512, 512)).sum(axis=0).astype(np.uint8) % 2 * 255).convert("RGB")

    assert np.ptp(np.asarray(resize(board, 64, "trim"))[2:-2, 2:-2].astype(int)) <= 4


# ---- the network


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The real network, small enough to be quick."""
    return load_backbone(cache=tmp_path_factory.mktemp("cache"), side=64)


def seen(backbone: Backbone, n: int = 6) -> NDArray[np.uint8]:
    """Pixels of `n` drawings."""
    return np.stack([backbone.pixels(drawing(label, 1)) for label in "abcdefgh"[:n]])


def test_pixels_are_what_the_network_takes(backbone: Backbone) -> None:
    """`pixels` gives uint8[S, S, 3] in the order red, green, blue."""
    pixels = backbone.pixels(Image.new("RGB", (90, 70), (200, 100, 0)))

    assert (pixels.dtype, pixels.shape) == (np.uint8, (64, 64, 3))
    assert pixels[5, 5].tolist() == [200, 100, 0]


def test_an_embedding_hangs_on_its_image_alone(backbone: Backbone) -> None:
    """Alone, in a batch, in another order: the same bytes."""
    pixels = seen(backbone)
    together = backbone.embed(pixels)

    assert (together.dtype, together.shape) == (np.float32, (6, backbone.card.dimensions))
    assert np.array_equal(together, np.concatenate([backbone.embed(pixels[i : i + 1]) for i in range(6)]))
    assert np.array_equal(together, backbone.embed(pixels[::-1])[::-1])


def test_threads_share_a_backbone(backbone: Backbone) -> None:
    """Four threads at once get what one gets, byte for byte."""
    pixels = seen(backbone)
    alone = backbone.embed(pixels)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(backbone.embed, [pixels] * 12))

    assert all(np.array_equal(result, alone) for result in results)


def test_no_images_have_no_embeddings(backbone: Backbone) -> None:
    """An empty batch gives an empty table of the right width."""
    assert backbone.embed(np.empty((0, 64, 64, 3), dtype=np.uint8)).shape == (0, backbone.card.dimensions)


def test_embeddings_tell_images_apart(backbone: Backbone) -> None:
    """Different drawings have different embeddings, all finite; features of the last map are not below 0."""
    embeddings = backbone.embed(seen(backbone))

    assert len(np.unique(embeddings, axis=0)) == 6
    assert np.isfinite(embeddings).all()
    assert embeddings[:, :1280].min() > -1e-6


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 63, 64, 3), dtype=np.uint8),
        np.zeros((64, 64, 3), dtype=np.uint8),
        np.zeros((1, 3, 64, 64), dtype=np.uint8),
        np.zeros((1, 64, 64, 4), dtype=np.uint8),
        np.zeros((1, 64, 64, 3), dtype=np.float32),
    ],
)
def test_pixels_of_another_form_are_refused(backbone: Backbone, pixels: NDArray[np.uint8]) -> None:
    """Another shape or type is refused; the message says what was got and what is possible."""
    with pytest.raises(Invalid, match=re.escape("is not uint8[n, 64, 64, 3]")):
        backbone.embed(pixels)


def test_other_bytes_than_the_cards_are_refused() -> None:
    """A model whose digest is not the card's is not loaded."""
    with pytest.raises(Damaged, match="not those its card names"):
        Backbone(tiny_backbone().card, tiny_model() + b" ")


@pytest.mark.parametrize("model", [b"", b"not a model", tiny_model()[:150]])
def test_bytes_that_are_no_model_are_refused(model: bytes) -> None:
    """What ONNX Runtime cannot load is damage, whatever the runtime calls it."""
    card = dataclasses.replace(tiny_backbone().card, digest=hashlib.sha256(model).hexdigest())
    with pytest.raises(Damaged, match="ONNX Runtime cannot load it"):
        Backbone(card, model)


def test_a_resize_rule_that_is_not_known() -> None:
    """Another rule is refused, with the rules there are."""
    with pytest.raises(Invalid, match="trim, crop, squash, pad"):
        Backbone(dataclasses.replace(tiny_backbone().card, resize="stretch"), tiny_model())


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "lite1"), ("side", 256), ("resize", "pad"), ("pooling", "mean"), ("digest", "b" * 64)],
)
def test_the_key_covers_what_changes_an_embedding(field: str, value: object) -> None:
    """Two cards that could give different embeddings have different keys; a key can name a folder."""
    card = Card("lite0", 288, "trim", "sqrt-mean+stage6", 1472, "a" * 64)

    assert dataclasses.replace(card, **{field: value}).key != card.key
    assert re.fullmatch(r"[A-Za-z0-9+-]{1,80}", card.key)

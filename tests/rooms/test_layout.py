"""What files consist of: images pass, files that are made to waste time do not."""

from __future__ import annotations

import time

import pytest
from PIL import Image

import bombs
from deconfuse.errors import BadImage
from deconfuse.vision.images import MANIFEST_LIMITS, decode
from deconfuse.vision.layout import MOST_CHUNKS, MOST_PADDING, MOST_SCANS, MOST_SEGMENTS, check_layout
from worlds import drawing, encode

JPEG = encode(drawing("leaf"), "JPEG")
PROGRESSIVE = encode(drawing("leaf"), "JPEG", progressive=True, icc_profile=bytes(16 << 20), exif=b"Exif\0\0" + JPEG)


def segments(segment: bytes, n: int) -> bytes:
    """A JPEG with more segments."""
    return JPEG[:2] + segment * n + JPEG[2:]


def scans(n: int) -> bytes:
    """A progressive JPEG with `n` scans."""
    data = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * (n - data[:last].count(b"\xff\xda")) + b"\xff\xd9"


def chunks(n: int) -> bytes:
    """A PNG with `n` chunks, of which some hold pixels."""
    return bombs.png(64, 64, before=bombs.chunk(b"tIME", bytes(7)) * (n - 3))


@pytest.mark.parametrize(
    "data",
    [JPEG, PROGRESSIVE, *bombs.good(), segments(b"\xff\xfe\0\x03a", 1900), segments(b"\xff", 4000),
     segments(b"\0", 4000), scans(MOST_SCANS), chunks(MOST_CHUNKS)],
)  # fmt: skip
def test_images_pass(data: bytes) -> None:
    """Also those with a profile as large as it can be, with previews, comments and padding."""
    check_layout("PNG" if data.startswith(bombs.PNG) else "JPEG", data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (segments(b"\xff\xe5\0\x02", MOST_SEGMENTS), "segments"),
        (segments(b"\xff\xe5\0\0", MOST_SEGMENTS), "segments"),
        (segments(b"\xff\xd0", MOST_SEGMENTS), "segments"),
        (segments(b"\xff", MOST_PADDING + 1), "between two segments"),
        (segments(b"\0", MOST_PADDING + 1), "between two segments"),
        (segments(b"\xff\0", MOST_PADDING), "between two segments"),
        (scans(MOST_SCANS + 1), "scans"),
    ],
)
def test_a_jpeg_in_too_many_pieces(data: bytes, words: str) -> None:
    """Whatever the pieces are."""
    with pytest.raises(BadImage, match=words):
        check_layout("JPEG", data)


def test_a_png_in_too_many_pieces() -> None:
    """Before its pixels or in them."""
    for data in (chunks(MOST_CHUNKS + 1), bombs.png(64, 64, before=bombs.chunk(b"IDAT") * MOST_CHUNKS)):
        with pytest.raises(BadImage, match="chunks"):
            check_layout("PNG", data)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1", JPEG[:40], bombs.PNG, bombs.PNG + b"\0"]
)
def test_what_is_cut_is_left_to_the_decoder(data: bytes) -> None:
    """Which has words for it."""
    check_layout("JPEG", data)
    check_layout("PNG", data)


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_costs_nothing(name: str) -> None:
    """It is refused in a fraction of the time that a photograph takes."""
    data = bombs.BOMBS[name]()
    began = time.process_time()
    with pytest.raises(BadImage):
        decode(data, MANIFEST_LIMITS)
    assert time.process_time() - began < 0.5

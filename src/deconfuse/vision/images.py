"""From the bytes of a file to an RGB image, or to a reason why not.

`decode` reads what people really have: turned by EXIF, CMYK, grey, palette, 16 bit, transparent, animated. It refuses
what cannot be trusted, before anything is decoded: images beyond the limits in force, decompression bombs, files that
only carry an image's name, and files in more pieces than any image has, each of which costs the decoder far more than a
few bytes cost who sends them (`layout`). Whatever a decoder raises on damaged bytes becomes `BadImage`.

    what the file holds            what comes out
    EXIF orientation               the image as it was meant to be seen
    CMYK, YCCK                     RGB by complement; colour profiles are not applied
    grey, grey with alpha, 1 bit   three equal channels
    palette                        its colours
    16 and 32 bit, float           scaled to 8 bits, never clipped (see `_to_8_bit`)
    alpha, a transparent colour    laid over white
    several frames or pages        the first
    MPO                            a JPEG; its first picture

Two sets of limits: `MANIFEST_LIMITS` are Amazon Rekognition's, `FOLDER_LIMITS` are what a folder on one's own machine
may hold.

Source: Amazon Rekognition Custom Labels developer guide, "Guidelines and quotas" and "Non-terminal JSON line
validation errors" (ERROR_INVALID_IMAGE).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from deconfuse.errors import BadImage, ImageTooLarge
from deconfuse.vision.layout import check_layout

RULE = "images-1"
"""Changes whenever `decode` would give other pixels for the same bytes; part of every embedding's key."""

_DRAFT_SIDE = 512
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may be; 0 means no limit.

    Attributes:
        formats: names as Pillow writes them: "JPEG", "PNG", …; MPO counts as JPEG.
        min_side: pixels, of the shorter side.
        max_side: pixels, of the longer side.
        max_ratio: longer side over shorter side.
        max_bytes: of the file.
        max_pixels: width times height.
    """

    formats: frozenset[str]
    min_side: int = 0
    max_side: int = 0
    max_ratio: float = 0
    max_bytes: int = 0
    max_pixels: int = 0


MANIFEST_LIMITS = Limits(
    frozenset({"JPEG", "PNG"}), min_side=64, max_side=4096, max_ratio=20, max_bytes=15 << 20, max_pixels=4096 * 4096
)
"""Amazon Rekognition's limits for images of a manifest."""

FOLDER_LIMITS = Limits(frozenset({"JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"}), max_ratio=200, max_pixels=100_000_000)
"""Limits for images of a folder or a CSV."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an image without its pixels.

    Attributes:
        format: as in `Limits.formats`.
        width: pixels, after the turn that EXIF asks for.
        height: likewise.
        n_bytes: of the file.
    """

    format: str
    width: int
    height: int
    n_bytes: int


def decode(data: bytes, limits: Limits) -> tuple[Image.Image, Facts]:
    """The image in `data` in mode RGB, upright, with its facts.

    A JPEG whose shorter side is 1,024 pixels or more is decoded at a half, a quarter or an eighth of its size, with
    at least 512 pixels left on the shorter side; the facts tell the size in the file. The result depends on `data`
    alone.

    Args:
        data: the file's bytes.
        limits: the rules in force.

    Raises:
        ImageTooLarge: more bytes, pixels or a longer side than allowed.
        BadImage: anything else that keeps the image from being used; the sentence says what.
    """
    if not data:
        raise BadImage("the file is empty")
    if limits.max_bytes and len(data) > limits.max_bytes:
        raise ImageTooLarge(_too_many_bytes(len(data), limits))
    kind = _recognise(data)
    if kind not in limits.formats:
        raise BadImage(_wrong_format(kind, limits))
    check_facts(Facts(kind, *(_webp_size(data) if kind == "WEBP" else (0, 0)), n_bytes=len(data)), limits)
    check_layout(kind, data)
    with _silence():
        try:
            return _read(data, kind, limits)
        except BadImage:
            raise
        except Image.DecompressionBombError as error:
            raise ImageTooLarge("the image has more pixels than can be decoded safely") from error
        except Exception as error:
            # Decoders raise nearly everything on damaged bytes: OSError, SyntaxError, struct.error, MemoryError, …
            raise BadImage(_damaged(error)) from error


def check_facts(facts: Facts, limits: Limits) -> None:
    """Applies to an image whose facts are known the rules that `decode` applies.

    A side of 0 is one that is not known yet; no rule is broken by it.

    Raises:
        ImageTooLarge: more bytes, pixels or a longer side than allowed.
        BadImage: a format, a side or a ratio that is not allowed.
    """
    if facts.format not in limits.formats:
        raise BadImage(_wrong_format(facts.format, limits))
    if limits.max_bytes and facts.n_bytes > limits.max_bytes:
        raise ImageTooLarge(_too_many_bytes(facts.n_bytes, limits))
    size = f"the image is {facts.width} x {facts.height} pixels"
    short, long = sorted((facts.width, facts.height))
    if limits.max_pixels and short * long > limits.max_pixels:
        raise ImageTooLarge(f"{size}; at most {limits.max_pixels / 1e6:,.3g} million pixels are allowed")
    if limits.max_side and long > limits.max_side:
        raise ImageTooLarge(f"{size}; no side may be longer than {limits.max_side}")
    if not short:
        return
    if short < limits.min_side:
        raise BadImage(f"{size}; no side may be shorter than {limits.min_side}")
    if limits.max_ratio and long > limits.max_ratio * short:
        raise BadImage(f"{size}; one side may be at most {limits.max_ratio:g} times the other")


def thumbnail(image: Image.Image, *, side: int = 96) -> bytes:
    """`image` at most `side` pixels wide and high, as the bytes of a WebP file; smaller images keep their size.

    Args:
        image: mode RGB.
        side: pixels.
    """
    small = image if max(image.size) <= side else _shrink(image, side)
    file = io.BytesIO()
    # Method 2 makes files a fifth smaller than 1 and takes as long; higher methods double the time for a twentieth.
    small.save(file, "WEBP", quality=75, method=2)
    return file.getvalue()


def _shrink(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


_SIGNATURES = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+", "TIFF"),
    (rb"BM.{12}[\x0c-\x7c]\x00{3}", "BMP"),
    (rb".{4}ftyp(?:heic|heix|hevc|mif1|msf1)", "HEIC"),
    (rb".{4}ftypavi[fs]", "AVIF"),
    (rb".{4}ftyp", "video"),
    (rb"%PDF", "PDF"),
    (rb"8BPS", "Photoshop"),
    (rb"\x00\x00\x01\x00", "icon"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (rb"PK\x03\x04", "ZIP"),
    (rb"\s*<svg|\s*<\?xml.*<svg", "SVG"),
    (rb"\s*<(?:!doctype|html|\?xml)", "web page or XML"),
)


def _recognise(data: bytes) -> str:
    """The format that the first bytes announce; "" where they announce none."""
    start = data[:512]
    return next((kind for pattern, kind in _SIGNATURES if re.match(pattern, start, re.DOTALL | re.IGNORECASE)), "")


def _wrong_format(kind: str, limits: Limits) -> str:
    allowed = " and ".join(filter(None, (", ".join(sorted(limits.formats)[:-1]), sorted(limits.formats)[-1])))
    if not kind:
        return f"the file is not an image that can be read; {allowed} are read"
    article = "an" if kind in ("SVG", "AVIF", "icon") else "a"
    return f"the file is {article} {kind} file; {allowed} are read"


def _too_many_bytes(n_bytes: int, limits: Limits) -> str:
    return f"the file has {n_bytes:,} bytes; at most {limits.max_bytes:,} are allowed"


def _damaged(error: Exception) -> str:
    if "truncated" in str(error).lower():
        return "the file is cut off: part of the image is missing"
    if isinstance(error, UnidentifiedImageError):
        return "the image is damaged and cannot be decoded (its header cannot be read)"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode the image"
    return f"the image is damaged and cannot be decoded ({error or type(error).__name__})"


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in a WebP's header, for its decoder makes room for the frame before it tells the size.

    Source: RFC 9649, sections 2.5 to 2.7, and RFC 6386, section 9.1.
    """
    head = data[12:30].ljust(18, b"\0")
    match head[:4]:
        case b"VP8X":
            return int.from_bytes(head[12:15], "little") + 1, int.from_bytes(head[15:18], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[9:13], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(head[14:16], "little") & 0x3FFF, int.from_bytes(head[16:18], "little") & 0x3FFF
    raise BadImage("the image is damaged and cannot be decoded (no WebP frame)")


_QUIET = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)


@contextmanager
def _silence() -> Iterator[None]:
    """Lets no warning of Pillow through.

    Every image decoded here is judged by this module's own rules, so what Pillow would say about it (a large image, a
    strange EXIF block) helps nobody. `warnings.catch_warnings` replaces the list of filters and would lose entries
    when several threads decode at once; one entry put in and taken out again leaves the list as it was.
    """
    filters = warnings.filters
    assert isinstance(filters, list)
    filters.insert(0, _QUIET)
    try:
        yield
    finally:
        filters.remove(_QUIET)


def _read(data: bytes, kind: str, limits: Limits) -> tuple[Image.Image, Facts]:
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        orientation = _orientation(image)
        width, height = image.size
        if orientation >= 5 and kind != "TIFF":
            width, height = height, width
        facts = Facts(kind, width, height, len(data))
        check_facts(facts, limits)
        if kind == "JPEG" and min(image.size) >= 2 * _DRAFT_SIDE:
            # The decoder shrinks for a fraction of the cost of decoding everything and shrinking then.
            image.draft(None, (_DRAFT_SIDE, _DRAFT_SIDE))
        image.load()
        upright = _to_rgb(image)
        turn = None if kind == "TIFF" else _TURNS.get(orientation)
        return (upright.transpose(turn) if turn is not None else upright), facts


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or where it cannot be read, for the image can be."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  (as above, and what is wrong with the EXIF block is no harm to the pixels)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """`image` in mode RGB: wide numbers scaled, transparency laid over white."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_8_bit(image).convert("RGB")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _to_8_bit(image: Image.Image) -> Image.Image:
    """A grey image of wide numbers as 8 bits.

    Whole numbers from 0 to 65,535 keep their place in that range; anything wider, negative or fractional is
    stretched so that its darkest place is 0 and its brightest 255, because the file does not say what white is.

    Raises:
        BadImage: a number is not finite.
    """
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadImage("the image holds numbers that are not finite")
    if image.mode != "F" and low >= 0 and high <= 65535:
        scaled = np.rint(np.arange(65536) / 257).astype(np.uint8)[values]
    else:
        factor = 255 / (high - low) if high > low else 0.0
        scaled = np.rint((values.astype(np.float64) - low) * factor).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 255
    return Image.fromarray(scaled)

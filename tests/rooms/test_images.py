"""Reading images: every form people have, every reason to refuse, and nothing but BadImage on damage."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from deconfuse.errors import BadImage, ImageTooLarge
from deconfuse.vision.images import FOLDER_LIMITS, MANIFEST_LIMITS, Facts, Limits, check_facts, decode, thumbnail
from worlds import encode

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


def scene(width: int = 100, height: int = 80) -> Image.Image:
    """An RGB image without symmetry: red to the right, green downwards, a blue corner."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, np.where(x + y < 40, 255, 0)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    """A small PNG that claims to be width × height."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def pixels(data: bytes, limits: Limits = FOLDER_LIMITS) -> NDArray[np.int64]:
    """What `decode` gives, as numbers that can be subtracted."""
    image, _ = decode(data, limits)
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int64)


# ---- what is read


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_folders_is_read(form: str) -> None:
    """Each format gives an RGB image near the original, with its name, size and bytes as facts."""
    data = encode(scene(), form)

    image, facts = decode(data, FOLDER_LIMITS)

    assert facts == Facts(form, 100, 80, len(data))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(scene())).mean() < 12


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGBA", "CMYK"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    """Grey, one bit, palette, alpha and CMYK come out as Pillow's own conversion of the opaque image."""
    image = scene().convert(mode)
    data = encode(image, "TIFF" if mode == "CMYK" else "PNG")

    assert np.array_equal(pixels(data), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_is_not_inverted() -> None:
    """White in a CMYK JPEG, the form that print shops deliver, is white."""
    assert pixels(encode(Image.new("CMYK", (80, 80), (0, 0, 0, 0)), "JPEG")).min() > 250


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_is_scaled(form: str) -> None:
    """0, 32,896 and 65,535 of 16 bits are 0, 128 and 255: scaled, not clipped."""
    grey = np.zeros((80, 80), dtype=np.uint16)
    grey[20:40], grey[40:] = 32896, 65535

    assert pixels(encode(Image.fromarray(grey), form))[[0, 30, 60], 5, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(-3.0, 3.0, np.float32), (-1e6, 2e9, np.int32), (7.0, 7.0, np.float32)]
)
def test_wider_numbers_are_stretched(low: float, high: float, kind: type) -> None:
    """Floats and 32-bit numbers run from 0 at their darkest to 255 at their brightest; one value alone is black."""
    grey = np.linspace(low, high, 6400).reshape(80, 80).astype(kind)

    seen = pixels(encode(Image.fromarray(grey), "TIFF"))

    assert (seen.min(), seen.max()) == (0, 255 if high > low else 0)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.new("RGBA", (80, 80), (255, 0, 0, 0)), {}),
        (Image.new("LA", (80, 80), (0, 0)), {}),
        (Image.new("RGB", (80, 80), "red"), {"transparency": (255, 0, 0)}),
        (Image.new("L", (80, 80), 7), {"transparency": 7}),
        (Image.new("RGB", (80, 80), "red").quantize(2), {"transparency": 0}),
        (scene().quantize(9), {"transparency": bytes(256)}),
        (Image.fromarray(np.full((80, 80), 300, dtype=np.uint16)), {"transparency": 300}),
    ],
    ids=["RGBA", "LA", "RGB key", "L key", "P key", "P alphas", "16-bit key"],
)
def test_transparent_is_white(image: Image.Image, options: dict[str, object]) -> None:
    """A fully transparent PNG is white, in every way a PNG can be transparent."""
    assert pixels(encode(image, "PNG", **options)).min() == 255


def test_half_transparent_is_half_white() -> None:
    """Red at half opacity over white is pink."""
    assert pixels(encode(Image.new("RGBA", (80, 80), (255, 0, 0, 128)), "PNG"))[0, 0].tolist() == [255, 127, 127]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(form: str, orientation: int) -> None:
    """Each of the eight turns gives what Pillow's own turn gives, and the facts tell the size after it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(scene(), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))

    image, facts = decode(data, FOLDER_LIMITS)

    assert image.size == (facts.width, facts.height) == ((80, 100) if orientation >= 5 else (100, 80))
    with Image.open(io.BytesIO(data)) as original:
        expected = ImageOps.exif_transpose(original).convert("RGB")
    assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("value", [0, 9, 700])
def test_a_wrong_orientation_is_none(value: int) -> None:
    """An orientation that does not exist leaves the image as it is."""
    exif = Image.Exif()
    exif[0x0112] = value

    assert decode(encode(scene(), "JPEG", exif=exif), FOLDER_LIMITS)[0].size == (100, 80)


def test_a_damaged_exif_block_does_no_harm() -> None:
    """The pixels of a JPEG whose EXIF block is garbage are read all the same."""
    assert decode(encode(scene(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 60), FOLDER_LIMITS)[0].size == (100, 80)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_read(form: str) -> None:
    """An animation, or a file of several pages, counts as its first picture."""
    options = {"lossless": True} if form == "WEBP" else {}
    first, second = Image.new("RGB", (80, 80), (255, 0, 0)), Image.new("RGB", (80, 80), (0, 0, 255))

    assert pixels(encode(first, form, save_all=True, append_images=[second], **options))[0, 0].tolist() == [255, 0, 0]


def test_mpo_is_a_jpeg() -> None:
    """The two-picture JPEG of stereo cameras and phones is a JPEG, also for manifests."""
    data = encode(scene(), "MPO", save_all=True, append_images=[scene()])

    assert decode(data, MANIFEST_LIMITS)[1].format == "JPEG"


def test_a_large_photograph_keeps_its_facts_and_its_look() -> None:
    """A JPEG of 12 megapixels is decoded small, says its true size, and shows the same as when decoded whole."""
    photo = scene().resize((4000, 3000))
    data = encode(photo, "JPEG")

    image, facts = decode(data, FOLDER_LIMITS)

    assert (facts.width, facts.height) == (4000, 3000)
    assert min(image.size) == 750
    whole = np.asarray(photo.resize(image.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(image).astype(int) - whole).mean() < 3


def test_decoding_twice_gives_the_same_pixels() -> None:
    """The result depends on the bytes alone."""
    data = encode(scene(1500, 1100), "JPEG")

    assert np.array_equal(pixels(data), pixels(data))


def test_a_format_is_known_by_its_bytes() -> None:
    """What a file is does not hang on its name: a PNG is a PNG for whoever expects JPEG and PNG."""
    assert decode(encode(scene(), "PNG"), MANIFEST_LIMITS)[1].format == "PNG"


# ---- what is refused


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(form: str, share: float) -> None:
    """A file that is cut off is refused, wherever it is cut."""
    data = encode(Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 100, 3), dtype=np.uint8)), form)

    with pytest.raises(BadImage):
        decode(data[: int(len(data) * share)], FOLDER_LIMITS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, I am text", "not an image"),
        (b"\0" * 4096, "not an image"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'<?xml version="1.0"?>\n<svg width="9">', "SVG"),
        (b"\0\0\0\x20ftypheic" + bytes(64), "HEIC"),
        (b"\0\0\0\x20ftypavif" + bytes(64), "AVIF"),
        (b"\0\0\0\x20ftypisom" + bytes(64), "video"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + bytes(64), "ZIP"),
        (b"BM, said the fox, is where it all began", "not an image"),
        (b"\xff\xd8\xff", "damaged"),
        (b"RIFF\x10\0\0\0WEBPALPH", "no WebP frame"),
        (b"GIF89a", "damaged"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    """Files that only carry an image's name are refused, with what they are where that can be told."""
    with pytest.raises(BadImage, match=words) as caught:
        decode(data, FOLDER_LIMITS)

    assert caught.value.code == "ERROR_INVALID_IMAGE"
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("form", ["WEBP", "BMP", "TIFF", "GIF"])
def test_manifests_take_png_and_jpeg_alone(form: str) -> None:
    """What folders may hold and AWS does not take is refused in a manifest; the message names it and what is read."""
    with pytest.raises(BadImage, match=f"a {form} file; JPEG and PNG are read"):
        decode(encode(scene(), form), MANIFEST_LIMITS)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    """An image beyond 100 megapixels is refused though its file is tiny, before room is made for its pixels."""
    with pytest.raises(ImageTooLarge):
        decode(png_header(*size), FOLDER_LIMITS)


@pytest.mark.parametrize(
    "frame",
    [
        b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2,
        b"VP8L" + struct.pack("<I", 10) + b"\x2f" + (16382 | 16382 << 14).to_bytes(4, "little"),
        b"VP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383),
    ],
    ids=["VP8X", "VP8L", "VP8"],
)
def test_webp_bombs_are_refused_by_their_header(frame: bytes) -> None:
    """WebP's decoder makes room at once, so its header is read first, in each of its three forms."""
    with pytest.raises(ImageTooLarge, match="16383 x 16383"):
        decode(b"RIFF" + struct.pack("<I", 4 + len(frame)) + b"WEBP" + frame, FOLDER_LIMITS)


def test_webp_headers_tell_the_true_size() -> None:
    """A limit on the side applies to a real WebP, lossy or not, with and without alpha, as to any other format."""
    limits = Limits(frozenset({"WEBP"}), max_side=99)
    for image, options in [(scene(), {}), (scene(), {"lossless": True}), (scene().convert("RGBA"), {"exact": True})]:
        with pytest.raises(ImageTooLarge, match="100 x 80"):
            decode(encode(image, "WEBP", **options), limits)


def test_the_users_own_guard_stays_as_it_is() -> None:
    """Pillow's limit belongs to the program around us: it is left alone, and 95 megapixels pass without a warning."""
    before = Image.MAX_IMAGE_PIXELS

    image, _ = decode(encode(Image.new("1", (9_700, 9_700)), "PNG"), FOLDER_LIMITS)

    assert image.size == (9_700, 9_700)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((63, 100), "shorter than 64"),
        ((100, 63), "shorter than 64"),
        ((4097, 300), "longer than 4096"),
        ((1301, 65), "20 times"),
    ],
)
def test_manifests_keep_awss_sizes(size: tuple[int, int], words: str) -> None:
    """Below 64 and above 4,096 pixels, and beyond 20:1, an image of a manifest is refused with AWS's code."""
    with pytest.raises(BadImage, match=words) as caught:
        decode(encode(Image.new("L", size), "PNG"), MANIFEST_LIMITS)

    assert caught.value.code == "ERROR_INVALID_IMAGE"


@pytest.mark.parametrize("size", [(64, 64), (1300, 65), (4096, 300)])
def test_awss_sizes_themselves_pass(size: tuple[int, int]) -> None:
    """64 and 4,096 pixels and 20:1 are inside the limits."""
    assert decode(encode(Image.new("L", size), "PNG"), MANIFEST_LIMITS)[0].size == size


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (200, 1), (1, 200)])
def test_folders_take_the_smallest_images(size: tuple[int, int]) -> None:
    """A folder may hold images below 64 pixels, down to one."""
    assert decode(encode(Image.new("L", size), "PNG"), FOLDER_LIMITS)[0].size == size


def test_folders_refuse_what_is_too_narrow() -> None:
    """Beyond 200:1 an image of a folder is refused."""
    with pytest.raises(BadImage, match="200 times"):
        decode(encode(Image.new("L", (201, 1)), "PNG"), FOLDER_LIMITS)


def test_too_many_bytes() -> None:
    """A file above 15 MB is refused in a manifest before it is looked at; the message says how large it is."""
    with pytest.raises(ImageTooLarge, match="15,800,003 bytes; at most 15,728,640"):
        decode(b"\xff\xd8\xff" + bytes(15_800_000), MANIFEST_LIMITS)


def test_the_limit_holds_for_the_turned_image() -> None:
    """A rule about sides does not care which of them EXIF makes the width."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(BadImage, match="40 x 100"):
        decode(encode(scene(100, 40), "JPEG", exif=exif), MANIFEST_LIMITS)


def test_numbers_that_are_not_finite() -> None:
    """A floating-point TIFF that holds NaN is refused."""
    with pytest.raises(BadImage, match="not finite"):
        decode(encode(Image.fromarray(np.full((80, 80), np.nan, dtype=np.float32)), "TIFF"), FOLDER_LIMITS)


def test_png_without_pixels() -> None:
    """An image of no width is refused."""
    with pytest.raises(BadImage):
        decode(png_header(0, 10), FOLDER_LIMITS)


# ---- the same rules from the cache


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        (Facts("GIF", 100, 100, 9), BadImage),
        (Facts("PNG", 63, 100, 9), BadImage),
        (Facts("PNG", 100, 2001, 9), BadImage),
        (Facts("PNG", 100, 4097, 9), ImageTooLarge),
        (Facts("PNG", 100, 100, (15 << 20) + 1), ImageTooLarge),
    ],
)
def test_facts_are_judged_like_images(facts: Facts, error: type[BadImage]) -> None:
    """An image known from the cache is refused for the same reasons as one that is decoded."""
    with pytest.raises(error):
        check_facts(facts, MANIFEST_LIMITS)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["PNG", "GIF", "BMP"]))
def test_facts_and_images_never_disagree(width: int, height: int, form: str) -> None:
    """`decode` refuses exactly what `check_facts` refuses, with the same words."""
    limits = Limits(frozenset({"PNG", "GIF"}), min_side=20, max_side=250, max_ratio=5, max_pixels=40_000)
    data = encode(Image.new("L", (width, height)), form)

    def outcome(act: object) -> str:
        try:
            act()  # type: ignore[operator]
        except BadImage as error:
            return f"{type(error).__name__} {error}"
        return "fine"

    assert outcome(lambda: decode(data, limits)) == outcome(
        lambda: check_facts(Facts(form, width, height, len(data)), limits)
    )


# ---- damage


BASES = [encode(scene(), form) for form in FORMATS] + [
    encode(scene(), "TIFF", compression="tiff_lzw"),
    encode(scene().convert("RGBA"), "WEBP", lossless=True),
    encode(scene().convert("P"), "PNG", transparency=3),
    encode(scene(), "JPEG", progressive=True, exif=Image.Exif()),
    encode(scene(), "MPO", save_all=True, append_images=[scene()]),
]


@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
    st.booleans(),
)
def test_damage_raises_bad_image_or_nothing(base: bytes, wounds: list[tuple[float, bytes]], in_header: bool) -> None:
    """Whatever bytes are overwritten, the answer is an RGB image or BadImage; no other error, no warning."""
    data = bytearray(base)
    for place, wound in wounds:
        start = int(place * (min(len(base), 200) if in_header else len(base)))
        data[start : start + len(wound)] = wound

    try:
        image, facts = decode(bytes(data), FOLDER_LIMITS)
    except BadImage:
        return
    assert image.mode == "RGB"
    assert facts.width > 0


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"MM\0*"]),
)
def test_garbage_raises_bad_image(garbage: bytes, start: bytes) -> None:
    """Bytes that begin like an image and go on like nothing are refused."""
    with pytest.raises(BadImage):
        decode(start + garbage, FOLDER_LIMITS)


def test_warnings_stay_inside_and_filters_stay_as_they_were() -> None:
    """Threads that decode at once let no warning through and leave the program's filters alone."""
    data = encode(scene(), "TIFF")
    strange = data[:-40] + random.Random(2).randbytes(40)  # the directory of a TIFF stands at its end
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(20):
            for one in (data, strange):
                with contextlib.suppress(BadImage):
                    decode(one, FOLDER_LIMITS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(warnings.filters) == before


# ---- thumbnails


@pytest.mark.parametrize(
    ("size", "expected"), [((384, 288), (96, 72)), ((50, 3000), (2, 96)), ((10, 20), (10, 20)), ((2000, 9), (96, 1))]
)
def test_thumbnails_fit_and_keep_their_proportions(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """A thumbnail is a WebP of at most 96 pixels a side; smaller images are not enlarged."""
    with Image.open(io.BytesIO(thumbnail(scene(*size)))) as small:
        assert (small.format, small.size) == ("WEBP", expected)


def test_two_thousand_thumbnails_fit_a_report() -> None:
    """A picture with as much detail as a photograph stays below 2 KB, so that 2,000 fit in 5 MB with their page."""
    noise = np.random.default_rng(3).normal(0, 14, (288, 384, 3))
    busy = Image.fromarray(np.clip(np.asarray(scene(384, 288)) + noise, 0, 255).astype(np.uint8))

    assert len(thumbnail(busy)) < 2_000


def test_thumbnails_are_the_same_each_time() -> None:
    """The same image gives the same bytes, so that reports can be compared."""
    assert thumbnail(scene()) == thumbnail(scene())

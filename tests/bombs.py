"""Images that nobody should send, made by chance or by hand.

    FAMILIES["flips"](rng)       the bytes of a file that may still be an image
    BOMBS                        files that cost far more to decode than to send, by name

An image by chance begins with one that is fine; a bomb is within every limit that can be read from a header.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from attacks import ODD_BYTES, mutated
from worlds import drawing, encode

PNG = b"\x89PNG\r\n\x1a\n"


@cache
def good() -> tuple[bytes, ...]:
    """Images that are fine, of every kind that is read."""
    image = drawing("leaf", 1, side=96)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a leaf"
    palette = image.convert("P")
    wide = Image.fromarray(np.arange(96 * 96, dtype=np.uint16).reshape(96, 96))
    return (
        encode(image),
        encode(image, "JPEG", quality=80),
        encode(image, "JPEG", progressive=True, exif=exif.tobytes(), icc_profile=bytes(range(256)) * 9),
        encode(image.convert("CMYK"), "JPEG"),
        encode(image.convert("L"), "JPEG", optimize=True),
        encode(image.convert("RGBA")),
        encode(palette, transparency=3),
        encode(wide),
        encode(image.convert("1")),
        encode(image, "PNG", save_all=True, append_images=[drawing("sun", 2)], duration=10),
        encode(image, "PNG", exif=exif.tobytes(), icc_profile=bytes(999)),
    )


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    *,
    depth: int = 8,
    colour: int = 2,
    interlaced: int = 0,
    before: bytes = b"",
    rows: Any = None,
) -> bytes:
    """A PNG of nothing but black; `before` stands before its pixels, `rows` in their place."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    if rows is None:
        rows = zlib.compress((b"\0" + bytes((width * channels * depth + 7) // 8)) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return PNG + chunk(b"IHDR", header) + before + chunk(b"IDAT", rows) + chunk(b"IEND")


def flips(rng: random.Random) -> bytes:
    """Some bits turned."""
    held = bytearray(rng.choice(good()))
    for _ in range(rng.choice([1, 1, 3, 30])):
        held[rng.randrange(len(held))] ^= 1 << rng.randrange(8)
    return bytes(held)


def wounds(rng: random.Random) -> bytes:
    """Bytes changed, dropped, doubled or put in; most of them near the beginning, where it is decided what it is."""
    data = rng.choice(good())
    if rng.random() < 0.5:
        return mutated(data, rng)
    return mutated(data[:200], rng) + data[200:]


def ends(rng: random.Random) -> bytes:
    """Cut off, or longer than it should be."""
    data = rng.choice(good())
    return data[: rng.randrange(len(data))] if rng.random() < 0.7 else data + rng.randbytes(rng.choice([1, 5000]))


MAGICS = [
    *(b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"BM", b"%PDF-1.7", b"PK\x03\x04", b"\0\0\1\0", b"8BPS", b"", PNG),
    *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff", b"\0\0\0 ftypheic", b"\xff\xd8"),
]


def magics(rng: random.Random) -> bytes:
    """The beginning of one kind and the rest of another; or of none."""
    tail = rng.choice([*good(), rng.randbytes(2000), bytes(500), b"", b"<html>"])
    return rng.choice(MAGICS) + tail[rng.randrange(0, 16) :]


def headers(rng: random.Random) -> bytes:
    """A PNG whose header tells what is not there: its CRC is right."""
    sides = [0, 1, 63, 64, 65, 4096, 4097, 30_000, 65_535, 2**31 - 1, 2**31, 2**32 - 1]
    rows = rng.choice([zlib.compress(bytes(64 * 65 * 8)), b"", b"\x78\x9c", rng.randbytes(50)])
    return png(
        rng.choice(sides), rng.choice(sides), depth=rng.choice([1, 2, 4, 8, 16, 3, 0, 255]),
        colour=rng.choice([0, 2, 3, 4, 6, 1, 9]), interlaced=rng.choice([0, 0, 1, 2]), rows=rows,
    )  # fmt: skip


def frames(rng: random.Random) -> bytes:
    """A JPEG whose frame header is changed: sides, precision, components, sampling."""
    held = bytearray(rng.choice(good()[1:5]))
    at = max(held.find(b"\xff\xc0"), held.find(b"\xff\xc2"))
    for _ in range(rng.randint(1, 4)):
        held[at + rng.randrange(1, 19)] = rng.choice([0, 1, 2, 3, 4, 8, 12, 17, 64, 255, rng.randrange(256)])
    return bytes(held)


def chunks(rng: random.Random) -> bytes:
    """A PNG with chunks that are doubled, in disorder, unknown, or full of garbage; their CRCs are right."""
    kinds = (
        b"iCCP eXIf tEXt zTXt iTXt tRNS gAMA cHRM sRGB pHYs acTL fcTL fdAT PLTE IHDR IEND IDAT sBIT bKGD tIME zzzz ZZZZ"
    )
    found = []
    for _ in range(rng.randint(1, 6)):
        squeezed = b"x\0\0" + zlib.compress(bytes(9999))
        garbage = rng.choice([b"", rng.randbytes(9), squeezed, b"II*\0\x08\0\0\0\xff\xff", bytes(800)])
        found.append(chunk(rng.choice([*kinds.split(), bytes(4)]), garbage))
    return png(96, 96, colour=rng.choice([0, 2, 3, 6]), before=b"".join(found))


STARTS = [
    *(b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\1", b"ICC_PROFILE\0\1\1", b"MPF\0II*\0"),
    *(b"Photoshop 3.0\0" + b"8BIM", b"JFIF\0", b"Adobe\0d\0\0\0\0\2", b"http://ns.adobe.com/xap/1.0/\0", b""),
]
"""How segments of a JPEG begin whose content means something to a decoder."""


def segments(rng: random.Random) -> bytes:
    """A JPEG with segments of garbage: EXIF, ICC, Photoshop, MPO, comments, tables."""
    data = rng.choice(good()[1:5])
    found = []
    for _ in range(rng.randint(1, 5)):
        body = rng.choice(STARTS) + rng.choice([b"", rng.randbytes(60), bytes(900), rng.choice(ODD_BYTES)])
        length = len(body) + 2 if rng.random() < 0.8 else rng.choice([0, 1, 2, 65_535])
        marker = rng.choice([0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xDB, 0xC4, 0xDD, 0xDA, 0xC0, 0xD9, 0xD8, 0xD0, 0x01])
        found.append(b"\xff" + bytes([marker]) + struct.pack(">H", length) + body)
    return data[:2] + b"".join(found) + data[2:]


def polyglots(rng: random.Random) -> bytes:
    """An image that is something else as well."""
    data = rng.choice(good())
    other = rng.choice(
        [b"PK\x03\x04" + rng.randbytes(99), b"<script>alert(1)</script>", b"%PDF-1.7\n", b"GIF89a;", *good()]
    )
    return rng.choice([data + other, other + data, data[:20] + other + data[20:], data + other * 20])


def nothing(rng: random.Random) -> bytes:
    """No image at all."""
    return rng.choice([b"", b"\0", bytes(5000), rng.randbytes(rng.randrange(1, 3000)), *ODD_BYTES])


FAMILIES: dict[str, Callable[[random.Random], bytes]] = {
    "flips": flips,
    "wounds": wounds,
    "ends": ends,
    "magics": magics,
    "headers": headers,
    "frames": frames,
    "chunks": chunks,
    "segments": segments,
    "polyglots": polyglots,
    "nothing": nothing,
}
"""How one file is made, by the name of its kind."""


# Bombs ---------------------------------------------------------------------------------------------------------------


def _many_scans(n: int) -> bytes:
    """A progressive JPEG of 4096 × 4096 pixels that goes over them again and again."""
    data = encode(Image.new("RGB", (4096, 4096)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * n + b"\xff\xd9"


def _many_segments(segment: bytes, n: int) -> bytes:
    data = encode(Image.new("RGB", (96, 96)), "JPEG")
    return data[:2] + segment * n + data[2:]


def _zeros() -> bytes:
    return zlib.compress(bytes(1 << 28), 9)


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG, header of 30,000 x 30,000": lambda: png(30_000, 30_000, rows=b""),
    "PNG, header of 2^31 - 1": lambda: png(2**31 - 1, 2**31 - 1, rows=b""),
    "PNG, text of a quarter of a GB": lambda: png(64, 64, before=chunk(b"zTXt", b"x\0\0" + _zeros())),
    "PNG, colour profile of a quarter of a GB": lambda: png(64, 64, before=chunk(b"iCCP", b"x\0\0" + _zeros())),
    "PNG, a hundred thousand chunks": lambda: png(64, 64, before=chunk(b"tIME", bytes(7)) * 100_000),
    "PNG, pixels in a hundred thousand chunks": lambda: png(64, 64, before=chunk(b"IDAT") * 100_000),
    "PNG, a hundred thousand texts": lambda: png(64, 64, before=chunk(b"tEXt", b"a\0b") * 100_000),
    "JPEG, 1,000 scans": lambda: _many_scans(1000),
    "JPEG, 500,000 segments": lambda: _many_segments(b"\xff\xe5\0\x02", 500_000),
    "JPEG, 200,000 comments": lambda: _many_segments(b"\xff\xfe\0\x03a", 200_000),
    "JPEG, 100,000 EXIF blocks": lambda: _many_segments(b"\xff\xe1\0\x08Exif\0\0", 100_000),
    "JPEG, 2 MB of padding": lambda: _many_segments(b"\xff", 2 << 20),
    "JPEG, header of 65,535 x 65,535": lambda: _with_sides(65_535),
}
"""Files that are refused."""


def _with_sides(side: int) -> bytes:
    held = bytearray(encode(Image.new("RGB", (96, 96)), "JPEG"))
    at = held.find(b"\xff\xc0")
    held[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(held)


LARGEST: dict[str, Callable[[], bytes]] = {
    "PNG, 64 x 64, pixels of a quarter of a GB": lambda: png(64, 64, rows=_zeros()),
    "PNG, 4096 x 4096": lambda: png(4096, 4096),
    "PNG, 4096 x 4096, 16 bits, transparent": lambda: png(4096, 4096, depth=16, colour=6),
    "JPEG, 4096 x 4096, progressive": lambda: encode(Image.new("RGB", (4096, 4096)), "JPEG", progressive=True),
}
"""Small files that are as large as an image may be, or seem to be larger, and are answered."""

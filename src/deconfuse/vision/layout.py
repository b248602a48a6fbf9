"""How many pieces a file consists of, found without decoding anything.

A segment of a JPEG and a chunk of a PNG cost the decoder some microseconds, however few bytes they have, and each scan
of a progressive JPEG costs a walk over all pixels, though it may have ten bytes. Files that are made to waste time have
a million of the former or thousands of the latter; real ones have some dozens.
"""

from __future__ import annotations

import re

from deconfuse.errors import BadImage

MOST_SCANS = 64
"""Of a JPEG. Encoders write 10, the most thorough of them some 20."""

MOST_SEGMENTS = 2000
"""Of a JPEG, before its first scan. A colour profile of 16 MB has 255, as many as it can have."""

MOST_PADDING = 4096
"""Bytes of a JPEG that are none of its segments, before one."""

MOST_CHUNKS = 20_000
"""Of a PNG, with a usual 8 KB in each chunk one of 160 MB."""

_SCAN, _END = 0xDA, 0xD9
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers of a JPEG that have no length."""

_MARKER = re.compile(rb"(?:[^\xff]|\xff\x00|\xff(?=\xff))*+\xff([\x01-\xfe])", re.DOTALL)
"""What decoders skip, and the marker behind it."""


def check_layout(kind: str, data: bytes) -> None:
    """Return, if a file of this kind has no more pieces than an image needs; whether they make one is not asked.

    Args:
        kind: "JPEG" and "PNG" are looked at.
        data: the file.

    Raises:
        BadImage: it has more.
    """
    if kind == "JPEG":
        _check_jpeg(data)
    elif kind == "PNG":
        _check_png(data)


def _check_jpeg(data: bytes) -> None:
    """Source: ITU-T T.81, B.1.1: markers, fill bytes, segments."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.match(data, at, at + MOST_PADDING)
        if found is None and len(data) - at < MOST_PADDING:
            return
        if found is None:
            raise _refused(f"more than {MOST_PADDING:,} bytes between two segments")
        at, marker = found.end(), found[1][0]
        if marker in (_SCAN, _END):
            break
        if marker not in _BARE:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    else:
        raise _refused(f"more than {MOST_SEGMENTS:,} segments")
    # Within a scan these two bytes cannot stand for anything else; the preview in an EXIF block may add its own.
    if data.count(bytes((0xFF, _SCAN))) > MOST_SCANS:
        raise _refused(f"more than {MOST_SCANS} scans")


def _check_png(data: bytes) -> None:
    """Source: W3C, Portable Network Graphics, 5.3: length, type, data and CRC of each chunk."""
    at = 8
    for _ in range(MOST_CHUNKS):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if at >= len(data):
            return
    raise _refused(f"more than {MOST_CHUNKS:,} chunks")


def _refused(why: str) -> BadImage:
    return BadImage(f"the file has {why}; no image that is meant to be seen has so many")

"""Checksums of bytes on their way: those that S3's clients send and ask for.

CRC32, CRC32C, CRC64NVME, SHA1 and SHA256 are S3's; MD5 is added for `Content-MD5` and the ETag. A checksum is written
in base64 of its big-endian bytes. CRCs of parts combine into the CRC of the whole without reading anything again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Protocol

from awscrt import checksums

from deconfuse.errors import Invalid

_CRCS = {
    "CRC32": (checksums.crc32, checksums.combine_crc32, 4),
    "CRC32C": (checksums.crc32c, checksums.combine_crc32c, 4),
    "CRC64NVME": (checksums.crc64nvme, checksums.combine_crc64nvme, 8),
}
ALGORITHMS = (*_CRCS, "SHA1", "SHA256", "MD5")


class Digest(Protocol):
    """A checksum being computed."""

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""

    def digest(self) -> bytes:
        """The checksum of what was taken in."""


def new_digest(algorithm: str) -> Digest:
    """A checksum of nothing yet.

    Raises:
        Invalid: `algorithm` is none of `ALGORITHMS` (field "checksum").
    """
    if algorithm in _CRCS:
        return _Crc(algorithm)
    if algorithm in ALGORITHMS:
        hashed: Digest = hashlib.new(algorithm.lower(), usedforsecurity=False)
        return hashed
    raise Invalid("checksum", f"{algorithm[:40]!r} is none of {', '.join(ALGORITHMS)}")


def to_base64(digest: bytes) -> str:
    """A checksum as S3 writes it."""
    return base64.b64encode(digest).decode()


def composite(algorithm: str, parts: Sequence[str]) -> str:
    """The checksum of the checksums (base64) of `parts`, with their number: "<base64>-<n>"."""
    digest = new_digest(algorithm)
    for part in parts:
        digest.update(base64.b64decode(part))
    return f"{to_base64(digest.digest())}-{len(parts)}"


def combined(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The CRC in base64 of all `parts` together, each (CRC in base64, bytes).

    Raises:
        Invalid: `algorithm` is no CRC; of other checksums only `composite` ones exist (field "checksum").
    """
    if algorithm not in _CRCS:
        raise Invalid("checksum", f"a {algorithm} of a whole object cannot be made of those of its parts")
    _, combine, width = _CRCS[algorithm]
    total = 0
    for part, size_bytes in parts:
        total = combine(total, int.from_bytes(base64.b64decode(part), "big"), size_bytes)
    return to_base64(total.to_bytes(width, "big"))


class _Crc:
    """A CRC with the face of hashlib."""

    def __init__(self, algorithm: str) -> None:
        self._update, _, self._width = _CRCS[algorithm]
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._update(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")

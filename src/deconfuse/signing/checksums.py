"""S3's checksums as running sums, and those of parts put together.

CRC32, CRC32C, CRC64NVME, SHA1 and SHA256 are S3's; MD5 is added for `Content-MD5` and the ETag. A checksum is written
in base64 of its big-endian bytes, as in the headers `x-amz-checksum-crc32` and so on. CRCs of parts combine into the
CRC of the whole without reading anything again. The three CRCs are awscrt's, the library that AWS's own clients
compute them with.

Source: Amazon S3 User Guide, "Checking object integrity for data uploads in Amazon S3".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Protocol

from awscrt import checksums

from deconfuse.errors import Invalid

HEADER = "x-amz-checksum-"
"""What the lower-case name of an algorithm follows in a header."""

_CRCS = {
    "CRC32": (checksums.crc32, checksums.combine_crc32, 4),
    "CRC32C": (checksums.crc32c, checksums.combine_crc32c, 4),
    "CRC64NVME": (checksums.crc64nvme, checksums.combine_crc64nvme, 8),
}
S3_ALGORITHMS = (*_CRCS, "SHA1", "SHA256")
"""Those that a header or trailer can carry, an object keeps and a client may ask for."""

ALGORITHMS = (*S3_ALGORITHMS, "MD5")
"""Everything that can be computed."""


class Digest(Protocol):
    """A checksum being computed."""

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""

    def digest(self) -> bytes:
        """The checksum of what was taken in, big-endian."""


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


def checksum_of(algorithm: str, data: bytes) -> str:
    """The checksum of `data`, in base64.

    Raises:
        Invalid: as `new_digest`.

    Example:
        >>> checksum_of("CRC32C", b"123456789")
        '4waSgw=='
    """
    digest = new_digest(algorithm)
    digest.update(data)
    return to_base64(digest.digest())


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

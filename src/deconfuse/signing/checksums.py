"""S3's checksums as running sums: crc32, crc32c, crc64nvme, sha1 and sha256.

Written in base64 of the big-endian sum, as in the headers `x-amz-checksum-<name>`. The three CRCs are awscrt's, the
library that AWS's own clients compute them with.

Source: Amazon S3 User Guide, "Checking object integrity for data uploads in Amazon S3".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from awscrt import checksums as crt

from deconfuse.errors import Invalid

HEADER = "x-amz-checksum-"
"""What the name of a checksum follows in a header."""

_CRCS: dict[str, tuple[Callable[[bytes, int], int], int]] = {
    "crc32": (crt.crc32, 4),
    "crc32c": (crt.crc32c, 4),
    "crc64nvme": (crt.crc64nvme, 8),
}
_HASHES = ("sha1", "sha256")
NAMES = (*_CRCS, *_HASHES)
"""Every checksum that can be computed, lower-case."""


class Checksum:
    """The checksum of what `update` was given so far.

    Example:
        >>> checksum = Checksum("crc32c")
        >>> checksum.update(b"1234")
        >>> checksum.update(b"56789")
        >>> checksum.text()
        '4waSgw=='
    """

    def __init__(self, name: str) -> None:
        """Begin with nothing.

        Raises:
            Invalid: `name` is not one of `NAMES`.
        """
        if name not in NAMES:
            raise Invalid("checksum", f"{name[:40]!r} is not computed here; use one of {', '.join(NAMES)}")
        self.name = name
        self._crc = 0
        self._hash = hashlib.new(name, usedforsecurity=False) if name in _HASHES else None

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        if self._hash is not None:
            self._hash.update(data)
        else:
            self._crc = _CRCS[self.name][0](data, self._crc)

    def digest(self) -> bytes:
        """The sum, big-endian: 4, 8, 20 or 32 bytes."""
        return self._hash.digest() if self._hash is not None else self._crc.to_bytes(_CRCS[self.name][1], "big")

    def text(self) -> str:
        """The sum in base64."""
        return base64.b64encode(self.digest()).decode()

"""S3's checksums as running sums."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Invalid
from deconfuse.signing.checksums import NAMES, Checksum

CHECK = b"123456789"
KNOWN = {
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "sha1": hashlib.sha1(CHECK).hexdigest(),
    "sha256": hashlib.sha256(CHECK).hexdigest(),
}
"""Of "123456789"; the CRCs are the check values of the catalogue of parametrised CRC algorithms (reveng)."""


@pytest.mark.parametrize("name", NAMES)
def test_the_check_value(name: str) -> None:
    """Each sum of the nine digits is the one that its definition publishes."""
    checksum = Checksum(name)
    checksum.update(CHECK)

    assert checksum.digest().hex() == KNOWN[name]
    assert checksum.text() == base64.b64encode(bytes.fromhex(KNOWN[name])).decode()


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.binary(max_size=30), max_size=6))
def test_cuts_do_not_count(name: str, pieces: list[bytes]) -> None:
    """Updating piece by piece is updating once with all."""
    whole, cut = Checksum(name), Checksum(name)
    whole.update(b"".join(pieces))
    for piece in pieces:
        cut.update(piece)

    assert whole.text() == cut.text()


@given(st.binary(max_size=200))
def test_crc32_is_that_of_zlib(content: bytes) -> None:
    """A second author for the one CRC that the standard library has."""
    checksum = Checksum("crc32")
    checksum.update(content)

    assert int.from_bytes(checksum.digest(), "big") == zlib.crc32(content)


@pytest.mark.parametrize("name", ["CRC32", "md5", "", "crc32 ", "x" * 1000])
def test_other_names_are_refused(name: str) -> None:
    """A checksum that is not computed here is named, at bounded length."""
    with pytest.raises(Invalid, match="is not computed here") as caught:
        Checksum(name)

    assert len(str(caught.value)) < 200

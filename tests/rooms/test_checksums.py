"""Checksums against other authors: published check values, zlib, hashlib, and botocore's client."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from botocore import httpchecksum
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Invalid
from deconfuse.signing.checksums import (
    ALGORITHMS,
    S3_ALGORITHMS,
    checksum_of,
    combined,
    composite,
    new_digest,
    to_base64,
)

CRCS = ("CRC32", "CRC32C", "CRC64NVME")
CHECK = b"123456789"
KNOWN = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": hashlib.sha1(CHECK).hexdigest(),
    "SHA256": hashlib.sha256(CHECK).hexdigest(),
}
"""Of "123456789"; the CRCs are the check values of the catalogue of parametrised CRC algorithms (reveng)."""


@pytest.mark.parametrize("algorithm", S3_ALGORITHMS)
def test_the_check_value(algorithm: str) -> None:
    """Each sum of the nine digits is the one that its definition publishes."""
    assert base64.b64decode(checksum_of(algorithm, CHECK)).hex() == KNOWN[algorithm]


@pytest.mark.parametrize("algorithm", S3_ALGORITHMS)
def test_the_client_computes_the_same(algorithm: str) -> None:
    """The checksum that botocore sends with the same bytes."""
    client = httpchecksum._CHECKSUM_CLS.get(algorithm.lower()) or getattr(
        httpchecksum, f"Crt{algorithm.title()}Checksum"
    )

    assert checksum_of(algorithm, b"some bytes") == client().handle(b"some bytes")


@given(st.lists(st.binary(max_size=300), max_size=6), st.sampled_from(ALGORITHMS))
def test_how_the_bytes_are_cut_does_not_matter(chunks: list[bytes], algorithm: str) -> None:
    """Chunk by chunk or at once: one checksum."""
    digest = new_digest(algorithm)
    for chunk in chunks:
        digest.update(chunk)

    assert to_base64(digest.digest()) == checksum_of(algorithm, b"".join(chunks))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.sampled_from(CRCS))
def test_crcs_of_parts_combine(parts: list[bytes], algorithm: str) -> None:
    """The CRC of the whole needs nothing but the CRCs and lengths of the parts."""
    summed = [(checksum_of(algorithm, part), len(part)) for part in parts]

    assert combined(algorithm, summed) == checksum_of(algorithm, b"".join(parts))


@given(st.binary(max_size=200))
def test_the_standard_library_agrees(data: bytes) -> None:
    """The modules zlib for CRC32, hashlib for the others."""
    assert base64.b64decode(checksum_of("CRC32", data)) == zlib.crc32(data).to_bytes(4, "big")
    assert base64.b64decode(checksum_of("SHA256", data)) == hashlib.sha256(data).digest()
    assert base64.b64decode(checksum_of("MD5", data)) == hashlib.md5(data).digest()


def test_a_composite_is_the_checksum_of_checksums() -> None:
    """With the number of parts behind it."""
    parts = [hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()]
    expected = base64.b64encode(hashlib.sha256(b"".join(parts)).digest()).decode() + "-2"

    assert composite("SHA256", [to_base64(part) for part in parts]) == expected


@pytest.mark.parametrize("algorithm", ["", "crc32", "SHA512", "CRC32 ", "é", "x" * 1000])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    """By name, at bounded length, with those that are known."""
    with pytest.raises(Invalid, match="CRC64NVME") as caught:
        new_digest(algorithm)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "MD5"])
def test_hashes_of_parts_do_not_combine(algorithm: str) -> None:
    """Only a composite exists of them."""
    with pytest.raises(Invalid):
        combined(algorithm, [])

"""Checksums against other authors: zlib, hashlib, and botocore's client."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from botocore import httpchecksum
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Invalid
from deconfuse.store.digests import ALGORITHMS, combined, composite, new_digest, to_base64

CRCS = ("CRC32", "CRC32C", "CRC64NVME")


def of(algorithm: str, *chunks: bytes) -> str:
    """The checksum of chunks, in base64."""
    digest = new_digest(algorithm)
    for chunk in chunks:
        digest.update(chunk)
    return to_base64(digest.digest())


@pytest.mark.parametrize("algorithm", [a for a in ALGORITHMS if a != "MD5"])
def test_the_client_computes_the_same(algorithm: str) -> None:
    """The checksum that botocore sends with the same bytes."""
    client = httpchecksum._CHECKSUM_CLS.get(algorithm.lower()) or getattr(
        httpchecksum, f"Crt{algorithm.title()}Checksum"
    )

    assert of(algorithm, b"some bytes") == client().handle(b"some bytes")


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("CRC32", "cbf43926"), ("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")],
)
def test_the_published_check_values(algorithm: str, expected: str) -> None:
    """The catalogue's check value: the CRC of "123456789". Source: reveng.sourceforge.io/crc-catalogue."""
    assert base64.b64decode(of(algorithm, b"123456789")).hex() == expected


@given(st.lists(st.binary(max_size=300), max_size=6), st.sampled_from(ALGORITHMS))
def test_how_the_bytes_are_cut_does_not_matter(chunks: list[bytes], algorithm: str) -> None:
    """Chunk by chunk or at once: one checksum."""
    assert of(algorithm, *chunks) == of(algorithm, b"".join(chunks))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.sampled_from(CRCS))
def test_crcs_of_parts_combine(parts: list[bytes], algorithm: str) -> None:
    """The CRC of the whole needs nothing but the CRCs and lengths of the parts."""
    assert combined(algorithm, [(of(algorithm, p), len(p)) for p in parts]) == of(algorithm, b"".join(parts))


@given(st.binary(max_size=200))
def test_the_standard_library_agrees(data: bytes) -> None:
    """The modules zlib for CRC32, hashlib for the others."""
    assert base64.b64decode(of("CRC32", data)) == zlib.crc32(data).to_bytes(4, "big")
    assert base64.b64decode(of("SHA256", data)) == hashlib.sha256(data).digest()
    assert base64.b64decode(of("MD5", data)) == hashlib.md5(data).digest()


def test_a_composite_is_the_checksum_of_checksums() -> None:
    """With the number of parts behind it."""
    parts = [hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()]
    expected = base64.b64encode(hashlib.sha256(b"".join(parts)).digest()).decode() + "-2"

    assert composite("SHA256", [to_base64(part) for part in parts]) == expected


@pytest.mark.parametrize("algorithm", ["", "crc32", "SHA512", "CRC32 ", "é"])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    """By name, with those that are known."""
    with pytest.raises(Invalid, match="CRC64NVME"):
        new_digest(algorithm)


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "MD5"])
def test_hashes_of_parts_do_not_combine(algorithm: str) -> None:
    """Only a composite exists of them."""
    with pytest.raises(Invalid):
        combined(algorithm, [])

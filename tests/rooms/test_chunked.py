"""Bodies taken out of their framing: whole or refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import BadSignature, Damaged, DeconfuseError, Invalid, NotBuilt
from deconfuse.signing.checksums import S3_ALGORITHMS, checksum_of
from deconfuse.signing.chunked import (
    BODY,
    CHECKSUM,
    MAX_SIGNED_CHUNK,
    Body,
    ChunkedBody,
    PlainBody,
    open_body,
    without_framing,
)
from deconfuse.signing.sigv4 import Request, Verified
from signed import KEY_ID, check, sign, signed_chunks, streaming

UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
TRAILED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
PIECES = [b"hello ", b"world"]
CRC32 = ("x-amz-checksum-crc32", "DUoRhQ==")
PLAIN = b"6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"


def body_of(payload: str, *, length: int | None = 11, trailer: str | None = None) -> ChunkedBody:
    """A parser before its first byte."""
    return ChunkedBody(streaming(payload), length=length, trailer=trailer)


def read(body: Body, framed: bytes, *, step: int = 1 << 20) -> tuple[bytes, dict[str, str]]:
    """The content and the trailers of a body that comes in steps."""
    return feed(body, framed, step=step), body.finish()


def feed(body: Body, framed: bytes, *, step: int) -> bytes:
    """What is ready when all of it has come."""
    return b"".join(piece for at in range(0, len(framed), step) for piece in body.feed(framed[at : at + step]))


def specimen(payload: str) -> bytes:
    """The content "hello world" in two chunks, with a crc32 behind it where the payload has trailers."""
    if payload == UNSIGNED:
        return PLAIN
    return signed_chunks(PIECES, streaming(payload), CRC32 if payload == TRAILED else None)


def opened(payload: str) -> ChunkedBody:
    """The parser that fits the specimen."""
    return body_of(payload, trailer=None if payload == SIGNED else CRC32[0])


@pytest.mark.parametrize("payload", [UNSIGNED, SIGNED, TRAILED])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 1000])
def test_each_framing_comes_out_whole(payload: str, step: int) -> None:
    """The content is that which was framed, however it is cut on the way."""
    content, trailers = read(opened(payload), specimen(payload), step=step)

    assert content == b"hello world"
    assert trailers == ({} if payload == SIGNED else dict([CRC32]))


@given(st.sampled_from([UNSIGNED, SIGNED, TRAILED]), st.data())
def test_no_changed_byte_goes_unnoticed(payload: str, data: st.DataObject) -> None:
    """Any byte changed: the body is refused, or it is the same body differently spelled; never another body."""
    framed = bytearray(specimen(payload))
    framed[data.draw(st.integers(0, len(framed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        content, _ = read(opened(payload), bytes(framed), step=data.draw(st.integers(1, 40)))
    except (Damaged, BadSignature):
        return

    assert content == b"hello world"


@given(st.sampled_from([UNSIGNED, SIGNED, TRAILED]), st.data())
def test_nothing_cut_off_goes_unnoticed(payload: str, data: st.DataObject) -> None:
    """A body that ends early is refused; only the last line break may be missing."""
    framed = specimen(payload)
    kept = data.draw(st.integers(0, len(framed) - 3))

    with pytest.raises(Damaged):
        read(opened(payload), framed[:kept])
    assert read(opened(payload), framed[:-2])[0] == b"hello world"


@given(st.binary(max_size=300), st.sampled_from([UNSIGNED, SIGNED, TRAILED]), st.integers(1, 20))
def test_noise_is_refused_with_a_sentence(noise: bytes, payload: str, step: int) -> None:
    """Whatever comes, nothing but our errors goes out, and after one nothing is taken."""
    body = opened(payload)
    with pytest.raises(DeconfuseError):
        read(body, noise, step=step)

    with pytest.raises(DeconfuseError):
        body.feed(b"0")
    with pytest.raises(DeconfuseError):
        body.finish()


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 60), st.sampled_from(S3_ALGORITHMS))
def test_signed_bodies_of_any_content(pieces: list[bytes], step: int, algorithm: str) -> None:
    """Pieces framed, signed and summed by the standard library come out joined, with every checksum."""
    trailer = (f"x-amz-checksum-{algorithm.lower()}", checksum_of(algorithm, b"".join(pieces)))
    body = body_of(TRAILED, length=sum(map(len, pieces)), trailer=trailer[0])

    assert read(body, signed_chunks(pieces, streaming(TRAILED), trailer), step=step) == (
        b"".join(pieces),
        dict([trailer]),
    )


def test_nothing_of_a_signed_chunk_is_shown_before_its_signature_held() -> None:
    """Altered content never leaves the parser; chunks before it do."""
    framed = specimen(SIGNED).replace(b"world", b"World")
    body = body_of(SIGNED)
    head = framed.index(b"World") + 4

    assert b"".join(body.feed(framed[:head])) == b"hello "
    with pytest.raises(BadSignature) as caught:
        body.feed(framed[head:])
    assert caught.value.reason == "mismatch"


def test_chunks_cannot_change_places_or_be_left_out() -> None:
    """Every signature hangs on the one before."""
    first, second = (signed_chunks([piece], streaming(SIGNED)).split(b"0;")[0] for piece in PIECES)

    for framed in (first + first, second + first, specimen(SIGNED).replace(first, b"")):
        with pytest.raises(BadSignature):
            body_of(SIGNED, length=None).feed(framed)


def test_a_chain_belongs_to_its_request() -> None:
    """Chunks signed for another request, day or key are refused."""
    for other in (streaming(SIGNED, seed="1" * 64), streaming(SIGNED, stamp="20260502T000000Z")):
        with pytest.raises(BadSignature):
            body_of(SIGNED).feed(signed_chunks(PIECES, other))


def test_trailers_are_signed_too() -> None:
    """An altered checksum, a missing signature, or one of another chain is refused."""
    framed = specimen(TRAILED)
    altered = framed.replace(b"DUoRhQ==", b"DUoRhR==")
    unsigned = framed[: framed.index(b"x-amz-trailer-signature")] + b"\r\n"

    with pytest.raises(BadSignature):
        read(opened(TRAILED), altered)
    with pytest.raises(Damaged, match="x-amz-trailer-signature"):
        read(opened(TRAILED), unsigned)


@pytest.mark.parametrize("end", [b"0\r\n", b"0\r\n\r\n", b"0\r\n\r\n\r\n"])
def test_an_announced_checksum_must_come(end: bytes) -> None:
    """A body without the checksum that its header announced has lost something on the way."""
    with pytest.raises(Damaged, match="announced") as caught:
        read(body_of(UNSIGNED, trailer=CRC32[0]), PLAIN[: PLAIN.index(b"0\r\nx-amz")] + end)

    assert caught.value.what == BODY


@pytest.mark.parametrize("algorithm", S3_ALGORITHMS)
def test_another_checksum_is_refused(algorithm: str) -> None:
    """A body that is not the one that was summed is damaged, with a word for the checksum of its own."""
    name = f"x-amz-checksum-{algorithm.lower()}"
    trailer = f"{name}: {checksum_of(algorithm, b'hello World')} "
    framed = PLAIN.replace(b"x-amz-checksum-crc32:DUoRhQ==", trailer.encode())

    with pytest.raises(Damaged, match=name) as caught:
        read(body_of(UNSIGNED, trailer=name), framed)

    assert caught.value.what == CHECKSUM


@pytest.mark.parametrize(
    "tail",
    [
        b"0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n",
        b"0\r\nx-amz-checksum-crc32:DUoRhQ==\n\r\n",
        b"0\r\nX-Amz-Checksum-Crc32: DUoRhQ== \r\n\r\n",
        b"0\r\n\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n",
        b"00000000\r\nx-amz-checksum-crc32:DUoRhQ==\n\n",
    ],
)
def test_spellings_of_trailers(tail: bytes) -> None:
    """Line ends and blank lines among trailers differ from client to client."""
    framed = PLAIN[: PLAIN.index(b"0\r\nx-amz")] + tail

    assert read(body_of(UNSIGNED, trailer=CRC32[0]), framed) == (b"hello world", dict([CRC32]))


def test_the_trailer_of_minio() -> None:
    """The Go client of minio ends a trailer with LF and sets a blank line before its signature."""
    framed = specimen(TRAILED).replace(b"DUoRhQ==\r\n", b"DUoRhQ==\n\r\n")

    assert read(opened(TRAILED), framed)[1] == dict([CRC32])


@pytest.mark.parametrize(
    "framed",
    [
        b"-1\r\n",
        b"+5\r\nhello",
        b"0x5\r\nhello",
        b" 5\r\nhello",
        b"5_0\r\n",
        b"\r\n",
        b"123456789\r\n",
        b"5;name=value\r\nhello",
        b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello",
        b"5\nhello\n0\n\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n\n",
        b"c\r\n",
        b"0\r\n\r\nmore\r\n",
        PLAIN + b"\r\n",
        b"0\r\nx-amz-checksum-sha1:abc\r\n",
        b"0\r\nx-amz-checksum-crc32:\r\n",
        b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n",
        b"0\r\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n",
        b"0\r\nx-amz-meta-a:b\r\n",
        b"0\r\nno colon\r\n",
        b"0\r\n" + b"\r\n" * 9,
        b"1" * 1025,
        b"0\r\nx-amz-checksum-crc32:" + b"A" * 1025,
    ],
)
@pytest.mark.parametrize("step", [1, 4096])
def test_broken_framing_is_refused_at_once(framed: bytes, step: int) -> None:
    """Nothing that is not the framing is guessed at."""
    body = body_of(UNSIGNED, trailer=CRC32[0])
    with pytest.raises(Damaged) as caught:
        feed(body, framed, step=step)

    assert caught.value.what == BODY
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("head", [b"5\r\n", b"5;chunk-signature=abc\r\n", b"5;chunk-signature=" + b"G" * 64 + b"\r\n"])
def test_signed_chunks_need_their_signature(head: bytes) -> None:
    """A chunk without a signature among signed ones is refused before its content is read."""
    with pytest.raises(Damaged):
        body_of(SIGNED).feed(head)


def test_signed_chunks_have_a_limit() -> None:
    """What would have to be held in memory is bounded."""
    head = f"{MAX_SIGNED_CHUNK + 1:x};chunk-signature={'0' * 64}\r\n".encode()

    with pytest.raises(Damaged, match="16,777,216"):
        body_of(SIGNED, length=None).feed(head)


@pytest.mark.parametrize(("length", "message"), [(12, "11 bytes; 12 were declared"), (10, "longer than the 10 bytes")])
def test_the_declared_length_is_held(length: int, message: str) -> None:
    """Neither a byte less nor one more."""
    with pytest.raises(Damaged, match=message) as caught:
        read(body_of(UNSIGNED, length=length, trailer=CRC32[0]), PLAIN)

    assert caught.value.what == BODY


def test_a_large_body_needs_little_memory() -> None:
    """64 MB in chunks of a megabyte, fed in pieces, never hold more than a few of them."""
    piece = bytes(1 << 20)
    body = body_of(UNSIGNED, length=64 << 20)
    tracemalloc.start()
    for _ in range(64):
        for part in (b"100000\r\n", piece[: 1 << 19], piece[1 << 19 :], b"\r\n"):
            body.feed(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    body.feed(b"0\r\n\r\n")
    assert body.finish() == {}
    assert peak < 8 << 20


def request(headers: Iterable[tuple[str, str]]) -> Request:
    """A PUT with these headers."""
    return Request("PUT", b"/b/k", b"", tuple((name.encode(), value.encode()) for name, value in headers))


def test_the_parser_is_chosen_by_the_signature() -> None:
    """A hash or nothing signed is a plain body; STREAMING-… is framed."""
    put = sign("PUT", "http://h/b/k", body=b"hello")

    assert isinstance(open_body(check(put), put), PlainBody)
    assert read(open_body(check(put), put), b"hello") == (b"hello", {})
    assert isinstance(open_body(streaming(SIGNED), request([])), ChunkedBody)


def test_a_plain_body_is_held_to_its_hash() -> None:
    """Another body than the signed one is refused at its end; an unsigned one may be anything."""
    put = sign("PUT", "http://h/b/k", body=b"hello")
    with pytest.raises(BadSignature) as caught:
        read(open_body(check(put), put), b"hellO")
    presigned = sign("PUT", "http://h/b/k", by="botocore presigned")

    assert caught.value.reason == "body"
    assert read(open_body(check(presigned), presigned), b"anything") == (b"anything", {})
    assert not check(presigned).is_body_signed


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([("x-amz-decoded-content-length", "-1")], Invalid),
        ([("x-amz-decoded-content-length", "1e3")], Invalid),
        ([("x-amz-decoded-content-length", "²")], Invalid),
        ([("x-amz-decoded-content-length", "9" * 16)], Invalid),
        ([("x-amz-decoded-content-length", "1"), ("X-Amz-Decoded-Content-Length", "1")], Invalid),
        ([("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-checksum-crc32", "AAAAAA==")], Invalid),
        ([("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1")], NotBuilt),
        ([("x-amz-trailer", "x-amz-checksum-xxhash64")], NotBuilt),
        ([("x-amz-trailer", "expires")], NotBuilt),
    ],
)
def test_headers_about_framing_that_cannot_be_meant(headers: list[tuple[str, str]], error: type[Invalid]) -> None:
    """What the headers promise must be possible before a byte is read."""
    with pytest.raises(error) as caught:
        open_body(streaming(UNSIGNED), request(headers))

    assert type(caught.value) is error


def test_only_framed_bodies_are_taken_out_of_framing() -> None:
    """A trailer without a framing for trailers, a plain payload, or chunks without a key are refused."""
    with pytest.raises(Invalid, match="nothing follows"):
        body_of(SIGNED, trailer=CRC32[0])
    with pytest.raises(Invalid, match="not sent in chunks"):
        body_of("UNSIGNED-PAYLOAD")
    with pytest.raises(Invalid, match="version 4"):
        ChunkedBody(Verified(KEY_ID, "presigned-v2", SIGNED, "", "", ""), length=None, trailer=None)


def test_a_body_ends_once() -> None:
    """After its end a parser is closed."""
    body = opened(UNSIGNED)
    read(body, PLAIN)

    with pytest.raises(Damaged):
        body.finish()
    with pytest.raises(Damaged):
        body.feed(b"x")


@pytest.mark.parametrize(
    ("given_encoding", "kept"),
    [
        ("aws-chunked", ""),
        ("AWS-Chunked,gzip", "gzip"),
        ("gzip, aws-chunked ,br", "gzip, br"),
        ("", ""),
        ("gzip", "gzip"),
    ],
)
def test_the_framing_is_no_encoding_of_the_object(given_encoding: str, kept: str) -> None:
    """Of a Content-Encoding only what describes the object is kept."""
    assert without_framing(given_encoding) == kept

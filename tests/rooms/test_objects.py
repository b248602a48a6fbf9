"""The words of the store: names, keys, ranges, conditions, contents."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Damaged, Invalid, LimitExceeded, NotFound, Unmet
from deconfuse.store.objects import (
    OWN_BUCKET,
    Conditions,
    Content,
    Span,
    Stored,
    check_bucket,
    check_kept,
    encode_key,
    part_span,
    read_all,
)
from stores import MORNING, memory_objects

STORED = Stored("photos", "a", 10, "etag", MORNING)


@pytest.mark.parametrize("name", ["abc", "a.b-c", "0" * 63, "my-photos.2030", "1.2.3"])
def test_a_bucket_may_be_called_so(name: str) -> None:
    """S3's rules."""
    assert check_bucket(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "ab", "a" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "1.2.3.4", "xn--abc", "a b", "é" * 4, "abc\n", "-"],
)
def test_a_bucket_may_not_be_called_so(name: str) -> None:
    """Nor as S3 forbids."""
    with pytest.raises(Invalid):
        check_bucket(name)


@pytest.mark.parametrize("name", ["healthz", "metrics", OWN_BUCKET])
def test_names_of_our_own_are_taken(name: str) -> None:
    """A door has them for itself."""
    with pytest.raises(Invalid):
        check_bucket(name)


@pytest.mark.parametrize("key", ["", "a" * 1025, "é" * 513, "\ud800"])
def test_a_key_that_cannot_be(key: str) -> None:
    """1 to 1,024 bytes of UTF-8."""
    with pytest.raises(Invalid) as caught:
        encode_key(key)

    assert caught.value.field == "key"


@given(st.text(min_size=1, max_size=256, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_other_text_is_a_key(key: str) -> None:
    """NUL, newlines, dots and slashes included."""
    assert encode_key(key).decode() == key


def test_too_much_metadata_is_refused() -> None:
    """2,048 bytes, names and values together."""
    check_kept({}, {"a": "x" * 2047})

    with pytest.raises(Invalid) as caught:
        check_kept({}, {"a": "x" * 2048})
    assert caught.value.field == "metadata"


def test_a_header_that_is_not_kept_is_refused() -> None:
    """Silence would lose it."""
    with pytest.raises(Invalid, match="Set-Cookie"):
        check_kept({"Set-Cookie": "a"}, {})


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_a_slice(size: int, first: int, last: int) -> None:
    """Both ends count; what lies behind the end is left out; nothing at all is refused."""
    data = bytes(range(size))
    for span, expected in (
        (Span(first, last), data[first : last + 1]),
        (Span(first, None), data[first:]),
        (Span(None, last), data[-last:] if last else b""),
    ):
        if not expected:
            with pytest.raises(Invalid) as caught:
                span.within(size)
            assert caught.value.field == "range"
        else:
            start, length = span.within(size)

            assert data[start : start + length] == expected


def test_parts_are_ranges() -> None:
    """One after the other; an object of one part is whole."""
    stored = Stored("photos", "a", 10, "etag-3", MORNING, part_sizes=(4, 4, 2))

    assert [part_span(stored, n) for n in (1, 2, 3)] == [Span(0, 3), Span(4, 7), Span(8, 9)]
    assert part_span(STORED, 1) is None


@pytest.mark.parametrize("number", [0, -1, 2])
def test_a_part_that_is_not_there(number: int) -> None:
    """Named by its field."""
    with pytest.raises(Invalid) as caught:
        part_span(STORED, number)

    assert caught.value.field == "part number"


LATER, SOONER = MORNING + timedelta(hours=1), MORNING - timedelta(hours=1)


@pytest.mark.parametrize(
    ("conditions", "unmet"),
    [
        (Conditions(), None),
        (Conditions(if_match=("etag",)), None),
        (Conditions(if_match=("*",)), None),
        (Conditions(if_match=("x", "etag")), None),
        (Conditions(if_match=("x",)), "If-Match"),
        (Conditions(if_match=()), "If-Match"),
        (Conditions(if_none_match=("x",)), None),
        (Conditions(if_none_match=("etag",)), "If-None-Match"),
        (Conditions(if_none_match=("*",)), "If-None-Match"),
        (Conditions(if_modified_since=SOONER), None),
        (Conditions(if_modified_since=LATER), "If-Modified-Since"),
        (Conditions(if_modified_since=MORNING.replace(microsecond=0)), "If-Modified-Since"),
        (Conditions(if_unmodified_since=LATER), None),
        (Conditions(if_unmodified_since=MORNING.replace(microsecond=0)), None),
        (Conditions(if_unmodified_since=SOONER), "If-Unmodified-Since"),
        (Conditions(if_match=("etag",), if_unmodified_since=SOONER), None),
        (Conditions(if_none_match=("x",), if_modified_since=LATER), None),
        (Conditions(if_match=("x",), if_none_match=("etag",)), "If-Match"),
    ],
)
def test_conditions_of_a_read(conditions: Conditions, unmet: str | None) -> None:
    """RFC 9110's order: ETags go before dates."""
    if unmet is None:
        conditions.check_read(STORED)
        return
    with pytest.raises(Unmet) as caught:
        conditions.check_read(STORED)

    assert (caught.value.condition, caught.value.etag) == (unmet, "etag")


def test_conditions_of_a_write() -> None:
    """On nothing, `if_match` finds nothing and `if_none_match` is content; on something, the ETag decides."""
    Conditions(if_none_match=("*",)).check_write(None, "a")
    Conditions(if_match=("etag",)).check_write("etag", "a")

    with pytest.raises(NotFound):
        Conditions(if_match=("*",)).check_write(None, "a")
    with pytest.raises(Unmet, match="If-None-Match"):
        Conditions(if_none_match=("*",)).check_write("etag", "a")
    with pytest.raises(Unmet, match="If-Match"):
        Conditions(if_match=("x",)).check_write("etag", "a")


def test_a_content_that_ends_early_is_damaged() -> None:
    """Fewer bytes than were promised are never taken for all."""
    chunks = iter([b"12345", b""])
    content = Content(STORED, 0, 10, read=lambda n: next(chunks), close=lambda: None)

    assert content.read() == b"12345"
    with pytest.raises(Damaged, match="5 bytes are missing"):
        content.read()


def test_read_all_keeps_to_its_limit() -> None:
    """An object of any size may be named by a stranger."""
    objects = memory_objects("photos")
    objects.put("photos", "a", b"12345")

    assert read_all(objects, "photos", "a", limit_bytes=5) == b"12345"
    with pytest.raises(LimitExceeded, match="5 bytes; 4"):
        read_all(objects, "photos", "a", limit_bytes=4)

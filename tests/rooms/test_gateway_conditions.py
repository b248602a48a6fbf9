"""Ranges and ETags of requests, good and bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Invalid
from deconfuse.gateway.conditions import byte_range, copied_range, etags

TAGS = st.lists(st.from_regex(r"[0-9a-f]{32}(-[0-9]{1,5})?", fullmatch=True), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        (" bytes=5-9 ", (5, 9)),
        ("Bytes=5-", (5, None)),
        ("bytes=-0", (None, 0)),
        ("bytes=-7", (None, 7)),
    ],
)
def test_a_range_is_read(text: str, expected: tuple[int | None, int | None]) -> None:
    """Both ends counted; an open end; the last bytes."""
    assert byte_range(text) == expected


@pytest.mark.parametrize(
    "text", ["", "bytes", "bytes=", "bytes=-", "bytes=9-5", "bytes=0-1,3-4", "bytes=a-b", "bytes=٣-٤", "lines=0-1"]
)
def test_a_range_that_cannot_be_meant_asks_for_nothing(text: str) -> None:
    """The whole object is answered then."""
    assert byte_range(text) is None


@pytest.mark.parametrize("text", ["", "bytes=5-", "bytes=-5", "bytes=9-5", "0-4", "bytes=0-1,2-3", "bytes=1_0-20"])
def test_the_range_of_a_copy_is_strict(text: str) -> None:
    """A copied part has two ends, or the request is refused."""
    assert copied_range("bytes=0-4") == (0, 4)
    with pytest.raises(Invalid):
        copied_range(text)


@given(tags=TAGS, weak=st.booleans(), blank=st.sampled_from(["", " ", "\t"]))
def test_etags_survive_being_listed(tags: list[str], weak: bool, blank: str) -> None:
    """What a client puts between quotes and commas is what is compared."""
    prefix = "W/" if weak else ""

    assert etags(f",{blank}".join(f'{prefix}"{tag}"' for tag in tags)) == tuple(tags)
    assert etags(f",{blank}".join(tags)) == tuple(tags)


@given(text=st.text(max_size=200))
def test_any_text_names_some_etags_or_none(text: str) -> None:
    """No text breaks the reading, and no ETag begins or ends with a quote."""
    assert all(tag == tag.strip('"') for tag in etags(text))


def test_any_and_none() -> None:
    """The star is kept; the empty text names nothing, so that an empty If-Match holds for no object."""
    assert etags(" * ") == ("*",)
    assert etags('""') == ("",)
    assert etags("") == ()

"""Page tokens: they come back as what they were made of, for the same question and no other."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deconfuse.errors import BadToken
from deconfuse.service.tokens import MAX_LENGTH, read_token, write_token

QUESTION = ("projects", ("a", "b"), None, 100)


@given(after=st.integers(0, 1 << 62) | st.text(max_size=300))
@example("")
@example("\0\0a\0")
@example("\U0010ffff" * 300)
@example("\ud800")
def test_token_comes_back(after: int | str) -> None:
    """Any number and any text comes back as itself, through a token that any door can carry."""
    token = write_token(QUESTION, after)

    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert len(token) <= MAX_LENGTH
    assert repr(read_token(QUESTION, token)) == repr(after)


@pytest.mark.parametrize("token", ["", None])
def test_no_token_is_the_first_page(token: str | None) -> None:
    """No token and an empty one ask for the first page."""
    assert read_token(QUESTION, token) is None


@pytest.mark.parametrize(
    "other", [(), ("projects",), ("projects", ("a",), None, 100), ("labels", ("a", "b"), None, 100)]
)
def test_token_of_another_question_is_refused(other: tuple[object, ...]) -> None:
    """A token is good for the question that it was given for."""
    with pytest.raises(BadToken, match="nextToken"):
        read_token(other, write_token(QUESTION, 7))


@given(after=st.integers(0, 1 << 62) | st.text(max_size=40), data=st.data())
def test_altered_token_is_refused(after: int | str, data: st.DataObject) -> None:
    """No character of a token can be another one, be missing, or be added."""
    token = write_token(QUESTION, after)
    at = data.draw(st.integers(0, len(token)))
    altered = token[:at] + data.draw(st.sampled_from(["", "A", "_", "=", "é", "\n", "\0"])) + token[at + 1 :]

    if altered not in ("", token):
        with pytest.raises(BadToken):
            read_token(QUESTION, altered)


@given(st.text(min_size=1) | st.from_regex(r"[A-Za-z0-9_-]{1,1100}", fullmatch=True))
@example("A" * 1_000_000)
@example("+/")
@example("\ud800")
def test_garbage_is_refused(token: str) -> None:
    """Whatever else is given as a token is refused as one."""
    with pytest.raises(BadToken):
        read_token(QUESTION, token)


def test_token_of_another_kind_is_refused() -> None:
    """Where numbers count the pages, a token with a text is none of ours."""
    with pytest.raises(BadToken):
        read_token(QUESTION, write_token(QUESTION, "a"), int)
    assert read_token(QUESTION, write_token(QUESTION, 4), int) == 4


@pytest.mark.parametrize("number", [1 << 63, 1 << 70])
def test_a_number_that_no_row_has_is_refused(number: int) -> None:
    """A token can be made by anybody; none of them reaches a database that cannot take its number."""
    with pytest.raises(BadToken):
        read_token(QUESTION, write_token(QUESTION, number))

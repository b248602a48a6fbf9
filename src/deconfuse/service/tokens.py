"""Page tokens: opaque text that asks for the rest of a list, and of no other list.

A token holds where the next page begins and a digest of that and of the question it answers: whose list, with which
filters. It proves nothing and needs to prove nothing, for it can only ask for what the question itself could; the
digest keeps a token of one question from being taken for another's.

A token is at most 1,024 characters. A text, such as a label of 255 characters, is therefore kept as one number
with a digit for each character, which is shorter than UTF-8 where the characters are rare.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import overload

from deconfuse.errors import BadToken

Question = tuple[object, ...]
"""What is asked for beside the page: texts, numbers, None, and tuples of them."""

MAX_LENGTH = 1024

_DIGITS = 0x110000
_DIGEST_BYTES = 9

_NUMBERS = 1 << 63
"""Numbers of rows are below this one; a database takes no larger ones, and anybody can write a token that holds one."""


def write_token(question: Question, after: int | str) -> str:
    """The token for what follows `after`, a number from 0 on or a text of at most 300 characters."""
    is_text = isinstance(after, str)
    number = _to_number(after) if isinstance(after, str) else after
    digest = sha256(repr((question, after)).encode("utf-8", "backslashreplace")).digest()[:_DIGEST_BYTES]
    packed = digest + (b"t" if is_text else b"n") + number.to_bytes((number.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(packed).decode().rstrip("=")


@overload
def read_token(question: Question, token: str | None, kind: type[int]) -> int | None: ...
@overload
def read_token(question: Question, token: str | None, kind: type[str]) -> str | None: ...
@overload
def read_token(question: Question, token: str | None) -> int | str | None: ...
def read_token(question: Question, token: str | None, kind: type[int] | type[str] | None = None) -> int | str | None:
    """What `token` says the page follows; None for the first page, which no token or an empty one asks for.

    Args:
        question: the question that is asked now.
        token: as it was given.
        kind: int or str, where only one of them can come after.

    Raises:
        BadToken: it was not given for this question.
    """
    if not token:
        return None
    after = _read(token) if len(token) <= MAX_LENGTH else None
    if after is None or write_token(question, after) != token or not isinstance(after, kind or (int, str)):
        raise BadToken("nextToken", "it was not given by an answer to this question; ask again without it")
    return after


def _read(token: str) -> int | str | None:
    """What a token says, whatever the question; None where it cannot be one."""
    try:
        packed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        number = int.from_bytes(packed[_DIGEST_BYTES + 1 :], "big")
        if packed[_DIGEST_BYTES : _DIGEST_BYTES + 1] == b"t":
            return _to_text(number)
        return number if number < _NUMBERS else None
    except ValueError:
        return None


def _to_number(text: str) -> int:
    number = 1  # so that no character at the beginning is lost
    for character in text:
        number = number * _DIGITS + ord(character)
    return number


def _to_text(number: int) -> str:
    characters = []
    while number > 1:
        number, digit = divmod(number, _DIGITS)
        characters.append(chr(digit))
    return "".join(reversed(characters))

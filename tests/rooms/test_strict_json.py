"""JSON that loses nothing silently."""

from __future__ import annotations

import math
from typing import Any

import pytest

from deconfuse.formats.strict_json import NotJson, is_integer, is_number, parse, parse_object, write


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e400]", "too large"),
        (b"9" * 5_000, "not usable"),
        (b'{"a":1,"b":2,"a":3}', "'a' stands twice"),
        (b'{"x":{"a":1,"a":1}}', "'a' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'["\\ud83d"]', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'"\xff"', "byte 2 is not UTF-8"),
        ("{}".encode("utf-16"), "UTF-16"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    """Each way to lose or spoil data is refused, with the reason."""
    with pytest.raises(NotJson, match=reason):
        parse(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'\xef\xbb\xbf{"a": [1, -2.5, null, true]}', {"a": [1, -2.5, None, True]}),
        (b'["\\ud83d\\ude00"]', ["😀"]),
        (b" 12 ", 12),
        (b"1e-400", 0.0),
    ],
)
def test_what_is_read(data: bytes, value: Any) -> None:
    """A byte order mark, whole surrogate pairs and blanks are fine."""
    assert parse(data) == value


@pytest.mark.parametrize(("data", "kind"), [(b"[]", "a list"), (b"null", "null"), (b"1", "a number"), (b'"a"', "text")])
def test_objects_are_asked_for(data: bytes, kind: str) -> None:
    """Where an object is needed, the reason says what came instead."""
    with pytest.raises(NotJson, match=f"it is {kind}"):
        parse_object(data)


def test_undefined_numbers_are_not_written() -> None:
    """NaN never becomes a file that nobody can read; letters stay letters."""
    assert write({"ä": [1, None]}) == '{"ä":[1,null]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write([math.nan])


@pytest.mark.parametrize("value", [True, "1", None, 10**16, -(10**400), math.nan, math.inf])
def test_what_is_no_number(value: Any) -> None:
    """Truth values, texts, and what would spoil arithmetic are no numbers."""
    assert not is_number(value)


def test_numbers() -> None:
    """Whole numbers are numbers; a float is no whole number, even 1.0, and neither is true."""
    assert is_number(1)
    assert is_number(-0.5)
    assert is_integer(10**400)
    assert not is_integer(1.0)
    assert not is_integer(True)

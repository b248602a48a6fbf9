"""JSON as other people write it, read without surprises.

Python's parser accepts three things that lose or spoil data silently: NaN and Infinity, which no JSON file may hold;
a key that stands twice in one object, of which only the last survives; and half of a surrogate pair, which no file
can be written with again. Here each of them is refused with a reason, and so is nesting deep enough to exhaust the
stack. Every reader of this room parses through this module; every writer writes through it.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeGuard

Json = Any
"""What `parse` gives: dict, list, str, int, float, bool or None, nested."""

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class NotJson(ValueError):
    """Bytes that are not JSON that can be used; the message says why."""


def parse(data: bytes) -> Json:
    r"""The value that `data` spells, UTF-8 with or without a byte order mark.

    Raises:
        NotJson: the bytes are not UTF-8 or not JSON, hold NaN, Infinity, a number too large for a float, a key twice
            in one object or half a surrogate pair, or are nested too deeply.

    Example:
        >>> parse(b'{"a": 1, "a": 2}')
        Traceback (most recent call last):
        deconfuse.formats.strict_json.NotJson: the key 'a' stands twice in one object
    """
    if data.startswith(_UTF16_MARKS):
        raise NotJson("the text is UTF-16; it must be UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJson(f"byte {error.start + 1} is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
        # One character is found many times faster than two, and an image in base64 holds no backslash at all.
        if "\\" in text and "\\u" in text:
            write(value)
    except json.JSONDecodeError as error:
        raise NotJson(f"it is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise NotJson("it holds half of a surrogate pair, which is no character") from None
    except NotJson:
        raise
    except ValueError as error:
        # Python refuses whole numbers of more than 4,300 digits with a plain ValueError.
        raise NotJson(f"it is not usable JSON: {error}") from None
    return value


def parse_object(data: bytes) -> dict[str, Json]:
    """The JSON object that `data` spells; NotJson, as in `parse`, also where it is any other value."""
    value = parse(data)
    if not isinstance(value, dict):
        raise NotJson(f"it is {_kind(value)}, not an object in braces")
    return value


def write(value: Json, *, indent: int | None = None) -> bytes:
    """`value` as UTF-8 JSON, keys in the order given, without blanks unless `indent` is given.

    Raises:
        ValueError: `value` holds NaN or infinity; undefined numbers are null in JSON.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators).encode()


def is_number(value: Json) -> TypeGuard[float]:
    """Whether `value` is a number that arithmetic can use: no truth value, and of at most fifteen digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def is_integer(value: Json) -> TypeGuard[int]:
    """Whether `value` is a whole number, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    return {bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list"}[type(value)]


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotJson(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return found


def _constant(name: str) -> Json:
    raise NotJson(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJson(f"the number {digits} is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite)

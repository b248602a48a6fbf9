"""What a request asks of the object that it names: a range of its bytes, one of some ETags.

Plain values come out, in the form in which the store takes them: a range is (first, last) with both bytes counted, an
ETag stands without quotes. A range that cannot be meant, or several at once, ask for nothing, as RFC 9110 has it; only
the range of a copy is strict, for there S3 is.
"""

from __future__ import annotations

import re

from deconfuse.errors import Invalid

_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_COPIED = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")


def byte_range(text: str) -> tuple[int | None, int | None] | None:
    """The header Range: (first, last), (first, None) to the end, (None, n) for the last n bytes; None for the whole.

    Source: RFC 9110 (2022) section 14.1.2; several ranges are answered by the whole object, as S3 does.

    Example:
        >>> byte_range("bytes=0-4"), byte_range("bytes=7-"), byte_range("bytes=-3"), byte_range("bytes=4-1")
        ((0, 4), (7, None), (None, 3), None)
    """
    found = _RANGE.fullmatch(text.strip().lower())
    if not found or not (found[1] or found[2]):
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    return None if first is not None and last is not None and first > last else (first, last)


def copied_range(text: str) -> tuple[int, int]:
    """The header x-amz-copy-source-range: (first, last), both named.

    Raises:
        Invalid: it is not of the form bytes=first-last, with first not after last.
    """
    found = _COPIED.fullmatch(text.strip())
    if not found or int(found[1]) > int(found[2]):
        raise Invalid("x-amz-copy-source-range", "the range of a copy has the form bytes=first-last")
    return int(found[1]), int(found[2])


def etags(text: str) -> tuple[str, ...]:
    """The ETags that If-Match or If-None-Match names, without quotes; "*" is any. Empty text names none.

    Weak ones count as strong, and quotes may be missing: clients send both.

    Example:
        >>> etags('"a", W/"b", c'), etags("*"), etags("")
        (('a', 'b', 'c'), ('*',), ())
    """
    parts = (part.strip() for part in text.split(","))
    return tuple(part.removeprefix("W/").strip('"') for part in parts if part)

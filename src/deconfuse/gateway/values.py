"""Single values of S3's protocol: text to Python and back, for headers, queries and XML alike.

Reading is strict where Python is lenient (`int` takes "1_0" and Arabic digits, `fromisoformat` a bare week), because
what one part reads otherwise than another is how requests are smuggled. Nothing here knows what a value is for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from deconfuse.gateway.shapes import Kind

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_HTTP_DATE = re.compile(
    r"(\w{3,9}, )?\d{1,2}[ -]\w{3}[ -]\d{2,4} \d\d:\d\d:\d\d( \S+)?|\w{3} \w{3} [ \d]\d .*", re.ASCII
)


def read_value(kind: Kind, text: str) -> Any:
    """The value that `text` writes: str, int, bool or an aware datetime in UTC.

    Raises:
        ValueError: it writes no such value.
    """
    match kind:
        case "integer":
            return read_integer(text)
        case "boolean":
            return _read_boolean(text)
        case "time":
            return read_time(text)
        case _:
            return text


def write_value(kind: Kind, value: Any, *, is_rfc_date: bool = False) -> str:
    """The text of one value: true and false, plain digits, dates as RFC 1123 or as ISO 8601 to the millisecond.

    A text stays as it is, also in the place of a date: S3 hands back what it was given.
    """
    if isinstance(value, str):
        return value
    match kind:
        case "boolean":
            return "true" if value else "false"
        case "time":
            return write_rfc_time(value) if is_rfc_date else write_iso_time(value)
        case _:
            return str(value)


def read_integer(text: str) -> int:
    """The integer of at most 19 decimal digits that `text` writes, blanks around it aside.

    Raises:
        ValueError: it writes none.
    """
    stripped = text.strip(" \t\r\n")
    if not _INTEGER.fullmatch(stripped):
        raise ValueError(f"{text[:40]!r} is not an integer")
    return int(stripped)


def read_time(text: str) -> datetime:
    """The moment that `text` writes, in UTC: any of HTTP's three date formats, or ISO 8601 with time.

    A time without zone is UTC.

    Raises:
        ValueError: it writes none, or one outside the years 1 to 9999.

    Source: RFC 9110 (2022) section 5.6.7.
    """
    stripped = text.strip(" \t\r\n")
    try:
        if _ISO.fullmatch(stripped):
            moment = datetime.fromisoformat(stripped)
        elif _HTTP_DATE.fullmatch(stripped):
            moment = parsedate_to_datetime(stripped)
        else:
            raise ValueError(f"{text[:40]!r} is not a date")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"{text[:40]!r} is not a date") from error


def write_rfc_time(moment: datetime) -> str:
    """`moment` as headers write it, cut to the second: "Sun, 06 Nov 1994 08:49:37 GMT"."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def write_iso_time(moment: datetime) -> str:
    """`moment` as S3's XML writes it, cut to the millisecond: "1994-11-06T08:49:37.000Z"."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _read_boolean(text: str) -> bool:
    word = text.strip(" \t\r\n").lower()
    if word not in {"true", "false"}:
        raise ValueError(f"{text[:40]!r} is neither true nor false")
    return word == "true"

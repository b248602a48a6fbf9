"""Single values of S3's protocol: strict to read, S3's way to write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.gateway.values import read_integer, read_time, read_value, write_iso_time, write_rfc_time, write_value

WHEN = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC))


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 00:49:37 -0800",
        "06 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "1994-11-06T08:49:37",
        "1994-11-06T08:49:37.000Z",
        " 1994-11-06T09:49:37+01:00 ",
    ],
)
def test_a_date_is_read_in_all_its_forms(text: str) -> None:
    """HTTP's three formats, and ISO 8601 as XML has it."""
    assert read_time(text) == WHEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "yesterday",
        "1994-11-06",
        "1994-W44-7",
        "19941106T084937Z",
        "784111777",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "0001-01-01T00:00:00+14:00",
        "Sun Nov 6 x",
        "Sun, 06 Nov 1994 08:49:37 +9999999999",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    """A ValueError and nothing else, also where Python would overflow."""
    with pytest.raises(ValueError, match="is not a date"):
        read_time(text)


@given(moment=MOMENTS)
def test_a_date_survives_writing_and_reading(moment: datetime) -> None:
    """To the second as a header, to the millisecond as XML, always cut and never rounded up."""
    assert read_time(write_iso_time(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    if moment.year >= 1900:
        assert read_time(write_rfc_time(moment)) == moment.replace(microsecond=0)


def test_a_date_of_another_zone_is_written_in_utc() -> None:
    """S3 knows no other zone."""
    moment = WHEN.astimezone(timezone(timedelta(hours=9)))

    assert write_rfc_time(moment) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert write_iso_time(moment) == "1994-11-06T08:49:37.000Z"


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("-1", -1), (" 42\n", 42), ("+7", 7), ("007", 7)])
def test_an_integer_is_read(text: str, expected: int) -> None:
    """Decimal digits, a sign, blanks around."""
    assert read_integer(text) == expected


@pytest.mark.parametrize("text", ["", " ", "1_0", "٣", "1.0", "1e3", "0x10", "--1", "9" * 20, "\u00a01"])
def test_what_is_no_integer_is_refused(text: str) -> None:
    """Everything that Python would take beyond that."""
    with pytest.raises(ValueError, match="is not an integer"):
        read_integer(text)


@pytest.mark.parametrize("text", ["", "yes", "1", "truex"])
def test_what_is_no_boolean_is_refused(text: str) -> None:
    """Only true and false, in any capitals."""
    with pytest.raises(ValueError, match="neither"):
        read_value("boolean", text)


def test_values_are_written_as_s3_does() -> None:
    """Truth in lower case; a text in the place of a date stays."""
    assert [write_value("boolean", value) for value in (True, False)] == ["true", "false"]
    assert write_value("time", "soon", is_rfc_date=True) == "soon"
    assert write_value("integer", 5) == "5"
    assert read_value("boolean", " TRUE ") is True

"""The environment: defaults that need nothing, and values that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from deconfuse.errors import Invalid
from deconfuse.settings import read_settings


def test_nothing_needs_to_be_set() -> None:
    """An empty environment gives AWS's limits, a cache of the user's own and at least one thread."""
    settings = read_settings({})

    assert settings.threads >= 1
    assert settings.cache.is_absolute()
    assert (settings.region, settings.account) == ("us-east-1", "000000000000")
    assert (settings.manifest_max_lines, settings.manifest_max_labels) == (250_000, 250)
    assert (settings.manifest_min_side, settings.manifest_max_side) == (64, 4096)
    assert settings.manifest_max_image_bytes == 15 * 2**20


def test_everything_can_be_set() -> None:
    """Each name reaches its setting; blanks around a number do not matter, and ~ is the user's home."""
    numbers = ("THREADS", "MANIFEST_MAX_LINES", "MANIFEST_MAX_LABELS", "MANIFEST_MIN_SIDE", "MANIFEST_MAX_SIDE",
               "MANIFEST_MAX_IMAGE_BYTES")  # fmt: skip
    settings = read_settings(
        {"DECONFUSE_CACHE": "~/kept", "DECONFUSE_REGION": "eu-west-1", "DECONFUSE_ACCOUNT": "123456789012"}
        | {f"DECONFUSE_{name}": f" {number} " for number, name in enumerate(numbers, start=7)}
    )

    assert settings.cache == Path("~/kept").expanduser()
    assert (settings.region, settings.account) == ("eu-west-1", "123456789012")
    assert [getattr(settings, name.lower()) for name in numbers] == [7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²", "1_000", "1e3"])
@pytest.mark.parametrize("name", ["DECONFUSE_THREADS", "DECONFUSE_MANIFEST_MAX_LABELS"])
def test_what_is_no_number_is_named(name: str, value: str) -> None:
    """The message says which variable, and what stands in it."""
    with pytest.raises(Invalid, match=name) as raised:
        read_settings({name: value})
    assert value in str(raised.value)


@pytest.mark.parametrize("value", ["1", "12345678901x", "1234567890123"])
def test_an_account_has_twelve_digits(value: str) -> None:
    """Anything else would make an ARN that is none."""
    with pytest.raises(Invalid, match="12 digits"):
        read_settings({"DECONFUSE_ACCOUNT": value})


@pytest.mark.parametrize("value", ["", "  "])
def test_blank_is_not_set(value: str) -> None:
    """A variable that a script left empty changes nothing."""
    names = ("CACHE", "THREADS", "REGION", "ACCOUNT", "MANIFEST_MAX_LINES")

    assert read_settings({f"DECONFUSE_{name}": value for name in names}) == read_settings({})

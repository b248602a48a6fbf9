"""Every error has a row at every door; every command and setting is documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from deconfuse import errors
from deconfuse.cli import COMMANDS, EXITS, cli, exit_code
from deconfuse.settings import Settings, read_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"


def every_error() -> list[type[errors.DeconfuseError]]:
    """All errors of the tree, the root left out."""
    found: list[type[errors.DeconfuseError]] = []
    waiting = errors.DeconfuseError.__subclasses__()
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting.extend(kind.__subclasses__())
    return found


def test_every_error_has_an_exit_code() -> None:
    """The table of exit codes and the tree of errors name the same errors."""
    assert set(EXITS) == set(every_error())


def test_every_error_is_drawn_in_the_tree() -> None:
    """Whoever reads the top of errors.py has seen all of them."""
    assert not [kind.__name__ for kind in every_error() if f"── {kind.__name__}" not in (errors.__doc__ or "")]


def test_an_error_without_a_row_would_be_an_internal_one() -> None:
    """The root itself has no meaning for a user."""
    assert exit_code(errors.DeconfuseError("?")) == 70


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "worker"])
def test_every_command_is_documented(name: str) -> None:
    """docs/commands.md has a section a command, and each option stands in it."""
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    text = (DOCS / "commands.md").read_text()
    section = text.split(f"## deconfuse {name}", 1)[1].split("\n## ", 1)[0]

    assert command is not None
    assert command.help
    for option in command.params:
        assert all(spelling in section for spelling in option.opts if spelling.startswith("--")), option.name


def test_what_is_not_documented_is_not_shown() -> None:
    """The one command that only a server starts is hidden."""
    command = cli.get_command(None, "worker")  # type: ignore[arg-type]

    assert command is not None
    assert command.hidden


def test_every_setting_is_documented() -> None:
    """docs/settings.md names each variable, and settings.py reads no other."""
    text = (DOCS / "settings.md").read_text()
    source = (DOCS.parent / "src/deconfuse/settings.py").read_text()
    variables = set(re.findall(r'"(DECONFUSE_[A-Z_]+)"', source))

    assert len(variables) == len(fields(Settings))
    assert not [name for name in variables if f"`{name}`" not in text]


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_setting_that_is_no_whole_number_is_refused_by_name(value: str) -> None:
    """The message names the variable."""
    with pytest.raises(errors.Invalid, match="DECONFUSE_THREADS"):
        read_settings({"DECONFUSE_THREADS": value})


def test_an_account_has_twelve_digits() -> None:
    """Anything else would make ARNs that no client parses."""
    with pytest.raises(errors.Invalid, match="DECONFUSE_ACCOUNT"):
        read_settings({"DECONFUSE_ACCOUNT": "12345"})


def test_the_cache_may_be_put_elsewhere() -> None:
    """DECONFUSE_CACHE wins over the user's cache directory."""
    assert read_settings({"DECONFUSE_CACHE": "/somewhere/else"}).cache == Path("/somewhere/else")

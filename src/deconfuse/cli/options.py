"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Place(click.Path):
    """A path that is not empty: an empty one, as of a variable that is not set, would be the directory at hand."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty", parameter, context)
        return super().convert(value, parameter, context)


PLACE = _Place(path_type=Path, allow_dash=True, readable=False)
"""A file or folder; whether it can be read is found out where it is read, with an exit code of its own."""


def with_options(options: Sequence[Decorator]) -> Decorator:
    """What gives a command these options, in this order in its help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def to_stdout(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Click callback: the file to write, None for stdout, which "-" stands for."""
    return None if value is None or str(value) == "-" else value


def parse_buckets(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    """Click callback: NAME=DIR pairs to directories by bucket."""
    buckets: dict[str, Path] = {}
    for value in values:
        name, equals, directory = value.partition("=")
        if not (name and equals and directory):
            raise click.BadParameter(f"{value!r} is not of the form BUCKET=DIR", context, parameter)
        if not Path(directory).is_dir():
            raise click.BadParameter(f"{directory!r} is not a directory", context, parameter)
        buckets[name] = Path(directory)
    return buckets


bucket_option = click.option(
    "--bucket",
    "buckets",
    multiple=True,
    metavar="BUCKET=DIR",
    callback=parse_buckets,
    help="Find s3://BUCKET/… below DIR. May be given several times.",
)

quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress, no warnings; only errors and the result.")

force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")

home_option = click.option(
    "--home",
    type=PLACE,
    help="The directory of the service.  [default: $XDG_DATA_HOME/deconfuse]",
)

database_option = click.option(
    "--database", metavar="URL", help="A PostgreSQL database.  [default: SQLite in the home]"
)


def given_of(*options: Mapping[str, Any]) -> dict[str, str]:
    """The settings that these flags of the service say, by the names of their variables; later ones win.

    A flag that was left out says nothing; --key is the certificate's.
    """
    given = {}
    for name, value in (pair for several in options for pair in several.items()):
        if value is not None and value is not False:
            variable = "CERTIFICATE_KEY" if name == "key" else name.upper()
            given[f"DECONFUSE_{variable}"] = "1" if value is True else str(value)
    return given

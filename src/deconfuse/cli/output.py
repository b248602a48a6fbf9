"""Where a command's result goes: stdout, or a file that appears whole; and what it says on stderr."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deconfuse.errors import Problem

PLACES = 3
"""So many images or lines are named of those that one warning is about."""


def say(message: str) -> None:
    """Print `message` to stderr: names of files and labels in it cannot steer the terminal; its lines stay lines."""
    from deconfuse.report.terminal import printable

    click.echo("\n".join(printable(line) for line in message.split("\n")), err=True)


def show_problems(problems: Sequence[Problem], *, limit: int | None, rest: str = "") -> None:
    """Name unusable images or lines and warnings on stderr, errors first; beyond `limit`, say where the `rest` is.

    Warnings that differ in their place only are one, with the first `PLACES` of them and the number of the others.
    """
    from deconfuse.cli.terminal import takes_color
    from deconfuse.report.terminal import printable

    color = takes_color(sys.stderr)
    alike: dict[Any, list[Problem]] = {}
    for problem in sorted(problems, key=lambda problem: problem.level != "error"):
        key = problem if problem.level == "error" else (problem.code, problem.message)
        alike.setdefault(key, []).append(problem)
    for several in itertools.islice(alike.values(), limit):
        problem = several[0]
        places = ", ".join(filter(None, map(_place, several[:PLACES])))
        places += f" and {len(several) - PLACES:,} more" if len(several) > PLACES else ""
        mark = click.style(problem.level, fg="red" if problem.level == "error" else "yellow")
        said = printable(f"{places}: {problem.message}" if places else problem.message)
        click.echo(f"{mark}: {said} [{problem.code}]", err=True, color=color)
    n_left = sum(map(len, itertools.islice(alike.values(), limit, None))) if limit is not None else 0
    if n_left:
        click.echo(f"… and {n_left:,} more, {rest}", err=True)


def _place(problem: Problem) -> str:
    """The line or image that a problem is about; nothing for one about all."""
    if problem.line is None:
        return problem.uri or ""
    return f"line {problem.line}" + (f" ({problem.uri})" if problem.uri else "")


def show(text: str) -> None:
    """Print `text` to stdout as it is, colours included; letters that the terminal lacks are spelled by their codes.

    A reader that has gone, as `head` has when it has enough, ends the command with exit code 0.

    Raises:
        Unavailable: stdout leads to a file, and the disk is full.
        Denied: stdout cannot be written to.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    with _stdout():
        # click would take the colours out of what a pipe gets, even where FORCE_COLOR asks for them.
        click.echo(text, nl=False, color=True)


def write_result(data: str | bytes, output: Path | None, *, force: bool) -> None:
    """Give a command's result to stdout, or to the file `output`.

    Raises:
        AlreadyExists: the file exists and `force` is not set.
        Invalid: `output` is no ordinary file.
    """
    if output is not None:
        from deconfuse.engine.sinks import write_whole

        write_whole(output, data.encode() if isinstance(data, str) else data, replace=force)
        say(f"wrote {output}")
    elif isinstance(data, str):
        show(data)
    else:
        with _stdout():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def refuse_output(output: Path | None, *, force: bool, option: str = "--output") -> None:
    """Return if `output`, given by `option`, can be written, before any work is done for it; None is stdout.

    Raises:
        AlreadyExists: the file exists and `force` is not set.
        Invalid: it is no ordinary file.
        NotFound: its folder is not there.
    """
    from deconfuse.engine.sinks import refuse_file

    if output is not None:
        refuse_file(output, replace=force, option=option)


@contextlib.contextmanager
def _stdout() -> Iterator[None]:
    """What is written inside goes to stdout; where that fails, nothing more is tried when Python ends."""
    from deconfuse.engine.sinks import world_error

    try:
        yield
    except BrokenPipeError:
        _give_up_stdout()
        raise click.exceptions.Exit(0) from None
    except OSError as error:
        _give_up_stdout()
        raise world_error(error, "stdout") from error


def _give_up_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

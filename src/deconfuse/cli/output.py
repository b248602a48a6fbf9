"""Where a command's result goes: stdout, or a file that appears whole."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click


def show(text: str) -> None:
    """Print `text` to stdout as it is, colours included; letters that the terminal lacks are spelled by their codes.

    A reader that has gone, as `head` has when it has enough, ends the command with exit code 0.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # click would take the colours out of what a pipe gets, even where FORCE_COLOR asks for them.
        click.echo(text, nl=False, color=True)
    except BrokenPipeError:
        leave_quietly()


def write_result(data: str | bytes, output: Path | None, *, force: bool) -> None:
    """Give a command's result to stdout, or to the file `output`.

    Raises:
        AlreadyExists: the file exists and `force` is not set.
        Invalid: `output` is no ordinary file.
    """
    if output is not None:
        from deconfuse.engine.sinks import write_whole

        write_whole(output, data.encode() if isinstance(data, str) else data, replace=force)
        click.echo(f"wrote {output}", err=True)
    elif isinstance(data, str):
        show(data)
    else:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            leave_quietly()


def refuse_output(output: Path, *, force: bool) -> None:
    """Return if `output` can be written, before any work is done for it.

    Raises:
        AlreadyExists: the file exists and `force` is not set.
        Invalid: it is no ordinary file.
    """
    from deconfuse.engine.sinks import refuse_file

    refuse_file(output, replace=force)


def leave_quietly() -> None:
    """End with exit code 0 because the reader of our output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise click.exceptions.Exit(0)

"""The command line: `deconfuse COMMAND …`.

This module finds the commands and turns what went wrong into a message on stderr and an exit code; `EXITS` is the
whole table. A command's result goes to stdout, everything else to stderr. Commands import what they need inside
their bodies, so that `deconfuse --help` answers at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from deconfuse import errors
from deconfuse.names import VERSION

EXITS: dict[type[errors.DeconfuseError], int] = {
    errors.Invalid: 2,
    errors.NotBuilt: 2,
    errors.BadToken: 2,
    errors.BadPolicy: 2,
    errors.BadRevision: 2,
    errors.NotFound: 3,
    errors.AlreadyExists: 4,
    errors.InUse: 4,
    errors.Stale: 4,
    errors.Unmet: 4,
    errors.NotReady: 4,
    errors.BadData: 5,
    errors.BadImage: 5,
    errors.ImageTooLarge: 5,
    errors.BadManifest: 5,
    errors.Untrainable: 5,
    errors.Damaged: 5,
    errors.Denied: 6,
    errors.NotSigned: 6,
    errors.BadSignature: 6,
    errors.UnknownKey: 6,
    errors.LimitExceeded: 7,
    errors.TooFast: 7,
    errors.QuotaExceeded: 7,
    errors.Unavailable: 8,
}
"""Exit code of every error. 0 is good, 1 a gate that failed, 70 an error of deconfuse itself, 130 Ctrl-C."""

COMMANDS = {
    "train": "deconfuse.cli.train",
    "matrix": "deconfuse.cli.matrix",
    "images": "deconfuse.cli.matrix",
    "report": "deconfuse.cli.report",
    "predict": "deconfuse.cli.predict",
    "convert": "deconfuse.cli.convert",
    "export": "deconfuse.cli.export",
    "cache": "deconfuse.cli.cache",
    "serve": "deconfuse.cli.serve",
    "credentials": "deconfuse.cli.credentials",
    "bucket": "deconfuse.cli.bucket",
    "worker": "deconfuse.cli.serve",
}
"""Where each command lives, in the order in which a user meets them."""


class _Commands(click.Group):
    """The commands of `COMMANDS`, each imported when it is first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="deconfuse")
def cli() -> None:
    """See which labels an image model confuses, fix that, and see it again, in seconds.

    \b
    deconfuse train photos/            train on label folders, print the confusion matrix
    deconfuse matrix predictions.csv   the matrix of any other model
    deconfuse COMMAND --help           everything about a command
    """


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    _open_closed_streams()
    told = _listen()
    # What Pillow logs about a damaged image is said better by the problem that is reported for it.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as wanted:
        code = wanted.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit:
        # click leaves this way when the reader of our output has gone, as `head` does when it has enough.
        _leave_at_once(0)
    except BaseException as error:  # noqa: BLE001  # the last line of defence: a bug must end in exit code 70
        # Libraries turn an interruption into errors of their own: whatever comes after a signal comes from it.
        if told or isinstance(error, (KeyboardInterrupt, click.Abort)):
            _stop(told[0] if told else signal.SIGINT)
        code = _complain(error)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: BaseException) -> int:
    """Say on stderr what went wrong: the exit code."""
    if isinstance(error, OSError) and error.filename is not None:
        # A path that no room has looked at: too long, a circle of links, in a folder that may not be read.
        from deconfuse.engine.sinks import world_error

        error = world_error(error, os.fsdecode(error.filename))
    if isinstance(error, errors.DeconfuseError):
        from deconfuse.cli.output import say

        say(f"deconfuse: {error}")
        return exit_code(error)
    import traceback

    click.echo("".join(traceback.format_exception(error)), err=True)
    click.echo("deconfuse: this is an error in deconfuse itself; please report it with the lines above", err=True)
    return 70


def _listen() -> list[int]:
    """Unwind everything when a signal asks the process to end: the list in which the numbers of signals arrive.

    A signal that whoever started the process has switched off (`nohup`, a script's `&`) stays so.
    """
    told: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        told.append(number)
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    return told


def _stop(number: int) -> NoReturn:
    if number == signal.SIGINT:
        click.echo("\ndeconfuse: stopped; nothing was written", err=True)
    _leave_at_once(128 + number)


def _open_closed_streams() -> None:
    """Give a process that was started with closed streams (`>&-`) empty ones, before a file takes their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def exit_code(error: errors.DeconfuseError) -> int:
    """The exit code of `error`: that of its class, or of the nearest class above it in the tree."""
    return next((EXITS[kind] for kind in type(error).__mro__ if kind in EXITS), 70)


def _leave_at_once(code: int) -> NoReturn:
    """End now: what had to be put in order is in order, and threads at work on images are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)

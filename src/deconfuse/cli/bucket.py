"""`deconfuse bucket`: existing folders shown as read-only buckets of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deconfuse.cli.options import PLACE, database_option, given_of, home_option
from deconfuse.cli.output import say, show


@click.group(short_help="Show folders of images as read-only buckets of the service.")
@home_option
@database_option
@click.pass_context
def bucket(context: click.Context, /, **options: Any) -> None:
    """Show existing folders as read-only buckets, without copying anything; list the buckets.

    Other buckets are made by S3's clients: aws s3 mb s3://NAME
    """
    context.obj = options


@bucket.command()
@click.argument("name")
@click.argument("folder", metavar="DIR", type=PLACE)
@home_option
@database_option
@click.pass_obj
def link(outer: dict[str, Any], /, name: str, folder: Path, **options: Any) -> None:
    """Show the folder DIR as the bucket NAME: its files can be read and listed, and not be written."""
    from deconfuse import caretaker

    caretaker.link_bucket(given_of(outer, options), name, folder)
    say(f"s3://{name} shows {folder}")


@bucket.command()
@click.argument("name")
@home_option
@database_option
@click.pass_obj
def unlink(outer: dict[str, Any], /, name: str, **options: Any) -> None:
    """Show a folder no longer as the bucket NAME; nothing in the folder is touched."""
    from deconfuse import caretaker

    caretaker.unlink_bucket(given_of(outer, options), name)
    say(f"s3://{name} is gone; its folder is as it was")


@bucket.command(name="list")
@home_option
@database_option
@click.pass_obj
def list_(outer: dict[str, Any], /, **options: Any) -> None:
    """List the buckets, and the folders that they show."""
    from deconfuse import caretaker
    from deconfuse.report.terminal import printable

    for found in caretaker.list_buckets(given_of(outer, options)):
        shown = f"  shows {found.folder}" if found.folder is not None else ""
        shown += "  (not there)" if found.folder is not None and not Path(found.folder).is_dir() else ""
        show(printable(f"{found.name}{shown}") + "\n")

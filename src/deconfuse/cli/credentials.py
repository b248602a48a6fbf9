"""`deconfuse credentials`: keys of a service, ready to be pasted; nothing is written into the user's files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from deconfuse.cli.options import database_option, given_of, home_option
from deconfuse.cli.output import say, show

if TYPE_CHECKING:
    from deconfuse.service.keys import Key

FORMATS = ("env", "aws-config", "json")

_endpoint_option = click.option(
    "--endpoint-url", metavar="URL", help="The address to print.  [default: that of the last server from this home]"
)


@click.group(invoke_without_command=True, short_help="Print a key of the service, ready to be pasted.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="env", show_default=True)
@click.option("--key-id", metavar="ID", help="Which key.  [default: the first one]")
@_endpoint_option
@home_option
@database_option
@click.pass_context
def credentials(
    context: click.Context, /, form: str, key_id: str | None, endpoint_url: str | None, **options: Any
) -> None:
    """Print a key of the service and its address, ready to be pasted.

    \b
    eval "$(deconfuse credentials --format env)"               into this shell
    deconfuse credentials --format aws-config                  a profile for ~/.aws/config
    credential_process = deconfuse credentials --format json   for a profile of yours

    Your files are never edited.
    """
    context.obj = options
    if context.invoked_subcommand is not None:
        return
    from deconfuse import caretaker

    show(caretaker.credentials(given_of(options), form, endpoint_url=endpoint_url, key_id=key_id))


@credentials.command()
@click.option("--read-only", is_flag=True, help="The key may read and detect, but change nothing.")
@click.option("--note", default="", metavar="TEXT", help="What the key is for.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="As what to print it.  [default: id and secret]")
@_endpoint_option
@home_option
@database_option
@click.pass_obj
def create(
    outer: dict[str, Any], /, read_only: bool, note: str, form: str | None, endpoint_url: str | None, **options: Any
) -> None:
    """Make a key and print it: its identifier and its secret."""
    from deconfuse import caretaker

    access = "read" if read_only else "full"
    given = given_of(outer, options)
    show(caretaker.create_key(given, access=access, note=note, form=form, endpoint_url=endpoint_url))


@credentials.command(name="list")
@click.option("--all", "with_revoked", is_flag=True, help="Also those that were revoked.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@home_option
@database_option
@click.pass_obj
def list_(outer: dict[str, Any], /, with_revoked: bool, form: str, **options: Any) -> None:
    """List the keys, without their secrets."""
    from deconfuse import caretaker

    keys = caretaker.list_keys(given_of(outer, options), with_revoked=with_revoked)
    rows = [_row(key) for key in keys]
    if form == "json":
        show(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    from deconfuse.report.terminal import printable

    for row in rows:
        revoked = f"  revoked {row['revoked']}" if row["revoked"] else ""
        access = "read-only" if row["access"] == "read" else "full"
        show(f"{row['id']}  {access:<9}  {row['created']}{revoked}  {printable(row['note'])}".rstrip() + "\n")


@credentials.command()
@click.argument("key_id")
@home_option
@database_option
@click.pass_obj
def revoke(outer: dict[str, Any], /, key_id: str, **options: Any) -> None:
    """Make the key KEY_ID worthless for ever, at once."""
    from deconfuse import caretaker

    caretaker.revoke_key(given_of(outer, options), key_id)
    say(f"revoked {key_id}")


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "access": key.access,
        "note": key.note,
        "created": _time(key.created_ms),
        "revoked": None if key.revoked_ms is None else _time(key.revoked_ms),
    }


def _time(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

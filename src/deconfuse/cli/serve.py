"""`deconfuse serve`: the API, an S3 and a first page on one port; and `deconfuse worker`, which a server starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deconfuse.cli.options import PLACE, Decorator, given_of, home_option, with_options
from deconfuse.cli.output import say, show

if TYPE_CHECKING:
    from deconfuse.caretaker import Started

_NUMBER = click.IntRange(min=0)
_SOME = click.IntRange(min=1)

_OPTIONS: tuple[Decorator, ...] = (
    home_option,
    click.option("--host", metavar="H", help="The address to listen on.  [default: 127.0.0.1]"),
    click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 is any free one.  [default: 8750]"),
    click.option("--certificate", type=PLACE, help="A PEM file with the certificate for TLS."),
    click.option("--key", type=PLACE, help="A PEM file with the certificate's private key."),
    click.option("--insecure", is_flag=True, help="Listen on another host than this one without TLS."),
    click.option("--domain", metavar="NAME", help="Buckets may be host names below it.  [default: localhost]"),
    click.option("--metrics-open", is_flag=True, help="Answer /metrics to this machine without a key."),
    click.option("--cors-origins", metavar="O,O", help="Origins whose pages may use the service; * is any."),
    click.option("--region", metavar="R", help="The region in ARNs and signatures.  [default: us-east-1]"),
    click.option("--account", metavar="N", help="The account in ARNs, 12 digits.  [default: 000000000000]"),
    click.option("--database", metavar="URL", help="A PostgreSQL database.  [default: SQLite in the home]"),
    click.option("--shared-home", is_flag=True, help="All servers on the database see this home."),
    click.option("--store", metavar="s3://BUCKET/PREFIX", help="Keep objects in an S3.  [default: in the home]"),
    click.option("--store-endpoint", metavar="URL", help="The address of that S3.  [default: AWS]"),
    click.option("--store-region", metavar="R", help="The region of that S3.  [default: that of --region]"),
    click.option("--store-key-id", metavar="ID", help="The key there; its secret is DECONFUSE_STORE_SECRET."),
    click.option("--store-virtual-host", is_flag=True, help="The bucket is part of the host name there."),
    click.option("--trainings", type=_SOME, metavar="N", help="Trainings at once; others wait.  [default: 2]"),
    click.option("--models", type=_SOME, metavar="N", help="Models in memory at once.  [default: 10]"),
    click.option("--threads", type=_SOME, metavar="N", help="Images in work at once.  [default: the processors]"),
    click.option("--max-projects", type=_NUMBER, metavar="N", help="Projects; 0: any number.  [default: 100]"),
    click.option("--max-versions", type=_NUMBER, metavar="N", help="Versions of a project.  [default: 100]"),
    click.option("--max-trainings", type=_NUMBER, metavar="N", help="Trainings at work or waiting.  [default: 2]"),
    click.option("--max-copies", type=_NUMBER, metavar="N", help="Versions being copied.  [default: 10]"),
    click.option("--max-running", type=_NUMBER, metavar="N", help="Versions started.  [default: 10]"),
    click.option("--max-units", type=_NUMBER, metavar="N", help="Inference units of a version.  [default: 5]"),
    click.option("--max-policies", type=_NUMBER, metavar="N", help="Policies of a project.  [default: 50]"),
    click.option("--max-detect-bytes", type=_SOME, metavar="N", help="Of an image in a request.  [default: 4194304]"),
)


@click.command(short_help="Serve Custom Labels and S3 to AWS's clients, on one port.")
@with_options(_OPTIONS)
def serve(**options: Any) -> None:
    """Serve the API of Custom Labels, an S3 for its images and a first page, on one port.

    Nothing else is needed: rows are kept in a SQLite database and objects in files, both in the home directory. The
    first start makes a key and prints what to paste; `deconfuse credentials` prints it again.

    Every flag can be given as a variable too (docs/settings.md); DECONFUSE_STORE_SECRET only so. Ctrl-C ends the
    server after the requests under way; what was being trained goes on with the next start.
    """
    from deconfuse import caretaker

    caretaker.serve(given_of(options), ready=lambda started: _tell(started, home=options["home"]))
    say("stopped")


@click.command(hidden=True)
@click.argument("job", type=int)
@click.argument("name")
def worker(job: int, name: str) -> None:
    """Do a job as the child of a server, which alone starts this."""
    from deconfuse import caretaker

    caretaker.work(job, worker=name)


def _tell(started: Started, *, home: Path | None) -> None:
    import shlex

    from deconfuse.names import VERSION

    again = "deconfuse credentials" + (f" --home {shlex.quote(str(home.absolute()))}" if home else "") + " --format"
    if started.first_key is not None:
        head = f"# The first key, kept in {started.home / 'credentials'} too. Paste this into a shell;\n"
        show(f"{head}# `{again} aws-config` prints a profile for ~/.aws/config.\n{started.first_key}")
    say(f"deconfuse {VERSION} listens on {started.address}")
    say(f"home: {started.home}")
    if started.first_key is None:
        say(f'keys: eval "$({again} env)", or {again} aws-config')
    if not started.is_private:
        say(f"note: other users of this machine can look into the home; chmod 700 {shlex.quote(str(started.home))}")
    if started.is_open_to_others:
        say("note: without TLS whoever is on the way can read everything; put a proxy that encrypts in front")

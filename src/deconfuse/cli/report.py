"""`deconfuse report`: one page that shows everything, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deconfuse.cli.options import PLACE, bucket_option, force_option, quiet_option, to_stdout
from deconfuse.cli.output import refuse_output, show
from deconfuse.cli.progress import bars
from deconfuse.cli.source import evaluate, read_labels, show_notes, with_source_options


@click.command(short_help="Write one self-contained page: matrix, images, findings.")
@click.option(
    "--output", "-o", type=PLACE, callback=to_stdout, required=True, help="The HTML file to write; - is stdout."
)
@click.option("--labels", "chosen", metavar="A,B|@FILE", help="Only these labels; the others are summed as (other).")
@with_source_options
@bucket_option
@force_option
@quiet_option
def report(
    source: str | None,
    output: Path | None,
    chosen: str | None,
    buckets: dict[str, Path],
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Write one self-contained page about SOURCE: matrix, images of every cell, findings, numbers of every label.

    SOURCE is anything that `deconfuse matrix` reads. The page needs no network; it may be mailed. Thumbnails come
    from the cache, then from the images themselves; where neither is at hand a placeholder names the image. Of a
    model that --project and --version name, images are fetched from S3.
    """
    from deconfuse import app
    from deconfuse.engine.sinks import write_whole

    refuse_output(output, force=force)
    looked = evaluate(source, labels=read_labels(chosen), **options)
    if not quiet:
        show_notes(looked.evaluation)
    with bars(quiet=quiet) as progress:
        page, n_missing = app.report_page(looked.evaluation, buckets=buckets, remote=looked.remote, progress=progress)
    if n_missing and not quiet:
        what = "image was" if n_missing == 1 else "images were"
        click.echo(f"{n_missing:,} {what} not found; the page shows the name instead of the picture", err=True)
    if output is None:
        show(page)
    else:
        write_whole(output, page.encode(), replace=force)
        show(f"{output}\n")

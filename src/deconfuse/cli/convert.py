"""`deconfuse convert`: labelled images as a manifest that Rekognition Custom Labels takes.

    a folder of label folders         one line a PNG or JPEG file
    a table image,label[,label…]      one line a row
    a COCO file                       one line an image, with its boxes
    a multi-label labelling job       one line a line

A manifest is written whole or not at all: a row that cannot be used, or an image that comes twice, stops the
conversion with a list of all of them.
"""

from __future__ import annotations

from pathlib import Path

import click

from deconfuse.cli.options import PLACE, force_option, to_stdout
from deconfuse.cli.output import refuse_output, say, write_result


@click.command(short_help="Write labelled images as a Ground Truth manifest.")
@click.argument("source", type=PLACE)
@click.option("--s3", "prefix", metavar="s3://BUCKET/PREFIX", help="Where the images are, or will be, in S3.")
@click.option(
    "--output",
    "-o",
    type=PLACE,
    callback=to_stdout,
    default="-",
    help="The manifest to write; - is stdout.  [default: -]",
)
@force_option
def convert(source: Path, prefix: str | None, output: Path | None, force: bool) -> None:
    """Write SOURCE as a Ground Truth manifest.

    SOURCE is a folder of label folders, a CSV file with the columns image,label[,label…], a COCO object detection
    file, or the output of a SageMaker multi-label labelling job; - is stdin. Folders, COCO files and tables of plain
    paths need --s3: the address of an image is the prefix followed by its path.

    An image may occur once in a manifest: if one comes twice, all that do are listed and nothing is written.
    """
    from datetime import UTC, datetime

    from deconfuse.engine.conversion import manifest_lines

    refuse_output(output, force=force)
    notes: list[str] = []
    lines = list(manifest_lines(source, prefix, created=datetime.now(UTC), notes=notes))
    write_result(b"".join(lines), output, force=force)
    for note in notes:
        say(f"note: {note}")
    say(f"{len(lines):,} {'line' if len(lines) == 1 else 'lines'}")

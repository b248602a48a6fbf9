"""`deconfuse export`: the model to take away."""

from __future__ import annotations

from pathlib import Path

import click

from deconfuse.cli.options import PLACE, force_option
from deconfuse.cli.output import refuse_output, show


@click.command(short_help="Write the model of a run as one ONNX graph.")
@click.argument("run", type=PLACE)
@click.option("--onnx", "file", type=PLACE, required=True, help="The ONNX file to write.")
@force_option
def export(run: Path, file: Path, force: bool) -> None:
    """Write the model of RUN as one ONNX graph, from pixels to label probabilities.

    Its input is uint8[n, S, S, 3], RGB, after the resize rule named in the metadata; normalisation, temperature and
    softmax (or the sigmoids) are inside; labels and thresholds stand in the metadata.
    """
    from deconfuse import app

    refuse_output(file, force=force, option="--onnx")
    app.export_onnx(run, file, replace=force)
    show(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)\n")

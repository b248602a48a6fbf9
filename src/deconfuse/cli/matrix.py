"""`deconfuse matrix` and `deconfuse images`: what a model confuses, and the images behind one cell."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deconfuse.cli.options import PLACE, bucket_option, force_option, quiet_option, to_stdout
from deconfuse.cli.output import refuse_output, say, write_result
from deconfuse.cli.source import evaluate, read_labels, show_notes, with_source_options

if TYPE_CHECKING:
    import pyarrow as pa

    from deconfuse.engine.evaluation import Evaluation
    from deconfuse.measure.matrix import Matrix

FORMATS = ("table", "csv", "json", "md", "latex", "html", "svg", "png")
SUFFIXES = {
    "": "table",
    ".txt": "table",
    ".csv": "csv",
    ".json": "json",
    ".md": "md",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
    ".svg": "svg",
    ".png": "png",
}
NO_LABEL_NAMES = ("", "(no label)")


@click.command(short_help="Show the confusion matrix of a run, predictions or a summary.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the name of --output, else table.")
@click.option(
    "--normalize",
    type=click.Choice(["none", "true", "pred", "all"]),
    default="none",
    show_default=True,
    help="Shares of the true label, of the predicted label, or of all; none: counts with shares of the true label.",
)
@click.option(
    "--orientation",
    type=click.Choice(["true", "aws"]),
    default="true",
    show_default=True,
    help="What stands on rows: the true labels, or, as on AWS's pages, the predicted ones.",
)
@click.option("--labels", "chosen", metavar="A,B|@FILE", help="Only these labels; the others are summed as (other).")
@click.option("--wide", is_flag=True, help="CSV as a table instead of one pair a line.")
@click.option(
    "--findings",
    "n_findings",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="How many findings to print below the table.",
)
@with_source_options
@click.option("--font", type=PLACE, help="PNG: a TrueType or OpenType file for all text.")
@click.option("--output", "-o", type=PLACE, callback=to_stdout, help="Write to this file; - is stdout.")
@force_option
@quiet_option
def matrix(
    source: str | None,
    form: str | None,
    normalize: str,
    orientation: str,
    chosen: str | None,
    wide: bool,
    n_findings: int,
    font: Path | None,
    output: Path | None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Show the confusion matrix of SOURCE.

    SOURCE is a run directory; a CSV, JSON-lines or Parquet file of predictions (one row an image) or of counts (one
    row a pair); a matrix that this command wrote; a Rekognition evaluation summary or manifest snapshot; any of these
    files at s3://bucket/key; or - for stdin.

    \b
    Without SOURCE, of a model of Amazon Rekognition Custom Labels, or of a service of deconfuse:
    deconfuse matrix --project P --version V [--profile NAME] [--region NAME] [--endpoint-url URL]
    """
    form = form or _form_of(output)
    _check_options(form, wide=wide, font=font, output=output)
    refuse_output(output, force=force)
    evaluation = evaluate(source, labels=read_labels(chosen), **options).evaluation
    if not quiet:
        show_notes(evaluation)
    shape = {"normalize": normalize, "orientation": orientation}
    if form == "table":
        _table(evaluation, shape, n_findings=n_findings, output=output, force=force)
    else:
        data = _file(evaluation, form, shape, wide=wide, font=font)
        write_result(data, output, force=force)


def _form_of(output: Path | None) -> str:
    """The format that the ending of `output` says.

    Raises:
        Invalid: it says none.
    """
    from deconfuse.errors import Invalid

    ending = output.suffix.lower() if output else ""
    if ending not in SUFFIXES:
        why = f"the ending {ending} is no format; there are: {', '.join(filter(None, SUFFIXES))}. Or say --format"
        raise Invalid("--output", why)
    return SUFFIXES[ending]


def _check_options(form: str, *, wide: bool, font: Path | None, output: Path | None) -> None:
    from deconfuse.errors import Invalid

    if wide and form != "csv":
        raise Invalid("--wide", f"it belongs to --format csv, not to {form}")
    if font and form != "png":
        raise Invalid("--font", f"it belongs to --format png, not to {form}")
    if form == "png" and output is None and sys.stdout.isatty():
        raise Invalid("--format", "a terminal cannot show PNG; name a file with --output")


def _table(
    evaluation: Evaluation,
    shape: dict[str, str],
    *,
    n_findings: int,
    output: Path | None,
    force: bool,
) -> None:
    from deconfuse.cli.terminal import terminal
    from deconfuse.engine.showing import stamp
    from deconfuse.report import text

    screen = terminal()
    color = screen.color and output is None
    said = text.evaluation_text(
        evaluation.matrix,
        width=screen.width,
        color=color,
        stamp=stamp(evaluation),
        notes=evaluation.notes,
        binary=evaluation.binary,
        is_exact=evaluation.is_exact,
        **shape,  # type: ignore[arg-type]
    )
    if n_findings and evaluation.findings:
        said += "\n" + text.findings_text(evaluation.findings, width=screen.width, color=color, limit=n_findings)
    write_result(said, output, force=force)


def _file(evaluation: Evaluation, form: str, shape: dict[str, Any], *, wide: bool, font: Path | None) -> str | bytes:
    """The matrix in a format that is no terminal's."""
    from deconfuse.engine.showing import stamp
    from deconfuse.report import exports
    from deconfuse.report.text import headline_text, stamp_text

    shown: Matrix = evaluation.matrix
    title = "Confusion matrix"
    caption = (
        stamp_text(stamp(evaluation)),
        headline_text(shown, binary=evaluation.binary, is_exact=evaluation.is_exact),
    )
    if form == "csv":
        return exports.matrix_csv(shown, wide=wide, **shape)
    if form == "json":
        return exports.matrix_json(
            shown,
            normalize=shape["normalize"],
            title=evaluation.title,
            kind=evaluation.kind,
            stamp=stamp(evaluation),
            thresholds=evaluation.thresholds,
            findings=evaluation.findings,
            problems=evaluation.problems,
            notes=evaluation.notes,
            binary=evaluation.binary,
            is_exact=evaluation.is_exact,
        )
    if form == "md":
        return exports.matrix_markdown(shown, caption=caption, **shape)
    if form == "latex":
        return exports.matrix_latex(shown, caption=caption, **shape)
    if form == "html":
        return exports.matrix_html(shown, title=title, caption=caption, **shape)
    from deconfuse.report import drawing

    if form == "svg":
        return drawing.matrix_svg(shown, title=title, caption=caption, **shape)
    return drawing.matrix_png(shown, title=title, caption=caption, font=read_font(font), **shape)


def read_font(path: Path | None) -> bytes | None:
    """The bytes of a font file, None for none.

    Raises:
        NotFound: it cannot be read.
    """
    from deconfuse.errors import NotFound

    try:
        return None if path is None else path.read_bytes()
    except OSError:
        raise NotFound("font", str(path)) from None


@click.command(short_help="List the images of one cell of the matrix, surest first.")
@click.option("--true", "true", metavar="A", help='The true label; "(no label)" for none.  [default: any]')
@click.option("--predicted", metavar="B", help='The predicted label; "(no label)" for none.  [default: any]')
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "paths"]), default="table", show_default=True
)
@with_source_options
@bucket_option
@quiet_option
def images(
    source: str | None,
    true: str | None,
    predicted: str | None,
    form: str,
    buckets: dict[str, Path],
    quiet: bool,
    **options: Any,
) -> None:
    """List the images of one cell of the matrix of SOURCE, surest first.

    SOURCE is a run directory, or another source that names its images: predictions with a column of paths, or a
    manifest snapshot; without SOURCE, a model that --project and --version name. With --format paths every line is a
    path on this machine.
    """
    from deconfuse.engine.showing import cell_images
    from deconfuse.errors import Invalid

    if true is None and predicted is None:
        raise Invalid("--true, --predicted", "name the true label, the predicted label, or both")
    evaluation = evaluate(source, **options).evaluation
    if not quiet:
        show_notes(evaluation)
    cell = (find_label(true, evaluation.labels, "--true"), find_label(predicted, evaluation.labels, "--predicted"))
    found = cell_images(evaluation, true=cell[0], predicted=cell[1])
    if form == "paths":
        said = "".join(f"{path}\n" for path in _paths(found, evaluation, buckets))
    elif form == "table":
        said = _image_table(found, cell)
    else:
        said = (_image_csv if form == "csv" else _image_json)(found)
    write_result(said, None, force=False)


def find_label(name: str | None, labels: Sequence[str], option: str) -> str | None:
    """The label called `name`: ANY where no name is given, None for *no label*.

    Raises:
        NotFound: there is none; the message names those that come nearest.
    """
    from deconfuse.engine.showing import ANY
    from deconfuse.errors import NotFound
    from deconfuse.names import label_key

    if name is None:
        return ANY
    if name in labels:
        return name
    if name in NO_LABEL_NAMES:
        return None
    import difflib

    by_key = {label_key(label): label for label in labels}
    near = [by_key[key] for key in difflib.get_close_matches(label_key(name), by_key, n=3, cutoff=0.5)]
    if near:
        remedy = f"Did you mean {' or '.join(map(repr, near))}?"
    else:
        shown = ", ".join(map(repr, labels[:10])) + (", …" if len(labels) > 10 else "")
        remedy = f"There are: {shown}"
    raise NotFound(f"label ({option})", repr(name), remedy)


def _image_table(found: pa.Table, cell: tuple[str | None, str | None]) -> str:
    from deconfuse.cli.terminal import terminal
    from deconfuse.engine.showing import ANY
    from deconfuse.measure.text import percent_text
    from deconfuse.report.grid import label_text
    from deconfuse.report.terminal import join_lines, printable, wrap

    true, predicted = cell
    sentence = f"{found.num_rows:,} {'image' if found.num_rows == 1 else 'images'}"
    sentence += "" if true == ANY else f", truly {printable(label_text(true))}"
    sentence += "" if predicted == ANY else f", called {printable(label_text(predicted))}"
    lines = wrap(sentence + (", surest first:" if found.num_rows > 1 else "."), terminal().width)
    values = found.to_pydict()
    for uri, probability in zip(values["uri"], values["probability"], strict=True):
        share = "" if probability is None else percent_text(round(probability, 6), 1.0, decimals=1)
        lines.append(f"{share:>7}  {printable(uri)}")
    return join_lines(lines)


def _image_csv(found: pa.Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", "true_label", "predicted_label", "probability"])
    for row in found.to_pylist():
        probability = "" if row["probability"] is None else f"{row['probability']:.6f}"
        writer.writerow([row["uri"], *(_joined(row[name]) for name in ("true", "predicted")), probability])
    return out.getvalue()


def _joined(labels: str | list[str] | None) -> str:
    """A label, or several as one text; nothing for none."""
    if labels is None or isinstance(labels, str):
        return labels or ""
    return ";".join(labels)


def _image_json(found: pa.Table) -> str:
    rows = [
        {
            "image": row["uri"],
            "true_label": row["true"],
            "predicted_label": row["predicted"],
            "probability": None if row["probability"] is None else round(row["probability"], 6),
        }
        for row in found.to_pylist()
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def _paths(found: pa.Table, evaluation: Evaluation, buckets: dict[str, Path]) -> list[str]:
    """Where the images lie on this machine; what is not known here is said on stderr and left out."""
    from deconfuse.engine.imports import find_image
    from deconfuse.errors import BadImage

    root = evaluation.images_root
    known = {"local": root, **buckets} if root is not None else buckets
    paths = []
    for uri in found.column("uri").to_pylist():
        try:
            paths.append(str(find_image(uri, root=root, buckets=known)))
        except BadImage as error:
            say(f"error: {uri}: {error} [{error.code}]")
    return paths

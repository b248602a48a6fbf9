"""`deconfuse train`: from labelled images to a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deconfuse.cli.options import PLACE, bucket_option, quiet_option
from deconfuse.cli.output import show, show_problems

if TYPE_CHECKING:
    from deconfuse.engine.run import Run
    from deconfuse.measure.matrix import Matrix

SHOWN_PROBLEMS = 20


@click.command(short_help="Train on labelled images, evaluate, write a run and its report.")
@click.argument("images", type=PLACE)
@click.option("--test", type=PLACE, help="The test images; any form that IMAGES may have.")
@click.option(
    "--output",
    "-o",
    type=PLACE,
    help="The run directory to write; must not exist, or be empty.  [default: runs/PROJECT/VERSION]",
)
@click.option("--project", metavar="P", help="Name of the project.  [default: the name of IMAGES]")
@click.option("--version", metavar="V", help="Name of the version.  [default: the next free number]")
@bucket_option
@click.option("--findings", "n_findings", type=click.IntRange(min=0), default=5, show_default=True, metavar="N")
@quiet_option
def train(
    images: Path,
    test: Path | None,
    output: Path | None,
    project: str | None,
    version: str | None,
    buckets: dict[str, Path],
    n_findings: int,
    quiet: bool,
) -> None:
    """Train a classifier on IMAGES, evaluate it, and write a run directory with its report.

    IMAGES is a folder with one folder a label (or train/ and test/ with label folders inside), a SageMaker Ground
    Truth manifest, or a CSV file with the columns image,label[,label…].

    Without test images, about every fifth image becomes one, chosen by its content, so that the same image is on
    the same side in every later training.
    """
    from deconfuse import app, errors
    from deconfuse.cli.progress import bars

    try:
        with bars(quiet=quiet) as progress:
            run = app.train(
                images, test=test, output=output, project=project, version=version, buckets=buckets, progress=progress
            )
    except errors.Untrainable as error:
        show_problems(error.problems, limit=None)
        raise
    if quiet:
        show(f"{run.path}\n")
        return
    show_problems(run.problems, limit=SHOWN_PROBLEMS, rest="all in report.html")
    show_run(run, n_findings=n_findings)


def show_run(run: Run, *, n_findings: int) -> None:
    """Print what a training gave: its notes, the matrix, the findings, where everything is, what to do next."""
    from deconfuse.cli.terminal import terminal
    from deconfuse.report import text

    screen = terminal()
    found = run.evaluation()
    parts = [
        text.evaluation_text(found.matrix, width=screen.width, color=screen.color, notes=run.notes, binary=found.binary)
    ]
    if n_findings:
        parts.append(text.findings_text(found.findings, width=screen.width, color=screen.color, limit=n_findings))
    parts.append(f"run     {run.path}\nreport  {run.path / 'report.html'}\n{next_step(run, found.matrix)}")
    show("\n".join(parts))


def next_step(run: Run, matrix: Matrix) -> str:
    """The command that shows the images of the cell that most deserves it, or nothing."""
    import shlex

    if not matrix.most_confused(1):
        return ""
    pair = matrix.most_confused(1)[0]
    cell = f"--true {shlex.quote(pair.true)} --predicted {shlex.quote(pair.predicted)}"
    return f"next    deconfuse images {shlex.quote(str(run.path))} {cell}\n"

"""`deconfuse predict`: labels and probabilities of new images."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deconfuse.cli.options import PLACE, quiet_option
from deconfuse.cli.output import say, show


@click.command(short_help="Say which labels the model of a run gives to images.")
@click.argument("run", type=PLACE)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|DIR|- …")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="How many labels an image.")
@click.option(
    "--threshold", metavar="X|assumed", help="Only labels with at least this probability (assumed: each label's own)."
)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@quiet_option
def predict(run: Path, images: tuple[str, ...], top: int, threshold: str | None, form: str, quiet: bool) -> None:
    """Say which labels the model of RUN gives to images, most probable first.

    Directories are searched for images; - reads one image from stdin. Images that cannot be read are listed on
    stderr, the others are answered; the exit code is 5 when not a single one could be read.
    """
    from deconfuse import app, errors
    from deconfuse.cli.progress import bars
    from deconfuse.engine.predictor import parse_threshold

    level = parse_threshold(threshold)
    opened = app.open_run(run)
    with bars(quiet=quiet) as progress:
        data = sys.stdin.buffer.read() if "-" in images else None
        answers = opened.answer(images, stdin=data, progress=progress)
    good = [answer for answer in answers if answer.problem is None]
    for answer in answers:
        if answer.problem is not None:
            say(f"error: {answer.uri}: {answer.problem.message} [{answer.problem.code}]")
    show(_FORMATS[form]([(answer.uri, answer.labels(top=top, threshold=level)) for answer in good]))
    if not good:
        raise errors.BadData("no image could be read" if answers else f"{', '.join(images)}: no image is in it")


def _table(answers: list[tuple[str, list[tuple[str, float]]]]) -> str:
    from deconfuse.report.terminal import columns, printable

    width = max((columns(printable(uri)) for uri, _ in answers), default=0)
    lines = []
    for uri, labels in answers:
        said = "   ".join(f"{printable(label)} {probability:.1%}" for label, probability in labels) or "no label"
        shown = printable(uri)
        lines.append(f"{shown}{' ' * (width - columns(shown))}  {said}\n")
    return "".join(lines)


def _csv(answers: list[tuple[str, list[tuple[str, float]]]]) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", "rank", "predicted_label", "probability"])
    for uri, labels in answers:
        writer.writerows([uri, rank, label, f"{value:.6f}"] for rank, (label, value) in enumerate(labels, start=1))
        if not labels:
            writer.writerow([uri, 1, "", ""])
    return out.getvalue()


def _json(answers: list[tuple[str, list[tuple[str, float]]]]) -> str:
    import json

    rows = [
        {"image": uri, "labels": [{"label": label, "probability": round(value, 6)} for label, value in labels]}
        for uri, labels in answers
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


_FORMATS = {"table": _table, "csv": _csv, "json": _json}

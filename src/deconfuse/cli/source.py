"""What a command looks at: SOURCE, or a model of a live service; and the options that say how it is read.

A command gets `with_source_options` and calls `evaluate`; everything that SOURCE and the flags can contradict each
other in is said here.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deconfuse.cli.options import Decorator, with_options
from deconfuse.cli.output import show_problems

if TYPE_CHECKING:
    from deconfuse.engine.evaluation import Evaluation
    from deconfuse.engine.remote import Remote

SHOWN_PROBLEMS = 5

source_options: tuple[Decorator, ...] = (
    click.argument("source", required=False),
    click.option(
        "--split",
        type=click.Choice(["test", "train", "all"]),
        default="test",
        show_default=True,
        help="Which images of a run; train is out-of-fold.",
    ),
    click.option(
        "--threshold", metavar="X|assumed", help="Below it an image has no label (assumed: each label's own)."
    ),
    click.option("--true-column", metavar="NAME", help="The column that holds the true label."),
    click.option("--predicted-column", metavar="NAME", help="The column that holds the predicted label."),
    click.option("--input-format", "format", type=click.Choice(["csv", "jsonl", "parquet"]), help="What SOURCE is."),
    click.option("--project", metavar="P", help="A project of a service, by name or ARN, instead of SOURCE."),
    click.option("--version", metavar="V", help="The version of the project; may be left out if there is one."),
    click.option("--profile", metavar="NAME", help="The profile of the AWS configuration to ask with."),
    click.option("--endpoint-url", metavar="URL", help="Where the service answers; by default AWS itself."),
    click.option("--region", metavar="NAME", help="The AWS region; by default that of the profile."),
)


with_source_options = with_options(source_options)
"""Gives a command the options that say how SOURCE is read."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a command looks at.

    Attributes:
        evaluation: it.
        remote: the service it came from, which may have its images; None for what lies here.
    """

    evaluation: Evaluation
    remote: Remote | None = None


@dataclass(frozen=True, slots=True)
class _Flags:
    """The flags of a live service, None where not given."""

    project: str | None
    version: str | None
    profile: str | None
    endpoint_url: str | None
    region: str | None

    def given(self) -> list[str]:
        """The names of those that were given, but --project."""
        values = {
            "--version": self.version,
            "--profile": self.profile,
            "--endpoint-url": self.endpoint_url,
            "--region": self.region,
        }
        return [name for name, value in values.items() if value is not None]


def evaluate(
    source: str | None,
    *,
    threshold: str | None,
    labels: Sequence[str] | None = None,
    project: str | None,
    version: str | None,
    profile: str | None,
    endpoint_url: str | None,
    region: str | None,
    **options: Any,
) -> Looked:
    """The evaluation of what the user named as SOURCE or by --project, read as the options say.

    Raises:
        UsageError: neither is given, or both are, or flags that do not belong to what is given.
    """
    from deconfuse.engine.evaluation import read_evaluation
    from deconfuse.engine.predictor import parse_threshold

    flags = _Flags(project, version, profile, endpoint_url, region)
    _check_flags(source, flags)
    limit = parse_threshold(threshold)
    if source is not None and not source.startswith("s3://"):
        place: Any = "-" if source == "-" else Path(source)
        return Looked(read_evaluation(place, threshold=limit, labels=labels, **options))
    from deconfuse.engine.remote import open_remote
    from deconfuse.engine.trained import find_trained, read_trained
    from deconfuse.names import parse_s3

    remote = open_remote(profile=profile, endpoint_url=endpoint_url, region=region)
    if source is not None:
        with remote.open(parse_s3(source)) as stream:
            found = read_evaluation(stream, threshold=limit, labels=labels, name=source, **options)
        return Looked(found, remote)
    _check_options(**options)
    assert project is not None
    trained = find_trained(remote, project, version)
    return Looked(read_trained(remote, trained, threshold=limit, labels=labels), remote)


def _check_flags(source: str | None, flags: _Flags) -> None:
    """Return if SOURCE and the flags of a service go together."""
    if source is None and flags.project is None:
        if flags.given():
            raise click.UsageError(f"{flags.given()[0]} needs --project, which says what to look at")
        raise click.UsageError("Missing argument 'SOURCE'; or name a model with --project and --version")
    if source is None:
        return
    if flags.project is not None:
        raise click.UsageError("SOURCE and --project both say what to look at; give one of them")
    if flags.version is not None:
        raise click.UsageError("--version needs --project instead of SOURCE")
    if flags.given() and not source.startswith("s3://"):
        raise click.UsageError(f"{flags.given()[0]} needs --project or an s3:// address as SOURCE")


def _check_options(
    *,
    split: str,
    format: str | None,  # noqa: A002
    true_column: str | None,
    predicted_column: str | None,
) -> None:
    """Return if the options make sense for a model of a service."""
    if split != "test":
        raise click.UsageError(f"--split {split} belongs to a run; a service evaluates its test images")
    for name, value in (
        ("--input-format", format),
        ("--true-column", true_column),
        ("--predicted-column", predicted_column),
    ):
        if value is not None:
            raise click.UsageError(f"{name} belongs to a table, not to --project")


def read_labels(text: str | None) -> list[str] | None:
    """Labels as given to --labels: separated by commas (quoted as in CSV), or @FILE with one a line.

    Raises:
        Invalid: there is none, or one twice.
        NotFound: the file is not there.
    """
    from deconfuse.errors import Invalid, NotFound

    if text is None:
        return None
    if text.startswith("@"):
        try:
            content = Path(text[1:]).read_text(encoding="utf-8-sig")
        except OSError:
            raise NotFound("file of labels", text[1:]) from None
        except UnicodeDecodeError:
            raise Invalid("--labels", f"{text[1:]} is not text in UTF-8") from None
        labels = [line.strip() for line in content.splitlines()]
    else:
        labels = [label.strip() for label in next(csv.reader([text], skipinitialspace=True))]
    labels = [label for label in labels if label]
    if not labels:
        raise Invalid("--labels", "no label is named")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise Invalid("--labels", f"{repeated[0]!r} is named twice")
    return labels


def show_notes(evaluation: Evaluation) -> None:
    """Say on stderr what could not be used, at most `SHOWN_PROBLEMS` of it."""
    show_problems(evaluation.problems, limit=SHOWN_PROBLEMS, rest="all in `deconfuse matrix --format json`")

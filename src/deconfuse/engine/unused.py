"""Images that a training elsewhere could not use: how many of how many, and what was wrong with each.

    ManifestSummary-….json                     how many lines of each side are used     `unused_text`
    …ManifestWithValidation-….json, one a side what is wrong with each of the others    `read_unused`

A training goes on while at most a fifth of its lines are bad, and of those the evaluation says nothing: they stand in
these files only. None of the files is needed for a matrix, so one that cannot be read is a sentence and no error. The
large ones, which repeat every line that was trained with, are read only where the small one counts something that they
explain, and no further than the limits below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from deconfuse.engine.remote import Remote
from deconfuse.errors import BadData, DeconfuseError, LimitExceeded, Problem
from deconfuse.formats.validation import count_unused, read_validation_manifest, unused_images
from deconfuse.names import ObjectAddress
from deconfuse.tables import Split

MAX_SUMMARY_BYTES = 16 << 20
"""A manifest summary has a number for each bad line; for all of the 250,000 that Rekognition allows these are 5 MB."""

MAX_MANIFEST_BYTES = 64 << 20
"""So much of a manifest with validation is looked through; with one label an image this is some 200,000 lines."""

MAX_LINE_BYTES = 1 << 20
"""A line of a manifest has at most 100,000 characters, to which come the words about it."""

MAX_PROBLEMS = 10_000
"""So many problems are kept."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Where a training says which lines it could not use; None for what is not told.

    Attributes:
        summary: the manifest summary.
        train: the training manifest with validation,
        test: and the test manifest.
    """

    summary: ObjectAddress | None = None
    train: ObjectAddress | None = None
    test: ObjectAddress | None = None


def unused_text(remote: Remote, told: Validation) -> str:
    """How many images could not be used, and which files say why; empty where all were used, or nothing is told."""
    return _counted(remote, told)[0]


def read_unused(remote: Remote, told: Validation) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """(sentences, problems): `unused_text`, and what is wrong with each line that could not be used.

    Lines count in the file that the sentence names. Where not everything can be read, a sentence says so.
    """
    text, places = _counted(remote, told)
    notes, problems = [text] if text else [], list[Problem]()
    for split, address in places.items():
        try:
            with remote.open(address) as body:
                for problem in read_validation_manifest(_lines(body, address), split):
                    if len(problems) == MAX_PROBLEMS:
                        raise LimitExceeded(f"there are more than {MAX_PROBLEMS:,}")
                    problems.append(problem)
        except DeconfuseError as error:
            notes.append(_sentence("Not all reasons are listed here", error))
    return tuple(notes), tuple(problems)


def _counted(remote: Remote, told: Validation) -> tuple[str, Mapping[Split, ObjectAddress]]:
    """`unused_text`, and the files of those sides that have something to say."""
    if told.summary is None:
        return "", {}
    try:
        counts = _counts(remote, told.summary)
    except DeconfuseError as error:
        return _sentence("It is not known whether every image could be used", error), {}
    n_unused, n_images, places = unused_images(counts, {"train": told.train, "test": told.test})
    if not n_unused:
        return "", {}
    where = f"; the reasons stand in {' and '.join(map(str, places.values()))}" if places else ""
    return f"{n_unused:,} of {n_images:,} images could not be used{where}.", places


def _counts(remote: Remote, address: ObjectAddress) -> Mapping[Split, tuple[int, int]]:
    data = remote.read(address, limit=MAX_SUMMARY_BYTES)
    try:
        return count_unused(data)
    except BadData as error:
        raise BadData(f"{address}: {error}") from None


def _lines(body: BinaryIO, address: ObjectAddress) -> Iterator[bytes]:
    """The lines of a manifest.

    Raises:
        LimitExceeded: a line, or all together, have more bytes than are read.
    """
    left = MAX_MANIFEST_BYTES
    while line := body.readline(MAX_LINE_BYTES + 1):
        left -= len(line)
        if len(line) > MAX_LINE_BYTES or left < 0:
            most = MAX_LINE_BYTES if left >= 0 else MAX_MANIFEST_BYTES
            raise LimitExceeded(f"{address} has {'a line of ' if left >= 0 else ''}more than {most:,} bytes")
        yield line


def _sentence(what: str, error: DeconfuseError) -> str:
    return f"{what}: {str(error).rstrip('.')}."

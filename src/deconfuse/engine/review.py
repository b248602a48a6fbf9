"""What only all samples together show, once their images were hashed: alike labels, repeated images, small images.

Every finding is a warning, and no sample is left out because of it: the same image under two labels counts for both,
and a test image that was trained on is still tested, with its number said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deconfuse.errors import Problem
from deconfuse.names import alike, natural_key
from deconfuse.tables import Split
from deconfuse.vision.images import Facts

SMALL_SIDE = 64
"""Pixels; an image with a shorter side is enlarged, and shows little."""

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A sample whose image was read, as `review` wants it.

    Attributes:
        uri: its address.
        sha256: of the image's bytes.
        labels: its true labels.
        split: its side.
        line: of the manifest or CSV, or None.
        facts: of the image, or None where they are not known.
    """

    uri: str
    sha256: str
    labels: tuple[str, ...]
    split: Split
    line: int | None = None
    facts: Facts | None = None


def review(rows: Sequence[Row]) -> tuple[Problem, ...]:
    """What only all samples together show; every finding is a warning, and nothing is left out because of it.

    WARNING_LABELS_ALIKE: labels that differ only by case, Unicode form or outer blanks.
    WARNING_CONFLICTING_LABELS: the same image with different labels.
    WARNING_TEST_IMAGES_IN_TRAINING: how many test images are training images too; then, for each,
    WARNING_IMAGE_IN_BOTH_SETS.
    WARNING_DUPLICATE_IMAGE: the same image with the same labels several times on one side.
    WARNING_SMALL_IMAGE: an image with a side under 64 pixels; beyond twenty, how many there are.
    """
    rows = sorted(rows, key=lambda row: (row.split != "train", row.line or 0, natural_key(row.uri)))
    same: dict[str, list[Row]] = {}
    for row in rows:
        same.setdefault(row.sha256, []).append(row)
    repeated = [group for group in same.values() if len(group) > 1]
    return (
        *_alike(rows),
        *_conflicts(repeated),
        *_leaks(repeated, sum(row.split == "test" for row in rows)),
        *_duplicates(repeated),
        *_small(rows),
    )


def _alike(rows: Sequence[Row]) -> Iterator[Problem]:
    for group in alike({label for row in rows for label in row.labels}):
        names = " and ".join(ascii(label) if not label.isascii() else repr(label) for label in group)
        message = f"the labels {names} look alike and are kept apart; give them one spelling if they mean the same"
        yield Problem("WARNING_LABELS_ALIKE", message, level="warning")


def _conflicts(groups: Iterable[list[Row]]) -> Iterator[Problem]:
    for group in groups:
        if len({frozenset(row.labels) for row in group}) > 1:
            places = _listed(f"{_place(row)} ({', '.join(row.labels)})" for row in group)
            message = f"the same image has different labels: {places}; it counts for each of them"
            yield _warning("WARNING_CONFLICTING_LABELS", message, group[0], split=None)


def _leaks(groups: Iterable[list[Row]], n_test: int) -> Iterator[Problem]:
    pairs = []
    for group in groups:
        trained = next((row for row in group if row.split == "train"), None)
        pairs += [(row, trained) for row in group if row.split == "test" and trained is not None]
    if pairs:
        message = f"{len(pairs):,} of {n_test:,} test images are training images too, so the scores are too good"
        yield Problem("WARNING_TEST_IMAGES_IN_TRAINING", message, level="warning")
    for row, trained in pairs:
        message = f"this test image is the same as the training image {_place(trained)}"
        yield _warning("WARNING_IMAGE_IN_BOTH_SETS", message, row, split="test")


def _duplicates(groups: Iterable[list[Row]]) -> Iterator[Problem]:
    for group in groups:
        same: dict[tuple[Split, frozenset[str]], list[Row]] = {}
        for row in group:
            same.setdefault((row.split, frozenset(row.labels)), []).append(row)
        for (split, _), rows in same.items():
            if len(rows) > 1:
                message = f"the same image counts {len(rows):,} times: {_listed(_place(row) for row in rows)}"
                yield _warning("WARNING_DUPLICATE_IMAGE", message, rows[1], split=split)


def _small(rows: Sequence[Row]) -> Iterator[Problem]:
    small = [(row, f) for row in rows if (f := row.facts) is not None and min(f.width, f.height) < SMALL_SIDE]
    for row, facts in small[:_SHOWN]:
        message = (
            f"the image is {facts.width} x {facts.height} pixels and is enlarged; under {SMALL_SIDE} little is seen"
        )
        yield _warning("WARNING_SMALL_IMAGE", message, row, split=row.split)
    if len(small) > _SHOWN:
        message = f"{len(small):,} images have a side under {SMALL_SIDE} pixels and are enlarged; the first are named"
        yield Problem("WARNING_SMALL_IMAGE", message, level="warning")


def _warning(code: str, message: str, row: Row, *, split: Split | None) -> Problem:
    return Problem(code, message, level="warning", uri=row.uri, line=row.line, split=split)


def _place(row: Row) -> str:
    return row.uri if row.line is None else f"{row.uri} (line {row.line})"


def _listed(places: Iterable[str]) -> str:
    all_places = list(places)
    more = f" and {len(all_places) - _SHOWN:,} more" if len(all_places) > _SHOWN else ""
    return ", ".join(all_places[:_SHOWN]) + more

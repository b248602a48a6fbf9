"""Which fifth of a training dataset becomes the test dataset.

Lines that have the same labels are put in the order of a hash of their source-ref, one set of labels after the other,
and every fifth is chosen. So a fifth of every set of labels goes, one line more or less, and the choice depends on
nothing but the addresses and labels that there are: done again, it is the same.

Then labels lend, as in `learn.trial.holdout`: a label with two lines and more has at least one on each side, training
first, and the only line of a label trains.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import BadManifest

ONE_IN = 5

_MIDDLE = ONE_IN // 2

Numbers = NDArray[np.int64]


def choose(lines: Iterable[tuple[int, str, tuple[str, ...]]]) -> Numbers:
    """The numbers of the lines that go to the test dataset, ascending.

    Args:
        lines: (number, source-ref, labels by code point) of each line, in any order.

    Raises:
        BadManifest: no line with a label can go.
    """
    choice = _Choice(lines)
    choice.take_every_fifth()
    choice.lend()
    if not choice.labeled[choice.stratum[choice.chosen]].any():
        why = "there are not enough labeled images to distribute: some label needs two images at least"
        raise BadManifest(None, why, code="ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE")
    return np.sort(choice.numbers[choice.chosen])


class _Choice:
    """All lines, 24 bytes each, by stratum: the lines that have the same labels.

    Attributes:
        numbers: int64[n].
        hashes: uint64[n], of the addresses.
        stratum: int64[n], index of the labels of each line.
        labels_of: the labels of each stratum.
        labeled: bool[strata], whether there are any.
        strata_of: the strata that have a label.
        chosen: bool[n].
    """

    def __init__(self, lines: Iterable[tuple[int, str, tuple[str, ...]]]) -> None:
        numbers, hashes, stratum = array("q"), array("Q"), array("q")
        known: dict[str, str] = {}
        strata: dict[tuple[str, ...], int] = {}
        for number, source_ref, labels in lines:
            numbers.append(number)
            hashes.append(int.from_bytes(hashlib.sha256(source_ref.encode()).digest()[:8], "big"))
            # One text for each label, however often it is read.
            stratum.append(strata.setdefault(tuple(known.setdefault(label, label) for label in labels), len(strata)))
        self.numbers = np.frombuffer(numbers, dtype=np.int64)
        self.hashes = np.frombuffer(hashes, dtype=np.uint64)
        self.stratum = np.frombuffer(stratum, dtype=np.int64)
        self.labels_of = list(strata)
        self.labeled = np.array([bool(labels) for labels in strata], dtype=np.bool_)
        self.strata_of: dict[str, list[int]] = {}
        for index, labels in enumerate(strata):
            for label in labels:
                self.strata_of.setdefault(label, []).append(index)
        self.chosen = np.zeros(len(self.numbers), dtype=np.bool_)

    def take_every_fifth(self) -> None:
        """Choose every fifth line, of those that are not the only one of some label."""
        sizes = self._sizes(np.ones_like(self.chosen))
        must_train = np.zeros(len(self.labels_of), dtype=np.bool_)
        for strata in self.strata_of.values():
            if sizes[strata].sum() == 1:
                must_train[strata] = True
        ranks = np.empty(len(self.labels_of), dtype=np.int64)
        ranks[sorted(range(len(self.labels_of)), key=lambda index: self.labels_of[index])] = np.arange(len(ranks))
        order = np.lexsort((self.numbers, self.hashes, ranks[self.stratum]))
        free = order[~must_train[self.stratum[order]]]
        self.chosen[free[_MIDDLE::ONE_IN]] = True

    def lend(self) -> None:
        """Give each label with two lines and more one on each side, where that leaves every label one in training."""
        train, test = self._sizes(~self.chosen), self._sizes(self.chosen)
        for label in sorted(self.strata_of):
            strata = self.strata_of[label]
            if not train[strata].sum():
                self._move(strata, train, test, is_chosen=True)
        for label in sorted(self.strata_of):
            strata = self.strata_of[label]
            if not test[strata].sum():
                spare = [index for index in strata if train[index] and self._can_spare(index, train)]
                self._move(spare, train, test, is_chosen=False)

    def _move(self, strata: list[int], train: Numbers, test: Numbers, *, is_chosen: bool) -> None:
        """Move one line of these strata to the other side: out of the test the largest hash, into it the smallest."""
        found = np.flatnonzero((self.chosen == is_chosen) & np.isin(self.stratum, strata))
        if not len(found):
            return
        hashes = self.hashes[found]
        line = found[hashes.argmax() if is_chosen else hashes.argmin()]
        self.chosen[line] = not is_chosen
        step = 1 if is_chosen else -1
        train[self.stratum[line]] += step
        test[self.stratum[line]] -= step

    def _can_spare(self, index: int, train: Numbers) -> bool:
        return all(train[self.strata_of[label]].sum() > 1 for label in self.labels_of[index])

    def _sizes(self, mask: NDArray[np.bool_]) -> Numbers:
        return np.bincount(self.stratum[mask], minlength=len(self.labels_of))

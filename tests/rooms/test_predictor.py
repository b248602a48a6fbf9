"""What a loaded model answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from deconfuse.engine.predictor import Answer, Predictor, parse_threshold
from deconfuse.errors import BadImage, Invalid
from deconfuse.learn.head import Head
from deconfuse.vision.backbone import Backbone, Card
from worlds import picture, tiny_model


@pytest.fixture
def predictor() -> Predictor:
    """A small model of three labels."""
    model = tiny_model()
    net = Backbone(Card("tiny", 32, "squash", "mean", 192, hashlib.sha256(model).hexdigest()), model)
    weights = np.random.default_rng(0).normal(size=(3, 192)).astype(np.float32)
    return Predictor(Head(("a", "b", "c"), weights, np.zeros(3, np.float32), 1.0, False), (0.9, 0.1, 0.5), net)


def answer(*scores: float) -> Answer:
    """An answer with these scores for the labels a, b, c and thresholds .9, .1, .5."""
    return Answer("x.png", ("a", "b", "c"), np.array(scores, np.float32), (0.9, 0.1, 0.5))


def test_labels_come_most_probable_first() -> None:
    """Equal probabilities keep the order of the labels."""
    assert [label for label, _ in answer(0.25, 0.5, 0.25).labels()] == ["b", "a", "c"]


def test_a_threshold_replaces_the_assumed_ones() -> None:
    """A number applies to all labels, a probability equal to it is enough, 0 gives all."""
    assert [label for label, _ in answer(0.5, 0.25, 0.25).labels(threshold=0.5)] == ["a"]
    assert len(answer(0.5, 0.25, 0.25).labels(threshold=0.0)) == 3


def test_assumed_thresholds_are_each_labels_own() -> None:
    """Several labels, or none, may reach theirs."""
    assert [label for label, _ in answer(0.3, 0.15, 0.55).labels(threshold="assumed")] == ["c", "b"]
    assert answer(0.85, 0.05, 0.1).labels(threshold="assumed") == []


def test_at_most_top_labels() -> None:
    """Top counts after the threshold."""
    assert len(answer(0.3, 0.3, 0.4).labels(top=2)) == 2


def test_probabilities_sum_to_one(predictor: Predictor) -> None:
    """A single-label model shares one certainty among its labels."""
    assert predictor.scores(picture("sun")).sum() == pytest.approx(1, abs=1e-6)


def test_bytes_that_are_no_image_are_refused(predictor: Predictor) -> None:
    """The caller hears why."""
    with pytest.raises(BadImage):
        predictor.scores(b"not an image")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bad_image_does_not_stop_the_others(predictor: Predictor, threads: int) -> None:
    """Answers come in order, the bad one with its problem."""
    files = {"1": picture("sun"), "2": b"", "3": picture("leaf"), "4": picture("sun")[:200]}
    fetch: Callable[[str], bytes] = files.__getitem__
    answers = list(predictor.answers(files, fetch, threads=threads))

    assert [found.uri for found in answers] == ["1", "2", "3", "4"]
    assert [found.problem is None for found in answers] == [True, False, True, False]
    assert answers[1].labels() == []


@pytest.mark.parametrize("text", ["-0.1", "1.1", "50", "nan", "inf", "half", ""])
def test_a_threshold_is_between_0_and_1(text: str) -> None:
    """Per cent and words are refused by the option's name."""
    with pytest.raises(Invalid, match="--threshold"):
        parse_threshold(text)


def test_a_threshold_may_be_left_out() -> None:
    """Nothing, a number, and the word for each label's own."""
    assert [parse_threshold(text) for text in (None, "0", ".5", "assumed")] == [None, 0.0, 0.5, "assumed"]

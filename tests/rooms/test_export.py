"""The exported graph says what `predict` says."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import onnxruntime as ort
import pytest

from deconfuse.engine.export import export_onnx
from deconfuse.engine.predictor import Predictor
from deconfuse.learn.head import Head
from deconfuse.vision.backbone import Backbone, Card
from deconfuse.vision.images import FOLDER_LIMITS, decode
from worlds import picture, tiny_model

LABELS = ("apple", "leaf", 'größer, "quoted"')


def backbone() -> Backbone:
    """A network of a few kilobytes."""
    model = tiny_model()
    return Backbone(Card("tiny", 32, "pad", "mean", 192, hashlib.sha256(model).hexdigest()), model)


def head(*, multi_label: bool) -> Head:
    """A head with weights of chance."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(3, 192)).astype(np.float32)
    return Head(LABELS, weights, rng.normal(size=3).astype(np.float32), 1.7, multi_label)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_graph_is_equal_to_predict(multi_label: bool) -> None:
    """Pixels by the card's rule give the same probabilities through the one graph as through backbone and head."""
    model, net = head(multi_label=multi_label), backbone()
    pictures = [picture("apple", number) for number in range(5)]
    session = ort.InferenceSession(export_onnx(net, model, thresholds=(0.5, 0.4, 0.3), name="tiny-1"))
    pixels = np.stack([net.pixels(decode(data, FOLDER_LIMITS)[0]) for data in pictures])

    expected = [Predictor(model, (0.5, 0.4, 0.3), net).scores(data) for data in pictures]
    (actual,) = session.run(["probabilities"], {"pixels": pixels})

    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_metadata_is_enough_to_use_the_file() -> None:
    """Labels in order, thresholds, and the resize rule with its side."""
    session = ort.InferenceSession(export_onnx(backbone(), head(multi_label=False), thresholds=(0.5,) * 3, name="t"))
    facts = session.get_modelmeta().custom_metadata_map

    assert json.loads(facts["labels"]) == list(LABELS)
    assert json.loads(facts["thresholds"]) == [0.5] * 3
    assert (facts["resize"], facts["side"], facts["multi_label"]) == ("pad", "32", "false")


def test_the_same_model_gives_the_same_bytes() -> None:
    """An exported file can be compared by its hash."""
    first, second = (export_onnx(backbone(), head(multi_label=True), thresholds=(0.5,) * 3, name="t") for _ in "ab")

    assert first == second
    assert len(first) < io.DEFAULT_BUFFER_SIZE * 4

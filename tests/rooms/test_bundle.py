"""The bundle: a head and its card as bytes, and what is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from deconfuse.errors import Damaged, Invalid
from deconfuse.learn.bundle import CARD_NAME, FORMAT, HEAD_NAME, read_bundle, write_bundle
from deconfuse.learn.head import Head


def head(*, multi_label: bool = False) -> Head:
    """A head with three labels on four dimensions."""
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    return Head(("blå", "猫", "a b"), weights, np.array([1, -1, 0.5], np.float32), 0.75, multi_label)


def changed(**keys: Any) -> dict[str, bytes]:
    """A bundle whose card has other values; None takes a key away."""
    files = write_bundle(head(), {})
    card = {**json.loads(files[CARD_NAME]), **keys}
    card = {key: value for key, value in card.items() if value is not None}
    return {**files, CARD_NAME: json.dumps(card).encode()}


def with_tensors(tensors: dict[str, np.ndarray]) -> dict[str, bytes]:
    """A bundle with other tensors, whose card knows their sha256."""
    content = save(tensors)
    return {**changed(head_sha256=hashlib.sha256(content).hexdigest()), HEAD_NAME: content}


@pytest.mark.parametrize("multi_label", [False, True])
def test_what_is_written_comes_back(multi_label: bool) -> None:
    """Every number of the head to the bit, and every key of the card."""
    card = {"project": "Café", "thresholds": [0.5, None, 1], "backbone": {"side": 224}, "created": None}
    again, read = read_bundle(write_bundle(head(multi_label=multi_label), card))

    expected = head(multi_label=multi_label)
    assert (again.labels, again.temperature, again.multi_label) == (expected.labels, 0.75, multi_label)
    assert again.weights.tobytes() == expected.weights.tobytes()
    assert again.bias.tobytes() == expected.bias.tobytes()
    assert {key: read[key] for key in card} == card


def test_the_same_head_and_card_give_the_same_bytes() -> None:
    """Whatever the order in which the card was filled; keys are sorted and letters are letters."""
    first = write_bundle(head(), {"b": 1, "a": {"d": 1, "c": 2}})
    second = write_bundle(head(), {"a": {"c": 2, "d": 1}, "b": 1})

    assert first == second
    assert list(json.loads(first[CARD_NAME])) == sorted(json.loads(first[CARD_NAME]))
    assert "猫".encode() in first[CARD_NAME]


def test_any_safetensors_reader_can_read_the_head() -> None:
    """Two tensors of 32-bit floats, under the names that the format says."""
    tensors = load(write_bundle(head(), {})[HEAD_NAME])

    assert {name: tensor.shape for name, tensor in tensors.items()} == {"weights": (3, 4), "bias": (3,)}


def test_weights_that_are_a_view_are_written_as_they_are_seen() -> None:
    """A transposed array is no trap."""
    turned = Head(("a", "b"), np.arange(6, dtype=np.float32).reshape(3, 2).T, np.zeros(2, np.float32), 1.0, False)
    again, _ = read_bundle(write_bundle(turned, {}))

    assert again.weights.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_other_files_beside_the_bundle_are_left_alone() -> None:
    """A run directory holds more than the bundle."""
    read_bundle({**write_bundle(head(), {}), "report.html": b"<html>"})


def test_a_card_that_agrees_with_the_head_may_say_so() -> None:
    """Keys of the head are welcome in the card when they are right."""
    assert read_bundle(write_bundle(head(), {"labels": ["blå", "猫", "a b"]}))[1]["multi_label"] is False


@pytest.mark.parametrize(
    "card",
    [
        {"labels": ["x", "y", "z"]},
        {"multi_label": True},
        {"when": float("nan")},
        {"what": object()},
        {"text": "\ud800"},
        {"thresholds": [0.5]},
        {"thresholds": [0.5, 2, 0.5]},
    ],
)
def test_a_card_that_disagrees_or_cannot_be_written_is_refused(card: dict[str, Any]) -> None:
    """Nothing is written that could not be read."""
    with pytest.raises(Invalid, match="card"):
        write_bundle(head(), card)


def test_a_head_with_values_that_are_not_finite_is_refused() -> None:
    """A broken model is found when it is written, not when it is used."""
    bad = Head(("a", "b"), np.full((2, 3), np.nan, np.float32), np.zeros(2, np.float32), 1.0, False)
    with pytest.raises(Invalid, match="not finite"):
        write_bundle(bad, {})


@pytest.mark.parametrize("name", [CARD_NAME, HEAD_NAME])
def test_a_missing_file_is_named(name: str) -> None:
    """The message says which of the two is missing."""
    files = {key: value for key, value in write_bundle(head(), {}).items() if key != name}
    with pytest.raises(Damaged, match=f"{name} is damaged: it is missing"):
        read_bundle(files)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"NaN", b"[" * 100_000, b'{"format": Infinity}', b"9" * 5000, b"{}"],
)
def test_a_card_that_is_none_is_damaged(content: bytes) -> None:
    """Not JSON, not UTF-8, not an object, too deep, without keys."""
    with pytest.raises(Damaged, match=r"card\.json"):
        read_bundle({**write_bundle(head(), {}), CARD_NAME: content})


@pytest.mark.parametrize("key", ["format", "labels", "multi_label", "temperature", "dimensions", "head_sha256"])
def test_a_card_without_a_key_is_damaged(key: str) -> None:
    """The message names the key."""
    with pytest.raises(Damaged, match=f"no '{key}'"):
        read_bundle(changed(**{key: None}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "deconfuse.head/99"),
        ("labels", "abc"),
        ("labels", ["a"]),
        ("labels", ["a", "b", "a"]),
        ("labels", ["a", "b", ""]),
        ("labels", ["a", "b", 3]),
        ("labels", ["a", "b", ["c"]]),
        ("labels", ["a", "b", "\ud800"]),
        ("labels", ["a", "b"]),
        ("multi_label", 1),
        ("multi_label", "false"),
        ("temperature", 0),
        ("temperature", -1.5),
        ("temperature", True),
        ("temperature", "1"),
        ("temperature", 10**400),
        ("dimensions", 5),
        ("dimensions", 4.0),
        ("dimensions", 0),
        ("dimensions", True),
        ("head_sha256", "0" * 64),
        ("head_sha256", 12),
        ("thresholds", [0.5, 0.5]),
        ("thresholds", [0.5, 0.5, 1.5]),
        ("thresholds", [0.5, 0.5, "x"]),
        ("thresholds", 0.5),
    ],
)
def test_a_card_with_an_impossible_value_is_damaged(key: str, value: Any) -> None:
    """Each key is checked, and so is that the two files belong together."""
    with pytest.raises(Damaged):
        read_bundle(changed(**{key: value}))


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": np.zeros((3, 4), np.float32)},
        {"weights": np.zeros((3, 4), np.float32), "bias": np.zeros(3, np.float32), "more": np.zeros(1)},
        {"weights": np.zeros((3, 4)), "bias": np.zeros(3, np.float32)},
        {"weights": np.zeros((4, 3), np.float32), "bias": np.zeros(3, np.float32)},
        {"weights": np.zeros((3, 4), np.float32), "bias": np.zeros((3, 1), np.float32)},
        {"weights": np.full((3, 4), np.inf, np.float32), "bias": np.zeros(3, np.float32)},
        {},
    ],
)
def test_other_tensors_are_damaged(tensors: dict[str, np.ndarray]) -> None:
    """One missing, one too many, another type, another shape, infinities, none."""
    with pytest.raises(Damaged, match=r"head\.safetensors"):
        read_bundle(with_tensors(tensors))


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}", b"PK\x03\x04"])
def test_a_head_that_is_no_safetensors_file_is_damaged(content: bytes) -> None:
    """A pickle, an archive, noise: nothing of it is executed, even when the card vouches for its sha256."""
    files = {**changed(head_sha256=hashlib.sha256(content).hexdigest()), HEAD_NAME: content}
    with pytest.raises(Damaged, match=r"head\.safetensors"):
        read_bundle(files)


def test_the_format_is_named_in_both_files() -> None:
    """Whoever finds only one of them can tell what it is."""
    files = write_bundle(head(), {})

    assert FORMAT.encode() in files[HEAD_NAME]
    assert json.loads(files[CARD_NAME])["format"] == FORMAT

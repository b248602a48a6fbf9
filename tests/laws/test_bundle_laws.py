"""Laws of the bundle: it comes back whole, or not at all."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deconfuse.errors import Damaged
from deconfuse.learn.bundle import CARD_NAME, HEAD_NAME, read_bundle, write_bundle
from deconfuse.learn.head import Head

finite = st.floats(-1e6, 1e6, width=32)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def heads(draw: st.DrawFn) -> Head:
    """Heads of two to five labels and one to six dimensions."""
    labels = tuple(draw(st.lists(texts, min_size=2, max_size=5, unique=True)))
    d = draw(st.integers(1, 6))
    weights = draw(arrays(np.float32, (len(labels), d), elements=finite))
    bias = draw(arrays(np.float32, len(labels), elements=finite))
    return Head(labels, weights, bias, draw(st.floats(0.05, 20)), draw(st.booleans()))


@given(heads(), st.dictionaries(texts.map("x-".__add__), values, max_size=4))
def test_reading_gives_what_was_written(head: Head, card: dict[str, object]) -> None:
    """read(write(head, card)) is head and card, and writing that again gives the same bytes."""
    files = write_bundle(head, card)
    again, read = read_bundle(files)

    assert (again.labels, again.temperature, again.multi_label) == (head.labels, head.temperature, head.multi_label)
    assert again.weights.tobytes() == head.weights.tobytes()
    assert again.bias.tobytes() == head.bias.tobytes()
    assert {key: read[key] for key in card} == card
    assert write_bundle(again, read) == files


SPECIMEN = write_bundle(
    Head(("a", "b"), np.ones((2, 3), np.float32), np.zeros(2, np.float32), 1.5, False), {"created": "2024"}
)


@given(st.data())
def test_no_changed_byte_of_the_head_goes_unnoticed(data: st.DataObject) -> None:
    """One byte changed, cut off, or added: refused."""
    content = bytearray(SPECIMEN[HEAD_NAME])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(content), SPECIMEN[HEAD_NAME][:at], SPECIMEN[HEAD_NAME] + b"\0"):
        assert is_refused({**SPECIMEN, HEAD_NAME: damaged})


@given(st.data())
def test_a_damaged_card_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    """Whatever bytes stand in the card, the answer is a head or Damaged."""
    content = bytearray(SPECIMEN[CARD_NAME])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    is_refused({**SPECIMEN, CARD_NAME: bytes(content)})


@given(st.dictionaries(st.sampled_from([*json.loads(SPECIMEN[CARD_NAME]), "thresholds"]), values))
def test_a_card_with_any_values_is_read_or_refused_and_nothing_else(changes: dict[str, object]) -> None:
    """Well-formed JSON with values that nobody expects."""
    card = {**json.loads(SPECIMEN[CARD_NAME]), **changes}

    is_refused({**SPECIMEN, CARD_NAME: json.dumps(card).encode()})


@given(st.binary(max_size=200), st.integers(0, 120))
def test_a_card_that_vouches_for_noise_does_not_make_it_a_head(noise: bytes, at: int) -> None:
    """With a sha256 that fits, what stands in the file is still looked at: a head of the same shape, or refused."""
    content = SPECIMEN[HEAD_NAME][:at] + noise + SPECIMEN[HEAD_NAME][at + len(noise) :]
    card = {**json.loads(SPECIMEN[CARD_NAME]), "head_sha256": hashlib.sha256(content).hexdigest()}

    is_refused({HEAD_NAME: content, CARD_NAME: json.dumps(card).encode()})


def is_refused(files: dict[str, bytes]) -> bool:
    """Whether reading raises Damaged; if not, the head is whole."""
    try:
        head, _ = read_bundle(files)
    except Damaged:
        return True
    assert head.weights.shape == (2, 3)
    assert np.isfinite(head.weights).all()
    assert len(set(head.labels)) == 2
    return False

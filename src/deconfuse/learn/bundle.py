"""The bundle: a head as bytes, and the card that says what it is.

    head.safetensors   weights   F32 [k, d]   row j belongs to labels[j]
                       bias      F32 [k]
                       metadata  {"format": "deconfuse.head/1"}
    card.json          UTF-8, one JSON object, keys sorted, indented by two blanks, a line feed at the end

The keys of the card that belong to the head are written here and checked when it is read:

    format             "deconfuse.head/1"
    labels             k different texts, none empty, k at least 2, in the order of the rows of the weights
    multi_label        true: a sigmoid a label; false: one softmax
    temperature        a number above 0
    thresholds         optional: k numbers from 0 to 1, or null where a label has none
    dimensions         d
    head_sha256        of the bytes of head.safetensors, 64 hexadecimal digits

    probabilities = softmax or sigmoid of (weights · embedding + bias) / temperature

Every other key (backbone, project, version, created, …) belongs to whoever writes the bundle and comes back as it went.
The same head and card give the same bytes. Nothing is unpickled or executed by reading.

safetensors: an 8-byte little-endian length, a JSON header with name, type, shape and place of each tensor, then the
values, little-endian, row by row (https://github.com/huggingface/safetensors, section Format).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from deconfuse.errors import Damaged, Invalid
from deconfuse.learn.descent import Float32
from deconfuse.learn.head import Head

HEAD_NAME = "head.safetensors"
CARD_NAME = "card.json"
FORMAT = "deconfuse.head/1"

_OWN_KEYS = ("format", "labels", "multi_label", "temperature", "dimensions", "head_sha256")


def write_bundle(head: Head, card: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of the bundle by name.

    Args:
        head: what is kept.
        card: what else the card says; JSON values only. Where a key of the head is among them, it has to agree.

    Raises:
        Invalid: the card holds something that JSON cannot say, or that disagrees with the head.
    """
    from safetensors.numpy import save

    tensors = {"weights": np.ascontiguousarray(head.weights), "bias": np.ascontiguousarray(head.bias)}
    head_bytes = save(tensors, metadata={"format": FORMAT})
    own = {
        "format": FORMAT,
        "labels": list(head.labels),
        "multi_label": head.multi_label,
        "temperature": head.temperature,
        "dimensions": int(head.weights.shape[1]),
        "head_sha256": hashlib.sha256(head_bytes).hexdigest(),
    }
    for key in _OWN_KEYS:
        if key in card and card[key] != own[key]:
            raise Invalid("card", f"says {key} {card[key]!r}, but the head has {own[key]!r}")
    try:
        text = json.dumps({**card, **own}, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        files = {HEAD_NAME: head_bytes, CARD_NAME: (text + "\n").encode()}
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid("card", f"cannot be written as JSON: {error}") from error
    try:
        read_bundle(files)
    except Damaged as error:
        raise Invalid("card", f"would not be readable: {error.why}") from error
    return files


def read_bundle(files: Mapping[str, bytes]) -> tuple[Head, dict[str, Any]]:
    """The head and the whole card.

    Args:
        files: bytes by name; names other than the bundle's two are left alone.

    Raises:
        Damaged: a file is missing, is not what its name says, or the two do not belong together.
    """
    for name in (CARD_NAME, HEAD_NAME):
        if name not in files:
            raise Damaged(name, "it is missing")
    card = _read_card(files[CARD_NAME])
    content = files[HEAD_NAME]
    if hashlib.sha256(content).hexdigest() != card["head_sha256"]:
        raise Damaged(HEAD_NAME, "its sha256 is not the one in card.json")
    weights, bias = _read_tensors(content, (len(card["labels"]), card["dimensions"]))
    labels = tuple(card["labels"])
    return Head(labels, weights, bias, float(card["temperature"]), card["multi_label"]), card


def _read_card(content: bytes) -> dict[str, Any]:
    try:
        card = json.loads(content.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Damaged(CARD_NAME, f"it is not JSON in UTF-8 ({error})") from error
    if not isinstance(card, dict):
        raise Damaged(CARD_NAME, "it is not a JSON object")
    for key in _OWN_KEYS:
        if key not in card:
            raise Damaged(CARD_NAME, f"it has no {key!r}")
    if card["format"] != FORMAT:
        raise Damaged(CARD_NAME, f"its format is {card['format']!r}; {FORMAT!r} can be read")
    labels = card["labels"]
    if not isinstance(labels, list) or len(labels) < 2 or not all(_is_label(label) for label in labels):
        raise Damaged(CARD_NAME, "labels is not a list of at least two texts")
    if len(set(labels)) < len(labels):
        raise Damaged(CARD_NAME, "a label is there twice")
    if not isinstance(card["multi_label"], bool):
        raise Damaged(CARD_NAME, "multi_label is neither true nor false")
    if not _is_number(card["temperature"]) or card["temperature"] <= 0:
        raise Damaged(CARD_NAME, "temperature is not a number above 0")
    if type(card["dimensions"]) is not int or card["dimensions"] < 1:
        raise Damaged(CARD_NAME, "dimensions is not a whole number above 0")
    if card.get("thresholds") is not None and not _are_thresholds(card["thresholds"], len(labels)):
        raise Damaged(CARD_NAME, "thresholds is not one number from 0 to 1, or null, for each label")
    return card


def _read_tensors(content: bytes, shape: tuple[int, int]) -> tuple[Float32, Float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
    # The library raises errors of its own, and those of json and numpy for headers that only look right.
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise Damaged(HEAD_NAME, f"it is not a safetensors file ({error})") from error
    if set(tensors) != {"weights", "bias"}:
        raise Damaged(HEAD_NAME, f"it holds {', '.join(sorted(tensors)) or 'nothing'} instead of weights and bias")
    for name, expected in (("weights", shape), ("bias", shape[:1])):
        tensor = tensors[name]
        if tensor.dtype != np.float32 or tensor.shape != expected:
            raise Damaged(HEAD_NAME, f"{name} is {tensor.dtype} of shape {tensor.shape}, not float32 of {expected}")
        if not np.isfinite(tensor).all():
            raise Damaged(HEAD_NAME, f"{name} holds values that are not finite")
    return tensors["weights"], tensors["bias"]


def _is_label(value: object) -> bool:
    if not isinstance(value, str) or value == "":
        return False
    try:
        # A lone surrogate is valid JSON and cannot be written anywhere.
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _are_thresholds(value: object, k: int) -> bool:
    if not isinstance(value, list) or len(value) != k:
        return False
    return all(threshold is None or (_is_number(threshold) and 0 <= threshold <= 1) for threshold in value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")

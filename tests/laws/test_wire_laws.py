"""No bytes make the wire fall over, and what it takes is what the model allows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from deconfuse.wire.faults import FRAMEWORK, Refused
from deconfuse.wire.protocol import Protocol
from deconfuse.wire.shapes import OPERATIONS
from wire_values import any_json, as_json, places, values

PROTOCOL = Protocol("rekognition")
MODEL = ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")
MANY = settings(max_examples=10 * settings().max_examples)
"""3,000 bodies for each law in `make check`, a tenth of that in `make test`."""


def answer(operation: str, body: bytes) -> dict[str, Any] | Refused:
    """What becomes of a request: its parameters, or its refusal; anything else is an error of this test."""
    try:
        return PROTOCOL.read(f"RekognitionService.{operation}", body)[1]
    except Refused as refusal:
        return refusal


def check_clean(refusal: Refused, operation: str) -> None:
    """The answer is one of 4xx, with a code that every client may get, a message, and not too long."""
    status, _, body = PROTOCOL.fault(refusal, request_id="id", operation=operation)

    assert 400 <= status < 500
    assert refusal.code in FRAMEWORK
    assert json.loads(body)["message"]
    assert len(body) < 40_000


@st.composite
def legal(draw: st.DrawFn) -> tuple[str, Any]:
    """An operation and a legal request for it, as JSON values."""
    operation = draw(st.sampled_from(OPERATIONS))
    return operation, as_json(draw(values(PROTOCOL.service.operations[operation].input)))


@MANY
@given(legal(), st.data())
def test_a_request_that_is_wrong_somewhere_is_refused_or_legal(request_: tuple[str, Any], data: st.DataObject) -> None:
    """One value of a legal request becomes anything at all: what we then take, botocore's validator takes too."""
    operation, sent = request_
    if found := places(sent):
        container, key = data.draw(st.sampled_from(found))
        container[key] = data.draw(any_json)
    read = answer(operation, json.dumps(sent).encode())

    if isinstance(read, Refused):
        check_clean(read, operation)
    else:
        assert not ParamValidator().validate(read, MODEL.operation_model(operation).input_shape).has_errors()
        assert answer(operation, json.dumps(as_json(read)).encode()) == read


@MANY
@given(legal(), any_json, st.binary(max_size=60), st.data())
def test_any_bytes_give_a_clean_answer(
    request_: tuple[str, Any], other: Any, noise: bytes, data: st.DataObject
) -> None:
    """Noise, other JSON, and legal requests cut short or with a byte changed."""
    operation, sent = request_
    whole = json.dumps(sent).encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = [whole[:at], whole[:at] + b"\x00" + whole[at:], whole[:at] + b'"' + whole[at + 1 :]]
    for body in (data.draw(st.sampled_from(broken)), json.dumps(other).encode(), noise):
        read = answer(operation, body)
        if isinstance(read, Refused):
            check_clean(read, operation)


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_target_gives_a_clean_answer(target: str, body: bytes) -> None:
    """Whatever stands in the header."""
    with pytest.raises(Refused) as caught:
        PROTOCOL.read(target, body)

    assert caught.value.code == "UnknownOperationException"

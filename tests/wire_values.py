"""Values for requests and answers of the wire, made from the service model: what is legal, and what is nearly so."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from deconfuse.wire.protocol import ALWAYS
from deconfuse.wire.shapes import Shape

NAMES = st.from_regex(r"\A[a-zA-Z0-9_.\-]{1,40}\Z")
NUMBERS = st.integers(0, 10**13).map(str)
PROJECTS = st.builds("arn:aws:rekognition:us-east-1:123456789012:project/{}/{}".format, NAMES, NUMBERS)
TAGS = st.text(st.characters(categories=("L", "N", "Zs"), include_characters="_.:/=+-@"), max_size=20)
TEXTS: dict[str, st.SearchStrategy[str]] = {
    "ProjectName": NAMES,
    "VersionName": NAMES,
    "ProjectPolicyName": NAMES,
    "ProjectArn": PROJECTS,
    "ResourceArn": PROJECTS,
    "DatasetArn": st.builds("arn:aws:rekognition:x-1:000000000000:project/{}/dataset/{}/{}".format,
                            NAMES, st.sampled_from(["train", "test"]), NUMBERS),
    "ProjectVersionArn": st.builds("arn:aws-cn:rekognition:x-1:000000000000:project/{}/version/{}/{}".format,
                                   NAMES, NAMES, NUMBERS),
    "S3Bucket": st.from_regex(r"\A[0-9A-Za-z.\-_]{3,60}\Z"),
    "TagKey": TAGS.filter(lambda text: text and not text.startswith("aws:")),
    "TagValue": TAGS,
    "KmsKeyId": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9:_/+=,@.-]{0,50}\Z"),
    "VersionDescription": st.from_regex(r"\A[a-zA-Z0-9\-_. ()':,;?]{1,40}\Z"),
    "ProjectPolicyRevisionId": st.from_regex(r"\A[0-9A-Fa-f]{1,32}\Z"),
    "ProjectPolicyDocument": st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), min_size=1, max_size=40),
    "DatasetLabel": st.text(st.characters(categories=("L", "N", "P", "Zs", "So")), min_size=1, max_size=30),
    "QueryString": st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=30),
}  # fmt: skip
"""Texts that meet the patterns of the model, by the name of their shape."""

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("x" * 3000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of this shape that meet every constraint; blobs as bytes, dates as moments."""
    if shape.kind == "structure":
        always = {*shape.required, *ALWAYS.get(shape.name, ())}
        required = {name: values(member) for name, member in shape.members.items() if name in always}
        optional = {name: values(member) for name, member in shape.members.items() if name not in always}
        return st.fixed_dictionaries(required, optional=optional)
    if shape.kind in ("list", "map"):
        assert shape.inner is not None
        most = min(3, shape.longest or 3)
        least = 0 if shape.may_be_empty else 2 if shape.longest == 2 and shape.name.startswith("Distribute") else 1
        if shape.key is not None:
            return st.dictionaries(values(shape.key), values(shape.inner), max_size=most)
        return st.lists(values(shape.inner), min_size=least, max_size=most)
    if shape.name in TEXTS:
        return TEXTS[shape.name]
    for demand in shape.demands:
        if demand.text.startswith("satisfy enum"):
            return st.sampled_from(demand.text.partition("[")[2].rstrip("]").split(", "))
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30),
        "integer": st.integers(1, 5),
        "long": st.integers(0, 2**40),
        "float": st.floats(0, 100, width=32),
        "boolean": st.booleans(),
        "blob": st.binary(min_size=1, max_size=30),
        "timestamp": st.integers(0, 10**13).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC)),
    }
    return kinds[shape.kind]


def as_json(value: Any) -> Any:
    """`value` as a client writes it: bytes in base64."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value with every key of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]

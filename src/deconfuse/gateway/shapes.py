"""S3's service model, read once: which operations there are, where their parameters stand, how their XML looks.

The model is the one that botocore's clients are driven by, so what a client can say and what this gateway can read
are the same by construction. It is compiled into plain frozen records: routing and XML then need no botocore, and
reading a shape costs an attribute instead of a walk over dictionaries. Nothing about S3's behaviour is here.
A model in the home directory or AWS_DATA_PATH, which botocore would take instead of its own, changes nothing.

    Operation   method, level and sub-resources of its address; parameters; the body it takes and gives
    Parameter   one member outside the body: a part of the path, a query parameter, a header, a family of headers
    Element     one XML element, with the elements in it

What the model does not say is in three small tables: the names of the root elements of answers, enumerations that
are not to be enforced, and members whose text is kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Kind = Literal["text", "integer", "boolean", "time", "list", "structure", "blob"]
Place = Literal["path", "query", "header", "headers"]
Body = Literal["nothing", "xml", "text", "bytes"]

_KINDS: dict[str, Kind] = {
    "string": "text",
    "character": "text",
    "integer": "integer",
    "long": "integer",
    "boolean": "boolean",
    "timestamp": "time",
    "list": "list",
    "map": "structure",
    "structure": "structure",
    "blob": "blob",
}

_PLACES: dict[str, Place] = {"uri": "path", "querystring": "query", "header": "header", "headers": "headers"}

_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListParts": "ListPartsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "DeleteObjects": "DeleteResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetObjectAcl": "AccessControlPolicy",
}
"""Root element of an answer where it is not the name of the payload member.

Source: Amazon S3 API reference (2006-03-01), "Response Syntax" of each operation.
"""

_OPEN_ENUMERATIONS = frozenset({"BucketLocationConstraint"})
"""A region may have any name here; the model lists only those of AWS, without us-east-1."""

_KEPT_AS_TEXT = frozenset({"Expires"})
"""S3 stores the header Expires as it came, whether it is a date or not."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One member of an operation that stands outside the body.

    Attributes:
        name: the member's name in the model, as operations know it ("MaxKeys").
        place: where it stands in the request or answer.
        wire: its name there: of a query parameter as it is, of a header in lower case, or the headers' prefix.
        kind: what its text says.
        spelled: the header's name with the capitals of the model, for writing.
        is_rfc_date: whether a time is written as RFC 1123 says, even in a query.
        is_required: whether the operation cannot be meant without it.
        choices: the texts it may have, empty if any.
    """

    name: str
    place: Place
    wire: str
    kind: Kind
    spelled: str
    is_rfc_date: bool
    is_required: bool
    choices: frozenset[str]


@dataclass(frozen=True, slots=True)
class Element:
    """One XML element, and what stands in it.

    Attributes:
        name: the member's name in the model, as operations know it ("CommonPrefixes").
        tag: its name in the document, without namespace.
        kind: what stands in it; a structure has `members`, a list has `item`.
        members: the elements of a structure, in the order of the model.
        by_tag: those of them that are elements, by their tag.
        item: the repeated element of a list.
        is_flat: whether a list's items stand in the parent, without an element around them.
        is_attribute: whether it is an attribute of its parent, with `tag` as "prefix:name".
        is_rfc_date: whether a time is written as RFC 1123 says, instead of ISO 8601.
        is_required: whether its parent cannot be meant without it.
        choices: the texts it may have, empty if any.
        prefix: a namespace to declare: (prefix, URI).
    """

    name: str
    tag: str
    kind: Kind
    members: tuple[Element, ...] = ()
    by_tag: Mapping[str, Element] = field(default_factory=dict, compare=False, repr=False)
    item: Element | None = None
    is_flat: bool = False
    is_attribute: bool = False
    is_rfc_date: bool = False
    is_required: bool = False
    choices: frozenset[str] = frozenset()
    prefix: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of S3.

    Attributes:
        name: as AWS calls it ("ListObjectsV2").
        method: the HTTP method.
        level: 0 the service, 1 a bucket, 2 an object.
        path: the first step of the path where it is a word instead of a bucket, else None.
        subresources: what the query must hold, name to value; an empty value stands for any.
        inputs: the request's parameters outside the body.
        required: those query parameters and headers among them without which it cannot be meant.
        body: what the request's body is; "nothing" also where it has none.
        body_member: the member that the body fills, or None.
        body_element: how its XML looks, or None.
        is_body_required: whether the operation cannot be meant without its body.
        status: the HTTP status of success.
        outputs: the answer's parameters outside the body.
        answer: what the answer's body is.
        answer_member: the member that fills the answer's body; None where the result as a whole does.
        answer_element: how its XML looks, or None.
    """

    name: str
    method: str
    level: int
    path: str | None
    subresources: dict[str, str]
    inputs: tuple[Parameter, ...]
    required: tuple[Parameter, ...]
    body: Body
    body_member: str | None
    body_element: Element | None
    is_body_required: bool
    status: int
    outputs: tuple[Parameter, ...]
    answer: Body
    answer_member: str | None
    answer_element: Element | None


@cache
def operations() -> dict[str, Operation]:
    """Every operation of S3 by its name, built here or not; deprecated forms of the same address come last."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    raw = loader.load_service_model("s3", "service-2")
    model = ServiceModel(raw, "s3")
    compiled = [_operation(model.operation_model(name)) for name in model.operation_names]
    deprecated = {name for name, entry in raw["operations"].items() if entry.get("deprecated")}
    return {op.name: op for op in sorted(compiled, key=lambda op: op.name in deprecated)}


def _operation(model: OperationModel) -> Operation:
    path, _, query = model.http["requestUri"].partition("?")
    pairs = (part.partition("=") for part in query.split("&") if part)
    body, body_member, body_element = _body(model.input_shape, None)
    answer, answer_member, answer_element = _body(model.output_shape, _ROOTS.get(model.name))
    inputs = _parameters(model.input_shape)
    needed = model.input_shape.required_members if model.input_shape else ()
    return Operation(
        name=model.name,
        method=model.http["method"],
        level=len([step for step in path.split("/") if step]),
        path=None if "{" in path or path == "/" else path[1:],
        subresources={name: value for name, _, value in pairs if name != "x-id"},
        inputs=inputs,
        required=tuple(p for p in inputs if p.is_required and p.place != "path"),
        body=body,
        body_member=body_member,
        body_element=body_element,
        is_body_required=body_member in needed,
        status=model.http.get("responseCode", 200),
        outputs=_parameters(model.output_shape),
        answer=answer,
        answer_member=answer_member,
        answer_element=answer_element,
    )


def _body(shape: Any, root: str | None) -> tuple[Body, str | None, Element | None]:
    """What the body of this input or output is, the member that it fills, and how its XML looks."""
    if shape is None:
        return "nothing", None, None
    member = shape.serialization.get("payload")
    if member is None:
        element = _element(shape.name, shape, root or shape.name)
        has_members = any("location" not in s.serialization for s in shape.members.values())
        return ("xml", None, element) if has_members else ("nothing", None, None)
    payload = shape.members[member]
    if payload.serialization.get("eventstream"):
        return "bytes", member, None
    if payload.type_name == "structure":
        return "xml", member, _element(member, payload, payload.serialization.get("name", member))
    return ("text" if payload.type_name == "string" else "bytes"), member, None


def _parameters(shape: Any) -> tuple[Parameter, ...]:
    if shape is None:
        return ()
    found = []
    for name, member in shape.members.items():
        place = _PLACES.get(member.serialization.get("location", ""))
        if place is not None:
            spelled = member.serialization.get("name", name)
            found.append(
                Parameter(
                    name=name,
                    place=place,
                    wire=spelled if place in {"path", "query"} else spelled.lower(),
                    kind=_kind(member),
                    spelled=spelled,
                    is_rfc_date=place == "header" and member.serialization.get("timestampFormat") != "iso8601",
                    is_required=name in shape.required_members,
                    choices=_choices(member),
                )
            )
    return tuple(found)


def _element(name: str, shape: Any, tag: str, *, is_required: bool = False) -> Element:
    members: tuple[Element, ...] = ()
    item = None
    is_flat = bool(shape.serialization.get("flattened"))
    if shape.type_name == "structure":
        members = tuple(
            _element(n, s, s.serialization.get("name", n), is_required=n in shape.required_members)
            for n, s in shape.members.items()
            if "location" not in s.serialization
        )
    elif shape.type_name == "list":
        item = _element(name, shape.member, tag if is_flat else shape.member.serialization.get("name", "member"))
    space = shape.serialization.get("xmlNamespace")
    return Element(
        name=name,
        tag=tag,
        kind=_kind(shape),
        members=members,
        by_tag={member.tag: member for member in members if not member.is_attribute},
        item=item,
        is_flat=is_flat,
        is_attribute=bool(shape.serialization.get("xmlAttribute")),
        is_rfc_date=shape.serialization.get("timestampFormat") == "rfc822",
        is_required=is_required,
        choices=_choices(shape),
        prefix=(space["prefix"], space["uri"]) if isinstance(space, dict) and "prefix" in space else None,
    )


def _kind(shape: Any) -> Kind:
    return "text" if shape.name in _KEPT_AS_TEXT else _KINDS[shape.type_name]


def _choices(shape: Any) -> frozenset[str]:
    if shape.type_name == "list":
        return _choices(shape.member)
    if shape.type_name != "string" or shape.name in _OPEN_ENUMERATIONS:
        return frozenset()
    return frozenset(shape.enum)

"""AWS JSON 1.1: bytes to checked parameters, results to bytes, errors to answers.

    POST /
    X-Amz-Target: RekognitionService.<Operation>
    Content-Type: application/x-amz-json-1.1

Everything about an operation's types comes from `shapes`. `Protocol.read` decodes a request, checks every type and
every constraint, collects what is wrong and says it in AWS's words; `Protocol.write` is its mirror image, and
refuses to write what the model does not allow; `Protocol.fault` turns whatever was raised into an answer. Signatures
and the size of what may arrive are the endpoint's affair; here a body that is too large is refused once more.

    SerializationException      not JSON, or a value of another type than the model's
    ValidationException         a constraint of the model: required, length, range, pattern, enumeration
    UnknownOperationException   a target that is none of the 23 operations

Source: botocore's service model (rekognition 2016-06-27); AWS JSON 1.1 in the Smithy specification; the wording of
ValidationException and SerializationException is that of AWS's servers, as quoted in reports of their users.
"""

from __future__ import annotations

import json
import math
import operator
import struct
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pybase64

from deconfuse.formats import strict_json
from deconfuse.wire.faults import Refused, code_of, message_of
from deconfuse.wire.shapes import NUMBERS, OPERATIONS, SCALARS, Demand, Shape, load_service

LARGEST_BODY = 8 * 2**20
"""Bytes of a request: an image of 5 MiB is 7 MiB in base64, and must be refused by name when it is a little larger."""

MOST_VALUES = 10_000
"""Values in a request that are looked at; no request that any operation can use holds nearly as many."""

MOST_COMPLAINTS = 20
"""Violated constraints that are spelled out; the others are only counted."""

ALWAYS: dict[str, tuple[str, ...]] = {
    "DescribeProjectsResponse": ("ProjectDescriptions",),
    "ProjectDescription": ("ProjectArn", "CreationTimestamp", "Status", "Datasets"),
    "DatasetMetadata": (
        "CreationTimestamp", "DatasetType", "DatasetArn", "Status", "StatusMessage", "StatusMessageCode",
    ),
    "DescribeDatasetResponse": ("DatasetDescription",),
    "DatasetDescription": (
        "CreationTimestamp", "LastUpdatedTimestamp", "Status", "StatusMessage", "StatusMessageCode", "DatasetStats",
    ),
    "DatasetStats": ("LabeledEntries", "TotalEntries", "TotalLabels", "ErrorEntries"),
    "DescribeProjectVersionsResponse": ("ProjectVersionDescriptions",),
    "ProjectVersionDescription": ("ProjectVersionArn", "CreationTimestamp", "Status", "StatusMessage"),
    "ListDatasetEntriesResponse": ("DatasetEntries",),
    "ListDatasetLabelsResponse": ("DatasetLabelDescriptions",),
    "DatasetLabelDescription": ("LabelName", "LabelStats"),
    "DatasetLabelStats": ("EntryCount",),
    "DetectCustomLabelsResponse": ("CustomLabels",),
    "CustomLabel": ("Name", "Confidence"),
    "ListProjectPoliciesResponse": ("ProjectPolicies",),
    "ProjectPolicy": (
        "ProjectArn", "PolicyName", "PolicyRevisionId", "PolicyDocument", "CreationTimestamp", "LastUpdatedTimestamp",
    ),
    "ListTagsForResourceResponse": ("Tags",),
    "CreateProjectResponse": ("ProjectArn",),
    "CreateDatasetResponse": ("DatasetArn",),
    "CreateProjectVersionResponse": ("ProjectVersionArn",),
    "CopyProjectVersionResponse": ("ProjectVersionArn",),
    "DeleteProjectResponse": ("Status",),
    "DeleteProjectVersionResponse": ("Status",),
    "StartProjectVersionResponse": ("Status",),
    "StopProjectVersionResponse": ("Status",),
    "PutProjectPolicyResponse": ("PolicyRevisionId",),
}  # fmt: skip
"""Members of answers that are always sent, because published programs index them without asking.

One that a result does not give is sent empty, where its type has an empty value: lists, maps, the status message.
"""

INSTEAD = {
    "DetectCustomLabels": "put a large image into a bucket and name it as S3Object",
    "UpdateDatasetEntries": "give the lines in several requests",
}
"""What is possible instead of a body that is too large, by operation."""

_EMPTY: dict[str, Any] = {"list": [], "map": {}, "string": "", "blob": ""}
_NOUNS = {"string": "a String", "integer": "an Integer", "long": "a Long", "float": "a Float", "double": "a Double",
          "boolean": "a Boolean", "blob": "a Blob", "structure": "a Structure", "map": "a Map",
          "list": "a List"}  # fmt: skip
_BITS = {"integer": 32, "long": 64}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SINGLE = struct.Struct("<f")
_LONGEST_ECHO = 256

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an HTTP answer."""


def too_large(most: int, target: str | None = None) -> Refused:
    """The answer to a body of more than `most` bytes; `target` is the header X-Amz-Target."""
    remedy = INSTEAD.get((target or "").rpartition(".")[2], "")
    why = f"a request may have {most:,} bytes" + (f"; {remedy}" if remedy else "")
    return Refused("RequestEntityTooLargeException", why, status=413)


class Protocol:
    """One service's protocol; made once, used by any number of threads."""

    def __init__(self, service: str = "rekognition", *, operations: Collection[str] = OPERATIONS) -> None:
        """Read the model of `service`, of which `operations` are answered; Invalid where botocore is too old."""
        self.service = load_service(service, operations)

    def read(self, target: str | None, body: bytes) -> tuple[str, dict[str, Any]]:
        """The operation that a request asks for, and its parameters by the model's names.

        Members that the model does not know and those that are null are left out. Blobs are bytes.

        Args:
            target: the header X-Amz-Target; None where there is none.
            body: as it arrived; nothing at all means no parameters.

        Raises:
            Refused: UnknownOperationException, SerializationException, ValidationException, or
                RequestEntityTooLargeException, with a message for the client.
        """
        operation = self.service.operations[self.operation(target)]
        if len(body) > LARGEST_BODY:
            raise too_large(LARGEST_BODY, target)
        try:
            raw = strict_json.parse(body or b"{}")
        except strict_json.NotJson as error:
            raise Refused("SerializationException", f"the body cannot be read: {error}") from None
        walk = _Reading()
        parameters: dict[str, Any] = walk.read(operation.input, raw, "")
        walk.refuse_violations()
        return operation.name, parameters

    def is_asked(self, target: str | None) -> bool:
        """Whether the header X-Amz-Target names this service, and not another one or none."""
        return (target or "").partition(".")[0] == self.service.target_prefix

    def operation(self, target: str | None) -> str:
        """The operation that the header X-Amz-Target names; Refused, UnknownOperationException, where there is none."""
        if not target:
            raise Refused("UnknownOperationException", "the header X-Amz-Target is missing")
        service, _, name = target.partition(".")
        if not self.is_asked(target):
            why = (
                f"{_short(service)} was asked, but deconfuse answers Amazon Rekognition Custom Labels and S3 only; "
                "give the client an endpoint for these two services (AWS_ENDPOINT_URL_REKOGNITION, "
                "AWS_ENDPOINT_URL_S3) instead of one for all"
            )
            raise Refused("UnknownOperationException", why)
        if name in self.service.others:
            why = f"{name} is an operation of Rekognition, but not of Custom Labels; deconfuse does not do it"
            raise Refused("UnknownOperationException", why)
        if name not in self.service.operations:
            raise Refused("UnknownOperationException", f"there is no operation {_short(name)}")
        return name

    def write(self, operation: str, result: Mapping[str, Any] | None = None) -> bytes:
        """The body of a good answer.

        Dates become seconds since 1970, cut to milliseconds; bytes become base64; floats have single precision, as
        AWS writes them. What is None is left out, and so is NaN, which means undefined. What ALWAYS names is there.

        Args:
            operation: one of the 23.
            result: its result by the model's names; None where it has none.

        Raises:
            ValueError: the result does not fit the model: our own mistake, never the client's.
        """
        return _dump(_written(self.service.operations[operation].output, result or {}, (None, operation)))

    def headers(self, request_id: str) -> dict[str, str]:
        """The headers of every answer."""
        return {"Content-Type": self.service.media_type, "x-amzn-RequestId": request_id}

    def fault(self, error: Exception, *, request_id: str, operation: str | None = None) -> Answer:
        """The answer to a request that ended in `error`.

        Args:
            error: anything at all; what is not ours becomes InternalServerError, and its text is not told.
            request_id: identifies the request in the answer and in the log.
            operation: where one was reached, its name: it then answers only what it declares.
        """
        reached = self.service.operations.get(operation or "")
        code = code_of(error, declared=reached.errors if reached else None, operation=reached.name if reached else "")
        message = message_of(error)
        status = (error.status if isinstance(error, Refused) else None) or self.service.statuses.get(code, 400)
        if code in self.service.statuses:
            body = {"__type": code, "Code": code, "Logref": request_id, "Message": message}
        else:
            body = {"__type": code, "message": message}
        return status, self.headers(request_id), _dump(body)


class _Reading:
    """One walk over a request: it converts, and collects the constraints that are violated."""

    def __init__(self) -> None:
        self.n_values = 0
        self.n_violations = 0
        self.complaints: list[str] = []

    def read(self, shape: Shape, raw: Any, path: str) -> Any:
        value = self._converted(shape, raw, path)
        for demand in _unmet(shape, value):
            self._complain(shape, raw, path, demand.text)
        if shape.kind in SCALARS or (shape.longest is not None and len(value) > shape.longest):
            return value
        if shape.kind == "structure":
            return self._members(shape, value, path)
        return self._items(shape, value, path) if shape.kind == "list" else self._entries(shape, value, path)

    def refuse_violations(self) -> None:
        """Raise ValidationException, if any constraint was violated."""
        if self.n_violations:
            more = self.n_violations - len(self.complaints)
            listed = "; ".join(self.complaints) + (f"; and {more} more" if more else "")
            errors = "error" if self.n_violations == 1 else "errors"
            raise Refused("ValidationException", f"{self.n_violations} validation {errors} detected: {listed}")

    def _members(self, shape: Shape, value: dict[str, Any], path: str) -> dict[str, Any]:
        found = {}
        for name, member in shape.members.items():
            inside = f"{path}.{name[:1].lower()}{name[1:]}".lstrip(".")
            raw = value.get(name)
            if raw is not None:
                found[name] = self.read(member, raw, inside)
            elif name in shape.required:
                self._complain(member, None, inside, "not be null")
        return found

    def _items(self, shape: Shape, value: list[Any], path: str) -> list[Any]:
        numbered = ((f"{path}.{number}.member", raw) for number, raw in enumerate(value, start=1))
        return self._inner(shape, list(numbered), value, path, "Member")

    def _entries(self, shape: Shape, value: dict[str, Any], path: str) -> dict[str, Any]:
        assert shape.key is not None
        if any(_unmet(shape.key, self._converted(shape.key, key, path)) for key in value):
            self._complain(shape, value, path, _all_of(shape.key), subject="Map keys")
        named = [(f"{path}.{_short(key)}.member", raw) for key, raw in value.items()]
        return dict(zip(value, self._inner(shape, named, value, path, "Map value"), strict=True))

    def _inner(self, shape: Shape, items: list[tuple[str, Any]], whole: Any, path: str, subject: str) -> list[Any]:
        """The values of a list or map; scalars that violate a constraint give one complaint about the whole."""
        inner = shape.inner
        assert inner is not None
        found: list[Any] = []
        any_unmet = False
        for inside, raw in items:
            if raw is None:
                self._complain(inner, None, inside, "not be null")
                found.append(None)
            elif inner.kind in SCALARS:
                found.append(self._converted(inner, raw, inside))
                any_unmet = any_unmet or bool(_unmet(inner, found[-1]))
            else:
                found.append(self.read(inner, raw, inside))
        if any_unmet:
            self._complain(shape, whole, path, _all_of(inner), subject=subject)
        return found

    def _converted(self, shape: Shape, raw: Any, path: str) -> Any:
        self.n_values += 1
        if self.n_values > MOST_VALUES:
            raise Refused("SerializationException", f"the body holds more than {MOST_VALUES} values")
        if shape.kind == "blob" and isinstance(raw, str):
            return _bytes(raw, path)
        if not _is_of(shape.kind, raw):
            why = f"{_found(raw)} can not be converted to {_NOUNS[shape.kind]}"
            raise Refused("SerializationException", why + (f" at '{path}'" if path else ""))
        if shape.kind in _BITS and not -(2 ** (_BITS[shape.kind] - 1)) <= raw < 2 ** (_BITS[shape.kind] - 1):
            raise Refused("SerializationException", f"{_short(str(raw))} is out of the range of {_NOUNS[shape.kind]}")
        return raw

    def _complain(self, shape: Shape, raw: Any, path: str, what: str, *, subject: str = "Member") -> None:
        self.n_violations += 1
        if len(self.complaints) < MOST_COMPLAINTS:
            shown = _shown(shape, raw)
            self.complaints.append(f"Value {shown}at '{path}' failed to satisfy constraint: {subject} must {what}")


def _unmet(shape: Shape, value: Any) -> list[Demand]:
    return [demand for demand in shape.demands if not demand.holds(value)]


def _all_of(shape: Shape) -> str:
    return f"satisfy constraint: [{', '.join(f'Member must {demand.text}' for demand in shape.demands)}]"


def _is_of(kind: str, raw: Any) -> bool:
    """Whether a JSON value may stand for a value of this kind: no truth value is a number, no float an integer."""
    if kind in NUMBERS:
        is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
        return is_number and (kind in ("float", "double") or isinstance(raw, int)) and -1e308 < raw < 1e308
    if kind == "boolean":
        return isinstance(raw, bool)
    if kind in ("string", "list"):
        return isinstance(raw, str if kind == "string" else list)
    return kind in ("structure", "map") and isinstance(raw, dict)


def _bytes(raw: str, path: str) -> bytes:
    try:
        return pybase64.b64decode(raw, validate=True)
    except ValueError:
        raise Refused("SerializationException", f"the text at '{path}' is not base64") from None


def _found(raw: Any) -> str:
    """A JSON value's type, by the name that AWS's servers give it."""
    if isinstance(raw, bool):
        return "TRUE_VALUE" if raw else "FALSE_VALUE"
    kinds = {
        int: "NUMBER_VALUE",
        float: "DECIMAL_VALUE",
        str: "STRING_VALUE",
        dict: "START_OBJECT",
        list: "START_ARRAY",
    }
    return kinds.get(type(raw), "NULL_VALUE")


def _shown(shape: Shape, raw: Any) -> str:
    """A value as AWS repeats it in a message, with a blank after it; nothing for bytes, structures and secrets."""
    if raw is None:
        return "null "
    if shape.is_secret or shape.kind in ("structure", "map", "blob"):
        return ""
    if shape.kind == "list":
        inner = shape.inner
        if inner is None or inner.is_secret or inner.kind not in SCALARS - {"blob"}:
            return ""
        return f"'{_short('[' + ', '.join(str(item)[:_LONGEST_ECHO] for item in raw[:_LONGEST_ECHO]) + ']')}' "
    return f"'{_short(str(raw))}' "


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_ECHO else text[: _LONGEST_ECHO - 1] + "…"


Place = tuple["Place", object] | None
"""Where in an answer a value stands: the place around it, and its name or number there. Spelled out on error only."""


def _written(shape: Shape, value: Any, place: Place) -> Any:
    """`value` as JSON holds it; ValueError, with the place, where it is not of this shape."""
    kind = shape.kind
    if kind == "string":
        if not isinstance(value, str):
            raise _misfit(place, f"{value!r} is no text")
        if shape.allowed is not None and value not in shape.allowed:
            raise _misfit(place, f"{value!r} is none of {', '.join(sorted(shape.allowed))}")
        return value
    if kind == "structure":
        return _written_members(shape, value, place)
    if kind == "timestamp":
        return _seconds(value, place)
    if kind in NUMBERS:
        return _number(kind, value, place)
    if kind == "boolean" and not isinstance(value, bool):
        raise _misfit(place, f"{value!r} is no truth value")
    if kind == "blob":
        return pybase64.b64encode(value).decode("ascii")
    inner = shape.inner
    if inner is None:
        return value
    if kind == "list":
        return [_written(inner, item, (place, index)) for index, item in enumerate(value)]
    if not all(isinstance(key, str) for key in value):
        raise _misfit(place, "a key is no text")
    return {key: _written(inner, item, (place, key)) for key, item in value.items()}


def _written_members(shape: Shape, value: Mapping[str, Any], place: Place) -> dict[str, Any]:
    if not value.keys() <= shape.members.keys():
        raise _misfit(place, f"the model's {shape.name} has no {', '.join(sorted(set(value) - set(shape.members)))}")
    always = ALWAYS.get(shape.name, ())
    written = {}
    for name, member in shape.members.items():
        item = value.get(name)
        if item is not None and not (isinstance(item, float) and math.isnan(item)):
            written[name] = _written(member, item, (place, name))
        elif name in always:
            if not member.may_be_empty:
                raise _misfit(place, f"{name} is missing")
            written[name] = _EMPTY[member.kind]
    return written


def _number(kind: str, value: Any, place: Place) -> int | float:
    try:
        if isinstance(value, bool):
            raise TypeError("a truth value")
        if kind in _BITS:
            return operator.index(value)
        number = float(value) if kind == "double" else float(_SINGLE.unpack(_SINGLE.pack(value))[0])
    except (TypeError, ValueError, OverflowError, struct.error) as error:
        raise _misfit(place, f"{value!r} is no {kind}: {error}") from None
    if not math.isfinite(number):
        raise _misfit(place, f"{value!r} cannot be written in JSON")
    return number


def _seconds(moment: Any, place: Place) -> float:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise _misfit(place, f"{moment!r} is no moment with a time zone")
    return ((moment - _EPOCH) // _MILLISECOND) / 1000


def _misfit(place: Place, why: str) -> ValueError:
    names: list[str] = []
    while place is not None:
        place, name = place
        names.append(f".{name}")
    return ValueError(f"{''.join(reversed(names))[1:]}: {why}")


def _dump(value: Any) -> bytes:
    """`value` as JSON in ASCII, which also holds text that is no UTF-8, so that no message can fail to be sent."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")

"""The service model, read once: what each operation takes, gives and raises.

botocore ships AWS's own description of Rekognition, and that description is our API: names, types, constraints and
errors come from there and are written down nowhere else. Here it becomes a tree of small frozen values, so that
the walks over requests and answers are plain code. The model that is read is the one inside the installed botocore;
the directories from which AWS's clients would take another one (`~/.aws/models`, AWS_DATA_PATH) are not looked at.

Constraints of the model are turned into `Demand`s in AWS's wording. Patterns are Java's; `java_pattern` says what
that means. botocore itself checks neither maxima nor patterns nor enumerations, so nothing of it is used for that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import regex
from botocore.loaders import Loader
from botocore.model import ServiceModel

from deconfuse.errors import Invalid

OPERATIONS = (
    "CopyProjectVersion", "CreateDataset", "CreateProject", "CreateProjectVersion", "DeleteDataset", "DeleteProject",
    "DeleteProjectPolicy", "DeleteProjectVersion", "DescribeDataset", "DescribeProjects", "DescribeProjectVersions",
    "DetectCustomLabels", "DistributeDatasetEntries", "ListDatasetEntries", "ListDatasetLabels", "ListProjectPolicies",
    "ListTagsForResource", "PutProjectPolicy", "StartProjectVersion", "StopProjectVersion", "TagResource",
    "UntagResource", "UpdateDatasetEntries",
)  # fmt: skip
"""The 23 operations of Rekognition that concern Custom Labels."""

NUMBERS = frozenset({"integer", "long", "float", "double"})
SCALARS = NUMBERS | {"string", "blob", "boolean", "timestamp"}

_LINE_ENDS = r"\n\r\u0085\u2028\u2029"


@dataclass(frozen=True, slots=True)
class Demand:
    """One constraint of the model.

    Attributes:
        holds: whether a value of the right type meets it.
        text: what the value must do, in AWS's words: "have length less than or equal to 255".
    """

    holds: Callable[[Any], bool]
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A type of the model.

    Attributes:
        name: its name in the model, "ProjectName".
        kind: structure, list, map, or one of SCALARS.
        demands: its constraints, in the order in which AWS lists them: max, min, pattern, enumeration.
        allowed: of a text with an enumeration, what it may be; None for every other.
        may_be_empty: whether the empty value of its kind meets all of them.
        is_secret: its values are not to be repeated in messages.
        members: of a structure, by name.
        required: of a structure, the names that must be there.
        inner: of a list or map, the type of its values.
        key: of a map, the type of its keys.
        longest: of a list or map, how many values it may hold; None without limit.
    """

    name: str
    kind: str
    demands: tuple[Demand, ...] = ()
    allowed: frozenset[str] | None = None
    may_be_empty: bool = True
    is_secret: bool = False
    members: dict[str, Shape] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    inner: Shape | None = None
    key: Shape | None = None
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation takes and gives, and the codes of the errors that the model lets it raise."""

    name: str
    input: Shape
    output: Shape
    errors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Service:
    """A service of AWS, as far as we answer it.

    Attributes:
        target_prefix: what stands before the operation in the header X-Amz-Target.
        media_type: of requests and answers.
        operations: those that we answer, by name.
        others: names of the service's further operations.
        statuses: HTTP status of each error that the model names.
    """

    target_prefix: str
    media_type: str
    operations: dict[str, Operation]
    others: frozenset[str]
    statuses: dict[str, int]


def load_service(name: str, operations: Collection[str] = OPERATIONS) -> Service:
    """The service `name` of botocore's data, reduced to `operations`.

    Raises:
        Invalid: the model has no such operation: the installed botocore is too old.
    """
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    raw = loader.load_service_model(name, "service-2")
    model = ServiceModel(raw, name)
    known = frozenset(model.operation_names)
    unknown = sorted(set(operations) - known)
    if unknown:
        raise Invalid("botocore", f"its model of {name} has no {', '.join(unknown)}; install a later botocore")
    return Service(
        target_prefix=raw["metadata"]["targetPrefix"],
        media_type=f"application/x-amz-json-{raw['metadata']['jsonVersion']}",
        operations={each: _operation(model.operation_model(each)) for each in operations},
        others=known - set(operations),
        statuses={each: _status(shape) for each, shape in raw["shapes"].items() if shape.get("exception")},
    )


def _status(exception: Any) -> int:
    """The HTTP status of an error; taken from the raw model, because botocore's own view of it drops `fault`."""
    return int(exception.get("error", {}).get("httpStatusCode", 500 if exception.get("fault") else 400))


def _operation(operation: Any) -> Operation:
    errors = frozenset(shape.name for shape in operation.error_shapes)
    return Operation(operation.name, _shape(operation.input_shape), _shape(operation.output_shape), errors)


def _shape(model: Any) -> Shape:
    """The tree below a shape of botocore's; the shapes of Custom Labels hold no shape that holds itself."""
    kind, rules = model.type_name, model.metadata
    is_structure, is_map = kind == "structure", kind == "map"
    inner = model.value if is_map else model.member if kind == "list" else None
    demands = tuple(_demands(kind, rules))
    empty: Any = {"string": "", "list": [], "map": {}, "blob": b""}.get(kind)
    return Shape(
        name=model.name,
        kind=kind,
        demands=demands,
        allowed=frozenset(rules["enum"]) if rules.get("enum") else None,
        may_be_empty=empty is not None and all(demand.holds(empty) for demand in demands),
        is_secret=bool(rules.get("sensitive")),
        members={name: _shape(member) for name, member in model.members.items()} if is_structure else {},
        required=tuple(model.required_members) if is_structure else (),
        inner=_shape(inner) if inner is not None else None,
        key=_shape(model.key) if is_map else None,
        longest=rules.get("max") if kind in ("list", "map") else None,
    )


def _demands(kind: str, rules: Any) -> Iterator[Demand]:
    least, most = rules.get("min"), rules.get("max")
    noun = "value" if kind in NUMBERS else "length"
    size: Callable[[Any], Any] = (lambda value: value) if kind in NUMBERS else len
    if most is not None:
        yield Demand(lambda value: bool(size(value) <= most), f"have {noun} less than or equal to {most}")
    if least is not None:
        yield Demand(lambda value: bool(size(value) >= least), f"have {noun} greater than or equal to {least}")
    if "pattern" in rules:
        matches = java_pattern(rules["pattern"]).fullmatch
        # A text that is too long is refused for that; a pattern may take the square of its length to fail.
        is_matched = lambda value: (most is not None and len(value) > most) or matches(value) is not None  # noqa: E731
        yield Demand(is_matched, f"satisfy regular expression pattern: {rules['pattern']}")
    if rules.get("enum"):
        allowed = tuple(rules["enum"])
        yield Demand(lambda value: value in allowed, f"satisfy enum value set: [{', '.join(allowed)}]")


def java_pattern(text: str) -> regex.Pattern[str]:
    r"""A pattern of the model, to be used with `fullmatch`, with Java's meaning of the parts that the model uses.

    The whole text must match; \d, \w and \s are ASCII, while \p{L} is Unicode's; a dot matches none of Java's line
    ends.

    Example:
        >>> bool(java_pattern(r"\d+").fullmatch("\u0664")), bool(java_pattern(".{1,}").fullmatch("a\rb"))
        (False, False)
    """
    pieces = []
    in_class = False
    for piece in regex.findall(r"\\.|.", text, regex.DOTALL):
        in_class = piece == "[" or (in_class and piece != "]")
        pieces.append(f"[^{_LINE_ENDS}]" if piece == "." and not in_class else piece)
    return regex.compile("".join(pieces), 0 if r"\p{" in text else regex.ASCII)

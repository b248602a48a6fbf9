"""What the walks through the service share: a house, how something is asked of it, and what must hold of the answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from deconfuse.errors import DeconfuseError
from deconfuse.store.registry import READABLE
from deconfuse.store.schema import METADATA
from deconfuse.wire.faults import code_of
from deconfuse.wire.shapes import load_service
from houses import make_house

_HERE = "arn:aws:rekognition:us-east-1:123456789012:project/a"
NEVER = {
    "project": (f"{_HERE}/1", f"{_HERE.replace('east', 'west')}/1893553445680"),
    "dataset": (f"{_HERE}/dataset/train/1",),
    "version": (f"{_HERE}/version/1/1",),
}
"""ARNs that never named anything, by noun."""


AT_REST = {*READABLE, "CREATE_FAILED", "TRAINING_COMPLETED", "TRAINING_FAILED", "COPYING_COMPLETED", "COPYING_FAILED"}
AT_REST |= {"RUNNING", "FAILED", "STOPPED"}
"""In these a dataset or version may stay for ever; every other status is left by a job."""


@cache
def declared(operation: str) -> frozenset[str]:
    """The codes of the errors that AWS's model lets an operation raise."""
    return load_service("rekognition").operations[operation].errors


Images = dict[str, str]
"""Label by image, in the order in which the lines came."""


@dataclass
class Home:
    """What is remembered of a project.

    Attributes:
        policies: revision and document by name.
        lots: its datasets by kind, in the order of their creation.
        models: its versions by name, in that order.
    """

    name: str
    arn: str
    policies: dict[str, tuple[str, str]] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)


@dataclass
class Lot:
    """What is remembered of a dataset; `source` is the manifest or the dataset that it is made of."""

    id: int
    arn: str
    home: Home
    kind: str
    status: str
    images: Images = field(default_factory=dict)
    source: str | Lot | None = None


@dataclass
class Model:
    """What is remembered of a version; `source` is the one that it is a copy of."""

    id: int
    arn: str
    home: Home
    name: str
    status: str
    output: str
    source: Model | None = None
    is_gone: bool = False


class Walk(RuleBasedStateMachine):
    """A walk through a house of its own; `LIMITS` are those of the house."""

    LIMITS: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        """Begins with an empty house."""
        super().__init__()
        self.leaving = ExitStack()
        folder = self.leaving.enter_context(tempfile.TemporaryDirectory())
        self.house = make_house(Path(folder), **self.LIMITS)
        self.leaving.callback(self.house.database.close)
        self.homes: dict[str, Home] = {}
        self.gone = {noun: list(arns) for noun, arns in NEVER.items()}
        self.tags: dict[str, dict[str, str]] = {}

    def teardown(self) -> None:
        """Leave nothing on the disk."""
        self.leaving.close()

    def ask(self, operation: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What `act` gives, or the class of the error that it raises.

        An error is one that `operation` declares, and it has changed nothing.
        """
        before = self.everything()
        try:
            return act(self.house, *arguments, **named)
        except DeconfuseError as raised:
            error = raised
        assert code_of(error) in declared(operation), f"{operation} does not declare {error!r}"
        assert before == self.everything(), f"{operation} raised {error!r} and changed something"
        return type(error)

    def everything(self) -> list[Any]:
        """Every row of the database."""
        with self.house.database.read() as rows:
            return [rows.exec_driver_sql(f"SELECT * FROM {table.name}").all() for table in METADATA.sorted_tables]

    def some_arn(self, data: st.DataObject) -> str:
        """The ARN of a project, seldom of one that is not there."""
        arns = [home.arn for home in self.homes.values()]
        return data.draw(st.sampled_from([*arns, *arns, *arns, *self.gone["project"][-2:]]))

    def home(self, arn: str) -> Home | None:
        """What is remembered of the project with this ARN."""
        return next((home for home in self.homes.values() if home.arn == arn), None)

    def pages(self, data: st.DataObject, operation: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The items of a whole list, asked for in pages of some size; the class of an error, if there is one."""
        found: list[Any] = []
        limit, token = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([None, ""]))
        while True:
            result = self.ask(operation, act, *arguments, **named, limit=limit, token=token)
            if isinstance(result, type):
                return result
            items, token = result
            found += items
            assert len(items) <= limit
            if token is None:
                return found
            assert len(items) == limit

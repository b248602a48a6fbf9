"""See which labels an image model confuses, fix that, and see it again, in seconds.

The house, from the ground up; a floor uses any floor beneath it and none above:

    errors                                  what can go wrong
    tables, names, signing                  nouns, spelling, proof of identity
    measure                                 mathematics on counts
    formats, insights, learn, vision        other people's files · findings · classifiers · images to vectors
    report, store                           views to text, pictures and pages · rows and objects that last
    engine                                  long work: import, embed, train, count, evaluate, export
    service                                 what may be asked of a server, and every rule of it
    asgi, wire, gateway, server             HTTP: one request · the API · S3 · one port for them
    settings, app, caretaker, cli           the environment · where everything is put together · commands

Images and labels walk through formats (rows), vision (vectors), learn (probabilities), measure (counts), insights
(findings) and report (pages). docs/contributing.md tells the rest.

Nothing heavier than names is imported until a public name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deconfuse import names

if TYPE_CHECKING:
    from deconfuse.app import open_run, show, train
    from deconfuse.engine.run import Run
    from deconfuse.measure.matrix import ConfusionMatrix

__version__ = names.VERSION
__all__ = ["ConfusionMatrix", "Run", "open_run", "show", "train"]

_HOMES = {
    "ConfusionMatrix": "deconfuse.measure.matrix",
    "Run": "deconfuse.engine.run",
    "open_run": "deconfuse.app",
    "show": "deconfuse.app",
    "train": "deconfuse.app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deconfuse' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

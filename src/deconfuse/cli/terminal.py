"""What the terminal at hand can show."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terminal:
    """The width in characters of what is printed to, and whether it takes colour."""

    width: int
    color: bool


def terminal() -> Terminal:
    """The terminal behind stdout; NO_COLOR and FORCE_COLOR decide about colour where they are set and not empty."""
    width = shutil.get_terminal_size((100, 24)).columns
    if os.environ.get("NO_COLOR"):
        return Terminal(width, color=False)
    if os.environ.get("FORCE_COLOR"):
        return Terminal(width, color=True)
    return Terminal(width, color=sys.stdout.isatty() and os.environ.get("TERM") != "dumb")

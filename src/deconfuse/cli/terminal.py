"""What the terminal at hand can show."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Terminal:
    """The width in characters of what is printed to, and whether it takes colour."""

    width: int
    color: bool


def terminal() -> Terminal:
    """The terminal behind stdout."""
    return Terminal(shutil.get_terminal_size((100, 24)).columns, color=takes_color(sys.stdout))


def takes_color(stream: TextIO) -> bool:
    """Whether what is printed to `stream` may be coloured; NO_COLOR and FORCE_COLOR decide where they are not empty."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"

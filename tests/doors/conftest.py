"""The command line, called as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deconfuse.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command left behind in the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture
def deconfuse(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """A function that runs a command in an empty working directory and gives its Answer."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["deconfuse", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        return Answer(int(left.value.code or 0), out, err)

    return call

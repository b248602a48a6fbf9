"""The command line, called as a user calls it; the API and the gateway, as clients meet them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import serving
from deconfuse.cli import main
from houses import make_house, now_utc

NODE = Path(__file__).parent / "clients" / "node"


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


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with AWS's SDK for JavaScript, version 3, from npm, and the scripts that use it."""
    folder = tmp_path_factory.mktemp("node")
    for path in NODE.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(install, cwd=folder, check=True, timeout=300)
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Iterator[serving.Service]:
    """An empty house behind its doors, on a free port, with the real clock."""
    with serving.served(make_house(tmp_path, now=now_utc)) as opened:
        yield opened
        assert opened.doors.faults == []


@pytest.fixture
def near(tmp_path: Path) -> Iterator[serving.Service]:
    """The same without a socket."""
    with serving.in_process(make_house(tmp_path, now=now_utc)) as opened:
        yield opened
        assert opened.doors.faults == []

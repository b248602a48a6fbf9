"""Progress bars on a terminal, and silence everywhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from worlds import label_folder

LOOK = """
from deconfuse.cli.progress import bars
import sys, time
with bars(quiet="--quiet" in sys.argv) as progress:
    for done in range(0, 41, 10):
        progress("reading images", done, 40)
        time.sleep(0.15)
    progress("fitting", 1, 1)
"""


def on_terminal(*arguments: object, cwd: Path, **environment: str) -> tuple[int, str]:
    """(exit code, what stood on stderr) of a Python process whose stderr is a terminal and whose stdout is not."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:  # Linux's word for a terminal that nobody writes to any more
        pass
    finally:
        os.close(ours)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode())


def test_a_bar_says_what_is_done_how_fast_and_how_long(tmp_path: Path) -> None:
    """The step, the number of the whole, items a second and the time left."""
    code, shown = on_terminal("-c", LOOK, cwd=tmp_path)

    assert code == 0
    assert re.search(r"reading images +\S+ +(10|20|30)/40 +\d+/s +0:00:0\d", shown), shown
    assert re.search(r"reading images +\S+ +40/40", shown)
    assert re.search(r"fitting +\S+ +1/1", shown)


def test_quiet_draws_nothing(tmp_path: Path) -> None:
    """Whoever asked for silence gets it on a terminal too."""
    assert on_terminal("-c", LOOK, "--quiet", cwd=tmp_path) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--quiet"]])
def test_nothing_is_drawn_where_nobody_looks(tmp_path: Path, arguments: list[str]) -> None:
    """A log file holds no bars."""
    command = [sys.executable, "-c", LOOK, *arguments]
    left = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)

    assert (left.stdout, left.stderr) == (b"", b"")


def test_the_first_training_shows_every_step(tmp_path: Path) -> None:
    """The graph of the backbone is made in sight, once; a second training does not mention it."""
    label_folder(tmp_path / "fruit", {"apple": 4, "leaf": 4})
    first, second = (
        on_terminal("-m", "deconfuse", "train", "fruit", cwd=tmp_path, DECONFUSE_CACHE=str(tmp_path / "cache"))
        for _ in range(2)
    )

    assert (first[0], second[0]) == (0, 0)
    for step in ("preparing backbone", "reading images", "fitting", "evaluating"):
        assert step in first[1]
    assert "preparing backbone" not in second[1]

"""`deconfuse serve` as a process of its own, on a free port.

with running(tmp_path / "home") as server:          started, and stopped at the end of the block
    server.url, server.exports()                    where it is, and what it has printed to be pasted
    server.lines()                                  what it has logged
    server.stop()                                   SIGTERM, or another signal: its exit code
finished(home, "--port", "0")                       a start that is to fail: exit code and stderr
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deconfuse

SOURCE = Path(deconfuse.__file__).parents[1]
START_SECONDS = 60


@dataclass
class Server:
    """A server that has said where it listens.

    Attributes:
        process: its process.
        url: its address.
        home: its directory.
        out: the file with its standard output.
        err: the file with its standard error.
    """

    process: subprocess.Popen[bytes]
    url: str
    home: Path
    out: Path
    err: Path

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rpartition(":")[2])

    def exports(self) -> dict[str, str]:
        """The variables that the first start has printed."""
        return dict(re.findall(r"^export (\w+)=(.*)$", self.out.read_text(), re.MULTILINE))

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.err.read_text().splitlines() if line.startswith("{")]

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 40) -> int:
        """Ask it to end: its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def command(home: Path, *flags: object) -> list[str]:
    """The command line of a server."""
    return [sys.executable, "-m", "deconfuse", "serve", "--home", str(home), *map(str, flags)]


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """The variables of a process that runs this deconfuse; what is not of AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {"PYTHONPATH": str(SOURCE), "AWS_EC2_METADATA_DISABLED": "true"} | dict(more)


def start(home: Path, *flags: object, variables: Mapping[str, str] = {}, within: Sequence[str] = ()) -> Server:
    """A server on this home; --port 0 unless `flags` say otherwise; `within` are words before its command line."""
    out, err = home.with_name(f"{home.name}.out"), home.with_name(f"{home.name}.err")
    chosen = flags if "--port" in flags else (*flags, "--port", "0")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*within, *command(home, *chosen)],
            stdout=stdout,
            stderr=stderr,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"listens on (\S+)", err.read_text())
        if found:
            return Server(process, found[1], home, out, err)
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise AssertionError(f"no server: {err.read_text()}")


@contextmanager
def running(
    home: Path, *flags: object, variables: Mapping[str, str] = {}, within: Sequence[str] = ()
) -> Iterator[Server]:
    """A server for the duration of a block."""
    server = start(home, *flags, variables=variables, within=within)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def finished(home: Path, *flags: object, variables: Mapping[str, str] = {}) -> tuple[int, str]:
    """Exit code and standard error of a server that does not come to listen."""
    done = subprocess.run(
        command(home, *flags), capture_output=True, env=environment(variables), timeout=START_SECONDS, check=False
    )
    return done.returncode, done.stderr.decode()

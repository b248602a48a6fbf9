"""A PostgreSQL of the tests' own: a throwaway cluster on 127.0.0.1, started with Debian's programs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


class Cluster:
    """A running PostgreSQL server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        """Makes a cluster in `folder`, which the user that PostgreSQL runs as must be able to enter."""
        self.folder = folder
        self.port = free_port()
        self._account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self._run("initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start the server, and return when it answers."""
        # Nothing of it must survive a crash of the machine, only crashes of the programs.
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop the server at once, as a crash of the machine would."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "tester", name)
        return f"postgresql://tester@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        account = self._account
        done = subprocess.run(
            [find(program), *arguments],
            cwd=self.folder,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster that is gone when the block ends."""
    folder = Path(mkdtemp(prefix="deconfuse-postgres-"))
    try:
        cluster = Cluster(folder)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find(program: str) -> str:
    """Where a program of PostgreSQL's server is; Debian keeps them off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = str(debian[-1]) if debian else shutil.which(program)
    assert found, f"{program} is missing (Debian: apt-get install postgresql)"
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

"""Puts and gets a second of the local store: python scripts/store_speed.py DIR [OBJECTS]; the disk is that of DIR."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from deconfuse.store.database import open_database
from deconfuse.store.local import LocalObjects


def rate(act: Callable[[int], object], n: int, threads: int) -> float:
    """How often a second `act` is done."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(act, range(n)))
    return n / (time.perf_counter() - start)


def main() -> None:
    """Measure objects of 1 and 100 KB, one thread and eight."""
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    root = Path(tempfile.mkdtemp(dir=sys.argv[1]))
    objects = LocalObjects(root, open_database(f"sqlite:///{root / 'rows.sqlite'}"), lambda: datetime.now(UTC))
    objects.create_bucket("photos")

    def get(i: int) -> None:
        with objects.get("photos", f"{i}") as content:
            for _ in content:
                pass

    for size in (1_000, 100_000):
        data = bytes(size)
        for threads in (1, 8):
            puts = rate(lambda i, data=data: objects.put("photos", f"{i}", data), n, threads)  # type: ignore[misc]
            gets = rate(get, n, threads)
            sys.stdout.write(f"{size:>7} bytes, {threads} threads: {puts:6.0f} puts/s, {gets:6.0f} gets/s\n")
    start = time.perf_counter()
    objects.list_objects("photos")
    sys.stdout.write(f"a page of {n} keys: {(time.perf_counter() - start) * 1000:.1f} ms\n")
    objects.database.close()
    shutil.rmtree(root)


if __name__ == "__main__":
    main()

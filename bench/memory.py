"""What the system says of a process's memory; imports nothing that would add to it."""

from __future__ import annotations

from pathlib import Path


def memory_mb(name: str, pid: int | str = "self") -> float:
    """What /proc says of a process in MB: VmRSS, what it holds, or VmHWM, the most so far; NaN without /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))

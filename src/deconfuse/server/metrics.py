"""What was counted, in the text form that Prometheus reads.

Counted by the one thread that runs the event loop, so nothing is locked. Labels take few values: doors, operations that
a door knows by name, and statuses.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from deconfuse import names

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the classes of the histogram of durations."""

_ROOM_FOR = 1000
"""More combinations of labels than this are counted without their operation."""


class Metrics:
    """Requests that were answered, since the server started."""

    def __init__(self) -> None:
        """Begins at zero."""
        self.n_open = 0
        self._started = time.time()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._bytes: Counter[tuple[str, str]] = Counter()
        self._classes: Counter[tuple[str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count(
        self, door: str, *, operation: str, status: int, seconds: float, n_received: int = 0, n_sent: int = 0
    ) -> None:
        """Count one request; `status` is 0 where its client left before the answer."""
        key = (door, operation, status)
        self._requests[key if key in self._requests or len(self._requests) < _ROOM_FOR else (door, "", status)] += 1
        self._bytes[door, "received"] += n_received
        self._bytes[door, "sent"] += n_sent
        place = next((i for i, bound in enumerate(BOUNDS_SECONDS) if seconds <= bound), len(BOUNDS_SECONDS))
        self._classes[door, place] += 1
        self._seconds[door] += seconds

    def text(self, *, jobs: Mapping[str, int], ended_jobs: Mapping[tuple[str, str], int], n_models: int) -> bytes:
        """Everything, for Prometheus.

        Args:
            jobs: how many jobs have each status.
            ended_jobs: how many ended, by (kind, outcome).
            n_models: how many models are in memory.
        """
        lines = [*_family("deconfuse_info", "gauge", "Which deconfuse this is.", [({"version": names.VERSION}, 1)])]
        lines += _family(
            "deconfuse_requests_total",
            "counter",
            "Requests answered; status 0: the client left first.",
            [({"door": d, "operation": o, "status": str(s)}, n) for (d, o, s), n in sorted(self._requests.items())],
        )
        lines += _family(
            "deconfuse_request_bytes_total",
            "counter",
            "Bytes of bodies.",
            [({"door": door, "direction": way}, n) for (door, way), n in sorted(self._bytes.items())],
        )
        lines += self._durations()
        lines += _family("deconfuse_requests_open", "gauge", "Requests at work.", [({}, self.n_open)])
        lines += _family(
            "deconfuse_jobs", "gauge", "Jobs by status.", [({"status": s}, n) for s, n in sorted(jobs.items())]
        )
        lines += _family(
            "deconfuse_jobs_ended_total",
            "counter",
            "Jobs that this server completed or saw fail.",
            [({"kind": kind, "outcome": outcome}, n) for (kind, outcome), n in sorted(ended_jobs.items())],
        )
        lines += _family("deconfuse_models_loaded", "gauge", "Models in memory.", [({}, n_models)])
        lines += self._process()
        return "".join(f"{line}\n" for line in lines).encode()

    def _durations(self) -> Iterable[str]:
        name = "deconfuse_request_seconds"
        yield from _head(name, "histogram", "From the first byte of a request to the last of its answer.")
        for door, seconds in sorted(self._seconds.items()):
            total = 0
            for place, bound in enumerate((*BOUNDS_SECONDS, "+Inf")):
                total += self._classes[door, place]
                yield _line(f"{name}_bucket", {"door": door, "le": str(bound)}, total)
            yield _line(f"{name}_sum", {"door": door}, seconds)
            yield _line(f"{name}_count", {"door": door}, total)

    def _process(self) -> Iterable[str]:
        times = os.times()
        name = "process_start_time_seconds"
        yield from _family(name, "gauge", "Start, seconds since 1970.", [({}, self._started)])
        used = times.user + times.system
        yield from _family("process_cpu_seconds_total", "counter", "Processor time.", [({}, used)])
        if (size := _resident_bytes()) is not None:
            yield from _family("process_resident_memory_bytes", "gauge", "Memory in use.", [({}, size)])
        descriptors = Path("/proc/self/fd")
        if descriptors.is_dir():
            n_open = sum(1 for _ in descriptors.iterdir())
            yield from _family("process_open_fds", "gauge", "Open files and connections.", [({}, n_open)])


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _family(name: str, kind: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    yield from _head(name, kind, text)
    for labels, value in values:
        yield _line(name, labels, value)


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

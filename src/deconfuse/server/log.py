"""The log: one line of JSON on stderr for each request and for each event.

    {"time":"2026-05-01T12:30:00.123Z","level":"info","event":"request","request":"…","door":"s3",…}

A line never holds a secret, a signature, a query or a header; whoever logs an event puts no such thing into its words.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

REQUESTS = logging.getLogger("deconfuse.requests")
"""Where each request leaves its line: the fields are the record's attribute `fields`."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            line["room"] = record.name
        else:
            line |= fields
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, separators=(",", ":"), default=str)


def log_to_stderr() -> None:
    """Send every event of this process to stderr as a line of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("deconfuse").setLevel(logging.INFO)
    # A client that speaks no HTTP is no event of ours; what it sent is answered with 400.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)

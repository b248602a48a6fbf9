"""The runner of a server."""

from __future__ import annotations

from deconfuse.engine.jobs import Heart, Task, perform_job

__all__ = ["Heart", "Task", "perform_job"]

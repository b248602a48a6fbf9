"""Progress bars on stderr: what is done, how fast, how long it will take.

`bars(quiet=…)` gives the callback that long work reports to. Nothing is drawn when stderr is no terminal or `quiet`
is set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Called as progress(step, done, total): the step's name in words, what is done of it, and how much there is."""


@contextmanager
def bars(*, quiet: bool) -> Iterator[Progress]:
    """A progress callback for the duration of a `with` block."""
    if quiet or not sys.stderr.isatty():
        yield lambda step, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Task as RichTask

    class Rate(TextColumn):
        """Items a second."""

        def __init__(self) -> None:
            super().__init__("")

        def render(self, task: RichTask):  # type: ignore[no-untyped-def]  # rich's own type is its Text
            from rich.text import Text

            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed and speed >= 1 else "", style="dim")

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as shown:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = shown.add_task(step, total=total)
            shown.update(tasks[step], completed=done, total=total)

        yield report

"""Every kind of job that is asked for is done by somebody."""

from __future__ import annotations

import re
from pathlib import Path

from deconfuse.service import house as service_house
from deconfuse.service.work import tasks
from houses import make_house


def test_every_kind_of_job_that_is_asked_for_has_its_task(tmp_path: Path) -> None:
    """The kinds that use cases add, and no others: a job that nobody takes would wait for ever."""
    folder = Path(service_house.__file__).parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    asked = set(re.findall(r'registry\.add_job\(\s*rows,\s*"([a-z-]+)"', text))

    assert asked == tasks(make_house(tmp_path)).keys()


def test_only_trainings_run_in_processes_of_their_own(tmp_path: Path) -> None:
    """And only deletions are tried for ever: nothing else can become of what is deleted."""
    found = tasks(make_house(tmp_path))

    assert [kind for kind, task in found.items() if task.is_child] == ["train"]
    assert [kind for kind, task in found.items() if not task.attempts] == ["delete-dataset", "delete-version"]

"""Who does the long work: for each kind of job what performs it, what is written when it fails, and where it runs.

Each of them bears being killed at any moment and begun again. Trainings run in processes of their own, for they take
memory and processors; everything else in threads of the server. Deletions are tried as often as it takes, because
nothing can follow them but the end of their subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from deconfuse.engine.jobs import Heart, Task
from deconfuse.service import copying, loading, serving, training, versions
from deconfuse.service.house import House
from deconfuse.store.registry import Job, Rows

Perform = Callable[[House, Job, Heart], None]
Fail = Callable[[House, Rows, Job, str], None]


def tasks(house: House) -> Mapping[str, Task]:
    """What is done for jobs in this house, by their kind."""

    def task(perform: Perform, fail: Fail, *, attempts: int = 3, is_child: bool = False) -> Task:
        return Task(partial(perform, house), partial(fail, house), attempts, is_child)

    return {
        "create-dataset": task(loading.perform_create_dataset, loading.fail_create_dataset),
        "distribute": task(loading.perform_distribute, loading.fail_distribute),
        "delete-dataset": task(loading.perform_delete_dataset, loading.fail_delete_dataset, attempts=0),
        "train": task(training.perform_train, training.fail_train, is_child=True),
        "start-version": task(serving.perform_start_version, serving.fail_start_version),
        "copy-version": task(copying.perform_copy_version, copying.fail_copy_version),
        "delete-version": task(versions.perform_delete_version, versions.fail_delete_version, attempts=0),
    }

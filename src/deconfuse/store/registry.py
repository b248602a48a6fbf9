"""The registry's door: what the service remembers of projects, datasets, versions, jobs, keys, policies and tags.

    with database.write() as rows:
        project = registry.add_project(rows, "rooms", now_ms=now_ms)
        version = registry.add_version(rows, project.id, "1", now_ms=now_ms, output=("bucket", "prefix"))
        registry.add_job(rows, "train", noun="version", subject_id=version.id, now_ms=now_ms)

Every function takes the transaction first, so that whatever belongs together is written together; the clock, random
names and limits are handed in. What is given back is a plain frozen record, as it was at that moment. A list is cut
into pages, in an order that does not change between them; `Page.after` asks for the next.

Each noun has its module; whoever uses the registry names this one.

    projects    names, at most one dataset of each kind, any number of versions
    policies    who may copy out of a project
    datasets    their statuses and counts
    entries     their lines, a thousand in memory at a time
    versions    trained models and copies of them
    jobs        long work, claimed by one worker at a time
    keys        who may ask
    tags        words on projects, datasets and versions
    rows        what all of them share: the one way in which a status moves
"""

from __future__ import annotations

from deconfuse.store.datasets import (
    DATASET_MOVES,
    READABLE,
    Code,
    Dataset,
    DatasetStatus,
    Stats,
    add_dataset,
    dataset_in_the_way,
    find_dataset,
    get_dataset,
    hold_dataset,
    list_datasets,
    move_dataset,
    remove_dataset,
)
from deconfuse.store.entries import (
    EVERYTHING,
    EntryFilter,
    EntryRow,
    LabelCount,
    add_entries,
    clear_entries,
    copy_entries,
    count_entries,
    each_line,
    list_labels,
    list_labels_of_entries,
    list_lines,
    load_entries,
    move_entries,
    put_entries,
)
from deconfuse.store.jobs import (
    JOB_MOVES,
    Job,
    JobStatus,
    add_job,
    beat,
    cancel_jobs,
    claim_job,
    end_job,
    get_job,
    give_back_job,
    leave_job,
    list_jobs,
    remove_ended_jobs,
)
from deconfuse.store.keys import Access, Key, add_key, find_key, list_keys, revoke_key
from deconfuse.store.policies import Policy, list_policies, put_policy, remove_policy
from deconfuse.store.projects import (
    PROJECT_MOVES,
    Feature,
    Project,
    ProjectStatus,
    add_project,
    close_project,
    find_project,
    get_project,
    hold_project,
    list_projects,
    remove_project,
)
from deconfuse.store.rows import Moves, Page, Rows
from deconfuse.store.tags import MAX_TAGS, Noun, put_tags, remove_tags, tags_of
from deconfuse.store.versions import (
    DELETABLE,
    HOSTED,
    STARTABLE,
    VERSION_MOVES,
    Version,
    VersionLimits,
    VersionStatus,
    add_version,
    count_versions,
    end_version,
    find_status,
    find_version,
    get_version,
    list_versions,
    move_version,
    remove_version,
    start_version,
    version_in_the_way,
)

__all__ = [
    "DATASET_MOVES",
    "DELETABLE",
    "EVERYTHING",
    "HOSTED",
    "JOB_MOVES",
    "MAX_TAGS",
    "PROJECT_MOVES",
    "READABLE",
    "STARTABLE",
    "VERSION_MOVES",
    "Access",
    "Code",
    "Dataset",
    "DatasetStatus",
    "EntryFilter",
    "EntryRow",
    "Feature",
    "Job",
    "JobStatus",
    "Key",
    "LabelCount",
    "Moves",
    "Noun",
    "Page",
    "Policy",
    "Project",
    "ProjectStatus",
    "Rows",
    "Stats",
    "Version",
    "VersionLimits",
    "VersionStatus",
    "add_dataset",
    "add_entries",
    "add_job",
    "add_key",
    "add_project",
    "add_version",
    "beat",
    "cancel_jobs",
    "claim_job",
    "clear_entries",
    "close_project",
    "copy_entries",
    "count_entries",
    "count_versions",
    "dataset_in_the_way",
    "each_line",
    "end_job",
    "end_version",
    "find_dataset",
    "find_key",
    "find_project",
    "find_status",
    "find_version",
    "get_dataset",
    "get_job",
    "get_project",
    "get_version",
    "give_back_job",
    "hold_dataset",
    "hold_project",
    "leave_job",
    "list_datasets",
    "list_jobs",
    "list_keys",
    "list_labels",
    "list_labels_of_entries",
    "list_lines",
    "list_policies",
    "list_projects",
    "list_versions",
    "load_entries",
    "move_dataset",
    "move_entries",
    "move_version",
    "put_entries",
    "put_policy",
    "put_tags",
    "remove_dataset",
    "remove_ended_jobs",
    "remove_policy",
    "remove_project",
    "remove_tags",
    "remove_version",
    "revoke_key",
    "start_version",
    "tags_of",
    "version_in_the_way",
]

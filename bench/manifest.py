"""The largest manifest there may be, through a running server: seconds, and the server's memory; bench.py calls it.

    python bench/manifest.py [LINES]        250000; prints the table of docs/service-datasets.md

The manifest is put by S3, a dataset is created from it, listed in pages, updated, distributed, copied and deleted. The
same happens to a tenth of the lines at a server of its own: memory is bounded where both need about the same. No image
is needed, for datasets do not open them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from memory import memory_mb
from service import BUCKET, Row, Server, manifest_line, running, wait_until

LINES = 250_000
LABELS = 50
LINE_BYTES = 400
PAGE = 100
UPDATE_BYTES = 5_000_000


def lines_of(count: int, *, shift: int = 0) -> Iterator[bytes]:
    """Lines of `LINE_BYTES`, an image each; with a `shift` the same images with other labels."""
    for number in range(count):
        label = f"label {(number + shift) % LABELS:02}"
        fill = "x" * (LINE_BYTES - 2 - len(manifest_line(f"{number:06}.jpg", label)))
        yield manifest_line(f"{fill}/{number:06}.jpg", label).encode() + b"\n"


def shortest_lines() -> bytes:
    """As many lines as one update may bring."""
    count = UPDATE_BYTES // len('{"source-ref":"s3://bbb/100000"}\n')
    return b"".join(b'{"source-ref":"s3://bbb/%06d"}\n' % number for number in range(count))


class Walk:
    """One manifest at one server.

    Attributes:
        before_mb: what the server held when it had started.
        seconds: of each step, by its description.
        most_mb: the most the server had held by the end of each step, by its description.
    """

    def __init__(self, server: Server, manifest: Path, count: int) -> None:
        """Nothing has happened yet."""
        self._pid, self._manifest, self._count = server.pid, manifest, count
        self._s3, self._api = server.client("s3"), server.client("rekognition")
        self._projects: dict[str, str] = {}
        self._train = self._copy = ""
        self.before_mb = memory_mb("VmRSS", server.pid)
        self.seconds: dict[str, float] = {}
        self.most_mb: dict[str, float] = {}

    def walk(self, steps: Steps) -> None:
        """Every step, once."""
        for what, step in steps.items():
            begun = time.perf_counter()
            step(self)
            self.seconds[what] = time.perf_counter() - begun
            self.most_mb[what] = memory_mb("VmHWM", self._pid)

    def put(self) -> None:
        """The manifest, by S3."""
        self._s3.create_bucket(Bucket=BUCKET)
        with self._manifest.open("rb") as body:
            self._s3.put_object(Bucket=BUCKET, Key="large.manifest", Body=body)

    def create(self) -> None:
        """A dataset from it."""
        place = {"GroundTruthManifest": {"S3Object": {"Bucket": BUCKET, "Name": "large.manifest"}}}
        self._train = self._created("large", "TRAIN", DatasetSource=place)
        self._settle(self._train, self._count)

    def list_all(self) -> None:
        """Every line, page after page."""
        paginator = self._api.get_paginator("list_dataset_entries")
        pages = paginator.paginate(DatasetArn=self._train, PaginationConfig={"PageSize": PAGE})
        found = sum(len(page["DatasetEntries"]) for page in pages)
        if found != self._count:
            raise RuntimeError(f"{found} of {self._count} lines were listed")

    def update(self) -> None:
        """Lines for images that are there, with other labels."""
        lines = list(lines_of(min(UPDATE_BYTES // LINE_BYTES, self._count), shift=1))
        self._api.update_dataset_entries(DatasetArn=self._train, Changes={"GroundTruth": b"".join(lines)})
        self._settle(self._train, self._count)
        first = self._api.list_dataset_entries(DatasetArn=self._train, MaxResults=1)["DatasetEntries"][0]
        if "label 01" not in json.loads(first):
            raise RuntimeError(f"not updated: {first}")

    def distribute(self) -> None:
        """A fifth of the lines goes to the test dataset."""
        test = self._created("large", "TEST")
        self._api.distribute_dataset_entries(Datasets=[{"Arn": self._train}, {"Arn": test}])
        self._settle(self._train, self._count - self._count // 5)
        self._settle(test, self._count // 5)

    def copy(self) -> None:
        """A dataset of another project with the lines that stayed."""
        self._copy = self._created("copy", "TRAIN", DatasetSource={"DatasetArn": self._train})
        self._settle(self._copy, self._count - self._count // 5)

    def delete(self) -> None:
        """That copy."""
        self._api.delete_dataset(DatasetArn=self._copy)
        wait_until(lambda: not self._is_there(self._copy), step=0.1)

    def update_shortest(self) -> None:
        """The most lines that one update can bring, for an empty dataset."""
        lines = shortest_lines()
        dataset = self._created("short", "TRAIN")
        self._api.update_dataset_entries(DatasetArn=dataset, Changes={"GroundTruth": lines})
        self._settle(dataset, lines.count(b"\n"))

    def _created(self, project: str, kind: str, **source: Any) -> str:
        if project not in self._projects:
            self._projects[project] = self._api.create_project(ProjectName=project)["ProjectArn"]
        made = self._api.create_dataset(ProjectArn=self._projects[project], DatasetType=kind, **source)
        return str(made["DatasetArn"])

    def _described(self, dataset: str) -> dict[str, Any]:
        return dict(self._api.describe_dataset(DatasetArn=dataset)["DatasetDescription"])

    def _is_there(self, dataset: str) -> bool:
        try:
            return bool(self._described(dataset))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return False

    def _settle(self, dataset: str, count: int) -> None:
        wait_until(lambda: not self._described(dataset)["Status"].endswith("_IN_PROGRESS"), step=0.1)
        found = self._described(dataset)
        if not found["Status"].endswith("_COMPLETE") or found["DatasetStats"]["TotalEntries"] != count:
            raise RuntimeError(f"{found['Status']}: {found['StatusMessage']} {found['DatasetStats']}")


Steps = dict[str, Callable[[Walk], None]]
FIRST: Steps = {
    "put by S3": Walk.put,
    "create from the manifest": Walk.create,
    f"list all in pages of {PAGE}": Walk.list_all,
    "update of 5 MB": Walk.update,
}
MORE: Steps = {
    "distribute a fifth": Walk.distribute,
    "copy what stayed": Walk.copy,
    "delete the copy": Walk.delete,
    "update of 5 MB in the shortest lines there can be": Walk.update_shortest,
}


def walks(count: int, steps: Steps) -> tuple[Walk, Walk]:
    """What became of a manifest of so many lines, and of a tenth of it."""
    done = []
    with tempfile.TemporaryDirectory() as name:
        for each in (count, count // 10):
            home, manifest = Path(name) / f"home{each}", Path(name) / f"{each}.manifest"
            home.mkdir()
            with manifest.open("wb") as file:
                file.writelines(lines_of(each))
            with running(home, Path(name) / "cache") as server:
                done.append(Walk(server, manifest, each))
                done[-1].walk(steps)
    return done[0], done[1]


def manifest_row() -> Row:
    """The most memory of the first steps, beside that of a tenth of the lines."""
    whole, tenth = walks(LINES, FIRST)
    most, a_tenth = max(whole.most_mb.values()), max(tenth.most_mb.values())
    seconds = ", ".join(f"{what} {each:.1f} s" for what, each in whole.seconds.items())
    return (
        f"a manifest of {LINES:,} lines ({LINES * LINE_BYTES / 1e6:.0f} MB) through the API",
        f"{most:.0f} MB at the most",
        "what a tenth of it needs",
        f"a tenth {a_tenth:.0f} MB, before {whole.before_mb:.0f} MB; {seconds}",
    )


def main(count: int = LINES) -> None:
    """Print the table."""
    whole, tenth = walks(count, FIRST | MORE)
    print(f"{count:,} lines; before: {whole.before_mb:.0f} MB, {tenth.before_mb:.0f} MB\n")
    print("| what | seconds | most memory | with a tenth of the lines |\n| --- | --- | --- | --- |")
    for what, seconds in whole.seconds.items():
        print(f"| {what} | {seconds:.1f} | {whole.most_mb[what]:.0f} MB | {tenth.most_mb[what]:.0f} MB |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

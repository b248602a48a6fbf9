"""The transcript in docs/api.md: a whole story, told by boto3 to a server of its own.

    python scripts/api_transcript.py            write it between the markers in docs/api.md
    python scripts/api_transcript.py --check    say what would change, and end with 1 where anything would

The server is `deconfuse serve` in a temporary home on a free port; the pictures are drawn here. What differs from one
run to the next (moments, the numbers in ARNs, revisions, tokens, confidences) is written in one way, so that the same
service gives the same text.
"""

from __future__ import annotations

import difflib
import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
BEGIN = "<!-- transcript: made by scripts/api_transcript.py -->"
END = "<!-- end of transcript -->"
LABELS = {"leaf": (40, 150, 60), "sun": (235, 200, 40)}
N_EACH = 10
WIDTH = 100
STANDS = {
    "BillableTrainingTimeInSeconds": "seconds",
    "Confidence": "0 to 100",
    "NextToken": "token",
    "PolicyRevisionId": "32 digits",
    "UserId": "key",
}
"""What is written for members that another run would give differently."""
FAST = {"Delay": 0, "MaxAttempts": 10_000}
SECONDS = 300.0


class Same(str):
    """A text that stands for something else, shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def picture(label: str, number: int) -> bytes:
    """A PNG of a disc in the label's colour on a ground that the number decides."""
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(90, 165, (96, 96, 3), dtype=np.uint8))
    x, y = rng.integers(36, 60, 2)
    ImageDraw.Draw(image).ellipse((x - 30, y - 30, x + 30, y + 30), fill=LABELS[label])
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def manifest_line(key: str, label: str) -> str:
    """One image with its label, as AWS's console writes it."""
    metadata = {
        "confidence": 1,
        "class-name": label,
        "human-annotated": "yes",
        "creation-date": "2026-01-02T03:04:05.000Z",
        "type": "groundtruth/image-classification",
    }
    return json.dumps({"source-ref": f"s3://photos/{key}", label: 1, f"{label}-metadata": metadata})


def written(value: Any, margin: int = 0) -> str:
    """`value` as Python writes it, over several lines where one is too short for it."""
    line = repr(value)
    if len(line) + margin <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inside = " " * (margin + 4)
    if isinstance(value, list):
        items = [f"{inside}{written(item, margin + 4)}," for item in value]
        return "\n".join(["[", *items, " " * margin + "]"])
    items = [f"{inside}{key!r}: {written(item, margin + 4)}," for key, item in value.items()]
    return "\n".join(["{", *items, " " * margin + "}"])


class Transcript:
    """What was asked and answered, as text.

    Attributes:
        lines: of the text so far.
    """

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.lines: list[str] = []
        self._is_open = False
        self._names: dict[str, str] = {}
        self._numbers: dict[str, str] = {}

    def say(self, text: str) -> None:
        """A sentence between the calls."""
        self._close()
        self.lines += ["", text, ""]

    def call(self, client: Any, operation: str, *, shows: str | None = "all", name: str = "", **asked: Any) -> Any:
        """What the client's operation gives; the call is written down, and of the answer what `shows` names.

        Args:
            client: of boto3.
            operation: the name of its method.
            shows: "all", a member of the answer, or None for nothing.
            name: gives the one member of the answer this name, which stands for it in later calls.
            asked: the parameters.
        """
        self._ask(f"{client.meta.service_model.service_name}.{operation}", asked)
        try:
            answer = getattr(client, operation)(**asked)
        except ClientError as error:
            kind, said = type(error).__name__, error.response["Error"]
            kind += f" ({said['Code']})" if kind == "ClientError" else ""
            self.lines.append(f"{kind}: {self._same(said['Message'])}")
            return None
        answer.pop("ResponseMetadata", None)
        if shows is not None and answer:
            self._show(answer if shows == "all" else answer[shows])
        if name:
            ((member, value),) = answer.items()
            self.lines.append(f">>> {name} = _[{member!r}]")
            self._names[value] = name
        return answer

    def wait(self, client: Any, waiter: str, **asked: Any) -> None:
        """Wait as a program would, but without pauses."""
        self._ask(f"{client.meta.service_model.service_name}.get_waiter({waiter!r}).wait", asked)
        client.get_waiter(waiter).wait(WaiterConfig=FAST, **asked)

    def wait_while(self, condition: str, client: Any) -> None:
        """Wait as a program would, but without long pauses, while an expression over `rekognition` and names holds."""
        self.do(f"while {condition}:")
        self.lines.append("...     time.sleep(1)")
        known = {name: value for value, name in self._names.items()} | {"rekognition": client}
        until(lambda: not eval(condition, known))  # noqa: S307 - what is shown is what was awaited

    def do(self, code: str) -> None:
        """A line of Python that shows nothing."""
        self._open()
        self.lines.append(f">>> {code}")

    def show(self, code: str, value: Any) -> None:
        """A line of Python, and what it gives."""
        self.do(code)
        self._show(value)

    def text(self) -> str:
        """All of it."""
        self._close()
        return "\n".join(self.lines).strip() + "\n"

    def _open(self) -> None:
        if not self._is_open:
            self.lines.append("```python")
        self._is_open = True

    def _close(self) -> None:
        if self._is_open:
            self.lines.append("```")
        self._is_open = False

    def _ask(self, name: str, asked: Mapping[str, Any]) -> None:
        self._open()
        named = {key: self._same(self._named(value)) for key, value in asked.items()}
        line = f">>> {name}({', '.join(f'{key}={value!r}' for key, value in named.items())})"
        if len(line) <= WIDTH:
            self.lines.append(line)
            return
        given = [f"{key}={written(value, 4)}," for key, value in named.items()]
        self.lines += [f">>> {name}(", *(f"...     {line}" for each in given for line in each.split("\n")), "... )"]

    def _show(self, value: Any) -> None:
        self.lines += written(self._same(value)).split("\n")

    def _named(self, value: Any) -> Any:
        """`value` with names in place of what was given one."""
        if isinstance(value, dict):
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._named(item) for item in value]
        return Same(self._names[value]) if isinstance(value, str) and value in self._names else value

    def _same(self, value: Any, name: str = "") -> Any:
        """`value` with everything that another run would give differently in one form."""
        if isinstance(value, dict):
            return {key: self._same(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._same(item, name) for item in value]
        if isinstance(value, bytes):
            return Same("<a line of a manifest>" if name == "GroundTruth" else "<the bytes of a picture>")
        if isinstance(value, datetime):
            return Same("<datetime>")
        if name in STANDS:
            return Same(f"<{STANDS[name]}>")
        if isinstance(value, str) and not isinstance(value, Same):
            text = re.sub(r"(?<=/)1[0-9]{12}\b", lambda found: self._number(found[0]), value)
            return re.sub(r"AKIA[A-Z2-7]{16}", "<key>", text)
        return value

    def _number(self, digits: str) -> str:
        """The number of an ARN, counted from the first that was seen."""
        return self._numbers.setdefault(digits, str(1_700_000_000_000 + 1000 * len(self._numbers)))


@contextmanager
def server(home: Path) -> Iterator[dict[str, str]]:
    """A server that lives meanwhile; address and key, as `deconfuse credentials --format json` prints them."""
    command = [sys.executable, "-m", "deconfuse"]
    serve = [*command, "serve", "--home", str(home), "--port", "0"]
    with (home.parent / "server.log").open("wb+") as log:
        process = subprocess.Popen(serve, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + SECONDS
            while b"listens on" not in (home.parent / "server.log").read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the server does not start: " + (home.parent / "server.log").read_text())
                time.sleep(0.02)
            asked = [*command, "credentials", "--home", str(home), "--format", "json"]
            yield json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def until(is_so: Callable[[], bool]) -> None:
    """Return when it is so."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("something stays in progress for ever")
        time.sleep(0.02)


class Story:
    """The calls, in the order of the story; each chapter is a method."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        """Clients that nobody configured elsewhere."""
        self.transcript = Transcript()
        session = boto3.Session(
            credentials["AccessKeyId"], credentials["SecretAccessKey"], region_name=credentials["Region"]
        )
        options = {"endpoint_url": credentials["EndpointUrl"], "config": Config(retries={"total_max_attempts": 1})}
        self.rekognition = session.client("rekognition", **options)
        self.s3 = session.client("s3", **options)
        self.sts = session.client("sts", **options)

    def tell(self) -> str:
        """The whole story."""
        for chapter in (
            self.begin, self.datasets, self.entries, self.distribute, self.words, self.train, self.run, self.copy,
            self.mistakes, self.end,
        ):  # fmt: skip
            chapter()
        return self.transcript.text()

    def ask(self, operation: str, *, shows: str | None = "all", **asked: Any) -> Any:
        """An operation of Rekognition, written down."""
        return self.transcript.call(self.rekognition, operation, shows=shows, **asked)

    def begin(self) -> None:
        """Who asks, two buckets, a project."""
        say = self.transcript.say
        say("Who asks, a project, and two buckets: one for pictures, one for results.")
        self.transcript.call(self.sts, "get_caller_identity")
        self.project = self.ask("create_project", ProjectName="garden", Tags={"team": "sight"}, name="garden")[
            "ProjectArn"
        ]
        self.ask("describe_projects", ProjectNames=["garden"])
        for bucket in ("photos", "results"):
            self.transcript.call(self.s3, "create_bucket", shows=None, Bucket=bucket)
        lines = []
        for label in LABELS:
            for number in range(N_EACH):
                key = f"{label}/{number}.png"
                self.s3.put_object(Bucket="photos", Key=key, Body=picture(label, number))
                lines.append(manifest_line(key, label))
        self.s3.put_object(Bucket="photos", Key="all.manifest", Body="\n".join(lines).encode())
        say(
            f"Meanwhile {N_EACH} pictures of each of {len(LABELS)} labels were put into `photos` with `put_object`,\n"
            "and a "
            "manifest of them, `all.manifest`.\nA training dataset of the manifest, and an empty test dataset:"
        )

    def datasets(self) -> None:
        """One of a manifest, one that is empty."""
        source = {"GroundTruthManifest": {"S3Object": {"Bucket": "photos", "Name": "all.manifest"}}}
        made = [
            self.ask("create_dataset", ProjectArn=self.project, DatasetType=kind, **more, name=kind.lower())[
                "DatasetArn"
            ]
            for kind, more in (("TRAIN", {"DatasetSource": source}), ("TEST", {}))
        ]
        self.train_set, self.test_set = made
        self.settle(self.train_set)
        self.ask("describe_dataset", DatasetArn=self.train_set)

    def settle(self, arn: str) -> None:
        """Wait for a dataset."""
        name = "train" if arn == self.train_set else "test"
        status = f"rekognition.describe_dataset(DatasetArn={name})['DatasetDescription']['Status']"
        self.wait_while(f"{status}.endswith('IN_PROGRESS')")

    def wait_while(self, condition: str) -> None:
        """Wait while an expression over Rekognition holds, written down."""
        self.transcript.wait_while(condition, self.rekognition)

    def entries(self) -> None:
        """What lies in it."""
        self.transcript.say("What lies in it, page by page and by filter; one line is given another label, and back.")
        self.ask("list_dataset_entries", DatasetArn=self.train_set, SourceRefContains="leaf/3", HasErrors=False)
        self.ask("list_dataset_labels", DatasetArn=self.train_set, MaxResults=1)
        for label in ("sun", "leaf"):
            changes = {"GroundTruth": manifest_line("leaf/3.png", label).encode()}
            self.ask("update_dataset_entries", DatasetArn=self.train_set, Changes=changes)
            self.settle(self.train_set)
            self.ask("list_dataset_labels", DatasetArn=self.train_set, shows="DatasetLabelDescriptions")

    def distribute(self) -> None:
        """A fifth of the images for the test."""
        self.transcript.say("A fifth of the images becomes the test dataset.")
        both = [self.train_set, self.test_set]
        self.ask("distribute_dataset_entries", Datasets=[{"Arn": arn} for arn in both])
        for arn in both:
            self.settle(arn)
            self.ask("describe_dataset", DatasetArn=arn, shows="DatasetDescription")

    def words(self) -> None:
        """Tags and a policy."""
        self.transcript.say("Tags, and a policy that lets somebody copy versions out of the project.")
        self.ask("tag_resource", ResourceArn=self.train_set, Tags={"season": "spring", "old": "yes"})
        self.ask("untag_resource", ResourceArn=self.train_set, TagKeys=["old"])
        self.ask("list_tags_for_resource", ResourceArn=self.train_set)
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "111122223333"},
            "Action": "rekognition:CopyProjectVersion",
            "Resource": "*",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        asked = {"ProjectArn": self.project, "PolicyName": "share"}
        self.ask("put_project_policy", **asked, PolicyDocument=document)
        self.ask("list_project_policies", ProjectArn=self.project)
        self.ask("delete_project_policy", **asked)

    def train(self) -> None:
        """A version."""
        self.transcript.say("A version is trained, described, and its evaluation is fetched.")
        output = {"S3Bucket": "results", "S3KeyPrefix": "garden"}
        self.version = self.ask(
            "create_project_version",
            ProjectArn=self.project,
            VersionName="1",
            OutputConfig=output,
            VersionDescription="the first",
            KmsKeyId="alias/ours",
            name="version",
        )["ProjectVersionArn"]
        named = {"ProjectArn": self.project, "VersionNames": ["1"]}
        self.transcript.wait(self.rekognition, "project_version_training_completed", **named)
        described = self.ask("describe_project_versions", **named)["ProjectVersionDescriptions"][0]
        place = described["EvaluationResult"]["Summary"]["S3Object"]
        asked = {"Bucket": place["Bucket"], "Key": place["Name"]}
        answer = self.transcript.call(self.s3, "get_object", shows=None, **asked)
        self.transcript.do("summary = json.load(_['Body'])")
        summary = json.load(answer["Body"])
        results = summary["AggregatedEvaluationResults"]
        self.transcript.say("Of the summary that was fetched:")
        self.transcript.show('summary["AggregatedEvaluationResults"]["ConfusionMatrix"]', results["ConfusionMatrix"])

    def run(self) -> None:
        """It is started and asked."""
        self.transcript.say(
            "It is started and asked: by the thresholds of the labels, then for all labels, then for the surest."
        )
        self.ask("start_project_version", ProjectVersionArn=self.version, MinInferenceUnits=1)
        named = {"ProjectArn": self.project, "VersionNames": ["1"]}
        self.transcript.wait(self.rekognition, "project_version_running", **named)
        image = {"Bytes": picture("sun", 1000)}
        lying = {"S3Object": {"Bucket": "photos", "Name": "leaf/0.png"}}
        self.ask("detect_custom_labels", ProjectVersionArn=self.version, Image=image)
        self.ask("detect_custom_labels", ProjectVersionArn=self.version, Image=image, MinConfidence=0)
        self.ask("detect_custom_labels", ProjectVersionArn=self.version, Image=lying, MinConfidence=0, MaxResults=1)
        self.ask("stop_project_version", ProjectVersionArn=self.version)

    def copy(self) -> None:
        """Into another project."""
        self.transcript.say("It is copied into another project.")
        self.other = self.ask("create_project", ProjectName="park", name="park")["ProjectArn"]
        self.copied = self.ask(
            "copy_project_version",
            SourceProjectArn=self.project,
            SourceProjectVersionArn=self.version,
            DestinationProjectArn=self.other,
            VersionName="1",
            OutputConfig={"S3Bucket": "results", "S3KeyPrefix": "park"},
            name="copied",
        )["ProjectVersionArn"]
        versions = "rekognition.describe_project_versions(ProjectArn=park)['ProjectVersionDescriptions']"
        self.wait_while(f"{versions}[0]['Status'] == 'COPYING_IN_PROGRESS'")
        self.ask("describe_project_versions", ProjectArn=self.other)

    def mistakes(self) -> None:
        """What a client meets."""
        self.transcript.say("Mistakes, and what a client meets.")
        image = {"Bytes": picture("sun", 1000)}
        self.ask("create_project", ProjectName="garden")
        self.ask("create_project", ProjectName="my garden")
        self.ask("describe_dataset", DatasetArn=self.train_set.replace("garden", "meadow"))
        self.ask("describe_projects", NextToken="never given")
        self.ask("detect_custom_labels", ProjectVersionArn=self.version, Image=image)
        self.ask("delete_project", ProjectArn=self.project)

    def end(self) -> None:
        """Everything is deleted."""
        self.transcript.say("Everything is deleted; the results in the bucket stay, for they are yours.")
        for arn in (self.version, self.copied):
            self.ask("delete_project_version", ProjectVersionArn=arn)
        for arn in (self.train_set, self.test_set):
            self.ask("delete_dataset", DatasetArn=arn)
        for name in ("garden", "park"):
            self.wait_while(f"rekognition.describe_project_versions(ProjectArn={name})['ProjectVersionDescriptions']")
        projects = "rekognition.describe_projects()['ProjectDescriptions']"
        self.wait_while(f"any(project['Datasets'] for project in {projects})")
        for arn in (self.project, self.other):
            self.ask("delete_project", ProjectArn=arn)
        self.ask("describe_projects")


def told() -> str:
    """The transcript, by a server that was started for it."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "home") as credentials:
        return Story(credentials).tell()


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n\n{told()}\n{END}{after}"
    if arguments != ["--check"]:
        PAGE.write_text(made)
        return 0
    sys.stdout.writelines(difflib.unified_diff(page.splitlines(True), made.splitlines(True), "docs/api.md", "this run"))
    return int(made != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every operation meets every error that it declares, as a class of boto3's, or a table says why it cannot.

The house is idle: no job of it is ever done, so that each status stays as a test needs it; and as nothing but errors
comes out, one house is enough for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

import serving
from deconfuse.engine.predictor import Models
from deconfuse.service import keys
from deconfuse.service.house import House
from deconfuse.store import registry
from deconfuse.wire.endpoint import READS
from deconfuse.wire.operations import OPERATIONS
from deconfuse.wire.shapes import load_service
from houses import make_house, now_utc
from trainings import a_running_version, make_bucket
from worlds import BUCKET, drawing, encode, manifest_line, picture, tiny_backbone

SERVICE = load_service("rekognition")
ARN = "arn:aws:rekognition:us-east-1:123456789012:project"
GONE = f"{ARN}/gone/1690556751958"
GONE_DATASET = f"{ARN}/gone/dataset/train/1690556751958"
GONE_VERSION = f"{ARN}/gone/version/1/1690556751958"
OUTPUT = {"S3Bucket": "results", "S3KeyPrefix": "out"}
LIMITS = {"projects": 4, "trainings": 1, "copies": 1, "running": 1, "policies": 1}
POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
    '"Action":"rekognition:CopyProjectVersion","Resource":"*"}]}'
)

INVALID = "InvalidParameterException"
TOKEN = "InvalidPaginationTokenException"
ABSENT = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
NOT_READY = "ResourceNotReadyException"
EXISTS = "ResourceAlreadyExistsException"
LIMIT = "LimitExceededException"
QUOTA = "ServiceQuotaExceededException"
OBJECT = "InvalidS3ObjectException"
DENIED = "AccessDeniedException"
INTERNAL = "InternalServerError"

NEVER: dict[str, set[str]] = {
    # Only the images of DetectCustomLabels are counted at a time; the other operations just wait.
    "": {"ThrottlingException", "ProvisionedThroughputExceededException"},
    # The model's own constraint, ValidationException, says it first.
    "UpdateDatasetEntries": {LIMIT, INVALID},
    # There is no limit to meet: a project has two datasets at most.
    "CreateDataset": {LIMIT},
    "DeleteDataset": {LIMIT, INVALID},
    # A full project is LimitExceededException, and nothing else has a quota.
    "CreateProjectVersion": {QUOTA},
    "CopyProjectVersion": {QUOTA},
    "PutProjectPolicy": {LIMIT},
    # The only parameter is an ARN, whose spelling the model's pattern decides: ValidationException.
    "DeleteProject": {INVALID},
    "DeleteProjectVersion": {INVALID},
    "StopProjectVersion": {INVALID},
    # The same; and a read-only key may ask.
    "DescribeDataset": {INVALID, DENIED},
    "DescribeProjects": {INVALID, DENIED},
    "DescribeProjectVersions": {INVALID, DENIED},
    "ListDatasetEntries": {INVALID, DENIED},
    "ListDatasetLabels": {INVALID, DENIED},
    "ListProjectPolicies": {INVALID, DENIED},
    "ListTagsForResource": {DENIED},
    # Only an image in a foreign bucket could be denied, and AWS calls that InvalidS3ObjectException.
    "DetectCustomLabels": {LIMIT, DENIED},
}
"""Codes that an operation declares and that do not occur here, beside those of the empty name."""


def manifest_of(key: str, bucket: str = BUCKET) -> dict[str, Any]:
    """A source of a dataset, or an asset."""
    return {"GroundTruthManifest": {"S3Object": {"Bucket": bucket, "Name": key}}}


class World:
    """What the requests of the table name: ARNs as text, and clients.

    Attributes:
        api: with a full key.
        reader: with a read-only key.
        broken: of a house in which everything fails.
        crowded: of a house in which an image is in work and none may wait.
        rooms: a project with a policy, and datasets without entries: train and test.
        busy: a project with a dataset that is being created for ever, loading, and one that is being updated,
            updating; and a version that is in training, training.
        shop: a project with a running version, a stopped one, and a dataset.
    """

    def __init__(self, house: House, stack: ExitStack) -> None:
        """Fills the house."""
        self.house = house
        service = stack.enter_context(serving.in_process(house, is_idle=True))
        self.api = service.client("rekognition")
        self.reader = service.client("rekognition", key=keys.create_key(house, access="read"))
        broken = stack.enter_context(serving.in_process(replace(house, clock=_broken), is_idle=True))
        self.broken = broken.client("rekognition")
        models = Models(tiny_backbone, most_models=1, most_at_once=1, most_waiting=0)
        stack.enter_context(models.turn())
        crowded = stack.enter_context(serving.in_process(replace(house, models=models), is_idle=True))
        self.crowded = crowded.client("rekognition")
        self._fill()

    def _fill(self) -> None:
        house, api = self.house, self.api
        make_bucket(house, BUCKET)
        make_bucket(house, "results")
        house.objects.put(BUCKET, "one.manifest", manifest_line("a.png", ("leaf",)) + b"\n")
        house.objects.put(BUCKET, "small.png", picture("leaf", side=20))
        house.objects.put(BUCKET, "text.png", b"no image")
        house.objects.put(BUCKET, "large.png", b"\0" * (15 * 2**20 + 1))
        self.running = a_running_version(house)
        self.shop = self._arn_of("shop")
        api.create_dataset(ProjectArn=self.shop, DatasetType="TRAIN")
        self.stopped = self._version("shop", "stopped", "COPYING_COMPLETED")
        self.failed = self._version("shop", "failed", "TRAINING_FAILED")
        self.rooms = api.create_project(ProjectName="rooms")["ProjectArn"]
        self.train = api.create_dataset(ProjectArn=self.rooms, DatasetType="TRAIN")["DatasetArn"]
        self.test = api.create_dataset(ProjectArn=self.rooms, DatasetType="TEST")["DatasetArn"]
        self.revision = api.put_project_policy(ProjectArn=self.rooms, PolicyName="share", PolicyDocument=POLICY)[
            "PolicyRevisionId"
        ]
        self.busy = api.create_project(ProjectName="busy")["ProjectArn"]
        self.empty = api.create_project(ProjectName="empty")["ProjectArn"]
        self.loading = api.create_dataset(
            ProjectArn=self.busy, DatasetType="TRAIN", DatasetSource=manifest_of("one.manifest")
        )["DatasetArn"]
        self.updating = api.create_dataset(ProjectArn=self.busy, DatasetType="TEST")["DatasetArn"]
        with house.database.write() as rows:
            (project,) = registry.list_projects(rows, names=["busy"]).items
            _, dataset = registry.list_datasets(rows, [project.id])[project.id]
            registry.move_dataset(
                rows, dataset.id, was="CREATE_COMPLETE", becomes="UPDATE_IN_PROGRESS", now_ms=house.now_ms
            )
        self.training = self._version("busy", "training", "TRAINING_IN_PROGRESS")
        self.copying = self._version("busy", "copying", "COPYING_IN_PROGRESS")
        tags = {f"tag-{number}": "" for number in range(registry.MAX_TAGS)}
        api.tag_resource(ResourceArn=self.busy, Tags=tags)

    def _arn_of(self, name: str) -> str:
        (project,) = self.api.describe_projects(ProjectNames=[name])["ProjectDescriptions"]
        return str(project["ProjectArn"])

    def _version(self, project: str, name: str, status: Any) -> str:
        """The ARN of a version with this status, of which nothing else is there."""
        begins = "TRAINING_IN_PROGRESS" if status.startswith("TRAINING") else "COPYING_IN_PROGRESS"
        with self.house.database.write() as rows:
            (found,) = registry.list_projects(rows, names=[project]).items
            version = registry.add_version(
                rows, found.id, name, now_ms=self.house.now_ms, output=("results", "out"), status=begins
            )
            if status != begins:
                registry.end_version(rows, version.id, becomes=status, now_ms=self.house.now_ms, message="")
        return f"{ARN}/{project}/version/{name}/{version.created_ms}"


def _broken() -> datetime:
    raise ZeroDivisionError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The one house."""
    with ExitStack() as stack:
        yield World(make_house(tmp_path_factory.mktemp("house"), now=now_utc, **LIMITS), stack)


Cases = list[tuple[str, dict[str, Any]]]
"""(code, parameters) of requests of one operation."""


def cases_of_projects(w: World) -> dict[str, Cases]:
    """Projects, policies, tags."""
    policy = {"ProjectArn": w.rooms, "PolicyName": "share", "PolicyDocument": POLICY}
    elsewhere = GONE.replace("us-east-1", "eu-west-1")
    return {
        "CreateProject": [
            (IN_USE, {"ProjectName": "rooms"}),
            (LIMIT, {"ProjectName": "fifth"}),
            (INVALID, {"ProjectName": ".."}),
            (INVALID, {"ProjectName": "fifth", "Feature": "CONTENT_MODERATION"}),
        ],
        "DescribeProjects": [(TOKEN, {"NextToken": "never given"})],
        "DeleteProject": [
            (IN_USE, {"ProjectArn": w.rooms}),
            (IN_USE, {"ProjectArn": w.shop}),
            (ABSENT, {"ProjectArn": GONE}),
            (ABSENT, {"ProjectArn": elsewhere}),
            (ABSENT, {"ProjectArn": w.rooms.replace("123456789012", "111122223333")}),
            (ABSENT, {"ProjectArn": w.rooms + "0"}),
        ],
        "PutProjectPolicy": [
            (EXISTS, policy),
            (QUOTA, policy | {"PolicyName": "more"}),
            ("InvalidPolicyRevisionIdException", policy | {"PolicyRevisionId": "0123456789abcdef"}),
            ("MalformedPolicyDocumentException", policy | {"PolicyDocument": "{"}),
            (ABSENT, policy | {"ProjectArn": GONE}),
            (INVALID, policy | {"PolicyName": "."}),
        ],
        "ListProjectPolicies": [
            (ABSENT, {"ProjectArn": GONE}),
            (TOKEN, {"ProjectArn": w.rooms, "NextToken": "never given"}),
        ],
        "DeleteProjectPolicy": [
            (ABSENT, {"ProjectArn": GONE, "PolicyName": "share"}),
            (ABSENT, {"ProjectArn": w.rooms, "PolicyName": "other"}),
            (
                "InvalidPolicyRevisionIdException",
                {"ProjectArn": w.rooms, "PolicyName": "share", "PolicyRevisionId": "0123456789abcdef"},
            ),
            (INVALID, {"ProjectArn": w.rooms, "PolicyName": "."}),
        ],
        "TagResource": [
            (ABSENT, {"ResourceArn": GONE_VERSION, "Tags": {"a": "b"}}),
            (QUOTA, {"ResourceArn": w.busy, "Tags": {"one more": ""}}),
            (INVALID, {"ResourceArn": "arn:aws:rekognition:nonsense", "Tags": {}}),
        ],
        "UntagResource": [
            (ABSENT, {"ResourceArn": GONE_DATASET, "TagKeys": ["a"]}),
            (INVALID, {"ResourceArn": "arn:aws:rekognition:nonsense", "TagKeys": ["a"]}),
        ],
        "ListTagsForResource": [
            (ABSENT, {"ResourceArn": GONE}),
            (INVALID, {"ResourceArn": "arn:aws:rekognition:nonsense"}),
        ],
    }


def cases_of_datasets(w: World) -> dict[str, Cases]:
    """Datasets and their entries."""
    fresh = {"ProjectArn": w.empty, "DatasetType": "TRAIN"}
    changes = {"GroundTruth": manifest_line("a.png", ("leaf",))}
    listing: Cases = [
        (ABSENT, {"DatasetArn": GONE_DATASET}),
        (TOKEN, {"DatasetArn": w.train, "NextToken": "never given"}),
        (NOT_READY, {"DatasetArn": w.loading}),
        (IN_USE, {"DatasetArn": w.updating}),
    ]
    return {
        "CreateDataset": [
            (ABSENT, fresh | {"ProjectArn": GONE}),
            (EXISTS, fresh | {"ProjectArn": w.rooms}),
            (OBJECT, fresh | {"DatasetSource": manifest_of("absent.manifest")}),
            (OBJECT, fresh | {"DatasetSource": manifest_of("one.manifest", "absent-bucket")}),
            (ABSENT, fresh | {"DatasetSource": {"DatasetArn": GONE_DATASET}}),
            (INVALID, fresh | {"DatasetSource": {}}),
            (INVALID, fresh | {"DatasetSource": manifest_of("one.manifest") | {"DatasetArn": w.train}}),
            (INVALID, fresh | {"DatasetSource": {"GroundTruthManifest": {"S3Object": {"Bucket": "only"}}}}),
        ],
        "DescribeDataset": [(ABSENT, {"DatasetArn": GONE_DATASET})],
        "DeleteDataset": [(ABSENT, {"DatasetArn": GONE_DATASET}), (IN_USE, {"DatasetArn": w.loading})],
        "UpdateDatasetEntries": [
            (ABSENT, {"DatasetArn": GONE_DATASET, "Changes": changes}),
            (IN_USE, {"DatasetArn": w.loading, "Changes": changes}),
        ],
        "DistributeDatasetEntries": [
            (ABSENT, {"Datasets": [{"Arn": GONE_DATASET}, {"Arn": w.test}]}),
            (INVALID, {"Datasets": [{"Arn": w.train}, {"Arn": w.train}]}),
            (INVALID, {"Datasets": [{"Arn": w.loading}, {"Arn": w.test}]}),
            (NOT_READY, {"Datasets": [{"Arn": w.loading}, {"Arn": w.updating}]}),
        ],
        "ListDatasetEntries": listing,
        "ListDatasetLabels": listing,
    }


def cases_of_versions(w: World) -> dict[str, Cases]:
    """Versions: made, copied, started, stopped, deleted, listed."""
    new = {"ProjectArn": w.shop, "VersionName": "new", "OutputConfig": OUTPUT}
    assets = {"Assets": [manifest_of("one.manifest")]}
    given = {"ProjectArn": w.empty, "TrainingData": assets}
    copy = {
        "SourceProjectArn": w.shop,
        "SourceProjectVersionArn": w.running,
        "DestinationProjectArn": w.empty,
        "VersionName": "copied",
        "OutputConfig": OUTPUT,
    }
    return {
        "CreateProjectVersion": [
            (ABSENT, new | {"ProjectArn": GONE}),
            (IN_USE, new | {"VersionName": "1"}),
            (IN_USE, new | {"ProjectArn": w.busy}),
            (LIMIT, new),
            (INVALID, new | {"OutputConfig": {}}),
            (INVALID, new | {"ProjectArn": w.empty}),
            (INVALID, new | {"TrainingData": assets, "TestingData": {"AutoCreate": True}}),
            (INVALID, new | given),
            (INVALID, new | given | {"TestingData": {"Assets": assets["Assets"] * 2}}),
            (INVALID, new | given | {"TestingData": {"Assets": [{}]}}),
            (INVALID, new | {"FeatureConfig": {"ContentModeration": {"ConfidenceThreshold": 50.0}}}),
        ],
        "CopyProjectVersion": [
            (ABSENT, copy | {"SourceProjectArn": GONE}),
            (ABSENT, copy | {"SourceProjectVersionArn": GONE_VERSION}),
            (ABSENT, copy | {"DestinationProjectArn": GONE}),
            (LIMIT, copy),
            (IN_USE, copy | {"DestinationProjectArn": w.shop, "VersionName": "stopped"}),
            (INVALID, copy | {"OutputConfig": {}}),
        ],
        "DescribeProjectVersions": [
            (ABSENT, {"ProjectArn": GONE}),
            (TOKEN, {"ProjectArn": w.shop, "NextToken": "never given"}),
        ],
        "DeleteProjectVersion": [
            (ABSENT, {"ProjectVersionArn": GONE_VERSION}),
            (IN_USE, {"ProjectVersionArn": w.running}),
            (IN_USE, {"ProjectVersionArn": w.training}),
        ],
        "StartProjectVersion": [
            (ABSENT, {"ProjectVersionArn": GONE_VERSION, "MinInferenceUnits": 1}),
            (IN_USE, {"ProjectVersionArn": w.running, "MinInferenceUnits": 1}),
            (IN_USE, {"ProjectVersionArn": w.training, "MinInferenceUnits": 1}),
            (IN_USE, {"ProjectVersionArn": w.failed, "MinInferenceUnits": 1}),
            (LIMIT, {"ProjectVersionArn": w.stopped, "MinInferenceUnits": 1}),
            (LIMIT, {"ProjectVersionArn": w.running, "MinInferenceUnits": 6}),
            (INVALID, {"ProjectVersionArn": w.stopped, "MinInferenceUnits": 2, "MaxInferenceUnits": 1}),
        ],
        "StopProjectVersion": [
            (ABSENT, {"ProjectVersionArn": GONE_VERSION}),
            (IN_USE, {"ProjectVersionArn": w.stopped}),
        ],
        "DetectCustomLabels": [
            (ABSENT, {"ProjectVersionArn": GONE_VERSION, "Image": {"Bytes": b"x"}}),
            (NOT_READY, {"ProjectVersionArn": w.stopped, "Image": {"Bytes": picture("leaf")}}),
            *((code, {"ProjectVersionArn": w.running, "Image": image}) for code, image in images()),
        ],
    }


def images() -> list[tuple[str, dict[str, Any]]]:
    """(code, image) of images that are refused."""

    def lying(key: str) -> dict[str, Any]:
        return {"S3Object": {"Bucket": BUCKET, "Name": key}}

    return [
        (INVALID, {}),
        (INVALID, {"Bytes": picture("leaf")} | lying("small.png")),
        (INVALID, {"S3Object": {"Name": "small.png"}}),
        (OBJECT, lying("absent.png")),
        (OBJECT, {"S3Object": {"Bucket": "absent-bucket", "Name": "small.png"}}),
        ("InvalidImageFormatException", {"Bytes": b"no image"}),
        ("InvalidImageFormatException", {"Bytes": encode(drawing("leaf"), "GIF")}),
        ("InvalidImageFormatException", lying("text.png")),
        ("ImageTooLargeException", lying("large.png")),
        ("ImageTooLargeException", {"Bytes": b"\0" * (4 * 2**20 + 1)}),
    ]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_declared_error_occurs_or_is_known_not_to(world: World, operation: str) -> None:
    """What the model lets an operation raise is met in the table, or named in NEVER; nothing else is raised."""
    cases = (cases_of_projects(world) | cases_of_datasets(world) | cases_of_versions(world))[operation]
    call = getattr(world.api, xform_name(operation))
    met = {expected for expected, _ in cases}
    for expected, asked in cases:
        with pytest.raises(ClientError) as error:
            call(**asked)

        answer = error.value.response
        assert (answer["Error"]["Code"], answer["Error"]["Message"] != "") == (expected, True), (asked, answer["Error"])
        assert isinstance(error.value, world.api.exceptions.from_code(expected))
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400

    some = cases[0][1]
    with pytest.raises(world.broken.exceptions.InternalServerError) as error:
        getattr(world.broken, xform_name(operation))(**some)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    if not READS.match(operation):
        with pytest.raises(world.reader.exceptions.AccessDeniedException):
            getattr(world.reader, xform_name(operation))(**some)
        met.add(DENIED)
    if operation == "DetectCustomLabels":
        with pytest.raises(world.crowded.exceptions.ProvisionedThroughputExceededException):
            world.crowded.detect_custom_labels(ProjectVersionArn=world.running, Image={"Bytes": picture("leaf")})
        met.add("ProvisionedThroughputExceededException")
    declared = SERVICE.operations[operation].errors

    assert met | {INTERNAL} | NEVER[""] | NEVER.get(operation, set()) == declared
    assert not met & NEVER.get(operation, set())


def test_the_table_has_every_operation(world: World) -> None:
    """A new operation has to be put in."""
    assert (cases_of_projects(world) | cases_of_datasets(world) | cases_of_versions(world)).keys() == OPERATIONS.keys()

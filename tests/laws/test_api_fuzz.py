"""Whatever is asked of the API, by whoever holds a key, no answer is an error of the service's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import serving
from deconfuse.wire.operations import OPERATIONS
from deconfuse.wire.shapes import load_service
from houses import make_house, now_utc
from trainings import a_running_version, make_bucket
from wire_values import any_json, as_json, values
from worlds import BUCKET, manifest_line, picture

SERVICE = load_service("rekognition")
MANIFEST = b"\n".join(manifest_line(f"{label}/0.jpg", (label,)) for label in ("leaf", "sun")) + b"\n"
CHANGES = (
    MANIFEST,
    MANIFEST[:-20],
    b"\n\n\n",
    b"{}",
    b"[]",
    b"\xff\xfe",
    b'{"source-ref":"s3://photos/a.png"}',
    b"\0" * 99,
)
IMAGES = (picture("leaf"), picture("leaf")[:200], picture("sun", format="JPEG"), b"GIF89a", b"\0")


@dataclass(frozen=True)
class Ground:
    """What requests may name.

    Attributes:
        service: an idle house behind its doors.
        arns: ARNs of things that are there, by the name of their shape.
    """

    service: serving.Service
    arns: dict[str, list[str]]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A house with a running version, datasets and a policy."""
    house = make_house(tmp_path_factory.mktemp("house"), now=now_utc, projects=0, versions=0, trainings=0, copies=0)
    with ExitStack() as stack:
        service = stack.enter_context(serving.in_process(house, is_idle=True))
        api = service.client("rekognition")
        version = a_running_version(house)
        make_bucket(house, BUCKET)
        house.objects.put(BUCKET, "one.manifest", MANIFEST)
        house.objects.put(BUCKET, "one.png", IMAGES[0])
        (shop,) = api.describe_projects()["ProjectDescriptions"]
        rooms = api.create_project(ProjectName="rooms")["ProjectArn"]
        datasets = [each["DatasetArn"] for each in shop["Datasets"]]
        datasets += [api.create_dataset(ProjectArn=rooms, DatasetType=kind)["DatasetArn"] for kind in ("TRAIN", "TEST")]
        projects = [shop["ProjectArn"], rooms]
        arns = {"ProjectArn": projects, "DatasetArn": datasets, "ProjectVersionArn": [version]}
        yield Ground(service, arns | {"ResourceArn": [*projects, *datasets, version]})
        assert service.doors.faults == []


def made_real(ground: Ground, shape: Any, value: Any, draw: Any) -> Any:
    """`value` with some of its ARNs, objects, images and lines replaced by real ones."""
    if shape.kind == "structure":
        if shape.name == "S3Object" and draw(st.booleans()):
            return {"Bucket": BUCKET, "Name": draw(st.sampled_from(["one.manifest", "one.png", "leaf/0.jpg"]))}
        return {name: made_real(ground, shape.members[name], item, draw) for name, item in value.items()}
    if shape.kind == "list":
        return [made_real(ground, shape.inner, item, draw) for item in value]
    if shape.name in ground.arns and draw(st.integers(0, 4)):
        return draw(st.sampled_from(ground.arns[shape.name]))
    if shape.name == "ImageBlob":
        return draw(st.sampled_from(IMAGES))
    return draw(st.sampled_from(CHANGES)) if shape.name == "GroundTruthBlob" else value


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@given(data=st.data())
def test_a_legal_request_is_done_or_refused_by_name(ground: Ground, operation: str, data: st.DataObject) -> None:
    """Every request that the model allows is answered, or gets an error that the operation declares."""
    shape = SERVICE.operations[operation].input
    asked = made_real(ground, shape, data.draw(values(shape)), data.draw)
    status, body = ground.service.call(operation, json.dumps(as_json(asked)).encode())

    assert status == 200 or (status, json.loads(body)["__type"] in SERVICE.operations[operation].errors) == (400, True)
    assert ground.service.doors.faults == []


@given(operation=st.sampled_from(sorted(OPERATIONS)), asked=any_json | st.binary(max_size=200))
def test_anything_else_is_refused_cleanly(ground: Ground, operation: str, asked: Any) -> None:
    """Random JSON and random bytes, signed well, get 400 or are legal by chance."""
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    status, _ = ground.service.call(operation, body)

    assert status in (200, 400)
    assert ground.service.doors.faults == []

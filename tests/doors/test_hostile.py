"""A server and whatever is sent to it: it answers, in the client's protocol, never with 500, and does not grow.

With DECONFUSE_SOAK=1 (make soak) 5,000 requests and 1,000 images, otherwise a tenth. DECONFUSE_SEED chooses others;
what fails names its seed, its kind and its number.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import attacks
import bombs
from deconfuse.app import open_house
from deconfuse.service import datasets, projects, versions
from deconfuse.service.keys import first_key
from deconfuse.settings import read_settings
from hostile import Aim, Reply, complaint, fire, settled, vitals, wire
from servers import Server, running
from trainings import a_shop, create, perform_all, view_of
from wholeness import IS_SOAK
from worlds import BUCKET, manifest_line, picture

N_REQUESTS, N_IMAGES = (5000, 1000) if IS_SOAK else (500, 100)

GROWTH_MB = 64
"""How much more memory a server may hold after the shots than after the first fifth of them."""

HELD_MB = 5
"""Of an object, for a client that asks for it and does not take it."""

POOL = 24
"""Descriptors that a server keeps once many have asked at the same time: connections to its database."""

MOST_THREADS = 160
"""Of a server: those of its doors (24, 64, 24, 4), of ONNX Runtime and of its jobs."""

RARE = {"manifests": 4, "entries": 2}
"""Kinds that cost more than one request: one of so many rounds."""

QUESTIONS = ("names", "paths", "queries", "json", "xml", "keys", "entries", "manifests")
"""Kinds whose odd texts reach the database."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def aim(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Aim]:
    """A server to be shot at."""
    with aimed(tmp_path_factory.mktemp("hostile"), shared_cache) as found:
        yield found


@contextmanager
def aimed(folder: Path, cache: Path, **variables: str) -> Iterator[Aim]:
    """A server with a bucket, datasets, a version that runs, and room for more projects than AWS allows."""
    home = {"DECONFUSE_HOME": str(folder / "home"), "DECONFUSE_CACHE": str(cache), **variables}
    house = open_house(read_settings(given=home))
    project = a_shop(house)
    version = create(house, project)
    perform_all(house)
    assert view_of(house, version).version.status == "TRAINING_COMPLETED", view_of(house, version).message
    arn = str(versions.version_arn(house, version))
    versions.start_version(house, arn, min_units=1)
    house.objects.put(BUCKET, "a", b"hello")
    house.objects.put(BUCKET, "one.png", picture("leaf"))
    house.objects.put(BUCKET, "one.manifest", manifest_line("one.png", ("leaf",)) + b"\n")
    perform_all(house)
    other = projects.create_project(house, "changed")
    other_arn = str(projects.project_arn(house, other))
    dataset = datasets.create_dataset(house, other_arn, kind="train", manifest=None, copy_of=None)
    dataset_arn = str(datasets.dataset_arn(house, dataset))
    key = first_key(house)
    assert key is not None
    house.database.close()
    with running(folder / "home", variables=home | {"DECONFUSE_MAX_PROJECTS": "0"}) as server:
        aim = Aim(server, arn, other_arn, dataset_arn, key.id, key.secret)
        warm(aim)
        yield aim
        assert labels(aim)
        check_log(server)


def warm(aim: Aim) -> None:
    """Ask for everything once by as many as ask at once later: what a server holds after that, it keeps."""

    def ask(number: int) -> bool:
        good = fire(aim.port, aim.request("PUT", f"/photos/warm-{number}", bytes(300_000))).status == 200
        good &= fire(aim.port, aim.request("GET", f"/photos/warm-{number}")).status == 200
        return good and bool(labels(aim))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(64)))


def labels(aim: Aim) -> list[str]:
    """What a good request for a good image is answered."""
    asked = {"ProjectVersionArn": aim.version, "Image": {"Bytes": _base64(picture("leaf", 3))}, "MinConfidence": 0}
    return [label["Name"] for label in aim.ask("DetectCustomLabels", **asked)["CustomLabels"]]


def check_log(server: Server) -> None:
    """No request was answered with an error of the server's own, and nothing else went wrong in it."""
    for line in server.lines():
        assert line["level"] not in ("error", "critical"), line
        assert line.get("status", 0) < 500 or line["status"] == 501, line
    assert "Traceback" not in server.err.read_text()


def check_same(aim: Aim, before: float, *, n_descriptors: int) -> None:
    """The server holds as much as before."""
    after = settled(aim.server.process.pid, n_descriptors=n_descriptors)
    assert after.n_descriptors <= n_descriptors, after
    assert after.n_threads <= MOST_THREADS, after
    assert after.own_mb - before <= GROWTH_MB, (before, after)


def plan(n: int, families: Collection[str] = tuple(attacks.FAMILIES)) -> list[tuple[str, int]]:
    """Kinds and numbers of n requests, every kind in turn."""
    found: list[tuple[str, int]] = []
    number = 0
    while len(found) < n:
        found += [(family, number) for family in families if number % RARE.get(family, 1) == 0]
        number += 1
    return found[:n]


def test_no_request_takes_the_server_down(aim: Aim) -> None:
    """Each gets an answer that its client can read, or its connection ends; memory, files and threads stay."""
    process = aim.server.process.pid
    shots = plan(N_REQUESTS)
    answers: Counter[str] = Counter()
    at_rest = memory = None
    for number, (family, shot) in enumerate(shots):
        if number == len(shots) // 5:
            at_rest, memory = settled(process, n_descriptors=0, seconds=1), vitals(process).own_mb
        answers[f"{family} {shoot(aim, family, shot).status}"] += 1
    assert at_rest is not None
    assert memory is not None
    check_reach(answers)
    check_datasets_rest(aim)
    assert labels(aim)
    check_same(aim, memory, n_descriptors=at_rest.n_descriptors + POOL)
    check_log(aim.server)


def shoot(aim: Aim, family: str, shot: int) -> Reply:
    """What is answered to one request, which must be an answer, and come soon."""
    data = attacks.FAMILIES[family](aim, attacks.seeded(family, shot))
    began = time.monotonic()
    reply = fire(aim.port, data)
    seconds = time.monotonic() - began
    wrong = complaint(data, reply) or (f"it took {seconds:.1f} s" if seconds > 15 else None)
    assert not wrong, f"DECONFUSE_SEED={attacks.SEED}, {family} {shot}: {wrong}; sent {data[:2000]!r}"
    assert aim.server.process.poll() is None, f"DECONFUSE_SEED={attacks.SEED}, {family} {shot}: it has ended"
    return reply


@pytest.mark.postgres
def test_no_request_reaches_what_postgresql_refuses(tmp_path: Path, shared_cache: Path, postgres_url: str) -> None:
    """A part of them, of the kinds that ask a database for something, where its own rules for texts hold."""
    with aimed(tmp_path, shared_cache, DECONFUSE_DATABASE=postgres_url, DECONFUSE_SHARED_HOME="1") as aim:
        for family, shot in plan(N_REQUESTS // 5, QUESTIONS):
            shoot(aim, family, shot)
        check_datasets_rest(aim)


def check_reach(answers: Counter[str]) -> None:
    """The shots did not all stop at the gate: of these kinds some were done, and some refused behind the signature."""
    for family in ("paths", "queries", "json", "keys", "entries", "manifests", "headers"):
        assert answers[f"{family} 200"], answers
    for family in ("json", "xml", "framings", "queries", "paths"):
        assert answers[f"{family} 400"], answers


def check_datasets_rest(aim: Aim) -> None:
    """What was begun comes to an end, and none of it says that the fault is the server's."""
    deadline = time.monotonic() + 60
    names = [f"hostile-{number}" for number in range(1, aim.n_datasets + 1)]
    for start in range(0, len(names), 10):
        while True:
            told = aim.ask("DescribeProjects", ProjectNames=names[start : start + 10])["ProjectDescriptions"]
            found = [dataset for project in told for dataset in project["Datasets"]]
            if not any(dataset["Status"].endswith("_IN_PROGRESS") for dataset in found):
                break
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        assert {dataset["Status"] for dataset in found} <= {"CREATE_COMPLETE", "CREATE_FAILED"}
        assert not [dataset for dataset in found if "internal" in dataset["StatusMessage"].lower()], found


def detect(aim: Aim, image: bytes, *, from_bucket: bool) -> tuple[bytes, Reply, float]:
    """The request about an image, what is answered, and how many seconds that takes."""
    asked: dict[str, object] = {"ProjectVersionArn": aim.version, "MinConfidence": 0}
    if from_bucket:
        assert fire(aim.port, aim.request("PUT", "/photos/hostile.png", image)).status == 200
        asked["Image"] = {"S3Object": {"Bucket": BUCKET, "Name": "hostile.png"}}
    else:
        asked["Image"] = {"Bytes": _base64(image)}
    data = aim.call("DetectCustomLabels", json.dumps(asked).encode())
    began = time.monotonic()
    reply = fire(aim.port, data)
    return data, reply, time.monotonic() - began


REFUSALS = {"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException", "ValidationException"}


def test_no_image_takes_the_server_down(aim: Aim) -> None:
    """Each is looked at, or refused by an error of the model, whether it comes along or lies in a bucket."""
    process = aim.server.process.pid
    answers: Counter[str] = Counter()
    at_rest = memory = None
    for number in range(N_IMAGES):
        if number == N_IMAGES // 5:
            at_rest, memory = settled(process, n_descriptors=0, seconds=1), vitals(process).own_mb
        family = list(bombs.FAMILIES)[number % len(bombs.FAMILIES)]
        image = bombs.FAMILIES[family](attacks.seeded(family, number))
        data, reply, seconds = detect(aim, image, from_bucket=number // len(bombs.FAMILIES) % 2 == 1)
        name = f"DECONFUSE_SEED={attacks.SEED}, {family} {number}"
        assert not complaint(data, reply), f"{name}: {complaint(data, reply)}"
        code = json.loads(reply.body).get("__type", "")
        assert reply.status == 200 or code in REFUSALS, f"{name}: {reply}"
        assert seconds < 5, f"{name}: it took {seconds:.1f} s"
        answers[f"{reply.status} {code}"] += 1
    assert at_rest is not None
    assert memory is not None
    assert answers["200 "] > N_IMAGES / 20, answers
    assert answers["400 InvalidImageFormatException"] > N_IMAGES / 5, answers
    check_same(aim, memory, n_descriptors=at_rest.n_descriptors + POOL)


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_bombs_are_refused_at_once(aim: Aim, name: str) -> None:
    """Before they are decoded: in less than a second, with less memory than a large image needs."""
    image = bombs.BOMBS[name]()
    before = vitals(aim.server.process.pid).own_mb
    _, reply, seconds = detect(aim, image, from_bucket=len(image) > 4 << 20)

    assert (reply.status, json.loads(reply.body).get("__type") in REFUSALS) == (400, True), reply
    assert seconds < 1, seconds
    assert vitals(aim.server.process.pid).own_mb - before < 100


@pytest.mark.parametrize("name", bombs.LARGEST)
def test_the_largest_images_are_answered(aim: Aim, name: str) -> None:
    """Though they come as a few kilobytes; the memory that they need is given back to the next one."""
    image = bombs.LARGEST[name]()
    assert detect(aim, image, from_bucket=False)[1].status == 200
    before = vitals(aim.server.process.pid).own_mb
    for _ in range(3):
        _, reply, seconds = detect(aim, image, from_bucket=False)
        assert reply.status == 200
        assert seconds < 5
    assert vitals(aim.server.process.pid).own_mb - before < GROWTH_MB


def test_the_memory_of_large_images_is_given_back(aim: Aim) -> None:
    """By every thread that has seen some."""
    image = bombs.LARGEST["PNG, 4096 x 4096"]()
    before = vitals(aim.server.process.pid).own_mb
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: detect(aim, image, from_bucket=False)[1].status, range(32)))

    assert set(answers) == {200}
    assert vitals(aim.server.process.pid).own_mb - before < 2 * GROWTH_MB


@pytest.mark.parametrize("size", [(20 << 20) + 1, 32 << 20])
def test_bodies_above_the_limit_are_refused(aim: Aim, size: int) -> None:
    """By name, and without holding them."""
    before = vitals(aim.server.process.pid).own_mb
    reply = fire(aim.port, aim.call("DetectCustomLabels", b" " * size))

    assert (reply.status, json.loads(reply.body)["__type"]) == (413, "RequestEntityTooLargeException")
    assert vitals(aim.server.process.pid).own_mb - before < 128


def test_a_refusal_is_heard_by_who_still_sends(aim: Aim) -> None:
    """A client that sends a large body before it listens gets the reason, not a broken connection."""
    body = bytes(8 << 20)
    for method, target, status in (("PUT", "/nobody/a", 404), ("POST", "/photos?delete", 400), ("PUT", "/photos", 400)):
        for _ in range(5):
            reply = fire(aim.port, aim.request(method, target, body))
            assert reply.status == status, (method, target, reply)
    forged = aim.request("PUT", "/photos/a", body).replace(b"Signature=", b"Signature=0")
    assert fire(aim.port, forged).status in (400, 403)


def test_idle_and_slow_clients_stop_nobody(aim: Aim) -> None:
    """200 connections that say nothing, 100 in the middle of a head, 100 in the middle of a body: others are served."""
    half = wire("GET", "/photos/a", {"Host": aim.host})[:-2]
    upload = aim.request("PUT", "/photos/slow", bytes(100_000))[:-50_000]
    question = aim.call("DescribeProjects", b"{}" + b" " * 5000)[:-4000]
    before = vitals(aim.server.process.pid)
    with ExitStack() as stack:
        for sent in [b""] * 200 + [half] * 100 + [upload] * 50 + [question] * 50:
            line = stack.enter_context(socket.create_connection(("127.0.0.1", aim.port), timeout=20))
            line.sendall(sent)
        began = time.monotonic()
        for _ in range(5):
            assert fire(aim.port, aim.request("GET", "/photos?list-type=2&max-keys=1")).status == 200
            assert labels(aim)
        assert time.monotonic() - began < 10
        during = vitals(aim.server.process.pid)
        assert during.n_threads <= MOST_THREADS
        assert during.own_mb - before.own_mb < GROWTH_MB
    check_same(aim, before.own_mb, n_descriptors=before.n_descriptors + POOL)


def test_clients_that_do_not_listen_stop_nobody(aim: Aim) -> None:
    """100 clients ask for an object of 8 MB and read nothing of it: others are served, and little of it is held."""
    assert fire(aim.port, aim.request("PUT", "/photos/large", bytes(8 << 20))).status == 200
    before = vitals(aim.server.process.pid)
    with ExitStack() as stack:
        for _ in range(100):
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", aim.port))
            line.sendall(aim.request("GET", "/photos/large"))
        time.sleep(1)
        assert labels(aim)
        assert fire(aim.port, aim.request("GET", "/photos/large")).status == 200
        during = vitals(aim.server.process.pid)
        assert during.own_mb - before.own_mb < 100 * HELD_MB
        assert during.n_threads <= MOST_THREADS
    after = settled(aim.server.process.pid, n_descriptors=before.n_descriptors + POOL)
    assert after.n_descriptors <= before.n_descriptors + POOL


def test_a_complaint_is_made_of_each_wrong() -> None:
    """The judge of these tests sees a server's own errors, silence, and refusals that no client can read."""
    data = wire("GET", "/", {"Host": "x"})
    kind = {"content-type": "application/xml"}
    good = b"<Error><Code>NoSuchKey</Code><Message>It is not there.</Message></Error>"
    wrongs = [
        Reply(0, {}, b""),
        Reply(0, {}, b"", is_open=True),
        Reply(500, kind, good),
        Reply(503, {"content-type": "text/plain"}, b"Service Unavailable"),
        Reply(404, kind, good[:-5]),
        Reply(404, kind, b"<Error/>"),
        Reply(404, {"content-type": "text/plain"}, b"Traceback"),
        Reply(400, {"content-type": "application/x-amz-json-1.1"}, b"{}"),
        Reply(400, {}, b"no"),
    ]

    assert [reply for reply in wrongs if complaint(data, reply) is None] == []
    assert complaint(data, Reply(404, kind, good)) is None
    assert complaint(data[:9], Reply(0, {}, b"")) is None


def test_clients_that_vanish_are_forgotten(aim: Aim) -> None:
    """Whoever leaves in the middle, with a reset or with nothing more to say, leaves nothing open."""
    before = vitals(aim.server.process.pid)
    upload = aim.request("PUT", "/photos/gone", bytes(300_000))
    for number in range(100):
        with socket.create_connection(("127.0.0.1", aim.port), timeout=20) as line:
            line.sendall(upload[: number * 3000 + 1])
            if number % 2:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    check_same(aim, before.own_mb, n_descriptors=before.n_descriptors + POOL)
    assert fire(aim.port, aim.request("HEAD", "/photos/gone")).status == 404


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

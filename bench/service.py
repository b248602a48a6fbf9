"""The numbers of a running server, for the table of docs/benchmarks.md; bench.py calls it.

Every row starts `deconfuse serve` as a process of its own, in a home and with a cache that are thrown away. Requests
whose time is judged are signed beforehand and sent raw over open connections, so that the client costs next to
nothing; boto3's own figure stands beside them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

REGION = "us-east-1"
BUCKET = "bench-images"
Row = tuple[str, str, str, str]


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        pid: of its process.
        key_id: of a full key,
        secret: and its secret.
        start_seconds: from the start of its process to its first answer.
    """

    port: int
    pid: int
    key_id: str
    secret: str
    start_seconds: float

    def client(self, service: str) -> Any:
        """boto3's client of this server."""
        return client(service, f"http://127.0.0.1:{self.port}", self.key_id, self.secret)


def client(service: str, endpoint: str, key_id: str, secret: str) -> Any:
    """boto3's client, with connections enough for every bench."""
    config = Config(max_pool_connections=16, retries={"max_attempts": 1})
    keys = {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint, config=config, **keys)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextlib.contextmanager
def running(home: Path, cache: Path) -> Iterator[Server]:
    """`deconfuse serve` on this home until the block ends."""
    port = free_port()
    environment = os.environ | {"DECONFUSE_CACHE": str(cache)}
    command = [sys.executable, "-m", "deconfuse", "serve", "--home", str(home), "--port", str(port)]
    begun = time.perf_counter()
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), step=0.005, process=process)
        seconds = time.perf_counter() - begun
        told = subprocess.run(
            [sys.executable, "-m", "deconfuse", "credentials", "--home", str(home), "--format", "env"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        values = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", told, re.MULTILINE))
        yield Server(port, process.pid, values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], seconds)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_until(is_so: Callable[[], bool], *, step: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Ask until the answer is yes, for two minutes at most."""
    end = time.perf_counter() + 120
    while not is_so():
        if time.perf_counter() > end or (process is not None and process.poll() is not None):
            raise RuntimeError("it did not come about")
        time.sleep(step)


def answers(address: str) -> bool:
    """Whether anybody answers there with 200."""
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# --- raw requests -----------------------------------------------------------------------------------------------


def signed(server: Server, operation: str, parameters: dict[str, Any]) -> bytes:
    """A whole request of the API, signed, as it goes over the wire."""
    body = json.dumps(parameters).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"RekognitionService.{operation}",
        "Host": f"127.0.0.1:{server.port}",
    }
    request = AWSRequest("POST", f"http://127.0.0.1:{server.port}/", data=body, headers=headers)
    SigV4Auth(Credentials(server.key_id, server.secret), "rekognition", REGION).add_auth(request)
    lines = [f"{name}: {value}" for name, value in {**request.headers, "Content-Length": str(len(body))}.items()]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body


class Line:
    """An open connection that sends whole requests and reads whole answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """The body of the answer, which must be a good one."""
        self.socket.sendall(request)
        held = b""
        while b"\r\n\r\n" not in held:
            held += self.socket.recv(65536)
        head, _, body = held.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError((head + body).decode(errors="replace"))
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])  # type: ignore[index]
        while len(body) < length:
            body += self.socket.recv(65536)
        return body


def median_ms(work: Callable[[], object], n: int) -> float:
    """Median milliseconds of `n` calls."""
    times = []
    for _ in range(n):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


# --- training and detection -------------------------------------------------------------------------------------


def upload(server: Server, images: Path) -> None:
    """Every image, and a manifest for each side."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for side in ("train", "test"):
        files = sorted(path for path in (images / side).rglob("*") if path.is_file())
        keys = [path.relative_to(images).as_posix() for path in files]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda path, key: s3.upload_file(str(path), BUCKET, key), files, keys))
        lines = [manifest_line(key, path.parent.name) for key, path in zip(keys, files, strict=True)]
        s3.put_object(Bucket=BUCKET, Key=f"{side}.manifest", Body="\n".join(lines).encode())


def manifest_line(key: str, label: str) -> str:
    """A line as AWS's console writes it."""
    metadata = {
        "confidence": 1,
        "job-name": f"labeling-job/{label}",
        "class-name": label,
        "human-annotated": "yes",
        "creation-date": "2026-01-01T00:00:00.000Z",
        "type": "groundtruth/image-classification",
    }
    return json.dumps({"source-ref": f"s3://{BUCKET}/{key}", label: 1, f"{label}-metadata": metadata})


def datasets(server: Server, project: str) -> str:
    """A project with both datasets ready: its ARN."""
    api = server.client("rekognition")
    arn = str(api.create_project(ProjectName=project)["ProjectArn"])
    made = []
    for side in ("train", "test"):
        place = {"GroundTruthManifest": {"S3Object": {"Bucket": BUCKET, "Name": f"{side}.manifest"}}}
        made.append(api.create_dataset(ProjectArn=arn, DatasetType=side.upper(), DatasetSource=place)["DatasetArn"])

    def is_ready(dataset: str) -> bool:
        return bool(api.describe_dataset(DatasetArn=dataset)["DatasetDescription"]["Status"] == "CREATE_COMPLETE")

    for dataset in made:
        wait_until(lambda dataset=dataset: is_ready(dataset), step=0.02)  # type: ignore[misc]
    return arn


def train(server: Server, project_arn: str, version: str) -> tuple[str, float, float]:
    """(ARN, seconds from the request to TRAINING_COMPLETED, F1 score)."""
    api = server.client("rekognition")
    begun = time.perf_counter()
    output = {"S3Bucket": BUCKET, "S3KeyPrefix": "output"}
    arn = api.create_project_version(ProjectArn=project_arn, VersionName=version, OutputConfig=output)

    def described() -> dict[str, Any]:
        page = api.describe_project_versions(ProjectArn=project_arn, VersionNames=[version])
        return dict(page["ProjectVersionDescriptions"][0])

    wait_until(lambda: described()["Status"] != "TRAINING_IN_PROGRESS", step=0.05)
    seconds = time.perf_counter() - begun
    end = described()
    if end["Status"] != "TRAINING_COMPLETED":
        raise RuntimeError(end["StatusMessage"])
    return str(arn["ProjectVersionArn"]), seconds, float(end["EvaluationResult"]["F1Score"])


def train_rows(images: Path, folder: Path, *, turns: int = 3) -> list[Row]:
    """A training through the API beside the command on the folder, both with an empty cache, turn by turn."""
    pairs = []
    for turn in range(turns):
        output, cache = folder / f"run{turn}", folder / f"cache{turn}"
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "deconfuse", "train", str(images), "--output", str(output)],
            check=True,
            capture_output=True,
            env=os.environ | {"DECONFUSE_CACHE": str(cache)},
        )
        command = time.perf_counter() - begun
        home = folder / f"home{turn}"
        home.mkdir()
        with running(home, folder / f"cold{turn}") as server:
            upload(server, images)
            pairs.append((train(server, datasets(server, "clothing"), "1")[1], command))
    ratio, api, command = sorted((a / b, a, b) for a, b in pairs)[len(pairs) // 2]
    full = f"{api:.1f} s from the request to TRAINING_COMPLETED; deconfuse train {command:.1f} s"
    return [("train the same images through the API", f"{ratio:.2f} ×", "at most 1.15 ×", full)]


def jpeg_of_100_kb(images: Path) -> bytes:
    """A photograph of `images`, enlarged until its JPEG has about 100 KB."""
    from PIL import Image

    path = sorted((images / "test").rglob("*.jpg"))[0]
    picture = Image.open(path).convert("RGB")
    best = b""
    for side in range(400, 2000, 20):
        held = io.BytesIO()
        scale = side / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        picture.resize(size, Image.Resampling.BICUBIC).save(held, "JPEG", quality=90)
        best = held.getvalue()
        if len(best) >= 100_000:
            break
    return best


def bare_call(cache: Path, data: bytes) -> Callable[[], object]:
    """The same decode and ONNX Runtime call, with nothing around it."""
    import numpy as np

    from deconfuse.engine.backbones import load_backbone
    from deconfuse.vision.images import FOLDER_LIMITS, decode

    backbone = load_backbone(cache=cache)

    def call() -> object:
        return backbone.embed(backbone.pixels(decode(data, FOLDER_LIMITS)[0])[np.newaxis])

    call()
    return call


def rate(work: Callable[[], object], *, workers: int, seconds: float) -> float:
    """Calls a second of `workers` threads over so many seconds."""
    end = time.perf_counter() + seconds
    counts = [0] * workers

    def run(number: int) -> None:
        while time.perf_counter() < end:
            work()
            counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(workers)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def asked_rate(server: Server, request: bytes, *, clients: int, seconds: float) -> float:
    """Answers a second to `clients` connections over so many seconds."""
    lines = threading.local()

    def ask() -> None:
        if not hasattr(lines, "line"):
            lines.line = Line(server.port)
        lines.line.ask(request)

    return rate(ask, workers=clients, seconds=seconds)


def detect_rows(images: Path, folder: Path) -> list[Row]:
    """DetectCustomLabels with eight clients and with one, beside the bare call, turn by turn."""
    data = jpeg_of_100_kb(images)
    home, cache = folder / "detect", folder / "cache0"
    home.mkdir()
    with running(home, cache) as server:
        upload(server, images)
        arn, _, _ = train(server, datasets(server, "clothing"), "1")
        api = server.client("rekognition")
        begun = time.perf_counter()
        api.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        status = {"ProjectArn": api.describe_projects()["ProjectDescriptions"][0]["ProjectArn"]}
        wait_until(
            lambda: api.describe_project_versions(**status)["ProjectVersionDescriptions"][0]["Status"] == "RUNNING",
            step=0.01,
        )
        starting = time.perf_counter() - begun
        import base64

        image = {"Bytes": base64.b64encode(data).decode()}
        request = signed(server, "DetectCustomLabels", {"ProjectVersionArn": arn, "Image": image})
        bare = bare_call(cache, data)
        line = Line(server.port)
        line.ask(request)
        rates, latencies = [], []
        for _ in range(5):
            rates.append((asked_rate(server, request, clients=8, seconds=4), rate(bare, workers=2, seconds=4)))
            latencies.append((median_ms(lambda: line.ask(request), 60), median_ms(bare, 60)))
        boto = median_ms(lambda: api.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": data}), 40)
    share, ours, theirs = sorted((a / b, a, b) for a, b in rates)[2]
    more, alone, call = sorted((a - b, a, b) for a, b in latencies)[2]
    return [
        (
            f"DetectCustomLabels, a JPEG of {len(data) / 1000:.0f} KB, 8 clients",
            f"{share:.2f} of its rate",
            "0.75",
            f"{ours:.0f}/s; the bare decode and ONNX Runtime call on two threads {theirs:.0f}/s",
        ),
        (
            "the same, one client",
            f"{more:.1f} ms more",
            "at most 4 ms",
            f"median {alone:.1f} ms; bare {call:.1f} ms; by boto3 {boto:.1f} ms; started in {starting:.2f} s",
        ),
    ]


# --- the small calls --------------------------------------------------------------------------------------------


def describe_rows(folder: Path) -> list[Row]:
    """DescribeProjects over 100 projects, and the time a server needs to start."""
    home, cache = folder / "projects", folder / "cache0"
    home.mkdir()
    starts = []
    with running(home, cache) as server:
        api = server.client("rekognition")
        for number in range(100):
            api.create_project(ProjectName=f"project-{number}")
        line, request = Line(server.port), signed(server, "DescribeProjects", {})
        line.ask(request)
        raw = median_ms(lambda: line.ask(request), 300)
        boto = median_ms(api.describe_projects, 100)
    for _ in range(5):
        with running(home, cache) as server:
            starts.append(server.start_seconds)
    return [
        ("DescribeProjects with 100 projects", f"median {raw:.1f} ms", "under 5 ms", f"by boto3 {boto:.1f} ms"),
        (
            "deconfuse serve to its first answer",
            f"{statistics.median(starts):.2f} s",
            "under 2 s",
            f"{min(starts):.2f} to {max(starts):.2f} s",
        ),
    ]


def gateway_rows(folder: Path, *, turns: int = 10, each: int = 100) -> list[Row]:
    """1,000 puts and gets of 100 KB with boto3, beside moto's server, turn by turn."""
    home = folder / "gateway"
    home.mkdir()
    os.sync()  # what other rows wrote would go to the disk meanwhile
    data = os.urandom(100_000)
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    moto = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "moto": []}
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/moto-api/"), step=0.1, process=moto)
        with running(home, folder / "cache0") as server:
            places = {
                "ours": server.client("s3"),
                "moto": client("s3", f"http://127.0.0.1:{port}", "test", "test"),
            }
            for s3 in places.values():
                s3.create_bucket(Bucket=BUCKET)
                put_and_get(s3, "warm", data, 10)
            for turn in range(turns):
                for name, s3 in sorted(places.items(), reverse=turn % 2 == 1):
                    found[name].append(put_and_get(s3, str(turn), data, each))
    finally:
        moto.terminate()
        moto.wait(10)
    pairs = zip(found["ours"], found["moto"], strict=True)
    ratio = statistics.median(sum(theirs) / sum(ours) for ours, theirs in pairs)
    medians = {name: [statistics.median(seconds) for seconds in zip(*found[name], strict=True)] for name in found}
    full = "; ".join(f"{name} {each / put:.0f} puts/s, {each / get:.0f} gets/s" for name, (put, get) in medians.items())
    return [
        (
            f"{turns * each:,} puts and gets of 100 KB with boto3",
            f"{ratio:.2f} × the rate of moto",
            "1, and durable",
            f"{full}; moto keeps nothing on disk",
        )
    ]


def put_and_get(s3: Any, folder: str, data: bytes, n: int) -> tuple[float, float]:
    """Seconds for `n` puts, and for the gets of what was put."""
    begun = time.perf_counter()
    for number in range(n):
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/{number}.jpg", Body=data)
    between = time.perf_counter()
    for number in range(n):
        s3.get_object(Bucket=BUCKET, Key=f"{folder}/{number}.jpg")["Body"].read()
    return between - begun, time.perf_counter() - between


def service_rows(images: Path) -> list[Row]:
    """Every row of this file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *train_rows(images, folder),
            *detect_rows(images, folder),
            *describe_rows(folder),
            *gateway_rows(folder),
        ]


if __name__ == "__main__":
    for row in service_rows(Path(sys.argv[1])):
        print(f"| {' | '.join(row)} |")

"""A stub of AWS over a socket: Rekognition's JSON 1.1 and S3's GetObject, for whoever asks it with a real client.

    with stub_cloud() as cloud:
        cloud.project("rooms")                                  DescribeProjects knows it
        cloud.trained("rooms", "1", summary=…, snapshot=…)      DescribeProjectVersions knows it, its files lie in S3
        cloud.objects["bucket", "key"] = b"…"
        cloud.fault("GetObject", 403, "AccessDenied")           every later call of that operation is refused

`cloud.asked` lists what was asked, (operation, what). Signatures are not checked: only that there is one.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REGION = "us-east-1"
ACCOUNT = "012345678901"
OUTPUT = "results"
PAGE = 2


def project_arn(name: str, *, region: str = REGION) -> str:
    """The ARN of a project of the stub."""
    return f"arn:aws:rekognition:{region}:{ACCOUNT}:project/{name}/1690474772815"


def version_arn(project: str, name: str, *, region: str = REGION) -> str:
    """The ARN of a version of the stub."""
    return f"arn:aws:rekognition:{region}:{ACCOUNT}:project/{project}/version/{name}/1690556751958"


@dataclass
class Cloud:
    """What the stub knows, and what it was asked."""

    url: str = ""
    projects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    faults: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    raw: bytes | None = None
    asked: list[tuple[str, Any]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    cut_short: bool = False
    only_by_name: bool = False
    delay: float = 0.0
    client: Any = None

    def empty(self) -> None:
        """Know nothing any more, and answer as at the beginning."""
        self.__dict__.update(Cloud(self.url).__dict__)

    def project(self, name: str) -> list[dict[str, Any]]:
        """A project, made if it is not there: its versions, the newest first."""
        return self.projects.setdefault(name, [])

    def version(self, project: str, name: str, status: str, **said: Any) -> dict[str, Any]:
        """A new version, the newest of its project, in any state."""
        described = {"ProjectVersionArn": version_arn(project, name), "CreationTimestamp": 1690556751.958} | said
        self.project(project).insert(0, described | {"Status": status})
        return self.project(project)[0]

    def trained(
        self, project: str, name: str, *, summary: bytes | None, snapshot: bytes | None = None, **said: Any
    ) -> dict[str, Any]:
        """A new version that was trained; its files lie in the bucket `OUTPUT`."""

        def put(kind: str, data: bytes | None) -> dict[str, Any]:
            key = f"out/{kind}-{project}-{name}.json"
            if data is not None:
                self.objects[OUTPUT, key] = data
            return {"S3Object": {"Bucket": OUTPUT, "Name": key}}

        manifest = {"GroundTruthManifest": put("TestingGroundTruth", snapshot)}
        more = {
            "StatusMessage": "The model is ready to run.",
            "EvaluationResult": {"F1Score": 0.9, "Summary": put("EvaluationResultSummary", summary)},
            "TestingDataResult": {
                "Input": {"AutoCreate": False},
                "Output": {"Assets": [manifest], "AutoCreate": False},
            },
        }
        return self.version(project, name, "TRAINING_COMPLETED", **(more | said))

    def checked(self, described: dict[str, Any], training: Sequence[bytes], testing: Sequence[bytes] = ()) -> None:
        """Put the manifest summary and the manifests with validation, given as lines, beside a version's other files.

        A line with "errors" could not be used, one with "warnings" was ignored.
        """
        tail = "-".join(described["ProjectVersionArn"].split("/")[1:4:2])
        statistics = {}
        for name, side, lines in (("Training", "training", training), ("Testing", "testing", testing)):
            bad = [number for number, line in enumerate(lines, start=1) if b'"errors"' in line]
            n_ignored = sum(b'"warnings"' in line for line in lines)
            statistics[side] = {
                "total_json_lines": len(lines),
                "valid_json_lines": len(lines) - len(bad) - n_ignored,
                "invalid_json_lines": len(bad),
                "ignored_json_lines": n_ignored,
                "error_json_line_indices": bad,
                "errors": [],
            }
            key = f"out/{name}ManifestWithValidation-{tail}.json"
            self.objects[OUTPUT, key] = b"".join(line + b"\n" for line in lines)
            asset = {"GroundTruthManifest": {"S3Object": {"Bucket": OUTPUT, "Name": key}}}
            described.setdefault(f"{name}DataResult", {})["Validation"] = {"Assets": [asset]}
        key = f"out/ManifestSummary-{tail}.json"
        self.objects[OUTPUT, key] = json.dumps({"statistics": statistics, "errors": []}).encode()
        described["ManifestSummary"] = {"S3Object": {"Bucket": OUTPUT, "Name": key}}

    def fault(self, operation: str, status: int, code: str, message: str = "said by AWS") -> None:
        """From now on this operation is refused."""
        self.faults[operation] = (status, code, message)

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        return sum(name == operation for name, _ in self.asked)


@contextmanager
def stub_cloud() -> Iterator[Cloud]:
    """A stub that answers on a free port until the block ends."""
    cloud = Cloud()

    class Handler(_Handler):
        known = cloud

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Cloud

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Rekognition."""
        cloud = self.known
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = self.headers.get("X-Amz-Target", ".").split(".")[1]
        asked = json.loads(body or b"{}")
        cloud.asked.append((operation, asked))
        cloud.agents.add(self.headers.get("User-Agent", ""))
        assert "/rekognition/aws4_request" in self.headers.get("Authorization", "")
        if cloud.raw is not None:
            self._send(200, cloud.raw, "text/html")
        elif operation in cloud.faults:
            status, code, message = cloud.faults[operation]
            self._json(status, {"__type": code, "Code": code, "Message": message})
        elif operation == "DescribeProjects" and cloud.only_by_name and not asked.get("ProjectNames"):
            self._json(400, {"__type": "AccessDeniedException", "Message": "not all of them"})
        elif operation == "DescribeProjects":
            names = asked.get("ProjectNames") or [*cloud.projects]
            found = [
                {"ProjectArn": project_arn(name), "Status": "CREATED", "Datasets": [], "CreationTimestamp": 1.5}
                for name in names
                if name in cloud.projects
            ]
            self._page("ProjectDescriptions", found, asked)
        else:
            self._versions(asked)

    def _versions(self, asked: dict[str, Any]) -> None:
        project = asked["ProjectArn"].split("/")[1]
        if project not in self.known.projects:
            self._json(400, {"__type": "ResourceNotFoundException", "Message": "no such project"})
            return
        names = asked.get("VersionNames")
        every = self.known.projects[project]
        wanted = [one for one in every if not names or one["ProjectVersionArn"].split("/")[-2] in names]
        self._page("ProjectVersionDescriptions", wanted, asked)

    def _page(self, member: str, items: list[Any], asked: dict[str, Any]) -> None:
        start = int(asked.get("NextToken") or 0)
        answer: dict[str, Any] = {member: items[start : start + PAGE]}
        if start + PAGE < len(items):
            answer["NextToken"] = str(start + PAGE)
        self._json(200, answer)

    def do_GET(self) -> None:
        """S3."""
        cloud = self.known
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        bucket, _, key = path[1:].partition("/")
        cloud.asked.append(("GetObject", f"{bucket}/{key}"))
        assert "/s3/aws4_request" in self.headers.get("Authorization", "")
        time.sleep(cloud.delay)
        if "GetObject" in cloud.faults:
            status, code, message = cloud.faults["GetObject"]
        elif (bucket, key) in cloud.objects:
            data = cloud.objects[bucket, key]
            self._send(200, data, "application/octet-stream", sent=data[: len(data) // 2] if cloud.cut_short else data)
            return
        else:
            is_there = any(bucket == known for known, _ in cloud.objects)
            status, code, message = 404, "NoSuchKey" if is_there else "NoSuchBucket", "not there"
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self._send(status, body.encode(), "application/xml")

    def _json(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), "application/x-amz-json-1.1")

    def _send(self, status: int, body: bytes, kind: str, *, sent: bytes | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "1")
        self.end_headers()
        self.wfile.write(body if sent is None else sent)
        if sent is not None and len(sent) < len(body):
            self.close_connection = True


def aws_variables(folder: Any, *, config: str = "", credentials: str | None = None) -> dict[str, str]:
    """The environment of a user whose AWS configuration holds `config`; by default the keys are variables.

    Args:
        folder: where the files are written.
        config: the text of ~/.aws/config.
        credentials: the text of ~/.aws/credentials; None puts keys into the environment.
    """
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials or "")
    variables = {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(folder),
    }
    if credentials is None:
        variables |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    return variables

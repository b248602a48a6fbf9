"""Which door a request is for, and what the log and the metrics say of it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from deconfuse.asgi import Exchange
from deconfuse.gateway.endpoint import Gateway
from deconfuse.names import VERSION
from deconfuse.server.application import Application
from deconfuse.server.log import REQUESTS, JsonLines
from deconfuse.service import keys
from deconfuse.service.house import House
from deconfuse.signing.sigv4 import Request
from deconfuse.store.database import Database
from deconfuse.wire.endpoint import Api, is_for_api
from houses import make_house, now_utc
from signed import arrived, sign
from stores import memory_objects

HOST = "http://deconfuse.local:8750"
TARGET = "RekognitionService.DescribeProjects"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str


Ask = Callable[..., Answer]


def application(house: House, **options: Any) -> Application:
    """Both doors of a house, and everything around them."""
    return Application(house, api=Api(house), gateway=Gateway(house, domain="localhost"), **options)


def ask(
    app: Application, request: Request, body: bytes = b"", *, client: str = "127.0.0.1", version: str = "1.1"
) -> Answer:
    """The answer of the application to one request."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": request.method,
        "path": request.raw_path.decode("latin-1"),
        "raw_path": request.raw_path,
        "query_string": request.raw_query,
        "scheme": "http",
        "http_version": version,
        "client": (client, 50_000),
        "headers": [(name.lower(), value) for name, value in request.headers],
    }
    asyncio.run(app(scope, receive, send))
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:]).decode())


def plain(method: str, path: str, headers: Mapping[str, str] | None = None, *, host: str = HOST) -> Request:
    """A request without a signature."""
    return arrived(method, host + path, list((headers or {}).items()))


def signed(key: keys.Key, method: str, path: str, *, host: str = HOST, **options: Any) -> Request:
    """A request that this key signs now."""
    return sign(method, host + path, at=now_utc(), key_id=key.id, secret=key.secret, **options)


def basic(key: keys.Key, secret: str | None = None) -> dict[str, str]:
    """HTTP's basic authentication by a key."""
    return {"Authorization": "Basic " + base64.b64encode(f"{key.id}:{secret or key.secret}".encode()).decode()}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty house with the real clock."""
    return make_house(tmp_path, now=now_utc)


@pytest.fixture
def key(house: House) -> keys.Key:
    """A key that may do everything."""
    return keys.create_key(house)


@pytest.fixture
def reader(house: House) -> keys.Key:
    """A key that may only read."""
    return keys.create_key(house, access="read")


@pytest.fixture
def app(house: House) -> Application:
    """The application with its defaults."""
    return application(house)


@pytest.fixture
def log() -> Iterator[list[dict[str, Any]]]:
    """Every line that the log of requests gets."""
    lines: list[dict[str, Any]] = []
    handler = logging.Handler()
    handler.setFormatter(JsonLines())
    handler.emit = lambda record: lines.append(json.loads(handler.format(record)))  # type: ignore[method-assign]
    REQUESTS.addHandler(handler)
    level = REQUESTS.level
    REQUESTS.setLevel(logging.INFO)
    yield lines
    REQUESTS.removeHandler(handler)
    REQUESTS.setLevel(level)


@pytest.mark.parametrize(("version", "status"), [("1.1", 400), ("1.0", 200)])
def test_a_host_is_named(app: Application, version: str, status: int) -> None:
    """As HTTP/1.1 asks; older clients and some health checks name none."""
    nameless = plain("GET", "/healthz")
    nameless = replace(nameless, headers=tuple(pair for pair in nameless.headers if pair[0].lower() != b"host"))

    assert ask(app, nameless, version=version).status == status


@pytest.mark.parametrize(
    ("request_", "door", "status"),
    [
        (plain("POST", "/", {"X-Amz-Target": TARGET}), "api", 400),
        (plain("GET", "/healthz", {"X-Amz-Target": TARGET}), "api", 400),
        (plain("POST", "/", {"Authorization": "AWS4-HMAC-SHA256 nonsense"}), "s3", 400),
        (plain("GET", "/healthz?X-Amz-Signature=0"), "s3", 400),
        (plain("GET", "/metrics?AWSAccessKeyId=x"), "s3", 400),
        (plain("GET", "/?Signature=x"), "s3", 400),
        (plain("GET", "/healthz"), "healthz", 200),
        (plain("HEAD", "/healthz"), "healthz", 200),
        (plain("POST", "/healthz"), "healthz", 405),
        (plain("OPTIONS", "/"), "cors", 403),
        (plain("OPTIONS", "/photos/a.jpg"), "cors", 403),
        (plain("OPTIONS", "/photos/a.jpg?X-Amz-Signature=0"), "cors", 403),
        (plain("GET", "/"), "pages", 200),
        (plain("HEAD", "/"), "pages", 200),
        (plain("GET", "/-/"), "pages", 404),
        (plain("GET", "/-/../etc/passwd"), "pages", 404),
        (plain("GET", "/metrics"), "metrics", 401),
        (plain("POST", "/"), "nobody", 403),
        (plain("DELETE", "/-/"), "nobody", 403),
        (plain("POST", "/metrics"), "nobody", 403),
        (plain("GET", "//"), "nobody", 403),
        (plain("GET", "/-"), "nobody", 403),
        (plain("GET", "/healthz/"), "nobody", 403),
        (plain("GET", "/photos"), "nobody", 403),
        (plain("PUT", "/photos/a.jpg"), "nobody", 403),
        (plain("GET", "/", {"Authorization": "Bearer x"}, host="http://photos.localhost:8750"), "nobody", 403),
        (plain("GET", "/", host="http://photos.localhost:8750"), "nobody", 403),
        (plain("GET", "/healthz", host="http://photos.localhost:8750"), "nobody", 403),
        (plain("GET", "/", host="http://localhost:8750"), "pages", 200),
    ],
)
def test_each_request_meets_its_door(
    app: Application, log: list[dict[str, Any]], request_: Request, door: str, status: int
) -> None:
    """The order is: target, signature, healthz, OPTIONS, pages, metrics; nobody answers the rest."""
    answer = ask(app, request_)

    assert (log[0]["door"], answer.status, log[0]["status"]) == (door, status, status)


def test_what_nobody_answers_is_refused_as_s3_does(app: Application) -> None:
    """A client of S3 reads AccessDenied, with the request's id; a HEAD request gets no body."""
    answer = ask(app, plain("GET", "/photos/a.jpg"))

    assert "<Code>AccessDenied</Code>" in answer.body
    assert f"<RequestId>{answer.headers['x-amz-request-id']}</RequestId>" in answer.body
    assert ask(app, plain("HEAD", "/photos/a.jpg")).body == ""


@pytest.mark.parametrize("piece", ["Credential=", "Credential=a/", "a,", " "])
def test_a_long_signature_is_led_to_its_door_at_once(piece: str) -> None:
    """The one thread that leads all requests to their doors looks at a header once, however it is written."""
    authorization = "AWS4-HMAC-SHA256 " + piece * (60_000 // len(piece))
    began = time.perf_counter()
    is_for_api(plain("GET", "/", {"Authorization": authorization}))

    assert time.perf_counter() - began < 0.1


def test_signed_requests_reach_both_doors(app: Application, key: keys.Key, log: list[dict[str, Any]]) -> None:
    """The same key opens the API and the buckets."""
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"}
    described = ask(
        app, signed(key, "POST", "/", headers=headers, body=b"{}", by="botocore json", service="rekognition"), b"{}"
    )
    listed = ask(app, signed(key, "GET", "/"))

    assert json.loads(described.body) == {"ProjectDescriptions": []}
    assert "<ListAllMyBucketsResult" in listed.body
    assert [(line["operation"], line["key"]) for line in log] == [("DescribeProjects", key.id), ("ListBuckets", key.id)]


def test_who_am_i_is_answered(app: Application, key: keys.Key) -> None:
    """GetCallerIdentity of STS, which many programs ask first, has no target but a signature for sts."""
    form = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(app, signed(key, "POST", "/", headers=headers, body=form, by="botocore json", service="sts"), form)

    assert (answer.status, f"user/{key.id}" in answer.body) == (200, True)


@pytest.mark.parametrize(
    "headers",
    [{"X-Amz-Target": "DynamoDB_20120810.ListTables"}, {"Content-Type": "application/x-www-form-urlencoded"}],
)
def test_another_service_learns_why_it_is_not_there(app: Application, key: keys.Key, headers: dict[str, str]) -> None:
    """One endpoint for all services sends them here: the message says what to set instead."""
    request = signed(key, "POST", "/", headers=headers, body=b"{}", by="botocore json", service="dynamodb")
    answer = ask(app, request, b"{}")

    assert answer.status == 400
    assert "AWS_ENDPOINT_URL_REKOGNITION" in answer.body


@pytest.mark.parametrize("name", ["healthz", "metrics", "-"])
def test_paths_of_ours_are_no_buckets(app: Application, key: keys.Key, name: str) -> None:
    """A bucket under a name that the routing has for itself could not be listed."""
    answer = ask(app, signed(key, "PUT", f"/{name}"))

    assert (answer.status, "<Code>InvalidBucketName</Code>" in answer.body) == (400, True)


def test_the_first_page_shows_no_data(app: Application, house: House, key: keys.Key) -> None:
    """It names itself and says how to get a key; no project, bucket or key is on it, and no script may run."""
    assert house.local is not None
    house.local.create_bucket("holidays")
    answer = ask(app, plain("GET", "/"))

    assert VERSION in answer.body
    assert "deconfuse credentials" in answer.body
    assert "holidays" not in answer.body
    assert key.id not in answer.body
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def without_database(house: House) -> House:
    """The house, its database away."""
    engine = create_engine("sqlite:////nowhere/deconfuse.db")
    return replace(house, database=Database(engine, "sqlite", is_in_memory=False))


def test_health_is_that_of_the_database(tmp_path: Path) -> None:
    """While the database is away, a load balancer is told so; the answer holds for a second."""
    house = make_house(tmp_path)
    moments = iter(range(0, 1000, 10))
    app = application(house, monotonic=lambda: float(next(moments)))
    well = ask(app, plain("GET", "/healthz"))
    ill = ask(application(without_database(house), monotonic=lambda: float(next(moments))), plain("GET", "/healthz"))

    assert (well.status, well.body) == (200, "ok\n")
    assert (ill.status, ill.headers["retry-after"]) == (503, "1")


# CORS


def preflight(origin: str, **headers: str) -> Request:
    """What a browser asks beforehand."""
    return plain("OPTIONS", "/photos/a.jpg", {"Origin": origin, "Access-Control-Request-Method": "PUT"} | headers)


def test_no_page_of_another_origin_may_ask_by_default(app: Application) -> None:
    """Neither beforehand nor afterwards does an answer name an origin."""
    asked = ask(app, preflight("https://example.org"))
    got = ask(app, plain("GET", "/", {"Origin": "https://example.org"}))

    assert asked.status == 403
    assert not [name for name in [*asked.headers, *got.headers] if name.startswith("access-control")]


def test_pages_of_allowed_origins_may_ask(house: House) -> None:
    """Beforehand they learn methods and headers; afterwards they may read the answer and its ETag."""
    app = application(house, cors_origins=["https://example.org"])
    asked = ask(app, preflight("https://example.org", **{"Access-Control-Request-Headers": "authorization,x-amz-date"}))
    got = ask(app, plain("GET", "/photos", {"Origin": "https://example.org"}))

    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == "https://example.org"
    assert asked.headers["access-control-allow-headers"] == "authorization,x-amz-date"
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert (got.status, got.headers["access-control-allow-origin"]) == (403, "https://example.org")
    assert "ETag" in got.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "request_",
    [
        preflight("https://evil.example"),
        preflight("https://example.org.evil.example"),
        preflight("null"),
        preflight("https://example.org", **{"Access-Control-Request-Headers": "a\x7fb"}),
        plain("OPTIONS", "/", {"Origin": "https://example.org"}),
        plain("OPTIONS", "/", {"Access-Control-Request-Method": "PUT"}),
    ],
)
def test_other_origins_and_odd_questions_are_refused(house: House, request_: Request) -> None:
    """An origin is allowed as a whole or not at all; what is no preflight is none."""
    assert ask(application(house, cors_origins=["https://example.org"]), request_).status == 403


def test_any_origin_may_be_allowed(house: House) -> None:
    """By a star; the answer names the origin that asked, for a cache must not mix them up."""
    answer = ask(application(house, cors_origins=["*"]), preflight("https://anywhere.example"))

    assert answer.headers["access-control-allow-origin"] == "https://anywhere.example"
    assert answer.headers["vary"] == "Origin"


# Metrics


def test_a_read_only_key_sees_the_metrics(app: Application, reader: keys.Key) -> None:
    """As HTTP basic; what was asked before is counted by door, operation and status, in Prometheus's form."""
    ask(app, plain("GET", "/healthz"))
    answer = ask(app, plain("GET", "/metrics", basic(reader)))

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'deconfuse_requests_total{door="healthz",operation="",status="200"} 1' in answer.body
    assert 'deconfuse_request_seconds_count{door="healthz"} 1' in answer.body
    assert 'deconfuse_jobs{status="WAITING"} 0' in answer.body
    line = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
    assert not [row for row in answer.body.splitlines() if not row.startswith("# ") and not line.fullmatch(row)]


def test_jobs_that_ended_are_counted(house: House, reader: keys.Key) -> None:
    """By kind and outcome."""
    app = application(house, ended_jobs=lambda: {("train", "failed"): 2, ("train", "completed"): 1})
    body = ask(app, plain("GET", "/metrics", basic(reader))).body

    assert 'deconfuse_jobs_ended_total{kind="train",outcome="completed"} 1\n' in body
    assert 'deconfuse_jobs_ended_total{kind="train",outcome="failed"} 2\n' in body


def test_the_classes_of_the_histogram_add_up(app: Application, reader: keys.Key) -> None:
    """Each class holds those below it; the last holds all."""
    for _ in range(5):
        ask(app, plain("GET", "/healthz"))
    text = ask(app, plain("GET", "/metrics", basic(reader))).body
    counts = [int(n) for n in re.findall(r'_bucket\{door="healthz",le="[^"]+"\} (\d+)', text)]

    assert counts == sorted(counts)
    assert counts[-1] == 5


def test_metrics_wait_for_the_database(
    house: House, reader: keys.Key, log: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Whose key it is cannot be known without it; what needs no key is told, but for the jobs."""
    away = without_database(house)
    refused = ask(application(away), plain("GET", "/metrics", basic(reader)))
    told = ask(application(away, is_metrics_open=True), plain("GET", "/metrics"))

    assert (refused.status, refused.headers["retry-after"], told.status) == (503, "1", 200)
    assert [line["status"] for line in log] == [503, 200]
    assert [record.levelname for record in caplog.records if record.name.startswith("deconfuse.server")] == ["WARNING"]


def test_the_secret_of_a_full_key_is_not_taken(app: Application, key: keys.Key) -> None:
    """It would travel as it is, and stand in a configuration of Prometheus."""
    answer = ask(app, plain("GET", "/metrics", basic(key)))

    assert (answer.status, "deconfuse_requests_total" in answer.body) == (403, False)


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe:x").decode(), "Basic bm9jb2xvbg==", "Bearer x", ""],
)
def test_what_is_no_key_sees_no_metrics(app: Application, header: str) -> None:
    """And is told how to ask."""
    answer = ask(app, plain("GET", "/metrics", {"Authorization": header}))

    assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")


def test_a_wrong_or_revoked_secret_sees_no_metrics(app: Application, house: House, reader: keys.Key) -> None:
    """From the moment of its revocation on."""
    wrong = ask(app, plain("GET", "/metrics", basic(reader, "x" * 40)))
    keys.revoke_key(house, reader.id)

    assert (wrong.status, ask(app, plain("GET", "/metrics", basic(reader))).status) == (401, 401)


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("10.0.0.7", {}, 401),
        ("", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.1"}, 401),
    ],
)
def test_open_metrics_are_open_to_this_machine(house: House, client: str, headers: dict[str, str], status: int) -> None:
    """Not to others, and not to those for whom a proxy on this machine asks."""
    answer = ask(application(house, is_metrics_open=True), plain("GET", "/metrics", headers), client=client)

    assert answer.status == status


# The log


def test_a_line_of_the_log_tells_no_secret(app: Application, key: keys.Key, log: list[dict[str, Any]]) -> None:
    """A presigned address opens an object for a week: neither it nor its signature is written down."""
    request = signed(key, "GET", "/photos/a.jpg", by="botocore presigned")
    ask(app, request)
    (line,) = log

    assert line.keys() == {
        "time", "level", "event", "request", "door", "operation", "status", "ms", "received", "sent", "key",
    }  # fmt: skip
    assert (line["door"], line["operation"], line["status"], line["key"]) == ("s3", "GetObject", 404, key.id)
    assert "Signature" not in json.dumps(line)
    assert key.secret not in json.dumps(line)


def test_the_id_of_the_answer_is_that_of_the_log(app: Application, key: keys.Key, log: list[dict[str, Any]]) -> None:
    """At every door; and no two requests share one."""
    first = ask(app, plain("POST", "/", {"X-Amz-Target": TARGET}), b"{}").headers["x-amzn-requestid"]
    second = ask(app, signed(key, "GET", "/")).headers["x-amz-request-id"]

    assert [line["request"] for line in log] == [first, second]
    assert first != second


def test_bytes_are_counted_both_ways(app: Application, house: House, key: keys.Key, log: list[dict[str, Any]]) -> None:
    """As they travelled."""
    assert house.local is not None
    house.local.create_bucket("photos")
    ask(app, signed(key, "PUT", "/photos/a", headers={"Content-Length": "1000"}, body=b"x" * 1000), b"x" * 1000)
    ask(app, signed(key, "GET", "/photos/a"))

    assert [(line["received"], line["sent"]) for line in log] == [(1000, 0), (0, 1000)]


def test_an_error_of_ours_is_answered_and_logged(
    house: House, log: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """With the id under which its traceback stands in the log, and without a word about the inside."""
    app = Application(house, api=_Broken(), gateway=_Broken())
    answer = ask(app, plain("POST", "/", {"X-Amz-Target": TARGET}))

    assert (answer.status, log[0]["status"]) == (500, 500)
    assert "geheim" not in answer.body
    assert log[0]["request"] in caplog.text
    assert "geheim" in caplog.text


def test_an_event_with_an_error_is_one_line() -> None:
    """A traceback has many; a log collector takes each for an event."""
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord(
            "deconfuse.wire", logging.ERROR, "", 0, "request %s", ("7",), (ValueError, error, None)
        )
    line = JsonLines().format(record)

    assert "\n" not in line
    assert json.loads(line)["event"] == "request 7"


def test_nothing_but_http_is_spoken(app: Application) -> None:
    """No websockets."""

    async def nothing(*_: Any) -> Any:
        return {}

    with pytest.raises(RuntimeError, match="websocket"):
        asyncio.run(app({"type": "websocket"}, nothing, nothing))


def test_where_objects_are_elsewhere_the_gateway_says_so(house: House, key: keys.Key) -> None:
    """501 to whoever has a key, 403 to others; the API goes on."""
    app = application(replace(house, objects=memory_objects(), local=None))
    told = ask(app, signed(key, "GET", "/photos/a.jpg"))
    refused = ask(app, sign("GET", HOST + "/photos/a.jpg", at=now_utc()))

    assert (told.status, "<Code>NotImplemented</Code>" in told.body) == (501, True)
    assert "another S3" in told.body
    assert refused.status == 403


class _Broken:
    """A door with a bug."""

    async def answer(self, exchange: Exchange) -> None:
        raise ValueError("geheim")

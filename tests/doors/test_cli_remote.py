"""`matrix`, `images` and `report` of a model that a live service has: flags, pages with images from S3, exit codes."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from remotes import OUTPUT, REGION, Cloud, aws_variables, stub_cloud, version_arn
from verdicts import Judged, judged_model
from worlds import manifest_line, picture

Command = Callable[..., Any]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "aws"
MODEL = judged_model(n=24)
SUMMARY = f"s3://{OUTPUT}/out/EvaluationResultSummary-rooms-1.json"
SNAPSHOT = f"s3://{OUTPUT}/out/TestingGroundTruth-rooms-1.json"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A stub of AWS with version 1 of rooms, its files and its images; a user with keys and a region."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws_variables(tmp_path_factory.mktemp("user")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with stub_cloud() as known:
        known.trained("rooms", "1", summary=MODEL.summary(), snapshot=MODEL.snapshot(style="ours"))
        for k, label in enumerate(MODEL.true):
            known.objects[MODEL.bucket, f"test/{k}.png"] = picture(MODEL.labels[label], k)
        monkeypatch.setenv("AWS_ENDPOINT_URL", known.url)
        yield known


def cells(text: str) -> dict[tuple[str, str], int]:
    """Counts by pair from long CSV."""
    return {(row["true_label"], row["predicted_label"]): int(row["count"]) for row in csv.DictReader(io.StringIO(text))}


def expected(model: Judged) -> dict[tuple[str, str], int]:
    """Counts by pair, of the model itself."""
    pairs = [(t, p) for t in range(len(model.labels)) for p in range(len(model.labels)) if model.counts()[t, p]]
    return {(model.labels[t], model.labels[p]): int(model.counts()[t, p]) for t, p in pairs}


def n_pictures(page: str) -> int:
    """Pictures that are in a page."""
    return len(re.findall(r"UklGR", page))


def test_the_matrix_of_a_model_by_its_name(deconfuse: Command, cloud: Cloud) -> None:
    """Two flags, and the counts are there."""
    answer = deconfuse("matrix", "--project", "rooms", "--version", "1", "--format", "csv")

    assert answer.code == 0
    assert cells(answer.out) == expected(MODEL)


def test_the_table_says_what_it_is_of(deconfuse: Command, cloud: Cloud) -> None:
    """Project, version, its ARN, number of images, rule, date; intervals and findings as for any counts."""
    answer = deconfuse("matrix", "--project", "rooms", "--version", "1")
    text = " ".join(answer.out.split())

    assert "Source: rooms 1; split: test; images: 24; rule: highest score" in text
    assert version_arn("rooms", "1") in text.replace(" ", "")
    assert "95 % interval" in text
    assert answer.err == ""


def test_the_published_summary(deconfuse: Command, cloud: Cloud) -> None:
    """AWS's example through the service is the same JSON as from the file, the names and the missing snapshot aside."""
    file = GOLDEN / "summary_cap_watch.json"
    cloud.trained("caps", "1", summary=file.read_bytes())
    here = json.loads(deconfuse("matrix", file, "--format", "json").out)
    there = json.loads(deconfuse("matrix", "--project", "caps", "--version", "1", "--format", "json").out)

    assert there.pop("title") == "caps 1"
    assert there["notes"].pop().startswith("The snapshot of the test images cannot be used")
    assert there["stamp"].pop("source") == "caps 1"
    del here["title"], here["stamp"]["source"]
    assert there == here


def test_flags_win_over_the_environment(
    deconfuse: Command, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--endpoint-url and --profile."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    config = "[profile viewer]\nregion = eu-west-1\naws_access_key_id = AKID\naws_secret_access_key = s\n"
    for name, value in aws_variables(tmp_path, config=config, credentials="").items():
        monkeypatch.setenv(name, value)
    model = ("matrix", "--project", "rooms", "--version", "1", "--quiet", "--format", "csv")

    assert deconfuse(*model, "--profile", "viewer").code == 8
    assert deconfuse(*model, "--endpoint-url", cloud.url).code == 6
    assert deconfuse(*model, "--endpoint-url", cloud.url, "--profile", "viewer").code == 0


def test_thresholds_and_labels(deconfuse: Command, cloud: Cloud) -> None:
    """The options of a matrix work as for a file."""
    model = ("matrix", "--project", "rooms", "--version", "1", "--format", "json")
    by_threshold = json.loads(deconfuse(*model, "--threshold", "assumed").out)
    chosen = json.loads(deconfuse(*model, "--labels", "closet").out)

    assert by_threshold["stamp"]["rule"] == "assumed thresholds"
    assert by_threshold["thresholds"] == pytest.approx(dict(zip(MODEL.labels, MODEL.thresholds, strict=True)))
    assert chosen["labels"] == ["closet", "(other)"]


def test_the_images_of_a_cell(deconfuse: Command, cloud: Cloud) -> None:
    """Their addresses in S3, as many as the cell counts."""
    (true, predicted), n = next((pair, n) for pair, n in expected(MODEL).items() if pair[0] != pair[1])
    answer = deconfuse("images", "--project", "rooms", "--true", true, "--predicted", predicted, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(answer.out)))

    assert len(rows) == n
    assert all(row["image"].startswith("s3://photos/test/") for row in rows)


def test_a_report_has_its_images_from_s3(deconfuse: Command, cloud: Cloud, tmp_path: Path) -> None:
    """Each image is fetched once and is on the page as a small picture."""
    answer = deconfuse("report", "--project", "rooms", "--version", "1", "--output", "page.html")
    page = (tmp_path / "page.html").read_text()

    assert (answer.code, answer.err) == (0, "")
    assert n_pictures(page) == 24
    assert cloud.count("GetObject") == 2 + 24
    first = re.search(r"UklGR[A-Za-z0-9+/=]+", page)
    assert first
    assert Image.open(io.BytesIO(base64.b64decode(first[0]))).format == "WEBP"


def test_images_that_the_training_could_not_use_are_told(deconfuse: Command, cloud: Cloud, tmp_path: Path) -> None:
    """By the matrix as text and JSON, and by the report, as of a run: nothing is dropped in silence."""
    noted = {"errors": [{"code": "ERROR_INVALID_IMAGE", "message": "it is no image"}]}
    bad = [json.dumps({"source-ref": f"s3://photos/bad/{k}.png"} | noted).encode() for k in range(7)]
    cloud.checked(cloud.projects["rooms"][0], [manifest_line("a.png", ["attic"])] * 30 + bad)
    model = ("--project", "rooms", "--version", "1")
    text, answer = deconfuse("matrix", *model), deconfuse("matrix", *model, "--format", "json")
    assert deconfuse("report", *model, "--output", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    problems = json.loads(answer.out)["problems"]

    assert (text.code, answer.code) == (0, 0)
    assert "7 of 37 images could not be used; the reasons stand in s3://results/out/" in " ".join(text.out.split())
    assert text.err.count("ERROR_INVALID_IMAGE") == 5
    assert "line 31 (s3://photos/bad/0.png): it is no image" in text.err
    assert "… and 2 more, all in `deconfuse matrix --format json`" in text.err
    assert [problem["uri"] for problem in problems] == [f"s3://photos/bad/{k}.png" for k in range(7)]
    assert "7 of 37 images could not be used" in page
    assert "s3://photos/bad/6.png" in page


def test_images_that_cannot_be_had_are_counted(deconfuse: Command, cloud: Cloud, tmp_path: Path) -> None:
    """One is gone, one is no image, one is too large a lie: the page is written all the same."""
    del cloud.objects[MODEL.bucket, "test/0.png"]
    cloud.objects[MODEL.bucket, "test/1.png"] = b"no image"
    cloud.objects[MODEL.bucket, "test/2.png"] = b""
    answer = deconfuse("report", "--project", "rooms", "--version", "1", "--output", "page.html")

    assert answer.code == 0
    assert "3 images were not found" in answer.err
    assert n_pictures((tmp_path / "page.html").read_text()) == 21


def test_a_bucket_that_may_not_be_read_is_not_asked_for_every_image(
    deconfuse: Command, cloud: Cloud, tmp_path: Path
) -> None:
    """After forty refusals in a row the rest is not tried; all are counted as missing."""
    model = judged_model(n=120, bucket="secret")
    cloud.trained("many", "1", summary=model.summary(), snapshot=model.snapshot(style="ours"))
    answer = deconfuse("report", "--project", "many", "--version", "1", "--output", "page.html")

    assert answer.code == 0
    assert "120 images were not found" in answer.err
    assert cloud.count("GetObject") < 2 + 90


def test_pictures_that_lie_here_are_not_fetched(deconfuse: Command, cloud: Cloud, tmp_path: Path) -> None:
    """--bucket wins over S3."""
    for k, label in enumerate(MODEL.true):
        (tmp_path / "photos/test").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"photos/test/{k}.png").write_bytes(picture(MODEL.labels[label], k))
    bucket = f"photos={tmp_path / 'photos'}"
    answer = deconfuse("report", "--project", "rooms", "--bucket", bucket, "--output", "page.html")

    assert answer.code == 0
    assert cloud.count("GetObject") == 2
    assert n_pictures((tmp_path / "page.html").read_text()) == 24


@pytest.mark.parametrize("source", [SUMMARY, SNAPSHOT])
def test_a_source_in_s3(deconfuse: Command, cloud: Cloud, source: str) -> None:
    """A summary or snapshot at its address is what it is as a file."""
    answer = deconfuse("matrix", source, "--format", "csv")

    assert answer.code == 0
    assert cells(answer.out) == expected(MODEL)


def test_predictions_in_s3(deconfuse: Command, cloud: Cloud, tmp_path: Path) -> None:
    """Any table; the report fetches its images, which are named by their addresses."""
    lines = ["image,true_label,predicted_label"]
    lines += [f"s3://photos/test/{k}.png,{MODEL.labels[t]},{MODEL.labels[t]}" for k, t in enumerate(MODEL.true)]
    cloud.objects["tables", "a b/predictions.csv"] = "\n".join(lines).encode()
    source = "s3://tables/a b/predictions.csv"

    assert "24 of 24" in deconfuse("matrix", source).out
    assert deconfuse("report", source, "--output", "page.html").code == 0
    assert n_pictures((tmp_path / "page.html").read_text()) == 24


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--project", "room", "--version", "1"], 3, "Did you mean rooms?"),
        (["--project", "rooms", "--version", "9"], 3, "Project rooms has 1 (TRAINING_COMPLETED)"),
        (["--project", "young", "--version", "1"], 4, "is still training: 42 %"),
        (["--project", "failed", "--version", "1"], 4, "could not be trained: Too few labels."),
        (["--project", "boxes", "--version", "1"], 5, "not a classification model"),
        (["--project", "gone", "--version", "1"], 3, "summary of gone 1 not found: s3://"),
        (["--project", "rooms", "--profile", "nobody"], 3, "profile not found: nobody"),
        (["--project", "rooms", "--region", "us east"], 2, "--region"),
        (["--project", "rooms", "--endpoint-url", "http://127.0.0.1:9"], 8, "cannot be reached"),
        (["--project", "rooms", "--endpoint-url", "nonsense"], 2, "--endpoint-url"),
        (["--project", "a/b"], 2, "--project"),
        (["s3://results/out/nothing.json"], 3, "s3://results/out/nothing.json"),
        (["s3://nowhere/summary.json"], 3, "bucket is gone"),
        (["s3://results"], 2, "not of the form s3://bucket/key"),
        (["s3://results/out/"], 3, "s3://results/out/"),
        (["s3://photos/test/0.png"], 5, "s3://photos/test/0.png is a PNG image"),
    ],
)
def test_every_failure_has_its_code_and_its_sentence(
    deconfuse: Command, cloud: Cloud, words: list[str], code: int, said: str
) -> None:
    """One line on stderr, nothing on stdout."""
    cloud.version("young", "1", "TRAINING_IN_PROGRESS", StatusMessage="42 %")
    cloud.version("failed", "1", "TRAINING_FAILED", StatusMessage="Too few labels.")
    cloud.trained("boxes", "1", summary=b'{"AggregatedEvaluationResults": {"AveragePrecision": 0.7}}')
    cloud.trained("gone", "1", summary=None)
    answer = deconfuse("matrix", *words)

    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("deconfuse: ")
    assert said in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("code_said", "operation", "status", "code"),
    [
        ("AccessDeniedException", "DescribeProjects", 400, 6),
        ("AccessDenied", "GetObject", 403, 6),
        ("ExpiredTokenException", "DescribeProjects", 400, 6),
        ("UnrecognizedClientException", "DescribeProjects", 400, 6),
        ("InvalidSignatureException", "DescribeProjectVersions", 400, 6),
        ("ThrottlingException", "DescribeProjects", 400, 7),
        ("InternalServerError", "DescribeProjects", 500, 8),
    ],
)
def test_refusals_have_the_codes_of_their_kind(
    deconfuse: Command, cloud: Cloud, code_said: str, operation: str, status: int, code: int
) -> None:
    """No permission and wrong keys 6, too fast 7, out of order 8."""
    cloud.fault(operation, status, code_said)

    assert deconfuse("report", "--project", "rooms", "--version", "1", "--output", "-").code == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'SOURCE'"),
        (["--version", "1"], "--version needs --project"),
        (["--profile", "x"], "--profile needs --project"),
        (["x.csv", "--project", "rooms"], "both say what to look at"),
        (["x.csv", "--version", "1"], "--version needs --project"),
        (["x.csv", "--profile", "x"], "--profile needs --project or an s3://"),
        (["x.csv", "--region", "x"], "--region needs --project or an s3://"),
        (["-", "--endpoint-url", "http://x"], "--endpoint-url needs --project or an s3://"),
        (["s3://b/k", "--version", "1"], "--version needs --project"),
        (["s3://b/k", "--project", "rooms"], "both say what to look at"),
        (["--project", "rooms", "--split", "train"], "--split train belongs to a run"),
        (["--project", "rooms", "--input-format", "csv"], "--input-format belongs to a table"),
        (["--project", "rooms", "--true-column", "x"], "--true-column belongs to a table"),
        (["--project", "rooms", "--predicted-column", "x"], "--predicted-column belongs to a table"),
    ],
)
@pytest.mark.parametrize("command", [["matrix"], ["report", "--output", "page.html"], ["images", "--true", "attic"]])
def test_what_contradicts_itself_is_a_usage_error(
    deconfuse: Command, cloud: Cloud, command: list[str], words: list[str], said: str
) -> None:
    """Nothing is asked of anybody."""
    answer = deconfuse(*command, *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in " ".join(answer.err.split())
    assert cloud.asked == []


def test_names_of_a_service_cannot_steer_the_terminal(deconfuse: Command, cloud: Cloud) -> None:
    """What a service says is shown, its control characters as codes."""
    cloud.version("young", "1", "TRAINING_FAILED", StatusMessage="\x1b[31mred\x07")
    answer = deconfuse("matrix", "--project", "young", "--version", "1")

    assert "\x1b" not in answer.err
    assert "red" in answer.err

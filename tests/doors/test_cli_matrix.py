"""The commands `matrix`, `images` and `report`, as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from deconfuse.cli import cli, exit_code
from deconfuse.errors import DeconfuseError
from deconfuse.report.terminal import columns

ROWS = [
    ("1.png", "cat", "cat", "0.9"),
    ("2.png", "cat", "cat", "0.8"),
    ("3.png", "cat", "dog", "0.4"),
    ("4.png", "cat", "dog", "0.7"),
    ("5.png", "dog", "dog", "0.95"),
    ("6.png", "dog", "", ""),
    ("7.png", "big fish", "cat", "0.5"),
]


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """A CSV of seven predictions."""
    path = tmp_path / "predictions.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "true_label", "predicted_label", "confidence"), *ROWS])
    return path


def run(*words: str | Path, stdin: bytes | None = None) -> Result:
    """The result of a command in this process, whatever it is."""
    return CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1"}).invoke(cli, [str(word) for word in words], input=stdin)


def said(*words: str | Path, stdin: bytes | None = None) -> str:
    """What a command that succeeds writes to stdout."""
    result = run(*words, stdin=stdin)
    assert result.exit_code == 0, result.exception
    return result.stdout


def failed(*words: str | Path) -> tuple[int, str]:
    """The exit code and the message of a command that ends with an error of ours or of its usage."""
    result = run(*words)
    assert result.stdout == ""
    if isinstance(result.exception, DeconfuseError):
        return exit_code(result.exception), str(result.exception)
    return result.exit_code, result.stderr


def process(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "deconfuse", *map(str, words)]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, timeout=120, check=False)


def counts(text: str) -> dict[tuple[str, str], int]:
    """Counts by pair from long CSV, without those of 0."""
    rows = csv.DictReader(io.StringIO(text))
    return {(row["true_label"], row["predicted_label"]): int(row["count"]) for row in rows if row["count"] != "0"}


EXPECTED = {("cat", "cat"): 2, ("cat", "dog"): 2, ("dog", "dog"): 1, ("dog", ""): 1, ("big fish", "cat"): 1}


def test_the_table_has_stamp_headline_matrix_and_findings(predictions: Path) -> None:
    """One command on a CSV shows everything that is needed to judge it."""
    text = said("matrix", predictions)

    assert "predictions.csv; images: 7" in " ".join(text.split())
    assert "(3 of 7 images" in text
    assert "predicted" in text
    assert "What stands out:" in text
    assert max(map(columns, text.split("\n"))) <= 100


def test_long_csv_is_read_back(predictions: Path) -> None:
    """What CSV says of the pairs is what was in the file, and stdin takes it back."""
    text = said("matrix", predictions, "--format", "csv")

    assert counts(text) == EXPECTED
    assert counts(said("matrix", "-", "--format", "csv", stdin=text.encode())) == EXPECTED


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "csv", "--wide"],
        ["--format", "csv", "--wide", "--orientation", "aws"],
        ["--format", "csv", "--normalize", "pred"],
        ["--format", "json"],
        ["--format", "json", "--normalize", "all"],
    ],
)
def test_what_is_written_is_read_back(predictions: Path, tmp_path: Path, options: list[str]) -> None:
    """Every form that holds counts gives the same pairs when it is read."""
    file = tmp_path / "written"
    said("matrix", predictions, *options, "-o", file)

    assert counts(said("matrix", file, "--format", "csv")) == EXPECTED


def test_labels_of_any_kind_survive_the_round_trip(tmp_path: Path) -> None:
    """Commas, quotes, blanks, numbers with zeros, formulas and words that mean nothing elsewhere stay labels."""
    labels = ["a,b", 'q"q', "007", "NULL", "nan", "None", "true", "=1+1", "日本", "1e5", "x;y", "x\ty"]
    source = tmp_path / "source.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([("true", "pred"), *zip(labels, labels[1:] + labels[:1], strict=True)])
    text = said("matrix", source, "--format", "csv")

    assert set(counts(text)) == set(zip(labels, labels[1:] + labels[:1], strict=True))
    assert counts(said("matrix", "-", "--format", "csv", stdin=text.encode())) == counts(text)
    wide = said("matrix", source, "--format", "csv", "--wide").encode()
    assert counts(said("matrix", "-", "--format", "csv", stdin=wide)) == counts(text)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("m.csv", b"true_label,"),
        ("m.json", b"{"),
        ("m.md", b"Source:"),
        ("m.tex", b"% Source"),
        ("m.html", b"<!doctype html>"),
        ("m.svg", b"<svg "),
        ("m.png", b"\x89PNG"),
        ("m.txt", b"Source:"),
        ("m.TXT", b"Source:"),
        ("matrix", b"Source:"),
    ],
)
def test_the_name_of_the_output_chooses_the_format(predictions: Path, tmp_path: Path, name: str, start: bytes) -> None:
    """Without --format the ending decides; stdout stays empty and stderr says what was written."""
    result = run("matrix", predictions, "-o", tmp_path / name)

    assert result.exit_code == 0
    assert (tmp_path / name).read_bytes().startswith(start)
    assert result.stdout == ""
    assert f"wrote {tmp_path / name}" in result.stderr


def test_a_format_that_is_said_takes_any_ending(predictions: Path, tmp_path: Path) -> None:
    """What --format says is not judged by the name."""
    said("matrix", predictions, "-o", tmp_path / "m.v2", "--format", "csv")

    assert (tmp_path / "m.v2").read_bytes().startswith(b"true_label,")


def test_an_output_that_exists_is_kept(predictions: Path, tmp_path: Path) -> None:
    """Nothing is overwritten unless --force says so."""
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")

    assert process("matrix", predictions, "-o", kept).returncode == 4
    assert kept.read_text() == "mine"
    said("matrix", predictions, "-o", kept, "--force")
    assert kept.read_text().startswith("true_label")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of Unix")
@pytest.mark.parametrize("command", ["matrix", "report"])
def test_a_device_is_never_replaced(predictions: Path, tmp_path: Path, command: str) -> None:
    """An output that is a device or a pipe is refused even with --force: renaming onto it would destroy it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert failed(command, predictions, "-o", pipe, "--force")[0] == 2
    assert pipe.is_fifo()


def test_some_labels_sum_the_others(predictions: Path, tmp_path: Path) -> None:
    """--labels keeps the order given, from the option or a file; no image is lost."""
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    from_option = said("matrix", predictions, "--labels", "dog,cat", "--format", "csv")

    assert sum(counts(from_option).values()) == len(ROWS)
    assert counts(from_option)["(other)", "cat"] == 1
    assert said("matrix", predictions, "--labels", f"@{tmp_path / 'labels.txt'}", "--format", "csv") == from_option


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--labels", "cow"], 2, "cow"),
        (["--labels", ","], 2, "no label"),
        (["--labels", "cat,cat"], 2, "twice"),
        (["--labels", "@missing.txt"], 3, "missing.txt"),
        (["--wide"], 2, "--wide"),
        (["--threshold", "2"], 2, "--threshold"),
        (["--true-column", "nowhere"], 2, "nowhere"),
        (["--font", "x.ttf"], 2, "--font"),
        (["--format", "png", "-o", "x.png", "--font", "missing.ttf"], 3, "missing.ttf"),
        (["--format", "xls"], 2, "xls"),
        (["-o", "m.xlsx"], 2, "the ending .xlsx is no format; there are: .txt, .csv"),
        (["-o", "rooms.v2"], 2, "Or say --format"),
        (["--normalize", "rows"], 2, "rows"),
    ],
)
def test_bad_options_say_what_is_wrong(predictions: Path, options: list[str], code: int, word: str) -> None:
    """An option that cannot be meant ends with its exit code and one sentence that names it, and no result."""
    ended, message = failed("matrix", predictions, *options)

    assert ended == code
    assert word in message


@pytest.mark.parametrize(
    ("content", "code"), [(b"", 5), (b"a,b\n1,2\n", 2), (b"\x89PNG\r\n\x1a\n", 5), (b"\xff\xfe\x00", 5), (None, 3)]
)
def test_bad_sources_say_what_is_wrong(tmp_path: Path, content: bytes | None, code: int) -> None:
    """Nothing, the wrong columns, a picture, bytes, no file: each is an error of its kind, never a trace."""
    source = tmp_path / "source"
    if content is not None:
        source.write_bytes(content)

    assert failed("matrix", source)[0] == code


def test_color_follows_the_environment(predictions: Path) -> None:
    """No colour in a pipe, colour where FORCE_COLOR asks for it, none where NO_COLOR forbids it."""
    environments = ({}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"})
    plain, forced, forbidden = (
        CliRunner(env=environment).invoke(cli, ["matrix", str(predictions)], color=True).stdout_bytes
        for environment in environments
    )

    assert b"\x1b[" not in plain
    assert b"\x1b[" in forced
    assert forbidden == plain


@pytest.mark.parametrize("width", ["60", "200"])
def test_the_table_follows_the_width(predictions: Path, width: str) -> None:
    """COLUMNS, which a terminal sets, bounds every line."""
    text = CliRunner(env={"COLUMNS": width}).invoke(cli, ["matrix", str(predictions)]).stdout

    assert max(map(columns, text.split("\n"))) <= int(width)


def test_a_terminal_without_utf8_is_no_error(tmp_path: Path) -> None:
    """A letter that stdout cannot write is written as a code."""
    source = tmp_path / "a.csv"
    source.write_text("true,pred\n日本,日本\n", encoding="utf-8")
    result = process("matrix", source, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")

    assert result.returncode == 0
    assert b"\\u65e5\\u672c" in result.stdout


def test_a_label_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences in labels, addresses and file names arrive as text."""
    source = tmp_path / "a.csv"
    source.write_text("image,true,pred\n\x1b[2Ja.png,\x1b[31mred,blue\n")

    for words in (["matrix", source], ["images", source, "--predicted", "blue"]):
        assert "\x1b" not in said(*words)


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`deconfuse matrix … | head` ends quietly."""
    source = tmp_path / "many.csv"
    source.write_text("true,pred,count\n" + "".join(f"label {i},label {i + 1},1\n" for i in range(40_000)))
    command = [sys.executable, "-m", "deconfuse", "matrix", str(source), "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        complaint = child.stderr.read()

    assert child.returncode == 0
    assert b"Traceback" not in complaint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a thing of Linux")
@pytest.mark.parametrize("form", ["csv", "png"])
def test_a_full_disk_behind_stdout_is_said(predictions: Path, form: str) -> None:
    """`deconfuse matrix … > file` on a full disk is an error of the disk, not of deconfuse."""
    command = [sys.executable, "-m", "deconfuse", "matrix", str(predictions), "--format", form]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)

    assert (ended.returncode, ended.stderr) == (8, b"deconfuse: stdout: No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_no_error(predictions: Path, closed: str) -> None:
    """Whoever closes stdout wants no answer; the work is done all the same."""
    command = f"{shlex.quote(sys.executable)} -m deconfuse matrix {shlex.quote(str(predictions))} {closed}"
    ended = subprocess.run(command, shell=True, capture_output=True, timeout=120, check=False)

    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_dash_is_stdout(predictions: Path, tmp_path: Path) -> None:
    """No command leaves a file called "-"."""
    before = sorted(tmp_path.iterdir())

    assert said("matrix", predictions, "--format", "csv", "-o", "-") == said("matrix", predictions, "--format", "csv")
    assert said("report", predictions, "-o", "-").startswith("<!DOCTYPE html>")
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("-").exists()


def test_an_output_without_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    """The source is not even looked at: nobody waits for an answer that has no place."""
    code, message = failed("matrix", tmp_path / "nothing.csv", "-o", tmp_path / "gone" / "m.csv")

    assert (code, "gone" in message, "nothing.csv" in message) == (3, True, False)


def test_more_labels_than_a_table_holds(tmp_path: Path) -> None:
    """Thousands of labels work as table, CSV and JSON; a picture of them is refused with the way that works."""
    source = tmp_path / "many.csv"
    source.write_text("true,pred,count\n" + "".join(f"label {i},label {i + 1},3\n" for i in range(2500)))

    assert "2,501 labels do not fit" in said("matrix", source)
    assert len(counts(said("matrix", source, "--format", "csv"))) == 2500
    assert len(json.loads(said("matrix", source, "--format", "json"))["labels"]) == 2501
    assert failed("matrix", source, "--format", "svg")[0] == 7


def test_png_goes_to_a_pipe(predictions: Path) -> None:
    """Binary output is the bytes of the picture and nothing else."""
    data = run("matrix", predictions, "--format", "png").stdout_bytes

    assert Image.open(io.BytesIO(data)).format == "PNG"


def test_images_of_a_cell_come_surest_first(predictions: Path) -> None:
    """The images of one cell are listed by falling probability."""
    rows = list(
        csv.DictReader(
            io.StringIO(said("images", predictions, "--true", "cat", "--predicted", "dog", "--format", "csv"))
        )
    )

    assert [row["image"] for row in rows] == ["4.png", "3.png"]
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.7, 0.4])


def test_images_without_a_prediction_can_be_named(predictions: Path) -> None:
    """*No label* is a name like any other."""
    rows = json.loads(said("images", predictions, "--true", "dog", "--predicted", "(no label)", "--format", "json"))

    assert rows == [{"image": "6.png", "true_label": "dog", "predicted_label": None, "probability": None}]


def test_one_side_of_a_cell_is_enough(predictions: Path) -> None:
    """Without --predicted all images of a true label are listed, with a heading that says so."""
    text = said("images", predictions, "--true", "cat")

    assert text.startswith("4 images, truly cat, surest first:")
    assert text.count(".png") == 4


def test_paths_are_those_of_this_machine(predictions: Path, tmp_path: Path) -> None:
    """With --format paths each line can be given to another program."""
    text = said("images", predictions, "--true", "cat", "--predicted", "dog", "--format", "paths")

    assert text.splitlines() == [str(tmp_path / "4.png"), str(tmp_path / "3.png")]


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--true", "Cat", "--predicted", "dgo"], 3, "'cat'"),
        (["--true", "cat", "--predicted", "dgo"], 3, "'dog'"),
        (["--true", "zebra"], 3, "There are: "),
        ([], 2, "--true"),
    ],
)
def test_labels_that_are_not_there_are_answered_with_those_that_are(
    predictions: Path, options: list[str], code: int, word: str
) -> None:
    """A misspelled label is an error that names the nearest ones; no label at all asks for one."""
    ended, message = failed("images", predictions, *options)

    assert ended == code
    assert word in message


def test_counts_have_no_images(tmp_path: Path) -> None:
    """From counted pairs no image can be named, and the message says which sources can."""
    source = tmp_path / "cells.csv"
    source.write_text("true_label,predicted_label,count\na,b,3\n")

    with pytest.raises(DeconfuseError, match="predictions with a column"):
        CliRunner().invoke(cli, ["images", str(source), "--true", "a"], catch_exceptions=False)


def test_a_report_is_one_file(predictions: Path, tmp_path: Path) -> None:
    """A page is written from predictions alone; images that are not there are counted, not fatal."""
    page = tmp_path / "report.html"
    result = run("report", predictions, "-o", page)

    assert result.exit_code == 0, result.exception
    assert "big fish" in page.read_text()
    assert "7 images were not found" in result.stderr
    assert failed("report", predictions, "-o", page)[0] == 4

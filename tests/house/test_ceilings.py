"""The caretaker: sizes, words and purity of the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "deconfuse"
MODULES = sorted(SOURCE.rglob("*.py"))
PURE = ("errors", "names", "tables", "signing", "measure", "formats", "insights", "learn", "vision", "report")
PURE_MODULES = [path for path in MODULES if path.relative_to(SOURCE).parts[0].removesuffix(".py") in PURE]
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "datetime.now", "datetime.utcnow", "date.today", "uuid4"}
BANNED_NAMES = {"core", "utils", "util", "common", "helpers", "helper", "manager"}


def module_name(path: Path) -> str:
    """A short name for test ids."""
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_is_over_600_lines(path: Path) -> None:
    """A module that outgrows 600 lines has more than one thing to say."""
    assert len(path.read_text().splitlines()) <= 600


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_function_is_over_60_lines_of_code(path: Path) -> None:
    """A function fits on a screen; its docstring does not count."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1

            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", PURE_MODULES, ids=module_name)
def test_pure_rooms_do_not_touch_the_world(path: Path) -> None:
    """Same input, same output: no file, clock or unseeded chance below the engine."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)

            assert called not in IMPURE_CALLS, f"line {node.lineno} calls {called}"
            assert not (called.endswith("default_rng") and not node.args), f"line {node.lineno}: unseeded generator"


def test_modules_are_named_for_what_happens_in_them() -> None:
    """No room is called after its being useful."""
    assert not {path.stem for path in MODULES} & BANNED_NAMES


def test_scripts_of_the_report_stay_small() -> None:
    """matrix.js within 600 lines, all other scripts and styles within 1,800 together."""
    static = SOURCE / "report" / "static"
    lengths = {path.name: len(path.read_text().splitlines()) for path in static.iterdir()}

    assert lengths.pop("matrix.js") <= 600
    assert sum(lengths.values()) <= 1_800


def test_every_test_says_what_must_be_true() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.name}:{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert silent == []


def test_no_file_names_a_place_that_only_we_have() -> None:
    """No absolute path of a workplace and no address of a package index is in the repository."""
    parts = [("..", "/shared"), ("/work", "/"), ("simple", "/pypi"), ("--", "index-url"), ("/root", "/")]
    banned = ["".join(pair) for pair in parts]
    files = [p for folder in ("src", "tests", "docs", "scripts", "bench", ".ci") for p in (ROOT / folder).rglob("*")]
    for path in [*files, ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "constraints.txt"]:
        if path.is_file() and path.suffix in {".py", ".md", ".js", ".css", ".html", ".toml", ".txt", ".json", ""}:
            text = path.read_text(errors="replace")

            assert not [word for word in banned if word in text], path

"""Documentation that a test keeps true stays true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import deconfuse

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page exists."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]

    assert missing == []


def test_the_readme_opens_with_the_two_commands() -> None:
    """A visitor sees first how to run the main job and the tests."""
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.strip()]

    assert [line.split()[:2] for line in lines[1:3]] == [["make", "demo"], ["make", "test"]]


def test_every_page_is_reachable_from_the_readme() -> None:
    """No page of docs/ is an orphan: the README or a page it names links to it."""
    text = "".join(page.read_text() for page in PAGES)

    assert not [page.name for page in PAGES[2:] if f"({page.name})" not in text and f"docs/{page.name}" not in text]


def test_public_names_are_all_there() -> None:
    """Each name of the root can be had, says what it is, and nothing else is promised."""
    for name in deconfuse.__all__:
        assert getattr(deconfuse, name).__doc__

    with pytest.raises(AttributeError, match="nothing"):
        _ = deconfuse.nothing


def test_every_golden_file_has_its_provenance() -> None:
    """PROVENANCE.md names each file below tests/golden, or the folder it lies in."""
    golden = ROOT / "tests" / "golden"
    text = (golden / "PROVENANCE.md").read_text()
    files = [path for path in golden.rglob("*") if path.is_file() and path.suffix not in {".md", ".py", ".pyc"}]

    assert not [path for path in files if path.name not in text and f"{path.parent.name}/" not in text]


def test_every_module_is_on_the_map() -> None:
    """docs/contributing.md says in a line what happens in each module, and names none that is not there."""
    source = ROOT / "src" / "deconfuse"
    paths = [path.relative_to(source).with_suffix("").parts for path in source.rglob("*.py")]
    modules = {".".join(parts) for parts in paths if not parts[-1].startswith("__")} | {"cli"}
    text = (ROOT / "docs" / "contributing.md").read_text().split("## Every room and module", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]

    assert {name for row in rows for name in re.findall(r"`([a-z0-9_.]+)`", row)} == modules

"""The caretaker: every code that can be reported is explained."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"\b(?:ERROR|WARNING)_[A-Z0-9_]+\b")


def codes_in(paths: list[Path], pattern: str) -> set[str]:
    """Codes in these files, of the form given."""
    found = {match for path in paths for match in re.findall(pattern, path.read_text())}
    return {code for match in found for code in CODE.findall(match)}


def test_every_code_is_explained_and_none_is_invented() -> None:
    """What stands behind each code, and what to do, is on one of two pages; they explain no other."""
    used = codes_in(sorted((ROOT / "src").rglob("*.py")), r'"(?:ERROR|WARNING)_[A-Z0-9_]+"')
    pages = [ROOT / "docs" / "tour-images.md", ROOT / "docs" / "service-datasets.md"]
    explained = codes_in(pages, r"`(?:ERROR|WARNING)_[A-Z0-9_]+`")

    assert explained == used

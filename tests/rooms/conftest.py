"""Fixtures for the rooms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deconfuse.store.database import Database, open_database


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An empty database."""
    database = open_database(url)
    yield database
    database.close()

"""What every test shares: a clean environment, a cache of its own, and how hard hypothesis tries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from clusters import Cluster, running_cluster

settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("DECONFUSE_HYPOTHESIS", "quick"))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for the whole session, so that the backbone is converted once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> None:
    """No setting of the machine reaches a test, and no test reaches the user's cache."""
    for name in [*os.environ]:
        if name.startswith("DECONFUSE_") or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("DECONFUSE_CACHE", str(shared_cache))


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for the session; a test that stops it starts it again. Mark its tests `postgres`."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> str:
    """The address of an empty database."""
    return postgres_cluster.new_database()

"""A sink that puts artefacts into a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from deconfuse.engine.sinks import ObjectSink, content_type
from deconfuse.errors import Denied, NotFound
from deconfuse.store.objects import Objects
from stores import local_objects, memory_objects

PLACES = {
    "card.json": (("own", "versions/7/card.json"),),
    "report.html": (("results", "out/report-P-1.html"),),
    "predictions.parquet": (("results", "out/predictions-P-1.parquet"), ("own", "versions/7/predictions.parquet")),
}


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """A store of each kind with two buckets."""
    return local_objects(tmp_path, "own", "results") if request.param == "local" else memory_objects("own", "results")


def content(objects: Objects, bucket: str, key: str) -> bytes:
    """The bytes of an object."""
    with objects.get(bucket, key) as found:
        return b"".join(found)


def test_each_artefact_lies_where_it_belongs(objects: Objects) -> None:
    """Under its key, and under both where there are two; from one piece or from many."""
    sink = ObjectSink(objects, PLACES)
    sink.put("card.json", b"{}")
    sink.put("predictions.parquet", iter([b"PA", b"R1"]))
    sink.finish()

    assert content(objects, "own", "versions/7/card.json") == b"{}"
    assert content(objects, "own", "versions/7/predictions.parquet") == b"PAR1"
    assert content(objects, "results", "out/predictions-P-1.parquet") == b"PAR1"


def test_an_artefact_put_again_replaces_the_first(objects: Objects) -> None:
    """A training that was killed is begun again."""
    sink = ObjectSink(objects, PLACES)
    sink.put("report.html", b"half")
    sink.put("report.html", b"whole")

    assert content(objects, "results", "out/report-P-1.html") == b"whole"


def test_a_browser_shows_the_page(objects: Objects) -> None:
    """The object says what it is."""
    ObjectSink(objects, PLACES).put("report.html", b"<!doctype html>")
    assert objects.head("results", "out/report-P-1.html").headers["Content-Type"] == "text/html; charset=utf-8"
    assert content_type("out/x.unknown") == "application/octet-stream"


def test_an_artefact_without_a_place_is_a_mistake(objects: Objects) -> None:
    """Nothing is put anywhere by guessing."""
    with pytest.raises(KeyError):
        ObjectSink(objects, PLACES).put("other.json", b"")


def test_a_bucket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """And nothing appears."""
    with pytest.raises(NotFound):
        ObjectSink(local_objects(tmp_path, "own"), PLACES).put("report.html", b"")


def test_a_linked_bucket_is_never_written(tmp_path: Path) -> None:
    """The user's own folder stays as it is."""
    objects = local_objects(tmp_path / "store", "own")
    (tmp_path / "folder").mkdir()
    objects.link("results", tmp_path / "folder")
    with pytest.raises(Denied):
        ObjectSink(objects, PLACES).put("report.html", b"")
    assert list((tmp_path / "folder").iterdir()) == []

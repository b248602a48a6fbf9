"""Whatever bytes a user hands in as a table or manifest: entries, or an error of ours; never anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deconfuse.engine.imports import open_images
from deconfuse.errors import BadImage, DeconfuseError
from worlds import manifest_line

LINE = manifest_line("a.png", ["leaf", "sun"])
CELLS = st.sampled_from(["a.png", "", "leaf", '"', "\0", "../x", "s3://photos/a", "s3://", "é", "\ufeff", " ", "\x85"])


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    """Manifest lines of which some have bytes replaced, cut out or put in."""
    data = b"\n".join([LINE] * draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(st.binary(max_size=4)) + data[start + draw(st.integers(0, 4)) :]
    return data


@st.composite
def strange_tables(draw: st.DrawFn) -> bytes:
    """Rows of cells that trouble readers of tables."""
    rows = draw(st.lists(st.lists(CELLS, max_size=4), max_size=6))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(draw(st.sampled_from(",;\t")).join(row) for row in rows)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-16"])))


def take_in(path: Path, data: bytes) -> None:
    """Open `data` as IMAGES and ask for every image."""
    path.write_bytes(data)
    try:
        intake = open_images(path, buckets={"photos": path.parent})
    except DeconfuseError:
        return
    for entry in intake.entries:
        assert entry.labels or entry.problems
        assert entry.line is not None
        if entry.uri is not None:
            with pytest.raises(BadImage):
                intake.fetch(entry.uri)


@given(data=st.one_of(st.binary(max_size=200), damaged_lines()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_becomes_entries_or_an_error(tmp_path: Path, data: bytes) -> None:
    """Each line has labels or a problem, and an image that is not there is a bad image."""
    take_in(tmp_path / "a.manifest", data)


@given(data=st.one_of(st.binary(max_size=200), strange_tables()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_becomes_entries_or_an_error(tmp_path: Path, data: bytes) -> None:
    """Each row has a label or a problem, and an image that is not there is a bad image."""
    take_in(tmp_path / "a.csv", data)


@given(
    names=st.lists(st.binary(min_size=1, max_size=12).filter(lambda n: b"/" not in n and b"\0" not in n), max_size=5)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_name_becomes_an_entry_or_is_hidden(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    """Names are bytes on most systems; those that are no text are problems."""
    root = tmp_path_factory.mktemp("names")
    (root / "leaf").mkdir()
    for name in set(names) - {b".", b".."}:
        Path(str(root / "leaf") + "/" + name.decode("utf-8", "surrogateescape")).write_bytes(b"x")
    try:
        intake = open_images(root)
    except DeconfuseError:
        return

    assert all(entry.labels == ("leaf",) or entry.problems for entry in intake.entries)
    for entry in intake.entries:
        assert entry.uri is not None
        entry.uri.encode()

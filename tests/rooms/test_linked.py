"""Linked folders: what is listed, what leads out, what changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from deconfuse.errors import AlreadyExists, Invalid, NotFound, Unavailable
from deconfuse.store import linked
from deconfuse.store.linked import LinkedFolder
from deconfuse.store.local import LocalObjects
from deconfuse.store.objects import Span, list_all
from deconfuse.store.schema import LINKED_FILES
from stores import Clock, local_objects


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pictures."""
    path = tmp_path / "pictures"
    for name in ("cats/1.png", "cats/2.png", "cats-old/3.png", "dogs/deep/4.png", "5.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
        os.utime(path / name, (1_000_000, 1_000_000))
    return path


@pytest.fixture
def objects(tmp_path: Path, folder: Path) -> LocalObjects:
    """A store with that folder as the bucket "linked"."""
    store = local_objects(tmp_path / "home")
    store.link("linked", folder)
    return store


def keys(objects: LocalObjects) -> list[str]:
    """Every key of the bucket."""
    return [stored.key for stored in list_all(objects, "linked")]


def test_files_are_objects(objects: LocalObjects) -> None:
    """In byte order, with md5, size and time; read whole and in part."""
    stored = objects.head("linked", "cats/1.png")

    assert keys(objects) == ["5.png", "cats-old/3.png", "cats/1.png", "cats/2.png", "dogs/deep/4.png"]
    assert (stored.etag, stored.size_bytes) == (hashlib.md5(b"cats/1.png").hexdigest(), 10)
    assert stored.modified.timestamp() == 1_000_000
    assert next(list_all(objects, "linked", prefix="cats/")) == stored
    with objects.get("linked", "cats/1.png", span=Span(5, 5)) as content:
        assert b"".join(content) == b"1"


def test_folders_are_common_prefixes(objects: LocalObjects) -> None:
    """As in a bucket of our own."""
    page = objects.list_objects("linked", delimiter="/", limit=2)

    assert ([s.key for s in page.objects], page.prefixes, page.next_after) == (["5.png"], ("cats-old/",), "cats-old/")
    rest = objects.list_objects("linked", delimiter="/", after="cats-old/")
    assert rest.prefixes == ("cats/", "dogs/")


def test_what_is_linked_can_be_copied_out(objects: LocalObjects, folder: Path) -> None:
    """The copy does not change with the file."""
    objects.create_bucket("photos")
    objects.copy(("linked", "5.png"), "photos", "five", algorithm="SHA256")
    (folder / "5.png").write_bytes(b"changed")

    with objects.get("photos", "five") as content:
        assert b"".join(content) == b"5.png"


@pytest.mark.parametrize(
    "key",
    [
        "../secret",
        "cats/../../secret",
        "/etc/passwd",
        "cats",
        "cats/",
        "cats//1.png",
        "./5.png",
        "5.png/",
        "a\0b",
        "no",
    ],
)
def test_a_path_is_not_a_key(objects: LocalObjects, folder: Path, key: str) -> None:
    """Only what is listed can be had."""
    (folder.parent / "secret").write_text("secret")

    with pytest.raises(NotFound):
        objects.get("linked", key)


def test_links_that_lead_out_are_not_there(objects: LocalObjects, folder: Path) -> None:
    """Neither listed nor read: files, folders, links to links, links to nothing."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_text("secret")
    before = keys(objects)
    (folder / "a.png").symlink_to(outside / "secret.png")
    (folder / "b").symlink_to(outside)
    (folder / "c.png").symlink_to(folder / "a.png")
    (folder / "d.png").symlink_to(folder / "nothing")
    (folder / "e.png").symlink_to(folder / "e.png")

    assert keys(objects) == before
    for key in ("a.png", "b/secret.png", "c.png", "d.png", "e.png"):
        with pytest.raises(NotFound):
            objects.get("linked", key)


def test_links_that_stay_inside_are_there(objects: LocalObjects, folder: Path) -> None:
    """A file and a folder; one to a folder above itself is not followed for ever."""
    (folder / "first.png").symlink_to(folder / "cats" / "1.png")
    (folder / "hounds").symlink_to(folder / "dogs")
    (folder / "dogs" / "all").symlink_to(folder)

    found = keys(objects)
    assert {"first.png", "hounds/deep/4.png"} <= set(found)
    assert len(found) < 20
    with objects.get("linked", "first.png") as content:
        assert b"".join(content) == b"cats/1.png"


def test_only_files_are_listed(objects: LocalObjects, folder: Path) -> None:
    """A pipe does not block, a name that is no UTF-8 does no harm."""
    before = keys(objects)
    os.mkfifo(folder / "pipe")
    (folder / "empty").mkdir()
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))).write_text("x")

    assert keys(objects) == before
    with pytest.raises(NotFound):
        objects.get("linked", "pipe")


def test_an_etag_is_computed_once(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until size or time change."""
    digested: list[int] = []
    real = linked._md5_hex

    def counted(file: linked.BinaryIO) -> str:
        digested.append(1)
        return real(file)

    monkeypatch.setattr(linked, "_md5_hex", counted)
    keys(objects)
    keys(objects)
    objects.head("linked", "5.png")
    assert len(digested) == 5


def test_a_file_that_changes_has_another_etag(objects: LocalObjects, folder: Path) -> None:
    """Of the same length too, for its time is another."""
    before = objects.head("linked", "5.png").etag
    (folder / "5.png").write_bytes(b"6.png")

    assert objects.head("linked", "5.png").etag == hashlib.md5(b"6.png").hexdigest() != before


def test_a_file_of_this_moment_is_not_trusted(objects: LocalObjects, folder: Path) -> None:
    """Within one step of its clock it could change again unseen, so its ETag is not kept."""
    clock = objects.clock
    assert isinstance(clock, Clock)
    os.utime(folder / "5.png", (clock.now.timestamp(), clock.now.timestamp()))
    objects.head("linked", "5.png")

    with objects.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(LINKED_FILES)) == 0


def test_a_folder_that_is_away_is_unavailable(objects: LocalObjects, folder: Path) -> None:
    """As when a disk is not mounted: not an empty bucket."""
    folder.rename(folder.with_name("elsewhere"))

    for act in (lambda: keys(objects), lambda: objects.head("linked", "5.png")):
        with pytest.raises(Unavailable):
            act()


def test_linking_is_refused_where_it_cannot_be_meant(objects: LocalObjects, folder: Path, tmp_path: Path) -> None:
    """A folder that is not there, a name that is taken, the store itself or a folder around it."""
    (folder.parent / "another").mkdir()
    cases: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: objects.link("other", folder / "nothing"), NotFound),
        (lambda: objects.link("other", folder / "5.png"), NotFound),
        (lambda: objects.link("linked", folder.parent / "another"), AlreadyExists),
        (lambda: objects.link("other", tmp_path / "home" / "blobs"), Invalid),
        (lambda: objects.link("other", tmp_path), Invalid),
        (lambda: objects.link("Bad Name", folder), Invalid),
        (lambda: objects.unlink("nothing"), NotFound),
    ]
    for act, error in cases:
        with pytest.raises(error):
            act()


def test_unlinking_leaves_the_folder(objects: LocalObjects, folder: Path) -> None:
    """Only the bucket goes, and what was kept about its files; one of our own is not unlinked."""
    keys(objects)
    objects.unlink("linked")
    objects.create_bucket("photos")

    assert len(list(folder.rglob("*.png"))) == 5
    with pytest.raises(NotFound):
        objects.bucket("linked")
    with pytest.raises(NotFound):
        objects.unlink("photos")


NAME = st.text("ab.-0", min_size=1, max_size=2).filter(lambda name: name not in {".", ".."})


@given(
    paths=st.sets(st.lists(NAME, min_size=1, max_size=3).map(tuple), max_size=8),
    prefix=st.text("ab.-0/", max_size=4),
    after=st.text("ab.-0/", max_size=5),
)
def test_the_walk_is_a_sorted_list(paths: set[tuple[str, ...]], prefix: str, after: str) -> None:
    """Any tree, any prefix, any place to begin: what `sorted` says of the paths."""
    files = {path for path in paths if not any(other != path and other[: len(path)] == path for other in paths)}
    with TemporaryDirectory() as folder:
        for path in files:
            Path(folder, *path).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, *path).write_bytes(b"")
        found = [key for key, _ in LinkedFolder(Path(folder), prefix.encode()).seek(after.encode(), 100)]

    expected = sorted("/".join(path) for path in files)
    assert found == [key.encode() for key in expected if key.startswith(prefix) and key > after]

"""The local store: odd keys, races, copies, crashes, a full disk, buckets."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

import deconfuse
from deconfuse.errors import AlreadyExists, Damaged, Denied, InUse, Invalid, NotFound, Unavailable, Unmet
from deconfuse.store.blobs import SPARE_BYTES
from deconfuse.store.local import LocalObjects
from deconfuse.store.objects import OWN_BUCKET, Conditions, list_all
from stores import MORNING, Clock, local_objects

ODD_KEYS = [
    *("../../etc/passwd", "..", ".", "/", "//", "/a", "a", "a/", "a/b", "a//b", "a/../b", "\0", "a\0b", "a\nb", "\r\n"),
    *("%2e%2e", "é", "e\u0301", "😀", "CON", "a" * 1024, "/".join("x" * 300), "A", "\U0010ffff", "~", "blobs/00/x"),
]


@pytest.fixture
def clock() -> Clock:
    """A clock that the test winds."""
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def objects(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[LocalObjects]:
    """A store with a bucket "photos", over each database."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite:///{tmp_path / 'rows.sqlite'}"
    store = local_objects(tmp_path / "home", "photos", url=url, clock=clock)
    yield store
    store.database.close()


def read(objects: LocalObjects, key: str, bucket: str = "photos") -> bytes:
    """The bytes of an object."""
    with objects.get(bucket, key) as content:
        return b"".join(content)


def n_blobs(objects: LocalObjects) -> int:
    """How many files there are."""
    return len(list(objects.blobs.names()))


def test_odd_keys_are_keys(objects: LocalObjects, tmp_path: Path) -> None:
    """Each is its own object, listed in byte order; none is a path."""
    for key in ODD_KEYS:
        objects.put("photos", key, key.encode())

    assert [stored.key for stored in list_all(objects, "photos")] == sorted(ODD_KEYS, key=str.encode)
    assert all(read(objects, key) == key.encode() for key in ODD_KEYS)
    names = {path.name for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)


@pytest.mark.parametrize("key", ["", "a" * 1025, "\ud800"])
def test_keys_that_cannot_be_are_refused_everywhere(objects: LocalObjects, key: str) -> None:
    """Reading, writing, deleting."""
    for act in (objects.head, objects.get, objects.delete, lambda b, k: objects.put(b, k, b"")):
        with pytest.raises(Invalid):
            act("photos", key)
    with pytest.raises(Invalid):
        objects.delete_many("photos", ["good", key])


def test_of_those_that_race_to_create_one_wins(objects: LocalObjects) -> None:
    """48 threads, one key, `if_none_match` "*"."""

    def create(i: int) -> bool:
        try:
            objects.put("photos", "a", bytes([i]), conditions=Conditions(if_none_match=("*",)))
        except Unmet:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(48)))
    assert won.count(True) == 1
    assert read(objects, "a") == bytes([won.index(True)])
    assert n_blobs(objects) == 1


def test_replacing_while_reading_is_never_torn(objects: LocalObjects) -> None:
    """A reader gets one object or another, whole."""
    bodies = [bytes([i]) * 100_000 for i in range(4)]
    objects.put("photos", "a", bodies[0])

    def write(i: int) -> None:
        objects.put("photos", "a", bodies[i % 4])

    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(write, i) for i in range(24)]
        seen = [future.result() for future in [pool.submit(read, objects, "a") for _ in range(40)]]
    assert all(future.result() is None for future in writing)
    assert set(seen) <= set(bodies)
    assert n_blobs(objects) == 1


def test_a_put_that_loses_its_bucket_leaves_nothing(objects: LocalObjects) -> None:
    """The bucket is removed while the bytes arrive."""

    def bytes_during_removal() -> Iterator[bytes]:
        yield b"x"
        objects.delete_bucket("photos")

    with pytest.raises(NotFound):
        objects.put("photos", "a", bytes_during_removal())
    assert n_blobs(objects) == 0


def test_the_etag_is_the_md5(objects: LocalObjects) -> None:
    """And the time is the clock's."""
    stored = objects.put("photos", "a", b"abc")

    assert (stored.etag, stored.modified) == (hashlib.md5(b"abc").hexdigest(), MORNING)
    assert objects.head("photos", "a").modified == MORNING


def test_headers_and_metadata_survive_byte_for_byte(objects: LocalObjects) -> None:
    """Latin-1 as it arrives, JSON's and SQL's own characters too."""
    metadata = {"a": "".join(map(chr, range(0x20, 0x100))), "b": "\"'\\;%"}
    objects.put("photos", "a", b"", headers={"Content-Type": 'x/y; a="b"'}, metadata=metadata)

    assert dict(objects.head("photos", "a").metadata) == metadata


def test_checksums_are_verified_and_kept(objects: LocalObjects) -> None:
    """What was promised must have arrived; what was asked for is told again."""
    with objects.draft(["CRC32", "SHA256"]) as draft:
        draft.write(b"123456789")
        objects.put_draft(draft, "photos", "a", expected={"CRC32": "y/Q5Jg=="}, kept=["CRC32"])

    assert dict(objects.head("photos", "a").checksums) == {"CRC32": "y/Q5Jg=="}


@pytest.mark.parametrize("expected", [{"CRC32": "AAAAAA=="}, {"MD5": ""}, {"MD5": "not base64"}])
def test_a_wrong_checksum_keeps_nothing(objects: LocalObjects, expected: dict[str, str]) -> None:
    """The old object stays; the new bytes go."""
    objects.put("photos", "a", b"old")

    with objects.draft(["CRC32"]) as draft:
        draft.write(b"new")
        with pytest.raises(Damaged):
            objects.put_draft(draft, "photos", "a", expected=expected)
    assert read(objects, "a") == b"old"
    assert n_blobs(objects) == 1


def test_a_draft_that_is_not_named_is_gone(objects: LocalObjects) -> None:
    """A client that breaks off leaves no file."""
    with objects.draft() as draft:
        draft.write(b"x" * 1000)
        assert n_blobs(objects) == 1

    assert n_blobs(objects) == 0


def test_a_copy_shares_its_bytes_and_nothing_else(objects: LocalObjects) -> None:
    """Removing the source leaves the copy."""
    headers = {"Content-Type": "image/png"}
    objects.put("photos", "a", b"abc", headers=headers, metadata={"n": "1"})
    copied = objects.copy(("photos", "a"), "photos", "b")
    objects.delete("photos", "a")

    assert read(objects, "b") == b"abc"
    assert (dict(copied.headers), dict(copied.metadata)) == (headers, {"n": "1"})
    assert copied == objects.head("photos", "b")


def test_a_copy_may_have_other_metadata(objects: LocalObjects, clock: Clock) -> None:
    """Onto itself too, and then the time is a new one."""
    objects.put("photos", "a", b"abc", metadata={"n": "1"})
    clock.advance(hours=1)
    objects.copy(("photos", "a"), "photos", "a", headers={}, metadata={"n": "2"}, algorithm="CRC32C")

    stored = objects.head("photos", "a")
    assert (dict(stored.metadata), stored.modified) == ({"n": "2"}, MORNING + timedelta(hours=1))
    assert dict(stored.checksums) == {"CRC32C": "NksrvA=="} or len(stored.checksums["CRC32C"]) == 8
    assert read(objects, "a") == b"abc"
    assert n_blobs(objects) == 1


def test_a_copy_under_conditions(objects: LocalObjects) -> None:
    """For the source and for the place; nothing is left behind when one does not hold."""
    etag = objects.put("photos", "a", b"abc").etag
    objects.copy(("photos", "a"), "photos", "b", source_conditions=Conditions(if_match=(etag,)))

    with pytest.raises(Unmet):
        objects.copy(("photos", "a"), "photos", "c", source_conditions=Conditions(if_none_match=(etag,)))
    with pytest.raises(Unmet):
        objects.copy(("photos", "a"), "photos", "b", conditions=Conditions(if_none_match=("*",)))
    with pytest.raises(NotFound):
        objects.copy(("photos", "none"), "photos", "c")
    with pytest.raises(NotFound):
        objects.copy(("photos", "a"), "nowhere", "c")
    with pytest.raises(Invalid, match="onto itself"):
        objects.copy(("photos", "a"), "photos", "a")
    assert n_blobs(objects) == 2


def test_deleting_under_a_condition(objects: LocalObjects) -> None:
    """Only what was seen is removed."""
    etag = objects.put("photos", "a", b"abc").etag

    with pytest.raises(Unmet):
        objects.delete("photos", "a", conditions=Conditions(if_match=("x",)))
    objects.delete("photos", "a", conditions=Conditions(if_match=(etag,)))
    with pytest.raises(NotFound):
        objects.delete("photos", "a", conditions=Conditions(if_match=(etag,)))


def test_deleting_a_thousand(objects: LocalObjects) -> None:
    """In one transaction; names that are not there do no harm."""
    for i in range(20):
        objects.put("photos", f"{i}", b"x")
    objects.delete_many("photos", [f"{i}" for i in range(1, 1001)])

    assert [stored.key for stored in list_all(objects, "photos")] == ["0"]
    assert n_blobs(objects) == 1


def test_buckets_come_and_go(objects: LocalObjects) -> None:
    """Made once, listed by name without our own, removed when empty."""
    objects.create_bucket("attic", location="eu-west-1")

    assert [bucket.name for bucket in objects.buckets()] == ["attic", "photos"]
    assert [bucket.name for bucket in objects.buckets(prefix="p")] == ["photos"]
    assert [bucket.name for bucket in objects.buckets(after="attic", limit=1)] == ["photos"]
    assert (objects.bucket("attic").location, objects.bucket("attic").created) == ("eu-west-1", MORNING)
    with pytest.raises(AlreadyExists):
        objects.create_bucket("attic")
    objects.put("attic", "a", b"x")
    with pytest.raises(InUse, match="not empty"):
        objects.delete_bucket("attic")
    objects.delete("attic", "a")
    objects.delete_bucket("attic")
    with pytest.raises(NotFound):
        objects.bucket("attic")


def test_our_own_bucket_is_there_and_no_client_can_name_it(objects: LocalObjects) -> None:
    """The service keeps its artefacts where no request reaches."""
    objects.put(OWN_BUCKET, "bundles/1", b"x")

    assert read(objects, "bundles/1", OWN_BUCKET) == b"x"
    for act in (objects.create_bucket, objects.delete_bucket):
        with pytest.raises(Invalid):
            act(OWN_BUCKET)


def test_a_blob_that_is_gone_is_damage(objects: LocalObjects) -> None:
    """Not an empty object, and not a missing one."""
    objects.put("photos", "a", b"abc")
    objects.blobs.remove(list(objects.blobs.names()))

    with pytest.raises(Damaged, match="is gone"):
        objects.get("photos", "a")


def test_a_blob_cut_short_is_damage(objects: LocalObjects) -> None:
    """The reader is told in the middle, and does not take the part for the whole."""
    objects.put("photos", "a", b"abcdef")
    name = next(objects.blobs.names())
    os.truncate(objects.blobs.folder / name[:2] / name, 3)

    with objects.get("photos", "a") as content, pytest.raises(Damaged, match="3 bytes are missing"):
        b"".join(content)


def test_sweeping_removes_what_no_row_names(objects: LocalObjects) -> None:
    """And only that, and only what is old enough."""
    objects.put("photos", "a", b"abc")
    with objects.draft() as draft:
        draft.write(b"left by a crash")
        draft.keep()

    assert objects.sweep() == 0
    assert objects.sweep(older=timedelta(seconds=-1)) == 1
    assert read(objects, "a") == b"abc"


def test_a_full_disk_is_unavailable_and_passes(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The put fails with a name and leaves nothing; the next one works."""
    with objects.draft() as draft:
        real = draft._file
        full = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115  # a device, not a path of ours
        draft._file = full
        with pytest.raises(Unavailable, match="No space left"):
            draft.write(b"x")
        real.close()
        full.close()

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(Unavailable, match="No space left"):
            objects.put("photos", "a", b"x")
    assert n_blobs(objects) == 0
    objects.put("photos", "a", b"x")
    assert read(objects, "a") == b"x"


@pytest.mark.parametrize(
    ("total", "free", "is_full"),
    [(1 << 30, SPARE_BYTES, False), (1 << 30, SPARE_BYTES - 1, True), (1 << 30, 0, True), (0, 0, False)],
)
def test_objects_leave_the_database_room(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch, total: int, free: int, is_full: bool
) -> None:
    """Where less is left, a put is refused and leaves nothing; copying, reading and deleting go on."""
    objects.put("photos", "a", b"x")
    usage = shutil.disk_usage("/")._replace(total=total, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(Unavailable, match="the last 8 MB of the disk") if is_full else nullcontext():
        objects.put("photos", "b", b"y")
    assert n_blobs(objects) == (1 if is_full else 2)
    objects.copy(("photos", "a"), "photos", "c")
    objects.delete("photos", "a")
    assert read(objects, "c") == b"x"


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A file stands where the store should be."""
    (tmp_path / "home").write_text("x")

    with pytest.raises(Unavailable):
        local_objects(tmp_path / "home")


def test_a_linked_bucket_refuses_every_write(objects: LocalObjects, tmp_path: Path) -> None:
    """With Denied, whatever is tried; its files stay as they are."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"abc")
    objects.link("linked", folder)
    objects.put("photos", "a", b"x")

    for act in (
        lambda: objects.put("linked", "b", b"x"),
        lambda: objects.delete("linked", "a.png"),
        lambda: objects.delete_many("linked", ["a.png"]),
        lambda: objects.copy(("photos", "a"), "linked", "b"),
        lambda: objects.delete_bucket("linked"),
    ):
        with pytest.raises(Denied, match="read-only"):
            act()
    assert [path.name for path in folder.iterdir()] == ["a.png"]


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from deconfuse.store.database import open_database
from deconfuse.store.blobs import SPARE_BYTES
from deconfuse.store.local import LocalObjects
root = Path(sys.argv[1])
objects = LocalObjects(root, open_database(sys.argv[2]), lambda: datetime.now(UTC))
i = int(sys.argv[3])
while True:
    key = f"{i % 7}" if i % 3 else f"new-{i}"
    objects.put("photos", key, (str(i).encode() + b".") * 20_000)
    print(key, i, flush=True)
    i += 1
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9(objects: LocalObjects, tmp_path: Path) -> None:
    """Killed five times while it writes: no acknowledged object is missing or torn, no blob without a row remains."""
    url = str(objects.database._reader.url.render_as_string(hide_password=False))
    kept: dict[str, int] = {}
    for turn in range(5):
        start = turn * 100_000
        command = [sys.executable, "-c", WRITER, str(tmp_path / "home"), url, str(start)]
        environment = os.environ | {"PYTHONPATH": str(Path(deconfuse.__file__).parents[1])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout
            said = [process.stdout.readline()]
            time.sleep(0.2 + 0.13 * turn)
            process.kill()
            said += process.stdout.read().splitlines(keepends=True)
        for line in said:
            if line.endswith("\n") and len(line.split()) == 2:
                kept[line.split()[0]] = int(line.split()[1])

    assert len(kept) > 10
    objects.sweep(older=timedelta(seconds=-1))
    listed = list(list_all(objects, "photos"))
    assert set(kept) <= {stored.key for stored in listed}
    assert n_blobs(objects) == len(listed)
    for key, i in kept.items():
        body = read(objects, key)
        number = int(body.split(b".", 1)[0])
        assert body == (str(number).encode() + b".") * 20_000
        assert number >= i

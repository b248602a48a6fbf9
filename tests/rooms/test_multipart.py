"""Uploads in parts: what completes, what does not, what is repeated, what is given up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Damaged, Denied, Invalid, NotFound, Stale, Unmet
from deconfuse.signing.checksums import composite, new_digest, to_base64
from deconfuse.store.local import LocalObjects
from deconfuse.store.multipart import MIN_PART_BYTES, Named, Part, Uploads
from deconfuse.store.objects import Conditions, Span, part_span
from stores import MORNING, Clock, local_objects


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


@pytest.fixture
def uploads(objects: LocalObjects) -> Uploads:
    """Its uploads, with parts of any size."""
    return Uploads(objects, min_part_bytes=1)


def send(objects: LocalObjects, uploads: Uploads, upload: str, number: int, data: bytes, *algorithms: str) -> Part:
    """One part."""
    with objects.draft(algorithms) as draft:
        draft.write(data)
        return uploads.put_part(draft, "photos", "a", upload, number)


def named(*parts: Part) -> list[Named]:
    """Parts as a client names them."""
    return [Named(part.number, part.etag) for part in parts]


def read(objects: LocalObjects, key: str = "a", span: Span | None = None) -> bytes:
    """The bytes of an object."""
    with objects.get("photos", key, span=span) as content:
        return b"".join(content)


def n_blobs(objects: LocalObjects) -> int:
    """How many files there are."""
    return len(list(objects.blobs.names()))


def test_parts_in_any_order_become_one_object(objects: LocalObjects, uploads: Uploads) -> None:
    """With the headers of the upload, the md5 of md5s, and nothing else left."""
    upload = uploads.create("photos", "a", headers={"Content-Type": "image/png"}, metadata={"n": "1"}).id
    two, one = send(objects, uploads, upload, 2, b"two"), send(objects, uploads, upload, 1, b"one")
    stored = uploads.complete("photos", "a", upload, named(one, two))
    md5s = hashlib.md5(b"one").digest() + hashlib.md5(b"two").digest()

    assert read(objects) == b"onetwo"
    assert stored == objects.head("photos", "a")
    assert (stored.etag, stored.part_sizes) == (hashlib.md5(md5s).hexdigest() + "-2", (3, 3))
    assert (dict(stored.headers), dict(stored.metadata)) == ({"Content-Type": "image/png"}, {"n": "1"})
    assert n_blobs(objects) == 1
    assert read(objects, span=part_span(stored, 2)) == b"two"


def test_nothing_is_seen_before_it_is_complete(objects: LocalObjects, uploads: Uploads) -> None:
    """The old object stays until then."""
    objects.put("photos", "a", b"old")
    upload = uploads.create("photos", "a").id
    part = send(objects, uploads, upload, 1, b"new")

    assert read(objects) == b"old"
    uploads.complete("photos", "a", upload, named(part))
    assert read(objects) == b"new"


def test_completing_again_answers_the_same(objects: LocalObjects, uploads: Uploads) -> None:
    """A client repeats it when the answer is lost; so it may with abort."""
    upload = uploads.create("photos", "a").id
    part = send(objects, uploads, upload, 1, b"one")
    first = uploads.complete("photos", "a", upload, named(part))

    assert uploads.complete("photos", "a", upload, named(part)) == first
    uploads.abort("photos", "a", upload)
    assert read(objects) == b"one"


def test_completing_at_once_makes_one_object(objects: LocalObjects, uploads: Uploads) -> None:
    """Eight clients, one upload: all get the same answer, whether they lose before, while or after parts are joined."""
    for _ in range(10):
        upload = uploads.create("photos", "a").id
        parts = [send(objects, uploads, upload, n, bytes([n]) * 1000) for n in range(1, 5)]

        def complete(_: int, upload: str = upload, parts: list[Part] = parts) -> str:
            return uploads.complete("photos", "a", upload, named(*parts)).etag

        with ThreadPoolExecutor(8) as pool:
            etags = set(pool.map(complete, range(8)))
        assert len(etags) == 1
        assert n_blobs(objects) == 1


def test_bytes_of_a_part_that_are_gone(objects: LocalObjects, uploads: Uploads) -> None:
    """A part that loses its bytes while the upload stays open is told; nothing becomes visible."""
    upload = uploads.create("photos", "a").id
    part = send(objects, uploads, upload, 1, b"one")
    objects.blobs.remove(objects.blobs.names())

    with pytest.raises(Stale):
        uploads.complete("photos", "a", upload, named(part))
    assert uploads.find("photos", "a", upload).key == "a"


def test_the_size_that_was_announced(objects: LocalObjects, uploads: Uploads) -> None:
    """An object of another size is refused, and the upload stays."""
    upload = uploads.create("photos", "a").id
    part = send(objects, uploads, upload, 1, b"one")

    with pytest.raises(Invalid) as caught:
        uploads.complete("photos", "a", upload, named(part), size_bytes=4)
    assert caught.value.field == "object size"
    assert uploads.complete("photos", "a", upload, named(part), size_bytes=3).size_bytes == 3


def test_a_part_may_be_sent_again(objects: LocalObjects, uploads: Uploads) -> None:
    """The last one counts; the other's bytes are gone."""
    upload = uploads.create("photos", "a").id
    old, new = send(objects, uploads, upload, 1, b"old"), send(objects, uploads, upload, 1, b"new")

    assert n_blobs(objects) == 1
    with pytest.raises(Invalid) as caught:
        uploads.complete("photos", "a", upload, named(old))
    assert caught.value.field == "part"
    uploads.complete("photos", "a", upload, named(new))
    assert read(objects) == b"new"


def test_parts_that_are_not_named_are_dropped(objects: LocalObjects, uploads: Uploads) -> None:
    """With their bytes."""
    upload = uploads.create("photos", "a").id
    parts = [send(objects, uploads, upload, n, b"%d" % n) for n in (1, 5, 9)]
    uploads.complete("photos", "a", upload, named(parts[0], parts[2]))

    assert read(objects) == b"19"
    assert n_blobs(objects) == 1


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (lambda a, b: [], "parts"),
        (lambda a, b: named(b, a), "part order"),
        (lambda a, b: [Named(3, a.etag)], "part"),
        (lambda a, b: [Named(1, b.etag)], "part"),
        (lambda a, b: [Named(1, a.etag, {"CRC32": "AAAAAA=="})], "part"),
    ],
)
def test_a_wrong_list_of_parts(
    objects: LocalObjects, uploads: Uploads, wanted: Callable[[Part, Part], list[Named]], field: str
) -> None:
    """Each is told from the others; the upload stays."""
    upload = uploads.create("photos", "a", algorithm="CRC32").id
    one = send(objects, uploads, upload, 1, b"one", "CRC32")
    two = send(objects, uploads, upload, 2, b"two", "CRC32")

    with pytest.raises(Invalid) as caught:
        uploads.complete("photos", "a", upload, wanted(one, two))
    assert caught.value.field == field
    uploads.complete("photos", "a", upload, named(one, two))


def test_small_parts_come_last(objects: LocalObjects) -> None:
    """Every part but the last has 5 MiB."""
    uploads = Uploads(objects)
    upload = uploads.create("photos", "a").id
    parts = [send(objects, uploads, upload, n, b"x") for n in (1, 2)]

    with pytest.raises(Invalid) as caught:
        uploads.complete("photos", "a", upload, named(*parts))
    assert caught.value.field == "part size"
    big = send(objects, uploads, upload, 1, b"x" * MIN_PART_BYTES)
    assert uploads.complete("photos", "a", upload, named(big, parts[1])).size_bytes == MIN_PART_BYTES + 1


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_a_number_that_no_part_has(objects: LocalObjects, uploads: Uploads, number: int) -> None:
    """1 to 10,000; its bytes are gone."""
    upload = uploads.create("photos", "a").id

    with pytest.raises(Invalid) as caught:
        send(objects, uploads, upload, number, b"x")
    assert caught.value.field == "part number"
    assert n_blobs(objects) == 0


def test_conditions_are_checked_when_it_appears(objects: LocalObjects, uploads: Uploads) -> None:
    """Unmet leaves the upload, so that the client may decide."""
    upload = uploads.create("photos", "a").id
    part = send(objects, uploads, upload, 1, b"new")
    objects.put("photos", "a", b"old")

    with pytest.raises(Unmet):
        uploads.complete("photos", "a", upload, named(part), conditions=Conditions(if_none_match=("*",)))
    assert read(objects) == b"old"
    assert uploads.list_parts("photos", "a", upload) == ((part,), False)
    assert n_blobs(objects) == 2


@pytest.mark.slow
@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.sampled_from(["CRC32", "CRC64NVME"]))
def test_the_checksum_of_the_whole(tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], name: str) -> None:
    """Combined from the parts it is that of all bytes; a composite is that of the checksums."""
    objects = local_objects(tmp_path_factory.mktemp("home"), "photos")
    uploads = Uploads(objects, min_part_bytes=1)
    for is_composite in (False, True):
        upload = uploads.create("photos", "a", algorithm=name, is_composite=is_composite).id
        parts = [send(objects, uploads, upload, n, body, name) for n, body in enumerate(bodies, 1)]
        digest = new_digest(name)
        digest.update(b"".join(bodies))
        whole = to_base64(digest.digest())
        expected = composite(name, [p.checksums[name] for p in parts]) if is_composite else whole
        stored = uploads.complete("photos", "a", upload, named(*parts), expected={name: expected})

        assert dict(stored.checksums) == {name: expected}
    objects.database.close()


def test_a_wrong_checksum_of_the_whole(objects: LocalObjects, uploads: Uploads) -> None:
    """Nothing appears; the upload stays."""
    upload = uploads.create("photos", "a", algorithm="CRC32", is_composite=False).id
    part = send(objects, uploads, upload, 1, b"x", "CRC32")

    with pytest.raises(Damaged):
        uploads.complete("photos", "a", upload, named(part), expected={"CRC32": "AAAAAA=="})
    with pytest.raises(NotFound):
        objects.head("photos", "a")
    uploads.complete("photos", "a", upload, named(part))


def test_a_hash_of_the_whole_cannot_be_promised(uploads: Uploads) -> None:
    """Of parts, only CRCs combine."""
    for algorithm, is_composite in (("SHA256", False), ("SHA512", True)):
        with pytest.raises(Invalid) as caught:
            uploads.create("photos", "a", algorithm=algorithm, is_composite=is_composite)
        assert caught.value.field == "checksum"


def test_parts_are_copied_from_objects(objects: LocalObjects, uploads: Uploads) -> None:
    """Whole or a range that is all there; a copy of what was made of parts has a plain md5."""
    objects.put("photos", "source", b"0123456789")
    upload = uploads.create("photos", "a").id
    source = ("photos", "source")
    one = uploads.copy_part(source, "photos", "a", upload, 1, span=Span(2, 4))
    two = uploads.copy_part(source, "photos", "a", upload, 2)
    uploads.complete("photos", "a", upload, named(one, two))
    copied = objects.copy(("photos", "a"), "photos", "b")

    assert read(objects) == b"2340123456789"
    assert (copied.etag, copied.part_sizes) == (hashlib.md5(b"2340123456789").hexdigest(), ())


def test_a_part_of_what_is_not_there(objects: LocalObjects, uploads: Uploads) -> None:
    """A range beyond the end is not cut short: the client would not notice."""
    objects.put("photos", "source", b"0123456789")
    upload = uploads.create("photos", "a").id

    with pytest.raises(Invalid) as caught:
        uploads.copy_part(("photos", "source"), "photos", "a", upload, 1, span=Span(5, 10))
    assert caught.value.field == "range"
    with pytest.raises(NotFound):
        uploads.copy_part(("photos", "none"), "photos", "a", upload, 1)
    unmet = Conditions(if_match=("x",))
    with pytest.raises(Unmet):
        uploads.copy_part(("photos", "source"), "photos", "a", upload, 1, source_conditions=unmet)


def test_an_upload_that_is_not_there(objects: LocalObjects, uploads: Uploads) -> None:
    """By another id, for another key, in another bucket."""
    upload = uploads.create("photos", "a").id
    objects.create_bucket("attic")

    for bucket, key, name in (("photos", "a", "x"), ("photos", "b", upload), ("attic", "a", upload)):
        for act in (uploads.abort, uploads.find, uploads.list_parts):
            with pytest.raises(NotFound) as caught:
                act(bucket, key, name)
            assert caught.value.kind == "upload"
        with pytest.raises(NotFound):
            uploads.complete(bucket, key, name, [Named(1, "x")])


def test_no_upload_into_a_linked_bucket(objects: LocalObjects, uploads: Uploads, tmp_path: Path) -> None:
    """It is read-only from the first step."""
    (tmp_path / "pictures").mkdir()
    objects.link("linked", tmp_path / "pictures")

    with pytest.raises(Denied):
        uploads.create("linked", "a")


def test_aborting_leaves_nothing(objects: LocalObjects, uploads: Uploads) -> None:
    """Neither rows nor bytes, and the bucket can go."""
    upload = uploads.create("photos", "a").id
    send(objects, uploads, upload, 1, b"x")
    uploads.abort("photos", "a", upload)

    assert n_blobs(objects) == 0
    assert uploads.list_uploads("photos") == ((), False)
    with pytest.raises(NotFound):
        uploads.abort("photos", "a", upload)
    begun = uploads.create("photos", "a").id
    send(objects, uploads, begun, 1, b"x")
    objects.delete_bucket("photos")
    assert n_blobs(objects) == 0


def test_lists_go_page_by_page(objects: LocalObjects, uploads: Uploads) -> None:
    """Parts by number, uploads by key and id, below a prefix."""
    upload = uploads.create("photos", "a").id
    parts = [send(objects, uploads, upload, n, b"x") for n in range(1, 6)]
    others = sorted([upload, uploads.create("photos", "a").id])
    last = uploads.create("photos", "b/c").id

    assert uploads.list_parts("photos", "a", upload, limit=2) == ((parts[0], parts[1]), True)
    assert uploads.list_parts("photos", "a", upload, after=4) == ((parts[4],), False)
    page, has_more = uploads.list_uploads("photos", limit=1)
    assert ([u.id for u in page], has_more) == (others[:1], True)
    page, has_more = uploads.list_uploads("photos", after=("a", others[0]))
    assert ([u.id for u in page], has_more) == ([others[1], last], False)
    assert [u.id for u in uploads.list_uploads("photos", after=("a", ""))[0]] == [last]
    assert [u.id for u in uploads.list_uploads("photos", prefix="b/")[0]] == [last]
    assert uploads.find("photos", "b/c", last).created == MORNING


def test_abandoned_uploads_expire(objects: LocalObjects, uploads: Uploads, clock: Clock) -> None:
    """A week after the last part; one that still gets parts stays."""
    idle, busy = uploads.create("photos", "a").id, uploads.create("photos", "a").id
    send(objects, uploads, idle, 1, b"x")
    clock.advance(days=5)
    send(objects, uploads, busy, 1, b"x")
    clock.advance(days=3)

    assert uploads.expire() == 1
    assert [upload.id for upload in uploads.list_uploads("photos")[0]] == [busy]
    assert n_blobs(objects) == 1
    assert objects.sweep(older=timedelta(seconds=-1)) == 0

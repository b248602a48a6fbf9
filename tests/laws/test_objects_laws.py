"""Laws of a store, held by every implementation: objects in files, and objects in any S3 (obstore's memory)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deconfuse.errors import Invalid, NotFound, Unmet
from deconfuse.store.listing import Wanted, page_of_keys
from deconfuse.store.objects import MAX_PAGE, Conditions, Objects, Page, Span, list_all
from stores import local_objects, memory_objects

STEP = st.text("ab.-é0", min_size=1, max_size=3).filter(lambda step: step not in {".", ".."})
PATH = st.lists(STEP, min_size=1, max_size=4).map("/".join)
ANY_KEY = st.text(st.sampled_from("ab/.\0é\U0010ffff"), min_size=1, max_size=6)


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """A store of each kind with a bucket "photos"."""
    return local_objects(tmp_path, "photos") if request.param == "local" else memory_objects("photos")


def read(objects: Objects, key: str, span: Span | None = None) -> bytes:
    """The bytes of an object, or a range of them."""
    with objects.get("photos", key, span=span) as content:
        return b"".join(content)


def test_what_is_put_is_got(objects: Objects) -> None:
    """Bytes, size, headers and metadata come back."""
    headers = {"Content-Type": "image/png", "Cache-Control": "no-cache"}
    objects.put("photos", "a/b", [b"one", b"", b"two"], headers=headers, metadata={"who": "me"})

    stored = objects.head("photos", "a/b")
    assert read(objects, "a/b") == b"onetwo"
    assert (stored.size_bytes, stored.key, stored.bucket) == (6, "a/b", "photos")
    assert (dict(stored.headers), dict(stored.metadata)) == (headers, {"who": "me"})
    assert objects.put("photos", "c", b"x") == objects.head("photos", "c")


def test_nothing_is_an_object_too(objects: Objects) -> None:
    """No byte at all can be kept, read and listed; but no range of it."""
    objects.put("photos", "empty", b"")

    assert read(objects, "empty") == b""
    assert [s.size_bytes for s in list_all(objects, "photos")] == [0]
    with pytest.raises(Invalid):
        objects.get("photos", "empty", span=Span(0, None))


def test_many_chunks_are_one_object(objects: Objects) -> None:
    """More than one request's worth, given as it comes."""
    chunks = [bytes([i]) * 1_500_000 for i in range(8)]
    objects.put("photos", "big", iter(chunks))

    assert hashlib.sha256(read(objects, "big")).digest() == hashlib.sha256(b"".join(chunks)).digest()
    assert read(objects, "big", Span(1_499_999, 1_500_000)) == b"\x00\x01"


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(0, 0), b"0"),
        (Span(3, 5), b"345"),
        (Span(7, None), b"789"),
        (Span(8, 99), b"89"),
        (Span(None, 2), b"89"),
        (Span(None, 99), b"0123456789"),
    ],
)
def test_ranges(objects: Objects, span: Span, expected: bytes) -> None:
    """As HTTP writes them."""
    objects.put("photos", "a", b"0123456789")
    with objects.get("photos", "a", span=span) as content:
        assert (content.start, content.length) == span.within(10)
        assert b"".join(content) == expected


@pytest.mark.parametrize("span", [Span(10, None), Span(10, 20), Span(None, 0)])
def test_a_range_of_nothing_is_refused(objects: Objects, span: Span) -> None:
    """By its field, so that a door says 416."""
    objects.put("photos", "a", b"0123456789")

    with pytest.raises(Invalid) as caught:
        objects.get("photos", "a", span=span)
    assert caught.value.field == "range"


def test_a_new_object_takes_the_place_of_the_old(objects: Objects) -> None:
    """And has another ETag."""
    first = objects.put("photos", "a", b"one", metadata={"n": "1"})
    second = objects.put("photos", "a", b"two")

    assert read(objects, "a") == b"two"
    assert first.etag != second.etag
    assert objects.head("photos", "a").metadata == {}


def test_who_reads_the_old_one_reads_it_to_its_end(objects: Objects) -> None:
    """Replaced or removed meanwhile."""
    objects.put("photos", "a", b"x" * 3_000_000)
    with objects.get("photos", "a") as content:
        begun = content.read(10)
        objects.put("photos", "a", b"new")
        objects.delete("photos", "a")

        assert begun + b"".join(content) == b"x" * 3_000_000


def test_what_is_deleted_is_gone(objects: Objects) -> None:
    """And deleting it again is no error."""
    objects.put("photos", "a", b"x")
    objects.delete("photos", "a")
    objects.delete("photos", "a")

    with pytest.raises(NotFound) as caught:
        objects.head("photos", "a")
    assert caught.value.kind == "key"


@pytest.mark.parametrize(
    "act",
    [
        lambda o: o.put("nowhere", "a", b"x"),
        lambda o: o.head("nowhere", "a"),
        lambda o: o.get("nowhere", "a"),
        lambda o: o.delete("nowhere", "a"),
        lambda o: o.list_objects("nowhere"),
    ],
)
def test_a_bucket_that_is_not_there(objects: Objects, act: Callable[[Objects], object]) -> None:
    """Every operation names the bucket, not the key."""
    with pytest.raises(NotFound) as caught:
        act(objects)

    assert caught.value.kind == "bucket"


def test_create_only(objects: Objects) -> None:
    """`if_none_match` "*" lets the first one in."""
    only = Conditions(if_none_match=("*",))
    objects.put("photos", "a", b"one", conditions=only)

    with pytest.raises(Unmet):
        objects.put("photos", "a", b"two", conditions=only)
    assert read(objects, "a") == b"one"


def test_replace_only_what_was_seen(objects: Objects) -> None:
    """`if_match` with the ETag; another one is Unmet, nothing at all NotFound."""
    seen = objects.put("photos", "a", b"one").etag
    now = objects.put("photos", "a", b"two", conditions=Conditions(if_match=(seen,))).etag

    with pytest.raises(Unmet):
        objects.put("photos", "a", b"three", conditions=Conditions(if_match=(seen,)))
    with pytest.raises(NotFound):
        objects.put("photos", "b", b"x", conditions=Conditions(if_match=(now,)))
    assert read(objects, "a") == b"two"


def test_reads_under_conditions(objects: Objects) -> None:
    """The same for head and get."""
    etag = objects.put("photos", "a", b"one").etag
    objects.get("photos", "a", conditions=Conditions(if_match=(etag,))).close()
    objects.head("photos", "a", conditions=Conditions(if_match=(etag,)))
    for ask in (objects.head, objects.get):
        for conditions in (Conditions(if_none_match=(etag,)), Conditions(if_match=("x",))):
            with pytest.raises(Unmet) as caught:
                ask("photos", "a", conditions=conditions)
            assert caught.value.etag == etag


def test_a_source_that_fails_leaves_nothing(objects: Objects) -> None:
    """An upload that breaks off is not an object, and its error arrives as it is."""

    def broken() -> Iterator[bytes]:
        yield b"x" * 100
        raise ZeroDivisionError

    objects.put("photos", "a", b"old")
    with pytest.raises(ZeroDivisionError):
        objects.put("photos", "a", broken())
    assert read(objects, "a") == b"old"


@pytest.mark.parametrize("metadata", [{"a": "x" * 3000}])
def test_too_much_metadata_is_refused(objects: Objects, metadata: dict[str, str]) -> None:
    """Before anything is kept."""
    with pytest.raises(Invalid):
        objects.put("photos", "a", b"x", metadata=metadata)
    assert list(list_all(objects, "photos")) == []


def pages(objects: Objects, limit: int, **wanted: str) -> list[Page]:
    """All pages of a listing."""
    found, after = [], ""
    while True:
        found.append(objects.list_objects("photos", after=after, limit=limit, **wanted))
        if found[-1].next_after is None:
            return found
        after = found[-1].next_after


def model(keys: set[str], prefix: str, delimiter: str) -> list[str]:
    """What a listing shows, by definition: keys and common prefixes in byte order."""
    shown = set()
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            shown.add(
                prefix + rest[: rest.index(delimiter) + len(delimiter)] if delimiter in rest and delimiter else key
            )
    return sorted(shown, key=str.encode)


@given(
    keys=st.sets(PATH, max_size=12),
    prefix=st.one_of(st.just(""), PATH, PATH.map(lambda p: p + "/"), st.text("ab/é", max_size=3)),
    delimiter=st.sampled_from(["", "/", "a", "é", "b/"]),
    limit=st.integers(1, 5),
    is_local=st.booleans(),
)
def test_pages_are_the_listing(keys: set[str], prefix: str, delimiter: str, limit: int, is_local: bool) -> None:
    """Any prefix, any delimiter, any page size: together the pages show exactly what there is, in byte order."""
    # A path that is also the folder of another cannot be told apart by a store of paths; S3 itself can.
    keys = {key for key in keys if not any(other.startswith(key + "/") for other in keys)}
    with TemporaryDirectory() as folder:
        objects: Objects = local_objects(Path(folder), "photos") if is_local else memory_objects("photos")
        for key in keys:
            objects.put("photos", key, b"x")
        found = pages(objects, limit, prefix=prefix, delimiter=delimiter)

    shown = [sorted([*(s.key for s in page.objects), *page.prefixes], key=str.encode) for page in found]
    assert list(itertools.chain(*shown)) == model(keys, prefix, delimiter)
    assert all(len(page) == limit for page in shown[:-1])


@given(
    keys=st.sets(ANY_KEY, max_size=15),
    prefix=st.text("ab/\0é", max_size=3),
    delimiter=st.sampled_from(["", "/", "a/", "\0"]),
    after=st.text("ab/\0é\U0010ffff", max_size=4),
    limit=st.integers(0, 6),
)
def test_a_page_of_any_keys(keys: set[str], prefix: str, delimiter: str, after: str, limit: int) -> None:
    """The folding itself, over every kind of key and any place to begin."""
    rows = sorted(key.encode() for key in keys if key.startswith(prefix))

    def seek(low: bytes, n: int) -> list[tuple[bytes, None]]:
        return [(row, None) for row in rows if row > low][:n]

    page = page_of_keys(seek, Wanted.of(prefix=prefix, delimiter=delimiter, after=after, limit=limit))
    expected = [m.encode() for m in model(keys, prefix, delimiter) if m.encode() > after.encode()]
    shown = sorted([*(key for key, _ in page.entries), *page.prefixes])
    assert shown == expected[:limit]
    assert page.next_after == (shown[-1] if 0 < limit < len(expected) else None)


def test_a_page_has_at_most_a_thousand() -> None:
    """Whatever is asked; and a negative number is refused."""
    assert Wanted.of(prefix="", delimiter="", after="", limit=10**9).limit == MAX_PAGE
    with pytest.raises(Invalid):
        Wanted.of(prefix="", delimiter="", after="", limit=-1)
    with pytest.raises(Invalid):
        Wanted.of(prefix="\ud800", delimiter="", after="", limit=1)


class LocalStoreWalk(RuleBasedStateMachine):
    """Any order of operations keeps a local store equal to a dictionary, and its blobs equal to its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.objects = local_objects(Path(self.folder.name), "photos")
        self.model: dict[str, bytes] = {}

    @rule(key=ANY_KEY, data=st.binary(max_size=20))
    def put(self, key: str, data: bytes) -> None:
        """An object appears or is replaced."""
        stored = self.objects.put("photos", key, data)
        assert stored.etag == hashlib.md5(data).hexdigest()
        self.model[key] = data

    @rule(key=ANY_KEY, data=st.binary(max_size=20))
    def create(self, key: str, data: bytes) -> None:
        """An object appears, or is left alone where there is one."""
        try:
            self.objects.put("photos", key, data, conditions=Conditions(if_none_match=("*",)))
            assert key not in self.model
            self.model[key] = data
        except Unmet:
            assert key in self.model

    @rule(source=ANY_KEY, key=ANY_KEY)
    def copy(self, source: str, key: str) -> None:
        """A copy has the bytes of its source."""
        try:
            self.objects.copy(("photos", source), "photos", key)
            self.model[key] = self.model[source]
        except NotFound:
            assert source not in self.model
        except Invalid:
            assert source == key

    @rule(key=ANY_KEY)
    def delete(self, key: str) -> None:
        """An object goes, if it is there."""
        self.objects.delete("photos", key)
        self.model.pop(key, None)

    @rule(keys=st.lists(ANY_KEY, max_size=4))
    def delete_many(self, keys: list[str]) -> None:
        """Several go at once."""
        self.objects.delete_many("photos", keys)
        for key in keys:
            self.model.pop(key, None)

    @rule()
    def sweep(self) -> None:
        """Order finds nothing to do."""
        assert self.objects.blobs.sweep(self.objects._named, older_seconds=-1) == 0

    @invariant()
    def holds_the_same(self) -> None:
        """Bytes, listing and number of files."""
        listed = [stored.key for stored in list_all(self.objects, "photos")]
        assert listed == sorted(self.model, key=str.encode)
        assert {key: read(self.objects, key) for key in listed} == self.model
        assert len(list(self.objects.blobs.names())) == len(self.model)

    def teardown(self) -> None:
        """The folder goes."""
        self.objects.database.close()
        self.folder.cleanup()


TestLocalStoreWalk = pytest.mark.slow(LocalStoreWalk.TestCase)
TestLocalStoreWalk.settings = settings(stateful_step_count=15)

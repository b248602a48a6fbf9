"""The store as doors and use cases see it: without the service's own bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deconfuse.errors import Denied, NotBuilt, NotFound
from deconfuse.names import ObjectAddress
from deconfuse.service import objects
from deconfuse.service.house import House
from deconfuse.service.objects import Objects, buckets, check_client_bucket, client_objects, uploads
from deconfuse.store.objects import OWN_BUCKET, read_all
from houses import make_house
from stores import memory_objects

ACTS: dict[str, Callable[[Objects], object]] = {
    "put": lambda store: store.put(OWN_BUCKET, "versions/1/card.json", b"forged"),
    "head": lambda store: store.head(OWN_BUCKET, "versions/1/card.json"),
    "get": lambda store: store.get(OWN_BUCKET, "versions/1/card.json"),
    "delete": lambda store: store.delete(OWN_BUCKET, "versions/1/card.json"),
    "list_objects": lambda store: store.list_objects(OWN_BUCKET),
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with a bucket, and an object in its own bucket."""
    house = make_house(tmp_path)
    buckets(house).create_bucket("photos")
    house.objects.put(OWN_BUCKET, "versions/1/card.json", b"{}")
    return house


@pytest.mark.parametrize("act", list(ACTS))
def test_the_own_bucket_is_not_there(house: House, act: str) -> None:
    """Nothing that a request can name reads or writes what belongs to the service."""
    with pytest.raises(NotFound, match="bucket not found"):
        ACTS[act](client_objects(house))

    assert read_all(house.objects, OWN_BUCKET, "versions/1/card.json", limit_bytes=99) == b"{}"


def test_other_buckets_are_as_they_are(house: House) -> None:
    """What is written there is read there, listed and deleted."""
    store = client_objects(house)
    stored = store.put("photos", "a/b.png", b"image", headers={"Content-Type": "image/png"}, metadata={"by": "me"})

    assert store.head("photos", "a/b.png") == stored
    assert read_all(store, "photos", "a/b.png", limit_bytes=99) == b"image"
    assert store.list_objects("photos", delimiter="/").prefixes == ("a/",)
    store.delete("photos", "a/b.png")
    with pytest.raises(NotFound, match="key not found"):
        store.get("photos", "a/b.png")


def test_a_linked_folder_is_read_only(house: House, tmp_path: Path) -> None:
    """A bucket over a folder is read through the same door and refuses to be written."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"image")
    buckets(house).link("pictures", tmp_path / "pictures")
    store = client_objects(house)

    assert read_all(store, "pictures", "a.png", limit_bytes=99) == b"image"
    for act in (lambda: store.put("pictures", "b", b""), lambda: store.delete("pictures", "a.png")):
        with pytest.raises(Denied, match="read-only"):
            act()


def test_buckets_are_served_where_they_are_ours(house: House) -> None:
    """A house with a store of its own serves it; uploads go into the same buckets."""
    assert [bucket.name for bucket in buckets(house).buckets()] == ["photos"]
    assert uploads(house).create("photos", "big").bucket == "photos"


def test_somebody_elses_s3_is_not_served(house: House) -> None:
    """Where objects are kept elsewhere, the service reads and writes them, and serves none."""
    away = replace(house, objects=memory_objects("photos"), local=None)
    client_objects(away).put("photos", "a", b"image")

    assert read_all(client_objects(away), "photos", "a", limit_bytes=99) == b"image"
    for serve in (buckets, uploads):
        with pytest.raises(NotBuilt, match="another S3"):
            serve(away)
    with pytest.raises(NotFound):
        client_objects(away).put(OWN_BUCKET, "a", b"")


PLACES = [("company", "ours/versions/1/card.json"), ("company", "ours"), ("Company", "ours/identity")]


def in_s3(house: House, prefix: str) -> House:
    """That house with its own objects below s3://company/<prefix>."""
    store = memory_objects("company", "Company", "photos")
    return replace(house, objects=store, local=None, own_place=ObjectAddress("company", prefix))


@pytest.mark.parametrize(("bucket", "key"), PLACES)
def test_the_services_place_in_an_s3_is_not_there(house: House, bucket: str, key: str) -> None:
    """By its real name neither; names of hosts do not know capitals."""
    away = in_s3(house, "ours")
    away.objects.put(bucket, key, b"{}")
    store = client_objects(away)
    acts: list[Callable[[], object]] = [
        lambda: store.put(bucket, key, b"forged"),
        lambda: store.head(bucket, key),
        lambda: store.get(bucket, key),
        lambda: store.delete(bucket, key),
    ]
    for act in acts:
        with pytest.raises(NotFound, match="bucket not found: s3://company/ours"):
            act()
    assert read_all(away.objects, bucket, key, limit_bytes=99) == b"{}"


def test_what_lies_beside_the_services_place_is_there(house: House) -> None:
    """In its bucket, and elsewhere under the same key; a listing leaves out what is the service's."""
    away = in_s3(house, "ours")
    store = client_objects(away)
    for bucket, key in [("company", "oursel/a"), ("company", "a/ours/b"), ("photos", "ours/versions/1/card.json")]:
        store.put(bucket, key, b"image")
        assert read_all(store, bucket, key, limit_bytes=99) == b"image"
    away.objects.put("company", "ours/versions/1/card.json", b"{}")

    assert [stored.key for stored in store.list_objects("company").objects] == ["a/ours/b", "oursel/a"]
    assert store.list_objects("company", delimiter="/").prefixes == ("a/", "oursel/")
    assert store.list_objects("company", prefix="ours/").objects == ()


def test_without_a_prefix_the_bucket_is_the_services(house: House) -> None:
    """All of it."""
    store = client_objects(in_s3(house, ""))
    store.put("photos", "a", b"image")
    with pytest.raises(NotFound, match="bucket not found"):
        store.put("company", "a", b"image")
    with pytest.raises(NotFound, match="bucket not found"):
        store.list_objects("company")


def test_a_door_asks_for_each_bucket() -> None:
    """A door lets every name pass but that of the service's own bucket."""
    assert check_client_bucket("photos") == "photos"
    with pytest.raises(NotFound):
        check_client_bucket(OWN_BUCKET)


def test_an_address_is_written_as_usual() -> None:
    """Messages name an object as people do."""
    assert str(ObjectAddress("photos", "a/b.png", "7")) == "s3://photos/a/b.png"


def test_the_module_promises_what_it_has() -> None:
    """Every name of the module's list is there."""
    assert all(hasattr(objects, name) for name in objects.__all__)

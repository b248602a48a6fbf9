"""The home of a service: who may use it, and what belongs to it."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from deconfuse.errors import Damaged, Denied, InUse, NotFound, Unavailable, Unmet
from deconfuse.names import ObjectAddress
from deconfuse.server.credentials import id_in_file, to_file, written
from deconfuse.server.home import IDENTITY, Address, Home
from deconfuse.service.house import House
from deconfuse.service.keys import Key
from deconfuse.store.local import LocalObjects
from deconfuse.store.objects import ALWAYS, OWN_BUCKET, Conditions, Objects, read_all
from deconfuse.store.s3 import S3Objects
from houses import make_house
from stores import memory_objects

ADDRESS = Address("http://127.0.0.1:8750", "http://127.0.0.1:8750", "us-east-1")
KEY = Key("AKIAEXAMPLE", "hush", "full", "", 0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes into these stores meanwhile."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that was just made, where `make_house` keeps objects."""
    made = Home(tmp_path / "objects")
    made.make()
    return made


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house whose objects are in that home."""
    return make_house(tmp_path)


def test_it_is_made_for_its_owner(home: Home) -> None:
    """Making it again changes nothing."""
    home.make()

    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_what_can_be_no_home_is_said(tmp_path: Path, name: str) -> None:
    """A file, something below a file."""
    (tmp_path / "file").write_text("")

    with pytest.raises(Denied, match=name):
        Home(tmp_path / name).make()


def test_one_server_at_a_time(home: Home) -> None:
    """The second is told who is there; after the end of the first it may."""
    with home.alone(), pytest.raises(InUse, match="process"), home.alone():
        pass
    with home.alone():
        pass


def test_homes_do_not_concern_each_other(home: Home, tmp_path: Path) -> None:
    """Each has its lock."""
    other = Home(tmp_path / "other")
    other.make()
    with home.alone(), other.alone():
        pass


def test_database_and_objects_find_each_other_again(home: Home, house: House) -> None:
    """After the first time, and where the file was lost: the object itself is there."""
    home.check_objects(house)
    first = (home.path / IDENTITY).read_text()
    home.check_objects(house)
    (home.path / IDENTITY).unlink()
    home.check_objects(house)

    assert (home.path / IDENTITY).read_text() == first


def test_another_database_is_refused(home: Home, house: House, tmp_path: Path) -> None:
    """Also a new one: the blobs belong to the first."""
    home.check_objects(house)

    with pytest.raises(Damaged, match="another database"):
        home.check_objects(make_house(tmp_path))


def test_another_home_is_refused(home: Home, house: House, tmp_path: Path) -> None:
    """A database whose blobs are elsewhere, in an empty home or in a used one."""
    home.check_objects(house)
    other = Home(tmp_path / "other")
    other.make()
    elsewhere = LocalObjects(other.path, house.database, house.clock)
    with pytest.raises(Damaged, match="not here"):
        other.check_objects(replace(house, objects=elsewhere, local=elsewhere))
    (other.path / IDENTITY).write_text("something else\n")
    shutil.copytree(home.path / "blobs", other.path / "blobs", dirs_exist_ok=True)
    with pytest.raises(Damaged, match="another database"):
        other.check_objects(replace(house, objects=elsewhere, local=elsewhere))


def test_two_servers_that_start_together_agree(home: Home, house: House) -> None:
    """Whoever is second to name the home takes the name that is there."""
    put = house.objects.put

    class Racing:
        """Objects into which another server puts first."""

        def __getattr__(self, name: str) -> object:
            return getattr(house.objects, name)

        def put(self, bucket: str, key: str, data: bytes, **options: object) -> object:
            put(bucket, key, b"first")
            return put(bucket, key, data, **options)  # type: ignore[arg-type]

    home.check_objects(replace(house, objects=Racing()))  # type: ignore[arg-type]

    assert (home.path / IDENTITY).read_text() == "first\n"
    with pytest.raises(Unmet):
        Racing().put(OWN_BUCKET, IDENTITY, b"second", conditions=Conditions(if_none_match=("*",)))


@pytest.fixture
def house_in(tmp_path: Path) -> Callable[[Objects], House]:
    """Makes a house with a database of its own, whose objects are below s3://company/ours in a store."""
    held: list[House] = []  # the database of a house goes with its local objects

    def make(objects: Objects) -> House:
        held.append(make_house(tmp_path))
        return replace(held[-1], local=None, objects=objects, own_place=ObjectAddress("company", "ours"))

    return make


def test_a_store_elsewhere_goes_with_its_database(home: Home, house_in: Callable[[Objects], House]) -> None:
    """Started again and restored it is the same one; nothing of it is kept in the home."""
    objects = memory_objects()
    house = house_in(objects)
    home.check_objects(house)
    first = read_all(objects, OWN_BUCKET, IDENTITY, limit_bytes=99)
    home.check_objects(house)

    assert read_all(objects, OWN_BUCKET, IDENTITY, limit_bytes=99) == first == house.database.identity().encode()
    assert not (home.path / IDENTITY).exists()


@pytest.mark.parametrize("there", [None, b"", b"\xff", b"x" * 5000])
def test_a_store_of_another_database_is_refused(
    home: Home, house_in: Callable[[Objects], House], there: bytes | None
) -> None:
    """Or one where somebody keeps something else under that name; it stays as it is."""
    objects = memory_objects()
    if there is None:
        home.check_objects(house_in(objects))
    else:
        objects.put(OWN_BUCKET, IDENTITY, there)
    before = objects.head(OWN_BUCKET, IDENTITY)

    with pytest.raises(Damaged, match=r"s3://company/ours .* another database .* --store"):
        home.check_objects(house_in(objects))
    assert objects.head(OWN_BUCKET, IDENTITY) == before


class Store:
    """An S3 that knows a condition, refuses it or overlooks it; `meanwhile` happens before the first put."""

    def __init__(self, condition: str, meanwhile: Callable[[Objects], object] = lambda objects: None) -> None:
        """`condition` is "known", "refused" or "overlooked"."""
        self.objects = memory_objects()
        self._condition = condition
        self._meanwhile: list[Callable[[Objects], object]] = [meanwhile]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objects, name)

    def put(self, bucket: str, key: str, data: bytes, *, conditions: Conditions = ALWAYS) -> object:
        """As that S3 does."""
        while self._meanwhile:
            self._meanwhile.pop()(self.objects)
        if conditions != ALWAYS and self._condition == "refused":
            raise Unavailable("501 Not Implemented")
        return self.objects.put(bucket, key, data, conditions=conditions if self._condition == "known" else ALWAYS)


@pytest.mark.parametrize("condition", ["known", "refused", "overlooked"])
def test_every_s3_can_be_claimed(home: Home, house_in: Callable[[Objects], House], condition: str) -> None:
    """Also one that does not know If-None-Match; a server of the same database may be first."""
    store: Any = Store(condition)
    house = house_in(store)
    home.check_objects(house)
    store._meanwhile = [lambda objects: objects.put(OWN_BUCKET, IDENTITY, house.database.identity().encode())]
    store.delete(OWN_BUCKET, IDENTITY)
    home.check_objects(house)

    with pytest.raises(Damaged):
        home.check_objects(house_in(store))


@pytest.mark.parametrize("condition", ["known", "refused"])
def test_the_second_of_two_databases_that_start_together_is_refused(
    home: Home, house_in: Callable[[Objects], House], condition: str
) -> None:
    """Where the store knows the condition, or says that it does not."""
    store: Any = Store(condition, lambda objects: objects.put(OWN_BUCKET, IDENTITY, b"first"))

    with pytest.raises(Damaged, match="another database"):
        home.check_objects(house_in(store))
    assert read_all(store, OWN_BUCKET, IDENTITY, limit_bytes=99) == b"first"


def test_a_claim_that_is_written_over_is_seen(
    home: Home, house_in: Callable[[Objects], House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store that overlooks the condition, by whoever was first: it waits before it looks."""
    store: Any = Store("overlooked")
    monkeypatch.setattr("time.sleep", lambda seconds: store.put(OWN_BUCKET, IDENTITY, b"second"))

    with pytest.raises(Damaged, match="another database"):
        home.check_objects(house_in(store))


def test_a_store_elsewhere_that_is_not_there_or_away_is_said(home: Home, house_in: Callable[[Objects], House]) -> None:
    """No bucket; or every put fails."""
    store: Any = Store("known")

    def fail(*_: object, **__: object) -> NoReturn:
        raise Unavailable("the disk is full")

    store.put = fail
    with pytest.raises(NotFound):
        home.check_objects(house_in(S3Objects(_no_bucket)))
    with pytest.raises(Unavailable, match="disk is full"):
        home.check_objects(house_in(store))


def test_the_address_is_remembered(home: Home) -> None:
    """The last one; a file that cannot be read is none."""
    none = home.read_address()
    home.write_address(ADDRESS)
    home.write_address(replace(ADDRESS, region="eu-west-1"))
    last = home.read_address()
    for text in ("", "[]", "{}", '{"endpoint_url": 1, "more": 2}', "\0"):
        (home.path / "address").write_text(text)

        assert home.read_address() is None
    assert (none, last) == (None, replace(ADDRESS, region="eu-west-1"))


def test_files_appear_whole_and_private(home: Home) -> None:
    """Nothing partial is left beside them."""
    home.write_credentials(to_file(KEY))

    assert stat.S_IMODE(home.credentials_file.stat().st_mode) == 0o600
    assert {path.name for path in home.path.iterdir()} == {"credentials", "lock"}
    assert id_in_file(home.read_credentials()) == "AKIAEXAMPLE"


@pytest.mark.parametrize("text", ["", "[default]\n", "[custom-labels-access]\n", "no = section", "[a]\n[a]\n", "%(x)s"])
def test_a_file_without_a_key_has_none(text: str) -> None:
    """Whatever a user has made of it."""
    assert id_in_file(text) is None


def test_a_secret_with_a_percent_sign_is_no_format(home: Home) -> None:
    """Keys of other makers may have any character."""
    odd = replace(KEY, id="AKIA%(x)s", secret="%(y)s=$&'")

    assert id_in_file(to_file(odd)) == "AKIA%(x)s"
    assert "AWS_SECRET_ACCESS_KEY='%(y)s=$&'\"'\"''" in written("env", odd, ADDRESS)


def _no_bucket(bucket: str) -> NoReturn:
    raise NotFound("bucket", bucket)

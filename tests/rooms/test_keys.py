"""Keys: made, listed and revoked; a request is answered when one of them signed it, and never otherwise."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import BadSignature, Denied, Invalid, NotFound, NotSigned, UnknownKey
from deconfuse.service import keys
from deconfuse.service.house import House
from deconfuse.service.keys import Caller, Key, authenticate, create_key, first_key, list_keys, revoke_key
from deconfuse.signing.sigv4 import Request
from houses import clock_of, make_house
from registries import at_once
from signed import arrived, sign

API = "http://127.0.0.1:8750/"


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house without keys."""
    return make_house(tmp_path)


def signed_by(house: House, key: Key, **changed: Any) -> Request:
    """A request to the API, signed now by `key`."""
    proof = {"key_id": key.id, "secret": key.secret, "at": house.clock()}
    options: dict[str, Any] = {"by": "botocore json", "service": "rekognition", "body": b"{}"}
    return sign("POST", API, **proof | options | changed)


def asked(house: House, request: Request, *, body: bytes | None = b"{}", service: str = "rekognition") -> Caller:
    """Who sent a request to the API."""
    return authenticate(house, request, services={service}, body=body)[0]


@pytest.mark.parametrize("access", ["full", "read"])
def test_a_key_signs(house: House, access: str) -> None:
    """A request that a key signed is its holder's, with the access of the key."""
    key = create_key(house, access=access, note="for tests")

    assert asked(house, signed_by(house, key)) == Caller(key.id, key.access)
    assert (key.access, key.note) == (access, "for tests")


def test_keys_look_like_those_of_aws(house: House) -> None:
    """Programs that look for keys by their form find ours; nothing in one needs quotes in a shell or a file."""
    made = [create_key(house) for _ in range(50)]

    assert all(re.fullmatch(r"AKIA[A-Z2-7]{16}", key.id) for key in made)
    assert all(re.fullmatch(r"[A-Za-z0-9]{40}", key.secret) for key in made)
    assert len({key.id for key in made} | {key.secret for key in made}) == 100


def test_a_secret_is_not_shown_by_accident(house: House) -> None:
    """The record of a key can be logged."""
    key = create_key(house)

    assert key.secret not in repr(key)


@pytest.mark.parametrize(
    ("access", "note", "field"), [("admin", "", "access"), ("", "", "access"), ("full", "x" * 256, "note")]
)
def test_impossible_keys_are_refused(house: House, access: str, note: str, field: str) -> None:
    """What is no access and what is no short note makes no key."""
    with pytest.raises(Invalid) as caught:
        create_key(house, access=access, note=note)

    assert caught.value.field == field
    assert list_keys(house) == ()


def test_only_a_full_key_may_write() -> None:
    """A read-only key is told that it is one."""
    Caller("AKIA1", "full").check_may_write()
    with pytest.raises(Denied, match="AKIA1 is read-only"):
        Caller("AKIA1", "read").check_may_write()


def test_the_first_key_is_made_once(house: House) -> None:
    """A house without keys gets a full one; one that has, or had, keys does not."""
    key = first_key(house)

    assert key is not None
    assert asked(house, signed_by(house, key)).access == "full"
    revoke_key(house, key.id)
    assert first_key(house) is None


def test_servers_that_start_together_make_one_first_key(tmp_path: Path) -> None:
    """Of eight servers on one new database one makes the first key."""
    url = f"sqlite:///{tmp_path / 'rows'}"
    houses = [make_house(tmp_path, database=url) for _ in range(2)]

    made = at_once(8, lambda number: first_key(houses[number % 2]))

    assert len([key for key in made if key is not None]) == len(list_keys(houses[0])) == 1


@pytest.mark.postgres
def test_servers_on_postgresql_make_one_first_key(tmp_path: Path, postgres_url: str) -> None:
    """The same where the database does not let one writer in at a time."""
    houses = [make_house(tmp_path / str(number), database=postgres_url) for number in range(2)]

    made = at_once(8, lambda number: first_key(houses[number % 2]))

    assert len([key for key in made if key is not None]) == len(list_keys(houses[0])) == 1


def test_revoked_keys_are_worth_nothing_at_once(house: House) -> None:
    """The request after the revocation is refused; the list shows the key only where it is asked for."""
    kept, gone = create_key(house), create_key(house)
    asked(house, signed_by(house, gone))
    revoke_key(house, gone.id)

    with pytest.raises(UnknownKey):
        asked(house, signed_by(house, gone))
    assert [key.id for key in list_keys(house)] == [kept.id]
    assert [key.id for key in list_keys(house, with_revoked=True)] == [kept.id, gone.id]


@pytest.mark.parametrize("key_id", ["AKIANOBODY", "", "\0", "\ud800", "%", "x" * 5000])
def test_what_is_no_key_cannot_be_revoked(house: House, key_id: str) -> None:
    """A key that never was is not found, whatever it is called."""
    with pytest.raises(NotFound, match="key not found"):
        revoke_key(house, key_id)


def test_a_key_is_revoked_once(house: House) -> None:
    """Who revokes a key that is revoked is told that there is none."""
    key = create_key(house)
    revoke_key(house, key.id)

    with pytest.raises(NotFound):
        revoke_key(house, key.id)


def test_a_request_without_signature_is_not_signed(house: House) -> None:
    """No proof at all is another error than a wrong one; HTTP basic is no proof here."""
    for headers in ((), (("Authorization", "Basic YTpi"),)):
        with pytest.raises(NotSigned, match="deconfuse credentials"):
            asked(house, arrived("POST", API, headers))


def test_wrong_proofs_are_refused(house: House) -> None:
    """Another secret, body, region or service, an unknown key, or a time long past: nobody is let in."""
    key = create_key(house)

    def reason(request: Request, **how: Any) -> str:
        with pytest.raises(BadSignature) as caught:
            asked(house, request, **how)
        return caught.value.reason

    assert reason(signed_by(house, key, secret="x" * 40)) == "mismatch"
    assert reason(signed_by(house, key), body=b'{"a":1}') == "mismatch"
    assert reason(signed_by(house, key, region="eu-west-1")) == "scope"
    assert reason(signed_by(house, key), service="s3") == "scope"
    with pytest.raises(UnknownKey):
        asked(house, signed_by(house, key, key_id="AKIANOBODY"))
    old = signed_by(house, key)
    clock_of(house).advance(minutes=16)
    assert reason(old) == "skewed"


def test_presigned_addresses_are_good_until_they_expire(house: House) -> None:
    """An address of either version proves its maker, for as long as it says."""
    key = create_key(house, access="read")
    for by in ("botocore presigned", "version 2 presigned"):
        url = "http://127.0.0.1:8750/bucket/key"
        options: dict[str, Any] = {"key_id": key.id, "secret": key.secret, "at": house.clock(), "expires": 600}
        request = sign("GET", url, by=by, **options)

        assert asked(house, request, body=None, service="s3").access == "read"
        clock_of(house).advance(seconds=700)
        with pytest.raises(BadSignature) as caught:
            asked(house, request, body=None, service="s3")
        assert caught.value.reason == "expired"


def test_looking_up_a_key_is_quick(tmp_path: Path) -> None:
    """A request waits for its key far less than a millisecond, however many keys there are."""
    house = make_house(tmp_path, database=f"sqlite:///{tmp_path / 'rows'}")
    key = [create_key(house) for _ in range(20)][10]
    request = signed_by(house, key)
    asked(house, request)
    began = time.perf_counter()
    for _ in range(50):
        asked(house, request)

    assert (time.perf_counter() - began) / 50 < 0.02  # 0.0005 on a quiet machine


def test_the_module_promises_what_it_has() -> None:
    """Every name of the module's list is there."""
    assert all(hasattr(keys, name) for name in keys.__all__)

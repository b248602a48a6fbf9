"""Who asks: keys, and requests proved to be signed by one of them.

A door hands every request to `authenticate` before it looks at what is asked. What comes back says who asks and
whether he may change anything; what comes along, `Verified`, holds a body that streams to its signature.

A key is looked up for every request, so that one that was revoked is worth nothing from that moment on, in every
server on the same database.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast, get_args

from deconfuse.errors import BadSignature, Denied, Invalid, NotSigned
from deconfuse.service.house import House
from deconfuse.signing import sigv4
from deconfuse.signing.sigv4 import Request, Verified
from deconfuse.store import registry
from deconfuse.store.database import alone_with
from deconfuse.store.registry import Access, Key

__all__ = [
    "Access",
    "Caller",
    "Key",
    "authenticate",
    "create_key",
    "first_key",
    "holder",
    "list_keys",
    "revoke_key",
]

MAX_NOTE = 255


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        key_id: the key that signed.
        access: "full", or "read" where nothing may be changed.
    """

    key_id: str
    access: Access

    def check_may_write(self) -> None:
        """Do nothing.

        Raises:
            Denied: the key is read-only.
        """
        if self.access != "full":
            raise Denied(f"the key {self.key_id} is read-only; this changes something")


def create_key(house: House, *, access: str = "full", note: str = "") -> Key:
    """A new key with its secret; `note` says what it is for.

    Raises:
        Invalid: an access that is neither "full" nor "read", or a note of more than 255 characters.
    """
    if access not in get_args(Access):
        raise Invalid("access", f"{access!r} is not possible; a key is full or read")
    if len(note) > MAX_NOTE:
        raise Invalid("note", f"a note has at most {MAX_NOTE} characters; this one has {len(note)}")
    key_id, secret = _key_id(house), _secret(house)
    with house.database.write() as rows:
        return registry.add_key(
            rows, key_id, secret=secret, access=cast(Access, access), now_ms=house.now_ms, note=note
        )


def first_key(house: House) -> Key | None:
    """A full key where none was ever made, so that somebody can ask; None where one was, even if it was revoked."""
    key_id, secret = _key_id(house), _secret(house)
    with house.database.write() as rows:
        alone_with(rows, "first key")
        if registry.list_keys(rows, with_revoked=True):
            return None
        return registry.add_key(rows, key_id, secret=secret, access="full", now_ms=house.now_ms, note="first key")


def list_keys(house: House, *, with_revoked: bool = False) -> tuple[Key, ...]:
    """Every key in use, the oldest first; those that were revoked only where they are asked for."""
    with house.database.read() as rows:
        return registry.list_keys(rows, with_revoked=with_revoked)


def revoke_key(house: House, key_id: str) -> None:
    """Make a key worthless for ever.

    Raises:
        NotFound: there is no such key, or it was revoked before.
    """
    with house.database.write() as rows:
        registry.revoke_key(rows, key_id, now_ms=house.now_ms)


def authenticate(
    house: House,
    request: Request,
    *,
    services: Collection[str],
    body: bytes | None,
    host_bucket: str | None = None,
) -> tuple[Caller, Verified]:
    """Who sent `request`, proved.

    Args:
        house: whose keys and region count.
        request: as it arrived.
        services: the services that the door answers for.
        body: the whole body; None where it streams, which only S3 allows: `signing.chunked.open_body` then holds it
            to what was signed.
        host_bucket: the bucket that the host name stands for, where it does.

    Raises:
        NotSigned: there is no signature at all.
        UnknownKey: there is no such key, or it was revoked.
        BadSignature: the signature does not hold; its `reason` says why.
        Invalid: no body, for a service whose requests are signed with it.
    """
    claim = sigv4.claim(request)
    if claim is None:
        raise NotSigned("the request is not signed; `deconfuse credentials` prints what to sign with")
    with house.database.read() as rows:
        key = registry.find_key(rows, claim.key_id)
    verified = sigv4.verify(
        claim,
        request,
        secret=key.secret if key else None,
        body=body,
        now=house.clock(),
        services=services,
        region=house.region,
        host_bucket=host_bucket,
    )
    assert key is not None
    return Caller(key.id, key.access), verified


def is_known(house: House, request: Request) -> bool:
    """Whether a request is signed in the name of a key that exists, before anything of that is proved."""
    try:
        claim = sigv4.claim(request)
    except BadSignature:
        return False
    if claim is None:
        return False
    with house.database.read() as rows:
        return registry.find_key(rows, claim.key_id) is not None


def holder(house: House, key_id: str, *, secret: str) -> Caller | None:
    """Who shows the secret of a key itself; None where there is no such key, or its secret is another.

    For protocols that have no signatures, such as HTTP's basic authentication. The comparison takes the same time
    whatever is wrong.
    """
    with house.database.read() as rows:
        key = registry.find_key(rows, key_id)
    known = key.secret if key else "the secret of no key"
    is_same = hmac.compare_digest(known.encode(), secret.encode("utf-8", "surrogatepass"))
    return Caller(key.id, key.access) if key and is_same else None


def _key_id(house: House) -> str:
    """Twenty characters of A-Z and 2-7, as AWS's are; eighty bits of chance."""
    return "AKIA" + base64.b32encode(bytes.fromhex(house.token_hex(10))).decode()


def _secret(house: House) -> str:
    """Forty letters and digits, as long as AWS's; no other characters, for it is pasted into shells and files."""
    return base64.b64encode(bytes.fromhex(house.token_hex(30)), altchars=b"Zz").decode()

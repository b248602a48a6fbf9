"""Whatever arrives at the gateway, the answer is an answer: no request raises anything but an error of the tree."""

from __future__ import annotations

import random
from urllib.parse import quote_plus
from xml.etree import ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from deconfuse.errors import DeconfuseError
from deconfuse.gateway.faults import fault
from deconfuse.gateway.restxml import parse
from deconfuse.gateway.routing import BUILT, route
from deconfuse.gateway.shapes import operations

METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", ""])
WORDS = sorted({word for op in operations().values() for word in op.subresources})
NAMES = sorted({p.wire for op in operations().values() for p in op.inputs if p.place == "query"})
HEADERS = sorted({p.wire for op in operations().values() for p in op.inputs if p.place in {"header", "headers"}})
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "0", "-1", "true", "2", "url", "CRC32", "/b/k", "%", "null"])
)
QUERIES = st.lists(st.tuples(st.sampled_from(WORDS + NAMES + ["X-Amz-Signature"]), TEXTS), max_size=4)
PAIRS = st.lists(st.tuples(st.sampled_from(HEADERS).map(str.encode), st.binary(max_size=20)), max_size=4)
PATHS = st.one_of(
    st.sampled_from([b"/", b"/b", b"/b/", b"/b/k", b"/WriteGetObjectResponse"]),
    st.binary(max_size=30).map(lambda raw: b"/" + raw),
    st.binary(max_size=10),
)
SEEDS = [
    b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>",
    b'<CompleteMultipartUpload xmlns="x"><Part><ETag>"e"</ETag></Part></CompleteMultipartUpload>',
    b"<CreateBucketConfiguration><LocationConstraint>x</LocationConstraint></CreateBucketConfiguration>",
]


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """`seed` with a few bytes changed, dropped, doubled or taken from markup."""
    body = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(4):
            case 0:
                body[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del body[at : at + rng.randint(1, 8)]
            case 2:
                body[at:at] = body[at : at + 20]
            case _:
                body[at:at] = rng.choice(
                    [b"<", b">", b"&#0;", b"]]>", b"<!DOCTYPE x>", b"<![CDATA[", b"</Key>", b"\x00"]
                )
    return bytes(body)


@given(method=METHODS, path=PATHS, query=QUERIES, headers=PAIRS, raw=st.binary(max_size=20), host=st.text(max_size=20))
@example(method="GET", path=b"/b", query=[], headers=[], raw=b"a=1&a=2&a=3", host="b.localhost")
def test_any_request_is_a_call_or_an_error(
    method: str, path: bytes, query: list[tuple[str, str]], headers: list[tuple[bytes, bytes]], raw: bytes, host: str
) -> None:
    """It is understood, or refused with a document under 500 that names a code."""
    text = "&".join(f"{quote_plus(name)}={quote_plus(value, errors='replace')}" for name, value in query).encode()
    try:
        call = route(method, path, text or raw, headers, host=host, domain="localhost")
    except DeconfuseError as error:
        answer = fault(error, method=method, resource=path.decode("latin-1"), request_id="X")
        assert 400 <= answer.status < 500 or answer.status == 501
        assert method == "HEAD" or ET.fromstring(answer.body).findtext("Code")
    else:
        assert call.operation in BUILT
        assert {p.name for p in operations()[call.operation].inputs if p.is_required} <= call.parameters.keys()


@given(seed=st.sampled_from(SEEDS), chance=st.integers(0, 2**32))
def test_any_body_is_parameters_or_an_error(seed: bytes, chance: int) -> None:
    """A mutated document is read, or refused; it never raises anything else."""
    targets = {b"D": ("POST", b"/b", b"delete"), b"C": ("POST", b"/b/k", b"uploadId=u")}
    method, path, query = ("PUT", b"/b", b"") if seed.startswith(b"<Create") else targets[seed[1:2]]
    call = route(method, path, query, [], host="h", domain="")
    parameters, status = dict(call.parameters), 200
    try:
        parameters = parse(call, mutated(seed, random.Random(chance)))
    except DeconfuseError as error:
        status = fault(error, method=method, resource="/", request_id="X").status

    assert status in {200, 400, 501}
    assert parameters.keys() >= call.parameters.keys()

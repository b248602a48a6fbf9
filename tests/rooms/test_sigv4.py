"""Signatures: what is no signature, what cannot be read, what was altered, what is too late or elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import BadSignature, Denied, Invalid, UnknownKey
from deconfuse.signing import sigv4
from deconfuse.signing.sigv4 import Request, claim, query_pairs, verify
from signed import KEY_ID, NOW, SECRET, arrived, check, claim_of, sign

URL = "http://localhost:8750/bucket/key?prefix=a%2Fb"
BODY = b'{"ProjectName": "rooms"}'
V2_URL = "http://localhost:8750/bucket/key?uploads"


def put(**changed: object) -> Request:
    """A signed PUT with metadata, an MD5 and a body."""
    headers = {"Content-MD5": "abc==", "x-amz-meta-who": "me", "Content-Type": "image/jpeg"}
    return sign("PUT", URL, headers=headers, body=BODY, **changed)  # type: ignore[arg-type]


def with_header(request: Request, name: str, value: str | None) -> Request:
    """The request with one header set, or, for None, taken out."""
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name.lower().encode())
    return replace(request, headers=kept if value is None else (*kept, (name.encode(), value.encode())))


def header(request: Request, name: str) -> str:
    """The value of a header that came once."""
    return next(value.decode() for given, value in request.headers if given.lower() == name.lower().encode())


def edited(request: Request, was: str, becomes: str) -> Request:
    """The request with a piece of its Authorization header replaced."""
    text = header(request, "Authorization")
    assert was in text
    return with_header(request, "Authorization", text.replace(was, becomes))


def test_the_claim_says_what_the_request_says() -> None:
    """Key, place, time, covered headers and hash of the body are read without proof."""
    request = sign("GET", "http://h/b/k", region="eu-north-1")

    found = claim_of(request)

    assert (found.key_id, found.scheme, found.service, found.region) == (KEY_ID, "header", "s3", "eu-north-1")
    assert (found.date, found.expires, found.has_token) == (NOW, None, False)
    assert found.signed_headers == ("host", "x-amz-content-sha256", "x-amz-date")
    assert found.payload == hashlib.sha256(b"").hexdigest()


def test_what_holds_can_sign_on() -> None:
    """A verified request gives the first link of the chain of chunks, and no secret when printed."""
    verified = check(put(), body=BODY)

    assert verified.scope == "20260501/us-east-1/s3/aws4_request"
    assert verified.stamp == "20260501T123000Z"
    assert verified.sign is not None
    assert len(verified.sign("text")) == 64
    assert "sign=" not in repr(verified)
    assert verified.is_body_signed


@pytest.mark.parametrize(
    "headers", [(), ((b"Authorization", b"Basic a2V5OnNlY3JldA=="),), ((b"authorization", b"Bearer x"),)]
)
def test_no_signature_at_all(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """A request without a signature has no claim; nor has one with another kind of proof."""
    assert claim(Request("GET", b"/", b"list-type=2&Expires=5", ((b"Host", b"h"), *headers))) is None


TAMPERINGS: dict[str, Callable[[Request], Request]] = {
    "method": lambda r: replace(r, method="DELETE"),
    "path": lambda r: replace(r, raw_path=b"/bucket/other"),
    "path behind a fragment": lambda r: replace(r, raw_path=r.raw_path + b"#x"),
    "path with a second slash": lambda r: replace(r, raw_path=b"/" + r.raw_path),
    "path with dots": lambda r: replace(r, raw_path=b"/bucket/./key"),
    "path with an encoded slash": lambda r: replace(r, raw_path=b"/bucket%2Fkey"),
    "query value": lambda r: replace(r, raw_query=b"prefix=a%2Fc"),
    "query added": lambda r: replace(r, raw_query=r.raw_query + b"&acl"),
    "query repeated": lambda r: replace(r, raw_query=r.raw_query + b"&" + r.raw_query),
    "query taken out": lambda r: replace(r, raw_query=b""),
    "signature in the query too": lambda r: replace(r, raw_query=r.raw_query + b"&x=Signature"),
    "host": lambda r: with_header(r, "Host", "other:8750"),
    "metadata": lambda r: with_header(r, "x-amz-meta-who", "you"),
    "metadata in another case": lambda r: with_header(r, "x-amz-meta-who", "ME"),
    "metadata repeated": lambda r: replace(r, headers=(*r.headers, (b"X-Amz-Meta-Who", b"me"))),
    "a signed header that AWS leaves open": lambda r: with_header(r, "Content-Type", "text/html"),
    "a signed header taken out": lambda r: with_header(r, "Content-Type", None),
    "MD5": lambda r: with_header(r, "Content-MD5", "abd=="),
    "date": lambda r: with_header(r, "X-Amz-Date", "20260501T123001Z"),
    "promised hash": lambda r: with_header(r, "X-Amz-Content-SHA256", "0" * 64),
    "hash withdrawn": lambda r: with_header(r, "X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"),
    "hash for chunks": lambda r: with_header(r, "X-Amz-Content-SHA256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    "another region": lambda r: edited(r, "us-east-1", "us-east-2"),
    "a shorter list of signed headers": lambda r: edited(r, "content-type;", ""),
    "first digit of the signature": lambda r: edited(
        r, "Signature=" + claim_of(r).signature[0], "Signature=" + ("0" if claim_of(r).signature[0] != "0" else "1")
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_nothing_signed_can_be_altered(name: str) -> None:
    """Each alteration of a signed request is refused as a mismatch; unaltered it holds."""
    request = put()
    assert check(request, body=BODY).key_id == KEY_ID

    with pytest.raises(BadSignature) as caught:
        check(TAMPERINGS[name](request))

    assert caught.value.reason == "mismatch"


def test_the_expected_signature_is_never_told() -> None:
    """A message about a mismatch holds no signature that would have been right."""
    request = put()
    right = claim_of(request).signature

    with pytest.raises(BadSignature) as caught:
        check(edited(request, right, "0" * 64))

    assert right not in str(caught.value)


def test_another_body_is_refused() -> None:
    """A body that does not have the promised hash is named as such; without a body the door still has to look."""
    with pytest.raises(BadSignature) as caught:
        check(put(), body=BODY + b" ")

    assert caught.value.reason == "body"
    assert check(put(), body=None).payload == hashlib.sha256(BODY).hexdigest()


def test_a_json_body_is_hashed_whatever_a_header_says() -> None:
    """For other services the header about the hash counts for nothing, and the body must be there."""
    request = sign(
        "POST", "http://h/", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, by="botocore json", service="sts"
    )
    with pytest.raises(BadSignature) as caught:
        check(request, body=BODY, services=("sts",))
    with pytest.raises(Invalid, match="body"):
        check(request, services=("sts",))

    assert caught.value.reason == "mismatch"


@pytest.mark.parametrize("name", ["x-amz-acl", "X-Amz-Meta-New", "x-amz-security-token", "X-AMZ-COPY-SOURCE"])
def test_every_header_of_amazon_must_be_signed(name: str) -> None:
    """A header that could change the meaning of a request cannot be added on the way."""
    value = "" if name == "x-amz-security-token" else "public-read"
    for request in (put(), sign("GET", URL, by="botocore presigned")):
        with pytest.raises(BadSignature, match=name.lower()) as caught:
            check(with_header(request, name, value))

        assert caught.value.reason == "unsigned"


def test_content_md5_and_host_must_be_signed() -> None:
    """Neither can be added or left out of the signature."""
    for request in (with_header(sign("GET", URL), "Content-MD5", "x"), edited(put(), "host;", "")):
        with pytest.raises(BadSignature) as caught:
            check(request)

        assert caught.value.reason == "unsigned"


def test_a_second_host_is_refused() -> None:
    """Which of two hosts is meant nobody can tell."""
    request = replace(put(), headers=(*put().headers, (b"host", b"evil")))

    with pytest.raises(BadSignature, match="host"):
        check(request)


@pytest.mark.parametrize("at", [-901, 901, 86_400, -86_400])
def test_clocks_may_differ_by_fifteen_minutes(at: int) -> None:
    """Outside the window a request, and so its replay, is refused; on its edges it holds."""
    for edge in (-900, 0, 900):
        assert check(put(), now=NOW + timedelta(seconds=edge)).key_id == KEY_ID
    with pytest.raises(BadSignature, match="clocks") as caught:
        check(put(), now=NOW + timedelta(seconds=at))

    assert caught.value.reason == "skewed"


def test_a_presigned_address_is_not_good_before_its_time() -> None:
    """More than fifteen minutes before its date an address is refused like any other request."""
    request = sign("GET", URL, by="botocore presigned", expires=604_800)

    assert check(request, now=NOW + timedelta(days=7)).scheme == "presigned"
    with pytest.raises(BadSignature) as caught:
        check(request, now=NOW - timedelta(minutes=16))
    assert caught.value.reason == "skewed"


@pytest.mark.parametrize("expires", [0, 604_801, 999_999])
def test_a_presigned_address_is_good_for_a_week_at_most(expires: int) -> None:
    """Longer than a week, or no time at all, cannot be asked for."""
    with pytest.raises(BadSignature, match="604800") as caught:
        check(sign("GET", URL, by="botocore presigned", expires=expires))

    assert caught.value.reason == "malformed"


def test_a_time_without_a_zone_is_a_mistake_of_the_caller() -> None:
    """A naive `now` cannot be compared."""
    with pytest.raises(TypeError):
        check(put(), now=NOW.replace(tzinfo=None))


def test_the_place_must_be_this_one() -> None:
    """A signature for another service or region is refused before anything else; None takes any region."""
    request = sign("GET", URL, region="eu-west-9")

    assert check(request, region=None).key_id == KEY_ID
    for options in ({"region": "us-east-1"}, {"services": ("rekognition", "sts")}):
        with pytest.raises(BadSignature, match="signed for the") as caught:
            check(request, **options)
        assert caught.value.reason == "scope"


def test_the_day_of_the_credential_is_that_of_the_date() -> None:
    """A credential of another day is refused, even if both are near."""
    with pytest.raises(BadSignature) as caught:
        check(edited(put(), "/20260501/", "/20260502/"))

    assert caught.value.reason == "scope"


def test_presigned_calls_are_for_s3_only() -> None:
    """An address does not sign a body, and a call without a signed body can be turned into any other."""
    request = sign("POST", "http://h/", by="botocore presigned", service="rekognition")

    with pytest.raises(BadSignature) as caught:
        check(request, services=("rekognition",), body=b"")

    assert caught.value.reason == "unsigned"


@pytest.mark.parametrize("by", ["botocore", "awscrt", "botocore presigned"])
def test_session_tokens_are_refused(by: str) -> None:
    """Temporary credentials are not given out here, in headers or in addresses."""
    with pytest.raises(BadSignature, match="temporary") as caught:
        check(sign("GET", URL, by=by, token="FwoGZXIvYXdz"))

    assert caught.value.reason == "token"


@pytest.mark.parametrize("secret", [None, ""])
def test_an_unknown_key_is_refused_after_the_work(secret: str | None) -> None:
    """Without a secret nothing holds: not a right signature, and not one made with the stand-in."""
    for request in (put(), put(secret=sigv4._NOBODY), sign("GET", V2_URL, by="version 2 presigned")):
        with pytest.raises(UnknownKey, match=KEY_ID) as caught:
            check(request, secret=secret)
        assert isinstance(caught.value, Denied)
    with pytest.raises(BadSignature):
        check(put(secret="wrong"))


def test_the_date_header_serves_where_there_is_no_other() -> None:
    """Old clients sign `Date`: read in both of its forms, and only if it is covered."""
    request = sign("GET", URL, headers={"Date": "Fri, 01 May 2026 12:30:00 GMT"})

    assert check(request).stamp == "20260501T123000Z"
    with pytest.raises(BadSignature, match="date") as caught:
        check(edited(request, "SignedHeaders=date;", "SignedHeaders="))
    assert caught.value.reason == "unsigned"


@pytest.mark.parametrize("by", ["botocore", "botocore presigned", "version 2 presigned"])
def test_an_unknown_key_costs_the_same_work(by: str) -> None:
    """The same functions are called, as often, whether a key exists, does not, or has another secret."""
    request = sign("GET", V2_URL, by=by)
    found = claim_of(request)

    def calls(secret: str | None) -> Counter[str]:
        seen: Counter[str] = Counter()

        def count(frame: FrameType, event: str, what: object) -> None:
            if event in ("call", "c_call"):
                name = frame.f_code.co_name if event == "call" else getattr(what, "__name__", "")
                seen[name] += 1

        sys.setprofile(count)
        with contextlib.suppress(Denied):
            verify(found, request, secret=secret, body=b"", now=NOW, services=("s3",), region=None)
        sys.setprofile(None)
        return Counter(
            {name: seen[name] for name in seen if name not in ("__init__", "__exit__", "issubclass", "setprofile")}
        )

    calls(SECRET)  # the first call fills tables that the standard library keeps, of quoted bytes for one
    known = calls(SECRET)
    assert known["compare_digest"] == 1
    assert calls(None) == known == calls("another secret, as long as the other one")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 "),
        ("AWS4-HMAC-SHA256 ", "AWS "),
        ("AWS4-HMAC-SHA256 ", "aws4-hmac-sha256 "),
        ("Credential=", "Credentials="),
        (", Signature=", ", Credential="),
        (f"Credential={KEY_ID}/20260501/us-east-1/s3/aws4_request, ", ""),
        ("Credential=", "Credential=x, Credential="),
        (", Signature=", ", Nothing="),
        ("Signature=", "Signature=0"),
        ("Signature=", "Signature=g"),
        ("/aws4_request", "/aws5_request"),
        ("/aws4_request", ""),
        ("us-east-1", ""),
        ("us-east-1", "us east"),
        (KEY_ID, ""),
        (KEY_ID, "K" * 129),
        (KEY_ID, "ключ"),
        ("SignedHeaders=", "SignedHeaders=;"),
        ("SignedHeaders=", "SignedHeaders=Host;"),
        ("SignedHeaders=", "SignedHeaders=host;"),
        ("SignedHeaders=", "SignedHeaders=" + "".join(f"a{n};" for n in range(300))),
    ],
)
def test_an_authorization_header_that_cannot_be_read(was: str, becomes: str) -> None:
    """Every malformation is said in a sentence that does not repeat endless input."""
    with pytest.raises(BadSignature) as caught:
        claim(edited(put(), was, becomes))

    assert caught.value.reason == "malformed"
    assert len(caught.value.why) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Date", None),
        ("X-Amz-Date", ""),
        ("X-Amz-Date", "2026-05-01T12:30:00Z"),
        ("X-Amz-Date", "20261301T123000Z"),
        ("X-Amz-Date", "20260501T123000Z0"),
        ("X-Amz-Date", "٢٠٢٦0501T123000Z"),
        ("X-Amz-Content-SHA256", None),
        ("X-Amz-Content-SHA256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
        ("X-Amz-Content-SHA256", "A" * 64),
        ("X-Amz-Content-SHA256", "abc"),
    ],
)
def test_headers_of_a_signature_that_cannot_be_read(name: str, value: str | None) -> None:
    """A date or hash that is missing or in another form is refused before any key is looked up."""
    with pytest.raises(BadSignature) as caught:
        claim(with_header(put(), name, value))

    assert caught.value.reason == "malformed"


def test_a_header_of_a_signature_may_come_once() -> None:
    """Of two dates, hashes or authorizations none can be chosen."""
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"):
        request = put()
        with pytest.raises(BadSignature) as caught:
            claim(replace(request, headers=(*request.headers, (name.encode(), header(request, name).encode()))))
        assert caught.value.reason == "malformed"


@pytest.mark.parametrize("extra", ["X-Amz-Signature=0", "X-Amz-Algorithm=x", "Signature=x", "AWSAccessKeyId=x"])
def test_a_request_is_signed_in_one_place(extra: str) -> None:
    """A header and an address at once, or two versions at once, are refused."""
    for request in (put(), sign("GET", V2_URL, by="version 2 presigned"), sign("GET", URL, by="botocore presigned")):
        with pytest.raises(BadSignature) as caught:
            claim(replace(request, raw_query=request.raw_query + b"&" + extra.encode()))
        assert caught.value.reason == "malformed"


def test_a_presigned_address_comes_without_an_authorization_header() -> None:
    """Any Authorization header beside a presigned address is one proof too many."""
    request = sign("GET", URL, by="botocore presigned")

    with pytest.raises(BadSignature, match="once"):
        claim(with_header(request, "Authorization", "Basic eDp5"))


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_presigned_address_needs_all_its_parameters(name: str) -> None:
    """Each missing or damaged parameter is named."""
    request = sign("GET", URL, by="botocore presigned")
    pieces = [piece for piece in request.raw_query.split(b"&") if not piece.startswith(b"X-Amz-" + name.encode())]

    for query in (pieces, [*pieces, f"X-Amz-{name}=%FF".encode()]):
        with pytest.raises(BadSignature) as caught:
            claim(replace(request, raw_query=b"&".join(query)))
        assert caught.value.reason == "malformed"


def test_a_date_at_the_end_of_time_is_no_error_of_ours() -> None:
    """An address dated in the last hour of the calendar is refused, not a crash."""
    request = sign("GET", URL, by="botocore presigned")
    query = request.raw_query.replace(b"20260501T123000Z", b"99991231T235959Z").replace(b"20260501", b"99991231")

    with pytest.raises(BadSignature):
        claim(replace(request, raw_query=query))


def test_an_address_may_be_encoded_in_other_ways() -> None:
    """Clients that decode what needs no encoding, or encode more, mean the same address."""
    request = sign("GET", "http://h/b/a%3Db~%2B.jpg?marker=a%3Ab", by="botocore presigned")

    assert request.raw_query.startswith(b"marker=a%3Ab")
    same = replace(request, raw_path=b"/b/a=b%7E%2b.jpg", raw_query=request.raw_query.replace(b"a%3Ab", b"a:%62"))
    assert check(same).key_id == KEY_ID
    with pytest.raises(BadSignature):
        check(replace(request, raw_path=b"/b/a%3Db~ .jpg"))


def test_a_line_break_in_a_signed_header_is_refused() -> None:
    """One header can never pass for two."""
    request = put()
    headers = tuple((name, b"m\ne" if value == b"me" else value) for name, value in request.headers)

    with pytest.raises(BadSignature, match="line break"):
        check(replace(request, headers=headers))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, method="PUT"),
        lambda r: replace(r, raw_path=b"/bucket/other"),
        lambda r: replace(r, raw_query=r.raw_query.replace(b"uploads", b"acl")),
        lambda r: replace(r, raw_query=r.raw_query + b"&versionId=1"),
        lambda r: replace(r, raw_query=r.raw_query.replace(b"Expires=1777642200", b"Expires=1877642200")),
        lambda r: replace(r, raw_query=r.raw_query + b"&x-amz-acl=public-read"),
        lambda r: with_header(r, "x-amz-acl", "public-read"),
        lambda r: with_header(r, "Content-Type", "text/html"),
        lambda r: with_header(r, "Content-MD5", "abc=="),
        lambda r: replace(r, raw_query=r.raw_query + b"&%61cl"),
    ],
)
def test_version_2_covers_what_it_covers(change: Callable[[Request], Request]) -> None:
    """Method, path, sub-resources, expiry, type, MD5 and Amazon's headers of such an address cannot be altered."""
    request = sign("GET", V2_URL, by="version 2 presigned")
    assert b"Expires=1777642200" in request.raw_query
    assert check(request).scheme == "presigned-v2"

    with pytest.raises(BadSignature) as caught:
        check(change(request))

    assert caught.value.reason == "mismatch"


def test_version_2_knows_two_ways_to_sign_a_bucket_alone() -> None:
    """With a slash behind it, as botocore signs, and without, as it is sent; of a key the slash is a part."""
    for signed in ("http://h/bucket", "http://h/bucket/"):
        request = sign("GET", signed, by="version 2 presigned")
        assert check(replace(request, raw_path=b"/bucket")).key_id == KEY_ID
    key = sign("GET", "http://h/bucket/key/", by="version 2 presigned")
    service = sign("GET", "http://h//", by="version 2 presigned")
    for request, path in (
        (sign("GET", "http://h/bucket/", by="version 2 presigned"), b"/buckets"),
        (sign("GET", "http://h/bucket//", by="version 2 presigned"), b"/bucket"),
        (key, b"/bucket/key"),
        (service, b"/"),
    ):
        with pytest.raises(BadSignature) as caught:
            check(replace(request, raw_path=path))
        assert caught.value.reason == "mismatch"
    with pytest.raises(BadSignature):
        check(replace(key, raw_path=b"/key"), host_bucket="bucket")


@pytest.mark.parametrize("extra", [b"attributes", b"encryption", b"legal-hold", b"v=1"])
def test_version_2_refuses_parameters_that_it_leaves_open(extra: bytes) -> None:
    """A parameter that is not signed could make another operation of an address; those that page a list may come."""
    request = sign("GET", "http://h/bucket", by="version 2 presigned")

    assert check(replace(request, raw_query=request.raw_query + b"&list-type=2&prefix=x")).key_id == KEY_ID
    with pytest.raises(BadSignature) as caught:
        check(replace(request, raw_query=request.raw_query + b"&" + extra))
    assert caught.value.reason == "unsigned"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Expires", b""),
        (b"Expires", b"-1"),
        (b"Expires", b"1" * 12),
        (b"Signature", b"abc"),
        (b"Signature", b""),
        (b"AWSAccessKeyId", b""),
        (b"AWSAccessKeyId", b"a b"),
    ],
)
def test_an_address_of_version_2_that_cannot_be_read(name: bytes, value: bytes) -> None:
    """A parameter that is missing, empty or in another form is refused before any key is looked up."""
    request = sign("GET", V2_URL, by="version 2 presigned")
    others = [piece for piece in request.raw_query.split(b"&") if not piece.startswith(name + b"=")]

    for query in (others, [*others, name + b"=" + value], [*others, name + b"=1", name + b"=1"]):
        with pytest.raises(BadSignature) as caught:
            claim(replace(request, raw_query=b"&".join(query)))
        assert caught.value.reason == "malformed"


def test_version_2_signs_no_chunks_and_takes_no_token() -> None:
    """There is no key to sign chunks with; a token is refused as everywhere."""
    signed = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    with pytest.raises(BadSignature, match="chunks"):
        claim(arrived("PUT", "http://h/b/k?AWSAccessKeyId=a&Expires=1&Signature=" + "A" * 27 + "%3D", signed.items()))

    request = sign("GET", V2_URL, headers={"x-amz-security-token": "abc"}, by="version 2 presigned")
    for arrival in (request, replace(request, headers=((b"Host", b"localhost:8750"),))):
        with pytest.raises(BadSignature) as caught:
            check(arrival)
        assert caught.value.reason == "token"


def test_version_2_takes_a_header_from_the_address_or_the_request() -> None:
    """What the signed address says may be repeated as a header, and not contradicted."""
    request = sign("PUT", "http://h/b/k", headers={"Content-Type": "image/png"}, by="version 2 presigned")
    assert b"content-type=image%2Fpng" in request.raw_query

    assert check(replace(request, headers=((b"Host", b"h"),))).key_id == KEY_ID
    assert check(with_header(request, "Content-Type", " image/png ")).key_id == KEY_ID
    with pytest.raises(BadSignature, match="content-type is one thing") as caught:
        check(with_header(request, "Content-Type", "text/html"))
    assert caught.value.reason == "mismatch"


def test_version_2_signs_no_line_breaks() -> None:
    """One header can never pass for two."""
    request = sign("GET", V2_URL, by="version 2 presigned")

    for changed in (
        with_header(request, "x-amz-meta-a", "b\nx-amz-acl:private"),
        replace(request, raw_query=request.raw_query + b"&x-amz-meta-a=b%0Ac"),
    ):
        with pytest.raises(BadSignature, match="line break"):
            check(changed)


def test_version_2_refuses_what_is_not_utf_8() -> None:
    """What cannot be decoded cannot be signed."""
    request = sign("GET", V2_URL, by="version 2 presigned")

    with pytest.raises(BadSignature, match="UTF-8"):
        check(replace(request, raw_query=request.raw_query + b"&versionId=%FF"))


def test_a_query_is_read_as_it_is_verified() -> None:
    """Order and repetition are kept, a plus is a space, empty pieces are nothing."""
    assert query_pairs(b"") == ()
    assert query_pairs(b"&a=1&&b&=c&a=1+%2B%zz") == ((b"a", b"1"), (b"b", b""), (b"", b"c"), (b"a", b"1 +%zz"))


@given(
    st.lists(st.sampled_from([b"a", b"=", b"&", b"+", b"%2B", b"%26", b"%3D", b"%20", b"%C3%A9", b"%"]), max_size=12)
)
def test_a_query_is_read_as_everybody_reads_it(pieces: list[bytes]) -> None:
    """The standard library's reader of queries gives the same parameters."""
    raw = b"".join(pieces)
    read = parse_qsl(raw.decode(), keep_blank_values=True, errors="surrogateescape")

    assert query_pairs(raw) == tuple((os.fsencode(name), os.fsencode(value)) for name, value in read)


@pytest.mark.parametrize("by", ["botocore", "botocore presigned", "version 2 presigned"])
def test_a_plus_in_a_query_cannot_take_the_place_of_an_encoded_one(by: str) -> None:
    """Decoding an encoded plus on the way would turn it into a space for whoever reads it: refused."""
    request = sign("GET", "http://h/b/k?versionId=a%2Bb", by=by)
    spaced = sign("GET", "http://h/b/k?versionId=a%20b", by=by)

    assert check(replace(spaced, raw_query=spaced.raw_query.replace(b"a%20b", b"a+b"))).key_id == KEY_ID
    with pytest.raises(BadSignature):
        check(replace(request, raw_query=request.raw_query.replace(b"a%2Bb", b"a+b")))


def test_signatures_of_another_millennium() -> None:
    """Dates that no clock shows are refused by time, not by accident."""
    request = sign("GET", URL, at=datetime(1999, 1, 1, tzinfo=UTC))

    with pytest.raises(BadSignature) as caught:
        check(request)

    assert caught.value.reason == "skewed"

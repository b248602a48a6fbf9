"""XML in and out: what is read, what is refused and how, how answers look on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from deconfuse.errors import Invalid, NotBuilt
from deconfuse.gateway.faults import code
from deconfuse.gateway.restxml import MAX_XML_BYTES, escape, header_value, parse, render
from deconfuse.gateway.routing import Call, route

SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def called(method: str, target: str) -> Call:
    """A request to a path and query, without headers."""
    path, _, query = target.encode().partition(b"?")
    return route(method, path, query, [], host="127.0.0.1", domain="localhost")


def deleted(body: str | bytes) -> Any:
    """What DeleteObjects reads of a body."""
    return parse(called("POST", "/b?delete"), body.encode() if isinstance(body, str) else body)["Delete"]


def completed(body: str) -> Any:
    """What CompleteMultipartUpload reads of a body."""
    return parse(called("POST", "/b/k?uploadId=u"), body.encode())["MultipartUpload"]


def test_a_body_is_read_with_and_without_namespace() -> None:
    """Half of the clients declare S3's namespace, some under a prefix, the others none."""
    plain = deleted("<Delete><Object><Key>a</Key></Object></Delete>")

    assert plain == {"Objects": [{"Key": "a"}]}
    assert deleted(f"<Delete {SPACE}><Object><Key>a</Key></Object></Delete>") == plain
    assert deleted('<s:Delete xmlns:s="x"><s:Object><s:Key>a</s:Key></s:Object></s:Delete>') == plain


def test_a_body_is_read_with_blanks_comments_and_references() -> None:
    """Layout means nothing between elements; in a key it is the key; references are resolved."""
    body = "<Delete>\n <Quiet>true</Quiet>\n <Object>\n  <Key> a&#13;&lt;<![CDATA[&]]></Key></Object></Delete>"

    assert deleted(f"<?xml version='1.0'?>\n<!-- x -->{body}") == {"Quiet": True, "Objects": [{"Key": " a\r<&"}]}


def test_the_parts_of_an_upload_are_read_in_order() -> None:
    """Numbers are numbers, ETags keep their quotes, the order is the body's."""
    first = "<Part><PartNumber> 2 </PartNumber><ETag>&quot;x&quot;</ETag></Part>"
    second = "<Part><ETag/><PartNumber>1</PartNumber></Part>"

    assert completed(f"<CompleteMultipartUpload>{first}{second}</CompleteMultipartUpload>") == {
        "Parts": [{"PartNumber": 2, "ETag": '"x"'}, {"ETag": "", "PartNumber": 1}]
    }


def test_ten_thousand_parts_with_checksums_fit() -> None:
    """The largest upload there is can be completed."""
    part = "<Part><ChecksumSHA256>{}</ChecksumSHA256><ETag>&quot;{}&quot;</ETag><PartNumber>{}</PartNumber></Part>"
    parts = "".join(part.format("A" * 44, "e" * 32, n) for n in range(1, 10_001))

    assert len(completed(f"<CompleteMultipartUpload {SPACE}>{parts}</CompleteMultipartUpload>")["Parts"]) == 10_000


def test_a_body_that_is_not_needed_may_be_missing() -> None:
    """CreateBucket has one only outside us-east-1."""
    assert parse(called("PUT", "/b"), b"") == {"Bucket": "b"}


def test_the_region_of_a_new_bucket_may_have_any_name() -> None:
    """Regions here are names, not AWS's list."""
    inner = "<LocationConstraint>here-1</LocationConstraint>"
    body = f"<CreateBucketConfiguration {SPACE}>{inner}</CreateBucketConfiguration>"

    assert parse(called("PUT", "/b"), body.encode())["CreateBucketConfiguration"] == {"LocationConstraint": "here-1"}


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    "<Delete><Object><Key>&b;</Key></Object></Delete>"
)
MALFORMED = {
    "nothing": b"",
    "blank": b"  ",
    "no xml": b"hello",
    "json": b'{"Objects": []}',
    "cut": b"<Delete><Object><Key>a</Key></Object>",
    "two roots": b"<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
    "another root": b"<Remove><Object><Key>a</Key></Object></Remove>",
    "no objects": b"<Delete></Delete>",
    "no key": b"<Delete><Object/></Delete>",
    "key twice": b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
    "an unknown element": b"<Delete><Object><Key>a</Key><OnlyIf>x</OnlyIf></Object></Delete>",
    "an element in a key": b"<Delete><Object><Key>a<b/></Key></Object></Delete>",
    "text between": b"<Delete>x<Object><Key>a</Key></Object></Delete>",
    "no boolean": b"<Delete><Quiet>perhaps</Quiet><Object><Key>a</Key></Object></Delete>",
    "not UTF-8": b"<Delete><Object><Key>\xff</Key></Object></Delete>",
    "a control character": b"<Delete><Object><Key>\x01</Key></Object></Delete>",
    "an undeclared prefix": b"<x:Delete/>",
    "an undeclared entity": b"<Delete><Object><Key>&x;</Key></Object></Delete>",
    "a document type": b"<!DOCTYPE Delete><Delete><Object><Key>a</Key></Object></Delete>",
    "an external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&e;</Key></Object></Delete>',
    "an external document type": b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><Delete/>',
    "a bomb": BOMB.encode(),
    "too deep": b"<Delete>" + b"<Object>" * 5000 + b"</Object>" * 5000 + b"</Delete>",
    "too many": b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
    "too many elements": b"<Delete>" + b"<Object/>" * 100_000 + b"</Delete>",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_the_xml_asked_for_is_malformed(name: str) -> None:
    """400 MalformedXML; no entity is expanded, nothing is fetched, nothing is passed over."""
    with pytest.raises(Invalid) as raised:
        deleted(MALFORMED[name])

    assert code(raised.value) == (400, "MalformedXML")


@pytest.mark.parametrize("text", ["", "x", "1_0", "٣", "1.0", "99999999999999999999"])
def test_a_part_number_is_a_number(text: str) -> None:
    """Only ASCII digits, at most nineteen."""
    with pytest.raises(Invalid):
        completed(f"<CompleteMultipartUpload><Part><PartNumber>{text}</PartNumber></Part></CompleteMultipartUpload>")


def test_a_body_that_is_too_long_has_its_own_code() -> None:
    """Over 2 MiB it is not even looked at."""
    with pytest.raises(Invalid) as raised:
        deleted(b"<" * (MAX_XML_BYTES + 1))

    assert code(raised.value) == (400, "MaxMessageLengthExceeded")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("POST /b?delete", "<Delete><Object><Key>a</Key><Size>3</Size></Object></Delete>"),
        (
            "POST /b/k?uploadId=u",
            "<CompleteMultipartUpload><Part><ChecksumSHA512>x</ChecksumSHA512></Part></CompleteMultipartUpload>",
        ),
        (
            "PUT /b",
            "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>",
        ),
    ],
)
def test_features_asked_for_in_a_body_answer_501(target: str, body: str) -> None:
    """Conditions, checksums and tags that are not built are refused, not forgotten."""
    method, _, where = target.partition(" ")
    with pytest.raises(NotBuilt):
        parse(called(method, where), body.encode())


def test_a_body_nobody_asked_for_is_not_read() -> None:
    """A GET with a body is a GET."""
    assert parse(called("GET", "/b/k"), b"<!DOCTYPE x>") == {"Bucket": "b", "Key": "k"}


def test_a_listing_looks_as_at_s3() -> None:
    """Namespace, order of the model, quotes as references, times to the millisecond, nothing that is None."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)
    answer = render(
        "ListObjectsV2",
        {
            "Name": "b",
            "Prefix": "",
            "KeyCount": 1,
            "MaxKeys": 1000,
            "IsTruncated": False,
            "Delimiter": None,
            "Contents": [{"Key": "a&b", "ETag": '"e"', "Size": 3, "LastModified": moment, "StorageClass": "STANDARD"}],
            "CommonPrefixes": [{"Prefix": "x/"}, {"Prefix": "y/"}],
        },
    )

    assert answer.status == 200
    assert answer.headers == ((b"Content-Type", b"application/xml"),)
    assert answer.body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<ListBucketResult {SPACE}><IsTruncated>false</IsTruncated>"
        "<Contents><Key>a&amp;b</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>"
        "<Name>b</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>"
        "<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>y/</Prefix></CommonPrefixes>"
        "<KeyCount>1</KeyCount></ListBucketResult>"
    )


def test_url_encoding_covers_keys_and_nothing_else() -> None:
    """Keys, prefixes, delimiter and markers are encoded; tokens, names and ETags are not; slashes stay."""
    answer = render(
        "ListObjectsV2",
        {
            "EncodingType": "url",
            "Name": "b c",
            "Prefix": "p q/",
            "Delimiter": " ",
            "StartAfter": "+",
            "NextContinuationToken": "a b",
            "Contents": [{"Key": "é\x01/+", "ETag": '"%"'}],
            "CommonPrefixes": [{"Prefix": "p q/%/"}],
        },
    ).body.decode()

    for expected in ("<Key>%C3%A9%01/%2B</Key>", "<Prefix>p%20q/</Prefix>", "<Delimiter>%20</Delimiter>"):
        assert expected in answer
    for expected in ("<StartAfter>%2B</StartAfter>", "<Name>b c</Name>", "<NextContinuationToken>a b<", "p%20q/%25/<"):
        assert expected in answer


def test_grants_carry_their_type_as_an_attribute() -> None:
    """The one attribute in S3's XML: xsi:type of a grantee."""
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": "1"}, "Permission": "FULL_CONTROL"}]
    root = ET.fromstring(render("GetBucketAcl", {"Owner": {"ID": "1"}, "Grants": grants}).body)
    grantee = root.find(".//{*}Grantee")

    assert root.tag.endswith("AccessControlPolicy")
    assert grantee is not None
    assert grantee.attrib == {"{http://www.w3.org/2001/XMLSchema-instance}type": "CanonicalUser"}


@pytest.mark.parametrize(
    ("operation", "result", "status"),
    [
        ("GetObject", {"ContentLength": 5}, 200),
        ("GetObject", {"ContentLength": 2, "ContentRange": "bytes 0-1/5"}, 206),
        ("HeadObject", {"ContentRange": "bytes 0-1/5"}, 206),
        ("DeleteObject", {}, 204),
        ("DeleteBucket", {}, 204),
        ("AbortMultipartUpload", {}, 204),
        ("PutObject", {"ETag": '"e"'}, 200),
    ],
)
def test_status_and_an_empty_body(operation: str, result: dict[str, Any], status: int) -> None:
    """204 where the model says so, 206 for a range; what has no document has no body."""
    answer = render(operation, result)

    assert (answer.status, answer.body) == (status, b"")


def test_headers_of_an_object() -> None:
    """Dates as RFC 1123 has them, Expires as it was kept, metadata under its prefix, checksums by their names."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC)
    result = {
        "LastModified": moment,
        "Expires": "soon",
        "Metadata": {"a": "1"},
        "ChecksumCRC32": "AAAAAA==",
        "PartsCount": 2,
    }

    assert dict(render("HeadObject", result).headers) == {
        b"Last-Modified": b"Fri, 02 Jan 2026 03:04:05 GMT",
        b"Expires": b"soon",
        b"x-amz-meta-a": b"1",
        b"x-amz-checksum-crc32": b"AAAAAA==",
        b"x-amz-mp-parts-count": b"2",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nSet-Cookie: x", b"a  Set-Cookie: x"),
        ("\x00", b" "),
        ("é", b"\xe9"),
        ("猫", "猫".encode()),
        ("\ud800", b"?"),
    ],
)
def test_no_value_breaks_out_of_its_header(text: str, expected: bytes) -> None:
    """Control characters become blanks; latin-1 where it can be, else UTF-8."""
    assert header_value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<&>\"'", "&lt;&amp;&gt;&quot;'"),
        ("a\r\n\t", "a&#13;\n\t"),
        ("\x01", "&#1;"),
        ("\ufffe", "&#65534;"),
        ("\ud800", "\ufffd"),
    ],
)
def test_text_is_escaped(text: str, expected: str) -> None:
    """Markup and carriage returns as references; so is what XML cannot hold, as S3 writes it."""
    assert escape(text) == expected


def test_a_body_in_utf_16_is_read() -> None:
    """XML lets a document begin with the mark of UTF-16; what it says is the same, refusals included."""
    assert deleted("<Delete><Object><Key>é</Key></Object></Delete>".encode("utf-16")) == {"Objects": [{"Key": "é"}]}
    with pytest.raises(Invalid):
        deleted(BOMB.encode("utf-16"))

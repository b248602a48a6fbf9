"""Requests that nobody should send, made by chance: good ones, changed before they are signed or after.

    rng = seeded("json", 17)                 the same number, the same chances, in every run
    data = FAMILIES["json"](aim, rng)        the bytes of one request, whole or not

What is changed before the signature reaches what stands behind it; what is changed after it must stop there.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from botocore.auth import HmacV1QueryAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from deconfuse.gateway.shapes import operations
from deconfuse.wire.operations import OPERATIONS
from deconfuse.wire.shapes import Shape, load_service
from hostile import Aim, fire, wire
from worlds import BUCKET, manifest_line

SEED = os.environ.get("DECONFUSE_SEED", "7")
"""Chooses the requests; the same seed makes the same ones, but for keys and the time."""

_REKOGNITION = load_service("rekognition")
_HARMLESS = sorted(
    set(OPERATIONS) - {"CreateProjectVersion", "StopProjectVersion", "DeleteProjectVersion", "DeleteProject"}
)
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def seeded(family: str, number: int) -> random.Random:
    """The chances of one request."""
    return random.Random(f"{SEED}/{family}/{number}")


ODD_BYTES = [
    *(b"\x00", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\xff", b"\xed\xa0\x80", b"%00", b"%", b"%zz", b"..", b"/", b"//"),
    *(b"?", b"&", b"=", b"#", b":", b";", b",", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b"<", b">", b"-1", b"0"),
    *(
        b"99999999999999999999",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        "\u202e".encode(),
        "\U0001f600".encode(),
        b"A" * 300,
    ),
]

ODD_TEXTS = [
    *(
        "",
        " ",
        "0",
        "-1",
        "1",
        "null",
        "true",
        "\x00",
        "a\x00b",
        "\ud800",
        "\udfff x",
        "\ufffe",
        "\u202e",
        "\U0001f600",
    ),
    *("é", "e\u0301", "%", "%00", "%2e%2e%2f", "../../etc/passwd", "..", ".", "/", "//", "\\", "a" * 255, "a" * 256),
    *("a" * 3000, "'", '"', "<", "&amp;", "]]>", "${jndi:ldap://x}", "'; DROP TABLE keys; --", "\r\nX: y", "*", "NaN"),
    *("99999999999999999999999", "1e400", "0x10", "arn:aws:rekognition:us-east-1:000000000000:project/x/1", "s3://a/b"),
]

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, 1e-320),
    *([], {}, [[]], [None], {"": None}, [{}] * 50, ["x"] * 300, {"__type": "x"}, {"a": {"b": {"c": []}}}),
    *ODD_TEXTS,
]


def mutated(data: bytes, rng: random.Random, *, most: int = 6) -> bytes:
    """`data` with some bytes changed, dropped, doubled, moved or put in."""
    held = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(held) + 1)
        match rng.randrange(6):
            case 0:
                held[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del held[at : at + rng.choice([1, 1, 2, 8, 40])]
            case 2:
                held[at:at] = held[at : at + rng.choice([1, 8, 60])]
            case 3:
                del held[at:]
            case 4 if held:
                held[at - 1 if at else 0] ^= 1 << rng.randrange(8)
            case _:
                held[at:at] = rng.choice(ODD_BYTES)
    return bytes(held)


def altered(value: Any, rng: random.Random) -> Any:
    """A JSON value with one thing in it replaced, left out, or added."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(sorted(value))
        found = dict(value)
        match rng.randrange(6):
            case 0:
                del found[name]
            case 1:
                found[rng.choice(ODD_TEXTS)] = rng.choice(ODD_VALUES)
            case _:
                found[name] = altered(value[name], rng)
        return found
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], altered(value[at], rng), *value[at + rng.randrange(2) :]]
    if isinstance(value, str) and value and rng.random() < 0.3:
        return mutated(value.encode("utf-8", "surrogatepass"), rng, most=2).decode("utf-8", "replace")
    alike = [odd for odd in ODD_VALUES if type(odd) is type(value)]
    return rng.choice(alike if alike and rng.random() < 0.7 else ODD_VALUES)


def nested(rng: random.Random) -> bytes:
    """JSON of a depth that recursion does not survive, closed or not."""
    depth = rng.choice([50, 500, 5000, 100_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return opening * depth + b"1" + closing * rng.choice([depth, depth, 0, depth - 1])


# Families ------------------------------------------------------------------------------------------------------------


METHODS = [
    *("GET", "PUT", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "FOO", ""),
    *("G\x00T", "PRI", "GET GET", "A" * 70_000),
]

TARGETS = [
    *(
        "/",
        "*",
        "",
        "/photos/a",
        "http://[::1",
        "//",
        "/?",
        "/#a",
        "photos",
        "/\x00",
        "/é",
        "/-/",
        "/metrics",
        "/healthz",
    ),
    *("/-/../healthz", "/%2d/", "ftp://x/", "/ /", "http://127.0.0.1/photos/a", "x:1", "/" + "a" * 8000),
    "/" + "a" * 66_000,
]

VERSIONS = ["HTTP/1.1"] * 3 + ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.", "HTTP/9.9", "HTTP", "", "http/1.1"]


def lines(aim: Aim, rng: random.Random) -> bytes:
    """A first line that is none, or nearly."""
    blank = rng.choice([" ", " ", " ", "  ", "\t", ""])
    first = blank.join([rng.choice(METHODS), rng.choice(TARGETS), rng.choice(VERSIONS)])
    end = rng.choice(["\r\n", "\r\n", "\n", "\r", "\r\n\r\n"])
    more = rng.choice(["", "Content-Length: 3", "Connection: close"])
    return f"{first}{end}Host: {aim.host}\r\n{more}\r\n\r\nabc".encode()


def raw(aim: Aim, rng: random.Random) -> bytes:
    """A good request, changed anywhere after it was signed."""
    goods: list[Callable[[], bytes]] = [
        lambda: aim.request("GET", "/photos?list-type=2&prefix=a"),
        lambda: aim.request("PUT", "/photos/raw", b"hello"),
        lambda: aim.request("POST", "/photos?delete", b"<Delete><Object><Key>a</Key></Object></Delete>"),
        lambda: aim.call("DescribeProjects", b'{"MaxResults": 5}'),
        lambda: aim.call("ListDatasetEntries", json.dumps({"DatasetArn": aim.dataset}).encode()),
        lambda: aim.request("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15", service="sts"),
        lambda: wire("GET", "/metrics", {"Host": aim.host, "Authorization": "Basic " + _base64(b"a:b")}),
        lambda: wire("GET", "/healthz", {"Host": aim.host}),
    ]
    return mutated(rng.choice(goods)(), rng)


def paths(aim: Aim, rng: random.Random) -> bytes:
    """An odd bucket or key, signed as it is."""
    steps = [rng.choice(["photos", "a", "..", ".", "", rng.choice(ODD_TEXTS)]) for _ in range(rng.randint(1, 5))]
    target = "/" + "/".join(quote(step.encode("utf-8", "replace"), safe=rng.choice(["", "./"])) for step in steps)
    if rng.random() < 0.2:
        target = "/photos/" + "".join(f"%{rng.randrange(256):02x}" for _ in range(rng.randint(1, 20)))
    if rng.random() < 0.2:
        target = "/photos/" + quote(
            rng.choice(["a", "é", "/", "\U0001f600"]) * rng.choice([255, 512, 1024, 1025, 9000])
        )
    method = rng.choice(["GET", "PUT", "HEAD", "DELETE", "POST"])
    return aim.request(method, target, b"x" if method == "PUT" else b"")


def queries(aim: Aim, rng: random.Random) -> bytes:
    """Words and parameters of S3 in combinations that it does not know."""
    known = operations().values()
    words = sorted({word for operation in known for word in operation.subresources})
    names = sorted({p.wire for operation in known for p in operation.inputs if p.place == "query"})
    pairs = [
        (rng.choice(rng.choice([words, names, ODD_TEXTS])), rng.choice(["", "2", "url", "1000", rng.choice(ODD_TEXTS)]))
        for _ in range(rng.randint(1, 4))
    ]
    query = urlencode([(name.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for name, text in pairs])
    target = rng.choice(["/", "/photos", "/photos", "/photos/a", "/nobody"])
    method = rng.choice(["GET", "GET", "PUT", "HEAD", "DELETE", "POST"])
    return aim.request(method, f"{target}?{query}", rng.choice([b"", b"", b"x", b"<a/>"]))


NAMED = [
    *("GET /{}", "HEAD /{}", "PUT /{}", "DELETE /{}", "GET /{}/a", "HEAD /{}/a", "PUT /{}/a", "DELETE /{}/a"),
    *("GET /{}?uploads", "GET /{}?versions", "GET /{}?location", "POST /{}/a?uploads", "POST /{}?delete"),
    *("GET /?prefix={}", "GET /?continuation-token={}", "GET /photos?prefix={}&delimiter={}", "GET /photos?marker={}"),
    *("GET /photos?list-type=2&start-after={}", "GET /photos?list-type=2&continuation-token={}"),
    *("GET /photos?versions&key-marker={}&version-id-marker={}", "GET /photos?uploads&key-marker={}&prefix={}"),
    *("GET /photos?uploads&key-marker=a&upload-id-marker={}", "GET /photos/a?versionId={}"),
    *("GET /photos/a?uploadId={}", "DELETE /photos/a?uploadId={}", "POST /photos/a?uploadId={}"),
    "PUT /photos/a?partNumber=1&uploadId={}",
]
"""Requests of S3 in which a bucket, an upload, or a place in a list is named."""


def names(aim: Aim, rng: random.Random) -> bytes:
    """A good request in which a name is odd, as often as not by a NUL."""
    odd = rng.choice(["\x00", "a\x00b", *rng.sample(ODD_TEXTS[1:], 2)])
    sent = base64.b64encode(odd.encode("utf-8", "replace")).decode() if rng.random() < 0.2 else odd
    name = quote(rng.choice(["", "photos"]) + sent, safe="", errors="replace")
    method, _, target = rng.choice(NAMED).replace("{}", name).partition(" ")
    source = {"x-amz-copy-source": f"{name}/a"} if method == "PUT" and rng.random() < 0.5 else {}
    body = b"<Delete><Object><Key>a</Key></Object></Delete>" if method == "POST" else b""
    return aim.request(method, target, body, source)


HEADERS = [
    *(
        "Range",
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Range",
        "x-amz-copy-source",
        "Content-MD5",
        "Expires",
    ),
    *("x-amz-copy-source-range", "x-amz-checksum-crc32", "x-amz-meta-a", "x-amz-decoded-content-length"),
]
"""Headers of S3 that are read."""

VALUES = [
    *("bytes=0-", "bytes=-0", "bytes=9-1", "bytes=0-1,3-4", "bytes=99999999999999999999-", "*", '"', '""', "-1"),
    *("/photos/a", "photos/..", "photos/a?versionId=null", "Thu, 01 Jan 1970 00:00:00 GMT", "AAAAAA=="),
    *("Thu, 32 Foo 99999 99:99:99 GMT", *(text for text in ODD_TEXTS if text.isascii() and text.isprintable())),
]
"""What may stand in them."""

FRAMES = [
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "TE: x", "X"),
    *("Content-Length: 0", "Content-Length: -1", "Content-Length: 99999999999999999999999", "Content-Length: +1"),
    *("Content-Length: 1, 1", "Expect: 100-continue", "Expect: 200-ok", "Upgrade: websocket", "Upgrade: h2c", ": x"),
    *("Connection: upgrade", "Connection: close, keep-alive", "Host: other", "Host:", "X : y", " folded", "\u00e9: x"),
    *("X-Amz-Date: now", "Authorization: AWS4-HMAC-SHA256 Credential=", "X-Amz-Target: x", "X-Amz-Security-Token: x"),
    *("Date: x", "Content-Type: " + "é" * 99, "Cookie: " + "a=b; " * 999),
]
"""Headers that decide how a request is read, and some that decide nothing."""


def headers(aim: Aim, rng: random.Random) -> bytes:
    """Headers of S3 with odd values, signed along; those of HTTP itself put in afterwards."""
    names = {p.wire for op in operations().values() for p in op.inputs if p.place == "header"}
    given = {rng.choice(sorted(names)): rng.choice(VALUES) for _ in range(rng.randint(1, 3))}
    if rng.random() < 0.5:
        given[rng.choice(HEADERS)] = rng.choice(VALUES)
    given = {name: text for name, text in given.items() if name.lower() not in ("content-length", "host")}
    method, target = rng.choice(
        [
            *(("GET", "/photos/a"), ("PUT", "/photos/b"), ("HEAD", "/photos/a"), ("GET", "/photos")),
            *(("PUT", "/photos/c?partNumber=1&uploadId=x"), ("POST", "/photos/a?uploads")),
        ]
    )
    data = aim.request(method, target, b"x" if method == "PUT" else b"", given)
    if rng.random() < 0.4:
        added = "".join(line + "\r\n" for line in rng.sample(FRAMES, rng.randint(1, 2))).encode()
        first, _, rest = data.partition(b"\r\n")
        data = first + b"\r\n" + added + rest
    return data


def floods(aim: Aim, rng: random.Random) -> bytes:
    """Heads around the limit of 64 KB, and far above it; many headers, or long ones."""
    size = rng.choice([30_000, 60_000, 64_000, 65_000, 66_000, 70_000, 200_000, 1_000_000])
    match rng.randrange(4):
        case 0:
            filling = f"X-Long: {'a' * size}\r\n"
        case 1:
            filling = "A: b\r\n" * (size // 6)
        case 2:
            filling = "".join(f"X-{number}: {number}\r\n" for number in range(size // 14))
        case _:
            filling = f"{'X' * size}: a\r\n"
    data = aim.request("GET", "/photos?list-type=2")
    first, _, rest = data.partition(b"\r\n")
    return first + b"\r\n" + filling.encode() + rest


def legal(shape: Shape, aim: Aim, rng: random.Random) -> Any:
    """A JSON value that the model allows, or nearly; ARNs and objects are real ones."""
    known = {
        "ProjectArn": aim.project,
        "DatasetArn": aim.dataset,
        "ProjectVersionArn": aim.version,
        "ResourceArn": rng.choice([aim.project, aim.dataset, aim.version]),
        "S3Bucket": BUCKET,
        "S3ObjectName": rng.choice(["a", "one.png", "one.manifest"]),
        "ProjectPolicyRevisionId": "0123456789abcdef0123456789abcdef",
        "ProjectPolicyDocument": '{"Version":"2012-10-17","Statement":[]}',
    }
    if shape.name in known:
        return known[shape.name]
    if shape.kind == "structure":
        members = shape.members.items()
        return {name: legal(inner, aim, rng) for name, inner in members if name in shape.required or rng.random() < 0.6}
    if shape.kind == "list" and shape.inner is not None:
        return [legal(shape.inner, aim, rng) for _ in range(rng.randint(1, 2))]
    if shape.kind == "map" and shape.inner is not None:
        return {rng.choice(["a", "b c"]): legal(shape.inner, aim, rng)}
    if shape.allowed:
        return rng.choice(sorted(shape.allowed))
    return {"integer": 3, "float": 50.5, "double": 1.5, "boolean": True, "blob": _base64(b"{}"), "timestamp": 1e9}.get(
        shape.kind, f"name-{rng.randrange(50)}"
    )


def spoiled(text: bytes, rng: random.Random) -> bytes:
    """JSON that is no JSON any more, or is so only for some."""
    match rng.randrange(7):
        case 0:
            return nested(rng)
        case 1:
            return text[:-1] + b"," + text[1:]  # each name twice
        case 2:
            return mutated(text, rng)
        case 3:
            return rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"]) + text
        case 4:
            return text.replace(b'"', rng.choice([b'"\\ud800', b'"\\u0000', b'"\xff', b"'"]), 1)
        case 5:
            return b'{"MaxResults": ' + rng.choice([b"9" * 5000, b"1e99999", b"-0", b"NaN", b"Infinity", b"00"]) + b"}"
        case _:
            return rng.choice([b"", b"null", b"[]", b'"x"', b"0", b" " * 5000, b"{" + b'"a":1,' * 30_000 + b'"b":2}'])


def json_bodies(aim: Aim, rng: random.Random) -> bytes:
    """A body of the API, altered before it is signed."""
    operation = rng.choice(_HARMLESS)
    value = legal(_REKOGNITION.operations[operation].input, aim, rng)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        value = altered(value, rng)
    if operation in ("DeleteDataset", "CreateDataset", "CopyProjectVersion") and isinstance(value, dict):
        value = {name: text for name, text in value.items() if text not in (aim.dataset, aim.project)}
    text = json.dumps(value).encode()
    if rng.random() < 0.2:
        text = spoiled(text, rng)
    if rng.random() < 0.03:
        operation = rng.choice(["", "x", "DescribeProjects.x", "DetectLabels", "é", "A" * 3000])
    more = {"Content-Type": rng.choice(["application/json", "text/xml", "", "é"])} if rng.random() < 0.1 else {}
    return aim.call(operation, text, more)


def xml_bodies(aim: Aim, rng: random.Random) -> bytes:
    """XML that is altered before it is signed."""
    delete = b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>"
    complete = (
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"
    )
    create = (
        b"<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>"
    )
    method, target, body = rng.choice(
        [("POST", "/photos?delete", delete), ("POST", "/photos/a?uploadId=x", complete), ("PUT", "/photos", create)]
    )
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
    )
    wrongs = [
        laughs + b"]><Delete><Object><Key>&j;</Key></Object></Delete>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&x;</Key></Object></Delete>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><Delete/>',
        b"<a>" * 100_000,
        b"<a>" * 20_000 + b"</a>" * 20_000,
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * rng.choice([1000, 1001, 20_000]) + b"</Delete>",
        b"<Delete " + b" ".join(b'a%d="b"' % number for number in range(20_000)) + b"/>",
        b"<Delete><Object><Key>" + b"k" * rng.choice([1024, 1025, 1_000_000]) + b"</Key></Object></Delete>",
        b"<Delete><Object><Key>&#0;</Key></Object></Delete>",
        b"<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
        b"<Delete><Object><Key>&#1;</Key></Object></Delete>",
        b'<?xml version="1.1"?><Delete/>',
        b'<?xml version="1.0" encoding="utf-16"?><Delete/>',
        body.decode().encode("utf-16"),
        b"<x:Delete xmlns:x='y'>" + body[8:-9] + b"</x:Delete>",
        b"<Other/>",
        b"<" * 100_000,
        b"",
        b" " * ((2 << 20) + 1),
        nested(rng),
    ]
    return aim.request(method, target, rng.choice(wrongs) if rng.random() < 0.5 else mutated(body, rng))


def framings(aim: Aim, rng: random.Random) -> bytes:
    """Bodies in chunks, with lengths, signatures and trailers that are not right."""
    kind = rng.choice([_UNSIGNED_CHUNKS, _UNSIGNED_CHUNKS, _SIGNED_CHUNKS, _SIGNED_CHUNKS + "-TRAILER", "STREAMING-X"])
    content = rng.randbytes(rng.choice([0, 1, 5, 300]))
    mark = rng.choice(["", f";chunk-signature={'0' * 64}", ";x=y", ";" * 9000]) if kind != _UNSIGNED_CHUNKS else ""
    size = rng.choice([f"{len(content):x}"] * 3 + ["-1", "0x5", "zz", "", "f" * 40, "00000000000005", " 5"])
    trailer = rng.choice(["x-amz-checksum-crc32:AAAAAA==\r\n", "", "x-amz-checksum-crc32:", ":", "a" * 99_999 + "\r\n"])
    last = f"0{mark}\r\n{trailer}\r\n"
    body = f"{size}{mark}\r\n".encode() + content + b"\r\n" + last.encode()
    if rng.random() < 0.4:
        body = mutated(body, rng)
    given = {
        "x-amz-decoded-content-length": rng.choice([str(len(content))] * 3 + ["-1", "x", "99999999999999", "9" * 30]),
        "x-amz-trailer": rng.choice(["x-amz-checksum-crc32", "x-amz-checksum-foo", "a,b", "content-length", ""]),
        "Content-Encoding": rng.choice(["aws-chunked", "gzip", "aws-chunked,gzip"]),
    }
    given = {name: text for name, text in given.items() if rng.random() < 0.9}
    target = rng.choice(["/photos/framed", "/photos/framed", "/photos/framed?partNumber=1&uploadId=x"])
    return aim.request("PUT", target, body, given, payload=kind)


def presigned(aim: Aim, rng: random.Random) -> bytes:
    """An address that is signed, of either version, altered afterwards."""
    method = rng.choice(["GET", "GET", "PUT", "HEAD", "DELETE"])
    request = AWSRequest(method, f"http://{aim.host}/photos/a", params=rng.choice([{}, {"response-expires": "x"}]))
    credentials = Credentials(aim.key_id, aim.secret, rng.choice([None] * 9 + ["token"]))
    seconds = rng.choice([3600] * 9 + [0, -1, 1, 604800, 604801, 10**12])
    if rng.random() < 0.5:
        HmacV1QueryAuth(credentials, expires=seconds).add_auth(request)
    else:
        S3SigV4QueryAuth(credentials, "s3", rng.choice(["us-east-1"] * 4 + ["x"]), expires=seconds).add_auth(request)
    target = str(request.url).removeprefix(f"http://{aim.host}")
    if rng.random() < 0.6:
        target = mutated(target.encode(), rng, most=2).decode("latin-1").replace("\r", "").replace("\n", "")
    if rng.random() < 0.3:
        target += rng.choice(
            ["&", "&&", "&X-Amz-Signature=", "&X-Amz-Expires=1", "&Signature=x", "&AWSAccessKeyId=", "&é"]
        )
    return wire(method, target, {"Host": aim.host, "Content-Length": "0"})


MOMENTS = [
    *("99999999T999999Z", "00000000T000000Z", "20260230T000000Z", "20260101T246060Z", "20260101", "now", "", "-1"),
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 32 Foo 99999 99:99:99 GMT", "9" * 99, "２０２６0101T000000Z", "1e9"),
]
"""When a request might have been signed."""


def signatures(aim: Aim, rng: random.Random) -> bytes:
    """A signature in the header of which one part is something else."""
    api = aim.call("DescribeProjects", b"{}")
    data = rng.choice([aim.request("GET", "/photos/a"), aim.request("PUT", "/photos/signed", b"x"), api])
    parts = [
        *(rb"AWS4-HMAC-SHA256", rb"Credential=", aim.key_id.encode(), rb"/\d{8}/", rb"us-east-1", rb"s3|rekognition"),
        *(rb"aws4_request", rb"SignedHeaders=", rb"host;", rb"x-amz-date", rb", Signature=", rb"Signature=\w+"),
        *(rb"X-Amz-Date: \w+", rb"X-Amz-Content-SHA256: \w+", rb"Authorization: .*"),
    ]
    part = rng.choice(parts)
    name = part.partition(b": ")[0] + b": " if b": " in part else b""
    odd = rng.choice(
        [*MOMENTS, *ODD_TEXTS, "UNSIGNED-PAYLOAD", "AWS " + aim.key_id + ":x", "Basic x", "Bearer x", "AWS4"]
    )
    text = odd.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"")
    return re.sub(part, lambda found: name + rng.choice([text, text, found[0] + text]), data, count=1)


def forms(aim: Aim, rng: random.Random) -> bytes:
    """What is asked of STS, and of services that are not there."""
    pairs = [("Action", rng.choice(["GetCallerIdentity", "GetCallerIdentity", "AssumeRole", *ODD_TEXTS]))]
    pairs += [(rng.choice(["Version", "Action", *ODD_TEXTS]), rng.choice(["2011-06-15", *ODD_TEXTS]))]
    body = urlencode([(name.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for name, text in pairs])
    target = rng.choice(["/", "/", "/?" + body, "/x"])
    sent = rng.choice([body.encode(), body.encode(), b"", mutated(body.encode(), rng), b"a=b&" * 30_000])
    kind = {"Content-Type": rng.choice(["application/x-www-form-urlencoded", "application/json", "x"])}
    service = rng.choice(["sts", "sts", "sts", "ec2", "iam", "x", "rekognition"])
    return aim.request(rng.choice(["POST", "POST", "GET", "PUT"]), target, sent, kind, service=service)


def keys(aim: Aim, rng: random.Random) -> bytes:
    """Objects under keys that are no file names."""
    alphabet = [
        "a",
        "/",
        ".",
        "..",
        " ",
        "\\",
        "\x01",
        "\x7f",
        "é",
        "e\u0301",
        "\u202e",
        "\U0001f600",
        "%",
        "+",
        "?",
        "\n",
    ]
    key = "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40)))
    target = f"/photos/odd/{quote(key)}"
    method = rng.choice(["PUT", "PUT", "GET", "HEAD", "DELETE"])
    return aim.request(method, target, rng.randbytes(20) if method == "PUT" else b"")


def cuts(aim: Aim, rng: random.Random) -> bytes:
    """A good request that ends too early."""
    data = rng.choice(
        [
            lambda: aim.request("PUT", "/photos/cut", rng.randbytes(rng.choice([10, 5000, 3 << 20]))),
            lambda: aim.call("DescribeProjects", b'{"MaxResults": 5}' + b" " * 5000),
            lambda: aim.request("POST", "/photos?delete", b"<Delete><Object><Key>a</Key></Object></Delete>"),
        ]
    )()
    return data[: rng.randrange(1, len(data))]


def line_of_manifest(rng: random.Random) -> bytes:
    """A line of a manifest, altered."""
    value = json.loads(manifest_line(f"{rng.randrange(99)}.png", (rng.choice(["leaf", "sun", "é"]),)))
    for _ in range(rng.randint(0, 3)):
        value = altered(value, rng)
    line = json.dumps(value).encode()
    return spoiled(line, rng) if rng.random() < 0.2 else line


def manifest_of(rng: random.Random) -> bytes:
    """A manifest of some such lines."""
    found = [line_of_manifest(rng) for _ in range(rng.randint(0, 8))]
    whole = rng.choice([b"\n", b"\r\n", b"\n\n", b"\x00"]).join(found)
    return rng.choice([b"\xef\xbb\xbf", b"", b"", b"\xff\xfe"]) + whole


def entries(aim: Aim, rng: random.Random) -> bytes:
    """An update of a dataset with such a manifest."""
    changes = {"GroundTruth": _base64(manifest_of(rng))}
    return aim.call("UpdateDatasetEntries", json.dumps({"DatasetArn": aim.dataset, "Changes": changes}).encode())


def manifests(aim: Aim, rng: random.Random) -> bytes:
    """A dataset of its own from such a manifest, as an object."""
    aim.n_datasets += 1
    name = f"hostile-{aim.n_datasets}"
    put = fire(aim.port, aim.request("PUT", f"/photos/{name}.manifest", manifest_of(rng)))
    assert put.status == 200, put
    project = aim.ask("CreateProject", ProjectName=name)["ProjectArn"]
    source = {"GroundTruthManifest": {"S3Object": {"Bucket": BUCKET, "Name": f"{name}.manifest"}}}
    asked = {"ProjectArn": project, "DatasetType": "TRAIN", "DatasetSource": source}
    return aim.call("CreateDataset", json.dumps(asked).encode())


FAMILIES: dict[str, Callable[[Aim, random.Random], bytes]] = {
    "lines": lines,
    "raw": raw,
    "paths": paths,
    "queries": queries,
    "names": names,
    "headers": headers,
    "floods": floods,
    "json": json_bodies,
    "xml": xml_bodies,
    "framings": framings,
    "presigned": presigned,
    "signatures": signatures,
    "forms": forms,
    "keys": keys,
    "cuts": cuts,
    "entries": entries,
    "manifests": manifests,
}
"""How one request is made, by the name of its kind."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

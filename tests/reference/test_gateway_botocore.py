"""S3's protocol against a second author: what botocore writes we read, what we write botocore reads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence
from hypothesis import given, settings
from hypothesis import strategies as st

from deconfuse import errors
from deconfuse.gateway.faults import CODES, fault
from deconfuse.gateway.refusals import check_headers
from deconfuse.gateway.restxml import Answer, parse, render
from deconfuse.gateway.routing import BUILT, MAX_KEY_BYTES, Call, copy_source, route

MODEL = ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")
STREAMED = {"PutObject", "UploadPart"}
PLAIN = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda k: len(k.encode()) <= MAX_KEY_BYTES)
BUCKETS = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True)
METADATA = st.dictionaries(st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True), PLAIN, min_size=1, max_size=4)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5, minutes=45))])
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=ZONES)
SECONDS = MOMENTS.map(lambda t: t.replace(microsecond=0).astimezone(UTC))
MILLISECONDS = MOMENTS.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000).astimezone(UTC))
RANGES = {"partNumber": (1, 10_000), "max-buckets": (1, 10_000)}


def values(shape: Any, place: str | None) -> st.SearchStrategy[Any]:
    """Values that may stand in a member of this shape, at this place of a request or answer."""
    wire = shape.serialization.get("name")
    match shape.type_name:
        case "string" if wire == "Key" and place == "uri":
            return KEYS
        case "string" if (wire == "Bucket" and place == "uri") or shape.serialization.get("hostLabel"):
            return BUCKETS
        case "string" if shape.enum:
            return st.sampled_from(sorted(shape.enum))
        case "string":
            return PLAIN if place == "header" else WORDS
        case "integer" | "long":
            return st.integers(*RANGES.get(wire, (0, 2**31 - 1)))
        case "boolean":
            return st.booleans()
        case "timestamp" if shape.name == "Expires":
            return SECONDS
        case "timestamp":
            is_rfc = place == "header" and shape.serialization.get("timestampFormat") != "iso8601"
            return SECONDS if is_rfc or shape.serialization.get("timestampFormat") == "rfc822" else MILLISECONDS
        case "map":
            return METADATA
        case "list":
            return st.lists(values(shape.member, place), min_size=1, max_size=3)
    return structures(shape)


def structures(shape: Any, *, left_out: frozenset[str] = frozenset()) -> st.SearchStrategy[dict[str, Any]]:
    """Structures of this shape: whatever is required, some of the rest."""
    fields = {
        name: values(member, member.serialization.get("location"))
        for name, member in shape.members.items()
        if name not in left_out and member.type_name != "blob"
    }
    required = {name: fields[name] for name in shape.required_members if name in fields}
    return st.fixed_dictionaries(required, optional={n: s for n, s in fields.items() if n not in required})


def is_built(member: Any, value: Any) -> bool:
    """Whether a header may have this value here."""
    try:
        check_headers(
            {member.serialization.get("name", "").lower(): str(value).lower() if value is True else str(value)}
        )
    except errors.NotBuilt:
        return False
    return True


def plain(value: Any) -> Any:
    """`value` without what is empty: how a request looks after it was read."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items() if inner not in ({}, [])}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def written(
    operation: str, parameters: Mapping[str, Any]
) -> tuple[str, bytes, bytes, list[tuple[bytes, bytes]], bytes]:
    """What botocore's serializer makes of a request: method, path, query, headers, body."""
    serializer = create_serializer("rest-xml", include_validation=False)
    request = serializer.serialize_to_request(dict(parameters), MODEL.operation_model(operation))
    path, _, words = request["url_path"].partition("?")
    query = "&".join(part for part in (words, percent_encode_sequence(request["query_string"])) if part)
    headers = [(name.encode(), str(value).encode()) for name, value in request["headers"].items()]
    body = request["body"] if isinstance(request["body"], bytes) else b""
    return request["method"], path.encode(), query.encode(), headers, body


def read(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same, read by us."""
    method, path, query, headers, body = written(operation, parameters)
    call = route(method, path, query, headers, host="127.0.0.1:8750", domain="localhost")

    assert call.operation == operation
    return parse(call, body)


@pytest.mark.parametrize("operation", sorted(BUILT))
@given(data=st.data())
def test_what_botocore_writes_is_what_we_read(operation: str, data: st.DataObject) -> None:
    """Every operation, any parameters: path, query, headers and XML come back as they went in."""
    shape = MODEL.operation_model(operation).input_shape
    if shape is None:
        return
    parameters = {
        name: value
        for name, value in data.draw(structures(shape, left_out=frozenset({"MFA"}))).items()
        if is_built(shape.members[name], value)
    }
    if operation == "CreateBucket" and "CreateBucketConfiguration" in parameters:
        parameters["CreateBucketConfiguration"] = {"LocationConstraint": "eu-west-1"}
    if operation == "DeleteObjects":
        for entry in parameters["Delete"]["Objects"]:
            entry.pop("LastModifiedTime", None)
            entry.pop("Size", None)
    if operation == "CompleteMultipartUpload":
        parts = parameters.get("MultipartUpload", {}).get("Parts", [])
        for entry in parts:
            for name in ("SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"):
                entry.pop(f"Checksum{name}", None)
    expected = plain(parameters)
    if "Expires" in expected:
        expected["Expires"] = expected["Expires"].strftime("%a, %d %b %Y %H:%M:%S GMT")

    got = plain(read(operation, parameters))

    assert got == expected | {name: value for name, value in got.items() if name in {"ContentType"} - expected.keys()}


@pytest.mark.parametrize("operation", sorted(set(MODEL.operation_names) - BUILT))
@settings(max_examples=5)
@given(data=st.data())
def test_what_is_not_built_is_recognised(operation: str, data: st.DataObject) -> None:
    """Every other operation of S3 is refused as that operation, whatever its parameters: it never becomes another."""
    if operation == "SelectObjectContent":
        return
    shape = MODEL.operation_model(operation).input_shape
    parameters = data.draw(structures(shape)) if shape else {}
    method, path, query, headers, _ = written(operation, parameters)
    if operation == "ListDirectoryBuckets" and b"max-directory-buckets" not in query:
        query = b"&".join([part for part in (query, b"x-id=ListDirectoryBuckets") if part])

    with pytest.raises(errors.NotBuilt) as refusal:
        route(method, path, query, headers, host="127.0.0.1", domain="localhost")

    same_address = {"GetBucketLifecycle", "GetBucketNotification", "PutBucketLifecycle", "PutBucketNotification"}
    assert operation.removesuffix("Configuration") in str(refusal.value) or operation in same_address


@pytest.mark.parametrize("operation", sorted(BUILT))
@given(data=st.data())
def test_what_we_write_is_what_botocore_reads(operation: str, data: st.DataObject) -> None:
    """Every operation, any result: botocore's parser finds in our answer what the operation gave."""
    model = MODEL.operation_model(operation)
    left_out = frozenset({"EncodingType"})  # encoded keys are decoded by the client, not by its parser
    result = data.draw(structures(model.output_shape, left_out=left_out)) if model.output_shape else {}
    if operation == "GetBucketLocation":
        return  # the client reads this answer by itself; it has a test of its own
    answer = render(operation, result)

    parsed = read_by_botocore(operation, answer)
    parsed.pop("Body", None)
    assert plain(parsed) == plain(result)
    assert answer.status == (206 if result.get("ContentRange") else model.http.get("responseCode", 200))


def read_by_botocore(operation: str, answer: Answer) -> dict[str, Any]:
    """An answer as botocore's parser reads it, without what it adds."""
    model = MODEL.operation_model(operation)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
    response = {"headers": Insensitive(headers), "status_code": answer.status, "body": answer.body}
    parsed: dict[str, Any] = create_parser("rest-xml").parse(response, model.output_shape)
    parsed.pop("ResponseMetadata")
    return parsed


class Insensitive(dict[str, str]):
    """Headers found under any capitals."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


class Raw(io.BytesIO):
    """A body as botocore's HTTP session hands it over."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """The bytes, in one piece."""
        yield self.read()


class Door:
    """A real client whose requests end here: they are read by us, and answered by us with `result` or `error`."""

    def __init__(self, *, style: str = "path") -> None:
        self.client = client_of(style)
        BEHIND[style] = self
        self.result: dict[str, Any] = {}
        self.error: Exception | None = None
        self.content = b""
        self.call: Call | None = None
        self.parameters: dict[str, Any] = {}

    def answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """What stands behind the socket."""
        url = urlsplit(request.url)
        headers = [
            (name.encode(), value if isinstance(value, bytes) else str(value).encode())
            for name, value in request.headers.items()
        ]
        self.call = route(
            request.method, url.path.encode(), url.query.encode(), headers, host=url.netloc, domain="localhost"
        )
        body = request.body if isinstance(request.body, bytes) else b""
        self.parameters = parse(self.call, body) if self.call.body == "xml" else dict(self.call.parameters)
        if self.error is not None:
            reply = fault(self.error, method=request.method, resource=url.path, request_id="ABC123")
        else:
            reply = render(self.call.operation, self.result)
        content = reply.body or (self.content if request.method == "GET" else b"")
        texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
        return AWSResponse(request.url, reply.status, texts | {"Content-Length": str(len(content))}, Raw(content))


BEHIND: dict[str, Door] = {}
"""Who answers the client of each style: the door that was opened last."""


@cache
def client_of(style: str) -> Any:
    """A client that never reaches the network; made once, for making one takes longer than a test."""
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    config = Config(s3={"addressing_style": style}, retries={"total_max_attempts": 1}, signature_version="s3v4")
    client = session.create_client("s3", region_name="us-east-1", endpoint_url="http://localhost:8750", config=config)
    client.meta.events.register("before-send.s3.*", lambda **kw: BEHIND[style].answer(**kw))
    return client


CALLS: dict[str, Callable[[Any], Any]] = {
    "ListBuckets": lambda s3: s3.list_buckets(),
    "CreateBucket": lambda s3: s3.create_bucket(Bucket="bbb"),
    "HeadBucket": lambda s3: s3.head_bucket(Bucket="bbb"),
    "DeleteBucket": lambda s3: s3.delete_bucket(Bucket="bbb"),
    "GetBucketLocation": lambda s3: s3.get_bucket_location(Bucket="bbb"),
    "GetBucketVersioning": lambda s3: s3.get_bucket_versioning(Bucket="bbb"),
    "GetBucketAcl": lambda s3: s3.get_bucket_acl(Bucket="bbb"),
    "DeletePublicAccessBlock": lambda s3: s3.delete_public_access_block(Bucket="bbb"),
    "ListObjects": lambda s3: s3.list_objects(Bucket="bbb", Prefix="a b/ü"),
    "ListObjectsV2": lambda s3: s3.list_objects_v2(Bucket="bbb", StartAfter="+&="),
    "ListObjectVersions": lambda s3: s3.list_object_versions(Bucket="bbb"),
    "PutObject": lambda s3: s3.put_object(Bucket="bbb", Key="k", Body=b"x", Metadata={"a": "1"}),
    "GetObject": lambda s3: s3.get_object(Bucket="bbb", Key="k", Range="bytes=0-3"),
    "HeadObject": lambda s3: s3.head_object(Bucket="bbb", Key="k", PartNumber=3),
    "DeleteObject": lambda s3: s3.delete_object(Bucket="bbb", Key="k"),
    "DeleteObjects": lambda s3: s3.delete_objects(Bucket="bbb", Delete={"Objects": [{"Key": "k\r<"}], "Quiet": True}),
    "CopyObject": lambda s3: s3.copy_object(Bucket="bbb", Key="k", CopySource={"Bucket": "ccc", "Key": "a b+ü"}),
    "GetObjectAcl": lambda s3: s3.get_object_acl(Bucket="bbb", Key="k"),
    "CreateMultipartUpload": lambda s3: s3.create_multipart_upload(Bucket="bbb", Key="k", ContentType="image/png"),
    "UploadPart": lambda s3: s3.upload_part(Bucket="bbb", Key="k", UploadId="u", PartNumber=2, Body=b"x"),
    "UploadPartCopy": lambda s3: s3.upload_part_copy(
        Bucket="bbb", Key="k", UploadId="u", PartNumber=2, CopySource="ccc/x", CopySourceRange="bytes=0-1"
    ),
    "CompleteMultipartUpload": lambda s3: s3.complete_multipart_upload(
        Bucket="bbb", Key="k", UploadId="u", MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"e"'}]}
    ),
    "AbortMultipartUpload": lambda s3: s3.abort_multipart_upload(Bucket="bbb", Key="k", UploadId="u"),
    "ListParts": lambda s3: s3.list_parts(Bucket="bbb", Key="k", UploadId="u", PartNumberMarker=7),
    "ListMultipartUploads": lambda s3: s3.list_multipart_uploads(Bucket="bbb", EncodingType="url"),
}


def test_every_operation_is_called() -> None:
    """The calls of the client name each operation that is built."""
    assert CALLS.keys() == BUILT


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("operation", sorted(BUILT))
def test_the_client_reaches_its_operation(operation: str, style: str) -> None:
    """A real client, by path and by host name: the operation, bucket and key that it means."""
    door = Door(style=style)

    CALLS[operation](door.client)

    assert door.call is not None
    assert door.call.operation == operation
    assert door.call.bucket == (None if operation == "ListBuckets" else "bbb")
    assert door.call.key in {None, "k"}
    assert door.call.body == ("bytes" if operation in STREAMED else door.call.body)


def test_odd_keys_of_a_listing_arrive_whole() -> None:
    """The client asks for url encoding by itself: control characters, blanks, percent signs, pluses, emoji."""
    keys = ["a b", "a+b", "%41", "\x00", "\n\r", "é/ü", "😀", "..", "a//b", "<&>\"'", "\ufffe", "~*-_."]
    door = Door()
    door.result = {"Name": "bbb", "EncodingType": "url", "Contents": [{"Key": key, "Size": 1} for key in keys]}

    listing = door.client.list_objects_v2(Bucket="bbb")

    assert door.parameters["EncodingType"] == "url"
    assert [entry["Key"] for entry in listing["Contents"]] == keys


def test_keys_that_the_client_deletes_arrive_whole() -> None:
    """The XML of DeleteObjects, with carriage return, blanks and markup in a key."""
    keys = ["a\rb", "a\nb", " a ", "<Key>", "&amp;", "]]>", "é😀"]
    door = Door()

    door.client.delete_objects(Bucket="bbb", Delete={"Objects": [{"Key": key} for key in keys]})

    assert [entry["Key"] for entry in door.parameters["Delete"]["Objects"]] == keys


def test_metadata_in_any_language_comes_back() -> None:
    """The bytes of a header go out as they came in, also where they are no ASCII."""
    raw = "Zürich 猫".encode()
    call = route("PUT", b"/b/k", b"", [(b"X-Amz-Meta-Place", raw)], host="h", domain="")

    answer = render("HeadObject", {"Metadata": call.parameters["Metadata"]})

    assert (b"x-amz-meta-place", raw) in answer.headers


@pytest.mark.parametrize(("region", "expected"), [("eu-west-1", "eu-west-1"), ("", None)])
def test_the_location_of_a_bucket(region: str, expected: str | None) -> None:
    """The client reads the region from the root's own text; us-east-1 is written as nothing."""
    door = Door()
    door.result = {"LocationConstraint": region}

    assert door.client.get_bucket_location(Bucket="bbb")["LocationConstraint"] == expected


def test_copied_from_where_the_client_says() -> None:
    """The client quotes the copy source; we find bucket, key and version in it again."""
    door = Door()
    source = {"Bucket": "ccc", "Key": "a b+ü?%/x", "VersionId": "null"}
    door.client.copy_object(Bucket="bbb", Key="k", CopySource=source)

    assert copy_source(door.parameters["CopySource"]) == ("ccc", "a b+ü?%/x", "null")


FAULTS = [
    (errors.NotFound("bucket", "bbb"), 404, "NoSuchBucket"),
    (errors.NotFound("key", "k"), 404, "NoSuchKey"),
    (errors.NotFound("upload", "u"), 404, "NoSuchUpload"),
    (errors.AlreadyExists("bucket", "bbb"), 409, "BucketAlreadyOwnedByYou"),
    (errors.InUse("the bucket bbb is not empty"), 409, "BucketNotEmpty"),
    (errors.Unmet("If-Match", etag="e"), 412, "PreconditionFailed"),
    (errors.Unmet("If-None-Match", etag="e"), 304, "304"),
    (errors.Invalid("range", "no byte"), 416, "InvalidRange"),
    (errors.Damaged("checksum", "another"), 400, "BadDigest"),
    (errors.Damaged("the object", "another"), 400, "BadDigest"),
    (errors.Damaged("the body", "its CRC32 differs"), 400, "BadDigest"),
    (errors.Damaged("body", "3 bytes are missing"), 400, "IncompleteBody"),
    (errors.NotSigned("no signature"), 403, "AccessDenied"),
    (errors.BadSignature("mismatch", "altered"), 403, "SignatureDoesNotMatch"),
    (errors.BadSignature("skewed", "clocks"), 403, "RequestTimeTooSkewed"),
    (errors.BadSignature("body", "altered"), 400, "XAmzContentSHA256Mismatch"),
    (errors.UnknownKey("AKID"), 403, "InvalidAccessKeyId"),
    (errors.NotBuilt("operation", "not implemented"), 501, "NotImplemented"),
    (errors.TooFast("slower"), 503, "SlowDown"),
    (errors.Unavailable("the disk is full"), 503, "ServiceUnavailable"),
    (RuntimeError("secret"), 500, "InternalError"),
]


@pytest.mark.parametrize(("error", "status", "word"), FAULTS, ids=lambda value: str(value)[:30])
def test_the_client_understands_errors(error: Exception, status: int, word: str) -> None:
    """Each error reaches the caller as ClientError with S3's code, the status and our request id."""
    door = Door()
    door.error = error

    with pytest.raises(ClientError) as raised:
        door.client.get_object(Bucket="bbb", Key="k")

    assert raised.value.response["Error"]["Code"] == word
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert raised.value.response["ResponseMetadata"]["RequestId"] == "ABC123"


def test_modelled_errors_have_their_classes() -> None:
    """NoSuchKey, NoSuchBucket and NoSuchUpload arrive as the exceptions of the client."""
    door = Door()
    for kind, name in (("key", "NoSuchKey"), ("bucket", "NoSuchBucket"), ("upload", "NoSuchUpload")):
        door.error = errors.NotFound(kind, "x")
        with pytest.raises(getattr(door.client.exceptions, name)):
            door.client.get_object(Bucket="bbb", Key="k")


def test_every_error_has_a_row() -> None:
    """The gateway's table and the tree of errors name the same errors."""
    tree: list[type[errors.DeconfuseError]] = []
    waiting = errors.DeconfuseError.__subclasses__()
    while waiting:
        kind = waiting.pop()
        tree.append(kind)
        waiting.extend(kind.__subclasses__())

    assert set(CODES) == set(tree)

"""Requests to operations: the most specific one, never another; addresses, queries and headers, good and bad."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deconfuse.errors import DeconfuseError, Invalid, NotBuilt
from deconfuse.gateway.faults import code
from deconfuse.gateway.routing import BUILT, Call, address, copy_source, route, virtual_bucket
from deconfuse.gateway.shapes import operations

PRESIGNED = b"X-Amz-Signature=00&X-Amz-Algorithm=AWS4-HMAC-SHA256"


def asked(method: str, path: bytes, query: bytes = b"", host: str = "localhost:8750", **headers: str) -> Call:
    """A request to a gateway at localhost; a header's name is written with underscores."""
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return route(method, path, query, pairs, host=host, domain="localhost")


def refused(method: str, path: bytes, query: bytes = b"", host: str = "localhost:8750", **headers: str) -> Any:
    """Status, code and field of the refusal of such a request."""
    with pytest.raises(DeconfuseError) as raised:
        asked(method, path, query, host, **headers)
    return *code(raised.value, method=method), getattr(raised.value, "field", None)


ADDRESSES = [
    ("GET", b"/", b"", "ListBuckets"),
    ("PUT", b"/b", b"", "CreateBucket"),
    ("PUT", b"/b/", b"", "CreateBucket"),
    ("HEAD", b"/b", b"", "HeadBucket"),
    ("DELETE", b"/b", b"", "DeleteBucket"),
    ("GET", b"/b", b"location", "GetBucketLocation"),
    ("GET", b"/b", b"location=", "GetBucketLocation"),
    ("GET", b"/b", b"versioning", "GetBucketVersioning"),
    ("GET", b"/b", b"acl", "GetBucketAcl"),
    ("GET", b"/b/k", b"acl", "GetObjectAcl"),
    ("DELETE", b"/b", b"publicAccessBlock", "DeletePublicAccessBlock"),
    ("GET", b"/b", b"", "ListObjects"),
    ("GET", b"/b", b"prefix=x&unknown=1", "ListObjects"),
    ("GET", b"/b", b"list-type=2&x-id=ListObjectsV2", "ListObjectsV2"),
    ("GET", b"/b", b"versions", "ListObjectVersions"),
    ("GET", b"/b", b"uploads", "ListMultipartUploads"),
    ("POST", b"/b", b"delete", "DeleteObjects"),
    ("PUT", b"/b/k", b"", "PutObject"),
    ("PUT", b"/b/k", b"x-id=PutObject", "PutObject"),
    ("GET", b"/b/k", b"", "GetObject"),
    ("GET", b"/b/k", b"partNumber=2", "GetObject"),
    ("GET", b"/b/k", b"id=7&location2=1", "GetObject"),
    ("HEAD", b"/b/k", b"", "HeadObject"),
    ("DELETE", b"/b/k", b"", "DeleteObject"),
    ("POST", b"/b/k", b"uploads", "CreateMultipartUpload"),
    ("POST", b"/b/k", b"uploadId=u", "CompleteMultipartUpload"),
    ("DELETE", b"/b/k", b"uploadId=u", "AbortMultipartUpload"),
    ("GET", b"/b/k", b"uploadId=u", "ListParts"),
    ("PUT", b"/b/k", b"uploadId=u&partNumber=1", "UploadPart"),
]


@pytest.mark.parametrize(("method", "path", "query", "operation"), ADDRESSES)
def test_an_address_means_its_operation(method: str, path: bytes, query: bytes, operation: str) -> None:
    """Method, depth and query decide; what S3 does not know in a query is passed over."""
    assert asked(method, path, query).operation == operation


def test_a_copy_is_known_by_its_header() -> None:
    """x-amz-copy-source makes a put a copy, with part number and upload the copy of a part."""
    assert asked("PUT", b"/b/k", x_amz_copy_source="/a/b").operation == "CopyObject"
    assert asked("PUT", b"/b/k", b"uploadId=u&partNumber=1", x_amz_copy_source="/a/b").operation == "UploadPartCopy"


def test_all_that_is_built_exists() -> None:
    """Every operation said to be built is one of S3's."""
    assert operations().keys() >= BUILT


NOT_BUILT = [
    ("GET", b"/b", b"policy"),
    ("GET", b"/b", b"policy&list-type=2"),
    ("PUT", b"/b", b"acl"),
    ("PUT", b"/b", b"versioning"),
    ("DELETE", b"/b", b"policy"),
    ("DELETE", b"/b/k", b"tagging"),
    ("PUT", b"/b/k", b"tagging"),
    ("GET", b"/b/k", b"torrent"),
    ("GET", b"/b/k", b"attributes"),
    ("GET", b"/b", b"analytics"),
    ("GET", b"/b", b"analytics&id=7"),
    ("PUT", b"/b", b"analytics"),
    ("POST", b"/b/k", b"select&select-type=2"),
    ("POST", b"/b/k", b"restore"),
    ("PUT", b"/b/k", b"renameObject"),
    ("GET", b"/", b"x-id=ListDirectoryBuckets"),
    ("GET", b"/", b"max-directory-buckets=3"),
    ("POST", b"/b", b""),
    ("POST", b"/WriteGetObjectResponse", b""),
]


@pytest.mark.parametrize(("method", "path", "query"), NOT_BUILT)
def test_what_is_not_built_answers_501(method: str, path: bytes, query: bytes) -> None:
    """An operation of S3 that is missing here is never taken for another that stands at the same address."""
    status, word, _ = refused(method, path, query)
    is_conflict = query == b"policy&list-type=2"

    assert (status, word) == ((501, "NotImplemented") if not is_conflict else (status, word))
    assert status in {400, 501}


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("DELETE", b"/b", b"acl"),
        ("DELETE", b"/b", b"location"),
        ("DELETE", b"/b/k", b"acl"),
        ("PUT", b"/b", b"uploads"),
        ("PUT", b"/b/k", b"delete"),
        ("GET", b"/b/k", b"versions"),
        ("HEAD", b"/b/k", b"acl"),
        ("HEAD", b"/", b""),
        ("POST", b"/b/k", b""),
        ("PATCH", b"/b/k", b""),
        ("BREW", b"/", b""),
    ],
)
def test_no_word_of_s3_is_passed_over(method: str, path: bytes, query: bytes) -> None:
    """`DELETE /b?acl` must not delete the bucket: S3 has no such operation, so the method is not allowed."""
    assert refused(method, path, query)[:2] == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("method", "path", "query", "field"),
    [
        ("PUT", b"/b/k", b"partNumber=1", "partNumber"),
        ("PUT", b"/b/k", b"uploadId=u", "uploadId"),
        ("HEAD", b"/b/k", b"uploadId=u", "uploadId"),
        ("GET", b"/b", b"list-type=1", "list-type"),
        ("GET", b"/b", b"acl&location", "location"),
        ("GET", b"/b", b"uploads&versions", "versions"),
        ("GET", b"/b", b"prefix=a&prefix=b", "query"),
        ("GET", b"/b", b"max-keys=-1", "max-keys"),
        ("GET", b"/b", b"max-keys=1_0", "max-keys"),
        ("GET", b"/b", b"max-keys=2147483648", "max-keys"),
        ("GET", b"/b", b"max-keys=%D9%A1", "max-keys"),
        ("GET", b"/b", b"max-keys=x", "max-keys"),
        ("GET", b"/b", b"encoding-type=rot13", "encoding-type"),
        ("GET", b"/b", b"list-type=2&fetch-owner=maybe", "fetch-owner"),
        ("PUT", b"/b/k", b"uploadId=u&partNumber=0", "partNumber"),
        ("PUT", b"/b/k", b"uploadId=u&partNumber=10001", "partNumber"),
        ("GET", b"/b/k", b"partNumber=0", "partNumber"),
        ("GET", b"/", b"max-buckets=0", "max-buckets"),
        ("GET", b"/b/k", b"response-content-type=a%0D%0Ab", "response-content-type"),
        ("GET", b"/b/k", b"response-expires=tomorrow", "response-expires"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_named(method: str, path: bytes, query: bytes, field: str) -> None:
    """400 InvalidArgument, and the parameter's name."""
    assert refused(method, path, query) == (400, "InvalidArgument", field)


def test_parameters_have_their_types() -> None:
    """Integers, booleans, dates and lists are what the model says; an empty number counts as absent."""
    call = asked(
        "GET",
        b"/b",
        b"list-type=2&max-keys=7&fetch-owner=true&prefix=a+b%2B&start-after=",
        x_amz_optional_object_attributes="RestoreStatus",
    )
    dated = asked("GET", b"/b/k", if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT", range="bytes=0-1")

    assert call.parameters == {
        "Bucket": "b",
        "MaxKeys": 7,
        "FetchOwner": True,
        "Prefix": "a b+",
        "StartAfter": "",
        "OptionalObjectAttributes": ["RestoreStatus"],
    }
    assert dated.parameters["IfModifiedSince"] == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert dated.parameters["Range"] == "bytes=0-1"
    assert "MaxKeys" not in asked("GET", b"/b", b"max-keys=").parameters


def test_a_date_that_cannot_be_read_is_no_condition() -> None:
    """RFC 9110 has it ignored; other dates that cannot be read are refused."""
    assert "IfModifiedSince" not in asked("GET", b"/b/k", if_modified_since="yesterday").parameters


def test_expires_is_kept_as_it_came() -> None:
    """S3 gives the header back, date or not."""
    assert asked("PUT", b"/b/k", expires="soon").parameters["Expires"] == "soon"


def test_a_choice_may_be_spelled_in_other_capitals() -> None:
    """Some clients write algorithms in lower case."""
    assert asked("PUT", b"/b/k", x_amz_sdk_checksum_algorithm="crc32").parameters["ChecksumAlgorithm"] == "CRC32"


def test_the_framing_of_a_body_is_no_encoding_of_the_object() -> None:
    """aws-chunked is taken out of Content-Encoding, the rest is kept."""
    assert asked("PUT", b"/b/k", content_encoding="aws-chunked, gzip").parameters["ContentEncoding"] == "gzip"
    assert "ContentEncoding" not in asked("PUT", b"/b/k", content_encoding="aws-chunked").parameters


def test_repeated_headers_are_joined() -> None:
    """Two headers of one name are one, with a comma: RFC 9110, section 5.3."""
    pairs = [(b"X-Amz-Meta-A", b"1"), (b"x-amz-meta-a", b" 2 "), (b"x-amz-meta-", b"nothing")]

    assert route("PUT", b"/b/k", b"", pairs, host="h", domain="").parameters["Metadata"] == {"a": "1,2"}


@pytest.mark.parametrize("signed", [PRESIGNED, b"AWSAccessKeyId=A&Signature=B&Expires=1"])
def test_a_presigned_address_may_carry_headers(signed: bytes) -> None:
    """Clients of version 2 and the JavaScript SDK move x-amz-* into the query; a real header counts more."""
    query = signed + b"&x-amz-meta-a=caf%C3%A9&content-type=image/png&x-amz-storage-class=STANDARD"
    call = asked("PUT", b"/b/k", query, x_amz_storage_class="STANDARD_IA")

    assert call.parameters["Metadata"] == {"a": "café".encode().decode("latin-1")}
    assert call.parameters["ContentType"] == "image/png"
    assert call.parameters["StorageClass"] == "STANDARD_IA"


def test_only_a_presigned_address_may_carry_headers() -> None:
    """Without a signature in the query, x-amz-* there means nothing: it makes no copy."""
    assert asked("PUT", b"/b/k", b"x-amz-copy-source=/a/b").operation == "PutObject"
    assert asked("PUT", b"/b/k", PRESIGNED + b"&x-amz-copy-source=/a/b").operation == "CopyObject"


@pytest.mark.parametrize("query", [b"x-amz-meta-a=%0D%0Ax: y", b"x-amz-meta-%0Ax=1", b"x-amz-acl=a%00"])
def test_a_header_in_the_query_cannot_break_the_answer(query: bytes) -> None:
    """Control characters in what stands for a header are refused."""
    assert refused("PUT", b"/b/k", PRESIGNED + b"&" + query)[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_acl": "public-read"},
        {"x_amz_grant_read": "id=1"},
        {"x_amz_tagging": "a=b"},
        {"x_amz_tagging_directive": "REPLACE"},
        {"x_amz_object_lock_mode": "GOVERNANCE"},
        {"x_amz_object_lock_legal_hold": "ON"},
        {"x_amz_server_side_encryption": "aws:kms"},
        {"x_amz_server_side_encryption_customer_algorithm": "AES256"},
        {"x_amz_server_side_encryption_aws_kms_key_id": "k"},
        {"x_amz_copy_source_server_side_encryption_customer_key": "k"},
        {"x_amz_website_redirect_location": "/x"},
        {"x_amz_checksum_sha512": "x"},
        {"x_amz_sdk_checksum_algorithm": "XXHASH64"},
        {"x_amz_write_offset_bytes": "5"},
        {"x_amz_storage_class": "GLACIER"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_features_that_are_not_built_answer_501(headers: dict[str, str]) -> None:
    """Encryption by keys of one's own, public objects, tags, locks: refused, never passed over in silence."""
    assert refused("PUT", b"/b/k", **headers)[:2] == (501, "NotImplemented")


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_acl": "private"},
        {"x_amz_acl": "bucket-owner-full-control"},
        {"x_amz_server_side_encryption": "AES256"},
        {"x_amz_server_side_encryption_bucket_key_enabled": "false"},
        {"x_amz_object_lock_legal_hold": "OFF"},
        {"x_amz_tagging": ""},
        {"x_amz_checksum_crc64nvme": "x"},
        {"x_amz_something_new": "x"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_switches_that_are_off_are_let_through(headers: dict[str, str]) -> None:
    """What asks for nothing that is missing is no reason to refuse."""
    assert asked("PUT", b"/b/k", **headers).operation == "PutObject"


def test_an_acl_that_s3_does_not_know_is_invalid() -> None:
    """Nothing is missing here: the request is wrong at S3 too."""
    assert refused("PUT", b"/b/k", x_amz_acl="everyone") == (400, "InvalidArgument", "x-amz-acl")
    assert refused("PUT", b"/b/k", x_amz_storage_class="DRAWER")[1] == "InvalidStorageClass"


PATHS = [
    (b"/", (None, None)),
    (b"/b", ("b", None)),
    (b"/b/", ("b", None)),
    (b"/b//", ("b", "/")),
    (b"/b/a//b/", ("b", "a//b/")),
    (b"/b/%2e%2e/%2E", ("b", "../.")),
    (b"/b/../x", ("b", "../x")),
    (b"/b/a+b%2B%20%25", ("b", "a+b+ %")),
    (b"/b/%00%0A%F0%9F%98%80", ("b", "\x00\n😀")),
    (b"/b/" + b"a" * 1024, ("b", "a" * 1024)),
    (b"/b%2Fk", ("b/k", None)),
]


@pytest.mark.parametrize(("path", "expected"), PATHS)
def test_a_path_names_bucket_and_key(path: bytes, expected: tuple[str | None, str | None]) -> None:
    """The first step is the bucket; the rest is the key, dots, slashes and all."""
    assert address(path, host="127.0.0.1:8750", domain="localhost") == expected


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("b.localhost:8750", "b"),
        ("B.LOCALHOST", "b"),
        ("my.photos.localhost.", "my.photos"),
        ("localhost:8750", None),
        ("notlocalhost", None),
        (".localhost", None),
        ("127.0.0.1", None),
        ("[::1]:8750", None),
        ("", None),
        ("b.example.com", None),
    ],
)
def test_a_host_name_names_a_bucket(host: str, bucket: str | None) -> None:
    """Below the domain the first part is the bucket, and the whole path is the key."""
    assert virtual_bucket(host, "localhost") == bucket
    if bucket:
        assert address(b"/a/b", host=host, domain="localhost") == (bucket, "a/b")
        assert address(b"/", host=host, domain="localhost") == (bucket, None)


def test_without_a_domain_every_path_names_its_bucket() -> None:
    """An empty domain switches host names off."""
    assert virtual_bucket("b.localhost", "") is None


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (b"", "InvalidURI"),
        (b"*", "InvalidURI"),
        (b"http://h/b", "InvalidURI"),
        (b"/b/%", "InvalidURI"),
        (b"/b/%2", "InvalidURI"),
        (b"/b/%zz", "InvalidURI"),
        (b"/b/%ff", "InvalidURI"),
        (b"/b/%ED%A0%80", "InvalidURI"),
        (b"/b/\xff", "InvalidURI"),
        (b"//k", "InvalidBucketName"),
        (b"/b/" + b"a" * 1025, "KeyTooLongError"),
        (b"/b/" + b"%C3%A9" * 513, "KeyTooLongError"),
    ],
)
def test_a_path_that_is_none_is_refused(path: bytes, word: str) -> None:
    """Broken escapes, bytes that are no UTF-8, keys over 1,024 bytes."""
    assert refused("GET", path)[:2] == (400, word)


@pytest.mark.parametrize("query", [b"prefix=%ff", b"prefix=\xff", b"&".join(b"a%d=1" % i for i in range(300))])
def test_a_query_that_is_none_is_refused(query: bytes) -> None:
    """No UTF-8, not encoded, or too many parameters."""
    assert refused("GET", b"/b", query)[:2] == (400, "InvalidURI")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/b/k", ("b", "k", None)),
        ("b/a%20b/c+d", ("b", "a b/c+d", None)),
        ("b/k?versionId=null", ("b", "k", "null")),
        ("/b/%3FversionId%3D1", ("b", "?versionId=1", None)),
        ("b/%E2%82%AC", ("b", "€", None)),
    ],
)
def test_a_copy_source_is_read(text: str, expected: tuple[str, str, str | None]) -> None:
    """With or without a leading slash; only a plain question mark begins the version."""
    assert copy_source(text) == expected


@pytest.mark.parametrize(
    "text", ["", "/", "b", "b/", "/b/", "//k", "b/%zz", "b/%ff", "arn:aws:s3:eu:1:accesspoint/x/object/k"]
)
def test_a_copy_source_that_is_none_is_refused(text: str) -> None:
    """A bucket and a key are needed."""
    with pytest.raises(Invalid):
        copy_source(text)


def test_a_form_of_a_browser_is_named() -> None:
    """POST on a bucket is no operation of the model, but a feature of S3."""
    with pytest.raises(NotBuilt, match="form"):
        asked("POST", b"/b")

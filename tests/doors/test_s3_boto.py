"""The gateway as boto3 meets it, over a socket: objects, listings, transfers, presigned addresses, both styles, TLS."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from deconfuse.service import keys
from deconfuse.service.objects import buckets
from houses import make_house, now_utc
from secure import authority, served_securely
from serving import Service

IMAGE = bytes(range(256)) * 400
BIG = os.urandom(1 << 20) * 17
IN_PARTS = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20, max_concurrency=4)
ODD_KEYS = (
    *("a", "a/", "a/b", "a//b", "/lead", "..", "../../etc/passwd", "./x", "a/../b", "tab\tkey", "new\nline"),
    *("plus+and space", "100%", "%2F", "é/ü", "\U0001f600", "q?x=1&y", "#hash", "semi;colon", "*", "\x01", "x" * 1024),
    "/".join(["deep"] * 200),
)


@pytest.fixture
def client(service: Service) -> Any:
    """A client, and a bucket "photos"."""
    made = service.client("s3")
    made.create_bucket(Bucket="photos")
    return made


@pytest.fixture(params=["http", "https"])
def any_client(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client with a bucket "photos", over plain HTTP and over TLS, where it streams its bodies in chunks."""
    if request.param == "http":
        yield request.getfixturevalue("client")
        return
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority(tmp_path)))
    with served_securely(make_house(tmp_path / "house", now=now_utc), tmp_path) as opened:
        made = opened.client("s3")
        made.create_bucket(Bucket="photos")
        yield made
        assert opened.doors.faults == []


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    """Status and code of an error."""
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def read(client: Any, key: str, **more: Any) -> bytes:
    """The bytes of an object."""
    body: bytes = client.get_object(Bucket="photos", Key=key, **more)["Body"].read()
    return body


def test_an_object_comes_back(any_client: Any) -> None:
    """Bytes, type and metadata, with the ETag and the checksum that were answered."""
    told = any_client.put_object(
        Bucket="photos", Key="train/cat 1.jpg", Body=IMAGE, ContentType="image/jpeg", Metadata={"camera": "x"}
    )
    found = any_client.get_object(Bucket="photos", Key="train/cat 1.jpg", ChecksumMode="ENABLED")

    assert found["Body"].read() == IMAGE
    assert (found["ContentType"], found["Metadata"]) == ("image/jpeg", {"camera": "x"})
    assert found["ETag"] == told["ETag"] == f'"{hashlib.md5(IMAGE).hexdigest()}"'
    assert found["ChecksumCRC32"] == told["ChecksumCRC32"]
    assert any_client.head_object(Bucket="photos", Key="train/cat 1.jpg")["ContentLength"] == len(IMAGE)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_every_checksum(any_client: Any, algorithm: str) -> None:
    """In a header over HTTP, behind the body over TLS; the client compares what it reads with it."""
    told = any_client.put_object(Bucket="photos", Key="a", Body=IMAGE, ChecksumAlgorithm=algorithm)
    found = any_client.get_object(Bucket="photos", Key="a", ChecksumMode="ENABLED")

    assert found[f"Checksum{algorithm}"] == told[f"Checksum{algorithm}"]
    assert found["Body"].read() == IMAGE


def test_transfers_in_parts(any_client: Any, tmp_path: Path) -> None:
    """Upload, download and copy of a file that is larger than a part; a stream of unknown length too."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(BIG)
    any_client.upload_file(str(source), "photos", "big", Config=IN_PARTS)
    any_client.copy({"Bucket": "photos", "Key": "big"}, "photos", "copy", Config=IN_PARTS)
    any_client.download_file("photos", "copy", str(target), Config=IN_PARTS)
    any_client.upload_fileobj(io.BytesIO(BIG), "photos", "stream", Config=IN_PARTS)

    assert target.read_bytes() == BIG
    assert read(any_client, "stream") == BIG
    assert any_client.head_object(Bucket="photos", Key="copy")["ETag"].endswith('-3"')
    assert any_client.list_multipart_uploads(Bucket="photos").get("Uploads") is None
    assert read(any_client, "big", PartNumber=3) == BIG[12 << 20 :]


def test_odd_keys(client: Any) -> None:
    """Whatever the key, the object is found, listed and removed by it, and by no other."""
    for number, key in enumerate(ODD_KEYS):
        client.put_object(Bucket="photos", Key=key, Body=str(number))
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="photos", PaginationConfig={"PageSize": 3})
    listed = [entry["Key"] for page in pages for entry in page["Contents"]]

    assert listed == sorted(ODD_KEYS, key=str.encode)
    assert [read(client, key) for key in ODD_KEYS] == [str(number).encode() for number in range(len(ODD_KEYS))]
    some = [key for key in ODD_KEYS[::2] if "\x01" not in key]  # which no XML can say
    told = client.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": key} for key in some]})
    assert len(told["Deleted"]) == len(some)
    assert {entry["Key"] for entry in client.list_objects(Bucket="photos")["Contents"]} == {*ODD_KEYS} - {*some}
    client.delete_object(Bucket="photos", Key="\x01")


def test_both_listings_through_their_paginators(client: Any) -> None:
    """With and without a delimiter, in pages of two."""
    for key in ("a", "b/1", "b/2", "c", "d/e/f"):
        client.put_object(Bucket="photos", Key=key, Body=b"x")
    for name in ("list_objects", "list_objects_v2"):
        pages = list(client.get_paginator(name).paginate(Bucket="photos", PaginationConfig={"PageSize": 2}))
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == ["a", "b/1", "b/2", "c", "d/e/f"]
        pages = list(
            client.get_paginator(name).paginate(Bucket="photos", Delimiter="/", PaginationConfig={"PageSize": 2})
        )
        found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
        assert found == ["b/", "d/"]
    versions = client.get_paginator("list_object_versions").paginate(Bucket="photos")
    assert [entry["VersionId"] for page in versions for entry in page["Versions"]] == ["null"] * 5


def test_the_resource(service: Service, client: Any) -> None:
    """Buckets, objects, collections and their batch actions."""
    resource = boto3.resource(
        "s3",
        endpoint_url=service.url,
        region_name="us-east-1",
        aws_access_key_id=service.key.id,
        aws_secret_access_key=service.key.secret,
    )
    bucket = resource.Bucket("photos")
    for number in range(5):
        bucket.put_object(Key=f"x/{number}", Body=b"%d" % number)
    assert [summary.key for summary in bucket.objects.filter(Prefix="x/")] == [f"x/{number}" for number in range(5)]
    assert resource.Object("photos", "x/3").get()["Body"].read() == b"3"
    assert bucket.creation_date is not None
    bucket.objects.all().delete()
    bucket.object_versions.delete()
    bucket.delete()
    assert list(resource.buckets.all()) == []
    resource.meta.client.close()


def test_ranges_and_conditions(client: Any) -> None:
    """206 with its range; 304 and 412 as the client knows them; writes that must not replace."""
    etag = client.put_object(Bucket="photos", Key="a", Body=b"0123456789", IfNoneMatch="*")["ETag"]
    found = client.get_object(Bucket="photos", Key="a", Range="bytes=2-4", IfMatch=etag)
    assert (found["ResponseMetadata"]["HTTPStatusCode"], found["ContentRange"]) == (206, "bytes 2-4/10")
    assert found["Body"].read() == b"234"

    for more, expected in (
        ({"IfNoneMatch": etag}, (304, "304")),
        ({"IfMatch": '"x"'}, (412, "PreconditionFailed")),
        ({"Range": "bytes=10-"}, (416, "InvalidRange")),
        ({"PartNumber": 2}, (416, "InvalidPartNumber")),
        ({"VersionId": "x"}, (404, "NoSuchVersion")),
    ):
        with pytest.raises(ClientError) as caught:
            client.get_object(Bucket="photos", Key="a", **more)
        assert code_of(caught) == expected
    for more, expected in (
        ({"IfNoneMatch": "*"}, (412, "PreconditionFailed")),
        ({"IfMatch": '"x"'}, (412, "PreconditionFailed")),
    ):
        with pytest.raises(ClientError) as caught:
            client.put_object(Bucket="photos", Key="a", Body=b"x" * 100_000, **more)
        assert code_of(caught) == expected
    with pytest.raises(ClientError) as caught:
        client.head_object(Bucket="photos", Key="missing")
    assert code_of(caught) == (404, "404")
    assert client.head_object(Bucket="photos", Key="a", Range="bytes=2-4")["ContentLength"] == 3


def test_one_of_many_that_race(service: Service, client: Any) -> None:
    """Of sixteen that create one key, one does."""

    def create(number: int) -> int:
        try:
            client.put_object(Bucket="photos", Key="lock", Body=str(number), IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(create, range(16)))
    assert answers == [200] + [412] * 15


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_presigned_addresses(
    service: Service, client: Any, monkeypatch: pytest.MonkeyPatch, version: str, style: str
) -> None:
    """Read and written by plain urllib, with what was signed into them; altered ones are refused."""
    _resolve_localhost(monkeypatch)
    url = service.url.replace("127.0.0.1", "localhost")
    session = boto3.Session(service.key.id, service.key.secret, region_name="us-east-1")
    config = Config(signature_version=version, s3={"addressing_style": style})
    signer = session.client("s3", endpoint_url=url, config=config)
    where = {"Bucket": "photos", "Key": "a b/é.txt"}
    put = signer.generate_presigned_url("put_object", {**where, "ContentType": "text/plain"}, ExpiresIn=60)
    request = urllib.request.Request(put, b"hello", {"Content-Type": "text/plain"}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    get = signer.generate_presigned_url("get_object", {**where, "ResponseContentType": "text/html"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"hello", "text/html")
    with urllib.request.urlopen(urllib.request.Request(get, headers={"Range": "bytes=1-2"})) as answer:
        assert (answer.status, answer.read()) == (206, b"el")

    for altered in (get.replace("text%2Fhtml", "text%2Fxml"), get.replace("/a%20b", "/a%20c"), put):
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(altered)
        assert caught.value.code == 403
        assert b"SignatureDoesNotMatch" in caught.value.read()
        caught.value.close()
    signer.close()


@pytest.mark.parametrize("version", [None, "s3", "s3v4"])
@pytest.mark.parametrize("style", ["auto", "path", "virtual"])
def test_presigned_addresses_of_buckets(
    service: Service, client: Any, monkeypatch: pytest.MonkeyPatch, version: str | None, style: str
) -> None:
    """What asks about a bucket and names no key holds too, also as boto3 signs unless it is told otherwise."""
    _resolve_localhost(monkeypatch)
    client.put_object(Bucket="photos", Key="a", Body=b"x")
    session = boto3.Session(service.key.id, service.key.secret, region_name="us-east-1")
    config = Config(signature_version=version, s3={"addressing_style": style})
    signer = session.client("s3", endpoint_url=service.url.replace("127.0.0.1", "localhost"), config=config)
    about = {"Bucket": "photos"}
    for operation, parameters, said in (
        ("list_objects_v2", {**about, "Prefix": "a", "MaxKeys": 1}, b"<Key>a</Key>"),
        ("list_objects", about, b"<Key>a</Key>"),
        ("list_object_versions", about, b"<VersionId>null</VersionId>"),
        ("list_multipart_uploads", about, b"<Bucket>photos</Bucket>"),
        ("head_bucket", about, b""),
        ("get_bucket_location", about, b"<LocationConstraint"),
        ("get_bucket_acl", about, b"FULL_CONTROL"),
        ("list_buckets", {}, b"<Name>photos</Name>"),
        ("create_bucket", {"Bucket": "albums"}, b""),
        ("delete_bucket", {"Bucket": "albums"}, b""),
    ):
        url = signer.generate_presigned_url(operation, {**parameters}, ExpiresIn=60)
        method = signer.meta.service_model.operation_model(_camel(operation)).http["method"]
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
            assert said in answer.read(), operation

    url = signer.generate_presigned_url("list_objects_v2", {**about})
    for altered in (url.replace("photos", "albums"), url.replace("?", "a?"), url.replace("?", "/a?")):
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(altered)
        assert b"SignatureDoesNotMatch" in caught.value.read()
        caught.value.close()
    signer.close()


def _camel(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))


def test_an_address_whose_time_is_over(client: Any) -> None:
    """Is refused by S3's word for it."""
    for version in ("s3", "s3v4"):
        url = client.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "a"}, ExpiresIn=-5)
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(url)
        assert caught.value.code == 403 or version == "s3v4"
        caught.value.close()


def test_buckets_as_host_names(service: Service, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that works by path works by host name, for keys that look like paths too."""
    _resolve_localhost(monkeypatch)
    session = boto3.Session(service.key.id, service.key.secret, region_name="us-east-1")
    hosted = session.client(
        "s3",
        endpoint_url=service.url.replace("127.0.0.1", "localhost"),
        config=Config(s3={"addressing_style": "virtual"}),
    )
    hosted.create_bucket(Bucket="albums")
    hosted.put_object(Bucket="albums", Key="photos/a", Body=b"x")
    assert [entry["Key"] for entry in hosted.list_objects_v2(Bucket="albums")["Contents"]] == ["photos/a"]
    assert client.get_object(Bucket="albums", Key="photos/a")["Body"].read() == b"x"
    assert {bucket["Name"] for bucket in hosted.list_buckets()["Buckets"]} == {"albums", "photos"}
    hosted.delete_object(Bucket="albums", Key="photos/a")
    hosted.delete_bucket(Bucket="albums")
    hosted.close()


def test_a_key_that_may_only_read(service: Service, client: Any) -> None:
    """Lists and gets; whatever changes something is AccessDenied and changes nothing."""
    client.put_object(Bucket="photos", Key="a", Body=b"x")
    reader = service.client("s3", key=keys.create_key(service.house, access="read"))
    assert read(reader, "a") == b"x"
    assert reader.list_objects_v2(Bucket="photos")["KeyCount"] == 1
    upload = client.create_multipart_upload(Bucket="photos", Key="b")["UploadId"]
    about = {"Bucket": "photos", "Key": "a"}
    for operation, parameters in (
        ("create_bucket", {"Bucket": "albums"}),
        ("delete_bucket", {"Bucket": "photos"}),
        ("put_object", {**about, "Body": b"y" * 200_000}),
        ("delete_object", about),
        ("delete_objects", {"Bucket": "photos", "Delete": {"Objects": [{"Key": "a"}]}}),
        ("copy_object", {**about, "Key": "b", "CopySource": "photos/a"}),
        ("create_multipart_upload", about),
        ("upload_part", {**about, "Key": "b", "UploadId": upload, "PartNumber": 1, "Body": b"x"}),
        ("abort_multipart_upload", {**about, "Key": "b", "UploadId": upload}),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(reader, operation)(**parameters)
        assert code_of(caught) == (403, "AccessDenied"), operation
        assert read(reader, "a") == b"x"
    assert len(reader.list_multipart_uploads(Bucket="photos")["Uploads"]) == 1


def test_a_linked_folder(service: Service, client: Any, tmp_path: Path) -> None:
    """Is listed, read and copied from; writing is 403, and the file stays as it was."""
    folder = tmp_path / "cats"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(IMAGE)
    buckets(service.house).link("linked", folder)

    assert client.get_object(Bucket="linked", Key="1.jpg")["Body"].read() == IMAGE
    client.copy_object(Bucket="photos", Key="1.jpg", CopySource="linked/1.jpg")
    assert read(client, "1.jpg") == IMAGE
    for work in (
        lambda: client.put_object(Bucket="linked", Key="1.jpg", Body=b"x" * 100_000),
        lambda: client.delete_object(Bucket="linked", Key="1.jpg"),
        lambda: client.delete_bucket(Bucket="linked"),
    ):
        with pytest.raises(ClientError) as caught:
            work()
        assert code_of(caught) == (403, "AccessDenied")
    assert (folder / "1.jpg").read_bytes() == IMAGE


def test_what_is_not_built_says_so(client: Any) -> None:
    """Operations and features: 501, and nothing happens."""
    for work in (
        lambda: client.get_bucket_policy(Bucket="photos"),
        lambda: client.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"}),
        lambda: client.get_object_tagging(Bucket="photos", Key="a"),
        lambda: client.put_object(Bucket="photos", Key="a", Body=b"x" * 100_000, ServerSideEncryption="aws:kms"),
        lambda: client.put_object(Bucket="photos", Key="a", Body=b"x", ACL="public-read"),
        lambda: client.put_object(Bucket="photos", Key="a", Body=b"x", Tagging="a=b"),
    ):
        with pytest.raises(ClientError) as caught:
            work()
        assert code_of(caught) == (501, "NotImplemented")
    assert client.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_wrong_keys(service: Service, client: Any) -> None:
    """An unknown key, a wrong secret, a revoked one, and a session token: each by S3's code."""
    revoked = keys.create_key(service.house)
    keys.revoke_key(service.house, revoked.id)
    for arguments, expected in (
        (("AKIAAAAAAAAAAAAAAAAA", "x"), (403, "InvalidAccessKeyId")),
        ((service.key.id, "x"), (403, "SignatureDoesNotMatch")),
        ((revoked.id, revoked.secret), (403, "InvalidAccessKeyId")),
        ((service.key.id, service.key.secret, "token"), (400, "InvalidToken")),
    ):
        session = boto3.Session(*arguments, region_name="us-east-1")
        stranger = session.client("s3", endpoint_url=service.url)
        with pytest.raises(ClientError) as caught:
            stranger.put_object(Bucket="photos", Key="a", Body=b"x" * 300_000)
        assert code_of(caught) == expected
        with pytest.raises(ClientError):
            stranger.list_buckets()
        stranger.close()
    assert client.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_a_client_of_another_region_finds_the_right_one(service: Service, client: Any) -> None:
    """Signatures are for one region; the refusal names it, and boto3 signs again."""
    other = service.client("s3", region="eu-central-1", retries={"total_max_attempts": 3})
    other.put_object(Bucket="photos", Key="a", Body=IMAGE)
    assert read(other, "a") == IMAGE
    with pytest.raises(ClientError) as caught:
        other.list_buckets()
    assert code_of(caught) == (400, "AuthorizationHeaderMalformed")
    assert caught.value.response["Error"]["Region"] == "us-east-1"


def test_an_early_refusal_spoils_no_connection(client: Any) -> None:
    """Uploads that are refused before they were read, and calls between them, over one pool of connections."""
    for _ in range(5):
        with pytest.raises(ClientError) as caught:
            client.put_object(Bucket="nobody", Key="a", Body=IMAGE)
        assert code_of(caught) == (404, "NoSuchBucket")
        client.put_object(Bucket="photos", Key="a", Body=IMAGE)
        assert read(client, "a") == IMAGE


def test_tls_is_trusted_by_its_certificate_only(tmp_path: Path) -> None:
    """The certificate of these tests is one that a client checks."""
    with served_securely(make_house(tmp_path / "house", now=now_utc), tmp_path) as opened:
        with pytest.raises(urllib.error.URLError, match="certificate"):
            urllib.request.urlopen(opened.url)
        context = ssl.create_default_context(cafile=str(authority(tmp_path)))
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(opened.url + "/photos/a", context=context)
        assert caught.value.code == 403
        caught.value.close()


def _resolve_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names below localhost lead to this machine, as browsers and systemd have it and plain glibc does not."""
    asked = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **more: Any) -> Any:
        is_local = isinstance(host, str) and host.endswith("localhost")
        return asked("127.0.0.1" if is_local else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

"""S3's operations against a real house: parameters in, members of results out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deconfuse.errors import AlreadyExists, BadToken, DeconfuseError, Denied, InUse, Invalid, NotBuilt, NotFound, Unmet
from deconfuse.gateway.operations import OPERATIONS, READS, TAKINGS, Reading
from deconfuse.gateway.restxml import render
from deconfuse.gateway.routing import BUILT
from deconfuse.gateway.translation import check_sum, promised
from deconfuse.service.house import House
from deconfuse.service.objects import buckets
from deconfuse.signing.checksums import S3_ALGORITHMS, checksum_of
from houses import make_house

KEYS = ("a", "a/b", "a/c/d", "b", "c/1", "c/2", "é/1", "~")
PART = b"p" * (5 << 20)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with a bucket "photos"."""
    made = make_house(tmp_path)
    call(made, "CreateBucket", Bucket="photos")
    return made


def call(house: House, operation: str, **parameters: Any) -> Any:
    """The result of an operation; the bucket is "photos" unless said otherwise."""
    return OPERATIONS[operation](house, {"Bucket": "photos", **parameters})


def send(house: House, operation: str, data: bytes, trailers: Mapping[str, str] | None = None, **more: Any) -> Any:
    """The result of an operation that takes content."""
    parameters = {"Bucket": "photos", **more}
    expected = promised(parameters, trailers)
    wanted = TAKINGS[operation].prepare(house, parameters)
    with buckets(house).draft({*expected, *([wanted] if wanted else [])}) as draft:
        draft.write(data)
        return TAKINGS[operation].keep(house, parameters, draft, expected)


def put(house: House, *keys: str, data: bytes = b"0123456789", **more: Any) -> Any:
    """Objects under these keys; the result of the last."""
    return [send(house, "PutObject", data, Key=key, **more) for key in keys][-1]


def get(house: House, key: str, **more: Any) -> tuple[bytes, dict[str, Any]]:
    """Content and what is said of it."""
    reading = call(house, "GetObject", Key=key, **more)
    assert isinstance(reading, Reading)
    with reading.content:
        return b"".join(reading.content), reading.result


def keys_of(result: Mapping[str, Any], member: str = "Contents") -> list[str]:
    """What a listing shows."""
    return [entry["Key"] for entry in result[member]]


def test_every_operation_that_is_routed_is_done() -> None:
    """Routing promises what is here, and nothing is here that routing does not know."""
    assert {*OPERATIONS, *TAKINGS} == BUILT
    assert not OPERATIONS.keys() & TAKINGS.keys()
    assert {name for name in BUILT if name not in READS} == {
        *("CreateBucket", "DeleteBucket", "DeletePublicAccessBlock", "PutObject", "DeleteObject", "DeleteObjects"),
        *("CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload"),
        "AbortMultipartUpload",
    }


FULL: dict[str, Any] = {
    "Key": "a",
    "UploadId": "0" * 32,
    "PartNumber": 1,
    "CopySource": "photos/a",
    "Delete": {"Objects": [{"Key": "a"}]},
    "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "x"}]},
}


@pytest.mark.parametrize("operation", sorted(BUILT - {"ListBuckets", "CreateBucket"}))
def test_a_bucket_that_is_not_there(house: House, operation: str) -> None:
    """Is missing for every operation; so is the service's own, in which there are objects."""
    house.objects.put("_deconfuse", "a", b"secret")
    work = OPERATIONS[operation] if operation in OPERATIONS else TAKINGS[operation].prepare

    for bucket in ("nobody", "_deconfuse"):
        with pytest.raises(NotFound) as caught:
            work(house, {**FULL, "Bucket": bucket})
        assert caught.value.kind == "bucket"


@pytest.mark.parametrize("operation", ["CopyObject", "UploadPartCopy"])
def test_the_services_own_objects_are_no_source(house: House, operation: str) -> None:
    """Nothing is copied out of the bucket that no client can name."""
    house.objects.put("_deconfuse", "a", b"secret")

    with pytest.raises(NotFound) as caught:
        call(house, operation, **{**FULL, "CopySource": "_deconfuse/a"})
    assert caught.value.kind == "bucket"


def test_a_store_that_is_not_ours(tmp_path: Path) -> None:
    """Clients talk to somebody else's S3 directly: every operation says so."""
    from dataclasses import replace

    house = replace(make_house(tmp_path), local=None)
    with pytest.raises(NotBuilt, match="another S3"):
        call(house, "ListBuckets")


def test_buckets_are_listed_page_by_page(house: House) -> None:
    """By name, with their regions; the service's own is not among them."""
    for name in ("albums", "zoo", "zebra"):
        call(house, "CreateBucket", Bucket=name)
    first = call(house, "ListBuckets", MaxBuckets=2)
    rest = call(house, "ListBuckets", MaxBuckets=2, ContinuationToken=first["ContinuationToken"])

    assert [entry["Name"] for entry in first["Buckets"] + rest["Buckets"]] == ["albums", "photos", "zebra", "zoo"]
    assert rest["ContinuationToken"] is None
    assert [entry["Name"] for entry in call(house, "ListBuckets", Prefix="ze")["Buckets"]] == ["zebra"]
    assert call(house, "ListBuckets", BucketRegion="eu-west-1")["Buckets"] == []
    assert first["Buckets"][0]["BucketRegion"] == "us-east-1"


def test_making_a_bucket_again(house: House, tmp_path: Path) -> None:
    """In the first region nothing happens; elsewhere, or with a constraint, it is there already."""
    put(house, "a")
    call(house, "CreateBucket", Bucket="photos")
    assert keys_of(call(house, "ListObjectsV2")) == ["a"]
    with pytest.raises(AlreadyExists):
        call(house, "CreateBucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    other = make_house(tmp_path / "other", region="eu-west-1")
    call(other, "CreateBucket")
    with pytest.raises(AlreadyExists):
        call(other, "CreateBucket")


@pytest.mark.parametrize(
    "name", ["", "a", "A-b-c", "a_b", "1.2.3.4", "a..b", "healthz", "metrics", "-ab", "x" * 64, "_deconfuse"]
)
def test_names_that_no_bucket_has(house: House, name: str) -> None:
    """Are refused by the field."""
    with pytest.raises(Invalid) as caught:
        call(house, "CreateBucket", Bucket=name)
    assert caught.value.field == "bucket"


@pytest.mark.parametrize(("region", "told"), [("us-east-1", ""), ("eu-central-1", "eu-central-1"), ("here", "here")])
@pytest.mark.parametrize("constraint", ["", "us-east-1", "eu-central-1", "EU"])
def test_where_a_bucket_is(tmp_path: Path, constraint: str, region: str, told: str) -> None:
    """In the server's region, for which clients that ask are to sign, whatever constraint it was made with."""
    house = make_house(tmp_path, region=region)
    configuration = {"CreateBucketConfiguration": {"LocationConstraint": constraint}} if constraint else {}
    call(house, "CreateBucket", Bucket="albums", **configuration)

    assert call(house, "GetBucketLocation", Bucket="albums") == {"LocationConstraint": told}
    assert call(house, "HeadBucket", Bucket="albums") == {"BucketRegion": region}
    assert [entry["BucketRegion"] for entry in call(house, "ListBuckets", BucketRegion=region)["Buckets"]] == [region]
    assert call(house, "ListBuckets", BucketRegion="elsewhere")["Buckets"] == []


@pytest.mark.parametrize("constraint", ["a b", "<x>", "x" * 65, "eu_west"])
def test_a_location_that_is_none(house: House, constraint: str) -> None:
    """Is refused before anything is made."""
    with pytest.raises(Invalid) as caught:
        call(house, "CreateBucket", Bucket="albums", CreateBucketConfiguration={"LocationConstraint": constraint})
    assert caught.value.field == "location constraint"


def test_a_bucket_goes_only_when_it_is_empty(house: House) -> None:
    """What is in it stays."""
    put(house, "a")
    with pytest.raises(InUse):
        call(house, "DeleteBucket")
    call(house, "DeleteObject", Key="a")
    call(house, "DeleteBucket")
    with pytest.raises(NotFound):
        call(house, "HeadBucket")


def test_what_is_never_on(house: House) -> None:
    """Versioning is empty, there is no public access block, and the owner alone has rights."""
    put(house, "a")
    grants = call(house, "GetBucketAcl")["Grants"]

    assert call(house, "GetBucketVersioning") == {}
    assert call(house, "DeletePublicAccessBlock") == {}
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
    assert call(house, "GetObjectAcl", Key="a")["Grants"] == grants
    with pytest.raises(NotFound):
        call(house, "GetObjectAcl", Key="b")
    assert b'xsi:type="CanonicalUser"' in render("GetBucketAcl", call(house, "GetBucketAcl")).body


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_form_of_listing_shows_every_key(house: House, size: int) -> None:
    """In byte order, page by page, whatever the size of a page."""
    put(house, *reversed(KEYS))
    seen: dict[str, list[str]] = {"1": [], "2": [], "versions": []}
    marker = ""
    while True:
        page = call(house, "ListObjects", MaxKeys=size, Marker=marker)
        seen["1"] += keys_of(page)
        if not page["IsTruncated"]:
            break
        marker = keys_of(page)[-1]
    token: dict[str, str] = {}
    while True:
        page = call(house, "ListObjectsV2", MaxKeys=size, **token)
        seen["2"] += keys_of(page)
        assert page["KeyCount"] == len(page["Contents"])
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    marker = ""
    while True:
        page = call(house, "ListObjectVersions", MaxKeys=size, KeyMarker=marker)
        seen["versions"] += keys_of(page, "Versions")
        assert {(entry["VersionId"], entry["IsLatest"]) for entry in page["Versions"]} == {("null", True)}
        if not page["IsTruncated"]:
            break
        marker = page["NextKeyMarker"]

    expected = sorted(KEYS, key=str.encode)
    assert seen == {"1": expected, "2": expected, "versions": expected}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_delimiters(house: House, size: int) -> None:
    """Common prefixes come once, in their place, and count as keys; the marker goes on after them."""
    put(house, *KEYS)
    found: list[str] = []
    marker = ""
    while True:
        page = call(house, "ListObjects", MaxKeys=size, Marker=marker, Delimiter="/")
        found += keys_of(page) + [entry["Prefix"] for entry in page["CommonPrefixes"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextMarker"]

    assert sorted(found, key=str.encode) == ["a", "a/", "b", "c/", "~", "é/"]
    inner = call(house, "ListObjectsV2", Prefix="a/", Delimiter="/")
    assert (keys_of(inner), inner["CommonPrefixes"]) == (["a/b"], [{"Prefix": "a/c/"}])


def test_places_to_begin(house: House) -> None:
    """After a key that need not be there; a token counts more than it."""
    put(house, *KEYS)

    assert keys_of(call(house, "ListObjectsV2", StartAfter="bb"))[0] == "c/1"
    token = call(house, "ListObjectsV2", MaxKeys=1)["NextContinuationToken"]
    assert keys_of(call(house, "ListObjectsV2", StartAfter="c/1", ContinuationToken=token))[0] == "a/b"


def test_no_keys_asked_for(house: House) -> None:
    """An empty page that is not truncated; more than a thousand are a thousand."""
    put(house, "a")
    for operation in ("ListObjects", "ListObjectsV2", "ListObjectVersions"):
        page = call(house, operation, MaxKeys=0)
        assert (page["MaxKeys"], page["IsTruncated"]) == (0, False)
        assert call(house, operation, MaxKeys=5000)["MaxKeys"] == 1000
    assert call(house, "ListMultipartUploads", MaxUploads=0)["IsTruncated"] is False


def test_owners_are_told_where_they_are_asked_for(house: House) -> None:
    """The second form tells them on request only."""
    put(house, "a")

    assert "Owner" not in call(house, "ListObjectsV2")["Contents"][0]
    assert call(house, "ListObjectsV2", FetchOwner=True)["Contents"][0]["Owner"]["DisplayName"] == "deconfuse"
    assert len(call(house, "ListObjects")["Contents"][0]["Owner"]["ID"]) == 64


@pytest.mark.parametrize("token", ["", "x", "*", "é", "AAA", "////", "gA=="])
def test_tokens_that_no_listing_gave(house: House, token: str) -> None:
    """Are refused as such."""
    with pytest.raises(BadToken):
        call(house, "ListObjectsV2", ContinuationToken=token)
    with pytest.raises(BadToken):
        call(house, "ListBuckets", ContinuationToken=token)


def test_a_version_marker_needs_a_key_marker(house: House) -> None:
    """It says nothing by itself."""
    with pytest.raises(Invalid) as caught:
        call(house, "ListObjectVersions", VersionIdMarker="null")
    assert caught.value.field == "version-id-marker"


def test_what_is_given_is_given_back(house: House) -> None:
    """Headers and metadata as they came; a type where none was given."""
    given = {"ContentType": "image/png", "CacheControl": "no-store", "Expires": "whenever", "ContentEncoding": "gzip"}
    put(house, "a", Metadata={"camera": "x"}, **given)
    put(house, "plain")
    _, told = get(house, "a")

    assert {name: told[name] for name in given} == given
    assert told["Metadata"] == {"camera": "x"}
    assert told["ETag"] == f'"{hashlib.md5(b"0123456789").hexdigest()}"'
    assert get(house, "plain")[1]["ContentType"] == "binary/octet-stream"
    assert call(house, "HeadObject", Key="a") == told


@pytest.mark.parametrize(
    ("wanted", "data", "told"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=4-1", b"0123456789", None),
        ("bytes=0-1,3-4", b"0123456789", None),
        ("lines=0-1", b"0123456789", None),
    ],
)
def test_ranges(house: House, wanted: str, data: bytes, told: str | None) -> None:
    """What is there of a range; the whole where it cannot be meant. HEAD says the same as GET."""
    put(house, "a")
    found, result = get(house, "a", Range=wanted)

    assert (found, result["ContentRange"], result["ContentLength"]) == (data, told, len(data))
    assert call(house, "HeadObject", Key="a", Range=wanted) == result


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_ranges_beyond_the_end(house: House, wanted: str) -> None:
    """There is nothing to give; of an empty object every range is beyond."""
    put(house, "a")
    put(house, "empty", data=b"")
    for key, text in (("a", wanted), ("empty", "bytes=0-")):
        with pytest.raises(Invalid) as caught:
            get(house, key, Range=text)
        assert caught.value.field == "range"


def test_a_range_of_another_state(house: House) -> None:
    """If-Range gives the part where the object is still the same, and the whole otherwise."""
    etag = put(house, "a")["ETag"]

    assert get(house, "a", Range="bytes=1-2", IfRange=etag)[0] == b"12"
    assert get(house, "a", Range="bytes=1-2", IfRange='"other"')[0] == b"0123456789"
    assert get(house, "a", Range="bytes=1-2", IfRange="Wed, 21 Oct 2015 07:28:00 GMT")[0] == b"0123456789"


def test_answers_may_be_told_to_say_something_else(house: House) -> None:
    """The response-… parameters replace headers of the answer, times in HTTP's form."""
    put(house, "a", ContentType="image/png")
    moment = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    _, told = get(house, "a", ResponseContentType="text/plain", ResponseExpires=moment, ResponseCacheControl="no-cache")

    assert (told["ContentType"], told["CacheControl"]) == ("text/plain", "no-cache")
    assert told["Expires"] == "Mon, 03 Feb 2031 04:05:06 GMT"


def test_conditions_of_reading(house: House) -> None:
    """Each is heeded by GET and HEAD alike; a missing object is missing whatever was asked."""
    etag = put(house, "a")["ETag"]
    modified = get(house, "a")[1]["LastModified"]
    for unmet in (
        {"IfMatch": '"other"'},
        {"IfNoneMatch": etag},
        {"IfNoneMatch": "*"},
        {"IfModifiedSince": modified + timedelta(seconds=1)},
        {"IfUnmodifiedSince": modified - timedelta(days=1)},
    ):
        for operation in ("GetObject", "HeadObject"):
            with pytest.raises(Unmet):
                call(house, operation, Key="a", **unmet)
            with pytest.raises(Unmet):
                call(house, operation, Key="a", Range="bytes=0-1", **unmet)
            with pytest.raises(NotFound):
                call(house, operation, Key="missing", **unmet)
    assert get(house, "a", IfMatch=f'W/{etag}, "x"', IfModifiedSince=modified - timedelta(days=1))[0]


def test_conditions_of_writing(house: House) -> None:
    """A key is taken once; it is replaced only from the state that was named."""
    first = put(house, "a", IfNoneMatch="*")["ETag"]
    with pytest.raises(Unmet):
        put(house, "a", IfNoneMatch="*")
    second = put(house, "a", data=b"new", IfMatch=first)["ETag"]
    with pytest.raises(Unmet):
        put(house, "a", IfMatch=first)
    with pytest.raises(NotFound):
        put(house, "b", IfMatch=first)
    with pytest.raises(Unmet):
        call(house, "DeleteObject", Key="a", IfMatch=first)
    call(house, "DeleteObject", Key="a", IfMatch=second)
    assert keys_of(call(house, "ListObjects")) == []


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject", "DeleteObject", "GetObjectAcl"])
def test_versions(house: House, operation: str) -> None:
    """Every object has the version null, and no other."""
    put(house, "a")
    with pytest.raises(NotFound) as caught:
        call(house, operation, Key="a", VersionId="L4kqtJlcpXroDTDmpUMLUo")
    assert caught.value.kind == "version"
    result = call(house, operation, Key="a", VersionId="null")
    if isinstance(result, Reading):
        result.content.close()


@pytest.mark.parametrize("algorithm", S3_ALGORITHMS)
def test_checksums_are_verified_and_kept(house: House, algorithm: str) -> None:
    """Given in a header, or behind the body; told to who asks, never of a part."""
    name, value = f"Checksum{algorithm}", checksum_of(algorithm, b"0123456789")
    assert put(house, "a", **{name: value})[name] == value
    trailer = {f"x-amz-checksum-{algorithm.lower()}": value}
    assert send(house, "PutObject", b"0123456789", trailer, Key="b")[name] == value
    for key in "ab":
        assert get(house, key, ChecksumMode="ENABLED")[1][name] == value
        assert name not in get(house, key)[1]
        assert name not in get(house, key, ChecksumMode="ENABLED", Range="bytes=0-1")[1]
    with pytest.raises(DeconfuseError, match=algorithm):
        put(house, "c", data=b"other", **{name: value})
    with pytest.raises(NotFound):
        get(house, "c")


def test_a_checksum_may_be_asked_for(house: House) -> None:
    """Where only the algorithm is named, it is computed here."""
    told = put(house, "a", ChecksumAlgorithm="SHA256")

    assert told["ChecksumSHA256"] == checksum_of("SHA256", b"0123456789")
    assert told["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"ContentMD5": "x"}, "content-md5"),
        ({"ContentMD5": "AAAA"}, "content-md5"),
        ({"ContentMD5": "é" * 24}, "content-md5"),
        ({"ChecksumCRC32": "AAAA"}, "checksum"),
        ({"ChecksumSHA256": "not base64"}, "checksum"),
        ({"ChecksumCRC32": "AAAAAA==", "ChecksumCRC32C": "AAAAAA=="}, "checksum"),
        ({"ChecksumCRC32": "AAAAAA==", "ChecksumAlgorithm": "SHA1"}, "checksum"),
    ],
)
def test_promises_that_cannot_be(parameters: dict[str, str], field: str) -> None:
    """Each is refused before any content comes."""
    with pytest.raises(Invalid) as caught:
        promised(parameters)
    assert caught.value.field == field


def test_a_sum_of_the_right_length_is_one() -> None:
    """It may still differ from that of the content."""
    check_sum("CRC32", "AAAAAA==")
    assert promised({"ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}) == {"MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}


def test_copies(house: House) -> None:
    """Keep what the source has, or get what is given instead; the source may be in a linked bucket."""
    put(house, "a b/é", ContentType="image/png", Metadata={"n": "1"}, ChecksumCRC32=checksum_of("CRC32", b"0123456789"))
    source = "/photos/a%20b/%C3%A9"
    told = call(house, "CopyObject", Key="copy", CopySource=source)["CopyObjectResult"]
    call(house, "CopyObject", Key="other", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"})

    assert (told["ETag"], told["ChecksumCRC32"]) == (put(house, "x")["ETag"], checksum_of("CRC32", b"0123456789"))
    assert (get(house, "copy")[1]["ContentType"], get(house, "copy")[1]["Metadata"]) == ("image/png", {"n": "1"})
    assert get(house, "other")[1]["ContentType"] == "binary/octet-stream"
    assert get(house, "other")[1]["Metadata"] == {"n": "2"}
    summed = call(house, "CopyObject", Key="copy", CopySource=source, ChecksumAlgorithm="SHA1")["CopyObjectResult"]
    assert summed["ChecksumSHA1"] == checksum_of("SHA1", b"0123456789")


def test_a_copy_onto_itself(house: House) -> None:
    """Needs something to change; what it keeps it keeps."""
    put(house, "a", ContentType="image/png")
    with pytest.raises(Invalid) as caught:
        call(house, "CopyObject", Key="a", CopySource="photos/a")
    assert caught.value.field == "copy"
    call(house, "CopyObject", Key="a", CopySource="photos/a", StorageClass="STANDARD")
    assert get(house, "a")[1]["ContentType"] == "image/png"
    call(house, "CopyObject", Key="a", CopySource="photos/a", MetadataDirective="REPLACE", ContentType="text/plain")
    assert get(house, "a")[1]["ContentType"] == "text/plain"


def test_a_storage_class_is_kept_and_told_again(house: House) -> None:
    """By listings too; the usual one goes without saying, and a copy has the one that is asked for it, or the usual."""
    put(house, "a", StorageClass="STANDARD_IA", ContentType="image/png")
    put(house, "b", StorageClass="STANDARD")
    call(house, "CopyObject", Key="c", CopySource="photos/a")
    call(house, "CopyObject", Key="d", CopySource="photos/a", StorageClass="GLACIER_IR")
    upload = call(house, "CreateMultipartUpload", Key="e", StorageClass="ONEZONE_IA")["UploadId"]
    listed = {entry["Key"]: entry["StorageClass"] for entry in call(house, "ListObjectsV2")["Contents"]}

    assert listed == {"a": "STANDARD_IA", "b": "STANDARD", "c": "STANDARD", "d": "GLACIER_IR"}
    assert get(house, "a")[1]["StorageClass"] == "STANDARD_IA"
    assert "StorageClass" not in get(house, "b")[1] | get(house, "c")[1]
    assert (get(house, "d")[1]["StorageClass"], get(house, "d")[1]["ContentType"]) == ("GLACIER_IR", "image/png")
    assert call(house, "ListParts", Key="e", UploadId=upload)["StorageClass"] == "ONEZONE_IA"
    assert call(house, "ListMultipartUploads")["Uploads"][0]["StorageClass"] == "ONEZONE_IA"
    call(house, "CopyObject", Key="a", CopySource="photos/a", StorageClass="STANDARD")
    assert "StorageClass" not in get(house, "a")[1]


def test_conditions_of_copying(house: House) -> None:
    """For the source, and for what lies where the copy goes."""
    etag = put(house, "a", "b")["ETag"]
    for unmet in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}, {"IfNoneMatch": "*"}):
        with pytest.raises(Unmet):
            call(house, "CopyObject", Key="b", CopySource="photos/a", **unmet)
    with pytest.raises(NotFound) as caught:
        call(house, "CopyObject", Key="b", CopySource="photos/a?versionId=1")
    assert caught.value.kind == "version"
    call(house, "CopyObject", Key="b", CopySource="photos/a?versionId=null", CopySourceIfMatch=etag)


def test_many_are_deleted_at_once(house: House) -> None:
    """What is not there is deleted too; what cannot be is told beside the others."""
    etag = put(house, "a", "b", "c", "d")["ETag"]
    wanted = [
        {"Key": "a"},
        {"Key": "nothing"},
        {"Key": "b", "VersionId": "null"},
        {"Key": "c", "VersionId": "7"},
        {"Key": "c", "ETag": '"other"'},
        {"Key": "d", "ETag": etag},
        {"Key": "x" * 1025},
        {"Key": ""},
    ]
    told = call(house, "DeleteObjects", Delete={"Objects": wanted})

    assert sorted(keys_of(told, "Deleted")) == ["a", "b", "d", "nothing"]
    assert [entry["Code"] for entry in told["Errors"]] == [
        *("NoSuchVersion", "PreconditionFailed", "KeyTooLongError", "KeyTooLongError")
    ]
    assert keys_of(call(house, "ListObjects")) == ["c"]
    quiet = call(house, "DeleteObjects", Delete={"Objects": [{"Key": "c"}, {"Key": ""}], "Quiet": True})
    assert (quiet["Deleted"], len(quiet["Errors"])) == ([], 1)


def test_an_object_in_parts(house: House) -> None:
    """From begin to end: parts listed, completed with their sums, read part by part, answered again."""
    begun = call(house, "CreateMultipartUpload", Key="a", ContentType="image/png", ChecksumAlgorithm="CRC32")
    upload = {"Key": "a", "UploadId": begun["UploadId"]}
    parts = [send(house, "UploadPart", data, PartNumber=n, **upload) for n, data in ((1, PART), (3, b"end"))]
    listed = call(house, "ListParts", **upload)
    named = [{"PartNumber": n, **part} for n, part in zip((1, 3), parts, strict=True)]
    done = call(house, "CompleteMultipartUpload", MultipartUpload={"Parts": named}, **upload)
    again = call(house, "CompleteMultipartUpload", MultipartUpload={"Parts": named}, **upload)

    assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == ("CRC32", "COMPOSITE")
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, len(PART)), (3, 3)]
    assert listed["Parts"][1]["ChecksumCRC32"] == checksum_of("CRC32", b"end") == parts[1]["ChecksumCRC32"]
    assert done == again
    assert done["ETag"].endswith('-2"')
    assert (done["ChecksumCRC32"][-2:], done["ChecksumType"]) == ("-2", "COMPOSITE")
    data, told = get(house, "a", PartNumber=2)
    assert (data, told["PartsCount"], told["ContentType"]) == (b"end", 2, "image/png")
    assert told["ContentRange"] == f"bytes {len(PART)}-{len(PART) + 2}/{len(PART) + 3}"
    with pytest.raises(Invalid) as caught:
        get(house, "a", PartNumber=3)
    assert caught.value.field == "part number"
    with pytest.raises(Invalid):
        get(house, "a", PartNumber=1, Range="bytes=0-1")
    call(house, "AbortMultipartUpload", **upload)


def test_part_one_of_an_object_that_has_none(house: House) -> None:
    """Is all of it; there is no second."""
    put(house, "a", "empty")
    put(house, "empty", data=b"")

    assert get(house, "a", PartNumber=1)[0] == b"0123456789"
    assert get(house, "a", PartNumber=1)[1]["PartsCount"] is None
    assert get(house, "empty", PartNumber=1)[0] == b""
    with pytest.raises(Invalid):
        get(house, "a", PartNumber=2)


def test_parts_are_copied(house: House) -> None:
    """All of an object, or a range of it that it has."""
    put(house, "source")
    upload = {"Key": "a", "UploadId": call(house, "CreateMultipartUpload", Key="a")["UploadId"]}
    copy = {"CopySource": "photos/source", "PartNumber": 1, **upload}
    told = call(house, "UploadPartCopy", CopySourceRange="bytes=2-4", **copy)["CopyPartResult"]
    for wrong in ("bytes=2-10", "bytes=-3", "bytes=4-2"):
        with pytest.raises(Invalid):
            call(house, "UploadPartCopy", CopySourceRange=wrong, **copy)
    named = {"Parts": [{"PartNumber": 1, "ETag": told["ETag"]}]}
    call(house, "CompleteMultipartUpload", MultipartUpload=named, **upload)

    assert get(house, "a")[0] == b"234"


def test_the_sum_of_a_whole_object(house: House) -> None:
    """CRC64NVME is always one of all bytes; others where it is asked for. A wrong one completes nothing."""
    assert call(house, "CreateMultipartUpload", Key="b", ChecksumAlgorithm="CRC64NVME")["ChecksumType"] == "FULL_OBJECT"
    begun = call(house, "CreateMultipartUpload", Key="a", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload = {"Key": "a", "UploadId": begun["UploadId"]}
    part = send(house, "UploadPart", b"0123456789", PartNumber=1, **upload)
    named = {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **upload}
    for wrong in ({"ChecksumCRC32": "AAAAAA=="}, {"MpuObjectSize": 11}, {"ChecksumCRC32": "x"}):
        with pytest.raises(DeconfuseError):
            call(house, "CompleteMultipartUpload", **named, **wrong)
    whole = checksum_of("CRC32", b"0123456789")
    done = call(house, "CompleteMultipartUpload", **named, ChecksumCRC32=whole, MpuObjectSize=10)

    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT")


@pytest.mark.parametrize(
    "terms",
    [
        {"ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
    ],
)
def test_sums_that_no_upload_has(house: House, terms: dict[str, str]) -> None:
    """Are refused when it begins."""
    with pytest.raises(Invalid) as caught:
        call(house, "CreateMultipartUpload", Key="a", **terms)
    assert caught.value.field == "checksum"


def test_wrong_completions(house: House) -> None:
    """Each says what is wrong with its list."""
    upload = {"Key": "a", "UploadId": call(house, "CreateMultipartUpload", Key="a")["UploadId"]}
    etags = {n: send(house, "UploadPart", b"x", PartNumber=n, **upload)["ETag"] for n in (1, 2)}
    one, two = ({"PartNumber": n, "ETag": etag} for n, etag in etags.items())
    for parts, field in (
        ([], "parts"),
        ([two, one], "part order"),
        ([one, two], "part size"),
        ([{"PartNumber": 1}], "part"),
        ([{"ETag": etags[1]}], "body"),
        ([one | {"ChecksumCRC32": "AAAAAA=="}, one | {"ETag": "x"}], "part"),
    ):
        with pytest.raises(Invalid) as caught:
            call(house, "CompleteMultipartUpload", MultipartUpload={"Parts": parts}, **upload)
        assert caught.value.field == field


def test_uploads_are_listed_page_by_page(house: House) -> None:
    """By key and id, with common prefixes; none comes twice or is left out."""
    for key in ("a", "a", "b/1", "b/2", "c", "d/1"):
        call(house, "CreateMultipartUpload", Key=key)
    for size in (1, 2, 3, 1000):
        for delimiter, expected in (("", ["a", "a", "b/1", "b/2", "c", "d/1"]), ("/", ["a", "a", "b/", "c", "d/"])):
            found: list[str] = []
            place: dict[str, str] = {}
            while True:
                page = call(house, "ListMultipartUploads", MaxUploads=size, Delimiter=delimiter, **place)
                shown = keys_of(page, "Uploads") + [entry["Prefix"] for entry in page["CommonPrefixes"]]
                assert len(shown) <= size
                found += shown
                if not page["IsTruncated"]:
                    break
                place = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
            assert sorted(found) == expected
    assert keys_of(call(house, "ListMultipartUploads", Prefix="b/"), "Uploads") == ["b/1", "b/2"]


def test_parts_are_listed_page_by_page(house: House) -> None:
    """After a number; none asked for is an empty page at the end."""
    upload = {"Key": "a", "UploadId": call(house, "CreateMultipartUpload", Key="a")["UploadId"]}
    for number in (1, 5, 9):
        send(house, "UploadPart", b"x", PartNumber=number, **upload)
    first = call(house, "ListParts", MaxParts=2, **upload)
    rest = call(house, "ListParts", PartNumberMarker=first["NextPartNumberMarker"], **upload)

    assert [part["PartNumber"] for part in first["Parts"] + rest["Parts"]] == [1, 5, 9]
    assert (first["IsTruncated"], rest["IsTruncated"]) == (True, False)
    assert call(house, "ListParts", MaxParts=0, **upload)["IsTruncated"] is False


@pytest.mark.parametrize("operation", sorted(BUILT - READS - {"CreateBucket", "DeletePublicAccessBlock"}))
def test_linked_buckets_are_not_written(house: House, tmp_path: Path, operation: str) -> None:
    """They show a folder: whatever would change it is denied, and an upload into it never begins."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"image")
    buckets(house).link("linked", folder)
    put(house, "a")
    work = OPERATIONS[operation] if operation in OPERATIONS else TAKINGS[operation].prepare
    is_about_an_upload = "UploadId" in {*_required(operation)}

    with pytest.raises(NotFound if is_about_an_upload else Denied):
        work(house, {**FULL, "Bucket": "linked", "Key": "a.jpg"})
    assert (folder / "a.jpg").read_bytes() == b"image"
    assert get(house, "a.jpg", Bucket="linked")[0] == b"image"
    assert keys_of(call(house, "ListObjectsV2", Bucket="linked")) == ["a.jpg"]
    call(house, "CopyObject", Key="copy", CopySource="linked/a.jpg")
    assert get(house, "copy")[0] == b"image"


def _required(operation: str) -> list[str]:
    from deconfuse.gateway.shapes import operations

    return [parameter.name for parameter in operations()[operation].required]


@pytest.mark.parametrize("metadata", [{"n": "x" * 2048}, {"x" * 2049: ""}])
def test_what_cannot_be_kept_is_told_before_the_content_comes(house: House, metadata: dict[str, str]) -> None:
    """Metadata has its limit; a key too."""
    with pytest.raises(Invalid) as caught:
        TAKINGS["PutObject"].prepare(house, {"Bucket": "photos", "Key": "a", "Metadata": metadata})
    assert caught.value.field == "metadata"
    with pytest.raises(Invalid) as caught:
        TAKINGS["PutObject"].prepare(house, {"Bucket": "photos", "Key": "x" * 1025})
    assert caught.value.field == "key"

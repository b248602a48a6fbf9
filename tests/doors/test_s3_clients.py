"""The gateway as other people's clients meet it: obstore, pyarrow, pandas, MinIO's."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import minio
import minio.commonconfig
import minio.deleteobjects
import minio.error
import obstore
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store
from pyarrow import fs

from houses import make_house, now_utc
from secure import authority, served_securely
from serving import Service

BIG = os.urandom(1 << 20) * 12


@pytest.fixture
def photos(service: Service) -> Service:
    """Doors to a house with a bucket "photos"."""
    service.client("s3").create_bucket(Bucket="photos")
    return service


@pytest.fixture(params=["http", "https"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Service, Path | None]]:
    """The same over plain HTTP and over TLS, with the certificate to trust."""
    if request.param == "http":
        yield request.getfixturevalue("photos"), None
        return
    with served_securely(make_house(tmp_path / "house", now=now_utc), tmp_path) as opened:
        opened.house.objects.create_bucket("photos")
        yield opened, authority(tmp_path)
        assert opened.doors.faults == []


def filesystem(service: Service, certificate: Path | None) -> fs.S3FileSystem:
    """The client of pyarrow, which streams every body in chunks with a trailer."""
    trust = {} if certificate is None else {"tls_ca_file_path": str(certificate)}
    return fs.S3FileSystem(
        access_key=service.key.id,
        secret_key=service.key.secret,
        endpoint_override=urlsplit(service.url).netloc,
        scheme=urlsplit(service.url).scheme,
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        **trust,
    )


def test_pyarrow(anywhere: tuple[Service, Path | None]) -> None:
    """Files, streams of several parts, ranges, folders, moves and deletions."""
    s3 = filesystem(*anywhere)
    with s3.open_output_stream("photos/a/big") as stream:
        stream.write(BIG)
    with s3.open_output_stream("photos/a/small.txt") as stream:
        stream.write(b"hello")
    with s3.open_input_file("photos/a/big") as file:
        assert file.size() == len(BIG)
        file.seek(len(BIG) - 10)
        assert file.read() == BIG[-10:]
        assert file.read_at(5, 7) == BIG[7:12]
    s3.copy_file("photos/a/small.txt", "photos/b/copy.txt")
    s3.move("photos/a/small.txt", "photos/b/moved.txt")
    found = s3.get_file_info(fs.FileSelector("photos", recursive=True))
    assert sorted(info.path for info in found if info.type == fs.FileType.File) == [
        *("photos/a/big", "photos/b/copy.txt", "photos/b/moved.txt")
    ]
    assert s3.get_file_info("photos/none").type == fs.FileType.NotFound
    s3.create_dir("photos/empty")
    s3.delete_dir("photos/b")
    s3.create_dir("albums")
    s3.delete_dir("albums")
    with pytest.raises(OSError, match=r"NO_SUCH_BUCKET|NoSuchBucket|does not exist|not found"):
        s3.open_output_stream("nobody/a").close()


def test_tables_of_pyarrow_and_pandas(photos: Service) -> None:
    """Parquet and CSV, written and read in place."""
    s3 = filesystem(photos, None)
    frame = pd.DataFrame({"label": ["cat", "dog"] * 50_000, "probability": range(100_000)})
    frame.to_parquet("photos/t/frame.parquet", filesystem=s3)
    assert pd.read_parquet("photos/t/frame.parquet", filesystem=s3, columns=["probability"]).shape == (100_000, 1)
    table = pa.Table.from_pandas(frame)
    pyarrow.parquet.write_to_dataset(table, "photos/t/by", partition_cols=["label"], filesystem=s3)
    assert pyarrow.parquet.read_table("photos/t/by", filesystem=s3).num_rows == 100_000
    with s3.open_output_stream("photos/t/frame.csv") as stream:
        pyarrow.csv.write_csv(table, stream)
    with s3.open_input_stream("photos/t/frame.csv") as file:
        assert pd.read_csv(file).equals(frame)


def store(service: Service, certificate: Path | None = None, **more: Any) -> S3Store:
    """The client of obstore."""
    trust: Any = {} if certificate is None else {"allow_invalid_certificates": True}
    return S3Store(
        "photos",
        endpoint=service.url,
        access_key_id=service.key.id,
        secret_access_key=service.key.secret,
        region="us-east-1",
        client_options={"allow_http": True, **trust},
        **more,
    )


def test_obstore(anywhere: tuple[Service, Path | None]) -> None:
    """Objects, parts, ranges, lists, copies; create only once, replace only what was read."""
    s3 = store(*anywhere)
    told = obstore.put(s3, "a/small", b"hello", attributes={"Content-Type": "text/plain"})
    obstore.put(s3, "a/big", io.BytesIO(BIG), chunk_size=5 << 20, use_multipart=True)
    assert bytes(obstore.get(s3, "a/big").bytes()) == BIG
    assert bytes(obstore.get_range(s3, "a/small", start=1, end=3)) == b"el"
    assert [bytes(part) for part in obstore.get_ranges(s3, "a/small", starts=[0, 4], ends=[1, 5])] == [b"h", b"o"]
    with pytest.raises(AlreadyExistsError):
        obstore.put(s3, "a/small", b"other", mode="create")
    obstore.put(s3, "a/small", b"newer", mode={"e_tag": told["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(s3, "a/small", b"oldest", mode={"e_tag": told["e_tag"]})
    obstore.copy(s3, "a/small", "b/copy")
    obstore.rename(s3, "b/copy", "b/moved")
    assert sorted(entry["path"] for page in obstore.list(s3) for entry in page) == ["a/big", "a/small", "b/moved"]
    assert obstore.list_with_delimiter(s3)["common_prefixes"] == ["a", "b"]
    obstore.delete(s3, ["a/big", "a/small", "b/moved"])
    assert [entry for page in obstore.list(s3) for entry in page] == []
    with pytest.raises(FileNotFoundError):
        obstore.head(s3, "a/small")


def test_obstore_with_other_checksums(photos: Service) -> None:
    """A client that sums by SHA-256 and sends unsigned bodies, as this machine may."""
    for options in ({"checksum_algorithm": "sha256"}, {"unsigned_payload": True}):
        s3 = store(photos, **options)
        obstore.put(s3, "a", b"hello")
        assert bytes(obstore.get(s3, "a").bytes()) == b"hello"


def test_minio_goes_on_with_a_bucket_of_another_constraint(service: Service) -> None:
    """It signs for the region that it is told of a bucket, and asks again for each bucket."""
    made = {"LocationConstraint": "eu-west-1"}
    service.client("s3").create_bucket(Bucket="photos", CreateBucketConfiguration=made)
    client = minio.Minio(
        urlsplit(service.url).netloc, access_key=service.key.id, secret_key=service.key.secret, secure=False
    )
    client.put_object("photos", "a", io.BytesIO(b"hello"), 5)

    assert [entry.object_name for entry in client.list_objects("photos")] == ["a"]
    client.remove_object("photos", "a")
    client.remove_bucket("photos")


def test_minio(anywhere: tuple[Service, Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MinIO's own client: buckets, objects, parts, lists, copies, composition, presigned addresses, deletions."""
    service, certificate = anywhere
    if certificate is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = minio.Minio(
        endpoint=urlsplit(service.url).netloc,
        access_key=service.key.id,
        secret_key=service.key.secret,
        secure=certificate is not None,
    )
    client.make_bucket(bucket_name="albums")
    assert client.bucket_exists(bucket_name="albums")
    assert not client.bucket_exists(bucket_name="nobody")
    assert {bucket.name for bucket in client.list_buckets()} == {"albums", "photos"}
    client.put_object(bucket_name="photos", object_name="é a", data=io.BytesIO(b"hello"), length=5, metadata={"n": "1"})
    client.put_object(bucket_name="photos", object_name="big", data=io.BytesIO(BIG), length=-1, part_size=5 << 20)
    answer = client.get_object(bucket_name="photos", object_name="big", offset=3, length=10)
    assert answer.read() == BIG[3:13]
    answer.close()
    answer.release_conn()
    found = client.stat_object(bucket_name="photos", object_name="é a")
    assert (found.size, found.metadata["x-amz-meta-n"]) == (5, "1")
    source = minio.commonconfig.CopySource(bucket_name="photos", object_name="é a")
    client.copy_object(bucket_name="albums", object_name="copy", source=source)
    parts = [minio.commonconfig.ComposeSource(bucket_name="photos", object_name="big")] * 2
    client.compose_object(bucket_name="albums", object_name="twice", sources=parts)
    assert client.stat_object(bucket_name="albums", object_name="twice").size == 2 * len(BIG)
    listed = [entry.object_name for entry in client.list_objects(bucket_name="photos", recursive=True)]
    assert listed == ["big", "é a"]
    client.fget_object(bucket_name="photos", object_name="big", file_path=str(tmp_path / "big"))
    assert (tmp_path / "big").read_bytes() == BIG
    with pytest.raises(minio.error.S3Error, match="NoSuchKey"):
        client.stat_object(bucket_name="photos", object_name="none")
    for bucket in ("photos", "albums"):
        names = [entry.object_name for entry in client.list_objects(bucket_name=bucket, recursive=True)]
        removed = [minio.deleteobjects.DeleteObject(name) for name in names if name]
        assert list(client.remove_objects(bucket_name=bucket, delete_object_list=removed)) == []
        client.remove_bucket(bucket_name=bucket)

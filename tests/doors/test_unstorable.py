"""Texts that a database may not be able to hold, NUL above all, in every place of a request, over both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import serving
from deconfuse.service.tokens import write_token
from houses import make_house, now_utc
from signed import sign

EMPTY = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"
DELETE = "<Delete><Object><Key>a</Key></Object></Delete>"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Service]:
    """Doors over each database, with an object "a" and an upload of it in the bucket "photos", and a project."""
    is_sqlite = request.param == "sqlite"
    url = None if is_sqlite else request.getfixturevalue("postgres_cluster").new_database()
    home: Path = tmp_path_factory.mktemp("home")
    with serving.in_process(make_house(home, database=url, now=now_utc), is_idle=True) as opened:
        s3, api = opened.client("s3"), opened.client("rekognition")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a", Body=b"hello")
        s3.create_multipart_upload(Bucket="photos", Key="a")
        project = api.create_project(ProjectName="rooms")["ProjectArn"]
        api.create_dataset(ProjectArn=project, DatasetType="TRAIN")
        yield opened
        assert opened.doors.faults == []


def ask(service: serving.Service, method: str, target: str, body: str = "", **headers: str) -> tuple[int, str]:
    """Status and body of the answer of S3 to a request that is signed well."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = sign(
        method, service.url + target, headers=named, body=body.encode(), at=now_utc(), key_id=service.key.id,
        secret=service.key.secret,
    )  # fmt: skip
    path, _, query = target.partition("?")
    sent = {name.decode(): value.decode("latin-1") for name, value in request.headers}
    sent["Content-Length"] = str(len(body))
    status, _, data = serving.ask(
        service.doors, body.encode(), method=method, path=path, query=query.encode(), headers=sent
    )
    return status, data.decode()


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/%00", "NoSuchBucket"),
        ("GET", "/a%00b", "NoSuchBucket"),
        ("GET", "/photos%00?location", "NoSuchBucket"),
        ("GET", "/%00?versions", "NoSuchBucket"),
        ("GET", "/%00?uploads", "NoSuchBucket"),
        ("GET", "/%00?acl", "NoSuchBucket"),
        ("HEAD", "/a%00b", 404),
        ("PUT", "/a%00b", "InvalidBucketName"),
        ("DELETE", "/a%00b", "InvalidBucketName"),
        ("GET", "/%00/a", "NoSuchBucket"),
        ("HEAD", "/%00/a", 404),
        ("PUT", "/%00/a", "NoSuchBucket"),
        ("DELETE", "/%00/a", "NoSuchBucket"),
        ("POST", "/%00/a?uploads", "NoSuchBucket"),
        ("POST", "/%00?delete", "NoSuchBucket"),
        ("GET", "/photos/%00", "NoSuchKey"),
        ("GET", "/?prefix=%00", 200),
        ("GET", "/?prefix=photos%00", 200),
        ("GET", "/?continuation-token=AA%3D%3D", 200),
        ("GET", "/?continuation-token=YQA%3D", 200),
        ("GET", "/photos?prefix=%00&delimiter=%00&marker=%00", 200),
        ("GET", "/photos?list-type=2&start-after=%00", 200),
        ("GET", "/photos?list-type=2&continuation-token=AA%3D%3D", 200),
        ("GET", "/photos?versions&key-marker=%00&version-id-marker=%00", 200),
        ("GET", "/photos?uploads&key-marker=a&upload-id-marker=%00", 200),
        ("GET", "/photos?uploads&key-marker=%00&prefix=%00", 200),
        ("GET", "/photos/a?versionId=%00", "NoSuchVersion"),
        ("GET", "/photos/a?uploadId=%00", "NoSuchUpload"),
        ("DELETE", "/photos/a?uploadId=%00", "NoSuchUpload"),
        ("PUT", "/photos/a?partNumber=1&uploadId=a%00", "NoSuchUpload"),
        ("POST", "/photos/a?uploadId=a%00", "NoSuchUpload"),
    ],
)
def test_what_no_database_holds_is_not_there(
    service: serving.Service, method: str, target: str, expected: str | int
) -> None:
    """Buckets, uploads and places in lists with a NUL are found nowhere; no request about them is an error of ours."""
    body = {"POST": DELETE if "delete" in target else EMPTY if "uploadId" in target else ""}.get(method, "")
    status, told = ask(service, method, target, body)

    assert (re.findall("<Code>(.*)</Code>", told) or [status])[0] == expected


@pytest.mark.parametrize("target", ["/photos/b", "/photos/b?partNumber=1&uploadId=a%00"])
@pytest.mark.parametrize("source", ["%00/a", "photos%00/a", "photos/%00"])
def test_a_source_that_no_database_holds(service: serving.Service, target: str, source: str) -> None:
    """Is not found either."""
    status, told = ask(service, "PUT", target, x_amz_copy_source=source)

    assert (status, "<Code>NoSuch" in told) == (404, True)


def test_a_nul_has_its_place_in_a_list(service: serving.Service) -> None:
    """Right behind the name that stands before it."""
    for token, is_listed in (("cGhvdG9y", True), ("cGhvdG9yAA==", True), ("cGhvdG9z", False), ("cGhvdG9zAA==", False)):
        _, told = ask(service, "GET", "/?continuation-token=" + token.replace("=", "%3D"))
        assert ("<Name>photos</Name>" in told) is is_listed
    upload = re.findall("<UploadId>(.*?)</UploadId>", ask(service, "GET", "/photos?uploads")[1])[0]
    for marker, is_listed in ((upload[:-1] + "%00", True), (upload, False), (upload + "%00", False)):
        _, told = ask(service, "GET", f"/photos?uploads&key-marker=a&upload-id-marker={marker}")
        assert (f"<UploadId>{upload}</UploadId>" in told) is is_listed


def call(service: serving.Service, operation: str, asked: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer of the API to a request that is signed well."""
    status, data = service.call(operation, json.dumps(asked).encode())
    return status, json.loads(data)


@pytest.mark.parametrize("odd", ["\0", "a\0", "\ud800", "a\udfff"])
def test_the_api_refuses_what_no_database_holds(service: serving.Service, odd: str) -> None:
    """In names, ARNs, tags, places in buckets and tokens, forged ones too, each by the code of what is wrong."""
    described = call(service, "DescribeProjects", {})[1]["ProjectDescriptions"][0]
    project, dataset = described["ProjectArn"], described["Datasets"][0]["DatasetArn"]
    image = {"S3Object": {"Bucket": "photos", "Name": odd}}
    version = project.replace("/rooms/", "/rooms/version/1/")
    policies = write_token(("policies", project), odd)
    output = {"S3Bucket": "photos", "S3KeyPrefix": odd}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("CreateProject", {"ProjectName": odd}),
        ("CreateProject", {"ProjectName": "more", "Tags": {odd: "x"}}),
        ("CreateProject", {"ProjectName": "more", "Tags": {"x": odd}}),
        ("DescribeProjects", {"ProjectNames": [odd]}),
        ("DescribeProjects", {"NextToken": odd}),
        ("DescribeProjectVersions", {"ProjectArn": project, "VersionNames": [odd]}),
        ("DescribeProjectVersions", {"ProjectArn": project, "NextToken": odd}),
        ("DescribeProjectVersions", {"ProjectArn": project + odd}),
        ("DeleteProject", {"ProjectArn": project.replace("rooms", odd)}),
        ("DescribeDataset", {"DatasetArn": odd}),
        ("CreateProjectVersion", {"ProjectArn": project, "VersionName": odd, "OutputConfig": output}),
        ("CreateProjectVersion", {"ProjectArn": project, "VersionName": "1", "OutputConfig": output}),
        ("CreateDataset", {"ProjectArn": project, "DatasetType": "TEST", "DatasetSource": {"DatasetArn": odd}}),
        ("DetectCustomLabels", {"ProjectVersionArn": version, "Image": image}),
        ("ListDatasetEntries", {"DatasetArn": dataset, "ContainsLabels": [odd]}),
        ("ListDatasetEntries", {"DatasetArn": dataset, "SourceRefContains": odd}),
        ("ListDatasetEntries", {"DatasetArn": dataset, "NextToken": odd}),
        ("ListDatasetLabels", {"DatasetArn": dataset, "NextToken": odd}),
        ("ListProjectPolicies", {"ProjectArn": project, "NextToken": odd}),
        ("ListProjectPolicies", {"ProjectArn": project, "NextToken": policies}),
        ("PutProjectPolicy", {"ProjectArn": project, "PolicyName": odd, "PolicyDocument": "{}"}),
        ("PutProjectPolicy", {"ProjectArn": project, "PolicyName": "x", "PolicyDocument": odd}),
        ("DeleteProjectPolicy", {"ProjectArn": project, "PolicyName": "x", "PolicyRevisionId": odd}),
        ("TagResource", {"ResourceArn": odd, "Tags": {"a": "b"}}),
        ("TagResource", {"ResourceArn": project, "Tags": {odd: odd}}),
        ("UntagResource", {"ResourceArn": project, "TagKeys": [odd]}),
        ("ListTagsForResource", {"ResourceArn": odd}),
    ]
    found = [(operation, asked, *call(service, operation, asked)) for operation, asked in cases]

    assert [case for case in found if case[2] != 400 and (case[0], case[2]) != ("ListProjectPolicies", 200)] == []

"""The API as boto3 meets it: projects, policies, tags; who may ask; what becomes of requests that nobody sends."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import botocore.auth
import pytest
from botocore.exceptions import ClientError

import serving
from deconfuse.service import keys
from houses import now_utc
from signed import sign

TARGET = "RekognitionService."
JSON = "application/x-amz-json-1.1"


@pytest.fixture
def api(service: serving.Service) -> Any:
    """A Rekognition client."""
    return service.client("rekognition")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    """The code that the client read."""
    return str(error.value.response["Error"]["Code"])


def test_a_project_is_made_described_and_deleted(api: Any) -> None:
    """ARNs are spelled as AWS spells them, dates are dates, and lists that programs index are there."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    arn = api.create_project(ProjectName="rooms")["ProjectArn"]
    (project,) = api.describe_projects(ProjectNames=["rooms"])["ProjectDescriptions"]

    assert project["CreationTimestamp"] > before
    created_ms = round(project["CreationTimestamp"].timestamp() * 1000)
    assert arn == f"arn:aws:rekognition:us-east-1:123456789012:project/rooms/{created_ms}"
    assert project == {
        "ProjectArn": arn,
        "CreationTimestamp": project["CreationTimestamp"],
        "Status": "CREATED",
        "Datasets": [],
        "Feature": "CUSTOM_LABELS",
    }
    assert api.delete_project(ProjectArn=arn)["Status"] == "DELETING"
    assert api.describe_projects(ProjectNames=["rooms"])["ProjectDescriptions"] == []


def test_a_name_that_is_taken_is_an_exception_class_of_the_client(api: Any) -> None:
    """Programs catch client.exceptions.ResourceInUseException, and the status is 400."""
    api.create_project(ProjectName="rooms")
    with pytest.raises(api.exceptions.ResourceInUseException) as error:
        api.create_project(ProjectName="rooms")

    answer = error.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Code"] == "ResourceInUseException"
    assert answer["ResponseMetadata"]["RequestId"]


def test_what_a_project_was_made_for_is_told_again(api: Any) -> None:
    """A project of moderation adapters is kept, described, and listed only where its feature is asked for."""
    api.create_project(ProjectName="rooms")
    api.create_project(ProjectName="adult", Feature="CONTENT_MODERATION", AutoUpdate="ENABLED")

    def names(**asked: Any) -> list[str]:
        return [
            (each["ProjectArn"].split("/")[1], each["Feature"], each.get("AutoUpdate"))
            for each in api.describe_projects(**asked)["ProjectDescriptions"]
        ]

    rooms, adult = ("rooms", "CUSTOM_LABELS", None), ("adult", "CONTENT_MODERATION", "ENABLED")
    assert names() == [rooms]
    assert names(Features=["CONTENT_MODERATION"]) == [adult]
    assert names(Features=["CUSTOM_LABELS", "CONTENT_MODERATION"]) == [rooms, adult]


def test_the_loop_of_published_samples_ends(api: Any) -> None:
    """AWS's scripts ask first with an empty token and go on while the answer has NextToken at all."""
    for number in range(5):
        api.create_project(ProjectName=f"project-{number}")
    found, token, done = [], "", False
    while not done:
        answer = api.describe_projects(MaxResults=2, NextToken=token)
        found += [each["ProjectArn"].split("/")[1] for each in answer["ProjectDescriptions"]]
        token, done = answer.get("NextToken", ""), "NextToken" not in answer

    assert found == [f"project-{number}" for number in range(5)]


def test_paginators_walk_through_projects_and_policies(api: Any) -> None:
    """Page by page, nothing twice and nothing left out."""
    arns = [api.create_project(ProjectName=f"project-{number}")["ProjectArn"] for number in range(5)]
    for name in "abcdefg":
        put_policy(api, arns[0], name)

    projects = api.get_paginator("describe_projects").paginate(PaginationConfig={"PageSize": 2})
    policies = api.get_paginator("list_project_policies").paginate(ProjectArn=arns[0], PaginationConfig={"PageSize": 3})
    assert [each["ProjectArn"] for page in projects for each in page["ProjectDescriptions"]] == arns
    assert [each["PolicyName"] for page in policies for each in page["ProjectPolicies"]] == list("abcdefg")


def test_a_token_of_another_question_is_refused(api: Any) -> None:
    """A page token is good for the list that gave it."""
    for number in range(3):
        api.create_project(ProjectName=f"project-{number}")
    token = api.describe_projects(MaxResults=1)["NextToken"]

    for asked in ({"NextToken": token + "x"}, {"NextToken": token, "Features": ["CONTENT_MODERATION"]}):
        with pytest.raises(api.exceptions.InvalidPaginationTokenException):
            api.describe_projects(**asked)


def put_policy(api: Any, arn: str, name: str, **asked: Any) -> str:
    """The revision of a policy that lets another account copy every version of the project."""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "111122223333"},
                "Action": "rekognition:CopyProjectVersion",
                "Resource": arn.rpartition("/")[0] + "/version/*/*",
            }
        ],
    }
    asked = {"PolicyDocument": json.dumps(document), **asked}
    return str(api.put_project_policy(ProjectArn=arn, PolicyName=name, **asked)["PolicyRevisionId"])


def test_a_policy_changes_by_its_revision(api: Any) -> None:
    """What was put is listed; a change names the present revision; an old one is refused."""
    arn = api.create_project(ProjectName="rooms")["ProjectArn"]
    first = put_policy(api, arn, "share")
    with pytest.raises(api.exceptions.ResourceAlreadyExistsException):
        put_policy(api, arn, "share")
    second = put_policy(api, arn, "share", PolicyRevisionId=first)
    (policy,) = api.list_project_policies(ProjectArn=arn)["ProjectPolicies"]

    assert policy["PolicyRevisionId"] == second != first
    assert policy["ProjectArn"] == arn
    assert json.loads(policy["PolicyDocument"])["Version"] == "2012-10-17"
    assert policy["CreationTimestamp"] < policy["LastUpdatedTimestamp"]
    with pytest.raises(api.exceptions.InvalidPolicyRevisionIdException):
        api.delete_project_policy(ProjectArn=arn, PolicyName="share", PolicyRevisionId=first)
    api.delete_project_policy(ProjectArn=arn, PolicyName="share", PolicyRevisionId=second)
    assert api.list_project_policies(ProjectArn=arn)["ProjectPolicies"] == []


def test_a_document_that_is_no_policy_is_refused(api: Any) -> None:
    """It is neither kept nor repaired."""
    arn = api.create_project(ProjectName="rooms")["ProjectArn"]
    with pytest.raises(api.exceptions.MalformedPolicyDocumentException):
        put_policy(api, arn, "share", PolicyDocument="{}")


def test_tags_are_put_listed_and_taken_away(api: Any) -> None:
    """Those of a project's creation are there from the beginning; what has none has an empty map."""
    arn = api.create_project(ProjectName="rooms", Tags={"team": "sight"})["ProjectArn"]
    api.tag_resource(ResourceArn=arn, Tags={"cost": "7", "team": "Bäckerei"})

    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "Bäckerei", "cost": "7"}
    api.untag_resource(ResourceArn=arn, TagKeys=["team", "cost", "never"])
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}


def test_what_botocore_does_not_check_is_checked_here(api: Any) -> None:
    """A pattern of the model is a ValidationException in AWS's words, which clients have no class for."""
    with pytest.raises(ClientError) as error:
        api.create_project(ProjectName="living rooms")

    assert code(error) == "ValidationException"
    assert error.value.response["Error"]["Message"] == (
        "1 validation error detected: Value 'living rooms' at 'projectName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+"
    )


# ------------------------------------------------------------------------------------------------ who may ask


def test_a_key_that_may_only_read_changes_nothing(service: serving.Service, api: Any) -> None:
    """It lists and describes; everything else is AccessDeniedException before it is looked at."""
    reader = service.client("rekognition", key=keys.create_key(service.house, access="read"))
    arn = api.create_project(ProjectName="rooms")["ProjectArn"]

    assert len(reader.describe_projects()["ProjectDescriptions"]) == 1
    assert reader.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}
    for call in (
        lambda: reader.create_project(ProjectName="more"),
        lambda: reader.delete_project(ProjectArn=arn),
        lambda: reader.tag_resource(ResourceArn=arn, Tags={"a": "b"}),
    ):
        with pytest.raises(reader.exceptions.AccessDeniedException, match="read-only"):
            call()
    assert len(api.describe_projects()["ProjectDescriptions"]) == 1


def test_a_revoked_key_is_worth_nothing_at_once(service: serving.Service, api: Any) -> None:
    """The next request after the revocation is refused."""
    key = keys.create_key(service.house)
    client = service.client("rekognition", key=key)
    client.describe_projects()
    keys.revoke_key(service.house, key.id)

    with pytest.raises(ClientError) as error:
        client.describe_projects()
    assert code(error) == "UnrecognizedClientException"


def test_who_am_i(service: serving.Service) -> None:
    """Many programs ask STS first."""
    answer = service.client("sts").get_caller_identity()

    assert answer["Account"] == "123456789012"
    assert answer["UserId"] == service.key.id
    assert answer["Arn"] == f"arn:aws:iam::123456789012:user/{service.key.id}"
    assert answer["ResponseMetadata"]["RequestId"]


def test_other_operations_of_sts_and_other_services_are_refused_with_the_cause(service: serving.Service) -> None:
    """Whoever sets one endpoint for all services reads what to do instead."""
    with pytest.raises(ClientError, match="GetCallerIdentity only") as error:
        service.client("sts").get_session_token()
    assert code(error) == "InvalidAction"
    with pytest.raises(ClientError, match="AWS_ENDPOINT_URL_REKOGNITION") as error:
        service.client("iam").list_users()
    assert code(error) == "InvalidAction"
    with pytest.raises(ClientError, match="AWS_ENDPOINT_URL_REKOGNITION") as error:
        service.client("dynamodb").list_tables()
    assert code(error) == "UnknownOperationException"
    with pytest.raises(ClientError, match="not of Custom Labels") as error:
        service.client("rekognition").list_collections()
    assert code(error) == "UnknownOperationException"


def test_a_wrong_secret_an_unknown_key_and_a_wrong_region_are_told_apart(service: serving.Service) -> None:
    """The three mistakes that people make have three answers."""
    good = service.key
    cases = [
        (replace(good, id="AKIAAAAAAAAAAAAAAAAA"), {}, "UnrecognizedClientException"),
        (replace(good, secret="x" * 40), {}, "InvalidSignatureException"),
        (good, {"region": "eu-west-1"}, "InvalidSignatureException"),
    ]
    for key, more, expected in cases:
        with pytest.raises(ClientError) as error:
            service.client("rekognition", key=key, **more).describe_projects()
        assert (code(error), error.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (expected, 400)


# ------------------------------------------------------------------------------------------------ raw requests


def signed_headers(
    service: serving.Service,
    body: bytes,
    target: str | None = TARGET + "DescribeProjects",
    *,
    at: datetime | None = None,
    name: str = "rekognition",
    method: str = "POST",
    path: str = "/",
    **more: str,
) -> dict[str, str]:
    """The headers of a good request."""
    headers = {"Content-Type": JSON, **more} | ({"X-Amz-Target": target} if target else {})
    request = sign(
        method, service.url + path, headers=headers, body=body, by="botocore json", service=name,
        at=at or now_utc(), key_id=service.key.id, secret=service.key.secret,
    )  # fmt: skip
    return {key.decode(): value.decode() for key, value in request.headers}


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    """Status and code of an answer in JSON."""
    return answer[0], json.loads(answer[2])["__type"]


def test_a_request_without_signature_is_told_so(near: serving.Service) -> None:
    """It learns nothing else, whatever it asks: not even which operations there are."""
    asked = [("DescribeProjects", body) for body in (b"{}", b"not json", b'{"MaxResults": 1000}')]
    for operation, body in (*asked, ("DetectLabels", b"{}"), ("NoSuchThing", b"{}"), ("", b"{}")):
        answer = serving.ask(near.doors, body, headers={"X-Amz-Target": TARGET + operation})

        assert error_of(answer) == (400, "MissingAuthenticationTokenException")
        assert answer[1]["content-type"] == JSON
        assert answer[1]["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"at": timedelta(minutes=-16)}, "InvalidSignatureException"),
        ({"at": timedelta(minutes=16)}, "InvalidSignatureException"),
        ({"name": "s3"}, "IncompleteSignatureException"),
        ({"name": "sts"}, "InvalidSignatureException"),
        ({"target": TARGET + "DeleteProject"}, "InvalidSignatureException"),
        ({"target": TARGET + "NoSuchThing"}, "InvalidSignatureException"),
        ({"body": b'{"MaxResults": 2}'}, "InvalidSignatureException"),
        ({"X-Amz-Security-Token": "token"}, "UnrecognizedClientException"),
        ({"Authorization": "AWS4-HMAC-SHA256 nonsense"}, "IncompleteSignatureException"),
        ({"Authorization": "Bearer token"}, "MissingAuthenticationTokenException"),
    ],
)
def test_whatever_was_altered_or_is_too_old_is_refused(
    near: serving.Service, change: dict[str, Any], expected: str
) -> None:
    """A signature holds for one body, one target, one service and a quarter of an hour."""
    body = b"{}"
    at = now_utc() + change.pop("at", timedelta())
    headers = signed_headers(near, body, at=at, name=change.pop("name", "rekognition"))
    body, headers["X-Amz-Target"] = change.pop("body", body), change.pop("target", TARGET + "DescribeProjects")

    answer = serving.ask(near.doors, body, headers=headers | change)
    assert error_of(answer) == (400, expected)


def test_a_presigned_call_is_refused(near: serving.Service) -> None:
    """An address that is good for a week must not be able to delete a project."""
    with patch.dict("signed.SIGNERS", {"presigned": botocore.auth.SigV4QueryAuth}):
        request = sign(
            "POST", f"{near.url}/", headers={"X-Amz-Target": TARGET + "DescribeProjects"}, by="presigned",
            service="rekognition", at=now_utc(), key_id=near.key.id, secret=near.key.secret,
        )  # fmt: skip
    headers = {key.decode(): value.decode() for key, value in request.headers}

    answer = serving.ask(near.doors, query=request.raw_query, headers=headers)
    assert error_of(answer) == (400, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("PUT", "/"), ("DELETE", "/"), ("OPTIONS", "/"), ("PATCH", "/"), ("POST", "/abc"), ("POST", "/*"),
        ("POST", "//"), ("POST", "/."), ("GET", "/healthz"), ("POST", "/%2F"), ("POST", "/photos/a"),
    ],
)  # fmt: skip
def test_operations_are_asked_by_post_to_the_root(near: serving.Service, method: str, path: str) -> None:
    """Any other method or path is no operation, and nothing is done; nobody learns so without a key."""
    body = b'{"ProjectName": "rooms"}'
    headers = signed_headers(near, body, TARGET + "CreateProject", method=method, path=path)
    answer = serving.ask(near.doors, body, method=method, path=path, headers=headers)

    assert error_of(answer) == (404, "UnknownOperationException")
    assert near.client("rekognition").describe_projects()["ProjectDescriptions"] == []
    del headers["Authorization"]
    answer = serving.ask(near.doors, body, method=method, path=path, headers=headers)
    assert error_of(answer) == (400, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", 200),
        (b"not json", "SerializationException"),
        (b"[]", "SerializationException"),
        (b'{"MaxResults": true}', "SerializationException"),
        (b'{"MaxResults": 1e999}', "SerializationException"),
        (b'{"ProjectNames": "rooms"}', "SerializationException"),
        (b'{"MaxResults": 1, "MaxResults": 2}', "SerializationException"),
        (b"\xff\xfe{}", "SerializationException"),
        (b"[" * 100_000, "SerializationException"),
        (b'{"MaxResults": 101}', "ValidationException"),
        (b'{"MaxResults": null, "Unknown": {"a": [1]}}', 200),
    ],
)
def test_a_body_that_no_client_sends_is_answered_cleanly(
    near: serving.Service, body: bytes, expected: int | str
) -> None:
    """With a good signature even nonsense gets the protocol's own error."""
    answer = serving.ask(near.doors, body, headers=signed_headers(near, body))

    assert answer[0] == 200 if expected == 200 else error_of(answer) == (400, expected)


def test_a_body_that_is_too_long_is_refused_and_thrown_away(near: serving.Service) -> None:
    """Up to a size the client may send it all and then reads why; beyond it the connection ends."""
    headers = signed_headers(near, b"{}")
    answer = serving.ask(near.doors, [b"x" * 2**20] * 9, headers=headers | {"Content-Length": str(9 * 2**20)})
    assert error_of(answer) == (413, "RequestEntityTooLargeException")
    assert "8,388,608 bytes" in json.loads(answer[2])["message"]
    assert "connection" not in answer[1]

    answer = serving.ask(near.doors, [b"x" * 2**20] * 80, headers=headers | {"Content-Length": str(80 * 2**20)})
    assert error_of(answer) == (413, "RequestEntityTooLargeException")
    assert answer[1]["connection"] == "close"


@pytest.mark.parametrize(
    ("was", "becomes", "code"),
    [
        ("Credential=AKIA", "Credential=NONE", "UnrecognizedClientException"),
        ("AWS4-HMAC-SHA256", "Bearer", "MissingAuthenticationTokenException"),
        ("SignedHeaders=", "Headers=", "IncompleteSignatureException"),
    ],
)
def test_a_large_body_of_nobody_we_know_is_thrown_away(
    near: serving.Service, was: str, becomes: str, code: str
) -> None:
    """It is not held, whatever its length, and the answer names the key or signature as for a small one."""
    headers = signed_headers(near, b"{}")
    headers = {name: value.replace(was, becomes) for name, value in headers.items()}

    for size in (2, 9 << 20):
        pieces = [b"x" * min(size, 1 << 20)] * max(1, size >> 20)
        answer = serving.ask(near.doors, pieces, headers=headers | {"Content-Length": str(size)})
        assert error_of(answer) == (400, code)


def test_a_client_that_has_left_is_not_answered(near: serving.Service) -> None:
    """Nothing is done for half a request."""
    body = b'{"ProjectName": "rooms"}'
    headers = signed_headers(near, body, TARGET + "CreateProject")

    assert serving.ask(near.doors, body, headers=headers, is_cut=True) == (0, {}, b"")
    assert near.client("rekognition").describe_projects()["ProjectDescriptions"] == []


def test_a_body_that_does_not_come_is_given_up(near: serving.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time without a byte the answer is 408."""
    monkeypatch.setattr("deconfuse.asgi.SILENT_SECONDS", 0.01)
    answer = serving.ask(near.doors, b"{", headers=signed_headers(near, b"{}"), is_slow=True)

    assert error_of(answer) == (408, "RequestTimeoutException")


def test_an_error_of_our_own_is_told_to_the_log_only(near: serving.Service) -> None:
    """The client gets InternalServerError with the request's id, and not a word of the inside."""

    def broken() -> datetime:
        raise ZeroDivisionError("secret of the house")

    headers = signed_headers(near, b"{}")
    doors = serving.Doors(replace(near.house, clock=broken))
    answer = serving.ask(doors, b"{}", headers=headers)

    assert error_of(answer) == (500, "InternalServerError")
    assert b"secret" not in answer[2]
    assert answer[1]["x-amzn-requestid"] == json.loads(answer[2])["Logref"]
    assert [type(fault) for fault in doors.faults] == [ZeroDivisionError]


# ------------------------------------------------------------------------------------------------ many at once


@pytest.mark.slow
def test_many_clients_at_once_are_all_answered(service: serving.Service, api: Any) -> None:
    """Eight clients make, tag, list and delete projects of their own; nobody meets another's, nothing is left."""

    def live(number: int) -> list[str]:
        client = service.client("rekognition")
        found = []
        for turn in range(5):
            arn = client.create_project(ProjectName=f"project-{number}-{turn}")["ProjectArn"]
            client.tag_resource(ResourceArn=arn, Tags={"number": str(number)})
            found.append(client.list_tags_for_resource(ResourceArn=arn)["Tags"]["number"])
            client.describe_projects(MaxResults=3)
            client.delete_project(ProjectArn=arn)
        return found

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(live, range(8)))

    assert answers == [[str(number)] * 5 for number in range(8)]
    assert api.describe_projects()["ProjectDescriptions"] == []


def test_one_name_is_given_once(service: serving.Service) -> None:
    """Of eight clients that ask for one project at the same moment, one gets it."""

    def ask(client: Any) -> str:
        try:
            return str(client.create_project(ProjectName="rooms")["ProjectArn"])
        except client.exceptions.ResourceInUseException:
            return "taken"

    clients = [service.client("rekognition") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(ask, clients))

    assert answers[0].startswith("arn:")
    assert answers[1:] == ["taken"] * 7


def test_a_connection_goes_on_after_a_refusal(service: serving.Service) -> None:
    """A body that was refused for its length was read, so the next request on the connection is taken for itself."""
    connection = http.client.HTTPConnection(service.url.partition("://")[2])
    headers = signed_headers(service, b"{}")
    connection.request("POST", "/", b"x" * (9 * 2**20), headers)
    answers = [connection.getresponse()]
    bodies = [answers[0].read()]
    connection.request("POST", "/", b"{}", signed_headers(service, b"{}"))
    answers.append(connection.getresponse())
    bodies.append(answers[1].read())
    connection.close()

    assert [answer.status for answer in answers] == [413, 200]
    assert json.loads(bodies[1]) == {"ProjectDescriptions": []}


# ------------------------------------------------------------------------------------------------ who am I, in detail


def form(
    service: serving.Service, body: bytes, *, name: str = "sts", method: str = "POST", query: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """The answer to a signed form."""
    request = sign(
        method, f"{service.url}/{query}", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=body,
        by="botocore json", service=name, at=now_utc(), key_id=service.key.id, secret=service.key.secret,
    )  # fmt: skip
    headers = {key.decode(): value.decode() for key, value in request.headers}
    return serving.ask(service.doors, body, method=method, query=request.raw_query, headers=headers)


ACTION = "Action=GetCallerIdentity&Version=2011-06-15"


def test_who_am_i_may_stand_in_the_query(near: serving.Service) -> None:
    """Some programs send it by GET."""
    status, headers, body = form(near, b"", method="GET", query=f"?{ACTION}")

    assert (status, headers["content-type"]) == (200, "text/xml")
    assert near.key.id.encode() in body


@pytest.mark.parametrize(
    ("body", "name", "status", "expected"),
    [
        (b"", "sts", 400, b"<Code>MissingAction</Code>"),
        (b"Action=AssumeRole", "sts", 400, b"<Code>InvalidAction</Code>"),
        (b"\xff", "sts", 400, b"<Code>MalformedInput</Code>"),
        (b"a" * 70_000, "sts", 413, b"<Code>RequestEntityTooLarge"),
        (ACTION.encode(), "rekognition", 400, b"<Code>InvalidAction</Code>"),
        (b"Action=ListUsers", "iam", 400, b"AWS_ENDPOINT_URL_REKOGNITION"),
    ],
)
def test_a_form_that_asks_for_anything_else_is_refused_in_its_own_protocol(
    near: serving.Service, body: bytes, name: str, status: int, expected: bytes
) -> None:
    """XML, with the code that STS has for it."""
    answer = form(near, body, name=name)

    assert answer[0] == status
    assert expected in answer[2]
    assert answer[2].startswith(b"<ErrorResponse")


def test_who_am_i_needs_a_good_signature(near: serving.Service) -> None:
    """An altered form is SignatureDoesNotMatch, as with STS."""
    request = sign(
        "POST", f"{near.url}/", body=ACTION.encode(), by="botocore json", service="sts", at=now_utc(),
        key_id=near.key.id, secret="x" * 40,
    )  # fmt: skip
    headers = {key.decode(): value.decode() for key, value in request.headers}
    status, _, body = serving.ask(near.doors, ACTION.encode(), headers=headers)

    assert status == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in body

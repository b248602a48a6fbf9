"""What a policy of a project may say: AWS's published examples, their variants, and what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import BadPolicy
from deconfuse.service.policies import check_document

VERSION_ARN = "arn:aws:rekognition:us-east-1:111111111111:project/my_project/version/test_1/1627045542080"
STATEMENT: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111111111111:role/Admin"},
    "Action": "rekognition:CopyProjectVersion",
    "Resource": VERSION_ARN,
}
"""Of the example in the Developer Guide, "Creating a project policy document"."""


def document(*statements: Any, **more: Any) -> str:
    """A policy document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)} | more)


def test_published_examples_are_taken() -> None:
    """The guide's example, and the document that the API's example of ListProjectPolicies answers."""
    check_document(document(STATEMENT))
    check_document(
        '{"Version":"2012-10-17","Statement":[{"Sid":"Statemented1","Effect":"Allow","Principal":{"AWS":'
        '"arn:aws:iam::111122223333:root"},"Action":"rekognition:CopyProjectVersion","Resource":"*"}]}'
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"Effect": "Deny"},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": "111111111111"}},
        {"Principal": {"AWS": ["arn:aws:iam::111111111111:root", "arn:aws:sts::111111111111:assumed-role/a/b"]}},
        {"Principal": {"Service": "rekognition.amazonaws.com"}},
        {"Action": ["rekognition:CopyProjectVersion"]},
        {"Action": "Rekognition:copyProjectVersion"},
        {"Resource": [VERSION_ARN, "arn:aws:rekognition:*:*:project/my_project/version/*"]},
        {"Sid": "", "Condition": {}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": ["111111111111", "222222222222"]}}},
        {"Condition": {"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"a:b": 3}}},
    ],
    ids=str,
)
def test_what_iam_can_say_is_taken(changed: dict[str, Any]) -> None:
    """Whatever IAM's grammar allows about copying versions may be said."""
    check_document(document(STATEMENT | changed))


def test_forms_of_the_whole_are_taken() -> None:
    """One statement without a list around it, several statements, an Id, blanks and line ends."""
    check_document(json.dumps({"Version": "2012-10-17", "Id": "mine", "Statement": STATEMENT}, indent=2))
    check_document(document(STATEMENT | {"Sid": "a"}, STATEMENT | {"Sid": "b"}, STATEMENT, STATEMENT))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"NotAction": "s3:*"}, "NotAction"),
        ({"NotResource": "*"}, "NotResource"),
        ({"NotPrincipal": "*"}, "NotPrincipal"),
        ({"Effect": "ALLOW"}, "Effect"),
        ({"Effect": ["Allow"]}, "Effect"),
        ({"Principal": "arn:aws:iam::111111111111:root"}, "Principal"),
        ({"Principal": {}}, "Principal"),
        ({"Principal": {"AWS": []}}, "Principal.AWS"),
        ({"Principal": {"AWS": "principal"}}, "no account"),
        ({"Principal": {"AWS": "arn:aws:s3:::bucket"}}, "no account"),
        ({"Principal": {"Mail": "a@b.c"}}, "Mail"),
        ({"Action": "rekognition:*"}, "only possible one"),
        ({"Action": "*"}, "only possible one"),
        ({"Action": ["rekognition:CopyProjectVersion", "rekognition:DeleteProject"]}, "DeleteProject"),
        ({"Action": []}, "Action"),
        ({"Action": 1}, "Action"),
        ({"Resource": "arn:aws:s3:::bucket/key"}, "Resource"),
        ({"Resource": ""}, "Resource"),
        ({"Resource": [None]}, "Resource"),
        ({"Sid": "with blanks"}, "Sid"),
        ({"Sid": 7}, "Sid"),
        ({"Condition": []}, "Condition"),
        ({"Condition": {"StringEquals": "a"}}, "Condition"),
        ({"Condition": {"StringEquals": {"a": [{}]}}}, "compares"),
        ({"Condition": {"StringEquals": {"a": None}}}, "compares"),
        ({"Effects": "Allow"}, "Effects"),
    ],
    ids=str,
)
def test_bad_statements_are_refused(changed: dict[str, Any], said: str) -> None:
    """The message names what is wrong, and in which statement."""
    with pytest.raises(BadPolicy, match=r"policyDocument: .*statement 2") as caught:
        check_document(document(STATEMENT, STATEMENT | changed))

    assert said in caught.value.why


@pytest.mark.parametrize("missing", list(STATEMENT))
def test_what_a_statement_needs(missing: str) -> None:
    """Effect, Principal, Action and Resource are all needed."""
    with pytest.raises(BadPolicy, match=f"statement 1 has no {missing}"):
        check_document(document({key: value for key, value in STATEMENT.items() if key != missing}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("allow everything", "not JSON"),
        ("[]", "a list"),
        ("null", "null"),
        ("{}", "no Version"),
        ('{"Version":"2012-10-17"}', "no Statement"),
        ('{"Version":"2012-10-17","Statement":[]}', "no statement"),
        ('{"Version":"2012-10-17","Statement":[1]}', "statement 1"),
        ('{"Version":"2012-10-17","Statement":"*"}', "statement 1"),
        ('{"Version":"2008-10-17","Statement":[]}', "2012-10-17"),
        ('{"Version":20121017,"Statement":[]}', "2012-10-17"),
        (document(STATEMENT, Id=7), "Id"),
        (document(STATEMENT, Other=7), "Other"),
        (document(STATEMENT | {"Sid": "a"}, STATEMENT | {"Sid": "a"}), "one Sid"),
        ('{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}', "twice"),
        ("[" * 2000, "nested"),
        ('{"Version":NaN}', "NaN"),
        ("\ud800", "UTF-8"),
    ],
    ids=range(18),
)
def test_bad_documents_are_refused(text: str, said: str) -> None:
    """What is no policy document at all."""
    with pytest.raises(BadPolicy, match=said):
        check_document(text)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["*", VERSION_ARN, "Allow"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["AWS", *STATEMENT]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(key=st.sampled_from([*STATEMENT, "Sid", "Condition", "Statement", "Version"]), value=_VALUES)
def test_no_document_is_met_with_surprise(key: str, value: Any) -> None:
    """Whatever stands in a document, it is taken or refused by name."""
    for text in (document(STATEMENT | {key: value}), document(STATEMENT, **{key: value})):
        with contextlib.suppress(BadPolicy):
            check_document(text)

"""What a policy of a project may say; one that says anything else is refused before it is kept.

    {"Version": "2012-10-17",
     "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/Admin"},
                    "Action": "rekognition:CopyProjectVersion", "Resource": "*"}]}

A document is kept and told again, word for word. Nothing is granted by it here: whoever has a key has all projects,
and there is one account.

Source: Amazon Rekognition Custom Labels Developer Guide, "Creating a project policy document"; AWS Identity and Access
Management User Guide, "Grammar of the IAM JSON policy language".
"""

from __future__ import annotations

import re

from deconfuse.errors import BadPolicy
from deconfuse.formats import strict_json
from deconfuse.formats.strict_json import Json, NotJson

VERSION = "2012-10-17"
ACTION = "rekognition:CopyProjectVersion"

_NEEDED = ("Effect", "Principal", "Action", "Resource")
_POSSIBLE = {*_NEEDED, "Sid", "Condition"}
_FORBIDDEN = ("NotAction", "NotPrincipal", "NotResource")
_PRINCIPALS = ("AWS", "CanonicalUser", "Federated", "Service")
_ACCOUNT = re.compile(r"\*|[0-9]{12}|arn:[a-z0-9-]+:(iam|sts)::[0-9]{12}:[\x21-\x7e]+")
_SID = re.compile(r"[0-9A-Za-z]*")
_RESOURCE = re.compile(r"\*|arn:[a-z0-9*?-]+:rekognition:[a-z0-9*?-]*:[0-9*?]*:project/[A-Za-z0-9_.\-/*?]+")


def check_document(document: str) -> None:
    """Do nothing.

    Raises:
        BadPolicy: the document is not JSON, or says what no policy of a project may say.
    """
    try:
        policy = strict_json.parse_object(document.encode("utf-8", "surrogatepass"))
    except NotJson as error:
        raise BadPolicy("policyDocument", str(error)) from None
    _check_keys("the document", policy, needed=("Version", "Statement"), possible={"Version", "Statement", "Id"})
    if policy["Version"] != VERSION:
        raise _bad(f"its Version must be {VERSION!r}")
    if not isinstance(policy.get("Id", ""), str):
        raise _bad("its Id must be text")
    statements = policy["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    if not statements:
        raise _bad("it has no statement")
    for number, statement in enumerate(statements, start=1):
        _check_statement(f"statement {number}", statement)
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if len(set(sids)) < len(sids):
        raise _bad("two statements have one Sid")


def _check_statement(name: str, statement: Json) -> None:
    if not isinstance(statement, dict):
        raise _bad(f"{name} is not an object in braces")
    if forbidden := [key for key in _FORBIDDEN if key in statement]:
        raise _bad(f"{name} has {forbidden[0]}, which is not possible in a policy of a project")
    _check_keys(name, statement, needed=_NEEDED, possible=_POSSIBLE)
    if statement["Effect"] not in ("Allow", "Deny"):
        raise _bad(f"{name} has an Effect that is neither 'Allow' nor 'Deny'")
    sid = statement.get("Sid", "")
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        raise _bad(f"{name} has a Sid that is not made of letters and digits")
    for action in _texts(name, "Action", statement["Action"]):
        if action.lower() != ACTION.lower():
            raise _bad(f"{name} is about the action {action[:80]!r}; the only possible one is {ACTION}")
    for resource in _texts(name, "Resource", statement["Resource"]):
        if not _RESOURCE.fullmatch(resource):
            raise _bad(f"{name} has the Resource {resource[:80]!r}, which is no ARN of a version and not '*'")
    _check_principal(name, statement["Principal"])
    _check_condition(name, statement.get("Condition", {}))


def _check_principal(name: str, principal: Json) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not principal:
        raise _bad(f"{name} needs a Principal, such as {{'AWS': 'arn:aws:iam::111111111111:root'}}, or '*'")
    _check_keys(f"the Principal of {name}", principal, needed=(), possible=set(_PRINCIPALS))
    for kind, given in principal.items():
        for text in _texts(name, f"Principal.{kind}", given):
            if kind == "AWS" and not _ACCOUNT.fullmatch(text):
                raise _bad(f"{name} names {text[:80]!r}, which is no account and no ARN of a user or a role")


def _check_condition(name: str, condition: Json) -> None:
    if not isinstance(condition, dict) or not all(isinstance(tests, dict) for tests in condition.values()):
        raise _bad(f"{name} has a Condition that is not of the form {{operator: {{key: value}}}}")
    for tests in condition.values():
        for key, given in tests.items():
            values = given if isinstance(given, list) else [given]
            if not all(isinstance(value, str | bool | int | float) for value in values):
                raise _bad(f"{name} compares {key[:80]!r} with what is neither text nor a number nor a truth value")


def _check_keys(name: str, given: dict[str, Json], *, needed: tuple[str, ...], possible: set[str]) -> None:
    if missing := [key for key in needed if key not in given]:
        raise _bad(f"{name} has no {missing[0]}")
    if unknown := [key for key in given if key not in possible]:
        raise _bad(f"{name} has {unknown[0][:80]!r}; possible are {', '.join(sorted(possible))}")


def _texts(name: str, key: str, given: Json) -> list[str]:
    """A text, or several: what IAM takes wherever one is possible."""
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise _bad(f"{name} has a {key} that is neither text nor a list of texts")
    return texts


def _bad(why: str) -> BadPolicy:
    return BadPolicy("policyDocument", why)

"""Who am I: the one operation of STS that is answered, GetCallerIdentity.

Many programs ask this first, to see whether their keys are good. STS speaks another protocol, Query: the operation
stands in a form, the answer is XML. A client reaches us with it only when one endpoint is set for all services.

Source: AWS Query protocol in the Smithy specification; STS API reference, 2011-06-15.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from deconfuse import errors
from deconfuse.wire.faults import Refused, message_of

OPERATION = "GetCallerIdentity"
API_VERSION = "2011-06-15"
MEDIA_TYPE = "text/xml"
LARGEST_FORM = 64 * 2**10
"""Bytes of a request; a real one has about fifty."""

FAULTS: dict[type[errors.DeconfuseError], tuple[str, int]] = {
    errors.DeconfuseError: ("ValidationError", 400),
    errors.Denied: ("AccessDenied", 403),
    errors.NotSigned: ("MissingAuthenticationToken", 403),
    errors.BadSignature: ("SignatureDoesNotMatch", 403),
    errors.UnknownKey: ("InvalidClientTokenId", 403),
    errors.TooFast: ("Throttling", 400),
    errors.Damaged: ("InternalFailure", 500),
    errors.Unavailable: ("ServiceUnavailable", 503),
}
"""Code and status of errors; one that is not named has those of the nearest class above it."""

BY_REASON = {"malformed": ("IncompleteSignature", 400), "token": ("InvalidClientTokenId", 403)}
"""Code and status of a bad signature, by its reason; every other reason is SignatureDoesNotMatch."""

_NAMESPACE = f"https://sts.amazonaws.com/doc/{API_VERSION}/"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_request(body: bytes) -> None:
    """Return, if a form asks for GetCallerIdentity.

    Raises:
        Refused: MissingAction or InvalidAction, with a message for the client; MalformedInput, or 413 for a body
            above LARGEST_FORM.
    """
    if len(body) > LARGEST_FORM:
        raise Refused("RequestEntityTooLarge", f"a request may have {LARGEST_FORM} bytes", status=413)
    try:
        fields = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError:
        raise Refused("MalformedInput", "the body is no form of UTF-8 text", status=400) from None
    action = fields.get("Action")
    if not action:
        raise Refused("MissingAction", "the form has no Action", status=400)
    if action != OPERATION:
        why = f"of STS, deconfuse answers {OPERATION} only; {action[:100]} was asked"
        raise Refused("InvalidAction", why, status=400)


def write_identity(*, account: str, user_id: str, arn: str, request_id: str) -> bytes:
    """The body of the answer.

    Args:
        account: twelve digits.
        user_id: identifies who asks: the id of the key.
        arn: of who asks.
        request_id: identifies the request in the answer and in the log.
    """
    result = f"<Arn>{_text(arn)}</Arn><UserId>{_text(user_id)}</UserId><Account>{_text(account)}</Account>"
    return (
        f'<{OPERATION}Response xmlns="{_NAMESPACE}"><{OPERATION}Result>{result}</{OPERATION}Result>'
        f"<ResponseMetadata><RequestId>{_text(request_id)}</RequestId></ResponseMetadata></{OPERATION}Response>"
    ).encode()


def headers(request_id: str) -> dict[str, str]:
    """The headers of every answer."""
    return {"Content-Type": MEDIA_TYPE, "x-amzn-RequestId": request_id}


def fault(error: Exception, *, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request that ended in `error`."""
    code, status = _code(error)
    side = "Receiver" if status >= 500 else "Sender"
    body = (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{side}</Type><Code>{_text(code)}</Code>'
        f"<Message>{_text(message_of(error))}</Message></Error><RequestId>{_text(request_id)}</RequestId></ErrorResponse>"
    )
    return status, headers(request_id), body.encode()


def _code(error: Exception) -> tuple[str, int]:
    if isinstance(error, Refused):
        return error.code, error.status or 400
    found = next((FAULTS[kind] for kind in type(error).__mro__ if kind in FAULTS), ("InternalFailure", 500))
    return BY_REASON.get(error.reason, found) if isinstance(error, errors.BadSignature) else found


def _text(text: str) -> str:
    """`text` inside XML; characters that no XML may hold become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text))

"""Which of our errors is which code of AWS's.

`CODES` is the whole table, `BY_REASON` and `BY_KIND` refine it for signatures and for objects in S3. Codes of the
service model are answered in the model's form; the others (FRAMEWORK) are those that AWS's servers give before an
operation is reached. Every operation declares which codes of the model it raises, and clients are written against
that: a code that an operation does not declare becomes the nearest one that it does (`NEAREST`), so that no client
meets an exception which its model does not have.

Source: DESIGN's table of errors; Amazon Rekognition API reference, errors of each operation; Common Errors.
"""

from __future__ import annotations

from collections.abc import Collection

from deconfuse import errors

INTERNAL = "InternalServerError"
INVALID = "InvalidParameterException"

CODES: dict[type[errors.DeconfuseError], str] = {
    errors.Invalid: INVALID,
    errors.NotBuilt: INVALID,
    errors.BadToken: "InvalidPaginationTokenException",
    errors.BadPolicy: "MalformedPolicyDocumentException",
    errors.BadRevision: "InvalidPolicyRevisionIdException",
    errors.NotFound: "ResourceNotFoundException",
    errors.AlreadyExists: "ResourceAlreadyExistsException",
    errors.InUse: "ResourceInUseException",
    errors.Stale: "ResourceInUseException",
    errors.Unmet: "ResourceInUseException",
    errors.NotReady: "ResourceNotReadyException",
    errors.BadData: INVALID,
    errors.BadImage: "InvalidImageFormatException",
    errors.ImageTooLarge: "ImageTooLargeException",
    errors.BadManifest: INVALID,
    errors.Untrainable: INVALID,
    errors.Damaged: INTERNAL,
    errors.Denied: "AccessDeniedException",
    errors.NotSigned: "MissingAuthenticationTokenException",
    errors.BadSignature: "InvalidSignatureException",
    errors.UnknownKey: "UnrecognizedClientException",
    errors.LimitExceeded: "LimitExceededException",
    errors.TooFast: "ThrottlingException",
    errors.QuotaExceeded: "ServiceQuotaExceededException",
    errors.Unavailable: INTERNAL,
}
"""The code of every error; `Damaged` means files of ours, for what a client sends has errors of its own."""

BY_REASON = {"malformed": "IncompleteSignatureException", "token": "UnrecognizedClientException"}
"""Codes of a bad signature, by its reason; every other reason is InvalidSignatureException."""

BY_KIND = dict.fromkeys(("bucket", "key", "object"), "InvalidS3ObjectException")
"""Codes of what is not found, by its kind, where that is not a resource of the service but an object in S3."""

FRAMEWORK = frozenset(
    {
        "IncompleteSignatureException", "InvalidSignatureException", "MissingAuthenticationTokenException",
        "RequestEntityTooLargeException", "SerializationException", "UnknownOperationException",
        "UnrecognizedClientException", "ValidationException",
    }
)  # fmt: skip
"""Codes that every operation may answer although the model does not name them."""

NEAREST: dict[str, tuple[str, ...]] = {
    "ResourceNotReadyException": ("ResourceInUseException",),
    "ResourceInUseException": ("ResourceNotReadyException", "ResourceAlreadyExistsException"),
    "ResourceAlreadyExistsException": ("ResourceInUseException",),
    "LimitExceededException": ("ServiceQuotaExceededException",),
    "ServiceQuotaExceededException": ("LimitExceededException",),
    "ImageTooLargeException": ("InvalidImageFormatException",),
}
"""What an operation answers instead of a code that it does not declare; where nothing fits, INVALID."""

BY_OPERATION = {("DetectCustomLabels", "ThrottlingException"): "ProvisionedThroughputExceededException"}
"""The one code that depends on the operation: more images at a time than the model's inference units allow."""

_OWN_FAULT = "The service has an error of its own; its log has more under this request id."
_AWAY = "The service cannot reach its disk or its database for the moment; try again."


class Refused(Exception):
    """An answer of the protocol itself, given before any operation is reached; it never leaves this room.

    Attributes:
        code: as AWS spells it.
        message: a sentence for the client.
        status: of HTTP; None leaves it to the code.
    """

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def code_of(error: Exception, *, declared: Collection[str] | None = None, operation: str = "") -> str:
    """The code that a client gets for `error`.

    Args:
        error: anything that was raised; what is neither ours nor Refused is INTERNAL.
        declared: the codes that the operation may raise; None where no operation was reached.
        operation: its name.
    """
    if isinstance(error, Refused):
        return error.code
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), INTERNAL)
    if isinstance(error, errors.BadSignature):
        code = BY_REASON.get(error.reason, code)
    if isinstance(error, errors.NotFound):
        code = BY_KIND.get(error.kind, code)
    code = BY_OPERATION.get((operation, code), code)
    if declared is None or code in declared or code in FRAMEWORK:
        return code
    return next((near for near in NEAREST.get(code, ()) if near in declared), INVALID)


def message_of(error: Exception) -> str:
    """What a client may read about `error`: nothing of the inside where the fault is the service's own."""
    if isinstance(error, Refused):
        return error.message
    if isinstance(error, errors.Unavailable):
        return _AWAY
    return _OWN_FAULT if code_of(error) == INTERNAL else str(error)

"""Everything that can go wrong, as one tree.

Every error that deconfuse raises on purpose is one of these; each carries a sentence that names the thing and,
where there is one, the remedy. Rooms raise them, doors translate them (the command line into an exit code), and
nothing in between looks inside. A `Problem` is the same as a value: one image or line among many, collected so
that all of them can be reported together.

    DeconfuseError
    ├── Invalid(field, why)         an argument or option that cannot be meant
    │   ├── NotBuilt                asked for something that deconfuse does not do
    │   ├── BadToken                a page token that no earlier answer gave
    │   ├── BadPolicy               a policy document that cannot be read, or says what none may say
    │   └── BadRevision             a revision of a policy that is not the present one
    ├── NotFound(kind, name)        a file, run, label or bucket that is not there
    ├── AlreadyExists(kind, name)   the place is taken, nothing was touched
    ├── InUse                       a name that is taken, or a state in which this cannot be done
    │   └── Stale                   the state is no longer the one that was read
    ├── Unmet(condition)            a condition of the request does not hold, nothing was touched
    ├── NotReady                    the thing exists, but not in a state to be used
    ├── BadData                     the data cannot be used as it is
    │   ├── BadImage                an image that cannot be read or is refused
    │   │   └── ImageTooLarge       too many bytes or pixels
    │   ├── BadManifest(line, why)  a line of a manifest, CSV or table
    │   ├── Untrainable(code, why)  a dataset that cannot be trained, with AWS's code
    │   └── Damaged(what)           bytes that are not what they claim to be
    ├── Denied                      the system, or the service, refuses
    │   ├── NotSigned               a request without proof of who sends it
    │   ├── BadSignature(reason)    the proof does not hold: altered, too old, for another place, or unreadable
    │   └── UnknownKey(key_id)      a key that does not exist, or no longer
    ├── LimitExceeded               more than a stated limit
    │   ├── TooFast                 more requests at a time than are answered
    │   └── QuotaExceeded           more than an account or a resource may hold
    └── Unavailable                 disk full, or another part of the world that is away
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SignatureFault = Literal["malformed", "scope", "skewed", "expired", "unsigned", "token", "body", "mismatch"]
"""What can be wrong with a signature; `BadSignature` says what each means."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one image, one line, or a whole file: a value, so that all can be reported together.

    Attributes:
        code: AWS's validation code, ERROR_… or WARNING_…; codes of our own exist where AWS has none.
        message: a sentence that says what is wrong and what helps.
        level: "error" (the sample is not used) or "warning" (it is used, or ignored without counting as bad).
        uri: the image it is about, or None.
        line: 1-based line of the manifest or CSV it is about, or None.
        at: where in the line it belongs: "" is the line itself, otherwise the name of an attribute or of its
            metadata.
        split: the side it was found on, or None where it concerns both.
    """

    code: str
    message: str
    level: Literal["error", "warning"] = "error"
    uri: str | None = None
    line: int | None = None
    at: str = ""
    split: Literal["train", "test"] | None = None


class DeconfuseError(Exception):
    """The root: catch this to catch everything deconfuse raises on purpose."""


class Invalid(DeconfuseError):
    """An argument, option or value that cannot be meant.

    Attributes:
        field: the name of the argument or option, as its user wrote it.
        why: a sentence that says what was got and what is possible.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class NotBuilt(Invalid):
    """A request that is well-formed, for something that deconfuse does not do."""


class BadToken(Invalid):
    """A page token that no earlier answer gave, or that was given for another question."""


class BadPolicy(Invalid):
    """A policy document that cannot be read, or that says what no policy of a project may say."""


class BadRevision(Invalid):
    """A revision of a policy that is not the present one; nothing was touched."""


class NotFound(DeconfuseError):
    """Something named is not there.

    Attributes:
        kind: what was looked for, in words ("run", "file", "label").
        name: the name that was not found.
        remedy: a sentence that says what helps; may be empty.
    """

    def __init__(self, kind: str, name: str, remedy: str = "") -> None:
        super().__init__(f"{kind} not found: {name}" + (f". {remedy}" if remedy else ""))
        self.kind = kind
        self.name = name
        self.remedy = remedy


class AlreadyExists(DeconfuseError):
    """The place is taken; nothing was touched."""

    def __init__(self, kind: str, name: str, remedy: str = "") -> None:
        super().__init__(f"{kind} already exists: {name}" + (f". {remedy}" if remedy else ""))
        self.kind = kind
        self.name = name


class InUse(DeconfuseError):
    """A name that is taken, or a thing in a state in which this cannot be done with it."""


class Stale(InUse):
    """The state is no longer the one that was read: somebody else moved first, nothing was touched."""


class Unmet(DeconfuseError):
    """A condition of the request does not hold; nothing was touched.

    Attributes:
        condition: the condition, by the name of its header ("If-Match").
        etag: the ETag of what is there, without quotes; None where nothing is.
    """

    def __init__(self, condition: str, *, etag: str | None = None) -> None:
        super().__init__(f"the condition {condition} does not hold")
        self.condition = condition
        self.etag = etag


class NotReady(DeconfuseError):
    """The thing exists, but is not in a state in which it can be used."""


class BadData(DeconfuseError):
    """The data cannot be used as it is."""


class BadImage(BadData):
    """An image that cannot be decoded, or that the rules in force refuse.

    Attributes:
        code: AWS's validation code, ERROR_INVALID_IMAGE unless a narrower one applies.
        why: the reason, in words.
    """

    def __init__(self, why: str, *, code: str = "ERROR_INVALID_IMAGE") -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class ImageTooLarge(BadImage):
    """An image with more bytes or pixels than the rules in force allow."""


class BadManifest(BadData):
    """A line of a manifest, CSV or table that cannot be used.

    Attributes:
        line: 1-based number of the line; None where the file as a whole is meant.
        why: the reason, in words.
        code: AWS's validation code.
    """

    def __init__(self, line: int | None, why: str, *, code: str = "ERROR_INVALID_JSON_LINE") -> None:
        super().__init__(f"line {line}: {why}" if line is not None else why)
        self.line = line
        self.why = why
        self.code = code


class Untrainable(BadData):
    """A dataset from which no model can be trained.

    Attributes:
        code: AWS's validation code, e.g. ERROR_MANIFEST_TOO_FEW_LABELS.
        why: the reason, in words.
        problems: everything found on the way, so that all of it can be mended at once.
    """

    def __init__(self, code: str, why: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code
        self.why = why
        self.problems = problems


class Damaged(BadData):
    """Bytes that are not what their name or header claims.

    Attributes:
        what: the file or part that is damaged.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} is damaged: {why}")
        self.what = what
        self.why = why


class Denied(DeconfuseError):
    """The operating system, or a service, refuses to let us read or write."""


class NotSigned(Denied):
    """A request that carries no signature where one is needed."""


class BadSignature(Denied):
    """A signature that proves nothing for this request.

    Attributes:
        reason: what is wrong, for the doors, which have a code for each: "malformed" (cannot be read, or a part is
            missing), "scope" (made for another day, region or service), "skewed" (the clocks differ too much),
            "expired" (a presigned address whose time is over), "unsigned" (a part of the request that must be signed
            is not), "token" (temporary credentials, which are not given out here), "body" (the body is not the one
            that was signed), "mismatch" (anything else that was altered, or another secret).
        why: a sentence that says so, and what helps. It never tells the signature that was expected.
    """

    def __init__(self, reason: SignatureFault, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


class UnknownKey(Denied):
    """A signature by a key that does not exist, or no longer does.

    Attributes:
        key_id: the identifier that the request gives; never a secret.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id!r} here; `deconfuse credentials` prints those that exist")
        self.key_id = key_id


class LimitExceeded(DeconfuseError):
    """More than a stated limit; the message names the limit."""


class TooFast(LimitExceeded):
    """More requests at a time than are answered; trying again a little later helps."""


class QuotaExceeded(LimitExceeded):
    """More than an account or a resource may hold; the message names the quota."""


class Unavailable(DeconfuseError):
    """The disk is full, or another part of the world is away; trying later may help."""

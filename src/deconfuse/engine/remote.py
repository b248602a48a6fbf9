"""Somebody else's Custom Labels and S3: AWS, or a service of ours; everything that can go wrong there, in words.

    open_remote(profile=…)  ─►  Remote.projects(), .versions()     what Rekognition says
                                Remote.open(), .read()             what lies in S3

Who asks, and where, is found by botocore's own rules, as for every program that uses AWS: flags, then the environment,
then ~/.aws/config with its profiles and services sections. Nothing is written anywhere, and nothing but Describe and
Get is asked.

Source of the error codes: API reference of Amazon Rekognition and of Amazon S3, "Common errors" of both.
"""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import botocore.exceptions as aws
from botocore.config import Config
from botocore.configprovider import ConstantProvider
from botocore.parsers import ResponseParserError
from botocore.session import Session

from deconfuse.errors import (
    BadData,
    BadSignature,
    DeconfuseError,
    Denied,
    Invalid,
    LimitExceeded,
    NotFound,
    NotReady,
    TooFast,
    Unavailable,
)
from deconfuse.names import VERSION, ObjectAddress, parse_s3

CONNECT_SECONDS = 5
READ_SECONDS = 60
METADATA_SECONDS = 0.3
"""How long the metadata service of a cloud machine is waited for; where there is one it answers in milliseconds."""

CHUNK_BYTES = 1 << 18
"""So many bytes of an object are asked for at a time."""

CONNECTIONS = 16
"""So many requests may be under way at once."""

OWN_REGION = "us-east-1"
"""What is signed for at an endpoint that was named, where no region is; it is the region of a service of ours."""

_DENIED = {"AccessDeniedException", "AccessDenied", "AllAccessDisabled", "UnauthorizedOperation", "403", "Forbidden"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_KEY = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken"}
_BAD_SIGNATURE = {
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "IncompleteSignature",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "MissingAuthenticationTokenException",
}
_NOT_SIGNED_UP = {"OptInRequired", "SubscriptionRequiredException", "NotSignedUp", "InvalidPayer", "AccountProblem"}
_TOO_FAST = {
    "ThrottlingException",
    "Throttling",
    "ProvisionedThroughputExceededException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
    "503 SlowDown",
}
_OUT_OF_REACH = (
    aws.EndpointConnectionError,
    aws.ConnectTimeoutError,
    aws.ReadTimeoutError,
    aws.ConnectionClosedError,
    aws.ProxyConnectionError,
    aws.HTTPClientError,
)
_EXPIRED_LOGIN = (
    aws.SSOError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
    aws.UnauthorizedSSOTokenError,
    aws.LoginError,
)
_TOKEN_VARIABLES = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_CREDENTIALS_HELP = (
    "run `aws configure`, name a profile with --profile, or, for a service of deconfuse, paste what "
    "`deconfuse credentials` prints"
)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call, as messages speak of it.

    Attributes:
        name: the operation.
        service: "rekognition" or "s3".
        action: what an IAM policy calls the permission for it.
        about: what is asked for, in words.
        resource: what the permission must be for.
    """

    name: str
    service: str
    action: str
    about: str
    resource: str


class Remote:
    """A service that speaks AWS's language, and who we are there."""

    def __init__(self, session: Session, *, endpoint_url: str | None, region: str | None) -> None:
        """See `open_remote`."""
        self._session = session
        self._endpoint_url = endpoint_url
        self.region: str | None = region

    def projects(self, names: Sequence[str] = ()) -> Iterator[Mapping[str, Any]]:
        """The projects of these names, or all: what DescribeProjects says of each."""
        call = _Call("DescribeProjects", "rekognition", "rekognition:DescribeProjects", "the projects", "*")
        asked = {"ProjectNames": list(names)} if names else {}
        return self._pages(call, "ProjectDescriptions", "ProjectArn", asked)

    def versions(self, project_arn: str, names: Sequence[str] = ()) -> Iterator[Mapping[str, Any]]:
        """The versions of a project of these names, or all, the newest first: what DescribeProjectVersions says.

        Raises:
            NotFound: there is no such project.
        """
        action = "rekognition:DescribeProjectVersions"
        call = _Call("DescribeProjectVersions", "rekognition", action, f"project {project_arn}", project_arn)
        asked: dict[str, Any] = {"ProjectArn": project_arn} | ({"VersionNames": list(names)} if names else {})
        return self._pages(call, "ProjectVersionDescriptions", "ProjectVersionArn", asked)

    @contextmanager
    def open(self, address: ObjectAddress) -> Iterator[BinaryIO]:
        """The bytes of an object as a stream.

        Raises:
            NotFound: the object or its bucket is not there.
            Denied: it may not be read.
            Unavailable: S3 cannot be reached, or went away in the middle.
        """
        call = _get_object(address)
        with self._translated(call):
            answer = self._s3.get_object(**_place(address))
        # Entered by itself, the body would give the socket beneath it, which does not count what arrives.
        with closing(answer["Body"]) as body:
            yield io.BufferedReader(_Body(self, call, body), CHUNK_BYTES)

    def read(self, address: ObjectAddress, *, limit: int) -> bytes:
        """The bytes of an object, at most `limit`.

        Raises:
            LimitExceeded: it has more.
            NotFound, Denied, Unavailable: as `open`.
        """
        with self.open(address) as body:
            data = body.read(limit + 1)
        if len(data) > limit:
            raise LimitExceeded(f"{address} has more than {limit:,} bytes")
        return data

    def read_image(self, uri: str, *, limit: int) -> bytes:
        """The bytes of the image at `uri`, s3://bucket/key; raises as `read`, Invalid for another form."""
        return self.read(parse_s3(uri), limit=limit)

    @cached_property
    def _rekognition(self) -> Any:
        return self._client("rekognition")

    @cached_property
    def _s3(self) -> Any:
        return self._client("s3")

    def _client(self, service: str) -> Any:
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard"},
            max_pool_connections=CONNECTIONS,
            user_agent_extra=f"deconfuse/{VERSION}",
        )
        region = self.region or self._session.get_config_variable("region")
        if region is None and self._endpoint_url is not None:
            region = OWN_REGION
        self.region = region
        try:
            return self._session.create_client(
                service, region_name=region, endpoint_url=self._endpoint_url, config=config
            )
        except aws.BotoCoreError:
            raise
        except ValueError as error:
            if "endpoint" not in str(error).lower():
                raise Invalid("AWS configuration", str(error)) from None
            raise Invalid("--endpoint-url", f"{error}; give an address such as http://127.0.0.1:8750") from None

    def _pages(self, call: _Call, member: str, arn: str, asked: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Every item of a paginated answer; each has its ARN."""
        with self._translated(call):
            pages = iter(self._rekognition.get_paginator(_snake(call.name)).paginate(**asked))
        stranger = Invalid("--endpoint-url", f"{self._address(call)} answers, but not as Amazon Rekognition does")
        while True:
            try:
                with self._translated(call):
                    page = next(pages, None)
            except (AttributeError, TypeError, UnicodeDecodeError) as error:
                # botocore does not look at what it is given before it takes it apart.
                raise stranger from error
            if page is None:
                return
            if not isinstance(page.get(member), list) or not all(item.get(arn) for item in page[member]):
                raise stranger
            yield from page[member]

    @contextmanager
    def _translated(self, call: _Call) -> Iterator[None]:
        """What botocore raises inside comes out as an error of ours."""
        try:
            yield
        except aws.ClientError as error:
            raise self._refused(call, error) from error
        except (aws.BotoCoreError, ResponseParserError) as error:
            raise self._failed(call, error) from error

    def _refused(self, call: _Call, error: aws.ClientError) -> DeconfuseError:
        """What an answer that is an error means."""
        said = error.response.get("Error", {})
        code, text = str(said.get("Code", "")), str(said.get("Message", "")).strip()
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        quoted = f" It says: {text}{'' if text.endswith('.') else '.'}" if text else ""
        if code in _DENIED:
            return Denied(_denied_text(call, text))
        if code in _EXPIRED:
            return Denied(
                f"the credentials have expired ({call.name} answers {code}); log in again (`aws sso login`, "
                "or whatever gave you the session), then repeat the command"
            )
        if code in _UNKNOWN_KEY:
            return Denied(
                f"{self._address(call)} does not take the key {self._key_id()!r} ({code}).{quoted} {self._key_help()}"
            )
        if code in _BAD_SIGNATURE:
            return BadSignature("mismatch", f"{self._address(call)} refuses the signature of {call.name}.{quoted}")
        if code in _NOT_SIGNED_UP:
            return Denied(f"this AWS account may not use {call.service} in {self.region} ({code}).{quoted}")
        if code in _TOO_FAST:
            return TooFast(f"{self._address(call)} answers {call.name} with {code}; wait a little, then repeat")
        if call.service == "s3":
            return _refused_object(call, code, status, quoted)
        if code == "ResourceNotFoundException":
            return NotFound("project", call.about.removeprefix("project "), f"Region {self.region}.{quoted}")
        if status >= 500:
            return Unavailable(f"{self._address(call)} answers {call.name} with {code}; try again later.{quoted}")
        if code in ("UnknownOperationException", "404", "405", "301", "302"):
            why = f"{self._address(call)} answers, but not as Amazon Rekognition does ({code})"
            return Invalid("--endpoint-url", why)
        return Invalid("--project, --version", f"{call.name} answers {code}.{quoted}")

    def _failed(self, call: _Call, error: Exception) -> DeconfuseError:
        """What it means that no answer came."""
        if isinstance(error, (aws.NoCredentialsError, aws.PartialCredentialsError)):
            return Denied(f"no credentials were found ({error}): {_CREDENTIALS_HELP}")
        if isinstance(error, _EXPIRED_LOGIN):
            return Denied(f"the login has expired or was never made ({error}); run `aws sso login`")
        if isinstance(error, (aws.CredentialRetrievalError, aws.UnknownCredentialError, aws.MetadataRetrievalError)):
            return Denied(f"the credentials could not be had: {error}")
        if isinstance(error, aws.ProfileNotFound):
            return _unknown_profile(self._session, str(error.kwargs.get("profile")))
        if isinstance(error, aws.NoRegionError):
            return Invalid(
                "--region", "no region is known; give one, or set it in the profile or in AWS_DEFAULT_REGION"
            )
        if isinstance(error, aws.InvalidRegionError):
            return Invalid("--region", f"{self.region!r} is not the name of a region")
        if isinstance(error, (aws.InvalidConfigError, aws.ConfigParseError)):
            return Invalid("AWS configuration", str(error))
        if isinstance(error, aws.SSLError):
            return Unavailable(f"{error}; a certificate of your own is trusted where AWS_CA_BUNDLE names its file")
        if isinstance(error, _OUT_OF_REACH):
            return self._out_of_reach(call, error)
        if isinstance(error, (ResponseParserError, aws.FlexibleChecksumError, aws.IncompleteReadError)):
            return Unavailable(f"{self._address(call)} answers something that cannot be read: {str(error)[:200]}")
        return Invalid("AWS configuration", str(error))

    def _out_of_reach(self, call: _Call, error: Exception) -> DeconfuseError:
        known = self._session.get_available_regions("rekognition")
        where = self._address(call)
        is_aws = ".amazonaws.com" in where
        if is_aws and self.region is not None and self.region not in known:
            near = difflib.get_close_matches(self.region, known, n=3)
            guess = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
            return Invalid("--region", f"Rekognition cannot be reached in {self.region!r}; {guess}")
        remedy = "is there a network?" if is_aws else "is `deconfuse serve` running there?"
        return Unavailable(f"{where} cannot be reached: {error} ({type(error).__name__}); {remedy}")

    def _address(self, call: _Call) -> str:
        """The endpoint of a call; the name of its service where there is none yet."""
        client = self.__dict__.get("_s3" if call.service == "s3" else "_rekognition")
        return client.meta.endpoint_url if client is not None else call.service

    def _key_help(self) -> str:
        """What helps where a key is not taken: a session token may be left over from another one."""
        credentials = self._session.get_credentials()
        token = next((name for name in _TOKEN_VARIABLES if os.environ.get(name)), None)
        if token is not None and credentials is not None and credentials.method == "env":
            return f"{token} is set and was sent along; unless it came with this key, `unset {token}`"
        return f"{_CREDENTIALS_HELP[0].upper()}{_CREDENTIALS_HELP[1:]}"

    def _key_id(self) -> str:
        credentials = self._session.get_credentials()
        return str(credentials.access_key) if credentials is not None else ""


def open_remote(*, profile: str | None = None, endpoint_url: str | None = None, region: str | None = None) -> Remote:
    """The service that flags and the user's AWS configuration name; nothing is asked of it yet.

    Args:
        profile: a profile of the AWS configuration; None is the one in force.
        endpoint_url: the address of Rekognition and of S3; None is what the configuration says, AWS's otherwise.
        region: None is what the configuration says.

    Raises:
        NotFound: there is no such profile.
        Invalid: the configuration cannot be read.
    """
    session = Session(profile=profile)
    try:
        names = session.available_profiles
        if profile is not None and profile not in names:
            raise _unknown_profile(session, profile)
        if session.get_config_variable("metadata_service_timeout") == 1:
            # The default. Set as a variable it would become a whole number.
            store = session.get_component("config_store")
            store.set_config_provider("metadata_service_timeout", ConstantProvider(METADATA_SECONDS))
        session.get_scoped_config()
    except aws.ProfileNotFound as error:
        raise _unknown_profile(session, str(error.kwargs.get("profile"))) from None
    except aws.BotoCoreError as error:
        raise Invalid("AWS configuration", str(error)) from None
    return Remote(session, endpoint_url=endpoint_url, region=region)


class _Body(io.RawIOBase):
    """The body of an object: a stream whose failures are errors of ours."""

    def __init__(self, remote: Remote, call: _Call, body: Any) -> None:
        self._remote, self._call, self._body = remote, call, body

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what comes next: the number of bytes, 0 at the end."""
        with self._remote._translated(self._call):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _unknown_profile(session: Session, profile: str) -> NotFound:
    try:
        names = session.available_profiles
    except aws.BotoCoreError:
        names = []
    near = difflib.get_close_matches(profile, names, n=1)
    there = f"There are: {', '.join(names[:20])}" if names else "The AWS configuration has none"
    return NotFound("profile", profile, f"Did you mean {near[0]}?" if near else there)


def _denied_text(call: _Call, text: str) -> str:
    said = f"{call.name} is not allowed: these credentials need {call.action} for {call.resource}"
    if "kms:" in text or "KMS" in text:
        said += ", and kms:Decrypt for the key that it is encrypted with"
    if call.service == "s3":
        said += "; or the object is gone, which S3 does not tell those who may not list the bucket (s3:ListBucket)"
    return said + (f". It says: {text}" if text else "")


def _refused_object(call: _Call, code: str, status: int, quoted: str) -> DeconfuseError:
    """What an error of S3 means that is not about who asks."""
    if code in ("NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"):
        what = "its bucket is gone" if code == "NoSuchBucket" else "it is no longer there"
        return NotFound("object in S3", call.about, f"{what[0].upper()}{what[1:]}, or lies with another service")
    if code == "InvalidObjectState":
        return NotReady(f"{call.about} is archived; restore it in S3 first.{quoted}")
    if status >= 500:
        return Unavailable(f"S3 answers {code} for {call.about}; try again later.{quoted}")
    return BadData(f"S3 answers {code} for {call.about}.{quoted}")


def _get_object(address: ObjectAddress) -> _Call:
    action = "s3:GetObject" if address.version is None else "s3:GetObjectVersion"
    return _Call("GetObject", "s3", action, str(address), f"arn:aws:s3:::{address.bucket}/{address.key}")


def _place(address: ObjectAddress) -> dict[str, str]:
    place = {"Bucket": address.bucket, "Key": address.key}
    return place if address.version is None else place | {"VersionId": address.version}


def _snake(operation: str) -> str:
    """The name of a method of botocore's client: DescribeProjects is describe_projects."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")

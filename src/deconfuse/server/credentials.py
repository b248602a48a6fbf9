"""A key as other programs take it, ready to be pasted.

    env           export lines for a shell
    aws-config    one block for ~/.aws/config: a profile and, by `services`, the addresses of two services alone
    json          what `credential_process` in an AWS configuration reads, and the address beside it
    the file      [custom-labels-access], in the form of ~/.aws/credentials

Only Rekognition and S3 get an address: every other service of a client stays at AWS.

Source: AWS SDKs and Tools reference guide, "Service-specific endpoints" and "Process credential provider".
"""

from __future__ import annotations

import configparser
import json
import shlex

from deconfuse.server.home import Address
from deconfuse.service.keys import Key

PROFILE = "custom-labels-access"
"""The profile that AWS's published programs use."""

FORMATS = ("env", "aws-config", "json")


def written(form: str, key: Key, address: Address) -> str:
    """The key in one of `FORMATS`, with its secret."""
    return {"env": _env, "aws-config": _aws_config, "json": _json}[form](key, address)


def to_file(key: Key) -> str:
    """The text of a credentials file."""
    return f"[{PROFILE}]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"


def id_in_file(text: str) -> str | None:
    """The key that a credentials file holds; None where it holds none."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        return parser.get(PROFILE, "aws_access_key_id")
    except configparser.Error:
        return None


def _env(key: Key, address: Address) -> str:
    variables = {
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_DEFAULT_REGION": address.region,
        "AWS_REGION": address.region,  # the SDK for JavaScript knows no other
        "AWS_ENDPOINT_URL_REKOGNITION": address.endpoint_url,
        "AWS_ENDPOINT_URL_S3": address.s3_endpoint_url,
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _aws_config(key: Key, address: Address) -> str:
    return (
        f"[profile {PROFILE}]\n"
        f"region = {address.region}\n"
        f"aws_access_key_id = {key.id}\n"
        f"aws_secret_access_key = {key.secret}\n"
        "services = deconfuse\n"
        "\n"
        "[services deconfuse]\n"
        "rekognition =\n"
        f"  endpoint_url = {address.endpoint_url}\n"
        "s3 =\n"
        f"  endpoint_url = {address.s3_endpoint_url}\n"
    )


def _json(key: Key, address: Address) -> str:
    values = {
        "Version": 1,
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Access": key.access,
        "Region": address.region,
        "EndpointUrl": address.endpoint_url,
        "S3EndpointUrl": address.s3_endpoint_url,
    }
    return json.dumps(values, indent=2) + "\n"

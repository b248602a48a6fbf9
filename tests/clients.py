"""Programs of other people that tests run: where `make clients` has put them, and the environment they get.

program("awscli", "aws")      the path of a program
environment(service)          variables for a child process: keys, region and addresses of these doors, nothing of ours
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from serving import Service

PLACE = Path(sys.prefix) / "clients"


def program(place: str, name: str) -> str:
    """The program `name` of the client `place`, a file of tests/doors/clients."""
    path = PLACE / place / "bin" / name
    assert path.exists(), f"{path} is missing: make clients installs it (python scripts/clients.py)"
    return str(path)


def environment(service: Service, **more: str) -> dict[str, str]:
    """What a program that knows the AWS variables needs to find `service`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": service.key.id,
        "AWS_SECRET_ACCESS_KEY": service.key.secret,
        "AWS_REGION": service.house.region,
        "AWS_DEFAULT_REGION": service.house.region,
        "AWS_ENDPOINT_URL_S3": service.url,
        "AWS_ENDPOINT_URL_REKOGNITION": service.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
        **more,
    }

"""The API as a program in JavaScript meets it: AWS's SDK, version 3."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from clients import environment
from serving import Service
from worlds import manifest_line, picture

pytestmark = pytest.mark.node


def test_the_sdk_for_javascript(service: Service, modules: Path) -> None:
    """Pages, waiters, dates, bytes and exceptions by their classes: a project, a training, labels of an image."""
    keys = {f"{label}/{number} ü.png": label for label in ("leaf", "sun") for number in range(10)}
    given = {
        "lines": [manifest_line(key, [label]).decode() for key, label in keys.items()],
        "pictures": {
            key: base64.b64encode(picture(label, number)).decode() for number, (key, label) in enumerate(keys.items())
        },
        "image": base64.b64encode(picture("leaf", 99)).decode(),
    }
    done = subprocess.run(
        ["node", "rekognition.mjs"],
        input=json.dumps(given).encode(),
        cwd=modules,
        env=environment(service),
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, b"done"), done.stderr.decode()

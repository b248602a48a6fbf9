"""The transcript in docs/api.md is what the service answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore import xform_name

from deconfuse.wire.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"


@pytest.mark.slow
def test_the_transcript_is_what_a_server_answers() -> None:
    """The script, run again with a server of its own, would change nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "scripts" / "api_transcript.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False, timeout=280)

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_page_names_every_operation_and_the_transcript_calls_it() -> None:
    """None is missing among those that are explained, nor among those that are shown."""
    explained, _, shown = PAGE.read_text().partition("\n## A transcript")

    assert [name for name in OPERATIONS if name not in explained] == []
    assert [name for name in OPERATIONS if f"rekognition.{xform_name(name)}(" not in shown] == []

"""Install other people's clients of S3, each in a place of its own below the environment.

    python scripts/clients.py

The AWS CLI and s3fs bring a botocore that is not ours, and rclone is one large program; none of them belongs into the
environment of the project. tests/doors/clients/NAME.txt says what is installed to ENVIRONMENT/clients/NAME; what is
there and unchanged is left alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

WANTED = Path(__file__).resolve().parents[1] / "tests" / "doors" / "clients"
PLACE = Path(sys.prefix) / "clients"


def install(wanted: Path) -> None:
    """Make the environment that the file `wanted` describes, unless it is there."""
    place = PLACE / wanted.stem
    record = place / wanted.name
    if record.exists() and record.read_text() == wanted.read_text():
        return
    print(f"installing {wanted.stem} into {place} (once)", file=sys.stderr)  # noqa: T201 - this is a script
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(wanted)], check=True)
    record.write_text(wanted.read_text())


if __name__ == "__main__":
    for wanted in sorted(WANTED.glob("*.txt")):
        install(wanted)

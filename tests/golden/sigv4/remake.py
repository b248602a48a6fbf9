"""Make suite.json from AWS's Signature Version 4 test suite: python remake.py FOLDER (its `aws4_testsuite`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Gather the raw request and the Authorization header that it must have, one entry a case."""
    suite = {
        str(path.parent.relative_to(folder)): {
            "request": path.read_bytes().decode(),
            "authorization": path.with_suffix(".authz").read_bytes().decode().strip(),
        }
        for path in sorted(folder.rglob("*.req"))
    }
    text = json.dumps(suite, indent=1, ensure_ascii=True) + "\n"
    (Path(__file__).parent / "suite.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

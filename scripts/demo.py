"""The demonstration: real handwritten digits, from folder to report, in under a minute.

Exports 1,000 of the digits that ship inside scikit-learn as PNG files in label folders, then runs the same command
a user would run. Everything lies below ./demo; an earlier demonstration is removed first.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

DEMO = Path(__file__).resolve().parent.parent / "demo"
N_DIGITS = 1_000
SIDE = 96


def export_digits(folder: Path) -> None:
    """Write the first 1,000 digits, 8 by 8 pixels enlarged to 96, as folder/<digit>/<number>.png."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:N_DIGITS], digits.target, strict=False)):
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.round(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)


def main() -> int:
    """Remove the last demonstration, export, train; the exit code is that of the training."""
    shutil.rmtree(DEMO, ignore_errors=True)
    export_digits(DEMO / "digits")
    print(f"{N_DIGITS:,} handwritten digits are in demo/digits, one folder a label.")  # noqa: T201
    command = ["train", "demo/digits", "--output", "demo/run", "--findings", "3"]
    print(f"$ deconfuse {' '.join(command)}\n", flush=True)  # noqa: T201
    return subprocess.run([sys.executable, "-m", "deconfuse", *command], cwd=DEMO.parent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

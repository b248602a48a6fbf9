"""Remake the pictures in docs/images: report.png, a page in Chromium, and terminal.svg, the matrix in a terminal.

    python scripts/screenshots.py                          of demo/run, which `make demo` leaves
    python scripts/screenshots.py PAGE.html -o FILE.png    of any page

Pictures show nothing but images that everybody may show: the demonstration's handwritten digits, and in clothing.png
photographs that are CC0 (python scripts/screenshots.py RUN -o docs/images/clothing.png).
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo" / "run"
PICTURES = ROOT / "docs" / "images"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def shoot(page: Path, picture: Path, *, width: int = 1280, height: int = 900, element: str = "#matrix") -> None:
    """Open a page as a user does, scroll to `element`, and write what is in the window as PNG.

    Args:
        page: an HTML file.
        picture: where to write; its folder is made.
        width: of the window, in CSS pixels.
        height: of the window, in CSS pixels.
        element: CSS selector of what to scroll to; "" leaves the page at its top.
    """
    picture.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        window = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        window.goto(page.resolve().as_uri())
        if element:
            window.evaluate("(element) => document.querySelector(element).scrollIntoView()", element)
        window.wait_for_timeout(200)
        window.screenshot(path=picture)
        browser.close()


def draw_terminal(run: Path, picture: Path, *, width: int = 92) -> None:
    """Write what `deconfuse matrix RUN` prints to a colour terminal as SVG.

    Args:
        run: a run directory.
        picture: where to write.
        width: of the terminal, in characters.
    """
    shown = run.relative_to(ROOT)
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(width)}
    command = [sys.executable, "-m", "deconfuse", "matrix", str(shown), "--findings", "2"]
    printed = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(Text.from_ansi(printed.rstrip()))
    drawn = console.export_svg(title=f"deconfuse matrix {shown}")
    # Without the web font that rich names, the picture needs no network and shows the reader's own.
    picture.write_text(
        re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    )


def main() -> int:
    """Read the arguments and write the picture; 1 where something needed is missing."""
    parser = argparse.ArgumentParser(description="Take the picture of a report that the documentation shows.")
    parser.add_argument("page", type=Path, nargs="?", default=DEMO / "report.html")
    parser.add_argument("-o", "--output", type=Path, default=PICTURES / "report.png")
    arguments = parser.parse_args()
    page = arguments.page / "report.html" if arguments.page.is_dir() else arguments.page
    if not page.is_file():
        sys.stderr.write(f"{page} is not there; `make demo` writes it\n")
        return 1
    if not shutil.which("chromium"):
        sys.stderr.write("Chromium is needed (Debian: apt-get install chromium)\n")
        return 1
    shoot(page, arguments.output)
    sys.stdout.write(f"{arguments.output}\n")
    if page == DEMO / "report.html":
        draw_terminal(DEMO, PICTURES / "terminal.svg")
        sys.stdout.write(f"{PICTURES / 'terminal.svg'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

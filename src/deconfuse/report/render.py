"""Views to HTML: one file that opens from a disk, needs no network and asks for none.

    standalone(view)   the page as one text: styles, scripts, data and thumbnails inside
    frame(view)        the same page inside an iframe, for notebooks

The scripts are the ES modules of `static/`, set one after the other into one module: they import nothing but each
other, so taking their import and export words away joins them. The page forbids itself everything but its own inline
script and style (named by their hashes) and pictures that stand in it. Names of labels and files come from strangers;
they reach the page as JSON in which no character can end a script element, and from there as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from deconfuse.measure.text import percent_text
from deconfuse.report.payload import Json, payload, stamp_line
from deconfuse.report.views import MatrixView

BUDGET = 4_990_000
"""Bytes of a page at most, as far as thumbnails decide; what has no room is listed by its name."""

SCRIPTS = ("numbers.js", "colours.js", "sheet.js", "matrix.js", "page.js")
"""In the order in which they need each other."""

NOSCRIPT_LABELS = 200
DATA = "@data@"

_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


def standalone(view: MatrixView, *, budget: int = BUDGET) -> str:
    """The page of a view as one HTML text.

    Args:
        view: what to show.
        budget: bytes of UTF-8 that the page may have; thumbnails, in the order of `view.images`, fill it up. A page
            whose text alone is larger is still written, without thumbnails.
    """
    data = payload(view)
    script, style = page_script(), _static("page.css")
    page = (
        _template()
        .get_template("report.html")
        .render(
            title=view.title,
            policy=_policy(script, style),
            script=Markup(script),  # noqa: S704 - our own file
            style=Markup(style),  # noqa: S704 - our own file
            data=DATA,
            rule=data["rules"][0],
            labels=view.labels[:NOSCRIPT_LABELS],
            stamp=stamp_line(view),
            data_hash=view.stamp.data_hash or "",
        )
    )
    # Nothing after the data comes from outside, so the last such mark is ours.
    before, _, after = _speakable(page).rpartition(DATA)
    size = len(before.encode()) + len(after.encode()) + len(embedded_json(data))
    for place, image in enumerate(view.images):
        if image.thumbnail is None:
            continue
        picture = base64.b64encode(image.thumbnail).decode()
        size += len(picture) + len(',"thumbnail":""')
        if size > budget:
            break
        data["images"][place]["thumbnail"] = picture
    return before + embedded_json(data) + after


def frame(view: MatrixView, *, height: int = 900) -> str:
    """The page inside an iframe that can touch nothing around it; HTML for a notebook's cell.

    Args:
        view: what to show.
        height: of the frame, in CSS pixels.
    """
    page = Markup.escape(standalone(view))
    style = f"width: 100%; height: {int(height)}px; border: 0"
    return (
        f'<iframe title="deconfuse" sandbox="allow-scripts allow-downloads" style="{style}" srcdoc="{page}"></iframe>'
    )


def embedded_json(data: Json) -> str:
    r"""`data` as JSON that can stand inside a script element: ASCII, without <, > and &.

    Raises:
        ValueError: it holds NaN or an infinity.

    Example:
        >>> embedded_json("</script>")
        '"\\u003c/script\\u003e"'
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def page_script() -> str:
    """The scripts of a page as one ES module."""
    modules = (_EXPORT.sub("", _IMPORT.sub("", _static(name))) for name in SCRIPTS)
    return "\n".join(modules)


@cache
def _static(name: str) -> str:
    return (files("deconfuse.report") / "static" / name).read_text("utf-8")


@cache
def _template() -> Environment:
    source = (files("deconfuse.report") / "templates" / "report.html").read_text("utf-8")
    environment = Environment(
        loader=DictLoader({"report.html": source}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    return environment


def _policy(script: str, style: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else percent_text(share, 1, decimals=1, sign=" %")


def _speakable(text: str) -> str:
    """`text` without lone surrogates, which file names may hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()

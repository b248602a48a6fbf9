"""Views for tests of the report: from small matrices with known cells to the worst names anybody could think of.

small()       four labels, 20 images, two rules; cell (closet, bedroom) holds 2 of 4 images
hostile()     names that want to be markup, scripts, paths and templates
many(300)     as many labels as asked for, with or without images
tags()        a multi-label view: label decisions, no label
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from deconfuse.errors import Problem
from deconfuse.insights.confusions import order
from deconfuse.insights.findings import find
from deconfuse.measure.matrix import DENSE_LIMIT, Cells, ConfusionMatrix
from deconfuse.measure.scores import binary_counts
from deconfuse.report.views import ImageView, MatrixView, RuleView, Stamp, with_thumbnails

LABELS = ("bedroom", "closet", "kitchen", "yard")
TRUE = [0] * 9 + [1] * 4 + [2] * 5 + [3] * 2
HIGHEST = [0] * 8 + [2] + [0, 0, 1, 1] + [2] * 5 + [3, 0]
THRESHOLDS = [0] * 8 + [-1] + [0, -1, 1, 1] + [2] * 4 + [-1] + [3, 0]
WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def webp(number: int = 0, *, side: int = 96, quality: int = 60) -> bytes:
    """A picture that no other number gives."""
    noise = np.random.default_rng(number).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).resize((side, side)).save(data, "WEBP", quality=quality)
    return data.getvalue()


def small(*, missing: Sequence[int] = ()) -> MatrixView:
    """Four labels, 20 images `photos/<true>/<number>.jpg`, surest last, under two rules."""
    highest = ConfusionMatrix.from_codes(TRUE, HIGHEST, labels=LABELS)
    thresholds = ConfusionMatrix.from_codes(TRUE, THRESHOLDS, labels=LABELS)
    images = [
        ImageView(f"photos/{LABELS[t]}/{i:02d}.jpg", (t,), ((h,), () if s < 0 else (s,)), 0.4 + i / 50)
        for i, (t, h, s) in enumerate(zip(TRUE, HIGHEST, THRESHOLDS, strict=True))
    ]
    return MatrixView(
        title="rooms / 2",
        stamp=Stamp("runs/rooms/2", "test", 20, "highest score", "rooms 2", "sha256:4f8a", WHEN),
        labels=LABELS,
        rules=(
            RuleView("highest", "Highest score", highest, find(highest)),
            RuleView("thresholds", "Assumed thresholds", thresholds, find(thresholds), (0.5, 0.25, float("nan"), 0.75)),
        ),
        order_by_similarity=order(highest),
        images=with_thumbnails(images, lambda i: None if i in missing else webp(i)),
        problems=(
            Problem("ERROR_INVALID_IMAGE", "the file ends too early", uri="photos/yard/99.jpg", split="train"),
            Problem("WARNING_SMALL_IMAGE", "48 × 48 px, enlarged", level="warning", uri="photos/yard/03.jpg"),
        ),
        notes=("No test folder was given.",),
        train_counts=(40, 12, 20, 9),
    )


def hostile() -> MatrixView:
    """Every text that comes from outside tries to leave its place."""
    labels = (
        "</script><script>bad()</script>",
        "<img src=x onerror=bad()>",
        "a\u2028b\u202ec\nd",
        "__proto__",
        "@data@ {{ 7 * 7 }}",
        "\"'`&amp; --x",
    )
    true, predicted = [0, 1, 2, 3, 4, 5, 0, 1], [1, 1, 0, 3, 4, 2, 0, 5]
    matrix = ConfusionMatrix.from_codes(true, predicted, labels=labels)
    images = tuple(
        ImageView(f"</script><b>{i}\udcff\u2029'\"; rm -rf.png", (t,), ((p,),), None, None, is_missing=True)
        for i, (t, p) in enumerate(zip(true, predicted, strict=True))
    )
    return MatrixView(
        title="<h1>@data@</title><script>bad()</script>",
        stamp=Stamp("$(touch x) 'y' <b>\udcfe", None, 8, "as given"),
        labels=labels,
        rules=(RuleView("as given", "As <b>given</b>", matrix, find(matrix)),),
        images=images,
        problems=(Problem("<b>", "<script>bad()</script>", uri="\udcfe<i>"),),
        notes=("<u>note</u>",),
    )


def many(
    n_labels: int, *, n_images: int = 0, wrong: float = 0.2, is_listed: bool = False, picture: bytes = b""
) -> MatrixView:
    """`n_labels` labels in families that confuse each other; `is_listed`: with images, each showing `picture`."""
    rng = np.random.default_rng(n_labels)
    n = n_images or 30 * n_labels
    true = rng.integers(0, n_labels, n)
    near = true // 4 * 4 + rng.integers(0, 4, n)
    predicted = np.where(rng.random(n) < wrong, np.minimum(near, n_labels - 1), true)
    labels = tuple(f"species {i:04d}" for i in range(n_labels))
    kind = ConfusionMatrix if n_labels <= DENSE_LIMIT else Cells
    matrix = kind.from_codes(true, predicted, labels=labels)
    certainty = rng.random(n)
    images = [
        ImageView(f"photos/{labels[t]}/IMG_{i:06d}.jpg", (int(t),), ((int(p),),), float(c))
        for i, (t, p, c) in enumerate(zip(true, predicted, certainty, strict=True))
        if is_listed
    ]
    return MatrixView(
        title=f"{n_labels} species",
        stamp=Stamp("species.csv", "test", n, "highest score", date=WHEN),
        labels=labels,
        rules=(RuleView("highest", "Highest score", matrix, find(matrix)),),
        order_by_similarity=order(matrix) if n_labels <= DENSE_LIMIT else (),
        images=with_thumbnails(images, lambda _: picture or None),
    )


def tags() -> MatrixView:
    """A multi-label view of 60 images with 1 to 3 of four labels each."""
    rng = np.random.default_rng(7)
    truth = rng.random((60, 4)) < 0.4
    truth[~truth.any(axis=1), 0] = True
    called = truth ^ (rng.random((60, 4)) < 0.15)
    matrix = ConfusionMatrix.from_label_sets(truth, called, labels=LABELS)
    images = tuple(
        ImageView(f"tags/{i:02d}.jpg", tuple(np.flatnonzero(t).tolist()), (tuple(np.flatnonzero(p).tolist()),))
        for i, (t, p) in enumerate(zip(truth, called, strict=True))
    )
    return MatrixView(
        title="tags",
        stamp=Stamp("runs/tags/1", "test", 60, "threshold 0.5"),
        labels=LABELS,
        rules=(
            RuleView("highest", "Threshold 0.5", matrix, find(matrix), (0.5,) * 4, binary=binary_counts(truth, called)),
        ),
        images=images,
        unit="label decisions",
    )

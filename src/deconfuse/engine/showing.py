"""An `Evaluation` as it is shown: the images of a cell, the view of a page, and what it is a view of, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pyarrow as pa

from deconfuse.engine.evaluation import Evaluation, find_under
from deconfuse.engine.judging import Rule
from deconfuse.errors import NotBuilt, NotFound
from deconfuse.insights.confusions import order
from deconfuse.measure.labels import OTHER
from deconfuse.report.views import ImageView, MatrixView, RuleView, Stamp, decisions, with_thumbnails

ANY = "*"
"""In `cell_images`: any label, or none."""

_RULES: dict[Rule, tuple[str, str]] = {
    "highest": ("Highest score", "Each image is given the label with the highest score."),
    "thresholds": ("Thresholds", "Each image is given the highest-scoring label that reaches its threshold, or none."),
    "as given": ("As given", "The predictions stand as the file has them."),
}
_SPLITS = {"test": "test", "train": "train (out-of-fold)", "all": "train (out-of-fold) and test"}


def cell_images(evaluation: Evaluation, *, true: str | None = ANY, predicted: str | None = ANY) -> pa.Table:
    """The images of one cell, under the leading rule, surest first.

    Args:
        evaluation: one whose source holds images.
        true: a label, None for no true label, or ANY.
        predicted: the same for the prediction.

    Returns:
        uri, true, predicted and probability (null where unknown), by falling probability, then by uri. In a
        multi-label evaluation an image is in every cell that one of its label decisions counts in.

    Raises:
        NotBuilt: the source holds counts and no images.
        NotFound: a label that the evaluation does not have.
    """
    table = evaluation.predictions
    if table is None:
        raise NotBuilt(
            "SOURCE",
            f"{evaluation.title} holds counts and not which images they are; "
            "images are in a run, a manifest snapshot, and in predictions with a column `image`",
        )
    for label in (true, predicted):
        if label not in (ANY, None, *evaluation.labels):
            known = ", ".join(evaluation.labels[:10]) + (", …" if len(evaluation.labels) > 10 else "")
            raise NotFound("label", str(label), f"The labels are: {known}")
    place = {label: k for k, label in enumerate(evaluation.labels)}
    wanted = tuple(side if side in (ANY, None) else place[side] for side in (true, predicted))
    kept = [
        row
        for row, cells in enumerate(map(decisions, _codes(table, "true", place), _codes(table, "predicted", place)))
        if any(all(w in (ANY, side) for w, side in zip(wanted, cell, strict=True)) for cell in cells)
    ]
    chosen = table.take(pa.array(kept, pa.int64())).select(["uri", "true", "predicted", "probability"])
    return chosen.sort_by([("probability", "descending"), ("uri", "ascending")])


def matrix_view(
    evaluation: Evaluation, *, thumbnail: Callable[[str | None, str], bytes | None] | None = None
) -> MatrixView:
    """The view of `evaluation` that a page shows: every rule, the images worth listing, and their pictures.

    Args:
        evaluation: of any kind.
        thumbnail: thumbnail(sha256 or None, uri) gives WebP bytes, or None where there is no picture; asked only for
            images that the page lists. None leaves all pictures out.
    """
    rules = {evaluation.rule: evaluation.matrix, **evaluation.other}
    trained = evaluation.train_counts
    return MatrixView(
        title=evaluation.title,
        stamp=stamp(evaluation),
        labels=evaluation.labels,
        rules=tuple(_rule_view(evaluation, rule) for rule in rules),
        order_by_similarity=order(evaluation.matrix),
        images=_image_views(evaluation, thumbnail),
        problems=evaluation.problems,
        notes=evaluation.notes,
        train_counts=None if trained is None else tuple(trained.get(label, 0) for label in evaluation.labels),
        unit=evaluation.matrix.unit,
    )


def stamp(evaluation: Evaluation) -> Stamp:
    """What `evaluation` is a view of, as every view says it."""
    split = evaluation.split
    if split is not None and evaluation.kind == "run":
        split = _SPLITS[split]
    return Stamp(
        source=evaluation.title,
        split=split,
        n_images=evaluation.n_images,
        rule=rule_in_words(evaluation),
        model=evaluation.model,
        data_hash=evaluation.data_hash,
        date=evaluation.made,
    )


def rule_in_words(evaluation: Evaluation, rule: Rule | None = None) -> str:
    """The leading rule, or `rule`, in a few words ("highest score", "threshold 0.5", "assumed thresholds")."""
    rule = rule or evaluation.rule
    if rule != "thresholds":
        return _RULES[rule][0].lower()
    stated = {threshold for threshold in evaluation.thresholds or () if not math.isnan(threshold)}
    return f"threshold {stated.pop():g}" if len(stated) == 1 and len(evaluation.labels) > 1 else "assumed thresholds"


def _rule_view(evaluation: Evaluation, rule: Rule) -> RuleView:
    title, explanation = _RULES[rule]
    is_leading = rule == evaluation.rule
    if rule == "thresholds":
        title = rule_in_words(evaluation, rule).capitalize()
        if evaluation.multi_label:
            explanation = "Each image is given every label that reaches its threshold."
    return RuleView(
        name=rule,
        title=title,
        matrix=evaluation.matrix if is_leading else evaluation.other[rule],
        findings=evaluation.findings if is_leading else find_under(evaluation, rule),
        thresholds=evaluation.thresholds if rule == "thresholds" else None,
        binary=evaluation.binary if is_leading else None,
        explanation=explanation,
    )


def _image_views(
    evaluation: Evaluation, thumbnail: Callable[[str | None, str], bytes | None] | None
) -> tuple[ImageView, ...]:
    table = evaluation.predictions
    if table is None:
        return ()
    place = {label: k for k, label in enumerate(evaluation.labels)}
    columns = ["predicted", *(f"predicted_{rule}" for rule in evaluation.other)]
    predicted = zip(*(_codes(table, column, place) for column in columns), strict=True)
    uris, true = table.column("uri").to_pylist(), _codes(table, "true", place)
    sure = table.column("probability").to_pylist()
    images = [ImageView(*image) for image in zip(uris, true, predicted, sure, strict=True)]
    if thumbnail is None:
        return with_thumbnails(images, lambda _: None, budget=0)
    hashes = table.column("sha256").to_pylist()
    return with_thumbnails(images, lambda i: thumbnail(hashes[i], uris[i]))


def _codes(table: pa.Table, column: str, place: Mapping[str, int]) -> list[tuple[int, ...]]:
    """The labels of each row as their places; a label without a place is *(other)*, no label is ()."""
    rest = place.get(OTHER, -1)
    rows = table.column(column).to_pylist()
    if pa.types.is_list(table.schema.field(column).type):
        return [tuple(sorted({place.get(label, rest) for label in row or ()})) for row in rows]
    return [() if label is None else (place.get(label, rest),) for label in rows]

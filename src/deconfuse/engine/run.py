"""The run of the library: what one training left, opened again.

A run reads its card at once and everything else when it is asked for: predictions for the matrix, the head and the
backbone for new images. It changes nothing on disk except where `report` is told to write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from deconfuse.engine.evaluation import Evaluation, SplitChoice, run_evaluation
from deconfuse.engine.imports import list_files
from deconfuse.engine.predictor import Answer, Predictor
from deconfuse.engine.showing import matrix_view
from deconfuse.engine.sinks import write_whole
from deconfuse.engine.thumbnails import Thumbnails, thumbnail_source
from deconfuse.errors import BadData, BadImage, Invalid, NotFound, Problem
from deconfuse.formats.predictions import read_predictions
from deconfuse.insights.findings import Finding
from deconfuse.learn.bundle import read_bundle
from deconfuse.learn.head import Head
from deconfuse.measure.matrix import Matrix
from deconfuse.vision.backbone import Backbone

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


class Page:
    """An interactive confusion matrix that displays itself in a notebook, with no file written."""

    def __init__(self, evaluation: Evaluation, *, thumbnail: Thumbnails) -> None:
        self.evaluation = evaluation
        self._thumbnail = thumbnail

    def _repr_html_(self) -> str:
        from deconfuse.report.render import frame

        return frame(matrix_view(self.evaluation, thumbnail=self._thumbnail))


class Run:
    """What one training left: the model, its predictions, and what follows from them.

    Attributes:
        path: its directory.
        card: everything of card.json.
    """

    def __init__(
        self,
        path: Path,
        card: dict[str, Any],
        head: Head,
        *,
        backbone: Callable[[], Backbone],
        cache: Path,
        threads: int,
    ) -> None:
        self.path = path
        self.card = card
        self.head = head
        self._load_backbone = backbone
        self._cache = cache
        self._threads = threads

    def __repr__(self) -> str:
        return f"<Run {self.card['project']} {self.card['version']}: {len(self.labels)} labels, {self.path}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of `scores` in the predictions."""
        return self.head.labels

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The assumed threshold of each label, 0..1, fitted on out-of-fold predictions of the training images."""
        return tuple(self.card["thresholds"])

    @property
    def rule(self) -> str:
        """How `predicted` in the predictions was chosen: "highest", or "thresholds" in a multi-label model."""
        return str(self.card["rule"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the training that a reader must know."""
        return tuple(self.card["notes"])

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Images and lines that could not be used, and warnings."""
        return tuple(Problem(**problem) for problem in self.card["problems"])

    @cached_property
    def predictions(self) -> pa.Table:
        """One row an image, as `tables.predictions_schema` describes it."""
        return read_predictions(read_part(self.path, "predictions.parquet"))

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone the head was trained on.

        Raises:
            BadData: the one at hand makes other embeddings than the one of the training.
        """
        backbone = self._load_backbone()
        if backbone.card.key != self.card["backbone"]["key"]:
            raise BadData(
                f"the model was trained on the backbone {self.card['backbone']['key']}, and this deconfuse has "
                f"{backbone.card.key}; train again, or use the version of deconfuse that trained it"
            )
        return backbone

    def evaluation(
        self,
        *,
        split: SplitChoice = "test",
        threshold: float | Literal["assumed"] | None = None,
        labels: Sequence[str] | None = None,
    ) -> Evaluation:
        """The matrix with everything needed to judge it.

        Args:
            split: "train" is out-of-fold: each image judged by a model that has not seen it.
            threshold: None takes the highest score; below a threshold there is no label.
            labels: only these; the others are summed as *(other)*.

        Raises:
            Invalid: another split.
        """
        if split not in get_args(SplitChoice):
            raise Invalid("split", f"{split!r} is none; test, train or all is possible")
        return run_evaluation(
            self.card, self.predictions, split=split, threshold=threshold, labels=labels, title=str(self.path)
        )

    def matrix(self, *, split: SplitChoice = "test", rule: Literal["highest", "thresholds"] = "highest") -> Matrix:
        """The confusion matrix of a split under a rule; "thresholds" are the assumed ones.

        Raises:
            Invalid: another split or rule.
        """
        if rule not in ("highest", "thresholds"):
            raise Invalid("rule", f"{rule!r} is none; highest or thresholds is possible")
        return self.evaluation(split=split, threshold="assumed" if rule == "thresholds" else None).matrix

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the test images say, most important first."""
        return self.evaluation().findings

    def answer(
        self,
        images: Iterable[str | os.PathLike[str]],
        *,
        stdin: bytes | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Answer]:
        """What the model says of each image; a directory stands for the images below it, "-" for `stdin`.

        Raises:
            NotFound: a path is not there.
            Invalid: something is no path.
        """
        uris = [uri for image in paths(images) for uri in find_images(image)]
        predictor = Predictor(self.head, self.thresholds, self.backbone)
        answers = []
        for answer in predictor.answers(uris, lambda uri: read_image(uri, stdin), threads=self._threads):
            answers.append(answer)
            if progress is not None:
                progress("predicting", len(answers), len(uris))
        return answers

    def predict(self, images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> pa.Table:
        """Labels and probabilities of new images.

        Args:
            images: a file, a directory, or several of them.

        Returns:
            uri, predicted (string; list<string> in a multi-label model), probability, scores (list<float32>, in the
            order of `labels`) and error (string, null where the image could be read).
        """
        several = [images] if isinstance(images, str | os.PathLike) else images
        answers = self.answer(several)
        multi_label = self.head.multi_label
        rows = []
        for answer in answers:
            labels = answer.labels(top=None if multi_label else 1, threshold="assumed" if multi_label else None)
            names = [label for label, _ in labels]
            is_read = answer.scores is not None
            rows.append(
                {
                    "uri": answer.uri,
                    "predicted": (names if multi_label else names[0]) if is_read else None,
                    "probability": labels[0][1] if is_read and not multi_label else None,
                    "scores": answer.scores.tolist() if answer.scores is not None else None,
                    "error": answer.problem.message if answer.problem else None,
                }
            )
        text = pa.string()
        schema = [
            ("uri", text),
            ("predicted", pa.list_(text) if multi_label else text),
            ("probability", pa.float32()),
            ("scores", pa.list_(pa.float32())),
            ("error", text),
        ]
        return pa.Table.from_pylist(rows, schema=pa.schema(schema))

    def report(self, path: str | Path, *, replace: bool = False) -> None:
        """Write the page of this run to `path`.

        Raises:
            AlreadyExists: the file exists and `replace` is False.
        """
        from deconfuse.report.render import standalone

        evaluation = self.evaluation()
        view = matrix_view(evaluation, thumbnail=self._thumbnails(evaluation))
        write_whole(Path(path), standalone(view).encode(), replace=replace)

    def show(self) -> Page:
        """The interactive confusion matrix, for a notebook."""
        evaluation = self.evaluation()
        return Page(evaluation, thumbnail=self._thumbnails(evaluation))

    def _thumbnails(self, evaluation: Evaluation) -> Thumbnails:
        return thumbnail_source(evaluation.predictions, cache=self._cache, root=evaluation.images_root, buckets={})


def read_run(path: Path, *, load_backbone: Callable[[], Backbone], cache: Path, threads: int) -> Run:
    """The run in the directory `path`.

    Args:
        path: the directory.
        load_backbone: gives the backbone when a new image is to be judged.
        cache: the directory of embeddings and thumbnails.
        threads: images judged at once.

    Raises:
        NotFound: there is no directory, or no card in it: nothing without a card is a run.
        Damaged: a file of the bundle is not what it should be.
    """
    head, card = read_bundle({name: read_part(path, name) for name in ("card.json", "head.safetensors")})
    return Run(path, card, head, backbone=load_backbone, cache=cache, threads=threads)


def read_part(run: Path, name: str) -> bytes:
    """The bytes of one file of a run directory.

    Raises:
        NotFound: it is not there.
    """
    try:
        return (run / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("run", str(run), f"{name} is not there; `deconfuse train` makes one") from None


def paths(images: object) -> Iterator[str]:
    """`images` as texts, each seen to be a path.

    Raises:
        Invalid: one is none, or `images` is nothing that holds several.
    """
    for image in images if isinstance(images, Iterable) else [images]:
        if not isinstance(image, str | os.PathLike):
            raise Invalid("images", f"a path, or several, are needed, and not {type(image).__name__}")
        yield os.fsdecode(image)


def find_images(place: str) -> list[str]:
    """The images that `place` stands for: itself, or, for a directory, the images below it in order of their names.

    Raises:
        NotFound: there is nothing at `place`.
        Denied: a folder may not be read.
    """
    path = Path(place)
    if place == "-" or path.is_file():
        return [place]
    if not path.is_dir():
        raise NotFound("image", place)
    found = (path / name for name in list_files(path)[0])
    return [
        str(image)
        for image in found
        if image.suffix.lower() in IMAGE_SUFFIXES and not image.name.startswith(".") and image.is_file()
    ]


def read_image(uri: str, stdin: bytes | None) -> bytes:
    """The bytes of an image named on the command line; "-" is `stdin`.

    Raises:
        BadImage: it cannot be read.
    """
    if uri == "-":
        return stdin or b""
    try:
        return Path(uri).read_bytes()
    except OSError as error:
        raise BadImage(f"the file cannot be read: {error.strerror or error}") from error

"""One place that builds everything: reads the settings, opens what they name, hands plain values down.

The command line and the library's public functions are thin above this.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deconfuse import names
from deconfuse.engine.sinks import DirectorySink, refuse_taken, write_whole
from deconfuse.errors import Invalid
from deconfuse.settings import Settings, read_settings

if TYPE_CHECKING:
    from deconfuse.engine.cache import EmbeddingCache
    from deconfuse.engine.evaluation import Evaluation
    from deconfuse.engine.imports import Intake
    from deconfuse.engine.remote import Remote
    from deconfuse.engine.run import Run
    from deconfuse.formats.manifest import ManifestLimits
    from deconfuse.measure.matrix import Matrix
    from deconfuse.service.house import House, ServiceLimits
    from deconfuse.store.objects import Objects
    from deconfuse.vision.backbone import Backbone
    from deconfuse.vision.images import Limits as ImageLimits

Place = str | os.PathLike[str]
Progress = Callable[[str, int, int], None]

MOST_WAITING = 64
"""Images of requests that may wait for a processor; one more is refused."""


def train(
    images: Place,
    *,
    test: Place | None = None,
    output: Place | None = None,
    project: str | None = None,
    version: str | None = None,
    buckets: Mapping[str, Place] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a classifier on labelled images, evaluate it, and write a run directory.

    Args:
        images: a folder of label folders, a Ground Truth manifest, or a CSV image,label[,label…].
        test: the test images, in any of these forms; without them a fifth of the images, chosen by their hashes.
        output: the run directory; must not exist, or be empty. Default: runs/<project>/<version>.
        project: default: the name of `images`, reduced to what a name may hold.
        version: default: the next free number in runs/<project>.
        buckets: directories in which objects of s3:// buckets are found, by bucket.
        progress: called as progress(step, done, total).

    Returns:
        The run that was written.

    Raises:
        NotFound: `images` or `test` is not there.
        AlreadyExists: the output is taken; nothing was touched.
        Untrainable: the images do not allow a training; its `problems` say everything that was found.
        Invalid: an argument that cannot be meant.
    """
    from deconfuse.engine import pipeline
    from deconfuse.engine.artefacts import Identity

    settings = read_settings()
    source = Path(images)
    project = names.check_name("project", names.reduce_name(_name_of(source)) if project is None else project)
    folder = Path("runs") / project
    taken = [path.name.partition(".partial-")[0] for path in folder.iterdir()] if folder.is_dir() else []
    version = names.check_name("version", names.next_version(taken) if version is None else version)
    target = folder / version if output is None else Path(output)
    refuse_taken(target)
    identity = Identity(project, version, datetime.now(UTC), settings.region, settings.account, str(target))
    intake = _open_images(settings, source, test=test, buckets=buckets)
    backbone = _backbone(settings, progress)
    with DirectorySink(target) as sink:
        pipeline.train(
            intake,
            sink,
            identity=identity,
            backbone=backbone,
            cache=_embeddings(settings, backbone),
            threads=settings.threads,
            clock=lambda: datetime.now(UTC),
            limits=_manifest_limits(settings),
            progress=progress or pipeline.silent,
        )
    return open_run(target)


def open_run(path: Place) -> Run:
    """The run in the directory `path`.

    Raises:
        NotFound: there is no run.
        Damaged: its files are not what they should be.
    """
    from deconfuse.engine.run import read_run

    settings = read_settings()
    return read_run(
        Path(path), load_backbone=lambda: _backbone(settings), cache=settings.cache, threads=settings.threads
    )


def show(matrix: Matrix) -> object:
    """The interactive confusion matrix, for a notebook: an object that displays itself."""
    from deconfuse.engine.evaluation import matrix_evaluation
    from deconfuse.engine.run import Page

    return Page(matrix_evaluation(matrix), thumbnail=lambda sha256, uri: None)


def report_page(
    evaluation: Evaluation,
    *,
    buckets: Mapping[str, Path] | None = None,
    remote: Remote | None = None,
    progress: Progress | None = None,
) -> tuple[str, int]:
    """(the page of `evaluation`, the number of pictures that were wanted and could not be had).

    Thumbnails come from the cache, then from the images themselves; those in S3 from `remote`, where it is given.
    """
    from deconfuse.engine.showing import matrix_view
    from deconfuse.engine.thumbnails import fetched_thumbnails, thumbnail_source
    from deconfuse.report.render import standalone

    places = buckets or {}
    root = evaluation.images_root
    source = thumbnail_source(evaluation.predictions, cache=read_settings().cache, root=root, buckets=places)
    if remote is None or evaluation.predictions is None:
        view = matrix_view(evaluation, thumbnail=source)
    else:
        listed = [image.uri for image in matrix_view(evaluation).images]
        with fetched_thumbnails(listed, remote.read_image, otherwise=source, progress=progress) as fetched:
            view = matrix_view(evaluation, thumbnail=fetched)
    return standalone(view), view.n_missing_thumbnails


def export_onnx(run: Place, file: Place, *, replace: bool = False) -> None:
    """Write the model of the run directory `run` as one ONNX graph, from pixels to probabilities.

    Raises:
        NotFound: there is no run.
        AlreadyExists: the file exists and `replace` is False.
    """
    from deconfuse.engine import export

    opened = open_run(run)
    name = f"{opened.card['project']}-{opened.card['version']}"
    graph = export.export_onnx(opened.backbone, opened.head, thresholds=opened.thresholds, name=name)
    write_whole(Path(file), graph, replace=replace)


def open_house(settings: Settings, *, wake: Callable[[], None] = lambda: None, objects: Objects | None = None) -> House:
    """The house that the settings describe; its database is migrated. Whoever opens it closes its database.

    Args:
        settings: as they were read.
        wake: called after a job was added.
        objects: instead of those that the settings name; none are the house's to serve then.

    Raises:
        Invalid: a setting that does not go with another.
        Denied, Unavailable: the home, the database or the store cannot be used.
        NotReady: a newer deconfuse has written the database.
    """
    from deconfuse.engine.predictor import Models
    from deconfuse.server.home import Home
    from deconfuse.service.house import House
    from deconfuse.store.database import open_database
    from deconfuse.store.local import LocalObjects

    home = Home(settings.home)
    if objects is None or not settings.database:
        home.make()
    if not settings.database:
        home.make_database_file()
    database = open_database(settings.database or home.database_file)
    try:
        local = None if settings.store or objects is not None else LocalObjects(home.path, database, _now)

        def load_backbone() -> Backbone:
            return _backbone(settings)

        return House(
            database=database,
            objects=objects or local or _s3_objects(settings),
            local=local,
            models=Models(
                load_backbone, most_models=settings.models, most_at_once=settings.threads, most_waiting=MOST_WAITING
            ),
            load_backbone=load_backbone,
            cache=settings.cache,
            threads=settings.threads,
            region=settings.region,
            account=settings.account,
            clock=_now,
            token_hex=secrets.token_hex,
            wake=wake,
            limits=_service_limits(settings),
            own_place=_own_place(settings) if settings.store else None,
        )
    except BaseException:
        database.close()
        raise


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """What the cache holds.

    Attributes:
        path: its directory.
        backbones: (name, bytes) of each converted backbone.
        embeddings: (backbone, images, bytes) of each backbone's embeddings and thumbnails.
    """

    path: Path
    backbones: tuple[tuple[str, int], ...]
    embeddings: tuple[tuple[str, int, int], ...]

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(size for _, size in self.backbones) + sum(size for _, _, size in self.embeddings)


def cache_usage() -> CacheUsage:
    """How large the cache is."""
    from deconfuse.engine.cache import cache_sizes

    cache = read_settings().cache
    files = sorted((cache / "backbones").glob("*.onnx"))
    return CacheUsage(
        path=cache,
        backbones=tuple((path.name.rsplit("-", 2)[0], path.stat().st_size) for path in files),
        embeddings=tuple((size.key, size.n_images, size.n_bytes) for size in cache_sizes(cache)),
    )


def clear_cache() -> int:
    """Empty the cache: the number of bytes freed.

    Raises:
        Denied: it may not be written.
    """
    from deconfuse.engine import cache

    return cache.clear_cache(read_settings().cache)


def _name_of(source: Path) -> str:
    resolved = Path(os.path.realpath(source))
    return resolved.name if resolved.is_dir() else resolved.stem


def _backbone(settings: Settings, progress: Progress | None = None) -> Backbone:
    from deconfuse.engine.backbones import load_backbone

    if progress is None:
        return load_backbone(cache=settings.cache)
    return load_backbone(cache=settings.cache, progress=lambda done, total: progress("preparing backbone", done, total))


def _embeddings(settings: Settings, backbone: Backbone) -> EmbeddingCache:
    from deconfuse.engine.cache import EmbeddingCache

    return EmbeddingCache(settings.cache, backbone.card)


def _manifest_limits(settings: Settings) -> ManifestLimits:
    from deconfuse.formats.manifest import ManifestLimits

    return ManifestLimits(
        max_lines=settings.manifest_max_lines,
        max_labels=settings.manifest_max_labels,
        min_side=settings.manifest_min_side,
        max_side=settings.manifest_max_side,
    )


def _image_limits(settings: Settings) -> ImageLimits:
    from deconfuse.vision.images import MANIFEST_LIMITS

    return replace(
        MANIFEST_LIMITS,
        min_side=settings.manifest_min_side,
        max_side=settings.manifest_max_side,
        max_bytes=settings.manifest_max_image_bytes,
    )


def _open_images(
    settings: Settings, images: Path, *, test: Place | None, buckets: Mapping[str, Place] | None
) -> Intake:
    from deconfuse.engine.imports import open_images

    return open_images(
        images,
        test=None if test is None else Path(test),
        buckets={name: Path(folder) for name, folder in (buckets or {}).items()},
        manifest=_manifest_limits(settings),
        manifest_images=_image_limits(settings),
    )


def _own_place(settings: Settings) -> names.ObjectAddress:
    """Where the service's own objects lie in the S3 of the settings; its key is "" where that is all of a bucket."""
    bucket, _, prefix = settings.store.removeprefix("s3://").partition("/")
    return names.ObjectAddress(bucket, prefix.strip("/"))


def _s3_objects(settings: Settings) -> Objects:
    from deconfuse.store.s3 import S3Address, S3Objects, connect_s3

    for name, value in (("KEY_ID", settings.store_key_id), ("SECRET", settings.store_secret)):
        if not value:
            raise Invalid(f"DECONFUSE_STORE_{name}", "a store in S3 needs a key id and a secret of its own")
    place = _own_place(settings)
    address = S3Address(
        bucket=place.bucket,
        prefix=place.key,
        region=settings.store_region,
        key_id=settings.store_key_id,
        secret=settings.store_secret,
        endpoint=settings.store_endpoint or None,
        is_virtual_host=settings.store_virtual_host,
    )
    return S3Objects(connect_s3(address))


def _service_limits(settings: Settings) -> ServiceLimits:
    from deconfuse.service.house import ServiceLimits

    return ServiceLimits(
        projects=settings.max_projects,
        versions=settings.max_versions,
        trainings=settings.max_trainings,
        copies=settings.max_copies,
        running=settings.max_running,
        units=settings.max_units,
        policies=settings.max_policies,
        manifest=_manifest_limits(settings),
        images=_image_limits(settings),
        detect_bytes=settings.max_detect_bytes,
    )


def _now() -> datetime:
    return datetime.now(UTC)

"""Where the small pictures on a page come from: the cache, then the image itself, else nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache as remembered
from pathlib import Path

import pyarrow as pa

from deconfuse.engine.cache import EmbeddingCache, cached_thumbnails
from deconfuse.engine.imports import find_image, read_image
from deconfuse.errors import DeconfuseError
from deconfuse.vision.images import FOLDER_LIMITS, decode, thumbnail

Thumbnails = Callable[[str | None, str], bytes | None]
"""thumbnail(sha256 or None, uri): WebP bytes, or None where there is neither a cached picture nor the image."""


def thumbnail_source(
    predictions: pa.Table | None, *, cache: Path, root: Path | None, buckets: Mapping[str, Path]
) -> Thumbnails:
    """Pictures of the images of `predictions`.

    Args:
        predictions: a table with a column uri, and sha256 where the images' hashes are known; None has no images.
        cache: the directory of the cache.
        root: the folder that relative uris are below, or None.
        buckets: directories of s3:// buckets; "local" also stands for `root`, as in files of AWS's form.
    """
    places = {"local": root, **buckets} if root is not None else dict(buckets)

    @remembered
    def kept() -> Mapping[str, bytes]:
        if predictions is None or "sha256" not in predictions.column_names:
            return {}
        hashes = predictions.column("sha256").drop_null().unique().to_pylist()
        return cached_thumbnails(cache, hashes)

    def from_image(uri: str) -> bytes | None:
        return made_from(lambda: read_image(find_image(uri, root=root, buckets=places)))

    return lambda sha256, uri: (kept().get(sha256) if sha256 else None) or from_image(uri)


def from_cache_or_image(cache: EmbeddingCache, fetch: Callable[[str], bytes]) -> Thumbnails:
    """Pictures of images that a training has just read."""
    return lambda sha256, uri: (cache.thumbnails([sha256])[0] if sha256 else None) or made_from(lambda: fetch(uri))


def made_from(read: Callable[[], bytes]) -> bytes | None:
    """The thumbnail of the image that `read` gives, or None where there is none that can be read."""
    try:
        image, _ = decode(read(), FOLDER_LIMITS)
    except (DeconfuseError, OSError):
        return None
    return thumbnail(image)

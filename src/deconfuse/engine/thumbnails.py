"""Where the small pictures on a page come from: the cache, then the image itself, here or in S3, else nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache as remembered
from pathlib import Path

import pyarrow as pa

from deconfuse.engine.cache import EmbeddingCache, cached_thumbnails
from deconfuse.engine.imports import find_image, read_image
from deconfuse.errors import DeconfuseError
from deconfuse.vision.images import FOLDER_LIMITS, decode, thumbnail

FETCHERS = 8
"""So many images are fetched at once."""

AHEAD = 24
"""So many images are under way or kept before they are asked for."""

FETCHED_BYTES = 32 << 20
"""A larger image is not fetched; Rekognition takes none above 15 MB."""

FETCH_SECONDS = 600.0
"""After so long no further image is fetched; the page is written with those that came."""

GIVEN_UP = 40
"""After so many images in a row that could not be had, no further one is fetched."""

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


@contextmanager
def fetched_thumbnails(
    uris: Sequence[str],
    fetch: Callable[..., bytes],
    *,
    otherwise: Thumbnails,
    progress: Callable[[str, int, int], None] | None = None,
    seconds: float = FETCH_SECONDS,
) -> Iterator[Thumbnails]:
    """Pictures of images that lie far away: some are fetched ahead while a page asks for one after the other.

    Args:
        uris: the images that may be asked for, in the order in which they will be.
        fetch: fetch(uri, limit=bytes) gives the bytes of an image; asked for addresses in S3 only.
        otherwise: asked first; where it has a picture, nothing is fetched.
        progress: called as progress(step, done, total).
        seconds: how long images are fetched.
    """
    deadline = time.monotonic() + seconds
    places = {uri: place for place, uri in enumerate(uris)}
    waiting: dict[str, Future[bytes | None]] = {}
    n_lost = 0

    def get(uri: str) -> bytes | None:
        return made_from(lambda: fetch(uri, limit=FETCHED_BYTES))

    def picture(sha256: str | None, uri: str) -> bytes | None:
        nonlocal n_lost
        if progress is not None:
            progress("fetching images", places.get(uri, 0) + 1, len(uris))
        near = otherwise(sha256, uri)
        is_over = n_lost >= GIVEN_UP or time.monotonic() > deadline
        if near is not None or not uri.startswith("s3://") or is_over:
            return near
        for ahead in uris[places[uri] : places[uri] + AHEAD]:
            if ahead not in waiting and ahead.startswith("s3://"):
                waiting[ahead] = pool.submit(get, ahead)
        made = waiting[uri].result()
        n_lost = n_lost + 1 if made is None else 0
        return made

    pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")
    try:
        yield picture
    except BaseException:
        # Whoever pressed Ctrl-C does not wait for images that nobody will see.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown(wait=True, cancel_futures=True)

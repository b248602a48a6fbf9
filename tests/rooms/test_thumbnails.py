"""Small pictures: from the cache, from the image, or nowhere; never an error."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from deconfuse.engine.cache import EmbeddingCache
from deconfuse.engine.thumbnails import (
    AHEAD,
    FETCHED_BYTES,
    GIVEN_UP,
    Thumbnails,
    fetched_thumbnails,
    from_cache_or_image,
    made_from,
    thumbnail_source,
)
from deconfuse.errors import BadImage, NotFound
from deconfuse.vision.images import Facts
from worlds import picture, tiny_backbone, truncated, write

KEPT = b"RIFF\x04\0\0\0WEBP"
LEAF = picture("leaf")
SHA = hashlib.sha256(LEAF).hexdigest()


def cached(root: Path) -> EmbeddingCache:
    """A cache that holds a picture of the leaf."""
    card = tiny_backbone().card
    facts = [Facts("PNG", 96, 96, len(LEAF))]
    EmbeddingCache(root, card).add([SHA], np.zeros((1, 192), np.float32), thumbnails=[KEPT], facts=facts)
    return EmbeddingCache(root, card)


def source(root: Path, *, sha256: str | None = SHA, cache: Path | None = None) -> Thumbnails:
    """The pictures of predictions with one image, leaf.png below `root`."""
    predictions = pa.table({"uri": ["leaf.png"], "sha256": pa.array([sha256], pa.string())})
    return thumbnail_source(predictions, cache=cache or root / "nothing", root=root, buckets={})


def test_the_cache_is_asked_first(tmp_path: Path) -> None:
    """A kept picture is shown although the image is gone."""
    cached(tmp_path / "cache")

    assert source(tmp_path, cache=tmp_path / "cache")(SHA, "leaf.png") == KEPT


@pytest.mark.parametrize("sha256", [SHA, None])
def test_the_image_itself_comes_next(tmp_path: Path, sha256: str | None) -> None:
    """Without a cache, or without a hash, the picture is made: a small WebP."""
    write(tmp_path / "leaf.png", LEAF)
    shown = source(tmp_path, sha256=sha256)(sha256, "leaf.png")

    assert shown is not None
    assert shown[:4] + shown[8:12] == b"RIFFWEBP"


def test_files_of_aws_s_form_find_the_images_of_a_folder(tmp_path: Path) -> None:
    """s3://local/leaf.png is leaf.png below the folder of the images."""
    write(tmp_path / "leaf.png", LEAF)

    assert source(tmp_path)(None, "s3://local/leaf.png") == source(tmp_path)(None, "leaf.png") is not None


@pytest.mark.parametrize("uri", ["gone.png", "s3://unknown/leaf.png", "https://example.org/a.png", "a\0b", "../" * 99])
def test_what_is_nowhere_is_none(tmp_path: Path, uri: str) -> None:
    """A missing, foreign or impossible address is a place without a picture."""
    assert source(tmp_path)(SHA, uri) is None
    assert thumbnail_source(None, cache=tmp_path, root=None, buckets={})(SHA, uri) is None


@pytest.mark.parametrize("data", [b"", b"no image", truncated(LEAF)])
def test_what_is_no_image_is_none(tmp_path: Path, data: bytes) -> None:
    """A file that cannot be decoded has no picture, and nothing is raised."""
    write(tmp_path / "leaf.png", data)

    assert source(tmp_path)(None, "leaf.png") is None


def test_a_training_reads_an_image_again_only_where_the_cache_has_none(tmp_path: Path) -> None:
    """`fetch` is called for the image that is not kept, and for no other."""
    asked: list[str] = []

    def fetch(uri: str) -> bytes:
        asked.append(uri)
        return picture("sea")

    pictures = from_cache_or_image(cached(tmp_path), fetch)

    assert pictures(SHA, "leaf.png") == KEPT
    assert pictures("0" * 64, "sea.png") is not None
    assert asked == ["sea.png"]


@pytest.mark.parametrize("error", [BadImage("damaged"), OSError("gone")])
def test_an_image_that_cannot_be_read_is_none(error: Exception) -> None:
    """Whatever reading it raises."""

    def read() -> bytes:
        raise error

    assert made_from(read) is None


def nowhere(sha256: str | None, uri: str) -> None:
    """A source that has no picture."""


def fetched(
    uris: list[str], images: dict[str, bytes], **options: Any
) -> tuple[dict[str, bytes | None], list[str], list[int]]:
    """(picture by address, as asked for in order; what was fetched; the limits that were given)."""
    asked: list[str] = []
    limits: list[int] = []

    def fetch(uri: str, *, limit: int) -> bytes:
        asked.append(uri)
        limits.append(limit)
        if uri not in images:
            raise NotFound("object in S3", uri)
        return images[uri]

    with fetched_thumbnails(uris, fetch, **({"otherwise": nowhere} | options)) as picture_of:
        return {uri: picture_of(None, uri) for uri in uris}, asked, limits


def test_images_far_away_are_fetched_once_each() -> None:
    """Every address in S3 is asked for once, with a limit; what comes is a small picture."""
    uris = [f"s3://photos/{k}.png" for k in range(60)]
    pictures, asked, limits = fetched(uris, {uri: picture("leaf", k) for k, uri in enumerate(uris)})

    assert sorted(asked) == sorted(uris)
    assert {data[8:12] for data in pictures.values() if data} == {b"WEBP"}
    assert None not in pictures.values()
    assert set(limits) == {FETCHED_BYTES}


def test_what_is_at_hand_is_not_fetched() -> None:
    """The cache and the folders of buckets come first; other addresses than those of S3 are never asked for."""
    uris = ["s3://photos/a.png", "here.png", "https://x/y.png"]
    pictures, asked, _ = fetched(uris, {}, otherwise=lambda sha256, uri: KEPT if uri == uris[0] else None)

    assert pictures == {uris[0]: KEPT, uris[1]: None, uris[2]: None}
    assert asked == []


def test_what_cannot_be_had_has_no_picture() -> None:
    """Gone, no image, half an image: None, and the others are there."""
    uris = [f"s3://photos/{k}.png" for k in range(4)]
    pictures, _, _ = fetched(uris, {uris[1]: b"no image", uris[2]: truncated(LEAF, keep=0.1), uris[3]: LEAF})

    assert [pictures[uri] is None for uri in uris] == [True, True, True, False]


def test_after_many_refusals_in_a_row_no_more_is_asked() -> None:
    """A bucket that may not be read costs a moment, not an hour."""
    uris = [f"s3://secret/{k}.png" for k in range(500)]
    pictures, asked, _ = fetched(uris, {})

    assert set(pictures.values()) == {None}
    assert len(asked) <= GIVEN_UP + AHEAD


def test_a_page_that_is_left_early_stops_fetching() -> None:
    """What was not asked for when the page is complete is not waited for."""
    uris = [f"s3://photos/{k}.png" for k in range(500)]
    asked: list[str] = []

    def fetch(uri: str, *, limit: int) -> bytes:
        asked.append(uri)
        return LEAF

    with fetched_thumbnails(uris, fetch, otherwise=nowhere) as picture_of:
        assert picture_of(None, uris[0])
    assert len(asked) <= AHEAD


def test_progress_counts_the_images_listed() -> None:
    """As for any long work: step, done, total."""
    steps: list[tuple[str, int, int]] = []
    uris = [f"s3://photos/{k}.png" for k in range(3)]
    fetched(uris, dict.fromkeys(uris, LEAF), progress=lambda *step: steps.append(step))

    assert steps == [("fetching images", k, 3) for k in (1, 2, 3)]


def test_after_the_time_nothing_more_is_fetched() -> None:
    """A page is written in bounded time, however slow the bucket is."""
    uris = [f"s3://photos/{k}.png" for k in range(3)]
    pictures, asked, _ = fetched(uris, dict.fromkeys(uris, LEAF), seconds=-1.0)

    assert (set(pictures.values()), asked) == ({None}, [])


def test_an_interruption_waits_for_no_image() -> None:
    """Ctrl-C ends at once, although a fetch hangs."""
    hangs, uris = threading.Event(), [f"s3://photos/{k}.png" for k in range(30)]
    reached = threading.Event()

    def fetch(uri: str, *, limit: int) -> bytes:
        if uri != uris[0]:
            reached.set()
            hangs.wait(30)
        return LEAF

    def interrupted() -> None:
        with fetched_thumbnails(uris, fetch, otherwise=nowhere) as picture_of:
            picture_of(None, uris[0])
            reached.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not hangs.is_set()
    hangs.set()

"""The loop over images: each once, whatever the threads; bad images are values; an interruption ends it."""

from __future__ import annotations

import _thread
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deconfuse.engine.cache import EmbeddingCache
from deconfuse.engine.embeddings import Embedded, embed
from deconfuse.errors import BadImage, Denied, NotFound
from deconfuse.vision.backbone import Backbone
from deconfuse.vision.images import FOLDER_LIMITS, MANIFEST_LIMITS, Facts, decode
from worlds import bomb, drawing, encode, label_folder, picture, tiny_backbone, truncated, turned

Files = dict[str, bytes]


class Counting(Backbone):
    """A backbone that counts the images it embeds, and may take its time."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        tiny = tiny_backbone()
        super().__init__(tiny.card, tiny.model)
        self.n = 0
        self.seconds = seconds
        self._guard = threading.Lock()

    def embed(self, pixels_nhwc: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As always, but counted."""
        with self._guard:
            self.n += len(pixels_nhwc)
        time.sleep(self.seconds)
        return super().embed(pixels_nhwc)


class Forbidden(Counting):
    """A backbone that nothing may reach."""

    def embed(self, pixels_nhwc: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Never."""
        raise AssertionError("the image was known and is run again")


def files(n: int = 6) -> Files:
    """`n` different images by address."""
    return {f"leaf/{number}.png": picture("leaf", number) for number in range(n)}


def go(
    images: Files, *, backbone: Backbone | None = None, cache: EmbeddingCache | None = None, threads: int = 2
) -> Embedded:
    """`embed` for these images under the limits of folders."""
    return embed(
        list(images),
        images.__getitem__,
        backbone=backbone or tiny_backbone(),
        cache=cache,
        limits=FOLDER_LIMITS,
        threads=threads,
    )


def tiny_cache(root: Path) -> EmbeddingCache:
    """A cache for the tiny backbone."""
    return EmbeddingCache(root, tiny_backbone().card)


def test_every_image_gets_the_embedding_of_its_own_pixels() -> None:
    """Row by row, the vectors are what the backbone says of the decoded image."""
    images = files()
    embedded = go(images)

    for row, data in enumerate(images.values()):
        backbone = tiny_backbone()
        expected = backbone.embed(backbone.pixels(decode(data, FOLDER_LIMITS)[0])[None])[0]
        assert np.array_equal(expected, embedded.vectors[embedded.row_of[row]])
        assert hashlib.sha256(data).hexdigest() == embedded.sha256[row]


def test_facts_tell_the_size_as_it_is_seen() -> None:
    """A photo that EXIF turns is higher than wide."""
    data = turned("sun")

    assert Facts("JPEG", 96, 192, len(data)) == go({"a.jpg": data}).facts[0]


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    """The same vectors, hashes and rows from any number of threads."""
    images = files(20) | {"copy.png": picture("leaf", 3)}
    one, many = go(images, threads=1), go(images, threads=threads)

    assert one.vectors.tobytes() == many.vectors.tobytes()
    assert (one.sha256, one.row_of, one.facts) == (many.sha256, many.row_of, many.facts)


def test_the_order_of_files_changes_no_bit() -> None:
    """An image has the same embedding wherever it stands in the list."""
    images = files(9)
    forward, backward = go(images), go(dict(reversed(images.items())))

    for row in range(9):
        there, back = forward.row_of[row], backward.row_of[8 - row]
        assert forward.vectors[there].tobytes() == backward.vectors[back].tobytes()


def test_equal_files_are_computed_once() -> None:
    """Five addresses with the same bytes share one row and one run of the backbone."""
    backbone = Counting()
    embedded = go({f"{n}.png": picture("sun") for n in range(5)}, backbone=backbone, threads=4)

    assert (backbone.n, embedded.n_new, embedded.row_of) == (1, 1, (0,) * 5)


def test_an_address_listed_twice_is_read_once() -> None:
    """Reading is not repeated; both places get the answer."""
    reads: list[str] = []

    def fetch(uri: str) -> bytes:
        reads.append(uri)
        return picture("sun")

    embedded = embed(["a", "b", "a"], fetch, backbone=tiny_backbone(), cache=None, limits=FOLDER_LIMITS)

    assert (sorted(reads), embedded.row_of) == (["a", "b"], (0, 0, 0))


def test_no_images_give_empty_results() -> None:
    """Nothing in, nothing out, no error."""
    embedded = go({})

    assert (embedded.row_of, embedded.vectors.shape, embedded.problems) == ((), (0, 192), ())


def test_a_second_time_nothing_is_decoded_or_embedded(tmp_path: Path) -> None:
    """What the cache knows never reaches the backbone, and has the same bits."""
    images = files(7)
    first = go(images, cache=tiny_cache(tmp_path))
    second = go(images, backbone=Forbidden(), cache=tiny_cache(tmp_path))

    assert (first.n_new, second.n_new) == (7, 0)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert (first.facts, first.row_of) == (second.facts, second.row_of)


def test_only_what_is_not_known_is_computed(tmp_path: Path) -> None:
    """Three more images cost three runs."""
    go(files(4), cache=tiny_cache(tmp_path))
    backbone = Counting()
    embedded = go(files(7), backbone=backbone, cache=tiny_cache(tmp_path))

    assert (3, 3, tuple(range(7))) == (backbone.n, embedded.n_new, embedded.row_of)


def test_a_moved_image_is_known_by_its_bytes(tmp_path: Path) -> None:
    """The cache does not care where a file lies or what it is called."""
    go({"old/a.png": picture("sea")}, cache=tiny_cache(tmp_path))

    assert go({"new/b.png": picture("sea")}, backbone=Forbidden(), cache=tiny_cache(tmp_path)).n_new == 0


def test_other_limits_are_applied_to_what_is_cached(tmp_path: Path) -> None:
    """An image of 40 pixels kept under wide limits is refused under AWS's, without decoding it."""
    images = {"small.png": picture("sun", side=40)}
    go(images, cache=tiny_cache(tmp_path))
    strict = embed(
        ["small.png"],
        images.__getitem__,
        backbone=Forbidden(),
        cache=tiny_cache(tmp_path),
        limits=MANIFEST_LIMITS,
    )

    assert strict.row_of == (None,)
    assert strict.problem_at[0].code == "ERROR_INVALID_IMAGE"
    assert "40 x 40" in strict.problem_at[0].message


def test_equal_bytes_under_two_limits_are_judged_by_each() -> None:
    """A manifest's image is refused where the same file in a folder is fine."""
    embedded = embed(
        ["folder", "manifest"],
        lambda _: picture("sun", side=40),
        backbone=tiny_backbone(),
        cache=None,
        limits=lambda uri: MANIFEST_LIMITS if uri == "manifest" else FOLDER_LIMITS,
    )

    assert embedded.row_of == (0, None)


def test_progress_ends_at_the_number_of_images() -> None:
    """The caller sees the end, and never more than there is."""
    seen: list[tuple[int, int]] = []
    images = files(5)
    embed(
        list(images),
        images.__getitem__,
        backbone=tiny_backbone(),
        cache=None,
        limits=FOLDER_LIMITS,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen[-1] == (5, 5)
    assert all(done <= 5 == total for done, total in seen)


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"this is no image", "not an image"),
    "cut off": (truncated(encode(drawing("sun"), "JPEG")), "cut off"),
    "bomb": (bomb(), "pixels"),
    "a web page": (b"<!DOCTYPE html><html>not found</html>", "web page"),
    "a thin line": (encode(drawing("sun", side=1000, height=3)), "200 times"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_image_is_a_problem_with_its_address(what: str) -> None:
    """AWS's code, a sentence with the reason, the address; the good images beside it are embedded."""
    data, reason = BAD[what]
    embedded = go({"good.png": picture("sun"), "bad.jpg": data})

    problem = embedded.problem_at[1]
    assert (problem.code, problem.uri, problem.level) == ("ERROR_INVALID_IMAGE", "bad.jpg", "error")
    assert reason in problem.message
    assert embedded.row_of == (0, None)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied"),
        FileNotFoundError(2, "No such file or directory"),
        OSError(5, "Input/output error"),
        BadImage("there is no file a.png"),
        NotFound("object", "a.png"),
        Denied("a.png may not be read"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_image_that_cannot_be_read_is_a_problem(error: BaseException) -> None:
    """Permissions, vanished files, failing disks and too little memory are told, not raised."""

    def fetch(uri: str) -> bytes:
        if uri == "a.png":
            raise error
        return picture("sun")

    embedded = embed(["a.png", "b.png"], fetch, backbone=tiny_backbone(), cache=None, limits=FOLDER_LIMITS)

    assert (embedded.row_of, embedded.problem_at[0].code) == ((None, 0), "ERROR_INVALID_IMAGE")
    assert embedded.sha256[0] is None


def test_a_problem_tells_line_and_side() -> None:
    """Four hundred bad lines give four hundred answers, each with its place."""
    embedded = embed(
        [f"{n}.png" for n in range(400)],
        lambda uri: uri.encode(),
        backbone=tiny_backbone(),
        cache=None,
        limits=FOLDER_LIMITS,
        lines=range(1, 401),
        splits=["test"] * 400,
    )

    assert list(range(1, 401)) == [problem.line for problem in embedded.problems]
    assert {"test"} == {problem.split for problem in embedded.problems}


def test_bad_images_leave_no_gap_in_the_vectors() -> None:
    """Vectors and facts hold usable images only, in their order."""
    images = files(6)
    images["leaf/0.png"] = images["leaf/3.png"] = b"bad"
    embedded = go(images)

    assert embedded.row_of == (None, 0, 1, None, 2, 3)
    assert (len(embedded.vectors), len(embedded.facts)) == (4, 4)


def test_bad_images_are_not_kept(tmp_path: Path) -> None:
    """The cache holds what was embedded, nothing else."""
    cache = tiny_cache(tmp_path)
    go({"good.png": picture("sun"), "bad.png": b"bad"}, cache=cache)

    assert cache.size().n_images == 1


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    """The embeddings are there all the same, as on a full disk."""
    (tmp_path / "embeddings").write_bytes(b"a file where a folder should be")
    embedded = go(files(3), cache=tiny_cache(tmp_path))

    assert embedded.row_of == (0, 1, 2)
    assert [problem.code for problem in embedded.warnings] == ["WARNING_CACHE_NOT_WRITTEN"]


def test_a_damaged_cache_is_a_warning_and_computed_again(tmp_path: Path) -> None:
    """A segment that lost its end costs time, never an image; the warning names the file."""
    cache = tiny_cache(tmp_path)
    first = go(files(3), cache=cache)
    segment = next(cache.folder.glob("segment-*"))
    segment.write_bytes(truncated(segment.read_bytes()))
    again = go(files(3), cache=tiny_cache(tmp_path))

    assert (3, first.vectors.tobytes()) == (again.n_new, again.vectors.tobytes())
    assert [problem.code for problem in again.warnings] == ["WARNING_CACHE_DAMAGED"]
    assert segment.name in again.warnings[0].message


def test_an_error_of_our_own_is_raised() -> None:
    """A mistake in the program is no property of an image."""
    with pytest.raises(AssertionError, match="run again"):
        go(files(30), backbone=Forbidden())


def interrupting(images: Files, after: int) -> Callable[[str], bytes]:
    """A fetch that presses Ctrl-C at its n-th image."""
    counted = iter(range(1, len(images) + 1))

    def fetch(uri: str) -> bytes:
        if next(counted) == after:
            _thread.interrupt_main()
        return images[uri]

    return fetch


def test_ctrl_c_ends_within_a_second_whatever_is_under_way() -> None:
    """Nobody waits for an image that takes long."""
    images = files(40)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        embed(
            list(images),
            interrupting(images, after=3),
            backbone=Counting(seconds=4),
            cache=None,
            limits=FOLDER_LIMITS,
            threads=4,
        )

    assert time.monotonic() - start < 1


def test_ctrl_c_keeps_what_was_finished(tmp_path: Path) -> None:
    """The next training goes on where this one was interrupted."""
    images = files(60)
    cache = tiny_cache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        embed(
            list(images),
            interrupting(images, after=10),
            backbone=Counting(seconds=0.02),
            cache=cache,
            limits=FOLDER_LIMITS,
            threads=2,
        )

    n_kept = cache.size().n_images
    assert 8 <= n_kept < 60
    assert 60 - n_kept == go(images, cache=tiny_cache(tmp_path)).n_new


def test_an_error_of_the_progress_bar_stops_the_work() -> None:
    """Whatever the caller raises comes back to it, and no thread goes on reading."""
    reads: list[str] = []

    def fetch(uri: str) -> bytes:
        reads.append(uri)
        time.sleep(0.02)
        return picture("sun", len(reads))

    def progress(done: int, total: int) -> None:
        raise RuntimeError("the terminal is gone")

    uris = [str(n) for n in range(500)]
    with pytest.raises(RuntimeError, match="terminal"):
        embed(uris, fetch, backbone=tiny_backbone(), cache=None, limits=FOLDER_LIMITS, progress=progress, threads=2)
    n_reads = len(reads)
    time.sleep(0.1)

    assert len(reads) <= n_reads + 2 < 500


def test_a_folder_goes_through_from_disk(tmp_path: Path) -> None:
    """The pictures of four labels are told apart by the tiny backbone: nearest neighbours share their label."""
    from deconfuse.engine.imports import open_images

    intake = open_images(label_folder(tmp_path / "images", dict.fromkeys(("apple", "leaf", "sea", "sun"), 8)))
    uris = [entry.uri or "" for entry in intake.entries]
    embedded = embed(uris, intake.fetch, backbone=tiny_backbone(), cache=None, limits=intake.limits)
    distance = ((embedded.vectors[:, None] - embedded.vectors[None]) ** 2).sum(2) + np.eye(32) * 1e9
    nearest = distance.argmin(1)

    assert np.mean([intake.entries[i].labels == intake.entries[j].labels for i, j in enumerate(nearest)]) > 0.9

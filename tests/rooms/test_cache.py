"""The cache on disk: found again by hash, shared by processes, harmless when damaged."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from deconfuse.engine.cache import EmbeddingCache, cache_sizes, cached_thumbnails, clear_cache
from deconfuse.errors import Unavailable
from deconfuse.vision.images import Facts

D = 5


@dataclass(frozen=True)
class Key:
    """As much of a backbone's card as the cache looks at."""

    key: str = "some-backbone"
    dimensions: int = D


def sha(number: int) -> str:
    """The sha256 of an image by its number."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def vectors(numbers: list[int]) -> NDArray[np.float32]:
    """The embedding of each image by its number."""
    return np.array([np.arange(D) + number for number in numbers], np.float32)


def add(cache: EmbeddingCache, numbers: list[int]) -> None:
    """Keep these images."""
    cache.add(
        [sha(number) for number in numbers],
        vectors(numbers),
        thumbnails=[f"picture {number}".encode() for number in numbers],
        facts=[Facts("PNG", number + 1, 7, 99) for number in numbers],
    )


def opened(root: Path, numbers: list[int] | None = None) -> EmbeddingCache:
    """A cache that holds these images in one segment."""
    cache = EmbeddingCache(root, Key())
    if numbers:
        add(cache, numbers)
        cache.refresh()
    return cache


def known(cache: EmbeddingCache, numbers: list[int]) -> list[int]:
    """Those of `numbers` that the cache finds."""
    places = cache.find([sha(number) for number in numbers])
    return [number for number, place in zip(numbers, places, strict=True) if place >= 0]


def segment_of(cache: EmbeddingCache) -> Path:
    """Its only segment."""
    (path,) = cache.folder.glob("segment-*")
    return path


def test_what_was_added_is_found_with_everything(tmp_path: Path) -> None:
    """Vector, thumbnail and facts come back as they were, in any order asked for."""
    opened(tmp_path, [1, 2, 3])
    cache = opened(tmp_path)
    places = cache.find([sha(3), sha(9), sha(1)])

    assert (places >= 0).tolist() == [True, False, True]
    assert np.array_equal(cache.vectors(places[[0, 2]]), vectors([3, 1]))
    assert cache.thumbnails([sha(3), sha(9)]) == [b"picture 3", None]
    assert cache.facts(int(places[0])) == Facts("PNG", 4, 7, 99)


def test_a_large_addition_becomes_segments_of_a_thousand(tmp_path: Path) -> None:
    """2,300 images are three files, and each image is found in its own."""
    numbers = list(range(2300))
    cache = opened(tmp_path, numbers)
    places = cache.find([sha(number) for number in numbers])

    assert len(list(cache.folder.glob("segment-*"))) == 3
    assert np.array_equal(cache.vectors(places), vectors(numbers))


def test_hashes_with_the_same_beginning_are_told_apart(tmp_path: Path) -> None:
    """The index looks at eight bytes; what decides is all thirty-two."""
    twins = [sha(1)[:16] + str(n) * 48 for n in range(3)]
    cache = opened(tmp_path)
    cache.add(twins[:2], vectors([1, 2]), thumbnails=[b"", b""], facts=[Facts("PNG", 1, 1, 1)] * 2)
    cache.refresh()
    places = cache.find(twins)

    assert cache.vectors(places[:2]).tolist() == vectors([1, 2]).tolist()
    assert places[2] == -1


def test_nothing_is_created_until_something_is_added(tmp_path: Path) -> None:
    """Looking leaves no trace."""
    cache = opened(tmp_path / "nowhere")

    assert known(cache, [1]) == []
    assert cache.vectors(cache.find([])).shape == (0, D)
    assert not (tmp_path / "nowhere").exists()


def test_another_process_s_additions_are_seen(tmp_path: Path) -> None:
    """Two open caches on one folder share what either adds."""
    one, other = opened(tmp_path), opened(tmp_path)
    add(one, [1])
    add(other, [2])
    one.refresh()

    assert known(one, [1, 2]) == [1, 2]


def test_threads_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight writers, one folder, every image kept."""
    crew = [threading.Thread(target=add, args=(opened(tmp_path), [n, 100 + n])) for n in range(8)]
    for member in crew:
        member.start()
    for member in crew:
        member.join()
    numbers = [*range(8), *range(100, 108)]

    assert known(opened(tmp_path), numbers) == numbers


WRITER = """
import sys, numpy as np
from pathlib import Path
from types import SimpleNamespace
from deconfuse.engine.cache import EmbeddingCache
from deconfuse.vision.images import Facts
cache = EmbeddingCache(Path(sys.argv[1]), SimpleNamespace(key="some-backbone", dimensions=5))
for n in range(40):
    cache.add([f"{int(sys.argv[2]) + n:064x}"], np.full((1, 5), n, np.float32), thumbnails=[b"x"],
              facts=[Facts("PNG", 1, 1, 1)])
    cache.merge_small()
"""


def test_processes_that_add_and_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    """Three processes write, and merge each other's segments; all 120 images are found afterwards."""
    crew = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(start)]) for start in (0, 1000, 2000)]
    codes = [process.wait(timeout=120) for process in crew]
    cache = opened(tmp_path)
    places = cache.find([f"{start + n:064x}" for start in (0, 1000, 2000) for n in range(40)])

    assert codes == [0, 0, 0]
    assert cache.vectors(places)[:, 0].tolist() == [float(n) for _ in range(3) for n in range(40)]
    assert cache.problems == []


def test_many_small_segments_are_merged(tmp_path: Path) -> None:
    """Twenty segments of one image become one, with an image that was added twice in it once."""
    cache = opened(tmp_path)
    for number in [*range(19), 0]:
        add(cache, [number])
    cache.merge_small()

    assert (cache.size().n_images, known(cache, list(range(19)))) == (19, list(range(19)))
    assert segment_of(cache).name.split("-")[2] == "19"


def test_a_merge_takes_nothing_from_a_reader(tmp_path: Path) -> None:
    """Places given before the merge are good after it, although their files are gone."""
    cache = opened(tmp_path)
    for number in range(20):
        add(cache, [number])
    reader = opened(tmp_path)
    places = reader.find([sha(number) for number in range(20)])
    cache.merge_small()

    assert np.array_equal(reader.vectors(places), vectors(list(range(20))))
    reader.refresh()
    assert known(reader, [0, 19]) == [0, 19]


def test_few_small_segments_are_left_alone(tmp_path: Path) -> None:
    """A merge is work; a handful of files is not worth it."""
    cache = opened(tmp_path)
    for number in range(5):
        add(cache, [number])
    cache.merge_small()

    assert len(list(cache.folder.glob("segment-*"))) == 5


def flipped(data: bytes, at: float) -> bytes:
    """`data` with one bit changed, at a share of its length."""
    position = int(len(data) * at)
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"x",
    "something else": lambda data: b"no segment at all",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_segment_counts_as_absent(tmp_path: Path, what: str) -> None:
    """Its images are unknown, the others are found, and a warning names the file and what removes it."""
    path = segment_of(opened(tmp_path, [1, 2, 3]))
    path.write_bytes(DAMAGE[what](path.read_bytes()))
    cache = opened(tmp_path, [4])

    assert known(cache, [1, 2, 3, 4]) == [4]
    assert [problem.code for problem in cache.problems] == ["WARNING_CACHE_DAMAGED"]
    assert path.name in cache.problems[0].message
    assert "cache clear" in cache.problems[0].message


@pytest.mark.parametrize("at", np.linspace(0, 0.999, 41))
def test_no_flipped_bit_is_believed(tmp_path: Path, at: float) -> None:
    """Wherever one bit is wrong, the whole segment is not used."""
    path = segment_of(opened(tmp_path, list(range(20))))
    path.write_bytes(flipped(path.read_bytes(), at))
    cache = opened(tmp_path)

    assert known(cache, list(range(20))) == []
    assert len(cache.problems) == 1


def test_a_segment_of_another_shape_is_refused(tmp_path: Path) -> None:
    """Vectors of another length, under a folder whose name promises ours, are no embeddings of ours."""
    wide = EmbeddingCache(tmp_path, Key(dimensions=9))
    wide.add([sha(1)], np.zeros((1, 9), np.float32), thumbnails=[b""], facts=[Facts("PNG", 1, 1, 1)])

    assert known(opened(tmp_path), [1]) == []


def test_files_of_others_are_passed_over(tmp_path: Path) -> None:
    """Unfinished and foreign files do no harm and get no warning."""
    cache = opened(tmp_path, [1])
    (cache.folder / ".partial-segment-0000000000000000-1-00000000.arrow").write_bytes(b"unfinished")
    (cache.folder / "notes.txt").write_bytes(b"mine")
    again = opened(tmp_path)

    assert (known(again, [1]), again.problems) == ([1], [])


def test_a_segment_that_vanishes_is_not_missed(tmp_path: Path) -> None:
    """`cache clear` in another terminal: the images are unknown from the next look on."""
    cache = opened(tmp_path, [1])
    segment_of(cache).unlink()
    cache.refresh()

    assert known(cache, [1]) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A full disk or a read-only folder is `Unavailable`, and leaves no unfinished file."""
    (tmp_path / "embeddings").write_bytes(b"in the way")

    with pytest.raises(Unavailable, match="embeddings"):
        add(opened(tmp_path), [1])
    assert [path.name for path in tmp_path.rglob("*")] == ["embeddings"]


def test_sizes_are_told_by_backbone(tmp_path: Path) -> None:
    """Images and bytes of each, without opening a file."""
    opened(tmp_path, [1, 2])
    other = EmbeddingCache(tmp_path, Key("another"))
    add(other, [1])
    sizes = cache_sizes(tmp_path)

    assert [(size.key, size.n_images) for size in sizes] == [("another", 1), ("some-backbone", 2)]
    assert sizes[1].n_bytes == segment_of(opened(tmp_path)).stat().st_size
    assert cache_sizes(tmp_path / "nowhere") == ()


def test_clearing_removes_damaged_and_unfinished_files_too(tmp_path: Path) -> None:
    """Afterwards nothing is left, and the freed bytes are told."""
    cache = opened(tmp_path, [1])
    (cache.folder / ".partial-x").write_bytes(b"12345")
    n_bytes = cache.size().n_bytes

    assert clear_cache(tmp_path) == n_bytes
    assert not (tmp_path / "embeddings").exists()
    assert clear_cache(tmp_path) == 0


def test_thumbnails_are_found_whichever_backbone_made_them(tmp_path: Path) -> None:
    """A report asks for pictures, not for embeddings; a damaged segment has none."""
    opened(tmp_path, [1])
    other = EmbeddingCache(tmp_path, Key("another", 5))
    add(other, [2, 3])
    broken = segment_of(opened(tmp_path))
    found = cached_thumbnails(tmp_path, [sha(1), sha(2), sha(9)])
    broken.write_bytes(flipped(broken.read_bytes(), 0.5))

    assert found == {sha(1): b"picture 1", sha(2): b"picture 2"}
    assert cached_thumbnails(tmp_path, [sha(1), sha(2)]) == {sha(2): b"picture 2"}
    assert cached_thumbnails(tmp_path / "nowhere", [sha(1)]) == {}


def test_a_segment_is_a_plain_arrow_file(tmp_path: Path) -> None:
    """Anybody can read it without us."""
    path = segment_of(opened(tmp_path, [1]))

    assert pa.ipc.open_file(path).read_all().column("format").to_pylist() == ["PNG"]

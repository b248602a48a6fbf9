"""The cache of embeddings: what was computed of an image, by the sha256 of its bytes.

    root/embeddings/<key of the backbone>/segment-<random>-<rows>-<crc32>.arrow

A segment is an Arrow IPC file of up to 1,000 images, written under a temporary name and renamed; it never changes
afterwards. So any number of processes can read and write the same cache: the worst that can happen is that two of
them embed the same image. The name carries the checksum of the file, which is verified before anything is taken
from it; a segment that is damaged counts as absent and is named in a warning. Many small segments, as many small
trainings leave them, are merged by one process at a time; a reader that loses a segment to a merge lists again.

What is kept does not depend on the limits in force: format, size and number of bytes are kept too, so that other
limits are applied without decoding again.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse.engine.sinks import world_error
from deconfuse.errors import Problem, Unavailable
from deconfuse.vision.images import Facts

SEGMENT_ROWS = 1000
SMALL_SEGMENTS = 16
"""So many segments that are less than half full are merged."""

ABANDONED_SECONDS = 3600
"""A temporary file of this age belongs to a process that ended without renaming it."""

_SEGMENT = re.compile(r"segment-[0-9a-f]{16}-(\d+)-([0-9a-f]{8})\.arrow")


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How much is kept for one backbone.

    Attributes:
        key: the backbone's name in the cache.
        n_images: images with an embedding and a thumbnail; one that two processes computed counts twice.
        n_bytes: bytes of all files.
    """

    key: str
    n_images: int
    n_bytes: int


class Keyed(Protocol):
    """What the cache must know of a backbone: its card, or as much of it as a folder of the cache tells."""

    @property
    def key(self) -> str:
        """The name of its folder."""

    @property
    def dimensions(self) -> int:
        """D, the numbers in an embedding."""


class EmbeddingCache:
    """The vectors, thumbnails and facts of images, by sha256, for one backbone.

    A *place* is a number that stands for one kept image for as long as this object lives.

    Attributes:
        folder: where the segments lie.
        problems: a warning for each segment that could not be used.
    """

    def __init__(self, root: Path, card: Keyed) -> None:
        """Opens the cache of the backbone with this card below `root`; nothing is created until something is added."""
        self.folder = root / "embeddings" / card.key
        self.problems: list[Problem] = []
        self._dimensions = card.dimensions
        self._schema = _schema(card.dimensions)
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._live: dict[str, int] = {}
        self._refused: set[str] = set()
        self._index = (np.empty(0, np.uint64), np.empty(0, np.int64))
        self.refresh()

    def refresh(self) -> None:
        """Take in segments that appeared since, and let go of those that were merged or removed."""
        with self._lock:
            for _ in range(3):  # a merge may take segments away between listing and opening
                names = set(_segment_names(self.folder))
                if not self._open(names - self._live.keys() - self._refused):
                    break
            gone = self._live.keys() - names
            for name in gone:
                del self._live[name]
            self._sort()

    def find(self, sha256s: Sequence[str]) -> NDArray[np.int64]:
        """int64[n]: the place of each image by its sha256 (64 hexadecimal digits), -1 where it is not kept."""
        return np.array([self.locate(bytes.fromhex(sha256)) for sha256 in sha256s], np.int64)

    def locate(self, digest: bytes) -> int:
        """The place of the image with this sha256 (32 bytes), or -1."""
        keys, places = self._index
        key = np.uint64(int.from_bytes(digest[:8], "big"))
        for i in range(int(np.searchsorted(keys, key)), len(keys)):
            if keys[i] != key:
                break
            place = int(places[i])
            segment = self._segments[place // SEGMENT_ROWS]
            if segment.digest(place % SEGMENT_ROWS) == digest and self._is_sound(segment):
                return place
        return -1

    def vectors(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[n, D]: the embeddings at `places`, each of which `find` gave."""
        vectors = np.empty((len(places), self._dimensions), np.float32)
        self.gather(places, np.arange(len(places)), vectors)
        return vectors

    def gather(self, places: NDArray[np.int64], rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write the embedding at `places[i]` to `out[rows[i]]`, segment by segment."""
        numbers = places // SEGMENT_ROWS
        order = np.argsort(numbers, kind="stable")
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        for chosen in np.split(order, starts[1:]) if len(order) else []:
            segment = self._segments[int(numbers[chosen[0]])]
            out[rows[chosen]] = segment.vectors()[places[chosen] % SEGMENT_ROWS]

    def facts(self, place: int) -> Facts:
        """Format, size and number of bytes of the image at `place`."""
        return self._segments[place // SEGMENT_ROWS].facts(place % SEGMENT_ROWS)

    def thumbnails(self, sha256s: Sequence[str]) -> list[bytes | None]:
        """The thumbnail (WebP) of each image by its sha256, None where it is not kept."""
        places = self.find(sha256s)
        return [
            self._segments[place // SEGMENT_ROWS].thumbnail(place % SEGMENT_ROWS) if place >= 0 else None
            for place in places.tolist()
        ]

    def add(
        self,
        sha256s: Sequence[str],
        vectors: NDArray[np.float32],
        *,
        thumbnails: Sequence[bytes],
        facts: Sequence[Facts],
    ) -> None:
        """Keep images: row i of vectors (float32[n, D]), thumbnails and facts belongs to sha256s[i].

        They are found after the next `refresh`.

        Raises:
            Unavailable: the disk is full, or the folder cannot be written; what was kept before still is.
        """
        digests = [bytes.fromhex(sha256) for sha256 in sha256s]
        for start in range(0, len(digests), SEGMENT_ROWS):
            part = slice(start, start + SEGMENT_ROWS)
            batch = _batch(self._schema, digests[part], vectors[part], thumbnails[part], facts[part])
            try:
                _write_segment(self.folder, batch)
            except OSError as error:
                raise Unavailable(f"{self.folder} cannot be written: {error.strerror or error}") from error

    def merge_small(self) -> None:
        """Merge segments that are less than half full, once there are many; another process at it is left alone."""
        self.refresh()
        small = [name for name in sorted(self._live) if self._segments[self._live[name]].n_rows < SEGMENT_ROWS // 2]
        if len(small) < SMALL_SEGMENTS:
            return
        with contextlib.suppress(OSError), _only_one(self.folder / ".merging") as is_mine:
            if is_mine:
                _remove_abandoned(self.folder)
                self._merge([name for name in small if (self.folder / name).exists()])
        self.refresh()

    def size(self) -> CacheSize:
        """What is kept for this backbone."""
        return _size(self.folder)

    def _open(self, names: set[str]) -> bool:
        """Open these segments; whether one of them had vanished."""
        has_vanished = False
        for name in sorted(names):
            try:
                segment = _Segment(self.folder / name, self._schema)
            except FileNotFoundError:
                has_vanished = True
            except (OSError, pa.ArrowException, ValueError) as error:
                self._refuse(name, str(error).splitlines()[0])
            else:
                self._live[name] = len(self._segments)
                self._segments.append(segment)
        return has_vanished

    def _sort(self) -> None:
        """Make the index: the first 8 bytes of each sha256 as an integer, ascending, and the place of each."""
        numbers = sorted(self._live.values())
        keys = [self._segments[number].keys() for number in numbers]
        places = [number * SEGMENT_ROWS + np.arange(len(key)) for number, key in zip(numbers, keys, strict=True)]
        if not keys:
            self._index = (np.empty(0, np.uint64), np.empty(0, np.int64))
            return
        key = np.concatenate(keys)
        order = np.argsort(key, kind="stable")
        self._index = (key[order], np.concatenate(places)[order])

    def _is_sound(self, segment: _Segment) -> bool:
        """Whether the bytes of `segment` are those once written; looked at once, and remembered."""
        if segment.is_sound is None:
            is_sound = segment.verify()
            with self._lock:
                if segment.is_sound is None and not is_sound:
                    self._refuse(segment.path.name, "its bytes are not those that were written")
                segment.is_sound = is_sound
        return segment.is_sound

    def _refuse(self, name: str, why: str) -> None:
        self._refused.add(name)
        self._live.pop(name, None)
        message = (
            f"the cache file {self.folder / name} is damaged ({why}); its images are computed again. "
            "`deconfuse cache clear` removes it"
        )
        self.problems.append(Problem("WARNING_CACHE_DAMAGED", message, level="warning"))

    def _merge(self, names: list[str]) -> None:
        segments = [self._segments[self._live[name]] for name in names if name in self._live]
        table = pa.Table.from_batches([s.batch for s in segments if self._is_sound(s)], self._schema)
        kept: dict[bytes, int] = {}
        for row, digest in enumerate(table.column("sha256").to_pylist()):
            kept.setdefault(digest, row)
        table = table.take(pa.array(kept.values(), pa.int64())).combine_chunks()
        for batch in table.to_batches(max_chunksize=SEGMENT_ROWS):
            _write_segment(self.folder, batch)
        for segment in segments:
            if segment.is_sound:
                segment.path.unlink(missing_ok=True)


def cached_thumbnails(root: Path, sha256s: Iterable[str]) -> dict[str, bytes]:
    """The thumbnail (WebP) of each image that is kept for any backbone below `root`, by sha256."""
    found: dict[str, bytes] = {}
    missing = list(dict.fromkeys(sha256s))
    for folder in sorted((root / "embeddings").glob("*/")):
        cache = EmbeddingCache(root, _Folder(folder.name, _kept_dimensions(folder)))
        thumbnails = zip(missing, cache.thumbnails(missing), strict=True)
        found |= {sha256: data for sha256, data in thumbnails if data is not None}
        missing = [sha256 for sha256 in missing if sha256 not in found]
    return found


def cache_sizes(root: Path) -> tuple[CacheSize, ...]:
    """What the cache below `root` keeps, one entry a backbone, by name."""
    folders = sorted((root / "embeddings").glob("*/"))
    return tuple(_size(folder) for folder in folders)


def clear_cache(root: Path) -> int:
    """Remove every embedding, thumbnail and converted backbone below `root`: the number of bytes freed.

    Raises:
        Denied: something there may not be removed.
    """
    return sum(_remove(root / name) for name in ("backbones", "embeddings"))


class _Segment:
    """One file of the cache, mapped into memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        match = _SEGMENT.fullmatch(path.name)
        if match is None:
            raise ValueError("it has a name that no segment has")
        self.path = path
        self.is_sound: bool | None = None
        self._facts: list[tuple[str, int, int, int]] | None = None
        self._checksum = int(match[2], 16)
        with pa.memory_map(str(path)) as file:
            self._bytes = file.read_buffer()
        reader = pa.ipc.open_file(self._bytes)
        if reader.schema != schema or reader.num_record_batches != 1:
            raise ValueError("it has other columns")
        self.batch = reader.get_batch(0)
        self.batch.validate()
        self.n_rows = self.batch.num_rows
        if self.n_rows != int(match[1]) or self.n_rows > SEGMENT_ROWS or self.batch.column("sha256").null_count:
            raise ValueError("it has another number of rows")
        digests = np.frombuffer(self.batch.column("sha256").buffers()[1], np.uint8, count=self.n_rows * 32)
        self._digests: NDArray[np.uint8] = digests.reshape(self.n_rows, 32)

    def verify(self) -> bool:
        """Whether the file has the checksum in its name."""
        return zlib.crc32(memoryview(self._bytes)) == self._checksum

    def keys(self) -> NDArray[np.uint64]:
        return np.ascontiguousarray(self._digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)

    def digest(self, row: int) -> bytes:
        digest: bytes = self._digests[row].tobytes()
        return digest

    def vectors(self) -> NDArray[np.float32]:
        flat: NDArray[np.float32] = self.batch.column("vector").flatten().to_numpy(zero_copy_only=True)
        return flat.reshape(self.n_rows, -1)

    def thumbnail(self, row: int) -> bytes:
        data: bytes = self.batch.column("thumbnail")[row].as_py()
        return data

    def facts(self, row: int) -> Facts:
        if self._facts is None:
            names = ("format", "width", "height", "n_bytes")
            self._facts = list(zip(*(self.batch.column(name).to_pylist() for name in names), strict=True))
        return Facts(*self._facts[row])


def _schema(dimensions: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("sha256", pa.binary(32), nullable=False),
            pa.field("vector", pa.list_(pa.field("item", pa.float32(), nullable=False), dimensions), nullable=False),
            pa.field("thumbnail", pa.binary(), nullable=False),
            pa.field("format", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("n_bytes", pa.int64(), nullable=False),
        ]
    )


def _batch(
    schema: pa.Schema,
    digests: Sequence[bytes],
    vectors: NDArray[np.float32],
    thumbnails: Sequence[bytes],
    facts: Sequence[Facts],
) -> pa.RecordBatch:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    columns = [
        pa.array(digests, schema.field("sha256").type),
        pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type),
        pa.array(thumbnails, pa.binary()),
        pa.array([fact.format for fact in facts], pa.string()),
        pa.array([fact.width for fact in facts], pa.int32()),
        pa.array([fact.height for fact in facts], pa.int32()),
        pa.array([fact.n_bytes for fact in facts], pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _write_segment(folder: Path, batch: pa.RecordBatch) -> None:
    """Write `batch` as one segment: whole, or not at all."""
    target = pa.BufferOutputStream()
    with pa.ipc.new_file(target, batch.schema) as writer:
        writer.write_batch(batch)
    data = memoryview(target.getvalue())
    folder.mkdir(parents=True, exist_ok=True)
    name = f"segment-{secrets.token_hex(8)}-{batch.num_rows}-{zlib.crc32(data):08x}.arrow"
    partial = folder / f".partial-{name}"
    try:
        partial.write_bytes(data)
        partial.replace(folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _segment_names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if _SEGMENT.fullmatch(path.name)]
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class _Folder:
    key: str
    dimensions: int


def _kept_dimensions(folder: Path) -> int:
    """The numbers in an embedding of this folder, by the first segment that can be read; 0 where there is none."""
    for name in sorted(_segment_names(folder)):
        with contextlib.suppress(OSError, pa.ArrowException), pa.memory_map(str(folder / name)) as file:
            kind = pa.ipc.open_file(file).schema.field("vector").type
            if pa.types.is_fixed_size_list(kind):
                return int(kind.list_size)
    return 0


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock file at `path`; the system lets go of it if the process ends."""
    try:
        import fcntl
    except ImportError:  # not on this system: small segments stay
        yield False
        return
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(".partial-*"):
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            path.unlink(missing_ok=True)


def _size(folder: Path) -> CacheSize:
    n_images = n_bytes = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            n_bytes += path.stat().st_size
        match = _SEGMENT.fullmatch(path.name)
        n_images += int(match[1]) if match else 0
    return CacheSize(folder.name, n_images, n_bytes)


def _remove(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
    except OSError as error:
        raise world_error(error, folder) from error
    return freed

"""Measures one trial on many vectors: time, and memory beyond the vectors themselves.

    python bench/learn_scale.py [VECTORS [LABELS [DIMENSIONS]]]        100000 100 1280

The vectors are made from numbers: a centre a label, a few strong directions shared by all labels, noise, and a clip at
zero, so that they are as skew and as unevenly spread as those of a photographic backbone, and a tenth of the labels
cannot be learned. It prints one line for `docs/benchmarks.md`.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from deconfuse.learn.trial import run_trial

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def vectors_of(codes: np.ndarray[tuple[int], np.dtype[np.int64]], dimensions: int) -> Vectors:
    """Embeddings of images with these labels."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 0.25, (int(codes.max()) + 1, dimensions)).astype(np.float32)
    directions = rng.normal(0, 1, (40, dimensions)).astype(np.float32) / np.arange(1, 41, dtype=np.float32)[:, None]
    vectors = np.empty((len(codes), dimensions), dtype=np.float32)
    for start in range(0, len(codes), 4096):
        part = codes[start : start + 4096]
        noise = rng.standard_normal((len(part), dimensions), dtype=np.float32)
        shared = rng.standard_normal((len(part), 40), dtype=np.float32) @ directions
        vectors[start : start + 4096] = np.maximum(centres[part] + shared + noise, 0)
    return vectors


def peak_bytes() -> int:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Makes the vectors, runs the trial, prints what it took."""
    numbers = [int(argument) for argument in sys.argv[1:]]
    n, k, dimensions = (*numbers, *(100_000, 100, 1280)[len(numbers) :])
    rng = np.random.default_rng(1)
    seen = rng.integers(0, k, n)
    shown = np.where(rng.random(n) < 0.1, rng.integers(0, k, n), seen)
    vectors, truth = vectors_of(seen, dimensions), np.eye(k, dtype=bool)[shown]
    hashes = [rng.bytes(32).hex() for _ in range(n)]
    labels = tuple(f"label {label}" for label in range(k))
    held, began, worked = peak_bytes(), time.perf_counter(), time.process_time()
    trial = run_trial(vectors, truth, hashes, labels=labels, multi_label=False)
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    accuracy = (trial.probabilities.argmax(axis=1) == shown).mean()
    print(
        f"{n:,} vectors x {dimensions} x {k} labels: {seconds:.1f} s ({cpu:.1f} s of processor time), "
        f"{(peak_bytes() - held) / 1e9:.2f} GB beyond the {vectors.nbytes / 1e9:.2f} GB of vectors; "
        f"penalty {trial.penalty:.1e}, out-of-fold accuracy {accuracy:.3f}"
    )


if __name__ == "__main__":
    main()

"""Builders of small worlds for tests: pictures a model can learn, and the folders, manifests and tables they lie in.

Everything here is made on the spot, from numbers; the same arguments give the same bytes.

    picture("leaf", 3)                      the bytes of one image; label and number decide what is seen
    label_folder(root, {"leaf": 12})        root/leaf/leaf-0.png …
    split_folder(root, train=…, test=…)     root/train/leaf/… and root/test/leaf/…
    manifest(path, [("a.png", ("leaf",))])  one Ground Truth line an image, s3://bucket/a.png
    table(path, [("a.png", "leaf")])        a CSV
    digits(root, n=100)                     handwritten digits of scikit-learn, a folder a digit
    clusters({"leaf": 40})                  vectors as a backbone would give them, for tests without images
    tiny_backbone()                         a real backbone of a kilobyte: the mean colours of 8 × 8 cells
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from deconfuse.vision.backbone import Backbone

LOOKS: dict[str, tuple[tuple[int, int, int], str]] = {
    "apple": ((205, 40, 40), "circle"),
    "leaf": ((40, 150, 60), "triangle"),
    "sea": ((40, 80, 200), "square"),
    "sun": ((235, 200, 40), "star"),
}
"""Labels whose pictures differ clearly in colour and shape; any other label gets a look by its name."""

BUCKET = "photos"

CREATED = "2024-05-06T07:08:09.000Z"


def drawing(label: str, number: int = 0, *, side: int = 96, height: int | None = None) -> Image.Image:
    """An RGB image of a shape on a noisy ground: `label` decides shape and colour, `number` everything else."""
    rng = np.random.default_rng([binascii.crc32(label.encode("utf-8", "surrogatepass")), number])
    width, height = side, height or side
    ground = rng.integers(90, 165, 3) + rng.normal(0, 12, (height, width, 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    colour, shape = _look(label)
    tint = tuple(int(np.clip(part + rng.integers(-25, 26), 0, 255)) for part in colour)
    radius = 0.36 * min(width, height) * rng.uniform(0.7, 1.0)
    x = width / 2 + width * rng.uniform(-0.1, 0.1)
    y = height / 2 + height * rng.uniform(-0.1, 0.1)
    _draw(ImageDraw.Draw(image), shape, x, y, radius, tint)
    return image


def picture(label: str, number: int = 0, *, side: int = 96, height: int | None = None, format: str = "PNG") -> bytes:  # noqa: A002
    """The file bytes of `drawing(label, number)`."""
    return encode(drawing(label, number, side=side, height=height), format)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    """The file bytes of `image`."""
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def label_folder(root: Path, counts: Mapping[str, int], *, start: int = 0, side: int = 96) -> Path:
    """`root` with one folder a label, holding <label>-<number>.png from `start` on."""
    for label, count in counts.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + count):
            (root / label / f"{label}-{number}.png").write_bytes(picture(label, number, side=side))
    return root


def split_folder(root: Path, *, train: Mapping[str, int], test: Mapping[str, int], side: int = 96) -> Path:
    """`root` with train/ and test/, each with one folder a label; no image is in both."""
    label_folder(root / "train", train, side=side)
    label_folder(root / "test", test, start=10_000, side=side)
    return root


def manifest_line(key: str, labels: Sequence[str], *, bucket: str = BUCKET, **more: Any) -> bytes:
    """One line of a Ground Truth manifest: an attribute a label, named by its position; `more` is put on the line."""
    line: dict[str, Any] = {"source-ref": f"s3://{bucket}/{key}"}
    for position, label in enumerate(labels):
        line[f"label{position}"] = 1
        line[f"label{position}-metadata"] = {
            "confidence": 1,
            "class-name": label,
            "human-annotated": "yes",
            "creation-date": CREATED,
            "type": "groundtruth/image-classification",
        }
    return json.dumps(line | more, ensure_ascii=False).encode()


def manifest(path: Path, rows: Iterable[tuple[str, Sequence[str]]], *, bucket: str = BUCKET) -> Path:
    """A Ground Truth manifest of (key, labels) at `path`."""
    return write(path, b"".join(manifest_line(key, labels, bucket=bucket) + b"\n" for key, labels in rows))


def table(path: Path, rows: Iterable[Sequence[str]], *, header: Sequence[str] | None = None) -> Path:
    """A CSV of `rows` at `path`; no cell may need quotes."""
    lines = [*([header] if header else []), *rows]
    return write(path, "".join(",".join(cells) + "\n" for cells in lines).encode())


def bucket_world(root: Path, counts: Mapping[str, int], *, name: str = "train.manifest") -> tuple[Path, Path]:
    """(manifest, directory of the bucket): pictures in the bucket, one manifest line each, with its single label."""
    store = label_folder(root / "bucket", counts)
    rows = [(f"{label}/{label}-{number}.png", (label,)) for label, count in counts.items() for number in range(count)]
    return manifest(root / name, rows), store


def digits(root: Path, *, n: int = 100, side: int = 96) -> Path:
    """`root` with the first `n` handwritten digits of scikit-learn, one folder a digit, enlarged to `side` pixels."""
    from sklearn.datasets import load_digits

    samples = load_digits()
    for number, (pixels, label) in enumerate(zip(samples.images[:n], samples.target[:n], strict=True)):
        image = Image.fromarray((pixels * 15.9375).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        write(root / str(label) / f"{number:04}.png", encode(image))
    return root


def clusters(
    counts: Mapping[str, int], *, dimensions: int = 16, spread: float = 0.5, seed: int = 0
) -> tuple[NDArray[np.float32], list[str], list[str]]:
    """(vectors float32[n, dimensions], labels[n], sha256s[n]): one cloud a label, wide by `spread`; unique hashes."""
    rng = np.random.default_rng(seed)
    centres = {label: rng.normal(0, 1, dimensions) for label in counts}
    labels = [label for label, count in counts.items() for _ in range(count)]
    vectors = np.array([centres[label] + rng.normal(0, spread, dimensions) for label in labels], np.float32)
    return vectors.reshape(len(labels), dimensions), labels, [rng.bytes(32).hex() for _ in labels]


def write(path: Path, data: bytes) -> Path:
    """`path`, holding `data`; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def truncated(data: bytes, *, keep: float = 0.5) -> bytes:
    """The first part of a file, as a broken download leaves it."""
    return data[: int(len(data) * keep)]


def bomb(*, side: int = 30_000) -> bytes:
    """A PNG of a few kilobytes that would fill gigabytes when decoded: its header says side × side pixels."""
    data = bytearray(encode(Image.new("1", (8, 8))))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = binascii.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def turned(label: str, number: int = 0, *, orientation: int = 6) -> bytes:
    """A JPEG, twice as wide as high in the file, whose EXIF says how to turn it."""
    image = drawing(label, number, side=192, height=96)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, "JPEG", quality=92, exif=exif.tobytes())


def _look(label: str) -> tuple[tuple[int, int, int], str]:
    if label in LOOKS:
        return LOOKS[label]
    number = binascii.crc32(label.encode("utf-8", "surrogatepass"))
    angle = 2 * math.pi * (number % 12) / 12
    colour = tuple(int(128 + 110 * math.cos(angle + turn)) for turn in (0.0, 2.1, 4.2))
    return (colour[0], colour[1], colour[2]), ("circle", "triangle", "square", "star")[number // 12 % 4]


def _draw(pen: ImageDraw.ImageDraw, shape: str, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    elif shape == "square":
        pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        n = 3 if shape == "triangle" else 10
        reach = [radius * (0.45 if shape == "star" and k % 2 else 1.0) for k in range(n)]
        angles = [2 * math.pi * k / n - math.pi / 2 for k in range(n)]
        corners = [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)]
        pen.polygon(corners, fill=colour)


@functools.cache
def tiny_model() -> bytes:
    """An ONNX graph from pixels uint8[n, 32, 32, 3] to embeddings float32[n, 192]: the mean colour of 8 × 8 cells."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["cells"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 192])],
        [numpy_helper.from_array(np.float32(255.0), "full")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


@functools.cache
def tiny_backbone() -> Backbone:
    """A backbone that is ready in milliseconds; 192 dimensions, enough to tell apart the pictures made here."""
    from deconfuse.vision.backbone import Backbone, Card

    model = tiny_model()
    return Backbone(Card("tiny", 32, "squash", "mean", 192, hashlib.sha256(model).hexdigest()), model)

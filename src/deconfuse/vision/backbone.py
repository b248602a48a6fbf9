"""From an image to its embedding: the resize rule, and the network run by ONNX Runtime.

A `Card` says what a backbone does with an image. Its `key` names everything that can change an embedding, so caches
are kept per key and a stale number is never met.

Every image is one call on one thread. That is the cheapest way on processors (a batch of 32 costs about twice as much
an image, for its maps no longer fit the processor's cache), and it makes an embedding the same bytes whatever else
runs beside it. Whoever wants all cores calls from several threads: `Backbone` may be shared by them, and the runtime
lets go of Python's lock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Damaged, Invalid
from deconfuse.vision import images

if TYPE_CHECKING:
    from PIL import Image

RESIZE_RULES = ("trim", "crop", "squash", "pad")
"""What becomes of an image that is not square, before its sides become S.

trim: the longer side is cut, at both ends alike, to at most 8/7 of the shorter; what is left is squashed.
crop: the longer side is cut to the length of the shorter.
squash: nothing is cut.
pad: nothing is cut or squashed; the rest is grey.

The filter is Pillow's bilinear, which averages over the area it shrinks.
"""

_KEPT_RATIO = {"trim": 8 / 7, "crop": 1.0}
_GREY = (127, 127, 127)


@dataclass(frozen=True, slots=True)
class Card:
    """What a backbone does with an image.

    Attributes:
        name: of the network.
        side: S, the pixels of each side of what the network sees.
        resize: one of `RESIZE_RULES`.
        pooling: how the last feature map becomes one vector.
        dimensions: D, the numbers in an embedding.
        digest: sha256 of the model's bytes, 64 hexadecimal digits.
    """

    name: str
    side: int
    resize: str
    pooling: str
    dimensions: int
    digest: str

    @property
    def key(self) -> str:
        """A short name for caches that differs where any embedding could: letters, digits, hyphens and plus signs."""
        parts = (self.name, str(self.side), self.resize, self.pooling, images.RULE, self.digest[:12])
        return "-".join(parts)


class Backbone:
    """A network that turns images into embeddings; may be used by several threads at once."""

    def __init__(self, card: Card, model: bytes) -> None:
        """Loads `model`, the bytes of an ONNX file as `vision.lite0.graph` makes it.

        Raises:
            Damaged: the bytes are not those of the card, or cannot be loaded.
            Invalid: the card names a resize rule that is not known.
        """
        if card.resize not in RESIZE_RULES:
            raise Invalid("resize", f"{card.resize!r} is none of {', '.join(RESIZE_RULES)}")
        if hashlib.sha256(model).hexdigest() != card.digest:
            raise Damaged(f"the backbone {card.name}", "its bytes are not those its card names")
        self.card = card
        self.model = model
        self._session = _session(card.name, model)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """What the network sees of `image`: uint8[S, S, 3], RGB, by the card's resize rule.

        Args:
            image: mode RGB.
        """
        return np.asarray(resize(image, self.card.side, self.card.resize))

    def embed(self, pixels_nhwc: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embeddings of `pixels_nhwc`: float32[n, D], row i for image i.

        Args:
            pixels_nhwc: uint8[n, S, S, 3], RGB.

        Raises:
            Invalid: another shape or type.
        """
        side = self.card.side
        if pixels_nhwc.dtype != np.uint8 or pixels_nhwc.shape[1:] != (side, side, 3):
            raise Invalid("pixels", f"{pixels_nhwc.dtype}{list(pixels_nhwc.shape)} is not uint8[n, {side}, {side}, 3]")
        embeddings = np.empty((len(pixels_nhwc), self.card.dimensions), dtype=np.float32)
        for row in range(len(pixels_nhwc)):
            embeddings[row] = self._session.run(None, {"pixels": pixels_nhwc[row : row + 1]})[0][0]
        return embeddings


def resize(image: Image.Image, side: int, rule: str) -> Image.Image:
    """`image` as side × side pixels under one of `RESIZE_RULES`.

    Args:
        image: mode RGB, any size.
        side: pixels.
        rule: one of `RESIZE_RULES`.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if rule == "pad":
        return ImageOps.pad(image, (side, side), Pillow.Resampling.BILINEAR, color=_GREY)
    width, height = image.size
    long = min(width, height) * _KEPT_RATIO.get(rule, max(image.size))
    kept_width, kept_height = min(width, long), min(height, long)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    box = (left, top, left + kept_width, top + kept_height)
    return image.resize((side, side), Pillow.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _session(name: str, model: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # The runtime has a dozen error types without a common root of its own.
        raise Damaged(f"the backbone {name}", f"ONNX Runtime cannot load it ({error})") from error

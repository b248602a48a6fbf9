"""The model to take away: backbone and head as one ONNX graph.

    pixels uint8[n, S, S, 3]  →  backbone (normalisation inside)  →  head  →  probabilities float32[n, K]

The resize rule that makes the pixels, the labels and their assumed thresholds stand in the graph's metadata, so that
the file alone is enough to use the model: see docs/formats.md.
"""

from __future__ import annotations

import json

import numpy as np

from deconfuse.learn.head import Head
from deconfuse.names import VERSION
from deconfuse.vision.backbone import Backbone


def export_onnx(backbone: Backbone, head: Head, *, thresholds: tuple[float, ...], name: str) -> bytes:
    """The bytes of one ONNX graph from pixels to probabilities.

    Args:
        backbone: its graph has the input "pixels" and the output "embeddings".
        head: appended behind it; the temperature is divided into weights and bias.
        thresholds: one assumed threshold a label, for the metadata.
        name: the model's name, for the metadata.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(backbone.model)
    graph = model.graph
    weights = (head.weights.astype(np.float64) / head.temperature).astype(np.float32)
    bias = (head.bias.astype(np.float64) / head.temperature).astype(np.float32)
    graph.initializer.extend(
        [numpy_helper.from_array(weights, "head.weights"), numpy_helper.from_array(bias, "head.bias")]
    )
    last = "Sigmoid" if head.multi_label else "Softmax"
    graph.node.extend(
        [
            helper.make_node("Gemm", ["embeddings", "head.weights", "head.bias"], ["logits"], name="head", transB=1),
            helper.make_node(last, ["logits"], ["probabilities"], name="probabilities"),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(head.labels)]))
    graph.name = name
    model.producer_name, model.producer_version = "deconfuse", VERSION
    card = backbone.card
    helper.set_model_props(
        model,
        {
            "labels": json.dumps(list(head.labels), ensure_ascii=False),
            "thresholds": json.dumps(list(thresholds)),
            "multi_label": json.dumps(head.multi_label),
            "resize": card.resize,
            "side": str(card.side),
            "backbone": card.name,
        },
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))

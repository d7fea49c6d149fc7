"""Weights of an ONNX file in float16: half the bytes, while every sum is still taken in float32.

Each weight becomes a float16 initialiser with a Cast to float32 behind it. ONNX Runtime and OpenVINO compute the Casts
once, when they open the file, so that it runs as fast as before. A graph that computes in float16 is no smaller, and
processors without float16 arithmetic run it slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from herder.edge.export_facts import FLOAT16_MAX


def halve_weights(model: Any) -> int:
    """Store the weights (initialisers of two or more dimensions) of the ONNX ``model`` in float16; return how many.

    Biases stay: they are few, and their rounding would shift a whole channel.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        if not np.abs(values).max(initial=0) <= FLOAT16_MAX:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}/float32", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]  # a graph's nodes stand in the order of their work
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return len(casts)

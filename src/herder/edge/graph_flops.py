"""Parameters and multiplications of an ONNX file, counted node by node from the shapes in its graph.

The count is that of ``herder.model.flops``: MACs of convolutions and matrix products, FLOPs are twice as many. A file
has fewer parameters than the network it came from, since its norms are folded into the convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from herder.edge.runtime import read_metadata
from herder.errors import ConfigError, MissingExtraError, ModelFileError
from herder.model.flops import Work

WEIGHTED = {
    "Conv": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "MatMulInteger": (1,),
    "QLinearMatMul": (3,),
    "BatchNormalization": (1, 2),
}
"""Operators that hold parameters, and at which inputs: weight and bias."""


def count_graph_work(path: Path, size: int) -> Work:
    """Count for one photo on a canvas of ``size`` x ``size`` pixels.

    Raises ModelFileError for a file that is no herder model or whose shapes cannot be told, ConfigError where the file
    is fixed to another size, MissingExtraError where onnx is not installed.
    """
    try:
        import onnx
        import onnx.shape_inference
    except ImportError:
        raise MissingExtraError("counting the work of an ONNX file", "onnx") from None
    try:
        model = onnx.load(path)
    except Exception as error:  # what protobuf raises has no base class of its own
        raise ModelFileError(f"{path}: is not an ONNX file ({error})", hint="make one with `herder export`") from None
    _, facts = read_metadata({entry.key: entry.value for entry in model.metadata_props}, path)
    if facts.fixed_size not in (None, size):
        raise ConfigError(
            f"{path}: image size {size}, but this file was exported for {facts.fixed_size} pixels only",
            hint=f"use {facts.fixed_size}",
        )
    for place, side in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, size, size), strict=True):
        place.dim_value = side
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {
        info.name: tuple(side.dim_value for side in info.type.tensor_type.shape.dim)
        for info in (*graph.value_info, *graph.input, *graph.output)
    } | weights
    macs = sum(_macs(node, shapes, path) for node in graph.node)
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    # By name: a weight that two nodes share is one.
    held = {node.input[i] for node in graph.node for i in WEIGHTED.get(node.op_type, ()) if i < len(node.input)}
    # The weights of quantised files stand behind a DequantizeLinear.
    held = {sources.get(name, name) for name in held}
    return Work(sum(math.prod(weights[name]) for name in held if name in weights), macs)


def _macs(node: Any, shapes: Mapping[str, tuple[int, ...]], path: Path) -> int:
    """The MACs of one node: for each number of its output as many as go into it."""
    kind = node.op_type
    if kind not in WEIGHTED or kind == "BatchNormalization":
        return 0
    output, weight = shapes.get(node.output[0], ()), shapes.get(node.input[WEIGHTED[kind][0]], ())
    if not output or not weight or 0 in output or 0 in weight:
        raise ModelFileError(f"{path}: the shape at {node.name or kind} cannot be told", hint="export it again")
    if "Conv" in kind:
        return math.prod(output) * math.prod(weight[1:])  # weight (C_out, C_in / groups, k, k)
    if len(weight) == 1:
        return 0  # the mean of a distribution of distances: decoding, which is not counted
    transposed = kind == "Gemm" and any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return math.prod(output) * (weight[1] if transposed else weight[-2])

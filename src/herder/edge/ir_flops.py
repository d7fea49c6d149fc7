"""Parameters and multiplications of an OpenVINO file, counted operation by operation from the shapes in its graph.

The count is that of ``herder.edge.graph_flops``: MACs of convolutions and matrix products, FLOPs are twice as many.
Operations: https://docs.openvino.ai/2025/documentation/openvino-ir-format/operation-sets/available-opsets.html
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from herder.edge.engine_packages import openvino_package
from herder.errors import ConfigError, ModelFileError
from herder.model.flops import Work

CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}
"""Weights are (outputs, inputs, height, width), those of groups (groups, outputs, inputs, height, width): from the
axis that is named here on, each output value takes as many multiplications."""


def count_ir_work(path: Path, size: int) -> Work:
    """Count for one photo on a canvas of ``size`` x ``size`` pixels.

    Raises ModelFileError for a file that OpenVINO does not read, ConfigError where it is fixed to another size,
    MissingExtraError where OpenVINO is not installed.
    """
    try:
        model = openvino_package().Core().read_model(path)
        side = model.input(0).partial_shape[2]
        if side.is_static and side.get_length() != size:
            raise ConfigError(
                f"{path}: image size {size}, but this file was exported for {side.get_length()} pixels only",
                hint=f"use {side.get_length()}",
            )
        model.reshape([1, 3, size, size])
    except RuntimeError as error:
        raise ModelFileError(
            f"{path}: is not an OpenVINO file ({error})", hint="make one with `herder export`"
        ) from None
    macs = parameters = 0
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind in CONVOLUTIONS:
            weights = tuple(node.input_value(1).get_shape())
            macs += math.prod(node.output(0).get_shape()) * math.prod(weights[CONVOLUTIONS[kind] :])
        elif kind == "MatMul":
            weights = tuple(node.input_value(1).get_shape())
            if len(weights) == 1:
                continue  # the mean of a distribution of distances: decoding, which is not counted
            inner = node.input_value(0).get_shape()[-2 if node.get_attributes()["transpose_a"] else -1]
            macs += math.prod(node.output(0).get_shape()) * inner
            if not _is_constant(node.input_value(1).get_node()):
                continue
        else:
            continue
        parameters += math.prod(weights) + _bias(node)
    return Work(parameters=parameters, macs=macs)


def _bias(node: Any) -> int:
    """Numbers that the operation after ``node`` adds to its channels; 0 where there is none."""
    channels = node.output(0).get_shape()[1 if len(node.output(0).get_shape()) == 4 else -1]
    for target in node.output(0).get_target_inputs():
        after = target.get_node()
        other = after.input_value(1 - target.get_index()).get_node() if after.get_type_name() == "Add" else None
        if other is not None and _is_constant(other) and math.prod(other.output(0).get_shape()) == channels:
            return int(channels)
    return 0


def _is_constant(node: Any) -> bool:
    """Whether a value comes from the file: a constant, maybe reshaped, converted or scaled, which are first inputs."""
    while node.get_input_size():
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")

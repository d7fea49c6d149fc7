"""Which layers suffer most from int8: each is rounded alone, and what that does to the detections is its loss.

Notation: A candidates, K classes. One run of the network for each layer and canvas, in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.edge.engine_packages import onnxruntime_package
from herder.edge.quantization_onnx import read_onnx
from herder.edge.threads import physical_cores

COUNTED_SCORE = 0.01
"""Candidates below it are nobody's detections."""

STEPS = 255
"""Between the least and the largest value that 8 bits hold."""


@dataclass(frozen=True)
class LayerLoss:
    """What rounding one convolution, its weights and its input, does to the detections."""

    name: str
    """As in the ONNX file."""
    loss: float
    """Share of the scores that changed, plus the mean overlap that boxes lost, weighted by their scores; 0 is none."""


def layer_losses(
    source: Path,
    canvases: Sequence[NDArray[np.uint8]],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerLoss]:
    """The loss of each convolution of a float ONNX file on ``canvases``, (1, H, W, 3) each; the largest first.

    Weights are rounded for each output channel, symmetric; inputs to 256 steps between their extremes on the canvases.
    The graph must give boxes and scores (no suppression in it).
    """
    graph = read_onnx(source)
    images = [np.ascontiguousarray(c.transpose(0, 3, 1, 2), dtype=np.float32) for c in canvases]  # (1, 3, H, W)
    layers = [node for node in graph.graph.node if node.op_type == "Conv"]
    ranges = _ranges(graph, list(dict.fromkeys(node.input[0] for node in layers)), images)
    expected = _answers(graph, images)
    found = []
    for done, layer in enumerate(layers, 1):
        changed = _rounded(graph, layer.name, ranges[layer.input[0]])
        pairs = zip(expected, _answers(changed, images), strict=True)
        found.append(LayerLoss(layer.name, float(np.mean([detection_loss(a, b) for a, b in pairs]))))
        progress(done, len(layers))
    return sorted(found, key=lambda layer: -layer.loss)


def detection_loss(expected: Sequence[FloatArray], found: Sequence[FloatArray]) -> float:
    """How far boxes (1, A, 4) and scores (1, A, K) are from the expected ones: 0 where they are the same.

    >>> boxes, scores = np.array([[[0, 0, 4, 4]]], np.float32), np.array([[[0.5]]], np.float32)
    >>> detection_loss((boxes, scores), (boxes, scores * np.float32(0.5)))
    0.5
    """
    best, other = expected[1].max(axis=2), found[1].max(axis=2)  # (1, A)
    counted = np.maximum(best, other) >= COUNTED_SCORE
    total = float(best[counted].sum())
    if not total:
        return 0.0
    moved = float(np.abs(expected[1] - found[1])[counted].sum())
    overlap = _overlaps(expected[0][counted], found[0][counted])
    return (moved + float((best[counted] * (1 - overlap)).sum())) / total


def _overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """IoU (A,) of each box of ``a`` (A, 4) with the one of ``b`` in its place."""
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    inside = sides.prod(axis=1)
    areas = [np.clip(box[:, 2:] - box[:, :2], 0, None).prod(axis=1) for box in (a, b)]
    union: FloatArray = np.maximum(areas[0] + areas[1] - inside, 1e-9)
    return np.asarray(inside / union, np.float32)


def _session(graph: Any) -> Any:
    ort = onnxruntime_package()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = physical_cores(), 1
    options.log_severity_level = 3
    return ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _answers(graph: Any, images: Iterable[NDArray[np.float32]]) -> list[tuple[FloatArray, FloatArray]]:
    session = _session(graph)
    return [tuple(session.run(["boxes", "scores"], {"images": image})) for image in images]


def _ranges(graph: Any, names: Sequence[str], images: Iterable[NDArray[np.float32]]) -> dict[str, tuple[float, float]]:
    """The least and the largest value of each tensor over all images, 0 always between them."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    inputs = {value.name for value in graph.graph.input}
    inside = [name for name in names if name not in inputs]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inside
    )
    session = _session(watched)
    found = dict.fromkeys(names, (0.0, 0.0))
    for image in images:
        values = dict(zip(inside, session.run(inside, {"images": image}), strict=True)) | dict.fromkeys(inputs, image)
        for name in names:
            low, high = found[name]
            found[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    return found


def _rounded(graph: Any, layer: str, extremes: tuple[float, float]) -> Any:
    """A copy of the graph in which one convolution's weights and input are rounded to 8 bits, and back."""
    import onnx
    from onnx import numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    nodes = changed.graph.node
    place = next(i for i, node in enumerate(nodes) if node.name == layer)
    node = nodes[place]
    weights = next(tensor for tensor in changed.graph.initializer if tensor.name == node.input[1])
    values = numpy_helper.to_array(weights)  # (O, C, kernel, kernel)
    step = np.maximum(np.abs(values).max(axis=(1, 2, 3), keepdims=True) / (STEPS // 2), 1e-12)
    own = numpy_helper.from_array((np.rint(values / step) * step).astype(np.float32), f"{layer}/rounded weights")
    low, high = extremes
    scale = max((high - low) / STEPS, 1e-12)
    zero = np.uint8(np.clip(round(-low / scale), 0, STEPS))
    names = [f"{layer}/rounded {part}" for part in ("scale", "zero", "integers", "input")]
    changed.graph.initializer.extend(
        [own, numpy_helper.from_array(np.float32(scale), names[0]), numpy_helper.from_array(zero, names[1])]
    )
    make = onnx.helper.make_node
    quantize = make("QuantizeLinear", [node.input[0], *names[:2]], [names[2]], name=f"{layer}/quantize")
    back = make("DequantizeLinear", [names[2], *names[:2]], [names[3]], name=f"{layer}/dequantize")
    node.input[0], node.input[1] = names[3], own.name
    nodes.insert(place, back)
    nodes.insert(place, quantize)
    return changed

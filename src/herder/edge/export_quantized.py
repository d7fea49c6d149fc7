"""A network trained for int8 as a file in int8: weights as bytes, maps between QuantizeLinear and DequantizeLinear.

ONNX Runtime and OpenVINO read that form ("QDQ") and run what lies between the pairs in int8 arithmetic:
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html. Nothing is estimated here: scales and
zero points are the network's own, so that the file computes what the network computed in training.
"""

from __future__ import annotations

import copy
import importlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from herder.edge.engine_files import EXPORTED
from herder.edge.export import ExportResult
from herder.edge.export_facts import ExportFacts
from herder.edge.export_graph import onnx_graph, onnx_package
from herder.edge.openvino_files import convert_onnx, save_openvino
from herder.edge.parity import Parity, Tolerance, parity_canvases
from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.inference import Engine, Photo
from herder.model.engine import TorchEngine
from herder.model.fake_quantization import (
    HIGH,
    LOW,
    ActivationQuantizer,
    QuantizedConv2d,
    SharedQuantizer,
    symmetric_padding,
)
from herder.model.network import Network
from herder.spec import ModelSpec

INT8 = Tolerance(4.0, 0.05)
"""For int8 maps, how far the *median* of the best candidates may be from torch. Single ones go further: where a sum
lies between two codes, its last bit decides which one it becomes, and the layers behind go on from there. The very
same network in torch differs as much between two orders of summing."""

COMPARED = 100
"""The best candidates of a picture, by torch's score, are compared."""

MAP_OPERATORS = ("Concat", "MaxPool", "Resize", "Slice")
"""They only move values about: between int8 maps of one scale they are int8 themselves."""


PREFIX = "network."
"""What stands before a layer's name in the graph: ``InferenceGraph`` holds the network under it."""


class ExportedQuantizer(nn.Module):
    """A quantizer as torch's own operator, which the exporter writes as QuantizeLinear and DequantizeLinear."""

    def __init__(self, quantizer: ActivationQuantizer) -> None:
        super().__init__()
        self.register_buffer("scales", quantizer.scales)
        self.register_buffer("zero_point", quantizer.zero_point.int())
        self.scales: Tensor
        self.zero_point: Tensor
        self.single = None if self.scales.ndim else (float(self.scales), int(self.zero_point))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        if self.single is None:
            return torch.fake_quantize_per_channel_affine(x, self.scales, self.zero_point, 1, LOW, HIGH)
        return torch.fake_quantize_per_tensor_affine(x, *self.single, LOW, HIGH)


@torch.no_grad()
def exportable(network: Network) -> tuple[Network, dict[str, NDArray[np.float32]]]:
    """A copy of a quantized network that torch's exporter can trace, and the weights' scales (outputs,) by layer."""
    plain = copy.deepcopy(network).cpu().eval()
    scales: dict[str, NDArray[np.float32]] = {}
    for name, parent, child, layer in list(_children(plain)):
        if isinstance(layer, QuantizedConv2d):
            scales[name] = layer.scales.numpy()
            setattr(parent, child, _rounded(layer))
        elif isinstance(layer, (ActivationQuantizer, SharedQuantizer)):
            owner = layer.owner if isinstance(layer, SharedQuantizer) else layer
            setattr(parent, child, ExportedQuantizer(owner))
    return plain, scales


def _children(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Module]]:
    for prefix, parent in network.named_modules():
        for child, layer in parent.named_children():
            yield f"{prefix}.{child}".lstrip("."), parent, child, layer


def _rounded(layer: QuantizedConv2d) -> nn.Conv2d:
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        (layer.stride[0], layer.stride[1]),
        symmetric_padding(layer),
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    plain.weight.copy_(layer.rounded_weight())
    if plain.bias is not None and layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


def write_int8(onnx: ModuleType, model: Any, scales: dict[str, NDArray[np.float32]], *, bridges: bool) -> None:
    """Turn the named layers' weights in an ONNX model into int8; ``scales`` as ``exportable`` gives them.

    With ``bridges`` maps that are joined or moved get their pair once more behind: ONNX Runtime works in int8 only
    between two pairs, OpenVINO sees through such operators and is slower with it.
    """
    graph, helper, numpy_helper = model.graph, onnx.helper, onnx.numpy_helper
    weights = {tensor.name: tensor for tensor in graph.initializer}
    added = []
    for name, scale in scales.items():
        tensor = weights[f"{PREFIX}{name}.weight"]
        weight = numpy_helper.to_array(tensor)
        codes = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        parts = {"int8": codes, "scale": scale.astype(np.float32), "zero": np.zeros(len(scale), np.int8)}
        names = [f"{name}.{part}" for part in parts]
        graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in zip(names, parts.values(), strict=True))
        graph.initializer.remove(tensor)
        added.append(helper.make_node("DequantizeLinear", names, [tensor.name], f"{name}.dequantize", axis=0))
    nodes = [*added, *(_bridged(helper, graph) if bridges else graph.node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _bridged(helper: Any, graph: Any) -> Iterator[Any]:
    """The nodes in order; behind each that moves int8 values about stands the pair of its input once more."""
    pairs: dict[str, tuple[Any, Any]] = {}  # a dequantized map to its two nodes
    quantized = {}
    for node in graph.node:
        yield node
        if node.op_type == "QuantizeLinear":
            quantized[node.output[0]] = node
        elif node.op_type == "DequantizeLinear" and node.input[0] in quantized:
            pairs[node.output[0]] = (quantized[node.input[0]], node)
        elif node.op_type in MAP_OPERATORS and node.input[0] in pairs:
            first, second = pairs[node.input[0]]
            # Same scale, same codes: the pair changes no value.
            plain, name = node.output[0], f"{node.output[0]}_bridge"
            node.output[0] = f"{name}_in"
            codes = f"{name}_codes"
            q = helper.make_node("QuantizeLinear", [node.output[0], *first.input[1:]], [codes], f"{name}_quantize")
            d = helper.make_node("DequantizeLinear", [codes, *second.input[1:]], [plain], f"{name}_dequantize")
            yield q
            yield d
            pairs[plain] = (q, d)


def quantized_graph(network: Network, spec: ModelSpec, facts: ExportFacts) -> Any:
    """The ``onnx.ModelProto`` of a quantized network, int8 inside; else as ``onnx_graph``."""
    onnx = onnx_package()
    importlib.import_module("onnx.numpy_helper")
    plain, scales = exportable(network)
    model = onnx_graph(plain, spec, facts)
    quantization = network.spec.architecture.quantization
    write_int8(onnx, model, scales, bridges=quantization is not None and quantization.before_activation)
    onnx.checker.check_model(model, full_check=True)
    return model


def export_quantized(
    network: Network, spec: ModelSpec, out: str | Path, *, nms: bool = False, photos: Sequence[Photo] = ()
) -> ExportResult:
    """Write a quantized network as ``out``: .onnx, or .xml (OpenVINO's own) with the weights (.bin) beside it.

    Input and outputs are those of ``export_onnx``. Raises ModelFileError and writes nothing where the file is further
    from torch than ``median_parity`` allows; ConfigError for a network that is not quantized or another kind of file;
    MissingExtraError without the file's engine.
    """
    start, out = time.perf_counter(), Path(out)
    if network.spec.architecture.quantization is None:
        raise ConfigError(f"{spec.name}: is a float model", hint="use `herder export`, or quantize it first")
    if out.suffix not in EXPORTED:
        raise ConfigError(f"{out}: no engine runs this kind of file", hint="wanted .onnx or .xml")
    facts = ExportFacts(nms=nms, needs_nms=network.needs_nms and not nms, fixed_size=None)
    data: bytes = quantized_graph(network, spec, facts).SerializeToString()
    reference = TorchEngine(copy.deepcopy(network), fuse=False)
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder:
        part = Path(folder) / "model.onnx"
        part.write_bytes(data)
        if out.suffix == ".onnx":
            parity = median_parity(reference, OnnxEngine(part), photos)
            write_atomic(out, data)
            return ExportResult(out, "ONNX, int8", len(data), time.perf_counter() - start, parity)
        model = convert_onnx(part)
        parity = median_parity(reference, OpenVinoEngine(part), photos)
    size = save_openvino(model, out, spec, facts, half=False)
    return ExportResult(out, "OpenVINO, int8", size, time.perf_counter() - start, parity)


def median_parity(reference: Engine, exported: Engine, photos: Sequence[Photo] = ()) -> Parity:
    """How far the median candidate of two engines is apart on ``photos`` (on drawn pictures where none).

    Raises ModelFileError where that is more than ``INT8``.
    """
    boxes: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    pictures = 0
    side = exported.fixed_size or reference.spec.input_size
    for canvases in parity_canvases(photos, side, fixed=exported.fixed_size is not None):
        expected, found = reference.predict(canvases), exported.predict(canvases)
        for row in range(len(canvases)):
            best = np.argsort(-expected[1][row].max(axis=1), kind="stable")[:COMPARED]  # (n,)
            boxes.append(np.abs(expected[0][row][best] - found[0][row][best]).max(axis=1))
            scores.append(np.abs(expected[1][row][best] - found[1][row][best]).max(axis=1))
            pictures += 1
    box_px, score = (float(np.median(np.concatenate(gaps))) for gaps in (boxes, scores))
    parity = Parity(pictures, sum(map(len, boxes)), box_px, score, tolerance=INT8)
    if not parity.ok:
        raise ModelFileError(
            f"the int8 file does not agree with the network: {box_px:.2g} px and {score:.2g} of score at the median of"
            f" {parity.candidates} candidates (allowed: {INT8.box_px:g} px and {INT8.score:g})",
            hint="nothing was written; please report it",
        )
    return parity

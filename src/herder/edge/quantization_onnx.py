"""int8 in ONNX files (QDQ): pairs of QuantizeLinear and DequantizeLinear around what shall be integers.

Weights are rounded for each output channel, symmetric; activations for each tensor, with a zero point. ONNX Runtime and
OpenVINO read such files. https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.edge.engine_packages import onnxruntime_package
from herder.edge.nncf_package import nncf_package, quiet_nncf
from herder.errors import ConfigError, MissingExtraError
from herder.spec import METADATA_KEY, ModelSpec

QUANTIZING = frozenset(
    {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger", "DequantizeLinear"}
)
"""Operations that only a quantized graph has."""

LINEAR = ("MatMul", "Gemm")
"""What dynamic quantization turns into integers: layers that are one matrix product."""


def read_onnx(path: Path) -> Any:
    """The graph of an ONNX file. Raises MissingExtraError where onnx is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("int8 quantization for ONNX Runtime", "onnx") from error
    return onnx.load(path)


def quantize_onnx(
    source: Path,
    canvases: Sequence[NDArray[np.uint8]],
    kept_float: Collection[str] = (),
    *,
    spec: ModelSpec | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bytes:
    """The float ONNX file ``source`` with int8 convolutions, as bytes, its metadata kept (the spec unless given).

    NNCF measures the ranges on ``canvases``, (1, H, W, 3) each, and corrects biases, as for OpenVINO's files: ONNX
    Runtime's own quantizer, which corrects nothing, lost a quarter of the mAP of a network with depthwise convolutions.
    ``kept_float`` are names of convolutions; what comes after the last ones (decoding) always stays float.
    ``progress`` hears canvases done and in all. Raises ConfigError for a name that no convolution has.
    """
    nncf = nncf_package()
    graph = read_onnx(source)
    unknown = sorted(set(kept_float) - set(convolution_names(graph)))
    if unknown:
        raise ConfigError(f"layers to keep in float: no convolution is called {unknown[0]}", hint="check the name")
    done = 0

    def images(canvas: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        nonlocal done
        done += 1
        progress(min(done, len(canvases)), len(canvases))
        return {"images": np.ascontiguousarray(canvas.transpose(0, 3, 1, 2), dtype=np.float32)}  # (1, 3, H, W)

    # Constants and shape arithmetic are no part of NNCF's graph, so that not every name is found there.
    ignored = nncf.IgnoredScope(names=sorted({*kept_float, *decoding(graph)}), validate=False)
    with quiet_nncf():
        quantized = nncf.quantize(
            graph,
            nncf.Dataset(list(canvases), images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(canvases),
            ignored_scope=ignored,
        )
    return _with_metadata_of(source, quantized, spec)


def quantize_dynamic_onnx(source: Path, spec: ModelSpec | None = None) -> bytes:
    """The float ONNX file ``source`` with its linear layers' weights in int8, as bytes, its metadata kept.

    Activations are rounded as they come, with the range of each photo, so that no calibration is needed. Raises
    ConfigError as ``check_linear``.
    """
    check_linear(source)
    onnxruntime_package()
    with tempfile.TemporaryDirectory(prefix="herder-quantize-") as folder, _quiet():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        part = Path(folder) / "int8.onnx"
        quantize_dynamic(str(source), str(part), op_types_to_quantize=list(LINEAR), weight_type=QuantType.QInt8)
        return _with_metadata_of(source, read_onnx(part), spec)


def check_linear(source: Path) -> None:
    """Raise ConfigError where a float ONNX file has no linear layer, which is all that dynamic quantization changes."""
    if not linear_names(read_onnx(source)):
        raise ConfigError(
            "the model has no linear layer, so that dynamic quantization would change nothing",
            hint="use --method static, which quantizes convolutions",
        )


def convolution_names(graph: Any) -> list[str]:
    """Names of the convolutions of an ONNX graph, in the order of their work."""
    return [node.name for node in graph.graph.node if node.op_type == "Conv"]


def linear_names(graph: Any) -> list[str]:
    """Names of the matrix products with weights of their own."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    return [node.name for node in graph.graph.node if node.op_type in LINEAR and weights & set(node.input[1:2])]


def is_quantized(graph: Any) -> bool:
    """Whether an ONNX graph computes with integers already."""
    return any(node.op_type in QUANTIZING for node in graph.graph.node)


def decoding(graph: Any) -> list[str]:
    """Names of the nodes after the last convolutions: they turn numbers into boxes and scores."""
    readers: dict[str, list[Any]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    with_one_after: set[str] = set()  # a convolution comes after these
    for node in reversed(graph.graph.node):  # ONNX wants nodes in the order of their work
        later = [reader for name in node.output for reader in readers.get(name, [])]
        if any(reader.op_type == "Conv" or reader.name in with_one_after for reader in later):
            with_one_after.add(node.name)
    return [node.name for node in graph.graph.node if node.op_type != "Conv" and node.name not in with_one_after]


def _with_metadata_of(source: Path, written: Any, spec: ModelSpec | None = None) -> bytes:
    import onnx.helper

    before = read_onnx(source)
    entries = {entry.key: entry.value for entry in before.metadata_props}
    if spec is not None:
        entries[METADATA_KEY] = spec.to_json()
    onnx.helper.set_model_props(written, entries)
    written.producer_name, written.doc_string = before.producer_name, before.doc_string
    data: bytes = written.SerializeToString()
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Pass over what ONNX Runtime's quantizer says on the root logger: to preprocess first, which changes nothing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logging.disable(before)

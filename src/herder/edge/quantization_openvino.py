"""Static int8 for OpenVINO: NNCF measures the ranges of activations on photos and rounds weights for each channel.

Post-training quantization after R. Krishnamoorthi, https://arxiv.org/abs/1806.08342; the mean error that rounding
leaves in each channel goes into its bias (fast bias correction, https://arxiv.org/abs/1906.04721).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.edge.nncf_package import nncf_package, quiet_nncf
from herder.edge.openvino_files import convert_onnx
from herder.errors import ConfigError

CONVOLUTIONS = ("Convolution", "GroupConvolution")

_SUFFIX = "/WithoutBiases"
"""What OpenVINO adds to the name of an ONNX convolution once it has parted it from its bias."""


def float_model(source: Path) -> Any:
    """An ONNX file as ``openvino.Model``, simplified and without the file's metadata: what is made of it has its own.

    Raises ModelFileError where OpenVINO cannot read the file.
    """
    model = convert_onnx(source)
    if model.has_rt_info(["framework"]):
        model.set_rt_info("onnx", ["framework"])
    return model


def quantize_openvino(
    model: Any,
    canvases: Sequence[NDArray[np.uint8]],
    kept_float: Collection[str] = (),
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Any:
    """An int8 copy of a float ``openvino.Model``, its ranges measured on ``canvases``, (1, H, W, 3) each.

    ``kept_float`` are names of convolutions, as in the ONNX file. What comes after the last convolutions (decoding)
    always stays float. Activations get ranges with a zero point of their own: what SiLU gives lies between -0.28 and
    whatever, and a symmetric range would waste half of the 256 steps. ``progress`` hears canvases done and in all.
    Raises ConfigError for a name that no convolution has, MissingExtraError without NNCF.
    """
    nncf = nncf_package()
    by_name = convolutions(model)
    unknown = sorted(set(kept_float) - set(by_name))
    if unknown:
        raise ConfigError(f"layers to keep in float: no convolution is called {unknown[0]}", hint="check the name")
    done = 0

    def images(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal done
        done += 1
        progress(min(done, len(canvases)), len(canvases))
        return np.ascontiguousarray(canvas.transpose(0, 3, 1, 2), dtype=np.float32)  # (1, 3, H, W)

    ignored = sorted({by_name[name].get_friendly_name() for name in kept_float} | decoding(model))
    with quiet_nncf():
        return nncf.quantize(
            model.clone(),
            nncf.Dataset(list(canvases), images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(canvases),
            ignored_scope=nncf.IgnoredScope(names=ignored),
        )


def convolutions(model: Any) -> dict[str, Any]:
    """The convolutions of an ``openvino.Model`` in the order of their work, by their names in the ONNX file."""
    found = [node for node in model.get_ordered_ops() if node.get_type_name() in CONVOLUTIONS]
    return {node.get_friendly_name().removesuffix(_SUFFIX): node for node in found}


def decoding(model: Any) -> set[str]:
    """Names of the operations after the last convolutions: they turn numbers into boxes and scores.

    Boxes are pixels, so that one of 256 steps would be more than a pixel.
    """
    ordered = [n for n in model.get_ordered_ops() if n.get_type_name() not in ("Constant", "Parameter", "Result")]
    with_one_after: set[str] = set()  # a convolution comes after these
    for node in reversed(ordered):
        readers = [i.get_node() for output in node.outputs() for i in output.get_target_inputs()]
        if any(r.get_type_name() in CONVOLUTIONS or r.get_friendly_name() in with_one_after for r in readers):
            with_one_after.add(node.get_friendly_name())
    names = {n.get_friendly_name() for n in ordered if n.get_type_name() not in CONVOLUTIONS}
    return _biases_out(model, names - with_one_after)


def _biases_out(model: Any, names: set[str]) -> set[str]:
    """Without the additions of biases, which belong to their convolutions."""
    biases = {
        i.get_node().get_friendly_name()
        for node in convolutions(model).values()
        for i in node.output(0).get_target_inputs()
        if i.get_node().get_type_name() == "Add"
    }
    return names - biases


def is_quantized(model: Any) -> bool:
    """Whether an ``openvino.Model`` holds integers already."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())

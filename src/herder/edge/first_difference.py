"""Where an exported file first differs from torch: layer by layer, on the photos on which the two disagree.

The network is run as trained, its norms beside its convolutions; the file is run with its convolutions' outputs as
outputs of the graph. Both name a layer by the same path, so that each norm's output meets the convolution that it was
folded into. Notation: B photos, C channels.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from herder.boxes import FloatArray
from herder.edge.engine_packages import onnxruntime_package, openvino_package
from herder.edge.export_graph import onnx_package
from herder.edge.parity import ParityError, parity_canvases
from herder.edge.torchscript import TorchScriptEngine
from herder.errors import ModelFileError
from herder.inference import Photo
from herder.model.network import Network

SAME = 2e-3
"""Two layers are the same where no value differs by more than this share of the layer's largest: float32 sums in other
orders stay under a tenth of it."""

SAME_HALF = 0.03
"""The same for weights of float16, whose rounding adds up from layer to layer."""


@dataclass(frozen=True)
class LayerDifference:
    """The first layer, in the order of the work, that says something else in the file."""

    layer: str
    """Name of the convolution in the network."""
    difference: float
    """Largest difference of a value."""
    largest: float
    """Largest value of the layer in torch, for comparison."""

    def __str__(self) -> str:
        gap = f"by {self.difference:.2g} (its values reach {self.largest:.2g})"
        return f"the first layer that differs is {self.layer}, {gap}"


def first_difference(
    network: Network, path: Path, canvases: NDArray[np.uint8], same: float = SAME
) -> LayerDifference | None:
    """The first convolution whose output in ``path`` (.onnx or .xml) differs on canvases (B, H, W, 3); None where all
    agree, so that the difference comes from decoding or suppression.

    ``same`` is the share of a layer's largest value that may differ. Layers that the file does not name are passed
    over. Raises ModelFileError where the file names none.
    """
    images = np.ascontiguousarray(canvases.transpose(0, 3, 1, 2), np.float32)  # (B, 3, H, W)
    expected = torch_layers(network, images)
    found = (_openvino_layers if path.suffix == ".xml" else _onnx_layers)(path, images)
    known = [name for name in expected if name in found]
    if not known:
        raise ModelFileError(f"{path}: names none of the network's layers", hint="make it with `herder export`")
    for name in known:
        largest = float(np.abs(expected[name]).max(initial=0))
        if found[name].shape != expected[name].shape:
            return LayerDifference(name, float("nan"), largest)
        gap = float(np.abs(found[name] - expected[name]).max(initial=0))
        if not gap <= same * largest:  # NaN is a difference too
            return LayerDifference(name, gap, largest)
    return None


def torch_layers(network: Network, images: FloatArray) -> dict[str, FloatArray]:
    """What each convolution of ``network`` gives for images (B, 3, H, W), norm included, by its name once folded, in
    the order of the work."""
    network = copy.deepcopy(network).cpu().eval()
    outputs: dict[str, FloatArray] = {}
    normed = {name.removesuffix(".bn") for name, _ in network.named_modules() if name.endswith(".bn")}
    handles = []
    for name, module in network.named_modules():
        block = name.rpartition(".")[0]
        # A convolution with a norm behind it is compared after the norm: in the file the two are one.
        if name.endswith(".bn") and block in normed:
            handles.append(module.register_forward_hook(_keeper(outputs, f"{block}.conv")))
        elif isinstance(module, nn.Conv2d) and block not in normed:
            handles.append(module.register_forward_hook(_keeper(outputs, name)))
    with torch.no_grad():
        network(torch.from_numpy(images))
    for handle in handles:
        handle.remove()
    # A Focus stem is folded into one plain convolution.
    return {name.replace("stem.conv.conv", "stem.conv"): values for name, values in outputs.items()}


def layer_name(tensor: str) -> str | None:
    """The convolution that gives the tensor of this name in a traced graph; None where no convolution does.

    Tracing repeats the way to a module's children: ``stages.0`` is followed by ``stages.0.1``.

    >>> layer_name("/backbone/stages.0/stages.0.1/conv1/conv/Conv_output_0")
    'backbone.stages.0.1.conv1.conv'
    """
    match = re.fullmatch(r"/(.+)/Conv_output_0", tensor)
    if not match:
        return None
    parts: list[str] = []
    for part in match[1].split("/"):
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


@contextmanager
def explain_disagreement(
    network: Network, path: Path, photos: Sequence[Photo], *, size: int | None, half: bool
) -> Iterator[None]:
    """Add to the ParityError that is raised inside where ``path`` first differs from ``network``.

    ``size`` is the side that the file is fixed to, ``half`` whether its weights are float16.
    """
    try:
        yield
    except ParityError as error:
        same = SAME_HALF if half else SAME
        raise ParityError(f"{error.message}; {_where(network, path, photos, size, same)}", hint=error.hint) from error


def _where(network: Network, path: Path, photos: Sequence[Photo], size: int | None, same: float) -> str:
    if path.suffix == ".torchscript":
        return _first_weight(network, path)
    for canvases in parity_canvases(photos, size or network.spec.input_size, fixed=size is not None):
        for canvas in canvases:
            found = first_difference(network, path, canvas[None], same)
            if found:
                return str(found)
    return f"all convolutions agree within {same:g} of their largest values: it comes from decoding or suppression"


def _first_weight(network: Network, path: Path) -> str:
    """TorchScript shows no maps between its layers, but its weights have names."""
    kept = TorchScriptEngine(path).weights()
    for name, weight in network.fused().cpu().named_parameters():
        other = kept.get(f"network.{name}")
        if other is None or other.shape != weight.shape or not torch.equal(other, weight):
            return f"the first weight that differs is {name}"
    return "all weights are the same: it comes from the tracing"


def _keeper(outputs: dict[str, FloatArray], name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        # Heads run once a level, on layers of their own: no name comes twice.
        outputs[name] = output.numpy().copy()

    return keep


def _onnx_layers(path: Path, images: FloatArray) -> dict[str, FloatArray]:
    onnx, ort = onnx_package(), onnxruntime_package()
    model = onnx.load(path)
    names = {name: tensor for node in model.graph.node for tensor in node.output if (name := layer_name(tensor))}
    for tensor in names.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names.values()), {"images": images}), strict=True)) if names else {}


def _openvino_layers(path: Path, images: FloatArray) -> dict[str, FloatArray]:
    ov = openvino_package()
    core = ov.Core()
    model = core.read_model(path)
    found = {tensor for node in model.get_ops() for output in node.outputs() for tensor in output.get_names()}
    names = {name: tensor for tensor in found if (name := layer_name(tensor))}
    if not names:
        return {}
    model.add_outputs(list(names.values()))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([images])
    return {name: np.asarray(results[tensor], np.float32) for name, tensor in names.items()}

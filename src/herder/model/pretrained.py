"""Bring published YOLOX weights into herder: from the ONNX files, or from the PyTorch files where the user allows a
pickle.

YOLOX (Megvii, Apache-2.0, https://github.com/Megvii-BaseDetection/YOLOX) publishes both. An ONNX file has its batch
norms folded into the convolutions and most names lost; its convolutions stand in the order of execution, which is
ours too.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from herder.errors import ConfigError, MissingExtraError, ModelFileError
from herder.model.blocks import Conv
from herder.model.families import FAMILIES, make_spec
from herder.model.network import Network
from herder.spec import ModelSpec

log = logging.getLogger(__name__)

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's 80 classes in the order of the published weights."""

ORIGIN = "YOLOX weights trained on COCO by Megvii, Apache-2.0, https://github.com/Megvii-BaseDetection/YOLOX"

INPUT_SIZES = {"yolox-nano": 416, "yolox-tiny": 416}
"""Pixels of the published networks; the others take 640."""

SIZE_LIMIT = 2 * 1024**3
"""Bytes of the largest file that is opened."""


def import_weights(path: Path, *, model: str | None = None, allow_pickle: bool = False) -> Network:
    """Read a published YOLOX file, ``.onnx`` or (with ``allow_pickle``) ``.pth``, as a Network in eval mode.

    ``model`` is a name such as ``yolox-nano``; where None it is found by the tensors' shapes. Raises ModelFileError
    for a file that is not a YOLOX network, ConfigError for a pickle that was not allowed.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file", hint="check the path")
    if path.stat().st_size > SIZE_LIMIT:
        raise ModelFileError(f"{path}: is larger than 2 GiB", hint="this is no YOLOX file")
    if path.suffix == ".onnx":
        return _import_onnx(path, model)
    if path.suffix in (".pth", ".pt"):
        if not allow_pickle:
            raise ConfigError(
                f"{path}: is a pickle, which can run any program when it is opened",
                hint="use the .onnx file of the same model, or add --allow-pickle if you trust its source",
            )
        log.warning("%s: opening a pickle because --allow-pickle was given", path)
        return _import_pickle(path, model)
    raise ModelFileError(
        f"{path}: unknown kind of file {path.suffix!r}", hint="wanted .onnx, or .pth with --allow-pickle"
    )


def imported_spec(model: str, classes: int) -> ModelSpec:
    """The spec of a published YOLOX model of so many classes."""
    if classes < 1:
        raise ModelFileError(f"{model}: the file names no classes", hint="wanted a published YOLOX file")
    names = COCO_CLASSES if classes == len(COCO_CLASSES) else tuple(f"class {i}" for i in range(classes))
    return make_spec(model, names, input_size=INPUT_SIZES.get(model, 640)).replace(origin=ORIGIN)


def _find_model(path: Path, model: str | None, shapes: list[tuple[int, ...]], classes: int) -> Network:
    """Build the network whose convolutions have these shapes, in order of execution."""
    names = [model] if model else [name for name in FAMILIES if name.startswith("yolox")]
    for name in names:
        spec = imported_spec(name, classes)
        a = spec.architecture
        if a.widths[0] != shapes[0][0] or a.stem != "focus":
            continue  # spares building the large ones
        network = Network(spec).eval()
        if [tuple(conv.weight.shape) for conv in execution_order(network)] == shapes:
            return network
    tried = model or "any of the yolox models"
    raise ModelFileError(f"{path}: its convolutions are not those of {tried}", hint="name the right one with --model")


@torch.no_grad()
def execution_order(network: Network) -> list[nn.Conv2d]:
    """The network's convolutions in the order in which a photo passes them."""
    order: list[nn.Conv2d] = []

    def note(module: nn.Module, *_: Any) -> None:
        assert isinstance(module, nn.Conv2d)
        order.append(module)

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    network.raw(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return order


@torch.no_grad()
def _import_onnx(path: Path, model: str | None) -> Network:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise MissingExtraError("reading ONNX files", "onnx") from None
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        values = {tensor.name: tensor for tensor in graph.initializer}
        pairs = [
            tuple(np.array(numpy_helper.to_array(values[name]), np.float32) for name in node.input[1:3])
            for node in graph.node
            if node.op_type == "Conv"
        ]
    except Exception as error:  # onnx raises protobuf's own errors, KeyError, ValueError: all mean a bad file here
        raise ModelFileError(f"{path}: cannot be read as ONNX ({error})", hint="copy the file again") from None
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ModelFileError(f"{path}: holds no YOLOX network", hint="wanted a published yolox_*.onnx")
    # Each row of the output is 4 box numbers, objectness, then the classes.
    classes = max(0, graph.output[0].type.tensor_type.shape.dim[-1].dim_value - 5) if graph.output else 0
    network = _find_model(path, model, [tuple(weight.shape) for weight, _ in pairs], classes)
    with_norm = {id(m.conv): m for m in network.modules() if isinstance(m, Conv)}
    for conv, (weight, bias) in zip(execution_order(network), pairs, strict=True):
        conv.weight.copy_(torch.from_numpy(weight))
        block = with_norm.get(id(conv))
        if block is None:
            assert conv.bias is not None
            conv.bias.copy_(torch.from_numpy(bias))
        else:
            unfold_batchnorm(block, torch.from_numpy(bias))
    return _checked(network, path)


@torch.no_grad()
def unfold_batchnorm(block: Conv, bias: Tensor) -> None:
    """Give a folded convolution's ``bias`` (C,) to a batch norm that changes nothing else.

    Mean 0 and variance 1 - eps divide by 1. ``calibrate_batchnorm`` puts true statistics in their place.
    """
    bn = block.bn
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    bn.running_mean.zero_()
    bn.running_var.fill_(1 - bn.eps)
    bn.weight.fill_(1)
    bn.bias.copy_(bias)


@torch.no_grad()
def _import_pickle(path: Path, model: str | None) -> Network:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, zip errors, ...: the file cannot be used
        raise ModelFileError(f"{path}: cannot be read ({type(error).__name__})", hint="copy the file again") from None
    state = content.get("model", content) if isinstance(content, dict) else {}
    state = {_own_name(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if "backbone.stem.conv.conv.weight" not in state or "head.cls_preds.0.weight" not in state:
        raise ModelFileError(f"{path}: holds no YOLOX network", hint="wanted a published yolox_*.pth")
    classes = state["head.cls_preds.0.weight"].shape[0]
    for name in [model] if model else [n for n in FAMILIES if n.startswith("yolox")]:
        spec = imported_spec(name, classes)
        if spec.architecture.widths[0] != state["backbone.stem.conv.conv.weight"].shape[0]:
            continue
        network = Network(spec).eval()
        own = network.state_dict()
        if {n: v.shape for n, v in own.items()} == {n: v.shape for n, v in state.items()}:
            network.load_state_dict(state)
            return _checked(network, path)
    raise ModelFileError(f"{path}: its tensors are not those of {model or 'any yolox model'}", hint="use --model")


_NECK_NAMES = {
    "lateral_conv0": "lateral5",
    "C3_p4": "down4",
    "reduce_conv1": "lateral4",
    "C3_p3": "down3",
    "bu_conv2": "reduce3",
    "C3_n3": "up4",
    "bu_conv1": "reduce4",
    "C3_n4": "up5",
}
"""Neck modules as the published files name them, and as herder does."""


def _own_name(name: str) -> str:
    parts = name.split(".")
    if parts[:2] == ["backbone", "backbone"]:
        if parts[2].startswith("dark"):
            return ".".join(["backbone", "stages", str(int(parts[2][4:]) - 2), *parts[3:]])
        return ".".join(["backbone", *parts[2:]])
    if parts[0] == "backbone" and parts[1] in _NECK_NAMES:
        return ".".join(["neck", _NECK_NAMES[parts[1]], *parts[2:]])
    return name


@torch.no_grad()
def _checked(network: Network, path: Path) -> Network:
    """The network with its input scale moved from the first convolution into the spec; its values must be finite.

    The published networks take 0..255 as it is, with first weights a hundred times smaller than all others.
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelFileError(f"{path}: tensor {name} holds values that are not finite", hint="copy the file again")
    execution_order(network)[0].weight.div_(network.spec.scale)
    return network


def norms_are_folded(network: Network) -> bool:
    """Whether the norms stand as ``unfold_batchnorm`` left them, and still need true statistics before training."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    means = [n.running_mean for n in norms if n.running_mean is not None]
    new = all(
        float(n.bias.detach().abs().max()) == 0 for n in norms
    )  # a random start has no shifts, a folded file does
    return not new and all(float(mean.abs().max()) == 0 for mean in means)


@torch.no_grad()
def calibrate_batchnorm(network: Network, images: Tensor) -> None:
    """Give each batch norm the statistics of ``images`` (B, 3, H, W), without changing what the network computes.

    Weights from a folded file come with norms that do nothing (mean 0, variance 1). Trained on in batch mode, such a
    norm would suddenly start to normalise. Here each convolution is scaled so that its output has variance 1, and its
    norm gets the statistics, scale and shift that undo that: y = w (x - m) / s + b stays the same function. The scaling
    matters to Adam, whose steps have one size for all weights: a folded file has channels a thousand times apart.
    """

    def measure(block: Conv, bn: nn.BatchNorm2d, x: Tensor) -> tuple[Tensor]:
        assert bn.running_mean is not None
        assert bn.running_var is not None
        var, mean = torch.var_mean(x, dim=(0, 2, 3))
        sigma = torch.where(var > 1e-8, var, 1.0).sqrt()  # a dead channel stays as it is
        block.conv.weight.div_(sigma[:, None, None, None])
        factor = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        shift = bn.bias - bn.running_mean * factor
        bn.running_mean.copy_(mean / sigma)
        bn.running_var.copy_(var / sigma.square())
        bn.weight.copy_(factor * sigma * torch.sqrt(bn.running_var + bn.eps))
        bn.bias.copy_(shift + mean * factor)
        return (x / sigma[:, None, None],)

    hooks = []
    for block in network.modules():
        if isinstance(block, Conv) and isinstance(block.bn, nn.BatchNorm2d):
            hooks.append(block.bn.register_forward_pre_hook(lambda bn, x, block=block: measure(block, bn, x[0])))
    was_training = network.training
    network.eval().raw(images)
    network.train(was_training)
    for hook in hooks:
        hook.remove()

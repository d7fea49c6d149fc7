"""What a model file says about itself: everything that is needed to rebuild the network and to use it rightly.

The spec travels as JSON in the metadata of a safetensors or ONNX file. It imports no torch, so that an engine without
torch can read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from herder.errors import ModelFileError

SPEC_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""

METADATA_KEY = "herder_spec"
"""The metadata entry of a safetensors or ONNX file that holds the spec."""

TEMPERATURES = (0.01, 100.0)
"""A temperature outside makes every score 0, 1 or 0.5."""


SMALL_KERNEL = 3
"""Side of a spatial convolution unless its architecture says otherwise."""

CHOICES = {
    "family": ("herder", "yolox"),
    "stem": ("conv", "focus"),
    "neck": ("pan", "fpn"),
    "activation": ("silu", "relu", "hardswish"),
    "kernel": (SMALL_KERNEL, 5),
}
"""Fields of an architecture that are one of a few values."""


@dataclass(frozen=True)
class Quantization:
    """What is int8 in a network that was trained for it: norms are folded, scales are tensors of the file."""

    weight_bits: int = 8
    """8, or 7: processors without VNNI add products in 16 bits, which two full int8 products can overflow."""
    before_activation: bool = False
    """Whether what a convolution gives is int8 before its activation too, as ONNX Runtime wants it."""
    float_layers: tuple[str, ...] = ()
    """Names of convolutions whose weights stay float."""


@dataclass(frozen=True)
class Architecture:
    """The network, as numbers: two models with the same architecture have the same tensors."""

    family: str
    """``herder`` or ``yolox``."""
    stem: str
    """``conv`` (3 x 3, stride 2) or ``focus`` (space to depth, then 3 x 3: YOLOX)."""
    widths: tuple[int, ...]
    """Channels after the stem and after each of the four stages; stage i has stride 2 ** (i + 1)."""
    depths: tuple[int, ...]
    """Bottlenecks in each of the four stages."""
    neck_depth: int
    """Bottlenecks in each block of the neck."""
    neck: str = "pan"
    """``pan`` (FPN down, PAN up) or ``fpn`` (down only: cheaper)."""
    neck_width: int = 0
    """Channels of every neck level where positive; 0 keeps each backbone level's own (YOLOX)."""
    head_width: int = 64
    """Channels of the decoupled head's branches."""
    head_depth: int = 2
    """Spatial convolutions in each branch of the head."""
    depthwise: bool = False
    """Depthwise separable in place of full 3 x 3 convolutions in backbone, neck and head."""
    head_depthwise: bool = False
    """Depthwise separable in the head alone."""
    activation: str = "silu"
    """``silu``, ``relu`` or ``hardswish``."""
    kernel: int = SMALL_KERNEL
    """Side in cells of the spatial convolutions in bottlenecks and in the head's branches: 3 or 5."""
    attention: bool = False
    """Squeeze-and-excitation after the last stage of the backbone."""
    reg_max: int = 16
    """DFL bins for each side of a box; 0 regresses centre and log size directly, as YOLOX does."""
    objectness: bool = False
    """An objectness output beside the classes, multiplied into their scores (YOLOX)."""
    one_to_one: bool = False
    """A second head trained with one-to-one assignment, whose output needs no NMS (YOLOv10)."""
    batchnorm_eps: float = 1e-3
    """Added to the variance; YOLOX trains with 1e-3."""
    channels: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    """Input and output channels of the convolutions that pruning made narrower than the widths above, by name."""
    quantization: Quantization | None = None
    """What is int8, where quantization-aware training made it so."""

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the input per cell of each output level."""
        return (8, 16, 32)


@dataclass(frozen=True)
class ModelSpec:
    """A model file's description of itself.

    >>> spec = ModelSpec.from_json(example_spec().to_json())
    >>> spec.class_names, spec.input_size
    (('alpaca',), 320)
    """

    name: str
    """Such as ``herder-n``."""
    architecture: Architecture
    class_names: tuple[str, ...]
    input_size: int = 640
    """Longest side in pixels that the network was trained with; a multiple of 32."""
    channel_order: str = "rgb"
    """``rgb`` or ``bgr``: the order in which the network wants its channels."""
    scale: float = 1 / 255
    """Factor from 0..255 to what the network wants."""
    score_threshold: float = 0.25
    """Detections below are dropped unless the caller says otherwise; training sets the best F1's."""
    nms_iou: float = 0.6
    """Overlap above which the lower of two boxes of a class is dropped."""
    max_detections: int = 300
    temperature: float = 1.0
    """Divides the logit of every score, so that a score says how often it is right; `herder calibrate` fits it. 1
    leaves the network's scores as they are. ``score_threshold`` holds for scores after the division."""
    dataset_fingerprint: str = ""
    """SHA-256 over the training photos' names, sizes and boxes."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the model reached when it was written, by the names of ``herder.evaluation``."""
    origin: str = ""
    """Where the starting weights came from, with their licence."""
    herder_version: str = ""
    spec_version: int = SPEC_VERSION

    def replace(self, **changes: Any) -> ModelSpec:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def tempered(self, temperature: float) -> ModelSpec:
        """Return a copy with another temperature, and the score threshold moved so that the same detections reach it.

        >>> spec = example_spec().replace(score_threshold=0.2).tempered(2.0)
        >>> spec.temperature, round(spec.score_threshold, 6)
        (2.0, 0.333333)
        """
        power = self.temperature / temperature
        yes, no = self.score_threshold**power, (1 - self.score_threshold) ** power
        return replace(self, temperature=temperature, score_threshold=yes / (yes + no))

    def to_json(self) -> str:
        """One line of JSON, keys sorted. Only pruned models name ``channels``, only quantized ones ``quantization``.

        Only those with larger kernels name ``kernel``; older herders read the others.
        """
        data = asdict(self)
        if self.architecture.kernel == SMALL_KERNEL:
            del data["architecture"]["kernel"]
        for name in ("channels", "quantization"):
            if not data["architecture"][name]:
                del data["architecture"][name]
        return json.dumps(data, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, source: str = "model spec") -> ModelSpec:
        """Read what ``to_json`` wrote; ``source`` is named in errors.

        Raises ModelFileError when the text is not a spec, was written by a newer herder, or lacks or misspells a field.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ModelFileError(f"{source}: the spec is not JSON ({error})", hint="the file is damaged") from None
        if not isinstance(data, dict) or "architecture" not in data:
            raise ModelFileError(f"{source}: holds no herder model spec", hint="convert it with `herder import`")
        version = data.get("spec_version")
        if not isinstance(version, int) or version > SPEC_VERSION:
            raise ModelFileError(
                f"{source}: spec version {version!r} is newer than this herder reads ({SPEC_VERSION})",
                hint="upgrade herder",
            )
        data["architecture"] = _build(Architecture, data["architecture"], f"{source}: architecture")
        data["architecture"] = _read_channels(data["architecture"], f"{source}: architecture: channels")
        data["architecture"] = _read_quantization(data["architecture"], f"{source}: architecture: quantization")
        spec: ModelSpec = _build(cls, data, source)
        _check(spec, source)
        return spec


def _build(cls: type, data: object, source: str) -> Any:
    known = {f.name: f for f in fields(cls)}
    if not isinstance(data, dict):
        raise ModelFileError(f"{source}: found {type(data).__name__}, wanted an object", hint="the file is damaged")
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ModelFileError(f"{source}: unknown fields {unknown}", hint="upgrade herder, or the file is damaged")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ModelFileError(f"{source}: {error}", hint="the file is damaged") from None


def _read_channels(a: Architecture, source: str) -> Architecture:
    """The architecture with pairs for JSON's lists. Raises ModelFileError where they are no pairs of channels."""
    if not isinstance(a.channels, dict):
        raise ModelFileError(f"{source}: found {type(a.channels).__name__}", hint="the file is damaged")
    for name, pair in a.channels.items():
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(n) is int and 1 <= n <= 65536 for n in pair):
            raise ModelFileError(f"{source}: {name}: found {pair!r}, wanted two counts", hint="the file is damaged")
    return replace(a, channels={name: (pair[0], pair[1]) for name, pair in a.channels.items()})


def _read_quantization(a: Architecture, source: str) -> Architecture:
    """The architecture with a Quantization for JSON's object. Raises ModelFileError where it makes no sense."""
    if a.quantization is None:
        return a
    q: Quantization = _build(Quantization, a.quantization, source)
    named = isinstance(q.float_layers, tuple) and all(isinstance(name, str) for name in q.float_layers)
    if q.weight_bits not in (7, 8) or not isinstance(q.before_activation, bool) or not named:
        raise ModelFileError(f"{source}: found {q}", hint="the file is damaged")
    return replace(a, quantization=q)


def _check(spec: ModelSpec, source: str) -> None:
    """Raise ModelFileError for values that no herder writes."""
    a = spec.architecture
    choices = [(name, getattr(a, name), allowed) for name, allowed in CHOICES.items()]
    for name, value, allowed in (*choices, ("channel_order", spec.channel_order, ("rgb", "bgr"))):
        if isinstance(value, float) or value not in allowed:
            raise ModelFileError(f"{source}: {name} {value!r}, wanted one of {list(allowed)}", hint="upgrade herder")
    numbers = (*a.widths, *a.depths, a.head_width, a.head_depth, a.reg_max, spec.input_size)
    if len(a.widths) != 5 or len(a.depths) != 4 or not all(isinstance(n, int) and 0 <= n <= 8192 for n in numbers):
        raise ModelFileError(f"{source}: architecture out of range: {a}", hint="the file is damaged")
    if not spec.class_names or not all(isinstance(n, str) and n for n in spec.class_names):
        raise ModelFileError(f"{source}: class_names must be at least one name", hint="the file is damaged")
    t = spec.temperature
    if isinstance(t, bool) or not isinstance(t, (int, float)) or not TEMPERATURES[0] <= t <= TEMPERATURES[1]:
        raise ModelFileError(
            f"{source}: temperature {t!r} is not between {TEMPERATURES[0]:g} and {TEMPERATURES[1]:g}",
            hint="the file is damaged",
        )
    if spec.input_size < 32 or spec.input_size % 32:
        raise ModelFileError(
            f"{source}: input_size {spec.input_size} is not a multiple of 32", hint="the file is damaged"
        )


def example_spec() -> ModelSpec:
    """Return a small spec for documentation and doctests."""
    tiny = Architecture("herder", "conv", (8, 16, 16, 32, 32), (1, 1, 1, 1), neck_depth=1, head_width=16)
    return ModelSpec("tiny", tiny, ("alpaca",), input_size=320)

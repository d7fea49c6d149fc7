"""What ``herder optimize`` is going to try: networks, the files that are made of each, and the engines that run these.

Networks come of what changes weights: search, distillation and pruning, alone and one after the other (search -> distil
-> prune). Files come of what changes their form: export in float32 and float16, int8 after or during training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from herder.errors import ConfigError
from herder.inference import STRIDE

NETWORK_STRATEGIES = ("search", "distill", "prune")
"""Make another network, in the order in which they follow each other."""

FILE_STRATEGIES = ("export", "quantize", "aware")
"""Make files of a network."""

STRATEGIES = (*NETWORK_STRATEGIES, *FILE_STRATEGIES)

TRAINING = ("search", "distill", "prune", "aware")
"""Strategies that train: minutes to hours."""

DEFAULT_STRATEGIES = ("export", "quantize", "prune", "distill", "aware")
"""Search begins from nothing and takes longer than all others together: it is named when it is wanted."""

ENGINES = ("onnx", "openvino")

ENGINE_NAMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "torch": "torch"}

BASE = "base"
"""The network that was given."""

SMALLER = 0.75
"""The second size that is tried, as a share of the model's own, where no sizes are named."""


@dataclass(frozen=True)
class Form:
    """One kind of file that is made of a network."""

    name: str
    strategy: str
    suffix: str
    precision: str
    engines: tuple[str, ...]
    """Those that it is measured in; OpenVINO's own file is the better one of two that hold the same."""


PLAIN = Form("onnx-float32", "export", ".onnx", "float32", ("onnx", "openvino"))
"""What everything else is set against."""

FORMS = (
    PLAIN,
    Form("onnx-float16", "export", ".onnx", "float16", ("onnx",)),
    Form("openvino-float16", "export", ".xml", "float16", ("openvino",)),
    Form("openvino-int8", "quantize", ".xml", "int8", ("openvino",)),
    Form("onnx-int8", "quantize", ".onnx", "int8", ("onnx",)),
    Form("aware-int8", "aware", ".onnx", "int8", ("onnx", "openvino")),
)


@dataclass(frozen=True)
class FilePlan:
    """A file to be made."""

    steps: tuple[str, ...]
    """What is done to the network before."""
    form: Form
    size: int

    @property
    def network(self) -> str:
        """Name of the network, ``base`` or such as ``distill-prune``."""
        return network_name(self.steps)

    @property
    def key(self) -> str:
        """Such as ``base/onnx-float16-416``."""
        return f"{self.network}/{self.form.name}-{self.size}"

    @property
    def strategies(self) -> tuple[str, ...]:
        """All that it takes."""
        return (*self.steps, self.form.strategy)

    @property
    def done(self) -> str:
        """What is done to the network, in words: such as ``distilled + pruned``; nothing for the network as given."""
        words = {"search": "searched", "distill": "distilled", "prune": "pruned"}
        return " + ".join(words[step] for step in self.steps)

    @property
    def training(self) -> str:
        """What has to be trained for it: the network, or beyond it int8."""
        return ", ".join(filter(None, (self.done, "int8 by training" if self.form.strategy == "aware" else "")))

    def label(self, engine: str) -> str:
        """For tables and pictures: such as ``pruned, int8, OpenVINO, 416 px``; the network as given has no word."""
        precision = "int8 by training" if self.form.strategy == "aware" else self.form.precision
        return ", ".join(filter(None, (self.done, precision, ENGINE_NAMES[engine], f"{self.size} px")))


@dataclass(frozen=True)
class Plan:
    """All that is tried, in this order: what needs no training first."""

    files: tuple[FilePlan, ...]
    engines: tuple[str, ...]

    @property
    def networks(self) -> tuple[tuple[str, ...], ...]:
        """Steps of each network whose files are wanted, a shorter chain before the longer that goes on from it."""
        return tuple(dict.fromkeys(plan.steps for plan in self.files))

    def of(self, plan: FilePlan) -> tuple[str, ...]:
        """The engines that a file is measured in."""
        return tuple(engine for engine in plan.form.engines if engine in self.engines)

    def keys(self) -> dict[str, str]:
        """Key and label of each candidate."""
        return {f"{plan.key}/{engine}": plan.label(engine) for plan in self.files for engine in self.of(plan)}


def make_plan(strategies: Sequence[str], sizes: Sequence[int], engines: Sequence[str]) -> Plan:
    """The files of each network, at each size; what is trained to be int8 at the first size alone.

    Networks are that as given and each run of neighbours in the chain of the strategies named. Raises ConfigError for
    an unknown strategy or engine, a size that is no multiple of 32, or nothing to make.
    """
    for what, named, known in (("strategy", strategies, STRATEGIES), ("engine", engines, ENGINES)):
        unknown = [name for name in named if name not in known]
        if unknown:
            raise ConfigError(f"{what} {unknown[0]!r} is not known", hint=f"use {', '.join(known)}")
    for size in sizes:
        if size < STRIDE or size % STRIDE:
            near = max(STRIDE, round(size / STRIDE) * STRIDE)
            raise ConfigError(f"image size {size} is not a multiple of {STRIDE}", hint=f"use {near}")
    chains = network_steps([name for name in NETWORK_STRATEGIES if name in strategies])
    # Networks alone are no files: what trains them is of use only once it is exported.
    wanted = set(strategies) | ({"export"} if len(chains) > 1 or not set(strategies) & set(FILE_STRATEGIES) else set())
    forms = [form for form in FORMS if form.strategy in wanted and set(form.engines) & set(engines)]
    if not strategies or not sizes or not forms:
        raise ConfigError("optimize: nothing to try", hint="name at least one strategy, engine and size")
    files = [
        FilePlan(steps, form, size)
        for steps, form, size in product(chains, forms, dict.fromkeys(sizes))
        if form.strategy != "aware" or size == sizes[0]
    ]
    files.sort(key=lambda plan: (len(plan.steps), plan.form.strategy in TRAINING))  # stable: the rest stays in order
    return Plan(tuple(files), tuple(dict.fromkeys(engines)))


def network_steps(chain: Sequence[str]) -> list[tuple[str, ...]]:
    """The network as given, and each run of neighbours in the chain.

    >>> network_steps(["distill", "prune"])
    [(), ('distill',), ('prune',), ('distill', 'prune')]
    """
    runs = [tuple(chain[i : i + n]) for n in range(1, len(chain) + 1) for i in range(len(chain) - n + 1)]
    return [(), *runs]


def network_name(steps: Sequence[str]) -> str:
    """The name of a network's folder.

    >>> network_name(()), network_name(("distill", "prune"))
    ('base', 'distill-prune')
    """
    return "-".join(steps) or BASE


def default_sizes(own: int) -> tuple[int, ...]:
    """The model's own size and one that is a quarter smaller.

    >>> default_sizes(416), default_sizes(32)
    ((416, 320), (32,))
    """
    smaller = max(STRIDE, round(own * SMALLER / STRIDE) * STRIDE)
    return (own,) if smaller == own else (own, smaller)

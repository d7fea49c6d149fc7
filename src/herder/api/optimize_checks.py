"""What is refused before any long work: models, targets and limits with which nothing good can come out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from herder.api.optimize_constraints import Constraints
from herder.api.optimize_networks import TrainingPlan
from herder.api.optimize_plan import Plan
from herder.api.optimize_result import Input
from herder.api.run_photos import Photos
from herder.api.teachers import TeacherEngine, read_teachers
from herder.edge.calibration_sample import FEWEST_PHOTOS
from herder.errors import ConfigError, MissingExtraError
from herder.evaluation.detector import class_mapping
from herder.model.families import make_spec
from herder.model.files import load_model, read_spec
from herder.model.pruning import Scope, check_pruning

TARGETS = ("cpu", "cuda")

BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""A weight takes; biases and the graph come on top."""

_NEEDS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",), "compress": ("nncf",), "lab": ("optuna",)}


def check_model(model: Path, target: str) -> None:
    """Refuse a target or a model that cannot be measured or changed (ConfigError), or is broken (ModelFileError)."""
    if target not in TARGETS:
        raise ConfigError(f"--target {target} is not known", hint=f"use {' or '.join(TARGETS)}")
    if target == "cuda":
        import torch

        missing = (
            "this machine has no CUDA device" if not torch.cuda.is_available() else "exported files run on the CPU"
        )
        raise ConfigError(f"--target cuda: {missing}", hint="use --target cpu, or `herder benchmark --device cuda`")
    if model.suffix != ".safetensors":
        raise ConfigError(
            f"{model}: only .safetensors models can be optimized: what was exported can no longer be changed",
            hint="give the file that it was exported from",
        )
    spec = read_spec(model)
    if spec.architecture.quantization is not None:
        raise ConfigError(f"{model}: is quantized already", hint="give the float model that it was made from")


def check_strategies(model: Path, plan: Plan, training: TrainingPlan) -> None:
    """Refuse what the strategies cannot do with this model, whatever the photos are.

    Raises ConfigError for pruning that leaves layers without channels or a student that does not exist,
    MissingExtraError where a strategy's packages are not installed.
    """
    spec, strategies = read_spec(model), {name for file in plan.files for name in file.strategies}
    extras = ["onnx", *(["openvino"] if "openvino" in plan.engines else [])]
    extras += ["compress"] if "quantize" in strategies and "openvino" in plan.engines else []
    extras += ["lab"] if "search" in strategies else []
    for extra in extras:
        if any(importlib.util.find_spec(name) is None for name in _NEEDS[extra]):
            raise MissingExtraError("optimize", extra)
    if "prune" in strategies:
        check_pruning(load_model(model), training.ratio, Scope.GLOBAL)
    if "distill" in strategies and training.teacher is None:
        path = Path(training.student)
        if path.suffix:
            read_spec(path)
        else:
            make_spec(training.student, spec.class_names)


def check_limits(model: Path, limits: Constraints, plan: Plan, training: TrainingPlan, photos: Photos) -> None:
    """Refuse limits that none of the strategies can keep, and photos that they cannot work with. Raises ConfigError."""
    spec = read_spec(model)
    class_mapping(spec.class_names, photos.validation.class_names, {})
    strategies = {name for file in plan.files for name in file.strategies}
    if strategies & {"quantize", "aware"} and len(photos.train) < FEWEST_PHOTOS:
        raise ConfigError(
            f"{photos.source}: {len(photos.train)} training photos are too few to calibrate with",
            hint=f"{FEWEST_PHOTOS} are needed; or leave quantize and aware out of --strategies",
        )
    if "distill" in strategies and training.teacher is not None:
        TeacherEngine(read_teachers([training.teacher]), photos.train.class_names)
    if limits.size_mb is None or strategies & {"search", "distill"}:
        return
    network = load_model(model)
    weights = sum(p.numel() for p in network.parameters() if p.dim() > 1)
    if "prune" in strategies:
        weights = int(weights * (1 - training.ratio) ** 2)  # a channel less takes a row here and a column there
    least = min(BYTES[file.form.precision] for file in plan.files) * weights / 1e6
    if limits.size_mb < least:
        raise ConfigError(
            f"--max-size-mb {limits.size_mb:g}: with these strategies the weights alone take {least:.2f} MB",
            hint="allow more, or add a strategy (quantize, prune, distill), or begin with a smaller model",
        )


def check_memory(limits: Constraints, measured: Input) -> None:
    """Refuse a limit below what a process takes before it has opened any model. Raises ConfigError."""
    if limits.memory_mb is not None and limits.memory_mb * 1e6 < measured.empty_rss_bytes:
        raise ConfigError(
            f"--max-memory-mb {limits.memory_mb:g}: Python and its libraries take "
            f"{measured.empty_rss_bytes / 1e6:.0f} MB before any model is opened",
            hint="allow more",
        )

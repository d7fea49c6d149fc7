"""What quantization needs, gathered and checked before any work: a float model, photos, labels to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from herder.api.run_photos import Photos, read_photos
from herder.data.formats.photos import list_photos, read_sizes
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.edge.calibration_sample import calibration_sample
from herder.edge.engine_packages import onnxruntime_package
from herder.edge.export import export_onnx
from herder.edge.export_facts import ExportFacts
from herder.edge.nncf_package import nncf_package
from herder.edge.quantization import Target, check_float
from herder.errors import ConfigError, DataError
from herder.files import check_writable
from herder.inference import STRIDE
from herder.model.files import load_model, read_spec
from herder.spec import ModelSpec


@dataclass(frozen=True)
class QuantizeSettings:
    """How to quantize."""

    target: Target = Target.OPENVINO
    dynamic: bool = False
    """Weights of linear layers alone, activations as they come: needs no ranges (ONNX only)."""
    photos: int = 300
    """Training photos to measure ranges on, at most."""
    max_drop: float | None = 0.01
    """mAP@0.5 that may be lost on the validation photos; None measures none and needs no labels."""
    size: int | None = None
    """Longest side in pixels for calibration and measuring; the model's own where None."""
    seed: int = 0
    """Of the choice of photos."""


@dataclass(frozen=True)
class Material:
    """What a quantization works with."""

    model: Path
    spec: ModelSpec
    facts: ExportFacts | None
    """How the float .onnx file was exported; None for .safetensors, which is still to be exported."""
    sample: tuple[ImageRecord, ...]
    """Photos to calibrate with."""
    class_names: tuple[str, ...]
    """The photos' classes, which need not be the model's."""
    validation: Dataset | None
    """Labelled photos to judge by; None where nobody asked."""
    problems: tuple[Problem, ...] = ()
    """What was set aside while the photos were read."""

    def float_onnx(self, folder: Path) -> tuple[Path, ExportFacts]:
        """The model as float ONNX file, exported into ``folder`` where it is none yet."""
        if self.facts is not None:
            return self.model, self.facts
        network = load_model(self.model)
        path = export_onnx(network, network.spec, folder / "source.onnx").path
        return path, check_float(path)[1]


def check_quantization(model: Path, data: Path | Photos, out: Path, settings: QuantizeSettings) -> Material:
    """Everything that can be wrong is found here.

    Raises ConfigError for a setting out of range, a model that is quantized already or holds suppression, or too few
    photos; DataError where there are no labels to judge by; ResourceError where ``out`` cannot be written;
    MissingExtraError for packages that are missing.
    """
    target, max_drop, size = settings.target, settings.max_drop, settings.size
    if out.suffix != target.suffix:
        raise ConfigError(f"{out}: files for {target.value} end in {target.suffix}", hint="change --out or --to")
    if settings.dynamic and target is not Target.ONNX:
        raise ConfigError("method dynamic: is for ONNX only", hint="use --to onnx")
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise ConfigError(f"max_drop: {max_drop:g}", hint="wanted a part of the mAP between 0 and 1, such as 0.01")
    check_writable(out)
    spec, facts = _read_model(model)
    if size is not None and (size < STRIDE or size % STRIDE):
        near = max(STRIDE, round(size / STRIDE) * STRIDE)
        raise ConfigError(f"size {size} is not a multiple of {STRIDE}", hint=f"use {near}")
    if facts and facts.fixed_size and size not in (None, facts.fixed_size):
        raise ConfigError(f"size {size}: {model} takes {facts.fixed_size} only", hint="leave out --size")
    onnxruntime_package()
    if not settings.dynamic:
        nncf_package()
    if max_drop is None:
        training = _any_photos(data)
        return Material(
            model,
            spec,
            facts,
            tuple(calibration_sample(training, settings.photos, settings.seed)),
            training.class_names,
            None,
            training.problems,
        )
    parts = data if isinstance(data, Photos) else read_photos(data)
    if not sum(len(record) for record in parts.validation):
        raise DataError(
            f"{parts.source}: no labelled box among {len(parts.validation)} validation photos to measure mAP on",
            hint="label some, or use --unchecked, which measures none",
        )
    sample = tuple(calibration_sample(parts.train, settings.photos, settings.seed))
    problems = tuple(p for p in (*parts.train.problems, *parts.validation.problems) if p.severity is Severity.SET_ASIDE)
    return Material(model, spec, facts, sample, parts.train.class_names, parts.validation, problems)


def _read_model(model: Path) -> tuple[ModelSpec, ExportFacts | None]:
    if model.suffix != ".safetensors":
        return check_float(model)
    spec = read_spec(model)
    if spec.architecture.quantization is not None:
        raise ConfigError(f"{model}: is quantized already", hint="give the float model that it was made from")
    return spec, None


def _any_photos(data: Path | Photos) -> Dataset:
    """The training photos where there is a dataset, else all photos in the folder, as far as they can be read."""
    if isinstance(data, Photos):
        return data.train
    try:
        return read_photos(data).train
    except DataError:
        if not data.is_dir():
            raise
    paths, problems = list_photos(data)
    records = []
    for path, size in zip(paths, read_sizes(paths), strict=True):
        if isinstance(size, Problem):
            problems.append(size)
        else:
            records.append(ImageRecord(path, *size, boxes=np.zeros((0, 4), np.float32), classes=np.zeros(0, np.int64)))
    return Dataset(tuple(records), (), data, "", tuple(problems))

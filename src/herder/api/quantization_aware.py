"""Quantization-aware fine-tuning as one call: a float model and photos to an int8 file, with what it cost.

The network learns on while its weights and maps are rounded as int8 will round them (Jacob et al. 2018,
https://arxiv.org/abs/1712.05877), from the labels and from the float model as its teacher (quantization-aware
distillation, https://arxiv.org/abs/1711.05852). It is an ordinary training run whose network rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from herder.api.run_photos import Photos, read_photos
from herder.api.teachers import check_teachers
from herder.api.training_run import base_config, run_training
from herder.data.records import Dataset
from herder.edge.calibration_sample import calibration_canvases, calibration_sample
from herder.edge.export_quantized import export_quantized
from herder.edge.parity import Parity
from herder.edge.runtime import OnnxEngine
from herder.errors import ConfigError
from herder.evaluation import evaluate_detector
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.files import load_model, read_spec, save_model
from herder.model.network import Network
from herder.model.quantized_layers import settling
from herder.spec import ModelSpec, Quantization
from herder.training.config import TrainConfig, load_config
from herder.training.distributed import Ranks
from herder.training.interfaces import Ending
from herder.training.tracking import Tracker

EPOCHS = 6
"""Fine-tuning of a network that is nearly right: longer runs gain little (https://arxiv.org/abs/2106.08295)."""

LEARNING_RATE = 1e-5
"""Of all layers. The norms are folded, and with them some layers' weights are small: 1e-4, which suits a float
fine-tuning, first destroys what calibration reached."""


@dataclass(frozen=True)
class AwareSettings:
    """How the network is made to round."""

    photos: int = 128
    """Training photos that the first scales are fitted to."""
    weight_bits: int = 8
    """8, or 7 for processors without VNNI, whose 16-bit sums two full int8 products can overflow."""
    before_activation: bool = False
    """Round what a convolution gives before its activation too: ONNX Runtime needs it to work in int8."""
    float_layers: tuple[str, ...] = ()
    """Convolutions whose weights stay float."""
    seed: int = 0
    """Of the choice of photos."""

    def __post_init__(self) -> None:
        if self.weight_bits not in (7, 8):
            raise ConfigError(f"weight_bits: {self.weight_bits}", hint="wanted 8, or 7 for processors without VNNI")


@dataclass(frozen=True)
class Accuracy:
    """A model on the validation photos, and its file."""

    map50: float
    map50_95: float
    file_bytes: int


@dataclass(frozen=True)
class QuantizeAwareResult:
    """The int8 file, the network that it came from, and what each stage reached."""

    path: Path
    """``aware.onnx``: int8, for ONNX Runtime and OpenVINO."""
    network: Path
    """``aware.safetensors``: the same network in torch, which can learn on."""
    before: Accuracy
    """The float model."""
    static: Accuracy
    """Its rounded copy before any training: what calibration alone gives."""
    after: Accuracy
    """The file at ``path``, measured in ONNX Runtime's int8 arithmetic."""
    parity: Parity
    """How far the file is from the network in torch."""


def aware_config(model: Path, file: Path | None = None, settings: Mapping[str, Any] | None = None) -> TrainConfig:
    """The settings of the fine-tuning: short, with small steps and photos as they are, changed by file and settings."""
    base = replace(base_config(model), epochs=EPOCHS, lr_backbone=LEARNING_RATE, lr_head=LEARNING_RATE)
    return load_config(file, settings, base=replace(base, warmup_epochs=0.5, mosaic_off_epochs=EPOCHS))


def run_quantization_aware(
    model: Path,
    data: Path | Photos,
    out: Path,
    settings: AwareSettings | None = None,
    config: TrainConfig | None = None,
    *,
    teachers: Sequence[Path] = (),
    resume: bool = False,
    trackers: Sequence[Tracker] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> QuantizeAwareResult:
    """Fine-tune ``model`` (.safetensors) rounded, and write ``out/aware.onnx`` and ``out/aware.safetensors``.

    ``teachers`` empty: the model itself, in float. ``resume`` goes on with what was begun in ``out``. Raises
    ConfigError, before any work, for a model that is no float .safetensors file, too few photos, or a folder that is
    not empty; and KeyboardInterrupt where the training was stopped, whose checkpoint is kept.
    """
    settings = settings or AwareSettings()
    network = float_network(model)
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already", hint="choose a new folder with --out, or go on with --resume")
    config = config or aware_config(model)
    chosen = config.distillation.teachers or tuple(str(path) for path in teachers or (model,))
    config = replace(config, distillation=replace(config.distillation, teachers=chosen))
    photos = data if isinstance(data, Photos) else read_photos(data)
    check_teachers(chosen, network.spec, photos.train.class_names)
    start = out / "start.safetensors"
    if resume and start.exists():
        _check_same_rounding(start, rounded_spec(network.spec, settings))
    else:
        say(f"fitting the scales to {settings.photos} training photos")
        first = rounded_network(network, photos.train, settings, size=config.image_size)
        save_model(first, first.spec, start)
    result = run_training(photos, None, start, config, out / "train", resume=resume, trackers=trackers)
    if result.ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    kept, target = out / "aware.safetensors", out / "aware.onnx"
    taught = load_model(result.best)
    save_model(taught, taught.spec, kept)
    sample = [record.path for record in photos.validation][:8]
    exported = export_quantized(taught, taught.spec, target, photos=sample)
    say("measuring the float model, the rounded one before training, and the int8 file")
    device = Ranks.from_environment().pick_device(config.device)

    def in_torch(one: Network, path: Path) -> Accuracy:
        return accuracy(Detector(TorchEngine(one, device=device)), path, photos.validation, size=config.image_size)

    return QuantizeAwareResult(
        target,
        kept,
        in_torch(network, model),
        in_torch(load_model(start), start),
        accuracy(Detector(OnnxEngine(target)), target, photos.validation, size=config.image_size),
        exported.parity,
    )


def float_network(model: Path) -> Network:
    """The network of a float model file. Raises ConfigError for another kind of file or a model that rounds already."""
    if model.suffix != ".safetensors":
        raise ConfigError(
            f"{model}: only .safetensors models can learn on", hint="quantize the file that it was exported from"
        )
    network = load_model(model)
    if network.spec.architecture.quantization is not None:
        raise ConfigError(f"{model}: is quantized already", hint="start from the float model that it was made of")
    return network


def _check_same_rounding(start: Path, wanted: ModelSpec) -> None:
    """Raise ConfigError where the run to resume began with another architecture, or rounds otherwise."""
    if read_spec(start).architecture != wanted.architecture:
        raise ConfigError(
            f"{start}: this run began with another model, or rounds otherwise",
            hint="resume with the same model and settings, or choose a new folder with --out",
        )


def rounded_spec(spec: ModelSpec, settings: AwareSettings) -> ModelSpec:
    """The spec of the network that rounds."""
    quantization = Quantization(settings.weight_bits, settings.before_activation, settings.float_layers)
    return spec.replace(architecture=replace(spec.architecture, quantization=quantization), metrics={})


def rounded_network(network: Network, photos: Dataset, settings: AwareSettings, *, size: int) -> Network:
    """A copy of a float network that rounds, its scales fitted to a sample of the photos at ``size`` pixels.

    Raises ConfigError for too few photos or an unknown layer.
    """
    records = calibration_sample(photos, settings.photos, settings.seed)
    result = Network(rounded_spec(network.spec, settings)).eval()
    result.load_state_dict(network.fused().state_dict(), strict=False)  # the scales are not in it
    engine = TorchEngine(result, fuse=False)
    with settling(result):
        for canvas in calibration_canvases(records, size):
            engine.predict(canvas)
    return result


def accuracy(detector: Detector, path: Path, photos: Dataset, *, size: int | None = None) -> Accuracy:
    """A detector on labelled photos, and the bytes of its file; ``size`` None is the detector's own."""
    metrics, _ = evaluate_detector(detector, photos, size=size)
    return Accuracy(metrics.map50, metrics.map50_95, path.stat().st_size)

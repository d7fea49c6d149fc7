"""A whole training run from a folder of photos: what ties data, model, training and evaluation together."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from herder.api.run_photos import Photos, read_photos, taught_photos
from herder.api.teachers import read_teachers, teaching_loss
from herder.data.formats import read_dataset
from herder.data.pipeline import TrainingPipeline
from herder.data.records import Dataset
from herder.data.sampling import class_weights
from herder.errors import ConfigError, HerderError, MissingExtraError
from herder.evaluation import evaluate_detector
from herder.inference import Detector
from herder.model.architecture_files import is_architecture_file, read_input_size
from herder.model.engine import TorchEngine
from herder.model.families import make_spec
from herder.model.files import load_model, read_spec
from herder.model.losses import DetectionLoss, LossConfig
from herder.model.network import Network
from herder.model.pretrained import calibrate_batchnorm, import_weights, norms_are_folded
from herder.model.transfer import merge_classes, transfer_weights
from herder.spec import ModelSpec
from herder.training import distributed
from herder.training.config import TrainConfig
from herder.training.interfaces import Ending, TrainResult
from herder.training.loop import train
from herder.training.reproducibility import seed_everything
from herder.training.run import RunSettings, find_run, new_run_folder, write_run_facts
from herder.training.terminal import TerminalTracker
from herder.training.tracking import Tracker

DEFAULT_MODEL = "herder-n"

CALIBRATION = 4
"""Batches of training photos that new classes' rows and an imported file's norms are fitted to."""

PASTED = 0.5
"""Share of the training pictures into which donors are pasted where the settings leave it at 0."""


def read_donors(config: TrainConfig) -> tuple[Dataset | None, TrainConfig, list[str]]:
    """The dataset that copy-paste takes animals from, the settings with copy-paste switched on, and what to say of it.

    None where the settings name none. Raises DataError where there is no such dataset.
    """
    if not config.paste_from:
        return None, config, []
    donors = read_dataset(Path(config.paste_from))
    notes = [f"copy-paste takes animals from {config.paste_from}: {len(donors)} photos"]
    if not config.augmentation.copy_paste:
        config = replace(config, augmentation=replace(config.augmentation, copy_paste=PASTED))
        notes.append(f"copy-paste happens in {PASTED:.0%} of the pictures: --set augmentation.copy_paste changes that")
    return donors, config, notes


def base_config(init: Path | None, model: str | None = None) -> TrainConfig:
    """The defaults for a run: from scratch, or for fine-tuning at the image size that ``init`` was trained with.

    From scratch an architecture file decides the image size, where ``model`` is the path of one.
    """
    if init is None:
        spec = make_spec(model or DEFAULT_MODEL, ("animal",))
        size = read_input_size(Path(model)) if model and is_architecture_file(model) else None
        return replace(TrainConfig(), loss=_loss_weights(spec), image_size=size or TrainConfig.image_size)
    if init.suffix != ".safetensors":  # a published YOLOX file
        return replace(TrainConfig.fine_tuning(), loss=LossConfig.yolox())
    spec = read_spec(init)
    return replace(TrainConfig.fine_tuning(), image_size=spec.input_size, loss=_loss_weights(spec))


def _loss_weights(spec: ModelSpec) -> LossConfig:
    return LossConfig.yolox() if spec.architecture.objectness else LossConfig()


@dataclass(frozen=True)
class Start:
    """The network to train, the one that its weights come from if there is one, and a sentence on that."""

    network: Network
    source: Network | None
    sentence: str


def build_network(model: str | None, init: Path | None, photos: Dataset, config: TrainConfig) -> Start:
    """Build the network to train and give it its starting weights.

    Raises ConfigError for an unknown model, ModelFileError when ``init`` cannot be read or does not fit.
    """
    facts: dict[str, Any] = {"input_size": config.image_size, "dataset_fingerprint": photos.fingerprint()}
    if init is None:
        spec = make_spec(model or DEFAULT_MODEL, photos.class_names).replace(**facts)
        return Start(Network(spec), None, "random start")
    source = load_model(init) if init.suffix == ".safetensors" else import_weights(init, model=model)
    old = source.spec
    if model is None or model == old.name:
        # A temperature was fitted to the old weights.
        spec = old.tempered(1.0).replace(class_names=photos.class_names, metrics={}, **facts)
    else:
        spec = make_spec(model, photos.class_names).replace(**facts)
    network = Network(spec.replace(origin=old.origin or f"{old.name} ({init.name})"))
    report = transfer_weights(network, source.state_dict(), old.class_names)
    left = f", {len(report.left)} start afresh" if report.left else ""
    classes = "; ".join(f"{name} from {origin}" for name, origin in report.classes.items())
    sentence = f"start from {init}: {report.copied} tensors taken over{left}; {classes}"
    return Start(network, None if report.left else source, sentence)


def fit_to_photos(start: Start, pipeline: TrainingPipeline) -> None:
    """Fit new classes' rows and folded norms to the training photos, without their labels."""
    network, source = start.network, start.source
    folded = norms_are_folded(network)
    new = source is not None and set(network.spec.class_names) - set(source.spec.class_names)
    if not (folded or new):
        return
    batches = islice(pipeline.epoch(0, mosaic=False), CALIBRATION)
    images = torch.cat([batch.images for batch in batches])
    if source is not None and new:
        merge_classes(network, source, images)
    if folded:
        calibrate_batchnorm(network, images)


def evaluator(
    validation: Dataset, config: TrainConfig, device: torch.device
) -> Callable[[Network], Mapping[str, float]]:
    """The function that the loop calls for the averaged network after an epoch."""

    def evaluate(network: Network) -> Mapping[str, float]:
        detector = Detector(TorchEngine(network, device=device))
        metrics, _ = evaluate_detector(detector, validation, size=config.image_size, batch=config.batch_size)
        return metrics.as_dict()

    return evaluate


def check_packages() -> None:
    """Raise MissingExtraError where what training evaluates with is not installed: before hours of it, not after."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise MissingExtraError("training", "train")


def run_training(
    data: Path | Photos,
    model: str | None,
    init: Path | None,
    config: TrainConfig,
    out: Path | None = None,
    *,
    resume: bool = False,
    trackers: Sequence[Tracker] | None = None,
    console: Console | None = None,
) -> TrainResult:
    """Train on the photos at ``data``, a path or photos already read, and return what was reached.

    ``model`` is a name or the path of an architecture file; None is the model of ``init``, or herder-n. ``out`` is the
    run folder, the first free ``runs/train-N`` where None. ``resume`` goes on with the run in ``out``, if there
    is one. ``trackers`` None shows progress in the terminal. Raises DataError, ConfigError, ModelFileError and
    ResourceError as the rooms below do.
    """
    check_packages()
    ranks = distributed.Ranks.from_environment()
    console = console or Console(stderr=True, soft_wrap=True, quiet=not ranks.first)
    photos = data if isinstance(data, Photos) else read_photos(data)
    if config.batch_size % ranks.world_size:
        raise ConfigError(
            f"batch_size: {config.batch_size} photos do not divide over {ranks.world_size} processes",
            hint="make it a multiple of their number",
        )
    donors, config, notes = read_donors(config)
    device = ranks.pick_device(config.device)
    networks = read_teachers(config.distillation.teachers)
    photos = taught_photos(photos, config, device)
    seed_everything(config.seed)
    start = build_network(model, init, photos.train, config)
    network = start.network
    pipeline = TrainingPipeline(
        photos.train,
        size=config.image_size,
        batch_size=config.batch_size // ranks.world_size,
        augmentation=config.augmentation,
        seed=config.seed,
        workers=config.workers,
        balanced=config.balanced,
        rank=ranks.rank,
        world_size=ranks.world_size,
        donors=donors,
    )
    fit_to_photos(start, pipeline)
    weights = torch.from_numpy(class_weights(photos.train)).to(device) if config.class_weighted else None
    labels = DetectionLoss(network.spec, config.loss, class_weight=weights, count=distributed.shared_count)
    loss = teaching_loss(labels, networks, network, config.distillation, device=device, several=ranks.several)
    # The folder comes last: what can go wrong before leaves none behind.
    # An architecture file is the model's name: its own is but the file's, and resuming reads the file again.
    name = model if model and is_architecture_file(model) else network.spec.name
    settings = RunSettings(str(photos.source), name, str(init or ""), config)
    folder = _folder(out, resume, settings, photos, ranks)
    size = sum(p.numel() for p in network.parameters())
    about = (
        f"{network.spec.name}: {size:,} parameters, {len(photos.train)} photos to train on, {len(photos.validation)} "
        f"to validate, {config.image_size} pixels, on {device}; run folder {folder}"
    )
    for line in (*photos.notes, *notes, start.sentence, about):
        console.print(line, markup=False, highlight=False)
    with pipeline, distributed.joined(ranks, device):
        result = train(
            network,
            network.spec,
            pipeline,
            config,
            folder,
            evaluate=evaluator(photos.validation, config, device),
            loss=loss,
            trackers=[TerminalTracker()] if trackers is None else trackers,
            resume=resume,
        )
        if ranks.first and result.ending is not Ending.INTERRUPTED and result.best.exists():
            _draw(result, photos, pipeline, console)
    return result


def _folder(out: Path | None, resume: bool, settings: RunSettings, photos: Photos, ranks: distributed.Ranks) -> Path:
    """The run's folder; the first rank makes it, and the others need its name."""
    run = find_run(out) if resume else None
    if run is not None:
        return run
    if out is None and ranks.several:
        raise ConfigError("out: several processes need the run folder by name", hint="give --out")
    if out is not None and not ranks.first:
        return out
    folder = new_run_folder(out)
    write_run_facts(folder, settings, photos.train, photos.validation)
    return folder


def _draw(result: TrainResult, photos: Photos, pipeline: TrainingPipeline, console: Console) -> None:
    """Plots of the finished run; a failure there is told and costs nothing else."""
    from herder.api.training_plots import write_plots

    try:
        write_plots(result, photos.validation, pipeline)
    except HerderError as error:
        console.print(f"no plots: {error}", markup=False, highlight=False)

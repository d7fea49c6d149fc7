"""The few functions that most people need from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herder.catalogue import Use, for_engine, resolve
from herder.errors import ConfigError, ModelFileError
from herder.inference import Detector, Engine

if TYPE_CHECKING:
    from herder.edge.export import ExportResult
    from herder.evaluation.metrics import Metrics
    from herder.training.interfaces import TrainResult

ENGINES = ("auto", "torch", "onnx", "openvino")


def load(path: str | Path, *, engine: str = "auto", threads: int | None = None, tta: str | None = None) -> Detector:
    """Open a model file: ``.safetensors`` runs in torch, ``.onnx`` in ONNX Runtime or OpenVINO, ``.xml`` in OpenVINO.

    The name of a model that ships with herder does as well: ``herder.load("alpaca")``.
    ``engine`` is ``auto``, ``torch``, ``onnx`` or ``openvino``; ``threads`` the number of CPU threads, all physical
    cores where None; ``tta`` further views of each photo, such as ``flip,480``: mirrored, and at 480 pixels. Raises
    ModelFileError for a file that is no herder model, ConfigError for an engine or views that it cannot run.
    """
    made = _open(for_engine(resolve(path), engine), engine, threads)
    if tta is None:
        return Detector(made)
    from herder.augmented_inference import AugmentedDetector

    return AugmentedDetector(made, tta)


def _open(path: Path, engine: str, threads: int | None) -> Engine:
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine!r} is not known", hint=f"use one of {', '.join(ENGINES)}")
    if path.suffix in (".onnx", ".xml"):
        if engine == "torch":
            raise ConfigError(f"{path}: torch cannot run an exported file", hint="use --engine onnx or openvino")
        from herder.edge.engine_files import open_engine

        return open_engine(path, engine, threads)
    if path.suffix == ".safetensors":
        if engine not in ("auto", "torch"):
            raise ConfigError(f"{path}: {engine} cannot run a safetensors file", hint=f"`herder export {path}` first")
        import torch

        from herder.model.engine import TorchEngine
        from herder.model.files import load_model

        if threads:
            torch.set_num_threads(threads)
        return TorchEngine(load_model(path))
    if not path.exists():
        raise ModelFileError(f"{path}: no such file", hint="check the path, or train a model first")
    raise ModelFileError(
        f"{path}: unknown kind of model file {path.suffix!r}", hint="wanted .safetensors, .onnx or .xml"
    )


def train(
    data: str | Path,
    *,
    model: str | None = None,
    init: str | Path | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a detector on a folder of labelled photos; the Python twin of ``herder train``.

    ``model`` None is the one of ``init``, or ``herder-n``. ``settings`` are fields of
    ``herder.training.config.TrainConfig``. Returns what the run reached and where its files are.
    """
    from herder.api.training_run import base_config, run_training
    from herder.training.config import load_config

    start = resolve(init, Use.WEIGHTS) if init else None
    config = load_config(None, dict(settings or {}), base=base_config(start, model))
    return run_training(Path(data), model, start, config, Path(out) if out else None)


def evaluate(model: str | Path | Detector, data: str | Path, *, split: str = "val", size: int | None = None) -> Metrics:
    """Measure a model on one split of a labelled folder: COCO figures, and precision and recall at the best
    threshold."""
    from herder.data.formats import read_dataset
    from herder.evaluation import evaluate_detector

    detector = model if isinstance(model, Detector) else load(model)
    metrics, _ = evaluate_detector(detector, read_dataset(Path(data), split=split), size=size)
    return metrics


def export(model: str | Path, out: str | Path, *, nms: bool = False, half: bool = False) -> ExportResult:
    """Write a model file as ONNX (``.onnx``) or OpenVINO's files (``.xml``), checked to give the same detections.

    ``nms`` gives finished detections from the graph, ``half`` stores weights as float16. Raises ModelFileError where
    the file does not agree with torch.
    """
    from herder.edge.export import export_onnx, export_openvino
    from herder.model.files import load_model

    network = load_model(resolve(model, Use.WEIGHTS))
    if network.spec.architecture.quantization is not None and not half:
        from herder.edge.export_quantized import export_quantized

        return export_quantized(network, network.spec, Path(out), nms=nms)
    write = export_openvino if Path(out).suffix == ".xml" else export_onnx
    return write(network, network.spec, Path(out), nms=nms, half=half)

"""Two models measured beside each other: what they cost, what they reach, and how long each engine takes for them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from herder.api.run_photos import Photos
from herder.edge.engine_files import open_engine
from herder.edge.export import export_onnx
from herder.edge.paired_timing import Ratio, paired_milliseconds, paired_ratio
from herder.edge.parity import MOST_PHOTOS
from herder.errors import MissingExtraError
from herder.evaluation import evaluate_detector
from herder.inference import Detector, Engine
from herder.model.engine import TorchEngine
from herder.model.files import load_model
from herder.model.flops import count_work
from herder.model.sparsity import sparsity, zipped_bytes

ROUNDS = 12
"""Rounds in which an engine's two models take turns."""

ENGINES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Measured:
    """A model as it is measured here."""

    parameters: int
    flops: int
    """For one photo on the square canvas; two for each multiply-accumulate."""
    map50: float
    map50_95: float
    file_bytes: int
    zipped_bytes: int
    sparsity: float
    """Share of the convolutions' weights that are zero."""


@dataclass(frozen=True)
class EngineSpeed:
    """Both models in one engine: the network alone, one photo on the square canvas, on the CPU."""

    engine: str
    before_ms: float
    """Median of the rounds."""
    after_ms: float
    ratio: Ratio
    """After to before, round by round."""


def measure_model(path: Path, photos: Photos, size: int, device: torch.device | str = "cpu") -> Measured:
    """The model file's cost, and its accuracy on the validation photos, with canvases of ``size`` pixels."""
    network = load_model(path)
    work = count_work(network, size, size)
    metrics, _ = evaluate_detector(Detector(TorchEngine(network, device=device)), photos.validation, size=size)
    numbers = metrics.as_dict()
    return Measured(
        work.parameters,
        work.flops,
        numbers["mAP50"],
        numbers["mAP50_95"],
        path.stat().st_size,
        zipped_bytes(path),
        sparsity(network),
    )


def compare_speed(
    before: Path, after: Path, onnx: Path, photos: Photos, say: Callable[[str], None] = lambda _: None
) -> tuple[EngineSpeed, ...]:
    """Time both models in torch and in each engine that is installed; the pruned one's export stays at ``onnx``.

    Every export is compared with torch on validation photos first. An engine that is not installed is told by ``say``
    and left out. Both models see the canvas of the pruned one, so that no change of size passes for a gain.
    """
    networks = [load_model(before), load_model(after)]
    engines: dict[str, list[Engine]] = {"torch": [TorchEngine(network) for network in networks]}
    samples = [record.path for record in photos.validation.records[:MOST_PHOTOS]]
    with tempfile.TemporaryDirectory(prefix="herder-prune-") as folder:
        files = [Path(folder) / "before.onnx", onnx]
        try:
            results = [export_onnx(n, n.spec, file, photos=samples) for n, file in zip(networks, files, strict=True)]
            say(str(results[1]))
            for name, shown in ENGINES.items():
                try:
                    engines[shown] = [open_engine(file, name) for file in files]
                except MissingExtraError as error:
                    say(f"{shown} is left out: {error.message}; {error.hint}")
        except MissingExtraError as error:
            say(f"timed in torch alone: {error.message}; {error.hint}")
        return time_engines(engines, networks[1].spec.input_size)


def time_engines(engines: dict[str, list[Engine]], size: int, rounds: int = ROUNDS) -> tuple[EngineSpeed, ...]:
    """Median milliseconds and ratio of each engine's two models on a canvas of ``size`` pixels.

    The two take turns, so that a busy moment hits both.
    """
    speeds = []
    for name, pair in engines.items():
        times = paired_milliseconds([_run(engine, size) for engine in pair], rounds=rounds)  # (rounds, 2)
        before, after = np.median(times, axis=0).tolist()
        speeds.append(EngineSpeed(name, before, after, paired_ratio(times[:, 1], times[:, 0])))
    return tuple(speeds)


def _run(engine: Engine, size: int) -> Callable[[], object]:
    canvas = np.full((1, size, size, 3), 114, np.uint8)
    return lambda: engine.predict(canvas)

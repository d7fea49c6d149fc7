"""``herder benchmark`` from Python: what a model costs in each engine, each configuration in a fresh process."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

from herder.api.cost_artifacts import Artifacts
from herder.api.cost_process import CostJob, open_detector
from herder.api.fresh_process import run_fresh
from herder.data.records import Dataset
from herder.edge.threads import physical_cores
from herder.errors import ConfigError
from herder.evaluation.cost import Configuration, Cost, Latency, LeftOut, Machine, Measurement
from herder.evaluation.detector import evaluate_detector
from herder.evaluation.not_computed import NotComputed
from herder.inference import STRIDE
from herder.training.run import environment_facts

ENGINES = ("torch", "onnx", "openvino")

_MODULES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class CostSettings:
    """What is to be measured: every combination of these."""

    engines: tuple[str, ...] = ()
    """Out of ``ENGINES``; empty: all that can run the model."""
    threads: tuple[int, ...] = ()
    """CPU threads; empty: one for each physical core."""
    batches: tuple[int, ...] = (1,)
    sizes: tuple[int, ...] = ()
    """Longest sides in pixels that the network sees; empty: the model's own."""
    device: str = "auto"
    """``cpu``, ``cuda`` (torch alone) or ``auto``: the CPU, and CUDA too where there is one."""
    timings: int = 100
    """Batches timed at least in each configuration."""
    warmup: int = 3
    """Batches of each canvas shape that run before the clock does, beside the first."""
    streams: tuple[int, ...] = (1,)
    """Batches on their way at a time; more than one in ONNX Runtime and OpenVINO alone."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.engines if name not in ENGINES]
        if unknown:
            raise ConfigError(f"engine {unknown[0]!r} is not known", hint=f"use {', '.join(ENGINES)}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"device {self.device!r} is not known", hint="use auto, cpu or cuda")
        for name, values in (
            ("threads", self.threads),
            ("batch", self.batches),
            ("streams", self.streams),
            ("timings", (self.timings,)),
        ):
            if any(value < 1 for value in values):
                raise ConfigError(f"{name} {min(values)} is not positive", hint="use 1 or more")
        for size in self.sizes:
            if size < STRIDE or size % STRIDE:
                raise ConfigError(f"image size {size} is not a multiple of {STRIDE}", hint="use 416, say")


def measure_cost(
    model: Path,
    photos: Sequence[Path],
    settings: CostSettings | None = None,
    *,
    labelled: Dataset | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Cost:
    """Measure ``model`` on ``photos`` in every configuration, one fresh process after the other.

    A ``.safetensors`` model is exported for ONNX Runtime and OpenVINO. With ``labelled`` photos every file is also
    evaluated in every engine and size: accuracy and speed of the same bytes. ``progress`` is called with what is being
    counted, how many are done, and how many there are. What cannot run (an engine that is not installed, too little
    memory) is left out and said. Raises ConfigError where nothing can run or a setting has no meaning, ModelFileError
    for a broken model, DataError for a photo that cannot be read.
    """
    settings = settings or CostSettings()
    if not photos:
        raise ConfigError("benchmark: no photos to measure on", hint="name a folder of photos")
    machine = _machine()  # before anything runs: the load is that of others
    with tempfile.TemporaryDirectory(prefix="herder-cost-") as folder:
        artifacts = Artifacts(model, Path(folder))
        plan = _plan(artifacts, settings, bool(machine.cuda))
        measured: list[Measurement] = []
        left_out: list[LeftOut] = []
        accuracy: dict[tuple[str, str, int], tuple[float, float]] = {}
        for done, configuration in enumerate(plan):
            if progress:
                progress("configurations", done, len(plan))
            reason = artifacts.obstacle(configuration.engine, configuration.streams) or _missing(configuration.engine)
            result = reason or _run(configuration, artifacts, photos, settings, Path(folder))
            if isinstance(result, str):
                left_out.append(LeftOut(configuration, result))
                continue
            if labelled:
                key = (configuration.engine, configuration.device, configuration.size)
                if key not in accuracy:
                    accuracy[key] = _accuracy(configuration, artifacts, labelled)
                result = replace(result, map50=_number(accuracy[key][0]), map50_95=_number(accuracy[key][1]))
            measured.append(result)
        if progress:
            progress("configurations", len(plan), len(plan))
        used = {one.sha256 for one in measured}
        files = tuple(artifact for artifact in artifacts.known() if artifact.sha256 in used)
    if not measured:
        reasons = "; ".join(dict.fromkeys(one.reason for one in left_out))
        raise ConfigError(f"{model}: nothing could be measured: {reasons}", hint="choose other --engines")
    return Cost(artifacts.spec.name, machine, files, tuple(measured), tuple(left_out))


def _plan(artifacts: Artifacts, settings: CostSettings, cuda: bool) -> list[Configuration]:
    sizes = settings.sizes or (artifacts.fixed_size or artifacts.spec.input_size,)
    threads = settings.threads or (physical_cores(),)
    plan = []
    for engine, size in product(settings.engines or artifacts.engines, sizes):
        if settings.device != "cuda":
            ways = product(threads, settings.streams, settings.batches)
            plan += [Configuration(engine, "cpu", t, b, size, s) for t, s, b in ways]
        if engine == "torch" and (settings.device == "cuda" or (settings.device == "auto" and cuda)):
            # The processor only feeds the device: its threads are no matter worth a row each.
            plan += [Configuration(engine, "cuda", threads[0], b, size) for b in settings.batches]
    if settings.device == "cuda" and not (plan and cuda):
        why = "there is no CUDA device" if not cuda else "only torch runs on CUDA"
        raise ConfigError(f"device cuda: {why}", hint="use --device cpu")
    return plan


def _missing(engine: str) -> str:
    """Why this engine cannot be loaded, "" where it can."""
    if importlib.util.find_spec(_MODULES[engine]) is not None:
        return ""
    return f"{_MODULES[engine]} is not installed: pip install 'herder[{engine}]'"


def _run(
    configuration: Configuration, artifacts: Artifacts, photos: Sequence[Path], settings: CostSettings, folder: Path
) -> Measurement | str:
    """One configuration in a process of its own; why it gave nothing, where it did not."""
    artifact, path = artifacts.of(configuration.engine)
    c = configuration
    names = tuple(str(photo.resolve()) for photo in photos)
    job = CostJob(
        str(path.resolve()),
        c.engine,
        c.device,
        c.threads,
        c.batch,
        c.size,
        names,
        settings.timings,
        settings.warmup,
        c.streams,
    )
    result = run_fresh(job, folder)
    if isinstance(result, str):
        return result
    return _measurement(configuration, artifact.sha256, artifacts.flops(c.engine, c.size), result)


def _measurement(c: Configuration, sha256: str, flops: int | NotComputed, result: dict[str, Any]) -> Measurement:
    speed, timings = result["speed"], int(result["speed"]["timings"])

    def latency(part: str) -> Latency:
        p50, p95, p99 = (float(speed[f"{part}_ms_p{percent}"]) for percent in (50, 95, 99))
        return Latency.of(p50, p95, p99, timings)

    no_labels = NotComputed("accuracy was not asked for")
    return Measurement(
        configuration=c,
        sha256=sha256,
        flops=flops,
        photos=int(speed["photos"]),
        timings=timings,
        latency_ms=latency("photo_to_boxes"),
        network_ms=latency("network"),
        frames_per_second=float(speed["frames_per_second"]),
        network_frames_per_second=float(speed["network_frames_per_second"]),
        peak_rss_bytes=int(result["peak"]),
        base_rss_bytes=int(result["base"]),
        peak_cuda_bytes=NotComputed("it ran on the processor") if result["cuda"] is None else int(result["cuda"]),
        map50=no_labels,
        map50_95=no_labels,
    )


def _accuracy(c: Configuration, artifacts: Artifacts, labelled: Dataset) -> tuple[float, float]:
    _, path = artifacts.of(c.engine)
    metrics, _ = evaluate_detector(open_detector(path, c.engine, c.device), labelled, size=c.size)
    return metrics.map50, metrics.map50_95


def _number(value: float) -> float | NotComputed:
    return value if value == value else NotComputed("no labelled box counts")


def _machine() -> Machine:
    facts = environment_facts()
    packages = {name: text for name, text in facts["packages"].items() if name in ("herder", "torch", "numpy")}
    for name in ("onnxruntime", "openvino"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Machine(
        str(facts["processor"]),
        physical_cores(),
        str(facts["system"]),
        str(facts["python"]),
        tuple(packages.items()),
        tuple(facts["cuda"]),
        _others(),
    )


def _others() -> float | NotComputed:
    """Logical cores that other programs keep busy while this one sleeps for a moment."""
    try:
        import psutil
    except ImportError:
        return NotComputed("psutil is not installed: pip install 'herder[lab]'")
    return float(psutil.cpu_percent(interval=0.5) * (psutil.cpu_count() or 1) / 100)

"""Measures a candidate beside the model that was given: mAP on the same photos, time in turns, size and memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.api import load
from herder.api.cost_process import CostJob
from herder.api.fresh_process import run_fresh
from herder.api.optimize_plan import FilePlan
from herder.api.optimize_result import Candidate, Input
from herder.boxes import Letterbox
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.edge.engine_files import file_bytes
from herder.edge.paired_timing import Ratio, paired_milliseconds, paired_ratio
from herder.errors import ConfigError, ResourceError
from herder.evaluation.comparison.measured_sides import MeasuredSides
from herder.evaluation.detector import photos_read
from herder.evaluation.prediction_store import PredictionStore, file_sha256, predictions_of
from herder.evaluation.resampled_precision import group_numbers
from herder.evaluation.tables import detection_table, truth_table
from herder.images import read_image
from herder.inference import STRIDE, Detector

TIMED_PHOTOS = 12
"""Photos that are timed, spread evenly over those there are."""

ROUNDS = 24
"""Turns at least; the interval of their median is a few per cent wide on a quiet machine."""

WARMUP = 2
"""Turns before the clock for each canvas shape: OpenVINO compiles each."""

MEMORY_TIMINGS = 12
"""Batches in the process whose memory is measured; more do not change its peak."""

DRAWS = 1000
"""Of photos, for the interval of the drop."""

PREDICTIONS = "predictions"
"""The folder in the output folder that keeps what each candidate found."""


@dataclass(eq=False)
class Bench:
    """The model that was given, and the photos that it and all candidates are measured on.

    It stands here as its plain float32 export in ONNX Runtime: what everybody has without any effort. Torch would be a
    slow rival, and a nervous one on a machine that other programs use.
    """

    model: Path
    """As it was given."""
    plain: Path
    """Its float32 ONNX file."""
    photos: Dataset
    out: Path
    threads: int
    seed: int = 0
    on_problem: Callable[[Problem], None] = lambda _: None
    progress: Callable[[str, int, int], None] | None = None

    @cached_property
    def detector(self) -> Detector:
        """The plain export."""
        return load(self.plain, engine="onnx", threads=self.threads)

    @cached_property
    def found(self) -> list[Detections]:
        """What the plain export finds on each photo."""
        return self._found(self.plain, self.detector, "the model as given")

    @cached_property
    def read(self) -> list[int]:
        """Indices of the photos that can be read; the others are told once."""
        problems: list[Problem] = []
        store = PredictionStore(self.out / PREDICTIONS)
        predictions_of(self.detector, self.photos, store, file_sha256(self.plain), on_problem=problems.append)
        for problem in problems:
            self.on_problem(problem)
        return photos_read(self.photos, problems)

    @cached_property
    def timed(self) -> list[NDArray[np.uint8]]:
        """The photos that are timed, decoded."""
        chosen = self.read[:: max(1, len(self.read) // TIMED_PHOTOS)][:TIMED_PHOTOS]
        return [read_image(self.photos[i].path) for i in chosen]

    def input(self) -> Input:
        """Measure the model as it was given. Raises ConfigError where no photo has a labelled box."""
        sides = self._sides(self.found)
        map50, map50_95, _ = sides.values()[0].tolist()
        if not np.isfinite(map50):
            raise ConfigError("optimize: no labelled box among the validation photos", hint="label some first")
        size = self.detector.engine.fixed_size or self.detector.spec.input_size
        empty, peak = self.memory(self.plain, "onnx", size)
        return Input(
            self.detector.spec.name,
            file_sha256(self.model),
            file_bytes(self.model),
            size,
            map50,
            map50_95,
            peak,
            empty,
        )

    def candidate(self, plan: FilePlan, path: Path, engine: str) -> Candidate:
        """Measure the file at ``path`` in ``engine``. Raises what opening and running it raise."""
        detector = load(path, engine=engine, threads=self.threads)
        sides = self._sides(self._found(path, detector, plan.label(engine)))
        map50, map50_95, _ = sides.values()[1].tolist()
        # Opened anew: OpenVINO takes a slower network once it has seen many canvas shapes.
        ratio, input_ms = self.time(load(path, engine=engine, threads=self.threads))
        _, peak = self.memory(path, engine, plan.size)
        drop = -float(sides.difference()[0])
        return Candidate(
            f"{plan.key}/{engine}",
            plan.label(engine),
            plan.strategies,
            path.relative_to(self.out).as_posix(),
            engine,
            plan.size,
            plan.form.precision,
            map50,
            map50_95,
            drop,
            self._drop_bounds(sides, drop),
            ratio,
            input_ms,
            file_bytes(path),
            file_sha256(path),
            peak,
        )

    def time(self, detector: Detector) -> tuple[Ratio, float]:
        """Time from a decoded photo to boxes for each millisecond of the input model, and its median in these turns."""
        times = []
        for group in self._by_canvas(detector):
            rounds = max(3, round(ROUNDS * len(group) / len(self.timed)))
            runs = [self._taker(one, group) for one in (self.detector, detector)]
            times.append(paired_milliseconds(runs, rounds=rounds, warmup=WARMUP))
        taken = np.concatenate(times)  # (rounds, 2)
        return paired_ratio(taken[:, 1], taken[:, 0], seed=self.seed), float(np.median(taken[:, 0]))

    def memory(self, path: Path, engine: str, size: int) -> tuple[int, int]:
        """Bytes that a fresh process holds before it opens the model, and at most while it detects.

        Raises ResourceError where the process fails.
        """
        names = tuple(str(self.photos[i].path.resolve()) for i in self.read[:TIMED_PHOTOS])
        job = CostJob(str(path.resolve()), engine, "cpu", self.threads, 1, size, names, MEMORY_TIMINGS, 1)
        with tempfile.TemporaryDirectory(prefix="herder-memory-") as folder:
            result = run_fresh(job, Path(folder))
        if isinstance(result, str):
            raise ResourceError(f"{path}: its memory cannot be measured: {result}", hint="free some memory")
        return int(result["base"]), int(result["peak"])

    def _found(self, path: Path, detector: Detector, label: str) -> list[Detections]:
        store = PredictionStore(self.out / PREDICTIONS)
        told = None if self.progress is None else partial(self.progress, label)
        sha = file_sha256(path)
        return predictions_of(detector, self.photos, store, sha, progress=told, on_problem=lambda _: None)[1]

    def _sides(self, other: list[Detections]) -> MeasuredSides:
        kept = self.photos.select(self.read)
        tables = [detection_table([found[i] for i in self.read]) for found in (self.found, other)]
        groups = group_numbers([record.group for record in kept])
        classes = len(self.photos.class_names)
        return MeasuredSides.of(truth_table(kept.records), tables[:1], tables[1:], classes, groups)

    def _drop_bounds(self, sides: MeasuredSides, drop: float) -> tuple[float, float]:
        """95 % percentile interval of the drop of mAP50 over photos drawn anew, the same for both models."""
        drawn = -sides.bootstrap(DRAWS, self.seed, self.threads)[:, 0]
        known = drawn[np.isfinite(drawn)]  # a draw without any labelled box says nothing
        low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (drop, drop)
        return float(low), float(high)

    def _by_canvas(self, detector: Detector) -> list[list[NDArray[np.uint8]]]:
        """The timed photos in groups that share a canvas, so that no group waits for another's compilation."""
        stride = None if detector.engine.fixed_size else STRIDE
        size = detector.engine.fixed_size or detector.spec.input_size
        groups: dict[tuple[int, int], list[NDArray[np.uint8]]] = {}
        for photo in self.timed:
            fit = Letterbox.fit(photo.shape[1], photo.shape[0], size, stride)
            groups.setdefault((fit.canvas_height, fit.canvas_width), []).append(photo)
        return list(groups.values())

    @staticmethod
    def _taker(detector: Detector, photos: list[NDArray[np.uint8]]) -> Callable[[], object]:
        """Detects in the next of these photos at each call."""
        turn = 0

        def run() -> object:
            nonlocal turn
            turn += 1
            return detector.detect(photos[(turn - 1) % len(photos)])

        return run

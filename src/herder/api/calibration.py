"""``herder calibrate`` from Python: measure a model's scores, fit a temperature, write the model with it.

The weights stay as they are, bit by bit: only what the file says about itself changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from herder.data.records import Dataset, Problem
from herder.errors import ConfigError, DataError, MissingExtraError, ModelFileError
from herder.evaluation.calibration import FLOOR, Calibration, measure_calibration
from herder.evaluation.detector import SCORE_FLOOR, UNREADABLE, evaluate_detector, log_problem
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import to_plain
from herder.evaluation.prediction_store import file_sha256
from herder.evaluation.resampled_precision import group_numbers
from herder.evaluation.tables import detection_table, truth_table
from herder.files import write_atomic
from herder.spec import METADATA_KEY, TEMPERATURES, ModelSpec
from herder.tensor_files import read_tensors


@dataclass(frozen=True)
class CalibrationSettings:
    """How scores are measured."""

    floor: float = FLOOR
    """Detections from this score on are looked at."""
    iou: float = 0.5
    """Overlap with a labelled box from which a detection is right."""
    seed: int = 0
    """Decides which photos lie in which half."""
    size: int | None = None
    """Longest side in pixels that the network sees; None: the model's own."""
    batch: int = 8
    engine: str = "auto"

    def __post_init__(self) -> None:
        for name, value, lowest in (("floor", self.floor, SCORE_FLOOR), ("iou", self.iou, 0.1)):
            if not lowest <= value < 1:
                raise ConfigError(
                    f"calibrate: {name} {value} is not from {lowest:g} to under 1",
                    hint="use floor 0.05 and iou 0.5, say",
                )
        if self.seed < 0:
            raise ConfigError(f"calibrate: seed {self.seed} is negative", hint="use 0 or more")


@dataclass(frozen=True, eq=False)
class CalibrationRun:
    """What was measured and written."""

    model: Path
    model_sha256: str
    out: Path
    out_sha256: str
    before: ModelSpec
    after: ModelSpec
    calibration: Calibration
    dataset: Dataset
    """The photos that are in the numbers."""
    settings: CalibrationSettings

    def as_dict(self, command: Sequence[str]) -> dict[str, Any]:
        """For ``calibration.json``."""
        return {
            "kind": "calibration",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            "model": {"name": self.before.name, "path": self.model.name, "sha256": self.model_sha256},
            "data": {
                "name": self.dataset.root.name,
                "split": self.dataset.split,
                "fingerprint": self.dataset.fingerprint(),
                "photos": len(self.dataset),
            },
            "settings": to_plain(self.settings),
            "calibrated": {"path": self.out.name, "sha256": self.out_sha256},
            "temperature": {"before": self.before.temperature, "after": self.after.temperature},
            "score_threshold": {"before": self.before.score_threshold, "after": self.after.score_threshold},
            "helps": self.calibration.helps,
            "calibration": to_plain(self.calibration),
        }


def calibrate_model(
    model: Path,
    dataset: Dataset,
    out: Path,
    settings: CalibrationSettings | None = None,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> CalibrationRun:
    """Fit a temperature for ``model`` on labelled photos and write the model with it to ``out``.

    ``progress`` is called with what is being done, how much of it is done, and how much there is.
    The spec's score threshold is moved along, so that the same detections reach it. A model that has a temperature
    already gets the product of both. Photos that cannot be read are given to ``on_problem`` and left out. Raises
    ConfigError for an ``out`` that is the model itself or another kind of file, DataError where there are too few hits
    or false alarms for a temperature, MissingExtraError for an ONNX file without onnx.
    """
    from herder.api import load  # here: tests put their own in its place

    settings = settings or CalibrationSettings()
    if out.suffix != model.suffix:
        raise ConfigError(f"{out}: the model is a {model.suffix} file", hint=f"let the name end in {model.suffix}")
    if out.resolve() == model.resolve():
        raise ConfigError(f"{out}: is the model itself, which is not changed", hint="choose another name")
    detector = load(model, engine=settings.engine)
    digest = file_sha256(model)
    unread: set[Path] = set()

    def note(problem: Problem) -> None:
        if problem.reason == UNREADABLE:
            unread.add(problem.path)
        on_problem(problem)

    _, found = evaluate_detector(
        detector,
        dataset,
        size=settings.size,
        batch=settings.batch,
        progress=None if progress is None else lambda done, total: progress("measuring scores", done, total),
        on_problem=note,
    )
    read = [i for i, record in enumerate(dataset) if record.path not in unread]
    dataset, detections = dataset.select(read), [found[i] for i in read]
    calibration = measure_calibration(
        truth_table(dataset.records),
        detection_table(detections),
        np.array([(record.width, record.height) for record in dataset], np.int64).reshape(-1, 2),
        group_numbers([record.group for record in dataset]),
        iou=settings.iou,
        floor=settings.floor,
        seed=settings.seed,
    )
    if isinstance(calibration, NotComputed):
        raise DataError(f"calibrate: {calibration.reason}", hint="train longer, or use photos of the model's classes")
    if isinstance(calibration.temperature, NotComputed):
        raise DataError(f"calibrate: {calibration.temperature.reason}", hint="use more labelled photos")
    before = detector.spec
    temperature = float(np.clip(before.temperature * calibration.temperature, *TEMPERATURES))
    after = before.tempered(temperature).replace(herder_version=version("herder"))
    write_with_spec(model, out, after)
    return CalibrationRun(model, digest, out, file_sha256(out), before, after, calibration, dataset, settings)


def write_with_spec(model: Path, out: Path, spec: ModelSpec) -> None:
    """Write the model file ``model`` to ``out`` with another spec; everything else in it stays.

    Raises ModelFileError where the model cannot be read, ResourceError where ``out`` cannot be written.
    """
    if model.suffix == ".safetensors":
        import safetensors.torch

        from herder.tensor_files import read_metadata

        metadata = {**read_metadata(model), METADATA_KEY: spec.to_json()}
        write_atomic(out, safetensors.torch.save(read_tensors(model), metadata=metadata))
        return
    if model.suffix == ".xml":
        from herder.edge.openvino_files import rewrite_spec

        rewrite_spec(model, out, spec)
        return
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("calibrating an ONNX file", "onnx") from None
    try:
        proto = onnx.load(model)
    except Exception as error:  # protobuf's errors share no base class with onnx's own
        raise ModelFileError(f"{model}: is not an ONNX file ({error})", hint="export it again") from error
    kept = {entry.key: entry.value for entry in proto.metadata_props}
    # The plain entry "score_threshold" is for readers that do not know herder: it stays, since the graph's scores do.
    onnx.helper.set_model_props(proto, {**kept, METADATA_KEY: spec.to_json(), "temperature": str(spec.temperature)})
    write_atomic(out, proto.SerializeToString())

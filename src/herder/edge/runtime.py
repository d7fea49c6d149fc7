"""Exported models in ONNX Runtime and OpenVINO: engines that import no torch and send nothing home.

Notation: B photos, A candidates, K classes, n animals found in the whole batch.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.edge.threads import physical_cores
from herder.errors import ConfigError, MissingExtraError, ModelFileError, ResourceError
from herder.spec import METADATA_KEY, ModelSpec

FACTS_KEY = "herder_export"
"""The metadata entry that says, in JSON, how the file was exported: ``nms``, ``needs_nms``, ``fixed_size``."""

COMPILED_SHAPES = 4
"""OpenVINO keeps this many canvas shapes compiled: landscape, portrait, square and one odd one."""


@dataclass(frozen=True)
class ExportFacts:
    """What an engine must know of a file beside the spec."""

    nms: bool
    """Whether suppression is in the graph, which then gives ``detections`` (n, 7) in place of boxes and scores."""
    needs_nms: bool
    """Whether the reader of boxes and scores must suppress duplicates."""
    fixed_size: int | None
    """The only canvas side, one photo at a time; None where batch and size are free."""


class OnnxEngine:
    """An exported model in ONNX Runtime; ``threads`` CPU threads, one for each physical core where None.

    Raises ModelFileError for a file that is not a herder model, MissingExtraError where ONNX Runtime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        ort = _onnxruntime()
        path = _checked_file(path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = _checked_threads(threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; they come as exceptions anyway
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # its exceptions share no base class of their own
            raise _broken(path, error) from error
        self.spec, self._facts = read_metadata(metadata, path)

    @property
    def needs_nms(self) -> bool:
        """False where suppression is in the graph or the head needs none."""
        return self._facts.needs_nms

    @property
    def fixed_size(self) -> int | None:
        """The only canvas side in pixels that the file takes; None where any multiple of 32 will do."""
        return self._facts.fixed_size

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, H, W, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K).

        Raises ResourceError when the batch does not fit into memory.
        """
        return _predict(self._run, canvases, self._facts, len(self.spec.class_names))

    def _run(self, canvases: NDArray[np.uint8]) -> list[FloatArray]:
        images = canvases.transpose(0, 3, 1, 2).astype(np.float32, order="C")  # (B, 3, H, W)
        found: list[FloatArray] = self._session.run(None, {"images": images})
        return found


class OpenVinoEngine:
    """An exported model in OpenVINO, compiled for each canvas shape it meets.

    ``threads`` as in OnnxEngine. ``exact`` False lets the processor multiply in bfloat16 where it can: faster on some,
    but boxes move by up to a few pixels. ``compile_seconds`` is the time spent on compiling so far.
    Raises ModelFileError for a file that is not a herder model, MissingExtraError where OpenVINO is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, exact: bool = True) -> None:
        self._openvino = _openvino()
        path = _checked_file(path)
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": _checked_threads(threads),
            "NUM_STREAMS": 1,
        }
        if exact:
            self._settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._core = self._openvino.Core()
        try:
            self._model = self._with_photo_input(self._core.read_model(path))
            # OpenVINO keeps an ONNX file's metadata under this name.
            kept = self._model.get_rt_info(["framework"]) if self._model.has_rt_info(["framework"]) else None
            metadata = {key: str(value) for key, value in kept.value.items()} if kept else {}
        except RuntimeError as error:
            raise _broken(path, error) from error
        self.spec, self._facts = read_metadata(metadata, path)
        self._compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self.compile_seconds = 0.0

    @property
    def needs_nms(self) -> bool:
        """False where suppression is in the graph or the head needs none."""
        return self._facts.needs_nms

    @property
    def fixed_size(self) -> int | None:
        """The only canvas side in pixels that the file takes; None where any multiple of 32 will do."""
        return self._facts.fixed_size

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, H, W, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K).

        The first batch of a new shape waits for its compilation. Raises ResourceError when memory runs out.
        """
        return _predict(self._run, canvases, self._facts, len(self.spec.class_names))

    def _run(self, canvases: NDArray[np.uint8]) -> list[FloatArray]:
        request = self._request(canvases.shape)
        results = request.infer([np.ascontiguousarray(canvases)])
        return [np.asarray(results[i], np.float32) for i in range(len(results))]

    def _with_photo_input(self, model: Any) -> Any:
        """Let the graph take canvases (B, H, W, 3) uint8 as they come: it turns them itself, on all threads."""
        ov = self._openvino
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        return steps.build()

    def _request(self, shape: tuple[int, ...]) -> Any:
        """An inference request for canvases of this shape: fixed shapes run faster than free ones."""
        if shape not in self._compiled:
            start = time.perf_counter()
            model = self._model.clone()
            model.reshape(list(shape))
            compiled = self._core.compile_model(model, "CPU", self._settings)
            self._compiled[shape] = compiled.create_infer_request()
            self.compile_seconds += time.perf_counter() - start
            if len(self._compiled) > COMPILED_SHAPES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(shape)
        return self._compiled[shape]


def read_metadata(metadata: Mapping[str, str], path: Path) -> tuple[ModelSpec, ExportFacts]:
    """Spec and facts from an ONNX file's metadata. Raises ModelFileError where they are missing or make no sense."""
    if METADATA_KEY not in metadata:
        raise ModelFileError(f"{path}: holds no herder model spec", hint="convert it with `herder import`, then export")
    spec = ModelSpec.from_json(metadata[METADATA_KEY], source=str(path))
    try:
        facts = ExportFacts(**json.loads(metadata[FACTS_KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {FACTS_KEY} cannot be read ({error!r})", hint="export it again") from None
    return spec, facts


def padded(detections: FloatArray, batch: int, classes: int) -> tuple[FloatArray, FloatArray]:
    """Rows (n, 7) ``photo, x1, y1, x2, y2, score, class`` as boxes (B, A, 4) and scores (B, A, K), zeros where empty.

    >>> boxes, scores = padded(np.array([[1, 2, 3, 8, 9, 0.5, 0]], np.float32), batch=2, classes=1)
    >>> boxes.shape, scores[:, 0, 0].tolist()
    ((2, 1, 4), [0.0, 0.5])
    """
    photo = detections[:, 0].astype(np.int64)
    order = np.argsort(photo, kind="stable")
    detections, photo = detections[order], photo[order]
    counts = np.bincount(photo, minlength=batch)
    place = np.arange(len(photo)) - np.repeat(np.cumsum(counts) - counts, counts)  # row number within the photo
    boxes = np.zeros((batch, counts.max(initial=0), 4), np.float32)
    scores = np.zeros((batch, boxes.shape[1], classes), np.float32)
    boxes[photo, place] = detections[:, 1:5]
    scores[photo, place, detections[:, 6].astype(np.int64)] = detections[:, 5]
    return boxes, scores


def _predict(run: Any, canvases: NDArray[np.uint8], facts: ExportFacts, classes: int) -> tuple[FloatArray, FloatArray]:
    # A file of fixed size takes one photo at a time.
    parts = np.split(canvases, len(canvases)) if facts.fixed_size else [canvases]
    boxes, scores = zip(*(_outputs(run, part, facts, classes) for part in parts), strict=True)
    if len(parts) == 1:
        return boxes[0], scores[0]
    longest = max(b.shape[1] for b in boxes)  # with suppression in the graph each photo has its own number of rows
    return _joined(boxes, longest), _joined(scores, longest)


def _outputs(run: Any, canvases: NDArray[np.uint8], facts: ExportFacts, classes: int) -> tuple[FloatArray, FloatArray]:
    try:
        found = run(canvases)
    except Exception as error:  # neither runtime has an exception type for lack of memory
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(w in text for w in ("alloc", "memory", "too large")):
            raise ResourceError(
                f"{len(canvases)} photos of {canvases.shape[2]} x {canvases.shape[1]} do not fit into memory",
                hint="use a smaller batch or size",
            ) from error
        raise
    return padded(found[0], len(canvases), classes) if facts.nms else (found[0], found[1])


def _joined(parts: tuple[FloatArray, ...], rows: int) -> FloatArray:
    return np.concatenate([np.pad(part, ((0, 0), (0, rows - part.shape[1]), (0, 0))) for part in parts])


def _checked_file(path: str | Path) -> Path:
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(1)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file", hint="check the path, or `herder export` a model") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from None
    if head != b"\x08":  # every ONNX file starts with the tag of its version number
        raise ModelFileError(f"{path}: is not an ONNX file", hint="make one with `herder export`")
    return path


def _broken(path: Path, error: Exception) -> ModelFileError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ModelFileError(f"{path}: is damaged or not for this runtime ({lines[-1][:200]})", hint="export it again")


def _checked_threads(threads: int | None) -> int:
    if threads is not None and threads < 1:
        raise ConfigError(f"threads {threads} is not positive", hint="use 1 or more, or leave it out")
    return threads or physical_cores()


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("the ONNX Runtime engine", "onnx") from error
    if hasattr(onnxruntime, "disable_telemetry_events"):
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


def _openvino() -> ModuleType:
    # OpenVINO reports its own import to a server unless its reporter is missing: for this one import, it is.
    name = "openvino_telemetry"
    hidden = "openvino" not in sys.modules and name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("the OpenVINO engine", "openvino") from error
    finally:
        if hidden:
            del sys.modules[name]
    module: ModuleType = openvino
    return module

"""Exported models in ONNX Runtime and OpenVINO: engines that import no torch and send nothing home.

Notation: B photos, A candidates, K classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.edge.compiled_shapes import CompiledShapes
from herder.edge.engine_errors import cannot_open
from herder.edge.engine_packages import onnxruntime_package, openvino_package
from herder.edge.export_facts import FACTS_KEY, ExportFacts, read_metadata
from herder.edge.graph_outputs import boxes_and_scores, padded
from herder.edge.openvino_files import openvino_metadata
from herder.edge.threads import physical_cores
from herder.errors import ConfigError, ModelFileError

__all__ = ["FACTS_KEY", "ExportFacts", "OnnxEngine", "OpenVinoEngine", "padded", "read_metadata"]


class OnnxEngine:
    """An exported model in ONNX Runtime; ``threads`` CPU threads, one for each physical core where None.

    So many as ``streams`` callers may call ``predict`` at the same time; they share the threads and the weights.
    Raises ModelFileError for a file that is not a herder model, MissingExtraError where ONNX Runtime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, streams: int = 1) -> None:
        ort = onnxruntime_package()
        path = _checked_file(path)
        options = ort.SessionOptions()
        # Each caller's own thread computes too, beside those that the session starts.
        options.intra_op_num_threads = max(1, _checked_threads(threads) - _checked_streams(streams) + 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; they come as exceptions anyway
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # its exceptions share no base class of their own
            raise cannot_open(path, error, f"ONNX Runtime {ort.__version__}") from error
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
        return boxes_and_scores(self._run, canvases, self._facts, len(self.spec.class_names))

    def _run(self, canvases: NDArray[np.uint8]) -> list[FloatArray]:
        images = canvases.transpose(0, 3, 1, 2).astype(np.float32, order="C")  # (B, 3, H, W)
        found: list[FloatArray] = self._session.run(None, {"images": images})
        return found


class OpenVinoEngine:
    """An exported model, .onnx or .xml, in OpenVINO, compiled for the canvas shapes it meets.

    ``threads`` and ``streams`` as in OnnxEngine. ``exact`` False lets the processor multiply in bfloat16 where it can:
    faster on some, but boxes move by up to a few pixels.
    Raises ModelFileError for a file that is not a herder model, MissingExtraError where OpenVINO is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, streams: int = 1, exact: bool = True) -> None:
        self._openvino = openvino_package()
        # The first array that crosses sets the binding up; two threads that do so at once wait for each other forever.
        _ = self._openvino.Tensor(np.zeros(1, np.float32)).data
        path = _checked_file(path)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if _checked_streams(streams) == 1 else "THROUGHPUT",
            "INFERENCE_NUM_THREADS": _checked_threads(threads),
            "NUM_STREAMS": streams,
        }
        if exact:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        core = self._openvino.Core()
        try:
            model = core.read_model(path)
            self.spec, self._facts = read_metadata(openvino_metadata(model, path), path)
            self._compiled = CompiledShapes(core, self._with_photo_input(model), settings, streams)
        except RuntimeError as error:
            raise cannot_open(path, error, f"OpenVINO {self._openvino.__version__[:8]}") from error

    @property
    def compile_seconds(self) -> float:
        """Spent on compiling so far."""
        return self._compiled.seconds

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
        return boxes_and_scores(self._run, canvases, self._facts, len(self.spec.class_names))

    def _run(self, canvases: NDArray[np.uint8]) -> list[FloatArray]:
        idle = self._compiled.idle(canvases.shape)
        request = idle.get()
        try:
            results = request.infer([np.ascontiguousarray(canvases)])
            return [np.asarray(results[i], np.float32) for i in range(len(results))]
        finally:
            idle.put(request)

    def _with_photo_input(self, model: Any) -> Any:
        """Let the graph take canvases (B, H, W, 3) uint8 as they come: it turns them itself, on all threads."""
        ov = self._openvino
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        return steps.build()


def _checked_file(path: str | Path) -> Path:
    """``path`` where it begins like its kind of file and, for .xml, has its weights beside it."""
    path = Path(path)
    head = _first_byte(path)
    if path.suffix == ".xml":
        if head != b"<":
            raise ModelFileError(f"{path}: is not an OpenVINO file", hint="make one with `herder export`")
        _first_byte(path.with_suffix(".bin"))
    elif head != b"\x08":  # every ONNX file starts with the tag of its version number
        raise ModelFileError(f"{path}: is not an ONNX file", hint="make one with `herder export`")
    return path


def _first_byte(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1)
    except FileNotFoundError:
        hint = "copy it beside the .xml file" if path.suffix == ".bin" else "check the path, or `herder export` a model"
        raise ModelFileError(f"{path}: no such file", hint=hint) from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from None


def _checked_threads(threads: int | None) -> int:
    if threads is not None and threads < 1:
        raise ConfigError(f"threads {threads} is not positive", hint="use 1 or more, or leave it out")
    return threads or physical_cores()


def _checked_streams(streams: int) -> int:
    if streams < 1:
        raise ConfigError(f"streams {streams} is not positive", hint="use 1 or more")
    return streams

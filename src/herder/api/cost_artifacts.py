"""The files that engines run: the model as it was given, and its export where an engine needs one."""

from __future__ import annotations

from pathlib import Path

from herder.edge.engine_choice import usable_engines
from herder.edge.engine_files import EXPORTED, file_bytes, open_engine
from herder.errors import ConfigError, MissingExtraError, ModelFileError
from herder.evaluation.cost import Artifact
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.prediction_store import file_sha256


class Artifacts:
    """What each engine runs of one ``model``; an export is made in ``folder`` when it is first asked for.

    Raises ModelFileError for a file that is no .safetensors, .onnx or .xml model of herder's.
    """

    def __init__(self, model: Path, folder: Path) -> None:
        if model.suffix not in (".safetensors", *EXPORTED):
            raise ModelFileError(f"{model}: unknown kind of model file", hint="wanted .safetensors, .onnx or .xml")
        self.model, self._folder = model, folder
        self.fixed_size: int | None = None
        if model.suffix in EXPORTED:
            engine = open_engine(model, usable_engines(model)[0])
            self.spec, self.fixed_size = engine.spec, engine.fixed_size
        else:
            from herder.model.files import load_model

            self._network = load_model(model)
            self.spec = self._network.spec
        self._made: dict[Path, Artifact] = {}

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that can run the model, or an export of it."""
        if self.model.suffix == ".xml":
            return ("openvino",)
        return ("onnx", "openvino") if self.model.suffix == ".onnx" else ("torch", "onnx", "openvino")

    def obstacle(self, engine: str, streams: int = 1) -> str:
        """Why ``engine`` cannot run the model in so many streams, "" where it can."""
        if engine not in self.engines:
            other = (
                "give the .onnx or .safetensors file" if self.model.suffix == ".xml" else "give the .safetensors file"
            )
            return f"{engine} does not run {self.model.suffix} files: {other}"
        if engine == "torch" and streams > 1:
            return "streams are for ONNX Runtime and OpenVINO"
        if engine != "torch":
            try:
                self.of(engine)
            except MissingExtraError as error:
                return f"{error.message} ({error.hint})"
        return ""

    def of(self, engine: str) -> tuple[Artifact, Path]:
        """The file that ``engine`` runs. Raises MissingExtraError where it must be exported and onnx is missing."""
        path = self._path(engine)
        if path not in self._made:
            made_from = self.model.name if path != self.model else ""
            parameters = self._work(path, self.fixed_size or self.spec.input_size)[0]
            self._made[path] = Artifact(path.name, file_sha256(path), file_bytes(path), made_from, parameters)
        return self._made[path], path

    def known(self) -> tuple[Artifact, ...]:
        """All files that were asked for so far."""
        return tuple(self._made.values())

    def flops(self, engine: str, size: int) -> int | NotComputed:
        """Floating point operations for one photo on a canvas of ``size`` x ``size`` pixels."""
        return self._work(self._path(engine), size)[1]

    def _path(self, engine: str) -> Path:
        if engine == "torch" or self.model.suffix in EXPORTED:
            return self.model
        path = self._folder / f"{self.model.stem}.onnx"
        if not path.exists():
            from herder.edge.export import export_onnx

            export_onnx(self._network, self.spec, path)
        return path

    def _work(self, path: Path, size: int) -> tuple[int | NotComputed, int | NotComputed]:
        """Parameters, and FLOPs at ``size``."""
        try:
            if path.suffix == ".onnx":
                from herder.edge.graph_flops import count_graph_work

                work = count_graph_work(path, size)
            elif path.suffix == ".xml":
                from herder.edge.ir_flops import count_ir_work

                work = count_ir_work(path, size)
            else:
                from herder.model.flops import count_work

                work = count_work(self._network, size, size)
        except (MissingExtraError, ConfigError) as error:
            reason = NotComputed(f"{error.message} ({error.hint})")
            return reason, reason
        return work.parameters, work.flops

"""Opening an exported file in the engine that runs it, without torch, and what the file takes on the disk."""

from __future__ import annotations

from pathlib import Path

from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.errors import ConfigError, ModelFileError
from herder.inference import Engine

EXPORTED = (".onnx", ".xml")
"""Kinds of files that need no torch: ONNX, and OpenVINO's own with its weights (.bin) beside it."""

ENGINES = ("auto", "onnx", "openvino")


def open_engine(path: str | Path, engine: str = "auto", threads: int | None = None, streams: int = 1) -> Engine:
    """The engine for an ``.onnx`` or ``.xml`` file: ``onnx`` (ONNX Runtime), ``openvino`` or ``auto``.

    ``auto`` is ONNX Runtime for .onnx and OpenVINO for .xml. ``threads`` are CPU threads, one for each physical core
    where None, shared by ``streams`` callers at a time. Raises ModelFileError for a file that is no herder model,
    ConfigError for an engine that cannot run it, MissingExtraError where the engine is not installed.
    """
    path = Path(path)
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine!r} is not known", hint=f"use one of {', '.join(ENGINES)}")
    if path.suffix == ".xml":
        if engine == "onnx":
            raise ConfigError(f"{path}: ONNX Runtime cannot run OpenVINO's files", hint="use --engine openvino")
        return OpenVinoEngine(path, threads=threads, streams=streams)
    if path.suffix == ".onnx":
        return (OpenVinoEngine if engine == "openvino" else OnnxEngine)(path, threads=threads, streams=streams)
    if not path.exists():
        raise ModelFileError(f"{path}: no such file", hint="check the path, or `herder export` a model")
    hint = f"`herder export {path}` first" if path.suffix == ".safetensors" else "wanted .onnx or .xml"
    raise ModelFileError(f"{path}: no engine runs this kind of file ({path.suffix!r})", hint=hint)


def file_bytes(path: str | Path) -> int:
    """Bytes that a model takes on the disk; of OpenVINO's files the graph and its weights together.

    Raises ModelFileError where a file is missing.
    """
    path = Path(path)
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    for part in parts:
        if not part.is_file():
            raise ModelFileError(f"{part}: no such file", hint="check the path, or `herder export` a model")
    return sum(part.stat().st_size for part in parts)

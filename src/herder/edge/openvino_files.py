"""OpenVINO's own files (IR): ``model.xml`` with the graph and ``model.bin`` with the weights beside it.

Spec and facts stand in the section ``herder`` of the graph's runtime info, under the keys that ONNX files use, together
with the SHA-256 of the weights: two files can be parted, and the graph says which weights are its own.
https://docs.openvino.ai/2025/documentation/openvino-ir-format.html
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from herder.edge.engine_errors import cannot_open
from herder.edge.engine_packages import openvino_package
from herder.edge.export_facts import FACTS_KEY, FLOAT16_MAX, ExportFacts, read_metadata
from herder.errors import ConfigError, ModelFileError
from herder.files import write_together
from herder.spec import METADATA_KEY, ModelSpec

SECTION = "herder"
"""The section of the runtime info that holds herder's entries."""

WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")
"""Operators whose second input are weights."""

WEIGHTS_KEY = "herder_weights_sha256"
"""The entry that names the weights of this graph."""


def convert_onnx(path: Path) -> Any:
    """An ``openvino.Model`` of an ONNX file, simplified: a third of the nodes, and so of the .xml, that reading gives.

    Raises ModelFileError where OpenVINO cannot read the file.
    """
    ov = openvino_package()
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        return ov.convert_model(path)
    except Exception as error:  # its converter's exceptions share no base class of their own
        raise cannot_open(path, error, f"OpenVINO {ov.__version__[:8]}") from error
    finally:
        # The converter sets up the root logger for itself: nobody would hear the program's own warnings any more.
        root.setLevel(level)
        root.handlers[:] = handlers


def save_openvino(model: Any, out: Path, spec: ModelSpec, facts: ExportFacts, *, half: bool) -> int:
    """Write an ``openvino.Model`` as ``out`` (.xml) with its .bin beside it, and return the bytes of both.

    ``half`` stores weights that are float32 as float16; OpenVINO computes in float32 all the same. ``model`` itself
    stays as it was. Raises ConfigError where ``out`` is not called .xml, ResourceError where it cannot be written.
    """
    if out.suffix != ".xml":
        raise ConfigError(f"{out}: OpenVINO's files end in .xml", hint=f"use {out.with_suffix('.xml').name}")
    ov = openvino_package()
    described = model.clone()
    if half:
        _halve_weights(described)
    for key, text in {METADATA_KEY: spec.to_json(), FACTS_KEY: facts.to_json()}.items():
        described.set_rt_info(text, [SECTION, key])
    with tempfile.TemporaryDirectory(prefix="herder-openvino-") as folder:
        part = Path(folder) / "model.xml"
        ov.save_model(described, part, compress_to_fp16=False)
        weights = part.with_suffix(".bin").read_bytes()
        described.set_rt_info(hashlib.sha256(weights).hexdigest(), [SECTION, WEIGHTS_KEY])
        ov.save_model(described, part, compress_to_fp16=False)
        graph = part.read_bytes()
    write_together([(out.with_suffix(".bin"), weights), (out, graph)])  # a graph is never there without its weights
    return len(graph) + len(weights)


def rewrite_spec(source: Path, out: Path, spec: ModelSpec) -> None:
    """Write the OpenVINO files of ``source`` (.xml) as ``out`` (.xml) with another spec; weights and graph stay.

    Raises ModelFileError where ``source`` cannot be read, else as ``save_openvino``.
    """
    try:
        model = openvino_package().Core().read_model(source)
    except RuntimeError as error:
        raise ModelFileError(f"{source}: is not an OpenVINO file", hint="export it again") from error
    _, facts = read_metadata(openvino_metadata(model, source), source)
    save_openvino(model, out, spec, facts, half=False)


def openvino_metadata(model: Any, path: Path) -> dict[str, str]:
    """The entries that an ``openvino.Model``, read from ``path`` (.onnx or .xml), has about itself.

    Raises ModelFileError where the weights beside an .xml file are missing or another file's.
    """
    if path.suffix == ".xml":
        if not model.has_rt_info([SECTION]):
            return {}
        kept = {key: str(value) for key, value in model.get_rt_info([SECTION]).value.items()}
        _check_weights(path, kept.get(WEIGHTS_KEY))
        return kept
    # OpenVINO keeps an ONNX file's metadata under this name.
    framework = model.get_rt_info(["framework"]) if model.has_rt_info(["framework"]) else None
    return {key: str(value) for key, value in framework.value.items()} if framework else {}


def _halve_weights(model: Any) -> None:
    """Store what float32 layers multiply by as float16; OpenVINO turns it back once, when it compiles the model.

    Its own compression takes biases and the grid of the decoding as well: fewer bytes by a hundredth, and boxes moved
    three times as far.
    """
    import openvino.opset13 as operators

    for node in model.get_ops():
        if node.get_type_name() not in WEIGHTED:
            continue
        source = node.input_value(1).get_node()
        if source.get_type_name() != "Constant" or source.get_element_type().get_type_name() != "f32":
            continue
        values = source.data
        if np.abs(values).max(initial=0) <= FLOAT16_MAX:
            small = operators.constant(values.astype(np.float16), name=f"{source.get_friendly_name()}_float16")
            node.input(1).replace_source_output(operators.convert(small, "f32").output(0))


def _check_weights(path: Path, sha256: str | None) -> None:
    weights = path.with_suffix(".bin")
    if sha256 is not None and hashlib.sha256(weights.read_bytes()).hexdigest() != sha256:
        raise ModelFileError(
            f"{weights}: are not the weights of {path.name}", hint="copy both files together, or export again"
        )

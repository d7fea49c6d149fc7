"""Whether the shipped files, the catalogue and the model cards agree with each other. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors

from herder.api.model_card import card_problem
from herder.catalogue import ShippedFile, ShippedModel, file_digest, shipped_folder
from herder.errors import HerderError, MissingExtraError, ModelFileError
from herder.spec import METADATA_KEY, ModelSpec

RELEASE_KEY = "herder_release"
"""The metadata entry of a shipped file that says, in JSON, the ``name`` and ``version`` of the model it belongs to."""


def release_json(name: str, version: str) -> str:
    """The text of that entry."""
    return json.dumps({"name": name, "version": version}, sort_keys=True)


def check_model(model: ShippedModel, folder: Path | None = None) -> list[str]:
    """Everything that does not agree, a sentence each; empty for a sound model.

    Bytes and SHA-256 of each file against the catalogue; in each file the spec's class names, the model's name and
    version; the specs of all files against each other; the card against the catalogue. Raises MissingExtraError where
    the packages that read ONNX files are not installed.
    """
    folder = folder or shipped_folder()
    problems, specs = [], {}
    for file in model.files:
        path = folder / file.name
        wrong = _wrong_bytes(file, path)
        if wrong:
            problems.append(wrong)
            continue
        try:
            metadata = file_metadata(path)
            if METADATA_KEY not in metadata:
                raise ModelFileError(f"{path}: holds no herder model spec")
            specs[file.name] = ModelSpec.from_json(metadata[METADATA_KEY], source=file.name)
        except MissingExtraError:
            raise
        except HerderError as error:
            problems.append(error.message)
            continue
        if specs[file.name].class_names != model.class_names:
            problems.append(f"{file.name}: classes {specs[file.name].class_names}, the catalogue {model.class_names}")
        if metadata.get(RELEASE_KEY) != release_json(model.name, model.version):
            said = metadata.get(RELEASE_KEY, "nothing")
            problems.append(f"{file.name}: says {said} of name and version, the catalogue {model.name} {model.version}")
    problems += _different_specs(specs)
    return problems + _card(model, folder / model.card)


def file_metadata(path: Path) -> dict[str, str]:
    """The text entries of a safetensors or ONNX file, without torch.

    Raises ModelFileError for a file that is neither, MissingExtraError where what reads ONNX is not installed.
    """
    if path.suffix == ".safetensors":
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                return dict(file.metadata() or {})
        except (safetensors.SafetensorError, OSError) as error:
            raise ModelFileError(f"{path}: cannot be read ({error})", hint="copy the file again") from None
    return {entry.key: entry.value for entry in read_onnx(path).metadata_props}


def read_onnx(path: Path) -> Any:
    """The ONNX graph in ``path``. Raises ModelFileError where there is none, MissingExtraError without onnx."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise MissingExtraError("reading the spec of an ONNX file", "onnx") from None
    try:
        return onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelFileError(f"{path}: is not an ONNX file ({error})", hint="copy the file again") from None


def _wrong_bytes(file: ShippedFile, path: Path) -> str:
    try:
        size, digest = file_digest(path)
    except ModelFileError as error:
        return error.message
    if size != file.bytes:
        return f"{file.name}: {size:,} bytes, the catalogue says {file.bytes:,}"
    if digest != file.sha256:
        return f"{file.name}: SHA-256 {digest}, the catalogue says {file.sha256}"
    return ""


def _different_specs(specs: dict[str, ModelSpec]) -> list[str]:
    """What two files of one model say differently; the herder that wrote them may be another, and int8 is its own."""
    if not specs:
        return []
    (first, wanted), *others = specs.items()
    problems = []
    for name, spec in others:
        told = json.loads(spec.to_json()), json.loads(wanted.to_json())
        differ = sorted(key for key in told[0] if told[0][key] != told[1][key] and key not in _OWN)
        problems += [f"{name} and {first}: their specs differ in {', '.join(differ)}"] if differ else []
    return problems


_OWN = ("herder_version", "metrics")
"""Fields of the spec that each file has for itself: int8 reaches other figures."""


def _card(model: ShippedModel, path: Path) -> list[str]:
    try:
        wrong = card_problem(path.read_text(encoding="utf-8"), model)
    except (OSError, UnicodeDecodeError) as error:
        return [f"{model.card}: cannot be read ({error})"]
    return [f"{model.card}: {wrong}"] if wrong else []

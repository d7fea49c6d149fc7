"""The models that ship with herder: what they are called, which files they have, and which of them a command gets.

``weights/catalogue.json`` in the package says for each model its version, class names, licence, origin and card, and
for each file its role, size in bytes and SHA-256. Whatever takes a model takes the name of one in place of a path.
Nothing here loads torch or reads a weight.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any

from herder.errors import ConfigError, ModelFileError

CATALOGUE = "catalogue.json"

CATALOGUE_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""

WEIGHTS, ONNX, INT8 = ROLES = ("weights", "onnx", "int8")
"""What a file is for: safetensors to train and export from, ONNX to run, ONNX in 8-bit integers to run faster."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""A shipped model's name: no dot and no separator, so that it is never mistaken for a file's."""

_RUN_FILES = ("best.safetensors", "*/best.safetensors", "metrics.csv", "crossval.json")
"""What a folder of one's own runs holds at least one of."""

_SAFETENSORS_START, _ONNX_START = b"{", b"\x08"
"""A safetensors header follows eight bytes of length; an ONNX file starts with the tag of its version number."""


class Use(Enum):
    """What a model is wanted for."""

    RUN = "run"
    """Detecting and measuring: the ONNX file where ONNX Runtime is installed."""
    WEIGHTS = "weights"
    """Training, exporting and shrinking: the safetensors file."""


@dataclass(frozen=True)
class ShippedFile:
    """One file of a shipped model, in the catalogue's folder."""

    role: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShippedModel:
    """A model of the catalogue."""

    name: str
    version: str
    class_names: tuple[str, ...]
    licence: str
    origin: str
    """Where the starting weights came from, with their licence."""
    card: str
    """Name of the model card beside the files: intended use, data, figures, limits."""
    files: tuple[ShippedFile, ...]

    def file(self, role: str) -> ShippedFile:
        """The file of this role. Raises ConfigError where the model has none."""
        for file in self.files:
            if file.role == role:
                return file
        there = ", ".join(file.role for file in self.files)
        raise ConfigError(f"{self.name} has no file of the role {role!r}", hint=f"it has {there}")

    def as_dict(self) -> dict[str, Any]:
        """As the catalogue holds it, and ``herder models list --json`` prints it."""
        return asdict(self)


def shipped_folder() -> Path:
    """The folder of the shipped files in the installed package. Raises ModelFileError where it is inside an archive."""
    folder = files("herder").joinpath("weights")
    if not isinstance(folder, Path):
        raise ModelFileError("herder runs from an archive, where engines cannot open files", hint="install it with pip")
    return folder


def read_catalogue(folder: Path | None = None) -> tuple[ShippedModel, ...]:
    """The models of the catalogue in ``folder``, the installed package's where None; none where there is no catalogue.

    Raises ModelFileError for a catalogue that is damaged or newer than this herder, naming what is wrong.
    """
    path = (folder or shipped_folder()) / CATALOGUE
    if not path.exists():
        return ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error})", hint="install herder again") from None
    version = content.get("catalogue_version") if isinstance(content, dict) else None
    if version != CATALOGUE_VERSION:
        raise ModelFileError(
            f"{path}: catalogue_version {version!r}, this herder reads {CATALOGUE_VERSION}", hint="install herder again"
        )
    entries = content.get("models")
    if not isinstance(entries, list):
        raise ModelFileError(f"{path}: models: wanted a list", hint="install herder again")
    models = tuple(_model(entry, f"{path}: models[{i}]") for i, entry in enumerate(entries))
    if len({model.name for model in models}) < len(models):
        raise ModelFileError(f"{path}: two models have one name", hint="install herder again")
    return models


def catalogue_json(models: tuple[ShippedModel, ...]) -> str:
    """The text of a catalogue of these models, as ``read_catalogue`` reads it."""
    content = {"catalogue_version": CATALOGUE_VERSION, "models": [model.as_dict() for model in models]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def find_model(name: str, folder: Path | None = None) -> ShippedModel:
    """The shipped model of this name. Raises ModelFileError with names that are nearly the same."""
    models = {model.name: model for model in read_catalogue(folder)}
    if name in models:
        return models[name]
    near = difflib.get_close_matches(name.lower(), models, n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise ModelFileError(
        f"{name}: no such model file, and no model of this name ships with herder",
        hint=f"{meant}`herder models list` names those that do; else check the path",
    )


def resolve(name_or_path: str | Path, use: Use = Use.RUN) -> Path:
    """The file that a name or a path stands for: a path as it is, the name of a shipped model as its file for ``use``.

    A name with ``-int8`` behind it is the model's file in 8-bit integers, where it has one and is only run.
    A file or folder of that name in the current folder goes first where it looks like a model: a file that begins like
    one, a folder that holds a run. Raises ModelFileError for a bare name that is neither shipped nor there.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if not _NAME.fullmatch(text) or _looks_like_model(path):
        return path
    shipped = {model.name: model for model in read_catalogue()}
    if path.exists() and text not in shipped:
        return path  # who reads it says best what is wrong with it
    whole = shipped.get(text.removesuffix(f"-{INT8}"))
    if whole is not None and text not in shipped:
        if use is Use.WEIGHTS:
            raise ModelFileError(f"{text}: int8 files are only run", hint=f"take {whole.name}, which has float weights")
        return shipped_folder() / whole.file(INT8).name
    model = find_model(text)
    runs_onnx = use is Use.RUN and importlib.util.find_spec("onnxruntime") is not None
    return shipped_folder() / model.file(ONNX if runs_onnx else WEIGHTS).name


def for_engine(path: Path, engine: str) -> Path:
    """The file of a shipped model that ``engine`` (``torch``, ``onnx``, ``openvino``) runs; other paths as they are."""
    if engine == "auto" or not is_shipped(path):
        return path
    wanted = ".safetensors" if engine == "torch" else ".onnx"
    if path.suffix == wanted:
        return path
    owner = next((m for m in read_catalogue() if path.name in {file.name for file in m.files}), None)
    return path if owner is None else path.with_name(owner.file(WEIGHTS if engine == "torch" else ONNX).name)


def is_shipped(path: Path) -> bool:
    """Whether ``path`` lies in the package, where nothing is ever written."""
    return path.resolve().parent == shipped_folder().resolve()


def beside(model: Path, name: str) -> Path:
    """Where a file made of ``model`` goes if nobody says: beside it, of a shipped model into the current folder."""
    return Path(name) if is_shipped(model) else model.with_name(name)


def file_digest(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file. Raises ModelFileError where it is missing or cannot be read."""
    try:
        with path.open("rb") as file:
            return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})", hint="install herder again") from None


def _looks_like_model(path: Path) -> bool:
    if path.is_dir():
        return any(next(path.glob(pattern), None) is not None for pattern in _RUN_FILES)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(9)
    return head[:1] == _ONNX_START or (head[8:] == _SAFETENSORS_START and head[6:8] == b"\x00\x00")


def _model(entry: object, source: str) -> ShippedModel:
    values = dict(_checked(entry, ShippedModel, source))
    listed = values["files"]
    if not isinstance(listed, list):
        raise ModelFileError(f"{source}: files: wanted a list", hint="install herder again")
    parts = [ShippedFile(**_checked(one, ShippedFile, f"{source}: files[{i}]")) for i, one in enumerate(listed)]
    names = values["class_names"]
    texts = [values[key] for key in ("name", "version", "licence", "origin", "card")]
    plain = all(isinstance(text, str) for text in texts) and all(Path(p.name).name == p.name for p in parts)
    if not plain or not _NAME.fullmatch(values["name"]) or Path(values["card"]).name != values["card"]:
        raise ModelFileError(f"{source}: name, version, licence, origin, card or a file's name", hint="pack it again")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"{source}: class_names: wanted names, found {names!r}", hint="pack it again")
    return ShippedModel(**{**values, "class_names": tuple(names), "files": tuple(parts)})


def _checked(entry: object, kind: type, source: str) -> Mapping[str, Any]:
    """``entry`` where it has just the fields of ``kind``."""
    wanted = {field.name for field in fields(kind)}
    if not isinstance(entry, dict) or entry.keys() != wanted:
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise ModelFileError(f"{source}: found {found}, wanted {sorted(wanted)}", hint="install herder again")
    return entry

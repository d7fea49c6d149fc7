"""Making the files of a shipped model: float16 weights, the ONNX file, the card and the catalogue's entry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from herder.api.model_card import with_facts
from herder.api.model_check import RELEASE_KEY, file_metadata, read_onnx, release_json
from herder.catalogue import (
    CATALOGUE,
    INT8,
    ONNX,
    WEIGHTS,
    ShippedFile,
    ShippedModel,
    catalogue_json,
    file_digest,
    read_catalogue,
)
from herder.data.records import Dataset
from herder.edge.export import export_onnx
from herder.edge.parity import Parity
from herder.errors import ConfigError, ModelFileError
from herder.evaluation import evaluate_detector
from herder.files import write_atomic
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.spec import METADATA_KEY, ModelSpec

LIMIT_MB = 8.0
"""Megabytes that all files of a model may have together: everybody downloads them with the package."""

LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Packing:
    """What a shipped model is called, and what goes with it."""

    name: str
    version: str
    licence: str = LICENCE
    card: Path | None = None
    """Markdown written by people; None keeps the card that is there."""
    int8: Path | None = None
    """The same model in 8-bit integers, an .onnx file as ``herder quantize --to onnx`` writes it."""
    limit_mb: float = LIMIT_MB


@dataclass(frozen=True)
class Packed:
    """What was written."""

    model: ShippedModel
    folder: Path
    parity: Parity


def pack_model(
    source: Path,
    packing: Packing,
    folder: Path,
    *,
    photos: Sequence[Path] = (),
    data: Dataset | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Write the files of ``source`` (.safetensors, float) into ``folder``, and its entry into the catalogue there.

    Weights are rounded to float16; the ONNX file is made from the rounded ones, and compared with them on ``photos``.
    With labelled ``data`` the rounded model is measured, and its figures stand in place of those that the spec had.
    Nothing is written before all of it is known to be sound. Raises ConfigError for a name or size that cannot be,
    ModelFileError for a source that is quantized, broken, or another model than ``int8``.
    """
    network = load_model(source)
    spec, before = network.spec, tuple(m for m in read_catalogue(folder) if m.name != packing.name)
    _check(packing, spec, source)
    card_name = f"{packing.name}.md"
    card = _card_text(packing, folder / card_name)
    with tempfile.TemporaryDirectory(prefix="herder-pack-") as place:
        weights, onnx = Path(place) / f"{packing.name}.safetensors", Path(place) / f"{packing.name}.onnx"
        release = {RELEASE_KEY: release_json(packing.name, packing.version)}
        save_model(network, spec, weights, half=True, metadata=release)
        network = load_model(weights)
        if data is not None:
            metrics, _ = evaluate_detector(Detector(TorchEngine(network, fuse=False)), data, progress=progress)
            spec = spec.replace(metrics=metrics.as_dict())
            save_model(network, spec, weights, half=True, metadata=release)
            network = load_model(weights)
        exported = export_onnx(network, network.spec, onnx, half=True, photos=photos)
        _release_onnx(onnx, onnx, release)
        made = [(WEIGHTS, weights), (ONNX, onnx)]
        if packing.int8:
            made.append((INT8, Path(place) / f"{packing.name}-int8.onnx"))
            _release_onnx(packing.int8, made[-1][1], release)
        parts = tuple(ShippedFile(role, path.name, *file_digest(path)) for role, path in made)
        origin = spec.origin or "random"
        model = ShippedModel(packing.name, packing.version, spec.class_names, packing.licence, origin, card_name, parts)
        _check_size(model, packing.limit_mb)
        text = with_facts(card, model)
        for _, path in made:
            write_atomic(folder / path.name, path.read_bytes())
    write_atomic(folder / card_name, text.encode())
    # Last: whoever is stopped before this is told by `herder models verify` that files and catalogue do not agree.
    models = tuple(sorted((*before, model), key=lambda m: m.name))
    write_atomic(folder / CATALOGUE, catalogue_json(models).encode())
    return Packed(model, folder, exported.parity)


def _check(packing: Packing, spec: ModelSpec, source: Path) -> None:
    if not packing.name.replace("-", "").replace("_", "").isalnum() or not packing.name.isascii():
        raise ConfigError(f"--name {packing.name}: wanted letters, digits, - and _", hint="such as alpaca")
    if not packing.version.strip() or "\n" in packing.version:
        raise ConfigError(f"--version {packing.version!r}: wanted a version", hint="such as 1.0")
    if spec.architecture.quantization is not None:
        raise ConfigError(f"{source}: is quantized", hint="pack the float model, with --int8 for the quantized one")
    if packing.int8 is None:
        return
    entries = file_metadata(packing.int8)
    if METADATA_KEY not in entries:
        raise ModelFileError(f"{packing.int8}: holds no herder model spec", hint="make it with `herder quantize`")
    other = ModelSpec.from_json(entries[METADATA_KEY], source=str(packing.int8))
    for field in ("name", "class_names", "input_size"):
        if getattr(other, field) != getattr(spec, field):
            raise ModelFileError(
                f"{packing.int8}: {field} {getattr(other, field)!r}, {source} has {getattr(spec, field)!r}",
                hint="quantize the model that is packed",
            )


def _check_size(model: ShippedModel, limit_mb: float) -> None:
    total = sum(file.bytes for file in model.files) / 1e6
    if total > limit_mb:
        raise ConfigError(f"{model.name}: {total:.1f} MB, more than {limit_mb:g}", hint="pack a smaller model")


def _card_text(packing: Packing, kept: Path) -> str:
    path = packing.card or (kept if kept.exists() else None)
    if path is None:
        return f"# {packing.name}\n"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})", hint="name a Markdown file with --card") from None


def _release_onnx(source: Path, target: Path, release: dict[str, str]) -> None:
    """Write the graph of ``source`` to ``target`` with name and version among its metadata."""
    model = read_onnx(source)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    for key, value in {**kept, **release}.items():
        model.metadata_props.add(key=key, value=value)
    target.write_bytes(model.SerializeToString())

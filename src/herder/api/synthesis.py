"""Animals that never stood anywhere: crops drawn by a diffusion model, as a labelled dataset for copy-paste.

Notation: N crops, K classes, S their side in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from herder.api.drawers import Drawer, save_grid, train_drawer
from herder.api.drawing_settings import Kind, Settings, changed, default_settings, settings_of
from herder.api.generation import GRID, JUDGED, SAMPLES, Silent, Watcher, measure, unless_begun
from herder.api.picture_source import check_enough
from herder.boxes import FloatArray, IntArray
from herder.data.crops import MARGIN, Crops, Fit, cut_crops
from herder.data.formats import yolo
from herder.data.formats.write import staged
from herder.data.records import Dataset, ImageRecord
from herder.drawing import save_picture
from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.generative.pictures import Pictures, to_photo
from herder.generative.quality import Quality
from herder.training.run import CONFIG, new_run_folder

SHAPES = ("wide", "middle", "tall")
"""Each class is drawn in three shapes, thirds of its boxes by aspect: a squeezed animal that lies is another picture
than one that stands, and one stretched back as the other would be neither."""

LEAST_OF_SHAPE = 10
"""Crops that each third should have; a class with fewer than three times as many is drawn in one shape."""

ASPECTS = (0.25, 4.0)
"""Narrowest and widest box that is drawn, width over height."""

GUIDANCE = 1.5
"""A little clearer than what was learned: a detector gains nothing from animals that can hardly be recognised."""


@dataclass(frozen=True, eq=False)
class Shaped:
    """Squeezed crops whose labels are class and shape together, and what is needed to undo the squeeze."""

    pictures: Pictures
    classes: IntArray
    """The class (N,) of each crop, into ``class_names``."""
    aspects: FloatArray
    """Width over height (N,) of each crop's box."""
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What was made: the dataset's folder, the run that made it, and how near it is to the real crops."""

    out: Path
    run: Path
    written: int
    crops: Crops
    quality: Quality | None


def shape_crops(crops: Crops) -> Shaped:
    """Label each crop with its class and its shape, "alpaca wide" and so on."""
    labels = crops.pictures.labels
    classes = np.zeros(len(crops), np.int64) if labels is None else labels.numpy()  # (N,)
    shaped = np.zeros(len(crops), np.int64)  # (N,)
    names: list[str] = []
    for k, name in enumerate(crops.pictures.class_names):
        of_class = np.flatnonzero(classes == k)
        if len(of_class) < len(SHAPES) * LEAST_OF_SHAPE:
            shaped[of_class] = len(names)
            names.append(name)
            continue
        widest_first = of_class[np.argsort(-crops.aspects[of_class], kind="stable")]
        for shape, part in zip(SHAPES, np.array_split(widest_first, len(SHAPES)), strict=True):
            shaped[part] = len(names)
            names.append(f"{name} {shape}")
    pictures = replace(crops.pictures, labels=torch.from_numpy(shaped), class_names=tuple(names))
    return Shaped(pictures, classes, crops.aspects, crops.pictures.class_names)


def synthesize(
    dataset: Dataset,
    classes: Sequence[str],
    number: int,
    size: int,
    out: Path,
    *,
    run: Path | None = None,
    resume: bool = False,
    changes: Mapping[str, Any] | None = None,
    guidance: float = GUIDANCE,
    judged: int = JUDGED,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> Synthesis:
    """Learn to draw the animals of ``classes`` and write ``number`` of each as a YOLO dataset ``out``.

    Each photo of it holds one animal, whose box fills it but for a margin, in an aspect that a real box has. The
    network's class is class and shape together, so that a standing animal is drawn to be stretched tall. ``run`` is the
    folder of the training, beside ``out`` where None, and ``resume`` goes on with it.

    Raises ConfigError for an unknown class or an ``out`` that is taken, DataError where animals are missing or fewer
    than 20, and as training does.
    """
    watcher = watcher or Silent()
    if number < 1:
        raise ConfigError(f"number: found {number}, wanted 1 or more", hint="200 is a start")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: is there already", hint="give a new folder: nothing is ever written over")
    crops = cut_crops(
        dataset, size, classes, fit=Fit.SQUEEZE, progress=lambda done, total: watcher.at("cutting out", done, total)
    )
    names = crops.pictures.class_names
    check_enough(crops.pictures, f"{' and '.join(names)} of {dataset.root}")
    small = f", {crops.too_small} left out as too small" if crops.too_small else ""
    watcher.say(f"{len(crops)} animals cut out of {dataset.root}{small}")
    shaped = shape_crops(crops)
    facts = {"kind": "synthesis", "classes": list(names), "size": size, "fingerprint": dataset.fingerprint()}
    folder = run or out.with_name(f"{out.name}-run")
    begun = resume and (folder / CONFIG).exists()
    if begun:
        settings = changed(_begun_settings(folder, facts), changes or {})
    else:
        settings = changed(default_settings(Kind.DIFFUSION, size, photos=True), {"seed": seed} | dict(changes or {}))
        folder = new_run_folder(folder)
        write_atomic(folder / CONFIG, _to_json(facts | {"config": settings.as_dict()}))
    watcher.say(f"run folder {folder}")
    with unless_begun(folder):
        drawer = train_drawer(shaped.pictures, settings, folder, resume=begun, at=watcher.at)
    drawn, classes_drawn, aspects = draw_animals(drawer, shaped, number, guidance, seed, watcher)
    save_grid(folder / SAMPLES, drawn[:GRID])
    quality = measure(crops.pictures, drawn[:judged], folder, watcher) if judged else None
    about = {"made_by": "herder data synthesize", "number": len(drawn), "guidance": guidance, "seed": seed, **facts}
    about["config"] = settings.as_dict()
    if quality is not None:
        about["quality"] = asdict(quality)
    write_crops(out, drawn, classes_drawn, aspects, names, about)
    return Synthesis(out, folder, len(drawn), crops, quality)


def draw_animals(
    drawer: Drawer, shaped: Shaped, number: int, guidance: float, seed: int, watcher: Watcher
) -> tuple[Tensor, IntArray, FloatArray]:
    """``number`` animals of each class (N, 3, S, S), their classes (N,) and aspects (N,), in a random order.

    Each takes shape and aspect of a real crop of its class, drawn at random.
    """
    rng = np.random.default_rng(seed)
    taken = np.concatenate(
        [rng.choice(np.flatnonzero(shaped.classes == k), number) for k in np.unique(shaped.classes).tolist()]
    )
    taken = rng.permutation(taken)  # (N,) of real crops
    labels = None if shaped.pictures.labels is None else shaped.pictures.labels[torch.from_numpy(taken)]
    known = labels if drawer.class_names else None
    drawn = drawer.draw(
        len(taken),
        labels=known,
        guidance=guidance if known is not None else 1.0,
        seed=seed,
        progress=lambda done, total: watcher.at("drawing", done, total),
    )
    return drawn, shaped.classes[taken], shaped.aspects[taken]


def write_crops(
    out: Path, drawn: Tensor, classes: IntArray, aspects: FloatArray, names: tuple[str, ...], about: Mapping[str, Any]
) -> None:
    """Write pictures (N, 3, S, S) of squeezed animals as a YOLO dataset, each stretched back to its aspect (N,).

    Area stays: a picture of S x S becomes one of S sqrt(aspect) x S / sqrt(aspect). PNG, since JPEG's blocks would be
    half as large as an eye. ``about.json`` says how they were made. Raises ConfigError where ``out`` is taken.
    """
    digits = len(str(max(0, len(drawn) - 1)))
    with staged(out) as stage:
        for i, (picture, name, aspect) in enumerate(zip(drawn, classes.tolist(), aspects.tolist(), strict=True)):
            photo = to_photo(picture)  # (S, S, 3)
            stretch = float(np.sqrt(np.clip(aspect, *ASPECTS)))
            width, height = (max(8, round(photo.shape[0] * factor)) for factor in (stretch, 1 / stretch))
            stretched = cv2.resize(photo, (width, height), interpolation=cv2.INTER_LINEAR)  # (height, width, 3)
            edge = MARGIN / (1 + 2 * MARGIN)
            box = np.array([[edge * width, edge * height, (1 - edge) * width, (1 - edge) * height]])
            stem = f"{_plain(names[name])}-{i:0{digits}d}"
            save_picture(stage / "images" / f"{stem}.png", stretched.astype(np.uint8, copy=False))
            record = ImageRecord(Path(f"{stem}.png"), width, height, box, np.array([name]))
            write_atomic(stage / "labels" / f"{stem}.txt", yolo.label_text(record).encode())
        write_atomic(stage / "classes.txt", "".join(f"{name}\n" for name in names).encode())
        write_atomic(stage / "data.yaml", yolo.settings_text(names, [""]).encode())
        write_atomic(stage / "about.json", _to_json(about))


def _begun_settings(folder: Path, facts: Mapping[str, Any]) -> Settings:
    """The settings of the run in ``folder``. Raises where it is another one than ``facts`` describe."""
    path = folder / CONFIG
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
        found, values = {name: begun[name] for name in facts}, dict(begun["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: is no run of herder data synthesize ({error})", hint="start a new run") from None
    for name, value in facts.items():
        if found[name] != value:
            raise ConfigError(
                f"{folder}: the run there has another {name}", hint="give the same data and flags, or another --run"
            )
    return settings_of(Kind.DIFFUSION, values, where=path)


def _to_json(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


def _plain(name: str) -> str:
    """A class name as a file's name: letters, digits and dashes."""
    return "".join(c if c.isalnum() else "-" for c in name) or "animal"

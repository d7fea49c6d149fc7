"""Teachers for distillation: model files become one ensemble, which teaches, detects, and labels photos without labels.

Learning from a teacher's own labels on new photos: pseudo-labels, https://arxiv.org/abs/1905.00546 and
https://arxiv.org/abs/2005.04757 (STAC), with the uncertain ones left out of the loss.
Notation: B photos, A cells, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.catalogue import Use, resolve
from herder.data.formats.photos import list_photos, read_sizes
from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import ConfigError, DataError
from herder.images import read_image
from herder.inference import Detector
from herder.model.distillation import DistillationLoss, Teachers, matching_classes
from herder.model.distillation_config import DistillationConfig
from herder.model.files import load_model
from herder.model.losses import DetectionLoss
from herder.model.network import Network
from herder.model.pretrained import import_weights
from herder.spec import ModelSpec
from herder.training.distributed import shared_count
from herder.training.interfaces import LossFunction

BATCH = 8
"""Photos that teachers look at together when they label."""


def read_teachers(paths: Iterable[str | Path]) -> list[Network]:
    """The networks of these model files: herder's own or shipped ones, or published YOLOX files (.pth, .onnx).

    Raises ModelFileError for a file that cannot be read.
    """
    files = [resolve(path, Use.WEIGHTS) for path in paths]
    return [load_model(file) if file.suffix == ".safetensors" else import_weights(file) for file in files]


def check_teachers(paths: Iterable[str | Path], student: ModelSpec, class_names: tuple[str, ...]) -> None:
    """Raise what is wrong with the teachers of a ``student`` that will learn these classes: ModelFileError for a file
    that cannot be read, ConfigError for one that lacks a class or has other strides.
    """
    for teacher in read_teachers(paths):
        matching_classes(teacher.spec, student.replace(class_names=class_names))


class TeacherEngine:
    """The teachers as one engine behind the common way from a photo to detections."""

    fixed_size: int | None = None
    needs_nms = True

    def __init__(
        self, networks: list[Network], class_names: tuple[str, ...], *, device: torch.device | str = "cpu"
    ) -> None:
        first = networks[0].spec.tempered(1.0)
        size = max(network.spec.input_size for network in networks)
        self.spec = first.replace(name="teachers", class_names=class_names, input_size=size, metrics={})
        self.device = torch.device(device)
        self.teachers = Teachers(networks, self.spec, device=self.device)

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, H, W, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K)."""
        images = torch.from_numpy(canvases).to(self.device).permute(0, 3, 1, 2)
        lesson = self.teachers.teach(images.float())
        return lesson.boxes.cpu().numpy(), lesson.scores.cpu().numpy()


def teaching_loss(
    labels: DetectionLoss,
    networks: list[Network],
    student: Network,
    config: DistillationConfig,
    *,
    device: torch.device,
    several: bool,
) -> LossFunction:
    """The loss with the teachers' terms; ``labels`` itself where there is no teacher.

    ``several`` says that several processes train: adapters would learn apart from each other there, so that
    teachers whose maps need one raise ConfigError.
    """
    if not networks:
        return labels
    teachers = Teachers(networks, student.spec, device=device)
    loss = DistillationLoss(labels, teachers, student, config, count=shared_count)
    if several and list(loss.parameters()):
        raise ConfigError(
            "distillation.features: several processes cannot share what adapts the student's maps to the teacher's",
            hint="train in one process, or use --set distillation.features=0",
        )
    return loss


@dataclass(frozen=True)
class Labelled:
    """Unlabelled photos with the teachers' labels, and what there is to say about them."""

    photos: Dataset
    sentence: str


def label_photos(
    folder: Path,
    networks: list[Network],
    known: Iterable[ImageRecord],
    class_names: tuple[str, ...],
    config: DistillationConfig,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """Let the teachers label the photos in ``folder``.

    What they find from ``label_score`` on becomes a box; what they find from ``ignore_score`` on becomes a box that
    counts neither way; a photo with neither is background. Photos whose bytes are those of a ``known`` photo (in
    the dataset) are left out: the student must not learn from what it is judged by. Photos that cannot be
    read are set aside. Raises DataError where no photo is left.
    """
    paths, problems = list_photos(folder)
    if not paths:
        raise DataError(f"{folder}: no photos in this folder", hint="name a folder of JPEG or PNG photos")
    sized: list[tuple[Path, tuple[int, int]]] = []
    taken = _digests(record.path for record in known)
    double = 0
    for path, size in zip(paths, read_sizes(paths), strict=True):
        if isinstance(size, Problem):
            problems.append(size)
        elif _digest(path) in taken:
            double += 1
        else:
            sized.append((path, size))
    detector = Detector(TeacherEngine(networks, class_names, device=device))
    read: list[int] = []
    stream = detector.stream(_readable(sized, read, problems), score=config.ignore_score, batch=BATCH)
    records = []
    for done, found in enumerate(stream):
        path, (width, height) = sized[read[done]]
        unsure = found.scores < config.label_score
        records.append(ImageRecord(path, width, height, found.boxes, found.classes, unsure, group="unlabelled"))
        if progress:
            progress(read[done] + 1, len(sized))
    if not records:
        raise DataError(
            f"{folder}: of {len(paths)} photos {double} are in the dataset already"
            f" and {len(problems)} cannot be read: none is left",
            hint="name a folder of other photos",
        )
    sure = sum(int((~record.ignore).sum()) for record in records)
    unsure_boxes = sum(len(record) for record in records) - sure
    sentence = (
        f"{len(records)} photos of {folder} labelled by the teachers: {sure} boxes, {unsure_boxes} not sure and left"
        f" out, {sum(len(r) == 0 for r in records)} photos without any"
        + (f"; {double} photos left out, since they are among the labelled ones" if double else "")
    )
    return Labelled(Dataset(tuple(records), class_names, folder, "unlabelled", tuple(problems)), sentence)


def _readable(
    sized: list[tuple[Path, tuple[int, int]]], read: list[int], problems: list[Problem]
) -> Iterator[NDArray[np.uint8]]:
    """The photos that can be decoded; their indices go to ``read``, what is wrong with the others to ``problems``."""
    for index, (path, _) in enumerate(sized):
        try:
            photo = read_image(path)
        except DataError as error:
            message = error.message.removeprefix(f"{path}: ")
            problems.append(Problem(path, "photo-broken", message, error.hint))
            continue
        read.append(index)
        yield photo


def _digests(paths: Iterable[Path]) -> set[bytes]:
    return {_digest(path) for path in paths}


def _digest(path: Path) -> bytes:
    """SHA-256 of a file's bytes. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from None

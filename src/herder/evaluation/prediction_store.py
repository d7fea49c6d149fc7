"""Detections kept on disk, so that the same model on the same photos runs once.

One safetensors file a run, named by the SHA-256 of all that decides the result: the model's bytes, the photos' bytes
and order, and the settings. Another model, another photo or another setting is another file, so nothing is ever stale.
A file that was damaged is recognised by its checksum, and its detections are computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from herder.augmented_inference import AugmentedDetector
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.errors import ConfigError, ModelFileError
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.detector import DETECTIONS_A_PHOTO, UNREADABLE, evaluate_detector, log_problem, score_floor
from herder.evaluation.metrics import Metrics
from herder.files import write_atomic
from herder.inference import Detector

_KEY, _FACTS, _CHECKSUM = "key", "facts", "sha256"
"""Metadata entries: what the file is for, names and unread photos, and the digest of both and of the arrays."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionKey:
    """All that decides what a detector finds: two runs with equal keys have equal detections."""

    model_sha256: str
    """Digest of the model file, see ``file_sha256``."""
    photos_sha256: str
    """Digest of the photos and the class names, see ``photos_sha256``."""
    size: int
    """Longest side in pixels that the network sees."""
    score: float
    """Detections under this score are not kept."""
    iou: float
    """Overlap above which the lower of two boxes is suppressed."""
    limit: int
    """Detections kept of a photo."""
    engine: str = ""
    """The class of the engine: ONNX Runtime and OpenVINO differ in the last digits."""
    looks: str = ""
    """Further views of each photo, and how they are merged; "" where there is one look."""

    def digest(self) -> str:
        """SHA-256 in hex over all fields and herder's version, whose code decides too; ``looks`` only where named."""
        content = {name: value for name, value in asdict(self).items() if name != "looks" or value}
        text = json.dumps({**content, "herder_version": version("herder")}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """Detections of each photo, in order, and by index why a photo could not be read: message and hint."""

    detections: list[Detections]
    unread: Mapping[int, tuple[str, str]] = field(default_factory=dict)


class PredictionStore:
    """A folder of detections; it is made when the first are put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: PredictionKey) -> Path:
        """The file of this key, whether or not it is there."""
        return self.folder / f"{key.digest()}.safetensors"

    def get(self, key: PredictionKey) -> list[Detections] | None:
        """The detections of each photo; None where they were never put, or the file is damaged."""
        stored = self.load(key)
        return None if stored is None else stored.detections

    def load(self, key: PredictionKey) -> StoredPredictions | None:
        """Like ``get``, with the photos that could not be read. A damaged file is reported as a warning."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            if metadata.get(_CHECKSUM) != _checksum(metadata.get(_KEY, ""), metadata.get(_FACTS, ""), arrays):
                raise ValueError("the checksum does not match")
            return _unpack(json.loads(metadata[_FACTS]), arrays)
        except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("%s: damaged (%s), its detections are computed again", path, error)
            return None

    def put(
        self,
        key: PredictionKey,
        detections: Sequence[Detections],
        unread: Mapping[int, tuple[str, str]] | None = None,
    ) -> None:
        """Keep the detections of each photo, all at once. Raises ResourceError where the folder cannot be written."""
        counts = np.array([len(found) for found in detections], np.int64)
        arrays = {
            "counts": counts,  # (P,)
            "boxes": np.concatenate([np.zeros((0, 4), np.float32), *(found.boxes for found in detections)]),
            "scores": np.concatenate([np.zeros(0, np.float32), *(found.scores for found in detections)]),
            "classes": np.concatenate([np.zeros(0, np.int64), *(found.classes for found in detections)]),
        }
        names = list(detections[0].class_names) if detections else []
        facts = json.dumps({"class_names": names, "unread": {str(i): texts for i, texts in (unread or {}).items()}})
        about = json.dumps(asdict(key), sort_keys=True)
        metadata = {_KEY: about, _FACTS: facts, _CHECKSUM: _checksum(about, facts, arrays)}
        write_atomic(self.path(key), safetensors.numpy.save(arrays, metadata=metadata))


def file_sha256(path: Path) -> str:
    """SHA-256 in hex of a model file's bytes. Raises ModelFileError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file", hint="check the path, or train a model first") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})", hint="name a readable file") from None


def photos_sha256(dataset: Dataset) -> str:
    """SHA-256 in hex over the class names and, in order, each photo's bytes and the size it is labelled with.

    A photo that is not there counts as such, so that its coming back is seen.
    """
    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    for record in dataset:
        digest.update(f"{record.width} {record.height} ".encode())
        try:
            with record.path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            digest.update(f"unread {error.errno}".encode())
    return digest.hexdigest()


def prediction_key(detector: Detector, dataset: Dataset, model_sha256: str, size: int | None = None) -> PredictionKey:
    """The key of ``evaluate_detector``'s run of this detector, from the model file of this digest, on these photos."""
    return PredictionKey(
        model_sha256,
        photos_sha256(dataset),
        size or detector.engine.fixed_size or detector.spec.input_size,
        score_floor(detector.spec) / detector.looks,
        detector.spec.nms_iou,
        DETECTIONS_A_PHOTO,
        type(detector.engine).__name__,
        f"{detector.augmentation} {detector.merge.value}" if isinstance(detector, AugmentedDetector) else "",
    )


def predictions_of(
    detector: Detector,
    dataset: Dataset,
    store: PredictionStore,
    model_sha256: str,
    *,
    size: int | None = None,
    batch: int = 8,
    progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> tuple[Metrics, list[Detections]]:
    """``evaluate_detector``, but what was found once comes out of the store; the result is the same either way.

    ``model_sha256`` is the digest of the file that ``detector`` was loaded from. Photos that cannot be read are given
    to ``on_problem`` each time. Raises what ``evaluate_detector`` raises, and ResourceError where the store cannot be
    written.
    """
    if not dataset.records:
        raise ConfigError("evaluation: the dataset has no photos", hint="check the path and the split")
    key = prediction_key(detector, dataset, model_sha256, size)
    stored = store.load(key)
    if stored is None or len(stored.detections) != len(dataset):
        unread: dict[Path, Problem] = {}

        def note(problem: Problem) -> None:
            unread[problem.path] = problem
            on_problem(problem)

        metrics, found = evaluate_detector(
            detector, dataset, size=size, batch=batch, progress=progress, on_problem=note
        )
        told = {i: unread[record.path] for i, record in enumerate(dataset) if record.path in unread}
        store.put(key, found, {i: (problem.message, problem.hint) for i, problem in told.items()})
        return metrics, found
    for index, (message, hint) in sorted(stored.unread.items()):
        on_problem(Problem(dataset[index].path, UNREADABLE, message, hint))
    read = [i for i in range(len(dataset)) if i not in stored.unread]
    found = stored.detections
    if progress:
        progress(len(dataset), len(dataset))
    return evaluate_detections([found[i] for i in read], [dataset[i] for i in read], dataset.class_names), found


def _checksum(about: str, facts: str, arrays: Mapping[str, NDArray[np.generic]]) -> str:
    digest = hashlib.sha256(f"{about}\n{facts}\n".encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _unpack(facts: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]) -> StoredPredictions:
    """Cut the flat arrays into photos. The checksum held, so that only what another version wrote can raise here."""
    names, unread = facts["class_names"], facts["unread"]
    if not isinstance(names, list) or not isinstance(unread, dict):
        raise ValueError("written by another version")
    cuts = np.cumsum(arrays["counts"].astype(np.int64))[:-1]
    parts = zip(*(np.split(arrays[name], cuts) for name in ("boxes", "scores", "classes")), strict=True)
    # Cutting at no place still gives one part: of no photos that is one too many.
    kept = list(parts)[: len(arrays["counts"])]
    detections = [Detections(boxes, scores, classes, tuple(names)) for boxes, scores, classes in kept]
    return StoredPredictions(detections, {int(i): (texts[0], texts[1]) for i, texts in unread.items()})

"""What a finished run shows: curves, confusions, its training batches and its detections on validation photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.data.pipeline import TrainingPipeline
from herder.data.records import Dataset
from herder.drawing import draw_boxes, grid, save_picture
from herder.errors import DataError
from herder.evaluation import evaluate_detector
from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.error_analysis import confusion_matrix
from herder.evaluation.plots import PictureFormat, confusion_plot, f1_plot, precision_recall_plot, training_curves
from herder.evaluation.tables import detection_table, truth_table
from herder.files import write_atomic
from herder.images import read_image
from herder.inference import Detector
from herder.model.distillation import DistillationLoss
from herder.model.engine import TorchEngine
from herder.model.files import load_model
from herder.training.interfaces import TrainResult
from herder.training.tracking import LOSSES, read_rows

PICTURES = 16
"""Photos in a grid."""


def write_plots(result: TrainResult, validation: Dataset, pipeline: TrainingPipeline) -> None:
    """Write ``plots/`` in the run folder. Raises MissingExtraError without matplotlib, ResourceError on a full disk."""
    folder, kind, names = result.folder / "plots", PictureFormat.PNG, validation.class_names
    write_atomic(folder / "training.png", training_plot(result.folder / "metrics.csv", kind))
    metrics, detections = evaluate_detector(Detector(TorchEngine(load_model(result.best))), validation)
    truth, found = truth_table(validation.records), detection_table(detections).best()
    whole, per_class = precision_recall_curves(truth, found, len(names))
    write_atomic(folder / "precision_recall.png", precision_recall_plot(whole, per_class, names, kind))
    write_atomic(folder / "f1.png", f1_plot(whole, per_class, names, kind))
    matrix = confusion_matrix(truth, found, names, metrics.threshold)
    write_atomic(folder / "confusion.png", confusion_plot(matrix, kind))
    pictures = []
    for record, each in zip(validation.records[:PICTURES], detections, strict=False):
        try:
            photo = read_image(record.path)
        except DataError:
            continue  # evaluate_detector has reported it
        shown = each.above(metrics.threshold)
        labels = [f"{name} {score:.2f}" for name, score in zip(shown.names, shown.scores, strict=True)]
        pictures.append(draw_boxes(photo, shown.boxes, labels))
    if pictures:
        save_picture(folder / "detections.png", grid(pictures))
    save_picture(folder / "batch.png", grid(batch_pictures(pipeline, names)))


def training_plot(metrics_csv: Path, kind: PictureFormat) -> bytes:
    """Losses, quality and learning rates over the epochs."""
    rows = [
        {
            f"{name} loss" if name in (*LOSSES, *DistillationLoss.more_terms) else name: value
            for name, value in row.items()
        }
        for row in read_rows(metrics_csv)
    ]
    return training_curves(rows, kind)


def batch_pictures(pipeline: TrainingPipeline, names: tuple[str, ...]) -> list[NDArray[np.uint8]]:
    """Pictures (S, S, 3) of the run's first batch, as the network saw them, with their boxes."""
    batch = next(pipeline.epoch(0))
    pictures = []
    for image, boxes, classes, valid in zip(batch.images, batch.boxes, batch.classes, batch.valid, strict=True):
        labels = [names[c] for c in classes[valid].tolist()]
        picture = np.ascontiguousarray(image.permute(1, 2, 0).numpy())  # (S, S, 3)
        pictures.append(draw_boxes(picture, boxes[valid].numpy(), labels))
    return pictures[:PICTURES]

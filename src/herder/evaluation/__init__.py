"""How good a detector is: COCO's measures, the best threshold, pictures of where it fails, and a report."""

from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.coco_files import evaluate_files
from herder.evaluation.detector import evaluate_detector
from herder.evaluation.metrics import ClassMetrics, Metrics

__all__ = ["ClassMetrics", "Metrics", "evaluate_detections", "evaluate_detector", "evaluate_files"]

from __future__ import annotations

import numpy as np

from herder.evaluation.error_analysis import confusion_matrix, photo_errors, worst
from herder.evaluation.tables import DetectionTable, TruthTable

A, B, C, FAR = [0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10], [80, 80, 10, 10]


def truth(*rows: tuple[int, int, list[int], bool]) -> TruthTable:
    boxes = np.array([r[2] for r in rows], float).reshape(-1, 4)
    return TruthTable(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.int64),
        boxes,
        np.array([r[3] for r in rows], bool),
        boxes[:, 2] * boxes[:, 3],
    )


def found(*rows: tuple[int, int, list[int], float]) -> DetectionTable:
    return DetectionTable(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], float).reshape(-1, 4),
        np.array([r[3] for r in rows]),
    )


def test_confusion_matrix_counted_by_hand() -> None:
    labelled = truth((0, 0, A, False), (0, 1, B, False), (0, 0, C, False), (1, 0, A, True))
    seen = found(
        (0, 0, A, 0.9),  # right
        (0, 0, B, 0.8),  # a 1 taken for a 0
        (0, 1, FAR, 0.7),  # nothing there
        (0, 0, C, 0.2),  # right, but under the threshold
        (1, 1, A, 0.9),  # on a herd: counts nowhere
    )
    matrix = confusion_matrix(labelled, seen, ("alpaca", "llama"), threshold=0.5)
    assert matrix.counts.tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert matrix.names == ("alpaca", "llama", "background")


def test_the_own_class_wins_among_equal_overlaps() -> None:
    labelled = truth((0, 1, A, False), (0, 0, A, False))
    seen = found((0, 0, A, 0.9), (0, 1, A, 0.8))
    assert confusion_matrix(labelled, seen, ("a", "b"), 0.5).counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_confusion_matrix_of_nothing() -> None:
    assert confusion_matrix(truth(), found(), ("a",), 0.5).counts.tolist() == [[0, 0], [0, 0]]
    assert confusion_matrix(truth((0, 0, A, False)), found(), ("a",), 0.5).counts.tolist() == [[0, 1], [0, 0]]
    assert confusion_matrix(truth(), found((0, 0, A, 0.9)), ("a",), 0.5).counts.tolist() == [[0, 0], [1, 0]]


def test_photo_errors_and_the_worst() -> None:
    labelled = truth((0, 0, A, False), (2, 0, A, False), (2, 0, B, False), (2, 0, C, True))
    seen = found((0, 0, A, 0.9), (1, 0, FAR, 0.9), (2, 0, FAR, 0.9), (2, 0, C, 0.9), (2, 0, A, 0.1))
    errors = photo_errors(labelled, seen, photos=4, threshold=0.5)
    assert [(e.hits, e.misses, e.false_alarms) for e in errors] == [(1, 0, 0), (0, 0, 1), (0, 2, 1), (0, 0, 0)]
    assert [e.photo for e in worst(errors, 10)] == [2, 1]
    assert [e.photo for e in worst(errors, 1)] == [2]

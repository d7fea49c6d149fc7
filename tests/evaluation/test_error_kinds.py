from __future__ import annotations

import numpy as np
import pytest

from herder.evaluation.average_precision import evaluate_tables
from herder.evaluation.error_breakdown import ErrorBreakdown, break_down
from herder.evaluation.error_kinds import KINDS, ErrorKind, error_examples, find_errors
from herder.evaluation.matching import match
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.tables import DetectionTable, TruthTable

A, B, FAR = [0, 0, 10, 10], [20, 0, 10, 10], [80, 80, 10, 10]
QUARTER = [6, 0, 10, 10]  # overlaps A by 40 of 160
Row = tuple[int, int, list[int], bool]


def truth(*rows: Row) -> TruthTable:
    boxes = np.array([r[2] for r in rows], float).reshape(-1, 4)
    photos, classes = (np.array([r[i] for r in rows], np.int64) for i in (0, 1))
    return TruthTable(photos, classes, boxes, np.array([r[3] for r in rows], bool), boxes[:, 2] * boxes[:, 3])


def found(*rows: tuple[int, int, list[int], float]) -> DetectionTable:
    photos, classes = (np.array([r[i] for r in rows], np.int64) for i in (0, 1))
    boxes = np.array([r[2] for r in rows], float).reshape(-1, 4)
    return DetectionTable(photos, classes, boxes, np.array([r[3] for r in rows], float))


def random_tables(seed: int, classes: int, photos: int = 12, herd: float = 0.1) -> tuple[TruthTable, DetectionTable]:
    """Boxes, and detections that are near them, twice on them, called another class, or nowhere."""
    rng = np.random.default_rng(seed)
    labelled, seen = [], []
    for photo in range(photos):
        for _ in range(rng.integers(0, 6)):
            box = np.concatenate([rng.uniform(0, 150, 2), rng.uniform(20, 80, 2)])
            kind = int(rng.integers(classes))
            labelled.append((photo, kind, box.tolist(), bool(rng.random() < herd)))
            for _ in range(rng.integers(0, 3)):
                moved = box + rng.normal(0, rng.choice([2, 12]), 4)
                moved[2:] = np.maximum(moved[2:], 4)
                called = kind if rng.random() < 0.75 else int(rng.integers(classes))
                seen.append((photo, called, moved.tolist(), float(rng.random())))
        for _ in range(rng.integers(0, 3)):
            box = np.concatenate([rng.uniform(0, 150, 2), rng.uniform(20, 80, 2)])
            seen.append((photo, int(rng.integers(classes)), box.tolist(), float(rng.random() * 0.7)))
    return truth(*labelled), found(*seen)


def plain_iou(a: list[float], b: list[float]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def gains(breakdown: ErrorBreakdown) -> dict[str, float]:
    rows = (*breakdown.kinds, breakdown.false_positives, breakdown.false_negatives)
    return {row.name: row.gain for row in rows if isinstance(row.gain, float)}


def counts(breakdown: ErrorBreakdown) -> dict[str, int]:
    rows = (*breakdown.kinds, breakdown.false_positives, breakdown.false_negatives)
    return {row.name: row.count for row in rows}


def test_one_error_of_each_kind() -> None:
    labelled = truth((0, 0, A, False), (0, 0, B, False), (1, 0, A, False), (2, 0, A, False), (3, 0, B, False))
    seen = found(
        (0, 0, A, 0.9),  # a hit
        (0, 0, A, 0.8),  # the same again
        (1, 1, A, 0.9),  # good box, wrong name
        (2, 0, QUARTER, 0.9),  # right name, poor box
        (2, 1, QUARTER, 0.8),  # neither
        (3, 0, FAR, 0.9),  # nothing there
    )
    errors = find_errors(labelled, seen)
    names = ["hit" if kind < 0 else KINDS[kind].value for kind in errors.kinds.tolist()]
    assert names == ["hit", "duplicate", "classification", "localisation", "both", "background"]
    assert errors.about.tolist() == [-1, 0, 2, 3, 3, -1]
    assert errors.unseen.tolist() == [False, True, True, True, True]
    assert errors.missed.tolist() == [False, True, False, False, True]  # two are what another error is about


def test_what_lies_on_a_herd_is_no_error_and_a_herd_is_not_missed() -> None:
    labelled = truth((0, 0, [0, 0, 50, 50], True), (0, 0, FAR, False))
    errors = find_errors(labelled, found((0, 0, A, 0.9), (0, 0, B, 0.8)))
    assert len(errors.found) == 0
    assert errors.missed.tolist() == [True]
    assert errors.truth.boxes.tolist() == [FAR]


@pytest.mark.parametrize("seed", range(8))
def test_kinds_are_those_of_plain_loops(seed: int) -> None:
    labelled, seen = random_tables(seed, classes=1 + seed % 4)
    errors = find_errors(labelled, seen)
    expected = []
    matches = match(labelled, seen)
    for row in np.flatnonzero(~matches.ignored).tolist():
        if matches.truth[row] >= 0:
            expected.append(-1)
            continue
        own, other = 0.0, 0.0
        for box in range(len(labelled)):
            if labelled.photos[box] != seen.photos[row] or labelled.ignore[box]:
                continue
            iou = plain_iou(seen.boxes[row].tolist(), labelled.boxes[box].tolist())
            if labelled.classes[box] == seen.classes[row]:
                own = max(own, iou)
            else:
                other = max(other, iou)
        if 0.1 <= own < 0.5:
            kind = ErrorKind.LOCALISATION
        elif other >= 0.5:
            kind = ErrorKind.CLASSIFICATION
        elif own >= 0.5:
            kind = ErrorKind.DUPLICATE
        else:
            kind = ErrorKind.BACKGROUND if max(own, other) < 0.1 else ErrorKind.BOTH
        expected.append(KINDS.index(kind))
    assert errors.kinds.tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_gains_are_those_of_tables_that_were_really_mended(seed: int) -> None:
    classes = 1 + seed % 3
    labelled, seen = random_tables(seed, classes, photos=30, herd=0)
    names = [str(i) for i in range(classes)]
    errors = find_errors(labelled, seen)
    hit = errors.hits >= 0

    def map50(boxes: TruthTable, detections: DetectionTable) -> float:
        return evaluate_tables(boxes, detections, 30, names).map50

    before = map50(labelled, seen)
    result = break_down(labelled, seen, 30, names, 0.5)
    found_gains = gains(result)
    assert result.map50 == pytest.approx(before, abs=1e-9)
    for kind in (ErrorKind.BOTH, ErrorKind.DUPLICATE, ErrorKind.BACKGROUND):
        mended = map50(labelled, seen.pick(~errors.of(kind)))
        assert found_gains[kind.value] == pytest.approx(mended - before, abs=1e-9)
    left = ~errors.missed
    fewer = TruthTable(*(getattr(labelled, n)[left] for n in ("photos", "classes", "boxes", "ignore", "areas")))
    assert found_gains["missed"] == pytest.approx(map50(fewer, seen) - before, abs=1e-9)
    assert found_gains["false positives"] == pytest.approx(map50(labelled, seen.pick(hit)) - before, abs=1e-9)
    for kind in (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION):
        # Put each wrong detection right on its box, and drop the lower scored of any two on one box by hand.
        boxes, kinds, keep = seen.boxes.copy(), seen.classes.copy(), np.ones(len(seen), bool)
        best: dict[int, int] = {}
        for row in np.argsort(-seen.scores, kind="stable").tolist():
            wrong = bool(errors.of(kind)[row])
            target = int(errors.about[row] if wrong else errors.hits[row])
            if target in best and (wrong or errors.of(kind)[best[target]]):
                keep[row] = False
            elif target >= 0 and (wrong or hit[row]):
                best[target] = row
                if wrong:
                    boxes[row], kinds[row] = labelled.boxes[target], labelled.classes[target]
        mended_table = DetectionTable(seen.photos, kinds, boxes, seen.scores).pick(keep)
        assert found_gains[kind.value] == pytest.approx(map50(labelled, mended_table) - before, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_fixing_errors_never_costs_anything(seed: int) -> None:
    labelled, seen = random_tables(seed, classes=3)
    result = break_down(labelled, seen, 12, ["a", "b", "c"], 0.3)
    assert min(gains(result).values()) >= -1e-12
    kinds = counts(result)
    assert kinds["false positives"] == sum(kinds[k.value] for k in KINDS if k is not ErrorKind.MISSED)
    assert all(row.at_threshold <= row.count for row in result.kinds if row.name != "missed")


def test_gain_by_hand() -> None:
    """A poor box before a hit, of two: precision 1/2 up to recall 1/2, then nothing; mended, both are hits."""
    result = break_down(
        truth((0, 0, A, False), (0, 0, B, False)),
        found((0, 0, QUARTER, 0.9), (0, 0, B, 0.8)),
        photos=1,
        class_names=["alpaca"],
        threshold=0.5,
    )
    before = 51 / 101 / 2
    assert result.map50 == pytest.approx(before)
    assert gains(result) == pytest.approx(
        {
            "classification": 0,
            "localisation": 1 - before,
            "both": 0,
            "duplicate": 0,
            "background": 0,
            "missed": 0,
            "false positives": 51 / 101 - before,
            "false negatives": 1 / 2 - before,
        }
    )


def test_a_class_of_which_nothing_was_found() -> None:
    """Once its missed boxes no longer count nothing of it is wrong."""
    result = break_down(truth((0, 0, A, False), (0, 1, B, False)), found((0, 0, A, 0.9)), 1, ["a", "b"], 0.5)
    assert result.map50 == pytest.approx(0.5)
    assert gains(result)["missed"] == pytest.approx(0.5)


def test_one_class_has_no_wrong_ones() -> None:
    labelled, seen = random_tables(3, classes=1)
    result = break_down(labelled, seen, 12, ["alpaca"], 0.3)
    assert counts(result)["classification"] == counts(result)["both"] == 0


def test_nothing_labelled_and_nothing_found() -> None:
    nothing = break_down(truth(), found(), 0, ["a"], 0.5)
    assert isinstance(nothing.map50, NotComputed)
    assert all(isinstance(row.gain, NotComputed) for row in nothing.kinds)
    alarms = break_down(truth(), found((0, 0, A, 0.9)), 1, ["a"], 0.5)
    assert counts(alarms)["background"] == 1
    blind = break_down(truth((0, 0, A, False)), found(), 1, ["a"], 0.5)
    assert blind.map50 == 0
    assert gains(blind)["missed"] == 1
    assert [e.labelled for e in blind.examples[KINDS.index(ErrorKind.MISSED)]] == [(0, 0, 10, 10)]


def test_examples_take_another_photo_before_the_second_of_one() -> None:
    seen = found((0, 0, FAR, 0.9), (0, 0, A, 0.8), (1, 0, FAR, 0.3))
    examples = error_examples(find_errors(truth(), seen), ErrorKind.BACKGROUND, ["a"])
    assert [(e.photo, e.score) for e in examples] == [(0, 0.9), (1, 0.3), (0, 0.8)]
    assert examples[0].box == (80, 80, 90, 90)
    assert examples[0].labelled is None

import numpy as np
import pytest

from herder.edge.parity import HALF, ParityError, Tolerance, check_parity, measure_parity
from herder.errors import ModelFileError
from herder.spec import example_spec


class Fixed:
    """An engine that gives the same candidates for every picture."""

    def __init__(self, boxes, scores, *, fixed_size=None):
        self.spec = example_spec().replace(input_size=64, nms_iou=0.5, max_detections=3)
        self.needs_nms, self.fixed_size = True, fixed_size
        self.boxes, self.scores = np.array(boxes, np.float32), np.array(scores, np.float32)

    def predict(self, canvases):
        count = len(canvases)
        return np.repeat(self.boxes[None], count, 0), np.repeat(self.scores[None], count, 0)


BOXES = [[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 50, 50]]
SCORES = [[0.9], [0.8], [0.5]]


def test_the_largest_differences_are_told():
    moved = [[0, 0, 10, 10.25], *BOXES[1:]]
    parity = check_parity(Fixed(BOXES, SCORES), Fixed(moved, [[0.9], [0.7995], [0.5]]))
    assert parity.box_px == 0.25
    assert parity.score == pytest.approx(0.0005, abs=1e-6)
    assert parity.ok
    assert parity.pictures == 4
    assert parity.candidates == 12


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        ([[0, 0, 10, 11.5], *BOXES[1:]], SCORES),
        (BOXES, [[0.9], [0.8], [0.502]]),
        ([[np.nan] * 4, *BOXES[1:]], SCORES),
        (BOXES, [[np.nan], [0.8], [0.5]]),
    ],
)
def test_more_than_a_pixel_or_a_thousandth_or_no_number_fails(boxes, scores):
    with pytest.raises(ModelFileError, match="does not agree"):
        check_parity(Fixed(BOXES, SCORES), Fixed(boxes, scores))


def test_boxes_nobody_sees_do_not_count():
    faint = [*SCORES, *[[1e-5]] * 200]
    many = [*BOXES, *[[0, 0, 1, 1]] * 200]
    other = [*BOXES, *[[0, 0, 900, 900]] * 200]
    with pytest.raises(ModelFileError):  # three candidates are few: the best hundred are compared
        check_parity(Fixed(many, faint), Fixed(other, faint))
    loud = [[0.9]] * 100 + [[1e-5]] * 10
    many, other = [BOXES[0]] * 110, [BOXES[0]] * 100 + [[0, 0, 900, 900]] * 10
    assert check_parity(Fixed(many, loud), Fixed(other, loud)).ok


def test_suppressed_output_may_leave_out_overlapped_boxes_only():
    reference = Fixed(BOXES, SCORES)
    assert check_parity(reference, Fixed([BOXES[0], BOXES[2]], [[0.9], [0.5]])).ok
    with pytest.raises(ModelFileError, match="4 animals missing"):
        check_parity(reference, Fixed([BOXES[0]], [[0.9]]))
    with pytest.raises(ModelFileError, match="animals missing"):  # the worse of two may not stand for the better
        check_parity(reference, Fixed([BOXES[1], BOXES[2]], [[0.8], [0.5]]))
    with pytest.raises(ModelFileError, match="boxes within"):  # a box that torch never said
        check_parity(reference, Fixed([BOXES[0], [70, 70, 80, 80]], [[0.9], [0.5]]))


def test_nothing_found_agrees_with_nothing_to_find():
    faint = Fixed(BOXES, [[0.001]] * 3)
    assert check_parity(faint, Fixed(np.zeros((0, 4)), np.zeros((0, 1)))).ok


def test_a_fixed_file_is_compared_at_its_size(monkeypatch):
    shapes = []

    class Watcher(Fixed):
        def predict(self, canvases):
            shapes.append(canvases.shape)
            return super().predict(canvases)

    check_parity(Fixed(BOXES, SCORES), Watcher(BOXES, SCORES, fixed_size=96))
    check_parity(Fixed(BOXES, SCORES), Watcher(BOXES, SCORES, fixed_size=96), [np.zeros((40, 60, 3), np.uint8)] * 30)
    assert set(shapes) == {(2, 96, 96, 3), (1, 96, 96, 3)}
    assert len(shapes) == 1 + 16  # more photos show nothing new


def test_a_looser_tolerance_is_stated_and_kept():
    moved = [[0, 0, 10, 16], *BOXES[1:]]
    loose = check_parity(Fixed(BOXES, SCORES), Fixed(moved, [[0.89], [0.8], [0.5]]), tolerance=HALF)
    assert loose.ok
    assert "boxes within 6 px, scores within 0.01 (allowed: 8 px and 0.03)" in str(loose)
    with pytest.raises(ParityError, match=r"allowed: 1 px and 0\.001"):
        check_parity(Fixed(BOXES, SCORES), Fixed(moved, SCORES))
    with pytest.raises(ParityError, match=r"allowed: 5 px and 0\.03"):
        check_parity(Fixed(BOXES, SCORES), Fixed(moved, SCORES), tolerance=Tolerance(5, 0.03))


def test_measuring_does_not_judge():
    far = measure_parity(Fixed(BOXES, SCORES), Fixed([[0, 0, 50, 10], *BOXES[1:]], SCORES))
    assert (far.box_px, far.ok) == (40, False)

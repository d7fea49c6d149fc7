import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.detections import Detections

NAMES = ("alpaca", "llama")


@st.composite
def found(draw):
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 900), st.integers(0, 900), st.integers(1, 99), st.integers(1, 99), st.integers(1, 1000)
            ),
            max_size=20,
        )
    )
    rows.sort(key=lambda row: -row[4])
    boxes = [[x, y, x + w, y + h] for x, y, w, h, _ in rows]
    classes = [draw(st.integers(0, 1)) for _ in rows]
    return Detections(boxes, [s / 1000 for *_, s in rows], classes, NAMES)


@given(found())
def test_coco_there_and_back(detections):
    rows = json.loads(json.dumps(detections.to_coco("a.jpg")))
    assert all(set(row) == {"file_name", "category", "bbox", "score"} for row in rows)
    back = Detections.from_coco(rows, NAMES)
    np.testing.assert_allclose(back.boxes, detections.boxes, atol=1e-3)
    np.testing.assert_allclose(back.scores, detections.scores, atol=1e-5)
    assert back.names == detections.names


def test_coco_rows_by_hand():
    rows = Detections([[10, 20, 40, 60]], [0.75], [1], NAMES).to_coco("b.jpg")
    assert rows == [{"file_name": "b.jpg", "category": "llama", "bbox": [10.0, 20.0, 30.0, 40.0], "score": 0.75}]


def test_an_unknown_category_is_named():
    row = {"file_name": "a.jpg", "category": "cow", "bbox": [0, 0, 1, 1], "score": 1}
    with pytest.raises(ValueError, match="cow"):
        Detections.from_coco([row], NAMES)


def test_lengths_must_match():
    with pytest.raises(ValueError, match="1 boxes, 2 scores and 1 classes"):
        Detections([[0, 0, 1, 1]], [0.5, 0.4], [0])


def test_nothing_found():
    nothing = Detections.empty(NAMES)
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert list(nothing) == []
    assert nothing.names == []
    assert nothing.to_coco("a.jpg") == []
    assert len(Detections.from_coco([], NAMES)) == 0
    assert len(nothing.above(0.5)) == 0


def test_above_keeps_scores_from_there_on():
    detections = Detections([[0, 0, 1, 1]] * 3, [0.9, 0.5, 0.1], [0, 1, 0], NAMES)
    assert detections.above(0.5).scores.tolist() == pytest.approx([0.9, 0.5])
    assert detections.above(0.5).class_names == NAMES


def test_one_of_many_stays_detections():
    one = Detections([[0, 0, 1, 1], [2, 2, 3, 3]], [0.9, 0.5], [0, 1], NAMES)[1]
    assert one.boxes.tolist() == [[2, 2, 3, 3]]
    assert one.names == ["llama"]


def test_iteration_gives_plain_numbers():
    ((box, score, index),) = Detections([[0, 1, 2, 3]], [0.5], [1], NAMES)
    assert box.tolist() == [0, 1, 2, 3]
    assert (type(score), type(index)) == (float, int)


def test_ids_without_a_name_show_as_numbers():
    assert Detections([[0, 0, 1, 1]] * 2, [0.9, 0.8], [7, -1], NAMES).names == ["7", "-1"]


def test_supervision_gets_what_its_constructor_takes():
    fields = Detections([[0, 0, 1, 1]], [0.5], [0], NAMES).to_supervision()
    assert set(fields) == {"xyxy", "confidence", "class_id", "data"}
    assert fields["data"]["class_name"].tolist() == ["alpaca"]

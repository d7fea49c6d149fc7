import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from herder.errors import ConfigError, DataError, ResourceError
from herder.inference import CANDIDATES, Detector, as_rgb, select
from herder.spec import example_spec


class WhiteFinder:
    """An engine that knows the truth: it boxes the white rectangle on each canvas, twice, and something faint."""

    def __init__(self, *, needs_nms=True, fixed_size=None):
        self.spec = example_spec().replace(input_size=96, nms_iou=0.6)
        self.needs_nms, self.fixed_size = needs_nms, fixed_size
        self.shapes = []

    def predict(self, canvases):
        self.shapes.append(canvases.shape)
        boxes = np.zeros((len(canvases), 3, 4), np.float32)
        scores = np.tile(np.array([[0.8], [0.9], [0.1]], np.float32), (len(canvases), 1, 1))
        for row, canvas in enumerate(canvases):
            y, x = np.nonzero((canvas > 250).all(axis=2))
            if len(x):
                boxes[row, :2] = (x.min(), y.min(), x.max() + 1, y.max() + 1)
                boxes[row, 0, 2] -= 1
            else:
                scores[row] = 0
            boxes[row, 2] = (0, 0, 5, 5)
        return boxes, scores


def photo(width=192, height=128, box=(40, 20, 100, 80)):
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    return pixels


def test_the_box_comes_back_in_photo_pixels():
    found = Detector(WhiteFinder()).detect(photo())  # 192 x 128 halved exactly
    assert found.boxes.tolist() == [[40, 20, 100, 80]]
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.names == ["alpaca"]


def test_path_picture_and_array_are_the_same(tmp_path):
    detector, pixels = Detector(WhiteFinder()), photo()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(pixels), pixels]
    alone = [detector.detect(source) for source in sources]
    together = detector.detect(sources)
    for found in (*alone, *together):
        assert found.boxes.tolist() == [[40, 20, 100, 80]]


def test_a_batch_of_mixed_shapes_equals_one_by_one():
    rng = np.random.default_rng(1)
    photos = []
    for _ in range(11):
        width, height = (int(v) for v in rng.integers(60, 300, 2))
        x, y = int(rng.integers(0, width - 40)), int(rng.integers(0, height - 40))
        photos.append(photo(width, height, (x, y, x + 30, y + 35)))
    engine = WhiteFinder()
    detector = Detector(engine)
    together = detector.detect(photos, batch=4)
    assert max(shape[0] for shape in engine.shapes) > 1
    for pixels, found in zip(photos, together, strict=True):
        alone = detector.detect(pixels)
        assert np.array_equal(alone.boxes, found.boxes)
        assert np.array_equal(alone.scores, found.scores)


def test_no_photos_give_no_detections():
    assert Detector(WhiteFinder()).detect([]) == []
    assert list(Detector(WhiteFinder()).stream(iter([]))) == []


def test_a_photo_without_animals():
    found = Detector(WhiteFinder()).detect(np.zeros((50, 40, 3), np.uint8))
    assert len(found) == 0
    assert found.class_names == ("alpaca",)


def test_thresholds_and_limit():
    detector = Detector(WhiteFinder())
    assert len(detector.detect(photo(), score=0.95)) == 0
    assert detector.detect(photo(), score=0.05).scores.tolist() == pytest.approx([0.9, 0.1])
    assert len(detector.detect(photo(), iou=1.0)) == 2
    assert len(detector.detect(photo(), score=0, iou=1.0, limit=1)) == 1
    assert len(Detector(WhiteFinder(needs_nms=False)).detect(photo())) == 2


def test_the_canvas_is_cut_to_the_photo_unless_the_file_is_fixed():
    free, fixed = WhiteFinder(), WhiteFinder(fixed_size=128)
    Detector(free).detect(photo(200, 60, (0, 0, 9, 9)))
    Detector(fixed).detect(photo(200, 60, (0, 0, 9, 9)))
    assert free.shapes == [(1, 32, 96, 3)]
    assert fixed.shapes == [(1, 128, 128, 3)]


def test_stream_holds_only_a_batch():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield photo()

    stream = Detector(WhiteFinder()).stream(endless(), batch=3)
    for _ in range(7):
        next(stream)
    assert taken == 9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 100}, "100 is not a multiple of 32"),
        ({"size": 0}, "0 is not a multiple of 32"),
        ({"size": -32}, "not a multiple"),
        ({"score": 1.5}, "score 1.5"),
        ({"iou": -0.1}, "iou -0.1"),
        ({"score": float("nan")}, "score nan"),
        ({"limit": 0}, "limit 0"),
        ({"batch": 0}, "batch 0"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_read(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Detector(WhiteFinder()).stream(iter([object()]), **wrong)


def test_a_fixed_file_takes_no_other_size():
    with pytest.raises(ConfigError, match="exported for 128 pixels only"):
        Detector(WhiteFinder(fixed_size=128)).detect(photo(), size=96)


def test_no_memory_is_a_clear_error():
    class Hungry(WhiteFinder):
        def predict(self, canvases):
            raise MemoryError

    with pytest.raises(ResourceError, match="batch of 1 photos of 96 x 64 pixels"):
        Detector(Hungry()).detect(photo())


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((2, 5, 5, 3), np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(wrong):
    with pytest.raises(DataError, match="wanted \\(height, width, 3\\) of uint8"):
        as_rgb(wrong)


def test_neither_path_nor_picture():
    with pytest.raises(DataError, match="found int"):
        as_rgb(7)


def test_a_photo_that_is_none_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("not a photo")
    with pytest.raises(DataError, match=r"a\.jpg"):
        Detector(WhiteFinder()).detect(tmp_path / "a.jpg")


def plain_select(boxes, scores, score, iou, limit):
    """The rule in plain Python: all that reach the score, best first, greedy within the class."""
    entries = [(-s, row, kind) for row, line in enumerate(scores.tolist()) for kind, s in enumerate(line) if s >= score]
    kept = []
    for value, row, kind in sorted(entries)[:CANDIDATES]:
        overlapped = False
        for _, other, other_kind in kept:
            a, b = boxes[row].tolist(), boxes[other].tolist()
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            both = max(w, 0) * max(h, 0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
            overlapped |= iou is not None and kind == other_kind and both > iou * union
        if not overlapped:
            kept.append((value, row, kind))
    return kept[:limit]


@given(st.integers(0, 80), st.integers(1, 3), st.sampled_from([None, 0.3, 0.7]), st.integers(1, 50), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_select_agrees_with_the_plain_rule(count, kinds, iou, limit, seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 40, (count, 2))], axis=1).astype(np.float32)
    scores = (rng.integers(0, 11, (count, kinds)) / 10).astype(np.float32)
    found = select(boxes, scores, 0.3, iou, limit)
    expected = plain_select(boxes, scores, 0.3, iou, limit)
    assert found.boxes.tolist() == [boxes[row].tolist() for _, row, _ in expected]
    assert found.classes.tolist() == [kind for _, _, kind in expected]
    assert (np.diff(found.scores) <= 0).all()


def test_select_keeps_the_best_of_very_many():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 500, (3 * CANDIDATES, 1)).astype(np.float32) / 500  # with many ties at the edge
    boxes = np.zeros((len(scores), 4), np.float32)
    boxes[:, 0] = np.arange(len(scores))
    found = select(boxes, scores, 0.01, None, CANDIDATES)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i, 0], i))[:CANDIDATES]
    assert found.boxes[:, 0].tolist() == expected


def test_select_passes_over_what_is_not_a_number():
    boxes = np.array([[0, 0, 1, 1], [np.nan, 0, 1, 1], [0, 0, np.inf, 1], [5, 5, 6, 6]], np.float32)
    scores = np.array([[np.nan], [0.9], [0.8], [0.7]], np.float32)
    for iou in (None, 0.5):
        assert select(boxes, scores, 0.25, iou, 10).boxes.tolist() == [[5, 5, 6, 6]]


def test_select_of_no_candidates():
    assert len(select(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32), 0.25, 0.5, 10)) == 0

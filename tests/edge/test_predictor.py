import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from PIL import Image

from herder.edge import predictor as room
from herder.edge.engine_files import open_engine
from herder.edge.predictor import Predictor
from herder.errors import ConfigError, DataError, ModelFileError
from herder.inference import Detector

ENGINES = ["onnx", "openvino"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory, make_photo):
    """Two canvas shapes, taking turns."""
    folder = tmp_path_factory.mktemp("photos")
    sizes = [(192, 128), (128, 192), (96, 64), (64, 96), (192, 128)]
    return [make_photo(folder / f"{i}.jpg", size, seed=i) for i, size in enumerate(sizes)]


def assert_same(found, expected):
    assert [len(one) for one in found] == [len(one) for one in expected]
    assert sum(len(one) for one in expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_array_equal(one.classes, other.classes)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("streams", "batch"), [(1, 1), (1, 3), (2, 1), (2, 2)])
def test_gives_what_the_detector_gives(name, streams, batch, onnx_file, photos):
    expected = Detector(open_engine(onnx_file, name, 1)).detect(photos, score=0.3)
    with Predictor(onnx_file, engine=name, threads=1, streams=streams) as predictor:
        assert_same(predictor.detect_many(photos, score=0.3, batch=batch), expected)
        assert_same(list(predictor.stream(iter(photos), score=0.3)), expected)
        assert_same([predictor.detect(photo, score=0.3) for photo in photos], expected)


def test_every_kind_of_photo(onnx_file, photos):
    predictor = Predictor(onnx_file, engine="onnx", threads=1)
    expected = [predictor.detect(photo, score=0.3) for photo in photos]
    pictures = [Image.open(photo) for photo in photos]
    assert_same(predictor.detect_many([str(photo) for photo in photos], score=0.3), expected)
    assert_same(predictor.detect_many([np.asarray(picture) for picture in pictures], score=0.3), expected)
    assert_same(predictor.detect_many(pictures, score=0.3), expected)
    assert predictor.detect_many([]) == []
    assert list(predictor.stream([])) == []


def test_suppression_in_the_graph(nms_file, photos):
    expected = Detector(open_engine(nms_file, "onnx", 1)).detect(photos, score=0.3)
    assert_same(Predictor(nms_file, engine="onnx", threads=1).detect_many(photos, score=0.3, batch=2), expected)


def test_canvases_are_used_again(onnx_file, photos, monkeypatch):
    predictor = Predictor(onnx_file, engine="onnx", threads=1)
    first = predictor.detect_many(photos, score=0.3)
    held = predictor._buffers.held_bytes
    assert held == 2 * 96 * 64 * 3

    def refuse(*_, **__):
        raise AssertionError("a new buffer was made")

    monkeypatch.setattr("herder.edge.photo_buffers.np.empty", refuse)
    assert_same(predictor.detect_many(photos[::-1], score=0.3)[::-1], first)
    assert predictor._buffers.held_bytes == held


@pytest.mark.parametrize("name", ENGINES)
def test_may_be_called_by_as_many_threads_as_there_are_streams(name, onnx_file, photos):
    predictor = Predictor(onnx_file, engine=name, threads=2, streams=3)
    expected = [predictor.detect(photo, score=0.3) for photo in photos]
    found = {}

    def work(number):
        found[number] = [predictor.detect(photo, score=0.3) for photo in photos]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(3):
        assert_same(found[number], expected)


def test_a_stream_reads_only_a_little_ahead(onnx_file, photos):
    taken = []

    def camera():
        for i in range(1000):
            taken.append(i)
            yield photos[0]

    with Predictor(onnx_file, engine="onnx", threads=1, streams=2) as predictor:
        coming = predictor.stream(camera())
        next(coming)
        next(coming)
        assert len(taken) <= 2 + 3
        coming.close()


@pytest.mark.parametrize("streams", [1, 2])
def test_a_photo_that_cannot_be_read(onnx_file, photos, tmp_path, streams):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photos[0].read_bytes()[:700])
    with Predictor(onnx_file, engine="onnx", threads=1, streams=streams) as predictor:
        with pytest.raises(DataError, match=r"none\.jpg: no such file"):
            predictor.detect_many([*photos, tmp_path / "none.jpg"])
        with pytest.raises(DataError, match=r"broken\.jpg"):
            predictor.detect_many([*photos, broken])
        coming = predictor.stream([photos[0], broken, photos[0]])
        next(coming)
        with pytest.raises(DataError, match=r"broken\.jpg"):
            next(coming)
        with pytest.raises(DataError, match="wanted \\(height, width, 3\\)"):
            predictor.detect_many([np.zeros((3, 4), np.uint8)])


def test_settings_out_of_range(onnx_file, photos):
    predictor = Predictor(onnx_file, engine="onnx", threads=1)
    for words, message in (
        ({"size": 100}, "size 100"),
        ({"score": 2}, "score 2"),
        ({"iou": -1}, "iou -1"),
        ({"limit": 0}, "limit 0"),
        ({"batch": 0}, "batch 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            predictor.detect_many(photos, **words)
    for words, message in (({"threads": 0}, "threads 0"), ({"streams": 0}, "streams 0"), ({"engine": "tpu"}, "tpu")):
        with pytest.raises(ConfigError, match=message):
            Predictor(onnx_file, **words)
    with pytest.raises(ModelFileError, match="export"):
        Predictor("best.safetensors")


def test_the_faster_engine_runs(onnx_file, monkeypatch):
    asked = []

    def faster(path, threads):
        asked.append((path, threads))
        return "openvino"

    monkeypatch.setattr(room, "faster_engine", faster)
    predictor = Predictor(onnx_file, threads=1)
    assert asked == [(onnx_file, 1)]
    assert predictor.engine_name == "openvino"
    assert type(predictor.detector.engine).__name__ == "OpenVinoEngine"
    assert predictor.spec.name == "tiny"


def test_fast_decoding_keeps_the_photos_pixels(onnx_file, tmp_path, make_photo):
    large = make_photo(tmp_path / "large.jpg", (801, 599), seed=3, quality=95)
    exact = Predictor(onnx_file, engine="onnx", threads=1)
    fast = Predictor(onnx_file, engine="onnx", threads=1, fast_decode=True)
    assert fast._read(large, 96)[1].shape[:2] == (75, 101)  # an eighth: the smallest that keeps 96 pixels
    (fit, whole), (same, few) = exact._read(large, 96), fast._read(large, 96)
    assert same == fit
    difference = np.abs(fit.apply(whole).astype(int) - same.apply(few))
    assert difference.mean() < 1.5
    assert fast.detect(large, score=0).boxes[:, 2].max() > 400  # pixels of the whole photo
    small = make_photo(tmp_path / "small.jpg", (90, 60), seed=1)
    assert_same([fast.detect(small, score=0.3)], [exact.detect(small, score=0.3)])


@pytest.mark.parametrize("name", ENGINES)
def test_runs_where_torch_cannot_be_imported(name, onnx_file):
    code = f"""
        import sys
        sys.modules["torch"] = None
        import numpy as np
        from herder.edge.predictor import Predictor
        with Predictor({str(onnx_file)!r}, engine={name!r}, threads=1, streams=2) as predictor:
            found = predictor.detect_many([np.zeros((60, 80, 3), np.uint8)] * 4)
        print("fine", len(found))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout.startswith("fine 4"), result.stderr

import subprocess
import sys
import textwrap

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.edge import runtime
from herder.edge.runtime import FACTS_KEY, OnnxEngine, OpenVinoEngine, padded
from herder.edge.threads import physical_cores
from herder.errors import ConfigError, MissingExtraError, ModelFileError, ResourceError
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.spec import METADATA_KEY

ENGINES = [OnnxEngine, OpenVinoEngine]


@pytest.mark.parametrize("engine", ENGINES)
def test_agrees_with_torch(engine, network, onnx_file, canvases):
    loaded = engine(onnx_file, threads=1)
    assert loaded.spec == network.spec
    assert (loaded.needs_nms, loaded.fixed_size) == (True, None)
    boxes, scores = loaded.predict(canvases)
    expected_boxes, expected_scores = TorchEngine(network, fuse=False).predict(canvases)
    np.testing.assert_allclose(boxes, expected_boxes, rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)
    assert (boxes.dtype, scores.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_suppression_in_the_graph(engine, network, nms_file, canvases):
    loaded = engine(nms_file, threads=1)
    assert not loaded.needs_nms
    boxes, scores = loaded.predict(canvases)
    assert boxes.shape[0] == scores.shape[0] == len(canvases)
    assert scores.shape[2] == 2
    photos = list(canvases)
    expected = Detector(TorchEngine(network)).detect(photos, score=0.3, size=160)
    found = Detector(loaded).detect(photos, score=0.3, size=160)
    assert [len(f) for f in found] == [len(e) for e in expected]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_photo_or_many_give_the_same(engine, onnx_file):
    detector = Detector(engine(onnx_file, threads=1))
    photos = [np.random.default_rng(i).integers(0, 256, (60, 90 + i, 3), np.uint8) for i in range(5)]
    together = detector.detect(photos, score=0.3, batch=5)
    for photo, found in zip(photos, together, strict=True):
        alone = detector.detect(photo, score=0.3)
        assert len(alone) == len(found) > 0
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_broken_files_are_named(engine, onnx_file, tmp_path):
    data = onnx_file.read_bytes()
    cases = {
        "cut.onnx": data[: len(data) // 2],
        "almost.onnx": data[:-10],
        "empty.onnx": b"",
        "text.onnx": b"hello there",
        "flipped.onnx": data[:100] + bytes(255 - b for b in data[100:300]) + data[300:],
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=name):
            engine(path)
    with pytest.raises(ModelFileError, match=r"none\.onnx: no such file"):
        engine(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="cannot be read"):
        engine(tmp_path)


def _with_metadata(source, target, changes):
    model = onnx.load(source)
    entries = {entry.key: entry.value for entry in model.metadata_props} | changes
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: value for key, value in entries.items() if value is not None})
    onnx.save(model, target)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({METADATA_KEY: None}, "holds no herder model spec"),
        ({METADATA_KEY: "{"}, "not JSON"),
        ({FACTS_KEY: None}, FACTS_KEY),
        ({FACTS_KEY: '{"nms": true}'}, FACTS_KEY),
    ],
)
def test_a_foreign_or_damaged_description_is_named(engine, onnx_file, tmp_path, changes, message):
    path = tmp_path / "foreign.onnx"
    _with_metadata(onnx_file, path, changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        engine(path)
    assert "foreign.onnx" in str(caught.value)


def test_a_yolox_file_from_elsewhere_is_refused(shared_dir):
    with pytest.raises(ModelFileError, match="holds no herder model spec"):
        OnnxEngine(shared_dir / "pretrained" / "yolox_nano.onnx")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sound_graph_that_takes_something_else_is_refused(engine, tmp_path):
    x, y, z = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xyz")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "y"], ["z"])], "sum", [x, y], [z])
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "sum.onnx")
    with pytest.raises(ModelFileError, match="holds no herder model spec"):
        engine(tmp_path / "sum.onnx")


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_must_be_positive(engine, onnx_file):
    with pytest.raises(ConfigError, match="threads 0"):
        engine(onnx_file, threads=0)


@pytest.mark.parametrize(
    ("engine", "package", "extra"), [(OnnxEngine, "onnxruntime", "onnx"), (OpenVinoEngine, "openvino", "openvino")]
)
def test_a_missing_package_names_the_extra(engine, package, extra, onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"herder\[{extra}\]"):
        engine(onnx_file)


def test_lack_of_memory_is_told_apart_from_other_failures(onnx_file, canvases):
    engine = OnnxEngine(onnx_file, threads=1)

    class Session:
        def __init__(self, text):
            self.text = text

        def run(self, *_):
            raise RuntimeError(self.text)

    engine._session = Session("Failed to allocate memory for requested buffer")
    with pytest.raises(ResourceError, match="3 photos of 160 x 64"):
        engine.predict(canvases)
    engine._session = Session("something else")
    with pytest.raises(RuntimeError, match="something else"):
        engine.predict(canvases)


@pytest.mark.parametrize("name", ["OnnxEngine", "OpenVinoEngine"])
def test_runs_where_torch_cannot_be_imported_and_sends_nothing(name, onnx_file):
    code = f"""
        import socket, sys
        sys.modules["torch"] = None
        def refuse(*arguments, **_):
            raise AssertionError(f"a connection was tried: {{arguments}}")
        socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
        import numpy as np
        from herder.edge.runtime import {name}
        from herder.inference import Detector
        found = Detector({name}({str(onnx_file)!r}, threads=1)).detect(np.zeros((60, 80, 3), np.uint8))
        assert sys.modules["torch"] is None
        assert not [m for m in sys.modules if m.split(".")[0] == "openvino_telemetry"], "telemetry was imported"
        print("fine", len(found))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout.startswith("fine"), result.stderr


def test_telemetry_is_hidden_for_the_import_only(monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] in ("openvino", "openvino_telemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError):
        OpenVinoEngine("whatever.onnx")
    assert "openvino_telemetry" not in sys.modules


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(1, 100), st.integers(0, 2)), max_size=30))
def test_rows_come_back_under_their_photo(rows):
    detections = np.array([[p, x, x, x + 1, x + 1, s / 100, c] for p, x, s, c in rows], np.float32).reshape(-1, 7)
    boxes, scores = padded(detections, 4, 3)
    assert boxes.shape[:2] == scores.shape[:2]
    for photo in range(4):
        mine = [(x, c, s) for p, x, s, c in rows if p == photo]
        found = [
            (int(boxes[photo, i, 0]), int(k), round(float(scores[photo, i, k]) * 100))
            for i, k in zip(*np.nonzero(scores[photo]), strict=True)
        ]
        assert found == mine


def test_physical_cores_share_and_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime.physical_cores.__globals__["os"], "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for number, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    quota = tmp_path / "cpu.max"
    assert physical_cores(tmp_path, quota) == 2
    assert physical_cores(tmp_path / "elsewhere", quota) == 4
    quota.write_text("max 100000\n")
    assert physical_cores(tmp_path, quota) == 2
    quota.write_text("50000 100000\n")
    assert physical_cores(tmp_path, quota) == 1
    quota.write_text("nonsense")
    assert physical_cores(tmp_path, quota) == 2


@pytest.mark.parametrize("name", ["OnnxEngine", "OpenVinoEngine"])
def test_the_processor_keeps_counting_as_before(name, onnx_file):
    # Some runtimes switch tiny numbers off for the whole thread, and with them the owner's own arithmetic.
    code = f"""
        import numpy as np
        from herder.edge.runtime import {name}
        {name}({str(onnx_file)!r}, threads=1).predict(np.zeros((1, 64, 64, 3), np.uint8))
        assert np.float64(5e-324) * np.float64(1) != 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60, check=True)

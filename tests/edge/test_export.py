import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from herder.edge import export as export_room
from herder.edge.export import export_onnx, export_openvino, export_torchscript
from herder.edge.parity import Parity
from herder.edge.runtime import OnnxEngine
from herder.edge.torchscript import TorchScriptEngine
from herder.errors import ConfigError, ModelFileError
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.families import make_spec
from herder.spec import METADATA_KEY, ModelSpec, example_spec


def plain_run(path, images):
    """ONNX Runtime alone, as somebody without herder would call it."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": images})


def torch_says(network, images):
    with torch.no_grad():
        return [tensor.numpy() for tensor in network(torch.from_numpy(images))]


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 96, 96), (2, 64, 160), (5, 128, 32)])
def test_batch_and_size_are_free(network, onnx_file, shape):
    images = np.random.default_rng(0).uniform(0, 255, (shape[0], 3, *shape[1:])).astype(np.float32)
    for expected, found in zip(torch_says(network, images), plain_run(onnx_file, images), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)


def test_the_file_passes_the_checker_and_has_no_norms_or_scaling_left(onnx_file):
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds
    first = next(i for i, kind in enumerate(kinds) if kind == "Conv")
    assert not {"Mul", "Div", "Cast", "Sub"} & set(kinds[:first])  # pixels go straight into the first convolution
    assert [
        (i.name, [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim]) for i in model.graph.input
    ] == [("images", ["batch", 3, "height", "width"])]
    assert [o.name for o in model.graph.output] == ["boxes", "scores"]


def test_channel_order_and_scale_are_folded(bgr_network, bgr_file):
    rgb = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    boxes, scores = torch_says(bgr_network, rgb)
    found_boxes, found_scores = plain_run(bgr_file, rgb)
    np.testing.assert_allclose(found_scores, scores, atol=1e-3)
    np.testing.assert_allclose(np.clip(found_boxes, 0, 96), np.clip(boxes, 0, 96), atol=1)
    _, turned_scores = plain_run(bgr_file, rgb[:, ::-1].copy())
    assert np.abs(turned_scores - scores).max() > 0.01  # so that the order matters here at all
    assert "Gather" not in [node.op_type for node in onnx.load(bgr_file).graph.node[:3]]


def test_metadata_say_how_to_use_the_file(network, onnx_file):
    entries = {entry.key: entry.value for entry in onnx.load(onnx_file).metadata_props}
    assert ModelSpec.from_json(entries[METADATA_KEY]) == network.spec
    assert json.loads(entries["names"]) == {"0": "alpaca", "1": "Lämmer & co"}
    assert (entries["channel_order"], entries["value_range"], entries["layout"]) == ("RGB", "0..255", "NCHW")
    assert (entries["pad_value"], entries["stride"], entries["input_size"]) == ("114", "32", "96")


def test_suppression_in_the_graph_finds_the_same_animals(network, nms_file):
    photos = [np.random.default_rng(i).integers(0, 256, (64 + 20 * i, 96, 3), np.uint8) for i in range(3)]
    ours = Detector(TorchEngine(network)).detect(photos, score=0.3)
    theirs = Detector(OnnxEngine(nms_file, threads=1)).detect(photos, score=0.3)
    assert sum(len(found) for found in ours) > 20
    for expected, found in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
        assert found.classes.tolist() == expected.classes.tolist()


def test_rows_of_the_graph_with_suppression(nms_file):
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 64)).astype(np.float32)
    (rows,) = plain_run(nms_file, images)
    assert rows.shape[1] == 7
    assert set(rows[:, 0]) == {0, 1}
    assert set(rows[:, 6]) <= {0, 1}
    assert (rows[:, 5] > 0.01).all()
    assert (rows[:, 3] >= rows[:, 1]).all()


@pytest.mark.parametrize("nms", [False, True])
def test_a_fixed_size_takes_one_photo_of_that_size(network, tmp_path, nms):
    path = export_onnx(network, network.spec, tmp_path / "f.onnx", size=64, nms=nms).path
    (images,) = onnx.load(path).graph.input
    assert [d.dim_value for d in images.type.tensor_type.shape.dim] == [1, 3, 64, 64]
    detector = Detector(OnnxEngine(path, threads=1))
    photos = [np.random.default_rng(i).integers(0, 256, (40 + i, 60, 3), np.uint8) for i in range(3)]
    together, alone = detector.detect(photos, score=0.2), [detector.detect(photo, score=0.2) for photo in photos]
    assert detector.engine.fixed_size == 64
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
    with pytest.raises(ConfigError, match="64 pixels only"):
        detector.detect(photos, size=96)


def test_a_one_to_one_head_needs_no_suppression(awake, tmp_path):
    plain = example_spec()
    spec = plain.replace(architecture=type(plain.architecture)(**{**vars(plain.architecture), "one_to_one": True}))
    network = awake(spec.replace(input_size=64))
    result = export_onnx(network, network.spec, tmp_path / "o.onnx")
    assert not OnnxEngine(result.path, threads=1).needs_nms
    images = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    for expected, found in zip(torch_says(network, images), plain_run(result.path, images), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)


def test_finished_detections_of_a_one_to_one_head_come_without_suppression(awake, tmp_path):
    plain = example_spec()
    spec = plain.replace(architecture=type(plain.architecture)(**{**vars(plain.architecture), "one_to_one": True}))
    network = awake(spec.replace(input_size=64))
    path = export_onnx(network, network.spec, tmp_path / "o.onnx", nms=True).path
    assert "NonMaxSuppression" not in [node.op_type for node in onnx.load(path).graph.node]
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    boxes, scores = torch_says(network, images)
    (rows,) = plain_run(path, images)
    photos, candidates, classes = np.nonzero(scores > 0.01)
    expected = np.column_stack([photos, boxes[photos, candidates], scores[photos, candidates, classes], classes])
    assert len(rows) == pytest.approx(len(expected), abs=2)  # rounding at the threshold
    if len(rows) == len(expected):
        order = np.lexsort(np.round(expected, 2).T), np.lexsort(np.round(rows, 2).T)
        np.testing.assert_allclose(rows[order[1]][:, 5], expected[order[0]][:, 5], atol=0.02)
    photo = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    ours = Detector(TorchEngine(network)).detect(photo, score=0.3)
    theirs = Detector(OnnxEngine(path, threads=1)).detect(photo, score=0.3)
    np.testing.assert_allclose(theirs.scores, ours.scores, atol=1e-4)
    np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["herder-n", "herder-s", "herder-m", "yolox-tiny", "yolox-s"])
def test_every_family_exports(awake, tmp_path, name):
    network = awake(make_spec(name, ("alpaca",), input_size=96))
    assert export_onnx(network, network.spec, tmp_path / "m.onnx").parity.ok
    assert export_onnx(network, network.spec, tmp_path / "n.onnx", nms=True).parity.ok


def test_exporting_leaves_the_network_as_it_was(network, tmp_path):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_onnx(network, network.spec, tmp_path / "m.onnx")
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_parity_is_measured_on_the_photos_given(network, tmp_path, make_photo):
    photos = [make_photo(tmp_path / f"{i}.jpg", (90, 60 + i), seed=i) for i in range(3)]
    result = export_onnx(network, network.spec, tmp_path / "m.onnx", photos=photos)
    assert result.parity.pictures == 3
    assert result.parity.candidates > 0
    assert result.parity.box_px < 0.01
    assert "parity with torch on 3 pictures" in str(result)


def test_a_file_that_disagrees_is_not_written(network, tmp_path, monkeypatch):
    class Liar(OnnxEngine):
        def predict(self, canvases):
            boxes, scores = super().predict(canvases)
            return boxes + 2, scores

    monkeypatch.setattr(export_room, "OnnxEngine", Liar)
    out = tmp_path / "m.onnx"
    out.write_bytes(b"what was there before")
    with pytest.raises(ModelFileError, match=r"does not agree with the network: .*boxes within 2"):
        export_onnx(network, network.spec, out)
    assert out.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("size", [0, 31, 100, -64])
def test_a_size_off_the_stride_is_refused(network, tmp_path, size):
    for export, name in ((export_onnx, "m.onnx"), (export_openvino, "m.xml"), (export_torchscript, "m.torchscript")):
        with pytest.raises(ConfigError, match=f"export size {size} is not a multiple of 32"):
            export(network, network.spec, tmp_path / name, size=size)
    assert not list(tmp_path.iterdir())


def test_torchscript_keeps_the_spec_and_agrees(network, tmp_path, canvases):
    result = export_torchscript(network, network.spec, tmp_path / "m.torchscript")
    assert isinstance(result.parity, Parity)
    engine = TorchScriptEngine(result.path)
    assert engine.spec == network.spec
    assert (engine.needs_nms, engine.fixed_size) == (True, None)
    for expected, found in zip(TorchEngine(network).predict(canvases), engine.predict(canvases), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)


def test_torchscript_of_a_fixed_size(network, tmp_path):
    path = export_torchscript(network, network.spec, tmp_path / "m.torchscript", size=64).path
    detector = Detector(TorchScriptEngine(path))
    assert len(detector.detect([Image.new("RGB", (80, 50))] * 2)) == 2


def test_a_foreign_torchscript_file_is_refused(tmp_path):
    (tmp_path / "a.torchscript").write_text("hello")
    with pytest.raises(ModelFileError, match="is not a TorchScript file"):
        TorchScriptEngine(tmp_path / "a.torchscript")


def test_the_example_without_herder_finds_what_herder_finds(network, nms_file, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "edge.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(nms_file, "best-nms.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)  # the network's size: nothing is scaled
    Image.fromarray(pixels).save("photo.png")
    exec(compile(example.replace("photo.jpg", "photo.png"), str(page), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    found = Detector(OnnxEngine(nms_file, threads=1)).detect(pixels)
    assert len(lines) == len(found) > 0
    assert sorted(line.split(" 0.")[0] for line in lines) == sorted(found.names)


@pytest.mark.parametrize(("nms", "opset", "lowest"), [(False, 10, 11), (True, 12, 13), (True, -1, 13)])
def test_an_opset_that_is_too_old_is_told_before_the_work(network, tmp_path, monkeypatch, nms, opset, lowest):
    monkeypatch.setattr(export_room, "onnx_graph", None)
    with pytest.raises(ConfigError, match=f"opset {opset}: .* operators of opset {lowest}"):
        export_onnx(network, network.spec, tmp_path / "m.onnx", nms=nms, opset=opset)


def test_an_opset_that_no_engine_reads_is_told_before_the_work(network, tmp_path, monkeypatch):
    monkeypatch.setattr(export_room, "onnx_graph", None)
    with pytest.raises(ConfigError, match=r"opset 999: ONNX Runtime .* does not read it"):
        export_onnx(network, network.spec, tmp_path / "m.onnx", opset=999)


@pytest.mark.parametrize("opset", [11, pytest.param(13, marks=pytest.mark.slow), 18])
def test_the_opset_is_the_one_asked_for(network, tmp_path, opset):
    result = export_onnx(network, network.spec, tmp_path / "m.onnx", opset=opset)
    assert [entry.version for entry in onnx.load(result.path).opset_import if not entry.domain] == [opset]


@pytest.mark.slow
@pytest.mark.shared
def test_agrees_with_torch_on_real_photos(shared_dir, tmp_path):
    from herder.model.pretrained import import_weights

    network = import_weights(shared_dir / "pretrained" / "yolox_nano.onnx")
    photos = sorted((shared_dir / "alpaca" / "images").rglob("*.jpg"))[:4]
    assert photos
    for half in (False, True):
        for write, name in ((export_onnx, "m.onnx"), (export_openvino, "m.xml")):
            assert write(network, network.spec, tmp_path / name, half=half, photos=photos).parity.ok

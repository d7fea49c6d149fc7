import hashlib
import logging
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from herder.api import load
from herder.api.calibration import write_with_spec
from herder.edge.engine_files import file_bytes, open_engine
from herder.edge.engine_packages import openvino_package
from herder.edge.export import export_openvino
from herder.edge.export_facts import FACTS_KEY, ExportFacts
from herder.edge.openvino_files import SECTION, convert_onnx, save_openvino
from herder.errors import ConfigError, ModelFileError
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.spec import METADATA_KEY, ModelSpec

FACTS = ExportFacts(nms=False, needs_nms=True, fixed_size=None)


@pytest.fixture(scope="module")
def ir_file(network, onnx_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("ir") / "model.xml"
    save_openvino(convert_onnx(onnx_file), path, network.spec, FACTS, half=False)
    return path


def test_converting_leaves_the_programs_log_as_it_was(onnx_file):
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    root.setLevel(logging.INFO)
    try:
        convert_onnx(onnx_file)
        assert root.level == logging.INFO
        assert root.handlers == before[1]
    finally:
        root.setLevel(before[0])


def copied(source, folder):
    for part in (source, source.with_suffix(".bin")):
        (folder / part.name).write_bytes(part.read_bytes())
    return folder / source.name


def test_agrees_with_torch(network, ir_file, canvases):
    engine = open_engine(ir_file, threads=1)
    assert (engine.spec, engine.needs_nms, engine.fixed_size) == (network.spec, True, None)
    expected_boxes, expected_scores = TorchEngine(network, fuse=False).predict(canvases)
    boxes, scores = engine.predict(canvases)
    np.testing.assert_allclose(boxes, expected_boxes, rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)


def test_the_graph_says_what_it_is_to_any_reader_of_xml(network, ir_file):
    section = ElementTree.parse(ir_file).getroot().find(f"rt_info/{SECTION}")
    entries = {entry.tag: entry.get("value") for entry in section}
    assert ModelSpec.from_json(entries[METADATA_KEY]) == network.spec
    assert entries[FACTS_KEY] == FACTS.to_json()
    weights = ir_file.with_suffix(".bin").read_bytes()
    assert entries["herder_weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert file_bytes(ir_file) == ir_file.stat().st_size + len(weights)


def test_half_takes_half_of_the_weights_and_leaves_the_model_alone(network, onnx_file, ir_file, tmp_path, canvases):
    model = convert_onnx(onnx_file)
    save_openvino(model, tmp_path / "half.xml", network.spec, FACTS, half=True)
    save_openvino(model, tmp_path / "again.xml", network.spec, FACTS, half=False)
    whole, half = (path.with_suffix(".bin").stat().st_size for path in (ir_file, tmp_path / "half.xml"))
    assert (tmp_path / "again.bin").stat().st_size == whole
    matrices = sum(w.numel() for n, w in network.fused().named_parameters() if n.endswith("weight"))
    assert whole - half == pytest.approx(2 * matrices, rel=0.02)
    expected = open_engine(ir_file, threads=1).predict(canvases)
    found = open_engine(tmp_path / "half.xml", threads=1).predict(canvases)
    assert 0 < np.abs(found[1] - expected[1]).mean() < 0.01


def test_a_graph_without_its_weights_is_told(ir_file, tmp_path):
    path = copied(ir_file, tmp_path)
    weights = path.with_suffix(".bin")
    data = weights.read_bytes()
    weights.write_bytes(data[:-4] + b"abcd")
    with pytest.raises(ModelFileError, match=r"model\.bin: are not the weights of model\.xml"):
        open_engine(path)
    for content in (data[: len(data) // 2], b""):
        weights.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"model\.(bin|xml)"):
            open_engine(path)
    weights.unlink()
    for use in (open_engine, file_bytes):
        with pytest.raises(ModelFileError, match=r"model\.bin: no such file"):
            use(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"<?xml version='1.0'?><net>", b"<a/>", b"<"])
def test_broken_graphs_are_told(content, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"a\.xml"):
        open_engine(tmp_path / "a.xml")


def test_a_graph_from_elsewhere_is_refused(onnx_file, tmp_path):
    ov = openvino_package()
    model = convert_onnx(onnx_file)
    ov.save_model(model, tmp_path / "foreign.xml")
    with pytest.raises(ModelFileError, match="holds no herder model spec"):
        open_engine(tmp_path / "foreign.xml")


def test_engines_that_cannot_run_a_file_are_told(ir_file, onnx_file, tmp_path):
    with pytest.raises(ConfigError, match="ONNX Runtime cannot run"):
        open_engine(ir_file, "onnx")
    with pytest.raises(ConfigError, match="torch cannot run"):
        load(ir_file, engine="torch")
    with pytest.raises(ConfigError, match="'fast' is not known"):
        open_engine(onnx_file, "fast")
    with pytest.raises(ModelFileError, match=r"none\.pt: no such file"):
        open_engine(tmp_path / "none.pt")
    (tmp_path / "m.safetensors").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="no engine runs"):
        open_engine(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="no such file"):
        load(tmp_path / "none.xml")


def test_other_names_than_xml_are_refused(network, onnx_file, tmp_path):
    for write in (
        lambda out: save_openvino(convert_onnx(onnx_file), out, network.spec, FACTS, half=False),
        lambda out: export_openvino(network, network.spec, out),
    ):
        with pytest.raises(ConfigError, match=r"use model\.xml|end in \.xml"):
            write(tmp_path / "model.bin")
    assert not list(tmp_path.iterdir())


def test_no_onnx_file_cannot_be_converted(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"\x08nothing")
    with pytest.raises(ModelFileError, match=r"a\.onnx: is damaged"):
        convert_onnx(tmp_path / "a.onnx")


def test_herder_load_detects_and_calibration_keeps_the_rest(network, ir_file, tmp_path, canvases):
    photo = canvases[0]
    expected = Detector(TorchEngine(network)).detect(photo, score=0.3)
    found = load(ir_file).detect(photo, score=0.3)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.02)
    write_with_spec(ir_file, tmp_path / "warm.xml", network.spec.tempered(2.0))
    warm = load(tmp_path / "warm.xml")
    assert warm.spec.temperature == 2.0
    assert (tmp_path / "warm.bin").read_bytes() == ir_file.with_suffix(".bin").read_bytes()
    np.testing.assert_array_equal(warm.detect(photo, limit=10).boxes, load(ir_file).detect(photo, limit=10).boxes)
    (tmp_path / "bad.xml").write_text("<no")
    with pytest.raises(ModelFileError, match="is not an OpenVINO file"):
        write_with_spec(tmp_path / "bad.xml", tmp_path / "out.xml", network.spec)

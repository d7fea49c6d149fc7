"""A temperature outlives saving, calibrating a file, and every export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors import safe_open

from herder.api import load
from herder.api.calibration import write_with_spec
from herder.edge.export import export_onnx, export_torchscript
from herder.edge.torchscript import TorchScriptEngine
from herder.errors import ModelFileError, ResourceError
from herder.inference import Detector, tempered
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.model.network import Network


def photo() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (80, 90, 3), np.uint8)


def warm(network: Network, tmp_path: Path) -> Network:
    path = tmp_path / "warm.safetensors"
    save_model(network, network.spec.tempered(2.0), path)
    return load_model(path)


def same(one: Detector, other: Detector) -> None:
    a, b = (d.detect(photo(), score=0.3) for d in (one, other))
    assert len(a) == len(b) > 0
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=0.1)


def test_safetensors(network: Network, tmp_path: Path) -> None:
    saved, out = tmp_path / "model.safetensors", tmp_path / "warm.safetensors"
    save_model(network, network.spec, saved)
    write_with_spec(saved, out, network.spec.tempered(2.0))
    plain, calibrated = load(saved), load(out)
    assert calibrated.spec.temperature == 2.0
    a, b = plain.detect(photo(), limit=20), calibrated.detect(photo(), limit=20)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_allclose(b.scores, tempered(a.scores, 2.0), rtol=1e-6)
    with safe_open(saved, "numpy") as old, safe_open(out, "numpy") as new:
        for name in old.keys():  # noqa: SIM118  # not a dict
            assert old.get_tensor(name).tobytes() == new.get_tensor(name).tobytes()


@pytest.mark.parametrize("engine", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_onnx(network: Network, tmp_path: Path, engine: str) -> None:
    calibrated = warm(network, tmp_path)
    path = export_onnx(calibrated, calibrated.spec, tmp_path / "warm.onnx").path
    detector = load(path, engine=engine)
    assert detector.spec.temperature == 2.0
    assert detector.spec.score_threshold == calibrated.spec.score_threshold
    same(Detector(TorchEngine(calibrated)), detector)


@pytest.mark.slow
def test_torchscript(network: Network, tmp_path: Path) -> None:
    calibrated = warm(network, tmp_path)
    path = export_torchscript(calibrated, calibrated.spec, tmp_path / "warm.torchscript").path
    same(Detector(TorchEngine(calibrated)), Detector(TorchScriptEngine(path)))


@pytest.mark.parametrize("kind", ["nms_file", pytest.param("onnx_file", marks=pytest.mark.slow)])
def test_an_onnx_file_changes_only_in_its_metadata(
    kind: str, network: Network, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(kind)
    out = tmp_path / "warm.onnx"
    write_with_spec(source, out, network.spec.tempered(2.0))
    old, new = onnx.load(source), onnx.load(out)
    assert old.graph.SerializeToString(deterministic=True) == new.graph.SerializeToString(deterministic=True)
    texts = [{entry.key: entry.value for entry in model.metadata_props} for model in (old, new)]
    changed = {key for key in texts[1] if texts[0].get(key) != texts[1][key]}
    assert changed == {"herder_spec", "temperature"}
    before, after = (load(path).detect(photo(), limit=10) for path in (source, out))
    np.testing.assert_array_equal(after.boxes, before.boxes)
    np.testing.assert_allclose(after.scores, tempered(before.scores, 2.0), rtol=1e-6)


def test_broken_files(network: Network, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08not onnx")
    with pytest.raises(ModelFileError, match=r"broken\.onnx: is not an ONNX file"):
        write_with_spec(broken, tmp_path / "out.onnx", network.spec)
    saved = tmp_path / "model.safetensors"
    save_model(network, network.spec, saved)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot be written"):
        write_with_spec(saved, tmp_path / "file" / "out.safetensors", network.spec)

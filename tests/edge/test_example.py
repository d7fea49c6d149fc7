"""The example does what herder does, in a process that knows no herder."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from herder.edge.export import export_onnx
from herder.edge.runtime import OnnxEngine
from herder.inference import Detector

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "detect_without_herder.py"

ALONE = """
import runpy, sys
for name in ("herder", "torch", "PIL", "openvino"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script where neither herder nor what only herder needs can be imported."""


def run(*words):
    command = [sys.executable, "-c", ALONE, str(EXAMPLE), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory, make_photo):
    """Reduced much, a little and not at all, grown, and lying on its side."""
    folder = tmp_path_factory.mktemp("photos")
    sizes = [(300, 200), (120, 160), (96, 64), (40, 30), (97, 200)]
    made = [make_photo(folder / f"{i}.png", size, seed=i) for i, size in enumerate(sizes)]
    turned = make_photo(folder / "turned.jpg", (160, 120), seed=9, quality=95, exif=_turned())
    return [*made, turned]


def _turned():
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def assert_example_agrees(model, photos):
    expected = Detector(OnnxEngine(model, threads=1)).detect(photos)
    assert sum(map(len, expected)) > 0
    done = run(model, *photos)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["photo"] for answer in answers] == [str(photo) for photo in photos]
    for answer, found in zip(answers, expected, strict=True):
        animals = answer["animals"]
        assert [animal["class"] for animal in animals] == [found.class_names[kind] for kind in found.classes]
        np.testing.assert_allclose([animal["score"] for animal in animals], found.scores, atol=1e-4)
        boxes = np.array([animal["box"] for animal in animals]).reshape(-1, 4)
        np.testing.assert_allclose(boxes, found.boxes, atol=0.02)


def test_as_it_is(onnx_file, photos):
    assert_example_agrees(onnx_file, photos)


def test_suppression_in_the_graph(nms_file, photos):
    assert_example_agrees(nms_file, photos)


def test_one_size_and_calibrated_scores(network, photos, tmp_path):
    spec = network.spec.tempered(1.7)
    assert_example_agrees(export_onnx(network, spec, tmp_path / "fixed.onnx", size=96).path, photos)


def test_a_head_that_needs_no_suppression(awake, network, photos, tmp_path):
    spec = network.spec.replace(architecture=replace(network.spec.architecture, one_to_one=True), score_threshold=0.1)
    one_to_one = awake(spec)
    assert_example_agrees(export_onnx(one_to_one, spec, tmp_path / "one.onnx").path, photos)


def test_what_is_no_photo(onnx_file, tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    done = run(onnx_file, tmp_path / "text.jpg")
    assert done.returncode == 1
    assert "text.jpg: is not a photo" in done.stderr
    assert run().returncode == 1
    assert "python detect_without_herder.py" in run().stderr


@pytest.mark.shared
def test_on_real_photos(onnx_file, shared_dir):
    assert_example_agrees(onnx_file, sorted((shared_dir / "alpaca" / "images" / "val").glob("*.jpg"))[:8])

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from herder.edge.sensitivity import detection_loss, layer_losses


@pytest.fixture(scope="module")
def canvases() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.repeat(np.repeat(rng.integers(0, 256, (1, 8, 8, 3), np.uint8), 8, 1), 8, 2) for _ in range(1)]


@pytest.mark.slow
def test_every_convolution_has_a_loss_and_the_largest_comes_first(onnx_file: Path, canvases: list[np.ndarray]) -> None:
    told: list[tuple[int, int]] = []
    losses = layer_losses(onnx_file, canvases, progress=lambda *count: told.append(count))
    names = {n.name for n in onnx.load(onnx_file).graph.node if n.op_type == "Conv"}
    assert {layer.name for layer in losses} == names
    assert told[-1] == (len(names), len(names))
    values = [layer.loss for layer in losses]
    assert values == sorted(values, reverse=True)
    assert 0 < values[0] < 0.5


@pytest.mark.slow
def test_a_layer_with_one_huge_weight_is_the_most_sensitive(
    onnx_file: Path, canvases: list[np.ndarray], tmp_path: Path
) -> None:
    """Beside a weight a thousand times larger, on an input that is always 0, all others are rounded to nothing."""
    model = onnx.load(onnx_file)
    target = [n for n in model.graph.node if n.op_type == "Conv"][4]
    weights = next(t for t in model.graph.initializer if t.name == target.input[1])
    values = numpy_helper.to_array(weights).copy()
    # One more input channel that is 0 everywhere: the float answer stays what it was.
    wider = np.concatenate([values, np.full_like(values[:, :1], 1e3 * np.abs(values).max())], axis=1)
    weights.CopyFrom(numpy_helper.from_array(wider, weights.name))
    zero, first = onnx.helper.make_node, target.input[0]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first channel"))
    place = list(model.graph.node).index(target)
    nodes = [
        zero("Gather", [first, "first channel"], ["one channel"], axis=1, name="pick"),
        zero("Mul", ["one channel", "nothing"], ["no channel"], name="empty"),
        zero("Concat", [first, "no channel"], ["wider"], axis=1, name="widen"),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(place, node)
    target.input[0] = "wider"
    onnx.save(model, tmp_path / "odd.onnx")
    losses = layer_losses(tmp_path / "odd.onnx", canvases)
    assert losses[0].name == target.name
    assert losses[0].loss > 3 * losses[1].loss


def test_the_loss_of_what_moved() -> None:
    boxes = np.array([[[0, 0, 10, 10], [50, 50, 60, 60]]], np.float32)
    scores = np.array([[[0.8], [0.001]]], np.float32)
    assert detection_loss((boxes, scores), (boxes, scores)) == 0
    shifted = boxes + np.array([5, 0, 5, 0], np.float32)  # IoU 50 / 150
    assert detection_loss((boxes, scores), (shifted, scores)) == pytest.approx(2 / 3, abs=1e-5)
    assert detection_loss((boxes, scores), (boxes, scores * 0.75)) == pytest.approx(0.25, abs=1e-5)


def test_nothing_found_is_nothing_lost() -> None:
    boxes, scores = np.zeros((1, 3, 4), np.float32), np.zeros((1, 3, 1), np.float32)
    assert detection_loss((boxes, scores), (boxes, scores)) == 0

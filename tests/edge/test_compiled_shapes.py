import numpy as np
import pytest

from herder.edge.compiled_shapes import COMPILED_SHAPES
from herder.edge.runtime import OnnxEngine, OpenVinoEngine


def canvas(side: int) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (1, side, 32, 3), np.uint8)


def test_few_shapes_are_compiled_once_each(onnx_file):
    engine = OpenVinoEngine(onnx_file, threads=1)
    assert engine.compile_seconds == 0
    sides = [32 * i for i in range(1, COMPILED_SHAPES + 1)]
    spent = []
    for side in sides * 3:
        engine.predict(canvas(side))
        spent.append(engine.compile_seconds)
    assert spent[0] > 0
    assert spent == sorted(spent)
    assert len(set(spent)) == COMPILED_SHAPES  # after that, nothing is compiled


def test_alternating_shapes_end_in_one_network_for_all(onnx_file):
    engine, exact = OpenVinoEngine(onnx_file, threads=1), OnnxEngine(onnx_file, threads=1)
    sides = [32 * i for i in range(1, COMPILED_SHAPES + 3)]
    for side in sides:
        engine.predict(canvas(side))
    before = engine.compile_seconds
    engine.predict(canvas(sides[0]))  # given up for others, and here again
    spent = engine.compile_seconds
    assert spent > before
    for side in (*sides, *reversed(sides), 32 * 9):
        for mine, expected in zip(engine.predict(canvas(side)), exact.predict(canvas(side)), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=0.02)
    assert engine.compile_seconds == spent
    batch = np.concatenate([canvas(64)] * 3)
    assert engine.predict(batch)[0].shape[0] == 3


@pytest.mark.parametrize("streams", [1, 2])
def test_as_many_requests_as_streams(onnx_file, streams):
    engine = OpenVinoEngine(onnx_file, threads=1, streams=streams)
    engine.predict(canvas(32))
    assert engine._compiled.idle((1, 32, 32, 3)).qsize() == streams

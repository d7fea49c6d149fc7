import numpy as np

from herder.boxes import Letterbox
from herder.edge.photo_buffers import KEPT, CanvasBuffers


def test_a_buffer_comes_back():
    buffers = CanvasBuffers()
    with buffers.borrow(2, 32, 64) as one:
        assert (one.shape, one.dtype) == ((2, 32, 64, 3), np.uint8)
        with buffers.borrow(2, 32, 64) as other:
            assert not np.shares_memory(one, other)
    with buffers.borrow(2, 32, 64) as again:
        assert np.shares_memory(again, one) or np.shares_memory(again, other)
    assert buffers.held_bytes == 2 * 2 * 32 * 64 * 3


def test_shapes_used_long_ago_go():
    buffers = CanvasBuffers()
    for i in range(KEPT + 3):
        with buffers.borrow(1, 32, 32 + i):
            pass
    assert buffers.held_bytes == sum(32 * (32 + i) * 3 for i in range(3, KEPT + 3))


def test_a_canvas_forgets_the_photo_before():
    rng = np.random.default_rng(0)
    tall, wide = (rng.integers(0, 256, shape, np.uint8) for shape in ((96, 70, 3), (60, 96, 3)))
    canvas = np.empty((96, 96, 3), np.uint8)
    for photo in (tall, wide, tall):
        fit = Letterbox.fit(photo.shape[1], photo.shape[0], 96)
        fit.lay(photo, canvas)
        expected = np.full((96, 96, 3), 114, np.uint8)
        expected[: photo.shape[0], : photo.shape[1]] = photo
        np.testing.assert_array_equal(canvas, expected)

from __future__ import annotations

import torch

from herder.model.blocks import Focus
from herder.model.families import make_spec
from herder.model.network import Network
from herder.model.plain_stem import plain_stem
from herder.spec import example_spec


def test_a_focus_stem_and_its_convolution_say_the_same() -> None:
    torch.manual_seed(0)
    focus = Focus(example_spec().architecture, 3, 8).eval()
    images = torch.rand(2, 3, 20, 34)
    with torch.no_grad():
        expected = focus(images)
        found = plain_stem(focus)(images)
    assert found.shape == expected.shape == (2, 8, 10, 17)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_fused_yolox_has_no_space_to_depth_and_says_the_same() -> None:
    torch.manual_seed(0)
    network = Network(make_spec("yolox-nano", ("alpaca",), input_size=64)).eval()
    images = torch.rand(1, 3, 64, 96) * 255
    fused = network.fused()
    assert not any(isinstance(layer, Focus) for layer in fused.modules())
    assert any(isinstance(layer, Focus) for layer in network.modules())  # the network itself stays as it was
    with torch.no_grad():
        for a, b in zip(network(images), fused(images), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-3)

"""The network as a whole: shapes, decode, folding, switches."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from herder.errors import ConfigError
from herder.model.blocks import SPPBottleneck
from herder.model.families import FAMILIES, make_spec
from herder.model.head import RawOutput, decode_boxes
from herder.model.network import Network
from herder.spec import example_spec


def spec_with(**changes):
    spec = example_spec()
    return spec.replace(architecture=replace(spec.architecture, **changes))


def shake(network):
    """Give every batch norm statistics of its own, as training would."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


SWITCHES = [
    {},
    {"stem": "focus"},
    {"neck": "fpn"},
    {"neck": "fpn", "neck_width": 24},
    {"neck_width": 24},
    {"depthwise": True},
    {"head_depthwise": True},
    {"head_depth": 0},
    {"activation": "relu"},
    {"activation": "hardswish"},
    {"attention": True},
    {"reg_max": 0},
    {"objectness": True},
    {"one_to_one": True},
]


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_switch_builds_trains_and_folds_without_changing_the_output(changes):
    torch.manual_seed(0)
    network = Network(spec_with(**changes).replace(channel_order="bgr"))
    images = torch.rand(2, 3, 64, 96) * 255
    raw = network.train()(images)
    assert isinstance(raw, RawOutput)
    (raw.cls.sum() + raw.box.sum()).backward()
    shake(network)
    with torch.no_grad():
        boxes, scores = network(images)
        fused_boxes, fused_scores = network.fused()(images)
    cells = 8 * 12 + 4 * 6 + 2 * 3
    assert boxes.shape == (2, cells, 4)
    assert scores.shape == (2, cells, 1)
    torch.testing.assert_close(fused_boxes, boxes, atol=0.05, rtol=1e-3)
    torch.testing.assert_close(fused_scores, scores, atol=1e-4, rtol=1e-3)


def test_uint8_and_float_images_give_the_same():
    network = shake(Network(example_spec()))
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(network(images), network(images.float()))


@pytest.mark.parametrize("shape", [(100, 64), (64, 65), (16, 16)])
def test_a_canvas_off_the_stride_is_refused(shape):
    with pytest.raises(ConfigError, match="multiples of 32"):
        Network(example_spec())(torch.zeros(1, 3, *shape))


def test_distances_decode_from_the_cells_middle():
    # One cell of stride 8 at (16, 24); all mass on bin 2 left and top, bin 3 right and bottom.
    logits = torch.full((1, 1, 4, 8), -50.0)
    for side, bin_ in enumerate((2, 2, 3, 3)):
        logits[0, 0, side, bin_] = 50
    raw = RawOutput(logits.flatten(2), torch.zeros(1, 1, 1), None, torch.tensor([[16.0, 24]]), torch.tensor([[8.0]]))
    assert decode_boxes(raw, 8).round(decimals=3).tolist() == [[[20 - 16, 28 - 16, 20 + 24, 28 + 24]]]


def test_centre_and_log_size_decode_as_yolox_has_it():
    box = torch.tensor([[[0.5, 0.25, 0.0, torch.log(torch.tensor(3.0))]]])
    raw = RawOutput(box, torch.zeros(1, 1, 1), None, torch.tensor([[16.0, 24]]), torch.tensor([[8.0]]))
    # middle (20, 26), 8 wide, 24 high
    torch.testing.assert_close(decode_boxes(raw, 0), torch.tensor([[[16.0, 14, 24, 38]]]))


def test_a_new_head_expects_animals_to_be_rare():
    network = Network(example_spec())
    with torch.no_grad():
        _, scores = network.eval()(torch.rand(1, 3, 64, 64) * 255)
    assert scores.mean().item() == pytest.approx(0.01, abs=0.005)


def test_repeated_pooling_is_spp_with_5_9_13():
    a = example_spec().architecture
    x = torch.randn(1, 8, 20, 20)
    spp = SPPBottleneck(a, 8).eval()
    with torch.no_grad():
        hidden = spp.conv1(x)
        wide = torch.cat([hidden] + [nn.functional.max_pool2d(hidden, k, 1, k // 2) for k in (5, 9, 13)], 1)
        torch.testing.assert_close(spp(x), spp.conv2(wide))


def test_the_one_to_one_head_sends_no_gradient_into_the_features():
    network = Network(spec_with(one_to_one=True)).train()
    network(torch.rand(2, 3, 64, 64) * 255).one_to_one.cls.sum().backward()
    assert network.backbone.stem.conv.weight.grad is None
    assert not network.needs_nms


def test_published_sizes_of_the_yolox_family():
    # Parameters in millions, from the table of the YOLOX repository (80 classes).
    published = {"yolox-nano": 0.91, "yolox-tiny": 5.06, "yolox-s": 9.0}
    for name, millions in published.items():
        network = Network(make_spec(name, tuple(f"class {i}" for i in range(80))))
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_every_family_name_makes_a_valid_spec():
    for name in FAMILIES:
        spec = make_spec(name, ("alpaca",))
        assert type(spec).from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("name", "hint"), [("herder-x", "herder-"), ("yolox_nano", "yolox-nano"), ("resnet", "known are")]
)
def test_an_unknown_model_name_suggests_a_known_one(name, hint):
    with pytest.raises(ConfigError, match=hint):
        make_spec(name, ("alpaca",))


def test_a_model_needs_a_class():
    with pytest.raises(ConfigError, match="class"):
        make_spec("herder-n", ())

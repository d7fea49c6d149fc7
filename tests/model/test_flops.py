import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from herder.errors import ConfigError
from herder.model.families import make_spec
from herder.model.flops import count_work
from herder.model.network import Network
from herder.spec import example_spec

EIGHTY = tuple(f"class {i}" for i in range(80))


@pytest.mark.parametrize(
    ("name", "size", "millions", "billions"),
    [("yolox-nano", 416, 0.91, 1.08), ("yolox-tiny", 416, 5.06, 6.45), ("yolox-s", 640, 9.0, 26.8)],
)
def test_the_published_table_of_yolox(name, size, millions, billions):
    """Parameters and FLOPs of https://github.com/Megvii-BaseDetection/YOLOX#benchmark; norms are in its FLOPs."""
    work = count_work(Network(make_spec(name, EIGHTY)), size, size)
    assert work.parameters / 1e6 == pytest.approx(millions, abs=0.04)
    assert work.flops / 1e9 == pytest.approx(billions, rel=0.04)


def test_the_first_convolution_by_hand(monkeypatch):
    """3 x 3 over 3 channels to 8, stride 2, on 64 x 96 pixels: 27 products for each of 8 x 32 x 48 numbers."""
    monkeypatch.setattr(Network, "forward", lambda self, images: self.backbone.stem(images))
    assert count_work(Network(example_spec()), 64, 96).macs == 27 * 8 * 32 * 48


@pytest.mark.parametrize("spec", [example_spec(), make_spec("yolox-nano", ("alpaca",))], ids=lambda spec: spec.name)
def test_torchs_own_counter_agrees(spec):
    network = Network(spec).eval()
    work = count_work(network, 64, 96)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 64, 96))
    assert counter.get_total_flops() == work.flops


def test_the_network_stays_as_it_is():
    network = Network(example_spec()).train()
    count_work(network, 64, 64)
    assert network.training
    assert all(p.device.type == "cpu" for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_folded_norms_change_parameters_and_no_products():
    network = Network(example_spec()).eval()
    whole, folded = count_work(network, 64, 64), count_work(network.fused(), 64, 64)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert whole.parameters - folded.parameters == sum(norm.num_features for norm in norms)
    assert whole.macs == folded.macs


@pytest.mark.parametrize("sides", [(0, 64), (64, 70), (16, 32)])
def test_other_canvases(sides):
    with pytest.raises(ConfigError, match="multiples of 32"):
        count_work(Network(example_spec()), *sides)

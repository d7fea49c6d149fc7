"""Networks with something to say, exported once a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from herder.model.families import make_spec
from herder.model.network import Network
from herder.spec import ModelSpec, example_spec


def _awake(spec: ModelSpec, seed: int = 0) -> Network:
    """An untrained network whose norms have seen pictures and whose last layers disagree from cell to cell."""
    torch.manual_seed(seed)
    network = Network(spec).train()
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # one picture is enough
    with torch.no_grad():
        network.raw(torch.rand(2, 3, 96, 128) * 255)
        for name, layer in network.named_modules():
            if "_preds." in name:
                log_sides = "reg_preds" in name and not spec.architecture.reg_max
                torch.nn.init.normal_(layer.weight, std=0.01 if log_sides else 0.1)
                torch.nn.init.normal_(layer.bias, mean=-1, std=0.3)
    return network.eval()


@pytest.fixture(scope="session")
def awake() -> Callable[..., Network]:
    return _awake


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def network() -> Network:
    """Ours, tiny, with two classes."""
    return _awake(example_spec().replace(class_names=("alpaca", "Lämmer & co"), input_size=96, metrics={"mAP50": 0.5}))


@pytest.fixture(scope="session")
def bgr_network() -> Network:
    """YOLOX's kind: BGR, a Focus stem, objectness, boxes without distributions."""
    return _awake(make_spec("yolox-nano", ("alpaca",), input_size=96))


@pytest.fixture(scope="session")
def bgr_file(bgr_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from herder.edge.export import export_onnx

    return export_onnx(bgr_network, bgr_network.spec, tmp_path_factory.mktemp("bgr") / "model.onnx").path


@pytest.fixture(scope="session")
def onnx_file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from herder.edge.export import export_onnx

    return export_onnx(network, network.spec, tmp_path_factory.mktemp("onnx") / "model.onnx").path


@pytest.fixture(scope="session")
def nms_file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from herder.edge.export import export_onnx

    return export_onnx(network, network.spec, tmp_path_factory.mktemp("nms") / "model.onnx", nms=True).path


@pytest.fixture(scope="session")
def canvases() -> NDArray[np.uint8]:
    """Three canvases of a shape that no export was traced with."""
    return np.random.default_rng(3).integers(0, 256, (3, 64, 160, 3), np.uint8)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from herder.api.prune_gradients import loss_gradients
from herder.api.run_photos import read_photos
from herder.model.network import Network
from herder.spec import example_spec
from herder.training.config import TrainConfig

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n", "", "0 0.6 0.5 0.7 0.6\n"] * 2


def test_gradients_are_of_the_models_own_class_of_that_name(yolo_folder: Callable[..., Path]) -> None:
    """The photos' class 0 is alpaca. The alpaca's row of scores learns the same, wherever the model has it."""
    photos = read_photos(yolo_folder(LABELS))
    config = TrainConfig(image_size=64, batch_size=4, device="cpu")
    rows = {}
    for names in (("alpaca", "zebra"), ("zebra", "alpaca")):
        torch.manual_seed(0)
        network = Network(example_spec().replace(class_names=names, input_size=64)).eval()
        for layer in network.head.cls_preds:  # both rows alike: only their names differ
            layer.weight.data[1], layer.bias.data[1] = layer.weight.data[0], layer.bias.data[0]
        loss_gradients(photos, config)(network)
        gradients = [layer.weight.grad for layer in network.head.cls_preds]
        rows[names] = [g[names.index("alpaca")] for g in gradients if g is not None]
        assert len(rows[names]) == len(network.head.cls_preds)
    for one, other in zip(*rows.values(), strict=True):
        torch.testing.assert_close(one, other)
    torch.manual_seed(0)
    stranger = Network(example_spec().replace(class_names=("zebra",), input_size=64)).eval()
    loss_gradients(photos, config)(stranger)  # no animal that it knows
    assert all(p.grad is None or p.grad.isfinite().all() for p in stranger.parameters())

"""Start a network from another one's weights, whatever classes that one knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from herder.errors import ModelFileError
from herder.model.network import Network

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
"""COCO's animal classes: the mean of their rows is where an unknown animal starts."""


@dataclass(frozen=True)
class TransferReport:
    """What went over: counts of tensors copied, class rows made, and tensors left at their start."""

    copied: int
    classes: dict[str, str]
    """For each class of the new network, where its row came from."""
    left: tuple[str, ...]


@torch.no_grad()
def transfer_weights(network: Network, source: Mapping[str, Tensor], source_classes: tuple[str, ...]) -> TransferReport:
    """Copy every tensor of ``source`` that fits by name and shape into ``network``.

    The class layers' rows go by class name; a class that the source does not know starts from the mean of its animals
    (or of all its classes where it knows no animal). Raises ModelFileError when the backbone does not fit.
    """
    own = network.state_dict()
    origins = {name: _rows_for(name, source_classes) for name in network.spec.class_names}
    rows = [indices for indices, _ in origins.values()]
    copied, left = 0, []
    for name, value in own.items():
        given = source.get(name)
        if given is not None and ".cls_preds." in name and given.shape[1:] == value.shape[1:]:
            value.copy_(torch.stack([given[indices].float().mean(dim=0) for indices in rows]))
        elif given is not None and given.shape == value.shape:
            value.copy_(given.to(value.dtype))
        else:
            left.append(name)
            continue
        copied += 1
    if any(name.startswith("backbone.") for name in left):
        raise ModelFileError(
            f"the starting weights do not fit {network.spec.name}: {len(left)} of {len(own)} tensors differ,"
            f" {left[0]} first",
            hint="choose the model that the weights were made for with --model",
        )
    return TransferReport(copied, {name: origin for name, (_, origin) in origins.items()}, tuple(left))


def _rows_for(name: str, source_classes: tuple[str, ...]) -> tuple[list[int], str]:
    if name in source_classes:
        return [source_classes.index(name)], name
    animals = [i for i, known in enumerate(source_classes) if known in ANIMALS]
    if animals:
        return animals, "the mean of " + ", ".join(source_classes[i] for i in animals)
    return list(range(len(source_classes))), "the mean of all classes"

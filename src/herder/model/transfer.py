"""Start a network from another one's weights, whatever classes that one knew.

Notation: N cells of a batch of photos at one level, F features of a cell in the head, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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


@torch.no_grad()
def merge_classes(network: Network, source: Network, images: Tensor) -> tuple[str, ...]:
    """Give each class that ``source`` does not know one row that says "any of its animals"; return their names.

    No average of rows does: where one animal's logit is high the others are far below zero, and their mean is low. So
    the row is fitted: on the cells of ``images`` (B, 3, H, W) RGB 0..255 (no labels are needed) the logit of "at least
    one of the animals", 1 - prod(1 - p), is regressed on the cell's features by least squares, cells weighted by that
    probability. The network then starts with what the source can do. Both must share all but the class layers.
    """
    known = source.spec.class_names
    new = [i for i, name in enumerate(network.spec.class_names) if name not in known]
    animals = _animals(known)
    features: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda _, x: features.append(x[0])) for layer in network.head.cls_preds]
    was_training = network.training
    network.eval().raw(images)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    for level, own, old in zip(features, network.head.cls_preds, source.head.cls_preds, strict=True):
        assert isinstance(own, nn.Conv2d)
        assert isinstance(old, nn.Conv2d)
        assert own.bias is not None
        x = level.permute(0, 2, 3, 1).flatten(0, 2).double()  # (N, F)
        x = torch.cat((x, torch.ones_like(x[:, :1])), dim=1)  # (N, F + 1): the last is for the bias
        rows = torch.cat((old.weight[:, :, 0, 0], old.bias[:, None]), dim=1).double()[animals]  # type: ignore[index]
        any_of_them = 1 - (1 - (x @ rows.T).sigmoid()).prod(dim=1)  # (N,)
        logit = torch.logit(any_of_them, eps=1e-3)
        weight = (any_of_them + 0.01).sqrt()
        # A little ridge keeps features that these photos never show from getting wild weights.
        gram = (x * weight[:, None]).T @ (x * weight[:, None])
        gram += 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        row = torch.linalg.solve(gram, (x * weight[:, None]).T @ (logit * weight)).float()  # (F + 1,)
        own.weight[new] = row[:-1, None, None]
        own.bias[new] = row[-1]
    return tuple(network.spec.class_names[i] for i in new)


def _animals(known: tuple[str, ...]) -> list[int]:
    """Ids of the animals among these classes; of all of them where there is none."""
    return [i for i, name in enumerate(known) if name in ANIMALS] or list(range(len(known)))


def _rows_for(name: str, source_classes: tuple[str, ...]) -> tuple[list[int], str]:
    if name in source_classes:
        return [source_classes.index(name)], name
    animals = _animals(source_classes)
    if len(animals) < len(source_classes):
        return animals, "what it says of " + ", ".join(source_classes[i] for i in animals)
    return animals, "what it says of all classes"

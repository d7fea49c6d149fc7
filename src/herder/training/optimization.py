"""The optimiser, its parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from herder.training.config import Schedule, TrainConfig

BACKBONE_PREFIX = "backbone."
"""Parameters whose names start so learn at the backbone's rate; all others (neck, head) at the head's."""


def parameter_groups(network: nn.Module, config: TrainConfig, loss: nn.Module | None = None) -> list[dict[str, object]]:
    """AdamW groups: backbone and head, each with decay (convolutions) and without (norms, biases).

    Each group has ``params``, ``weight_decay``, its peak ``base_lr``, ``lr`` and ``name``; empty groups are left out.
    Frozen parameters are in their groups too: they are skipped while they have no gradient. What the ``loss`` learns
    itself (the adapters of distillation) goes with the head.
    """
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    own = loss.named_parameters(prefix="loss") if loss is not None else ()
    for name, parameter in chain(network.named_parameters(), own):
        part = "backbone" if name.startswith(BACKBONE_PREFIX) else "head"
        # Decay pulls weights to 0, which means nothing for a norm's scale or a bias: both are one-dimensional.
        groups.setdefault((part, parameter.ndim > 1), []).append(parameter)
    rates = {"backbone": config.lr_backbone, "head": config.lr_head}
    return [
        {
            "params": parameters,
            "name": part,
            "lr": rates[part],
            "base_lr": rates[part],
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]


def make_optimizer(network: nn.Module, config: TrainConfig, loss: nn.Module | None = None) -> torch.optim.AdamW:
    """AdamW (https://arxiv.org/abs/1711.05101), fused into one pass over the weights where the device has it."""
    kinds = {parameter.device.type for parameter in network.parameters()}
    groups = parameter_groups(network, config, loss)
    return torch.optim.AdamW(groups, betas=config.betas, fused=kinds <= {"cpu", "cuda"})


def warmup_factor(step: int, steps: float, start: float) -> float:
    """A line from ``start`` at step 0 to 1 at ``steps``, then 1.

    >>> [warmup_factor(step, 4, 0.5) for step in (0, 2, 4, 9)]
    [0.5, 0.75, 1.0, 1.0]
    """
    return 1.0 if step >= steps else start + (1 - start) * step / steps


def cosine_factor(step: int, start: float, end: int, final: float) -> float:
    """1 up to ``start``, then half a cosine down to ``final`` at ``end`` - 1, the last step, and after.

    >>> [round(cosine_factor(step, 0, 5, 0.1), 3) for step in range(5)]
    [1.0, 0.868, 0.55, 0.232, 0.1]
    """
    length = max(end - 1 - start, 1e-9)
    part = min(max((step - start) / length, 0.0), 1.0)
    return final + (1 - final) * (1 + math.cos(math.pi * part)) / 2


def schedule(config: TrainConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """The function from a step, counted from 0, to the factor of the peak learning rate."""
    warm = config.warmup_epochs * steps_per_epoch
    # A warm-up longer than the run would never reach the peak.
    warm = min(warm, config.epochs * steps_per_epoch / 2)
    end = config.epochs * steps_per_epoch
    flat_until = {Schedule.COSINE: warm, Schedule.FLAT_COSINE: max(warm, end / 2), Schedule.PLATEAU: math.inf}
    start = flat_until[config.schedule]

    def factor(step: int) -> float:
        rise = warmup_factor(step, warm, config.warmup_lr_fraction)
        return rise if math.isinf(start) else rise * cosine_factor(step, start, end, config.final_lr_fraction)

    return factor


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` times its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """``lr_backbone`` and ``lr_head`` as they are now; 0 for a part that the network lacks."""
    rates = {f"lr_{group['name']}": float(group["lr"]) for group in optimizer.param_groups}
    return {"lr_backbone": 0.0, "lr_head": 0.0} | rates


def clip_gradients(parameters: Sequence[Tensor], limit: float) -> Tensor:
    """Scale all gradients so that their L2 norm together is at most ``limit`` (0: leave them); the norm before, (,).

    https://arxiv.org/abs/1211.5063
    """
    learning = [p for p in parameters if p.grad is not None]
    norm: Tensor = torch.nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None])
    if limit:
        torch.nn.utils.clip_grads_with_norm_(learning, limit, norm)
    return norm


def freeze(module: nn.Module, frozen: bool) -> None:
    """Stop (or start) the module's learning; while frozen its batch norm statistics stay as they are, too."""
    module.requires_grad_(not frozen)
    module.train(not frozen)

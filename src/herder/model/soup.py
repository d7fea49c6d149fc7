"""The average of several models' weights: as fast as one of them, often better than each.

Source: M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", ICML 2022, https://arxiv.org/abs/2203.05482. It works for models that were fine-tuned from
the same start: their weights lie in one valley of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor

from herder.errors import ConfigError
from herder.spec import ModelSpec

SAME = ("class_names", "channel_order", "scale")
"""Fields of the spec that models of one soup share, besides the whole architecture."""


def check_compatible(named: Sequence[tuple[str, ModelSpec]]) -> None:
    """Refuse models whose weights cannot be averaged; ``named`` are names for the error and specs.

    Raises ConfigError for fewer than two models, a quantized one, or the first field that differs from the first model.
    """
    if len(named) < 2:
        raise ConfigError(f"soup: {len(named)} model given", hint="name at least two to average")
    for name, spec in named:
        if spec.architecture.quantization is not None:
            raise ConfigError(
                f"{name}: is quantized, and averages of rounded weights are not rounded ones",
                hint="average the models that it was made of, then quantize",
            )
    (first, wanted), *others = named
    for name, spec in others:
        pairs = [(f.name, wanted.architecture, spec.architecture) for f in fields(wanted.architecture)]
        for field, a, b in [*pairs, *((field, wanted, spec) for field in SAME)]:
            ours, theirs = getattr(a, field), getattr(b, field)
            if ours != theirs:
                raise ConfigError(
                    f"{name}: {field} is {_short(theirs)}, but {first} has {_short(ours)}",
                    hint="average models of one architecture and the same classes in the same order",
                )


def average_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over ``states``, computed in float64; whole-number buffers come from the first.

    Running means and variances of batch norms are averaged like weights; ``reestimate_norms`` gives them the values
    that the averaged network really has. Raises ValueError where there is no state.

    >>> average_weights([{"w": torch.tensor([1.0])}, {"w": torch.tensor([4.0])}])["w"].tolist()
    [2.5]
    """
    if not states:
        raise ValueError("soup: nothing to average")
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in first.items()
    }


def greedy_choice(
    scores: Sequence[float], measure: Callable[[tuple[int, ...]], float]
) -> tuple[tuple[int, ...], list[tuple[int, float, bool]]]:
    """The greedy soup: models from the best to the worst, each kept where the average with it is at least as good.

    ``scores`` (N,) are the models' own, ``measure`` gives the score of the average of these models. Returns the models
    kept, and for each tried after the best one: which, the score with it, whether it was kept. This is recipe 1 of the
    paper; equal scores keep their order.

    >>> greedy_choice([0.5, 0.7, 0.6], lambda members: 0.8 if members == (1, 2) else 0.1)
    ((1, 2), [(2, 0.8, True), (0, 0.1, False)])
    """
    first, *others = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept: tuple[int, ...] = (first,)
    best = scores[first]
    tried: list[tuple[int, float, bool]] = []
    for i in others:
        score = measure((*kept, i))
        better = score >= best
        tried.append((i, score, better))
        if better:
            kept, best = (*kept, i), score
    return kept, tried


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

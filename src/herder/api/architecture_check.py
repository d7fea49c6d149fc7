"""How far a short training can be believed: some architectures are trained longer, and the two orders are compared.

A search ranks networks by a proxy, and proxies are often wrong about which is best (https://arxiv.org/abs/1902.08142,
https://arxiv.org/abs/2101.08134): so its rank correlation with longer training is measured, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from herder.api.architecture_result import TRAINED, ArchitectureTrial, LongTraining, ProxyCheck
from herder.api.architecture_training import ShortTraining
from herder.training.interfaces import DivergedError

if TYPE_CHECKING:
    import optuna


def chosen_for_check(trials: Sequence[ArchitectureTrial], count: int) -> list[ArchitectureTrial]:
    """``count`` of the trained ones, spread evenly over the proxy's ranks with the best and the worst among them."""
    ranked = sorted(
        (trial for trial in trials if trial.state == TRAINED),
        key=lambda trial: (-(trial.score or 0.0), trial.number),
    )
    if len(ranked) <= count:
        return ranked
    return [ranked[i] for i in np.linspace(0, len(ranked) - 1, count).round().astype(int)]


def check_proxy(
    study: optuna.Study,
    trials: Sequence[ArchitectureTrial],
    training: ShortTraining,
    count: int,
    epochs: int,
    out: Path,
    say: Callable[[str], None],
) -> tuple[ProxyCheck, bool]:
    """Train ``count`` of the trials for ``epochs`` from new; and whether that came to its end, or was stopped.

    What is done stands in the study, so nothing is trained twice, and a training that was stopped goes on.
    """
    chosen, finished = chosen_for_check(trials, count), True
    for trial in chosen:
        key = _key(trial, epochs)
        if key in study.user_attrs:
            continue
        folder = out / f"check-{epochs}" / trial.name
        try:
            size = int(trial.values["input_size"])
            value = training.train(out / f"{trial.name}.toml", size, epochs, folder).accuracy
        except DivergedError as error:
            say(f"check of trial {trial.number}: {error.message}")
            continue
        except KeyboardInterrupt:
            finished = False
            break
        study.set_user_attr(key, value)
        say(f"check of trial {trial.number}: {trial.accuracy:.3f} became {value:.3f} after {epochs} epochs")
    done = study.user_attrs
    pairs = [
        LongTraining(trial.number, trial.accuracy or 0.0, trial.loss or 0.0, done[_key(trial, epochs)])
        for trial in chosen
        if _key(trial, epochs) in done
    ]
    return ProxyCheck(epochs, tuple(pairs), len(chosen)), finished


def _key(trial: ArchitectureTrial, epochs: int) -> str:
    """What the study notes the longer training under."""
    return f"check-{epochs}-{trial.name}"

"""What an architecture search has found: its trials as values, those that none beats, and how far the proxy goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from herder.api.architecture_bench import NetworkCost
from herder.api.search_choices import ProxyName
from herder.api.search_study import FOLDER, WHY
from herder.edge.pareto import pareto_front
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain, to_plain
from herder.evaluation.rank_correlation import RankCorrelation, rank_correlation

if TYPE_CHECKING:
    import optuna

COST, COPY, MILLISECONDS, OVER = "cost", "copy_of", "milliseconds", "over"
"""What is noted at a trial: its cost, the trial of the same architecture, its time, and the limits that it breaks."""

ACCURACY, LOSS = "accuracy", "loss"
"""What is noted of its short training; the study's own value is one of both."""

TRAINED, REFUSED, COPIED = "trained", "refused", "copy"
"""States of a trial that came to an end: trained shortly; over a limit and not trained; the same as an earlier one."""


@dataclass(frozen=True)
class ArchitectureTrial:
    """One architecture."""

    number: int
    state: str
    """trained, refused, copy, pruned (its training diverged or it cannot be exported), fail (stopped), running or
    waiting."""
    values: Mapping[str, Any]
    """Its place in the space."""
    accuracy: float | None
    """The metric on validation photos after the short training."""
    milliseconds: float | None
    cost: NetworkCost | None
    name: str
    """Of its architecture file and of the run folder beside it."""
    why: str = ""
    loss: float | None = None
    """On training photos in the last epoch of the short training."""
    score: float | None = None
    """What the search maximizes: the accuracy, or the loss with a minus before it."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "values": dict(self.values), "cost": to_plain(self.cost)}


@dataclass(frozen=True)
class LongTraining:
    """One architecture after the short and the long training."""

    number: int
    accuracy: float
    """After the short training."""
    loss: float
    """Of the short training."""
    long: float
    """Accuracy after the long one."""


@dataclass(frozen=True)
class ProxyCheck:
    """Whether the short training puts architectures in the order of a longer one."""

    epochs: int
    """Of the longer training."""
    trained: tuple[LongTraining, ...]
    wanted: int
    """So many were to be trained longer."""

    def correlation(self, proxy: ProxyName) -> RankCorrelation | NotComputed:
        """Spearman's rho between the accuracy after the long training and what this proxy ranks by, large for good."""
        scores = [each.accuracy if proxy is ProxyName.MAP else -each.loss for each in self.trained]
        return rank_correlation(scores, [each.long for each in self.trained])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        trained = [vars(each) for each in self.trained]
        return {
            "epochs": self.epochs,
            "wanted": self.wanted,
            "trained": trained,
            "spearman": {proxy.value: to_plain(self.correlation(proxy)) for proxy in ProxyName},
        }


@dataclass(frozen=True)
class ArchitectureRun:
    """What a search has found so far."""

    trials: tuple[ArchitectureTrial, ...]
    reference_ms: float
    """The reference's time, which all ratios are multiplied with."""
    finished: bool
    """False after Ctrl-C."""
    facts: Mapping[str, Any]
    check: ProxyCheck | None = None
    """None where none was asked for."""

    @property
    def front(self) -> tuple[ArchitectureTrial, ...]:
        """The trained ones that no other beats in both score and time, the fastest first."""
        trained = [trial for trial in self.trials if trial.state == TRAINED]
        costs = np.reshape([(-(t.score or 0.0), t.milliseconds or 0.0) for t in trained], (-1, 2))
        kept = [trial for trial, on in zip(trained, pareto_front(costs), strict=True) if on]
        return tuple(sorted(kept, key=lambda trial: (trial.milliseconds or 0.0, trial.number)))

    def as_dict(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``nas.json``; ``command`` are the words that started it."""
        return {
            "kind": "nas",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            **self.facts,
            "finished": self.finished,
            "reference_ms": self.reference_ms,
            "front": [trial.number for trial in self.front],
            "check": None if self.check is None else self.check.as_dict(),
            "trials": [trial.as_dict() for trial in self.trials],
        }


def read_trial(frozen: optuna.trial.FrozenTrial) -> ArchitectureTrial:
    """What the study holds of a trial."""
    notes = frozen.user_attrs
    state, accuracy, score = frozen.state.name.lower(), None, None
    if state == "complete":
        state = COPIED if COPY in notes else REFUSED if OVER in notes else TRAINED
        if OVER not in notes:
            accuracy, score = notes[ACCURACY], frozen.values[0]
    cost = from_plain(NetworkCost, json.loads(notes[COST])) if COST in notes else None
    name = str(notes.get(FOLDER, f"trial-{frozen.number}"))
    why = f"the same as trial {notes[COPY]}" if COPY in notes else str(notes.get(OVER, notes.get(WHY, "")))
    return ArchitectureTrial(
        number=frozen.number,
        state=state,
        values=frozen.params,
        accuracy=accuracy,
        milliseconds=notes.get(MILLISECONDS),
        cost=cost,
        name=name,
        why=why,
        loss=notes.get(LOSS),
        score=score,
    )

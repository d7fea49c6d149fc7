"""How the next architecture is proposed: by NSGA-II or by TPE, each proposal following from a seed and its number.

NSGA-II: K. Deb et al. 2002, https://doi.org/10.1109/4235.996017: parents from the front of what is known, spread along
it; children by crossover and mutation. TPE: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS
2011, for several objectives as in Optuna (https://arxiv.org/abs/1907.10902). Loaded only where Optuna is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from herder.api.search_choices import SamplerName

POPULATION = 8
"""Networks of a generation of NSGA-II: some generations fit into the few dozen trials that people can pay for."""


class SeededSampler(BaseSampler):
    """A fresh sampler for each trial, seeded by ``seed`` and the trial's number, whichever process runs it.

    One sampler with one seed would propose the same again after each restart, and in each of several processes. What
    samplers know about earlier trials they read from the study.
    """

    def __init__(self, name: SamplerName, seed: int) -> None:
        self.name, self.seed = name, seed
        self._number, self._sampler = -1, self._make(0)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler of this trial does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler of this trial does."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler of this trial does."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the sampler of this trial does."""
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the sampler of this trial does."""
        self._of(trial).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            seed = int(np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0])
            self._number, self._sampler = trial.number, self._make(seed)
        return self._sampler

    def _make(self, seed: int) -> BaseSampler:
        if self.name is SamplerName.NSGA2:
            return NSGAIISampler(population_size=POPULATION, seed=seed)
        return TPESampler(seed=seed)

"""``herder nas`` from Python: looks for architectures that are accurate and fast on this machine.

Each proposal is exported untrained and timed; what keeps the limits is trained for a few epochs, the proxy for its
accuracy. Optuna (https://arxiv.org/abs/1907.10902) keeps the trials, so a search goes on and can be shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herder.api.architecture_bench import NetworkBench
from herder.api.architecture_check import check_proxy
from herder.api.architecture_limits import CostLimits, check_limits
from herder.api.architecture_result import (
    ACCURACY,
    COPIED,
    COPY,
    COST,
    LOSS,
    MILLISECONDS,
    OVER,
    TRAINED,
    ArchitectureRun,
    ArchitectureTrial,
    read_trial,
)
from herder.api.architecture_training import ShortTraining
from herder.api.run_photos import Photos
from herder.api.search_choices import ProxyName, PrunerName, SamplerName
from herder.api.search_space import Choices
from herder.api.search_study import FOLDER, WHY, begin_again, import_optuna, open_study, propose
from herder.api.training_run import check_packages
from herder.errors import ConfigError, DataError, ModelFileError
from herder.evaluation.plain_values import to_plain
from herder.model.architecture_files import read_input_size, write_architecture
from herder.model.architecture_space import ArchitectureSpace
from herder.model.families import make_spec
from herder.processor import processor_name
from herder.spec import ModelSpec
from herder.training.config import TrainConfig
from herder.training.interfaces import DivergedError

if TYPE_CHECKING:
    import optuna

COMMENT = "Found by herder nas; its results stand in nas.json.\nherder train DATA --model THIS_FILE"
"""The first lines of an architecture file."""

REFERENCE_MS = "reference_ms"
"""What the study notes the reference's time under."""

WORST = -1e9
"""The score of what was not trained: below any mAP and any loss with a minus before it."""

COPIES = 10
"""A search ends early once there are so many times as many copies as trials: the sampler has nothing new."""


@dataclass(frozen=True)
class ArchitectureSearchSettings:
    """How to search. Raises ConfigError for values that have no meaning."""

    trials: int = 20
    """Architectures that the study shall have come to an end with, over all processes and earlier runs."""
    epochs: int = 5
    """Of the short training."""
    check: int = 0
    """So many are trained longer, to see how far the short training can be believed."""
    check_epochs: int = 0
    """Of the longer training; 0: four times ``epochs``."""
    proxy: ProxyName = ProxyName.MAP
    """What of the short training is to become large or small."""
    sampler: SamplerName = SamplerName.NSGA2
    engine: str = "onnx"
    """``onnx`` (ONNX Runtime) or ``openvino``."""
    threads: int | None = None
    """CPU threads of the engine; None: one for each physical core."""
    limits: CostLimits = field(default_factory=CostLimits)
    """What breaks one is not trained."""
    seed: int = 0
    """Decides what is proposed; the training has its own."""
    storage: str = ""
    """URL of a database that several processes may share; "": a SQLite file in the search's folder."""
    study: str = "herder-nas"

    def __post_init__(self) -> None:
        if self.trials < 1 or self.epochs < 1:
            raise ConfigError(f"{self.trials} trials of {self.epochs} epochs: nothing to do", hint="use 20 and 5, say")
        if self.check and self.check < 3:
            raise ConfigError(
                f"--check {self.check}: a rank correlation needs 3 at least", hint="use 5, or leave it out"
            )
        if self.check and self.long_epochs <= self.epochs:
            raise ConfigError(
                f"--check-epochs {self.check_epochs} is no longer than {self.epochs} epochs",
                hint="use four times as many",
            )

    @property
    def long_epochs(self) -> int:
        """Of the longer training."""
        return self.check_epochs or 4 * self.epochs


@dataclass(eq=False)
class _Search:
    """The parts of one search."""

    study: optuna.Study
    space: ArchitectureSpace
    settings: ArchitectureSearchSettings
    bench: NetworkBench
    training: ShortTraining
    out: Path

    @property
    def reference_ms(self) -> float:
        """The reference's time as the study has it: measured once, by whichever process came first."""
        if REFERENCE_MS not in self.study.user_attrs:
            self.study.set_user_attr(REFERENCE_MS, self.bench.reference_milliseconds())
        return float(self.study.user_attrs[REFERENCE_MS])

    def objective(self, trial: optuna.Trial) -> tuple[float, float]:
        """Score and milliseconds of one architecture."""
        name = str(trial.user_attrs.get(FOLDER, f"trial-{trial.number}"))
        trial.set_user_attr(FOLDER, name)
        values = propose(trial, {key: Choices(choices) for key, choices in vars(self.space).items()})
        try:
            return self._copied(trial) or self._measured(trial, values, name)
        except KeyboardInterrupt:
            begin_again(trial.study, trial)
            raise
        except (DivergedError, ModelFileError) as error:
            trial.set_user_attr(WHY, error.message)
            raise import_optuna().TrialPruned from None

    def _copied(self, trial: optuna.Trial) -> tuple[float, float] | None:
        """What an earlier trial of the same architecture came to; None where there is none."""
        complete = (import_optuna().trial.TrialState.COMPLETE,)
        for other in trial.study.get_trials(deepcopy=False, states=complete):
            if other.params == trial.params and COPY not in other.user_attrs:
                for key in (COST, MILLISECONDS, OVER, ACCURACY, LOSS):
                    if key in other.user_attrs:
                        trial.set_user_attr(key, other.user_attrs[key])
                trial.set_user_attr(COPY, other.number)
                for key, over in other.constraints.items():
                    trial.set_constraint(key, over)
                return other.values[0], other.values[1]
        return None

    def _measured(self, trial: optuna.Trial, values: dict[str, Any], name: str) -> tuple[float, float]:
        spec = self.space.spec(values, self.training.photos.train.class_names, name)
        cost = self.bench.measure(spec)
        milliseconds = cost.time.value * self.reference_ms
        trial.set_user_attr(COST, json.dumps(to_plain(cost)))
        trial.set_user_attr(MILLISECONDS, milliseconds)
        limits = self.settings.limits.of(cost.time.value, self.reference_ms, cost.megabytes)
        for limit in limits:
            trial.set_constraint(limit.unit, limit.over)
        if over := [str(limit) for limit in limits if limit.over > 0]:
            # Complete for Optuna, so that samplers learn from how far it is over the limit.
            trial.set_user_attr(OVER, "; ".join(over))
            return WORST, milliseconds
        file = self.write(spec)
        reached = self.training.train(file, spec.input_size, self.settings.epochs, self.out / name)
        trial.set_user_attr(ACCURACY, reached.accuracy)
        trial.set_user_attr(LOSS, reached.loss)
        return reached.accuracy if self.settings.proxy is ProxyName.MAP else -reached.loss, milliseconds

    def write(self, spec: ModelSpec) -> Path:
        """The architecture file, beside the run folder of the same name.

        Raises ConfigError where there is one of another network: another search was here.
        """
        file = self.out / f"{spec.name}.toml"
        if file.exists():
            size = read_input_size(file) or spec.input_size
            if make_spec(str(file), spec.class_names, input_size=size) != spec:
                raise ConfigError(f"{file}: is another search's network", hint="choose another --out")
        write_architecture(spec, file, comment=COMMENT)
        return file

    def enough(self) -> bool:
        """Whether the study has its number of architectures, or no sampler will find it new ones."""
        states = import_optuna().trial.TrialState
        ended = [
            read_trial(frozen)
            for frozen in self.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
        ]
        copies = sum(trial.state == COPIED for trial in ended)
        wanted = min(self.settings.trials, self.space.count())
        return len(ended) - copies >= wanted or copies >= COPIES * wanted


def search_architectures(
    photos: Photos,
    config: TrainConfig,
    space: ArchitectureSpace,
    out: Path,
    settings: ArchitectureSearchSettings | None = None,
    *,
    on_trial: Callable[[ArchitectureTrial], None] = lambda trial: None,
    on_epoch: Callable[[str, int, int, float], None] = lambda name, epoch, epochs, value: None,
    say: Callable[[str], None] = lambda text: None,
) -> ArchitectureRun:
    """Try architectures out of ``space`` until the study has its number of trials, then check the proxy.

    ``config`` has the settings of all trainings; its epochs and image size do not count. ``on_trial`` is told of each
    trial that ends, ``on_epoch`` of each evaluation. Writes the reference, an architecture file and a run folder for
    each trained trial to ``out``. Raises ConfigError where even the smallest network breaks a limit or the study was
    begun with something else, DataError where no validation photo has a box, MissingExtraError, ResourceError, and what
    ``run_training`` raises.
    """
    settings = settings or ArchitectureSearchSettings()
    check_packages()
    import_optuna()
    from herder.api.architecture_sampler import SeededSampler  # here, since it needs Optuna

    if not sum(len(record) for record in photos.validation):
        raise DataError(
            f"{photos.source}: no labelled box in {len(photos.validation)} validation photos",
            hint="label some, or give more photos",
        )
    bench = NetworkBench(out, settings.engine, space.input_size[0], settings.threads)
    check_limits(settings.limits, space, bench, photos.train.class_names)
    facts = _facts(photos, config, space, settings)
    study = open_study(
        settings.storage,
        settings.study,
        out,
        facts,
        PrunerName.NONE,
        settings.epochs,
        directions=("maximize", "minimize"),
    )
    study.sampler = SeededSampler(settings.sampler, settings.seed)
    training = ShortTraining(photos, config, on_epoch)
    search = _Search(study, space, settings, bench, training, out)

    def after(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> None:
        on_trial(read_trial(frozen))
        if search.enough():
            study.stop()

    finished = True
    if not search.enough():
        try:
            study.optimize(search.objective, callbacks=[after])
        except KeyboardInterrupt:
            finished = False
    trials = tuple(read_trial(frozen) for frozen in study.get_trials(deepcopy=False))
    for trial in trials:
        if trial.state == TRAINED and not (out / f"{trial.name}.toml").exists():  # another process trained it
            search.write(search.space.spec(trial.values, photos.train.class_names, trial.name))
    check = None
    if settings.check and finished:
        check, finished = check_proxy(study, trials, training, settings.check, settings.long_epochs, out, say)
    return ArchitectureRun(trials, search.reference_ms, finished, facts, check)


def _facts(
    photos: Photos, config: TrainConfig, space: ArchitectureSpace, settings: ArchitectureSearchSettings
) -> dict[str, Any]:
    """What all trials of a study have in common: trials of another processor or limit cannot be compared."""
    whole = config.as_dict()
    own = ("device", "workers", "epochs", "image_size")
    return {
        "photos": [photos.train.fingerprint(), photos.validation.fingerprint()],
        "space": {name: list(choices) for name, choices in vars(space).items()},
        "training": {name: whole[name] for name in whole if name not in own},
        "epochs": settings.epochs,
        "proxy": settings.proxy.value,
        "engine": settings.engine,
        "threads": settings.threads,
        "processor": processor_name(),
        "limits": vars(settings.limits),
    }

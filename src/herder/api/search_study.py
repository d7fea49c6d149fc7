"""Optuna's side of a search: its store, its sampler, its pruner, kept apart from what is searched.

Optuna (T. Akiba et al., KDD 2019, https://arxiv.org/abs/1907.10902) keeps all trials in a database: a search goes on
where it was, and several processes or machines share one by its URL. Settings are proposed by TPE (J. Bergstra et al.,
"Algorithms for Hyper-Parameter Optimization", NIPS 2011). Optuna sends nothing anywhere.
"""

from __future__ import annotations

import json
import random
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from herder.api.search_choices import PrunerName
from herder.api.search_space import Choices, SearchSpace
from herder.errors import ConfigError, MissingExtraError, ResourceError
from herder.files import writing

if TYPE_CHECKING:
    import optuna

STORE = "study.db"
"""The SQLite file in the search's folder, where no other database is named."""

FACTS, FOLDER, WHY = "herder", "folder", "stopped"
"""What herder notes at a study (what is searched) and at a trial (its run folder, why it was given up)."""

HEARTBEAT = 60
"""Seconds between a trial's signs of life; one without any for twice as long was killed and is begun again."""


ATTEMPTS = 4
"""So often a database that others use, too, is opened before it counts as broken."""


def open_study(
    storage: str,
    name: str,
    out: Path,
    facts: Mapping[str, Any],
    pruner: PrunerName,
    epochs: int,
    directions: Sequence[str] = ("maximize",),
) -> optuna.Study:
    """The study of this name in the database ``storage`` ("": a file in ``out``), begun where there is none.

    ``facts`` are what its trials have in common, ``directions`` say of each of their values whether it is to be large
    (maximize) or small (minimize). Raises ConfigError where it was begun with others, ResourceError where
    the database cannot be used.
    """
    lab = import_optuna()
    from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

    lab.logging.set_verbosity(lab.logging.ERROR)  # herder has its own words, for a stop by Ctrl-C, too
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{(out / STORE).resolve()}"
    shown = re.sub(r"//[^/@]*@", "//...@", url)  # a password is nobody's business
    for attempt in range(ATTEMPTS):
        try:
            study = _create(lab, url, name, _pruner(pruner, epochs), directions)
            break
        except (IntegrityError, OperationalError) as error:
            # Two processes that begin a database at the same moment trip over each other's tables.
            if attempt == ATTEMPTS - 1:
                raise _unusable(shown, error) from None
            time.sleep(random.uniform(0.1, 1) * (attempt + 1))
        except (SQLAlchemyError, ImportError, lab.exceptions.StorageInternalError) as error:
            raise _unusable(shown, error) from None
    text = json.dumps(facts, sort_keys=True)
    before = study.user_attrs.get(FACTS)
    if before is None:
        study.set_user_attr(FACTS, text)
    elif before != text:
        old = json.loads(before)
        differ = ", ".join(sorted(k for k in old.keys() | facts.keys() if old.get(k) != json.loads(text).get(k)))
        raise ConfigError(
            f"{shown}: study {name} was begun with other {differ}",
            hint="give what it was begun with, or another --study",
        )
    return study


def _create(lab: Any, url: str, name: str, pruner: Any, directions: Sequence[str]) -> optuna.Study:
    with warnings.catch_warnings():
        # The heartbeat is marked as new; it only decides how soon a killed trial is seen.
        warnings.simplefilter("ignore", lab.exceptions.ExperimentalWarning)
        store = lab.storages.RDBStorage(url, heartbeat_interval=HEARTBEAT, heartbeat_stale_trial_callback=begin_again)
    study: optuna.Study = lab.create_study(
        storage=store, study_name=name, directions=list(directions), load_if_exists=True, pruner=pruner
    )
    return study


def _unusable(shown: str, error: Exception) -> ResourceError:
    said = str(error).splitlines()[0]
    return ResourceError(f"{shown}: cannot be used ({said})", hint="check the URL; sqlite:///FILE is a file")


def reseed(trial: optuna.Trial, seed: int) -> None:
    """Make what is proposed to this trial follow from ``seed`` and its number, whichever process runs it.

    One sampler with one seed would propose the same again after each restart, and in each of several processes.
    """
    number = int(np.random.SeedSequence([seed, trial.number]).generate_state(1)[0])
    trial.study.sampler = import_optuna().samplers.TPESampler(seed=number)


def propose(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """A value for each setting."""
    values: dict[str, Any] = {}
    for name, each in space.items():
        if isinstance(each, Choices):
            values[name] = trial.suggest_categorical(name, each.values)
        elif each.whole:
            step = 1 if each.step is None else int(each.step)
            values[name] = trial.suggest_int(name, int(each.low), int(each.high), step=step, log=each.log)
        else:
            values[name] = trial.suggest_float(name, each.low, each.high, step=each.step, log=each.log)
    return values


def begin_again(study: optuna.Study, trial: optuna.Trial | optuna.trial.FrozenTrial) -> None:
    """Put the settings of a trial that was stopped back in the queue; its training goes on from its checkpoint."""
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={FOLDER: trial.user_attrs.get(FOLDER, f"trial-{trial.number}")})


def import_optuna() -> Any:
    """Optuna. Raises MissingExtraError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("the search", "lab") from None
    return optuna


def _pruner(name: PrunerName, epochs: int) -> Any:
    pruners = import_optuna().pruners
    if name is PrunerName.MEDIAN:
        # The first fifth of a training, with its warm-up, says little.
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 5))
    if name is PrunerName.HYPERBAND:
        return pruners.HyperbandPruner(min_resource=max(1, epochs // 9), max_resource=max(1, epochs))
    return pruners.NopPruner()

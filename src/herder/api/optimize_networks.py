"""The networks that ``herder optimize`` trains: each a folder with a run and the ``model.safetensors`` it ended with.

A folder is named by what is done and by a digest of all that decides the result, so that the same is not trained twice
and another setting is another folder. A training that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from herder.api.distill import student_start
from herder.api.optimize_plan import network_name
from herder.api.optimize_search import search_architecture
from herder.api.prune_gradients import loss_gradients
from herder.api.run_photos import Photos
from herder.api.training_run import base_config, run_training
from herder.errors import ConfigError
from herder.evaluation.prediction_store import file_sha256
from herder.files import write_atomic
from herder.model.files import load_model, read_spec, save_model
from herder.model.pruning import Importance, Scope, prune
from herder.training.config import load_config
from herder.training.interfaces import Ending
from herder.training.tracking import Tracker

NETWORKS = "networks"
"""The folder in the output folder."""

MODEL = "model.safetensors"

MULTIPLE = 4
"""Channels left by pruning are multiples of this: processors work on groups of them."""


@dataclass(frozen=True)
class TrainingPlan:
    """How networks are trained."""

    ratio: float = 0.3
    """Share of the channels that pruning takes out."""
    student: str = "herder-n"
    """What learns from the model that was given: a name or a model file. Not used where there is a ``teacher``."""
    teacher: Path | None = None
    """A larger model that the given one learns from; None: the given one is the teacher itself."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings of the training over its defaults, such as ``epochs``."""
    trials: int = 20
    """Architectures that search tries."""
    scratch_epochs: int | None = None
    """Epochs of what begins from nothing, the searched network and a new student; None: those of all others."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError(f"--trials {self.trials} is not positive", hint="use 20, say")
        if self.scratch_epochs is not None and self.scratch_epochs < 1:
            raise ConfigError(f"--scratch-epochs {self.scratch_epochs} is not positive", hint="use 60, say")


@dataclass(eq=False)
class Workshop:
    """Makes networks of ``model``, in ``out``, each when it is first asked for."""

    model: Path
    photos: Photos
    out: Path
    plan: TrainingPlan
    say: Callable[[str], None] = lambda _: None
    trackers: Sequence[Tracker] | None = None

    def folder(self, steps: Sequence[str]) -> Path:
        """Where the network of these steps is."""
        return self.out / NETWORKS / (f"{network_name(steps)}-{self.digest(steps)}" if steps else network_name(steps))

    def network(self, steps: Sequence[str]) -> Path:
        """The model file after these steps, trained now where it is not there yet.

        Raises KeyboardInterrupt where the training was stopped, and what training raises.
        """
        if not steps:
            return self.model
        target = self.folder(steps) / MODEL
        if target.exists():
            return target
        before = self.network(steps[:-1])
        self.say(f"{' + '.join(steps)}: training in {target.parent}")
        made = {"search": self._searched, "prune": self._pruned, "distill": self._distilled}[steps[-1]]
        write_atomic(target, made(before, target.parent, steps).read_bytes())
        return target

    def at_size(self, steps: Sequence[str], size: int) -> Path:
        """The network with another input size in its spec, so that it is used at that size from then on."""
        path = self.network(steps)
        spec = read_spec(path)
        if spec.input_size == size:
            return path
        target = self.folder(steps) / f"model-{size}.safetensors"
        if not target.exists():
            resized = spec.replace(input_size=size, metrics={})  # what was measured at the other size
            save_model(load_model(path), resized, target)
        return target

    def _searched(self, before: Path, folder: Path, steps: Sequence[str]) -> Path:
        """A network of its own, from nothing: ``before`` says how fast and for which size it has to be."""
        found = search_architecture(
            self.photos, read_spec(before), self.plan.changes, folder / "search", self.plan.trials, self.say
        )
        return self._trained(str(found), None, [], folder / "run")

    def _pruned(self, before: Path, folder: Path, steps: Sequence[str]) -> Path:
        """Taught by the network before pruning, which knows where the channels lost were needed."""
        start = folder / "start.safetensors"
        if not start.exists():
            config = load_config(None, self.plan.changes, base=base_config(before))
            small = prune(
                load_model(before),
                self.plan.ratio,
                scope=Scope.GLOBAL,
                importance=Importance.TAYLOR,
                multiple=MULTIPLE,
                learn=loss_gradients(self.photos, config),
            )
            save_model(small, small.spec, start)
        return self._trained(None, start, [before], folder / "run")

    def _distilled(self, before: Path, folder: Path, steps: Sequence[str]) -> Path:
        teacher = self.plan.teacher or self.model
        if len(steps) > 1 or self.plan.teacher:
            return self._trained(None, before, [teacher], folder / "run")
        return self._trained(*student_start(self.plan.student), [teacher], folder / "run")

    def _trained(self, model: str | None, init: Path | None, teachers: Sequence[Path], run: Path) -> Path:
        own: dict[str, Any] = {"distillation.teachers": [str(teacher) for teacher in teachers]} if teachers else {}
        if init is None:  # a new network sees what its teacher sees
            own |= {"image_size": read_spec(self.model).input_size}
        changes = {**own, **self.plan.changes}
        if init is None and self.plan.scratch_epochs is not None:
            changes["epochs"] = self.plan.scratch_epochs
        config = load_config(None, changes, base=base_config(init, model))
        # An empty run folder is what a stop in the first seconds leaves.
        result = run_training(self.photos, model, init, config, run, resume=run.exists(), trackers=self.trackers)
        if result.ending is Ending.INTERRUPTED:
            raise KeyboardInterrupt
        if not result.best.exists():
            raise ConfigError(f"{run}: the training ended before its first evaluation", hint="use more epochs")
        return result.best

    def digest(self, steps: Sequence[str]) -> str:
        """Of all that decides the networks of these steps."""
        plan = self.plan
        facts: dict[str, Any] = {
            "model": file_sha256(self.model),
            "photos": [self.photos.train.fingerprint(), self.photos.validation.fingerprint()],
            "changes": {name: value for name, value in plan.changes.items() if name not in ("device", "workers")},
        }
        if "prune" in steps:
            facts["ratio"] = plan.ratio
        if {"search", "distill"} & set(steps) and plan.scratch_epochs is not None:
            facts["scratch_epochs"] = plan.scratch_epochs
        if "search" in steps:
            facts["trials"] = plan.trials
        if "distill" in steps:
            student = Path(plan.student)
            facts["student"] = file_sha256(student) if student.is_file() else plan.student
            facts["teacher"] = file_sha256(plan.teacher) if plan.teacher else None
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:8]

"""``herder optimize`` from Python: tries what makes a model smaller and faster, measures it here, keeps the best.

Everything that is made or measured stays in the output folder: the same command goes on where it was stopped, and the
same command with other limits picks again without measuring again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from herder.api.optimize_checks import check_limits, check_memory, check_model, check_strategies
from herder.api.optimize_choices import Prefer
from herder.api.optimize_constraints import Choice, Constraints, choose
from herder.api.optimize_files import FileMaker
from herder.api.optimize_hopeless import hopeless
from herder.api.optimize_measure import Bench
from herder.api.optimize_networks import TrainingPlan, Workshop
from herder.api.optimize_plan import DEFAULT_STRATEGIES, ENGINES, PLAIN, FilePlan, Plan, default_sizes, make_plan
from herder.api.optimize_result import (
    Candidate,
    Facts,
    Measured,
    NotTried,
    State,
    read_state,
    still_there,
    write_state,
)
from herder.api.run_photos import Photos, read_photos
from herder.data.records import Problem
from herder.edge.threads import physical_cores
from herder.errors import ConfigError, HerderError
from herder.evaluation.plain_values import to_plain
from herder.evaluation.prediction_store import file_sha256
from herder.files import write_together, writing
from herder.model.files import read_spec
from herder.training.run import environment_facts
from herder.training.tracking import Tracker

BEST = "best"
"""The chosen file in the output folder, with the suffix of its kind."""


@dataclass(frozen=True)
class OptimizeSettings:
    """What is to be tried and kept."""

    constraints: Constraints = field(default_factory=Constraints)
    prefer: Prefer = Prefer.ACCURATE
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    sizes: tuple[int, ...] = ()
    """Longest sides in pixels; empty: the model's own and one a quarter smaller."""
    engines: tuple[str, ...] = ENGINES
    target: str = "cpu"
    """Where the model is to run: this machine's processor."""
    threads: int | None = None
    """CPU threads; None: one for each physical core."""
    budget_minutes: float | None = None
    """After so long nothing new is begun; None: no end."""
    seed: int = 0
    """Decides draws and calibration photos."""
    training: TrainingPlan = field(default_factory=TrainingPlan)

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads {self.threads} is not positive", hint="use 1 or more, or leave it out")
        if self.budget_minutes is not None and not (math.isfinite(self.budget_minutes) and self.budget_minutes > 0):
            raise ConfigError(f"--budget-minutes {self.budget_minutes} is not positive", hint="use 30, say")


@dataclass(frozen=True, eq=False)
class OptimizeRun:
    """What was found."""

    measured: Measured
    choice: Choice
    best: Path | None
    """The chosen model's file, copied to the output folder; None where no candidate keeps the constraints."""
    problems: tuple[Problem, ...] = ()
    """Photos that are not in the numbers."""
    interrupted: bool = False


def run_optimization(
    model: Path,
    data: Path | Photos,
    out: Path,
    settings: OptimizeSettings | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, int, int], None] | None = None,
    trackers: Sequence[Tracker] | None = None,
) -> OptimizeRun:
    """Try all that ``settings`` name on ``model``, and hand back the best candidate that keeps the limits.

    Validation photos of ``data`` measure, its training photos calibrate and train. ``say`` hears a line for each step.
    A candidate that cannot be made or measured is told and left out. Raises ConfigError before any long work for a
    target that this machine cannot measure, limits that nothing can keep, or a model that cannot be optimized.
    """
    settings = settings or OptimizeSettings()
    check_model(model, settings.target)
    plan = make_plan(
        settings.strategies, settings.sizes or default_sizes(read_spec(model).input_size), settings.engines
    )
    check_strategies(model, plan, settings.training)
    photos = data if isinstance(data, Photos) else read_photos(data)
    check_limits(model, settings.constraints, plan, settings.training, photos)
    threads = settings.threads or physical_cores()
    facts = Facts(file_sha256(model), photos.validation.fingerprint(), str(environment_facts()["processor"]), threads)
    before = read_state(out, facts)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    problems: list[Problem] = []
    workshop = Workshop(model, photos, out, settings.training, say, trackers)
    maker = FileMaker(workshop, settings.seed, say, progress)
    plain = maker.make(FilePlan((), PLAIN, read_spec(model).input_size))
    bench = Bench(model, plain, photos.validation, out, threads, settings.seed, problems.append, progress)
    if before is None:
        say(f"measuring {model.name} as it is")
        before = State(facts, bench.input())
        write_state(out, before)
    check_memory(settings.constraints, before.input)
    work = _Work(plan, bench, maker, before, settings, say)
    interrupted = False
    try:
        work.go()
    except KeyboardInterrupt:  # what was measured so far is kept, and the best of it is a result
        interrupted = True
    measured = Measured(before.input, work.candidates, tuple(work.not_tried))
    choice = choose(measured.candidates, settings.constraints, measured.reference_ms, settings.prefer)
    best = _copy(choice.best, out)
    more: dict[str, object] = {
        "finished": not interrupted,
        "constraints": to_plain(settings.constraints),
        "best": choice.best.key if choice.best else None,
        "nearest": choice.nearest.key if choice.nearest else None,
        "words": list(choice.sentences),
        "reference_ms": measured.reference_ms if measured.candidates else None,
        "front": [c.key for c, on in zip(measured.candidates, measured.front, strict=True) if on],
        "not_tried": to_plain(measured.not_tried),
    }
    write_state(out, work.state, more)
    return OptimizeRun(measured, choice, best, tuple(problems), interrupted)


class _Work:
    """Goes through a plan, and keeps what comes out after each candidate."""

    def __init__(
        self,
        plan: Plan,
        bench: Bench,
        maker: FileMaker,
        state: State,
        settings: OptimizeSettings,
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.bench, self.maker, self.settings, self.say = plan, bench, maker, settings, say
        self.state = replace(state, candidates=still_there(bench.out, state.candidates))
        self.not_tried: list[NotTried] = []
        self._begun = time.monotonic()
        self._paths = {
            key: maker.path(file).relative_to(bench.out).as_posix()
            for file in plan.files
            for key in (f"{file.key}/{engine}" for engine in plan.of(file))
        }

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Those of this plan, of which a folder may hold more."""
        return tuple(c for c in self.state.candidates if self._paths.get(c.key) == c.file)

    def go(self) -> None:
        """Make and measure what is not measured yet."""
        known = {candidate.key for candidate in self.candidates}
        total, failed = len(self._paths), set[tuple[str, ...]]()
        for file in self.plan.files:
            keys = [f"{file.key}/{engine}" for engine in self.plan.of(file)]
            if known.issuperset(keys):
                continue
            if file.steps in failed:
                continue
            if why := hopeless(file, self.candidates, self.settings.constraints.drop):
                left = NotTried(file.training, file.training, why)
                if left not in self.not_tried:  # once, not for each of its files
                    self.not_tried.append(left)
                continue
            if self._over_budget():
                self.not_tried.append(NotTried(file.key, file.label(self.plan.of(file)[0]), "the budget was used up"))
                continue
            with self._set_aside(file.key, file.label(self.plan.of(file)[0])) as made:
                try:
                    self.maker.workshop.network(file.steps)
                except HerderError:
                    failed.add(file.steps)
                    raise
                path = self.maker.make(file)
                made.append(path)
            for engine in self.plan.of(file) if made else ():
                if f"{file.key}/{engine}" not in known:
                    with self._set_aside(f"{file.key}/{engine}", file.label(engine)):
                        self._measure(file, made[0], engine, total)

    def _measure(self, file: FilePlan, path: Path, engine: str, total: int) -> None:
        candidate = self.bench.candidate(file, path, engine)
        others = tuple(c for c in self.state.candidates if c.key != candidate.key)
        self.state = replace(self.state, candidates=(*others, candidate))
        write_state(self.bench.out, self.state, {"finished": False})
        self.say(
            f"{len(self.candidates)} of {total}: {candidate.label}: mAP50 {candidate.map50:.3f} "
            f"({-candidate.drop:+.3f}), {candidate.time.value * candidate.input_ms:.1f} ms "
            f"({1 / candidate.time.value:.2f} times as fast), {candidate.file_bytes / 1e6:.2f} MB, "
            f"{candidate.peak_rss_bytes / 1e6:.0f} MB of memory"
        )

    def _over_budget(self) -> bool:
        minutes = self.settings.budget_minutes
        return minutes is not None and time.monotonic() - self._begun > 60 * minutes

    @contextmanager
    def _set_aside(self, key: str, label: str) -> Iterator[list[Path]]:
        """One candidate that fails is told, and costs no other."""
        try:
            yield []
        except HerderError as error:
            reason = f"{error.message} ({error.hint})" if error.hint else error.message
            self.not_tried.append(NotTried(key, label, reason))
            self.say(f"left out: {label}: {reason}")


def _copy(best: Candidate | None, out: Path) -> Path | None:
    """Put the chosen file beside ``optimize.json``; an earlier choice goes."""
    for suffix in (".onnx", ".xml", ".bin"):
        (out / f"{BEST}{suffix}").unlink(missing_ok=True)
    if best is None:
        return None
    source = out / best.file
    target = out / f"{BEST}{source.suffix}"
    suffixes = (".bin", ".xml") if source.suffix == ".xml" else (source.suffix,)
    write_together([(target.with_suffix(end), source.with_suffix(end).read_bytes()) for end in suffixes])
    return target

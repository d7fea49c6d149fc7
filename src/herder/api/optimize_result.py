"""What ``herder optimize`` has measured so far, as values that go to ``optimize.json`` and come back.

The file is written after each candidate, so that a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.edge.paired_timing import Ratio
from herder.edge.pareto import pareto_front
from herder.errors import ConfigError, DataError
from herder.evaluation.plain_values import from_plain, to_plain
from herder.files import write_atomic

STATE = "optimize.json"

VERSION = 1


@dataclass(frozen=True)
class Candidate:
    """One model file in one engine at one size, as it was measured."""

    key: str
    """Tells candidates apart, such as ``base/onnx-float16-416/onnx``."""
    label: str
    strategies: tuple[str, ...]
    """Those it is made by, in the order they were applied."""
    file: str
    """Path of the model file, seen from the folder of ``optimize.json``."""
    engine: str
    size: int
    """Longest side in pixels that the network sees."""
    precision: str
    """Of the weights: float32, float16 or int8."""
    map50: float
    map50_95: float
    drop: float
    """mAP50 of the input model minus this one's, on the same photos."""
    drop_bounds: tuple[float, float]
    """95 % interval over photos (bootstrap)."""
    time: Ratio
    """Milliseconds from photo to boxes for each millisecond of the input model's plain export, in turns."""
    input_ms: float
    """Median of the plain export in these turns."""
    file_bytes: int
    sha256: str
    peak_rss_bytes: int
    """Of a fresh process that detects."""

    def milliseconds(self, reference_ms: float) -> float:
        """From photo to boxes on a machine where the input model takes ``reference_ms``."""
        return self.time.value * reference_ms


@dataclass(frozen=True)
class NotTried:
    """A candidate, or what several would have been made of, that could not be made or measured."""

    key: str
    label: str
    reason: str


@dataclass(frozen=True)
class Input:
    """The model that was given: its file, and the rest measured on its plain export (float32, ONNX Runtime)."""

    name: str
    sha256: str
    file_bytes: int
    size: int
    map50: float
    map50_95: float
    peak_rss_bytes: int
    empty_rss_bytes: int
    """Of the process before the model was opened: no model takes less."""


@dataclass(frozen=True)
class Facts:
    """What all candidates of a folder have in common."""

    model_sha256: str
    photos: str
    """Fingerprint of the photos measured on."""
    processor: str
    threads: int


@dataclass(frozen=True)
class State:
    """All that is in ``optimize.json`` and cannot be computed from the rest of it."""

    facts: Facts
    input: Input
    candidates: tuple[Candidate, ...] = ()
    version: int = VERSION


@dataclass(frozen=True, eq=False)
class Measured:
    """Candidates beside each other."""

    input: Input
    candidates: tuple[Candidate, ...]
    not_tried: tuple[NotTried, ...] = ()
    front: NDArray[np.bool_] = field(init=False)
    """Which candidates (n,) are on the Pareto front over mAP50-95, time, size and memory."""

    def __post_init__(self) -> None:
        costs = [(-c.map50_95, c.time.value, c.file_bytes, c.peak_rss_bytes) for c in self.candidates]
        object.__setattr__(self, "front", pareto_front(np.reshape(costs, (-1, 4))))

    @property
    def reference_ms(self) -> float:
        """The input model's time in the quietest turns: what candidates of different moments are set against."""
        return min((c.input_ms for c in self.candidates), default=float("nan"))


def read_state(out: Path, facts: Facts) -> State | None:
    """What an earlier run left in ``out``; None where there was none.

    Raises ConfigError where it measured something else or elsewhere, DataError where the file is broken.
    """
    path = out / STATE
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        state = from_plain(State, data["state"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: cannot be used ({error})", hint="delete it, or choose another --out") from None
    names = {"model_sha256": "model", "photos": "photos", "processor": "processor", "threads": "number of threads"}
    differ = [words for name, words in names.items() if getattr(state.facts, name) != getattr(facts, name)]
    if differ:
        raise ConfigError(f"{path}: was begun with another {', '.join(differ)}", hint="choose another --out")
    return state


def write_state(out: Path, state: State, more: dict[str, object] | None = None) -> None:
    """Write ``state`` and what was concluded from it to ``out``."""
    content = {"kind": "optimize", "version": VERSION, **(more or {}), "state": to_plain(state)}
    write_atomic(out / STATE, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode())


def still_there(out: Path, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates whose files are in place; the others are made again."""
    return tuple(candidate for candidate in candidates if (out / candidate.file).is_file())

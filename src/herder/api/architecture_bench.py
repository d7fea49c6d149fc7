"""What a network costs on this machine before anybody trains it: milliseconds in an engine, and megabytes of its file.

Weights change nothing about the time of a dense network, so an untrained one is measured. It takes turns with a fixed
reference: on a busy machine both are slow, and their ratio stays (M. Tan et al. measure on the phone itself in MnasNet,
https://arxiv.org/abs/1807.11626, since counted operations say little about milliseconds).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from herder.edge.engine_files import file_bytes, open_engine
from herder.edge.export import export_onnx
from herder.edge.paired_timing import Ratio, paired_milliseconds, paired_ratio
from herder.errors import ConfigError
from herder.inference import Engine
from herder.model.families import BASE, make_spec
from herder.model.flops import count_work
from herder.model.network import Network
from herder.spec import ModelSpec

REFERENCE = "reference.onnx"
"""The network in the search's folder that all others take turns with."""

BLOCK = 8
"""Calls in a turn, of which the fastest counts: what another program takes away only ever adds to a time."""

BLOCKS = 12
"""Turns that are measured at a time; their median ratio and its interval are what is told."""

NARROW = 0.1
"""An interval up to this share of the ratio is narrow enough."""

ATTEMPTS = 5
"""So often more turns are added while the interval is wider."""

SEED = 0
"""Of the reference's weights and of the noise that is looked at: the same in every process."""


@dataclass(frozen=True)
class NetworkCost:
    """One network, one photo at a time on a square canvas of its input size; decoding is in it, suppression not."""

    time: Ratio
    """Milliseconds for each millisecond of the reference."""
    megabytes: float
    """10^6 bytes of its ONNX file in float32."""
    parameters: int
    macs: int
    """Multiply-accumulates for one photo."""


@dataclass(eq=False)
class NetworkBench:
    """Measures networks in one engine on this machine, in turns with a herder-n of ``size`` pixels.

    ``engine`` is ``onnx`` or ``openvino``; ``threads`` as in ``open_engine``. What opening an engine raises comes
    through.
    """

    out: Path
    engine: str
    size: int
    threads: int | None = None

    @cached_property
    def reference(self) -> Engine:
        """The reference, exported to ``out`` where it is not there yet."""
        path = self.out / REFERENCE
        if not path.exists():
            spec = make_spec(BASE, ("animal",), input_size=self.size)
            export_onnx(untrained(spec), spec, path)
        opened = self._open(path)
        if opened.spec.input_size != self.size:
            raise ConfigError(
                f"{path}: is the reference of {opened.spec.input_size} pixels, not {self.size}",
                hint="choose another --out",
            )
        return opened

    def reference_milliseconds(self) -> float:
        """The reference's median time now."""
        return float(np.median(_quiet([_runner(self.reference)])))

    def measure(self, spec: ModelSpec) -> NetworkCost:
        """Export the untrained network, and time it. Raises ModelFileError where it cannot be exported faithfully."""
        network = untrained(spec)
        with tempfile.TemporaryDirectory(prefix="herder-nas-") as folder:
            path = Path(folder) / "network.onnx"
            export_onnx(network, spec, path)
            runs = [_runner(self.reference), _runner(self._open(path))]
            time = _ratio(runs)
            megabytes = file_bytes(path) / 1e6
        work = count_work(network, spec.input_size, spec.input_size)
        return NetworkCost(time, megabytes, work.parameters, work.macs)

    def _open(self, path: Path) -> Engine:
        return open_engine(path, self.engine, self.threads)


def untrained(spec: ModelSpec) -> Network:
    """The network with the same random weights each time; the caller's random numbers go on as if it were not there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return Network(spec).eval()


def _runner(engine: Engine) -> Callable[[], object]:
    """Looks at the same noise at each call, at the network's own input size."""
    side = engine.spec.input_size
    canvas = np.random.default_rng(SEED).integers(0, 256, (1, side, side, 3), np.uint8)
    return lambda: engine.predict(canvas)


def _ratio(runs: Sequence[Callable[[], object]]) -> Ratio:
    """Time of the second run for each millisecond of the first; measured longer where the machine is busy."""
    times = np.empty((0, 2))
    for _ in range(ATTEMPTS):
        times = np.concatenate((times, _quiet(runs)))
        ratio = paired_ratio(times[:, 1], times[:, 0])
        if ratio.high - ratio.low <= NARROW * ratio.value:
            break
    return ratio


def _quiet(runs: Sequence[Callable[[], object]]) -> NDArray[np.float64]:
    """Milliseconds (BLOCKS, len(runs)) of each run in the quietest call of each turn."""
    return paired_milliseconds(runs, rounds=BLOCKS, block=BLOCK, middle=min)

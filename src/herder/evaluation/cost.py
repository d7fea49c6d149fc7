"""What a detector costs: its size, its work, and its time and memory in each engine that was measured."""

from __future__ import annotations

from dataclasses import dataclass

from herder.evaluation.not_computed import NotComputed

FEWEST = {95: 20, 99: 100}
"""Timings that a percentile needs, so that at least one lies above it."""


@dataclass(frozen=True)
class Artifact:
    """A model file that ran: its accuracy and its speed belong together by ``sha256``."""

    file: str
    """Name without folders."""
    sha256: str
    bytes: int
    made_from: str
    """The file it was exported from for this measurement; empty for the file that was given."""
    parameters: int | NotComputed
    """Numbers in the file that training set; an export has fewer, since norms are folded away."""


@dataclass(frozen=True)
class Configuration:
    """One way to run the model."""

    engine: str
    """``torch``, ``onnx`` or ``openvino``."""
    device: str
    """``cpu`` or ``cuda``."""
    threads: int
    """CPU threads."""
    batch: int
    size: int
    """Longest side in pixels that the network sees."""
    streams: int = 1
    """Batches on their way at a time, which share the threads."""

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        streams = "" if self.streams == 1 else f", {self.streams} streams"
        return f"{self.engine} on {self.device}, {threads}{streams}, batch {self.batch}, {self.size} px"


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one batch; a percentile is not computed where too few batches were timed."""

    p50: float
    p95: float | NotComputed
    p99: float | NotComputed

    @classmethod
    def of(cls, p50: float, p95: float, p99: float, timings: int) -> Latency:
        """Keep what ``timings`` batches can tell.

        >>> Latency.of(5.0, 6.0, 7.0, timings=50).p99
        NotComputed(reason='the 99th percentile needs 100 timings, 50 were taken')
        """
        kept = [
            value
            if timings >= FEWEST[percent]
            else NotComputed(f"the {percent}th percentile needs {FEWEST[percent]} timings, {timings} were taken")
            for percent, value in ((95, p95), (99, p99))
        ]
        return cls(p50, *kept)


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one configuration, in a process of its own."""

    configuration: Configuration
    sha256: str
    """Of the artifact that ran."""
    flops: int | NotComputed
    """For one photo on a square canvas: 2 x multiply-accumulates of convolutions and matrix products."""
    photos: int
    timings: int
    """Batches timed, after the warm-up."""
    latency_ms: Latency
    """From decoded photos to boxes: letterbox, network, suppression; with streams as long as its caller waits."""
    network_ms: Latency
    """The network alone, on letterboxed photos."""
    frames_per_second: float
    """Photos a second from decoded photo to boxes, batch after batch, or all streams together."""
    network_frames_per_second: float
    peak_rss_bytes: int
    """Physical memory that the process held at most: Python, libraries, model, one batch of photos."""
    base_rss_bytes: int
    """What it held before the engine was loaded."""
    peak_cuda_bytes: int | NotComputed
    """What torch held at most on the CUDA device."""
    map50: float | NotComputed
    """Of this very file in this engine, on the labelled photos."""
    map50_95: float | NotComputed


@dataclass(frozen=True)
class LeftOut:
    """A configuration that could not be measured, and why."""

    configuration: Configuration
    reason: str


@dataclass(frozen=True)
class Machine:
    """What the times depend on besides the model."""

    cpu: str
    cores: int
    """Physical cores that the processes may use."""
    system: str
    python: str
    packages: tuple[tuple[str, str], ...]
    """Names and versions."""
    cuda: tuple[str, ...]
    """Names of the CUDA devices."""
    others: float | NotComputed
    """Logical cores' worth of time that other programs took just before the first measurement."""

    @property
    def busy(self) -> bool:
        """Whether other programs took at least half a core: times may then be too long."""
        return not isinstance(self.others, NotComputed) and self.others >= 0.5


@dataclass(frozen=True)
class Cost:
    """All that was measured of one model."""

    model: str
    """Its name, as its file says it."""
    machine: Machine
    artifacts: tuple[Artifact, ...]
    measurements: tuple[Measurement, ...]
    left_out: tuple[LeftOut, ...]

    def artifact(self, measurement: Measurement) -> Artifact:
        """The file that ran."""
        return next(artifact for artifact in self.artifacts if artifact.sha256 == measurement.sha256)

"""The part of a report about cost: files, work, time and memory, and the machine they were measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from herder.errors import DataError
from herder.evaluation.cost import Cost, Measurement
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain
from herder.evaluation.report import Section, Table

TIMES = ("Threads", "Batch", "Size", "p50 ms", "p95 ms", "p99 ms", "Network ms", "Photos/s", "Peak RSS MB")
"""Columns of every table that ``time_rows`` fills, after the engine."""


def has_accuracy(cost: Cost) -> bool:
    """Whether the photos had labels that were asked for."""
    return any(not isinstance(one.map50_95, NotComputed) for one in cost.measurements)


def has_streams(cost: Cost) -> bool:
    """Whether something ran in several streams."""
    return any(one.configuration.streams > 1 for one in cost.measurements)


def time_columns(cost: Cost) -> tuple[str, ...]:
    """The heads of ``time_rows``: what concerns CUDA, streams and labels only where there are some."""
    device, memory = (("Device",), ("Peak CUDA MB",)) if cost.machine.cuda else ((), ())
    times = ("Streams", *TIMES) if has_streams(cost) else TIMES
    return ("Engine", *device, *times, *memory, *(("mAP50-95",) if has_accuracy(cost) else ()))


def time_rows(cost: Cost) -> list[list[str | int]]:
    """One row for each measurement, as text where it is not a whole number; what is not computed is a dash."""
    rows: list[list[str | int]] = []
    for one in cost.measurements:
        c = one.configuration
        cuda = [_text(one.peak_cuda_bytes, 0, 1e-6)] if cost.machine.cuda else []
        quality = [_text(one.map50_95, 3)] if has_accuracy(cost) else []
        times = (one.latency_ms.p50, one.latency_ms.p95, one.latency_ms.p99, one.network_ms.p50)
        rows.append(
            [
                c.engine,
                *([c.device] if cost.machine.cuda else []),
                *([c.streams] if has_streams(cost) else []),
                c.threads,
                c.batch,
                c.size,
                *(_text(value, 1) for value in times),
                _text(one.frames_per_second, 1),
                _text(one.peak_rss_bytes, 0, 1e-6),
                *cuda,
                *quality,
            ]
        )
    return rows


def missing_times(cost: Cost) -> list[str]:
    """Why percentiles are missing, each reason once."""
    values = [value for one in cost.measurements for value in (one.latency_ms.p95, one.latency_ms.p99)]
    return list(dict.fromkeys(str(value) for value in values if isinstance(value, NotComputed)))


def cost_section(cost: Cost) -> Section:
    """Files, work, time and memory of every configuration, and what was left out."""
    fastest = max(cost.measurements, key=lambda one: one.frames_per_second, default=None)
    machine = cost.machine
    text = (
        "Milliseconds for one batch from decoded photos to boxes (letterbox, network, suppression): half, 95 and 99 of "
        "100 batches were faster; warm-up and reading files are not in them. Network: the median of the engine alone. "
        "Photos a second are from the mean. Every row comes from a fresh process with so many threads; its peak memory "
        "(RSS) includes Python, the libraries and one batch of photos.\n\n"
        "FLOPs are two for each multiply-accumulate of convolutions and matrix products, for one photo on a square "
        "canvas; norms, activations and the decoding of boxes are not counted."
    )
    if has_streams(cost):
        text += (
            "\n\nStreams are batches on their way at a time: they share the threads, each waits longer, and photos a "
            "second are those of all together."
        )
    reasons = missing_times(cost)
    if reasons:
        text += f"\n\nA dash in the times: {'; '.join(reasons)}."
    if machine.busy:
        text += (
            f"\n\nThe machine was busy: just before the first measurement other programs took {machine.others:.1f} "
            "cores. Times may be too long; measure again on a quiet machine."
        )
    files = [
        (
            artifact.file + (f", exported from {artifact.made_from}" if artifact.made_from else ""),
            _text(artifact.parameters, 0),
            f"{artifact.bytes / 1e6:.2f}",
            artifact.sha256[:12],
        )
        for artifact in cost.artifacts
    ]
    work = sorted(
        {(one.configuration.size, cost.artifact(one).file, _text(one.flops, 2, 1e-9)) for one in cost.measurements}
    )
    tables = [
        Table(time_columns(cost), time_rows(cost)),
        Table(("File", "Parameters", "MB", "SHA-256"), files),
        Table(("Size", "File", "GFLOPs a photo"), work),
    ]
    if cost.left_out:
        tables.append(Table(("Left out", "Why"), [(str(one.configuration), one.reason) for one in cost.left_out]))
    return Section(
        "Cost",
        text,
        numbers=_headline(cost, fastest) if fastest else (),
        facts=[
            ("Processor", f"{machine.cpu}, {machine.cores} {'core' if machine.cores == 1 else 'cores'}"),
            *([("CUDA", ", ".join(machine.cuda))] if machine.cuda else []),
            ("System", f"{machine.system}, Python {machine.python}"),
            ("Packages", ", ".join(f"{name} {version}" for name, version in machine.packages)),
        ],
        tables=tables,
    )


def sections_from_json(data: Mapping[str, Any], source: str) -> list[Section]:
    """The section of a ``cost.json`` that was read from ``source``. Raises DataError where it is damaged."""
    try:
        cost = from_plain(Cost, {**data, "model": data["model"]["name"]})
        known = {artifact.sha256 for artifact in cost.artifacts}
        if not known.issuperset(one.sha256 for one in cost.measurements):
            raise ValueError("a measurement of an unknown file")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{source}: is damaged: {error}", hint="run `herder benchmark` again") from None
    return [cost_section(cost)]


def _headline(cost: Cost, fastest: Measurement) -> list[tuple[str, str]]:
    artifact = cost.artifact(fastest)
    return [
        ("Parameters", _text(artifact.parameters, 0)),
        ("GFLOPs", _text(fastest.flops, 2, 1e-9)),
        ("File MB", f"{artifact.bytes / 1e6:.2f}"),
        (f"Photos/s, {fastest.configuration.engine}", f"{fastest.frames_per_second:.1f}"),
    ]


def _text(value: float | NotComputed, digits: int, unit: float = 1.0) -> str:
    return "\N{EN DASH}" if isinstance(value, NotComputed) else f"{value * unit:,.{digits}f}"

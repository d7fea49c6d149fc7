"""The page and the picture of ``herder optimize``: mAP against time, every candidate, and what was chosen and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from herder.api.optimize import OptimizeRun
from herder.api.optimize_constraints import Constraints
from herder.api.optimize_result import Candidate, Measured
from herder.evaluation.plots import COLOURS, FAINT, INK, PictureFormat, frame_axes, render_figure
from herder.evaluation.report import Picture, Section, Table, Width, write_report
from herder.files import write_atomic

HTML, PICTURE = "report.html", "pareto.png"

MARKERS = {"float32": "o", "float16": "s", "int8": "^"}

COLUMNS = (
    "",
    "Candidate",
    "mAP50",
    "mAP50-95",
    "Drop of mAP50",
    "ms",
    "Times as fast",
    "MB",
    "Times as small",
    "Memory MB",
)


def write_optimize_report(run: OptimizeRun, constraints: Constraints, out: Path, subtitle: str) -> Path:
    """Write ``report.html`` and ``pareto.png`` to ``out``, and return the page's path.

    Raises MissingExtraError where matplotlib or Jinja2 is not installed.
    """
    if run.measured.candidates:
        write_atomic(out / PICTURE, pareto_plot(run, constraints, PictureFormat.PNG))
    write_report(out / HTML, "Optimize", optimize_sections(run, constraints), subtitle)
    return out / HTML


def optimize_sections(run: OptimizeRun, constraints: Constraints) -> list[Section]:
    """Result, picture, table, and what could not be tried."""
    measured, choice = run.measured, run.choice
    given = measured.input
    chosen = choice.best or choice.nearest
    numbers: list[tuple[str, str | int | float]] = []
    if chosen is not None:
        numbers = [
            ("mAP50", chosen.map50),
            ("mAP50-95", chosen.map50_95),
            ("Milliseconds", chosen.milliseconds(measured.reference_ms)),
            ("Times as fast", 1 / chosen.time.value),
            ("MB", chosen.file_bytes / 1e6),
            ("Memory MB", round(chosen.peak_rss_bytes / 1e6)),
        ]
    heading = "Chosen" if choice.best else "Nearest: no candidate keeps all limits"
    said = ". ".join(sentence[0].upper() + sentence[1:] for sentence in choice.sentences) + "."
    stopped = "\n\nStopped before all was tried: the same command goes on." if run.interrupted else ""
    text = (
        f"{chosen.label if chosen else 'Nothing could be measured'}. {said}{stopped}\n\n"
        f"The model as given ({given.name}, {given.size} px, a file of {given.file_bytes / 1e6:.2f} MB), exported in "
        f"float32 and run in ONNX Runtime: mAP50 {given.map50:.3f}, mAP50-95 {given.map50_95:.3f}, "
        f"{given.peak_rss_bytes / 1e6:.0f} MB of memory.\n\n"
        "The best was picked among many on these very photos, which flatters it a little: measure it on photos that "
        "nothing was chosen by."
    )
    sections = [Section(heading, text, numbers)]
    if measured.candidates:
        caption = (
            "mAP50-95 against milliseconds from photo to boxes. The line joins those that no other beats in both; "
            "filled are those that none beats in accuracy, time, size and memory together. The star is the choice."
        )
        plot = pareto_plot(run, constraints, PictureFormat.SVG)
        sections.append(Section("Pareto front", pictures=[Picture(plot, "mAP against time", caption, Width.FULL)]))
        about = (
            f"Times are medians from a decoded photo to boxes, one photo at a time, each taken in turns with that "
            f"plain export; milliseconds are the ratio times {measured.reference_ms:.1f} ms, what the plain export "
            "takes in the quietest turns. In brackets stand 95 % intervals: of the drop over photos (bootstrap), of "
            "the speed over turns. A dot marks the Pareto front over mAP50-95, time, size and memory."
        )
        sections.append(Section("Candidates", about, tables=[Table(COLUMNS, table_rows(run))]))
    if measured.not_tried:
        rows = [(each.label, each.reason) for each in measured.not_tried]
        sections.append(Section("Left out", tables=[Table(("What", "Why"), rows)]))
    return sections


def table_rows(run: OptimizeRun, *, intervals: bool = True) -> list[list[str | int | float]]:
    """A row of ``COLUMNS`` for each candidate, the most accurate first; with 95 % ``intervals`` of drop and time."""
    measured = run.measured
    chosen = {run.choice.best.key} if run.choice.best else set()
    on_front = {c.key for c, on in zip(measured.candidates, measured.front, strict=True) if on}
    rows: list[list[str | int | float]] = []
    for c in sorted(measured.candidates, key=lambda c: (-c.map50_95, c.time.value)):
        mark = "chosen" if c.key in chosen else "\N{BULLET}" if c.key in on_front else ""
        drop, low, high = (f"{round(value, 3) + 0.0:+.3f}" for value in (c.drop, *c.drop_bounds))  # no -0.000
        times, least, most = (f"{1 / value:.2f}" for value in (c.time.value, c.time.high, c.time.low))
        rows.append(
            [
                mark,
                c.label,
                c.map50,
                c.map50_95,
                f"{drop} {_interval(low, high)}" if intervals else drop,
                f"{c.milliseconds(measured.reference_ms):.1f}",
                f"{times} {_interval(least, most)}" if intervals else times,
                f"{c.file_bytes / 1e6:.2f}",
                f"{measured.input.file_bytes / c.file_bytes:.2f}",
                f"{c.peak_rss_bytes / 1e6:.0f}",
            ]
        )
    return rows


def _interval(low: str, high: str) -> str:
    """Both ends, kept on one line."""
    return f"({low} to {high})".replace(" ", "\N{NO-BREAK SPACE}")


def pareto_plot(run: OptimizeRun, constraints: Constraints, kind: PictureFormat) -> bytes:
    """mAP50-95 over milliseconds: colours are networks, shapes are precisions, the shade is what is too slow."""
    measured = run.measured
    networks = list(dict.fromkeys(c.key.split("/")[0] for c in measured.candidates))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(networks)}

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for c, on in zip(measured.candidates, measured.front, strict=True):
            colour = colours[c.key.split("/")[0]]
            point = (c.milliseconds(measured.reference_ms), c.map50_95)
            low, high = (factor * measured.reference_ms for factor in (c.time.low, c.time.high))
            axes.plot([low, high], [c.map50_95] * 2, color=colour, linewidth=1, alpha=0.5, zorder=2)
            face = colour if on else "white"
            axes.plot(*point, MARKERS[c.precision], color=colour, markerfacecolor=face, markersize=7, zorder=3)
        line = _line(measured)
        axes.plot([x for x, _ in line], [y for _, y in line], color=INK, linewidth=1, drawstyle="steps-post", zorder=1)
        given = measured.input
        axes.plot([measured.reference_ms], [given.map50_95], "x", color=INK, markersize=8, zorder=4)
        axes.annotate(
            "as given", (measured.reference_ms, given.map50_95), xytext=(6, -12), textcoords="offset points", fontsize=8
        )
        chosen = run.choice.best or run.choice.nearest
        if chosen is not None:
            point = (chosen.milliseconds(measured.reference_ms), chosen.map50_95)
            axes.plot(*point, "*", color="none", markeredgecolor=INK, markersize=20, zorder=5)
        frame_axes(axes, "milliseconds from photo to boxes", "mAP50-95")
        _limit(axes, constraints.latency_ms)
        _legend(axes, colours, measured.candidates)

    return render_figure(draw, (8.0, 4.6), kind)


def _line(measured: Measured) -> list[tuple[float, float]]:
    """The points, fastest first, that no faster one equals in accuracy."""
    points = sorted((c.milliseconds(measured.reference_ms), -c.map50_95) for c in measured.candidates)
    best, line = -np.inf, []
    for x, negative in points:
        if -negative > best:
            best = -negative
            line.append((x, best))
    return line


def _limit(axes: Any, latency_ms: float | None) -> None:
    """Shade what is too slow, where the limit is on the picture."""
    low, high = axes.get_xlim()
    if latency_ms is not None:
        axes.axvspan(latency_ms, max(high, 1.05 * latency_ms), color=FAINT, alpha=0.6, zorder=0, linewidth=0)
        axes.set_xlim(low, max(high, 1.05 * latency_ms))


def _legend(axes: Any, colours: dict[str, str], candidates: Sequence[Candidate]) -> None:
    used = {c.precision for c in candidates}
    names = {"base": "as given", "search": "searched", "distill": "distilled", "prune": "pruned"}
    for name, colour in colours.items():
        words = " + ".join(names[part] for part in name.split("-"))
        axes.plot([], [], "o", color=colour, label=words)
    for precision, marker in MARKERS.items():
        if precision in used:
            axes.plot([], [], marker, color=INK, markerfacecolor="white", label=precision)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))

"""The table and the picture of an architecture search: accuracy against time, and the proxy against longer training."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from herder.api.architecture_result import REFUSED, TRAINED, ArchitectureRun, ArchitectureTrial, ProxyCheck
from herder.api.search_choices import ProxyName
from herder.errors import MissingExtraError
from herder.evaluation.plots import COLOURS, FAINT, INK, PictureFormat, frame_axes, render_figure
from herder.evaluation.rank_correlation import RankCorrelation
from herder.files import write_atomic

JSON, PICTURE = "nas.json", "pareto.png"

ROOM = 1.5
"""A limit is drawn up to so many times the slowest network's time; further off it would shrink the rest."""

SHOWN = 10
"""So many trials stand in the table besides the front; nas.json has them all."""


def check_drawing() -> None:
    """Raise MissingExtraError where pictures cannot be drawn: before hours of search, not after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("the picture", "train")


def write_picture(run: ArchitectureRun, metric: str, out: Path) -> Path | None:
    """Write ``pareto.png`` to ``out``; None where nothing was trained. Raises MissingExtraError without matplotlib."""
    if not run.front:
        return None
    write_atomic(out / PICTURE, pareto_picture(run, metric, PictureFormat.PNG))
    return out / PICTURE


def pareto_picture(run: ArchitectureRun, metric: str, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Each trained architecture by time and accuracy, the front joined; beside it short against long training."""
    pairs = run.check.trained if run.check is not None else ()

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, 2, width_ratios=(3, 2)) if pairs else [figure.subplots()]
        _draw_front(panels[0], run, metric)
        if pairs:
            _draw_check(panels[1], run, metric)

    return render_figure(draw, (10.5, 4.4) if pairs else (7, 4.4), kind)


def _draw_front(axes: Any, run: ArchitectureRun, metric: str) -> None:
    trained = [trial for trial in run.trials if trial.state == TRAINED]
    front, by_loss = run.front, _by_loss(run)
    for trial in trained:
        on = trial in front
        x, y = trial.milliseconds or 0.0, _shown(trial, by_loss)
        if trial.cost is not None:
            low, high = (bound * run.reference_ms for bound in (trial.cost.time.low, trial.cost.time.high))
            axes.plot([low, high], [y, y], color=FAINT, linewidth=2, zorder=1)
        face, ink, size = (COLOURS[0], INK, 8) if on else ("white", COLOURS[-1], 6)
        axes.plot(x, y, "o", color=COLOURS[0], markerfacecolor=face, markersize=6, zorder=3)
        axes.annotate(str(trial.number), (x, y), (5, 4), textcoords="offset points", fontsize=size, color=ink)
    axes.step(
        [trial.milliseconds for trial in front],
        [_shown(trial, by_loss) for trial in front],
        where="post",
        color=COLOURS[0],
        linewidth=1.2,
        label="Pareto front",
        zorder=2,
    )
    slowest = max(trial.milliseconds or 0.0 for trial in trained)
    limit = run.facts["limits"]["milliseconds"]
    if limit is not None and limit < ROOM * slowest:
        axes.axvline(limit, color=COLOURS[1], linestyle="--", linewidth=1, label=f"limit {limit:g} ms")
        slowest = max(slowest, limit)
    refused = sum(trial.state == REFUSED for trial in run.trials)
    title = f"{len(trained)} trained" + (f", {refused} over a limit and not trained" if refused else "")
    axes.set_title(title, fontsize=9, color=INK)
    frame_axes(axes, f"network alone, ms ({run.facts['engine']})", _short_label(run, metric))
    axes.set_xlim(0, 1.1 * slowest)
    if by_loss:
        axes.invert_yaxis()  # up is better, as with accuracy
    else:
        axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)


def _draw_check(axes: Any, run: ArchitectureRun, metric: str) -> None:
    assert run.check is not None
    by_loss = _by_loss(run)
    for each in run.check.trained:
        place = (each.loss if by_loss else each.accuracy, each.long)
        axes.plot(*place, "o", color=COLOURS[2], markersize=6)
        axes.annotate(str(each.number), place, (5, 4), textcoords="offset points", fontsize=7, color=INK)
    frame_axes(axes, _short_label(run, metric), f"{metric} after {run.check.epochs} epochs")
    if by_loss:
        axes.invert_xaxis()
    axes.set_title(correlation_text(run.check, ProxyName(run.facts["proxy"])), fontsize=9, color=INK)


def _by_loss(run: ArchitectureRun) -> bool:
    return bool(run.facts["proxy"] == ProxyName.LOSS)


def _shown(trial: ArchitectureTrial, by_loss: bool) -> float:
    return (trial.loss if by_loss else trial.accuracy) or 0.0


def _short_label(run: ArchitectureRun, metric: str) -> str:
    return f"{'training loss' if _by_loss(run) else metric} after {run.facts['epochs']} epochs"


def correlation_text(check: ProxyCheck, proxy: ProxyName) -> str:
    """The rank correlation of a proxy with its 95 % interval, in a few words."""
    found = check.correlation(proxy)
    if isinstance(found, RankCorrelation):
        return f"Spearman's rho {found.rho:.2f} ({found.low:.2f} to {found.high:.2f}), {found.pairs} networks"
    return f"rank correlation {found}"


def table_rows(run: ArchitectureRun) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: the front first, then the others by their score, at most ``SHOWN`` of them."""
    front = run.front
    others = [trial for trial in run.trials if trial.state == TRAINED and trial not in front]
    others.sort(key=lambda trial: (-(trial.score or 0.0), trial.number))
    long = {} if run.check is None else {each.number: each.long for each in run.check.trained}
    headings = ["", "trial", "short", "loss", *(["long"] if long else []), "ms", "MB", "Mparam", "network"]
    rows = []
    for trial in (*front, *others[:SHOWN]):
        row = ["\N{BULLET}" if trial in front else "", str(trial.number), f"{trial.accuracy:.3f}", f"{trial.loss:.2f}"]
        row += [f"{long[trial.number]:.3f}" if trial.number in long else "\N{EN DASH}"] if long else []
        row += [f"{trial.milliseconds:.2f}", *_cost_cells(trial), network_words(trial.values)]
        rows.append(row)
    return headings, rows


def network_words(values: Mapping[str, Any]) -> str:
    """A place in the space in a few words: width x depth of herder-n, kernel, activation, neck, head, pixels.

    >>> from herder.model.architecture_space import ArchitectureSpace
    >>> network_words(ArchitectureSpace().smallest("none"))
    '0.25x0.5 k3 relu, fpn own, head 32x1, 224 px'
    """
    v = values
    separable = {"none": "", "head": " separable", "all": ""}[v["depthwise"]]
    everywhere = " separable" if v["depthwise"] == "all" else ""
    return (
        f"{v['width']:g}x{v['depth']:g} k{v['kernel']} {v['activation']}{everywhere}, {v['neck']} "
        f"{v['neck_width'] or 'own'}, head {v['head_width']}x{v['head_depth']}{separable}, {v['input_size']} px"
    )


def _cost_cells(trial: ArchitectureTrial) -> list[str]:
    assert trial.cost is not None
    return [f"{trial.cost.megabytes:.2f}", f"{trial.cost.parameters / 1e6:.2f}"]

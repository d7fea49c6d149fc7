"""The part of a report about calibration: can the scores be believed, and what a temperature makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from herder.errors import DataError
from herder.evaluation.calibration import FEWEST, Calibration, Reliability
from herder.evaluation.error_plots import reliability_plot
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain
from herder.evaluation.report import Picture, Section, Table

Cell = str | int | float


def calibration_section(calibration: Calibration) -> Section:
    """The verdict in words, calibration errors before and after, and the reliability diagram."""
    before, after = calibration.before, calibration.after
    held_out = after if isinstance(after, Reliability) else None
    columns = ("Measure", "As it is", "Calibrated, on photos held out", "By chance alone")
    rows = [
        (name, _cell(getattr(before, field)), _cell(getattr(held_out, field)) if held_out else "\N{EN DASH}", chance)
        for name, field, chance in (
            ("D-ECE, over the score", "ece", before.ece_by_chance),
            ("D-ECE, over score and place in the photo", "ece_position", before.ece_position_by_chance),
            ("D-ECE, over score and size of the box", "ece_size", before.ece_size_by_chance),
            (f"MCE, of bins with {FEWEST} detections or more", "mce", ""),
            ("Brier score", "brier", ""),
            ("Negative log likelihood", "nll", ""),
        )
    ]
    text = (
        f"{verdict(calibration)}\n\nOf the detections with a score of 0.8, 8 of 10 should be right: hit a labelled box "
        f"of their class at IoU {calibration.iou:g}. D-ECE (https://arxiv.org/abs/2004.13546) is how far they are from "
        f"that on average. It was measured on {before.detections:,} detections with a score from {calibration.floor:g} "
        f"on, in {calibration.photos:,} photos. The last column is what a detector with right scores would get here, "
        "since few detections fall into a bin: a value near it is as good as can be shown with these photos."
    )
    return Section(
        "Calibration",
        text,
        tables=[Table(columns, rows)],
        pictures=[
            Picture(
                reliability_plot(before, held_out),
                "Reliability diagram: precision over score, and the number of detections",
                "Precision of the detections of each score, with 95 % intervals. On the dashed line scores are right; "
                "above it the detector is too modest, below it too sure. Below: how many detections there are.",
            )
        ],
    )


def verdict(calibration: Calibration) -> str:
    """What temperature scaling gives on photos held out, in one or two sentences."""
    after = calibration.after
    if isinstance(calibration.temperature, NotComputed):
        return f"The temperature is {calibration.temperature}."
    now = f"A temperature of {calibration.temperature:.3f} makes the scores {_direction(calibration.temperature)}."
    if isinstance(after, NotComputed):
        return f"{now} What it gives on photos held out is {after}."
    change = f"on photos held out the calibration error is {after.ece:.3f}, before {calibration.before.ece:.3f}"
    if calibration.helps:
        return f"{now} It helps: {change}."
    if after.ece < calibration.before.ece:
        return f"{now} It is not sure to help: {change}, but the likelihood is not better."
    return f"{now} It does not help: {change}."


def sections_from_json(data: Mapping[str, Any], source: str) -> list[Section]:
    """The section from the content of a ``calibration.json``, for a report made later.

    Raises DataError naming ``source`` where the content is something else.
    """
    try:
        calibration = from_plain(Calibration, data["calibration"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{source}: calibration cannot be read ({error})", hint="run `herder calibrate` again"
        ) from None
    return [calibration_section(calibration)]


def _direction(temperature: float) -> str:
    return "less extreme" if temperature > 1 else "more extreme" if temperature < 1 else "what they are"


def _cell(value: object) -> Cell:
    return value if isinstance(value, float) else str(value)

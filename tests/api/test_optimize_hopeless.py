from __future__ import annotations

import pytest

from herder.api.optimize_hopeless import hopeless
from herder.api.optimize_plan import FORMS, PLAIN, FilePlan
from herder.api.optimize_result import Candidate
from herder.edge.paired_timing import Ratio

AWARE = next(form for form in FORMS if form.strategy == "aware")


def candidate(key: str, drop: float) -> Candidate:
    return Candidate(
        key, key, (), "", "onnx", 64, "float32", 0.7 - drop, 0.5, drop, (drop, drop), Ratio(1, 1, 1), 10.0, 1, "", 1
    )


@pytest.mark.parametrize(
    ("steps", "form", "left_out"),
    [
        ((), AWARE, False),
        (("distill",), PLAIN, False),  # what was measured is this network itself: its other files cost no training
        (("distill",), AWARE, True),
        (("distill", "prune"), PLAIN, True),
        (("distill", "prune"), AWARE, True),
        (("prune",), AWARE, False),
        (("search", "distill"), PLAIN, False),  # nothing is known of search
    ],
)
def test_what_goes_on_from_a_network_far_below_the_limit(steps: tuple[str, ...], form: object, left_out: bool) -> None:
    measured = [
        candidate("base/onnx-float32-64/onnx", 0.0),
        candidate("distill/onnx-float32-64/onnx", 0.09),
        candidate("distill/onnx-float32-32/onnx", 0.07),
        candidate("prune/onnx-float32-64/onnx", 0.05),
    ]
    plan = FilePlan(steps, AWARE if form is AWARE else PLAIN, 64)
    why = hopeless(plan, measured, 0.01)
    assert (why is not None) == left_out
    if why:
        assert "distill network that it goes on from has 0.070 mAP50 less" in why
    assert hopeless(plan, measured, 0.02) is None
    assert hopeless(plan, measured, None) is None
    assert hopeless(plan, [], 0.01) is None

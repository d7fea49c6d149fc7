"""Which networks are not worth the hours of a further training, by what was measured of them so far."""

from __future__ import annotations

from collections.abc import Sequence

from herder.api.optimize_plan import TRAINING, FilePlan, network_name
from herder.api.optimize_result import Candidate

MARGIN = 0.05
"""mAP@0.5 that a further training may win back at most: distillation of a finished network won 0.045 on real photos."""


def hopeless(plan: FilePlan, candidates: Sequence[Candidate], most_drop: float | None) -> str | None:
    """Why the training that ``plan`` needs is left out; None where it is worth its time, or needs none.

    It is left out where the network that it goes on from, in its best file, is further than ``MARGIN`` beyond the limit
    ``most_drop`` of mAP@0.5 below the input model. Without a limit nothing is left out.
    """
    if most_drop is None:
        return None
    ends = range(1, len(plan.steps) + (plan.form.strategy in TRAINING))
    for network in (network_name(plan.steps[:end]) for end in ends):
        drops = [candidate.drop for candidate in candidates if candidate.key.split("/")[0] == network]
        if drops and min(drops) > most_drop + MARGIN:
            return (
                f"the {network} network that it goes on from has {min(drops):.3f} mAP50 less than the input at best "
                f"(raise --max-drop to try it all the same)"
            )
    return None

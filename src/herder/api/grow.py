"""``herder grow`` from Python: a wider model file that starts from what a narrower one has learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from herder.errors import ConfigError, ModelFileError
from herder.evaluation.prediction_store import file_sha256
from herder.files import check_writable
from herder.model.files import load_model, save_model
from herder.model.flops import Work, count_work
from herder.model.network import Network
from herder.model.widening import widen
from herder.spec import ModelSpec

TOLERANCE = 1e-4
"""How far a score of the wider network may lie from the narrower one's, and a box side relative to its size."""

CHECK_SIDE = 128
"""Pixels of the pictures of noise that both networks are compared on."""


@dataclass(frozen=True)
class GrowResult:
    """What was written."""

    out: Path
    before: ModelSpec
    after: ModelSpec
    work: tuple[Work, Work]
    """Of the model given and of the wider one, for one photo of the model's input size."""
    difference: float
    """The largest difference of a score."""


def grow_model(model: Path, out: Path, width: float, *, noise: float = 0.1, seed: int = 0) -> GrowResult:
    """Write a model of ``width`` times the channels that detects what ``model`` does, ready to be trained further.

    Raises ConfigError for a width or noise out of range, a pruned or quantized model, another kind of file, or an
    ``out`` that is the model itself; ModelFileError where the wider network does not compute the same.
    """
    for path in (model, out):
        if path.suffix != ".safetensors":
            raise ConfigError(f"{path}: only .safetensors models can grow", hint="grow before you export")
    if model.resolve() == out.resolve():
        raise ConfigError(f"{out}: is the model itself, which is not changed", hint="choose another name")
    check_writable(out)
    digest = file_sha256(model)
    old = load_model(model)
    new = widen(old, width, noise=noise, seed=seed)
    difference = largest_difference(old, new)
    if not difference <= TOLERANCE:
        raise ModelFileError(
            f"{model}: the wider network differs by {difference:.2g}, more than {TOLERANCE:g}",
            hint="its weights are far out of the usual range: train it again, or use --noise 0",
        )
    grown = f"widened {width:g} times from {model.name} ({digest[:12]}) as in Net2Net"
    spec = new.spec.replace(
        name=f"{old.spec.name}-x{width:g}", origin=f"{old.spec.origin}; {grown}" if old.spec.origin else grown
    )
    save_model(new, spec, out)
    side = old.spec.input_size
    work = count_work(old, side, side), count_work(new, side, side)
    return GrowResult(out, old.spec, spec, work, difference)


@torch.no_grad()
def largest_difference(old: Network, new: Network) -> float:
    """The largest difference of scores, and of box sides relative to the canvas, on pictures of noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=generator) * 255
    images = torch.nn.functional.interpolate(coarse, size=(CHECK_SIDE, CHECK_SIDE), mode="bilinear")
    (a_boxes, a_scores), (b_boxes, b_scores) = old.eval()(images), new.eval()(images)
    sides = (a_boxes[..., 2:] - a_boxes[..., :2]).amax(dim=-1, keepdim=True).clamp(min=CHECK_SIDE)
    boxes = ((a_boxes - b_boxes).abs() / sides).max()
    return float(torch.maximum((a_scores - b_scores).abs().max(), boxes))

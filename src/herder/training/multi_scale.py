"""Training on canvases of changing size, so that the network meets animals near and far.

Source: J. Redmon, A. Farhadi, "YOLO9000", CVPR 2017, https://arxiv.org/abs/1612.08242, section 2. B photos, G boxes, S
side of the canvas in pixels.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from herder.training.config import STRIDE, TrainConfig


def canvas_side(config: TrainConfig, step: int, side: int) -> int:
    """The side in pixels, a multiple of 32, that a step's canvas is scaled to: it follows from seed and step alone."""
    low, high = (max(1, round(side * (1 + sign * config.multi_scale) / STRIDE)) for sign in (-1, 1))
    return int(np.random.default_rng((config.seed, step)).integers(low, high + 1)) * STRIDE


def rescale(images: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, S, S) and boxes (B, G, 4) in pixels on a canvas of another side, as floats 0..255."""
    if images.shape[-1] == side:
        return images, boxes
    factor = side / images.shape[-1]
    return F.interpolate(images.float(), size=(side, side), mode="bilinear", align_corners=False), boxes * factor

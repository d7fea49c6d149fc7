"""The head: from feature maps to a box and class scores for each cell, without anchors.

Decoupled branches after YOLOX (https://arxiv.org/abs/2107.08430); the sides of a box as distributions after Generalized
Focal Loss (https://arxiv.org/abs/2006.04388); focal-prior start of the class bias (https://arxiv.org/abs/1708.02002).
Notation: B photos, A cells of all levels together, K classes, R = reg_max bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from herder.model.blocks import Conv, spatial_conv
from herder.spec import Architecture

PRIOR = 0.01
"""Every class starts at this probability, so that the many empty cells do not drown the first steps."""

LARGEST_LOG_SIDE = 8.0
"""exp(8) strides: far past any canvas, but finite, should a network ever run away."""


@dataclass
class RawOutput:
    """What the head says before it is decoded, and where its cells are.

    ``box`` (B, A, 4 R) logits of the distances left, top, right, bottom in strides, or (B, A, 4) ``x, y, log w, log
    h`` in strides where R is 0; ``cls`` (B, A, K) logits; ``obj`` (B, A, 1) logits or None; ``corners`` (A, 2) top
    left of each cell and ``strides`` (A, 1), both in canvas pixels; ``one_to_one`` the second head's output or None.
    For distillation, what it was made from: ``images`` (B, 3, H, W) as given, and the neck's ``maps`` (B, C, h, w).
    """

    box: Tensor
    cls: Tensor
    obj: Tensor | None
    corners: Tensor
    strides: Tensor
    one_to_one: RawOutput | None = None
    images: Tensor | None = None
    maps: tuple[Tensor, ...] = ()


class Head(nn.Module):
    """A stem and two branches on each level: what is it, and where."""

    def __init__(self, a: Architecture, inputs: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.level_strides = a.strides
        width = a.head_width

        def branch() -> nn.Sequential:
            depthwise = a.depthwise or a.head_depthwise
            return nn.Sequential(*(spatial_conv(a, width, width, depthwise=depthwise) for _ in range(a.head_depth)))

        levels = len(inputs)
        self.stems = nn.ModuleList(Conv(a, c, width) for c in inputs)
        self.cls_convs = nn.ModuleList(branch() for _ in range(levels))
        self.reg_convs = nn.ModuleList(branch() for _ in range(levels))
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in range(levels))
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4 * max(1, a.reg_max), 1) for _ in range(levels))
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(levels) if a.objectness)
        self.start_biases(a)

    @torch.no_grad()
    def start_biases(self, a: Architecture) -> None:
        """Set the last layers' biases: classes rare (``PRIOR``), boxes about 5 cells wide where distributions are
        used."""
        prior = -math.log((1 - PRIOR) / PRIOR)
        for layer in (*self.cls_preds, *self.obj_preds):
            _bias(layer).fill_(prior)
        for layer in self.reg_preds:
            if a.reg_max:
                # A distribution that falls with distance, mean about 2.5 strides a side: the first boxes overlap
                # the animals at once, where a flat one would start at (R - 1) / 2 strides a side.
                _bias(layer).copy_((-torch.arange(a.reg_max, dtype=torch.float32) / 3).repeat(4))
            _weight(layer).mul_(0.1)

    def forward(self, maps: tuple[Tensor, ...]) -> RawOutput:
        """Maps of stride 8, 16, 32 to RawOutput."""
        boxes, classes, objects, corners, strides = [], [], [], [], []
        for i, x in enumerate(maps):
            x = self.stems[i](x)
            classes.append(rows(self.cls_preds[i](features := self.cls_convs[i](x))))
            boxes.append(rows(self.reg_preds[i](features := self.reg_convs[i](x))))
            if len(self.obj_preds):
                objects.append(rows(self.obj_preds[i](features)))
            corner, stride = cells(x, self.level_strides[i])
            corners.append(corner)
            strides.append(stride)
        return RawOutput(
            torch.cat(boxes, 1),
            torch.cat(classes, 1),
            torch.cat(objects, 1) if objects else None,
            torch.cat(corners),
            torch.cat(strides),
        )


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.bias


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return layer.weight


def rows(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H * W, C): one row a cell."""
    return x.flatten(2).transpose(1, 2)


def cells(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Top left corners (H * W, 2) in pixels of a map's (B, C, H, W) cells, row by row, and their stride (H * W, 1)."""
    height, width = x.shape[2:]
    xs = torch.arange(width, device=x.device, dtype=torch.float32)
    ys = torch.arange(height, device=x.device, dtype=torch.float32)
    grid = torch.stack((xs.expand(height, width), ys[:, None].expand(height, width)), dim=-1)  # (H, W, 2)
    corners = grid.reshape(-1, 2) * stride
    return corners, torch.full_like(corners[:, :1], stride)


def decode_boxes(raw: RawOutput, reg_max: int) -> Tensor:
    """Boxes (B, A, 4) xyxy in canvas pixels, in float32."""
    box = raw.box.float()
    if reg_max:
        bins = torch.arange(reg_max, device=box.device, dtype=torch.float32)
        # The mean of each side's distribution, in strides from the cell's centre: (B, A, 4, R) . (R,) -> (B, A, 4)
        sides = box.view(*box.shape[:-1], 4, reg_max).softmax(-1) @ bins * raw.strides
        centres = raw.corners + raw.strides / 2
        return torch.cat((centres - sides[..., :2], centres + sides[..., 2:]), dim=-1)
    centres = box[..., :2] * raw.strides + raw.corners
    half = box[..., 2:].clamp(max=LARGEST_LOG_SIDE).exp() * raw.strides / 2
    return torch.cat((centres - half, centres + half), dim=-1)


def decode_scores(raw: RawOutput) -> Tensor:
    """Scores (B, A, K) in 0..1: the class's probability, times the objectness where there is one."""
    scores = raw.cls.float().sigmoid()
    return scores if raw.obj is None else scores * raw.obj.float().sigmoid()

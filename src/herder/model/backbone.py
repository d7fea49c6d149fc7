"""The backbone: from a photo to feature maps of stride 8, 16 and 32 (CSPDarknet, https://arxiv.org/abs/1911.11929)."""

from __future__ import annotations

from torch import Tensor, nn

from herder.model.blocks import Conv, CSPLayer, Focus, SPPBottleneck, SqueezeExcitation, conv3
from herder.spec import Architecture


class Backbone(nn.Module):
    """Stem and four stages, each half the side of the one before."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.stem = Focus(a, 3, a.widths[0]) if a.stem == "focus" else Conv(a, 3, a.widths[0], 3, 2)
        self.stages = nn.ModuleList()
        for i, depth in enumerate(a.depths):
            inputs, outputs = a.widths[i], a.widths[i + 1]
            last = i == len(a.depths) - 1
            layers: list[nn.Module] = [conv3(a, inputs, outputs, 2, depthwise=a.depthwise)]
            if last:
                layers.append(SPPBottleneck(a, outputs))
            # YOLOX leaves the addition out of the last stage, and its weights want it so.
            layers.append(CSPLayer(a, outputs, outputs, depth, add=not last))
            if last and a.attention:
                layers.append(SqueezeExcitation(outputs))
            self.stages.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) to three maps: (B, widths[2], H/8, W/8), (B, widths[3], H/16, W/16), (B, widths[4], H/32,
        W/32)."""
        x = self.stem(x)  # (B, widths[0], H/2, W/2)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1], maps[2], maps[3]

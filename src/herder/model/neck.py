"""The neck: what is known at each scale is told to the others.

FPN brings meaning down to the fine maps (https://arxiv.org/abs/1612.03144), PAN brings place up again
(https://arxiv.org/abs/1803.01534). Names end in the stride's power: 3 is stride 8, 4 is 16, 5 is 32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from herder.model.blocks import Conv, CSPLayer, conv3
from herder.spec import Architecture


def neck_widths(a: Architecture) -> tuple[int, int, int]:
    """Channels that the neck gives at stride 8, 16 and 32."""
    return (a.neck_width,) * 3 if a.neck_width else (a.widths[2], a.widths[3], a.widths[4])


class Neck(nn.Module):
    """FPN, and with ``neck == "pan"`` the way up again."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        c3, c4, c5 = a.widths[2:]
        w3, w4, w5 = neck_widths(a)
        # With one width at all levels nothing has to shrink on the way down.
        d5, d4 = (w5, w4) if a.neck_width else (c4, c3)
        self.lateral5 = Conv(a, c5, d5)
        self.down4 = CSPLayer(a, d5 + c4, w4, a.neck_depth, add=False)
        self.lateral4 = Conv(a, w4, d4)
        self.down3 = CSPLayer(a, d4 + c3, w3, a.neck_depth, add=False)
        self.pan = a.neck == "pan"
        if self.pan:
            self.reduce3 = conv3(a, w3, d4, 2, depthwise=a.depthwise)
            self.up4 = CSPLayer(a, d4 + d4, w4, a.neck_depth, add=False)
            self.reduce4 = conv3(a, w4, d5, 2, depthwise=a.depthwise)
            self.up5 = CSPLayer(a, d5 + d5, w5, a.neck_depth, add=False)
        elif d5 != w5:
            self.out5 = Conv(a, d5, w5)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Three maps of stride 8, 16, 32 to three maps of the same sides with ``neck_widths`` channels."""
        m3, m4, m5 = maps
        p5 = self.lateral5(m5)
        p4 = self.down4(torch.cat((F.interpolate(p5, scale_factor=2.0, mode="nearest"), m4), dim=1))
        if not self.pan:
            p4_small = self.lateral4(p4)
            n3 = self.down3(torch.cat((F.interpolate(p4_small, scale_factor=2.0, mode="nearest"), m3), dim=1))
            return n3, p4, self.out5(p5) if hasattr(self, "out5") else p5
        p4 = self.lateral4(p4)
        n3 = self.down3(torch.cat((F.interpolate(p4, scale_factor=2.0, mode="nearest"), m3), dim=1))
        n4 = self.up4(torch.cat((self.reduce3(n3), p4), dim=1))
        n5 = self.up5(torch.cat((self.reduce4(n4), p5), dim=1))
        return n3, n4, n5

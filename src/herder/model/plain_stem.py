"""A Focus stem as one plain convolution: the same sums, without cutting the photo into four first.

Space to depth turns each 2 x 2 block of pixels into channels, and a 3 x 3 convolution over those blocks sees 6 x 6
pixels, two at a time: a 6 x 6 convolution with stride 2. Engines run it in one pass, where the cutting (six slices and
a concatenation of the largest map of the network) took about a tenth of the whole network's time.
"""

from __future__ import annotations

import torch
from torch import nn

from herder.model.blocks import Conv, Focus


@torch.no_grad()
def plain_stem(focus: Focus) -> Conv:
    """The stem as a 6 x 6 convolution with stride 2; its norm and activation are kept. The Focus is used up.

    The 3 x 3 weights are (O, 4 C, 3, 3), whose channels are the four corners of a block one after another, column by
    column; those of the result are (O, C, 6, 6).
    """
    stem, three = focus.conv, focus.conv.conv
    outputs, channels = three.out_channels, three.in_channels // 4
    # (O, right, down, C, kernel row, kernel column): pixel row = 2 * kernel row + down, and so for columns.
    corners = three.weight.view(outputs, 2, 2, channels, 3, 3)
    weight = corners.permute(0, 3, 4, 2, 5, 1).reshape(outputs, channels, 6, 6)
    six = nn.Conv2d(channels, outputs, 6, stride=2, padding=2, bias=three.bias is not None)
    six = six.to(weight.device, weight.dtype)
    six.weight.copy_(weight)
    if three.bias is not None and six.bias is not None:
        six.bias.copy_(three.bias)
    stem.conv = six
    return stem

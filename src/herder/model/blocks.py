"""The blocks that backbone, neck and head are made of.

Notation: B photos, C channels, H and W cells of a feature map.
Sources: CSPNet (https://arxiv.org/abs/1911.11929), SPP (https://arxiv.org/abs/1406.4729), MobileNet's depthwise
separable convolution (https://arxiv.org/abs/1704.04861), squeeze-and-excitation (https://arxiv.org/abs/1709.01507)
and the shapes of YOLOX (https://arxiv.org/abs/2107.08430), whose published weights load into these modules.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from herder.spec import Architecture

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": lambda: nn.SiLU(inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
    "hardswish": lambda: nn.Hardswish(inplace=True),
}


class Conv(nn.Module):
    """Convolution, batch norm, activation. After ``fuse`` the norm is folded into the convolution."""

    def __init__(
        self, a: Architecture, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        # The momentum is YOLOX's: a short training on few photos must reach its running statistics in time.
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps=a.batchnorm_eps, momentum=0.03)
        self.act = ACTIVATIONS[a.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold the batch norm into the convolution: same output in eval mode, one pass over memory less."""
        bn = self.bn
        if not isinstance(bn, nn.BatchNorm2d):
            return
        assert bn.running_mean is not None
        assert bn.running_var is not None
        factor = bn.weight / torch.sqrt(bn.running_var + bn.eps)  # (C,)
        self.conv.weight.mul_(factor[:, None, None, None])
        self.conv.bias = nn.Parameter(bn.bias - bn.running_mean * factor)
        self.bn = nn.Identity()


class DepthwiseConv(nn.Module):
    """Depthwise separable convolution: each channel on its own, then 1 x 1 across channels."""

    def __init__(self, a: Architecture, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.dconv = Conv(a, inputs, inputs, kernel, stride, groups=inputs)
        self.pconv = Conv(a, inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.pconv(self.dconv(x))
        return y


def conv3(a: Architecture, inputs: int, outputs: int, stride: int = 1, *, depthwise: bool = False) -> nn.Module:
    """Return a 3 x 3 convolution, full or depthwise separable."""
    if depthwise:
        return DepthwiseConv(a, inputs, outputs, 3, stride)
    return Conv(a, inputs, outputs, 3, stride)


def spatial_conv(a: Architecture, inputs: int, outputs: int, *, depthwise: bool = False) -> nn.Module:
    """Return a convolution that keeps the map's sides and looks ``a.kernel`` cells far, full or depthwise separable."""
    if depthwise:
        return DepthwiseConv(a, inputs, outputs, a.kernel)
    return Conv(a, inputs, outputs, a.kernel)


class Focus(nn.Module):
    """Space to depth: each 2 x 2 block of pixels becomes 4 times the channels, then a 3 x 3 convolution (YOLOX's
    stem)."""

    def __init__(self, a: Architecture, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(a, inputs * 4, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / 2, W / 2)."""
        corners = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        y: Tensor = self.conv(torch.cat(corners, dim=1))  # (B, 4 C, H / 2, W / 2)
        return y


class Bottleneck(nn.Module):
    """1 x 1, then ``a.kernel`` x ``a.kernel``, with the input added where asked for."""

    def __init__(self, a: Architecture, width: int, *, add: bool) -> None:
        super().__init__()
        self.conv1 = Conv(a, width, width)
        self.conv2 = spatial_conv(a, width, width, depthwise=a.depthwise)
        self.add = add
        self.joined = nn.Identity()  # where quantization rounds the sum

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y: Tensor = self.conv2(self.conv1(x))
        if self.add:
            y = self.joined(x + y)
        return y


class CSPLayer(nn.Module):
    """Half the channels go through ``depth`` bottlenecks, half go past them; both are joined at the end (CSPNet)."""

    def __init__(self, a: Architecture, inputs: int, outputs: int, depth: int, *, add: bool = True) -> None:
        super().__init__()
        hidden = outputs // 2
        self.conv1 = Conv(a, inputs, hidden)
        self.conv2 = Conv(a, inputs, hidden)
        self.conv3 = Conv(a, 2 * hidden, outputs)
        self.m = nn.Sequential(*(Bottleneck(a, hidden, add=add) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        through = self.conv1(x)
        past = self.conv2(x)
        y: Tensor = self.conv3(torch.cat((self.m(through), past), dim=1))
        return y


class SPPBottleneck(nn.Module):
    """Max pooling at several sizes side by side, so that the deepest level sees the whole photo (SPP)."""

    def __init__(self, a: Architecture, width: int, sizes: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        self.conv1 = Conv(a, width, width // 2)
        self.sizes = sizes
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.conv2 = Conv(a, width // 2 * (len(sizes) + 1), width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        levels = [self.conv1(x)]
        for _ in self.sizes:
            # Two poolings of 5 are one of 9, three are one of 13: the same values for a third of the work.
            levels.append(self.pool(levels[-1]))
        y: Tensor = self.conv2(torch.cat(levels, dim=1))
        return y


class SqueezeExcitation(nn.Module):
    """Channel attention: the mean of each channel decides how much of it goes on."""

    def __init__(self, width: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, max(8, width // reduction), 1)
        self.excite = nn.Conv2d(max(8, width // reduction), width, 1)
        self.joined = nn.Identity()  # where quantization rounds the product

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        mean = x.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        y: Tensor = self.joined(x * torch.sigmoid(self.excite(torch.relu(self.squeeze(mean)))))
        return y

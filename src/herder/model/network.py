"""The whole network: normalisation, backbone, neck, head, decode."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from herder.errors import ConfigError
from herder.inference import STRIDE
from herder.model.backbone import Backbone
from herder.model.blocks import Conv, Focus
from herder.model.channels import resize_channels
from herder.model.head import Head, RawOutput, decode_boxes, decode_scores
from herder.model.neck import Neck, neck_widths
from herder.model.plain_stem import plain_stem
from herder.model.quantized_layers import quantize_layers
from herder.spec import ModelSpec


class Network(nn.Module):
    """A detector's network, built from its spec.

    Raises ConfigError for a canvas whose sides are not multiples of 32.

    >>> from herder.spec import example_spec
    >>> boxes, scores = Network(example_spec()).eval()(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    >>> tuple(boxes.shape), tuple(scores.shape)
    ((2, 126, 4), (2, 126, 1))
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        a = spec.architecture
        self.spec = spec
        self.backbone = Backbone(a)
        self.neck = Neck(a)
        self.head = Head(a, neck_widths(a), len(spec.class_names))
        self.one_to_one_head = Head(a, neck_widths(a), len(spec.class_names)) if a.one_to_one else None
        self.folded_input = False
        resize_channels(self, a.channels)
        if a.quantization is not None:
            self.fold()
            quantize_layers(self, a.quantization)

    def forward(self, images: Tensor) -> RawOutput | tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) RGB, 0..255, uint8 or float, to RawOutput in training mode, else to decoded boxes and
        scores.

        Boxes (B, A, 4) are xyxy canvas pixels, scores (B, A, K) in 0..1.
        """
        raw = self.raw(images)
        return raw if self.training else self.decode(raw)

    def raw(self, images: Tensor) -> RawOutput:
        """Images (B, 3, H, W) RGB, 0..255 to what the head says."""
        if not torch.compiler.is_compiling() and (images.shape[2] % STRIDE or images.shape[3] % STRIDE):
            raise ConfigError(
                f"network input: {images.shape[3]} x {images.shape[2]} pixels",
                hint=f"both sides must be multiples of {STRIDE}",
            )
        maps = self.neck(self.backbone(self.normalise(images)))
        raw: RawOutput = self.head(maps)
        raw.images, raw.maps = images, maps
        if self.one_to_one_head is not None:
            # The second head must not pull the shared features its way (YOLOv10, https://arxiv.org/abs/2405.14458).
            raw.one_to_one = self.one_to_one_head(tuple(m.detach() for m in maps))
        return raw

    def normalise(self, images: Tensor) -> Tensor:
        """RGB 0..255 to the channel order and scale that the first convolution wants."""
        x = images.float() if images.dtype == torch.uint8 else images
        if self.folded_input:
            return x
        if self.spec.channel_order == "bgr":
            x = x.flip(1)
        return x * self.spec.scale if self.spec.scale != 1 else x

    def decode(self, raw: RawOutput) -> tuple[Tensor, Tensor]:
        """Boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K); from the one-to-one head where there is one."""
        raw = raw.one_to_one or raw
        return decode_boxes(raw, self.spec.architecture.reg_max), decode_scores(raw)

    @property
    def needs_nms(self) -> bool:
        """Whether overlapping boxes of one animal remain in the output."""
        return not self.spec.architecture.one_to_one

    def fused(self) -> Network:
        """Return a copy for inference: batch norms and input normalisation folded into the convolutions, eval mode."""
        network = copy.deepcopy(self).eval()
        network.fold()
        return network

    @torch.no_grad()
    def fold(self) -> None:
        """Fold batch norms and input normalisation into the convolutions of this very network, once."""
        if self.folded_input:
            return
        for module in self.modules():
            if isinstance(module, Conv):
                module.fuse()
        stem = self.backbone.stem
        first = (stem if isinstance(stem, Conv) else stem.conv).conv
        weight = first.weight * self.spec.scale
        if self.spec.channel_order == "bgr":
            # Input channels come in groups of 3 (4 groups behind a Focus stem): turn each group round.
            outputs, inputs, height, width = weight.shape
            weight = weight.view(outputs, inputs // 3, 3, height, width).flip(2).flatten(1, 2)
        first.weight.copy_(weight)
        if isinstance(stem, Focus):
            self.backbone.stem = plain_stem(stem)
        self.folded_input = True

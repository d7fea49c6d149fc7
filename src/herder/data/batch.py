"""What one training step gets: pictures and boxes padded to one shape.

Notation: B pictures of a batch; G boxes of the fullest picture; S side of a picture in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from herder.data.augmentation import Sample
from herder.data.records import Problem
from herder.errors import ResourceError


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures and boxes of one training step, padded to one shape.

    A row with ``valid`` False is padding. A valid row with ``ignore`` True covers a herd: neither hit nor miss there.
    """

    images: Tensor
    """(B, 3, S, S) uint8, RGB."""
    boxes: Tensor
    """(B, G, 4) float32, xyxy in pixels of the picture; G is at least 1."""
    classes: Tensor
    """(B, G) int64."""
    valid: Tensor
    """(B, G) bool."""
    ignore: Tensor
    """(B, G) bool."""
    _: KW_ONLY
    problems: tuple[Problem, ...] = ()
    """Photos that this worker found broken so far."""

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Batch:
        """Return this batch on ``device``; from pinned memory the copy runs beside the computation."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Return this batch in page-locked memory, from which a GPU copies fastest."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = (change(t) for t in (self.images, self.boxes, self.classes, self.valid, self.ignore))
        return Batch(*tensors, problems=self.problems)


def collate(samples: Sequence[Sample], problems: Sequence[Problem] = ()) -> Batch:
    """Lay samples of one size into one batch. Raises ResourceError when the batch does not fit into memory."""
    height, width = samples[0].image.shape[:2]
    most = max(1, *(len(sample) for sample in samples))  # G
    try:
        images = torch.empty((len(samples), 3, height, width), dtype=torch.uint8)
    except (MemoryError, RuntimeError) as error:
        raise ResourceError(
            f"no memory for a batch of {len(samples)} pictures of {width} x {height} pixels",
            hint="make the batch or the image size smaller",
        ) from error
    boxes = np.zeros((len(samples), most, 4), np.float32)
    classes = np.zeros((len(samples), most), np.int64)
    valid = np.zeros((len(samples), most), np.bool_)
    ignore = np.zeros((len(samples), most), np.bool_)
    for i, (sample, planes) in enumerate(zip(samples, images.numpy(), strict=True)):
        cv2.split(sample.image, list(planes))  # (H, W, 3) to (3, H, W), in place; much faster than a transposed copy
        n = len(sample)
        boxes[i, :n], classes[i, :n], ignore[i, :n], valid[i, :n] = sample.boxes, sample.classes, sample.ignore, True
    tensors = (torch.from_numpy(array) for array in (boxes, classes, valid, ignore))
    return Batch(images, *tensors, problems=tuple(problems))

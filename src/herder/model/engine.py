"""Torch as an engine behind the one inference path."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.errors import ResourceError
from herder.model.memory import is_out_of_memory
from herder.model.network import Network
from herder.spec import ModelSpec


class TorchEngine:
    """Runs a Network; folded for speed unless ``fuse`` is False (a network in training is run as it stands)."""

    fixed_size: int | None = None

    def __init__(self, network: Network, *, device: str | torch.device = "cpu", fuse: bool = True) -> None:
        self.spec: ModelSpec = network.spec
        self.device = torch.device(device)
        self.network = network.fused() if fuse else network
        self.network.to(device=self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def needs_nms(self) -> bool:
        """False for a one-to-one head."""
        return self.network.needs_nms

    @torch.inference_mode()
    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, H, W, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K).

        Raises ResourceError when the batch does not fit into memory.
        """
        was_training = self.network.training
        self.network.eval()
        try:
            # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is copied.
            images = torch.from_numpy(canvases).to(self.device).permute(0, 3, 1, 2)
            boxes, scores = self.network(images.float())
            return boxes.cpu().numpy(), scores.cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"{len(canvases)} photos of {canvases.shape[2]} x {canvases.shape[1]} do not fit into memory",
                hint="use a smaller batch or size",
            ) from error
        finally:
            self.network.train(was_training)

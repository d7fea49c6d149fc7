"""A TorchScript file as an engine, to compare an export with torch; daily work runs ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.edge.export_facts import FACTS_KEY, read_metadata
from herder.errors import ModelFileError
from herder.spec import METADATA_KEY


class TorchScriptEngine:
    """A TorchScript file that ``export_torchscript`` wrote, on the CPU.

    The format is torch's own zip archive of code and tensors: load only files that you trust.
    Raises ModelFileError for a file that torch cannot read or that holds no herder spec.
    """

    def __init__(self, path: Path) -> None:
        kept = {METADATA_KEY: "", FACTS_KEY: ""}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is", category=DeprecationWarning)
                self._graph = torch.jit.load(str(path), map_location="cpu", _extra_files=kept)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            first = str(error).splitlines()[0][:200]
            raise ModelFileError(f"{path}: is not a TorchScript file ({first})", hint="export it again") from None
        texts = {key: value.decode() if isinstance(value, bytes) else value for key, value in kept.items()}
        self.spec, self._facts = read_metadata({key: text for key, text in texts.items() if text}, path)

    @property
    def needs_nms(self) -> bool:
        """False for a one-to-one head."""
        return self._facts.needs_nms

    @property
    def fixed_size(self) -> int | None:
        """The only canvas side in pixels that the file takes; None where any multiple of 32 will do."""
        return self._facts.fixed_size

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors in the file by their names."""
        return dict(self._graph.state_dict())

    @torch.inference_mode()
    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, H, W, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K)."""
        images = torch.from_numpy(canvases).permute(0, 3, 1, 2).float()
        parts = torch.split(images, 1) if self._facts.fixed_size else [images]
        boxes, scores = zip(*(self._graph(part) for part in parts), strict=True)
        return torch.cat(boxes).numpy(), torch.cat(scores).numpy()

"""A trained diffusion model: one file that describes itself, and pictures drawn from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from herder.errors import ModelFileError
from herder.files import write_atomic
from herder.generative.diffusion import GaussianDiffusion
from herder.generative.diffusion_config import DiffusionSpec
from herder.generative.unet import CONDITION, Unet
from herder.tensor_files import read_metadata, read_tensors

MODEL_KEY = "herder_diffusion"
"""The metadata entry that tells such a file from any other."""

MODEL_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""

SAMPLING_BATCH = 256
"""Pictures drawn at a time, so that memory stays bounded."""


@dataclass(frozen=True)
class DiffusionModel:
    """A U-Net that has learned to remove noise from one kind of picture, with the schedule that it learned on."""

    spec: DiffusionSpec
    network: Unet

    @classmethod
    def new(cls, spec: DiffusionSpec) -> DiffusionModel:
        """A model with random weights, in eval mode. Raises ValueError when the spec makes no network."""
        network = Unet(
            spec.dim,
            condition_dim=len(spec.class_names) or None,
            dim_mults=spec.dim_mults,
            channels=spec.channels,
        )
        if min(spec.height, spec.width) < network.smallest_side:
            raise ValueError(
                f"pictures: found {spec.height} x {spec.width} pixels, wanted at least {network.smallest_side} a side "
                f"for {len(spec.dim_mults)} dim_mults"
            )
        return cls(spec, network.eval())

    def diffusion(self, min_snr_gamma: float | None = None) -> GaussianDiffusion:
        """The network with its schedule: the loss for training, and single steps."""
        return GaussianDiffusion(
            self.network,
            image_size=(self.spec.height, self.spec.width),
            timesteps=self.spec.timesteps,
            objective=self.spec.objective,
            beta_schedule=self.spec.schedule,
            min_snr_gamma=min_snr_gamma,
        )

    def sample(
        self,
        n: int,
        labels: Sequence[int] | Tensor | None = None,
        *,
        steps: int | None = None,
        guidance: float = 1.0,
        seed: int = 0,
        eta: float = 0.0,
        trajectory: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Draw ``n`` pictures: (n, C, H, W) float32, -1 to 1, on the CPU.

        ``labels`` (n,) asks for a class each; None draws whatever comes. ``steps`` None walks all of DDPM's steps, a
        number walks as many of DDIM's, which with ``eta`` 0 add no noise. ``guidance`` 0 leaves the label aside, 1 is
        what was learned, 2 to 4 draws clearer members of the class with less variety. ``trajectory`` k gives the way
        instead of its end alone, (k, n, C, H, W): k moments evenly spread from noise to picture. ``progress`` is told
        the steps done and the steps in all. The same seed gives the same pictures. Raises ValueError for labels or
        numbers without meaning.
        """
        if eta and steps is None:
            raise ValueError(f"eta: found {eta} without steps, wanted 0: DDPM's steps have their own noise")
        wanted = self._check(n, labels, guidance, trajectory)
        diffusion = self.diffusion()
        device = self.network.first.weight.device
        generator = torch.Generator().manual_seed(seed)
        shape = (self.spec.channels, self.spec.height, self.spec.width)
        walk = steps if steps is not None else self.spec.timesteps
        batches = -(-n // SAMPLING_BATCH)
        drawn: list[Tensor] = []
        for batch in range(batches):
            asked = slice(batch * SAMPLING_BATCH, min(n, (batch + 1) * SAMPLING_BATCH))
            x = torch.randn((asked.stop - asked.start, *shape), generator=generator).to(device)
            given = self._condition(None if wanted is None else wanted[asked].to(device), guidance)
            marks = _moments(walk, max(trajectory, 1))
            kept = [x] * marks.count(0)
            moving = diffusion.denoise(x, steps=steps, eta=eta, model_kwargs=given, generator=generator)
            for done, left in enumerate(moving, start=1):
                kept += [left] * marks.count(done)
                if progress is not None:
                    progress(batch * walk + done, batches * walk)
            drawn.append(torch.stack(kept).clamp(-1, 1).float().cpu())  # (k, b, C, H, W)
        whole = torch.cat(drawn, dim=1) if drawn else torch.empty((max(trajectory, 1), 0, *shape))
        return whole if trajectory else whole[-1]

    def save(self, path: Path) -> None:
        """Write the model to one safetensors file, all at once. Raises ResourceError when that fails."""
        plain = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        facts = json.dumps({"version": MODEL_VERSION, "spec": self.spec.as_dict()})
        write_atomic(path, safetensors.torch.save(plain, metadata={MODEL_KEY: facts}))

    def _condition(self, labels: Tensor | None, guidance: float) -> dict[str, Any]:
        if labels is None or guidance == 0:
            return {}
        classes = F.one_hot(labels, len(self.spec.class_names)).float()  # (B, K)
        return {CONDITION: classes} if guidance == 1 else {CONDITION: classes, "cfg_scale": guidance - 1}

    def _check(self, n: int, labels: Sequence[int] | Tensor | None, guidance: float, trajectory: int) -> Tensor | None:
        if n < 0 or trajectory < 0:
            raise ValueError(f"n, trajectory: found {n}, {trajectory}; wanted 0 or more")
        classes = len(self.spec.class_names)
        if labels is None:
            if guidance not in (0, 1):
                raise ValueError(f"guidance: found {guidance} without labels, wanted labels to be guided by")
            if not self.spec.knows_none:
                raise ValueError("labels: found none, wanted one a picture: this model learned to draw only with one")
            return None
        if not classes:
            raise ValueError("labels: found some, wanted none: this model was trained without classes")
        if guidance != 1 and not self.spec.knows_none:
            raise ValueError(f"guidance: found {guidance}, wanted 1: this model was trained without condition_dropout")
        wanted = torch.as_tensor(labels)
        if wanted.shape != (n,) or wanted.is_floating_point():
            raise ValueError(
                f"labels: found shape {tuple(wanted.shape)} of {wanted.dtype}, wanted ({n},) whole numbers"
            )
        if n and not 0 <= int(wanted.min()) <= int(wanted.max()) < classes:
            raise ValueError(f"labels: found {int(wanted.min())} to {int(wanted.max())}, wanted 0 to {classes - 1}")
        return wanted.long()


def load_diffusion(path: Path | str) -> DiffusionModel:
    """Read a model that ``DiffusionModel.save`` wrote, ready to draw.

    Raises ModelFileError when the file is missing, damaged, of another kind or newer than this herder.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if MODEL_KEY not in metadata:
        raise ModelFileError(f"{path}: is no diffusion model", hint="name the diffusion.safetensors of a run")
    damaged = "the file is damaged: copy it again"
    try:
        facts: Mapping[str, Any] = json.loads(metadata[MODEL_KEY])
        version = facts["version"]
        if not isinstance(version, int):
            raise ValueError(f"version {version!r}")
        if version > MODEL_VERSION:
            raise ModelFileError(
                f"{path}: model version {version} is newer than this herder reads ({MODEL_VERSION})",
                hint="upgrade herder",
            )
        with torch.device("meta"):  # shapes alone: what a file says of itself costs no memory before it is checked
            model = DiffusionModel.new(DiffusionSpec.from_dict(facts["spec"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: what it says about itself cannot be read ({error})", hint=damaged) from None
    tensors, wanted = read_tensors(path), model.network.state_dict()
    wrong = sorted(
        tensors.keys() ^ wanted.keys()
        | {name for name in tensors.keys() & wanted.keys() if tensors[name].shape != wanted[name].shape}
    )
    if wrong:
        raise ModelFileError(f"{path}: {len(wrong)} tensors do not fit its network: {wrong[:3]}", hint=damaged)
    model.network.to_empty(device="cpu").load_state_dict(tensors)
    return model


def _moments(steps: int, count: int) -> list[int]:
    """``count`` numbers of steps done, evenly from 0 to ``steps``; just the end where one is asked for.

    >>> _moments(10, 3), _moments(10, 1)
    ([0, 5, 10], [10])
    """
    return [steps] if count == 1 else [round(steps * i / (count - 1)) for i in range(count)]

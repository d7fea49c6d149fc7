"""Several processes, one training: torchrun starts them, torch's DistributedDataParallel joins their gradients.

``torchrun --nproc-per-node 2 --no-python herder train DATA --out RUN`` is one machine; more come by
torchrun's own flags. Rank 0 evaluates and writes; what it decides (early stop, plateau) the others are told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from herder.errors import ConfigError

TIMEOUT = timedelta(hours=2)
"""How long ranks wait for rank 0's evaluation before they take it for dead."""


@dataclass(frozen=True)
class Ranks:
    """This process among all."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """The rank on this machine, which picks the GPU."""

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """What torchrun says in RANK, WORLD_SIZE and LOCAL_RANK; one process where it says nothing."""
        try:
            return cls(*(int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))
        except ValueError as error:
            raise ConfigError(f"RANK, WORLD_SIZE or LOCAL_RANK: {error}", hint="start with torchrun") from None

    def pick_device(self, wanted: str) -> torch.device:
        """The device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. Raises ConfigError for one that is not there."""
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(wanted)
        if device.type == "cuda":
            number = self.local_rank if device.index is None else device.index
            if number >= torch.cuda.device_count():
                raise ConfigError(
                    f"device: {wanted} is not there, torch sees {torch.cuda.device_count()} CUDA devices",
                    hint="use --device cpu, or check the driver and the torch build",
                )
            device = torch.device("cuda", number)
            torch.cuda.set_device(device)
        return device


@contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Join the other processes for the time of the block: gloo on a CPU, NCCL on CUDA; alone, nothing happens.

    Within another such block it joins nothing anew. Use one block a process: processes that leave and join again race.
    """
    if not ranks.several or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
        dist.barrier()  # a process that is done early waits, or its end would be taken for a failure
    finally:
        dist.destroy_process_group()


def wrap(network: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """The network whose backward pass averages gradients over all ranks; itself where there is one rank.

    Wrap again after parameters were frozen or thawed: DDP looks at them once.
    """
    if not ranks.several:
        return network
    return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


def shared_count(count: Tensor) -> Tensor:
    """What a loss divides its sum by so that gradients averaged over ranks are those of the whole batch.

    Each rank's loss is sum / c; the mean over R ranks is (sum over ranks) / (R c), so c = max(total count, 1) / R.
    Alone, that is max(count, 1).
    """
    if not dist.is_initialized():
        return count.clamp(min=1)
    total = count.detach().clone().float()
    dist.all_reduce(total)
    return total.clamp(min=1) / dist.get_world_size()


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean over ranks of a tensor that all have; itself where there is one rank."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value = value / dist.get_world_size()
    return value


def from_first(values: list[float]) -> list[float]:
    """Rank 0's numbers, on every rank."""
    if not dist.is_initialized():
        return values
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return [float(v) for v in shared.tolist()]


def any_rank(flag: bool) -> bool:
    """Whether the flag is up on any rank: a Ctrl-C that reached one process stops all at the same step."""
    if not dist.is_initialized():
        return flag
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(float(flag), device=device)
    dist.all_reduce(shared)
    return bool(shared.item() > 0)


def copy_from_first(network: nn.Module) -> None:
    """Give every rank rank 0's parameters and buffers: batch norm statistics differ between ranks while they train."""
    if dist.is_initialized():
        for tensor in network.state_dict().values():
            dist.broadcast(tensor, src=0)

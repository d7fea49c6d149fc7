"""Batches for training: the same ones for a seed, however many workers make them and wherever the run resumes."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from herder.data.augmentation import AugmentationConfig
from herder.data.batch import Batch, collate
from herder.data.dataset import Draw, TrainingDataset
from herder.data.photo_cache import CACHE_BYTES
from herder.data.records import Dataset, Problem
from herder.data.sampling import repeat_factors, shard
from herder.errors import ConfigError, DataError, ResourceError

__all__ = ["Batch", "TrainingPipeline", "collate"]

STRIDE = 32
"""Picture sides are multiples of the network's coarsest stride."""

PREFETCH = 2
"""Batches that each worker, or the thread, makes ahead of the training step."""

_WORKER = "DataLoader worker"
"""What torch calls a worker in the RuntimeError that tells of its death."""

_log = logging.getLogger(__name__)


class _BatchDataset(TorchDataset["Batch | DataError | ResourceError"]):
    """Whole batches by their draws. Errors come back as values: torch would wrap them into a page of traceback."""

    def __init__(self, dataset: TrainingDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, draws: Sequence[Draw]) -> Batch | DataError | ResourceError:
        try:
            return collate([self.dataset[draw] for draw in draws], tuple(self.dataset.problems.values()))
        except (DataError, ResourceError) as error:
            return error


class _Plan(Sampler[Sequence[Draw]]):
    """What the workers are to make next; the pipeline sets it anew before each epoch."""

    def __init__(self) -> None:
        self.steps: Sequence[Sequence[Draw]] = ()

    def __iter__(self) -> Iterator[Sequence[Draw]]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # one process a core is parallel enough, and OpenCV's threads do not survive a fork


def _as_it_is(made: object) -> object:
    return made


class TrainingPipeline:
    """Epochs of training batches over a dataset.

    ``workers`` 0 makes batches in one background thread, which costs no copies between processes: the best choice on a
    few cores, as NumPy and OpenCV let Python go on meanwhile. More workers are processes that live until ``close``.
    ``balanced`` shows photos of rare classes more often (``repeat_factors``). Of ``world_size`` processes each makes
    the batches of its ``rank``, all of them equally many. ``on_problem`` hears once of each photo that cannot be
    decoded; by default it is logged. Where ``donors`` are given, copy-paste takes its animals from them. One epoch runs
    at a time.

    Raises ConfigError for a setting without meaning, DataError for a dataset without photos.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        size: int,
        batch_size: int,
        augmentation: AugmentationConfig,
        seed: int,
        workers: int = 0,
        balanced: bool = False,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        cache_bytes: int = CACHE_BYTES,
        on_problem: Callable[[Problem], None] | None = None,
        start_method: str | None = None,
        donors: Dataset | None = None,
    ) -> None:
        _check_size(size)
        for name, value, lowest in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("world_size", world_size, 1),
        ):
            if value < lowest:
                raise ConfigError(f"{name}: {value} is too small", hint=f"choose {lowest} or more")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank: {rank} is not among {world_size} processes", hint="count ranks from 0")
        self.size = size
        self.batch_size = batch_size
        self.workers = workers
        self.start_method = start_method or ("fork" if sys.platform == "linux" else "spawn")
        # Forked workers share the cache with this process; others fill one each, and together keep to the budget.
        shared = workers == 0 or self.start_method == "fork"
        self.dataset = TrainingDataset(
            dataset,
            size,
            augmentation,
            seed,
            weights=repeat_factors(dataset) if balanced else None,
            cache_bytes=cache_bytes if shared else cache_bytes // workers,
            donors=donors,
        )
        self.places = shard(len(dataset), rank, world_size)
        """Places in the epoch's order that this process takes."""
        full, rest = divmod(len(self.places), batch_size)
        self.steps_per_epoch = full if drop_last or not rest else full + 1
        """Batches in an epoch; the same in each of the ``world_size`` processes."""
        if not self.steps_per_epoch:
            raise ConfigError(
                f"batch_size: {batch_size} is more than the {len(self.places)} photos of an epoch, and drop_last is on",
                hint="make the batch smaller, or keep the last batch",
            )
        self._on_problem = on_problem or (lambda problem: _log.warning("set aside: %s", problem))
        self._reported: set[Problem] = set()
        self._pin = torch.cuda.is_available()
        self._plan = _Plan()
        self._loader: DataLoader[Batch | DataError | ResourceError] | None = None
        self._latest = 0

    def epoch(
        self, epoch: int, start_step: int = 0, *, mosaic: bool = True, size: int | None = None
    ) -> Iterator[Batch]:
        """Batches of ``epoch`` from ``start_step`` on, a function of (seed, epoch, step) alone.

        ``mosaic`` False joins no photos: for the last epochs. ``size`` is the side of this epoch's pictures in pixels.
        Raises ConfigError for a size that is not a multiple of 32 or a step past the end, DataError when no photo can
        be decoded, ResourceError when memory runs out.
        """
        size = size or self.size
        _check_size(size)
        if not 0 <= start_step <= self.steps_per_epoch:
            raise ConfigError(
                f"start_step: {start_step} is not in an epoch of {self.steps_per_epoch} steps",
                hint="resume with the photos and the batch size that the run began with",
            )
        steps = [
            [Draw(epoch, place, size, mosaic) for place in self.places[step * self.batch_size :][: self.batch_size]]
            for step in range(start_step, self.steps_per_epoch)
        ]
        self._latest += 1
        made = self._from_workers(steps) if self.workers else self._from_thread(steps)
        return self._checked(made, self._latest)

    def close(self) -> None:
        """End the workers; the next epoch would start new ones."""
        self._latest += 1
        loader, self._loader = self._loader, None
        iterator: Any = loader._iterator if loader is not None else None
        if iterator is None:
            return
        try:
            iterator._shutdown_workers()
        except RuntimeError as error:
            if _WORKER not in str(error):
                raise
            # The news of a killed worker reached torch in the middle of this; it has ended the others by now, but
            # left its queues open.
            _log.warning("%s", error)
            for queue in iterator._index_queues:
                queue.cancel_join_thread()
                queue.close()

    def __enter__(self) -> TrainingPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, made: Iterator[Batch | DataError | ResourceError], turn: int) -> Iterator[Batch]:
        while True:
            if turn != self._latest:
                raise RuntimeError("this epoch has ended: another one was begun, or the pipeline was closed")
            batch = next(made, None)
            if batch is None:
                return
            if not isinstance(batch, Batch):
                raise batch
            for problem in batch.problems:
                if problem not in self._reported:
                    self._reported.add(problem)
                    self._on_problem(problem)
            yield batch

    def _from_thread(self, steps: Sequence[Sequence[Draw]]) -> Iterator[Batch | DataError | ResourceError]:
        batches = _BatchDataset(self.dataset)

        def make(draws: Sequence[Draw]) -> Batch | DataError | ResourceError:
            batch = batches[draws]
            return batch.pin_memory() if self._pin and isinstance(batch, Batch) else batch

        ahead: deque[Future[Batch | DataError | ResourceError]] = deque()
        pool = ThreadPoolExecutor(1, "herder-loader")
        try:
            for draws in steps:
                ahead.append(pool.submit(make, draws))
                if len(ahead) > PREFETCH:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _from_workers(self, steps: Sequence[Sequence[Draw]]) -> Iterator[Batch | DataError | ResourceError]:
        if self._loader is None:
            if self.start_method == "fork":
                self.dataset.cache.fill(self.workers)
            self._loader = DataLoader(
                _BatchDataset(self.dataset),
                sampler=self._plan,
                batch_size=None,
                collate_fn=_as_it_is,
                num_workers=self.workers,
                worker_init_fn=_start_worker,
                multiprocessing_context=self.start_method,
                persistent_workers=True,
                prefetch_factor=PREFETCH,
                pin_memory=self._pin,
                # Its own generator: otherwise each epoch would draw from torch's global one, and the weights of a run
                # would depend on the number of workers.
                generator=torch.Generator(),
            )
        self._plan.steps = steps
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads. Here it is safe: a worker runs NumPy and OpenCV without
            # threads, and takes no lock that another thread of this process may hold.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            made = iter(self._loader)
        try:
            yield from made
        except (RuntimeError, EOFError, ConnectionError) as error:
            if isinstance(error, RuntimeError) and _WORKER not in str(error):
                raise
            self.close()
            said = str(error).partition("\n")[0] or "its connection broke"
            raise ResourceError(
                f"a loader worker died: {said}",
                hint="memory may have run out: use fewer workers, or a smaller batch or image size",
            ) from error


def _check_size(size: int) -> None:
    if size < STRIDE or size % STRIDE:
        near = max(STRIDE, round(size / STRIDE) * STRIDE)
        raise ConfigError(f"size: {size} is not a multiple of {STRIDE}", hint=f"use {near}")

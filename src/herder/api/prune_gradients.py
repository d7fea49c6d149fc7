"""The gradients by which pruning tells what a channel adds: of the training loss, on training photos as they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch

from herder.api.run_photos import Photos
from herder.data.augmentation import AugmentationConfig
from herder.data.pipeline import TrainingPipeline
from herder.model.losses import DetectionLoss
from herder.model.network import Network
from herder.training.config import TrainConfig

BATCHES = 8
"""Batches of training photos that the gradients are summed over."""

UNKNOWN = -1
"""A class of the photos that the network does not have; its boxes are left out."""


def loss_gradients(photos: Photos, config: TrainConfig) -> Callable[[Network], None]:
    """The function that leaves the gradients of the labels' loss in a network's parameters; weights and norms stay.

    A first-order Taylor expansion tells from them how the loss would change without a weight
    (https://arxiv.org/abs/1906.10771).
    """

    def learn(network: Network) -> None:
        loss = DetectionLoss(network.spec, config.loss)
        own = network.spec.class_names  # the photos may have them in another order, and other classes
        ids = torch.tensor([own.index(name) if name in own else UNKNOWN for name in photos.train.class_names])
        pipeline = TrainingPipeline(
            photos.train,
            size=config.image_size,
            batch_size=min(config.batch_size, len(photos.train)),
            augmentation=AugmentationConfig.none(),
            seed=config.seed,
        )
        with pipeline:
            for batch in islice(pipeline.epoch(0, mosaic=False), BATCHES):
                # Eval mode: the running statistics of the norms are what the pruned network will go on with.
                raw = network.raw(batch.images)
                classes = ids[batch.classes.long()]  # (B, G)
                valid = batch.valid & (classes != UNKNOWN)
                terms = loss(raw, batch.boxes, classes.clamp(min=0), valid, batch.ignore)
                torch.autograd.backward(terms.total)

    return learn

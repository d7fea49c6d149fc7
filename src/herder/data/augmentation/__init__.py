"""Augmentations: pure functions from a random generator and samples to a sample, whose boxes follow the pixels."""

from herder.data.augmentation.colour import blur, grey, hsv
from herder.data.augmentation.geometry import affine, flip_horizontal, flip_vertical, letterbox, mosaic
from herder.data.augmentation.mixing import copy_paste, cutout, mixup
from herder.data.augmentation.policy import augment
from herder.data.augmentation.sample import Sample, crop_boxes
from herder.data.augmentation.settings import AugmentationConfig

__all__ = [
    "AugmentationConfig",
    "Sample",
    "affine",
    "augment",
    "blur",
    "copy_paste",
    "crop_boxes",
    "cutout",
    "flip_horizontal",
    "flip_vertical",
    "grey",
    "hsv",
    "letterbox",
    "mixup",
    "mosaic",
]

"""Procedural pastures with alpacas on them: exact boxes, controlled scale, occlusion, light and herd size."""

from herder.data.pasture.config import Light, PastureConfig
from herder.data.pasture.scene import Scene, pasture_scene
from herder.data.pasture.writing import CLASS_NAMES, write_pasture

__all__ = ["CLASS_NAMES", "Light", "PastureConfig", "Scene", "pasture_scene", "write_pasture"]

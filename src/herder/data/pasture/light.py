"""Sun, sky and air: the light in which a whole scene is painted.

Colours are linear factors or 0..255 RGB; x points right, y down, z to the viewer, all as seen in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from herder.boxes import FloatArray
from herder.data.pasture.config import Light

CHANCES = {Light.NOON: 0.44, Light.DUSK: 0.2, Light.NIGHT: 0.1, Light.FOG: 0.12, Light.BACKLIGHT: 0.14}
"""How often each light is drawn where the settings leave it open."""


def rgb(*values: float) -> FloatArray:
    """A colour (3,) float32."""
    return np.array(values, np.float32)


@dataclass(frozen=True)
class Illumination:
    """One scene's light."""

    kind: Light
    sun: FloatArray
    """Unit vector (3,) towards the sun or moon."""
    sun_colour: FloatArray
    """Factor (3,) on what faces the sun."""
    ambient: FloatArray
    """Factor (3,) on everything."""
    zenith: FloatArray
    """Colour (3,) of the top of the sky."""
    skyline: FloatArray
    """Colour (3,) of the sky at the horizon; also what distance fades into."""
    cloud: FloatArray
    """Colour (3,) of clouds."""
    haze: float
    """How fast distance fades; 0.02 is a clear day, 0.3 thick fog."""
    shadow: float
    """How dark a cast shadow is, 0..1."""
    slant: float
    """How far a shadow reaches sideways, in heights of what casts it."""
    grain: float
    """Deviation of the sensor's noise, in grey levels."""

    def shine(self, normal_x: FloatArray, normal_y: FloatArray) -> list[FloatArray]:
        """Red, green and blue light, each (H, W), on a surface whose normals are (normal_x, normal_y, 1), each (H, W),
        before they are made unit vectors."""
        short = 1 / np.sqrt(normal_x * normal_x + normal_y * normal_y + 1)
        facing = np.maximum((normal_x * self.sun[0] + normal_y * self.sun[1] + self.sun[2]) * short, 0)
        sky = np.float32(0.85) - np.float32(0.3) * normal_y * short  # what faces up sees more sky
        return [facing * sun + sky * ambient for sun, ambient in zip(self.sun_colour, self.ambient, strict=True)]

    def fade(self, colour: FloatArray, distance: float | FloatArray) -> FloatArray:
        """Mix ``colour`` (..., 3) with the air; ``distance`` is 1 where an animal would be as high as the picture."""
        keep = np.exp(-self.haze * np.asarray(distance, np.float32))[..., None]
        return np.asarray(self.skyline + (colour - self.skyline) * keep, np.float32)


def draw_light(kind: Light | None, rng: np.random.Generator) -> Illumination:
    """The light of one scene, with its small variations."""
    if kind is None:
        kind = list(CHANCES)[int(rng.choice(len(CHANCES), p=list(CHANCES.values())))]
    side = float(rng.choice([-1, 1]))
    u = float(rng.uniform())
    if kind is Light.NOON:
        sun, colour, ambient = (0.35 * side, -0.75, 0.5), rgb(0.72, 0.69, 0.62), rgb(0.46, 0.5, 0.55)
        sky = rgb(70 + 40 * u, 135 + 25 * u, 215), rgb(205, 222, 236), rgb(250, 250, 250)
        air = (0.018, 0.42, 0.25 * side, 2.0)
    elif kind is Light.DUSK:
        sun, colour, ambient = (0.85 * side, -0.3, 0.4), rgb(0.8, 0.52, 0.3), rgb(0.38, 0.34, 0.38)
        sky = rgb(95 + 30 * u, 95, 140), rgb(250, 180 - 30 * u, 120), rgb(255, 170, 130)
        air = (0.03, 0.4, 1.3 * side, 3.0)
    elif kind is Light.NIGHT:
        sun, colour, ambient = (0.5 * side, -0.7, 0.5), rgb(0.2, 0.23, 0.3), rgb(0.14, 0.17, 0.25)
        sky = rgb(10, 14, 34 + 14 * u), rgb(34, 42, 70), rgb(46, 52, 78)
        air = (0.03, 0.3, 0.5 * side, 5.0)
    elif kind is Light.FOG:
        sun, colour, ambient = (0.1 * side, -0.8, 0.6), rgb(0.3, 0.3, 0.3), rgb(0.68, 0.7, 0.71)
        grey = 195 + 25 * u
        sky = rgb(grey - 6, grey - 3, grey), rgb(grey, grey, grey), rgb(grey, grey, grey)
        air = (0.11 + 0.12 * u, 0.12, 0.1 * side, 2.5)
    else:
        sun, colour, ambient = (0.3 * side, -0.72, -0.55), rgb(1.35, 1.15, 0.85), rgb(0.36, 0.34, 0.36)
        sky = rgb(150, 175, 205), rgb(255, 238, 200 - 30 * u), rgb(255, 250, 232)
        air = (0.05, 0.45, -0.3 * side, 2.5)
    direction = rgb(*sun) / np.linalg.norm(sun)
    haze, shadow, slant, grain = air
    return Illumination(
        kind, direction.astype(np.float32), colour, ambient, *sky, haze=haze, shadow=shadow, slant=slant, grain=grain
    )

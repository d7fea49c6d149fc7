"""What a pasture looks like: the settings of a procedural scene."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from herder.errors import ConfigError


class Light(Enum):
    """Time of day and weather."""

    NOON = "noon"
    """High sun, blue sky, short shadows."""
    DUSK = "dusk"
    """Low warm sun from the side, long shadows."""
    NIGHT = "night"
    """Moonlight: dark, blue, grainy."""
    FOG = "fog"
    """What is far fades into grey."""
    BACKLIGHT = "backlight"
    """The sun stands behind the animals: dark fronts, bright rims, glare."""


@dataclass(frozen=True)
class PastureConfig:
    """Settings of a pasture. Raises ConfigError where a value has no meaning.

    >>> PastureConfig(herd=(0, 2), light=Light.NIGHT).size
    320
    """

    size: int = 320
    """Side of the square picture, in pixels; 64 to 2048."""
    seed: int = 0
    """Scenes of different seeds have nothing in common."""
    herd: tuple[int, int] = (1, 5)
    """Fewest and most animals tried in a scene, each number as likely; where the pasture is full there are fewer."""
    scale: tuple[float, float] = (0.14, 0.5)
    """Least and greatest height of an animal when it stands up, as a fraction of the picture's side."""
    occlusion: float = 0.35
    """0: nothing stands in front of an animal; 1: nearly every animal has a fence, a bush or a neighbour before it."""
    light: Light | None = None
    """One light for all scenes; None draws one for each scene, noon most often."""
    distractors: tuple[int, int] = (0, 4)
    """Fewest and most rocks, hay bales, stumps and bushes that stand about and are no animals."""
    min_visible: float = 0.25
    """An animal of which less than this fraction can be seen is left out of the picture as well as of the truth."""

    def __post_init__(self) -> None:
        low, high = self.scale
        wrong = (
            f"size = {self.size}: must be 64 to 2048 pixels"
            if not 64 <= self.size <= 2048
            else f"seed = {self.seed}: must be 0 or more"
            if self.seed < 0
            else f"herd = {self.herd}: must be (fewest, most), 0 to 100"
            if not 0 <= self.herd[0] <= self.herd[1] <= 100
            else f"scale = {self.scale}: must be (least, greatest), 0.04 to 1"
            if not 0.04 <= low <= high <= 1
            else f"occlusion = {self.occlusion}: must be 0 to 1"
            if not 0 <= self.occlusion <= 1
            else f"distractors = {self.distractors}: must be (fewest, most), 0 to 100"
            if not 0 <= self.distractors[0] <= self.distractors[1] <= 100
            else f"min_visible = {self.min_visible}: must be above 0 and at most 1"
            if not 0 < self.min_visible <= 1
            else ""
        )
        if wrong:
            raise ConfigError(f"pasture: {wrong}", hint="change that setting")

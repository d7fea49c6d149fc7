"""How a student is taught by teachers, as data."""

from __future__ import annotations

from dataclasses import dataclass

from herder.errors import ConfigError


@dataclass(frozen=True)
class DistillationConfig:
    """Teachers and how much each of their terms counts. Raises ConfigError for a value out of range.

    >>> DistillationConfig(temperature=0)
    Traceback (most recent call last):
    herder.errors.ConfigError: distillation.temperature: found 0, wanted 0.1 to 100
      what to do: 1 keeps the teacher's scores as they are, 10 is for sides of boxes
    """

    teachers: tuple[str, ...] = ()
    """Model files to learn from, together an ensemble; none: the labels alone."""
    unlabelled: str = ""
    """Folder of photos without labels to learn from too: the teachers label them."""
    cls: float = 0.5
    """Weight of the soft class scores (Hinton et al. 2015, https://arxiv.org/abs/1503.02531)."""
    temperature: float = 1.0
    """Softens class logits. With yes-or-no classes 1 is a good start: above, the many empty cells drown the animals."""
    box: float = 2.0
    """Weight of 1 - CIoU with the teacher's boxes."""
    dfl: float = 0.25
    """Weight of localization distillation (https://arxiv.org/abs/2102.12252), where both heads have as many bins."""
    box_temperature: float = 10.0
    """Softens the distributions of a box's sides; the paper's."""
    features: float = 1.0
    """Weight of channel-wise distillation of the neck's maps (https://arxiv.org/abs/2011.13256)."""
    feature_temperature: float = 1.0
    """Softens each channel's distribution over the cells."""
    label_score: float = 0.5
    """What teachers find in unlabelled photos from this score on is taken for an animal."""
    ignore_score: float = 0.1
    """From here to ``label_score`` they are not sure: such boxes count neither as animals nor as background."""

    def __post_init__(self) -> None:
        for name, (low, high, hint) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # a NaN lies in no range
                raise ConfigError(f"distillation.{name}: found {value}, wanted {low:g} to {high:g}", hint=hint)
        if self.ignore_score > self.label_score:
            raise ConfigError(
                f"distillation.ignore_score: {self.ignore_score:g} is above label_score {self.label_score:g}",
                hint="lower it",
            )
        if self.teachers and not (self.cls or self.box or self.dfl or self.features):
            raise ConfigError(
                "distillation: cls, box, dfl and features are all 0: nothing is learned from the teachers",
                hint="leave one of them above 0, or use `herder train`",
            )
        if self.unlabelled and not self.teachers:
            raise ConfigError("distillation.unlabelled: there is no teacher to label them", hint="name a teacher")


_WEIGHT = (0, 1000, "it is the weight of a loss term")
_TEMPERATURE = (0.1, 100, "1 keeps the teacher's scores as they are, 10 is for sides of boxes")
_SCORE = (0, 1, "it is a score")
_LIMITS: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(("cls", "box", "dfl", "features"), _WEIGHT),
    **dict.fromkeys(("temperature", "box_temperature", "feature_temperature"), _TEMPERATURE),
    **dict.fromkeys(("label_score", "ignore_score"), _SCORE),
}

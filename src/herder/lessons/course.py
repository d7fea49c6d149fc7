"""The syllabus: every lesson of ``herder learn``, in the order of the course.

A lesson's file is read when it runs, so that listing them loads neither torch nor matplotlib.
"""

from __future__ import annotations

import difflib

from herder.errors import ConfigError
from herder.lessons.lesson import Lesson, LessonResult, LessonSettings


def _knn(settings: LessonSettings) -> LessonResult:
    from herder.lessons import knn

    return knn.run(settings)


def _softmax(settings: LessonSettings) -> LessonResult:
    from herder.lessons import softmax

    return softmax.run(settings)


def _two_layer(settings: LessonSettings) -> LessonResult:
    from herder.lessons import two_layer

    return two_layer.run(settings)


def _batchnorm(settings: LessonSettings) -> LessonResult:
    from herder.lessons import batchnorm

    return batchnorm.run(settings)


def _dropout(settings: LessonSettings) -> LessonResult:
    from herder.lessons import dropout

    return dropout.run(settings)


def _conv(settings: LessonSettings) -> LessonResult:
    from herder.lessons import conv

    return conv.run(settings)


def _gan(settings: LessonSettings) -> LessonResult:
    from herder.lessons import gan

    return gan.run(settings)


def _diffusion(settings: LessonSettings) -> LessonResult:
    from herder.lessons import diffusion

    return diffusion.run(settings)


LESSONS = (
    Lesson("knn", "Nearest neighbours", "classify by the most similar pictures; choose k by cross-validation", _knn),
    Lesson("softmax", "Linear classifiers", "softmax and SVM losses, learned templates, a grid of settings", _softmax),
    Lesson("two-layer", "A two-layer network", "a hidden layer, its learning curves and its filters", _two_layer),
    Lesson("batchnorm", "Batch normalisation", "deep networks that train from any first weights", _batchnorm),
    Lesson("dropout", "Dropout", "the gap between training and validation, with less and more dropout", _dropout),
    Lesson("conv", "Convolution", "learned filters, and the same convolution slow and fast", _conv),
    Lesson("gan", "A generative adversarial network", "noise becomes digits; which of the ten it draws", _gan, False),
    Lesson("diffusion", "A diffusion model", "noise taken away step by step, for a digit asked for", _diffusion, False),
)


def find_lesson(name: str) -> Lesson:
    """The lesson of this name. Raises ConfigError with the nearest names when there is none.

    >>> find_lesson("knn").title
    'Nearest neighbours'
    """
    known = {lesson.name: lesson for lesson in LESSONS}
    lesson = known.get(name.lower().replace("_", "-"))
    if lesson is None:
        near = difflib.get_close_matches(name.lower(), [*known, "all"], n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"learn: no lesson {name!r}", hint=f"{meant}the lessons are {', '.join(known)}, or all")
    return lesson

"""A diffusion model: learn to take a little noise away, then start from noise alone.

    forward   x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e           a digit x_0 drowned in noise e, abar from 1 to 0
    training  min ||e - e(x_t, t, c)||^2                            a network guesses the noise, told the digit c
    guidance  e = e(x_t, t) + g (e(x_t, t, c) - e(x_t, t))          g = 1 as learned, more exaggerates what c changes
    back      x_T = noise, then x_t -> x_(t-1) ... x_0              DDPM: every step; DDIM: few long ones

Ho et al. (2020), https://arxiv.org/abs/2006.11239; guidance: https://arxiv.org/abs/2207.12598; DDIM:
https://arxiv.org/abs/2010.02502. How good the digits are says a classifier trained on the real ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from herder.generative.diffusion_config import DiffusionConfig
from herder.generative.diffusion_model import DiffusionModel
from herder.generative.diffusion_steps import q_sample
from herder.generative.diffusion_training import train_diffusion
from herder.generative.noise_schedule import NoiseSchedule, ScheduleName
from herder.generative.pictures import Pictures, digits
from herder.generative.quality import fit_classifier
from herder.lessons.diffusion_figures import draw_numbers, draw_walks
from herder.lessons.diffusion_samples import Drawn, Scale, of_each
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable
from herder.lessons.one_thread import one_thread

STEPS, QUICK_STEPS = 700, 100
"""Training steps."""

TIMESTEPS, QUICK_TIMESTEPS = 200, 20
"""Steps T between picture and noise."""

SAMPLES, QUICK_SAMPLES = 250, 40
"""Digits drawn in each way that is compared."""

GUIDANCE = (1.0, 2.0, 4.0)
WALK = 20
"""Strengths of guidance, compared with so many steps of DDIM, at most ``QUICK_TIMESTEPS``."""

SHORT_WALKS, QUICK_SHORT_WALKS = (50, 20, 10, 5, 3), (10, 5, 3)
"""Steps of DDIM, compared with all of DDPM's, at guidance 1."""

SHOWN_GUIDANCE = (1.0, 3.0)
"""Guidance of the samples in the figure."""

NOISED, MOMENTS = 21, 11
"""Pictures from digit to noise, and from noise back, in the figure."""

JUDGE_STEPS, QUICK_JUDGE_STEPS = 400, 60

LOST = 0.01
"""Under this share of the picture's variance there is nothing to be seen of it."""


def run(settings: LessonSettings) -> LessonResult:
    """Train on the digits and their labels; draw with more and less guidance, in more and fewer steps."""
    with one_thread():
        return _run(settings)


def _run(settings: LessonSettings) -> LessonResult:
    quick, seed = settings.quick, settings.seed
    pictures = digits()  # (1797, 1, 8, 8)
    settings.say("a classifier, to judge the samples")
    judge = fit_classifier(pictures, steps=QUICK_JUDGE_STEPS if quick else JUDGE_STEPS, seed=seed)
    scale = Scale(pictures, judge, QUICK_SAMPLES if quick else SAMPLES, seed)
    config = DiffusionConfig(
        steps=QUICK_STEPS if quick else STEPS, timesteps=QUICK_TIMESTEPS if quick else TIMESTEPS, seed=seed
    )
    trained = train_diffusion(
        pictures.images,
        config,
        labels=pictures.labels,
        class_names=pictures.class_names,
        progress=lambda done, steps, loss: settings.say(f"training step {done} of {steps}, loss {loss:.3f}"),
    )
    guided, walks = [], []
    for guidance in GUIDANCE:
        settings.say(f"{len(scale.labels)} digits with guidance {guidance:g}")
        guided.append(scale.weigh(trained.model, guidance=guidance, steps=WALK, seed=seed))
    for steps in (None, *(QUICK_SHORT_WALKS if quick else SHORT_WALKS)):
        settings.say(f"{len(scale.labels)} digits in {steps or config.timesteps} steps")
        walks.append(scale.weigh(trained.model, guidance=1, steps=steps, seed=seed))
    schedules = {name.value: NoiseSchedule.of(name, config.timesteps) for name in ScheduleName}
    settings.say("the figures")
    figures = {
        "diffusion": _draw_walks(pictures, trained.model, seed),
        "diffusion-numbers": draw_numbers(trained.history, schedules, guided, walks, scale.floor),
    }
    tables = _tables(guided, walks, schedules, scale.floor)
    sentences = (
        *_say_training(trained.history, schedules, config),
        *_say_samples(guided, walks, scale.floor, judge.accuracy),
    )
    return LessonResult(sentences, tables, figures)


def noised_digit(picture: Tensor, schedule: NoiseSchedule, seed: int) -> tuple[list[int], Tensor]:
    """A picture (1, H, W) after more and more steps of the same noise: the steps (k) and pictures (k, 1, H, W)."""
    steps = _evenly(len(schedule), NOISED)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))  # (1, H, W)
    times = torch.tensor(steps[1:]) - 1  # step t stands at index t - 1
    clean = picture.expand(len(times), -1, -1, -1)  # (k - 1, 1, H, W)
    noised = q_sample(schedule, clean, times, noise.expand_as(clean))  # (k - 1, 1, H, W)
    return steps, torch.cat([picture[None], noised])


def _draw_walks(pictures: Pictures, model: DiffusionModel, seed: int) -> bytes:
    names = pictures.class_names
    schedule = NoiseSchedule.of(model.spec.schedule, model.spec.timesteps)
    times, noised = noised_digit(pictures.images[0], schedule, seed)
    walk = model.sample(len(names), of_each(names, 1), seed=seed, guidance=2, trajectory=MOMENTS)  # (k, 10, 1, 8, 8)
    left = _evenly(model.spec.timesteps, MOMENTS)[::-1]
    labels = of_each(names, 6)
    shown = {g: model.sample(len(labels), labels, steps=WALK, guidance=g, seed=seed + 1) for g in SHOWN_GUIDANCE}
    return draw_walks(noised, times, walk, left, shown)


def _tables(
    guided: list[Drawn], walks: list[Drawn], schedules: dict[str, NoiseSchedule], floor: float
) -> tuple[NumberTable, ...]:
    whole, *short = walks
    return (
        NumberTable(
            f"Guidance, with {guided[0].steps} steps of DDIM; two sets of real digits are {floor:.2f} apart",
            ("guidance", "Fréchet distance", "read as the digit asked", "variety"),
            tuple((each.guidance, each.distance, each.as_asked, each.variety) for each in guided),
        ),
        NumberTable(
            f"Steps from noise to digit, at guidance 1; two sets of real digits are {floor:.2f} apart",
            ("way", "steps", "seconds", "Fréchet distance", "read as the digit asked", "variety"),
            tuple(
                (name, each.steps, each.seconds, each.distance, each.as_asked, each.variety)
                for name, each in (("DDPM", whole), *(("DDIM", each) for each in short))
            ),
            timing=True,
        ),
        NumberTable(
            f"Schedules of {len(schedules['linear'])} steps",
            ("schedule", "picture left halfway", f"steps with less than {LOST:.0%} left"),
            tuple((name, _halfway(each), _lost(each)) for name, each in schedules.items()),
        ),
    )


def _say_training(
    losses: tuple[float, ...], schedules: dict[str, NoiseSchedule], config: DiffusionConfig
) -> tuple[str, ...]:
    recent = losses[-50:]
    linear, cosine = schedules["linear"], schedules["cosine"]
    return (
        f"The loss falls from {losses[0]:.2f} to {sum(recent) / len(recent):.3f} in {len(losses)} steps and not to 0: "
        "which noise was added cannot be known exactly. Unlike a GAN's it only ever wants one thing.",
        f"Halfway to noise the linear schedule has left {_halfway(linear):.0%} of the picture, the cosine schedule "
        f"{_halfway(cosine):.0%}; in {_lost(linear)} and {_lost(cosine)} of {config.timesteps} steps less than "
        f"{LOST:.0%} is left, and there is little to learn. This model learned on the {config.schedule.value} one.",
    )


def _say_samples(guided: list[Drawn], walks: list[Drawn], floor: float, accuracy: float) -> tuple[str, ...]:
    plain, strong = guided[0], guided[-1]
    whole, *short = walks
    middle, fewest = short[len(short) // 2], short[-1]
    return (
        f"Asked for a digit, {plain.as_asked:.1%} of the samples are read as it at guidance 1 and "
        f"{strong.as_asked:.1%} at guidance {strong.guidance:g}, by a classifier that reads {accuracy:.1%} of unseen "
        f"real digits. Guidance costs variety: within a digit, pixels vary {plain.variety:.2f} and "
        f"{strong.variety:.2f} times as much as in the real ones.",
        f"The Fréchet distance to real digits is {plain.distance:.3g} at guidance 1 and {strong.distance:.3g} at "
        f"guidance {strong.guidance:g}; two sets of real digits are {floor:.3g} apart. Clear digits are not yet the "
        "variety of real handwriting.",
        f"DDPM walks {whole.steps} steps in {whole.seconds:.1f} s to a distance of {whole.distance:.3g}. DDIM, with "
        f"the same network, needs {middle.seconds:.1f} s for {middle.steps} steps ({middle.distance:.3g}) and "
        f"{fewest.seconds:.1f} s for {fewest.steps} ({fewest.distance:.3g}). From {whole.steps} steps to "
        f"{fewest.steps} the variety goes from {whole.variety:.2f} of the real one to {fewest.variety:.2f}, the share "
        f"read as asked from {whole.as_asked:.1%} to {fewest.as_asked:.1%}.",
    )


def _evenly(last: int, count: int) -> list[int]:
    """``count`` whole numbers from 0 to ``last``, evenly spread."""
    return [round(last * i / (count - 1)) for i in range(count)]


def _halfway(schedule: NoiseSchedule) -> float:
    """Share of the picture's variance that is left after half of the steps."""
    return float(schedule.alphas_cumprod[len(schedule) // 2 - 1])


def _lost(schedule: NoiseSchedule) -> int:
    """Steps after which less than ``LOST`` is left."""
    return int((schedule.alphas_cumprod < LOST).sum())

"""A generative adversarial network: a forger and a detective teach each other.

    discriminator  min  -E[log D(x)] - E[log(1 - D(G(z)))]     D, the belief that a picture is real
    generator      min  -E[log D(G(z))]                        G, a picture made of noise z

Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661, with the convolutional networks of Radford et al. (2015),
https://arxiv.org/abs/1511.06434. Neither loss says how good the pictures are. A classifier trained on the real digits
does: by the Fréchet distance between its features of real and of generated pictures, and by which digits it sees.
"""

from __future__ import annotations

import torch

from herder.generative.gan_config import GanConfig
from herder.generative.pictures import Pictures, digits
from herder.generative.quality import Judge, fit_classifier
from herder.lessons.gan_figures import draw_mistakes, draw_training
from herder.lessons.gan_trainings import MISTAKES, SAMPLES, Trained, train_watched
from herder.lessons.lesson import LessonResult, LessonSettings, NumberTable
from herder.lessons.one_thread import one_thread

MOMENTS, QUICK_MOMENTS = (50, 100, 200, 400, 600, 1000, 2000), (50, 100, 200, 300)
"""Steps after which samples are judged; the last ends the training."""

MISTAKEN_STEPS, QUICK_MISTAKEN_STEPS = 600, 100
"""Steps of the trainings with a mistake: one of the moments, so that each stands beside the healthy training."""

JUDGE_STEPS, QUICK_JUDGE_STEPS = 400, 60


def run(settings: LessonSettings) -> LessonResult:
    """Train on the digits, judge the samples on the way, and train again with three mistakes."""
    with one_thread():
        return _run(settings)


def _run(settings: LessonSettings) -> LessonResult:
    moments = QUICK_MOMENTS if settings.quick else MOMENTS
    short = QUICK_MISTAKEN_STEPS if settings.quick else MISTAKEN_STEPS
    pictures = digits()  # (1797, 1, 8, 8)
    settings.say("a classifier, to judge the samples")
    judge = fit_classifier(pictures, steps=QUICK_JUDGE_STEPS if settings.quick else JUDGE_STEPS, seed=settings.seed)
    settings.say(f"{moments[-1]:,} steps on the digits")
    healthy = train_watched(pictures, judge, GanConfig(seed=settings.seed), moments)
    mistaken: dict[str, Trained] = {}
    for mistake in MISTAKES:
        settings.say(f"{short} steps with a mistake: {mistake.name}")
        config = GanConfig(seed=settings.seed, **mistake.changes)
        mistaken[mistake.name] = train_watched(pictures, judge, config, (short,))
    real = _real_shares(pictures)
    sentences = (*_say_training(healthy, judge, pictures.class_names), *_say_mistakes(healthy, mistaken, short))
    figures = {
        "gan": draw_training(pictures, real, healthy),
        "gan-mistakes": draw_mistakes({"as it should be": healthy, **mistaken}, short),
    }
    return LessonResult(sentences, _tables(healthy, mistaken, short, pictures.class_names, real), figures)


def _tables(
    healthy: Trained, mistaken: dict[str, Trained], short: int, names: tuple[str, ...], real: tuple[float, ...]
) -> tuple[NumberTable, ...]:
    last = healthy.seen[max(healthy.seen)]
    judged = ("Fréchet distance", "digits drawn", "D(x)", "D(G(z))", "generator loss")
    return (
        NumberTable(
            f"Samples over training; two halves of the real digits are {last.real_halves:.2f} apart",
            ("step", *judged),
            tuple((step, *healthy.row(step)) for step in healthy.seen),
        ),
        NumberTable(
            f"Which digits {SAMPLES:,} samples show",
            ("digit", "share of samples", "share of real digits"),
            tuple(zip(names, last.shares, real, strict=True)),
        ),
        NumberTable(
            f"What goes wrong, after {short} steps",
            ("training", *judged),
            (
                ("as it should be", *healthy.row(short)),
                *((name, *each.row(short)) for name, each in mistaken.items()),
            ),
        ),
    )


def _say_training(healthy: Trained, judge: Judge, names: tuple[str, ...]) -> tuple[str, ...]:
    first, end = min(healthy.seen), max(healthy.seen)
    middle = list(healthy.seen)[len(healthy.seen) // 2]
    last = healthy.seen[end]
    real, fake = healthy.beliefs(end)
    order = sorted(range(len(names)), key=lambda i: last.shares[i])
    rarest, commonest = order[0], order[-1]
    return (
        f"The generator has never seen a digit, only what the discriminator thinks of its pictures. The Fréchet "
        f"distance of its samples to {last.count} real digits falls from {healthy.seen[first].frechet:.3g} after "
        f"{first} steps to {last.frechet:.3g} after {end:,}; two halves of the real digits are "
        f"{last.real_halves:.3g} apart, as near as a perfect forger would come.",
        f"Among {SAMPLES:,} samples {last.classes_covered} of {len(names)} digits are drawn, by a classifier that "
        f"reads {judge.accuracy:.1%} of the real digits kept from it. The rarest is {names[rarest]} with "
        f"{last.shares[rarest]:.1%}, the most frequent {names[commonest]} with {last.shares[commonest]:.1%}; each is "
        "about a tenth of the real ones. Nothing in the loss asks for all of them.",
        f"In the end the discriminator believes {real:.2f} in real pictures and {fake:.2f} in generated ones: at 0.5 "
        "for both it would be a coin.",
        f"From step {middle:,} to {end:,} the distance goes from {healthy.seen[middle].frechet:.3g} to "
        f"{last.frechet:.3g}, and the generator's loss from {healthy.generator_loss(middle):.2f} to "
        f"{healthy.generator_loss(end):.2f}: the loss measures the opponent, the judge the pictures.",
    )


def _say_mistakes(healthy: Trained, mistaken: dict[str, Trained], short: int) -> tuple[str, ...]:
    said = []
    for mistake in MISTAKES:
        each = mistaken[mistake.name]
        quality, (real, fake) = each.seen[short], each.beliefs(short)
        said.append(
            f"{mistake.name[0].upper()}{mistake.name[1:]}: after {short} steps distance {quality.frechet:.3g} "
            f"(as it should be: {healthy.seen[short].frechet:.3g}), {quality.classes_covered} of "
            f"{len(quality.shares)} digits, D(x) = {real:.2f} and D(G(z)) = {fake:.2f}. Why: {mistake.why}."
        )
    return tuple(said)


def _real_shares(pictures: Pictures) -> tuple[float, ...]:
    """Share of each class (K,) among labelled pictures. Raises ValueError for pictures without labels."""
    if pictures.labels is None:
        raise ValueError("pictures: found no labels, wanted one each")
    counts = torch.bincount(pictures.labels, minlength=len(pictures.class_names))  # (K,)
    return tuple((counts / len(pictures)).tolist())

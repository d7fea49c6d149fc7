"""How good drawn pictures are, in numbers: the Fréchet distance to real ones, and which classes are drawn at all.

Notation: N pictures, C channels, S side in pixels, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from herder.generative.pictures import Pictures

BATCH = 256
"""Pictures that are looked at in one go."""

FEW = 100
"""With fewer pictures a side, a distance over as many features as ours says little."""

COVERED = 0.1
"""A class is covered where its share of the samples is at least this part of its share of the real pictures."""


class FeatureClassifier(nn.Module):
    """A small convolutional network whose last hidden layer gives the features: (N, C, S, S) to (N, K).

    Group norm, not batch norm: a picture's features must not depend on which pictures stand beside it.
    """

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.classes = classes
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),  # (N, w, S, S)
            nn.GroupNorm(8, width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),  # (N, 2w, S/2, S/2)
            nn.GroupNorm(8, 2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),  # (N, 2w, S/4, S/4)
            nn.GroupNorm(8, 2 * width),
            nn.ReLU(),
        )
        # 2 x 2 cells, not one: where in the picture something lies is half of what makes it right.
        self.hidden = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * width, 2 * width), nn.ReLU())
        self.last = nn.Linear(2 * width, classes)

    def features(self, pictures: Tensor) -> Tensor:
        """Features (N, D) of pictures (N, C, S, S) in [-1, 1]."""
        found: Tensor = self.hidden(self.body(pictures))  # (N, 2w)
        return found

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, K) of pictures (N, C, S, S) in [-1, 1]."""
        logits: Tensor = self.last(self.features(pictures))  # (N, K)
        return logits


@dataclass(frozen=True, eq=False)
class Judge:
    """A classifier trained here, what it was trained to tell apart, and how well it does."""

    network: FeatureClassifier
    task: str
    """Such as "10 classes" or "rotation": a distance means something only beside others of the same judge."""
    accuracy: float
    """Share of pictures kept away from training that it names right."""
    knows_classes: bool
    """False where it was trained on turned pictures, for want of classes."""


def fit_classifier(
    real: Pictures,
    *,
    steps: int = 400,
    batch_size: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Judge:
    """Train the judge on real pictures: on their classes, or without two of them on how far each was turned.

    Naming the turn of 0, 90, 180 or 270 degrees needs no labels and yet makes a network learn shapes (RotNet,
    https://arxiv.org/abs/1803.07728). A fifth of the pictures is kept away from training and gives ``accuracy``.
    The same pictures and seed give the same judge; torch's global generator is left alone.
    Raises ValueError for fewer than 10 pictures, of which nothing can be learned.
    """
    if len(real) < 10:
        raise ValueError(f"real: found {len(real)} pictures, wanted 10 or more")
    generator = torch.Generator().manual_seed(seed)
    by_class = real.labels is not None and len(set(real.labels.tolist())) >= 2
    labels = real.labels if by_class and real.labels is not None else torch.zeros(len(real), dtype=torch.int64)
    classes = len(real.class_names) if by_class else 4
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the layers' starting weights are drawn from the global generator
        network = FeatureClassifier(real.channels, classes)
    order = torch.randperm(len(real), generator=generator)
    kept, training = order[: len(real) // 5], order[len(real) // 5 :]
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        chosen = training[torch.randint(len(training), (batch_size,), generator=generator)]  # (B,)
        pictures, wanted = real.images[chosen], labels[chosen]
        if not by_class:
            wanted = torch.randint(4, (batch_size,), generator=generator)
            pictures = _turned(pictures, wanted)
        loss = F.cross_entropy(network(pictures), wanted)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, steps)
    network.eval().requires_grad_(False)
    pictures, wanted = real.images[kept], labels[kept]
    if not by_class:
        wanted = torch.arange(4).repeat_interleave(len(kept))
        pictures = _turned(pictures.repeat(4, 1, 1, 1), wanted)
    accuracy = float((predict(network, pictures) == wanted).float().mean())
    return Judge(network, f"{classes} classes" if by_class else "rotation", accuracy, by_class)


def features(network: FeatureClassifier, pictures: Tensor) -> Tensor:
    """Features (N, D) float64 of pictures (N, C, S, S), block by block."""
    with torch.no_grad():
        return torch.cat([network.features(block) for block in torch.split(pictures, BATCH)]).double()


def predict(network: FeatureClassifier, pictures: Tensor) -> Tensor:
    """The most likely class (N,) int64 of each picture (N, C, S, S)."""
    with torch.no_grad():
        return torch.cat([network(block).argmax(1) for block in torch.split(pictures, BATCH)])


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The squared Fréchet distance of two Gaussians with means (D,) and covariances (D, D).

        d^2 = |mean_a - mean_b|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2))

    Dowson and Landau (1982), https://doi.org/10.1016/0047-259X(82)90077-X; over a classifier's features it is the FID
    of Heusel et al., https://arxiv.org/abs/1706.08500. The root of A B has the same trace, but A B is not symmetric and
    its root, by rounding, complex. With R = A^(1/2) B^(1/2) the wanted root is (R R^T)^(1/2), whose eigenvalues are the
    singular values of R: never negative, the same for (A, B) and (B, A), and without the root of a rounding error.

    >>> one, two = torch.tensor([[1.0]]), torch.tensor([[4.0]])  # standard deviations 1 and 2, means 0 and 3
    >>> frechet_distance(torch.tensor([0.0]), one, torch.tensor([3.0]), two)  # 3^2 + (2 - 1)^2
    10.0
    """
    mean_a, cov_a, mean_b, cov_b = (part.double() for part in (mean_a, cov_a, mean_b, cov_b))
    count = len(mean_a)
    for name, part, wanted in (
        ("mean_b", mean_b, (count,)),
        ("cov_a", cov_a, (count, count)),
        ("cov_b", cov_b, (count, count)),
    ):
        if tuple(part.shape) != wanted:
            raise ValueError(f"{name}: found {tuple(part.shape)}, wanted {wanted} beside a mean_a of {count} values")
    product = _square_root(cov_a) @ _square_root(cov_b)  # (D, D)
    spread = cov_a.trace() + cov_b.trace() - 2 * torch.linalg.svdvals(product).sum()
    shift = (mean_a - mean_b).square().sum()
    return max(float(shift + spread), 0.0)  # rounding may leave a little less than nothing


def frechet(features_a: Tensor, features_b: Tensor) -> float:
    """The squared Fréchet distance between features (N, D) and (M, D), each taken for a Gaussian.

    The fewer pictures, the larger the distance even between alike sets: compare only distances of equal counts.
    Raises ValueError for fewer than two rows, which have no covariance.
    """
    moments = []
    for name, rows in (("features_a", features_a), ("features_b", features_b)):
        if rows.ndim != 2 or len(rows) < 2:
            raise ValueError(f"{name}: found {tuple(rows.shape)}, wanted (2 or more, D)")
        moments += [rows.double().mean(0), rows.double().T.cov().reshape(rows.shape[1], rows.shape[1])]
    return frechet_distance(*moments)


@dataclass(frozen=True)
class Quality:
    """What ``sample_quality`` found."""

    frechet: float
    """Squared Fréchet distance between samples and real pictures."""
    real_halves: float
    """The same distance between two halves of the real pictures: what a perfect drawer would reach."""
    count: int
    """Pictures on each side of each distance."""
    shares: tuple[float, ...]
    """Share of the samples that the judge takes for each class (K,); empty where it knows no classes."""
    classes_covered: int
    """Classes that are drawn at least a tenth as often as they stand among the real pictures."""
    judge: str
    """Which classifier the features come from, in words."""

    def __str__(self) -> str:
        few = "; so few pictures give no more than a hint" if self.count < FEW else ""
        covered = f"; {self.classes_covered} of {len(self.shares)} classes drawn" if self.shares else ""
        return (
            f"Fréchet distance {self.frechet:.3g}, between two halves of the real pictures {self.real_halves:.3g} "
            f"({self.count} pictures a side, features of {self.judge}){covered}{few}"
        )


def sample_quality(real: Pictures, samples: Tensor, judge: Judge, *, seed: int = 0) -> Quality:
    """Measure samples (M, C, S, S) against real pictures.

    The real pictures are dealt into two halves. Samples are compared with each half, and the halves with each other,
    with equally many pictures on all sides, since the distance falls with their number; the two comparisons with the
    samples are averaged. The judge has learned from the real pictures, which makes it stricter with the samples.

    Raises ValueError where samples and pictures differ in shape or are fewer than 2 a side.
    """
    if samples.shape[1:] != real.images.shape[1:]:
        raise ValueError(
            f"samples: found {tuple(samples.shape)}, wanted (M, {', '.join(map(str, real.images.shape[1:]))})"
        )
    count = min(len(real) // 2, len(samples))
    if count < 2:
        raise ValueError(f"samples: {len(samples)} beside {len(real)} real pictures, wanted 2 or more beside 4 or more")
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    seen = features(judge.network, real.images)  # (N, D)
    one, other = seen[order[:count]], seen[order[count : 2 * count]]  # (count, D) each
    drawn = features(judge.network, samples[:count])  # (count, D)
    shares, covered = _coverage(real, samples, judge)
    return Quality(
        frechet=(frechet(one, drawn) + frechet(other, drawn)) / 2,
        real_halves=frechet(one, other),
        count=count,
        shares=shares,
        classes_covered=covered,
        judge=f"a classifier of {judge.task} trained on them, {judge.accuracy:.0%} right",
    )


def _coverage(real: Pictures, samples: Tensor, judge: Judge) -> tuple[tuple[float, ...], int]:
    """Share of the samples in each class (K,), and how many of the real pictures' classes are covered."""
    if not judge.knows_classes or real.labels is None:
        return (), 0
    classes = judge.network.classes
    shares = torch.bincount(predict(judge.network, samples), minlength=classes) / len(samples)  # (K,)
    wanted = torch.bincount(real.labels, minlength=classes) / len(real)  # (K,)
    return tuple(shares.tolist()), int(((shares >= COVERED * wanted) & (shares > 0)).sum())


def _turned(pictures: Tensor, quarters: Tensor) -> Tensor:
    """Pictures (N, C, S, S), each turned by its number of quarter turns (N,)."""
    turned = pictures.clone()
    for k in (1, 2, 3):
        turned[quarters == k] = pictures[quarters == k].rot90(k, (2, 3))
    return turned


def _square_root(matrix: Tensor) -> Tensor:
    """The symmetric root (D, D) of a covariance (D, D); eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)  # (D,), (D, D)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root

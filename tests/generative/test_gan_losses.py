"""The losses against torch's own and the published value, and where sigmoids overflow."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from herder.generative.gan_losses import (
    bce_loss,
    discriminator_loss,
    generator_loss,
    ls_discriminator_loss,
    ls_generator_loss,
    sample_noise,
)

LOGITS = torch.tensor([-1000.0, -50.0, -1.5, 0.0, 0.3, 40.0, 1000.0], dtype=torch.float64)


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_bce_is_torchs_at_any_logit(target: float) -> None:
    ours, theirs = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    targets = torch.full_like(LOGITS, target)
    loss, wanted = bce_loss(ours, targets), F.binary_cross_entropy_with_logits(theirs, targets)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-12)
    loss.backward()
    wanted.backward()
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-12, atol=1e-18)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8))
def test_bce_is_never_negative_nor_infinite(values: list[float]) -> None:
    logits = torch.tensor(values, dtype=torch.float64)
    for label in (0.0, 1.0):
        assert 0 <= bce_loss(logits, torch.full_like(logits, label)).item() < math.inf


@pytest.mark.shared
def test_the_discriminators_loss_as_published(shared_dir: Path) -> None:
    checks = json.loads((shared_dir / "acceptance/foundations.json").read_text())["checks"]
    check = next(c for c in checks if c["function"].startswith("discriminator_loss"))
    real, fake = (torch.tensor(check["inputs"][f"logits_{side}"], dtype=torch.float64) for side in ("real", "fake"))
    assert discriminator_loss(real, fake).item() == pytest.approx(check["expected"], rel=1e-12)
    assert discriminator_loss(real.float(), fake.float()).item() == pytest.approx(check["expected"], rel=1e-6)


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    softplus = [math.log1p(math.exp(v)) for v in (-2, 1, 0.5, 3)]  # -log D(x), -log(1 - D(G(z)))
    assert discriminator_loss(real, fake).item() == pytest.approx(sum(softplus) / 2, rel=1e-6)
    assert generator_loss(fake).item() == pytest.approx(
        (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-3))) / 2, rel=1e-6
    )
    assert ls_discriminator_loss(real, fake).item() == pytest.approx(0.5 * (1 + 4) / 2 + 0.5 * (0.25 + 9) / 2)
    assert ls_generator_loss(fake).item() == pytest.approx(0.5 * (0.25 + 4) / 2)


@pytest.mark.parametrize("loss", [generator_loss, ls_generator_loss])
def test_the_generators_gradient_asks_for_higher_logits(loss: object) -> None:
    logits = torch.tensor([-8.0, 0.0], requires_grad=True)
    loss(logits).backward()
    assert (logits.grad < 0).all()
    # Non-saturating: where the discriminator is surest, the gradient is largest.
    assert logits.grad[0].abs() > logits.grad[1].abs()


def test_noise_is_uniform_from_minus_one_to_one() -> None:
    noise = sample_noise(5000, 4, seed=0)
    assert noise.shape == (5000, 4)
    assert noise.dtype == torch.float32
    assert -1 <= noise.min() < -0.99
    assert 0.99 < noise.max() <= 1
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_a_seed_gives_the_same_noise_and_leaves_torchs_state() -> None:
    before = torch.get_rng_state()
    assert torch.equal(sample_noise(3, 2, seed=5), sample_noise(3, 2, seed=5))
    assert not torch.equal(sample_noise(3, 2, seed=5), sample_noise(3, 2, seed=6))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_moves_on() -> None:
    generator = torch.Generator().manual_seed(0)
    assert not torch.equal(sample_noise(3, 2, generator=generator), sample_noise(3, 2, generator=generator))


def test_what_has_no_loss_is_named() -> None:
    ones = torch.ones(3)
    with pytest.raises(ValueError, match=r"target: found shape \(2,\), wanted that of input, \(3,\)"):
        bce_loss(ones, torch.ones(2))
    with pytest.raises(ValueError, match="target: found labels outside 0 to 1"):
        bce_loss(ones, 2 * ones)
    with pytest.raises(ValueError, match=r"input: found shape \(0,\)"):
        bce_loss(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="int64, wanted at least one floating-point"):
        generator_loss(torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="scores_fake: found shape"):
        ls_discriminator_loss(ones, torch.zeros(0))
    with pytest.raises(ValueError, match="dim: found 0"):
        sample_noise(3, 0)
    with pytest.raises(ValueError, match=r"batch_size: found 1\.5"):
        sample_noise(1.5, 2)
    with pytest.raises(ValueError, match="seed: found a generator as well"):
        sample_noise(1, 2, seed=0, generator=torch.Generator())

"""The U-Net: it fits every size, listens to time and condition, learns with every weight, says what does not fit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.generative.unet import Unet


def make(**settings: object) -> Unet:
    torch.manual_seed(0)
    return Unet(**({"dim": 8, "condition_dim": 5, "dim_mults": (1, 2), "channels": 1} | settings))


SIDES = [(7, 7), (8, 8), (9, 9), (28, 28), (33, 33), (7, 33), (32, 9), (5, 64)]


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("dim_mults", [(1,), (1, 2), (1, 2, 4, 8), (3, 1, 2)])
def test_gives_back_the_size_it_got(size: tuple[int, int], dim_mults: tuple[int, ...]) -> None:
    network = make(dim_mults=dim_mults, channels=3, condition_dim=None)
    with torch.no_grad():
        found = network(torch.randn(2, 3, *size), torch.tensor([0, 999]))
    assert found.shape == (2, 3, *size)
    assert found.isfinite().all()


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=40)
def test_any_size_fits_or_is_refused(levels: int, height: int, width: int) -> None:
    network = make(dim=4, dim_mults=(1,) * levels)
    x = torch.zeros(1, 1, height, width)
    if min(height, width) >= (1, 2, 3, 5)[levels - 1]:
        assert network(x, torch.zeros(1)).shape == x.shape
    else:
        with pytest.raises(ValueError, match=f"x: found pictures of {height} x {width} pixels, wanted at least"):
            network(x, torch.zeros(1))


def test_time_and_condition_change_what_it_says() -> None:
    network, x, t = make().eval(), torch.randn(3, 1, 8, 8), torch.tensor([4, 4, 4])
    first, second = torch.eye(5)[[0, 1, 2]], torch.eye(5)[[3, 1, 2]]
    plain = network(x, t)
    assert not torch.allclose(plain, network(x, t + 1))
    conditional = network(x, t, {"text_emb": first})
    assert not torch.allclose(plain, conditional)
    other = network(x, t, {"text_emb": second})
    assert not torch.allclose(other[0], conditional[0])
    torch.testing.assert_close(other[1:], conditional[1:])  # each picture heeds its own
    assert torch.equal(plain, network(x, t, {"text_emb": None}))


def test_pictures_of_a_batch_do_not_touch() -> None:
    network, x = make().eval(), torch.randn(3, 1, 9, 8)
    t, condition = torch.tensor([1, 50, 900]), torch.eye(5)[[0, 3, 4]]
    whole = network(x, t, {"text_emb": condition})
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1], {"text_emb": condition[i : i + 1]}) for i in range(3)])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_a_gradient_reaches_every_weight() -> None:
    network = make(dim_mults=(1, 2, 2), channels=3)
    found = network(torch.randn(4, 3, 16, 16), torch.tensor([0, 10, 100, 999]), {"text_emb": torch.randn(4, 5)})
    (found * torch.randn_like(found)).sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_keep_hides_the_condition() -> None:
    network, x, t = make().train(), torch.randn(2, 1, 8, 8), torch.tensor([3, 3])
    condition = torch.eye(5)[[0, 1]]
    plain = network(x, t)
    seen = network(x, t, {"text_emb": condition, "keep": torch.tensor([True, True])})
    mixed = network(x, t, {"text_emb": condition, "keep": torch.tensor([False, True])})
    torch.testing.assert_close(mixed[0], plain[0])
    torch.testing.assert_close(mixed[1], seen[1])


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.3, 60, 125), (1.0, 300, 300)])
def test_uncond_prob_hides_that_share_in_training_alone(probability: float, low: int, high: int) -> None:
    network = make(uncond_prob=probability)
    x, t = torch.zeros(300, 1, 8, 8), torch.zeros(300)
    condition = torch.eye(5)[[2]].expand(300, 5)
    with torch.no_grad():
        plain = network.eval()(x[:1], t[:1])
        hidden = [torch.allclose(row, plain[0], atol=1e-5) for row in network.train()(x, t, {"text_emb": condition})]
        assert low <= sum(hidden) <= high
        shown = network.eval()(x, t, {"text_emb": condition})
    assert not any(torch.allclose(row, plain[0], atol=1e-5) for row in shown)


def test_guidance_is_the_papers() -> None:
    network, x, t = make().eval(), torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    condition = torch.eye(5)[[0, 4]]
    conditional, unconditional = network(x, t, {"text_emb": condition}), network(x, t)
    for w in (-1.0, 0.0, 1.0, 4.5):
        found = network(x, t, {"text_emb": condition, "cfg_scale": w})
        torch.testing.assert_close(found, (1 + w) * conditional - w * unconditional, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="cfg_scale: found 2"):
        network(x, t, {"cfg_scale": 2.0})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    network, x, t = make(dim_mults=(1, 2, 4)).eval(), torch.randn(2, 1, 9, 9), torch.tensor([3, 999])
    condition = {"text_emb": torch.eye(5)[[0, 4]]}
    exact = network(x, t, condition)
    with torch.autocast("cpu", dtype):
        cast = network(x, t, condition)
    assert cast.dtype == dtype
    torch.testing.assert_close(cast.float(), exact, rtol=0.1, atol=0.1)
    whole = network.to(dtype)(x.to(dtype), t, condition)
    assert whole.dtype == dtype
    torch.testing.assert_close(whole.float(), exact, rtol=0.1, atol=0.1)


def test_refuses_what_does_not_fit() -> None:
    network, x, t = make(), torch.zeros(2, 1, 8, 8), torch.zeros(2)
    with pytest.raises(ValueError, match=r"x: found shape \(2, 3, 8, 8\), wanted \(B, 1, H, W\)"):
        network(x.expand(2, 3, 8, 8), t)
    with pytest.raises(ValueError, match=r"x: found shape \(1, 8, 8\)"):
        network(x[0], t)
    with pytest.raises(ValueError, match=r"time: found shape \(3,\), wanted \(2,\)"):
        network(x, torch.zeros(3))
    with pytest.raises(ValueError, match=r"text_emb: found shape \(2, 4\), wanted \(2, 5\)"):
        network(x, t, {"text_emb": torch.zeros(2, 4)})
    with pytest.raises(ValueError, match=r"text_emb: found shape \(1, 5\), wanted \(2, 5\)"):
        network(x, t, {"text_emb": torch.zeros(1, 5), "cfg_scale": 1.0})
    with pytest.raises(ValueError, match="has no condition_dim"):
        make(condition_dim=None)(x, t, {"text_emb": torch.zeros(2, 5)})


@pytest.mark.parametrize(
    "settings",
    [{"dim": 7}, {"dim": 0}, {"dim_mults": ()}, {"dim_mults": (1, 0)}, {"channels": 0}, {"condition_dim": 0},
     {"uncond_prob": 1.1}],
)  # fmt: skip
def test_refuses_sizes_that_make_no_network(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}.*: found"):
        make(**settings)


def test_an_empty_batch() -> None:
    assert make()(torch.zeros(0, 1, 8, 8), torch.zeros(0)).shape == (0, 1, 8, 8)

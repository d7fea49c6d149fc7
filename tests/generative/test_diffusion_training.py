"""Training: it learns, repeats itself, goes on after a stop as if there was none, and refuses what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from herder.errors import ConfigError, DataError, ModelFileError
from herder.generative.checkpoint import load_state, save_state
from herder.generative.diffusion import GaussianDiffusion
from herder.generative.diffusion_training import (
    MODEL_NAME,
    STATE_NAME,
    DiffusionConfig,
    DiffusionModel,
    DiffusionResult,
    load_diffusion,
    train_diffusion,
)

TINY: dict[str, Any] = {
    "dim": 4, "dim_mults": (1,), "timesteps": 10, "steps": 12, "batch_size": 8, "checkpoint_every": 4, "warmup_steps": 2
}  # fmt: skip


def tiny(**settings: Any) -> DiffusionConfig:
    return DiffusionConfig(**(TINY | settings))


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """Two kinds of 6 x 6 pictures: bright on the left, bright on the right; labels 0, 1, 0, 1 ..."""
    x = torch.full((20, 1, 6, 6), -0.7)
    x[0::2, :, :, :3] = 0.7
    x[1::2, :, :, 3:] = 0.7
    return x + 0.1 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))


LABELS = torch.arange(20) % 2


def weights(result: DiffusionResult) -> dict[str, Tensor]:
    return result.model.network.state_dict()


def assert_same(one: DiffusionResult, two: DiffusionResult) -> None:
    assert one.history == two.history
    assert all(torch.equal(value, weights(two)[name]) for name, value in weights(one).items())


def test_learns_what_was_asked_for(pictures: Tensor) -> None:
    config = tiny(dim=8, steps=100, timesteps=50, batch_size=16, learning_rate=1e-2, ema_decay=0.9)
    result = train_diffusion(pictures, config, labels=LABELS, class_names=["left", "right"])
    assert len(result.history) == 100
    assert np.mean(result.history[-20:]) < 0.4 * np.mean(result.history[:20])
    assert result.model.spec.class_names == ("left", "right")
    drawn = result.model.sample(40, LABELS.repeat(2), steps=20, guidance=1.5)
    brighter_left = drawn[..., :3].mean((1, 2, 3)) > drawn[..., 3:].mean((1, 2, 3))
    assert (brighter_left == (LABELS.repeat(2) == 0)).float().mean() >= 0.95


def test_the_same_seed_the_same_model(pictures: Tensor) -> None:
    torch.manual_seed(1)
    first = train_diffusion(pictures, tiny(), labels=LABELS)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert_same(first, train_diffusion(pictures, tiny(), labels=LABELS))
    assert torch.equal(state, torch.get_rng_state())
    assert first.history != train_diffusion(pictures, tiny(seed=1), labels=LABELS).history


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "adam", "weight_decay": 0.1}, {"weight_decay": 0.1}, {"clip_norm": 0.0}, {"ema_decay": 0.0},
     {"flip": True}, {"objective": "pred_x_start"}, {"min_snr_gamma": 0.0}, {"schedule": "linear"},
     {"condition_dropout": 0.0}, {"number_format": "bf16"}, {"number_format": "fp16"}, {"batch_size": 1}],
)  # fmt: skip
def test_every_setting_trains_and_matters(pictures: Tensor, settings: dict[str, Any]) -> None:
    result = train_diffusion(pictures, tiny(**settings), labels=LABELS)
    assert np.isfinite(result.history).all()
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in weights(result).values())
    plain = weights(train_diffusion(pictures, tiny(), labels=LABELS))
    assert any(not torch.equal(value, plain[name]) for name, value in weights(result).items())
    assert result.model.spec.knows_none == (settings.get("condition_dropout") != 0.0)


def test_half_precision_stays_near_full(pictures: Tensor) -> None:
    full, half = (
        np.mean(train_diffusion(pictures, tiny(steps=40, number_format=n), labels=LABELS).history[-20:])
        for n in ("float32", "bf16")
    )
    assert half == pytest.approx(full, rel=0.1)


def test_average_is_the_papers(pictures: Tensor) -> None:
    """a_1 = w_1, a_t = d a_{t-1} + (1 - d) w_t, summed up here from the weights of runs stopped one step later each."""
    seen: list[dict[str, Tensor]] = []
    train_diffusion(
        pictures,
        tiny(steps=4, ema_decay=0.0, snapshot_every=1),
        snapshot=lambda _, m: seen.append(m.network.state_dict()),
    )
    found = weights(train_diffusion(pictures, tiny(steps=4, ema_decay=0.7)))
    for name, value in found.items():
        average = seen[0][name]
        for now in seen[1:]:
            average = 0.7 * average + 0.3 * now[name]
        torch.testing.assert_close(value, average)


def test_learns_without_labels_and_in_colour() -> None:
    colour = torch.rand((5, 3, 7, 9), generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = train_diffusion(colour, tiny(dim_mults=(1, 2)))
    assert result.model.spec.class_names == ()
    assert result.model.sample(2, steps=3).shape == (2, 3, 7, 9)
    one = train_diffusion(colour[:1], tiny(steps=2))
    assert len(one.history) == 2


def test_progress_and_snapshots(pictures: Tensor, tmp_path: Path) -> None:
    told: list[tuple[int, int, float]] = []
    drawn: dict[int, Tensor] = {}

    def snapshot(step: int, model: DiffusionModel) -> None:
        drawn[step] = model.sample(2, [0, 1], steps=2)

    config = tiny(snapshot_every=5)
    result = train_diffusion(
        pictures, config, labels=LABELS, progress=lambda *now: told.append(now), snapshot=snapshot, out=tmp_path
    )
    assert [(step, of) for step, of, _ in told] == [(step, 12) for step in range(1, 13)]
    assert tuple(loss for *_, loss in told) == result.history
    assert sorted(drawn) == [5, 10]
    assert not torch.equal(drawn[5], drawn[10])
    # Looking at it on the way changed nothing.
    assert_same(result, train_diffusion(pictures, tiny(), labels=LABELS))


class Stop(Exception):
    pass


def stopped_at(step: int, pictures: Tensor, config: DiffusionConfig, out: Path, labels: Tensor | None) -> None:
    def progress(done: int, of: int, loss: float) -> None:
        if done == step:
            raise Stop

    with pytest.raises(Stop):
        train_diffusion(pictures, config, labels=labels, out=out, progress=progress)


@pytest.mark.parametrize(
    ("step", "settings"),
    [(2, {}), (4, {}), (5, {}), (11, {}), (6, {"number_format": "fp16", "flip": True}), (9, {"optimizer": "adam"})],
)
def test_a_stopped_run_ends_as_if_it_never_was(
    pictures: Tensor, tmp_path: Path, step: int, settings: dict[str, Any]
) -> None:
    config = tiny(**settings)
    whole = train_diffusion(pictures, config, labels=LABELS)
    stopped_at(step, pictures, config, tmp_path, LABELS)
    assert (tmp_path / STATE_NAME).exists() == (step > 4)
    assert not (tmp_path / MODEL_NAME).exists()
    torch.manual_seed(step)
    assert_same(train_diffusion(pictures, config, labels=LABELS, out=tmp_path, resume=True), whole)


def test_a_finished_run_is_only_read(pictures: Tensor, tmp_path: Path) -> None:
    whole = train_diffusion(pictures, tiny(), out=tmp_path)
    told: list[int] = []
    again = train_diffusion(pictures, tiny(), out=tmp_path, resume=True, progress=lambda *now: told.append(now[0]))
    assert told == []
    assert_same(whole, again)
    saved = load_diffusion(tmp_path / MODEL_NAME)
    assert torch.equal(saved.sample(2, steps=3), whole.model.sample(2, steps=3))


def test_resume_refuses_another_run(pictures: Tensor, tmp_path: Path) -> None:
    stopped_at(5, pictures, tiny(), tmp_path, LABELS)
    again = {"labels": LABELS, "out": tmp_path, "resume": True}
    with pytest.raises(ConfigError, match=r"learning_rate: .* has 0\.002, not 0\.1"):
        train_diffusion(pictures, tiny(learning_rate=0.1), **again)
    with pytest.raises(DataError, match="not those that the run began with"):
        train_diffusion(pictures.flip(3), tiny(), **again)
    with pytest.raises(DataError, match="labels"):
        train_diffusion(pictures, tiny(), **(again | {"labels": 1 - LABELS}))
    with pytest.raises(ConfigError, match="resume: found no folder"):
        train_diffusion(pictures, tiny(), resume=True)
    # What changes no result may be another.
    assert len(train_diffusion(pictures, tiny(checkpoint_every=0, snapshot_every=3), **again).history) == 12


def test_resume_refuses_broken_checkpoints(pictures: Tensor, tmp_path: Path) -> None:
    stopped_at(5, pictures, tiny(), tmp_path, None)
    path = tmp_path / STATE_NAME
    data = path.read_bytes()
    for broken in (b"", data[:200], data[:-4]):
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match=STATE_NAME):
            train_diffusion(pictures, tiny(), out=tmp_path, resume=True)
    save_state(path, modules={}, facts={"kind": "gan"})
    with pytest.raises(ModelFileError, match="is no diffusion run"):
        train_diffusion(pictures, tiny(), out=tmp_path, resume=True)
    path.write_bytes(data)
    facts = load_state(path).facts
    facts.pop("history")
    save_state(path, modules={}, facts=facts)
    with pytest.raises(ModelFileError, match="holds no history"):
        train_diffusion(pictures, tiny(), out=tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_the_run(
    pictures: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = GaussianDiffusion.p_losses
    monkeypatch.setattr(GaussianDiffusion, "p_losses", lambda *given, **more: whole(*given, **more) * float("inf"))
    with pytest.raises(ConfigError, match="learning_rate: the loss became inf in step 1"):
        train_diffusion(pictures, tiny(checkpoint_every=1), out=tmp_path)
    assert not (tmp_path / STATE_NAME).exists()


def test_checkpoints_when_asked_for(pictures: Tensor, tmp_path: Path) -> None:
    stopped_at(9, pictures, tiny(), tmp_path, None)
    assert len(load_state(tmp_path / STATE_NAME).facts["history"]) == 8
    other = tmp_path / "other"
    stopped_at(9, pictures, tiny(checkpoint_every=0), other, None)
    assert not other.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda x: {"pictures": x[0]}, r"pictures: found shape \(1, 6, 6\)"),
     (lambda x: {"pictures": x[:0]}, r"pictures: found shape \(0, 1, 6, 6\)"),
     (lambda x: {"pictures": x.double()}, "float64, wanted"),
     (lambda x: {"pictures": x * 2}, "pictures: found values from -1.39"),
     (lambda x: {"pictures": x * float("nan")}, "pictures: found values from nan"),
     (lambda x: {"pictures": x, "labels": LABELS[:3]}, r"labels: found shape \(3,\)"),
     (lambda x: {"pictures": x, "labels": LABELS.float()}, "of whole numbers"),
     (lambda x: {"pictures": x, "labels": LABELS - 1}, "labels: found -1 to 0"),
     (lambda x: {"pictures": x, "labels": LABELS, "class_names": ["a"]}, "labels: found 0 to 1, wanted 0 to 0"),
     (lambda x: {"pictures": x, "class_names": ["a"]}, "labels: found none for 1 class_names")],
)  # fmt: skip
def test_refuses_tensors_that_do_not_fit(pictures: Tensor, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_diffusion(config=tiny(), **make(pictures))


def test_refuses_settings_that_do_not_fit(pictures: Tensor) -> None:
    with pytest.raises(ConfigError, match="6 x 6 pixels, wanted at least 9 a side"):
        train_diffusion(pictures, tiny(dim_mults=(1,) * 5))
    for device in ("toaster", "cuda:99"):
        with pytest.raises(ConfigError, match=f"device: found '{device}'"):
            train_diffusion(pictures, tiny(device=device))

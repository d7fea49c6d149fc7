"""Who learns in whose turn, and that a stopped run ends as one that never was."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from herder.errors import ConfigError, DataError, ModelFileError
from herder.generative import gan_training
from herder.generative.gan import (
    Discriminator,
    GanConfig,
    GanLoss,
    Generator,
    discriminator_turn,
    generator_turn,
    load_generator,
    train_gan,
)
from herder.generative.gan_losses import discriminator_loss, generator_loss
from herder.generative.pictures import digits
from herder.generative.quality import fit_classifier, sample_quality

SMALL = {"steps": 12, "batch_size": 8, "noise_dim": 6, "width": 4, "checkpoint_every": 5, "snapshot_every": 6}


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def pair() -> tuple[Generator, Discriminator]:
    architecture = GanConfig(**SMALL).architecture(side=8, channels=1)
    return Generator(architecture), Discriminator(architecture)


def weights(module: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def changed(module: torch.nn.Module, before: list[Tensor]) -> bool:
    return any(not torch.equal(now, old) for now, old in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize("loss", list(GanLoss))
def test_the_discriminators_turn_leaves_the_generator_alone(
    pair: tuple[Generator, Discriminator], pictures: Tensor, loss: GanLoss
) -> None:
    made, judge = pair
    fakes = made(torch.randn(8, 6))
    before_g, before_d = weights(made), weights(judge)
    discriminator_turn(judge, torch.optim.Adam(judge.parameters()), pictures[:8], fakes, loss)
    assert all(parameter.grad is None for parameter in made.parameters())
    assert not changed(made, before_g)
    assert changed(judge, before_d)


@pytest.mark.parametrize("loss", list(GanLoss))
def test_the_generators_turn_leaves_the_discriminator_alone(
    pair: tuple[Generator, Discriminator], loss: GanLoss
) -> None:
    made, judge = pair
    before_g, before_d = weights(made), weights(judge)
    generator_turn(judge, torch.optim.Adam(made.parameters()), made(torch.randn(8, 6)), loss)
    assert all(parameter.grad is None for parameter in judge.parameters())
    assert all(parameter.requires_grad for parameter in judge.parameters())
    assert not changed(judge, before_d)
    assert changed(made, before_g)


def test_a_turn_steps_down_the_published_loss(pair: tuple[Generator, Discriminator], pictures: Tensor) -> None:
    made, judge = pair
    fakes = made(torch.randn(8, 6))
    judge.eval()  # so that both calls below see one and the same function
    wanted = discriminator_loss(judge(pictures[:8]), judge(fakes.detach())).item()
    judged = discriminator_turn(judge, torch.optim.SGD(judge.parameters(), lr=1e-2), pictures[:8], fakes)
    assert judged.loss.item() == pytest.approx(wanted, rel=1e-6)
    assert discriminator_loss(judge(pictures[:8]), judge(fakes.detach())).item() < wanted
    wanted = generator_loss(judge(fakes)).item()
    assert generator_turn(judge, torch.optim.SGD(made.parameters(), lr=1e-2), fakes).item() == pytest.approx(wanted)


def test_a_run_writes_what_it_says(pictures: Tensor, tmp_path: Path) -> None:
    steps: list[int] = []
    seen: list[tuple[int, Tensor]] = []
    result = train_gan(
        pictures,
        GanConfig(**SMALL),
        out=tmp_path,
        progress=lambda step, total, row: steps.append(step),
        snapshot=lambda step, made: seen.append((step, made.sample(2))),
    )
    assert result.finished
    assert steps == list(range(1, 13))
    assert [step for step, _ in seen] == [6, 12]
    assert [grid.step for grid in result.grids] == [6, 12]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step-000006.png", "step-000012.png"]
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [float(row["generator_loss"]) for row in rows] == [row.generator_loss for row in result.history]
    assert torch.equal(load_generator(tmp_path / "gan.safetensors").sample(5), result.generator.sample(5))


def test_the_same_seed_gives_the_same_run_and_leaves_torchs_state(pictures: Tensor) -> None:
    before = torch.get_rng_state()
    one, same = (train_gan(pictures, GanConfig(**SMALL)) for _ in range(2))
    other = train_gan(pictures, GanConfig(**SMALL, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.history == same.history
    assert torch.equal(one.generator.sample(3), same.generator.sample(3))
    assert one.history != other.history


@pytest.mark.parametrize("stop_at", [1, 5, 7])
@pytest.mark.parametrize("settings", [{}, {"kind": "fully_connected", "loss": "least_squares", "flip": True}])
def test_a_stopped_run_ends_as_if_it_never_was(
    pictures: Tensor, tmp_path: Path, stop_at: int, settings: dict[str, Any]
) -> None:
    config = GanConfig(**(SMALL | settings))
    whole = train_gan(pictures, config)
    count = iter(range(1, 100))
    first = train_gan(pictures, config, out=tmp_path, stop=lambda: next(count) == stop_at)
    assert not first.finished
    assert not (tmp_path / "gan.safetensors").exists()
    again = train_gan(pictures, config, out=tmp_path, resume=True)
    assert again.finished
    assert again.history == whole.history
    for grid, wanted in zip(again.grids, whole.grids, strict=True):
        assert torch.equal(grid.pictures, wanted.pictures)
    for name, value in whole.generator.state_dict().items():
        assert torch.equal(again.generator.state_dict()[name], value), name


def test_ctrl_c_costs_the_steps_since_the_checkpoint(pictures: Tensor, tmp_path: Path) -> None:
    def interrupt(step: int, total: int, row: object) -> None:
        if step == 7:
            raise KeyboardInterrupt

    config = GanConfig(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        train_gan(pictures, config, out=tmp_path, progress=interrupt)
    steps: list[int] = []
    again = train_gan(pictures, config, out=tmp_path, resume=True, progress=lambda step, total, row: steps.append(step))
    assert steps[0] == 6  # checkpoint_every=5
    assert again.history == train_gan(pictures, config).history


def test_a_finished_run_is_only_read(pictures: Tensor, tmp_path: Path) -> None:
    config = GanConfig(**SMALL)
    first = train_gan(pictures, config, out=tmp_path)
    steps: list[int] = []
    again = train_gan(pictures, config, out=tmp_path, resume=True, progress=lambda step, total, row: steps.append(step))
    assert steps == []
    assert again.history == first.history


def test_resume_refuses_what_is_not_its_run(pictures: Tensor, tmp_path: Path) -> None:
    config = GanConfig(**SMALL)
    train_gan(pictures, config, out=tmp_path)
    with pytest.raises(ConfigError, match="width"):
        train_gan(pictures, GanConfig(**(SMALL | {"width": 8})), out=tmp_path, resume=True)
    with pytest.raises(DataError, match="not those that the run began with"):
        train_gan(-pictures, config, out=tmp_path, resume=True)
    with pytest.raises(ConfigError, match="no folder to go on from"):
        train_gan(pictures, config, resume=True)
    state = tmp_path / "last.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="cut short"):
        train_gan(pictures, config, out=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p[:0], "found none, wanted at least one"),
        (lambda p: p[:, :, :6], r"found \(40, 1, 6, 8\)"),
        (lambda p: p.double(), "torch.float64, wanted"),
        (lambda p: p * 2, "wanted -1 to 1"),
        (lambda p: torch.full_like(p, torch.nan), "wanted -1 to 1"),
        (lambda p: p.repeat(1, 2, 1, 1), "wanted \\(N, 1 or 3, S, S\\)"),
    ],
)
def test_pictures_that_do_not_fit_are_named(pictures: Tensor, make: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_gan(make(pictures), GanConfig(**SMALL))


def test_a_side_that_does_not_halve_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="side: found 10, wanted a multiple of 4"):
        train_gan(torch.zeros(4, 1, 10, 10), GanConfig(**SMALL))


def test_losses_that_are_no_numbers_stop_the_run(pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan_training, "generator_turn", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(ConfigError, match="step 1: the losses are no longer finite"):
        train_gan(pictures, GanConfig(**SMALL))


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_never_was(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from herder.generative.gan import GanConfig, train_gan\n"
        "from herder.generative.pictures import digits\n"
        "train_gan(digits().images, GanConfig(steps=150, checkpoint_every=10, snapshot_every=50),"
        " out=Path(sys.argv[1]), resume=True)"
    )
    run = [sys.executable, "-c", code]
    subprocess.run([*run, tmp_path / "whole"], check=True)
    for wait in (10, 60):
        process = subprocess.Popen([*run, tmp_path / "killed"])
        state = tmp_path / "killed" / "last.safetensors"
        deadline = time.monotonic() + 120
        while not (state.exists() and len(list((tmp_path / "killed" / "samples").glob("*"))) >= wait // 60):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*run, tmp_path / "killed"], check=True)
    for name in ("gan.safetensors", "history.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_all_ten_digits_are_drawn() -> None:
    real = digits()
    result = train_gan(real.images, GanConfig())
    quality = sample_quality(real, result.generator.sample(1000, seed=1), fit_classifier(real))
    assert quality.classes_covered == 10
    assert min(quality.shares) > 0.02
    assert quality.frechet < 10 * quality.real_halves

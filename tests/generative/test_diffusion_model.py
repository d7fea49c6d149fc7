"""A model file: drawn from, written, read back, and refused where it is broken."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from herder.errors import ModelFileError, ResourceError
from herder.generative import diffusion_model
from herder.generative.diffusion_config import DiffusionSpec
from herder.generative.diffusion_model import MODEL_KEY, DiffusionModel, load_diffusion
from herder.generative.diffusion_steps import Objective
from herder.generative.noise_schedule import ScheduleName

SPEC = DiffusionSpec(8, (1, 2), 3, 7, 10, 12, ScheduleName.COSINE, Objective.PRED_NOISE, ("cat", "dog", "emu"), True)


@pytest.fixture
def model() -> DiffusionModel:
    torch.manual_seed(0)
    return DiffusionModel.new(SPEC)


def test_pictures_have_the_shape_and_range_promised(model: DiffusionModel) -> None:
    for settings in (
        {},
        {"steps": 4},
        {"steps": 4, "eta": 1.0},
        {"labels": [0, 1, 2]},
        {"labels": [2, 2, 2], "guidance": 3.0},
    ):
        found = model.sample(3, **settings)
        assert found.shape == (3, 3, 7, 10)
        assert found.dtype == torch.float32
        assert found.abs().max() <= 1
    assert model.sample(0).shape == (0, 3, 7, 10)
    assert model.sample(1, torch.tensor([1]), steps=1).shape == (1, 3, 7, 10)


def test_one_seed_one_set_of_pictures(model: DiffusionModel) -> None:
    torch.manual_seed(1)
    first = model.sample(2, steps=3, seed=4)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, model.sample(2, steps=3, seed=4))
    assert torch.equal(state, torch.get_rng_state())  # and torch's own random numbers are left alone
    assert not torch.equal(first, model.sample(2, steps=3, seed=5))


def test_guidance_leads_from_no_class_to_the_class(model: DiffusionModel) -> None:
    labels = [0, 1]
    none, plain = model.sample(2, steps=3), model.sample(2, labels, steps=3)
    assert torch.equal(model.sample(2, labels, steps=3, guidance=0), none)
    assert torch.equal(model.sample(2, labels, steps=3, guidance=1), plain)
    # The guided network's formula at 1, in one batch of twice the size, is the plain conditional answer.
    torch.testing.assert_close(model.sample(2, labels, steps=3, guidance=1 + 1e-7), plain, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model.sample(2, labels, steps=3, guidance=1e-7), none, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(model.sample(2, labels, steps=3, guidance=3), plain)


def test_trajectory_is_the_way_to_the_same_picture(model: DiffusionModel) -> None:
    for steps in (None, 5):
        way = model.sample(2, [0, 1], steps=steps, trajectory=6)
        assert way.shape == (6, 2, 3, 7, 10)
        assert torch.equal(way[-1], model.sample(2, [0, 1], steps=steps))
    start = torch.randn((2, 3, 7, 10), generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.sample(2, trajectory=2)[0], start.clamp(-1, 1))
    assert model.sample(2, steps=2, trajectory=9).shape[0] == 9  # more moments than steps: some are shown twice
    assert model.sample(2, steps=2, trajectory=1).shape[0] == 1
    assert model.sample(0, trajectory=4).shape == (4, 0, 3, 7, 10)


def test_progress_over_batches(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion_model, "SAMPLING_BATCH", 2)
    told: list[tuple[int, int]] = []
    found = model.sample(5, [0, 1, 2, 0, 1], steps=3, trajectory=2, progress=lambda done, of: told.append((done, of)))
    assert found.shape == (2, 5, 3, 7, 10)
    assert told == [(i, 9) for i in range(1, 10)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"n": -1}, "n, trajectory: found -1"), ({"n": 1, "trajectory": -1}, "n, trajectory: found 1, -1"),
     ({"n": 2, "labels": [0]}, r"labels: found shape \(1,\)"), ({"n": 1, "labels": [0.5]}, "whole numbers"),
     ({"n": 2, "labels": [0, 3]}, "labels: found 0 to 3, wanted 0 to 2"),
     ({"n": 1, "labels": [-1]}, "labels: found -1"),
     ({"n": 1, "guidance": 2.0}, "guidance: found 2.0 without labels"), ({"n": 1, "steps": 13}, "steps: found 13"),
     ({"n": 1, "steps": 0}, "steps: found 0"), ({"n": 1, "steps": 2, "eta": 2.0}, "eta: found 2.0"),
     ({"n": 1, "eta": 0.5}, "eta: found 0.5 without steps")],
)  # fmt: skip
def test_refuses_what_has_no_meaning(model: DiffusionModel, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.sample(**settings)


def test_a_model_says_what_it_did_not_learn() -> None:
    without = DiffusionModel.new(dataclasses.replace(SPEC, class_names=()))
    assert without.sample(1, steps=2).shape == (1, 3, 7, 10)
    with pytest.raises(ValueError, match="trained without classes"):
        without.sample(1, [0])
    always = DiffusionModel.new(dataclasses.replace(SPEC, knows_none=False))
    assert always.sample(1, [0], steps=2).shape == (1, 3, 7, 10)
    with pytest.raises(ValueError, match="labels: found none"):
        always.sample(1)
    with pytest.raises(ValueError, match="guidance: found 2"):
        always.sample(1, [0], guidance=2)


def test_refuses_pictures_too_small_for_its_levels() -> None:
    with pytest.raises(ValueError, match="found 4 x 9 pixels, wanted at least 5 a side"):
        DiffusionModel.new(dataclasses.replace(SPEC, height=4, width=9, dim_mults=(1, 1, 1, 1)))


def test_comes_back_from_its_file(model: DiffusionModel, tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.safetensors"
    model.save(path)
    state = torch.get_rng_state()
    again = load_diffusion(path)
    assert torch.equal(state, torch.get_rng_state())
    assert again.spec == SPEC
    assert not again.network.training
    assert torch.equal(again.sample(2, [0, 2], steps=3, guidance=2), model.sample(2, [0, 2], steps=3, guidance=2))
    assert load_diffusion(str(path)).spec == SPEC
    with pytest.raises(ResourceError):
        model.save(tmp_path / "new")


def rewritten(path: Path, change: dict[str, Any]) -> Path:
    """The file with other facts about itself."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    facts = json.loads(header["__metadata__"][MODEL_KEY])
    facts |= {key: value for key, value in change.items() if key in facts}
    if not change.keys() & facts.keys():
        facts["spec"] |= change
    header["__metadata__"][MODEL_KEY] = json.dumps(facts)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + length :])
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": 2}, "newer than this herder"), ({"version": "x"}, "cannot be read"), ({"spec": {}}, "missing facts"),
     ({"spec": None}, "cannot be read"), ({"dim": 16}, "do not fit"),
     ({"dim": 60_000}, "do not fit"), ({"dim": 7}, "cannot be read"),
     ({"class_names": []}, "do not fit"), ({"height": 1, "dim_mults": [1, 2, 4]}, "cannot be read")],
)  # fmt: skip
def test_a_file_that_says_something_else_is_refused(
    model: DiffusionModel, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_diffusion(rewritten(path, change))
    assert str(path) in str(caught.value)


def test_broken_files_are_refused(model: DiffusionModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    data = path.read_bytes()
    for broken in (b"", data[:100], data[:-1], b"no model" * 100):
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            load_diffusion(path)
    with pytest.raises(ModelFileError, match="no such file"):
        load_diffusion(tmp_path / "missing.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelFileError, match="is no diffusion model"):
        load_diffusion(path)

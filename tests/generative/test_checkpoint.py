"""States of training runs: a run that is saved and restored goes on bit for bit, and nothing else is read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from herder.errors import ConfigError, ModelFileError, ResourceError
from herder.generative.checkpoint import STATE_KEY, State, check_config, load_state, restore_state, save_state
from herder.tensor_files import read_metadata, read_tensors


class Run:
    """A network with batch norm and dropout, its average and two optimisers, fed with its own random numbers."""

    def __init__(self, kind: Callable[..., Optimizer], seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
            self.other = nn.Linear(3, 1, dtype=torch.float64)
        self.average = AveragedModel(self.network, use_buffers=True)
        self.optimizer = kind([{"params": [p]} for p in self.network.parameters()], lr=0.1)
        self.second = Adam(self.other.parameters(), lr=0.1)
        self.random = torch.Generator().manual_seed(seed)

    def step(self) -> None:
        x = torch.randn(6, 3, generator=self.random)  # the dropout below draws from torch's own generator
        for optimizer, loss in ((self.optimizer, self.network(x)), (self.second, self.other(x.double()))):
            optimizer.zero_grad()
            loss.square().mean().backward()
            optimizer.step()
        self.average.update_parameters(self.network)

    def save(self, path: Path, **facts: object) -> None:
        save_state(
            path, modules=self.modules, optimizers=self.optimizers, facts=facts, generator=self.random,
            tensors={"losses": torch.tensor([1.5, 2.5], dtype=torch.float64)},
        )  # fmt: skip

    def restore(self, path: Path) -> State:
        state = load_state(path)
        restore_state(state, self.modules, self.optimizers, self.random)
        return state

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "other": self.other, "average": self.average}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        return {"optimizer": self.optimizer, "second": self.second}

    def tensors(self) -> dict[str, Tensor]:
        return {f"{m}.{k}": v.clone() for m, module in self.modules.items() for k, v in module.state_dict().items()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    run = Run(Adam)
    run.step()
    run.save(tmp_path / "run.safetensors", step=1)
    return tmp_path / "run.safetensors"


def rewritten(
    path: Path, tensors: Callable[[dict[str, Tensor]], object], metadata: dict[str, str] | None = None
) -> Path:
    """The file with other tensors or other metadata."""
    values, texts = read_tensors(path), read_metadata(path) | (metadata or {})
    tensors(values)
    safetensors.torch.save_file(values, path, metadata=texts)
    return path


def kept(values: dict[str, Tensor]) -> None:
    """Leave the tensors as they are."""


@pytest.mark.parametrize("kind", [Adam, AdamW, SGD, lambda p, lr: SGD(p, lr=lr, momentum=0.9)])
def test_a_restored_run_goes_on_bit_for_bit(kind: Callable[..., Optimizer], tmp_path: Path) -> None:
    whole = Run(kind)
    torch.manual_seed(7)
    for _ in range(2):
        whole.step()
    whole.optimizer.param_groups[1]["lr"] = 0.03  # as a schedule would
    whole.save(tmp_path / "run.safetensors")
    for _ in range(3):
        whole.step()
    torch.manual_seed(99)
    again = Run(kind, seed=5)
    again.restore(tmp_path / "run.safetensors")
    assert again.optimizer.param_groups[1]["lr"] == 0.03
    for _ in range(3):
        again.step()
    wanted = whole.tensors()
    for name, value in again.tensors().items():
        assert torch.equal(value, wanted[name]), name
    assert again.average.n_averaged == 5


def test_the_file_holds_facts_and_tensors(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.safetensors"
    Run(Adam).save(path, step=3, loss=0.1 + 0.2, betas=(0.5, 0.9), name="né", nothing=None)
    state = load_state(path)
    assert state.facts == {"step": 3, "loss": 0.1 + 0.2, "betas": [0.5, 0.9], "name": "né", "nothing": None}
    assert state.tensors["extra.losses"].tolist() == [1.5, 2.5]
    assert state.tensors["extra.losses"].dtype == torch.float64
    assert [p.name for p in path.parent.iterdir()] == ["run.safetensors"]  # no part is left behind


def test_saving_changes_nothing_of_the_run(tmp_path: Path) -> None:
    run = Run(Adam)
    run.step()
    torch_before, own_before, before = torch.get_rng_state(), run.random.get_state(), run.tensors()
    run.save(tmp_path / "run.safetensors")
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert torch.equal(run.random.get_state(), own_before)
    assert all(torch.equal(value, before[name]) for name, value in run.tensors().items())


def test_weights_alone_leave_random_states_as_they_are(saved: Path) -> None:
    before = torch.get_rng_state()
    torch.manual_seed(before.sum().item())
    before = torch.get_rng_state()
    run = Run(Adam, seed=4)
    restore_state(load_state(saved), {"network": run.network})
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(run.network[0].weight, load_state(saved).tensors["module.network.0.weight"])


def test_shared_and_strided_weights_come_back(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    tied = nn.Sequential(layer, layer)
    image = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    path = tmp_path / "run.safetensors"
    save_state(path, modules={"tied": tied, "image": image}, facts={})
    other = nn.Conv2d(3, 4, 3)
    restore_state(load_state(path), {"tied": nn.Sequential(layer, layer), "image": other})
    assert torch.equal(other.weight, image.weight)


def test_an_optimizer_that_never_stepped(tmp_path: Path) -> None:
    Run(Adam).save(tmp_path / "run.safetensors")
    again = Run(Adam, seed=1)
    again.restore(tmp_path / "run.safetensors")
    assert again.optimizer.state_dict()["state"] == {}


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    layer, path = nn.Linear(1, 1), tmp_path / "run.safetensors"
    with pytest.raises(ValueError, match="facts: found what JSON cannot hold"):
        save_state(path, modules={"layer": layer}, facts={"tensor": torch.zeros(1)})
    for name in ("a.b", ""):
        with pytest.raises(ValueError, match="wanted one without a dot"):
            save_state(path, modules={name: layer}, facts={})
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="cannot be written"):
        save_state(tmp_path / "run.safetensors", modules={}, facts={})


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        save_state(tmp_path, modules={}, facts={})


def test_files_that_are_no_state(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        load_state(tmp_path / "none.safetensors")
    strange = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, strange)
    with pytest.raises(ModelFileError, match="is not the state of a generative run"):
        load_state(strange)
    whole = saved.read_bytes()
    for part in (b"", whole[:4], whole[:100], whole[:-1], b"PK\x03\x04" + whole):
        strange.write_bytes(part)
        with pytest.raises(ModelFileError):
            load_state(strange)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"facts": "{"}, "facts cannot be read"),
        ({"facts": "[1]"}, "no table of names"),
        ({STATE_KEY: "null"}, "facts cannot be read"),
        ({STATE_KEY: "{}"}, "facts cannot be read"),
        ({STATE_KEY: json.dumps({"version": 2, "optimizers": {}})}, "version 2 is newer"),
        ({STATE_KEY: json.dumps({"version": "1", "optimizers": {}})}, "version '1' is newer"),
    ],
)
def test_metadata_that_is_damaged(saved: Path, metadata: dict[str, str], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        load_state(rewritten(saved, kept, metadata))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("module.other.weight"), "1 tensors of 'other' are missing or left over"),
        (lambda t: t.update({"module.other.more": torch.zeros(1)}), "1 tensors of 'other' are missing or left over"),
        (lambda t: t.update({"module.other.weight": torch.zeros(2, 3)}), r"other.weight is \(2, 3\) of torch.float32"),
        (lambda t: t.update({"module.other.weight": torch.zeros(1, 3)}), "wanted .* of torch.float64"),
        (lambda t: t.update({"optimizer.second.0.exp_avg": torch.zeros(2, 9)}), r"\(2, 9\), wanted \(1, 3\)"),
        (lambda t: t.update({"optimizer.second.7.exp_avg": torch.zeros(1)}), "'second' cannot be read"),
        (lambda t: t.update({"optimizer.second.x": torch.zeros(1)}), "'second' cannot be read"),
        (lambda t: t.pop("random.generator"), "random.generator is missing"),
        (lambda t: t.pop("random.torch"), "random.torch is missing"),
        (lambda t: t.update({"random.torch": torch.zeros(3, dtype=torch.uint8)}), "random.torch is .* does not fit"),
    ],
)
def test_tensors_that_do_not_fit(saved: Path, change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    rewritten(saved, change)
    run = Run(Adam, seed=3)
    before, state = run.tensors(), torch.get_rng_state()
    with pytest.raises(ModelFileError, match=message):
        run.restore(saved)
    assert all(torch.equal(value, before[name]) for name, value in run.tensors().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_random_state_of_nonsense(saved: Path) -> None:
    rewritten(saved, lambda t: t["random.generator"].fill_(255))
    with pytest.raises(ModelFileError, match="random states cannot be restored"):
        Run(Adam).restore(saved)


@pytest.mark.parametrize(
    ("optimizers", "message"),
    [
        ({}, "'optimizer' cannot be read"),
        ({"optimizer": {"groups": [], "scalars": {}}}, "'optimizer' has other parameters"),
        ({"optimizer": {"groups": [{}], "scalars": {}}}, "'optimizer' cannot be read"),
        ({"optimizer": {"groups": 5, "scalars": {}}}, "'optimizer' cannot be read"),
        ({"optimizer": 3}, "'optimizer' cannot be read"),
    ],
)
def test_an_optimizer_that_does_not_fit(saved: Path, optimizers: dict[str, object], message: str) -> None:
    rewritten(saved, kept, {STATE_KEY: json.dumps({"version": 1, "optimizers": optimizers})})
    with pytest.raises(ModelFileError, match=message):
        Run(Adam).restore(saved)


def test_another_network_is_refused(saved: Path) -> None:
    with pytest.raises(ModelFileError, match="'network' are missing or left over"):
        restore_state(load_state(saved), {"network": nn.Linear(3, 4)})
    with pytest.raises(ModelFileError, match="'unknown' are missing or left over"):
        restore_state(load_state(saved), {"unknown": nn.Linear(3, 4)})


def test_a_config_is_compared_as_json(tmp_path: Path) -> None:
    save_state(tmp_path / "run.safetensors", modules={}, facts={"config": {"betas": (0.5, 0.9), "lr": 1e-3}})
    state = load_state(tmp_path / "run.safetensors")
    check_config(state, {"betas": (0.5, 0.9), "lr": 1e-3})
    check_config(state, {"betas": (0.5, 0.9), "lr": 1}, may_change={"lr"})
    with pytest.raises(ConfigError, match=r"lr: the run to resume \(.*\) has 0.001, not 1"):
        check_config(state, {"betas": (0.5, 0.9), "lr": 1})
    with pytest.raises(ConfigError, match=r"more: the run to resume .* has None, not 2"):
        check_config(state, {"betas": (0.5, 0.9), "lr": 1e-3, "more": 2})
    save_state(tmp_path / "run.safetensors", modules={}, facts={})
    with pytest.raises(ModelFileError, match="holds no config"):
        check_config(load_state(tmp_path / "run.safetensors"), {})

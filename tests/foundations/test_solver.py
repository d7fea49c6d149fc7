"""The Solver: steps like torch's, best weights, checkpoints that go on as if nothing had happened."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from herder.errors import ModelFileError, ResourceError
from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.solver import Solver
from herder.foundations.two_layer_net import TwoLayerNet


class NormalisedModel:
    """A linear model of its own kind: running statistics, dropout with its own chance, samples of any shape."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"W": np.zeros((4, 3)), "scale": np.array(1.0)}
        self.bn_params: list[dict[str, Any]] = [{"mode": "train"}]
        self.dropout_param: dict[str, Any] = {"p": 0.8, "rng": np.random.default_rng(9)}

    def loss(self, X: Any, y: Any = None) -> Any:
        X = X.reshape(len(X), -1)
        (statistics,) = self.bn_params
        if y is None:
            return (X - statistics.get("running_mean", 0.0)) @ self.params["W"]
        mean = X.mean(axis=0)
        statistics["running_mean"] = 0.9 * statistics.get("running_mean", np.zeros(4)) + 0.1 * mean
        X = (X - mean) * (self.dropout_param["rng"].random(X.shape) < 0.8)
        scores = X @ self.params["W"]
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        rows = np.arange(len(X))
        loss = -np.log(p[rows, y]).mean()
        p[rows, y] -= 1
        return loss, {"W": X.T @ p / len(X), "scale": np.array(0.0)}


def clouds(n: int = 60) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    X = (np.eye(4)[y] * 2 + rng.standard_normal((n, 4))).reshape(n, 2, 2)
    return {"X_train": X[:45], "y_train": y[:45], "X_val": X[45:], "y_val": y[45:]}


def flat(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value.reshape(len(value), -1) if name.startswith("X") else value for name, value in data.items()}


def make(model: Any = None, **options: Any) -> Solver:
    settings = {"update_rule": "adam", "optim_config": {"learning_rate": 0.05}, "lr_decay": 0.9, "batch_size": 8}
    extra = {"num_epochs": 6, "num_train_samples": 20, "verbose": False, "seed": 5}
    return Solver(model or NormalisedModel(), clouds(), **{**settings, **extra, **options})


def assert_same(first: Solver, second: Solver) -> None:
    assert first.loss_history == second.loss_history
    assert first.train_acc_history == second.train_acc_history
    assert first.val_acc_history == second.val_acc_history
    assert first.best_val_acc == second.best_val_acc
    for params in (first.model.params, first.best_params):
        for name, value in params.items():
            np.testing.assert_array_equal(value, second.model.params[name])
    model, other = first.model, second.model
    if isinstance(model, NormalisedModel) and isinstance(other, NormalisedModel):
        np.testing.assert_array_equal(model.bn_params[0]["running_mean"], other.bn_params[0]["running_mean"])


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "rmsprop", "adam"])
def test_steps_like_torch(rule: str) -> None:
    """One training sample, so that every batch is known."""
    X, y = np.array([[1.0, -2.0, 0.5]]), np.array([1])
    net = TwoLayerNet(3, 6, 2, std=1.0, seed=0)
    params = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    optimizer = {
        "sgd": lambda: torch.optim.SGD(params.values(), lr=0.01),
        "sgd_momentum": lambda: torch.optim.SGD(params.values(), lr=0.01, momentum=0.9),
        "rmsprop": lambda: torch.optim.RMSprop(params.values(), lr=0.01),
        "adam": lambda: torch.optim.Adam(params.values(), lr=0.01),
    }[rule]()
    losses = []
    for _ in range(4):
        scores = F.relu(torch.tensor(X) @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]
        loss = F.cross_entropy(scores, torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    solver = Solver(net, data, update_rule=rule, optim_config={"learning_rate": 0.01}, num_epochs=4, verbose=False)
    for _ in range(4):
        solver._step()  # train() ends with the best weights, not the last
    np.testing.assert_allclose(solver.loss_history, losses, rtol=1e-10)
    for name, value in net.params.items():
        np.testing.assert_allclose(value, params[name].detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def test_what_training_leaves_behind() -> None:
    net = TwoLayerNet(4, 20, 3, std=0.1, seed=0)
    solver = Solver(net, flat(clouds()), optim_config={"learning_rate": 0.5}, batch_size=10, num_epochs=12,
                    lr_decay=0.5, verbose=False, seed=0)  # fmt: skip
    start = {name: value.copy() for name, value in net.params.items()}
    solver.train()
    assert len(solver.loss_history) == 12 * 4  # 45 samples in batches of 10
    assert len(solver.train_acc_history) == len(solver.val_acc_history) == 13  # after the first step, and each epoch
    assert solver.loss_history[-1] < 0.7 * solver.loss_history[0]
    assert solver.best_val_acc == max(solver.val_acc_history) > 0.7
    assert solver.check_accuracy(solver.X_val, solver.y_val) == solver.best_val_acc
    assert {config["learning_rate"] for config in solver.optim_configs.values()} == {0.5 * 0.5**12}
    assert any(not np.array_equal(start[name], net.params[name]) for name in start)
    np.testing.assert_array_equal(net.params["W1"], solver.best_params["W1"])


def test_each_parameter_has_its_own_state_and_the_given_config_stays() -> None:
    given_config = {"learning_rate": 0.05}
    solver = make(optim_config=given_config)
    solver.train()
    assert given_config == {"learning_rate": 0.05}
    assert solver.optim_configs["W"]["m"].shape == (4, 3)
    assert solver.optim_configs["scale"]["m"].shape == ()


def test_the_seed_decides() -> None:
    first, second, other = make(), make(), make(seed=6)
    for solver in (first, second, other):
        solver.train()
    assert_same(first, second)
    assert first.loss_history != other.loss_history


def test_check_accuracy_by_hand() -> None:
    net = TwoLayerNet(1, 1, 2)
    net.params.update(W1=np.ones((1, 1)), W2=np.array([[-1.0, 1.0]]), b2=np.array([0.5, -0.5]))  # class 1 above 0.5
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    solver = Solver(net, {"X_train": X, "y_train": y, "X_val": X, "y_val": y}, verbose=False)
    for batch_size in (1, 3, 4, 100, None):
        assert solver.check_accuracy(X, y, batch_size=batch_size) == 0.75
    assert {solver.check_accuracy(X, y, num_samples=1) for _ in range(40)} == {0.0, 1.0}
    assert solver.check_accuracy(X, y, num_samples=9) == 0.75


def test_verbose_talks(capsys: pytest.CaptureFixture[str]) -> None:
    make(num_epochs=2, print_every=3, verbose=True).train()
    lines = [line.split(")")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "(iteration 1 / 10", "(epoch 0 / 2", "(iteration 4 / 10", "(epoch 1 / 2",
        "(iteration 7 / 10", "(iteration 10 / 10", "(epoch 2 / 2",
    ]  # fmt: skip
    make(num_epochs=1).train()
    assert capsys.readouterr().out == ""


def test_no_epochs_and_a_batch_larger_than_the_set() -> None:
    solver = make(num_epochs=0)
    solver.train()
    assert solver.loss_history == []
    assert solver.best_params["W"].tolist() == np.zeros((4, 3)).tolist()
    solver = make(num_epochs=3, batch_size=500)
    solver.train()
    assert len(solver.loss_history) == 3


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_a_checkpoint_goes_on_as_if_never_stopped(stop_after: int, tmp_path: Path) -> None:
    whole = make()
    whole.train()
    make(num_epochs=stop_after, checkpoint_name=tmp_path / "run").train()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"run_epoch_{i + 1}.npz" for i in range(stop_after)]
    resumed = make(seed=77)
    resumed.load_checkpoint(tmp_path / f"run_epoch_{stop_after}.npz")
    assert resumed.epoch == stop_after
    resumed.train()
    assert_same(whole, resumed)


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
def test_deep_networks_go_on(normalization: str | None, tmp_path: Path) -> None:
    def net(seed: int) -> FullyConnectedNet:
        rng = np.random.default_rng(seed)
        return FullyConnectedNet([12, 8], 4, 3, 0.8, normalization, weight_scale=0.3, rng=rng)

    whole = make(net(0), checkpoint_name=tmp_path / "run")
    whole.train()
    resumed = make(net(1))
    resumed.load_checkpoint(tmp_path / "run_epoch_3.npz")
    resumed.train()
    assert_same(whole, resumed)
    np.testing.assert_array_equal(whole.model.loss(whole.X_val), resumed.model.loss(whole.X_val))


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "rmsprop"])
def test_every_rule_goes_on(rule: str, tmp_path: Path) -> None:
    whole = make(update_rule=rule, checkpoint_name=tmp_path / "run")
    whole.train()
    resumed = make(update_rule=rule)
    resumed.load_checkpoint(tmp_path / "run_epoch_2.npz")
    resumed.train()
    assert_same(whole, resumed)


class Interrupted(NormalisedModel):
    """Ctrl-C comes at a call of its own choice."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.calls, self.at = 0, at

    def loss(self, X: Any, y: Any = None) -> Any:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return super().loss(X, y)


@pytest.mark.parametrize("at", range(3, 22))
def test_after_an_interrupt_the_same_solver_goes_on(at: int, tmp_path: Path) -> None:
    solver = make(Interrupted(at), num_epochs=3, checkpoint_name=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    solver.train()
    assert len(solver.loss_history) == 15
    assert len(solver.train_acc_history) == len(solver.val_acc_history) == 4
    assert solver.optim_configs["W"]["learning_rate"] == pytest.approx(0.05 * 0.9**3)
    assert solver.optim_configs["W"]["t"] == 15
    assert len(list(tmp_path.iterdir())) == 3


def test_checkpoints_hold_no_pickle_and_full_disks_are_clear(tmp_path: Path) -> None:
    make(num_epochs=1, checkpoint_name=tmp_path / "deep" / "run").train()
    with np.load(tmp_path / "deep" / "run_epoch_1.npz", allow_pickle=False) as file:
        names = set(file.files)
        assert all(file[name].dtype.kind in "fU" for name in names)
    assert {"model/params/W", "model/running/0/running_mean", "best/params/W", "optim/W/m", "facts"} <= names
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"file/run_epoch_1\.npz: cannot be written"):
        make(num_epochs=1, checkpoint_name=str(tmp_path / "file" / "run")).train()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("solver")
    make(num_epochs=1, checkpoint_name=folder / "run").train()
    return folder / "run_epoch_1.npz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"update_rule": "sgd"}, "update_rule: found 'adam', wanted 'sgd'"),
        ({"batch_size": 9}, "batch_size: found 8, wanted 9"),
        ({"lr_decay": 1.0}, "lr_decay: found 0.9, wanted 1.0"),
        ({"num_train_samples": None}, "num_train_samples: found 20, wanted None"),
    ],
)
def test_a_checkpoint_of_other_settings(checkpoint: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=f"{checkpoint.name}: {message}"):
        make(**options).load_checkpoint(checkpoint)


def test_a_checkpoint_of_another_model(checkpoint: Path) -> None:
    model = NormalisedModel()
    model.params["W"] = np.zeros((4, 3), np.float32)
    with pytest.raises(ModelFileError, match=r"params: found .*float64 \(4, 3\).*, wanted .*float32 \(4, 3\)"):
        make(model).load_checkpoint(checkpoint)
    model = NormalisedModel()
    model.dropout_param = {"p": 1, "rng": np.random.default_rng(9)}
    with pytest.raises(ModelFileError, match="random numbers: found the state of batches, dropout, wanted batches"):
        make(model).load_checkpoint(checkpoint)


def rewritten(checkpoint: Path, path: Path, **changes: Any) -> Path:
    """The checkpoint with other facts."""
    with np.load(checkpoint) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["facts"] = np.array(json.dumps({**json.loads(str(arrays["facts"])), **changes}))
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2, wanted 1"),
        ({"generators": {"batches": {"bit_generator": "PCG64"}}}, "cannot be read"),
        ({"generators": 3}, "cannot be read"),
        ({"loss_history": ["much"]}, "cannot be read"),
        ({"epoch": None}, "cannot be read"),
        ({"settings": {}}, "update_rule: found None, wanted 'adam'"),
        ({"optim": {}}, "optimizer: found the state of , wanted W, scale"),
    ],
)
def test_facts_that_make_no_sense(checkpoint: Path, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    solver = make()
    with pytest.raises(ModelFileError, match=message):
        solver.load_checkpoint(rewritten(checkpoint, tmp_path / "other.npz", **changes))
    assert not solver.model.params["W"].any()  # nothing was restored by half


@given(st.data())
def test_a_file_cut_short_or_damaged(checkpoint: Path, data: st.DataObject) -> None:
    content = checkpoint.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    path = checkpoint.with_name("cut.npz")
    path.write_bytes(content[:cut])
    with pytest.raises(ModelFileError, match=r"cut.npz: cannot be read as a Solver's checkpoint"):
        make().load_checkpoint(path)


def test_files_that_are_something_else(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.npz: no such file"):
        make().load_checkpoint(tmp_path / "none.npz")
    with pytest.raises(ModelFileError, match="cannot be read"):
        make().load_checkpoint(tmp_path)
    path = tmp_path / "other"
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    empty = io.BytesIO()
    np.savez(empty)
    for content in (b"", b"hello", array.getvalue(), empty.getvalue(), pickle.dumps({"facts": 1})):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="other: cannot be read as a Solver's checkpoint"):
            make().load_checkpoint(path)


class Bomb:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('the pickle was run')",)


def test_a_pickle_inside_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "bomb.npz", facts=np.array([Bomb()], dtype=object))
    with pytest.raises(ModelFileError, match="allow_pickle=False"):
        make().load_checkpoint(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"learning_rate": 1, "epochs": 2},
            "Solver: found unknown argument 'learning_rate', 'epochs', wanted only upda",
        ),
        ({"update_rule": "adamw"}, "update_rule: found 'adamw', wanted 'sgd' or 'sgd_momentum' or 'rmsprop' or 'adam'"),
        ({"optim_config": {"lr": 1}}, "config: found unknown 'lr'"),
        ({"optim_config": {"learning_rate": -1}}, r"config\['learning_rate'\]: found -1"),
        ({"lr_decay": 0}, "lr_decay: found 0"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"num_epochs": 1.5}, "num_epochs: found 1.5"),
        ({"num_train_samples": 0}, "num_train_samples: found 0"),
        ({"num_val_samples": -1}, "num_val_samples: found -1"),
        ({"print_every": 0}, "print_every: found 0"),
    ],
)
def test_settings_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_train": np.zeros((0, 4))}, r"data\['X_train'\]: found shape \(0, 4\)"),
        ({"X_val": np.zeros((15, 5))}, r"X: found shape \(1, 5\), wanted \(N, 4\)"),
        ({"y_train": np.zeros(44, int)}, r"data\['y_train'\]: found shape \(44,\), wanted \(45,\)"),
        ({"y_val": np.full(15, 3)}, r"data\['y_val'\]: found labels from 3 to 3, wanted 0 to 2"),
        ({"y_val": np.zeros(15)}, r"data\['y_val'\]: found dtype float64"),
    ],
)
def test_data_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Solver(TwoLayerNet(4, 5, 3), flat(clouds()) | change)


def test_missing_data_and_gradients() -> None:
    data = clouds()
    del data["y_train"], data["X_val"]
    with pytest.raises(ValueError, match=r"^data: found no y_train, X_val, wanted X_train, y_train, X_val, y_val"):
        Solver(NormalisedModel(), data)
    model = NormalisedModel()
    model.params["extra"] = np.zeros(2)
    with pytest.raises(ValueError, match=r"^model.loss: found no gradient for extra"):
        make(model).train()
    with pytest.raises(ValueError, match=r"^num_samples: found 0"):
        make().check_accuracy(np.zeros((1, 4)), np.zeros(1, int), num_samples=0)
    with pytest.raises(ValueError, match=r"^y: found shape \(2,\), wanted \(1,\)"):
        make().check_accuracy(np.zeros((1, 4)), np.zeros(2, int))

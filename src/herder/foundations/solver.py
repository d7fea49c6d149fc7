"""The training loop: batches, an update rule, accuracy after every epoch, checkpoints, and the best weights at the end.

A *model* is anything with ``params``, a dict of arrays, and ``loss(X, y)``, which returns ``(loss, grads)`` with a
gradient for every entry of ``params``, or, without ``y``, the scores (N, C). ``TwoLayerNet``, ``FullyConnectedNet``
and ``ThreeLayerConvNet`` are models. *data* is a dict of ``X_train`` (N, d_1, ..., d_k), ``y_train`` (N,), ``X_val``,
``y_val``.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from herder.foundations.arguments import Array, check_batch, check_choice, check_labels, check_shape, check_whole
from herder.foundations.hyperparameters import check_real
from herder.foundations.optimizers import UPDATE_RULES, Config
from herder.foundations.solver_checkpoint import ModelState, SolverState, read_checkpoint, write_checkpoint

DATA_KEYS = ("X_train", "y_train", "X_val", "y_val")


class Model(Protocol):
    """What a Solver can train."""

    params: dict[str, Array]

    @overload
    def loss(self, X: Array) -> Any: ...
    @overload
    def loss(self, X: Array, y: Array) -> Any: ...
    def loss(self, X: Array, y: Array | None = None) -> Any:
        """Scores (N, C) without labels; with labels (N,), the loss and a dict of gradients like ``params``."""
        ...


class Solver:
    """Trains ``model`` on ``data`` with stochastic gradient descent; batches are drawn with replacement.

    An epoch is N // ``batch_size`` steps, at least one; ``lr_decay`` multiplies the learning rate after each. Accuracy
    is taken after the first step and after every epoch, on ``num_train_samples`` samples of the training set and
    ``num_val_samples`` of the validation set (None: all). ``optim_config`` holds settings of the ``update_rule``, such
    as {"learning_rate": 1e-2}. The same ``seed`` gives the same training again; None draws anew.

    After ``train``: ``loss_history`` (one loss a step), ``train_acc_history`` and ``val_acc_history``,
    ``best_val_acc`` and ``best_params``, which are also the model's.

    With ``checkpoint_name``, each epoch ends with a file ``{checkpoint_name}_epoch_{epoch}.npz``. A new Solver with
    the same settings that calls ``load_checkpoint`` and then ``train`` ends with the same result as one that was never
    stopped; the running statistics in a model's ``bn_params`` and the ``rng`` in its ``dropout_param`` are kept too.
    After Ctrl-C the same Solver may also simply ``train`` again: it goes on with the next step.

    Raises ValueError for unknown arguments and settings and for data that does not fit.

    >>> from herder.foundations.two_layer_net import TwoLayerNet
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> data = {"X_train": X, "y_train": np.array([0, 1, 1, 0]), "X_val": X, "y_val": np.array([0, 1, 1, 0])}
    >>> net = TwoLayerNet(input_size=2, hidden_size=16, output_size=2, std=0.5, seed=0)
    >>> solver = Solver(net, data, update_rule="adam", optim_config={"learning_rate": 0.05}, batch_size=4,
    ...                 num_epochs=60, verbose=False, seed=0)
    >>> solver.train()
    >>> len(solver.loss_history), solver.best_val_acc
    (60, 1.0)
    """

    def __init__(
        self,
        model: Model,
        data: Mapping[str, Array],
        *,
        update_rule: str = "sgd",
        optim_config: Mapping[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        checkpoint_name: str | os.PathLike[str] | None = None,
        print_every: int = 10,
        verbose: bool = True,
        seed: int | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise ValueError(
                f"Solver: found unknown argument {', '.join(map(repr, unknown))}, wanted only {_ARGUMENTS}"
            )
        missing = [key for key in DATA_KEYS if key not in data]
        if missing:
            raise ValueError(f"data: found no {', '.join(missing)}, wanted {', '.join(DATA_KEYS)}")
        check_choice("update_rule", update_rule, tuple(UPDATE_RULES))
        for name, count in (("num_train_samples", num_train_samples), ("num_val_samples", num_val_samples)):
            if count is not None:
                check_whole(name, count, 1)
        self.model = model
        self.X_train, self.y_train = _checked_samples(model, data, "train")
        self.X_val, self.y_val = _checked_samples(model, data, "val")
        self.update_rule = update_rule
        self.lr_decay = check_real("lr_decay", lr_decay, 0, open_low=True)
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.num_epochs = check_whole("num_epochs", num_epochs, 0)
        self.num_train_samples, self.num_val_samples = num_train_samples, num_val_samples
        self.checkpoint_name = checkpoint_name
        self.print_every = check_whole("print_every", print_every, 1)
        self.verbose = verbose

        self.epoch = 0
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.best_val_acc = 0.0
        self._best = ModelState.of(model)
        self._rng = np.random.default_rng(seed)
        # One config a parameter: each has its own velocity or moments. A try-out of the rule finds a wrong setting now.
        self.optim_configs: dict[str, Config] = {name: copy.deepcopy(dict(optim_config or {})) for name in model.params}
        for name, w in model.params.items():
            UPDATE_RULES[update_rule](w, np.zeros_like(w), copy.deepcopy(self.optim_configs[name]))

    @property
    def best_params(self) -> dict[str, Array]:
        """The weights with the best validation accuracy so far; those of the start before the first check."""
        return self._best.params

    def train(self) -> None:
        """Train until ``num_epochs`` epochs are done since the very start, and give the model its best weights."""
        iterations_per_epoch = max(len(self.X_train) // self.batch_size, 1)
        while self.epoch < self.num_epochs:
            end = (self.epoch + 1) * iterations_per_epoch
            if len(self.loss_history) < end:
                self._step()
                done = len(self.loss_history)
                if self.verbose and (done - 1) % self.print_every == 0:
                    total = self.num_epochs * iterations_per_epoch
                    print(f"(iteration {done} / {total}) loss: {self.loss_history[-1]:f}")
            if len(self.loss_history) == end:
                self._end_epoch()
            elif not self.val_acc_history:
                self._keep(*self._accuracies())
        self._best.give_to(self.model)

    def check_accuracy(self, X: Array, y: Array, num_samples: int | None = None, batch_size: int | None = 100) -> float:
        """The share, 0 to 1, of samples X (N, ...) whose highest score is at their label y (N,).

        ``num_samples`` takes that many of them by chance; scores are computed ``batch_size`` samples at a time, to
        bound memory (None: all at once).
        """
        X = check_batch("X", X)
        y = check_shape("y", y, len(X))
        if num_samples is not None and check_whole("num_samples", num_samples, 1) < len(X):
            chosen = self._rng.choice(len(X), num_samples, replace=False)  # (num_samples,)
            X, y = X[chosen], y[chosen]
        size = len(X) if batch_size is None else check_whole("batch_size", batch_size, 1)
        scores = [self.model.loss(X[start : start + size]) for start in range(0, len(X), size)]
        return float(np.mean(np.argmax(np.concatenate(scores), axis=1) == y))  # (N, C) -> (N,) -> one number

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Go back to where a checkpoint was written; ``train`` then goes on from there.

        Raises ModelFileError, a HerderError, when the file is missing, damaged or from a model or settings unlike
        these.
        """
        state = read_checkpoint(Path(path), like=self._state())
        state.model.give_to(self.model)
        self._best = state.best
        self.optim_configs = state.optim_configs
        self.loss_history = state.loss_history
        self.train_acc_history, self.val_acc_history = state.train_acc_history, state.val_acc_history
        self.epoch, self.best_val_acc = state.epoch, state.best_val_acc
        for name, generator in self._generators().items():
            generator.bit_generator.state = state.generators[name]

    def _step(self) -> None:
        """One step on one batch. The model changes only at the end, so that Ctrl-C seldom finds a step half done."""
        batch = self._rng.integers(len(self.X_train), size=self.batch_size)  # (B,)
        loss, grads = self.model.loss(self.X_train[batch], self.y_train[batch])
        missing = [name for name in self.model.params if name not in grads]
        if missing:
            raise ValueError(f"model.loss: found no gradient for {', '.join(missing)}, wanted one for each of params")
        rule, following = UPDATE_RULES[self.update_rule], {}
        for name, w in self.model.params.items():
            following[name], self.optim_configs[name] = rule(w, grads[name], self.optim_configs[name])
        self.model.params.update(following)
        self.loss_history.append(float(loss))

    def _end_epoch(self) -> None:
        # What takes long comes first: a Ctrl-C there leaves the epoch open, and the next `train` ends it again.
        accuracies = self._accuracies()
        self.epoch += 1
        for config in self.optim_configs.values():
            config["learning_rate"] *= self.lr_decay
        self._keep(*accuracies)
        if self.checkpoint_name is not None:
            write_checkpoint(Path(f"{os.fspath(self.checkpoint_name)}_epoch_{self.epoch}.npz"), self._state())

    def _accuracies(self) -> tuple[float, float]:
        train_acc = self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
        return train_acc, self.check_accuracy(self.X_val, self.y_val, self.num_val_samples)

    def _keep(self, train_acc: float, val_acc: float) -> None:
        self.train_acc_history.append(train_acc)
        self.val_acc_history.append(val_acc)
        if val_acc > self.best_val_acc:
            self.best_val_acc, self._best = val_acc, ModelState.of(self.model)
        if self.verbose:
            print(f"(epoch {self.epoch} / {self.num_epochs}) train acc: {train_acc:f}; val acc: {val_acc:f}")

    def _generators(self) -> dict[str, np.random.Generator]:
        """Where chance comes from: the batches, and the masks of a model with dropout."""
        dropout_param = getattr(self.model, "dropout_param", {})
        drawn = dropout_param.get("p", 1) < 1 and "rng" in dropout_param
        return {"batches": self._rng} | ({"dropout": dropout_param["rng"]} if drawn else {})

    def _state(self) -> SolverState:
        """All that decides how training goes on; ``settings`` must be the same where it does."""
        return SolverState(
            settings={
                "update_rule": self.update_rule,
                "lr_decay": self.lr_decay,
                "batch_size": self.batch_size,
                "num_train": len(self.X_train),
                "num_train_samples": self.num_train_samples,
                "num_val_samples": self.num_val_samples,
            },
            model=ModelState.of(self.model),
            best=self._best,
            optim_configs=self.optim_configs,
            loss_history=self.loss_history,
            train_acc_history=self.train_acc_history,
            val_acc_history=self.val_acc_history,
            epoch=self.epoch,
            best_val_acc=self.best_val_acc,
            generators={name: dict(g.bit_generator.state) for name, g in self._generators().items()},
        )


_ARGUMENTS = ", ".join(name for name in Solver.__init__.__kwdefaults__ or ())


def _checked_samples(model: Model, data: Mapping[str, Array], split: str) -> tuple[Array, Array]:
    X = check_batch(f"data['X_{split}']", data[f"X_{split}"])
    num_classes = np.shape(model.loss(X[:1]))[1]  # the model says how many, and whether the samples fit it
    return X, check_labels(f"data['y_{split}']", data[f"y_{split}"], len(X), num_classes)

"""Cells as they stand in notebooks of the course, with its own imports, in a Python of their own."""

import subprocess
import sys

import numpy as np
import pytest

from herder.foundations.course import TwoLayerNet
from herder.foundations.gradient_check import eval_numerical_gradient, rel_error

CELLS = """
import numpy as np
from herder.foundations.course import as_cs231n
as_cs231n()
from cs231n.classifiers import KNearestNeighbor, LinearSVM, Softmax
from cs231n.classifiers.k_nearest_neighbor import KNearestNeighbor as same
from cs231n.classifiers.linear_svm import svm_loss_naive, svm_loss_vectorized
from cs231n.classifiers.softmax import softmax_loss_naive, softmax_loss_vectorized
from cs231n.classifiers.neural_net import TwoLayerNet as OldNet
from cs231n.classifiers.cnn import *
from cs231n.classifiers.fc_net import *
from cs231n.data_utils import get_CIFAR10_data, load_CIFAR10
from cs231n.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, grad_check_sparse
from cs231n.layers import *
from cs231n.fast_layers import *
from cs231n.layer_utils import *
from cs231n.optim import sgd_momentum, rmsprop, adam
from cs231n.solver import Solver
import cs231n.classifiers

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 3, 8, 8))
y = X[:, 0].mean((1, 2)) > 0
data = {"X_train": X[:50], "y_train": y[:50].astype(int), "X_val": X[50:], "y_val": y[50:].astype(int)}

classifier = KNearestNeighbor()
classifier.train(X[:50].reshape(50, -1), data["y_train"])
dists = classifier.compute_distances_two_loops(X[50:].reshape(10, -1))
assert np.linalg.norm(dists - classifier.compute_distances_no_loops(X[50:].reshape(10, -1)), ord="fro") < 1e-3

svm = LinearSVM()
svm.train(X.reshape(60, -1), y.astype(int), learning_rate=1e-3, reg=1e-3, num_iters=50, verbose=False)
assert svm.predict(X.reshape(60, -1)).shape == (60,)

conv_param, pool_param = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
w, b = rng.standard_normal((3, 3, 3, 3)), rng.standard_normal(3)
dout = rng.standard_normal((2, 3, 4, 4))
out, cache = conv_relu_pool_forward(X[:2], w, b, conv_param, pool_param)
dx, dw, db = conv_relu_pool_backward(dout, cache)
dw_num = eval_numerical_gradient_array(
    lambda w: conv_relu_pool_forward(X[:2], w, b, conv_param, pool_param)[0], w, dout)
assert np.max(np.abs(dw - dw_num) / np.maximum(1e-8, np.abs(dw) + np.abs(dw_num))) < 1e-6

model = ThreeLayerConvNet(input_dim=(3, 8, 8), num_filters=4, filter_size=3, hidden_dim=10, num_classes=2,
                          weight_scale=1e-1)
solver = Solver(model, data, num_epochs=2, batch_size=10, update_rule="adam",
                optim_config={"learning_rate": 1e-3}, verbose=True, print_every=1)
solver.train()
assert len(solver.loss_history) == 10 and len(solver.train_acc_history) == 3

model = TwoLayerNet(input_dim=192, hidden_dim=8, num_classes=2)
solver = Solver(model, data, update_rule="sgd", optim_config={"learning_rate": 1e-3}, lr_decay=0.95, num_epochs=1,
                batch_size=10, verbose=False)
solver.train()
net = OldNet(192, 8, 2, std=1e-1)
stats = net.train(X.reshape(60, -1), y.astype(int), X.reshape(60, -1), y.astype(int), learning_rate=1e-1, reg=5e-6,
                  num_iters=100, verbose=False)
assert stats["loss_history"][-1] < stats["loss_history"][0]
print("done")
"""


def test_cells_of_the_notebooks_run() -> None:
    found = subprocess.run([sys.executable, "-W", "error", "-c", CELLS], capture_output=True, text=True, check=False)
    assert found.stdout.endswith("done\n"), found.stderr


def test_the_course_itself_is_not_pushed_aside() -> None:
    code = (
        "import sys, types; sys.modules['cs231n'] = there = types.ModuleType('cs231n'); there.__file__ = 'x.py'\n"
        "from herder.foundations.course import as_cs231n; as_cs231n()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ValueError: cs231n: found x.py imported already, wanted a fresh Python" in found.stderr


@pytest.mark.parametrize("reg", [0.0, 0.7])
def test_the_newer_two_layer_net_has_right_gradients(reg: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3, 5)), np.array([0, 5, 1])
    model = TwoLayerNet(input_dim=5, hidden_dim=6, num_classes=7, weight_scale=0.5)
    model.reg = reg
    _, grads = model.loss(X, y)
    for name, grad in grads.items():
        numeric = eval_numerical_gradient(lambda _: model.loss(X, y)[0], model.params[name])
        assert rel_error(grad, numeric) < 1e-6

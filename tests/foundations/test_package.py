"""The public surface of herder.foundations."""

import subprocess
import sys

import pytest

import herder.foundations

COURSE = [
    "KNearestNeighbor",
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "svm_loss_naive",
    "svm_loss_vectorized",
    "LinearClassifier",
    "LinearSVM",
    "Softmax",
    "TwoLayerNet",
    "FullyConnectedNet",
    "softmax_loss",
    "svm_loss",
    "affine_forward",
    "affine_backward",
    "relu_forward",
    "relu_backward",
    "affine_relu_forward",
    "affine_relu_backward",
    "batchnorm_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "layernorm_forward",
    "layernorm_backward",
    "spatial_batchnorm_forward",
    "spatial_batchnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_groupnorm_backward",
    "dropout_forward",
    "dropout_backward",
    "conv_forward_naive",
    "conv_backward_naive",
    "conv_forward_fast",
    "conv_backward_fast",
    "conv_relu_forward",
    "conv_relu_backward",
    "conv_relu_pool_forward",
    "conv_relu_pool_backward",
    "max_pool_forward_naive",
    "max_pool_backward_naive",
    "max_pool_forward_fast",
    "max_pool_backward_fast",
    "ThreeLayerConvNet",
    "sgd",
    "sgd_momentum",
    "rmsprop",
    "adam",
    "Solver",
    "eval_numerical_gradient",
    "eval_numerical_gradient_array",
    "grad_check_sparse",
    "rel_error",
    "load_CIFAR10",
    "get_CIFAR10_data",
]


@pytest.mark.parametrize("name", COURSE)
def test_a_name_of_the_course_is_there(name: str) -> None:
    assert name in herder.foundations.__all__
    assert getattr(herder.foundations, name).__doc__


def test_it_needs_nothing_but_numpy() -> None:
    code = "import sys, herder.foundations; print([m for m in ('torch', 'scipy', 'cv2', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""The course from first principles, in NumPy alone: small files to read, each checked against an independent source.

Names and signatures are those of Stanford's CS231n assignments (https://cs231n.github.io), so that its notebooks run
against this package; the code is herder's own. Read in this order: ``nearest_neighbors`` and ``distances``,
``linear_losses`` and ``linear_classifiers``, ``layers`` with ``gradient_check``, ``two_layer_net``, ``optimizers`` and
``solver``, ``normalization``, ``dropout``, ``convolution`` before ``fast_convolution``, ``pooling``,
``fully_connected`` and ``conv_net``. ``herder learn`` runs them.

What does not fit (a shape, a dtype, a label, a mode) is a ValueError that names the argument, what was found, and what
is wanted.
"""

from herder.foundations.cifar import get_CIFAR10_data, load_CIFAR10, load_CIFAR_batch
from herder.foundations.conv_net import ThreeLayerConvNet
from herder.foundations.convolution import conv_backward_naive, conv_forward_naive
from herder.foundations.distances import pairwise_distances
from herder.foundations.dropout import dropout_backward, dropout_forward
from herder.foundations.fast_convolution import conv_backward_fast, conv_forward_fast
from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.gradient_check import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    grad_check_sparse,
    rel_error,
)
from herder.foundations.layer_sandwiches import (
    affine_norm_relu_backward,
    affine_norm_relu_forward,
    affine_relu_backward,
    affine_relu_forward,
    conv_bn_relu_backward,
    conv_bn_relu_forward,
    conv_relu_backward,
    conv_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from herder.foundations.layers import (
    affine_backward,
    affine_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)
from herder.foundations.linear_classifiers import LinearClassifier, LinearSVM, Softmax
from herder.foundations.linear_losses import (
    softmax_loss_naive,
    softmax_loss_vectorized,
    svm_loss_naive,
    svm_loss_vectorized,
)
from herder.foundations.nearest_neighbors import KNearestNeighbor, best_k, cross_validate_k
from herder.foundations.normalization import (
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    layernorm_backward,
    layernorm_forward,
)
from herder.foundations.optimizers import adam, rmsprop, sgd, sgd_momentum
from herder.foundations.pooling import (
    max_pool_backward_fast,
    max_pool_backward_naive,
    max_pool_forward_fast,
    max_pool_forward_naive,
)
from herder.foundations.solver import Solver
from herder.foundations.spatial_normalization import (
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
)
from herder.foundations.two_layer_net import TwoLayerNet

__all__ = [
    "FullyConnectedNet",
    "KNearestNeighbor",
    "LinearClassifier",
    "LinearSVM",
    "Softmax",
    "Solver",
    "ThreeLayerConvNet",
    "TwoLayerNet",
    "adam",
    "affine_backward",
    "affine_forward",
    "affine_norm_relu_backward",
    "affine_norm_relu_forward",
    "affine_relu_backward",
    "affine_relu_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "best_k",
    "conv_backward_fast",
    "conv_backward_naive",
    "conv_bn_relu_backward",
    "conv_bn_relu_forward",
    "conv_forward_fast",
    "conv_forward_naive",
    "conv_relu_backward",
    "conv_relu_forward",
    "conv_relu_pool_backward",
    "conv_relu_pool_forward",
    "cross_validate_k",
    "dropout_backward",
    "dropout_forward",
    "eval_numerical_gradient",
    "eval_numerical_gradient_array",
    "get_CIFAR10_data",
    "grad_check_sparse",
    "layernorm_backward",
    "layernorm_forward",
    "load_CIFAR10",
    "load_CIFAR_batch",
    "max_pool_backward_fast",
    "max_pool_backward_naive",
    "max_pool_forward_fast",
    "max_pool_forward_naive",
    "pairwise_distances",
    "rel_error",
    "relu_backward",
    "relu_forward",
    "rmsprop",
    "sgd",
    "sgd_momentum",
    "softmax_loss",
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "spatial_batchnorm_backward",
    "spatial_batchnorm_forward",
    "spatial_groupnorm_backward",
    "spatial_groupnorm_forward",
    "svm_loss",
    "svm_loss_naive",
    "svm_loss_vectorized",
]

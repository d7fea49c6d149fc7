"""k-NN beside scikit-learn, fast convolution beside naive and torch, and the gradient of every layer.

python benchmarks/foundations.py --out benchmarks/results/foundations.json

Times are medians of several runs, taken in turn in one process; the slow loops run once. Let the machine be quiet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import KNeighborsClassifier

from foundations_gradients import gradient_checks
from herder.foundations.convolution import conv_backward_naive, conv_forward_naive
from herder.foundations.fast_convolution import conv_backward_fast, conv_forward_fast
from herder.foundations.nearest_neighbors import KNearestNeighbor
from herder.foundations.normalization import batchnorm_backward, batchnorm_backward_alt, batchnorm_forward

CONSOLE = Console(highlight=False)
K = 5


def seconds(functions: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Median seconds of each function, all run in turn ``runs`` times after one run that does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(runs + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def once(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and its seconds."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def nearest_neighbors(kind: str) -> dict[str, Any]:
    """500 test and 5,000 training rows of 3,072 values: normal ones, or whole numbers as pixels have."""
    rng = np.random.default_rng(0)
    train, test = (
        rng.standard_normal((n, 3072)) if kind == "normal" else rng.integers(0, 256, (n, 3072)).astype(np.float64)
        for n in (5000, 500)
    )
    y = rng.integers(0, 10, 5000)
    knn = KNearestNeighbor()
    knn.train(train, y)
    library = KNeighborsClassifier(K, algorithm="brute").fit(train, y)
    fast = seconds(
        {
            "no loops": lambda: knn.compute_distances_no_loops(test),
            "no loops, with the vote": lambda: knn.predict(test, k=K),
            "scikit-learn, brute force, with the vote": lambda: library.predict(test),
        },
        9,
    )
    two, two_s = once(lambda: knn.compute_distances_two_loops(test))
    one, one_s = once(lambda: knn.compute_distances_one_loop(test))
    none = knn.compute_distances_no_loops(test)
    return {
        "values": kind,
        "seconds": {"two loops": two_s, "one loop": one_s, **fast},
        "two_loops_over_none": two_s / fast["no loops"],
        "ours_over_scikit_learn": fast["no loops, with the vote"] / fast["scikit-learn, brute force, with the vote"],
        "one_loop_error": float(np.abs(one / two - 1).max()),
        "no_loops_error": float(np.abs(none / two - 1).max()),
        "same_labels_as_scikit_learn": bool((knn.predict(test, k=K) == library.predict(test)).all()),
    }


def memory() -> dict[str, float]:
    """What distances between 20,000 and 5,000 rows of 64 values need besides the answer, and what one step would."""
    rng = np.random.default_rng(0)
    knn = KNearestNeighbor()
    knn.train(rng.standard_normal((5000, 64)), np.zeros(5000, int))
    test = rng.standard_normal((20_000, 64))
    tracemalloc.start()
    answer = knn.compute_distances_no_loops(test)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"answer_mb": answer.nbytes / 1e6, "besides_mb": (peak - answer.nbytes) / 1e6}


def convolution(dtype: str) -> dict[str, Any]:
    """Images (32, 3, 32, 32), 16 filters of 7 x 7, stride 1, pad 3."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((32, 3, 32, 32), (16, 3, 7, 7), (16,)))
    param = {"stride": 1, "pad": 3}
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, w, b)]
    with_graph = torch.nn.functional.conv2d(*tensors, padding=3)
    dout = rng.standard_normal(with_graph.shape).astype(dtype)
    upstream = torch.from_numpy(dout)
    out, cache = conv_forward_fast(x, w, b, param)

    def torch_forward() -> Any:
        with torch.no_grad():
            return torch.nn.functional.conv2d(*tensors, padding=3)

    fast = seconds(
        {
            "forward, fast": lambda: conv_forward_fast(x, w, b, param),
            "forward, torch": torch_forward,
            "backward, fast": lambda: conv_backward_fast(dout, cache),
            "backward, torch": lambda: torch.autograd.grad(with_graph, tensors, upstream, retain_graph=True),
        },
        50,
    )
    (naive, naive_cache), forward_s = once(lambda: conv_forward_naive(x, w, b, param))
    gradients, backward_s = once(lambda: conv_backward_naive(dout, naive_cache))
    ours = conv_backward_fast(dout, cache)
    result: dict[str, Any] = {
        "dtype": dtype,
        "seconds": {"forward, naive": forward_s, "backward, naive": backward_s, **fast},
        "error": max(
            float(np.abs(a - c).max() / np.abs(c).max()) for a, c in zip((out, *ours), (naive, *gradients), strict=True)
        ),
    }
    for way, slow in (("forward", forward_s), ("backward", backward_s)):
        result[f"{way}_naive_over_fast"] = slow / fast[f"{way}, fast"]
        result[f"{way}_fast_over_torch"] = fast[f"{way}, fast"] / fast[f"{way}, torch"]
    return result


def batchnorm() -> dict[str, float]:
    """Both ways back through batch norm of (500, 400): seconds, and their ratio."""
    rng = np.random.default_rng(0)
    x, dout, gamma = rng.standard_normal((500, 400)), rng.standard_normal((500, 400)), np.ones(400)
    _, cache = batchnorm_forward(x, gamma, gamma, {"mode": "train"})
    times = seconds(
        {
            "step by step": lambda: batchnorm_backward(dout, cache),
            "simplified": lambda: batchnorm_backward_alt(dout, cache),
        },
        100,
    )
    return {**times, "ratio": times["step by step"] / times["simplified"]}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    for r in result["nearest_neighbors"]:
        table = Table("500 x 5,000 rows of 3,072 values", f"{r['values']}, seconds", "two loops / this")
        for name, value in r["seconds"].items():
            table.add_row(name, f"{value:.4f}", f"{r['seconds']['two loops'] / value:.1f}")
        CONSOLE.print(table)
        CONSOLE.print(
            f"two loops / none: {r['two_loops_over_none']:.0f} (wanted: at least 150); "
            f"ours / scikit-learn: {r['ours_over_scikit_learn']:.2f} (wanted: at most 1); "
            f"largest relative error of a distance: {r['no_loops_error']:.1e} (wanted: at most 1e-6)"
        )
    m = result["memory"]
    CONSOLE.print(f"memory besides the answer of {m['answer_mb']:.0f} MB: {m['besides_mb']:.0f} MB")
    for r in result["convolution"]:
        table = Table("(32, 3, 32, 32), 16 filters of 7 x 7", f"{r['dtype']}, milliseconds")
        for name, value in r["seconds"].items():
            table.add_row(name, f"{1000 * value:.2f}")
        CONSOLE.print(table)
        for way in ("forward", "backward"):
            CONSOLE.print(
                f"{way}: naive / fast {r[f'{way}_naive_over_fast']:.0f} (wanted: at least 100), "
                f"fast / torch {r[f'{way}_fast_over_torch']:.2f} (wanted: at most 4)"
            )
    CONSOLE.print(f"batch norm backward, step by step / simplified: {result['batchnorm']['ratio']:.1f}")
    table = Table("Gradient, float64", "against the numeric one", "against autograd")
    for name, (numeric, autograd) in result["gradients"].items():
        table.add_row(name, f"{numeric:.1e}", f"{autograd:.1e}")
    CONSOLE.print(table)
    worst = max(numeric for numeric, _ in result["gradients"].values())
    CONSOLE.print(f"largest relative error: {worst:.1e} (wanted: at most 1e-7)")


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = {
        "threads": torch.get_num_threads(),
        "nearest_neighbors": [nearest_neighbors(kind) for kind in ("normal", "pixels")],
        "memory": memory(),
        "convolution": [convolution(dtype) for dtype in ("float64", "float32")],
        "batchnorm": batchnorm(),
        "gradients": gradient_checks(),
    }
    show(result)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

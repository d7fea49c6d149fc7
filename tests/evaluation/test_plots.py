from __future__ import annotations

import io
import math
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from herder.errors import MissingExtraError
from herder.evaluation.error_analysis import ConfusionMatrix
from herder.evaluation.operating_point import Curve
from herder.evaluation.plots import (
    PictureFormat,
    confusion_plot,
    f1_plot,
    precision_recall_plot,
    training_curves,
)

ROWS = [
    {"epoch": f"{i}", "box": f"{3 / i}", "val_loss": "1", "mAP50": str(1 - 1 / i), "lr_head": "1e-3"}
    for i in range(1, 6)
]
EMPTY = Curve.of(np.zeros(0), np.zeros(0, bool), truths=0)


def curve(n: int = 2000) -> Curve:
    rng = np.random.default_rng(0)
    return Curve.of(rng.random(n), rng.random(n) < 0.5, truths=n)


def words(svg: bytes) -> str:
    """What a plot says: matplotlib writes each text as a comment beside its glyphs."""
    assert svg.startswith(b"<?xml")
    ElementTree.fromstring(svg)
    return svg.decode()


def test_training_curves_show_what_was_logged() -> None:
    text = words(training_curves(ROWS))
    for label in ("box", "val_loss", "mAP50", "lr_head", "epoch", "learning rate"):
        assert f"<!-- {label} -->" in text


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"epoch": 1}],
        [{"box_loss": 1.0}],
        [{"epoch": "", "box_loss": ""}],
        [{"epoch": 1, "box_loss": math.nan}, {"epoch": 2, "mAP50": None}],
    ],
)
def test_training_curves_of_little(rows: list[dict[str, object]]) -> None:
    words(training_curves(rows))


def test_curves_and_their_best_point() -> None:
    one = Curve.of(np.array([0.9, 0.4]), np.array([True, False]), truths=2)
    assert "best F1 0.67" in words(precision_recall_plot(one))
    assert "0.67 at 0.90" in words(f1_plot(one))
    for plot in (precision_recall_plot, f1_plot):
        words(plot(EMPTY))
        text = words(plot(curve(), [curve(), EMPTY, curve(5)], ["alpaca", "never seen", "llama"]))
        assert "alpaca" in text
        assert "never seen" not in text
        assert len(text) < 200_000


@pytest.mark.parametrize("classes", [1, 3, 40])
def test_confusion_plot(classes: int) -> None:
    counts = np.arange((classes + 1) ** 2).reshape(classes + 1, -1)
    text = words(confusion_plot(ConfusionMatrix(counts, tuple(f"class {i}" for i in range(classes)))))
    assert "class 0" in text
    assert "background" in text
    assert ("<!-- 1 -->" in text) == (classes < 16)


def test_a_class_name_is_text_not_a_formula() -> None:
    text = words(confusion_plot(ConfusionMatrix(np.eye(2, dtype=np.int64), ("$\\frac{",))))
    assert "$\\frac{" in text


def test_png_and_repeatability() -> None:
    with Image.open(io.BytesIO(training_curves(ROWS, PictureFormat.PNG))) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
    assert training_curves(ROWS) == training_curves(ROWS)


def test_pyplot_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would raise now
    words(f1_plot(curve()))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"herder\[train\]"):
        f1_plot(EMPTY)

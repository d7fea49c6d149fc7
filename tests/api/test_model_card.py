"""The facts in a model card, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from herder.api.model_card import BEGIN, END, card_problem, with_facts
from herder.catalogue import ShippedFile, ShippedModel
from herder.errors import ModelFileError

MODEL = ShippedModel(
    "lama", "1.0", ("lama", "a|b"), "Apache-2.0", "drawn", "lama.md", (ShippedFile("onnx", "lama.onnx", 1234567, "ab"),)
)


def test_an_empty_card_gets_a_heading_and_the_facts() -> None:
    card = with_facts("", MODEL)
    assert card.startswith("# lama\n\n" + BEGIN)
    assert "| lama.onnx | onnx | 1,234,567 | `ab` |" in card
    assert r"| Classes | lama, a\|b |" in card
    assert card_problem(card, MODEL) == ""


def test_prose_stays_and_old_facts_go() -> None:
    card = with_facts("# My lama\n\nIt finds lamas.\n", MODEL)
    newer = with_facts(card, replace(MODEL, version="1.1"))
    assert newer.startswith("# My lama\n")
    assert newer.rstrip().endswith("It finds lamas.")
    assert newer.count(BEGIN) == newer.count(END) == 1
    assert "| Version | 1.1 |" in newer
    assert "| Version | 1.0 |" not in newer
    assert with_facts(newer, replace(MODEL, version="1.1")) == newer, "nothing new, nothing changed"


def test_a_card_that_says_something_else_is_told_apart() -> None:
    card = with_facts("", MODEL)
    assert card_problem("# lama\n", MODEL) == "has no block of facts"
    wrong = card_problem(card.replace("1,234,567", "1,234,568"), MODEL)
    assert "1,234,568" in wrong
    assert "1,234,567" in wrong
    assert card_problem(card.replace(END, f"| a | b |\n{END}"), MODEL).startswith("says '| a | b |'")


@pytest.mark.parametrize("card", [BEGIN, END, f"{BEGIN}{END}{BEGIN}{END}"])
def test_torn_marks_are_refused(card: str) -> None:
    with pytest.raises(ModelFileError, match=r"lama\.md: wanted one block"):
        with_facts(card, MODEL)

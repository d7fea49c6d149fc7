from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from herder.lessons import gan
from herder.lessons.gan_trainings import MISTAKES
from herder.lessons.lesson import LessonResult, LessonSettings
from herder.lessons.one_thread import one_thread

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

MOMENTS = (4, 8, 12)

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def quick() -> LessonResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan, "QUICK_MOMENTS", MOMENTS)
        patch.setattr(gan, "QUICK_MISTAKEN_STEPS", MOMENTS[1])
        patch.setattr(gan, "QUICK_JUDGE_STEPS", 20)
        return gan.run(LessonSettings(quick=True))


def test_shows_two_figures_and_three_tables(quick: LessonResult) -> None:
    assert list(quick.figures) == ["gan", "gan-mistakes"]
    assert all(figure.startswith(PNG) for figure in quick.figures.values())
    progress, shares, wrong = quick.tables
    assert [row[0] for row in progress.rows] == list(MOMENTS)
    assert [row[0] for row in shares.rows] == list("0123456789")
    assert [row[0] for row in wrong.rows] == ["as it should be", *(mistake.name for mistake in MISTAKES)]


def test_shares_are_shares_of_all_samples_and_of_the_digits_of_scikit_learn(quick: LessonResult) -> None:
    from sklearn.datasets import load_digits

    rows = quick.tables[1].rows
    assert sum(float(row[1]) for row in rows) == pytest.approx(1)
    counts = np.bincount(load_digits().target)
    assert [float(row[2]) for row in rows] == pytest.approx((counts / counts.sum()).tolist())


def test_beliefs_are_probabilities(quick: LessonResult) -> None:
    beliefs = [float(cell) for table in (quick.tables[0], quick.tables[2]) for row in table.rows for cell in row[3:5]]
    assert all(0 <= belief <= 1 for belief in beliefs)


def test_the_healthy_training_stands_in_both_tables_with_the_same_numbers(quick: LessonResult) -> None:
    progress, _, wrong = quick.tables
    at = {row[0]: row[1:] for row in progress.rows}[MOMENTS[1]]
    assert wrong.rows[0][1:] == at


def test_sentences_are_sentences(quick: LessonResult) -> None:
    for sentence in quick.sentences:
        assert sentence.endswith(".")
        assert re.search(r"\d", sentence)
        assert "nan" not in sentence


def test_says_what_it_does() -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        gan.run(LessonSettings(quick=True, say=lambda text: _stop_at(text, said)))
    assert said == ["a classifier, to judge the samples"]


def test_one_thread_gives_the_threads_back() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_draws_all_ten_digits_and_the_mistakes_show() -> None:
    result = gan.run(LessonSettings())
    progress, _, wrong = result.tables
    assert progress.rows[-1][2] == 10
    assert float(progress.rows[-1][1]) < float(progress.rows[0][1]) / 10
    healthy, *mistaken = wrong.rows
    assert all(float(row[1]) > 3 * float(healthy[1]) for row in mistaken)


def _stop_at(text: str, said: list[str]) -> None:
    said.append(text)
    raise KeyboardInterrupt

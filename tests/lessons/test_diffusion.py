from __future__ import annotations

import re

import pytest
import torch

from herder.generative.noise_schedule import NoiseSchedule
from herder.generative.pictures import Pictures
from herder.generative.quality import FeatureClassifier, Judge
from herder.lessons import diffusion
from herder.lessons.diffusion_samples import Scale
from herder.lessons.lesson import LessonResult, LessonSettings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def runs() -> tuple[LessonResult, LessonResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "QUICK_STEPS", 5)
        patch.setattr(diffusion, "QUICK_JUDGE_STEPS", 20)
        patch.setattr(diffusion, "QUICK_SAMPLES", 20)
        return diffusion.run(LessonSettings(quick=True)), diffusion.run(LessonSettings(quick=True))


@pytest.fixture(scope="module")
def quick(runs: tuple[LessonResult, LessonResult]) -> LessonResult:
    return runs[0]


def test_shows_two_figures_and_three_tables(quick: LessonResult) -> None:
    assert list(quick.figures) == ["diffusion", "diffusion-numbers"]
    assert all(figure.startswith(PNG) for figure in quick.figures.values())
    guidance, walks, schedules = quick.tables
    assert [row[0] for row in guidance.rows] == list(diffusion.GUIDANCE)
    wanted = [("DDPM", diffusion.QUICK_TIMESTEPS), *(("DDIM", steps) for steps in diffusion.QUICK_SHORT_WALKS)]
    assert [row[:2] for row in walks.rows] == wanted
    assert [row[0] for row in schedules.rows] == ["linear", "cosine", "sigmoid"]
    assert [table.timing for table in quick.tables] == [False, True, False]


def test_the_same_seed_gives_the_same_numbers_and_pictures(runs: tuple[LessonResult, LessonResult]) -> None:
    one, other = runs
    assert one.tables[0] == other.tables[0]
    assert one.tables[2] == other.tables[2]
    assert one.figures["diffusion"] == other.figures["diffusion"]  # the other figure holds times of the clock


def test_schedules_are_those_of_the_papers(quick: LessonResult) -> None:
    halfway = {row[0]: float(row[1]) for row in quick.tables[2].rows}
    assert halfway["sigmoid"] == pytest.approx(0.5)  # symmetric about its middle
    assert halfway["linear"] < 0.1 < halfway["cosine"] < 0.5  # cosine: cos^2 of a little more than 45 degrees


def test_sentences_are_sentences(quick: LessonResult) -> None:
    for sentence in quick.sentences:
        assert sentence.endswith(".")
        assert re.search(r"\d", sentence)
        assert "nan" not in sentence


def test_a_noised_digit_starts_clean_and_ends_as_the_noise() -> None:
    picture = torch.full((1, 8, 8), 0.5)
    times, noised = diffusion.noised_digit(picture, NoiseSchedule.of("cosine", 100), seed=3)
    assert times[0] == 0
    assert times[-1] == 100
    assert torch.equal(noised[0], picture)
    noise = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(noised[-1], noise, atol=0.02)
    from_noise = [float((each - noise).square().mean()) for each in noised]
    assert from_noise == sorted(from_noise, reverse=True)


def test_a_scale_asks_for_digits_as_often_as_they_are_real() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 90 + [1] * 30)
    pictures = Pictures(torch.rand(120, 1, 8, 8, generator=generator) * 2 - 1, labels, ("a", "b"))
    judge = Judge(FeatureClassifier(1, 2).eval(), "2 classes", 1.0, knows_classes=True)
    scale = Scale(pictures, judge, 60, seed=0)
    assert scale.labels.shape == (60,)
    assert 0.6 < float((scale.labels == 0).float().mean()) < 0.9
    assert scale.floor > 0


def test_a_scale_without_labels_is_refused() -> None:
    judge = Judge(FeatureClassifier(1, 2).eval(), "rotation", 1.0, knows_classes=False)
    with pytest.raises(ValueError, match="labels"):
        Scale(Pictures(torch.zeros(20, 1, 8, 8)), judge, 5, seed=0)


@pytest.mark.slow
def test_draws_the_digit_that_it_is_asked_for() -> None:
    result = diffusion.run(LessonSettings())
    guidance, walks, _ = result.tables
    asked = [float(row[2]) for row in guidance.rows]
    assert asked[0] > 0.8
    assert asked[1] > 0.95
    assert [float(row[3]) for row in guidance.rows] == sorted((float(row[3]) for row in guidance.rows), reverse=True)
    seconds = [float(row[2]) for row in walks.rows]
    assert seconds[0] > 2 * seconds[2]

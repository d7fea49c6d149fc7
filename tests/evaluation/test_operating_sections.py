from __future__ import annotations

import numpy as np

from herder.evaluation.counting import count_animals
from herder.evaluation.operating_point import Curve
from herder.evaluation.operating_sections import counting_plot, counting_section, operating_section
from herder.evaluation.plots import PictureFormat
from herder.evaluation.report import render_report
from herder.evaluation.tables import DetectionTable, TruthTable
from herder.evaluation.wanted_points import wanted_points

NOBODY = np.zeros(0, np.int64)


def tables(ignore: bool = False) -> tuple[TruthTable, DetectionTable]:
    photos = np.array([0, 0, 1])
    truth = TruthTable(photos, np.zeros(3, np.int64), np.ones((3, 4)), np.array([False, False, ignore]), np.ones(3))
    return truth, DetectionTable(photos, np.zeros(3, np.int64), np.ones((3, 4)), np.array([0.9, 0.8, 0.3]))


def test_points_that_are_not_reached_stand_in_words() -> None:
    curve = Curve.of(np.array([0.9, 0.5]), np.array([True, False]), truths=2)
    page = render_report("x", [operating_section(wanted_points(curve, [curve], ("a<b",), beta=2))])
    assert "not reached: the highest recall is 0.500, at a score of 0.900" in page
    assert "best F2" in page
    assert "precision 0.95" in page
    assert "nan" not in page.lower()


def test_nothing_labelled_is_said() -> None:
    curve = Curve.of(np.zeros(0), np.zeros(0, bool), truths=0)
    page = render_report("x", [operating_section(wanted_points(curve, [curve], ("alpaca",)))])
    assert "not computed: no box is labelled" in page
    assert "nan" not in page.lower()


def test_counting_with_and_without_herd_boxes() -> None:
    clean = counting_section(count_animals(*tables(), 2, ("alpaca",), 0.5))
    assert clean.numbers[0] == ("MAE", 0.5)
    assert len(clean.pictures) == 1
    assert "herd" not in clean.text
    herd = counting_section(count_animals(*tables(ignore=True), 2, ("alpaca",), 0.5))
    assert "In 1 photo a herd box hides how many animals there are" in herd.text
    assert herd.numbers[0] == ("MAE", 0.0)


def test_counting_nothing_that_is_known() -> None:
    truth = TruthTable(NOBODY, NOBODY, np.zeros((0, 4)), NOBODY.astype(bool), np.zeros(0))
    section = counting_section(
        count_animals(truth, DetectionTable(NOBODY, NOBODY, np.zeros((0, 4)), np.zeros(0)), 0, ("a",), 0.5)
    )
    page = render_report("x", [section])
    assert "not computed: there are no photos" in page
    assert not section.pictures
    assert "nan" not in page.lower()


def test_the_picture_of_photos_without_animals() -> None:
    truth = TruthTable(NOBODY, NOBODY, np.zeros((0, 4)), NOBODY.astype(bool), np.zeros(0))
    none = DetectionTable(NOBODY, NOBODY, np.zeros((0, 4)), np.zeros(0))
    assert counting_plot(count_animals(truth, none, 3, ("a",), 0.5), PictureFormat.PNG).startswith(b"\x89PNG")

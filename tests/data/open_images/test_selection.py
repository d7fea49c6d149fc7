"""Which photos are taken: seeded, stable, and only those with a box that counts."""

from __future__ import annotations

from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from herder.data.open_images.selection import select


def table(ids: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"ImageID": ids, "ignore": [False] * len(ids)},
        schema={"ImageID": pl.String, "ignore": pl.Boolean},
    )


ids_of = st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), max_size=30)


@given(ids_of, st.integers(1, 10), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_choice_is_stable(ids: list[str], limit: int, seed: int, random: Random) -> None:
    chosen = set(select(table(ids), limit, seed)["ImageID"])
    assert len(chosen) == min(limit, len(set(ids)))
    mixed = random.sample(ids, len(ids))
    assert set(select(table(mixed), limit, seed)["ImageID"]) == chosen  # whatever the order
    assert chosen <= set(select(table(ids), limit + 1, seed)["ImageID"])  # a larger limit only adds


def test_seeds_choose_differently() -> None:
    ids = [f"{i:016x}" for i in range(100)]
    choices = [tuple(select(table(ids), 10, seed)["ImageID"]) for seed in range(5)]
    assert len(set(choices)) == 5


def test_all_boxes_of_a_photo_come_along() -> None:
    boxes = pl.DataFrame({"ImageID": ["a", "a", "b", "c"], "ignore": [True, False, True, False]})
    assert select(boxes)["ImageID"].to_list() == ["a", "a", "c"]
    assert len(select(boxes.clear())) == 0

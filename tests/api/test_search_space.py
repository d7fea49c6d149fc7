from __future__ import annotations

from pathlib import Path

import pytest

from herder.api.search_space import Choices, Range, read_space, space_as_dict
from herder.errors import ConfigError
from herder.training.config import TrainConfig, change


def read(tmp_path: Path, text: str) -> dict[str, Range | Choices]:
    (tmp_path / "space.toml").write_text(text)
    return dict(read_space(str(tmp_path / "space.toml"), TrainConfig()))


def test_ranges_and_choices(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        """
        [lr_head]
        low = 1e-4
        high = 1e-2
        log = true
        [batch_size]
        choices = [8, 16]
        [mosaic_off_epochs]
        low = 0
        high = 20
        step = 5
        [loss]
        box = {low = 2, high = 10}
        ["augmentation.scale"]
        low = 0.1
        high = 0.5
        [balanced]
        choices = [true, false]
        """,
    )
    assert space == {
        "lr_head": Range(1e-4, 1e-2, log=True),
        "batch_size": Choices((8, 16)),
        "mosaic_off_epochs": Range(0, 20, step=5, whole=True),
        "loss.box": Range(2.0, 10.0),
        "augmentation.scale": Range(0.1, 0.5),
        "balanced": Choices((True, False)),
    }
    assert space_as_dict(space)["batch_size"] == {"choices": [8, 16]}


@pytest.mark.parametrize("base", [TrainConfig(), TrainConfig.fine_tuning(), TrainConfig(epochs=1, lr_head=0.9)])
def test_the_defaults_can_all_be_set(base: TrainConfig) -> None:
    for name, each in read_space("defaults", base).items():
        assert isinstance(each, Range)
        assert each.low < each.high
        for value in (each.low, each.high):
            change(base, {name: value}, source="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no setting to try"),
        ("lr_head = 3", "lr_head: found 3, wanted a table"),
        ("[lr]\nlow = 1\nhigh = 2", "low: lr: no such setting"),
        ("[loss.bax]\nlow = 1\nhigh = 2", r"loss\.bax: no such setting"),
        ("[lr_head]\nlow = 1", "lr_head: found low, wanted low and high, or choices"),
        ("[lr_head]", "lr_head: found nothing"),
        ("[lr_head]\nlow = 1\nhigh = 2\nchoices = [1, 2]", "wanted low and high, or choices"),
        ("[lr_head]\nlow = 1e-3\nhigh = 1e-2\nlogs = true", "found low, high, logs"),
        ("[lr_head]\nlow = 1e-2\nhigh = 1e-3", "not below high"),
        ("[lr_head]\nlow = 1e-3\nhigh = 1e3", "high: lr_head: found 1000"),
        ("[lr_head]\nlow = nan\nhigh = 1.0", "lr_head"),
        ("[weight_decay]\nlow = 0.0\nhigh = 1.0\nlog = true", "has no logarithm"),
        ("[weight_decay]\nlow = 0.0\nhigh = 1.0\nlog = 1", "wanted true or false"),
        ("[weight_decay]\nlow = 0.0\nhigh = 1.0\nstep = 2.0", r"weight_decay\.step"),
        ("[weight_decay]\nlow = 0.1\nhigh = 1.0\nstep = 0.1\nlog = true", "do not go together"),
        ("[batch_size]\nlow = 1\nhigh = 8\nstep = 0.5", "wanted a whole number"),
        ("[batch_size]\nlow = 1.5\nhigh = 8", "low: batch_size"),
        ("[batch_size]\nchoices = [8]", "two values or more"),
        ("[batch_size]\nchoices = [8, 8]", "a value twice"),
        ("[batch_size]\nchoices = [8, [9]]", "wanted text, numbers"),
        ('[batch_size]\nchoices = [8, "many"]', "choices: batch_size"),
        ("[schedule]\nlow = 'cosine'\nhigh = 'plateau'", "no number"),
        ("[epochs]\nlow = 1\nhigh = 2", "epochs cannot be searched: trials are compared"),
        ("[seed]\nchoices = [1, 2]", "a lucky seed"),
        ("[x", r"space\.toml"),
    ],
)
def test_what_has_no_meaning_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read(tmp_path, text)
    assert "space.toml" in error.value.message


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        read_space("nowhere.toml", TrainConfig())

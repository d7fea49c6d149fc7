from __future__ import annotations

from pathlib import Path

import pytest

from herder.api.recipe_file import Input, Step, read_recipe
from herder.errors import ConfigError

WHOLE = """
recipe_version = 1
title = "Small"

[inputs.photos]
about = "the photos"
sha256 = "ab"

[inputs.start]

[[steps]]
name = "import"
run = ["import", "{start}", "--out", "{out}/start.safetensors"]
makes = ["start.safetensors"]

[[steps]]
name = "train-{size}-{seed}"
each = { size = [320, 416], seed = [0, 1] }
run = ["train", "{photos}", "--set", "seed={seed}", "--out", "{out}/train-{size}-{seed}"]
makes = ["train-{size}-{seed}/last.safetensors"]
resume = ["--resume"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_a_whole_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, WHOLE))
    assert recipe.title == "Small"
    assert recipe.inputs == {"photos": Input("the photos", "ab"), "start": Input()}
    assert [step.name for step in recipe.steps] == [
        "import", "train-320-0", "train-320-1", "train-416-0", "train-416-1"
    ]  # fmt: skip
    assert recipe.steps[2] == Step(
        "train-320-1",
        ("train", "{photos}", "--set", "seed=1", "--out", "{out}/train-320-1"),
        ("train-320-1/last.safetensors",),
        ("--resume",),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("recipe_version = 1", "recipe_version = 2", "recipe_version: found 2"),
        ("recipe_version = 1", "", "recipe_version: found None"),
        ('title = "Small"', "title = 3", "title: found 3, wanted text"),
        ('title = "Small"', 'note = "x"', "'note' is not known"),
        ('about = "the photos"', 'url = "x"', "inputs.photos: 'url' is not known"),
        ("[inputs.start]", "[inputs.out]", "'out' is no name of an input"),
        ("[inputs.start]", "[inputs.Start]", "'Start' is no name of an input"),
        ('name = "import"', "", "steps[0].name: found None"),
        ('name = "import"', 'name = "../import"', "'../import' is no name of a step"),
        ('name = "import"', 'name = "train-320-0"', "two steps are called 'train-320-0'"),
        ('"import", "{start}"', '"import", "{weights}"', "{weights} is not known"),
        ('"import", "{start}"', '"recipe", "{start}"', "'recipe' is no command"),
        ('"import", "{start}"', '"--help", "{start}"', "'--help' is no command"),
        ('["start.safetensors"]', "[]", "run and makes must not be empty"),
        ('["start.safetensors"]', '"start.safetensors"', "makes: found 'start.safetensors', wanted a list"),
        ('["start.safetensors"]', '["../start.safetensors"]', "leaves the output folder"),
        ('["start.safetensors"]', '["/tmp/start.safetensors"]', "leaves the output folder"),
        ('["start.safetensors"]', '["{start}"]', "{start} in a name or in makes"),
        ("seed = [0, 1]", "seed = 2", "each.seed: found 2, wanted a list"),
        ("seed = [0, 1]", f"seed = {list(range(600))}", "1201 steps"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WHOLE
    with pytest.raises(ConfigError) as caught:
        read_recipe(written(tmp_path, WHOLE.replace(old, new)))
    assert said in caught.value.message
    assert "recipe.toml" in caught.value.message
    assert caught.value.hint


def test_a_recipe_without_steps_or_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        read_recipe(written(tmp_path, "recipe_version = 1"))
    with pytest.raises(ConfigError, match=r"recipe\.toml"):
        read_recipe(written(tmp_path, "[[["))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")

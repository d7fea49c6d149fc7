from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from herder.api import recipe as module
from herder.api.recipe import STATE, path_digest, run_recipe
from herder.api.recipe_file import Input, Recipe, Step
from herder.errors import ConfigError, DataError

RECIPE = Recipe(
    "test",
    {"given": Input("a file")},
    (
        Step("first", ("one", "{given}", "{out}/a"), ("a",)),
        Step("second", ("two", "{out}/a", "{out}/b"), ("b",), ("--resume",)),
    ),
)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "given"
    path.write_text("photos")
    return {"given": path}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that were run, none of which is herder's: each writes its last path, or ends as ``codes`` says."""
    commands: list[list[str]] = []

    def run(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        assert command[1:3] == ["-m", "herder"]
        words = list(command[3:])
        commands.append(words)
        made = Path([word for word in words if not word.startswith("--")][-1])
        made.write_text(" ".join(words[:1]) + str(made.parent.joinpath("salt").exists()))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(module.subprocess, "run", run)
    return commands


def ends(code: int | type[BaseException]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    def run(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        if not isinstance(code, int):
            raise code
        return subprocess.CompletedProcess(command, code)

    return run


def test_steps_run_in_order_and_only_once(tmp_path: Path, given: dict[str, Path], ran: list[list[str]]) -> None:
    out = tmp_path / "out"
    run = run_recipe(RECIPE, given, out)
    assert ran == [["one", str(given["given"]), f"{out}/a"], ["two", f"{out}/a", f"{out}/b"]]
    assert [done.name for done in run.done] == ["first", "second"]
    assert run.done[0].made == {"a": hashlib.sha256((out / "a").read_bytes()).hexdigest()}
    assert not run.stopped
    said: list[str] = []
    assert run_recipe(RECIPE, given, out, say=said.append) == run
    assert len(ran) == 2
    assert [line.split(":")[0] for line in said] == ["first", "second"]
    assert all("done before" in line for line in said)
    assert [each["name"] for each in json.loads((out / STATE).read_text())["done"]] == ["first", "second"]


def test_what_changed_is_done_again_with_all_after_it(
    tmp_path: Path, given: dict[str, Path], ran: list[list[str]]
) -> None:
    out = tmp_path / "out"
    run_recipe(RECIPE, given, out)
    (out / "b").unlink()
    run_recipe(RECIPE, given, out)
    assert [words[0] for words in ran] == ["one", "two", "two"]
    (out / "a").write_text("changed by hand")
    run_recipe(RECIPE, given, out)
    assert [words[0] for words in ran[3:]] == ["one"]  # it makes the same as before, so the second step still holds
    given["given"].write_text("other photos")
    run_recipe(RECIPE, given, out)
    assert [words[0] for words in ran[4:]] == ["one", "two"]


@pytest.mark.parametrize("ending", [130, KeyboardInterrupt])
def test_after_a_stop_the_step_goes_on(
    tmp_path: Path, given: dict[str, Path], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, ending: Any
) -> None:
    works, out = module.subprocess.run, tmp_path / "out"
    run_recipe(Recipe("test", RECIPE.inputs, RECIPE.steps[:1]), given, out)
    monkeypatch.setattr(module.subprocess, "run", ends(ending))
    run = run_recipe(RECIPE, given, out)
    assert run.stopped
    assert [done.name for done in run.done] == ["first"]
    monkeypatch.setattr(module.subprocess, "run", works)
    assert not run_recipe(RECIPE, given, out).stopped
    assert ran[-1] == ["two", f"{out}/a", f"{out}/b", "--resume"]


def test_a_step_that_sets_items_aside_counts_as_done(
    tmp_path: Path, given: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("a")
    (out / "b").write_text("b")
    monkeypatch.setattr(module.subprocess, "run", ends(3))
    assert [done.set_aside for done in run_recipe(RECIPE, given, out).done] == [True, True]


def test_a_step_that_fails_or_makes_nothing(
    tmp_path: Path, given: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.subprocess, "run", ends(2))
    with pytest.raises(ConfigError, match="first: herder one ended with exit code 2"):
        run_recipe(RECIPE, given, tmp_path / "out")
    monkeypatch.setattr(module.subprocess, "run", ends(0))
    with pytest.raises(ConfigError, match="first: made no a"):
        run_recipe(RECIPE, given, tmp_path / "out")


def test_inputs_that_do_not_fit(tmp_path: Path, given: dict[str, Path], ran: list[list[str]]) -> None:
    with pytest.raises(ConfigError, match=r"needs given \(a file\)"):
        run_recipe(RECIPE, {}, tmp_path / "out")
    with pytest.raises(ConfigError, match="no such input"):
        run_recipe(RECIPE, {**given, "more": tmp_path}, tmp_path / "out")
    with pytest.raises(DataError, match="nowhere"):
        run_recipe(RECIPE, {"given": tmp_path / "nowhere"}, tmp_path / "out")
    assert not ran


def test_other_inputs_than_it_was_written_with_are_said(
    tmp_path: Path, given: dict[str, Path], ran: list[list[str]]
) -> None:
    digest = hashlib.sha256(b"photos").hexdigest()
    for pinned, warned in ((digest, False), ("0" * 64, True)):
        said: list[str] = []
        run_recipe(Recipe("test", {"given": Input("", pinned)}, RECIPE.steps), given, tmp_path / "out", say=said.append)
        assert any("other files" in line for line in said) == warned


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    def digest() -> str:
        return path_digest(tmp_path)

    empty = digest()
    (tmp_path / "sub").mkdir()
    assert digest() == empty
    (tmp_path / "sub" / "a").write_text("1")
    one = digest()
    assert one != empty
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x").write_text("1")
    assert digest() == one
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    assert digest() != one


def test_a_broken_state_is_named(tmp_path: Path, given: dict[str, Path]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / STATE).write_text("{")
    with pytest.raises(DataError, match=r"recipe\.json"):
        run_recipe(RECIPE, given, out)

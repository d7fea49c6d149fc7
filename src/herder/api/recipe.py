"""``herder recipe`` from Python: run the commands of a recipe, each in a process of its own, and keep what is done.

Everything is made in one folder; ``recipe.json`` there says which steps ended, what they made and how long they took.
The same call goes on where it was stopped. A step is done again where its command, an input or what an earlier step
made has changed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from herder.api.recipe_file import OUT, Recipe, Step, filled
from herder.errors import ConfigError, DataError
from herder.files import write_atomic, writing

STATE = "recipe.json"

SET_ASIDE, STOPPED = 3, 130
"""Exit codes of herder's commands: done with some items left out; stopped by Ctrl-C."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Done:
    """A step that ended."""

    name: str
    digest: str
    """Of the command, the inputs and all that was made before."""
    made: dict[str, str]
    """SHA-256 of each file it made."""
    seconds: float
    """Of the runs that ended it; a stop before that is not counted."""
    set_aside: bool
    """Whether the command said that items were left out."""


@dataclass(frozen=True)
class RecipeRun:
    """What a call did."""

    done: tuple[Done, ...]
    stopped: bool
    """Whether Ctrl-C ended it: the same call goes on."""


def path_digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and digests of all files in it, hidden ones left out.

    Raises DataError where it is missing or cannot be read.
    """
    try:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
            lines = [f"{p.relative_to(path).as_posix()}\0{path_digest(p)}\n" for p in inside]
            return hashlib.sha256("".join(lines).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check the path") from None


def check_inputs(recipe: Recipe, inputs: Mapping[str, Path]) -> dict[str, str]:
    """Digests of the named files and folders. Raises ConfigError for one that is missing or not in the recipe."""
    for name in inputs:
        if name not in recipe.inputs:
            raise ConfigError(
                f"--input {name}: this recipe has no such input", hint=f"it has {', '.join(recipe.inputs) or 'none'}"
            )
    for name, wanted in recipe.inputs.items():
        if name not in inputs:
            raise ConfigError(f"the recipe needs {name} ({wanted.about})", hint=f"add --input {name}=PATH")
    return {name: path_digest(path) for name, path in inputs.items()}


def run_recipe(
    recipe: Recipe,
    inputs: Mapping[str, Path],
    out: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> RecipeRun:
    """Run the steps that are not done yet; a failed one ends the run.

    ``say`` hears each command before it runs; what the commands print goes to this process's own output. Raises
    ConfigError for inputs that do not fit, or a step that fails or does not make what it should.
    """
    digests = check_inputs(recipe, inputs)
    for name, digest in digests.items():
        if recipe.inputs[name].sha256 not in ("", digest):
            say(f"{name}: other files than the recipe was written with; its figures are not to be expected")
    before = {each.name: each for each in _read(out / STATE)}
    values = {**{name: str(path.resolve()) for name, path in inputs.items()}, OUT: str(out.resolve())}
    done: list[Done] = []
    for step in recipe.steps:
        digest = _step_digest(step, digests, done)
        earlier = before.get(step.name)
        if earlier is not None and earlier.digest == digest and _still_there(earlier, out):
            say(f"{step.name}: done before, in {earlier.seconds:.0f} s")
            done.append(earlier)
            continue
        ended = _run(step, digest, values, out, say)
        if ended is None:
            return RecipeRun(tuple(done), stopped=True)
        done.append(ended)
        _write(out / STATE, done)
    return RecipeRun(tuple(done), stopped=False)


def _run(step: Step, digest: str, values: Mapping[str, str], out: Path, say: Callable[[str], None]) -> Done | None:
    """Run a step's command; None where it was stopped."""
    marker = out / f".{step.name}.begun"
    again = marker.exists() and marker.read_text(encoding="utf-8") == digest
    words = [filled(text, values) for text in (*step.run, *(step.resume if again else ()))]
    say(f"{step.name}: herder {' '.join(words)}")
    write_atomic(marker, digest.encode())
    begun = time.monotonic()
    try:
        code = subprocess.run([sys.executable, "-m", "herder", *words], check=False).returncode
    except KeyboardInterrupt:  # the command heard it too, and has kept what it had
        return None
    if code == STOPPED:
        return None
    if code not in (0, SET_ASIDE):
        raise ConfigError(
            f"{step.name}: herder {step.run[0]} ended with exit code {code}",
            hint="what it said stands above; mend that and run the recipe again, it goes on here",
        )
    made = {name: path_digest(out / name) for name in step.makes if (out / name).exists()}
    for name in step.makes:
        if name not in made:
            raise ConfigError(f"{step.name}: made no {name}", hint="check `makes` and the command in the recipe")
    with writing(marker):
        marker.unlink()
    return Done(step.name, digest, made, round(time.monotonic() - begun, 1), code == SET_ASIDE)


def _step_digest(step: Step, inputs: Mapping[str, str], done: list[Done]) -> str:
    facts = {"run": step.run, "makes": step.makes, "inputs": inputs, "before": [each.made for each in done]}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _still_there(done: Done, out: Path) -> bool:
    return all((out / name).exists() and path_digest(out / name) == digest for name, digest in done.made.items())


def _read(path: Path) -> list[Done]:
    if not path.exists():
        return []
    try:
        return [Done(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["done"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint="delete it: the steps are run again") from None


def _write(path: Path, done: list[Done]) -> None:
    write_atomic(path, (json.dumps({"done": [asdict(each) for each in done]}, indent=2) + "\n").encode())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)

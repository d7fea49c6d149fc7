"""The faster engine for a file on this machine, found by a short trial once and remembered.

The answer lies in a small JSON file under ``$HERDER_CACHE``, else ``$XDG_CACHE_HOME/herder``, else ``~/.cache/herder``.
Its name is the SHA-256 of all that decides: the model's bytes, the processor and its instruction sets, threads, canvas
and the engines' versions. So nothing in it ever grows stale, and the folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import math
import os
import subprocess
import tempfile
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from herder.edge.engine_files import EXPORTED
from herder.edge.engine_trial import EngineTime
from herder.edge.fresh_python import program_environment, program_words
from herder.edge.threads import physical_cores
from herder.errors import ConfigError, MissingExtraError, ModelFileError, ResourceError
from herder.files import write_atomic
from herder.processor import processor_features, processor_name

log = logging.getLogger(__name__)

CACHE = "HERDER_CACHE"
"""The variable that names another folder for the answers."""

SIDES = (320, 416)
"""Height and width of the trial's canvas where nobody says: what most photos become at 416 pixels."""

PATIENCE = 120.0
"""Seconds after which a trial is given up: an engine that takes so long to start is not the faster one."""

_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


def faster_engine(
    path: str | Path, threads: int | None = None, *, canvas: tuple[int, int] = SIDES, photos: int | None = None
) -> str:
    """``onnx`` or ``openvino``: which runs ``path`` (.onnx, .xml) faster on canvases of (height, width) pixels.

    With ``photos``, opening and compiling count too: the answer is the engine that is done with so many first. Takes
    two seconds or so when first asked, nothing after that, and nothing where there is only one engine to choose from.
    Raises ModelFileError for a file that no engine opens, MissingExtraError where none is installed.
    """
    path, threads = Path(path), threads or physical_cores()
    engines = usable_engines(path)
    if len(engines) == 1:
        return engines[0]
    times = engine_times(path, threads, canvas)
    return min(
        times,
        key=lambda name: (
            times[name].milliseconds
            if photos is None
            else 1000 * times[name].start_seconds + photos * times[name].milliseconds
        ),
    )


def usable_engines(path: Path) -> list[str]:
    """The engines that are installed and read this kind of file.

    Raises ModelFileError where none reads it, MissingExtraError where none is installed.
    """
    if path.suffix not in EXPORTED:
        hint = f"`herder export {path}` first" if path.suffix == ".safetensors" else "wanted .onnx or .xml"
        raise ModelFileError(f"{path}: no engine runs this kind of file ({path.suffix!r})", hint=hint)
    reading = ["openvino"] if path.suffix == ".xml" else ["onnx", "openvino"]
    installed = [name for name in reading if importlib.util.find_spec(_PACKAGES[name]) is not None]
    if not installed:
        raise MissingExtraError("running an exported model", reading[0])
    return installed


def engine_times(path: Path, threads: int, canvas: tuple[int, int] = SIDES) -> dict[str, EngineTime]:
    """What each engine takes for ``path``, from the cache or from a trial that then goes into the cache."""
    if threads < 1 or min(canvas) < 1:
        raise ConfigError(f"a trial with {threads} threads on {canvas} pixels", hint="use positive numbers")
    key = _key(path, threads, canvas)
    kept = cache_folder() / "engines" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"
    times = _kept_times(kept)
    if times is None:
        times = _trial(path, threads, canvas)
        content = {"key": key, "times": {name: asdict(one) for name, one in times.items()}}
        try:
            write_atomic(kept, (json.dumps(content, indent=2) + "\n").encode())
        except ResourceError as error:
            log.warning("the choice of engine is not remembered: %s", error.message)
    return times


def cache_folder() -> Path:
    """Where herder keeps what it can find out again; for a user without a home, in the folder for temporary files."""
    if own := os.environ.get(CACHE):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "herder"
    try:
        return Path.home() / ".cache" / "herder"
    except RuntimeError:  # a container's made-up user has no home
        return Path(tempfile.gettempdir()) / "herder"


def _key(path: Path, threads: int, canvas: tuple[int, int]) -> dict[str, object]:
    return {
        "sha256": [_sha256(part) for part in ([path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path])],
        "processor": processor_name(),
        "features": hashlib.sha256(processor_features().encode()).hexdigest()[:16],
        "threads": threads,
        "canvas": list(canvas),
        "versions": {package: _version(package) for package in ("herder", *_PACKAGES.values())},
    }


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file", hint="check the path, or `herder export` a model") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})", hint="name a readable file") from None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _kept_times(path: Path) -> dict[str, EngineTime] | None:
    """The times of an earlier trial; None where there are none, or the file says nothing that makes sense."""
    try:
        times = {name: EngineTime(**one) for name, one in json.loads(path.read_bytes())["times"].items()}
        numbers = [number for one in times.values() for number in (one.milliseconds, one.start_seconds)]
        sound = bool(times) and times.keys() <= _PACKAGES.keys() and all(0 < n < math.inf for n in numbers)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s: is damaged and will be written anew (%s)", path, error)
        return None
    return times if sound else None


def _trial(path: Path, threads: int, canvas: tuple[int, int]) -> dict[str, EngineTime]:
    """Run the trial in a process of its own. Raises what it says of the file; ResourceError where it says nothing."""
    words = program_words("herder.edge.engine_trial", str(path), str(threads), *map(str, canvas))
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=program_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResourceError(f"{path}: the trial of engines failed: {error}", hint="name the engine") from error
    said = done.stdout.decode(errors="replace").strip().splitlines()
    answer = json.loads(said[-1]) if done.returncode == 0 and said else {}
    if problem := answer.get("error"):
        kind = ResourceError if problem["kind"] == ResourceError.__name__ else ModelFileError
        raise kind(problem["message"], hint=problem["hint"])
    if not answer:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise ResourceError(
            f"{path}: the trial of engines ended with code {done.returncode}: {last[0][:200]}", hint="name the engine"
        )
    return {name: EngineTime(**one) for name, one in answer.items()}

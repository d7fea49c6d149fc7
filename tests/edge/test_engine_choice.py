import json
import platform
import subprocess
import sys

import pytest

from herder.edge import engine_choice, engine_trial
from herder.edge.engine_choice import cache_folder, faster_engine, usable_engines
from herder.edge.engine_trial import EngineTime, try_engines
from herder.edge.export import export_onnx
from herder.edge.fresh_python import program_environment, program_words
from herder.errors import ConfigError, MissingExtraError, ModelFileError, ResourceError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HERDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


@pytest.fixture
def trials(monkeypatch):
    """Trials that take no time; what they say may be changed."""
    made = []
    answer = {"onnx": EngineTime(8.0, 0.1), "openvino": EngineTime(5.0, 1.1)}

    def trial(path, threads, canvas):
        made.append((path, threads, canvas))
        return answer

    monkeypatch.setattr(engine_choice, "_trial", trial)
    return made


def test_asked_once_and_remembered(onnx_file, trials, cache):
    assert faster_engine(onnx_file, 2) == "openvino"
    assert faster_engine(onnx_file, 2) == "openvino"
    assert len(trials) == 1
    (kept,) = cache.iterdir()
    content = json.loads(kept.read_text())
    assert content["key"]["threads"] == 2
    assert str(onnx_file) not in kept.read_text()


def test_another_question_is_another_trial(onnx_file, trials, tmp_path, monkeypatch):
    other = tmp_path / "other.onnx"
    other.write_bytes(onnx_file.read_bytes() + b"\n")
    for ask in (
        lambda: faster_engine(onnx_file, 1),
        lambda: faster_engine(onnx_file, 2),
        lambda: faster_engine(other, 1),
        lambda: faster_engine(onnx_file, 1, canvas=(640, 640)),
    ):
        ask()
        ask()
    assert len(trials) == 4
    monkeypatch.setattr(engine_choice, "processor_features", lambda: "another machine of the same name")
    faster_engine(onnx_file, 1)
    monkeypatch.setattr(engine_choice, "version", lambda _: "99")
    faster_engine(onnx_file, 1)
    assert len(trials) == 6


def test_for_a_few_photos_the_start_counts(onnx_file, trials):
    # 0.1 s + 8 ms a photo against 1.1 s + 5 ms a photo: equal at 334.
    assert faster_engine(onnx_file, 1, photos=300) == "onnx"
    assert faster_engine(onnx_file, 1, photos=400) == "openvino"
    assert len(trials) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"times": {}}',
        b'{"times": {"onnx": {"milliseconds": "fast", "start_seconds": 1}}}',
        b'{"times": {"onnx": {"milliseconds": -1, "start_seconds": 1}}}',
        b'{"times": {"abacus": {"milliseconds": 1, "start_seconds": 1}}}',
        b'{"times": {"onnx": {"milliseconds": 1}}}',
    ],
)
def test_a_broken_cache_is_written_anew(onnx_file, trials, cache, content):
    faster_engine(onnx_file, 1)
    (kept,) = cache.iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(content)
    assert faster_engine(onnx_file, 1) == "openvino"
    assert len(trials) == 2
    assert kept.read_bytes() == sound


def test_a_cache_that_cannot_be_written_is_no_obstacle(onnx_file, trials, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HERDER_CACHE", str(tmp_path / "file"))
    assert faster_engine(onnx_file, 1) == "openvino"
    assert "not remembered" in caplog.text


def test_where_the_cache_lies(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HERDER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "herder"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "herder"


def test_a_user_without_a_home(tmp_path, monkeypatch):
    monkeypatch.delenv("HERDER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    # What pathlib makes of a user number that the system has no entry for, as containers have them.
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / "herder"


def test_one_engine_needs_no_trial(onnx_file, trials, monkeypatch):
    monkeypatch.setattr(
        engine_choice.importlib.util, "find_spec", lambda name: None if name == "openvino" else "something"
    )
    assert faster_engine(onnx_file, 1) == "onnx"
    with pytest.raises(MissingExtraError, match=r"herder\[openvino\]"):
        usable_engines(onnx_file.with_suffix(".xml"))
    assert trials == []


def test_what_no_engine_runs(trials):
    with pytest.raises(ModelFileError, match="export"):
        faster_engine("best.safetensors", 1)
    with pytest.raises(ModelFileError, match=r"none\.onnx: no such file"):
        faster_engine("none.onnx", 1)
    with pytest.raises(ConfigError, match="positive"):
        engine_choice.engine_times(engine_choice.Path("none.onnx"), 0)
    assert trials == []


def test_a_real_trial_times_both(onnx_file):
    times = try_engines(onnx_file, 1, 64, 96, seconds=0.01)
    assert set(times) == {"onnx", "openvino"}
    assert all(0 < one.milliseconds < 1000 * one.start_seconds for one in times.values())


def test_a_trial_in_its_own_process(onnx_file, tmp_path, capfd):
    assert faster_engine(onnx_file, 1, canvas=(64, 96)) in ("onnx", "openvino")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(onnx_file.read_bytes()[:500])
    with pytest.raises(ModelFileError, match=r"broken\.onnx"):
        faster_engine(broken, 1)
    assert capfd.readouterr() == ("", "")


def test_a_file_of_fixed_size_is_tried_at_its_size(network, tmp_path):
    path = export_onnx(network, network.spec, tmp_path / "fixed.onnx", size=64).path
    # ONNX Runtime refuses every other canvas.
    assert set(try_engines(path, 1, 320, 416, seconds=0.01)) == {"onnx", "openvino"}


def test_files_where_the_user_stands_are_not_taken_for_modules(tmp_path, monkeypatch):
    (tmp_path / "platform.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    words, environment = program_words("platform", "--terse"), program_environment()
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.strip() == platform.platform(terse=True)
    done = subprocess.run([*words[:-3], "-c", "import herder"], env=environment, check=False)
    assert done.returncode == 0


def test_lack_of_memory_in_the_trial_is_told_as_that(onnx_file, tmp_path, monkeypatch):
    said = {"error": {"kind": "ResourceError", "message": "1 photos do not fit into memory", "hint": "less"}}
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(said)}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ResourceError, match="do not fit"):
        faster_engine(onnx_file, 1)


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo bad news >&2; exit 9", "code 9: bad news"), ("kill -SEGV $$", "code -11"), ("exit 0", "no message")],
)
def test_a_trial_that_ends_badly(onnx_file, tmp_path, monkeypatch, script, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ResourceError, match=message):
        faster_engine(onnx_file, 1)


def test_an_engine_that_cannot_run_the_file_is_no_obstacle(onnx_file, monkeypatch):
    opened = engine_trial.open_engine

    def only_onnx(path, name, threads):
        if name == "openvino":
            raise ModelFileError(f"{path}: an operator is missing")
        return opened(path, name, threads)

    monkeypatch.setattr(engine_trial, "open_engine", only_onnx)
    assert set(try_engines(onnx_file, 1, 64, 64, seconds=0.01)) == {"onnx"}

    def neither(path, name, threads):
        raise MissingExtraError(name, name) if name == "onnx" else ModelFileError(f"{path}: an operator is missing")

    monkeypatch.setattr(engine_trial, "open_engine", neither)
    with pytest.raises(ModelFileError, match="operator"):
        try_engines(onnx_file, 1, 64, 64, seconds=0.01)

"""The command line as a process: exit codes, one message, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

HERDER = str(Path(sys.executable).parent / "herder")


def run(*arguments, cwd=None):
    return subprocess.run([HERDER, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd)


def test_help_names_every_command():
    done = run("--help")
    assert done.returncode == 0
    for command in ("data", "demo", "train", "evaluate", "detect", "export", "import"):
        assert command in done.stdout


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("herder 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "none.safetensors", "photos"], "none.safetensors"),
        (["detect", "none.safetensors", "a.jpg"], "none.safetensors"),
        (["train", "no-such-folder"], "no-such-folder"),
        (["data", "check", "no-such-folder"], "no-such-folder"),
        (["export", "none.safetensors"], "none.safetensors"),
        (["import", "none.onnx", "--out", "x.safetensors"], "none.onnx"),
        (["import", "none.onnx", "--out", "x.bin"], ".safetensors"),
    ],
)
def test_unusable_input_is_one_message_and_code_2(tmp_path, arguments, words):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "what to do" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_use_is_code_2():
    assert run("detect").returncode == 2
    assert run("no-such-command").returncode == 2

"""A detector measured in a process of its own: nobody else's memory, just the threads it was given."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from herder.api.cost_process import CostJob, job_text
from herder.edge.fresh_python import program_environment, program_words
from herder.errors import DataError, ModelFileError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What numerical libraries read when they are loaded."""


def run_fresh(job: CostJob, folder: Path) -> dict[str, Any] | str:
    """What ``herder.api.cost_process.run_job`` gives in a fresh process; why it gave nothing, where it did not.

    ``folder`` holds the job and its result. Raises ModelFileError and DataError for a model or photo that is broken.
    """
    request, answer = folder / "job.json", folder / "result.json"
    answer.unlink(missing_ok=True)
    request.write_text(job_text(job), encoding="utf-8")
    environment = {**program_environment(), **dict.fromkeys(_THREADS, str(job.threads))}
    command = program_words("herder.api.cost_process", str(request), str(answer))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace").strip()
            code = process.wait()
        except BaseException:
            process.kill()  # Ctrl-C: nothing goes on behind the user's back
            raise
    if not answer.exists():
        return _ending(code, said)
    result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return _known_error(result["error"]) if "error" in result else result


def _known_error(error: dict[str, str]) -> str:
    """The reason for leaving a configuration out; what is wrong with the input is raised."""
    for kind in (ModelFileError, DataError):
        if error["kind"] == kind.__name__:
            raise kind(error["message"], hint=error["hint"])
    return f"{error['message']} ({error['hint']})" if error["hint"] else error["message"]


def _ending(code: int, said: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", most likely since memory ran out" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{memory}"
    last = said.splitlines()[-1][:200] if said else "no message"
    return f"the process ended with exit code {code}: {last}"

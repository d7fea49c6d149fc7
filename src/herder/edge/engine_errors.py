"""What an engine says of a file that it cannot open, in one line: an operator or opset that it lacks, or damage."""

from __future__ import annotations

import re
from pathlib import Path

from herder.errors import ModelFileError

LACKS = (
    (r"No Op registered for (\S+) with domain_version of (\d+)", "the operator {0} of opset {1}"),
    (r"Fatal error: (\S+?)\(-?\d+\) is not a registered", "the operator {0}"),
    (r"No conversion rule found for operations: ([^\n]+)", "the operators {0}"),
    (r"Could not find an implementation for (\S+?)\((\d+)\)", "the operator {0} of opset {1}"),
    (r"Opset (\S+) doesn't contain the operation with type: (\S+)", "the operator {1} of {0}"),
    (r"Opset (\d+) is under development", "opset {0}"),
    (r"Unsupported model IR version: (\d+)", "ONNX files of version {0}"),
)
"""What ONNX Runtime and OpenVINO write, and what it means."""


def cannot_open(path: Path, error: Exception, engine: str) -> ModelFileError:
    """The error to raise for ``path``, which ``engine`` (name and version) could not open."""
    text = str(error)
    for pattern, meaning in LACKS:
        match = re.search(pattern, text)
        if match:
            return ModelFileError(
                f"{path}: {engine} does not know {meaning.format(*match.groups())}",
                hint="upgrade it, try the other --engine, or write the file again with `herder export`",
            )
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return ModelFileError(f"{path}: is damaged or not for this runtime ({lines[-1][:200]})", hint="export it again")

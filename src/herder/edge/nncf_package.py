"""NNCF, OpenVINO's quantizer, imported so that it sends nothing home and writes nothing on the terminal."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType

from herder.edge.engine_packages import openvino_package, without_reporter
from herder.errors import MissingExtraError


def nncf_package() -> ModuleType:
    """Import NNCF. Raises MissingExtraError where it, or OpenVINO, is not installed."""
    openvino_package()
    try:
        with quiet_nncf(), without_reporter("nncf"):
            nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise MissingExtraError("int8 quantization for OpenVINO", "compress") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


@contextlib.contextmanager
def quiet_nncf() -> Iterator[None]:
    """Keep its progress bars off the terminal: herder has its own. Errors come as exceptions."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield

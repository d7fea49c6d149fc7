"""The public surface: what is exported is there, and importing it costs nothing."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import herder


def test_every_exported_name_is_there_and_listed():
    for name in herder.__all__:
        assert getattr(herder, name) is not None
    assert dir(herder) == sorted(herder.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        _ = herder.nothing


def test_the_version_is_the_packages():
    assert herder.__version__ == version("herder")


@pytest.mark.parametrize(
    "statement",
    ["import herder", "from herder import Detector, Detections, ModelSpec, HerderError", "import herder.edge.runtime"],
)
def test_torch_is_not_imported_before_it_is_needed(statement):
    code = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The public surface: what is exported is there, and importing it costs nothing."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import herder
from herder.catalogue import CATALOGUE, read_catalogue


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


def test_wheel_and_source_hold_the_shipped_models(tmp_path):
    root = Path(__file__).parent.parent
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    wheel, source = next(tmp_path.glob("*.whl")), next(tmp_path.glob("*.tar.gz"))
    wanted = {CATALOGUE, *(n for m in read_catalogue() for n in (m.card, *(file.name for file in m.files)))}
    with zipfile.ZipFile(wheel) as held:
        assert {f"herder/weights/{name}" for name in wanted} <= set(held.namelist())
    with tarfile.open(source) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
        assert {f"src/herder/weights/{name}" for name in wanted} <= names


def test_the_model_card_in_the_repository_is_the_one_in_the_package():
    root = Path(__file__).parent.parent
    assert (root / "MODEL_CARD.md").read_text() == (root / "src/herder/weights/alpaca.md").read_text()

"""The space's points are networks; kernels reach bottlenecks and heads; architecture files come back as written."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.errors import ConfigError, ModelFileError
from herder.model.architecture_files import read_input_size, write_architecture
from herder.model.architecture_space import ArchitectureSpace
from herder.model.families import make_spec
from herder.model.network import Network
from herder.spec import ModelSpec, example_spec

SPACE = ArchitectureSpace()

POINTS = st.fixed_dictionaries({f.name: st.sampled_from(getattr(SPACE, f.name)) for f in fields(SPACE)})


@settings(max_examples=8)
@given(POINTS)
def test_every_point_is_a_network_that_runs(values: dict[str, object]) -> None:
    spec = SPACE.spec(values, ("alpaca", "llama"), "point")
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert all(width % 8 == 0 for width in spec.architecture.widths)
    with torch.inference_mode():
        boxes, scores = Network(spec).eval()(torch.zeros(1, 3, 32, 64))
    assert tuple(boxes.shape) == (1, 42, 4)  # 4 x 8 cells of stride 8, 2 x 4 of 16, 1 x 2 of 32
    assert tuple(scores.shape) == (1, 42, 2)
    assert spec.input_size == values["input_size"]


def test_the_point_of_all_ones_is_herder_n() -> None:
    values = {f.name: getattr(SPACE, f.name)[0] for f in fields(SPACE)}
    values |= {"width": 1.0, "depth": 1.0, "head_width": 64, "head_depth": 2}
    assert SPACE.spec(values, ("alpaca",), "x").architecture == make_spec("herder-n", ("alpaca",)).architecture


def kernels(network: Network) -> dict[str, int]:
    """The side of each convolution that is larger than 1 x 1, by name."""
    convs = {name: m for name, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)}
    return {name: conv.kernel_size[0] for name, conv in convs.items() if conv.kernel_size[0] > 1}


@pytest.mark.parametrize("depthwise", [False, True])
def test_kernel_5_is_in_bottlenecks_and_heads_alone(depthwise: bool) -> None:
    spec = example_spec()
    a = replace(spec.architecture, kernel=5, depthwise=depthwise)
    large = kernels(Network(spec.replace(architecture=a)))
    where = {name for name, side in large.items() if side == 5}
    assert where == {name for name in large if ".m." in name or name.startswith("head.")}
    assert where
    assert set(kernels(Network(spec.replace(architecture=replace(a, kernel=3)))).values()) == {3}


def test_files_without_a_kernel_are_read_and_written_as_before() -> None:
    spec = example_spec()
    data = json.loads(spec.to_json())
    assert "kernel" not in data["architecture"]
    assert ModelSpec.from_json(spec.to_json()).architecture.kernel == 3
    data["architecture"]["kernel"] = 5
    assert ModelSpec.from_json(json.dumps(data)).architecture.kernel == 5
    for wrong in (4, 7, 5.0, "5", None):
        data["architecture"]["kernel"] = wrong
        with pytest.raises(ModelFileError, match="kernel"):
            ModelSpec.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("width", ()),
        ("width", (0.5, 0.5)),
        ("width", (0.0,)),
        ("width", (float("nan"),)),
        ("width", (True,)),
        ("kernel", (4,)),
        ("kernel", (True,)),
        ("activation", ("mish",)),
        ("depthwise", ("backbone",)),
        ("neck_width", (12,)),
        ("head_depth", (0,)),
        ("input_size", (100,)),
        ("input_size", (320.0,)),
    ],
)
def test_a_choice_that_no_network_can_have_is_an_error(name: str, values: tuple[object, ...]) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: "):
        ArchitectureSpace(**{name: values})


def test_an_architecture_file_comes_back(tmp_path: Path) -> None:
    values = {f.name: getattr(SPACE, f.name)[-1] for f in fields(SPACE)}
    spec = SPACE.spec(values, ("alpaca",), "trial-3")
    path = tmp_path / "trial-3.toml"
    write_architecture(spec, path, comment="found by\na search")
    assert make_spec(str(path), ("alpaca",), input_size=spec.input_size) == spec
    assert read_input_size(path) == 416
    small = tmp_path / "small.json"
    small.write_text('{"architecture": {"head_width": 24}}')
    base = make_spec("herder-n", ("alpaca",)).architecture
    assert make_spec(str(small), ("alpaca",)).architecture == replace(base, head_width=24)
    assert read_input_size(small) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[architecture]\nwidth = 3\n", "architecture.width: no such field"),
        ("[architecture]\nchannels = 3\n", "architecture.channels: no such field"),
        ("[architecture]\nwidths = [8, 8]\n", "widths: found .*, wanted 5 whole numbers"),
        ("[architecture]\nwidths = [0, 8, 8, 8, 8]\n", "widths: found"),
        ("[architecture]\nkernel = true\n", "kernel: found True"),
        ("[architecture]\nneck = 'bifpn'\n", "neck: found 'bifpn', wanted one of"),
        ("[architecture]\ndepthwise = 1\n", "depthwise: found 1, wanted true or false"),
        ("[architecture]\nreg_max = 1\n", "reg_max"),
        ("[architecture]\nbatchnorm_eps = 'x'\n", "batchnorm_eps"),
        ("input_size = 320\n", "holds no table architecture"),
        ("sizes = 320\n", "sizes: no such entry"),
        ("[architecture\n", "trial.toml: "),
    ],
)
def test_a_wrong_architecture_file_names_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trial.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as error:
        make_spec(str(path), ("alpaca",))
    assert "trial.toml" in str(error.value)


def test_a_missing_file_and_a_wrong_size(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        make_spec(str(tmp_path / "none.toml"), ("alpaca",))
    path = tmp_path / "size.toml"
    path.write_text("input_size = 100\n[architecture]\n")
    with pytest.raises(ConfigError, match="input_size: found 100"):
        read_input_size(path)

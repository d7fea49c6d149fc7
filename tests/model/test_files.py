"""Model files: what was written comes back, and everything else is refused in words."""

import json
import struct

import pytest
import safetensors.torch
import torch

from herder.errors import ModelFileError
from herder.model.files import load_model, read_spec, save_model
from herder.model.network import Network
from herder.spec import METADATA_KEY, SPEC_VERSION, ModelSpec, example_spec
from herder.tensor_files import read_metadata


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = Network(example_spec())
    path = tmp_path / "model.safetensors"
    save_model(network, example_spec().replace(metrics={"mAP50": 0.5}, origin="tests"), path)
    return network, path


def test_weights_and_spec_come_back(saved):
    network, path = saved
    loaded = load_model(path)
    assert loaded.spec.metrics == {"mAP50": 0.5}
    assert loaded.spec.origin == "tests"
    assert loaded.spec.herder_version
    assert not loaded.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_half_precision_halves_the_file_and_loads_as_float32(saved, tmp_path):
    network, path = saved
    half = tmp_path / "half.safetensors"
    save_model(network, example_spec(), half, half=True)
    assert half.stat().st_size < 0.65 * path.stat().st_size
    loaded = load_model(half)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    torch.testing.assert_close(
        loaded.state_dict()["head.cls_preds.0.weight"], network.head.cls_preds[0].weight, atol=1e-3, rtol=1e-2
    )


def test_any_truncation_is_noticed(saved, tmp_path):
    _, path = saved
    whole = path.read_bytes()
    for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(whole[:size])
        with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
            load_model(cut)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ModelFileError, match="not written by herder"):
        read_spec(path)


def test_a_checkpoint_is_told_from_a_model(tmp_path):
    path = tmp_path / "last.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata={"herder_checkpoint": "{}"})
    with pytest.raises(ModelFileError, match="checkpoint") as error:
        load_model(path)
    assert "best.safetensors" in error.value.hint


@pytest.mark.parametrize(
    "content", [b"hello, I am a text file and long enough", b"\x80\x04\x95" + b"x" * 50, b"PK\x03\x04" * 20]
)
def test_other_kinds_of_file_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"x\.safetensors"):
        load_model(path)


def test_a_header_that_is_not_an_object_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    for header in (b"[1, 2]", b'{"a": 1}', b'{"a": {"data_offsets": []}}', b"not json"):
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        with pytest.raises(ModelFileError):
            read_metadata(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="no such file"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_model(tmp_path)


def rewrite(path, change):
    """Write the file again with its spec changed."""
    tensors = safetensors.torch.load_file(path)
    spec = json.loads(read_metadata(path)[METADATA_KEY])
    change(spec, tensors)
    safetensors.torch.save_file(tensors, path, metadata={METADATA_KEY: json.dumps(spec)})


def test_a_newer_file_asks_for_an_upgrade(saved):
    _, path = saved
    rewrite(path, lambda spec, _: spec.update(spec_version=SPEC_VERSION + 1))
    with pytest.raises(ModelFileError, match="newer than this herder"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec, t: spec.update(surprise=1), "unknown fields"),
        (lambda spec, t: spec.pop("class_names"), "class_names"),
        (lambda spec, t: spec.update(class_names=[]), "class_names"),
        (lambda spec, t: spec.update(input_size=321), "multiple of 32"),
        (lambda spec, t: spec["architecture"].update(activation="exec"), "activation"),
        (lambda spec, t: spec["architecture"].update(widths=[1, 2]), "out of range"),
        (lambda spec, t: spec.update(architecture=7), "object"),
        (lambda spec, t: spec.update(class_names=["a", "b"]), "shape"),
        (lambda spec, t: t.pop("head.cls_preds.0.weight"), "missing"),
        (lambda spec, t: t.update(extra=torch.zeros(1)), "unknown"),
        (lambda spec, t: t["head.cls_preds.0.weight"].fill_(float("nan")), "not finite"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(saved, change, words):
    _, path = saved
    rewrite(path, change)
    with pytest.raises(ModelFileError, match=words):
        load_model(path)


def test_spec_text_that_is_no_spec():
    for text in ("", "null", "{}", "[]", '{"architecture": {}}'):
        with pytest.raises(ModelFileError):
            ModelSpec.from_json(text)

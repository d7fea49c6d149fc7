import re

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from herder.edge import export as export_room
from herder.edge.export import export_onnx, export_openvino, export_torchscript
from herder.edge.export_facts import ExportFacts
from herder.edge.export_graph import onnx_graph
from herder.edge.first_difference import first_difference, layer_name
from herder.edge.openvino_files import convert_onnx, save_openvino
from herder.errors import ModelFileError

MIDDLE = "backbone.stages.1.1.conv3.conv"
"""A convolution in the middle of the tiny network."""

CANVASES = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)


def spoiled(model, layer=MIDDLE, value=9.0):
    """The ONNX model with one weight of one layer changed."""
    (tensor,) = [t for t in model.graph.initializer if t.name.removesuffix("_float16") == f"network.{layer}.weight"]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


@pytest.mark.parametrize("layer", [MIDDLE, "backbone.stem.conv", "head.reg_preds.1"])
def test_a_changed_weight_is_found_where_it_is(network, onnx_file, tmp_path, layer):
    assert first_difference(network, onnx_file, CANVASES) is None
    onnx.save(spoiled(onnx.load(onnx_file), layer), tmp_path / "m.onnx")
    found = first_difference(network, tmp_path / "m.onnx", CANVASES)
    assert found.layer == layer
    assert found.difference > 0
    assert f"the first layer that differs is {layer}, by " in str(found)


def test_the_difference_is_the_one_that_torch_computes(network, onnx_file, tmp_path):
    onnx.save(spoiled(onnx.load(onnx_file)), tmp_path / "m.onnx")
    found = first_difference(network, tmp_path / "m.onnx", CANVASES)
    folded, other = network.fused(), network.fused()
    with torch.no_grad():
        other.get_submodule(MIDDLE).weight.flatten()[0] = 9.0
    kept = []
    for one in (folded, other):
        one.get_submodule(MIDDLE).register_forward_hook(lambda _, __, output: kept.append(output.clone()))
        with torch.no_grad():
            one(torch.from_numpy(CANVASES).permute(0, 3, 1, 2))
    assert found.difference == pytest.approx(float((kept[0] - kept[1]).abs().max()), rel=1e-3)
    assert found.largest == pytest.approx(float(kept[0].abs().max()), rel=1e-3)


def test_openvino_files_are_looked_into_too(network, onnx_file, tmp_path):
    facts = ExportFacts(nms=False, needs_nms=True, fixed_size=None)
    save_openvino(convert_onnx(onnx_file), tmp_path / "good.xml", network.spec, facts, half=False)
    assert first_difference(network, tmp_path / "good.xml", CANVASES) is None
    onnx.save(spoiled(onnx.load(onnx_file)), tmp_path / "m.onnx")
    save_openvino(convert_onnx(tmp_path / "m.onnx"), tmp_path / "bad.xml", network.spec, facts, half=False)
    assert first_difference(network, tmp_path / "bad.xml", CANVASES).layer == MIDDLE


def test_a_focus_stem_is_folded_and_still_found(bgr_network, bgr_file, tmp_path):
    assert first_difference(bgr_network, bgr_file, CANVASES) is None
    onnx.save(spoiled(onnx.load(bgr_file), "backbone.stem.conv"), tmp_path / "bad.onnx")
    assert first_difference(bgr_network, tmp_path / "bad.onnx", CANVASES).layer == "backbone.stem.conv"


def test_not_a_number_is_a_difference(network, onnx_file, tmp_path):
    onnx.save(spoiled(onnx.load(onnx_file), value=float("nan")), tmp_path / "m.onnx")
    assert first_difference(network, tmp_path / "m.onnx", CANVASES).layer == MIDDLE


def test_a_graph_that_names_no_layer_is_refused(network, tmp_path):
    sides = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["images"], ["boxes"])
    ends = [[sides(name, 1, ["b", 3, "h", "w"])] for name in ("images", "boxes")]
    graph = onnx.helper.make_graph([node], "g", *ends)
    onnx.save(
        onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]),
        tmp_path / "m.onnx",
    )
    with pytest.raises(ModelFileError, match="names none of the network's layers"):
        first_difference(network, tmp_path / "m.onnx", CANVASES)


@pytest.mark.parametrize(
    ("write", "name"), [(export_onnx, "m.onnx"), pytest.param(export_openvino, "m.xml", marks=pytest.mark.slow)]
)
def test_an_export_gone_wrong_names_the_layer_and_leaves_nothing(network, tmp_path, monkeypatch, write, name):
    monkeypatch.setattr(export_room, "onnx_graph", lambda *a, **k: spoiled(onnx_graph(*a, **k)))
    with pytest.raises(ModelFileError, match=f"does not agree with the network: .*differs is {MIDDLE}") as caught:
        write(network, network.spec, tmp_path / name)
    assert "nothing was written" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_difference_behind_the_last_layer_is_said_to_be_there(network, tmp_path, monkeypatch):
    class Liar(export_room.OnnxEngine):
        def predict(self, canvases):
            boxes, scores = super().predict(canvases)
            return boxes + 2, scores

    monkeypatch.setattr(export_room, "OnnxEngine", Liar)
    with pytest.raises(ModelFileError, match=r"all convolutions agree .*: it comes from decoding or suppression"):
        export_onnx(network, network.spec, tmp_path / "m.onnx")


def test_torchscript_names_the_first_weight(network, tmp_path, monkeypatch):
    class Spoiled(export_room.InferenceGraph):
        def __init__(self, folded):
            super().__init__(folded)
            with torch.no_grad():
                folded.get_submodule(MIDDLE).weight.flatten()[0] = 9.0

    monkeypatch.setattr(export_room, "InferenceGraph", Spoiled)
    with pytest.raises(ModelFileError, match=rf"first weight that differs is {re.escape(MIDDLE)}\.weight"):
        export_torchscript(network, network.spec, tmp_path / "m.torchscript")


def test_other_tensors_than_convolutions_have_no_layer():
    assert layer_name("/head/cls_convs.2/cls_convs.2.1/conv/Conv_output_0") == "head.cls_convs.2.1.conv"
    assert (
        layer_name("/backbone/stages.0/stages.0.1/m/m.0/conv1/conv/Conv_output_0")
        == "backbone.stages.0.1.m.0.conv1.conv"
    )
    assert layer_name("/head/Concat_output_0") is None
    assert layer_name("boxes") is None

import onnx
import pytest

from herder.edge.openvino_files import convert_onnx
from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.errors import ModelFileError


def changed(source, target, change):
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def other_operator(model):
    model.graph.node[5].op_type = "Frobnicate"


def other_domain(model):
    model.graph.node[5].domain = "com.acme"
    model.opset_import.append(onnx.helper.make_opsetid("com.acme", 1))


@pytest.mark.parametrize("engine", [OnnxEngine, OpenVinoEngine, convert_onnx])
@pytest.mark.parametrize(("change", "name"), [(other_operator, "Frobnicate"), (other_domain, "com.acme")])
def test_an_operator_that_an_engine_lacks_is_named(onnx_file, tmp_path, engine, change, name):
    path = changed(onnx_file, tmp_path / "m.onnx", change)
    with pytest.raises(ModelFileError, match=rf"m\.onnx: (ONNX Runtime|OpenVINO) 2?\S+ does not know .*{name}"):
        engine(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(model.opset_import[0], "version", 999), "does not know opset 999"),
        (lambda model: setattr(model, "ir_version", 999), "does not know ONNX files of version 999"),
    ],
)
def test_files_of_the_future_are_told(onnx_file, tmp_path, change, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        OnnxEngine(changed(onnx_file, tmp_path / "m.onnx", change))
    assert "upgrade it" in caught.value.hint


def test_an_operator_that_openvino_lacks_in_its_own_file(network, onnx_file, tmp_path):
    from herder.edge.export_facts import ExportFacts
    from herder.edge.openvino_files import save_openvino

    path = tmp_path / "m.xml"
    facts = ExportFacts(nms=False, needs_nms=True, fixed_size=None)
    save_openvino(convert_onnx(onnx_file), path, network.spec, facts, half=False)
    path.write_text(path.read_text().replace('type="Sigmoid" version="opset1"', 'type="Frobnicate" version="opset1"'))
    with pytest.raises(ModelFileError, match="does not know the operator Frobnicate of opset1"):
        OpenVinoEngine(path)

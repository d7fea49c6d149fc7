import pytest

from herder.edge.engine_packages import openvino_package
from herder.edge.export_facts import ExportFacts
from herder.edge.graph_flops import count_graph_work
from herder.edge.ir_flops import count_ir_work
from herder.edge.openvino_files import save_openvino
from herder.edge.runtime import OnnxEngine
from herder.errors import ConfigError, ModelFileError


@pytest.fixture(scope="module", params=[False, True])
def ir_file(request, onnx_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("ir") / "model.xml"
    model = openvino_package().Core().read_model(onnx_file)
    save_openvino(model, path, OnnxEngine(onnx_file).spec, ExportFacts(False, True, None), half=request.param)
    return path


@pytest.mark.parametrize("size", [64, 160])
def test_counts_what_the_onnx_file_counts(ir_file, onnx_file, size):
    assert count_ir_work(ir_file, size) == count_graph_work(onnx_file, size)


def test_another_size_than_the_files_own(onnx_file, tmp_path):
    model = openvino_package().Core().read_model(onnx_file)
    model.reshape([1, 3, 96, 96])
    path = tmp_path / "fixed.xml"
    save_openvino(model, path, OnnxEngine(onnx_file).spec, ExportFacts(False, True, 96), half=False)
    assert count_ir_work(path, 96).macs == count_graph_work(onnx_file, 96).macs
    with pytest.raises(ConfigError, match="exported for 96 pixels only"):
        count_ir_work(path, 64)


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("<net>")
    with pytest.raises(ModelFileError, match=r"model\.xml"):
        count_ir_work(path, 64)

"""Published weights: the imported network against ONNX Runtime on the published file, and a pickle made for the
test."""

import numpy as np
import pytest
import torch
from torch import nn

from herder.errors import ConfigError, ModelFileError
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.model.pretrained import COCO_CLASSES, calibrate_batchnorm, import_weights, imported_spec
from herder.model.transfer import merge_classes, transfer_weights


def published_rows(network, images):
    """What the published network gives for images (B, 3, H, W): (B, A, 5 + K)."""
    with torch.no_grad():
        raw = network.raw(images)
    return torch.cat((raw.box, raw.obj.sigmoid(), raw.cls.sigmoid()), -1).numpy()


@pytest.fixture
def nano(shared_dir):
    return shared_dir / "pretrained" / "yolox_nano.onnx"


@pytest.mark.shared
def test_raw_outputs_agree_with_onnx_runtime(nano, shared_dir):
    import onnxruntime

    from herder.boxes import Letterbox
    from herder.images import read_image

    session = onnxruntime.InferenceSession(str(nano), providers=["CPUExecutionProvider"])
    network = import_weights(nano)
    assert network.spec.name == "yolox-nano"
    assert network.spec.class_names == COCO_CLASSES
    photos = sorted((shared_dir / "alpaca" / "images" / "val").iterdir())[:3]
    canvases = [Letterbox.fit(*read_image(p).shape[1::-1], 416).apply(read_image(p)) for p in photos]
    rng = np.random.default_rng(0)
    canvases.append(rng.integers(0, 256, (416, 416, 3), np.uint8))
    for canvas in canvases:
        rgb = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        (wanted,) = session.run(None, {"images": np.ascontiguousarray(rgb[:, ::-1])})  # the published network takes BGR
        found = published_rows(network, torch.from_numpy(rgb))
        # Both engines round in float32 over 113 convolutions: against float64 each is off by up to 1.5e-4 itself.
        difference = np.abs(found - wanted)
        assert np.quantile(difference, 0.9999) <= 1e-4
        assert difference.max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.shared
def test_it_goes_through_a_model_file(nano, tmp_path):
    network = import_weights(nano)
    save_model(network, network.spec, tmp_path / "nano.safetensors")
    again = load_model(tmp_path / "nano.safetensors")
    images = torch.rand(1, 3, 64, 96) * 255
    np.testing.assert_array_equal(published_rows(again, images), published_rows(network, images))
    assert "Megvii" in again.spec.origin


@pytest.mark.shared
def test_the_wrong_model_name_is_refused(nano):
    with pytest.raises(ModelFileError, match="yolox-s"):
        import_weights(nano, model="yolox-s")


def test_calibration_changes_the_norms_and_not_the_function():
    torch.manual_seed(0)
    network = Network(imported_spec("yolox-nano", 3)).eval()
    images = torch.rand(4, 3, 96, 96) * 255
    before = published_rows(network, images)
    calibrate_batchnorm(network, images)
    np.testing.assert_allclose(published_rows(network, images), before, atol=2e-3)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(abs(n.running_mean).max() > 1e-3 for n in norms)
    # In batch mode on the same images the norms see what they were told (all photos, biased variance apart).
    network.train()
    np.testing.assert_allclose(published_rows(network, images), before, atol=0.05)


def published_name(name):
    """herder's tensor name as the published pickles have it (the reverse of what the import does)."""
    neck = {"lateral5": "lateral_conv0", "down4": "C3_p4", "lateral4": "reduce_conv1", "down3": "C3_p3"}
    neck |= {"reduce3": "bu_conv2", "up4": "C3_n3", "reduce4": "bu_conv1", "up5": "C3_n4"}
    parts = name.split(".")
    if parts[0] == "neck":
        return ".".join(["backbone", neck[parts[1]], *parts[2:]])
    if parts[:2] == ["backbone", "stages"]:
        return ".".join(["backbone", "backbone", f"dark{int(parts[2]) + 2}", *parts[3:]])
    return f"backbone.{name}" if parts[0] == "backbone" else name


@pytest.fixture
def pickle_file(tmp_path):
    torch.manual_seed(3)
    network = Network(imported_spec("yolox-nano", 80))
    path = tmp_path / "yolox_nano.pth"
    torch.save({"model": {published_name(n): v for n, v in network.state_dict().items()}, "epoch": 300}, path)
    return network, path


def test_a_pickle_is_never_opened_unasked(pickle_file):
    with pytest.raises(ConfigError, match="pickle") as error:
        import_weights(pickle_file[1])
    assert "--allow-pickle" in error.value.hint


def test_an_allowed_pickle_is_read_with_a_warning(pickle_file, caplog):
    network, path = pickle_file
    found = import_weights(path, allow_pickle=True)
    assert found.spec.name == "yolox-nano"
    assert "pickle" in caplog.text
    for name, value in network.state_dict().items():
        if name == "backbone.stem.conv.conv.weight":
            value = value * 255  # published networks take 0..255, ours 0..1
        torch.testing.assert_close(found.state_dict()[name], value)


def test_an_allowed_pickle_still_cannot_run_a_program(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("this must not be printed",)

    path = tmp_path / "evil.pth"
    torch.save({"model": Evil()}, path)
    with pytest.raises(ModelFileError, match=r"evil\.pth"):
        import_weights(path, allow_pickle=True)


@pytest.mark.parametrize("name", ["a.onnx", "a.pth", "a.bin"])
def test_files_that_are_no_network(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"not a network at all")
    with pytest.raises(ModelFileError, match=name):
        import_weights(path, allow_pickle=True)
    with pytest.raises(ModelFileError, match="no such file"):
        import_weights(tmp_path / "missing" / name)


def test_transfer_takes_rows_by_name_and_animals_for_the_unknown():
    torch.manual_seed(0)
    source = Network(imported_spec("yolox-nano", 80))
    target = Network(source.spec.replace(class_names=("sheep", "alpaca")))
    report = transfer_weights(target, source.state_dict(), source.spec.class_names)
    rows = source.head.cls_preds[1].weight
    assert torch.equal(target.head.cls_preds[1].weight[0], rows[18])  # COCO's sheep
    torch.testing.assert_close(target.head.cls_preds[1].weight[1], rows[14:24].mean(0))
    assert torch.equal(target.backbone.stem.conv.conv.weight, source.backbone.stem.conv.conv.weight)
    assert not report.left
    assert "sheep" in report.classes["alpaca"]


def test_transfer_of_another_architecture_is_refused():
    source = Network(imported_spec("yolox-tiny", 2))
    with pytest.raises(ModelFileError, match="do not fit"):
        transfer_weights(Network(imported_spec("yolox-nano", 2)), source.state_dict(), source.spec.class_names)


def test_the_engine_gives_a_training_network_back_in_training_mode():
    network = Network(imported_spec("yolox-nano", 2)).train()
    engine = TorchEngine(network, fuse=False)
    boxes, scores = engine.predict(np.zeros((2, 64, 32, 3), np.uint8))
    assert boxes.shape == (2, 8 * 4 + 4 * 2 + 2, 4)
    assert scores.shape == (2, 42, 2)
    assert network.training


def test_a_class_merged_from_animals_of_which_one_fires_is_that_one():
    torch.manual_seed(1)
    source = Network(imported_spec("yolox-nano", 80)).eval()
    sheep = 18
    images = torch.rand(6, 3, 96, 96) * 255
    with torch.no_grad():
        for layer in source.head.cls_preds:
            layer.bias.fill_(-30.0)  # nothing is ever seen
            layer.bias[sheep] = 0.5
            layer.weight[sheep] *= 20
    target = Network(source.spec.replace(class_names=("alpaca",))).eval()
    transfer_weights(target, source.state_dict(), source.spec.class_names)
    with torch.no_grad():
        wanted = source.raw(images).cls[..., sheep]
        assert wanted.abs().max() < 6  # inside the range of logits that the fit looks at
        before = (target.raw(images).cls[..., 0] - wanted).abs().max()
        assert merge_classes(target, source, images) == ("alpaca",)
        after = (target.raw(images).cls[..., 0] - wanted).abs().max()
    assert after < 0.05 < before


def test_a_class_that_the_source_knows_keeps_its_row():
    source = Network(imported_spec("yolox-nano", 80)).eval()
    target = Network(source.spec.replace(class_names=("sheep", "alpaca"))).eval()
    transfer_weights(target, source.state_dict(), source.spec.class_names)
    before = target.head.cls_preds[0].weight[0].clone()
    assert merge_classes(target, source, torch.rand(2, 3, 64, 64) * 255) == ("alpaca",)
    assert torch.equal(target.head.cls_preds[0].weight[0], before)

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from herder import api
from herder.cli import app, detect
from herder.cli.photo_paths import find_photos, short_names, with_suffix
from herder.errors import ConfigError, DataError, ResourceError
from herder.inference import Detector
from herder.spec import example_spec

runner = CliRunner()


class WhiteFinder:
    """An engine that boxes the white rectangle on each canvas, surely, and the whole canvas, hardly."""

    needs_nms, fixed_size = True, None

    def __init__(self):
        self.spec = example_spec().replace(input_size=64)

    def predict(self, canvases):
        boxes = np.zeros((len(canvases), 2, 4), np.float32)
        scores = np.zeros((len(canvases), 2, 1), np.float32)
        for row, canvas in enumerate(canvases):
            y, x = np.nonzero((canvas > 250).all(axis=2))
            if len(x):
                boxes[row, 0] = (x.min(), y.min(), x.max() + 1, y.max() + 1)
                scores[row, 0] = 0.9
            boxes[row, 1] = (0, 0, 64, 64)
            scores[row, 1] = 0.02
        return boxes, scores


@pytest.fixture
def herder(monkeypatch):
    """Run ``herder detect model.onnx ...`` with an engine that knows the truth."""
    monkeypatch.setattr(api, "load", lambda *_, **__: Detector(WhiteFinder()))

    def run(*arguments):
        return runner.invoke(app, ["detect", "model.onnx", *map(str, arguments)])

    return run


def draw(path, box=(16, 8, 40, 24), size=(64, 64)):
    pixels = np.full((size[1], size[0], 3), 60, np.uint8)
    if box:
        pixels[box[1] : box[3], box[0] : box[2]] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_table_is_printed(herder, tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", box=None)
    result = herder(tmp_path)
    assert result.exit_code == 0, result.output
    assert "1 alpaca" in result.stdout
    assert "0.90" in result.stdout
    assert "none" in result.stdout
    assert "1 animals on 2 photos" in result.stdout


def test_json_is_one_document_and_nothing_else(herder, tmp_path):
    path = draw(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no photo")
    result = herder(tmp_path, "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    (photo,) = document["photos"]
    assert photo == {
        "file": str(path),
        "width": 64,
        "height": 64,
        "detections": [{"category": "alpaca", "score": 0.9, "box": [16.0, 8.0, 40.0, 24.0]}],
    }
    (aside,) = document["set_aside"]
    assert aside["file"] == str(tmp_path / "b.jpg")
    assert document["complete"] is True


def test_coco_goes_down_to_a_hundredth_whatever_is_shown(herder, tmp_path):
    draw(tmp_path / "photos" / "a.png")
    out = tmp_path / "new" / "found.json"
    result = herder(tmp_path / "photos", "--score", 0.5, "--save-coco", out, "--json")
    assert json.loads(out.read_text()) == [
        {"file_name": "a.png", "category": "alpaca", "bbox": [16.0, 8.0, 24.0, 16.0], "score": 0.9},
        {"file_name": "a.png", "category": "alpaca", "bbox": [0.0, 0.0, 64.0, 64.0], "score": 0.02},
    ]
    assert len(json.loads(result.stdout)["photos"][0]["detections"]) == 1
    assert [p.name for p in out.parent.iterdir()] == ["found.json"]


def test_coco_of_photos_without_animals_is_an_empty_list(herder, tmp_path, monkeypatch):
    monkeypatch.setattr(WhiteFinder, "predict", lambda _, c: (np.zeros((len(c), 0, 4)), np.zeros((len(c), 0, 1))))
    draw(tmp_path / "a.png")
    assert herder(tmp_path, "--save-coco", tmp_path / "found.json").exit_code == 0
    assert json.loads((tmp_path / "found.json").read_text()) == []


def test_yolo_labels_read_back(herder, tmp_path):
    draw(tmp_path / "photos" / "a.png")
    draw(tmp_path / "photos" / "b.png", box=None, size=(100, 50))
    assert herder(tmp_path / "photos", "--save-yolo", tmp_path / "labels").exit_code == 0
    assert (tmp_path / "labels" / "classes.txt").read_text() == "alpaca\n"
    kind, *numbers = (tmp_path / "labels" / "a.txt").read_text().split()
    assert kind == "0"
    np.testing.assert_allclose([float(n) for n in numbers], [28 / 64, 16 / 64, 24 / 64, 16 / 64], atol=1e-7)
    assert (tmp_path / "labels" / "b.txt").read_text() == ""


def test_pictures_are_drawn_and_the_photos_left_alone(herder, tmp_path):
    draw(tmp_path / "photos" / "a.png")
    draw(tmp_path / "photos" / "b.bmp")
    before = contents(tmp_path / "photos")
    assert herder(tmp_path / "photos", "--out", tmp_path / "drawn").exit_code == 0
    assert contents(tmp_path / "photos") == before
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.png", "b.jpg"]
    with Image.open(tmp_path / "drawn" / "a.png") as picture:
        assert picture.size == (64, 64)


def test_the_photos_own_folder_is_no_place_for_pictures(herder, tmp_path):
    draw(tmp_path / "a.png")
    before = contents(tmp_path)
    for extra in ([], ["--overwrite"]):
        result = herder(tmp_path, "--out", tmp_path, *extra)
        assert isinstance(result.exception, ConfigError)
        assert "would replace a file that is read" in str(result.exception)
    result = herder(tmp_path, "--save-coco", tmp_path / "a.png")
    assert isinstance(result.exception, ConfigError)
    assert contents(tmp_path) == before


def test_labels_that_are_there_stay_unless_told(herder, tmp_path):
    draw(tmp_path / "photos" / "a.png")
    mine = tmp_path / "labels" / "a.txt"
    mine.parent.mkdir()
    mine.write_text("0 0.5 0.5 0.1 0.1\n")
    result = herder(tmp_path / "photos", "--save-yolo", mine.parent)
    assert "is there already" in str(result.exception)
    assert mine.read_text() == "0 0.5 0.5 0.1 0.1\n"
    assert herder(tmp_path / "photos", "--save-yolo", mine.parent, "--overwrite").exit_code == 0
    assert mine.read_text() != "0 0.5 0.5 0.1 0.1\n"


def test_photos_of_one_name_in_two_folders_do_not_meet(herder, tmp_path):
    for folder, x in (("cam1", 8), ("cam2", 24)):
        draw(tmp_path / folder / "1.png", (x, 8, x + 16, 24))
    draw(tmp_path / "cam1" / "1.bmp", None)
    result = herder(
        tmp_path / "cam1",
        tmp_path / "cam2",
        *("--out", tmp_path / "drawn", "--save-yolo", tmp_path / "labels", "--save-coco", tmp_path / "found.json"),
    )
    assert result.exit_code == 0, result.output
    drawn = sorted(str(p.relative_to(tmp_path / "drawn")) for p in (tmp_path / "drawn").rglob("*.*"))
    assert drawn == ["cam1/1.jpg", "cam1/1.png", "cam2/1.png"]
    labels = sorted(str(p.relative_to(tmp_path / "labels")) for p in (tmp_path / "labels").rglob("*.txt"))
    assert labels == ["cam1/1.bmp.txt", "cam1/1.png.txt", "cam2/1.txt", "classes.txt"]
    best = [row for row in json.loads((tmp_path / "found.json").read_text()) if row["score"] > 0.5]
    assert {row["file_name"]: row["bbox"][0] for row in best} == {"cam1/1.png": 8, "cam2/1.png": 24}


def test_one_bad_photo_is_named_and_the_rest_goes_on(herder, tmp_path):
    draw(tmp_path / "a.png")
    whole = draw(tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) // 2])
    draw(tmp_path / "c.png")
    result = herder(tmp_path, "--batch", 2)
    assert result.exit_code == 3
    assert "b.jpg" in result.stderr
    assert "2 photos" in result.stdout


def test_nothing_usable_is_an_error(herder, tmp_path):
    (tmp_path / "a.jpg").write_text("no photo")
    (tmp_path / "found.json").write_text("[1]")
    result = herder(tmp_path / "a.jpg", tmp_path / "none.jpg", "--save-coco", tmp_path / "found.json")
    assert isinstance(result.exception, DataError)
    assert "no photo could be read" in str(result.exception)
    assert "none.jpg: no such file" in result.stderr
    assert (tmp_path / "found.json").read_text() == "[1]"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "found.json"]


def test_an_empty_folder_is_an_error(herder, tmp_path):
    draw(tmp_path / "deep" / "a.png")
    result = herder(tmp_path)
    assert isinstance(result.exception, DataError)
    assert "--recursive" in result.stderr
    assert herder(tmp_path, "--recursive").exit_code == 0


def test_an_unwritable_place_is_named_before_any_work(herder, tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    result = herder(tmp_path, "--save-coco", tmp_path / "file" / "found.json")
    assert isinstance(result.exception, ResourceError)
    assert "found.json" in str(result.exception)
    result = herder(tmp_path, "--save-coco", tmp_path)
    assert isinstance(result.exception, ResourceError)


def test_memory_does_not_grow_with_the_number_of_photos(herder, tmp_path, monkeypatch):
    path = draw(tmp_path / "a.png")
    alive, most = set(), 0
    read = detect.read_image

    class Counted(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def counted(source):
        nonlocal most
        pixels = read(source).view(Counted)
        alive.add(id(pixels))
        most = max(most, len(alive))
        return pixels

    monkeypatch.setattr(detect, "read_image", counted)
    for i in range(60):
        (tmp_path / f"{i}.png").hardlink_to(path)
    assert herder(tmp_path, "--batch", 2, "--json").exit_code == 0
    assert most <= 12


def test_stopping_leaves_whole_files(herder, tmp_path, monkeypatch):
    for i in range(6):
        draw(tmp_path / "photos" / f"{i}.png")
    predict, calls = WhiteFinder.predict, []

    def stop_at_third(self, canvases):
        calls.append(len(canvases))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(self, canvases)

    monkeypatch.setattr(WhiteFinder, "predict", stop_at_third)
    result = herder(tmp_path / "photos", "--json", "--save-coco", tmp_path / "out" / "found.json")
    assert result.exit_code != 0
    document = json.loads(result.stdout)
    assert (len(document["photos"]), document["complete"]) == (2, False)
    assert {row["file_name"] for row in json.loads((tmp_path / "out" / "found.json").read_text())} == {"0.png", "1.png"}
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["found.json"]


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as Linux does")
def test_control_c_in_the_terminal(tmp_path):
    for i in range(200):
        draw(tmp_path / "photos" / f"{i:03}.png")
    code = f"""
        import importlib.util, signal, sys, time
        # Where the tests run in the background, a shell lets its children ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from herder import api
        from herder.cli import main
        from herder.inference import Detector
        spec = importlib.util.spec_from_file_location("truth", {__file__!r})
        truth = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(truth)
        class Slow(truth.WhiteFinder):
            def predict(self, canvases):
                print("going", file=sys.stderr, flush=True)
                time.sleep(0.05)
                return super().predict(canvases)
        api.load = lambda *_, **__: Detector(Slow())
        sys.argv = ["herder", "detect", "model.onnx", {str(tmp_path / "photos")!r},
                    "--save-coco", {str(tmp_path / "found.json")!r}, "--json"]
        main()
    """
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if line.startswith("going"):
                break
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["complete"] is False
    assert isinstance(json.loads((tmp_path / "found.json").read_text()), list)


def test_photos_are_found_in_files_folders_and_patterns(tmp_path):
    names = ("a.jpg", "B.PNG", "deep/c.webp", "deep/deeper/d.tiff", ".hidden.jpg", "notes.txt", ".git/e.jpg")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    problems = []

    def find(*patterns, recursive=False):
        found = find_photos(
            [str(tmp_path / p) for p in patterns], recursive=recursive, problem=lambda *p: problems.append(p)
        )
        return [p.relative_to(tmp_path).as_posix() for p in found]

    assert find(".") == ["B.PNG", "a.jpg"]
    assert find(".", recursive=True) == ["B.PNG", "a.jpg", "deep/c.webp", "deep/deeper/d.tiff"]
    assert find("*.jpg", "a.jpg", "deep/../a.jpg") == ["a.jpg"]
    assert find("**/*.*") == ["B.PNG", "a.jpg", "deep/c.webp", "deep/deeper/d.tiff"]
    assert find("dee*") == ["deep/c.webp"]
    assert find("notes.txt", "gone.jpg") == ["notes.txt", "gone.jpg"]  # named: reading them says what is wrong
    assert problems == []
    assert find("*.bmp") == []
    assert problems == [(str(tmp_path / "*.bmp"), "no photo matches")]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "a[1].jpg").write_text("")
    assert find_photos([str(tmp_path / "a[1].jpg")], recursive=False, problem=pytest.fail) == [tmp_path / "a[1].jpg"]


def test_names_never_meet():
    paths = [Path(p) for p in ("x/1.jpg", "x/1.png", "y/1.jpg", "y/z/1.jpg")]
    names = short_names(paths)
    assert [str(n) for n in names] == ["x/1.jpg", "x/1.png", "y/1.jpg", "y/z/1.jpg"]
    labels = with_suffix(names, lambda _: ".txt")
    assert [str(n) for n in labels] == ["x/1.jpg.txt", "x/1.png.txt", "y/1.txt", "y/z/1.txt"]
    assert short_names([]) == []


def test_many_photos_run_in_the_faster_engine(tmp_path, monkeypatch):
    for i in range(3):
        draw(tmp_path / f"{i}.png")
    asked, loaded = [], []

    def faster(model, threads, *, canvas, photos):
        asked.append((canvas, photos))
        return "openvino"

    def load(model, *, engine, threads):
        loaded.append(engine)
        return Detector(WhiteFinder())

    monkeypatch.setattr(detect, "faster_engine", faster)
    monkeypatch.setattr(api, "load", load)
    monkeypatch.setattr(detect, "WORTH_A_TRIAL", 4)
    assert runner.invoke(app, ["detect", "model.onnx", str(tmp_path)]).exit_code == 0
    monkeypatch.setattr(detect, "WORTH_A_TRIAL", 3)
    assert runner.invoke(app, ["detect", "model.onnx", str(tmp_path), "--engine", "onnx"]).exit_code == 0
    assert (asked, loaded) == ([], ["auto", "onnx"])
    assert runner.invoke(app, ["detect", "model.onnx", str(tmp_path)]).exit_code == 0
    assert (asked, loaded[2:]) == ([((64, 64), 3)], ["auto", "openvino"])
    wrong = runner.invoke(app, ["detect", "model.onnx", str(tmp_path), "--size", "0"])
    assert isinstance(wrong.exception, ConfigError)
    assert len(asked) == 1  # no trial for a size that cannot be


def test_further_looks_find_the_same_animal(herder, tmp_path):
    draw(tmp_path / "a.png")
    found = herder(tmp_path / "a.png", "--tta", "flip,96", "--json")
    assert found.exit_code == 0
    told = json.loads(found.stdout)
    assert told["tta"] == "flip,96"
    np.testing.assert_allclose(told["photos"][0]["detections"][0]["box"], [16, 8, 40, 24], atol=1)
    assert told["photos"][0]["detections"][0]["score"] == pytest.approx(0.9)
    plain = json.loads(herder(tmp_path / "a.png", "--json").stdout)
    assert "tta" not in plain


def test_views_that_are_none_are_refused_before_any_photo(herder, tmp_path):
    draw(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="neither 'flip' nor a size"):
        raise herder(tmp_path / "a.png", "--tta", "turn").exception

"""YOLO folders: what is read from files written by hand, and every broken label."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herder.data.formats import available_splits, read_dataset, read_splits
from herder.data.records import Severity
from herder.errors import DataError

Maker = Callable[..., Path]

WHOLE = "0 0.5 0.5 1 1\n"


def reasons(dataset) -> list[str]:
    return [problem.reason for problem in dataset.problems]


def test_boxes_are_pixels_of_the_photo(yolo_folder: Maker) -> None:
    dataset = read_dataset(yolo_folder(["0 0.5 0.5 0.25 0.5\n1 0.125 0.25 0.25 0.5\n"], ["alpaca", "llama"]))
    # By hand for 64 x 48: centre (32, 24), 16 x 24; centre (8, 12), 16 x 24.
    assert dataset[0].boxes.tolist() == [[24, 12, 40, 36], [0, 0, 16, 24]]
    assert dataset[0].classes.tolist() == [0, 1]
    assert (dataset[0].width, dataset[0].height) == (64, 48)
    assert dataset.class_names == ("alpaca", "llama")
    assert dataset.problems == ()


def test_the_upright_photo_counts(yolo_folder: Maker, make_photo: Maker) -> None:
    from PIL import Image

    root = yolo_folder([WHOLE])
    exif = Image.Exif()
    exif[0x0112] = 6
    make_photo(root / "images/train/photo0.jpg", (64, 48), exif=exif)
    record = read_dataset(root)[0]
    assert (record.width, record.height) == (48, 64)
    assert record.boxes.tolist() == [[0, 0, 48, 64]]


def test_an_empty_label_file_is_background_and_a_missing_one_is_noted(yolo_folder: Maker) -> None:
    dataset = read_dataset(yolo_folder([WHOLE, "", None]))
    assert [len(record) for record in dataset] == [1, 0, 0]
    assert reasons(dataset) == ["no-label"]
    assert dataset.problems[0].severity is Severity.NOTE
    assert dataset.problems[0].path.name == "photo2.jpg"


@pytest.mark.parametrize(
    ("line", "reason", "said"),
    [
        ("0 0.5 0.5 0.2", "malformed-line", "line 2: 4 numbers, wanted 5"),
        ("0 0.5 0.5 0.2 0.2 0.9", "malformed-line", "line 2: 6 numbers"),
        ("0 0.5 0.5 0.2 wide", "malformed-line", "line 2: '0 0.5 0.5 0.2 wide' is not all numbers"),
        ("0,0.5,0.5,0.2,0.2", "malformed-line", "line 2: 1 numbers, wanted 5"),
        ("0.5 0.5 0.5 0.2 0.2", "malformed-line", "line 2: class 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "malformed-line", "line 2: class nan"),
        ("0 nan 0.5 0.2 0.2", "not-finite", "line 2: NaN or infinite"),
        ("0 0.5 0.5 inf 0.2", "not-finite", "line 2: NaN or infinite"),
        ("0 0.5 0.5 0 0.2", "zero-area", "line 2: the box has no area"),
        ("0 0.5 0.5 -0.2 0.2", "zero-area", "line 2: the box has no area"),
        ("0 1.5 0.5 0.2 0.2", "box-outside", "line 2: the box"),
        ("0 320 240 20 20", "box-outside", "wholly outside the photo of 64 x 48"),
        ("3 0.5 0.5 0.2 0.2", "class-out-of-range", "line 2: class 3, but there are 1 classes"),
        ("-1 0.5 0.5 0.2 0.2", "class-out-of-range", "line 2: class -1"),
        (WHOLE, "duplicate-box", "line 2: the same box again"),
    ],
)
def test_a_bad_line_is_set_aside_and_the_rest_goes_on(yolo_folder: Maker, line: str, reason: str, said: str) -> None:
    root = yolo_folder([WHOLE + line + "\n0 0.25 0.25 0.25 0.25\n"])
    before = (root / "labels/train/photo0.txt").read_bytes()
    dataset = read_dataset(root)
    assert len(dataset[0]) == 2
    (problem,) = dataset.problems
    assert (problem.reason, problem.severity) == (reason, Severity.SET_ASIDE)
    assert said in problem.message
    assert problem.path.name == "photo0.txt"
    assert problem.hint
    assert (root / "labels/train/photo0.txt").read_bytes() == before


def test_a_box_past_the_border_is_cut_with_a_note(yolo_folder: Maker) -> None:
    dataset = read_dataset(yolo_folder(["0 0 0.5 0.5 0.5\n"]))
    assert dataset[0].boxes.tolist() == [[0, 12, 16, 36]]
    assert [(p.reason, p.severity) for p in dataset.problems] == [("box-clipped", Severity.NOTE)]


def test_rounding_at_the_border_is_no_finding(yolo_folder: Maker) -> None:
    dataset = read_dataset(yolo_folder(["0 0.499999 0.5 1.000000 1.0\n"]))
    assert dataset.problems == ()
    assert dataset[0].boxes[0, 0] == 0


def test_a_photo_that_loses_all_its_labels_is_no_background(yolo_folder: Maker) -> None:
    dataset = read_dataset(yolo_folder([WHOLE, "7 0.5 0.5 0.2 0.2\n", "what is this\n"]))
    assert [record.path.name for record in dataset] == ["photo0.jpg"]
    assert reasons(dataset) == ["class-out-of-range", "no-usable-box", "malformed-line", "no-usable-box"]


def test_a_polygon_becomes_its_box(yolo_folder: Maker) -> None:
    dataset = read_dataset(yolo_folder(["0 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75\n"]))
    assert dataset[0].boxes.tolist() == [[16, 12, 48, 36]]
    assert reasons(dataset) == ["polygon"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"0 0.5 0.5 1 1\n\xe9t\xe9\n", "line 2: is not UTF-8"),
        (WHOLE.encode("utf-16"), "UTF-16"),
        (b"\0" * 100, "zero bytes"),
    ],
)
def test_a_label_file_that_is_no_text(yolo_folder: Maker, data: bytes, said: str) -> None:
    root = yolo_folder([WHOLE, WHOLE])
    (root / "labels/train/photo1.txt").write_bytes(data)
    dataset = read_dataset(root)
    assert len(dataset) == 1
    assert dataset.problems[0].reason == "label-unreadable"
    assert said in dataset.problems[0].message


def test_a_label_file_past_the_limit(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE, WHOLE])
    with (root / "labels/train/photo1.txt").open("wb") as file:
        file.truncate(10_000_001)  # sparse: takes no space
    dataset = read_dataset(root)
    assert "past the limit" in dataset.problems[0].message


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbf0 0.5 0.5 1 1\n", b"0 0.5 0.5 1 1\r\n\r\n", b"0\t0.5  0.5 1 1", b"0.0 .5 5e-1 1 1\r"]
)
def test_other_ways_to_write_a_text_file(yolo_folder: Maker, data: bytes) -> None:
    root = yolo_folder([WHOLE])
    (root / "labels/train/photo0.txt").write_bytes(data)
    dataset = read_dataset(root)
    assert dataset[0].boxes.tolist() == [[0, 0, 64, 48]]
    assert dataset.problems == ()


def test_photos_that_are_none(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE] * 4)
    photos = root / "images/train"
    whole = (photos / "photo1.jpg").read_bytes()
    (photos / "photo1.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (photos / "photo2.jpg").write_text("hello")
    (photos / "photo3.jpg").write_bytes(b"")
    dataset = read_dataset(root)
    assert [record.path.name for record in dataset] == ["photo0.jpg"]
    assert [(p.reason, p.path.name) for p in dataset.problems] == [
        ("photo-broken", "photo1.jpg"), ("photo-broken", "photo2.jpg"), ("photo-broken", "photo3.jpg"),
    ]  # fmt: skip
    assert all(word in p.message for word, p in zip(("damaged", "not a photo", "empty"), dataset.problems, strict=True))


def test_labels_without_photos_and_photos_of_other_kinds(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE])
    (root / "labels/train/gone.txt").write_text(WHOLE)
    (root / "images/train/iphone.HEIC").write_bytes(b"x")
    (root / "images/train/._photo0.jpg").write_bytes(b"what a Mac leaves")
    (root / "images/train/Thumbs.db").write_bytes(b"what Windows leaves")
    dataset = read_dataset(root)
    assert sorted((p.reason, p.path.name) for p in dataset.problems) == [
        ("photo-missing", "gone.txt"), ("photo-type", "iphone.HEIC"),
    ]  # fmt: skip


def test_splits(yolo_folder: Maker, make_photo: Maker) -> None:
    root = yolo_folder([WHOLE, WHOLE])
    make_photo(root / "images/valid/v.jpg")
    (root / "labels/valid").mkdir()
    (root / "labels/valid/v.txt").write_text(WHOLE)
    assert available_splits(root) == ("train", "val")
    assert len(read_dataset(root, split="val")) == 1
    assert read_dataset(root, split="val").split == "val"
    assert len(read_dataset(root)) == 3
    assert [len(part) for part in read_splits(root)] == [2, 1]
    with pytest.raises(DataError, match="no split 'test'"):
        read_dataset(root, split="test")


@pytest.mark.parametrize("layout", ["train/images", "train", "images", "."])
def test_layouts(tmp_path: Path, make_photo: Maker, layout: str) -> None:
    photos = tmp_path / layout
    labels = tmp_path / layout.replace("images", "labels")
    make_photo(photos / "a.JPG", format="JPEG")
    make_photo(photos / "deep/b.jpg") if layout == "images" else make_photo(photos / "b.jpg")
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "a.txt").write_text(WHOLE)
    (tmp_path / "classes.txt").write_text("\ufeffalpaca\r\n", encoding="utf-8")
    dataset = read_dataset(tmp_path)
    assert [len(record) for record in dataset] == [1, 0]
    assert dataset.class_names == ("alpaca",)
    assert available_splits(tmp_path) == (("train",) if "train" in layout else ())


def test_names_are_numbered_where_there_are_none(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE, "2 0.5 0.5 1 1\n", WHOLE + "123456 0.5 0.5 1 1\n", WHOLE])
    (root / "classes.txt").unlink()
    (root / "labels/train/photo3.txt").write_bytes(b"\xff")
    dataset = read_dataset(root)
    assert dataset.class_names == ("class0", "class1", "class2")
    assert reasons(dataset) == ["no-class-names", "class-out-of-range", "label-unreadable"]


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train\nnames: [alpaca, llama]\n",
        "path: /nowhere/at/all\ntrain: images/train/\nnames: {0: alpaca, 1: llama}\nnc: 2\n",
        "train: ../images/train\nnames:\n  - alpaca\n  - llama\n",
        "train: [images/train]\nval: images/train\nnames: {1: llama, 0: alpaca}\n",
        "train: list.txt\nnames: [alpaca, llama]\n",
        "names: [alpaca, llama]\n",
    ],
)
def test_data_yaml(yolo_folder: Maker, text: str) -> None:
    root = yolo_folder(["1 0.5 0.5 1 1\n"])
    (root / "data.yaml").write_text(text)
    (root / "list.txt").write_text("./images/train/photo0.jpg\n./images/train/gone.jpg\n")
    for path in (root, root / "data.yaml"):
        if path.is_file() and "train" not in text:
            continue
        dataset = read_dataset(path, split="train")
        assert dataset.class_names == ("alpaca", "llama")
        assert dataset[0].classes.tolist() == [1]
        assert reasons(dataset) == (["photo-missing"] if "list" in text else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [a, b\ntrain: x", "line 2: is not YAML"),
        ("just words", "holds no settings"),
        ("", "holds no settings"),
        ("train: images/nowhere\nnames: [a]", "train: no such folder: "),
        ("train: images/train\nnames: [a, b]\nnc: 3", "nc is 3, but there are 2 names"),
        ("train: images/train\nnames: {0: a, 2: b}", "leave a gap"),
        ("train: images/train\nnames: {x: a}", "no number"),
        ("train: images/train\nnames: alpaca", "wanted a list"),
        ("train: images/train\nnames: [a, a]", "'a' comes twice"),
        ("train: images/train\nnames: []", "no class names"),
        ("train: !!python/object/apply:os.system [echo]\nnames: [a]", "is not YAML"),
    ],
)
def test_a_data_yaml_without_sense(yolo_folder: Maker, text: str, said: str) -> None:
    root = yolo_folder([WHOLE])
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        read_dataset(root)
    assert said in caught.value.message
    assert "data.yaml" in caught.value.message


def test_a_split_that_data_yaml_names_but_nobody_has(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE])
    (root / "data.yaml").write_text("train: images/train\ntest: images/test\nnames: [alpaca]\n")
    assert len(read_dataset(root, split="train")) == 1
    dataset = read_dataset(root)
    assert len(dataset) == 1
    assert reasons(dataset) == ["split-unusable"]
    with pytest.raises(DataError, match="test: no such folder"):
        read_dataset(root, split="test")


def test_classes_txt_with_a_hole(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE])
    (root / "classes.txt").write_text("alpaca\n\nllama\n")
    with pytest.raises(DataError, match="line 2: no class name"):
        read_dataset(root)


def test_nothing_usable(tmp_path: Path, yolo_folder: Maker, make_photo: Maker) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_dataset(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        read_dataset(tmp_path / "empty")
    make_photo(tmp_path / "photos/a.jpg")
    with pytest.raises(DataError, match="1 photos but no labels"):
        read_dataset(tmp_path / "photos")
    (tmp_path / "words").mkdir()
    (tmp_path / "words/letter.doc").write_text("dear")
    with pytest.raises(DataError, match="neither photos nor labels"):
        read_dataset(tmp_path / "words")
    with pytest.raises(DataError, match="is not the file of a dataset"):
        read_dataset(tmp_path / "words/letter.doc")


def test_splits_without_photos_or_labels(tmp_path: Path, yolo_folder: Maker) -> None:
    root = yolo_folder([None, None])
    with pytest.raises(DataError, match="2 photos and no label file"):
        read_dataset(root)
    for photo in (root / "images/train").iterdir():
        photo.unlink()
    (root / "labels/train/a.txt").write_text(WHOLE)
    with pytest.raises(DataError, match="no photos"):
        read_dataset(root)


def test_not_one_usable_photo(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE])
    (root / "images/train/photo0.jpg").write_text("no photo")
    with pytest.raises(DataError, match="not one of 1 photos can be used") as caught:
        read_dataset(root)
    assert "photo0.jpg" in str(caught.value)


@pytest.mark.slow
def test_ten_thousand_photos_are_read_in_seconds(yolo_folder: Maker) -> None:
    root = yolo_folder([WHOLE])
    photo, label = root / "images/train/photo0.jpg", root / "labels/train/photo0.txt"
    for i in range(1, 10_000):
        (photo.parent / f"photo{i}.jpg").hardlink_to(photo)
        (label.parent / f"photo{i}.txt").hardlink_to(label)
    start = time.perf_counter()
    assert len(read_dataset(root)) == 10_000
    assert time.perf_counter() - start < 15  # about 2 on two cores: a second look at every pair of files would take 60


@pytest.mark.shared
def test_real_photos(shared_dir: Path) -> None:
    """300 and 100 photos, 526 and 197 boxes: from the README beside them."""
    folder = shared_dir / "alpaca"
    assert available_splits(folder) == ("train", "val")
    train, val = read_dataset(folder, split="train"), read_dataset(folder, split="val")
    assert (len(train), sum(map(len, train))) == (300, 526)
    assert (len(val), sum(map(len, val))) == (100, 197)
    assert train.class_names == ("alpaca",)
    assert train.problems == val.problems == ()
    # The first label by hand: 0 0.552500 0.541823 0.893750 0.914474 of its photo.
    record, text = train[0], (folder / "labels/train/000151d10b95b4d3.txt").read_text().split()
    cx, cy, w, h = (float(word) for word in text[1:])
    sides = np.array([record.width, record.height] * 2)
    expected = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * sides
    assert np.allclose(record.boxes[0], expected, atol=1e-3)

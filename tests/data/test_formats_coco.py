"""COCO files: what is read from JSON written by hand, and every broken entry; written files against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from herder.data.formats import Format, available_splits, read_dataset, read_splits, write_dataset
from herder.data.records import BoxFlags, PhotoSource, Severity
from herder.errors import DataError

Maker = Callable[..., Path]


def content() -> dict[str, Any]:
    """Two photos of 64 x 48, two classes with ids neither from 0 nor in order, three boxes, one of them a crowd."""
    return {
        "licenses": [{"id": 4, "name": "CC BY 2.0"}],
        "images": [
            {"id": 10, "file_name": "a.jpg", "width": 64, "height": 48, "license": 4, "group": "farm 1"},
            {"id": 7, "file_name": "b.jpg", "width": 64, "height": 48},
        ],
        "categories": [{"id": 9, "name": "llama"}, {"id": 3, "name": "alpaca"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 9, "bbox": [10, 20.5, 30, 20], "iscrowd": 0},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [0, 0, 64, 48], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]},
        ],
    }


@pytest.fixture
def folder(tmp_path: Path, make_photo: Maker) -> Callable[[Any], Path]:
    def make(data: Any) -> Path:
        root = tmp_path / "coco"
        for i, name in enumerate(("a.jpg", "b.jpg")):
            make_photo(root / "images" / name, seed=i)
        (root / "annotations.json").write_text(data if isinstance(data, str) else json.dumps(data))
        return root

    return make


def reasons(dataset: Any) -> list[str]:
    return [problem.reason for problem in dataset.problems]


def test_reading(folder: Callable[[Any], Path]) -> None:
    root = folder(content())
    for path in (root, root / "annotations.json"):
        dataset = read_dataset(path)
        assert dataset.class_names == ("alpaca", "llama")  # in order of their ids
        first, second = dataset
        assert first.path == root / "images/a.jpg"
        assert first.boxes.tolist() == [[10, 20.5, 40, 40.5], [0, 0, 64, 48]]
        assert first.classes.tolist() == [1, 0]
        assert first.ignore.tolist() == [False, True]
        assert (first.licence, first.group) == ("CC BY 2.0", "farm 1")
        assert second.boxes.tolist() == [[1, 2, 4, 6]]
        assert dataset.problems == ()
        assert available_splits(path) == ()


@pytest.mark.parametrize(
    ("bbox", "reason", "kept"),
    [
        ([1, 2, 3], "malformed-annotation", 1),
        ([1, 2, 3, 4, 5], "malformed-annotation", 1),
        (None, "malformed-annotation", 1),
        ([1, 2, "3", 4], "malformed-annotation", 1),
        ([1, 2, True, 4], "malformed-annotation", 1),
        ([1, 2, float("nan"), 4], "not-finite", 1),
        ([1, 2, float("inf"), 4], "not-finite", 1),
        ([1, 2, 10**400, 4], "not-finite", 1),
        ([1, 2, 0, 4], "zero-area", 1),
        ([1, 2, 3, -4], "zero-area", 1),
        ([64, 0, 5, 5], "box-outside", 1),
        ([-5, -5, 5, 5], "box-outside", 1),
        ([-5, 0, 10, 10], "box-clipped", 2),
    ],
)
def test_a_bad_bbox(folder: Callable[[Any], Path], bbox: Any, reason: str, kept: int) -> None:
    data = content()
    data["annotations"][0]["bbox"] = bbox
    dataset = read_dataset(folder(data))
    assert reasons(dataset) == [reason]
    assert "annotation 1" in dataset.problems[0].message
    assert dataset.problems[0].path.name == "annotations.json"
    assert len(dataset[0]) == kept


def test_ids_of_images_that_come_twice(folder: Callable[[Any], Path]) -> None:
    data = content()
    data["images"][1]["id"] = 10  # two photos, one id: whose are the boxes?
    data["images"].append({"id": 1, "file_name": "images/a.jpg"})
    dataset = read_dataset(folder(data))
    assert reasons(dataset) == ["duplicate-id", "photo-missing", "photo-missing"]
    assert "image id 10 comes 2 times (a.jpg, b.jpg)" in dataset.problems[0].message
    assert "2 annotations of image id 10" in dataset.problems[1].message
    assert len(dataset) == 1


def test_an_image_listed_twice_is_used_once(folder: Callable[[Any], Path]) -> None:
    data = content()
    data["images"].append(dict(data["images"][0]))
    dataset = read_dataset(folder(data))
    assert len(dataset) == 2
    assert [(p.reason, p.severity) for p in dataset.problems] == [("duplicate-id", Severity.NOTE)]
    data["images"][-1]["id"] = 99  # and under another id
    (folder(data))
    dataset = read_dataset(folder(data))
    assert len(dataset) == 2
    assert reasons(dataset) == ["duplicate-photo"]


def test_ids_of_annotations_that_come_twice(folder: Callable[[Any], Path]) -> None:
    data = content()
    data["annotations"][1]["id"] = 1
    dataset = read_dataset(folder(data))
    assert len(dataset[0]) == 2  # both boxes are good
    assert [(p.reason, p.severity) for p in dataset.problems] == [("duplicate-id", Severity.NOTE)]
    assert "annotation 1" in dataset.problems[0].message


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..\\..\\a.jpg", "C:\\a.jpg", "images/../../a.jpg", "a\0.jpg"]
)
def test_a_file_name_may_not_lead_out(folder: Callable[[Any], Path], name: str) -> None:
    data = content()
    data["images"][0]["file_name"] = name
    root = folder(data)
    (root.parent / "a.jpg").write_bytes((root / "images/a.jpg").read_bytes())
    dataset = read_dataset(root)
    assert [record.path.name for record in dataset] == ["b.jpg"]
    assert reasons(dataset)[0] == "path-traversal"
    assert "leads out of the dataset" in dataset.problems[0].message


def test_other_bad_entries(folder: Callable[[Any], Path]) -> None:
    data = content()
    data["images"] += ["a.jpg", {"id": 5}, {"id": None, "file_name": "b.jpg"}, {"id": 12, "file_name": "gone.jpg"}]
    data["annotations"] += [
        None, {"id": 4, "image_id": [1]}, {"id": 5, "image_id": 7, "category_id": 1, "bbox": [1, 1, 2, 2]},
        {"id": 6, "image_id": 888, "category_id": 3, "bbox": [1, 1, 2, 2]},
    ]  # fmt: skip
    dataset = read_dataset(folder(data))
    assert len(dataset) == 2
    assert sum(map(len, dataset)) == 3
    assert sorted(reasons(dataset)) == [
        "class-out-of-range", "malformed-annotation", "malformed-annotation", "malformed-image", "malformed-image",
        "malformed-image", "photo-missing", "photo-missing",
    ]  # fmt: skip


def test_a_photo_of_another_size_than_was_labelled(folder: Callable[[Any], Path]) -> None:
    data = content()
    data["images"][0] |= {"width": 640, "height": 480}
    dataset = read_dataset(folder(data))
    assert [record.path.name for record in dataset] == ["b.jpg"]
    assert "a.jpg is 64 x 48 upright, but the file was made for 640 x 480" in dataset.problems[0].message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": None}, "no list 'images'"),
        ({"annotations": {}}, "no list 'annotations'"),
        ({"categories": []}, "no class names"),
        ({"categories": [{"id": "x", "name": "a"}]}, "has no id and name"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "the id 1 comes twice"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "'a' comes twice"),
        ({"images": []}, "not one of 0 photos can be used"),
        ({"images": [{"id": 1, "file_name": "gone.jpg"}]}, "not one of 1 photos can be used"),
    ],
)
def test_a_file_of_no_use(folder: Callable[[Any], Path], change: dict[str, Any], said: str) -> None:
    root = folder(content() | change)
    with pytest.raises(DataError) as caught:
        read_dataset(root / "annotations.json")
    assert said in caught.value.message
    assert "annotations.json" in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [],\n "annotations": [', "line 2: is not JSON"),
        ("", "line 1: is not JSON"),
        ("[]", "holds a list"),
        ("[" * 100_000, "is not usable JSON"),
    ],
)
def test_a_file_that_is_no_coco(folder: Callable[[Any], Path], text: str, said: str) -> None:
    root = folder(text)
    with pytest.raises(DataError) as caught:
        read_dataset(root / "annotations.json")
    assert said in caught.value.message


def test_splits_and_classes_numbered_differently(tmp_path: Path, make_photo: Maker) -> None:
    train, val = content(), content()
    val["categories"] = [{"id": 9, "name": "llama"}]
    val["annotations"] = [{"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 1, 2, 2]}]
    for name, data in (("train2017", train), ("val2017", val)):
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / f"annotations/instances_{name}.json").write_text(json.dumps(data))
        (tmp_path / f"annotations/captions_{name}.json").write_text("{}")
        for photo in ("a.jpg", "b.jpg"):
            make_photo(tmp_path / name / photo)
    assert available_splits(tmp_path) == ("train", "val")
    first, second = read_splits(tmp_path)
    assert first.class_names == second.class_names == ("alpaca", "llama")
    assert second[1].classes.tolist() == [1]
    assert second[0].path == tmp_path / "val2017/a.jpg"
    assert len(read_dataset(tmp_path)) == 4


def test_exports_with_a_file_in_each_split(tmp_path: Path, make_photo: Maker) -> None:
    for split in ("train", "valid"):
        for photo in ("a.jpg", "b.jpg"):
            make_photo(tmp_path / split / photo)
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(content()))
    assert available_splits(tmp_path) == ("train", "val")
    assert read_dataset(tmp_path, split="val")[0].path == tmp_path / "valid/a.jpg"


def test_a_written_file_means_the_same_to_pycocotools(folder: Callable[[Any], Path], tmp_path: Path) -> None:
    write_dataset(read_dataset(folder(content())), tmp_path / "out", Format.COCO)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "out/annotations/instances.json"))
    names = {i: coco.cats[i]["name"] for i in coco.getCatIds()}
    assert names == {1: "alpaca", 2: "llama"}
    (image,) = [image for image in coco.imgs.values() if image["file_name"] == "a.jpg"]
    assert (image["width"], image["height"]) == (64, 48)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
    assert [(names[a["category_id"]], a["bbox"], a["area"], a["iscrowd"]) for a in found] == [
        ("llama", [10, 20.5, 30, 20], 600, 0), ("alpaca", [0, 0, 64, 48], 3072, 1),
    ]  # fmt: skip


def test_licences_sources_and_flags(folder: Callable[[Any], Path]) -> None:
    """As published COCO has them, and the keys of herder besides."""
    data = content()
    data["licenses"] = [
        {"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
        {"id": 5, "url": "https://example.org/terms"},
        {"name": "without an id"}, None, {"id": [1], "name": "x"},
    ]  # fmt: skip
    data["images"][0] |= {"coco_url": "http://images.cocodataset.org/a.jpg", "flickr_url": "http://farm1.example/a.jpg"}
    data["images"][0] |= {"author": "Jo", "page": "https://example.org/a", "title": "A\nherd"}
    data["images"][1] |= {"flickr_url": "http://farm1.example/b.jpg", "license": 5, "group": None, "author": 7}
    data["annotations"][0] |= {"is_occluded": 1, "is_truncated": False, "is_group_of": "0", "is_inside": "perhaps"}
    first, second = read_dataset(folder(data))
    assert (first.licence, first.group) == ("Attribution License", "farm 1")
    assert first.source == PhotoSource(
        "http://images.cocodataset.org/a.jpg", "https://example.org/a", "Jo", "A herd",
        "http://creativecommons.org/licenses/by/2.0/",
    )  # fmt: skip
    assert first.flags.table().tolist() == [[1, 0, 0, -1, -1], [-1] * 5]
    assert (second.licence, second.group) == ("", "")
    assert second.source == PhotoSource(
        "http://farm1.example/b.jpg", author="7", licence_url="https://example.org/terms"
    )


@pytest.mark.parametrize("licences", [None, {}, "CC0", 7])
def test_a_licence_table_without_sense(folder: Callable[[Any], Path], licences: Any) -> None:
    data = content() | {"licenses": licences}
    data["images"][1]["license"] = [4]
    assert [record.licence for record in read_dataset(folder(data))] == ["", ""]


def test_two_licences_of_one_name(folder: Callable[[Any], Path], tmp_path: Path) -> None:
    """Version 2.0 and 4.0 of one licence: name and address together tell them apart."""
    data = content()
    data["licenses"] = [{"id": i, "name": "Attribution", "url": f"https://example.org/by/{i}.0"} for i in (2, 4)]
    data["images"][1]["license"] = 2
    write_dataset(read_dataset(folder(data)), tmp_path / "out", Format.COCO)
    written = json.loads((tmp_path / "out/annotations/instances.json").read_text())
    url = {item["id"]: item["url"] for item in written["licenses"]}
    assert {i["file_name"]: url[i["license"]] for i in written["images"]} == {
        "a.jpg": "https://example.org/by/4.0", "b.jpg": "https://example.org/by/2.0"
    }  # fmt: skip


def test_flags_are_written_where_they_are_known(folder: Callable[[Any], Path], tmp_path: Path) -> None:
    dataset = read_dataset(folder(content()))
    told = replace(dataset[0], flags=BoxFlags(group_of=[0, 1], occluded=[-1, 0]))
    write_dataset(replace(dataset, records=(told,)), tmp_path / "out", Format.COCO)
    written = json.loads((tmp_path / "out/annotations/instances.json").read_text())
    found = [{key: value for key, value in a.items() if key.startswith("is_")} for a in written["annotations"]]
    assert found == [{"is_group_of": 0}, {"is_group_of": 1, "is_occluded": 0}]

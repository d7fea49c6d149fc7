"""Pascal VOC: what is read from XML written by hand, and every broken file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from herder.data.formats import available_splits, read_dataset
from herder.data.records import PhotoSource, Severity
from herder.errors import DataError

Maker = Callable[..., Path]

OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"


def corners(*values: object) -> str:
    return "".join(f"<{tag}>{v}</{tag}>" for tag, v in zip(("xmin", "ymin", "xmax", "ymax"), values, strict=False))


def xml(*objects: str, name: str = "a.jpg", size: tuple[int, int] = (64, 48)) -> str:
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{sides}{''.join(objects)}</annotation>"


GOOD = OBJECT.format("alpaca", 0, corners(1, 1, 64, 48))


@pytest.fixture
def folder(tmp_path: Path, make_photo: Maker) -> Callable[..., Path]:
    def make(**files: str | bytes) -> Path:
        root = tmp_path / "voc"
        (root / "Annotations").mkdir(parents=True)
        for i, (stem, data) in enumerate(files.items()):
            make_photo(root / f"JPEGImages/{stem}.jpg", seed=i)
            label = root / f"Annotations/{stem}.xml"
            label.write_bytes(data if isinstance(data, bytes) else data.encode())
        return root

    return make


def reasons(dataset: Any) -> list[str]:
    return [problem.reason for problem in dataset.problems]


def test_whole_numbers_count_pixels_from_one(folder: Callable[..., Path]) -> None:
    """The VOC devkit: (1, 1) is the top left pixel and a box holds both of its corners."""
    dataset = read_dataset(folder(a=xml(GOOD, OBJECT.format("llama", 1, corners(10, 20, 10, 20)))))
    assert dataset[0].boxes.tolist() == [[0, 0, 64, 48], [9, 19, 10, 20]]  # all of the photo; one pixel
    assert dataset.class_names == ("alpaca", "llama")
    assert dataset[0].classes.tolist() == [0, 1]
    assert dataset[0].ignore.tolist() == [False, True]
    assert dataset.problems == ()


def test_numbers_with_a_point_are_edges(folder: Callable[..., Path]) -> None:
    dataset = read_dataset(folder(a=xml(OBJECT.format("alpaca", 0, corners("10.5", "20.0", "30", "4.0e1")))))
    assert dataset[0].boxes.tolist() == [[10.5, 20, 30, 40]]


@pytest.mark.parametrize(
    ("bad", "reason", "said"),
    [
        ("<object><name>alpaca</name></object>", "malformed-object", "object 2: it has no bndbox"),
        (OBJECT.format("alpaca", 0, corners(1, 2, 3)), "malformed-object", "object 2: bndbox"),
        (OBJECT.format("alpaca", 0, corners(1, 2, 3, "x")), "malformed-object", "is not four numbers"),
        (OBJECT.format("", 0, corners(1, 2, 3, 4)), "malformed-object", "object 2: it has no name"),
        (OBJECT.format("alpaca", 0, corners("nan", 2, 3, 4)), "not-finite", "object 2: NaN"),
        (OBJECT.format("alpaca", 0, corners(30, 10, 20, 20)), "zero-area", "object 2: the box has no area"),
        (OBJECT.format("alpaca", 0, corners(100, 10, 120, 20)), "box-outside", "object 2"),
        (GOOD, "duplicate-box", "object 2"),
    ],
)
def test_a_bad_object(folder: Callable[..., Path], bad: str, reason: str, said: str) -> None:
    dataset = read_dataset(folder(a=xml(GOOD, bad)))
    assert len(dataset[0]) == 1
    (problem,) = dataset.problems
    assert (problem.reason, problem.path.name) == (reason, "a.xml")
    assert said in problem.message


ENTITIES = """<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""
EXTERNAL = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY passwd SYSTEM "file:///etc/passwd">]>
<annotation><filename>&passwd;</filename></annotation>"""
DTD = '<!DOCTYPE annotation SYSTEM "http://example.com/voc.dtd"><annotation/>'


@pytest.mark.parametrize("text", [ENTITIES, EXTERNAL, DTD])
def test_entities_are_refused(folder: Callable[..., Path], text: str) -> None:
    dataset = read_dataset(folder(a=xml(GOOD), b=text))
    assert [record.path.name for record in dataset] == ["a.jpg"]
    problem = dataset.problems[0]
    assert (problem.reason, problem.severity, problem.path.name) == ("label-unreadable", Severity.SET_ASIDE, "b.xml")
    assert "refused as unsafe" in problem.message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<annotation><object></annotation>", "line 1: is not XML"),
        (b"<annotation>\n<size>", "line 2: is not XML"),
        (b"", "is not XML"),
        (b"<annotation>\n\xe9</annotation>", "line 2: is not UTF-8"),
        ("<annotation/>".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_is_no_xml(folder: Callable[..., Path], data: bytes, said: str) -> None:
    dataset = read_dataset(folder(a=xml(GOOD), b=data))
    assert [record.path.name for record in dataset] == ["a.jpg"]
    assert said in dataset.problems[0].message
    assert reasons(dataset) == ["label-unreadable", "no-usable-box"]


def test_bom_declaration_and_windows_line_ends(folder: Callable[..., Path]) -> None:
    text = '<?xml version="1.0" encoding="UTF-8"?>\r\n' + xml(GOOD).replace("><", ">\r\n<")
    dataset = read_dataset(folder(a=b"\xef\xbb\xbf" + text.encode()))
    assert dataset[0].boxes.tolist() == [[0, 0, 64, 48]]
    assert dataset.problems == ()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\b.jpg"])
def test_a_file_name_may_not_lead_out(folder: Callable[..., Path], name: str) -> None:
    dataset = read_dataset(folder(a=xml(GOOD), b=xml(GOOD, name=name)))
    assert [record.path.name for record in dataset] == ["a.jpg"]
    assert reasons(dataset)[0] == "path-traversal"


def test_a_renamed_photo_is_found_by_its_stem(folder: Callable[..., Path]) -> None:
    dataset = read_dataset(folder(a=xml(GOOD, name="IMG_0001.jpg"), b=xml(GOOD, name="")))
    assert [len(record) for record in dataset] == [1, 1]


def test_missing_on_either_side(folder: Callable[..., Path], make_photo: Maker) -> None:
    root = folder(a=xml(GOOD))
    (root / "Annotations/gone.xml").write_text(xml(GOOD, name="gone.jpg"))
    make_photo(root / "JPEGImages/free.png")
    dataset = read_dataset(root)
    assert [(record.path.name, len(record)) for record in dataset] == [("a.jpg", 1), ("free.png", 0)]
    assert [(p.reason, p.severity) for p in dataset.problems] == [
        ("photo-missing", Severity.SET_ASIDE), ("no-label", Severity.NOTE),
    ]  # fmt: skip


def test_two_labels_of_one_photo(folder: Callable[..., Path]) -> None:
    root = folder(a=xml(GOOD))
    (root / "Annotations/again.xml").write_text(xml(GOOD))
    dataset = read_dataset(root)
    assert len(dataset) == 1
    assert reasons(dataset) == ["duplicate-photo"]


def test_size_zero_is_unknown_and_another_size_is_wrong(folder: Callable[..., Path]) -> None:
    dataset = read_dataset(folder(a=xml(GOOD, size=(0, 0)), b=xml(GOOD, name="b.jpg", size=(640, 480))))
    assert [record.path.name for record in dataset] == ["a.jpg"]
    assert reasons(dataset) == ["size-mismatch"]


def test_splits_and_classes_in_order(folder: Callable[..., Path]) -> None:
    root = folder(a=xml(GOOD), b=xml(OBJECT.format("llama", 0, corners(1, 1, 5, 5)), name="b.jpg"))
    lists = root / "ImageSets/Main"
    lists.mkdir(parents=True)
    for name, text in {"train": "a\r\n", "val": "b\n", "trainval": "a\nb\n", "alpaca_train": "a  1\n"}.items():
        (lists / f"{name}.txt").write_text(text)
    assert available_splits(root) == ("train", "val")
    assert [record.path.name for record in read_dataset(root, split="val")] == ["b.jpg"]
    assert read_dataset(root, split="val").class_names == ("alpaca", "llama")
    (root / "classes.txt").write_text("llama\n")
    dataset = read_dataset(root)
    assert dataset.class_names == ("llama",)
    assert [record.path.name for record in dataset] == ["b.jpg"]
    assert reasons(dataset) == ["split-unusable"]
    with pytest.raises(DataError, match=r"class 'alpaca' is not in classes\.txt"):
        read_dataset(root, split="train")


def test_labels_beside_photos_and_in_split_folders(tmp_path: Path, make_photo: Maker) -> None:
    for place in ("flat", "parts/train"):
        make_photo(tmp_path / place / "a.jpg")
        (tmp_path / place / "a.xml").write_text(xml(GOOD))
    assert len(read_dataset(tmp_path / "flat")[0]) == 1
    assert available_splits(tmp_path / "parts") == ("train",)


VOC_2007 = """<annotation><folder>VOC2007</folder><filename>a.jpg</filename>
<source><database>The VOC2007 Database</database><annotation>PASCAL VOC2007</annotation><image>flickr</image>
<flickrid>341012865</flickrid></source><owner><flickrid>Fried Camels</flickrid><name>{}</name></owner>
<size><width>64</width><height>48</height><depth>3</depth></size><segmented>0</segmented>
<object><name>alpaca</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object></annotation>"""


@pytest.mark.parametrize(("owner", "author"), [("Jinky the Fruit Bat", "Jinky the Fruit Bat"), ("?", ""), ("", "")])
def test_published_voc_names_owner_and_truncation(folder: Callable[..., Path], owner: str, author: str) -> None:
    record = read_dataset(folder(a=VOC_2007.format(owner)))[0]
    assert record.source == PhotoSource(author=author)
    assert (record.licence, record.group) == ("", "")
    assert record.flags.table().tolist() == [[-1, 1, -1, -1, -1]]
    assert not record.ignore.any()


def test_nothing_of_use(folder: Callable[..., Path]) -> None:
    root = folder(a=DTD)
    with pytest.raises(DataError, match="not one labelled object"):
        read_dataset(root)

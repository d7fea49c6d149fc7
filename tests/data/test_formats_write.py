"""Round trips through all formats, and what happens when writing goes wrong."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.data.formats import Format, available_splits, read_dataset, read_splits, write_dataset, write_splits
from herder.data.formats.coco import to_json
from herder.data.formats.voc import to_xml
from herder.data.formats.yolo import label_text
from herder.data.records import BoxFlags, Dataset, ImageRecord, PhotoSource
from herder.errors import DataError, ResourceError

Maker = Callable[..., Path]


@st.composite
def records(draw: st.DrawFn, photo: Path, width: int, height: int) -> ImageRecord:
    """A record with different boxes inside a photo; corners are any float32, as a detector or a mouse would give."""
    boxes: dict[tuple[float, ...], tuple[int, bool]] = {}
    for _ in range(draw(st.integers(0, 5))):
        corners = []
        for side in (width, height):
            low = draw(st.floats(0, side - 0.0625, width=32))
            high = draw(st.floats(float(np.float32(low + 0.0625)), side, width=32))
            corners.append((low, high))
        box = (corners[0][0], corners[1][0], corners[0][1], corners[1][1])
        boxes[box] = (draw(st.integers(0, 2)), draw(st.booleans()))
    values = list(boxes.values())
    flag = st.lists(st.integers(-1, 1), min_size=len(boxes), max_size=len(boxes))
    # Any text at all: quotes, brackets of XML, other scripts, control characters, halves of characters.
    words = st.one_of(st.just(""), st.text(max_size=8))
    return ImageRecord(
        photo,
        width,
        height,
        np.array(list(boxes), np.float32).reshape(-1, 4),
        np.array([c for c, _ in values], np.int64),
        np.array([i for _, i in values], np.bool_),
        draw(words),
        draw(words),
        PhotoSource(draw(words.map("https://{}".format)), *(draw(words.filter("?".__ne__)) for _ in range(4))),
        BoxFlags(*(draw(flag) for _ in range(5))) if draw(st.booleans()) else BoxFlags(),
    )


@pytest.fixture(scope="module")
def photos(make_photo: Maker, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int, int]]:
    folder = tmp_path_factory.mktemp("photos")
    sides = [(640, 427), (33, 1), (1, 50), (1000, 999)]
    return [(make_photo(folder / f"p{i}.png", size, i), *size) for i, size in enumerate(sides)]


NAMES = ("alpaca", "lama glama", "vicuña & guanaco <wild>")


@pytest.mark.parametrize("format", list(Format))
def test_round_trips(format: Format, photos: list[tuple[Path, int, int]]) -> None:
    """Boxes come back to 1e-6 of the photo's sides, all else as it was."""

    @settings(max_examples=30)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        written = [data.draw(records(*photo)) for photo in photos]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out")
            write_dataset(Dataset(tuple(written), NAMES, split="train"), out, format, link=True)
            dataset = read_dataset(out, split="train")
        assert dataset.class_names == NAMES
        assert dataset.problems == ()
        assert [record.path.name for record in dataset] == [record.path.name for record in written]
        for before, after in zip(written, dataset, strict=True):
            sides = np.array([before.width, before.height] * 2)
            assert (after.width, after.height) == (before.width, before.height)
            assert np.abs((after.boxes.astype(np.float64) - before.boxes) / sides).max(initial=0) <= 1e-6
            assert after.classes.tolist() == before.classes.tolist()
            assert after.ignore.tolist() == before.ignore.tolist()
            assert after.flags.table().tolist() == before.flags.table().tolist()
            assert (after.licence, after.group) == (before.licence, before.group)
            assert after.source == before.source
            if format is Format.VOC:
                assert (after.boxes == before.boxes).all()

    check()


def sample(folder: Path, make_photo: Maker, split: str = "train") -> Dataset:
    boxes = np.array([[1, 2, 30, 40], [10.25, 0, 20, 48]], np.float32)
    record = ImageRecord(
        make_photo(folder / f"{split or 'all'}.jpg"),
        64,
        48,
        boxes,
        np.array([0, 1]),
        np.array([False, True]),
        "CC0",
        "farm",
        PhotoSource(
            "https://example.org/a.jpg", "https://example.org/a", 'Jo "J" & Co', "A <herd>", "https://cc.org/0"
        ),
        BoxFlags(occluded=[1, -1], group_of=[0, 1]),
    )
    empty = ImageRecord(make_photo(folder / f"{split}-empty.jpg"), 64, 48, np.zeros((0, 4)), np.zeros(0))
    return Dataset((record, empty), ("alpaca", "llama"), folder, split)


def test_texts_by_hand(tmp_path: Path, make_photo: Maker) -> None:
    record = sample(tmp_path, make_photo)[0]
    words = label_text(record).split()
    assert words[0] == "0"
    assert [float(word) for word in words[1:]] == pytest.approx([15.5 / 64, 21 / 48, 29 / 64, 38 / 48], abs=1e-11)
    assert len(words) == 5  # the box to be ignored has no line
    assert "<xmin>10.25</xmin>" in to_xml(record, "a.jpg", ("alpaca", "llama"))
    assert '"license": 1' in to_json([("a.jpg", record)], ("alpaca", "llama"))


def test_splits_stay_apart_and_photos_stay_whole(tmp_path: Path, make_photo: Maker) -> None:
    datasets = [sample(tmp_path / "in", make_photo, split) for split in ("train", "val", "test")]
    for format in Format:
        out = tmp_path / format.value
        write_splits(datasets, out, format)
        assert available_splits(out) == ("train", "val", "test")
        for before, after in zip(datasets, read_splits(out), strict=True):
            assert after.split == before.split
            files = {record.path.name: record.path.read_bytes() for record in before}
            assert {record.path.name: record.path.read_bytes() for record in after} == files
            assert after.fingerprint() == before.fingerprint()
            told = {record.path.name: (record.licence, record.group, record.source) for record in before}
            assert {record.path.name: (record.licence, record.group, record.source) for record in after} == told
        assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("format", list(Format))
def test_without_a_split(tmp_path: Path, make_photo: Maker, format: Format) -> None:
    write_dataset(sample(tmp_path / "in", make_photo, ""), tmp_path / "out", format)
    assert available_splits(tmp_path / "out") == ()
    assert len(read_dataset(tmp_path / "out")) == 2


@pytest.mark.parametrize("format", list(Format))
def test_photos_of_one_name(tmp_path: Path, make_photo: Maker, format: Format) -> None:
    names = ["one/a.jpg", "two/a.jpg", "two/A.png", "two/a-2.jpg"]
    parts = tuple(
        ImageRecord(make_photo(tmp_path / n, seed=i), 64, 48, [[0, 0, 8 * i + 8, 8]], [0]) for i, n in enumerate(names)
    )
    write_dataset(Dataset(parts, ("alpaca",), split="train"), tmp_path / "out", format)
    found = {record.path.read_bytes(): record.boxes.tolist() for record in read_dataset(tmp_path / "out")}
    assert found == {record.path.read_bytes(): record.boxes.tolist() for record in parts}


def test_links(tmp_path: Path, make_photo: Maker) -> None:
    dataset = sample(tmp_path, make_photo)
    write_dataset(dataset, tmp_path / "out", Format.YOLO, link=True)
    assert (tmp_path / "out/images/train/train.jpg").samefile(dataset[0].path)


@pytest.mark.parametrize("what", ["full folder", "file"])
def test_nothing_is_written_over(tmp_path: Path, make_photo: Maker, what: str) -> None:
    dataset = sample(tmp_path / "in", make_photo)
    out = tmp_path / "out"
    mine = out / "mine.txt" if what == "full folder" else out
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        write_dataset(dataset, out, Format.COCO)
    assert mine.read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path, make_photo: Maker) -> None:
    (tmp_path / "out").mkdir()
    write_dataset(sample(tmp_path / "in", make_photo), tmp_path / "out", Format.VOC)
    assert len(read_dataset(tmp_path / "out")) == 2


def test_a_photo_that_is_gone_leaves_nothing_behind(tmp_path: Path, make_photo: Maker) -> None:
    dataset = sample(tmp_path / "in", make_photo)
    dataset[1].path.unlink()
    for link in (False, True):
        with pytest.raises(DataError, match=r"train-empty\.jpg"):
            write_dataset(dataset, tmp_path / "out", Format.YOLO, link=link)
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_classes_that_differ(tmp_path: Path, make_photo: Maker) -> None:
    first = sample(tmp_path / "in", make_photo)
    second = Dataset(first.records, ("llama", "alpaca"), split="val")
    with pytest.raises(DataError, match="do not fit together"):
        write_splits([first, second], tmp_path / "out", Format.YOLO)


def test_a_place_that_cannot_be(tmp_path: Path, make_photo: Maker) -> None:
    dataset = sample(tmp_path / "in", make_photo)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError) as caught:
        write_dataset(dataset, tmp_path / "file" / "out", Format.YOLO)
    assert str(tmp_path / "file" / "out") in caught.value.message
    assert caught.value.hint


PROGRAM = """
import os, sys
from pathlib import Path
from PIL import Image
from herder.data.formats import Format, read_dataset, write_dataset
from herder.errors import HerderError
Image.init()  # who becomes somebody else may not be able to import any more
{prepare}
try:
    {act}
except HerderError as error:
    print(type(error).__name__, error)
    print(sorted(os.listdir(sys.argv[2])))
"""


def run(prepare: str, act: str, *arguments: Path) -> str:
    program = PROGRAM.format(prepare=prepare, act=act)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_a_disk_that_ends_while_writing(tmp_path: Path, make_photo: Maker) -> None:
    """A limit on file size stands in for the full disk: the same write fails, half way through."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    from PIL import Image

    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    Image.fromarray(noise).save(tmp_path / "in/a.png")
    (tmp_path / "in/a.txt").write_text("0 0.5 0.5 1 1\n")
    prepare = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    act = "write_dataset(read_dataset(Path(sys.argv[1])), Path(sys.argv[2], 'new'), Format.YOLO)"
    said = run(prepare, act, tmp_path / "in", tmp_path / "out")
    assert said.startswith("ResourceError")
    assert str(tmp_path / "out" / "new") in said
    assert "what to do: " in said
    assert said.endswith("[]\n")  # nothing half is left


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may read as well: a superuser, who may do all, runs the next test as somebody else."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
def test_folders_that_may_not_be_read_or_written(open_folder: Path, make_photo: Maker) -> None:
    tmp_path = open_folder
    make_photo(tmp_path / "in/images/train/a.jpg")
    (tmp_path / "in/labels/train").mkdir(parents=True)
    (tmp_path / "in/labels/train/a.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o555)
    become = "os.geteuid() or (os.setgroups([]), os.setegid(65534), os.seteuid(65534))"
    act = "write_dataset(read_dataset(Path(sys.argv[1])), Path(sys.argv[2], 'new'), Format.YOLO)"
    said = run(become, act, tmp_path / "in", tmp_path / "out")
    assert said.startswith("ResourceError")
    assert "you may not write here" in said
    for locked in ("images/train", "labels/train", "."):
        place = tmp_path / "in" / locked
        place.chmod(0)
        said = run(become, "read_dataset(Path(sys.argv[1]))", tmp_path / "in", tmp_path / "out")
        place.chmod(0o755)
        assert said.startswith("DataError"), (locked, said)
        assert str(place) in said
        assert "check its permissions" in said

"""Addresses and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from herder.data.open_images.class_names import BoxClass, read_class_table, resolve_classes
from herder.data.open_images.dataset import licence_name
from herder.data.open_images.layout import OpenImagesLayout, checked_splits
from herder.errors import ConfigError, DataError

BASE = "https://storage.googleapis.com/openimages/"


def test_the_addresses_of_open_images() -> None:
    layout = OpenImagesLayout()
    assert layout.boxes_url("train") == BASE + "v6/oidv6-train-annotations-bbox.csv"
    assert layout.boxes_url("validation") == BASE + "v5/validation-annotations-bbox.csv"
    assert layout.boxes_url("test") == BASE + "v5/test-annotations-bbox.csv"
    assert layout.classes_url == BASE + "v5/class-descriptions-boxable.csv"
    assert layout.photo_table_url("train") == BASE + "2018_04/train/train-images-boxable-with-rotation.csv"
    assert layout.photo_table_url("test") == BASE + "2018_04/test/test-images-with-rotation.csv"
    assert OpenImagesLayout("http://m:1/a", "http://m:1/p/").photo_url("test", "x") == "http://m:1/p/test/x.jpg"


@pytest.mark.parametrize("url", ["", "mirror", "file:///etc", "ftp://a/b", "http://", "http://a/?b=c", "http://[a"])
def test_no_addresses(url: str) -> None:
    with pytest.raises(ConfigError, match="--annotations-url"):
        OpenImagesLayout(annotations_url=url)


def test_splits() -> None:
    assert checked_splits(["Test", "val", "validation"]) == ("test", "validation")
    with pytest.raises(ConfigError, match="there are train, validation, test"):
        checked_splits(["dev"])
    with pytest.raises(ConfigError, match="no split"):
        checked_splits([])


TABLE = (
    BoxClass("/m/0pcr", "Alpaca"),
    BoxClass("/m/01dws", "Bear"),
    BoxClass("/m/0633h", "Polar bear"),
    BoxClass("/m/01dxs", "Brown bear"),
)


def test_names_in_any_case_and_ids() -> None:
    found = resolve_classes([" polar  BEAR", "/m/0pcr", "Alpaca", "Brown_bear"], TABLE)
    assert [entry.name for entry in found] == ["Polar bear", "Alpaca", "Brown bear"]


def test_near_misses() -> None:
    with pytest.raises(ConfigError, match=r"'Alpacas' \(did you mean Alpaca\?\)"):
        resolve_classes(["Alpacas"], TABLE)
    with pytest.raises(ConfigError, match=r"'black bear' \(did you mean .*Bear"):
        resolve_classes(["black bear"], TABLE)
    with pytest.raises(ConfigError, match="unknown class 'zzz'\n"):
        resolve_classes(["zzz"], TABLE)
    with pytest.raises(ConfigError, match="no class"):
        resolve_classes([], TABLE)


def test_class_tables(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('/m/0pcr,Alpaca\n/m/1,"Drum, big"\n\n')
    assert read_class_table(path) == (BoxClass("/m/0pcr", "Alpaca"), BoxClass("/m/1", "Drum, big"))
    for text, said in (
        ("/m/0pcr,Alpaca\n/m/1\n", "line 2"),
        ("<html>\n", "line 1"),
        ("", "holds no class"),
        ("/m/1,A\n/m/1,B\n", "line 2: the id /m/1 comes twice"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_class_table(path)


def test_licences() -> None:
    assert licence_name("https://creativecommons.org/licenses/by-sa/4.0")[0] == "CC BY-SA 4.0"
    assert licence_name("https://example.org/l") == ("https://example.org/l", "https://example.org/l")
    assert licence_name("CC0") == ("CC0", "")

"""The report on a dataset: its numbers against counts by hand, its page against what strangers may write into it."""

from __future__ import annotations

import builtins
import csv
import importlib
import io
import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from herder.api.data_card import attribution_csv, credit, data_card
from herder.api.dataset_facts import DatasetFacts, collect_facts
from herder.api.dataset_plots import histogram_edges
from herder.api.dataset_report import report_on_folder, write_dataset_report
from herder.api.dataset_throughput import Throughput, throughput
from herder.api.strange_photos import Feature, strangest
from herder.data.download import DownloadItem, Manifest, Outcome, State
from herder.data.formats import read_splits
from herder.data.quality import run_checks
from herder.data.quality.photo_checks import PhotoFinding
from herder.data.records import Dataset, ImageRecord, PhotoSource, Problem, Severity
from herder.errors import DataError, MissingExtraError

BOX = "0 0.5 0.5 0.5 0.5\n"
FILES = {"report.html", "report.json", "DATA_CARD.md", "attribution.csv"}

MakeFolder = Callable[..., Path]
MakePhoto = Callable[..., Path]


class Page(HTMLParser):
    """The tags of a page, and how many pictures it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]


def numbers(folder: Path) -> dict:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((folder / "report.json").read_text(), parse_constant=refuse)


def record(name: str = "a.jpg", boxes: object = ((10, 10, 30, 30),), **more: object) -> ImageRecord:
    return ImageRecord(Path(name), 100, 80, boxes, [0] * len(boxes), **more)  # type: ignore[arg-type]


def facts(*records: ImageRecord, split: str = "train") -> DatasetFacts:
    return collect_facts([Dataset(records, ("alpaca",), Path(), split)])


def test_a_folder_with_broken_photos_is_counted(yolo_folder: MakeFolder, tmp_path: Path, make_photo: MakePhoto) -> None:
    data = yolo_folder([BOX, BOX + "0 0.2 0.2 0.1 0.1\n", "", BOX])
    cut = data / "images/train/photo3.jpg"
    whole = make_photo(tmp_path / "large.jpg", (640, 480), quality=95).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    report = report_on_folder(tmp_path / "out", data, read_splits(data))
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    found = numbers(tmp_path / "out")
    assert found["totals"] == {
        "asked": 4,
        "downloaded": 0,
        "gone": 0,
        "failed": 0,
        "pending": 0,
        "set_aside": 1,
        "photos": 3,
        "boxes": 3,
    }
    assert sum(found["validation_failures"].values()) == 1
    assert [entry["file"] for entry in found["set_aside"]] == ["photo3.jpg"]
    checks = {check["reason"]: check for check in found["quality_checks"]}
    assert checks["blank"]["looked_at"] == checks["blank"]["passed"] == 4
    assert sum(check["set_aside"] for check in checks.values()) == 1
    assert found["statistics"]["backgrounds"] == 1
    page = Page(report.html)
    assert "script" not in page.tags
    assert len(page.sources) >= 3 + 3
    assert all(source.startswith("data:image/") for source in page.sources)
    assert {path: path.read_bytes() for path in before} == before


def test_the_same_dataset_gives_the_same_report(yolo_folder: MakeFolder, tmp_path: Path) -> None:
    data = yolo_folder([BOX] * 5)
    for name in ("a", "b"):
        report_on_folder(tmp_path / name, data, read_splits(data), seed=3, check=False)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_fetch_is_told_from_its_manifest(tmp_path: Path, make_photo: MakePhoto) -> None:
    photos = tmp_path / "photos"
    records = []
    with Manifest(tmp_path / "manifest.sqlite") as manifest:
        manifest.add(DownloadItem(f"{i}", f"https://example.org/{i}", PurePosixPath(f"{i}.jpg")) for i in range(9))
        for i in range(5):
            path = make_photo(photos / f"{i}.jpg", seed=i)
            records.append(ImageRecord(path, 64, 48, [[1, 1, 20, 20]], [0]))
            manifest.finish(f"{i}", size=100, sha256="00")
        manifest.quarantine("4", "truncated")
        manifest.fail("5", "not-found", "404", gone=True)
        manifest.fail("6", "timeout", "it hung")
        manifest.record([Outcome("7", State.FAILED, 5, "timeout", "it hung")])
        dataset = Dataset(tuple(records[:4]), ("alpaca",), photos, "train")
        write_dataset_report(tmp_path / "out", dataset, manifest=manifest, quality=run_checks(dataset), name="Herd")
    found = numbers(tmp_path / "out")
    assert found["totals"] == {
        "asked": 9,
        "downloaded": 5,
        "gone": 1,
        "failed": 2,
        "pending": 1,
        "set_aside": 1,
        "photos": 4,
        "boxes": 4,
    }
    assert found["not_downloaded"] == {"timeout": 2, "not-found": 1}
    assert found["validation_failures"] == {"truncated": 1}
    checks = {check["reason"]: check for check in found["quality_checks"]}
    assert (checks["truncated"]["looked_at"], checks["truncated"]["passed"]) == (5, 4)
    assert found["fetched_until"]
    assert (tmp_path / "out" / "DATA_CARD.md").read_text().startswith("# Herd\n")


def test_a_broken_photo_that_was_looked_at_closely_counts_once() -> None:
    path = Path("a.jpg")
    broken = [Problem(path, "photo-broken", "the header cannot be read"), Problem(path, "truncated", "it ends early")]
    other = Problem(Path("b.jpg"), "photo-broken", "it is damaged")
    part = Dataset((record("c.jpg"),), ("alpaca",), problems=(broken[0],))
    found = collect_facts([part], problems=[*broken, other])
    assert found.reasons[Severity.SET_ASIDE] == {"truncated": 1, "photo-broken": 1}
    assert found.totals.set_aside == 2


def test_nothing_and_a_single_photo_make_a_report(tmp_path: Path, make_photo: MakePhoto) -> None:
    write_dataset_report(tmp_path / "none", [])
    assert numbers(tmp_path / "none")["totals"]["photos"] == 0
    lone = ImageRecord(make_photo(tmp_path / "a.jpg"), 64, 48, [], [])
    report = write_dataset_report(tmp_path / "one", Dataset((lone,), ("alpaca",)))
    assert report.random == (0,)
    assert report.strangest == ()
    assert len(Page(report.html).sources) == 1


def test_splits_of_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match="other classes"):
        collect_facts([Dataset((), ("alpaca",)), Dataset((), ("llama",))])


def test_without_jinja_the_page_alone_is_missing(
    yolo_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "jinja2":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    data = yolo_folder([BOX])
    parts = read_splits(data)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError):
        report_on_folder(tmp_path / "out", data, parts, check=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES - {"report.html"}


def test_what_strangers_write_is_shown_and_does_nothing(tmp_path: Path, make_photo: MakePhoto) -> None:
    evil = "<script>alert(1)</script> | ![x](javascript:1) =1+1"
    source = PhotoSource(author=evil, title='=HYPERLINK("x")', page="javascript:alert(1)", url="https://[broken")
    photo = ImageRecord(make_photo(tmp_path / "a.jpg"), 64, 48, [[1, 1, 9, 9]], [0], licence=evil, source=source)
    data = Dataset((photo,), ("<b>alpaca</b>",), tmp_path, "train")
    report = write_dataset_report(tmp_path / "out", data, settings={"<i>classes</i>": "<u>"}, name="<em>x</em>")
    assert not {"script", "b", "i", "em", "u", "a"} & Page(report.html).tags
    card = (tmp_path / "out" / "DATA_CARD.md").read_text()
    assert "<script>" not in card.replace("\\<script>", "")
    assert "](javascript" not in card.replace("\\](javascript", "")
    lines = [line for line in card.splitlines() if "alert" in line]
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines)


def test_every_photo_has_its_credit() -> None:
    source = PhotoSource(
        author='Zoë, "Zo"', title="=1+1", page="https://example.org/7", licence_url="https://example.org/by"
    )
    photos = (record("a.jpg", licence="CC BY 2.0", source=source), record("b.jpg"))
    rows = list(csv.DictReader(io.StringIO(attribution_csv(facts(*photos)))))
    assert [row["photo"] for row in rows] == ["a.jpg", "b.jpg"]
    assert rows[0]["author"] == 'Zoë, "Zo"'
    assert rows[0]["title"] == "'=1+1"
    assert rows[0]["split"] == "train"
    assert rows[0]["credit"] == '"=1+1" by Zoë, "Zo", https://example.org/7, CC BY 2.0 (https://example.org/by)'
    assert rows[1]["credit"] == credit(record()) == ""


def test_the_card_warns() -> None:
    jo = PhotoSource(author="Jo")
    parts = [
        Dataset((record("a.jpg", source=jo),), ("alpaca", "llama"), Path(), "train"),
        Dataset((record("b.jpg", source=jo, licence="CC0"),), ("alpaca", "llama"), Path(), "val"),
    ]
    card = data_card("herd", collect_facts(parts), {}, "")
    assert "nobody knows the licence: 1" in card
    assert "several splits, which may show the same animals: 1" in card
    assert "No box shows llama" in card


def test_near_duplicates_over_splits_are_seen(tmp_path: Path, make_photo: MakePhoto) -> None:
    first = make_photo(tmp_path / "a.jpg", (200, 160), seed=1, quality=95)
    again = make_photo(tmp_path / "b.jpg", (200, 160), seed=1, quality=60)
    other = make_photo(tmp_path / "c.jpg", (200, 160), seed=2)
    parts = [
        Dataset(tuple(ImageRecord(p, 200, 160, [], []) for p in paths), ("alpaca",), tmp_path, split)
        for split, paths in (("train", (first, other)), ("val", (again,)))
    ]
    found = collect_facts(parts, [run_checks(part) for part in parts])
    assert [group.members for group in found.crossing] == [(0, 2)]


def test_strangeness_is_counted_in_robust_spreads() -> None:
    # By hand: median 3, absolute deviations 2 1 0 1 97, their median 1, so one spread is 1.4826.
    spreads = Feature("x", np.array([1.0, 2, 3, 4, 100]), "{:.0f}").spreads()
    assert spreads[4] == pytest.approx(97 / 1.4826)
    assert spreads[2] == 0
    # More than half alike: the standard deviation of 5 5 5 5 15 is 4.
    assert Feature("x", np.array([5.0, 5, 5, 5, 15]), "{:.0f}").spreads()[4] == pytest.approx(10 / 4)
    assert not Feature("x", np.array([7.0, 7, np.nan]), "{:.0f}").spreads().any()
    assert not Feature("x", np.array([np.nan]), "{:.0f}").spreads().any()
    halves = Feature("x", np.array([1.0, 2, 4, 8, 16]), "{:.0f}", ratio=True).spreads()
    assert halves == pytest.approx(-halves[::-1])


def test_the_strangest_photos_are_found_and_explained() -> None:
    rng = np.random.default_rng(0)
    records, findings = [], {}
    for i in range(60):
        boxes = [[0, 0, 30 + i % 7, 30 + i % 5]] * (14 if i == 9 else 1 + i % 2)
        photo = record(f"{i}.jpg", boxes)
        records.append(photo)
        level = 3.0 if i == 20 else float(rng.normal(120, 10))
        mean, std = (level, level + float(rng.uniform(0, 3)), level), (40.0 + i % 9, 40.0, 40.0)
        findings[photo.path] = PhotoFinding(photo.path, width=100, height=80, mean=mean, std=std)
    found = strangest(records, findings, 4)
    assert len({entry.photo for entry in found}) == len(found) == 4
    assert {9, 20} <= {entry.photo for entry in found}
    dark = next(entry for entry in found if entry.photo == 20)
    assert dark.what == "brightness"
    assert dark.spreads < -5
    assert str(dark).startswith(f"brightness {dark.value}, usually {dark.usual}: ")
    assert [abs(entry.spreads) for entry in found] == sorted((abs(e.spreads) for e in found), reverse=True)
    assert strangest([], {}) == ()


@given(st.lists(st.floats(0, 1e6), max_size=60), st.integers(1, 20))
def test_throughput_counts_every_photo_but_the_first_of_a_run(gaps: list[float], size: int) -> None:
    ends = [(float(sum(gaps[:i])), i) for i in range(len(gaps))]
    found = throughput(ends, size)
    times = [end for end, _ in ends]
    runs = bool(times) + sum(b - a > 30 for a, b in pairwise(times))
    assert sum(batch.photos for batch in found) == len(ends) - runs
    assert all(0 < batch.photos <= size for batch in found)
    assert Throughput(3, 0, 0.0).rate == 0


@given(st.lists(st.floats(1e-3, 1e5), max_size=40), st.booleans())
def test_a_histogram_holds_every_value(values: list[float], ratio: bool) -> None:
    array = np.array(values)
    edges = histogram_edges(array, ratio=ratio)
    assert (np.diff(edges) > 0).all()
    if values:
        assert edges[0] <= array.min() * (1 + 1e-9)
        assert edges[-1] >= array.max() * (1 - 1e-9)
    assert all(map(math.isfinite, edges.tolist()))


def test_from_the_command_line(yolo_folder: MakeFolder, tmp_path: Path) -> None:
    app = importlib.import_module("herder.cli.data").data_app
    data = yolo_folder([BOX, BOX])

    def call(*words: object) -> object:
        return CliRunner().invoke(app, ["report", *map(str, words)])

    done = call(data, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "report.html: 2 photos, 2 boxes" in done.output
    (data / "labels/train/photo1.txt").write_text("0 0.5 0.5 0 0\n")
    done = call(data, "--out", tmp_path / "out", "--seed", 1)
    assert done.exit_code == 3
    assert "zero-area" in done.output
    assert numbers(tmp_path / "out")["totals"]["photos"] == 1

"""``herder data fetch`` from end to end, against a server on this machine that serves the layout of Open Images."""

from __future__ import annotations

import csv
import hashlib
import http.server
import importlib
import io
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from herder.data.formats import available_splits, read_dataset
from herder.data.records import Dataset
from herder.errors import ConfigError, DataError, HerderError
from herder.images import read_image

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
ABOUT = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation"
)
CLASSES = "/m/0pcr,Alpaca\n/m/04zzn,Llama\n/m/01dws,Bear\n/m/0633h,Polar bear\n"
BOXES = {
    "train": "v6/oidv6-train-annotations-bbox.csv",
    "validation": "v5/validation-annotations-bbox.csv",
    "test": "v5/test-annotations-bbox.csv",
}
TABLES = {
    "train": "2018_04/train/train-images-boxable-with-rotation.csv",
    "validation": "2018_04/validation/validation-images-with-rotation.csv",
    "test": "2018_04/test/test-images-with-rotation.csv",
}
LICENCE = "https://creativecommons.org/licenses/by/2.0/"


def photo_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def jpeg(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


class Site:
    """Files by path, on a server of this machine; ``asked`` counts the requests, ``sent`` those that brought bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.cut: dict[str, int] = {}
        """Paths of which the first answer ends after so many bytes, though it announces all of them."""
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self, unquote(self.path.lstrip("/")))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def answer(self, request: http.server.BaseHTTPRequestHandler, path: str) -> None:
        self.asked[path] += 1
        data = self.files.get(path)
        if data is None:
            request.send_error(404)
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
        if request.headers.get("If-None-Match") == etag:
            request.send_response(304)
            request.send_header("ETag", etag)
            request.end_headers()
            return
        start = 0
        asked = request.headers.get("Range")
        if asked and request.headers.get("If-Range") == etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        request.send_header("ETag", etag)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        self.sent[path] += 1
        end = self.cut.pop(path, len(data))
        request.wfile.write(data[start:end])
        if end < len(data):
            request.close_connection = True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class OpenImages(Site):
    """A small Open Images: ``add`` photos, then ``publish``."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: dict[str, list[str]] = {split: [] for split in BOXES}
        self.photos: dict[str, list[list[str]]] = {split: [] for split in BOXES}

    def add(
        self,
        number: int,
        split: str = "train",
        boxes: str = "/m/0pcr,1,0.25,0.75,0.125,0.5,0,0,0,0,0",
        rotation: str = "0.0",
        size: tuple[int, int] = (64, 48),
        photo: bytes | None = None,
    ) -> str:
        """``boxes``: rows from LabelName on, parted by semicolons."""
        name = photo_id(number)
        self.boxes[split] += [f"{name},xclick,{row}" for row in boxes.split(";")]
        place = f"https://example.org/{number}"
        about = [name, split, f"{place}.jpg", place, LICENCE, f"{place}/jo", f"Jo {number % 3}", f'"A", b {number}']
        self.photos[split].append([*about, "99", "md5==", "", rotation])
        self.files[f"{split}/{name}.jpg"] = jpeg(number, size) if photo is None else photo
        return name

    def publish(self) -> None:
        self.files["v5/class-descriptions-boxable.csv"] = CLASSES.encode()
        for split, path in BOXES.items():
            self.files[path] = "".join(f"{line}\n" for line in [HEADER, *self.boxes[split]]).encode()
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([ABOUT.split(","), *self.photos[split]])
            self.files[TABLES[split]] = text.getvalue().encode()

    def photos_sent(self) -> Counter[str]:
        return Counter({path: count for path, count in self.sent.items() if path.endswith(".jpg")})


@pytest.fixture
def site() -> Iterator[OpenImages]:
    server = OpenImages()
    yield server
    server.close()


Fetch = Callable[..., Result]


@pytest.fixture
def fetch(site: OpenImages, tmp_path: Path) -> Fetch:
    app = importlib.import_module("herder.cli.data").data_app

    def call(*words: object, out: str = "out", classes: tuple[str, ...] = ("Alpaca",), report: bool = False) -> Result:
        base = [
            "--annotations-url",
            site.url,
            "--photos-url",
            site.url,
            "--allow-private",
            "--cache",
            tmp_path / "cache",
        ]
        line = [
            "fetch",
            "open-images",
            "--classes",
            *classes,
            "--out",
            tmp_path / out,
            *base,
            *words,
            "--report" if report else "--no-report",
        ]
        return CliRunner().invoke(app, [str(word) for word in line])

    return call


@pytest.fixture
def fetch_list(tmp_path: Path) -> Fetch:
    app = importlib.import_module("herder.cli.data").data_app

    def call(listing: Path, *words: object, out: str = "out") -> Result:
        line = ["fetch", "urls", listing, "--out", tmp_path / out, "--allow-private", "--no-report", *words]
        return CliRunner().invoke(app, [str(word) for word in line])

    return call


def names(dataset: Dataset) -> set[str]:
    return {record.path.stem for record in dataset}


def error(result: Result) -> HerderError:
    assert isinstance(result.exception, HerderError), (result.exception, result.output)
    return result.exception


def test_photos_and_boxes_become_a_dataset(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    herd = "/m/0pcr,1,0.25,0.75,0.125,0.5,1,0,0,0,0;/m/04zzn,1,0,1,0,1,-1,0,1,0,0;/m/01dws,1,0,0.5,0,0.5,0,0,0,0,0"
    name = site.add(1, boxes=herd)
    site.add(2, "validation")
    site.add(3, "test", boxes="/m/01dws,1,0,0.5,0,0.5,0,0,0,0,0")  # a bear, which nobody asked for
    site.publish()
    result = fetch(classes=("llama", "alpaca"), report=True)
    assert result.exit_code == 0, (result.output, result.exception)
    out = tmp_path / "out"
    assert available_splits(out) == ("train", "val")
    (record,) = read_dataset(out, split="train")
    assert read_dataset(out).class_names == ("Llama", "Alpaca")
    assert (record.path.stem, record.width, record.height) == (name, 64, 48)
    # Worked out by hand: XMin, XMax, YMin, YMax of 0.25, 0.75, 0.125, 0.5 on 64 x 48 pixels.
    np.testing.assert_allclose(record.boxes, [[16, 6, 48, 24], [0, 0, 64, 48]], atol=1e-4)
    assert record.classes.tolist() == [1, 0]
    assert record.ignore.tolist() == [False, True]
    assert record.flags.occluded.tolist() == [1, -1]
    assert record.flags.group_of.tolist() == [0, 1]
    assert record.licence == "CC BY 2.0"
    assert record.source.licence_url == LICENCE
    assert (record.source.author, record.source.title) == ("Jo 1", '"A", b 1')
    assert (record.source.url, record.source.page) == ("https://example.org/1.jpg", "https://example.org/1")
    assert record.group == "author Jo 1"
    assert f"report: {out / 'report.html'}" in result.stdout
    assert "CC BY 2.0" in (out / "report.html").read_text()
    assert json.loads((out / "report.json").read_text())["totals"]["photos"] == 2
    assert record.path.read_bytes() == site.files[f"train/{name}.jpg"]


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_other_formats(site: OpenImages, fetch: Fetch, tmp_path: Path, format: str) -> None:
    site.add(1, boxes="/m/0pcr,1,0.25,0.75,0.125,0.5,0,0,0,0,0;/m/0pcr,1,0,1,0,1,0,0,1,0,0")
    site.publish()
    assert fetch("--format", format, report=True).exit_code == 0
    assert fetch("--format", "yolo", out="yolo").exit_code == 0
    assert read_dataset(tmp_path / "out").fingerprint() == read_dataset(tmp_path / "yolo").fingerprint()
    (record,) = read_dataset(tmp_path / "out")
    assert record.ignore.tolist() == [False, True]
    assert record.source.author == "Jo 1"


def test_a_second_run_fetches_nothing_again(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    for i in range(6):
        site.add(i)
    site.publish()
    first = fetch("--limit", 4)
    assert first.exit_code == 0, (first.output, first.exception)
    sent = Counter(site.sent)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("labels/**/*.txt")}
    again = fetch("--limit", 4)
    assert again.exit_code == 0, (again.output, again.exception)
    assert "as before" in again.stdout
    assert site.sent == sent  # tables: 304
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("labels/**/*.txt")} == before
    few = names(read_dataset(tmp_path / "out"))
    assert fetch().exit_code == 0
    assert len(names(read_dataset(tmp_path / "out"))) == 6
    assert few < names(read_dataset(tmp_path / "out"))
    assert set(site.photos_sent().values()) == {1}
    assert not list((tmp_path / "out").rglob("*.new"))


def test_limits_and_seeds(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    for i in range(30):
        site.add(i, ("train", "validation")[i % 2])
    site.publish()
    for out, words in (("a", []), ("b", []), ("c", ["--seed", 1])):
        assert fetch("--limit", 5, "--splits", "train", "val", *words, out=out).exit_code == 0
    a, b, c = (names(read_dataset(tmp_path / out, split="train")) for out in "abc")
    assert a == b != c
    assert len(a) == 5
    assert len(read_dataset(tmp_path / "a", split="val")) == 5
    assert site.asked[BOXES["test"]] == 0


def test_two_shards_are_the_whole(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    for i in range(20):
        site.add(i)
    site.publish()
    for out, words in (("all", []), ("one", ["--shard", "1/2"]), ("two", ["--shard", "2/2"])):
        result = fetch(*words, out=out)
        assert result.exit_code == 0, (result.output, result.exception)
    whole, one, two = (names(read_dataset(tmp_path / out)) for out in ("all", "one", "two"))
    assert one
    assert two
    assert not one & two
    assert one | two == whole
    assert fetch("--shard", "2/2", out="one").exit_code == 0  # one after the other into one folder
    assert read_dataset(tmp_path / "one").fingerprint() == read_dataset(tmp_path / "all").fingerprint()
    error(fetch("--shard", "3/2", out="no"))
    error(fetch("--shard", "1/2", "--engine", "ray", out="no"))


def test_shares_of_other_machines_are_joined(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    gone = [site.add(i) for i in range(20)][3]
    site.publish()
    del site.files[f"train/{gone}.jpg"]
    for out, words in (("all", []), ("one", ["--shard", "1/2"]), ("two", ["--shard", "2/2"])):
        assert fetch(*words, out=out).exit_code in (0, 3)
    asked = Counter(site.asked)
    two = {path: path.read_bytes() for path in (tmp_path / "two").rglob("*") if path.is_file()}
    joined = fetch("--join", tmp_path / "one", tmp_path / "two", out="both")
    assert joined.exit_code == 3, (joined.output, joined.exception)
    assert {path: n for path, n in (site.asked - asked).items() if path.endswith(".jpg")} == {}
    assert read_dataset(tmp_path / "both").fingerprint() == read_dataset(tmp_path / "all").fingerprint()
    assert {path: path.read_bytes() for path in (tmp_path / "two").rglob("*") if path.is_file()} == two
    assert "not there: 1 x not-found" in joined.stderr


def test_what_another_share_holds_no_longer_whole_is_fetched(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    photos = [site.add(i) for i in range(3)]
    site.publish()
    assert fetch(out="one").exit_code == 0
    held = tmp_path / "one" / "fetched" / "photos" / "train"
    (held / f"{photos[0]}.jpg").unlink()
    (held / f"{photos[0]}.jpg").write_bytes(jpeg(99))  # somebody else's photo
    (held / f"{photos[1]}.jpg").unlink()
    before = Counter(site.photos_sent())
    assert fetch("--join", tmp_path / "one", out="two").exit_code == 0
    assert set(site.photos_sent() - before) == {f"train/{name}.jpg" for name in photos[:2]}
    assert len(read_dataset(tmp_path / "two")) == 3
    assert "holds nothing that was fetched" in str(error(fetch("--join", tmp_path / "cache", out="three")))


def test_a_share_may_be_empty(site: OpenImages, fetch: Fetch) -> None:
    site.add(1)
    site.publish()
    results = [fetch("--shard", f"{k}/2", out=f"s{k}") for k in (1, 2)]
    assert [result.exit_code for result in results] == [0, 0], [result.exception for result in results]
    assert sum("holds no photo" in result.stdout for result in results) == 1


def test_what_does_not_arrive_is_set_aside(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    good = site.add(1)
    gone, page, half, empty = (site.add(i) for i in (2, 3, 4, 5))
    site.publish()
    del site.files[f"train/{gone}.jpg"]
    site.files[f"train/{page}.jpg"] = b"<!doctype html><title>moved</title>"
    site.files[f"train/{half}.jpg"] = jpeg(4)[:-200]
    site.files[f"train/{empty}.jpg"] = jpeg(5, (8, 8))  # a thumbnail
    result = fetch()
    assert result.exit_code == 3, (result.output, result.exception)
    assert names(read_dataset(tmp_path / "out")) == {good}
    assert "not there: 1 x not-found" in result.stderr
    assert "not there: 1 x html-page" in result.stderr
    listing = json.loads((tmp_path / "out/quarantine/quarantine.json").read_text())
    kept = {entry["was"]: entry["reason"] for entry in listing["files"]}
    assert kept == {f"train/{half}.jpg": "truncated", f"train/{empty}.jpg": "too-small"}
    assert all((tmp_path / "out/quarantine" / entry["file"]).is_file() for entry in listing["files"])
    sent = site.photos_sent()
    assert fetch().exit_code == 3
    assert site.photos_sent()[f"train/{half}.jpg"] == sent[f"train/{half}.jpg"]
    assert site.asked[f"train/{gone}.jpg"] == 1  # 404 is final


def test_no_check_takes_photos_as_they_are(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    site.add(1)
    small = site.add(2, photo=jpeg(2, (8, 8)))
    site.publish()
    assert fetch("--no-check").exit_code == 0
    assert small in names(read_dataset(tmp_path / "out"))


def test_nothing_arrives(site: OpenImages, fetch: Fetch) -> None:
    name = site.add(1)
    site.publish()
    del site.files[f"train/{name}.jpg"]
    assert "1 x not-found" in str(error(fetch()))


@pytest.mark.parametrize(
    ("rule", "boxes", "ignore"), [("drop", 1, [False]), ("keep", 2, [False, False]), ("ignore", 2, [False, True])]
)
def test_herds_in_one_box(
    site: OpenImages, fetch: Fetch, tmp_path: Path, rule: str, boxes: int, ignore: list[bool]
) -> None:
    both = site.add(1, boxes="/m/0pcr,1,0.1,0.4,0.1,0.4,0,0,0,0,0;/m/0pcr,1,0,1,0,0.9,0,0,1,0,0")
    herd = site.add(2, boxes="/m/0pcr,1,0,1,0,0.9,0,0,1,0,0")
    site.publish()
    result = fetch("--group-of", rule)
    assert result.exit_code == 0, (result.output, result.exception)
    found = {record.path.stem: record for record in read_dataset(tmp_path / "out")}
    assert len(found[both]) == boxes
    assert found[both].ignore.tolist() == ignore
    assert (herd in found) == (rule == "keep")


def test_photos_on_their_side(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    """Turned by 90 degrees counterclockwise, the top right corner of the photo comes to the top left."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:] = np.arange(64, dtype=np.uint8)[None, :, None] * 2
    pixels[0:16, 48:64] = (255, 0, 0)  # the animal: right, above
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    name = site.add(1, boxes="/m/0pcr,1,0.75,1,0,0.333333,0,0,0,0,0", rotation="90.0", photo=file.getvalue())
    site.publish()
    result = fetch()
    assert result.exit_code == 0, (result.output, result.exception)
    (record,) = read_dataset(tmp_path / "out")
    assert (record.path.stem, record.width, record.height) == (name, 48, 64)
    np.testing.assert_allclose(record.boxes, [[0, 0, 16, 16]], atol=1e-3)
    shown = read_image(record.path)
    assert shown.shape == (64, 48, 3)
    assert shown[2:14, 2:14, 0].min() > 200  # red
    assert shown[20:, 20:, 0].max() < 150
    assert "nothing" not in result.output


@pytest.mark.parametrize(
    ("asked", "said"),
    [("Alpacca", "did you mean Alpaca"), ("alpacas", "Alpaca"), ("bears", "Bear"), ("polar", "Polar bear")],
)
def test_unknown_classes(site: OpenImages, fetch: Fetch, asked: str, said: str) -> None:
    site.publish()
    found = error(fetch(classes=(asked,)))
    assert isinstance(found, ConfigError)
    assert repr(asked) in str(found)
    assert said in str(found)


def test_several_unknown_classes_are_one_message(site: OpenImages, fetch: Fetch) -> None:
    site.publish()
    found = str(error(fetch(classes=("Alpaca", "Lama", "Zebu"))))
    assert "'Lama' (did you mean Llama?), 'Zebu'" in found


def test_unknown_split_and_limit(fetch: Fetch) -> None:
    assert "train, validation, test" in str(error(fetch("--splits", "training")))
    assert "--limit 0" in str(error(fetch("--limit", 0)))
    assert "--min-side" in str(error(fetch("--min-side", 2)))


def test_columns_in_another_order(site: OpenImages, fetch: Fetch) -> None:
    site.add(1)
    site.publish()
    table = site.files[BOXES["train"]].decode()
    site.files[BOXES["train"]] = table.replace("XMin,XMax,YMin,YMax", "XMin,YMin,XMax,YMax").encode()
    found = str(error(fetch()))
    assert "line 1: column 6 is 'YMin', wanted XMax" in found


def test_a_table_that_ends_in_the_middle_of_a_line(site: OpenImages, fetch: Fetch) -> None:
    for i in range(4):
        site.add(i)
    site.publish()
    site.files[BOXES["train"]] = site.files[BOXES["train"]][:-20]
    found = str(error(fetch()))
    assert "line 5:" in found
    assert "ends in the middle" in found


def test_a_table_that_is_cut_on_the_way(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    for i in range(200):
        site.add(i)
    site.publish()
    site.cut[BOXES["train"]] = 5000
    result = fetch("--limit", 2)
    assert result.exit_code == 0, (result.output, result.exception)
    assert site.sent[BOXES["train"]] == 2  # the rest alone came the second time
    cached = next((tmp_path / "cache").glob("*oidv6*.csv"))
    assert cached.read_bytes() == site.files[BOXES["train"]]


def test_this_machine_is_private(site: OpenImages, tmp_path: Path) -> None:
    app = importlib.import_module("herder.cli.data").data_app
    line = ["fetch", "open-images", "--classes", "Alpaca", "--out", str(tmp_path / "o"), "--annotations-url", site.url]
    found = error(CliRunner().invoke(app, [*line, "--cache", str(tmp_path / "cache")]))
    assert "--allow-private" in str(found)
    assert not site.asked


def test_what_was_changed_by_hand_stays(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    for i in range(3):
        site.add(i)
    site.publish()
    assert fetch("--limit", 2).exit_code == 0
    label = next((tmp_path / "out/labels/train").iterdir())
    label.write_text("0 0.5 0.5 0.1 0.1\n")
    assert fetch("--limit", 2).exit_code == 0  # nothing new: nothing is touched
    found = error(fetch())
    assert isinstance(found, DataError)
    assert label.name in str(found)
    assert label.read_text() == "0 0.5 0.5 0.1 0.1\n"


def test_a_folder_of_other_things_stays(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    site.publish()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    assert "holds other things" in str(error(fetch()))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def yolo_labels(root: Path, stems: list[str]) -> Path:
    root.mkdir()
    (root / "classes.txt").write_text("alpaca\n")
    for stem in stems:
        (root / f"{stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return root


def test_a_list_of_urls(site: OpenImages, fetch_list: Fetch, tmp_path: Path) -> None:
    for i in range(3):
        site.files[f"p/{i}.jpg"] = jpeg(i)
    listing = tmp_path / "list.csv"
    rows = [f"{site.url}p/{i}.jpg,herd{i}.jpg,{('train', 'val')[i % 2]},CC0,Jo" for i in range(3)]
    listing.write_text("\n".join(["url,file_name,split,licence,author", *rows]) + "\n")
    labels = yolo_labels(tmp_path / "labels", ["herd0", "herd1", "herd2"])
    result = fetch_list(listing, "--labels", labels)
    assert result.exit_code == 0, (result.output, result.exception)
    assert names(read_dataset(tmp_path / "out", split="train")) == {"herd0", "herd2"}
    (record,) = read_dataset(tmp_path / "out", split="val")
    np.testing.assert_allclose(record.boxes, [[16, 12, 48, 36]], atol=1e-3)
    assert (record.licence, record.source.author) == ("CC0", "Jo")
    assert record.source.url == f"{site.url}p/1.jpg"
    assert read_dataset(tmp_path / "out").class_names == ("alpaca",)
    assert fetch_list(listing, "--labels", labels).exit_code == 0
    assert set(site.sent.values()) == {1}
    (labels / "classes.txt").rename(tmp_path / "classes.txt")  # one floor up, as YOLO datasets have it
    assert fetch_list(listing, "--labels", labels, out="other").exit_code == 0
    assert read_dataset(tmp_path / "other").class_names == ("alpaca",)


def test_a_list_with_gaps(site: OpenImages, fetch_list: Fetch, tmp_path: Path) -> None:
    site.files["a.jpg"] = jpeg(1)
    site.files["b.jpg"] = jpeg(2)
    listing = tmp_path / "list.txt"
    listing.write_text(f"{site.url}a.jpg\n{site.url}b.jpg\n{site.url}gone.jpg\nno url\n")
    result = fetch_list(listing, "--labels", yolo_labels(tmp_path / "labels", ["a", "gone"]))
    assert result.exit_code == 3, (result.output, result.exception)
    assert names(read_dataset(tmp_path / "out")) == {"a"}
    for said in ("not there: 1 x not-found", "line 4", "b.jpg: has no label"):
        assert said in result.stderr
    assert (tmp_path / "out/fetched/photos/b.jpg").is_file()  # a sound photo is no case for quarantine


def test_a_list_that_is_a_coco_file(site: OpenImages, fetch_list: Fetch, tmp_path: Path) -> None:
    for i in range(2):
        site.files[f"{i}.jpg"] = jpeg(i)
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48, "coco_url": f"{site.url}{i}.jpg", "license": 1}
        for i in range(2)
    ]
    boxes = [{"id": i, "image_id": i, "category_id": 7, "bbox": [8, 8, 16, 16], "iscrowd": i} for i in range(2)]
    data = {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 7, "name": "sheep"}],
        "licenses": [{"id": 1, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}],
    }
    listing = tmp_path / "instances_val.json"
    listing.write_text(json.dumps(data))
    result = fetch_list(listing)
    assert result.exit_code == 0, (result.output, result.exception)
    found = {record.path.stem: record for record in read_dataset(tmp_path / "out", split="val")}
    np.testing.assert_allclose(found["0"].boxes, [[8, 8, 24, 24]], atol=1e-3)
    assert found["1"].ignore.tolist() == [True]
    assert "CC BY 4.0" in found["0"].licence


def test_a_list_with_voc_labels(site: OpenImages, fetch_list: Fetch, tmp_path: Path) -> None:
    site.files["a.jpg"] = jpeg(1)
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height><depth>3</depth></size>"
        "<object><name>goat</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>24</xmax><ymax>24</ymax></bndbox></object>"
        "</annotation>"
    )
    (tmp_path / "list.txt").write_text(f"{site.url}a.jpg\n")
    result = fetch_list(tmp_path / "list.txt", "--labels", labels)
    assert result.exit_code == 0, (result.output, result.exception)
    (record,) = read_dataset(tmp_path / "out")
    np.testing.assert_allclose(record.boxes, [[8, 8, 24, 24]], atol=1e-3)


def test_a_list_without_labels(fetch_list: Fetch, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://example.org/a.jpg\n")
    assert "--labels" in str(error(fetch_list(tmp_path / "list.txt")))
    (tmp_path / "labels").mkdir()
    assert "no labels" in str(error(fetch_list(tmp_path / "list.txt", "--labels", tmp_path / "labels")))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_ray_cluster_fetches_the_same(site: OpenImages, fetch: Fetch, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for i in range(12):
        site.add(i)
    site.publish()
    # In a process of its own: Ray warns of this and that, which is an error among the tests, and starts others.
    words = ["--classes", "Alpaca", "--out", tmp_path / "out", "--annotations-url", site.url, "--photos-url", site.url]
    words += ["--cache", tmp_path / "cache", "--allow-private", "--no-report", "--engine", "ray", "--ray-shards", 2]
    command = [sys.executable, "-c", "from herder.cli import main; main()", "data", "fetch", "open-images"]
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert fetch(out="local").exit_code == 0
    assert read_dataset(tmp_path / "out").fingerprint() == read_dataset(tmp_path / "local").fingerprint()
    assert set(site.photos_sent().values()) == {2}


def test_ctrl_c_is_no_loss(site: OpenImages, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        site.add(i)
    site.publish()
    fetching = importlib.import_module("herder.api.fetching")
    with monkeypatch.context() as patch:

        def stopped(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(fetching, "_check", stopped)
        result = fetch()
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr
    assert fetch().exit_code == 0
    assert len(read_dataset(tmp_path / "out")) == 3
    assert set(site.photos_sent().values()) == {1}

"""``herder evaluate`` by the rules of Open Images, from files: expected numbers counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from herder.cli.evaluate import evaluate_command
from herder.errors import ConfigError, DataError

TREE = {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/0jbk", "Subcategory": [{"LabelName": "/m/0pcr"}]}]}


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """An alpaca in a, a herd in b, and detections of alpacas and animals in both and in c."""
    truth = {
        "images": [{"id": i, "file_name": f"photos/{name}.jpg"} for i, name in enumerate("abc", 1)],
        "categories": [{"id": 1, "name": "Alpaca"}, {"id": 2, "name": "Animal"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0, 0, 200, 200], "iscrowd": 1},
        ],
    }
    found = [
        {"image_id": 3, "category_id": 1, "bbox": [0, 0, 50, 50], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "score": 0.8},
        {"image_id": 2, "category_id": 1, "bbox": [10, 10, 50, 50], "score": 0.7},
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 50, 50], "score": 0.6},
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(found))
    (tmp_path / "verified.csv").write_text("ImageID,Source,LabelName,Confidence\na,verification,/m/0pcr,1\n")
    (tmp_path / "tree.json").write_text(json.dumps(TREE))
    (tmp_path / "classes.csv").write_text("/m/0jbk,Animal\n/m/0pcr,Alpaca\n")
    return ["--predictions", tmp_path / "found.json", "--truth", tmp_path / "truth.json"]


def averages(result: Result) -> dict[str, float]:
    assert result.exit_code == 0, result.output
    return {entry["name"]: entry["mAP50"] for entry in json.loads(result.stdout)["per_class"]}


def test_rules_change_the_number(files: list[object], tmp_path: Path) -> None:
    # COCO: one alpaca counts, found at rank two; the herd is ignored.
    assert averages(run(*files, "--json")) == {"Alpaca": pytest.approx(1 / 2), "Animal": None}
    # Open Images: the herd counts, found at rank three; two of three detections right, both boxes found.
    plain = run(*files, "--json", "--rules", "open-images")
    assert averages(plain) == {"Alpaca": pytest.approx(2 / 3), "Animal": None}
    # Nobody looked for alpacas in c: the detection of score 0.9 does not count.
    labels = [
        "--rules",
        "open-images",
        "--verified",
        tmp_path / "verified.csv",
        "--class-table",
        tmp_path / "classes.csv",
    ]
    assert averages(run(*files, "--json", *labels)) == {"Alpaca": pytest.approx(1), "Animal": None}
    # Alpacas are animals: two of them, of which one is found.
    both = run(*files, "--json", *labels, "--hierarchy", tmp_path / "tree.json")
    assert averages(both) == {"Alpaca": pytest.approx(1), "Animal": pytest.approx(1 / 2)}
    content = json.loads(both.stdout, parse_constant=pytest.fail)
    assert content["rules"] == "open-images"
    assert content["truths"] == 4
    assert content["metrics"]["mAP50_95"] is None
    assert "IoU 0.5 alone" in content["not_computed"]["mAP50_95"]


def test_table_and_report(files: list[object], tmp_path: Path) -> None:
    result = run(*files, "--rules", "open-images", "--report", tmp_path / "report.html")
    assert "AP at IoU 0.5" in result.stdout
    assert "mAP50-95" not in result.stdout
    assert "AP small" not in result.stdout
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "Result by the rules of Open Images" in html
    assert "Operating points" in html


def test_wanted_numbers_are_in_json_and_report(files: list[object], tmp_path: Path) -> None:
    result = run(*files, "--json", "--at-precision", 0.4, "--at-recall", 1, "--report", tmp_path / "report.html")
    content = json.loads(result.stdout, parse_constant=pytest.fail)
    row = content["operating_points"]["rows"][0]
    assert (content["operating_points"]["wanted_precision"], row["at_recall"]["recall"]) == (0.4, 1.0)
    assert content["counting"]
    assert content["flags"] == []  # a COCO file read alone holds no flags
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "Operating points" in html
    assert "Counting" in html
    with pytest.raises(ConfigError, match="precision"):
        raise run(*files, "--at-precision", 1.5).exception


def test_files_of_other_rules_are_an_error(files: list[object], tmp_path: Path) -> None:
    for option in ("--verified", "--hierarchy", "--class-table"):
        with pytest.raises(ConfigError, match=f"{option}: these are for the rules of Open Images"):
            raise run(*files, option, tmp_path / "verified.csv").exception
    with pytest.raises(ConfigError, match="neither is given"):
        raise run(*files, "--rules", "open-images", "--class-table", tmp_path / "classes.csv").exception
    # Without the table the ids of the hierarchy are no names of classes.
    with pytest.raises(DataError, match="none of the classes"):
        raise run(*files, "--rules", "open-images", "--hierarchy", tmp_path / "tree.json").exception
    assert run(*files, "--rules", "voc").exit_code == 2

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from herder.errors import DataError
from herder.evaluation.cost import Artifact, Configuration, Cost, Latency, LeftOut, Machine, Measurement
from herder.evaluation.cost_sections import cost_section, sections_from_json, time_columns, time_rows
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import to_plain
from herder.evaluation.report import render_report

NONE = NotComputed("not asked for")
QUIET = Machine("Some <CPU>", 2, "Linux", "3.12", (("torch", "2.9"),), (), 0.1)
GIVEN = Artifact("m.safetensors", "a" * 64, 4_000_000, "", 1_234_567)
MADE = Artifact("m.onnx", "b" * 64, 3_900_000, "m.safetensors", NotComputed("onnx is missing"))


def measurement(engine: str, sha256: str, fps: float, **changes: Any) -> Measurement:
    latency = Latency.of(10.0, 12.0, 15.0, timings=50)
    one = Measurement(
        Configuration(engine, "cpu", 1, 1, 320),
        sha256,
        2_000_000_000,
        5,
        50,
        latency,
        latency,
        fps,
        fps + 5,
        200_000_000,
        50_000_000,
        NONE,
        NONE,
        NONE,
    )
    return replace(one, **changes)


COST = Cost(
    "herder-n",
    QUIET,
    (GIVEN, MADE),
    (measurement("torch", "a" * 64, 50.0), measurement("onnx", "b" * 64, 90.0, flops=NotComputed("onnx is missing"))),
    (LeftOut(Configuration("openvino", "cpu", 2, 8, 320), "openvino is not installed"),),
)


def test_what_the_page_says() -> None:
    page = render_report("x", [cost_section(COST)])
    for text in (
        "1,234,567",
        "2.00",
        "m.onnx, exported from m.safetensors",
        "aaaaaaaaaaaa",
        "openvino is not installed",
    ):
        assert text in page
    assert "Some &lt;CPU&gt;, 2 cores" in page
    assert "openvino on cpu, 2 threads, batch 8, 320 px" in page
    assert "A dash in the times: not computed: the 99th percentile needs 100 timings, 50 were taken." in page
    assert "busy" not in page
    assert "CUDA" not in page
    assert dict(cost_section(COST).numbers)["Photos/s, onnx"] == "90.0"


def test_a_busy_machine_is_told() -> None:
    text = cost_section(replace(COST, machine=replace(QUIET, others=1.9))).text
    assert "other programs took 1.9 cores" in text
    assert not replace(QUIET, others=NotComputed("psutil is not installed")).busy


def test_columns_come_with_what_they_show() -> None:
    assert len(time_columns(COST)) == len(time_rows(COST)[0]) == 10
    best = replace(COST.measurements[0], map50_95=0.5, peak_cuda_bytes=3_000_000)
    rich = replace(COST, machine=replace(QUIET, cuda=("A GPU",)), measurements=(best,))
    assert time_columns(rich)[-2:] == ("Peak CUDA MB", "mAP50-95")
    assert time_rows(rich)[0][-2:] == ["3", "0.500"]
    assert "CUDA" in render_report("x", [cost_section(rich)])


@pytest.mark.parametrize(("timings", "known"), [(1, (False, False)), (20, (True, False)), (100, (True, True))])
def test_percentiles_need_timings(timings: int, known: tuple[bool, bool]) -> None:
    latency = Latency.of(1.0, 2.0, 3.0, timings)
    assert (isinstance(latency.p95, float), isinstance(latency.p99, float)) == known


def saved() -> dict[str, Any]:
    content = {"kind": "cost", "version": 1, **to_plain(COST), "model": {"name": "herder-n"}}
    found: dict[str, Any] = json.loads(json.dumps(content, allow_nan=False))
    return found


def test_from_the_result_as_it_was() -> None:
    assert render_report("x", sections_from_json(saved(), "cost.json")) == render_report("x", [cost_section(COST)])


@pytest.mark.parametrize("key", ["model", "machine", "artifacts", "measurements"])
def test_a_damaged_result_is_named(key: str) -> None:
    for damage in ({k: v for k, v in saved().items() if k != key}, {**saved(), key: 3}):
        with pytest.raises(DataError, match=r"cost\.json: is damaged"):
            sections_from_json(damage, "cost.json")


def test_a_measurement_of_no_known_file() -> None:
    with pytest.raises(DataError, match="unknown file"):
        sections_from_json({**saved(), "artifacts": []}, "cost.json")


def test_streams_have_a_column_where_there_are_some() -> None:
    assert "Streams" not in time_columns(COST)
    fast = measurement("onnx", "b" * 64, 150.0)
    fast = replace(fast, configuration=replace(fast.configuration, streams=2))
    cost = replace(COST, measurements=(*COST.measurements, fast))
    column = time_columns(cost).index("Streams")
    assert [row[column] for row in time_rows(cost)] == [1, 1, 2]
    assert "1 thread, 2 streams, batch 1" in str(fast.configuration)
    assert "share the threads" in render_report("x", [cost_section(cost)])


def test_what_an_older_herder_wrote_is_still_read() -> None:
    data = json.loads(json.dumps(to_plain(COST)))
    for one in data["measurements"]:
        del one["configuration"]["streams"]
    data["left_out"][0]["configuration"].pop("streams")
    assert sections_from_json({**data, "model": {"name": "herder-n"}}, "cost.json")

"""Box tables: what a scan finds, against rows written by hand and Python's own CSV reader; and every kind of damage."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.open_images import csv_pieces
from herder.data.open_images.box_filters import BoxFilters, Rule, apply_filters
from herder.data.open_images.box_table import read_boxes, scan_boxes
from herder.errors import ConfigError, DataError

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
CLICKS = ",XClick1X,XClick2X"
A, B, C = "000a1249af2bc5f0", "00f000000000000e", "0123456789abcdef"
ROWS = [
    f"{A},xclick,/m/0pcr,1,0.1,0.5,0.2,0.6,1,0,0,0,0",
    f"{A},xclick,/m/01dws,1,0,1,0,1,0,0,0,0,0",
    f"{B},activemil,/m/0pcr,1,0.25,0.75,0,1,-1,-1,1,-1,-1",
    f"{C},xclick,/m/04zzn,1,0.5,0.505,0.5,0.9,0,1,0,0,0",
]
Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(rows: list[str], header: str = HEADER, end: str = "\n") -> Path:
        path = tmp_path / "boxes.csv"
        path.write_bytes("\n".join([header, *rows]).encode() + end.encode())
        return path

    return write


def test_boxes_of_some_classes(table: Table) -> None:
    boxes = scan_boxes(table(ROWS), ["/m/0pcr", "/m/04zzn"])
    assert boxes["ImageID"].to_list() == [A, B, C]
    assert boxes["line"].to_list() == [2, 4, 5]
    assert boxes.select("XMin", "YMin", "XMax", "YMax").rows()[0] == (0.1, 0.2, 0.5, 0.6)
    assert boxes["IsOccluded"].to_list() == [1, -1, 0]
    assert boxes["ignore"].to_list() == [False, True, False]


def test_the_columns_of_version_6(table: Table) -> None:
    rows = [f"{row},0.25,0.5" for row in ROWS]
    assert scan_boxes(table(rows, HEADER + CLICKS), ["/m/0pcr"])["line"].to_list() == [2, 4]


def test_nothing_is_found(table: Table) -> None:
    for rows in ([], ROWS):
        found = scan_boxes(table(rows), ["/m/none"])
        assert len(found) == 0
        assert "ignore" in found.columns
    assert len(scan_boxes(table([]), [])) == 0


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_ends_of_files(table: Table, end: str) -> None:
    assert len(read_boxes(table(ROWS, end=end), ["/m/0pcr"])) == 2


def test_windows_line_ends_and_a_mark_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([HEADER, *ROWS, ""]).encode())
    assert read_boxes(path, ["/m/0pcr"])["IsInside"].to_list() == [0, -1]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("XMax,YMin", "YMin,XMax"), "column 6 is 'YMin', wanted XMax"),
        (HEADER.removesuffix(",IsInside"), "column 13 is nothing, wanted IsInside"),
        (HEADER + ",XMin", "wanted each name once"),
        (ROWS[0], "column 1 is '000a1249af2bc5f0', wanted ImageID"),
        ("<!doctype html>", "column 1 is '<!doctype html>'"),
        ("", "is empty"),
    ],
)
def test_wrong_headers(table: Table, header: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_boxes(table(ROWS, header), ["/m/0pcr"])


@pytest.mark.parametrize("cut", range(1, len(ROWS[3]) - 1, 3))
def test_cut_in_the_middle_of_the_last_line(table: Table, cut: int) -> None:
    """But for the last character: what is left may be a whole line."""
    rows = [*ROWS[:3], ROWS[3][:-cut]] if cut > 1 else [*ROWS[:3], ROWS[3][:-2]]
    with pytest.raises(DataError, match=r"line 5: .* fields, wanted 13; the file ends in the middle"):
        read_boxes(table(rows, end=""), ["/m/none"])


@pytest.mark.parametrize("cut", range(1, len(ROWS[1]), 4))
def test_a_line_that_runs_into_the_next(table: Table, cut: int) -> None:
    rows = [ROWS[0], ROWS[1][:cut] + ROWS[2], ROWS[3]]
    with pytest.raises(DataError, match="line 3: "):
        read_boxes(table(rows), ["/m/none"])


@pytest.mark.parametrize("cut", range(1, len(ROWS[1]), 4))
def test_a_short_line_in_between(table: Table, cut: int) -> None:
    short = ROWS[1][:cut]
    if short.count(",") == 12 and not short.endswith(","):
        pytest.skip("this one is whole")
    with pytest.raises(DataError, match="line 3: "):
        read_boxes(table([ROWS[0], short, ROWS[2]]), ["/m/none"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.1,0.5", "x,0.5", "no number in column XMin"),
        ("0.1,0.5", ",0.5", "no number in column XMin"),
        ("1,0,0,0,0", "yes,0,0,0,0", "no flag .* in column IsOccluded"),
        ("1,0,0,0,0", "7,0,0,0,0", "IsOccluded is 7, wanted 1, 0 or -1"),
        (A, "../../etc/passwd", "is no photo's id"),
        (A, "000A1249AF2BC5F0", "is no photo's id"),
        (A, "abc", "no name of 16 characters"),
    ],
)
def test_broken_values(table: Table, old: str, new: str, said: str) -> None:
    with pytest.raises(DataError, match=f"line 3: .*{said}"):
        read_boxes(table([ROWS[1], ROWS[0].replace(old, new)]), ["/m/0pcr"])


def test_no_text_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(f"{HEADER}\n".encode() + b"\xff\xfe" + ROWS[0].encode() + b"\n")
    with pytest.raises(DataError, match="from line 2"):
        read_boxes(tmp_path / "a.csv", ["/m/0pcr"])
    with pytest.raises(DataError, match="cannot be read"):
        read_boxes(tmp_path / "none.csv", ["/m/0pcr"])


def test_coordinates_in_another_order_than_the_header(table: Table) -> None:
    """Boxes as x1, y1, x2, y2 under a header that says x1, x2, y1, y2."""
    rows = [f"{i:016x},xclick,/m/0pcr,1,{0.01 * i},0.3,0.9,0.8,0,0,0,0,0" for i in range(60)]
    with pytest.raises(DataError, match="do not come in the order of the header"):
        read_boxes(table(rows), ["/m/0pcr"])


def test_pieces_do_not_matter(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(ROWS * 20)
    whole = scan_boxes(path, ["/m/0pcr", "/m/04zzn"])
    for size in (20, 64, 100, 1000):  # the first is shorter than a line
        monkeypatch.setattr(csv_pieces, "PIECE", size)
        assert scan_boxes(path, ["/m/0pcr", "/m/04zzn"]).equals(whole)


fraction = st.floats(-0.2, 1.2, allow_nan=False).map(lambda x: round(x, 3))
flag = st.sampled_from([-1, 0, 1])
row = st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["/m/0pcr", "/m/04zzn", "/m/01dws"]), fraction, fraction)
rows_of = st.lists(st.tuples(row, fraction, fraction, flag, flag, flag, flag, flag), max_size=12)


@given(rows_of, st.sampled_from(list(Rule)), st.sampled_from(list(Rule)), st.sampled_from([0.0, 0.1]))
def test_against_the_rules_in_plain_python(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple], group: Rule, cut: Rule, side: float
) -> None:
    lines = [HEADER]
    for (name, label, x1, dx), y1, dy, *flags in drawn:
        x2, y2 = round(x1 + abs(dx), 3), round(y1 + abs(dy), 3)
        lines.append(f"{name},x,{label},1,{x1},{x2},{y1},{y2},{','.join(map(str, flags))}")
    path = tmp_path_factory.mktemp("t") / "boxes.csv"
    path.write_text("\n".join(lines) + "\n")
    expected, seen = [], set()
    for number, entry in enumerate(csv.DictReader(lines), 2):
        x1, x2, y1, y2 = (min(max(float(entry[c]), 0.0), 1.0) for c in ("XMin", "XMax", "YMin", "YMax"))
        key = (entry["ImageID"], entry["LabelName"], x1, x2, y1, y2)
        if entry["LabelName"] == "/m/01dws" or x2 <= x1 or y2 <= y1 or key in seen:
            continue
        seen.add(key)
        herd, short = entry["IsGroupOf"] == "1", entry["IsTruncated"] == "1"
        if (herd and group is Rule.DROP) or (short and cut is Rule.DROP):
            continue
        ignored = (herd and group is Rule.IGNORE) or (short and cut is Rule.IGNORE) or min(x2 - x1, y2 - y1) < side
        expected.append((number, ignored))
    keep = {"depiction": Rule.KEEP, "inside": Rule.KEEP}
    filters = BoxFilters(group_of=group, truncated=cut, min_side=side, **keep)
    found = scan_boxes(path, ["/m/0pcr", "/m/04zzn"], filters)
    assert found.select("line", "ignore").rows() == expected


def test_what_is_left_out_is_counted(table: Table) -> None:
    rows = [
        ROWS[0],
        ROWS[0],
        ROWS[2],
        ROWS[0].replace("0.1,0.5", "nan,0.5"),
        ROWS[0].replace("0.1,0.5", "1.1,1.5"),
        ROWS[0].replace("0.1,0.5", "0.5,0.5"),
        ROWS[3],
    ]
    boxes = read_boxes(table(rows), ["/m/0pcr", "/m/04zzn"])
    left, counts = apply_filters(boxes, BoxFilters(group_of=Rule.DROP, min_side=0.01))
    assert left["line"].to_list() == [2, 8]
    assert counts == {
        "duplicate-box": 1,
        "dropped-group_of": 1,
        "not-finite": 1,
        "box-outside": 1,
        "zero-area": 1,
        "ignored-small": 1,
    }


@pytest.mark.parametrize("side", [-0.1, 1.0, math.nan, math.inf])
def test_sides_that_are_no_share(side: float) -> None:
    with pytest.raises(ConfigError, match="--min-side"):
        BoxFilters(min_side=side)


@pytest.mark.slow
def test_fifteen_million_rows_in_little_memory(tmp_path: Path) -> None:
    """In a process of its own, whose peak is its own: under 1 GB; the time is the benchmark's."""
    import subprocess
    import sys

    path = tmp_path / "boxes.csv"
    block = "".join(
        f"{i:016x},xclick,/m/{i % 600:04x},1,0.1,0.5,0.2,0.6,{i % 2},0,0,0,0" + ",0.183191" * 8 + "\n"
        for i in range(100_000)
    ).encode()
    with path.open("wb") as file:
        file.write(f"{HEADER}{''.join(f',C{i}' for i in range(8))}\n".encode())
        for _ in range(150):
            file.write(block)
    program = (
        "import sys; from pathlib import Path; from herder.data.open_images.box_table import read_boxes\n"
        "from herder.edge.memory import peak_resident_bytes\n"
        "print(len(read_boxes(Path(sys.argv[1]), ['/m/0001'])), peak_resident_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    count, peak = map(int, done.stdout.split())
    assert count == 150 * len(range(1, 100_000, 600))
    assert peak < 1_000_000_000

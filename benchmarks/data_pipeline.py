"""How fast and how safe the data pipeline is, on this machine alone: no photo and no table comes from outside.

    python benchmarks/data_pipeline.py                             # all parts, as the results in docs were made
    python benchmarks/data_pipeline.py download kills --scale 0.1  # two of them, with a tenth of the photos
    python benchmarks/data_pipeline.py scan --work /big/disk       # needs 2.3 GB

download  herder from a server with 30 ms latency, 3 % 503, 1 % resets and 0.5 % truncated photos, beside plain httpx
          and aria2c at the same concurrency from one without faults; in turns, the median of the rounds
kills     three kill -9 in the middle, and what the manifest says in the end beside a run that nobody disturbed
memory    peak memory with 1,000 and with 10,000 photos
checks    photos of 640 pixels that are checked a second
scan      the boxes of two classes out of a generated table of 15 million rows: seconds and peak memory

Prints a table with the targets and writes the numbers of these parts into ``benchmarks/results/data_pipeline.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_pipeline_inputs import write_photos, write_table
from data_pipeline_targets import rows_of
from herder.files import write_atomic

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "data_pipeline.json"
FAULTS = ("--busy", "0.03", "--resets", "0.01", "--truncated", "0.005")
Numbers = dict[str, Any]


@contextmanager
def server(photos: int, *options: str) -> Iterator[str]:
    """The address of a faulty server of its own, with counts at 0, in a process of its own."""
    command = [sys.executable, str(HERE / "faulty_server.py"), "--photos", str(photos), *options]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield json.loads(child.stdout.readline())["url"]
    finally:
        child.stdin.close()
        child.stdout.read()
        child.wait(timeout=20)


def ask(url: str, path: str) -> Any:
    """What the server counted."""
    with urllib.request.urlopen(f"{url}/{path}", timeout=20) as answer:
        return json.load(answer)


def start_job(*words: object) -> subprocess.Popen[str]:
    """A process with one job of ``data_pipeline_jobs.py``."""
    command = [sys.executable, str(HERE / "data_pipeline_jobs.py"), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def job(*words: object) -> Numbers:
    """What a job measured."""
    child = start_job(*words)
    text = child.communicate()[0]
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: exit code {child.returncode}")
    return json.loads(text)


def aria2c(url: str, photos: int, out: Path, concurrency: int) -> Numbers:
    """aria2c with as many downloads at one time, each over one connection; its start counts, which takes 20 ms."""
    out.mkdir(parents=True)
    listing = out.with_suffix(".txt")
    listing.write_text("".join(f"{url}/{i}.jpg\n" for i in range(photos)))
    command = ["aria2c", "--quiet", "--no-conf", "-i", str(listing), "-d", str(out), "-j", str(concurrency)]
    command += ["-x", "1", "-s", "1", "--file-allocation=none", "--allow-overwrite=true"]
    # Three times as fast so for small files, and nothing is resumed here.
    command += ["--auto-save-interval=0", "--summary-interval=0", "--disk-cache=0"]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "fetched": sum(1 for _ in out.glob("*.jpg"))}


def part_download(work: Path, scale: float, repeat: int, concurrency: int) -> Numbers:
    """Photos a second, side by side."""
    photos = max(100, round(10_000 * scale))
    runs: dict[str, list[Numbers]] = {"herder, faults": [], "herder": [], "httpx": [], "aria2c": []}
    if shutil.which("aria2c") is None:
        print("download: aria2c is not installed, so that it is left out")
        del runs["aria2c"]
    for _ in range(repeat):
        for name, found in runs.items():
            with server(photos, *(FAULTS if "faults" in name else ())) as url:
                out = work / "download"
                shutil.rmtree(out, ignore_errors=True)
                if name == "aria2c":
                    numbers = aria2c(url, photos, out / "photos", concurrency)
                else:
                    words = ("--url", url, "--photos", photos, "--out", out / "run", "--concurrency", concurrency)
                    numbers = job(name.partition(",")[0], *words)
                found.append(
                    {**numbers, "photos_per_second": numbers["fetched"] / numbers["seconds"], **ask(url, "log")}
                )
    result: Numbers = {"photos": photos, "concurrency": concurrency, "repeat": repeat}
    result["rates"] = {
        name: statistics.median(run["photos_per_second"] for run in found) for name, found in runs.items()
    }
    faulty = runs["herder, faults"]
    result["runs"] = runs
    result["accounted_for"] = all(sum(run["totals"].values()) == photos for run in faulty)
    result["arrived"] = min(run["totals"]["done"] for run in faulty)
    result["sent_twice"] = max(run["sent_again"] for run in faulty)
    for other in ("httpx", "aria2c"):
        if other in runs:
            result[f"share_of_{other}"] = result["rates"]["herder, faults"] / result["rates"][other]
    return result


def part_kills(work: Path, scale: float, repeat: int, concurrency: int) -> Numbers:
    """Three kill -9, and the manifest in the end."""
    photos = max(400, round(10_000 * scale))
    shutil.rmtree(work / "kills", ignore_errors=True)
    final: dict[str, Any] = {}
    refetched = finished = 0
    for name in ("undisturbed", "killed"):
        out = work / "kills" / name
        with server(photos, *FAULTS) as url:
            words = ("herder", "--url", url, "--photos", photos, "--out", out, "--concurrency", concurrency)
            for kill in (1, 2, 3) if name == "killed" else ():
                child = start_job(*words)
                while child.poll() is None and sum(map(bool, ask(url, "sent"))) < kill * photos / 4:
                    time.sleep(0.02)
                child.kill()
                child.communicate()
                if child.returncode == 0:
                    raise SystemExit("kills: the download ended before it could be killed; use a larger --scale")
                before = {key for key, row in manifest_rows(out).items() if row[0] == "done"}
                sent = ask(url, "sent")
                finished = len(before)
                asked = {key: sent[int(key)] for key in before}
                # What was finished at this kill is looked at once the next process has begun and ended.
                final.setdefault("asked", []).append(asked)
            job(*words)
            sent = ask(url, "sent")
            refetched += sum(sent[int(key)] != n for asked in final.get("asked", []) for key, n in asked.items())
            final[name] = manifest_rows(out)
            files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "photos").iterdir()}
            final[f"{name} files"] = files
    return {
        "photos": photos,
        "kills": 3,
        "finished_at_last_kill": finished,
        "same_manifest": final["undisturbed"] == final["killed"],
        "same_files": final["undisturbed files"] == final["killed files"],
        "files": len(final["killed files"]),
        "finished_photos_fetched_again": refetched,
    }


def manifest_rows(out: Path) -> dict[str, tuple[object, ...]]:
    """What the manifest says of each photo, but for attempts and times, which a kill may change."""
    from herder.data.download import Manifest

    with Manifest(out / "manifest.sqlite") as manifest:
        return {
            row.item.key: (str(row.state), str(row.item.path), row.outcome.size, row.outcome.sha256, row.outcome.etag)
            for row in manifest.rows()
        }


def part_memory(work: Path, scale: float, repeat: int, concurrency: int) -> Numbers:
    """Peak memory with few and with ten times as many photos."""
    found = {}
    for photos in (max(100, round(1_000 * scale)), max(1_000, round(10_000 * scale))):
        out = work / "memory"
        shutil.rmtree(out, ignore_errors=True)
        with server(photos, *FAULTS) as url:
            words = ("--url", url, "--photos", photos, "--out", out, "--concurrency", concurrency)
            found[str(photos)] = job("herder", *words)["peak_mb"]
    return {"peak_mb": found, "growth_mb": max(found.values()) - min(found.values())}


def part_checks(work: Path, scale: float, repeat: int, concurrency: int) -> Numbers:
    """Photos checked a second."""
    folder = work / "checks"
    shutil.rmtree(folder, ignore_errors=True)
    size = write_photos(folder, max(100, round(1_500 * scale)))
    runs = [job("checks", "--out", folder) for _ in range(repeat)]
    photos = runs[0]["photos"]
    rate = statistics.median(run["photos"] / run["seconds"] for run in runs)
    return {"photos": photos, "kb_a_photo": size / photos / 1e3, "photos_per_second": rate, "runs": runs}


def part_scan(work: Path, scale: float, repeat: int, concurrency: int) -> Numbers:
    """Seconds and memory of the box scan."""
    rows = max(10_000, round(15_000_000 * scale))
    table = work / "scan.csv"
    wanted = ["/m/c0007", "/m/c0400"]
    expected = write_table(table, rows, wanted)
    runs = [job("scan", "--out", table, "--classes", *wanted) for _ in range(repeat)]
    size = table.stat().st_size
    table.unlink()
    return {
        "rows": rows,
        "table_mb": size / 1e6,
        "seconds": statistics.median(run["seconds"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "boxes": runs[0]["boxes"],
        "boxes_expected": expected,
        "runs": runs,
    }


PARTS: dict[str, Callable[[Path, float, int, int], Numbers]] = {
    "download": part_download,
    "kills": part_kills,
    "memory": part_memory,
    "checks": part_checks,
    "scan": part_scan,
}


def main() -> None:
    """Measure, print a table, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without it")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the photos and rows, such as 0.1")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of download, checks and scan")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--work", type=Path, help="folder for photos and tables; a temporary one without it")
    parser.add_argument("--json", type=Path, default=RESULTS, help="file of the numbers; other parts in it are kept")
    args = parser.parse_args()
    if unknown := set(args.parts) - PARTS.keys():
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    if args.work is not None:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="herder-", dir=args.work) as folder:
        for name in args.parts or PARTS:
            start = time.perf_counter()
            numbers = PARTS[name](Path(folder), args.scale, args.repeat, args.concurrency)
            print(f"\n{name} ({time.perf_counter() - start:,.0f} s, scale {args.scale:g})")
            for what, value, target, reached in rows_of(name, numbers):
                mark = "" if reached is None else "ok" if reached else "MISSED"
                print(f"  {what:<72}{value:>12}  {target:>12}  {mark}", flush=True)
            # After each part, so that a later one that is broken off costs nothing.
            known = json.loads(args.json.read_text()) if args.json.is_file() else {}
            known[name] = {"scale": args.scale, **machine, **numbers}
            write_atomic(args.json, f"{json.dumps(known, indent=1)}\n".encode())


if __name__ == "__main__":
    main()

"""What ``data_pipeline.py`` measures, each job in a process of its own: prints one JSON line with time and peak memory.

python benchmarks/data_pipeline_jobs.py herder --url http://127.0.0.1:8000 --photos 1000 --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Any


def peak_mb() -> float:
    """The most memory that this process has held at once, in megabytes."""
    try:
        # Unlike getrusage, this does not count what the process was before it became Python.
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1e3
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def herder(url: str, photos: int, out: Path, concurrency: int) -> dict[str, Any]:
    """herder's downloader, manifest and all."""
    from herder.data.download import DownloadConfig, DownloadItem, Manifest, download

    config = DownloadConfig(concurrency=concurrency, allow_private=True)
    items = (DownloadItem(f"{i}", f"{url}/{i}.jpg", PurePosixPath(f"{i}.jpg")) for i in range(photos))
    start = time.perf_counter()
    with Manifest(out / "manifest.sqlite") as manifest:
        report = download(items, out / "photos", config, manifest=manifest)
    seconds = time.perf_counter() - start
    numbers = {"fetched": report.fetched, "retries": report.retries, "requests": report.requests}
    totals = {str(state): count for state, count in report.totals.items()}
    return {"seconds": seconds, **numbers, "totals": totals, "recovered": report.recovered}


def httpx(url: str, photos: int, out: Path, concurrency: int) -> dict[str, Any]:
    """What one would write in ten lines: no retries, no checks, no manifest; it writes photos and nothing else."""
    import asyncio

    import httpx

    out.mkdir(parents=True)

    async def work(client: httpx.AsyncClient, numbers: Any) -> None:
        for i in numbers:
            answer = await client.get(f"{url}/{i}.jpg")
            answer.raise_for_status()
            (out / f"{i}.jpg").write_bytes(answer.content)

    async def run() -> None:
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        numbers = iter(range(photos))
        async with httpx.AsyncClient(limits=limits, timeout=20) as client:
            await asyncio.gather(*(work(client, numbers) for _ in range(concurrency)))

    start = time.perf_counter()
    asyncio.run(run())
    return {"seconds": time.perf_counter() - start, "fetched": len(list(out.iterdir()))}


def checks(folder: Path) -> dict[str, Any]:
    """All checks of photos, boxes and duplicates over a folder of photos, one box each."""
    from herder.data.quality import run_checks
    from herder.data.records import Dataset, ImageRecord
    from herder.images import image_size

    records = [ImageRecord(p, *image_size(p), [[40, 40, 300, 300]], [0]) for p in sorted(folder.glob("*.jpg"))]
    dataset = Dataset(tuple(records), ("alpaca",), folder)
    start = time.perf_counter()
    report = run_checks(dataset)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "photos": len(records), "usable": len(report.usable)}


def scan(table: Path, classes: list[str]) -> dict[str, Any]:
    """The boxes of some classes out of a table of all."""
    from herder.data.open_images.box_table import scan_boxes

    start = time.perf_counter()
    boxes = scan_boxes(table, classes)
    return {"seconds": time.perf_counter() - start, "boxes": len(boxes)}


def main() -> None:
    """Do one job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("herder", "httpx", "checks", "scan"))
    parser.add_argument("--url", default="")
    parser.add_argument("--photos", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--classes", nargs="*", default=[])
    args = parser.parse_args()
    if args.job in ("herder", "httpx"):
        numbers = {"herder": herder, "httpx": httpx}[args.job](args.url, args.photos, args.out, args.concurrency)
    else:
        numbers = checks(args.out) if args.job == "checks" else scan(args.out, args.classes)
    print(json.dumps({**numbers, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()

"""What ``data_pipeline.py`` measured, beside what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def rows_of(name: str, n: dict[str, Any]) -> Iterator[tuple[str, str, str, bool | None]]:
    """What was measured, its value, the target, and whether it was reached."""
    if name == "download":
        for who, rate in n["rates"].items():
            yield (
                f"{who}: photos a second ({n['photos']:,} photos, {n['concurrency']} at a time)",
                f"{rate:,.0f}",
                "",
                None,
            )
        for other in ("httpx", "aria2c"):
            if (share := n.get(f"share_of_{other}")) is not None:
                yield f"herder with faults / {other} without", f"{share:.2f}", ">= 0.9", share >= 0.9
        lost = n["photos"] - n["arrived"]
        yield (
            "photos that did not arrive and are not reported",
            "0" if n["accounted_for"] else "some",
            "0",
            n["accounted_for"],
        )
        yield "photos that did not arrive", f"{lost:,}", "", None
        yield "photos sent in full more than once", f"{n['sent_twice']:,}", "0", n["sent_twice"] == 0
    elif name == "kills":
        again = n["finished_photos_fetched_again"]
        yield (
            f"manifest after 3 kill -9 ({n['photos']:,} photos)",
            _same(n["same_manifest"]),
            "the same",
            n["same_manifest"],
        )
        yield "files after 3 kill -9", _same(n["same_files"]), "the same", n["same_files"]
        yield "finished photos fetched again", f"{again:,}", "0", again == 0
    elif name == "memory":
        for photos, peak in n["peak_mb"].items():
            yield f"peak memory with {int(photos):,} photos, MB", f"{peak:,.0f}", "< 300", peak < 300
        yield "growth of it, MB", f"{n['growth_mb']:,.1f}", "flat", None
    elif name == "checks":
        rate = n["photos_per_second"]
        what = f"photos checked a second (640 px, {n['kb_a_photo']:.0f} kB, {n['photos']:,} photos)"
        yield what, f"{rate:,.0f}", ">= 150", rate >= 150
    else:
        seconds = n["seconds"]
        yield f"scan of {n['rows']:,} rows ({n['table_mb']:,.0f} MB), seconds", f"{seconds:.1f}", "< 60", seconds < 60
        yield "peak memory of the scan, MB", f"{n['peak_mb']:,.0f}", "< 1000", n["peak_mb"] < 1000
        right = n["boxes"] == n["boxes_expected"]
        yield "boxes found of those written", f"{n['boxes']:,}", f"{n['boxes_expected']:,}", right


def _same(same: bool) -> str:
    return "the same" if same else "another"

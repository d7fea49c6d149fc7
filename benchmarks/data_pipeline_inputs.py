"""What ``data_pipeline.py`` feeds to the checks and to the scan: photos and a table that are made up."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

GRAIN = 7.0
"""Standard deviation of the grain, of 255."""

CLASSES = 600
"""Classes in the generated table, as Open Images has."""


def write_photos(folder: Path, count: int) -> int:
    """Write JPEG photos of 640 x 480 pixels; returns their bytes.

    Clouds of colour with the grain of grass and fur: about as many bytes as real photos of this size have.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    size = 0
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        clouds = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC))
        photo = np.clip(clouds + rng.normal(0, GRAIN, (480, 640, 1)), 0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(photo).save(out, "JPEG", quality=85)
        (folder / f"{i}.jpg").write_bytes(out.getvalue())
        size += len(out.getvalue())
    return size


def write_table(path: Path, rows: int, wanted: list[str]) -> int:
    """A table as the training one of Open Images, clicks and all; returns how many rows the wanted classes have.

    Photos have eight boxes on average, and a class is the rarer the larger its number, as in the real table.
    """
    import polars as pl

    rng = np.random.default_rng(0)
    names = np.array([f"/m/c{i:04}" for i in range(CLASSES)])
    shares = 1 / np.arange(1, CLASSES + 1)
    found = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for first in range(0, rows, 500_000):
            n = min(500_000, rows - first)
            photos = (np.arange(first, first + n) // 8).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            ids = [f"{photo:016x}" for photo in photos.tolist()]
            low = rng.uniform(0, 0.6, (n, 2))
            high = low + rng.uniform(0.01, 0.4, (n, 2))
            classes = names[rng.choice(CLASSES, n, p=shares / shares.sum())]
            found += int(np.isin(classes, wanted).sum())
            columns = {
                "ImageID": ids,
                "Source": ["xclick"] * n,
                "LabelName": classes,
                "Confidence": np.ones(n, np.int8),
            }
            columns |= {"XMin": low[:, 0], "XMax": high[:, 0], "YMin": low[:, 1], "YMax": high[:, 1]}
            for name in ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"):
                columns[name] = rng.choice(np.array([0, 1], np.int8), n, p=(0.8, 0.2))
            for i in range(1, 5):
                columns[f"XClick{i}X"], columns[f"XClick{i}Y"] = low[:, 0], high[:, 1]
            pl.DataFrame(columns).write_csv(file, include_header=first == 0, float_precision=6)
    return found

"""Photo to boxes with the exported model, in each engine; the photos are decoded beforehand. Prints one JSON line.

python benchmarks/latency.py --make model.onnx          # herder-n as it comes out of its family, untrained
python benchmarks/latency.py --model model.onnx --images FOLDER
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def make(path: Path, name: str) -> None:
    """Export an untrained network: what it finds is noise, how long it takes is not."""
    from herder.edge.export import export_onnx
    from herder.model.families import make_spec
    from herder.model.network import Network

    spec = make_spec(name, ("alpaca",), input_size=640)
    export_onnx(Network(spec).eval(), spec, path)


def measure(model: Path, images: Path, size: int, limit: int, engines: list[str]) -> dict[str, object]:
    """Median milliseconds from decoded photo to boxes, one photo at a time, for each engine."""
    from herder import load
    from herder.boxes import Letterbox
    from herder.images import IMAGE_SUFFIXES, read_image
    from herder.inference import STRIDE

    paths = sorted(p for p in images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)[:limit]
    # One canvas shape after the other, as a camera gives them: OpenVINO keeps two compiled.
    shapes: dict[tuple[int, int], list[NDArray[np.uint8]]] = {}
    for photo in map(read_image, paths):
        fit = Letterbox.fit(photo.shape[1], photo.shape[0], size, STRIDE)
        shapes.setdefault((fit.canvas_height, fit.canvas_width), []).append(photo)
    result: dict[str, object] = {"job": "infer", "imgsz": size, "photos": len(paths)}
    for engine in engines:
        detector = load(model, engine=engine)
        times = []
        for photos in shapes.values():
            for photo in photos[:3]:  # not the daily speed: compiling, filling caches
                detector.detect(photo, size=size)
            for photo in photos:
                start = time.perf_counter()
                detector.detect(photo, size=size)
                times.append(time.perf_counter() - start)
        result[f"{engine}_ms_median"] = round(1000 * statistics.median(times), 2)
    return result


def main() -> None:
    """Make a model, or measure one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path)
    parser.add_argument("--name", default="herder-n")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--engines", nargs="+", default=["onnx", "openvino"])
    args = parser.parse_args()
    if args.make:
        make(args.make, args.name)
    else:
        print(json.dumps(measure(args.model, args.images, args.size, args.limit, args.engines)))


if __name__ == "__main__":
    main()

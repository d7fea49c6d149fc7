"""Animals on photos with an exported model, and nothing but NumPy, OpenCV and ONNX Runtime.

    python detect_without_herder.py model.onnx photo.jpg ... > found.json

Copy this file beside the model: it does what herder does, in the same order, and gives the same boxes. The model comes
from ``herder export best.safetensors``; with ``--nms`` suppression is in the graph, and the code for it here is idle.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def letterbox(photo, facts):
    """Scale a photo (H, W, 3) and lay it at the top left of a grey canvas whose sides are multiples of the stride."""
    height, width = photo.shape[:2]
    size, stride = int(facts["input_size"]), int(facts["stride"])
    if json.loads(facts["herder_export"])["fixed_size"]:
        stride = size  # this file takes squares only
    scale = size / max(width, height)
    canvas_size = [min(-(-max(1, round(side * scale)) // stride) * stride, size) for side in (height, width)]
    small_size = [min(big, max(1, round(side * scale))) for big, side in zip(canvas_size, (height, width), strict=True)]
    how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    small = cv2.resize(photo, small_size[::-1], interpolation=how) if small_size != [height, width] else photo
    canvas = np.full((*canvas_size, 3), int(facts["pad_value"]), np.uint8)
    canvas[: small_size[0], : small_size[1]] = small
    return canvas, np.array([small_size[1] / width, small_size[0] / height] * 2, np.float32)


def suppress(boxes, scores, classes, iou):
    """Rows to keep: within each class, a box goes where it overlaps a better one by more than ``iou``."""
    kept = []
    for row in np.argsort(-scores, kind="stable"):
        better = [k for k in kept if classes[k] == classes[row]]
        left_top = np.maximum(boxes[row, :2], boxes[better, :2])
        right_bottom = np.minimum(boxes[row, 2:], boxes[better, 2:])
        shared = np.prod(np.clip(right_bottom - left_top, 0, None), axis=1)
        areas = np.prod(boxes[better, 2:] - boxes[better, :2], axis=1) + np.prod(boxes[row, 2:] - boxes[row, :2])
        if not np.any(shared > iou * (areas - shared)):
            kept.append(row)
    return np.array(kept, np.int64)


def detect(session, photo):
    """Boxes (N, 4) x1, y1, x2, y2 in pixels of the photo (H, W, 3) RGB, scores (N,) and classes (N,), best first."""
    facts = session.get_modelmeta().custom_metadata_map
    export, spec = json.loads(facts["herder_export"]), json.loads(facts["herder_spec"])
    canvas, factors = letterbox(photo, facts)
    found = session.run(None, {"images": canvas.transpose(2, 0, 1)[None].astype(np.float32)})
    if export["nms"]:
        (rows,) = found  # (n, 7): photo, x1, y1, x2, y2, score, class
        boxes, scores, classes = rows[:, 1:5], rows[:, 5], rows[:, 6].astype(int)
    else:
        cells, classes = np.divmod(np.arange(found[1][0].size), found[1].shape[2])
        boxes, scores = found[0][0][cells], found[1][0].reshape(-1)
    sure = scores >= float(facts["score_threshold"])
    boxes, scores, classes = boxes[sure], scores[sure], classes[sure]
    if export["needs_nms"]:
        kept = suppress(boxes, scores, classes, float(facts["nms_iou"]))
    else:
        kept = np.argsort(-scores, kind="stable")
    kept = kept[: spec["max_detections"]]
    # Calibrated scores: the temperature divides the logit.
    odds = (1 / np.clip(scores[kept].astype(np.float64), 1e-12, 1) - 1) ** (1 / float(facts["temperature"]))
    height, width = photo.shape[:2]
    return np.clip(boxes[kept] / factors, 0, [width, height] * 2), 1 / (1 + odds), classes[kept]


def main(model, *photos):
    """Print one line of JSON for each photo."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["names"])
    for path in photos:
        photo = cv2.imread(path, cv2.IMREAD_COLOR_RGB)  # upright: OpenCV applies the EXIF orientation
        if photo is None:
            sys.exit(f"{path}: is not a photo that OpenCV reads")
        animals = [
            {"class": names[str(kind)], "score": round(float(score), 4), "box": [round(float(x), 2) for x in box]}
            for box, score, kind in zip(*detect(session, photo), strict=True)
        ]
        print(json.dumps({"photo": path, "animals": animals}, ensure_ascii=False))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

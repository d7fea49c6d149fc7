"""Non-maximum suppression as ONNX nodes, for programs that want finished detections from the graph.

Notation: B photos, A candidates, K classes, n animals found in the whole batch.
"""

from __future__ import annotations

from typing import Any

from herder.spec import ModelSpec

LOWEST_SCORE = 0.01
"""What the graph drops at once; the reader's own threshold comes on top."""


def append_suppression(model: Any, spec: ModelSpec) -> None:
    """Replace the ONNX model's outputs boxes (B, A, 4) and scores (B, A, K) by ``detections`` (n, 7).

    Rows are ``photo, x1, y1, x2, y2, score, class``; within each class of each photo overlaps above the spec's
    ``nms_iou`` are suppressed and at most ``max_detections`` kept, best first. A one-to-one head says each animal once:
    there every candidate from LOWEST_SCORE on is kept, and nothing is suppressed.
    """
    from onnx import TensorProto, helper

    graph = model.graph

    def constant(name: str, kind: int, values: list[float]) -> str:
        graph.initializer.append(helper.make_tensor(f"nms_{name}", kind, [len(values)], values))
        return f"nms_{name}"

    def node(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(op, inputs, [output], name=f"nms/{output}", **attributes))
        return output

    lowest = constant("lowest_score", TensorProto.FLOAT, [LOWEST_SCORE])
    by_class = node("Transpose", ["scores"], "scores_by_class", perm=[0, 2, 1])  # (B, K, A)
    if spec.architecture.one_to_one:
        above = node("Greater", [by_class, lowest], "above")  # (B, K, A)
        picked = node("Transpose", [node("NonZero", [above], "places")], "picked", perm=[1, 0])
    else:
        limit = constant("limit", TensorProto.INT64, [spec.max_detections])
        iou = constant("iou", TensorProto.FLOAT, [spec.nms_iou])
        # The operator wants y before x; overlaps do not care, and turning them costs a pass over all boxes.
        picked = node("NonMaxSuppression", ["boxes", by_class, limit, iou, lowest], "picked")
    # picked: (n, 3), rows photo, class, candidate
    score = node("GatherND", [by_class, picked], "picked_scores")  # (n,)
    where = node("Gather", [picked, constant("photo_candidate", TensorProto.INT64, [0, 2])], "picked_rows", axis=1)
    boxes = node("GatherND", ["boxes", where], "picked_boxes")  # (n, 4)
    numbers = node("Cast", [picked], "picked_numbers", to=TensorProto.FLOAT)  # (n, 3)
    columns = [
        node("Gather", [numbers, constant("photo", TensorProto.INT64, [0])], "photo_column", axis=1),  # (n, 1)
        boxes,
        node("Unsqueeze", [score, constant("axis", TensorProto.INT64, [1])], "score_column"),  # (n, 1)
        node("Gather", [numbers, constant("class", TensorProto.INT64, [1])], "class_column", axis=1),  # (n, 1)
    ]
    node("Concat", columns, "detections", axis=1)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["animals", 7]))

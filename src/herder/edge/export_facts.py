"""What an exported file says about itself, read without torch: the model's spec and how the file was exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from herder.errors import ModelFileError
from herder.spec import METADATA_KEY, ModelSpec

FACTS_KEY = "herder_export"
"""The metadata entry that says, in JSON, how the file was exported: ``nms``, ``needs_nms``, ``fixed_size``."""

FLOAT16_MAX = 65504.0
"""The largest float16; a tensor with larger values stays float32."""


@dataclass(frozen=True)
class ExportFacts:
    """What an engine must know of a file beside the spec."""

    nms: bool
    """Whether suppression is in the graph, which then gives ``detections`` (n, 7) in place of boxes and scores."""
    needs_nms: bool
    """Whether the reader of boxes and scores must suppress duplicates."""
    fixed_size: int | None
    """The only canvas side, one photo at a time; None where batch and size are free."""

    def to_json(self) -> str:
        """One line of JSON, as ``read_metadata`` reads it."""
        return json.dumps(asdict(self))


def read_metadata(metadata: Mapping[str, str], path: Path) -> tuple[ModelSpec, ExportFacts]:
    """Spec and facts from a file's metadata. Raises ModelFileError where they are missing or make no sense."""
    if METADATA_KEY not in metadata:
        raise ModelFileError(f"{path}: holds no herder model spec", hint="convert it with `herder import`, then export")
    spec = ModelSpec.from_json(metadata[METADATA_KEY], source=str(path))
    try:
        facts = ExportFacts(**json.loads(metadata[FACTS_KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {FACTS_KEY} cannot be read ({error!r})", hint="export it again") from None
    return spec, facts

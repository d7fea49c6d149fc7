"""One XML file of Pascal VOC, read and written.

Beside VOC's own elements (``source/image`` for the address of the photo, ``owner/name`` for its author, ``truncated``,
``occluded`` and ``difficult`` of an object) stand some of herder's, which other readers pass over: ``group``;
``source/licence``, ``licence_url``, ``page`` and ``title``; ``group_of``, ``depiction`` and ``inside`` of an object.
A flag that is not known has no element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

import defusedxml.ElementTree
import numpy as np
from defusedxml.common import DefusedXmlException

from herder.data.formats.details import (
    NO_DETAILS,
    SOURCE_FIELDS,
    Details,
    FlagRow,
    flags_of,
    known_flags,
    source_fields,
    source_of,
)
from herder.data.formats.labels import LABEL_BYTES, read_text
from herder.data.records import BoxFlags, ImageRecord, Problem
from herder.errors import DataError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class LabelledObject:
    """One object as its file states it, not yet checked: an xyxy box in pixels, and where it stands."""

    where: str
    name: str
    box: tuple[float, float, float, float]
    ignore: bool
    flags: FlagRow


@dataclass
class Annotation:
    """One XML file, read but not yet checked."""

    path: Path
    file_name: str = ""
    size: tuple[int, int] | None = None
    details: Details = NO_DETAILS
    objects: list[LabelledObject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_annotation(path: Path) -> Annotation:
    """Read one XML file.

    Raises DataError when it is no XML, declares a document type or entities, or is too large.
    """
    text = read_text(path, LABEL_BYTES)
    try:
        root = defusedxml.ElementTree.fromstring(_without_declaration(text), forbid_dtd=True)
    except DefusedXmlException:
        raise DataError(
            f"{path}: declares a document type or entities, and is refused as unsafe",
            hint="remove the <!DOCTYPE ...> part",
        ) from None
    except ParseError as error:
        raise DataError(f"{path}: line {error.position[0]}: is not XML ({error})", hint="export it again") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not usable XML ({error})", hint="export it again") from None
    annotation = Annotation(path, _text(root, "filename"), _size(root), _details(root))
    for number, item in enumerate(root.iter("object"), 1):
        where = f"object {number}"
        name = _text(item, "name")
        try:
            if not name:
                raise ValueError("it has no name")
            box = _box(item.find("bndbox"))
        except ValueError as error:
            hint = "an object has a name and a bndbox of xmin, ymin, xmax, ymax"
            annotation.problems.append(Problem(path, "malformed-object", f"{where}: {error}", hint))
            continue
        flags = flags_of({flag: item.findtext(flag) for flag in BoxFlags.names()})
        annotation.objects.append(LabelledObject(where, name, box, _text(item, "difficult") == "1", flags))
    return annotation


def _without_declaration(text: str) -> str:
    """The XML without its first line's encoding: the text is decoded already, and a parser would doubt it."""
    stripped = text.lstrip()
    if stripped.startswith("<?xml") and "?>" in stripped:
        head, _, body = stripped.partition("?>")
        return "\n" * head.count("\n") + body
    return stripped


def _text(item: Element, path: str) -> str:
    return (item.findtext(path) or "").strip()


def _details(root: Element) -> Details:
    """Licence, group and source: VOC's own ``source/image`` and ``owner/name`` where they tell, and herder's fields."""
    told: dict[str, object] = {name: _text(root, f"source/{name}") for name in SOURCE_FIELDS}
    image, owner = _text(root, "source/image"), _text(root, "owner/name")
    told["url"] = image if "://" in image else ""  # published VOC says just "flickr"
    told["author"] = "" if owner == "?" else owner  # VOC 2007 for an unknown one
    return Details(_text(root, "source/licence"), _text(root, "group"), source_of(told))


def _size(root: Element) -> tuple[int, int] | None:
    try:
        width, height = int(root.findtext("size/width") or 0), int(root.findtext("size/height") or 0)
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None  # some tools write 0 x 0


def _box(item: Element | None) -> tuple[float, float, float, float]:
    if item is None:
        raise ValueError("it has no bndbox")
    texts = [_text(item, corner) for corner in CORNERS]
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        raise ValueError(f"bndbox {', '.join(texts)[:60]!r} is not four numbers") from None
    whole = all(text.lstrip("+-").isdecimal() for text in texts)
    return (x1 - 1, y1 - 1, x2, y2) if whole else (x1, y1, x2, y2)


def to_xml(record: ImageRecord, file_name: str, class_names: Sequence[str]) -> str:
    """The XML file of a record."""
    root = Element("annotation")
    SubElement(root, "folder").text = "JPEGImages"
    SubElement(root, "filename").text = file_name
    _tell(root, record)
    size = SubElement(root, "size")
    for tag, value in (("width", record.width), ("height", record.height), ("depth", 3)):
        SubElement(size, tag).text = str(value)
    SubElement(root, "segmented").text = "0"
    rows = zip(
        record.boxes, record.classes.tolist(), record.ignore.tolist(), record.flags.table().tolist(), strict=True
    )
    for box, class_id, ignore, flags in rows:
        item = SubElement(root, "object")
        SubElement(item, "name").text = class_names[class_id]
        for flag, value in known_flags(flags).items():
            SubElement(item, flag).text = str(value)
        SubElement(item, "difficult").text = str(int(ignore))
        corners = SubElement(item, "bndbox")
        for corner, value in zip(CORNERS, box, strict=True):
            # The shortest text that gives the same float32 again; always with the point that marks the convention.
            SubElement(corners, corner).text = np.format_float_positional(value, unique=True, trim="0")
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _tell(root: Element, record: ImageRecord) -> None:
    """Write where the photo comes from."""
    source = SubElement(root, "source")
    SubElement(source, "annotation").text = "herder"
    told = source_fields(record.source)
    author = told.pop("author", "")
    if record.licence:
        SubElement(source, "licence").text = record.licence
    for name, text in told.items():
        SubElement(source, "image" if name == "url" else name).text = text
    if author:
        SubElement(SubElement(root, "owner"), "name").text = author
    if record.group:
        SubElement(root, "group").text = record.group

"""COCO JSON: one file with ``images``, ``categories`` and ``annotations`` whose ``bbox`` is ``x, y, width, height``.

Source: https://cocodataset.org/#format-data. Boxes are pixels from the outer corner of the top left pixel, as herder's
own. ``iscrowd`` becomes ``ignore`` and back; class ids follow the order of the category ids. Written besides are the
licence, and the field ``group`` of herder, which other readers pass over.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herder.boxes import BoxFormat, convert
from herder.data.formats.labels import JSON_BYTES, Row, build_record, checked_names, read_text
from herder.data.formats.photos import list_files, read_sizes, safe_name
from herder.data.formats.splits import split_name
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.errors import DataError

OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
"""Beginnings of the names of COCO files that hold no boxes for detection."""


@dataclass(frozen=True)
class Layout:
    """A COCO dataset as found on disk: a JSON file a split; the split ``""`` stands for a file without one."""

    root: Path
    splits: Mapping[str, Path]


def find_layout(path: Path) -> Layout | None:
    """The COCO dataset at a JSON file or in a folder that holds some, or None where there is none."""
    if path.is_file():
        return Layout(_root_of(path), {split_name(path.stem): path})
    inside = [f for f in sorted(path.iterdir()) if f.is_dir() and split_name(f.name)]
    exported = {split_name(f.name): f / "_annotations.coco.json" for f in inside}
    exported = {split: file for split, file in exported.items() if file.is_file()}
    if exported:
        return Layout(path, exported)
    for folder in (path / "annotations", path / "Annotations", path):
        files = list_files(folder, (".json",), recursive=False) if folder.is_dir() else []
        files = [file for file in files if not file.stem.lower().startswith(OTHER_TASKS) and _looks_right(file)]
        if len(files) == 1:
            return Layout(path, {split_name(files[0].stem): files[0]})
        if files:
            names = [split_name(file.stem) for file in files]
            unique = len(set(names)) == len(names) and "" not in names
            return Layout(path, dict(zip(names if unique else [f.stem for f in files], files, strict=True)))
    return None


def _looks_right(file: Path) -> bool:
    """Whether a JSON file may be COCO's: other tools leave JSON in folders of photos as well."""
    if file.stat().st_size > JSON_BYTES:
        return True  # reading it says what is wrong
    data = file.read_bytes()
    return b'"images"' in data and b'"annotations"' in data


def _root_of(file: Path) -> Path:
    """The folder of the dataset that a COCO file belongs to."""
    return file.parent.parent if file.parent.name.lower() in ("annotations", "labels") else file.parent


def load_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError naming the line when it is no JSON, or too large."""
    text = read_text(path, JSON_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno}: is not JSON ({error.msg})", hint="export it again") from None
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of a million digits
        raise DataError(f"{path}: is not usable JSON ({error})", hint="export it again") from None


def read(layout: Layout, split: str) -> Dataset:
    """Read one split. Raises DataError when the file is no COCO file or not one of its photos can be used."""
    path = layout.splits[split]
    data = load_json(path)
    if not isinstance(data, dict):
        raise DataError(
            f"{path}: holds a {type(data).__name__}, wanted an object", hint="is this a file of predictions?"
        )
    images, annotations = _items(path, data, "images"), _items(path, data, "annotations")
    class_names, class_of = _categories(path, _items(path, data, "categories"))
    licences = {
        item.get("id"): str(item.get("name", "")) for item in data.get("licenses") or () if isinstance(item, dict)
    }
    problems: list[Problem] = []
    chosen = _choose_images(path, images, problems)
    photos = _find_photos(path, layout.root, split, chosen, problems)
    rows, lost = _rows(path, annotations, class_of, chosen, problems)
    records: list[ImageRecord] = []
    for (key, photo), size in zip(photos.items(), read_sizes(list(photos.values())), strict=True):
        found = size if isinstance(size, Problem) else _wrong_size(path, photo, chosen[key], size)
        if isinstance(size, Problem) or found is not None:
            problems += [found] if found is not None else []
            continue
        record, more = build_record(
            photo,
            size,
            rows[key],
            path,
            class_names,
            lost=lost[key],
            licence=licences.get(chosen[key].get("license"), ""),
            group=str(chosen[key].get("group", "")),
        )
        problems += more
        if record is not None:
            records.append(record)
    if not records:
        first = f"first: {problems[0]}" if problems else "the list of images is empty"
        raise DataError(f"{path}: not one of {len(images)} photos can be used", hint=first)
    return Dataset(tuple(records), class_names, layout.root, split, tuple(problems))


def _items(path: Path, data: Mapping[str, Any], key: str) -> list[Any]:
    items = data.get(key)
    if not isinstance(items, list):
        raise DataError(f"{path}: no list {key!r}", hint="a COCO file has images, annotations and categories")
    return items


def _categories(path: Path, items: Sequence[Any]) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Class names in order of the category ids, and the class id of each category id."""
    names: dict[int, str] = {}
    for item in items:
        if not isinstance(item, dict) or type(item.get("id")) is not int or "name" not in item:
            raise DataError(f"{path}: categories: {_short(item)} has no id and name", hint="export it again")
        if names.get(item["id"], item["name"]) != item["name"]:
            raise DataError(f"{path}: categories: the id {item['id']} comes twice", hint="give each class its own id")
        names[item["id"]] = str(item["name"])
    return checked_names(path, [names[i] for i in sorted(names)]), {i: rank for rank, i in enumerate(sorted(names))}


def _choose_images(path: Path, images: Sequence[Any], problems: list[Problem]) -> dict[Any, dict[str, Any]]:
    """The images that can be told apart, by id; of an id that comes twice nobody knows which boxes are whose."""
    good: list[dict[str, Any]] = []
    for number, item in enumerate(images):
        if isinstance(item, dict) and isinstance(item.get("id"), (int, str)) and isinstance(item.get("file_name"), str):
            good.append(item)
        else:
            message = f"images[{number}]: {_short(item)} has no id and file_name"
            problems.append(Problem(path, "malformed-image", message, "export it again"))
    files: dict[Any, list[str]] = defaultdict(list)
    for item in good:
        files[item["id"]].append(item["file_name"])
    for key, names in files.items():
        if len(names) > 1 and len(set(names)) > 1:
            message = f"image id {key!r} comes {len(names)} times ({', '.join(names[:3])}): all of them are left out"
            problems.append(Problem(path, "duplicate-id", message, "give each image its own id"))
        elif len(names) > 1:
            message = f"image id {key!r} ({names[0]}) comes {len(names)} times and is used once"
            problems.append(Problem(path, "duplicate-id", message, "remove the repetition", Severity.NOTE))
    return {item["id"]: item for item in good if len(set(files[item["id"]])) == 1}


def _find_photos(
    path: Path, root: Path, split: str, chosen: Mapping[Any, Mapping[str, Any]], problems: list[Problem]
) -> dict[Any, Path]:
    """Where the photo of each image id lies: the folders that datasets use are tried in turn."""
    stem = path.stem.removeprefix("instances_")
    inside = [f"images/{stem}", f"images/{split}", stem, split, "images", "data", "."]
    folders = list(dict.fromkeys([*(root / name for name in inside if name), path.parent, path.parent / "images"]))
    photos: dict[Any, Path] = {}
    owner: dict[Path, Any] = {}
    for key, item in chosen.items():
        try:
            name = safe_name(item["file_name"])
        except ValueError as error:
            problems.append(Problem(path, "path-traversal", f"image {key!r}: file_name {error}", "correct file_name"))
            continue
        folder = next((folder for folder in folders if (folder / name).is_file()), None)
        if folder is None:
            message = f"image {key!r}: no photo {item['file_name']} in {root}"
            problems.append(Problem(path, "photo-missing", message, "copy the photo there, or remove the entry"))
            continue
        if folder is not folders[0]:  # the next photo most likely lies beside this one
            folders.remove(folder)
            folders.insert(0, folder)
        photo = folder / name
        if photo in owner:
            message = f"images {owner[photo]!r} and {key!r} are both {item['file_name']}: the second is left out"
            problems.append(Problem(path, "duplicate-photo", message, "put its boxes under one id"))
            continue
        owner[photo] = key
        photos[key] = photo
    return photos


def _rows(
    path: Path,
    annotations: Sequence[Any],
    class_of: Mapping[Any, int],
    chosen: Mapping[Any, object],
    problems: list[Problem],
) -> tuple[dict[Any, list[Row]], Counter[Any]]:
    """The rows of each image id; and how many labels of each could not be read."""
    rows: dict[Any, list[Row]] = defaultdict(list)
    lost: Counter[Any] = Counter()
    seen: set[Any] = set()
    strangers: Counter[Any] = Counter()
    for number, item in enumerate(annotations):
        image = item.get("image_id") if isinstance(item, dict) else None
        if not isinstance(image, (int, str)):
            message = f"annotations[{number}]: {_short(item)} has no image_id"
            problems.append(Problem(path, "malformed-annotation", message, "export it again"))
            continue
        if image not in chosen:
            strangers[image] += 1
            continue
        where = f"annotation {item.get('id', number)!r}"
        if isinstance(item.get("id"), (int, str)):
            if item["id"] in seen:
                message = f"{where}: the id comes twice; both boxes are used"
                problems.append(Problem(path, "duplicate-id", message, "give each box its own id", Severity.NOTE))
            seen.add(item["id"])
        try:
            x, y, w, h = _bbox(item.get("bbox"))
            category = item.get("category_id")
            if not isinstance(category, int) or category not in class_of:
                raise ValueError(f"category_id {category!r} is not among the categories")
        except ValueError as error:
            reason = "class-out-of-range" if "category_id" in str(error) else "malformed-annotation"
            problems.append(Problem(path, reason, f"{where}: {error}", "correct it or remove it"))
            lost[image] += 1
            continue
        rows[image].append(Row(where, class_of[category], (x, y, x + w, y + h), bool(item.get("iscrowd", 0))))
    for image, count in strangers.items():
        message = f"{count} annotations of image id {image!r}, which cannot be used or is not listed"
        problems.append(Problem(path, "photo-missing", message, "list the image, or remove them"))
    return rows, lost


def _bbox(value: object) -> tuple[float, float, float, float]:
    """The four numbers of a bbox; NaN and infinity pass and are found when the box is checked."""
    numbers = value if isinstance(value, list) and len(value) == 4 else ()
    if not numbers or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers):
        raise ValueError(f"bbox {_short(value)} is not four numbers x, y, width, height")
    x, y, w, h = (float(v) if abs(v) < 1e300 else float("inf") if abs(v) >= 1e300 else float("nan") for v in numbers)
    return x, y, w, h


def _wrong_size(path: Path, photo: Path, item: Mapping[str, Any], size: tuple[int, int]) -> Problem | None:
    stated = item.get("width"), item.get("height")
    if not all(isinstance(side, int) and side > 0 for side in stated) or stated == size:
        return None
    message = f"{photo.name} is {size[0]} x {size[1]} upright, but the file was made for {stated[0]} x {stated[1]}"
    return Problem(path, "size-mismatch", message, "label the photo again, or bring back the one that was labelled")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def to_json(records: Sequence[tuple[str, ImageRecord]], class_names: Sequence[str]) -> str:
    """The COCO file of (file name, record) pairs; ids count from 1."""
    licences = sorted({record.licence for _, record in records if record.licence})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, record) in enumerate(records, 1):
        image: dict[str, Any] = {"id": number, "file_name": name, "width": record.width, "height": record.height}
        if record.licence:
            image["license"] = licences.index(record.licence) + 1
        if record.group:
            image["group"] = record.group
        images.append(image)
        boxes = convert(record.boxes, BoxFormat.XYXY, BoxFormat.XYWH).tolist()
        for box, class_id, ignore in zip(boxes, record.classes.tolist(), record.ignore.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": class_id + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(ignore),
                }
            )
    data = {
        "info": {"description": "written by herder"},
        "licenses": [{"id": number, "name": name} for number, name in enumerate(licences, 1)],
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in enumerate(class_names, 1)],
        "annotations": annotations,
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"

"""The entries of a COCO file, checked one by one: categories, images and annotations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from herder.data.formats.details import Details, flags_of, source_of, text_of
from herder.data.formats.labels import Row, checked_names
from herder.data.formats.photos import safe_name
from herder.data.records import Problem, Severity
from herder.errors import DataError

FLAG_PREFIX = "is_"
"""Flags of a box stand in its annotation as ``is_occluded`` and so on, beside COCO's own ``iscrowd``."""


def listed(path: Path, data: Mapping[str, Any], key: str) -> list[Any]:
    """The list ``key`` of a COCO file. Raises DataError when there is none."""
    items = data.get(key)
    if not isinstance(items, list):
        raise DataError(f"{path}: no list {key!r}", hint="a COCO file has images, annotations and categories")
    return items


def categories(path: Path, items: Sequence[Any]) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Class names in order of the category ids, and the class id of each category id."""
    names: dict[int, str] = {}
    for item in items:
        if not isinstance(item, dict) or type(item.get("id")) is not int or "name" not in item:
            raise DataError(f"{path}: categories: {_short(item)} has no id and name", hint="export it again")
        if names.get(item["id"], item["name"]) != item["name"]:
            raise DataError(f"{path}: categories: the id {item['id']} comes twice", hint="give each class its own id")
        names[item["id"]] = str(item["name"])
    return checked_names(path, [names[i] for i in sorted(names)]), {i: rank for rank, i in enumerate(sorted(names))}


def choose_images(path: Path, images: Sequence[Any], problems: list[Problem]) -> dict[Any, dict[str, Any]]:
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


def find_photos(
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


def label_rows(
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
        crowd, flags = bool(item.get("iscrowd", 0)), flags_of(item, FLAG_PREFIX)
        rows[image].append(Row(where, class_of[category], (x, y, x + w, y + h), crowd, flags))
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


def licences_by_id(data: Mapping[str, Any]) -> dict[Any, tuple[str, str]]:
    """Name and address of each licence by its id; one whose name is missing has its address alone."""
    items = data.get("licenses")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    numbered = [item for item in found if isinstance(item.get("id"), (int, str))]
    return {item["id"]: (text_of(item.get("name")), text_of(item.get("url"))) for item in numbered}


def image_details(item: Mapping[str, Any], licences: Mapping[Any, tuple[str, str]]) -> Details:
    """What the entry of an image tells of it; the address is COCO's ``coco_url``, or else ``flickr_url``."""
    key = item.get("license")
    licence, licence_url = licences.get(key, ("", "")) if isinstance(key, (int, str)) else ("", "")
    url = text_of(item.get("coco_url")) or text_of(item.get("flickr_url"))
    return Details(licence, text_of(item.get("group")), source_of({**item, "url": url, "licence_url": licence_url}))


def wrong_size(path: Path, photo: Path, item: Mapping[str, Any], size: tuple[int, int]) -> Problem | None:
    """A finding where the sides (W, H) of the upright photo are not those that its entry states."""
    stated = item.get("width"), item.get("height")
    if not all(isinstance(side, int) and side > 0 for side in stated) or stated == size:
        return None
    message = f"{photo.name} is {size[0]} x {size[1]} upright, but the file was made for {stated[0]} x {stated[1]}"
    return Problem(path, "size-mismatch", message, "label the photo again, or bring back the one that was labelled")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

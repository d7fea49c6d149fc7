"""Models and the photos that they were trained on: who may judge which photo's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from herder.api import load
from herder.api.fold_files import DONE, FOLDS
from herder.box_fusion import fuse_detections
from herder.catalogue import resolve
from herder.data.records import Dataset, Problem
from herder.detections import Detections
from herder.errors import ConfigError, DataError
from herder.evaluation.detector import UNREADABLE
from herder.evaluation.json_entries import Entry, read_json
from herder.evaluation.prediction_store import PredictionStore, file_sha256, predictions_of
from herder.training.run_state import BEST


@dataclass(frozen=True)
class Judge:
    """A model file and the photos that it has seen, by their paths from the dataset's folder on, or their names."""

    path: Path
    seen: frozenset[str] = field(default=frozenset(), repr=False)

    def may_judge(self, photos: Sequence[str]) -> list[int]:
        """Indices of the photos that the model has not seen; ``photos`` are their paths from the dataset's folder on.

        Where the dataset lies otherwise than when the model was trained, and no path is the same, names are compared.
        """
        if self.seen.isdisjoint(photos):
            names = {Path(photo).name for photo in self.seen}
            return [i for i, photo in enumerate(photos) if Path(photo).name not in names]
        return [i for i, photo in enumerate(photos) if photo not in self.seen]


def read_judges(models: Sequence[Path], trained_on: Sequence[Path] = (), *, unseen: bool = False) -> list[Judge]:
    """The judges that ``models`` name: cross-validation folders (each fold's model) and model files.

    Model files take the lists ``trained_on`` in their order: text files with a photo's name or path a line. With
    ``unseen`` the caller says that they have seen none of the photos. Raises ConfigError where neither is given or the
    numbers differ, DataError for a folder without finished folds or a list that cannot be read.
    """
    models = [resolve(path) for path in models]
    files = [path for path in models if not path.is_dir()]
    if unseen and trained_on:
        raise ConfigError("suspects: both --unseen and --trained-on", hint="give one of them")
    if len(trained_on) > len(files) or (files and not unseen and len(trained_on) < len(files)):
        raise ConfigError(
            f"suspects: {len(files)} model files, but {len(trained_on)} lists of the photos they were trained on",
            hint="models find nothing wrong with labels that they learned by heart: give --trained-on LIST for each,"
            " the folder of a `herder crossval`, or --unseen where they have seen none of these photos",
        )
    lists = iter(trained_on)
    judges: list[Judge] = []
    for path in models:
        if path.is_dir():
            judges += _folds(path)
        else:
            judges.append(Judge(path, frozenset() if unseen else _listed(next(lists))))
    for judge in judges:
        if not judge.path.exists():
            raise ConfigError(f"{judge.path}: no such file", hint="check the path, or train a model first")
    return judges


def _folds(folder: Path) -> list[Judge]:
    path = folder / FOLDS
    if not path.is_file():
        raise ConfigError(f"{folder}: holds no {FOLDS}", hint="name the folder of a `herder crossval`, or model files")
    rows = Entry(path, "", read_json(path)).field("folds")
    if not isinstance(rows, list):
        raise DataError(f"{path}: folds: wanted a list", hint="run `herder crossval` again")
    judges = []
    for number, row in enumerate(rows):
        entry = Entry(path, f"folds[{number}]", row)
        names = entry.field("train")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise entry.error(".train: wanted a list of photos")
        model = folder / Path(entry.text("name")).name / BEST
        if model.exists() and model.with_name(DONE).exists():
            judges.append(Judge(model, frozenset(names)))
    if not judges:
        raise DataError(f"{folder}: no fold is finished", hint="go on with `herder crossval --resume`")
    return judges


def _listed(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint="wanted a text file, a photo's name a line") from None
    names = frozenset(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{path}: names no photo", hint="write a photo's name or path a line, or use --unseen")
    return names


def photo_names(dataset: Dataset) -> list[str]:
    """Each photo's path from the dataset's folder on, as cross-validation writes it."""
    paths = [record.path for record in dataset]
    return [(p.relative_to(dataset.root) if p.is_relative_to(dataset.root) else p).as_posix() for p in paths]


def judge_photos(
    dataset: Dataset,
    judges: Sequence[Judge],
    folder: Path,
    *,
    size: int | None = None,
    batch: int = 8,
    progress: Callable[[str, int, int], None] | None = None,
    on_problem: Callable[[Problem], None],
) -> tuple[list[int], list[Detections], list[int]]:
    """What models find on photos that they have not seen: indices of the photos judged, detections, judges of each.

    What several models find is fused. Detections are kept in ``folder``, so that a second run goes on where the first
    was stopped. Raises DataError where no photo has a judge.
    """
    names = photo_names(dataset)
    found: list[list[Detections]] = [[] for _ in names]
    unread: set[Path] = set()

    def note(problem: Problem) -> None:
        if problem.path not in unread:
            on_problem(problem)
        if problem.reason == UNREADABLE:
            unread.add(problem.path)

    chosen = [judge.may_judge(names) for judge in judges]
    if not any(chosen):
        raise DataError(
            f"{dataset.root}: the models have seen all {len(names)} photos, and cannot judge them",
            hint="run `herder crossval`: each fold's model has not seen that fold's photos",
        )
    for number, (judge, indices) in enumerate(zip(judges, chosen, strict=True), start=1):
        if not indices:
            continue

        def tell(done: int, total: int, what: str = f"model {number} of {len(judges)}") -> None:
            if progress:
                progress(what, done, total)

        _, detections = predictions_of(
            load(judge.path),
            dataset.select(indices),
            PredictionStore(folder),
            file_sha256(judge.path),
            size=size,
            batch=batch,
            progress=tell,
            on_problem=note,
        )
        for i, one in zip(indices, detections, strict=True):
            found[i].append(one)
    judged = [i for i, each in enumerate(found) if each and dataset[i].path not in unread]
    return judged, [fuse_detections(found[i]) for i in judged], [len(found[i]) for i in judged]

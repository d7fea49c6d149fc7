"""Whether the statistics keep their word: false positive rates and coverage, by simulation.

    python benchmarks/significance.py                  # all, as the results in docs were made: about 15 minutes
    python benchmarks/significance.py seeds folds      # two of the parts; what the others gave stays in the file
    python benchmarks/significance.py --draws 200      # quicker and rougher

seeds   two sets of seeds whose means are equal: how often a test finds a difference (wanted: 0.05 within 0.01), and how
        often an interval holds the true value (wanted: 0.95 within 0.02)
folds   two learners that are equally good, cross-validated: the same for the test that knows of shared training photos
photos  two detectors that are equally good, on photos of which some are harder than others: the same for the
        permutation test and the BCa interval of the difference of mAP@0.5, and coverage for the mAP@0.5 of one
scales  the same two detectors, but the scores of one are cubed, which leaves its mAP as it was: the permutation test
        mixes scores of both

A share below what is wanted of a test, or above what is wanted of an interval, is called cautious: it costs power, but
claims nothing that is not so. Welch's t of 3 and 3 seeds is known for it, and so is the test of folds.

Prints a table and writes ``benchmarks/results/significance.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.evaluation.comparison.seed_table import seed_table
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.resampled_precision import draw_weights
from herder.evaluation.significance import Gate, Interval, bca_interval, compare_samples, paired_permutation
from herder.evaluation.tables import DetectionTable, TruthTable
from herder.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "significance.json"

Sampler = Callable[[np.random.Generator, int], NDArray[np.float64]]
Found = dict[str, bool]
"""What came of one draw: by question, whether a test found a difference or an interval held the truth."""

SEEDS: dict[str, tuple[Sampler, Sampler, int, int, bool]] = {
    "5 and 5 seeds, normal": (np.random.Generator.standard_normal, np.random.Generator.standard_normal, 5, 5, False),
    "3 and 3 seeds, normal": (np.random.Generator.standard_normal, np.random.Generator.standard_normal, 3, 3, False),
    "5 and 10 seeds, spreads of 2 and 1": (
        lambda rng, n: 2 * rng.standard_normal(n),
        np.random.Generator.standard_normal,
        5,
        10,
        False,
    ),
    "5 pairs of seeds, normal": (
        np.random.Generator.standard_normal,
        np.random.Generator.standard_normal,
        5,
        5,
        True,
    ),
    "30 and 30, skewed": (
        lambda rng, n: rng.lognormal(0, 0.8, n),
        lambda rng, n: rng.lognormal(0, 0.8, n),
        30,
        30,
        False,
    ),
    "4 and 4 seeds, normal": (np.random.Generator.standard_normal, np.random.Generator.standard_normal, 4, 4, False),
    "10 and 10 seeds, normal": (
        np.random.Generator.standard_normal,
        np.random.Generator.standard_normal,
        10,
        10,
        False,
    ),
    "10 pairs, heavy tails": (lambda rng, n: rng.standard_t(3, n), lambda rng, n: rng.standard_t(3, n), 10, 10, True),
}
"""By name: from what either side is drawn, how many of each, and whether they are pairs."""

IOU = (0.5,)

PARTS = ("seeds", "folds", "scales", "photos")

PHOTOS = (50, 100)

Job = tuple[str, Callable[[int], Found], int]
"""Name, one experiment, and how many of them."""

SEED_TIMES = 3
"""Experiments with seeds cost little: so many times as many, and less chance in the result."""

WANTED = {"false positive": (0.04, 0.06), "covered": (0.93, 0.97)}
"""By the end of a question's name: from, to."""


def seed_draw(name: str, number: int) -> Found:
    """One experiment with seeds; the true difference is 0."""
    first, second, n, m, paired = SEEDS[name]
    rng = np.random.default_rng([1, list(SEEDS).index(name), number])
    a, b = first(rng, n), second(rng, m)
    if paired:  # a seed is lucky for both sides alike
        shared = rng.standard_normal(n)
        a, b = a + shared, b + shared
    found = compare_samples(a, b, paired=paired)
    assert isinstance(found.interval, Interval)
    return {"false positive": found.significant, "difference covered": 0.0 in found.interval}


def fold_draw(samples: int, number: int) -> Found:
    """One cross-validation of two learners: least squares on 20 features each, which tell as much of the target."""
    rng = np.random.default_rng([3, samples, number])
    features = rng.standard_normal((2, samples, 20))
    target = features.sum(axis=(0, 2)) + rng.standard_normal(samples)
    fold = rng.permutation(np.arange(samples) % 5)
    errors = np.zeros((2, 5))
    for side, number_of in np.ndindex(2, 5):
        own, test = features[side], fold == number_of
        weights = np.linalg.lstsq(own[~test], target[~test], rcond=None)[0]
        errors[side, number_of] = ((own[test] @ weights - target[test]) ** 2).mean()
    a, b = (np.tile(each[:, None], 3) for each in errors)  # (5, 3): the table wants three metrics
    table = seed_table(a, b, "fold", 0.95, validated=1 / 4)
    assert not isinstance(table, NotComputed)
    row = table.rows[0]
    assert not isinstance(row.p_value, NotComputed)
    assert not isinstance(row.bounds, NotComputed)
    return {
        "false positive": row.p_value < 0.05,
        "difference covered": row.bounds[0] <= 0 <= row.bounds[1],
        "found by a test that takes folds for independent": compare_samples(*errors, paired=True).significant,
    }


def detector(rng: np.random.Generator, truth: TruthTable, photos: int, hard: NDArray[np.float64]) -> DetectionTable:
    """What a detector of fixed quality finds: in hard photos fewer animals, lower scores and more false alarms.

    Two detectors drawn for the same photos differ by chance alone: neither is better.
    """
    easy = 1 - hard[truth.photos]
    seen = rng.random(len(truth)) < 0.35 + 0.6 * easy
    alarms = rng.poisson(0.4 + 0.8 * hard)
    where = np.repeat(np.arange(photos), alarms)
    far = np.tile([900.0, 900, 20, 20], (len(where), 1))
    scores = np.concatenate([rng.beta(2 + 4 * easy[seen], 2), rng.beta(2, 3 + 2 * (1 - hard[where]))])
    at = np.concatenate([truth.photos[seen], where])
    order = np.argsort(at, kind="stable")
    boxes = np.concatenate([truth.boxes[seen], far])
    return DetectionTable(at[order], np.zeros(len(at), np.int64), boxes[order], scores[order])


def scenes(rng: np.random.Generator, photos: int) -> tuple[TruthTable, NDArray[np.float64]]:
    """Labelled boxes of photos with one to eight animals that do not overlap, and how hard each photo is (P,)."""
    hard = rng.beta(1.2, 2, photos)
    herd = 1 + np.minimum(rng.geometric(0.5, photos) - 1, 7)
    at = np.repeat(np.arange(photos), herd)
    place = np.arange(len(at)) - np.repeat(np.cumsum(herd) - herd, herd)
    boxes = np.stack([100.0 * place, np.zeros(len(at)), np.full(len(at), 50.0), np.full(len(at), 50.0)], axis=1)
    none = np.zeros(len(at), np.bool_)
    return TruthTable(at, np.zeros(len(at), np.int64), boxes, none, boxes[:, 2] * boxes[:, 3]), hard


def true_map() -> float:
    """mAP@0.5 of the detector on so many photos that chance has no part."""
    rng = np.random.default_rng(99)
    truth, hard = scenes(rng, 100_000)
    return float(PhotoMatches.of(truth, detector(rng, truth, 100_000, hard), 100_000, 1, ious=IOU).map()[0])


def photo_draw(photos: int, resamples: int, truth_map: float, number: int) -> Found:
    """One experiment with photos: two detectors of the same quality; ``resamples`` bootstrap draws and swaps."""
    rng = np.random.default_rng([2, photos, number])
    truth, hard = scenes(rng, photos)
    a, b = (PhotoMatches.of(truth, detector(rng, truth, photos, hard), photos, 1, ious=IOU) for _ in range(2))
    found = swapped_photos(a, b, resamples, number)
    alone = np.arange(photos)
    weights = [draw_weights(alone, rng) for _ in range(resamples)]
    drawn = np.array([(a.map(w)[0], b.map(w)[0]) for w in weights])
    left = np.array([(a.map(w)[0], b.map(w)[0]) for w in (alone != i for i in range(photos))])
    of_difference = bca_interval(b.map()[0] - a.map()[0], drawn[:, 1] - drawn[:, 0], left[:, 1] - left[:, 0])
    of_one = bca_interval(a.map()[0], drawn[:, 0], left[:, 0])
    assert isinstance(of_difference, Interval)
    assert isinstance(of_one, Interval)
    return {
        "false positive": found,
        "difference covered": 0.0 in of_difference,
        "mAP covered": truth_map in of_one,
        "gate passed by a B that is no better": Gate("better").decide(of_difference).passed,
    }


def swapped_photos(a: PhotoMatches, b: PhotoMatches, draws: int, seed: int) -> bool:
    """Whether the permutation test finds a difference."""
    both = PhotoMatches.joined([a, b])

    def difference(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
        swap = swapped.astype(np.float64)
        as_a, as_b = np.concatenate([1 - swap, swap]), np.concatenate([swap, 1 - swap])
        return np.array([both.map(as_b)[0] - both.map(as_a)[0]])

    (test,) = paired_permutation(difference, len(a), draws, seed)
    assert not isinstance(test.p_value, NotComputed)
    return bool(test.p_value < 0.05)


def scale_draw(photos: int, resamples: int, number: int) -> Found:
    """One experiment with photos and two detectors of the same quality, of which one gives lower scores throughout."""
    rng = np.random.default_rng([4, photos, number])
    truth, hard = scenes(rng, photos)
    found = [detector(rng, truth, photos, hard) for _ in range(2)]
    found[1] = replace(found[1], scores=found[1].scores ** 3)
    a, b = (PhotoMatches.of(truth, each, photos, 1, ious=IOU) for each in found)
    return {"false positive": swapped_photos(a, b, resamples, number)}


def jobs_of(parts: list[str], draws: int, resamples: int, truth_map: float) -> list[Job]:
    """What to simulate, the quick first."""
    many = SEED_TIMES * draws
    jobs: dict[str, list[Job]] = {
        "seeds": [(name, partial(seed_draw, name), many) for name in SEEDS],
        "folds": [(f"5 folds of {n} samples, equal learners", partial(fold_draw, n), many) for n in (50, 100)],
        "scales": [("50 photos, equal detectors, other scores", partial(scale_draw, 50, resamples), draws)],
        "photos": [
            (f"{photos} photos, equal detectors", partial(photo_draw, photos, resamples, truth_map), draws)
            for photos in PHOTOS
        ],
    }
    return [job for part in PARTS if part in parts for job in jobs[part]]


def shares(draw: Callable[[int], Found], draws: int, workers: int) -> dict[str, float]:
    """How often each answer was yes."""
    with ProcessPoolExecutor(workers) as pool:
        found = list(pool.map(draw, range(draws), chunksize=20))
    return {name: sum(each[name] for each in found) / draws for name in found[0]}


def judged(question: str, share: float) -> str:
    """What to think of a share; empty where nothing is wanted of it."""
    limits = next((limits for end, limits in WANTED.items() if question.endswith(end)), None)
    if limits is None:
        return ""
    low, high = limits
    if low <= share <= high:
        return "as wanted"
    return "cautious" if (share < low) == question.endswith("false positive") else "too bold"


def main() -> None:
    """Simulate, print a table, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without it")
    parser.add_argument("--draws", type=int, default=2000, help="experiments of each kind")
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap draws, and swaps, in each experiment")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    truth_map = true_map()
    known = json.loads(args.json.read_text("utf-8"))["rows"] if args.json.exists() else []
    rows: dict[str, dict[str, Any]] = {row["what"]: row for row in known}
    order = [name for name, _, _ in jobs_of(list(PARTS), args.draws, args.resamples, truth_map)]
    print("wanted: false positives 0.05 +- 0.01, coverage 0.95 +- 0.02")
    for name, draw, draws in jobs_of(args.parts or list(PARTS), args.draws, args.resamples, truth_map):
        start = time.perf_counter()
        found = shares(draw, draws, args.workers)
        verdicts = {question: judged(question, share) for question, share in found.items()}
        rows[name] = {"what": name, "draws": draws, **found, "verdicts": {q: v for q, v in verdicts.items() if v}}
        print(f"{name} ({draws:,} draws, {time.perf_counter() - start:.0f} s)", flush=True)
        for question, share in found.items():
            print(f"    {share:.4f} {question}{f': {verdicts[question]}' if verdicts[question] else ''}", flush=True)
    kept = [rows[name] for name in order if name in rows]
    numbers = {"resamples": args.resamples, "true_mAP50": truth_map, "wanted": WANTED, "rows": kept}
    write_atomic(args.json, f"{json.dumps(numbers, indent=1)}\n".encode())


if __name__ == "__main__":
    main()

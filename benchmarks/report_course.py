"""The parts of docs/results.md on the course and on networks that draw."""

from __future__ import annotations

from report_tables import load, table


def foundations() -> str:
    """k-NN, convolution and gradients."""
    r = load("foundations")
    parts = ["## Foundations\n"]
    for knn in r["nearest_neighbors"]:
        slow = knn["seconds"]["two loops"]
        rows = [[name, f"{took:.4f}", f"{slow / took:.1f}"] for name, took in knn["seconds"].items()]
        parts.append(
            f"k-NN, 500 test and 5,000 training rows of 3,072 values ({knn['values']}):\n\n"
            + table(["version", "seconds", "times faster than two loops"], rows)
            + f"\nNo loops is {knn['two_loops_over_none']:.0f} times faster than two (wanted: at least 150). With the "
            f"vote it takes {knn['ours_over_scikit_learn']:.2f} of scikit-learn's brute-force time (wanted: at most 1) "
            f"and the labels are {'the same' if knn['same_labels_as_scikit_learn'] else 'NOT the same'}. Largest "
            f"relative error of a distance: {knn['no_loops_error']:.1e} (wanted: at most 1e-6).\n"
        )
    m = r["memory"]
    parts.append(f"Memory besides an answer of {m['answer_mb']:.0f} MB: {m['besides_mb']:.0f} MB.\n")
    rows = []
    for c in r["convolution"]:
        for way in ("forward", "backward"):
            times = [f"{1000 * c['seconds'][f'{way}, {name}']:.1f}" for name in ("naive", "fast", "torch")]
            rows.append(
                [
                    f"{c['dtype']}, {way}",
                    *times,
                    f"{c[f'{way}_naive_over_fast']:.0f}",
                    f"{c[f'{way}_fast_over_torch']:.2f}",
                ]
            )
    parts.append(
        "Convolution of (32, 3, 32, 32) with 16 filters of 7 x 7, milliseconds:\n\n"
        + table(["", "naive", "fast", "torch", "naive / fast", "fast / torch"], rows)
        + "\nWanted: at least 100, and at most 4.\n"
    )
    rows = [[name, f"{numeric:.1e}", f"{exact:.1e}"] for name, (numeric, exact) in r["gradients"].items()]
    parts.append(
        "Gradients in float64, largest relative error (wanted: at most 1e-7):\n\n"
        + table(["layer", "against the numeric gradient", "against autograd"], rows)
        + f"\nBatch norm's simplified way back is {r['batchnorm']['ratio']:.1f} times faster than step by step.\n"
    )
    return "\n".join(parts) + "\n    python benchmarks/foundations.py --out benchmarks/results/foundations.json\n"


def generative() -> str:
    """What GAN and diffusion draw, whether it helps a detector, and how long the lessons take."""
    r = load("generative")
    rows = []
    for run in r["rows"]:
        asked = "" if run["drawn_as_asked"] is None else f"{run['drawn_as_asked']:.1%}"
        digits = f"{run['classes_covered']} of {len(run['shares'])}"
        rows.append(
            [
                f"{run['kind']}, seed {run['seed']}",
                f"{run['frechet']:.2f}",
                f"{run['real_halves']:.2f}",
                digits,
                f"{min(run['shares']):.1%}",
                asked,
                f"{run['training_seconds']:.0f} s",
            ]
        )
    head = [
        "",
        "Fréchet distance",
        "two halves of the real digits",
        "digits drawn",
        "rarest digit's share",
        "drawn as asked",
        "training",
    ]
    text = (
        "## Drawn digits\n\n"
        + table(head, rows)
        + f"\nHow the real digits are dealt into halves follows the seed. Plain noise: {r['noise']:.0f}. "
        f"{r['pictures_a_side']} pictures a side, features of {r['judge']}.\n\n    python benchmarks/generative.py\n"
    )
    for name, part in load("synthesize").items():
        seeds = len(part["arms"]["none"]["mAP50"]["seeds"])
        rows = [
            [arm]
            + [
                f"{found[m]['mean']:.3f} ± {found[m]['deviation']:.3f} ({found[m]['to_none']:+.3f} ± "
                f"{found[m]['to_none_deviation']:.3f})"
                for m in ("mAP50", "mAP50_95")
            ]
            for arm, found in part["arms"].items()
        ]
        settings = part["settings"]
        text += (
            f"\n## Do drawn animals help a detector? ({name})\n\n"
            + table(["pasted", "mAP@0.5 (to none)", "mAP@0.5:0.95 (to none)"], rows)
            + f"\n{part['photos']} training photos with {part['crops']} crops, {part['drawn']} animals drawn at "
            f"{settings['crop']} px, {settings['model']} {'from ' + settings['init'] if settings['init'] else ''}, "
            f"{settings['epochs']} epochs, last epoch, {part['validation']} validation photos; mean and deviation of "
            f"{seeds} seeds, differences paired by seed.\n\n    python benchmarks/synthesize.py --help\n"
        )
    seconds = load("lessons")["seconds"]
    return (
        text
        + "\n## The lessons, seconds (wanted: under 120)\n\n"
        + table(list(seconds), [list(seconds.values())])
        + "\n    python benchmarks/lessons.py\n"
    )

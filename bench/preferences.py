"""How often the 95 % intervals of preference figures hold a truth that is known.

    python bench/preferences.py simulated [DRAWS]          # channels of tests/support/pair_captures.py, drawn anew each
    time python bench/preferences.py CAPTURE [DRAWS] [LAYERS]   # 0, over random assignments of real pairs

The second takes a capture that `infoplane measure MODEL --preferences FILE --capture CAPTURE` kept. The states do not
know the assignment, so one capture serves all draws: each draw in turn is taken for the truth and judged against 16
others. LAYERS is how many blocks, evenly spaced, are read and averaged; 5 unless said otherwise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from pair_captures import PairChannel

from infoplane.capture.stored_capture import open_capture
from infoplane.measurement.preference_information import FIGURES, GIVEN_TOKEN, SWAPS, Asked, with_preferences
from infoplane.measurement.results import Measurement
from infoplane.measurement.swap_control import CENTRED, PLUGIN_CENTRED, centred
from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of

ASKED = (*((*figure, False) for figure in FIGURES), (GIVEN_TOKEN, "matched", True))
"""Quantity, positions, and whether the plug-in estimate is centred or null-curve."""
HEADER = "| figure | truth | mean | spread | mean standard error | intervals that hold it | jackknife alone |"
CHANNELS = {
    "nothing": {},
    "words alone": {"words": 0.5},
    "a weak effect": {"effect": 0.15},
    "a strong effect": {"effect": 0.4},
    "the same, in half of the pairs": {"effect": 0.4, "uneven": True},
}


def simulated(draws: int) -> None:
    print(HEADER.replace("| figure", "| channel | figure") + "\n|---|---|---|---|---|---|---|---|")
    for name, settings in CHANNELS.items():
        channel = PairChannel(**settings)
        truth = dict(zip(FIGURES, (channel.truth, channel.truth, channel.truth_given_token), strict=True))
        truth = {(quantity, sample, plugin): truth[quantity, sample] for quantity, sample, plugin in ASKED}
        found: dict[tuple[str, str, bool], list[tuple[float, float, bool, bool]]] = {one: [] for one in ASKED}
        for seed in range(draws):
            rows = with_preferences(Measurement((), {"settings": {"unit": "nats"}}), channel.capture(seed, pairs=120))
            for quantity, sample, plugin in ASKED:
                fields = {"position_set": sample, "estimator": PLUGIN_CENTRED if plugin else CENTRED}
                row = rows.get(quantity, **fields)
                low, high = row.interval
                jackknife = interval_of(row.value, standard_error_of(row.replicates), len(row.replicates) - 1)
                at = truth[quantity, sample, plugin]
                found[quantity, sample, plugin].append(
                    (row.value, row.standard_error, low <= at <= high, jackknife[0] <= at <= jackknife[1])
                )
        for figure, values in found.items():
            print(f"| {name} " + _line(figure, truth[figure], np.array(values, dtype=float)), flush=True)


def real(folder: Path, draws: int, layers: int) -> None:
    capture = open_capture(folder)
    blocks = [name for name in capture.layers if name.startswith("block.")]
    blocks = [blocks[i] for i in np.unique(np.linspace(0, len(blocks) - 1, layers).astype(int))]
    asked = Asked(capture, draws)
    for name in blocks:
        for s in range(capture.sets):
            asked.add(name, s)
        print(f"read {name}", file=sys.stderr, flush=True)
    pick = np.random.default_rng(0)
    print(f"{len(capture.windows.documents)} pairs, {draws} assignments, mean over {', '.join(blocks)}, nats\n")
    print(HEADER + "\n|---|---|---|---|---|---|---|")
    for quantity, sample, plugin in ASKED:
        figures = [asked.value(blocks, quantity, sample, f"swap{r}", plugin) for r in range(draws)]
        values = [figure.columns for figure in figures if figure is not None]
        points = np.array([v[0] for v in values])
        found = []
        for r, value in enumerate(values):
            others = pick.choice(np.delete(np.arange(draws), r), SWAPS, replace=False)
            row = centred(quantity, "model", value, points[others], unit="nats")
            low, high = row.interval
            jackknife = interval_of(value[0], standard_error_of(value[1:]), len(value) - 2)
            found.append((row.value, row.standard_error, low <= 0 <= high, jackknife[0] <= 0 <= jackknife[1]))
        print(_line((quantity, sample, plugin), 0.0, np.array(found, dtype=float)))
        figure = asked.value(blocks, quantity, sample, "value", plugin)
        assert figure is not None
        true = figure.columns
        row = centred(quantity, "model", true, points, unit="nats", points=figure.points)
        print(f"true labels, by all {draws} swaps: {row.value:.5f}, {row.interval[0]:.5f} to {row.interval[1]:.5f};"
              f" {np.mean(points >= true[0]):.3f} of the assignments reach it", file=sys.stderr)  # fmt: skip


def _line(figure: tuple[str, str, bool], truth: float, x: np.ndarray) -> str:
    held, alone = x[:, 2].mean(), x[:, 3].mean()
    name = f"{figure[0]}, {figure[1]}, {'plugin' if figure[2] else 'null-curve'}"
    return (
        f"| {name} | {truth:.5f} | {x[:, 0].mean():.5f} | {x[:, 0].std():.5f} | {x[:, 1].mean():.5f} "
        f"| {held:.1%} | {alone:.1%} |"
    )


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["simulated"]
    if arguments[0] == "simulated":
        simulated(int(arguments[1]) if len(arguments) > 1 else 200)
    else:
        more = [int(a) for a in arguments[1:]]
        real(Path(arguments[0]), more[0] if more else 500, more[1] if len(more) > 1 else 5)

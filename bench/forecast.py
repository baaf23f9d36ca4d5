"""How often the intervals, p, words and plans of `infoplane forecast` are right, on tables whose truth is known.

python bench/forecast.py published|correlations|discoveries|words|predictions|time [draws]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from synthetic import models, regression

from infoplane.analysis.forecasting.correlations import correlations
from infoplane.analysis.forecasting.family_ridge import families_for, fit_ridge
from infoplane.analysis.forecasting.partial_correlations import partials
from infoplane.analysis.forecasting.printed_correlations import (
    N_PUBLISHED,
    PUBLISHED,
    consistency,
    fisher_interval,
    published_p,
)
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.analysis.forecasting.validation import BOTH


def published(_: int) -> None:
    print("| figure | r | p, n = 47 | 95 % (Fisher) | p of all r that round so | p printed | consistent |")
    print("|---|---|---|---|---|---|---|")
    for name, (r, p) in PUBLISHED.items():
        low, high = fisher_interval(r, N_PUBLISHED)
        own = f"| {name} | {r:+.2f} | {published_p(r, N_PUBLISHED):.2g} | {low:+.2f} to {high:+.2f} "
        if p is None:
            print(f"{own}| | not found | |")
            continue
        c = consistency(r, N_PUBLISHED, p)
        fits = f"{c.n_that_fit[0]} to {c.n_that_fit[1]}" if c.n_that_fit else "none"
        said = "yes" if c.consistent else f"**no**; n of {fits} would be"
        print(f"{own}| {c.p_range[0]:.2g} to {c.p_range[1]:.2g} | {p} | {said} |")


def of_correlations(draws: int) -> None:
    print(
        "| families | noise | jackknife over families | bootstrap of families | Fisher, models | partial, given size |"
    )
    print("|---|---|---|---|---|---|")
    for families in (6, 8, 12, 20, 30):
        for heavy in (False, True):
            inside = np.zeros(4)
            for seed in range(draws):
                c = correlations(models("nothing", families, seed, heavy=heavy), ["s0"], ["score"], draws=500)[0]
                size = models("size alone", families, seed, heavy=heavy)
                p = partials(size, ["s0"], ["score"], ["size"], draws=1)[0]
                ends = c.interval, c.bootstrap, fisher_interval(c.value or 0.0, c.n), p.interval
                inside += [low <= 0 <= high for low, high in (e or (np.nan, np.nan) for e in ends)]
            noise = "Student's t, 3" if heavy else "normal"
            print(f"| {families} | {noise} | {' | '.join(f'{v / draws:.1%}' for v in inside)} |", flush=True)


def discoveries(draws: int) -> None:
    print("| families | any q <= 0.05, families | any q <= 0.05, models | any p <= 0.05, models |")
    print("|---|---|---|---|")
    from infoplane.analysis.forecasting.correlations import false_discovery

    for families in (6, 8, 12, 20, 30):
        wrong = np.zeros(3)
        for seed in range(draws):
            table = models("nothing", families, seed, features=6)
            rows = correlations(table, [f"s{i}" for i in range(6)], ["score"], draws=1)
            rows = tuple(r for r in rows if r.method == "pearson")
            plain = [r.p for r in rows if r.p is not None]
            alone = [q for q in false_discovery(plain) if q is not None]
            wrong += [min(r.q or 0 for r in rows) <= 0.05, min(alone) <= 0.05, min(plain) <= 0.05]
        print(f"| {families} | {' | '.join(f'{v / draws:.1%}' for v in wrong)} |", flush=True)


def of_words(draws: int) -> None:
    print("| truth | families | explained | beyond size | undecided | not found | structure improves | makes worse |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in ("size alone", "structure too", "nothing"):
        for families in (6, 12, 24):
            counts = np.zeros(6)
            for seed in range(draws):
                said = forecast(models(kind, families, seed), baselines=["size"], draws=1).verdicts
                counts += [
                    "explained by" in said[0], "beyond" in said[0], "with so few models" in said[0],
                    "not told from chance" in said[0], "structure improves" in said[1], "forecast worse" in said[1],
                ]  # fmt: skip
            print(f"| {kind} | {families} | {' | '.join(f'{v / draws:.0%}' for v in counts)} |", flush=True)


def predictions(draws: int) -> None:
    print("| families | level | cover, mean (least to most of 12 settings) | strict | width, strict / default |")
    print("|---|---|---|---|---|")
    for families, level in ((8, 0.8), (9, 0.9), (12, 0.9), (16, 0.9), (20, 0.9), (30, 0.9), (30, 0.95)):
        assert families >= families_for(level)
        cells = []
        for effect in (0.0, 1.0, 2.0):
            for heavy in (False, True):
                for even in (False, True):
                    held = np.zeros((draws, 4))
                    for seed in range(draws):
                        sample, other = regression(families, seed, effect, heavy, even)
                        fit = fit_ridge(sample)
                        for i, strict in enumerate((False, True)):
                            ends = fit.interval(other.x, level, strict=strict)
                            held[seed, i] = np.mean((ends[:, 0] <= other.y) & (other.y <= ends[:, 1]))
                            held[seed, 2 + i] = np.mean(ends[:, 1] - ends[:, 0])
                    cells.append(held.mean(axis=0))
        c = np.array(cells)
        spans = [f"{c[:, i].mean():.1%} ({c[:, i].min():.1%} to {c[:, i].max():.1%})" for i in (0, 1)]
        wider = float(np.mean(c[:, 3] / c[:, 2]))
        print(f"| {families} | {level:.0%} | {spans[0]} | {spans[1]} | {wider:.2f} |", flush=True)


def timing(draws: int) -> None:
    for families in (10, 20, 40):
        table = models("structure too", families, 0, features=4)
        start = time.process_time()
        found = forecast(table, baselines=["size"])
        spent = time.process_time() - start
        rmse = next(v.rmse for v in found.validations if v.predictor == BOTH)
        print(f"{families} families, {len(table.models)} models, 5 features: {spent:.2f} s of CPU (RMSE {rmse:.2f})")


PARTS = {
    "published": published, "correlations": of_correlations, "discoveries": discoveries, "words": of_words,
    "predictions": predictions, "time": timing,
}  # fmt: skip

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        sys.exit(__doc__)
    PARTS[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 500)

"""Phases on runs whose truth is known: false alarms, power, and coverage of the steps at which phases change.

    python bench/phases.py [draws]

`find_phases` sees one run, `phases_of_seeds` three that share their trend and nothing else; of the three the first is
asked. Checkpoints are spaced by logarithm over steps 1 to 10,000. Noise sizes are in standard deviations of the text's
error (what is not common to all checkpoints; the common part is 5 times as large), or there is no text. Effects are in
standard deviations of the noise at one checkpoint (of its increments, where it is a walk).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from infoplane.analysis.training.phases import Phases, find_phases, phases_of_seeds

Floats = npt.NDArray[np.float64]
NOISES = ("white", "AR 0.5", "AR 0.8", "random walk", "walk, increments AR 0.5", "walk in steps")
STRANGE = ("walk, increments AR 0.8", "white, size falls tenfold", "white, size grows tenfold", "white, t with 3 d.f.")
KNOTS = (0.42, 0.71)
"""Where the rise and the fall end, as parts of the axis log(1 + step), before chance moves each."""
MOVED = 0.05
"""How far, at most: one place between two checkpoints would speak for itself alone."""


def steps_of(count: int) -> npt.NDArray[np.int64]:
    """`count` steps from 1 to 10,000, as even in their logarithm as whole numbers can be."""
    step = np.ones(count, dtype=np.int64)
    for i in range(1, count):
        step[i] = max(step[i - 1] + 1, round(step[i - 1] * (10_000 / step[i - 1]) ** (1 / (count - i))))
    return step


def part(step: Floats) -> Floats:
    x = np.log1p(step)
    return (x - x[0]) / (x[-1] - x[0])


def noise(name: str, step: Floats, rng: np.random.Generator) -> Floats:
    """(T,) wandering of size 1."""
    n, z = len(step), rng.normal(size=len(step) + 200)
    if name == "none":
        return np.zeros(n)
    if name == "walk in steps":
        root = np.sqrt(np.diff(step, prepend=0))
        return np.cumsum(z[:n] * root) / root[n // 2]
    if name == "white, t with 3 d.f.":
        return rng.standard_t(3, n) / np.sqrt(3)
    if name.startswith("white"):
        size = {"white": 0, "white, size falls tenfold": -1, "white, size grows tenfold": 1}[name]
        return z[:n] * 10.0 ** (size * (part(step) - 0.5))
    r = float(name.split()[-1]) if "AR" in name else 0.0
    for i in range(1, len(z)):
        z[i] = r * z[i - 1] + np.sqrt(1 - r * r) * z[i]
    return np.cumsum(z[-n:]) if "walk" in name else z[-n:]


def knots_of(seed: int, number: int) -> Floats:
    """Of one configuration, the same for all its seeds."""
    return np.asarray(KNOTS) + np.random.default_rng([seed, number, 99]).uniform(-MOVED, MOVED, 2)


def shape(name: str, step: Floats, knots: Floats) -> Floats:
    u = part(step)
    if name == "flat":
        return np.zeros_like(u)
    if name == "rise":
        return np.interp(u, [0, knots[0], 1], [0, 1, 1])
    if name == "smooth rise":
        return 1 / (1 + np.exp(-(u - 0.4) / 0.08))
    if name == "fall":
        return -np.interp(u, [0, knots[0], 1], [0, 1, 1])
    return np.interp(u, [0, *knots, 1], [-1, 1, 0, 0])  # rise of 2, fall of 1, plateau


def draw(
    trend: str, effect: float, kind: str, step: Floats, knots: Floats, text: float, rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """Values, and replicates where `text`, the error of the text, is not 0."""
    value = effect * shape(trend, step, knots) + noise(kind, step, rng)
    if not text:
        return value, None
    blocks = 32
    of_block = text * np.sqrt(blocks) * (rng.normal(size=(len(step), blocks)) + 5 * rng.normal(size=blocks))
    mean = of_block.mean(1, keepdims=True)
    value = value + mean[:, 0]
    return value, value[:, None] - (of_block - mean) / (blocks - 1)


def answers(
    trend: str, effect: float, kind: str, count: int, text: float, seeds: int, draws: int, start: int = 0,
) -> list[Phases]:  # fmt: skip
    """What is said of the first run of each of `draws` configurations."""
    step, found = steps_of(count), []
    for i in range(draws):
        knots = knots_of(start, i)
        runs = [
            draw(trend, effect, kind, step, knots, text, np.random.default_rng([start, i, s])) for s in range(seeds)
        ]
        values, replicates = [v for v, _ in runs], None if not text else [r for _, r in runs if r is not None]
        if seeds == 1:
            found.append(find_phases(step, values[0], replicates and replicates[0]))
        else:
            found.append(phases_of_seeds(step, values, replicates)[0])
    return found


def steps_hit(found: Sequence[Phases], count: int, start: int) -> tuple[list[bool], list[Phases]]:
    """Whether each interval has its true step, and the runs asked: those found to rise, fall and stay."""
    step, hit, whole = steps_of(count), [], []
    x = np.log1p(step)
    for i, phases in enumerate(found):
        if [s.kind for s in phases.segments] == ["fitting", "compression", "plateau"]:
            truth = np.expm1(x[0] + knots_of(start, i) * (x[-1] - x[0]))
            hit += [c.interval[0] <= t <= c.interval[1] for c, t in zip(phases.changes, truth, strict=True)]
            whole.append(phases)
    return hit, whole


def false_alarms(draws: int) -> None:
    """Where there is no fall, how often is one found? And no rise?"""
    print("| trend | noise | text | T | seeds | false compression | false fitting |\n|---|---|---|---|---|---|---|")
    cells = [("flat", n, t) for t in ("none", "2", "0.2") for n in NOISES] + [("flat", "none", "only")]
    cells += [(r, n, "none") for r in ("rise", "smooth rise", "fall") for n in NOISES]
    cells += [("rise", n, "2") for n in ("white", "random walk")] + [("flat", n, "none") for n in STRANGE]
    for trend, kind, size in cells:
        text = {"none": 0.0, "only": 1.0, "2": 2.0, "0.2": 0.2}[size]
        words = {"none": "none", "only": "only", "2": "twice the noise", "0.2": "a fifth of the noise"}[size]
        for count in (20, 40):
            for seeds in (1, 3):
                # with text there are two laws of every kind to draw anew, ten times the work
                n = draws if not text else max(1, draws // 2)
                found = answers(trend, 20, kind, count, text, seeds, n)
                falls, rises = (
                    np.mean([p.compression.found for p in found]),
                    np.mean([p.fitting.found for p in found]),
                )
                shown = [f"{falls:.1%}" if trend != "fall" else "", f"{rises:.1%}" if "rise" not in trend else ""]
                print(f"| {trend} | {kind} | {words} | {count} | {seeds} | {shown[0]} | {shown[1]} |", flush=True)


def power_and_coverage(draws: int) -> None:
    """A rise of 2, a fall of 1 and a plateau: are they found, and are the steps and the fall in their intervals?"""
    print("\n| noise | fall / noise | T | seeds | compression found | all three phases | steps in interval | fall |")
    print("|---|---|---|---|---|---|---|---|")
    every: dict[tuple[int, int], list[bool]] = {}
    for kind in NOISES[:5]:
        for effect in (5, 10, 20, 40):
            for count in (20, 40):
                for seeds in (1, 3):
                    found = answers("all", effect, kind, count, 0, seeds, draws, start=1)
                    share = np.mean([p.compression.found for p in found])
                    hit, whole = steps_hit(found, count, 1)
                    every.setdefault((count, seeds), []).extend(hit)
                    fall = [p.segments[1].interval[0] <= -effect <= p.segments[1].interval[1] for p in whole]
                    shown = [f"{np.mean(hit):.1%}", f"{np.mean(fall):.1%}"] if len(whole) >= 20 else ["", ""]
                    print(
                        f"| {kind} | {effect} | {count} | {seeds} | {share:.1%} | {len(whole) / draws:.1%} "
                        f"| {shown[0]} | {shown[1]} |",
                        flush=True,
                    )
    for (count, seeds), hit in every.items():
        print(f"all with T = {count}, seeds = {seeds}: {np.mean(hit):.1%} of {len(hit)} steps in their intervals")


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    false_alarms(draws)
    power_and_coverage(draws)


if __name__ == "__main__":
    main()

"""Phases on runs whose truth is known: false alarms, power, and coverage of the steps at which phases change.

    python bench/phases.py [draws]

Checkpoints are spaced by logarithm over steps 1 to 10,000. Noise sizes are in standard deviations of the text's error
(what is not common to all checkpoints; the common part is 5 times as large), or there is no text. Effects are in
standard deviations of the noise at one checkpoint (of its increments, where it is a walk).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from infoplane.phases import Phases, find_phases

Floats = npt.NDArray[np.float64]
Answer = TypeVar("Answer")
NOISES = ("white", "AR 0.5", "AR 0.8", "random walk", "walk, increments AR 0.5", "walk in steps")
STRANGE = ("walk, increments AR 0.8", "white, size falls tenfold", "white, size grows tenfold", "white, t with 3 d.f.")
KNOTS = (0.42, 0.71)
"""Where the rise and the fall end, as parts of the axis log(1 + step)."""


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


def shape(name: str, step: Floats) -> Floats:
    u = part(step)
    if name == "flat":
        return np.zeros_like(u)
    if name == "rise":
        return np.interp(u, [0, KNOTS[0], 1], [0, 1, 1])
    if name == "smooth rise":
        return 1 / (1 + np.exp(-(u - 0.4) / 0.08))
    if name == "fall":
        return -np.interp(u, [0, KNOTS[0], 1], [0, 1, 1])
    return np.interp(u, [0, *KNOTS, 1], [-1, 1, 0, 0])  # rise of 2, fall of 1, plateau


def draw(
    trend: str, effect: float, kind: str, step: Floats, text: float, rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """Values, and replicates where `text`, the error of the text, is not 0."""
    value = effect * shape(trend, step) + noise(kind, step, rng)
    if not text:
        return value, None
    blocks = 32
    of_block = text * np.sqrt(blocks) * (rng.normal(size=(len(step), blocks)) + 5 * rng.normal(size=blocks))
    mean = of_block.mean(1, keepdims=True)
    value = value + mean[:, 0]
    return value, value[:, None] - (of_block - mean) / (blocks - 1)


def rate(
    ask: Callable[[Phases], Answer],
    trend: str, effect: float, kind: str, count: int, text: float, draws: int, seed: int = 0,
) -> list[Answer]:  # fmt: skip
    """What `ask` says of each of `draws` runs."""
    step, answers = steps_of(count), []
    for i in range(draws):
        value, replicates = draw(trend, effect, kind, step, text, np.random.default_rng([seed, i]))
        answers.append(ask(find_phases(step, value, replicates)))
    return answers


def hits(found: Phases, count: int) -> list[bool] | None:
    """Whether each interval has its true step; None where the phases are not rise, fall, plateau."""
    if [s.kind for s in found.segments] != ["fitting", "compression", "plateau"]:
        return None
    step = steps_of(count)
    x = np.log1p(step)
    truth = np.expm1(x[0] + np.array(KNOTS) * (x[-1] - x[0]))
    return [c.interval[0] <= t <= c.interval[1] for c, t in zip(found.changes, truth, strict=True)]


def false_alarms(draws: int) -> None:
    print("| trend | noise | text | T | false compression | false fitting |\n|---|---|---|---|---|---|")
    cells = [("flat", n, t) for t in ("none", "2", "0.2") for n in NOISES] + [("flat", "none", "only")]
    cells += [(r, n, "none") for r in ("rise", "smooth rise", "fall") for n in NOISES]
    cells += [("rise", n, "2") for n in ("white", "random walk")] + [("flat", n, "none") for n in STRANGE]
    for trend, kind, size in cells:
        text = {"none": 0.0, "only": 1.0, "2": 2.0, "0.2": 0.2}[size]
        words = {"none": "none", "only": "only", "2": "twice the noise", "0.2": "a fifth of the noise"}[size]
        for count in (20, 40):
            # with text there are two laws of every kind to draw anew, ten times the work
            n = draws if not text else max(1, draws // 2)
            answers = rate(lambda p: (p.compression.found, p.fitting.found), trend, 20, kind, count, text, n)
            compression, fitting = np.mean(answers, axis=0)
            shown = [f"{compression:.1%}" if trend != "fall" else "", f"{fitting:.1%}" if "rise" not in trend else ""]
            print(f"| {trend} | {kind} | {words} | {count} | {shown[0]} | {shown[1]} |", flush=True)


def power_and_coverage(draws: int) -> None:
    print("\n| noise | fall / noise | T | compression found | all three phases | coverage of steps | of the fall |")
    print("|---|---|---|---|---|---|---|")
    for kind in NOISES[:5]:
        for effect in (5, 10, 20, 40):
            for count in (20, 40):
                found = rate(lambda p: p, "all", effect, kind, count, 0, draws, seed=1)
                share = np.mean([p.compression.found for p in found])
                covered = [h for p in found if (h := hits(p, count)) is not None]
                fall = [
                    p.segments[1].interval[0] <= -effect <= p.segments[1].interval[1] for p in found if hits(p, count)
                ]
                shown = [f"{np.mean(covered):.1%}", f"{np.mean(fall):.1%}"] if len(covered) >= 20 else ["", ""]
                print(
                    f"| {kind} | {effect} | {count} | {share:.1%} | {len(covered) / draws:.1%} "
                    f"| {shown[0]} | {shown[1]} |",
                    flush=True,
                )


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    false_alarms(draws)
    power_and_coverage(draws)


if __name__ == "__main__":
    main()

"""How an optimiser wanders: kinds of noise between checkpoints, and whether a rise or fall is more than that.

The test and its sources are described at the top of `infoplane.analysis.training.phases`.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEVELS = ((0, 0.0), (0, 0.5), (0, 0.8), (1, 0.0), (1, 0.5), (1, 0.8))  # a walk?, autocorrelation
KINDS = (*((walk, r, growth, 0) for walk, r in LEVELS for growth in (-0.5, 0.0, 0.5, 1.0)), (0, 0.0, 0.0, 3))
"""Kinds of wandering: walk, autocorrelation, growth, degrees of freedom of t (0: normal)."""
SMOOTHEST = (1, 0.8)  # one run alone cannot tell it from a trend, so it is asked of several seeds only
KNOTS, PLACES = 3, 40
TINY = 1e-9  # of the range of the values: below this is rounding


@dataclass(frozen=True, eq=False)
class Frame:
    """What depends on the steps and the number of seeds alone: made once, for all quantities of a run.

    Attributes:
        kinds: of noise that are tried; the tuples below have an entry for each.
        x: (T,) log(1 + step) of the checkpoints.
        pairs: (K, 2) first and last checkpoint of each contrast.
        contrasts: (K, T) weights of the checkpoints in a contrast: a plain difference, or a slope.
        roots: (T, T) M so that M z, z normal, is noise of a kind with unit variance.
        errors: (K,) standard deviation of each contrast under such noise.
        runs: (draws, seeds, T) simulated noise.
        laws: statistics of those.
    """

    kinds: tuple[tuple[int, float, float, int], ...]
    x: Floats
    pairs: npt.NDArray[np.int64]
    contrasts: Floats
    roots: tuple[Floats, ...]
    errors: tuple[Floats, ...]
    runs: tuple[Floats, ...]
    laws: tuple[Law, ...]


@dataclass(frozen=True, eq=False)
class Law:
    """What simulated runs of one kind of noise look like, to compare a run with.

    Attributes:
        scale: (draws,) size of each run's noise, as estimated from the run itself, in the order of the draws.
        rough: (draws,) D / E: mean square of steps over that of values, sorted.
        memory: (draws,) autocorrelation of steps, sorted.
        growth: (draws,) by how much steps grow along the run, sorted.
        square: (draws,) D itself, sorted.
        fall, rise: (draws,) strongest fall and rise over all contrasts, in units of `scale`, sorted; empty where they
            were not asked for.
    """

    scale: Floats
    rough: Floats
    memory: Floats
    growth: Floats
    square: Floats
    fall: Floats
    rise: Floats

    def allows(self, rough: float, memory: float, growth: float, beta: float) -> bool:
        """Whether a run is neither too rough for this kind of noise, nor grows too little or too much."""
        growths = below(self.growth, growth), above(self.growth, growth)
        # too smooth would drop only what is easy to beat
        return min(above(self.rough, rough), below(self.memory, memory), *growths) > beta / 4

    def against(self, contrasts: Floats, runs: Floats, errors: Floats) -> Law:
        """The same law, with the strongest fall and rise of the runs that it is of."""
        z = runs[:, 0] @ (contrasts / errors[:, None]).T
        fall, rise = np.sort(-z.min(1) / self.scale), np.sort(z.max(1) / self.scale)
        return dataclasses.replace(self, fall=fall, rise=rise)


@lru_cache(maxsize=8)
def frame_of(steps: tuple[int, ...], seeds: int, draws: int, seed: int) -> Frame:
    """The frame of checkpoints at these steps; `draws` runs are simulated for each kind of noise."""
    step = np.array(steps, dtype=np.float64)
    x, n = np.log1p(step), len(step)
    ends = range(n) if n <= PLACES else np.unique(np.linspace(0, n - 1, PLACES).round().astype(int)).tolist()
    pairs = np.array(list(itertools.combinations(ends, 2)))
    # neither contrast sees a fall in a curve that only rises; a fitted curve with knots would, next to its knots
    raw, slope = np.zeros((len(pairs), n)), np.zeros((len(pairs), n))
    for row, (a, b) in enumerate(pairs.tolist()):
        raw[row, [a, b]] = -1, 1
        here = x[a : b + 1] - x[a : b + 1].mean()
        slope[row, a : b + 1] = here / (here @ here) * (x[b] - x[a])
    contrasts = np.concatenate([raw, slope])
    kinds = tuple(kind for kind in KINDS if seeds > 1 or kind[:2] != SMOOTHEST)
    roots = tuple(root_of(step, *kind[:3]) for kind in kinds)
    errors = tuple(np.linalg.norm(contrasts @ root, axis=1) for root in roots)
    rng = np.random.default_rng([seed, 1])
    normal = rng.normal(size=(draws, seeds, n))
    drawn = {
        free: rng.standard_t(free, (draws, seeds, n)) * np.sqrt((free - 2) / free)
        for free in {k[3] for k in kinds} - {0}
    }
    runs = tuple(drawn.get(kind[3], normal) @ root.T for kind, root in zip(kinds, roots, strict=True))
    laws = tuple(law_of(x, run).against(contrasts, run, error) for run, error in zip(runs, errors, strict=True))
    return Frame(kinds, x, np.concatenate([pairs, pairs]), contrasts, roots, errors, runs, laws)


def root_of(step: Floats, walk: int, r: float, growth: float) -> Floats:
    """Matrix M so that M z, z normal, is the wandering of one kind."""
    n, gap = len(step), np.diff(step)
    size = (gap / np.exp(np.log(gap).mean())) ** (growth / 2)
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    if not walk:
        return np.asarray(np.r_[size[0], size][:, None] * np.linalg.cholesky(r**lag))
    root = np.zeros((n, n))
    root[1:, 1:] = np.cumsum(size[:, None] * np.linalg.cholesky(r ** lag[1:, 1:]), 0)
    return root


def residuals_of(x: Floats, runs: Floats) -> Floats:
    """(N, T) runs less a piecewise linear curve: of all pairs of knots the best, then the third that takes most."""
    line = np.linalg.qr(np.stack([np.ones_like(x), x], 1))[0]
    inner = np.unique(np.linspace(1, len(x) - 2, min(PLACES, len(x) - 2)).round().astype(int))
    kinks = np.maximum(x - x[inner, None], 0)
    kinks = kinks - kinks @ line @ line.T
    rest = runs - runs @ line @ line.T
    gram, moment = kinks @ kinks.T, rest @ kinks.T
    whole = gram.diagonal()
    first, second = np.triu_indices(len(kinks), 1)
    slope = gram[first, second] / whole[first]
    by_kink = np.ascontiguousarray(moment.T)  # whole rows are quick to gather
    gain = by_kink[second] - slope[:, None] * by_kink[first]
    gain *= gain / (whole[second] - slope * gram[first, second])[:, None]
    gain += (by_kink**2 / whole[:, None])[first]
    best = gain.argmax(0)
    picks, taken = [kinks[first[best]], kinks[second[best]]], np.zeros((len(runs), 0, len(x)))
    for number in range(KNOTS):
        if number == 2:
            left = np.maximum(whole - ((taken @ kinks.T) ** 2).sum(1), 0)  # of each kink, beside the two taken
            third = np.where(left > 1e-6 * whole, (rest @ kinks.T) ** 2 / np.maximum(left, 1e-300), -1)
            picks.append(kinks[third.argmax(1)])
        new = picks[number] - ((taken @ picks[number][..., None]) * taken).sum(1)
        new = new / np.linalg.norm(new, axis=1, keepdims=True)
        taken = np.concatenate([taken, new[:, None]], 1)
        rest = rest - (rest * new).sum(1, keepdims=True) * new
    return np.asarray(rest)


def features_of(x: Floats, runs: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Of each of (N, seeds, T) runs: scale, roughness D / E, autocorrelation of steps, growth along the run, and D."""
    seeds = runs.shape[1]
    if seeds == 1:
        rest = residuals_of(x, runs[:, 0])[:, None]
    else:  # what seeds do differently is no trend of the configuration, and nothing has to be fitted
        rest = runs - runs.mean(1, keepdims=True)
        rest = (rest - rest.mean(2, keepdims=True)) * np.sqrt(seeds / (seeds - 1))
    span = np.maximum(np.ptp(runs, axis=2).max(1), 1e-100) * TINY
    change = np.diff(rest, axis=2)
    memory = (change[..., 1:] * change[..., :-1]).sum((1, 2)) / np.maximum((change**2).sum((1, 2)), span**2)
    steps = np.abs(change)
    e, d = np.maximum((rest**2).mean((1, 2)), span**2), np.maximum((steps**2).mean((1, 2)), span**2)
    half = steps.shape[2] // 2
    growth = steps[..., half:].mean((1, 2)) - steps[..., :half].mean((1, 2))
    return (
        (np.sqrt(d) if seeds > 1 else e / np.sqrt(d)),
        d / e,
        memory,
        growth / np.maximum(steps.mean((1, 2)), span),
        d,
    )


def law_of(x: Floats, runs: Floats) -> Law:
    """The law of (N, seeds, T) simulated runs, without falls and rises."""
    scale, *others = features_of(x, runs)
    rough, memory, growth, square = map(np.sort, others)
    return Law(scale, rough, memory, growth, square, np.empty(0), np.empty(0))


class Test:
    """The strongest rise and fall of a run against every kind of noise that it and its other seeds leave possible.

    Args:
        frame: for these steps and so many seeds.
        values: (seeds, T), the run first.
        text: (seeds, T, B) roots of the text's covariance; B may be 0.
    """

    # one derivation, read from top to bottom
    def __init__(  # noqa: PLR0915
        self, frame: Frame, values: Floats, text: Floats, level: float, seed: int
    ) -> None:
        self.frame, self.beta = frame, level / 5
        scale, rough, memory, growth, square = (a[0] for a in features_of(frame.x, values[None]))
        self.flat = np.ptp(values[0]) == 0
        self.variance = np.ones(len(frame.kinds))  # of the wandering, where there is text beside it
        chosen: list[tuple[int, Floats, Floats, Law]] = []
        roughest: list[tuple[int, Floats, Floats, Law]] = []
        self.kinds: list[int] = []
        self.squares: list[Floats] = []  # of each possible kind, simulated
        self.square, weights = square, []
        blocks = text.shape[2]
        has_text = bool((text**2).sum() > (TINY * np.ptp(values)) ** 2)
        if has_text:
            rng, draws = np.random.default_rng([seed, 2]), len(frame.runs[0])
            # the text's covariance is itself known from B - 1 degrees of freedom: t, not normal
            heavy = np.sqrt((blocks - 1) / rng.chisquare(blocks - 1, (draws, 1)))
            noise = heavy * (rng.normal(size=(draws, blocks)) @ text.reshape(-1, blocks).T)
            noise = noise.reshape(draws, *values.shape)  # the same documents for every seed, so one draw of blocks
            of_text = float(np.median(features_of(frame.x, noise)[-1]))
            text_variance = ((frame.contrasts @ text[0]) ** 2).sum(1)
        for i, alone in enumerate(frame.laws):
            cases = [(frame.errors[i], frame.runs[i], alone)]
            if has_text:
                # D of text and of wandering add up; by chance the run's own may be as low as its lower tenth
                usual, low = np.quantile(alone.square, [0.5, 0.1])
                least = 1e-4 * of_text / usual
                q = self.variance[i] = max((square - of_text) / usual, least)
                cases = []
                for size in (q, max((square * usual / low - of_text) / usual, least)):
                    runs = np.sqrt(size) * frame.runs[i] + noise
                    error = np.sqrt(text_variance + size * frame.errors[i] ** 2)
                    cases.append((error, runs, law_of(frame.x, runs)))
            possible = [law.allows(rough, memory, growth, self.beta) for _, _, law in cases]
            if not any(frame.kinds[i][:2]):
                roughest += [(i, *case) for case in cases]
            chosen += [(i, *case) for case, fits in zip(cases, possible, strict=True) if fits]
            if any(possible):
                law = cases[0][2]
                self.kinds.append(i)
                self.squares.append(law.square)
                weights.append(density(np.log(law.rough), np.log(rough)) * density(law.growth, growth))
        if not chosen:  # rougher than any
            chosen, self.kinds = roughest, sorted({case[0] for case in roughest})
            self.squares, weights = [frame.laws[i].square for i in self.kinds], [1.0] * len(self.kinds)
        self.tried = [
            (i, error, law if len(law.fall) else law.against(frame.contrasts, runs, error))
            for i, error, runs, law in chosen
        ]
        self.weight = np.array(weights)
        self.changes = frame.contrasts @ values[0]
        self.z = [self.changes / error / scale for _, error, _ in self.tried]

    def p_value(self, sign: int, first: float = 0, last: float = np.inf) -> float:
        """Of the strongest fall (sign -1) or rise between two places, counted in checkpoints."""
        inside = (self.frame.pairs[:, 0] >= first) & (self.frame.pairs[:, 1] <= last)
        if self.flat or not inside.any():
            return 1.0
        worst = max(
            above(law.rise if sign > 0 else law.fall, (sign * z[inside]).max())
            for z, (_, _, law) in zip(self.z, self.tried, strict=True)
        )
        return float(min(1.0, worst + self.beta))

    def amount(self, sign: int) -> float:
        """Size of the fall or rise that is strongest against the kind of noise that explains it best."""
        best = [sign * z for z in self.z]
        weakest = min(best, key=lambda z: float(z.max()))
        return max(0.0, float(sign * self.changes[weakest.argmax()]))


def above(law: Floats, value: float) -> float:
    """Share of a sorted law at or above a value, the value counted with it."""
    return float(1 + len(law) - np.searchsorted(law, value)) / (len(law) + 1)


def below(law: Floats, value: float) -> float:
    """Share of a sorted law at or below a value, the value counted with it."""
    return float(1 + np.searchsorted(law, value, side="right")) / (len(law) + 1)


def density(law: Floats, value: float) -> float:
    """Of a normal with the mean and spread of a law."""
    spread = max(float(law.std()), 1e-12)
    return float(np.exp(-0.5 * ((value - law.mean()) / spread) ** 2) / spread) + 1e-300

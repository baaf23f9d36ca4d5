r"""Phases of a training run: where a quantity rises (fitting), falls (compression) or does neither (plateau).

Over `x = log(1 + step)` the T values of one run are a trend, errors of the text and the wandering of the optimiser:

    v_t = f(x_t) + text_t + s w_t,    f continuous and piecewise linear with 0 to 3 knots.

The text's covariance between checkpoints i and j is known from the jackknife, `(B - 1) / B * sum_b (r_ib - mean_i)
(r_jb - mean_j)`; what moves all checkpoints alike cancels. The wandering w is not known. It is one of 21 kinds: level
AR(1) with 0, 0.5, 0.8 or 1 (a random walk), or AR(1) increments with 0.5; from checkpoint to checkpoint with variance
(step gap)^g, g = -0.5, 0, 0.5 or 1 (1: a walk in steps, which over checkpoints spaced by logarithm is nearly all at the
end); or independent with the outliers of a t of 3 degrees of freedom.

**Is there a fall?** The strongest fall over all i < j, as a difference and as a line through all between, over its
standard error under w, and that over the scale `E / sqrt(D)`: E and D are the mean squares of the residuals of f with 3
knots (the best two, then the best third) and of the residuals' steps. (Of scales, this one makes least of smooth
wandering.) Its law is drawn from runs without trend, with the same steps and the same fit, so what 3 knots take from
the noise of few checkpoints is in it; a rise before or after only makes a fall less. p is the largest over the kinds of
wandering that the run leaves possible: one is dropped where D / E, or the growth of the residuals' steps along the run,
is beyond its own quantile (`level / 5` in all, which is added to p: Berger and Boos 1994). A rise is the same upside
down.

**Where?** Generalised least squares under each possible kind of wandering, with knots on a grid. A kind weighs what its
own roughness and growth say of the run's (its likelihood would not do: knots that follow a walk leave white residuals),
and within a kind the number of knots weighs `exp(-BIC / 2)` (Schwarz 1978; a knot counts as 3 coefficients, for its
place is the best of many), their places `RSS^-((T - 2) / 2)`. From these weights come draws of kind, knots and heights,
and so the intervals; the size of the noise is drawn as the run's D over a simulated one.

Phases as in "Learning is Forgetting: LLM Training As Lossy Compression" (ICLR 2026, arXiv 2604.07569). Sources: Berger
and Boos, "P values maximized over a confidence set for the nuisance parameter", JASA 89 (1994); Schwarz, "Estimating
the dimension of a model", Annals of Statistics 6 (1978). The statistic and its scale are worked out here, and
`bench/phases.py` measures what they do.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from infoplane.errors import SettingError

Floats = npt.NDArray[np.float64]
FITTING, COMPRESSION, PLATEAU = "fitting", "compression", "plateau"
MIN_CHECKPOINTS = 8
"""A curve with 3 knots has 5 coefficients; with fewer checkpoints nothing is left to tell the noise by."""
LEVELS = ((0, 0.0), (0, 0.5), (0, 0.8), (1, 0.0), (1, 0.5))  # a walk?, autocorrelation
KINDS = (*((walk, r, growth, 0) for walk, r in LEVELS for growth in (-0.5, 0.0, 0.5, 1.0)), (0, 0.0, 0.0, 3))
"""Kinds of wandering: walk, autocorrelation, growth, degrees of freedom of t (0: normal)."""
KNOTS, PLACES = 3, 40
FINE, MOST = 4, 400  # parts of a gap in which a knot can lie; sets of three knots that are refined
KNOT_COST = 3.0  # coefficients that a knot counts for
SIGNS = {COMPRESSION: -1, FITTING: 1}
TINY = 1e-9  # of the range of the values: below this is rounding


@dataclass(frozen=True)
class Phase:
    """One stretch of the run.

    Attributes:
        kind: `fitting`, `compression` or `plateau`.
        start_step, end_step: where it begins and ends; knots may lie between checkpoints.
        change: of the trend over the stretch.
        interval: 95 % of that change; noise of text and optimiser and the places of the knots are in it.
        p_value: chance that noise alone shows, anywhere in the run, as strong a change in this direction.
    """

    kind: str
    start_step: float
    end_step: float
    change: float
    interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Change:
    """A boundary between two phases: its step and the 95 % interval of that, in steps."""

    step: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Evidence:
    """Whether there is a phase of one kind at all: p value, decision, size of the rise or fall (>= 0), in words."""

    p_value: float
    found: bool
    amount: float
    text: str


@dataclass(frozen=True)
class Phases:
    """The phases of one run.

    Attributes:
        segments: in order of training; neighbours differ in kind.
        changes: the boundaries between them, one fewer.
        compression, fitting: the two tests.
        saturated: whether the loss has stopped falling; None: not known.
        verdict: all of it in one sentence.
    """

    segments: tuple[Phase, ...]
    changes: tuple[Change, ...]
    compression: Evidence
    fitting: Evidence
    saturated: bool | None
    verdict: str

    @property
    def censored(self) -> bool:
        """No compression was found, and the loss is still falling: it may yet come."""
        return not self.compression.found and self.saturated is False

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Phases:
        """The inverse of `to_dict`, also after a journey through JSON.

        Raises:
            SettingError: a field is missing, or there is one too many.
        """
        try:
            phases = tuple(Phase(**{**p, "interval": tuple(p["interval"])}) for p in record["segments"])
            changes = tuple(Change(c["step"], tuple(c["interval"])) for c in record["changes"])
            tests = {name: Evidence(**record[name]) for name in SIGNS}
            return cls(phases, changes, saturated=record["saturated"], verdict=record["verdict"], **tests)
        except (KeyError, TypeError) as error:
            raise SettingError(f"not a record of phases: {error}; expected what Phases.to_dict() gives") from None


@dataclass(frozen=True)
class Claim:
    """What several runs of one configuration allow to say."""

    compression: bool
    fitting: bool
    text: str


def claim(per_seed: Sequence[Phases]) -> Claim:
    """Claim a phase for a configuration if two thirds of its seeds, and at least two, show it.

    Args:
        per_seed: the phases of runs that differ in their seed only; 2 of 3 are enough.

    Returns:
        The decision for each phase, and the counts in words. A censored seed counts as not shown, and is named.
    """
    if not per_seed:
        raise SettingError("no seeds: give claim() the Phases of each run of the configuration")
    n, parts, decided = len(per_seed), [], {}
    for name in SIGNS:
        shown = sum(getattr(p, name).found for p in per_seed)
        decided[name] = shown >= max(2, -(-2 * n // 3))
        parts.append(f"{name} {'claimed' if decided[name] else 'not claimed'}: {shown} of {n} seeds show it")
    if censored := sum(p.censored for p in per_seed):
        parts[0] += f" ({censored} censored: loss still falling, counted as not shown)"
    if n == 1:
        parts.append("one seed is never enough")
    return Claim(decided[COMPRESSION], decided[FITTING], "; ".join(parts))


def find_phases(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    replicates: npt.ArrayLike | None = None,
    *,
    level: float = 0.05,
    loss: npt.ArrayLike | None = None,
    seed: int = 0,
    draws: int = 999,
) -> Phases:
    """Phases of one training run.

    Args:
        steps: (T,) training steps of the checkpoints, each once, growing; at least 8.
        values: (T,) the quantity.
        replicates: (T, B) its jackknife replicates over the same B blocks of documents; None: no error of the text.
        level: chance of a false phase that is accepted, for compression and for fitting each.
        loss: (T,) loss of the model on held-out text, to tell a run that has ended from one that goes on.
        seed: of the simulated runs.
        draws: simulated runs of each kind of noise.

    Raises:
        SettingError: shapes, order or numbers are not as above.
    """
    step, value, text, loss_ = _checked(steps, values, replicates, loss, level, draws)
    frame = _frame(tuple(step.tolist()), draws, seed)
    test = _Test(frame, value, text, level, seed)
    p = {name: test.p_value(sign) for name, sign in SIGNS.items()}
    found = {name: p[name] <= level for name in p}
    # where nothing was found all is plateau, and knots would mark nothing
    segments, changes = _Shape(frame, value, text, test, KNOTS if any(found.values()) else 0, seed).phases(found)
    evidence = {}
    for name, sign in SIGNS.items():
        sizes = [abs(s.change) for s in segments if s.kind == name]
        amount = max(sizes) if sizes else test.amount(sign)
        what = "fall" if sign < 0 else "rise"
        said = "more than noise gives" if found[name] else "no more than noise can give"
        evidence[name] = Evidence(p[name], found[name], amount, f"a {what} of {amount:.3g}, p = {p[name]:.3g}: {said}")
    saturated = None if loss_ is None else _saturated(frame.x, loss_, level)
    verdict = _verdict(segments, changes, found, saturated)
    return Phases(segments, changes, evidence[COMPRESSION], evidence[FITTING], saturated, verdict)


def _checked(
    steps: Any, values: Any, replicates: Any, loss: Any, level: float, draws: int
) -> tuple[npt.NDArray[np.int64], Floats, Floats, Floats | None]:
    given = {"steps": steps, "values": values, "replicates": replicates, "loss": loss}
    arrays = {}
    for name, raw in given.items():
        if raw is None:
            continue
        try:
            arrays[name] = np.asarray(raw, dtype=np.float64)
        except (TypeError, ValueError):
            raise SettingError(f"{name} are not numbers in a regular array") from None
        ndim = 2 if name == "replicates" else 1
        if arrays[name].ndim != ndim or len(arrays[name]) != np.size(steps):
            expected = f"({np.size(steps)}, blocks)" if ndim == 2 else f"({np.size(steps)},)"
            raise SettingError(f"{name} have shape {arrays[name].shape}: expected {expected}, one for each step")
        if not np.isfinite(arrays[name]).all():
            where = int(np.flatnonzero(~np.isfinite(arrays[name]).reshape(len(arrays[name]), -1).all(1))[0])
            raise SettingError(f"{name}[{where}] is not finite: leave out checkpoints that could not be measured")
    step = arrays["steps"]
    if (step < 0).any() or (step != np.round(step)).any():
        raise SettingError("steps must be whole numbers of training steps, 0 or more")
    if (np.diff(step) <= 0).any():
        i = int(np.argmax(np.diff(step) <= 0))
        raise SettingError(
            f"steps must grow, each once: {step[i + 1]:.0f} follows {step[i]:.0f}; sort them, and drop duplicates"
        )
    if len(step) < MIN_CHECKPOINTS:
        raise SettingError(f"{len(step)} checkpoints: phases need at least {MIN_CHECKPOINTS}; measure more of the run")
    if not 0 < level < 0.5:
        raise SettingError(f"level is {level}: expected a chance between 0 and 0.5, such as 0.05")
    if 1 / (draws + 1) > 0.8 * level:
        raise SettingError(f"{draws} draws cannot show a p value of {level}: give at least {int(1.25 / level) + 1}")
    rows = arrays.get("replicates", np.zeros((len(step), 0)))
    blocks = rows.shape[1]
    if blocks == 1:
        raise SettingError("replicates have one block: expected two or more, or None where there is no error")
    rows = rows - rows.mean(0)  # a shift of all checkpoints alike
    root = np.sqrt((blocks - 1) / blocks) * (rows - rows.mean(1, keepdims=True)) if blocks else rows
    value = arrays["values"] - arrays["values"].mean()
    if np.ptp(value) < 1e-13 * np.abs(arrays["values"]).max():  # rounding
        value = np.zeros_like(value)
    return step.astype(np.int64), value, root, arrays.get("loss")


# ---------------------------------------------------------------- what depends on the steps alone


@dataclass(frozen=True, eq=False)
class _Frame:
    x: Floats
    pairs: npt.NDArray[np.int64]  # (K, 2) first and last checkpoint of each contrast
    contrasts: Floats  # (K, T)
    roots: tuple[Floats, ...]  # of the covariance of each kind of noise
    errors: tuple[Floats, ...]  # (K,) of the contrasts
    runs: tuple[Floats, ...]  # (draws, T)
    laws: tuple[_Law, ...]


@dataclass(frozen=True, eq=False)
class _Law:
    """Statistics of simulated runs, sorted but for `scale`; strongest fall and rise where they were asked for."""

    scale: Floats
    rough: Floats
    growth: Floats
    square: Floats
    fall: Floats
    rise: Floats

    def allows(self, rough: float, growth: float, beta: float) -> bool:
        """Whether a run is neither too rough for this kind of noise, nor grows too little or too much."""
        growths = _below(self.growth, growth), _above(self.growth, growth)
        # too smooth would drop only what is easy to beat
        return min(_above(self.rough, rough), *growths) > beta / 3

    def against(self, contrasts: Floats, runs: Floats, errors: Floats) -> _Law:
        """With the strongest fall and rise."""
        z = runs @ (contrasts / errors[:, None]).T
        fall, rise = np.sort(-z.min(1) / self.scale), np.sort(z.max(1) / self.scale)
        return dataclasses.replace(self, fall=fall, rise=rise)


@lru_cache(maxsize=8)
def _frame(steps: tuple[int, ...], draws: int, seed: int) -> _Frame:
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
    roots = tuple(_root(step, *kind[:3]) for kind in KINDS)
    errors = tuple(np.linalg.norm(contrasts @ root, axis=1) for root in roots)
    rng = np.random.default_rng([seed, 1])
    normal = rng.normal(size=(draws, n))
    drawn = {
        free: rng.standard_t(free, (draws, n)) * np.sqrt((free - 2) / free) for free in {k[3] for k in KINDS} - {0}
    }
    runs = tuple(drawn.get(kind[3], normal) @ root.T for kind, root in zip(KINDS, roots, strict=True))
    laws = tuple(_law(x, run).against(contrasts, run, error) for run, error in zip(runs, errors, strict=True))
    return _Frame(x, np.concatenate([pairs, pairs]), contrasts, roots, errors, runs, laws)


def _root(step: Floats, walk: int, r: float, growth: float) -> Floats:
    """Matrix M so that M z, z normal, is the wandering of one kind."""
    n, gap = len(step), np.diff(step)
    size = (gap / np.exp(np.log(gap).mean())) ** (growth / 2)
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    if not walk:
        return np.asarray(np.r_[size[0], size][:, None] * np.linalg.cholesky(r**lag))
    root = np.zeros((n, n))
    root[1:, 1:] = np.cumsum(size[:, None] * np.linalg.cholesky(r ** lag[1:, 1:]), 0)
    return root


def _residuals(x: Floats, runs: Floats) -> Floats:
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


def _features(x: Floats, runs: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Scale, roughness D / E, growth along the run, and D of each run."""
    rest = _residuals(x, runs)
    span = np.maximum(np.ptp(runs, axis=1), 1e-100) * TINY
    steps = np.abs(np.diff(rest, axis=1))
    e, d = np.maximum((rest**2).mean(1), span**2), np.maximum((steps**2).mean(1), span**2)
    half = steps.shape[1] // 2
    growth = (steps[:, half:].mean(1) - steps[:, :half].mean(1)) / np.maximum(steps.mean(1), span)
    return e / np.sqrt(d), d / e, growth, d


def _law(x: Floats, runs: Floats) -> _Law:
    scale, rough, growth, square = _features(x, runs)
    return _Law(scale, np.sort(rough), np.sort(growth), np.sort(square), np.empty(0), np.empty(0))


# ---------------------------------------------------------------- is there a phase


class _Test:
    """The strongest rise and fall of a run against every kind of noise that the run leaves possible."""

    def __init__(self, frame: _Frame, value: Floats, text: Floats, level: float, seed: int) -> None:
        self.frame, self.value, self.beta = frame, value, level / 5
        scale, rough, growth, square = (a[0] for a in _features(frame.x, value[None]))
        self.flat = np.ptp(value) == 0
        self.variance = np.ones(len(KINDS))  # of the wandering, where there is text beside it
        chosen: list[tuple[int, Floats, Floats, _Law]] = []
        roughest: list[tuple[int, Floats, Floats, _Law]] = []
        self.kinds: list[int] = []
        self.squares: list[Floats] = []  # of each possible kind, simulated
        self.square, weights = square, []
        blocks = text.shape[1]
        has_text = blocks > 0 and bool((text @ text.T).trace() > (TINY * np.ptp(value)) ** 2)
        if has_text:
            rng, draws = np.random.default_rng([seed, 2]), len(frame.runs[0])
            # the text's covariance is itself known from B - 1 degrees of freedom: t, not normal
            heavy = np.sqrt((blocks - 1) / rng.chisquare(blocks - 1, (draws, 1)))
            noise = heavy * (rng.normal(size=(draws, blocks)) @ text.T)
            of_text = float(np.median(_features(frame.x, noise)[3]))
            text_variance = ((frame.contrasts @ text) ** 2).sum(1)
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
                    cases.append((error, runs, _law(frame.x, runs)))
            possible = [law.allows(rough, growth, self.beta) for _, _, law in cases]
            if not any(KINDS[i][:2]):
                roughest += [(i, *case) for case in cases]
            chosen += [(i, *case) for case, fits in zip(cases, possible, strict=True) if fits]
            if any(possible):
                law = cases[0][2]
                self.kinds.append(i)
                self.squares.append(law.square)
                weights.append(_density(np.log(law.rough), np.log(rough)) * _density(law.growth, growth))
        if not chosen:  # rougher than any
            chosen, self.kinds = roughest, sorted({case[0] for case in roughest})
            self.squares, weights = [frame.laws[i].square for i in self.kinds], [1.0] * len(self.kinds)
        self.tried = [
            (i, error, law if len(law.fall) else law.against(frame.contrasts, runs, error))
            for i, error, runs, law in chosen
        ]
        self.weight = np.array(weights)
        self.changes = frame.contrasts @ value
        self.z = [self.changes / error / scale for _, error, _ in self.tried]

    def p_value(self, sign: int, first: float = 0, last: float = np.inf) -> float:
        """Of the strongest fall (sign -1) or rise between two places, counted in checkpoints."""
        inside = (self.frame.pairs[:, 0] >= first) & (self.frame.pairs[:, 1] <= last)
        if self.flat or not inside.any():
            return 1.0
        worst = max(
            _above(law.rise if sign > 0 else law.fall, (sign * z[inside]).max())
            for z, (_, _, law) in zip(self.z, self.tried, strict=True)
        )
        return float(min(1.0, worst + self.beta))

    def amount(self, sign: int) -> float:
        """Size of the fall or rise that is strongest against the kind of noise that explains it best."""
        best = [sign * z for z in self.z]
        weakest = min(best, key=lambda z: float(z.max()))
        return max(0.0, float(sign * self.changes[weakest.argmax()]))


def _above(law: Floats, value: float) -> float:
    """Share of a sorted law at or above a value, the value counted with it."""
    return float(1 + len(law) - np.searchsorted(law, value)) / (len(law) + 1)


def _below(law: Floats, value: float) -> float:
    return float(1 + np.searchsorted(law, value, side="right")) / (len(law) + 1)


def _density(law: Floats, value: float) -> float:
    """Of a normal with the mean and spread of a law."""
    spread = max(float(law.std()), 1e-12)
    return float(np.exp(-0.5 * ((value - law.mean()) / spread) ** 2) / spread) + 1e-300


# ---------------------------------------------------------------- where the phases are


class _Shape:
    """Curves with 0 to 3 knots on a grid of places, under every possible kind of noise."""

    def __init__(self, frame: _Frame, value: Floats, text: Floats, test: _Test, knots: int, seed: int) -> None:
        self.x, self.value, self.test, self.rng = frame.x, value, test, np.random.default_rng([seed, 3])
        n = len(self.x)
        count = min(n - 2, PLACES)
        self.place = np.linspace(1, n - 2, FINE * (count - 1) + 1)  # in checkpoints
        self.at = self._x(self.place)
        self.roots, whites = [], []
        for i in test.kinds:
            root = np.concatenate([text, np.sqrt(test.variance[i]) * frame.roots[i]], 1)
            covariance = root @ root.T
            # a walk starts anywhere: the first checkpoint would otherwise be without noise
            self.roots.append(np.linalg.cholesky(covariance + KINDS[i][0] * covariance.trace() / n))
            whites.append(_whitened(self.roots[-1], self.x, value, self.at))
        self.sets: list[npt.NDArray[np.int64]] = []
        self.fits: list[Floats] = []  # for each number of knots (kinds, sets) log RSS
        self.cells: list[float] = []  # width of a place, in checkpoints
        for k in range(knots + 1):
            sets, fine = _knot_sets(k, 1 if k <= 2 else FINE, self.place), k <= 2
            fit = self._fit(whites, sets)
            if not fine:  # all places of three knots are too many: the fine ones only around the best
                share = np.exp((fit.min(1, keepdims=True) - fit) * (n - 2) / 2).max(0)
                near = sets[share > 1e-3]
                if fine := len(near) <= MOST:
                    moves = np.array(list(itertools.product(range(-(FINE // 2), FINE // 2 + 1), repeat=k)))
                    sets = np.unique((near[:, None] + moves).reshape(-1, k), axis=0)
                    sets = sets[((sets >= 0) & (sets < len(self.place))).all(1)]
                    sets = sets[_apart(self.place, sets)]
                    fit = self._fit(whites, sets)
            self.sets.append(sets)
            self.fits.append(fit)
            self.cells.append(float(self.place[1 if fine else FINE] - self.place[0]))
        bic = np.stack([-(n - 2) / 2 * f.min(1) - KNOT_COST / 2 * k * np.log(n) for k, f in enumerate(self.fits)], 1)
        share = np.exp(bic - bic.max(1, keepdims=True))
        self.weight = test.weight[:, None] * share / share.sum(1, keepdims=True)  # (kinds, numbers of knots)

    @staticmethod
    def _fit(whites: list[tuple[Floats, Floats, float]], sets: npt.NDArray[np.int64]) -> Floats:
        return np.stack(
            [np.log(np.maximum(y @ y - _explained(h.T @ h, h.T @ y, sets), least)) for y, h, least in whites]
        )

    def phases(self, found: dict[str, bool]) -> tuple[tuple[Phase, ...], tuple[Change, ...]]:
        """Segments and boundaries of the best curve that has the falls and rises which were found."""
        n, test = len(self.x), self.test
        for k in np.argsort(-self.weight.sum(0), kind="stable").tolist():
            knots, heights = self._draw(k)
            change = np.diff(heights[0])
            shows = [not found[name] or (s * change).max() >= 0.5 * test.amount(s) for name, s in SIGNS.items()]
            if all(shows):
                break
        nodes = np.concatenate([np.zeros((len(knots), 1)), knots, np.full((len(knots), 1), n - 1.0)], 1)
        index = nodes[0]  # in checkpoints
        # the drawn curves at the ends of the best one's segments: their own knots may stand for other bends
        at = np.array([np.interp(index, own, curve) for own, curve in zip(nodes, heights, strict=True)])
        draws = np.diff(at[1:], axis=1)
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        kinds = [
            COMPRESSION if found[COMPRESSION] and b < 0 else FITTING if found[FITTING] and a > 0 else PLATEAU
            for a, b in zip(low, high, strict=True)
        ]
        for name, sign in SIGNS.items():  # what is found has a place, however uncertain
            if found[name] and name not in kinds:
                kinds[int((sign * change).argmax())] = name
        starts = [0, *(i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]), len(kinds)]
        segments, changes = [], []
        for a, b in itertools.pairwise(starts):
            total = float(change[a:b].sum())
            least, most = np.quantile(draws[:, a:b].sum(1), [0.025, 0.975]).tolist()
            p = test.p_value(1 if total > 0 else -1, np.floor(index[a]) - 1, np.ceil(index[b]) + 1)
            first, last, interval = self._step(index[a]), self._step(index[b]), (min(least, total), max(most, total))
            segments.append(Phase(kinds[a], first, last, total, interval, p))
        bend = np.sign(np.diff(np.diff(heights, axis=1) / np.diff(self._x(nodes), axis=1), axis=1))
        half = self.cells[k] / 2  # a place stands for what lies around it
        for a in starts[1:-1]:
            best = knots[0, a - 1]
            # of a drawn curve the nearest knot that bends the same way
            away = np.abs(knots - best) + np.where(bend == bend[0, a - 1], 0, n)
            same = knots[np.arange(len(knots)), away.argmin(1)]
            left, right = np.quantile(same, [0.025, 0.975], method="nearest")
            interval = self._step(min(left, best) - half), self._step(max(right, best) + half)
            changes.append(Change(self._step(best), interval))
        return tuple(segments), tuple(changes)

    def _x(self, place: Floats) -> Floats:
        return np.asarray(np.interp(place, np.arange(len(self.x)), self.x))

    def _step(self, place: float) -> float:
        return float(np.expm1(self._x(np.array(place))))

    def _draw(self, k: int, draws: int = 1000) -> tuple[Floats, Floats]:
        """Places of k knots, and heights of the curve at start, knots and end: the best, then draws, a row each."""
        n, sets, test = len(self.x), self.sets[k], self.test
        kind = self.rng.choice(len(self.roots), draws + 1, p=self.weight[:, k] / self.weight[:, k].sum())
        kind[0] = self.weight[:, k].argmax()
        places, heights = np.zeros((draws + 1, k)), np.zeros((draws + 1, k + 2))
        for i, root in enumerate(self.roots):
            mine = np.flatnonzero(kind == i)
            if not len(mine):
                continue
            fit = self.fits[k][i]
            share = np.exp((fit.min() - fit) * (n - 2) / 2)
            pick = self.rng.choice(len(sets), len(mine), p=share / share.sum())
            pick[mine == 0] = share.argmax()
            places[mine] = self.place[sets[pick]]
            ends = np.ones((len(mine), 1))
            nodes = np.concatenate([self.x[0] * ends, self.at[sets[pick]], self.x[-1] * ends], 1)
            tents = np.clip((self.x[:, None] - nodes[:, None, :-1]) / np.diff(nodes, axis=1)[:, None], 0, 1)
            design = np.concatenate([np.ones((len(mine), n, 1)), tents], 2)  # start, then each segment's change
            inverse = np.linalg.inv(root)
            white = inverse @ design
            back, gram = np.swapaxes(white, 1, 2), np.swapaxes(white, 1, 2) @ white
            best = np.linalg.solve(gram, back @ (inverse @ self.value)[:, None])
            scale = np.sqrt(test.square / self.rng.choice(test.squares[i], (len(mine), 1, 1)))
            scale[mine == 0] = 0  # the first is the estimate itself
            noise = np.linalg.solve(
                np.swapaxes(np.linalg.cholesky(gram), 1, 2), self.rng.normal(size=(len(mine), k + 2, 1))
            )
            heights[mine] = np.cumsum((best + scale * noise)[..., 0], 1)
        return places, heights


def _whitened(root: Floats, x: Floats, value: Floats, at: Floats) -> tuple[Floats, Floats, float]:
    """Values and kinks at each place under one kind of noise, less a straight line; and the least RSS, rounding."""
    kinks = np.maximum(x[:, None] - at, 0)
    white = np.linalg.solve(root, np.column_stack([np.ones_like(x), x, value, kinks]))
    line = np.linalg.qr(white[:, :2])[0]
    white = white - line @ (line.T @ white)
    least = len(x) * max(TINY * float(np.ptp(value)), 1e-150) ** 2 * np.exp(-2 * np.log(np.diag(root)).mean())
    return white[:, 2], white[:, 3:], float(least)


def _knot_sets(k: int, every: int, place: Floats) -> npt.NDArray[np.int64]:
    """(S, k) every choice of k places, of each `every`-th, at least one checkpoint apart."""
    chosen = list(itertools.combinations(range(0, len(place), every), k))
    sets = np.array(chosen, dtype=np.int64).reshape(len(chosen), k)
    return sets[_apart(place, sets)]


def _apart(place: Floats, sets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.asarray((np.diff(place[sets], axis=1) > 1 - 1e-9).all(1))


def _explained(gram: Floats, moment: Floats, sets: npt.NDArray[np.int64]) -> Floats:
    """(S,) sum of squares that each set of kinks explains: `c' G^-1 c`, by elimination, all sets at once."""
    k = sets.shape[1]
    g = {(i, j): gram[sets[:, i], sets[:, j]] for i in range(k) for j in range(i, k)}
    c, total = [moment[sets[:, i]] for i in range(k)], np.zeros(len(sets))
    for i in range(k):
        pivot = np.maximum(g[i, i], 1e-12 * gram.diagonal()[sets[:, i]])
        total += c[i] ** 2 / pivot
        for j in range(i + 1, k):
            ratio = g[i, j] / pivot
            c[j] = c[j] - ratio * c[i]
            for m in range(j, k):
                g[j, m] = g[j, m] - ratio * g[i, m]
    return total


# ---------------------------------------------------------------- loss and words


def _saturated(x: Floats, loss: Floats, level: float) -> bool:
    """Whether the loss of the last third of the checkpoints (4 or more) falls no more than its noise."""
    n = max(4, len(x) // 3)
    at, y = x[-n:] - x[-n:].mean(), loss[-n:] - loss[-n:].mean()
    slope = float(at @ y / (at @ at))
    rest = y - slope * at
    error = np.sqrt(rest @ rest / (n - 2) / (at @ at))
    near = np.clip(rest[1:] @ rest[:-1] / max(float(rest @ rest), 1e-300), 0, 0.8)  # neighbours that err together
    error = max(error * np.sqrt((1 + near) / (1 - near)), TINY * float(np.ptp(loss)) / float(np.ptp(at)))
    return bool(slope > -stats.t.ppf(1 - level, n - 2) * error) if error else True


def _verdict(
    segments: Sequence[Phase], changes: Sequence[Change], found: dict[str, bool], saturated: bool | None
) -> str:
    words = segments[0].kind if len(segments) > 1 else f"{segments[0].kind} throughout"
    for change, after in zip(changes, segments[1:], strict=True):
        low, high = change.interval
        words += f" until step {change.step:,.0f} ({low:,.0f} to {high:,.0f}), then {after.kind}"
    if found[COMPRESSION]:
        return words
    ending = {
        False: "loss still falling, so this is censored, not negative",
        True: "the loss has stopped falling, so this is negative, not censored",
        None: "without the loss it is not known whether the run is censored",
    }
    return f"no compression phase found; {ending[saturated]}; {words}"

"""Where the phases of a run are: knots of a piecewise-linear curve, with their weights and intervals.

The method is described at the top of `infoplane.analysis.training.phases`.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from scipy import linalg

from infoplane.analysis.training.optimiser_noise import PLACES, TINY, Floats, Frame, Test
from infoplane.analysis.training.phase_types import COMPRESSION, FITTING, PLATEAU, SIGNS, Change, Phase

FINE, MOST = 4, 400  # parts of a gap in which a knot can lie; sets of three knots that are refined
KNOT_COST = 3.0  # coefficients that a knot counts for


class Shape:
    """Curves with 0 to 3 knots on a grid of places, each weighed by how well it fits under every possible noise.

    A curve is linear in x = log(1 + step) between its knots. For each kind of noise that `test` leaves possible, and
    each set of knots, the residual sum of squares under that noise is kept (`fits`); the number of knots is weighed by
    the Bayesian information criterion (`weight`). All else is read from these: the best curve, and draws of others.

    Args:
        frame: for these steps.
        values: (seeds, T), the run first; what the others do differently says how large its noise is.
        text: (seeds, T, B) roots of the text's covariance.
        test: which kinds of noise are possible, and how likely each is.
        knots: at most so many.
        seed: of the draws.

    Attributes:
        place, at: (P,) where knots can lie, in checkpoints and in x.
        sets: for each number of knots (S, knots) their places, as numbers in `place`.
        fits: for each number of knots (kinds, S) logarithms of the sums of squares.
        weight: (kinds, numbers of knots), adding up to 1 for each kind times its own weight.
    """

    def __init__(self, frame: Frame, values: Floats, text: Floats, test: Test, knots: int, seed: int) -> None:
        self.x, self.value, self.test, self.rng = frame.x, values[0], test, np.random.default_rng([seed, 3])
        n = len(self.x)
        apart = _apart_of(values)
        self.half = (n - 2 + apart.shape[1] * (n - 1)) / 2  # half the degrees of freedom of the noise
        count = min(n - 2, PLACES)
        self.place = np.linspace(1, n - 2, FINE * (count - 1) + 1)
        self.at = self._x(self.place)
        self.roots, whites = [], []
        for i in test.kinds:
            root = np.concatenate([text[0], np.sqrt(test.variance[i]) * frame.roots[i]], 1)
            covariance = root @ root.T
            # a walk starts anywhere: the first checkpoint would otherwise be without noise
            self.roots.append(np.linalg.cholesky(covariance + frame.kinds[i][0] * covariance.trace() / n))
            whites.append(_whitened(self.roots[-1], self.x, self.value, apart, self.at))
        self.sets: list[npt.NDArray[np.int64]] = []
        self.fits: list[Floats] = []
        self.cells: list[float] = []  # width of a place, in checkpoints
        for k in range(knots + 1):
            sets, fine = _knot_sets(k, 1 if k <= 2 else FINE, self.place), k <= 2
            fit = self._fit(whites, sets)
            if not fine:  # all places of three knots are too many: the fine ones only around the best
                share = np.exp((fit.min(1, keepdims=True) - fit) * self.half).max(0)
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
        bic = np.stack([-self.half * f.min(1) - KNOT_COST / 2 * k * np.log(n) for k, f in enumerate(self.fits)], 1)
        share = np.exp(bic - bic.max(1, keepdims=True))
        self.weight = test.weight[:, None] * share / share.sum(1, keepdims=True)

    @staticmethod
    def _fit(whites: list[tuple[Floats, Floats, float, float]], sets: npt.NDArray[np.int64]) -> Floats:
        return np.stack(
            [
                np.log(np.maximum(y @ y - _explained(h.T @ h, h.T @ y, sets), least) + apart)
                for y, h, apart, least in whites
            ]
        )

    def phases(self, detected: dict[str, bool]) -> tuple[tuple[Phase, ...], tuple[Change, ...]]:
        """Segments and boundaries of the best curve that shows the falls and rises which were detected."""
        n, test = len(self.x), self.test
        for k in np.argsort(-self.weight.sum(0), kind="stable").tolist():
            knots, heights = self._draw(k)
            change = np.diff(heights[0])
            shows = [not detected[name] or (s * change).max() >= 0.5 * test.amount(s) for name, s in SIGNS.items()]
            if all(shows):
                break
        nodes = np.concatenate([np.zeros((len(knots), 1)), knots, np.full((len(knots), 1), n - 1.0)], 1)
        index = nodes[0]  # in checkpoints
        # the drawn curves at the ends of the best one's segments: their own knots may stand for other bends
        heights_there = np.array([np.interp(index, own, curve) for own, curve in zip(nodes, heights, strict=True)])
        draws = np.diff(heights_there[1:], axis=1)
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        kinds = [
            COMPRESSION if detected[COMPRESSION] and b < 0 else FITTING if detected[FITTING] and a > 0 else PLATEAU
            for a, b in zip(low, high, strict=True)
        ]
        for name, sign in SIGNS.items():  # what is detected has a place, however uncertain
            if detected[name] and name not in kinds:
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
        jitter = self.cells[k] * self.rng.uniform(-0.5, 0.5, len(knots))  # a place stands for what lies around it
        for a in starts[1:-1]:
            best = knots[0, a - 1]
            # of a drawn curve the nearest knot that bends the same way
            away = np.abs(knots - best) + np.where(bend == bend[0, a - 1], 0, n)
            same = knots[np.arange(len(knots)), away.argmin(1)] + jitter
            left, right = np.quantile(same, [0.025, 0.975])
            interval = self._step(min(left, best)), self._step(max(right, best))
            changes.append(Change(self._step(best), interval))
        return tuple(segments), tuple(changes)

    def _x(self, place: Floats) -> Floats:
        """x of places counted in checkpoints, which may lie between two."""
        return np.asarray(np.interp(place, np.arange(len(self.x)), self.x))

    def _step(self, place: float) -> float:
        """The training step at a place."""
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
            share = np.exp((fit.min() - fit) * self.half)
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


def _apart_of(values: Floats) -> Floats:
    """(T, seeds - 1) what the seeds do differently: contrasts of the runs, each with the noise of one run."""
    seeds = len(values)
    return np.asarray(values.T @ linalg.helmert(seeds).T) if seeds > 1 else np.zeros((values.shape[1], 0))


def _whitened(
    root: Floats, x: Floats, value: Floats, apart: Floats, places: Floats
) -> tuple[Floats, Floats, float, float]:
    """Under one kind of noise, less a straight line: values, kinks at each place, square of what seeds do differently.

    And the least sum of squares, rounding.
    """
    kinks, seeds = np.maximum(x[:, None] - places, 0), apart.shape[1]
    white = np.linalg.solve(root, np.column_stack([np.ones_like(x), x, value, apart, kinks]))
    level = white[:, :1] / np.linalg.norm(white[:, 0])
    own = white[:, 3 : 3 + seeds]
    square = float(((own - level @ (level.T @ own)) ** 2).sum())  # seeds may start at different heights
    line = np.linalg.qr(white[:, :2])[0]
    white = white - line @ (line.T @ white)
    least = len(x) * max(TINY * float(np.ptp(value)), 1e-150) ** 2 * np.exp(-2 * np.log(np.diag(root)).mean())
    return white[:, 2], white[:, 3 + seeds :], square, float(least)


def _knot_sets(k: int, every: int, places: Floats) -> npt.NDArray[np.int64]:
    """(S, k) every choice of k places, of each `every`-th, at least one checkpoint apart."""
    chosen = list(itertools.combinations(range(0, len(places), every), k))
    sets = np.array(chosen, dtype=np.int64).reshape(len(chosen), k)
    return sets[_apart(places, sets)]


def _apart(places: Floats, sets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.asarray((np.diff(places[sets], axis=1) > 1 - 1e-9).all(1))


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

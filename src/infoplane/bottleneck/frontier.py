r"""The achievable frontier of a text: how much of the next token can a code of k-grams keep, for what it keeps of them?

The Information Bottleneck curve of the text's own joint distribution is far above what anybody could reach: most
k-grams occur once and "predict" their one successor. So the frontier here is achieved and not postulated. Documents
are dealt to two halves. On one, codes of at most m symbols are fitted (`infoplane.bottleneck.blahut_arimoto`) to the
k-grams of every length up to k, for several betas and with p(y | x) smoothed more and less
(`infoplane.bottleneck.backoff`); with these codes the positions of the other half are coded, k-grams that were not seen
by the longest of their ends that was. There, on text that no code was fitted to, both coordinates are estimated as
those of a layer are, by the same estimator:

    complexity  I(X_k; T) = H(T) - E[H(p(t | x))],      relevance  I(T; Y),

with the replicates of `infoplane.uncertainty.document_jackknife`; then the halves change places, and means are taken.
The frontier F_k is
the concave hull of all these points and the origin: by leaving some positions uncoded, everything below a line between
two codes can be reached. It is flat beyond the last code. As it is achieved, it is a lower estimate of what is
possible, and what is fitted on more text can lie above it. Of many codes the best are taken on the text that judges
them: that lifts the hull by a part of the points' errors, which are large and alike.

`all` positions is the frontier of the text. `seen` positions, those whose k-gram the other half has, are where a
model's own code can be reduced to the k-gram and compared (see `infoplane.measurement.frontier_gap`).

Saturation, I(X_k; Y) itself, is known as a band only: below, what the smoothed p(y | x) of one half saves on the other,
in cross-entropy against its p(y); above, the plug-in estimate.

Sources: Tishby, Pereira and Bialek (1999, arXiv physics/0004057) for the curve; cross-fitting as in Chernozhukov et
al., Econometrics Journal 21 (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.backoff import Ladder, choose_alphas
from infoplane.bottleneck.blahut_arimoto import Code, anneal
from infoplane.bottleneck.bound_settings import MAX_ORDER
from infoplane.bottleneck.cross_fitting import Ints, Positions, halves, saturation
from infoplane.bottleneck.frontier_curve import Frontier
from infoplane.errors import SettingError, TextError, check_whole
from infoplane.information import Floats, Grouping, Marginal, NullCurve, Rows, information
from infoplane.text import Labels, NGrams, Windows

BETAS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
SMOOTHING = (1.0, 1 / 4, 1 / 32, 0.0)
"""Parts of the alpha that predicts best: less of it keeps more k-grams apart."""
TOLERANCE = 1e-4
"""Nats; far less than the error of any point."""
MOST_JUDGED = 131_072
"""Positions of a half on which codes are judged, about: whole documents. Codes are fitted to all of the other half."""
MIN_SEEN = 1_000
"""Positions of a half whose k-gram the other half has seen, below which nothing is said about them."""
RECURS = 0.5
"""Part of the positions whose output k-gram recurs, below which it is no target."""


def fit_frontiers(
    windows: Windows,
    orders: Sequence[int] = (1, 2, 3),
    *,
    m: int = 100,
    wide: bool = False,
    betas: Sequence[float] = BETAS,
    starts: int = 1,
    forward: bool = False,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    progress: Callable[[str, int, int], object] | None = None,
) -> tuple[Frontier, ...]:
    """The frontiers of a text: for each order of all positions, then of the seen ones where there are enough.

    Args:
        windows: of the text.
        orders: of the input k-grams, of 1 to 3.
        m: symbols of a code.
        wide: the output k-gram too, as a target of its own, where at least half of the positions have one that recurs.
        betas, starts, forward, tolerance, seed: see `infoplane.bottleneck.blahut_arimoto.anneal`.
        progress: called with the stage, what is done and what there is to do.

    Raises:
        TextError: fewer than two documents, or one symbol only.
        SettingError: an order or m that is not possible.
    """
    settings: Annealing = {"starts": starts, "forward": forward, "tolerance": tolerance, "seed": seed}
    fitter = _Fitter(windows, sorted(set(orders)), m, tuple(betas), settings)
    targets = [(k, 1) for k in fitter.orders] + [(k, k) for k in fitter.orders if wide and k > 1 and fitter.recurs(k)]
    fitter.plan(targets, progress)
    return tuple(frontier for k, target in targets for frontier in fitter.frontiers(k, target))


class Annealing(TypedDict):
    """How codes are annealed; see `infoplane.bottleneck.blahut_arimoto.anneal`."""

    starts: int
    forward: bool
    tolerance: float
    seed: int


class _Fitter:
    def __init__(
        self, windows: Windows, orders: list[int], m: int, betas: tuple[float, ...], settings: Annealing
    ) -> None:
        if not orders or orders[0] < 1 or orders[-1] > MAX_ORDER:
            raise SettingError(f"orders {orders}: the bound is there for orders 1 to {MAX_ORDER}")
        if m < 2:
            raise SettingError(f"m = {m}: a code of one symbol, or of none, says nothing; expected 2 or more")
        check_whole("starts", settings["starts"], 1)
        self.orders, self.m, self.betas, self.settings, self.hash = orders, m, betas, settings, windows.hash
        self.half = halves(windows)
        self.grams = NGrams(windows, orders[-1])
        self.blocks = windows.blocks
        self.judges = _judging(windows.document_positions, self.half, MOST_JUDGED)
        self.positions: dict[tuple[int, int], Positions] = {}
        self.fitted: dict[tuple[int, int, int], tuple[_Fitted, ...]] = {}
        for k in orders:
            self._check(k, self._positions(k, 1) if len(self.grams.positions(k)) else None)

    def _positions(self, order: int, target: int) -> Positions:
        key = order, target
        if key not in self.positions:
            self.positions[key] = Positions.of(self.grams, self.half, order, target)
        return self.positions[key]

    def _check(self, k: int, found: Positions | None) -> None:
        if found is None or not (np.bincount(found.half, minlength=2) > 0).all():
            raise TextError(f"no position of order {k} in a half of the documents: use longer windows, or lower orders")
        if len(np.unique(found.y)) < 2:
            raise TextError("the text has one symbol only: there is nothing to foretell")
        for half in (0, 1):
            different = len(np.unique(found.grams[0][found.half == half]))
            if self.m > different:
                raise SettingError(
                    f"m = {self.m} symbols, and a half of the text has only {different} different tokens: choose an m "
                    f"of at most {different}, or give more text"
                )

    def recurs(self, k: int) -> bool:
        """Whether the output k-gram of at least `RECURS` of the positions occurs again."""
        codes = self.grams.output(k).codes
        return bool((np.bincount(codes)[codes] > 1).mean() >= RECURS)

    def plan(self, targets: Sequence[tuple[int, int]], progress: Callable[[str, int, int], object] | None) -> None:
        each = 2 * len(SMOOTHING) * (len(self.betas) + 1)
        lengths = {(j, t) for k, t in targets for j in range(1, k + 1)}
        self.total, self.done, self.progress = each * (len(lengths) + sum(k for k, _ in targets)), 0, progress

    def _tick(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress("bound", min(self.done, self.total), self.total)

    def frontiers(self, k: int, target: int) -> Iterator[Frontier]:
        p = self._positions(k, target)
        judged = {"all": self.judges[p.document]}
        seen = p.is_seen & judged["all"]
        if np.bincount(p.half[seen], minlength=2).min() >= MIN_SEEN:
            judged["seen"] = seen
        judges = [_Judge(p, judged, half, self.blocks) for half in (1, 0)]  # of codes fitted to half 0, and to half 1
        points: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in judged}
        names: list[tuple[int, float, float, int]] = []
        for length in range(1, k + 1):
            for fitted in zip(*(self._fitted(length, target, half) for half in (0, 1)), strict=True):
                places = [judge.places(f.ladder, length) for judge, f in zip(judges, fitted, strict=True)]
                for codes in zip(*(f.codes for f in fitted), strict=True):
                    found = [
                        judge.of(code.assign(f.ladder.table(code.log_y))[place])
                        for judge, f, code, place in zip(judges, fitted, codes, places, strict=True)
                    ]
                    self._tick()
                    names.append((length, fitted[0].smoothing, codes[0].beta, codes[0].symbols))
                    for name in judged:
                        n = [judge.n(name) for judge in judges]
                        points[name].append(_mean(n, [one[name] for one in found]))
        band = saturation(p)
        for name, mask in judged.items():
            x, y = (np.stack([point[i] for point in points[name]]) for i in (0, 1))
            yield Frontier(
                k, target, name, int(mask.sum()), float(p.is_seen.mean()), tuple(names), x, y, band, self.m, self.hash
            )

    def _fitted(self, length: int, target: int, half: int) -> tuple[_Fitted, ...]:
        """What is fitted to the k-grams of a length on a half, by smoothing."""
        key = length, target, half
        if key not in self.fitted:
            p = self._positions(length, target)
            mine = p.half == half
            grams, y = [g[mine] for g in p.grams], p.y[mine]
            alphas = choose_alphas(grams, y)
            found = []
            for part in SMOOTHING:
                # half the memory traffic; a code that is off in its sixth digit is a code all the same, and is judged
                ladder = Ladder.of(grams, y, [part * a for a in alphas], np.float32)
                codes = anneal(ladder, self.m, self.betas, tick=self._tick, **self.settings)
                found.append(_Fitted(part, ladder, codes))
            self.fitted[key] = tuple(found)
        return self.fitted[key]


@dataclass(frozen=True, eq=False)
class _Fitted:
    smoothing: float
    ladder: Ladder
    codes: tuple[Code, ...]


class _Judge:
    """The positions of one half, on which codes that were fitted to the other are judged; labels are grouped once."""

    def __init__(
        self, p: Positions, judged: Mapping[str, npt.NDArray[np.bool_]], half: int, blocks: Ints | None
    ) -> None:
        here = judged["all"] & (p.half == half)
        self.grams, self.document, self.blocks = [g[here] for g in p.grams], p.document[here], blocks
        self.outputs = {}
        for name, mask in judged.items():
            at = np.flatnonzero(mask[here]).astype(np.int32)
            codes = np.unique(p.y[here][at], return_inverse=True)[1].reshape(-1).astype(np.int32)
            self.outputs[name] = at, Grouping.of(Labels(at, codes), self.document, blocks)

    def n(self, name: str) -> int:
        return len(self.outputs[name][0])

    def places(self, ladder: Ladder, length: int) -> npt.NDArray[np.int64]:
        return ladder.places(self.grams[:length])[0]

    def of(self, code: Floats) -> dict[str, tuple[Floats, Floats]]:
        """Complexity and relevance (1 + B,), from p(t | x) (n, t) at each position."""
        rows = Rows.of(code.astype(np.float16))
        return {name: self._coordinates(rows, *output) for name, output in self.outputs.items()}

    def _coordinates(self, rows: Rows, at: Ints, outputs: Grouping) -> tuple[Floats, Floats]:
        marginal = Marginal.of(rows, at, self.document, self.blocks)
        zero = np.zeros_like(marginal.ceiling)
        if not (marginal.ceiling > 1e-9).all():  # a code that keeps nothing
            return zero, zero
        found = information(rows, outputs, marginal, NullCurve.of(rows, at), thinned=True).thinned
        return marginal.ceiling_corrected, zero if found is None else found


def _judging(sizes: npt.NDArray[np.integer], half: Ints, most: int) -> npt.NDArray[np.bool_]:
    """(D,) the documents of each half that judge: in a random order, as long as `most` positions are not passed."""
    order = np.random.default_rng([0, 6]).permutation(len(sizes))
    judges = np.zeros(len(sizes), bool)
    for h in (0, 1):
        mine = order[half[order] == h]
        before = np.cumsum(sizes[mine]) - sizes[mine]
        judges[mine[(before + sizes[mine] <= most) | (before == 0)]] = True
    return judges


def _mean(n: Sequence[int], points: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    x, y = (sum(w * point[i] for w, point in zip(n, points, strict=True)) / sum(n) for i in (0, 1))
    return np.asarray(x), np.asarray(y)

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

Codes may be fitted on more text than is judged (`infoplane.bottleneck.fit_text`), and to what a teacher expects in
place of the tokens that follow. Whether there was enough is seen: codes are fitted to a quarter, a half and all of it,
and the frontier of each is kept. Above it stands the curve that the fit itself has for the k-grams that are judged
(`Frontier.upper_at`).

`all` positions is the frontier of the text. `seen` positions, those whose k-gram the other half has, are where a
model's own code can be reduced to the k-gram and compared (see `infoplane.measurement.frontier_gap`).

Saturation, I(X_k; Y) itself, is known as a band only: below, what the smoothed p(y | x) of one half saves on the other,
in cross-entropy against its p(y); above, the plug-in estimate.

Sources: Tishby, Pereira and Bialek (1999, arXiv physics/0004057) for the curve; cross-fitting as in Chernozhukov et
al., Econometrics Journal 21 (2018).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.backoff import Ladder, choose_alphas
from infoplane.bottleneck.blahut_arimoto import Code, anneal
from infoplane.bottleneck.bound_settings import MAX_ORDER
from infoplane.bottleneck.cross_fitting import Positions, Sample, saturation
from infoplane.bottleneck.fit_text import FitText, Joined
from infoplane.bottleneck.frontier_curve import Frontier, LessText
from infoplane.bottleneck.judging import Judge, judging_documents, mean_of_halves
from infoplane.errors import SettingError, TextError, check_whole
from infoplane.information import Floats
from infoplane.text import Windows

BETAS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
SMOOTHING = (1.0, 1 / 4, 1 / 32, 0.0)
"""Parts of the alpha that predicts best: less of it keeps more k-grams apart."""
TAUGHT = (1.0,)
"""The same with a teacher, of whose predictions the best alpha is small."""
SHARES = (1 / 4, 1 / 2, 1.0)
"""Parts of the text that codes are fitted on, each twice the one before."""
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
    fit: FitText | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> tuple[Frontier, ...]:
    """The frontiers of a text: for each order of all positions, then of the seen ones where there are enough.

    Args:
        windows: on which codes are judged.
        orders: of the input k-grams, of 1 to 3.
        m: symbols of a code.
        wide: the output k-gram too, as a target of its own, where at least half of the positions have one that recurs.
        betas, starts, forward, tolerance, seed: see `infoplane.bottleneck.blahut_arimoto.anneal`.
        fit: the text that codes are fitted on; by default the windows.
        progress: called with the stage, what is done and what there is to do.

    Raises:
        TextError: fewer than two documents, or one symbol only.
        SettingError: an order or m that is not possible.
    """
    settings: Annealing = {"starts": starts, "forward": forward, "tolerance": tolerance, "seed": seed}
    fitter = _Fitter(windows, fit, sorted(set(orders)), m, tuple(betas), settings)
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
        self,
        windows: Windows,
        fit: FitText | None,
        orders: list[int],
        m: int,
        betas: tuple[float, ...],
        settings: Annealing,
    ) -> None:
        if not orders or orders[0] < 1 or orders[-1] > MAX_ORDER:
            raise SettingError(f"orders {orders}: the bound is there for orders 1 to {MAX_ORDER}")
        if m < 2:
            raise SettingError(f"m = {m}: a code of one symbol, or of none, says nothing; expected 2 or more")
        check_whole("starts", settings["starts"], 1)
        self.orders, self.m, self.betas, self.settings, self.hash = orders, m, betas, settings, windows.hash
        self.joined = Joined.of(windows, orders[-1], fit)
        self.blocks = windows.blocks
        judges = judging_documents(windows.document_positions, self.joined.half[: len(windows.documents)], MOST_JUDGED)
        self.judges = np.append(judges, np.zeros(len(self.joined.half) - len(judges), bool))
        self.positions: dict[tuple[int, int], Positions] = {}
        self.fitted: dict[tuple[int, int, int, float], tuple[_Fitted, ...]] = {}
        for k in orders:
            self._check(k, self._positions(k, 1) if len(self.joined.grams.positions(k)) else None)

        self.taught = self._teaches()

    def _teaches(self) -> bool:
        """Whether there is a teacher that foretells tokens of the text from others better than counts do."""
        if self.joined.fit is None or self.joined.fit.predictions is None:
            return False
        p, gains = self._positions(self.orders[0], 1), list[float]()
        for half in (0, 1):
            by_teacher, by_counts = (p.sample(p.to_fit(half), taught) for taught in (True, False))
            gains += [_likelihood(by_teacher) - _likelihood(by_counts)]
        return sum(gains) > 0

    def smoothing(self, target: int) -> tuple[float, ...]:
        """A teacher foretells the next token alone; of more, codes are fitted to counts."""
        return TAUGHT if self.taught and target == 1 else SMOOTHING

    def _positions(self, order: int, target: int) -> Positions:
        key = order, target
        if key not in self.positions:
            self.positions[key] = Positions.of(self.joined, order, target)
        return self.positions[key]

    def _check(self, k: int, p: Positions | None) -> None:
        halves = (0, 1)
        if p is None or not all((p.judged & (p.half == h)).any() and p.to_fit(h).any() for h in halves):
            raise TextError(f"no position of order {k} in a half of the documents: use longer windows, or lower orders")
        if len(np.unique(p.y)) < 2:
            raise TextError("the text has one symbol only: there is nothing to foretell")
        different = min(len(np.unique(p.grams[0][p.to_fit(half)])) for half in halves)
        if self.m > different:
            raise SettingError(
                f"m = {self.m} symbols, and a half of the text has only {different} different tokens: choose an m "
                f"of at most {different}, or give more text"
            )

    def recurs(self, k: int) -> bool:
        """Whether the output k-gram of at least `RECURS` of the positions occurs again."""
        codes = self.joined.grams.output(k).codes
        return bool((np.bincount(codes)[codes] > 1).mean() >= RECURS)

    def plan(self, targets: Sequence[tuple[int, int]], progress: Callable[[str, int, int], object] | None) -> None:
        lengths = {(j, t) for k, t in targets for j in range(1, k + 1)}
        codes = len(self.betas) + 1
        fits = sum(2 * len(self.smoothing(t)) * codes for _, t in lengths)
        judged = sum(2 * len(self.smoothing(t)) * codes * k for k, t in targets)
        self.total, self.done, self.progress = len(SHARES) * (fits + judged // 2), 0, progress

    def _tick(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress("bound", min(self.done, self.total), self.total)

    def frontiers(self, k: int, target: int) -> Iterator[Frontier]:
        p = self._positions(k, target)
        judged = {"all": p.judged & self.judges[p.document]}
        seen = p.is_seen & judged["all"]
        if np.bincount(p.half[seen], minlength=2).min() >= MIN_SEEN:
            judged["seen"] = seen
        judges = [Judge(p, judged, half, self.blocks) for half in (1, 0)]  # of codes fitted to half 0, and to half 1
        parts = [self._judged(p, k, target, share, judges, tuple(judged)) for share in SHARES]
        # of few documents a share may be all of them
        parts = [one for one, more in itertools.pairwise(parts) if one.fitted_on < more.fitted_on] + parts[-1:]
        whole, band, fit = parts[-1], saturation(p), self.joined.fit
        for name, mask in judged.items():
            smaller = tuple(LessText(part.fitted_on, *part.points[name]) for part in parts[:-1])
            tangents = self._tangents(p, mask, k) if (name, target) == ("seen", 1) else None
            yield Frontier(
                k, target, name, int(mask.sum()), float(p.is_seen[p.judged].mean()), whole.codes,
                *whole.points[name],
                band, self.m, self.hash, whole.fitted_on, smaller, tangents,
                fit.teacher if fit is not None and self.taught and target == 1 else None,
                None if fit is None else fit.hash,
            )  # fmt: skip

    def _judged(
        self, p: Positions, k: int, target: int, share: float, judges: Sequence[Judge], names: Sequence[str]
    ) -> _Part:
        """What codes achieve that were fitted to a share of the text."""
        points: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in names}
        codes_of: list[tuple[int, float, float, int]] = []
        for length in range(1, k + 1):
            for fitted in zip(*(self._fitted(length, target, half, share) for half in (0, 1)), strict=True):
                places = [judge.places(f.ladder, length) for judge, f in zip(judges, fitted, strict=True)]
                for codes in zip(*(f.codes for f in fitted), strict=True):
                    found = [
                        judge.of(code.assign(f.ladder.table(code.log_y))[place])
                        for judge, f, code, place in zip(judges, fitted, codes, places, strict=True)
                    ]
                    self._tick()
                    codes_of.append((length, fitted[0].smoothing, codes[0].beta, codes[0].symbols))
                    for name in names:
                        n = [judge.n(name) for judge in judges]
                        points[name].append(mean_of_halves(n, [one[name] for one in found]))
        both = {name: (np.stack([x for x, _ in of]), np.stack([y for _, y in of])) for name, of in points.items()}
        fitted_on = int(np.mean([np.count_nonzero(self._mine(p, half, share)) for half in (0, 1)]))
        return _Part(fitted_on, tuple(codes_of), both)

    def _mine(self, p: Positions, half: int, share: float) -> npt.NDArray[np.bool_]:
        """Where codes of a half are fitted: documents in a random order, until they have a share of its positions."""
        mine = p.to_fit(half)
        if share == 1:
            return mine
        size = np.bincount(p.document[mine], minlength=len(self.joined.half))
        order = np.random.default_rng([0, 7]).permutation(len(size))
        before = np.cumsum(size[order]) - size[order]
        kept = np.zeros(len(size), bool)
        kept[order[before < share * size.sum()]] = True
        return mine & kept[p.document]

    def _fitted(self, length: int, target: int, half: int, share: float) -> tuple[_Fitted, ...]:
        """What is fitted to the k-grams of a length on a half, by smoothing."""
        key = length, target, half, share
        if key not in self.fitted:
            p = self._positions(length, target)
            sample = p.sample(self._mine(p, half, share), self.taught)
            alphas, _ = choose_alphas(sample.grams, sample.y, sample.expected)
            found = []
            for part in self.smoothing(target):
                ladder = _ladder(sample, [part * a for a in alphas])
                codes = anneal(ladder, self.m, self.betas, tick=self._tick, **self.settings)
                found.append(_Fitted(part, ladder, codes))
            self.fitted[key] = tuple(found)
        return self.fitted[key]

    def _tangents(self, p: Positions, seen: npt.NDArray[np.bool_], k: int) -> Floats:
        """(U, 2) of the curve that the fit has for the k-grams that are judged; see `Frontier.upper_at`."""
        found = []
        for half in (0, 1):
            ladder = _ladder(p.sample(p.to_fit(half), self.taught), [0.0] * k)
            here = seen & (p.half == 1 - half)
            at = ladder.at([gram[here] for gram in p.grams])
            codes = anneal(at, self.m, self.betas, **self.settings)
            x, y = (np.array([0.0, *(getattr(code, name) for code in codes)]) for name in ("complexity", "relevance"))
            # a code found for another beta, or none at all, may be better than the one that was found for this
            found.append([(1 / beta, float((y - x / beta).max())) for beta in (*self.betas, np.inf)])
        return np.asarray(np.mean(found, axis=0), np.float64)


def _likelihood(sample: Sample) -> float:
    return choose_alphas(sample.grams, sample.y, sample.expected)[1]


def _ladder(sample: Sample, alphas: Sequence[float]) -> Ladder:
    # half the memory traffic; a code that is off in its sixth digit is a code all the same, and is judged
    return Ladder.of(sample.grams, sample.y, alphas, np.float32, sample.expected)


@dataclass(frozen=True, eq=False)
class _Part:
    """Of a share of the text to fit on: positions, codes, and their points (C, 1 + B) by what is judged."""

    fitted_on: int
    codes: tuple[tuple[int, float, float, int], ...]
    points: Mapping[str, tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class _Fitted:
    smoothing: float
    ladder: Ladder
    codes: tuple[Code, ...]

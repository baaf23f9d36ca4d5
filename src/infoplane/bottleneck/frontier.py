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
The frontier F_k is the concave hull of all these points and the origin: by leaving some positions uncoded, everything
below a line between two codes can be reached. It is flat beyond the last code. As it is achieved, it is a lower
estimate of what is possible. Of many codes the best are taken on the text that judges them: that lifts the hull by a
part of the points' errors, which are large and alike.

Codes may be fitted on more text than is judged (`infoplane.bottleneck.fit_text`), and to what a teacher expects beside
the tokens that follow. Whether there was enough is seen: codes are fitted to a quarter, a half and all of it, and the
frontier of each is kept. How high the true curve may lie above it: `Frontier.upper_at`.

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
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.backoff import Ladder, choose_alphas
from infoplane.bottleneck.blahut_arimoto import Annealing, anneal, steps_of
from infoplane.bottleneck.bound_settings import MAX_ORDER
from infoplane.bottleneck.cross_fitting import Positions, Sample, saturation
from infoplane.bottleneck.fit_text import FitText, Joined
from infoplane.bottleneck.frontier_curve import Frontier, LessText
from infoplane.bottleneck.judging import Judge, judging_documents, mean_of_halves
from infoplane.bottleneck.side_by_side import Steps
from infoplane.errors import SettingError, TextError, check_whole
from infoplane.information import Floats
from infoplane.text import Windows

VERSION = 1
"""Of the fit: raised where code or a constant changes what is found, so that no bound of before is taken for it."""
BETAS = (1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
"""Close enough that the hull does not sag between two codes: with half of them it was up to 0.02 nats lower."""
SMOOTHING, TAUGHT = (1.0, 1 / 4, 1 / 32, 0.0), (1.0, 0.0)
"""Parts of the alpha that predicts best, less of which keeps more k-grams apart: without a teacher, and with one."""
TRUST = (16.0, 128.0, 1024.0, float("inf"))
"""Occurrences of a k-gram that weigh as much as what the teacher expects after it; see `backoff`."""
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
    threads: int | None = None,
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
        threads: by default as many as there are cores.
        progress: called with the stage, what is done and what there is to do.

    Raises:
        TextError: fewer than two documents, or one symbol only.
        SettingError: an order or m that is not possible.
    """
    if not orders or min(orders) < 1 or max(orders) > MAX_ORDER:
        raise SettingError(f"orders {sorted(set(orders))}: the bound is there for orders 1 to {MAX_ORDER}")
    if m < 2:
        raise SettingError(f"m = {m}: a code of one symbol, or of none, says nothing; expected 2 or more")
    check_whole("starts", starts, 1)
    settings: Annealing = {"starts": starts, "forward": forward, "tolerance": tolerance, "seed": seed}
    fitter = _Fitter(windows, fit, sorted(set(orders)), m, tuple(betas), settings, threads)
    targets = [(k, 1) for k in fitter.orders] + [(k, k) for k in fitter.orders if wide and k > 1 and fitter.recurs(k)]
    fitter.fit(targets, progress)
    return tuple(frontier for k, target in targets for frontier in fitter.frontiers(k, target))


class _Key(NamedTuple):
    """Codes of k-grams of a length, fitted to a share of a half, by a recipe."""

    length: int
    target: int
    half: int
    share: float
    trust: float
    smoothing: float = 1.0


class _Fitter:
    def __init__(
        self,
        windows: Windows,
        fit: FitText | None,
        orders: list[int],
        m: int,
        betas: tuple[float, ...],
        settings: Annealing,
        threads: int | None,
    ) -> None:
        self.orders, self.m, self.betas, self.settings, self.threads = orders, m, betas, settings, threads
        self.hash, self.blocks = windows.hash, windows.blocks
        self.joined = Joined.of(windows, orders[-1], fit)
        judges = judging_documents(windows.document_positions, self.joined.half[: len(windows.documents)], MOST_JUDGED)
        self.judges = np.append(judges, np.zeros(len(self.joined.half) - len(judges), bool))
        self.positions: dict[tuple[int, int], Positions] = {}
        for k in orders:
            self._check(k, self._positions(k, 1) if len(self.joined.grams.positions(k)) else None)

    def _trust(self, length: int) -> float:
        """How much the teacher is trusted after k-grams of a length: so that tokens are foretold best from others.

        One that alone foretells them worse than counts do is not asked.
        """
        if self.joined.fit is None or self.joined.fit.predictions is None:
            return 0.0
        p = self._positions(length, 1)

        def likelihood(trust: float, half: int) -> float:
            sample = p.sample(p.to_fit(half), trust)
            return choose_alphas(sample.grams, sample.y, sample.expected)[1]

        asked = {of: partial(likelihood, *of) for of in product((0.0, *TRUST), (0, 1))}
        found = Steps(len(asked)).side_by_side(asked, self.threads)
        of = {trust: found[trust, 0] + found[trust, 1] for trust in (0.0, *TRUST)}
        return max(TRUST, key=lambda trust: of[trust]) if of[np.inf] > of[0.0] else 0.0

    def recipes(self, length: int, target: int) -> list[tuple[float, float]]:
        """Trust in the teacher and smoothing of each fit; a teacher foretells the next token alone.

        The trust that foretells tokens best need not make the best codes, so there are some of the teacher alone.
        """
        trust = self.trust[length] if target == 1 else 0.0
        if trust == 0:
            return [(0.0, part) for part in SMOOTHING]
        return list(dict.fromkeys([*((trust, part) for part in TAUGHT), (np.inf, 0.0)]))

    def _positions(self, order: int, target: int) -> Positions:
        key = order, target
        if key not in self.positions:
            self.positions[key] = Positions.of(self.joined, order, target)
        return self.positions[key]

    def _check(self, k: int, p: Positions | None) -> None:
        if p is None or not all((p.judged & (p.half == h)).any() and p.to_fit(h).any() for h in (0, 1)):
            raise TextError(f"no position of order {k} in a half of the documents: use longer windows, or lower orders")
        if len(np.unique(p.y)) < 2:
            raise TextError("the text has one symbol only: there is nothing to foretell")
        different = min(len(np.unique(p.grams[0][p.to_fit(half)])) for half in (0, 1))
        if self.m > different:
            raise SettingError(
                f"m = {self.m} symbols, and a half of the text has only {different} different tokens: choose an m "
                f"of at most {different}, or give text with more of them"
            )

    def recurs(self, k: int) -> bool:
        """Whether the output k-gram of at least `RECURS` of the positions occurs again."""
        codes = self.joined.grams.output(k).codes
        return bool((np.bincount(codes)[codes] > 1).mean() >= RECURS)

    def fit(self, targets: Sequence[tuple[int, int]], progress: Callable[[str, int, int], object] | None) -> None:
        """Fit all codes, find what they achieve, and the tangents of what they were fitted to."""
        lengths = sorted({(j, t) for k, t in targets for j in range(1, k + 1)})
        # the largest first, so that no thread is left with one at the end
        shares, both = sorted(SHARES, reverse=True), (0, 1)
        self.trust = {length: self._trust(length) for length in range(1, self.orders[-1] + 1)}
        fits = [(*of, *recipe) for of in reversed(lengths) for recipe in self.recipes(*of)]
        keys = [_Key(j, t, half, share, *recipe) for share in shares for j, t, *recipe in fits for half in both]
        samples = dict.fromkeys(key._replace(smoothing=1.0) for key in keys)
        self.judged_by = {of: self._judges(*of) for of in targets}
        for of in lengths:
            self._positions(*of)  # made once, before several threads ask
        tangents = [(k, half) for k, t in targets for half in both if t == 1 and "seen" in self.judged_by[k, t][0]]
        judged = (len(self.betas) + 1) * len(keys)
        total = steps_of(self.betas, self.settings) * (len(keys) + len(tangents)) + judged
        steps = Steps(total, None if progress is None else partial(progress, "bound"))
        run = partial(steps.side_by_side, threads=self.threads)
        self.alphas = run({key: partial(self._alphas, key) for key in samples})
        self.fitted = run({key: partial(self._fitted, key, steps.tick) for key in keys})
        self.tangents = run({(k, half): partial(self._tangents, k, half, steps.tick) for k, half in tangents})

    def frontiers(self, k: int, target: int) -> Iterator[Frontier]:
        p, (judged, judges), both = self._positions(k, target), self.judged_by[k, target], (0, 1)
        keys = [_Key(j, target, 0, 1.0, *of) for j in range(1, k + 1) for of in self.recipes(j, target)]
        codes = tuple((key.length, key.trust, key.smoothing, *code) for key in keys for code in self.fitted[key].codes)
        fitted_on = [int(np.mean([np.count_nonzero(self._mine(p, half, share)) for half in both])) for share in SHARES]
        # of few documents a share may be all of them
        shares = [i for i, n in enumerate(fitted_on) if i + 1 == len(SHARES) or n < fitted_on[i + 1]]
        band, fit = saturation(p), self.joined.fit
        for name, mask in judged.items():
            n = [judge.n(name) for judge in judges]
            *smaller, whole = (
                LessText(fitted_on[i], *self._achieved(name, n, k, [key._replace(share=SHARES[i]) for key in keys]))
                for i in shares
            )
            tangents: Floats | None = None
            if (name, target) == ("seen", 1):
                tangents = np.mean([self.tangents[k, half] for half in both], axis=0, dtype=np.float64)
            yield Frontier(
                k, target, name, int(mask.sum()), float(p.is_seen[p.judged].mean()), codes,
                whole.complexity, whole.relevance, band, self.m, self.hash, whole.fitted_on, tuple(smaller), tangents,
                fit.teacher if fit is not None and self.trust[k] > 0 and target == 1 else None,
                None if fit is None else fit.hash,
            )  # fmt: skip

    def _achieved(self, name: str, n: Sequence[int], k: int, keys: Sequence[_Key]) -> tuple[Floats, Floats]:
        """(C, 1 + B) complexity and relevance of codes, the mean over both halves."""
        halves = ([p[name] for key in keys for p in self.fitted[key._replace(half=h)].points[k]] for h in (0, 1))
        x, y = zip(*(mean_of_halves(n, of) for of in zip(*halves, strict=True)), strict=True)
        return np.stack(x), np.stack(y)

    def _judges(self, k: int, target: int) -> tuple[Mapping[str, npt.NDArray[np.bool_]], tuple[Judge, Judge]]:
        """Where codes are judged, and who judges those fitted to half 0 and to half 1."""
        p = self._positions(k, target)
        judged = {"all": p.judged & self.judges[p.document]}
        seen = p.is_seen & judged["all"]
        if np.bincount(p.half[seen], minlength=2).min() >= MIN_SEEN:
            judged["seen"] = seen
        return judged, (Judge(p, judged, 1, self.blocks), Judge(p, judged, 0, self.blocks))

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

    def _sample(self, key: _Key) -> Sample:
        p = self._positions(key.length, key.target)
        return p.sample(self._mine(p, key.half, key.share), key.trust)

    def _alphas(self, key: _Key) -> tuple[float, ...]:
        sample = self._sample(key)
        return choose_alphas(sample.grams, sample.y, sample.expected)[0]

    def _fitted(self, key: _Key, tick: Callable[[], object]) -> _Fitted:
        alphas = self.alphas[key._replace(smoothing=1.0)]
        ladder = _ladder(self._sample(key), [key.smoothing * a for a in alphas])
        codes = anneal(ladder, self.m, self.betas, tick=tick, **self.settings)
        judges = {
            k: judges[key.half] for (k, t), (_, judges) in self.judged_by.items() if t == key.target and k >= key.length
        }
        places = {k: judge.places(ladder.known, key.length) for k, judge in judges.items()}
        points: dict[int, list[Mapping[str, tuple[Floats, Floats]]]] = {k: [] for k in judges}
        for code in codes:  # at once: what a code has for each k-gram is far larger than what is kept of it
            table = code.assign(ladder.table(code.log_y)).astype(np.float16)
            for k, judge in judges.items():
                points[k].append(judge.of(table[places[k]]))
            tick()
        return _Fitted(tuple((code.beta, code.symbols) for code in codes), points)

    def _tangents(self, k: int, half: int, tick: Callable[[], object]) -> list[tuple[float, float]]:
        """(U, 2) of the curve that the fit has for the k-grams that are judged; see `Frontier.upper_at`."""
        p = self._positions(k, 1)
        here = self.judged_by[k, 1][0]["seen"] & (p.half == 1 - half)
        at = _ladder(self._sample(_Key(k, 1, half, 1.0, self.trust[k])), [0.0] * k).at([gram[here] for gram in p.grams])
        codes = anneal(at, self.m, self.betas, tick=tick, **self.settings)
        x, y = (np.array([0.0, *(getattr(code, name) for code in codes)]) for name in ("complexity", "relevance"))
        # a code found for another beta, or none at all, may be better than the one that was found for this
        return [(1 / beta, float((y - x / beta).max())) for beta in (*self.betas, np.inf)]


def _ladder(sample: Sample, alphas: Sequence[float]) -> Ladder:
    # half the memory traffic; a code that is off in its sixth digit is a code all the same, and is judged
    return Ladder.of(sample.grams, sample.y, alphas, np.float32, sample.expected)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The (beta, symbols) of each code, and by order what it achieves on the half that it was not fitted to."""

    codes: tuple[tuple[float, int], ...]
    points: Mapping[int, Sequence[Mapping[str, tuple[Floats, Floats]]]]

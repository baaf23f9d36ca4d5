r"""The Information Bottleneck by Blahut and Arimoto: codes of at most m symbols, best for what they keep of X.

A code T of X, with p(t | x), minimises

    L = I(X; T) - beta I(T; Y)

and is a fixed point of

    p(t | x) = p(t) exp(beta sum_y p(y | x) log p(y | t)) / Z(x),
    p(t) = sum_x p(x) p(t | x),    p(y | t) = sum_x p(x) p(t | x) p(y | x) / p(t)

(the entropy of p(y | x) in the usual KL divergence is the same for all t). Each round of the three lowers L, so a code
converges, to a local minimum: which one depends on where it starts. Codes are followed from the largest beta to the
least, from several starts spread over the k-grams (reverse annealing: symbols die out as they lose their use), and
from the least to the largest, each symbol nudged at every step (forward annealing, which is slower and seldom
better); at each beta the best of all is kept, and tried again at the next. At the end beta is infinite: hard codes.

The state of a code is p(t) and log p(y | t) alone. p(t | x) is made from them when it is needed, a piece of the k-grams
at a time, so the alphabet of X costs time but no memory. The precision is that of the ladder.

Sources: Tishby, Pereira and Bialek, "The information bottleneck method" (1999, arXiv physics/0004057); Blahut and
Arimoto (1972). Annealing with pruning and this order of starts are worked out here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from infoplane.bottleneck.backoff import Ladder
from infoplane.information import Floats, negative_entropy

TOLERANCE, ROUNDS = 1e-6, 1000
_DEAD = 1e-9  # p(t) below which a symbol is dropped
_NUDGE = 0.05
_NOTHING = -60.0  # log p(t | x), less that of the likeliest symbol, below which it is 0


@dataclass(frozen=True, eq=False)
class Code:
    """A code of k-grams.

    Attributes:
        beta: what it is best for.
        log_p: (t,) log p(t).
        log_y: (Y, t) log p(y | t).
        complexity, relevance: I(X; T) and I(T; Y) on the sample it was made for, nats.
        rounds: until it converged; at the limit, `converged` is False.
    """

    beta: float
    log_p: Floats
    log_y: Floats
    complexity: float
    relevance: float
    rounds: int
    converged: bool

    @property
    def symbols(self) -> int:
        """Symbols in use."""
        return len(self.log_p)

    @property
    def lagrangian(self) -> float:
        """(I(X; T) - beta I(T; Y)) / beta, nats, the less the better; -I(T; Y) for hard codes."""
        return self.complexity / self.beta - self.relevance

    def assign(self, means: Floats) -> Floats:
        """(X, t) p(t | x), from the (X, t) means of `log_y` over p(y | x)."""
        return self.assign_with_entropy(means)[0]

    def assign_with_entropy(self, means: Floats) -> tuple[Floats, Floats]:
        """The same, and the (X,) entropies of its rows, nats."""
        if np.isinf(self.beta):
            hard = np.zeros_like(means)
            hard[np.arange(len(means)), means.argmax(1)] = 1
            return hard, np.zeros(len(means))
        logits = self.beta * means
        logits += self.log_p.astype(means.dtype)
        logits -= logits.max(1, keepdims=True)
        q = np.exp(logits)
        q[logits < _NOTHING] = 0  # the next products would take many times longer with numbers that are nearly 0
        total = q.sum(1)
        q /= total[:, None]
        return q, np.log(total) - np.einsum("xt,xt->x", q, logits)


class Annealing(TypedDict):
    """How codes are annealed; see `anneal`."""

    starts: int
    forward: bool
    tolerance: float
    seed: int


def steps_of(betas: Sequence[float], settings: Annealing) -> int:
    """How often `anneal` calls `tick`, the hard code included."""
    n = len(betas)
    return settings["starts"] * n + settings["forward"] * (2 * n - 1) + 1


def anneal(
    source: Ladder,
    m: int,
    betas: Sequence[float],
    *,
    starts: int = 1,
    forward: bool = True,
    hard: bool = True,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    tick: Callable[[], object] | None = None,
) -> tuple[Code, ...]:
    """The best code found for each beta, in ascending order of beta, the hard one last.

    Args:
        source: of p(x) and p(y | x).
        m: symbols at most.
        betas: above 1; below, no code keeps anything.
        starts: of reverse annealing.
        forward: whether to anneal forward too.
        hard: whether beta = infinity is asked for.
        tolerance: a code has converged when a round lowers L / beta by less, nats.
        seed: of the starts.
        tick: called after each code.
    """
    betas = sorted(betas)
    rng = np.random.default_rng([seed, 5])
    best: dict[float, Code] = {}

    def keep(code: Code) -> None:
        if code.beta not in best or code.lagrangian < best[code.beta].lagrangian - 1e-12:
            best[code.beta] = code
        if tick is not None:
            tick()

    for _ in range(starts):
        state = _start(source, m, rng)
        for beta in reversed(betas):
            code = _converged(source, tolerance, beta, *state)
            keep(code)
            state = code.log_p, code.log_y
    if forward:
        state = np.full(m, -np.log(m)), np.repeat(_log(source.unigram)[:, None], m, axis=1)
        for beta in betas:
            code = _converged(source, tolerance, beta, *_nudged(state, m, rng))
            keep(code)
            state = code.log_p, code.log_y
        for beta, neighbour in zip(betas[1:], betas[:-1], strict=True):
            keep(_converged(source, tolerance, beta, best[neighbour].log_p, best[neighbour].log_y))
    if hard:
        sharpest = best[betas[-1]]
        keep(_converged(source, tolerance, np.inf, sharpest.log_p, sharpest.log_y))
    return tuple(best[beta] for beta in sorted(best))


def _converged(source: Ladder, tolerance: float, beta: float, log_p: Floats, log_y: Floats) -> Code:
    last = np.inf
    for rounds in range(1, ROUNDS + 1):
        code, log_p, log_y = _round(source, beta, log_p, log_y)
        settled = last - code.lagrangian < tolerance
        if settled:
            return Code(beta, code.log_p, code.log_y, code.complexity, code.relevance, rounds, True)
        last = code.lagrangian
    return Code(beta, code.log_p, code.log_y, code.complexity, code.relevance, ROUNDS, False)


def _round(source: Ladder, beta: float, log_p: Floats, log_y: Floats) -> tuple[Code, Floats, Floats]:
    """One round: the code that p(t) and p(y | t) make, what it keeps, and the p(t) and p(y | t) that it makes."""
    code = Code(beta, log_p, log_y, 0.0, 0.0, 0, False)
    marginal = source.unigram @ log_y
    n = source.n
    p, joint, row_entropy, left = np.zeros(len(log_p)), np.zeros_like(log_y), 0.0, np.zeros(len(log_p))
    for piece in source.pieces:
        q, entropy = code.assign_with_entropy(piece.means(log_y, marginal)[-1])
        row_entropy += float(piece.n @ entropy)
        q *= piece.n[:, None]
        p += q.sum(0)
        left += piece.spread(q, joint)
    joint += source.unigram[:, None] * left.astype(joint.dtype)
    p /= n
    alive = p > _DEAD
    if not alive.all():
        joint, p = np.ascontiguousarray(joint[:, alive]), p[alive]
    joint /= joint.sum(0)
    # the logarithm of what is never seen is taken as that of a very small number: exp gives 0 all the same
    new_y = _log(joint)
    complexity = -float(negative_entropy(p)) - row_entropy / n
    relevance = float(p @ np.einsum("yt,yt->t", joint, new_y, dtype=np.float64) - negative_entropy(joint @ p))
    return Code(beta, log_p, log_y, complexity, relevance, 0, False), np.log(p / p.sum()), new_y


def _start(source: Ladder, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Symbols put at k-grams far from each other, the frequent ones likelier (k-means++, in KL divergence)."""
    weight = np.concatenate([piece.n for piece in source.pieces])
    ends = np.cumsum([len(piece.n) for piece in source.pieces])
    nearest = np.full(len(weight), -np.inf)  # cross-entropy to the best symbol so far, less what is the same for all
    entropy = _row_entropies(source)
    chosen: list[Floats] = []
    away = weight.copy()
    for _ in range(min(m, len(weight))):
        total = away.sum()
        if not total > 1e-12 * weight.sum():
            break
        x = int(rng.choice(len(weight), p=away / total))
        which = int(np.searchsorted(ends, x, side="right"))
        piece = source.pieces[which]
        single = np.zeros((len(piece.n), 1), source.unigram.dtype)
        single[x - (ends[which] - len(piece.n))] = 1
        y = np.zeros((len(source.unigram), 1), source.unigram.dtype)
        y[:, 0] += piece.spread(single, y) * source.unigram
        y = 0.9 * y[:, 0] + 0.1 * source.unigram
        chosen.append(y)
        log_y = _log(y)[:, None]
        marginal = source.unigram @ log_y
        scores = np.concatenate([p.means(log_y, marginal)[-1][:, 0] for p in source.pieces])
        nearest = np.maximum(nearest, scores)
        away = weight * np.maximum(-nearest - entropy, 0)
    return np.full(len(chosen), -np.log(len(chosen))), _log(np.stack(chosen, 1))


def _row_entropies(source: Ladder) -> Floats:
    """(X,) about H(Y | x): that of the k-gram's own counts, which is enough to choose starts by."""
    entropies = []
    for piece in source.pieces:
        counts, n = piece.rungs[-1].counts, piece.rungs[-1].n
        data = counts.data * np.log(counts.data)
        rows = np.repeat(np.arange(len(n)), np.diff(counts.indptr))
        entropies.append(np.log(n) - np.bincount(rows, data, minlength=len(n)) / n)
    return np.concatenate(entropies)


def _nudged(state: tuple[Floats, Floats], m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """All m symbols again, each away from where it was: those that died come back as twins of the likeliest."""
    log_p, log_y = state
    if len(log_p) < m:
        twins = np.argsort(-log_p)[np.arange(m - len(log_p)) % len(log_p)]
        log_p, log_y = np.concatenate([log_p, log_p[twins]]), np.concatenate([log_y, log_y[:, twins]], 1)
    y = np.exp(log_y) * np.exp(_NUDGE * rng.normal(size=log_y.shape))
    p = np.exp(log_p - log_p.max())
    return np.log(p / p.sum()), _log((y / y.sum(0)).astype(log_y.dtype))


def _log(x: Floats) -> Floats:
    """log x, of 0 as that of the smallest number there is; in the precision of x."""
    logarithm: Floats = np.log(np.maximum(x, np.finfo(x.dtype).tiny))
    return logarithm

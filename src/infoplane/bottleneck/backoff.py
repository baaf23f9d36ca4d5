r"""Conditional distributions of k-grams, each backed off to the k-gram one shorter: p(y | x) on a ladder.

With n_xy counts of y after the k-gram x, n_x their sum and x' the k-gram without its first token,

    p(y | x) = (n_xy + alpha_k p(y | x')) / (n_x + alpha_k),     p(y) = n_y / N,

an interpolated Dirichlet prior (MacKay and Peto, "A hierarchical Dirichlet language model", Natural Language
Engineering 1, 1995). alpha_k is the one under which the text would be likeliest if each token were predicted from all
others (leave one out). With alpha = 0 it is the text's own joint distribution, not smoothed.

A teacher, a language model that read the text, says more of what comes after a k-gram than the few tokens that did.
With `q_i(y)` its distribution at position i and `q_x(y)` its mean over the n_x occurrences of the k-gram x,

    n_xy gives way to n_x (n_xy + tau q_x(y)) / (n_x + tau),

the counts under a Dirichlet prior of weight tau around the teacher: where a k-gram is frequent its own tokens decide,
and a teacher that is a little wrong does no harm. tau and alpha_k are chosen as before: each token is predicted from
what is known elsewhere. With tau = 0 nothing is left of the teacher, which is right for one that was not trained.

Rows of p(y | x) have as many entries as there are words, but never need to be made. A sum over y, `sum_y p(y | x)
f(y, t)`, is the sum over the few y that x was seen with and a part of the sum of x'; and the other way round, what is
spread over x goes to its own y and in part on to x'. k-grams are dealt to pieces by their last token, so that a piece
holds the whole ladder of each of its k-grams and work on one is bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from infoplane.bottleneck.known_grams import Ints, KnownGrams
from infoplane.bottleneck.sparse_products import add_products
from infoplane.information import Floats

ALPHAS = tuple(2.0**k for k in range(-3, 11))
_PIECE = 8192  # k-grams worked on at a time


@dataclass(frozen=True, eq=False)
class Expected:
    """What comes after each of n positions: the tokens that did, or those that a teacher expects.

    Attributes:
        words: (n, K) codes from 0; one that stands twice counts twice.
        weights: (n, K) of each row, adding up to 1.
    """

    words: npt.NDArray[np.integer]
    weights: npt.NDArray[np.floating]

    @classmethod
    def of_tokens(cls, y: npt.NDArray[np.integer]) -> Expected:
        """The tokens (n,) themselves."""
        return cls(y[:, None], np.ones((len(y), 1)))

    def at(self, positions: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Expected:
        """Of some positions."""
        return Expected(self.words[positions], self.weights[positions])

    def with_tokens(self, y: npt.NDArray[np.integer], part: npt.NDArray[np.floating]) -> Expected:
        """The tokens (n,) that followed have a part (n,) of the weight, what was expected has the rest."""
        weights = np.concatenate((self.weights * (1 - part)[:, None], part[:, None]), axis=1)
        return Expected(np.concatenate((self.words, y[:, None]), axis=1), weights.astype(self.weights.dtype))

    def of(self, y: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """(n,) the weight of one word at each position."""
        return np.asarray(np.where(self.words == y[:, None], self.weights, 0.0).sum(1), np.float64)


@dataclass(frozen=True, eq=False)
class Rung:
    """k-grams of one length in one piece.

    Attributes:
        code: (X,) what they are called outside.
        parent: (X,) the place of each one's shorter k-gram on the rung below.
        words: (V,) those of the Y words that come after any of them, ascending.
        counts: (X, V) sparse, of what comes after.
        own: (X,) the part n_x / (n_x + alpha) that its own counts have.
        weight: (X,) what each counts for in p(x); by default as often as it occurs.
    """

    code: Ints
    parent: Ints
    words: Ints
    counts: sparse.csr_array
    own: Floats
    weight: Floats | None = None

    @cached_property
    def n(self) -> Floats:
        """(X,) occurrences."""
        return np.asarray(self.counts.sum(1))

    @cached_property
    def rest(self) -> Floats:
        """(X, 1) the part that is left to the shorter k-gram."""
        return 1 - self.own[:, None]

    @cached_property
    def spread(self) -> sparse.csr_array:
        """(X, V) each row's own part of p(y | x)."""
        return sparse.csr_array(sparse.diags_array(self.own / self.n) @ self.counts)

    @cached_property
    def columns(self) -> Ints:
        """The words of the entries of `spread`."""
        columns: Ints = self.words[self.spread.indices]
        return columns

    @cached_property
    def rows(self) -> Ints:
        """(X,) their own places."""
        return np.arange(len(self.own))

    @cached_property
    def gathered(self) -> sparse.csr_array:
        """(V, X) the same, turned."""
        return sparse.csr_array(self.spread.T)

    @cached_property
    def to_parents(self) -> sparse.csr_array:
        """(parents, X) what each row hands on to its shorter k-gram."""
        entries = (self.rest[:, 0], (self.parent, np.arange(len(self.own))))
        return sparse.csr_array(entries, shape=(int(self.parent[-1]) + 1, len(self.own)))


@dataclass(frozen=True, eq=False)
class Piece:
    """The ladders of some k-grams: rungs of lengths 1 to k."""

    rungs: tuple[Rung, ...]

    @property
    def n(self) -> Floats:
        """(X,) what the k-grams count for: occurrences, if nothing else was said."""
        top = self.rungs[-1]
        return top.n if top.weight is None else top.weight

    def means(self, f: Floats, marginal: Floats) -> tuple[Floats, ...]:
        """On each rung the (X, t) means of f (Y, t) over p(y | x); `marginal` (t,) is the mean over p(y)."""
        means, below = [], marginal[None]
        for rung in self.rungs:
            part = below[rung.parent]
            part *= rung.rest
            a = rung.spread
            add_products(a.indptr, rung.columns, a.data, f, rung.rows, part)
            means.append(part)
            below = part
        return tuple(means)

    def spread(self, w: Floats, out: Floats) -> Floats:
        """Add sum_x w (X, t) p(y | x) to `out` (Y, t), and return (t,) what is left for p(y)."""
        for rung in reversed(self.rungs):
            a = rung.gathered
            add_products(a.indptr, a.indices, a.data, np.ascontiguousarray(w), rung.words, out)
            w = rung.to_parents @ w
        return np.asarray(w[0])


@dataclass(frozen=True, eq=False)
class Ladder:
    """p(y | x) of all k-grams of a text.

    Attributes:
        pieces: k-grams by their last token.
        unigram: (Y,) p(y), in the precision of all work on the ladder.
    """

    pieces: tuple[Piece, ...]
    unigram: Floats

    @classmethod
    def of(
        cls,
        grams: Sequence[npt.NDArray[np.integer]],
        y: npt.NDArray[np.integer],
        alphas: Sequence[float],
        dtype: npt.DTypeLike = np.float64,
        expected: Expected | None = None,
    ) -> Ladder:
        """Count a sample.

        Args:
            grams: for each length 1 to k the (n,) codes of the k-gram at each position; equal k-grams have equal
                shorter ones.
            y: (n,) codes from 0 of what comes after.
            alphas: of each length; see `choose_alphas`.
            dtype: float64, or float32 where what is made is judged afterwards and a code need not be exact.
            expected: what a teacher expects at each position, in place of `y`.
        """
        after = Expected.of_tokens(y) if expected is None else expected
        words = int(after.words.max()) + 1 if len(y) else 0
        total = np.bincount(after.words.ravel(), after.weights.ravel(), minlength=words)
        unigram = (total / max(len(y), 1)).astype(dtype)
        # by last token, then the one before: k-grams of one shorter k-gram stand side by side
        rank = np.lexsort(tuple(reversed(grams)))
        sizes = np.bincount(grams[0])
        bins = np.cumsum(sizes) // _PIECE
        cuts = np.searchsorted(bins[grams[0][rank]], np.arange(int(bins[-1]) + 2))
        pieces = []
        for first, last in itertools.pairwise(cuts.tolist()):
            if last > first:
                piece = rank[first:last]
                pieces.append(_piece([g[piece] for g in grams], after.at(piece), alphas, dtype))
        return cls(tuple(pieces), unigram)

    @cached_property
    def n(self) -> float:
        """Positions."""
        return float(sum(p.n.sum() for p in self.pieces))

    def at(self, grams: Sequence[npt.NDArray[np.integer]]) -> Ladder:
        """The same p(y | x) under the p(x) of other positions: whose k-grams (n,) are all there."""
        count = np.bincount(grams[-1])
        pieces = []
        for piece in self.pieces:
            top = piece.rungs[-1]
            there = top.code < len(count)
            weight = np.where(there, count[np.minimum(top.code, len(count) - 1)], 0).astype(self.unigram.dtype)
            pieces.append(Piece((*piece.rungs[:-1], replace(top, weight=weight))))
        return Ladder(tuple(pieces), self.unigram)

    def table(self, f: Floats) -> Floats:
        """(1 + all k-grams of all lengths, t) means of f (Y, t) over p(y | x): first over p(y), then rung by rung."""
        marginal = self.unigram @ f
        means = [piece.means(f, marginal) for piece in self.pieces]
        return np.concatenate([marginal[None], *(np.concatenate(rung) for rung in zip(*means, strict=True))])

    @cached_property
    def known(self) -> KnownGrams:
        """Where in `table` each k-gram is."""
        rungs, first = [], 1
        for rung in range(len(self.pieces[0].rungs)):
            codes = np.concatenate([piece.rungs[rung].code for piece in self.pieces])
            order = np.argsort(codes)
            rungs.append((codes[order], first + order))
            first += len(codes)
        return KnownGrams(tuple(rungs))


def _piece(
    grams: Sequence[npt.NDArray[np.integer]], after: Expected, alphas: Sequence[float], dtype: npt.DTypeLike
) -> Piece:
    rungs = []
    words, word = np.unique(after.words.ravel(), return_inverse=True)
    weights, each = after.weights.ravel().astype(dtype), after.words.shape[1]
    parent_of = np.zeros(len(after.words), np.int64)
    for gram, alpha in zip(grams, alphas, strict=True):
        new = np.ones(len(gram), bool)
        new[1:] = gram[1:] != gram[:-1]
        row = np.cumsum(new) - 1
        entries = (weights, (np.repeat(row, each), word.reshape(-1)))
        counts = sparse.csr_array(entries, shape=(int(row[-1]) + 1, len(words)))
        counts.eliminate_zeros()
        n = np.bincount(row)
        own = (n / (n + alpha)).astype(dtype)
        rungs.append(Rung(gram[new].astype(np.int64), parent_of[new], words, counts, own))
        parent_of = row
    return Piece(tuple(rungs))


def choose_alphas(
    grams: Sequence[npt.NDArray[np.integer]], y: npt.NDArray[np.integer], expected: Expected | None = None
) -> tuple[tuple[float, ...], float]:
    """For each length the alpha of `ALPHAS` under which each token is likeliest given all others; and how likely it is.

    One length after the other, the shorter ones settled. With a teacher: given what it expects at all other positions.
    The likelihood is the mean logarithm over positions, nats.
    """
    n = len(y)
    after = Expected.of_tokens(y) if expected is None else expected
    words = max(int(y.max()), int(after.words.max())) + 1
    own = after.of(y)  # left out, as the token is, of all that predicts it
    total = np.bincount(after.words.ravel(), after.weights.ravel(), minlength=words)
    # a word seen once keeps half an occurrence, so that nothing is impossible
    below = np.maximum(total[y] - own, 0.5) / max(n - 1, 1)
    chosen = []
    for gram in grams:
        others = np.maximum(_of_pairs(gram, y, after, words) - own, 0.0)
        of_all = np.bincount(gram)[gram] - 1.0
        likely = [float(np.log((others + a * below) / (of_all + a)).mean()) for a in ALPHAS]
        best = ALPHAS[int(np.argmax(likely))]
        chosen.append(best)
        below = (others + best * below) / (of_all + best)
    return tuple(chosen), float(np.log(below).mean())


def _of_pairs(
    gram: npt.NDArray[np.integer], y: npt.NDArray[np.integer], after: Expected, words: int
) -> npt.NDArray[np.float64]:
    """(n,) weight of each position's own token over all occurrences of its k-gram."""
    asked, at = np.unique(gram.astype(np.int64) * words + y, return_inverse=True)
    told = gram.astype(np.int64)[:, None] * words + after.words
    place = np.minimum(np.searchsorted(asked, told), len(asked) - 1)
    here = asked[place] == told
    total = np.bincount(place[here], after.weights[here], minlength=len(asked))
    return np.asarray(total[at.reshape(-1)], np.float64)

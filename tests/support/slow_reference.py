"""The estimators written a second time, from docs/reference/estimator-definition.md alone; the library is not imported.

Slow and plain: a loop for each "for each" of the page, whose sections the headings name. Arrays go in: assignments
(N, m), the document of every row (N,), and its label (N,), -1 for a row that is not in the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import interpolate, optimize, special

BLOCKS, LEAST_DOCUMENTS = 32, 40
EDGES = np.array([2, 3, 4, 5, 7, 10, 15, 22, 32, 48, 64, 128, 256, 1024])
LINE_THROUGH = 4
LEAST_COUNT = 5  # of a label under uniform weights
SOLO, LEFT_OUT = "solo", "left out"
KAPPAS = (2, 3, 4, 5, 6.5, 8, 10, 13, 16, 20, 25, 32, 40, 60, 90, 130, 200)


def entropy(p: np.ndarray) -> np.ndarray:
    """Over the last axis, nats."""
    return special.entr(p).sum(-1)


def generator(seed: int | Sequence[int]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


# ---------------------------------------------------------------- 1. from states to assignments


def reference_points(m: int, d: int, seed: int, r: int = 0, layer: str = "") -> np.ndarray:
    name = sum(byte * 256**place for place, byte in enumerate(layer.encode()))
    shared = [seed, m, d] if not layer and r == 0 else [seed, r, name, m, d]
    w = generator(shared).standard_normal((m, d))
    return w / np.sqrt((w**2).sum(1, keepdims=True))


def temperature(m: int, d: int) -> float:
    nu = d / 2 - 1

    def divergence(kappa: float) -> float:
        log_bessel = np.log(special.ive(nu, kappa)) + kappa
        ratio = special.ive(nu + 1, kappa) / special.ive(nu, kappa)
        return kappa * ratio - (special.gammaln(d / 2) + nu * np.log(2 / kappa) + log_bessel)

    return 1 / optimize.brentq(lambda kappa: divergence(kappa) - np.log(m), 1e-3, 1e4, xtol=1e-13, rtol=1e-14)


def assign(z: np.ndarray, points: np.ndarray, eps: float) -> np.ndarray:
    cosine = z @ points.T / np.linalg.norm(z, axis=1, keepdims=True)
    a = np.exp(cosine / eps)
    return a / a.sum(1, keepdims=True)


def rows_of(assignments: np.ndarray) -> np.ndarray:
    x = assignments.astype(np.float64)
    return x / x.sum(1, keepdims=True)


# ---------------------------------------------------------------- 2. positions, labels and their order


def windows_of(sizes: Sequence[int], budget: int, context: int, before: int, seed: int) -> list[tuple[int, int, int]]:
    """Document, first token and last + 1 of each window, from the tokens of each document."""
    kept, held = [], 0
    for looked_at, document in enumerate(generator(seed).permutation(len(sizes)).tolist()):
        if looked_at >= max(1, budget // 64) and held >= budget:
            break
        if sizes[document] >= 8:
            kept.append(document)
            held += sizes[document]
    depth = {d: sizes[d] for d in kept}
    if held > budget:
        level = max((L for L in range(max(sizes)) if sum(min(sizes[d], L) for d in kept) <= budget), default=0)
        depth = {d: min(sizes[d], max(level, 8)) for d in kept}
        left, running = budget - sum(depth.values()), 0
        for d in kept:
            if left > 0 and sizes[d] > level:
                depth[d] += 1
                left -= 1
            running += depth[d]
            if running > budget:
                depth[d] = 0
    step, windows = context - before, []
    for document in sorted(kept):
        for first in range(0, depth[document], step):
            last = min(first + step, depth[document])
            if last - first >= 8:
                windows.append((document, first, last))
    return sorted(windows, key=lambda w: (w[1] - w[2], w[0], w[1]))


def gram_labels(
    tokens: Sequence[int], window: Sequence[int], is_text: Sequence[bool], is_position: Sequence[bool],
    side: str, order: int, at: int,
) -> np.ndarray:  # fmt: skip
    """(N,) the label of the order and side at every row, -1 for rows outside P_at."""

    def whole(first: int, last: int) -> bool:
        if first < 0 or last >= len(tokens):
            return False
        return window[first] == window[last] and all(is_text[first : last + 1])

    grams: list[tuple[int, ...] | None] = []
    for i in np.flatnonzero(is_position).tolist():
        if whole(i - at + 1, i) and whole(i + 1, i + at) and window[i] == window[i + 1]:
            first = i - order + 1 if side == "input" else i + 1
            grams.append(tuple(int(t) for t in tokens[first : first + order]))
        else:
            grams.append(None)
    number = {gram: rank for rank, gram in enumerate(sorted({g for g in grams if g is not None}))}
    return np.array([-1 if g is None else number[g] for g in grams])


def permuted(labels: np.ndarray) -> np.ndarray:
    out, sample = labels.copy(), labels >= 0
    out[sample] = generator([0, 1]).permutation(labels[sample])
    return out


def dealt_within(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Labels of some rows, dealt anew within each group."""
    number = generator([0, 4]).random(len(rows))
    out = labels.copy()
    for g in np.unique(groups[rows]):
        own = groups[rows] == g
        out[rows[own]] = labels[rows[own]][np.argsort(number[own])]
    return out


def shifted(labels: np.ndarray, documents: np.ndarray) -> np.ndarray:
    rows = sorted(np.flatnonzero(labels >= 0).tolist(), key=lambda i: (documents[i], i))
    out, n = labels.copy(), len(rows)
    for i in range(n):
        out[rows[i]] = labels[rows[i - n // 2]]
    return out


# ---------------------------------------------------------------- 3. blocks of documents


def blocks_of(documents: np.ndarray) -> np.ndarray | None:
    """(D,) the block of each document."""
    size = np.bincount(documents)
    if np.count_nonzero(size) < LEAST_DOCUMENTS:
        return None
    block, filled = np.zeros(len(size), int), [0] * BLOCKS
    for document in sorted(range(len(size)), key=lambda g: (-size[g], g)):
        block[document] = filled.index(min(filled))
        filled[block[document]] += size[document]
    return block


# ---------------------------------------------------------------- 4. the ceiling


def half_variance_over(variance: np.ndarray, p: np.ndarray) -> float:
    there = p > 0
    return float((variance[there] / p[there]).sum() / 2)


def ceiling(x: np.ndarray, documents: np.ndarray) -> tuple[float, float, int]:
    """C_plugin, C and n of some rows."""
    n, p = len(x), x.mean(0)
    plain = float(entropy(p) - entropy(x).mean())
    there, of = np.unique(documents, return_inverse=True)
    if len(there) == 1:
        return plain, plain, n
    size, total = np.bincount(of), np.zeros((len(there), x.shape[1]))
    np.add.at(total, of, x)
    spread = sum(size[g] ** 2 * (total[g] / size[g] - p) ** 2 for g in range(len(there)))
    variance = len(there) / (len(there) - 1) * spread / n**2
    return plain, plain + half_variance_over(variance, p), n


# ---------------------------------------------------------------- 5. what is computed of a label


@dataclass
class Label:
    """One label of a sample; dictionaries by block or by document."""

    code: int
    rows: np.ndarray
    n: int
    p: np.ndarray
    h: float
    G: float
    S: int
    of_document: dict[int, np.ndarray]
    of_block: dict[int, np.ndarray]
    share: dict[int, float] = field(default_factory=dict)
    kind: int | str = SOLO

    def n_in(self, b: int) -> int:
        return len(self.of_block[b]) if b in self.of_block else 0


class Question:
    """Labels on a sample of the rows of a layer."""

    def __init__(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        documents: np.ndarray,
        block_of_document: np.ndarray | None,
        uniform: bool = False,
        least: int = LEAST_DOCUMENTS,
        true_documents: np.ndarray | None = None,
    ) -> None:
        self.uniform = uniform
        self.true_documents = documents if true_documents is None else true_documents
        self.sample = np.flatnonzero(labels >= 0)
        touched = np.unique(documents[self.sample])
        self.block = None
        if block_of_document is not None and len(touched) >= least:
            self.block = block_of_document[documents]
        self.B = 0 if self.block is None else int(block_of_document.max()) + 1
        self.x, self.h, self.documents = rows, entropy(rows), documents
        self.labels = [self._label(code, np.flatnonzero(labels == code)) for code in np.unique(labels[labels >= 0])]
        self.rho = self._rho(rows.mean(0))
        for one in self.labels:
            one.kind = self._class(one)
        self._partners()
        self.kept = [one for one in self.labels if one.kind != LEFT_OUT]

    def _label(self, code: int, rows: np.ndarray) -> Label:
        p = self.x[rows].mean(0)
        h = float(self.h[rows].mean())
        of_document = {int(g): rows[self.documents[rows] == g] for g in np.unique(self.documents[rows])}
        of_block = {}
        if self.block is not None:
            of_block = {int(b): rows[self.block[rows] == b] for b in np.unique(self.block[rows])}
        square = sum(len(r) ** 2 for r in of_document.values())
        one = Label(
            code, rows, len(rows), p, h, len(rows) * float(entropy(p) - h), square, of_document, of_block
        )  # fmt: skip
        log_p = np.log(np.where(p > 0, p, 1))
        for b, r in of_block.items():
            one.share[b] = float(-(self.x[r] @ log_p).sum() - self.h[r].sum())
        return one

    def _class(self, one: Label) -> int | str:
        if self.uniform and one.n < LEAST_COUNT:
            return LEFT_OUT
        if len(one.of_document) == 1:
            return SOLO
        return int(np.flatnonzero(one.n >= EDGES)[-1])

    def _partners(self) -> None:
        """Shares with the partner's part, in the place of shares."""
        lent: dict[int | str, list[tuple[Label, int, float, float, int]]] = {}
        for one in self.labels:
            if len(one.of_block) == 2:
                b, c = one.of_block
                q = (one.n_in(b) ** 2 + one.n_in(c) ** 2) / one.n**2
                part = (np.sqrt(1 - q) - (1 - q)) / q
                for here, there in ((b, c), (c, b)):
                    lent.setdefault(one.kind, []).append((one, here, part, one.share[there], one.n_in(there)))
        for group in lent.values():
            mu = sum(part * share for _, _, part, share, _ in group) / sum(part * n for _, _, part, _, n in group)
            for one, here, part, share, n in group:
                one.share[here] += part * (share - mu * n)

    def _rho(self, q: np.ndarray) -> float:
        metric = np.where(q > 0, 1 / np.where(q > 0, q, 1), 0)
        inside = between = 0.0
        for one in self.labels:
            if not one.n < one.S < one.n**2:
                continue
            A = sum(float((self.x[i] ** 2) @ metric) for i in one.rows)
            W = sum(float(self.x[r].sum(0) ** 2 @ metric) for r in one.of_document.values())
            s = self.x[one.rows].sum(0)
            cross = (float(s**2 @ metric) - W) / (one.n**2 - one.S)
            inside += one.n * ((W - A) / (one.S - one.n) - cross)
            between += one.n * (A / one.n - cross)
        return min(max(inside / between, 0.0), 1.0) if between > 0 else 0.0

    # ------------------------------------------------------------ 4 and 10: ceilings, whole and without each block

    @cached_property
    def ceilings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(1 + B,) C_plugin, C and n."""
        if self.uniform:
            return self._uniform_ceilings()
        found = [ceiling(self.x[self.sample], self.true_documents[self.sample])]
        for b in range(self.B):
            left = self.sample[self.block[self.sample] != b]
            found.append(ceiling(self.x[left], self.true_documents[left]))
        return tuple(np.array(column, dtype=float) for column in zip(*found, strict=True))

    def _uniform_ceilings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        L = len(self.kept)
        if L == 0:
            empty = np.full(1 + self.B, np.nan)
            return empty, empty, empty
        n = np.full(1 + self.B, float(L))
        u = np.repeat(np.sum([one.p for one in self.kept], axis=0)[None], 1 + self.B, axis=0)
        h = np.full(1 + self.B, np.sum([one.h for one in self.kept]))
        residual = {g: np.zeros(self.x.shape[1]) for one in self.labels if one.n >= 2 for g in one.of_document}
        for one in self.kept:
            stays = one.kind != SOLO
            for b, r in one.of_block.items():
                n[1 + b] -= not stays
                u[1 + b] -= (self.x[r].sum(0) - stays * len(r) * one.p) / one.n
                h[1 + b] -= (self.h[r].sum() - stays * len(r) * one.h) / one.n
            for g, r in one.of_document.items():
                residual[g] += (self.x[r] - (one.p if stays else u[0] / L)).sum(0) / (L * one.n)
        G = len(residual)
        variance = G / (G - 1) * sum(v**2 for v in residual.values()) if G > 1 else 0 * u[0]
        n = np.maximum(n, 1)
        u /= n[:, None]
        plain = entropy(u) - h / n
        return plain, plain + half_variance_over(variance, u[0]), n

    # ------------------------------------------------------------ 8 and 10: what classes add up to

    def _sums(self, labels: list[Label]) -> tuple[np.ndarray, np.ndarray]:
        """(1 + B,) of some labels the mass, and the sum of G (of G / n under uniform weights)."""
        mass, gap = np.zeros(1 + self.B), np.zeros(1 + self.B)
        for one in labels:
            mass += 1 if self.uniform else one.n
            gap += one.G / one.n if self.uniform else one.G
            for b, share in one.share.items():
                if self.uniform and one.kind == SOLO:
                    mass[1 + b] -= 1
                    gap[1 + b] -= share / one.n
                elif self.uniform:
                    gap[1 + b] -= (share - one.n_in(b) * one.G / one.n) / one.n
                else:
                    mass[1 + b] -= one.n_in(b)
                    gap[1 + b] -= share
        return mass, gap

    def plugin(self) -> np.ndarray | None:
        if not self.kept:
            return None
        plain, _, n = self.ceilings
        return plain - self._sums(self.kept)[1] / n

    def corrected(self, curve: NullCurve, beta: np.ndarray | None = None) -> np.ndarray | None:
        """The null curve's estimate; with beta (kappas, 1 + B), weights of kappas included, that of `thinned`."""
        _, C, n = self.ceilings
        kinds = sorted({one.kind for one in self.kept if isinstance(one.kind, int)})
        if not kinds:
            return None
        if (C <= 1e-12).any():
            return C
        masses, excesses = [], []
        for kind in kinds:
            labels = [one for one in self.kept if one.kind == kind]
            M, gap = self._sums(labels)
            D = np.divide(gap, M, out=np.zeros_like(gap), where=M > 1e-9)
            inverse = (
                sum(((1 - self.rho) + self.rho * one.S / one.n) / (one.n if self.uniform else 1) for one in labels)
                / M[0]
            )
            n_star = 1 / min(max(inverse, 1e-12), 1 - 1e-9)
            u = curve.excess(D / C, n_star)
            if beta is not None:
                v = np.clip(u, -1, 2)
                u = u + v * (1 - v) * sum(of / (n_star + kappa) for of, kappa in zip(beta, KAPPAS, strict=True))
            masses.append(M)
            excesses.append(C * u)
        total = sum(M * E for M, E in zip(masses, excesses, strict=True))
        solo = self._sums([one for one in self.kept if one.kind == SOLO])[0]
        return C - (total + solo * line(EDGES[kinds], masses, excesses)) / n


def line(edges: np.ndarray, masses: list[np.ndarray], excesses: list[np.ndarray]) -> np.ndarray:
    """(1 + B,) the line through the first classes, at n = 1."""
    out = np.zeros_like(excesses[0])
    x = np.log(edges[:LINE_THROUGH])
    for i in range(len(out)):
        v = np.array([np.sqrt(M[i]) for M in masses[:LINE_THROUGH]])
        E = np.array([e[i] for e in excesses[:LINE_THROUGH]])
        x_mean, E_mean = (v @ x) / v.sum(), (v @ E) / v.sum()
        spread = v @ (x - x_mean) ** 2
        slope = v @ ((x - x_mean) * (E - E_mean)) / spread if spread > 0 else 0.0
        out[i] = E_mean - slope * x_mean
    return out


# ---------------------------------------------------------------- 7. the null curve


class NullCurve:
    """delta(n) / delta(1), from the rows (N, m) of a layer that are in P_1."""

    def __init__(self, rows: np.ndarray) -> None:
        x = rows[generator([0, 2]).permutation(len(rows))[:16384]]
        K, n = len(x), [1]
        total = entropy(x.mean(0))
        missing = [total - entropy(x).mean()]
        while n[-1] < 256 and len(x) >= 32:
            x = np.array([(x[i] + x[i + 1]) / 2 for i in range(0, len(x) - 1, 2)])
            n.append(2 * n[-1])
            missing.append(total - entropy(x).mean())
        if len(n) < 2 or min(missing) <= 1e-13:
            self.t, self.table = np.log([1, 2]), np.log([1, 1 / 2])
            return
        c = missing[-1] / (1 / n[-1] - 1 / K)
        y = np.log(np.array(missing) + c / K)
        self.t = np.linspace(0, np.log(n[-1]), 16 * len(n))
        self.table = interpolate.PchipInterpolator(np.log(n), y - y[0])(self.t)

    def delta(self, log_n: np.ndarray) -> np.ndarray:
        t, table = self.t, self.table
        below = table[0] + (table[1] - table[0]) / (t[1] - t[0]) * (log_n - t[0])
        above = table[-1] - (log_n - t[-1])
        inside = np.interp(log_n, t, table)
        return np.exp(np.where(log_n < t[0], below, np.where(log_n > t[-1], above, inside)))

    def excess(self, D: np.ndarray, n_star: float | np.ndarray) -> np.ndarray:
        """delta(b) where delta(b) - delta(b n*) = D."""
        D, log_n = np.broadcast_arrays(np.asarray(D, float), np.log(n_star))
        low, high = np.full(D.shape, -25.0), np.full(D.shape, 40.0)
        for _ in range(70):  # to the last digit
            b = (low + high) / 2
            right_of_b = self.delta(b) - self.delta(b + log_n) > D
            low, high = np.where(right_of_b, b, low), np.where(right_of_b, high, b)
        return np.where(D > 0, self.delta((low + high) / 2), 0.0)


# ---------------------------------------------------------------- 9. thinned


def thinning_runs(q: Question) -> tuple[list[Label], list[list[np.ndarray]]]:
    """Labels that are taken, and the runs of each: rows of the layer."""
    draw, held = generator([0, 3]), 0
    frequent = [one for one in q.labels if len(one.of_document) >= 16]
    taken, runs_of = [], []
    for i in draw.permutation(len(frequent)):
        one = frequent[i]
        docs = sorted(one.of_document, key=lambda g: (0 if q.block is None else q.block[one.of_document[g][0]], g))
        size = np.array([len(one.of_document[g]) for g in docs])
        picks = min(4, -(-one.n // len(docs)))
        length = min(len(docs), 1024 // picks)
        if taken and held + picks * length > 8192:
            continue
        runs = []
        for _ in range(picks):
            some = draw.permutation(len(docs))[:length]
            which = draw.integers(size[some])
            runs.append(np.array([one.of_document[docs[g]][w] for g, w in zip(some, which, strict=True)]))
        taken.append(one)
        runs_of.append(runs)
        held += picks * length
    return taken, runs_of


def joined(pieces: np.ndarray) -> np.ndarray:
    """(pieces // 2, 2 k): neighbours of (pieces, k) together."""
    pairs, k = len(pieces) // 2, pieces.shape[1]
    return pieces[: 2 * pairs].reshape(pairs, 2 * k)


def beta_of(q: Question, curve: NullCurve) -> np.ndarray:
    """(kappas, 1 + B) beta of each kappa times its weight; `q` has the labels at their own positions."""
    nothing = np.zeros((len(KAPPAS), 1 + q.B))
    labels, runs_of = thinning_runs(q)
    C = ceiling(q.x[q.sample], q.documents[q.sample])[1]
    if len(labels) < 3 or C <= 1e-12:
        return nothing
    n = np.array([one.n / (1 - q.rho + q.rho * one.S / one.n) for one in labels])
    e_whole = curve.excess(np.array([one.G / one.n for one in labels]) / C, np.maximum(n, 1 + 1e-9))
    bands = bands_of(n)
    cells = []  # band, k, usable labels, their weights, e (labels, 1 + B)
    k, pieces_of = 1, [[run[:, None] for run in runs] for runs in runs_of]
    while max(len(run) for runs in pieces_of for run in runs) >= 4:
        pieces_of = [[joined(run) for run in runs] for runs in pieces_of]
        k *= 2
        count = np.array([sum(map(len, runs)) for runs in pieces_of])
        D = np.array([_thinned(q, np.concatenate(runs)) for runs in pieces_of])
        whole, beside = (curve.excess(D[:, 0] / C + more, float(k)) for more in (0, 1e-4))
        e = whole[:, None] + (D - D[:, :1]) / C * (beside - whole)[:, None] / 1e-4
        for number, members in enumerate(bands):
            usable = [i for i in members if count[i] >= 2 and k < n[i]]
            if len(usable) >= 3:
                w = np.sqrt(n[usable])
                cells.append((number, k, usable, w / w.sum(), e[usable]))
    if not cells:
        return nothing
    squares: dict[int, list[float]] = {}
    y, s = [], []
    for _, k, usable, w, e in cells:
        t, v = w @ e, w @ e_whole[usable]
        y.append(v - t)  # (1 + B,)
        s.append(t[0] * (1 - t[0]))
        squares.setdefault(k, []).extend((e_whole[usable] - e[:, 0] - y[-1][0]) ** 2)
    var = np.array([max(np.mean(squares[k]) * (w**2).sum(), 1e-12) for _, k, _, w, _ in cells])
    x = np.zeros((len(KAPPAS), len(cells)))
    for i, kappa in enumerate(KAPPAS):
        for c, (_, k, usable, w, _) in enumerate(cells):
            v = w @ e_whole[usable]
            x[i, c] = s[c] / (k + kappa) - v * (1 - v) * (w / (n[usable] + kappa)).sum()
    deltas = np.zeros((len(cells), len(bands)))
    for c, (number, *_) in enumerate(cells):
        deltas[c, number] = s[c]
    return np.array([_fit(x, deltas, var, of) for of in np.array(y).T]).T


def bands_of(n: np.ndarray) -> list[list[int]]:
    """Labels of like frequency, the most frequent first, by their numbers."""
    bands: list[list[int]] = []
    waiting: list[int] = []
    for low, high in ((432, np.inf), (144, 432), (48, 144), (0, 48)):
        waiting += [i for i in range(len(n)) if low <= n[i] < high]
        if len(waiting) >= 6:
            bands.append(waiting)
            waiting = []
    if not bands:
        return [waiting]
    bands[-1] += waiting
    return bands


def _thinned(q: Question, pieces: np.ndarray) -> np.ndarray:
    """(1 + B,) D_lk and D_lkb, from the rows of each piece (pieces, k); D_lk where no piece is left."""
    if not len(pieces):
        return np.zeros(1 + q.B)
    d = entropy(q.x[pieces].mean(1)) - q.h[pieces].mean(1)
    left = [q.block[pieces[:, 0]] != b for b in range(q.B)]
    return np.array([d.mean(), *(d[some].mean() if some.any() else d.mean() for some in left)])


def _fit(x: np.ndarray, deltas: np.ndarray, var: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(kappas,) beta times the weight of its kappa."""
    beta, misfit = np.zeros(len(KAPPAS)), np.zeros(len(KAPPAS))
    for i in range(len(KAPPAS)):
        # least squares, the terms of the ridge as more observations of 0
        ridge = np.diag([1 / 10, *[1 / 0.02] * deltas.shape[1]])
        design = np.vstack([np.column_stack([x[i], deltas]) / np.sqrt(var)[:, None], ridge])
        seen = np.concatenate([y / np.sqrt(var), np.zeros(len(ridge))])
        found = np.linalg.lstsq(design, seen, rcond=None)[0]
        beta[i] = found[0]
        misfit[i] = ((seen - design @ found) ** 2).sum()
    odds = np.exp(-(misfit - misfit.min()) / 2)
    return beta * odds / odds.sum()


# ---------------------------------------------------------------- 11. errors


def standard_error(replicates: np.ndarray) -> float:
    B = len(replicates)
    return float(np.sqrt((B - 1) / B * ((replicates - replicates.mean()) ** 2).sum()))


def interval(value: float, replicates: np.ndarray, correction: float = 0.0) -> tuple[float, float]:
    half = special.stdtrit(len(replicates) - 1, 0.975) * np.sqrt(standard_error(replicates) ** 2 + correction**2)
    return value - half, value + half


class Figure:
    """A figure over reference sets: (1 + B,) its columns, and (R, 1 + B) what each set of a draw contributes."""

    def __init__(self, columns: np.ndarray, draws: dict[str, np.ndarray]) -> None:
        self.columns, self.draws = columns, draws

    def errors(self) -> tuple[float, float, float, float]:
        """Of the text, of the points, of both, and the degrees of freedom of that."""
        text = standard_error(self.columns[1:])
        v, both = [], 0.0
        for u in self.draws.values():
            R = len(u)
            v.append(sum((u[r, 0] - u[:, 0].mean()) ** 2 for r in range(R)) / (R - 1) / R)
            deviation = [u[r, 1:] - u[:, 1:].mean(0) for r in range(R)]
            both += sum(standard_error(d) ** 2 for d in deviation) / (R - 1) / R
        f = min(len(u) for u in self.draws.values()) - 1
        q = sum(f * each**2 / (f + 2) for each in v)
        of_points = min(max(f * (sum(v) ** 2 - 2 * q / f) / q, f), f * len(v)) if q else f * len(v)
        net = max(0.0, sum(v) - both)
        total = text**2 + net
        degrees = total**2 / (text**4 / (len(self.columns) - 2) + (sum(v) if net else 0.0) ** 2 / of_points)
        return text, np.sqrt(sum(v)), np.sqrt(total), degrees

    def interval(self, *more: float) -> tuple[float, float]:
        *_, total, degrees = self.errors()
        half = special.stdtrit(degrees, 0.975) * np.sqrt(total**2 + sum(c**2 for c in more))
        return self.columns[0] - half, self.columns[0] + half


def over_sets(draw: str, sets: Sequence[np.ndarray]) -> Figure:
    """Of one layer, from the (1 + B,) of each set."""
    return Figure(sum(sets) / len(sets), {draw: np.array(sets)})


def combined(parts: Sequence[tuple[float, Figure]], columns: np.ndarray | None = None) -> Figure:
    """The sum of figures, each times its factor; `columns` where they are not that sum."""
    draws: dict[str, np.ndarray] = {}
    for factor, figure in parts:
        for name, u in figure.draws.items():
            draws[name] = draws.get(name, 0) + factor * u
    return Figure(sum(f * figure.columns for f, figure in parts) if columns is None else columns, draws)


def ratio(y: Figure, x: Figure) -> Figure:
    r, below = y.columns / x.columns, x.columns[0]
    return combined([(1 / below, y), (-r[0] / below, x)], r)

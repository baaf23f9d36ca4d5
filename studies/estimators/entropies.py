r"""Other corrections of the entropy of a label's mean: jackknife, shrinkage, Chao-Shen, Bayes.

Each takes H(p_x) of a label's n rows a_i (their mean is p_x) and estimates the entropy of the true mean; information is
the corrected entropy of all rows less the mean of these. Bayes is written for counts of whole symbols. Rows are
soft, and say more of their mean than one symbol drawn from each would, so it gets effective counts c n p_x, where

    c = sum_x n_x sum_j p_xj (1 - p_xj) / sum_x n_x sum_j v_xj

is how many independent symbols are as steady as one row (v_xj: the variance of the rows of a label, unbiased).

- jackknife: n H(p) - (n - 1) mean_i H(p without i). Zahl, Ecology 58 (1977). A label seen once takes the mean of
  n (H_jackknife - H) of the others, as `first-order` does.
- shrinkage: H of lambda pi + (1 - lambda) p, pi the mean of all rows, lambda = sum_j v_j / n over sum_j (p_j - pi_j)^2,
  at most 1; 1 for a label seen once. Hausser and Strimmer, J. Machine Learning Research 10 (2009).
- Chao-Shen: -sum_j q_j log q_j / (1 - (1 - q_j)^n) over symbols that were seen, q = C p, C = 1 - f1 / n with f1 of them
  seen once (n - 1 where that is n). Chao and Shen, Environmental and Ecological Statistics 10 (2003). Of soft counts no
  symbol is unseen, so one symbol is drawn from each row, which has the same information; the mean of 8 draws.
- Bayes: the posterior mean of H under a Dirichlet prior of strength beta around pi, given counts c n p; beta has the
  greatest marginal likelihood over all labels. The mean: Wolpert and Wolf, Physical Review E 52 (1995).

None of them knows of documents.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import optimize, special

from common import Setting, Table, entropy, first_order

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
from channels import CHANNELS, GAUSSIAN, Channel, GaussianChannel, as_labels, estimate

SHOWN = (
    "60 labels, documents matter",
    "300 labels",
    "300 labels, documents matter",
    "2,000 labels",
    "2,000 labels that mean nothing",
    "5,000 labels",
    "1,000 labels in 128 dimensions, 100 points",
)


def by_entropies(a: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """I(X; Z') in nats by every correction.

    Args:
        a: (N, m) float64 assignments, rows summing to 1.
        labels: (N,) any values.
    """
    codes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    rows = np.argsort(codes, kind="stable")
    x = a[rows]
    n = np.bincount(codes).astype(float)
    starts = np.concatenate(([0], np.cumsum(n).astype(int)[:-1]))
    p = np.add.reduceat(x, starts) / n[:, None]
    several = n > 1
    variance = np.add.reduceat(x * x, starts) / n[:, None] - p * p
    variance = np.maximum(variance, 0) * (n / np.maximum(n - 1, 1))[:, None]
    pi = x.mean(0)
    spread = x.var(0, ddof=1)
    total = float(entropy(pi) + (spread / pi).sum() / (2 * len(x)))
    w = n[several]
    c = float((w @ (p * (1 - p)).sum(1)[several]) / max(w @ variance.sum(1)[several], 1e-300))
    effective = np.maximum(c * n, 1.0)
    found = {
        "first-order": first_order(a, as_labels(labels)),
        "jackknife": total - float(np.average(_jackknife(x, p, n, codes[rows], starts), weights=n)),
    }
    distance = ((p - pi) ** 2).sum(1)
    part = np.where(several, np.minimum(variance.sum(1) / n / np.maximum(distance, 1e-300), 1.0), 1.0)[:, None]
    found["shrinkage"] = total - float(np.average(entropy(part * pi + (1 - part) * p), weights=n))
    found["Chao-Shen"] = total - float(np.mean([_chao_shen(x, codes[rows], n, seed) for seed in range(8)]))
    found["Bayes"] = total - float(np.average(_bayes(p * effective[:, None], pi), weights=n))
    return found


def _jackknife(x: np.ndarray, p: np.ndarray, n: np.ndarray, code: np.ndarray, starts: np.ndarray) -> np.ndarray:
    left = (n[code, None] * p[code] - x) / np.maximum(n[code] - 1, 1)[:, None]
    without = np.add.reduceat(entropy(np.maximum(left, 0)), starts) / n
    plain = entropy(p)
    added = np.where(n > 1, (n - 1) * (plain - without), 0.0)
    several = n > 1
    added[~several] = np.average((n * added)[several], weights=n[several]) if several.any() else 0.0
    out: np.ndarray = plain + added
    return out


def _chao_shen(x: np.ndarray, code: np.ndarray, n: np.ndarray, seed: int) -> float:
    """Mean over rows of the entropy of their label, of one symbol drawn from each row (N, m)."""
    drawn = (np.random.default_rng(seed).random(len(x))[:, None] > x.cumsum(1)).sum(1).clip(0, x.shape[1] - 1)
    counts = np.zeros((len(n), x.shape[1]))
    np.add.at(counts, (code, drawn), 1)
    once = np.minimum((counts == 1).sum(1), n - 1)
    q = (1 - once / n)[:, None] * counts / n[:, None]
    seen = -np.expm1(n[:, None] * np.log1p(-np.minimum(q, 1 - 1e-12)))
    each = np.divide(-q * np.log(np.maximum(q, 1e-300)), seen, out=np.zeros_like(q), where=counts > 0)
    return float(np.average(each.sum(1), weights=n))


def _bayes(counts: np.ndarray, pi: np.ndarray) -> np.ndarray:
    n = counts.sum(1)

    def surprise(log_beta: float) -> float:
        alpha = np.exp(log_beta) * pi
        each = (special.gammaln(counts + alpha) - special.gammaln(alpha)).sum(1)
        beta = alpha.sum()
        return -float((each + special.gammaln(beta) - special.gammaln(n + beta)).sum())

    beta = np.exp(optimize.minimize_scalar(surprise, bounds=(-5.0, 12.0), method="bounded").x)
    alpha = counts + beta * pi
    whole = alpha.sum(1)
    out: np.ndarray = special.digamma(whole + 1) - (alpha * special.digamma(alpha + 1)).sum(1) / whole
    return out


def entropies(setting: Setting) -> list[Table]:
    """Bias and spread of every correction, channel by channel."""
    rows: list[list[object]] = []
    names: list[str] = []
    draws = setting.of(20, 2)
    channels: dict[str, tuple[object, tuple[int, ...]]] = {
        name: (GaussianChannel(**GAUSSIAN[name][0], draws=setting.of(4000, 500)), (GAUSSIAN[name][1],))
        for name in (SHOWN if not setting.quick else SHOWN[:2])
    }
    for name in ("200 labels, bursty, documents matter", "2,000 labels, documents matter"):
        shape, documents, length = CHANNELS[name]
        channels[f"table: {name}"] = (Channel(**shape), (documents, length))
    for name, (channel, size) in channels.items():
        found = []
        for seed in range(draws):
            a, labels, document = channel.draw(seed, *size)  # type: ignore[attr-defined]
            told = estimate(a, labels, document, thinned=True)
            x = a.astype(np.float64)
            each = {"plugin": told.plugin[0], **by_entropies(x / x.sum(1, keepdims=True), labels)}
            found.append({**each, "null-curve": told.null_curve[0], "corrected": told.thinned[0]})
        names = list(found[0])
        truth = float(channel.truth)  # type: ignore[attr-defined]
        cells = []
        for of in names:
            values = np.array([f[of] for f in found]) - truth
            bias = f"{values.mean() / truth:+.1%}" if truth > 0.01 else f"{values.mean():+.4f} nats"
            cells.append(f"{bias}, {values.std(ddof=1):.4f}")
        rows.append([name, truth, *cells])
    says = (
        f"Bias, and standard deviation over {draws} draws in nats. Channels of `tests/support/channels.py`: Gaussian "
        "ones, and two that draw rows from tables. The other corrections are defined in `entropies.py`."
    )
    return [Table("Other corrections of an entropy", says, ["channel", "truth, nats", *names], rows)]

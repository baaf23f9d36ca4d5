r"""Other estimators of the information between a discrete label X and a state Z in R^d, in nats.

Each takes states and labels of documents to learn from and of documents to be judged on, and gives one number.

    probe      H(X) + E log q(x | z), q a multinomial logistic regression: a lower bound of I(X; Z) on the judged
               documents (Barber and Agakov, NIPS 2003)
    infonce    E log f(z, x) / mean_x' f(z, x') over batches: a lower bound, at most the logarithm of the batch
               (van den Oord et al. 2018, arXiv 1807.03748)
    mine       E T(z, x) - log E exp T(z, x') : a lower bound, Donsker and Varadhan's (Belghazi et al., ICML 2018)
    club       E log q(x | z) - E_x' log q(x' | z), the q of the probe: an upper bound if q is right
               (Cheng et al., ICML 2020)
    ksg        nearest neighbours, for a discrete and a continuous variable (Ross, PLoS ONE 9 (2014),
               after Kraskov et al.)
    renyi      matrix-based Renyi entropy of order 1.01, Gaussian kernel of the median distance
               (Sanchez Giraldo, Rao and Principe, IEEE Trans. Inf. Theory 61 (2015))
    k-means    states quantised to 100 clusters, then `plugin` or `corrected` as infoplane does it (in compare.py)

The critics of infonce and mine are g(z) . h(x), g a network of one hidden layer; where training stops is chosen on a
third of the documents to learn from. Logistic regression, clusters and scaling are scikit-learn's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

PLENTY = 4_000  # states for methods whose cost grows with the square
FEW = 1_500  # for those whose cost grows with the cube


@dataclass(frozen=True)
class Sample:
    """States (n, d) float32 and labels (n,) from 0 to `classes` - 1, of documents to learn from and to be judged on."""

    z: np.ndarray
    x: np.ndarray
    z_test: np.ndarray
    x_test: np.ndarray
    classes: int

    def scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """States with every dimension at mean 0 and deviation 1 of those to learn from."""
        mean, deviation = self.z.mean(0), np.maximum(self.z.std(0), 1e-6)
        return (self.z - mean) / deviation, (self.z_test - mean) / deviation


def label_entropy(x: np.ndarray, classes: int) -> float:
    """Plug-in entropy of (n,) labels, nats."""
    p = np.bincount(x, minlength=classes) / len(x)
    return float(special.entr(p).sum())


class Probe:
    """q(x | z) by logistic regression; its strength of regularisation chosen on a third of the states."""

    def __init__(self, s: Sample, seed: int = 0) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        z, z_test = s.scaled()
        held = np.arange(len(z)) >= 2 * len(z) // 3
        best = (np.inf, None)
        model = LogisticRegression(max_iter=60, warm_start=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early regularises too
            for strength in (0.0003, 0.003, 0.03):
                model.set_params(C=strength).fit(z[~held], s.x[~held])
                loss = -float(self._log_q(model, z[held], s.classes)[np.arange(held.sum()), s.x[held]].mean())
                if loss < best[0]:
                    best = (loss, self._log_q(model, z_test, s.classes))
        assert best[1] is not None
        self.log_q, self.x = best[1], s.x_test
        self.entropy = label_entropy(s.x_test, s.classes)

    @staticmethod
    def _log_q(model: Any, z: np.ndarray, classes: int) -> np.ndarray:
        out = np.full((len(z), classes), -20.0)  # labels that were never seen
        out[:, model.classes_] = np.maximum(model.predict_log_proba(z), -20.0)
        return out

    @property
    def bound(self) -> float:
        """The lower bound."""
        return self.entropy + float(self.log_q[np.arange(len(self.x)), self.x].mean())

    @property
    def club(self) -> float:
        """The upper bound."""
        p = np.bincount(self.x, minlength=self.log_q.shape[1]) / len(self.x)
        return float(self.log_q[np.arange(len(self.x)), self.x].mean() - (self.log_q @ p).mean())


def critic(s: Sample, kind: str, seed: int = 0, steps: int = 300, batch: int = 512) -> float:
    """`infonce` or `mine` on the judged documents."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        z, z_test = (torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)) for v in s.scaled())
        x, x_test = torch.from_numpy(s.x.astype(np.int64)), torch.from_numpy(s.x_test.astype(np.int64))
        g = nn.Sequential(nn.Linear(z.shape[1], 128), nn.ReLU(), nn.Linear(128, 64))
        h = nn.Embedding(s.classes, 64)
        optimiser = torch.optim.AdamW([*g.parameters(), *h.parameters()], lr=1e-3, weight_decay=0.01)
        end = 2 * len(z) // 3

        def bound(z: Any, x: Any) -> Any:
            scores = g(z) @ h(x).T / 8
            if kind == "infonce":
                return (scores.diagonal() - torch.logsumexp(scores, 1)).mean() + np.log(len(z))
            n = len(z)
            apart = scores.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
            return scores.diagonal().mean() - torch.logsumexp(apart.reshape(-1), 0) + np.log(n * (n - 1))

        def judged(z: Any, x: Any) -> float:
            with torch.no_grad():
                size = min(batch, len(z))
                parts = [float(bound(z[i : i + size], x[i : i + size])) for i in range(0, len(z) - size + 1, size)]
            return float(np.mean(parts))

        best, told = -np.inf, 0.0
        mixed = torch.from_numpy(np.random.default_rng(seed).permutation(len(z_test)))
        for step in range(steps):
            take = torch.randint(0, end, (batch,))
            optimiser.zero_grad()
            (-bound(z[take], x[take])).backward()
            optimiser.step()
            if step % 20 == 19 and (value := judged(z[end:], x[end:])) > best:
                best, told = value, judged(z_test[mixed], x_test[mixed])
    return told


def ksg(z: np.ndarray, x: np.ndarray, k: int = 3) -> float:
    """I(X; Z) = psi(N) + psi(k) - <psi(N_x)> - <psi(m)>, m the states as near as the k-th of the own label.

    Labels of k states or fewer are left out. States that are equal, as in an embedding, are set apart by a noise far
    below any distance between others.
    """
    count = np.bincount(x)
    keep = count[x] > k
    z, x = z[keep].astype(np.float64), x[keep]
    z = z + 1e-5 * z.std() * np.random.default_rng(0).standard_normal(z.shape)
    count, n = np.bincount(x), len(x)
    square = (z * z).sum(1)
    within = np.empty(n)
    for i in range(0, n, 500):
        part = slice(i, min(i + 500, n))
        distance = np.maximum(square[part, None] + square[None] - 2 * z[part] @ z.T, 0.0)
        own = np.where(x[part, None] == x[None], distance, np.inf)
        own[np.arange(part.stop - i), np.arange(i, part.stop)] = np.inf
        radius = np.partition(own, k - 1, axis=1)[:, k - 1]
        within[part] = (distance <= radius[:, None]).sum(1) - 1  # not itself
    psi = special.digamma
    return float(psi(n) + psi(k) - psi(count[x]).mean() - psi(np.maximum(within, 1)).mean())


def renyi(z: np.ndarray, x: np.ndarray, alpha: float = 1.01) -> float:
    """S(A) + S(B) - S(A o B), S(A) = log tr A^alpha / (1 - alpha) of Gram matrices of trace 1."""
    from scipy.spatial.distance import pdist, squareform

    distance = squareform(pdist(z.astype(np.float64), "sqeuclidean"))
    a = np.exp(-distance / (2 * np.median(distance[distance > 0])))
    b = (x[:, None] == x[None]).astype(float)

    def entropy(gram: np.ndarray) -> float:
        values = np.maximum(np.linalg.eigvalsh(gram / np.trace(gram)), 0.0)
        return float(np.log((values**alpha).sum()) / (1 - alpha))

    return entropy(a) + entropy(b) - entropy(a * b)


def clusters(z: np.ndarray, z_all: np.ndarray, count: int = 100, seed: int = 0) -> np.ndarray:
    """(n,) cluster of each state by its direction, centres from `z`."""
    from sklearn.cluster import MiniBatchKMeans

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)

    found = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=2048).fit(unit(z))
    return np.asarray(found.predict(unit(z_all)))

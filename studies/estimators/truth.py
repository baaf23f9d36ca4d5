r"""Truth by construction: channels whose information is exact, and mixtures on the sphere in up to 4,096 dimensions.

A mixture has K labels of Zipf frequency, each a von Mises-Fisher density (the Gaussian of the sphere) around a
direction of its own, all of one concentration kappa, that of KL(vMF || uniform) = log 25. Then

    p(x | z) = p(x) exp(kappa mu_x . z) / sum_x' p(x') exp(kappa mu_x' . z)

is exact, and so is I(X; Z) = E log p(x | z) / p(x) but for the mean over draws; I(X; Z') is that of the mean
assignments, each over 2,000 draws of its label with what is left of their bias removed to first order (far below
the digits shown).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from common import Setting, Table, entropy, first_order
from states import assign

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
from channels import CHANNELS, Channel, as_labels, covered, estimate

from infoplane.information.reference_points import ReferencePoints
from infoplane.information.vmf_temperature import temperature
from infoplane.uncertainty.document_jackknife import standard_error_of

LABELS, ATTRACTED = 100, 25


class Mixture:
    """K von Mises-Fisher densities in d dimensions, or in a subspace of `inside` of them."""

    def __init__(self, d: int, labels: int = LABELS, inside: int | None = None, attracted: int = ATTRACTED) -> None:
        fixed = np.random.default_rng(11)
        own = inside or d
        mu = fixed.standard_normal((labels, own))
        self.mu = (mu / np.linalg.norm(mu, axis=1, keepdims=True)).astype(np.float32)
        self.kappa = 1 / temperature(attracted, own)
        self.basis = np.linalg.qr(fixed.standard_normal((d, own)))[0].astype(np.float32) if inside else None
        self.frequency = 1 / np.arange(1, labels + 1)
        self.frequency /= self.frequency.sum()

    def draw(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(n, d) float32 states of (n,) labels."""
        n, d = len(labels), self.mu.shape[1]
        mu = self.mu[labels]
        g = random.standard_normal((n, d), dtype=np.float32)
        g -= (g * mu).sum(1, keepdims=True) * mu
        g /= np.linalg.norm(g, axis=1, keepdims=True)
        w = cosines(n, d, self.kappa, random).astype(np.float32)[:, None]
        z: np.ndarray = w * mu + np.sqrt(1 - w * w) * g
        return z if self.basis is None else z @ self.basis.T

    def posterior(self, z: np.ndarray) -> np.ndarray:
        """(n, K) log p(x | z)."""
        own = z if self.basis is None else z @ self.basis
        logits = self.kappa * (own @ self.mu.T).astype(np.float64) + np.log(self.frequency)
        top = logits.max(1, keepdims=True)
        out: np.ndarray = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
        return out

    def truth(self, points: ReferencePoints | None, each: int) -> tuple[float, float]:
        """I(X; Z') for these points and I(X; Z), nats, from `each` draws of every label; one label at a time."""
        random = np.random.default_rng(12)
        mean = np.zeros((len(self.mu), points.m if points else 1))
        bias = np.zeros(len(self.mu))
        gained = np.zeros(len(self.mu))
        for x in range(len(self.mu)):
            z = self.draw(np.full(each, x), random)
            gained[x] = self.posterior(z)[:, x].mean() - np.log(self.frequency[x])
            if points is not None:
                a = assign(z, points)
                mean[x] = a.mean(0)
                bias[x] = (a.var(0, ddof=1) / mean[x]).sum() / (2 * each)
        code = entropy(self.frequency @ mean) - self.frequency @ (entropy(mean) + bias) if points else 0.0
        return float(code), float(self.frequency @ gained)


def cosines(n: int, d: int, kappa: float, random: np.random.Generator) -> np.ndarray:
    """(n,) cosines to the mean direction under vMF: density exp(kappa w) (1 - w^2)^((d-3)/2), by rejection.

    Source: Wood, Communications in Statistics - Simulation and Computation 23 (1994), algorithm VM*.
    """
    b = (d - 1) / (2 * kappa + np.sqrt(4 * kappa * kappa + (d - 1) ** 2))
    x0 = (1 - b) / (1 + b)
    c = kappa * x0 + (d - 1) * np.log1p(-x0 * x0)
    out = np.empty(0)
    while len(out) < n:
        z = random.beta((d - 1) / 2, (d - 1) / 2, 2 * n)
        w = (1 - (1 + b) * z) / (1 - (1 - b) * z)
        keep = kappa * w + (d - 1) * np.log1p(-x0 * w) - c >= np.log(random.random(2 * n))
        out = np.concatenate((out, w[keep]))
    return out[:n]


def channels(setting: Setting) -> list[Table]:
    """Bias by number of positions on one channel."""
    channel = Channel()
    rows = []
    for documents in setting.of((10, 40, 160, 640), (10, 40)):
        found = []
        for seed in range(setting.of(20, 3)):
            a, labels, document = channel.draw(seed, documents, 100)
            x = a.astype(np.float64)
            x /= x.sum(1, keepdims=True)
            told = estimate(a, labels, document, thinned=True)
            found.append((told.plugin[0], first_order(x, as_labels(labels)), told.thinned[0]))
        values = np.array(found)
        rows.append([documents * 100, channel.truth, *values.mean(0), *values.std(0, ddof=1)[1:]])
    names = ["positions", "truth", "plugin", "first-order", "corrected", "spread first-order", "spread corrected"]
    says = (
        "A channel with 2,000 Zipf labels and documents that matter (`tests/support/channels.py`), nats; means over "
        "draws. The truth is exact."
    )
    return [Table("Bias on a known channel", says, names, rows)]


def mixtures(setting: Setting) -> list[Table]:
    """Mixtures on spheres of many widths."""
    rows = []
    documents, length = setting.of((200, 50), (64, 30))
    shapes = [(d, d) for d in setting.of((16, 64, 256, 1024, 4096), (16, 256))]
    shapes += [(d, 16) for d in setting.of((256, 4096), (256,))]
    for d, inside in shapes:
        mixture, points = Mixture(d, inside=inside if inside < d else None), ReferencePoints.make(d)
        truth, whole = mixture.truth(points, setting.of(2000, 500))
        found = []
        for seed in range(setting.of(10, 2)):
            random = np.random.default_rng([seed, d])
            labels = random.choice(LABELS, documents * length, p=mixture.frequency)
            a = assign(mixture.draw(labels, random), points)
            document = np.repeat(np.arange(documents), length).astype(np.int32)
            told = estimate(a.astype(np.float16), labels, document, thinned=True)
            error = standard_error_of(told.thinned[1:])
            found.append((told.plugin[0], first_order(a, as_labels(labels)), told.thinned[0], error))
        values = np.array(found)
        mean = values.mean(0)
        rows.append([d, inside, whole, truth, *mean[:3], float(values[:, 2].std(ddof=1)), mean[3]])
    names = [
        "d",
        "they fill",
        "I(X;Z)",
        "I(X;Z')",
        "plugin",
        "first-order",
        "corrected",
        "its spread",
        "its standard error",
    ]
    says = (
        f"Mixtures of {LABELS} von Mises-Fisher densities, {documents * length:,} states, m = 100, nats. I(X;Z) and "
        "I(X;Z') are the truth. States that fill all of a wide space share little with m directions; states that fill "
        "16 of its dimensions are seen as if the space had 16."
    )
    return [Table("Mixtures on spheres", says, names, rows)]


def coverage(setting: Setting) -> list[Table]:
    """How often the interval holds the truth."""
    rows = []
    for name in CHANNELS:
        truth, x = covered(name, setting.of(300, 10))
        rows.append([name, truth, x[:, 1].mean(), x[:, 1].std(ddof=1), x[:, 2].mean(), f"{x[:, 3].mean():.1%}"])
    names = ["channel", "truth", "corrected", "spread", "mean standard error", "coverage"]
    says = "How often the 95 % interval holds a truth known by construction, nats (`bench/coverage.py`: 1,000 draws)."
    return [Table("Coverage of the intervals", says, names, rows)]

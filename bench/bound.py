"""The bound against another program: `python bench/bound.py [channels]`.

Blahut-Arimoto curves of random 5 x 5 channels beside those of the package `dit` (20 channels: some minutes).
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from scipy import sparse

from infoplane.bottleneck.backoff import Ladder, Piece, Rung
from infoplane.bottleneck.blahut_arimoto import anneal
from infoplane.bottleneck.frontier_curve import hull


def curve(joint: np.ndarray, m: int) -> np.ndarray:
    """(H, 2) corners of the curve of a known p(x, y)."""
    n = len(joint)
    rung = Rung(
        np.arange(n), np.zeros(n, np.int64), np.arange(joint.shape[1]), sparse.csr_array(1e6 * joint), np.ones(n)
    )
    source = Ladder((Piece((rung,)),), joint.sum(0))
    codes = anneal(source, m, np.geomspace(1.2, 8, 30), starts=2, tolerance=1e-10)
    return hull(np.array([c.complexity for c in codes]), np.array([c.relevance for c in codes]))


def main() -> None:
    """Print the largest difference on each channel."""
    warnings.simplefilter("ignore")
    import dit
    from dit.rate_distortion import IBCurve

    worst = 0.0
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        joint = np.random.default_rng([3, seed]).dirichlet(np.full(25, 0.3)).reshape(5, 5)
        words = [f"{x}{y}" for x in range(5) for y in range(5)]
        theirs = IBCurve(dit.Distribution(words, joint.ravel()), rvs=[[0], [1]], beta_min=2, beta_max=4, beta_num=3)
        ours = curve(joint, 5)
        x, y = (np.log(2) * np.array(a) for a in (theirs.complexities, theirs.relevances))
        off = np.interp(x, *ours.T) - y
        worst = max(worst, float(np.abs(off).max()))
        print(f"channel {seed}: ours - dit at I(X;T) {np.round(x, 3)} nats: {np.round(off, 5)}", flush=True)
    print(f"largest difference {worst:.1e} nats")


if __name__ == "__main__":
    main()

r"""A linear probe: what a linear reading of states tells of frequent labels, a lower bound.

    I(X; Z) >= I(g(X); Z) >= H(g(X)) + E log q(g(X) | z),      q(c | z) = exp(w_c . z + b_c) / sum_k exp(w_k . z + b_k)

g keeps the K most frequent labels and puts all others together. q is a multinomial logistic regression, fitted on one
half of the documents and judged on the other, and the other way round, so that it is never judged on what it was fitted
on. Before it is fitted, each dimension is brought to mean 0 and deviation 1. Of three strengths of the penalty
`s |w|^2 / 2`, with s per row, the one is taken that is better on a third of the documents that are fitted on.
The first inequality is equal where other labels tell nothing more, the second where q is right: a probe that finds
little does not show that there is little.

Sources: Barber and Agakov, NIPS 2003, for the bound; Alain and Bengio, ICLR 2017 (workshop), arXiv 1610.01644, for
linear probes of layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infoplane.information.arrays import Floats, Ints

if TYPE_CHECKING:
    import torch

FREQUENT = 50
"""Labels that are kept apart."""
_STRENGTHS = (0.003, 0.01, 0.03)  # of the penalty
_STEPS = 30
_CHOOSING = 3  # a document of so many is held back to choose the strength


def frequent_labels(codes: Ints, most: int = FREQUENT) -> Ints:
    """(n,) the place of each label among the most frequent ones, `most` of all others."""
    counts = np.bincount(codes)
    place = np.full(len(counts), most, np.int32)
    top = np.argsort(-counts, kind="stable")[:most]
    place[top] = np.arange(len(top))
    return place[codes]


def cross_fitted(z: npt.NDArray[np.float32], labels: Ints, document: Ints, device: str = "cpu") -> Floats:
    """(n, k) log q in nats of k sets of labels, each row judged by a probe that was fitted on other documents.

    Args:
        z: (n, d) states.
        labels: (n, k) labels, 0 and up.
        document: (n,) whose rows they are; every other one is in one half.
        device: where it is computed.
    """
    import torch

    number = np.unique(document, return_inverse=True)[1]
    half, third = number % 2, number // 2 % _CHOOSING == 0
    out = np.zeros(labels.shape)
    for judged in (0, 1):
        own, others = half == judged, half != judged
        if not own.any() or not others.any():
            continue
        x = torch.from_numpy(z[others]).to(device)
        mean, deviation = x.mean(0), x.std(0, correction=0).clamp_min(1e-6)
        x = (x - mean) / deviation
        y = (torch.from_numpy(z[own]).to(device) - mean) / deviation
        held = torch.from_numpy(third[others]).to(device)
        for k in range(labels.shape[1]):
            classes = int(labels[:, k].max()) + 1
            target = torch.from_numpy(labels[others, k].astype(np.int64)).to(device)
            log_q = _read(x, target, held, y, classes).double().cpu().numpy()
            out[own, k] = log_q[np.arange(len(log_q)), labels[own, k]]
    return out


def _read(x: torch.Tensor, target: torch.Tensor, held: torch.Tensor, y: torch.Tensor, classes: int) -> torch.Tensor:
    """(rows of y, classes) log q by the better strength."""
    import torch

    best, kept = -float("inf"), None
    weight = torch.zeros(x.shape[1] + 1, classes, device=x.device)
    weight[-1] = torch.log((torch.bincount(target, minlength=classes) + 0.5) / (len(target) + 0.5 * classes))
    some = held.any() and not held.all()
    for strength in sorted(_STRENGTHS, reverse=True) if some else _STRENGTHS[:1]:
        fitted = _fitted(x[~held], target[~held], weight, strength) if some else weight
        if some:
            found = float(torch.gather(_log_q(x[held], fitted), 1, target[held, None]).mean())
            if found <= best:
                continue
            best = found
        weight, kept = fitted, strength
    return _log_q(y, _fitted(x, target, weight, kept if kept is not None else _STRENGTHS[0]))


def _log_q(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.log_softmax(x @ weight[:-1] + weight[-1], dim=1)


def _fitted(x: torch.Tensor, target: torch.Tensor, start: torch.Tensor, strength: float) -> torch.Tensor:
    """(d + 1, classes) weights, the last row those of the constant."""
    import torch

    weight = start.clone().requires_grad_()
    steps = torch.optim.LBFGS([weight], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        with torch.enable_grad():
            value = torch.nn.functional.cross_entropy(x @ weight[:-1] + weight[-1], target)
            value = value + strength / 2 * weight[:-1].square().sum()
            value.backward()  # type: ignore[no-untyped-call]
        return value

    steps.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach()

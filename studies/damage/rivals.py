"""What others would say of a variant: properties of the weights, and of the spectrum of its states.

WeightWatcher 0.7.7 fits a power law to the eigenvalues of each matrix: the mean exponent alpha, alpha weighted by the
largest eigenvalue, and the mean log spectral norm. Of the states of each layer, with C their second moments (not
centred) of trace 1 and eigenvalues l: the entropy -sum l log l of Skean et al. (arXiv 2502.02013), whose exponential
is the effective rank of Roy and Vetterli (2007). Their errors are the delete-a-block jackknife's, over 16 blocks of
documents, of the difference from the model before.
"""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

import numpy as np

from infoplane.capture.forward_pass import states_of
from infoplane.models.decoder import Model
from infoplane.text.windows import Windows
from infoplane.uncertainty import assign_blocks

BLOCKS = 16


def weights_of(model: Model) -> dict[str, float]:
    """WeightWatcher's means over matrices, and its seconds."""
    import weightwatcher

    logging.getLogger("weightwatcher").setLevel(logging.CRITICAL)
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watcher = weightwatcher.WeightWatcher(model=model.backbone)
        summary = watcher.get_summary(watcher.analyze())
    names = {"alpha": "alpha", "alpha_weighted": "alpha_weighted", "log_spectral_norm": "log_spectral_norm"}
    return {**{ours: float(summary[its]) for ours, its in names.items()}, "seconds": time.monotonic() - began}


def entropies_of(model: Model, windows: Windows) -> tuple[dict[str, list[float]], float]:
    """Of each layer the matrix entropy in nats, and with each block of documents left out; and the seconds."""
    began = time.monotonic()
    blocks = assign_blocks(windows.document_positions, BLOCKS)[windows.position_document]
    found = {}
    layers = list(model.layers)
    for i in range(0, len(layers), 8):  # the states of a few layers at a time
        for name, z in states_of(model, windows, layers[i : i + 8]).items():
            moments = np.stack([_moments(z[blocks == b]) for b in range(BLOCKS)])
            whole = moments.sum(0)
            found[name] = [_entropy(whole), *(_entropy(whole - one) for one in moments)]
    return found, time.monotonic() - began


def _moments(z: np.ndarray) -> np.ndarray:
    return (z.T @ z).astype(np.float64)


def _entropy(moments: np.ndarray) -> float:
    values = np.linalg.eigvalsh(moments / np.trace(moments))
    values = values[values > 1e-12]
    return float(-(values * np.log(values)).sum())


def jackknife(values: list[float], before: list[float]) -> tuple[float, float]:
    """The difference from before, and its standard error, from estimates and replicates."""
    difference = np.asarray(values) - np.asarray(before)
    n = len(difference) - 1
    error = np.sqrt((n - 1) / n * ((difference[1:] - difference[1:].mean()) ** 2).sum())
    return float(difference[0]), float(error)


def as_record(found: Any) -> Any:
    """Numbers short enough to be kept."""
    if isinstance(found, dict):
        return {key: as_record(value) for key, value in found.items()}
    if isinstance(found, list):
        return [as_record(value) for value in found]
    return round(found, 6) if isinstance(found, float) else found

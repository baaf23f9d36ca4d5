"""Measurements made up for the tests of the report: a realistic one, and the least there can be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of

BLOCKS = 30
JACKKNIFE = 32
POSITIONS = {1: 31_120, 2: 30_610, 3: 30_102, 4: 29_594}
REPEATED = {1: 0.93, 2: 0.47, 3: 0.17, 4: 0.06}
PARTS = (1, 2, 3, 4, None)


class _Maker:
    """Rows with replicates, standard errors and intervals that agree with one another."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.rows: list[Estimate] = []

    def spread(self, value: float, error: float) -> tuple[float, ...]:
        step = error / math.sqrt((JACKKNIFE - 1) ** 2 / JACKKNIFE)
        return tuple((value + step * self.random.standard_normal(JACKKNIFE)).tolist())

    def add(self, quantity: str, layer: str, value: float, error: float, **more: Any) -> Estimate:
        replicates = self.spread(value, error)
        se = standard_error_of(replicates)
        more.setdefault("unit", "efficiency")
        more.setdefault("weight", "frequency")
        row = Estimate(
            quantity, layer, value, standard_error=se, points_error=se / 2, total_error=se,
            degrees_of_freedom=JACKKNIFE - 1, interval=interval_of(value, se, JACKKNIFE - 1),
            replicates=replicates, **more,
        )  # fmt: skip
        self.rows.append(row)
        return row


def _curves(depth: float, estimator: str, order: int) -> tuple[float, float, float, float]:
    """Entropy, ceiling, complexity and expressivity at a depth from 0 to 1, in efficiency."""
    entropy = 0.986 - 0.02 * math.sin(3 * depth)
    ceiling = 0.365 - 0.10 * depth + 0.05 * math.exp(-((depth - 0.95) ** 2) / 0.01)
    token = 0.245 - 0.125 * depth + 0.035 * math.sin(5.5 * depth)
    following = 0.052 + 0.055 * max(depth, 0.0) ** 1.4 - 0.03 * math.exp(-((depth - 1.0) ** 2) / 0.004)
    reach = 1 - math.exp(-0.9 * (order - 1))
    complexity = token + (ceiling - token) * 0.62 * reach
    expressivity = following + (ceiling - following) * 0.22 * reach
    if estimator == "plugin":  # every label unique: the plug-in estimate returns the ceiling
        bias = (0.22, 0.63, 0.87, 0.96)[order - 1]
        complexity += (ceiling - complexity) * bias
        expressivity += (ceiling - expressivity) * bias
    return entropy, ceiling, complexity, expressivity


def _layer(maker: _Maker, layer: str, depth: float, estimator: str) -> None:
    wobble = 1 + 0.012 * float(maker.random.standard_normal())
    common = {"layer": layer, "estimator": estimator}
    for k in PARTS[:-1]:
        assert k is not None
        at = {**common, "position_set": f"P_{k}", "n": POSITIONS[k]}
        entropy, ceiling, complexity, expressivity = (wobble * v for v in _curves(depth, estimator, k))
        warning = None
        if k >= 3:
            warning = (
                f"order {k}: only {REPEATED[k]:.0%} of the positions carry a label that recurs, and the "
                "controls are not 0 within their errors"
            )
        if estimator == "plugin":
            warning = "plugin is biased upward: with unique labels it returns the ceiling, whatever the model"
        off = (0.0004, 0.002, 0.011, 0.019)[k - 1] * (8 if estimator == "plugin" else 1)
        controls = {
            "control_permuted": off + 0.0006 * float(maker.random.standard_normal()),
            "control_permuted_error": 0.0007 + 0.0006 * k,
            "control_shifted": 1.4 * off + 0.0008 * float(maker.random.standard_normal()),
            "control_shifted_error": 0.0009 + 0.0007 * k,
            "control_halved": 0.5 * off,
            "control_halved_error": 0.001 + 0.0007 * k,
        }
        labelled = {**at, **controls, "repeated_mass": REPEATED[k], "warning": warning}
        maker.add("entropy", value=entropy / wobble**0.9, error=0.0008, **at)
        maker.add("ceiling", value=ceiling, error=0.0011, **at)
        maker.add("complexity", value=complexity, error=0.0012 * k, side="input", order=k, **labelled)
        maker.add("expressivity", value=expressivity, error=0.001 * k, side="output", order=k, **labelled)
        if k > 1:
            following = wobble * _curves(depth, estimator, 1)[3]
            narrow = {**at, **controls, "repeated_mass": REPEATED[1]}
            maker.add("expressivity", value=following, error=0.0011, side="output", order=1, **narrow)
        ratio = {**at, "unit": "ratio", "warning": warning}
        maker.add("optimality", value=expressivity / complexity, error=0.006 * k, order=k, **ratio)
    for side, place in (("input", 2), ("output", 3)):
        before = 0.0
        ceiling = wobble * _curves(depth, estimator, 4)[1]
        for k in PARTS:
            upto = ceiling if k is None else wobble * _curves(depth, estimator, k)[place]
            value = upto - before
            if k == 4 and side == "output" and depth > 0.8:  # an increment lost in noise may be negative
                value -= 0.03
                upto -= 0.03
            before = upto
            at = {**common, "position_set": "P_4", "n": POSITIONS[4], "side": side, "order": k}
            maker.add("share", value=value, error=0.002, **at)


def full_measurement(seed: int = 0, model: str = "HuggingFaceTB/SmolLM2-135M-Instruct") -> Measurement:
    """30 blocks, embedding and final norm, orders 1 to 4, two estimators, controls and all."""
    maker = _Maker(seed)
    layers = ["embed", *(f"block.{i}" for i in range(BLOCKS)), "final_norm"]
    for estimator in ("null-curve", "plugin"):
        for i, layer in enumerate([*layers, "model"]):
            depth = {"embed": -0.06, "final_norm": 1.0, "model": 0.5}.get(layer, (i - 1) / (BLOCKS - 1))
            _layer(maker, layer, depth, estimator)
            at = {"layer": layer, "estimator": estimator, "n": POSITIONS[1], "position_set": "P_1"}
            maker.add("information", value=0.011 + 0.02 * max(depth, 0), error=0.0009, side="label:register", **at)
        for k in (1, 2, 3, 4):
            mean = 0.44 + 0.1 * k
            at = {"estimator": estimator, "position_set": f"P_{k}", "n": POSITIONS[k], "unit": "ratio"}
            maker.add("mean_ratio_optimality", "model", mean, 0.007, order=k, **at)
    maker.add("loss", "model", 3.214, 0.031, unit="nats/token", n=32_499, weight=None)
    maker.add("bits_per_byte", "model", 1.053, 0.011, unit="bits/byte", n=32_499, weight=None)
    provenance = {
        "model": {
            "source": model, "architecture": "LlamaForCausalLM", "parameters": 134_515_008,
            "n_layers": BLOCKS, "width": 576, "dtype": "bfloat16", "files_hash": "9f2c" * 16, "note": None,
        },
        "text": {"source": "c4-sample.jsonl", "hash": "01ab" * 16, "documents": 512},
        "windows": {"context": 512, "tokens": 32_768, "seed": 0, "mean_length": 63.47},
        "points": {"m": 100, "d": 576, "seed": 0, "calibration": "exact", "eps": 0.0141, "hash": "77e0" * 16},
        "settings": {"orders": [1, 2, 3, 4], "estimators": ["null-curve", "plugin"], "weights": ["frequency"]},
        "versions": {"infoplane": "0.1.0", "python": "3.11.2", "torch": "2.9.0", "transformers": "5.23.0"},
        "wall_time": {"load": 28.1, "capture": 61.4, "measure": 12.9},
        "run_id": "c0ffee" * 10,
        "windows_hash": "aa" * 32,
        "blocks_hash": "bb" * 32,
        "warnings": ["the weights were stored in 4 bits: these numbers are those of the packed model"],
    }  # fmt: skip
    return Measurement(tuple(maker.rows), provenance)


def minimal_measurement() -> Measurement:
    """One layer, one order, no interval, no control, no loss, hardly any provenance."""
    rows = []
    for layer in ("block.0", "model"):
        at = {
            "layer": layer,
            "estimator": "null-curve",
            "weight": "frequency",
            "n": 900,
            "position_set": "P_1",
        }
        values = {"entropy": 0.98, "ceiling": 0.33, "complexity": 0.21, "expressivity": 0.064}
        for quantity, value in values.items():
            side = {"complexity": "input", "expressivity": "output"}.get(quantity)
            order = 1 if side else None
            rows.append(Estimate(quantity, value=value, unit="efficiency", side=side, order=order, **at))
        rows.append(Estimate("optimality", value=0.064 / 0.21, unit="ratio", order=1, **at))
    return Measurement(tuple(rows), {"model": {"source": "tiny"}})

"""Answers as tidy rows: values with their errors, controls and doubts, and where they come from.

Each figure carries its replicates, one a block of documents, from which all errors, those of ratios and differences
included, are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infoplane.capture import Capture
from infoplane.information import LESS_THINNED, NULL_CURVE, PLUGIN, THINNED, Floats, unit_scale
from infoplane.measurement.estimate import Controls, Described, Estimate, with_correction_error, with_layers_borrowing
from infoplane.measurement.questions import HALVES, SIDES, Question, Questions
from infoplane.measurement.reading_warnings import collapsed, doubt_of, of_a_kept_code, outgrown
from infoplane.measurement.reduction import Answers
from infoplane.measurement.set_means import SetMean
from infoplane.uncertainty import standard_error_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


_ROUNDING = 1e-9
"""Part of log m that rounding may leave of an information that is 0."""


class Record:
    """Answers as rows.

    Args:
        capture: what was asked.
        answers: of all its layers.
        questions: what was asked of it.
        repeated: of each question the share of positions whose label recurs.
        blocks: of documents, whose shares the replicates withdraw; None where there are too few documents.
        estimators, weights, unit: of the rows, in their order.
    """

    def __init__(
        self,
        capture: Capture,
        answers: Answers,
        questions: Questions,
        repeated: Mapping[Question, float],
        blocks: npt.NDArray[np.int32] | None,
        estimators: Sequence[str],
        weights: Sequence[str],
        unit: str,
    ) -> None:
        self.capture, self.answers = capture, answers
        self.questions, self.repeated, self.blocks = questions, repeated, blocks
        self.estimators, self.weights, self.unit = estimators, weights, unit
        self.documents = len(capture.windows.documents)
        self.scale = unit_scale(unit, capture.m)
        self.warnings: list[str] = []
        self.empty: list[str] = []  # layers that keep nothing of the input

    def rows(self) -> list[Estimate]:
        """The rows of the code that the capture is read with."""
        rows = [replace(row, code=self.capture.record["code"]) for row in self._rows()]
        if (kept := self.capture.record["kept"]) is not None:
            self.warnings += of_a_kept_code(outgrown(rows, kept["capacity"], self.capture.m), kept["of"])
        else:
            self.warnings += collapsed(self.answers.temperatures)
        if self.empty:
            self.warnings.append(
                f"no optimality of {', '.join(self.empty)}: complexity is 0 there within rounding, so there is "
                "nothing to divide by"
            )
        return with_layers_borrowing(rows)

    def _rows(self) -> list[Estimate]:
        layers = list(self.capture.layers)
        rows: list[Estimate] = []
        for layer in [*layers, "model"]:
            for estimator in self.estimators:
                sets = {f"P_{k}": k for k in self.questions.orders} | self.questions.of_texts
                for name in sets:
                    rows += self._marginal_rows(layer, estimator, name)
                told = self._rows_of_labels(layer, estimator, sets)
                if estimator != PLUGIN:
                    moved = self._rows_of_labels(layer, LESS_THINNED, sets) if estimator == THINNED else None
                    told = with_correction_error(told, moved)
                rows += told
        return rows

    def _rows_of_labels(self, layer: str, estimator: str, sets: Mapping[str, int]) -> list[Estimate]:
        rows: list[Estimate] = []
        for weight in self.weights:
            for name, k in sets.items():
                rows += self._order_rows(layer, estimator, weight, k, name)
            for q in self.questions.of_columns:
                rows += self._information_rows("information", layer, estimator, weight, q)
        return rows + self._share_rows(layer, estimator) + self._part_rows(layer, estimator)

    def _mean_over(self, layer: str) -> list[str]:
        """The layers that a row is the mean of: itself, or all blocks for `model`."""
        if layer != "model":
            return [layer]
        return [name for name in self.capture.layers if name.startswith("block.")]

    def _mean(self, layer: str, of: Callable[[str], SetMean | None]) -> SetMean | None:
        """The mean over the layers of a row; None where one of them has no value."""
        figures = [of(name) for name in self._mean_over(layer)]
        some = [figure for figure in figures if figure is not None]
        return SetMean.over(some) if figures and len(some) == len(figures) else None

    def _over_sets(self, layer: str, of: Callable[[int], Floats | None]) -> SetMean | None:
        """Of one layer, the mean over sets; None where one of them has no value."""
        sets = [of(s) for s in range(self.capture.sets)]
        some = [columns for columns in sets if columns is not None]
        return SetMean.of_layer(self.capture.draw(layer), some) if len(some) == len(sets) else None

    def _marginal(self, layer: str, estimator: str, position_set: str, what: str) -> SetMean | None:
        name = what if estimator == PLUGIN else f"{what}_corrected"

        def of_layer(one: str) -> SetMean | None:
            return self._over_sets(one, lambda s: getattr(self.answers.marginals[one, s, position_set], name))

        return self._mean(layer, of_layer)

    def _of_set(
        self, layer: str, s: int, estimator: str, weight: str, q: Question, kind: str = "value"
    ) -> Floats | None:
        information = self.answers.informations.get((layer, s, q, kind, weight))
        return None if information is None else information.by(estimator)

    def _information(self, layer: str, estimator: str, weight: str, q: Question) -> SetMean | None:
        def of_layer(one: str) -> SetMean | None:
            return self._over_sets(one, lambda s: self._of_set(one, s, estimator, weight, q))

        return self._mean(layer, of_layer)

    def _in_first_set(self, layer: str, estimator: str, weight: str, q: Question, kind: str) -> Floats | None:
        """(1 + B,) of the first set alone, which has the controls."""
        each = [self._of_set(one, 0, estimator, weight, q, kind) for one in self._mean_over(layer)]
        some = [columns for columns in each if columns is not None]
        return np.mean(some, axis=0) if each and len(some) == len(each) else None

    def _marginal_rows(self, layer: str, estimator: str, position_set: str) -> list[Estimate]:
        rows = []
        n = len(self.questions.position_sets[position_set])
        for what in ("entropy", "ceiling"):
            value = self._marginal(layer, estimator, position_set, what)
            if value is not None:
                row = self._estimate(what, layer, value.times(self.scale), self.unit, position_set=position_set, n=n)
                rows.append(replace(row, estimator=estimator))
        return rows

    def _information_rows(self, quantity: str, layer: str, estimator: str, weight: str, q: Question) -> list[Estimate]:
        value = self._information(layer, estimator, weight, q)
        if value is None:
            if layer == "model" and self._mean_over("model") and estimator in self.estimators:
                self.warnings.append(
                    f"{quantity} of {q.side}{'' if q.order is None else f', {q.position_set}'}: no label occurs in two "
                    f"documents, so {estimator} says nothing"
                )
            return []
        controls = self._controls(layer, estimator, weight, q) if estimator in self.estimators else {}
        row = self._estimate(
            quantity,
            layer,
            value.times(self.scale),
            self.unit,
            side=q.side,
            order=q.order,
            weight=weight,
            position_set=q.position_set,
            repeated_mass=self.repeated[q],
            n=len(self.questions.position_sets[q.position_set]),
            **controls,
        )
        row = replace(row, estimator=estimator)
        return [replace(row, warning=doubt_of(row, self.capture.m, self.scale))]

    def _controls(self, layer: str, estimator: str, weight: str, q: Question) -> Controls:
        """Those of the first set: they are about labels and documents, and say of every set the same."""
        value, permuted, shifted, *halves = (
            self._in_first_set(layer, estimator, weight, q, kind) for kind in ("value", "permuted", "shifted", *HALVES)
        )
        halved = None
        if halves[0] is not None and halves[1] is not None and value is not None:
            halved = (halves[0] + halves[1]) / 2 - value
        (a, a_error), (b, b_error), (c, c_error) = map(self._control, (permuted, shifted, halved))
        return {
            "control_permuted": a, "control_permuted_error": a_error, "control_shifted": b,
            "control_shifted_error": b_error, "control_halved": c, "control_halved_error": c_error,
        }  # fmt: skip

    def _control(self, columns: Floats | None) -> tuple[float | None, float | None]:
        if columns is None:
            return None, None
        error = standard_error_of(columns[1:] * self.scale) if len(columns) > 1 else None
        return float(columns[0] * self.scale), error

    def _order_rows(self, layer: str, estimator: str, weight: str, k: int, name: str) -> list[Estimate]:
        rows: list[Estimate] = []
        by_side: dict[str, SetMean | None] = {}
        for side, quantity in SIDES.items():
            q = Question(side, k, name, own=True)
            rows += self._information_rows(quantity, layer, estimator, weight, q)
            by_side[side] = self._information(layer, estimator, weight, q)
        if k > 1 and weight == "frequency" and name == f"P_{k}":
            next_token = self.questions.of("output", 1, k)
            rows += self._information_rows("expressivity", layer, estimator, weight, next_token)
        x, y = by_side["input"], by_side["output"]
        if x is not None and not self._is_there(x) and layer not in self.empty:
            self.empty.append(layer)
        if x is not None and y is not None and self._is_there(x):
            more: Described = {"order": k, "weight": weight, "position_set": name, "n": rows[0].n}
            doubt = next((r.warning for r in rows if r.warning), None)
            mass = rows[0].repeated_mass
            ratio = self._estimate("optimality", layer, y / x, "ratio", **more)
            rows.append(replace(ratio, warning=doubt, estimator=estimator, repeated_mass=mass))
            if layer == "model":
                each = self._mean(layer, lambda one: self._ratio(one, estimator, weight, k, name))
                if each is not None:
                    mean = self._estimate("mean_ratio_optimality", layer, each, "ratio", **more)
                    rows.append(replace(mean, estimator=estimator))
        return rows

    def _ratio(self, layer: str, estimator: str, weight: str, k: int, name: str) -> SetMean | None:
        x, y = (self._information(layer, estimator, weight, Question(side, k, name, True)) for side in SIDES)
        return None if x is None or y is None or not self._is_there(x) else y / x

    def _is_there(self, information: SetMean) -> bool:
        """Whether an information (nats) is more than rounding leaves of none, so that it can be divided by."""
        return bool((np.abs(information.columns) > _ROUNDING * math.log(self.capture.m)).all())

    def _share_rows(self, layer: str, estimator: str) -> list[Estimate]:
        """What each order adds to the one before, on the common positions; then what no order explains."""
        widest = self.questions.orders[-1]
        position_set = f"P_{widest}"
        ceiling = self._marginal(layer, estimator, position_set, "ceiling")
        n = len(self.questions.position_sets[position_set])
        if ceiling is None or "frequency" not in self.weights:
            return []
        rows = []
        for side in SIDES:
            before: SetMean | None = None
            more: Described = {"side": side, "weight": "frequency", "position_set": position_set, "n": n}
            for j in range(1, widest + 1):
                value = self._information(layer, estimator, "frequency", self.questions.of(side, j, widest))
                if value is None:
                    break
                added = value if before is None else value - before
                share = self._estimate("share", layer, added.times(self.scale), self.unit, **more)
                rows.append(replace(share, order=j))
                before = value
            else:
                assert before is not None
                rows.append(self._estimate("share", layer, (ceiling - before).times(self.scale), self.unit, **more))
        return [replace(row, estimator=estimator) for row in rows]

    def _part_rows(self, layer: str, estimator: str) -> list[Estimate]:
        """What the ceiling is spent on, by the chain rule, and what documents by themselves make of expressivity."""
        if estimator == PLUGIN or "frequency" not in self.weights or not self.questions.of_documents:
            return []
        ceiling = self._marginal(layer, estimator, "P_1", "ceiling")
        token = self._information(layer, estimator, "frequency", self.questions.of("input", 1))
        rest = self._mean(layer, lambda one: self._over_sets(one, lambda s: self._rest(one, s, estimator)))
        of_documents = self._information(layer, NULL_CURVE, "frequency", self.questions.of_documents[-1])
        if ceiling is None or token is None or rest is None or of_documents is None:
            return []
        more: Described = {"weight": "frequency", "position_set": "P_1", "n": len(self.questions.position_sets["P_1"])}
        parts = {
            ("ceiling_part", "token"): token,
            ("ceiling_part", "document"): ceiling - token - rest,
            ("ceiling_part", "rest"): rest,
            ("expressivity_part", "document"): of_documents,
        }
        rows = [
            self._estimate(quantity, layer, part.times(self.scale), self.unit, **more)
            for (quantity, _), part in parts.items()
        ]
        return [replace(row, side=side, estimator=estimator) for (_, side), row in zip(parts, rows, strict=True)]

    def _rest(self, layer: str, s: int, estimator: str) -> Floats | None:
        """(1 + B,) what neither the token nor the document tells: what the token leaves, times the share of it that
        the document leaves. The share is of labels as rare as each other, so what rare labels hide cancels."""
        ceiling = self.answers.marginals[layer, s, "P_1"].ceiling_corrected
        both, dealt, _ = (self._of_set(layer, s, NULL_CURVE, "frequency", q) for q in self.questions.of_documents)
        token = self._of_set(layer, s, estimator, "frequency", self.questions.of("input", 1))
        if token is None or both is None or dealt is None:
            return None
        left = ceiling - dealt
        there = np.abs(left) > _ROUNDING * math.log(self.capture.m)
        share = np.divide(ceiling - both, left, out=np.ones_like(left), where=there)
        rest: Floats = (ceiling[: len(token)] - token) * share[: len(token)]
        return rest

    def _estimate(self, quantity: str, layer: str, figure: SetMean, unit: str, **fields: Unpack[Described]) -> Estimate:
        return Estimate.made(quantity, layer, figure.columns, unit, figure.points, **fields)

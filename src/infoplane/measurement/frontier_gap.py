r"""A model's code against the frontier of the text: how far below is it, and what does context add?

Z' sees the whole context, a code of k-grams does not, so the two do not compare. What compares is the projection Z'_k,
the code that knows the k-gram alone:

    p(j | x_k) = E[a_j | X_k = x_k],     I(X_k; Z'_k) = I(X_k; Z'),
    gap_k = F_k(I(X_k; Z')) - I(Y; Z'_k),     context_gain_k = I(Y; Z') - I(Y; Z'_k),     Y the next token.

The mean assignment of a k-gram over its own occurrences would not do: where there is one, it is the state itself, with
all its context. So each position takes the mean over the occurrences of its k-gram in the other half of the documents.
That is an unbiased draw of p(. | x_k), in which nothing of the position's own context and successor is left, and what
Y says of it is I(Y; Z'_k), however few the occurrences. It needs a k-gram that the other half has: all figures here are
of those positions (`P_k seen`), of complexity, relevance and frontier alike. Rows of a token embedding are the same at
every occurrence, so its context gain at order 1 must be 0: a control that any model brings along.

Two placebos stand beside the gain, codes that know nothing of what follows but the k-gram, so that their gain is 0 in
truth, at order 1 and above. What is read in its place is the error of the estimate for rows as sharp as the layer's.
`placebo_gain_k`: each position takes the row of *another* occurrence of its k-gram, drawn from the other half.
`noise_gain_k`: it takes a draw around the mean of its k-gram, from the Dirichlet distribution of that mean whose
concentration makes rows as sharp on the average as those of the layer.

The frontier is achieved, so it is too low as long as more text to fit on would raise it. Beside it stand

    frontier_moved_k = F_k - F_k of half the text,     frontier_upper_k, how high it may be (`Frontier.upper_at`),
    gap_at_most_k = frontier_upper_k - I(Y; Z'_k).

Where doubling the text moves the frontier by more than its standard error, the gap lies between `gap` and
`gap_at_most`, and a warning says so. A gap that is negative by more than two standard errors is the frontier's fault:
the projection is a code of the k-gram like any other, so the true curve lies above it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import sparse

from infoplane.bottleneck import MIN_SEEN, Frontier, Joined, Positions, Steps
from infoplane.capture import Capture
from infoplane.errors import SettingError
from infoplane.information import THINNED, Floats, Grouping, Marginal, NullCurve, Rows, information, unit_scale
from infoplane.measurement.estimate import Estimate, with_layers_borrowing
from infoplane.measurement.results import Measurement
from infoplane.measurement.set_means import SetMean
from infoplane.text import Labels

QUANTITIES = ("projection_complexity", "projection", "frontier", "gap", "context_gain")
"""Of the projection of a code to the k-gram, in nats or their unit: see above."""
OF_THE_FIT = ("frontier_moved", "frontier_upper", "gap_at_most")
"""How far the frontier can be trusted: none of a frontier that was fitted to too little text to tell."""
PLACEBOS = ("placebo_gain", "noise_gain")
"""What is read in the place of `context_gain` where it is 0 in truth."""


def with_bound(
    measurement: Measurement,
    capture: Capture,
    frontiers: Sequence[Frontier],
    *,
    threads: int | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> Measurement:
    """Add the rows that compare each layer with the bound of the text, and the frontiers to the provenance.

    The rows are `projection_complexity`, `projection`, `frontier`, `gap` and `context_gain` of each layer and order
    and, if they can be computed, `placebo_gain`, `noise_gain`, `frontier_moved`, `frontier_upper` and `gap_at_most`.

    Args:
        measurement: a measurement of the capture.
        capture: the capture.
        frontiers: the `frontiers` of a bound of the capture's windows, as from `infoplane.bound_of`.
        threads: number of threads; by default one per core.
        progress: called as `progress(stage, done, total)`.

    Raises:
        SettingError: frontiers of other windows, or with another number of symbols than the capture has points.
    """
    unit = str(measurement.provenance["settings"]["unit"])
    scale = unit_scale(unit, capture.m)
    for frontier in frontiers:
        _refuse_other(frontier, capture)
    seen = [frontier for frontier in frontiers if frontier.positions == "seen" and frontier.target == 1]
    placed = _Placing(capture, seen)
    placed.add_all(threads, progress)
    rows: list[Estimate] = []
    for layer in [*capture.layers, "model"]:
        for frontier in seen:
            rows += placed.rows(layer, frontier, unit, scale)
    rows = with_layers_borrowing([replace(row, code=capture.record["code"]) for row in rows])
    doubts = _in_doubt(rows, sorted({frontier.order for frontier in frontiers}))
    provenance = {
        **measurement.provenance,
        "bound": [frontier.summary(scale) for frontier in frontiers],
        "warnings": list(dict.fromkeys([*measurement.provenance["warnings"], *doubts])),
    }
    return replace(measurement, estimates=(*measurement.estimates, *rows), provenance=provenance)


def _in_doubt(rows: Sequence[Estimate], asked: Sequence[int]) -> list[str]:
    """Where the frontier was fitted to too little text, and where it lies below a code that the model has."""
    warnings = []
    for order in asked:
        if not any(row.order == order for row in rows):
            warnings.append(
                f"the model is not placed against the bound of order {order}: fewer than {MIN_SEEN:,} positions of a "
                f"half of the documents have {'a token' if order == 1 else f'{order} tokens in a row'} that the other "
                "half has; give more text or tokens"
            )
    of = {(row.quantity, row.order, row.layer): row for row in rows}
    for order in sorted({row.order for row in rows if row.order is not None}):
        layers = list(dict.fromkeys(row.layer for row in rows if row.order == order))
        moved = [layer for layer in layers if _moves(of, order, layer)]
        if moved:
            warnings.append(
                f"the frontier of order {order} still rises with the text that it is fitted on, at the complexity of "
                f"{_listed(moved, layers)}: there the gap lies between gap and gap_at_most"
            )
        below = [
            layer
            for layer in layers
            if (gap := of["gap", order, layer]).standard_error is not None and gap.value < -2 * gap.standard_error
        ]
        if below:
            warnings.append(
                f"the frontier of order {order} lies below what the model's own code of the last "
                f"{'token' if order == 1 else f'{order} tokens'} tells, in {_listed(below, layers)}: that is a fault "
                "of the frontier, not a merit of the model; fit it on more text"
            )
    return warnings


def _moves(of: Mapping[tuple[str, int | None, str], Estimate], order: int, layer: str) -> bool:
    moved, frontier = of.get(("frontier_moved", order, layer)), of["frontier", order, layer]
    error = frontier.standard_error
    return moved is not None and error is not None and moved.value >= error


def _listed(some: Sequence[str], layers: Sequence[str]) -> str:
    if set(some) == set(layers):
        return "all layers"
    named = ["the whole model" if layer == "model" else layer for layer in some]
    return ", ".join(named) if len(named) < 6 else f"{named[0]}, {named[1]} and {len(named) - 2} more"


def _refuse_other(frontier: Frontier, capture: Capture) -> None:
    """Refuse a frontier of other windows, or of codes with another number of symbols."""
    hash_of_windows = capture.windows.hash
    if frontier.windows_hash not in (None, hash_of_windows):
        raise SettingError(
            f"the bound of order {frontier.order} was fitted to other windows ({frontier.windows_hash[:12]}...) than "
            f"those of the capture ({hash_of_windows[:12]}...): to other text, or by another tokenizer, context or "
            "seed; fit it to the windows of the capture, bound_of(capture.windows, ...)"
        )
    if frontier.m != capture.m:
        raise SettingError(
            f"the bound was fitted for codes of {frontier.m} symbols, and the model is read with {capture.m} reference "
            "points: fit it with the same number"
        )


class _Placing:
    """What a capture's layers keep at the positions of the frontiers."""

    def __init__(self, capture: Capture, frontiers: Sequence[Frontier]) -> None:
        self.capture = capture
        self.found: dict[tuple[str, int, int], dict[str, Floats] | None] = {}
        windows = capture.windows
        blocks = windows.blocks
        joined = Joined.of(windows, max((f.order for f in frontiers), default=1))
        self.orders = [_Order(f, Positions.of(joined, f.order), windows.position_document, blocks) for f in frontiers]

    def rows(self, layer: str, frontier: Frontier, unit: str, scale: float) -> list[Estimate]:
        """The rows of `QUANTITIES` of a layer, or of the whole model: the mean over its blocks."""
        blocks = [name for name in self.capture.layers if name.startswith("block.")]
        layers = blocks if layer == "model" else [layer]
        sets = range(self.capture.sets)
        figures = {
            (name, s): figure
            for name in layers
            for s in sets
            if (figure := self.found[name, s, frontier.order]) is not None
        }
        if not layers or len(figures) < len(layers) * len(sets):
            return []
        rows = []
        for quantity in (*QUANTITIES, *PLACEBOS, *OF_THE_FIT):
            if any(quantity not in figure for figure in figures.values()):
                continue
            each = [
                SetMean.of_layer(self.capture.draw(name), [figures[name, s][quantity] for s in sets]) for name in layers
            ]
            mean = SetMean.over(each).times(scale)
            rows.append(
                Estimate.made(
                    quantity,
                    layer,
                    mean.columns,
                    unit,
                    mean.points,
                    order=frontier.order,
                    weight="frequency",
                    estimator=THINNED,
                    n=frontier.n,
                    position_set=f"P_{frontier.order} seen",
                    repeated_mass=frontier.seen,
                )
            )
        return rows

    def add_all(self, threads: int | None, progress: Callable[[str, int, int], object] | None) -> None:
        """Find the figures of all layers and sets."""
        every = list(product(self.capture.layers, range(self.capture.sets)))
        steps = Steps(len(every), None if progress is None else partial(progress, "placing"))
        steps.side_by_side({of: partial(self._add, *of, steps.tick) for of in every}, threads)

    def _add(self, layer: str, s: int, tick: Callable[[], object]) -> None:
        rows = Rows.of(self.capture.read(layer, s))
        for order in self.orders:
            self.found[layer, s, order.frontier.order] = order.place(rows)
        tick()


class _Order:
    """One order: its positions, and the labels of them."""

    def __init__(
        self, frontier: Frontier, p: Positions, document: npt.NDArray[np.int32], blocks: npt.NDArray[np.int32] | None
    ) -> None:
        seen = p.is_seen
        if int(seen.sum()) != frontier.n:
            raise SettingError(
                f"the bound stands on {frontier.n} positions of order {frontier.order}, these windows have "
                f"{int(seen.sum())}: it was fitted to other text"
            )
        self.frontier, self.document, self.blocks = frontier, document, blocks
        self.rows = p.rows[seen]
        self.input, self.output = (
            Grouping.of(
                Labels(self.rows, np.unique(codes[seen], return_inverse=True)[1].astype(np.int32)), document, blocks
            )
            for codes in (p.grams[-1], p.y)
        )
        # for each half a matrix that takes means over the other half's occurrences of each k-gram, and one of them
        self.means = []
        self.another = np.empty(len(self.rows), np.int32)
        draw = np.random.Generator(np.random.PCG64([frontier.order, 8]))
        codes = p.grams[-1]
        for half in (0, 1):
            other = p.half != half
            n = np.bincount(codes[other], minlength=int(codes.max()) + 1)
            entries = (1 / n[codes[other]], (codes[other], p.rows[other]))
            mean = sparse.csr_array(entries, shape=(len(n), len(document)))
            at = np.flatnonzero(seen & (p.half == half))
            place = np.searchsorted(np.flatnonzero(seen), at)
            self.means.append((place, mean, codes[at]))
            by_code = p.rows[other][np.argsort(codes[other], kind="stable")]
            self.another[place] = by_code[(np.cumsum(n) - n)[codes[at]] + draw.integers(n[codes[at]])]

    def place(self, rows: Rows) -> dict[str, Floats] | None:
        """Each of `QUANTITIES` and of `OF_THE_FIT` (1 + B,), nats; None where nothing can be said."""
        curve = NullCurve.of(rows, self.rows)  # of these positions, which are not like all
        marginal = Marginal.of(rows, self.rows, self.document, self.blocks)
        complexity = information(rows, self.input, marginal, curve, thinned=True).thinned
        relevance = information(rows, self.output, marginal, curve, thinned=True).thinned
        # rows that are not asked about stay as they are: what is made of rare labels hangs on all rows of a layer
        x = rows.get(np.arange(len(self.document), dtype=np.int32))
        projected = x.astype(np.float16)
        for place, mean, codes in self.means:
            projected[self.rows[place]] = (mean @ x)[codes]
        projection = self._told(projected)
        noise = _noisy(projected[self.rows], x[self.rows], self.frontier.order)
        placebos = [self._told(self._with(projected, of)) for of in (x[self.another], noise)]
        if complexity is None or relevance is None or projection is None:
            return None
        reach = self.frontier.at(complexity)
        moved, upper = self.frontier.moved_at(complexity), self.frontier.upper_at(complexity)
        return {
            "projection_complexity": complexity,
            "projection": projection,
            "frontier": reach,
            "gap": reach - projection,
            "context_gain": relevance - projection,
            **{name: told - projection for name, told in zip(PLACEBOS, placebos, strict=True) if told is not None},
            **({} if moved is None else {"frontier_moved": moved}),
            **({} if upper is None else {"frontier_upper": upper, "gap_at_most": upper - projection}),
        }

    def _with(self, assigned: npt.NDArray[np.float16], here: Floats) -> npt.NDArray[np.float16]:
        """The same with other rows at the positions."""
        other = assigned.copy()
        other[self.rows] = here
        return other

    def _told(self, assigned: npt.NDArray[np.float16]) -> Floats | None:
        """(1 + B,) what other assignments (N, m) at these positions tell of the next token, nats."""
        rows = Rows.of(assigned)
        marginal = Marginal.of(rows, self.rows, self.document, self.blocks)
        return information(rows, self.output, marginal, NullCurve.of(rows, self.rows), thinned=True).thinned


def _noisy(mean: npt.NDArray[np.float16], rows: Floats, order: int) -> Floats:
    """(n, m) a draw around each mean, on the average as sharp as the rows: of like sums of squares.

    Of a row drawn from Dirichlet(c p) the mean is p, and the sum of squares s = sum p^2 is (1 + c s) / (1 + c).
    """
    p = mean.astype(np.float64)
    p /= p.sum(1, keepdims=True)
    flat, sharp = float((p**2).sum(1).mean()), float((rows**2).sum(1).mean())
    if sharp <= flat * (1 + 1e-6):
        return p
    c = (1 - sharp) / (sharp - flat)
    drawn = np.random.Generator(np.random.PCG64([order, 9])).standard_gamma(np.maximum(c * p, 1e-12))
    total = drawn.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0, drawn / np.maximum(total, 1e-300), p), np.float64)

r"""Phases of a training run: where a quantity rises (fitting), falls (compression) or does neither (plateau).

Over `x = log(1 + step)` the T values of one run are a trend, errors of the text and the wandering of the optimiser:

    v_t = f(x_t) + text_t + s w_t,    f continuous and piecewise linear with 0 to 3 knots.

The text's covariance between checkpoints i and j is known from the jackknife, `(B - 1) / B * sum_b (r_ib - mean_i)
(r_jb - mean_j)`, and that of reference points from what sets contribute; what moves all checkpoints alike cancels. The
wandering w is not known. It is one of 21 kinds: level
AR(1) with 0, 0.5, 0.8 or 1 (a random walk), or AR(1) increments with 0.5; from checkpoint to checkpoint with variance
(step gap)^g, g = -0.5, 0, 0.5 or 1 (1: a walk in steps, which over checkpoints spaced by logarithm is nearly all at the
end); or independent with the outliers of a t of 3 degrees of freedom.

**Is there a fall?** The strongest fall over all i < j, as a difference and as a line through all between, over its
standard error under w, and that over the scale `E / sqrt(D)`: E and D are the mean squares of the residuals of f with 3
knots (the best two, then the best third) and of the residuals' steps. (Of scales, this one makes least of smooth
wandering.) Its law is drawn from runs without trend, with the same steps and the same fit, so what 3 knots take from
the noise of few checkpoints is in it; a rise before or after only makes a fall less. p is the largest over the kinds of
wandering that the run leaves possible: one is dropped where D / E, the autocorrelation of the residuals' steps or their
growth along the run is beyond its own quantile (`level / 5` in all, added to p: Berger and Boos 1994). A rise is the
same upside down.

**Several seeds.** Runs of one configuration share f; what they do differently is wandering without trend. Then E and D
are of `sqrt(R / (R - 1)) (v_rt - mean over runs)`, nothing is fitted, the scale is sqrt(D), and four more kinds are
asked: increments of 0.8, which one run cannot tell from a trend. What all seeds do alike (the schedule's doing, say) is
trend.

**Where?** Generalised least squares under each possible kind of wandering, with knots on a grid. A kind weighs what its
own roughness and growth say of the run's (its likelihood would not do: knots that follow a walk leave white residuals),
and within a kind the number of knots weighs `exp(-BIC / 2)` (Schwarz 1978; a knot counts as 3 coefficients, for its
place is the best of many), their places `(RSS + S)^-((T - 2 + nu) / 2)`, S the squares of what seeds do differently and
nu = (R - 1) (T - 1) their degrees of freedom, 0 for one run. From these weights come draws of kind, knots and heights,
and so the intervals; the size of the noise is drawn as the run's D over a simulated one.

Phases as in "Learning is Forgetting: LLM Training As Lossy Compression" (ICLR 2026, arXiv 2604.07569). Sources: Berger
and Boos, "P values maximized over a confidence set for the nuisance parameter", JASA 89 (1994); Schwarz, "Estimating
the dimension of a model", Annals of Statistics 6 (1978). The statistic and its scale are worked out here, and
`bench/phases.py` measures what they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from infoplane.analysis.training.optimiser_noise import KNOTS, TINY, Floats, Test, frame_of
from infoplane.analysis.training.phase_knots import Shape
from infoplane.analysis.training.phase_types import (
    COMPRESSION,
    FITTING,
    PLATEAU,
    SIGNS,
    Change,
    Claim,
    Evidence,
    Phase,
    Phases,
    claim,
)
from infoplane.errors import SettingError

__all__ = [
    "COMPRESSION",
    "FITTING",
    "MIN_CHECKPOINTS",
    "PLATEAU",
    "Change",
    "Claim",
    "Evidence",
    "Phase",
    "Phases",
    "claim",
    "find_phases",
    "phases_of_seeds",
]

MIN_CHECKPOINTS = 8
"""A curve with 3 knots has 5 coefficients; with fewer checkpoints nothing is left to tell the noise by."""


def find_phases(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    replicates: npt.ArrayLike | None = None,
    *,
    points: npt.ArrayLike | None = None,
    level: float = 0.05,
    loss: npt.ArrayLike | None = None,
    seed: int = 0,
    draws: int = 999,
) -> Phases:
    """Find the phases of one training run: where a quantity rises (fitting), falls (compression) or does neither.

    Args:
        steps: (T,) training steps of the checkpoints, increasing; at least 8.
        values: (T,) the quantity.
        replicates: (T, B) its jackknife replicates over the same B blocks of documents; None for no error of the text.
        points: (T, K) columns whose outer product is the covariance of the values due to the reference points
            (`Series.of_points`).
        level: accepted probability of a false phase, for compression and for fitting each.
        loss: (T,) loss of the model on held-out text, to tell whether it has stopped falling.
        seed: seed of the simulated runs.
        draws: number of simulated runs for each kind of noise.

    Raises:
        SettingError: arrays that are not as above, a `level` not between 0 and 0.5, or too few `draws` for it.
    """
    run = _checked(steps, values, replicates, points, loss, level, draws)
    return _phases_of([run], 0, level, seed, draws)


def phases_of_seeds(
    steps: npt.ArrayLike,
    values: Sequence[npt.ArrayLike],
    replicates: Sequence[npt.ArrayLike] | None = None,
    *,
    points: Sequence[npt.ArrayLike] | None = None,
    level: float = 0.05,
    losses: Sequence[npt.ArrayLike] | None = None,
    seed: int = 0,
    draws: int = 999,
) -> tuple[Phases, ...]:
    """Find the phases of each of several runs that differ only in their seed, to be given to `claim`.

    The differences between seeds show the noise of the optimiser, which need not be assumed. So smaller phases are
    found than by `find_phases` in each run alone, and fewer false ones. What all seeds have in common counts as trend.

    Args:
        steps: (T,) training steps of the checkpoints, the same for all runs.
        values: for each of two runs or more, (T,) the quantity.
        replicates: for each run (T, B), over the same blocks of the same documents.
        points: for each run (T, K).
        losses: for each run (T,).
        level, seed, draws: as for `find_phases`.

    Returns:
        The phases of each run.

    Raises:
        SettingError: as for `find_phases`; fewer than two runs; or arguments for different numbers of runs or columns.
    """
    values, n = list(values), len(values)
    replicates, points, losses = (None if given is None else list(given) for given in (replicates, points, losses))
    if n < 2:
        raise SettingError(f"{n} run: seeds are compared, so give two or more; find_phases() takes one run")
    for name, given in {"replicates": replicates, "points": points, "losses": losses}.items():
        if given is not None and len(given) != n:
            raise SettingError(f"{name} of {len(given)} runs, values of {n}: expected one for each")
    runs = [
        _checked(
            steps,
            values[i],
            None if replicates is None else replicates[i],
            None if points is None else points[i],
            None if losses is None else losses[i],
            level,
            draws,
        )
        for i in range(n)
    ]
    columns = {run.text.shape[1] for run in runs}
    if len(columns) > 1:
        raise SettingError(
            f"replicates and points of {sorted(columns)} columns: expected the same documents and reference points for "
            "every run"
        )
    return tuple(_phases_of(runs, i, level, seed, draws) for i in range(n))


@dataclass(frozen=True, eq=False)
class _Given:
    step: npt.NDArray[np.int64]
    value: Floats
    text: Floats
    loss: Floats | None


def _phases_of(runs: Sequence[_Given], which: int, level: float, seed: int, draws: int) -> Phases:
    order = [runs[which], *(run for i, run in enumerate(runs) if i != which)]
    value, text = np.stack([run.value for run in order]), np.stack([run.text for run in order])
    frame = frame_of(tuple(order[0].step.tolist()), len(order), draws, seed)
    test = Test(frame, value, text, level, seed)
    p = {name: test.p_value(sign) for name, sign in SIGNS.items()}
    beyond = {name: p[name] <= level for name in p}
    # where nothing was found all is plateau, and knots would mark nothing
    segments, changes = Shape(frame, value, text, test, KNOTS if any(beyond.values()) else 0, seed).phases(beyond)
    evidence = {}
    for name, sign in SIGNS.items():
        sizes = [abs(s.change) for s in segments if s.kind == name]
        amount = max(sizes) if sizes else test.amount(sign)
        what = "fall" if sign < 0 else "rise"
        said = "more than noise gives" if beyond[name] else "no more than noise can give"
        evidence[name] = Evidence(p[name], beyond[name], amount, f"a {what} of {amount:.3g}, p = {p[name]:.3g}: {said}")
    loss = order[0].loss
    saturated = None if loss is None else _saturated(frame.x, loss, level)
    verdict = _verdict(segments, changes, beyond, saturated)
    return Phases(segments, changes, evidence[COMPRESSION], evidence[FITTING], saturated, verdict)


def _checked(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    replicates: npt.ArrayLike | None,
    points: npt.ArrayLike | None,
    loss: npt.ArrayLike | None,
    level: float,
    draws: int,
) -> _Given:
    given = {"steps": steps, "values": values, "replicates": replicates, "points": points, "loss": loss}
    arrays = {name: _array(name, raw, np.size(steps)) for name, raw in given.items() if raw is not None}
    step = arrays["steps"]
    _check_steps(step)
    if not 0 < level < 0.5:
        raise SettingError(f"level is {level}: expected a chance between 0 and 0.5, such as 0.05")
    if 1 / (draws + 1) > 0.8 * level:
        raise SettingError(f"{draws} draws cannot show a p value of {level}: give at least {int(1.25 / level) + 1}")
    rows = arrays.get("replicates", np.zeros((len(step), 0)))
    blocks = rows.shape[1]
    if blocks == 1:
        raise SettingError("replicates have one block: expected two or more, or None where there is no error")
    rows = rows - rows.mean(0)  # a shift of all checkpoints alike
    root = np.sqrt((blocks - 1) / blocks) * (rows - rows.mean(1, keepdims=True)) if blocks else rows
    of_points = arrays.get("points", np.zeros((len(step), 0)))
    root = np.hstack((root, of_points - of_points.mean(0)))
    value = arrays["values"] - arrays["values"].mean()
    if np.ptp(value) < 1e-13 * np.abs(arrays["values"]).max():  # rounding
        value = np.zeros_like(value)
    return _Given(step.astype(np.int64), value, root, arrays.get("loss"))


def _array(name: str, raw: npt.ArrayLike, steps: int) -> Floats:
    """Numbers, one or one row for each step."""
    try:
        array: Floats = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise SettingError(f"{name} are not numbers in a regular array") from None
    ndim = 2 if name in ("replicates", "points") else 1
    if array.ndim != ndim or len(array) != steps:
        expected = f"({steps}, {'blocks' if name == 'replicates' else 'columns'})" if ndim == 2 else f"({steps},)"
        raise SettingError(f"{name} have shape {array.shape}: expected {expected}, one for each step")
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))[0])
        raise SettingError(f"{name}[{where}] is not finite: leave out checkpoints that could not be measured")
    return array


def _check_steps(step: Floats) -> None:
    """Refuse what are no steps of training, or too few."""
    if (step < 0).any() or (step != np.round(step)).any():
        raise SettingError("steps must be whole numbers of training steps, 0 or more")
    if (np.diff(step) <= 0).any():
        i = int(np.argmax(np.diff(step) <= 0))
        raise SettingError(
            f"steps must grow, each once: {step[i + 1]:.0f} follows {step[i]:.0f}; sort them, and drop duplicates"
        )
    if len(step) < MIN_CHECKPOINTS:
        raise SettingError(f"{len(step)} checkpoints: phases need at least {MIN_CHECKPOINTS}; measure more of the run")


def _saturated(x: Floats, loss: Floats, level: float) -> bool:
    """Whether the loss of the last third of the checkpoints (4 or more) falls no more than its noise."""
    n = max(4, len(x) // 3)
    centred, y = x[-n:] - x[-n:].mean(), loss[-n:] - loss[-n:].mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - slope * centred
    error = np.sqrt(rest @ rest / (n - 2) / (centred @ centred))
    near = np.clip(rest[1:] @ rest[:-1] / max(float(rest @ rest), 1e-300), 0, 0.8)  # neighbours that err together
    error = max(error * np.sqrt((1 + near) / (1 - near)), TINY * float(np.ptp(loss)) / float(np.ptp(centred)))
    return bool(slope > -stdtrit(n - 2, 1 - level) * error) if error else True


def _verdict(
    segments: Sequence[Phase], changes: Sequence[Change], detected: dict[str, bool], saturated: bool | None
) -> str:
    words = segments[0].kind if len(segments) > 1 else f"{segments[0].kind} throughout"
    for change, after in zip(changes, segments[1:], strict=True):
        low, high = change.interval
        words += f" until step {change.step:,.0f} ({low:,.0f} to {high:,.0f}), then {after.kind}"
    if detected[COMPRESSION]:
        return words
    ending = {
        False: "the loss is still falling, so it may yet come",
        True: "the loss has stopped falling, so none is to be expected",
        None: "without the loss it is not known whether one may yet come",
    }
    return f"no compression phase found; {ending[saturated]}; {words}"

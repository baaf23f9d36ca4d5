r"""Estimates judged against swaps within pairs: less their mean, and an interval that is right at 0 and far from it.

If preferences mean nothing, the true labels are one more draw of the swap, so the mean of R draws is the bias of the
estimate, and is subtracted; and their spread s is the error of a zero, which the jackknife does not know: these figures
are quadratic in the differences between answers, with a gradient of 0 at 0, where the jackknife counts the variance
twice and more (Efron and Stein 1981). The variance of such a figure grows linearly with it, from s^2 at 0 to the
jackknife's at the estimate I^, and the interval is the set of I that the estimate does not reject, as Wilson's is for a
proportion:

    (I^ - I)^2 <= t^2 (s^2 (1 + 1/R) + c max(I, 0)),    c = max(SE_jackknife^2 - s^2, 0) / max(I^, t s),

t of min(B, R) - 1 degrees of freedom. It contains 0 where I^ lies within t s of the swaps, and is the jackknife's, a
little longer above than below, where I^ is far from 0.

Sources: Ernst, "Permutation methods", Statistical Science 19 (2004); Efron and Stein, "The jackknife estimate of
variance", Annals of Statistics 9 (1981); Wilson, "Probable inference", JASA 22 (1927). The combination is
worked out here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from infoplane.information import Floats
from infoplane.measurement.estimate import Described, Estimate

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from infoplane.uncertainty import PointsPart


CENTRED, PLUGIN_CENTRED = "null-curve, swap-centred", "plugin, swap-centred"
"""Ids of the estimators: null-curve or plugin, less the mean of the swap control."""


def centred(
    quantity: str,
    layer: str,
    value: Floats,
    swapped: Floats,
    unit: str,
    points: PointsPart | None = None,
    plugin: bool = False,
    **fields: Unpack[Described],
) -> Estimate:
    """The row of an estimate less the mean of its swap control, with the interval of this module.

    Args:
        quantity, layer: of the row.
        value: (1 + B,) the estimate and its replicates; (1,) where there are too few pairs for errors.
        swapped: (R,) the estimate after each swap.
        unit: of the values.
        points: what each set of reference points contributes.
        plugin: whether it is the plug-in estimate.
        **fields: more of the row.
    """
    v = value - swapped.mean()
    row = Estimate.made(quantity, layer, v, unit, points, estimator=PLUGIN_CENTRED if plugin else CENTRED, **fields)
    if row.standard_error is None or row.total_error is None:
        return row
    text, _ = score_interval(row.value, row.standard_error, swapped, len(v) - 1)
    total, interval = score_interval(row.value, row.total_error, swapped, len(v) - 1)
    return replace(row, standard_error=text, total_error=total, interval=interval)


def score_interval(value: float, jackknife: float, swapped: Floats, blocks: int) -> tuple[float, tuple[float, float]]:
    """Standard error and 95 % interval of a centred estimate, by the equation above.

    Args:
        value: the estimate, less the mean of the swaps.
        jackknife: its standard error by the jackknife, with that of the reference points where they count.
        swapped: (R,) the swap draws.
        blocks: B of the jackknife.
    """
    draws = len(swapped)
    spread = float(swapped.var(ddof=1))
    null = spread * (1 + 1 / draws)
    t = float(stdtrit(min(blocks, draws) - 1, 0.975))
    half = t * math.sqrt(null)
    slope = max(jackknife**2 - spread, 0.0) / max(value, half) if half > 0 or value > 0 else 0.0
    middle = value + t * t * slope / 2
    root = math.sqrt(max(t * t * (null + slope * value) + (t * t * slope / 2) ** 2, 0.0))
    low = value - half if value <= half else middle - root
    high = value + half if value <= -half else middle + root
    return math.sqrt(null + slope * max(value, 0.0)), (low, high)

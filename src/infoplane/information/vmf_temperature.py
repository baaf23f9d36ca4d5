r"""The temperature of the soft assignment.

`exact` is the `eps` at which a von Mises-Fisher density of concentration `kappa = 1/eps` on the unit
sphere S^(d-1) lies log m nats from the uniform one: each of the m codes is then worth about one m-th of
the sphere. With nu = d/2 - 1 and the ratio of Bessel functions A(kappa) = I_(nu+1)(kappa) / I_nu(kappa),

    KL(vMF(kappa) || U) = kappa A(kappa) - log 0F1(; d/2; kappa^2 / 4)  =  log m.

The second term is log[Gamma(d/2) (2/kappa)^nu I_nu(kappa)], written as the hypergeometric series
sum_k (kappa^2/4)^k / (k! (d/2)_k). All its terms are positive, so it is summed in log space without
cancellation, overflow or underflow at any order; SciPy's `ive` underflows at large nu. For small nu and large
kappa, where the series is long, `ive` is accurate and is used instead.

Also offered, to compare with published figures: `leading-order`, eps = 1/sqrt(2 d log m), and
`amos-lower`, the root of a lower bound of the KL that follows from Amos' bounds on A.

Sources: Conklin 2025, arXiv 2505.23960, section 3; Amos, Math. Comp. 28 (1974) 239-251; Mardia and Jupp,
Directional Statistics (2000), 9.3.2; Hornik and Gruen, J. Stat. Software 58(10) (2014) for the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from infoplane.errors import SettingError
from infoplane.information.code_settings import CALIBRATIONS


def kl_vmf_uniform(kappa: float, d: int) -> float:
    """KL divergence in nats of vMF(kappa) from the uniform distribution on S^(d-1), exact for d >= 2."""
    if kappa == 0:
        return 0.0
    nu = d / 2 - 1
    # The series peaks near k = kappa^2 / (4 nu) or kappa / 2, whichever is less: that is its cost.
    if kappa > 2_000 and kappa > nu:
        log_i = math.log(special.ive(nu, kappa))
        ratio = special.ive(nu + 1, kappa) / special.ive(nu, kappa)
        # kappa A - (log I - nu log(kappa/2) + lgamma) with the two terms of size kappa taken together
        return float(kappa * (ratio - 1) - log_i + nu * math.log(kappa / 2) - math.lgamma(nu + 1))
    log_f, log_f_next = _log_0f1(d / 2, kappa), _log_0f1(d / 2 + 1, kappa)
    return kappa * kappa / d * math.exp(log_f_next - log_f) - log_f


def _log_0f1(b: float, kappa: float) -> float:
    """log 0F1(; b; kappa^2/4) by its series in log space."""
    # Terms fall once k (k + b) > kappa^2/4; sixty times the width of the peak past it nothing is left.
    peak = (math.sqrt(b * b + kappa * kappa) - b) / 2
    k = np.arange(1, math.ceil(peak + 60 * math.sqrt(peak + 1) + 60) + 1, dtype=np.float64)
    terms = k * (2 * math.log(kappa / 2)) - special.gammaln(k + 1) - (special.gammaln(k + b) - math.lgamma(b))
    # The first term is 1 and is added last: for small kappa the others would drown in its rounding.
    return float(np.logaddexp(0.0, special.logsumexp(terms)))


def kl_lower_bound(kappa: float, d: int) -> float:
    """A lower bound of `kl_vmf_uniform` from Amos' bounds, for d > 2.

    `A >= kappa / (d/2 + sqrt(kappa^2 + (d/2)^2))`, and log 0F1 is at most the integral of the upper
    bound `kappa / (nu + sqrt(kappa^2 + nu^2))`, in closed form.
    """
    nu, half = d / 2 - 1, d / 2
    below = kappa * kappa / (half + math.hypot(kappa, half))
    root = math.hypot(kappa, nu)
    log_f_above = root - nu + nu * math.log(2 * nu / (nu + root))
    return below - log_f_above


def check_calibration(calibration: str) -> None:
    """Refuse a calibration that is not known.

    Raises:
        SettingError: it is not.
    """
    if calibration not in CALIBRATIONS:
        raise SettingError(f"calibration {calibration!r} is not known; choose one of {', '.join(CALIBRATIONS)}")


@lru_cache(maxsize=256)
def temperature(m: int, d: int, calibration: str = "exact") -> float:
    """The temperature `eps` of the soft assignment to m reference points in d dimensions.

    Args:
        m: number of reference points, at least 2.
        d: dimension of the hidden states, at least 2 (3 for `amos-lower`).
        calibration: `exact`; or `leading-order` or `amos-lower`, to compare with published figures.

    Raises:
        SettingError: m or d is too small, or the calibration is unknown.
    """
    check_calibration(calibration)
    least = 3 if calibration == "amos-lower" else 2
    if m < 2 or d < least:
        raise SettingError(f"m = {m}, d = {d}: {calibration} needs m of at least 2 and d of at least {least}")
    leading = 1 / math.sqrt(2 * d * math.log(m))
    if calibration == "leading-order":
        return leading
    divergence = kl_vmf_uniform if calibration == "exact" else kl_lower_bound
    return 1 / _root(lambda kappa: divergence(kappa, d) - math.log(m), 1 / leading)


def _root(excess: Callable[[float], float], start: float) -> float:
    """Root in kappa of an increasing function, bracketed outwards from `start`, solved in log kappa."""
    low = high = math.log(start)
    while excess(math.exp(low)) > 0:
        low -= 1
    while excess(math.exp(high)) < 0:
        high += 1
    return math.exp(optimize.brentq(lambda t: excess(math.exp(t)), low, high, xtol=1e-14, rtol=1e-14))

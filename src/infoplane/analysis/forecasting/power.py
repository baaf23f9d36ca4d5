r"""How many models a correlation needs to be found.

By Fisher's z, a true correlation r over N independent models is found at two-sided level a with power b if

    N = ((z_(1 - a/2) + z_b) / atanh r)^2 + 3,      and k more where k baselines are partialled out.

With m tests, a is divided by m (Bonferroni: a plan must not count on what the others show). Models of one family are
fewer than independent ones: with intraclass correlations rho_x and rho_y, the variance of a slope, and nearly that of
r, grows by the design effect

    D = 1 + ((Var(n_k) / mean(n_k)) + mean(n_k) - 1) rho_x rho_y,

so that 3 + (N - 3) D models are needed, of families as large as those at hand.

Sources: Fisher (1921), see `infoplane.analysis.forecasting.printed_correlations`; Moulton, "An illustration of a
pitfall in estimating the effects of aggregate variables on micro units", Review of Economics and Statistics 72 (1990).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from infoplane.errors import SettingError
from infoplane.uncertainty import Floats, icc


@dataclass(frozen=True)
class Power:
    """What it takes to find one correlation.

    Attributes:
        feature, score, given: given the baselines named; none for the plain correlation.
        r: supposed true: the one that was seen.
        power, alpha, tests: asked.
        n, families: at hand.
        design_effect: D; 1 where families do not matter.
        models, families_needed: for that power; None where r is 0, for no number is enough.
        detectable: the least |r| that the models at hand find with that power; None where they are too few for any.
    """

    feature: str
    score: str
    given: tuple[str, ...]
    r: float
    power: float
    alpha: float
    tests: int
    n: int
    families: int
    design_effect: float
    models: int | None
    families_needed: int | None
    detectable: float | None


def models_needed(r: float, power: float = 0.8, alpha: float = 0.05, tests: int = 1, design: float = 1.0) -> int:
    """Models for that power at a true correlation r.

    Raises:
        SettingError: r not between -1 and 1 or 0, power or alpha no share, no tests, a design effect below 1.
    """
    if not 0 < abs(r) < 1:
        raise SettingError(f"r = {r}: expected a correlation between -1 and 1 that is not 0")
    return math.ceil(3 + ((_z(power, alpha, tests) / math.atanh(abs(r))) ** 2) * _design(design) - 1e-9)


def detectable(n: int, power: float = 0.8, alpha: float = 0.05, tests: int = 1, design: float = 1.0) -> float | None:
    """The least |r| that n models find with that power; None where n is 3 or fewer.

    Raises:
        SettingError: power or alpha no share, no tests, a design effect below 1.
    """
    return math.tanh(_z(power, alpha, tests) * math.sqrt(_design(design) / (n - 3))) if n > 3 else None


def design_effect(x: Floats, y: Floats, family: npt.NDArray[np.int64]) -> float:
    """By how much families inflate the variance of a correlation of x and y, 1 or more.

    Args:
        x, y: (n,).
        family: (n,) codes 0 .. K-1.
    """
    size = np.bincount(family)
    excess = float(np.var(size) / np.mean(size) + np.mean(size) - 1)
    return 1 + excess * icc(x, family) * icc(y, family)


def _z(power: float, alpha: float, tests: int) -> float:
    for name, share in (("power", power), ("alpha", alpha)):
        if not 0 < share < 1:
            raise SettingError(f"{name} = {share}: expected a share between 0 and 1")
    if tests < 1:
        raise SettingError(f"tests = {tests}: expected 1 or more")
    return float(ndtri(1 - alpha / tests / 2) + ndtri(power))


def _design(design: float) -> float:
    if not design >= 1:
        raise SettingError(f"design effect {design}: expected 1 or more")
    return design

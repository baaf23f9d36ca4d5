"""The temperature against truth known by other means: 50-digit arithmetic, closed forms, a peer's root."""

import math

import mpmath
import pytest

from infoplane.errors import SettingError
from infoplane.information.vmf_temperature import kl_lower_bound, kl_vmf_uniform, temperature


def _kl_in_many_digits(kappa: float, d: int) -> float:
    with mpmath.workdps(50):
        nu, k = mpmath.mpf(d) / 2 - 1, mpmath.mpf(kappa)
        bessel, above = mpmath.besseli(nu, k), mpmath.besseli(nu + 1, k)
        log_f = mpmath.log(mpmath.gamma(nu + 1)) + nu * mpmath.log(2 / k) + mpmath.log(bessel)
        return float(k * above / bessel - log_f)


@pytest.mark.parametrize("d", [2, 3, 4, 5, 16, 64, 576, 4096, 16384])
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0, 3.0])
def test_divergence_is_exact_at_every_width(d: int, share: float) -> None:
    kappa = share * math.sqrt(2 * d * math.log(100))
    assert kl_vmf_uniform(kappa, d) == pytest.approx(_kl_in_many_digits(kappa, d), rel=1e-10, abs=1e-13)


def test_divergence_in_three_dimensions_has_a_closed_form() -> None:
    for kappa in (0.1, 2.0, 50.0, 500.0, 5_000.0):
        coth = 1 / math.tanh(kappa)
        log_sinh = kappa + math.log1p(-math.exp(-2 * kappa)) - math.log(2)
        truth = kappa * coth - 1 - (log_sinh - math.log(kappa))
        assert kl_vmf_uniform(kappa, 3) == pytest.approx(truth, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("d", [2, 3, 16, 768, 16384])
@pytest.mark.parametrize("m", [2, 100, 5000])
def test_the_temperature_solves_its_equation(d: int, m: int) -> None:
    assert kl_vmf_uniform(1 / temperature(m, d), d) == pytest.approx(math.log(m), rel=1e-9)


def test_the_lower_bound_is_below_and_tightens_with_width() -> None:
    for d in (3, 16, 768):
        kappa = math.sqrt(2 * d * math.log(100))
        assert kl_lower_bound(kappa, d) < kl_vmf_uniform(kappa, d)
    assert temperature(100, 16, "amos-lower") / temperature(100, 16) == pytest.approx(0.855, abs=0.001)
    assert temperature(100, 768, "amos-lower") / temperature(100, 768) == pytest.approx(0.9986, abs=0.0001)
    assert temperature(100, 768, "leading-order") / temperature(100, 768) == pytest.approx(1.009, abs=0.001)


@pytest.mark.parametrize(("m", "d", "calibration"), [(1, 8, "exact"), (100, 1, "exact"), (100, 2, "amos-lower")])
def test_what_cannot_be_calibrated_is_refused(m: int, d: int, calibration: str) -> None:
    with pytest.raises(SettingError, match="needs m of at least 2 and d of at least"):
        temperature(m, d, calibration)


def test_an_unknown_calibration_names_the_known_ones() -> None:
    with pytest.raises(SettingError, match="choose one of exact, leading-order, amos-lower"):
        temperature(100, 8, "excat")

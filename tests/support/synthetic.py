"""Tables of models whose truth is known by construction: families, size, structure, scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from infoplane.analysis.forecasting.case_table import Cases, Sample

Floats = npt.NDArray[np.float64]
KINDS = {
    # effect of size, structure's own effect, how much of structure is size
    "size alone": (1.0, 0.0, 0.8),
    "structure too": (1.0, 1.0, 0.8),
    "nothing": (0.0, 0.0, 0.0),
}


def sizes(random: np.random.Generator, families: int, even: bool = False) -> npt.NDArray[np.int64]:
    """Models of each family: 4, or 1 to 8 and twice 8 in the first."""
    if even:
        return np.full(families, 4)
    found = random.integers(1, 9, families)
    found[0] = 16
    return found


def models(kind: str, families: int, seed: int, features: int = 1, heavy: bool = False) -> Cases:
    """A table of one kind: `size`, structure `s0`, `s1`, ... and `score`, each with effects of the family."""
    effect, own, tied = KINDS[kind]
    random = np.random.Generator(np.random.PCG64([seed, families]))
    family = np.repeat(np.arange(families), sizes(random, families))
    n = len(family)

    def noise() -> Floats:
        return random.standard_t(3, n) / np.sqrt(3) if heavy else random.standard_normal(n)

    def clustered(share: float) -> Floats:
        return np.sqrt(share) * random.standard_normal(families)[family] + np.sqrt(1 - share) * noise()

    size = clustered(0.3)
    apart = [clustered(0.4) for _ in range(features)]
    structure = {f"s{i}": tied * size + np.sqrt(1 - tied**2) * x for i, x in enumerate(apart)}
    score = 50 + 10 * (effect * size + own * apart[0] + 0.7 * clustered(0.5))
    return Cases(
        tuple(f"m{i}" for i in range(n)), tuple(f"f{f:02d}" for f in family),
        pl.DataFrame({"size": size, **structure}), pl.DataFrame({"score": score}),
    )  # fmt: skip


def subset(table: Cases, rows: list[int]) -> Cases:
    """Some models of a table."""
    return Cases(
        tuple(table.models[i] for i in rows), tuple(table.families[i] for i in rows), table.features[rows],
        table.scores[rows],
    )  # fmt: skip


def regression(families: int, seed: int, effect: float, heavy: bool, even: bool) -> tuple[Sample, Sample]:
    """Models of some families, and those of one more, drawn alike: four features, family effects, noise.

    Args:
        effect: standard deviation of the families' effects on the score, in that of the noise.
        heavy: Student's t with 3 degrees of freedom in place of the normal, for effects and noise.
    """
    random = np.random.Generator(np.random.PCG64([seed, families]))
    size = np.full(families + 1, 4) if even else random.permutation(sizes(random, families + 1))
    family = np.repeat(np.arange(families + 1), size)
    n = len(family)
    x = 0.6 * random.standard_normal((families + 1, 4))[family] + 0.8 * random.standard_normal((n, 4))

    def draw(count: int) -> Floats:
        return random.standard_t(3, count) if heavy else random.standard_normal(count)

    y = x @ np.array([3.0, 1.0, 0.0, 0.5]) + effect * draw(families + 1)[family] + draw(n)
    known = family < families
    rows = np.arange(n)
    return (
        Sample(rows[known], x[known], y[known], family[known]),
        Sample(rows[~known], x[~known], y[~known], family[~known]),
    )

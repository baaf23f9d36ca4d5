"""Fitting a code: the states of documents that are not measured, layer by layer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.errors import TextError
from infoplane.information import FittedCode, FittedCodes
from infoplane.text import Windows

if TYPE_CHECKING:
    from infoplane.models import Layer, Model

FIT_TOKENS = 1_536
"""Tokens that a fit is made on."""
_VERSION = 2  # of the fit: another one makes other codes of the same documents
_STATES = 1 << 28  # numbers of states held at once: 1 GiB in float32


@dataclass(frozen=True, eq=False)
class Fitting:
    """Which code is to be fitted.

    Attributes:
        windows: of the documents of each fit.
        m: directions of a code.
        seed: of their first places.
    """

    windows: tuple[Windows, ...]
    m: int
    seed: int

    def __post_init__(self) -> None:
        rows = min(windows.n_positions for windows in self.windows)
        if rows < self.m:
            raise TextError(
                f"{rows} positions of the documents reserved for a fit, and {self.m} directions: a fitted code needs "
                "as many positions at least; give more or longer documents, fewer points, or use the code random",
                settings=("code", "m"),
            )

    @property
    def sets(self) -> int:
        """How many fits there are."""
        return len(self.windows)

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the code of a model."""
        said = [f"fitted {_VERSION}", str(self.m), str(self.seed), *(windows.hash for windows in self.windows)]
        return hashlib.sha256(";".join(said).encode()).hexdigest()


def fit_codes(model: Model, fitting: Fitting, layers: Sequence[Layer]) -> FittedCodes:
    """The codes of layers of a model, from as many layers at a time as the states of fit in a gibibyte.

    Layers are fitted side by side, each on one thread: a product of matrices that is shared out among threads could
    round otherwise on a machine of other size, and most of a fit is no product.

    Raises:
        ModelError: a state is NaN, or memory runs out.
    """
    import torch
    from threadpoolctl import threadpool_limits

    from infoplane.capture.forward_pass import states_of

    of: dict[str, list[FittedCode]] = {layer.name: [] for layer in layers}
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for windows in fitting.windows:
            at_once = max(1, _STATES // (windows.n_positions * model.width))
            for i in range(0, len(layers), at_once):
                states = states_of(model, windows, layers[i : i + at_once])
                with threadpool_limits(1, user_api="blas"):
                    fits = {name: pool.submit(FittedCode.fit, z, fitting.m, fitting.seed) for name, z in states.items()}
                    for name, fit in fits.items():
                        of[name].append(fit.result())
    return FittedCodes({name: tuple(codes) for name, codes in of.items()})


@dataclass(frozen=True, eq=False)
class FittingWork:
    """The work of fitting, of a worker that has the model."""

    fitting: Fitting
    layers: tuple[str, ...]

    def open(self, model: Model) -> Callable[[None, Callable[[int], object]], FittedCodes]:
        """Once, for all layers."""
        from infoplane.models import select_layers

        layers = select_layers(model.layers, self.layers)
        return lambda _, advance: fit_codes(model, self.fitting, layers)

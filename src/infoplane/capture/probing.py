"""Probing: states of some of the windows that are measured, read linearly (`infoplane.information.linear_probe`).

A capture keeps no states, so this is done while the model is at hand, some layers at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from infoplane.engines import Group, Piece, Progress, advancing
from infoplane.errors import TextError
from infoplane.information import Floats, Ints, cross_fitted, frequent_labels
from infoplane.text import NGrams, Windows

if TYPE_CHECKING:
    from infoplane.models import Facts, Model

POSITIONS = 6_144
"""Positions that a probe reads, about."""
_STATES = 1 << 28  # numbers of states held at once: 1 GiB in float32


@dataclass(frozen=True, eq=False)
class Probed:
    """What probes read.

    Attributes:
        layers: in the order of the model.
        labels: (n, 2) frequent labels of the present and the next token, `FREQUENT` of all others.
        document: (n,) of the windows that were measured, an index into their documents.
        log_q: by layer, (n, 2) log q of the true label in nats.
    """

    layers: tuple[str, ...]
    labels: Ints
    document: Ints
    log_q: dict[str, Floats]


def probe(
    models: Group[Model], facts: Facts, windows: Windows, layers: Sequence[str], progress: Progress | None = None
) -> Probed:
    """Probe layers of a model that workers hold.

    Args:
        models: the workers.
        facts: of their model.
        windows: that are measured; some of them are read, chosen at random.
        layers: names.
        progress: called with how many layers were read.

    Raises:
        ModelError: a state is NaN, or memory runs out.
    """
    some = _some(windows)
    grams = NGrams(some, 1)
    sides = [grams.input(1), grams.output(1)]
    rows = sides[0].rows
    document = some.position_document[rows]
    labels = np.stack([frequent_labels(side.codes) for side in sides], axis=1)
    at_once = max(1, _STATES // (some.n_positions * facts.width))
    parts = [tuple(layers[i : i + at_once]) for i in range(0, len(layers), at_once)]
    pieces = [Piece(f"layers {part[0]} to {part[-1]}", part, len(part)) for part in parts]
    found: dict[str, Floats] = {}
    advance = advancing(progress, "probing", len(layers))
    advance(0)
    for _, told in models.each(_Probing(some, rows, labels, document), pieces, advance):
        found |= told
    return Probed(tuple(layers), labels, document, {layer: found[layer] for layer in layers})


def check_probe(windows: Windows) -> None:
    """Refuse windows that cannot be probed: known before the model reads them.

    Raises:
        TextError: they are of one document, of which no half can be judged.
    """
    if len(np.unique(windows.document)) < 2:
        raise TextError(
            "linear probes are judged on other documents than they are fitted on, and there is only one: give more "
            "documents, or leave probe out",
            settings=("probe",),
        )


def _some(windows: Windows) -> Windows:
    """Windows in a random order until they have positions enough, in the order of the text."""
    order = np.random.Generator(np.random.PCG64([0, 5])).permutation(len(windows))
    positions = np.diff(windows.row_starts)[order].cumsum()
    count = int(np.searchsorted(positions, POSITIONS)) + 1
    return windows.part(np.sort(order[:count]))


@dataclass(frozen=True, eq=False)
class _Probing:
    """The work of probing: a piece is some layers."""

    windows: Windows
    rows: Ints
    labels: Ints
    document: Ints

    def open(self, model: Model) -> Callable[[tuple[str, ...], Callable[[int], object]], dict[str, Floats]]:
        import torch

        from infoplane.capture.forward_pass import states_of
        from infoplane.models import select_layers

        def read(names: tuple[str, ...], advance: Callable[[int], object]) -> dict[str, Floats]:
            states = states_of(model, self.windows, select_layers(model.layers, names))

            def of(name: str) -> Floats:
                return cross_fitted(states.pop(name)[self.rows], self.labels, self.document, str(model.device))

            # products are small: one thread a layer is faster than all for each, and much so beside other work
            threads = torch.get_num_threads()
            found = {}
            try:
                with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
                    for name, log_q in zip(names, pool.map(of, names), strict=True):
                        found[name] = log_q
                        advance(1)
            finally:
                torch.set_num_threads(threads)
            return found

        return read

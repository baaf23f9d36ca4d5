"""What codes notice of damage: noise, pruning and rounding of weights, paired with the model that was damaged.

The documents, windows and reserved documents are the same for all, so all differences are paired. A damaged model is
read with the random code, with the fitted code of the model before (its directions and temperatures), and with one that
is fitted to it anew; each has two sets. Beside them the loss.

    noise   each weight w of a matrix becomes w + s r |W|, with r a standard normal number, |W| the root mean square
    prune   the smallest weights of each matrix are set to 0, a share of them
    round   each row of a matrix to a grid of 2^b - 1 levels up to its largest magnitude

Embedding, head and norms stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import infoplane
from common import Setting, Table
from infoplane.measurement.results import Measurement
from infoplane.models.decoder import Model
from states import GEMMA, SMOLLM2, Missing, loaded

Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def noise(share: float) -> Change:
    """Normal noise, as a share of the root mean square."""

    def change(w: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        return w + share * w.square().mean().sqrt() * torch.randn(w.shape, generator=draw)

    return change


def prune(share: float) -> Change:
    """The smallest magnitudes to 0."""

    def change(w: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        smallest = torch.kthvalue(w.abs().flatten(), max(1, int(share * w.numel()))).values
        return torch.where(w.abs() > smallest, w, 0.0)

    return change


def rounded(bits: int) -> Change:
    """Symmetric rounding of each row."""

    def change(w: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        step = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        return torch.round(w / step.clamp_min(torch.finfo(w.dtype).tiny)) * step

    return change


DAMAGE: dict[str, Change] = {
    "noise 0.01": noise(0.01), "noise 0.02": noise(0.02), "noise 0.05": noise(0.05), "noise 0.1": noise(0.1),
    "noise 0.2": noise(0.2), "prune 0.05": prune(0.05), "prune 0.1": prune(0.1), "prune 0.2": prune(0.2),
    "prune 0.3": prune(0.3), "prune 0.4": prune(0.4), "round 8": rounded(8), "round 6": rounded(6),
    "round 5": rounded(5), "round 4": rounded(4),
}  # fmt: skip
QUANTITIES = ("ceiling", "complexity", "expressivity", "optimality")


@contextlib.contextmanager
def damaged(model: Model, change: Change, weights: Sequence[torch.Tensor] | None = None) -> Iterator[None]:
    """The model with its matrices changed, or some of them, then as before."""
    if weights is None:
        weights = [m.weight for m in model.backbone.modules() if isinstance(m, torch.nn.Linear)]
    before, draw = [w.detach().clone() for w in weights], torch.Generator().manual_seed(0)
    with torch.no_grad():
        try:
            for w in weights:
                w.copy_(change(w.float(), draw).to(w.dtype))
            yield
        finally:
            for w, own in zip(weights, before, strict=True):
                w.copy_(own)


def damage(setting: Setting) -> list[Table]:
    """Every damage, read with every code."""
    tokens = setting.of(16_384, 2_048)
    some = {name: DAMAGE[name] for name in setting.of([*DAMAGE], ["noise 0.1", "round 4"])}
    tables = []
    for name in setting.of((SMOLLM2, GEMMA), (SMOLLM2,)):
        path = setting.out / "damage" / f"{name.replace('/', '-')}.json"
        rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
        done = {row[0] for row in rows}
        if any(what not in done for what in some):
            try:
                model = loaded(name, setting.cache)
            except Missing as missing:
                print(f"without {missing}", flush=True)
                continue
            for row in _rows(model, {what: some[what] for what in some if what not in done}, tokens):
                rows.append(row)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(rows), "utf-8")
                print(name, row[0], flush=True)
        says = (
            f"{name}, {tokens:,} tokens: the damaged model less the model, mean over blocks, efficiency (optimality: a "
            "ratio; loss: nats), and in brackets the difference over its total error. Kept is the fitted code of the "
            "model before, anew one that is fitted to the damaged model."
        )
        columns = ["damage", "loss", *(f"{code} {q}" for code in ("random", "kept", "anew") for q in QUANTITIES)]
        tables.append(Table("Damage", says, columns, [[row[0], *map(_cell, row[1:])] for row in rows]))
    return tables


def _cell(found: Sequence[float]) -> str:
    value, error = found
    return f"{value:+.4f} ({value / error:+.1f})" if error else f"{value:+.4f}"


def _rows(model: Model, some: dict[str, Change], tokens: int) -> Iterator[list[object]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "before"
        before = _measured(model, tokens, capture=place)
        for name, change in some.items():
            with damaged(model, change):
                kept = _measured(model, tokens, code_of=str(place)).minus(before)
                anew = _measured(model, tokens, code=("fitted",)).minus(before.of_code("fitted"))
            found: list[object] = [name, _of(kept, "loss", None)]
            for difference, code in ((kept, "random"), (kept, "fitted"), (anew, "fitted")):
                found += [_of(difference, quantity, code) for quantity in QUANTITIES]
            yield found


def _measured(model: Model, tokens: int, **more: object) -> Measurement:
    asked: dict[str, Any] = {
        "code": ("random", "fitted"), "reference_sets": 2, "orders": (1,), "controls": False, "loss": True, **more,
    }  # fmt: skip
    # as a module: what is hashed are the weights that it has now
    return infoplane.measure(model.module, tokenizer=model.tokenizer, tokens=tokens, **asked)


def _of(difference: Measurement, quantity: str, code: str | None) -> tuple[float, float]:
    row = difference.get(quantity, **({} if code is None else {"code": code}))
    return row.value, row.total_error or 0.0


SECTIONS = {"damage": damage}

"""The forward pass: windows through the model, states to soft assignments, nothing else kept.

Windows are padded on the right and no attention mask is passed: in a causal model nothing that follows a
token reaches its state, so what stands there does not matter, and the fast attention kernels stay in use.
All sets of a layer's directions are multiplied in a single matrix product (`infoplane.capture.coders`). States of half
precision are taken to float32 first. The head is run only for the loss, in pieces.
Where memory runs out a batch is halved and run again, and so are the windows that are left; what was computed stays.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, BatchSize, batches, first_line
from infoplane.capture.coders import Codes, coder_of
from infoplane.errors import ModelError
from infoplane.information import as_codes
from infoplane.models import Layer, evaluating, out_of_memory, state_in, whole
from infoplane.text import Windows

if TYPE_CHECKING:
    import torch

    from infoplane.models import Model, Passed

_LOGITS = 1 << 25  # numbers of logits held at once by the loss: 128 MiB in float32


def assign_windows(
    model: Model,
    windows: Windows,
    codes: Codes,
    *,
    layers: Sequence[Layer],
    first: int,
    last: int,
    loss: bool = False,
    max_batch_tokens: int | BatchSize = MAX_BATCH_TOKENS,
    progress: Callable[[int], object] | None = None,
    loss_pieces: int = 0,
) -> dict[str, npt.NDArray[np.generic]]:
    """What codes make of the measured positions of windows `first` to `last - 1`.

    A `BatchSize` is told where memory ran out, and can be handed on to the next windows. With `loss_pieces` the head
    runs so many times a batch, though fewer would do: of a model on several processes all must run it as often.

    Returns:
        For each layer and set (rows, m), rows as in the windows: `LAYER/SET` with assignments in float16, of a fitted
        code `LAYER/fitted/SET` with cosines in int16 (see `infoplane.information.capacity`); with
        `loss` also `loss_sum` (nats) and `loss_count` (tokens), (windows,) float64 and int64.

    Raises:
        ModelError: a state is NaN or infinite, the message names the layer and the document; or memory runs out with
            a single window.
    """
    import torch

    size = max_batch_tokens if isinstance(max_batch_tokens, BatchSize) else BatchSize(max_batch_tokens)
    coders, rows = [coder_of(code) for code in as_codes(codes)], windows.row_starts
    n, out = int(rows[last] - rows[first]), dict[str, npt.NDArray[np.generic]]()
    for coder, layer in itertools.product(coders, layers):
        coder.prepare(layer.name)
        out |= {name: np.empty((n, coder.m), coder.dtype) for name in coder.names(layer.name)}
    if loss:
        out["loss_sum"] = np.zeros(last - first)
        out["loss_count"] = np.zeros(last - first, np.int64)
    reader = _Reader(lambda name, flat: [coder(name, flat) for coder in coders], model)
    lengths = windows.lengths[first:last]
    # not inference_mode: a model that keeps what it computes here could not be trained on
    with torch.no_grad(), evaluating(model.module), reader.reading(layers):
        a = first
        while a < last:
            b = a + next(batches(lengths[a - first :], size.tokens))[1]
            ids, keep = _padded(windows, a, b)
            short = None
            try:
                reader.keep = torch.from_numpy(keep).to(model.device)
                reader.found.clear()
                states = model.run(torch.from_numpy(ids).to(model.device))
                where = slice(int(rows[a] - rows[first]), int(rows[b] - rows[first]))
                sums = _loss(model, states, ids, windows, a, b, loss_pieces) if loss else None
                for layer, coder in itertools.product(layers, coders):
                    _store(*reader.found[layer.name].pop(0), coder.names(layer.name), out, where, windows, a)
                if sums is not None:
                    _refuse_loss_not_finite(sums)
                    out["loss_sum"][a - first : b - first] = sums
                    out["loss_count"][a - first : b - first] = windows.lengths[a:b] - 1
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                short = first_line(error)
            if short is not None:  # here, where the failed pass is forgotten and its tensors are freed
                reader.found.clear()
                size.halve(ids.shape, short, model.device)
                continue
            if progress is not None:
                progress(int(windows.starts[b] - windows.starts[a]))
            a = b
    return out


def _padded(windows: Windows, a: int, b: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(b - a, width) token ids, and the flat indices of the measured positions in them."""
    lengths = windows.lengths[a:b]
    width = int(lengths.max())
    ids = np.empty((b - a, width), np.int64)
    keep = np.zeros((b - a, width), bool)
    for row, (start, stop) in enumerate(zip(windows.starts[a:b], windows.starts[a + 1 : b + 1], strict=True)):
        ids[row, : stop - start] = windows.tokens[start:stop]
        ids[row, stop - start :] = windows.tokens[stop - 1]  # an ordinary token: a pad id may not exist
        keep[row, : stop - start] = windows.is_position[start:stop]
    return ids, np.flatnonzero(keep)


def _store(
    coded: torch.Tensor,
    finite: torch.Tensor,
    names: Sequence[str],
    out: dict[str, npt.NDArray[np.generic]],
    where: slice,
    windows: Windows,
    a: int,
) -> None:
    """Put (sets, rows, m) of a layer in their place among all rows; `a` is the first window that they are of."""
    _refuse_not_finite(finite, names[0].partition("/")[0], windows, a)
    for name, of_set in zip(names, coded.to("cpu").numpy(), strict=True):
        out[name][where] = of_set


def _refuse_not_finite(finite: torch.Tensor, name: str, windows: Windows, a: int) -> None:
    """Refuse a layer of windows from `a` on where the states of some of the rows are not finite."""
    if bool(finite.all()):
        return
    row = int(windows.row_starts[a]) + int((~finite).nonzero()[0])
    document = windows.documents[int(windows.position_document[row])]
    raise ModelError(
        f"NaN or infinity in layer {name} on document {document!r}: no number can be trusted; check the weights, "
        "or try dtype float32",
        settings=("dtype",),
    )


@dataclass(eq=False)
class _Reader:
    """Hooks that hand on the states of measured positions while the model runs; `found` has what is made of them."""

    take: Callable[[str, torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]]]
    model: Model

    def __post_init__(self) -> None:
        self.found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self.keep: torch.Tensor | None = None

    @contextlib.contextmanager
    def reading(self, layers: Sequence[Layer]) -> Iterator[None]:
        handles = []
        try:
            for layer in layers:
                if layer.is_input:
                    hook = self._before(layer)
                    handles.append(layer.module.register_forward_pre_hook(hook, with_kwargs=True))
                else:
                    handles.append(layer.module.register_forward_hook(self._after(layer)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, layer: Layer) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: tuple[Passed, ...], kwargs: dict[str, Passed]) -> None:
            if layer.name not in self.found:  # of blocks that run several times, what entered first
                states = state_in(args, kwargs)
                assert states is not None
                self._read(layer.name, layer.states(states))

        return hook

    def _after(self, layer: Layer) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: tuple[Passed, ...], output: Passed) -> None:
            states = output[0] if isinstance(output, tuple | list) else output
            self._read(layer.name, layer.states(cast("torch.Tensor", states)))

        return hook

    def _read(self, name: str, z: torch.Tensor) -> None:
        import torch

        assert self.keep is not None
        z = whole(z)
        flat = z.reshape(-1, z.shape[-1]).index_select(0, self.keep.to(z.device))
        if flat.dtype not in (torch.float32, torch.float64):
            flat = flat.float()
        self.found[name] = self.take(name, flat)


def states_of(model: Model, windows: Windows, layers: Sequence[Layer]) -> dict[str, npt.NDArray[np.float32]]:
    """(rows, d) states of all measured positions of few windows, by layer.

    Raises:
        ModelError: as for `assign_windows`.
    """
    import torch

    parts: dict[str, list[npt.NDArray[np.float32]]] = {layer.name: [] for layer in layers}
    reader = _Reader(lambda _, flat: [(flat, flat.sum(1).isfinite())], model)
    size, a = BatchSize(), 0
    with torch.no_grad(), evaluating(model.module), reader.reading(layers):
        while a < len(windows):
            b = a + next(batches(windows.lengths[a:], size.tokens))[1]
            ids, keep = _padded(windows, a, b)
            reader.keep = torch.from_numpy(keep).to(model.device)
            model.run(torch.from_numpy(ids).to(model.device))
            for layer in layers:
                ((states, finite),) = reader.found.pop(layer.name)
                _refuse_not_finite(finite, layer.name, windows, a)
                parts[layer.name].append(states.float().cpu().numpy())
            a = b
    return {name: np.concatenate(some) for name, some in parts.items()}


def loss_pieces(model: Model, windows: Windows, a: int, b: int) -> int:
    """How many times the head runs for the loss of windows `a` to `b - 1`."""
    return -(-int((windows.lengths[a:b] - 1).sum()) // max(1, _LOGITS // model.vocabulary))


def _loss(
    model: Model, states: torch.Tensor, ids: npt.NDArray[np.int64], windows: Windows, a: int, b: int, pieces: int
) -> npt.NDArray[np.float64]:
    """(b - a,) summed next-token loss of each window, nats; a piece of the vocabulary table at a time."""
    import torch

    token = torch.from_numpy(ids).to(states.device)
    lengths = windows.lengths[a:b]
    window, place = np.nonzero(np.arange(ids.shape[1] - 1)[None] < (lengths - 1)[:, None])
    row, column = torch.from_numpy(window).to(states.device), torch.from_numpy(place).to(states.device)
    hidden, target = states[row, column], token[row, column + 1]
    sums = np.zeros(b - a)
    step = max(1, _LOGITS // model.vocabulary)
    for i in range(0, len(hidden), step):
        logits = model.logits(hidden[None, i : i + step])[0].float()
        lost = torch.nn.functional.cross_entropy(logits, target[i : i + step].to(logits.device), reduction="none")
        np.add.at(sums, window[i : i + step], lost.double().cpu().numpy())
    for _ in range(loss_pieces(model, windows, a, b), pieces):
        model.logits(states[:1, :1])
    return sums


def _refuse_loss_not_finite(sums: npt.NDArray[np.float64]) -> None:
    if not np.isfinite(sums).all():
        raise ModelError(
            "the next-token loss is NaN or infinite: check the weights, or try dtype float32", settings=("dtype",)
        )

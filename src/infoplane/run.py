"""The whole way from a model and text to a measurement, as one function."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.bound import bound_of, with_a_bound
from infoplane.capture import Capture, Progress, open_capture, write_capture
from infoplane.errors import ModelError, SettingError
from infoplane.measurement import Measurement
from infoplane.placing import with_bound
from infoplane.points import ReferencePoints
from infoplane.record import measure_capture
from infoplane.text import BUILT_IN, Text, read_text
from infoplane.tokenize import CONTEXT, TOKENS, make_windows

if TYPE_CHECKING:
    import numpy.typing as npt

    from infoplane.models import Model
    from infoplane.windows import Windows

MODEL = "smollm2-135m"
LOADING = ("revision", "dtype", "device", "device_map", "trust_remote_code", "allow_pickle", "random_init")


def measure(
    model: Any = MODEL,
    documents: Any = BUILT_IN,
    *,
    tokenizer: Any = None,
    tokens: int = TOKENS,
    context: int = CONTEXT,
    seed: int = 0,
    orders: Sequence[int] = (1, 2, 3, 4),
    estimators: Sequence[str] = ("corrected", "plugin"),
    weights: Sequence[str] = ("frequency",),
    labels: Mapping[str, npt.ArrayLike] | None = None,
    unit: str = "efficiency",
    m: int = 100,
    points_seed: int = 0,
    calibration: str = "exact",
    reference_sets: int = 1,
    layers: Sequence[str] | None = None,
    loss: bool = False,
    bound: bool = False,
    windows: Mapping[str, Any] | None = None,
    capture: str | Path | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    **loading: Any,
) -> Measurement:
    """Measure how a language model has compressed what it reads.

    Args:
        model: `smollm2-135m`, a hub id, a folder, a .gguf file, an adapter folder, a loaded
            `transformers` module, or an `infoplane.models.Model`; None reads the capture only.
        documents: `c4-sample`, a file or folder, a dataset id, strings, or a `Text`.
        tokenizer: needed with a module; with a name it may be another hub id or folder. A warning says where it
            differs from the one beside the weights; tokens that the model has not are refused.
        tokens, context, seed: budget of tokens, longest window, which documents.
        orders, estimators, weights, labels, unit: see `infoplane.record.measure_capture`.
        m, points_seed, calibration, reference_sets: reference points; set r is drawn with points_seed + r.
        layers: names of the layers to read, all by default.
        loss: also the next-token loss and bits per byte of the same text.
        bound: also the frontier of the text for the orders up to 3, and the model's place against it: minutes more.
        windows: more for `make_windows`: `add_bos`, `include_special`, `include_first`, `min_window`.
        capture: folder to keep the capture in; a temporary one otherwise.
        force: throw away another run's capture in that folder.
        threads: layers measured at once.
        progress: called with a stage, what is done and what there is to do.
        **loading: for `load_model`: revision, dtype, device, device_map, trust_remote_code, allow_pickle,
            random_init.

    Raises:
        InfoplaneError: bad input, of the kind that its class names.
    """
    started = time.monotonic()
    questions: dict[str, Any] = {
        "orders": orders, "estimators": estimators, "weights": weights, "labels": labels, "unit": unit,
        "threads": threads, "progress": progress,
    }  # fmt: skip
    if model is None:
        if capture is None:
            raise SettingError("without a model there must be a capture: name one of the two")
        kept = open_capture(capture)
        found = measure_capture(kept, **questions)
        return _bounded(found, kept, orders, progress) if bound else found
    for name, value in (("m", m), ("reference_sets", reference_sets)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingError(f"{name} = {value!r}: expected a whole number, 1 or more")
    text = read_text(documents)
    ready = _ready(model, tokenizer, loading, progress)
    limit = ready.max_context
    cut = make_windows(
        text, ready.tokenizer, tokens=tokens, context=min(context, limit or context), seed=seed, **(windows or {})
    )
    points = [ReferencePoints.make(ready.width, m, points_seed + r, calibration) for r in range(reference_sets)]
    with _folder(capture) as folder:
        before = time.monotonic()
        kept = _capture(folder, ready, cut, points, layers, loss, force, progress)
        after = time.monotonic()
        found = measure_capture(kept, **questions)
        if bound:
            found = _bounded(found, kept, orders, progress)
    times = {
        "loading_s": round(before - started, 2),
        "capturing_s": round(after - before, 2),
        **found.provenance["wall_time"],
        "total_s": round(time.monotonic() - started, 2),
    }
    warnings = list(found.provenance["warnings"])
    if limit and limit < context:
        warnings.append(f"the model has positions for {limit} tokens: windows are that long, not {context}")
    return dataclasses.replace(found, provenance={**found.provenance, "wall_time": times, "warnings": warnings})


def _bounded(found: Measurement, capture: Capture, orders: Sequence[int], progress: Progress | None) -> Measurement:
    fitted = bound_of(capture.windows, with_a_bound(orders), m=capture.m, progress=progress)
    return with_bound(found, capture, fitted.frontiers, progress=progress)


def _ready(model: Any, tokenizer: Any, loading: Mapping[str, Any], progress: Progress | None) -> Model:
    from infoplane.loading import beside_its_own, load_model
    from infoplane.models import Model

    if unknown := sorted(set(loading) - set(LOADING)):
        raise SettingError(f"unknown setting {unknown[0]!r}; loading a model takes {', '.join(LOADING)}")
    if progress is not None:
        progress("loading", 0, 1)
    if isinstance(model, Model):
        if tokenizer is not None:
            raise SettingError("a Model comes with its tokenizer: name another one where it is loaded, load_model(...)")
        ready = model
    elif isinstance(model, str | Path):
        ready = load_model(model, tokenizer=tokenizer, **loading)
    else:
        if loading:
            raise SettingError(f"a loaded module is measured as it is: {', '.join(loading)} cannot be set")
        ready = Model.from_module(model, tokenizer)
    if ready.tokenizer is None or isinstance(ready.tokenizer, str | Path):
        raise ModelError("a loaded module needs its tokenizer: measure(module, documents, tokenizer=...)")
    if tokenizer is not None and not isinstance(model, str | Path):
        # nothing is asked of the hub for it: a module is measured without a network
        name = str(getattr(model, "name_or_path", ""))
        ready = beside_its_own(ready, name, local_files_only=True, trust_remote_code=False) if name else ready
    if progress is not None:
        progress("loading", 1, 1)
    return ready


def _capture(
    folder: Path,
    model: Model,
    windows: Windows,
    points: Sequence[ReferencePoints],
    layers: Iterable[str] | None,
    loss: bool,
    force: bool,
    progress: Progress | None,
) -> Capture:
    from infoplane.layers import named_layers, select_layers

    chosen = select_layers(named_layers(model.backbone), None if layers is None else tuple(layers))
    return write_capture(folder, model, windows, points, chosen, loss=loss, force=force, progress=progress)


@contextlib.contextmanager
def _folder(capture: str | Path | None) -> Iterator[Path]:
    if capture is not None:
        yield Path(capture)
        return
    with tempfile.TemporaryDirectory(prefix="infoplane-") as folder:
        yield Path(folder)


__all__ = ["Text", "measure"]

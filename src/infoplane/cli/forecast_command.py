"""`infoplane forecast`: what structure tells of scores, beyond size, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.repeated import check_new, done
from infoplane.cli.terminal import console, say, words, wrote
from infoplane.errors import SettingError
from infoplane.storage import check_kind, reach_location

if TYPE_CHECKING:
    from rich.console import Console

    from infoplane.analysis.forecasting import Forecast


def forecast(
    table: Annotated[
        list[str],
        typer.Argument(
            help="CSV or Parquet files with one row per model; several are stacked. small-models is a table that "
            "comes with infoplane."
        ),
    ],
    score: Annotated[
        list[str],
        typer.Option(
            "--score", help="Columns of the scores to forecast, comma-separated or repeated.", rich_help_panel=o.ASK
        ),
    ],
    features: Annotated[
        str,
        typer.Option(help="Columns with the features to judge, such as optimality,complexity.", rich_help_panel=o.ASK),
    ],
    baselines: Annotated[
        str,
        typer.Option(
            help="Columns with what is already known about the models, the simplest first, such as "
            "log:params,log:tokens,bits_per_byte. log:NAME is log10 of a column; square:NAME and cube:NAME are "
            "its powers.",
            rich_help_panel=o.ASK,
        ),
    ] = "",
    model_column: Annotated[
        str, typer.Option(help="Column with the names of the models.", rich_help_panel="Table")
    ] = "model",
    family_column: Annotated[
        str, typer.Option(help="Column with the names of their families.", rich_help_panel="Table")
    ] = "family",
    new: Annotated[
        Path | None,
        typer.Option(
            help="Table of further models to predict, with the same columns except the scores.", rich_help_panel=o.ASK
        ),
    ] = None,
    score_unit: Annotated[
        str | None,
        typer.Option(help="percent or fraction, if this is the unit of every score.", rich_help_panel="Table"),
    ] = None,
    level: Annotated[float, typer.Option(help="Level of the prediction intervals.", rich_help_panel=o.ASK)] = 0.9,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Use wider prediction intervals, which cover at least 1 - 2 (1 - level) whatever the distribution.",
            rich_help_panel=o.ASK,
        ),
    ] = False,
    draws: Annotated[int, typer.Option(help="Number of bootstrap draws.", rich_help_panel=o.ASK)] = 2000,
    seed: Annotated[int, typer.Option(help="Random seed of the bootstrap.", rich_help_panel=o.ASK)] = 0,
    out: Annotated[Path, typer.Option(help="Folder or address for the results.", rich_help_panel=o.OUT)] = Path(
        "infoplane-forecast"
    ),
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite existing results.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Test whether features of models forecast benchmark scores, and whether they add anything to known baselines.

    Reads a table of models. Computes correlations with errors over families of models, partial correlations given the
    baselines, ridge regression validated on families left out, predictions with intervals, and how many models would be
    needed. Writes forecast.json, forecast.parquet, report.html and figures/ to --out.
    """
    from infoplane.analysis.forecasting import JSON_NAME, Cases
    from infoplane.analysis.forecasting import forecast as run

    out = reach_location(out, "--out")
    check_kind(out, JSON_NAME)
    base, structure = words(baselines), words(features)
    scores = tuple(dict.fromkeys(name for listed in score for name in words(listed)))
    if not structure or not scores:
        raise SettingError("name at least one column with --features, and one with --score")
    names = {"model": model_column, "family": family_column}
    cases = Cases.read(table, features=(*base, *structure), scores=scores, score_unit=score_unit, **names)
    others = Cases.read(new, features=(*base, *structure), **names) if new is not None else None
    result = run(
        cases,
        baselines=base,
        structure=structure,
        scores=scores,
        new=others,
        level=level,
        strict=strict,
        draws=draws,
        seed=seed,
    )
    from infoplane.report.forecasting import write_forecast_report

    written: tuple[Path, ...] = ()
    if not check_new(out, JSON_NAME, force, result.to_dict()):
        page = write_forecast_report(result, out)[0]
        written = (*result.save(out), page)
    if as_json:
        say((out / JSON_NAME).read_text("utf-8").rstrip(), lines=True)
        return
    show(result, console(160, highlight=False))
    say(wrote(out, written) if written else done(out))


def show(result: Forecast, shell: Console) -> None:
    """The tables of a forecast, and what they say."""
    provenance = result.provenance
    ranges = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in provenance["reference"].items())
    shell.print(
        f"Reference set: {len(provenance['models'])} models of {len(set(provenance['families']))} families; {ranges}"
    )
    _table(
        shell,
        "Correlations (95 % intervals, families as the unit)",
        ("score", "feature", "method", "r", "interval", "p, models", "p, families", "q", "n", "families"),
        [
            (
                c.score,
                c.feature,
                c.method,
                _r(c.value),
                _ends(c.interval),
                _p(c.p),
                _p(c.p_family),
                _p(c.q),
                str(c.n),
                str(c.families),
            )
            for c in result.correlations
        ],
    )
    _table(
        shell,
        "Partial correlations, and what a feature adds to R²",
        ("score", "feature", "given", "r", "interval", "p, families", "q", "adjusted R²", "R², families left out"),
        [
            (
                p.score,
                p.feature,
                ", ".join(p.baselines),
                _r(p.value),
                _ends(p.interval),
                _p(p.p_family),
                _p(p.q),
                _r(p.gain, 3),
                _r(p.held_out_gain, 3),
            )
            for p in result.partials
        ],
    )
    _table(
        shell,
        "Forecasts of families left out",
        ("score", "from", "RMSE", "MAE", "R²", "RMSE less that of baselines", "interval holds", "n", "families"),
        [
            (
                v.score,
                v.predictor,
                f"{v.rmse:.4g}",
                f"{v.mae:.4g}",
                f"{v.r2:.3f}",
                "" if v.difference is None else f"{v.difference:+.3g} {_ends(v.interval, '.2g')}",
                "" if v.coverage is None else f"{v.coverage:.0%} of {v.level:.0%}",
                str(v.n),
                str(v.families),
            )
            for v in result.validations
        ],
    )
    _table(
        shell,
        "New models",
        ("model", "score", "from", "forecast", "interval", "nearest (standard deviations)", "refused"),
        [
            (
                p.model,
                p.score,
                p.predictor,
                "" if p.value is None else f"{p.value:.4g}",
                _ends(p.interval, ".4g"),
                ", ".join(f"{name} {d:.1f}" for name, d in p.nearest),
                p.refused or "",
            )
            for p in result.predictions
        ],
    )
    _table(
        shell,
        "Models needed, if the true r is the one seen",
        ("score", "feature", "given", "r", "design effect", "models", "families", "least r that these models find"),
        [
            (
                p.score,
                p.feature,
                ", ".join(p.given),
                _r(p.r),
                f"{p.design_effect:.2f}",
                _count(p.models),
                _count(p.families_needed),
                _r(p.detectable).lstrip("+"),
            )
            for p in result.power
        ],
    )
    for sentence in result.verdicts:
        shell.print(sentence)
    seen = [c.warning for c in result.correlations if c.warning] + [p.warning for p in result.partials if p.warning]
    for warning in dict.fromkeys((*result.provenance["warnings"], *seen)):
        shell.print(f"Note: {warning}")


def _table(shell: Console, title: str, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    if not rows:
        return
    shown = Table(title=title, title_justify="left")
    for name in names:
        left = name in ("score", "feature", "method", "given", "from", "model", "refused") or name.startswith("nearest")
        shown.add_column(name, justify="left" if left else "right")
    for row in rows:
        shown.add_row(*row)
    shell.print(shown)


def _r(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:+.{digits}f}"


def _ends(ends: tuple[float, float] | None, form: str = ".2f") -> str:
    return "" if ends is None else f"{ends[0]:{form}} to {ends[1]:{form}}"


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def _count(n: int | None) -> str:
    return "" if n is None else f"{n:,}"

"""`--capture`: where a capture is kept, and what one that is kept cannot be asked."""

from __future__ import annotations

from pathlib import Path

import typer

from infoplane.cli.terminal import given
from infoplane.errors import SettingError
from infoplane.measurement import InputSettings, MeasureSettings, QuestionSettings
from infoplane.storage import reach_location
from infoplane.storage import working_folders as work_folders


def capture_place(ctx: typer.Context, model: str | None, capture: Path | None) -> Path | None:
    """Where a capture is kept, or lies already; refused before anything is made."""
    capture = None if capture is None else reach_location(capture, "--capture", writes=False)
    if capture is not None and work_folders.is_beside(capture):
        raise SettingError(
            f"--capture {capture}: folders of that name are infoplane's own, and are removed; name another"
        )
    if model is None:
        _check_capture_only(ctx, capture)
    return capture


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
    making = {*InputSettings.settings(), *MeasureSettings.settings()} - {*QuestionSettings.settings()}
    if options := given(ctx, {*making, "baseline", "batch"}):
        raise SettingError(
            f"{capture} was captured with its own text, model and reference points, so {', '.join(options)} can say "
            "nothing more: leave that out, or name the model too"
        )

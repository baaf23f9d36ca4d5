"""Reading until a standard error is reached, in few stages, each of which is a plain measurement of some budget.

The first stage reads 8,192 tokens. From its standard error the square-root law of `infoplane.measurement.tokens_needed`
predicts the budget that the wanted one needs; that, with a tenth more, is captured anew. If it was not enough the next
stage predicts from the newest, until the error is reached, or the most that may be read, or a larger budget reads no
more. Judged is the larger of the standard errors of complexity and expressivity of the whole model.

A larger budget takes more documents and reads all deeper, so its windows are other windows: stages share no states. In
return the result is what the last budget gives by itself, and is repeated by naming that budget. Stopping where the
error came out small makes the error that is reported a little too small; with two or three stages, by little.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infoplane.capture import Capture, of_capture, throw_away
from infoplane.errors import CaptureError, SettingError, TextError
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.tokens_needed import checked_error, spoken_tokens, tokens_for
from infoplane.storage import Json, is_address, temporary
from infoplane.storage import atomic_files as files
from infoplane.storage import working_folders as work_folders
from infoplane.text import MIN_DEPTH, Windows
from infoplane.uncertainty import MIN_DOCUMENTS

FIRST = 8_192
MOST = 262_144
"""The most tokens that are read where no budget is named."""
_MARGIN, _STEP = 1.1, 1_024


@dataclass(frozen=True)
class Wanted:
    """A standard error that is wanted.

    Attributes:
        standard_error: in `unit`.
        order: whose complexity and expressivity are judged, by the estimator `corrected`.
        weight: of the labels.
        unit: `efficiency`, `bits` or `nats`.
        most: tokens that may be read.
    """

    standard_error: float
    order: int
    weight: str
    unit: str
    most: int

    @classmethod
    def of(
        cls,
        until_se: float | None,
        until_order: int | None,
        orders: Sequence[int],
        weights: Sequence[str],
        unit: str,
        most: int | None,
    ) -> Wanted:
        """From the settings of a measurement.

        Raises:
            SettingError: an error not above 0, an order not asked, or a budget too small for any interval.
        """
        wanted = checked_error(until_se, "until_se")
        order = until_order if until_order is not None else min(orders, default=1)
        if order not in orders:
            listed = ", ".join(map(str, orders))
            raise SettingError(f"until_order = {order}: expected one of the orders asked, {listed}")
        if isinstance(most, bool) or not isinstance(most, int) or most < MIN_DOCUMENTS * MIN_DEPTH:
            raise SettingError(
                f"tokens = {most!r}: until_se needs {MIN_DOCUMENTS} documents, so {MIN_DOCUMENTS * MIN_DEPTH} tokens "
                "or more"
            )
        return cls(wanted, order, "frequency" if "frequency" in weights or not weights else weights[0], unit, most)

    def error_of(self, capture: Capture, threads: int | None = None, memory: int | str | None = None) -> float:
        """The standard error of a capture that is judged; nothing else is asked.

        Raises:
            TextError: too few documents for one.
        """
        measurement = measure_capture(
            capture,
            orders=(self.order,),
            estimators=("corrected",),
            weights=(self.weight,),
            unit=self.unit,
            controls=False,
            parts=False,
            threads=threads,
            memory=memory,
        )
        errors = [
            row.standard_error
            for row in measurement.select(layer="model", order=self.order, position_set=f"P_{self.order}")
            if row.quantity in ("complexity", "expressivity") and row.standard_error is not None
        ]
        if len(errors) < 2:
            raise TextError(
                f"no standard error to judge at order {self.order}: {len(capture.windows.documents)} documents were "
                f"read, {MIN_DOCUMENTS} are needed, with labels that recur, and until_se cannot be reached; give more "
                "text, or leave until_se out"
            )
        return max(errors)


@dataclass(frozen=True)
class Stage:
    """What one budget gave: tokens read, of how many documents, and the standard error that is judged."""

    budget: int
    tokens: int
    documents: int
    standard_error: float


def enough_documents(documents: int) -> None:
    """Refuse a text that can have no interval, before anything is computed.

    Raises:
        TextError: fewer documents than an interval needs.
    """
    if documents < MIN_DOCUMENTS:
        raise TextError(
            f"the text has {documents} documents, and a standard error needs {MIN_DOCUMENTS}: until_se cannot be "
            "reached; give more documents, or leave until_se out"
        )


def next_budget(tokens: int, standard_error: float, wanted: float, most: int) -> int:
    """The budget to try next: what the law says and a tenth more, in steps of 1,024, `most` at most."""
    needed = tokens_for(tokens, standard_error, wanted)
    return min(most, math.ceil(needed * _MARGIN / _STEP) * _STEP)


def read_until(
    wanted: Wanted,
    cut: Callable[[int], Windows],
    keep: Callable[[int, Windows], Capture],
    error_of: Callable[[Capture], float],
) -> tuple[Capture, tuple[Stage, ...]]:
    """Capture growing budgets until the wanted error is reached, or no more may or can be read.

    Args:
        wanted: what to reach.
        cut: windows of a budget.
        keep: captures a budget's windows.
        error_of: the standard error that is judged.

    Returns:
        The capture of the last stage, and all stages.
    """
    budget, stages, kept = min(FIRST, wanted.most), list[Stage](), None
    while True:
        windows = cut(budget)
        if kept is not None and windows.hash == kept.windows.hash:  # the text has no more
            return kept, tuple(stages)
        kept = keep(budget, windows)
        error = error_of(kept)
        tokens = int(windows.is_text.sum())
        stages.append(Stage(budget, tokens, len(windows.documents), error))
        if error <= wanted.standard_error or budget >= wanted.most:
            return kept, tuple(stages)
        budget = next_budget(budget, error, wanted.standard_error, wanted.most)


def outcome(wanted: Wanted, stages: Sequence[Stage]) -> tuple[dict[str, Json], str | None]:
    """What the record says of the stages, and the warning where the wanted error was not reached."""
    last = stages[-1]
    reached = last.standard_error <= wanted.standard_error
    record = {**asdict(wanted), "reached": reached, "stages": [asdict(stage) for stage in stages]}
    if reached:
        return record, None
    needed = spoken_tokens(tokens_for(last.tokens, last.standard_error, wanted.standard_error), last.tokens)
    return record, (
        f"the wanted standard error of {wanted.standard_error:g} was not reached: it is {last.standard_error:.3g} at "
        f"order {wanted.order} with {last.tokens:,} tokens of {last.documents:,} documents ({wanted.most:,} tokens may "
        f"be read); it would need about {needed}"
    )


class Places:
    """Where the captures of stages lie: beside the folder that the last one gets, so that each can go on."""

    def __init__(self, folder: Path, keep: bool, force: bool) -> None:
        self.folder, self.keep, self.force = folder, keep, force
        self.own = work_folders.is_beside(folder)  # the last one's folder is not the user's either

    def of(self, budget: int) -> Path:
        """The folder for a budget's capture: the last one's own, where a capture of that budget lies there.

        Raises:
            CaptureError: the last one's folder holds something that this run cannot end with.
        """
        held = _budget_of(self.folder)
        if held == budget:
            return self.folder
        if self.folder.is_file():
            raise CaptureError(f"{self.folder} is a file; expected a folder for the capture")
        if self.folder.exists() and self.force:
            of_capture(self.folder)
        elif (held is None or held < budget) and not self.own and self.folder.exists() and any(self.folder.iterdir()):
            raise CaptureError(
                f"{self.folder} holds other files or the capture of another run: choose another folder, or --force to "
                "throw a capture away"
            )
        if self.own and self.folder.exists():
            work_folders.make(self.folder)  # refuses what infoplane did not make
        if not self.keep:  # nobody will go on with them: make room
            self._clear()
        return work_folders.make(self._stage(budget))

    def settle(self, budget: int) -> Path:
        """Give the last stage's capture its own folder, and remove the others."""
        stage = self._stage(budget)
        if stage.exists() and _budget_of(self.folder) != budget:
            if self.own:
                work_folders.discard(self.folder)
            elif self.folder.exists() and any(self.folder.iterdir()):
                if not self.force:
                    raise CaptureError(
                        f"{self.folder} holds the capture of another budget: choose another folder, or --force to "
                        "throw it away"
                    )
                throw_away(self.folder)
            if not self.own:
                work_folders.keep(stage)  # before it has its name: killed in between, it is nobody's to remove
            stage.replace(self.folder)
        self._clear()
        return self.folder

    def _stage(self, budget: int) -> Path:
        return self.folder.with_name(f"{self.folder.name}.until-{budget}")

    def _clear(self) -> None:
        for path in self.folder.parent.glob(f"{glob.escape(self.folder.name)}.until-*"):
            work_folders.discard(path)


@contextmanager
def places(capture: str | Path | None, force: bool) -> Iterator[Places]:
    """Folders of the stages: beside `capture`, or temporary where it is None."""
    if capture is not None:
        if is_address(capture):
            raise SettingError(
                f"capture {capture}: until_se keeps the captures of its stages beside each other and moves the last, "
                "which an address cannot do; expected a folder, or no capture"
            )
        yield Places(Path(capture).absolute(), True, force)
        return
    with temporary() as made:
        yield Places(made / "capture", False, force)


def _budget_of(folder: Path) -> int | None:
    """The budget of tokens of the capture in a folder, None where there is none that says so."""
    try:
        return int(files.parse_json((folder / "manifest.json").read_text("utf-8"))["windows"]["token_budget"])
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError):
        return None

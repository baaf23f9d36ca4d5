"""What fits in the memory: batches and shards of a capture, and reference points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, BatchSize
from infoplane.capture.fitting import Fitting
from infoplane.capture.memory_plan import capturing, reduction
from infoplane.capture.new_manifest import SHARD_TOKENS
from infoplane.errors import SettingError, check_whole
from infoplane.information import PointSets, check_calibration, sets_for
from infoplane.storage import free_memory, parse_size, spoken_size
from infoplane.text import MIN_WINDOW

if TYPE_CHECKING:
    from infoplane.capture.kept_code import KeptCode
    from infoplane.models import Facts
    from infoplane.text import Windows

_DRAWN, _HELD = 4 * 8, 8 + 4  # bytes of a number of a set that is drawn, and of one that is kept, here and cast


def capture_sizes(
    facts: Facts,
    windows: Windows,
    codes: Sequence[PointSets | Fitting | KeptCode],
    layers: int,
    loss: bool,
    memory: int | str | None,
    batch: int | None,
) -> dict[str, int]:
    """Tokens of batches and shards for `write_capture`, where they are not its own.

    Raises:
        SettingError: less memory than one window needs, or than it takes to measure so many afterwards.
    """
    if memory is None:
        return {} if batch is None else {"max_batch_tokens": batch}
    # states of another device are not held here
    width = facts.width if str(facts.provenance["device"]).startswith("cpu") else 0
    fit = capturing(
        parse_size(memory),
        tokens=len(windows.tokens),
        longest=int(windows.lengths.max()),
        width=width,
        stored=layers * sum(code.sets * code.m for code in codes),
        loss=loss,
        batch=batch or MAX_BATCH_TOKENS,
        shard=SHARD_TOKENS,
        batch_is_asked=batch is not None or width == 0,
    )
    reduction(
        parse_size(memory),
        stated=True,
        tokens=len(windows.tokens),
        positions=windows.n_positions,
        m=max(code.m for code in codes),
        documents=len(windows.documents),
        sets=1,
        threads=1,
        layers=1,
    )
    return {"max_batch_tokens": fit.batch, "shard_tokens": fit.shard}


def check_sizes(
    *,
    m: int,
    points_seed: int,
    calibration: str,
    tokens: int | None,
    context: int,
    seed: int,
    windows: Mapping[str, int] | None,
    batch: int | None,
    reference_sets: int = 1,
) -> None:
    """Refuse what no model can be measured with: known before one is loaded.

    Raises:
        SettingError: a number outside its range, or a calibration that is not known.
    """
    shortest = (windows or {}).get("min_window", MIN_WINDOW)
    for name, value, least in (
        ("m", m, 2),
        ("points_seed", points_seed, 0),
        ("reference_sets", reference_sets, 1),
        ("context", context, shortest),
        ("tokens", shortest if tokens is None else tokens, shortest),
        ("seed", seed, 0),
    ):
        check_whole(name, value, least)
    check_calibration(calibration)
    if batch is not None:
        BatchSize(batch)


def plan_points(
    width: int,
    m: int,
    points_seed: int,
    calibration: str,
    layers: Sequence[str],
    sets: int | None = None,
    shared: bool = False,
    memory: int | str | None = None,
) -> PointSets:
    """The reference points of layers, none of them drawn yet.

    Args:
        width, m, points_seed, calibration, shared: see `PointSets`.
        layers: names of those that are read.
        sets: of each layer; by default as `sets_for` says, of the blocks among them.
        memory: that may be held; what is free by default.

    Raises:
        SettingError: more points than the memory that is stated, or free, can hold.
    """
    if sets is None:
        sets = sets_for(sum(name.startswith("block.") for name in layers), shared)
    draws = sets if shared else sets * len(layers)
    needed, there = m * width * (_DRAWN + draws * _HELD), free_memory() if memory is None else parse_size(memory)
    if needed > there:
        which = f"{_counted(sets, 'set')} of {m:,} reference points of width {width}"
        which += "" if shared else f" for each of {_counted(len(layers), 'layer')}"
        how = "are free" if memory is None else "may be held"
        raise SettingError(
            f"{which} take {spoken_size(needed)}, and {spoken_size(there)} {how}: use a smaller m, or fewer "
            "reference_sets",
            settings=("m", "reference_sets"),
        )
    return PointSets.make(width, m, points_seed, calibration, sets, shared)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")

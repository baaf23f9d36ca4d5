"""Checkpoints of one training run: where they are, and the steps and tokens that their names tell.

Known names, as published: Pythia `step143000`; OLMo 1 `step1000-tokens4B`; OLMo 2 `stage1-step150-tokens1B`, also
without the stage, and `stage2-ingredient1-step11931-tokens50B`; FineWeb ablations `step-001000-2BT`; DataDecide
`step69369-seed-default`; Trainer folders `checkpoint-500`; and whatever else holds `step` or `checkpoint` and a
number. Other names need a table with the columns name, step and, if known, tokens.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infoplane.errors import ModelError, SettingError
from infoplane.storage import TABLE, read_text, reason

_NAME = re.compile(
    r"(?:stage(?P<stage>\d+)[-_])?(?:ingredient(?P<ingredient>\d+)[-_])?"
    r"(?<![a-z])(?:global_?step|step|checkpoint|ckpt|iter)[-_]?(?P<step>\d+)"
    r"(?:[-_](?:tokens)?(?P<tokens>\d+(?:\.\d+)?)(?P<unit>[KMBT])T?(?![A-Za-z]))?",
    re.IGNORECASE,
)
_UNIT = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_RANGE = re.compile(r"(\d*)\.\.(\d*)")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        name: of the revision or folder.
        source: hub id, or path of the checkpoint's own folder.
        revision: of a hub model, None for a folder.
        step: training steps done.
        tokens: training tokens seen, None where nothing tells.
        stage: of training, where the name has one: steps begin anew in each.
        commit: of a hub revision.
    """

    name: str
    source: str
    revision: str | None
    step: int
    tokens: int | None = None
    stage: tuple[int, int] = (0, 0)
    commit: str | None = None

    @property
    def order(self) -> tuple[tuple[int, int], int]:
        """Place in training."""
        return self.stage, self.step


def parse_name(name: str) -> tuple[int, int | None, tuple[int, int]] | None:
    """Step, tokens and (stage, ingredient) that a name tells; None where it tells no step.

    >>> parse_name("stage1-step150-tokens1B")
    (150, 1000000000, (1, 0))
    """
    match = _NAME.search(name)
    if match is None:
        return None
    tokens = None
    if match["tokens"]:
        tokens = round(float(match["tokens"]) * _UNIT[match["unit"].upper()])
    return int(match["step"]), tokens, (int(match["stage"] or 0), int(match["ingredient"] or 0))


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one; half of one, with weights and a step in its name, is to be told of."""
    half = parse_name(folder.name) is not None and any(folder.glob("*.safetensors"))
    return (folder / "config.json").is_file() or half


def find_checkpoints(
    source: str | Path, revisions: str | None = None, table: Mapping[str, tuple[int, int | None]] | None = None
) -> tuple[Checkpoint, ...]:
    """The checkpoints of a run, in the order of training.

    Args:
        source: a folder that holds checkpoint folders, or a hub id.
        revisions: which ones, as names, globs (`step*000`) and ranges of steps (`1000..143000`, `..512`), separated by
            commas; all whose name tells a step by default.
        table: step and tokens by name, for names that tell none; see `read_table`.

    Raises:
        ModelError: no folder or model there, or fewer than two checkpoints.
        SettingError: a revision that does not exist, or two checkpoints of one step.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        names: dict[str, str | None] = {p.name: None for p in path.iterdir() if _is_checkpoint(p)}
        if not names:
            own = " (it is a single model: name the folder that holds the checkpoints)"
            raise ModelError(
                f"{path} holds no checkpoint folders; expected folders with a config.json, such as checkpoint-500"
                + (own if (path / "config.json").is_file() else "")
            )
    else:
        names = _hub_names(str(source))
    placed = {name: _placed(name, table) for name in names}
    chosen = _select(
        revisions, {name: step_and_tokens for name, step_and_tokens in placed.items() if step_and_tokens}, names
    )
    checkpoints = []
    for name in chosen:
        step_and_tokens = placed[name]
        if step_and_tokens is None:
            raise SettingError(
                f"{name!r} tells no training step: give table, whose columns are name,step,tokens",
                settings=("table",),
            )
        step, tokens, stage = step_and_tokens
        if path.is_dir():
            checkpoints.append(Checkpoint(name, str(path / name), None, step, tokens, stage))
        else:
            checkpoints.append(Checkpoint(name, str(source), name, step, tokens, stage, names[name]))
    checkpoints.sort(key=lambda c: c.order)
    for a, b in itertools.pairwise(checkpoints):
        if a.order == b.order:
            raise SettingError(
                f"{a.name!r} and {b.name!r} are of one step, {a.step}: choose one of them with revisions",
                settings=("revisions",),
            )
    if len(checkpoints) < 2:
        have = f"only {checkpoints[0].name!r} fits" if checkpoints else "none fits"
        raise ModelError(f"a trace needs at least two checkpoints of {source}, and {have}; there are {_some(names)}")
    return _running_steps(checkpoints)


def _placed(
    name: str, table: Mapping[str, tuple[int, int | None]] | None
) -> tuple[int, int | None, tuple[int, int]] | None:
    if table is not None and name in table:
        step, tokens = table[name]
        return step, tokens, (0, 0)
    return parse_name(name)


def _running_steps(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Steps and tokens that begin anew in a later stage go on from the last ones of the stage before."""
    out: list[Checkpoint] = []
    steps, tokens = 0, 0
    for before, c in zip([None, *checkpoints], checkpoints, strict=False):
        if before is not None and c.stage != before.stage:
            last = out[-1]
            if c.stage[0] == before.stage[0]:
                raise SettingError(
                    f"{before.name!r} and {c.name!r} are ingredients {before.stage[1]} and {c.stage[1]} of stage "
                    f"{c.stage[0]}: branches that begin at the same weights, not one run; choose one of them with "
                    f"revisions, such as 'stage1-*,stage{c.stage[0]}-ingredient{before.stage[1]}-*'",
                    settings=("revisions",),
                )
            steps = last.step if c.step <= last.step else 0
            tokens = last.tokens if last.tokens and c.tokens and c.tokens <= last.tokens else 0
        out.append(replace(c, step=c.step + steps, tokens=None if c.tokens is None else c.tokens + tokens))
    return tuple(out)


def _select(revisions: str | None, placed: Mapping[str, object], names: Iterable[str]) -> list[str]:
    """Names that fit what is asked for, in which a name that does not exist is an error."""
    if revisions is None:
        return list(placed)
    chosen: dict[str, None] = {}
    for word in (w.strip() for w in revisions.split(",")):
        if not word:
            continue
        between = _RANGE.fullmatch(word)
        if between:
            low, high = int(between[1] or 0), int(between[2] or 10**18)
            fits = [name for name, step_and_tokens in placed.items() if low <= step_and_tokens[0] <= high]  # type: ignore[index]
        else:
            fits = [name for name in names if fnmatch.fnmatchcase(name, word)]
        if not fits:
            near = difflib.get_close_matches(word, list(names), n=5, cutoff=0.3)
            hint = f"near names: {', '.join(near)}" if near else f"there are {_some(names)}"
            raise SettingError(f"no checkpoint {word!r}; {hint}")
        chosen |= dict.fromkeys(fits)
    return list(chosen)


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 6} more" if len(listed) > 6 else ""
    return ", ".join(listed[:6]) + more if listed else "none"


def _hub_names(repository: str) -> dict[str, str | None]:
    """Branches and tags of a hub model, with their commits."""
    try:
        from huggingface_hub import list_repo_refs
    except ImportError:
        raise ModelError("reading a hub model needs huggingface_hub: pip install 'infoplane[hf]'") from None
    try:
        refs = list_repo_refs(repository)
    except Exception as error:  # the hub and the network each have their own families
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"no folder {repository!r}, and the hub does not list its revisions: {reason}; expected a folder of "
            "checkpoints or a hub id owner/name"
        ) from None
    return {ref.name: ref.target_commit for ref in (*refs.branches, *refs.tags)}


def read_table(path: str | Path) -> dict[str, tuple[int, int | None]]:
    """Steps and tokens by name, from a CSV file with the columns name, step and, if known, tokens.

    Raises:
        SettingError: unreadable, a column missing, or a line without a whole number.
    """
    path = Path(path)
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, "utf-8-sig", TABLE), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(f"the table of steps {path} cannot be read: {reason(error)}") from None
    if any(None in row or None in row.values() for row in rows):
        raise SettingError(f"{path} has lines with more or fewer cells than its header: expected name,step,tokens")
    if not rows or not {"name", "step"} <= rows[0].keys():
        raise SettingError(
            f"{path} has the columns {', '.join(rows[0]) if rows else 'none'}; expected name,step,tokens"
        )
    table = {}
    for number, row in enumerate(rows, start=2):
        try:
            tokens = int(float(row["tokens"])) if (row.get("tokens") or "").strip() else None
            table[row["name"]] = (int(row["step"]), tokens)
        except (ValueError, TypeError, OverflowError):
            raise SettingError(f"{path}, line {number}: expected whole numbers for step and tokens") from None
    return table


def gaps(steps: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Steps between which checkpoints seem to be missing: twice as far apart as both neighbours are, or more."""
    d = [b - a for a, b in itertools.pairwise(steps)]
    return tuple((steps[i], steps[i + 1]) for i in range(1, len(d) - 1) if d[i] >= 2 * max(d[i - 1], d[i + 1]))

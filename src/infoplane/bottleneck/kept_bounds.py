"""Bounds that were fitted before: of the same text, tokens, teacher and settings there is nothing to fit again.

Some come with the package, those of its own text; others are kept in the user's cache folder once they were fitted. A
bound is found by the SHA-256 over everything that decides it (`infoplane.bottleneck.text_bound.key_of`), so one of
another text, tokenizer, teacher or number of symbols is never taken for it. The precision that the teacher ran in is
not part of that: whatever codes were fitted to, what they achieve is judged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.bottleneck.bound_settings import BoundSettings
from infoplane.bottleneck.fit_text import FitText, deep
from infoplane.bottleneck.text_bound import AnnealingKeywords, Bound, bound_of, key_of, origin_of
from infoplane.engines import Progress
from infoplane.errors import InfoplaneError, SettingError
from infoplane.models import TokenizerSource, load_tokenizer
from infoplane.settings import settings_or
from infoplane.storage import cache_folder
from infoplane.text import BUILT_IN, TextSource, Windows, text_of, windows_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from infoplane.bottleneck.bound_keywords import BoundKeywords

_LETTERS = 16  # of a key in the name of a folder that comes with the package


def bound(
    documents: TextSource = BUILT_IN,
    tokenizer: TokenizerSource | None = None,
    settings: BoundSettings | None = None,
    *,
    progress: Progress | None = None,
    **flat: Unpack[BoundKeywords],
) -> Bound:
    """Compute the bound of a text: how much codes of the last k tokens can tell about the next, given what they keep.

    A bound that comes with the package, or that was fitted before, is read instead of fitted again.

    Args:
        documents: the text, as for `infoplane.measure`.
        tokenizer: the tokenizer whose tokens are coded: loaded, or as a hub id, folder or .gguf file. It must be given.
        settings: the settings; by default `BoundSettings()`.
        progress: called as `progress(stage, done, total)`.
        **flat: settings by keyword, which override those in `settings`.

    Returns:
        The frontiers of all orders, with their provenance.

    Raises:
        InfoplaneError: bad input; its subclass says of which kind.
    """
    chosen = settings_or(settings, BoundSettings).but(flat)
    if tokenizer is None:
        raise SettingError("the bound is one of tokens: name the tokenizer, a loaded one or as a hub id or folder")
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer)
    text = text_of(documents, chosen.reading, chosen.windows)
    windows, whole = (windows_of(text, tokenizer, settings) for settings in (chosen.windows, deep(chosen.windows)))
    return kept_or_fitted(
        windows,
        chosen.orders,
        m=chosen.m,
        fit=FitText(whole),
        progress=progress,
        seed=chosen.windows.seed,
        wide=chosen.wide,
        starts=chosen.starts,
        forward=chosen.forward,
    )


def shipped_folder(key: str) -> Path:
    """Where the bound of a key is, if it comes with the package."""
    return Path(str(resources.files("infoplane"))) / "data" / "bounds" / key[:_LETTERS]


def kept_bound(key: str) -> Bound | None:
    """The bound of a key, from the package or the cache; None where it is in neither, or damaged."""
    for folder in (shipped_folder(key), _cached(key)):
        if folder is not None and folder.is_dir() and (stored := _stored(folder, key)) is not None:
            return stored
    return None


def kept_or_fitted(
    windows: Windows,
    orders: Sequence[int],
    *,
    m: int,
    fit: FitText | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **annealing: Unpack[AnnealingKeywords],
) -> Bound:
    """The bound of these windows, fitted on this text: from the package or the cache, or fitted and kept there."""
    key = key_of(windows, orders, m, fit, **annealing)
    if key is not None and (known := kept_bound(key)) is not None:
        # the same text may lie elsewhere now
        return replace(known, provenance={**known.provenance, **origin_of(windows)})
    fitted = bound_of(windows, orders, m=m, fit=fit, threads=threads, progress=progress, **annealing)
    if key is not None and (folder := _cached(key)) is not None:
        with contextlib.suppress(OSError, InfoplaneError):  # a cache that cannot be written is no loss
            fitted.save(folder)
    return fitted


def stored_or_fitted(
    folder: Path,
    windows: Windows,
    orders: Sequence[int],
    *,
    m: int,
    fit: FitText | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Bound:
    """The same for a run that has its bound in a folder of its own: from there, or else stored there."""
    key = key_of(windows, orders, m, fit)
    if key is not None and (stored := _stored(folder, key)) is not None:
        return stored
    found = kept_or_fitted(windows, orders, m=m, fit=fit, threads=threads, progress=progress)
    found.save(folder)
    return found


def _stored(folder: Path, key: str) -> Bound | None:
    """The bound in a folder if it is that of a key; None where it is another, damaged or not there."""
    with contextlib.suppress(InfoplaneError, OSError):
        bound = Bound.load(folder)
        return bound if bound.key == key else None
    return None


def _cached(key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "bounds" / key

"""What a survey will cost, before anything is downloaded: bytes, tokens, hours and disk.

A forward pass takes about C = 2 N operations a token, N the parameters (Kaplan et al. 2020, arXiv 2001.08361, section
2.1: 2 N + 2 n_layer n_ctx d_attn, N without embeddings). Here N is all parameters, so the figure is rather too high for
small models with large vocabularies; mixtures of experts, which use a part of them for each token, are overstated.
Capturing the states takes a multiple of the pass, and measuring is done by the processor:

    hours = T * 2 N * (1 + c + c' (S - 1)) / throughput,  measuring = T * L * S * q,  captures = T * L * S * 2 m bytes,

T tokens, S reference sets, L layers, m points; c, c' and q are measured (`bench/survey.py`). L is not known before a
model is there; it is estimated from N = 12 L d^2 (Kaplan) with d = 100 L: too few for small deep models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.surveys.lock import Hub
from infoplane.analysis.surveys.survey_file import Entry
from infoplane.errors import InfoplaneError, SettingError
from infoplane.information import FITS, FITTED, CodeSettings, sets_for
from infoplane.models import BUILT_IN, built_in
from infoplane.text import Text, WindowSettings

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

THROUGHPUTS: Mapping[str, tuple[float, str]] = {
    "h100-bf16": (
        2.97e14,
        "30 % of the 989.4e12 FLOP/s that NVIDIA's H100 SXM data sheet names for dense bfloat16; the 30 % are assumed",
    ),
    "cpu-core": (9.6e10, "one core with AVX-512, float32, SmolLM2-135M (bench/survey.py)"),
}
"""Operations a second that can be named instead of given, and where they come from."""
CAPTURING, EACH_SET = 0.08, 0.045
"""Parts of a forward pass that capturing adds: with one reference set, and for each set more; less in wider models."""
MEASURING = 6.3e-6
"""q, processor seconds a position, layer and set, orders 1 and 2 (bench/survey.py)."""
BYTES_PER_TOKEN = 4.4
_HEADER = 100 << 20  # the longest header that the format allows
_SIZES = {"float64": 8, "float32": 4}


@dataclass(frozen=True)
class Cost:
    """What one model will cost; None where nothing tells.

    Attributes:
        entry: the model.
        parameters: of the model.
        told_by: who says so: `hub`, `file` (its own) or `survey`.
        download: bytes; 0 for a local model.
        download_is: `hub`, `local`, or `estimate`, parameters times the bytes of a number.
        tokens: to be run.
        tokens_are: `budget`, or `estimate`, from the bytes of the text.
        hours: of forward passes and captures, at the throughput.
        measuring_hours: of the processor, after that.
        capture: bytes on the disk while it is measured.
    """

    entry: Entry
    parameters: int | None
    told_by: str | None
    download: int | None
    download_is: str | None
    tokens: int
    tokens_are: str
    hours: float | None
    measuring_hours: float | None
    capture: int | None


def throughput_of(given: str | None) -> tuple[float, str]:
    """Operations a second, and what they rest on, from a number or a name of `THROUGHPUTS`.

    Raises:
        SettingError: neither.
    """
    given = given or "h100-bf16"
    if given in THROUGHPUTS:
        value, why = THROUGHPUTS[given]
        return value, f"{given}: {why}"
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SettingError(
            f"--throughput {given!r}: expected operations a second such as 2e14, or one of {', '.join(THROUGHPUTS)}"
        )
    return value, "as given"


def costs(entries: Sequence[Entry], texts: Mapping[str, Text | None], throughput: float, hub: Hub) -> tuple[Cost, ...]:
    """What each model will cost.

    Args:
        entries: the models.
        texts: for each folder name its text, as it will be read; None where it is not read beforehand.
        throughput: operations a second.
        hub: asked for sizes, as long as it can be reached.
    """
    return tuple(_cost(entry, texts.get(entry.name), throughput, hub) for entry in entries)


def _cost(entry: Entry, text: Text | None, throughput: float, hub: Hub) -> Cost:
    s = entry.settings.measuring
    tokens, tokens_are = _tokens(s.windows, text)
    parameters, told_by, download, download_is = _size(entry, hub)
    hours = measuring = capture = None
    if parameters:
        named_layers = s.capturing.layers
        layers = layers_of(parameters) if named_layers is None else len(named_layers)
        sets = _sets(s.code, layers - (2 if named_layers is None else 0))
        hours = tokens * 2 * parameters * (1 + CAPTURING + EACH_SET * (sets - 1)) / throughput / 3600
        measuring = tokens * layers * sets * MEASURING * len(s.questions.orders) / 2 / 3600
        capture = tokens * layers * sets * s.code.m * 2
    return Cost(entry, parameters, told_by, download, download_is, tokens, tokens_are, hours, measuring, capture)


def _sets(code: CodeSettings, blocks: int) -> int:
    """Sets of all codes of a layer."""
    return sum(
        code.reference_sets or (FITS if kind == FITTED else sets_for(blocks, code.shared_points)) for kind in code.code
    )


def memory_of(entry: Entry) -> int:
    """Bytes that measuring a model needs at least, as far as that is known beforehand: its weights, and 1 GiB."""
    parameters = _stated(entry) or (None if entry.source == BUILT_IN else _counted(Path(entry.source)))
    return (parameters or 0) * _SIZES.get(entry.settings.measuring.loading.dtype, 4) + (1 << 30 if parameters else 0)


def layers_of(parameters: int) -> int:
    """Layers that a model of so many parameters has, about, the embedding and the last norm included."""
    return max(4, round(math.exp(math.log(parameters / 120_000) / 3))) + 2


def _tokens(windows: WindowSettings, text: Text | None) -> tuple[int, str]:
    size = windows.bytes
    if text is not None:
        size = sum(len(document.text.encode()) for document in text.documents)
    whole = None if size is None else round(size / BYTES_PER_TOKEN)
    if windows.tokens is not None and (whole is None or windows.tokens <= whole):
        return windows.tokens, "budget"
    assert whole is not None
    return whole, "estimate"


def _size(entry: Entry, hub: Hub) -> tuple[int | None, str | None, int | None, str | None]:
    """Parameters and who tells them, bytes to download and whence they are known."""
    if entry.is_local:
        parameters = _counted(built_in() if entry.source == BUILT_IN else Path(entry.source))
        if parameters:
            return parameters, "file", 0, "local"
        parameters = _stated(entry)
        return parameters, "survey" if parameters else None, 0, "local"
    parameters, told_by = _stated(entry), "survey"
    try:
        answer = hub.info(entry.id, entry.revision, files_metadata=True)
    except InfoplaneError:
        answer = None
    if answer is not None:
        if getattr(answer.safetensors, "total", None):
            parameters, told_by = int(answer.safetensors.total), "hub"
        if sizes := _files(answer.siblings or ()):
            return parameters, told_by if parameters else None, sizes, "hub"
    if not parameters:
        return None, None, None, None
    return parameters, told_by, parameters * _SIZES.get(entry.settings.measuring.loading.dtype, 2), "estimate"


def _stated(entry: Entry) -> int | None:
    return round(float(entry.facts["parameters_b"]) * 1e9) if "parameters_b" in entry.facts else None


def _files(siblings: Sequence[RepoSibling]) -> int:
    """Bytes of the files that loading takes: safetensors, or pickles where there are none, and what is small."""
    sizes = {file.rfilename: int(file.size or 0) for file in siblings if "/" not in file.rfilename}
    weights = {n: s for n, s in sizes.items() if n.endswith(".safetensors") and not n.startswith("consolidated")}
    weights = weights or {n: s for n, s in sizes.items() if n.endswith(".bin")}
    small = sum(s for n, s in sizes.items() if n.endswith((".json", ".txt", ".model")))
    return sum(weights.values()) + small if weights else 0


def _counted(path: Path) -> int | None:
    """Parameters of the safetensors in a folder, from their headers alone; None where there are none."""
    if not path.is_dir():
        return None
    total = 0
    try:
        for file in path.glob("*.safetensors"):
            with file.open("rb") as stream:
                head = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), _HEADER)))
            total += sum(math.prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, RecursionError):  # not what it says
        return None
    return total or None

"""What a capture keeps of a model's states."""

from __future__ import annotations

import re
from dataclasses import dataclass

from infoplane.setting_kinds import Kind, flag, names
from infoplane.settings import Settings, setting

GROUP = "Model"
_LAYER = re.compile(r"embed|block\.(0|[1-9][0-9]*)|final_norm")


def _are_layers(value: object) -> bool:
    words = names("")
    return words.fits(value) and isinstance(value, tuple) and all(_LAYER.fullmatch(str(each)) for each in value)


@dataclass(frozen=True)
class CaptureSettings(Settings):
    """Which layers are read, and whether probes and the loss of the same text are."""

    layers: tuple[str, ...] | None = setting(
        None,
        Kind(_are_layers, "a list of layers, such as embed, block.0, block.1 and final_norm", str, several=True),
        "Layers to measure, comma-separated: embed, block.0, block.1, ... and final_norm; all by default.",
        group=GROUP,
    )
    probe: bool = setting(
        False,
        flag(),
        "Also fit linear probes for the 50 most frequent present and next tokens, a lower estimate of what the states "
        "of a layer hold about them. Takes some seconds per layer.",
        group=GROUP,
        with_pairs=False,
    )
    teacher: bool = setting(
        True,
        flag(),
        "For the bound: fit the frontier also to what the model predicts after each token, which is far less noisy "
        "than the tokens that follow. The model then reads up to 131072 tokens (or the budget, if larger) once more.",
        group=GROUP,
        with_pairs=False,
    )
    loss: bool = setting(False, flag(), "Also compute the next-token loss and the bits per byte.", group=GROUP)

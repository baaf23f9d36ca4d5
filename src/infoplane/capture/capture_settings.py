"""What a capture keeps of a model's states."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.setting_kinds import flag, names
from infoplane.settings import Settings, setting

GROUP = "Model"


@dataclass(frozen=True)
class CaptureSettings(Settings):
    """Which layers are read, and whether the loss of the same text is."""

    layers: tuple[str, ...] | None = setting(
        None, names("names of layers"), "Layers to read, such as embed,block.3,final_norm; all by default.", group=GROUP
    )
    loss: bool = setting(False, flag(), "Next-token loss and bits per byte of the text too.", group=GROUP)

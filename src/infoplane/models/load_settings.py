"""How a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.setting_kinds import flag, one_of, word
from infoplane.settings import Settings, setting

GROUP = "Model"
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class LoadSettings(Settings):
    """How a named model is loaded; see `load_model`."""

    revision: str | None = setting(None, word(), "Branch, tag or commit of a hub model.", group=GROUP)
    tokenizer: str | None = setting(
        None, word(), "Tokenizer to use instead of the model's own: a hub id, a folder or a .gguf file.", group=GROUP
    )
    dtype: str = setting(
        "auto",
        one_of(*DTYPES),
        "auto (bfloat16 where the hardware computes it fast, else float32), float32, bfloat16, float16 or float64.",
        group=GROUP,
    )
    device: str = setting("auto", word(), "auto (the GPU, if there is one), cpu, cuda, cuda:1 or mps.", group=GROUP)
    device_map: str | None = setting(None, word(), "auto: spread the model over several GPUs.", group=GROUP)
    trust_remote_code: bool = setting(False, flag(), "Run code that comes with the model.", group=GROUP)
    allow_pickle: bool = setting(False, flag(), "Load pickled weights, which can run code.", group=GROUP)
    random_init: bool = setting(
        False, flag(), "Measure the untrained twin instead: the same architecture with fresh weights.", group=GROUP
    )

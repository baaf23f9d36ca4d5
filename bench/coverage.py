"""How often the 95 % interval covers a truth known by construction, over 1,000 draws of each channel.

python bench/coverage.py [draws]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from channels import CHANNELS, covered


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| channel | truth, nats | plugin | corrected | spread | mean standard error | coverage |")
    print("|---|---|---|---|---|---|---|")
    for name in CHANNELS:
        truth, x = covered(name, draws)
        print(
            f"| {name} | {truth:.4f} | {x[:, 0].mean():.4f} | {x[:, 1].mean():.4f} | {x[:, 1].std():.4f} "
            f"| {x[:, 2].mean():.4f} | {x[:, 3].mean():.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""A fitted code that is kept: what variants of a model, or checkpoints of a run, are all read with.

Directions and temperature are those of one model, so figures of two others differ by what their states do alone. A code
fitted anew follows the states, and its own noise enters each difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infoplane.capture.folder import content, read_whole
from infoplane.capture.manifest import KeptRecord
from infoplane.errors import CaptureError
from infoplane.information import FittedCodes
from infoplane.storage import Json, write_arrays

_TEMPERATURES = "inverse_temperatures"  # name of their array


@dataclass(frozen=True, eq=False)
class KeptCode:
    """The fitted code of a model, with the temperature at which it held its capacity there.

    Attributes:
        codes: of each layer.
        record: whose it is, the capacity, and by layer one inverse temperature a fit.
        seed: of the fits.
    """

    codes: FittedCodes
    record: KeptRecord
    seed: int

    @property
    def m(self) -> int:
        """Directions of a code."""
        return self.codes.m

    @property
    def sets(self) -> int:
        """How many fits there are."""
        return self.codes.sets

    @property
    def hash(self) -> str:
        """SHA-256 over directions and temperatures."""
        digest = hashlib.sha256(content(self.codes.arrays()).encode())
        digest.update(
            json.dumps([self.record["capacity"], self.record["inverse_temperatures"]], sort_keys=True).encode()
        )
        return digest.hexdigest()

    def some(self, layers: Sequence[str], width: int) -> KeptCode:
        """The same of some layers.

        Args:
            layers: of the model that is read with it.
            width: of its states.

        Raises:
            CaptureError: it has not all of them, or its states are of another width.
        """
        whose = f"the code of {self.record['of']}"
        if missing := [layer for layer in layers if layer not in self.codes.of]:
            raise CaptureError(
                f"{whose} has no layer {', '.join(missing)} (it has {', '.join(self.codes.of)}): name layers that both "
                "models have",
                settings=("code_of", "layers"),
            )
        if (there := self.codes.of[layers[0]][0].d) != width:
            raise CaptureError(
                f"{whose} is of states {there} wide, and those of this model are {width} wide: a code is kept for "
                "variants of one model",
                settings=("code_of",),
            )
        k = {layer: self.record["inverse_temperatures"][layer] for layer in layers}
        codes = FittedCodes({layer: self.codes.of[layer] for layer in layers})
        return KeptCode(codes, {**self.record, "inverse_temperatures": k}, self.seed)

    def named(self, of: str) -> KeptCode:
        """The same, said to be of something else."""
        return KeptCode(self.codes, {**self.record, "of": of}, self.seed)

    def save(self, path: Path, said: Json) -> None:
        """Write it, whole or not at all, with what it is of."""
        table = np.array([self.record["inverse_temperatures"][layer] for layer in self.codes.of])
        head = {"of": self.record["of"], "capacity": self.record["capacity"], "seed": self.seed}
        of = json.dumps({**head, "layers": list(self.codes.of), "said": said})
        arrays = {**self.codes.arrays(), _TEMPERATURES: table}
        write_arrays(path, arrays, {"kept_code": of, "content_sha256": content(arrays)})

    @classmethod
    def load(cls, path: Path, said: Json) -> KeptCode | None:
        """What was saved; None if nothing is there, or it is of something else, or damaged.

        Raises:
            OSError: the storage does not answer.
        """
        if (found := read_whole(path)) is None:
            return None
        head, arrays = found
        try:
            of = json.loads(head["kept_code"])
            if of["said"] != said:
                return None
            table = arrays[_TEMPERATURES].astype(np.float64)
            k = {layer: row.tolist() for layer, row in zip(of["layers"], table, strict=True)}
            codes = FittedCodes.from_arrays(arrays, of["layers"], table.shape[1])
        except (IndexError, KeyError, TypeError, ValueError):
            return None
        return cls(codes, {"of": of["of"], "capacity": of["capacity"], "inverse_temperatures": k}, of["seed"])

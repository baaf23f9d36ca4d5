"""Figures as means over sets of reference points: values and replicates, and what each set contributes.

Every figure of a layer is made once for each set. What is reported is the mean over sets, and of ratios the ratio of
the means; what sets contribute goes along to first order, through means over layers, differences and ratios, for
`infoplane.uncertainty.drawn_points`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.information import Floats
from infoplane.uncertainty import PointsPart, merged, points_part


@dataclass(frozen=True, eq=False)
class SetMean:
    """A figure.

    Attributes:
        columns: (1 + B,) the mean over sets, then its replicates; (1,) where there are none.
        by_draw: (R, 1 + B) what each set of a draw contributes, by the name of the draw.
    """

    columns: Floats
    by_draw: Mapping[str, Floats]

    @classmethod
    def of_layer(cls, draw: str, sets: Sequence[Floats]) -> SetMean:
        """Of one layer, from the (1 + B,) of each set."""
        u = np.stack(sets)
        return cls(u.mean(0), {draw: u})

    @classmethod
    def over(cls, figures: Sequence[SetMean]) -> SetMean:
        """The mean of figures, of layers for instance."""
        share = 1 / len(figures)
        return cls(np.mean([f.columns for f in figures], axis=0), merged((share, f.by_draw) for f in figures))

    def __sub__(self, other: SetMean) -> SetMean:
        return SetMean(self.columns - other.columns, merged([(1.0, self.by_draw), (-1.0, other.by_draw)]))

    def __truediv__(self, other: SetMean) -> SetMean:
        """The ratio of the means; contributions are those of its first derivative."""
        ratio, below = self.columns / other.columns, other.columns[0]
        moved = merged([(1 / below, self.by_draw), (-float(ratio[0]) / below, other.by_draw)])
        return SetMean(ratio, moved)

    def times(self, factor: float) -> SetMean:
        return SetMean(self.columns * factor, merged([(factor, self.by_draw)]))

    @property
    def points(self) -> PointsPart:
        """What sets contribute, for the errors of the figure."""
        return points_part(self.by_draw)

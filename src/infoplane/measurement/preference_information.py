r"""What a model's states keep of which answer people preferred, and what of it is not length, place or choice of words.

With L = 0 on the tokens of chosen answers and 1 on those of rejected ones, on three samples of the same rows,

    answers  I(L; Z')                      all tokens: the published figure. Where rejected answers are longer, or begin
                                           otherwise, states that know their place in the text know that of L
    matched  I(L; Z')                      the first min(n_chosen, n_rejected) tokens of both: L is even in every pair
                                           and at every place, so length and place say nothing of it
    matched  I(L; Z' | T) = I(T,L; Z') - I(T; Z')    T the token itself: what is not the choice of words. Beside it
             I(T; L)                       what the words alone say, no model needed.

All by the estimators of `infoplane.information.estimators`, replicates paired. The control is a *swap within pairs*: a
fair coin for each pair exchanges chosen and rejected, which keeps lengths, topics, words and bursts, and nothing of the
preference. Its mean is subtracted, and its spread is the error at 0: see `infoplane.measurement.swap_control`.

Of the token and the answer together most labels are rare, and there null-curve varies ten times as much as plugin. So
the third figure stands first by plugin less its swap mean: of the same mean 0 where nothing is to be found; where
something is, too small for rare tokens (about a quarter of the truth for tokens seen twice, nearly all for frequent
ones), so a lower estimate. By null-curve it stands beside it.

Source of the published figure: Conklin et al. 2026 (arXiv 2604.07569). Matching and conditioning are worked out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from infoplane.capture import Capture
from infoplane.engines import Progress
from infoplane.errors import SettingError
from infoplane.information import (
    PLUGIN,
    Floats,
    Grouping,
    Ints,
    Marginal,
    NullCurve,
    Rows,
    Sample,
    Summing,
    Tally,
    informations,
    unit_scale,
)
from infoplane.measurement.estimate import Controls, Described, Estimate
from infoplane.measurement.results import Measurement
from infoplane.measurement.set_means import SetMean
from infoplane.measurement.swap_control import centred
from infoplane.text import Labels, permuted, shifted
from infoplane.text.pairs import PairRows
from infoplane.uncertainty import standard_error_of

SWAPS = 16
PREFERENCE, GIVEN_TOKEN, OF_TOKEN = "preference", "preference_given_token", "token_preference"
QUANTITIES = (PREFERENCE, GIVEN_TOKEN, OF_TOKEN)
"""Each also with `_swapped`: value the mean and standard error the spread of the swap draws."""
SIDE = "label:preference"
_PLUGIN_DOUBT = "plugin is biased upward: subtract its swap control"
_AT_ONCE = 12  # sets of labels asked in one visit to a layer
FIGURES = ((PREFERENCE, "answers"), (PREFERENCE, "matched"), (GIVEN_TOKEN, "matched"))


def with_preferences(
    measurement: Measurement, capture: Capture, *, swaps: int = SWAPS, progress: Progress | None = None
) -> Measurement:
    """A measurement with the preference rows of its capture: for each layer and the mean of blocks.

    Args:
        measurement: of the capture.
        capture: of windows of `make_pair_windows`.
        swaps: draws of the control, 4 or more.
        progress: called with the stage, what is done and what there is to do.

    Raises:
        LabelError: a capture of a text.
        SettingError: too few swaps.
    """
    if isinstance(swaps, bool) or not isinstance(swaps, int) or swaps < 4:
        raise SettingError(f"swaps = {swaps!r}: expected a whole number, 4 or more; their spread is an error")
    unit = str(measurement.provenance["settings"]["unit"])
    questions = Asked(capture, swaps)
    done = 0
    for s in range(capture.sets):
        for layer in capture.layers:
            if progress is not None:
                progress("preferences", done, capture.sets * len(capture.layers))
            questions.add(layer, s)
            done += 1
    if progress is not None:
        progress("preferences", done, done)
    rows = [replace(row, code=capture.record["code"]) for row in questions.rows(unit)]
    more = {
        "swaps": swaps,
        "pairs": len(capture.windows.documents),
        "rejected": float(questions.of.rejected.mean()),
        "matched": float(questions.of.matched.mean()),
    }
    warnings = [*measurement.provenance.get("warnings", ()), *capture.windows.provenance.get("warnings", ())]
    provenance = {**measurement.provenance, "preferences": more, "warnings": list(dict.fromkeys(warnings))}
    return replace(measurement, estimates=(*measurement.estimates, *rows), provenance=provenance)


class Asked:
    """The questions about pairs, and the answers of the layers that were added.

    Args:
        capture: of pairs.
        swaps: draws of the control.
    """

    def __init__(self, capture: Capture, swaps: int) -> None:
        self.capture, self.swaps = capture, swaps
        windows = capture.windows
        self.of = PairRows.of(windows)
        self.blocks = windows.blocks
        self.samples = {
            "answers": np.arange(len(self.of.pair), dtype=np.int32),
            "matched": np.flatnonzero(self.of.matched).astype(np.int32),
        }
        self.found: dict[tuple[str, int, str, str, str], tuple[Floats, Floats | None]] = {}
        self._sets = list(self._label_sets())

    def _label_sets(self) -> Iterator[tuple[str, str, str, Labels]]:
        """(quantity, sample, kind, labels): what is asked, kinds being value, permuted, shifted, swap0 ..."""
        token, pair = self.of.token, self.of.pair
        yield "token", "matched", "value", _labels(self.samples["matched"], token)
        for quantity, sample in FIGURES:
            rows = self.samples[sample]
            own = Labels(rows, self.of.rejected[rows])
            kinds: list[tuple[str, Labels | None]] = [("value", own)]
            if quantity != GIVEN_TOKEN:  # its rare labels are rarer still when answers do not share one
                kinds += [("permuted", permuted(own, 0)), ("shifted", shifted(own, pair))]
            kinds += [(f"swap{r}", Labels(rows, self.of.swapped(r)[rows])) for r in range(self.swaps)]
            for kind, labels in kinds:
                if labels is not None:
                    joint = _labels(rows, _spread(2 * token[rows] + labels.codes, rows, len(token)))
                    yield quantity, sample, kind, joint if quantity == GIVEN_TOKEN else labels

    def add(self, layer: str, s: int = 0) -> None:
        """Ask a layer; of further sets of reference points all but the controls that they would only repeat."""
        rows = Rows.of(self.capture.read(layer, s))
        curve = NullCurve.of(rows, self.samples["answers"])
        marginals = {
            name: Marginal.of(rows, sample, self.of.pair, self.blocks) for name, sample in self.samples.items()
        }
        sets = [key for key in self._sets if s == 0 or key[2] not in ("permuted", "shifted")]
        for i in range(0, len(sets), _AT_ONCE):
            part = sets[i : i + _AT_ONCE]
            groupings = [Grouping.of(labels, self.of.pair, self.blocks) for *_, labels in part]
            summings = [Summing(rows, g, errors=True, uniform=False) for g in groupings]
            for columns, x in rows.pieces():
                for summing in summings:
                    summing.add(columns, x)
            terms = [
                (Tally(g, "frequency"), summing.done(), marginals[sample], None)
                for g, summing, (_, sample, _, _) in zip(groupings, summings, part, strict=True)
            ]
            for (quantity, sample, kind, _), key in zip(part, informations(curve, terms), strict=True):
                assert key.plugin is not None
                self.found[layer, s, quantity, sample, kind] = key.plugin, key.null_curve

    def value(self, layers: Sequence[str], quantity: str, sample: str, kind: str, plugin: bool) -> SetMean | None:
        """The mean over layers and sets, nats; None where the estimator cannot say. Some kinds have the first set."""
        each = []
        for layer in layers:
            sets = [self._of_set(layer, s, quantity, sample, kind, plugin) for s in range(self.capture.sets)]
            there = [columns for columns in sets if columns is not None]
            if not there or (len(there) < len(sets) and kind not in ("permuted", "shifted")):
                return None
            each.append(SetMean.of_layer(self.capture.draw(layer), there))
        return SetMean.over(each) if each else None

    def _of_set(self, layer: str, s: int, quantity: str, sample: str, kind: str, plugin: bool) -> Floats | None:
        place = 0 if plugin else 1
        figure = self.found.get((layer, s, quantity, sample, kind))
        value = None if figure is None else figure[place]
        if value is None or quantity != GIVEN_TOKEN:
            return value
        of_token = self.found[layer, s, "token", "matched", "value"][place]
        return None if of_token is None else value - of_token

    def rows(self, unit: str) -> list[Estimate]:
        """The rows of all layers that were added, and of the mean over blocks."""
        scale = unit_scale(unit, self.capture.m)
        blocks = [name for name in self.capture.layers if name.startswith("block.")]
        out: list[Estimate] = []
        for layer in [*self.capture.layers, *(["model"] if blocks else [])]:
            layers = blocks if layer == "model" else [layer]
            for quantity, sample in FIGURES:
                for plugin in (True, False) if quantity == GIVEN_TOKEN else (False, True):
                    out += self._figure(layer, layers, quantity, sample, plugin, scale, unit)
        if blocks:
            out += self._words(scale, unit)
        return out

    def _figure(
        self, layer: str, layers: Sequence[str], quantity: str, sample: str, plugin: bool, scale: float, unit: str
    ) -> list[Estimate]:
        def over_sets(kind: str) -> SetMean | None:
            figure = self.value(layers, quantity, sample, kind, plugin)
            return None if figure is None else figure.times(scale)

        def of(kind: str) -> Floats | None:
            figure = over_sets(kind)
            return None if figure is None else figure.columns

        value = over_sets("value")
        draws = [x for r in range(self.swaps) if (x := of(f"swap{r}")) is not None]
        if value is None or len(draws) < self.swaps:
            return []
        more: Described = {
            "side": SIDE,
            "weight": "frequency",
            "n": len(self.samples[sample]),
            "position_set": sample,
        }
        swapped = np.array([x[0] for x in draws])
        control_row = Estimate(
            f"{quantity}_swapped",
            layer,
            float(swapped.mean()),
            unit,
            standard_error=float(swapped.std(ddof=1)),
            estimator=PLUGIN if plugin else "null-curve",
            **more,
        )

        def error_of(control: Floats) -> float | None:
            return standard_error_of(control[1:]) if len(control) > 1 else None

        def controls(less: float = 0.0) -> Controls:
            columns: Controls = {}
            if (control := of("permuted")) is not None:
                columns |= {"control_permuted": float(control[0]) - less, "control_permuted_error": error_of(control)}
            if (control := of("shifted")) is not None:
                columns |= {"control_shifted": float(control[0]) - less, "control_shifted_error": error_of(control)}
            return columns

        out = []
        if not plugin or quantity == GIVEN_TOKEN:
            of_controls = controls(float(swapped.mean()))
            row = centred(quantity, layer, value.columns, swapped, unit, value.points, plugin, **more)
            out.append(replace(row, **of_controls))
        if plugin:
            doubt = _PLUGIN_DOUBT if swapped.mean() > 0.1 * value.columns[0] else None
            row = Estimate.made(quantity, layer, value.columns, unit, value.points, estimator=PLUGIN, **more)
            out.append(replace(row, warning=doubt, **controls()))
        return [*out, control_row]

    def _words(self, scale: float, unit: str) -> list[Estimate]:
        """What the token alone says of the preference: no model in it."""
        rows = self.samples["matched"]
        draws = [self.of.rejected, *(self.of.swapped(r) for r in range(self.swaps))]
        sentences = [
            token_information(self.of.token[rows], x[rows], self.of.pair[rows], self.blocks) * scale for x in draws
        ]
        swapped = np.array([x[0] for x in sentences[1:]])
        more: Described = {
            "side": SIDE,
            "weight": "frequency",
            "n": len(rows),
            "position_set": "matched",
        }
        row = centred(OF_TOKEN, "model", sentences[0], swapped, unit, plugin=True, **more)
        control = Estimate(
            f"{OF_TOKEN}_swapped",
            "model",
            float(swapped.mean()),
            unit,
            standard_error=float(swapped.std(ddof=1)),
            estimator=PLUGIN,
            **more,
        )
        return [row, control]


def token_information(token: Ints, label: Ints, pair: Ints, block_of_pair: Ints | None) -> Floats:
    """(1 + B,) plug-in I(T; L) in nats, and without each block's share of the pointwise information.

    Args:
        token, label, pair: (n,) of each position.
        block_of_pair: (D,), None for no replicates.
    """
    n = len(token)
    both = np.bincount(2 * token.astype(np.int64) + label)
    t, el = np.bincount(token), np.bincount(label)
    point = np.log(both[2 * token.astype(np.int64) + label] * float(n) / (t[token] * el[label].astype(np.float64)))
    sample = Sample.of(np.arange(n, dtype=np.int32), pair, block_of_pair)
    parts = sample.sums(np.column_stack((point, np.ones(n))))
    total = sample.without(parts)
    information: Floats = total[:, 0] / total[:, 1]
    return information


def _labels(rows: Ints, codes: Ints) -> Labels:
    return Labels(rows, np.unique(codes[rows], return_inverse=True)[1].reshape(-1).astype(np.int32))


def _spread(codes: Ints, rows: Ints, n: int) -> Ints:
    out = np.full(n, -1, np.int32)
    out[rows] = codes
    return out

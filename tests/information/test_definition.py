"""The library against docs/reference/estimator-definition.md, by the slow implementation written from that page.

Values and all their replicates, to 1e-10 of log m; what is left is rounding.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import slow_reference as slow
from channels import Channel, GaussianChannel
from paths import GOLDEN

import infoplane
from infoplane.information.assignments import Rows
from infoplane.information.estimators import information
from infoplane.information.label_groups import Grouping
from infoplane.information.marginal_entropy import Marginal, NullCurve
from infoplane.information.reference_points import PointSets, ReferencePoints
from infoplane.information.soft_assignment import soft_assign
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import Document, Text
from infoplane.text.ngram_labels import Labels
from infoplane.uncertainty.document_blocks import blocks_for_errors
from infoplane.uncertainty.document_jackknife import error_and_interval

ESTIMATORS = ("plugin", "null_curve", "thinned")
WEIGHTS = ("frequency", "uniform")


def close(found: Any, wanted: Any, m: int) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * math.log(m))


# ---- inputs: assignments (N, m) float16, labels (N,) with -1 for none, documents (N,), which rows the curve is made of


def untidy(seed: int, documents: int = 60, labels: int = 150, m: int = 9, flat: bool = False) -> Any:
    """Documents of 1 to some 150 rows, all mixed; labels of one document; a point that nobody chooses, one that few do;
    rows without a label, and rows that are not in P_1."""
    r = np.random.default_rng(seed)
    length = np.minimum(r.geometric(1 / 40, documents), 150)
    document = r.permutation(np.repeat(np.arange(documents), length)).astype(np.int32)
    n = len(document)
    weight = np.ones(labels) if flat else 1 / np.arange(1, labels + 1)
    x = r.choice(labels, n, p=weight / weight.sum())
    private = r.random(n) < 0.1
    x[private] = labels + document[private]
    means, effects = r.standard_normal((labels + documents, m)), 0.5 * r.standard_normal((documents, m))
    a = np.exp(means[x] + effects[document] + r.standard_normal((n, m)))
    a[:, 0] = 0
    a[r.random(n) < 0.95, 1] = 0
    a /= a.sum(1, keepdims=True)
    x[r.random(n) < 0.1] = -1
    return a.astype(np.float16), x, document, np.flatnonzero(r.random(n) < 0.9).astype(np.int32)


def whole(drawn: Any) -> Any:
    a, x, document = drawn
    return a, x, document, np.arange(len(a), dtype=np.int32)


def long() -> Any:
    """More rows than the curve or the thinning look at, and a class of labels without an upper end."""
    r = np.random.default_rng(3)
    document = np.repeat(np.arange(1200), 15).astype(np.int32)
    x = r.choice(43, len(document), p=[0.3, *7 * [0.05], *35 * [0.01]])
    a = np.exp(0.8 * r.standard_normal((43, 4))[x] + r.standard_normal((len(x), 4)))
    return whole(((a / a.sum(1, keepdims=True)).astype(np.float16), x, document))


def at_the_edges() -> Any:
    """Labels that occur just as often as a class asks for, and once less; a curve whose rows are just enough."""
    r = np.random.default_rng(8)
    counts = [n for edge in (3, 4, 5, 7, 10, 15, 22, 32, 48, 64, 128, 256, 1024) for n in (edge - 1, edge)]
    x = r.permutation(np.repeat(np.arange(len(counts)), counts))
    document = r.integers(70, size=len(x)).astype(np.int32)
    a = r.dirichlet(np.ones(5), len(counts))[x] + r.dirichlet(np.ones(5), len(x))
    curve = np.arange(2048, dtype=np.int32)  # merged until there are just 32
    return (a / 2).astype(np.float16), x, document, curve


def wild() -> Any:
    """Frequent labels whose rows vary little, and a few rare ones whose rows vary far more than the layer does."""
    r = np.random.default_rng(9)
    document = np.repeat(np.arange(50), 40).astype(np.int32)
    x = np.where(r.random(2000) < 0.03, r.integers(4, 10, 2000), r.integers(4, size=2000))
    a = np.array([1.0, 0.05, 0.05]) + 0.02 * np.eye(3)[x % 3] + 0.04 * r.random((2000, 3))
    rare = x >= 4
    a[rare] = np.eye(3)[r.integers(3, size=rare.sum())] + 0.01
    return whole(((a / a.sum(1, keepdims=True)).astype(np.float16), x, document))


INPUTS = {
    "mixed up": lambda: untidy(0),
    "mixed up, other labels": lambda: untidy(1, documents=90, labels=40),
    "few documents": lambda: untidy(2, documents=25, labels=30),
    "tables": lambda: whole(Channel(k=300, m=12, rows=30, reinforce=0.5, document_effect=0.4).draw(1, 64, 40)),
    "Gaussian": lambda: whole(GaussianChannel(k=60, document=0.7, draws=2).draw(0, 2500)),
    "no frequent labels": lambda: untidy(4, labels=500, flat=True),
    "rare labels": lambda: whole(Channel(k=3000, m=7, rows=30).draw(2, 45, 12)),
    "long": long,
    "at the edges": at_the_edges,
    "wild": wild,
}


def by_library(a: Any, labels: Any, document: Any, curve: Any, weight: str) -> Any:
    rows = np.flatnonzero(labels >= 0).astype(np.int32)
    block = blocks_for_errors(np.bincount(document))
    layer = Rows.of(a)
    grouping = Grouping.of(Labels(rows, labels[rows].astype(np.int32)), document, block)
    marginal = Marginal.of(layer, rows, document, block)
    return information(layer, grouping, marginal, NullCurve.of(layer, curve), weight, thinned=True)


def by_definition(a: Any, labels: Any, document: Any, curve_rows: Any) -> Any:
    rows, block = slow.rows_of(a), slow.blocks_of(document)
    curve = slow.NullCurve(rows[curve_rows])
    by_weight = {w: slow.Question(rows, labels, document, block, w == "uniform") for w in WEIGHTS}
    beta = slow.beta_of(by_weight["frequency"], curve)
    found = {w: (q.plugin(), q.corrected(curve), q.corrected(curve, beta)) for w, q in by_weight.items()}
    values = {w: dict(zip(ESTIMATORS, three, strict=True)) for w, three in found.items()}
    return values, by_weight["frequency"].rho, beta


@pytest.mark.parametrize("name", INPUTS)
def test_values_replicates_and_errors(name: str) -> None:
    drawn = INPUTS[name]()
    m = drawn[0].shape[1]
    wanted, rho, beta = by_definition(*drawn)
    for weight in WEIGHTS:
        found = by_library(*drawn, weight)
        assert found.rho == pytest.approx(rho, abs=1e-12)
        for estimator, values in wanted[weight].items():
            got = getattr(found, estimator)
            assert got.shape == values.shape == (1 if name == "few documents" else 33,)
            close(got, values, m)
            error, interval = error_and_interval(got[0], got[1:])
            if name != "few documents":
                close(error, slow.standard_error(values[1:]), m)
                close(interval, slow.interval(values[0], values[1:]), m)
        # the inputs are what they are called: the estimators differ, and thinning has something to say, or has not
        assert np.abs(wanted[weight]["plugin"] - wanted[weight]["null_curve"]).max() > 1e-5
    assert beta.any() == (name != "no frequent labels")


def test_labels_of_one_document_and_labels_in_two_blocks_are_there() -> None:
    a, labels, document, _ = untidy(0)
    question = slow.Question(slow.rows_of(a), labels, document, slow.blocks_of(document))
    assert sum(one.kind == slow.SOLO and one.n >= 5 for one in question.labels) > 5
    assert sum(len(one.of_block) == 2 for one in question.labels) > 5
    assert 0.01 < question.rho < 0.9


def test_a_layer_where_nothing_varies() -> None:
    document = np.repeat(np.arange(50), 12).astype(np.int32)
    labels = np.tile(np.arange(6), 100)
    drawn = whole((np.tile(np.array([0.5, 0.25, 0.125, 0.125], np.float16), (600, 1)), labels, document))
    wanted, _, beta = by_definition(*drawn)
    assert not beta.any()
    for weight in WEIGHTS:
        for estimator, values in wanted[weight].items():
            close(values, np.zeros(33), 4)
            close(getattr(by_library(*drawn, weight), estimator), values, 4)


def test_no_label_in_two_documents() -> None:
    a, _, document, _ = untidy(0)
    for labels in (document.astype(np.int64), np.arange(len(a))):
        drawn = whole((a, labels, document))
        wanted, _, _ = by_definition(*drawn)
        for weight in WEIGHTS:
            found = by_library(*drawn, weight)
            if wanted[weight]["plugin"] is None:
                assert found.plugin is None and weight == "uniform" and labels is not document
            else:
                close(found.plugin, wanted[weight]["plugin"], a.shape[1])
            for estimator in ("null_curve", "thinned"):
                assert getattr(found, estimator) is None and wanted[weight][estimator] is None


# ---- a whole measurement


def test_the_rows_of_a_measurement() -> None:
    capture = infoplane.open_capture(GOLDEN / "capture-64")
    found = infoplane.measure_capture(
        capture, orders=(1, 2), estimators=("plugin", "null-curve", "corrected"), unit="nats"
    )
    layers, w, m = ("block.0", "block.2"), capture.windows, capture.m
    assert capture.sets == 2 and not capture.shared_points
    document, block = w.position_document, slow.blocks_of(w.position_document)
    text = w.tokens, w.token_window, w.is_text, w.is_position
    rows = {(layer, s): slow.rows_of(capture.read(layer, s)) for layer in layers for s in range(2)}
    p_1 = [slow.gram_labels(*text, "input", 1, at=at) >= 0 for at in (1, 2)]
    assert p_1[0].sum() > p_1[1].sum() > 2000
    curves = {key: slow.NullCurve(x[p_1[0]]) for key, x in rows.items()}

    def three(question: Any, beta: Any, key: Any) -> Any:
        values = question.plugin(), question.corrected(curves[key]), question.corrected(curves[key], beta)
        moved = values[2] + 0.2 * (values[1] - values[2])
        return dict(zip(("plugin", "null-curve", "thinned-curve", "moved"), (*values, moved), strict=True))

    def asked(key: Any, labels: Any, **more: Any) -> Any:
        return slow.Question(rows[key], labels, document, block, **more)

    def of_layers(of_set: Any) -> Any:
        """By layer, and by estimator where there is one: figures over sets; the model is the mean of its blocks."""
        figures = {layer: slow.over_sets(layer, [of_set((layer, s)) for s in range(2)]) for layer in layers}
        return {**figures, "model": slow.combined([(0.5, figures[layer]) for layer in layers])}

    @cache
    def values_of(side: str, order: int, at: int, key: Any) -> Any:
        question = asked(key, slow.gram_labels(*text, side, order, at=at))
        return three(question, slow.beta_of(question, curves[key]), key)

    def information(side: str, order: int, at: int, estimator: str) -> Any:
        return of_layers(lambda key: values_of(side, order, at, key)[estimator])

    def row(quantity: str, estimator: str, layer: str, **fields: Any) -> Any:
        # several rows of a quantity and order differ in their position set
        rows_found = [r for r in found if (r.quantity, r.layer, r.estimator) == (quantity, layer, estimator)]
        (one,) = [r for r in rows_found if all(getattr(r, k) == v for k, v in fields.items())]
        return one

    def agrees(quantity: str, estimator: str, of: Any, **fields: Any) -> None:
        figures = of(estimator)
        moved = of("moved") if estimator == "thinned-curve" else figures
        for layer in (*layers, "model"):
            one, figure = row(quantity, estimator, layer, **fields), figures[layer]
            close(one.value, figure.columns[0], m)
            close(one.replicates, figure.columns[1:], m)
            errors = one.standard_error, one.points_error, one.total_error
            close(errors, figure.errors()[:3], m)
            assert one.degrees_of_freedom == pytest.approx(figure.errors()[3], rel=1e-6)
            correction = moved[layer].columns[0] - figure.columns[0]
            if quantity != "ceiling":
                close(one.correction_error or 0.0, correction, m)
            halved, error = one.control_halved or 0.0, one.control_halved_error or 0.0
            seen = halved if abs(halved) > 2 * error and estimator != "plugin" else 0.0
            close(one.interval, figure.interval(correction, seen), m)

    for estimator in ("plugin", "null-curve", "thinned-curve"):
        for side, quantity in (("input", "complexity"), ("output", "expressivity")):
            for k in (1, 2):
                agrees(
                    quantity, estimator, lambda e, s=side, k=k: information(s, k, k, e), order=k, position_set=f"P_{k}"
                )
        agrees("expressivity", estimator, lambda e: information("output", 1, 2, e), order=1, position_set="P_2")

        def optimality(e: str) -> Any:
            y, x = information("output", 2, 2, e), information("input", 2, 2, e)
            return {layer: slow.ratio(y[layer], x[layer]) for layer in y}

        agrees("optimality", estimator, optimality, order=2)

        def ceiling(e: str) -> Any:
            labels = slow.gram_labels(*text, "input", 2, at=2)
            return of_layers(lambda key: asked(key, labels).ceilings[0 if e == "plugin" else 1])

        agrees("ceiling", estimator, ceiling, position_set="P_2")
        for side in ("input", "output"):
            agrees("share", estimator, lambda e, s=side: information(s, 1, 2, e), side=side, order=1)

            def less(a: Any, b: Any) -> Any:
                return {layer: slow.combined([(1, a[layer]), (-1, b[layer])]) for layer in a}

            def second(e: str, s: str = side) -> Any:
                return less(information(s, 2, 2, e), information(s, 1, 2, e))

            def rest(e: str, s: str = side) -> Any:
                return less(ceiling(e), information(s, 2, 2, e))

            agrees("share", estimator, second, side=side, order=2)
            agrees("share", estimator, rest, side=side, order=None)
    tokens, nexts = (slow.gram_labels(*text, side, 1, at=1) for side in ("input", "output"))
    alone, in_p_1 = np.arange(len(document)), np.flatnonzero(tokens >= 0)

    @cache
    def by_null_curve(about: str, key: Any) -> Any:
        if about == "next":
            return asked(key, slow.dealt_within(nexts, document, in_p_1)).corrected(curves[key])
        of = document if about == "both" else slow.dealt_within(document, tokens, in_p_1)
        labels = np.where(tokens >= 0, tokens * (document.max() + 1) + of, -1)
        question = slow.Question(rows[key], labels, alone, block[document], true_documents=document)
        return question.corrected(curves[key])

    def left(e: str, key: Any) -> Any:
        c = asked(key, tokens).ceilings[1]
        quotient = (c - by_null_curve("both", key)) / (c - by_null_curve("dealt", key))
        told = values_of("input", 1, 1, key)[e]
        return (c[: len(told)] - told) * quotient[: len(told)]

    def rests(e: str) -> Any:
        return of_layers(lambda key: left(e, key))

    def of_document(e: str) -> Any:
        return less(
            less(of_layers(lambda key: asked(key, tokens).ceilings[1]), information("input", 1, 1, e)), rests(e)
        )

    for estimator in ("null-curve", "thinned-curve"):
        agrees("ceiling_part", estimator, lambda e: information("input", 1, 1, e), side="token")
        agrees("ceiling_part", estimator, rests, side="rest")
        agrees("ceiling_part", estimator, of_document, side="document")
        agrees("expressivity_part", estimator, lambda e: of_layers(lambda key: by_null_curve("next", key)))
    # controls are those of the first set
    key = "block.2", 0
    labels = slow.gram_labels(*text, "input", 1, at=1)
    beta = slow.beta_of(asked(key, labels), curves[key])
    for control, moved in (("permuted", slow.permuted(labels)), ("shifted", slow.shifted(labels, document))):
        for estimator, values in three(asked(key, moved), beta, key).items():
            if estimator == "moved":
                continue
            one = row("complexity", estimator, "block.2", order=1)
            close(getattr(one, f"control_{control}"), values[0], m)
            close(getattr(one, f"control_{control}_error"), slow.standard_error(values[1:]), m)
    halves = [asked(key, np.where(block[document] % 2 == half, labels, -1), least=0) for half in (0, 1)]
    first, last = (three(part, slow.beta_of(part, curves[key]), key) for part in halves)
    for estimator in ("plugin", "null-curve", "thinned-curve"):
        one = row("complexity", estimator, "block.2", order=1)
        drift = (first[estimator] + last[estimator]) / 2 - values_of("input", 1, 1, key)[estimator]
        close(one.control_halved, drift[0], m)
        close(one.control_halved_error, slow.standard_error(drift[1:]), m)


# ---- before any estimate


@pytest.mark.parametrize("m, d", [(20, 12), (100, 64), (7, 3)])
def test_points_temperature_and_assignments(m: int, d: int) -> None:
    points = ReferencePoints.make(d, m, seed=3)
    np.testing.assert_allclose(points.directions, slow.reference_points(m, d, 3), rtol=0, atol=1e-15)
    for shared in (False, True):
        sets = PointSets.make(d, m, 3, sets=2, shared=shared)
        for layer in ("embed", "block.12"):
            for r in range(2):
                wanted = slow.reference_points(m, d, 3, r, "" if shared else layer)
                np.testing.assert_allclose(sets.at(layer, r).directions, wanted, rtol=0, atol=1e-15)
    assert points.eps == pytest.approx(slow.temperature(m, d), rel=1e-10)
    z = np.random.default_rng(0).standard_normal((50, d))
    wanted = slow.assign(z, slow.reference_points(m, d, 3), slow.temperature(m, d))
    np.testing.assert_allclose(soft_assign(z, points), wanted, rtol=1e-9)


class Letters:
    """A tokenizer of one token a character, with a BOS."""

    all_special_ids = (0,)
    bos_token_id = 0
    is_fast = False

    def __call__(self, text: str, add_special_tokens: bool = True, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [0] * add_special_tokens + [ord(letter) for letter in text]}

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(map(chr, ids))

    def get_vocab(self) -> dict[str, int]:
        return {chr(i): i for i in range(128)}


@pytest.mark.parametrize("tokens, sizes", [
    (300, (1, 200)), (3000, (1, 200)), (5003, (1, 200)), (10**6, (1, 200)), (301, (1, 12)), (300, (8, 9)),
])  # fmt: skip
def test_windows(tokens: int, sizes: Any) -> None:
    r = np.random.default_rng(5)
    sizes = r.integers(*sizes, 60)
    letters = ["".join(r.choice(list("abc"), size)) for size in sizes]
    text = Text(tuple(Document(str(i), letters[i]) for i in range(60)))
    found = make_windows(text, Letters(), tokens=tokens, context=64, seed=2)
    wanted = slow.windows_of(sizes.tolist(), tokens, 64, 1, 2)
    assert len(wanted) == len(found)
    for i, (document, first, last) in enumerate(wanted):
        assert found.documents[found.document[i]] == str(document)
        ids = found.tokens[found.starts[i] : found.starts[i + 1]].tolist()
        assert ids == [0, *(ord(letter) for letter in letters[document][first:last])]
        assert np.flatnonzero(found.is_position[found.starts[i] : found.starts[i + 1]]).tolist() == [
            *range(1, len(ids))
        ]

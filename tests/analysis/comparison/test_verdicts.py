"""Verdicts on variants: what is the same is not claimed to differ, what was hurt is found, and where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import command
from scipy.stats import t
from statsmodels.stats.multitest import multipletests
from tiny import byte_tokenizer, merging_tokenizer, tiny_model

import infoplane
from infoplane.analysis.comparison.comparing import compare
from infoplane.analysis.comparison.comparison import Comparison
from infoplane.analysis.comparison.verdicts import ALIKE, DIFFERENT, UNKNOWN, Change, Verdict, holm, verdict_of
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement
from infoplane.report.comparison.page import render_comparison
from infoplane.report.comparison.prose import verdict_sentences

SETTINGS: dict[str, Any] = {"tokens": 12_000, "context": 128, "orders": (1,), "m": 10, "loss": True, "parts": False}


def measured(model: Any, tokenizer: Any = None, **more: Any) -> Measurement:
    return infoplane.measure(model, tokenizer=tokenizer or byte_tokenizer(), **{**SETTINGS, **more})


def hurt(block: int, share: float) -> Any:
    """The tiny model with noise on all matrices of a block."""
    model = tiny_model()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for w in model.model.layers[block].parameters():
            if w.ndim == 2:
                w += share * w.square().mean().sqrt() * torch.randn(w.shape, generator=draw)
    return model


@pytest.fixture(scope="module")
def found() -> dict[str, Measurement]:
    models = {"base": tiny_model(), "same": tiny_model(), "hurt": hurt(1, 3.0)}
    return {name: measured(model) for name, model in models.items()}


def verdict(found: dict[str, Measurement], name: str) -> Verdict:
    return verdict_of(Member("base", None, found["base"]), Member(name, None, found[name]))


def test_holm_is_that_of_statsmodels() -> None:
    p = np.random.default_rng(0).random(40) ** 4
    np.testing.assert_allclose(holm(p.tolist()), multipletests(p, method="holm")[1])


def test_a_model_does_not_differ_from_itself(found: dict[str, Measurement]) -> None:
    same = verdict(found, "same")
    assert same.verdict == ALIKE and same.changed == () and same.strongest is None
    assert same.loss is not None and same.loss.difference == 0 and not same.loss.claimed
    said = " ".join(verdict_sentences(same))
    assert said == "same and base have the same figures in all of 5 layers. Its next-token loss is the same."


def test_the_layer_that_was_hurt_is_the_first_that_differs(found: dict[str, Measurement]) -> None:
    other = verdict(found, "hurt")
    assert other.verdict == DIFFERENT and other.changed[0] == "block.1"
    assert not {"embed", "block.0"} & set(other.changed)
    assert other.strongest is not None and other.strongest.claimed and other.strongest.layer in other.changed
    assert other.layers == 5 and other.tests == 15
    row = found["hurt"].minus(found["base"]).get(other.strongest.quantity, layer=other.strongest.layer)
    assert other.strongest.difference == pytest.approx(row.value)
    said = " ".join(verdict_sentences(other))
    assert f"hurt differs from base in {len(other.changed)} of 5 layers, the first of them block.1" in said
    assert other.loss is not None and "Its next-token loss is" in said


def test_where_nothing_differs_one_claim_among_all_tests_is_made_in_a_twentieth_of_draws() -> None:
    draw = np.random.default_rng(1)
    claims = sum(min(holm((2 * t.sf(np.abs(draw.standard_t(31, 15)), 31)).tolist())) < 0.05 for _ in range(400))
    assert abs(claims - 0.05 * 400) < 3 * (400 * 0.05 * 0.95) ** 0.5


def test_what_does_not_compare_says_why_and_costs_no_other(found: dict[str, Measurement]) -> None:
    merged = tiny_model()
    merged.resize_token_embeddings(len(merging_tokenizer()))
    other_words = measured(merged, merging_tokenizer())
    bits = replace(found["same"], provenance={**found["same"].provenance, "settings": {"unit": "bits"}})
    members = [
        Member("base", None, found["base"]),
        Member("bits", None, bits),
        Member("hurt", None, found["hurt"]),
        Member("merged", None, other_words),
    ]
    all_of_them = compare(members)
    assert list(all_of_them.apart) == ["bits"] and "different units" in all_of_them.apart["bits"]
    assert [(v.variant, v.verdict) for v in all_of_them.verdicts] == [("hurt", DIFFERENT), ("merged", UNKNOWN)]
    assert set(all_of_them.differences["name"]) == {"hurt"}
    good, why = all_of_them.fairness["P_1"]
    assert good and "; not merged: " in why and "the tokenizers differ" in why
    alone = compare([members[0], members[2]])
    assert alone.verdicts == all_of_them.verdicts[:1]


def test_verdicts_are_stored_and_drawn(
    found: dict[str, Measurement], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, m in found.items():
        m.save(tmp_path / name)
    assert command("compare", *(str(tmp_path / name) for name in found), "--out", str(tmp_path / "both")) == 0
    said = capsys.readouterr().out
    stored = Comparison.load(tmp_path / "both")
    assert stored.verdicts == (verdict(found, "same"), verdict(found, "hurt"))
    for text in (said.replace("\n", " "), render_comparison(stored)):
        assert "hurt differs from base in" in text and "same and base have the same figures" in text


def test_sentences_give_the_change_its_interval_and_the_loss() -> None:
    change = Change("block.2", "complexity", "fitted", 1, 0.5, -0.05, -0.06, -0.04, 0.001, "efficiency")
    loss = replace(change, layer="model", quantity="loss", before=3.0, difference=0.2, low=0.1, high=0.3, p=0.01)
    said = verdict_sentences(Verdict("a", "b", DIFFERENT, None, loss, 4, 12, ("block.2",), change))
    assert said == [
        "b differs from a in one of 4 layers, block.2.",
        "The clearest change is in block.2, where complexity by the fitted code falls from 50.0\u00a0% to 45.0\u00a0% "
        "of log m (by 5.0\u00a0±\u00a01.0 points).",
        "Its next-token loss is 0.2000\u00a0±\u00a00.1000 nats a token higher (worse): 3.200 against 3.000.",
    ]
    doubtful = replace(loss, p=0.2, difference=0.05, low=-0.02, high=0.12)
    said = verdict_sentences(Verdict("a", "b", ALIKE, None, doubtful, 4, 12, (), None, {"complexity": 0.012}))
    assert said[1:] == [
        "A layer would have had to change its complexity by about 1.2 % to be seen.",
        "Its next-token loss is not known to differ (0.0500\u00a0±\u00a00.0700 nats a token).",
    ]
    none = verdict_sentences(Verdict("a", "b", UNKNOWN, "other text"))
    assert none[0] == "b is not compared with a layer by layer: other text."

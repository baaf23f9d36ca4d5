"""What a model teaches: its expectations, kept as few words that stand for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import VOCABULARY, byte_tokenizer, tiny_model

import infoplane
from infoplane.capture import predictions_of, teaching
from infoplane.engines import Held, Local
from infoplane.errors import ModelError
from infoplane.models.decoder import Model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.predictions import Predictions
from infoplane.text.windows import Windows


@pytest.fixture(scope="module")
def windows() -> Windows:
    return make_windows(read_text("c4-sample"), byte_tokenizer(), tokens=3_000, context=64)


def told(model: Any, windows: Windows) -> Predictions:
    held = Model.from_module(model, byte_tokenizer())
    with Local().group(Held(held), name="the model") as models:
        return predictions_of(models, held.facts, windows)


def whole(model: Any, windows: Windows) -> npt.NDArray[np.float64]:
    """(N, V) the distributions themselves, a window at a time."""
    rows = []
    for a, b in zip(windows.starts[:-1], windows.starts[1:], strict=True):
        with torch.no_grad():
            logits = model(torch.from_numpy(windows.tokens[a:b].astype(np.int64))[None]).logits[0]
        rows.append(torch.softmax(logits.double(), -1).numpy()[windows.is_position[a:b]])
    return np.concatenate(rows)


def test_sums_over_positions_are_those_of_the_distributions(windows: Windows) -> None:
    model = tiny_model()
    found, q = told(model, windows), whole(model, windows)
    assert found.words.shape == (windows.n_positions, teaching.TOP + teaching.TAIL)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-6)
    top = np.sort(q, axis=1)[:, ::-1][:, : teaching.TOP]
    np.testing.assert_allclose(found.weights[:, : teaching.TOP], top, atol=2e-5)
    total = np.bincount(found.words.ravel(), found.weights.ravel(), minlength=VOCABULARY)
    rest = q.sum(0) - np.bincount(found.words[:, : teaching.TOP].ravel(), top.ravel(), minlength=VOCABULARY)
    assert np.abs(total - q.sum(0)).sum() < 0.1 * rest.sum()  # the top alone lacks all of it


def test_it_repeats_and_does_not_hang_on_pieces(windows: Windows, monkeypatch: pytest.MonkeyPatch) -> None:
    first = told(tiny_model(), windows)
    monkeypatch.setattr(teaching, "_TOKENS", 500)
    monkeypatch.setattr(teaching, "_LOGITS", 2_000)
    again = told(tiny_model(), windows)
    assert first.vouched == again.vouched != told(tiny_model(seed=1), windows).vouched
    np.testing.assert_allclose(again.weights, first.weights, atol=1e-5)
    assert (again.words == first.words).mean() > 0.999  # ties apart


def test_what_cannot_teach_is_refused(windows: Windows) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="a prediction of the model is NaN"):
        told(model, windows)


def test_the_bound_says_who_taught_it_and_can_do_without() -> None:
    small: dict[str, Any] = {
        "tokens": 4_000, "context": 64, "m": 8, "orders": (1,), "controls": False, "parts": False, "bound": True,
        "unit": "nats",
    }  # fmt: skip
    asked = [infoplane.measure(tiny_model(), tokenizer=byte_tokenizer(), teacher=t, **small) for t in (True, False)]
    for found in asked:
        # a model with random weights expects nothing that counts do not say better
        assert [f["teacher"] for f in found.provenance["bound"]] == [None, None]
        assert found.provenance["bound"][0]["fitted_on"] > 3 * found.provenance["bound"][0]["n"]
    assert asked[0].get("gap", order=1).value == asked[1].get("gap", order=1).value

"""Captures on disk, and measurements of them: any sharding, any interruption, any damage."""

from __future__ import annotations

import dataclasses
import json
import signal
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import Child
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.capture import writer as capturing
from infoplane.capture.new_manifest import plan_shards
from infoplane.capture.stored_capture import open_capture
from infoplane.capture.writer import write_capture
from infoplane.errors import CaptureError, LabelError, ModelError, SettingError
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.results import Measurement
from infoplane.models.decoder import Model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.ngram_labels import NGrams, label_column, read_column


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.from_module(tiny_model(), byte_tokenizer(), "tiny")


@pytest.fixture(scope="module")
def windows(model: Model) -> Any:
    return make_windows(read_text("c4-sample"), model.tokenizer, tokens=6000, context=64)


def capture(folder: Path, model: Model, windows: Any, **more: Any) -> Any:
    points = [ReferencePoints.make(32, 16, s) for s in range(more.pop("sets", 1))]
    settings = {"shard_tokens": 1500, "loss": True, **more}
    return write_capture(folder, model, windows, points, model.layers, **settings)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory, model: Model, windows: Any) -> Any:
    return capture(tmp_path_factory.mktemp("capture") / "c", model, windows)


def values(found: Measurement) -> dict[Any, float]:
    return {row.key: row.value for row in found}


# ---------------------------------------------------------------------- promises


def test_any_sharding_threads_and_order_of_work_give_the_same_measurement(
    tmp_path: Path, model: Model, windows: Any, captured: Any
) -> None:
    one = measure_capture(captured, orders=(1, 2), threads=1)
    other = capture(tmp_path / "c", model, windows, shard_tokens=10**6, max_batch_tokens=700)
    two = values(measure_capture(open_capture(other.folder), orders=(2, 1), threads=3))
    for row in one:
        # float16 rounding of states that were batched otherwise is all that may differ
        assert two[row.key] == pytest.approx(row.value, abs=2e-4), row.key


def test_adding_orders_layers_labels_and_estimators_changes_no_other_number(
    tmp_path: Path, model: Model, windows: Any, captured: Any
) -> None:
    few = measure_capture(captured, orders=(1,), estimators=("corrected",))
    labels = {"parity": np.arange(len(windows.documents)) % 2}
    many = values(measure_capture(captured, orders=(1, 2, 3), weights=("frequency", "uniform"), labels=labels))
    own = [row for row in few if row.quantity != "share" or row.order is not None]
    assert own and all(many[row.key] == row.value for row in own if row.quantity != "share")
    points = [ReferencePoints.make(32, 16)]
    layers = model.layers[1:3]
    part = write_capture(tmp_path / "c", model, windows, points, layers, loss=True, shard_tokens=1500)
    some = measure_capture(part, orders=(1,), estimators=("corrected",))
    all_ = values(few)
    assert all(all_[row.key] == row.value for row in some if row.layer in ("block.0", "block.1"))


def test_the_record_holds_what_it_promises(captured: Any, tmp_path: Path) -> None:
    found = measure_capture(
        captured, orders=(1, 2, 3, 4), estimators=("corrected", "plugin"), weights=("frequency", "uniform")
    )
    assert {r.quantity for r in found} >= {
        "entropy", "ceiling", "complexity", "expressivity", "optimality", "share", "loss", "bits_per_byte",
        "mean_ratio_optimality",
    }  # fmt: skip
    row = found.get("complexity", order=1)
    assert row.estimator == "thinned-curve" and row.interval and row.control_permuted is not None
    assert found.get("complexity", order=1, estimator="corrected") is row
    assert row.interval[0] < row.value < row.interval[1] and row.points_error is None
    assert row.total_error == row.standard_error
    assert found.get("expressivity", order=1, position_set="P_3").n == found.get("complexity", order=3).n
    blocks = [found.get("complexity", f"block.{i}", order=1).value for i in range(3)]
    assert row.value == pytest.approx(np.mean(blocks))
    y = found.get("expressivity", order=1).value
    assert found.get("optimality", order=1).value == pytest.approx(y / row.value)
    ceiling = found.get("ceiling", order=None, position_set="P_4")
    shares = [r.value for r in found.select(quantity="share", layer="model", side="input", estimator="plugin")]
    plugin_ceiling = found.get("ceiling", position_set="P_4", estimator="plugin").value
    assert sum(shares) == pytest.approx(plugin_ceiling) and ceiling.n == found.get("complexity", order=4).n
    found.save(tmp_path)
    again = Measurement.load(tmp_path)
    assert values(again) == values(found)
    assert json.loads((tmp_path / "measurement.json").read_text())["provenance"]["run_id"] == captured.run_id


def test_plugin_of_a_layer_equals_brute_force_on_its_rows(captured: Any) -> None:
    grams = NGrams(captured.windows, 2)
    labels = grams.output(2)
    x = captured.read("block.1").astype(np.float64)[labels.rows]
    x /= x.sum(1, keepdims=True)

    def entropy(p: Any) -> float:
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    want = entropy(x.mean(0)) - sum(
        (labels.codes == c).mean() * entropy(x[labels.codes == c].mean(0)) for c in np.unique(labels.codes)
    )
    found = measure_capture(captured, orders=(2,), estimators=("plugin",), unit="nats")
    assert found.get("expressivity", "block.1", order=2).value == pytest.approx(want, abs=1e-10)


def test_ngrams_stay_in_their_window(captured: Any) -> None:
    w = captured.windows
    grams = NGrams(w, 3)
    token_of_row = np.flatnonzero(w.is_position)
    labels, seen = grams.output(3), {}
    for row, code in zip(labels.rows[:500], labels.codes[:500], strict=True):
        i = token_of_row[row]
        assert w.token_window[i - 2] == w.token_window[i] == w.token_window[i + 3]
        assert seen.setdefault(tuple(w.tokens[i + 1 : i + 4]), code) == code
    assert len(set(seen.values())) == len(seen)


def test_a_layer_that_keeps_nothing_has_no_optimality(captured: Any) -> None:
    held = {f"{layer}/0": captured.read(layer) for layer in captured.layers}
    held["block.0/0"] = np.full_like(held["block.0/0"], 1 / captured.m)
    sums, counts = captured.loss()
    kept = dataclasses.replace(captured, folder=None, held={**held, "loss_sum": sums, "loss_count": counts})
    found = measure_capture(kept, orders=(1,), estimators=("corrected", "plugin"))
    assert abs(found.get("complexity", "block.0", estimator="plugin").value) < 1e-9
    assert not found.select(quantity="optimality", layer="block.0") and found.select(
        quantity="optimality", layer="embed"
    )
    assert any(w.startswith("no optimality of block.0: complexity is 0") for w in found.provenance["warnings"])


def test_reference_sets_give_their_error(tmp_path: Path, model: Model, windows: Any) -> None:
    kept = capture(tmp_path / "c", model, windows, sets=3)
    found = measure_capture(kept, orders=(1,))
    singles = []
    for s in range(3):
        one = write_capture(tmp_path / f"s{s}", model, windows, [ReferencePoints.make(32, 16, s)], model.layers)
        singles.append(measure_capture(one, orders=(1,)).get("complexity", order=1).value)
    row = found.get("complexity", order=1)
    assert row.value == pytest.approx(np.mean(singles), abs=1e-6)
    assert row.points_error == pytest.approx(np.std(singles, ddof=1) / 3**0.5, rel=1e-3)
    assert row.total_error > row.standard_error and row.degrees_of_freedom < 31


def test_columns_of_the_user(captured: Any, windows: Any) -> None:
    half = np.arange(len(windows.documents)) % 2
    found = measure_capture(captured, orders=(1,), labels={"half": half})
    row = found.get("information", side="label:half", position_set="label:half")
    assert row.n == windows.n_positions and abs(row.value) < 0.05
    with pytest.raises(LabelError, match=r"'half' has 3 values; expected \d+, one a measured position, or \d+"):
        measure_capture(captured, orders=(1,), labels={"half": [0, 1, 0]})
    with pytest.raises(LabelError, match="fewer than two different values"):
        measure_capture(captured, orders=(1,), labels={"same": half * 0})


def test_columns_of_words_names_and_places(captured: Any, windows: Any, tmp_path: Path) -> None:
    names = windows.documents
    kinds = ["even" if i % 2 else "odd" for i in range(len(names))]
    (tmp_path / "lines.txt").write_text("\n".join(kinds))
    (tmp_path / "names.json").write_text(json.dumps(dict(zip(names[::-1], kinds[::-1], strict=True))))
    numbers = label_column(np.arange(len(names)) % 2, windows)
    for file in ("lines.txt", "names.json"):
        found = label_column(read_column(tmp_path / file), windows)
        assert np.array_equal(found.rows, numbers.rows) and np.array_equal(found.codes, 1 - numbers.codes)
    some = label_column({names[0]: "a", names[2]: "b", "not read": "c"}, windows)
    assert set(windows.position_document[some.rows]) == {0, 2}
    place = label_column("@position", windows)
    first = windows.row_starts[3]
    assert place.codes[first : first + 8].tolist() == [0, 1, 1, 2, 2, 2, 2, 3]  # from the second token of a window
    moved = dataclasses.replace(windows, documents=tuple(f"{'de' if i < 9 else 'fr/x'}/{i}" for i in range(len(names))))
    assert np.array_equal(label_column("@folder", moved).codes, (moved.position_document >= 9).astype(int))
    for wrong, message in (
        ({"elsewhere": "a"}, "names 1 documents, and none that was read; they are called 'c4-sample:1'"),
        ("@language", "there are @position and @folder, or name a file"),
        ("@folder", "fewer than two different values"),
    ):
        with pytest.raises(LabelError, match=message):
            label_column(wrong, windows, "kind")
    (tmp_path / "gap.txt").write_text("a\n\nb\n")
    (tmp_path / "deep.json").write_text('{"a": ["b"]}')
    (tmp_path / "not.json").write_text("{")
    for file, message in (
        ("gap.txt", "line 2 is empty: write -1"),
        ("deep.json", r"'a' has \['b'\]; expected a category"),
        ("not.json", "cannot be read"),
        ("none.txt", "cannot be read"),
    ):
        with pytest.raises(LabelError, match=message):
            read_column(tmp_path / file)


def test_few_documents_have_no_interval(tmp_path: Path, model: Model) -> None:
    few = make_windows(read_text("c4-sample", limit=12), model.tokenizer, tokens=2000, context=64)
    found = measure_capture(capture(tmp_path / "c", model, few), orders=(1,))
    assert all(row.interval is None and row.standard_error is None for row in found)
    assert any("12 documents: no interval" in text for text in found.provenance["warnings"])


def test_paired_differences_of_two_models(model: Model) -> None:
    more: dict[str, Any] = {"tokenizer": byte_tokenizer(), "tokens": 4000, "context": 64, "orders": (1,), "m": 16}
    a = infoplane.measure(model.module, "c4-sample", **more)
    same = a.minus(infoplane.measure(model.module, "c4-sample", **more))
    assert all(row.value == 0 and not row.standard_error for row in same)
    other = a.minus(infoplane.measure(tiny_model(seed=1), "c4-sample", **more))
    row = other.get("ceiling", "block.1")
    assert row.value != 0 and row.standard_error and row.standard_error > 0


# ---------------------------------------------------------------------- interruption and damage

_SCRIPT = """
    import sys, time
    from tiny import byte_tokenizer, tiny_model
    from infoplane.capture import writer as c
    from infoplane.models.decoder import Model
    from infoplane.information.reference_points import ReferencePoints
    from infoplane.text.documents import read_text
    from infoplane.text.cut_windows import make_windows
    model = Model.from_module(tiny_model(), byte_tokenizer(), "tiny")
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=6000, context=64)
    def progress(stage, done, total):
        print(done, flush=True); time.sleep(0.05)
    c.write_capture({folder!r}, model, windows, [ReferencePoints.make(32, 16)], model.layers,
                    loss=True, shard_tokens=1500, max_batch_tokens=300, progress=progress)
"""


def test_a_killed_capture_goes_on_and_redoes_nothing(tmp_path: Path, model: Model, windows: Any, captured: Any) -> None:
    folder = tmp_path / "c"
    child = Child(textwrap.dedent(_SCRIPT).format(folder=str(folder)), cwd=tmp_path)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("shard-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send(signal.SIGKILL)
    child.wait()
    done = {p.name: p.stat().st_mtime_ns for p in folder.glob("shard-*")}
    assert 2 <= len(done) < len(plan_shards(windows, 1500))
    with pytest.raises(CaptureError, match="is not finished"):
        open_capture(folder)
    again = capture(folder, model, windows)
    assert {name: (folder / name).stat().st_mtime_ns for name in done} == done
    a, b = values(measure_capture(again, orders=(1,))), values(measure_capture(captured, orders=(1,)))
    assert a.keys() == b.keys() and all(a[k] == pytest.approx(b[k], abs=2e-4) for k in a)


@pytest.mark.parametrize("harm", ["flip", "truncate", "swap", "empty"])
def test_a_damaged_shard_is_found_refused_and_redone(tmp_path: Path, model: Model, windows: Any, harm: str) -> None:
    kept = capture(tmp_path / "c", model, windows)
    before = values(measure_capture(kept, orders=(1,)))
    shard = tmp_path / "c" / "shard-00001.safetensors"
    data = bytearray(shard.read_bytes())
    if harm == "flip":
        data[-100] ^= 1
    elif harm == "truncate":
        data = data[:-50]
    elif harm == "swap":
        data = bytearray((tmp_path / "c" / "shard-00002.safetensors").read_bytes())
    else:
        data = bytearray()
    shard.write_bytes(data)
    with pytest.raises(CaptureError, match=r"shard-00001\.safetensors is damaged \(checksum\)"):
        open_capture(tmp_path / "c")
    capture(tmp_path / "c", model, windows)
    assert values(measure_capture(open_capture(tmp_path / "c"), orders=(1,))) == before


def test_captures_of_another_run_are_never_used(tmp_path: Path, model: Model, windows: Any) -> None:
    capture(tmp_path / "c", model, windows)
    other = Model.from_module(tiny_model(seed=1), byte_tokenizer(), "tiny")
    with pytest.raises(CaptureError, match=r"another run \(different: model\)"):
        capture(tmp_path / "c", other, windows)
    text = make_windows(read_text("c4-sample"), model.tokenizer, tokens=5000, context=64)
    with pytest.raises(CaptureError, match="windows_hash"):
        capture(tmp_path / "c", model, text)
    assert capture(tmp_path / "c", other, windows, force=True).run_id == open_capture(tmp_path / "c").run_id
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(CaptureError, match="holds other files"):
        capture(tmp_path / "mine", model, windows, force=True)
    manifest = tmp_path / "c" / "manifest.json"
    told = manifest.read_bytes()
    manifest.unlink()  # as where a process died that threw it away
    with pytest.raises(CaptureError, match="holds other files and is not a capture"):
        capture(tmp_path / "c", other, windows)
    capture(tmp_path / "c", other, windows, force=True)
    assert manifest.read_bytes() == told
    manifest.write_text(manifest.read_text().replace("infoplane/capture/3", "infoplane/capture/9"))
    with pytest.raises(CaptureError, match="schema 'infoplane/capture/9'"):
        open_capture(tmp_path / "c")
    with pytest.raises(CaptureError, match="no capture at"):
        open_capture(tmp_path / "nowhere")


def test_models_that_differ_in_their_config_alone_are_two(tmp_path: Path, model: Model, windows: Any) -> None:
    """Rotation is in no weight."""
    turned = tiny_model()
    turned.config.rope_parameters = {"rope_theta": 7.0, "rope_type": "default"}
    turned = type(turned)(turned.config).eval()
    turned.load_state_dict(tiny_model().state_dict())
    other = Model.from_module(turned, byte_tokenizer(), "tiny")
    assert other.provenance["weights_sha256"] == model.provenance["weights_sha256"]
    capture(tmp_path / "c", model, windows)
    with pytest.raises(CaptureError, match=r"another run \(different: model\)"):
        capture(tmp_path / "c", other, windows)
    again = Model.from_module(tiny_model(), byte_tokenizer(), "another name")
    assert capture(tmp_path / "c", again, windows).run_id == open_capture(tmp_path / "c").run_id


def test_a_shared_folder_may_take_a_while_to_show_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threading.Timer(0.3, (tmp_path / "late").touch).start()
    assert capturing._appears(tmp_path / "late")
    monkeypatch.setattr(capturing, "_PATIENCE", 0)
    assert not capturing._appears(tmp_path / "never")


def test_settings_out_of_range_are_refused(captured: Any, model: Model) -> None:
    for bad, message in (
        ({"orders": (5,)}, r"orders \[5\]"), ({"estimators": ("best",)}, "estimator 'best'"),
        ({"weights": ("equal",)}, "weight 'equal'"), ({"unit": "percent"}, "unit 'percent'"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=message):
            measure_capture(captured, **bad)
    with pytest.raises(ModelError, match="needs its tokenizer"):
        infoplane.measure(model.module, ["some text that is long enough"])
    with pytest.raises(SettingError, match="unknown setting 'colour'"):
        infoplane.measure(model, "c4-sample", colour=1)

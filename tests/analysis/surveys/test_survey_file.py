"""Survey files, budgets of bytes, the lock, and what a survey costs: all that is known before a model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
from tiny import byte_tokenizer, tiny_model
from typer.testing import CliRunner

from infoplane.analysis.surveys.cost import CAPTURING, EACH_SET, THROUGHPUTS, costs, throughput_of
from infoplane.analysis.surveys.entries import Device, choose, decides, device_of
from infoplane.analysis.surveys.lock import Hub, Lock, Locked, check_local, moved, resolve
from infoplane.analysis.surveys.survey_file import READY, parse_survey, read_survey, ready_text
from infoplane.cli import app
from infoplane.errors import ModelError, ResultError, SettingError
from infoplane.text.byte_budget import MIN_BYTES, limit_bytes, tokens_enough
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import Document, read_text

SHA = "0123456789abcdef0123456789abcdef01234567"
MODEL = '[[model]]\nid = "o/m"\n'


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


# ---------------------------------------------------------------------- a budget of bytes


def documents_of(seed: int, count: int) -> list[Document]:
    random = np.random.default_rng(seed)
    letters = np.array(list("ab é漢😀"))  # one to four bytes each
    sizes = random.integers(1, 900, count)
    return [Document(f"d{i}", "x" + "".join(random.choice(letters, n))) for i, n in enumerate(sizes)]


@pytest.mark.parametrize("seed", range(6))
def test_a_budget_of_bytes_is_spread_over_documents_and_cuts_no_character(seed: int) -> None:
    documents = documents_of(seed, 40)
    whole = {d.name: d.text for d in documents}
    size = int(np.random.default_rng(seed).integers(12_000, 60_000))
    found = limit_bytes(read_text(documents), size)
    read = {d.name: len(d.text.encode()) for d in found.documents}
    assert list(read) == [d.name for d in documents]  # all of them, in their order
    assert all(whole[d.name].startswith(d.text) for d in found.documents)
    total = sum(read.values())
    every = {name: len(text.encode()) for name, text in whole.items()}
    assert size - 4 * len(documents) < total <= size or total == sum(every.values())
    cut = [n for name, n in read.items() if n < every[name]]
    level = max(read.values()) if cut else 0
    assert all(level - n <= 4 for n in cut)  # one level for all that are cut, but for a token's rest and a character
    ended = sum(every.values()) <= size
    assert found.provenance["bytes"] == {"budget": size, "read": total, "seed": 0, "ended": ended}
    assert found.provenance["sha256"] == read_text(list(found.documents)).provenance["sha256"]


def test_a_small_budget_takes_fewer_documents_by_seed_and_a_large_one_all() -> None:
    documents = [Document(f"d{i}", "é" * (1_000 + i)) for i in range(50)]
    text = read_text(documents)
    few = limit_bytes(text, 10 * MIN_BYTES)
    assert len(few) == 10 and {len(d.text.encode()) for d in few.documents} == {MIN_BYTES}
    assert [d.name for d in few.documents] != [d.name for d in limit_bytes(text, 10 * MIN_BYTES, seed=1).documents]
    assert few == limit_bytes(text, 10 * MIN_BYTES)
    assert limit_bytes(text, 10**9).documents == text.documents
    short = read_text(
        [chr(0x100 + i) for i in range(1_000)]
    )  # each is less than is worth reading of a long one, and all are read
    assert limit_bytes(short, 2_000).documents == short.documents
    for wrong in (0, MIN_BYTES - 1, 2_000.0, True):
        with pytest.raises(SettingError, match=r"bytes = .*: expected a whole number, 256 or more"):
            limit_bytes(text, wrong)


@pytest.mark.parametrize("bos", [False, True])
def test_all_of_the_limited_text_is_read_whatever_the_tokenizer(bos: bool) -> None:
    text = limit_bytes(read_text(documents_of(0, 60)), 20_000)
    windows = make_windows(text, byte_tokenizer(bos), tokens=tokens_enough(text), context=64, min_window=1)
    assert int(windows.is_text.sum()) == text.provenance["bytes"]["read"]
    assert len(windows.documents) == len(text)


# ---------------------------------------------------------------------- the file


def test_defaults_are_filled_in_and_overridden_and_paths_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/corpus.txt").write_text("words")
    content = """
    [defaults]
    text = "corpus.txt"
    tokens = 5000
    orders = [1, 2]
    [[model]]
    id = "owner/a"
    revision = "step/1"
    [[model]]
    id = "owner/b"
    bytes = 4000
    orders = [1]
    text = "owner/texts"
    [[model]]
    path = "../m/x.gguf"
    name = "mine"
    """
    a, b, c = parse_survey(content, "s.toml", tmp_path / "t")
    assert (
        a.settings.source.text == str((tmp_path / "t/corpus.txt").resolve()) and b.settings.source.text == "owner/texts"
    )
    first, second = a.settings.flat(), b.settings.flat()
    assert (first["tokens"], first["bytes"], first["orders"], first["seed"]) == (5000, None, (1, 2), 0)
    assert (second["tokens"], second["bytes"], second["orders"]) == (None, 4000, (1,))
    assert (c.name, c.id, c.path, c.is_local) == ("mine", "x.gguf", str((tmp_path / "m/x.gguf").resolve()), True)
    assert b.name == "owner--b" and not b.is_local
    assert a.name.startswith("owner--a--step_1-") and "/" not in a.name
    (only,) = parse_survey('[[model]]\nid = "smollm2-135m"', "s.toml", tmp_path)
    assert only.settings.source.text == "c4-sample" and only.is_local
    usual = only.settings.flat()  # one text for all tokenizers, labels of words, and the error of the points
    assert (usual["bytes"], usual["tokens"], usual["text_labels"], usual["reference_sets"]) == (
        150_000,
        None,
        ("word",),
        None,
    )


@pytest.mark.parametrize(
    "content, said",
    [
        ("[defaults\n", r"s.toml is not TOML: .*line 1"),
        ("", r"s.toml lists no model: write \[\[model\]\]"),
        ("[model]\nid = 'o/m'", r"lists no model"),
        ("default = 1\n" + MODEL, r"unknown setting 'default'; near names: defaults"),
        ("[defaults]\ntoken = 5\n" + MODEL, r"\[defaults\]: unknown setting 'token'; near names: tokens, tokenizer"),
        (MODEL + "parameters = 7", r"model 1 \(o/m\): unknown setting 'parameters'; near names: parameters_b"),
        (MODEL + "zzz = 7", r"unknown setting 'zzz'; see docs/how-to/survey.md"),
        ("[defaults]\nrevision = 'x'\n" + MODEL, r"\[defaults\]: revision cannot be set here: it is of one model"),
        (MODEL + "tokens = '5'", r"model 1 \(o/m\): tokens = '5': expected a whole number, 8 or more"),
        (MODEL + "tokens = true", r"tokens = True: expected a whole number"),
        (MODEL + "seed = true", r"seed = True: expected a whole number, 0 or more"),
        (MODEL + "parameters_b = true", r"parameters_b = True: expected a number above 0"),
        (MODEL + "loss = 1", r"loss = 1: expected true or false"),
        (MODEL + "orders = [1, 5]", r"orders = \[1, 5\]: expected some of 1, 2, 3, 4"),
        (MODEL + "orders = []", r"orders = \[\]: expected some of 1"),
        (MODEL + "orders = [true]", r"orders = \[True\]: expected some of 1"),
        (MODEL + "estimators = ['best']", r"expected some of corrected, plugin, null-curve"),
        (MODEL + "dtype = 'bf16'", r"dtype = 'bf16': expected one of auto, float32, bfloat16"),
        (MODEL + "parameters_b = -1", r"parameters_b = -1: expected a number above 0"),
        (MODEL + "parameters_b = nan", r"expected a number above 0"),
        (MODEL + "bytes = 300\ntokens = 300", r"tokens and bytes are two budgets"),
        (MODEL + MODEL, r"s.toml lists o/m twice: remove one"),
        (MODEL + MODEL + "orders = [1]", r"two models would share the folder 'o--m': give each a name"),
        (MODEL + MODEL + "name = 'other'", r"lists o/m twice with the same settings, as 'o--m' and 'other'"),
        (MODEL + '[[model]]\nid = "O/M"', r"two models would share the folder 'O--M'"),
        ("[[model]]\nfamily = 'x'", r"model 1 \(no id\): expected an id, such as owner/name, or a path"),
        ("[[model]]\nid = '../up'", r"id '../up' is not a hub id owner/name; a folder or file is named with path"),
        ("[[model]]\nid = 'a/b/c'", r"is not a hub id"),
        (MODEL + "name = '../up'", r"name '../up' cannot be a folder's"),
        (MODEL + "name = '..'", r"name '..' cannot be a folder's"),
        ("[[model]]\npath = 'm'\nrevision = 'main'", r"a path has no revision"),
        (MODEL + "text = '-'", r"standard input \(-\) is read once"),
        (MODEL + "text = 'missing.txt'", r"no text at .*missing.txt; expected a path that exists, c4-sample"),
    ],
)
def test_what_is_wrong_in_a_survey_file_is_said(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=said):
        parse_survey(content, "s.toml", tmp_path)


def test_a_survey_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no survey file .*none.toml: expected a TOML file that exists; or one of"):
        read_survey(tmp_path / "none.toml")
    with pytest.raises(SettingError, match="did you mean open-families"):
        read_survey("open-familys")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(SettingError, match=r"cannot be read: .*TOML in UTF-8"):
        read_survey(tmp_path / "latin.toml")


def test_no_name_leads_out_of_the_folder() -> None:
    for revision in ("../../etc", "refs/pr/1", ".", "a b", "x" * 300, "é", "\\..\\x"):
        (entry,) = parse_survey(f"[[model]]\nid = 'o/m'\nrevision = '{revision}'", "s.toml", Path())
        place = Path("/out") / entry.name
        assert place.resolve().parent == Path("/out") and len(entry.name) < 121 and entry.name.isascii(), entry.name


def test_the_ready_survey_has_the_usual_families() -> None:
    (name,) = READY
    entries = read_survey(name)
    families = {e.facts["family"] for e in entries}
    assert len(entries) >= 70 and len(families) >= 12
    assert {"Llama", "Qwen", "Gemma", "Mistral", "OLMo", "Pythia", "SmolLM", "Phi", "Falcon", "Yi", "OPT"} <= families
    assert len({e.id.casefold() for e in entries}) == len(entries)
    assert all(e.revision is None and e.path is None and "/" in e.id for e in entries)
    assert all(0.07 <= e.facts["parameters_b"] <= 71 for e in entries)
    assert all(e.facts["kind"] in ("base", "instruct") for e in entries)
    settings = [e.settings.flat() for e in entries]
    shared = {json.dumps({k: v for k, v in s.items() if k != "device_map"}, sort_keys=True) for s in settings}
    assert len(shared) == 1  # one setting for all, but for those that need several GPUs
    assert {e.id for e, s in zip(entries, settings, strict=True) if s["device_map"]} == {
        e.id for e in choose(entries) if e.facts["parameters_b"] > 35
    }
    first = settings[0]
    assert first["reference_sets"] is None and first["loss"] and first["text_labels"]
    assert first["bytes"] <= sum(len(d.text.encode()) for d in read_text(first["text"]).documents)


# ---------------------------------------------------------------------- which models


def test_globs_and_sizes_choose_models() -> None:
    entries = read_survey("open-families")
    pythia = choose(entries, "pythia")
    assert len(pythia) > 5 and all("pythia" in e.id for e in pythia)
    assert choose(entries, "*/pythia-160m,google--gemma-2b") == choose(entries, "google/gemma-2b,*--pythia-160m")
    assert max(e.facts["parameters_b"] for e in choose(entries, "llama", 9)) == 8.03
    with pytest.raises(SettingError, match=r"--only 'pythai\*' fits no model of the survey; it has "):
        choose(entries, "pythia,pythai*")
    with pytest.raises(SettingError, match="no model of the survey is left"):
        choose(entries, "pythia", 0.01)
    with pytest.raises(SettingError, match=r"--up-to 1: the survey does not tell parameters_b of o/m"):
        choose(parse_survey(MODEL, "s.toml", Path()), None, 1.0)


# ---------------------------------------------------------------------- the hub


class FakeHub:
    """What the hub answers, in place of its client."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[tuple[str, str | None]]()

    def __call__(self) -> FakeHub:
        return self

    def model_info(self, name: str, revision: str | None = None, timeout: float | None = None, **_: Any) -> Any:
        self.asked.append((name, revision))
        answer = self.answers[name.partition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return answer


def missing() -> Exception:
    response: Any = SimpleNamespace(headers={}, request=None, status_code=404)
    try:
        return RepositoryNotFoundError("404 Client Error\n\nRepository Not Found", response=response)
    except TypeError:  # other versions of the client
        return RepositoryNotFoundError("404 Client Error\n\nRepository Not Found")


def entries_of(*names: str, more: str = "") -> Any:
    return parse_survey("\n".join(f'[[model]]\nid = "o/{n}"\n{more}' for n in names), "s.toml", Path())


def test_revisions_are_resolved_once_and_moves_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = FakeHub(a=SimpleNamespace(sha=SHA), b=missing())
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    a, b = entries_of("a", "b")
    lock = Lock(tmp_path)
    assert lock.get(a) is None
    lock.add(resolve(a, Hub()))
    with pytest.raises(ModelError, match=r"the hub does not give 'o/b', revision 'main': 404 .* check its name"):
        resolve(b, Hub())
    locked = Lock(tmp_path).get(a)
    assert locked is not None and locked.commit == SHA and moved(a, locked, Hub()) is None
    hub.answers["a"] = SimpleNamespace(sha="f" * 40)
    said = moved(a, locked, Hub())
    assert said is not None and "the hub has moved on from 0123456789ab" in said and "to ffffffffffff" in said
    pinned = entries_of("a", more=f'revision = "{SHA}"')[0]
    hub.asked.clear()
    assert resolve(pinned, Hub()).commit == SHA and moved(pinned, locked, Hub()) is None and not hub.asked
    (tmp_path / "survey.lock.json").write_text('{"schema": "infoplane/survey-lock/9"}')
    with pytest.raises(ResultError, match="has schema 'infoplane/survey-lock/9'"):
        Lock(tmp_path)


def test_a_hub_out_of_reach_is_asked_once_and_nothing_is_made_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = FakeHub(a=ConnectionError("no route"), b=ConnectionError("no route"))
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    asked, (a, b) = Hub(), entries_of("a", "b")
    for entry in (a, b):
        with pytest.raises(ModelError, match=r"the hub cannot be reached, and its cache here does not hold 'o/"):
            resolve(entry, asked)
    assert hub.asked == [("o/a", None)] and not asked.reachable
    refs = tmp_path / "models--o--a/refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(SHA)
    (refs / "odd").write_text("not a commit")
    assert resolve(a, asked).commit == SHA
    with pytest.raises(ModelError, match="which commit it is cannot be told"):
        resolve(entries_of("a", more='revision = "odd"')[0], asked)


def test_a_folder_that_would_be_loaded_for_a_hub_id_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o/a").mkdir(parents=True)
    (a,) = entries_of("a")
    locked = Locked("o/a", None, commit=SHA)
    for refused in (lambda: resolve(a, Hub()), lambda: check_local(a, locked)):  # also where it lies there since
        with pytest.raises(ModelError, match="'o/a' is a hub id, and a folder of that name lies where you are"):
            refused()


def test_devices_are_those_of_where_the_models_run() -> None:
    locked = Locked("o/a", None, commit=SHA)
    (a,) = entries_of("a", more='device = "cuda"')
    told = decides(a, locked, "text", None, Device("cuda", "bfloat16"))
    assert (told["device"], told["dtype"]) == ("cuda", "bfloat16")
    assert "cannot be used" in device_of("cuda:99").problem
    with pytest.raises(SettingError, match="device 'cuda:99' cannot be used"):
        decides(a, locked, "text", None, device_of("cuda:99"))


# ---------------------------------------------------------------------- what it costs


def test_costs_are_two_operations_a_parameter_and_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = [("model-1.safetensors", 3_000), ("model-2.safetensors", 2_000), ("config.json", 10),
             ("pytorch_model.bin", 5_000), ("original/consolidated.safetensors", 5_000)]  # fmt: skip
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in files]
    told = SimpleNamespace(sha=SHA, safetensors=SimpleNamespace(total=10**9), siblings=siblings)
    hub = FakeHub(a=told, b=missing(), c=ConnectionError())
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    more = "tokens = 36000\nreference_sets = 5\nparameters_b = 2\n"
    entries = entries_of("a", "b", "c", more=more)
    a, b, c = costs(entries, {}, 1e12, Hub())
    assert (a.parameters, a.told_by, a.download, a.download_is) == (10**9, "hub", 5_010, "hub")
    assert (b.parameters, b.told_by, b.download, b.download_is) == (2 * 10**9, "survey", 4 * 10**9, "estimate")
    assert a.hours == pytest.approx(36_000 * 2 * 1e9 / 1e12 / 3600 * (1 + CAPTURING + 4 * EACH_SET))
    assert b.hours == pytest.approx(2 * a.hours) and c.hours == b.hours
    assert (a.tokens, a.tokens_are) == (36_000, "budget")
    (d,) = costs(entries_of("c", more="bytes = 44000"), {}, 1e12, Hub())
    assert (d.tokens, d.tokens_are, d.hours, d.download) == (10_000, "estimate", None, None)
    short = read_text(["x" * 440])
    assert costs(entries[:1], {entries[0].name: short}, 1e12, Hub())[0].tokens == 100
    tiny_model().save_pretrained(tmp_path / "llama")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/x.safetensors").write_bytes(b"not one")
    local = parse_survey('[[model]]\npath = "llama"\n[[model]]\npath = "broken"', "s.toml", tmp_path)
    llama, broken = costs(local, {}, 1e12, Hub())
    assert (llama.parameters, llama.told_by) == (sum(p.numel() for p in tiny_model().parameters()), "file")
    assert (llama.download, llama.download_is) == (0, "local") and broken.parameters is None


def test_throughputs_are_numbers_or_have_a_name() -> None:
    assert throughput_of("2e14") == (2e14, "as given")
    assert throughput_of(None) == throughput_of("h100-bf16") and throughput_of(None)[0] == THROUGHPUTS["h100-bf16"][0]
    for wrong in ("fast", "-1", "0", "nan", "inf"):
        with pytest.raises(SettingError, match="expected operations a second such as 2e14, or one of h100-bf16"):
            throughput_of(wrong)


def test_a_dry_run_says_what_it_would_cost_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub(**{"pythia-12b": ConnectionError()}))
    monkeypatch.chdir(tmp_path)
    done = call("survey", "open-families", "--dry-run", "--only", "*pythia-12b,*pythia-6.9b", "--json")
    record = json.loads(done.stdout)
    assert done.exit_code == 0 and [m["id"][-4:] for m in record["models"]] == ["6.9b", "-12b"]
    assert record["total"]["parameters"] == 18_900_000_000 and record["total"]["download"] == 37_800_000_000
    assert record["total"]["hours"] == pytest.approx(sum(m["hours"] for m in record["models"]))
    assert record["total"]["capture"] == max(m["capture"] for m in record["models"])
    assert any("cannot be reached" in note for note in record["notes"])
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub(m=ConnectionError()))
    (tmp_path / "s.toml").write_text(MODEL + "tokens = 1000")
    done = call("survey", "s.toml", "--dry-run", "--throughput", "2e9")
    said = " ".join(done.stdout.split())
    assert done.exit_code == 0 and "2e+09 operations a second (as given)" in said
    assert "not in the totals, for nothing tells their parameters (parameters_b): o/m" in said
    assert [p.name for p in tmp_path.iterdir()] == ["s.toml"]


def test_a_survey_that_ships_can_be_shown() -> None:
    done = call("survey", "open-families", "--show")
    assert done.exit_code == 0 and done.stdout == ready_text("open-families")
    assert parse_survey(done.stdout, "mine.toml", Path()) == read_survey("open-families")


def test_every_model_of_the_list_that_ships_is_in_a_published_table() -> None:
    from infoplane.analysis.scores.published_tables import model_facts

    known = set(model_facts().table["model"])
    listed = [entry.id for entry in read_survey("open-families")]
    assert len(listed) >= 70 and not sorted(set(map(str, listed)) - known)


def test_the_capture_whose_code_is_used_lies_beside_the_file(tmp_path: Path) -> None:
    written = '[defaults]\ncode = ["fitted"]\ncode_of = "{}"\n[[model]]\nid = "smollm2-135m"\n'
    (entry,) = parse_survey(written.format("../parent"), "s.toml", tmp_path / "folder")
    assert entry.settings.measuring.code.code_of == str(tmp_path / "parent")
    (entry,) = parse_survey(written.format("s3://bucket/parent"), "s.toml", tmp_path / "folder")
    assert entry.settings.measuring.code.code_of == "s3://bucket/parent"

"""Inputs of a few bytes that would take all memory, or for ever: read by what they hold, or one message and exit 2."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from children import COMMAND, run
from tiny import byte_tokenizer, save_tiny
from typer.testing import CliRunner

from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.scores.score_files import read_scores
from infoplane.cli import app
from infoplane.errors import InfoplaneError, LabelError, ModelError, ScoreError, SettingError, TextError
from infoplane.models.loading import load_model
from infoplane.storage import bounded_reading as readable
from infoplane.storage.parquet import csv_text, plain_cell
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.ngram_labels import read_column
from infoplane.text.pairs.preference_pairs import read_pairs
from infoplane.text.pairs.time_limit import at_most

GIB = 1 << 30


def limited(code: str, *arguments: object, gib: float = 3, seconds: int = 100) -> subprocess.CompletedProcess[str]:
    """Run code in a process that may have so much memory."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(gib * GIB), int(gib * GIB)))

    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], preexec_fn=limit, capture_output=True, text=True,
        timeout=seconds,
    )  # fmt: skip


def dictionary_bomb(path: Path, rows: int, categories: bool) -> None:
    """A Parquet of some 500 bytes: one string of a megabyte, so many times."""
    text = pa.array(["lorem ipsum dolor " * 58_254])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text)
    pq.write_table(pa.table({"text": column}), path, compression="zstd", store_schema=categories)


# ---------------------------------------------------------------------- Parquet and gzip


@pytest.mark.parametrize("categories", [False, True])
def test_a_parquet_that_holds_more_than_memory_is_read_by_limit_or_refused(categories: bool, tmp_path: Path) -> None:
    """100,000 rows of one string took 9 GB, also with --limit 5."""
    bomb = tmp_path / "bomb.parquet"
    dictionary_bomb(bomb, 100_000, categories)
    assert bomb.stat().st_size < 1000
    few = "from infoplane.text.documents import read_text; import sys; print(len(read_text(sys.argv[1], limit=5)))"
    read = limited(few, bomb, gib=2)
    assert read.stdout.strip() == "1", read.stderr  # five were read, and are copies of one
    code = (
        "import infoplane.text.documents as t, sys; t.most_bytes = lambda: 200_000_000;"
        "from infoplane.cli import main; sys.argv = ['infoplane', 'measure', 'x/y', '--text', sys.argv[1]]; main()"
    )
    refused = limited(code, bomb)
    assert refused.returncode == 2, refused.stderr
    assert (
        "bomb.parquet holds more than may be held: " in refused.stderr and "take fewer with --limit" in refused.stderr
    )


def test_a_gzip_that_holds_more_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readable, "most_bytes", lambda: 1_000_000)
    for name in ("a.txt.gz", "a.json.gz", "a.csv.gz", "a.jsonl.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b" " * 5_000_000))
        with pytest.raises(
            TextError, match=r"cannot read a\..*: it holds more than .* KiB, which may take, once it is"
        ):
            read_text(tmp_path / name)
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(b" " * 5_000_000))
    with pytest.raises(TextError, match=r"it holds more than 39.1 KiB"):
        read_pairs(tmp_path / "pairs.jsonl.gz")
    rows = b"".join(b'{"text": "line %d of many"}\n' % i for i in range(100_000))  # more than that, but in short lines
    (tmp_path / "many.jsonl.gz").write_bytes(gzip.compress(rows))
    assert len(read_text(tmp_path / "many.jsonl.gz", limit=60_000)) == 60_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"[" + b"{}," * 30_000_000 + b"{}]"),
        ("a.jsonl", b'{"text": "a", "more": [' + b"{}," * 30_000_000 + b"{}]}\n"),
        ("a.csv", b"text\n" + b"a\n" * 40_000_000),
        ("a.txt", b"a" * 400_000_000 + "\U0001f600".encode()),
    ],
)
def test_what_grows_when_it_is_read_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    """Bytes were counted, and an empty object of JSON takes 24 times as many as it has."""
    with gzip.open(tmp_path / f"{name}.gz", "wb", compresslevel=1) as file:
        file.write(content)
    code = (
        "import sys, infoplane.storage.bounded_reading as readable; from infoplane.text.documents import read_text\n"
        "readable.most_bytes = lambda: 1 << 30\n"
        "try: read_text(sys.argv[1])\nexcept Exception as error: print(error)"
    )
    told = limited(code, tmp_path / f"{name}.gz", gib=3).stdout
    assert "which may take, once it is read, half of the memory that is free" in told


def test_a_column_of_parquet_that_is_no_text_is_not_read(tmp_path: Path) -> None:
    pl.DataFrame({"text": [[1] * 100]}, schema={"text": pl.List(pl.Int8)}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(TextError, match=r"column 'text' holds List\(Int8\), expected strings"):
        read_text(tmp_path / "a.parquet")


def test_values_come_in_lists_of_a_bounded_size() -> None:
    column = pl.Series("text", ["a" * n for n in (5, 90, 1, 200, 3, 3)])
    lists = list(readable.text_pieces(column, size=100))
    assert [v for part in lists for v in part] == column.to_list()
    assert [len(part) for part in lists] == [2, 1, 3] or max(map(len, lists)) <= 3
    assert list(readable.text_pieces(pl.Series([1, 2]))) == [[1, 2]]


def test_a_table_of_more_rows_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from infoplane.storage import parquet as tables

    pl.DataFrame({"model": ["a"] * 5000, "family": ["b"] * 5000, "x": [0.5] * 5000}).write_parquet(
        tmp_path / "t.parquet"
    )
    monkeypatch.setattr(tables, "most_bytes", lambda: 100_000)
    with pytest.raises(InfoplaneError, match="it holds 5,000 rows of 3 columns, more than the memory that is free"):
        Cases.read(tmp_path / "t.parquet", features=("x",), scores=("x",))


def test_memory_that_runs_out_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from infoplane.cli import command_line as cli

    class PanicException(BaseException):
        pass

    for error, said in (
        (MemoryError(), "memory ran out: read less"),
        (PanicException("at row 7"), "made sense of (at row 7)"),
    ):

        def fail(error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2 and said in capsys.readouterr().err


# ---------------------------------------------------------------------- devices and pipes


def test_devices_and_pipes_are_refused_by_every_reader(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    begun = time.monotonic()
    for path, what in ((Path("/dev/zero"), "a device"), (pipe, "a named pipe")):
        with pytest.raises(TextError, match=f"it is {what}, which .*: expected a file"):
            read_text(path)
        with pytest.raises(LabelError, match=f"it is {what}"):
            read_column(path)
    for link, read, kind in (
        ("s.json", read_scores, ScoreError), ("s.csv", read_scores, ScoreError), ("t.csv", Cases.read, InfoplaneError),
        ("t.parquet", Cases.read, InfoplaneError), ("p.jsonl", read_pairs, TextError),
        ("l.npy", read_column, LabelError),
        ("x.parquet", read_text, TextError), ("x.jsonl.gz", read_text, TextError),
    ):  # fmt: skip
        (tmp_path / link).symlink_to("/dev/zero")
        with pytest.raises(kind, match="it is a device, which may have no end"):
            read(tmp_path / link, features=("x",)) if read == Cases.read else read(tmp_path / link)
    from infoplane.models.checkpoints import read_table

    with pytest.raises(SettingError, match="it is a device"):
        read_table(tmp_path / "s.csv")
    assert time.monotonic() - begun < 20


def test_what_is_no_file_in_a_folder_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text of some words")
    os.mkfifo(tmp_path / "b.txt")
    (tmp_path / "c.jsonl").symlink_to("/dev/zero")
    read = read_text(tmp_path)
    assert [d.name for d in read.documents] == ["a.txt"] and read.provenance["skipped"] == ["b.txt", "c.jsonl"]


def test_a_pipe_of_the_shell_is_read(tmp_path: Path) -> None:
    code = "import infoplane, sys; print(len(infoplane.read_text(sys.argv[1]).documents[0].text))"
    run = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{code}" <(printf "some words of a text")'], capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert run.stdout.strip() == "20", run.stderr


# ---------------------------------------------------------------------- short documents


def test_short_documents_take_linear_time_and_nothing_of_the_budget() -> None:
    """400,000 of them were not done in 100 s; 20,000 beside 200 long ones left 12,529 of 20,000 tokens read."""
    long = [f"document {i} is long enough to be read, word by word. " * 20 for i in range(200)]
    windows = make_windows(read_text([*map(str, range(20_000)), *long]), byte_tokenizer(), tokens=20_000)
    assert windows.is_text.sum() == 20_000 and windows.provenance["ended"] is False
    times = []
    for count in (20_000, 80_000):
        text = read_text([*map(str, range(count)), *long[:50]])
        begun = time.process_time()
        windows = make_windows(text, byte_tokenizer(), tokens=60_000)
        times.append(time.process_time() - begun)
    assert times[1] < 8 * times[0]  # 16 times as long where it is quadratic


def test_budgets_are_dealt_as_before_where_no_document_is_short() -> None:
    """Many documents at once are cut as one by one."""
    import numpy as np

    from infoplane.text.cut_windows import _encode, _encode_many

    texts = ["Zwölf Boxkämpfer", "é", "", "plain text " * 50]
    for one, many in zip(
        [_encode(t, byte_tokenizer()) for t in texts], _encode_many(texts, byte_tokenizer()), strict=True
    ):
        assert np.array_equal(one[0], many[0]) and np.array_equal(one[1], many[1])


# ---------------------------------------------------------------------- programs and configs


def test_a_chat_template_that_loops_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from infoplane.text.pairs import chat_templates as chat
    from infoplane.text.pairs.preference_pairs import Message, Pair

    monkeypatch.setattr(chat, "SECONDS", 0.5)
    words = byte_tokenizer()
    ranges = "".join(f"{{% for {c} in range(9999) %}}" for c in "abcd")
    words.chat_template = f"{ranges}{{{{ a }}}}{'{% endfor %}' * 4}"
    said = (Message("user", "hello"),)
    pair = Pair("pair:1", said, (Message("assistant", "yes"),), (Message("assistant", "no"),))
    with pytest.raises(TextError, match=r"pair:1: the chat template loops over its messages: it was not done in 0.5 s"):
        chat.write(pair, pair.chosen, chat.formats(words, "yes")[0])
    with at_most(5):
        pass
    with pytest.raises(ZeroDivisionError), at_most(5):
        _ = 1 / 0


def changed(place: Path, **config: Any) -> Path:
    save_tiny(place)
    told = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**told, **config}))
    return place


def test_a_config_that_asks_for_more_than_its_files_is_refused_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"asks for 10,000,000 blocks, and its files hold 3"):
        load_model(changed(tmp_path / "a", num_hidden_layers=10**7))
    with pytest.raises(ModelError, match=r"asks for 10,000,000 blocks, and no model has more than 4,096"):
        load_model(tmp_path / "a", random_init=True)
    with pytest.raises(ModelError, match=r"asks for an embedding of 2,000,000,000 rows of width 1,000,000"):
        load_model(changed(tmp_path / "b", vocab_size=2 * 10**9, hidden_size=10**6))
    assert time.monotonic() - begun < 20
    with pytest.raises(SettingError, match=r"has positions for 1 tokens \(its config's max_position_embeddings\)"):
        CliRunner().invoke(
            app, ["measure", str(changed(tmp_path / "c", max_position_embeddings=1)), "--context", "64", "--json"],
            catch_exceptions=False,
        )  # fmt: skip


def test_a_config_that_is_wide_is_refused_before_any_memory_is_taken(tmp_path: Path) -> None:
    """The weights that the files lack were made: `intermediate_size` of 10**7 took 11 GB before it was refused."""
    place = changed(tmp_path / "a", intermediate_size=10**7)
    changed(tmp_path / "b", head_dim=4 * 10**6)
    told = limited(
        "import sys; from infoplane.models.loading import load_model\n"
        "for place in sys.argv[1:]:\n    try: load_model(place)\n    except Exception as error: print(error)",
        place, tmp_path / "b", gib=4,
    ).stdout.splitlines()  # fmt: skip
    assert len(told) == 2 and all(
        "of shape" in line and "expected the config.json that was saved" in line for line in told
    )
    assert "asks for 2,880," in told[0] and "mlp" in told[0]
    assert load_model(changed(tmp_path / "c", rope_theta=5000.0)).width == 32


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 'a' * 3000000000 }}", "memory ran out"),
        ("{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
         "memory ran out"),
        ("{{ '%3000000000s' % 'a' }}", "memory ran out"),
    ],
)  # fmt: skip
def test_a_chat_template_that_takes_all_memory_is_stopped(template: str, says: str) -> None:
    from infoplane.text.pairs import chat_templates as chat
    from infoplane.text.pairs.preference_pairs import Message, Pair

    words = byte_tokenizer()
    words.chat_template = template
    pair = Pair("pair:1", (Message("user", "a"),), (Message("assistant", "b"),), (Message("assistant", "c"),))
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(TextError, match=rf"pair:1: the chat template refuses its messages: .*{says}"):
        chat.write(pair, pair.chosen, chat.formats(words, "yes")[0])
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_chat_template_of_powers_is_refused() -> None:
    from infoplane.text.pairs import chat_templates as chat

    words = byte_tokenizer()
    words.chat_template = "{{ 9 ** (9 ** 9) }}"
    with pytest.raises(SettingError, match=r"computes powers \(\*\*\), which no template needs"):
        chat.formats(words, "auto")
    assert chat.formats(words, "no")[0].name == "plain"
    words.chat_template = "a ** b {{ 2 * 3 }}"  # outside of an expression it is text
    assert chat.formats(words, "yes")[0].name == "template"


def test_a_pipe_among_the_files_of_a_model_is_refused(tmp_path: Path) -> None:
    save_tiny(tmp_path / "model")
    (tmp_path / "model/tokenizer.json").unlink()
    os.mkfifo(tmp_path / "model/tokenizer.json")
    os.mkfifo(tmp_path / "manifest.json")
    commands = [
        ["measure", tmp_path / "model", "--json"], ["bound", "c4-sample", "--tokenizer", tmp_path / "model"],
        ["bound", "c4-sample", "--tokenizer", tmp_path / "manifest.json"],
        ["measure", "--capture", tmp_path, "--json"],
    ]  # fmt: skip
    for command in commands:
        done = run(COMMAND, *command, cwd=tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


def test_a_broken_gguf_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"cannot load 'broken.gguf': .+; expected"):
        load_model("broken.gguf")


# ---------------------------------------------------------------------- lines and formulas


def test_names_forge_no_lines(tmp_path: Path) -> None:
    scores = tmp_path / "s.csv"
    scores.write_text('model,task,metric,value\n"a\nNote: all is well",arc,acc,0.5\nb,arc,acc,0.6\n')
    shown = CliRunner().invoke(app, ["scores", str(scores), "--model", "b*"]).output
    assert "\nNote: all is well" not in shown
    from infoplane.cli.terminal import say

    with contextlib.redirect_stderr(io.StringIO()) as told:
        say("infoplane: cannot read a\ninfoplane: all is well:\n  b.json", err=True)
    assert told.getvalue() == "infoplane: cannot read a\\ninfoplane: all is well:\n  b.json\n"


def test_cells_that_are_formulas_are_text(tmp_path: Path) -> None:
    scores = tmp_path / "s.csv"
    names = ["=HYPERLINK(1)", "+1", "@x", "-2", "plain"]
    pl.DataFrame({"model": names, "task": "arc", "metric": "acc", "value": 0.5}).write_csv(scores)
    out = tmp_path / "out.csv"
    assert CliRunner().invoke(app, ["scores", str(scores), "--format", "csv", "--out", str(out)]).exit_code == 0
    cells = pl.read_csv(out)["model"].to_list()
    assert cells == ["'=HYPERLINK(1)", "'+1", "'@x", "'-2", "plain"]
    assert list(read_scores(out).models) == names


def test_cells_come_back_as_they_were(tmp_path: Path) -> None:
    """A cell's own apostrophe before a formula was taken away, and headers were not guarded."""
    frame = pl.DataFrame({"=head": ["'=x", "''+y", "'plain", "=z", "\n=n"]})
    text = csv_text(frame)
    assert text.startswith("'=head\n")
    read = pl.read_csv(io.StringIO(text))["'=head"].to_list()
    assert [plain_cell(cell) for cell in read] == frame["=head"].to_list()
    assert all(not cell.startswith(("=", "\n=")) for cell in read)


def test_names_that_cannot_be_drawn_are_drawn_without(tmp_path: Path) -> None:
    """vl-convert ended the process at characters that XML has not."""
    code = (
        "import altair as alt; from infoplane.report.measurement.figures import draw\n"
        "from infoplane.report.parts.theme import values\n"
        "rows = [{'name': 'a\\x1b[31m\\x00\\uffff', 'x': 1.0}]\n"
        "figure = draw('f', alt.Chart(values(rows)).mark_point().encode(x='x:Q', y='name:N'))\n"
        "print(len(figure.png()) > 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr
    told = limited(code, gib=8)
    assert "ResultError: figures cannot be drawn: this process may have 8 GiB of address space" in told.stderr


def test_reasons_are_never_empty(tmp_path: Path) -> None:
    from infoplane.storage.atomic_files import reason

    assert reason(EOFError()) == "it ends too early" and reason(ValueError()) == "ValueError"
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' * 1000)[:40])
    with pytest.raises(TextError, match=r"cannot read cut.jsonl.gz: \S+"):
        read_text(tmp_path / "cut.jsonl.gz")

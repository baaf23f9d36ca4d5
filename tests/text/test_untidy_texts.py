"""Texts and scores as they come: bytes of tokens that are no characters, tables, packed files, scores not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as t
from tiny import byte_tokenizer, tiny_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import infoplane
from infoplane.analysis.scores.score_files import read_scores
from infoplane.errors import ScoreError, TextError
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.token_bytes import bytes_by_decoding, bytes_by_offsets

TEXTS = [
    "Zwölf Boxkämpfer – 東京タワー 🗼 العربية é\u0301 over  it all\n again" * 2,
    "plain ASCII text, of some length, twice",
]


def byte_fallback() -> Any:
    """Like SentencePiece with byte fallback: most characters are several tokens."""
    vocabulary = {"<unk>": 0, **{f"<0x{i:02X}>": 1 + i for i in range(256)}, "▁": 257, "a": 258, "b": 259, "e": 260}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return t.PreTrainedTokenizerFast(tokenizer_object=backend)


def merged_bytes(*merges: tuple[str, str]) -> Any:
    """Bytes, some of which are merged: tokens that hold a part of a character, and what stands before it or after."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*alphabet, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)  # as most have it: offsets leave spaces out
    backend.decoder = decoders.ByteLevel()
    return t.PreTrainedTokenizerFast(tokenizer_object=backend)


class Slow:
    """A tokenizer without offsets around another one."""

    def __init__(self, inner: Any, changed: bool = False) -> None:
        self.inner, self.changed, self.all_special_ids, self.is_fast = inner, changed, [], False
        self.bos_token_id = None

    def __call__(self, text: str, **more: Any) -> Any:
        more.pop("return_offsets_mapping", None)
        return self.inner(text.lower() if self.changed else text, **more)

    def convert_ids_to_tokens(self, ids: list[int]) -> Any:
        return self.inner.convert_ids_to_tokens(ids)

    def decode(self, ids: list[int], **more: Any) -> str:
        return str(self.inner.decode(ids, **more)).strip() or self.inner.decode(ids, **more)  # as SentencePiece does

    def __len__(self) -> int:
        return len(self.inner)

    def get_vocab(self) -> Any:
        return self.inner.get_vocab()


@pytest.mark.parametrize("make", [t.ByT5Tokenizer, byte_fallback, byte_tokenizer, lambda: Slow(byte_tokenizer())])
def test_bytes_of_windows_are_those_of_the_text(make: Any) -> None:
    """By the decoded text of single tokens ByT5 had 9 bytes a character here, or none."""
    tokenizer = make()
    windows = make_windows(read_text(TEXTS), tokenizer, tokens=4000, context=4000)
    first = [len(read.encode()) for read in TEXTS]
    # the first token of a window has nothing before it, and is not paid for: one byte, or the space put before a text
    assert abs(int(windows.byte_count.sum()) - sum(first)) <= 2 * len(TEXTS)


def bytes_of(token: str) -> int:
    """Bytes of a token as its vocabulary writes it, in the vocabularies of these tests."""
    return 1 if token.startswith("<0x") else len(token)


@pytest.mark.parametrize(
    "make",
    [
        t.ByT5Tokenizer,
        byte_fallback,
        byte_tokenizer,
        lambda: byte_tokenizer(bos=True),
        lambda: Slow(byte_tokenizer()),
        lambda: merged_bytes(("æ", "Ŀ"), ("Ġ", "æ"), ("Ħ", "×")),
        lambda: Slow(merged_bytes(("æ", "Ŀ"), ("Ġ", "æ"))),
    ],
)
def test_a_window_cut_inside_a_character_is_paid_for_the_bytes_it_holds(make: Any) -> None:
    """The whole character went to its first token, or with slow tokenizers to its last."""
    tokenizer, text = make(), "東京タワー 東タ é東 " * 20
    for context in (5, 7, 16):
        w = make_windows(read_text([text]), tokenizer, tokens=4000, context=context, min_window=4)
        paid = w.is_text.copy()
        paid[w.starts[:-1]] = False
        pieces = tokenizer.convert_ids_to_tokens(w.tokens.tolist())
        size = np.where(paid, [bytes_of(piece) for piece in pieces], 0)
        assert w.byte_count.tolist() == np.add.reduceat(size, w.starts[:-1]).tolist()
        if w.text is not None:  # of which labels are made: whole characters, whatever is cut
            assert w.text.tobytes().decode() and w.ends[-1] == len(w.text)


def test_a_character_that_its_tokens_do_not_spell_goes_to_the_first_of_them() -> None:
    changing = byte_tokenizer()
    changing.backend_tokenizer.normalizer = normalizers.Replace("タ", "東")
    ids = np.array(changing("aタb")["input_ids"])
    offsets = np.array([(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)])
    assert bytes_by_offsets("aタb", ids, offsets, changing).tolist() == [0, 1, 4, 4, 4, 5]
    assert bytes_by_offsets("a東b", ids, offsets, changing).tolist() == [0, 1, 2, 3, 4, 5]


def test_bytes_are_withheld_where_tokens_do_not_decode_to_the_text(tmp_path: Path) -> None:
    changed = Slow(byte_tokenizer(), changed=True)
    assert bytes_by_decoding("ABC abc", np.array(changed("ABC abc")["input_ids"]), changed) is None
    assert bytes_by_decoding("abc abc", np.array(changed("abc abc")["input_ids"]), changed).tolist() == list(range(8))
    windows = make_windows(read_text(TEXTS), changed, tokens=200, context=64)
    assert windows.byte_count.sum() == 0 and windows.text is None
    documents = [f"Document {i} with Capitals, and more words than that" for i in range(50)]
    found = infoplane.measure(
        tiny_model(), documents, tokenizer=changed, tokens=1500, context=64, orders=(1,), m=16, loss=True
    )
    assert found.get("loss").value > 0 and not found.select(quantity="bits_per_byte")
    assert any("bits per byte are left out: the tokenizer" in said for said in found.provenance["warnings"])


def test_bits_per_byte_of_a_byte_tokenizer_are_its_bits_per_token() -> None:
    texts = ["日本語中文字 العربية é😀 " * 20 + str(i) for i in range(50)]
    tokenizer = t.ByT5Tokenizer()
    config = t.LlamaConfig(
        vocab_size=384, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        intermediate_size=48, max_position_embeddings=128,
    )  # fmt: skip
    found = infoplane.measure(
        t.LlamaForCausalLM(config).eval(), texts, tokenizer=tokenizer, tokens=5000, context=100, orders=(1,), m=16,
        loss=True,
    )  # fmt: skip
    bits = found.get("loss").value / np.log(2)
    assert found.get("bits_per_byte").value == pytest.approx(bits, rel=0.03)


# ---------------------------------------------------------------------- tables and packed files


def test_a_csv_is_a_table(tmp_path: Path) -> None:
    """It was read as one plain text, header and commas included."""
    place = tmp_path / "rows.csv"
    place.write_text('id,text\n1,"one, with a comma"\n2,"two\nlines"\n3,three\n', "utf-8")
    read = read_text(place)
    assert [d.text for d in read.documents] == ["one, with a comma", "two\nlines", "three"]
    assert [d.name for d in read.documents] == ["rows.csv:1", "rows.csv:2", "rows.csv:3"]
    assert (read.provenance["kind"], read.provenance["column"]) == ("csv", "text")
    assert [d.text for d in read_text(place, column="id").documents] == ["1", "2", "3"]
    (tmp_path / "rows.tsv").write_text("content\tn\n" + "long " * 60_000 + "\t1\n", "utf-8")
    assert len(read_text(tmp_path / "rows.tsv").documents[0].text) == 300_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", r"its header: none of the columns text, .*; it has: a, b; name one with column"),
        ("text,n\none,1\ntwo\n", r"row 2: 1 cells, but the header has 2; mend or remove it, or rename the file .txt"),
        ('text\n"never closed\n', r"row 1: no table as text: .*rename the file .txt"),
    ],
)
def test_what_is_no_table_is_said(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(content, "utf-8")
    with pytest.raises(TextError, match=said):
        read_text(tmp_path / "rows.csv")


def test_files_of_a_folder_that_are_left_out_are_said(tmp_path: Path) -> None:
    for i in range(50):
        (tmp_path / f"{i:02d}.txt").write_text(f"document {i} has a few words, and a few more of them", "utf-8")
    (tmp_path / "more.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00\x00")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00")
    found = infoplane.measure(
        tiny_model(), tmp_path, tokenizer=byte_tokenizer(), tokens=1500, context=64, orders=(1,), m=16
    )
    said = [warning for warning in found.provenance["warnings"] if "left out" in warning]
    assert said == [
        "2 files of the folder are no text and were left out: more.jsonl.zst (unpack them, or pack them as .gz, to "
        "have them read)"
    ]


def test_copies_of_documents_are_said() -> None:
    texts = [f"document {i} has a few words, and a few more of them" for i in range(45)]
    asked: dict[str, Any] = {"tokenizer": byte_tokenizer(), "tokens": 3000, "context": 64, "orders": (1,), "m": 16}
    model = tiny_model()
    alone, found = (infoplane.measure(model, documents, **asked) for documents in (texts, [*texts, *texts, texts[0]]))
    said = [warning for warning in found.provenance["warnings"] if warning not in alone.provenance["warnings"]]
    assert said == [
        "copies of documents, letter by letter, were left out (46): a model has the same states on them, so they would "
        "only make errors too small"
    ]
    assert list(found) == list(alone) and found.get("complexity", order=1).standard_error is not None


# ---------------------------------------------------------------------- scores


def result(place: Path, **results: dict[str, Any]) -> Path:
    record = {"results": results, "config": {"model_args": "pretrained=a/b"}, "n-shot": {}, "model_name": "a/b"}
    place.write_text(json.dumps(record), "utf-8")
    return place


def test_minus_one_is_not_run_and_no_score(tmp_path: Path) -> None:
    lengths = {"alias": "niah", "4096,none": 0.91, "8192,none": -1, "16384,none": -1.0}
    place = result(tmp_path / "results_a.json", niah=lengths, mc={"mcc,none": -1.0}, arc={"acc,none": -1})
    scores = read_scores(place)
    assert scores.table.select("task", "metric", "value").rows() == [("niah", "4096", 0.91), ("mc", "mcc", -1.0)]
    assert "-1, which is to say not run, left out: niah:8192, niah:16384, arc:acc" in " ".join(scores.warnings)
    scores.table.write_csv(tmp_path / "own.csv")
    again = read_scores(tmp_path / "own.csv")
    assert again.table["value"].to_list() == [0.91, -1.0]
    with pytest.raises(ScoreError, match=r"results_b.json holds no score \(-1, which is to say not run: niah:4096\)"):
        read_scores(result(tmp_path / "results_b.json", niah={"4096,none": -1}))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_one_score_that_is_no_number_is_left_out_with_the_name_of_its_file(wrong: float, tmp_path: Path) -> None:
    result(tmp_path / "results_a.json", wikitext={"word_perplexity,none": wrong, "bits_per_byte,none": 1.1})
    result(tmp_path / "results_b.json", arc={"acc,none": 0.5})
    scores = read_scores(tmp_path)
    assert sorted(scores.tasks) == ["arc:acc", "wikitext:bits_per_byte"]
    assert "results_a.json: not numbers, left out: wikitext:word_perplexity" in " ".join(scores.warnings)

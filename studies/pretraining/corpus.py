"""The text of the study as documents: fetched, cleaned, cut, and a tenth held out.

Writes `documents.jsonl`, one document a line with the fields name, source, split and text, and `heldout.jsonl`, the
documents never trained on. Held out is decided by a hash of the name of the work (article, play, sample), so it never
depends on which other documents there are, and no part of a work held out is trained on.

python studies/pretraining/corpus.py [--out runs/pretraining/corpus] [--sources c4,brown,wikipedia,shakespeare]
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import html
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from infoplane.storage import atomic_files as files
from sources import SOURCES, SourceError, obtain

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "runs" / "pretraining" / "corpus"
# Counts up whenever the code below gives other documents: it is part of the id of every run.
CUTTING = 1
# Long works are cut into documents of about this many characters (some 2,000 tokens), at paragraphs.
PIECE = 8_000
SHORTEST = 200  # characters: less is a heading, a redirect or a stub
WIKI_MEMBER = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
BROWN_GENRES = {
    "a": "reportage", "b": "editorial", "c": "reviews", "d": "religion", "e": "hobbies", "f": "lore",
    "g": "belles-lettres", "h": "government", "j": "learned", "k": "fiction", "l": "mystery",
    "m": "science-fiction", "n": "adventure", "p": "romance", "r": "humor",
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One document; `source` holds the genre too where there is one, as in `brown/learned`."""

    name: str
    source: str
    split: str
    text: str


def split_of(work: str) -> str:
    """Whether a work is trained on or held out: one in ten, by hash of its name."""
    return "heldout" if int(hashlib.sha256(work.encode()).hexdigest(), 16) % 10 == 0 else "train"


def recipe(names: Sequence[str]) -> dict[str, object]:
    """All that decides the documents, as JSON values: part of the id of every run."""
    return {"cutting": CUTTING, "sources": {name: SOURCES[name].sha256 for name in sorted(names)}}


def make_corpus(out: Path, names: Sequence[str], strict: bool = False) -> tuple[str, ...]:
    """Write the documents of the sources that can be had, and return the names of those.

    Args:
        out: folder of `documents.jsonl`, `heldout.jsonl` and `corpus.json`; packages are kept in `out/fetched`.
        names: the sources wanted.
        strict: stop where one cannot be had, instead of saying so and going on without.

    Raises:
        SourceError: an unknown source, no source at all could be had, or `strict` and one could not.
    """
    unknown = sorted(set(names) - SOURCES.keys())
    if unknown:
        raise SourceError(f"no source {unknown[0]!r}; there are {', '.join(SOURCES)}")
    packages, missing = {}, []
    for name in names:
        try:
            packages[name] = obtain(SOURCES[name], out / "fetched")
        except SourceError as error:
            missing.append(f"{name}: {error}")
    if missing:
        print("Text that is missing:\n  " + "\n  ".join(missing), file=sys.stderr)
        if strict or not packages:
            raise SourceError("the corpus is not whole; name the sources to use with --sources, such as --sources c4")
        print(f"Going on with {', '.join(packages)}: runs on this text have ids of their own.", file=sys.stderr)
    used = tuple(sorted(packages))
    wanted = recipe(used)
    told = out / "corpus.json"
    if told.is_file():
        stored = json.loads(told.read_text("utf-8"))
        if stored["recipe"] == wanted and stored["sha256"] == files.sha256_file(out / "documents.jsonl"):
            return used
    documents = [d for name in used for d in READERS[name](packages[name]) if len(d.text) >= SHORTEST]
    documents.sort(key=lambda d: d.name)
    told.unlink(missing_ok=True)  # it vouches for the others, so it goes first and comes last
    _write(out / "documents.jsonl", documents)
    _write(out / "heldout.jsonl", [d for d in documents if d.split == "heldout"])
    summary = {"recipe": wanted, "sha256": files.sha256_file(out / "documents.jsonl"), "counts": _counts(documents)}
    files.write_text(told, json.dumps(summary, indent=1, sort_keys=True) + "\n")
    return used


def read_documents(folder: Path) -> list[Document]:
    """The documents of a corpus, in the order of their names."""
    with (folder / "documents.jsonl").open(encoding="utf-8") as lines:
        return [Document(**json.loads(line)) for line in lines]


def _write(path: Path, documents: Sequence[Document]) -> None:
    files.write_text(path, "".join(json.dumps(asdict(d), ensure_ascii=False) + "\n" for d in documents))


def _counts(documents: Sequence[Document]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for d in documents:
        row = counts.setdefault(f"{d.source.split('/')[0]} {d.split}", {"documents": 0, "characters": 0})
        row["documents"] += 1
        row["characters"] += len(d.text)
    return counts


def _c4(path: Path) -> Iterator[Document]:
    for number, line in enumerate(path.read_text("utf-8").splitlines()):
        name = f"c4/{number:03d}"
        yield Document(name, "c4", split_of(name), json.loads(line)["text"].strip())


def _brown(path: Path) -> Iterator[Document]:
    with tarfile.open(path) as package:
        for member in package:
            found = re.fullmatch(r"package/c(([a-r])\d\d)", member.name)
            content = package.extractfile(member) if found else None
            if found and content is not None:
                name = f"brown/{found[1]}"
                text = detokenised(content.read().decode("latin-1"))
                yield Document(name, f"brown/{BROWN_GENRES[found[2]]}", split_of(name), text)


def detokenised(tagged: str) -> str:
    """Plain text of a file of the Brown corpus, which holds `word/tag` pairs.

    Paragraphs stand between empty lines. Marks of markup (`**`) are dropped, doubled final marks (`! !`) are one, and
    quotation marks stick to what they enclose.

    >>> detokenised("``/`` No/at !/. !/. ''/'' (/( he/pps said/vbd )/) ./.")
    '"No!" (he said).'
    """
    paragraphs = []
    for block in re.split(r"\n\s*\n", tagged):
        words = [pair.rsplit("/", 1)[0] for pair in block.split()]
        words = [w for w in words if not w.startswith("**")]
        words = [w for i, w in enumerate(words) if not (w in "!?" and i and words[i - 1] == w)]
        text = " ".join(words)
        text = re.sub(r"``\s*", '"', re.sub(r"\s*''", '"', text))
        text = re.sub(r"\s+([,.;:!?)\]])", r"\1", text)
        text = re.sub(r"([(\[])\s+", r"\1", text).strip()
        # A single quotation mark stands alone on both sides: the first opens, the next closes.
        text = re.sub(r"(^|\s)' (.*?) '(?=[\s,.;:!?\")]|$)", r"\1'\2'", text)
        if text:
            paragraphs.append(text)
    return "\n".join(paragraphs)


def _wikipedia(path: Path) -> Iterator[Document]:
    with zipfile.ZipFile(path) as wheel:
        root = ElementTree.fromstring(bz2.decompress(wheel.read(WIKI_MEMBER)))
    space = root.tag.partition("}")[0] + "}"
    for page in root.iter(f"{space}page"):
        title, markup = page.findtext(f"{space}title") or "", page.findtext(f".//{space}text") or ""
        if page.findtext(f"{space}ns") == "0" and not markup.upper().startswith("#REDIRECT"):
            yield from _pieces(f"wikipedia/{title}", "wikipedia", plain(markup))


def plain(markup: str) -> str:
    """Prose of a page in MediaWiki markup: paragraphs only, without templates, tables, notes, lists and headings."""
    text = re.sub(r"<!--.*?-->", "", markup, flags=re.S)
    text = re.sub(r"<ref[^>/]*/>|<ref[^>]*>.*?</ref>", "", text, flags=re.S | re.I)
    text = re.sub(r"<(math|gallery|timeline|code|source|pre|table)\b.*?</\1>", "", text, flags=re.S | re.I)
    for innermost in (r"\{\{[^{}]*\}\}", r"\{\|(?:(?!\{\||\|\}).)*\|\}"):  # from the inside out, as they are nested
        before = None
        while before != text:
            before, text = text, re.sub(innermost, "", text, flags=re.S)
    before = None
    while before != text:  # links inside captions of files come off first, then the files
        before = text
        text = re.sub(r"\[\[(?:File|Image|Category):[^\[\]]*\]\]", "", text, flags=re.I)
        text = re.sub(r"\[\[(?!File:|Image:|Category:)(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", text, flags=re.I)
    text = re.sub(r"\[https?://\S+\s*([^\]]*)\]", r"\1", text)
    text = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"'{2,}", "", text))).replace("\xa0", " ")
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if len(line) > 60 and line[0] not in "=*#:;|!{}[")


def _shakespeare(path: Path) -> Iterator[Document]:
    with tarfile.open(path) as package:
        for member in package:
            # Texts that end in _f are the First Folio's: the same plays in the spelling of 1623.
            found = re.fullmatch(r".*/shksprdata/texts/(\w+)_gut\.txt", member.name)
            content = package.extractfile(member) if found else None
            if found and content is not None:
                text = content.read().decode("latin-1").replace("\r\n", "\n")
                text = re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text))
                yield from _pieces(f"shakespeare/{found[1]}", "shakespeare", text.strip(), between="\n\n")


def _pieces(work: str, source: str, text: str, between: str = "\n") -> Iterator[Document]:
    """Documents of nearly equal length from a work, cut between paragraphs."""
    target = len(text) / max(1, round(len(text) / PIECE))
    piece: list[str] = []
    number = length = 0
    for paragraph in text.split(between):
        piece.append(paragraph)
        length += len(paragraph) + len(between)
        if length >= target:
            yield Document(f"{work}#{number:02d}", source, split_of(work), between.join(piece))
            piece, length, number = [], 0, number + 1
    if piece:
        yield Document(f"{work}#{number:02d}", source, split_of(work), between.join(piece))


READERS = {"c4": _c4, "brown": _brown, "wikipedia": _wikipedia, "shakespeare": _shakespeare}


def main() -> None:
    """Make the corpus and print how much text there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--sources", default=",".join(SOURCES), help="names separated by commas")
    given = parser.parse_args()
    make_corpus(given.out, given.sources.split(","))
    for name, row in json.loads((given.out / "corpus.json").read_text("utf-8"))["counts"].items():
        print(f"{name:24} {row['documents']:5,} documents {row['characters']:11,} characters")
    print(f"Wrote {given.out / 'documents.jsonl'}")


if __name__ == "__main__":
    main()

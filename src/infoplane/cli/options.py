"""Options that more than one command has: their types and what help says of them."""

from __future__ import annotations

from typing import Annotated

import typer

TEXT, MODEL, POINTS, ASK, OUT, WHERE = "Text", "Model", "Reference points", "Questions", "Results", "Workers"

Text = Annotated[
    str,
    typer.Option(
        help="c4-sample (built in), a file, a folder, - or a datasets id. A text file is one document; so is a row of "
        "JSONL or Parquet.",
        rich_help_panel=TEXT,
    ),
]
Tokens = Annotated[int, typer.Option(help="Budget of tokens.", rich_help_panel=TEXT)]
MostTokens = Annotated[
    int | None,
    typer.Option(
        help="Budget of tokens: 32768; with --until-se the most that may be read: 262144.", rich_help_panel=TEXT
    ),
]
UntilSe = Annotated[
    float | None,
    typer.Option(
        "--until-se",
        help="Read until the standard errors of complexity and expressivity of the whole model (corrected) are at most "
        "this, in few stages of growing budgets.",
        rich_help_panel=TEXT,
    ),
]
UntilOrder = Annotated[
    int | None, typer.Option("--until-order", help="The order judged; the lowest asked.", rich_help_panel=TEXT)
]
Context = Annotated[int, typer.Option(help="Longest window.", rich_help_panel=TEXT)]
Seed = Annotated[int, typer.Option(help="Which documents are read.", rich_help_panel=TEXT)]
Column = Annotated[str | None, typer.Option(help="Column of the text.", rich_help_panel=TEXT)]
Split = Annotated[str, typer.Option(help="Split of a dataset.", rich_help_panel=TEXT)]
Config = Annotated[str | None, typer.Option(help="Configuration of a dataset.", rich_help_panel=TEXT)]
Limit = Annotated[int | None, typer.Option(help="Documents to take at most.", rich_help_panel=TEXT)]
AddBos = Annotated[
    bool | None, typer.Option(help="A BOS before each window; by default as its tokenizer does.", rich_help_panel=TEXT)
]
Tokenizer = Annotated[str | None, typer.Option(help="Another tokenizer.", rich_help_panel=MODEL)]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16 or float64.", rich_help_panel=MODEL)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=MODEL)]
DeviceMap = Annotated[str | None, typer.Option(help="auto: spread over several GPUs.", rich_help_panel=MODEL)]
Layers = Annotated[
    str | None, typer.Option(help="Layers to read, such as embed,block.3,final_norm; all.", rich_help_panel=MODEL)
]
TrustRemoteCode = Annotated[bool, typer.Option(help="Run code that comes with the model.", rich_help_panel=MODEL)]
AllowPickle = Annotated[bool, typer.Option(help="Load pickled weights, which can run code.", rich_help_panel=MODEL)]
PointCount = Annotated[int, typer.Option("--points", "-m", help="Reference points.", rich_help_panel=POINTS)]
PointsSeed = Annotated[int, typer.Option(help="Seed of the points.", rich_help_panel=POINTS)]
Orders = Annotated[str, typer.Option(help="N-gram orders, of 1 to 4.", rich_help_panel=ASK)]
Bounded = Annotated[
    bool,
    typer.Option(
        "--bound", help="The frontier of the text too, and the model's place against it.", rich_help_panel=ASK
    ),
]
Estimator = Annotated[str, typer.Option(help="Of corrected and plugin.", rich_help_panel=ASK)]
Unit = Annotated[str, typer.Option(help="efficiency, bits or nats.", rich_help_panel=ASK)]
Engine = Annotated[
    str,
    typer.Option(
        help="local: this process. ray: workers of the Ray cluster that RAY_ADDRESS names, or else of this machine.",
        rich_help_panel=WHERE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="With ray, how many at a time: one a GPU by default, or one a node.", rich_help_panel=WHERE),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        help="With ray: 1; with --device-map a model is spread over them. Only asked for where there are some.",
        rich_help_panel=WHERE,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="What may be held beyond the model's weights: 4GB, 4GiB, 512MB; by default measuring takes up to half of "
        "what is free.",
        rich_help_panel=OUT,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(help="Tokens a batch, at most: 4096; halved where memory runs out.", rich_help_panel=MODEL),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record.", rich_help_panel=OUT)]

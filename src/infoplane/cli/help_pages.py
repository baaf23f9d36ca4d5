"""What the help of each command shows first: everyday options, and examples."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, TypeVar, get_args, get_origin

from typer.models import OptionInfo

R = TypeVar("R")
EVERYDAY: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "measure": ("text", "tokens", "orders", "loss", "bound", "baseline", "out", "capture"),
        "trace": ("revisions", "text", "tokens", "loss", "out"),
        "bound": ("tokenizer", "tokens", "orders", "out"),
        "compare": ("out",),
        "survey": ("only", "dry_run", "out"),
        "forecast": ("score", "features", "baselines", "out"),
    }
)
"""Options by the names of their parameters; a name that a command lacks is ignored."""
EXAMPLES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "measure": (
            "infoplane measure smollm2-135m --loss",
            "infoplane measure meta-llama/Llama-3.2-1B --text corpus/ --tokens 100000 --out llama",
            "infoplane measure ./my-adapter --baseline random-init",
        ),
        "trace": (
            "infoplane trace EleutherAI/pythia-160m --revisions '0..512,step*000'",
            "infoplane trace ./my-run --out traced",
        ),
        "bound": ("infoplane bound corpus/ --tokenizer smollm2-135m --out bound",),
        "budget": ("infoplane budget smollm2 --se 0.002,0.001",),
        "compare": ("infoplane compare base variant --out verdict", "infoplane compare results"),
        "references": ("infoplane references", "infoplane references mine=results/run0"),
        "cases": ("infoplane cases results --scores open-llm-leaderboard --out cases.csv",),
        "report": ("infoplane report smollm2 --force", "infoplane report small=run0/trace small=run1/trace --out page"),
        "scores": ("infoplane scores", "infoplane scores lm-eval-output/ --latest --out mine.csv"),
        "survey": ("infoplane survey open-families --dry-run", "infoplane survey survey.toml --out results"),
        "forecast": (
            "infoplane forecast small-models --score swap --features optimality --baselines log:parameters --out small",
        ),
    }
)


def with_help(function: Callable[..., R]) -> Callable[..., R]:
    """The same command, its everyday options first, and examples below its description."""
    signature = inspect.signature(function, eval_str=True)
    names = [name for name in EVERYDAY.get(function.__name__, ()) if name in signature.parameters]
    first = [_everyday(signature.parameters[name]) for name in names]
    others = [parameter for name, parameter in signature.parameters.items() if name not in names]
    arguments = [parameter for parameter in others if not _is_option(parameter)]
    options = [parameter for parameter in others if _is_option(parameter)]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*arguments, *first, *options)
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    paragraphs = [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n")]
    examples = EXAMPLES.get(function.__name__, ())
    shown = "\n".join(["Example:" if len(examples) == 1 else "Examples:", *(f"  {line}" for line in examples)])
    function.__doc__ = "\n\n".join([*paragraphs, *([shown] if examples else [])])
    return function


def _is_option(parameter: inspect.Parameter) -> bool:
    return isinstance(_info(parameter), OptionInfo)


def _info(parameter: inspect.Parameter) -> object:
    annotation = parameter.annotation
    return get_args(annotation)[1] if get_origin(annotation) is Annotated else None


def _everyday(parameter: inspect.Parameter) -> inspect.Parameter:
    info = _info(parameter)
    assert isinstance(info, OptionInfo), parameter.name
    changed = copy.copy(info)
    changed.rich_help_panel = "Everyday options"
    kind = get_args(parameter.annotation)[0]
    return parameter.replace(annotation=Annotated[kind, changed])

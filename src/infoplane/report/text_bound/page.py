"""The page of a bound: what codes of k-grams tell in sentences, the frontiers, their numbers, where they come from."""

from __future__ import annotations

from html import escape
from pathlib import Path

from infoplane.bottleneck import JSON_NAME, TABLE_NAME, Bound
from infoplane.report.parts import (
    Caveat,
    Figure,
    Glance,
    Reading,
    caveats,
    document,
    glossary,
    opening,
    origin,
    said,
    section,
    tables,
    words,
    write_page,
)
from infoplane.report.text_bound.figures import bound_charts, bound_figures, figure_name
from infoplane.report.text_bound.view import PLACES, BoundView, Line

GLOSSARY = (
    ("code", "one of at most m symbols for each k-gram, drawn softly; it sees these k tokens and nothing before."),
    ("kept", "I(Xₖ; T), complexity: what the code T keeps about the last k tokens."),
    ("told", "I(T; Y), relevance: what it tells about the next token."),
    ("frontier", "Fₖ: the concave hull of all codes found, judged on text that none of them was fitted to."),
    ("saturation", "I(Xₖ; Y): what the k tokens themselves tell, the most that any code of them could."),
    ("seen", "positions whose k-gram the other half of the documents has too; the column gives their share."),
    ("nats", "units of information; one nat is 1.44 bits."),
)


def render_bound(bound: Bound) -> str:
    """The report of a bound as the text of one self-contained HTML page."""
    view = BoundView(bound)
    return _page(view, bound_figures(view))


def write_bound_report(bound: Bound, folder: str | Path) -> list[Path]:
    """Write the report of a bound: `report.html`, and its figures as SVG and PNG in `figures/`.

    Args:
        bound: what is shown.
        folder: folder or address to write to.

    Returns:
        The paths written, the page first.
    """
    view = BoundView(bound)
    figures = bound_figures(view)
    return write_page(_page(view, figures), figures, folder)


def glance_at_bound(bound: Bound) -> Glance:
    """Its title, answer and first figure, as the page has them."""
    view = BoundView(bound)
    return Glance(_title(view), answer(view), next(iter(bound_charts(view).values()), None))


def _title(view: BoundView) -> str:
    return f"The bound of {view.text_name}"


def _page(view: BoundView, figures: tuple[Figure, ...]) -> str:
    name = view.text_name
    readings = {figure_name(target): _reading(target) for target in view.targets}
    drawn = [section(figure, readings[figure.name]) for figure in figures]
    body = "\n".join(
        [
            opening("bound", _title(view), answer(view), "".join(drawn[:1])),
            f'<p class="footing">{escape(_footing(view))}</p>',
            caveats(_caveats(view)),
            f'<section id="detail"><h2>In detail</h2>\n{said(_headline(view))}</section>',
            *drawn[1:],
            _table(view),
            _convergence(view),
            glossary(GLOSSARY),
            origin(dict(view.bound.provenance)),
            "<footer>A pure function of the stored bound: drawn again from the same record, this page is the same to "
            "the byte. It loads nothing from outside.</footer>",
        ]
    )
    return document(name, body, figures)


def _reading(target: int) -> Reading:
    what = "the next token" if target == 1 else f"the next {target} tokens"
    return Reading(
        "The frontier" if target == 1 else f"The frontier of {what}",
        f"Line plot of what codes of k tokens tell about {what} against what they keep of the k tokens, one line an "
        "order, with the diagonal; beside it bars from the lower to the upper estimate of saturation.",
        "Each faint point is a code, each line the best that they achieve, drawn to the last code that gains anything; "
        "beyond it the line goes on flat. Bands are 95 % intervals, for each complexity by itself. On the diagonal "
        "all that is kept would be told. The bars are what is known of saturation, what the k tokens themselves "
        "tell: from what they save on held-out text to the plug-in estimate; an arrow says that a bar goes on, to the "
        "number beneath it. The panel of seen positions is where a model is compared. Click an order in the legend "
        "to see it alone.",
        "The line is achieved, so it is a lower estimate: better codes may exist, and a model that has read more text "
        "than this can lie above it. Dashed, in the panel of seen positions: the upper side. The true curve lies "
        "between the line and that, if what codes were fitted to is right about what follows, or if each doubling of "
        "the text adds at most 0.71 of what the doubling before added. The best codes are chosen on the text that "
        "judges them, which lifts the line by a part of its errors. Most long k-grams are unseen by the half that a "
        "code was fitted to and are coded by a shorter one, so that lines of different order can lie close without "
        "longer context being useless. Seen "
        "positions hold commoner k-grams, other ones for each order: do not compare lines across the two panels, nor "
        "orders within the second. The upper end of saturation is far too high where most k-grams occur once, and "
        "the lower end too low: where the frontier lies above it, the frontier says more.",
    )


def _caveats(view: BoundView) -> list[Caveat]:
    found = []
    if not view.has_errors:
        found.append(Caveat("There are no intervals: fewer than 40 documents have positions.", doubtful=True))
    for f in view.unseen():
        gram = "a token" if f.order == 1 else f"{f.order} tokens in a row"
        text = (
            f"Order {f.order}: only {_percent(f.seen)} of the positions have {gram} that the other half of the "
            "documents has. That is too few to compare a model there: give more text."
        )
        found.append(Caveat(text))
    return found


def answer(view: BoundView) -> list[str]:
    """How much of the next token a short code of the last tokens can tell, and whether the text was long enough."""
    lines = view.of(1, "all")
    told = [sentence for line in lines[:1] if (sentence := _of_one(view, line))]
    if told and len(lines) > 1 and (x := _place(lines[-1])) is not None:
        k = lines[-1].frontier.order
        told[0] = f"{told[0][:-1]}; one that keeps {x:g} about the last {k} tokens tells {lines[-1].at(x).said()}."
    if lines:
        low, high = lines[0].frontier.saturation
        found = lines[0].at(lines[0].end[0]).value
        reached = ", which a code reaches," if found >= low else ""
        told.append(
            f"What the last token itself tells, the most that any code of it could, lies between "
            f"{words.number(max(low, found), 2)} nats{reached} and {words.number(high, 2)}."
        )
    seen = view.of(1, "seen")
    if seen and (x := _place(seen[0])) is not None and (moved := seen[0].moved(x)) is not None:
        by, error = moved
        if error is not None:
            enough = abs(by) < 0.0005 or by < error
            told.append(
                "More text would not raise the frontier of the last token by more than its error."
                if enough
                else "The frontier of the last token has not converged: more text would raise it."
            )
    return told


def _headline(view: BoundView) -> list[str]:
    """For each order what is told at one complexity that the line reaches, then its end, then the seen positions."""
    sentences = [sentence for line in view.of(1, "all") for sentence in (_of_one(view, line), _end(line))]
    sentences += [_of_seen(line) for line in view.of(1, "seen")]
    return [sentence for sentence in sentences if sentence]


def _of_one(view: BoundView, line: Line) -> str | None:
    x, k = _place(line), line.frontier.order
    if x is None:
        return None
    what = "the last token" if k == 1 else f"the last {k} tokens"
    return (
        f"A code of at most {view.m} symbols that keeps {x:g} {_nats(x)} about {what} tells {line.at(x).said()} nats "
        "about the next one."
    )


def _end(line: Line) -> str:
    x, (low, high) = line.end[0], line.frontier.saturation
    k = line.frontier.order
    what = "the last token itself tells" if k == 1 else f"the last {k} tokens themselves tell"
    return (
        f"The most that a code of {'the last token' if k == 1 else f'the last {k} tokens'} is found to tell is "
        f"{line.at(x).said()} nats, for {words.number(x, 2)} kept. What {what} is known as a band only: it is at least "
        f"{words.number(low, 2)} nats, which predicting from it saves on held-out text, and at most "
        f"{words.number(high, 2)}, the plug-in estimate, which is too high."
    )


def _of_seen(line: Line) -> str | None:
    f, x = line.frontier, _place(line)
    if x is None:
        return None
    gram = "token" if f.order == 1 else f"last {f.order} tokens"
    return (
        f"On the {_percent(f.seen)} of the positions whose {gram} the other half of the documents has too, a code that "
        f"keeps {x:g} {_nats(x)} tells {line.at(x).said()}. {_converged(line, x)}"
    )


def _converged(line: Line, x: float) -> str:
    """Whether more text to fit on would raise the line, and how far the curve may lie above it."""
    moved, upper = line.moved(x), line.upper(x)
    by, error = moved or (0.0, None)
    if error is None:
        return "There is too little text to say whether more would raise that."
    if abs(by) < 0.0005:
        return "Fitted on half of the text it would be as high: it has converged."
    more = f"Fitted on half of the text it would be {words.number(abs(by), 3)} {'lower' if by >= 0 else 'higher'}"
    if by < error:
        return f"{more}, less than its standard error of {words.number(error, 3)}: it has converged."
    most = "" if upper is None else f" The true curve lies between that line and {words.number(upper, 2)}."
    return f"{more}, more than its standard error of {words.number(error, 3)}: it has not converged.{most}"


def _place(line: Line) -> float | None:
    """1 nat where the line reaches that far, or else the largest complexity of the table that it reaches."""
    return max((x for x in PLACES if x <= min(1.0, line.end[0])), default=None)


def _nats(x: float) -> str:
    return "nat" if x == 1 else "nats"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{words.NO_BREAK}%"


def _footing(view: BoundView) -> str:
    p = view.bound.provenance
    read = [words.count(p[key], key[:-1]) for key in ("tokens", "documents") if isinstance(p.get(key), int)]
    most = max((f.fitted_on for f in view.bound.frontiers), default=0)
    on = f"{words.count(most, 'position')} of " if most else ""
    parts = [f"Codes are fitted on {on}one half of the documents and judged on the other, then the halves are swapped"]
    if teacher := next((f.teacher for f in view.bound.frontiers if f.teacher), None):
        parts.append(f"They are fitted to what {teacher} expects after each token")
    if read:
        by = f", as the tokenizer {view.tokenizer_name} cuts them" if view.tokenizer_name else ""
        parts.append(f"The text is {' of '.join(read)}{by}")
    if view.has_errors:
        parts.append("The ± is half of a 95 % interval, by a jackknife over blocks of documents")
    return ". ".join(parts) + "."


def _convergence(view: BoundView) -> str:
    note = (
        "The same, at the same positions, of codes that were fitted on a quarter, a half and all of the text: the "
        "column gives how many positions of it, the mean of both halves. Where the last two rows of a frontier are "
        "alike, more text would not raise it. The true curve lies below their upper side, if what codes were fitted to "
        "is right about what follows, or if each doubling of the text adds at most 0.71 of what the one before added."
    )
    header, rows = view.convergence()
    return f"""<section id="convergence">
<h2>Whether there was enough text</h2>
<p class="note">{escape(note)}</p>
{tables.table(header, rows, 3)}
</section>"""


def _table(view: BoundView) -> str:
    note = (
        "Nats told about the next token (or as many as the row says), with half of the 95 % interval, for so many nats "
        f"kept about the last k tokens; {words.MISSING} where the frontier ends before. n: positions judged; seen: "
        "share of all positions whose k-gram the other half of the documents has; end: the most that is told, and what "
        "it keeps; saturation: lower and upper estimate, over all positions. Each code, with its replicates, is in "
        f"{JSON_NAME} and {TABLE_NAME}."
    )
    header, rows = view.table()
    return f"""<section id="tables">
<h2>The numbers</h2>
<p class="note">{escape(note)}</p>
{tables.table(header, rows, 2)}
</section>"""

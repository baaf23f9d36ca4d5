"""What a report says in sentences: the headline, the warnings, and how to read each figure.

Sentences are plain text; the page escapes them. A sentence whose row was not measured is left out.
"""

from __future__ import annotations

from infoplane.measurement import Estimate
from infoplane.report.measurement.answer import OF_NO_POINTS, in_the_answer
from infoplane.report.measurement.view import MODEL, View
from infoplane.report.parts import Caveat, words

NO_INTERVAL = "no interval: too few documents for one (fewer than 40), or none was asked for"


def headline(view: View) -> list[str]:
    """The whole-model numbers as sentences, in the order in which they explain one another."""
    if view.is_difference:
        return _differences(view)
    k = view.first_order
    complexity, expressivity = view.row("complexity", order=k), view.row("expressivity", order=k)
    ceiling, optimality = view.row("ceiling"), view.row("optimality", order=k)
    present, following = ("token", "token") if k == 1 else (words.gram(k), words.gram(k))
    sentences = []
    if complexity:
        sentences.append(f"The model keeps {_of(complexity, view)} about the present {present} (complexity).")
    if expressivity:
        sentences.append(f"It carries {_of(expressivity, view)} about the next {following} (expressivity).")
    if optimality:
        sentences.append(
            f"Expressivity divided by complexity, its optimality, is {words.spoken(optimality)}: what it carries about "
            f"the next {following} for each unit that it keeps about the present {present}."
        )
    if ceiling:
        sentences.append(
            f"Of everything it has read, it keeps {_of(ceiling, view)} (ceiling): but for noise, no other figure here "
            "can exceed it."
        )
    sentences += _parts(view)
    sentences += _place(view)
    for side in ("input", "output"):
        sentences += _share_sentence(view, side)
    sentences += _loss(view)
    return sentences


def _parts(view: View) -> list[str]:
    """What the ceiling is spent on, and what documents by themselves make of expressivity."""
    token, document, rest = (
        view.row("ceiling_part", side=side, position_set="P_1") for side in ("token", "document", "rest")
    )
    topic = view.row("expressivity_part", side="document", position_set="P_1")
    if token is None or document is None or rest is None or topic is None:
        return []
    return [
        f"The ceiling splits into {words.spoken(token)} about the present token, {words.spoken(document)} that its "
        f"document adds, and {words.spoken(rest)} about neither. By itself, the document tells {words.spoken(topic)} "
        "about the next token."
    ]


def _place(view: View) -> list[str]:
    """Where the model stands against the frontier of the text, for each order that has one."""
    sentences = []
    for f in view.frontiers:
        k = f["order"]
        if f["positions"] != "seen" or f["target"] != 1:
            continue
        rows = {
            name: view.row(name, order=k, position_set=f"P_{k} seen")
            for name in ("projection_complexity", "projection", "frontier", "gap", "context_gain")
        }
        kept, own, best, gap, gain = rows.values()
        if kept is None or own is None or best is None or gap is None or gain is None:
            continue
        what, them = ("last token", "it") if k == 1 else (f"last {k} tokens", "them")
        sentences.append(
            f"At the {f['seen']:.0%} of the positions whose {what} the other half of the documents has too, it keeps "
            f"{words.spoken(kept)} about {them}; what it keeps of {them} alone tells {words.spoken(own)} of the next "
            f"token, where the best code of {f['m']} symbols that was found tells {words.spoken(best)} (gap "
            f"{words.spoken(gap)}{_at_most(view, k, best)}). The rest of the context adds {words.spoken(gain)}"
            f"{_placebo(view, k)}."
        )
    return sentences


def _placebo(view: View, order: int) -> str:
    of = {name: view.row(name, order=order, position_set=f"P_{order} seen") for name in ("placebo_gain", "noise_gain")}
    read = [words.spoken(row) for row in of.values() if row is not None]
    if not read:
        return ""
    return f"; for placebos, to which context adds nothing, the same estimate reads {' and '.join(read)}"


def _at_most(view: View, order: int, frontier: Estimate) -> str:
    """The other end of the gap, where the frontier would rise with more text."""
    moved, most = (
        view.row(name, order=order, position_set=f"P_{order} seen") for name in ("frontier_moved", "gap_at_most")
    )
    error = frontier.standard_error
    if moved is None or most is None or error is None or moved.value < error:
        return ""
    return f" or more, up to {words.spoken(most)}, since a better code would be found on more text"


def _of(row: Estimate, view: View) -> str:
    return f"{words.spoken(row)} of log m" if view.unit == "efficiency" else words.spoken(row)


def _share_sentence(view: View, side: str) -> list[str]:
    pieces: list[str] = []
    for order in view.share_parts:
        row = view.share(MODEL, side, order)
        if row is None:
            continue
        if order is not None:
            what = f"to the {words.gram(order)}" if not pieces else f"more to the {words.gram(order)}"
        else:
            what = "to wider context" if side == "input" else "to none of these"
        pieces.append(f"{words.spoken(row)} {what}")
    if not pieces:
        return []
    what = "what was just read" if side == "input" else "what comes next"
    return [
        f"At the positions that all orders share, the ceiling divides by {what} as follows: {words.listed(pieces)}."
    ]


def _loss(view: View) -> list[str]:
    loss, bits = view.row("loss"), view.row("bits_per_byte")
    both = [words.spoken(row) for row in (loss, bits) if row is not None]
    return [f"Its next-token loss on the same text is {', or '.join(both)}."] if both else []


def _differences(view: View) -> list[str]:
    k = view.first_order
    sentences = []
    for quantity, order in (
        ("complexity", k),
        ("expressivity", k),
        ("optimality", k),
        ("ceiling", None),
        ("loss", None),
    ):
        row = view.row(quantity, order=order)
        if row is None:
            continue
        if row.interval is None:
            verdict = "it has no interval"
        else:
            inside = row.interval[0] <= 0 <= row.interval[1]
            verdict = "the interval contains 0" if inside else "the interval does not contain 0"
            if row.unit not in OF_NO_POINTS and row.points_error is None:
                verdict = "the error of the reference points is not known, so no significance is claimed"
        sentences.append(f"Difference of {words.row_name(row)}: {words.spoken(row)}; {verdict}.")
    return sentences


def footing(view: View) -> str:
    """What the headline stands on: blocks, positions, estimator, and what the ± is."""
    row = view.row("complexity", order=view.first_order) or view.row("ceiling")
    parts = [f"Means over {words.count(len(view.blocks), 'block')}"]
    if row is not None and row.n is not None:
        parts[0] += f", {words.count(row.n, 'position')}"
    if view.estimator:
        parts[0] += f", estimator {view.spoken(view.estimator)}"
    if view.weight:
        parts[0] += f", labels weighted by {view.weight}"
    if row is not None and row.interval is not None:
        parts.append("The ± is half of a 95 % interval, which counts the text and the reference points")
    else:
        parts.append(f"There is {NO_INTERVAL}")
    if view.unit == "efficiency":
        m = "" if view.m is None else f" (m = {view.m})"
        parts.append(f"Log m is the most that a code of m symbols can hold{m}")
    if row is not None and row.points_error is None:
        parts.append(
            "There is a single set of reference points, so their error is not known and not in the intervals: do not "
            "compare these numbers with those of another model"
        )
    elif row is not None and row.points_error is not None and row.standard_error is not None:
        scale, digits, unit = (100, 2, " points") if view.unit == "efficiency" else (1, 4, "")
        text, points = (words.number(scale * error, digits) for error in (row.standard_error, row.points_error))
        parts.append(
            f"Other text would move complexity by about {text}{unit}, other reference points by {points}{unit}"
        )
    return ". ".join(parts) + "."


# ---------------------------------------------------------------------- warnings


def caveats_of(view: View) -> list[Caveat]:
    """Those of the rows that the answer is made of put it in doubt, and so does a lack of intervals."""
    told = {row.warning for row in in_the_answer(view) if row.warning}
    doubtful = _has_no_intervals(view)
    found = [Caveat(text, doubtful and "no interval" in text) for text in _recorded_warnings(view)]
    return found + [Caveat(text, bool(told & rows)) for text, rows in _row_warnings(view)]


def _has_no_intervals(view: View) -> bool:
    """Whether the figures of the whole model have none."""
    row = view.row("complexity", order=view.first_order) or view.row("ceiling")
    return row is None or row.interval is None


def _recorded_warnings(view: View) -> list[str]:
    """Those of the whole record."""
    recorded = view.measurement.provenance.get("warnings") or ()
    return [words.sentence(str(w)) for w in ((recorded,) if isinstance(recorded, str) else recorded)]


def _row_warnings(view: View) -> list[tuple[str, set[str]]]:
    """Those of rows, one sentence for each estimator and text, with the warnings that it is made of."""
    lines = []
    groups: dict[tuple[str, int | None], list[Estimate]] = {}
    for row in view.measurement:
        if row.warning:
            groups.setdefault((row.estimator or "", row.order), []).append(row)
    # The same words about several orders are said once.
    rows_by_warning: dict[tuple[str, str], list[tuple[int | None, list[Estimate]]]] = {}
    for (estimator, order), rows in groups.items():
        whole = [row for row in rows if row.layer == MODEL] or rows
        texts = list(dict.fromkeys(row.warning for row in whole if row.warning))
        text = "; ".join(texts[:2]) + (f" (and {len(texts) - 2} more)" if len(texts) > 2 else "")
        rows_by_warning.setdefault((estimator, text), []).append((order, rows))
    for (estimator, text), members in rows_by_warning.items():
        orders = [f"{order}" for order, _ in members if order is not None]
        names = list(dict.fromkeys(row.quantity.replace("_", " ") for _, rows in members for row in rows))
        where = f" of order {words.listed(orders)}" if orders else ""
        by = f" ({view.spoken(estimator)})" if estimator else ""
        layers = len({row.layer for _, rows in members for row in rows} - {MODEL})
        spread = f", {words.count(layers, 'layer')}" if layers > 1 else ""
        made_of = {row.warning for _, rows in members for row in rows if row.warning}
        lines.append((words.sentence(f"{words.listed(names)}{where}{by}{spread}: {text}"), made_of))
    return lines


def control_verdicts(view: View) -> list[str]:
    """For each order: are the controls of the whole model 0 within their errors?"""
    sentences = []
    for k in view.orders:
        worst: Estimate | None = None
        verdicts: list[bool] = []
        size = 0.0
        for quantity in ("complexity", "expressivity"):
            row = view.row(quantity, order=k)
            if row is None:
                continue
            for value, error in (
                (row.control_permuted, row.control_permuted_error),
                (row.control_shifted, row.control_shifted_error),
                (row.control_halved, row.control_halved_error),
            ):
                if value is None:
                    continue
                zero = words.is_zero(value, error)
                verdicts += [] if zero is None else [zero]
                if worst is None or abs(value) > size:
                    worst, size = row, abs(value)
        if worst is None:
            continue
        amount = f"{words.number(100 * size, 1)} % of log m" if worst.unit == "efficiency" else words.number(size, 3)
        if not verdicts:
            sentences.append(f"Order {k}: the largest control is {amount}; it has no error to judge it by.")
        elif all(verdicts):
            sentences.append(f"Order {k}: all controls are 0 within twice their standard errors.")
        else:
            sentences.append(
                f"Order {k}: a control is not 0; the largest is {amount}. Take values and differences of "
                "that size for noise."
            )
    return sentences

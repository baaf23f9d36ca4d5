"""Asking every layer: the one pass over a capture's assignments.

Whole-number work is done once per set of labels and used for every layer. Layers are read one after the other, by a
few threads, and each is worked on a few columns at a time. As many sets of labels as a bounded memory holds
are asked in one visit to a layer; a long text takes more visits, not more memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from infoplane.capture import Capture
from infoplane.engine import Advance
from infoplane.estimators import Information, Tally, informations
from infoplane.grouping import Grouping
from infoplane.jackknife import MIN_DOCUMENTS
from infoplane.label_sums import Summing
from infoplane.marginal import Adding, Marginal, NullCurve, Sample
from infoplane.questions import Question, Questions
from infoplane.rows import Rows

_LAYER_BYTES = 64 << 20  # assignments held at once by all threads together
_HELD_BYTES = 32 << 20  # whole numbers of all sets of labels that are asked in one visit
Target = tuple[str, int]
"""A layer and a reference set."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the layers answered.

    Attributes:
        marginals: by layer, reference set and position set.
        informations: by layer, reference set, question, kind (`value`, `permuted`, `shifted`) and weight.
    """

    marginals: dict[tuple[str, int, str], Marginal] = field(default_factory=dict)
    informations: dict[tuple[str, int, Question, str, str], Information] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Profile:
    """What is kept of a layer between visits; its assignments are read again."""

    curve: NullCurve
    marginals: Mapping[str, Marginal]


@dataclass(frozen=True, eq=False)
class _Job:
    """One set of labels, with what is settled about it before any layer is read."""

    question: Question
    kind: str
    grouping: Grouping
    tallies: Mapping[str, Tally]


class Plan:
    """What is settled before any layer is read, for all captures of the same windows.

    Args:
        questions: about the windows.
        block_of_document: (D,) for error bars, None for none.
        weights: of `frequency` and `uniform`.
    """

    def __init__(
        self, questions: Questions, block_of_document: npt.NDArray[np.int32] | None, weights: Sequence[str]
    ) -> None:
        self.questions, self.weights = questions, weights
        self.blocks = {
            name: block_of_document if len(np.unique(questions.document[rows])) >= MIN_DOCUMENTS else None
            for name, rows in questions.position_sets.items()
        }
        self.samples = {
            name: Sample.of(rows, questions.document, self.blocks[name])
            for name, rows in questions.position_sets.items()
        }
        self.repeated: dict[Question, float] = {}
        self._only: list[_Job] | None = None

    def __len__(self) -> int:
        """Sets of labels asked, controls that cannot be made included."""
        return sum(3 if q.own and self.questions.controls else 1 for q in self.questions.all)

    def rounds(self) -> Iterator[list[_Job]]:
        """Jobs that fit the memory together, one at least; kept, if all of them do."""
        if self._only is not None:
            yield self._only
            return
        jobs: list[_Job] = []
        held, first = 0, True
        for job in self._jobs():
            if jobs and held + job.grouping.nbytes > _HELD_BYTES:
                yield jobs
                jobs, held, first = [], 0, False
            jobs.append(job)
            held += job.grouping.nbytes
        self._only = jobs if first else None
        yield jobs

    def _jobs(self) -> Iterator[_Job]:
        for question in self.questions.all:
            for kind, labels in self.questions.variants(question):
                grouping = Grouping.of(labels, self.questions.document, self.blocks[question.position_set])
                if kind == "value":
                    self.repeated[question] = grouping.repeated_mass
                weights = [w for w in self.weights if w == "frequency" or question.own]
                job = _Job(question, kind, grouping, {w: Tally(grouping, w) for w in weights})
                _ = grouping.several_label  # made now, so that threads only read
                yield job


def targets_of(capture: Capture) -> list[Target]:
    """All layers of all reference sets."""
    return [(layer, s) for s in range(capture.sets) for layer in capture.layers]


def answer(
    capture: Capture,
    plan: Plan,
    threads: int | None = None,
    advance: Advance | None = None,
    targets: Sequence[Target] | None = None,
) -> Answers:
    """Ask layers and reference sets of a capture.

    Args:
        capture: the capture.
        plan: for its windows.
        threads: layers worked on at once.
        advance: called with how many of the `len(plan)` sets of labels of each target were asked since the last call.
        targets: which are asked; all by default. What each answers does not depend on the others.
    """
    return _Pass(capture, plan, threads, advance).go(targets_of(capture) if targets is None else targets)


class _Pass:
    def __init__(self, capture: Capture, plan: Plan, threads: int | None, advance: Advance | None) -> None:
        self.capture, self.plan, self.advance = capture, plan, advance
        held = max(1, capture.windows.n_positions * capture.m * 2)
        self.threads = max(1, min(threads or os.cpu_count() or 1, _LAYER_BYTES // held))
        self.profiles: dict[Target, _Profile] = {}
        self.answers = Answers()

    def go(self, targets: Sequence[Target]) -> Answers:
        for jobs in self.plan.rounds():

            def visit(target: Target, jobs: Sequence[_Job] = jobs) -> None:
                self._visit(target, jobs)

            for _ in self._each(visit, targets):
                if self.advance is not None:
                    self.advance(len(jobs))
        return self.answers

    def _each(self, work: Callable[[Target], None], targets: Sequence[Target]) -> Iterator[None]:
        if self.threads == 1:
            yield from map(work, targets)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(work, targets)

    def _visit(self, target: Target, jobs: Sequence[_Job]) -> None:
        a = self.capture.read(*target)
        profile = self.profiles.get(target)
        rows = Rows.of(a)
        errors = target[1] == 0  # one reference set carries the error bars of the text, and the controls
        jobs = [job for job in jobs if errors or job.kind == "value"]
        summings = [Summing(rows, job.grouping, errors, "uniform" in job.tallies) for job in jobs]
        adding = {} if profile else {name: self._adding(sample, errors) for name, sample in self.plan.samples.items()}
        for columns, x in rows.pieces():
            for one in adding.values():
                one.add(x)
            for summing in summings:
                summing.add(columns, x)
        if profile is None:
            profile = self.profiles[target] = self._profile(rows, adding)
            for name, marginal in profile.marginals.items():
                self.answers.marginals[(*target, name)] = marginal
        asked = [
            (job, weight, (tally, summed, profile.marginals[job.question.position_set]))
            for job, summed in zip(jobs, (s.done() for s in summings), strict=True)
            for weight, tally in job.tallies.items()
        ]
        found = informations(profile.curve, [terms for _, _, terms in asked])
        for (job, weight, _), information in zip(asked, found, strict=True):
            self.answers.informations[(*target, job.question, job.kind, weight)] = information

    def _adding(self, sample: Sample, errors: bool) -> Adding:
        return Adding(sample if errors else replace(sample, block=None, blocks=0))

    def _profile(self, rows: Rows, adding: Mapping[str, Adding]) -> _Profile:
        marginals = {name: one.done(rows.entropy) for name, one in adding.items()}
        return _Profile(NullCurve.of(rows, self.plan.questions.position_sets["P_1"]), marginals)

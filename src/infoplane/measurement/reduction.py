"""Asking every layer: the one pass over a capture's assignments.

Whole-number work is done once per set of labels and used for every layer. Layers are read one after the other, by a
few threads, and each is worked on a few columns at a time. As many sets of labels as the memory holds (see
`infoplane.capture.memory_plan`) are asked in one visit to a layer; a long text takes more visits, not more memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from infoplane.capture import Capture, Reduction, reduction
from infoplane.engines import Advance
from infoplane.information import (
    Adding,
    Columns,
    Grouping,
    Information,
    Marginal,
    NullCurve,
    Rows,
    Sample,
    Shape,
    Summing,
    Tally,
    Term,
    Thinning,
    informations,
    shape_of,
)
from infoplane.measurement.questions import Question, Questions
from infoplane.storage import budget_of
from infoplane.uncertainty import MIN_DOCUMENTS

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
    shapes: dict[Question, Shape] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Job:
    """One set of labels, with what is settled about it before any layer is read.

    `along` is where its rows stand among those of the same labels at their own positions, if they do; `thinning` is
    there where that estimate is wanted: what it shows holds for the controls of the question too.
    """

    question: Question
    kind: str
    grouping: Grouping
    tallies: Mapping[str, Tally]
    along: npt.NDArray[np.int32] | None
    thinning: Thinning | None = None

    @property
    def leads(self) -> bool:
        """Whether the same labels at other positions can go along."""
        return self.question.own and self.kind == "value"

    def nbytes(self, layers: int) -> int:
        """Bytes held for it, with its sums in so many layers."""
        counts = self.grouping.nbytes + sum(t.nbytes for t in self.tallies.values())
        counts += 0 if self.along is None else self.along.nbytes
        counts += 0 if self.thinning is None else self.thinning.nbytes
        return counts + layers * Summing.nbytes_of(self.grouping)


class Plan:
    """What is settled before any layer is read, for all captures of the same windows.

    Args:
        questions: about the windows.
        block_of_document: (D,) for error bars, None for none.
        weights: of `frequency` and `uniform`.
        thinned: whether the estimate of that name is wanted.
    """

    def __init__(
        self,
        questions: Questions,
        block_of_document: npt.NDArray[np.int32] | None,
        weights: Sequence[str],
        thinned: bool = False,
    ) -> None:
        self.questions, self.weights, self.thinned = questions, weights, thinned
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

    def rounds(self, most: int, layers: int) -> Iterator[list[_Job]]:
        """Jobs that fit `most` bytes together, asked of so many layers at once; one at least. Kept, if all fit."""
        if self._only is not None:
            yield self._only
            return
        jobs: list[_Job] = []
        held, first = 0, True
        for job in self._jobs():
            size = job.nbytes(layers)
            if jobs and held + size > most:
                yield jobs
                jobs, held, first = [], 0, False
            jobs.append(job)
            held += size
        self._only = jobs if first else None
        yield jobs

    def _jobs(self) -> Iterator[_Job]:
        own = {_labels_of(q): i for i, q in enumerate(self.questions.all) if q.own}
        leader: _Job | None = None
        # the same labels at positions that are not their own come after those at their own, to go along with them
        for question in sorted(self.questions.all, key=lambda q: own.get(_labels_of(q), len(own))):
            for kind, labels in self.questions.variants(question):
                grouping = Grouping.of(labels, self.questions.document, self.blocks[question.position_set])
                if kind == "value":
                    self.repeated[question] = grouping.repeated_mass
                weights = [w for w in self.weights if w == "frequency" or question.own]
                along = None
                if leader is not None and not question.own and _labels_of(question) == _labels_of(leader.question):
                    along = grouping.among(leader.grouping)
                thinning = Thinning.of(grouping) if self.thinned and kind == "value" else None
                job = _Job(question, kind, grouping, {w: Tally(grouping, w) for w in weights}, along, thinning)
                _ = grouping.several_label, grouping.label_starts_in_rows  # made now, so that threads only read
                leader = job if job.leads else leader
                yield job


def _labels_of(question: Question) -> tuple[str, int | None]:
    """Which labels a question is about, on whatever positions."""
    return question.side, question.order


def _families(jobs: Sequence[_Job]) -> list[list[int]]:
    """Which jobs are gone through together: the first leads, the others go along."""
    families: list[list[int]] = []
    leaders: dict[tuple[str, int | None], list[int]] = {}
    for i, job in enumerate(jobs):
        labels = _labels_of(job.question)
        if job.along is not None and labels in leaders:
            leaders[labels].append(i)
            continue
        families.append([i])
        if job.leads:
            leaders[labels] = families[-1]
    return families


def targets_of(capture: Capture) -> list[Target]:
    """All layers of all reference sets."""
    return [(layer, s) for s in range(capture.sets) for layer in capture.layers]


def answer(
    capture: Capture,
    plan: Plan,
    threads: int | None = None,
    advance: Advance | None = None,
    targets: Sequence[Target] | None = None,
    memory: int | str | None = None,
) -> Answers:
    """Ask layers and reference sets of a capture.

    Args:
        capture: the capture.
        plan: for its windows.
        threads: to work with.
        advance: called with how many of the `len(plan)` sets of labels of each target were asked since the last call.
        targets: which are asked; all by default. What each answers does not depend on the others.
        memory: what may be held: bytes, or a size such as `4GB`; a share of what is free by default. No number hangs
            on it.

    Raises:
        SettingError: less memory than is needed.
    """
    targets = targets_of(capture) if targets is None else targets
    return _Pass(capture, plan, settings(capture, len(plan), threads, memory, len(targets)), advance).go(targets)


def settings(
    capture: Capture, sets: int, threads: int | None, memory: int | str | None, targets: int | None = None
) -> Reduction:
    """How a capture is asked for so many sets of labels, of so many targets; of all by default.

    Raises:
        SettingError: less memory than is needed.
    """
    windows = capture.windows
    return reduction(
        budget_of(memory),
        stated=memory is not None,
        tokens=len(windows.tokens),
        positions=windows.n_positions,
        m=capture.m,
        documents=len(windows.documents),
        sets=sets,
        threads=max(1, threads or os.cpu_count() or 1),
        layers=capture.sets * len(capture.layers) if targets is None else targets,
    )


class _Pass:
    def __init__(self, capture: Capture, plan: Plan, settings: Reduction, advance: Advance | None) -> None:
        self.capture, self.plan, self.settings, self.advance = capture, plan, settings, advance
        self.profiles: dict[Target, _Profile] = {}
        self.answers = Answers()
        self.shape = capture.windows.n_positions, capture.m

    def go(self, targets: Sequence[Target]) -> Answers:
        for jobs in self.plan.rounds(self.settings.held, self.settings.layers):

            def visit(target: Target, jobs: Sequence[_Job] = jobs) -> None:
                self._visit(target, jobs)

            for _ in self._each(visit, targets):
                if self.advance is not None:
                    self.advance(len(jobs))
        return self.answers

    def _each(self, work: Callable[[Target], None], targets: Sequence[Target]) -> Iterator[None]:
        if self.settings.layers == 1:
            yield from map(work, targets)
            return
        with ThreadPoolExecutor(self.settings.layers) as pool:
            yield from pool.map(work, targets)

    def _rows(self, target: Target) -> Rows:
        if self.settings.whole:
            return Rows.of(self.capture.read(*target))
        return Rows.reading(lambda columns: self.capture.read(*target, columns), *self.shape)

    def _visit(self, target: Target, jobs: Sequence[_Job]) -> None:
        errors = target[1] == 0  # one reference set carries the error bars of the text, and the controls
        jobs = [job for job in jobs if errors or job.kind == "value"]
        profile = self.profiles.get(target)
        if profile is not None and not jobs:
            return
        rows = self._rows(target)
        summings = [Summing(rows, job.grouping, errors, "uniform" in job.tallies, job.along) for job in jobs]
        families = [[summings[i] for i in family] for family in _families(jobs)]
        adding = {} if profile else {name: self._adding(sample, errors) for name, sample in self.plan.samples.items()}
        with ThreadPoolExecutor(self.settings.threads) as pool:
            run = map if self.settings.threads == 1 else pool.map
            for columns, x in rows.pieces():
                for one in adding.values():
                    one.add(x)
                for _ in run(partial(_add, columns, x), families):
                    pass
            del x, families
        if profile is None:
            profile = self.profiles[target] = self._profile(rows, adding)
            for name, marginal in profile.marginals.items():
                self.answers.marginals[(*target, name)] = marginal
        names = [(job.question, job.kind, weight) for job in jobs for weight in job.tallies]
        found = informations(profile.curve, self._terms(rows, jobs, summings, profile))
        for about, information in zip(names, found, strict=True):
            self.answers.informations[(*target, *about)] = information

    def _terms(self, rows: Rows, jobs: Sequence[_Job], summings: list[Summing], profile: _Profile) -> Iterator[Term]:
        """What is asked of a layer, one after the other, so that sums go as they are used."""
        for job in jobs:
            sums = summings.pop(0).done()
            marginal = profile.marginals[job.question.position_set]
            if job.thinning is not None:
                shape = shape_of(rows, job.thinning, job.grouping, sums, marginal, profile.curve)
                profile.shapes[job.question] = shape
            learned = profile.shapes[job.question] if self.plan.thinned else None
            for tally in job.tallies.values():
                yield tally, sums, marginal, learned

    def _adding(self, sample: Sample, errors: bool) -> Adding:
        return Adding(sample if errors else replace(sample, block=None, blocks=0))

    def _profile(self, rows: Rows, adding: Mapping[str, Adding]) -> _Profile:
        marginals = {name: one.done(rows.entropy) for name, one in adding.items()}
        return _Profile(NullCurve.of(rows, self.plan.questions.position_sets["P_1"]), marginals)


def _add(columns: slice, x: Columns, family: Sequence[Summing]) -> None:
    family[0].add(columns, x, family[1:])

"""Asking every layer: the one pass over a capture's assignments.

What is asked is settled before, in `plan`. Layers are read one after the other, by a
few threads, and each is worked on a few columns at a time. As many sets of labels as the memory holds (see
`infoplane.capture.memory_plan`) are asked in one visit to a layer; a long text takes more visits, not more memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from operator import methodcaller

import numpy as np

from infoplane.capture import Capture, Reduction, reduction
from infoplane.engines import Advance
from infoplane.information import (
    Adding,
    Information,
    Marginal,
    NullCurve,
    Rows,
    Shape,
    Summing,
    Term,
    device_kernels,
    informations,
    shape_of,
)
from infoplane.measurement.plan import Job, Plan, sample_of
from infoplane.measurement.questions import Question
from infoplane.models import out_of_memory
from infoplane.storage import budget_of

Target = tuple[str, int]
"""A layer and a reference set."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the layers answered.

    Attributes:
        marginals: by layer, reference set and position set.
        informations: by layer, reference set, question, kind (`value`, `permuted`, `shifted`) and weight.
        temperatures: by layer and reference set, the inverse temperature of a fitted code.
    """

    marginals: dict[tuple[str, int, str], Marginal] = field(default_factory=dict)
    informations: dict[tuple[str, int, Question, str, str], Information] = field(default_factory=dict)
    temperatures: dict[Target, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Profile:
    """What is kept of a layer between visits; its assignments are read again."""

    curve: NullCurve
    marginals: Mapping[str, Marginal]
    shapes: dict[tuple[Question, str], Shape] = field(default_factory=dict)


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
    device: str | None = None,
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
        device: of PyTorch, where sums are made (`infoplane.information.device_kernels`); this machine's processors by
            default, and where the memory of the device runs out. Its sums agree with theirs to rounding.

    Raises:
        SettingError: less memory than is needed.
    """
    targets = targets_of(capture) if targets is None else targets
    chosen = settings(capture, len(plan), threads, memory, len(targets))
    if device is not None:
        try:
            one = replace(chosen, layers=1, threads=1)  # the device does many things at once by itself
            return _Pass(capture, plan, one, advance, device).go(targets)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        finally:
            device_kernels.forget()
    return _Pass(capture, plan, chosen, advance).go(targets)


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
    def __init__(
        self, capture: Capture, plan: Plan, settings: Reduction, advance: Advance | None, device: str | None = None
    ) -> None:
        self.capture, self.plan, self.settings, self.advance = capture, plan, settings, advance
        self.device = device
        self.profiles: dict[Target, _Profile] = {}
        self.answers = Answers()
        self.shape = capture.windows.n_positions, capture.m

    def go(self, targets: Sequence[Target]) -> Answers:
        for jobs in self.plan.rounds(self.settings.held, self.settings.layers):

            def visit(target: Target, jobs: Sequence[Job] = jobs) -> None:
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
        if self.device is not None:
            return self._rows_there(target, self.device)
        if self.settings.whole:
            return Rows.of(self.capture.read(*target))
        return Rows.reading(lambda columns: self.capture.read(*target, columns), *self.shape)

    def _rows_there(self, target: Target, device: str) -> Rows:
        """The rows on a device: the whole layer, in float16."""
        import torch

        return Rows.of(torch.from_numpy(np.ascontiguousarray(self.capture.read(*target))).to(device))

    def _visit(self, target: Target, jobs: Sequence[Job]) -> None:
        first = target[1] == 0  # one reference set carries the controls
        jobs = [job for job in jobs if first or job.kind == "value"]
        profile = self.profiles.get(target)
        if profile is not None and not jobs:
            return
        rows = self._rows(target)
        if self.capture.fitted:
            self.answers.temperatures[target] = self.capture.inverse_temperature(*target)
        summings = [Summing(rows, job.grouping, True, "uniform" in job.tallies) for job in jobs]
        samples = {**self.plan.samples, **(self.plan.halves if first else {})}
        adding = {} if profile else {name: Adding(sample) for name, sample in samples.items()}
        with ThreadPoolExecutor(self.settings.threads) as pool:
            run = map if self.settings.threads == 1 else pool.map
            for columns, x in rows.pieces():
                for one in adding.values():
                    one.add(x)
                for _ in run(methodcaller("add", columns, x), summings):
                    pass
            del x
        if profile is None:
            profile = self.profiles[target] = self._profile(rows, adding)
            for name in self.plan.samples:
                self.answers.marginals[(*target, name)] = profile.marginals[name]
        names = [(job.question, job.kind, weight) for job in jobs for weight in job.tallies]
        found = informations(profile.curve, self._terms(rows, jobs, summings, profile))
        for about, information in zip(names, found, strict=True):
            self.answers.informations[(*target, *about)] = information

    def _terms(self, rows: Rows, jobs: Sequence[Job], summings: list[Summing], profile: _Profile) -> Iterator[Term]:
        """What is asked of a layer, one after the other, so that sums go as they are used."""
        for job in jobs:
            sums = summings.pop(0).done()
            marginal = profile.marginals[sample_of(job.question.position_set, job.kind)]
            if job.thinning is not None:
                shape = shape_of(rows, job.thinning, job.grouping, sums, marginal, profile.curve)
                profile.shapes[job.question, job.kind] = shape
            learned = profile.shapes.get((job.question, job.kind)) or profile.shapes.get((job.question, "value"))
            for tally in job.tallies.values():
                yield tally, sums, marginal, learned

    def _profile(self, rows: Rows, adding: Mapping[str, Adding]) -> _Profile:
        marginals = {name: one.done(rows.entropy) for name, one in adding.items()}
        return _Profile(NullCurve.of(rows, self.plan.questions.position_sets["P_1"]), marginals)

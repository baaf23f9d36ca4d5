"""What is settled about the questions before any layer is read: labels in groups, their tallies, and in which order.

Whole-number work is done once per set of labels and used for every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.information import Grouping, Sample, Summing, Tally, Thinning
from infoplane.measurement.questions import DEALT_DOCUMENT, HALVES, TOKEN_AND_DOCUMENT, Question, Questions
from infoplane.text import Labels
from infoplane.uncertainty import MIN_DOCUMENTS


@dataclass(frozen=True, eq=False)
class Job:
    """One set of labels, with what is settled about it before any layer is read.

    `thinning` is there where that estimate is wanted: what it shows holds for the controls of the question too.
    """

    question: Question
    kind: str
    grouping: Grouping
    tallies: Mapping[str, Tally]
    thinning: Thinning | None = None

    def nbytes(self, layers: int) -> int:
        """Bytes held for it, with its sums in so many layers."""
        counts = self.grouping.nbytes + sum(t.nbytes for t in self.tallies.values())
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
        self.halves: dict[str, Sample] = {}
        for name in {q.position_set for q in questions.all if q.own and questions.controls}:
            if (block := self.blocks[name]) is not None:
                rows = questions.position_sets[name]
                for half, kind in enumerate(HALVES):
                    some = rows[questions.half(rows, block, half)]
                    self.halves[sample_of(name, kind)] = Sample.of(some, questions.document, block)
        self.repeated: dict[Question, float] = {}
        self._only: list[Job] | None = None

    def __len__(self) -> int:
        """Sets of labels asked, controls that cannot be made included."""
        each = 1 + len(HALVES) + 2
        return sum(each if q.own and self.questions.controls else 1 for q in self.questions.all)

    def rounds(self, most: int, layers: int) -> Iterator[list[Job]]:
        """Jobs that fit `most` bytes together, asked of so many layers at once; one at least. Kept, if all fit."""
        if self._only is not None:
            yield self._only
            return
        jobs: list[Job] = []
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

    def _jobs(self) -> Iterator[Job]:
        for question in self.questions.all:
            for kind, labels in self.questions.variants(question, self.blocks[question.position_set]):
                grouping = self._grouping(question, labels)
                if kind == "value":
                    self.repeated[question] = grouping.repeated_mass
                # of half the text other labels occur often enough for uniform weights: that is another question
                uniform = question.own and kind not in HALVES
                weights = [w for w in self.weights if w == "frequency" or uniform]
                told = kind in ("value", *HALVES) and question not in self.questions.of_documents
                thinning = Thinning.of(grouping) if self.thinned and told else None
                job = Job(question, kind, grouping, {w: Tally(grouping, w) for w in weights}, thinning)
                _ = grouping.pair_label, grouping.label_square  # made now, so that threads only read
                yield job

    def _grouping(self, question: Question, labels: Labels) -> Grouping:
        """Labels in groups; where they are of one document each, their rows count as independent."""
        document, block = self.questions.document, self.blocks[question.position_set]
        if question.side in (TOKEN_AND_DOCUMENT, DEALT_DOCUMENT):
            return Grouping.of(
                labels, np.arange(len(document), dtype=np.int32), None if block is None else block[document]
            )
        return Grouping.of(labels, document, block)


def sample_of(position_set: str, kind: str) -> str:
    """The name of the positions that a kind of question is asked at."""
    return f"{position_set}, {kind}" if kind in HALVES else position_set

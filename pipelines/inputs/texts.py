"""The texts that choosing layers and trimming a vocabulary look at."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sbert_prune.data.formats.text import load_texts
from sbert_prune.data.normalise import normalised
from sbert_prune.data.rows import Label, take
from sbert_prune.data.triplets import sample_by_premise
from sbert_prune.models.lineage import DataRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.data.rows import NliRow, Row, RowSet
    from sbert_prune.data.sources import StsData
    from sbert_prune.layer_analysis.importance import Calibration
    from sbert_prune.recipe.recipe import Recipe

_AT_MOST = 512  # sentences, and pairs, to measure layers by: more changes the scores in the third digit

SAMPLE = 2_000
"""Sentences to look at a tokenizer by."""

_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class TrainingTexts:
    """What the phases train on, and the pairs that choose. nli: None where no phase wants it."""

    nli: RowSet[NliRow] | None
    sts: StsData

    @property
    def nli_rows(self) -> Sequence[NliRow]:
        """The rows of the first phase; none where nobody wants them."""
        return self.nli.rows if self.nli else ()

    @property
    def source(self) -> str:
        """Where they came from, for people."""
        return ", ".join(rows.source for rows in (self.nli, self.sts.train) if rows)

    def unique(self) -> list[str]:
        """Every sentence of the train splits once, in the files' order."""
        nli = (text for row in self.nli_rows for text in (row.premise, row.hypothesis))
        sts = (text for row in self.sts.train.rows for text in (row.sentence1, row.sentence2))
        return list(dict.fromkeys((*nli, *sts)))

    def dev(self) -> list[str]:
        """Every sentence of the dev pairs once."""
        return list(dict.fromkeys(text for row in self.sts.dev.rows for text in (row.sentence1, row.sentence2)))

    def sample(self) -> list[str]:
        """Sentences from all over the train splits, to look at the tokenizer by."""
        return [*(sentences_of(self.nli) if self.nli else ()), *sentences_of(self.sts.train)]

    def held_out(self) -> frozenset[str]:
        """Every sentence of dev and test, normalised."""
        pairs = (row.sentences for rows in (self.sts.dev, self.sts.test) for row in rows.rows)
        return frozenset(normalised(text) for pair in pairs for text in pair)

    def entailments(self) -> list[tuple[str, str]]:
        """Every premise of the train split with a hypothesis that follows from it."""
        return [(row.premise, row.hypothesis) for row in self.nli_rows if row.label is Label.ENTAILMENT]

    def calibration(self) -> Calibration:
        """Sentences, dev pairs and entailments to measure layers by, spread evenly over the files."""
        from sbert_prune.layer_analysis.importance import Calibration

        return Calibration(
            sentences=tuple(spread(self.unique(), _AT_MOST)),
            dev=tuple(self.sts.dev.rows),
            positives=tuple(spread(self.entailments(), _AT_MOST)),
        )


def sentences_of(rows: RowSet[Row]) -> list[str]:
    """Both sentences of some rows from all over a split."""
    chosen = range(0, len(rows), max(1, 2 * len(rows) // SAMPLE))
    return [text for row in take(rows.rows, chosen) for text in row.sentences]


def spread(entries: Sequence[_Entry], at_most: int) -> list[_Entry]:
    """So many of the entries, at even distances."""
    step = max(1, len(entries) // at_most)
    return list(entries[::step][:at_most])


class Corpus:
    """Texts on their way to be counted, and their record once all have passed."""

    def __init__(self, name: str, source: str, texts: Iterable[str]) -> None:
        self._name, self._source, self._texts = name, source, texts
        self._digest, self._num_texts = hashlib.sha256(), 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self._digest.update(f"{len(text)}:{text}".encode())
            self._num_texts += 1
            yield text

    def record(self) -> DataRecord:
        """Name, source, digest and number of the texts that have passed."""
        digest = self._digest.hexdigest()
        return DataRecord(name=self._name, source=self._source, digest=digest, rows=self._num_texts, skipped=0)


def open_corpus(file: str | None, training: TrainingTexts | None) -> Corpus:
    """The corpus that a vocabulary is trimmed to: a text file with one sentence a line, or the training texts."""
    if file is not None:
        path = Path(file)
        return Corpus(path.name, str(path.resolve()), load_texts(path))
    assert training is not None  # what finds the inputs loads them where no file is named
    return Corpus("training texts", training.source, training.unique())


def distillation_texts(recipe: Recipe, training: TrainingTexts | None) -> tuple[list[str], DataRecord]:
    """The sentences that a student learns from its teacher: those of the phases' own rows, and a file's that dev and test do not hold.

    Raises DataError for a file that cannot be read.
    """
    texts = list(_of_phases(recipe, training)) if training else []
    sources, num_leaks = [training.source] if training else [], 0
    if recipe.distil.data is not None:
        drawn = _drawn(load_texts(Path(recipe.distil.data)), recipe.distil.max_rows, recipe.seed)
        held_out = training.held_out() if training and not recipe.keep_leaks else frozenset()
        apart = [text for text in drawn if normalised(text) not in held_out]
        num_leaks = len(drawn) - len(apart)
        texts += apart
        sources.append(str(Path(recipe.distil.data).resolve()))
    corpus = Corpus("sentences", ", ".join(sources), dict.fromkeys(texts))
    return list(corpus), corpus.record().model_copy(update={"leaks": num_leaks})


def describe_sentences(record: DataRecord) -> str:
    """What is distilled on, for people."""
    apart = f", {record.leaks:,} that stand in dev or test left out" if record.leaks else ""
    return f"distil {record.rows:,} sentences of {record.source}{apart}"


def _of_phases(recipe: Recipe, training: TrainingTexts) -> Iterator[str]:
    rows = training.nli_rows
    for row in rows if recipe.nli.max_rows is None or not rows else sample_by_premise(rows, recipe.nli.max_rows, seed=recipe.seed):
        yield from (row.premise, row.hypothesis)
    for pair in training.sts.train.rows:
        yield from (pair.sentence1, pair.sentence2)


def _drawn(texts: Iterator[str], at_most: int | None, seed: int) -> list[str]:
    """All texts, or so many of them, each with the same chance, in the file's order; the others are never held in memory."""
    if at_most is None:
        return list(texts)
    draw = random.Random(seed)
    kept: list[tuple[int, str]] = []
    for number, text in enumerate(texts):
        if len(kept) < at_most:
            kept.append((number, text))
        elif (place := draw.randint(0, number)) < at_most:
            kept[place] = (number, text)
    return [text for _, text in sorted(kept)]

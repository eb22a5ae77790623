"""Embeddings of every selection of layers: with shared prefixes run once, beside pruning and embedding one by one.

    python benchmarks/screening.py --base quickstart --layers 6 --sts quickstart

Both give the same embeddings; the plain way runs on a sample of the selections, and its seconds are scaled up.
"""

from __future__ import annotations

import random
import time
from copy import deepcopy
from itertools import combinations

import click


@click.command()
@click.option("--base", required=True)
@click.option("--layers", required=True, type=int)
@click.option("--sts", required=True, help="A folder of STS splits, or quickstart.")
@click.option("--pairs", default=120, show_default=True, help="Dev pairs that are embedded.")
@click.option("--sample", default=40, show_default=True, help="Selections that are embedded one by one.")
def main(base: str, layers: int, sts: str, pairs: int, sample: int) -> None:
    """Print the selections a minute of both, and their ratio."""
    import numpy as np

    from sbert_prune.data.sources import load_sts
    from sbert_prune.layer_analysis.subsets import embed_subsets
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.sentence import embed, encoder_of, load_saved, with_encoder, with_pooling
    from sbert_prune.models.sources import locate_base
    from sbert_prune.pruning import prune_layers
    from sbert_prune.training.device import choose_hardware

    model = with_pooling(load_saved(locate_base(base).checkpoint), None, max_seq_length=128)
    depth = int(model[0].auto_model.config.num_hidden_layers)
    sentences = list(dict.fromkeys(text for row in load_sts(sts).dev.rows[:pairs] for text in row.sentences))
    selections = [LayerSelection(kept, depth) for kept in combinations(range(depth), layers)]
    started = time.perf_counter()
    shared = dict(embed_subsets(model, selections, sentences, choose_hardware("cpu", "float32")))
    ours = time.perf_counter() - started
    drawn = random.Random(0).sample(selections, min(sample, len(selections)))
    encoder, started = encoder_of(model), time.perf_counter()
    alone = {
        one: embed(with_encoder(deepcopy(model, {id(encoder): encoder}), prune_layers(encoder, one)), sentences)
        for one in drawn
    }
    plain = (time.perf_counter() - started) / len(drawn) * len(selections)
    largest = max(float(np.abs(shared[one] - vectors).max()) for one, vectors in alone.items())
    print(
        f"SCREENING {len(selections)} selections of {layers} of {depth}, {len(sentences)} sentences: "
        f"{60 * len(selections) / ours:,.0f} a minute; "
        f"one by one {60 * len(selections) / plain:,.0f}; ratio {plain / ours:.2f}; largest difference {largest:.1g}"
    )


if __name__ == "__main__":
    main()
